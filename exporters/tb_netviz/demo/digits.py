"""Scikit-learn's handwritten digits, 1,797 images of 8 x 8 pixels, as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits

VALIDATION_IMAGES = 360
BATCH = 256


@dataclass(frozen=True, slots=True)
class Part:
    """Images [n, 1, 8, 8] from 0 to 1, and their labels [n]."""

    images: torch.Tensor
    labels: torch.Tensor


def load(seed: int = 0) -> tuple[Part, Part]:
    """Return the digits that are trained on and those that are validated on, in random order."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    train, validation = order[VALIDATION_IMAGES:], order[:VALIDATION_IMAGES]
    return Part(images[train], labels[train]), Part(images[validation], labels[validation])


def batches(part: Part, count: int, seed: int = 0) -> Iterator[Part]:
    """Yield `count` random batches of `part`."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        chosen = torch.randint(len(part.labels), (BATCH,), generator=generator)
        yield Part(part.images[chosen], part.labels[chosen])
