"""What a library's training should have applied, computed beside it."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from tests.support.watching import Recording

LR = 0.1
CLIP = 0.05
"""So small that every gradient here is clipped."""


def norm(tensor: torch.Tensor) -> float:
    return float(tensor.double().square().sum().sqrt())


class Witness(torch.optim.Optimizer):
    """Plain SGD that notes, in float64, what it applies.

    Attributes:
        applied: The norm of each parameter's gradient, for each step.
    """

    def __init__(self, parameters, lr=LR):
        super().__init__(parameters, {"lr": lr})
        self.applied: list[dict[int, float]] = []

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        self.applied.append({id(parameter): norm(parameter.grad) for parameter in parameters})
        for parameter in parameters:
            parameter.add_(parameter.grad, alpha=-self.param_groups[0]["lr"])
        return loss

    def gradient_norms(self, model: nn.Module) -> list[dict[str, float]]:
        """Return the norm of the gradient of each parameter, for each step."""
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        return [{names[key]: value for key, value in step.items()} for step in self.applied]


def by_hand(model, loss_of, batches, *, accumulate, clip=CLIP, lr=LR):
    """Train a copy of `model` in float64; return the norms of the applied gradients for each step, and the copy.

    Args:
        model: As it was before training.
        loss_of: Takes the copy and a batch.
        batches: All batches in order.
        accumulate: Batches for one step.
        clip: Largest norm of all gradients together.
        lr: The learning rate.
    """
    model = copy.deepcopy(model).double()
    named = dict(model.named_parameters())
    steps = []
    for start in range(0, len(batches), accumulate):
        together = batches[start : start + accumulate]
        loss = sum(loss_of(model, batch) for batch in together) / len(together)
        gradients = torch.autograd.grad(loss, list(named.values()))
        factor = min(1.0, clip / np.sqrt(sum(norm(gradient) ** 2 for gradient in gradients)))
        steps.append({name: factor * norm(gradient) for name, gradient in zip(named, gradients, strict=True)})
        with torch.no_grad():
            for parameter, gradient in zip(named.values(), gradients, strict=True):
                parameter.sub_(lr * factor * gradient)
    return steps, model


def assert_recorded(recording: Recording, steps: list[int], expected: list[dict[str, float]], relative=2e-5):
    """Assert that the gradients recorded at `steps` are those expected, and that the updates follow from them."""
    assert sorted(recording.tables) == steps
    for step, norms in zip(steps, expected, strict=True):
        table = recording.tables[step]
        assert table.keys() == norms.keys()
        for name, value in norms.items():
            row = table[name]
            rounding = 1e-7 * row["weight_norm"]  # Of weights, which are large beside their updates.
            np.testing.assert_allclose(row["grad_norm"], value, rtol=relative, atol=1e-9, err_msg=name)
            np.testing.assert_allclose(row["update_norm"], LR * value, rtol=relative, atol=rounding, err_msg=name)


def clipped(norms: dict[str, float]) -> bool:
    """Whether all gradients together are as large as clipping lets them be."""
    return bool(abs(np.sqrt(sum(value**2 for value in norms.values())) / CLIP - 1) < 1e-4)


def hooks_of(model: nn.Module) -> list[object]:
    """Return the hooks that are on `model` and its modules."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [hook for module in model.modules() for kind in kinds for hook in getattr(module, kind).values()]


def hooks_on_step(optimizer: torch.optim.Optimizer) -> list[object]:
    """Return the hooks that are on the step of `optimizer`."""
    return [*optimizer._optimizer_step_pre_hooks.values(), *optimizer._optimizer_step_post_hooks.values()]


def assert_equal_weights(model: nn.Module, other: nn.Module):
    """Assert that two models hold the same, bit by bit."""
    states = model.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def losses(recording: Recording, role: str) -> dict[str, list[int]]:
    """Return the steps of each metric of a role."""
    found = {
        name: [step for its_role, step, _ in records if its_role == role] for name, records in recording.metrics.items()
    }
    return {name: steps for name, steps in found.items() if steps}
