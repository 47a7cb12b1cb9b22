"""Gradients that grow through places, blocks and sums over neighbours; attention that looks at one place."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Graph, communities, digits, split
from tests.diagnosis.faulty.pilot_aspen import worse
from tests.diagnosis.networks import Attention, mlp
from tests.diagnosis.proof import double, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Adder(nn.Module):
    """A recurrent layer of one's own with ReLU, over [n, length, 2]; returns a number [n, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.back, self.head = nn.Linear(2, 48), nn.Linear(48, 48, bias=False), nn.Linear(48, 1)
        nn.init.normal_(self.back.weight, std=0.23)

    def forward(self, sequences: Tensor) -> Tensor:
        """Return the answer after the last place."""
        state = torch.zeros(len(sequences), 48, dtype=sequences.dtype)
        for at in range(sequences.shape[1]):
            state = torch.relu(self.inside(sequences[:, at]) + self.back(state))
        answer: Tensor = self.head(state)
        return answer


def long_sums(trial: Trial) -> Truth:
    """A ReLU recurrence of one's own with N(0, 0.23) weights over forty places, no clipping: it multiplies."""
    torch.manual_seed(trial.seed)
    numbers, marks = torch.rand(1500, 40), torch.zeros(1500, 40)
    marks.scatter_(1, torch.rand(1500, 40).argsort(1)[:, :2], 1.0)
    data = split(torch.stack([numbers, marks], 2), (numbers * marks).sum(1, keepdim=True), 300, trial.seed)
    model, criterion = Adder(), nn.MSELoss()
    other = copy.deepcopy(model)
    precise, grown = double(model), {}
    for length in (2, 40):
        inputs = data.train.inputs[:100, :length].double().requires_grad_()
        (slope,) = torch.autograd.grad(precise(inputs).sum(), inputs)
        grown[length] = float(slope[:, 0].norm())
    require(grown[40] > 50 * grown[2], f"gradients at the first place by length: {grown}")
    optimizer, draw = SGD(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=1, steps=160)
    nn.init.eye_(other.back.weight)
    other.back.weight.data.mul_(0.95)
    optimizer = SGD(other.parameters(), lr=1e-3)
    worse(history.end, control(other, data.train.batches(32, trial.seed), optimizer, criterion, steps=160, clip=1.0), 2)
    return Truth(("back", "inside"))


class Added(nn.Module):
    """Two convolutions that are added to what comes in, with or without normalisation."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 8, height, width]."""
        added: Tensor = inputs + self.conv2(functional.relu(self.conv1(functional.relu(self.norm(inputs)))))
        return added


def tower(*, norm: bool) -> nn.Sequential:
    """Return sixteen blocks between a stem and a head."""
    blocks = [Added(norm=norm) for _ in range(16)]
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)]
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), *blocks, *head)


def blocks_without_norm(trial: Trial) -> Truth:
    """A ResNet whose BatchNorm was left out, He's weights, sixteen blocks: each doubles the variance."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed, flat=False), tower(norm=False), tower(norm=True)
    sizes, hidden = [], double(model)[0](data.train.inputs[:100].double()).detach().requires_grad_()
    shown = [hidden]
    for block in double(model)[1:17]:
        shown.append(block(shown[-1]))
    loss = functional.cross_entropy(double(model)[17:](shown[-1]), data.train.targets[:100])
    sizes = [float(slope.norm()) for slope in torch.autograd.grad(loss, shown)]
    require(sizes[0] > 20 * sizes[-1], f"gradients before and after the blocks: {sizes[0]:.3g}, {sizes[-1]:.3g}")
    optimizer, draw = SGD(model.parameters(), lr=0.01, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=120)
    optimizer = SGD(other.parameters(), lr=0.01, momentum=0.9)
    worse(history.end, control(other, data.train.batches(64, trial.seed), optimizer, steps=120), 2)
    return Truth()


class Friends(nn.Module):
    """Four layers that add to each node the sum over its neighbours, or their mean."""

    def __init__(self, edges: Tensor, graph: Graph, *, norm: bool) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.layers = nn.ModuleList(mlp((made, 32, 24)) for made in (16, 24, 24, 24))
        self.head, self.nodes = nn.Linear(24, 4), (graph.held_out, graph.train)
        self.norm = nn.LayerNorm(24) if norm else nn.Identity()

    def forward(self, hidden: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        for layer in self.layers:
            hidden = functional.relu(self.norm(layer(hidden + self.edges.to(hidden) @ hidden)))
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def sums_of_neighbours(trial: Trial) -> Truth:
    """GIN that adds up over forty neighbours in each of four layers: values and gradients grow manifold a layer."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.7, between=0.1)
    joined = (graph.edges > 0).float()
    model = Friends(joined, graph, norm=False)
    other = Friends(joined / joined.sum(1, keepdim=True), graph, norm=True)
    other.load_state_dict(model.state_dict(), strict=False)
    sizes = []
    for one in (model, other):
        inputs = graph.features.double().requires_grad_()
        (slope,) = torch.autograd.grad(double(one)(inputs).logsumexp(1).mean(), inputs)
        sizes.append(float(slope.norm()))
    require(sizes[0] > 300 * sizes[1], f"gradients at the inputs, of sums and of normalised means: {sizes}")
    optimizer, draw = SGD(model.parameters(), lr=0.1), graph.batches(trial.seed, noise=0.3)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, every=2, steps=200)
    better = control(other, graph.batches(trial.seed, noise=0.3), SGD(other.parameters(), lr=0.1), steps=200)
    require(better < 1, f"the loss of normalised means is {better:.3g}")
    worse(history.end, better, 1.5)
    return Truth()


class Lookup(nn.Module):
    """Attention over six pairs of a key and a value, after the key that is asked for; returns scores of values."""

    def __init__(self, *, paper: bool) -> None:
        super().__init__()
        self.key, self.value, self.place = (nn.Embedding(count, 64) for count in (6, 9, 7))
        self.factor = 8.0 if paper else 1.0
        self.attention, self.norm = Attention(64, 1, scale=1.0 if paper else None), nn.LayerNorm(64)
        self.ff, self.head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)), nn.Linear(64, 8)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return [n, 8] of [n, 7, 2]."""
        hidden = self.factor * (self.key(pairs[..., 0]) + self.value(pairs[..., 1]) + self.place.weight)
        hidden = self.norm(hidden + self.attention(hidden))
        scores: Tensor = self.head((hidden + self.ff(hidden))[:, 0])
        return scores


def unscaled_scores(trial: Trial) -> Truth:
    """Embeddings times sqrt(d), and scores not over sqrt(d): attention looks at one place and can't be moved."""
    torch.manual_seed(trial.seed)
    keys, values, asked = torch.rand(4000, 6).argsort(1), torch.randint(8, (4000, 6)), torch.randint(6, (4000,))
    found = values[torch.arange(4000), (keys == asked[:, None]).int().argmax(1)]
    question, values = torch.stack([asked, torch.full((4000,), 8)], 1)[:, None], torch.stack([keys, values], 2)
    data = split(torch.cat([question, values], 1), found, 300, trial.seed)
    model, other = Lookup(paper=True), Lookup(paper=False)
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(64, trial.seed)
    start = outputs(model, "attention.softmax", data.train.inputs[:300]).max(-1).values
    history = fit(trial, model, draw, optimizer, every=2, steps=220)
    end = outputs(model, "attention.softmax", data.train.inputs[:300]).max(-1).values
    shares = [float((given > 0.98).double().mean()) for given in (start, end)]
    require(min(shares) > 0.75, f"shares of rows of attention that look at one place: {shares}")
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-3), steps=220)
    worse(history.end, better, 3)
    return Truth(("attention.softmax", "attention", "attention.qkv"))


SCENARIOS = (
    Scenario(
        "aspen-exploding-sums-rnn",
        "rnn",
        TUNING,
        long_sums,
        ("exploding_gradient", "poor_init"),
        ("nonfinite", "loss_spike", "loss_oscillation", "lr_too_high", "dead_units", "loss_plateau"),
    ),
    Scenario(
        "aspen-exploding-blocks-cnn",
        "cnn",
        TUNING,
        blocks_without_norm,
        ("exploding_gradient", "poor_init"),
        ("nonfinite", "loss_spike", "loss_oscillation", "lr_too_high", "dead_units", "loss_plateau"),
    ),
    Scenario(
        "aspen-exploding-friends-gnn",
        "gnn",
        TUNING,
        sums_of_neighbours,
        ("exploding_gradient",),
        (
            "nonfinite",
            "oversmoothing",
            "poor_init",
            "loss_spike",
            "loss_oscillation",
            "lr_too_high",
            "dead_units",
            "loss_plateau",
        ),
    ),
    Scenario(
        "aspen-saturation-scores-transformer",
        "transformer",
        TUNING,
        unscaled_scores,
        ("saturation", "poor_init"),
        ("loss_plateau", "vanishing_gradient", "underfitting", "layer_not_training", "overfitting"),
    ),
)
