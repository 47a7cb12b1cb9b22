"""How the weights of a network begin: by how much they scale what goes through, and how loud its outputs are."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.outputs import CLASS_INDICES, Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import fold, number
from tb_netviz_plugin.diagnosis.answers import answers, is_cross_entropy, makes_its_inputs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import matrices
from tb_netviz_plugin.diagnosis.stretches import at_end
from tb_netviz_plugin.schema.description import Response

BEGINNING = 10
"""Steps that the beginning is looked for in."""
LOUD = 2.5
"""By how much a matrix scales independent inputs where its scale is at fault; 0.6 to 1.4 are common."""
FAINT = 0.3
"""The same where it is too small."""
LOUDER, CERTAIN = 5.0, 10.0
"""Loss and outputs at the start over those at the end, and the first cross-entropy over that of guessing, where outputs
begin too large."""
_FEWEST = 3
"""Matrices of which most may be loud."""
_ALL, _SURE, _OUT = 0.5, 2.0, 2.0
"""Share of the matrices from which on most are loud; and where they are, or inputs are looked up, the first
cross-entropy over that of guessing, and the deviation of the outputs, at which it is sure of wrong answers."""
_LARGE = 5.0
"""Deviation of outputs, and loss, from which on they are large for any data of a common scale."""
_SHARE = 0.3
"""Share of the largest deviation from which on a layer is the first to be loud."""
_STANDS_OUT = 20.0
"""Factor over that of all others by which one layer makes the signal larger where it is the one to be loud."""
_GROWN = 100.0
"""Factor from the deviation of the first output to the largest where the depth is behind it, as of residual blocks."""

SCALE = (
    Remedy(
        "Draw the weights with a scale that keeps the signal's.",
        "for layer in model.modules():\n    if isinstance(layer, (nn.Linear, nn.Conv2d)):\n"
        '        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")\n        nn.init.zeros_(layer.bias)',
    ),
    Remedy("Normalise between the layers.", "nn.Sequential(nn.Linear(n, m), nn.LayerNorm(m), nn.ReLU())"),
)


def gain_of(case: Case, layer: int) -> float:
    """Return by how much the largest matrix of a layer scales inputs that are independent, at the first record.

    NaN of an embedding, which scales nothing.
    """
    if case.network.layers[layer].module.type.startswith("Embedding"):
        return np.nan
    rows = matrices(case, [layer])
    if not rows or not case.steps.size:
        return np.nan
    row = max(rows, key=lambda one: case.network.elements[one])
    # The root of the sum of squares over the inputs of an output, for all outputs together.
    outputs = case.network.parameters[row].parameter.shape[0]
    return float(case.column("weight_norm")[row, 0] / np.sqrt(outputs)) if outputs else np.nan


def loud(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find outputs of a model that begin far too large, so that the loss has a long way to come down."""
    rows = [index for index, row in enumerate(case.network.activations) if row.layer in layers]
    loss, steps = training(case), case.activation_steps
    if (
        not rows
        or loss is None
        or not steps.size
        or steps[0] > BEGINNING
        or loss.end <= 0
        or loss.start < factor * loss.end
    ):
        return None
    deviations = case.numbers("activation_std")
    last, about = deviations[rows[-1]], case.network.activations[rows[-1]]
    ended = float(nanmedian(last[at_end(steps)][:, None])[0])
    if about.activation.response is not Response.NONE or not last[0] >= _LARGE or makes_its_inputs(case):
        return None
    gains = {layer: gain for layer in layers if np.isfinite(gain := gain_of(case, layer)) and gain > LOUD}
    if last[0] < factor * ended and (about.layer not in gains or loss.start < _LARGE):
        return None
    where = about.label
    return Finding(
        rule="poor_init",
        severity=Severity.WARNING,
        layers=_first_of(case, rows),
        first_step=float(steps[0]),
        last_step=float(steps[0]),
        message=f"The outputs begin too large: the deviation of {where} is {number(float(last[0]))} at step "
        f"{steps[0]:,.0f}, and {loss.name} has to come down from {number(loss.start)} to {number(loss.end)} first.",
        beyond=Beyond("loss at the start over that at the end", loss.start / loss.end, factor),
        evidence=(Line(where, "activation_std", steps, last), Line(loss.name, loss.name, loss.steps, loss.values)),
        remedies=SCALE,
        excluded=("Not large targets: outputs begin small, whatever the targets are.",),
        view="activations",
    )


_ROUNDING = 1e-3
"""By which outputs may lie beyond 0 and 1."""
_GETS_OVER = 0.5
"""Share by which a loss falls where it got over such a beginning."""


def certain(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find a classifier that begins by being sure of wrong answers: its first loss is far above that of guessing."""
    found, model = answers(case), case.network.layers[layers[0]].model
    rows = [index for index, row in enumerate(case.network.activations) if row.model == model]
    deviations, steps = case.numbers("activation_std"), case.activation_steps
    if found is None or found.model != model or not rows or not steps.size:
        return None
    if max(found.steps[0], steps[0]) > BEGINNING or not found.classes[0] > 1:
        return None
    spread = float(found.outputs.std[0])
    multiplied = bool(spread > _GROWN * np.nanmax(deviations[rows, 0], initial=0.0) > 0)
    grown = multiplied or bool((deviations[rows, 0] > _GROWN * deviations[rows[0], 0]).any())
    gains = {layer: gain for layer in layers if np.isfinite(gain := gain_of(case, layer))}
    gains = {layer: gain for layer, gain in gains.items() if _maps(case, layer)}
    too_large = [layer for layer, gain in gains.items() if gain > LOUD]
    tokens = found.input_kind[0] == CLASS_INDICES
    if not grown and not too_large and not tokens:
        return None  # Large inputs, or scores that are scaled on purpose.
    most = len(gains) >= _FEWEST and len(too_large) > _ALL * len(gains)
    factor, large = (_SURE, _OUT) if most or tokens else (factor, _LARGE)
    loss, guess = float(found.loss[0]), float(np.log(found.classes[0]))
    if not loss >= factor * guess or not spread >= large or not is_cross_entropy(case, found):
        return None
    return Finding(
        rule="poor_init",
        severity=Severity.WARNING,
        layers=tuple(too_large)
        if most
        else _scorer(case, layers, rows, found) or (() if multiplied else _first_of(case, rows)),
        first_step=float(found.steps[0]),
        last_step=float(found.steps[0]),
        message=f"The loss begins at {number(loss)} at step {found.steps[0]:,.0f}, where guessing among "
        f"{found.classes[0]:.0f} classes costs {number(guess)}: the deviation of the outputs is "
        f"{number(spread)}, so that the network is sure of answers that it has not learned"
        f"{_multiplied(deviations[rows, 0], spread) if multiplied else ''}.",
        beyond=Beyond("first cross-entropy over that of guessing", loss / guess, factor),
        evidence=(
            Line("cross-entropy", "loss", found.steps, found.loss, guess),
            Line("deviation of the outputs", "outputs", found.steps, found.outputs.std),
        ),
        remedies=SCALE,
        excluded=(
            "Not large inputs: they are looked up."
            if tokens
            else "Not large inputs alone: the network makes what it gets far larger.",
        ),
        view="activations",
    )


def _multiplied(deviations: Floats, spread: float) -> str:
    """Say that it is what comes after all layers that makes the outputs so large."""
    return f", and what no layer puts out: something multiplies it {fold(spread / float(np.nanmax(deviations)))}"


def decided(case: Case, layers: list[int], share: float) -> Finding | None:
    """Find outputs that are next to 0 or 1 before anything was learned, no better than always telling the mean."""
    found, loss, model = answers(case), training(case), case.network.layers[layers[0]].model
    rows = [index for index, row in enumerate(case.network.activations) if row.model == model]
    if found is None or found.model != model or loss is None or found.steps[0] > BEGINNING:
        return None
    ends = (found.outputs.smallest, 1 - found.outputs.largest, found.targets.smallest, 1 - found.targets.largest)
    deviations = case.numbers("activation_std")[rows, :1]
    between = all((values >= -_ROUNDING).all() for values in ends) and found.criterion in ("MSELoss", "BCELoss")
    known, spread = np.isfinite(found.targets.mean), float(found.outputs.std[0])
    chance = float(found.targets.mean[known].mean()) if known.any() else np.nan
    if not between or not spread >= share / 2 or not 0 < chance < 1:
        return None
    entropy = -chance * np.log(chance) - (1 - chance) * np.log(1 - chance)
    guess = float(entropy if found.criterion == "BCELoss" else np.nanmean(found.targets.std**2))
    if not loss.start >= guess or loss.learned >= _GETS_OVER:
        return None
    return Finding(
        rule="poor_init",
        severity=Severity.WARNING,
        layers=(_first_of(case, rows) if np.isfinite(deviations).any() else ()) or tuple(layers),
        first_step=float(found.steps[0]),
        last_step=float(found.steps[0]),
        message=f"The outputs begin next to 0 and 1: their deviation is {number(spread)} at step "
        f"{found.steps[0]:,.0f}, where 0.5 is the most there can be, and {loss.name} begins at {number(loss.start)}, "
        f"where always telling the mean costs {number(guess)}: the network is sure of answers that it has not learned, "
        f"and hardly any gradient passes.",
        beyond=Beyond("deviation of the outputs, over the most there can be", 2 * spread, share),
        evidence=(
            Line("deviation of the outputs", "outputs", found.steps, found.outputs.std, share / 2),
            Line(loss.name, loss.name, loss.steps, loss.values, guess),
        ),
        remedies=(
            Remedy(
                "Scale what goes into the sigmoid, so that it begins about zero.",
                "score = (users * items).sum(-1) / math.sqrt(users.shape[-1])",
            ),
            *SCALE,
        ),
        excluded=("Not a network that has learned before: guessing would cost no more.",),
        view="activations",
    )


def _maps(case: Case, layer: int) -> bool:
    """Whether a layer has a matrix, and not only a table such as that of places, which has a first axis of length 1."""
    shapes = [case.network.parameters[row].parameter.shape for row in matrices(case, [layer])]
    return any(shape[0] > 1 for shape in shapes)


def _scorer(case: Case, layers: list[int], rows: list[int], found: Outputs) -> tuple[int, ...]:
    """Return the table that scores the classes too, where nothing of a layer is as loud: it alone has a row for each.

    A head that shares its weight has no parameter of its own, and none was measured where it is a function.
    """
    starts = case.numbers("activation_std")[rows, 0]
    if _first_of(case, rows) and np.nanmax(starts) >= _SHARE * found.outputs.std[0]:
        return ()
    shapes = {row: case.network.parameters[row].parameter.shape for row in matrices(case, layers)}
    held = [layer for layer in layers for row in matrices(case, [layer]) if shapes[row][0] == found.classes[0]]
    return tuple(held) if len(held) == 1 else ()


def _first_of(case: Case, rows: list[int]) -> tuple[int, ...]:
    """Return the layer of the output that is far louder than what it is made of, as of many time steps.

    Where none stands out so, that of the first one that is about as loud as the loudest; none where it has none.
    """
    starts = case.numbers("activation_std")[rows, 0]
    first = next(row for row, start in zip(rows, starts, strict=True) if start >= _SHARE * np.nanmax(starts))
    grown = np.log10(np.fmax(starts, 1.0))
    steps = np.diff(grown, prepend=0.0)
    if len(rows) > 1 and np.subtract(*np.sort(steps)[:-3:-1]) >= np.log10(_STANDS_OUT):
        first = rows[int(np.argmax(steps))]
    layer = case.network.activations[first].layer
    return () if layer is None else (layer,)
