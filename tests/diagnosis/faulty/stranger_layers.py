"""Layers that don't learn, units that don't fire, and weights that begin wrong, by mistakes of a line or two."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tb_netviz_plugin.diagnosis import Severity
from tests.diagnosis.data import digits, language, majorities, split
from tests.diagnosis.faulty.losses import flat
from tests.diagnosis.faulty.stranger_steps import small_graphs
from tests.diagnosis.faulty.units import saturated, twins
from tests.diagnosis.networks import Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import gradients, loss_of, moved, outputs, require, silent, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, fit


def weighted(model: nn.Module) -> tuple[str, ...]:
    """Return the names of all layers that have parameters of their own."""
    return tuple(dict.fromkeys(name.rpartition(".")[0] for name, _ in model.named_parameters()))


def loss_made_anew(trial: Trial) -> Truth:
    """`backward` complained, so that the loss was wrapped in a new tensor that wants a gradient: no other gets one."""
    data = digits(trial.seed)
    model, criterion = mlp((64, 48, 48, 10)), nn.CrossEntropyLoss()
    before, draw, losses = snapshot(model), data.train.batches(64), []
    optimizer = Adam(model.parameters(), lr=1e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = torch.tensor(float(criterion(model(inputs), targets)), requires_grad=True)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("loss/train", losses[-1], writer.step)
    require(all(value.grad is None for value in model.parameters()), "a gradient arrived")
    require(not any(moved(before, model).values()), "something moved")
    require(all(gradients(model, data.train).values()), "there is no gradient to be had")
    flat(History(losses, {}), losses[0])
    return Truth(weighted(model))


def unfrozen_without_optimizer(trial: Trial) -> Truth:
    """Convolutions are unfrozen at step 80, but the optimizer was given what was not frozen when it was made."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), norm=False)
    frozen = [value for name, value in model.named_parameters() if not name.startswith("head")]
    for value in frozen:
        value.requires_grad_(False)
    before = snapshot(model)
    optimizer = Adam([value for value in model.parameters() if value.requires_grad], lr=2e-3)

    def unfreeze(step: int) -> None:
        if step == 80:
            for value in frozen:
                value.requires_grad_(True)

    fit(trial, model, data.train.batches(48), optimizer, before=unfreeze, validation=data.held_out, steps=200)
    changes, sizes = moved(before, model), gradients(model, data.train.first(256))
    for name in changes:
        require((changes[name] > 0) == name.startswith("head") and sizes[name] > 0, f"{name} is not as it ought to be")
    return Truth(("conv1", "conv2"), 80)


def copied_after_optimizer(trial: Trial) -> Truth:
    """The optimizer was made of a model of which a copy is trained."""
    data = majorities(trial.seed)
    first = Transformer(12, 3)
    optimizer = AdamW(first.parameters(), lr=1e-3)
    model = copy.deepcopy(first)
    before = snapshot(model)
    fit(trial, model, data.train.batches(32), optimizer, forget=False, after=lambda _step: model.zero_grad(), steps=160)
    require(not any(moved(before, model).values()), "something moved")
    require(sum(size > 1e-6 for size in gradients(model, data.train.first(256)).values()) > 10, "no gradients arrive")
    return Truth(weighted(model))


class Pooled(nn.Module):
    """A GRU all of whose states are weighed by a score; its softmax is taken over the wrong axis, whose length is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(12, 12), nn.GRU(12, 24, batch_first=True)
        self.score, self.head = nn.Linear(24, 1), nn.Linear(24, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        states = self.rnn(self.embed(tokens))[0]
        shares = self.score(states.tanh()).softmax(2)
        scores: Tensor = self.head((shares * states).sum(1))
        return scores


def softmax_over_one(trial: Trial) -> Truth:
    """The shares of attention are 1 each, whatever their scores are, which get a gradient of exactly 0."""
    data, model = majorities(trial.seed), Pooled()
    before = snapshot(model)
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=2e-3), steps=180)
    changes, sizes = moved(before, model), gradients(model, data.train.first(256))
    for name in changes:
        require((sizes[name] > 1e-12) != name.startswith("score"), f"the gradient of {name} is {sizes[name]}")
    require(changes["score.weight"] == 0, "the score moved")
    return Truth(("score",))


def tones(seed: int, count: int = 1200, bands: int = 16) -> tuple[Tensor, Tensor]:
    """Return frames of sound in decibels, [n, 12, bands], about −75 of them, and in which fourth a tone is heard."""
    generator = torch.Generator().manual_seed(seed)
    fourths = torch.randint(4, (count,), generator=generator)
    frames = -75 + 3 * torch.randn(count, 12, bands, generator=generator)
    at = fourths * (bands // 4) + torch.randint(bands // 4, (count,), generator=generator)
    frames[torch.arange(count), 4:8, at] += 12
    return frames, fourths


class Heard(nn.Module):
    """A linear layer and a ReLU for each frame, and a GRU over them."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.act = nn.Linear(16, 32), nn.ReLU()
        self.rnn, self.head = nn.GRU(32, 24, batch_first=True), nn.Linear(24, 4)

    def forward(self, frames: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        scores: Tensor = self.head(self.rnn(self.act(self.project(frames)))[0][:, -1])
        return scores


def decibels(trial: Trial) -> Truth:
    """Spectra in decibels as they are: all are far below zero, and a unit's sign is that of its weights' sum."""
    data, model = split(*tones(trial.seed), 200, trial.seed), Heard()
    optimizer = Adam(model.parameters(), lr=1e-3)
    fit(trial, model, data.train.batches(32), optimizer, functional.cross_entropy, every=2, steps=180)
    dark = ~(outputs(model, "act", data.train.inputs) > 0).flatten(0, 1).any(0)
    require(float(dark.double().mean()) >= 0.3, f"only {int(dark.sum())} of 32 units are dead")
    return Truth(("project",))


def rate_starts_high(trial: Trial) -> Truth:
    """Adam's rate falls by a tenth at each step, from 0.3 to 0.001: most units die before it is where it should be."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 48, 10))
    optimizer = Adam(model.parameters(), lr=0.3)
    fall = LambdaLR(optimizer, lambda step: max(1 / 300, 0.9**step))
    acts = ("act1", "act2", "act3")
    since: dict[str, int] = {}

    def look(step: int) -> None:
        for act in acts if step < 40 or step == 199 else ():
            if float(silent(model, act, data.train.inputs).double().mean()) < 0.5:
                since.pop(act, None)
            else:
                since.setdefault(act, step)

    fit(trial, model, data.train.batches(64), optimizer, after=look, schedule=fall, steps=200)
    require(since, "most units are alive")
    require(max(since.values()) < 30, f"they died at {since}")
    return Truth(tuple(act.replace("act", "fc") for act in since), min(since.values()), max(since.values()))


class Readout(nn.Module):
    """Adds up over the nodes of a graph, not only of neighbours, in front of a tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 24), nn.Linear(24, 24)
        self.readout, self.act, self.head = nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3)

    def forward(self, graphs: Tensor) -> Tensor:
        """Return scores [n, 3] of features beside edges, [n, 12, 4 + 12]."""
        nodes, edges = graphs[..., :4], graphs[..., 4:]
        nodes = self.second(edges @ self.first(edges @ nodes).relu()).relu()
        scores: Tensor = self.head(self.act(self.readout((edges.sum(2, keepdim=True) * nodes).sum(1))))
        return scores


def sums_into_tanh(trial: Trial) -> Truth:
    """What a graph is read out by is a sum over nodes, times their degrees; the tanh behind it is at its ends."""
    data, model = small_graphs(trial.seed), Readout()
    fit(trial, model, data.batches(32), SGD(model.parameters(), lr=0.01), steps=200)
    return saturated(model, "act", ("readout",), data.inputs)


def heads_alike(trial: Trial) -> Truth:
    """The weights of one head were repeated for the other, and so were those behind them: two heads are as one."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    for block in model.blocks:
        with torch.no_grad():
            for value in (block.attention.qkv.weight, block.attention.qkv.bias):
                parts = value.view(3, 2, 12, -1)
                parts[:, 1] = parts[:, 0]
            columns = block.attention.out.weight.view(24, 2, 12)
            columns[:, 1] = columns[:, 0]
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=0.05), steps=160)
    names = tuple(f"blocks.{at}.attention.qkv" for at in range(2))
    for name in names:
        twins(model.get_submodule(name).weight, name, 0.95)
    return Truth(names)


def tied_and_loud(trial: Trial) -> Truth:
    """Embeddings as torch begins them, of deviation 1, are the head's weights too: the first scores are far out."""
    data = language(trial.seed)
    model = Transformer(20, 20, width=64, depth=1, each=True)
    model.head.weight = model.embed.weight
    start = loss_of(model, data.train)
    require(start > 12, f"the loss is {start:.3g} at the start, that of a guess 3.0")
    fit(trial, model, data.train.batches(24), AdamW(model.parameters(), lr=1e-3), validation=data.held_out, steps=180)
    return Truth(("head", "embed"))


def zeros_lstm(trial: Trial) -> Truth:
    """All weights of an LSTM and of its head are set to zero: its states stay zero, and only one bias moves."""
    data = majorities(trial.seed)
    model = Recurrent(nn.LSTM, 3, inputs=12, tokens=12)
    for value in (*model.rnn.parameters(), *model.head.parameters()):
        nn.init.zeros_(value)
    before = snapshot(model)
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=0.1, momentum=0.9), steps=160)
    changes = moved(before, model)
    require([name for name in changes if changes[name]] == ["head.bias"], f"what moved is {changes}")
    return Truth(("rnn", "head", "embed"))


_STILL = ("layer_not_training", "vanishing_gradient", "unused_parameter")

SCENARIOS = (
    Scenario(
        "unused-loss-anew-mlp",
        "mlp",
        TUNING,
        loss_made_anew,
        ("unused_parameter", "layer_not_training"),
        ("loss_plateau",),
    ),
    Scenario("still-unfrozen-cnn", "cnn", TUNING, unfrozen_without_optimizer, ("layer_not_training",)),
    Scenario(
        "still-copied-transformer",
        "transformer",
        TUNING,
        copied_after_optimizer,
        ("layer_not_training",),
        ("loss_plateau",),
    ),
    Scenario("still-axis-gru", "rnn", TUNING, softmax_over_one, _STILL),
    Scenario("dead-decibels-gru", "rnn", TUNING, decibels, ("dead_units", "input_unnormalised")),
    Scenario("dead-first-steps-mlp", "mlp", TUNING, rate_starts_high, ("dead_units", "lr_too_high")),
    Scenario("saturated-sums-gnn", "gnn", TUNING, sums_into_tanh, ("saturation", "poor_init")),
    Scenario(
        "copies-heads-transformer",
        "transformer",
        TUNING,
        heads_alike,
        ("redundant_units", "poor_init"),
        least=Severity.INFO,
    ),
    Scenario("start-tied-transformer", "transformer", TUNING, tied_and_loud, ("poor_init",)),
    Scenario("start-zeros-lstm", "rnn", TUNING, zeros_lstm, ("poor_init", "redundant_units", "vanishing_gradient")),
)
