"""Signals that grow on their way through a network, or through its time steps, and whose gradients grow on theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import fold, number
from tb_netviz_plugin.diagnosis.answers import guess
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import SUMS
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.depth import rise
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import matrices, movement
from tb_netviz_plugin.diagnosis.signal import middle_gain
from tb_netviz_plugin.diagnosis.starts import BEGINNING, CERTAIN, LOUD, LOUDER, certain, loud
from tb_netviz_plugin.schema.description import Response

_EACH = 10.0
"""Factor by which the signal grows, and the gradient, each of them."""
_FEWEST_CALLS = 5
"""Calls of a layer from which on they are time steps."""
_STEADILY = 0.8
"""Share of the calls from each to the next of which the signal grows."""
_OVERWRITTEN = 0.5
"""Norm of the first update over that of the weights, from which on these say nothing of how they began."""
_KEPT = 0.3
"""Share of the layers that hardly change the scale, where the weights of all are not what does."""
_LARGE_STEP, _FIRST = 0.1, 3
"""The same where a step is large, in one of so many first records."""
_LEARNED = 0.9
"""Share of its first value by which a loss has fallen where growth does no harm, if what guessing costs is unknown."""

SUMMED = (
    Remedy("Take the mean over neighbours, time steps or branches in place of their sum.", "adjacency / degrees"),
    Remedy("Add blocks at a scale that keeps the sum's.", "hidden = hidden + block(hidden) / math.sqrt(depth)"),
    Remedy("Normalise between the layers.", "nn.Sequential(nn.Linear(n, m), nn.LayerNorm(m), nn.ReLU())"),
)
_CLIP = Remedy(
    "Clip the norm of all gradients together.",
    "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)  # between backward() and step()",
)


@dataclass(frozen=True, slots=True)
class _Multiplied:
    """A signal that grows, and a gradient that grows the other way, at the first record.

    Attributes:
        layers: What makes them grow.
        ends: Activations from the one to the other of which the signal grows.
        forward: Factor by which the signal does.
        backward: Factor by which the gradient does.
        harm: What became of it, in words.
        overcome: Whether it may get over it.
    """

    layers: tuple[int, ...]
    ends: tuple[int, int]
    forward: float
    backward: float
    harm: str = ""
    overcome: bool = False

    @property
    def factor(self) -> float:
        """Both together: by so much the gradients of weights are larger than where a network keeps both."""
        return self.forward * self.backward


def both_ways(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find a signal that grows and a gradient that grows the other way, as the network begins, and does harm by it."""
    found = _multiplied(case, layers, factor)
    if found is None:
        return None
    begin, end = (case.network.activations[row].label for row in found.ends)
    steps, deviations = case.activation_steps, case.numbers("activation_std")
    return Finding(
        rule="exploding_gradient",
        severity=Severity.WARNING if found.overcome else Severity.CRITICAL,
        layers=found.layers,
        first_step=float(steps[0]),
        last_step=float(case.steps[-1]),
        message=f"At step {steps[0]:,.0f} the signal grows {fold(found.forward)} from {begin} to {end}, and the "
        f"gradient {fold(found.backward)} on its way back: the weights get what both make; {found.harm}.",
        beyond=Beyond("growth of the signal times that of the gradient", found.factor, factor),
        evidence=tuple(
            Line(case.network.activations[row].label, "activation_std", steps, deviations[row]) for row in found.ends
        ),
        remedies=(_CLIP, *SUMMED),
        excluded=("Not weights that begin too large: most layers hardly change the scale.",),
        view="activations",
        subject=SUMS,
    )


def _multiplied(case: Case, layers: Sequence[int], factor: float) -> _Multiplied | None:
    """Return what grows so in both directions that both make up `factor`, if that did harm, and weights don't do it."""
    steps = case.activation_steps
    if not steps.size or steps[0] > BEGINNING or "output_gradient_norm" not in case.recorded:
        return None
    harm = _harm(case, layers)
    beginning = None if harm else _loud_beginning(case, layers)
    if harm is None and beginning is None:
        return None
    rows = [
        index
        for index, row in enumerate(case.network.activations)
        if row.layer in layers and not row.function and row.activation.response is Response.NONE
    ]
    ways = (_through_depth(case, rows), *_through_calls(case, rows))
    enough = [one for one in ways if one and one.factor >= factor and min(one.forward, one.backward) >= _EACH]
    return replace(enough[0], harm=harm or beginning or "", overcome=harm is None) if enough else None


def _through_depth(case: Case, rows: list[int]) -> _Multiplied | None:
    signal, back = rise(_first(case, "activation_std", rows)[::-1]), rise(_first(case, "output_gradient_norm", rows))
    profile = signal.profile[::-1, 0]
    if not np.isfinite(signal.size[0] + back.size[0]) or not np.isfinite(profile).any():
        return None
    high = int(np.nanargmax(profile))
    low = int(np.nanargmin(profile[: high + 1]))
    between = rows[low : high + 1]
    blamed = _layers_of(case, between[1:])
    if not _is_common(case, between, blamed):
        return None
    return _Multiplied(blamed, (between[0], between[-1]), float(10 ** signal.size[0]), float(10 ** back.size[0]))


def _is_common(case: Case, rows: list[int], layers: Sequence[int]) -> bool:
    """Whether the weights of these layers are of a common scale: by themselves, or by what some of them put out.

    A first step that overwrote them leaves nothing of how they began.
    """
    weights = matrices(case, layers)
    ratios = case.of_parameters("update_ratio")[weights, :1]
    if weights and nanmedian(ratios)[0] < _OVERWRITTEN:
        return middle_gain(case, layers) <= LOUD
    deviations = _first(case, "activation_std", rows)[:, 0]
    kept = deviations[1:] <= LOUD * deviations[:-1]
    return bool(kept.size) and bool(kept.mean() >= _KEPT)


def _through_calls(case: Case, rows: list[int]) -> Iterator[_Multiplied]:
    """Yield likewise layers that are called again and again, as on the state of a recurrence of one's own."""
    about = case.network.activations
    for layer in dict.fromkeys(about[row].layer for row in rows):
        calls = [row for row in rows if about[row].layer == layer]
        behind = [row for row in rows if row > calls[-1] and about[row].layer != layer]
        grown = [row for row in calls if _first(case, "activation_std", [row])[0, 0] > 0]
        if len(grown) < _FEWEST_CALLS or not behind or layer is None:
            continue
        deviations = _first(case, "activation_std", grown)[:, 0]
        gradients = _first(case, "output_gradient_norm", grown)[:, 0]
        after = float(np.nanmax(np.nan_to_num(_first(case, "output_gradient_norm", behind))))
        if (np.diff(deviations) > 0).mean() >= _STEADILY and after > 0 and np.isfinite(gradients).any():
            forward, backward = float(deviations[-1] / deviations[0]), float(np.nanmax(gradients)) / after
            yield _Multiplied((layer,), (grown[0], grown[-1]), forward, backward)


def learns(case: Case, model: str) -> bool:
    """Whether the network learns, by what guessing costs, else by how far the loss falls."""
    loss, guessing = training(case), guess(case, model)
    if loss is None or not loss.has_scale:
        return False
    return loss.end < guessing if guessing else loss.learned >= _LEARNED


def _harm(case: Case, layers: Sequence[int]) -> str | None:
    """Return what became of the network, in words, or None where it learns."""
    if learns(case, case.network.layers[layers[0]].model):
        return None
    nonfinite = (case.statistic("gradient_nonfinite").states[list(layers)] == State.NONFINITE).any(axis=0)
    if nonfinite.any():
        return f"the gradient was not finite from step {case.steps[nonfinite][0]:,.0f} on"
    loss, worst = training(case), float(np.nanmax(movement(case, layers).ratios[:_FIRST], initial=0.0))
    if loss is None or worst < _LARGE_STEP:
        return None
    return f"first steps changed the weights by up to {worst:.0%}, and {loss.name} is {number(loss.end)} in the end"


def _loud_beginning(case: Case, layers: Sequence[int]) -> str | None:
    """Return how large a loss begins, in words, or None where outputs don't begin too large."""
    loss = training(case)
    held = list(layers)
    if loss is None or not (loud(case, held, LOUDER) or certain(case, held, CERTAIN)):
        return None
    return (
        f"outputs begin so large that {loss.name} is {number(loss.start)} at first, and {number(loss.end)} at the end"
    )


def _layers_of(case: Case, rows: Sequence[int]) -> tuple[int, ...]:
    held = (case.network.activations[row].layer for row in rows)
    return tuple(dict.fromkeys(layer for layer in held if layer is not None))


def _first(case: Case, statistic: str, rows: Sequence[int]) -> Floats:
    """Return a statistic of some activations at the first record, [A, 1]."""
    return case.numbers(statistic)[list(rows), :1]
