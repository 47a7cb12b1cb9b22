"""The three networks, each with its optimizer and its schedule of the learning rate."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

PIXELS = 64
CHANNELS = 32
WIDTH = 256
CLASSES = 10

Trainer = tuple[nn.Module, Optimizer, LRScheduler]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A network, and how it is trained.

    Attributes:
        name: Name of its run.
        steps: How many optimizer steps it takes.
        build: From the number of steps to the model, its optimizer and the schedule.
        has_maps: Whether it has activation maps to look at.
    """

    name: str
    steps: int
    build: Callable[[int], Trainer]
    has_maps: bool = False


def convolutional(steps: int) -> Trainer:
    """A small CNN with batch norm: it learns the digits, and every layer gets its gradient."""
    layers = {**_convolution(1, 1, CHANNELS), **_convolution(2, CHANNELS, CHANNELS)}
    layers["pool"] = nn.MaxPool2d(2)
    layers |= _convolution(3, CHANNELS, 2 * CHANNELS)
    layers |= {"flatten": nn.Flatten(), "dropout": nn.Dropout(0.5)}
    layers["head"] = nn.Linear(2 * CHANNELS * PIXELS // 4, CLASSES)
    model = nn.Sequential(OrderedDict(layers))
    optimizer = SGD(model.parameters(), lr=0.005, momentum=0.9, weight_decay=5e-4)
    return model, optimizer, CosineAnnealingLR(optimizer, steps)


def deep_sigmoid(steps: int) -> Trainer:
    """Twenty layers with sigmoids: each shrinks the gradient at least fourfold, and nothing arrives at the first."""
    model = _dense(20, nn.Sigmoid)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, optimizer, CosineAnnealingLR(optimizer, steps)


def raised_learning_rate(steps: int) -> Trainer:
    """Nine layers with ReLUs that learn, until the learning rate rises a hundredfold and the units die."""
    model = _dense(9, nn.ReLU)
    optimizer = Adam(model.parameters(), lr=1e-3)
    start, rise = steps // 2, max(1, steps // 8)
    return model, optimizer, LambdaLR(optimizer, lambda step: 100 ** min(1.0, max(0.0, (step - start) / rise)))


def _convolution(number: int, inputs: int, outputs: int) -> dict[str, nn.Module]:
    return {
        f"conv{number}": nn.Conv2d(inputs, outputs, 3, padding=1),
        f"norm{number}": nn.BatchNorm2d(outputs),
        f"relu{number}": nn.ReLU(),
    }


def _dense(depth: int, activation: type[nn.Module]) -> nn.Module:
    """Return `depth` linear layers with an activation after each but the last."""
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    for number in range(1, depth):
        inputs = PIXELS if number == 1 else WIDTH
        layers |= {f"fc{number}": nn.Linear(inputs, WIDTH), f"activation{number}": activation()}
    return nn.Sequential(OrderedDict(layers | {"head": nn.Linear(WIDTH, CLASSES)}))


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment("cnn", 500, convolutional, has_maps=True),
    Experiment("sigmoid-mlp", 600, deep_sigmoid),
    Experiment("raised-lr", 1000, raised_learning_rate),
)
