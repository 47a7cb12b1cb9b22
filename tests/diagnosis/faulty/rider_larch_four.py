"""Gradients that are all cut to one length: in a language model, and where boxes are found."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.optim import SGD

from tests.diagnosis.data import Part, Split, language, split
from tests.diagnosis.faulty.rider_larch import harmed
from tests.diagnosis.proof import double, require, widened
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import Criterion, control, fit


def clipped(model: nn.Module, part: Part, criterion: Criterion, most: float, over: float) -> None:
    """Raise NotProvenError unless nearly all of forty batches have a gradient so many times as long as is let pass."""
    precise, draw, long = double(model), part.batches(32, 99), 0
    for step in range(40):
        inputs, targets = draw(step)
        loss = criterion(precise(widened(inputs)), widened(targets))
        found = torch.autograd.grad(loss, list(precise.parameters()))
        long += math.sqrt(sum(float(one.square().sum()) for one in found)) > over * most
    require(long >= 38, f"only {long} of 40 gradients are longer")


class Chain(nn.Module):
    """PyTorch's own encoder with a causal mask, over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(20, 32), nn.Embedding(16, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.lm_head = nn.Linear(32, 20)
        self.register_buffer("mask", torch.ones(16, 16, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        hidden = self.embed(tokens) + self.place(torch.arange(tokens.shape[1]))
        scores: Tensor = self.lm_head(self.encoder(hidden, mask=self.mask))
        return scores.transpose(1, 2)


def tight_norm(trial: Trial) -> Truth:
    """`clip_grad_norm_(model.parameters(), 0.01)` and SGD in a small language model, to be on the safe side."""
    torch.manual_seed(trial.seed)
    data, model, criterion = language(trial.seed), Chain(), nn.CrossEntropyLoss()
    other, losses, draw = copy.deepcopy(model), [], data.train.batches(32, trial.seed)
    clipped(model, data.train, criterion, 0.01, 10)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(150):
            tokens, following = draw(step)
            loss = criterion(model(tokens), following)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
    clipped(model, data.train, criterion, 0.01, 5)
    optimizer = SGD(other.parameters(), lr=0.1, momentum=0.9)
    harmed(sum(losses[-15:]) / 15, control(other, data.train.batches(32, trial.seed), optimizer, steps=150, clip=5.0))
    return Truth()


class Finder(nn.Module):
    """Convolutions with strides, then where the box is, in pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()
        )
        self.box = nn.Sequential(nn.Linear(16 * 36, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return left, top, width and height, [n, 4]."""
        found: Tensor = self.box(self.features(pictures))
        return found


def boxes(seed: int, count: int = 800) -> Split:
    """Return pictures [n, 1, 24, 24] of a bright box on noise, and its left, top, width and height in pixels."""
    generator = torch.Generator().manual_seed(seed)
    sizes = 4 + 8 * torch.rand(count, 2, generator=generator)
    corners = (24 - sizes) * torch.rand(count, 2, generator=generator)
    axis = torch.arange(24.0)
    across, down = ((axis >= corners[:, [i]]) & (axis < corners[:, [i]] + sizes[:, [i]]) for i in range(2))
    pictures = (down[:, :, None] & across[:, None]).float() + 0.2 * torch.randn(count, 24, 24, generator=generator)
    return split(pictures[:, None], torch.cat([corners, sizes], 1), 160, seed)


def summed_boxes(trial: Trial) -> Truth:
    """Boxes in pixels by a squared error that is summed, and the usual clipping at 1.0: gradients are hundreds long."""
    torch.manual_seed(trial.seed)
    data, model, criterion = boxes(trial.seed), Finder(), nn.MSELoss(reduction="sum")
    other, draw = copy.deepcopy(model), data.train.batches(32, trial.seed)
    optimizer = SGD(model.parameters(), lr=2e-5, momentum=0.9)
    clipped(model, data.train, criterion, 1.0, 100)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, clip=1.0, every=2, steps=160)
    clipped(model, data.train, criterion, 1.0, 100)
    optimizer = SGD(other.parameters(), lr=2e-5, momentum=0.9)
    harmed(history.end, control(other, data.train.batches(32, trial.seed), optimizer, criterion, steps=160), 2)
    return Truth()


SCENARIOS = (
    Scenario(
        "larch-clip-chain-transformer",
        "transformer",
        TUNING,
        tight_norm,
        ("clip_saturated",),
        ("lr_too_low", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "larch-clip-boxes-cnn",
        "cnn",
        TUNING,
        summed_boxes,
        ("clip_saturated",),
        ("lr_too_low", "loss_plateau", "poor_init"),
    ),
)
