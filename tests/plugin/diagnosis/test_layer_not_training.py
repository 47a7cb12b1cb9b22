"""`layer_not_training`: what stands still without reason, and why; what may well stand still is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import Severity
from tb_netviz_plugin.schema.description import OptimizerGroup
from tests.support.modelled import INTERVAL, RECORDS, Model, found

RULE = "layer_not_training"
STEPS = INTERVAL * np.arange(RECORDS)


def without_optimizer(model, rows):
    parameters = tuple(
        replace(row, group=None) if rows[index] else row for index, row in enumerate(model.description.parameters)
    )
    model.description = replace(model.description, parameters=parameters)
    model.ratios[:, rows] = 0
    return model


def test_a_layer_that_no_optimizer_holds():
    model = Model()
    (finding,) = found(RULE, without_optimizer(model, model.of(9)))
    assert finding.layers == (9,)
    assert (finding.first_step, finding.last_step, finding.severity) == (0, 590, Severity.CRITICAL)
    assert "no optimizer holds it" in finding.message
    assert 'model.get_parameter("blocks.4.conv.weight")' in finding.remedies[0].code


def test_a_bias_that_stays_at_zero_is_named():
    model = Model()
    rows = np.arange(len(model.owners)) == 1
    model.weights[:, rows] = 0
    (finding,) = found(RULE, without_optimizer(model, rows))
    assert finding.message.startswith("stem.bias does not move")


@pytest.mark.parametrize(("since", "severity"), [(0, Severity.CRITICAL), (30, Severity.INFO)])
def test_a_group_whose_learning_rate_is_zero(since, severity):
    model = Model()
    rows = model.of(9)
    group = replace(model.description.groups[0], index=1, learning_rate=0.0)
    parameters = tuple(replace(row, group=int(rows[at])) for at, row in enumerate(model.description.parameters))
    model.description = replace(model.description, groups=(*model.description.groups, group), parameters=parameters)
    model.ratios[since:, rows] = 0
    scalars = {f"lr/{place}": ("learning_rate", STEPS, np.full(RECORDS, 0.1 * (place == 0))) for place in (0, 1)}
    (finding,) = found(RULE, model, **scalars)
    assert (finding.layers, finding.first_step, finding.severity) == ((9,), since * INTERVAL, severity)
    assert "learning rate of its optimizer group is 0" in finding.message


def test_weights_that_something_writes_back():
    model = Model()
    model.ratios[:, model.of(9)] = 0
    (finding,) = found(RULE, model)
    assert "an optimizer holds it" in finding.message


def test_weights_that_are_put_back_after_each_step():
    model = Model()
    model.weights *= np.linspace(1, 2, RECORDS)[:, None]
    rows = model.of(9)
    trembling = 1 + 0.002 * model.rng.standard_normal((RECORDS - 15, 1))
    model.weights[15:, rows], model.ratios[15:, rows] = model.weights[15, rows] * trembling, 0.01
    (finding,) = found(RULE, model)
    assert finding.layers == (9,)
    assert 140 <= finding.first_step <= 160
    assert "as if each were undone" in finding.message


def test_norms_that_stay_where_decay_holds_them_are_left_alone():
    assert found(RULE, Model()) == []


def test_a_step_that_rounding_swallows_is_no_such_fault():
    model = Model()
    model.ratios[:, model.of(9)] = 0
    model.norms[:, model.of(9)] = 1e-9
    assert found(RULE, model) == []


def test_a_backbone_that_is_left_out_may_be_meant_to_rest():
    model = Model()
    (finding,) = found(RULE, without_optimizer(model, model.of(*range(14))))
    assert finding.severity is Severity.INFO


def test_a_single_large_layer_in_front_is_no_backbone():
    model = Model(layers={"table": {"weight": (1000, 16)}} | {f"fc{at}": {"weight": (16, 16)} for at in range(3)})
    (finding,) = found(RULE, without_optimizer(model, model.of(0)))
    assert (finding.layers, finding.severity) == ((0,), Severity.CRITICAL)


def test_frozen_layers_and_those_without_a_gradient_are_left_alone():
    model = Model(frozen=("stem",))
    model.norms[:, model.of(0, 4)] = -1
    model.norms[:, model.of(6)] = 0
    model.ratios[:, model.of(0, 4, 6)] = 0
    assert found(RULE, model) == []


def test_a_schedule_that_ends_at_zero_and_a_layer_that_is_unfrozen_later_are_left_alone():
    ended, later = Model(), Model()
    ended.ratios[40:] = 0
    later.ratios[:30, later.of(*range(10))] = 0
    assert found(RULE, ended) == found(RULE, later) == []


@pytest.mark.parametrize(("records", "expected"), [(10, 0), (12, 1)])
def test_it_has_to_stand_for_a_fifth_of_the_run(records, expected):
    model = Model()
    model.ratios[-records - 1 :, model.of(9)] = 0
    assert len(found(RULE, model)) == expected


def test_models_and_nan_and_one_layer():
    ill, well = Model(name="a"), Model(name="b")
    well.norms[30, well.of(3)] = np.nan
    (finding,) = found(RULE, well, without_optimizer(ill, ill.of(9)))
    assert finding.layers == (18 + 9,)
    only = Model(layers={"only": {"weight": (4, 4)}})
    only.ratios[:] = 0
    assert found(RULE, only) == []


class Closely(Model):
    """A run that was recorded closely, step by step, at first."""

    first = 0

    @property
    def steps(self):
        """Step of each record, [T]."""
        spread = super().steps
        return np.where(np.arange(self.records) < self.first, np.arange(self.records), spread)


@pytest.mark.parametrize(
    ("interval", "first", "severity"),
    [(1, 0, Severity.WARNING), (10, 0, Severity.INFO), (10, 60, Severity.WARNING), (10, 20, Severity.INFO)],
)
def test_an_optimizer_that_never_steps(interval, first, severity):
    model = Closely(records=120, interval=interval)
    model.first = first
    groups = tuple(OptimizerGroup("Adam", index, 0.001) for index in range(2))
    rows = model.of(3, 4)
    parameters = tuple(
        replace(row, group=int(held)) for row, held in zip(model.description.parameters, rows, strict=True)
    )
    model.description = replace(model.description, parameters=parameters, groups=groups)
    assert found(RULE, model) == []
    model.norms[:, rows] = model.weights[:, rows] = model.ratios[:, rows] = np.nan
    (finding,) = found(RULE, model)
    assert (set(finding.layers), finding.severity) == ({3, 4}, severity)
    assert "never steps" in finding.message
    assert "gradient of norm" not in finding.message
    assert finding.evidence[0].values.max() < 1


def test_an_optimizer_that_waits_for_its_first_turn_is_left_alone():
    model = Model(records=60, interval=1)
    rows = model.of(3, 4)
    model.description = replace(
        model.description,
        parameters=tuple(replace(row, group=0) for row in model.description.parameters),
        groups=(OptimizerGroup("Adam", 0, 0.001),),
    )
    model.norms[:, rows] = model.weights[:, rows] = model.ratios[:, rows] = np.nan
    assert found(RULE, model) == []


def gone(share):
    values = (np.arange(RECORDS) % 10 < 10 * share).astype(float)
    return {"netviz/gone_gradients": ("gone_gradient", STEPS.astype(float), values)}


@pytest.mark.parametrize(("share", "expected"), [(0.7, 0), (0.8, 1), (1.0, 1)])
def test_gradients_that_are_gone_before_most_steps(share, expected):
    findings = found(RULE, Model(), **gone(share))
    assert len(findings) == expected
    for finding in findings:
        assert (finding.severity, finding.first_step, finding.subject) == (Severity.CRITICAL, 0, "gone")
        assert finding.message.startswith("18 layers, stem to head, learn nothing: the backward pass brings gradients")
        assert finding.remedies[0].code == "optimizer.zero_grad()\nloss.backward()\noptimizer.step()"
