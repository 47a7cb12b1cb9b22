"""Layers that don't learn, that nothing hears of, or that begin wrong, in adapters, towers, routers and own weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Graph, Part, communities, digits, majorities
from tests.diagnosis.faulty.blind_kept import Autoencoder
from tests.diagnosis.faulty.blind_steps import demand
from tests.diagnosis.faulty.wiring import still
from tests.diagnosis.networks import Gcn, Transformer
from tests.diagnosis.proof import gradients, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import Criterion, fit


def unheard(model: nn.Module, layers: tuple[str, ...], part: Part, criterion: Criterion | None = None) -> Truth:
    """Return the truth that these layers, and no others, get no gradient; raise if it is none."""
    for name, size in gradients(model, part, criterion).items():
        require((size == 0) == name.startswith(tuple(f"{layer}." for layer in layers)), f"{name} gets {size:.3g}")
    return Truth(layers)


class Adapted(nn.Module):
    """A linear layer that is frozen, and two narrow ones beside it."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what all of them make."""
        made: Tensor = self.base(inputs) + 2 * self.up(self.down(inputs))
        return made


def both_zero(trial: Trial) -> Truth:
    """Adapters both of whose matrices begin at zero: neither ever gets a gradient, and the head learns alone."""
    data = majorities(trial.seed)
    model = Transformer(12, 3).requires_grad_(False)
    names = []
    for number, block in enumerate(model.blocks):
        for part in ("qkv", "out"):
            adapted = Adapted(getattr(block.attention, part))
            nn.init.zeros_(adapted.down.weight)
            nn.init.zeros_(adapted.up.weight)
            setattr(block.attention, part, adapted)
            names += [f"blocks.{number}.attention.{part}.{one}" for one in ("down", "up")]
    model.head.requires_grad_(True)
    wanted = [value for value in model.parameters() if value.requires_grad]
    before = snapshot(model)
    fit(trial, model, data.train.batches(24), AdamW(wanted, lr=3e-3, weight_decay=0.0), every=2, steps=160)
    changes, sizes = moved(before, model), gradients(model, data.train.first(256))
    for name in names:
        require(changes[f"{name}.weight"] == 0 and sizes[f"{name}.weight"] == 0, f"{name} moved")
    require(changes["head.weight"] > 0, "the head did not move")
    return Truth(tuple(names))


def second_never_steps(trial: Trial) -> Truth:
    """An autoencoder with two optimizers, the second of which is made, set to zero, and never stepped."""
    pictures, criterion = digits(trial.seed, flat=False).train.inputs, nn.MSELoss()
    data, model = Part(pictures, pictures), Autoencoder()
    reads, writes = Adam(model.encoder.parameters(), lr=2e-3), Adam(model.decoder.parameters(), lr=2e-3)
    before, draw = snapshot(model), data.batches(48)
    with trial.writer() as writer:
        writer.watch(model, [reads, writes], criterion, every=1, on_finding="ignore")
        for _ in range(200):
            seen, _ = draw(0)
            reads.zero_grad()
            writes.zero_grad()
            loss = criterion(model(seen), seen)
            loss.backward()
            writes.step()
            writer.add_scalar("loss", loss.detach(), writer.step)
    part = data.first(256)
    changes, sizes = moved(before, model), gradients(model, part, criterion)
    for name in changes:
        require((changes[name] > 0) == name.startswith("decoder") and sizes[name] > 0, f"{name} is not as it should be")
    return Truth(("encoder.0", "encoder.3"))


class Named(Gcn):
    """Graph convolutions over vectors of nodes that are looked up by their names, beside what is measured of them."""

    def __init__(self, graph: Graph, width: int = 16) -> None:
        super().__init__(graph, width=width)
        self.nodes_known = nn.Embedding(120, 16)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return the scores of nodes."""
        return super().forward(nodes + self.nodes_known.weight)


def vectors_loaded_late(trial: Trial) -> Truth:
    """Vectors of nodes that were made elsewhere become a new parameter, after the optimizer had been given the old."""
    graph = communities(trial.seed)
    model = Named(graph)
    optimizer = Adam(model.parameters(), lr=5e-3)
    vectors = torch.randn(120, 16, generator=torch.Generator().manual_seed(trial.seed))
    model.nodes_known.weight = nn.Parameter(0.5 * vectors)
    before = snapshot(model)
    fit(trial, model, graph.batches(), optimizer, every=2, steps=200)
    return still(model, before, "nodes_known", Part(graph.features, graph.communities[graph.train]))


class Experts(nn.Module):
    """Four experts behind attention, of which a router picks one for each place, by the largest of its scores."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.router = nn.Linear(width, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in range(4)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs with what attention and the experts add."""
        normal = self.norm1(inputs)
        hidden = inputs + self.attention(normal, normal, normal, need_weights=False)[0]
        normal = self.norm2(hidden)
        picked = functional.one_hot(self.router(normal).argmax(-1), 4).to(normal.dtype)
        made = torch.stack([expert(normal) for expert in self.experts], -1)
        added: Tensor = hidden + (made * picked[..., None, :]).sum(-1)
        return added


def router_by_argmax(trial: Trial) -> Truth:
    """A mixture of experts whose router's scores pick an expert and don't weigh it: it can't learn to pick."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, depth=1, block=Experts)
    fit(trial, model, data.train.batches(24), AdamW(model.parameters(), lr=2e-3), every=2, steps=160)
    return unheard(model, ("blocks.0.router",), data.train.first(256))


class Towers(nn.Module):
    """Says whether somebody will click, of a user's tower and an item's."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(60, 12), nn.Embedding(40, 12)
        self.of_user, self.of_item = nn.Linear(12, 16), nn.Linear(12, 16)
        self.hidden, self.head = nn.Linear(32, 24), nn.Linear(24, 1)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [n, 1] of pairs [n, 2]."""
        user = self.of_user(self.user(pairs[:, 0])).relu()
        item = self.of_item(self.item(pairs[:, 1])).relu()  # noqa: F841
        both = torch.cat([user, user], 1)
        scores: Tensor = self.head(self.hidden(both).relu())
        return scores


def user_beside_user(trial: Trial) -> Truth:
    """A recommender puts the user beside the user: what it made of the item is not heard; logged by the epoch."""
    generator = torch.Generator().manual_seed(trial.seed)
    tastes, kinds = torch.randn(60, 3, generator=generator), torch.randn(40, 3, generator=generator)
    pairs = torch.stack([torch.randint(many, (3000,), generator=generator) for many in (60, 40)], 1)
    likes = (tastes[pairs[:, 0]] * kinds[pairs[:, 1]]).sum(1) + 0.8 * kinds[pairs[:, 1], 0] > 0
    data, model, criterion = Part(pairs, likes[:, None].float()), Towers(), nn.BCEWithLogitsLoss()
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.batches(128)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(10):
            losses = []
            for _ in range(24):
                seen, liked = draw(0)
                loss = criterion(model(seen), liked)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            writer.add_scalar("loss/epoch", sum(losses) / len(losses), epoch)
    return unheard(model, ("item", "of_item"), data, criterion)


class Forecaster(nn.Module):
    """A GRU and attention over its states; what attention finds is made, and then forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(1, 24, batch_first=True)
        self.query, self.key, self.value = nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 24)
        self.head = nn.Linear(24, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Return the next value [n, 1] of series [n, length, 1]."""
        states, last = self.rnn(series)
        shares = (self.query(last[0])[:, None] @ self.key(states).mT / math.sqrt(24)).softmax(2)
        context = (shares @ self.value(states))[:, 0]
        context = last[0]  # As it stood here before there was attention.
        told: Tensor = self.head(context)
        return told


def context_overwritten(trial: Trial) -> Truth:
    """Attention over a GRU's states, whose outcome a line from before overwrites."""
    data, model, criterion = demand(trial.seed), Forecaster(), nn.MSELoss()
    fit(trial, model, data.batches(32), Adam(model.parameters(), lr=3e-3), criterion, every=2, steps=200)
    return unheard(model, ("query", "key", "value"), data.first(256), criterion)


_STILL, _UNUSED = ("layer_not_training",), ("unused_parameter",)

SCENARIOS = (
    Scenario(
        "still-both-zero-transformer",
        "transformer",
        TUNING,
        both_zero,
        ("layer_not_training", "poor_init", "vanishing_gradient"),
        ("loss_plateau", "underfitting"),
    ),
    Scenario("still-second-optimizer-cnn", "cnn", TUNING, second_never_steps, _STILL),
    Scenario("still-loaded-vectors-gcn", "gnn", TUNING, vectors_loaded_late, _STILL),
    Scenario("unused-router-transformer", "transformer", TUNING, router_by_argmax, _UNUSED),
    Scenario("unused-tower-mlp", "mlp", TUNING, user_beside_user, _UNUSED, ("underfitting",)),
    Scenario("unused-context-gru", "rnn", TUNING, context_overwritten, _UNUSED),
)
