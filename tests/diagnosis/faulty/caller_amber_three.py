"""One number for all weights, filters laid side by side, too many hops, and blocks that keep nothing."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Graph, Part, communities, digits, split
from tests.diagnosis.faulty.caller_amber import surpassed
from tests.diagnosis.networks import GraphConvolution
from tests.diagnosis.proof import accuracy, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def copies(made: Tensor) -> float:
    """Return the share of the units (of axis 1) that do for all inputs what one before them does."""
    units = made.movedim(1, 0).flatten(1)
    apart = torch.cdist(units, units) / units.norm(dim=1).mean()
    return float((apart.tril(-1) + torch.ones_like(apart).triu() < 1e-3).any(1).double().mean())


def one_number(trial: Trial) -> Truth:
    """`nn.init.constant_(layer.weight, 0.02)` for every layer: the units of each are one and the same, and stay so."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed), nn.CrossEntropyLoss()
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 10))
    other = copy.deepcopy(model)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.weight, 0.02)
            nn.init.zeros_(layer.bias)
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(64, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 20 == 19:
                writer.add_scalar("val/accuracy", accuracy(model, data.held_out), writer.step)
    for name in ("0", "2"):
        share = copies(outputs(model, name, data.held_out.inputs))
        require(share > 0.9, f"{share:.2f} of the units of {name} are copies")
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=3e-3), steps=200)
    surpassed(sum(losses[-20:]) / 20, better, 3)
    return Truth(("0", "2"))


class Outliner(nn.Module):
    """Three convolutions that say of each place of a picture what it is part of."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.middle = nn.Conv2d(1, width, 5, padding=2), nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 4, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 4, 12, 12]."""
        hidden = functional.leaky_relu(self.middle(functional.leaky_relu(self.enter(pictures), 0.1)), 0.1)
        scores: Tensor = self.leave(hidden)
        return scores


def shapes(seed: int, count: int = 700) -> Part:
    """Return noisy pictures of a cross, a ring and a bar, [n, 1, 12, 12], and of which each place is part, or none."""
    generator = torch.Generator().manual_seed(seed)
    cross, ring = torch.eye(5) + torch.eye(5).flip(1), torch.ones(5, 5)
    ring[1:4, 1:4] = 0
    bar = torch.zeros(5, 5)
    bar[2] = 1
    pictures, classes = torch.zeros(count, 12, 12), torch.zeros(count, 12, 12, dtype=torch.int64)
    for at in range(count):
        for kind, shape in enumerate((cross, ring, bar), start=1):
            row, column = torch.randint(8, (2,), generator=generator).tolist()
            pictures[at, row : row + 5, column : column + 5][shape > 0] = 1
            classes[at, row : row + 5, column : column + 5][shape > 0] = kind
    noise = 0.2 * torch.randn(pictures.shape, generator=generator)
    return Part((pictures + noise - 0.2)[:, None], classes)


def side_by_side(trial: Trial) -> Truth:
    """A trained network of three filters is made six times as wide: filters are laid side by side, without noise."""
    torch.manual_seed(trial.seed)
    data, criterion = shapes(trial.seed), nn.CrossEntropyLoss(torch.tensor([0.3, 1.0, 1.0, 1.0]))
    small, model, other = Outliner(3), Outliner(18), Outliner(18)
    draw = data.batches(24, trial.seed)
    control(small, draw, Adam(small.parameters(), lr=1e-2), criterion, steps=60)
    with torch.no_grad():
        for name, value in model.named_parameters():
            old = small.get_parameter(name).detach()
            if name.startswith(("middle.weight", "leave.weight")):
                old = old.repeat(1, 6, 1, 1) / 6
            value.copy_(old if name.startswith("leave") else old.repeat(6, *[1] * (old.dim() - 1)))
        for value, noisy in zip(model.parameters(), other.parameters(), strict=True):
            noisy.copy_(value * (1 + 0.5 * torch.randn(value.shape)))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    history = fit(trial, model, draw, optimizer, criterion, every=2, steps=200)
    gentle = SGD(other.parameters(), lr=0.1, momentum=0.9)
    surpassed(history.end, control(other, data.batches(24, trial.seed), gentle, criterion, steps=200), 1.3)
    for name in ("enter", "middle"):
        share = copies(outputs(model, name, data.inputs[:100]))
        require(share > 0.8, f"{share:.2f} of the filters of {name} are copies")
    return Truth(("enter", "middle"))


def alike(made: Tensor) -> float:
    """Return how much of [..., items, features] is the mean over the items, from 0 to 1."""
    return float(made.mean(-2).square().sum() * made.shape[-2] / made.square().sum())


class Hops(nn.Module):
    """Graph convolutions, one after the other; scores of the nodes to train on, or in evaluation of those held out."""

    def __init__(self, graph: Graph, depth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(GraphConvolution(graph.edges, *pair) for pair in pairwise([16, *[32] * depth]))
        self.head, self.nodes = nn.Linear(32, 4), (graph.held_out, graph.train)
        for conv in self.convs:
            nn.init.kaiming_uniform_(conv.get_parameter("linear.weight"), nonlinearity="relu")

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        for conv in self.convs:
            nodes = functional.relu(conv(nodes))
        scores: Tensor = self.head(nodes)[self.nodes[self.training]]
        return scores


def many_hops(trial: Trial) -> Truth:
    """Sixteen graph convolutions, since deeper is better: a node is the mean of all, and its community is lost."""
    torch.manual_seed(trial.seed)
    graph, criterion = communities(trial.seed, size=40, inside=0.25, between=0.03), nn.CrossEntropyLoss()
    model, other = Hops(graph, 16), Hops(graph, 2)
    started = copy.deepcopy(model)
    optimizer = Adam(model.parameters(), lr=3e-3, weight_decay=5e-4)
    known = graph.communities[graph.train]
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(150):
            optimizer.zero_grad()
            loss = criterion(model(graph.features), known)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], writer.step)
            writer.add_scalar("Loss/val", evaluate(model, criterion, graph.validation), writer.step)
    gentle = Adam(other.parameters(), lr=3e-3, weight_decay=5e-4)
    better = control(other, graph.batches(trial.seed), gentle, steps=150)
    surpassed(sum(losses[-15:]) / 15, better, 2)
    should, does = accuracy(other, graph.validation), accuracy(model, graph.validation)
    require(should > does + 0.15, f"{does:.3f} is not below {should:.3f}")
    shares = [alike(outputs(started, f"convs.{at}", graph.features)) for at in range(16)]
    require(shares[-1] > 0.98 and shares[0] < 0.5, f"nodes are alike by {shares}")
    lost = [at for at, share in enumerate(shares) if share > 0.7]
    return Truth((*(f"convs.{at}" for at in lost), *(f"convs.{at}.linear" for at in lost[1:])))


class Keeping(nn.Module):
    """Attention and two linear layers, each of which ought to be added to what comes in."""

    def __init__(self, width: int, *, added: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm1, self.norm2, self.added = nn.LayerNorm(width), nn.LayerNorm(width), added
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [n, length, width]."""
        heard = self.attention(hidden, hidden, hidden, need_weights=False)[0]
        hidden = self.norm1(hidden + heard if self.added else heard)
        fed = self.feed(hidden)
        made: Tensor = self.norm2(hidden + fed if self.added else fed)
        return made


class Tagger(nn.Module):
    """Tags each word."""

    def __init__(self, *, added: bool) -> None:
        super().__init__()
        self.words, self.place = nn.Embedding(30, 32), nn.Embedding(12, 32)
        self.blocks = nn.ModuleList(Keeping(32, added=added) for _ in range(4))
        self.head = nn.Linear(32, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 5, length]."""
        hidden = self.words(tokens) + self.place.weight
        for block in self.blocks:
            hidden = block(hidden)
        scores: Tensor = self.head(hidden).transpose(1, 2)
        return scores


def nothing_kept(trial: Trial) -> Truth:
    """Blocks that were written without `x +`: after four of them each word is what its sentence is on the mean."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    tokens = torch.randint(30, (1500, 12), generator=generator)
    usual = torch.randint(5, (30,), generator=generator)
    # What a word is depends on the one before it as well.
    tags = (usual[tokens] + (tokens.roll(1, 1) < 6).long()) % 5
    data, criterion = split(tokens, tags, 300, trial.seed), nn.CrossEntropyLoss()
    model, other = Tagger(added=False), Tagger(added=True)
    other.load_state_dict(model.state_dict())
    started = copy.deepcopy(model)
    optimizer = AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    history = fit(
        trial, model, data.train.batches(32, trial.seed), optimizer, criterion, validation=data.held_out, every=3
    )
    surpassed(history.end, control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-3)), 1.5)
    for one, low, high in ((started, 0.99, 1.01), (model, 0.99, 1.01), (other, 0.0, 0.8)):
        share = alike(outputs(one, "blocks.3.norm2", data.held_out.inputs))
        require(low < share < high, f"words are alike by {share:.3g}")
    return Truth(tuple(name for name, _ in model.named_modules() if name.startswith("blocks.")))


SCENARIOS = (
    Scenario(
        "amber-one-number-mlp",
        "mlp",
        TUNING,
        one_number,
        ("redundant_units", "poor_init"),
        ("loss_plateau", "underfitting"),
    ),
    Scenario(
        "amber-side-by-side-cnn",
        "cnn",
        TUNING,
        side_by_side,
        ("redundant_units", "poor_init"),
        ("loss_plateau", "underfitting"),
    ),
    Scenario(
        "amber-many-hops-gnn",
        "gnn",
        TUNING,
        many_hops,
        ("oversmoothing",),
        ("vanishing_gradient", "loss_plateau", "representation_collapse", "underfitting", "dead_units"),
    ),
    Scenario(
        "amber-nothing-kept-transformer",
        "transformer",
        TUNING,
        nothing_kept,
        ("oversmoothing",),
        ("loss_plateau", "underfitting", "representation_collapse", "vanishing_gradient"),
    ),
)
