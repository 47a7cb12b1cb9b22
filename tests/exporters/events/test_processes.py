"""Sinks in real processes: killed, forked, crowded, on a full disk."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tensorboard.compat.proto.event_pb2 import Event

from tb_netviz.events import NetVizWarning, open_sink, read_frames

ROOT = Path(__file__).parents[3]
PRELUDE = """
import os, resource, signal, sys, time
from tensorboard.compat.proto.event_pb2 import Event
from tb_netviz.events import open_sink
folder = sys.argv[1]
"""


def start(code, folder, **options):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])}
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def run(code, folder, **options):
    """Run to the end; returns (exit status, stdout, stderr)."""
    process = start(code, folder, **options)
    out, err = process.communicate()
    return process.returncode, out, err


def steps(folder):
    """The steps in the only event file directly in the folder; fails on a damaged record."""
    (path,) = folder.glob("events.out.tfevents.*")
    version, *rest = [Event.FromString(data) for data in read_frames(path)]
    assert version.file_version == "brain.Event:2"
    return [event.step for event in rest]


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "raise RuntimeError('training failed')",
        "sys.exit(3)",
        "import threading; threading.Thread(target=lambda: (time.sleep(0.3), sink.write(Event(step=100)))).start()",
    ],
)
def test_the_end_of_a_process_closes_the_file(tmp_path, ending):
    run(f"sink = open_sink(folder)\nfor step in range(100): sink.write(Event(step=step))\n{ending}", tmp_path)
    assert steps(tmp_path) == list(range(101 if "Thread" in ending else 100))
    assert len(list(tmp_path.iterdir())) == 1  # The lock is gone.


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_end_of_a_multiprocessing_child_closes_the_file(tmp_path, method):
    script = tmp_path / "child.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from tensorboard.compat.proto.event_pb2 import Event\n"
        "from tb_netviz.events import open_sink\n"
        "def train(folder):\n"
        "    sink = open_sink(folder)\n"
        "    for step in range(100): sink.write(Event(step=step))\n"
        "if __name__ == '__main__':\n"
        f"    child = multiprocessing.get_context({method!r}).Process(target=train, args=(sys.argv[1],))\n"
        "    child.start(); child.join()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])}
    subprocess.run([sys.executable, script, tmp_path / "run"], check=True, env=environment)
    assert steps(tmp_path / "run") == list(range(100))


def test_what_was_written_survives_a_kill(tmp_path):
    code = """
sink = open_sink(folder)
print(sink.path, flush=True)
step = 0
while True:
    sink.write(Event(step=step))
    step += 1
    time.sleep(0.0001)
"""
    process = start(code, tmp_path)
    path = Path(process.stdout.readline().strip())
    while path.stat().st_size < 20_000:  # Nobody flushes.
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    written = steps(tmp_path)
    assert written == list(range(len(written)))
    assert len(written) > 500
    again = open_sink(tmp_path)  # The dead process holds no lock.
    assert again.log_dir == str(tmp_path)
    again.close()


def test_a_disk_that_fills_up_ends_the_record_and_not_the_training(tmp_path):
    code = """
sink = open_sink(folder)
for step in range(50): sink.write(Event(step=step))
sink.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
for step in range(50, 1000):
    sink.write(Event(step=step))
    if step % 100 == 0: sink.flush()
sink.flush(); sink.offer(Event(step=1000)); sink.close()
print(sink.dropped)
print("trained")
"""
    status, out, err = run(code, tmp_path)
    dropped, trained = out.split()
    assert (status, trained) == (0, "trained")
    written = steps(tmp_path)
    assert written == list(range(len(written)))
    assert len(written) >= 50
    assert len(written) + int(dropped) == 1_001
    assert err.count("NetVizWarning") == 1
    assert "could not write" in err
    assert "Training goes on" in err


def test_a_folder_that_may_not_be_written_warns(tmp_path):
    with tempfile.TemporaryDirectory() as name:  # Unlike tmp_path, others may enter it.
        folder = Path(name)
        folder.chmod(0o555)
        code = """
if os.getuid() == 0: os.seteuid(65534)
sink = open_sink(folder)
sink.write(Event(step=0)); sink.close()
print(type(sink).__name__, sink.dropped)
"""
        status, out, err = run(code, folder)
        assert (status, out.split()) == (0, ["NullSink", "1"])
        assert err.count("nothing is recorded") == 1
        assert list(folder.iterdir()) == []


def test_a_second_process_gets_a_run_of_its_own(tmp_path):
    code = """
sink = open_sink(folder)
print(sink.log_dir, flush=True)
sys.stdin.readline()
same = open_sink(folder)
for step in range(5): same.write(Event(step=step))
"""
    mine = open_sink(tmp_path)
    mine.write(Event(step=7))
    other = start(code, tmp_path)
    theirs = Path(other.stdout.readline().strip())
    assert theirs == tmp_path / f"writer-{other.pid}"
    mine.write(Event(step=8))
    _, err = other.communicate("go\n")
    mine.close()
    assert err.count("NetVizWarning") == 1
    assert "another process is writing into" in err
    assert steps(tmp_path) == [7, 8]
    assert steps(theirs) == list(range(5))
    again = open_sink(tmp_path)
    assert again.log_dir == str(tmp_path)
    again.close()


def test_we_step_aside_for_another_process(tmp_path):
    other = start(
        "sink = open_sink(folder); sink.write(Event(step=1)); print(1, flush=True); sys.stdin.read()", tmp_path
    )
    other.stdout.readline()
    with pytest.warns(NetVizWarning, match="a run of its own") as caught:
        sink = open_sink(tmp_path)
    assert caught[0].filename == __file__
    assert sink.log_dir == str(tmp_path / f"writer-{os.getpid()}")
    sink.close()
    other.communicate()
    assert steps(tmp_path) == [1]


def test_processes_that_start_together_share_no_folder(tmp_path):
    code = """
sink = open_sink(folder)
for step in range(50): sink.write(Event(step=step))
print("written", flush=True)
sys.stdin.read()
"""
    processes = [start(code, tmp_path) for _ in range(4)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.communicate()
    folders = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    assert len(folders) == 4
    assert all(steps(folder) == list(range(50)) for folder in folders)


def test_a_forked_child_leaves_the_file_to_its_parent(tmp_path):
    code = """
sink = open_sink(folder)
for step in range(10): sink.write(Event(step=step))
child = os.fork()
if child == 0:
    sink.write(Event(step=1000)); sink.offer(Event(step=1001)); sink.flush(); sink.close()
    own = open_sink(folder)
    own.write(Event(step=2000)); own.close()
    print(sink.dropped, own.log_dir, flush=True)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
for step in range(10, 20): sink.write(Event(step=step))
"""
    status, out, err = run(code, tmp_path)
    dropped, own = out.split()
    assert status == 0, err
    assert dropped == "2"
    assert steps(tmp_path) == list(range(20))
    assert Path(own).parent == tmp_path
    assert steps(Path(own)) == [2000]
    assert err.count("belongs to process") == 1


def test_a_child_that_outlives_its_parent_holds_no_folder(tmp_path):
    code = """
sink = open_sink(folder)
if os.fork() == 0:
    os.kill(os.getppid(), signal.SIGKILL)
    sys.stdin.read(); os._exit(0)
signal.pause()
"""
    process = start(code, tmp_path)
    process.wait()
    sink = open_sink(tmp_path)
    assert sink.log_dir == str(tmp_path)
    sink.close()
    process.communicate()
