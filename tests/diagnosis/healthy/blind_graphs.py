"""Healthy networks over one graph: citations, payments, things of several kinds, and a graph that is cut in pieces."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, communities
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, generalises, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


class Heads(nn.Module):
    """Attention along edges, [2, m], by several heads; what it says of an edge is softened over what arrives."""

    def __init__(self, inputs: int, made: int, heads: int, edges: Tensor) -> None:
        super().__init__()
        self.heads, self.edges = heads, edges
        self.source, self.target = nn.Linear(inputs, heads * made), nn.Linear(inputs, heads * made)
        self.att = nn.Parameter(torch.randn(heads, made) / made**0.5)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, heads · made]."""
        start, end = self.edges
        given = self.source(nodes).unflatten(1, (self.heads, -1))
        asked = self.target(nodes).unflatten(1, (self.heads, -1))
        scores = (functional.leaky_relu(given[start] + asked[end], 0.2) * self.att).sum(2).exp()
        total = torch.zeros(len(nodes), self.heads).to(scores).index_add(0, end, scores)
        shares = functional.dropout(scores / total[end], 0.3, self.training)
        told = torch.zeros_like(asked).index_add(0, end, shares[..., None] * given[start])
        return told.flatten(1)


class Cited(nn.Module):
    """Two layers of attention under heavy dropout; scores of the nodes that are asked."""

    def __init__(self, words: Tensor, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("words", words, persistent=False)
        self.first, self.second = Heads(words.shape[1], 8, 4, edges), Heads(32, 4, 1, edges)
        self.drop = nn.Dropout(0.5)

    def forward(self, asked: Tensor) -> Tensor:
        """Return scores [n, 4] of nodes [n]."""
        hidden = functional.elu(self.first(self.drop(self.words.to(self.first.att))))
        scores: Tensor = self.second(self.drop(hidden))[asked]
        return scores


def citations(trial: Trial) -> None:
    """Papers as bags of words: sparse inputs, a tenth of the labels, half of everything dropped, and a gap."""
    generator = torch.Generator().manual_seed(trial.seed)
    graph = communities(trial.seed, size=60, inside=0.08, between=0.008)
    topics = torch.rand(4, 120, generator=generator) ** 6
    words = (torch.rand(240, 120, generator=generator) < 0.25 * topics[graph.communities] + 0.03).float()
    words = words / words.sum(1, keepdim=True).clamp_min(1)
    train = torch.cat([graph.train[graph.communities[graph.train] == kind][:8] for kind in range(4)])
    model = Cited(words, graph.edges.nonzero().T)
    known, held_out = (Part(nodes, graph.communities[nodes]) for nodes in (train, graph.held_out))
    optimizer = Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)
    history = fit(
        trial, model, lambda _step: (known.inputs, known.targets), optimizer, steps=150, validation=held_out, every=2
    )
    right, losses = accuracy(model, held_out), list(history.validation.values())
    require(right > 0.8, f"the accuracy is {right:.3f}")
    require(losses[-1] < min(losses) + 0.1 * history.train[0], f"the loss held out rose to {losses[-1]:.3g}")


class Payments(nn.Module):
    """Two rounds of messages between accounts, and a verdict on each payment from both ends and what it is."""

    def __init__(self, accounts: Tensor, ends: Tensor, about: Tensor) -> None:
        super().__init__()
        self.accounts, self.ends, self.about = accounts, ends, about
        self.send, self.keep = nn.Linear(6 + 4, 24), nn.Linear(6 + 24, 24)
        self.norm, self.judge = nn.LayerNorm(24), mlp((52, 32, 1), dropout=0.3)

    def forward(self, asked: Tensor) -> Tensor:
        """Return scores [n] of payments [n]."""
        payer, payee = self.ends
        sent = self.send(torch.cat([self.accounts[payer], self.about], 1)).relu()
        many = torch.zeros(len(self.accounts)).index_add(0, payee, torch.ones(len(payee)))
        got = torch.zeros(len(self.accounts), 24).index_add(0, payee, sent) / many.clamp_min(1)[:, None]
        nodes = self.norm(self.keep(torch.cat([self.accounts, got], 1)).relu())
        both = torch.cat([nodes[payer[asked]], nodes[payee[asked]], self.about[asked]], 1)
        scores: Tensor = self.judge(both)[:, 0]
        return scores


def payments(trial: Trial) -> None:
    """Fraud among payments: one in fifteen, weighed by four; accounts that nobody pays have nothing to hear."""
    generator = torch.Generator().manual_seed(trial.seed)
    accounts = torch.randn(250, 6, generator=generator)
    ends = (250 * torch.rand(2, 2600, generator=generator) ** 1.5).long()
    about = torch.randn(2600, 4, generator=generator)
    many = torch.zeros(250).index_add(0, ends[1], torch.ones(2600)).clamp_min(1)
    usual = torch.zeros(250).index_add(0, ends[1], about[:, 0]) / many
    score = accounts[ends[0], 0] + about[:, 0] - about[:, 1] + 2 * usual[ends[1]] + 0.5 * about[:, 2]
    fraud = (score + 0.3 * torch.randn(2600, generator=generator) > score.quantile(0.93)).float()
    order = torch.randperm(2600, generator=generator)
    train, held_out = (Part(part, fraud[part]) for part in (order[520:], order[:520]))
    model, criterion = Payments(accounts, ends, about), nn.BCEWithLogitsLoss(pos_weight=torch.tensor(4.0))
    optimizer = AdamW(model.parameters(), lr=4e-3, weight_decay=5e-2)
    draw = train.batches(128, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=120, validation=held_out, every=2)
    with torch.no_grad():
        scores = model.eval()(held_out.inputs)
    bad, good = scores[held_out.targets > 0], scores[held_out.targets == 0]
    found = float((bad[:, None] > good).double().mean())
    require(found > 0.88, f"AUC is {found:.3f}")
    losses = list(history.validation.values())
    require(losses[-1] < min(losses) + 0.05 * history.train[0], "the loss held out rose")
    generalises(history)


class Relations(nn.Module):
    """A sum over relations, each of which mixes three matrices that all share."""

    def __init__(self, adjacent: Tensor, inputs: int, made: int) -> None:
        super().__init__()
        self.register_buffer("adjacent", adjacent, persistent=False)
        self.bases = nn.Parameter(torch.randn(3, inputs, made) / inputs**0.5)
        self.mixes = nn.Parameter(torch.randn(len(adjacent), 3) / 3**0.5)
        self.own = nn.Linear(inputs, made)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, made]."""
        weights = torch.einsum("rb,bio->rio", self.mixes, self.bases)
        told: Tensor = self.own(nodes) + torch.einsum("rnm,mi,rio->no", self.adjacent, nodes, weights)
        return told


class Kinds(nn.Module):
    """Things without features: a row for each, and two layers of relations."""

    def __init__(self, adjacent: Tensor, things: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(things, 16)
        self.first, self.second, self.head = (
            Relations(adjacent, 16, 24),
            Relations(adjacent, 24, 16),
            nn.Linear(16, 3),
        )
        self.drop = nn.Dropout(0.5)

    def forward(self, asked: Tensor) -> Tensor:
        """Return scores [n, 3] of things [n]."""
        hidden = self.drop(self.first(self.embed.weight).relu())
        scores: Tensor = self.head(self.drop(self.second(hidden).relu()))[asked]
        return scores


def kinds(trial: Trial) -> None:
    """Papers, authors and places to publish: one of the relations is that of six edges, and no thing has a feature."""
    generator = torch.Generator().manual_seed(trial.seed)
    papers, authors, venues = 120, 60, 12
    field = torch.randint(3, (papers + authors + venues,), generator=generator)
    alike = torch.where(field[:, None] == field, 1.0, 0.04)
    adjacent = torch.zeros(5, len(field), len(field))
    first, second, third = slice(0, papers), slice(papers, papers + authors), slice(papers + authors, len(field))
    for at, (rows, columns, share) in enumerate([(first, second, 0.2), (first, third, 0.4), (first, first, 0.08)]):
        there = torch.rand(len(field), len(field), generator=generator) < share * alike
        adjacent[at, rows, columns] = there[rows, columns].float()
    adjacent[3] = adjacent[0].T
    adjacent[4, third, third] = 1.0 * (torch.rand(12, 12, generator=generator) < 0.04)
    adjacent = adjacent / adjacent.sum(2, keepdim=True).clamp_min(1)
    order = torch.randperm(papers, generator=generator)
    known, held_out = (Part(part, field[part]) for part in (order[:70], order[70:]))
    model = Kinds(adjacent, len(field))
    optimizer = Adam(model.parameters(), lr=1e-2, weight_decay=5e-3)
    history = fit(
        trial, model, lambda _step: (known.inputs, known.targets), optimizer, steps=150, validation=held_out, every=2
    )
    right = accuracy(model, held_out)
    require(right > 0.88, f"the accuracy is {right:.3f}")
    generalises(history)


class Pieces(nn.Module):
    """Three graph convolutions with norms over the nodes of a piece; returns scores of all of its nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.lins = nn.ModuleList([nn.Linear(16, 32), nn.Linear(32, 32)])
        self.norms = nn.ModuleList([nn.LayerNorm(32), nn.LayerNorm(32)])
        self.head = nn.Linear(32, 5)

    def forward(self, piece: tuple[Tensor, Tensor]) -> Tensor:
        """Return scores [n, 5] of nodes [n, 16] and their edges [n, n]."""
        nodes, edges = piece
        for lin, norm in zip(self.lins, self.norms, strict=True):
            nodes = functional.dropout(norm(edges @ lin(nodes)).relu(), 0.4, self.training)
        scores: Tensor = self.head(nodes)
        return scores


def pieces(trial: Trial) -> None:
    """Cluster-GCN: a step sees a piece of the graph whose nodes are mostly of two kinds, so that losses swing."""
    generator = torch.Generator().manual_seed(trial.seed)
    graph = communities(trial.seed, count=5, size=80, inside=0.12, between=0.01)
    jitter = graph.communities + 2.2 * torch.randn(400, generator=generator)
    cut = jitter.argsort().chunk(10)
    known = torch.zeros(400, dtype=torch.bool).index_fill(0, graph.train, True)
    features, model = graph.features + 0.5 * torch.randn(400, 16, generator=generator), Pieces()
    whole = (features, graph.edges / graph.edges.sum(1, keepdim=True))
    optimizer, held_out = AdamW(model.parameters(), lr=3e-3, weight_decay=5e-2), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for epoch in range(15):
            for which in torch.randperm(10, generator=generator):
                nodes = cut[int(which)]
                inner = graph.edges[nodes][:, nodes]
                edges = inner / inner.sum(1, keepdim=True)
                there = known[nodes]
                scores, targets = model((features[nodes], edges))[there], graph.communities[nodes][there]
                loss = functional.cross_entropy(scores, targets)
                writer.observe(outputs=scores, targets=targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                writer.add_scalar("train/loss", loss.detach(), writer.step)
            if epoch % 3 == 2:
                with torch.no_grad():
                    scores = model.eval()(whole)[~known]
                model.train()
                held_out.append(float(functional.cross_entropy(scores, graph.communities[~known])))
                writer.add_scalar("val/loss", held_out[-1], writer.step)
    right = float((model.eval()(whole).argmax(1) == graph.communities)[~known].double().mean())
    require(right > 0.85, f"the accuracy is {right:.3f}")
    require(held_out[-1] < 1.1 * min(held_out), "the loss held out rose")


SCENARIOS = (
    Scenario("healthy-citations-gnn", "gnn", TUNING, citations),
    Scenario("healthy-payments-gnn", "gnn", TUNING, payments),
    Scenario("healthy-kinds-gnn", "gnn", TUNING, kinds),
    Scenario("healthy-pieces-gcn", "gnn", TUNING, pieces),
)
