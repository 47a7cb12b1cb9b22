"""Weights that begin badly, and too much of decay, dropout and penalties: wines, masks, molecules, letters, illness."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import torch
from sklearn.datasets import load_diabetes, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Split, digits, language, split
from tests.diagnosis.faulty.pilot_aspen import mean, worse
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, gradients, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def table(load: Any, seed: int, held_out: int, *, floats: bool = False) -> Split:
    """Return a table of scikit-learn, its columns standardised."""
    rows, targets = load(return_X_y=True)
    inputs = torch.tensor((rows - rows.mean(0)) / rows.std(0), dtype=torch.float32)
    return split(inputs, torch.tensor(targets, dtype=torch.float32 if floats else torch.long), held_out, seed)


def fill(module: nn.Module) -> None:
    """Set weights to a constant."""
    if isinstance(module, nn.Linear):
        module.weight.data.fill_(0.1)
        module.bias.data.zero_()


def constant_weights(trial: Trial) -> Truth:
    """`m.weight.data.fill_(0.1)` in `model.apply(init_weights)`: the units of a layer stay copies of each other."""
    torch.manual_seed(trial.seed)
    data, criterion, losses = table(load_wine, trial.seed, 40), nn.CrossEntropyLoss(), []
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    other = copy.deepcopy(model)
    model.apply(fill)
    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(180):
            rows, classes = draw(step)
            scores = model(rows)
            loss = criterion(scores, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
            writer.add_scalar("Accuracy", float((scores.argmax(1) == classes).float().mean()), writer.step)
    for name in ("0", "2"):
        given = outputs(model, name, data.train.inputs)
        spread = float((given - given[:, :1]).abs().max() / (given.abs().max() + 1e-9))
        require(spread < 1e-3, f"units of {name} differ by {spread:.3g}")
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    worse(mean(losses), control(other, data.train.batches(16, trial.seed), optimizer, steps=180), 3)
    return Truth(("0", "2", "4"))


def blobs(seed: int, count: int = 700) -> Split:
    """Return noisy pictures [n, 1, 16, 16] of discs, and masks of those."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(16.0)
    row, column = 3 + 10 * torch.rand(2, count, 1, 1, generator=generator)
    radius = 2 + 3 * torch.rand(count, 1, 1, generator=generator)
    masks = ((axis[:, None] - row) ** 2 + (axis - column) ** 2 < radius**2).float()[:, None]
    return split(masks + 0.5 * torch.randn(count, 1, 16, 16, generator=generator), masks, 100, seed)


class Masks(nn.Module):
    """Five convolutions that tell a disc from what is around it."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (1, 12, 12, 12, 12)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        self.out = nn.Conv2d(12, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 16, 16]."""
        for conv in self.convs:
            pictures = functional.leaky_relu(conv(pictures), 0.1)
        scores: Tensor = self.out(pictures)
        return scores


def tiny_weights(trial: Trial) -> Truth:
    """`nn.init.normal_(m.weight, std=0.001)` in each of five convolutions: the picture is lost on the way."""
    torch.manual_seed(trial.seed)
    data, model, criterion = blobs(trial.seed), Masks(), nn.BCEWithLogitsLoss()
    other = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.001)
            nn.init.zeros_(module.bias)
    left = outputs(model, "out", data.train.inputs[:100])
    require(float(left.std()) < 1e-6, f"scores differ by {float(left.std()):.3g}")
    small = gradients(model, data.train.first(100), criterion)["convs.0.weight"]
    usual = gradients(other, data.train.first(100), criterion)["convs.0.weight"]
    require(small < 1e-3 * usual, f"the gradient is {small:.3g}, and {usual:.3g} with usual weights")
    optimizer, draw = SGD(model.parameters(), lr=0.1, momentum=0.9), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=160)
    optimizer = SGD(other.parameters(), lr=0.1, momentum=0.9)
    worse(history.end, control(other, data.train.batches(16, trial.seed), optimizer, criterion, steps=160), 1.8)
    return Truth((*(f"convs.{one}" for one in range(4)), "out"))


class Molecules(nn.Module):
    """Messages between the atoms of each molecule, [n, 9, 4 + 9] with bonds beside kinds; returns energies [n, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.near1, self.near2 = nn.Linear(4, 24), nn.Linear(24, 24), nn.Linear(24, 24)
        self.own1, self.own2, self.readout = nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 1)

    def forward(self, molecules: Tensor) -> Tensor:
        """Return [n, 1]."""
        atoms, bonds = torch.relu(self.embed(molecules[..., :4])), molecules[..., 4:]
        bonds = bonds / bonds.sum(2, keepdim=True).clamp_min(1)
        atoms = torch.relu(self.own1(atoms) + bonds @ self.near1(atoms))
        atoms = torch.relu(self.own2(atoms) + bonds @ self.near2(atoms))
        energies: Tensor = self.readout(atoms.mean(1))
        return energies


def energies_far_off(trial: Trial) -> Truth:
    """Energies of molecules, about -400 and 4 apart, are learned as they are; the last bias begins at zero."""
    torch.manual_seed(trial.seed)
    kinds = functional.one_hot(torch.randint(4, (1200, 9)), 4).float()
    bonds = (torch.rand(1200, 9, 9) < 0.2).float().triu(1)
    bonds = bonds + bonds.transpose(1, 2)
    energy = (kinds @ torch.tensor([1.0, -2, 3, -1.5])).sum(1) + 0.5 * torch.einsum(
        "nik,nij,njl,kl->n", kinds, bonds, kinds, torch.randn(4, 4)
    )
    energy = 4 * (energy - energy.mean()) / energy.std() - 400
    data, criterion, model = (
        split(torch.cat([kinds, bonds], 2), energy[:, None], 200, trial.seed),
        nn.MSELoss(),
        Molecules(),
    )
    other, losses = copy.deepcopy(model), []
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(50, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            molecules, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(molecules), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/mse", losses[-1], writer.step)
            if step % 20 == 19:
                writer.add_scalar("val/mse", evaluate(model, criterion, data.held_out), writer.step)
    nn.init.constant_(other.readout.bias, float(data.train.targets.mean()))
    better = control(other, data.train.batches(50, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=240)
    worse(mean(losses), better, 2)
    require(abs(model.readout.bias.item()) < 5, f"the bias is {model.readout.bias.item():.3g}")
    return Truth(("readout",))


class Digits(nn.Module):
    """Two convolutions, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU()
        )
        self.classifier = nn.Sequential(nn.Linear(24 * 16, 48), nn.ReLU(), nn.Linear(48, 10))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        scores: Tensor = self.classifier(self.features(pictures).flatten(1))
        return scores


def decay_of_a_tenth(trial: Trial) -> Truth:
    """`Adam(weight_decay=0.1)`, taken from a recipe for AdamW: the decay outweighs the gradients of the loss."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), Digits()
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=2e-3, weight_decay=0.1), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=220)
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), steps=220)
    worse(history.end, better, 4)
    worse(loss_of(model, data.held_out), loss_of(other, data.held_out), 3)
    require(accuracy(other, data.held_out) > accuracy(model, data.held_out) + 0.03, "decay does no harm")
    sizes = [float(nn.utils.parameters_to_vector(one.parameters()).norm().detach()) for one in (model, other)]
    require(sizes[0] < 0.7 * sizes[1], f"the norm of all weights is {sizes[0]:.3g}, and {sizes[1]:.3g} without decay")
    # Until then it learns nothing, and afterwards too little.
    return Truth((), 0, next(step for step, loss in enumerate(history.train) if loss < 2))


class Letters(nn.Module):
    """An LSTM over letters with dropout before and after."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.embed, self.drop = nn.Embedding(20, 32), nn.Dropout(drop)
        self.lstm, self.decoder = nn.LSTM(32, 48, 2, batch_first=True, dropout=drop), nn.Linear(48, 20)

    def forward(self, letters: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        scores: Tensor = self.decoder(self.drop(self.lstm(self.drop(self.embed(letters)))[0]))
        return scores.transpose(1, 2)


def keep_probability(trial: Trial) -> Truth:
    """`nn.Dropout(0.9)` where nine in ten were to be kept, as in old TensorFlow: an LSTM sees a tenth of all."""
    torch.manual_seed(trial.seed)
    data, model, other = language(trial.seed), Letters(0.9), Letters(0.1)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=4e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    better = control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=4e-3), steps=200)
    worse(history.end, better, 1.4)
    worse(loss_of(model, data.held_out), loss_of(other, data.held_out), 1.15)
    return Truth(("drop", "lstm"))


def heavy_lasso(trial: Trial) -> Truth:
    """`loss + 0.2 * sum(p.abs().sum() for p in model.parameters())` over few patients: all weights go to zero."""
    torch.manual_seed(trial.seed)
    data = table(load_diabetes, trial.seed, 100, floats=True)
    middle, spread = data.train.targets.mean(), data.train.targets.std()
    train, held = ((part.inputs, ((part.targets - middle) / spread)[:, None]) for part in (data.train, data.held_out))
    data = Split(type(data.train)(*train), type(data.train)(*held))
    large: list[float] = []
    model, criterion, losses = mlp((10, 32, 16, 1)), nn.MSELoss(), []
    other, optimizer, draw = copy.deepcopy(model), Adam(model.parameters(), lr=3e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            rows, targets = draw(step)
            error = criterion(model(rows), targets)
            loss = error + 0.2 * torch.stack([value.abs().sum() for value in model.parameters()]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(error.item())
            large.append(sum(float(value.detach().abs().sum()) for value in model.parameters()))
            writer.add_scalar("loss/total", loss.item(), writer.step)
            writer.add_scalar("loss/mse", losses[-1], writer.step)
    better = control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=3e-3), criterion, steps=120)
    worse(mean(losses), better, 1.5)
    worse(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.3)
    sizes = [float(value.detach().abs().max()) for value in model.parameters()]
    require(min(sizes) < 0.02, f"the largest weights of each are {sizes}")
    return Truth((), 0, max(step for step, total in enumerate(large) if total > 0.5 * large[0]))


SCENARIOS = (
    Scenario(
        "aspen-init-constant-mlp",
        "mlp",
        TUNING,
        constant_weights,
        ("poor_init", "redundant_units"),
        ("loss_plateau", "underfitting", "vanishing_gradient"),
    ),
    Scenario(
        "aspen-init-tiny-cnn",
        "cnn",
        TUNING,
        tiny_weights,
        ("poor_init", "vanishing_gradient"),
        ("loss_plateau", "layer_not_training", "underfitting", "representation_collapse"),
    ),
    Scenario(
        "aspen-init-energies-gnn",
        "gnn",
        TUNING,
        energies_far_off,
        ("poor_init",),
        ("lr_too_low", "wrong_output_or_loss", "underfitting", "exploding_gradient", "redundant_units"),
    ),
    Scenario(
        "aspen-regularised-decay-cnn",
        "cnn",
        TUNING,
        decay_of_a_tenth,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "dead_units", "vanishing_gradient", "representation_collapse"),
    ),
    Scenario(
        "aspen-regularised-keep-lstm",
        "rnn",
        TUNING,
        keep_probability,
        ("over_regularised",),
        ("underfitting", "loss_plateau", "train_eval_mismatch"),
    ),
    Scenario(
        "aspen-regularised-lasso-mlp",
        "mlp",
        TUNING,
        heavy_lasso,
        ("over_regularised",),
        ("underfitting", "loss_plateau", "vanishing_gradient", "dead_units", "representation_collapse"),
    ),
)
