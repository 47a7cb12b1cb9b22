"""Healthy trainings: two rounds over a graph, ten that are meant to spread, four digits a batch, and two sources."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Graph, communities, digits, language
from tests.diagnosis.networks import Gcn
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def rounds(trial: Trial) -> None:
    """Communities of a graph by two graph convolutions with dropout, as in the first paper on them."""
    torch.manual_seed(trial.seed)
    graph, criterion = communities(trial.seed, size=40), nn.CrossEntropyLoss()
    model = Gcn(graph, width=24, depth=2, dropout=0.3)
    optimizer, draw = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4), graph.batches(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(150):
            nodes, known = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(nodes), known)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 10 == 9:
                writer.add_scalar("loss/val", evaluate(model, criterion, graph.validation), writer.step)
    share = accuracy(model, graph.validation)
    require(share > 0.9, f"{share:.3f} is right")


class Spread(nn.Module):
    """An MLP of each node, whose scores then spread over the edges ten times and come back to themselves in part."""

    def __init__(self, graph: Graph, times: int) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.lift, self.act, self.score = nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)
        self.spreads = nn.ModuleList(nn.Identity() for _ in range(times))
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        own = hidden = self.score(self.act(self.lift(nodes)))
        for spread in self.spreads:
            hidden = spread(0.9 * self.edges @ hidden + 0.1 * own)
        scores: Tensor = hidden[self.nodes[self.training]]
        return scores


def spreading(trial: Trial) -> None:
    """Scores of nodes spread ten times, so that neighbours become alike: it is meant, as features alone tell little."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.2)
    graph.features.mul_(0.6).add_(0.6 * torch.randn(graph.features.shape))
    model, other = Spread(graph, 10), Spread(graph, 0)
    other.load_state_dict(model.state_dict())
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    history = fit(trial, model, graph.batches(trial.seed), optimizer, steps=140, validation=graph.validation, every=2)
    plain = AdamW(other.parameters(), lr=5e-3, weight_decay=0.05)
    control(other, graph.batches(trial.seed), plain, steps=140)
    does, alone = (accuracy(one, graph.validation) for one in (model, other))
    require(does > 0.9 and does > alone + 0.1, f"{does:.3f} is right, and {alone:.3f} where nothing spreads")
    with torch.no_grad():
        unit = functional.normalize(model.double()(graph.features.double()), dim=1)
    known = graph.communities[graph.train]
    same = known[:, None] == known
    likeness = unit @ unit.T
    within, between = float(likeness[same].mean()), float(likeness[~same].mean())
    require(within > 0.9 and between < within - 0.4, f"the cosine is {within:.3g} in a community, {between:.3g} across")
    require(history.end < 0.4 * history.train[0], f"the loss ends at {history.end:.3g}")


def four_a_batch(trial: Trial) -> None:
    """Digits by an MLP and plain SGD, four to a batch: the loss of each batch is noise around a fall."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed), nn.CrossEntropyLoss()
    model = nn.Sequential(nn.Linear(64, 48), nn.LeakyReLU(0.1), nn.Linear(48, 10))
    other, draw = copy.deepcopy(model), data.train.batches(4, trial.seed)
    optimizer = SGD(model.parameters(), lr=0.03)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(400):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss", loss.item(), writer.step)
    control(other, data.train.batches(64, trial.seed), SGD(other.parameters(), lr=0.03), steps=400)
    does, might = (accuracy(one, data.held_out) for one in (model, other))
    require(does > 0.87 and does > might - 0.06, f"{does:.3f} is right, and {might:.3f} of sixty-four a batch")


class Typist(nn.Module):
    """A GRU over tokens of two sources, and the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.rnn, self.out = nn.Embedding(40, 24), nn.GRU(24, 48, batch_first=True), nn.Linear(48, 40)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 40, length]."""
        scores: Tensor = self.out(self.rnn(self.tokens(tokens))[0]).transpose(1, 2)
        return scores


def sources(trial: Trial) -> None:
    """Batches come by turns from a source that can be foretold and one that is mostly chance: the loss alternates."""
    torch.manual_seed(trial.seed)
    easy, generator = language(trial.seed), torch.Generator().manual_seed(trial.seed)
    stay = torch.rand(1200, 17, generator=generator) < 0.15
    hard = torch.randint(20, 40, (1200, 17), generator=generator)
    for at in range(1, 17):
        hard[:, at] = torch.where(stay[:, at], hard[:, at - 1], hard[:, at])
    model, criterion, draw = Typist(), nn.CrossEntropyLoss(), easy.train.batches(32, trial.seed)
    other, losses = copy.deepcopy(model), []
    optimizer = AdamW(model.parameters(), lr=4e-3)

    def turns(step: int) -> tuple[Tensor, Tensor]:
        if step // 5 % 2 == 0:
            return draw(step)
        chosen = hard[200:][torch.randint(1000, (32,), generator=generator)]
        return chosen[:, :-1], chosen[:, 1:]

    def both(step: int) -> tuple[Tensor, Tensor]:
        (first, second), chosen = draw(step), hard[200:][torch.randint(1000, (16,), generator=generator)]
        return torch.cat([first[:16], chosen[:, :-1]]), torch.cat([second[:16], chosen[:, 1:]])

    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            tokens, following = turns(step)
            optimizer.zero_grad()
            loss = criterion(model(tokens), following)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
    control(other, both, AdamW(other.parameters(), lr=4e-3), steps=240)
    inputs, targets = hard[:200, :-1], hard[:200, 1:]
    chance = torch.full((), 0.85 / 20)
    best = -float((chance + 0.15).log() * (0.15 + chance) + 19 * chance * chance.log())
    with torch.no_grad():
        does = float(criterion(model(inputs), targets))
    require(does < 1.05 * best, f"the loss is {does:.3g} of the hard source, and could be {best:.3g}")
    known, might = (loss_of(one, easy.held_out) for one in (model, other))
    require(known < 0.6 * 2.99 and known < 1.08 * might, f"{known:.3g} of the easy one, {might:.3g} where mixed")


SCENARIOS = (
    Scenario("bramble-healthy-rounds-gnn", "gnn", REPORTING, rounds),
    Scenario("bramble-healthy-spreading-gnn", "gnn", REPORTING, spreading),
    Scenario("bramble-healthy-four-mlp", "mlp", REPORTING, four_a_batch),
    Scenario("bramble-healthy-sources-gru", "rnn", REPORTING, sources),
)
