"""Papers, sentences, two folders and tides: two networks that make all alike, and two losses that swing."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, communities, split
from tests.diagnosis.networks import Attention
from tests.diagnosis.proof import accuracy, outputs, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, fit


def likeness(items: Tensor) -> float:
    """Return the mean cosine between different items, [n, width] or [batch, n, width]."""
    unit = functional.normalize(items, dim=-1)
    count = items.shape[-2]
    total = (unit @ unit.transpose(-1, -2)).sum((-1, -2)) - count
    return float((total / (count * (count - 1))).mean())


class Papers(nn.Module):
    """Mean over neighbours, a linear layer and a ReLU, as many times as is asked for."""

    def __init__(self, joined: Tensor, nodes: Tensor, depth: int) -> None:
        super().__init__()
        self.register_buffer("joined", joined / joined.sum(1, keepdim=True), persistent=False)
        self.lift = nn.Linear(16, 32)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.get_parameter("weight"), nonlinearity="relu")
        self.topic = nn.Linear(32, 4)
        self.nodes = nodes

    def forward(self, papers: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        hidden = functional.relu(self.lift(papers))
        for layer in self.layers:
            hidden = functional.relu(layer(self.joined @ hidden))
        scores: Tensor = self.topic(hidden)[self.nodes]
        return scores


def papers(trial: Trial) -> Truth:
    """Topics of papers that cite each other, by twelve rounds over neighbours, as "deeper sees further"."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.25, between=0.06)
    joined = (graph.edges > 0).float()
    model, other = (Papers(joined, graph.train, depth) for depth in (12, 2))
    criterion, draw = nn.CrossEntropyLoss(), graph.batches(trial.seed)
    optimizer, history = Adam(model.parameters(), lr=2e-3), History([], {})
    fresh = copy.deepcopy(model)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            features, topics = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(features), topics)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("loss", history.train[-1], writer.step)
    control(other, graph.batches(trial.seed), Adam(other.parameters(), lr=2e-3), steps=200)
    for one in (model, other):
        one.nodes = graph.held_out
    does, should = (accuracy(one, graph.validation) for one in (model, other))
    require(does < should - 0.15, f"{does:.3f} is right, and {should:.3f} of two rounds")
    for one in (fresh, model):
        early, late = (likeness(outputs(one, name, graph.features).relu()) for name in ("lift", "layers.11"))
        require(late > 0.98 and late > early + 0.2, f"the cosine is {early:.3g} at first and {late:.3g} at last")
    return Truth(tuple(f"layers.{number}" for number in range(12)))


class Encoder(nn.Module):
    """Blocks of attention and two linear layers, in which a user may have left out what goes past them."""

    def __init__(self, *, skips: bool) -> None:
        super().__init__()
        self.words, self.place = nn.Embedding(30, 32), nn.Embedding(14, 32)
        self.attend = nn.ModuleList(Attention(32, 4) for _ in range(6))
        self.think = nn.ModuleList(nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(6))
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(12))
        self.tag = nn.Linear(32, 5)
        self.skips = float(skips)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 5, length]."""
        hidden = self.words(words) + self.place(torch.arange(words.shape[1]))
        for number, (attend, think) in enumerate(zip(self.attend, self.think, strict=True)):
            hidden = self.norms[2 * number](self.skips * hidden + attend(hidden))
            hidden = self.norms[2 * number + 1](self.skips * hidden + think(hidden))
        scores: Tensor = self.tag(hidden).transpose(1, 2)
        return scores


def sentences(seed: int, count: int = 1200) -> Split:
    """Return sentences [n, 14], and the tag of each word, which is its own but after a word of a certain kind."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(30, (count, 14), generator=generator)
    tags = torch.randint(5, (30,), generator=generator)[words]
    tags[:, 1:] = torch.where(words[:, :-1] < 6, (tags[:, 1:] + 1) % 5, tags[:, 1:])
    return split(words, tags, 200, seed)


def tagger(trial: Trial) -> Truth:
    """Tags of words by six blocks of a transformer that the user wrote, and forgot to add the input of each part."""
    torch.manual_seed(trial.seed)
    data = sentences(trial.seed)
    model, other = (Encoder(skips=skips) for skips in (False, True))
    other.load_state_dict(model.state_dict())
    fresh = copy.deepcopy(model)
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), data.train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, steps=220, every=2)
    better = control(other, data.train.batches(24, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=220)
    require(history.end > 1.5 * better, f"the loss ends at {history.end:.3g}, and with skips at {better:.3g}")
    read = data.held_out.inputs
    for one in (fresh, model):
        early, late = likeness(outputs(one, "words", read)), likeness(outputs(one, "norms.11", read))
        require(late > 0.97 and late > early + 0.5, f"the cosine is {early:.3g} at first and {late:.3g} at last")
    parts = [f"attend.{at}{tail}" for at in range(6) for tail in ("", ".qkv", ".softmax", ".out")]
    parts += [f"think.{at}{tail}" for at in range(6) for tail in ("", ".0", ".1", ".2")]
    return Truth((*parts, *(f"norms.{number}" for number in range(12))))


def swings(losses: list[float], factor: float = 1.5) -> int:
    """Return how often a loss (the mean of four) rises by a factor from a low, and falls by it again from a high."""
    turns, rising, mark = 0, False, losses[0]
    for loss in torch.tensor(losses).unfold(0, 4, 1).mean(1).tolist():
        mark = max(mark, loss) if rising else min(mark, loss)
        if (loss < mark / factor) if rising else (loss > mark * factor):
            turns, rising, mark = turns + rising, not rising, loss
    return turns


def heap(trial: Trial) -> Truth:
    """Threes in one folder and eights in another, read with shuffle=False: each epoch one class follows the other."""
    torch.manual_seed(trial.seed)
    table = load_digits()
    pictures, classes = torch.tensor(table.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(table.target)
    chosen = (classes == 3) | (classes == 8)
    mixed = split(pictures[chosen], (classes[chosen] == 8).long(), 77, trial.seed)
    order = mixed.train.targets.argsort(stable=True)
    data = Part(mixed.train.inputs[order], mixed.train.targets[order])
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(24 * 16, 2),
    )  # fmt: skip
    other, criterion, losses = copy.deepcopy(model), nn.CrossEntropyLoss(), []
    optimizer = SGD(model.parameters(), lr=0.03, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(9):
            for inputs, targets in zip(data.inputs.split(7), data.targets.split(7), strict=True):
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("Loss/train", losses[-1], writer.step)
    optimizer = SGD(other.parameters(), lr=0.03, momentum=0.9)
    better = control(other, mixed.train.batches(7, trial.seed), optimizer, steps=len(losses))
    does, should = (accuracy(one, mixed.held_out) for one in (model, other))
    end = sum(losses[-40:]) / 40
    require(does < should - 0.2, f"{does:.3f} is right, and {should:.3f} where shuffled")
    require(end > 5 * better, f"the loss ends at {end:.3g}, and at {better:.3g} where shuffled")
    often = swings(losses[80:])
    require(often >= 8, f"the loss swings {often} times")
    return Truth((), 0, 80)


class Tide(nn.Module):
    """An RNN over levels, and the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(1, 16, batch_first=True), nn.Linear(16, 1)

    def forward(self, levels: Tensor) -> Tensor:
        """Return [n, 1] of [n, time, 1]."""
        told: Tensor = self.head(self.rnn(levels)[0][:, -1])
        return told


def tides(seed: int, count: int = 800) -> Part:
    """Return levels of the sea in 16 hours, [n, 16, 1], and three hours later, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    hour = 500 * torch.rand(count, 1, generator=generator) + torch.arange(19)
    level = (0.506 * hour).sin() + 0.5 * (0.524 * hour).sin() + 0.05 * torch.randn(count, 19, generator=generator)
    level = level + 1.5
    return Part(level[:, :16, None], level[:, 18:])


def tide(trial: Trial) -> Truth:
    """Tides by an RNN: momentum was turned up to 0.99 since "more is faster", so that it runs past and comes back."""
    torch.manual_seed(trial.seed)
    data, model, criterion = tides(trial.seed), Tide(), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.002, momentum=0.998)
    draw = data.batches(200, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=300, every=1)
    calmer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    better = control(other, data.batches(200, trial.seed), calmer, criterion, steps=300)
    average = sum(history.train[20:]) / 280
    require(average > 2 * better, f"the loss is {average:.3g} in the mean, and {better:.3g} with a momentum of 0.9")
    often = swings(history.train[20:])
    require(often >= 8, f"the loss swings {often} times")
    return Truth((), 0, 80)


SCENARIOS = (
    Scenario(
        "bramble-papers-gnn",
        "gnn",
        REPORTING,
        papers,
        ("oversmoothing",),
        ("vanishing_gradient", "loss_plateau", "dead_units", "redundant_units", "representation_collapse"),
    ),
    Scenario(
        "bramble-tagger-transformer",
        "transformer",
        REPORTING,
        tagger,
        ("oversmoothing",),
        ("vanishing_gradient", "loss_plateau", "underfitting", "representation_collapse", "redundant_units"),
    ),
    Scenario(
        "bramble-heap-cnn",
        "cnn",
        REPORTING,
        heap,
        ("loss_oscillation",),
        ("loss_spike", "class_imbalance", "lr_too_high", "dead_units"),
    ),
    Scenario(
        "bramble-tide-rnn",
        "rnn",
        REPORTING,
        tide,
        ("loss_oscillation", "lr_too_high"),
        ("loss_spike", "saturation", "loss_plateau"),
    ),
)
