"""Healthy trainings: prices as they stand, gradients of four batches added up, views that agree, and a policy."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, communities, digits, majorities, split
from tests.diagnosis.networks import Gcn, Transformer, cnn
from tests.diagnosis.proof import accuracy, calm, double, generalises, loss_of, require, sound, widened
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Prices(nn.Module):
    """A GRU over windows of prices, each of which it centres and scales for itself, and undoes it at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, window: Tensor) -> Tensor:
        """Return prices [n, 1] of [n, 24, 1]."""
        mean, spread = window.mean(1, keepdim=True), window.std(1, keepdim=True) + 1e-3
        states, _ = self.gru((window - mean) / spread)
        told: Tensor = window[:, -1] + self.head(states[:, -1]) * spread[:, 0]
        return told


def loads(seed: int) -> Split:
    """Return a day of what a grid delivers, 20,000 to 60,000 megawatts, [n, 24, 1], and it two hours on, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    level = 35000 + 8000 * torch.rand(2000, 1, generator=generator)
    hours = 24 * torch.rand(2000, 1, generator=generator) + torch.arange(26)
    swing = 6000 + 3000 * torch.rand(2000, 1, generator=generator)
    load = level + swing * (hours * math.tau / 24).sin() + 0.3 * swing * (hours * math.tau / 12 + 1).sin()
    load = load + 250 * torch.randn(2000, 26, generator=generator)
    return split(load[:, :24, None], load[:, 25:], 400, seed)


def megawatts(trial: Trial) -> None:
    """Loads of a grid as they stand, some 40,000: the network scales each window itself, and learns as from scaled."""
    torch.manual_seed(trial.seed)
    data, model, criterion = loads(trial.seed), Prices(), RelativeError()
    other, history = copy.deepcopy(model), History([], {})
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            window, later = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(window), later)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 30 == 29:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val/loss", history.validation[step], writer.step)
    mean, spread = data.train.inputs.mean(), data.train.inputs.std()
    scaled = Part((data.train.inputs - mean) / spread, (data.train.targets - mean) / spread)
    held = Part((data.held_out.inputs - mean) / spread, (data.held_out.targets - mean) / spread)

    def like(told: Tensor, known: Tensor) -> Tensor:
        error: Tensor = criterion(told * spread, known * spread)
        return error

    control(other, scaled.batches(64, trial.seed), Adam(other.parameters(), lr=5e-3), like, steps=240)
    does, would = loss_of(model, data.held_out, criterion), loss_of(other, held, like)
    stays = float(criterion(data.held_out.inputs[:, -1], data.held_out.targets))
    require(does < 0.08 * stays, f"the loss is {does:.3g}, and if it stayed as it is {stays:.3g}")
    require(does < 1.2 * would, f"the loss is {does:.3g}, and of scaled windows {would:.3g}")
    generalises(history)
    calm(history)


class RelativeError(nn.Module):
    """The mean square error in units of 5,000 megawatts."""

    def forward(self, told: Tensor, known: Tensor) -> Tensor:
        """Return it."""
        error: Tensor = functional.mse_loss(told / 5000, known / 5000)
        return error


def grads_to_none(trial: Trial) -> None:
    """A graph network, before whose every step `p.grad = None` stands for all parameters in place of `zero_grad`."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.25)
    model, history = Gcn(graph, width=24, activation=nn.ELU, dropout=0.1), History([], {})
    criterion = nn.CrossEntropyLoss()
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    draw = graph.batches(trial.seed, noise=0.5)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(150):
            nodes, labels = draw(epoch)
            for value in model.parameters():
                value.grad = None
            loss = criterion(model(nodes), labels)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("Loss/train", loss.item(), epoch)
            if epoch % 15 == 14:
                history.validation[epoch] = evaluate(model, criterion, graph.validation)
                writer.add_scalar("Loss/val", history.validation[epoch], epoch)
    sound(model, graph.validation, 0.9, history)


def four_at_a_time(trial: Trial) -> None:
    """A transformer whose gradients are those of four batches of eight: zeroed and stepped once in four, on purpose."""
    torch.manual_seed(trial.seed)
    data, model, criterion = majorities(trial.seed), Transformer(12, 3), nn.CrossEntropyLoss()
    other, history = copy.deepcopy(model), History([], {})
    optimizer, draw = AdamW(model.parameters(), lr=3e-3), data.train.batches(8, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(150):
            total = 0.0
            optimizer.zero_grad()
            for micro in range(4):
                tokens, winners = draw(4 * step + micro)
                loss = criterion(model(tokens), winners) / 4
                loss.backward()
                total += loss.item()
            optimizer.step()
            history.train.append(total)
            writer.add_scalar("train/loss", total, step)
            if step % 25 == 24:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val/loss", history.validation[step], step)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=150)
    does, would = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(does > max(0.9, would - 0.03), f"the accuracy is {does:.3f}, and with batches of 32 {would:.3f}")
    generalises(history)
    calm(history, 0.4)


class Agreement(nn.Module):
    """The contrastive loss of two views, whose embeddings lie one behind the other, [2n, width]."""

    def forward(self, embedded: Tensor) -> Tensor:
        """Return it."""
        unit = functional.normalize(embedded, dim=1)
        alike = unit @ unit.T / 0.2 - 1e9 * torch.eye(len(unit))
        half = len(unit) // 2
        return functional.cross_entropy(alike, torch.arange(len(unit)).roll(half))


def views(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures of which a quarter of the pixels are gone, some brighter and some darker, with noise."""
    there = (torch.rand(pictures.shape, generator=generator) > 0.25).float()
    bright = 0.7 + 0.6 * torch.rand(len(pictures), 1, 1, 1, generator=generator)
    return there * bright * pictures + 0.2 * torch.randn(pictures.shape, generator=generator)


def neighbours(model: nn.Module, data: Split) -> float:
    """Return how often the nearest picture that is trained on is of the same class."""
    precise = double(model).eval()
    with torch.no_grad():
        known, asked = (
            functional.normalize(precise(widened(part.inputs)), dim=1) for part in (data.train, data.held_out)
        )
    return float((data.train.targets[(asked @ known.T).argmax(1)] == data.held_out.targets).double().mean())


def two_views(trial: Trial) -> None:
    """A CNN embeds digits so that two views of one agree, and those of others don't; nobody tells it classes."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), cnn((12, 24), classes=16)
    criterion, generator = Agreement(), torch.Generator().manual_seed(trial.seed)
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(64, trial.seed)
    history = History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(160):
            pictures, _ = draw(step)
            embedded = model(torch.cat([views(pictures, generator), views(pictures, generator)]))
            loss = criterion(embedded)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("train/nt_xent", loss.item(), writer.step)
    precise = double(model).eval()
    with torch.no_grad():
        given = precise(widened(data.held_out.inputs))
    strengths = torch.linalg.svdvals(given - given.mean(0)).square()
    spread = float(strengths.sum().square() / strengths.square().sum())
    require(spread > 5, f"the embeddings lie in {spread:.1f} of 16 directions")
    found = neighbours(model, data)
    require(found > 0.9, f"{found:.3f} of the nearest neighbours are of the same class")
    blind = math.log(127)
    require(history.end < 0.6 * blind, f"the loss is {history.end:.3f}, and of one that sees nothing {blind:.3f}")
    calm(history)


class Policy(nn.Module):
    """Chooses one of five thrusts from six numbers of a state; its last layer starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh())
        self.logits = nn.Linear(48, 5)

    def forward(self, states: Tensor) -> Tensor:
        """Return scores [n, 5]."""
        scores: Tensor = self.logits(self.body(states))
        return scores


def zero_head(trial: Trial) -> None:
    """A policy cloned from a pilot: its last layer starts at zero, so that all thrusts are alike, and part at once."""
    torch.manual_seed(trial.seed)
    states = torch.randn(2400, 6)
    wish = states[:, 0] + 0.8 * states[:, 1] * states[:, 2].tanh() - 0.6 * states[:, 3].abs() + 0.4
    thrusts = torch.bucketize(wish, torch.tensor([-1.2, -0.4, 0.4, 1.2]))
    data, model = split(states, thrusts, 400, trial.seed), Policy()
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    nn.init.zeros_(model.logits.weight)
    nn.init.zeros_(model.logits.bias)
    optimizer, draw = SGD(model.parameters(), lr=0.1, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=1, steps=300)
    better = SGD(other.parameters(), lr=0.1, momentum=0.9)
    would = control(other, data.train.batches(64, trial.seed), better, steps=300)
    require(history.end < 1.1 * would, f"the loss is {history.end:.3f}, and with another start {would:.3f}")
    rows = torch.pdist(model.logits.weight.detach().double())
    require(rows.min() > 0.5, f"two thrusts are still {float(rows.min()):.2f} apart")
    found = accuracy(model, data.held_out)
    require(found > 0.75, f"the accuracy is {found:.3f}, and by chance 0.3")
    generalises(history)
    calm(history)


SCENARIOS = (
    Scenario("sorrel-healthy-megawatts-gru", "rnn", TUNING, megawatts),
    Scenario("sorrel-healthy-grads-to-none-gnn", "gnn", TUNING, grads_to_none),
    Scenario("sorrel-healthy-four-at-a-time-transformer", "transformer", TUNING, four_at_a_time),
    Scenario("sorrel-healthy-two-views-cnn", "cnn", TUNING, two_views),
    Scenario("sorrel-healthy-zero-head-mlp", "mlp", TUNING, zero_head),
)
