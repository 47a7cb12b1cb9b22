"""Healthy networks that obey equations: by their losses, by what they are, or by how they are asked."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import LBFGS, Adam
from torch.optim.lr_scheduler import StepLR

from tests.diagnosis.data import split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import calm, generalises, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit


def slope(made: Tensor, places: Tensor) -> Tensor:
    """Return the gradient of what was made by places, by these."""
    return torch.autograd.grad(made.sum(), places, create_graph=True)[0]


def heat(trial: Trial) -> None:
    """The equation of heat: Adam first, then L-BFGS for the rest of the way; three losses of different sizes."""
    generator = torch.Generator().manual_seed(trial.seed)
    model = mlp((2, 24, 24, 1), nn.Tanh)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
    inside = torch.rand(200, 2, generator=generator)
    start = torch.cat([torch.rand(60, 1, generator=generator), torch.zeros(60, 1)], 1)
    sides = torch.cat([torch.randint(2, (60, 1), generator=generator), torch.rand(60, 1, generator=generator)], 1)

    def losses() -> Tensor:
        points = inside.clone().requires_grad_(True)
        first = slope(model(points), points)
        bend = slope(first[:, 0], points)[:, :1]
        equation = (first[:, 1:] - 0.1 * bend).square().mean()
        begins = (model(start) - torch.sin(torch.pi * start[:, :1])).square().mean()
        return torch.stack([equation, begins, model(sides).square().mean()])

    adam = Adam(model.parameters(), lr=5e-3)
    lbfgs = LBFGS(model.parameters(), max_iter=3, line_search_fn="strong_wolfe")
    with trial.writer() as writer:
        writer.watch(model, [adam, lbfgs], every=2, on_finding="ignore")
        for step in range(150):
            optimizer = adam if step < 120 else lbfgs

            def closure() -> Tensor:
                adam.zero_grad()
                total = losses().sum()
                total.backward()
                return total

            total = float(optimizer.step(closure))
            writer.add_scalar("loss", total, writer.step)
    points = torch.rand(400, 2, generator=generator)
    truth = torch.sin(torch.pi * points[:, :1]) * (-0.1 * torch.pi**2 * points[:, 1:]).exp()
    error = float((model(points) - truth).detach().abs().mean())
    require(error < 0.02, f"the temperature is off by {error:.3g}")


class Hamiltonian(nn.Module):
    """Says how a pendulum moves by the slopes of its energy, which is what the network says."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = mlp((2, 48, 48, 1), nn.Tanh)

    def forward(self, states: Tensor) -> Tensor:
        """Return velocities and forces, [n, 2], of angles and momenta, [n, 2]."""
        with torch.enable_grad():
            states = states.detach().requires_grad_(True)
            falls = slope(self.energy(states), states)
        return torch.stack([falls[:, 1], -falls[:, 0]], 1)


def pendulum(trial: Trial) -> None:
    """A Hamiltonian network: only slopes of its output are used, so that the last bias can't have a gradient."""
    generator = torch.Generator().manual_seed(trial.seed)
    states = torch.rand(800, 2, generator=generator) * torch.tensor([5.0, 3.0]) - torch.tensor([2.5, 1.5])
    moves = torch.stack([states[:, 1], -states[:, 0].sin()], 1)
    data, model = split(states, moves + 0.05 * torch.randn(800, 2, generator=generator), 160, trial.seed), Hamiltonian()
    optimizer, criterion = Adam(model.parameters(), lr=5e-3), nn.MSELoss()
    draw = data.train.batches(64, trial.seed)

    history = fit(trial, model, draw, optimizer, criterion, steps=240, validation=data.held_out, every=2)
    error = evaluate(model, criterion, data.held_out)
    require(error < 0.05 * float(data.held_out.targets.var()), f"the error is {error:.3g}")
    calm(history)
    generalises(history)


class Operator(nn.Module):
    """A network over what a function is at twenty places, one over where its integral is asked, and their product."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.trunk = mlp((20, 48, 24), nn.SiLU), mlp((1, 48, 24), nn.SiLU)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, asked: Tensor) -> Tensor:
        """Return integrals [n, 1] of [n, 20 + 1]."""
        where = self.trunk(asked[:, 20:]).tanh()
        told: Tensor = (self.branch(asked[:, :20]) * where).sum(1, keepdim=True) + self.bias
        return told


def integrals(trial: Trial) -> None:
    """DeepONet: functions and places, four places of each function, smaller and smaller steps."""
    generator = torch.Generator().manual_seed(trial.seed)
    waves = torch.randn(600, 4, 1, generator=generator) / torch.arange(1.0, 5)[:, None]
    pace = torch.arange(1.0, 5)[:, None]
    places = torch.rand(600, 1, 4, generator=generator)
    functions = (waves * torch.sin(pace * torch.pi * torch.linspace(0, 1, 20))).sum(1)
    whole = (waves * (1 - torch.cos(pace * torch.pi * places)) / (pace * torch.pi)).sum(1)
    asked = torch.cat([functions[:, None].expand(-1, 4, -1), places.transpose(1, 2)], 2).flatten(0, 1)
    targets = whole.flatten()[:, None] / whole.std()
    data, model, criterion = split(asked, targets, 400, trial.seed), Operator(), nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=4e-3)
    schedule = StepLR(optimizer, 60, 0.5)
    draw, held_out = data.train.batches(96, trial.seed), data.held_out
    history = fit(trial, model, draw, optimizer, criterion, steps=300, schedule=schedule, validation=held_out, every=2)
    error = evaluate(model, criterion, held_out)
    require(error < 0.05, f"the error is {error:.3g} of the variance")
    calm(history)
    generalises(history)


class Maker(nn.Module):
    """A network that writes the weights of a smaller one, from four numbers that describe what it is for."""

    def __init__(self) -> None:
        super().__init__()
        self.small = mlp((1, 12, 1), nn.Tanh)
        self.shapes = {name: value.shape for name, value in self.small.named_parameters()}
        self.small.requires_grad_(False)
        self.writes = mlp((4, 64, sum(shape.numel() for shape in self.shapes.values())))
        with torch.no_grad():
            self.writes.head.weight.mul_(0.1)
            self.writes.head.bias.copy_(torch.cat([value.flatten() for value in self.small.parameters()]))

    def forward(self, asked: Tensor) -> Tensor:
        """Return values [n, 8] of [n, 4 + 8]: descriptions, and places where to look."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), self.writes(asked[:, :4]).split(sizes, 1), strict=True)
        written = {name: part.unflatten(1, shape) for (name, shape), part in parts}
        ask = torch.vmap(lambda weights, places: functional_call(self.small, weights, (places,)))
        told: Tensor = ask(written, asked[:, 4:, None])[..., 0]
        return told


def written(trial: Trial) -> None:
    """A hypernetwork: the weights of the network that is asked are no parameters, and its own ones are never used."""
    generator = torch.Generator().manual_seed(trial.seed)
    kinds = 2 * torch.rand(1200, 4, generator=generator) - 1
    places = 4 * torch.rand(1200, 8, generator=generator) - 2
    values = kinds[:, :1] + kinds[:, 1:2] * places + (1 + kinds[:, 2:3]) * torch.sin(1.5 * places + kinds[:, 3:])
    data, model = split(torch.cat([kinds, places], 1), values / values.std(), 240, trial.seed), Maker()
    optimizer, criterion = Adam(model.writes.parameters(), lr=3e-3), nn.MSELoss()
    draw = data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=260, validation=data.held_out, every=2)
    error = evaluate(model, criterion, data.held_out)
    require(error < 0.1, f"the error is {error:.3g} of the variance")
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-heat-mlp", "mlp", TUNING, heat),
    Scenario("healthy-pendulum-mlp", "mlp", TUNING, pendulum),
    Scenario("healthy-integrals-mlp", "mlp", TUNING, integrals),
    Scenario("healthy-written-mlp", "mlp", TUNING, written),
)
