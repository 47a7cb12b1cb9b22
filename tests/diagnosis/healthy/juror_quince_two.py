"""Healthy trainings of two branches, of two tasks in turn, of a tagger, and of pictures that are mixed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, communities, digits, split
from tests.diagnosis.networks import GraphConvolution, cnn
from tests.diagnosis.proof import accuracy, alive, generalises, gradients, learned, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


class Compare(nn.Module):
    """Sees a numeral and is told another, and says if the one it sees is the greater."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        )
        self.seen, self.told = nn.Linear(192, 24), nn.Embedding(10, 24)
        self.both, self.out = nn.Linear(48, 32), nn.Linear(32, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, 64 + 1]."""
        seen = self.seen(self.picture(rows[:, :64].view(-1, 1, 8, 8)))
        told = self.told(rows[:, 64].long())
        scores: Tensor = self.out(functional.relu(self.both(torch.cat([seen, told], 1))))
        return scores


def compared(seed: int) -> Split:
    """Return pictures of numerals and another numeral each, [n, 65], and if the picture's is greater, [n, 1]."""
    data, generator = digits(seed), torch.Generator().manual_seed(seed)

    def pair(part: Part) -> Part:
        other = torch.randint(10, part.targets.shape, generator=generator)
        rows = torch.cat([part.inputs, other[:, None].float()], 1)
        return Part(rows, (part.targets > other).float()[:, None])

    return Split(pair(data.train), pair(data.held_out))


def greater(trial: Trial) -> None:
    """A picture and a number in two branches, both of which are needed and used."""
    torch.manual_seed(trial.seed)
    data, model, criterion = compared(trial.seed), Compare(), nn.BCEWithLogitsLoss()
    optimizer, draw = RMSprop(model.parameters(), lr=1.5e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=360)
    model.eval()
    with torch.no_grad():
        rows, right = data.held_out.inputs, data.held_out.targets > 0
        share = float(((model(rows) > 0) == right).float().mean())
        mixed = torch.cat([rows[:, :64], rows[:, 64:].roll(1, 0)], 1)
        without = float(((model(mixed) > 0) == right).float().mean())
    require(
        share > 0.9 and without < share - 0.1, f"the accuracy is {share:.3f}, and {without:.3f} with others' numbers"
    )
    require(min(gradients(model, data.train.first(300), criterion).values()) > 0, "a weight gets no gradient")
    generalises(history)


class Forum(nn.Module):
    """Two graph convolutions and two heads: which community somebody is of, and how many they know."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.conv1, self.conv2 = GraphConvolution(edges, 16, 24), GraphConvolution(edges, 24, 24)
        self.group, self.known = nn.Linear(24, 4), nn.Linear(24, 1)

    def forward(self, nodes: Tensor, task: str = "group") -> Tensor:
        """Return what the head of the task makes of each node."""
        hidden = functional.elu(self.conv2(functional.elu(self.conv1(nodes))))
        made: Tensor = self.group(hidden) if task == "group" else self.known(hidden)
        return made


def in_turn(trial: Trial) -> None:
    """Two tasks over one graph, in turn: at every other step each head has no gradient at all."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.25, between=0.03)
    centre = (graph.edges @ graph.edges @ graph.features)[:, :2].sum(1)
    score = ((centre - centre.mean()) / centre.std())[:, None]
    model = Forum(graph.edges)
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
    absent = {"group": 0, "known": 0}
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(240):
            nodes, task = graph.features + 0.2 * torch.randn(160, 16), ("group", "known")[step % 2]
            made = model(nodes, task)[graph.train]
            if task == "group":
                loss = functional.cross_entropy(made, graph.communities[graph.train])
            else:
                loss = functional.mse_loss(made, score[graph.train])
            optimizer.zero_grad()
            loss.backward()
            for name in absent:
                absent[name] += model.get_parameter(f"{name}.weight").grad is None
            optimizer.step()
            writer.add_scalar(f"loss/{task}", loss.item(), writer.step)
    require(min(absent.values()) >= 120, f"without a gradient were {absent}")
    with torch.no_grad():
        groups = model(graph.features).argmax(1)[graph.held_out]
        share = float((groups == graph.communities[graph.held_out]).float().mean())
        error = float(functional.mse_loss(model(graph.features, "known")[graph.held_out], score[graph.held_out]))
    require(share > 0.9 and error < 0.4, f"the accuracy is {share:.3f}, the squared error {error:.3f}")


class Names(nn.Module):
    """A GRU both ways that says of each word if it begins a name, goes on with one, or neither."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.drop = nn.Embedding(50, 20), nn.Dropout(0.1)
        self.gru = nn.GRU(20, 20, batch_first=True, bidirectional=True)
        self.head = nn.Linear(40, 3)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 3, length]."""
        scores: Tensor = self.head(self.gru(self.drop(self.embed(words)))[0])
        return scores.transpose(1, 2)


def names(trial: Trial) -> None:
    """Names in sentences: which words begin them is clear, and one in fifty of the tags is a slip of the pen."""
    generator = torch.Generator().manual_seed(trial.seed)
    torch.manual_seed(trial.seed)
    words = torch.randint(50, (1600, 14), generator=generator)
    capital, before = words < 12, (words < 12).roll(1, 1)
    before[:, 0] = False
    clear = capital.long() + (before & (words % 2 == 0)).long() * (1 + (~capital).long())
    slip = torch.rand(clear.shape, generator=generator) < 0.03
    tags = torch.where(slip, torch.randint(3, clear.shape, generator=generator), clear)
    data, true = (split(words, known, 320, trial.seed) for known in (tags, clear))
    model = Names()
    optimizer, draw = AdamW(model.parameters(), lr=6e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    share, written = accuracy(model, true.held_out), accuracy(model, data.held_out)
    require(share > 0.97, f"the accuracy is {share:.3f}")
    require(written > 0.95, f"the accuracy over what was written is {written:.3f}")
    generalises(history)


def right(model: nn.Module, part: Part) -> float:
    """Return the share that a model gets right in evaluation mode, as a user looks at it."""
    model.eval()
    with torch.no_grad():
        share = float((model(part.inputs).argmax(1) == part.targets).float().mean())
    model.train()
    return share


def mixed_up(trial: Trial) -> None:
    """Numerals with mixup: the loss stays high and goes up and down, as most pictures are of two numerals."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), cnn((12, 24)), nn.CrossEntropyLoss()
    other, beta = copy.deepcopy(model), torch.distributions.Beta(1.0, 1.0)
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.train.batches(32, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            pictures, classes = draw(step)
            share, order = beta.sample(), torch.randperm(len(classes))
            known = functional.one_hot(classes, 10).float()
            scores = model(share * pictures + (1 - share) * pictures[order])
            loss = criterion(scores, share * known + (1 - share) * known[order])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 25 == 24:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
                writer.add_scalar("val/acc", right(model, data.held_out), writer.step)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.05, momentum=0.9), steps=300)
    learned(model, data.held_out, max(0.95, accuracy(other, data.held_out) - 0.02))
    alive(model, data.train.inputs)
    last = sum(losses[-30:]) / 30
    require(last > 2 * loss_of(model, data.held_out) and last > 0.4, f"the loss ends at {last:.3f}")


SCENARIOS = (
    Scenario("quince-healthy-greater-cnn", "cnn", TUNING, greater),
    Scenario("quince-healthy-forum-gnn", "gnn", TUNING, in_turn),
    Scenario("quince-healthy-names-gru", "rnn", TUNING, names),
    Scenario("quince-healthy-mixed-cnn", "cnn", TUNING, mixed_up),
)
