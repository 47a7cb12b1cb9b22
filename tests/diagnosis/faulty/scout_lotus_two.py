"""Held back too hard, and other in evaluation than in training: digits, mills, spectra, wine, notes of many lengths."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, NAdam

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit


def parted(losses: list[float], held_out: dict[int, float]) -> int:
    """Return the step of the third evaluation whose loss is over 1.5 times the mean of the last twenty in training."""
    steps = [step for step, loss in held_out.items() if loss > 1.5 * sum(losses[step - 19 : step + 1]) / 20]
    require(len(steps) > 2, f"the losses are too much alike: {held_out}")
    return steps[2]


def decayed_digits(trial: Trial) -> Truth:
    """Digits with Adam and `weight_decay=0.1`, which Adam adds to gradients: the weights shrink to nothing."""
    data, criterion = digits(trial.seed), nn.CrossEntropyLoss()
    torch.manual_seed(trial.seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=1e-3, weight_decay=0.1), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(360):
            inputs, classes = draw(step)
            optimizer.zero_grad()
            scores = model(inputs)
            loss = criterion(scores, classes)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            writer.add_scalar("Accuracy/train", float((scores.argmax(1) == classes).float().mean()), writer.step)
            if step % 30 == 29:
                writer.add_scalar("Loss/test", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-3, weight_decay=1e-4), steps=360)
    require(loss_of(model, data.train) > 3 * loss_of(other, data.train), "the digits are learned as well")
    require(loss_of(model, data.held_out) > 2 * loss_of(other, data.held_out), "the decay does no harm")
    return Truth((), 0, 150)


class Mill(nn.Module):
    """A two-layer GRU over vibrations with a dropout between, after and on what goes in."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.drop_in, self.drop_out = nn.Dropout(drop), nn.Dropout(drop)
        self.rnn = nn.GRU(4, 32, 2, batch_first=True, dropout=drop)
        self.fc, self.head = nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores [n, 5] of [n, length, 4]."""
        hidden = self.rnn(self.drop_in(signal))[0].mean(1)
        told: Tensor = self.head(self.drop_out(functional.relu(self.fc(self.drop_out(hidden)))))
        return told


def mills(seed: int) -> Split:
    """Return vibrations [n, 24, 4] of mills and which of five wears they have: each shifts channels and rhythms."""
    generator = torch.Generator().manual_seed(seed)
    wear = torch.randint(5, (1600,), generator=generator)
    time = torch.arange(24.0)
    rates, mixes = torch.linspace(0.2, 1.4, 5), torch.randn(5, 4, generator=generator)
    phase = 6.28 * torch.rand(1600, 1, generator=generator)
    waves = (rates[wear, None] * time + phase).sin()
    signal = waves[..., None] * mixes[wear, None] + 0.7 * torch.randn(1600, 24, 4, generator=generator)
    return split(signal, wear, 300, seed)


def keep_for_drop(trial: Trial) -> Truth:
    """A GRU for wear of mills with `nn.Dropout(0.85)`: `keep_prob=0.85` of an old program, taken for the rate."""
    data = mills(trial.seed)
    torch.manual_seed(trial.seed)
    model, other = Mill(0.85), Mill(0.15)
    other.load_state_dict(model.state_dict())
    optimizer, draw = NAdam(model.parameters(), lr=3e-3), data.train.batches(40, trial.seed)
    fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=220)
    control(other, data.train.batches(40, trial.seed), NAdam(other.parameters(), lr=3e-3), steps=220)
    does, should = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(loss_of(model, data.train) > 1.5 * loss_of(other, data.train), "what it trains on is learned as well")
    require(does < should - 0.1, f"{does:.3f} is not below {should:.3f}")
    return Truth((), 0, 60)


class Spectra(nn.Module):
    """Convolutions over a spectrum, and a head that tells three contents."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(1, 12, 7, padding=3), nn.Conv1d(12, 16, 5, padding=2)
        self.fc, self.head = nn.Linear(16 * 12, 32), nn.Linear(32, 3)

    def forward(self, spectra: Tensor) -> Tensor:
        """Return contents [n, 3] of [n, 1, 48]."""
        hidden = functional.max_pool1d(functional.relu(self.conv1(spectra)), 2)
        hidden = functional.max_pool1d(functional.relu(self.conv2(hidden)), 2)
        told: Tensor = self.head(functional.relu(self.fc(hidden.flatten(1))))
        return told


def lasso_spectra(trial: Trial) -> Truth:
    """Contents of grain by its spectrum: `loss + 0.02 * sum(p.abs().sum())`, far more than the error itself."""
    generator = torch.Generator().manual_seed(trial.seed)
    contents = torch.rand(1000, 3, generator=generator)
    places, bands = torch.arange(48.0), torch.tensor([10.0, 22, 35])
    lines = torch.exp(-((places - bands[:, None]) ** 2) / 18)
    baseline = torch.randn(1000, 1, generator=generator) * places / 48
    spectra = contents @ lines + 0.3 * baseline + 0.05 * torch.randn(1000, 48, generator=generator)
    spectra, known = (spectra - spectra.mean()) / spectra.std(), (contents - contents.mean(0)) / contents.std(0)
    data, criterion = split(spectra[:, None], known, 200, trial.seed), nn.MSELoss()
    torch.manual_seed(trial.seed)
    model = Spectra()
    other = copy.deepcopy(model)
    optimizer, draw = AdamW(model.parameters(), lr=2e-3), data.train.batches(25, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            told = model(inputs)
            error = criterion(told, targets)
            loss = error + 0.02 * sum(value.abs().sum() for value in model.parameters())
            writer.observe(outputs=told, targets=targets, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/mse", error.item(), writer.step)
            if step % 25 == 24:
                writer.add_scalar("valid/mse", evaluate(model, criterion, data.held_out), writer.step)
    optimizer = AdamW(other.parameters(), lr=2e-3)
    control(other, data.train.batches(25, trial.seed), optimizer, criterion, steps=300)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(does > 3 * should, f"the error is {does:.3g}, and {should:.3g} without the penalty")
    require(loss_of(model, data.train, criterion) > 3 * should, "what it trains on is learned")
    return Truth((), 0, 100)


def photographs(momentum: float) -> nn.Sequential:
    """Return a CNN with four batch norms of that momentum."""
    layers: list[nn.Module] = []
    for inputs, made, stride in ((1, 12, 1), (12, 16, 1), (16, 24, 2), (24, 24, 1)):
        layers += [
            nn.Conv2d(inputs, made, 3, stride, 1, bias=False),
            nn.BatchNorm2d(made, momentum=momentum),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(24 * 16, 10))


def slow_statistics(trial: Trial) -> Truth:
    """Pixels of 0 to 16 and `BatchNorm2d(momentum=0.001)`, from a framework in which 0.999 is kept: poor in eval()."""
    pixels = digits(trial.seed, flat=False)
    data = Split(*(Part(6 * part.inputs + 4.9, part.targets) for part in (pixels.train, pixels.held_out)))
    torch.manual_seed(trial.seed)
    model, other = photographs(0.001), photographs(0.1)
    other.load_state_dict(model.state_dict())
    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(32, trial.seed)
    criterion, history = nn.CrossEntropyLoss(), History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(160):
            inputs, classes = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), classes)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("train_loss", loss.item(), writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val_loss", history.validation[step], writer.step)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.02, momentum=0.9), steps=160)
    with torch.no_grad():
        scores = copy.deepcopy(model).train()(data.held_out.inputs)
    batchwise = float((scores.argmax(1) == data.held_out.targets).float().mean())
    does, should = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(min(should, batchwise) > does + 0.06, f"{does:.3f} in eval(), {batchwise:.3f} in train(), {should:.3f}")
    require(loss_of(model, data.train) > 5 * loss_of(other, data.train), "the losses are alike")
    return Truth(("1", "4", "7", "10"), 0, parted(history.train, history.validation))


def raw_cellar(trial: Trial) -> Truth:
    """Three growers of wine: what is trained on is standardised, and what it is validated on was forgotten."""
    wine = load_wine()
    raw, growers = torch.tensor(wine.data, dtype=torch.float32), torch.tensor(wine.target)
    data = split(raw, growers, 50, trial.seed)
    mean, deviation = data.train.inputs.mean(0), data.train.inputs.std(0)
    train = Part((data.train.inputs - mean) / deviation, data.train.targets)
    same = Part((data.held_out.inputs - mean) / deviation, data.held_out.targets)
    torch.manual_seed(trial.seed)
    model = nn.Sequential(nn.Linear(13, 32), nn.LeakyReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    optimizer = AdamW(model.parameters(), lr=3e-3)
    draw = train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=None, steps=240)
    does, should = accuracy(model, data.held_out), accuracy(model, same)
    require(should > 0.9 and does < should - 0.2, f"{does:.3f} of the raw, and {should:.3f} of the standardised")
    return Truth((), 0, parted(history.train, history.validation))


class Notes(nn.Module):
    """An LSTM over words; it answers by its state after the last place, padding or not."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.rnn = nn.Embedding(31, 16), nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, notes: Tensor) -> Tensor:
        """Return scores [n, 4] of [n, length]."""
        told: Tensor = self.head(self.rnn(self.words(notes))[0][:, -1])
        return told


def notes(seed: int, count: int = 2200) -> tuple[Split, Tensor]:
    """Return notes of 5 to 14 words, padded to forty, and their subjects; and the lengths of the first part."""
    generator = torch.Generator().manual_seed(seed)
    subjects = torch.randint(4, (count,), generator=generator)
    lengths = torch.randint(5, 15, (count,), generator=generator)
    words = torch.randint(1, 31, (count, 40), generator=generator)
    telling = torch.rand(count, 40, generator=generator) < 0.4
    words = torch.where(telling, 1 + 7 * subjects[:, None] + torch.randint(7, (count, 40), generator=generator), words)
    words[torch.arange(40) >= lengths[:, None]] = 0
    data = split(words, subjects, 400, seed)
    return data, (data.train.inputs > 0).sum(1)


def padded_notes(trial: Trial) -> Truth:
    """Notes are batched by length in training; in evaluation all are padded to forty, and the last state is read."""
    data, lengths = notes(trial.seed)
    torch.manual_seed(trial.seed)
    model, criterion = Notes(), nn.CrossEntropyLoss()
    optimizer, history = Adam(model.parameters(), lr=4e-3), History([], {})
    generator = torch.Generator().manual_seed(trial.seed)
    buckets = {int(length): (lengths == length).nonzero()[:, 0] for length in lengths.unique()}
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(260):
            length = int(torch.randint(5, 15, (1,), generator=generator))
            chosen = buckets[length][torch.randint(len(buckets[length]), (32,), generator=generator)]
            loss = criterion(model(data.train.inputs[chosen, :length]), data.train.targets[chosen])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            history.train.append(loss.item())
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("loss/val", history.validation[step], writer.step)
    tested = data.held_out
    right = 0.0
    for length in range(5, 15):
        these = (tested.inputs > 0).sum(1) == length
        part = Part(tested.inputs[these, :length], tested.targets[these])
        right += accuracy(model, part) * len(part.targets) / len(tested.targets)
    does = accuracy(model, tested)
    require(right > does + 0.15, f"{does:.3f} when padded, and {right:.3f} as it is trained")
    return Truth((), 0, parted(history.train, history.validation))


SCENARIOS = (
    Scenario(
        "lotus-decayed-mlp",
        "mlp",
        TUNING,
        decayed_digits,
        ("over_regularised",),
        ("underfitting", "loss_plateau", "vanishing_gradient", "redundant_units"),
    ),
    Scenario(
        "lotus-keep-gru",
        "rnn",
        TUNING,
        keep_for_drop,
        ("over_regularised",),
        ("underfitting", "loss_plateau", "layer_not_training"),
    ),
    Scenario(
        "lotus-lasso-cnn",
        "cnn",
        TUNING,
        lasso_spectra,
        ("over_regularised",),
        ("underfitting", "loss_plateau", "vanishing_gradient", "redundant_units", "dead_units"),
    ),
    Scenario("lotus-statistics-cnn", "cnn", TUNING, slow_statistics, ("train_eval_mismatch",)),
    Scenario("lotus-cellar-mlp", "mlp", TUNING, raw_cellar, ("train_eval_mismatch",), ("input_unnormalised",)),
    Scenario("lotus-padded-lstm", "rnn", TUNING, padded_notes, ("train_eval_mismatch",)),
)
