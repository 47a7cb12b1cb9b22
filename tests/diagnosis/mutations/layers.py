"""Faults of what stands between the matrices: nothing that bends, too much dropout, averages that hardly move."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from tests.diagnosis.mutations.mutation import EFFECTS, Mutation, Site, need
from tests.diagnosis.mutations.places import middle

BENDING = (nn.ReLU, nn.GELU, nn.ELU, nn.LeakyReLU, nn.SiLU, nn.Tanh)
FUNCTIONS = {
    functional: ("relu", "gelu", "elu", "leaky_relu", "silu", "tanh"),
    torch: ("relu", "tanh"),
    Tensor: ("relu", "tanh"),
}
DROPPED = 0.95
MOMENTUM = 1e-4


def linear(site: Site) -> None:
    """Take activations out: the modules of the network, and the functions that are called in its forward pass."""
    children = [(parent, name, one) for parent in site.model.modules() for name, one in parent.named_children()]
    bending = [(parent, name) for parent, name, one in children if isinstance(one, BENDING)]
    for parent, name in bending:
        parent.add_module(name, nn.Identity())
    site.missing = "" if bending else "activation"
    passes: list[None] = []  # Those that are under way: other networks keep their activations.

    def enter(_model: nn.Module, _inputs: object) -> None:
        passes.append(None)

    def leave(_model: nn.Module, _inputs: object, _outputs: object) -> None:
        passes.pop()

    site.model.register_forward_pre_hook(enter)
    site.model.register_forward_hook(leave, always_call=True)
    for owner, names in FUNCTIONS.items():
        for name in names:
            site.patch(owner, name, _straight(site, passes, getattr(owner, name)))


def _straight(site: Site, passes: list[None], original: Any) -> Any:
    """Return a function that gives back what it gets in the network's forward pass."""

    def straight(values: Tensor, *arguments: Any, **keywords: Any) -> Any:
        if not passes:
            return original(values, *arguments, **keywords)
        site.missing = ""
        return values

    return straight


def dropout_raised(site: Site) -> None:
    """Let the dropout that there is leave a twentieth."""
    found = [module for module in site.model.modules() if isinstance(module, (nn.Dropout, nn.Dropout2d))]
    need(found, "dropout")
    for module in found:
        module.p = DROPPED


def dropout_added(site: Site) -> None:
    """Put dropout that leaves a twentieth behind the layer in the middle."""
    name, matrix = middle(site)
    parent, _, child = name.rpartition(".")
    site.model.get_submodule(parent).add_module(child, nn.Sequential(matrix, nn.Dropout(DROPPED)))


def averages_stay(site: Site) -> None:
    """Let the running averages of batch norms stay about where they begin."""
    found = [module for module in site.model.modules() if isinstance(module, _BatchNorm)]
    need(found, "batch norm")
    for module in found:
        module.momentum = MOMENTUM


MUTATIONS = (
    Mutation("linear", ("missing_nonlinearity",), ("underfitting",), by_harm=False, at_watch=linear),
    Mutation("dropout-raised", ("over_regularised",), EFFECTS, at_watch=dropout_raised),
    Mutation("dropout-added", ("over_regularised",), EFFECTS, at_watch=dropout_added),
    Mutation("averages-stay", ("train_eval_mismatch",), ("overfitting",), at_watch=averages_stay),
)
