"""`poor_init`, `missing_zero_grad`, `clip_saturated` and `low_precision_underflow`."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import Severity
from tb_netviz_plugin.schema.description import Activation, Response
from tests.support.modelled import INTERVAL, RECORDS, Model, falling, flat, found, report
from tests.support.runs import COLUMNS

DEPTH = 6
STEPS = INTERVAL * np.arange(RECORDS)


def dense(each=1.0, gain=None):
    """Return a network of linear layers, each of which scales its inputs by `each`, or says so by its weights."""
    layers = {f"fc{number}": {"weight": (8, 8), "bias": (8,)} for number in range(DEPTH)}
    outputs = [
        Activation(name, module, "Linear", Response.NONE, 0, "", (4, 8), source=module)
        for module, name in enumerate(layers)
    ]
    model = Model(layers=layers, activations=outputs)
    model.weights[:, ::2] = (each if gain is None else gain) * np.sqrt(8)
    model.deviations *= each ** np.arange(DEPTH)
    return model


class TestPoorInit:
    @pytest.mark.parametrize(("each", "words"), [(0.2, "too small"), (5.0, "too large")])
    def test_a_signal_that_changes_its_scale_from_layer_to_layer(self, each, words):
        (finding,) = found("poor_init", dense(each))
        assert finding.layers == (1, 2, 3, 4, 5)
        assert (finding.first_step, finding.severity) == (0, Severity.WARNING)
        assert words in finding.message

    def test_a_narrow_embedding_or_one_small_projection_is_no_trend(self):
        for changed in (0, 3):
            model = dense()
            model.deviations[:, changed] *= 1e-3
            assert found("poor_init", model) == []

    def test_a_head_that_begins_at_zero_is_left_alone(self):
        model = dense()
        model.deviations[0, -1] = 0
        assert found("poor_init", model) == []

    @pytest.mark.parametrize("late", [False, True])
    def test_weights_that_have_to_grow_before_anything_is_learned(self, late):
        loss = np.append(flat(30), falling(30)) if late else flat()
        (finding,) = found("poor_init", dense(gain=0.05), train=loss)  # Normalised in between.
        assert (finding.layers, finding.first_step) == (tuple(range(DEPTH)), 0)
        assert finding.severity is Severity.WARNING
        assert finding.beyond.measured == pytest.approx(0.05)

    def test_small_weights_that_learn_at_once_and_single_small_ones_are_left_alone(self):
        assert found("poor_init", dense(gain=0.05), train=falling()) == []
        assert found("poor_init", dense(gain=0.12), train=flat()) == []
        branches = dense()
        branches.weights[:, [2, 6]] = 1e-3
        assert found("poor_init", branches, train=flat()) == []
        layers = {f"adapter{at}": {"a": (4, 16), "b": (64, 4)} for at in range(DEPTH)}
        adapters = Model(layers=layers, activations=dense().description.activations)
        adapters.weights[:, ::2], adapters.weights[:, 1::2] = 0.6 * np.sqrt(4), 1e-3  # The second begins at zero.
        assert found("poor_init", adapters, train=flat()) == []
        assert found("poor_init", dense(gain=0.05)) == []  # Without a loss nobody knows.
        begun = {"loss/train": ("train_loss", np.arange(RECORDS) / 2, flat())}
        assert found("poor_init", dense(gain=0.05), **begun) == []

    def test_what_happens_later_is_not_the_beginning(self):
        model = dense()
        model.deviations[20:] *= 5.0 ** np.arange(DEPTH)
        assert found("poor_init", model) == []

    @pytest.mark.parametrize(("each", "expected"), [(2.3, 0), (2.7, 1)])
    def test_the_threshold_is_a_hundred(self, each, expected):
        assert len(found("poor_init", dense(each))) == expected

    @pytest.mark.parametrize("each", [0.2, 5.0])
    def test_inputs_that_change_the_scale_are_not_the_weights(self, each):
        assert found("poor_init", dense(each, gain=1.0)) == []

    def test_a_head_whose_bias_keeps_it_alive_hides_nothing(self):
        model = dense(0.1)
        model.deviations[:, -1] = 1.0
        (finding,) = found("poor_init", model)
        assert finding.layers == (1, 2, 3, 4)

    def test_outputs_that_have_to_come_down_first(self):
        model = dense()
        model.deviations[:, 3:] *= 1 + 40 * np.exp(-np.arange(RECORDS) / 5)[:, None]
        assert found("poor_init", model, train=flat()) == []
        (finding,) = found("poor_init", model, train=falling(start=100))
        assert finding.layers == (3,)

    def test_a_head_whose_weights_are_too_large(self):
        model = dense()
        model.deviations[:, 5], model.weights[:, 10] = 25, 10 * np.sqrt(8)
        (finding,) = found("poor_init", model, train=falling(start=40))
        assert finding.layers == (5,)

    def test_large_targets_that_outputs_grow_towards_are_left_alone(self):
        model = dense()
        model.deviations[:, 5] *= np.geomspace(1, 1e3, RECORDS)
        assert found("poor_init", model, train=falling(start=1e6)) == []

    def test_without_outputs_it_is_not_checked(self):
        reasons = {one.rule.id: one.reason for one in report(Model()).skipped}
        assert reasons["poor_init"].startswith("not recorded")


def adding_up(each=1.0, **about):
    """Return a model each of whose steps adds as much to the gradient, of about its direction."""
    model = Model(interval=1, **about)
    first = model.norms[:1]
    model.norms = first * (1 + each * np.arange(RECORDS))[:, None]
    last = np.concatenate([first, model.norms[:-1]])
    model.cosines[:] = (model.norms**2 + last**2 - (1.2 * each * first) ** 2) / (2 * model.norms * last)
    return model


def kept(name, *values):
    """Return a scalar of so many observed steps after which gradients were kept, 1, or not, 0."""
    return {name: ("kept_gradient", np.arange(len(values), dtype=float), np.array(values))}


class TestGradientsThatWereSeenToBeKept:
    def test_they_are_found_however_they_behave(self):
        (finding,) = found("missing_zero_grad", Model(), **kept("netviz/kept_gradients", 1.0, 1.0, 1.0, 1.0))
        assert (finding.severity, finding.layers, finding.first_step) == (Severity.CRITICAL, (), 0)
        assert "after 100% of the steps" in finding.message

    def test_where_they_are_seen_to_be_forgotten_no_behaviour_counts(self):
        assert found("missing_zero_grad", adding_up(), **kept("netviz/kept_gradients", 0.0, 0.0, 0.0)) == []
        assert found("missing_zero_grad", adding_up(), **kept("netviz/kept_gradients", 0.0, 0.0)) != []  # Too few.

    @pytest.mark.parametrize(("times", "expected"), [(7, 0), (9, 1)])
    def test_the_threshold_is_four_steps_in_five(self, times, expected):
        scalars = kept("netviz/kept_gradients", *[1.0] * times, *[0.0] * (10 - times))
        assert len(found("missing_zero_grad", Model(), **scalars)) == expected

    def test_of_two_groups_the_layers_of_the_one_are_named(self):
        model = Model()
        rows = model.of(3)
        groups = (model.description.groups[0], replace(model.description.groups[0], index=1))
        parameters = tuple(replace(row, group=int(rows[at])) for at, row in enumerate(model.description.parameters))
        model.description = replace(model.description, parameters=parameters, groups=groups)
        scalars = kept("netviz/kept_gradients/0", *[0.0] * 5) | kept("netviz/kept_gradients/1", *[1.0] * 5)
        (finding,) = found("missing_zero_grad", model, **scalars)
        assert finding.layers == (3,)


class TestMissingZeroGrad:
    def test_gradients_that_add_up(self):
        (finding,) = found("missing_zero_grad", adding_up())
        assert (finding.first_step, finding.last_step, finding.severity) == (0, 59, Severity.CRITICAL)
        assert "zero_grad" in finding.remedies[0].code

    @pytest.mark.parametrize(("end", "expected"), [(0.5, 1), (0.05, 0)])
    def test_gradients_that_agree_while_the_loss_stands_are_not_of_that_loss(self, end, expected):
        model = Model(interval=1)
        model.norms = model.norms[:1] * np.minimum(1 + 0.2 * np.arange(RECORDS), 3)[:, None]
        model.cosines[:], model.ratios[:] = 0.98, 0.01
        loss = np.append(falling(20, end=0.5), np.linspace(0.5, end, RECORDS - 20))
        assert len(found("missing_zero_grad", model, train=loss)) == expected

    def test_small_steps_on_a_smooth_loss_agree_but_do_not_grow(self):
        model = adding_up(each=0.0)
        assert found("missing_zero_grad", model) == []

    def test_a_gradient_that_finds_its_way_grows_faster_than_the_steps(self):
        model = adding_up()
        model.norms = model.norms[:1] * np.minimum(1.3 ** np.arange(RECORDS), 1e5)[:, None]
        assert found("missing_zero_grad", model) == []

    @pytest.mark.parametrize(("cosine", "expected"), [(0.88, 0), (0.92, 1)])
    def test_the_threshold_is_nine_tenths(self, cosine, expected):
        model = adding_up()
        model.cosines[25:] = cosine
        assert len(found("missing_zero_grad", model)) == expected

    def test_a_gradient_that_grows_by_itself_changes_by_more_than_the_first_one(self):
        model = adding_up()
        model.cosines[4:] = 0.95
        assert found("missing_zero_grad", model) == []

    def test_a_layer_that_no_optimizer_holds_adds_up_by_itself(self):
        model = adding_up(each=0.0)
        model.cosines[:] = 0.2
        rows = model.of(3)
        parameters = tuple(
            replace(row, group=None) if rows[at] else row for at, row in enumerate(model.description.parameters)
        )
        model.description = replace(model.description, parameters=parameters)
        model.norms[:, rows] *= (1 + np.arange(RECORDS))[:, None] * 100
        model.cosines[:, rows] = 0.99
        assert found("missing_zero_grad", model) == []

    def test_two_models_are_told_apart(self):
        (finding,) = found("missing_zero_grad", Model(name="a", interval=1), adding_up(name="b"))
        assert min(finding.layers) >= 18


def clipped(share, before=9.0, records=RECORDS):
    random = np.random.default_rng(2)
    return {
        "clipped": ("clipped", STEPS[:records], (random.random(records) < share).astype(float)),
        "before": ("gradient_norm_before", STEPS[:records], np.full(records, before)),
    }


def limited():
    model = Model()
    model.norms /= np.sqrt((model.norms**2).sum(axis=1, keepdims=True))
    return model


class TestClipSaturated:
    def test_clipping_at_most_steps_far_below_the_norm(self):
        (finding,) = found("clip_saturated", limited(), **clipped(1.0))
        assert (finding.first_step, finding.severity) == (0, Severity.WARNING)
        assert "max_norm=20" in finding.remedies[0].code

    @pytest.mark.parametrize(
        ("optimizer", "train", "severity"),
        [
            ("Adam", falling(), Severity.INFO),
            ("Adam", None, Severity.INFO),
            ("Adam", flat(), Severity.WARNING),
            ("SGD", falling(), Severity.WARNING),
        ],
    )
    def test_a_scale_that_the_optimizer_cancels_does_no_harm_while_the_loss_falls(self, optimizer, train, severity):
        model = limited()
        groups = tuple(replace(group, optimizer=optimizer) for group in model.description.groups)
        model.description = replace(model.description, groups=groups)
        (finding,) = found("clip_saturated", model, train=train, **clipped(1.0))
        harms = severity is Severity.WARNING
        assert finding.severity is severity
        assert ("sets the size of the steps" in finding.message) is harms
        assert any("learning rate" in remedy.text for remedy in finding.remedies) is harms

    @pytest.mark.parametrize(("share", "before"), [(0.3, 9.0), (1.0, 4.0)])
    def test_clipping_now_and_then_or_by_a_little_is_left_alone(self, share, before):
        assert found("clip_saturated", limited(), **clipped(share, before)) == []

    def test_clipping_at_the_beginning_is_left_alone(self):
        scalars = clipped(1.0)
        scalars["clipped"][2][20:] = 0
        assert found("clip_saturated", limited(), **scalars) == []

    def test_it_is_not_checked_where_nothing_was_clipped(self):
        reasons = {one.rule.id: one.reason for one in report(Model()).skipped}
        assert reasons["clip_saturated"] == "no clipping was seen"


def of_type(name, **about):
    model = Model(**about)
    parameters = tuple(replace(row, dtype=name) for row in model.description.parameters)
    model.description = replace(model.description, parameters=parameters)
    return model


class TestLowPrecision:
    def test_updates_that_bfloat16_swallows(self):
        model = of_type("bfloat16")
        model.ratios[:] = 1e-6
        (finding,) = found("low_precision_underflow", model)
        assert len(finding.layers) == 10  # Those with a matrix.
        assert (finding.first_step, finding.severity) == (0, Severity.CRITICAL)

    @pytest.mark.parametrize("name", ["float32", "float64", "float16"])
    def test_updates_that_the_format_resolves_are_left_alone(self, name):
        model = of_type(name)
        model.ratios[:] = {"float16": 1e-3}.get(name, 1e-6)
        assert found("low_precision_underflow", model) == []

    @pytest.mark.parametrize(("train", "expected"), [(flat(), 1), (falling(), 0), (None, 0)])
    def test_updates_of_which_some_are_swallowed_beside_a_loss_that_hardly_falls(self, train, expected):
        model = of_type("bfloat16")
        model.ratios[:] = 6e-4
        assert len(found("low_precision_underflow", model, train=train)) == expected

    def test_the_end_of_a_schedule_is_left_alone(self):
        model = of_type("bfloat16")
        model.ratios *= np.geomspace(1, 1e-9, RECORDS)[:, None]
        model.ratios[:40] = 0.01
        assert found("low_precision_underflow", model) == []

    def test_gradients_that_fall_below_float16(self):
        model = of_type("float16")
        rows, sizes = model.of(0, 1), np.array([row.elements for row in model.description.parameters])
        model.norms[:, rows] = 1e-7 * np.sqrt(0.1 * sizes[rows])
        model.zeros[:, rows] = 0.9
        (finding,) = found("low_precision_underflow", model)
        assert set(finding.layers) == {0, 1}

    @pytest.mark.parametrize(("name", "expected"), [("bfloat16", 1), ("float32", 0)])
    def test_a_parameter_that_never_moves_in_few_bits(self, name, expected):
        model = of_type(name)
        model.ratios[:, 3] = 0.0
        findings = found("low_precision_underflow", model)
        assert len(findings) == expected
        if findings:
            assert findings[0].severity is Severity.WARNING
            assert model.description.parameters[3].name in findings[0].message

    def test_one_that_hardly_has_a_gradient_may_stand(self):
        model = of_type("bfloat16")
        model.ratios[:, 3], model.norms[:, 3] = 0.0, 1e-9
        assert found("low_precision_underflow", model) == []

    @pytest.mark.parametrize(("dtype", "expected"), [("float16", 1), ("bfloat16", 0), ("float32", 0)])
    def test_gradients_of_what_is_computed_in_float16(self, dtype, expected):
        model = Model()
        rows, sizes = model.of(*range(12)), np.array([row.elements for row in model.description.parameters])
        model.norms[:, rows] = 1e-7 * np.sqrt(0.1 * sizes[rows])
        model.zeros[:, rows] = 0.995
        places = range(len(model.description.modules))
        outputs = tuple(Activation(f"out{at}", at, "Conv2d", source=at, dtype=dtype) for at in places)
        model.description = replace(model.description, activations=outputs)
        assert len(found("low_precision_underflow", model)) == expected

    @pytest.mark.parametrize(("smallest", "expected"), [(2.0**-24, 1), (2.0**-24 / 65536, 0)])
    def test_gradients_of_which_only_multiples_of_the_smallest_number_are_left(self, smallest, expected):
        class Rounded(Model):
            def columns(self):
                found, at = super().columns(), COLUMNS.index("grad_abs_max")
                for columns in found:
                    columns[:, at] = np.round(columns[:, at] / smallest + 0.3) * smallest
                return found

        model = Rounded()
        rows, sizes = model.of(*range(12)), np.array([row.elements for row in model.description.parameters])
        model.norms[:, rows] = 3e-6 * np.sqrt(0.1 * sizes[rows])
        model.zeros[:, rows] = 0.995
        outputs = tuple(
            Activation(f"out{at}", at, "Conv2d", source=at, dtype="float16")
            for at in range(len(model.description.modules))
        )
        model.description = replace(model.description, activations=outputs)
        assert len(found("low_precision_underflow", model)) == expected

    def test_the_zeros_of_a_rectifier_are_left_alone(self):
        model = of_type("float16")
        model.zeros[:] = 0.9
        assert found("low_precision_underflow", model) == []
