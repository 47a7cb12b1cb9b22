"""Faults of the ends: outputs that do not go with their loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from tests.diagnosis.mutations.mutation import EFFECTS, Mutation, Site, need

REGRESSIONS = (nn.MSELoss, nn.SmoothL1Loss, nn.L1Loss, nn.HuberLoss)


def in_front_of(loss: type[nn.Module], squash: Callable[[Tensor], Tensor]) -> Callable[[Site], None]:
    """Return what squashes the scores in front of a loss that does so itself."""

    def squashed(site: Site) -> None:
        need(isinstance(site.criterion, loss), loss.__name__)
        assert site.criterion is not None
        site.missing = f"{loss.__name__} that is called"

        def hook(_criterion: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            if not arguments:
                return arguments
            site.missing = ""
            return (squash(arguments[0]), *arguments[1:])

        site.criterion.register_forward_pre_hook(hook)

    return squashed


def above_zero(site: Site) -> None:
    """End a regression in a ReLU."""
    need(isinstance(site.criterion, REGRESSIONS), "regression")
    site.missing = "output that is one tensor"

    def hook(_model: nn.Module, _inputs: object, outputs: Any) -> Any:
        if not isinstance(outputs, Tensor):
            return outputs
        site.missing = ""
        return outputs.relu()

    site.model.register_forward_hook(hook)


def _shares(scores: Tensor) -> Tensor:
    return scores.softmax(1 if scores.dim() > 1 else 0)


MUTATIONS = (
    Mutation(
        "output-softmax",
        ("wrong_output_or_loss",),
        EFFECTS,
        by_harm=False,
        at_watch=in_front_of(nn.CrossEntropyLoss, _shares),
    ),
    Mutation(
        "output-sigmoid",
        ("wrong_output_or_loss",),
        EFFECTS,
        by_harm=False,
        at_watch=in_front_of(nn.BCEWithLogitsLoss, Tensor.sigmoid),
    ),
    Mutation("output-relu", ("wrong_output_or_loss",), EFFECTS, at_watch=above_zero),
)
