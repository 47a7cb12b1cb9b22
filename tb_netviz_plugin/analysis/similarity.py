"""How alike what two embeddings make of the same points is: linear CKA, from their signatures.

A signature holds the centred scores of a sample of the points on the first principal components (docs/wire-format.md).
Kornblith, Norouzi, Lee and Hinton, *Similarity of Neural Network Representations Revisited*, 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Signature = npt.NDArray[np.floating[Any]]


def cka(one: Signature, other: Signature) -> float:
    """Return the linear CKA of two signatures: from 0, nothing in common, to 1, the same but for turns and scale.

    Args:
        one: [landmarks, components].
        other: [landmarks, other components].

    Returns:
        NaN where either does not vary, or is not finite.

    Raises:
        ValueError: If they are of other numbers of points.
    """
    if len(one) != len(other):
        raise ValueError(f"expected signatures of the same points, got {len(one)} and {len(other)} landmarks")
    return _of_units(_unit(one), _unit(other))


def cka_matrix(ones: Sequence[Signature], others: Sequence[Signature]) -> npt.NDArray[np.float32]:
    """Return the linear CKA of each of `ones` with each of `others`, [ones, others]; NaN where points differ."""
    first, second = [_unit(one) for one in ones], [_unit(other) for other in others]
    values = [[_of_units(one, other) if len(one) == len(other) else np.nan for other in second] for one in first]
    return np.array(values, np.float32).reshape(len(ones), len(others))


def _of_units(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    shared = _overlap(one, other) if one.size and other.size else float("nan")
    return shared if np.isnan(shared) else min(shared, 1.0)


def _unit(signature: Signature) -> npt.NDArray[np.float64]:
    """Return a signature whose products with itself have the norm 1; NaN where it does not vary."""
    values = np.asarray(signature, np.float64)
    largest = np.abs(values).max(initial=0.0)
    values = values / largest if largest > 0 else values  # Keeps fourth powers in range.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(values / _overlap(values, values) ** 0.25, np.float64)


def _overlap(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return the squared norm of `one.T @ other`, through whichever products are fewer."""
    if max(one.shape[1], other.shape[1]) <= len(one):
        return float(np.square(one.T @ other).sum())
    return float(((one @ one.T) * (other @ other.T)).sum())
