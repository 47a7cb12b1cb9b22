"""All columns of one parameter at one step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tb_netviz.statistics.gradient import gradient_columns, pair_columns
from tb_netviz.statistics.weights import weight_columns
from tb_netviz_plugin.schema.columns import PARAMETER_COLUMNS


def parameter_row(
    gradient: npt.ArrayLike | None,
    *,
    last_gradient: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    weight_before: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float32]:
    """Return the values of PARAMETER_COLUMNS, in order; NaN where something was not measured.

    Args:
        gradient: The gradient that the optimizer applied, or None where there was none.
        last_gradient: That of the optimizer step before.
        weight: The parameter after the step.
        weight_before: The parameter before the step.

    Raises:
        TypeError: If elements are no numbers.
        ValueError: If two arrays that belong together differ in size.
    """
    values = gradient_columns(gradient) | pair_columns(gradient, last_gradient) | weight_columns(weight, weight_before)
    with np.errstate(over="ignore"):  # A norm beyond float32 is infinite there.
        return np.array([values[column.id] for column in PARAMETER_COLUMNS]).astype(np.float32)
