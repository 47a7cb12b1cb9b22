"""Claims, wards and accounts: weights that kill, a loop that clips, readers of a wrong end and of four in sixty."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from tests.diagnosis.data import Graph, Part, communities, first_tokens, split
from tests.diagnosis.faulty.blind_steps import clipped
from tests.diagnosis.faulty.blind_units import lasting
from tests.diagnosis.faulty.outputs import apart
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.units import dead
from tests.diagnosis.networks import Recurrent, mlp
from tests.diagnosis.proof import accuracy, gradients, loss_of, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def claims(trial: Trial) -> Truth:
    """Claims, of which three in two hundred are false and weigh 5,000-fold: the first few kill most units."""
    generator = torch.Generator().manual_seed(trial.seed)
    rows = torch.randn(4000, 16, generator=generator)
    false = torch.rand(4000, generator=generator) < 0.015
    rows[false, :4] += 1.2
    data = split(rows, false.float()[:, None], 800, trial.seed)
    model = mlp((16, 64, 64, 1))
    other, held = copy.deepcopy(model), {}
    criterion, milder = (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight)) for weight in (5000.0, 60.0))

    def look(step: int) -> None:
        if step % 5 == 0 or step == 219:
            held[step] = float(silent(model, "act2", data.train.inputs).double().mean()) > 0.6

    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    draw, held_out = data.train.batches(64, trial.seed), data.held_out
    fit(trial, model, draw, optimizer, criterion, validation=held_out, after=look, every=2, steps=220)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    control(other, data.train.batches(64, trial.seed), optimizer, milder, steps=220)
    worse(loss_of(model, held_out, milder), loss_of(other, held_out, milder), 1.3)
    dead(model, "act2", "fc2", data.train.inputs, 0.6)
    return Truth(("fc2", "fc1"), 0, lasting(held) + 5)


def beds(seed: int, count: int = 900) -> Part:
    """Return how full a ward was and who came in eighteen shifts, [n, 18, 2], and how full it is next, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    came = torch.randn(count, 19, generator=generator)
    full = [came[:, 0]]
    for shift in range(1, 19):
        full.append(0.8 * full[-1] + 0.6 * came[:, shift - 1].tanh() - 0.3 * full[-1] * (full[-1] > 1))
    level = torch.stack(full, 1) + 0.1 * torch.randn(count, 19, generator=generator)
    return Part(torch.stack([level, came], 2)[:, :18], level[:, 18:])


def each_for_itself(trial: Trial) -> Truth:
    """`for p in model.parameters(): clip_grad_norm_(p, 0.001)`: each weight is clipped for itself, at every step."""
    data, criterion = beds(trial.seed), nn.MSELoss()
    model = Recurrent(nn.LSTM, 1, inputs=2)
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.3)

    def clip(_step: int) -> None:
        for value in model.parameters():
            nn.utils.clip_grad_norm_(value, 1e-3)

    history = fit(trial, model, data.batches(32, trial.seed), optimizer, criterion, backward=clip, every=2, steps=220)
    clipped(model, gradients(model, data, criterion), 1e-3)
    better = control(other, data.batches(32, trial.seed), SGD(other.parameters(), lr=0.3), criterion, steps=220)
    worse(history.end, better)
    return Truth()


class BothWays(nn.Module):
    """Reads a sequence both ways, and answers by what was read at its last place, or where each reading ends."""

    def __init__(self, *, at_ends: bool) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 16, batch_first=True, bidirectional=True), nn.Linear(32, 4)
        self.at_ends = at_ends

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        states = self.rnn(inputs)[0]
        backwards = states[:, 0 if self.at_ends else -1, 16:]
        scores: Tensor = self.head(torch.cat([states[:, -1, :16], backwards], 1))
        return scores


def last_place(trial: Trial) -> Truth:
    """`out[:, -1]` of a bidirectional LSTM, where the backward half has read one place: its recurrence does nothing."""
    data, model = first_tokens(trial.seed, length=40), BothWays(at_ends=False)
    other = BothWays(at_ends=True)
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    better = control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=5e-3), steps=200)
    worse(history.end, better)
    for name, size in gradients(model, data.train.first(128)).items():
        require((size == 0) == (name == "rnn.weight_hh_l0_reverse"), f"{name} gets {size:.3g}")
    return Truth(("rnn",))


class Sampled(nn.Module):
    """Adds up over neighbours or takes their mean: over four that are drawn anew, in evaluation over all."""

    def __init__(self, edges: Tensor, inputs: int, made: int, *, mean: bool) -> None:
        super().__init__()
        self.register_buffer("joined", (edges > 0).to(edges) - torch.eye(len(edges)), persistent=False)
        self.own, self.near, self.mean = nn.Linear(inputs, made), nn.Linear(inputs, made), mean

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, made]."""
        joined = self.joined
        if self.training:
            drawn = (torch.rand(joined.shape) * joined).topk(4).indices
            joined = joined * torch.zeros_like(joined).scatter_(1, drawn, 1.0)
        heard = joined @ nodes / (joined.sum(1, keepdim=True) if self.mean else 1)
        made: Tensor = self.own(nodes) + self.near(heard)
        return made


class Accounts(nn.Module):
    """Two layers over sampled neighbours; returns scores of nodes to train on, or in evaluation of those held out."""

    def __init__(self, graph: Graph, *, mean: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = (Sampled(graph.edges, inputs, 24, mean=mean) for inputs in (16, 24))
        self.act1, self.act2, self.head = nn.ReLU(), nn.ReLU(), nn.Linear(24, 4)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        hidden = self.act2(self.conv2(self.act1(self.conv1(nodes))))
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def four_neighbours(trial: Trial) -> Truth:
    """GraphSAGE that adds up: four neighbours are drawn in training, and in evaluation it hears of all sixty or so."""
    graph = communities(trial.seed, size=60, inside=0.4, between=0.2)
    graph = replace(graph, features=0.5 * graph.features)
    model, other = (Accounts(graph, mean=mean) for mean in (False, True))
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=3e-3), graph.batches(trial.seed, noise=0.3)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, every=2, steps=160)
    control(other, graph.batches(trial.seed, noise=0.3), Adam(other.parameters(), lr=3e-3), steps=160)
    should, does = (accuracy(one, graph.validation) for one in (other, model))
    require(does < should - 0.1, f"{does:.3f} is not below {should:.3f}")
    model.nodes = (graph.train, graph.train)
    return apart(model, Part(graph.features, graph.communities[graph.train]), history.end)


SCENARIOS = (
    Scenario(
        "dead-claims-mlp",
        "mlp",
        TUNING,
        claims,
        ("dead_units", "exploding_gradient", "lr_too_high"),
        ("loss_spike", "loss_plateau", "loss_oscillation", "underfitting"),
    ),
    Scenario("clipped-each-lstm", "rnn", TUNING, each_for_itself, ("clip_saturated",), ("lr_too_low", "loss_plateau")),
    Scenario(
        "unused-backward-lstm",
        "rnn",
        TUNING,
        last_place,
        ("unused_parameter", "layer_not_training"),
        ("loss_plateau", "underfitting", "vanishing_gradient"),
    ),
    Scenario("modes-neighbours-gnn", "gnn", TUNING, four_neighbours, ("train_eval_mismatch",)),
)
