"""`underfitting`: a loss that stays high on training and validation data alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import answers, is_cross_entropy
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import matrices, movement
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.schema.description import Response

_LATE = 0.4
"""Share of the run, at its end, in which a loss has to be flat."""
_FLAT = 0.06
"""Share of it by which it falls there at most."""
_GAP = 0.15
"""Share of itself by which the validation loss lies above at most, where the network fits what it can."""
_CHANCE = 0.05
"""Share by which it fell at the least: what never fell is a plateau."""
_PATH = 0.1
_TINY = 10
"""Elements for each input and output below which a network is tiny, too small to learn much by heart."""
_WIDE = 4
"""Numbers from which on what comes before a single one is wide."""
_FEW, _TIMES = 4, 4
"""Numbers, at most, by which a last layer tells classes, and how many times as many classes are too many for these."""
_LARGER = (
    Remedy("Take a wider or deeper network.", "nn.Linear(n, 4 * m)"),
    Remedy("Give it inputs that tell more, or train on where the loss still falls."),
    Remedy("If the data hold no more than that, as with noise in the targets, this is as good as it gets."),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find a training that could not fit its own data."""
    loss = training(case)
    models = list(case.layers_of_models())
    if loss is None or len(models) != 1 or loss.start <= 0 or case.frozen[models[0]].mean() >= 0.5:
        return []
    rest = loss.end / loss.start
    if rest < limits["rest"] or not _flat(loss) or movement(case, models[0]).path < _PATH:
        return []
    return _too_small(case, models[0], loss, rest, limits["rest"])


def _flat(loss: Course) -> bool:
    """Whether it has not fallen in the last part of the run beyond its scatter."""
    late = loss.values[loss.steps >= loss.steps[-1] - _LATE * (loss.steps[-1] - loss.steps[0])]
    half = late.size // 2
    if half < 3:
        return False
    early, last = late[:half], late[-half:]
    error = np.sqrt((early.var() + last.var()) / half)
    return bool(early.mean() - last.mean() <= max(_FLAT * abs(early.mean()), 2 * error))


def _too_small(case: Case, layers: list[int], loss: Course, rest: float, limit: float) -> list[Finding]:
    held_out = course(case.curve("val_loss"))
    elements, ends = _size(case, layers)
    neck = _neck(case, layers)
    # Of a linear model nothing tells whether more than lines would help.
    few = _numbers_for_classes(case, layers)
    tiny = (0 < elements < _TINY * ends and len(matrices(case, layers)) > 1) or neck is not None or few is not None
    apart = held_out is not None and held_out.end > loss.end * (1 + _GAP) + 2 * loss.noise
    if loss.learned < _CHANCE or apart or (held_out is None and not tiny):
        return []
    late = float(loss.steps[-1] - _LATE * (loss.steps[-1] - loss.steps[0]))
    size = f"a network of {elements:,} numbers between {ends:,} inputs and outputs"
    if few is not None:
        size = f"and all that {case.network.layers[layers[-1]].name} tells {few.classes:,} classes by are "
        size += f"{few.numbers:,} numbers"
    if neck is not None:
        size = f"and all that {case.network.layers[neck].name} lets through is a single number"
    beside = f", and {held_out.name} at {number(held_out.end)}: it fits neither" if held_out else ""
    lines = [Line(loss.name, loss.name, loss.steps, loss.values, limit * loss.start)]
    if held_out:
        lines.append(Line(held_out.name, held_out.name, held_out.steps, held_out.values))
    return [
        Finding(
            rule="underfitting",
            severity=Severity.WARNING if tiny else Severity.INFO,
            layers=() if neck is None else (neck,),
            first_step=float(loss.steps[0]) if tiny else late,
            last_step=float(loss.steps[-1]),
            message=f"{loss.name} has stayed at {number(loss.end)} since step {late:,.0f}, {rest:.0%} of its first "
            f"value{beside}{', ' + size if tiny else ''}.",
            beyond=Beyond("loss over its first value", rest, limit),
            evidence=tuple(lines),
            remedies=_LARGER,
            excluded=(
                "Not overfitting: the validation loss is about the same."
                if held_out
                else "Not overfitting: so few numbers hold little by heart."
                if neck is None
                else "Not a single output: more than one number is asked for.",
            ),
            view="overview",
        )
    ]


class _Few(NamedTuple):
    """How many numbers a last layer gets, and how many classes it tells by these."""

    numbers: int
    classes: int


def _numbers_for_classes(case: Case, layers: list[int]) -> _Few | None:
    """Return by how few numbers the last layer tells the classes of a cross-entropy, if that is too few."""
    given, last = answers(case), case.network.layers[layers[-1]].module
    if given is None or given.model != case.network.layers[layers[0]].model or not is_cross_entropy(case, given):
        return None
    classes, numbers = int(np.nanmax(given.classes, initial=1.0)), _width(last.type, last.input_shape) or 0
    tells = last.type == "Linear" and last.output_shape[-1:] == (classes,)
    return _Few(numbers, classes) if tells and 1 < numbers <= _FEW and classes >= _TIMES * numbers else None


def _neck(case: Case, layers: list[int]) -> int | None:
    """Return the layer that makes a single number of many, from which the next one has to make many again.

    Where other layers get single numbers as well, these may be inputs, and what makes one need not be in their way.
    """
    modules = {layer: case.network.layers[layer].module for layer in layers}
    narrow = [layer for layer in layers if _width(modules[layer].type, modules[layer].input_shape) == 1]
    if len(narrow) != 1 or narrow[0] == layers[0]:
        return None
    before = layers[layers.index(narrow[0]) - 1]
    behind, neck = modules[narrow[0]], modules[before]
    shapes = (neck.input_shape, modules[layers[-1]].output_shape)
    wide = (_width(neck.type, shapes[0]) or 0) >= _WIDE and int(np.prod(shapes[1][1:])) > 1
    if not wide or behind.input_shape != neck.output_shape or _is_gate(case, narrow[0], layers):
        return None
    return before


def _is_gate(case: Case, layer: int, layers: list[int]) -> bool:
    """Whether what a layer makes is squashed, or is not what the next one gets: it then scales what goes around it."""
    squashed = (Response.BOUNDED, Response.SOFTMAX)
    if any(row.layer == layer and row.activation.response in squashed for row in case.network.activations):
        return True
    behind = layers[layers.index(layer) + 1 :]
    made = case.network.layers[layer].module.output_shape
    got = case.network.layers[behind[0]].module.input_shape if behind else ()
    return bool(made and got) and int(np.prod(got)) != int(np.prod(made))


def _width(kind: str, shape: tuple[int, ...]) -> int | None:
    """Return how many features a tensor has that a layer gets or gives, if that is a linear layer or a convolution."""
    if len(shape) < 2 or not kind.startswith(("Linear", "Conv")):
        return None
    return shape[-1] if kind == "Linear" else int(np.prod(shape[1:]))


def _size(case: Case, layers: list[int]) -> tuple[int, int]:
    """Return how many elements the network has, and how many inputs and outputs together, both as its matrices say."""
    shapes = [case.network.parameters[row].parameter.shape for row in matrices(case, layers)]
    ends = shapes[0][1] + shapes[-1][0] if shapes else 0
    return sum(case.network.layers[layer].elements for layer in layers), ends


RULE = Rule(
    id="underfitting",
    title="Underfitting",
    needs=(
        needs.statistics("update_ratio"),
        needs.records(20),
        needs.curve("train_loss", "training loss was logged", 20),
    ),
    thresholds=(Threshold("rest", 0.4, "loss over its first value", 0.01, 1.0),),
    find=find,
)
