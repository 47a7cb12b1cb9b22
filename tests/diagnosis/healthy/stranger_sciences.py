"""Healthy trainings of other trades: equations, densities, survival; most of them without targets or a criterion."""

from __future__ import annotations

import torch
from sklearn.datasets import make_moons
from torch import Tensor, nn
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import ExponentialLR

from tests.diagnosis.data import split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import alive, calm, generalises, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, fit


def physics(trial: Trial) -> None:
    """A differential equation: the loss is of second derivatives and has two parts; no target is ever shown."""
    model = mlp((1, 32, 32, 1), nn.Tanh)
    optimizer = Adam(model.parameters(), lr=1e-2)
    schedule = ExponentialLR(optimizer, 0.99)
    generator = torch.Generator().manual_seed(trial.seed)
    ends = torch.tensor([[-1.0], [1.0]])
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for _step in range(200):
            places = (2 * torch.rand(64, 1, generator=generator) - 1).requires_grad_(True)
            slope = torch.autograd.grad(model(places).sum(), places, create_graph=True)[0]
            bend = torch.autograd.grad(slope.sum(), places, create_graph=True)[0]
            residual = (bend / torch.pi**2 + torch.sin(torch.pi * places)).square().mean()
            boundary = model(ends).square().mean()
            optimizer.zero_grad()
            (residual + boundary).backward()
            optimizer.step()
            schedule.step()
            writer.add_scalar("loss/equation", residual.detach(), writer.step)
            writer.add_scalar("loss/boundary", boundary.detach(), writer.step)
    places = torch.linspace(-1, 1, 200)[:, None]
    error = float((outputs(model, "head", places) - torch.sin(torch.pi * places.double())).abs().max())
    require(error < 0.1, f"the solution is off by {error:.3g}")


class Coupling(nn.Module):
    """Moves and stretches one of two numbers by what the other says; at first not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp((1, 32, 32, 2), nn.LeakyReLU)
        nn.init.zeros_(self.body.head.weight)
        nn.init.zeros_(self.body.head.bias)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return points [n, 2] with their numbers exchanged, and the logarithm of how much they were stretched, [n]."""
        move, stretch = self.body(points[:, :1]).chunk(2, 1)
        stretch = stretch.tanh()
        return torch.cat([points[:, 1:] * stretch.exp() + move, points[:, :1]], 1), stretch[:, 0]


class Flow(nn.Module):
    """Couplings that turn points into normal ones."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(Coupling() for _ in range(depth))

    def forward(self, points: Tensor) -> Tensor:
        """Return the logarithms of densities, [n]."""
        total = torch.zeros(len(points), dtype=points.dtype)
        for coupling in self.couplings:
            points, stretched = coupling(points)
            total = total + stretched
        told: Tensor = total - 0.5 * points.square().sum(1) - torch.log(torch.tensor(2 * torch.pi))
        return told


def flow(trial: Trial) -> None:
    """A normalising flow: last layers begin at zero, and what is logged is a running mean, at every tenth step."""
    points = torch.tensor(make_moons(1500, noise=0.08, random_state=trial.seed)[0], dtype=torch.float32)
    points = (points - points.mean(0)) / points.std(0)
    train, held_out, model = points[:1200], points[1200:], Flow(4)
    optimizer = Adam(model.parameters(), lr=5e-3)
    generator, running = torch.Generator().manual_seed(trial.seed), None
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            loss = -model(train[torch.randint(len(train), (96,), generator=generator)]).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            running = float(loss) if running is None else 0.95 * running + 0.05 * float(loss)
            if step % 10 == 9:
                writer.add_scalar("loss", running, writer.step)
    normal = torch.distributions.MultivariateNormal(train.mean(0), train.T.cov())
    gain = float((model(held_out) - normal.log_prob(held_out)).mean())
    require(gain > 0.4, f"the density is better than the normal one by {gain:.3g} only")


class Mixture(nn.Module):
    """Says a density as a mixture of five normal ones."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.shares, self.middles, self.widths = (
            mlp((1, 40, 40), nn.Tanh),
            *(nn.Linear(40, 5) for _ in "smw"),
        )

    def forward(self, inputs: Tensor, asked: Tensor) -> Tensor:
        """Return the logarithms of the densities of `asked` [n, 1] given `inputs` [n, 1], [n]."""
        hidden = self.body(inputs).tanh()
        normal = torch.distributions.Normal(self.middles(hidden), self.widths(hidden).exp())
        told: Tensor = (self.shares(hidden).log_softmax(1) + normal.log_prob(asked)).logsumexp(1)
        return told


def mixture(trial: Trial) -> None:
    """A mixture density network: several answers are right; there is no loss by that name, and it falls below zero."""
    generator = torch.Generator().manual_seed(trial.seed)
    asked = torch.rand(2000, 1, generator=generator)
    seen = asked + 0.3 * torch.sin(2 * torch.pi * asked) + 0.03 * torch.randn(2000, 1, generator=generator)
    data, model = split(3 * (seen - 0.5), 2 * (asked - 0.5), 400, trial.seed), Mixture()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(96, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            nll = -model(*draw(step)).mean()
            optimizer.zero_grad()
            nll.backward()
            optimizer.step()
            writer.add_scalar("nll", nll.detach(), writer.step)
    held_out = -float(model(data.held_out.inputs, data.held_out.targets).mean().detach())
    require(held_out < -0.2, f"the likelihood held out is {held_out:.3g}")
    between, at = (-float(model(torch.zeros(1, 1), torch.tensor([[x]])).detach()) for x in (0.25, 0.0))
    require(between > at + 0.5, "nothing lies between the answers")


def hazards(trial: Trial) -> None:
    """Cox: the loss is of ranks within a batch; it starts at its logarithm, falls by a little, and grows with it."""
    generator = torch.Generator().manual_seed(trial.seed)
    inputs = torch.randn(2400, 10, generator=generator)
    risk = inputs[:, 0] + 0.7 * inputs[:, 1] * inputs[:, 2].sign() - 0.6 * inputs[:, 3]
    dies, leaves = (-torch.rand(2400, generator=generator).log() for _ in range(2))
    dies, leaves = dies / risk.exp(), 1.5 * leaves
    seen = torch.stack([torch.minimum(dies, leaves), (dies < leaves).float(), risk], 1)
    data, model = split(inputs, seen, 480, trial.seed), mlp((10, 32, 32, 1))

    def criterion(told: Tensor, targets: Tensor) -> Tensor:
        order = targets[:, 0].argsort(descending=True)
        ranked, happened = told[order, 0], targets[order, 1]
        return -((ranked - ranked.logcumsumexp(0)) * happened).sum() / happened.sum()

    optimizer = AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    draw, held_out = data.train.batches(128, trial.seed), data.held_out
    history = fit(trial, model, draw, optimizer, criterion, validation=held_out, steps=220)
    told = outputs(model, "head", held_out.inputs)[:, 0]
    found, best = (_concordance(scores, held_out.targets) for scores in (told, held_out.targets[:, 2]))
    require(found > best - 0.06, f"{found:.3f} of the pairs are in order, and {best:.3f} could be")
    alive(model, held_out.inputs)
    calm(history)
    _no_rise(history)


def _concordance(scores: Tensor, targets: Tensor) -> float:
    """Return the share of pairs, of which one is known to die first, whose scores say so."""
    known = (targets[:, None, 0] < targets[None, :, 0]) & (targets[:, None, 1] > 0)
    return float((scores[:, None] > scores[None, :])[known].double().mean())


def _no_rise(history: History) -> None:
    """Raise NotProvenError where the loss held out rose again, wherever it stands."""
    generalises(history, gap=float("inf"))


SCENARIOS = (
    Scenario("healthy-physics-mlp", "mlp", TUNING, physics),
    Scenario("healthy-hazards-mlp", "mlp", TUNING, hazards),
    Scenario("healthy-flow-mlp", "mlp", TUNING, flow),
    Scenario("healthy-mixture-mlp", "mlp", TUNING, mixture),
)
