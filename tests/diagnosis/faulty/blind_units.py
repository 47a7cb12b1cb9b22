"""Units at their ends, and units that are dead or copies of one another."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tb_netviz_plugin.diagnosis import Severity
from tests.diagnosis.data import Part, Split, digits, majorities, split
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.units import dead, saturated, twins
from tests.diagnosis.networks import Recurrent, cnn, mlp
from tests.diagnosis.proof import outputs, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def pixels(part: Part, low: float, high: float) -> Part:
    """Return pictures whose darkest pixel is `low` and whose brightest is `high`."""
    least, most = part.inputs.min(), part.inputs.max()
    return Part(low + (part.inputs - least) / (most - least) * (high - low), part.targets)


def lasting(held: Mapping[int, bool]) -> int:
    """Return of the steps looked at the first from which on something holds; raise if it does not at the end."""
    require(held[max(held)], "it does not hold at the end")
    return 1 + max((step for step, holds in held.items() if not holds), default=-1)


def textbook(trial: Trial) -> Truth:
    """The network of a textbook: sigmoids, weights from a standard normal distribution, and pixels from 0 to 16."""
    data = digits(trial.seed)
    model, other = (mlp((64, 30, 10), nn.Sigmoid) for _ in range(2))
    for value in model.parameters():
        nn.init.normal_(value)
    raw = pixels(data.train, 0, 16)
    optimizer = SGD(model.parameters(), lr=0.5)
    history = fit(trial, model, raw.batches(32), optimizer, functional.cross_entropy, steps=300)
    worse(history.end, control(other, data.train.batches(32), SGD(other.parameters(), lr=0.5), steps=300), 1.5)
    return saturated(model, "act1", ("fc1",), raw.inputs)


class Nearby(nn.Module):
    """Attention of stations to one another, less to those that are far away."""

    def __init__(self, away: Tensor, inputs: int, made: int) -> None:
        super().__init__()
        self.register_buffer("away", away, persistent=False)
        self.query, self.key, self.value = (nn.Linear(inputs, made) for _ in range(3))
        self.softmax = nn.Softmax(-1)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, stations, made]."""
        scores = self.query(nodes) @ self.key(nodes).transpose(1, 2) / nodes.shape[2] ** 0.5
        taken: Tensor = self.softmax(scores - self.away) @ self.value(nodes)
        return taken


class Stations(nn.Module):
    """Tells the true value at each station from the noisy readings of all."""

    def __init__(self, away: Tensor) -> None:
        super().__init__()
        self.first, self.second = Nearby(away, 1, 16), Nearby(away, 16, 16)
        self.head = nn.Linear(16, 1)

    def forward(self, readings: Tensor) -> Tensor:
        """Return [n, stations, 1]."""
        hidden = functional.elu(self.first(readings))
        told: Tensor = self.head(functional.elu(self.second(hidden)))
        return told


def weather(places: Tensor, seed: int, count: int = 400) -> Split:
    """Return noisy readings at places [stations, 2] of kilometres, [n, stations, 1], and what is true there."""
    generator = torch.Generator().manual_seed(seed)
    slopes = 0.3 * torch.randn(count, 3, 2, generator=generator)
    phases = 2 * torch.pi * torch.rand(count, 3, 1, generator=generator)
    true = torch.sin(slopes @ places.T + phases).sum(1)[..., None]
    return split(true + 2 * torch.randn(true.shape, generator=generator), true, 80, seed)


def metres(trial: Trial) -> Truth:
    """Distances are in metres where kilometres were meant: each station attends to none but itself."""
    places = 5 * torch.rand(32, 2, generator=torch.Generator().manual_seed(trial.seed))
    data, away = weather(places, trial.seed), torch.cdist(places, places)
    model, criterion = Stations(1000 * away), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=1e-2), data.train.batches(8)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    around = (-away / 2).softmax(1) @ data.train.inputs
    known, true = torch.cat([data.train.inputs, around], 2).flatten(0, 1), data.train.targets.flatten(0, 1)
    fitted = known @ torch.linalg.lstsq(known, true).solution
    worse(history.end, float((fitted - true).square().mean()), 1.5)
    largest = outputs(model, "first.softmax", data.train.inputs).amax(2).mean()
    require(float(largest) > 0.99, f"the largest share is {float(largest):.3f}")
    parts = ("softmax", "query", "key", "value")
    return Truth((*(f"{layer}.{part}" for layer in ("first", "second") for part in parts), "first", "second"))


def ages(trial: Trial) -> Truth:
    """Ages from 20 to 110 are regressed as they are: the first steps are so long that all convolutions die."""
    data = digits(trial.seed, flat=False)
    train, held_out = (Part(part.inputs, 20.0 + 10 * part.targets[:, None]) for part in (data.train, data.held_out))
    model = cnn((8, 16), norm=False, classes=1)
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    held: dict[int, bool] = {}

    def look(step: int) -> None:
        if step < 40 or step == 199:
            held[step] = float(silent(model, "act2", train.inputs[:400]).double().mean()) > 0.8

    history = fit(trial, model, train.batches(32), optimizer, nn.MSELoss(), validation=held_out, after=look, steps=200)
    require(history.end > 0.8 * float(train.targets.var()), f"the loss is {history.end:.3g}")
    since = lasting(held)
    require(since < 40, "they did not die at once")
    dead(model, "act2", "conv2", train.inputs, 0.8)
    return Truth(("conv2", "conv1"), since)


class Sparse(nn.Module):
    """An autoencoder whose codes are wide and to be sparse; returns what it draws and the codes, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.act, self.decoder = nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 32)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 32 + 128]."""
        codes = self.act(self.encoder(inputs - self.decoder.bias))
        return torch.cat([self.decoder(codes), codes], 1)


def latents(trial: Trial) -> Truth:
    """A sparse autoencoder of another network's activations, whose penalty is so large that latents die."""
    body = mlp((64, 32, 10))
    data = digits(trial.seed)
    control(body, data.train.batches(64), Adam(body.parameters(), lr=3e-3), steps=120)
    inputs = body.fc1(data.train.inputs).detach()
    inputs = (inputs - inputs.mean(0)) / inputs.std()
    model, part = Sparse(), Part(inputs, inputs)

    def criterion(made: Tensor, targets: Tensor, weight: float = 0.5) -> Tensor:
        return (made[:, :32] - targets).square().mean() + weight * made[:, 32:].abs().sum(1).mean()

    optimizer = Adam(model.parameters(), lr=1e-2)
    held: dict[int, bool] = {}

    def look(step: int) -> None:
        if step % 10 == 9:
            held[step] = float(silent(model, "act", inputs).double().mean()) > 0.5

    fit(trial, model, part.batches(64), optimizer, criterion, after=look, steps=240)
    left = float((model(inputs)[:, :32] - inputs).square().mean() / inputs.var(0).mean())
    require(left > 0.7, f"only {left:.2f} of the variance is lost")
    return Truth(("encoder",), 0, lasting(held))


class Segmenter(nn.Module):
    """Convolutions to half the size, and an interpolation back to the whole one that is not learned."""

    def __init__(self, *, alike: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.Conv2d(12, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1, bias=False)
        self.act1, self.act2, self.out = nn.ReLU(), nn.ReLU(), nn.Conv2d(8, 4, 1)
        slope = torch.tensor([0.25, 0.75, 0.75, 0.25])
        pairs = torch.ones(8, 8) / 8 if alike else torch.eye(8)
        self.up.weight.data = pairs[:, :, None, None] * slope[:, None] * slope
        self.up.weight.requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 4, 16, 16]."""
        hidden = self.act2(self.conv2(self.act1(self.conv1(pictures))))
        scores: Tensor = self.out(self.up(hidden))
        return scores


def shapes(seed: int, count: int = 500) -> Split:
    """Return pictures [n, 1, 16, 16] of a bright, a dark and a striped square; and what is where, [n, 16, 16]."""
    generator = torch.Generator().manual_seed(seed)
    pictures, classes = 0.3 * torch.randn(count, 1, 16, 16, generator=generator), torch.zeros(count, 16, 16).long()
    stripes = 3.0 * torch.tensor([1.0, -1.0]).repeat(3)
    corners = torch.randint(10, (count, 3, 2), generator=generator).tolist()
    for number, kinds in enumerate(corners):
        for kind, (row, column) in enumerate(kinds, start=1):
            where = (slice(row, row + 6), slice(column, column + 6))
            pictures[number, 0][where] = (1.5, -1.5, stripes)[kind - 1]
            classes[number][where] = kind
    return split(pictures, classes, 100, seed)


def bilinear(trial: Trial) -> Truth:
    """A fixed bilinear kernel was set for all pairs of channels instead of for each with itself: eight are as one."""
    data = shapes(trial.seed)
    model, other = Segmenter(alike=True), Segmenter(alike=False)
    optimizer = Adam([value for value in model.parameters() if value.requires_grad], lr=5e-3)
    history = fit(trial, model, data.train.batches(12), optimizer, validation=data.held_out, every=2, steps=200)
    worse(history.end, control(other, data.train.batches(12), Adam(other.parameters(), lr=5e-3), steps=200), 1.3)
    return twins(model.up.weight.transpose(0, 1), "up", 0.99)


def constant_lstm(trial: Trial) -> Truth:
    """`init_weights` fills all weights of recurrent and linear layers with 0.05: the states of an LSTM stay alike."""
    data = majorities(trial.seed)
    model, other = (Recurrent(nn.LSTM, 3, inputs=12, tokens=12) for _ in range(2))

    def init_weights(module: nn.Module) -> None:
        if isinstance(module, (nn.LSTM, nn.Linear)):
            for value in module.parameters():
                nn.init.constant_(value, 0.05)

    model.apply(init_weights)
    draw = data.train.batches(32)
    history = fit(trial, model, draw, Adam(model.parameters(), lr=5e-3), validation=data.held_out, steps=220)
    worse(history.end, control(other, data.train.batches(32), Adam(other.parameters(), lr=5e-3), steps=220), 1.2)
    return twins(model.rnn.weight_ih_l0, "rnn", 0.99)


_SATURATED = ("saturation", "poor_init", "input_unnormalised")
_COPIES = ("redundant_units", "poor_init")

SCENARIOS = (
    Scenario("saturated-textbook-mlp", "mlp", TUNING, textbook, _SATURATED),
    Scenario(
        "saturated-metres-gnn",
        "gnn",
        TUNING,
        metres,
        ("saturation", "input_unnormalised"),
        ("vanishing_gradient", "layer_not_training"),
    ),
    Scenario(
        "dead-ages-cnn",
        "cnn",
        TUNING,
        ages,
        ("dead_units", "lr_too_high", "exploding_gradient"),
        ("loss_plateau", "loss_spike", "underfitting"),
    ),
    Scenario(
        "dead-latents-mlp",
        "mlp",
        TUNING,
        latents,
        ("dead_units", "over_regularised"),
        ("underfitting", "loss_plateau"),
    ),
    Scenario("copies-bilinear-cnn", "cnn", TUNING, bilinear, _COPIES, ("underfitting", "loss_plateau"), Severity.INFO),
    Scenario(
        "copies-constant-lstm",
        "rnn",
        TUNING,
        constant_lstm,
        _COPIES,
        ("underfitting", "loss_plateau"),
        Severity.INFO,
    ),
)
