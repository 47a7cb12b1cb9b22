"""Values that are no numbers, or too small for their format, as masks, means, errors and half precision make them."""

from __future__ import annotations

import copy
from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, communities, digits, majorities, patients
from tests.diagnosis.faulty.numbers import spoiled, stuck
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Attention, Block, Gcn, Recurrent, Transformer, mlp
from tests.diagnosis.proof import double, finite, gradients, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Sage(nn.Module):
    """Two layers that join what a node is with the mean of its neighbours; the edges come with the nodes."""

    def __init__(self) -> None:
        super().__init__()
        widths = list(pairwise((16, 24, 4)))
        self.own = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in widths)
        self.others = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in widths)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Return scores [n, communities]."""
        for at, (own, others) in enumerate(zip(self.own, self.others, strict=True)):
            mean = edges @ nodes / edges.sum(1, keepdim=True)
            nodes = own(nodes if not at else nodes.relu()) + others(mean)
        return nodes


def lonely_node(trial: Trial) -> Truth:
    """At step 130 of a graph that changes with time someone has lost his last friend: the mean over none is 0 / 0."""
    graph = communities(trial.seed)
    friends = (graph.edges > 0).float() - torch.eye(len(graph.features))
    require((friends.sum(1) > 0).all(), "a node is lonely from the start")
    lonely, someone = friends.clone(), graph.train[7]
    lonely[someone] = lonely[:, someone] = 0
    model = Sage()
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(220):
            if step == 130:
                finite(model)
                told = double(model)(graph.features.double(), lonely.double())
                require(bool(told[someone].isnan().all()), "the mean over nobody is a number")
            scores = model(graph.features, lonely if step == 130 else friends)
            loss = functional.cross_entropy(scores[graph.train], graph.communities[graph.train])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 10 == 9:
                writer.add_scalar("train/loss", loss, writer.step)
    return spoiled(model, ("others.0",), 130)


class Masked(Attention):
    """Attention that masks padding where it is told of any: minus infinity times what is not to be looked at."""

    mask: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what each place takes from the others."""
        count, length, width = inputs.shape
        query, key, value = self.qkv(inputs).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = self.scale * query @ key.transpose(-1, -2)
        if self.mask is not None:
            scores = scores + (1 - self.mask)[:, None, None] * -torch.inf
        taken: Tensor = self.out((self.softmax(scores) @ value).transpose(1, 2).reshape(count, length, width))
        return taken


class MaskedBlock(Block):
    """A block with such attention."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.attention = Masked(width)


class MaskedTransformer(Transformer):
    """A transformer over sequences that token 0 pads, most of which are not padded at all."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores."""
        padded = tokens == 0
        for block in self.blocks:
            block.attention.mask = (~padded).float() if padded.any() else None
        return super().forward(tokens)


def infinite_mask(trial: Trial) -> Truth:
    """Long sequences come first; the first batch with padding, at step 90, is masked by 0 × ∞ where nothing is."""
    data = majorities(trial.seed)
    model = MaskedTransformer(13, 3, block=MaskedBlock)
    draw = data.train.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        tokens, targets = draw(step)
        tokens = tokens + 1
        if step >= 90:
            tokens[:, 16 - step // 30 :] = 0
        return tokens, targets

    def look(step: int) -> None:
        if step == 90:
            finite(model)

    fit(trial, model, batches, AdamW(model.parameters(), lr=1e-3), before=look, steps=180)
    names = ("softmax", "out", "qkv")
    return spoiled(model, ("blocks.0.attention", *(f"blocks.0.attention.{name}" for name in names)), 90)


def sales(seed: int, count: int = 1200, length: int = 14) -> Part:
    """Return two weeks of sales, [n, 14, 1], and those of the next day, [n, 1], both in units of a good day."""
    generator = torch.Generator().manual_seed(seed)
    days = torch.arange(length + 1) + torch.randint(7, (count, 1), generator=generator)
    sold = 1 + 0.4 * torch.sin(days * torch.pi / 3.5) + 0.1 * torch.randn(count, length + 1, generator=generator)
    sold = sold.clamp_min(0.1)
    return Part(sold[:, :-1, None], sold[:, -1:])


def share_off(made: Tensor, sold: Tensor) -> Tensor:
    """Return the mean error in shares of what was sold."""
    return ((made - sold).abs() / sold).mean()


def closed_day(trial: Trial) -> Truth:
    """Forecasts are judged by the mean percentage error; at step 100 a shop is closed, and the error divided by 0."""
    data = sales(trial.seed)
    model = Recurrent(nn.GRU, 1, inputs=1)
    draw = data.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, sold = draw(step)
        if step == 100:
            sold[11] = 0.0
        return inputs, sold

    history = fit(trial, model, batches, Adam(model.parameters(), lr=5e-3), share_off, clip=5.0, steps=180)
    require(max(history.train[:100]) < 5 and history.train[100] == torch.inf, "the loss is finite")
    guess = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(share_off(guess, torch.zeros(1, 1).double()), guess)[0]
    require(bool(slope.isinf().all()), "its slope is finite")
    return spoiled(model, ("head",), 100)


def half_adam(trial: Trial) -> Truth:
    """A network turned to float16 as a whole: Adam's epsilon is 0 there, and so are the squares of gradients."""
    data = patients(trial.seed)
    model = mlp((30, 32, 32, 1)).half()
    other = copy.deepcopy(model)

    draw = data.train.batches(32)

    def halved(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return inputs.half(), targets.half()

    broken: list[int] = []

    def look(step: int) -> None:
        if not all(bool(value.isfinite().all()) for value in model.parameters()):
            broken.append(step)

    criterion = nn.BCEWithLogitsLoss()
    fit(trial, model, halved, Adam(model.parameters(), lr=1e-3), criterion, after=look, steps=150)
    require(broken and broken[0] <= 1, f"it breaks at {broken[:1]}")
    require(float(torch.tensor(1e-8).half()) == 0, "float16 has that epsilon")
    loss = control(other, halved, Adam(other.parameters(), lr=1e-3, eps=1e-4), criterion, steps=150)
    require(loss < 0.5, f"with a larger epsilon the loss is {loss:.3g}")
    return spoiled(model, (), broken[0])


class Reflectance(nn.Module):
    """Three convolutions under autocast, in units of which a thousandth is a lot."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 8, 3, padding=1),
                act1=nn.ReLU(),
                conv2=nn.Conv2d(8, 8, 3, padding=1),
                act2=nn.ReLU(),
                conv3=nn.Conv2d(8, 1, 3, padding=1),
            )
        )
        self.scale, self.half_precision = scale, True

    def forward(self, pictures: Tensor) -> Tensor:
        """Return reflectances [n, 1, 8, 8]."""
        with torch.autocast("cpu", torch.float16, enabled=self.half_precision):
            made = self.net(pictures)
        told: Tensor = self.scale * made.to(pictures.dtype)
        return told


def autocast_without_scaler(trial: Trial) -> Truth:
    """Autocast to float16 without a loss scaler: the gradients of pixels are below what float16 can hold."""
    pictures = digits(trial.seed, flat=False).train.inputs
    noise = 0.5 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(trial.seed))
    model = Reflectance(2e-3)
    data = Part(pictures + noise, 2e-3 * pictures)
    criterion = nn.MSELoss()
    fit(trial, model, data.batches(32), Adam(model.parameters(), lr=1e-3), criterion, steps=150)
    loss = criterion(model(data.inputs[:32]), data.targets[:32])
    held = torch.autograd.grad(loss, list(model.parameters()))
    zeros = sum(int((one == 0).sum()) for one in held) / sum(one.numel() for one in held)
    require(zeros > 0.5, f"only {zeros:.2f} of the gradients are zero")
    precise = copy.deepcopy(model)
    precise.half_precision = False
    sizes = gradients(precise, data.first(32), criterion)
    require(all(size > 0 for size in sizes.values()), "in float64 they are zero too")
    return Truth()


def bfloat16_gcn(trial: Trial) -> Truth:
    """A graph network turned to bfloat16 to save memory: in float32 the same steps of SGD add up, there they don't."""
    graph = communities(trial.seed)
    model = Gcn(graph, activation=nn.ELU)
    other = copy.deepcopy(model)
    model = model.bfloat16()
    before = snapshot(model)
    draw = graph.batches(noise=0.0)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        nodes, targets = draw(step)
        return nodes.bfloat16(), targets

    history = fit(trial, model, batches, SGD(model.parameters(), lr=6e-3), every=2, steps=300)
    truth = stuck(model, before, 0.6)
    worse(history.end, control(other, draw, SGD(other.parameters(), lr=6e-3), steps=300), 1.05)
    return truth


_SPOILED, _COARSE = ("nonfinite",), ("low_precision_underflow",)

SCENARIOS = (
    Scenario("nan-lonely-node-gnn", "gnn", TUNING, lonely_node, _SPOILED),
    Scenario("nan-infinite-mask-transformer", "transformer", TUNING, infinite_mask, _SPOILED),
    Scenario("nan-closed-day-gru", "rnn", TUNING, closed_day, _SPOILED),
    Scenario("nan-half-adam-mlp", "mlp", TUNING, half_adam, ("nonfinite", "low_precision_underflow")),
    Scenario("coarse-autocast-cnn", "cnn", TUNING, autocast_without_scaler, _COARSE, ("vanishing_gradient",)),
    Scenario("coarse-bfloat16-gcn", "gnn", TUNING, bfloat16_gcn, _COARSE),
)
