"""The three networks, each with its optimizer and its schedule of the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

WIDTH = 64
CLASSES = 10

Trainer = tuple[nn.Module, Optimizer, LRScheduler]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A network, and how it is trained.

    Attributes:
        name: Name of its run.
        steps: How many optimizer steps it takes.
        build: From the number of steps to the model, its optimizer and the schedule.
    """

    name: str
    steps: int
    build: Callable[[int], Trainer]


def convolutional(steps: int) -> Trainer:
    """A small CNN with batch norm: it learns the digits, and every layer gets its gradient."""
    model = nn.Sequential(
        *_convolution(1, 16),
        *_convolution(16, 32),
        nn.MaxPool2d(2),
        *_convolution(32, WIDTH),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(WIDTH * 16, CLASSES),
    )
    optimizer = SGD(model.parameters(), lr=0.005, momentum=0.9, weight_decay=5e-4)
    return model, optimizer, CosineAnnealingLR(optimizer, steps)


def deep_sigmoid(steps: int) -> Trainer:
    """Twenty layers with sigmoids: each shrinks the gradient at least fourfold, and nothing arrives at the first."""
    hidden = [layer for _ in range(19) for layer in (nn.Linear(WIDTH, WIDTH), nn.Sigmoid())]
    model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(WIDTH, CLASSES))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, optimizer, CosineAnnealingLR(optimizer, steps)


def raised_learning_rate(steps: int) -> Trainer:
    """Eight ReLU layers that learn, until the learning rate rises a hundredfold and the units die."""
    hidden = [layer for _ in range(8) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(WIDTH, CLASSES))
    optimizer = Adam(model.parameters(), lr=1e-3)
    start, rise = steps // 2, max(1, steps // 8)
    return model, optimizer, LambdaLR(optimizer, lambda step: 100 ** min(1.0, max(0.0, (step - start) / rise)))


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment("cnn", 800, convolutional),
    Experiment("sigmoid-mlp", 800, deep_sigmoid),
    Experiment("raised-lr", 1200, raised_learning_rate),
)
