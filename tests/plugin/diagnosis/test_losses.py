"""The rules over losses: what stands, swings, leaps or parts from held-out data, and what only looks so."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import Severity
from tb_netviz_plugin.schema.description import Module
from tests.support.modelled import INTERVAL, RECORDS, Model, falling, flat, found, report

LONG = 200
STEPS = INTERVAL * np.arange(RECORDS)


def noise(records, deviation, seed=3):
    return deviation * np.random.default_rng(seed).standard_normal(records)


def swinging(period=20, height=1.0, since=40):
    swings = np.where(np.arange(LONG) >= since, height * (1 - np.cos(2 * np.pi * np.arange(LONG) / period)) / 2, 0)
    return falling(LONG, noise=0.0) + swings + noise(LONG, 0.02)


class TestOscillation:
    def test_slow_swings(self):
        (finding,) = found("loss_oscillation", Model(records=LONG), train=swinging())
        assert 400 <= finding.first_step <= 900
        assert finding.severity is Severity.WARNING

    def test_steps_that_undo_each_other(self):
        loss = falling(LONG, noise=0.02)
        loss[60::2] += 1.5
        model = Model(records=LONG)
        assert found("loss_oscillation", model, train=loss) == []  # Two tasks that take turns, for one.
        model.cosines[:] = -0.6
        assert found("loss_oscillation", model, train=loss)

    @pytest.mark.parametrize("seed", range(6))
    def test_the_scatter_of_tiny_batches_is_left_alone(self, seed):
        loss = falling(LONG, noise=0.0) * np.random.default_rng(seed).exponential(1.0, LONG)
        assert found("loss_oscillation", Model(records=LONG), train=loss) == []

    def test_a_schedule_that_returns_and_two_models_are_left_alone(self):
        rates = 0.1 * (1 + np.cos(2 * np.pi * np.arange(LONG) / 20)) / 2
        scalars = {"lr": ("learning_rate", INTERVAL * np.arange(LONG), rates)}
        assert found("loss_oscillation", Model(records=LONG), train=swinging(), **scalars) == []
        adversaries = Model(records=LONG, name="g"), Model(records=LONG, name="d")
        assert found("loss_oscillation", *adversaries, train=swinging()) == []

    def test_swings_about_nothing_that_was_learned_are_left_alone(self):
        loss = 2.3 + 0.05 * np.sin(np.arange(LONG) / 3)
        assert found("loss_oscillation", Model(records=LONG), train=loss) == []

    def test_swings_that_have_died_down_are_left_alone(self):
        loss = swinging()
        loss[115:] = falling(LONG)[115:]
        assert found("loss_oscillation", Model(records=LONG), train=loss) == []

    def test_weights_that_something_else_sets_again_and_again_are_left_alone(self):
        model = Model(records=LONG)
        model.weights *= np.where(np.arange(LONG) % 20 < 10, 1.0, 1.5)[:, None]  # Updates are a hundredth at most.
        assert found("loss_oscillation", model, train=swinging()) == []

    @pytest.mark.parametrize(("period", "expected"), [(60, 0), (20, 1)])
    def test_the_threshold_is_five_swings(self, period, expected):
        assert len(found("loss_oscillation", Model(records=LONG), train=swinging(period))) == expected


def leaping(at=100, height=5.0, length=1, gradient=300.0):
    model, loss = Model(records=LONG), falling(LONG)
    loss[at : at + length] += height * 0.8 ** np.arange(length)
    model.norms[at : at + length] *= gradient
    return model, loss


class TestSpike:
    def test_a_leap_of_loss_and_gradient_that_takes_time_to_get_over(self):
        model, loss = leaping(length=8)
        (finding,) = found("loss_spike", model, train=loss)
        assert (finding.first_step, finding.severity) == (1000, Severity.WARNING)
        assert "step 1,000" in finding.remedies[0].text

    @pytest.mark.parametrize("before", [1.0, 10.0])
    def test_a_new_task_that_is_learned_like_the_first_is_no_harm_unless_a_step_brought_it_about(self, before):
        model, loss = Model(records=LONG), falling(LONG)
        loss[100:140] += 1.5 * np.exp(-np.arange(40) / 10)
        model.norms[100:108] *= 300
        model.ratios[99] *= before
        (finding,) = found("loss_spike", model, train=loss)
        assert finding.severity is (Severity.INFO if before == 1.0 else Severity.WARNING)
        assert ("on purpose" in finding.remedies[0].text) == (before == 1.0)

    def test_weights_that_something_else_overwrote_are_why_a_loss_leaps(self):
        model, loss = leaping(length=8, height=1.0, gradient=1.0)
        model.weights[100:] *= 1.5
        (finding,) = found("loss_spike", model, train=loss)
        assert finding.severity is Severity.WARNING
        assert "weights were overwritten" in finding.message
        assert "load_state_dict" in finding.remedies[0].code

    def test_weights_that_were_overwritten_are_so_however_late_the_loss_comes_down(self):
        model, loss = Model(records=LONG), falling(LONG)
        loss[100:130] = 2.3 * np.append(np.ones(12), np.geomspace(1, 0.05, 18))
        model.weights[100:] *= 1.5
        (finding,) = found("loss_spike", model, train=loss)
        assert (finding.first_step, finding.severity) == (1000, Severity.WARNING)
        assert "weights were overwritten" in finding.message

    def test_a_batch_that_is_wrong_beyond_measure_matters_though_it_is_over_at_once(self):
        model, loss = Model(records=LONG), flat(LONG, 0.7, noise=0.2)
        loss[100], model.norms[100] = 500.0, model.norms[100] * 300
        (finding,) = found("loss_spike", model, train=loss)
        assert finding.severity is Severity.WARNING

    @pytest.mark.parametrize(("height", "expected"), [(30.0, Severity.WARNING), (3.0, Severity.INFO)])
    def test_leaps_that_keep_coming_matter_where_no_network_is_that_wrong(self, height, expected):
        model, loss = Model(records=LONG), flat(LONG, 0.7, noise=0.05)
        at = np.arange(60, LONG - 20, 20)
        loss[at], model.norms[at] = height, model.norms[at] * 300
        (finding,) = found("loss_spike", model, train=loss)
        assert finding.severity is expected

    def test_a_small_leap_is_worth_knowing_only(self):
        model, loss = leaping(height=0.6)
        (finding,) = found("loss_spike", model, train=loss)
        assert finding.severity is Severity.INFO

    def test_a_loss_without_its_gradient_is_left_alone(self):
        model, loss = leaping(length=8, gradient=1.0)
        assert found("loss_spike", model, train=loss) == []

    def test_a_gradient_that_leaps_before_it_is_clipped_leaps_too(self):
        model, loss = leaping(length=8, gradient=1.0)
        before = 1.0 + 0.1 * np.random.default_rng(4).random(LONG)
        before[100:108] *= 300
        (finding,) = found("loss_spike", model, train=loss, before=("gradient_norm_before", model.steps, before))
        assert finding.first_step == 1000
        assert finding.evidence[1].values.max() > 200

    def test_the_gradient_of_one_model_does_not_hide_that_of_another(self):
        model, loss = leaping(length=8)
        quiet = ("gradient_norm_before", model.steps, np.ones(LONG))
        other = Model(name="b", records=LONG)
        assert found("loss_spike", model, other, train=loss, before=quiet)

    def test_a_norm_that_is_known_late_only_is_not_taken_for_all_of_it(self):
        model, loss = leaping(length=8)
        late = ("gradient_norm_before", model.steps[150:], np.ones(LONG - 150))
        assert found("loss_spike", model, train=loss, before=late)

    def test_a_change_of_the_data_that_stays_is_left_alone(self):
        model, loss = Model(records=LONG), falling(LONG)
        loss[100:] += 1.0
        model.norms[100] *= 300
        assert found("loss_spike", model, train=loss) == []

    def test_a_restart_of_the_schedule_is_left_alone(self):
        model, loss = leaping(length=8)
        rates = np.where(np.arange(LONG) < 100, np.linspace(0.1, 0.001, LONG), 0.1)
        scalars = {"lr": ("learning_rate", model.steps, rates)}
        assert found("loss_spike", model, train=loss, **scalars) == []

    def test_a_leap_in_fine_tuning_has_nothing_to_take_away(self):
        model, loss = Model(records=LONG), flat(LONG, 0.05, noise=0.3)
        loss[100], model.norms[100] = 0.4, model.norms[100] * 300
        assert all(leap.severity is Severity.INFO for leap in found("loss_spike", model, train=loss))

    def test_a_loss_that_rounding_keeps_in_place_does_not_leap(self):
        model, loss = Model(records=LONG), np.full(LONG, 2.3)
        loss[100], model.norms[100] = 2.35, model.norms[100] * 300
        assert found("loss_spike", model, train=loss) == []

    @pytest.mark.parametrize("seed", range(6))
    def test_the_scatter_of_tiny_batches_is_no_warning(self, seed):
        random = np.random.default_rng(seed)
        model, scatter = Model(records=LONG), random.exponential(1.0, LONG)
        model.norms *= scatter[:, None]
        leaps = found("loss_spike", model, train=falling(LONG, noise=0.0) * scatter)
        assert all(leap.severity is Severity.INFO for leap in leaps)


def held_out(*levels, seed=5):
    return np.interp(np.arange(RECORDS), np.linspace(0, RECORDS - 1, len(levels)), levels) + noise(RECORDS, 0.01, seed)


class TestOverfitting:
    def test_held_out_data_rising_from_their_lowest(self):
        (finding,) = found("overfitting", Model(), train=falling(), val=held_out(2.3, 0.6, 1.6))
        assert 250 <= finding.first_step <= 340
        assert finding.severity is Severity.WARNING
        assert "went on to fall" in finding.message

    def test_a_gap_that_stays_noise_and_a_loss_in_other_units_are_left_alone(self):
        assert found("overfitting", Model(), train=falling(), val=held_out(2.3, 0.9, 0.9)) == []
        assert found("overfitting", Model(), train=falling(), val=falling(noise=0.15, seed=9) + 0.2) == []
        assert found("overfitting", Model(), train=1e6 * falling(), val=1e6 * falling(seed=1)) == []

    def test_the_losses_that_are_compared_are_of_one_unit(self):
        steps = 10.0 * np.arange(RECORDS)
        scalars = {
            "loss/train": ("train_loss", steps[::3], falling()[::3]),
            "loss/val": ("val_loss", steps, held_out(2.3, 0.6, 1.6)),
        }
        summed = {"netviz/train_loss": ("train_loss", steps, 30 * falling())}
        (finding,) = found("overfitting", Model(), **scalars, **summed)
        assert "loss/train" in finding.message
        same = {"netviz/train_loss": ("train_loss", steps, falling(seed=5))}
        (finding,) = found("overfitting", Model(), **scalars, **same)
        assert "netviz/train_loss" in finding.message

    def test_a_validation_loss_below_that_of_training_has_learned_nothing_by_heart(self):
        assert found("overfitting", Model(), train=1.2 + falling(), val=held_out(2.3, 0.6, 1.0)) == []

    def test_a_training_that_goes_astray_is_no_overfitting(self):
        assert found("overfitting", Model(), train=held_out(2.3, 0.5, 1.5), val=held_out(2.3, 0.6, 1.6)) == []

    def test_a_slight_rise_that_loses_little_is_worth_knowing_only(self):
        (finding,) = found("overfitting", Model(), train=falling(), val=held_out(2.3, 0.4, 0.55))
        assert finding.severity is Severity.INFO

    @pytest.mark.parametrize(("now", "expected"), [(1.1, 0), (1.3, 1)])
    def test_the_threshold_is_a_fifth(self, now, expected):
        assert len(found("overfitting", Model(), train=falling(), val=held_out(2.3, 1.0, now))) == expected

    def test_a_slight_rise_where_nothing_ever_carried_over(self):
        by_heart = falling(end=1e-4, noise=0.0) ** 3
        (finding,) = found("overfitting", Model(), train=by_heart, val=held_out(12.0, 12.0, 13.8))
        assert finding.severity is Severity.WARNING

    def test_what_never_carried_over_while_training_fell_to_next_to_nothing(self):
        (finding,) = found("overfitting", Model(), train=falling(end=0.01), val=held_out(2.3, 1.4, 1.3))
        assert (finding.first_step, finding.last_step, finding.severity) == (0, 590, Severity.WARNING)
        assert "learned by heart" in finding.message
        assert finding.beyond.measured == pytest.approx(0.6, abs=0.03)

    @pytest.mark.parametrize(
        ("end", "levels"),
        [
            (0.01, (2.3, 0.9, 0.8)),  # A third is left.
            (0.01, (4.0, 1.6, 1.5)),  # It fell to less than half.
            (0.01, (6.0, 5.0, 5.0)),  # It is of another size.
            (0.2, (2.3, 1.4, 1.3)),  # Training has much left to learn.
        ],
    )
    def test_a_gap_beside_a_validation_loss_that_fell_is_left_alone(self, end, levels):
        assert found("overfitting", Model(), train=falling(end=end), val=held_out(*levels)) == []

    def test_held_out_data_that_only_get_worse(self):
        (finding,) = found("overfitting", Model(), train=falling(), val=held_out(0.9, 0.9, 1.3))
        assert finding.severity is Severity.WARNING

    def test_without_held_out_data_it_is_not_checked(self):
        reasons = {one.rule.id: one.reason for one in report(Model(), train=falling()).skipped}
        assert reasons["overfitting"] == "no validation loss was logged"


def decaying(end=0.2):
    model = Model()
    model.weights *= np.geomspace(1, end, RECORDS)[:, None]
    return model


def with_dropout(share):
    model = Model()
    dropout = Module("drop", "Dropout", detail=f"p={share}, inplace=False")
    model.description = replace(model.description, modules=(*model.description.modules, dropout))
    return model


class TestOverRegularised:
    def test_weights_that_decay_faster_than_they_learn(self):
        (finding,) = found("over_regularised", decaying(), train=flat())
        assert finding.severity is Severity.WARNING
        assert finding.first_step < 100

    def test_a_penalty_in_the_loss_hides_that_nothing_is_learned(self):
        assert found("over_regularised", decaying(0.01), train=falling(), val=flat(level=1.4)) != []

    def test_weights_of_which_nothing_is_left_need_no_loss(self):
        (finding,) = found("over_regularised", decaying(end=0.01))
        assert (finding.first_step, finding.severity) == (30, Severity.WARNING)
        assert finding.message.startswith("The weights shrank to 0.01 of the norm")
        assert "over_regularised" in {one.rule.id for one in report(decaying(end=0.05)).skipped}

    def test_weights_whose_scale_does_not_matter_may_decay(self):
        assert found("over_regularised", decaying(end=0.01), train=falling()) == []

    def test_a_decay_under_which_it_learns_is_left_alone(self):
        assert found("over_regularised", decaying(), train=falling(), val=falling()) == []
        assert found("over_regularised", decaying(0.8), train=flat()) == []

    def test_weights_that_grow_again_are_left_alone(self):
        model = decaying()
        model.weights[40:] *= np.geomspace(1, 3, 20)[:, None]
        assert found("over_regularised", model, train=flat()) == []

    def test_dropout_without_which_the_network_does_better(self):
        loss = falling(end=1.8)
        (finding,) = found("over_regularised", with_dropout(0.95), train=loss, val=loss - 0.5)
        assert "drop leaves out 95%" in finding.message
        assert found("over_regularised", with_dropout(0.5), train=loss, val=loss - 0.5) == []
        loss_beside = np.append(loss[:30] + 0.1, 0.94 * loss[30:])
        assert found("over_regularised", with_dropout(0.85), train=loss, val=loss) == []
        assert found("over_regularised", with_dropout(0.85), train=loss, val=0.94 * loss) != []
        assert found("over_regularised", with_dropout(0.85), train=loss, val=loss_beside) == []

    def test_dropout_that_is_called_as_a_function(self):
        model, calls = Model(), Module("net", "Net", dropout=0.9)
        model.description = replace(model.description, modules=(calls, *model.description.modules))
        model.description = replace(
            model.description,
            parameters=tuple(replace(one, owner=one.owner + 1) for one in model.description.parameters),
        )
        (finding,) = found("over_regularised", model, train=falling(end=1.8))
        assert "F.dropout in net leaves out 90%" in finding.message
        assert finding.remedies[0].code == "F.dropout(x, p=0.2, training=self.training)"

    @pytest.mark.parametrize("val", [None, falling(end=1.8)])
    def test_dropout_of_nearly_all_needs_no_validation_where_little_was_learned(self, val):
        (finding,) = found("over_regularised", with_dropout(0.9), train=falling(end=1.8), val=val)
        assert finding.severity is Severity.WARNING
        assert "does better" not in finding.message
        assert len(finding.evidence) == (1 if val is None else 2)
        assert found("over_regularised", with_dropout(0.89), train=falling(end=1.8), val=val) == []
        assert found("over_regularised", with_dropout(0.95), train=falling(), val=val) == []


class TestUnderfitting:
    def test_a_loss_that_stays_high_on_all_data_is_worth_knowing_only(self):
        loss = falling(end=1.5)
        loss[20:] = flat(40, 1.5)
        (finding,) = found("underfitting", Model(), train=loss, val=loss + 0.02)
        assert finding.severity is Severity.INFO
        assert found("underfitting", Model(), train=loss, val=loss + 1.0) == []

    @pytest.mark.parametrize(("width", "expected"), [(1, [Severity.WARNING]), (40, [])])
    def test_a_tiny_network_is_a_reason_also_without_validation(self, width, expected):
        loss = falling(end=1.5)
        loss[20:] = flat(40, 1.5)
        model = Model(layers={"fc1": {"weight": (width, 64)}, "head": {"weight": (10, width)}})
        (finding,) = found("underfitting", model, train=loss, val=loss)
        assert (finding.severity is Severity.WARNING) == bool(expected)
        assert [one.severity for one in found("underfitting", model, train=loss)] == expected

    def test_a_linear_model_may_be_all_that_there_is_to_know(self):
        loss = falling(end=1.5)
        loss[20:] = flat(40, 1.5)
        model = Model(layers={"head": {"weight": (10, 6), "bias": (10,)}})
        (finding,) = found("underfitting", model, train=loss, val=loss)
        assert finding.severity is Severity.INFO
        assert found("underfitting", model, train=loss) == []

    def test_a_loss_that_still_falls_is_left_alone(self):
        loss = np.linspace(2.3, 1.2, RECORDS)
        assert found("underfitting", Model(), train=loss, val=loss) == []
