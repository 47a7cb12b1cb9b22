"""Faults of the first weights."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn

from tests.diagnosis.mutations.mutation import EFFECTS, Mutation, Site, need
from tests.diagnosis.mutations.places import FEWEST, MATRICES, Matrix, matrices

LOUD, FAINT = 10.0, 0.03
SUNK, SHARE_SUNK = 30.0, 0.9


def constant(site: Site) -> None:
    """Begin with weights that are all the same, so that the units of a layer can't come to differ."""
    found = matrices(site.model)
    need(len(found) >= 2, "hidden layer")
    with torch.no_grad():
        for matrix in found.values():
            matrix.weight.fill_(1 / matrix.weight[0].numel())
            if matrix.bias is not None:
                matrix.bias.zero_()


def scaled(factor: float) -> Callable[[Site], None]:
    """Return what multiplies the first weights of all layers."""

    def scale(site: Site) -> None:
        found = matrices(site.model)
        need(len(found) >= FEWEST, "depth")
        with torch.no_grad():
            for matrix in found.values():
                matrix.weight.mul_(factor)

    return scale


def dead(site: Site) -> None:
    """Begin with most units of a middle layer so far below zero that its ReLU lets nothing pass."""
    found = _before_relu(site.model)
    need(found, "layer in front of a ReLU")
    bias = found[len(found) // 2].bias
    assert bias is not None
    with torch.no_grad():
        bias[: max(1, int(SHARE_SUNK * len(bias)))] -= SUNK


def _before_relu(model: nn.Module) -> list[Matrix]:
    """Return the layers with a bias that a ReLU follows in an `nn.Sequential`."""
    rows = [list(module) for module in model.modules() if isinstance(module, nn.Sequential)]
    return [
        one
        for row in rows
        for one, following in pairwise(row)
        if isinstance(one, MATRICES) and one.bias is not None and isinstance(following, nn.ReLU)
    ]


MUTATIONS = (
    Mutation("start-constant", ("poor_init", "redundant_units"), EFFECTS, at_watch=constant),
    Mutation("start-loud", ("poor_init",), (*EFFECTS, "lr_too_low"), at_watch=scaled(LOUD)),
    Mutation("start-faint", ("poor_init", "vanishing_gradient"), EFFECTS, at_watch=scaled(FAINT)),
    Mutation(
        "start-dead",
        ("dead_units",),
        ("vanishing_gradient", "poor_init", "underfitting", "loss_plateau"),
        by_harm=False,
        at_watch=dead,
    ),
)
