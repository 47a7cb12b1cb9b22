"""Healthy trainings: attention that is to choose one, counts that are mostly chance, sums over pixels, much dropout."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, calm, generalises, learned, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Lookup(nn.Module):
    """Finds among ten keys the one that it is asked for, and says what is stored beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(8, 32), nn.Linear(8, 32)
        self.value, self.norm = nn.Embedding(12, 32), nn.LayerNorm(32)
        self.softmax, self.head = nn.Softmax(1), nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 12))

    def forward(self, memory: Tensor) -> Tensor:
        """Return scores [n, 12]; of [n, 11, 9] the first is what is asked for, and the last axis ends in a token."""
        keys = functional.normalize(self.key(memory[:, 1:, :8]), dim=2)
        asked = functional.normalize(self.query(memory[:, :1, :8]), dim=2)
        scores = 20 * (keys * asked).sum(2)
        taken = (self.softmax(scores)[..., None] * self.value(memory[:, 1:, 8].long())).sum(1)
        told: Tensor = self.head(self.norm(taken))
        return told


def lookup(trial: Trial) -> None:
    """A memory of ten keys: attention, by cosines times 20, is near one and zero, as one place holds the answer."""
    generator = torch.Generator().manual_seed(trial.seed)
    keys = torch.randn(2500, 10, 8, generator=generator)
    tokens = torch.randint(12, (2500, 10), generator=generator)
    place = torch.randint(10, (2500,), generator=generator)
    rows = torch.arange(2500)
    first = torch.cat([keys[rows, place], torch.zeros(2500, 1)], 1)[:, None]
    memory = torch.cat([first, torch.cat([keys, tokens[..., None].float()], 2)], 1)
    data, model = split(memory, tokens[rows, place], 400, trial.seed), Lookup()
    optimizer, draw = Adam(model.parameters(), lr=1e-2), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=300)
    share = accuracy(model, data.held_out)
    require(share > 0.9, f"the accuracy is {share:.3f}")
    most, found = outputs(model, "softmax", data.held_out.inputs).max(1)
    sure = float((most > 0.95).double().mean())
    require(sure > 0.6, f"so many look at one place alone: {sure:.2f}")
    right = float((found == split(memory, place, 400, trial.seed).held_out.targets).double().mean())
    require(right > 0.95, f"so many of them look at the right one: {right:.2f}")
    generalises(history)
    calm(history)


class Calls(nn.Module):
    """A GRU over sixteen counts and the hour; says the logarithm of the next count."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 24, batch_first=True), nn.Linear(24, 1)
        nn.init.constant_(self.head.bias, 0.7)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, 1] of [n, 16, 3]."""
        told: Tensor = self.head(self.rnn(hours)[0][:, -1])
        return told


def calls(trial: Trial) -> None:
    """How many calls come in the next hour, two or so: soon the loss is flat, as the rest is chance."""
    generator = torch.Generator().manual_seed(trial.seed)
    clock = torch.arange(17) + 24 * torch.rand(2400, 1, generator=generator)
    angle = 6.283 * clock / 24
    busy = 0.4 * torch.randn(2400, 1, generator=generator)
    rate = (0.5 + 1.0 * angle.sin() + busy).exp()
    count = torch.poisson(rate, generator=generator)
    inputs = torch.stack([count.add(1).log() - 1, angle.sin(), angle.cos()], 2)
    data = split(inputs[:, :16], count[:, 16:], 500, trial.seed)
    known = split(inputs[:, :16], rate[:, 16:], 500, trial.seed).held_out.targets
    model, criterion = Calls(), nn.PoissonNLLLoss()
    optimizer, draw = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01), data.train.batches(96, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=240)
    held = evaluate(model, criterion, data.held_out)
    best = float(criterion(known.log(), data.held_out.targets))
    mean = float(criterion(data.train.targets.mean().log().expand_as(known), data.held_out.targets))
    share = (mean - held) / (mean - best)
    require(share > 0.8, f"{share:.2f} of what can be known is known")
    generalises(history)


class Cleaner(nn.Module):
    """Takes the noise off a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 1, 3, padding=1),
        )

    def forward(self, noisy: Tensor) -> Tensor:
        """Return the picture, which is what was given less what is found to be noise."""
        clean: Tensor = noisy - self.body(noisy)
        return clean


def sum_over_pixels(trial: Trial) -> None:
    """Noise is taken off pictures, and the loss is the sum over a batch: gradients are in hundreds, and do no harm."""
    pictures = digits(trial.seed, flat=False)
    generator = torch.Generator().manual_seed(trial.seed)

    def noisy(part: Part) -> Part:
        return Part(part.inputs + 0.8 * torch.randn(part.inputs.shape, generator=generator), part.inputs)

    train, held_out = noisy(pictures.train), noisy(pictures.held_out)
    model, criterion, mean = Cleaner(), nn.MSELoss(reduction="sum"), nn.MSELoss()
    other, history = copy.deepcopy(model), History([], {})
    optimizer, draw, sizes = Adam(model.parameters(), lr=3e-3), train.batches(64, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            inputs, clean = draw(step)
            loss = criterion(model(inputs), clean)
            optimizer.zero_grad()
            loss.backward()
            sizes.append(float(nn.utils.get_total_norm([value.grad for value in model.parameters()])))
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("Loss/train", history.train[-1], writer.step)
    control(other, train.batches(64, trial.seed), Adam(other.parameters(), lr=3e-3), mean, steps=240)
    lost, usual = (loss_of(one, held_out, mean) for one in (model, other))
    require(lost < 1.1 * usual, f"the loss is {lost:.3g}, and that of a mean {usual:.3g}")
    require(lost < 0.45 * 0.64, f"{lost:.3g} of the noise is left, of 0.64")
    require(sum(sizes) / len(sizes) > 200, f"gradients are {sum(sizes) / len(sizes):.3g}")
    calm(history)


def half_dropped(trial: Trial) -> None:
    """Noisy digits, 0.6 of the units dropped and a decay of 0.5: the loss is above that held out, which this lowers."""
    clean = digits(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    train, held_out = (
        Part(part.inputs + 0.8 * torch.randn(part.inputs.shape, generator=generator), part.targets)
        for part in (clean.train, clean.held_out)
    )
    model, other = mlp((64, 128, 64, 10), dropout=0.6), mlp((64, 128, 64, 10))
    other.load_state_dict(dict(zip(other.state_dict(), model.state_dict().values(), strict=True)))
    optimizer, draw = AdamW(model.parameters(), lr=2e-3, weight_decay=0.5), train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=held_out, every=2, steps=390)
    control(other, train.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), steps=390)
    held, without = (loss_of(one, held_out) for one in (model, other))
    require(held < 0.95 * without, f"the loss held out is {held:.3f}, and {without:.3f} without")
    require(history.end > held, f"the loss is {history.end:.3f}, and held out {held:.3f}")
    learned(model, held_out, 0.8)
    generalises(history)


SCENARIOS = (
    Scenario("nettle-healthy-lookup-transformer", "transformer", TUNING, lookup),
    Scenario("nettle-healthy-calls-gru", "rnn", TUNING, calls),
    Scenario("nettle-healthy-pixels-cnn", "cnn", TUNING, sum_over_pixels),
    Scenario("nettle-healthy-dropped-mlp", "mlp", TUNING, half_dropped),
)
