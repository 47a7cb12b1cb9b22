"""Healthy networks over words that were replaced, over trees of words, and over ways through a graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Split, split
from tests.diagnosis.networks import Block, Transformer
from tests.diagnosis.proof import calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

STATES, LEAVES, SITES, ROUNDS = 30, 8, 9, 4


def phrases(seed: int, count: int = 1500, length: int = 16) -> Split:
    """Return sentences [n, length], each after one of six phrases but for a word in twenty-five; and which, [n]."""
    generator = torch.Generator().manual_seed(seed)
    known = torch.randint(STATES, (6, length), generator=generator)
    which = torch.randint(6, (count,), generator=generator)
    strays = torch.rand(count, length, generator=generator) < 0.04
    words = torch.where(strays, torch.randint(STATES, (count, length), generator=generator), known[which])
    return split(words, which, count // 5, seed)


def replaced(trial: Trial) -> None:
    """ELECTRA: a small network makes words up, the other says which; its loss weighs fifty times as much."""
    data = phrases(trial.seed)
    maker = Transformer(STATES + 1, STATES, width=24, depth=1, each=True, block=Block)
    judge = Transformer(STATES, 1, depth=1, each=True, block=Block)
    optimizers = [Adam(maker.parameters(), lr=4e-3), AdamW(judge.parameters(), lr=4e-3)]
    draw, generator = data.train.batches(24, trial.seed), torch.Generator().manual_seed(trial.seed)
    told = []
    with trial.writer() as writer:
        writer.watch(maker, optimizers[0], name="generator", every=3, on_finding="ignore")
        writer.watch(judge, optimizers[1], name="discriminator", every=3, on_finding="ignore")
        for step in range(200):
            words = draw(step)[0]
            hidden = torch.rand(words.shape, generator=generator) < 0.2
            scores = maker(words.masked_fill(hidden, STATES))
            made_up = functional.cross_entropy(scores.transpose(1, 2)[hidden], words[hidden])
            chosen = torch.distributions.Categorical(logits=scores.detach().transpose(1, 2)).sample()
            text = torch.where(hidden, chosen, words)
            found = judge(text)[:, 0]
            right = functional.binary_cross_entropy_with_logits(found, (text != words).float())
            for optimizer in optimizers:
                optimizer.zero_grad()
            (made_up + 50 * right).backward()
            for optimizer in optimizers:
                optimizer.step()
            told.append(float(made_up.detach()))
            writer.add_scalar("loss/mlm", told[-1], writer.step)
            writer.add_scalar("loss/disc", right.detach(), writer.step)
            writer.add_scalar("loss/total", (made_up + 50 * right).detach(), writer.step)
    early, late = (sum(told[part]) / 20 for part in (slice(0, 20), slice(180, 200)))
    require(late < 0.8 * early, f"the loss of what is made up goes from {early:.3g} to {late:.3g}")
    words = data.held_out.inputs
    text = torch.where(torch.rand(words.shape) < 0.15, torch.randint(STATES, words.shape), words)
    with torch.no_grad():
        found = judge.eval()(text)[:, 0]
    seen = float((found[text != words][:, None] > found[text == words]).double().mean())
    require(seen > 0.85, f"{seen:.2f} of pairs of a word by chance and one of the text are told apart")


class Trees(nn.Module):
    """A tree LSTM over balanced trees of eight leaves and seven operations; says of each part whether it is true."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.leaf, self.cell = nn.Embedding(10, 2 * width), nn.Linear(2 * width + 8, 5 * width)
        self.operation, self.head = nn.Embedding(4, 8), nn.Linear(width, 1)

    def forward(self, trees: Tensor) -> Tensor:
        """Return scores [n, 7] of all parts from the leaves to the root, of leaves beside operations, [n, 8 + 7]."""
        hidden, memory = self.leaf(trees[:, :LEAVES]).chunk(2, 2)
        scores, at = [], LEAVES
        while hidden.shape[1] > 1:
            many = hidden.shape[1] // 2
            operation = self.operation(trees[:, at : at + many])
            pairs = hidden.unflatten(1, (many, 2))
            gates = self.cell(torch.cat([pairs.flatten(2), operation], 2)).chunk(5, 2)
            kept = memory.unflatten(1, (many, 2))
            memory = gates[0].sigmoid() * gates[1].tanh()
            memory = memory + (gates[2] + 1).sigmoid() * kept[:, :, 0] + (gates[3] + 1).sigmoid() * kept[:, :, 1]
            hidden = gates[4].sigmoid() * memory.tanh()
            scores.append(self.head(hidden)[..., 0])
            at += many
        return torch.cat(scores, 1)


def trees(trial: Trial) -> None:
    """Sentences as trees: each part has a label, as in the treebank; the same cell stands at all places."""
    generator = torch.Generator().manual_seed(trial.seed)
    leaves = torch.randint(10, (3000, LEAVES), generator=generator)
    operations = torch.randint(4, (3000, LEAVES - 1), generator=generator)
    truth, labels, at = leaves % 2 == 1, [], 0
    while truth.shape[1] > 1:
        first, second = truth[:, ::2], truth[:, 1::2]
        ways = torch.stack([first & second, first | second, first & ~second, ~first | second], 2)
        truth = ways.gather(2, operations[:, at : at + ways.shape[1], None])[..., 0]
        at += truth.shape[1]
        labels.append(truth)
    data, model = split(torch.cat([leaves, operations], 1), torch.cat(labels, 1).float(), 400, trial.seed), Trees()
    optimizer = Adam(model.parameters(), lr=1e-2)
    draw, criterion = data.train.batches(48, trial.seed), nn.BCEWithLogitsLoss()
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=260)
    with torch.no_grad():
        told = model.eval()(data.held_out.inputs)[:, -1] > 0
    right = float((told == (data.held_out.targets[:, -1] > 0)).double().mean())
    require(right > 0.9, f"{right:.2f} of the roots are right")
    generalises(history)


class Ways(nn.Module):
    """Rounds of messages, of which each site takes the largest; says after each round how far it is from the source."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.enter = nn.Linear(2, width)
        self.message = nn.Sequential(nn.Linear(2 * width + 2, width), nn.ReLU(), nn.Linear(width, width))
        self.update, self.head = nn.Linear(2 * width, width), nn.Linear(width, 1)

    def forward(self, graphs: Tensor) -> Tensor:
        """Return distances [n, rounds, sites] of sources beside lengths of ways, [n, sites, 1 + sites]."""
        source, lengths = graphs[..., :1], graphs[..., 1:, None]
        there = (lengths < 2).float()
        hidden = self.enter(torch.cat([source, 1 - source], 2)).relu()
        told = []
        for _ in range(ROUNDS):
            ends = [one.expand(-1, SITES, SITES, -1) for one in (hidden[:, :, None], hidden[:, None])]
            heard = self.message(torch.cat([*ends, lengths, there], 3)).masked_fill(there == 0, -10.0).amax(2)
            hidden = self.update(torch.cat([hidden, heard], 2)).relu()
            told.append(self.head(hidden)[..., 0])
        return torch.stack(told, 1)


def routes(trial: Trial) -> None:
    """Shortest ways, after Bellman and Ford, whose rounds are told; of messages only the largest have a gradient."""
    generator = torch.Generator().manual_seed(trial.seed)
    lengths = 0.2 + torch.rand(1200, SITES, SITES, generator=generator)
    lengths[torch.rand(lengths.shape, generator=generator) > 0.3] = 2.0
    lengths = torch.minimum(lengths, lengths.transpose(1, 2))
    lengths[:, torch.arange(SITES), torch.arange(SITES)] = 0.0
    sources = functional.one_hot(torch.randint(SITES, (1200,), generator=generator), SITES).float()
    away, hints = 2 * (1 - sources), []
    direct = torch.where(lengths < 2, lengths, torch.tensor(9.0))
    for _ in range(ROUNDS):
        away = (away[:, None] + direct).amin(2).clamp(max=2.0)
        hints.append(away)
    data = split(torch.cat([sources[..., None], lengths], 2), torch.stack(hints, 1), 200, trial.seed)
    model, criterion = Ways(), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(8, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=4, steps=200)
    last = data.held_out.targets
    share = loss_of(model, data.held_out, criterion) / float((last - last.mean((0, 2), keepdim=True)).square().mean())
    require(share < 0.15, f"the error is {share:.2f} of the variance")
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-replaced-transformer", "transformer", TUNING, replaced),
    Scenario("healthy-trees-gnn", "gnn", TUNING, trees),
    Scenario("healthy-routes-gnn", "gnn", TUNING, routes),
)
