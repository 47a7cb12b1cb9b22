"""What goes in and what comes out: scales, ranges, losses, rare classes, and modes that differ."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tb_netviz_plugin.diagnosis import Severity
from tests.diagnosis.data import Part, communities, curves, digits, patients, split
from tests.diagnosis.faulty.outputs import all_linear, uneven
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Gcn, Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Dropped(nn.Module):
    """Three layers between which what ReLU makes is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.head = nn.Linear(8, 48), nn.Linear(48, 48), nn.Linear(48, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 1]."""
        hidden = self.fc1(inputs)
        functional.relu(hidden)
        hidden = self.fc2(hidden)
        functional.relu(hidden)
        told: Tensor = self.head(hidden)
        return told


def result_thrown_away(trial: Trial) -> Truth:
    """`F.relu(x)` instead of `x = F.relu(x)`, twice: the network is linear."""
    data, model = curves(trial.seed), Dropped()
    fit(trial, model, data.train.batches(64), criterion=nn.MSELoss(), validation=data.held_out)
    return all_linear(model, data.train.inputs, ("fc1", "fc2", "head"))


def activation_forgotten(trial: Trial) -> Truth:
    """Three graph convolutions one upon another: the ReLUs of the tutorial are missing."""
    graph = communities(trial.seed)
    model = Gcn(graph, depth=3, activation=nn.Identity)
    fit(trial, model, graph.batches(noise=0.3), Adam(model.parameters(), lr=5e-3), validation=graph.validation)
    return linear_between(model, graph.features)


def linear_between(model: nn.Module, nodes: Tensor) -> Truth:
    """Return the truth that scores are affine in the nodes' features; raise if they are not."""
    precise, others = double(model).eval(), nodes.flip(0).double()
    with torch.no_grad():
        ends = (precise(nodes.double()) + precise(others)) / 2
        middle = precise((nodes.double() + others) / 2)
    require(torch.allclose(ends, middle, atol=1e-9), "the network is not linear")
    return Truth((*(f"convs.{at}.linear" for at in range(3)), "head"))


def raw_scores_as_logarithms(trial: Trial) -> Truth:
    """NLLLoss on scores that no log_softmax has made shares of: it falls below zero, without end."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), norm=False)
    history = fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=1e-3), nn.NLLLoss(), steps=160)
    shares = double(model)(data.train.inputs[:200].double()).exp().sum(1)
    require(history.end < -5 and float(shares.max()) > 2, f"the loss is {history.end:.3g}")
    return Truth()


class Forecast(nn.Module):
    """Two LSTMs; the state of the second, of one unit, is the forecast."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(1, 24, batch_first=True), nn.LSTM(24, 1, batch_first=True)

    def forward(self, series: Tensor) -> Tensor:
        """Return [n, 1] of [n, length, 1]."""
        told: Tensor = self.decoder(self.encoder(series)[0])[0][:, -1]
        return told


def waves(seed: int, *, length: int, size: float = 1.0, count: int = 1200) -> tuple[Tensor, Tensor]:
    """Return noisy waves [n, length, 1] of periods from 6 to 14, and the same one place later."""
    generator = torch.Generator().manual_seed(seed)
    pace = 2 * torch.pi / (6 + 8 * torch.rand(count, 1, generator=generator))
    phase = 2 * torch.pi * torch.rand(count, 1, generator=generator)
    values = torch.sin(pace * torch.arange(length + 1) + phase)
    values = size * (values + 0.05 * torch.randn(values.shape, generator=generator))[..., None]
    return values[:, :-1], values[:, 1:]


def state_as_forecast(trial: Trial) -> Truth:
    """The state of an LSTM, which lies between −1 and 1, is taken for a temperature between −12 and 12."""
    inputs, following = waves(trial.seed, length=12, size=12.0)
    data = split(inputs / 12, following[:, -1], 200, trial.seed)
    model, other = Forecast(), Recurrent(nn.LSTM, 1, inputs=1)
    criterion = nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=1e-2)
    history = fit(
        trial, model, data.train.batches(32), optimizer, criterion, validation=data.held_out, every=2, steps=250
    )
    better = control(other, data.train.batches(32), Adam(other.parameters(), lr=3e-2), criterion, steps=250)
    worse(history.end, better)
    told = double(model)(data.train.inputs.double()).abs().max()
    beyond = float((data.train.targets.abs() > 1).double().mean())
    require(float(told) <= 1 and beyond > 0.7, f"{beyond:.2f} of the targets are out of reach")
    return Truth()


def signed_targets(trial: Trial) -> Truth:
    """Targets of −1 and 1, as of a support vector machine, in a loss for 0 and 1: it falls below zero without end."""
    data = patients(trial.seed)
    signed = Part(data.train.inputs, 2 * data.train.targets - 1)
    model = mlp((30, 32, 32, 1))

    def criterion(made: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(made, targets)

    history = fit(trial, model, signed.batches(32), Adam(model.parameters(), lr=2e-3), criterion, steps=200)
    require(history.end < -0.5 and set(signed.targets.flatten().tolist()) == {-1.0, 1.0}, "the loss is above zero")
    return Truth()


def prices(seed: int, count: int = 1200) -> tuple[Tensor, Tensor]:
    """Return 16 days of change, spread, price and volume, [n, 16, 4], and whether the changes add up to a gain."""
    generator = torch.Generator().manual_seed(seed)
    change, spread, price, volume = torch.randn(4, count, 16, generator=generator)
    days = torch.stack([0.02 * change, 0.01 + 0.002 * spread, 100 + 20 * price, 3e6 + 8e5 * volume], 2)
    return days, (change.mean(1) > 0).long()


class Market(Transformer):
    """A transformer over days of numbers."""

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.register_module("embed", nn.Linear(4, 24))


def prices_and_volumes(trial: Trial) -> Truth:
    """A transformer over days of changes in the percents and volumes in the millions, as they are."""
    data = split(*prices(trial.seed), 200, trial.seed)
    model = Market()
    other = copy.deepcopy(model)
    flat = data.train.inputs.flatten(0, 1)
    scaled = Part((data.train.inputs - flat.mean(0)) / flat.std(0), data.train.targets)
    optimizer = AdamW(model.parameters(), lr=2e-3)
    history = fit(trial, model, data.train.batches(32), optimizer, validation=data.held_out, every=2, steps=150)
    worse(history.end, control(other, scaled.batches(32), AdamW(other.parameters(), lr=2e-3), steps=150))
    return uneven(data.train.inputs)


def sentences(seed: int, count: int = 900, length: int = 16) -> tuple[Tensor, Tensor]:
    """Return sentences [n, length] of forty words, and which words are names: one in forty, the second of a pair."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(40, (count, length), generator=generator)
    named = torch.zeros(count, length, dtype=torch.long)
    named[:, 1:] = (words[:, :-1] < 8) & (words[:, 1:] >= 35)
    return words, named


def names_overlooked(trial: Trial) -> Truth:
    """Names in sentences, one word in forty: that nothing is a name is right nearly everywhere."""
    data = split(*sentences(trial.seed), 200, trial.seed)
    model = Transformer(40, 2, each=True)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    fit(trial, model, data.train.batches(32), optimizer, validation=data.held_out, steps=160)
    share = float(data.train.targets.double().mean())
    with torch.no_grad():
        told = double(model).eval()(data.held_out.inputs).argmax(1)
    found = float(told[data.held_out.targets == 1].double().mean())
    require(share < 0.05 and found < 0.3, f"{found:.2f} of the names are found, and {share:.3f} of all words are")
    return Truth()


def frauds_overlooked(trial: Trial) -> Truth:
    """Frauds in a graph of payments: four of the 120 accounts that are trained on."""
    graph = communities(trial.seed, count=2, size=120, inside=0.05, between=0.04)
    fraud = graph.communities == 1
    keep = torch.cat([graph.train[~fraud[graph.train]], graph.train[fraud[graph.train]][:4]])
    graph = replace(graph, train=keep, features=graph.features * 0.4)
    model = Gcn(graph)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    fit(trial, model, graph.batches(noise=0.1), optimizer, validation=graph.validation)
    with torch.no_grad():
        told = double(model).eval()(graph.features.double()).argmax(1)
    found = float((told[graph.communities[graph.held_out] == 1] == 1).double().mean())
    require(found < 0.3, f"{found:.2f} of the frauds are found")
    return Truth()


class Told(nn.Module):
    """Forecasts waves place by place: in training from what was, in evaluation from the tenth place on from itself."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Return [n, length, 1]."""
        if self.training:
            given: Tensor = self.head(self.rnn(series)[0])
            return given
        states, state = self.rnn(series[:, :10])
        made = [self.head(states)]
        for _ in range(series.shape[1] - 10):
            states, state = self.rnn(made[-1][:, -1:], state)
            made.append(self.head(states))
        return torch.cat(made, 1)


def told_in_training(trial: Trial) -> Truth:
    """In training each value is forecast from the true ones before it, in evaluation from the network's own."""
    data = split(*waves(trial.seed, length=40), 200, trial.seed)
    model, criterion = Told(), nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=1e-2)
    history = fit(
        trial, model, data.train.batches(32), optimizer, criterion, validation=data.held_out, every=2, steps=180
    )
    evaluation = loss_of(model, data.train, criterion)
    require(evaluation > 5 * history.end, f"it is {history.end:.3g} in training and {evaluation:.3g} in evaluation")
    return Truth()


def held_out_as_it_is(trial: Trial) -> Truth:
    """Pictures are standardised for training, and those that are held out are not."""
    data = digits(trial.seed, flat=False)
    raw = Part(6.0 * data.held_out.inputs + 4.9, data.held_out.targets)
    model = cnn((8, 16))
    optimizer = Adam(model.parameters(), lr=2e-3)
    history = fit(trial, model, data.train.batches(48), optimizer, validation=raw, steps=180)
    should, does = (loss_of(model, part) for part in (data.held_out, raw))
    require(does > 2 * history.end + 0.4 and should < history.end + 0.2, f"it is {does:.3g} instead of {should:.3g}")
    return Truth()


_OUTPUT, _FEW, _MODES = ("wrong_output_or_loss",), ("class_imbalance",), ("train_eval_mismatch",)

SCENARIOS = (
    Scenario("linear-thrown-away-mlp", "mlp", TUNING, result_thrown_away, ("missing_nonlinearity",)),
    Scenario("linear-gcn", "gnn", TUNING, activation_forgotten, ("missing_nonlinearity",), least=Severity.INFO),
    Scenario("output-raw-scores-cnn", "cnn", TUNING, raw_scores_as_logarithms, _OUTPUT),
    Scenario("output-state-lstm", "rnn", TUNING, state_as_forecast, _OUTPUT, ("saturation", "underfitting")),
    Scenario("output-signed-mlp", "mlp", TUNING, signed_targets, _OUTPUT),
    Scenario("scale-volumes-transformer", "transformer", TUNING, prices_and_volumes, ("input_unnormalised",)),
    Scenario("few-names-transformer", "transformer", TUNING, names_overlooked, _FEW),
    Scenario("few-frauds-gcn", "gnn", TUNING, frauds_overlooked, _FEW, ("overfitting",)),
    Scenario("modes-told-gru", "rnn", TUNING, told_in_training, _MODES),
    Scenario("modes-held-out-cnn", "cnn", TUNING, held_out_as_it_is, _MODES, ("input_unnormalised",)),
)
