"""Weights that begin wrong, and units that die of it, or of what the loss asks of them."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Graph, Part, communities, digits
from tests.diagnosis.faulty.blind_codes import Encoder
from tests.diagnosis.faulty.blind_losses import cells
from tests.diagnosis.faulty.blind_units import lasting
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.units import dead
from tests.diagnosis.healthy.blind_tables import ranked
from tests.diagnosis.networks import Recurrent, mlp
from tests.diagnosis.proof import loss_of, outputs, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Catalogue(nn.Module):
    """Says which picture belongs to which row of a table: two towers, cosines, and a scale that is learned."""

    def __init__(self, logit_scale: float) -> None:
        super().__init__()
        self.seen, self.told = mlp((64, 64, 16)), mlp((12, 32, 16))
        self.logit_scale = nn.Parameter(torch.tensor(logit_scale))

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [n, n] of pictures with rows, [n, 64 + 12]."""
        one = functional.normalize(self.seen(pairs[:, :64]), dim=1)
        other = functional.normalize(self.told(pairs[:, 64:]), dim=1)
        return self.logit_scale.exp() * one @ other.T


def both_ways(scores: Tensor, targets: Tensor) -> Tensor:
    """Return CLIP's loss of scores [n, n]."""
    return (functional.cross_entropy(scores, targets) + functional.cross_entropy(scores.T, targets)) / 2


def scale_without_logarithm(trial: Trial) -> Truth:
    """CLIP's scale begins at 1 / 0.07 instead of at its logarithm, and the exponent of that is 1,600,000."""
    data, generator = digits(trial.seed), torch.Generator().manual_seed(trial.seed)
    mix = torch.randn(64, 12, generator=generator) / 8

    def paired(part: Part) -> Tensor:
        noise = 0.3 * torch.randn(len(part.inputs), 12, generator=generator)
        return torch.cat([part.inputs, part.inputs @ mix + noise], 1)

    train, held_out = paired(data.train), paired(data.held_out)[:64]
    model, other = Catalogue(1 / 0.07), Catalogue(math.log(1 / 0.07))
    for name in ("seen", "told"):
        other.get_submodule(name).load_state_dict(model.get_submodule(name).state_dict())
    draw, again = (Part(train, train).batches(32, trial.seed) for _ in range(2))
    optimizer = AdamW(model.parameters(), lr=1e-3)
    history = fit(
        trial, model, lambda step: (draw(step)[0], torch.arange(32)), optimizer, both_ways, steps=300, every=2
    )
    require(history.train[0] > 1e4, f"the loss is {history.train[0]:.3g} at the start")
    better = AdamW(other.parameters(), lr=1e-3)
    worse(
        history.end,
        control(other, lambda step: (again(step)[0], torch.arange(32)), better, both_ways, steps=300),
        10.0,
    )
    with torch.no_grad():
        found = [float((one(held_out).argmax(1) == torch.arange(64)).float().mean()) for one in (model, other)]
    require(found[0] < 0.8 * found[1], f"of {found} of the pictures the row is found")
    return Truth()


def normal_everywhere(trial: Trial) -> Truth:
    """`nn.init.normal_(p)` for all parameters of a stack of LSTMs that reads pictures row by row: deviations of 1."""
    data = digits(trial.seed, flat=False)
    train, held_out = (Part(part.inputs[:, 0], part.targets) for part in (data.train, data.held_out))
    model = Recurrent(nn.LSTM, 10, inputs=8, hidden=40, depth=2)
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    for value in model.parameters():
        nn.init.normal_(value)
    start = loss_of(model, train)
    require(start > 1.4 * math.log(10), f"the loss is {start:.3g} at the start")
    optimizer, draw, losses = Adam(model.parameters(), lr=2e-3), train.batches(48, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=3, on_finding="ignore")
        for step in range(160):
            rows, classes = draw(step)
            loss = criterion(model(rows), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            if step % 10 == 9:
                writer.add_scalar("training loss", sum(losses[-10:]) / 10, writer.step)
    better = control(other, train.batches(48, trial.seed), Adam(other.parameters(), lr=2e-3), steps=160)
    worse(sum(losses[-20:]) / 20, better, 1.5)
    worse(loss_of(model, held_out), loss_of(other, held_out), 1.5)
    return Truth(("rnn", "head"))


def detector() -> nn.Sequential:
    """Return a body of two convolutions and a head of three that says of each pixel whether there is something."""
    body = [nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU()]
    head = [*(nn.Conv2d(12, 12, 3, padding=1), nn.ReLU()), *(nn.Conv2d(12, 12, 3, padding=1), nn.ReLU())]
    head.append(nn.Conv2d(12, 1, 3, padding=1))
    return nn.Sequential(OrderedDict(body=nn.Sequential(*body), head=nn.Sequential(*head)))


def prior_everywhere(trial: Trial) -> Truth:
    """RetinaNet's prior, a bias of −4.6, is set for all convolutions of the head, and not for the last one alone."""
    data, model, criterion = cells(trial.seed), detector(), nn.BCEWithLogitsLoss()
    other, prior = copy.deepcopy(model), -math.log((1 - 0.01) / 0.01)
    for layer in model.head:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.bias, prior)
    nn.init.constant_(other.head[-1].bias, prior)
    optimizer, draw = AdamW(model.parameters(), lr=2e-3), data.batches(12, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, every=3, steps=150)
    twice = data.batches(12, trial.seed)
    worse(history.end, control(other, twice, AdamW(other.parameters(), lr=2e-3), criterion, steps=150), 3.0)
    dead(model, "head.3", "head.2", data.inputs[:200], 1.0)
    dead(model, "head.1", "head.0", data.inputs[:200], 1.0)
    return Truth(("head.0", "head.2"))


class Rectified(Encoder):
    """Says how likely an edge is by products of codes, behind whose last layer there is a ReLU as behind the others."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        del self.features
        self.register_buffer("features", graph.features, persistent=False)
        self.last: nn.Module = nn.ReLU()

    def embed(self) -> Tensor:
        """Return codes [nodes, 16]."""
        made: Tensor = self.last(super().embed())
        return made


def codes_rectified(trial: Trial) -> Truth:
    """Five pairs without an edge to one with: products of codes that are not below zero can only say so as zeros."""
    graph = communities(trial.seed)
    joined, apart = ((graph.edges > 0).triu(1).nonzero().T, (graph.edges == 0).triu(1).nonzero().T)
    model, criterion = Rectified(graph), nn.BCEWithLogitsLoss()
    other, held = copy.deepcopy(model), {}
    other.last = nn.Identity()
    generator = torch.Generator().manual_seed(trial.seed)

    def batches(_step: int) -> tuple[Tensor, Tensor]:
        some = [
            pairs[:, torch.randint(pairs.shape[1], (many,), generator=generator)]
            for pairs, many in ((joined, 48), (apart, 240))
        ]
        return torch.cat(some, 1), torch.tensor([1.0, 0.0]).repeat_interleave(torch.tensor([48, 240]))

    def look(step: int) -> None:
        held[step] = float(silent(model, "last", joined).double().mean()) > 0.6

    optimizer = Adam(model.parameters(), lr=1e-2)
    history = fit(trial, model, batches, optimizer, criterion, after=look, steps=220)
    control(other, batches, Adam(other.parameters(), lr=1e-2), criterion, steps=220)
    require(history.end > 0.69, f"the loss is {history.end:.3g}")
    with torch.no_grad():
        found = [
            ranked(one(torch.cat([joined, apart], 1)), torch.arange(joined.shape[1] + apart.shape[1]) < joined.shape[1])
            for one in (model, other)
        ]
    require(found[0] < 0.6 and found[1] > 0.75, f"areas under the curve are {found}")
    dead(model, "last", "conv2", joined, 0.8)
    require(float(outputs(model, "last", joined).abs().mean()) < 0.1, "there are codes")
    return Truth(("conv2.linear", "conv2"), 0, lasting(held))


_START = ("poor_init",)
_PRIOR = ("loss_plateau", "underfitting", "vanishing_gradient")
_CODES = ("loss_plateau", "underfitting", "representation_collapse", "vanishing_gradient")

SCENARIOS = (
    Scenario(
        "start-logit-scale-mlp",
        "mlp",
        TUNING,
        scale_without_logarithm,
        (*_START, "exploding_gradient"),
        ("saturation", "loss_oscillation"),
    ),
    Scenario("start-normal-lstm", "rnn", TUNING, normal_everywhere, (*_START, "saturation")),
    Scenario("dead-prior-cnn", "cnn", TUNING, prior_everywhere, ("dead_units", *_START), _PRIOR),
    Scenario("dead-codes-gnn", "gnn", TUNING, codes_rectified, ("dead_units", "wrong_output_or_loss"), _CODES),
)
