"""Healthy trainings whose optimizers or rates are out of the ordinary."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop, Rprop
from torch.optim.lr_scheduler import CyclicLR, LambdaLR
from torch.optim.swa_utils import AveragedModel, update_bn

from tests.diagnosis.data import communities, digits, first_tokens, language, majorities
from tests.diagnosis.networks import Gcn, Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import accuracy, calm, generalises, learned, loss_of, moved, require, snapshot, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def rmsprop(trial: Trial) -> None:
    """RMSprop, whose first steps are as long as ten."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16))
    optimizer = RMSprop(model.parameters(), lr=1e-3)
    history = fit(trial, model, data.train.batches(48), optimizer, validation=data.held_out, steps=180)
    sound(model, data.held_out, 0.93, history)


def adagrad(trial: Trial) -> None:
    """Adagrad, whose steps get ever shorter although the rate stays."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    optimizer = Adagrad(model.parameters(), lr=2e-2)
    history = fit(trial, model, data.train.batches(32), optimizer, validation=data.held_out, steps=160)
    sound(model, data.held_out, 0.8, history)


def adadelta(trial: Trial) -> None:
    """Adadelta at its usual rate of 1, whose first steps are of a thousandth."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    history = fit(
        trial, model, data.train.batches(64), Adadelta(model.parameters()), validation=data.held_out, steps=300
    )
    sound(model, data.held_out, 0.93, history)


def nadam(trial: Trial) -> None:
    """NAdam on a GRU."""
    data = first_tokens(trial.seed, length=8)
    model = Recurrent(nn.GRU, 4)
    optimizer = NAdam(model.parameters(), lr=4e-3)
    history = fit(trial, model, data.train.batches(32), optimizer, validation=data.held_out, steps=200)
    sound(model, data.held_out, 0.9, history)


def rprop(trial: Trial) -> None:
    """Rprop over a whole graph: the length of a step has nothing to do with that of the gradient."""
    graph = communities(trial.seed)
    model = Gcn(graph, activation=nn.Tanh)
    optimizer = Rprop(model.parameters(), lr=1e-3, step_sizes=(1e-6, 5e-3))
    history = fit(trial, model, graph.batches(noise=0.0), optimizer, validation=graph.validation, steps=150)
    sound(model, graph.validation, 0.85, history)


def sgd_alone(trial: Trial) -> None:
    """SGD at 0.2, without momentum."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16))
    optimizer = SGD(model.parameters(), lr=0.2)
    history = fit(trial, model, data.train.batches(64), optimizer, validation=data.held_out, steps=200)
    sound(model, data.held_out, 0.93, history)


class Lion(Optimizer):
    """Steps along the sign of a mixture of the gradient and its average, all elements by the same length."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Step once."""
        for group in self.param_groups:
            for value in group["params"]:
                average = self.state[value].setdefault("average", torch.zeros_like(value))
                value.mul_(1 - group["lr"] * group["weight_decay"])
                value.sub_(group["lr"] * average.lerp(value.grad, 0.1).sign())
                average.lerp_(value.grad, 0.01)


def lion(trial: Trial) -> None:
    """Lion with weight decay, as one's own optimizer."""
    data = language(trial.seed)
    model = Transformer(20, 20, each=True)
    optimizer = Lion(model.parameters(), lr=1e-3, weight_decay=0.1)
    history = fit(trial, model, data.train.batches(16), optimizer, validation=data.held_out, steps=200)
    calm(history)
    generalises(history)
    require(loss_of(model, data.held_out) < 2.2, "it has not learned")


def rates_by_layer(trial: Trial) -> None:
    """Fine-tuning whose rate is a third of it from layer to layer: the first learns at a 243rd."""
    data = digits(trial.seed)
    model = mlp((64, 64, 64, 64, 64, 10), nn.GELU)
    control(model, data.train.batches(64), Adam(model.parameters(), lr=2e-3), steps=120)
    model.head.reset_parameters()
    before = snapshot(model)
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    groups = [{"params": layer.parameters(), "lr": 5e-3 / 3**up} for up, layer in enumerate(reversed(layers))]
    history = fit(trial, model, data.train.batches(64, 1), AdamW(groups), validation=data.held_out)
    require(min(moved(before, model).values()) > 1e-4, "a layer did not move")
    sound(model, data.held_out, 0.9, history)


def averaged_at_the_end(trial: Trial) -> None:
    """SWA: from step 100 on the rate is high again and constant, and the weights of each tenth step are averaged."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    rate = LambdaLR(optimizer, lambda step: 1 - 0.9 * min(1.0, step / 80) if step < 100 else 0.5)
    average = AveragedModel(model)

    def gather(step: int) -> None:
        if step >= 100 and step % 10 == 0:
            average.update_parameters(model)

    draw = data.train.batches(48)
    history = fit(trial, model, draw, optimizer, schedule=rate, after=gather, validation=data.held_out, steps=200)
    update_bn((draw(step)[0] for step in range(20)), average)
    require(accuracy(average, data.held_out) > 0.95, "the average has not learned")
    sound(model, data.held_out, 0.93, history)


def noisy_gradients(trial: Trial) -> None:
    """Noise is added to all gradients, ever less of it."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 48, 48, 10))
    generator = torch.Generator().manual_seed(trial.seed)

    def disturb(step: int) -> None:
        deviation = 0.01 * (1 + step) ** -0.275
        for value in model.parameters():
            value.grad.add_(deviation * torch.randn(value.shape, generator=generator))

    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    history = fit(trial, model, data.train.batches(64), optimizer, backward=disturb, validation=data.held_out)
    sound(model, data.held_out, 0.9, history)


def triangular(trial: Trial) -> None:
    """A rate that goes up tenfold and down again, over and over."""
    data = first_tokens(trial.seed, length=6)
    model = Recurrent(nn.GRU, 4)
    optimizer = Adam(model.parameters(), lr=1e-3)
    cycle = CyclicLR(optimizer, 1e-3, 1e-2, step_size_up=30, cycle_momentum=False)
    history = fit(trial, model, data.train.batches(32), optimizer, schedule=cycle, validation=data.held_out, steps=240)
    sound(model, data.held_out, 0.9, history)


def long_warm_up(trial: Trial) -> None:
    """The rate rises over four fifths of the run, from a thousandth of what it becomes."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    optimizer = AdamW(model.parameters(), lr=6e-3)
    rise = LambdaLR(optimizer, lambda step: 1000 ** (min(1.0, step / 180) - 1))
    fit(
        trial,
        model,
        data.train.batches(32),
        optimizer,
        schedule=rise,
        validation=data.held_out,
        steps=220,
    )
    learned(model, data.held_out, 0.8)


SCENARIOS = (
    Scenario("healthy-rmsprop-cnn", "cnn", TUNING, rmsprop),
    Scenario("healthy-adagrad-transformer", "transformer", TUNING, adagrad),
    Scenario("healthy-adadelta-mlp", "mlp", TUNING, adadelta),
    Scenario("healthy-nadam-gru", "rnn", TUNING, nadam),
    Scenario("healthy-rprop-gcn", "gnn", TUNING, rprop),
    Scenario("healthy-plain-sgd-cnn", "cnn", TUNING, sgd_alone),
    Scenario("healthy-lion-transformer", "transformer", TUNING, lion),
    Scenario("healthy-layer-rates-mlp", "mlp", TUNING, rates_by_layer),
    Scenario("healthy-averaged-cnn", "cnn", TUNING, averaged_at_the_end),
    Scenario("healthy-noisy-gradients-mlp", "mlp", TUNING, noisy_gradients),
    Scenario("healthy-triangular-gru", "rnn", TUNING, triangular),
    Scenario("healthy-long-warm-up-transformer", "transformer", TUNING, long_warm_up),
)
