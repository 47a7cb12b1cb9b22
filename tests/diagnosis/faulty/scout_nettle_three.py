"""Gradients that grow: a recurrence begun too large, a simulator of forty kicks, forty plain convolutions."""

from __future__ import annotations

import copy
from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.faulty.scout_nettle import worse
from tests.diagnosis.networks import Residual, mlp
from tests.diagnosis.proof import double, finite, gradients, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Beats(nn.Module):
    """A plain RNN with ReLU over a signal of two channels."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(2, 64, nonlinearity="relu", batch_first=True)
        self.fc = nn.Linear(64, 4)

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores [n, 4] of [n, length, 2]."""
        scores: Tensor = self.fc(self.rnn(signal)[0][:, -1])
        return scores


def beats(seed: int, count: int = 1000, length: int = 50) -> Part:
    """Return signals [n, length, 2] and which of four rhythms each has."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(4, (count,), generator=generator)
    pace = torch.tensor([0.3, 0.6, 0.9, 1.2])[kind][:, None, None]
    phase = 6.3 * torch.rand(count, 1, 1, generator=generator) + torch.tensor([0, 1.57])
    signal = (pace * torch.arange(length)[:, None] + phase).sin()
    return Part(signal + 0.2 * torch.randn(signal.shape, generator=generator), kind)


def uniform_everywhere(trial: Trial) -> Truth:
    """`uniform_(-0.4, 0.4)` for every weight of an RNN with ReLU, the recurrent one too: fifty steps, no clipping."""
    part = beats(trial.seed)
    data, model = split(part.inputs, part.targets, 200, trial.seed), Beats()
    other = copy.deepcopy(model)
    for value in model.parameters():
        nn.init.uniform_(value, -0.4, 0.4)
    sizes, usual = (gradients(one, data.train.first(64)) for one in (model, other))
    name = "rnn.weight_hh_l0"
    require(sizes[name] > 1e4 * usual[name], f"{name} gets {sizes[name]:.3g}, and otherwise {usual[name]:.3g}")
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    optimizer, draw = Adam(other.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    worse(history.end, control(other, draw, optimizer, steps=200, clip=1.0), 2)
    finite(model)
    return Truth(("rnn",))


class Rotor:
    """A damped rotor that is kicked and pushed; the cost of forty kicks is how far it is from upright."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def starts(self, count: int = 48) -> Tensor:
        """Return angles and speeds, [count, 2]."""
        return torch.randn(count, 2, generator=self.generator)

    def cost(self, policy: nn.Module, starts: Tensor, *, cut: int = 0) -> tuple[Tensor, list[Tensor]]:
        """Return the mean cost, and the angles; gradients pass through `cut` kicks at most where it is given."""
        angle, speed = starts[:, :1], starts[:, 1:]
        costs, angles = [], []
        for kick in range(40):
            if cut and kick % cut == 0:
                angle, speed = angle.detach(), speed.detach()
            push = 3 * policy(torch.cat([angle.sin(), angle.cos(), speed / 5], 1)).tanh()
            speed = 0.5 * speed + 4 * angle.sin() + push
            angle = angle + speed
            angles.append(angle)
            costs.append(1 - angle.cos())
        return torch.stack(costs).mean(), angles


def through_simulator(trial: Trial) -> Truth:
    """A policy learns by autograd through a simulator of forty kicks that is chaotic, and nothing cuts or clips it."""
    rotor, policy = Rotor(trial.seed), mlp((3, 48, 48, 1), nn.ELU)
    other, losses = copy.deepcopy(policy), []
    precise = double(policy)
    starts = rotor.starts(256)
    starts.requires_grad_()
    cost, angles = rotor.cost(precise, starts.double())
    sizes = [float(found.square().mean().sqrt()) for found in torch.autograd.grad(cost, angles)]
    require(sizes[0] > 1e4 * sizes[-1], f"a first angle gets {sizes[0]:.3g}, and the last one {sizes[-1]:.3g}")
    optimizer = Adam(policy.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=2, on_finding="ignore")
        for _step in range(200):
            loss = rotor.cost(policy, rotor.starts())[0]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/cost", losses[-1], writer.step)
    optimizer = Adam(other.parameters(), lr=3e-3)
    for _step in range(200):
        optimizer.zero_grad()
        rotor.cost(other, rotor.starts(), cut=2)[0].backward()
        optimizer.step()
    with torch.no_grad():
        starts = rotor.starts(512)
        worse(*(float(rotor.cost(one, starts)[0]) for one in (policy, other)))
    return Truth()


def plain(depth: int) -> nn.Sequential:
    """Return so many convolutions with BatchNorm and ReLU, one after the other, over pictures of digits."""
    layers: dict[str, nn.Module] = {}
    for number, (inputs, made) in enumerate(pairwise((1, *[8] * depth)), start=1):
        layers[f"conv{number}"] = nn.Conv2d(inputs, made, 3, padding=1, bias=False)
        layers |= {f"bn{number}": nn.BatchNorm2d(made), f"relu{number}": nn.ReLU()}
    return nn.Sequential(OrderedDict(layers | {"flatten": nn.Flatten(), "fc": nn.Linear(512, 10)}))


def with_skips(depth: int) -> nn.Sequential:
    """Return the same with each two convolutions after the first added to what they were given."""
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    for _pair in range(depth // 2):
        first, second = (nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
        body = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), first, nn.BatchNorm2d(8), nn.ReLU(), second)
        layers.append(Residual(body))
    return nn.Sequential(*layers, nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(512, 10))


def forty_plain(trial: Trial) -> Truth:
    """Forty convolutions with BatchNorm and no skips: all is even forward, but gradients grow on the way back."""
    data, model, other = digits(trial.seed, flat=False), plain(40), with_skips(40)
    sizes = gradients(model, data.train.first(256), functional.cross_entropy)
    steps = [sizes[f"conv{at}.weight"] for at in (2, 12, 22, 32)]
    require(all(early > 1.5 * late for early, late in pairwise(steps)), f"gradients by depth: {steps}")
    require(steps[0] > 30 * sizes["conv40.weight"], f"{steps[0]:.3g} is not above {sizes['conv40.weight']:.3g}")
    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, every=4, steps=140)
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    worse(history.end, control(other, data.train.batches(32, trial.seed), optimizer, steps=140), 2)
    return Truth()


SCENARIOS = (
    Scenario(
        "nettle-exploding-uniform-rnn",
        "rnn",
        TUNING,
        uniform_everywhere,
        ("exploding_gradient", "poor_init"),
        ("loss_spike", "loss_oscillation", "loss_plateau", "dead_units", "lr_too_high", "underfitting"),
    ),
    Scenario(
        "nettle-exploding-simulator-mlp",
        "mlp",
        TUNING,
        through_simulator,
        ("exploding_gradient",),
        ("loss_plateau", "loss_oscillation", "loss_spike", "saturation", "lr_too_high"),
    ),
    Scenario(
        "nettle-exploding-plain-cnn",
        "cnn",
        TUNING,
        forty_plain,
        ("exploding_gradient",),
        ("loss_plateau", "underfitting", "lr_too_high", "representation_collapse", "dead_units", "redundant_units"),
    ),
)
