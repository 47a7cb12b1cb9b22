"""Rates of the wrong size, by schedules and optimizers as people copy them, and clipping that hinders."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Adadelta, Adam
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR

from tests.diagnosis.data import Part, communities, digits, language, majorities
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.stranger_steps import Sums, small_graphs
from tests.diagnosis.networks import Gcn, Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import gradients, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def demand(seed: int, count: int = 1200, length: int = 24) -> Part:
    """Return what was asked for in so many hours, [n, length, 1], standardised, and in the next one, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    hours = torch.arange(count + length)
    level = torch.sin(2 * math.pi * hours / 12) + 0.6 * torch.cos(2 * math.pi * hours / 84)
    values = level + 0.2 * torch.randn(len(hours), generator=generator)
    windows = ((values - values.mean()) / values.std()).unfold(0, length + 1, 1)
    return Part(windows[:, :-1, None], windows[:, -1:])


def noam_without_warm_up(trial: Trial) -> Truth:
    """The schedule of the paper, twofold, at a width of 24, and its warm-up left out: Adam begins at 0.4."""
    data = language(trial.seed)
    model = Transformer(20, 20, each=True)
    other = copy.deepcopy(model)
    optimizer = Adam(model.parameters(), lr=2.0, betas=(0.9, 0.98), eps=1e-9)
    fall = LambdaLR(optimizer, lambda step: (24 * (step + 1)) ** -0.5)
    history = fit(trial, model, data.train.batches(16), optimizer, schedule=fall, every=2, steps=150)
    better = control(other, data.train.batches(16), Adam(other.parameters(), lr=4e-3), steps=150)
    worse(history.end, better, 1.3)
    return Truth()


def one_cycle_of_ten(trial: Trial) -> Truth:
    """One cycle for SGD whose top is that of a plot which was read wrongly: 10, where 0.3 would do."""
    data = majorities(trial.seed)
    model = Recurrent(nn.LSTM, 3, inputs=12, tokens=12)
    other = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=0.4, momentum=0.9)
    cycle = OneCycleLR(optimizer, max_lr=10.0, total_steps=240)
    history = fit(trial, model, data.train.batches(32), optimizer, schedule=cycle, every=2)
    middle = sum(history.train[60:180]) / 120
    worse(middle, control(other, data.train.batches(32), SGD(other.parameters(), lr=0.1, momentum=0.9)), 1.5)
    return Truth((), 10, 72)


def adam_at_three_tenths(trial: Trial) -> Truth:
    """Small graphs are told apart by Adam at 0.3, which was right for the SGD that stood there before."""
    data, model = small_graphs(trial.seed), Sums()
    other = copy.deepcopy(model)
    criterion = nn.CrossEntropyLoss()
    optimizer, draw = Adam(model.parameters(), lr=0.3), data.batches(32)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, on_finding="ignore", every=2)
        for epoch in range(8):
            epoch_loss = 0.0
            for _ in range(31):
                graphs, ways = draw(0)
                optimizer.zero_grad()
                loss = criterion(model(graphs), ways)
                loss.backward()
                optimizer.step()
                epoch_loss += float(loss.detach())
            losses.append(epoch_loss / 31)
            writer.add_scalar("Loss/train", losses[-1], epoch)
    worse(losses[-1], control(other, data.batches(32), Adam(other.parameters(), lr=3e-3), steps=248))
    return Truth()


def plateau_of_the_wrong_mode(trial: Trial) -> Truth:
    """The rate is cut whenever the loss did not *rise*: the scheduler's mode is that for accuracies."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), nn.SiLU)
    other = copy.deepcopy(model)
    optimizer, criterion = SGD(model.parameters(), lr=0.02, momentum=0.9), nn.CrossEntropyLoss()
    cuts = ReduceLROnPlateau(optimizer, mode="max", patience=0, factor=0.1)
    draw, losses, low = data.train.batches(48), [], []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            pictures, classes = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pictures), classes)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 5 == 4:
                cuts.step(sum(losses[-5:]) / 5)
                writer.add_scalar("train/lr", optimizer.param_groups[0]["lr"], writer.step)
            if optimizer.param_groups[0]["lr"] < 1e-4:
                low.append(step)
    require(low and low[0] < 60, f"the rate is low at {low[:1]}")
    better = control(other, data.train.batches(48), SGD(other.parameters(), lr=0.02, momentum=0.9), steps=200)
    worse(sum(losses[-20:]) / 20, better, 2.0)
    return Truth((), low[0], low[0] + 40)


def adadelta_at_a_thousandth(trial: Trial) -> Truth:
    """Adadelta at a thousandth, as it begins in another framework, where it wants 1."""
    graph = communities(trial.seed)
    model = Gcn(graph, activation=nn.ELU)
    other = copy.deepcopy(model)
    history = fit(trial, model, graph.batches(), Adadelta(model.parameters(), lr=1e-3), steps=300)
    worse(history.end, control(other, graph.batches(), Adadelta(other.parameters(), lr=1.0), steps=300))
    return Truth()


def schedule_by_the_batch(trial: Trial) -> Truth:
    """A step schedule for epochs is stepped after every batch: a tenth of the rate is left after ten of them."""
    data, criterion = demand(trial.seed), nn.MSELoss()
    model = Recurrent(nn.LSTM, 1, inputs=1)
    other = copy.deepcopy(model)
    optimizer = Adam(model.parameters(), lr=5e-3)
    fall = StepLR(optimizer, step_size=10, gamma=0.1)
    history = fit(trial, model, data.batches(32), optimizer, criterion, schedule=fall, steps=200)
    better = control(other, data.batches(32), Adam(other.parameters(), lr=5e-3), criterion, steps=200)
    worse(history.end, better)
    return Truth((), 10, 40)


def clipped(model: nn.Module, sizes: dict[str, float], limit: float) -> None:
    """Raise NotProvenError unless the gradient of all the data is, at the end still, far longer than the limit."""
    total = math.sqrt(sum(value.numel() * sizes[name] ** 2 for name, value in model.named_parameters()))
    require(total > 5 * limit, f"the norm of the gradient is {total:.3g}")


def clipped_returns(trial: Trial) -> Truth:
    """A critic learns returns of hundreds, clipped to 0.5 as in everybody's PPO; its loss is logged now and then."""
    generator = torch.Generator().manual_seed(trial.seed)
    states = torch.randn(1500, 4, generator=generator)
    left = 200 * torch.sigmoid(1.5 * states[:, :1] - states[:, 1:2] * states[:, 2:3])
    data = Part(states, left + 10 * torch.randn(left.shape, generator=generator))
    model, criterion, losses = mlp((4, 64, 64, 1), nn.Tanh), nn.MSELoss(), []
    optimizer, draw = SGD(model.parameters(), lr=7e-3), data.batches(64)
    other = copy.deepcopy(model)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(300):
            seen, returns = draw(step)
            value_loss = functional.mse_loss(model(seen), returns)
            optimizer.zero_grad()
            value_loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            losses.append(float(value_loss.detach()))
            if step % 10 == 0:
                writer.add_scalar("losses/value_loss", losses[-1], writer.step)
    clipped(model, gradients(model, data, criterion), 0.5)
    better = control(other, data.batches(64), SGD(other.parameters(), lr=7e-3), criterion, clip=50.0, steps=300)
    worse(sum(losses[-30:]) / 30, better, 3.0)
    return Truth()


def clipped_by_value(trial: Trial) -> Truth:
    """Each element of the gradient of a language model is cut to a ten-thousandth, where it was to be 0.1."""
    data = language(trial.seed)
    model = Transformer(20, 20, each=True)
    other = copy.deepcopy(model)

    def cut(_step: int) -> None:
        nn.utils.clip_grad_value_(model.parameters(), 1e-4)

    optimizer = SGD(model.parameters(), lr=0.3, momentum=0.9)
    history = fit(trial, model, data.train.batches(12), optimizer, backward=cut, every=2, steps=150)
    sizes = gradients(model, data.train.first(128))
    large = [name for name, size in sizes.items() if size > 5e-4]
    require(len(large) > len(sizes) / 2, f"of {len(sizes)} gradients only {large} are cut")
    better = control(other, data.train.batches(12), SGD(other.parameters(), lr=0.3, momentum=0.9), steps=150)
    worse(history.end, better, 1.3)
    return Truth()


_HIGH, _LOW, _CLIPPED = ("lr_too_high",), ("lr_too_low",), ("clip_saturated",)
_RETURNS = ("lr_too_low", "poor_init", "underfitting")

SCENARIOS = (
    Scenario("high-noam-transformer", "transformer", TUNING, noam_without_warm_up, _HIGH, ("loss_plateau",)),
    Scenario("high-one-cycle-lstm", "rnn", TUNING, one_cycle_of_ten, _HIGH, ("loss_oscillation", "loss_spike")),
    Scenario("high-adam-gnn", "gnn", TUNING, adam_at_three_tenths, _HIGH, ("dead_units", "loss_plateau", "loss_spike")),
    Scenario("low-wrong-mode-cnn", "cnn", TUNING, plateau_of_the_wrong_mode, _LOW, ("loss_plateau",)),
    Scenario("low-adadelta-gcn", "gnn", TUNING, adadelta_at_a_thousandth, _LOW, ("loss_plateau",)),
    Scenario("low-by-the-batch-lstm", "rnn", TUNING, schedule_by_the_batch, _LOW, ("loss_plateau",)),
    Scenario("clipped-returns-mlp", "mlp", TUNING, clipped_returns, _CLIPPED, _RETURNS),
    Scenario("clipped-values-transformer", "transformer", TUNING, clipped_by_value, _CLIPPED, ("lr_too_low",)),
)
