"""Steps that are too long, labels that are wrong, and embeddings that become one."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, communities, digits, split
from tests.diagnosis.networks import Gcn, mlp
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def clearly(bad: float, good: float, factor: float = 1.3) -> None:
    """Raise NotProvenError unless the loss is that many times the one of the training as it should be."""
    require(not bad <= factor * good, f"the loss {bad:.4g} is not clearly above {good:.4g}")


def settled(losses: list[float]) -> int:
    """Return the first step at which the mean loss of ten has made nine tenths of its fall."""
    means = [sum(losses[at : at + 10]) / 10 for at in range(len(losses) - 9)]
    low = min(means)
    return next(at for at, mean in enumerate(means) if mean - low <= 0.1 * (means[0] - low)) + 10


class Scan(nn.Module):
    """Two convolutions and two linear layers over pictures of digits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return scores


def tenth(trial: Trial) -> Truth:
    """`Adam(model.parameters(), lr=0.1)`: the rate of a tutorial on SGD, with Adam, over pictures of digits."""
    data, criterion = digits(trial.seed, flat=False), nn.CrossEntropyLoss()
    model = Scan()
    other, optimizer, draw = copy.deepcopy(model), Adam(model.parameters(), lr=0.1), data.train.batches(64, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            pictures, labels = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pictures), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
            if step % 25 == 24:
                writer.add_scalar("Loss/test", evaluate(model, criterion, data.held_out), writer.step)
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), steps=200)
    clearly(sum(losses[-20:]) / 20, better, 3)
    require(accuracy(model, data.held_out) < accuracy(other, data.held_out) - 0.1, "it is as accurate")
    return Truth((), 0, 20)


def letters(seed: int, length: int = 24) -> Split:
    """Return pieces of prose about five data sets, [n, length], and the letter that follows each, [n, length]."""
    loaders = (load_wine, load_iris, load_breast_cancer, load_digits, load_diabetes)
    text = " ".join(" ".join(str(load().DESCR).lower().split()) for load in loaders)
    known = {letter: number for number, letter in enumerate(" abcdefghijklmnopqrstuvwxyz.,-()0123456789")}
    codes = torch.tensor([known.get(letter, 0) for letter in text])
    pieces = codes.unfold(0, length + 1, 5)
    return split(pieces[:, :-1], pieces[:, 1:], 300, seed)


class Writer(nn.Module):
    """A transformer of two blocks over letters that sees those before."""

    def __init__(self) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(42, 32), nn.Embedding(24, 32)
        block = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 42)

    def forward(self, codes: Tensor) -> Tensor:
        """Return scores [n, 42, length]."""
        length = codes.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool).triu(1)
        hidden = self.blocks(self.letter(codes) + self.place(torch.arange(length)), mask=mask)
        scores: Tensor = self.head(hidden).transpose(1, 2)
        return scores


def prose(trial: Trial) -> Truth:
    """A transformer that writes letter by letter, whose AdamW was set to 0.1 "to be faster", and with no warm-up."""
    data, model = letters(trial.seed), Writer()
    other, optimizer, draw = copy.deepcopy(model), AdamW(model.parameters(), lr=0.1), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=220)
    better = control(other, data.train.batches(16, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=220)
    clearly(history.end, better, 1.2)
    clearly(loss_of(model, data.held_out), loss_of(other, data.held_out), 1.2)
    return Truth((), 0, 20)


def joined(trial: Trial) -> Truth:
    """Pictures and labels of two files were joined by row, and two thirds of one file had been sorted otherwise."""
    data = digits(trial.seed)
    generator, labels = torch.Generator().manual_seed(trial.seed + 70), data.train.targets.clone()
    other_rows = torch.randperm(len(labels), generator=generator)[: 2 * len(labels) // 3]
    labels[other_rows] = labels[other_rows][torch.randperm(len(other_rows), generator=generator)]
    wrong = float((labels != data.train.targets).double().mean())
    require(0.55 < wrong < 0.65, f"{wrong:.2f} of the labels are wrong")
    told, criterion, model = Part(data.train.inputs, labels), nn.CrossEntropyLoss(), mlp((64, 96, 48, 10))
    other, optimizer, draw = copy.deepcopy(model), RMSprop(model.parameters(), lr=1e-3), told.batches(64, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(360):
            inputs, targets = draw(step)
            made = model(inputs)
            loss = criterion(made, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/acc", float((made.argmax(1) == targets).float().mean()), writer.step)
            if step % 30 == 29:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    optimizer = RMSprop(other.parameters(), lr=1e-3)
    better = control(other, data.train.batches(64, trial.seed), optimizer, steps=360)
    clearly(sum(losses[-36:]) / 36, better, 3)
    require(accuracy(model, data.held_out) < accuracy(other, data.held_out) - 0.04, "it is as accurate")
    return Truth((), 0, settled(losses))


def keywords(trial: Trial) -> Truth:
    """Papers that cite each other, whose fields were guessed by a script: it guessed more than half of them wrong."""
    graph = communities(trial.seed, count=5, size=70, inside=0.15, between=0.008)
    generator = torch.Generator().manual_seed(trial.seed + 71)
    guessed = torch.rand(len(graph.communities), generator=generator) < 0.55
    other_field = (graph.communities + torch.randint(1, 5, guessed.shape, generator=generator)) % 5
    told = replace(graph, communities=torch.where(guessed, other_field, graph.communities))
    model, criterion = Gcn(told, width=32), nn.CrossEntropyLoss()
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=0.01)
    draw = told.batches(trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=told.validation, every=2, steps=200)
    better = control(other, graph.batches(trial.seed), AdamW(other.parameters(), lr=0.01), steps=200)
    clearly(history.end, better, 3)
    does, should = accuracy(model, graph.validation), accuracy(other, graph.validation)
    require(does < should - 0.1, f"{does:.3f} is not below {should:.3f}")
    return Truth((), 0, settled(history.train))


class Siamese(nn.Module):
    """An encoder of pictures and a predictor; returns what is predicted from a view, and what the view is."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128, 32),
        )
        self.predictor = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 32))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return both, [n, 32] each."""
        made = self.encoder(pictures)
        return self.predictor(made), made


def spread(made: Tensor) -> float:
    """Return how far normalised embeddings [n, width] are from their mean: 0 where all are one, 1 at most."""
    return float(1 - functional.normalize(made.double(), dim=1).mean(0).square().sum())


def no_stop(trial: Trial) -> Truth:
    """SimSiam over digits whose `.detach()` was forgotten: both views agree at once, as do all pictures."""
    data, model, held = digits(trial.seed, flat=False), Siamese(), list[float]()
    optimizer, draw = SGD(model.parameters(), lr=0.1, momentum=0.9), data.train.batches(64, trial.seed)
    generator = torch.Generator().manual_seed(trial.seed + 72)
    first = spread(model.encoder(data.held_out.inputs).detach())
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(160):
            pictures, _ = draw(step)
            views = [pictures + 0.4 * torch.randn(pictures.shape, generator=generator) for _ in range(2)]
            (told1, made1), (told2, made2) = model(views[0]), model(views[1])
            loss = -(functional.cosine_similarity(told1, made2) + functional.cosine_similarity(told2, made1)).mean() / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            held.append(spread(made1.detach()))
            writer.add_scalar("loss", loss.item(), writer.step)
    with torch.no_grad():
        made = copy.deepcopy(model.encoder).double()(data.held_out.inputs.double())
    require(spread(made) < 0.02 and spread(made) < 0.1 * first, f"the spread went from {first:.3g} to {spread(made)}")
    return Truth((), 0, max(at for at, value in enumerate(held) if value > 0.02) + 10)


SCENARIOS = (
    Scenario(
        "alder-lr-digits-cnn",
        "cnn",
        REPORTING,
        tenth,
        ("lr_too_high",),
        ("dead_units", "loss_spike", "loss_plateau", "loss_oscillation", "exploding_gradient", "vanishing_gradient"),
    ),
    Scenario(
        "alder-lr-prose-transformer",
        "transformer",
        REPORTING,
        prose,
        ("lr_too_high",),
        (
            "loss_spike",
            "loss_plateau",
            "loss_oscillation",
            "saturation",
            "dead_units",
            "vanishing_gradient",
            "exploding_gradient",
            "oversmoothing",
            "representation_collapse",
        ),
    ),
    Scenario(
        "alder-noise-joined-mlp",
        "mlp",
        REPORTING,
        joined,
        ("label_noise",),
        ("overfitting", "loss_plateau"),
    ),
    Scenario(
        "alder-noise-papers-gnn",
        "gnn",
        REPORTING,
        keywords,
        ("label_noise",),
        ("overfitting", "loss_plateau"),
    ),
    Scenario(
        "alder-collapse-siamese-cnn",
        "cnn",
        REPORTING,
        no_stop,
        ("representation_collapse",),
        ("vanishing_gradient", "loss_plateau"),
    ),
)
