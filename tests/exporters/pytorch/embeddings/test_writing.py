"""What stands in the log folder of a training, and what is refused in words."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.placed import read_placed
from tests.support.probed import steps_of
from tests.support.small_networks import Convolutions, digits

COUNT = 60


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Convolutions()


@pytest.fixture
def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.01)


@pytest.fixture
def pictures():
    return digits(COUNT)[0]


@pytest.fixture
def classes():
    return digits(COUNT)[1]


def test_two_layers_of_the_same_inputs_share_these(tmp_path, model, optimizer, pictures, classes):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, name="net")
        for name in ("stem", "head"):
            writer.watch_embedding(name, name, pictures, classes, 3, 2, pictures)
        steps_of(model, optimizer, 4)
    one, two = (read_placed(tmp_path, name, "net") for name in ("stem", "head"))
    assert (one.description.inputs, one.description.module) == (two.description.inputs, "stem")
    assert one.steps("pca") == two.steps("pca") == [0, 2]
    assert one.positions("tsne", 2).shape == (COUNT, 3)
    (points,) = two.description.sets
    np.testing.assert_array_equal(one.arrays[points.labels_tag] is not None and two.labels(points), classes)
    (tag,) = points.thumbnail_tags
    np.testing.assert_allclose(two.arrays[tag][0][..., 0], 255 * pictures[:, 0].numpy(), atol=0.5001)
    assert [step for step, _ in two.scalars["embedding/net/head/trustworthiness"]] == two.steps("tsne")


def test_labels_without_every_class_of_the_model(tmp_path, model, optimizer, pictures):
    labels = torch.arange(COUNT) % 3
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        writer.watch_embedding("out", "", pictures, labels)
        writer.watch_embedding("named", "", pictures, labels, classes=[f"digit {index}" for index in range(10)])
        writer.watch_embedding("words", "", pictures, [f"digit {index}" for index in labels.tolist()])
        writer.watch_embedding("numbers", "", pictures, labels / 2)
        steps_of(model, optimizer, 1)
    out, named, words, numbers = (read_placed(tmp_path, name) for name in ("out", "named", "words", "numbers"))
    assert out.description.sets[0].classes == tuple(map(str, range(10)))
    assert named.description.sets[0].classes == tuple(f"digit {index}" for index in range(10))
    np.testing.assert_array_equal(out.predictions()[0], named.predictions()[0])
    assert words.description.sets[0].classes == ("digit 0", "digit 1", "digit 2")
    assert words.description.prediction_stem == numbers.description.prediction_stem == ""
    assert "the labels don't say which output stands for which" in words.reasons["predictions"]
    assert numbers.reasons == {}


def test_a_second_one_of_the_same_name_takes_the_place_of_the_first(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        first = writer.watch_embedding("out", "", pictures, every=1)
        maps = writer.watch_activation_maps(pictures[:4], name="out", every=1)
        steps_of(model, optimizer, 2)
        with pytest.warns(NetVizWarning, match="embeddings were recorded as 'out' already") as told:
            second = writer.watch_embedding("out", "", pictures[:40], every=1)
        assert told[0].filename == __file__
        assert (first.attached, second.attached, maps.attached) == (False, True, True)
        steps_of(model, optimizer, 2)
    placed = read_placed(tmp_path, "out")
    assert placed.description.sets[0].points == 40
    assert placed.steps("pca") == [2, 3]


def test_a_budget_of_bytes_is_kept_and_its_end_is_said(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        embedding = writer.watch_embedding("out", "", pictures, every=1, budget_bytes=800_000)
        with pytest.warns(NetVizWarning, match=r"'out': the budget of 800,000 bytes is used up at step \d+\. Training"):
            steps_of(model, optimizer, 40)
        assert not embedding.attached
    placed = read_placed(tmp_path, "out")
    assert placed.steps("pca")[:2] == [0, 1]
    assert 2 < len(placed.steps("pca")) < 8
    assert "800,000 bytes is used up" in placed.reasons["layouts"]
    assert sum(path.stat().st_size for path in tmp_path.glob("events*")) < 1_600_000


def test_vectors_of_ones_own(tmp_path, model, optimizer):
    vectors = torch.randn(COUNT, 6, requires_grad=True, dtype=torch.float64)
    with NetVizWriter(tmp_path) as writer:
        writer.add_tsne("before", vectors, torch.arange(COUNT) % 2)
        writer.add_tsne("before", vectors.bfloat16())
        writer.watch(model, optimizer)
        steps_of(model, optimizer, 2)
        writer.add_tsne("in training", vectors * 2, dims=3, thumbnails=torch.zeros(COUNT, 1, 4, 4))
        writer.add_tsne("given", vectors, step=7, classes=["a", "b"], labels=[0] * COUNT, predictions=["b"] * COUNT)
    assert read_placed(tmp_path, "before").steps("pca") == [0, 1]
    assert read_placed(tmp_path, "in training").steps("pca") == [1]
    given = read_placed(tmp_path, "given")
    assert given.steps("pca") == [7]
    assert given.description.sets[0].classes == ("a", "b")
    assert (given.predictions()[7] == 1).all()


def test_names_are_of_one_kind(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        writer.add_tsne("mine", np.eye(5))
        with pytest.raises(ValueError, match="vectors are added to the embedding 'mine' already"):
            writer.watch_embedding("mine", "", pictures)
        writer.watch_embedding("ours", "", pictures)
        with pytest.raises(ValueError, match="the embedding 'ours' is followed already"):
            writer.add_tsne("ours", np.eye(5))


def test_after_the_end_another_run_begins(tmp_path, model, optimizer, pictures):
    writer = NetVizWriter(tmp_path)
    writer.watch(model, optimizer)
    writer.watch_embedding("out", "", pictures, every=1)
    steps_of(model, optimizer, 1)
    writer.close()
    steps_of(model, optimizer, 1)
    writer.add_tsne("later", np.eye(8), step=3)
    writer.close()
    assert read_placed(tmp_path, "out").steps("pca") == [0]
    assert read_placed(tmp_path, "later").steps("pca") == [3]


def test_a_model_that_nothing_else_watches(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch_embedding("out", model.head, pictures, every=2, model=model)
        steps_of(model, optimizer, 4)
    placed = read_placed(tmp_path, "out")
    assert placed.steps("pca") == [0, 2]
    assert placed.description.module == "head"


def test_a_module_tells_which_of_several_models_is_meant(tmp_path, model, optimizer, pictures):
    other = Convolutions()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(other, name="other")
        writer.watch(model, optimizer, name="this")
        writer.watch_embedding("out", model.head, pictures)
        with pytest.raises(ValueError, match="2 models are watched"):
            writer.watch_embedding("out", "head", pictures)
        steps_of(model, optimizer, 1)
    assert read_placed(tmp_path, "out", "this").steps("pca") == [0]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"name": 3}, TypeError, "name must be a text"),
        ({"module": "nowhere"}, ValueError, "the model has no 'nowhere'"),
        ({"inputs": "text"}, TypeError, "inputs must be a tensor"),
        ({"labels": [1]}, ValueError, "labels must be one for each of the 60 points"),
        ({"labels": [11] * COUNT, "classes": ["a"]}, ValueError, "labels must be of the 1 classes, got 11"),
        ({"dims": 1}, ValueError, "dims must be 2 or 3"),
        ({"every": 0}, ValueError, "every must be"),
        ({"thumbnails": torch.zeros(3, 4, 4)}, ValueError, "thumbnails must be"),
        ({"budget_bytes": 0}, ValueError, "budget_bytes must be"),
        ({"perplexity": math.nan}, ValueError, "perplexity must be"),
        ({"model": "text"}, TypeError, "model must be a torch.nn.Module"),
        ({"model": nn.Linear(2, 2, device="meta")}, ValueError, "call watch_embedding once it has"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, model, optimizer, pictures, changes, error, words):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        with pytest.raises(error, match=words):
            writer.watch_embedding(**({"name": "out", "module": "", "inputs": pictures} | changes))
        steps_of(model, optimizer, 1)
        embeddings = writer._belongings.embeddings
        assert embeddings is None or embeddings.worker_pid is None


def test_a_module_that_does_not_run_is_said(tmp_path, model, optimizer, pictures):
    model.spare = nn.Linear(2, 2)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        writer.watch_embedding("out", "spare", pictures)
        with pytest.warns(NetVizWarning, match="the module 'spare' does not run when the model is"):
            steps_of(model, optimizer, 1)
    assert "'spare' does not run" in read_placed(tmp_path, "out").reasons["layouts"]
