"""However a probe comes to its end, the step that it ends in goes on, and nothing of it stays."""

import gc
import weakref

import pytest
import torch
from torch.optim.optimizer import _global_optimizer_post_hooks as AFTER_ANY_STEP

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import read_album
from tests.support.placed import read_placed
from tests.support.probed import KINDS, POINTS, steps_of
from tests.support.small_networks import Convolutions, digits


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


class Raising(Convolutions):
    """Can't be run in eval mode."""

    def forward(self, pictures):
        if not self.training:
            raise RuntimeError("not for evaluation")
        return super().forward(pictures)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.01)


def test_one_that_ends_in_a_step_leaves_the_probes_of_other_models_alone(tmp_path, kind):
    """Torch goes through all global hooks meanwhile, and can't bear that one is taken out."""
    one, other, (pictures, classes) = Raising(), Convolutions(), digits(POINTS)
    before = len(AFTER_ANY_STEP)
    with NetVizWriter(tmp_path / "one") as first, NetVizWriter(tmp_path / "other") as second:
        ending = kind.watch(first, pictures, classes, model=one)
        going_on = kind.watch(second, pictures, classes, model=other)
        with pytest.warns(NetVizWarning, match="not for evaluation"):
            steps_of(one, sgd(one), 1)
        assert not ending.attached
        steps_of(one, sgd(one), 1)
        steps_of(other, sgd(other), 2)
        assert going_on.attached
    assert kind.read(tmp_path / "other")[0] == [0, 1]
    assert len(AFTER_ANY_STEP) == before


def test_its_hook_is_gone_once_a_model_has_another(tmp_path, kind):
    model, (pictures, classes) = Raising(), digits(POINTS)
    before = len(AFTER_ANY_STEP)
    with NetVizWriter(tmp_path) as writer:
        for _ in range(3):
            probe = kind.watch(writer, pictures, classes, model=model)
            with pytest.warns(NetVizWarning, match="not for evaluation"):
                steps_of(model, sgd(model), 1)
            assert not probe.attached
        assert len(AFTER_ANY_STEP) == before + 1
    assert len(AFTER_ANY_STEP) == before


def test_what_was_seen_does_not_hold_the_model(tmp_path, kind):
    model, (pictures, classes) = Convolutions(), digits(POINTS)
    with NetVizWriter(tmp_path) as writer:
        probe = kind.watch(writer, pictures, classes, model=model)
        steps_of(model, sgd(model), 1)
        look = probe.look([probe])
        seen = look.seen
        parts = [weakref.ref(part) for part in model.modules()]
        del model
        gc.collect()
        assert [part() for part in parts] == [None] * len(parts)
        assert look.seen is seen


def test_a_model_goes_away_while_probes_of_it_are_under_way(tmp_path, kind, monkeypatch):
    """What is under way stays so, as on a GPU that is busy."""
    monkeypatch.setattr("tb_netviz.pytorch.probes.look.Look.ready", False)
    model, (pictures, classes) = Convolutions(), digits(POINTS)
    with NetVizWriter(tmp_path) as writer:
        kind.watch(writer, pictures, classes, model=model)
        steps_of(model, sgd(model), 1)
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None
    assert kind.read(tmp_path)[0] == [0]


def test_where_no_look_can_be_had_that_probe_says_so_and_the_others_go_on(tmp_path):
    """The type of a hook may lack the name of its module, which we ask for."""
    hook = type("Hook", (), {"__call__": lambda *_: None, "__module__": None})()
    model, (pictures, classes) = Convolutions(), digits(POINTS)
    model.stem.register_forward_hook(hook)
    with NetVizWriter(tmp_path) as writer:
        maps = writer.watch_activation_maps(pictures[:4], model=model, every=1)
        writer.watch_embedding("out", "", pictures, classes, model=model, every=1)
        with pytest.warns(NetVizWarning, match="activation maps 'probe': no longer recorded") as told:
            steps_of(model, sgd(model), 3)
        assert not maps.attached
    assert len(told) == 1
    assert read_placed(tmp_path, "out").steps("pca") == [0, 1, 2]
    assert "AttributeError" in read_album(tmp_path).reasons["maps"]
