"""UMAP, in one process for all tests of it: what it compiles takes longer than what it lays out."""

import sys

import pytest
from sklearn.manifold import trustworthiness

from tb_netviz.embedding.course import backwards
from tb_netviz_plugin.schema.embedding import Method
from tests.exporters.embedding.test_course import changed, digits
from tests.exporters.test_cli_embed import STEPS, embed, laid_out, vectors, write
from tests.support.apps import open_app

__all__ = ["digits", "embed"]


@pytest.fixture(autouse=True)
def without_tensorflow(monkeypatch):
    """Keep umap-learn from importing TensorFlow, for a class of its own that we do not use."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)


def test_umap_lays_out_backwards_too(digits):
    found = list(backwards([lambda: changed(digits), lambda: digits], Method.UMAP))
    assert [index for index, _ in found] == [1, 0]
    assert all(placed.figures["trustworthiness"] > 0.95 for _, placed in found)
    assert found[1][1].figures["drift"] < 0.3


def test_the_command_lays_out_by_umap(tmp_path, embed):
    write(tmp_path / "run", STEPS[-3:])
    status, _, err = embed(tmp_path, "--method", "umap", "--dims", "3", "--perplexity", "10")
    assert (status, err) == (0, "")
    with open_app(tmp_path, "python") as app:
        (one,) = app.json("embeddings", run="run")["embeddings"]
        assert one["layouts"][1] == {"method": "umap", "dims": 3, "origin": "offline", "steps": [90, 100, 110]}
        _, offline = laid_out(app)
    for step, (_, positions) in offline.items():
        assert trustworthiness(vectors(step), positions, n_neighbors=10) > 0.85
