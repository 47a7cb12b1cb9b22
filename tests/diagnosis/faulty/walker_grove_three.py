"""Payments, a newspaper, digits and reviews: rare classes that are never named, and gradients that never arrive."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.faulty.walker_grove import harmed
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import double, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def payments(seed: int, count: int = 10000) -> Split:
    """Return payments, [n, 12], and whether one is a fraud, which one in forty is, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 12, generator=generator)
    fraud = torch.rand(count, generator=generator) < 0.025
    rows[fraud, :6] += 0.65
    return split(rows, fraud.float()[:, None], 1600, seed)


def caught(model: nn.Module, part: Part) -> tuple[float, float]:
    """Return the share of frauds that are called so, and that of other payments that are not."""
    with torch.no_grad():
        named, fraud = double(model).eval()(part.inputs.double()) > 0, part.targets > 0
    return float(named[fraud].double().mean()), float((~named)[~fraud].double().mean())


def frauds(trial: Trial) -> Truth:
    """One payment in forty is a fraud, and nothing is done about it: the accuracy is 97.5 %, and no fraud is found."""
    torch.manual_seed(trial.seed)
    data, criterion, model = payments(trial.seed), nn.BCEWithLogitsLoss(), mlp((12, 64, 32, 1), dropout=0.1)
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=1e-3)
    draw = data.train.batches(128, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            rows, fraud = draw(step)
            scores = model(rows)
            loss = criterion(scores, fraud)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/accuracy", float(((scores > 0) == (fraud > 0)).float().mean()), writer.step)
            if step % 40 == 39:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    weighted = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(39.0))
    control(other, data.train.batches(128, trial.seed), Adam(other.parameters(), lr=1e-3), weighted)
    (found, _), (could, spared) = caught(model, data.held_out), caught(other, data.held_out)
    require(found < 0.15, f"{found:.2f} of the frauds are found")
    require(could > 0.5 and spared > 0.6, f"only {could:.2f} and {spared:.2f} could be")
    return Truth((), 0, 60)


def newspaper(seed: int, count: int = 1500) -> Split:
    """Return words, [n, 20], and what each is, [n, 20]: after two titles often a person, after two others a place."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(50, (count, 20), generator=generator)
    before = torch.cat([torch.full((count, 1), 49), words[:, :-1]], 1)
    often = torch.rand(count, 20, generator=generator) < 0.4
    tags = torch.where(before < 2, 1, torch.where(before < 4, 2, 0)) * often
    return split(words, tags, 300, seed)


def recalled(model: nn.Module, part: Part) -> tuple[float, float]:
    """Return the share of names that are called so, and that of other words that are not."""
    with torch.no_grad():
        told = double(model).eval()(part.inputs).argmax(1)
    right = told == part.targets
    return float(right[part.targets > 0].double().mean()), float(right[part.targets == 0].double().mean())


def names(trial: Trial) -> Truth:
    """Tags of words, of which 97 in 100 are "O", in a transformer: its accuracy is 0.97, and it never names a name."""
    torch.manual_seed(trial.seed)
    data, criterion = newspaper(trial.seed), nn.CrossEntropyLoss()
    model = Transformer(50, 3, length=20, each=True)
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    draw = data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    weighted = nn.CrossEntropyLoss(torch.tensor([1.0, 30, 30]))
    optimizer = AdamW(other.parameters(), lr=3e-3, weight_decay=0.01)
    control(other, data.train.batches(32, trial.seed), optimizer, weighted, steps=220)
    (found, _), (could, spared) = recalled(model, data.held_out), recalled(other, data.held_out)
    require(found < 0.15, f"{found:.2f} of the names are found")
    require(could > 0.7 and spared > 0.8, f"only {could:.2f} and {spared:.2f} could be")
    return Truth((), 0, 60)


def sigmoids(trial: Trial) -> Truth:
    """Eight hidden layers with `nn.Sigmoid` over digits, and SGD."""
    torch.manual_seed(trial.seed)
    data, criterion, widths = digits(trial.seed), nn.CrossEntropyLoss(), (64, *[32] * 8, 10)
    model, other = mlp(widths, nn.Sigmoid), mlp(widths, norm=nn.BatchNorm1d)
    sizes = gradients(model, data.train)
    layers = tuple(f"fc{number}" for number in range(1, 9) if sizes[f"fc{number}.weight"] < 1e-5)
    optimizer, draw = SGD(model.parameters(), lr=0.1), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            rows, classes = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(rows), classes)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("Val loss", evaluate(model, criterion, data.held_out), writer.step)
    sizes = gradients(model, data.train)
    ratio = sizes["fc1.weight"] / sizes["head.weight"]
    require(ratio < 1e-4, f"the first gradient is {ratio:.3g} of the last one")
    require({"fc1", "fc2", "fc3"} <= set(layers), f"gradients are tiny in {layers} alone")
    control(other, data.train.batches(64, trial.seed), SGD(other.parameters(), lr=0.1), steps=200)
    harmed(loss_of(model, data.train), loss_of(other, data.train), 3)
    return Truth(layers)


def reviews(seed: int, *, length: int = 50, count: int = 1500) -> Split:
    """Return words of reviews, [n, length], whose first one alone tells which of four stars there are, [n]."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(4, 30, (count, length), generator=generator)
    words[:, 0] = torch.randint(4, (count,), generator=generator)
    return split(words, words[:, 0].clone(), 300, seed)


class Stars(nn.Module):
    """A plain recurrent network over words that answers by its last state, or by the mean of all."""

    def __init__(self, *, mean: bool) -> None:
        super().__init__()
        parts = {"embed": nn.Embedding(30, 16), "rnn": nn.RNN(16, 32, batch_first=True), "head": nn.Linear(32, 4)}
        self.parts, self.mean = nn.ModuleDict(OrderedDict(parts)), mean

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        states = self.parts["rnn"](self.parts["embed"](words))[0]
        scores: Tensor = self.parts["head"](states.mean(1) if self.mean else states[:, -1])
        return scores


def reach(model: Stars, part: Part) -> float:
    """Return how large the gradient of the first word is, measured by that of the last one, in float64."""
    precise = copy.deepcopy(model).double()
    embedded = precise.parts["embed"](part.inputs).detach().requires_grad_()
    scores = precise.parts["head"](precise.parts["rnn"](embedded)[0][:, -1])
    (found,) = torch.autograd.grad(nn.functional.cross_entropy(scores, part.targets), embedded)
    return float(found[:, 0].norm() / found[:, -1].norm())


def first_word(trial: Trial) -> Truth:
    """`nn.RNN` over fifty words, whose first one tells the answer: no gradient comes so far back."""
    torch.manual_seed(trial.seed)
    data, criterion, model, other = reviews(trial.seed), nn.CrossEntropyLoss(), Stars(mean=False), Stars(mean=True)
    other.load_state_dict(model.state_dict())
    begin = reach(model, data.held_out)
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, steps=240, validation=data.held_out, every=2)
    end = reach(model, data.held_out)
    require(max(begin, end) < 1e-4, f"the first word's gradient is {begin:.3g} and {end:.3g} of the last one's")
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), steps=240)
    harmed(loss_of(model, data.held_out), loss_of(other, data.held_out))
    return Truth(("parts.rnn", "parts.embed"))


SCENARIOS = (
    Scenario(
        "grove-frauds-mlp",
        "mlp",
        TUNING,
        frauds,
        ("class_imbalance",),
        ("loss_plateau", "underfitting", "poor_init"),
    ),
    Scenario(
        "grove-names-transformer",
        "transformer",
        TUNING,
        names,
        ("class_imbalance",),
        ("loss_plateau", "underfitting", "label_noise", "poor_init"),
    ),
    Scenario(
        "grove-sigmoids-mlp",
        "mlp",
        TUNING,
        sigmoids,
        ("vanishing_gradient",),
        (
            "loss_plateau",
            "underfitting",
            "layer_not_training",
            "representation_collapse",
            "saturation",
            "oversmoothing",
            "poor_init",
            "lr_too_low",
            "redundant_units",
        ),
    ),
    Scenario(
        "grove-first-word-rnn",
        "rnn",
        TUNING,
        first_word,
        ("vanishing_gradient",),
        ("loss_plateau", "underfitting", "overfitting"),
    ),
)
