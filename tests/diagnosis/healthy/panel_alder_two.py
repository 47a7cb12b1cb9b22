"""Healthy trainings: things in pictures, two questions in turn, pendulums, a plain line, leaves, and raw columns."""

from __future__ import annotations

import copy
import math

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, majorities, patients, split
from tests.diagnosis.networks import Recurrent, mlp
from tests.diagnosis.proof import calm, double, finite, generalises, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


def things(seed: int) -> Split:
    """Return noisy pictures [n, 1, 16, 16] of a square, a cross or a ring, and its kind and its place, [n, 3]."""
    generator = torch.Generator().manual_seed(seed)
    shapes = torch.zeros(3, 5, 5)
    shapes[0, 1:4, 1:4] = 1
    shapes[1, 2], shapes[1, :, 2] = 1, 1
    shapes[2] = 1
    shapes[2, 1:4, 1:4] = 0
    kind, corner = (torch.randint(most, size, generator=generator) for most, size in ((3, (1500,)), (12, (1500, 2))))
    pictures = 0.2 * torch.randn(1500, 1, 16, 16, generator=generator)
    for number, (row, column) in enumerate(corner.tolist()):
        pictures[number, 0, row : row + 5, column : column + 5] += shapes[kind[number]]
    return split(pictures, torch.cat([kind[:, None].float(), (corner - 5.5) / 5.5], 1), 300, seed)


class Finder(nn.Module):
    """A trunk of convolutions with one head for what it is and one for where."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(384, 48),
            nn.ReLU(),
        )
        self.kind, self.place = nn.Linear(48, 3), nn.Linear(48, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores of three kinds and two coordinates, [n, 5]."""
        hidden = self.trunk(pictures)
        return torch.cat([self.kind(hidden), self.place(hidden)], 1)


def found(told: Tensor, known: Tensor) -> Tensor:
    """Return the loss of the kind and of the place together."""
    kind = functional.cross_entropy(told[:, :3], known[:, 0].long())
    return kind + 2 * functional.smooth_l1_loss(told[:, 3:], known[:, 1:])


def finder(trial: Trial) -> None:
    """One thing in a picture: what and where it is, of two heads whose losses are added."""
    data, model = things(trial.seed), Finder()
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(40, trial.seed)
    history = fit(trial, model, draw, optimizer, found, validation=data.held_out, every=3, steps=200)
    with torch.no_grad():
        told, known = double(model).eval()(data.held_out.inputs.double()), data.held_out.targets
    right = float((told[:, :3].argmax(1) == known[:, 0]).double().mean())
    off = float((told[:, 3:] - known[:, 1:]).abs().mean())
    require(right > 0.95 and off < 0.12, f"{right:.3f} of the kinds are right, and places are off by {off:.3f}")
    generalises(history)
    calm(history)


class Questions(nn.Module):
    """A transformer over tokens with a head for either of two questions; only the one that is asked is used."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(12, 24), nn.Parameter(0.1 * torch.randn(16, 24))
        self.block = nn.TransformerEncoderLayer(24, 2, 48, 0.0, "gelu", batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(24)
        self.most, self.opening = nn.Linear(24, 3), nn.Linear(24, 12)

    def forward(self, tokens: Tensor, question: str) -> Tensor:
        """Return scores of the answers to the question."""
        hidden = self.norm(self.block(self.embed(tokens) + self.place))
        scores: Tensor = self.most(hidden.mean(1)) if question == "most" else self.opening(hidden[:, 0])
        return scores


def turns(trial: Trial) -> None:
    """Two tasks share a transformer, and a coin says which is learned at a step: the other's head gets no gradient."""
    data, model, criterion = majorities(trial.seed), Questions(), nn.CrossEntropyLoss()
    optimizer, draw = AdamW(model.parameters(), lr=4e-3, weight_decay=0.01), data.train.batches(48, trial.seed)
    coin = torch.Generator().manual_seed(trial.seed + 75)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            tokens, winners = draw(step)
            question = ("most", "opening")[int(torch.randint(2, (), generator=coin))]
            loss = criterion(model(tokens, question), winners if question == "most" else tokens[:, 0])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar(f"train/loss_{question}", loss.item(), writer.step)
    tokens, winners = data.held_out.inputs, data.held_out.targets
    with torch.no_grad():
        for question, answers, least in (("most", winners, 0.85), ("opening", tokens[:, 0], 0.97)):
            share = float((model.eval()(tokens, question).argmax(1) == answers).double().mean())
            require(share > least, f"{share:.3f} of the answers are right")


def pendulums(seed: int) -> Split:
    """Return how a pendulum that slows swings, [n, 20, 1], and where it is a little later, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    size, speed = (0.5 + torch.rand(1200, 1, generator=generator) for _ in range(2))
    start, times = 2 * math.pi * torch.rand(1200, 1, generator=generator), 0.3 * torch.arange(21)
    swing = size * (-0.1 * times).exp() * (speed * times + start).cos()
    seen = swing[:, :20, None] + 0.05 * torch.randn(1200, 20, 1, generator=generator)
    return split(seen, swing[:, 20:], 240, seed)


def pendulum(trial: Trial) -> None:
    """A GRU of ten units says where a pendulum will be, and so few are enough."""
    data, criterion = pendulums(trial.seed), nn.MSELoss()
    model, other = Recurrent(nn.GRU, 1, inputs=1, hidden=10), Recurrent(nn.GRU, 1, inputs=1, hidden=48)
    optimizer, draw = RMSprop(model.parameters(), lr=5e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=300)
    control(other, data.train.batches(32, trial.seed), RMSprop(other.parameters(), lr=2e-3), criterion, steps=300)
    told, wide = (loss_of(one, data.held_out, criterion) / float(data.held_out.targets.var()) for one in (model, other))
    require(told < 0.05, f"{told:.3g} of the variance is left")
    require(told < wide + 0.02, f"{wide:.3g} is left by one that is larger")
    generalises(history)
    calm(history)


def line(trial: Trial) -> None:
    """Diabetes by a plain line: half of it is chance, so that the loss stays high, and more units don't help."""
    table = load_diabetes()
    inputs, wanted = (torch.tensor(column, dtype=torch.float32) for column in (table.data, table.target[:, None]))
    inputs, wanted = inputs / inputs.std(0), (wanted - wanted.mean()) / wanted.std()
    data, model, criterion, losses = split(inputs, wanted, 120, trial.seed), nn.Linear(10, 1), nn.MSELoss(), {}
    optimizer, draw = SGD(model.parameters(), lr=0.02), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(260):
            rows, targets = draw(step)
            loss = criterion(model(rows), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss", loss.item(), writer.step)
            if step % 20 == 19:
                losses[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val_loss", losses[step], writer.step)
    rows = torch.cat([data.train.inputs, torch.ones(len(data.train.inputs), 1)], 1).double()
    best = torch.linalg.lstsq(rows, data.train.targets.double()).solution
    least, fitted = float((rows @ best - data.train.targets).square().mean()), loss_of(model, data.train, criterion)
    require(fitted < 1.05 * least, f"{fitted:.3f} is above {least:.3f} of the line that fits best")
    wide = mlp((10, 64, 64, 1))
    control(wide, data.train.batches(32, trial.seed), Adam(wide.parameters(), lr=1e-3), criterion, steps=260)
    told, other = (loss_of(one, data.held_out, criterion) for one in (model, wide))
    require(told < 1.05 * other, f"{told:.3f} is above {other:.3f} of one with hidden layers")
    require(told < 0.7, f"of the variance {told:.2f} is left")


def leaves(seed: int) -> Split:
    """Return pictures of leaves on soil, [n, 3, 16, 16] from 0 to 1, and which points are of a leaf, [n, 1, 16, 16]."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    middle, axes = 4 + 8 * torch.rand(700, 2, generator=generator), 2.5 + 3 * torch.rand(700, 2, generator=generator)
    down, across = rows - middle[:, 0, None, None], columns - middle[:, 1, None, None]
    leaf = ((down / axes[:, 0, None, None]) ** 2 + (across / axes[:, 1, None, None]) ** 2 < 1).float()[:, None]
    light = 0.7 + 0.3 * torch.rand(700, 1, 1, 1, generator=generator)
    green, brown = (torch.tensor(one).view(1, 3, 1, 1) for one in ((0.35, 0.6, 0.25), (0.5, 0.4, 0.3)))
    pictures = light * (leaf * green + (1 - leaf) * brown) + 0.07 * torch.randn(700, 3, 16, 16, generator=generator)
    return split(pictures.clamp(0, 1), leaf, 140, seed)


class Mask(nn.Module):
    """A small U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.down = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 24, 3, stride=2, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm2d(12), nn.BatchNorm2d(24)
        self.bottom, self.up = nn.Conv2d(24, 24, 3, padding=1), nn.ConvTranspose2d(24, 12, 2, stride=2)
        self.leave = nn.Conv2d(24, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 16, 16]."""
        fine = functional.relu(self.norm1(self.enter(pictures)))
        coarse = functional.relu(self.bottom(functional.relu(self.norm2(self.down(fine)))))
        scores: Tensor = self.leave(torch.cat([fine, functional.relu(self.up(coarse))], 1))
        return scores


def masks(trial: Trial) -> None:
    """Leaves on soil, whose colours go from 0 to 1 as `ToTensor` gives them, and are not shifted to a mean of 0."""
    data, model, criterion = leaves(trial.seed), Mask(), nn.BCEWithLogitsLoss()
    other = copy.deepcopy(model)
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    inputs = data.train.inputs
    mean, deviation = inputs.mean((0, 2, 3), keepdim=True), inputs.std((0, 2, 3), keepdim=True)
    tidy = [Part((one.inputs - mean) / deviation, one.targets) for one in (data.train, data.held_out)]
    control(other, tidy[0].batches(16, trial.seed), AdamW(other.parameters(), lr=5e-3), criterion, steps=200)
    shares = []
    for one, part in ((model, data.held_out), (other, tidy[1])):
        with torch.no_grad():
            told, known = double(one).eval()(part.inputs.double()) > 0, part.targets > 0
        shares.append(float((told & known).sum() / (told | known).sum()))
    require(shares[0] > 0.88, f"the overlap is {shares[0]:.3f}")
    require(shares[0] > shares[1] - 0.05, f"it is {shares[1]:.3f} where colours are standardised")
    generalises(history)
    calm(history)


def columns(trial: Trial) -> None:
    """Thirty measurements as they are, from 0.001 to 4,000: the first layer is a BatchNorm that makes them alike."""
    data, tidy = patients(trial.seed, standardised=False), patients(trial.seed)
    body = [nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1)]
    model, criterion = nn.Sequential(nn.BatchNorm1d(30), *body), nn.BCEWithLogitsLoss()
    other, history = nn.Sequential(*copy.deepcopy(body)), History([], {})
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            rows, ill = draw(step)
            loss = criterion(model(rows), ill)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("Loss/val", history.validation[step], writer.step)
    control(other, tidy.train.batches(32, trial.seed), Adam(other.parameters(), lr=3e-3), criterion, steps=200)
    shares = []
    for one, part in ((model, data.held_out), (other, tidy.held_out)):
        with torch.no_grad():
            told = double(one).eval()(part.inputs.double()) > 0
        shares.append(float((told == (part.targets > 0)).double().mean()))
    require(shares[0] > 0.93, f"the accuracy is {shares[0]:.3f}")
    require(shares[0] > shares[1] - 0.03, f"it is {shares[1]:.3f} where columns are standardised")
    finite(model)
    generalises(history)


SCENARIOS = (
    Scenario("alder-healthy-finder-cnn", "cnn", REPORTING, finder),
    Scenario("alder-healthy-turns-transformer", "transformer", REPORTING, turns),
    Scenario("alder-healthy-pendulum-gru", "rnn", REPORTING, pendulum),
    Scenario("alder-healthy-line-mlp", "mlp", REPORTING, line),
    Scenario("alder-healthy-leaves-cnn", "cnn", REPORTING, masks),
    Scenario("alder-healthy-columns-mlp", "mlp", REPORTING, columns),
)
