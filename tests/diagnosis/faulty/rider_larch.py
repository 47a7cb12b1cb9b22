"""Depth that eats the gradient, and weights that begin at a scale which nobody would choose."""

from __future__ import annotations

import math

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Split, digits, language, split
from tests.diagnosis.networks import Block
from tests.diagnosis.proof import gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def harmed(does: float, should: float, factor: float = 1.3) -> None:
    """Raise NotProvenError unless a loss is so many times that of a sound training, or is not finite."""
    require(not does < factor * should, f"{does:.4g} is not {factor:g} times {should:.4g}")


def sigmoids(activation: type[nn.Module], depth: int = 6) -> nn.Sequential:
    """Return a classifier of digits with so many hidden layers."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Linear(64 if number == 0 else 32, 32), activation()]
    return nn.Sequential(*layers, nn.Linear(32, 10))


def sigmoid_tower(trial: Trial) -> Truth:
    """Six hidden layers with a sigmoid after each, as in an old lecture, trained by SGD: it stays at ln 10."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed), sigmoids(nn.Sigmoid), sigmoids(nn.ReLU)
    before = gradients(model, data.train.first(512))
    optimizer, criterion, losses = SGD(model.parameters(), lr=0.05, momentum=0.9), nn.CrossEntropyLoss(), []
    draw = data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(260):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    harmed(sum(losses[-26:]) / 26, control(other, data.train.batches(64, trial.seed), optimizer, steps=260), 2)
    for found in (before, gradients(model, data.train.first(512))):
        require(found["0.weight"] < 1e-3 * found["12.weight"], f"the first layer gets {found['0.weight']:.3g}")
    return Truth(("0", "2", "4", "6"))


def cells(seed: int, count: int = 400) -> Split:
    """Return noisy pictures of bright discs on an uneven ground, [n, 1, 16, 16], and where the discs are."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    masks = torch.zeros(count, 16, 16)
    for _disc in range(3):
        centres, radii = (
            16 * torch.rand(count, 2, 1, 1, generator=generator),
            torch.rand(count, 1, 1, generator=generator),
        )
        far = (rows - centres[:, 0]).square() + (columns - centres[:, 1]).square()
        masks = masks.maximum((far < (2 + 1.5 * radii).square()).float())
    slope = torch.randn(count, 1, 1, generator=generator) * (rows - 7.5) / 7.5
    pictures = 1.5 * masks + 0.5 * slope + 0.3 * torch.randn(count, 16, 16, generator=generator)
    return split(((pictures - pictures.mean()) / pictures.std())[:, None], masks[:, None], 80, seed)


class Segmenter(nn.Module):
    """A stem, many equal convolutions and a convolution to one channel; normalised and with shortcuts, or plain."""

    def __init__(self, depth: int, *, plain: bool) -> None:
        super().__init__()
        self.plain = plain
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(depth))
        self.norms = nn.ModuleList(() if plain else (nn.BatchNorm2d(8) for _ in range(depth)))
        self.mask = nn.Conv2d(8, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 16, 16]."""
        hidden = functional.leaky_relu(self.stem(pictures), 0.1)
        for number, conv in enumerate(self.body):
            if self.plain:
                hidden = functional.leaky_relu(conv(hidden), 0.1)
            else:
                hidden = hidden + functional.leaky_relu(self.norms[number](conv(hidden)), 0.1)
        scores: Tensor = self.mask(hidden)
        return scores


def plain_segmenter(trial: Trial) -> Truth:
    """Cells are to be segmented: fifteen convolutions on end with neither norms nor shortcuts, as deeper is better."""
    torch.manual_seed(trial.seed)
    data, criterion = cells(trial.seed), nn.BCEWithLogitsLoss()
    model, other = Segmenter(14, plain=True), Segmenter(14, plain=False)
    before = gradients(model, data.train.first(64), criterion)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    draw = data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=160)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    harmed(history.end, control(other, data.train.batches(16, trial.seed), optimizer, criterion, steps=160), 1.5)
    for found in (before, gradients(model, data.train.first(64), criterion)):
        small, large = found["stem.weight"], found["mask.weight"]
        require(small < 1e-3 * found["body.13.weight"], f"the stem gets {small:.3g}, and the mask {large:.3g}")
    return Truth(("stem", *(f"body.{number}" for number in range(9))))


def progression(seed: int) -> Split:
    """Return ten measurements of people with diabetes, and how it is a year later, both standardised."""
    data = load_diabetes()
    inputs, targets = torch.tensor(data.data).float(), torch.tensor(data.target).float()[:, None]
    inputs, targets = ((one - one.mean(0)) / one.std(0) for one in (inputs, targets))
    return split(inputs, targets, 92, seed)


class Regressor(nn.Module):
    """Two hidden layers over ten numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(10, 100), nn.Linear(100, 100), nn.Linear(100, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.out(functional.relu(self.fc2(functional.relu(self.fc1(rows)))))
        return told


def normal_weights(trial: Trial) -> Truth:
    """`if isinstance(m, nn.Linear): nn.init.normal_(m.weight)`: deviation one by default; the first loss is huge."""
    torch.manual_seed(trial.seed)
    data, model, other, criterion = progression(trial.seed), Regressor(), Regressor(), nn.MSELoss()

    def init_weights(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight)
            nn.init.zeros_(module.bias)

    model.apply(init_weights)
    first = loss_of(model, data.train, criterion)
    require(first > 100 * loss_of(other, data.train, criterion), f"the first loss is {first:.3g}")
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/mse", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("test/mse", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=1e-3), criterion, steps=200)
    harmed(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 3)
    return Truth(("fc1", "fc2", "out"))


class Tied(nn.Module):
    """A causal language model, the weight of whose head is that of its embedding."""

    def __init__(self, tokens: int, width: int, std: float) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(tokens, width), nn.Parameter(0.02 * torch.randn(16, width))
        nn.init.normal_(self.embed.weight, std=std)
        self.blocks = nn.Sequential(*(Block(width, causal=True) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tokens, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, tokens, length]."""
        scores: Tensor = self.head(self.norm(self.blocks(self.embed(tokens) + self.place)))
        return scores.transpose(1, 2)


def tied_embedding(trial: Trial) -> Truth:
    """A language model shares `nn.Embedding`'s weight with its head, and leaves it at its deviation of one."""
    torch.manual_seed(trial.seed)
    data, model, other = language(trial.seed, states=60), Tied(60, 64, 1.0), Tied(60, 64, 0.02)
    criterion = nn.CrossEntropyLoss()
    first, sound = (loss_of(one, data.train.first(128)) for one in (model, other))
    require(first > 4 * math.log(60) > 3.5 * sound, f"the first losses are {first:.3g} and {sound:.3g}")
    optimizer, draw, losses = AdamW(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            tokens, following = draw(step)
            loss = criterion(model(tokens), following)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
    better = control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=160)
    harmed(sum(losses[-16:]) / 16, better)
    return Truth(("embed", "head"))


SCENARIOS = (
    Scenario(
        "larch-vanishing-sigmoids-mlp",
        "mlp",
        TUNING,
        sigmoid_tower,
        ("vanishing_gradient",),
        ("loss_plateau", "layer_not_training", "lr_too_low", "poor_init", "redundant_units", "underfitting"),
    ),
    Scenario(
        "larch-vanishing-segmenter-cnn",
        "cnn",
        TUNING,
        plain_segmenter,
        ("vanishing_gradient",),
        ("loss_plateau", "layer_not_training", "poor_init", "underfitting", "representation_collapse"),
    ),
    Scenario(
        "larch-init-normal-mlp",
        "mlp",
        TUNING,
        normal_weights,
        ("poor_init",),
        ("exploding_gradient", "lr_too_low", "overfitting", "dead_units", "loss_spike", "loss_oscillation"),
    ),
    Scenario(
        "larch-init-tied-transformer",
        "transformer",
        TUNING,
        tied_embedding,
        ("poor_init",),
        ("saturation", "lr_too_low", "exploding_gradient"),
    ),
)
