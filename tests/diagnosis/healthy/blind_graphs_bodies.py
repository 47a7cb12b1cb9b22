"""Healthy networks over many small graphs: bodies that move each other, and graphs that are pooled to less."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import ExponentialLR

from tests.diagnosis.data import split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import calm, generalises, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit

BODIES = 5


class Push(nn.Module):
    """A layer that turns with space: messages of distances, and places that move along differences by what they say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.message = nn.Sequential(nn.Linear(2 * width + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.update = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.move = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1, bias=False))
        nn.init.xavier_uniform_(self.move[2].weight, gain=1e-3)

    def forward(self, hidden: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return what bodies say [n, bodies, width], and their places [n, bodies, 3]."""
        apart = places[:, :, None] - places[:, None]
        pairs = [one.expand(-1, BODIES, BODIES, -1) for one in (hidden[:, :, None], hidden[:, None])]
        sent = self.message(torch.cat([*pairs, apart.square().sum(3, keepdim=True)], 3))
        places = places + (apart * self.move(sent)).mean(2)
        return hidden + self.update(torch.cat([hidden, sent.sum(2)], 2)), places


class Charges(nn.Module):
    """Two such layers over charged bodies, which go on by their speeds besides."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.speed = nn.Linear(2, 24), nn.Linear(24, 1)
        self.layers = nn.ModuleList([Push(24), Push(24)])

    def forward(self, bodies: Tensor) -> Tensor:
        """Return places [n, bodies, 3] of bodies [n, bodies, 7]: places, speeds, charge."""
        places, speeds, charge = bodies.split([3, 3, 1], 2)
        hidden = self.embed(torch.cat([charge, speeds.norm(dim=2, keepdim=True)], 2))
        for layer in self.layers:
            hidden, places = layer(hidden, places)
        told: Tensor = places + self.speed(hidden) * speeds
        return told


def charges(trial: Trial) -> None:
    """An equivariant network: its moves begin at a thousandth, the last update of what is said is read by one head."""
    generator = torch.Generator().manual_seed(trial.seed)
    places, speeds = (torch.randn(900, BODIES, 3, generator=generator) for _ in range(2))
    charge = torch.randint(2, (900, BODIES, 1), generator=generator) * 2.0 - 1
    after, fast = places.clone(), 0.5 * speeds
    for _ in range(20):
        apart = after[:, :, None] - after[:, None]
        force = charge[:, :, None] * charge[:, None] * apart / (apart.square().sum(3, keepdim=True) + 1) ** 1.5
        fast = fast + 0.1 * force.sum(2)
        after = after + 0.05 * fast
    inputs = torch.cat([places, 0.5 * speeds, charge], 2)
    data, model, criterion = split(inputs, after, 180, trial.seed), Charges(), nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=1e-8)
    draw = data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=170, validation=data.held_out, every=4)
    held_out = data.held_out
    straight = float(criterion(held_out.inputs[..., :3] + held_out.inputs[..., 3:6], held_out.targets))
    error = evaluate(model, criterion, held_out)
    require(error < 0.35 * straight, f"the error is {error:.3g}, and {straight:.3g} of going on straight")
    calm(history)
    generalises(history)


class Chain(nn.Module):
    """Encodes, passes messages to both neighbours twice, and decodes how masses of a chain are accelerated."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = mlp((4, 32, 32), nn.SiLU), mlp((32, 32, 1), nn.SiLU)
        self.bonds = nn.ModuleList(mlp((65, 32, 32), nn.SiLU) for _ in range(2))
        self.nodes = nn.ModuleList(mlp((64, 32, 32), nn.SiLU) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(2))

    def forward(self, chain: Tensor) -> Tensor:
        """Return accelerations [n, masses, 1] of [n, masses, 4]: places, speeds, whether it is held, and a mass."""
        hidden, apart = self.encode(chain), chain[:, 1:, :1] - chain[:, :-1, :1]
        for bond, node, norm in zip(self.bonds, self.nodes, self.norms, strict=True):
            pull = bond(torch.cat([hidden[:, :-1], hidden[:, 1:], apart], 2))
            got = functional.pad(pull, (0, 0, 0, 1)) - functional.pad(pull, (0, 0, 1, 0))
            hidden = norm(hidden + node(torch.cat([hidden, got], 2)))
        told: Tensor = self.decode(hidden)
        return told


def chain(trial: Trial) -> None:
    """A simulator of springs: noise on what it sees, ends that are held and are left out of the loss, a slow decay."""
    generator = torch.Generator().manual_seed(trial.seed)
    place, speed = (0.6 * torch.randn(900, 9, 1, generator=generator) for _ in range(2))
    mass = 0.7 + 0.6 * torch.rand(900, 9, 1, generator=generator)
    held = torch.zeros(900, 9, 1)
    held[:, [0, -1]] = 1
    apart = place[:, 1:] - place[:, :-1]
    pull = apart + 0.2 * apart**3
    force = functional.pad(pull, (0, 0, 0, 1)) - functional.pad(pull, (0, 0, 1, 0)) - 0.3 * speed
    wanted = (force / mass).masked_fill(held > 0, torch.nan)
    wanted = wanted / wanted[:, 1:-1].std()
    data, model = split(torch.cat([place, speed, held, mass], 2), wanted, 180, trial.seed), Chain()

    def criterion(told: Tensor, targets: Tensor) -> Tensor:
        there = ~targets.isnan()
        return functional.mse_loss(told[there], targets[there])

    rows = data.train.batches(32, trial.seed)

    def noisy(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = rows(step)
        return inputs + 0.03 * torch.randn(inputs.shape, generator=generator), targets

    optimizer = Adam(model.parameters(), lr=4e-3)
    schedule = ExponentialLR(optimizer, 0.99)
    history = fit(
        trial, model, noisy, optimizer, criterion, steps=190, schedule=schedule, validation=data.held_out, every=4
    )
    error = evaluate(model, criterion, data.held_out)
    require(error < 0.15, f"the error is {error:.3g} of the variance")
    calm(history, 0.4)
    generalises(history)


class Pooled(nn.Module):
    """Assigns nodes to four groups, softly, and goes on with these; how well it cuts is a loss of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.assign, self.second = nn.Linear(6, 24), nn.Linear(24, 4), nn.Linear(24, 24)
        self.drop, self.head = nn.Dropout(0.1), nn.Linear(24, 3)

    def forward(self, graphs: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [n, 3] of graphs [n, nodes, 6 + nodes], and how far their cuts are from good ones, [n]."""
        nodes, edges = graphs[..., :6], graphs[..., 6:]
        passed = edges / edges.sum(2, keepdim=True)
        hidden = (passed @ self.first(nodes)).relu()
        groups = self.assign(hidden).softmax(2)
        kept = (groups.transpose(1, 2) @ edges @ groups).diagonal(dim1=1, dim2=2).sum(1)
        cut = 1 - kept / (edges.sum(2)[:, None] @ groups.square()).sum((1, 2))
        alike = groups.transpose(1, 2) @ groups
        even = (alike / alike.norm(dim=(1, 2), keepdim=True) - torch.eye(4) / 2).norm(dim=(1, 2))
        smaller = functional.normalize(groups.transpose(1, 2) @ edges @ groups, p=1, dim=2)
        made = (smaller @ self.second(groups.transpose(1, 2) @ hidden)).relu()
        scores: Tensor = self.head(self.drop(made.mean(1)))
        return scores, cut + even


def pooled(trial: Trial) -> None:
    """Pooling by cuts: a second loss that hardly falls and is larger in the end than that which counts."""
    generator = torch.Generator().manual_seed(trial.seed)
    classes = torch.randint(3, (800,), generator=generator)
    groups = torch.randint(4, (800, 20), generator=generator)
    share = torch.tensor([0.1, 0.35, 0.7])[classes]
    inside = groups[:, :, None] == groups[:, None]
    chance = torch.where(inside, 0.85, 0.05)
    upper = (torch.rand(800, 20, 20, generator=generator) < chance).float().triu(1)
    edges = upper + upper.transpose(1, 2) + torch.eye(20)
    marked = (torch.rand(800, 20, generator=generator) < share[:, None]).float()
    nodes = functional.one_hot(groups, 4) + 0.5 * torch.randn(800, 20, 4, generator=generator)
    degree = (edges.sum(2) - 5) / 3
    inputs = torch.cat([nodes, marked[..., None], degree[..., None], edges], 2)
    data, model = split(inputs, classes, 160, trial.seed), Pooled()
    optimizer, held_out = Adam(model.parameters(), lr=5e-3, weight_decay=1e-4), []
    draw = data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            scores, cut = model(inputs)
            task, beside = functional.cross_entropy(scores, targets), cut.mean()
            writer.observe(outputs=scores, targets=targets)
            optimizer.zero_grad()
            (task + beside).backward()
            optimizer.step()
            writer.add_scalar("train/loss", (task + beside).detach(), writer.step)
            writer.add_scalar("train/pool_loss", beside.detach(), writer.step)
            if step % 25 == 24:
                with torch.no_grad():
                    scores, cut = model.eval()(data.held_out.inputs)
                model.train()
                held_out.append(float(functional.cross_entropy(scores, data.held_out.targets) + cut.mean()))
                writer.add_scalar("val/loss", held_out[-1], writer.step)
    right = float((scores.argmax(1) == data.held_out.targets).double().mean())
    require(right > 0.85, f"the accuracy is {right:.3f}")
    require(held_out[-1] < 1.05 * min(held_out), "the loss held out rose")


SCENARIOS = (
    Scenario("healthy-charges-gnn", "gnn", TUNING, charges),
    Scenario("healthy-chain-gnn", "gnn", TUNING, chain),
    Scenario("healthy-pooled-gnn", "gnn", TUNING, pooled),
)
