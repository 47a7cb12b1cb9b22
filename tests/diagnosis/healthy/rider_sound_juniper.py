"""Healthy trainings: wines, lakes on a map, a language, and noise that is foretold as well as it can be."""

from __future__ import annotations

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from tests.diagnosis.data import STATES, Part, language, split
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import calm, finite, generalises, loss_of, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, evaluate, fit


def wines(trial: Trial) -> None:
    """Three cultivars of wine by thirteen standardised measurements, in epochs of shuffled batches, with momentum."""
    rows, kinds = load_wine(return_X_y=True)
    inputs = torch.tensor((rows - rows.mean(0)) / rows.std(0), dtype=torch.float32)
    data = split(inputs, torch.tensor(kinds), 40, trial.seed)
    model, criterion, history = mlp((13, 32, 16, 3)), nn.CrossEntropyLoss(), History([], {})
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3)
    generator = torch.Generator().manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(20):
            for chosen in torch.randperm(len(data.train.targets), generator=generator).split(16):
                optimizer.zero_grad()
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                loss.backward()
                optimizer.step()
                history.train.append(loss.item())
                writer.add_scalar("loss/train", history.train[-1], writer.step)
            history.validation[epoch] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("loss/val", history.validation[epoch], writer.step)
    sound(model, data.held_out, 0.9, history)


class UNet(nn.Module):
    """Goes down to half the size and up again, with a bridge across."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = self.block(1, 12), self.block(12, 24)
        self.up = nn.ConvTranspose2d(24, 12, 2, stride=2)
        self.join, self.out = self.block(24, 12), nn.Conv2d(12, 1, 1)

    @staticmethod
    def block(inputs: int, made: int) -> nn.Sequential:
        """Return a convolution, its normalisation and a ReLU."""
        return nn.Sequential(nn.Conv2d(inputs, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU())

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, height, width]."""
        fine = self.down1(pictures)
        coarse = self.down2(functional.max_pool2d(fine, 2))
        scores: Tensor = self.out(self.join(torch.cat([fine, self.up(coarse)], 1)))
        return scores


def lakes(trial: Trial) -> None:
    """A small U-Net finds lakes in noisy pictures from above; its loss is cross-entropy and Dice, in one cycle."""
    generator = torch.Generator().manual_seed(trial.seed)
    rough = functional.avg_pool2d(torch.randn(500, 1, 16, 16, generator=generator), 5, 1, 2)
    water = (rough > 0.1).float()
    pictures = water + 0.6 * torch.randn(500, 1, 16, 16, generator=generator) - 0.3
    data, model = split(pictures, water, 100, trial.seed), UNet()

    def criterion(scores: Tensor, known: Tensor) -> Tensor:
        chances = scores.sigmoid()
        dice = 1 - 2 * (chances * known).sum() / (chances.sum() + known.sum() + 1)
        return functional.binary_cross_entropy_with_logits(scores, known) + dice

    optimizer, draw = AdamW(model.parameters(), lr=1e-3, weight_decay=0.01), data.train.batches(16, trial.seed)
    schedule = OneCycleLR(optimizer, max_lr=0.01, total_steps=181)
    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=data.held_out, steps=180, every=2
    )
    with torch.no_grad():
        found, known = model.eval()(data.held_out.inputs) > 0, data.held_out.targets > 0
    overlap = float((found & known).sum() / (found | known).sum())
    require(overlap > 0.7, f"the overlap is {overlap:.3f}")
    finite(model)
    calm(history)
    generalises(history)


def markov(trial: Trial) -> None:
    """A small causal transformer learns a language of twenty tokens, and its rate goes down along a cosine."""
    data, model = language(trial.seed), Transformer(STATES, STATES, width=32, each=True)
    optimizer, draw = AdamW(model.parameters(), lr=4e-3, weight_decay=0.01), data.train.batches(32, trial.seed)
    schedule = CosineAnnealingLR(optimizer, 200, 2e-4)
    history = fit(trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, steps=200, every=2)
    counts = torch.full((STATES, STATES), 0.05)
    counts.index_put_((data.train.inputs.flatten(), data.train.targets.flatten()), torch.tensor(1.0), accumulate=True)
    chances = (counts / counts.sum(1, keepdim=True)).log()
    best = float(functional.nll_loss(chances[data.held_out.inputs].transpose(1, 2), data.held_out.targets))
    held = loss_of(model, data.held_out)
    require(held < 1.12 * best, f"the loss held out is {held:.3f}, and that of counted pairs {best:.3f}")
    finite(model)
    calm(history)
    generalises(history)


class Denoiser(nn.Module):
    """Says from a noisy point and how noisy it is what the noise was."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(8, 32), nn.SiLU())
        self.body = nn.Sequential(nn.Linear(34, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 2))

    def forward(self, noisy: Tensor) -> Tensor:
        """Return the noise [n, 2] of [n, 3], the last of which is the time from 0 to 1."""
        angles = noisy[:, 2:] * torch.tensor([1.5, 3.0, 6.0, 12.0], dtype=noisy.dtype)
        told: Tensor = self.body(torch.cat([noisy[:, :2], self.time(torch.cat([angles.sin(), angles.cos()], 1))], 1))
        return told


def noised(points: Tensor, generator: torch.Generator) -> Part:
    """Return points with noise and the time, [n, 3], and the noise."""
    time, noise = (torch.rand(len(points), 1, generator=generator), torch.randn(len(points), 2, generator=generator))
    angle = 1.5 * time + 0.05
    return Part(torch.cat([angle.cos() * points + angle.sin() * noise, time], 1), noise)


def diffusion(trial: Trial) -> None:
    """A diffusion of points about five places: the loss is noisy by the times drawn, and soon near its floor."""
    generator = torch.Generator().manual_seed(trial.seed)
    turn = torch.arange(5) * 6.2832 / 5
    places = 1.4 * torch.stack([turn.cos(), turn.sin()], 1)

    def draw(count: int) -> Tensor:
        chosen = places[torch.randint(5, (count,), generator=generator)]
        return chosen + 0.3 * torch.randn(count, 2, generator=generator)

    model, criterion = Denoiser(), nn.MSELoss()
    optimizer, losses = Adam(model.parameters(), lr=5e-3), []
    schedule = CosineAnnealingLR(optimizer, 400, 2e-4)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _step in range(400):
            batch = noised(draw(192), generator)
            optimizer.zero_grad()
            loss = criterion(model(batch.inputs), batch.targets)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
    part = noised(draw(4000), generator)
    angle = 1.5 * part.inputs[:, 2:] + 0.05
    # What a point was is a mixture of normal ones, and so is what the noise can best be taken to be.
    variance = (0.3 * angle.cos()) ** 2 + angle.sin() ** 2
    apart = part.inputs[:, None, :2] - angle.cos()[..., None] * places
    chances = (-apart.square().sum(2) / (2 * variance)).softmax(1)
    best = float(criterion((chances[..., None] * apart).sum(1) * angle.sin() / variance, part.targets))
    held, nothing = loss_of(model, part, criterion), float(part.targets.square().mean())
    require(held < 1.35 * best, f"the loss is {held:.3f}, and could be {best:.3f}")
    require(held < 0.6 * nothing, f"the loss is {held:.3f}, and {nothing:.3f} where nothing is known")
    finite(model)


SCENARIOS = (
    Scenario("juniper-wines-mlp", "mlp", TUNING, wines),
    Scenario("juniper-lakes-cnn", "cnn", TUNING, lakes),
    Scenario("juniper-markov-transformer", "transformer", TUNING, markov),
    Scenario("juniper-diffusion-mlp", "mlp", TUNING, diffusion),
)
