"""Wines, bursts, gestures and reviews: gradients that die on their way, and losses that stay where they begin."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.proof import gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def wines(seed: int) -> Split:
    """Return thirteen standardised measurements of wines, [n, 13], and their three growers."""
    data = load_wine()
    rows = torch.tensor(data.data, dtype=torch.float32)
    return split((rows - rows.mean(0)) / rows.std(0), torch.tensor(data.target), 38, seed)


class Classifier(nn.Module):
    """Six hidden layers, after each of which the same function is called."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        widths = (13, 32, 32, 32, 32, 32, 32)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.head = nn.Linear(32, 3)
        self.activation = activation

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        for layer in self.layers:
            rows = self.activation(layer(rows))
        scores: Tensor = self.head(rows)
        return scores


def right(model: nn.Module, part: Part) -> float:
    """Return the share that a model gets right in evaluation mode, as a user looks at it."""
    model.eval()
    with torch.no_grad():
        share = float((model(part.inputs).argmax(1) == part.targets).float().mean())
    model.train()
    return share


def dying(found: dict[str, float], names: list[str], last: str, share: float) -> tuple[str, ...]:
    """Return the layers whose gradient is below so small a share of that of the last; the first has to be one."""
    low = tuple(name for name in names if found[f"{name}.weight"] < share * found[f"{last}.weight"])
    require(low and low[0] == names[0], f"the gradients are {found}")
    return low


def growers(trial: Trial) -> Truth:
    """Wines by an MLP of six hidden layers, each with `torch.sigmoid`, and plain SGD with momentum."""
    torch.manual_seed(trial.seed)
    data, model = wines(trial.seed), Classifier(torch.sigmoid)
    other = copy.deepcopy(model)
    other.activation = functional.relu
    names = [f"layers.{at}" for at in range(6)]
    low = dying(gradients(model, data.train), names, "head", 0.01)
    optimizer, criterion = SGD(model.parameters(), lr=0.05, momentum=0.9), nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), batch_size=14, shuffle=True)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(20):
            for rows, classes in loader:
                optimizer.zero_grad()
                loss = criterion(model(rows), classes)
                loss.backward()
                optimizer.step()
                writer.add_scalar("Loss/train", loss.item(), writer.step)
            writer.add_scalar("Accuracy/test", right(model, data.held_out), writer.step)
    found = gradients(model, data.train)
    require(found["layers.0.weight"] < 1e-4, f"the gradients are {found}")
    control(other, data.train.batches(14, trial.seed), SGD(other.parameters(), lr=0.05, momentum=0.9), steps=200)
    does, should = loss_of(model, data.train), loss_of(other, data.train)
    require(does > 0.9 and should < 0.3, f"the loss is {does:.3f}, and should be {should:.3f}")
    return Truth(low)


class Segmenter(nn.Module):
    """Eighteen convolutions over a signal, with or without a way around each; a score for each sample of it."""

    def __init__(self, *, skips: bool) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 12, 5, padding=2)
        self.convs = nn.ModuleList(nn.Conv1d(12, 12, 3, padding=1) for _ in range(17))
        self.out = nn.Conv1d(12, 1, 1)
        self.skips = skips

    def forward(self, signals: Tensor) -> Tensor:
        """Return scores [n, 1, length]."""
        hidden = functional.relu(self.stem(signals))
        for conv in self.convs:
            made = functional.relu(conv(hidden))
            hidden = hidden + made if self.skips else made
        scores: Tensor = self.out(hidden)
        return scores


def bursts(seed: int) -> Split:
    """Return noise in which a tone sounds for a while, [n, 1, 64], and where it does, [n, 1, 64]."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.arange(64)
    start = torch.randint(2, 30, (900, 1), generator=generator)
    sounds = (place >= start) & (place < start + torch.randint(12, 32, (900, 1), generator=generator))
    pitch = 0.9 + 0.6 * torch.rand(900, 1, generator=generator)
    signals = 0.35 * torch.randn(900, 64, generator=generator) + sounds * torch.sin(pitch * place)
    return split(signals[:, None], sounds.float()[:, None], 200, seed)


def tones(trial: Trial) -> Truth:
    """Where a tone sounds: eighteen plain convolutions with ReLU, neither normalised nor with ways around them."""
    torch.manual_seed(trial.seed)
    data, model, criterion = bursts(trial.seed), Segmenter(skips=False), nn.BCEWithLogitsLoss()
    other = copy.deepcopy(model)
    other.skips = True
    names = ["stem", *(f"convs.{at}" for at in range(17))]
    low = dying(gradients(model, data.train.first(128), criterion), names, "convs.16", 0.01)
    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(24, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            signals, sounds = draw(step)
            loss = criterion(model(signals), sounds)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    found = gradients(model, data.train.first(128), criterion)
    require(found["stem.weight"] < 1e-6, f"the gradients are {found}")
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    control(other, data.train.batches(24, trial.seed), optimizer, criterion, steps=220)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(does > 1.5 * should, f"the loss is {does:.3f}, and should be {should:.3f}")
    return Truth(low)


class Gestures(nn.Module):
    """A GRU over the three axes of an accelerometer, and a head over its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 32)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 4)

    def forward(self, motions: Tensor) -> Tensor:
        """Return scores [n, 4] of [n, length, 3]."""
        states, _ = self.rnn(motions)
        scores: Tensor = self.head(self.norm(states[:, -1]))
        return scores


def motions(seed: int) -> Split:
    """Return motions that come to rest, [n, 24, 3]: a circle either way, or a stroke up or aside."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(4, (1600,), generator=generator)
    angle = (torch.arange(24) * 0.4 + 6.28 * torch.rand(1600, 1, generator=generator)).clone()
    turn, still = 1 - 2 * (classes % 2)[:, None], torch.zeros(1600, 24)
    stroke = 1.4 * angle.sin()
    circles = torch.stack([angle.cos(), turn * angle.sin(), still], 2)
    aside, up = torch.stack([stroke, still, still], 2), torch.stack([still, still, stroke], 2)
    strokes = torch.where(turn[..., None] > 0, aside, up)
    moving = torch.sigmoid(17.0 - torch.arange(24))[:, None]
    signals = torch.where((classes < 2)[:, None, None], circles, strokes) * moving
    return split(signals + 0.15 * torch.randn(1600, 24, 3, generator=generator), classes, 320, seed)


def batch_second(trial: Trial) -> Truth:
    """Gestures [batch, time, axis] go into a GRU without `batch_first`: it reads along the batch, not the time."""
    torch.manual_seed(trial.seed)
    data, model = motions(trial.seed), Gestures()
    other = copy.deepcopy(model)
    other.rnn.batch_first = True
    optimizer, criterion = Adam(model.parameters(), lr=4e-3), nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), batch_size=32, shuffle=True)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(7):
            for signals, classes in loader:
                loss = criterion(model(signals), classes)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                writer.add_scalar("loss", loss.item(), writer.step)
            writer.add_scalar("val_loss", evaluate(model, criterion, data.held_out), writer.step)
            writer.add_scalar("val_accuracy", right(model, data.held_out), writer.step)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=4e-3), steps=280)
    does, should = (loss_of(one, data.train) for one in (model, other))
    require(does > 1.25 and should < 0.5, f"the loss is {does:.3f}, and should be {should:.3f}")
    # What is said of a sample has nothing to do with its own past: an earlier instant may be changed at will.
    changed = data.held_out.inputs.clone()
    changed[:, :-1] = changed[:, :-1].flip(0)
    with torch.no_grad():
        same = torch.equal(model(changed), model(data.held_out.inputs))
    require(same, "the past of a sample matters")
    return Truth((), 0, 60)


class Reviews(nn.Module):
    """A transformer over words, whose first place sums up the rest; padding is word 0."""

    def __init__(self, *, inverted: bool) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(40, 32, padding_idx=0), nn.Embedding(18, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 2)
        self.inverted = inverted

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 2] of [n, 18]."""
        mask = words != 0 if self.inverted else words == 0
        hidden = self.encoder(self.embed(words) + self.place.weight, src_key_padding_mask=mask)
        scores: Tensor = self.head(hidden[:, 0])
        return scores


def reviews(seed: int) -> Split:
    """Return words of reviews behind a 39 for the sum, padded with 0, and if more of them praise than blame."""
    generator = torch.Generator().manual_seed(seed)
    liked = torch.randint(2, (2000,), generator=generator)
    words = torch.randint(1, 39, (2000, 18), generator=generator)
    praise = 1 + torch.randint(8, words.shape, generator=generator) + 8 * (1 - liked)[:, None]
    words = torch.where(torch.rand(words.shape, generator=generator) < 0.35, praise, words)
    words = words * (torch.arange(18) < torch.randint(9, 17, (2000, 1), generator=generator))
    words[:, 0] = 39
    good, bad = ((words > low) & (words < low + 9) for low in (0, 8))
    return split(words, (good.sum(1) > bad.sum(1)).long(), 400, seed)


def inverted_mask(trial: Trial) -> Truth:
    """`src_key_padding_mask=(words != 0)`: PyTorch leaves out what is true in it, so only padding is read."""
    torch.manual_seed(trial.seed)
    data, model = reviews(trial.seed), Reviews(inverted=True)
    other = Reviews(inverted=False)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=2e-3), data.train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=None, steps=180)
    better = control(other, data.train.batches(24, trial.seed), AdamW(other.parameters(), lr=2e-3), steps=180)
    require(history.end > 0.66 and better < 0.4, f"the loss is {history.end:.3f}, and should be {better:.3f}")
    # Other words of the same number don't change what is said.
    sample = data.held_out.first(64)
    spoken = (sample.inputs > 0) & (sample.inputs < 39)
    changed = Part(torch.where(spoken, 1 + sample.inputs % 38, sample.inputs), sample.targets)
    apart = abs(loss_of(model, changed) - loss_of(model, sample))
    require(apart < 1e-9, f"the words matter by {apart:.3g}")
    return Truth((), 0, 60)


SCENARIOS = (
    Scenario(
        "quince-vanishing-wines-mlp",
        "mlp",
        TUNING,
        growers,
        ("vanishing_gradient",),
        ("loss_plateau", "layer_not_training", "underfitting", "poor_init", "representation_collapse"),
    ),
    Scenario(
        "quince-vanishing-tones-cnn",
        "cnn",
        TUNING,
        tones,
        ("vanishing_gradient", "poor_init"),
        ("loss_plateau", "layer_not_training", "underfitting", "representation_collapse", "dead_units"),
    ),
    Scenario(
        "quince-plateau-gestures-gru",
        "rnn",
        TUNING,
        batch_second,
        ("loss_plateau",),
        ("underfitting", "wrong_output_or_loss"),
    ),
    Scenario(
        "quince-plateau-reviews-transformer",
        "transformer",
        TUNING,
        inverted_mask,
        ("loss_plateau",),
        ("representation_collapse", "underfitting", "vanishing_gradient", "layer_not_training"),
    ),
)
