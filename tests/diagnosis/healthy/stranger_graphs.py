"""Healthy networks over graphs: molecules, clouds of points, samples of neighbours, and graphs without labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Graph, Part, communities, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

ATOMS, KINDS, BONDS = 9, 4, 2


class Molecule(nn.Module):
    """Three rounds of messages along bonds, each kept by the same gated cell, and a gated sum over atoms."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.message, self.cell = nn.Embedding(KINDS, 24), nn.Linear(48 + BONDS, 24), nn.GRUCell(24, 24)
        self.gate, self.value, self.head = nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 1)

    def forward(self, molecules: Tensor) -> Tensor:
        """Return [n, 1] of [n, atoms, 1 + atoms]: the kind of each atom, −1 of none, and its bonds, 0 for none."""
        kinds, bonds = molecules[..., 0].flatten().long(), molecules[..., 1:].long()
        which, atom, other = bonds.nonzero(as_tuple=True)
        kind = functional.one_hot(bonds[which, atom, other] - 1, BONDS)
        there, start = (kinds >= 0)[:, None], which * ATOMS
        hidden = self.embed(kinds.clamp_min(0)) * there
        for _ in range(3):
            sent = self.message(torch.cat([hidden[start + atom], hidden[start + other], kind.to(hidden)], 1)).relu()
            got = torch.zeros_like(hidden).index_add(0, start + atom, sent)
            hidden = self.cell(got, hidden) * there
        made = (self.gate(hidden).sigmoid() * self.value(hidden) * there).view(len(molecules), ATOMS, -1).sum(1)
        told: Tensor = self.head(made / 4)
        return told


def molecules(trial: Trial) -> None:
    """Message passing over molecules of four to nine atoms: one cell in all rounds, and an absolute error."""
    generator = torch.Generator().manual_seed(trial.seed)
    count, atoms = 900, torch.arange(ATOMS)
    there = atoms < torch.randint(4, ATOMS + 1, (count, 1), generator=generator)
    kinds = torch.randint(KINDS, (count, ATOMS), generator=generator).where(there, -1)
    parent = (torch.rand(count, ATOMS, generator=generator) * atoms).long()
    strength = torch.randint(1, BONDS + 1, (count, ATOMS), generator=generator)
    bonds = functional.one_hot(parent, ATOMS) * (strength * there * (atoms > 0))[..., None]
    energy = torch.randn(KINDS, KINDS, BONDS, generator=generator)
    energy = energy + energy.transpose(0, 1)
    along = energy[kinds.clamp_min(0), kinds.clamp_min(0).gather(1, parent), strength - 1] * (there & (atoms > 0))
    total = along.sum(1, keepdim=True)
    inputs = torch.cat([kinds[..., None], bonds + bonds.transpose(1, 2)], 2).float()
    data, model = split(inputs, (total - total.mean()) / total.std(), 180, trial.seed), Molecule()
    optimizer, criterion = Adam(model.parameters(), lr=8e-3), nn.L1Loss()
    draw, decay = data.train.batches(64, trial.seed), CosineAnnealingLR(optimizer, 220)
    history = fit(
        trial, model, draw, optimizer, criterion, steps=220, schedule=decay, validation=data.held_out, every=2
    )
    error = loss_of(model, data.held_out, criterion)
    require(error < 0.3, f"the error is {error:.3g} of a deviation")
    calm(history)
    generalises(history)


class Infomax(nn.Module):
    """Embeds nodes, and says whether a node is one of this graph, or one whose features were shuffled."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.conv, self.act, self.judge = nn.Linear(16, 32), nn.PReLU(), nn.Bilinear(32, 32, 1)

    def embed(self, nodes: Tensor) -> Tensor:
        """Return [nodes, 32]."""
        made: Tensor = self.act(self.edges @ self.conv(nodes))
        return made

    def forward(self, nodes: Tensor, order: Tensor) -> Tensor:
        """Return scores of all nodes and then of shuffled ones, [2 · nodes]."""
        real, shuffled = self.embed(nodes), self.embed(nodes[order])
        whole = real.mean(0).sigmoid().expand_as(real)
        told: Tensor = torch.cat([self.judge(real, whole), self.judge(shuffled, whole)])[:, 0]
        return told


def infomax(trial: Trial) -> None:
    """Deep graph infomax: a whole graph at each step, without a label, and a loss that starts at log 2 and falls."""
    graph, generator = communities(trial.seed, size=40), torch.Generator().manual_seed(trial.seed)
    model, criterion = Infomax(graph), nn.BCEWithLogitsLoss()
    optimizer, count = Adam(model.parameters(), lr=3e-3), len(graph.communities)
    real, losses = torch.arange(2 * count).lt(count).float(), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _step in range(180):
            nodes = functional.dropout(graph.features, 0.2)
            loss = criterion(model(nodes, torch.randperm(count, generator=generator)), real)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("loss", losses[-1], writer.step)
    require(sum(losses[-20:]) / 20 < 0.8 * losses[0], f"the loss is {losses[-1]:.3g}")
    codes, classes = model.embed(graph.features).detach().double(), graph.communities
    codes = torch.cat([(codes - codes.mean(0)) / codes.std(0), torch.ones(count, 1)], 1)
    known = codes[graph.train]
    wanted = functional.one_hot(classes[graph.train], 4).double()
    fitted = torch.linalg.solve(known.T @ known + 5 * torch.eye(33, dtype=torch.double), known.T @ wanted)
    right = ((codes @ fitted).argmax(1) == classes)[graph.held_out].double().mean()
    require(right > 0.9, f"a linear classifier gets {float(right):.2f} right")


class Sampled(nn.Module):
    """GraphSAGE: what a node says of itself and of five neighbours, or of forty in evaluation."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.features, self.there = graph.features, (graph.edges > 0).float()
        self.own = nn.ModuleList([nn.Linear(16, 24), nn.Linear(24, 24)])
        self.others = nn.ModuleList([nn.Linear(16, 24, bias=False), nn.Linear(24, 24, bias=False)])
        self.drop, self.head = nn.Dropout(0.4), nn.Linear(24, 4)

    def around(self, nodes: Tensor, depth: int) -> Tensor:
        """Return codes [nodes, 24] after so many rounds, or features after none."""
        if not depth:
            return self.features.to(self.head.weight)[nodes]
        count = 5 if self.training else 40
        seen = torch.multinomial(self.there[nodes], count, replacement=True)
        near = self.around(seen.flatten(), depth - 1).unflatten(0, seen.shape).mean(1)
        made = self.own[depth - 1](self.around(nodes, depth - 1)) + self.others[depth - 1](near)
        return functional.normalize(self.drop(made.relu()))

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [n, 4] of nodes [n]."""
        scores: Tensor = self.head(self.around(nodes, 2))
        return scores


def sampled(trial: Trial) -> None:
    """Neighbours are drawn anew at each step; the step that is logged by is one's own, the number of samples seen."""
    graph = communities(trial.seed, size=70, inside=0.2, between=0.01)
    train, held_out = (Part(nodes, graph.communities[nodes]) for nodes in (graph.train, graph.held_out))
    model, draw, seen, total = Sampled(graph), train.batches(24, trial.seed), 0, 0.0
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    with trial.writer() as writer:
        writer.watch(model, optimizer, step=lambda: seen, every=1, on_finding="ignore")
        for step in range(180):
            nodes, targets = draw(step)
            loss = functional.cross_entropy(model(nodes), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(nodes)
            total += float(loss.detach())
            if step % 6 == 5:
                writer.add_scalar("loss/train", total / 6, seen)
                total = 0.0
    right = accuracy(model, held_out)
    require(right > 0.88, f"the accuracy is {right:.3f}")
    require(accuracy(model, train) - right < 0.1, "it knows the nodes by heart")


class EdgeConvolution(nn.Module):
    """Of each point the largest of what a layer says of it and of its six nearest, however near is measured now."""

    def __init__(self, inputs: int, made: int) -> None:
        super().__init__()
        self.linear, self.norm, self.act = nn.Linear(2 * inputs, made), nn.BatchNorm1d(made), nn.LeakyReLU(0.2)

    def forward(self, points: Tensor) -> Tensor:
        """Return [n, points, made] of [n, points, inputs]."""
        near = torch.cdist(points, points).topk(7, largest=False).indices[..., 1:]
        others = points[torch.arange(len(points))[:, None, None], near]
        own = points[:, :, None].expand_as(others)
        made = self.linear(torch.cat([own, others - own], 3))
        told: Tensor = self.act(self.norm(made.flatten(0, 2))).view(made.shape).amax(2)
        return told


class Cloud(nn.Module):
    """Two such convolutions and the largest over all points."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = (
            EdgeConvolution(3, 16),
            EdgeConvolution(16, 32),
            mlp((48, 32, 4), nn.LeakyReLU),
        )

    def forward(self, points: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        first = self.first(points)
        scores: Tensor = self.head(torch.cat([first, self.second(first)], 2).amax(1))
        return scores


def clouds(trial: Trial) -> None:
    """Points of bodies: whose neighbours are whose changes as it learns, and maxima let few of them have a gradient."""
    generator = torch.Generator().manual_seed(trial.seed)
    classes = torch.randint(4, (500,), generator=generator)
    rough = torch.randn(500, 32, 3, generator=generator)
    ball, box = functional.normalize(rough, dim=2), rough.clamp(-1, 1)
    tube = torch.cat([functional.normalize(rough[..., :2], dim=2), rough[..., 2:].tanh()], 2)
    sheet = torch.cat([rough[..., :2].tanh(), 0.1 * rough[..., 2:]], 2)
    shapes = torch.stack([ball, box / box.abs().amax(2, keepdim=True), tube, sheet])[classes, torch.arange(500)]
    turns = torch.linalg.qr(torch.randn(500, 3, 3, generator=generator)).Q
    data, model = split(0.8 * shapes @ turns + 0.02 * rough, classes, 100, trial.seed), Cloud()
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, steps=200, validation=data.held_out, every=3)
    right = accuracy(model, data.held_out)
    require(right > 0.8, f"the accuracy is {right:.3f}")
    generalises(history)


SCENARIOS = (
    Scenario("healthy-molecules-gnn", "gnn", TUNING, molecules),
    Scenario("healthy-infomax-gnn", "gnn", TUNING, infomax),
    Scenario("healthy-sampled-gnn", "gnn", TUNING, sampled),
    Scenario("healthy-clouds-gnn", "gnn", TUNING, clouds),
)
