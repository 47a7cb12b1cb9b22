"""The columns of a parameter and of the change that a step made to it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tb_netviz.statistics.numbers import blocks, flat, norm


@np.errstate(all="ignore")  # Non-finite weights give non-finite norms.
def weight_columns(after: npt.ArrayLike | None, before: npt.ArrayLike | None = None) -> dict[str, float]:
    """Return `weight_norm` and `update_norm`.

    Args:
        after: The parameter after the optimizer step; without it both are NaN.
        before: The parameter before the step; without it `update_norm` is NaN.

    Raises:
        TypeError: If the elements are no numbers.
        ValueError: If the two differ in size.
    """
    if after is None:
        return {"weight_norm": math.nan, "update_norm": math.nan}
    new = flat(after)
    return {"weight_norm": norm(new), "update_norm": math.nan if before is None else _distance(new, flat(before))}


def _distance(new: npt.NDArray[np.generic], old: npt.NDArray[np.generic]) -> float:
    if new.size != old.size:
        raise ValueError(f"the parameter has {new.size} elements after the step and {old.size} before it")
    return math.hypot(*(norm(a - b) for a, b in zip(blocks(new), blocks(old), strict=True)))
