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
    first, second = _unit(one), _unit(other)
    norms = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    shared = float(np.linalg.norm(first.T @ second) ** 2)
    return float(min(shared / norms, 1.0)) if norms > 0 else float("nan")


def cka_matrix(ones: Sequence[Signature], others: Sequence[Signature]) -> npt.NDArray[np.float32]:
    """Return the linear CKA of each of `ones` with each of `others`, [ones, others]; NaN where points differ."""
    values = [[cka(one, other) if len(one) == len(other) else np.nan for other in others] for one in ones]
    return np.array(values, np.float32).reshape(len(ones), len(others))


def _unit(signature: Signature) -> npt.NDArray[np.float64]:
    """Return a signature in float64 with 1 as its largest magnitude, which keeps fourth powers in range."""
    values = np.asarray(signature, np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    return values / largest if largest > 0 else values
