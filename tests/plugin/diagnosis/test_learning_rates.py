"""`lr_too_high` and `lr_too_low`: steps that overwrite the weights to their harm, or lead nowhere."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import Severity
from tb_netviz_plugin.schema.description import Activation
from tests.support.modelled import INTERVAL, RECORDS, Model, falling, flat, found

STEPS = INTERVAL * np.arange(RECORDS)


def rates(*values):
    return {"SGD/group 0": ("learning_rate", STEPS, np.repeat(values, RECORDS // len(values)))}


def large_from(record, ratio=0.5, count=5):
    model = Model()
    model.ratios[record : record + count] = ratio
    model.weights[record + count :] *= 3
    return model


def lost_from(record, level=2.3):
    return np.append(falling()[:record], np.full(RECORDS - record, level))


def test_steps_that_overwrite_the_weights_and_lose_what_was_learned():
    (finding,) = found("lr_too_high", large_from(30), train=lost_from(31), **rates(0.001, 0.1))
    assert (finding.first_step, finding.last_step, finding.severity) == (300, 340, Severity.CRITICAL)
    assert "raised from 0.001" in finding.message
    assert "torch.optim.SGD(model.parameters(), lr=0.001)" in finding.remedies[0].code  # At which it learned.


def test_a_gradient_that_leaps_after_the_rate_was_raised_follows_from_that():
    model = large_from(30)
    model.norms[30:] *= 1e4
    model.ratios[30:] = model.norms[30:] / 1e4 * 0.5
    (finding,) = found("lr_too_high", model, train=lost_from(31), **rates(0.001, 0.1))
    assert (finding.first_step, finding.severity) == (300, Severity.CRITICAL)


def test_a_raised_rate_is_named_where_its_large_steps_lie_between_records():
    (finding,) = found("lr_too_high", Model(), train=lost_from(31), **rates(0.001, 0.1))
    assert (finding.first_step, finding.last_step, finding.severity) == (300, 590, Severity.CRITICAL)
    assert finding.beyond.measured == pytest.approx(100)
    assert "lr=0.001" in finding.remedies[0].code


def test_a_warm_up_and_a_raise_that_the_training_gets_over_are_left_alone():
    recovered = falling().copy()
    recovered[31:36] = 2.3
    assert found("lr_too_high", Model(), train=recovered, **rates(0.001, 0.1)) == []
    warm_up = np.append(flat(30), np.full(RECORDS - 30, 3.0))
    assert found("lr_too_high", Model(), train=warm_up, **rates(0.001, 0.1)) == []


@pytest.mark.parametrize(("rate", "expected"), [(0.009, 0), (0.011, 1)])
def test_the_threshold_of_a_raised_rate_is_ten(rate, expected):
    assert len(found("lr_too_high", Model(), train=lost_from(31), **rates(0.001, rate))) == expected


def test_a_loss_that_is_lost_before_the_rate_rises_has_another_cause():
    assert found("lr_too_high", Model(), train=lost_from(20), **rates(0.001, 0.1)) == []


def test_a_training_that_never_learned_anything():
    (finding,) = found("lr_too_high", large_from(0), train=flat())
    assert (finding.first_step, finding.severity) == (0, Severity.CRITICAL)


def test_weights_that_stay_small_beside_a_loss_that_stays_spoil_nothing():
    model = large_from(0)
    model.weights[:] = model.weights[:1]
    assert found("lr_too_high", model, train=flat()) == []


def test_a_loss_without_a_scale_says_nothing_of_how_well_it_goes():
    reward = 0.05 * np.random.default_rng(0).standard_normal(RECORDS) - 0.3 * np.exp(-np.arange(RECORDS) / 10)
    reward[:3] = 0.01
    assert found("lr_too_high", large_from(0), train=reward) == []
    (finding,) = found("lr_too_high", large_from(0), train=reward + np.linspace(0, 3, RECORDS))  # It gets worse.
    assert finding.first_step == 0


@pytest.mark.parametrize(("rise", "expected"), [(0.3, 0), (2.0, 1)])
def test_a_loss_without_a_scale_rises_by_more_than_it_scatters_early_on(rise, expected):
    waves = -0.1 + 0.5 * np.sin(np.arange(RECORDS) / 3) * np.exp(-np.arange(RECORDS) / 20)
    loss = waves + np.linspace(0, rise, RECORDS)
    assert len(found("lr_too_high", large_from(0), train=loss)) == expected


def test_a_loss_that_leaves_its_first_value_far_behind_began_there():
    assert found("lr_too_high", large_from(0), train=np.append([2.3, 900, 170, 18], flat(RECORDS - 4)))


def test_a_training_that_is_lost_to_nan_needs_no_loss():
    model = large_from(30, count=2)
    model.norms[32:] = np.nan
    (finding,) = found("lr_too_high", model)
    assert (finding.first_step, finding.last_step) == (300, 310)


def lost_to_nan_at(record, grown=1.0):
    model = large_from(0)
    model.norms[record - 3 : record] *= grown
    model.norms[record:] = model.weights[record:] = np.nan
    return found("lr_too_high", model, train=falling())


@pytest.mark.parametrize(("record", "grown", "expected"), [(40, 1.0, 0), (40, 100.0, 1), (7, 1.0, 1)])
def test_nan_that_comes_out_of_nothing_is_no_harm_of_the_rate(record, grown, expected):
    findings = lost_to_nan_at(record, grown)
    assert ["was not finite" in finding.message for finding in findings] == [True] * expected


@pytest.mark.parametrize(("ratio", "expected"), [(0.15, 0), (0.8, 1)])
def test_nan_in_the_second_record_takes_a_step_that_replaced_the_weights(ratio, expected):
    model = large_from(0, ratio, count=1)
    model.norms[1:] = model.weights[1:] = np.nan
    assert len(found("lr_too_high", model)) == expected


def test_large_steps_that_a_training_gets_over_are_left_alone():
    assert found("lr_too_high", large_from(0), train=falling()) == []
    assert found("lr_too_high", large_from(0, ratio=2.0, count=1), train=falling()) == []


@pytest.mark.parametrize(
    ("ratio", "thrown", "end", "expected"),
    [(0.6, 5.0, 1.9, 1), (0.4, 5.0, 1.9, 0), (0.6, 2.4, 1.9, 0)],
)
def test_weights_that_were_replaced_at_the_start_and_a_loss_that_hardly_fell(ratio, thrown, end, expected):
    loss = falling(end=end, noise=0)
    loss[3:5] = thrown
    assert len(found("lr_too_high", large_from(0, ratio), train=loss)) == expected


@pytest.mark.parametrize(
    ("ratio", "leap", "optimizer", "expected"),
    [
        (0.7, 1.2, "Adam", 1),
        (0.55, 1.2, "Adam", 1),
        (0.45, 2.5, "Adam", 0),
        (0.7, 1.05, "Adam", 0),
        (0.7, 2, "LBFGS", 0),
    ],
)
def test_weights_of_which_the_first_step_left_little(ratio, leap, optimizer, expected):
    model, loss = large_from(0, ratio, count=1), falling(end=1.0, noise=0)
    groups = tuple(replace(group, optimizer=optimizer) for group in model.description.groups)
    model.description = replace(model.description, groups=groups)
    loss[1:5] = leap * loss[0]
    findings = found("lr_too_high", model, train=loss)
    assert ["little is left of the weights" in finding.message for finding in findings] == [True] * expected


@pytest.mark.parametrize(("ratio", "expected"), [(0.7, 1), (0.55, 0)])
def test_a_loss_that_scatters_leaps_only_where_nothing_is_left(ratio, expected):
    model, loss = large_from(0, ratio, count=1), falling(end=1.0, noise=0) + np.where(np.arange(RECORDS) % 2, 0.2, -0.2)
    loss[3] = 1.2 * loss[0]
    assert len(found("lr_too_high", model, train=loss)) == expected


@pytest.mark.parametrize(("ratio", "leap", "expected"), [(0.8, 2.5, 1), (0.6, 2.5, 0), (0.8, 1.5, 0)])
def test_first_steps_that_the_training_gets_over_have_to_leave_nothing(ratio, leap, expected):
    loss = falling(noise=0)
    loss[1:5] = leap * loss[0]
    assert len(found("lr_too_high", large_from(0, ratio, count=1), train=loss)) == expected


def test_rows_of_a_table_may_be_rewritten():
    model, loss = large_from(0, 0.8, count=1), falling(end=1.0, noise=0)
    loss[1:5] = 2 * loss[0]
    modules = tuple(
        replace(module, type="Embedding") if module.type == "Linear" else module for module in model.description.modules
    )
    model.description = replace(model.description, modules=modules)
    assert found("lr_too_high", model, train=loss) == []


@pytest.mark.parametrize(
    ("ratio", "held_out", "grown", "expected"),
    [(0.6, 40.0, 1e6, 1), (0.6, 4.0, 1e6, 0), (0.4, 40.0, 1e6, 0), (0.6, 40.0, 10.0, 0)],
)
def test_weights_that_were_replaced_and_a_signal_that_only_normalisation_holds(ratio, held_out, grown, expected):
    layers = {f"fc{number}": {"weight": (32, 32)} for number in range(4)}
    outputs = tuple(Activation(name, index, "Linear") for index, name in enumerate(layers))
    model = Model(layers=layers, activations=outputs)
    model.ratios[:5] = ratio
    model.deviations[:] = np.geomspace(1, grown, RECORDS)[:, None]
    scalars = {"loss/val": ("val_loss", STEPS[::10].astype(float), np.full(RECORDS // 10, held_out))}
    findings = found("lr_too_high", model, train=falling(), **scalars)
    assert ["loss/val is 40, where the loss was 2.2 at first" in finding.message for finding in findings] == (
        [True] * expected
    )


def test_a_leap_that_comes_long_after_the_first_steps_is_not_theirs():
    loss = falling(noise=0)
    loss[40:45] = 3 * loss[0]
    assert found("lr_too_high", large_from(0, 0.7, count=1), train=loss) == []


@pytest.mark.parametrize(("end", "expected"), [(3.0, 1), (0.5, 0)])
def test_a_loss_that_is_thrown_at_once_and_does_not_come_back_to_its_first_value(end, expected):
    scatter = np.where(np.arange(RECORDS) % 2, 0.2, 1.8)
    loss = scatter * np.append([1.5, 700, 500, 300], np.geomspace(200, end, RECORDS - 4))
    findings = found("lr_too_high", large_from(0, 0.4), train=loss)
    assert ["2.7 at first, was thrown up to" in finding.message for finding in findings] == [True] * expected


def ending(gain, ratio):
    """Return a model whose matrices are replaced at once, and scale independent inputs by `gain` in the end."""
    model = large_from(0, ratio)
    outputs = np.array([row.shape[0] for row in model.description.parameters])
    model.weights[5:] = gain * np.sqrt(outputs)
    return model


@pytest.mark.parametrize(
    ("gain", "ratio", "stands", "expected"),
    [(3.0, 0.6, True, 1), (1.0, 0.6, True, 0), (3.0, 0.4, True, 0), (3.0, 0.6, False, 0)],
)
def test_weights_that_were_replaced_and_end_loud_beside_a_loss_that_stands(gain, ratio, stands, expected):
    loss = np.append(np.linspace(2.3, 1.9, 10), flat(RECORDS - 10, 1.9)) if stands else np.linspace(2.3, 1.7, RECORDS)
    findings = found("lr_too_high", ending(gain, ratio), train=loss)
    assert ["fell to" in finding.message for finding in findings] == [True] * expected


@pytest.mark.parametrize(("layers", "expected"), [(range(3, 18), 0), (range(18), 1)])
def test_matrices_that_began_at_zero_may_be_rewritten_where_others_did_not(layers, expected):
    model, rows = Model(), Model().of(*layers)
    model.weights[:5, rows] *= 1e-3
    model.ratios[:5, rows] = 0.5
    assert len(found("lr_too_high", model, train=flat())) == expected


def test_biases_that_begin_at_zero_may_be_rewritten():
    model = Model()
    model.ratios[:5, [len(row.shape) == 1 for row in model.description.parameters]] = 1.0
    assert found("lr_too_high", model, train=flat()) == []


def test_a_step_that_is_large_because_the_gradient_is_has_another_cause():
    model = large_from(30)
    model.norms[30:] *= 1e4
    model.ratios[30:] = model.norms[30:] / 1e4 * 0.5
    assert found("lr_too_high", model, train=lost_from(31)) == []


@pytest.mark.parametrize(("ratio", "expected"), [(0.08, 0), (0.12, 1)])
def test_the_threshold_of_a_step_is_a_tenth(ratio, expected):
    assert len(found("lr_too_high", large_from(30, ratio), train=lost_from(31))) == expected


def test_each_model_is_judged_by_its_own_steps():
    (finding,) = found("lr_too_high", Model(name="a"), large_from(0), train=flat())
    assert min(finding.layers) >= 18


def still(ratio=1e-6, cosine=0.5, decay=1.0):
    model = Model()
    model.ratios[:] = ratio
    model.cosines[:] = cosine
    model.norms *= np.linspace(1, decay, RECORDS)[:, None] / np.exp(-2 * np.arange(RECORDS) / RECORDS)[:, None]
    return model


def test_weights_that_go_nowhere_though_gradients_agree():
    (finding,) = found("lr_too_low", still(), train=flat(), **rates(1e-6))
    assert (finding.first_step, finding.last_step, finding.severity) == (0, 590, Severity.WARNING)
    assert "lr=0.001" in finding.remedies[0].code


def test_fine_tuning_at_a_small_rate_is_left_alone():
    assert found("lr_too_low", still(cosine=0.05), train=flat(level=0.1)) == []
    frozen = Model(frozen=tuple(f"blocks.{block}.conv" for block in range(7)))
    frozen.ratios[:], frozen.cosines[:] = 1e-6, 0.5
    assert found("lr_too_low", frozen, train=flat()) == []


def test_a_loss_that_falls_and_a_run_that_has_converged_are_left_alone():
    assert found("lr_too_low", still(), train=falling()) == []
    assert found("lr_too_low", still(decay=0.01), train=flat()) == []


def test_a_warm_up_in_progress_is_left_alone():
    rising = {"lr": ("learning_rate", STEPS, np.geomspace(1e-9, 1e-3, RECORDS))}
    assert found("lr_too_low", still(), train=flat(), **rising) == []


@pytest.mark.parametrize(("ratio", "expected"), [(3e-5, 1), (4e-5, 0)])
def test_the_threshold_of_the_way_is_a_fiftieth(ratio, expected):
    assert len(found("lr_too_low", still(ratio), train=flat())) == expected


@pytest.mark.parametrize(
    ("ratio", "cosine", "end", "expected"),
    [(2e-5, 0.7, 1.9, 1), (2e-5, 0.4, 1.9, 0), (2e-5, 0.7, 1.6, 0), (6e-5, 0.7, 2.25, 1), (6e-5, 0.7, 1.9, 0)],
)
def test_where_gradients_agree_beyond_doubt_a_loss_that_falls_a_little_is_no_excuse(ratio, cosine, end, expected):
    model = still(ratio)
    model.cosines[:] = cosine
    assert len(found("lr_too_low", model, train=falling(end=end))) == expected


def test_a_few_steps_nan_and_one_layer_say_nothing():
    short = Model(records=30, interval=1)
    short.ratios[:], short.cosines[:] = 1e-6, 0.9
    assert found("lr_too_low", short, train=flat(30)) == []
    single = Model(layers={"only": {"weight": (4, 4)}})
    single.norms[5:] = np.nan
    assert found("lr_too_low", single, train=np.full(RECORDS, np.nan)) == []


def ended(record, level=1.3, cosine=0.5):
    model = Model()
    model.ratios[record:] = 1e-9
    model.norms[:], model.cosines[:] = model.norms[:1], cosine
    values = np.append(falling(record, end=level), flat(RECORDS - record, level))
    fallen = {"lr": ("learning_rate", STEPS, np.where(np.arange(RECORDS) < record, 0.1, 1e-8))}
    return found("lr_too_low", model, train=values, **fallen)


def test_a_rate_that_falls_to_nothing_while_most_is_still_to_come():
    (finding,) = ended(15)
    assert (finding.first_step, finding.last_step, finding.severity) == (150, 590, Severity.WARNING)
    assert "ReduceLROnPlateau" in finding.remedies[1].code


def test_the_end_of_a_schedule_and_a_loss_with_little_left_are_no_such_fall():
    assert ended(40) == []
    assert ended(15, level=0.2) == []
    assert ended(15, level=0.5, cosine=0.4) == []
    assert ended(15, cosine=0.05) == []  # It has converged: gradients of batches point anywhere.


def test_gradients_that_leave_no_doubt_show_that_a_loss_had_further_to_fall():
    assert len(ended(15, level=0.5, cosine=0.7)) == 1


@pytest.mark.parametrize(("share", "expected"), [(0.85, 1), (0.95, 0)])
def test_a_rate_that_fades_by_the_batch(share, expected):
    rate = 0.1 * share ** np.arange(RECORDS)
    model = Model()
    model.ratios[:] = (0.02 * rate)[:, None]
    model.norms[:], model.cosines[:] = model.norms[:1], 0.5
    values = np.append(falling(20, end=1.3), flat(RECORDS - 20, 1.3))
    findings = found("lr_too_low", model, train=values, lr=("learning_rate", STEPS, rate))
    assert len(findings) == expected
    assert all(100 < finding.first_step < 300 for finding in findings)


def test_a_group_that_rests_is_not_taken_for_all():
    model = Model()
    rests = {f"lr/{at}": ("learning_rate", STEPS, np.full(RECORDS, rate)) for at, rate in enumerate((0.0, 0.05))}
    assert found("lr_too_low", model, train=falling(), **rests) == []
