"""What has learned already and is to learn something else: adapters, anchors, rates and batches that hinder it."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Part, Split, digits, language, majorities, split
from tests.diagnosis.faulty.blind_layers import unheard
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Recurrent, Transformer, mlp
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Beside(nn.Linear):
    """A linear layer that is frozen, and the product of two narrow ones beside it, which begins at zero."""

    def __init__(self, frozen: nn.Linear, rank: int = 8) -> None:
        super().__init__(frozen.in_features, frozen.out_features)
        self.load_state_dict(frozen.state_dict())
        self.requires_grad_(False)
        self.lora_a = nn.Linear(frozen.in_features, rank, bias=False)
        self.lora_b = nn.Linear(rank, frozen.out_features, bias=False)
        nn.init.zeros_(self.lora_b.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what all of them make."""
        made: Tensor = super().forward(inputs) + 2 * self.lora_b(self.lora_a(inputs))
        return made


class Attending(nn.Module):
    """A block with torch's own attention, whose last layer that attention reads the weights of, and never calls."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = nn.MultiheadAttention(width, 4, batch_first=True), mlp((width, 2 * width, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs with what attention and the two linear layers add."""
        normal = self.norm1(inputs)
        hidden = inputs + self.attention(normal, normal, normal, need_weights=False)[0]
        added: Tensor = hidden + self.mlp(self.norm2(hidden))
        return added


class Lines(nn.Module):
    """A transformer over the lines of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(8, 32), nn.Parameter(0.1 * torch.randn(8, 32))
        self.blocks = nn.Sequential(Attending(32), Attending(32))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10] of [n, 64]."""
        hidden = self.blocks(self.lift(pictures.view(-1, 8, 8)) + self.place)
        scores: Tensor = self.head(self.norm(hidden).mean(1))
        return scores


def upside_down(part: Part) -> Part:
    """Return pictures that stand on their heads."""
    return Part(part.inputs.view(-1, 8, 8).flip(1).flatten(1), part.targets)


def adapters_on_attention(trial: Trial) -> Truth:
    """LoRA on `out_proj` of torch's own attention, which takes that layer's weights and passes the adapters by."""
    data, model = digits(trial.seed), Lines()
    control(model, data.train.batches(48, trial.seed), Adam(model.parameters(), lr=4e-3), steps=80)
    turned = Split(upside_down(data.train), upside_down(data.held_out))
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    other = copy.deepcopy(model)
    for block, second in zip(model.blocks, other.blocks, strict=True):
        block.attention.out_proj = Beside(block.attention.out_proj)
        second.mlp.fc1, second.mlp.head = Beside(second.mlp.fc1), Beside(second.mlp.head)
    optimizers = [
        AdamW([value for value in one.parameters() if value.requires_grad], lr=5e-3, weight_decay=0.0)
        for one in (model, other)
    ]
    draw = turned.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizers[0], validation=turned.held_out, every=2, steps=140)
    worse(history.end, control(other, turned.train.batches(32, trial.seed), optimizers[1], steps=140), 1.5)
    names = [f"blocks.{at}.attention.out_proj.{part}" for at in range(2) for part in ("lora_a", "lora_b")]
    unheard(model, tuple(names), turned.train.first(256))
    return Truth((*names, "blocks.0.attention.out_proj", "blocks.1.attention.out_proj"))


def wards(seed: int, mixing: Tensor) -> Split:
    """Return twelve hours of four readings, [n, 12, 4], and what became of patients, of three, by a mix of readings."""
    generator = torch.Generator().manual_seed(seed)
    hours = torch.randn(1000, 12, 4, generator=generator) + torch.randn(1000, 1, 4, generator=generator)
    score = hours.mean(1) @ mixing + hours[:, -3:].mean(1) @ mixing.roll(1, 0)
    return split(hours, (score + 0.3 * torch.randn(1000, 3, generator=generator)).argmax(1), 200, seed)


def anchored(trial: Trial) -> Truth:
    """A GRU of one hospital is tuned to another; leaving its old weights costs a thousand times what it should."""
    generator = torch.Generator().manual_seed(trial.seed)
    here, there = torch.randn(4, 3, generator=generator), torch.randn(4, 3, generator=generator)
    before, after = wards(trial.seed, here), wards(trial.seed + 10, 0.3 * here + there)
    model, entropy = Recurrent(nn.GRU, 3), nn.CrossEntropyLoss()
    control(model, before.train.batches(48, trial.seed), Adam(model.parameters(), lr=1e-2), steps=80)
    other, anchors = copy.deepcopy(model), [value.detach().clone() for value in model.parameters()]
    optimizer, draw, ends = (
        AdamW(model.parameters(), lr=5e-3, weight_decay=0.0),
        after.train.batches(32, trial.seed),
        [],
    )
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(170):
            hours, became = draw(step)
            scores = model(hours)
            task = entropy(scores, became)
            away = sum((one - old).square().sum() for one, old in zip(model.parameters(), anchors, strict=True))
            loss = task + 10.0 * away
            writer.observe(outputs=scores, targets=became, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ends.append(float(task.detach()))
            writer.add_scalar("train/loss", loss.detach(), writer.step)
            writer.add_scalar("train/ce", ends[-1], writer.step)
            writer.add_scalar("train/l2_sp", (10.0 * away).detach(), writer.step)
    better = control(other, after.train.batches(32, trial.seed), AdamW(other.parameters(), lr=5e-3), steps=170)
    worse(sum(ends[-20:]) / 20, better)
    return Truth()


def tuned_as_prompts(trial: Trial) -> Truth:
    """A language model that knows a dialect is tuned to its neighbour at 0.3, a rate for prompts, and forgets both."""
    old, new = (language(trial.seed + shift, length=12).train for shift in (0, 100))
    mixed = Part(torch.cat([old.inputs, new.inputs[:200]]), torch.cat([old.targets, new.targets[:200]]))
    model = Transformer(20, 20, length=12, each=True)
    control(model, old.batches(24, trial.seed), Adam(model.parameters(), lr=5e-3), steps=80)
    other, first = copy.deepcopy(model), loss_of(model, mixed)
    optimizer, criterion = AdamW(model.parameters(), lr=0.3), nn.CrossEntropyLoss()
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 10, 1.0))
    draw, losses = mixed.batches(16, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=3, on_finding="ignore")
        for step in range(130):
            words, following = draw(step)
            loss = criterion(model(words), following)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            if step % 10 == 9:
                writer.add_scalar("train/loss", sum(losses[-10:]) / 10, writer.step)
                writer.add_scalar("train/learning_rate", schedule.get_last_lr()[0], writer.step)
    control(other, mixed.batches(16, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=130, clip=1.0)
    last = loss_of(model, mixed)
    worse(last, loss_of(other, mixed), 1.25)
    require(last > first, f"the loss fell from {first:.3g} to {last:.3g}")
    return Truth()


def pairs(trial: Trial) -> Truth:
    """No more than two sequences fitted into memory; the rate remained that for 48, and each step undoes the last."""
    data, model = majorities(trial.seed), Transformer(12, 3, depth=1)
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.2, momentum=0.9)
    draw = data.train.batches(2, trial.seed)
    history = fit(trial, model, draw, optimizer, functional.cross_entropy, validation=data.held_out, every=3, steps=300)
    optimizer = SGD(other.parameters(), lr=0.2, momentum=0.9)
    control(other, data.train.batches(48, trial.seed), optimizer, steps=200)
    worse(loss_of(model, data.train), loss_of(other, data.train))
    late = np.array(history.train[150:])
    require(np.abs(np.diff(late)).mean() > 0.5 * late.mean(), f"it swings by {np.abs(np.diff(late)).mean():.3g}")
    require(accuracy(model, data.train) < accuracy(other, data.train) - 0.1, "it is no worse")
    return Truth()


SCENARIOS = (
    Scenario(
        "unused-adapters-transformer",
        "transformer",
        TUNING,
        adapters_on_attention,
        ("unused_parameter",),
        ("layer_not_training", "underfitting"),
    ),
    Scenario("held-anchor-gru", "rnn", TUNING, anchored, ("over_regularised",), ("underfitting", "loss_plateau")),
    Scenario(
        "high-tuned-transformer",
        "transformer",
        TUNING,
        tuned_as_prompts,
        ("lr_too_high",),
        ("loss_plateau", "loss_spike"),
    ),
    Scenario(
        "swings-pairs-transformer",
        "transformer",
        TUNING,
        pairs,
        ("loss_oscillation", "lr_too_high"),
        ("loss_plateau", "underfitting"),
    ),
)
