"""Healthy networks over pictures whose layers or data are out of the ordinary."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits
from tests.diagnosis.networks import cnn
from tests.diagnosis.proof import calm, generalises, learned, loss_of, outputs, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

STEPS = 180


class Segmenter(nn.Module):
    """A U of two levels with a score for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.coarse = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.up, self.out = nn.Upsample(scale_factor=2), nn.Conv2d(24, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 8, 8]."""
        fine = self.fine(pictures)
        told: Tensor = self.out(torch.cat([fine, self.up(self.coarse(fine))], 1))
        return told


def segments(trial: Trial) -> None:
    """Which pixels are ink, though noise hides it: the Dice loss beside the entropy."""
    data, model = digits(trial.seed, flat=False), Segmenter()
    generator = torch.Generator().manual_seed(trial.seed)

    def hidden(part: Part) -> Part:
        noise = torch.randn(part.inputs.shape, generator=generator)
        return Part(part.inputs + 0.8 * noise, (part.inputs > 0.8).float())

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        ink = scores.sigmoid()
        overlap = 2 * (ink * targets).sum((1, 2, 3)) / (ink + targets).sum((1, 2, 3)).clamp_min(1)
        return functional.binary_cross_entropy_with_logits(scores, targets) + (1 - overlap).mean()

    train, held_out = hidden(data.train), hidden(data.held_out)
    optimizer = Adam(model.parameters(), lr=5e-3)
    history = fit(trial, model, train.batches(32), optimizer, criterion, validation=held_out, steps=STEPS)
    found = outputs(model, "out", held_out.inputs) > 0
    ratio = float((found & (held_out.targets > 0)).sum() / (found | (held_out.targets > 0)).sum())
    require(ratio > 0.6, f"the overlap is {ratio:.2f}")
    calm(history)
    generalises(history)


class Standardised(nn.Conv2d):
    """A convolution whose weights are standardised on the way: scale and mean of the weights have no gradient."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, channels, height, width]."""
        weight = functional.layer_norm(self.weight, self.weight.shape[1:]) / self.weight[0].numel() ** 0.5
        return functional.conv2d(pictures, weight, self.bias, padding=1)


def batches_of_four(trial: Trial) -> None:
    """Groups are normalised, weights standardised, and a batch has four pictures."""
    data = digits(trial.seed, flat=False)
    layers = [Standardised(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), Standardised(8, 16, 3), nn.GroupNorm(4, 16)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10))
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    history = fit(trial, model, data.train.batches(4), optimizer, validation=data.held_out, steps=350)
    learned(model, data.held_out, 0.88)
    generalises(history)


class Squeezed(nn.Module):
    """Weighs its channels by gates that see the whole picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.act, self.up = nn.Linear(channels, 4), nn.SiLU(), nn.Linear(4, channels)
        self.gate = nn.Sigmoid()

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures, weighed."""
        gates = self.gate(self.up(self.act(self.down(pictures.mean((2, 3))))))
        told: Tensor = pictures * gates[:, :, None, None]
        return told


def squeezed(trial: Trial) -> None:
    """Squeeze and excitation, hard swish, instances normalised; gates that stay near a half."""
    data = digits(trial.seed, flat=False)
    layers: list[nn.Module] = []
    for inputs, made in ((1, 8), (8, 16)):
        norm = nn.InstanceNorm2d(made, affine=True)
        layers += [nn.Conv2d(inputs, made, 3, padding=1), norm, nn.Hardswish(), Squeezed(made)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10))
    optimizer = Adam(model.parameters(), lr=3e-3)
    history = fit(trial, model, data.train.batches(32), optimizer, validation=data.held_out, steps=160)
    sound(model, data.held_out, 0.92, history)


def resized(trial: Trial) -> None:
    """Pictures of four by four pixels and large batches at first, of eight by eight and small ones then."""
    data = digits(trial.seed, flat=False)
    model, coarse, fine = cnn((8, 16)), data.train.batches(96), data.train.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = (coarse if step < 100 else fine)(step)
        return functional.avg_pool2d(inputs, 2) if step < 100 else inputs, targets

    fit(trial, model, batches, Adam(model.parameters(), lr=3e-3), validation=data.held_out, steps=240)
    learned(model, data.held_out, 0.93)


def adversarial(trial: Trial) -> None:
    """The pictures are moved against the network by a pass of its own: in training the loss is far above the other."""
    data = digits(trial.seed, flat=False)
    model, draw = cnn((8, 16)), data.train.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        moved = inputs.clone().requires_grad_(True)
        model.eval()
        slope = torch.autograd.grad(functional.cross_entropy(model(moved), targets), moved)[0]
        model.train()
        return inputs + 0.3 * slope.sign(), targets

    optimizer = Adam(model.parameters(), lr=3e-3)
    history = fit(trial, model, batches, optimizer, validation=data.held_out, steps=STEPS)
    learned(model, data.held_out, 0.93)
    generalises(history)


def few_held_out(trial: Trial) -> None:
    """The loss held out is looked at on ten other pictures every time, and goes up and down as ten pictures do."""
    data = digits(trial.seed, flat=False)
    model, few = cnn((8, 16), dropout=0.2), data.held_out.batches(10)
    criterion, optimizer = nn.CrossEntropyLoss(), Adam(model.parameters(), lr=2e-3)
    draw, whole = data.train.batches(48), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(STEPS):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.detach(), writer.step)
            if step % 5 == 4:
                writer.add_scalar("loss/val", loss_of(model, Part(*few(step))), writer.step)
                whole.append(loss_of(model, data.held_out))
    require(whole[-1] < 1.1 * min(whole) + 0.02, "the loss held out rose")
    learned(model, data.held_out, 0.93)


SCENARIOS = (
    Scenario("healthy-segments-cnn", "cnn", TUNING, segments),
    Scenario("healthy-batches-of-four-cnn", "cnn", TUNING, batches_of_four),
    Scenario("healthy-squeezed-cnn", "cnn", TUNING, squeezed),
    Scenario("healthy-resized-cnn", "cnn", TUNING, resized),
    Scenario("healthy-adversarial-cnn", "cnn", TUNING, adversarial),
    Scenario("healthy-few-held-out-cnn", "cnn", TUNING, few_held_out),
)
