"""Small data: scikit-learn's digits and breast cancer, synthetic sequences and graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor

Batches = Callable[[int], tuple[Tensor, Tensor]]
"""From the index of a step to its inputs and targets."""

DIGITS_HELD_OUT, PATIENTS_HELD_OUT, SEQUENCES_HELD_OUT = 360, 140, 256
TOKENS, STATES, LENGTH = 12, 20, 16


@dataclass(frozen=True, slots=True)
class Part:
    """Inputs and their targets, n of each."""

    inputs: Tensor
    targets: Tensor

    def batches(self, size: int, seed: int = 0) -> Batches:
        """Return what draws random batches."""
        generator = torch.Generator().manual_seed(seed)

        def draw(_step: int) -> tuple[Tensor, Tensor]:
            chosen = torch.randint(len(self.targets), (size,), generator=generator)
            return self.inputs[chosen], self.targets[chosen]

        return draw

    def first(self, count: int) -> Part:
        """Return its first samples."""
        return Part(self.inputs[:count], self.targets[:count])


@dataclass(frozen=True, slots=True)
class Split:
    """What is trained on and what is held out."""

    train: Part
    held_out: Part


def split(inputs: Tensor, targets: Tensor, held_out: int, seed: int) -> Split:
    """Shuffle and split."""
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    train, rest = order[held_out:], order[:held_out]
    return Split(Part(inputs[train], targets[train]), Part(inputs[rest], targets[rest]))


@cache
def _digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32), torch.tensor(data.target)


def digits(seed: int, *, flat: bool = True) -> Split:
    """Return standardised pictures, [n, 64] or [n, 1, 8, 8], and their classes, of which there are ten."""
    pixels, classes = _digits()
    pictures = ((pixels - pixels.mean()) / pixels.std())[:, None]
    return split(pictures.flatten(1) if flat else pictures, classes, DIGITS_HELD_OUT, seed)


def patients(seed: int, *, standardised: bool = True) -> Split:
    """Return 30 measurements of breasts, [n, 30], and whether there is a cancer, float [n, 1]."""
    data = load_breast_cancer()
    raw = data.data.astype(np.float32)
    inputs = (raw - raw.mean(0)) / raw.std(0) if standardised else raw
    return split(torch.tensor(inputs), torch.tensor(data.target, dtype=torch.float32)[:, None], PATIENTS_HELD_OUT, seed)


def curves(seed: int, *, noise: float = 0.1, scale: float = 1.0, count: int = 1200) -> Split:
    """Return points [n, 8] and a smooth function of them with noise, [n, 1], of mean 0 and deviation `scale`."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 8, generator=generator)
    smooth = torch.sin(2 * inputs[:, 0]) + inputs[:, 1] * inputs[:, 2] + 0.5 * inputs[:, 3]
    targets = smooth + noise * torch.randn(count, generator=generator)
    return split(inputs, scale * ((targets - targets.mean()) / targets.std())[:, None], count // 5, seed)


def majorities(seed: int, *, length: int = LENGTH, count: int = 1500) -> Split:
    """Return sequences of tokens, [n, length], and which of the first three is the most frequent."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(TOKENS, (count, length), generator=generator)
    winners = torch.randint(3, (count,), generator=generator)
    spread = torch.rand(count, length, generator=generator) < 0.3
    tokens = torch.where(spread, winners[:, None], tokens)
    return split(
        tokens, torch.stack([(tokens == one).sum(1) for one in range(3)], 1).argmax(1), SEQUENCES_HELD_OUT, seed
    )


def first_tokens(seed: int, *, length: int, count: int = 1500) -> Split:
    """Return sequences of numbers, [n, length, 4], and which of the four was marked at the first place alone."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(4, (count,), generator=generator)
    inputs = 0.3 * torch.randn(count, length, 4, generator=generator)
    inputs[:, 0] += torch.nn.functional.one_hot(classes, 4)
    return split(inputs, classes, SEQUENCES_HELD_OUT, seed)


def language(seed: int, *, length: int = LENGTH, count: int = 1200, states: int = STATES) -> Split:
    """Return sequences of a Markov chain, [n, length], and the token that follows each, [n, length]."""
    draw = np.random.default_rng(seed)
    chances = draw.dirichlet(np.full(states, 0.1), size=states).cumsum(1)
    tokens = np.empty((count, length + 1), np.int64)
    tokens[:, 0] = draw.integers(states, size=count)
    for at in range(length):
        tokens[:, at + 1] = (draw.random(count)[:, None] > chances[tokens[:, at]]).sum(1).clip(max=states - 1)
    return split(torch.tensor(tokens[:, :-1]), torch.tensor(tokens[:, 1:]), SEQUENCES_HELD_OUT, seed)


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes with features [n, 16] and a community [n]; edges, normalised with loops, [n, n]."""

    features: Tensor
    communities: Tensor
    edges: Tensor
    train: Tensor
    held_out: Tensor

    def batches(self, seed: int = 0, noise: float = 0.1) -> Batches:
        """Return what gives the whole graph at every step, its features jittered."""
        generator = torch.Generator().manual_seed(seed)

        def draw(_step: int) -> tuple[Tensor, Tensor]:
            jitter = noise * torch.randn(self.features.shape, generator=generator)
            return self.features + jitter, self.communities[self.train]

        return draw

    @property
    def validation(self) -> Part:
        """Its features, and the communities of the nodes that are held out."""
        return Part(self.features, self.communities[self.held_out])


def communities(seed: int, *, count: int = 4, size: int = 30, inside: float = 0.3, between: float = 0.02) -> Graph:
    """Return a graph of communities; the features tell them apart, though not well."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count).repeat_interleave(size)
    chance = torch.where(labels[:, None] == labels, inside, between)
    upper = (torch.rand(chance.shape, generator=generator) < chance).triu(1).float()
    edges = upper + upper.T + torch.eye(len(labels))
    roots = edges.sum(1).rsqrt()
    centres = torch.randn(count, 16, generator=generator)
    features = 0.7 * centres[labels] + torch.randn(len(labels), 16, generator=generator)
    order = torch.randperm(len(labels), generator=generator)
    half = len(labels) // 2
    return Graph(features, labels, roots[:, None] * edges * roots, order[:half], order[half:])
