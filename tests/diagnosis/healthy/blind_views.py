"""Healthy networks that learn from pictures without labels, or with few: by views, turns, queues and episodes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Part, Split, digits
from tests.diagnosis.healthy.stranger_pictures import layer
from tests.diagnosis.networks import cnn, mlp
from tests.diagnosis.proof import accuracy, alive, calm, generalises, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


def seen(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures [n, 1, 8, 8], each turned a little, moved by up to a pixel, fainter or stronger, with noise."""
    angles = 0.3 * torch.randn(len(pictures), generator=generator)
    strengths = 0.7 + 0.6 * torch.rand(len(pictures), 1, 1, 1, generator=generator)
    moves = 0.5 * torch.rand(len(pictures), 2, 1, generator=generator) - 0.25
    cos, sin = angles.cos(), angles.sin()
    ways = torch.cat([torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2), moves], 2)
    grid = functional.affine_grid(ways, list(pictures.shape), align_corners=False)
    made = functional.grid_sample(pictures + 0.8, grid, align_corners=False) * strengths - 0.8
    return made + 0.2 * torch.randn(pictures.shape, generator=generator)


def neighbours(encoder: nn.Module, data: Split, least: float) -> None:
    """Raise NotProvenError unless codes tell classes by the nearest neighbour, and differ from each other."""
    encoder.eval()
    with torch.no_grad():
        known, asked = (functional.normalize(encoder(part.inputs)) for part in (data.train, data.held_out))
    right = float((data.train.targets[torch.cdist(asked, known).argmin(1)] == data.held_out.targets).float().mean())
    require(right > least, f"{right:.3f} are told by their neighbours")
    spread = float(asked.var(0).sum())
    require(spread > 0.2, f"the codes have a variance of {spread:.3f}")


def twins(trial: Trial) -> None:
    """Barlow Twins: the loss is of a matrix of correlations, and begins at as many as the projection has units."""
    data, generator = digits(trial.seed, flat=False), torch.Generator().manual_seed(trial.seed)
    encoder = nn.Sequential(nn.Flatten(), mlp((64, 96, 48), norm=nn.BatchNorm1d))
    project = nn.Sequential(nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 64, bias=False))
    model, norm = nn.Sequential(encoder, project), nn.BatchNorm1d(64, affine=False)
    optimizer, draw, losses = AdamW(model.parameters(), lr=4e-3), data.train.batches(96, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            pictures, _ = draw(step)
            first, second = (norm(model(seen(pictures, generator))) for _ in range(2))
            alike = first.T @ second / len(pictures)
            on = (alike.diagonal() - 1).square().sum()
            off = alike.square().sum() - alike.diagonal().square().sum()
            loss = on + 0.02 * off
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("loss", losses[-1], writer.step)
            writer.add_scalar("on_diagonal", on.detach(), writer.step)
    neighbours(encoder, data, 0.85)
    require(sum(losses[-20:]) < 20 * 0.5 * losses[0], f"the loss came from {losses[0]:.3g} to {losses[-1]:.3g}")
    alive(model, data.held_out.inputs)


def queue(trial: Trial) -> None:
    """MoCo: what is compared with are keys of earlier batches, more and more at first, and the loss rises so."""
    data, generator = digits(trial.seed, flat=False), torch.Generator().manual_seed(trial.seed)
    model = nn.Sequential(cnn((8, 16), classes=48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 24))
    model.append(nn.BatchNorm1d(24, affine=False))
    slow = copy.deepcopy(model).requires_grad_(False)
    with torch.no_grad():
        keys = functional.normalize(slow(data.train.inputs[:48]))
    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule, draw, losses = CosineAnnealingLR(optimizer, 180), data.train.batches(48, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=3, on_finding="ignore")
        for step in range(180):
            pictures, _ = draw(step)
            asked = functional.normalize(model(seen(pictures, generator)))
            with torch.no_grad():
                for late, now in zip(slow.parameters(), model.parameters(), strict=True):
                    late.lerp_(now, 0.02)
                right = functional.normalize(slow(seen(pictures, generator)))
            scores = torch.cat([(asked * right).sum(1, keepdim=True), asked @ keys.T], 1) / 0.15
            loss = functional.cross_entropy(scores, torch.zeros(48).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            keys = torch.cat([keys, right])[-576:]
            losses.append(float(loss.detach()))
            writer.add_scalar("train_loss", losses[-1], writer.step)
    neighbours(model, data, 0.85)
    require(sum(losses[-20:]) / 20 < 0.9 * max(losses[:40]), "the loss does not fall again")
    alive(model, data.held_out.inputs)


def turns(trial: Trial) -> None:
    """Which way up is it? Some digits are the same upside down, so that nobody can always tell."""
    data, generator = digits(trial.seed, flat=False), torch.Generator().manual_seed(trial.seed)

    def turned(part: Part) -> Part:
        ways = torch.randint(4, (len(part.inputs),), generator=generator)
        every = torch.stack([part.inputs.rot90(way, (2, 3)) for way in range(4)], 1)
        return Part(every[torch.arange(len(ways)), ways], ways)

    parts = [turned(data.train) for _ in range(3)]
    train = Part(torch.cat([one.inputs for one in parts]), torch.cat([one.targets for one in parts]))
    held_out, model = turned(data.held_out), cnn((12, 24), classes=4)
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4), train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=held_out, steps=200, every=3)
    require(accuracy(model, held_out) > 0.82, f"{accuracy(model, held_out):.2f} are told")
    alive(model, held_out.inputs)
    calm(history)
    generalises(history)


def apart(trial: Trial) -> None:
    """Supervised contrast: several of a batch are alike, and the loss can't go below their logarithm."""
    data, generator = digits(trial.seed, flat=False), torch.Generator().manual_seed(trial.seed)
    encoder = nn.Sequential(nn.Flatten(), mlp((64, 96, 48)))
    model = nn.Sequential(encoder, nn.ReLU(), nn.Linear(48, 16))
    optimizer, draw = Adam(model.parameters(), lr=1.5e-3), data.train.batches(64, trial.seed)

    def criterion(codes: Tensor, targets: Tensor) -> Tensor:
        codes, itself = functional.normalize(codes), torch.eye(len(targets), dtype=torch.bool)
        shares = (codes @ codes.T / 0.1).masked_fill(itself, -1e9).log_softmax(1)
        same = (targets[:, None] == targets) & ~itself
        return -((shares * same).sum(1) / same.sum(1).clamp_min(1)).mean()

    def batches(step: int) -> tuple[Tensor, Tensor]:
        pictures, targets = draw(step)
        return torch.cat([seen(pictures, generator) for _ in range(2)]), targets.repeat(2)

    history = fit(trial, model, batches, optimizer, criterion, steps=240, every=2)
    neighbours(encoder, data, 0.93)
    alive(model, data.held_out.inputs)
    calm(history)
    require(history.end < 0.8 * history.train[0], f"the loss is {history.end:.3g}")


def episodes(trial: Trial) -> None:
    """Prototypes: at each step other classes, which are known by three pictures each; judged on classes never seen."""
    data, generator = digits(trial.seed, flat=False), torch.Generator().manual_seed(trial.seed)
    model = nn.Sequential(layer(1, 16), nn.MaxPool2d(2), layer(16, 32), nn.MaxPool2d(2), layer(32, 32), nn.Flatten())
    pictures = [data.train.inputs[data.train.targets == one] for one in range(10)]
    optimizer = Adam(model.parameters(), lr=2e-3)

    def played(classes: Tensor, shots: int, asked: int) -> tuple[Tensor, Tensor]:
        chosen = [pictures[one] for one in classes.tolist()]
        drawn = [some[torch.randperm(len(some), generator=generator)[: shots + asked]] for some in chosen]
        codes = model(torch.cat(drawn)).view(len(classes), shots + asked, -1)
        away = torch.cdist(codes[:, shots:].flatten(0, 1), codes[:, :shots].mean(1)).square()
        return -away, torch.arange(len(classes)).repeat_interleave(asked)

    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _episode in range(200):
            scores, told = played(torch.randperm(7, generator=generator)[:4], 3, 5)
            loss = functional.cross_entropy(scores, told)
            writer.observe(outputs=scores, targets=told, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("episode/loss", losses[-1], writer.step)
            writer.add_scalar("episode/accuracy", (scores.argmax(1) == told).float().mean(), writer.step)
    model.eval()
    with torch.no_grad():
        games = [played(torch.tensor([7, 8, 9]), 3, 15) for _ in range(20)]
    right = float(torch.stack([(scores.argmax(1) == told).float().mean() for scores, told in games]).mean())
    require(right > 0.7, f"{right:.2f} of the classes never seen are told")
    require(sum(losses[-30:]) / 30 < 0.35 * sum(losses[:5]) / 5, "the loss does not fall")
    alive(model, data.held_out.inputs)


SCENARIOS = (
    Scenario("healthy-twins-mlp", "mlp", TUNING, twins),
    Scenario("healthy-queue-cnn", "cnn", TUNING, queue),
    Scenario("healthy-turns-cnn", "cnn", TUNING, turns),
    Scenario("healthy-apart-mlp", "mlp", TUNING, apart),
    Scenario("healthy-episodes-cnn", "cnn", TUNING, episodes),
)
