"""The statistics that people read, with their definitions: the one catalogue of netviz.

A statistic is a function of recorded columns that were merged over a layer's parameters, or of those of an
activation. To add one: write its function, add a line to STATISTICS, and give it a heading in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
Columns = Mapping[str, FloatArray]


class Scale(StrEnum):
    """How a statistic is drawn."""

    LOG = "log"
    """Magnitudes; the same colours for every layer and run. Zero has a mark of its own."""
    FRACTION = "fraction"
    """Shares from 0 to 1."""
    SIGNED = "signed"
    """From -1 to 1 with zero in the middle."""
    LINEAR = "linear"
    """Any number with its sign, zero in the middle; symmetric about it over what is shown."""


class Rows(StrEnum):
    """What a statistic is of."""

    PARAMETERS = "parameters"
    """Parameters, and so layers and networks."""
    ACTIVATIONS = "activations"
    """Places in the forward pass where an output is measured."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number of a layer at a step.

    Attributes:
        id: Name in URLs and on the wire of the HTTP API.
        label: What a reader sees.
        unit: Unit, or an empty string for a pure number.
        scale: How it is drawn.
        columns: The recorded columns that `value` needs.
        value: From the merged columns and the number of elements (broadcastable arrays) to the statistic.
            Monotone in each column where `bounded`, so that windows keep a lowest and a highest value.
        falling: The columns in which `value` falls; it rises in the others. Only read where `bounded`.
        bounded: Whether the extremes of the columns bound the statistic.
        rows: What it is of.
        definition: One or two sentences: what it is.
        reading: One or two sentences: what a healthy or an ill network shows.
    """

    id: str
    label: str
    unit: str
    scale: Scale
    columns: tuple[str, ...]
    value: Callable[[Columns, FloatArray], FloatArray]
    definition: str
    reading: str
    bounded: bool = True
    falling: tuple[str, ...] = ()
    rows: Rows = Rows.PARAMETERS


def _column(name: str) -> Callable[[Columns, FloatArray], FloatArray]:
    return lambda columns, _elements: columns[name]


def _per_element(name: str) -> Callable[[Columns, FloatArray], FloatArray]:
    def value(columns: Columns, elements: FloatArray) -> FloatArray:
        return _ratio(columns[name], elements)

    return value


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: FloatArray = np.where(denominator == 0, np.nan, numerator / denominator)
    return quotient


def _update_ratio(columns: Columns, _elements: FloatArray) -> FloatArray:
    return _ratio(columns["update_norm"], columns["weight_norm"])


def _cosine(columns: Columns, _elements: FloatArray) -> FloatArray:
    norms = columns["grad_norm"].astype(np.float64) * columns["grad_norm_last"]
    return np.clip(_ratio(columns["grad_dot_last"], norms), -1.0, 1.0)


def _mean_output(columns: Columns, _elements: FloatArray) -> FloatArray:
    return _ratio(columns["act_sum"].astype(np.float64), columns["act_values"])


def _output_deviation(columns: Columns, elements: FloatArray) -> FloatArray:
    square = _ratio(columns["act_norm"].astype(np.float64) ** 2, columns["act_values"])
    return np.sqrt(np.maximum(square - _mean_output(columns, elements) ** 2, 0.0))


def _share_of_values(name: str) -> Callable[[Columns, FloatArray], FloatArray]:
    # The number of values may differ from step to step, so that the extremes of a window could pass 1.
    return lambda columns, _elements: np.minimum(_ratio(columns[name], columns["act_values"]), 1.0)


STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        id="gradient_norm",
        label="Gradient norm",
        unit="",
        scale=Scale.LOG,
        columns=("grad_norm",),
        value=_column("grad_norm"),
        definition="Euclidean norm of the gradient that the optimizer applied, over all parameters of the layer.",
        reading="Similar over the depth of a healthy network. A steady fall towards the input is a vanishing "
        "gradient, a rise an exploding one.",
    ),
    Statistic(
        id="gradient_mean_abs",
        label="Mean |g|",
        unit="",
        scale=Scale.LOG,
        columns=("grad_abs_sum",),
        value=_per_element("grad_abs_sum"),
        definition="Mean magnitude of the gradient's elements.",
        reading="Unlike the norm it does not grow with the size of the layer, so layers of different size compare.",
    ),
    Statistic(
        id="gradient_max_abs",
        label="Max |g|",
        unit="",
        scale=Scale.LOG,
        columns=("grad_abs_max",),
        value=_column("grad_abs_max"),
        definition="Largest magnitude among the gradient's elements.",
        reading="Far above the mean, a few elements carry the gradient. Near 65,504 it overflows in fp16.",
    ),
    Statistic(
        id="gradient_zero_fraction",
        label="Zero fraction",
        unit="",
        scale=Scale.FRACTION,
        columns=("grad_zeros",),
        value=_per_element("grad_zeros"),
        definition="Share of the gradient's elements that are exactly zero.",
        reading="ReLU layers and embeddings have many zeros in good health. A share that rises to 1 and stays "
        "there means that the layer no longer learns.",
    ),
    Statistic(
        id="gradient_nonfinite",
        label="Non-finite",
        unit="",
        scale=Scale.FRACTION,
        columns=("grad_nonfinite",),
        value=_per_element("grad_nonfinite"),
        definition="Share of the gradient's elements that are NaN or infinite.",
        reading="Anything above zero spoils the weights that it reaches.",
    ),
    Statistic(
        id="weight_norm",
        label="Weight norm",
        unit="",
        scale=Scale.LOG,
        columns=("weight_norm",),
        value=_column("weight_norm"),
        definition="Euclidean norm of the layer's parameters after the step.",
        reading="Changes slowly. A jump marks an update that was too large.",
    ),
    Statistic(
        id="update_ratio",
        label="Update : weight",
        unit="",
        scale=Scale.LOG,
        columns=("update_norm", "weight_norm"),
        value=_update_ratio,
        falling=("weight_norm",),
        definition="Norm of the change that the optimizer step made, over the norm of the weights after it.",
        reading="About 1e-3 is a common value in healthy training (cs231n). Near 1 the step overwrites the "
        "layer, far below 1e-5 it hardly moves.",
    ),
    Statistic(
        id="gradient_cosine",
        label="Cosine with last",
        unit="",
        scale=Scale.SIGNED,
        columns=("grad_dot_last", "grad_norm", "grad_norm_last"),
        value=_cosine,
        bounded=False,
        definition="Cosine of the angle between this gradient and that of the optimizer step before.",
        reading="Near 1 the steps agree, near 0 noise dominates, below 0 they undo each other, as with a "
        "learning rate that is too high.",
    ),
    Statistic(
        id="activation_mean",
        label="Mean activation",
        unit="",
        scale=Scale.LINEAR,
        columns=("act_sum", "act_values"),
        value=_mean_output,
        bounded=False,
        rows=Rows.ACTIVATIONS,
        definition="Mean of the output's values, with their sign.",
        reading="Near zero, or positive behind a ReLU. A mean that drifts far beyond the deviation pushes the next "
        "layer to one side of its bend.",
    ),
    Statistic(
        id="activation_std",
        label="Activation deviation",
        unit="",
        scale=Scale.LOG,
        columns=("act_norm", "act_sum", "act_values"),
        value=_output_deviation,
        bounded=False,
        rows=Rows.ACTIVATIONS,
        definition="Standard deviation of the output's values, over samples and units together.",
        reading="Similar through the depth of a healthy network. A fall towards the output is a signal that dies out, "
        "a rise one that blows up.",
    ),
    Statistic(
        id="activation_max_abs",
        label="Max |a|",
        unit="",
        scale=Scale.LOG,
        columns=("act_abs_max",),
        value=_column("act_abs_max"),
        rows=Rows.ACTIVATIONS,
        definition="Largest magnitude among the output's values.",
        reading="Far above the deviation, a few outliers carry the layer. Near 65,504 it overflows in fp16.",
    ),
    Statistic(
        id="activation_zero_fraction",
        label="Zero activations",
        unit="",
        scale=Scale.FRACTION,
        columns=("act_zeros", "act_values"),
        value=_share_of_values("act_zeros"),
        falling=("act_values",),
        rows=Rows.ACTIVATIONS,
        definition="Share of the output's values that are exactly zero.",
        reading="Half is usual behind a ReLU, and more is no illness: sparse is not dead. Whether units are dead says "
        "the count of units that never fire.",
    ),
    Statistic(
        id="activation_saturation",
        label="Saturation",
        unit="",
        scale=Scale.FRACTION,
        columns=("act_saturated", "act_values"),
        value=_share_of_values("act_saturated"),
        falling=("act_values",),
        rows=Rows.ACTIVATIONS,
        definition="Share of the output's values where the function is flat at an end, as tanh is near -1 and 1.",
        reading="Where it is near 1, hardly any gradient passes. The floor of a ReLU counts as zeros, not here.",
    ),
    Statistic(
        id="activation_nonfinite",
        label="Non-finite activations",
        unit="",
        scale=Scale.FRACTION,
        columns=("act_nonfinite", "act_values"),
        value=_share_of_values("act_nonfinite"),
        falling=("act_values",),
        rows=Rows.ACTIVATIONS,
        definition="Share of the output's values that are NaN or infinite.",
        reading="Anything above zero spoils what comes after it. The first one in network order is where it began.",
    ),
    Statistic(
        id="output_gradient_norm",
        label="Output gradient norm",
        unit="",
        scale=Scale.LOG,
        columns=("act_grad_norm",),
        value=_column("act_grad_norm"),
        rows=Rows.ACTIVATIONS,
        definition="Euclidean norm of the gradient of the loss by the output, over the measured samples.",
        reading="Shows where in the depth the gradient is lost, in activations without parameters too.",
    ),
)
STATISTIC: dict[str, Statistic] = {statistic.id: statistic for statistic in STATISTICS}
