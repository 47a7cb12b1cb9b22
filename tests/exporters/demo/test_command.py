"""`tb-netviz demo` as a whole, with few steps: real training, real files, a real TensorBoard."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.support.distributions import ROOT
from tests.support.servers import tensorboard

NAMES = ["cnn", "raised-lr", "sigmoid-mlp"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])}


# A shell's background job is born deaf to interrupts, and so are its children, such as a test run in one.
LISTENING = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"


def command(*arguments):
    program = f"{LISTENING}; from tb_netviz.cli import main; sys.exit(main())"
    return [sys.executable, "-c", program, "demo", *arguments]


def run(*arguments, cwd):
    return subprocess.run(
        command(*arguments), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder and the outcome of a short demo without a server."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, run("--logdir", "runs", "--no-serve", "--steps", "64", cwd=folder)


def test_it_trains_all_three_with_a_progress_bar_each(trained):
    folder, done = trained
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (folder / "runs").iterdir()) == NAMES
    assert all(f"{name}: 100%" in done.stderr for name in NAMES)


def test_without_a_server_it_says_how_to_look(trained):
    _folder, done = trained
    assert "tensorboard --logdir runs" in done.stdout
    assert "http" not in done.stdout


def test_the_runs_hold_gradients_losses_and_learning_rate(trained):
    folder, _done = trained
    with tensorboard(folder / "runs") as server:
        server.wait_for_runs(*NAMES, last_step=60)
        for name in NAMES:
            described = server.plugin_json("run", run=name)
            header = server.plugin("metrics", run=name)
            assert "gradient_norm" in described["statistics"]
            assert described["layers"][-1]["name"] == "head"
            assert b"train_loss" in header
            assert b"val_loss" in header
            assert b"learning_rate" in header


def test_the_features_of_the_cnn_can_be_looked_at(trained):
    folder, _done = trained
    with tensorboard(folder / "runs") as server:
        server.wait_for_runs("cnn", last_step=60)
        (embedding,) = server.plugin_json("embeddings", run="cnn")["embeddings"]
    assert (embedding["name"], embedding["module"], embedding["omissions"]) == ("features", "relu3", [])
    assert embedding["sets"][0]["points"] == embedding["sets"][0]["thumbnails"]["count"] == 300
    assert embedding["predictions"]
    assert {layout["method"]: layout["steps"][-1] for layout in embedding["layouts"]} == {"pca": 50, "tsne": 50}


def test_a_second_demo_keeps_the_first(trained):
    folder, _done = trained
    before = {path: path.read_bytes() for path in (folder / "runs").rglob("events*")}
    done = run("--logdir", "runs", "--no-serve", "--steps", "2", cwd=folder)
    assert done.returncode == 0
    assert "cnn-2, sigmoid-mlp-2, raised-lr-2" in done.stdout
    assert {path: path.read_bytes() for path in before} == before


def test_it_serves_prints_one_link_to_the_worst_run_and_ends_on_interrupt(tmp_path):
    process = subprocess.Popen(
        command("--logdir", "runs", "--steps", "64"), cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("Open "))
        found = re.fullmatch(
            r"Open (http://localhost:\d+)/#netviz&p\.netviz\.view=overview&p\.netviz\.run=([\w-]+)\n", line
        )
        assert found is not None, line
        with urllib.request.urlopen(f"{found[1]}/data/plugins_listing") as answer:
            assert answer.status == 200
        # 64 steps are too few for a raised learning rate to kill, but not for the sigmoids.
        assert found[2] in {"sigmoid-mlp", "raised-lr"}  # So short, either may be the worse one.
    finally:
        process.send_signal(signal.SIGINT)
        rest, _errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "http" not in rest
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(found[1])


def test_a_port_that_is_taken_is_reported(tmp_path):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("--logdir", "runs", "--steps", "2", "--port", port, cwd=tmp_path)
    assert done.returncode == 2
    assert "TensorBoard ended at once" in done.stderr
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_a_request_to_end_ends_its_tensorboard_too(tmp_path):
    process = subprocess.Popen(
        command("--logdir", "runs", "--steps", "2"),
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("Open "))
        address = line.removeprefix("Open ").partition("#")[0]
        with urllib.request.urlopen(address) as answer:
            assert answer.status == 200
        process.terminate()
        process.wait(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(address)
    finally:
        with contextlib.suppress(ProcessLookupError):  # As it should be.
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
