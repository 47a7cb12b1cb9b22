"""Digits, molecules, wine, text and bicycles: weights that begin wrongly, too much restraint, layers in a row."""

from __future__ import annotations

import copy

import numpy as np
import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, RMSprop

from tests.diagnosis.data import STATES, Split, digits, language, split
from tests.diagnosis.proof import accuracy, loss_of, outputs, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class DigitNet(nn.Module):
    """Two convolutions and two linear layers, as in many a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return scores


def plain_normal(trial: Trial) -> Truth:
    """`model.apply(weights_init)` with `nn.init.normal_(m.weight)`: a deviation of one in every layer."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), DigitNet()
    other = copy.deepcopy(model)

    def weights_init(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight)
            nn.init.zeros_(module.bias)

    model.apply(weights_init)
    begins, should = loss_of(model, data.train), loss_of(other, data.train)
    require(begins > 50 * should, f"the loss begins at {begins:.3g}, and by default at {should:.3g}")
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(64, trial.seed)
    fit(trial, model, draw, optimizer, validation=data.held_out, steps=240)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-3), steps=240)
    ends, could = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(ends > 10 * could, f"the loss held out is {ends:.3g}, and could be {could:.3g}")
    right, best = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(right < best - 0.02, f"the accuracy is {right:.3f}, and could be {best:.3f}")
    return Truth(("conv1", "conv2", "fc1", "fc2"))


class MoleculeNet(nn.Module):
    """Two rounds of messages between atoms, a mean over them, and a small head."""

    def __init__(self) -> None:
        super().__init__()
        self.message1, self.message2 = nn.Linear(12, 32), nn.Linear(64, 32)
        self.readout, self.out = nn.Linear(32, 16), nn.Linear(16, 1)

    def forward(self, molecules: Tensor) -> Tensor:
        """Return energies [n, 1] of [n, atoms, 6 + atoms]."""
        atoms, bonds = molecules[..., :6], molecules[..., 6:]
        hidden = functional.relu(self.message1(torch.cat([atoms, bonds @ atoms], 2)))
        hidden = functional.relu(self.message2(torch.cat([hidden, bonds @ hidden], 2)))
        told: Tensor = self.out(functional.relu(self.readout(hidden.mean(1))))
        return told


def molecules(seed: int, count: int = 1000, atoms: int = 9) -> Split:
    """Return features and mean bonds of atoms, [n, atoms, 6 + atoms], and a standardised energy, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, atoms, 6, generator=generator)
    joined = (torch.rand(count, atoms, atoms, generator=generator) < 0.3).float().triu(1)
    joined = joined + joined.transpose(1, 2)
    bonds = joined / joined.sum(2, keepdim=True).clamp_min(1)
    near = bonds @ features
    energy = features[..., 0] - features[..., 1] + 1.5 * (near[..., 2] - near[..., 3]) + features[..., 4].abs()
    energy = energy.mean(1) + 0.05 * torch.randn(count, generator=generator)
    return split(torch.cat([features, bonds], 2), ((energy - energy.mean()) / energy.std())[:, None], 200, seed)


def same_for_all(trial: Trial) -> Truth:
    """Every weight is set to 0.1 "for results that can be repeated", and so all units of a layer stay the same."""
    torch.manual_seed(trial.seed)
    data, model, criterion = molecules(trial.seed), MoleculeNet(), nn.MSELoss()
    other = copy.deepcopy(model)
    for name, value in model.named_parameters():
        nn.init.constant_(value, 0.1 if name.endswith("weight") else 0.0)
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    losses: list[float] = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            inputs, energies = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), energies)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/mse", losses[-1], writer.step)
    for layer in ("message1", "message2", "readout"):
        given = outputs(model, layer, data.train.inputs)
        apart = float(given.std(-1).max() / given.std())
        require(apart < 0.01, f"the units of {layer} are {apart:.3g} of their spread apart")
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=5e-3), criterion, steps=240)
    ends = sum(losses[-24:]) / 24
    require(ends > 3 * better, f"the loss ends at {ends:.3g}, and could at {better:.3g}")
    return Truth(("message1", "message2", "readout", "out"))


def wines(seed: int) -> Split:
    """Return 13 standardised measurements of wines and from which of three growers they are."""
    raw = load_wine()
    rows = raw.data.astype(np.float32)
    return split(torch.tensor((rows - rows.mean(0)) / rows.std(0)), torch.tensor(raw.target), 40, seed)


def heavy_decay(trial: Trial) -> Truth:
    """`Adam(weight_decay=0.3)` "as there are few data": the penalty outweighs the loss and takes the weights away."""
    torch.manual_seed(trial.seed)
    data = wines(trial.seed)
    model = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    left = [float(sum(value.detach().square().sum() for value in model.parameters()))]
    optimizer, draw = Adam(model.parameters(), lr=3e-3, weight_decay=0.3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            rows, growers = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(rows), growers)
            loss.backward()
            optimizer.step()
            left.append(float(sum(value.detach().square().sum() for value in model.parameters())))
            writer.add_scalar("Loss", loss.item(), writer.step)
            if step % 25 == 24:
                writer.add_scalar("Loss/val", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=3e-3), steps=300)
    ends, could = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(ends > 0.6 and ends > 4 * could, f"the loss held out is {ends:.3g}, and without decay {could:.3g}")
    share = [size / left[0] for size in left]
    require(share[-1] < 0.2, f"{share[-1]:.3f} of the squares of the weights is left")
    return Truth((), 0, next(step for step, size in enumerate(share) if size < 0.2))


class Writer(nn.Module):
    """Two layers of an LSTM that say which token follows."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.embed, self.drop1 = nn.Embedding(STATES, 32), nn.Dropout(drop)
        self.lstm = nn.LSTM(32, 48, num_layers=2, dropout=drop, batch_first=True)
        self.drop2, self.decoder = nn.Dropout(drop), nn.Linear(48, STATES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, states, length]."""
        states = self.lstm(self.drop1(self.embed(tokens)))[0]
        scores: Tensor = self.decoder(self.drop2(states)).transpose(1, 2)
        return scores


def keep_prob(trial: Trial) -> Truth:
    """`Dropout(0.9)` brought over from a library where it says what is kept: nine in ten are dropped, three times."""
    torch.manual_seed(trial.seed)
    data, model, other = language(trial.seed), Writer(0.9), Writer(0.1)
    other.load_state_dict(model.state_dict())
    optimizer, draw = RMSprop(model.parameters(), lr=3e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    better = control(other, data.train.batches(32, trial.seed), RMSprop(other.parameters(), lr=3e-3), steps=200)
    require(history.end > 1.3 * better, f"the loss ends at {history.end:.3g}, and could at {better:.3g}")
    ends, could = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(ends > 1.2 * could, f"the loss held out is {ends:.3g}, and could be {could:.3g}")
    return Truth()


def bicycles(seed: int, count: int = 2000) -> Split:
    """Return hour, day, warmth and wind, [n, 4], each standardised, and how many bicycles are out, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    hour = 24 * torch.rand(count, generator=generator)
    day = torch.randint(7, (count,), generator=generator).float()
    warmth, wind = 12 + 9 * torch.randn(count, generator=generator), 4 * torch.rand(count, generator=generator)
    work = torch.exp(-((hour - 8) ** 2) / 5) + 1.2 * torch.exp(-((hour - 17.5) ** 2) / 8)
    leisure = torch.exp(-((hour - 14) ** 2) / 20)
    out = torch.where(day < 5, work, leisure) + 0.5 * torch.exp(-((warmth - 20) ** 2) / 120) - 0.05 * wind
    out = out + 0.05 * torch.randn(count, generator=generator)
    rows = torch.stack([hour, day, warmth, wind], 1)
    return split((rows - rows.mean(0)) / rows.std(0), ((out - out.mean()) / out.std())[:, None], 400, seed)


def affine(model: nn.Module, first: Tensor, second: Tensor) -> None:
    """Raise NotProvenError unless a network maps the middle of two inputs to the middle of what it makes of them."""
    precise = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        one, two = precise(first.double()), precise(second.double())
        middle = precise((first.double() + second.double()) / 2)
    bent = float((middle - (one + two) / 2).abs().max() / (one - two).abs().max())
    require(bent < 1e-9, f"it bends by {bent:.3g}")


def in_a_row(trial: Trial) -> Truth:
    """`nn.Sequential(nn.Linear, nn.Linear, nn.Linear)`: three layers that are no more than one, for demand by hour."""
    torch.manual_seed(trial.seed)
    data, criterion = bicycles(trial.seed), nn.MSELoss()
    model = nn.Sequential(nn.Linear(4, 64), nn.Linear(64, 64), nn.Linear(64, 1))
    other = nn.Sequential(*[part for layer in copy.deepcopy(model) for part in (layer, nn.ReLU())][:-1])
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=None, steps=400)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    better = control(other, data.train.batches(64, trial.seed), optimizer, criterion, steps=400)
    require(history.end > 2 * better, f"the loss ends at {history.end:.3g}, and could at {better:.3g}")
    affine(model, data.train.inputs[:200], data.train.inputs[200:400])
    return Truth(("0", "1", "2"))


SCENARIOS = (
    Scenario(
        "gorse-normal-cnn",
        "cnn",
        REPORTING,
        plain_normal,
        ("poor_init",),
        ("exploding_gradient", "loss_oscillation", "overfitting", "loss_spike", "lr_too_low", "dead_units"),
    ),
    Scenario(
        "gorse-same-gnn",
        "gnn",
        REPORTING,
        same_for_all,
        ("poor_init", "redundant_units"),
        ("loss_plateau", "underfitting", "dead_units"),
    ),
    Scenario(
        "gorse-decay-mlp",
        "mlp",
        REPORTING,
        heavy_decay,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "dead_units", "vanishing_gradient", "representation_collapse"),
    ),
    Scenario(
        "gorse-keep-lstm",
        "rnn",
        REPORTING,
        keep_prob,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "train_eval_mismatch"),
    ),
    Scenario(
        "gorse-row-mlp",
        "mlp",
        REPORTING,
        in_a_row,
        ("missing_nonlinearity",),
        ("loss_plateau", "underfitting"),
    ),
)
