"""TensorBoard's own projector, over HTTP, with the files that we write for it."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from tb_netviz.embedding import projector_config
from tb_netviz.embedding.projector import Projector
from tb_netviz.embedding.vectors import stored
from tests.support.distributions import ROOT
from tests.support.runs import write_run
from tests.support.servers import tensorboard

PLENTY = 1 << 30
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])}
ROUTE = "/data/plugin/projector/"
HOSTILE = [
    "",
    "../up",
    "a/b\\c",
    "a&b#c%d+e=f?g",
    "tab\there\nline",
    "ünïcödé 层 🧠",
    "\ud800 lone",
    "x" * 300,
    "a:0",
    "~",
]


def vectors(points=20, units=6, seed=0):
    return np.random.default_rng(seed).standard_normal((points, units)).astype(np.float32)


def config_of(folder):
    return text_format.Parse((folder / "projector_config.pbtxt").read_text("utf-8"), ProjectorConfig())


def names_in(folder):
    return [entry.tensor_name for entry in config_of(folder).embeddings]


def steps_of(folder, name="fc"):
    return [step for step, _ in stored(folder)[name]]


def loaded(folder, name="fc"):
    return {step: load() for step, load in stored(folder)[name]}


@pytest.mark.parametrize("load_fast", [True, False])
def test_tensorboard_hands_over_vectors_labels_and_thumbnails(tmp_path, load_fast):
    write_run(tmp_path / "run", steps=range(2))
    projector = Projector(tmp_path / "run", PLENTY)
    labels = ["", "two\twords", "new\r\nline", " ", "层", *(f"kind {index}" for index in range(15))]
    pictures = np.random.default_rng(1).integers(0, 256, (20, 5, 7, 3), np.uint8)
    expected = {}
    for number, name in enumerate(HOSTILE):
        for step in (0, 1200):
            expected[name, step] = vectors(seed=number + step)
            assert projector.add(name, step, expected[name, step], labels, pictures) == ""
    with tensorboard(tmp_path, load_fast=load_fast) as server:
        server.wait_for_runs("run", last_step=1)
        server.wait_for_dashboard("projector")
        assert server.json(ROUTE + "runs") == ["run"]
        listed = server.json(ROUTE + "info", {"run": "run"})["embeddings"]
        assert len({entry["tensorName"] for entry in listed}) == len(expected)
        for entry, sent in zip(listed, expected.values(), strict=True):
            assert entry["tensorShape"] == [20, 6]
            # As the projector's page asks: with nothing escaped but what a browser escapes by itself.
            assert not set(entry["tensorName"]) & set("&#%+\n\t")
            asked = {"run": "run", "name": entry["tensorName"], "num_rows": 100_000}
            got = np.frombuffer(server.get(ROUTE + "tensor", asked), np.float32)
            np.testing.assert_allclose(got.reshape(20, 6), sent, rtol=2.0**-16)
            lines = server.get(ROUTE + "metadata", asked).decode().splitlines()
            assert lines == ["(none)", "two words", "new line", "(none)", *labels[4:]]
            picture = np.asarray(Image.open(io.BytesIO(server.get(ROUTE + "sprite_image", asked))))
            assert entry["sprite"]["singleImageDim"] == [7, 5]
            assert picture.shape == (25, 35, 3)
            for index in (0, 4, 5, 19):
                row, column = divmod(index, 5)
                np.testing.assert_array_equal(
                    picture[5 * row : 5 * row + 5, 7 * column : 7 * column + 7], pictures[index]
                )


AS_TEXT = {
    "zeros": np.zeros((4, 3)),
    "a line feed first": np.full((4, 3), np.frombuffer(b"\x0a\x41\x42\x43", np.float32)[0]),
    "a carriage return first": np.full((4, 3), np.frombuffer(b"\x0d\x0d\x0d\x0d", np.float32)[0]),
    "letters": np.frombuffer(b"netviz writes letters that are numbers, too..... ", np.float32, 12).reshape(4, 3),
    "zeros for longer than a block": np.zeros((40_000, 64)),
}


@pytest.mark.parametrize("tensorflow", [False, pytest.param(True, marks=pytest.mark.tensorflow)])
def test_vectors_that_could_be_text_are_not_taken_for_it(tmp_path, tensorflow):
    write_run(tmp_path / "run", steps=range(2))
    projector = Projector(tmp_path / "run", PLENTY)
    for name, values in AS_TEXT.items():
        assert projector.add(name, 1, values.astype(np.float32), None, None) == ""
    with tensorboard(tmp_path, tensorflow=tensorflow) as server:
        server.wait_for_runs("run", last_step=1)
        server.wait_for_dashboard("projector")
        assert len(server.json(ROUTE + "info", {"run": "run"})["embeddings"]) == len(AS_TEXT)
        for name, values in AS_TEXT.items():
            got = server.get(ROUTE + "tensor", {"run": "run", "name": f"{name} step 00001"})
            np.testing.assert_allclose(
                np.frombuffer(got, np.float32).reshape(values.shape), values, rtol=2.0**-16, atol=1e-42
            )
    for name, values in AS_TEXT.items():
        np.testing.assert_allclose(loaded(tmp_path / "run", name)[1], values, rtol=2.0**-16, atol=1e-42)


def test_vectors_come_back_as_they_were(tmp_path):
    sent = {step: vectors(seed=step) for step in (3, 1, 20)}
    sent[1][2, 3], sent[1][4], sent[20][0] = np.nan, np.inf, 0.0
    projector = Projector(tmp_path, PLENTY)
    words = [projector.add("a/b", step, each, None, None) for step, each in sent.items()]
    assert words == ["", "points whose vectors are not finite are at the origin", ""]
    back = loaded(tmp_path, "a/b")
    assert list(back) == [1, 3, 20]
    sent[1][[2, 4]] = np.nan
    for step, each in sent.items():
        np.testing.assert_array_equal(back[step], each)
    (zeros,) = [np.fromfile(path, np.float32).reshape(20, 6) for path in tmp_path.rglob("00001-*.bytes")]
    assert np.isfinite(zeros).all()
    assert not zeros[[2, 4]].any()


def test_all_names_come_back(tmp_path):
    projector = Projector(tmp_path, PLENTY)
    for number, name in enumerate(HOSTILE):
        projector.add(name, number, vectors(), None, None)
    back = stored(tmp_path)
    assert {name.encode("utf-8", "replace").decode(): number for number, name in enumerate(HOSTILE)} == {
        name: steps[0][0] for name, steps in back.items()
    }
    assert all(path.is_relative_to(tmp_path / "netviz_projector") for path in tmp_path.rglob("*.bytes"))


def test_nothing_is_stored_where_there_is_nothing(tmp_path):
    assert stored(tmp_path) == {}


def test_a_file_that_was_cut_says_so(tmp_path):
    Projector(tmp_path, PLENTY).add("fc", 1, vectors(), None, None)
    (path,) = tmp_path.rglob("*.bytes")
    path.write_bytes(path.read_bytes()[:-4])
    (_, load), *_ = stored(tmp_path)["fc"]
    with pytest.raises(OSError, match="476 bytes instead of 480"):
        load()


def test_labels_and_thumbnails_are_written_once_for_each_set(tmp_path):
    projector, pictures = Projector(tmp_path, PLENTY), np.zeros((20, 4, 4, 1), np.uint8)
    labels = [str(index) for index in range(20)]
    for step in range(3):
        projector.add("fc", step, vectors(), labels, pictures)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*[vg]")}
    assert len(written) == 2
    Projector(tmp_path, PLENTY).add("fc", 3, vectors(), list(labels), pictures.copy())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*[vg]")} == written
    Projector(tmp_path, PLENTY).add("fc", 4, vectors(), labels[::-1], None)
    *earlier, last = config_of(tmp_path).embeddings
    assert len({entry.metadata_path for entry in earlier}) == 1
    assert last.metadata_path != earlier[0].metadata_path
    assert not last.HasField("sprite")


def test_ten_thousand_kinds(tmp_path):
    labels = [f"kind {index}" for index in range(10_000)]
    assert Projector(tmp_path, PLENTY).add("fc", 0, vectors(10_000, 2), labels, None) == ""
    (path,) = tmp_path.rglob("*.tsv")
    assert path.read_text("utf-8").splitlines() == labels


def test_entries_of_others_stay(tmp_path):
    theirs = 'model_checkpoint_path: "model.ckpt"\nembeddings { tensor_name: "fc step 00001" tensor_path: "t.tsv" }\n'
    (tmp_path / "projector_config.pbtxt").write_text(theirs)
    projector = Projector(tmp_path, PLENTY)
    projector.add("fc", 1, vectors(), None, None)
    first, second = config_of(tmp_path).embeddings
    assert config_of(tmp_path).model_checkpoint_path == "model.ckpt"
    assert (first.tensor_name, first.tensor_path) == ("fc step 00001", "t.tsv")
    assert second.tensor_name.startswith("fc step 00001 (fc-")


def test_our_entries_come_again_after_others_left_them_out(tmp_path):
    projector = Projector(tmp_path, PLENTY)
    projector.add("fc", 1, vectors(), None, None)
    (tmp_path / "projector_config.pbtxt").write_text('embeddings { tensor_name: "theirs" tensor_path: "t.tsv" }\n')
    projector.add("fc", 2, vectors(), None, None)
    assert names_in(tmp_path) == ["theirs", "fc step 00001", "fc step 00002"]


def test_a_resumed_run_adds_to_the_first_part_and_replaces_steps(tmp_path):
    first = Projector(tmp_path, PLENTY)
    for step in (0, 10, 20):
        first.add("fc", step, vectors(), None, None)
    resumed, other = Projector(tmp_path, PLENTY), vectors(30, 4, seed=9)
    resumed.add("fc", 20, other, None, None)
    resumed.add("fc", 30, other, None, None)
    assert names_in(tmp_path) == [f"fc step {step:05d}" for step in (0, 10, 20, 30)]
    np.testing.assert_array_equal(loaded(tmp_path)[20], other)
    assert len(list(tmp_path.rglob("*.bytes"))) == 4


@pytest.mark.parametrize("content", [b"embeddings {{ tensor_name", b"\xff\xfe\x00binary", b'from_the_future: "x"'])
def test_a_broken_config_is_kept_and_told(tmp_path, content):
    path = tmp_path / "projector_config.pbtxt"
    path.write_bytes(content)
    projector = Projector(tmp_path, PLENTY)
    words = projector.add("fc", 1, vectors(), None, None)
    assert words == "projector_config.pbtxt could not be understood; it is kept as projector_config.broken1.pbtxt"
    assert (tmp_path / "projector_config.broken1.pbtxt").read_bytes() == content
    path.write_bytes(content + b"!")
    assert "broken2" in projector.add("fc", 2, vectors(), None, None)
    assert (tmp_path / "projector_config.broken1.pbtxt").read_bytes() == content
    assert (tmp_path / "projector_config.broken2.pbtxt").read_bytes() == content + b"!"
    assert names_in(tmp_path) == ["fc step 00001", "fc step 00002"]


def test_older_steps_go_where_the_budget_is_used_up(tmp_path):
    projector, budget = Projector(tmp_path, 8_000), 8_000
    said = {projector.add("fc", step, vectors(), ["label"] * 20, None) for step in range(200)}
    assert said == {"", "older steps went, so that its files take no more than they may"}
    assert sum(path.stat().st_size for path in (tmp_path / "netviz_projector").rglob("*") if path.is_file()) <= budget
    steps = steps_of(tmp_path)
    assert steps[0] == 0
    assert steps[-1] == 199
    assert len(steps) == 16
    assert np.diff(steps).max() <= 3 * 200 / 16
    assert names_in(tmp_path) == [f"fc step {step:05d}" for step in steps]


def test_the_embedding_that_takes_most_gives_way(tmp_path):
    projector = Projector(tmp_path, 10_000)
    for step in range(3):
        projector.add("small", step, vectors(), None, None)
    for step in range(20):
        projector.add("large", step, vectors(40, 10), None, None)
    assert len(steps_of(tmp_path, "small")) == 3
    assert steps_of(tmp_path, "large")[-1] == 19


def test_labels_that_no_step_has_any_longer_go(tmp_path):
    projector = Projector(tmp_path, 4_000)
    for step in range(30):
        projector.add("fc", step, vectors(), [f"{step}-{index}" for index in range(20)], None)
    referred = {entry.metadata_path for entry in config_of(tmp_path).embeddings}
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.tsv")} == referred
    assert len(referred) == len(steps_of(tmp_path)) < 8


def test_what_is_too_large_is_left_out_in_words(tmp_path):
    assert (
        Projector(tmp_path, 400).add("fc", 1, vectors(), None, None)
        == "the vectors of a step take 480 bytes, and all of them may take 400"
    )
    pictures = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    assert "beside labels and thumbnails there is no room" in Projector(tmp_path, 2_000).add(
        "fc", 1, vectors(), None, pictures
    )
    assert stored(tmp_path) == {"fc": []}


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (0, 5), (5, 0)])
def test_what_the_projector_could_not_draw_is_left_out_in_words(tmp_path, shape):
    words = Projector(tmp_path, PLENTY).add("fc", 1, np.zeros(shape, np.float32), None, None)
    assert words == f"it takes two points with two numbers each at least, and there are {shape[0]} with {shape[1]}"


def test_entries_whose_files_were_deleted_go(tmp_path):
    """One of them would keep TensorBoard's projector from showing anything of any run."""
    Projector(tmp_path, PLENTY).add("fc", 1, vectors(), None, None)
    next(tmp_path.rglob("*.bytes")).unlink()
    Projector(tmp_path, PLENTY).add("fc", 2, vectors(), None, None)
    assert names_in(tmp_path) == ["fc step 00002"]


def test_a_folder_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / "netviz_projector").write_text("in the way")
    assert (
        Projector(tmp_path, PLENTY).add("fc", 1, vectors(), None, None) == "its files can't be written: Not a directory"
    )


FULL = """
import resource, sys
import numpy as np
from tb_netviz.embedding.projector import Projector
projector = Projector(sys.argv[1], 1 << 30)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))  # As if the disk was full.
print([projector.add("fc", step, np.ones((20, 6), np.float32), None, None) for step in range(40)])
"""


@pytest.mark.parametrize(("limit", "written"), [(300, 0), (2_000, 12)])
def test_a_disk_that_is_full_leaves_what_there_was(tmp_path, limit, written):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path, str(limit)], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    words = ast.literal_eval(done.stdout)
    assert words.count("") >= written
    assert set(words) - {""} == {"its files can't be written: File too large"}
    steps = [step for step, said in enumerate(words) if not said]
    assert stored(tmp_path).get("fc", []) == [] if not steps else steps_of(tmp_path) == steps
    assert not steps or names_in(tmp_path) == [f"fc step {step:05d}" for step in steps]
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


PROCESS = """
import sys
import numpy as np
from tb_netviz.embedding.projector import Projector
projector = Projector(sys.argv[1], 1 << 30)
for step in range(25):
    assert projector.add(sys.argv[2], step, np.ones((5, 3), np.float32), None, None) == ""
assert not {"torch", "tensorflow"} & set(sys.modules)
"""


def test_several_processes_lose_nothing_of_each_other(tmp_path):
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), name], env=ENVIRONMENT) for name in "abc"
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert sorted(names_in(tmp_path)) == [f"{name} step {step:05d}" for name in "abc" for step in range(25)]


def test_a_lock_that_is_never_let_go_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(projector_config, "PATIENCE", 0.1)
    with projector_config.locked(tmp_path):
        words = Projector(tmp_path, PLENTY).add("fc", 1, vectors(), None, None)
    assert words.startswith("its files can't be written: another process has been writing it")
    assert Projector(tmp_path, PLENTY).add("fc", 1, vectors(), None, None) == ""
    assert Path(tmp_path / "projector_config.pbtxt").exists()
