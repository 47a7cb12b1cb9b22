"""Healthy trainings that embed signals and heartbeats, and that begin from weights of their own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, split
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def beats(seed: int, count: int = 1400) -> tuple[Part, Part]:
    """Return signals [n, 1, 32] of five shapes at any phase and height, to learn from and held out."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(5, (count,), generator=generator)
    phase, height = torch.rand(2, count, 1, generator=generator)
    time = 2 * math.pi * (2 * torch.linspace(0, 1, 32) + phase)
    wave = time.sin()
    shapes = torch.stack([wave, wave.sign(), wave.asin() + (2 * time).sin(), wave**5, (2 * time).cos() * wave], 1)
    signals = (0.7 + 0.6 * height) * shapes[torch.arange(count), classes]
    data = split((signals + 0.05 * torch.randn(count, 32, generator=generator))[:, None], classes, 300, seed)
    return data.train, data.held_out


class Encoder(nn.Module):
    """Three convolutions in time, a mean, and a projection onto sixteen numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv1d(1, 16, 5, padding=2), nn.BatchNorm1d(16)
        self.conv2, self.norm2 = nn.Conv1d(16, 32, 5, stride=2, padding=2), nn.BatchNorm1d(32)
        self.conv3, self.norm3 = nn.Conv1d(32, 48, 3, padding=1), nn.BatchNorm1d(48)
        self.project = nn.Sequential(nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 16))

    def features(self, signals: Tensor) -> Tensor:
        """Return [n, 48]."""
        hidden = functional.relu(self.norm1(self.conv1(signals)))
        hidden = functional.relu(self.norm2(self.conv2(hidden)))
        return functional.relu(self.norm3(self.conv3(hidden))).mean(2)

    def forward(self, signals: Tensor) -> Tensor:
        """Return embeddings [n, 16] of length 1."""
        return functional.normalize(self.project(self.features(signals)))


def altered(signals: Tensor, generator: torch.Generator) -> Tensor:
    """Return signals shifted, scaled, and with noise."""
    shift = int(torch.randint(32, (1,), generator=generator))
    scale = 0.8 + 0.4 * torch.rand(len(signals), 1, 1, generator=generator)
    return scale * signals.roll(shift, 2) + 0.1 * torch.randn(signals.shape, generator=generator)


def probed(features: Tensor, classes: Tensor, asked: Tensor, known: Tensor) -> float:
    """Return the share of what is asked that a linear layer over frozen features gets right."""
    probe, mean, deviation = nn.Linear(features.shape[1], 5), features.mean(0), features.std(0) + 1e-6
    learned = Part((features - mean) / deviation, classes)
    control(probe, learned.batches(128), Adam(probe.parameters(), lr=0.02), steps=150)
    return accuracy(probe, Part((asked - mean) / deviation, known))


def contrastive(trial: Trial) -> None:
    """Two views of a signal among those of 63 other ones, by their cosines: the loss has a floor well above 0."""
    torch.manual_seed(trial.seed)
    train, held_out = beats(trial.seed)
    model, generator = Encoder(), torch.Generator().manual_seed(trial.seed)
    optimizer, draw = AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4), train.batches(64, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            signals, _ = draw(step)
            both = model(torch.cat([altered(signals, generator), altered(signals, generator)]))
            scores = both @ both.T / 0.2
            scores = scores - 1e4 * torch.eye(128)
            loss = functional.cross_entropy(scores, torch.arange(128).roll(64))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("contrastive/loss", losses[-1], writer.step)
    model.eval()
    with torch.no_grad():
        learned, asked = model.features(train.inputs), model.features(held_out.inputs)
        apart = float(model(held_out.inputs).var(0).sum().sqrt())
    found = probed(learned, train.targets, asked, held_out.targets)
    raw = probed(train.inputs[:, 0], train.targets, held_out.inputs[:, 0], held_out.targets)
    require(apart > 0.5, f"the spread of the embeddings is {apart:.3g}")
    require(found > 0.9 and found > raw + 0.2, f"{found:.3f} are told apart, and {raw:.3f} by what was measured")
    require(sum(losses[-20:]) / 20 < 0.75 * math.log(127), "the loss has not fallen")


def hearts(seed: int, count: int = 1600) -> Tensor:
    """Return heartbeats, [n, 48], whose waves differ in height and place, less their mean."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.linspace(-1, 1, 48)
    beat = torch.zeros(count, 48)
    for at, width, height in ((-0.5, 0.02, 0.5), (0.0, 0.008, 2.0), (0.5, 0.04, 0.8)):
        tall, late = torch.randn(2, count, 1, generator=generator)
        beat = beat + height * (1 + 0.15 * tall) * torch.exp(-((axis - at - 0.015 * late) ** 2) / width)
    beat = beat + 0.02 * torch.randn(count, 48, generator=generator)
    return (beat - beat.mean(0)) / (beat - beat.mean(0)).std()


class Autoencoder(nn.Module):
    """Squeezes 48 numbers into a code of eight, and makes them anew."""

    def __init__(self, code: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(48, 64), nn.GELU(), nn.Linear(64, 8), code)
        self.decoder = nn.Sequential(nn.Linear(8, 64), nn.GELU(), nn.Linear(64, 48))

    def forward(self, rows: Tensor) -> Tensor:
        """Return rows [n, 48]."""
        made: Tensor = self.decoder(self.encoder(rows))
        return made


def alike(trial: Trial) -> None:
    """An autoencoder whose codes lie between 0 and 1: by their cosines all are alike, and they tell beats apart."""
    torch.manual_seed(trial.seed)
    rows = hearts(trial.seed)
    data, model, criterion = split(rows, rows, 300, trial.seed), Autoencoder(nn.Sigmoid()), nn.MSELoss()
    other = Autoencoder(nn.Identity())
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=320)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=5e-3), criterion, steps=320)
    found, plain = (loss_of(one, data.held_out, criterion) for one in (model, other))
    with torch.no_grad():
        codes = functional.normalize(model.encoder(data.held_out.inputs).double())
    cosine, differ = float((codes @ codes.T).mean()), float(data.held_out.targets.var(0).mean())
    require(cosine > 0.8, f"the mean cosine of codes is {cosine:.3g}")
    require(found < 0.06 * differ, f"the error is {found:.3g}, and beats differ by {differ:.3g}")
    require(found < plain + 0.02 * differ, f"the error is {found:.3g}, and {plain:.3g} of codes that may be anything")
    generalises(history)
    calm(history)


class Load(nn.Module):
    """A GRU whose recurrence begins orthogonal, and a head whose bias begins at the mean of what it is to say."""

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(2, 32, batch_first=True), nn.Linear(32, 1)
        for name, value in self.gru.named_parameters():
            if "weight_hh" in name:
                for gate in value.data.chunk(3):
                    nn.init.orthogonal_(gate)
            elif "weight_ih" in name:
                nn.init.xavier_uniform_(value)
            else:
                nn.init.zeros_(value)
        nn.init.constant_(self.head.bias, mean)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, 1] of [n, 24, 2]."""
        told: Tensor = self.head(self.gru(hours)[0][:, -1])
        return told


def load(trial: Trial) -> None:
    """Megawatts of a town an hour ahead, 40 on the whole: the bias begins there, and the loss is in squares of them."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    hours = torch.arange(1600.0)
    warm = 0.1 * torch.randn(1600, generator=generator).cumsum(0) + (2 * math.pi * hours / 24).sin()
    warm = warm - warm.unfold(0, 200, 1).mean(1).mean()
    level = 40 + 3 * (2 * math.pi * hours / 24).sin() + 2 * (4 * math.pi * hours / 24).cos() - 1.5 * warm.tanh()
    level = level + 0.4 * torch.randn(1600, generator=generator)
    seen = torch.stack([(level - 40) / 3, warm.tanh()], 1).unfold(0, 24, 1).transpose(1, 2)[:-1]
    data = split(seen, level[24:, None], 300, trial.seed)
    model, criterion = Load(float(data.train.targets.mean())), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, clip=10.0, every=2, steps=240)
    error, variance = loss_of(model, data.held_out, criterion), float(data.held_out.targets.var())
    require(error < 0.12 * variance, f"the error is {error:.3g}, and the variance {variance:.3g}")
    generalises(history)
    calm(history)


class Sine(nn.Module):
    """A linear layer and the sine of thirty times what it gives, or of it as it is."""

    def __init__(self, inputs: int, made: int, *, first: bool, omega: float) -> None:
        super().__init__()
        self.linear, self.omega = nn.Linear(inputs, made), omega
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / omega
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, made]."""
        return torch.sin(self.omega * self.linear(inputs))


def siren(omega: float) -> nn.Sequential:
    """Return a network that says how bright a place of a picture is."""
    return nn.Sequential(Sine(2, 48, first=True, omega=omega), Sine(48, 48, first=False, omega=omega), nn.Linear(48, 1))


def thirty(trial: Trial) -> None:
    """A network of sines learns one picture by its coordinates; thirtyfold sums, as its inventors have them."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    at = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 40), indexing="ij"), 2).view(-1, 2)
    phases = 6.28 * torch.rand(6, generator=generator)
    ways = 22 * (torch.rand(6, 2, generator=generator) - 0.5)
    bright = torch.sin(at @ ways.T + phases).sum(1, keepdim=True) / 1.73
    data = split(at, bright, 200, trial.seed)
    model, other, criterion = siren(30.0), siren(1.0), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(256, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=300)
    optimizer = Adam(other.parameters(), lr=1e-3)
    control(other, data.train.batches(256, trial.seed), optimizer, criterion, steps=300)
    found, plain = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(found < 0.1, f"the error is {found:.3g}, and the variance 1")
    require(found < 0.5 * plain, f"the error is {found:.3g}, and {plain:.3g} where sums are as they are")
    calm(history)


SCENARIOS = (
    Scenario("vetch-healthy-contrastive-cnn", "cnn", TUNING, contrastive),
    Scenario("vetch-healthy-alike-autoencoder", "mlp", TUNING, alike),
    Scenario("vetch-healthy-load-gru", "rnn", TUNING, load),
    Scenario("vetch-healthy-siren-mlp", "mlp", TUNING, thirty),
)
