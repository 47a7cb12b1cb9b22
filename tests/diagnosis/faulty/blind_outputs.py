"""Outputs that do not go with the loss, and networks that are others in evaluation than in training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, Split, digits, language, majorities, split
from tests.diagnosis.faulty.outputs import apart, ended
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Transformer, cnn, mlp
from tests.diagnosis.proof import gradients, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def shares_distilled(trial: Trial) -> Truth:
    """A student's shares stand in a divergence that wants their logarithms: it falls below what is possible."""
    data, teacher = digits(trial.seed, flat=False), cnn((12, 24))
    control(teacher, data.train.batches(48), Adam(teacher.parameters(), lr=3e-3), steps=100)
    with torch.no_grad():
        taught = Part(data.train.inputs, (teacher.eval()(data.train.inputs) / 2).softmax(1))
    model, criterion = ended(cnn((4, 8)), nn.Softmax(1)), nn.KLDivLoss(reduction="batchmean")
    history = fit(trial, model, taught.batches(48, trial.seed), Adam(model.parameters(), lr=3e-3), criterion, steps=160)
    told = outputs(model, "last", data.train.inputs[:200])
    require(torch.allclose(told.sum(1), torch.ones(200).double()), "they are no shares")
    require(history.end < -0.1, f"the divergence is {history.end:.3g}")
    return Truth()


class Demand(nn.Module):
    """Says how much of a thing is going to be sold, which is not below zero."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.rnn, self.head, self.last = nn.GRU(2, 24, batch_first=True), nn.Linear(24, 1), last

    def forward(self, weeks: Tensor) -> Tensor:
        """Return [n, 1] of [n, weeks, 2]."""
        told: Tensor = self.last(self.head(self.rnn(weeks)[0][:, -1]))
        return told


def rates_as_logarithms(trial: Trial) -> Truth:
    """Sales as counts, a few in ten weeks; the network's rates stand in a loss that takes them for logarithms."""
    generator = torch.Generator().manual_seed(trial.seed)
    rates = 0.25 * (torch.randn(1200, 1, generator=generator) + 0.5 * torch.randn(1200, 13, generator=generator)).exp()
    sold = torch.poisson(rates, generator=generator)
    weeks = torch.stack([sold[:, :12], torch.arange(12.0).div(12).expand(1200, 12)], 2)
    data, model, criterion = split(weeks, sold[:, 12:], 200, trial.seed), Demand(nn.Softplus()), nn.PoissonNLLLoss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(48, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    told = float(outputs(model, "last", data.train.inputs).exp().mean())
    true = float(data.train.targets.mean())
    require(told > 1.5 * true, f"a mean of {told:.3g} is told, and {true:.3g} is true")
    return Truth()


class Molecule(nn.Module):
    """Messages between atoms, a sum over them, and an energy that a ReLU does not let below zero."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.embed, self.conv1, self.conv2 = nn.Linear(5, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.readout, self.last = mlp((32, 32, 1), nn.SiLU), last

    def forward(self, graphs: Tensor) -> Tensor:
        """Return energies [n, 1] of features beside edges, [n, 10, 5 + 10]."""
        hidden, edges = self.embed(graphs[..., :5]), graphs[..., 5:]
        for conv in (self.conv1, self.conv2):
            hidden = hidden + functional.silu(conv(edges @ hidden))
        told: Tensor = self.last(self.readout(hidden.mean(1)))
        return told


def energies(seed: int, count: int = 900) -> Split:
    """Return molecules of ten atoms, [n, 10, 5 + 10], and energies in electron volts, nearly all below zero."""
    generator = torch.Generator().manual_seed(seed)
    kinds = functional.one_hot(torch.randint(5, (count, 10), generator=generator), 5).float()
    bonds = torch.rand(count, 10, 10, generator=generator).lt(0.2).float().triu(1)
    bonds = bonds + bonds.transpose(1, 2)
    strength = torch.rand(5, 5, generator=generator)
    energy = -(kinds @ strength @ kinds.transpose(1, 2) * bonds).sum((1, 2)) / 6
    return split(torch.cat([kinds, bonds / 3], 2), energy[:, None], 180, seed)


def energies_rectified(trial: Trial) -> Truth:
    """Energies are below zero, and the ReLU that ends the network lets nothing out but zero."""
    data = energies(trial.seed)
    model = Molecule(nn.ReLU())
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=2e-3)
    other.last = nn.Identity()
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, nn.L1Loss(), validation=data.held_out, every=2, steps=200)
    better = control(other, data.train.batches(32), Adam(other.parameters(), lr=2e-3), nn.L1Loss(), steps=200)
    worse(history.end, better, 3.0)
    require(not outputs(model, "last", data.train.inputs).any(), "something gets out")
    return Truth(("last", "readout.head", "readout"))


def entropy_of_one(trial: Trial) -> Truth:
    """Whether or not, as one score in the cross-entropy of classes: among one class it is certain, and the loss 0."""
    data, model = majorities(trial.seed), Transformer(12, 1, depth=1)
    train, held_out = (Part(part.inputs, (part.targets == 0).float()[:, None]) for part in (data.train, data.held_out))
    optimizer = AdamW(model.parameters(), lr=5e-4)
    history = fit(trial, model, train.batches(32, trial.seed), optimizer, validation=held_out, every=2, steps=160)
    require(not any(history.train), "there is a loss")
    require(not any(gradients(model, train.first(200)).values()), "there is a gradient")
    return Truth()


class Peeking(Transformer):
    """A language model that hides later words where it is used, and not where it is trained."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, words, length]."""
        for block in self.blocks:
            block.attention.causal = not self.training
        return super().forward(tokens)


def peeking(trial: Trial) -> Truth:
    """The mask is missing in training: the word that is asked for stands at the next place, and is read there."""
    data = language(trial.seed, count=900)
    model, other = (kind(20, 20, depth=1, each=True) for kind in (Peeking, Transformer))
    optimizer, draw = AdamW(model.parameters(), lr=6e-3), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    honest = control(other, data.train.batches(16), AdamW(other.parameters(), lr=6e-3), steps=200)
    require(history.end < 0.7 * honest, f"the loss is {history.end:.3g}, and {honest:.3g} where nothing is seen")
    return apart(model, data.train, history.end)


class Clustered(nn.Module):
    """Two rounds of means over neighbours, with batch norm, of a part of a graph."""

    def __init__(self, features: Tensor, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("edges", edges, persistent=False)
        self.own, self.near = (nn.ModuleList([nn.Linear(8, 24), nn.Linear(24, 24)]) for _ in range(2))
        self.norms, self.head = nn.ModuleList([nn.BatchNorm1d(24), nn.BatchNorm1d(24)]), nn.Linear(24, 2)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [n, 2] of nodes [n]."""
        hidden, edges = self.features[nodes], self.edges[nodes][:, nodes]
        for own, near, norm in zip(self.own, self.near, self.norms, strict=True):
            around = edges @ hidden / edges.sum(1, keepdim=True).clamp_min(1)
            hidden = norm(own(hidden) + near(around)).relu()
        scores: Tensor = self.head(hidden)
        return scores


def clusters(trial: Trial) -> Truth:
    """A graph of five sites is trained on site by site: batch norm takes from each what tells it from the others."""
    generator = torch.Generator().manual_seed(trial.seed)
    sites, order = torch.arange(5).repeat_interleave(60), torch.randperm(300, generator=generator)
    own = torch.randn(300, 8, generator=generator)
    features = own + 6 * torch.randn(5, 8, generator=generator)[sites]
    classes = (own[:, 0] + own[:, 1] > 0).long()
    edges = (torch.rand(300, 300, generator=generator) < 0.1) & (sites[:, None] == sites)
    train, held_out = (Part(nodes, classes[nodes]) for nodes in (order[:200], order[200:]))
    model = Clustered(features, edges.triu(1).float() + edges.triu(1).T.float())
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        here = sites[train.inputs] == step % 5
        return train.inputs[here], train.targets[here]

    history = fit(trial, model, batches, optimizer, functional.cross_entropy, validation=held_out, steps=200)
    return apart(model, train, history.end)


def averaged_without_statistics(trial: Trial) -> Truth:
    """A running mean of all weights is what is evaluated; its batch norms have the statistics that they began with."""
    data, model = digits(trial.seed, flat=False), cnn((8, 16))
    for part in (data.train, data.held_out):
        part.inputs.mul_(0.1).add_(0.5)
    mean = copy.deepcopy(model).requires_grad_(False)
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(32, trial.seed)
    criterion, losses = nn.CrossEntropyLoss(), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(180):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for slow, fast in zip(mean.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast.detach(), 0.05)
            losses.append(float(loss.detach()))
            writer.add_scalar("loss/train", losses[-1], writer.step)
            if step % 15 == 14:
                writer.add_scalar("loss/val", evaluate(mean, criterion, data.held_out), writer.step)
    require(loss_of(model, data.held_out) < 0.5, "the network itself does not do well")
    return apart(mean, data.train, sum(losses[-20:]) / 20)


_OUTPUT, _MODES = ("wrong_output_or_loss",), ("train_eval_mismatch",)

SCENARIOS = (
    Scenario("output-distilled-cnn", "cnn", TUNING, shares_distilled, _OUTPUT),
    Scenario("output-counts-gru", "rnn", TUNING, rates_as_logarithms, _OUTPUT),
    Scenario(
        "output-energies-gnn",
        "gnn",
        TUNING,
        energies_rectified,
        ("wrong_output_or_loss", "dead_units"),
        ("loss_plateau", "underfitting", "vanishing_gradient"),
    ),
    Scenario(
        "output-entropy-of-one-transformer",
        "transformer",
        TUNING,
        entropy_of_one,
        _OUTPUT,
        ("loss_plateau", "vanishing_gradient", "layer_not_training"),
    ),
    Scenario("modes-peeking-transformer", "transformer", TUNING, peeking, _MODES, ("overfitting",)),
    Scenario("modes-clusters-gnn", "gnn", TUNING, clusters, _MODES, ("overfitting",)),
    Scenario("modes-averaged-cnn", "cnn", TUNING, averaged_without_statistics, _MODES, ("overfitting",)),
)
