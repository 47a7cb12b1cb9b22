"""Networks over pictures that can't see enough, step too far, draw but the mean, or are shown masks from 0 to 255."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, RMSprop
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.faulty.blind_losses import Mask, cells
from tests.diagnosis.faulty.blind_units import shapes
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, double, gradients, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit


def textures(seed: int, count: int = 300) -> Split:
    """Return pictures [n, 1, 16, 16] of cloth lying about, whose threads go up or across; and what is where."""
    generator = torch.Generator().manual_seed(seed)
    pictures = -1 + 0.4 * torch.randn(count, 1, 16, 16, generator=generator)
    classes = torch.zeros(count, 16, 16).long()
    across = torch.tensor([1.0, -1.0]).repeat(4).expand(8, 8)
    corners = torch.randint(9, (count, 2, 2), generator=generator).tolist()
    for number, places in enumerate(corners):
        for kind, (row, column) in enumerate(places, start=1):
            where = (slice(row, row + 8), slice(column, column + 8))
            threads = across if kind == 1 else across.T
            pictures[number, 0][where] = 0.5 + threads + 0.4 * torch.randn(8, 8, generator=generator)
            classes[number][where] = kind
    return split(pictures, classes, 80, seed)


def segmenter(size: int) -> nn.Sequential:
    """Return four convolutions of a kernel that says of each pixel to which of three classes it belongs."""
    parts = OrderedDict[str, nn.Module]()
    for number, (inputs, made) in enumerate(((1, 24), (24, 24), (24, 24)), start=1):
        parts[f"conv{number}"] = nn.Conv2d(inputs, made, size, padding=size // 2)
        parts[f"norm{number}"], parts[f"act{number}"] = nn.BatchNorm2d(made), nn.ReLU()
    return nn.Sequential(parts | {"head": nn.Conv2d(24, 3, 1)})


def pointwise(trial: Trial) -> Truth:
    """Kernels of 1 from a line that was copied: no pixel hears of its neighbours, and textures are made of those."""
    data, model, other = textures(trial.seed), segmenter(1), segmenter(3)
    criterion, history = nn.CrossEntropyLoss(), History([], {})
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(12, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(7):
            total = 0.0
            for _ in range(22):
                pictures, classes = draw(0)
                optimizer.zero_grad()
                loss = criterion(model(pictures), classes)
                loss.backward()
                optimizer.step()
                total += float(loss.detach())
            writer.add_scalar("Loss/train", total / 22, epoch)
            writer.add_scalar("Loss/val", evaluate(model, criterion, data.held_out), epoch)
            history.train.append(total / 22)
    better = control(other, data.train.batches(12), Adam(other.parameters(), lr=3e-3), steps=154)
    worse(history.train[-1], better, 3.0)
    right = accuracy(model, data.train.first(100)), accuracy(other, data.train.first(100))
    require(right[0] < right[1] - 0.15, f"of the pixels {right} are right")
    return Truth()


class UNet(nn.Module):
    """Down once and up again, with the fine beside the coarse."""

    def __init__(self) -> None:
        super().__init__()
        self.inc, self.down = self.stage(1, 12), nn.Sequential(nn.MaxPool2d(2), self.stage(12, 24))
        self.up, self.join = nn.ConvTranspose2d(24, 12, 2, stride=2), self.stage(24, 12)
        self.outc = nn.Conv2d(12, 4, 1)

    @staticmethod
    def stage(inputs: int, made: int) -> nn.Sequential:
        """Return a convolution with batch norm and ReLU."""
        return nn.Sequential(nn.Conv2d(inputs, made, 3, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU())

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 4, 16, 16]."""
        fine = self.inc(pictures)
        scores: Tensor = self.outc(self.join(torch.cat([fine, self.up(self.down(fine))], 1)))
        return scores


def momentum_of_999(trial: Trial) -> Truth:
    """RMSprop with momentum of 0.999, as a well-known U-Net has it at 0.00001, at a rate for none: 0.05."""
    data, model = shapes(trial.seed), UNet()
    other = copy.deepcopy(model)
    optimizer = RMSprop(model.parameters(), lr=5e-2, weight_decay=1e-8, momentum=0.999)
    draw = data.train.batches(8, trial.seed)
    history = fit(trial, model, draw, optimizer, clip=1.0, validation=data.held_out, every=3, steps=150)
    slow = RMSprop(other.parameters(), lr=1e-3, weight_decay=1e-8, momentum=0.9)
    better = control(other, data.train.batches(8, trial.seed), slow, steps=150, clip=1.0)
    worse(history.end, better, 3.0)
    return Truth()


def faded(model: nn.Module, part: Part, criterion: nn.Module) -> tuple[str, ...]:
    """Return the layers whose weights have a gradient a thousandth of the last one's; raise unless the first is one."""
    weights = [(name, size) for name, size in gradients(model, part, criterion).items() if name.endswith(".weight")]
    small = tuple(name.removesuffix(".weight") for name, size in weights if size < 1e-3 * weights[-1][1])
    require("fc1" in small, f"the gradient does not fall: {weights}")
    return small


def autoencoder_of_sigmoids(trial: Trial) -> Truth:
    """An autoencoder as books of old have it, made deeper: nine sigmoids, and all it ever draws is the mean picture."""
    pictures, criterion = digits(trial.seed).train.inputs, nn.MSELoss()
    data, widths = Part(pictures, pictures), (64, 48, 40, 32, 24, 12, 24, 32, 40, 48, 64)
    model, other = mlp(widths, nn.Sigmoid), mlp(widths, nn.Tanh)
    optimizer, losses = SGD(model.parameters(), lr=0.3, momentum=0.9), []
    loader = DataLoader(TensorDataset(pictures), 64, shuffle=True, drop_last=True)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=3, on_finding="ignore")
        for _epoch in range(10):
            for (seen,) in loader:
                loss = criterion(model(seen), seen)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
                writer.add_scalar("reconstruction", losses[-1], writer.step)
    narrow = faded(model, data.first(256), criterion)
    mean = float((pictures - pictures.mean(0)).square().mean())
    require(losses[-1] > 0.93 * mean, f"the error is {losses[-1]:.3g}, and {mean:.3g} of the mean picture")
    again = data.batches(64, trial.seed)
    better = control(other, again, SGD(other.parameters(), lr=0.3, momentum=0.9), criterion, steps=220)
    worse(sum(losses[-20:]) / 20, better, 1.4)
    return Truth(narrow)


def masks_to_255(trial: Trial) -> Truth:
    """Masks as they are in files, 0 and 255, in an entropy of yes and no: all becomes ink, and the loss negative."""
    data, model, criterion = cells(trial.seed), Mask(), nn.BCEWithLogitsLoss()
    other, shown = copy.deepcopy(model), Part(data.inputs, 255 * data.targets)
    optimizer, draw = Adam(model.parameters(), lr=2e-3), shown.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=shown.first(64), every=2, steps=220)
    control(other, data.batches(16, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=220)
    require(history.end < -10, f"the loss is {history.end:.3g}")
    ink, shares = data.targets[:200] > 0, []
    for one in (model, other):
        with torch.no_grad():
            said = double(one)(data.inputs[:200].double()) > 0
        shares.append(float((said & ink).sum() / (said | ink).sum()))
    require(shares[0] < 0.7 * shares[1], f"intersections are {shares} of unions")
    return Truth()


_RATE = ("loss_oscillation", "loss_spike", "loss_plateau", "dead_units", "train_eval_mismatch")

SCENARIOS = (
    Scenario("poor-pointwise-cnn", "cnn", TUNING, pointwise, ("underfitting", "loss_plateau")),
    Scenario("high-momentum-cnn", "cnn", TUNING, momentum_of_999, ("lr_too_high",), _RATE),
    Scenario(
        "vanishing-autoencoder-mlp",
        "mlp",
        TUNING,
        autoencoder_of_sigmoids,
        ("vanishing_gradient",),
        ("loss_plateau", "underfitting"),
    ),
    Scenario("output-masks-cnn", "cnn", TUNING, masks_to_255, ("wrong_output_or_loss",), ("exploding_gradient",)),
)
