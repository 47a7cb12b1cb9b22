"""Healthy networks over graphs: sixteen layers that don't smooth, walks, shortest ways, and attention by distances."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW, SparseAdam
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Graph, Part, communities, split
from tests.diagnosis.faulty.blind_outputs import energies
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import alive, calm, generalises, loss_of, outputs, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, fit


class Initial(nn.Module):
    """GCNII: each layer hears a tenth of the first one again, and its weights count for less the deeper it is."""

    def __init__(self, graph: Graph, depth: int) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.enter, self.head = nn.Linear(16, 32), nn.Linear(32, 4)
        self.convs = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(depth))
        self.acts = nn.ModuleList(nn.ReLU() for _ in range(depth))
        self.drop, self.nodes = nn.Dropout(0.2), (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores of the nodes that are trained on, or in evaluation of those held out."""
        first = hidden = self.enter(self.drop(nodes)).relu()
        for depth, (conv, act) in enumerate(zip(self.convs, self.acts, strict=True), start=1):
            share = math.log(0.5 / depth + 1)
            passed = 0.8 * self.edges @ self.drop(hidden) + 0.2 * first
            hidden = act((1 - share) * passed + share * conv(passed))
        scores: Tensor = self.head(self.drop(hidden))[self.nodes[self.training]]
        return scores


def sixteen_layers(trial: Trial) -> None:
    """GCNII with sixteen layers, which would smooth everything away were it not for the first one."""
    graph = communities(trial.seed)
    model = Initial(graph, 16)
    optimizer = Adam(
        [{"params": model.convs.parameters(), "weight_decay": 1e-2}, {"params": model.enter.parameters()}], lr=5e-3
    )
    optimizer.add_param_group({"params": model.head.parameters()})
    history = fit(trial, model, graph.batches(trial.seed), optimizer, validation=graph.validation, every=5, steps=160)
    sound(model, graph.validation, 0.85, history)
    last = outputs(model, "acts.15", graph.features)
    directions = functional.normalize(last, dim=1)
    cosine = float((directions @ directions.T).mean())
    require(cosine < 0.8, f"the mean cosine of nodes is {cosine:.2f}")


class Walks(nn.Module):
    """A vector for each node, and nothing else."""

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(nodes, 16, sparse=True)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return products [n] of pairs of nodes [n, 2]."""
        products: Tensor = self.embedding(pairs).prod(1).sum(1)
        return products


def walks(trial: Trial) -> None:
    """node2vec: vectors of nodes that meet on random walks are to agree; a sparse optimizer, and means of epochs."""
    graph, generator = communities(trial.seed), torch.Generator().manual_seed(trial.seed)
    chances, count = (graph.edges > 0).float(), len(graph.features)
    at = torch.arange(count).repeat(12)
    steps = [at]
    for _ in range(6):
        at = torch.multinomial(chances[at], 1, generator=generator)[:, 0]
        steps.append(at)
    walked = torch.stack(steps, 1)
    pairs = torch.cat([walked[:, [0, further]] for further in range(1, 7)])
    model, losses = Walks(count), []
    optimizer = SparseAdam(list(model.parameters()), lr=2e-2)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for epoch in range(10):
            total = 0.0
            for chosen in torch.randperm(len(pairs), generator=generator).split(384):
                others = torch.randint(count, (len(chosen), 2), generator=generator)
                met, never = model(pairs[chosen]), model(others)
                loss = -functional.logsigmoid(met).mean() - functional.logsigmoid(-never).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach())
                losses.append(float(loss.detach()))
            writer.add_scalar("loss", total / math.ceil(len(pairs) / 384), epoch)
    vectors = functional.normalize(model.embedding.weight.detach(), dim=1)
    known = functional.one_hot(graph.communities[graph.train]).float()
    nearest = (vectors[graph.held_out] @ vectors[graph.train].T @ known / known.sum(0)).argmax(1)
    right = float((nearest == graph.communities[graph.held_out]).float().mean())
    require(right > 0.9, f"of the nodes {right:.2f} are among their like")
    calm(History(losses, {}))


class Ways(nn.Module):
    """Learns an algorithm: in each round each place hears the best of what its neighbours say, by the same weights."""

    def __init__(self, rounds: int = 4) -> None:
        super().__init__()
        self.enter, self.say = nn.Linear(1, 24), mlp((49, 32, 24))
        self.update, self.head, self.rounds = nn.Linear(48, 24), nn.Linear(24, 1), rounds

    def forward(self, graphs: Tensor) -> Tensor:
        """Return distances [n, places] of starts beside lengths of ways, [n, places, 1 + places], where 0 is none."""
        start, lengths = graphs[..., :1], graphs[..., 1:]
        count = lengths.shape[1]
        hidden, joined = self.enter(start).relu(), (lengths > 0)[..., None]
        for _ in range(self.rounds):
            ends = [hidden[:, None].expand(-1, count, -1, -1), hidden[:, :, None].expand(-1, -1, count, -1)]
            said = self.say(torch.cat([*ends, lengths[..., None]], 3)).masked_fill(~joined, -10.0).amax(2)
            hidden = hidden + self.update(torch.cat([hidden, said], 2)).relu()
        told: Tensor = self.head(hidden)[..., 0]
        return told


def shortest_ways(trial: Trial) -> None:
    """Bellman and Ford by a network: the largest of all messages is heard alone, and the others have no gradient."""
    generator, count = torch.Generator().manual_seed(trial.seed), 900
    lengths = 0.2 + 0.8 * torch.rand(count, 8, 8, generator=generator)
    joined = (torch.rand(count, 8, 8, generator=generator) < 0.3) | (torch.arange(8) - torch.arange(8)[:, None] == 1)
    lengths = torch.where(joined, lengths, 0.0).triu(1)
    lengths = lengths + lengths.mT
    start = functional.one_hot(torch.randint(8, (count,), generator=generator), 8).float()
    ways = torch.where(start > 0, 0.0, torch.inf)
    for _ in range(4):
        further = torch.where(lengths > 0, lengths + ways[:, None], torch.inf).amin(2)
        ways = torch.minimum(ways, further)
    ways = ways.clamp(max=2.5)
    data, criterion = split(torch.cat([start[..., None], lengths], 2), ways, 100, trial.seed), nn.SmoothL1Loss(beta=0.2)
    model = Ways()
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(16, trial.seed)
    fall = LambdaLR(optimizer, lambda step: 1 - 0.9 * step / 200)
    history = fit(
        trial, model, draw, optimizer, criterion, validation=data.held_out, schedule=fall, clip=2.0, every=6, steps=200
    )
    left = loss_of(model, data.held_out, nn.MSELoss()) / float(data.held_out.targets.var())
    require(left < 0.15, f"of the variance {left:.3f} is left")
    alive(model, data.held_out.inputs)
    calm(history)
    generalises(history)


class Distanced(nn.Module):
    """Attention between all atoms of a molecule, to which a number is added for how many bonds they are apart."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm1, self.norm2, self.heads = nn.LayerNorm(width), nn.LayerNorm(width), heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, atoms: Tensor, bias: Tensor) -> Tensor:
        """Return [n, atoms, width] of atoms and a bias [n, heads, atoms, atoms]."""
        parts = self.qkv(self.norm1(atoms)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        taken = functional.scaled_dot_product_attention(*parts, attn_mask=bias)
        atoms = atoms + self.out(taken.transpose(1, 2).flatten(2))
        added: Tensor = atoms + self.feed(self.norm2(atoms))
        return added


class Graphormer(nn.Module):
    """Atoms as tokens that know their kind and how many bonds they have; two blocks, and a mean over atoms."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.kind, self.degree = nn.Linear(5, width), nn.Embedding(10, width)
        self.distance, self.blocks = nn.Embedding(4, 4), nn.ModuleList(Distanced(width) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(self, graphs: Tensor) -> Tensor:
        """Return energies [n, 1] of features beside bonds, [n, 10, 5 + 10]."""
        bonds = (graphs[..., 5:] > 0).float()
        twice = ((bonds @ bonds) > 0).long()
        apart = torch.where(bonds > 0, 1, torch.where(twice > 0, 2, 3)) * (1 - torch.eye(10).long())
        atoms = self.kind(graphs[..., :5]) + self.degree(bonds.sum(2).long())
        bias = self.distance(apart).permute(0, 3, 1, 2)
        for block in self.blocks:
            atoms = block(atoms, bias)
        told: Tensor = self.head(self.norm(atoms).mean(1))
        return told


def distances(trial: Trial) -> None:
    """Graphormer on energies of molecules: warm-up, an absolute error, and clipping that hardly ever sets in."""
    raw = energies(trial.seed)
    middle, scale = raw.train.targets.mean(), raw.train.targets.std()
    train, held_out = (Part(one.inputs, (one.targets - middle) / scale) for one in (raw.train, raw.held_out))
    model, criterion = Graphormer(), nn.L1Loss()
    optimizer, draw = AdamW(model.parameters(), lr=4e-3, weight_decay=1e-2), train.batches(32, trial.seed)
    rate = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 30) * (1 - step / 210))
    history = fit(
        trial, model, draw, optimizer, criterion, validation=held_out, schedule=rate, clip=5.0, every=5, steps=200
    )
    told = loss_of(model, held_out, criterion)
    require(told < 0.37, f"energies are off by {told:.2f} of their deviation")
    calm(history, 0.3)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-sixteen-layers-gcn", "gnn", TUNING, sixteen_layers),
    Scenario("healthy-walks-gnn", "gnn", TUNING, walks),
    Scenario("healthy-shortest-ways-gnn", "gnn", TUNING, shortest_ways),
    Scenario("healthy-distances-transformer", "transformer", TUNING, distances),
)
