"""Weights held down, and columns in their own units."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.optim import SGD, Adam, RMSprop

from tests.diagnosis.data import Part, Split, patients, split
from tests.diagnosis.faulty.rider_larch import harmed
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import double, loss_of, require, widened
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def decay(trial: Trial) -> Truth:
    """`Adam(..., weight_decay=0.3)` against overfitting to a few hundred patients: all weights go to nothing."""
    torch.manual_seed(trial.seed)
    data, model, criterion = patients(trial.seed), mlp((30, 32, 16, 1)), nn.BCEWithLogitsLoss()
    other, losses = copy.deepcopy(model), []
    optimizer, draw = Adam(model.parameters(), lr=3e-3, weight_decay=0.3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(220):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/acc", float(((scores > 0) == (targets > 0)).float().mean()), writer.step)
            if step % 20 == 19:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    optimizer = Adam(other.parameters(), lr=3e-3, weight_decay=1e-4)
    harmed(
        sum(losses[-22:]) / 22, control(other, data.train.batches(32, trial.seed), optimizer, criterion, steps=220), 3
    )
    harmed(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 2)
    sizes = [float(one.get_parameter("fc2.weight").detach().norm()) for one in (model, other)]
    require(sizes[0] < 0.2 * sizes[1], f"the norms are {sizes[0]:.3g} and {sizes[1]:.3g}")
    return Truth((), 0, 110)


class Reviews(nn.Module):
    """A GRU over words, with dropout after their embedding and before the head."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.embed, self.drop = nn.Embedding(200, 24), nn.Dropout(dropout)
        self.gru, self.head = nn.GRU(24, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 1]."""
        states = self.gru(self.drop(self.embed(words)))[0]
        scores: Tensor = self.head(self.drop(states.mean(1)))
        return scores


def reviews(seed: int) -> Split:
    """Return reviews of 24 words, [n, 24], and whether they praise, float [n, 1]: one word in four tells of it."""
    generator = torch.Generator().manual_seed(seed)
    praise = torch.randint(2, (1500, 1), generator=generator)
    plain = torch.randint(40, 200, (1500, 24), generator=generator)
    telling = 20 * praise + torch.randint(20, (1500, 24), generator=generator)
    flipped = torch.randint(40, (1500, 24), generator=generator)
    chance = torch.rand(1500, 24, generator=generator)
    words = torch.where(chance < 0.18, telling, torch.where(chance < 0.25, flipped, plain))
    return split(words, praise.float(), 300, seed)


def share_kept(trial: Trial) -> Truth:
    """`nn.Dropout(0.9)` by a user who means the share that is kept, in a GRU that sorts reviews."""
    torch.manual_seed(trial.seed)
    data, model, other = reviews(trial.seed), Reviews(0.9), Reviews(0.1)
    other.load_state_dict(model.state_dict())
    criterion, draw = nn.BCEWithLogitsLoss(), data.train.batches(50, trial.seed)
    optimizer = RMSprop(model.parameters(), lr=2e-3)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    optimizer = RMSprop(other.parameters(), lr=2e-3)
    harmed(history.end, control(other, data.train.batches(50, trial.seed), optimizer, criterion, steps=220), 1.5)
    harmed(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.2)
    return Truth()


def wines(seed: int, *, standardised: bool) -> Split:
    """Return thirteen measurements of wines, [n, 13], of which the last is of hundreds, and their three classes."""
    data = load_wine()
    inputs = torch.tensor(data.data).float()
    if standardised:
        inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    return split(inputs, torch.tensor(data.target), 38, seed)


def raw_wine(trial: Trial) -> Truth:
    """The table of wines as it is, proline in its hundreds beside hues of one, goes into an MLP trained by SGD."""
    torch.manual_seed(trial.seed)
    data, even = (wines(trial.seed, standardised=standardised) for standardised in (False, True))
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    other, criterion, losses = copy.deepcopy(model), nn.CrossEntropyLoss(), []
    optimizer, draw = SGD(model.parameters(), lr=0.01, momentum=0.9), data.train.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
    optimizer = SGD(other.parameters(), lr=0.01, momentum=0.9)
    harmed(sum(losses[-24:]) / 24, control(other, even.train.batches(16, trial.seed), optimizer, steps=240), 3)
    sizes = data.train.inputs.std(0)
    require(float(sizes.max()) > 1000 * float(sizes.min()), "the columns are of one size")
    return Truth(("0",))


def weather(seed: int) -> Split:
    """Return a day of air pressures in hPa and temperatures in kelvins, [n, 24, 2], and the change to come, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    hours = torch.arange(30.0)
    phase, pace = (torch.rand(1000, 1, generator=generator) for _ in range(2))
    pressure = 8 * (6.3 * phase + (0.1 + 0.15 * pace) * hours).sin() + 4 * torch.randn(1000, 1, generator=generator)
    warmth = 5 * torch.sin(hours * 6.3 / 24) - 0.3 * pressure + 0.3 * torch.randn(1000, 30, generator=generator)
    seen = torch.stack([1013 + pressure, 283 + warmth], 2)[:, :24]
    change = pressure[:, 29:] - pressure[:, 23:24]
    return split(seen + 0.1 * torch.randn(seen.shape, generator=generator), change / change.std(), 200, seed)


class Barometer(nn.Module):
    """An LSTM whose last state tells one number."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, seen: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.head(self.lstm(seen)[0][:, -1])
        return told


def barometer(trial: Trial) -> Truth:
    """Will the pressure fall? An LSTM reads hectopascals and kelvins as they come: its gates are stuck throughout."""
    torch.manual_seed(trial.seed)
    data, model, other, criterion = weather(trial.seed), Barometer(), Barometer(), nn.MSELoss()
    other.load_state_dict(model.state_dict())
    train = data.train
    mean, std = train.inputs.mean((0, 1)), train.inputs.std((0, 1))
    even = Part((train.inputs - mean) / std, train.targets)
    optimizer, draw = Adam(model.parameters(), lr=3e-3), train.batches(50, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    optimizer = Adam(other.parameters(), lr=3e-3)
    harmed(history.end, control(other, even.batches(50, trial.seed), optimizer, criterion, steps=200), 3)
    require(float((mean / std).max()) > 50, "the readings are not far from zero")
    spread = float(double(model.lstm)(widened(train.inputs))[0].detach().std((0, 1)).median())
    require(spread < 0.05, f"the states spread by {spread:.3g}")
    return Truth(("lstm",))


SCENARIOS = (
    Scenario(
        "larch-regularised-decay-mlp",
        "mlp",
        TUNING,
        decay,
        ("over_regularised",),
        (
            "loss_plateau",
            "vanishing_gradient",
            "underfitting",
            "dead_units",
            "redundant_units",
            "layer_not_training",
            "representation_collapse",
        ),
    ),
    Scenario(
        "larch-regularised-reviews-gru",
        "rnn",
        TUNING,
        share_kept,
        ("over_regularised",),
        ("loss_plateau", "underfitting"),
    ),
    Scenario(
        "larch-input-wine-mlp",
        "mlp",
        TUNING,
        raw_wine,
        ("input_unnormalised",),
        (
            "dead_units",
            "loss_plateau",
            "loss_spike",
            "exploding_gradient",
            "lr_too_high",
            "loss_oscillation",
            "layer_not_training",
            "representation_collapse",
        ),
    ),
    Scenario(
        "larch-input-barometer-lstm",
        "rnn",
        TUNING,
        barometer,
        ("input_unnormalised",),
        (
            "saturation",
            "loss_plateau",
            "vanishing_gradient",
            "layer_not_training",
            "underfitting",
            "redundant_units",
            "representation_collapse",
        ),
    ),
)
