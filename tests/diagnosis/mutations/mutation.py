"""What a mutation is: one fault that is put into a healthy training, which then proves itself whether it did harm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any
from unittest import mock

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tb_netviz.pytorch import NetVizWriter
from tests.diagnosis.data import Part
from tests.diagnosis.mutations import splits
from tests.diagnosis.scenario import NotProvenError

EFFECTS = (
    "nonfinite",
    "loss_spike",
    "exploding_gradient",
    "dead_units",
    "loss_oscillation",
    "loss_plateau",
    "saturation",
    "vanishing_gradient",
    "representation_collapse",
    "redundant_units",
    "underfitting",
    "overfitting",
    "oversmoothing",
)
"""Rules that name what a fault does to a network, and are right beside nearly any cause."""


class Inapplicable(Exception):
    """A training has no place for a fault, or the fault did not come about in it."""


@dataclass(slots=True)
class Site:
    """Where a fault is put: what a training gives to its first `watch`, when it is about to.

    Attributes:
        model: The network.
        optimizers: Those given.
        criterion: The loss, where it is a module.
        schedules: Of all learning rates, as far as there are any yet.
        undo: What is done when the training is over. What is the training's own goes with it and may stay changed.
        missing: What has to happen yet for the fault to be one, in words; empty where it has.
    """

    model: nn.Module
    optimizers: tuple[Optimizer, ...]
    criterion: nn.Module | None
    schedules: tuple[LRScheduler, ...]
    undo: ExitStack
    missing: str = ""

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Groups of parameters of all optimizers.

        Raises:
            Inapplicable: If there are none.
        """
        need(self.optimizers, "an optimizer")
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def patch(self, owner: Any, name: str, new: Any) -> None:
        """Replace an attribute of something that outlives the training, as long as that runs."""
        self.undo.enter_context(mock.patch.object(owner, name, new))


@dataclass(frozen=True, slots=True)
class Mutation:
    """A fault that can be put into any training that has a place for it, at its `watch` or into its data.

    Attributes:
        name: Unique.
        rules: Ids of the rules that name the cause.
        beside: Ids of rules that are right as well, though they don't name that cause.
        by_harm: Whether it is a fault only where the healthy training no longer proves that it learned; otherwise it is
            one whatever comes of it.
        at_watch: Puts it into what is watched, or raises Inapplicable.
        at_split: Puts it into the part of the data that is trained on; exactly one of the two is given.
    """

    name: str
    rules: tuple[str, ...]
    beside: tuple[str, ...] = ()
    by_harm: bool = True
    at_watch: Callable[[Site], None] | None = None
    at_split: Callable[[Part], Part] | None = None


def need(there: object, words: str) -> None:
    """Raise Inapplicable unless it is there."""
    if not there:
        raise Inapplicable(f"there is no {words}")


@contextmanager
def put(mutation: Mutation) -> Iterator[None]:
    """Put a fault into the training that runs inside; afterwards everything that outlives it is as it was.

    Raises:
        Inapplicable: If the training has no place for the fault, or it did not come about.
    """
    with ExitStack() as undo:
        if mutation.at_split is not None:
            missing = splits.patch(mutation.at_split, undo)
        else:
            assert mutation.at_watch is not None
            missing = _patch_watch(mutation.at_watch, undo)
        try:
            yield
        except NotProvenError:
            need(not missing(), missing())  # Whatever it was that failed, it was not this fault.
            raise
        need(not missing(), missing())


def _patch_watch(fault: Callable[[Site], None], undo: ExitStack) -> Callable[[], str]:
    """Let the first `watch` put the fault; return what tells what is missing for it to be one."""
    original, schedules = NetVizWriter.watch, _schedules(undo)
    sites: list[Site] = []

    @wraps(original)
    def watch(
        writer: NetVizWriter,
        model: nn.Module,
        optimizer: Optimizer | Iterable[Optimizer] | None = None,
        criterion: nn.Module | None = None,
        **options: Any,
    ) -> Any:
        given = (optimizer,) if isinstance(optimizer, Optimizer) else tuple(optimizer or ())
        if not sites:
            sites.append(Site(model, given, criterion, tuple(schedules), undo))
            fault(sites[0])
        return original(writer, model, given or None, criterion, **options)

    undo.enter_context(mock.patch.object(NetVizWriter, "watch", watch))
    return lambda: sites[0].missing if sites else "model that is watched"


def _schedules(undo: ExitStack) -> list[LRScheduler]:
    """Return the list of the schedules that are made from now on."""
    original = LRScheduler.__init__
    made: list[LRScheduler] = []

    @wraps(original)
    def begin(schedule: LRScheduler, *arguments: Any, **keywords: Any) -> None:
        original(schedule, *arguments, **keywords)
        made.append(schedule)

    undo.enter_context(mock.patch.object(LRScheduler, "__init__", begin))
    return made
