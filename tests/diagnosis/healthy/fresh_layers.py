"""Healthy MLPs whose layers are out of the ordinary."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import generalises, learned, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


class Maxout(nn.Module):
    """Of three linear layers the largest output at each place; the other two have no gradient there."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pieces = nn.Linear(inputs, 3 * outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, outputs]."""
        told: Tensor = self.pieces(inputs).unflatten(1, (-1, 3)).amax(2)
        return told


def maxout(trial: Trial) -> None:
    """Two layers of maxout, without another activation."""
    data = digits(trial.seed)
    model = nn.Sequential(Maxout(64, 32), Maxout(32, 32), nn.Linear(32, 10))
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    history = fit(trial, model, data.train.batches(64), optimizer, validation=data.held_out)
    sound(model, data.held_out, 0.93, history)


class Fixed(nn.Module):
    """A residual block after Fixup: no normalisation, the last layer at zero, scalars around each layer."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.up, self.act, self.down = (
            nn.Linear(width, width, bias=False),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
        )
        nn.init.kaiming_normal_(self.up.weight)
        nn.init.zeros_(self.down.weight)
        with torch.no_grad():
            self.up.weight.mul_(blocks**-0.5)
        self.shifts, self.scale = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.ones(1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs with what the block adds."""
        hidden = self.act(self.up(inputs + self.shifts[0]) + self.shifts[1])
        told: Tensor = inputs + self.scale * self.down(hidden + self.shifts[2]) + self.shifts[3]
        return told


def fixup(trial: Trial) -> None:
    """Six blocks after Fixup, and a head of zeros: at the first step nothing but the head has a gradient."""
    data = digits(trial.seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), *[Fixed(32, 6) for _ in range(6)], nn.Linear(32, 10))
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    optimizer = Adam(model.parameters(), lr=2e-3)
    history = fit(trial, model, data.train.batches(64), optimizer, validation=data.held_out, steps=180)
    sound(model, data.held_out, 0.92, history)


class Skipped(nn.Module):
    """A residual block that is left out of some steps; it has no gradient then."""

    def __init__(self, width: int, kept: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.kept = kept

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs, with what the body adds if it is its turn."""
        if not self.training:
            told: Tensor = inputs + self.kept * self.body(inputs)
            return told
        return inputs + self.body(inputs) if float(torch.rand(())) < self.kept else inputs


def stochastic_depth(trial: Trial) -> None:
    """Six blocks, of which the last is left out of half of the steps."""
    data = digits(trial.seed)
    blocks = [Skipped(48, 1 - 0.5 * number / 6) for number in range(1, 7)]
    model = nn.Sequential(nn.Linear(64, 48), *blocks, nn.Linear(48, 10))
    optimizer = Adam(model.parameters(), lr=1e-3)
    history = fit(trial, model, data.train.batches(64), optimizer, validation=data.held_out, steps=200)
    sound(model, data.held_out, 0.9, history)


class Coarse(nn.Linear):
    """A linear layer whose weights are rounded to seven values on the way, as if that had no slope but 1."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, outputs]."""
        unit = self.weight.detach().abs().amax() / 3
        rounded = (self.weight / unit).round() * unit
        return nn.functional.linear(inputs, self.weight + (rounded - self.weight).detach(), self.bias)


def quantised(trial: Trial) -> None:
    """Training that knows of the quantisation to come: a weight may move and its rounded value stay."""
    data = digits(trial.seed)
    model = nn.Sequential(Coarse(64, 64), nn.ReLU(), Coarse(64, 64), nn.ReLU(), Coarse(64, 10))
    optimizer = Adam(model.parameters(), lr=2e-3)
    history = fit(trial, model, data.train.batches(64), optimizer, validation=data.held_out)
    sound(model, data.held_out, 0.93, history)


class Sine(nn.Module):
    """The sine of ten times a number."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what has the shape of the inputs."""
        return (10 * inputs).sin()


def picture_as_function(trial: Trial) -> None:
    """SIREN: a picture as a function of place, by sines and weights of a hundredth; a batch is the whole picture."""
    data = digits(trial.seed, flat=False)
    picture = nn.functional.interpolate(data.train.inputs[:1], size=(20, 20), mode="bicubic")
    line = torch.linspace(-1, 1, 20)
    part = Part(torch.cartesian_prod(line, line), picture.reshape(400, 1))
    model = mlp((2, 48, 48, 48, 1), Sine)
    for number, layer in enumerate(one for one in model if isinstance(one, nn.Linear)):
        bound = (6 / layer.in_features) ** 0.5 / 10 if number else 0.5
        nn.init.uniform_(layer.weight, -bound, bound)
    optimizer = Adam(model.parameters(), lr=1e-3)
    history = fit(trial, model, lambda _step: (part.inputs, part.targets), optimizer, nn.MSELoss(), steps=220)
    error = history.end / float(part.targets.var())
    require(error < 0.02, f"the error is {error:.3g} of the variance")


class TwoStages(nn.Module):
    """An encoder under a decoder at first, and under a classifier then."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode, self.head = mlp((64, 64, 24)), mlp((24, 64, 64)), nn.Linear(24, 10)
        self.labelled = False

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores, or reconstructions before there are labels."""
        made: Tensor = (self.head if self.labelled or not self.training else self.decode)(self.encode(inputs).tanh())
        return made


def labels_late(trial: Trial) -> None:
    """Reconstruction for 150 steps, classes then: the head rests at first, and the decoder in the end."""
    data, model = digits(trial.seed), TwoStages()
    draw = data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        model.labelled = step >= 150
        return inputs, targets if model.labelled else inputs

    def criterion(made: Tensor, targets: Tensor) -> Tensor:
        return (nn.functional.cross_entropy if model.labelled else nn.functional.mse_loss)(made, targets)

    history = fit(trial, model, batches, Adam(model.parameters(), lr=2e-3), criterion, steps=300)
    early = sum(history.train[140:150]) / 10
    require(early < 0.7 * history.train[0] and history.train[150] > 1.5, "the first stage has not learned")
    learned(model, data.held_out, 0.9)


def pruned(trial: Trial) -> None:
    """Four fifths of the weights of two layers are cut away at step 140 for good; the loss rises, and falls again."""
    data = digits(trial.seed)
    model = mlp((64, 96, 96, 10))

    def cut(step: int) -> None:
        if step == 140:
            for layer in (model.fc1, model.fc2):
                prune.l1_unstructured(layer, "weight", amount=0.8)

    history = fit(trial, model, data.train.batches(64), before=cut, validation=data.held_out, steps=260)
    require(float((model.fc1.weight == 0).double().mean()) > 0.75, "nothing was cut away")
    learned(model, data.held_out, 0.94)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-maxout-mlp", "mlp", TUNING, maxout),
    Scenario("healthy-fixup-mlp", "mlp", TUNING, fixup),
    Scenario("healthy-stochastic-depth-mlp", "mlp", TUNING, stochastic_depth),
    Scenario("healthy-quantised-mlp", "mlp", TUNING, quantised),
    Scenario("healthy-sine-mlp", "mlp", TUNING, picture_as_function),
    Scenario("healthy-labels-late-mlp", "mlp", TUNING, labels_late),
    Scenario("healthy-pruned-mlp", "mlp", TUNING, pruned),
)
