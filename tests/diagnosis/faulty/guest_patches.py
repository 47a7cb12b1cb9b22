"""Transformers over patches of pictures: one that forgot to keep what it had, and one that knows its few by heart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW

from tests.diagnosis.data import Part, digits
from tests.diagnosis.faulty.blind_losses import cells
from tests.diagnosis.faulty.losses import rising
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.representations import alike
from tests.diagnosis.networks import Block
from tests.diagnosis.proof import outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit


class Unkept(Block):
    """A transformer block in which attention takes the place of what was there, instead of being added to it."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, places, width]."""
        hidden = self.attention(self.norm1(inputs))
        added: Tensor = hidden + self.down(self.act(self.up(self.norm2(hidden))))
        return added


class Covered(nn.Module):
    """Says of each of sixteen patches of a picture how much of it is covered."""

    def __init__(self, block: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.embed, self.place = nn.Conv2d(1, 24, 4, stride=4), nn.Parameter(0.02 * torch.randn(16, 24))
        self.blocks = nn.Sequential(*(block(24) for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 16] of pictures [n, 1, 16, 16]."""
        patches = self.embed(pictures).flatten(2).transpose(1, 2) + self.place
        scores: Tensor = self.head(self.norm(self.blocks(patches)))[..., 0]
        return scores


def patches_not_kept(trial: Trial) -> Truth:
    """`x = attention(norm(x))` where `x = x + …` was meant, in all of three blocks: all patches become one."""
    pixels = cells(trial.seed)
    data = Part(pixels.inputs, functional.avg_pool2d(pixels.targets, 4).flatten(1))
    model, other, criterion = Covered(Unkept), Covered(Block), nn.BCEWithLogitsLoss()
    optimizer, draw = AdamW(model.parameters(), lr=2e-3), data.batches(20, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.first(60), every=4, steps=120)
    again = data.batches(20, trial.seed)
    better = control(other, again, AdamW(other.parameters(), lr=2e-3), criterion, steps=120)
    least = float(functional.binary_cross_entropy(data.targets, data.targets))
    worse(history.end - least, better - least, 3.0)
    last = outputs(model, "blocks.2", data.inputs[:100])
    spread = float((last - last.mean(1, keepdim=True)).norm() / last.norm())
    require(spread < 0.15, f"patches differ by {spread:.3g}")
    parts = ("", ".attention", ".attention.qkv", ".attention.out", ".up", ".down")
    return alike(last, tuple(f"blocks.{at}{part}" for at in range(3) for part in parts), 0.97)


class VisionTransformer(nn.Module):
    """Patches of 2 × 2, a token for the class in front, and blocks."""

    def __init__(self, width: int, depth: int, block: Callable[[int], nn.Module] = Block) -> None:
        super().__init__()
        self.patch_embed, self.cls_token = nn.Conv2d(1, width, 2, stride=2), nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 17, width))
        self.blocks = nn.Sequential(*(block(width) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10] of pictures [n, 1, 8, 8]."""
        patches = self.patch_embed(pictures).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1) + self.pos_embed
        scores: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return scores


def few_pictures(trial: Trial) -> Truth:
    """A vision transformer from scratch on a hundred noisy pictures, seen over and over; logged by the epoch."""
    data, generator = digits(trial.seed, flat=False), torch.Generator().manual_seed(trial.seed)
    train, held_out = (
        Part(part.inputs + 0.6 * torch.randn(part.inputs.shape, generator=generator), part.targets)
        for part in (data.train.first(100), data.held_out)
    )
    model, criterion, history = VisionTransformer(32, 2), nn.CrossEntropyLoss(), History([], {})
    optimizer = AdamW(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(36):
            losses = []
            for chosen in torch.randperm(100, generator=generator).split(25):
                loss = criterion(model(train.inputs[chosen]), train.targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            history.train.extend(losses)
            history.validation[len(history.train) - 1] = evaluate(model, criterion, held_out)
            writer.add_scalar("loss/train", sum(losses) / len(losses), writer.step)
            writer.add_scalar("loss/validation", history.validation[len(history.train) - 1], writer.step)
    return rising(history)


SCENARIOS = (
    Scenario(
        "smoothed-patches-transformer",
        "transformer",
        TUNING,
        patches_not_kept,
        ("oversmoothing", "representation_collapse"),
        ("underfitting", "loss_plateau"),
    ),
    Scenario("by-heart-patches-transformer", "transformer", TUNING, few_pictures, ("overfitting",)),
)
