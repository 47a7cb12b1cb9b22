"""Steps of the wrong length: learning rates, forgotten zero_grad, clipping."""

from __future__ import annotations

import copy
import math

from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR

from tests.diagnosis.data import Part, communities, curves, digits, first_tokens, language, majorities
from tests.diagnosis.networks import Gcn, Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import gradients, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import Criterion, control, fit


def worse(loss: float, better: float, factor: float = 2.0) -> None:
    """Raise NotProvenError unless `loss` is no number or that many times larger than that of the control."""
    require(
        not math.isfinite(loss) or loss > factor * better, f"{loss:.4g} is not worse than the control's {better:.4g}"
    )


def heaped_up(model: nn.Module, part: Part, criterion: Criterion | None = None) -> None:
    """Raise NotProvenError unless the gradients that the parameters hold are far larger than that of all the data."""
    fresh = gradients(model, part, criterion)
    held = {name: value.grad.double().square().mean().sqrt() for name, value in model.named_parameters()}
    ratios = [float(held[name]) / fresh[name] for name in fresh if fresh[name] > 0]
    require(sorted(ratios)[len(ratios) // 2] > 5, f"gradients did not heap up: {ratios}")


def sgd_far_too_high(trial: Trial) -> Truth:
    """SGD with momentum at 3."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=3.0, momentum=0.9))
    worse(history.end, control(other, data.train.batches(64), SGD(other.parameters(), lr=0.05, momentum=0.9)))
    return Truth()


def adam_too_high_cnn(trial: Trial) -> Truth:
    """Adam at 0.5."""
    data = digits(trial.seed, flat=False)
    model = cnn(norm=False)
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=0.5), steps=180)
    worse(history.end, control(other, data.train.batches(48), Adam(other.parameters(), lr=2e-3), steps=180))
    return Truth()


def adam_too_high_transformer(trial: Trial) -> Truth:
    """Adam at 0.1, without warm-up."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=0.1), steps=200)
    worse(history.end, control(other, data.train.batches(32), Adam(other.parameters(), lr=2e-3), steps=200))
    return Truth()


def sgd_too_high_rnn(trial: Trial) -> Truth:
    """SGD at 20 on a GRU."""
    data = majorities(trial.seed)
    model = Recurrent(nn.GRU, 3, inputs=12, tokens=12)
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=20.0), steps=200)
    worse(history.end, control(other, data.train.batches(32), SGD(other.parameters(), lr=0.5), steps=200), 1.5)
    return Truth()


def raised_in_the_middle(trial: Trial) -> Truth:
    """Adam's learning rate rises a thousandfold between steps 120 and 150."""
    data = digits(trial.seed)
    model = mlp((64, 64, 64, 64, 10))
    optimizer = Adam(model.parameters(), lr=1e-3)
    rise = LambdaLR(optimizer, lambda step: 1000 ** min(1.0, max(0.0, (step - 120) / 30)))
    history = fit(trial, model, data.train.batches(64), optimizer, schedule=rise, steps=280)
    worse(history.end, sum(history.train[100:120]) / 20)
    return Truth((), 120, 150)


def sgd_too_high_gcn(trial: Trial) -> Truth:
    """SGD with momentum at 30."""
    graph = communities(trial.seed)
    model = Gcn(graph, depth=3)
    other = copy.deepcopy(model)
    history = fit(trial, model, graph.batches(), SGD(model.parameters(), lr=30.0, momentum=0.9))
    worse(history.end, control(other, graph.batches(), Adam(other.parameters(), lr=1e-2)))
    return Truth()


def adam_too_low(trial: Trial) -> Truth:
    """Adam at a millionth."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=1e-6))
    worse(history.end, control(other, data.train.batches(64), Adam(other.parameters(), lr=1e-3)))
    return Truth()


def sgd_too_low_cnn(trial: Trial) -> Truth:
    """SGD at a hundred-thousandth."""
    data = digits(trial.seed, flat=False)
    model = cnn(norm=False)
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(48), SGD(model.parameters(), lr=1e-5, momentum=0.9), steps=180)
    worse(
        history.end, control(other, data.train.batches(48), SGD(other.parameters(), lr=0.05, momentum=0.9), steps=180)
    )
    return Truth()


def adamw_too_low_transformer(trial: Trial) -> Truth:
    """AdamW at half a millionth: someone forgot that it is no fine-tuning."""
    data = language(trial.seed)
    model = Transformer(20, 20, each=True)
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(24), AdamW(model.parameters(), lr=5e-7), steps=180)
    worse(history.end, control(other, data.train.batches(24), AdamW(other.parameters(), lr=3e-3), steps=180), 1.5)
    return Truth()


def sgd_too_low_rnn(trial: Trial) -> Truth:
    """SGD at a hundred-thousandth on a recurrent network."""
    data = first_tokens(trial.seed, length=6)
    model = Recurrent(nn.GRU, 4)
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=1e-5, momentum=0.9))
    worse(history.end, control(other, data.train.batches(32), Adam(other.parameters(), lr=1e-2)))
    return Truth()


def adam_too_low_gcn(trial: Trial) -> Truth:
    """Adam at a millionth."""
    graph = communities(trial.seed)
    model = Gcn(graph, activation=nn.ELU)
    other = copy.deepcopy(model)
    history = fit(trial, model, graph.batches(), Adam(model.parameters(), lr=1e-6))
    worse(history.end, control(other, graph.batches(), Adam(other.parameters(), lr=1e-2)))
    return Truth()


def decayed_too_early(trial: Trial) -> Truth:
    """The rate is multiplied by 0.9 at every step instead of at every epoch, and is gone too early."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    other = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=0.02)
    history = fit(trial, model, data.train.batches(64), optimizer, schedule=ExponentialLR(optimizer, 0.9), steps=300)
    worse(history.end, control(other, data.train.batches(64), SGD(other.parameters(), lr=0.02), steps=300), 1.5)
    return Truth((), 20, 150)


def gradients_kept(trial: Trial) -> Truth:
    """`zero_grad` is never called."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.01), forget=False)
    heaped_up(model, data.train)
    return Truth()


def gradients_kept_cnn(trial: Trial) -> Truth:
    """`zero_grad` is never called, with Adam."""
    data = digits(trial.seed, flat=False)
    model = cnn(norm=False)
    fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=1e-3), forget=False, steps=180)
    heaped_up(model, data.train)
    return Truth()


def gradients_kept_transformer(trial: Trial) -> Truth:
    """`zero_grad` is never called, on a transformer."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=0.01), forget=False, steps=200)
    heaped_up(model, data.train)
    return Truth()


def gradients_kept_regression(trial: Trial) -> Truth:
    """`zero_grad` is never called, in a regression."""
    data = curves(trial.seed)
    model = mlp((8, 48, 48, 1), nn.Tanh)
    criterion = nn.MSELoss()
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.003), criterion, forget=False)
    heaped_up(model, data.train, criterion)
    return Truth()


def always_clipped(model: nn.Module, part: Part, limit: float, end: float, better: float) -> Truth:
    """Return the truth; raise unless the gradient of all the data is still far above the limit, and learning slow."""
    sizes = gradients(model, part)
    total = math.sqrt(sum(value.numel() * sizes[name] ** 2 for name, value in model.named_parameters()))
    require(total > 3 * limit, f"the norm is {total:.3g}")
    worse(end, better, 1.3)
    return Truth()


def clipped_mlp(trial: Trial) -> Truth:
    """Gradients are clipped to a norm of 0.002, as if that were the learning rate."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.1, momentum=0.9), clip=2e-3)
    better = control(other, data.train.batches(64), SGD(other.parameters(), lr=0.1, momentum=0.9), clip=2.0)
    return always_clipped(model, data.train, 2e-3, history.end, better)


def clipped_rnn(trial: Trial) -> Truth:
    """A GRU is clipped to a norm of 0.002."""
    data = first_tokens(trial.seed, length=6)
    model = Recurrent(nn.GRU, 4)
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=1.0), clip=2e-3)
    better = control(other, data.train.batches(32), SGD(other.parameters(), lr=1.0), clip=5.0)
    return always_clipped(model, data.train, 2e-3, history.end, better)


def clipped_transformer(trial: Trial) -> Truth:
    """A transformer is clipped to a norm of 0.005."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=0.2), clip=5e-3, steps=220)
    better = control(other, data.train.batches(32), SGD(other.parameters(), lr=0.2), clip=2.0, steps=220)
    return always_clipped(model, data.train, 5e-3, history.end, better)


_HIGH, _LOW, _KEPT, _CLIPPED = ("lr_too_high",), ("lr_too_low",), ("missing_zero_grad",), ("clip_saturated",)

SCENARIOS = (
    Scenario("high-sgd-mlp", "mlp", TUNING, sgd_far_too_high, _HIGH),
    Scenario("high-adam-cnn", "cnn", TUNING, adam_too_high_cnn, _HIGH),
    Scenario("high-adam-transformer", "transformer", TUNING, adam_too_high_transformer, _HIGH),
    Scenario("high-sgd-gru", "rnn", TUNING, sgd_too_high_rnn, _HIGH),
    Scenario("high-raised-mlp", "mlp", TUNING, raised_in_the_middle, _HIGH),
    Scenario("high-sgd-gcn", "gnn", TUNING, sgd_too_high_gcn, _HIGH),
    Scenario("low-adam-mlp", "mlp", TUNING, adam_too_low, _LOW),
    Scenario("low-sgd-cnn", "cnn", TUNING, sgd_too_low_cnn, _LOW),
    Scenario("low-adamw-transformer", "transformer", TUNING, adamw_too_low_transformer, _LOW),
    Scenario("low-sgd-gru", "rnn", TUNING, sgd_too_low_rnn, _LOW),
    Scenario("low-adam-gcn", "gnn", TUNING, adam_too_low_gcn, _LOW),
    Scenario("low-decay-mlp", "mlp", TUNING, decayed_too_early, _LOW),
    Scenario("kept-sgd-mlp", "mlp", TUNING, gradients_kept, _KEPT),
    Scenario("kept-adam-cnn", "cnn", TUNING, gradients_kept_cnn, _KEPT),
    Scenario("kept-sgd-transformer", "transformer", TUNING, gradients_kept_transformer, _KEPT),
    Scenario("kept-regression-mlp", "mlp", TUNING, gradients_kept_regression, _KEPT),
    Scenario("clipped-mlp", "mlp", TUNING, clipped_mlp, _CLIPPED),
    Scenario("clipped-gru", "rnn", TUNING, clipped_rnn, _CLIPPED),
    Scenario("clipped-transformer", "transformer", TUNING, clipped_transformer, _CLIPPED),
)
