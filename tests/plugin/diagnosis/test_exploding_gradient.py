"""`exploding_gradient` names where and since when the gradient grows; large ones in good health are left alone."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import Severity
from tb_netviz_plugin.schema.description import Module
from tests.support.modelled import RECORDS, Model, falling, flat, found

RULE = "exploding_gradient"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decay", [0.8, 0.95, 1.1])
def test_healthy_networks_are_left_alone(seed, decay):
    assert found(RULE, Model(seed=seed, decay=decay), train=falling()) == []


def test_growth_towards_the_input_names_the_first_layers():
    (finding,) = found(RULE, Model(decay=4.0))
    assert finding.layers[0] in (0, 1)
    assert (finding.first_step, finding.severity) == (0, Severity.CRITICAL)


def test_growth_that_ends_in_nan_at_once_is_found():
    model = Model(decay=4.0)
    model.norms[2:] = np.nan
    (finding,) = found(RULE, model)
    assert (finding.first_step, finding.last_step) == (0, 10)


def test_large_inputs_make_the_first_layer_alone_large():
    for layers in ({}, {"layers": {name: {"weight": (4, 4)} for name in "abcd"}}):
        model = Model(**layers)
        model.norms[:, model.of(0)] *= 1e6
        assert found(RULE, model, train=falling()) == []


def worse_from(record):
    return np.append(falling()[:record], np.full(RECORDS - record, 50.0))


def test_growth_over_the_run_under_which_the_loss_gets_worse():
    model = Model()
    model.norms[30:] *= 1e4
    (finding,) = found(RULE, model, train=worse_from(30))
    assert 280 <= finding.first_step <= 320
    assert finding.last_step == 590


def test_a_gradient_that_finds_its_way_may_grow():
    model = Model()
    model.norms[:20] *= 1e-4
    assert found(RULE, model, train=falling()) == []


def test_without_a_loss_growth_is_no_fault_by_itself():
    model = Model()
    model.norms[30:] *= 1e4
    assert found(RULE, model) == []


def test_bursts_that_throw_the_training_back():
    model = Model()
    model.norms[[20, 30, 40, 50]] *= 1e3
    (finding,) = found(RULE, model, train=worse_from(20))
    assert (finding.first_step, finding.last_step) == (200, 500)
    assert found(RULE, model, train=falling()) == []


def test_a_moment_whatever_came_of_it_is_no_explosion():
    model = Model()
    model.norms[30:35] *= 1e5
    assert found(RULE, model, train=worse_from(30)) == []


@pytest.mark.parametrize(("factor", "expected"), [(15, 0), (500, 1)])
def test_the_threshold_is_fifty(factor, expected):
    model = Model()
    model.norms[30:] *= factor
    assert len(found(RULE, model, train=worse_from(30))) == expected


def test_gradients_of_other_models_and_large_units_are_left_alone():
    generator, discriminator = Model(name="g"), Model(name="d", seed=1)
    discriminator.norms *= 1e6
    assert found(RULE, generator, discriminator, train=1e6 * falling()) == []


def test_nan_and_one_layer_are_no_growth():
    model = Model(layers={"only": {"weight": (4, 4)}})
    model.norms[10:] = np.nan
    assert found(RULE, model, train=flat()) == []


@pytest.mark.parametrize("together", [True, False])
def test_heads_beside_each_other_are_no_depth(together):
    model = Model()
    shapes = ((64, 8), (64, 1)) if together else ((64, 8), (64, 8))
    heads = tuple(Module(f"head{at}", "Linear", *shapes) for at in range(3))
    model.description = replace(model.description, modules=(*model.description.modules[:15], *heads))
    model.norms[:, model.of(16, 17)] *= 1e-5
    assert bool(found(RULE, model)) is not together


@pytest.mark.parametrize(
    ("factor", "loss", "expected"), [(1e8, None, 1), (1e3, None, 0), (1e8, falling(), 0), (1e8, falling()[::-1], 1)]
)
def test_a_gradient_that_creeps_up_all_the_time(factor, loss, expected):
    model = Model()
    model.norms = model.norms[:1] * np.geomspace(1, factor, RECORDS)[:, None]
    findings = found(RULE, model) if loss is None else found(RULE, model, train=loss)
    assert len(findings) == expected


def test_growth_through_the_depth_of_a_network_that_has_learned_nearly_all_there_is_does_no_harm():
    assert found(RULE, Model(decay=4.0), train=falling(end=0.02)) == []
    assert len(found(RULE, Model(decay=4.0), train=falling(end=1.0))) == 1


def recurrent(factor, kind, gain):
    """Return a model whose third layer is a recurrent one with a gradient `factor` times as large as all behind it."""
    model = Model(layers={name: {"weight": (8, 8)} for name in ("embed", "enter", "rnn", "head")}, decay=1.0)
    modules = tuple(replace(one, type=kind) if one.name == "rnn" else one for one in model.description.modules)
    model.description = replace(model.description, modules=modules)
    model.norms[:] = 1.0
    model.norms[:, model.of(2)] = factor
    model.weights[:] = gain * np.sqrt(8)
    return model


@pytest.mark.parametrize(
    ("factor", "kind", "gain", "expected"),
    [(150, "LSTM", 1.5, 1), (150, "Linear", 1.5, 0), (60, "LSTM", 1.5, 0), (150, "LSTM", 0.6, 0)],
)
def test_growth_through_the_time_steps_of_a_recurrent_layer(factor, kind, gain, expected):
    findings = found(RULE, recurrent(factor, kind, gain), train=flat(RECORDS, 2.3))
    assert [finding.layers for finding in findings] == [(2,)] * expected
    assert all("through the time steps of rnn: its norm is 150-fold above" in one.message for one in findings)


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, 1), (0.3, 0)])
def test_growth_through_time_steps_that_the_first_step_leaves_nothing_of(ratio, expected):
    model = recurrent(150, "RNN", 1.5)
    model.norms[1:] = 1.0
    model.ratios[0] = ratio
    findings = found(RULE, model, train=flat(RECORDS, 2.3))
    assert [(one.layers, one.last_step) for one in findings] == [((2,), 0)] * expected
    assert all("at step 0, which leaves nothing of the weights" in one.message for one in findings)
