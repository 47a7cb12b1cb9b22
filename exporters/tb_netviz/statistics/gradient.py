"""The columns of one gradient.

Complex elements count by their magnitude; `grad_sum` adds their real parts, and `grad_dot_last` is the real part of the
inner product, as if real and imaginary parts were elements of their own.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tb_netviz.statistics.numbers import Array, blocks, flat, norm

COLUMNS = ("grad_norm", "grad_abs_sum", "grad_abs_max", "grad_sum", "grad_zeros", "grad_nonfinite")
_SMALLEST_NORMAL = float(np.finfo(np.float32).smallest_normal)


@np.errstate(all="ignore")  # Beyond float32 sums may leave float64, too.
def gradient_columns(gradient: npt.ArrayLike | None) -> dict[str, float]:
    """Return `present` and the columns of COLUMNS.

    Without a gradient `present` is 0 and the rest NaN; with non-finite elements `grad_nonfinite` counts them and the
    rest is NaN.

    Raises:
        TypeError: If the elements are no numbers.
    """
    if gradient is None:
        return {"present": 0.0} | dict.fromkeys(COLUMNS, math.nan)
    vector = flat(gradient)
    nonfinite = _count_nonfinite(vector)
    if nonfinite:
        return {"present": 1.0} | dict.fromkeys(COLUMNS, math.nan) | {"grad_nonfinite": float(nonfinite)}
    magnitudes = [np.abs(block) for block in blocks(vector)]
    return {
        "present": 1.0,
        "grad_norm": norm(vector),
        "grad_abs_sum": sum(float(block.sum()) for block in magnitudes),
        "grad_abs_max": max((float(block.max()) for block in magnitudes), default=0.0),
        "grad_sum": sum(float(block.real.sum()) for block in blocks(vector)),
        "grad_zeros": float(vector.size - np.count_nonzero(vector)),
        "grad_nonfinite": 0.0,
    }


@np.errstate(all="ignore")
def pair_columns(gradient: npt.ArrayLike | None, last: npt.ArrayLike | None) -> dict[str, float]:
    """Return `grad_dot_last` and `grad_norm_last` of a gradient and that of the optimizer step before.

    NaN where either is missing or has non-finite elements. The product of two vanishing gradients may lie below what
    float32 holds; then `grad_dot_last` is NaN, not measured, since zero would tell of an angle that nobody saw.

    Raises:
        TypeError: If the elements are no numbers.
        ValueError: If the two differ in size.
    """
    if gradient is None or last is None:
        return {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    now, before = flat(gradient), flat(last)
    if now.size != before.size:
        raise ValueError(f"the last gradient has {before.size} elements, this one {now.size}")
    if _count_nonfinite(now) or _count_nonfinite(before):
        return {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    product = float(sum(np.vdot(a, b).real for a, b in zip(blocks(before), blocks(now), strict=True)))
    norm_now, norm_before = norm(now), norm(before)
    lost = norm_now > 0 and norm_before > 0 and norm_now * norm_before < _SMALLEST_NORMAL
    return {"grad_dot_last": math.nan if lost else product, "grad_norm_last": norm_before}


def _count_nonfinite(vector: Array) -> int:
    return sum(int(block.size - np.count_nonzero(np.isfinite(block))) for block in blocks(vector))
