"""Sound trainings whose gradients or rates look odd: long texts, sums over pixels, small steps, sparse units."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Part, communities, digits, language, split
from tests.diagnosis.networks import Gcn, cnn, mlp
from tests.diagnosis.proof import accuracy, alive, calm, generalises, learned, loss_of, require, silent
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


class Texts(nn.Module):
    """An LSTM that says at each place what follows."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(20, 24), nn.LSTM(24, 48, batch_first=True), nn.Linear(48, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        scores: Tensor = self.head(self.lstm(self.embed(tokens))[0]).transpose(1, 2)
        return scores


def texts(trial: Trial) -> None:
    """A language model of an LSTM over forty-eight tokens, gradients clipped at a norm that is seldom reached."""
    torch.manual_seed(trial.seed)
    data, model = language(trial.seed, length=48, count=700), Texts()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, steps=200, clip=1.0, every=2, validation=data.held_out)
    require(history.end < 0.55 * math.log(20), f"the loss is {history.end:.3g}")
    generalises(history)
    calm(history)


class Pictures(nn.Module):
    """A convolutional autoencoder of digits."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.ELU(), nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ELU()
        )
        self.code = nn.Linear(96, 12)
        self.decoder = nn.Sequential(nn.Linear(12, 96), nn.ELU(), nn.Linear(96, 64))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 1, 8, 8]."""
        remade: Tensor = self.decoder(self.code(self.encoder(pictures).flatten(1)))
        return remade.view_as(pictures)


def pictures(trial: Trial) -> None:
    """`MSELoss(reduction="sum")` over batches of an autoencoder: gradients of hundreds, which Adam divides away."""
    torch.manual_seed(trial.seed)
    parts = digits(trial.seed, flat=False)
    train, held_out = (Part(part.inputs, part.inputs) for part in (parts.train, parts.held_out))
    model, criterion, losses = Pictures(), nn.MSELoss(reduction="sum"), list[float]()
    other, optimizer, draw = copy.deepcopy(model), Adam(model.parameters(), lr=3e-3), train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(280):
            shown, same = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(shown), same)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], step)
    control(other, train.batches(64, trial.seed), Adam(other.parameters(), lr=3e-3), nn.MSELoss(), steps=280)
    found, mean = (loss_of(one, held_out, nn.MSELoss()) for one in (model, other))
    spread = float((held_out.inputs - train.inputs.mean(0)).square().mean())
    require(found < 0.35 * spread, f"{found:.3g} of {spread:.3g} is left")
    require(found < 1.15 * mean, f"a mean does better: {mean:.3g} to {found:.3g}")


def towns(trial: Trial) -> None:
    """A graph network at a modest rate that a cosine takes down to zero, as its loss creeps on to the end."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.25)
    model = Gcn(graph, width=24, activation=nn.ELU, residual=True, dropout=0.1)
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule, draw = CosineAnnealingLR(optimizer, 240), graph.batches(trial.seed, noise=0.3)
    history = fit(trial, model, draw, optimizer, steps=240, schedule=schedule, validation=graph.validation)
    learned(model, graph.validation, 0.9)
    generalises(history)
    calm(history)


def bright(trial: Trial) -> None:
    """A network that knows its digits is tuned on noisier ones at 0.00003: it barely moves, and need not move more."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), cnn((12, 24)), nn.CrossEntropyLoss()
    control(model, data.train.batches(64, trial.seed), AdamW(model.parameters(), lr=3e-3), steps=250)
    train, held_out = (
        Part(part.inputs + 0.15 * torch.randn(part.inputs.shape), part.targets) for part in (data.train, data.held_out)
    )
    model.train()
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=3e-5)
    draw = train.batches(64, trial.seed + 1)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(150):
            shown, known = draw(step)
            loss = criterion(model(shown), known)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("finetune/loss", loss.item(), step)
            if step % 25 == 24:
                writer.add_scalar("finetune/val_loss", evaluate(model, criterion, held_out), step)
    control(other, train.batches(64, trial.seed + 1), AdamW(other.parameters(), lr=1e-3), steps=150)
    learned(model, held_out, 0.95)
    found, faster = accuracy(model, held_out), accuracy(other, held_out)
    require(found > faster - 0.015, f"a larger rate does better: {faster:.3f} to {found:.3f}")


def carts(seed: int, count: int = 2500) -> Part:
    """Return what is seen of a cart and its pole, [n, 4], and which of three ways an expert pushes."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.randn(count, 4, generator=generator)
    force = 0.4 * seen[:, 0] + 0.7 * seen[:, 1] + 2 * seen[:, 2].sin() + 1.2 * seen[:, 3]
    force = force + 0.2 * torch.randn(count, generator=generator)
    return Part(seen, (force > -0.8).long() + (force > 0.8).long())


def cloning(trial: Trial) -> None:
    """A policy of three ReLU layers with He's weights learns from an expert what to do."""
    torch.manual_seed(trial.seed)
    raw = carts(trial.seed)
    data, model = split(raw.inputs, raw.targets, 500, trial.seed), mlp((4, 64, 64, 64, 3))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    with torch.no_grad():
        model[-1].weight.mul_(0.1)
    optimizer, draw = SGD(model.parameters(), lr=8e-3, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, steps=240, validation=data.held_out, every=2)
    learned(model, data.held_out, 0.84)
    generalises(history)
    calm(history, 0.3)


class Motifs(nn.Module):
    """Finds motifs in DNA: filters that fire at few places, the best of which count."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv1d(4, 32, 8), nn.ReLU(), nn.Linear(32, 1)
        nn.init.normal_(self.conv.weight, std=0.5)
        nn.init.constant_(self.conv.bias, bias)

    def forward(self, bases: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, 4, length]."""
        scores: Tensor = self.head(self.relu(self.conv(bases)).amax(2))
        return scores


def strands(seed: int, count: int = 2400) -> Part:
    """Return DNA, [n, 4, 60], and whether one of two motifs is in it, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    bases = torch.randint(4, (count, 60), generator=generator)
    motifs = torch.randint(4, (2, 8), generator=generator)
    bound = torch.rand(count, generator=generator) < 0.5
    which, where = (torch.randint(most, (count,), generator=generator) for most in (2, 53))
    rows, places = torch.arange(count)[:, None], where[:, None] + torch.arange(8)
    bases[rows, places] = torch.where(bound[:, None], motifs[which], bases[rows, places])
    return Part(functional.one_hot(bases, 4).transpose(1, 2).float(), bound.float()[:, None])


def binding(trial: Trial) -> None:
    """Filters over DNA whose bias begins below zero: each fires at few places, and none is dead."""
    torch.manual_seed(trial.seed)
    raw, criterion = strands(trial.seed), nn.BCEWithLogitsLoss()
    data, model = split(raw.inputs, raw.targets, 400, trial.seed), Motifs(-1.5)
    torch.manual_seed(trial.seed)
    other, optimizer = Motifs(0.0), Adam(model.parameters(), lr=1e-2)
    draw = data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=240, validation=data.held_out, every=2)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-2), criterion, steps=240)
    with torch.no_grad():
        right, usual = (
            float(((one(data.held_out.inputs) > 0) == (data.held_out.targets > 0)).double().mean())
            for one in (model, other)
        )
        fires = float((model.relu(model.conv(data.train.inputs)) > 0).double().mean())
    require(right > 0.85, f"it gets {right:.3f} right")
    require(right > usual - 0.03, f"without the bias it gets {usual:.3f} right, and {right:.3f} with it")
    require(fires < 0.27, f"filters fire at {fires:.2f} of the places")
    require(silent(model, "relu", data.train.inputs).sum() <= 1, "filters are dead")
    alive(model, data.held_out.inputs, 0.05)
    generalises(history)


SCENARIOS = (
    Scenario("cress-texts-lstm", "rnn", REPORTING, texts),
    Scenario("cress-pictures-cnn", "cnn", REPORTING, pictures),
    Scenario("cress-towns-gnn", "gnn", REPORTING, towns),
    Scenario("cress-bright-cnn", "cnn", REPORTING, bright),
    Scenario("cress-cloning-mlp", "mlp", REPORTING, cloning),
    Scenario("cress-binding-cnn", "cnn", REPORTING, binding),
)
