"""What can be stated about a run without judging it.

Each kind is a function from Evidence to facts, with a line in FACTS, whose order is that in which
they strike. They keep quiet about healthy networks: a fact has to persist, and is measured against
the network's own past and depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tb_netviz_plugin.analysis.derive import Derived, State, by_layer, derive
from tb_netviz_plugin.analysis.grid import Grid
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.schema.statistics import STATISTIC

PERSISTING = 5
"""Records, in a row and up to the last, that a fact about the present rests on."""
STRIKING_FALL = 1e3
"""Factor between two depths, or between past and present, from which a fall is stated."""
SPIKE_OVER_MEDIAN = 50.0
"""Factor over the usual update ratio from which an update is a spike."""
SPIKE_RATIO = 0.1
"""Share of its weights that an update has to change to be a spike."""
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Fact:
    """A statement about a run.

    Attributes:
        id: Tells it from the other facts of the run.
        kind: Name of its kind.
        title: A short sentence.
        detail: The numbers behind it.
        statistic: Id of the statistic that shows it.
        layers: Indices of the layers that it is about, the first one first.
        step: Where it began.
        last_step: Up to where it was seen.
        evidence: The numbers by name.
    """

    id: str
    kind: str
    title: str
    detail: str
    statistic: str
    layers: tuple[int, ...]
    step: float
    last_step: float
    evidence: dict[str, float] = field(default_factory=dict)


class Evidence:
    """The statistics of the layers of a run, derived when a fact asks for them."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._derived: dict[str, Derived] = {}

    @property
    def steps(self) -> Floats:
        """Last step of each record, [T]."""
        return self.grid.steps

    def statistic(self, name: str) -> Derived:
        """Return a statistic of all layers, with its band."""
        if name not in self._derived:
            self._derived[name] = derive(self.grid, STATISTIC[name], by_layer(self.grid), band=True)
        return self._derived[name]

    def numbers(self, name: str) -> Floats:
        """Return the values of a statistic, [L, T], NaN in every cell that is no number."""
        derived = self.statistic(name)
        return np.where(derived.states == State.NUMBER, derived.values, np.nan)

    @cached_property
    def frozen(self) -> Bools:
        """Which layers ask for no gradient, [L]."""
        return np.array([layer.frozen for layer in self.grid.network.layers], np.bool_)

    def name(self, layer: int) -> str:
        """Return the name of a layer, shortened where it would not fit a sentence."""
        name = self.grid.network.layers[layer].name
        return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"

    def names(self, layers: Sequence[int]) -> str:
        """Return the layers in words: "conv1", or "12 layers, conv1 to conv12,"."""
        if len(layers) == 1:
            return self.name(layers[0])
        first, last = min(layers), max(layers)
        return f"{len(layers):,} layers, {self.name(first)} to {self.name(last)}"


def find_facts(grid: Grid) -> tuple[Fact, ...]:
    """Return the facts about a run, the most striking first."""
    if not grid.network.layers or not grid.steps.size:
        return ()
    evidence = Evidence(grid)
    return tuple(fact for kind in FACTS for fact in kind(evidence))


def nonfinite(evidence: Evidence) -> list[Fact]:
    """State where NaN or infinite gradients were first seen."""
    share = evidence.statistic("gradient_nonfinite")
    spoiled = share.states == State.NONFINITE
    if not spoiled.any():
        return []
    first = np.where(spoiled.any(axis=1), spoiled.argmax(axis=1), spoiled.shape[1])
    layers = [int(i) for i in np.argsort(first, kind="stable") if spoiled[i].any()]
    onset, last = int(first.min()), int(np.flatnonzero(spoiled.any(axis=0))[-1])
    at_onset = [layer for layer in layers if first[layer] == onset]
    records = int(spoiled.any(axis=0).sum())
    step = evidence.steps[onset]
    return [
        Fact(
            id=f"nonfinite:{layers[0]}",
            kind="nonfinite",
            title=f"{_possessive(evidence, at_onset)} not finite at step {step:,.0f}",
            detail=f"NaN or infinite gradients in {len(layers):,} of {len(spoiled):,} layers and {records:,} of "
            f"{spoiled.shape[1]:,} records, first at step {step:,.0f}, last at step {evidence.steps[last]:,.0f}.",
            statistic="gradient_nonfinite",
            layers=tuple(layers),
            step=step,
            last_step=evidence.steps[last],
            evidence={"layers": len(layers), "records": records, "largest_share": float(np.nanmax(share.values))},
        )
    ]


def zero_gradient(evidence: Evidence) -> list[Fact]:
    """State which layers' gradients are exactly zero up to the last record, and since when."""
    derived = evidence.statistic("gradient_max_abs")
    number = derived.states == State.NUMBER
    runs = {
        layer: onset
        for layer in range(len(number))
        if (onset := _persisting(number[layer], derived.high[layer] == 0)) is not None
    }
    facts = []
    for onset in sorted(set(runs.values())):
        layers = [layer for layer, since in runs.items() if since == onset]
        last = int(np.flatnonzero(number[layers].any(axis=0))[-1])
        records = int(number[layers, onset:].sum(axis=1).min())
        step, until = evidence.steps[onset], evidence.steps[last]
        facts.append(
            Fact(
                id=f"zero_gradient:{layers[0]}",
                kind="zero_gradient",
                title=f"{_possessive(evidence, layers)} exactly zero since step {step:,.0f}",
                detail=f"Every element is 0 in all {records:,} records from step {step:,.0f} to step {until:,.0f}.",
                statistic="gradient_zero_fraction",
                layers=tuple(layers),
                step=step,
                last_step=until,
                evidence={"records": records},
            )
        )
    return facts


def no_gradient(evidence: Evidence) -> list[Fact]:
    """State which layers never had a gradient though they ask for one, while others had."""
    return _never_a_gradient(
        evidence,
        ~evidence.frozen,
        "never had a gradient",
        "They ask for a gradient, but none reached them in any of {records:,} records: nothing that the loss depends "
        "on uses them, or they are detached.",
    )


def frozen_layers(evidence: Evidence) -> list[Fact]:
    """State which layers are frozen: they ask for no gradient."""
    return _never_a_gradient(
        evidence,
        evidence.frozen,
        "frozen, without a gradient",
        "They ask for no gradient (requires_grad is off), and had none in {records:,} records.",
    )


def _never_a_gradient(evidence: Evidence, wanted: Bools, words: str, detail: str) -> list[Fact]:
    states = evidence.statistic("gradient_norm").states
    others = np.isin(states, (State.NUMBER, State.NONFINITE)).any(axis=0)
    without = (states == State.NO_GRADIENT) & others
    ever = np.isin(states, (State.NUMBER, State.NONFINITE)).any(axis=1)
    layers = [int(i) for i in np.flatnonzero(wanted & ~ever & (without.sum(axis=1) >= PERSISTING))]
    if not layers:
        return []
    seen = np.flatnonzero(without[layers].any(axis=0))
    subject = evidence.names(layers)
    verb = "" if words.startswith("never") else ("is " if len(layers) == 1 else "are ")
    return [
        Fact(
            id=f"no_gradient:{layers[0]}",
            kind="no_gradient",
            title=f"{subject}{',' if len(layers) > 1 else ''} {verb}{words}",
            detail=detail.format(records=len(seen)),
            statistic="gradient_norm",
            layers=tuple(layers),
            step=evidence.steps[seen[0]],
            last_step=evidence.steps[seen[-1]],
            evidence={"layers": len(layers), "records": len(seen)},
        )
    ]


def gradient_drop(evidence: Evidence) -> list[Fact]:
    """State which layers' gradients fell far below their own past, while the other layers' did not."""
    norms = evidence.numbers("gradient_norm")
    if len(norms) < 3 or norms.shape[1] < 4 * PERSISTING:
        return []
    logs = _logarithm(norms)
    relative = logs - _nanmedian(logs)
    facts = []
    for layer, series in enumerate(relative):
        known = np.flatnonzero(np.isfinite(series))
        if known.size < 4 * PERSISTING:
            continue
        smooth = _running_median(series[known], PERSISTING)
        present, past = float(np.median(series[known][-PERSISTING:])), float(smooth.max())
        factor = 10 ** (past - present)
        if factor < STRIKING_FALL:
            continue
        above = np.flatnonzero(series[known] > (past + present) / 2)
        onset = known[min(above[-1] + 1, known.size - 1)]
        step = evidence.steps[onset]
        before, after = 10 ** np.median(logs[layer, known][above]), 10 ** np.median(logs[layer, known][-PERSISTING:])
        facts.append(
            Fact(
                id=f"gradient_drop:{layer}",
                kind="gradient_drop",
                title=f"{_possessive(evidence, [layer])} {_times(factor)} smaller since step {step:,.0f}",
                detail=f"Its norm was {_number(before)} and is {_number(after)}; measured against the other layers it "
                f"fell {_times(factor)}.",
                statistic="gradient_norm",
                layers=(layer,),
                step=step,
                last_step=evidence.steps[known[-1]],
                evidence={"factor": factor, "before": float(before), "after": float(after)},
            )
        )
    return sorted(facts, key=lambda fact: -fact.evidence["factor"])


def gradient_fall(evidence: Evidence) -> list[Fact]:
    """State how far the gradient falls through the depth, from where to where, at present.

    Both the norm and the mean magnitude have to fall: a sparse embedding has a small mean and an
    ordinary norm, a small layer the reverse.
    """
    means, norms = evidence.numbers("gradient_mean_abs"), evidence.numbers("gradient_norm")
    alive = np.flatnonzero((means[:, -PERSISTING:] > 0).sum(axis=1) > 0)
    models = [evidence.grid.network.layers[layer].model for layer in alive]
    falls = [
        fall
        for model in dict.fromkeys(models)
        if (fall := _fall_of_model(evidence, alive[[one == model for one in models]], means, norms))
    ]
    return sorted(falls, key=lambda fact: -fact.evidence["factor"])


def _fall_of_model(
    evidence: Evidence, layers: np.ndarray[tuple[int, ...], np.dtype[np.intp]], means: Floats, norms: Floats
) -> Fact | None:
    if len(layers) < 3 or means.shape[1] < PERSISTING:
        return None
    profile = _depth_profile(means[layers])
    lowest_before = np.minimum.accumulate(profile)
    top = int(np.argmax(profile - lowest_before))
    bottom = int(np.argmin(profile[: top + 1]))
    factor = 10 ** (profile[top] - profile[bottom])
    norm_profile = _depth_profile(norms[layers])
    low, high = int(layers[bottom]), int(layers[top])
    share = _logarithm(means[high]) - _logarithm(means[low])
    known = np.flatnonzero(np.isfinite(share))
    if min(factor, 10 ** (norm_profile[top] - norm_profile[bottom])) < STRIKING_FALL or not known.size:
        return None
    shallow = np.flatnonzero(share[known] < np.log10(STRIKING_FALL))
    onset = known[min(shallow[-1] + 1, known.size - 1)] if shallow.size else known[0]
    steepest = bottom + int(np.argmax(np.diff(profile[bottom : top + 1])))
    across = 10 ** (profile[steepest + 1] - profile[steepest])
    starved = [int(layers[i]) for i in range(bottom, top) if profile[i] <= profile[top] - np.log10(STRIKING_FALL)]
    return Fact(
        id=f"gradient_fall:{low}",
        kind="gradient_fall",
        title=f"The gradient falls {_times(factor)} from {evidence.name(high)} down to {evidence.name(low)}",
        detail=f"Mean |g| is {_number(10 ** profile[top])} in {evidence.name(high)} and "
        f"{_number(10 ** profile[bottom])} in {evidence.name(low)}, {top - bottom:,} layers nearer the input; "
        f"the steepest part, {_times(across)}, lies between {evidence.name(int(layers[steepest + 1]))} and "
        f"{evidence.name(int(layers[steepest]))}.",
        statistic="gradient_mean_abs",
        layers=tuple(starved),
        step=evidence.steps[onset],
        last_step=evidence.steps[known[-1]],
        evidence={"factor": float(factor), "from_layer": high, "to_layer": low, "steepest_factor": float(across)},
    )


def _depth_profile(values: Floats) -> Floats:
    """Return log10 of the present value of each layer, without what only a single layer differs in."""
    recent = _nanmedian(_logarithm(values[:, -PERSISTING:]).T)
    return _running_median(recent, 3) if len(recent) > 4 else recent


def update_spike(evidence: Evidence) -> list[Fact]:
    """State where a step changed a layer's weights far more than steps usually do."""
    derived = evidence.statistic("update_ratio")
    ratios = np.where(derived.states == State.NUMBER, derived.high, np.nan)
    usual = _nanmedian(np.where(derived.states == State.NUMBER, derived.values, np.nan).T)[:, None]
    ratios[:, : 2 * PERSISTING] = np.nan
    spikes = (ratios >= SPIKE_RATIO) & (ratios >= SPIKE_OVER_MEDIAN * usual) & (usual > 0)
    if not spikes.any():
        return []
    over = np.where(spikes, ratios / usual, 0.0)
    worst, at = (int(i) for i in np.unravel_index(np.argmax(over), over.shape))
    layers = [worst, *(int(i) for i in np.flatnonzero(spikes[:, at]) if i != worst)]
    ratio, step = float(ratios[worst, at]), evidence.steps[at]
    return [
        Fact(
            id=f"update_spike:{worst}",
            kind="update_spike",
            title=f"{evidence.name(worst)}'s weights changed by {ratio:.0%} at step {step:,.0f}",
            detail=f"That is {_times(over[worst, at])} its usual update of {_number(float(usual[worst, 0]))} of the "
            f"norm of its weights. {len(layers):,} of {len(ratios):,} layers had such a step then.",
            statistic="update_ratio",
            layers=tuple(layers),
            step=step,
            last_step=step,
            evidence={"ratio": ratio, "usual": float(usual[worst, 0]), "layers": len(layers)},
        )
    ]


FACTS: tuple[Callable[[Evidence], list[Fact]], ...] = (
    nonfinite,
    zero_gradient,
    no_gradient,
    gradient_drop,
    gradient_fall,
    update_spike,
    frozen_layers,
)


def _persisting(number: Bools, condition: Bools) -> int | None:
    """Return since which record `condition` holds wherever there is a number, or None if it does not persist."""
    known = np.flatnonzero(number)
    broken = np.flatnonzero(~condition[known])
    start = broken[-1] + 1 if broken.size else 0
    return int(known[start]) if known.size - start >= PERSISTING else None


def _possessive(evidence: Evidence, layers: Sequence[int]) -> str:
    if len(layers) == 1:
        return f"{evidence.name(layers[0])}'s gradient is"
    return f"The gradients of {evidence.names(layers)}, are"


def _times(factor: float) -> str:
    """Return a factor in words, with two significant digits: "4.6-fold", "110,000-fold", "57 million-fold"."""
    rounded = float(f"{factor:.2g}")
    if rounded < 1e6:
        return f"{rounded:,g}-fold"
    if rounded < 1e9:
        return f"{rounded / 1e6:g} million-fold"
    return f"{_number(rounded)}-fold"


def _number(value: float) -> str:
    """Return a value with two significant digits, as the tab writes it: "0.0029", "1.2e-5", "6e7"."""
    rounded = float(f"{value:.2g}")
    if rounded == 0 or 1e-3 <= abs(rounded) < 1e6:
        return f"{rounded:,g}"
    mantissa, exponent = f"{rounded:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _logarithm(values: Floats) -> Floats:
    """Return log10 of the positive values, NaN for the rest."""
    return np.log10(values, out=np.full(values.shape, np.nan), where=values > 0)


def _nanmedian(values: Floats) -> Floats:
    """Return the median of the numbers in each column, NaN for a column without any, and without a warning."""
    ordered = np.sort(values, axis=0)
    count = np.isfinite(values).sum(axis=0)
    columns = np.arange(values.shape[1])
    low, high = ordered[np.maximum(count - 1, 0) // 2, columns], ordered[count // 2, columns]
    return np.where(count > 0, (low + high) / 2, np.nan)


def _running_median(values: Floats, width: int) -> Floats:
    """Return the median of the `width` values around each, of those at the ends for the ends."""
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    middle = np.median(windows, axis=1)
    missing = len(values) - len(middle)
    return np.pad(middle, (missing // 2, missing - missing // 2), mode="edge")
