"""Networks that are linear although they have many layers."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Split, digits, split
from tests.diagnosis.faulty.outputs import all_linear
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.proof import loss_of
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def normed_cnn(trial: Trial) -> Truth:
    """Three convolutions, each with batch norm and none with an activation."""
    data = digits(trial.seed, flat=False)
    layers: dict[str, nn.Module] = {}
    for number, (inputs, made) in enumerate(((1, 8), (8, 16), (16, 16)), start=1):
        layers[f"conv{number}"] = nn.Conv2d(inputs, made, 3, padding=1, bias=False)
        layers[f"bn{number}"] = nn.BatchNorm2d(made)
    layers |= {"pool": nn.AvgPool2d(2), "flatten": nn.Flatten(), "fc": nn.Linear(256, 10)}
    model = nn.Sequential(OrderedDict(layers))
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    schedule, draw = CosineAnnealingLR(optimizer, 160), data.train.batches(32)
    fit(trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, steps=160)
    return all_linear(model, data.train.inputs, ("conv1", "conv2", "conv3", "fc"))


class Tutorial(nn.Module):
    """A recurrent network of two linear layers, as in a tutorial of old."""

    def __init__(self, *, curved: bool) -> None:
        super().__init__()
        self.i2h, self.i2o, self.curved = nn.Linear(2 + 32, 32), nn.Linear(2 + 32, 2), curved

    def forward(self, series: Tensor) -> Tensor:
        """Return scores [n, 2] of [n, length, 2]."""
        hidden = series.new_zeros(len(series), 32)
        for given in series.unbind(1):
            both = torch.cat([given, hidden], 1)
            scores: Tensor = self.i2o(both)
            hidden = self.i2h(both).tanh() if self.curved else self.i2h(both)
        return scores


def agreements(seed: int, count: int = 1200) -> Split:
    """Return series [n, 6, 2] whose second number marks two places, and whether their signs are the same."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (count, 6), generator=generator)
    marks = torch.zeros(count, 6)
    marks[:, [0, 3]] = 1
    values = 2.0 * signs - 1 + 0.2 * torch.randn(count, 6, generator=generator)
    return split(torch.stack([values, marks], 2), (signs[:, 0] == signs[:, 3]).long(), 200, seed)


def tutorial(trial: Trial) -> Truth:
    """The state of a recurrent network passes no activation: what it says is linear in all that it has read."""
    data = agreements(trial.seed)
    model = Tutorial(curved=False)
    other = copy.deepcopy(model)
    other.curved = True
    optimizer = Adam(model.parameters(), lr=5e-3)
    fit(trial, model, data.train.batches(64), optimizer, validation=data.held_out, every=2, steps=300)
    better = control(other, data.train.batches(64), Adam(other.parameters(), lr=5e-3), steps=300)
    worse(loss_of(model, data.train), better, 1.5)
    return all_linear(model, data.train.inputs, ("i2h", "i2o"))


_LINEAR = ("missing_nonlinearity",)

SCENARIOS = (
    Scenario("linear-normed-cnn", "cnn", TUNING, normed_cnn, _LINEAR),
    Scenario("linear-tutorial-rnn", "rnn", TUNING, tutorial, _LINEAR, ("underfitting", "loss_plateau")),
)
