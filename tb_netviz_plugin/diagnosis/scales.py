"""Weights whose scale is wrong in most layers of a network as it begins, normalised in between or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import number, subject
from tb_netviz_plugin.diagnosis.answers import guess
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Severity
from tb_netviz_plugin.diagnosis.harm import REPLACED, Harm, died, swept
from tb_netviz_plugin.diagnosis.movement import matrices, movement
from tb_netviz_plugin.diagnosis.starts import BEGINNING, FAINT, LOUD, SCALE, gain_of
from tb_netviz_plugin.schema.description import Response

_FEWEST = 3
"""Matrices of which most may be of a wrong scale."""
_FAINTEST, _LOUDEST = 0.1, 4.0
"""By how much matrices scale independent inputs, at the median of all layers, where the network has to grow them first,
or can't get rid of them."""
_LEARNED, _WAITED, _QUARTER = 0.3, 0.97, 0.25
"""Share by which the loss falls where the network gets over that; and share of its first value that it has still after
so much of the run, where it does so late."""
_LONG_ENOUGH = 50
"""Steps after which a loss that has not fallen yet waits for the weights."""
_OUTPUTS = 1.75
"""Deviation of what such layers put out, at the median; less where something else makes up for their scale."""
_BOUNDED = ("RNN", "LSTM", "GRU")
"""What the types of layers begin with whose outputs are between -1 and 1 whatever their weights are."""
_OVERWRITTEN = 0.5
"""Norm of the first update over that of the weights, at which the update is what is seen of them."""
_WORSE, _FALL, _DEAFENING = 1.3, 2.0, 4.0
"""First loss over that of guessing, or where that is unknown over the last, as of a network that knows nothing yet; and
deviation of what layers put out, at the median, at which no loss is needed."""


def faint_throughout(case: Case, layers: list[int]) -> Finding | None:
    """Find weights that begin so small throughout that the network has to grow them before it learns anything."""
    loss, gains = training(case), _gains(case, layers)
    if loss is None or not _enough(case, gains) or not loss.has_scale:
        return None
    if loss.steps[-1] - loss.steps[0] < _LONG_ENOUGH:
        return None
    middle = float(np.median(list(gains.values())))
    harm = _waited(loss) or _replaced(case, layers, loss)
    if middle >= _FAINTEST or harm is None:
        return None
    return _finding(
        case,
        loss,
        tuple(layer for layer, gain in gains.items() if gain < FAINT),
        f"The weights begin too small: at the median of {len(gains)} layers they make what goes in {number(middle)} "
        f"times as large, and {harm.words}.",
        Beyond("by how much the weights scale their inputs", middle, _FAINTEST),
        ("Not single branches that begin at zero on purpose: most of the layers are that small.", *harm.excluded),
    )


def _waited(loss: Course) -> Harm | None:
    """Return that the loss did not fall while the weights grew, if so."""
    waited = float(loss.level[loss.steps <= loss.steps[0] + _QUARTER * (loss.steps[-1] - loss.steps[0])][-1])
    if loss.learned >= _LEARNED and waited < _WAITED * loss.start:
        return None
    return Harm(
        f"{loss.name}, {number(loss.start)} at first, was {number(waited)} after a quarter of the run and is "
        f"{number(loss.end)}",
        fatal=False,
        excluded=("Not a network that gets over it: the loss did not fall meanwhile.",),
    )


def _replaced(case: Case, layers: list[int], loss: Course) -> Harm | None:
    """Return that steps of a common size replaced weights so small, to the harm of the loss or of units, if so."""
    worst, first = float(np.nanmax(movement(case, layers).ratios, initial=0.0)), float(case.steps[0])
    if worst < REPLACED:
        return None
    return swept(case, layers, loss) or died(case, layers, first, first, worst=worst)


def loud_throughout(case: Case, layers: list[int]) -> Finding | None:
    """Find weights that begin so large throughout that the network begins far worse than by guessing."""
    loss, gains = training(case), _gains(case, layers)
    if not _enough(case, gains) or _overwritten(case, layers):
        return None
    middle, outputs = float(np.median(list(gains.values()))), _outputs(case, gains)
    guessing = guess(case, case.network.layers[layers[0]].model)
    if middle < _LOUDEST or not outputs >= (_OUTPUTS if loss else _DEAFENING):
        return None
    if loss and not 0 < (_WORSE * guessing if guessing else _FALL * max(loss.end, 0.0)) <= loss.start:
        return None
    costs = f", where guessing costs {number(guessing)}" if guessing else ""
    begins = f", and {loss.name} begins at {number(loss.start)}{costs}" if loss else ""
    return _finding(
        case,
        loss,
        tuple(layer for layer, gain in gains.items() if gain > LOUD),
        f"The weights begin too large: at the median of {len(gains)} layers they make what goes in {number(middle)} "
        f"times as large{begins}.",
        Beyond("by how much the weights scale their inputs", middle, _LOUDEST),
        (
            f"Not weights that are scaled down as they are used: their layers put out deviations of {number(outputs)}.",
            *(("Not a network that was trained before: it begins far worse than by guessing.",) if loss else ()),
        ),
    )


def loud_states(case: Case, layers: list[int]) -> Finding | None:
    """Find recurrent layers whose weights begin so large that states and gates lie at their ends, and stay so."""
    loss = training(case)
    recurrent = [layer for layer in layers if case.network.layers[layer].module.type.startswith(_BOUNDED)]
    gains = {layer: gain for layer, gain in _gains(case, recurrent).items() if gain >= _LOUDEST}
    if loss is None or not gains or loss.learned >= _LEARNED or _overwritten(case, list(gains)):
        return None
    largest = max(gains.values())
    return _finding(
        case,
        loss,
        tuple(gains),
        f"The weights of {subject(case.network, list(gains))} begin too large: they make states {number(largest)} "
        f"times as large at each time step, so that these lie where tanh and gates are flat, and {loss.name}, "
        f"{number(loss.start)} at first, is {number(loss.end)}.",
        Beyond("by how much the weights scale their inputs", largest, _LOUDEST),
        ("Not a network that gets over it: the loss has hardly fallen.",),
    )


def _gains(case: Case, layers: Sequence[int]) -> Mapping[int, float]:
    """Return by layer how much its matrix that scales most does so: the other one of an adapter begins at zero."""
    if not case.steps.size or case.steps[0] > BEGINNING:
        return {}
    return {layer: _most(case, layer) for layer in layers if np.isfinite(gain_of(case, layer))}


def _enough(case: Case, gains: Mapping[int, float]) -> bool:
    """Whether these layers, of which a recurrent one holds several matrices, are more than an input and an output."""
    return len(matrices(case, list(gains))) >= _FEWEST


def _most(case: Case, layer: int) -> float:
    rows = matrices(case, [layer])
    outputs = np.array([case.network.parameters[row].parameter.shape[0] for row in rows], np.float64)
    return float(np.nanmax(case.column("weight_norm")[rows, 0] / np.sqrt(outputs)))


def _overwritten(case: Case, layers: Sequence[int]) -> bool:
    """Whether the first update, as far as it is known, is most of what the weights are after it."""
    rows = matrices(case, layers)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = case.column("update_norm")[rows, :1] / case.column("weight_norm")[rows, :1]
    return bool(rows) and bool(nanmedian(shares)[0] >= _OVERWRITTEN)


def _outputs(case: Case, layers: Mapping[int, float]) -> float:
    """Return the deviation of what these layers put out at the first record, at their median; NaN where unknown."""
    steps, deviations = case.activation_steps, case.numbers("activation_std")
    if not steps.size or steps[0] > BEGINNING:
        return np.nan
    rows = [
        index
        for index, row in enumerate(case.network.activations)
        if row.layer in layers and not row.function and row.activation.response is Response.NONE
        if not row.activation.kind.startswith(_BOUNDED)
    ]
    return float(nanmedian(deviations[rows, :1])[0]) if rows else np.nan


def _finding(
    case: Case, loss: Course | None, layers: tuple[int, ...], message: str, beyond: Beyond, excluded: tuple[str, ...]
) -> Finding:
    norms = nanmedian(case.column("weight_norm")[matrices(case, layers)])
    first = float(case.steps[0])
    return Finding(
        rule="poor_init",
        severity=Severity.WARNING,
        layers=layers,
        first_step=first,
        last_step=first,
        message=message,
        beyond=beyond,
        evidence=(
            Line("norm of the weights, median of the matrices", "weight_norm", case.steps, norms),
            *([Line(loss.name, loss.name, loss.steps, loss.values)] if loss else []),
        ),
        remedies=SCALE,
        excluded=excluded,
    )
