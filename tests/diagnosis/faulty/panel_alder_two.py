"""Sentences that are not told apart, parts that nothing reads, networks that are too small, and raw readings."""

from __future__ import annotations

import copy
import math

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, communities, split
from tests.diagnosis.faulty.panel_alder import clearly, settled
from tests.diagnosis.networks import Gcn, mlp
from tests.diagnosis.proof import accuracy, double, gradients, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def songs(seed: int) -> Split:
    """Return tunes of 8 notes out of 24, [n, 8]: steps up or down the scale from a first note; and them again."""
    generator = torch.Generator().manual_seed(seed)
    stride = torch.randint(1, 6, (1400, 1), generator=generator)
    start = torch.randint(24, (1400, 1), generator=generator)
    notes = (start + stride * torch.arange(8)) % 24
    wrong = torch.rand(notes.shape, generator=generator) < 0.05
    notes = torch.where(wrong, torch.randint(24, notes.shape, generator=generator), notes)
    return split(notes, notes, 250, seed)


class Composer(nn.Module):
    """A variational autoencoder of tunes, whose decoder is told the notes before."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(25, 24)
        self.encoder, self.decoder = nn.GRU(24, 48, batch_first=True), nn.GRU(24 + 8, 48, batch_first=True)
        self.to_mean, self.to_logvar, self.head = nn.Linear(48, 8), nn.Linear(48, 8), nn.Linear(48, 24)

    def forward(self, notes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores [n, 24, 8], means and logarithms of variances, [n, 8] each."""
        last = self.encoder(self.embed(notes))[0][:, -1]
        mean, logvar = self.to_mean(last), self.to_logvar(last)
        code = mean + torch.randn_like(mean) * (logvar / 2).exp()
        before = functional.pad(notes[:, :-1], (1, 0), value=24)
        told = torch.cat([self.embed(before), code[:, None].expand(-1, 8, -1)], 2)
        return self.head(self.decoder(told)[0]).transpose(1, 2), mean, logvar


def surplus(mean: Tensor, logvar: Tensor) -> Tensor:
    """Return how far the codes are from the prior, of all their numbers together."""
    return -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(1).mean()


def tunes(trial: Trial) -> Truth:
    """A VAE of tunes, whose loss is a mean over notes and a sum over the code: the code soon says nothing."""
    data, model = songs(trial.seed), Composer()
    other, held = copy.deepcopy(model), list[float]()
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(260):
            notes, _ = draw(step)
            scores, mean, logvar = model(notes)
            rebuilt, far = functional.cross_entropy(scores, notes), surplus(mean, logvar)
            loss = rebuilt + far
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            held.append(far.item())
            for name, value in (("loss/total", loss), ("loss/reconstruction", rebuilt), ("loss/kl", far)):
                writer.add_scalar(name, value.item(), writer.step)
    optimizer, draw = Adam(other.parameters(), lr=4e-3), data.train.batches(48, trial.seed)
    for step in range(260):
        notes, _ = draw(step)
        scores, mean, logvar = other(notes)
        optimizer.zero_grad()
        (functional.cross_entropy(scores, notes) + 0.01 * surplus(mean, logvar)).backward()
        optimizer.step()
    notes = data.held_out.inputs
    with torch.no_grad():
        scores, mean, _ = double(model)(notes)
        better, apart, _ = double(other)(notes)
    does, should = (float(functional.cross_entropy(one, notes)) for one in (scores, better))
    clearly(does, should, 1.2)
    require(mean.var(0).sum() < 0.02 * apart.var(0).sum(), "the codes of tunes differ")
    return Truth((), 0, max((at for at, far in enumerate(held) if far > 0.05), default=0) + 10)


class Fares(nn.Module):
    """Says what a ride costs, from six numbers of it and from the quarters where it began and ended."""

    def __init__(self, *, wired: bool) -> None:
        super().__init__()
        self.quarter, self.wired = nn.Embedding(20, 4), wired
        self.numbers = nn.Sequential(nn.Linear(6, 32), nn.ReLU())
        self.places = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, rides: Tensor) -> Tensor:
        """Return fares [n, 1] of [n, 6 + 2]."""
        numbers = self.numbers(rides[:, :6])
        places = self.places(self.quarter(rides[:, 6:].long()).flatten(1))
        fares: Tensor = self.head(torch.cat([numbers, places if self.wired else numbers], 1))
        return fares


def fares(trial: Trial) -> Truth:
    """`torch.cat([numbers, numbers], 1)`: of the two branches of a model of fares, one is joined to itself."""
    generator = torch.Generator().manual_seed(trial.seed)
    where, ends = torch.randn(20, 2, generator=generator), torch.randint(20, (2000, 2), generator=generator)
    numbers = torch.randn(2000, 6, generator=generator)
    far = (where[ends[:, 0]] - where[ends[:, 1]]).norm(dim=1)
    cost = 1.5 * far + numbers[:, 0] * 0.5 + numbers[:, 1].relu() * 0.5 + 0.1 * torch.randn(2000, generator=generator)
    data = split(torch.cat([numbers, ends.float()], 1), ((cost - cost.mean()) / cost.std())[:, None], 400, trial.seed)
    model, other, criterion = Fares(wired=False), Fares(wired=True), nn.MSELoss()
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=4e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=1, steps=300)
    better = control(
        other, data.train.batches(64, trial.seed), AdamW(other.parameters(), lr=4e-3), criterion, steps=300
    )
    clearly(history.end, better, 2)
    clearly(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.5)
    for name, size in gradients(model, data.train, criterion).items():
        require((size == 0) == name.startswith(("quarter", "places")), f"{name} gets {size:.3g}")
    return Truth(("quarter", "places", "places.0"))


class Rising(nn.Module):
    """A transformer that says if the larger of two marked numbers comes first; it has a parameter of places."""

    def __init__(self, *, added: bool) -> None:
        super().__init__()
        self.lift, self.place, self.added = nn.Embedding(16, 32), nn.Embedding(10, 32), added
        block = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 2]."""
        hidden = self.lift(tokens)
        if self.added:
            hidden = hidden + self.place(torch.arange(10))
        scores: Tensor = self.head(self.norm(self.blocks(hidden)).mean(1))
        return scores


def order(trial: Trial) -> Truth:
    """Positions were given an embedding that `forward` never adds: a transformer can't tell what came first."""
    generator = torch.Generator().manual_seed(trial.seed)
    tokens = torch.randint(2, 16, (2000, 10), generator=generator)
    at = torch.rand(2000, 10, generator=generator).argsort(1)[:, :2]
    tokens.scatter_(1, at, torch.tensor([0, 1]).expand(2000, 2))
    data = split(tokens, (at[:, 0] < at[:, 1]).long(), 400, trial.seed)
    model, other, criterion = Rising(added=False), Rising(added=True), nn.CrossEntropyLoss()
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=2e-3), data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            made = model(inputs)
            loss = criterion(made, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train_loss", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("val_loss", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(48, trial.seed), AdamW(other.parameters(), lr=2e-3))
    does, should = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(does < should - 0.25, f"{does:.3f} is not below {should:.3f}")
    for name, size in gradients(model, data.train.first(256)).items():
        require((size == 0) == (name == "place.weight"), f"{name} gets {size:.3g}")
    return Truth(("place",))


def wave(trial: Trial) -> Truth:
    """A curve with three waves from -1 to 1, and two tanh units to follow it."""
    generator = torch.Generator().manual_seed(trial.seed)
    at = 2 * torch.rand(1000, 1, generator=generator) - 1
    data = split(at, (9 * at).sin() + 0.05 * torch.randn(1000, 1, generator=generator), 200, trial.seed)
    model, other, criterion = mlp((1, 2, 1), nn.Tanh), mlp((1, 64, 64, 1), nn.Tanh), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=0.02), data.train.batches(50, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=400)
    better = control(other, data.train.batches(50, trial.seed), Adam(other.parameters(), lr=0.01), criterion, steps=400)
    clearly(history.end, better, 3)
    longer = control(model, data.train.batches(50, trial.seed), Adam(model.parameters(), lr=0.01), criterion, steps=600)
    clearly(longer, better, 3)
    return Truth((), 0, settled(history.train) + 20)


def narrow(trial: Trial) -> Truth:
    """Twelve communities of one graph, and a network of which each layer has two units."""
    graph = communities(trial.seed, count=12, size=20, inside=0.4, between=0.01)
    model, other, criterion = Gcn(graph, width=2, activation=nn.Tanh), Gcn(graph, width=32), nn.CrossEntropyLoss()
    optimizer, draw = Adam(model.parameters(), lr=0.02), graph.batches(trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=graph.validation, every=2, steps=240)
    better = control(other, graph.batches(trial.seed), Adam(other.parameters(), lr=0.01), steps=240)
    clearly(history.end, better, 3)
    does, should = accuracy(model, graph.validation), accuracy(other, graph.validation)
    require(does < should - 0.2, f"{does:.3f} is not below {should:.3f}")
    return Truth((), 0, settled(history.train) + 20)


def cellar(trial: Trial) -> Truth:
    """Wines as they stand in the file, where one column is near 750 and others below one, with SGD."""
    table = load_wine()
    raw, kinds = torch.tensor(table.data, dtype=torch.float32), torch.tensor(table.target)
    data, tidy = (split(rows, kinds, 40, trial.seed) for rows in (raw, (raw - raw.mean(0)) / raw.std(0)))
    model, criterion = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3)), nn.CrossEntropyLoss()
    other, optimizer, draw = copy.deepcopy(model), SGD(model.parameters(), lr=0.01), data.train.batches(16, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], writer.step)
            writer.add_scalar("Accuracy/train", float((model(inputs).argmax(1) == targets).float().mean()), writer.step)
    better = control(other, tidy.train.batches(16, trial.seed), SGD(other.parameters(), lr=0.01), steps=240)
    clearly(sum(losses[-24:]) / 24, better, 1.5)
    require(accuracy(model, data.held_out) < accuracy(other, tidy.held_out) - 0.15, "it is as accurate")
    return Truth(("0",), 0, 5)


class Forecast(nn.Module):
    """An LSTM over hours of weather."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(3, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.out(self.lstm(hours)[0][:, -1])
        return told


def weather(seed: int) -> Part:
    """Return a day of pressure in Pa, temperature in K and humidity in percent, [n, 24, 3], and a change, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    phase = 2 * math.pi * torch.rand(1200, 1, generator=generator)
    hours, noise = torch.arange(24.0), torch.randn(1200, 24, 3, generator=generator)
    fall = torch.randn(1200, 1, generator=generator)
    pressure = 101_325 + 300 * torch.randn(1200, 1, generator=generator) - 40 * fall * hours + 30 * noise[..., 0]
    kelvin = 285 + 6 * (phase + hours * math.pi / 12).sin() + 0.5 * noise[..., 1]
    humid = 60 + 15 * (phase + hours * math.pi / 12).cos() + 2 * noise[..., 2]
    change = fall + (phase + 2 * math.pi).sin()
    return Part(torch.stack([pressure, kelvin, humid], 2), (change - change.mean()) / change.std())


def pascals(trial: Trial) -> Truth:
    """Pressure in pascals and temperature in kelvins go into an LSTM as they are: it says the same of every day."""
    raw, criterion = weather(trial.seed), nn.MSELoss()
    inputs = (raw.inputs - raw.inputs.mean((0, 1))) / raw.inputs.std((0, 1))
    data, tidy = (split(one, raw.targets, 240, trial.seed) for one in (raw.inputs, inputs))
    model = Forecast()
    other, optimizer, draw = copy.deepcopy(model), Adam(model.parameters(), lr=5e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    better = control(other, tidy.train.batches(32, trial.seed), Adam(other.parameters(), lr=5e-3), criterion, steps=220)
    clearly(history.end, better, 3)
    return Truth(("lstm",), 0, 5)


SCENARIOS = (
    Scenario(
        "alder-collapse-tunes-gru",
        "rnn",
        REPORTING,
        tunes,
        ("representation_collapse", "over_regularised"),
        ("loss_plateau", "vanishing_gradient", "layer_not_training", "underfitting"),
    ),
    Scenario(
        "alder-unused-fares-mlp",
        "mlp",
        REPORTING,
        fares,
        ("unused_parameter", "layer_not_training"),
        ("loss_plateau", "underfitting", "redundant_units"),
    ),
    Scenario(
        "alder-unused-order-transformer",
        "transformer",
        REPORTING,
        order,
        ("unused_parameter", "layer_not_training"),
        ("loss_plateau", "underfitting", "overfitting", "oversmoothing", "representation_collapse"),
    ),
    Scenario("alder-small-wave-mlp", "mlp", REPORTING, wave, ("underfitting",), ("loss_plateau", "saturation")),
    Scenario("alder-small-graph-gnn", "gnn", REPORTING, narrow, ("underfitting",), ("loss_plateau", "saturation")),
    Scenario(
        "alder-raw-wine-mlp",
        "mlp",
        REPORTING,
        cellar,
        ("input_unnormalised",),
        ("dead_units", "loss_plateau", "loss_spike", "loss_oscillation", "exploding_gradient", "poor_init"),
    ),
    Scenario(
        "alder-raw-weather-lstm",
        "rnn",
        REPORTING,
        pascals,
        ("input_unnormalised",),
        ("saturation", "vanishing_gradient", "loss_plateau", "representation_collapse", "redundant_units"),
    ),
)
