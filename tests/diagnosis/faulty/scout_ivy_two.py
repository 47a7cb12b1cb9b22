"""Gradients that die (breast cancer, echoes, worn weights), and steps too small to get anywhere."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import LambdaLR, StepLR

from tests.diagnosis.data import Part, digits, language, patients, split
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import double, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def worse(end: float, better: float, times: float) -> None:
    """Raise NotProvenError unless a loss is well above that of the training without the fault."""
    require(end > times * better, f"{end:.3g} is not {times:g} times {better:.3g}")


def sigmoids(trial: Trial) -> Truth:
    """Breast cancer with eight hidden layers of sigmoids: nothing reaches the first ones, and it guesses the mean."""
    torch.manual_seed(trial.seed)
    data, criterion = patients(trial.seed), nn.BCEWithLogitsLoss()
    widths = (30, *[32] * 8, 1)
    model, other = mlp(widths, nn.Sigmoid), mlp(widths, nn.ReLU, norm=nn.BatchNorm1d)
    found = gradients(model, data.train, criterion)
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=260)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    better = control(other, data.train.batches(32, trial.seed), optimizer, criterion, steps=260)
    share = found["fc1.weight"] / found["fc8.weight"]
    require(share < 1e-4, f"the first layer gets {share:.3g} of what the last hidden one gets")
    worse(history.end, better, 2)
    return Truth(("fc1", "fc2", "fc3", "fc4", "fc5"))


class Tagger(nn.Module):
    """Reads a recording and names the tune it began with."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(3, 32)
        self.cell = nn.RNN(32, 32, batch_first=True)
        self.out = nn.Linear(32, 4)

    def forward(self, recordings: Tensor) -> Tensor:
        """Return scores [n, 4] of [n, length, 3]."""
        states, _ = self.cell(functional.relu(self.lift(recordings)))
        scores: Tensor = self.out(states[:, -1])
        return scores


def recordings(seed: int, length: int = 70, count: int = 1200) -> Part:
    """Return three microphones [n, length, 3], and which of four calls came in the first ten places, [n]."""
    generator = torch.Generator().manual_seed(seed)
    calls = torch.randint(4, (count,), generator=generator)
    sound = 0.2 * torch.randn(count, length, 3, generator=generator)
    waves = torch.stack([torch.tensor([np.cos(turn), np.sin(turn), 0.5]) for turn in np.arange(4) * np.pi / 2])
    sound[:, :10] += waves.float()[calls][:, None]
    return Part(sound, calls)


def long_memory(trial: Trial) -> Truth:
    """A plain RNN is to remember for sixty places which call a recording began with; its gradient dies on the way."""
    torch.manual_seed(trial.seed)
    whole = recordings(trial.seed)
    data, model = split(whole.inputs, whole.targets, 240, trial.seed), Tagger()
    other = copy.deepcopy(model)
    inputs = data.train.inputs[:200].double().requires_grad_()
    loss = functional.cross_entropy(double(model)(inputs), data.train.targets[:200])
    (found,) = torch.autograd.grad(loss, [inputs])
    share = float(found[:, :10].norm() / found[:, -10:].norm())
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    nn.init.orthogonal_(other.cell.weight_hh_l0)
    better = control(other, data.train.batches(48, trial.seed), Adam(other.parameters(), lr=1e-3), steps=200)
    require(share < 1e-6, f"the call gets {share:.3g} of the gradient of the end")
    worse(history.end, better, 1.5)
    return Truth(("cell", "lift"))


class Denoiser(nn.Module):
    """Nine convolutions over a signal, one after the other."""

    def __init__(self, begin: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 12, 5, padding=2)
        self.middle = nn.ModuleList(nn.Conv1d(12, 12, 5, padding=2) for _ in range(7))
        self.last = nn.Conv1d(12, 1, 5, padding=2)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                begin(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, signals: Tensor) -> Tensor:
        """Return clean signals."""
        hidden = torch.tanh(self.first(signals))
        for conv in self.middle:
            hidden = torch.tanh(conv(hidden))
        clean: Tensor = self.last(hidden)
        return clean


def hearts(seed: int, count: int = 600) -> Part:
    """Return beats with noise [n, 1, 64], and without it."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(64.0)
    pace, shift = 12 + 10 * torch.rand(count, 1, generator=generator), 12 * torch.rand(count, 1, generator=generator)
    phase = (time + shift) / pace % 1
    beats = 3 * torch.exp(-(((phase - 0.4) / 0.07) ** 2)) + 0.8 * torch.exp(-(((phase - 0.7) / 0.1) ** 2)) - 0.6
    return Part((beats + 0.4 * torch.randn(count, 64, generator=generator))[:, None], beats[:, None])


def worn_weights(trial: Trial) -> Truth:
    """Weights drawn with a deviation of 0.02, as in a paper on pictures, for nine convolutions without a norm."""
    torch.manual_seed(trial.seed)
    data, criterion = hearts(trial.seed), nn.MSELoss()
    model, other = Denoiser(lambda weight: nn.init.normal_(weight, 0, 0.02)), Denoiser(nn.init.xavier_uniform_)
    found = gradients(model, data, criterion)
    optimizer, draw, losses = SGD(model.parameters(), lr=0.02, momentum=0.9), data.batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(200):
            signals, clean = draw(step)
            loss = criterion(model(signals), clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], step)
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    better = control(other, data.batches(32, trial.seed), optimizer, criterion, steps=200)
    require(found["first.weight"] < 1e-6, f"the first layer gets {found['first.weight']:.3g}")
    worse(sum(losses[-20:]) / 20, better, 2)
    return Truth(("first", *(f"middle.{at}" for at in range(7)), "last"))


def adams_rate(trial: Trial) -> Truth:
    """Diabetes: the rate of a recipe for Adam, 0.0003, kept with plain SGD; the loss has hardly moved at the end."""
    torch.manual_seed(trial.seed)
    table = load_diabetes()
    inputs = torch.tensor(table.data * len(table.data) ** 0.5, dtype=torch.float32)
    targets = torch.tensor((table.target - table.target.mean()) / table.target.std(), dtype=torch.float32)
    data, criterion = split(inputs, targets[:, None], 90, trial.seed), nn.MSELoss()
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    other, first = copy.deepcopy(model), loss_of(model, data.train, criterion)
    optimizer, draw = SGD(model.parameters(), lr=3e-4), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, every=1, steps=300)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.03), criterion, steps=300)
    end, better = (loss_of(one, data.train, criterion) for one in (model, other))
    require(first - end < 0.15 * (first - better), f"from {first:.3g} to {end:.3g}; could be {better:.3g}")
    return Truth()


def fine_tuning_rate(trial: Trial) -> Truth:
    """A transformer from nothing with what is for fine-tuning: AdamW at 2e-5, warmed up for a tenth, then falling."""
    torch.manual_seed(trial.seed)
    data, model = language(trial.seed), Transformer(20, 20, each=True)
    other, first = copy.deepcopy(model), loss_of(model, data.held_out)
    optimizer = AdamW(model.parameters(), lr=2e-5, weight_decay=0.01)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 25, (260 - step) / 225))
    draw = data.train.batches(24, trial.seed)
    fit(trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, every=2, steps=250)
    control(other, data.train.batches(24, trial.seed), AdamW(other.parameters(), lr=2e-3), steps=250)
    end, better = (loss_of(one, data.held_out) for one in (model, other))
    require(first - end < 0.25 * (first - better), f"from {first:.3g} to {end:.3g}; could be {better:.3g}")
    return Truth()


class Squeeze(nn.Module):
    """Passes pictures of digits through twelve numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1), nn.ReLU())
        self.code, self.wide = nn.Linear(96, 12), nn.Linear(12, 96)
        self.up = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(24, 12, 2, 2), nn.ReLU(), nn.ConvTranspose2d(12, 1, 2, 2))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the pictures as they come out again."""
        code = self.code(self.down(pictures).flatten(1))
        made: Tensor = self.up(self.wide(code).view(-1, 24, 2, 2))
        return made


def steps_for_epochs(trial: Trial) -> Truth:
    """An autoencoder whose `StepLR(10, 0.1)` is stepped after every batch: from step 30 on the rate is below 3e-6."""
    torch.manual_seed(trial.seed)
    pictures, criterion = digits(trial.seed, flat=False).train.inputs, nn.MSELoss()
    data, model = Part(pictures, pictures), Squeeze()
    other = copy.deepcopy(model)
    optimizer = RMSprop(model.parameters(), lr=2e-3)
    schedule, draw, early = StepLR(optimizer, 10, 0.1), data.batches(64, trial.seed), model.state_dict()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            schedule.step()
            writer.add_scalar("train/loss", loss.item(), step)
            if step == 29:
                early = {name: value.clone() for name, value in model.state_dict().items()}
    control(other, data.batches(64, trial.seed), RMSprop(other.parameters(), lr=2e-3), criterion, steps=200)
    end, better = (loss_of(one, data, criterion) for one in (model, other))
    model.load_state_dict(early)
    middle = loss_of(model, data, criterion)
    require(middle - end < 0.01 * (middle - better), f"from {middle:.3g} to {end:.3g}")
    worse(end, better, 1.5)
    return Truth((), 10, 50)


FLAT = ("loss_plateau", "underfitting")
SCENARIOS = (
    Scenario(
        "ivy-sigmoids-mlp", "mlp", TUNING, sigmoids, ("vanishing_gradient",), (*FLAT, "saturation", "redundant_units")
    ),
    Scenario("ivy-long-memory-rnn", "rnn", TUNING, long_memory, ("vanishing_gradient",), FLAT),
    Scenario(
        "ivy-worn-weights-cnn",
        "cnn",
        TUNING,
        worn_weights,
        ("vanishing_gradient", "poor_init"),
        (*FLAT, "layer_not_training", "representation_collapse", "redundant_units"),
    ),
    Scenario("ivy-adams-rate-mlp", "mlp", TUNING, adams_rate, ("lr_too_low",), (*FLAT, "layer_not_training")),
    Scenario("ivy-fine-tuning-rate-transformer", "transformer", TUNING, fine_tuning_rate, ("lr_too_low",), FLAT),
    Scenario(
        "ivy-steps-for-epochs-cnn", "cnn", TUNING, steps_for_epochs, ("lr_too_low",), (*FLAT, "layer_not_training")
    ),
)
