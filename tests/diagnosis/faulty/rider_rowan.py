"""Wines, nuclei, patients, a tiny corpus and digits: dead units, learning by heart, and a softmax too many."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, digits, language, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, loss_of, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Regressor(nn.Module):
    """Two hidden layers, and a number."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inputs, width), nn.Linear(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1]."""
        made: Tensor = self.out(functional.relu(self.fc2(functional.relu(self.fc1(rows)))))
        return made


def scaled(rows: Tensor) -> Tensor:
    """Return columns of mean 0 and deviation 1."""
    return (rows - rows.mean(0)) / rows.std(0)


def proline(trial: Trial) -> Truth:
    """Predicts what a wine has of an acid, some 750 of it, as it stands: the first steps kill all units."""
    torch.manual_seed(trial.seed)
    columns = torch.tensor(load_wine().data, dtype=torch.float32)
    rows, acid = scaled(columns[:, :12]), columns[:, 12:]
    data = split(rows, acid, 38, trial.seed)
    model, criterion, gone = Regressor(12, 48), nn.MSELoss(), []
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.5, momentum=0.9)
    robust = nn.SmoothL1Loss()
    draw = data.train.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, robust, every=1, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = robust(model(inputs), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss", loss.item(), writer.step)
            gone.append(float(silent(model, "fc2", data.train.inputs).double().mean()) > 0.9)
    last = max(step for step, dead in enumerate(gone) if not dead)
    require(last < 150, f"units live at step {last}")
    better = Part(data.train.inputs, (data.train.targets - acid.mean()) / acid.std())
    control(other, better.batches(16, trial.seed), SGD(other.parameters(), lr=0.01), criterion, steps=200)
    should = loss_of(other, better, criterion)
    does = loss_of(model, data.train, criterion) / float(acid.var())
    require(does > 2 * should, f"{does:.3f} of the variance is left, and {should:.3f} could be")
    return Truth(("fc2", "fc1"), 0, last + 5)


class Nuclei(nn.Module):
    """Says of each pixel if it belongs to a nucleus; detectors' way of starting rare classes is used in all layers."""

    def __init__(self, *, everywhere: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
        )
        self.mask = nn.Conv2d(16, 1, 1)
        for module in self.modules() if everywhere else (self.mask,):
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.constant_(module.bias, -4.6)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, rows, columns]."""
        scores: Tensor = self.mask(self.body(pictures))
        return scores


def nuclei(seed: int, count: int = 400) -> Split:
    """Return pictures with two round spots each, in [0, 1], and where those are; [n, 1, 16, 16]."""
    generator = torch.Generator().manual_seed(seed)
    axis, masks = torch.arange(16.0), torch.zeros(count, 16, 16)
    for _spot in range(2):
        at = 2 + 12 * torch.rand(count, 2, generator=generator)
        away = (axis[:, None] - at[:, 0, None, None]) ** 2 + (axis - at[:, 1, None, None]) ** 2
        masks = torch.maximum(masks, (away < 5).float())
    noise = 0.15 * torch.randn(count, 16, 16, generator=generator)
    pictures = (0.3 + 0.4 * masks + noise).clamp(0, 1)
    return split(pictures[:, None], masks[:, None], 80, seed)


def prior(trial: Trial) -> Truth:
    """Every convolution's bias is set to -4.6, which is meant for the last one alone: no ReLU ever fires."""
    torch.manual_seed(trial.seed)
    data, criterion = nuclei(trial.seed), nn.BCEWithLogitsLoss()
    model, other = Nuclei(everywhere=True), Nuclei(everywhere=False)
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(16, trial.seed)
    fit(trial, model, draw, optimizer, criterion, steps=160, validation=data.held_out, every=2)
    for name in ("body.0", "body.2"):
        require(silent(model, name, data.train.inputs).all(), f"units of {name} fire")
    control(other, data.train.batches(16, trial.seed), Adam(other.parameters(), lr=5e-3), criterion, steps=160)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(does > 2 * should, f"{does:.3f} is not far above {should:.3f}")
    return Truth(("body.0", "body.1", "body.2", "body.3"))


def heart(train: list[float], held_out: dict[int, float], rise: float) -> Truth:
    """Return from when on the loss held out rises for good, having shown that it does."""
    best = min(held_out, key=lambda step: held_out[step])
    least, last = held_out[best], list(held_out.values())[-1]
    require(last > rise * least, f"the loss held out is {last:.3f}, and was {least:.3f} at its least")
    end = sum(train[-20:]) / 20
    require(end < 0.5 * least, f"the loss in training is {end:.3f}")
    halfway = next(step for step, loss in held_out.items() if step > best and loss > (least + last) / 2)
    return Truth((), best, halfway + 20)


def progression(trial: Trial) -> Truth:
    """How far diabetes goes in a year, from 120 patients, by a network of 70,000 weights and without end."""
    torch.manual_seed(trial.seed)
    table = load_diabetes()
    rows = scaled(torch.tensor(table.data, dtype=torch.float32))
    data = split(rows, scaled(torch.tensor(table.target, dtype=torch.float32)[:, None]), 322, trial.seed)
    model, criterion = Regressor(10, 256), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    train: list[float] = []
    held_out: dict[int, float] = {}
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(320):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            train.append(loss.item())
            writer.add_scalar("train/loss", train[-1], writer.step)
            if step % 10 == 9:
                held_out[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val/loss", held_out[step], writer.step)
    return heart(train, held_out, 1.3)


def corpus(trial: Trial) -> Truth:
    """A language model that reads forty sentences again and again, until it knows them and nothing else."""
    torch.manual_seed(trial.seed)
    data = language(trial.seed, states=30)
    model = Transformer(30, 30, width=48, each=True)
    optimizer, draw = AdamW(model.parameters(), lr=3e-3), data.train.first(40).batches(20, trial.seed)
    history = fit(trial, model, draw, optimizer, steps=240, validation=data.held_out, every=2)
    truth = heart(history.train, history.validation, 1.3)
    other = copy.deepcopy(model)
    for layer in other.modules():
        if isinstance(layer, nn.Linear | nn.Embedding | nn.LayerNorm):
            layer.reset_parameters()
    control(other, data.train.batches(20, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=240)
    does, should = (loss_of(one, data.held_out) for one in (model, other))
    require(does > 1.3 * should, f"{does:.3f} is not far above {should:.3f}, with all sentences")
    return truth


class Reader(nn.Module):
    """Two convolutions and two linear layers over digits; gives probabilities or scores."""

    def __init__(self, *, softmax: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(64, 48), nn.Linear(48, 10)
        self.softmax = softmax

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return functional.softmax(scores, dim=1) if self.softmax else scores


def probabilities(trial: Trial) -> Truth:
    """`return F.softmax(x, dim=1)`, and then nn.CrossEntropyLoss, which does the same once more."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed, flat=False), nn.CrossEntropyLoss()
    model, other = Reader(softmax=True), Reader(softmax=False)
    other.load_state_dict(model.state_dict())
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            pictures, classes = draw(step)
            optimizer.zero_grad()
            made = model(pictures)
            loss = criterion(made, classes)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss", loss.item(), writer.step)
            writer.add_scalar("accuracy", (made.argmax(1) == classes).float().mean().item(), writer.step)
    with torch.no_grad():
        made = model(data.held_out.inputs)
    require((made.sum(1) - 1).abs().max() < 1e-5, "no probabilities")
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    control(other, data.train.batches(32, trial.seed), optimizer, steps=240)
    does, should = (accuracy(one, data.held_out) for one in (model, other))
    require(loss_of(model, data.train) > 1.4612, "the loss is below what probabilities can reach")
    told = float(functional.nll_loss(made.clamp_min(1e-12).log(), data.held_out.targets))
    known = loss_of(other, data.held_out)
    require(told > 1.5 * known, f"{told:.3f} is not far above {known:.3f}; accuracies {does:.3f}, {should:.3f}")
    return Truth()


SCENARIOS = (
    Scenario(
        "rowan-dead-wines-mlp",
        "mlp",
        TUNING,
        proline,
        ("dead_units", "lr_too_high", "poor_init"),
        ("exploding_gradient", "loss_plateau", "loss_spike", "loss_oscillation", "vanishing_gradient", "underfitting"),
    ),
    Scenario(
        "rowan-dead-nuclei-cnn",
        "cnn",
        TUNING,
        prior,
        ("dead_units", "poor_init"),
        ("vanishing_gradient", "layer_not_training", "loss_plateau", "class_imbalance", "underfitting"),
    ),
    Scenario("rowan-overfit-diabetes-mlp", "mlp", TUNING, progression, ("overfitting",)),
    Scenario("rowan-overfit-corpus-transformer", "transformer", TUNING, corpus, ("overfitting",)),
    Scenario(
        "rowan-softmax-digits-cnn",
        "cnn",
        TUNING,
        probabilities,
        ("wrong_output_or_loss",),
        ("loss_plateau", "saturation", "vanishing_gradient"),
    ),
)
