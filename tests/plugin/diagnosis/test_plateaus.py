"""`loss_plateau` finds a loss that stands where it began, and leaves alone those of which that can't be said."""

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import Severity
from tests.support.modelled import INTERVAL, RECORDS, Model, falling, flat, found

STEPS = INTERVAL * np.arange(RECORDS)


def noise(records, deviation, seed=3):
    return deviation * np.random.default_rng(seed).standard_normal(records)


class TestPlateau:
    def test_a_loss_that_never_fell(self):
        (finding,) = found("loss_plateau", Model(), train=flat())
        assert (finding.first_step, finding.last_step, finding.severity) == (0, 590, Severity.WARNING)

    def test_a_loss_that_lost_all_it_had_gained(self):
        (finding,) = found("loss_plateau", Model(), train=np.append(falling()[:30], flat(30)))
        assert 280 <= finding.first_step <= 310
        assert "is back at" in finding.message

    def test_a_slow_decline_and_delayed_learning_are_left_alone(self):
        assert found("loss_plateau", Model(), train=np.linspace(2.3, 2.25, RECORDS) + noise(RECORDS, 0.01)) == []
        assert found("loss_plateau", Model(), train=np.append(flat(40), 2.3 * 0.9 ** np.arange(20))) == []

    @pytest.mark.parametrize(("middle", "expected"), [(1.5, 0), (2.3, 1)])
    def test_one_of_few_samples_that_was_lower_for_most_of_the_run(self, middle, expected):
        level = np.concatenate([np.full(8, 2.3), np.full(190, middle), np.full(42, 2.5)])
        level[8:] += noise(232, 0.5)
        assert len(found("loss_plateau", Model(records=240), train=level)) == expected

    @pytest.mark.parametrize(("share", "expected"), [(0.2, 1), (1.0, 0)])
    def test_one_that_scatters_as_far_as_it_began_says_nothing_by_how_low_it_got(self, share, expected):
        drawn = np.random.default_rng(0).exponential(1.0, 240) / np.log(2)  # Of a median of 1.
        loss = 1 + share * (drawn - 1)
        loss[:3], loss[-24:] = 1.0, loss[-24:] + 0.2
        assert len(found("loss_plateau", Model(records=240), train=loss)) == expected

    def test_weights_that_hardly_moved_had_no_chance(self):
        model = Model()
        model.ratios[:] = 1e-6
        assert found("loss_plateau", model, train=flat()) == []

    def test_fine_tuning_two_models_and_a_run_that_goes_on_are_left_alone(self):
        frozen = Model(frozen=tuple(f"blocks.{block}.{part}" for block in range(8) for part in ("conv", "norm")))
        assert found("loss_plateau", frozen, train=flat()) == []
        assert found("loss_plateau", Model(name="g"), Model(name="d"), train=flat()) == []
        resumed = {"loss/train": ("train_loss", STEPS + 5000, flat())}
        assert found("loss_plateau", Model(), **resumed) == []

    @pytest.mark.parametrize(("fall", "expected"), [(0.08, 0), (0.02, 1)])
    def test_the_threshold_is_a_twentieth(self, fall, expected):
        loss = flat(noise=0.005)
        loss[:3] *= 1 / (1 - fall)
        assert len(found("loss_plateau", Model(), train=loss)) == expected

    def test_a_loss_in_other_units_and_one_below_zero(self):
        assert found("loss_plateau", Model(), train=1e6 * falling()) == []
        assert found("loss_plateau", Model(), train=falling() - 5) == []
        assert found("loss_plateau", Model(), train=1e6 * flat()) != []

    def test_a_loss_whose_first_value_is_no_scale_is_left_alone(self):
        assert found("loss_plateau", Model(), train=flat() - 50) == []
        assert found("loss_plateau", Model(), train=noise(RECORDS, 0.1) + 0.01) == []

    def test_a_loss_that_was_thrown_up_had_learned_before(self):
        thrown = np.append(falling()[:30], 1e5 * np.random.default_rng(3).random(30))
        (finding,) = found("loss_plateau", Model(), train=thrown)
        assert 280 <= finding.first_step <= 310

    def test_a_loss_that_rises_from_near_zero_or_scatters_as_far_has_no_place_to_stay_at(self):
        rising = 0.01 + 0.3 * np.linspace(0, 1, RECORDS)
        assert found("loss_plateau", Model(), train=rising) == []
        assert found("loss_plateau", Model(), train=flat(noise=0.8)) == []
        assert len(found("loss_plateau", Model(), train=flat(noise=0.1))) == 1

    def test_a_loss_that_is_never_finite_says_nothing(self):
        assert found("loss_plateau", Model(), train=np.full(RECORDS, np.nan)) == []
