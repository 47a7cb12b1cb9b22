"""Learning rates that are too low: one of Adam's for SGD, OneCycleLR by the epoch, one of Adam's for Adadelta."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adadelta, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from tests.diagnosis.data import language, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate


def wines(trial: Trial) -> Truth:
    """Wine, standardised, and SGD with the 1e-4 that Adam had in the last notebook."""
    torch.manual_seed(trial.seed)
    table = load_wine()
    raw = torch.tensor(table.data, dtype=torch.float32)
    data = split((raw - raw.mean(0)) / raw.std(0), torch.tensor(table.target), 45, trial.seed)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    other, before, criterion = copy.deepcopy(model), snapshot(model), nn.CrossEntropyLoss()
    optimizer, draw = SGD(model.parameters(), lr=1e-4), data.train.batches(16, trial.seed)
    first = loss_of(model, data.held_out)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(250):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss", loss.item(), step)
            writer.add_scalar("Accuracy", float((scores.argmax(1) == targets).float().mean()), step)
    control(other, data.train.batches(16, trial.seed), SGD(other.parameters(), lr=0.1), steps=250)
    does, should = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(first - does < 0.05, f"the loss fell from {first:.3g} to {does:.3g}")
    require(should < 0.3 and accuracy(other, data.held_out) > 0.9, f"at 0.1 the loss is {should:.3g}")
    require(max(moved(before, model).values()) < 0.01, "a weight moved")
    return Truth()


def one_cycle(trial: Trial) -> Truth:
    """OneCycleLR with steps times epochs in all, but stepped by the epoch: the rate stays where the cycle begins."""
    torch.manual_seed(trial.seed)
    data, model = language(trial.seed), Transformer(20, 20, width=32, each=True)
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    epochs, steps = 8, 30
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = OneCycleLR(optimizer, max_lr=3e-3, epochs=epochs, steps_per_epoch=steps, div_factor=100)
    draw, rates = data.train.batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(epochs):
            for step in range(steps):
                tokens, following = draw(step)
                loss = criterion(model(tokens), following)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                rates.append(optimizer.param_groups[0]["lr"])
                writer.add_scalar("train/loss", loss.item(), writer.step)
            schedule.step()
            writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    better = AdamW(other.parameters(), lr=3e-3, weight_decay=0.01)
    cycle = OneCycleLR(better, max_lr=3e-3, total_steps=epochs * steps + 1, div_factor=100)
    draw = data.train.batches(32, trial.seed)
    for _step in range(epochs * steps):
        control(other, draw, better, steps=1, clip=5.0)
        cycle.step()
    require(max(rates) < 3e-3 / 20, f"the learning rate came to {max(rates):.3g}")
    does, should = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(does > 1.4 * should, f"the loss is {does:.3g}, and stepped after each batch {should:.3g}")
    return Truth()


class Finder(nn.Module):
    """Says where in a picture a disc is and how large, as a box of centre and size."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, made in ((3, 8), (8, 16), (16, 24)):
            layers += [nn.Conv2d(inputs, made, 3, stride=2, padding=1), nn.GroupNorm(4, made), nn.ReLU()]
        self.backbone = nn.Sequential(*layers)
        self.box = nn.Sequential(nn.Linear(24 * 9, 48), nn.ReLU(), nn.Linear(48, 4))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return boxes [n, 4] of [n, 3, 24, 24]."""
        made: Tensor = self.box(self.backbone(pictures).flatten(1))
        return made


def scenes(seed: int, count: int = 900) -> tuple[Tensor, Tensor]:
    """Return noisy pictures of a bright ellipse among clutter, [n, 3, 24, 24], and its box, [n, 4], in -1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(count, 4, generator=generator) * torch.tensor([1.2, 1.2, 0.5, 0.5])
    boxes = boxes + torch.tensor([-0.6, -0.6, 0.2, 0.2])
    line = torch.linspace(-1, 1, 24)
    across, down = (line - boxes[:, :1]) / boxes[:, 2:3], (line - boxes[:, 1:2]) / boxes[:, 3:]
    inside = (across.square()[:, None] + down.square()[:, :, None] < 1).float()
    colours = torch.rand(count, 3, 1, 1, generator=generator) + 0.7
    return inside[:, None] * colours + 0.3 * torch.randn(count, 3, 24, 24, generator=generator), boxes


def adadelta(trial: Trial) -> Truth:
    """Adam is swapped for Adadelta in a box regressor, and the 1e-3 stays: Adadelta's own is 1."""
    torch.manual_seed(trial.seed)
    data, model, criterion = split(*scenes(trial.seed), 180, trial.seed), Finder(), nn.SmoothL1Loss(beta=0.1)
    other, optimizer = copy.deepcopy(model), Adadelta(model.parameters(), lr=1e-3)
    draw, first = data.train.batches(24, trial.seed), loss_of(model, data.held_out, criterion)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            pictures, boxes = draw(step)
            loss = criterion(model(pictures), boxes)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            writer.add_scalar("box_loss", loss.item(), writer.step)
            if step % 44 == 43:
                writer.add_scalar("val_box_loss", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(24, trial.seed), Adadelta(other.parameters(), lr=1.0), criterion, steps=220)
    does, should = (loss_of(net, data.held_out, criterion) for net in (model, other))
    plain = data.train.targets.mean(0).expand_as(data.held_out.targets)
    mean = float(functional.smooth_l1_loss(plain, data.held_out.targets, beta=0.1))
    require(does > 0.8 * first, f"the loss fell from {first:.3g} to {does:.3g}")
    require(
        should < 0.6 * mean and should < 0.5 * does, f"the loss is {does:.3g}; at 1 {should:.3g}, of means {mean:.3g}"
    )
    return Truth()


SCENARIOS = (
    Scenario("olive-wines-mlp", "mlp", TUNING, wines, ("lr_too_low",), ("loss_plateau", "underfitting")),
    Scenario(
        "olive-one-cycle-gpt", "transformer", TUNING, one_cycle, ("lr_too_low",), ("loss_plateau", "underfitting")
    ),
    Scenario("olive-adadelta-boxes-cnn", "cnn", TUNING, adadelta, ("lr_too_low",), ("loss_plateau", "underfitting")),
)
