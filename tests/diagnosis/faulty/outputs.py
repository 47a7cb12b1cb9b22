"""Outputs that do not go with the loss, inputs of all scales, and labels that are few or wrong."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tb_netviz_plugin.diagnosis import Severity
from tests.diagnosis.data import Part, communities, curves, digits, first_tokens, majorities, patients
from tests.diagnosis.faulty.losses import noisy
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Gcn, Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import accuracy, double, loss_of, require, widened
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def ended(model: nn.Module, last: nn.Module) -> nn.Sequential:
    """Return a network with something behind it."""
    return nn.Sequential(OrderedDict([*model.named_children(), ("last", last)]))


def made(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the outputs in float64."""
    with torch.no_grad():
        given: Tensor = double(model).eval()(widened(inputs))
    return given


def softmax_twice(trial: Trial) -> Truth:
    """A softmax in front of the cross-entropy, which has one of its own: it can't fall below 1.46."""
    data = digits(trial.seed)
    model = ended(mlp((64, 48, 48, 10)), nn.Softmax(1))
    history = fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=2e-3))
    require(torch.allclose(made(model, data.train.inputs).sum(1), torch.ones(()).double()), "the outputs are no shares")
    require(history.end > 1.4, "the loss fell")
    return Truth()


def softmax_twice_cnn(trial: Trial) -> Truth:
    """Likewise, of a CNN whose user says what the functional loss was computed from."""
    data = digits(trial.seed, flat=False)
    model = ended(cnn(), nn.Softmax(1))
    history = fit(trial, model, data.train.batches(48), criterion=functional.cross_entropy, steps=160)
    require(history.end > 1.4, "the loss fell")
    return Truth()


def sigmoid_twice(trial: Trial) -> Truth:
    """A sigmoid in front of the loss that has one of its own."""
    data = patients(trial.seed)
    model = ended(mlp((30, 24, 1)), nn.Sigmoid())
    history = fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=3e-3), nn.BCEWithLogitsLoss())
    given = made(model, data.train.inputs)
    require(bool((given >= 0).all() and (given <= 1).all()) and history.end > 0.35, "it is no sigmoid")
    return Truth()


def shares_as_logarithms(trial: Trial) -> Truth:
    """Shares where the loss expects their logarithms: it falls below zero."""
    data = majorities(trial.seed)
    model = Whole(Transformer(12, 3), nn.Softmax(1))
    history = fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=2e-3), nn.NLLLoss(), steps=200)
    require(history.end < 0, "the loss is above zero")
    return Truth()


class Whole(nn.Module):
    """A network with something behind it."""

    def __init__(self, net: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.net, self.last = net, last

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the last makes of the outputs."""
        given: Tensor = self.last(self.net(inputs))
        return given


def rectified_scores(trial: Trial) -> Truth:
    """A ReLU behind the head: scores that ought to fall below zero can't."""
    data = first_tokens(trial.seed, length=6)
    model = Whole(Recurrent(nn.GRU, 4), nn.ReLU())
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=5e-3), steps=200)
    given = made(model, data.train.inputs)
    require(bool((given >= 0).all()) and float((given == 0).double().mean()) > 0.2, "the scores are free")
    return Truth()


def bounded_regression(trial: Trial) -> Truth:
    """A sigmoid behind a regression whose targets go from −3 to 3."""
    data = curves(trial.seed)
    model, other = ended(mlp((8, 48, 48, 1)), nn.Sigmoid()), mlp((8, 48, 48, 1))
    history = fit(trial, model, data.train.batches(64), criterion=nn.MSELoss(), validation=data.held_out)
    worse(history.end, control(other, data.train.batches(64), Adam(other.parameters(), lr=2e-3), nn.MSELoss()))
    require(
        float(((data.train.targets < 0) | (data.train.targets > 1)).double().mean()) > 0.5, "the targets lie within"
    )
    return Truth()


def broadcast(trial: Trial) -> Truth:
    """Outputs [n, 1] and targets [n] broadcast to [n, n], so that the mean of the targets is all that is learned."""
    data = curves(trial.seed)
    model, other = mlp((8, 48, 48, 1)), mlp((8, 48, 48, 1))
    draw = data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return inputs, targets[:, 0]

    history = fit(trial, model, batches, criterion=nn.MSELoss())
    worse(history.end, control(other, data.train.batches(64), Adam(other.parameters(), lr=2e-3), nn.MSELoss()))
    return Truth()


def softmax_of_one(trial: Trial) -> Truth:
    """A softmax over a single unit is always 1."""
    data = patients(trial.seed)
    model = ended(mlp((30, 24, 1)), nn.Softmax(1))
    fit(trial, model, data.train.batches(32), criterion=nn.BCELoss(), steps=200)
    require(bool((made(model, data.train.inputs) == 1).all()), "the outputs vary")
    return Truth()


def uneven(inputs: Tensor) -> Truth:
    """Return the truth that features have very different scales; raise if they have not."""
    deviations = inputs.double().flatten(0, -2).std(0)
    require(float(deviations.max() / deviations.min()) > 1e3, f"deviations are {deviations}")
    return Truth()


def raw_patients(trial: Trial) -> Truth:
    """Measurements as they are: from 0.003 to 4,000."""
    data = patients(trial.seed, standardised=False)
    model = mlp((30, 32, 32, 1))
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=2e-3), nn.BCEWithLogitsLoss(), steps=200)
    return uneven(data.train.inputs)


def one_loud_feature(trial: Trial) -> Truth:
    """A time stamp stands among the features."""
    data = curves(trial.seed)
    data.train.inputs[:, 5] = 1.6e6 + 1e5 * data.train.inputs[:, 5]
    model = mlp((8, 48, 48, 1), nn.Tanh)
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.02), nn.MSELoss(), steps=200)
    return uneven(data.train.inputs)


def loud_channel(trial: Trial) -> Truth:
    """One of four sensors gives pascals, the others bars."""
    data = first_tokens(trial.seed, length=6)
    data.train.inputs[..., 3] *= 1e5
    model = Recurrent(nn.GRU, 4)
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=3e-3), steps=200)
    return uneven(data.train.inputs)


def loud_node_feature(trial: Trial) -> Truth:
    """A node's feature is an identity number."""
    graph = communities(trial.seed)
    graph.features[:, 2] = 1e6 + 5e4 * torch.randn(len(graph.features))
    model = Gcn(graph)
    fit(trial, model, graph.batches(), Adam(model.parameters(), lr=5e-3))
    return uneven(graph.features)


def rare(part: Part, kept: int, rare_class: int) -> Part:
    """Return a part in which a class has a few samples only."""
    where = (part.targets.flatten() == rare_class).nonzero().flatten()
    keep = torch.ones(len(part.targets), dtype=torch.bool)
    keep[where[kept:]] = False
    return Part(part.inputs[keep], part.targets[keep])


def overlooked(model: nn.Module, held_out: Part, rare_class: int) -> Truth:
    """Return the truth that a rare class is hardly ever found; raise if it is."""
    found = made(model, held_out.inputs)
    answers = found.argmax(1) if found.shape[1] > 1 else (found[:, 0] > 0).long()
    targets = held_out.targets.flatten().long()
    hits = float((answers[targets == rare_class] == rare_class).double().mean())
    require(hits < 0.5, f"{hits:.2f} of the rare class are found")
    return Truth()


def few_of_a_digit(trial: Trial) -> Truth:
    """Three eights among 1,300 digits."""
    data = digits(trial.seed)
    model = mlp((64, 32, 10))
    few = rare(data.train, 3, 8)
    fit(trial, model, few.batches(64), SGD(model.parameters(), lr=0.05), validation=data.held_out)
    return overlooked(model, data.held_out, 8)


def few_of_a_picture(trial: Trial) -> Truth:
    """Pictures of nines, and of anything else once in two hundred, to be told apart."""
    data = digits(trial.seed, flat=False)
    model = cnn(classes=2, norm=False)
    train, held_out = (Part(part.inputs, (part.targets == 8).long()) for part in (data.train, data.held_out))
    few = rare(train, 7, 1)
    fit(trial, model, few.batches(48), SGD(model.parameters(), lr=0.02), validation=held_out, steps=180)
    return overlooked(model, held_out, 1)


def mislabelled(model: nn.Module, clean: Part, dirty: Part, share: float) -> Truth:
    """Return the truth that so many labels are wrong, and what is learned is right nevertheless; raise if not."""
    wrong = float((clean.targets != dirty.targets).double().mean())
    require(wrong > share, f"only {wrong:.2f} of the labels are wrong")
    require(accuracy(model, clean) > 1.15 * accuracy(model, dirty), "what is learned are the wrong labels")
    return Truth()


def wrong_labels(trial: Trial) -> Truth:
    """Four labels in ten are drawn at random."""
    data = digits(trial.seed)
    dirty = noisy(data, 0.4, 10, trial.seed).train
    model = mlp((64, 32, 10))
    fit(trial, model, dirty.batches(64), SGD(model.parameters(), lr=0.05), validation=data.held_out, steps=400)
    return mislabelled(model, data.train, dirty, 0.3)


def wrong_labels_cnn(trial: Trial) -> Truth:
    """Half of the labels of pictures are drawn at random."""
    data = digits(trial.seed, flat=False)
    dirty = noisy(data, 0.5, 10, trial.seed).train
    model = cnn()
    fit(trial, model, dirty.batches(48), Adam(model.parameters(), lr=3e-3), validation=data.held_out, steps=240)
    return mislabelled(model, data.train, dirty, 0.4)


def wrong_labels_transformer(trial: Trial) -> Truth:
    """A third of the sequences have a wrong class."""
    data = majorities(trial.seed)
    dirty = noisy(data, 0.5, 3, trial.seed).train
    model = Transformer(12, 3, depth=1)
    fit(trial, model, dirty.batches(32), Adam(model.parameters(), lr=2e-3), validation=data.held_out, steps=240)
    return mislabelled(model, data.train, dirty, 0.25)


def apart(model: nn.Module, part: Part, training: float) -> Truth:
    """Return the truth that evaluation gives another loss than training over the same data; raise if not."""
    evaluation = loss_of(model, part)
    require(evaluation > 2 * training + 0.2, f"it is {training:.3g} in training and {evaluation:.3g} in evaluation")
    return Truth()


def statistics_too_slow(trial: Trial) -> Truth:
    """The momentum of batch norm is 0.0005, so that its running statistics stay as they began."""
    data = digits(trial.seed, flat=False)
    model = cnn()
    for part in (data.train, data.held_out):
        part.inputs.mul_(8).add_(20)
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 5e-4
    history = fit(trial, model, data.train.batches(48), validation=data.held_out, steps=180)
    return apart(model, data.train, history.end)


def statistics_of_two_kinds(trial: Trial) -> Truth:
    """Every second batch is thirty times as loud: batch norm keeps one mean and deviation for two kinds of inputs."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10), norm=nn.BatchNorm1d)
    draw = data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return inputs * (30 if step % 2 else 1), targets

    history = fit(trial, model, batches, validation=data.held_out)
    return apart(model, data.train, history.end)


class Forgetful(nn.Module):
    """Scales by what it has counted, which it counts in training only and wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Linear(288, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores."""
        hidden = functional.dropout(self.act(self.conv(pictures)).flatten(1), 0.5, training=self.training)
        scores: Tensor = self.head(hidden if self.training else hidden * 0.05)
        return scores


def scaled_in_evaluation(trial: Trial) -> Truth:
    """Dropout that is scaled down in evaluation, though torch scales up in training, and by far too much."""
    data = digits(trial.seed, flat=False)
    model = Forgetful()
    history = fit(trial, model, data.train.batches(48), validation=data.held_out, steps=180)
    return apart(model, data.train, history.end)


def all_linear(model: nn.Module, inputs: Tensor, layers: tuple[str, ...]) -> Truth:
    """Return the truth that a network is an affine function of its inputs; raise if it is none."""
    first, second = inputs[: len(inputs) // 2 * 2].chunk(2)
    middle = made(model, (first.double() + second.double()) / 2)
    gap = (middle - (made(model, first) + made(model, second)) / 2).abs().max()
    require(float(gap) < 1e-9 * float(middle.abs().max() + 1), "the network is not linear")
    return Truth(layers)


def linear_mlp(trial: Trial) -> Truth:
    """Three linear layers with nothing between."""
    data = curves(trial.seed)
    model = mlp((8, 48, 48, 1), nn.Identity)
    fit(trial, model, data.train.batches(64), criterion=nn.MSELoss(), validation=data.held_out)
    return all_linear(model, data.train.inputs, ("fc1", "fc2", "head"))


def linear_cnn(trial: Trial) -> Truth:
    """Two convolutions with nothing between but a pooling behind them."""
    data = digits(trial.seed, flat=False)
    model = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3),
            conv2=nn.Conv2d(8, 16, 3),
            flatten=nn.Flatten(),
            fc=nn.Linear(256, 32),
            head=nn.Linear(32, 10),
        )
    )
    fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=1e-3), validation=data.held_out, steps=160)
    return all_linear(model, data.train.inputs, ("conv1", "conv2", "fc", "head"))


class Plain(nn.Module):
    """A recurrent network whose projection is two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 32), nn.Linear(32, 32)
        self.rnn, self.head = nn.GRU(32, 24, batch_first=True), nn.Linear(24, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores after the last place."""
        scores: Tensor = self.head(self.rnn(self.fc2(self.fc1(inputs)))[0][:, -1])
        return scores


def linear_projection(trial: Trial) -> Truth:
    """Two linear layers in front of a GRU with nothing between."""
    data = first_tokens(trial.seed, length=6)
    model = Plain()
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=3e-3), steps=180)
    part = nn.Sequential(model.fc1, model.fc2)
    return all_linear(part, data.train.inputs[:, 0], ("fc1", "fc2"))


_OUTPUT, _SCALE, _FEW, _WRONG = (
    ("wrong_output_or_loss",),
    ("input_unnormalised",),
    ("class_imbalance",),
    ("label_noise",),
)
_MODES, _LINEAR = ("train_eval_mismatch",), ("missing_nonlinearity",)

SCENARIOS = (
    Scenario("output-softmax-mlp", "mlp", TUNING, softmax_twice, _OUTPUT),
    Scenario("output-softmax-cnn", "cnn", TUNING, softmax_twice_cnn, _OUTPUT),
    Scenario("output-sigmoid-mlp", "mlp", TUNING, sigmoid_twice, _OUTPUT),
    Scenario("output-shares-transformer", "transformer", TUNING, shares_as_logarithms, _OUTPUT),
    Scenario("output-rectified-gru", "rnn", TUNING, rectified_scores, _OUTPUT),
    Scenario("output-bounded-mlp", "mlp", TUNING, bounded_regression, _OUTPUT),
    Scenario("output-broadcast-mlp", "mlp", TUNING, broadcast, _OUTPUT),
    Scenario("output-one-unit-mlp", "mlp", TUNING, softmax_of_one, _OUTPUT),
    Scenario("scale-patients-mlp", "mlp", TUNING, raw_patients, _SCALE),
    Scenario("scale-time-stamp-mlp", "mlp", TUNING, one_loud_feature, _SCALE),
    Scenario("scale-sensor-gru", "rnn", TUNING, loud_channel, _SCALE),
    Scenario("scale-identity-gcn", "gnn", TUNING, loud_node_feature, _SCALE),
    Scenario("few-mlp", "mlp", TUNING, few_of_a_digit, _FEW, ("overfitting",)),
    Scenario("few-cnn", "cnn", TUNING, few_of_a_picture, _FEW, ("overfitting",)),
    Scenario("wrong-labels-mlp", "mlp", TUNING, wrong_labels, _WRONG),
    Scenario("wrong-labels-cnn", "cnn", TUNING, wrong_labels_cnn, _WRONG),
    Scenario("wrong-labels-transformer", "transformer", TUNING, wrong_labels_transformer, _WRONG),
    Scenario("modes-slow-cnn", "cnn", TUNING, statistics_too_slow, _MODES),
    Scenario("modes-kinds-mlp", "mlp", TUNING, statistics_of_two_kinds, _MODES),
    Scenario("modes-scaled-cnn", "cnn", TUNING, scaled_in_evaluation, _MODES),
    Scenario("linear-mlp", "mlp", TUNING, linear_mlp, _LINEAR),
    Scenario("linear-cnn", "cnn", TUNING, linear_cnn, _LINEAR),
    Scenario("linear-projection-gru", "rnn", TUNING, linear_projection, _LINEAR, least=Severity.INFO),
)
