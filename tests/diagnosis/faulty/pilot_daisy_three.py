"""Networks too small for the tide, digits and hires; learning rates too high for words, a pendulum and a picture."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Part, digits, language, split
from tests.diagnosis.faulty.pilot_daisy import much_worse
from tests.diagnosis.networks import Recurrent, Transformer, mlp
from tests.diagnosis.proof import finite, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def tide(seed: int) -> Part:
    """Return twenty hours of a water level and wind, [n, 20, 2], and the level two hours on, [n, 1], in -1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    start = 300 * torch.rand(1500, 1, generator=generator)
    hours = start + torch.arange(22)
    wind = torch.randn(1500, 22, generator=generator).cumsum(1) / 5
    level = 0.5 * (hours * 0.506).sin() + 0.25 * (hours * 0.9).sin() + 0.15 * wind.roll(2, 1).tanh()
    level = level + 0.01 * torch.randn(1500, 22, generator=generator)
    return Part(torch.stack([level, wind], 2)[:, :20], level[:, 21:])


def one_number_out(trial: Trial) -> Truth:
    """One number is to come out, so `hidden_size=1`: an LSTM of a single unit is to remember two tides and the wind."""
    torch.manual_seed(trial.seed)
    data, criterion = tide(trial.seed), nn.MSELoss()
    held_out, train = data.first(300), Part(data.inputs[300:], data.targets[300:])
    model, other = (Recurrent(nn.LSTM, 1, inputs=2, hidden=hidden) for hidden in (1, 32))
    optimizer = Adam(model.parameters(), lr=0.01)
    history = fit(
        trial, model, train.batches(32, trial.seed), optimizer, criterion, steps=300, validation=held_out, every=2
    )
    better = control(other, train.batches(32, trial.seed), Adam(other.parameters(), lr=0.01), criterion, steps=300)
    much_worse(history.end, better, 3)
    require(loss_of(model, held_out, criterion) < 1.3 * history.end, "it is no better in training")
    return Truth()


class Thumbnails(nn.Module):
    """A convolutional autoencoder of pictures [n, 1, 8, 8] whose code has so many numbers."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)
        self.code, self.back = nn.Linear(128, code), nn.Linear(code, 128)
        self.up1, self.up2 = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 1, 2, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the pictures as the code tells them."""
        code = self.code(functional.elu(self.down2(functional.elu(self.down1(pictures)))).flatten(1))
        wide = functional.elu(self.back(code)).unflatten(1, (32, 2, 2))
        made: Tensor = self.up2(functional.elu(self.up1(wide)))
        return made


def one_number_code(trial: Trial) -> Truth:
    """Digits are to be compressed "as far as it goes": with one number for a code, all come back as smears."""
    torch.manual_seed(trial.seed)
    pictures, criterion = digits(trial.seed, flat=False).train.inputs, nn.MSELoss()
    data, held_out = Part(pictures[200:], pictures[200:]), Part(pictures[:200], pictures[:200])
    model, other = Thumbnails(1), Thumbnails(24)
    optimizer, draw, losses = Adam(model.parameters(), lr=3e-3), data.batches(64, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            batch, _ = draw(step)
            loss = criterion(model(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/recon", losses[-1], writer.step)
            if step % 25 == 24:
                writer.add_scalar("val/recon", loss_of(model, held_out, criterion), writer.step)
    other_optimizer = Adam(other.parameters(), lr=3e-3)
    control(other, data.batches(64, trial.seed), other_optimizer, criterion, steps=300)
    found, better = (loss_of(one, held_out, criterion) for one in (model, other))
    much_worse(found, better, 2)
    require(found < 1.3 * sum(losses[-30:]) / 30, "it is no better in training")
    return Truth()


def hires(seed: int) -> tuple[Part, Part]:
    """Return hour, warmth, rain and weekend, [n, 4], and hires of bicycles, [n, 1]: to train on, and held out."""
    generator = torch.Generator().manual_seed(seed)
    hour, warmth = 24 * torch.rand(2000, generator=generator), torch.randn(2000, generator=generator)
    rain, weekend = (torch.rand(2, 2000, generator=generator) < torch.tensor([[0.2], [0.3]])).float()
    rush = (-((hour - 8) ** 2) / 4).exp() + (-((hour - 17.5) ** 2) / 6).exp()
    count = (1 - weekend) * 3 * rush + weekend * 2 * (-((hour - 14) ** 2) / 16).exp()
    count = (0.3 + count) * (1 - 0.6 * rain) * (1 - 0.2 * (warmth - 0.5) ** 2).clamp_min(0.1)
    count = count + 0.1 * torch.randn(2000, generator=generator)
    columns = torch.stack([(hour - 12) / 7, warmth, (rain - 0.2) / 0.4, (weekend - 0.3) / 0.46], 1)
    data = split(columns, ((count - count.mean()) / count.std())[:, None], 400, seed)
    return data.train, data.held_out


def straight_line(trial: Trial) -> Truth:
    """Hires of bicycles by hour and weather, with one linear layer: two rush hours are no straight line."""
    torch.manual_seed(trial.seed)
    data, held_out = hires(trial.seed)
    criterion, model, other = nn.MSELoss(), mlp((4, 1)), mlp((4, 64, 64, 1))
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=300, validation=held_out, every=None)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    control(other, data.batches(64, trial.seed), optimizer, criterion, steps=300)
    much_worse(loss_of(model, held_out, criterion), loss_of(other, held_out, criterion), 2)
    rows = torch.cat([data.inputs, torch.ones(len(data.inputs), 1)], 1).double()
    best = torch.linalg.lstsq(rows, data.targets.double()).solution
    least = float((rows @ best - data.targets).square().mean())
    require(loss_of(model, data, criterion) < 1.05 * least < 1.2 * history.end, "it isn't as good as a line can be")
    return Truth()


def bold_words(trial: Trial) -> Truth:
    """A small GPT at Adam's 0.1, "to be faster": it loses its way, and learns but half of which word follows."""
    torch.manual_seed(trial.seed)
    data = language(trial.seed)
    model = Transformer(20, 20, width=32, depth=4, each=True)
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=0.1)
    criterion, draw, losses = nn.CrossEntropyLoss(), data.train.batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            words, following = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(words), following)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss", losses[-1], writer.step)
            writer.add_scalar("perplexity", math.exp(min(losses[-1], 50)), writer.step)
    finite(model)
    better = control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=3e-3), steps=160)
    much_worse(sum(losses[-16:]) / 16, better, 1.3)
    return Truth(until=10)


def pendulum(seed: int) -> Part:
    """Return angles and speeds of a swinging pendulum, [n, 16, 2], and its next angle and speed, [n, 2]."""
    generator = torch.Generator().manual_seed(seed)
    angle, speed = (2 * torch.rand(2, 1200, generator=generator) - 1) * torch.tensor([[2.0], [1.5]])
    path = []
    for _moment in range(17 * 4):
        speed = speed - 0.06 * angle.sin() - 0.002 * speed
        angle = angle + 0.06 * speed
        path.append(torch.stack([angle, speed], 1))
    states = torch.stack(path[::4], 1)
    return Part(states[:, :16], states[:, 16])


def rate_of_one(trial: Trial) -> Truth:
    """SGD with momentum at a rate of 1 on a GRU that foretells a pendulum: each step overshoots."""
    torch.manual_seed(trial.seed)
    data, criterion = pendulum(trial.seed), nn.L1Loss()
    held_out, train = data.first(200), Part(data.inputs[200:], data.targets[200:])
    model = Recurrent(nn.GRU, 2, inputs=2)
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=1.0, momentum=0.9)
    draw = train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=220, validation=held_out)
    finite(model)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    better = control(other, train.batches(32, trial.seed), optimizer, criterion, steps=220)
    much_worse(history.end, better, 3)
    return Truth(until=10)


def painting(seed: int) -> Part:
    """Return places [n, 32] as waves of six lengths and more, and the colours of a picture there, [n, 3]."""
    generator = torch.Generator().manual_seed(seed)
    places = 2 * torch.rand(3000, 2, generator=generator) - 1
    waves = places @ (2 * torch.randn(2, 16, generator=generator))
    spots = 2 * torch.rand(8, 2, generator=generator) - 1
    nearness = (-8 * torch.cdist(places, spots) ** 2).exp()
    colours = torch.sigmoid(3 * nearness @ torch.randn(8, 3, generator=generator))
    return Part(torch.cat([waves.sin(), waves.cos()], 1), colours)


def endless_warmup(trial: Trial) -> Truth:
    """A warm-up `lambda step: step + 1` that lacks its division and its end: the rate grows until all is lost."""
    torch.manual_seed(trial.seed)
    data, criterion = painting(trial.seed), nn.MSELoss()
    model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=1e-3)
    schedule = LambdaLR(optimizer, lambda step: step + 1)
    history = fit(
        trial, model, data.batches(128, trial.seed), optimizer, criterion, steps=240, schedule=schedule, every=2
    )
    finite(model)
    better = control(other, data.batches(128, trial.seed), Adam(other.parameters(), lr=2e-3), criterion)
    much_worse(history.end, better, 3)
    smooth = [sum(history.train[at - 8 : at]) / 8 for at in range(8, 240)]
    least = min(smooth)
    onset = smooth.index(least) + 8
    lost = next(at for at in range(onset, 240) if smooth[at - 8] > 2 * least)
    return Truth((), min(onset, 10), lost + 20)


SMALL = ("loss_plateau",)
WILD = ("loss_oscillation", "loss_spike", "loss_plateau", "exploding_gradient", "saturation", "dead_units")
SCENARIOS = (
    Scenario("daisy-small-tide-lstm", "rnn", TUNING, one_number_out, ("underfitting",), SMALL),
    Scenario("daisy-small-code-cnn", "cnn", TUNING, one_number_code, ("underfitting",), SMALL),
    Scenario("daisy-small-hires-mlp", "mlp", TUNING, straight_line, ("underfitting", "missing_nonlinearity"), SMALL),
    Scenario(
        "daisy-bold-words-transformer",
        "transformer",
        TUNING,
        bold_words,
        ("lr_too_high",),
        (*WILD, "oversmoothing", "representation_collapse", "underfitting", "redundant_units", "vanishing_gradient"),
    ),
    Scenario("daisy-bold-pendulum-gru", "rnn", TUNING, rate_of_one, ("lr_too_high",), (*WILD, "underfitting")),
    Scenario("daisy-bold-warmup-mlp", "mlp", TUNING, endless_warmup, ("lr_too_high",), (*WILD, "underfitting")),
)
