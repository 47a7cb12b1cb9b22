"""Representations that say the same of everything: of sentences, of views, of nodes."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Graph, Part, communities, digits, language
from tests.diagnosis.faulty.blind_units import lasting
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.representations import alike, collapsed
from tests.diagnosis.networks import GraphConvolution, Transformer, mlp
from tests.diagnosis.proof import double, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Sentences(nn.Module):
    """A variational autoencoder of sentences, whose decoder is told the words before the one that it is to guess."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.encoder = nn.Embedding(20, 16), nn.GRU(16, 24, batch_first=True)
        self.mean, self.log_variance, self.start = nn.Linear(24, 8), nn.Linear(24, 8), nn.Linear(8, 24)
        self.decoder, self.head = nn.GRU(16, 24, batch_first=True), nn.Linear(24, 20)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [n, 20, length - 1] of all words but the first, and the divergence in nats a sentence."""
        heard = self.embed(words)
        state = self.encoder(heard)[1][0]
        mean, log_variance = self.mean(state), self.log_variance(state)
        code = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        told = self.decoder(heard[:, :-1], self.start(code)[None])[0]
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return self.head(told).transpose(1, 2), divergence


def topics(seed: int) -> Part:
    """Return sentences [n, 16] about three topics, each with its own words to follow one another."""
    parts = [language(seed + 100 * topic, count=660).train.inputs for topic in range(3)]
    words = torch.cat(parts)
    return Part(words, torch.arange(3).repeat_interleave(len(parts[0])))


def sentences(trial: Trial) -> Truth:
    """The divergence weighs in full from the first step on: a decoder that hears the words does without the code."""
    words = topics(trial.seed)
    model, draw, losses = Sentences(), words.batches(32, trial.seed), []
    optimizer = Adam(model.parameters(), lr=4e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(170):
            batch = draw(step)[0]
            scores, divergence = model(batch)
            error = functional.cross_entropy(scores, batch[:, 1:], reduction="none").sum(1).mean()
            optimizer.zero_grad()
            (error + divergence).backward()
            optimizer.step()
            losses.append(float(error.detach()))
            writer.add_scalar("loss/reconstruction", losses[-1], writer.step)
            writer.add_scalar("loss/kl", divergence.detach(), writer.step)
            writer.add_scalar("loss/elbo", (error + divergence).detach(), writer.step)
    require(losses[-1] < 0.8 * losses[0], f"the error fell from {losses[0]:.3g} to {losses[-1]:.3g} only")
    means, left = outputs(model, "mean", words.inputs), float(model(words.inputs)[1].detach())
    require(left < 0.15 and float(means.std(0).max()) < 0.2, f"codes carry {left:.3g} nats")
    return Truth(("mean", "log_variance", "encoder", "start"))


class Patches(Transformer):
    """A transformer over the sixteen patches of a picture."""

    def __init__(self) -> None:
        super().__init__(1, 32, depth=1)
        self.register_module("embed", nn.Linear(4, 24))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 32] of [n, 1, 8, 8]."""
        return super().forward(functional.unfold(pictures, 2, stride=2).transpose(1, 2))


def uncentred(trial: Trial) -> Truth:
    """DINO without the centring of what the teacher says: sharpened alone, it says the same of all pictures."""
    pictures = digits(trial.seed, flat=False).train
    student, draw = Patches(), pictures.batches(32, trial.seed)
    teacher, held = copy.deepcopy(student).requires_grad_(False), {}
    optimizer = AdamW(student.parameters(), lr=2e-3, weight_decay=0.04)
    with trial.writer() as writer:
        writer.watch(student, optimizer, every=2, on_finding="ignore")
        for step in range(150):
            inputs = draw(step)[0]
            views = [inputs + 0.4 * torch.randn_like(inputs) for _ in range(2)]
            told = [(teacher(view) / 0.04).softmax(1) for view in views]
            said = [(student(view) / 0.1).log_softmax(1) for view in views]
            loss = -((told[0] * said[1]).sum(1) + (told[1] * said[0]).sum(1)).mean() / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                    slow.lerp_(fast, 0.04)
            writer.add_scalar("train_loss", loss.detach(), writer.step)
            held[step] = float(torch.cat(told).mean(0).max()) > 0.9
    made = double(student).eval()(pictures.inputs.double()).detach()
    layers = ("head", "norm", *(f"blocks.0.{part}" for part in ("up", "down", "attention.out")))
    return replace(collapsed(made, layers), until=lasting(held))


class Encoder(nn.Module):
    """Two graph convolutions; returns for pairs of nodes [2, pairs] how likely an edge is."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.features = graph.features
        self.conv1, self.act = GraphConvolution(graph.edges, 16, 32), nn.ReLU()
        self.conv2 = GraphConvolution(graph.edges, 32, 16)

    def embed(self) -> Tensor:
        """Return codes [nodes, 16]."""
        made: Tensor = self.conv2(self.act(self.conv1(self.features)))
        return made

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [pairs]."""
        codes = self.embed()
        return (codes[pairs[0]] * codes[pairs[1]]).sum(1)


def positives(trial: Trial) -> Truth:
    """Links are to be predicted, and pairs without one were never drawn: all pairs become likely, all nodes alike."""
    graph = communities(trial.seed, between=0.01)
    layers = ("conv2.linear", "conv2", "conv1.linear", "conv1")
    pairs, model, criterion = (graph.edges.triu(1) > 0).nonzero().T, Encoder(graph), nn.BCEWithLogitsLoss()
    optimizer, held = Adam(model.parameters(), lr=1e-2), {}
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            chosen = pairs[:, torch.randperm(pairs.shape[1])[:128]]
            loss = criterion(model(chosen), torch.ones(chosen.shape[1]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss", loss.detach(), writer.step)
            codes = functional.normalize(model.embed().detach())
            held[step] = float((codes @ codes.T).mean()) > 0.7
    without = (graph.edges == 0).nonzero().T
    wrong = float((model(without) > 0).double().mean())
    require(wrong > 0.97, f"of the pairs without an edge {wrong:.2f} are said to have one")
    return replace(alike(model.embed().detach(), layers, 0.7), until=lasting(held))


class Roads(nn.Module):
    """Passes what roads read to their neighbours, several times, and says what each is going to read."""

    def __init__(self, edges: Tensor, depth: int, *, residual: bool = False) -> None:
        super().__init__()
        self.begin, self.residual = nn.Linear(4, 24), residual
        self.convs = nn.ModuleList(GraphConvolution(edges, 24, 24) for _ in range(depth))
        self.acts = nn.ModuleList(nn.ELU() for _ in range(depth))
        self.head = nn.Linear(24, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Return [n, roads, 1] of [n, roads, 4]."""
        hidden = self.begin(series)
        for conv, act in zip(self.convs, self.acts, strict=True):
            hidden = act(conv(hidden)) + (hidden if self.residual else 0)
        told: Tensor = self.head(hidden)
        return told


def traffic(seed: int, roads: int = 30, count: int = 400) -> tuple[Tensor, Part]:
    """Return means over neighbouring roads [roads, roads]; four readings of each, [n, roads, 4], and the next."""
    generator = torch.Generator().manual_seed(seed)
    joined = torch.rand(roads, roads, generator=generator).lt(0.35).triu(1).float()
    joined = joined + joined.T + torch.eye(roads)
    level = torch.randn(count, roads, 1, generator=generator)
    readings = level + 0.3 * torch.randn(count, roads, 5, generator=generator)
    return joined / joined.sum(1, keepdim=True), Part(readings[..., :4], readings[..., 4:])


def roads(trial: Trial) -> Truth:
    """Eight means over neighbours one upon another: what is said of one road is said of all."""
    edges, data = traffic(trial.seed)
    model, other, criterion = Roads(edges, 8), Roads(edges, 8, residual=True), nn.MSELoss()
    history = fit(trial, model, data.batches(8), Adam(model.parameters(), lr=3e-3), criterion, every=2, steps=160)
    worse(history.end, control(other, data.batches(8), Adam(other.parameters(), lr=3e-3), criterion, steps=160), 2.0)
    last = outputs(model, "acts.7", data.inputs[:100])
    spread = float((last - last.mean(1, keepdim=True)).norm() / last.norm())
    require(spread < 0.1, f"roads differ by {spread:.3g}")
    return alike(last, tuple(f"convs.{at}{part}" for at in range(1, 8) for part in (".linear", "")), 0.97)


class Diffusion(nn.Module):
    """Lets what nodes hold flow along the edges for some time, in steps of Euler, as fast as is learned."""

    def __init__(self, edges: Tensor, time: int) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.time, self.rate = time, nn.Parameter(torch.tensor(0.0))

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [nodes, width]."""
        for _ in range(self.time):
            nodes = nodes + 2 * self.rate.sigmoid() * (self.edges @ nodes - nodes)
        return nodes


class Flow(nn.Module):
    """A graph neural ODE: what a network makes of each node's features flows, and a head reads what it has become."""

    def __init__(self, graph: Graph, time: int) -> None:
        super().__init__()
        self.encode, self.flow, self.head = mlp((16, 32, 24)), Diffusion(graph.edges, time), nn.Linear(24, 4)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores of the nodes that are trained on, or in evaluation of those held out."""
        scores: Tensor = self.head(self.flow(self.encode(nodes).tanh()))[self.nodes[self.training]]
        return scores


def diffusion(trial: Trial) -> Truth:
    """A graph neural ODE is integrated until a time of 24, when all that could flow has flown."""
    graph = communities(trial.seed, between=0.06)
    graph = replace(graph, edges=(graph.edges > 0).float() / (graph.edges > 0).sum(1, keepdim=True))
    model, other = Flow(graph, 24), Flow(graph, 2)
    optimizer, draw = Adam(model.parameters(), lr=5e-3), graph.batches(noise=0.3)
    history = fit(
        trial, model, draw, optimizer, functional.cross_entropy, validation=graph.validation, every=2, steps=160
    )
    worse(history.end, control(other, graph.batches(noise=0.3), Adam(other.parameters(), lr=5e-3), steps=160))
    return alike(outputs(model, "flow", graph.features), ("flow", "head"))


_COLLAPSED, _SMOOTH = ("representation_collapse",), ("oversmoothing", "representation_collapse")

SCENARIOS = (
    Scenario("collapsed-sentences-gru", "rnn", TUNING, sentences, (*_COLLAPSED, "over_regularised")),
    Scenario("collapsed-uncentred-transformer", "transformer", TUNING, uncentred, _COLLAPSED),
    Scenario(
        "collapsed-positives-gnn",
        "gnn",
        TUNING,
        positives,
        ("representation_collapse", "class_imbalance"),
        ("oversmoothing",),
    ),
    Scenario("smoothed-roads-gnn", "gnn", TUNING, roads, _SMOOTH, ("underfitting", "loss_plateau")),
    Scenario("smoothed-diffusion-gnn", "gnn", TUNING, diffusion, _SMOOTH, ("underfitting", "loss_plateau")),
)
