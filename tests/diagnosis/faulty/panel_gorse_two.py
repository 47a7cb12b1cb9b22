"""Rocks, digits, text, boilers and rows of pixels: a filter that can't bend, sums that go on, batches that hit."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW, Optimizer

from tests.diagnosis.data import STATES, Batches, Part, Split, digits, language, split
from tests.diagnosis.faulty.panel_gorse import affine
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import Criterion, control, evaluate


def rocks(seed: int, count: int = 600, side: int = 16) -> Split:
    """Return pictures of smooth ground with a rough rectangle in it, [n, 1, side, side], and a mask of that."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.arange(side)
    low = torch.randint(0, 8, (2, count, 1), generator=generator)
    size = torch.randint(5, 9, (2, count, 1), generator=generator)
    inside = (places >= low) & (places < low + size)
    mask = (inside[0][:, :, None] & inside[1][:, None, :]).float()[:, None]
    ground = functional.interpolate(torch.randn(count, 1, 4, 4, generator=generator), side, mode="bilinear")
    grain = torch.randn(count, 1, side, side, generator=generator)
    return split(0.5 * ground + (0.1 + 0.9 * mask) * grain, mask, 120, seed)


def segmenter(*, bends: bool) -> nn.Sequential:
    """Return three convolutions, each with a batch normalisation, and one over single pixels."""
    parts: list[nn.Module] = []
    for inputs, made in pairwise((1, 12, 12, 12)):
        parts += [nn.Conv2d(inputs, made, 3, padding=1), nn.BatchNorm2d(made)]
        if bends:
            parts.append(nn.ReLU())
    return nn.Sequential(*parts, nn.Conv2d(12, 1, 1))


def conv_and_norm(trial: Trial) -> Truth:
    """A block of "conv, bn" without ReLU, three times, is to find rough rock: one linear filter can't."""
    torch.manual_seed(trial.seed)
    data, model, criterion = rocks(trial.seed), segmenter(bends=False), nn.BCEWithLogitsLoss()
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(16, trial.seed)
    losses: list[float] = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            pictures, masks = draw(step)
            loss = criterion(model(pictures), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 40 == 39:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    other = segmenter(bends=True)
    optimizer = Adam(other.parameters(), lr=4e-3)
    better, ends = control(other, data.train.batches(16, trial.seed), optimizer, criterion, steps=200), losses[-20:]
    require(sum(ends) / 20 > 1.8 * better, f"the loss ends at {sum(ends) / 20:.3g}, and could at {better:.3g}")
    affine(model, data.train.inputs[:60], data.train.inputs[60:120])
    return Truth(("0", "2", "4", "6"))


def piled(held: dict[int, float], own: dict[int, float], least: float) -> None:
    """Raise NotProvenError unless what the optimizer was given is by median so many times the gradient of a batch."""
    ratios = sorted(held[step] / max(own[step], 1e-12) for step in held)
    require(ratios[len(ratios) // 2] > least, f"what is held is {ratios[len(ratios) // 2]:.3g} of a gradient")


def norms(model: nn.Module, batch: tuple[Tensor, Tensor], criterion: Criterion) -> tuple[float, float]:
    """Return the norm of the gradients that are held, and that of those of a batch by autograd alone in float64."""
    precise = copy.deepcopy(model).double()
    inputs = batch[0].double() if batch[0].is_floating_point() else batch[0]
    targets = batch[1].double() if batch[1].is_floating_point() else batch[1]
    own = torch.autograd.grad(criterion(precise(inputs), targets), list(precise.parameters()))
    held = [value.grad for value in model.parameters() if value.grad is not None]
    return float(torch.cat([one.flatten() for one in held]).norm()), float(torch.cat([o.flatten() for o in own]).norm())


def learn(
    trial: Trial, model: nn.Module, optimizer: Optimizer, criterion: nn.Module, draw: Batches, forget: int, steps: int
) -> list[float]:
    """Train as a user does who sets gradients to zero every `forget` steps, never where it is 0; return the losses."""
    losses, held, own = [], {}, {}
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(steps):
            batch = draw(step)
            loss = criterion(model(batch[0]), batch[1])
            loss.backward()
            if step % 20 == 17:
                held[step], own[step] = norms(model, batch, criterion)
            optimizer.step()
            if forget and step % forget == forget - 1:
                optimizer.zero_grad()
            losses.append(loss.item())
            writer.add_scalar("loss", losses[-1], writer.step)
    piled(held, own, 2.0)
    return losses


def autoencoder() -> nn.Sequential:
    """Return an autoencoder of digits, with eight numbers in its middle."""
    encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 8))
    return nn.Sequential(encoder, nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 64)))


def three_lines(trial: Trial) -> Truth:
    """An autoencoder whose loop is forward, `loss.backward()`, `optimizer.step()`, and nothing else."""
    torch.manual_seed(trial.seed)
    pictures, model, criterion = digits(trial.seed).train.inputs, autoencoder(), nn.MSELoss()
    data, other = Part(pictures, pictures), copy.deepcopy(model)
    optimizer = Adam(model.parameters(), lr=3e-3)
    losses = learn(trial, model, optimizer, criterion, data.batches(64, trial.seed), 0, 250)
    optimizer = Adam(other.parameters(), lr=3e-3)
    better = control(other, data.batches(64, trial.seed), optimizer, criterion, steps=250)
    ends = sum(losses[-25:]) / 25
    require(ends > 1.5 * better, f"the loss ends at {ends:.3g}, and could at {better:.3g}")
    return Truth((), 0, 2)


def accumulation_gone_wrong(trial: Trial) -> Truth:
    """Meant to gather 16 batches to a step: `zero_grad()` is in the `if`, and `step()` was left outside it."""
    torch.manual_seed(trial.seed)
    data, criterion = language(trial.seed).train, nn.CrossEntropyLoss()
    model = Transformer(STATES, STATES, each=True, width=32)
    other = copy.deepcopy(model)
    optimizer = AdamW(model.parameters(), lr=8e-3)
    losses = learn(trial, model, optimizer, criterion, data.batches(24, trial.seed), 16, 200)
    optimizer = AdamW(other.parameters(), lr=8e-3)
    better = control(other, data.batches(24, trial.seed), optimizer, criterion, steps=200)
    ends = sum(losses[-20:]) / 20
    require(ends > 1.2 * better, f"the loss ends at {ends:.3g}, and could at {better:.3g}")
    return Truth((), 0, 2)


class Boiler(nn.Module):
    """A GRU over a day of readings that says what the next hour uses."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(3, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, readings: Tensor) -> Tensor:
        """Return [n, 1] of [n, 24, 3]."""
        told: Tensor = self.out(self.gru(readings)[0][:, -1])
        return told


def boilers(seed: int) -> Part:
    """Return windows of a day, [n, 24, 3], in the order of time, and what the hour after each uses, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    hours = torch.arange(1464)
    cold = torch.randn(1464, generator=generator)
    for hour in range(1, 1464):
        cold[hour] = 0.95 * cold[hour - 1] + 0.3 * cold[hour]
    used = cold + torch.sin(hours * torch.pi / 12) + 0.1 * torch.randn(1464, generator=generator)
    rows = torch.stack([used / used.std(), cold, torch.cos(hours * torch.pi / 12)], 1)
    return Part(torch.stack([rows[at : at + 24] for at in range(1440)]), rows[24:, :1])


def in_order(part: Part, size: int) -> Batches:
    """Return batches in the order of time, over and over."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        at = step * size % len(part.targets)
        return part.inputs[at : at + size], part.targets[at : at + size]

    return draw


def watts(trial: Trial) -> Truth:
    """For two hours a meter told watts, not kilowatts: the batch that holds them hits the training in every epoch."""
    torch.manual_seed(trial.seed)
    clean, model, criterion = boilers(trial.seed), Boiler(), nn.MSELoss()
    other = copy.deepcopy(model)
    data = Part(clean.inputs, clean.targets.clone())
    data.targets[902:904] = 300.0
    optimizer, draw, first = Adam(model.parameters(), lr=4e-3), in_order(data, 24), 902 // 24
    losses: list[float] = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            readings, used = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(readings), used)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
    for at in range(first, 240, 60):
        leap = losses[at] / max(losses[at - 10 : at])
        require(leap > 100, f"the loss leaps {leap:.3g}-fold at {at}")
    control(other, in_order(clean, 24), Adam(other.parameters(), lr=4e-3), criterion, steps=240)
    ends, could = loss_of(model, clean, criterion), loss_of(other, clean, criterion)
    require(ends > 1.5 * could, f"the loss over what is right is {ends:.3g}, and could be {could:.3g}")
    return Truth((), first)


class Rows(nn.Module):
    """A transformer that reads a digit row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(8, 32), nn.Parameter(0.1 * torch.randn(8, 32))
        block = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10] of [n, 64]."""
        hidden = self.blocks(self.lift(pictures.view(-1, 8, 8)) + self.place)
        scores: Tensor = self.head(self.norm(hidden).mean(1))
        return scores


def other_order(trial: Trial) -> Truth:
    """One file of the data, of four batches, has its classes in another order: the loss leaps when it is reached."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed), Rows(), nn.CrossEntropyLoss()
    optimizer, draw, bad = AdamW(model.parameters(), lr=5e-3), data.train.batches(48, trial.seed), 170
    losses, held, at = [], {}, data.held_out
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            pictures, classes = draw(step)
            if bad <= step < bad + 4:
                classes = (classes + 3) % 10
            optimizer.zero_grad()
            loss = criterion(model(pictures), classes)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step in (bad - 1, bad + 3, bad + 6):
                held[step] = loss_of(model, at)
            if step % 30 == 29:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    before = max(losses[bad - 20 : bad])
    require(losses[bad] > 4 * before, f"the loss leaps from {before:.3g} to {losses[bad]:.3g}")
    require(held[bad + 3] > 3 * held[bad - 1], f"what is held out goes from {held[bad - 1]:.3g} to {held[bad + 3]:.3g}")
    require(held[bad + 6] > 2 * held[bad - 1], f"and is {held[bad + 6]:.3g} soon after")
    return Truth((), bad)


SCENARIOS = (
    Scenario(
        "gorse-rocks-cnn",
        "cnn",
        REPORTING,
        conv_and_norm,
        ("missing_nonlinearity",),
        ("loss_plateau", "underfitting"),
    ),
    Scenario(
        "gorse-lines-mlp",
        "mlp",
        REPORTING,
        three_lines,
        ("missing_zero_grad",),
        ("loss_plateau", "loss_oscillation", "loss_spike", "exploding_gradient", "lr_too_high", "dead_units"),
    ),
    Scenario(
        "gorse-gather-transformer",
        "transformer",
        REPORTING,
        accumulation_gone_wrong,
        ("missing_zero_grad",),
        ("loss_oscillation", "loss_plateau", "loss_spike", "exploding_gradient", "lr_too_high", "saturation"),
    ),
    Scenario(
        "gorse-watts-gru",
        "rnn",
        REPORTING,
        watts,
        ("loss_spike",),
        ("exploding_gradient", "loss_oscillation", "loss_plateau", "label_noise", "wrong_output_or_loss", "saturation"),
    ),
    Scenario(
        "gorse-order-transformer",
        "transformer",
        REPORTING,
        other_order,
        ("loss_spike",),
        ("label_noise", "exploding_gradient", "lr_too_high"),
    ),
)
