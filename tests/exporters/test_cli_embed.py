"""`tb-netviz embed`, run as a user runs it, on files as they lie on the disk."""

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from tb_netviz.cli import main
from tb_netviz.embedding.projector import Projector
from tb_netviz.events.folder_lock import FolderLock
from tb_netviz_plugin.schema.embedding import Method
from tests.support.apps import LOADERS, open_app
from tests.support.distributions import ROOT
from tests.support.embeddings import EmbeddingFile, described, point_set
from tests.support.runs import START, RunFile, write_run

STEPS = range(0, 120, 10)
POINTS = 90


def vectors(step, points=POINTS, seed=0):
    """Return vectors [points, 12] of three classes that part with the steps."""
    rng = np.random.default_rng(seed)
    labels = np.arange(points) % 3
    centres = rng.standard_normal((3, 12)) * step / 20
    return (centres[labels] + rng.standard_normal((points, 12))).astype(np.float32)


def write(folder, steps=STEPS, *, points=POINTS, sets=None, start=START, name="fc", model="", seed=0, keep=True):
    """Write a run with an embedding, as a training leaves it: a live layout, measures, and vectors."""
    sets = sets or [point_set(points)]
    projector = Projector(folder, 1 << 30)
    with RunFile(folder, start=start) as file:
        layouts = ((Method.PCA, 2, "live"),)
        written = EmbeddingFile(file, described(*sets, name=name, model=model, layouts=layouts), steps[0])
        for index, one in enumerate(sets):
            written.labels(index, (np.arange(one.points) % 3).astype(np.float32), steps[0])
        for number, step in enumerate(steps):
            index = number * len(sets) // len(steps)
            given = vectors(step, sets[index].points, seed)
            written.lay(step, given[:, :2].astype(float), index=index)
            written.measure(step, {"set": index, "points": len(given)}, predictions=np.zeros(len(given), np.float32))
            if keep:
                assert projector.add("/".join(filter(None, (model, name))), step, given, None, None) == ""


@pytest.fixture
def embed(capsys):
    """Runs the command and returns exit status, standard output and standard error."""

    def run(*arguments):
        status = main(["embed", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def cka(one, other):
    """Return the linear CKA of vectors of the same points."""
    first, second = (each.astype(float) - each.mean(axis=0, dtype=float) for each in (one, other))
    return np.linalg.norm(first.T @ second) ** 2 / np.linalg.norm(first.T @ first) / np.linalg.norm(second.T @ second)


def laid_out(app, run="run", embedding="fc", origin="offline"):
    """Return the index of the layout, its steps, and the positions at each."""
    (one,) = [one for one in app.json("embeddings", run=run)["embeddings"] if one["name"] == embedding]
    (index,) = [index for index, layout in enumerate(one["layouts"]) if layout["origin"] == origin]
    steps = one["layouts"][index]["steps"]
    found = {step: app.frame("points", run=run, embedding=embedding, layout=index, step=step) for step in steps}
    return index, {step: (header["set"], arrays["positions"]) for step, (header, arrays) in found.items()}


@pytest.mark.parametrize("loader", LOADERS)
def test_the_layout_stands_beside_the_live_one(tmp_path, embed, loader):
    write(tmp_path / "run")
    with open_app(tmp_path, loader) as app:
        _, before = laid_out(app, origin="live")
    status, out, err = embed(tmp_path)
    assert (status, err) == (0, "")
    assert out.startswith("run, fc: t-SNE of 12 steps, trustworthiness 0.")
    with open_app(tmp_path, loader) as app:
        (one,) = app.json("embeddings", run="run")["embeddings"]
        assert [(layout["method"], layout["dims"], layout["origin"]) for layout in one["layouts"]] == [
            ("pca", 2, "live"),
            ("tsne", 2, "offline"),
        ]
        assert one["predictions"]
        index, offline = laid_out(app)
        _, after = laid_out(app, origin="live")
        header, arrays = app.frame("layout", run="run", embedding="fc", layout=index)
    assert list(offline) == list(STEPS)
    for step, (number, positions) in before.items():
        assert after[step][0] == number
        np.testing.assert_array_equal(after[step][1], positions)
    trusted = arrays["values"][:, header["columns"].index("trustworthiness")]
    for (step, (number, positions)), told in zip(offline.items(), trusted, strict=True):
        assert number == 0
        assert abs(trustworthiness(vectors(step), positions, n_neighbors=10) - told) < 0.01
    assert trusted[-1] > 0.9


def test_it_is_calm(tmp_path, embed):
    write(tmp_path / "run")
    embed(tmp_path)
    with open_app(tmp_path, "python") as app:
        _, offline = laid_out(app)
        header, arrays = app.frame("layout", run="run", embedding="fc", layout=1)
    positions = [each - each.mean(axis=0) for _, each in offline.values()]
    moves = [
        np.linalg.norm(new - old, axis=1).mean() / np.sqrt((new**2).sum(1).mean()) for old, new in pairwise(positions)
    ]
    assert np.mean(moves) < 0.35
    columns = dict(zip(header["columns"], arrays["values"].T, strict=True))
    assert np.isnan([columns[name][0] for name in ("drift", "similarity")]).all()
    np.testing.assert_allclose(columns["drift"][1:], moves, rtol=0.2)
    for step, told in zip(STEPS[1:], columns["similarity"][1:], strict=True):
        assert abs(told - cka(vectors(step - 10), vectors(step))) < 1e-3


@pytest.mark.parametrize("dims", [2, 3])
def test_pca_is_that_of_each_step(tmp_path, embed, dims):
    write(tmp_path / "run")
    assert embed(tmp_path, "--method", "pca", "--dims", dims)[0] == 0
    with open_app(tmp_path, "python") as app:
        _, offline = laid_out(app)
    for step, (_, positions) in offline.items():
        centred = vectors(step).astype(float)
        centred -= centred.mean(axis=0)
        expected = np.linalg.svd(centred)[1][:dims]
        found = np.linalg.svd(positions - positions.mean(axis=0))[1]
        np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=2e-3)
        assert abs(cka(centred, positions) - cka(centred, np.linalg.svd(centred)[0][:, :dims] * expected)) < 1e-3


def test_points_that_changed_are_laid_out_by_themselves(tmp_path, embed):
    write(tmp_path / "run", sets=[point_set(POINTS), point_set(60, key="other")])
    status, out, err = embed(tmp_path, "--method", "pca")
    assert (status, err) == (0, "")
    assert "PCA of 12 steps" in out
    with open_app(tmp_path, "python") as app:
        _, offline = laid_out(app)
    assert [number for number, _ in offline.values()] == [0] * 6 + [1] * 6
    assert [len(positions) for _, positions in offline.values()] == [90] * 6 + [60] * 6


def test_what_a_resumed_run_superseded_is_left_out(tmp_path, embed):
    write(tmp_path / "run", range(0, 120, 10))
    write(tmp_path / "run", range(50, 90, 15), start=START + 1000, seed=1)
    assert embed(tmp_path, "--method", "pca")[0] == 0
    with open_app(tmp_path, "python") as app:
        _, offline = laid_out(app)
    assert list(offline) == [0, 10, 20, 30, 40, 50, 65, 80]


def test_vectors_that_are_not_finite_are_nowhere(tmp_path, embed):
    write(tmp_path / "run", keep=False)
    projector = Projector(tmp_path / "run", 1 << 30)
    for step in STEPS:
        given = vectors(step)
        given[[3, 50]] = np.nan
        projector.add("fc", step, given, None, None)
    assert embed(tmp_path, "--method", "pca")[0] == 0
    with open_app(tmp_path, "python") as app:
        _, offline = laid_out(app)
    for _, positions in offline.values():
        assert np.flatnonzero(np.isnan(positions).any(axis=1)).tolist() == [3, 50]


def test_a_second_time_replaces_the_first(tmp_path, embed):
    write(tmp_path / "run")
    for perplexity in (5, 25):
        assert embed(tmp_path, "--perplexity", perplexity)[0] == 0
    for loader in LOADERS:
        with open_app(tmp_path, loader) as app:
            (one,) = app.json("embeddings", run="run")["embeddings"]
            assert len(one["layouts"]) == 2
            assert list(laid_out(app)[1]) == list(STEPS)


def test_runs_and_embeddings_can_be_chosen(tmp_path, embed):
    for run in ("a", "b"):
        for name in ("fc1", "fc2"):
            write(tmp_path / run, name=name, start=START + (name == "fc2"))
    status, out, err = embed(tmp_path, "--run", "b", "--name", "fc2", "--method", "pca")
    assert (status, err, out.splitlines()) == (0, "", ["b, fc2: PCA of 12 steps" + out.split("steps")[1].rstrip()])
    status, out, _ = embed(tmp_path, "--method", "pca")
    assert [line.split(":")[0] for line in out.splitlines()] == ["a, fc1", "a, fc2", "b, fc1", "b, fc2"]


def test_models_with_embeddings_of_the_same_name_are_told_apart(tmp_path, embed):
    write(tmp_path / "run", model="student", seed=1)
    write(tmp_path / "run", model="teacher", seed=2, points=60, start=START + 1)
    assert embed(tmp_path, "--method", "pca")[0] == 0
    with open_app(tmp_path, "python") as app:
        assert len(laid_out(app, embedding="student/fc")[1][0][1]) == 90
        assert len(laid_out(app, embedding="teacher/fc")[1][0][1]) == 60


def test_what_is_not_there_is_refused_in_words(tmp_path, embed):
    write(tmp_path / "run")
    write_run(tmp_path / "bare", steps=range(3))
    assert embed(tmp_path / "none")[0] == 2
    assert "there is no run 'x'" in embed(tmp_path, "--run", "x")[2]
    assert "there is no embedding 'x'; there is 'fc'" in embed(tmp_path, "--name", "x")[2]
    assert "there are no embeddings" in embed(tmp_path, "--run", "bare")[2]


def test_a_run_without_vectors_is_told_and_the_others_go_on(tmp_path, embed):
    write(tmp_path / "empty", keep=False)
    write(tmp_path / "full")
    status, out, err = embed(tmp_path, "--method", "pca")
    assert status == 0
    assert "empty, fc: no vectors were kept" in err
    assert out.startswith("full, fc: PCA")
    status, out, err = embed(tmp_path, "--run", "empty", "--method", "pca")
    assert (status, out) == (2, "")
    assert "nothing was laid out" in err
    assert len(list((tmp_path / "empty").glob("events*"))) == 1


def test_a_run_that_is_being_written_is_refused(tmp_path, embed):
    write(tmp_path / "run")
    lock = FolderLock(str(tmp_path / "run"))
    status, out, err = embed(tmp_path, "--method", "pca")
    assert (status, out) == (2, "")
    assert "still writing" in err
    assert len(list((tmp_path / "run").rglob("events*"))) == 1
    lock.release()
    assert embed(tmp_path, "--method", "pca")[0] == 0


def test_damaged_vectors_are_told(tmp_path, embed):
    write(tmp_path / "run")
    path = next((tmp_path / "run").rglob("00050-*.bytes"))
    path.write_bytes(path.read_bytes()[:100])
    status, _, err = embed(tmp_path, "--method", "pca")
    assert status == 2
    assert "has 100 bytes instead of" in err


def test_points_too_few_for_a_layout_are_told(tmp_path, embed):
    write(tmp_path / "run", sets=[point_set(3)])
    status, _, err = embed(tmp_path)
    assert status == 2
    assert "run, fc: needs at least" in err


def command(log_dir, *arguments, without=(), limit=None):
    """Run the command in a process of its own, which has not the modules `without`, with files of `limit` bytes.

    It sets the limit itself: what is called between fork and exec runs beside locks of this process's threads.
    """
    program = (
        f"import resource, sys; sys.modules.update(dict.fromkeys({without!r}))\n"
        f"if {limit!r} is not None: resource.setrlimit(resource.RLIMIT_FSIZE, ({limit!r}, resource.RLIM_INFINITY))\n"
        "from tb_netviz.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "embed", str(log_dir), *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_machine_without_a_library_says_what_to_install(tmp_path):
    write(tmp_path / "run")
    status, err = command(tmp_path, without=("openTSNE", "sklearn"))
    assert status == 2, err
    assert "tb-netviz-plugin[embedding]" in err
    status, err = command(tmp_path, "--method", "umap", without=("umap",))
    assert status == 2, err
    assert "umap-learn" in err
    assert command(tmp_path, "--method", "pca", without=("openTSNE", "sklearn"))[0] == 0


def test_a_disk_that_is_full_is_told(tmp_path):
    write(tmp_path / "run")
    status, err = command(tmp_path, "--method", "pca", limit=600)
    assert status == 2, err
    assert "is the disk full?" in err
    with open_app(tmp_path, "python") as app:
        assert laid_out(app, origin="live")[1]


def test_names_of_others_are_shown_and_not_obeyed(tmp_path, embed):
    write(tmp_path / "run", name="\x1b[31mred\nline")
    status, out, _ = embed(tmp_path, "--method", "pca")
    assert status == 0
    assert "\x1b" not in out
    assert len(out.splitlines()) == 1


def test_other_perplexities_are_refused(tmp_path, capsys):
    for wrong in ("0", "-3", "nan", "inf", "many"):
        with pytest.raises(SystemExit):
            main(["embed", str(tmp_path), "--perplexity", wrong])
        assert "--perplexity" in capsys.readouterr().err
