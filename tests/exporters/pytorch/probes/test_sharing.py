"""Probes of one model share a budget of time, and those of the same inputs a pass."""

import numpy as np
import pytest
import torch

from tb_netviz.embedding.vectors import stored
from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import read_album
from tests.support.placed import read_placed
from tests.support.probed import POINTS, steps_of
from tests.support.small_networks import Convolutions, digits

BATCHES = 2


class Counting(Convolutions):
    """Counts its passes in eval mode, in a mapping: a number would be put back."""

    def __init__(self):
        super().__init__()
        self.passes = {"eval": 0}

    def forward(self, pictures):
        self.passes["eval"] += not self.training
        return super().forward(pictures)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Counting()


@pytest.fixture
def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.01)


def watched(folder, model, optimizer, steps, begin):
    """Train with what `begin` begins, and return how many passes that took."""
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer)
        begin(writer)
        before = model.passes["eval"]
        steps_of(model, optimizer, steps)
        return model.passes["eval"] - before


def test_embeddings_of_the_same_inputs_share_a_pass_and_have_the_vectors_that_each_has_alone(tmp_path):
    pictures, classes = digits(POINTS)
    passes, found = {}, {}
    for run, names in (("both", ("conv", "head")), ("conv", ("conv",)), ("head", ("head",))):
        torch.manual_seed(0)
        model = Counting()

        def begin(writer, names=names):
            for name in names:  # Each time other tensors of the same values.
                writer.watch_embedding(name, name, pictures.clone(), classes, every=1)

        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        passes[run] = watched(tmp_path / run, model, optimizer, 3, begin)
        for name in names:
            found[run, name] = [load() for _, load in stored(tmp_path / run)[name]]
    assert passes == {"both": 3 * BATCHES, "conv": 3 * BATCHES, "head": 3 * BATCHES}
    for name in ("conv", "head"):
        assert len(found["both", name]) == 3
        np.testing.assert_array_equal(found["both", name], found[name, name])


def test_other_inputs_have_a_pass_of_their_own(tmp_path, model, optimizer):
    pictures, _ = digits(POINTS)

    def begin(writer):
        writer.watch_embedding("one", "", pictures, every=1)
        writer.watch_embedding("other", "", pictures.flip(0), every=1)

    assert watched(tmp_path, model, optimizer, 3, begin) == 2 * 3 * BATCHES


def test_those_that_are_due_at_other_steps_run_alone(tmp_path, model, optimizer):
    pictures, _ = digits(POINTS)

    def begin(writer):
        writer.watch_embedding("often", "", pictures, every=2)
        writer.watch_embedding("seldom", "", pictures, every=3)
        writer.watch_activation_maps(pictures[:4], every=3)

    assert watched(tmp_path, model, optimizer, 6, begin) == BATCHES * len({0, 2, 4} | {0, 3}) + 2
    assert read_placed(tmp_path, "often").steps("pca") == [0, 2, 4]
    assert read_placed(tmp_path, "seldom").steps("pca") == [0, 3]
    assert read_album(tmp_path).steps == [0, 3]


def test_what_one_of_them_lacks_is_no_loss_for_the_others(tmp_path, model, optimizer):
    model.spare = torch.nn.Linear(2, 2)
    pictures, _ = digits(POINTS)

    def begin(writer):
        for name in ("spare", "conv"):
            writer.watch_embedding(name, name, pictures, every=1)

    with pytest.warns(NetVizWarning, match="the module 'spare' does not run when the model is") as told:
        assert watched(tmp_path, model, optimizer, 3, begin) == 3 * BATCHES
    assert len(told) == 1
    assert read_placed(tmp_path, "conv").steps("pca") == [0, 1, 2]
    assert "'spare' does not run" in read_placed(tmp_path, "spare").reasons["layouts"]


def test_where_the_pass_fails_each_says_so(tmp_path, model, optimizer):
    pictures, _ = digits(POINTS)
    forward = model.conv.forward

    def fail(values):
        if not model.training:
            raise RuntimeError("not for evaluation")
        return forward(values)

    model.conv.forward = fail

    def begin(writer):
        for name in ("one", "two"):
            writer.watch_embedding(name, "head", pictures, every=1)
        writer.watch_activation_maps(pictures[:4], "stem", every=1)

    with pytest.warns(NetVizWarning) as told:
        watched(tmp_path, model, optimizer, 2, begin)
    assert sorted(str(one.message).split(":")[1] for one in told) == [
        " The activation maps 'probe'",
        " The embedding 'one'",
        " The embedding 'two'",
    ]
    for name in ("one", "two"):
        assert "RuntimeError: not for evaluation" in read_placed(tmp_path, name).reasons["layouts"]


def test_they_share_what_they_may_cost(tmp_path, model, optimizer):
    pictures, _ = digits(POINTS)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        one = writer.watch_embedding("one", "conv", pictures)
        two = writer.watch_embedding("two", "", pictures.flip(0))
        maps = writer.watch_activation_maps(pictures[:4])
        other_model = Convolutions()
        other = writer.watch_activation_maps(pictures[:4], model=other_model)
        budgets = [probe.schedule._time for probe in (one, two, maps, other)]
    assert budgets[0] is budgets[1] is budgets[2]
    assert budgets[3] is not budgets[0]


def test_of_a_model_that_nothing_else_watches_they_count_the_same_steps(tmp_path, model, optimizer):
    pictures, _ = digits(POINTS)
    with NetVizWriter(tmp_path) as writer:
        writer.watch_activation_maps(pictures[:4], model=model, every=1)
        steps_of(model, optimizer, 2)
        embedding = writer.watch_embedding("later", "", pictures, model=model, every=1)
        steps_of(model, optimizer, 2)
        assert embedding.attached
    assert read_album(tmp_path).steps == [0, 1, 2, 3]
    assert read_placed(tmp_path, "later").steps("pca") == [2, 3]


def test_after_the_last_of_them_a_new_one_begins_anew(tmp_path, model, optimizer):
    pictures, _ = digits(POINTS)
    for run in ("first", "second"):
        with NetVizWriter(tmp_path / run) as writer:
            writer.watch_activation_maps(pictures[:4], model=model, every=1)
            steps_of(model, optimizer, 2)
    assert read_album(tmp_path / "first").steps == read_album(tmp_path / "second").steps == [0, 1]
