"""`missing_zero_grad`: gradients that add up from step to step."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import fold, number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case, Curve
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.gone import groups_of
from tb_netviz_plugin.diagnosis.movement import Movement, curve_of_group, movement, stepped
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_FEWEST = 3
"""Steps after which it has to have been seen whether gradients were kept."""
_EARLY = 50
"""Steps within which the gradient has to grow about as the number of steps does."""
_LEAST_GROWTH = 4.0
"""Factor by which it grows in that time at the least."""
_ALONG = 0.8
"""Share of the records in which successive gradients agree."""
_SLOPES = (0.15, 3.0)
"""Growth a step, over the first gradient: one where each adds a gradient of the same size and direction."""
_AT_FIRST, _THEN = (1, 3), (10, 20)
"""Steps from and to which it is seen what each of them adds."""
_ADDED = 2.2
"""Factor by which that grows at most in the meantime: what adds up grows, and not what is added."""

_LEARNED, _PATH = 0.3, 0.1
"""Share by which a loss fell, and how far the weights go in its second half, over their norm, where it then stands."""
_STEADILY, _GROWN, _HALF = 0.95, 2.0, 0.5
"""Cosine of successive gradients there, factor of their norm over the first, and the last part of the run."""

_REMEDIES = (
    Remedy("Forget the gradients after each step.", "optimizer.step()\noptimizer.zero_grad()"),
    Remedy(
        "If several batches are added up on purpose, forget them after each step of the optimizer.",
        "if (batch + 1) % accumulate == 0:\n    optimizer.step()\n    optimizer.zero_grad()",
    ),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find models whose gradients were seen to be kept, and such whose gradient behaves as if they were."""
    return [finding for layers in case.layers_of_models() if (finding := _of_model(case, layers, limits))]


def _of_model(case: Case, layers: list[int], limits: Limits) -> Finding | None:
    groups = groups_of(case, layers)
    seen = {group: curve for group in groups if (curve := _seen(case, group)) is not None}
    found = _kept(case, layers, seen, limits["kept"])
    if found is None and len(seen) < len(groups or [0]):
        return _adding_up(case, layers, limits["agreement"])
    return found


def _seen(case: Case, group: int) -> Curve | None:
    """Return whether the gradients of a group were kept, where that was seen often enough."""
    curve = curve_of_group(case, "kept_gradient", group)
    return curve if curve is not None and np.isfinite(curve.values).sum() >= _FEWEST else None


def _share(curve: Curve) -> float:
    """Return the share of steps after which gradients were kept, in the half of the records in which it is smaller."""
    values = curve.values[np.isfinite(curve.values)]
    return min(float(half.mean()) for half in (values[: -(-len(values) // 2)], values[len(values) // 2 :]))


def _kept(case: Case, layers: list[int], seen: dict[int, Curve], limit: float) -> Finding | None:
    """Find groups whose gradients are still there when the next ones are added to them."""
    shares = {group: _share(curve) for group, curve in seen.items()}
    kept = [group for group, share in shares.items() if share >= limit]
    if not kept:
        return None
    held = [layer for layer in layers if set(groups_of(case, [layer])) & set(kept)]
    worst = max(kept, key=lambda group: shares[group])
    curve, norm = seen[worst], movement(case, held).gradient
    all_of_it = len(held) == len(layers) and len(case.network.models) == 1
    whose = "" if all_of_it else f" of {len(held):,} layers"
    return Finding(
        rule="missing_zero_grad",
        severity=Severity.CRITICAL,
        layers=() if all_of_it else tuple(held),
        first_step=float(case.steps[0]),
        last_step=float(case.steps[-1]),
        message=f"The gradients{whose} are not set to zero: after {shares[worst]:.0%} of the steps that were looked at "
        "they were still there when the next backward pass added to them: each step goes by all batches so far.",
        beyond=Beyond("share of the steps after which gradients were kept", shares[worst], limit),
        evidence=(
            Line("gradients that were kept: 1, set to zero: 0", curve.name, curve.steps, curve.values, limit),
            Line("gradient norm of these layers", "gradient_norm", case.steps, norm),
        ),
        remedies=_REMEDIES,
        excluded=(
            "Not accumulation on purpose, after which each step begins anew: nothing touched them since the last step.",
            "Not gradients of zero, or that another loss has left and that are set to zero before they are used.",
        ),
    )


def _adding_up(case: Case, layers: list[int], agreement: float) -> Finding | None:
    """Find a gradient that behaves as one that adds up does, where it was not seen whether it is kept."""
    moves = movement(case, layers)
    known = np.isfinite(moves.agreement)
    if known.sum() < 5 or (moves.agreement[known] >= agreement).mean() < _ALONG:
        return None
    growth = _growth(case.steps, moves.gradient)
    seen = growth is not None and _adds_up(case, layers)
    if not seen:
        growth = _against_a_loss_that_stands(case, moves)
    if growth is None:
        return None
    first, last = float(case.steps[0]), float(case.steps[-1])
    typical = float(np.median(moves.agreement[known]))
    early = float(moves.gradient[np.isfinite(moves.gradient)][0])
    return Finding(
        rule="missing_zero_grad",
        severity=Severity.CRITICAL if seen else Severity.WARNING,
        layers=() if len(case.network.models) == 1 else tuple(layers),
        first_step=first,
        last_step=last,
        message=f"The gradient keeps its direction from step to step (cosine {typical:.3f}), and its norm grew "
        f"{fold(growth)} from {number(early)}: each step adds to the last.",
        beyond=Beyond("cosine of successive gradients", typical, agreement),
        evidence=(
            Line(
                "cosine with the last gradient, median of the matrices",
                "gradient_cosine",
                case.steps,
                moves.agreement,
                agreement,
            ),
            Line("gradient norm of all layers", "gradient_norm", case.steps, moves.gradient),
        ),
        remedies=_REMEDIES,
        excluded=(
            "Not convergence: the gradient is larger than at first, and the weights go on.",
            "Not a loss that falls slowly: its last third lies no lower than its first, beyond the scatter.",
        )
        if not seen
        else (
            "Not small steps on a smooth loss, whose gradients agree too: those do not grow with the number of steps.",
            "Not a gradient that grows by itself: what each step adds stays as large as the first one.",
            "Not accumulation on purpose, after which each step begins anew.",
        ),
    )


def _against_a_loss_that_stands(case: Case, moves: Movement) -> float | None:
    """Return by which factor the norm grew where the loss stands though gradients agree: they are not of this loss."""
    loss = training(case)
    if loss is None or not loss.has_scale or loss.learned < _LEARNED:
        return None
    late = case.steps >= np.median(case.steps)
    agreement = moves.agreement[late][np.isfinite(moves.agreement[late])]
    if not loss.stands(_HALF) or not agreement.size or np.median(agreement) < _STEADILY:
        return None
    path = float(np.nansum((moves.ratios * moves.steps_each)[late]))
    known = moves.gradient[np.isfinite(moves.gradient) & (moves.gradient > 0)]
    growth = float(np.nanmedian(moves.gradient[late]) / known[0]) if known.size else 0.0
    return growth if path >= _PATH and growth >= _GROWN else None


def _adds_up(case: Case, layers: list[int]) -> bool:
    """Whether the difference of a gradient to that before stays as large as it was, while the gradient itself grows."""
    rows = [row for layer in stepped(case, layers) for row in case.network.layers[layer].parameters]
    norm, before, product = (case.column(name)[rows] for name in ("grad_norm", "grad_norm_last", "grad_dot_last"))
    added = np.sqrt(np.maximum(np.nansum(norm**2 + before**2 - 2 * product, axis=0), 0.0))
    added[~(before > 0).any(axis=0)] = np.nan
    at_first, then = (_median_between(case.steps, added, *between) for between in (_AT_FIRST, _THEN))
    return then <= _ADDED * at_first


def _median_between(steps: Floats, values: Floats, first: int, last: int) -> float:
    """Return the median of `values` at so many steps after the first one; NaN where none is known."""
    passed = steps - steps[0]
    held = (passed >= first) & (passed <= last) & np.isfinite(values)
    return float(np.median(values[held])) if held.any() else np.nan


def _growth(steps: Floats, norms: Floats) -> float | None:
    """Return by which factor the norm grew early on, if that is about as the number of steps."""
    early = (steps <= steps[0] + _EARLY) & np.isfinite(norms) & (norms > 0)
    if early.sum() < 5 or steps[0] > 0:
        return None
    passed, grown = steps[early], norms[early] / norms[early][0]
    at = int(np.argmax(grown))
    if grown[at] < _LEAST_GROWTH or passed[at] == 0:
        return None
    rising = slice(1, at + 1)
    slopes = (grown[rising] - 1) / passed[rising]
    low, high = _SLOPES
    return float(grown[at]) if low <= np.median(slopes) <= high else None


RULE = Rule(
    id="missing_zero_grad",
    title="Gradients are not reset",
    needs=(needs.statistics("gradient_cosine", "gradient_norm"), needs.records(10)),
    thresholds=(
        Threshold("kept", 0.8, "share of the steps after which gradients were kept", 0.0, 1.0),
        Threshold("agreement", 0.9, "cosine of successive gradients", 0.0, 1.0),
    ),
    find=find,
)
