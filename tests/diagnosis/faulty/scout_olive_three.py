"""Gradients that die on their way back: a deep autoencoder, gated convolutions without skips, leaky neurons."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.proof import double, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit

WIDTHS = (64, 48, 32, 24, 16, 24, 32, 48, 64)


def autoencoder(*, rectified: bool) -> nn.Sequential:
    """Return an autoencoder of digits with sigmoids throughout, or at its end alone."""
    layers: list[nn.Module] = []
    for inputs, made in pairwise(WIDTHS):
        layers += [nn.Linear(inputs, made), nn.ELU() if rectified else nn.Sigmoid()]
    layers[-1] = nn.Sigmoid()
    return nn.Sequential(*layers)


def mean_picture(trial: Trial) -> Truth:
    """An autoencoder of digits, four layers in and four out, each with a sigmoid: it draws the mean picture."""
    torch.manual_seed(trial.seed)
    held = digits(trial.seed)
    least, most = held.train.inputs.min(), held.train.inputs.max()
    train, rest = ((part.inputs - least) / (most - least) for part in (held.train, held.held_out))
    data, model, other = Part(train, train), autoencoder(rectified=False), autoencoder(rectified=True)
    criterion = nn.MSELoss()
    sizes = gradients(model, data.first(256), criterion)
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.batches(64, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=Part(rest, rest), every=2, steps=300)
    control(other, data.batches(64, trial.seed), Adam(other.parameters(), lr=3e-3), criterion, steps=300)
    require(sizes["0.weight"] < 1e-3 * sizes["14.weight"], f"gradients are {sizes}")
    does, should = loss_of(model, Part(rest, rest), criterion), loss_of(other, Part(rest, rest), criterion)
    mean = float(criterion(train.mean(0).expand_as(rest), rest))
    require(does > 0.97 * mean, f"the loss is {does:.4g}, and that of the mean picture {mean:.4g}")
    require(should < 0.8 * does, f"the loss is {does:.4g}, and could be {should:.4g}")
    return Truth(tuple(str(at) for at in range(0, 10, 2)))


class Gated(nn.Module):
    """A dilated causal convolution times a gate, as in WaveNet."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.filter = nn.Conv1d(channels, channels, 2, dilation=dilation)
        self.gate = nn.Conv1d(channels, channels, 2, dilation=dilation)
        self.dilation = dilation

    def forward(self, signal: Tensor) -> Tensor:
        """Return [n, channels, length]."""
        padded = functional.pad(signal, (self.dilation, 0))
        made: Tensor = self.filter(padded).tanh() * self.gate(padded).sigmoid()
        return made


class Wave(nn.Module):
    """Ten gated convolutions over a signal; `skips` adds what goes into each to what comes out."""

    def __init__(self, *, skips: bool) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 16, 1)
        self.blocks = nn.ModuleList(Gated(16, 2 ** (number % 5)) for number in range(10))
        self.head = nn.Conv1d(16, 1, 1)
        self.skips = skips

    def forward(self, signal: Tensor) -> Tensor:
        """Return what comes next at each place, [n, 1, length]."""
        hidden = self.stem(signal)
        for block in self.blocks:
            hidden = hidden + block(hidden) if self.skips else block(hidden)
        told: Tensor = self.head(hidden)
        return told


def no_skips(trial: Trial) -> Truth:
    """WaveNet for a sensor's signal, ten blocks and no skips: each gate halves what goes back."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    time = torch.arange(49.0)
    speed = 0.2 + 0.5 * torch.rand(700, 2, 1, generator=generator)
    phase = 6.3 * torch.rand(700, 2, 1, generator=generator)
    signal = (speed * time + phase).sin().sum(1) + 0.05 * torch.randn(700, 49, generator=generator)
    data = split(signal[:, None, :-1], signal[:, None, 1:], 140, trial.seed)
    model, other, criterion = Wave(skips=False), Wave(skips=True), nn.MSELoss()
    other.load_state_dict(model.state_dict())
    sizes = gradients(model, data.train.first(128), criterion)
    draw, optimizer = data.train.batches(32, trial.seed), SGD(model.parameters(), lr=0.05, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            seen, following = draw(step)
            loss = criterion(model(seen), following)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
    better = SGD(other.parameters(), lr=0.05, momentum=0.9)
    control(other, data.train.batches(32, trial.seed), better, criterion, steps=200)
    early, late = sizes["blocks.0.filter.weight"], sizes["blocks.9.filter.weight"]
    require(early < 1e-3 * late, f"gradients fall from {late:.3g} to {early:.3g}")
    after = gradients(model, data.train.first(128), criterion)
    require(after["blocks.0.filter.weight"] < 1e-3 * after["head.weight"] + 1e-6, f"gradients at the end: {after}")
    does, should = loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion)
    require(does > 2 * should, f"the loss is {does:.3g}, and with skips {should:.3g}")
    halves = [f"blocks.{number}.{half}" for number in range(7) for half in ("filter", "gate")]
    return Truth(("stem", *(f"blocks.{number}" for number in range(7)), *halves))


class Leaky(nn.Module):
    """Firing rates of neurons that forget a share `leak` of what they are at each step, as models of cortex do."""

    def __init__(self, leak: float) -> None:
        super().__init__()
        self.input, self.recurrent = nn.Linear(6, 40), nn.Linear(40, 40, bias=False)
        self.readout, self.leak = nn.Linear(40, 9), leak

    def forward(self, stimuli: Tensor) -> Tensor:
        """Return scores [n, 9] of [n, steps, 6]."""
        rate = stimuli.new_zeros(len(stimuli), 40)
        for drive in self.input(stimuli).unbind(1):
            rate = (1 - self.leak) * rate + self.leak * (drive + self.recurrent(rate)).tanh()
        scores: Tensor = self.readout(rate)
        return scores


def short_memory(trial: Trial) -> Truth:
    """Neurons with a time constant of two steps are to remember a cue for forty: only what comes late is learnt."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    cue, probe = torch.randint(3, (2, 1500), generator=generator)
    stimuli = 0.1 * torch.randn(1500, 46, 6, generator=generator)
    stimuli[:, :3, :3] += 2 * functional.one_hot(cue, 3)[:, None]
    stimuli[:, -3:, 3:] += 2 * functional.one_hot(probe, 3)[:, None]
    data, model, other = split(stimuli, 3 * cue + probe, 300, trial.seed), Leaky(0.5), Leaky(0.1)
    other.load_state_dict(model.state_dict())
    criterion, draw = nn.CrossEntropyLoss(), data.train.batches(50, trial.seed)

    def reaching() -> float:
        precise, seen = double(model), data.train.inputs[:100].double().requires_grad_()
        loss = functional.cross_entropy(precise(seen), data.train.targets[:100])
        sizes = torch.autograd.grad(loss, seen)[0].square().mean((0, 2)).sqrt()
        return float(sizes[:3].max() / sizes[-3:].max())

    first, optimizer = reaching(), SGD(model.parameters(), lr=0.1, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss", loss.item(), step)
            writer.add_scalar("accuracy", float((scores.argmax(1) == targets).float().mean()), step)
    better = SGD(other.parameters(), lr=0.1, momentum=0.9)
    control(other, data.train.batches(50, trial.seed), better, steps=220)
    last = reaching()
    require(first < 1e-3 and last < 1e-2, f"of the gradient {first:.3g} reaches the cue, and {last:.3g} at the end")
    does, should = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(does > 0.9 and should < 0.5 * does, f"the loss is {does:.3g}, and with a longer memory {should:.3g}")
    return Truth(("recurrent", "input"))


SCENARIOS = (
    Scenario(
        "olive-mean-picture-mlp",
        "mlp",
        TUNING,
        mean_picture,
        ("vanishing_gradient",),
        ("loss_plateau", "saturation", "representation_collapse", "redundant_units", "layer_not_training"),
    ),
    Scenario(
        "olive-wave-without-skips-cnn",
        "cnn",
        TUNING,
        no_skips,
        ("vanishing_gradient",),
        ("loss_plateau", "poor_init", "representation_collapse", "layer_not_training"),
    ),
    Scenario(
        "olive-short-memory-rnn",
        "rnn",
        TUNING,
        short_memory,
        ("vanishing_gradient",),
        ("loss_plateau", "underfitting"),
    ),
)
