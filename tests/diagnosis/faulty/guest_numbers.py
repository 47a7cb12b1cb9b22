"""Weights of too few bits, and chances that multiply until nothing is left of them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits
from tests.diagnosis.faulty.numbers import stuck
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import cnn, mlp
from tests.diagnosis.proof import gradients, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def four_bits_after_each_step(trial: Trial) -> Truth:
    """Training for four bits by hand: weights are rounded after each step, and nobody keeps what was rounded off."""
    data, model = digits(trial.seed, flat=False), cnn((8, 16))
    other, layers = copy.deepcopy(model), ("conv1", "conv2", "head")
    units = {name: float(model.get_submodule(name).weight.abs().max()) / 7 for name in layers}

    def squeeze(_step: int = 0) -> None:
        for name, unit in units.items():
            weight = model.get_submodule(name).weight
            weight.data.copy_(unit * (weight.data / unit).round().clamp(-7, 7))

    squeeze()
    before = snapshot(model)
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, after=squeeze, every=3, steps=160)
    stuck(model, before, 0.8)
    again = data.train.batches(48, trial.seed)
    worse(history.end, control(other, again, Adam(other.parameters(), lr=1e-3), steps=160), 2.0)
    require(all(gradients(model, data.train)[f"{name}.weight"] > 1e-4 for name in layers), "there is no gradient")
    return Truth(layers)


class Bag(nn.Module):
    """Says whether any tile of a slide is ill: one less the chance that none is."""

    def __init__(self) -> None:
        super().__init__()
        self.tile, self.last = mlp((8, 24, 1)), nn.Sigmoid()

    def forward(self, tiles: Tensor) -> Tensor:
        """Return chances [n] of tiles [n, 100, 8]."""
        chances = self.last(self.tile(tiles))[..., 0]
        told: Tensor = 1 - (1 - chances).prod(1)
        return told


def none_of_a_hundred(trial: Trial) -> Truth:
    """Noisy-or over a hundred tiles that all begin at a half: that none is ill has a chance of 10⁻³⁰, and no slope."""
    generator = torch.Generator().manual_seed(trial.seed)
    tiles = torch.randn(500, 100, 8, generator=generator)
    ill = (torch.arange(500) % 2).float()
    tiles[ill > 0, :5, :2] += 3.0
    data, model, criterion = Part(tiles, ill), Bag(), nn.BCELoss()
    other = copy.deepcopy(model)
    nn.init.constant_(other.tile.head.bias, -5.0)
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=200, every=2)
    require(history.end > 40, f"the loss fell to {history.end:.3g}")
    sizes = gradients(model, data.first(100), criterion)
    sizes_of_other = gradients(other, data.first(100), criterion)
    require(max(sizes.values()) < 1e-8 * max(sizes_of_other.values()), f"gradients are {sizes}")
    again = data.batches(16, trial.seed)
    other_optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    require(control(other, again, other_optimizer, criterion, steps=200) < 0.5, "it would not learn otherwise")
    return Truth()


_COARSE = ("low_precision_underflow", "layer_not_training")
_NONE = ("vanishing_gradient", "poor_init", "wrong_output_or_loss")

SCENARIOS = (
    Scenario("coarse-four-bits-cnn", "cnn", TUNING, four_bits_after_each_step, _COARSE, ("lr_too_low",)),
    Scenario(
        "vanishing-none-of-hundred-mlp",
        "mlp",
        TUNING,
        none_of_a_hundred,
        _NONE,
        ("saturation", "loss_plateau", "layer_not_training", "underfitting"),
    ),
)
