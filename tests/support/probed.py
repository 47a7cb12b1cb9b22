"""Trainings with a probe of either kind, for what holds of both."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import read_album
from tests.support.placed import read_placed
from tests.support.small_networks import Convolutions, digits

POINTS = 70
"""More than one batch."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of probes.

    Attributes:
        called: A probe of it in warnings.
        subject: Of what it says that it leaves out.
        watch: Begins a probe of a writer, given pictures, their classes and options.
        read: Returns the steps that were recorded into a folder, and what was left out and why.
    """

    called: str
    subject: str
    watch: Callable[..., Any]
    read: Callable[[Path], tuple[list[int], dict[str, str]]]


def watch_maps(writer, pictures, _classes, **options):
    return writer.watch_activation_maps(pictures[:4], **({"every": 1} | options))


def watch_embedding(writer, pictures, classes, **options):
    return writer.watch_embedding("out", "", pictures[:POINTS], classes[:POINTS], **({"every": 1} | options))


def read_maps(folder):
    album = read_album(folder)
    return album.steps, album.reasons


def read_embedding(folder):
    placed = read_placed(folder, "out")
    return placed.steps("pca"), placed.reasons


KINDS = {
    "maps": Kind("activation maps 'probe'", "maps", watch_maps, read_maps),
    "embedding": Kind("embedding 'out'", "layouts", watch_embedding, read_embedding),
}


class Drawing(Convolutions):
    """Draws random numbers of every kind in each forward pass, and counts them in a buffer and in an attribute."""

    calls: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.seen = 0

    def forward(self, pictures):
        self.calls += 1
        self.seen += 1
        self.last = pictures
        noise = random.random() + float(np.random.rand()) + torch.rand(()).item()  # noqa: NPY002
        return super().forward(pictures + 0.01 * noise) + 0 * self.calls


def states():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  The generator that others share.
    return torch.get_rng_state().tolist(), random.getstate(), kind, list(keys), rest


def train(make, kind, folder=None, *, steps=8, workers=0, each=lambda _step, _writer: None, **options):
    """Return losses, weights and buffers, optimizer state and random states; with a probe if there is a folder."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002  As above.
    model = make()
    pictures, classes = digits(96)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    writer = None if folder is None else NetVizWriter(folder)
    if writer is not None:
        writer.watch(model, optimizer, every=1)
        kind.watch(writer, pictures, classes, **options)
    losses: list[float] = []
    while len(losses) < steps:
        data = DataLoader(TensorDataset(pictures, classes), batch_size=24, shuffle=True, num_workers=workers)
        for batch, labels in data:
            loss = nn.functional.cross_entropy(model(batch), labels)
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            each(len(losses) - 1, writer)
    if writer is not None:
        writer.close()
    return losses, list(model.state_dict().items()), optimizer.state_dict()["state"], states()


def assert_same(one, two):
    assert one[0] == two[0]
    assert [name for name, _ in one[1]] == [name for name, _ in two[1]]
    for (_, left), (_, right) in zip(one[1], two[1], strict=True):
        assert left.numpy().tobytes() == right.numpy().tobytes()
    for key, kept in one[2].items():
        assert all(torch.equal(value, two[2][key][name]) for name, value in kept.items())
    assert one[3] == two[3]


def steps_of(model, optimizer, count):
    """Train a model of digits."""
    inputs, classes = digits(16)
    for _ in range(count):
        nn.functional.cross_entropy(model(inputs), classes).backward()
        optimizer.step()
        optimizer.zero_grad()
