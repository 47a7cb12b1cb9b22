"""NetVizWriter is a SummaryWriter in every respect: both are given the same calls, and their folders are compared."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from tb_netviz.pytorch import NetVizWriter, watch
from tests.support.watching import events_in, read

KINDS = {"scalars": "Scalars", "histograms": "Histograms", "images": "Images", "audio": "Audio", "tensors": "Tensors"}
IMAGE = torch.arange(3 * 8 * 8).reshape(3, 8, 8).to(torch.uint8)


CALLS = {
    "scalar": lambda w: [w.add_scalar("a/b", value, step) for step, value in enumerate([1.5, np.float64(2), 3])],
    "scalar tensor": lambda w: w.add_scalar("a", torch.tensor(2.5, requires_grad=True), 4),
    "scalar, new style": lambda w: w.add_scalar("a", 1.5, 3, new_style=True),
    "scalar, double": lambda w: w.add_scalar("a", 1.5, 3, new_style=True, double_precision=True),
    "scalar without a step": lambda w: w.add_scalar("a", 1.5),
    "scalars": lambda w: [w.add_scalars("run/loss", {"x": step, "y": 2.0 * step}, step) for step in range(3)],
    "tensor": lambda w: w.add_tensor("t", torch.arange(6.0).reshape(2, 3), 1),
    "histogram": lambda w: w.add_histogram("h", torch.arange(100.0), 2),
    "histogram raw": lambda w: w.add_histogram_raw("h", 0, 3, 3, 6, 14, [1, 2, 3], [1, 1, 1], 2),
    "image": lambda w: w.add_image("i", IMAGE, 1),
    "images": lambda w: w.add_images("i", IMAGE[None].repeat(2, 1, 1, 1), 1),
    "image with boxes": lambda w: w.add_image_with_boxes("i", IMAGE, torch.tensor([[1, 1, 4, 4]]), 1),
    "audio": lambda w: w.add_audio("s", torch.linspace(-1, 1, 200)[None], 1),
    "text": lambda w: w.add_text("t", "hello *world*", 3),
    "graph": lambda w: w.add_graph(nn.Linear(3, 2), torch.zeros(1, 3)),
    "embedding": lambda w: [
        w.add_embedding(torch.arange(8.0).reshape(4, 2), list("abcd"), torch.zeros(4, 3, 5, 5), step, "e")
        for step in range(2)
    ],
    "pr curve": lambda w: w.add_pr_curve("p", np.array([0, 1, 1]), np.array([0.2, 0.6, 0.9]), 1),
    "pr curve raw": lambda w: w.add_pr_curve_raw("p", *([np.array([1, 2])] * 4), np.ones(2), np.ones(2), 1, 2),
    "custom scalars": lambda w: w.add_custom_scalars({"c": {"d": ["Multiline", ["a", "b"]]}}),
    "multiline chart": lambda w: w.add_custom_scalars_multilinechart(["a", "b"]),
    "margin chart": lambda w: w.add_custom_scalars_marginchart(["a", "b", "c"]),
    "mesh": lambda w: w.add_mesh("m", torch.rand(1, 4, 3, generator=torch.Generator().manual_seed(1)), global_step=2),
    "hparams": lambda w: w.add_hparams({"lr": 0.1, "name": "x"}, {"acc": 0.9}, run_name="trial", global_step=4),
}


def contents(folder):
    """Return everything that TensorBoard sees in the runs below `folder`."""
    runs = {}
    for run in sorted({path.parent for path in Path(folder).rglob("events.out.tfevents.*")}):
        accumulator = EventAccumulator(str(run), size_guidance={"tensors": 0, "scalars": 0, "histograms": 0})
        accumulator.Reload()
        tags = accumulator.Tags()
        found: dict[Any, Any] = {"graph": accumulator.Graph().SerializeToString() if tags["graph"] else None}
        for kind, method in KINDS.items():
            for tag in tags[kind]:
                found[kind, tag] = [
                    tuple(value for name, value in vars(event).items() if name != "wall_time")
                    for event in getattr(accumulator, method)(tag)
                ]
        for tag in tags["tensors"]:
            metadata = accumulator.SummaryMetadata(tag)
            metadata.plugin_data.content = b"" if metadata.plugin_data.plugin_name == "hparams" else b"same"
            found["metadata", tag] = metadata.SerializeToString()
        runs[str(run.relative_to(folder))] = found
    others = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and "tfevents" not in path.name and path.name != ".netviz.lock"
    }
    return runs, others


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*joblib")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_every_call_writes_what_summary_writer_writes(tmp_path, call):
    for name, kind in (("theirs", SummaryWriter), ("ours", NetVizWriter)):
        with kind(str(tmp_path / name)) as writer:
            call(writer)
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
    assert contents(tmp_path / "ours")[0]


def test_no_call_is_forgotten():
    called = {name.split(",")[0].split(" tensor")[0].split(" without")[0].replace(" ", "_") for name in CALLS}
    called |= {"custom_scalars_multilinechart", "custom_scalars_marginchart"}
    methods = {name.removeprefix("add_") for name in dir(SummaryWriter) if name.startswith("add_")}
    # These need moviepy, onnx and matplotlib; they go through the file writer like the rest.
    assert methods - called == {"video", "onnx_graph", "figure"}


def test_it_is_a_summary_writer():
    assert issubclass(NetVizWriter, SummaryWriter)


def test_the_default_folder_has_date_host_and_comment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with NetVizWriter(comment="_try") as ours:
        ours.add_scalar("a", 1, 1)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_try")
    assert folder == tmp_path / ours.log_dir


def test_purge_step_hides_what_came_after(tmp_path):
    for name, kind in (("theirs", SummaryWriter), ("ours", NetVizWriter)):
        folder = str(tmp_path / name)
        with kind(folder) as writer:
            for step in range(10):
                writer.add_scalar("a", step, step)
        with kind(folder, purge_step=5, filename_suffix=".second") as writer:
            writer.add_scalar("a", 50, 5)
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
    assert [step for step, _ in contents(tmp_path / "ours")[0]["."]["scalars", "a"]] == [0, 1, 2, 3, 4, 5]


def test_filename_suffix(tmp_path):
    NetVizWriter(tmp_path, filename_suffix=".mine").close()
    assert [path.suffix for path in tmp_path.glob("events*")] == [".mine"]


def test_after_close_a_further_call_opens_a_new_file(tmp_path):
    writer = NetVizWriter(tmp_path)
    writer.add_scalar("a", 1, 1)
    writer.close()
    writer.close()
    writer.add_scalar("a", 2, 2)
    writer.close()
    assert len(list(tmp_path.glob("events*"))) == 2
    assert read(tmp_path).scalars["a"] == [(1, 1.0), (2, 2.0)]


def test_flush_puts_everything_into_the_file(tmp_path):
    with NetVizWriter(tmp_path) as writer:
        writer.add_scalar("a", 1, 1)
        writer.flush()
        assert read(tmp_path).scalars["a"] == [(1, 1.0)]


def test_all_goes_through_one_file_a_folder(tmp_path):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
        writer.add_scalar("a", 1, 1)
    assert len(list(tmp_path.glob("events*"))) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_records_go_through_the_file_of_a_foreign_writer(tmp_path):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with SummaryWriter(str(tmp_path)) as writer:
        watched = watch(model, optimizer, writer=writer, every=1)
        for step in range(3):
            model(torch.randn(4, 3)).sum().backward()
            optimizer.step()
            writer.add_scalar("a", 1.0, step)
        watched.detach()
    assert len(list(tmp_path.glob("events*"))) == 1
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2]
    assert [step for step, _ in recording.scalars["a"]] == [0, 1, 2]
    assert [step for step, _ in recording.scalars["netviz/gradient_norm"]] == [0, 1, 2]


def test_a_remote_folder_is_refused_in_words():
    with pytest.raises(ValueError, match="local folder"):
        NetVizWriter("gs://bucket/run")


TRAPPED = """
import sys
import numpy as np
import torch
from torch import nn
from tb_netviz.pytorch import NetVizWriter

image = torch.zeros(3, 8, 8, dtype=torch.uint8)
model = nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with NetVizWriter(sys.argv[1]) as w:
    w.watch(model, optimizer, nn.MSELoss(), every=1)
    for _ in range(3):
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
    w.add_scalar("a", 1.0, 1)
    w.add_scalars("b", {"x": 1.0}, 1)
    w.add_hparams({"lr": 0.1}, {"acc": 0.5})
    w.add_tensor("t", torch.ones(2))
    w.add_histogram("h", torch.arange(10.0), 1)
    w.add_histogram_raw("r", 0, 3, 3, 6, 14, [1, 2, 3], [1, 1, 1], 2)
    w.add_image("i", image)
    w.add_images("j", image[None])
    w.add_image_with_boxes("k", image, torch.tensor([[1, 1, 4, 4]]))
    w.add_audio("s", torch.zeros(1, 100))
    w.add_text("t", "text")
    w.add_graph(nn.Linear(3, 2), torch.zeros(1, 3))
    w.add_embedding(torch.ones(4, 2), list("abcd"), torch.zeros(4, 3, 5, 5), 1)
    w.add_pr_curve("p", np.array([0, 1]), np.array([0.2, 0.6]))
    w.add_custom_scalars({"c": {"d": ["Multiline", ["a"]]}})
    w.add_mesh("m", torch.zeros(1, 4, 3))
assert "tensorflow" not in sys.modules
from tensorboard.compat import tf  # Others still get the real one.
try:
    tf.io
except ImportError as error:
    assert "trap" in str(error), error
else:
    raise AssertionError("TensorBoard's own TensorFlow was replaced")
"""


def test_tensorflow_is_not_imported(tmp_path):
    trap = tmp_path / "trap" / "tensorflow"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise RuntimeError('the trap was sprung')")
    path = ":".join([str(tmp_path / "trap"), *filter(None, sys.path)])
    code = TRAPPED.replace("except ImportError", "except RuntimeError")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "run")], check=True, env={"PYTHONPATH": path}
    )
    assert events_in(tmp_path / "run")
