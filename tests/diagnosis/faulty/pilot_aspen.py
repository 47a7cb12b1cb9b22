"""Losses that stay where they are, and units at their flat ends: mixed-up samples, masks, codes and scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.networks import Recurrent
from tests.diagnosis.proof import accuracy, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def mean(losses: Sequence[float]) -> float:
    """Return the mean of the last tenth."""
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last)


def worse(found: float, better: float, ratio: float = 1.3) -> None:
    """Raise NotProvenError unless a loss is so many times that of the training as it should be; NaN is worse."""
    require(better < torch.inf, "it does not learn as it should be either")
    require(not found <= ratio * better, f"the loss is {found:.3g}, and {better:.3g} as it should be")


def flat(losses: Sequence[float], share: float = 0.06) -> int:
    """Return up to which step one may begin to call a loss flat: twenty after which its means stay near the last."""
    end, means = mean(losses), [sum(losses[at : at + 10]) / 10 for at in range(len(losses) - 9)]
    away = [at for at, value in enumerate(means) if abs(value - end) > share * abs(end)]
    start = away[-1] + 1 if away else 0
    require(start < len(losses) / 2, f"the loss is flat from step {start} on only")
    return start + 20


class Digits(nn.Module):
    """Two convolutions and two linear layers, as in a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return scores


def shuffled_apart(trial: Trial) -> Truth:
    """`x = x[torch.randperm(n)]; y = y[torch.randperm(n)]` before each epoch: pictures lose their labels."""
    torch.manual_seed(trial.seed)
    data, model, criterion, losses = digits(trial.seed, flat=False), Digits(), nn.CrossEntropyLoss(), []
    pictures, labels, place = data.train.inputs, data.train.targets, torch.arange(len(data.train.targets))
    optimizer = Adam(model.parameters(), lr=1e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(10):
            first, second = torch.randperm(len(labels)), torch.randperm(len(labels))
            pictures, labels, place = pictures[first], labels[second], place[first]
            for x, y in zip(pictures.split(64), labels.split(64), strict=True):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    share = float((labels == data.train.targets[place]).float().mean())
    require(share < 0.15, f"{share:.2f} of the labels are right")
    other = Digits()
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-3), steps=200)
    worse(mean(losses), better, 4)
    require(accuracy(model, data.held_out) < 0.25, "it learned")
    return Truth((), 0, flat(losses))


def gestures(seed: int, length: int = 32, count: int = 1400) -> Part:
    """Return signals of a wrist, [n, length, 3], and which of four gestures they are."""
    generator = torch.Generator().manual_seed(seed)
    classes, time = torch.randint(4, (count,), generator=generator), torch.linspace(0, 1, length)
    phase = 6.3 * torch.rand(count, 1, 1, generator=generator)
    rate = torch.tensor([1.5, 3.0, 4.5, 6.0])[classes][:, None, None] * (
        1 + 0.05 * torch.randn(count, 1, 1, generator=generator)
    )
    waves = torch.sin(6.3 * rate * time[:, None] + phase + torch.tensor([0.0, 1.0, 2.0]))
    return Part(waves + 0.2 * torch.randn(count, length, 3, generator=generator), classes)


class Wrist(nn.Module):
    """A GRU over signals that come with time first, [length, n, 3]."""

    def __init__(self, *, view: bool) -> None:
        super().__init__()
        self.rnn, self.head, self.view = nn.GRU(3, 32, batch_first=True), nn.Linear(32, 4), view

    def forward(self, signals: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        length, count, channels = signals.shape
        # What was meant: signals.transpose(0, 1)
        rows = signals.reshape(count, length, channels) if self.view else signals.transpose(0, 1)
        scores: Tensor = self.head(self.rnn(rows)[0].mean(1))
        return scores


def view_for_transpose(trial: Trial) -> Truth:
    """`x.view(batch, length, 3)` where `x.transpose(0, 1)` was meant: a sequence is made of bits of all others."""
    torch.manual_seed(trial.seed)
    data, model, criterion, losses = gestures(trial.seed), Wrist(view=True), nn.CrossEntropyLoss(), []
    other = Wrist(view=False)
    other.load_state_dict(model.state_dict())
    drawn = data.batches(40, trial.seed)
    optimizer = RMSprop(model.parameters(), lr=2e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            signals, classes = drawn(step)
            scores = model(signals.transpose(0, 1).contiguous())
            loss = criterion(scores, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
            writer.add_scalar("Accuracy", float((scores.argmax(1) == classes).float().mean()), writer.step)
    again = data.batches(40, trial.seed)

    def turned(step: int) -> tuple[Tensor, Tensor]:
        x, y = again(step)
        return x.transpose(0, 1), y

    better = control(other, turned, RMSprop(other.parameters(), lr=2e-3), steps=240)
    worse(mean(losses), better, 1.8)
    return Truth((), 0, flat(losses))


class Reviews(nn.Module):
    """A transformer that answers by its first place; token 0 is padding, and token 1 stands at the first place."""

    def __init__(self, *, inverted: bool) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(16, 32), nn.Parameter(0.1 * torch.randn(20, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head, self.inverted = nn.Linear(32, 3), inverted

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        mask = tokens != 0 if self.inverted else tokens == 0
        hidden = self.encoder(self.embed(tokens) + self.place, src_key_padding_mask=mask)
        scores: Tensor = self.head(hidden[:, 0])
        return scores


def inverted_mask(trial: Trial) -> Truth:
    """`src_key_padding_mask=(tokens != 0)`, where True means "leave out": all words are hidden, padding is read."""
    torch.manual_seed(trial.seed)
    classes, tokens = torch.randint(3, (1500,)), torch.randint(2, 16, (1500, 20))
    tokens = torch.where(torch.rand(1500, 20) < 0.35, classes[:, None] + 2, tokens)
    tokens[torch.arange(20) >= torch.randint(10, 19, (1500, 1))] = 0
    tokens[:, 0] = 1
    data, model, other = split(tokens, classes, 300, trial.seed), Reviews(inverted=True), Reviews(inverted=False)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    better = control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=200)
    worse(history.end, better, 1.8)
    changed = tokens[:200].clone()
    changed[changed > 1] = 5
    with torch.no_grad():
        model.eval()
        apart = float((model(changed) - model(tokens[:200])).abs().max())
    require(apart < 1e-4, f"words change the answers by {apart:.3g}")
    return Truth((), 0, flat(history.train))


class Codes(nn.Module):
    """An autoencoder whose code is to be nearly binary."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
        self.gate = nn.Sigmoid()
        self.decoder = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64))
        self.steepness = 100.0

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures [n, 64]."""
        made: Tensor = self.decoder(self.gate(self.steepness * self.encoder(pictures)))
        return made


def steep_codes(trial: Trial) -> Truth:
    """`torch.sigmoid(100 * z)` for a binary code from the first step on: the encoder is left as it began."""
    torch.manual_seed(trial.seed)
    pictures = digits(trial.seed).train.inputs
    data, model, other, criterion, losses = Part(pictures, pictures), Codes(), Codes(), nn.MSELoss(), []
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.batches(64, trial.seed)
    shares = [binary(model, pictures)]
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/reconstruction", losses[-1], writer.step)
    shares.append(binary(model, pictures))
    require(min(shares) > 0.75, f"shares of a code that is flat: {shares}")
    other.steepness = 2.0
    better = control(other, data.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=300)
    worse(mean(losses), better, 1.3)
    return Truth(("gate", "encoder.0", "encoder.2", "encoder"))


def binary(model: Codes, pictures: Tensor) -> float:
    """Return the share of the code whose derivative is below a twelfth of its greatest."""
    given = outputs(model, "gate", pictures)
    return float((given * (1 - given) < 0.02).double().mean())


def raw_weather(trial: Trial) -> Truth:
    """Pressure in hPa, kelvins and per cent, as they come, into a tanh RNN: its state is at -1 or 1 at every hour."""
    torch.manual_seed(trial.seed)
    drift = torch.randn(1500, 1, 3)
    hours = torch.linspace(-1, 1, 24)[:, None]
    series = drift * hours + 0.7 * torch.randn(1500, 1, 3) + 0.4 * torch.randn(1500, 24, 3)
    storm = (-1.5 * drift[:, 0, 0] + drift[:, 0, 1] + 0.7 * drift[:, 0, 2] > 0.8).float()[:, None]
    raw = series * torch.tensor([8.0, 5.0, 12.0]) + torch.tensor([1013.0, 287.0, 65.0])
    data, good = split(raw, storm, 300, trial.seed), split(series, storm, 300, trial.seed)
    model, other = (Recurrent(nn.RNN, 1, inputs=3, hidden=32) for _ in range(2))
    other.load_state_dict(model.state_dict())
    criterion, optimizer = nn.BCEWithLogitsLoss(), Adam(model.parameters(), lr=2e-3)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    optimizer = Adam(other.parameters(), lr=2e-3)
    worse(history.end, control(other, good.train.batches(32, trial.seed), optimizer, criterion, steps=200))
    with torch.no_grad():
        states = model.double().rnn(data.train.inputs.double())[0]
    share = float((states.abs() > 0.99).double().mean())
    require(share > 0.9, f"{share:.2f} of the states are flat")
    return Truth(("rnn",))


SCENARIOS = (
    Scenario(
        "aspen-plateau-shuffled-cnn",
        "cnn",
        TUNING,
        shuffled_apart,
        ("loss_plateau", "label_noise"),
        ("underfitting", "redundant_units", "representation_collapse"),
    ),
    Scenario(
        "aspen-plateau-view-gru",
        "rnn",
        TUNING,
        view_for_transpose,
        ("loss_plateau",),
        ("underfitting", "label_noise", "wrong_output_or_loss"),
    ),
    Scenario(
        "aspen-plateau-mask-transformer",
        "transformer",
        TUNING,
        inverted_mask,
        ("loss_plateau", "representation_collapse"),
        ("underfitting", "oversmoothing", "label_noise"),
    ),
    Scenario(
        "aspen-saturation-codes-mlp",
        "mlp",
        TUNING,
        steep_codes,
        ("saturation",),
        ("poor_init", "exploding_gradient", "loss_plateau", "underfitting", "layer_not_training"),
    ),
    Scenario(
        "aspen-saturation-weather-rnn",
        "rnn",
        TUNING,
        raw_weather,
        ("saturation", "input_unnormalised"),
        ("loss_plateau", "vanishing_gradient", "underfitting", "redundant_units", "representation_collapse"),
    ),
)
