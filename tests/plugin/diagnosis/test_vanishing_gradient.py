"""`vanishing_gradient` names the starved layers and since when; small gradients in good health are left alone."""

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import Severity
from tests.support.modelled import RECORDS, Model, falling, flat, found

RULE = "vanishing_gradient"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decay", [0.8, 0.95, 1.1])
def test_healthy_networks_are_left_alone(seed, decay):
    assert found(RULE, Model(seed=seed, decay=decay)) == []


def test_a_fall_through_the_depth_names_the_layers_nearest_the_input():
    model = Model(decay=0.2)
    model.ratios *= 0.2 ** (17 - model.owners)
    (finding,) = found(RULE, model)
    assert finding.layers[0] in (0, 1)
    assert max(finding.layers) < 10
    assert (finding.first_step, finding.last_step) == (0, 590)
    assert finding.severity is Severity.CRITICAL
    assert finding.beyond.measured > 1e4


def test_a_fall_that_the_optimizer_evens_out_is_less_grave():
    (finding,) = found(RULE, Model(decay=0.2))
    assert finding.severity is Severity.WARNING
    assert any("do move" in fact for fact in finding.excluded)


def test_a_fall_that_begins_later_and_ends_has_its_own_steps():
    model = Model()
    model.norms[20:40] *= 0.3 ** (17 - model.owners)
    (finding,) = found(RULE, model)
    assert (finding.first_step, finding.last_step) == (200, 390)


@pytest.mark.parametrize(("factor", "expected"), [(300, 0), (6000, 1)])
def test_the_threshold_is_a_thousand(factor, expected):
    model = Model(decay=1.0)
    model.norms[:, model.of(*range(8))] /= factor
    assert len(found(RULE, model)) == expected


def test_a_single_layer_with_a_small_gradient_is_no_fall():
    for layer in (0, 8, 9, 17):
        model = Model()
        model.norms[:, model.of(layer)] *= 1e-4
        assert found(RULE, model) == []


def test_a_single_layer_that_hardly_any_gradient_reaches_is_told_by_itself():
    model = Model()
    model.norms[:, model.of(9)] *= 1e-7
    (finding,) = found(RULE, model)
    assert (finding.layers, finding.severity, finding.subject) == ((9,), Severity.WARNING, "alone")
    assert "before and behind" in finding.message


@pytest.mark.parametrize("layer", [0, 17])
def test_at_either_end_a_small_gradient_may_be_meant(layer):
    model = Model()
    model.norms[:, model.of(layer)] *= 1e-7
    assert found(RULE, model) == []


def test_branches_that_are_scaled_down_are_left_alone():
    model = Model()
    model.norms[:, model.of(1, 3, 5, 7, 9, 11)] *= 1e-7
    assert [one for one in found(RULE, model) if one.subject == "alone"] == []


def test_layers_beyond_which_the_gradient_is_back_are_no_fall():
    model = Model()
    model.norms[:, model.of(6, 7, 8)] *= 1e-5
    assert found(RULE, model) == []


def test_a_converged_network_is_left_alone():
    model = Model()
    model.norms *= np.geomspace(1, 1e-9, RECORDS)[:, None]
    assert found(RULE, model) == []


def test_layers_that_die_together_are_one_finding_the_last_of_them_first():
    model = Model()
    model.norms[24:, model.of(3, 4, 5)] = 0
    model.zeros[24:, model.of(3, 4, 5)] = 1
    (finding,) = found(RULE, model)
    assert finding.layers == (5, 4, 3)
    assert (finding.first_step, finding.last_step, finding.severity) == (240, 590, Severity.CRITICAL)
    assert "exactly zero" in finding.message


def test_branches_that_begin_at_zero_and_zeros_now_and_then_are_left_alone():
    model = Model()
    for records, layer in ((slice(0, 3), 4), (slice(0, None, 2), 6)):
        model.norms[records, model.of(layer)] = 0
        model.zeros[records, model.of(layer)] = 1
    assert found(RULE, model) == []


def test_a_layer_is_not_cut_off_while_one_of_its_parameters_learns():
    model = Model()
    model.norms[24:, np.flatnonzero(model.of(4))[0]] = 0
    assert found(RULE, model) == []


@pytest.mark.parametrize(("loss", "expected"), [(np.append(falling(30), np.zeros(30)), 0), (flat(), 1)])
def test_gradients_that_are_all_zero_are_a_fault_unless_all_is_learned(loss, expected):
    model = Model()
    model.norms[30:], model.zeros[30:] = 0, 1
    assert len(found(RULE, model, train=loss)) == expected


def test_a_layer_that_falls_below_its_past_is_told_with_its_onset():
    model = Model()
    model.norms[20:, model.of(6)] *= 1e-6
    (finding,) = found(RULE, model)
    assert (finding.layers, finding.first_step, finding.last_step) == ((6,), 200, 590)


def test_a_head_that_converges_before_the_others_is_left_alone():
    model = Model()
    model.norms[:, model.of(6)] *= np.geomspace(1, 1e-6, RECORDS)[:, None]
    assert found(RULE, model) == []


def test_frozen_layers_and_nan_are_left_alone():
    model = Model(frozen=("stem", "blocks.0.conv"))
    model.norms[:, model.of(0, 1)] = -1
    model.norms[30, model.of(7)] = np.nan
    assert found(RULE, model) == []


def test_models_are_judged_each_by_itself():
    ill, well = Model(name="a", decay=0.2), Model(name="b", seed=1)
    well.norms *= 1e-7
    (finding,) = found(RULE, ill, well)
    assert max(finding.layers) < 18


def test_one_layer_is_no_depth():
    assert found(RULE, Model(layers={"only": {"weight": (4, 4), "bias": (4,)}})) == []


def test_a_layer_that_hardly_ever_has_a_gradient_is_told_as_zero_and_breaks_nothing():
    model = Model()
    model.norms[5:, model.of(9)] = 0.0
    assert [one.subject for one in found(RULE, model)] == ["zero"]
    model.norms[::4, model.of(9)] = 1.0
    assert found(RULE, model) == []
