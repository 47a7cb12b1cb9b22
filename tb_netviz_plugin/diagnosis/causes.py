"""Which finding follows from which: the one that came first names the cause, and the others stand below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tb_netviz_plugin.diagnosis.finding import Finding, Severity

LATE = 0.05
"""Share of the run by which a cause may be noticed later than what follows from it."""
FAILURES = frozenset({"loss_plateau", "underfitting"})
"""What a training fails to do is so from its start, whenever the cause of it shows."""
EVENTS = frozenset({"loss_spike", "loss_oscillation", "dead_units"})
"""What happens at some step, and explains nothing that was so before."""
GONE = "gone"
"""Subject of layers whose gradients are set to zero before the optimizer steps."""
PARTS = "parts"
"""Subject of single parameters without a gradient in layers that have one."""
SORTED = "sorted"
"""Subject of a loss that swings since each batch holds targets of one kind."""
OFFSET = "offset"
"""Subject of outputs that begin far from the targets, and take long to get there at any rate that is common."""
DATA = "data"
"""Subject of a loss that leapt since the batch was of another kind, or had wrong values."""
SUMS = "sums"
"""Subject of a signal that grows from layer to layer by something else than weights."""
AT_ONCE = "at once"
"""Subject of gradients that grow through time steps so far that the first step leaves nothing of the weights."""
TIME = "time"
"""Subject of gradients that vanish through time steps, whose last ones still get one."""
SLOPELESS = "slopeless"
"""Subject of a loss that gives no gradient, to the output neither."""
KNOWN = frozenset({"no_optimizer", "no_rate", "never_stepped", GONE, SORTED})
"""Subjects of what has a reason that is known, and follows from nothing."""
EXACTLY_ZERO = "zero"
"""Subject of gradients of which nothing is left at all."""
_OUTLASTED = 0.7
"""Share of the run so far at which a gradient that vanished is back, where items stay alike all the same."""
_SHRUNK = 0.3
"""Share of their norm that weights keep which decay since hardly any gradient reaches them; less is a decay that takes
all there is, and makes items alike."""
_REPLACED, _AT_ONCE = 0.5, 3
"""Norm of an update over that of the weights, in one of so many first records, from which on it, and no decay, is what
made these others."""
_TENFOLD, _SOME = 10.0, 5
"""Factor by which embeddings become more alike, over so many records, where no large step does it any more."""
_TWINS = 0.75
"""Share of a layer's units that have a twin from which on too few are left to tell classes apart."""
_CARRIES_OVER = 0.9
"""Share of its first value that a validation loss stays above where nothing carries over: what can't tell the rule
learns by heart.
"""
_HALF = 0.5
"""Share of the run by which the cause of a failure may be noticed later than that."""

EFFECTS: Mapping[str, frozenset[str]] = {
    "nonfinite": frozenset({"loss_plateau", "loss_spike", "dead_units"}),
    "exploding_gradient": frozenset(
        {
            "class_imbalance",
            "nonfinite",
            "loss_spike",
            "loss_plateau",
            "clip_saturated",
            "dead_units",
            "poor_init",
            "lr_too_high",
        }
    ),
    "lr_too_high": frozenset(
        {
            "class_imbalance",
            "nonfinite",
            "exploding_gradient",
            "loss_spike",
            "loss_oscillation",
            "loss_plateau",
            "dead_units",
            "saturation",
            "vanishing_gradient",
            "clip_saturated",
            "layer_not_training",  # Of weights that were blown up no usual step shows.
            "representation_collapse",
            "oversmoothing",
            "over_regularised",  # A decay is multiplied by the rate.
        }
    ),
    "poor_init": frozenset(
        {
            "class_imbalance",
            "nonfinite",
            "vanishing_gradient",
            "exploding_gradient",
            "lr_too_high",
            "lr_too_low",
            "saturation",
            "loss_plateau",
            "loss_oscillation",
            "loss_spike",
            "dead_units",
            "redundant_units",
            "clip_saturated",
            "underfitting",
            "low_precision_underflow",
            "representation_collapse",
            "oversmoothing",
        }
    ),
    "saturation": frozenset({"class_imbalance", "vanishing_gradient", "loss_plateau"}),
    "dead_units": frozenset(
        {"vanishing_gradient", "loss_plateau", "underfitting", "class_imbalance", "unused_parameter"}
    ),
    "vanishing_gradient": frozenset(
        {
            "loss_plateau",
            "lr_too_low",
            "loss_oscillation",
            "underfitting",
            "oversmoothing",
            "class_imbalance",
            "dead_units",
        }
    ),
    "lr_too_low": frozenset({"loss_plateau", "underfitting", "class_imbalance", "poor_init", "vanishing_gradient"}),
    "unused_parameter": frozenset(
        {"class_imbalance", "loss_plateau", "underfitting", "vanishing_gradient", "over_regularised"}
    ),
    "layer_not_training": frozenset(
        {"class_imbalance", "loss_plateau", "underfitting", "unused_parameter", "vanishing_gradient"}
    ),
    "redundant_units": frozenset({"class_imbalance", "loss_plateau", "underfitting"}),
    "missing_nonlinearity": frozenset({"class_imbalance", "underfitting", "loss_plateau", "overfitting"}),
    "missing_zero_grad": frozenset(
        {
            "class_imbalance",
            "exploding_gradient",
            "lr_too_high",
            "loss_oscillation",
            "loss_spike",
            "loss_plateau",
            "nonfinite",
            "clip_saturated",
            "dead_units",
            "saturation",
            "underfitting",
        }
    ),
    "input_unnormalised": frozenset(
        {
            "class_imbalance",
            "poor_init",
            "nonfinite",
            "lr_too_high",
            "lr_too_low",  # Of what lies at the ends of its functions hardly anything moves.
            "exploding_gradient",
            "vanishing_gradient",
            "saturation",
            "dead_units",
            "loss_spike",
            "loss_oscillation",
            "loss_plateau",
            "clip_saturated",
            "layer_not_training",
            "underfitting",
            "representation_collapse",
        }
    ),
    "wrong_output_or_loss": frozenset(
        {
            "class_imbalance",
            "nonfinite",
            "exploding_gradient",
            "vanishing_gradient",
            "lr_too_low",
            "lr_too_high",
            "saturation",
            "dead_units",
            "layer_not_training",
            "loss_plateau",
            "poor_init",
            "missing_zero_grad",  # Of a loss without a lower end the gradient grows in one direction, too.
            "underfitting",
            "representation_collapse",
        }
    ),
    "low_precision_underflow": frozenset(
        {
            "class_imbalance",
            "dead_units",  # Of a gradient only its largest elements are left, which push at the same units each time.
            "vanishing_gradient",
            "layer_not_training",
            "loss_plateau",
            "lr_too_low",
            "underfitting",
            "unused_parameter",
        }
    ),
    "representation_collapse": frozenset(
        {
            "class_imbalance",
            "dead_units",
            "redundant_units",
            "saturation",
            "vanishing_gradient",
            "layer_not_training",
            "lr_too_low",
            "lr_too_high",
            "loss_plateau",
        }
    ),
    "oversmoothing": frozenset(
        {"class_imbalance", "loss_plateau", "underfitting", "redundant_units", "over_regularised", "vanishing_gradient"}
    ),
    "underfitting": frozenset({"loss_plateau"}),
    "loss_plateau": frozenset({"dead_units", "lr_too_low", "over_regularised", "underfitting"}),
    "train_eval_mismatch": frozenset({"overfitting"}),
    "class_imbalance": frozenset({"overfitting", "loss_plateau"}),
    "label_noise": frozenset({"loss_plateau", "underfitting", "overfitting", "train_eval_mismatch"}),
    "clip_saturated": frozenset(
        {"class_imbalance", "lr_too_low", "loss_plateau", "underfitting", "over_regularised", "poor_init"}
    ),
    "loss_spike": frozenset({"dead_units", "exploding_gradient", "loss_plateau"}),
    "loss_oscillation": frozenset({"loss_spike", "underfitting", "lr_too_high", "loss_plateau"}),
    "over_regularised": frozenset(
        {
            "class_imbalance",
            "dead_units",
            "vanishing_gradient",
            "loss_plateau",
            "underfitting",
            "lr_too_high",
            "representation_collapse",
            "oversmoothing",
        }
    ),
}
"""By rule, what it may bring about."""


def fold(findings: Sequence[Finding]) -> list[Finding]:
    """Return the causes, the worst first, each with what follows from it."""
    steps = [finding.last_step for finding in findings]
    span = max(steps) - min(finding.first_step for finding in findings) if findings else 0.0
    causes = [_cause_of(finding, findings, span) for finding in findings]
    roots = [_root(index, causes, findings) for index in range(len(findings))]
    folded = []
    for index, finding in enumerate(findings):
        if roots[index] == index:
            below = [other for at, other in enumerate(findings) if roots[at] == index and at != index]
            folded.append(replace(finding, consequences=tuple(sorted(below, key=_order))))
    return sorted(folded, key=_order)


def _order(finding: Finding) -> tuple[int, float]:
    worst = max(one.severity for one in (finding, *finding.consequences))
    return -worst, finding.first_step


def _cause_of(effect: Finding, findings: Sequence[Finding], span: float) -> int | None:
    """Return the index of the earliest finding that may have brought `effect` about; what is harmless did not."""
    if _subject(effect) in KNOWN:
        return None
    able = [
        (cause.first_step, index)
        for index, cause in enumerate(findings)
        if effect.rule in EFFECTS.get(cause.rule, ())
        and _strong(cause, effect)
        and cause.first_step <= effect.first_step + _slack(cause, effect) * span
        and (cause.severity > Severity.INFO or effect.severity is Severity.INFO)
    ]
    return min(able)[1] if able else None


def _subject(finding: Finding) -> str:
    """Return what a finding is about, without the model that stands in front of it where there are several."""
    return finding.subject.rpartition(":")[2]


def _strong(cause: Finding, effect: Finding) -> bool:
    """Whether a cause is enough, where the rules alone don't say it."""
    judge = _ENOUGH.get((cause.rule, effect.rule))
    return judge is None or judge(cause, effect)


def _at_once(finding: Finding) -> float:
    """Return how much the largest of the first updates that a finding shows replaced; 0 where it shows none."""
    shown = (line.values[:_AT_ONCE] for line in finding.evidence if line.statistic == "update_ratio")
    return max((float(value) for values in shown for value in values if np.isfinite(value)), default=0.0)


def _from_the_first(finding: Finding) -> bool:
    """Whether what a finding shows lay below its threshold at the first record already."""
    drawn = (line for line in finding.evidence if line.threshold is not None and len(line.values))
    return any(line.values[0] <= line.threshold for line in drawn)


def _of_its_layers(cause: Finding, effect: Finding) -> bool:
    """Whether gradients that are gone are those of the layers in question."""
    return _subject(cause) == GONE and set(effect.layers) <= set(cause.layers)


def _never_fell(finding: Finding) -> bool:
    """Whether what a finding draws first, as a validation loss that rose, never was much below its first value."""
    values = finding.evidence[0].values
    return bool(values.size) and bool(np.nanmin(values) >= _CARRIES_OVER * values[0] > 0)


def _goes_on(collapse: Finding, large: Finding) -> bool:
    """Whether what varies goes on to dwindle long after the last large step: the loss itself pulls all together."""
    first = collapse.evidence[0]
    known = np.isfinite(first.values)
    after = first.values[known & (first.steps > large.last_step)]
    return bool(after.size >= _SOME and after[0] > 0 and np.median(after[-_SOME:]) * _TENFOLD <= after[0])


_ENOUGH: Mapping[tuple[str, str], Callable[[Finding, Finding], bool]] = {
    ("layer_not_training", "unused_parameter"): _of_its_layers,
    ("layer_not_training", "vanishing_gradient"): _of_its_layers,
    ("exploding_gradient", "poor_init"): lambda cause, _effect: _subject(cause) == SUMS,
    ("exploding_gradient", "lr_too_high"): lambda cause, _effect: _subject(cause) in (SUMS, AT_ONCE),
    ("lr_too_low", "vanishing_gradient"): lambda _cause, effect: _subject(effect) == TIME,
    ("vanishing_gradient", "lr_too_low"): lambda cause, _effect: _subject(cause) != TIME,
    ("lr_too_low", "poor_init"): lambda _cause, effect: _subject(effect) == OFFSET,
    ("clip_saturated", "poor_init"): lambda _cause, effect: _subject(effect) == OFFSET,
    ("wrong_output_or_loss", "poor_init"): lambda _cause, effect: _subject(effect) == OFFSET,
    ("poor_init", "lr_too_low"): lambda cause, _effect: _subject(cause) != OFFSET,
    ("poor_init", "clip_saturated"): lambda cause, _effect: _subject(cause) != OFFSET,
    ("poor_init", "exploding_gradient"): lambda _cause, effect: _subject(effect) != SUMS,
    ("lr_too_high", "exploding_gradient"): lambda _cause, effect: _subject(effect) not in (SUMS, AT_ONCE),
    ("loss_spike", "exploding_gradient"): lambda cause, effect: (
        _subject(cause) == DATA and effect.first_step >= cause.first_step
    ),
    ("exploding_gradient", "loss_spike"): lambda _cause, effect: _subject(effect) != DATA,
    ("oversmoothing", "vanishing_gradient"): lambda cause, effect: effect.last_step < _OUTLASTED * cause.last_step,
    ("vanishing_gradient", "oversmoothing"): lambda cause, effect: cause.last_step >= _OUTLASTED * effect.last_step,
    ("oversmoothing", "over_regularised"): lambda cause, effect: (
        effect.beyond.measured >= _SHRUNK or _from_the_first(cause)
    ),
    ("over_regularised", "oversmoothing"): lambda _cause, effect: not _from_the_first(effect),
    ("lr_too_high", "over_regularised"): lambda cause, _effect: _at_once(cause) >= _REPLACED,
    ("over_regularised", "lr_too_high"): lambda _cause, effect: _at_once(effect) < _REPLACED,
    ("lr_too_high", "representation_collapse"): lambda cause, effect: not _goes_on(effect, cause),
    ("representation_collapse", "lr_too_high"): _goes_on,
    ("loss_oscillation", "lr_too_high"): lambda cause, _effect: _subject(cause) == SORTED,
    ("loss_oscillation", "loss_plateau"): lambda cause, _effect: _subject(cause) == SORTED,
    ("missing_nonlinearity", "overfitting"): lambda _cause, effect: _never_fell(effect),
    ("redundant_units", "class_imbalance"): lambda cause, _effect: cause.beyond.measured >= _TWINS,
    # What moves weights that get no gradient is a decay.
    **{
        ("loss_plateau", rule): lambda cause, _effect: _subject(cause) == SLOPELESS
        for rule in ("dead_units", "lr_too_low", "over_regularised", "underfitting")
    },
    **{
        (rule, "loss_plateau"): lambda _cause, effect: _subject(effect) != SLOPELESS
        for rule in ("lr_too_low", "over_regularised", "underfitting")
    },
    # Nearly all units of a layer have to be dead to cut a gradient off.
    ("dead_units", "vanishing_gradient"): lambda cause, effect: (
        cause.severity is Severity.CRITICAL or _subject(effect) == EXACTLY_ZERO
    ),
    ("dead_units", "unused_parameter"): lambda cause, effect: (
        cause.severity is Severity.CRITICAL and _subject(effect) == PARTS
    ),
    ("low_precision_underflow", "unused_parameter"): lambda _cause, effect: _subject(effect) == PARTS,
    ("vanishing_gradient", "dead_units"): lambda cause, effect: (
        effect.severity is not Severity.CRITICAL and _subject(cause) != EXACTLY_ZERO
    ),
}
"""By the rules of a cause and an effect, what else has to hold."""


def _slack(cause: Finding, effect: Finding) -> float:
    """Return the share of the run by which a cause may be noticed later than what follows from it."""
    return _HALF if effect.rule in FAILURES and cause.rule not in EVENTS else LATE


def _root(index: int, causes: Sequence[int | None], findings: Sequence[Finding]) -> int:
    """Follow causes to the first one; where they go round in a circle, to the earliest in that."""
    path = [index]
    while (cause := causes[path[-1]]) is not None:
        if cause in path:
            circle = path[path.index(cause) :]
            return min(circle, key=lambda at: (findings[at].first_step, at))
        path.append(cause)
    return path[-1]
