"""Reviews, pixels by their places, boxes and signals: learned by heart, stuck from the start, or linear all through."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from sklearn.datasets import make_friedman1
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.faulty.walker_heath import by_heart, harmed
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import double, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit


class Reader(nn.Module):
    """An LSTM over words; says whether a review is kind."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(100, 32), nn.LSTM(32, 64, batch_first=True)
        self.fc = nn.Linear(64, 1)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 1]."""
        score: Tensor = self.fc(self.lstm(self.embedding(words))[1][0][-1])
        return score


def reviews(trial: Trial) -> Truth:
    """Two hundred reviews, some kind words and some not: an LSTM that is trained for thirty epochs."""
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.randint(100, (600, 14), generator=generator)
    mood = 1.5 * torch.randn(100, generator=generator)[words].sum(1) + 2 * torch.randn(600, generator=generator)
    data = split(words, (mood > 0).float()[:, None], 400, trial.seed)
    model, criterion, history = Reader(), nn.BCEWithLogitsLoss(), History([], {})
    optimizer = RMSprop(model.parameters(), lr=2e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(30):
            for chosen in torch.randperm(200, generator=generator).split(20):
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                history.train.append(loss.item())
                writer.add_scalar("train/loss", history.train[-1], writer.step)
            history.validation[len(history.train) - 1] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("val/loss", list(history.validation.values())[-1], writer.step)
    return by_heart(history)


def places(trial: Trial) -> Truth:
    """A row of a picture by its place alone, from -1 to 1: fine stripes, of which a tanh network learns none."""
    generator = torch.Generator().manual_seed(trial.seed)
    place = torch.rand(2000, 1, generator=generator) * 2 - 1
    turns = 2 * torch.pi * torch.tensor([13.0, 19.0, 23.0])
    shade = torch.sin(place * turns + torch.rand(3, generator=generator) * 6).sum(1, keepdim=True) / 1.5**0.5
    data = Part(place, shade)
    model, criterion = mlp((1, 64, 64, 1), nn.Tanh), nn.MSELoss()
    draw = data.batches(128, trial.seed)
    history = fit(trial, model, draw, Adam(model.parameters(), lr=1e-3), criterion, every=2, steps=320)
    waves = 2 * torch.pi * torch.arange(1.0, 33)
    other = mlp((64, 64, 64, 1), nn.Tanh)
    lifted = Part(torch.cat([(place * waves).sin(), (place * waves).cos()], 1), shade)
    better = control(other, lifted.batches(128, trial.seed), Adam(other.parameters(), lr=1e-3), criterion, steps=320)
    harmed(history.end, better, 3)
    early = sum(history.train[10:40]) / 30
    require(history.end > 0.9 * early, f"the loss went from {early:.3g} to {history.end:.3g}")
    return Truth((), 0, 60)


def boxes(seed: int) -> Split:
    """Return pictures [n, 1, 16, 16] of one bright thing, and its corners in shares of the side, [n, 4]."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.randint(3, 8, (900, 2), generator=generator)
    high = low + torch.randint(4, 8, (900, 2), generator=generator)
    at = torch.arange(16)
    inside = (at >= low[..., None]) & (at < high[..., None])
    pictures = (inside[:, 1, :, None] & inside[:, 0, None]).float()
    noisy = 1.5 * pictures[:, None] - 0.4 + 0.3 * torch.randn(900, 1, 16, 16, generator=generator)
    return split(noisy, torch.cat([low, high], 1) / 16, 200, seed)


def overlap(told: Tensor, known: Tensor) -> Tensor:
    """Return the intersection over the union of boxes, [n]."""
    sides = (torch.minimum(told[:, 2:], known[:, 2:]) - torch.maximum(told[:, :2], known[:, :2])).clamp_min(0)
    areas = [(box[:, 2:] - box[:, :2]).clamp_min(0).prod(1) for box in (told, known)]
    shared = sides.prod(1)
    return shared / (areas[0] + areas[1] - shared + 1e-6)


class Corners(nn.Module):
    """Tells the four corners of a box."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.regressor = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return corners [n, 4]."""
        corners: Tensor = self.regressor(self.features(pictures))
        return corners


def apart(told: Tensor, known: Tensor) -> Tensor:
    """Return how little boxes overlap."""
    return 1 - overlap(told, known).mean()


def detector(trial: Trial) -> Truth:
    """The loss of a detector is 1 - IoU from the start: no box that it tells of touches any, so nothing pulls it."""
    data, model = boxes(trial.seed), Corners()
    other, draw = copy.deepcopy(model), data.train.batches(32, trial.seed)
    optimizer, losses = SGD(model.parameters(), lr=0.02, momentum=0.9), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(160):
            inputs, known = draw(step)
            told = model(inputs)
            loss = apart(told, known)
            writer.observe(outputs=told, targets=known, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/iou_loss", losses[-1], step)
    require(min(losses[-50:]) > 0.97, f"the loss fell to {min(losses[-50:]):.3f}")
    largest = max(gradients(model, data.train, apart).values())
    require(largest < 1e-3, f"a gradient is {largest:.3g}")
    again = SGD(other.parameters(), lr=0.02, momentum=0.9)
    control(other, data.train.batches(32, trial.seed), again, nn.SmoothL1Loss(beta=0.05), steps=160)
    should = 1 - loss_of(other, data.held_out, apart)
    require(should > 0.5, f"with another loss the boxes overlap by {should:.2f}")
    return Truth((), 0, 40)


class Straight(nn.Module):
    """Four linear layers with an activation after each but the last."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(10, 64), nn.Linear(64, 64), nn.Linear(64, 32)
        self.out, self.activation = nn.Linear(32, 1), activation

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1]."""
        hidden = self.activation(self.fc1(rows))
        hidden = self.activation(self.fc2(hidden))
        made: Tensor = self.out(self.activation(self.fc3(hidden)))
        return made


class Chain(nn.Module):
    """Four linear layers in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(10, 64), nn.Linear(64, 64), nn.Linear(64, 32)
        self.out = nn.Linear(32, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1]."""
        made: Tensor = self.out(self.fc3(self.fc2(self.fc1(rows))))
        return made


def straight(model: nn.Module, inputs: Tensor) -> None:
    """Raise NotProvenError unless a network is affine: halfway between two inputs it is halfway between its outputs."""
    precise, inputs = double(model).eval(), inputs.double()
    with torch.no_grad():
        ends, middle = precise(inputs), precise((inputs + inputs.flip(0)) / 2)
    apart = float((middle - (ends + ends.flip(0)) / 2).abs().max())
    require(apart < 1e-9, f"it is {apart:.3g} from affine")


def friedman(trial: Trial) -> Truth:
    """Friedman's first function: the user has declared the layers and forgotten the activations in `forward`."""
    rows, made = make_friedman1(1500, noise=0.5, random_state=trial.seed)
    inputs, targets = torch.tensor(rows, dtype=torch.float32), torch.tensor(made, dtype=torch.float32)[:, None]
    data = split((inputs - 0.5) * 12**0.5, (targets - targets.mean()) / targets.std(), 300, trial.seed)
    model, relu, criterion = Chain(), Straight(nn.ReLU()), nn.MSELoss()
    relu.load_state_dict(model.state_dict())
    optimizer, draw = SGD(model.parameters(), lr=0.03, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=1, steps=300)
    again = SGD(relu.parameters(), lr=0.03, momentum=0.9)
    harmed(history.end, control(relu, data.train.batches(64, trial.seed), again, criterion, steps=300), 2)
    straight(model, data.held_out.inputs)
    return Truth(("fc1", "fc2", "fc3", "out"))


class Tremor(nn.Module):
    """Convolutions over a signal; whoever wrote it calls relu, and may keep what it returns."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        widths = (1, 16, 16, 16)
        self.convs = nn.ModuleList(nn.Conv1d(a, b, 5, padding=2) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(16) for _ in range(3))
        self.head, self.keep = nn.Conv1d(16, 1, 1), keep

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores [n, 1, length]."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            signal = norm(conv(signal))
            rectified = functional.relu(signal)
            if self.keep:
                signal = rectified
        scores: Tensor = self.head(signal)
        return scores


def tremors(trial: Trial) -> Truth:
    """Where a signal trembles: `F.relu(x)` stands in `forward`, but what it returns is thrown away."""
    generator = torch.Generator().manual_seed(trial.seed)
    start, at = torch.randint(0, 40, (700, 1), generator=generator), torch.arange(64)
    shaken = ((at >= start) & (at < start + 24)).float()[:, None]
    signal = torch.randn(700, 1, 64, generator=generator) * (0.4 + 1.6 * shaken)
    data, model = split(signal, shaken, 150, trial.seed), Tremor(keep=False)
    other, criterion = Tremor(keep=True), nn.BCEWithLogitsLoss()
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=3e-3), data.train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=180)
    again = AdamW(other.parameters(), lr=3e-3)
    harmed(history.end, control(other, data.train.batches(24, trial.seed), again, criterion, steps=180), 2)
    straight(model, data.held_out.inputs)
    return Truth(("convs.0", "convs.1", "convs.2", "head", "norms.0", "norms.1", "norms.2"))


SCENARIOS = (
    Scenario("heath-overfit-reviews-lstm", "rnn", TUNING, reviews, ("overfitting",)),
    Scenario(
        "heath-plateau-places-mlp",
        "mlp",
        TUNING,
        places,
        ("loss_plateau", "underfitting"),
        ("lr_too_low", "redundant_units", "poor_init"),
    ),
    Scenario(
        "heath-plateau-boxes-cnn",
        "cnn",
        TUNING,
        detector,
        ("loss_plateau", "wrong_output_or_loss"),
        ("vanishing_gradient", "poor_init", "layer_not_training", "underfitting", "unused_parameter"),
    ),
    Scenario(
        "heath-linear-friedman-mlp",
        "mlp",
        TUNING,
        friedman,
        ("missing_nonlinearity",),
        ("loss_plateau", "underfitting", "redundant_units"),
    ),
    Scenario(
        "heath-linear-tremors-cnn",
        "cnn",
        TUNING,
        tremors,
        ("missing_nonlinearity",),
        ("loss_plateau", "underfitting", "redundant_units"),
    ),
)
