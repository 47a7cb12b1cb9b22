"""Plain recurrent layers through which no gradient gets back to the first of many time steps."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import fold, layer_name, number
from tb_netviz_plugin.diagnosis.answers import guess_frequencies
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import TIME
from tb_netviz_plugin.diagnosis.course import course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.stretches import PERSISTING

_PLAIN = "RNN"
"""The type of layers whose state is nothing but multiplied by a matrix and squashed: gates keep gradients up."""
_FORGOTTEN = 1e7
"""Factor by which a gradient shrinks on its way from the last time step to the first, from which on it is nothing."""
_NOTHING = 0.96
"""Share of what guessing costs that a loss has in the end at least where nothing was learned of what came first."""

_BY_HEART, _VALIDATIONS, _CARRIES = 0.85, 3, 0.975
"""Share of what guessing costs down to which a loss comes that learns last time steps by heart, while the later ones of
so many validation losses or more are at the third at least: there may be little to know, and that is known then."""
_ERRORS = 5.0
"""Standard errors by which the later losses lie below what guessing costs where a little is known."""

_OF_SAMPLES = 2
"""Axes of an answer to each sample; one more is that of the time steps."""

_REMEDIES = (
    Remedy("Take a layer with gates.", "nn.GRU(inputs, hidden, batch_first=True)  # or nn.LSTM"),
    Remedy(
        "Let it look at all time steps, not at the last state only: their mean, or attention.",
        "states, _ = self.rnn(inputs)\nanswer = self.head(states.mean(1))",
    ),
    Remedy(
        "Begin with a matrix that keeps the state's size.",
        "nn.init.orthogonal_(rnn.weight_hh_l0)",
    ),
    Remedy("Shorten the sequences, or put what matters last."),
)


def forgets(case: Case, layers: list[int]) -> Finding | None:
    """Find a plain recurrent layer whose weights let a gradient die long before it reaches the first time steps.

    They scale a state by about their norm over the root of its width, as long as they are next to random.
    """
    held = [layer for layer in layers if case.network.layers[layer].module.type == _PLAIN]
    if not held or case.steps.size < 2 * PERSISTING or not _learns_nothing(case, layers):
        return None
    shrinks = {layer: factor for layer in held if (factor := _shrinks(case, layer)) >= _FORGOTTEN}
    if not shrinks:
        return None
    layer = max(shrinks, key=lambda one: shrinks[one])
    length, gains = _length(case, layer), _gains(case, layer)
    name, first, last = layer_name(case.network, layer), float(case.steps[0]), float(case.steps[-1])
    return Finding(
        rule="vanishing_gradient",
        severity=Severity.WARNING,
        layers=tuple(shrinks),
        first_step=first,
        last_step=last,
        message=f"No gradient reaches the first of the {length:,} time steps of {name}: its recurrent weights scale a "
        f"state by {number(float(np.nanmax(gains)))} at most, so that a gradient shrinks {fold(shrinks[layer])} on its "
        "way back, and the loss is that of guessing.",
        beyond=Beyond("factor from the last time step to the first", shrinks[layer], _FORGOTTEN),
        evidence=(Line(f"{name}: how recurrent weights scale a state", "weight_norm", case.steps, gains, 1.0),),
        remedies=_REMEDIES,
        excluded=(
            "Not a layer with gates, which keep a gradient up.",
            "Not a network that learns from the last time steps, which still get a gradient: it learns nothing.",
        ),
        subject=TIME,
    )


def _learns_nothing(case: Case, layers: list[int]) -> bool:
    loss, guessing = training(case), guess_frequencies(case, case.network.layers[layers[0]].model)
    if loss is None or guessing is None or not guessing > 0:
        return False
    held_out = course(case.curve("val_loss"))
    if held_out is not None and len(held_out.values) >= _VALIDATIONS:
        later = held_out.values[len(held_out.values) // 2 :]
        return loss.end >= _BY_HEART * guessing and float(np.median(later)) >= _CARRIES * guessing
    late = loss.values[len(loss.values) // 2 :]
    error = float(late.std() / np.sqrt(len(late)))
    return loss.end >= _NOTHING * guessing and float(late.mean()) >= guessing - _ERRORS * error


def _shrinks(case: Case, layer: int) -> float:
    """Return by how much a gradient shrinks from the last time step to the first, at the largest the weights were."""
    gains = _gains(case, layer)
    largest = float(np.nanmax(gains)) if np.isfinite(gains).any() else np.nan
    length = _length(case, layer)
    if not 0 < largest < 1 or length < 2:
        return 1.0
    return float(10 ** min(-np.log10(largest) * (length - 1), 300.0))


def _gains(case: Case, layer: int) -> Floats:
    """Return by how much the recurrent matrices of a layer scale a state, the largest of them, [T]."""
    about = {row: case.network.parameters[row].parameter for row in case.network.layers[layer].parameters}
    rows = [row for row, one in about.items() if "weight_hh" in one.name and len(one.shape) == 2]
    if not rows:
        return np.full(len(case.steps), np.nan)
    widths = np.array([about[row].shape[0] for row in rows], np.float64)
    gains: Floats = (case.column("weight_norm")[rows] / np.sqrt(widths)[:, None]).max(axis=0)
    return gains


def _length(case: Case, layer: int) -> int:
    """Return how many time steps a layer was given when it was first called; the least that it can be.

    0 where something is asked at each of them: a gradient then need not get far. Of the samples and the time steps it
    is the axis that the answer of the network does not have.
    """
    about = case.network.layers[layer]
    shape = about.module.output_shape
    if len(shape) != 3:
        return shape[0] if len(shape) == 2 else 0
    answer = next(one for one in case.network.descriptions if one.model == about.model).modules[0].output_shape
    if len(answer) > _OF_SAMPLES or (answer and answer[0] == shape[0] * shape[1]):
        return 0
    if answer and (answer[0] == shape[0]) != (answer[0] == shape[1]):
        return shape[1] if answer[0] == shape[0] else shape[0]
    return min(shape[:2])
