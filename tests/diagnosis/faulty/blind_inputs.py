"""What is fed as it was measured: dollars, Hounsfield units, square feet."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.faulty.blind_fits import epochs
from tests.diagnosis.faulty.blind_units import pixels
from tests.diagnosis.faulty.outputs import uneven
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Recurrent, cnn, mlp
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def standardised(part: Part) -> Part:
    """Return inputs whose features, of the last axis, have mean 0 and deviation 1."""
    rows = part.inputs.flatten(0, -2)
    return Part((part.inputs - rows.mean(0)) / rows.std(0), part.targets)


def coins(trial: Trial) -> Truth:
    """The price of a coin, some 30,000 dollars, as it is: an LSTM is to say how much it is going to change."""
    generator = torch.Generator().manual_seed(trial.seed)
    pace, phase = (6 + 6 * torch.rand(1000, 1, generator=generator)), torch.rand(1000, 1, generator=generator)
    waves = torch.sin(2 * torch.pi * (torch.arange(21) / pace + phase))
    drift = 30_000 + 6000 * torch.randn(1000, 1, generator=generator)
    prices = (drift + 1500 * waves + 150 * torch.randn(1000, 21, generator=generator))[..., None]
    data = split(prices[:, :20], (prices[:, 20] - prices[:, 19]) / 1000, 200, trial.seed)
    model, other, criterion = Recurrent(nn.LSTM, 1, inputs=1), Recurrent(nn.LSTM, 1, inputs=1), nn.MSELoss()
    history = epochs(trial, model, Split(data.train.first(240), data.held_out), criterion, rate=5e-3, size=48)
    rows = standardised(data.train)
    worse(history.end, control(other, rows.batches(48), Adam(other.parameters(), lr=5e-3), criterion, steps=200), 1.5)
    middle, spread = float(data.train.inputs.mean()), float(data.train.inputs.std())
    require(middle > 1e4 and spread > 1e3, f"prices are {middle:.3g} ± {spread:.3g}")
    return Truth()


def scans(trial: Trial) -> Truth:
    """Scans in Hounsfield units, from −1000 for air to 3000 for metal, in a network without normalisation."""
    data = digits(trial.seed, flat=False)
    train, held_out = (pixels(part, -1000, 3000) for part in (data.train, data.held_out))
    model = cnn((8, 16), norm=False)
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.01, momentum=0.9)
    history = fit(trial, model, train.batches(32), optimizer, functional.cross_entropy, validation=held_out, steps=180)
    optimizer = SGD(other.parameters(), lr=0.01, momentum=0.9)
    worse(history.end, control(other, data.train.batches(32), optimizer, steps=180))
    require(history.train[0] > 20, f"the loss begins at {history.train[0]:.3g}")
    return Truth()


def houses(trial: Trial) -> Truth:
    """Houses by year, square feet, latitude, rooms and metres to the sea; the price is mostly one of latitude."""
    generator = torch.Generator().manual_seed(trial.seed)
    normal = torch.randn(1200, 5, generator=generator)
    price = 1.5 * torch.sin(2 * normal[:, 2]) + 0.5 * normal[:, 1] + 0.2 * torch.randn(1200, generator=generator)
    middle = torch.tensor([1970.0, 2100.0, 47.6, 3.0, 8000.0])
    table = middle + torch.tensor([25.0, 800.0, 0.05, 0.9, 4000.0]) * normal
    data = split(table, (price / price.std())[:, None], 240, trial.seed)
    model, draw, losses = mlp((5, 64, 64, 1)), data.train.batches(64, trial.seed), []
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=1e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(260):
            inputs, targets = draw(step)
            told = model(inputs)
            loss = functional.mse_loss(told, targets)
            writer.observe(outputs=told, targets=targets, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            if step % 20 == 19:
                writer.add_scalar("mse/train", sum(losses[-20:]) / 20, writer.step)
                writer.add_scalar("mse/valid", evaluate(model, functional.mse_loss, data.held_out), writer.step)
    rows, optimizer = standardised(data.train).batches(64), Adam(other.parameters(), lr=1e-3)
    worse(sum(losses[-20:]) / 20, control(other, rows, optimizer, nn.MSELoss(), steps=260))
    return uneven(data.train.inputs)


_SCALE = ("input_unnormalised",)

SCENARIOS = (
    Scenario(
        "scale-coins-lstm",
        "rnn",
        TUNING,
        coins,
        ("input_unnormalised", "saturation"),
        ("underfitting", "loss_plateau", "vanishing_gradient"),
    ),
    Scenario(
        "scale-scans-cnn",
        "cnn",
        TUNING,
        scans,
        _SCALE,
        ("exploding_gradient", "dead_units", "loss_plateau", "poor_init"),
    ),
    Scenario("scale-houses-mlp", "mlp", TUNING, houses, _SCALE, ("underfitting", "loss_plateau")),
)
