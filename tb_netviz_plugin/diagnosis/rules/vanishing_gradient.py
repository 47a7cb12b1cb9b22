"""`vanishing_gradient`: layers that hardly any gradient reaches, or none."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import logarithm, nanmedian, running_median
from tb_netviz_plugin.analysis.wording import fold, gradient_is, layer_name, number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import EXACTLY_ZERO
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.depth import deep, fall
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.forgetting import forgets
from tb_netviz_plugin.diagnosis.movement import matrices, stepped
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.slopeless import slopeless
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, above, lasting, to_the_end

_SHARE = 0.1
"""Share of the run's steps that a fall has to last."""
_SLOW = 0.01
"""Share of the others' relative updates below which starved layers hardly learn."""
_SOLVED = 1e-4
"""Share of its first value below which a loss leaves nothing to learn."""
_ABRUPT = 0.25
"""Share of its records within which a layer's gradient falls below its past, where it was cut off."""

_ALONE = 100.0
"""Times the factor by which a single layer lies below all others, where the depth is not behind it."""
_USUAL = 0.01
"""Share of the median of all layers that its neighbours' gradients have at least."""
_MOSTLY, _FEW, _FEWEST_LAYERS = 0.8, 0.25, 5
"""Share of the records in which it does; share of the layers that are single ones; and how many layers there are."""

_BYPASSED = (
    Remedy("Look for a hook on it or on its output that scales or replaces gradients, and for `.detach()` behind it."),
    Remedy("Look for a gate or a factor next to zero that its output is multiplied by."),
)
_REMEDIES = (
    Remedy("Take an activation that keeps the gradient's size.", "nn.ReLU()  # or nn.GELU(), in place of nn.Sigmoid()"),
    Remedy("Normalise between the layers.", "nn.Sequential(nn.Linear(n, m), nn.BatchNorm1d(m), nn.ReLU())"),
    Remedy("Lead the gradient around the layers: add the input of a block to its output.", "x = x + block(x)"),
    Remedy(
        "Begin with weights that keep the scale of the signal.",
        'nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")',
    ),
)
_CUT_OFF = (
    Remedy("See what died or saturated in front of it at that step, under Dead units."),
    Remedy(
        "Lower the learning rate before that step, or clip the gradient.",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)",
    ),
    Remedy("Use an activation that has a gradient below zero, too.", "nn.LeakyReLU(0.01)  # or nn.GELU()"),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find gradients that are all zero, that vanish through the depth, or that fell below their past."""
    findings: list[Finding] = []
    for model in case.layers_of_models():
        layers = stepped(case, model)
        factor = limits["factor"]
        found = _first_only(_zero(case, layers) + _through_depth(case, layers, factor) + _alone(case, layers, factor))
        forgotten = None if found else forgets(case, layers)
        found += [forgotten] if forgotten else []
        told = {layer for one in found for layer in one.layers}
        findings += found + [one for one in _below_past(case, layers, factor) if one.layers[0] not in told]
    return findings


def _first_only(findings: list[Finding]) -> list[Finding]:
    """Leave out what came later to layers that were told already: a gradient may fall until nothing is left of it."""
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda one: one.first_step):
        if not any(set(finding.layers) & set(one.layers) for one in kept):
            kept.append(finding)
    return kept


def _zero(case: Case, layers: list[int]) -> list[Finding]:
    """Find layers whose gradients are exactly zero up to the last record, while there is something to learn."""
    derived = case.statistic("gradient_max_abs", band=True)
    known, zero = derived.states[layers] == State.NUMBER, derived.high[layers] == 0
    stretches = {layer: to_the_end(zero[at], known[at]) for at, layer in enumerate(layers)}
    held = {
        layer: stretch
        for layer, stretch in stretches.items()
        if stretch and known[layers.index(layer), stretch.first :].sum() >= 2 * PERSISTING
    }
    if not held or (len(held) == known.any(axis=1).sum() and _solved(case)) or slopeless(case):
        return []
    onset = min(stretch.first for stretch in held.values())
    # What lies nearer the input is cut off by what lies nearer the output.
    names = sorted(held, key=lambda layer: (held[layer].first, -layer))
    records = min(int(known[layers.index(layer), held[layer].first :].sum()) for layer in names)
    last = float(case.steps[max(stretch.last for stretch in held.values())])
    counts = (known & zero).sum(axis=0).astype(np.float64)
    since = float(case.steps[onset])
    return [
        Finding(
            rule="vanishing_gradient",
            severity=Severity.CRITICAL,
            layers=tuple(names),
            first_step=since,
            last_step=last,
            message=f"{gradient_is(case.network, sorted(names))} exactly zero from step {since:,.0f} to step "
            f"{last:,.0f}, in all of at least {records:,} records: nothing is learned there.",
            beyond=Beyond("layers whose gradient is exactly zero", float(len(names)), 0.0),
            evidence=(
                Line("layers whose gradient is exactly zero", "gradient_zero_fraction", case.steps, counts, 0.5),
            ),
            remedies=_CUT_OFF,
            excluded=(
                "They are not frozen: they get a gradient, and every element of it is 0.",
                "Not zero now and then: it is so in every record up to the last.",
            ),
            subject=EXACTLY_ZERO,
        )
    ]


def _solved(case: Case) -> bool:
    """Whether nothing is left to learn, or nothing is known of that."""
    loss = training(case)
    return loss is None or abs(loss.end) <= _SOLVED * abs(loss.start)


def _through_depth(case: Case, layers: list[int], factor: float) -> list[Finding]:
    """Find where both the mean magnitude and the norm fall by `factor` towards the input.

    A sparse embedding has a small mean and an ordinary norm, a small layer the reverse.
    """
    layers = [layers[at] for at in deep(case, layers, case.numbers("gradient_norm")[layers])]
    means, norms = case.numbers("gradient_mean_abs")[layers], case.numbers("gradient_norm")[layers]
    falls, norm_falls = fall(means), fall(norms)
    size = np.fmin(falls.size, norm_falls.size)
    known = np.isfinite(size)
    stretch = above(size, np.log10(factor))
    if stretch is None or not lasting(stretch, case.steps, _SHARE):
        return []
    within = slice(stretch.first, stretch.last + 1)
    profile = nanmedian(falls.profile[:, within].T)
    high = int(np.nanargmax(profile))
    starved = [at for at in range(high) if profile[at] <= profile[high] - np.log10(factor)]
    if not starved:
        return []
    starved.sort(key=lambda at: profile[at])
    low = starved[0]
    decades = float(np.median(size[within][known[within]]))
    steps = case.steps
    goes_on = stretch.last >= np.flatnonzero(known)[-1] - PERSISTING
    slow = _slow(case, [layers[at] for at in starved], layers[high], within)
    first, last = float(steps[stretch.first]), float(steps[stretch.last])
    return [
        Finding(
            rule="vanishing_gradient",
            severity=Severity.CRITICAL if slow and goes_on else Severity.WARNING,
            layers=tuple(layers[at] for at in starved),
            first_step=first,
            last_step=last,
            message=f"The gradient falls {fold(10**decades)} from {layer_name(case.network, layers[high])} down to "
            f"{layer_name(case.network, layers[low])}: mean |g| is {number(10 ** profile[high])} there and "
            f"{number(10 ** profile[low])} here, from step {first:,.0f} to step {last:,.0f}.",
            beyond=Beyond("factor between two depths", 10**decades, factor),
            evidence=(
                Line("fall of mean |g| through the depth", "gradient_mean_abs", steps, 10**size, factor),
                *(_line(case, layers[at], means[at]) for at in (low, high)),
            ),
            remedies=_REMEDIES,
            excluded=_excluded(slow=slow),
        )
    ]


def _alone(case: Case, layers: list[int], factor: float) -> list[Finding]:
    """Find a layer that hardly any gradient reaches, though it passes by: to layers on both sides of it."""
    layers = [layers[at] for at in deep(case, layers, case.numbers("gradient_norm")[layers])]
    norms = case.numbers("gradient_norm")[layers]
    if len(layers) < _FEWEST_LAYERS or not norms.shape[1]:
        return []
    usual = nanmedian(norms)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = norms / usual
    known = np.isfinite(shares)
    low = (shares <= 1 / (_ALONE * factor)) & (shares > 0) & known  # What is exactly zero is told by itself.
    starved = [
        at
        for at, layer in enumerate(layers)
        if known[at].sum() >= 2 * PERSISTING and low[at].sum() >= _MOSTLY * known[at].sum() and matrices(case, [layer])
    ]
    typical = nanmedian(shares.T)
    inner = [at for at in starved if 0 < at < len(layers) - 1 and min(typical[at - 1], typical[at + 1]) >= _USUAL]
    if not inner or len(starved) > _FEW * len(layers) or len(starved) > len(inner):
        return []
    blamed = [layers[at] for at in inner]
    first, last = float(case.steps[np.flatnonzero(known[inner[0]])[0]]), float(case.steps[-1])
    share = 1 / float(np.median(shares[inner[0]][low[inner[0]]]))
    return [
        Finding(
            rule="vanishing_gradient",
            severity=Severity.WARNING,
            layers=tuple(blamed),
            first_step=first,
            last_step=last,
            message=f"{gradient_is(case.network, blamed)} {fold(share)} smaller than those of the layers before "
            f"and behind, from step {first:,.0f} to step {last:,.0f}: nearly nothing is learned there.",
            beyond=Beyond("factor below the other layers", share, _ALONE * factor),
            evidence=(
                _line(case, blamed[0], norms[inner[0]], "gradient_norm"),
                Line("median of all layers", "gradient_norm", case.steps, usual),
            ),
            remedies=_BYPASSED,
            excluded=("Not the depth: layers nearer the input get a gradient.", "Not frozen: it asks for a gradient."),
            subject="alone",
        )
    ]


def _slow(case: Case, starved: list[int], other: int, within: slice) -> bool:
    """Whether the weights of the starved layers hardly move beside those of another one."""
    ratios = case.numbers("update_ratio")
    moves = nanmedian(ratios[starved, within].reshape(-1, 1))[0]
    usual = nanmedian(ratios[[other], within].reshape(-1, 1))[0]
    return not moves > _SLOW * usual


def _excluded(*, slow: bool) -> tuple[str, ...]:
    facts = [
        "Not a single small layer: the fall is seen over neighbouring layers too.",
        "Not convergence, which makes all gradients small alike.",
    ]
    if not slow:
        facts.append("The optimizer evens it out in part: the weights of these layers do move.")
    return tuple(facts)


def _below_past(case: Case, layers: list[int], factor: float) -> list[Finding]:
    """Find layers whose gradient fell by `factor` below its past, by itself and beside the other layers."""
    if len(layers) < 3 or len(case.steps) < 4 * PERSISTING:
        return []
    logs = logarithm(case.numbers("gradient_norm")[layers])
    relative = logs - nanmedian(logs)
    drops = [
        _drop(case, layer, logs[at], relative[at], factor)
        for at, layer in enumerate(layers)
        if _may_have_dropped(relative[at], factor)
    ]
    return sorted((drop for drop in drops if drop), key=lambda one: one.first_step)


def _may_have_dropped(relative: Floats, factor: float) -> bool:
    """Whether a look at most values is worth while: it is not for nearly all layers of a network."""
    known = relative[np.isfinite(relative)]
    return bool(known.size >= 4 * PERSISTING and known.max() - np.median(known[-PERSISTING:]) >= np.log10(factor))


def _drop(case: Case, layer: int, logs: Floats, relative: Floats, factor: float) -> Finding | None:
    known = np.flatnonzero(np.isfinite(relative))
    series, own = relative[known], logs[known]
    past, present = float(running_median(series, PERSISTING).max()), float(np.median(series[-PERSISTING:]))
    higher = series > (past + present) / 2
    stretch = to_the_end(~higher, np.ones(len(series), np.bool_))
    if stretch is None or stretch.last - stretch.first + 1 < PERSISTING or not _abrupt(series, past, present):
        return None
    before, after = float(np.median(own[higher])), float(np.median(own[-PERSISTING:]))
    if min(past - present, before - after) < np.log10(factor):
        return None
    first, last = float(case.steps[known[stretch.first]]), float(case.steps[known[-1]])
    return Finding(
        rule="vanishing_gradient",
        severity=Severity.WARNING,
        layers=(layer,),
        first_step=first,
        last_step=last,
        message=f"{gradient_is(case.network, [layer])} {fold(10 ** (before - after))} smaller since step {first:,.0f}: "
        f"its norm was {number(10**before)} and is {number(10**after)}, while the other layers' stayed.",
        beyond=Beyond("factor below its past, beside the other layers", 10 ** (past - present), factor),
        evidence=(_line(case, layer, case.numbers("gradient_norm")[layer], "gradient_norm"),),
        remedies=_CUT_OFF,
        excluded=("Not convergence: beside the other layers of the network it fell as far.",),
        subject=case.network.layers[layer].name,
    )


def _abrupt(series: Floats, past: float, present: float) -> bool:
    """Whether it fell at once: what converges before the others do falls over most of the run."""
    high, low = past - (past - present) / 4, present + (past - present) / 4
    left, arrived = np.flatnonzero(series >= high)[-1], np.flatnonzero(series > low)[-1]
    return bool(arrived - left <= _ABRUPT * len(series))


def _line(case: Case, layer: int, values: Floats, statistic: str = "gradient_mean_abs") -> Line:
    return Line(layer_name(case.network, layer), statistic, case.steps, values)


RULE = Rule(
    id="vanishing_gradient",
    title="Vanishing gradient",
    needs=(needs.statistics("gradient_norm", "gradient_mean_abs", "gradient_max_abs"), needs.records(PERSISTING)),
    thresholds=(Threshold("factor", 1e3, "factor by which the gradient falls", 10.0, 1e12),),
    find=find,
)
