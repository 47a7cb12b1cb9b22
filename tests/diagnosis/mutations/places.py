"""Finds the layers that a fault is put into."""

from __future__ import annotations

from torch import Tensor, nn

from tests.diagnosis.mutations.mutation import Site, need

MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d)
FEWEST = 3
"""Matrices that a network has, where one of them is to be in its middle."""

Matrix = nn.Linear | nn.Conv1d | nn.Conv2d


def matrices(model: nn.Module) -> dict[str, Matrix]:
    """Return by name the layers whose weights are multiplied with, are trained, and are parameters of their own."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, MATRICES) and isinstance(module.weight, nn.Parameter) and module.weight.requires_grad
    }


def stepped(site: Site) -> dict[str, Matrix]:
    """Return those that an optimizer holds, of which there are so many that one is in the middle."""
    held = {id(parameter) for group in site.groups for parameter in group["params"]}
    found = {name: matrix for name, matrix in matrices(site.model).items() if id(matrix.weight) in held}
    need(len(found) >= FEWEST, "layer in the middle")
    return found


def middle(site: Site) -> tuple[str, Matrix]:
    """Return the one in the middle, and its name."""
    found = list(stepped(site).items())
    return found[len(found) // 2]


def is_measured(value: object) -> bool:
    """Return whether it is a batch of numbers, rather than of tokens, or one number for all."""
    return isinstance(value, Tensor) and value.is_floating_point() and value.dim() >= 2
