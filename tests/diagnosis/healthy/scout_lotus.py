"""Healthy trainings that look ill: sharp attention that is meant, summed losses, strong decay, mixed pictures."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.proof import accuracy, calm, learned, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


def shelves(seed: int) -> Split:
    """Return eight pairs of a shelf and what is on it and a shelf that is asked for, [n, 9, 2], and what is on that."""
    generator = torch.Generator().manual_seed(seed)
    names = torch.rand(4000, 12, generator=generator).argsort(1)[:, :8]
    things = torch.randint(6, (4000, 8), generator=generator)
    asked = torch.randint(8, (4000, 1), generator=generator)
    question = torch.stack([names.gather(1, asked), torch.full((4000, 1), 6)], 2)
    return split(torch.cat([torch.stack([names, things], 2), question], 1), things.gather(1, asked)[:, 0], 600, seed)


class Lookup(nn.Module):
    """The last place looks among the others, by attention of one head, and answers by what it finds."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.shelf, self.thing = nn.Embedding(12, width), nn.Embedding(7, width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.softmax, self.norm, self.head = nn.Softmax(-1), nn.LayerNorm(width), nn.Linear(width, 6)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [n, 6] of [n, 9, 2]."""
        hidden = self.shelf(pairs[..., 0]) + self.thing(pairs[..., 1])
        query, others = self.query(hidden[:, -1:]), hidden[:, :-1]
        weights = self.softmax(query @ self.key(others).mT / hidden.shape[-1] ** 0.5)
        told: Tensor = self.head(self.norm((weights @ self.value(others))[:, 0]))
        return told


def lookup(trial: Trial) -> None:
    """What is on the shelf asked for: attention ends at nearly one for a single place, as the task has it."""
    data = shelves(trial.seed)
    torch.manual_seed(trial.seed)
    model = Lookup()
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(64, trial.seed)
    schedule = OneCycleLR(optimizer, 8e-3, total_steps=300)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, schedule=schedule, every=2, steps=300)
    weights = outputs(model, "softmax", data.held_out.inputs)[:, 0]
    right = (data.held_out.inputs[:, :-1, 0] == data.held_out.inputs[:, -1:, 0]).double()
    share = float((weights * right).sum(1).mean())
    require(share > 0.85, f"the right place gets {share:.2f} of the attention")
    learned(model, data.held_out, 0.95)
    calm(history, 0.4)


class Household(nn.Module):
    """A GRU that tells from two days of a household's load the next twelve hours."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 32, batch_first=True), nn.Linear(32, 12)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, 12] of [n, 48, 3]."""
        told: Tensor = self.head(self.rnn(hours)[0][:, -1])
        return told


def summed_load(trial: Trial) -> None:
    """The error is summed over 64 households and 12 hours, so gradients are in the hundreds; Adam doesn't mind."""
    generator = torch.Generator().manual_seed(trial.seed)
    hours = torch.arange(60.0)
    phase, size = 24 * torch.rand(1500, 1, generator=generator), 0.7 + 0.6 * torch.rand(1500, 1, generator=generator)
    angle = 2 * torch.pi * (hours + phase) / 24
    load = size * (angle.sin() + 0.5 * (2 * angle).cos()) + 0.15 * torch.randn(1500, 60, generator=generator)
    clock = torch.stack([angle.sin(), angle.cos()], 2)
    rows = torch.cat([load[..., None], clock], 2)[:, :48]
    data, criterion = split(rows, load[:, 48:], 300, trial.seed), nn.MSELoss(reduction="sum")
    torch.manual_seed(trial.seed)
    model = Household()
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(64, trial.seed)
    history, norms = History([], {}), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            norms.append(float(nn.utils.get_total_norm([v.grad for v in model.parameters() if v.grad is not None])))
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("sse/train", loss.item(), writer.step)
    mean, draw = nn.MSELoss(), data.train.batches(64, trial.seed)
    control(other, draw, Adam(other.parameters(), lr=4e-3), mean, steps=220)
    does, should = (loss_of(one, data.held_out, mean) for one in (model, other))
    require(max(norms) > 200, f"the gradients are {max(norms):.3g} at most")
    require(does < 1.1 * should, f"the error is {does:.3g}, and {should:.3g} with means")
    require(does < 0.12 * float(data.held_out.targets.var()), f"the error is {does:.3g}")
    calm(history)


def strong_decay(trial: Trial) -> None:
    """Three hundred poor copies of digits, dropout of a half and AdamW's decay of 0.5, which are better than none."""
    clean, generator = digits(trial.seed), torch.Generator().manual_seed(trial.seed)
    train, held = (
        Part(part.inputs + torch.randn(part.inputs.shape, generator=generator), part.targets)
        for part in (clean.train.first(300), clean.held_out)
    )
    torch.manual_seed(trial.seed)
    model, other = (
        nn.Sequential(
            *(nn.Dropout(drop / 2), nn.Linear(64, 192), nn.GELU(), nn.Dropout(drop)),
            *(nn.Linear(192, 64), nn.GELU(), nn.Dropout(drop), nn.Linear(64, 10)),
        )
        for drop in (0.5, 0.0)
    )
    other.load_state_dict(dict(zip(other.state_dict(), model.state_dict().values(), strict=True)))
    optimizer, draw = AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.5), train.batches(40, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=held, every=2, steps=180)
    control(other, train.batches(40, trial.seed), AdamW(other.parameters(), lr=1.5e-3, weight_decay=0), steps=180)
    does, should = accuracy(model, held), accuracy(other, held)
    require(does > 0.68 and does > should - 0.015, f"{does:.3f} are right, and {should:.3f} without")
    require(loss_of(model, held) < loss_of(other, held), "the loss held out is lower without")
    calm(history, 0.4)


def mixed_pictures(trial: Trial) -> None:
    """Digits are mixed in pairs, smoothed and noisy in training and clean in evaluation, whose loss is far lower."""
    data = digits(trial.seed, flat=False)
    torch.manual_seed(trial.seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    other = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    schedule, criterion = CosineAnnealingLR(optimizer, 240), nn.CrossEntropyLoss(label_smoothing=0.05)
    generator, draw = torch.Generator().manual_seed(trial.seed), data.train.batches(48, trial.seed)
    history = History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            pictures, classes = draw(step)
            noise = 0.3 * torch.randn(pictures.shape, generator=generator)
            share, order = float(torch.rand(1, generator=generator)), torch.randperm(48, generator=generator)
            mixed = share * pictures + (1 - share) * pictures[order] + noise
            hot = functional.one_hot(classes, 10).float()
            loss = criterion(model(mixed), share * hot + (1 - share) * hot[order])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            history.train.append(loss.item())
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, nn.CrossEntropyLoss(), data.held_out)
                writer.add_scalar("loss/val", history.validation[step], writer.step)
                writer.add_scalar("accuracy/val", accuracy(model, data.held_out), writer.step)
    control(other, data.train.batches(48, trial.seed), SGD(other.parameters(), lr=0.05, momentum=0.9), steps=240)
    does, should, losses = (
        accuracy(model, data.held_out),
        accuracy(other, data.held_out),
        [*history.validation.values()],
    )
    require(does > 0.96 and does > should - 0.025, f"{does:.3f} are right, and {should:.3f} if trained on clean ones")
    require(losses[-1] < 0.6 * history.end and losses[-1] < 1.1 * min(losses), f"the losses held out are {losses}")


SCENARIOS = (
    Scenario("lotus-lookup-transformer", "transformer", TUNING, lookup),
    Scenario("lotus-summed-load-gru", "rnn", TUNING, summed_load),
    Scenario("lotus-strong-decay-mlp", "mlp", TUNING, strong_decay),
    Scenario("lotus-mixed-cnn", "cnn", TUNING, mixed_pictures),
)
