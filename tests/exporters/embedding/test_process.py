"""The worker: apart from the training, at its side as long as it lives, and gone with it."""

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from tb_netviz.embedding import EmbeddingWriter
from tb_netviz.events import NetVizWarning
from tests.support.placed import read_placed

RNG = np.random.default_rng(0)
VECTORS, LABELS = RNG.standard_normal((80, 8)), RNG.integers(0, 3, 80)


def started(writer, limit=60.0):
    """Return the number of the worker's process once there is one."""
    deadline = time.monotonic() + limit
    while (pid := writer._embeddings.worker_pid) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return pid


def is_there(pid):
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def gone(pid, limit=20.0):
    """Whether a process ends."""
    deadline = time.monotonic() + limit
    while is_there(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_there(pid)


def environment(**more):
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | more


def run_script(folder, script, **options):
    """Run a script of its own folder; return what it printed."""
    path = folder / "script.py"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path), str(folder / "run")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_stands_back_and_ends_with_the_writer(tmp_path):
    with EmbeddingWriter(tmp_path) as writer:
        writer.add("hidden", VECTORS, LABELS, 0)
        pid = started(writer)
        writer.wait()
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19
        assert os.getpgid(pid) != os.getpgid(0)
        told = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"OMP_NUM_THREADS=1\0" in told
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        assert threads == 2  # One works, and one listens for the end of the training.
    assert gone(pid)


def test_one_worker_for_all_embeddings(tmp_path):
    with EmbeddingWriter(tmp_path) as writer:
        for step in range(3):
            writer.add("one", VECTORS, LABELS, step)
            writer.add("two", VECTORS[:, :4], LABELS, step)
        pid = started(writer)
        writer.wait()
        assert writer._embeddings.worker_pid == pid
    for name in ("one", "two"):
        placed = read_placed(tmp_path, name)
        assert placed.steps("pca") == [0, 1, 2]
        assert placed.steps("tsne")[-1] == 2


def trap(folder, name):
    """Put a package of that name where it is found first, and can't be imported."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(f"raise ImportError('{name} is a trap')", encoding="utf-8")


def test_it_imports_no_training_framework(tmp_path, monkeypatch):
    for name in ("torch", "tensorflow"):
        trap(tmp_path / "traps", name)
    monkeypatch.syspath_prepend(str(tmp_path / "traps"))
    with EmbeddingWriter(tmp_path / "run") as writer:
        writer.add("hidden", VECTORS, LABELS, 0)
    assert read_placed(tmp_path / "run", "hidden").steps("tsne") == [0]


def test_without_what_tsne_needs_there_is_pca_and_it_is_said(tmp_path, monkeypatch):
    hide = "import sys; sys.modules |= {'openTSNE': None, 'sklearn': None}"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(hide, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with EmbeddingWriter(tmp_path / "run") as writer:
        for step in range(2):
            writer.add("hidden", VECTORS, LABELS, step)
    placed = read_placed(tmp_path / "run", "hidden")
    assert (placed.steps("pca"), placed.steps("tsne")) == ([0, 1], [])
    assert "pip install 'tb-netviz-plugin[embedding]'" in placed.reasons["t-SNE"]
    assert np.isfinite(placed.measures(1)["effective_rank"])


def test_an_installation_that_is_broken_is_told_once_and_the_other_library_takes_its_place(tmp_path, monkeypatch):
    trap(tmp_path / "traps", "openTSNE")
    monkeypatch.syspath_prepend(str(tmp_path / "traps"))
    writer = EmbeddingWriter(tmp_path / "run")
    for step in range(2):
        writer.add("one", VECTORS, LABELS, step)
        writer.add("two", VECTORS, LABELS, step)
    with pytest.warns(NetVizWarning) as told:
        writer.close()
    reason = "is installed, but can't be imported (ImportError: openTSNE is a trap); scikit-learn lays points out"
    assert [str(one.message) for one in told] == [f"netviz: openTSNE {reason} in its place."]
    for name in ("one", "two"):
        placed = read_placed(tmp_path / "run", name)
        assert placed.steps("tsne")[-1] == 1
        assert placed.reasons == {"openTSNE": f"{reason} in its place"}


def test_a_script_without_a_guard_runs_once(tmp_path):
    (tmp_path / "openTSNE.py").write_text("raise SystemExit('of the script')", encoding="utf-8")
    status, out, err = run_script(
        tmp_path,
        """
import sys, numpy as np
from tb_netviz.embedding import EmbeddingWriter
print("runs")
writer = EmbeddingWriter(sys.argv[1])
writer.add("hidden", np.random.default_rng(0).standard_normal((80, 8)), None, 0)
""",
    )
    assert (status, out, err) == (0, "runs\n", "")
    assert read_placed(tmp_path / "run", "hidden").steps("tsne") == [0]  # Although nobody has closed the writer.


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)


def test_a_worker_that_is_killed_has_one_successor(tmp_path):
    with EmbeddingWriter(tmp_path) as writer:
        writer.add("hidden", VECTORS, LABELS, 0)
        writer.wait()
        kill(first := started(writer))
        with pytest.warns(NetVizWarning, match=r"was killed by signal 9 at step 1\. Another one takes its place"):
            _add_and_wait(writer, 1)
        _add_and_wait(writer, 2)
        second = started(writer)
        assert second != first
        kill(second)
        with pytest.warns(
            NetVizWarning, match=r"signal 9 at step 3\. No more embeddings are recorded; training goes on"
        ):
            _add_and_wait(writer, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _add_and_wait(writer, 4)
        assert writer._embeddings.worker_pid is None
    placed = read_placed(tmp_path, "hidden")
    assert placed.steps("pca") == placed.steps("tsne") == [0, 2]
    assert placed.figures("tsne", 2)["dropped"] == 1
    assert placed.reasons["some layouts"] == "the process that lays embeddings out was killed by signal 9 at step 1"
    assert placed.reasons["layouts"].endswith("signal 9 at step 3; nothing more is laid out")


def _add_and_wait(writer, step):
    writer.add("hidden", VECTORS, LABELS, step)
    assert writer.wait(60)


def test_a_worker_that_can_not_be_imported_is_told_with_its_reason(tmp_path, monkeypatch):
    trap(tmp_path / "traps", "numpy")
    monkeypatch.syspath_prepend(str(tmp_path / "traps"))
    with EmbeddingWriter(tmp_path / "run") as writer:
        for _ in range(2):
            with pytest.warns(NetVizWarning, match="numpy is a trap"):
                _add_and_wait(writer, None)
    assert "numpy is a trap" in read_placed(tmp_path / "run", "hidden").reasons["layouts"]


def test_without_an_interpreter_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with EmbeddingWriter(tmp_path) as writer:
        with pytest.warns(
            NetVizWarning, match="can't be started .there is no Python to run beside this program"
        ) as told:
            _add_and_wait(writer, 0)
        _add_and_wait(writer, 1)
    assert len(told) == 1
    assert "can't be started" in read_placed(tmp_path, "hidden").reasons["layouts"]


def test_what_is_not_ready_in_time_is_left_out_and_said(tmp_path):
    writer = EmbeddingWriter(tmp_path)
    writer.add("hidden", VECTORS, LABELS, 0)
    writer.wait()
    writer.add("hidden", RNG.standard_normal((6000, 64)), None, 1)
    pid = started(writer)
    writer.close(limit=0.1)
    assert gone(pid)
    placed = read_placed(tmp_path, "hidden")
    assert placed.steps("tsne") == [0]
    assert placed.reasons == {"last layout": "that of step 1 was not ready 0.1 s after the end, and is left out"}


def test_the_latest_wins_and_what_is_left_out_is_counted(tmp_path):
    count = 200
    with EmbeddingWriter(tmp_path) as writer:
        for step in range(count):
            writer.add("hidden", VECTORS, LABELS, step)
    placed = read_placed(tmp_path, "hidden")
    for method in ("pca", "tsne"):
        steps = placed.steps(method)
        assert steps[-1] == count - 1
        dropped = sum(placed.figures(method, step)["dropped"] for step in steps)
        assert len(steps) + dropped == count
        assert len(steps) < count
    assert len(placed.steps("tsne")) < len(placed.steps("pca"))


LIVING = """
import os, signal, sys, time
import numpy as np
from tb_netviz.embedding import EmbeddingWriter

signal.signal(signal.SIGINT, signal.default_int_handler)  # Ignored, where the tests run in the background.

def add(writer):
    for step in range(1000):
        writer.add("hidden", np.random.default_rng(step).standard_normal((800, 16)), None, step)
        if writer._embeddings.worker_pid is not None and step > 20:
            print(writer._embeddings.worker_pid, flush=True)
            time.sleep(60)
        time.sleep(0.05)

{body}
"""


def begin(folder, body):
    """Start a script that adds vectors; return its process and the number of its worker."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "script.py"
    path.write_text(LIVING.format(body=body), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(path), str(folder / "run")],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_with_a_training_that_is_killed_it_ends_whatever_it_is_at(tmp_path):
    process, worker = begin(tmp_path, "add(EmbeddingWriter(sys.argv[1]))")
    assert is_there(worker)
    process.kill()
    process.communicate()
    assert gone(worker)


def test_forked_children_do_not_keep_it(tmp_path):
    """As those of a data loader: they have copies of all that is open, and may outlive the training."""
    body = """
writer = EmbeddingWriter(sys.argv[1])
writer.add("hidden", np.ones((50, 4)), None, 0)
writer.wait()
child = os.fork()
if child == 0:
    writer.add("hidden", np.ones((50, 4)), None, 1)
    writer.wait()
    writer.close()
    time.sleep(40)
    os._exit(0)
add(writer)
"""
    process, worker = begin(tmp_path, body)
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")  # Each thread has its own.
    (child,) = {int(one) for task in tasks for one in task.read_text().split()} - {worker}
    try:
        process.kill()
        process.wait()
        assert gone(worker)
        assert is_there(child)
    finally:
        os.kill(child, signal.SIGKILL)
    process.communicate()


def test_an_interrupt_from_the_keyboard_ends_both_with_one_traceback(tmp_path):
    body = """
with EmbeddingWriter(sys.argv[1]) as writer:
    writer.add("before", np.random.default_rng(0).standard_normal((80, 8)), None, 0)
    writer.wait()  # Until the worker has begun, which may take longer than it is given at an interrupt.
    add(writer)
"""
    process, worker = begin(tmp_path, body)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert err.count("Traceback") == err.count("KeyboardInterrupt") == 1
    assert gone(worker)
    placed = read_placed(tmp_path / "run", "hidden")
    assert placed.steps("pca")[0] == 0  # How many more there are depends on the machine.


def test_what_libraries_print_disturbs_nothing(tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("print('hello from a site')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with EmbeddingWriter(tmp_path / "run") as writer:
        writer.add("hidden", VECTORS, LABELS, 0)
    assert read_placed(tmp_path / "run", "hidden").steps("tsne") == [0]


def test_no_generator_of_the_training_is_touched(tmp_path):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  The generator that others share.
    before = random.getstate(), _states()
    with EmbeddingWriter(tmp_path) as writer:
        writer.add("hidden", VECTORS, LABELS, 0, thumbnails=np.zeros((80, 40, 40)))
    assert (random.getstate(), _states()) == before


def _states():
    _kind, keys, *_rest = np.random.get_state()  # noqa: NPY002  As above.
    return list(keys)


def test_vectors_are_copied(tmp_path):
    vectors = VECTORS.astype(np.float32)
    with EmbeddingWriter(tmp_path) as writer:
        writer.add("hidden", vectors, None, 0)
        vectors[:] = np.nan
    assert read_placed(tmp_path, "hidden").measures(0)["points"] == 80
