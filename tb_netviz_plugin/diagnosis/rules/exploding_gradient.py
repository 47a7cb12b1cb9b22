"""`exploding_gradient`: gradients that grow on their way to the input, or over the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import fold, layer_name, number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import guess
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import AT_ONCE
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.depth import deep, rise
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import matrices, movement, stepped, total
from tb_netviz_plugin.diagnosis.multiplied import both_ways
from tb_netviz_plugin.diagnosis.overwritten import at_first_step, is_overwritten
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, Stretch, above, lasting, smooth
from tb_netviz_plugin.diagnosis.sums import of_signal
from tb_netviz_plugin.diagnosis.wild import wild

_SHARE = 0.1
"""Share of the run's steps that growth through the depth has to last, unless it ends in NaN."""
_STAYS = 0.5
"""Share of the records from then on at which a gradient that has grown is as large."""
_BURSTS = 3
"""Bursts that make a gradient explode now and then."""
_AROUND = 21
"""Records that a burst stands out from."""
_LEARNED = 0.9
"""Share of its first value by which a loss has fallen where growth through the depth does no harm."""
_PARTS, _FAR = 6, 1e4
"""Parts of the run from each to the next of which a gradient creeps up, and the factor by which it does: that alone
is harm, where no loss was logged."""
_RECURRENT = ("RNN", "LSTM", "GRU")
"""What the types of layers begin with through whose time steps a gradient may grow."""
_THROUGH_TIME = 0.1
"""Share of the factor through the depth that is enough there: one layer stands beside those behind it; and where the
first step overwrites the weights."""
_GROWS = 1.0
"""By how much a matrix scales independent inputs, from which on they grow where it is used again and again."""
_WORSE = 0.1
"""Share of what a loss had gained that it loses where growth does harm."""

_REMEDIES = (
    Remedy(
        "Clip the norm of all gradients together.",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)  # between backward() and step()",
    ),
    Remedy(
        "Begin with weights that keep the scale of the signal.",
        'nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # an RNN: nn.init.orthogonal_(weight_hh)',
    ),
    Remedy("Normalise between the layers.", "nn.Sequential(nn.Linear(n, m), nn.LayerNorm(m), nn.ReLU())"),
    Remedy("Lower the learning rate, and backpropagate through fewer time steps."),
)


@dataclass(frozen=True, slots=True)
class _Growth:
    """A gradient far above its past.

    Attributes:
        at: Records at which it is so.
        factor: How far above.
        usual: Norm of the gradient before.
        sudden: Whether it comes in bursts.
    """

    at: Indices
    factor: float
    usual: float
    sudden: bool


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find gradients that grow towards the input, or far above their past while the loss gets worse."""
    findings: list[Finding] = []
    for model in case.layers_of_models():
        layers = stepped(case, model)
        ways = (both_ways, of_signal, _through_depth)
        through = [one for way in ways if (one := way(case, layers, limits["depth"])) is not None]
        found = min(through, key=lambda one: (one.first_step, -one.severity), default=None)
        found = found or at_first_step(case, layers, _THROUGH_TIME * limits["depth"])
        found = found or _over_time(case, layers, limits["growth"]) or wild(case, layers)
        findings += [found] if found else []
    return findings


def _through_depth(case: Case, layers: list[int], factor: float) -> Finding | None:
    if _does_no_harm(case, case.network.layers[layers[0]].model):
        return None
    ways = (_of_outputs(case, layers, factor), _of_weights(case, layers, factor), _of_time(case, layers, factor))
    found = [one for one in ways if one]
    return min(found, key=lambda one: one.first_step, default=None)


def _does_no_harm(case: Case, model: str) -> bool:
    """Whether a loss has fallen far, and below what guessing costs: one that began huge may fall far to no avail."""
    loss, guessing = training(case), guess(case, model)
    if loss is None or not loss.has_scale or loss.learned < _LEARNED:
        return False
    return not guessing or loss.end <= guessing


def _of_weights(case: Case, layers: list[int], factor: float) -> Finding | None:
    # The gradient of the first layer grows with the inputs: without neighbours it tells nothing of the depth.
    seen = layers if len(layers) > 5 else layers[1:]
    seen = [seen[at] for at in deep(case, seen, case.numbers("gradient_norm")[seen])]
    means, norms = rise(case.numbers("gradient_mean_abs")[seen]), rise(case.numbers("gradient_norm")[seen])
    size = np.fmin(means.size, norms.size)
    stretch = _steep(case, layers, size, case.steps, factor)
    if stretch is None:
        return None
    profile = nanmedian(means.profile[:, stretch.first : stretch.last + 1].T)
    line = Line("rise of mean |g| towards the input", "gradient_mean_abs", case.steps, 10**size, factor)
    names = [layer_name(case.network, layer) for layer in seen]
    return _grown(seen, names, profile, stretch, (line, case.steps), "mean |g|", factor)


def _of_time(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find a recurrent layer whose gradient, summed over its time steps, is far above those of all layers behind it."""
    factor *= _THROUGH_TIME
    norms = case.numbers("gradient_norm")
    for place, layer in enumerate(layers):
        types = [case.network.layers[other].module.type for other in layers[place:]]
        behind = [other for other, kind in zip(layers[place:], types, strict=True) if not kind.startswith(_RECURRENT)]
        if not types[0].startswith(_RECURRENT) or not behind or not _feeds_back(case, layer):
            continue
        largest = np.nan_to_num(norms[behind]).max(axis=0)
        above_them = np.full(len(case.steps), np.nan)
        np.divide(norms[layer], largest, out=above_them, where=largest > 0)
        stretch = _steep(case, layers, np.log10(np.fmax(above_them, 1.0)), case.steps, factor)
        if stretch is not None:
            return _through_time(case, (layer, behind[0]), above_them, stretch, factor)
        if above_them[:1] >= factor and is_overwritten(case, layer):
            return _through_time(case, (layer, behind[0]), above_them, Stretch(0, 0), factor)
    return None


def _feeds_back(case: Case, layer: int) -> bool:
    """Whether the matrices of a recurrent layer ever were so large that a signal can grow from place to place."""
    rows = matrices(case, [layer])
    outputs = np.array([case.network.parameters[row].parameter.shape[0] for row in rows], np.float64)
    norms = case.column("weight_norm")[rows]
    return bool((np.nan_to_num(norms) >= _GROWS * np.sqrt(outputs)[:, None]).any())


def _through_time(case: Case, pair: tuple[int, int], above_them: Floats, stretch: Stretch, factor: float) -> Finding:
    (layer, behind), first, last = pair, float(case.steps[stretch.first]), float(case.steps[stretch.last])
    times = float(np.nanmedian(above_them[stretch.first : stretch.last + 1]))
    names = [layer_name(case.network, one) for one in (layer, behind)]
    when = f"from step {first:,.0f} to step {last:,.0f}"
    if stretch.last == 0:
        when = f"at step {first:,.0f}, which leaves nothing of the weights"
    return Finding(
        rule="exploding_gradient",
        severity=Severity.CRITICAL,
        layers=(layer,),
        first_step=first,
        last_step=last,
        message=f"The gradient grows through the time steps of {names[0]}: its norm is {fold(times)} above that of "
        f"{names[1]} and all others behind it, {when}.",
        beyond=Beyond("gradient over those of the layers behind", times, factor),
        evidence=(Line(f"{names[0]}: gradient over those behind", "gradient_norm", case.steps, above_them, factor),),
        remedies=_REMEDIES[:2] + _REMEDIES[3:],
        excluded=("Not a large loss, which makes the gradients of all layers large alike.",),
        subject=AT_ONCE if stretch.last == 0 else "",
    )


def _of_outputs(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find likewise growth of the gradients of outputs, which goes on where weights and inputs even it out."""
    if "output_gradient_norm" not in case.recorded:
        return None
    places = [
        (index, row.layer)
        for index, row in enumerate(case.network.activations)
        if row.layer in layers and row.layer is not None
    ]
    norms = case.numbers("output_gradient_norm")[[index for index, _ in places]]
    risen = rise(norms)
    stretch = _steep(case, layers, risen.size, case.activation_steps, factor)
    if stretch is None:
        return None
    profile = nanmedian(risen.profile[:, stretch.first : stretch.last + 1].T)
    steps = case.activation_steps
    line = Line(
        "rise of the outputs' gradients towards the input", "output_gradient_norm", steps, 10**risen.size, factor
    )
    names = [case.network.activations[index].label for index, _ in places]
    return _grown([layer for _, layer in places], names, profile, stretch, (line, steps), "the norm", factor)


def _steep(case: Case, layers: Sequence[int], size: Floats, steps: Floats, factor: float) -> Stretch | None:
    """Return where a rise lasts, or is seen before all is lost."""
    stretch = above(size, np.log10(factor))
    if stretch is None:
        return None
    nonfinite = (case.statistic("gradient_nonfinite").states[list(layers)] == State.NONFINITE).any(axis=0)
    spoiled = nonfinite.any() and bool((case.steps[nonfinite] > steps[stretch.first]).any())
    return stretch if spoiled or lasting(stretch, steps, _SHARE) else None


def _grown(
    layers: Sequence[int],
    names: Sequence[str],
    profile: Floats,
    stretch: Stretch,
    drawn: tuple[Line, Floats],
    what: str,
    factor: float,
) -> Finding:
    line, steps = drawn
    low = int(np.nanargmin(profile))
    high = int(np.nanargmax(profile[: low + 1]))
    decades = float(profile[high] - profile[low])
    flooded = [at for at in range(low) if profile[at] >= profile[low] + np.log10(factor)] or [high]
    flooded.sort(key=lambda at: -profile[at])
    first, last = float(steps[stretch.first]), float(steps[stretch.last])
    return Finding(
        rule="exploding_gradient",
        severity=Severity.CRITICAL,
        layers=tuple(dict.fromkeys(layers[at] for at in flooded)),
        first_step=first,
        last_step=last,
        message=f"The gradient grows {fold(10**decades)} from {names[low]} down to "
        f"{names[high]}: {what} is {number(10 ** profile[low])} there and "
        f"{number(10 ** profile[high])} here, from step {first:,.0f} to step {last:,.0f}.",
        beyond=Beyond("factor between two depths", 10**decades, factor),
        evidence=(line,),
        remedies=_REMEDIES[1:3] + _REMEDIES[:1],
        excluded=("Not large inputs or targets, which make the gradients of all layers large alike.",),
    )


def _over_time(case: Case, layers: list[int], factor: float) -> Finding | None:
    norms = movement(case, layers).gradient
    growth = _growth(norms, factor) or _bursts(case, layers, norms, factor) or _creep(norms)
    if growth is None or not _harmful(case, layers, growth):
        return None
    first, last = (float(case.steps[int(growth.at[place])]) for place in (0, -1))
    worst = np.nan_to_num(case.numbers("gradient_norm")[layers][:, growth.at]).max(axis=1)
    blamed = [layers[at] for at in np.argsort(-worst, kind="stable") if worst[at] >= worst.max() / 10]
    how = f"in {growth.at.size:,} records" if growth.sudden else "and stayed there"
    return Finding(
        rule="exploding_gradient",
        severity=Severity.CRITICAL,
        layers=tuple(blamed),
        first_step=first,
        last_step=last,
        message=f"The norm of the gradient rose {fold(growth.factor)} above {number(growth.usual)}, {how}, from step "
        f"{first:,.0f} to step {last:,.0f}; it is largest in {layer_name(case.network, blamed[0])}.",
        beyond=Beyond("factor over the gradient before", growth.factor, factor),
        evidence=(Line("gradient norm of all layers", "gradient_norm", case.steps, norms, growth.usual * factor),),
        remedies=_REMEDIES,
        excluded=("Not the rise of a gradient that finds its way, under which the loss falls: it does not.",),
    )


def _growth(norms: Floats, factor: float) -> _Growth | None:
    """Return where the norm is this far above all that it was before, and stays there."""
    known = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    if known.size < 3 * PERSISTING:
        return None
    level = smooth(norms[known])
    # What went before ends some records earlier: a median looks ahead.
    past = np.concatenate([np.full(PERSISTING, np.inf), np.maximum.accumulate(level)[:-PERSISTING]])
    past[: 2 * PERSISTING] = np.inf
    out = np.flatnonzero(level >= factor * past)
    if not out.size:
        return None
    usual = float(past[out[0]])
    high = norms[known] >= factor * usual
    held = np.flatnonzero(high)
    if high[held[0] :].mean() < _STAYS:
        return None  # A moment, whatever came of it.
    return _Growth(known[held], float(norms[known][held].max() / usual), usual, sudden=False)


def _creep(norms: Floats) -> _Growth | None:
    """Return where the norm is far above the first ones, to which it has risen all the time."""
    known = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    if known.size < 2 * _PARTS:
        return None
    levels = np.array([np.median(part) for part in np.array_split(np.log10(norms[known]), _PARTS)])
    risen = float(levels[-1] - levels[0])
    if risen < np.log10(_FAR) or (np.diff(levels) <= 0).any():
        return None
    return _Growth(known, float(10**risen), float(10 ** levels[0]), sudden=False)


def _bursts(case: Case, layers: list[int], norms: Floats, factor: float) -> _Growth | None:
    """Return where single records stand out this far, several times and above what is usual at first."""
    derived = case.statistic("gradient_norm", band=True)
    high = total(np.where(derived.states[layers] == State.NUMBER, derived.high[layers], np.nan))
    known = np.flatnonzero(np.isfinite(high) & (norms > 0))
    if known.size < 2 * _AROUND:
        return None
    level = np.maximum(smooth(norms[known], _AROUND), np.median(norms[known][:_AROUND]))
    out = high[known] >= factor * level
    starts: Bools = out & ~np.append(False, out[:-1])
    if starts.sum() < _BURSTS:
        return None
    at = known[out]
    return _Growth(at, float((high[known] / level)[out].max()), float(np.median(level)), sudden=True)


def _harmful(case: Case, layers: list[int], growth: _Growth) -> bool:
    """Whether the loss is worse than before, or lost to NaN, or the gradient beyond all measure where there is none."""
    onset = float(case.steps[int(growth.at[0])])
    nonfinite = (case.statistic("gradient_nonfinite").states[layers] == State.NONFINITE).any(axis=0)
    if (nonfinite & (case.steps >= onset)).any():
        return True
    loss = training(case)
    if loss is None:
        return growth.factor >= _FAR and not growth.sudden
    before = loss.upto(onset - 1)
    if before is None:
        return loss.end - loss.start > 3 * loss.noise
    after = float(np.median(loss.values[loss.steps >= onset]))
    return after - before.best > max(_WORSE * before.gain, 3 * before.noise)


RULE = Rule(
    id="exploding_gradient",
    title="Exploding gradient",
    needs=(needs.statistics("gradient_norm", "gradient_mean_abs", "gradient_nonfinite"), needs.records(PERSISTING)),
    thresholds=(
        Threshold("depth", 1e3, "factor by which the gradient grows towards the input", 10.0, 1e12),
        Threshold("growth", 50.0, "factor over the gradient before", 3.0, 1e9),
    ),
    find=find,
)
