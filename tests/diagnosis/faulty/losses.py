"""Losses that stand still, swing or jump, and networks that learn by heart, too little, or are held back."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, communities, curves, digits, first_tokens, language, majorities
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Gcn, Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, fit


def flat(history: History, start: float) -> Truth:
    """Return the truth that the loss did not fall; raise if it did."""
    require(history.end > 0.95 * start, f"the loss fell from {start:.4g} to {history.end:.4g}")
    return Truth()


def shuffled_targets(trial: Trial) -> Truth:
    """Inputs are shuffled and targets are not, so that there is nothing to learn."""
    data = digits(trial.seed)
    model = mlp((64, 32, 10))
    draw, other = data.train.batches(128, 1), data.train.batches(128, 2)
    optimizer = SGD(model.parameters(), lr=0.05)
    history = fit(trial, model, lambda step: (draw(step)[0], other(step)[1]), optimizer, steps=300)
    return flat(history, float(np.log(10)))


def parity(trial: Trial) -> Truth:
    """The parity of 24 bits, which gradients do not find."""
    bits = torch.randint(2, (4000, 24), generator=torch.Generator().manual_seed(trial.seed))
    data = Part(2.0 * bits - 1, bits.sum(1) % 2)
    model = mlp((24, 32, 32, 2))
    history = fit(trial, model, data.batches(128), Adam(model.parameters(), lr=1e-3), steps=300)
    return flat(history, float(np.log(2)))


def forgotten_start(trial: Trial) -> Truth:
    """What counts stands at the first of 60 places, where a plain recurrent network cannot reach."""
    data = first_tokens(trial.seed, length=60)
    model = Recurrent(nn.RNN, 4)
    history = fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=1e-3), steps=240)
    return flat(history, float(np.log(4)))


def blank_inputs(trial: Trial) -> Truth:
    """A bug gives the transformer a batch of zeros instead of the tokens."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    draw = data.train.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        tokens, targets = draw(step)
        return tokens * 0, targets

    history = fit(trial, model, batches, Adam(model.parameters(), lr=1e-3), steps=200)
    shares = torch.bincount(data.train.targets).double() / len(data.train.targets)
    return flat(history, float(-(shares * shares.log()).sum()))


def swings(history: History, better: float) -> Truth:
    """Return the truth that the loss swings from step to step, far above the control's; raise if it does not."""
    late = np.array(history.train[len(history.train) // 2 :])
    swing = np.abs(np.diff(late)).mean()
    require(np.isfinite(late).all() and swing > 0.25 * late.mean(), f"it swings by {swing:.3g} about {late.mean():.3g}")
    worse(float(late.mean()), better)
    return Truth()


def too_much_momentum(trial: Trial) -> Truth:
    """Momentum of 0.99 at a rate that suits none."""
    data = curves(trial.seed)
    model = mlp((8, 48, 1), nn.Tanh)
    other, criterion = copy.deepcopy(model), nn.MSELoss()
    history = fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.15, momentum=0.985), criterion)
    return swings(history, control(other, data.train.batches(64), SGD(other.parameters(), lr=0.05), criterion))


def sorted_data(trial: Trial) -> Truth:
    """The data are sorted by class and not shuffled, so that each batch is of one class."""
    data = digits(trial.seed, flat=False)
    order = data.train.targets.argsort(stable=True)
    inputs, targets = data.train.inputs[order], data.train.targets[order]
    model = cnn(norm=False)
    other = copy.deepcopy(model)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        at = 48 * step % (len(targets) - 48)
        return inputs[at : at + 48], targets[at : at + 48]

    history = fit(trial, model, batches, SGD(model.parameters(), lr=0.1), steps=200)
    return swings(history, control(other, data.train.batches(48), SGD(other.parameters(), lr=0.1)))


def edge_of_stability(trial: Trial) -> Truth:
    """A whole graph at each step, and a rate at which every step overshoots."""
    graph = communities(trial.seed)
    model = Gcn(graph, activation=nn.Tanh)
    other = copy.deepcopy(model)
    history = fit(trial, model, graph.batches(), SGD(model.parameters(), lr=10.0))
    return swings(history, control(other, graph.batches(), Adam(other.parameters(), lr=1e-2)))


def jumps(history: History, step: int, factor: float = 4.0) -> Truth:
    """Return the truth that the loss jumped at a step or the next, and came down again; raise if not."""
    before, after = float(np.median(history.train[step - 20 : step])), float(np.median(history.train[-20:]))
    top = max(history.train[step : step + 3])
    require(top > factor * before, f"the loss rose from {before:.3g} to {top:.3g} only")
    require(after < top / 2, f"the loss stayed at {after:.3g}")
    return Truth((), step)


def garbled_batch(trial: Trial) -> Truth:
    """The inputs of one batch are thirty times too large."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10), nn.Tanh)
    draw = data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return (inputs * 30, targets.roll(1)) if step == 150 else (inputs, targets)

    return jumps(fit(trial, model, batches, SGD(model.parameters(), lr=0.05, momentum=0.9), steps=300), 150)


def rate_slips_once(trial: Trial) -> Truth:
    """The learning rate of a single step is three hundred times too large."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    optimizer = Adam(model.parameters(), lr=2e-3)

    def slip(step: int) -> None:
        optimizer.param_groups[0]["lr"] = 0.6 if step == 110 else 2e-3

    return jumps(fit(trial, model, data.train.batches(32), optimizer, before=slip, steps=240), 110)


def wild_target(trial: Trial) -> Truth:
    """One target of a regression is off by a factor of a thousand."""
    data = curves(trial.seed)
    model = mlp((8, 48, 48, 1))
    draw = data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        if step == 170:
            targets[0] = 400.0
        return inputs, targets

    history = fit(trial, model, batches, SGD(model.parameters(), lr=0.02), nn.MSELoss(), steps=300)
    return jumps(history, 170)


def wrong_labels_once(trial: Trial) -> Truth:
    """A shard of corrupt pictures is read at steps 100 to 103."""
    data = digits(trial.seed, flat=False)
    model = cnn()
    draw = data.train.batches(48)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return (inputs.flip(2) * 4, (targets + 1) % 10) if 100 <= step < 104 else (inputs, targets)

    return jumps(fit(trial, model, batches, SGD(model.parameters(), lr=0.05, momentum=0.9), steps=200), 100)


def rising(history: History) -> Truth:
    """Return the truth that the loss held out rises while the other falls; raise if it does not."""
    steps = sorted(history.validation)
    values = [history.validation[step] for step in steps]
    lowest = int(np.argmin(values))
    require(values[-1] > 1.25 * values[lowest], f"it rose from {values[lowest]:.3g} to {values[-1]:.3g}")
    require(history.end < 0.5 * values[-1], f"the training loss is {history.end:.3g}")
    risen = next(at for at, value in enumerate(values) if at > lowest and value > 1.15 * values[lowest])
    return Truth((), steps[lowest], steps[risen])


def by_heart(trial: Trial) -> Truth:
    """Sixty noisy points and a wide network."""
    data = curves(trial.seed, noise=1.5)
    model = mlp((8, 128, 128, 1))
    few = data.train.first(60)
    optimizer = Adam(model.parameters(), lr=3e-3)
    return rising(fit(trial, model, few.batches(30), optimizer, nn.MSELoss(), validation=data.held_out, steps=300))


def noisy(split: Split, share: float, classes: int, seed: int) -> Split:
    """Give a share of the training targets, drawn at random, classes at random."""
    generator = torch.Generator().manual_seed(seed)
    wrong = torch.rand(len(split.train.targets), generator=generator) < share
    drawn = torch.randint(classes, split.train.targets.shape, generator=generator)
    return Split(Part(split.train.inputs, torch.where(wrong, drawn, split.train.targets)), split.held_out)


def by_heart_cnn(trial: Trial) -> Truth:
    """A hundred pictures, a third of them with wrong labels."""
    data = noisy(digits(trial.seed, flat=False), 0.35, 10, trial.seed)
    model = cnn((16, 32), norm=False)
    few, optimizer = data.train.first(100), Adam(model.parameters(), lr=4e-3)
    return rising(fit(trial, model, few.batches(48), optimizer, validation=data.held_out))


def by_heart_transformer(trial: Trial) -> Truth:
    """Eighty sequences."""
    data = noisy(majorities(trial.seed), 0.15, 3, trial.seed)
    model = Transformer(12, 3)
    optimizer = Adam(model.parameters(), lr=3e-3)
    return rising(fit(trial, model, data.train.first(80).batches(32), optimizer, validation=data.held_out))


def by_heart_rnn(trial: Trial) -> Truth:
    """A hundred sequences and a large GRU."""
    data = majorities(trial.seed)
    model = Recurrent(nn.GRU, 3, inputs=24, tokens=12, hidden=64)
    optimizer = Adam(model.parameters(), lr=4e-3)
    return rising(fit(trial, model, data.train.first(100).batches(32), optimizer, validation=data.held_out))


def by_heart_gcn(trial: Trial) -> Truth:
    """Sixty nodes whose features say little."""
    graph = communities(trial.seed, size=30, inside=0.08, between=0.05)
    model = Gcn(graph, width=64)
    optimizer = Adam(model.parameters(), lr=1e-2)
    return rising(fit(trial, model, graph.batches(noise=0.0), optimizer, validation=graph.validation))


def one_unit(trial: Trial) -> Truth:
    """A single hidden unit for ten classes."""
    data = digits(trial.seed)
    model, other = mlp((64, 1, 10), nn.Tanh), mlp((64, 32, 10), nn.Tanh)
    history = fit(
        trial, model, data.train.batches(64), Adam(model.parameters(), lr=1e-2), validation=data.held_out, steps=400
    )
    worse(history.end, control(other, data.train.batches(64), Adam(other.parameters(), lr=1e-2)), 4.0)
    return Truth()


def narrow_language(trial: Trial) -> Truth:
    """A language of twenty states through two numbers."""
    data = language(trial.seed)
    model, other = (Transformer(20, 20, width=width, depth=1, each=True) for width in (2, 24))
    history = fit(trial, model, data.train.batches(24), Adam(model.parameters(), lr=1e-2), validation=data.held_out)
    worse(history.end, control(other, data.train.batches(24), Adam(other.parameters(), lr=5e-3)), 1.4)
    return Truth()


def heavy_decay(trial: Trial) -> Truth:
    """Weight decay of 0.3."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    other = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=0.3)
    history = fit(trial, model, data.train.batches(64), optimizer, validation=data.held_out)
    worse(history.end, control(other, data.train.batches(64), SGD(other.parameters(), lr=0.1)))
    return Truth()


def heavy_dropout(trial: Trial) -> Truth:
    """Dropout of 0.95 before the head."""
    data = digits(trial.seed, flat=False)
    model, other = cnn(norm=False, dropout=0.97), cnn(norm=False)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    history = fit(trial, model, data.train.batches(48), optimizer, validation=data.held_out)
    worse(history.end, control(other, data.train.batches(48), SGD(other.parameters(), lr=0.05, momentum=0.9)))
    return Truth()


def heavy_decay_transformer(trial: Trial) -> Truth:
    """AdamW with a decay of 60, which was meant to be 0.06."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    other = copy.deepcopy(model)
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=60.0)
    history = fit(trial, model, data.train.batches(32), optimizer, validation=data.held_out)
    worse(history.end, control(other, data.train.batches(32), AdamW(other.parameters(), lr=3e-3)))
    return Truth()


def heavy_lasso(trial: Trial) -> Truth:
    """The sum of all magnitudes is added to the loss, a tenth of it."""
    graph = communities(trial.seed)
    model = Gcn(graph)
    other, entropy = copy.deepcopy(model), nn.CrossEntropyLoss()

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        penalty = sum((value.abs().sum() for value in model.parameters()), torch.zeros(()))
        loss: Tensor = entropy(scores, targets) + 0.1 * penalty
        return loss

    fit(trial, model, graph.batches(), Adam(model.parameters(), lr=1e-2), criterion, validation=graph.validation)
    left = float(entropy(model(graph.features), graph.communities[graph.train]))
    worse(left, control(other, graph.batches(), Adam(other.parameters(), lr=1e-2)))
    return Truth()


_FLAT, _SWINGS, _JUMPS = ("loss_plateau",), ("loss_oscillation", "lr_too_high"), ("loss_spike",)
_BY_HEART, _POOR, _HELD = ("overfitting",), ("underfitting",), ("over_regularised",)

SCENARIOS = (
    Scenario("flat-shuffled-mlp", "mlp", TUNING, shuffled_targets, ("loss_plateau", "label_noise")),
    Scenario("flat-parity-mlp", "mlp", TUNING, parity, ("loss_plateau", "underfitting"), ("label_noise",)),
    Scenario("flat-forgotten-rnn", "rnn", TUNING, forgotten_start, ("loss_plateau", "vanishing_gradient")),
    Scenario("flat-blank-transformer", "transformer", TUNING, blank_inputs, _FLAT, ("label_noise", "underfitting")),
    Scenario("swings-momentum-mlp", "mlp", TUNING, too_much_momentum, _SWINGS),
    Scenario("swings-sorted-cnn", "cnn", TUNING, sorted_data, ("loss_oscillation",)),
    Scenario("swings-edge-gcn", "gnn", TUNING, edge_of_stability, _SWINGS),
    Scenario("jumps-garbled-mlp", "mlp", TUNING, garbled_batch, _JUMPS),
    Scenario("jumps-rate-transformer", "transformer", TUNING, rate_slips_once, ("loss_spike", "lr_too_high")),
    Scenario("jumps-target-mlp", "mlp", TUNING, wild_target, _JUMPS),
    Scenario("jumps-shard-cnn", "cnn", TUNING, wrong_labels_once, _JUMPS),
    Scenario("by-heart-mlp", "mlp", TUNING, by_heart, _BY_HEART),
    Scenario("by-heart-cnn", "cnn", TUNING, by_heart_cnn, _BY_HEART),
    Scenario("by-heart-transformer", "transformer", TUNING, by_heart_transformer, _BY_HEART),
    Scenario("by-heart-gru", "rnn", TUNING, by_heart_rnn, _BY_HEART),
    Scenario("by-heart-gcn", "gnn", TUNING, by_heart_gcn, _BY_HEART),
    Scenario("poor-one-unit-mlp", "mlp", TUNING, one_unit, _POOR, ("loss_plateau",)),
    # A normalisation over two channels has hardly a gradient.
    Scenario(
        "poor-narrow-transformer",
        "transformer",
        TUNING,
        narrow_language,
        (*_POOR, "vanishing_gradient"),
        ("loss_plateau",),
    ),
    Scenario("held-decay-mlp", "mlp", TUNING, heavy_decay, _HELD),
    Scenario("held-dropout-cnn", "cnn", TUNING, heavy_dropout, _HELD),
    Scenario("held-decay-transformer", "transformer", TUNING, heavy_decay_transformer, _HELD),
    Scenario("held-lasso-gcn", "gnn", TUNING, heavy_lasso, _HELD),
)
