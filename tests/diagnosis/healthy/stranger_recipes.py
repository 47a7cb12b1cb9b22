"""Healthy networks over digits that are trained after recipes with more than one pass, loss or set of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits
from tests.diagnosis.networks import cnn
from tests.diagnosis.proof import accuracy, alive, calm, generalises, learned, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


@torch.no_grad()
def climb(model: nn.Module, length: float) -> list[Tensor]:
    """Move the weights uphill, along the gradient; return by how much."""
    slopes = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = torch.stack([slope.norm() for slope in slopes]).norm()
    moves = [slope * (length / (norm + 1e-12)) for slope in slopes]
    for parameter, move in zip(model.parameters(), moves, strict=True):
        parameter.add_(move)
    return moves


def sharpness(trial: Trial) -> None:
    """SAM: two passes a step, and between them the weights go uphill for a moment."""
    data, criterion = digits(trial.seed, flat=False), nn.CrossEntropyLoss()
    model, draw = cnn((8, 16)), data.train.batches(48, trial.seed)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(150):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            loss.backward()
            moves = climb(model, 0.05)
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            with torch.no_grad():
                for parameter, move in zip(model.parameters(), moves, strict=True):
                    parameter.sub_(move)
            optimizer.step()
            optimizer.zero_grad()
            writer.add_scalar("loss", loss.detach(), writer.step)
    learned(model, data.held_out, 0.93)


def shaken(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures with noise, of which four by four pixels are blank."""
    noisy = pictures + 0.5 * torch.randn(pictures.shape, generator=generator)
    row, column = torch.randint(5, (2,), generator=generator).tolist()
    noisy[..., row : row + 3, column : column + 3] = -0.8
    return noisy


def consistency(trial: Trial) -> None:
    """FixMatch: a hundred labels, and a second loss that is zero until the network is sure of pictures without one."""
    data, model = digits(trial.seed, flat=False), cnn((8, 16))
    labelled = torch.cat([(data.train.targets == one).nonzero()[:10, 0] for one in range(10)])
    few = Part(data.train.inputs[labelled], data.train.targets[labelled]).batches(24, trial.seed)
    many = data.train.batches(72, trial.seed)
    optimizer, generator = Adam(model.parameters(), lr=3e-3), torch.Generator().manual_seed(trial.seed)
    shares = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(180):
            (inputs, targets), (others, _) = few(step), many(step)
            weak = torch.cat([inputs, others]) + 0.1 * torch.randn(96, 1, 8, 8, generator=generator)
            told, asked = model(torch.cat([weak, shaken(others, generator)])).split([96, 72])
            supervised = functional.cross_entropy(told[:24], targets)
            sure, guess = told[24:].detach().softmax(1).max(1)
            used = (sure > 0.9).float()
            unsupervised = (functional.cross_entropy(asked, guess, reduction="none") * used).mean()
            optimizer.zero_grad()
            (supervised + unsupervised).backward()
            optimizer.step()
            shares.append(float(used.mean()))
            writer.add_scalar("loss/supervised", supervised.detach(), writer.step)
            writer.add_scalar("loss/unsupervised", unsupervised.detach(), writer.step)
            writer.add_scalar("sure", shares[-1], writer.step)
            if step % 30 == 29:
                writer.add_scalar("accuracy/val", accuracy(model, data.held_out), writer.step)
    require(shares[0] < 0.1 and sum(shares[-20:]) / 20 > 0.5, "it is not surer than it was")
    learned(model, data.held_out, 0.88)


class Margin(nn.Module):
    """ArcFace: a loss with weights of its own, the directions of the classes; the right one is to win by an angle."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width))

    def forward(self, codes: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of codes [n, width]."""
        angles = self.cosines(codes).clamp(-1 + 1e-6, 1 - 1e-6).acos()
        angles = angles + 0.3 * functional.one_hot(targets, len(self.weight))
        return functional.cross_entropy(12 * angles.cos(), targets)

    def cosines(self, codes: Tensor) -> Tensor:
        """Return the cosines [n, classes] of codes with the directions."""
        return functional.normalize(codes) @ functional.normalize(self.weight.to(codes)).T


def angles(trial: Trial) -> None:
    """ArcFace: the criterion has weights, the loss begins at twice that of a guess, and codes are of any length."""
    data = digits(trial.seed, flat=False)
    model, criterion = cnn((8, 16), classes=24), Margin(24, 10)
    optimizer = Adam([{"params": model.parameters()}, {"params": criterion.parameters(), "lr": 1e-2}], lr=3e-3)
    draw = data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=180)
    told = criterion.cosines(outputs(model, "head", data.held_out.inputs)).argmax(1)
    right = float((told == data.held_out.targets).double().mean())
    require(right > 0.93, f"the accuracy is {right:.3f}")
    alive(model, data.held_out.inputs)
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-sharpness-cnn", "cnn", TUNING, sharpness),
    Scenario("healthy-consistency-cnn", "cnn", TUNING, consistency),
    Scenario("healthy-angles-cnn", "cnn", TUNING, angles),
)
