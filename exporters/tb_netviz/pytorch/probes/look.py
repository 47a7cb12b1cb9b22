"""A look at what a model makes of inputs, beside its training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Generic, Protocol, TypeVar

from torch import Tensor, nn

from tb_netviz.pytorch.probes.alone import alone
from tb_netviz.pytorch.probes.stopwatch import Stopwatch
from tb_netviz.pytorch.probes.undisturbed import undisturbed
from tb_netviz.pytorch.shards import is_spread_over_processes

SPREAD = "the model is spread over processes, as by FSDP, and one process can't run it alone"


class OnItsWay(Protocol):
    """What was seen, which may still be on its way to the host."""

    @property
    def ready(self) -> bool:
        """Whether nothing of it would have to be waited for."""


Seen = TypeVar("Seen", bound=OnItsWay)


class Look(Generic[Seen]):
    """A pass over inputs, for one probe or for several that have the same. Once made, it holds only what was seen.

    Args:
        model: The model.
        tensors: The inputs.
        run: Runs the model, without its wrappers, and returns what is seen of it.
        sharers: How many probes it is for.
    """

    def __init__(
        self, model: nn.Module, tensors: Iterable[Tensor], run: Callable[[nn.Module], Seen], sharers: int = 1
    ) -> None:
        self._make = partial(_run_beside, model, tuple(tensors), run)
        self._sharers = sharers

    @property
    def seen(self) -> Seen:
        """What is seen. Whoever asks first has the model run; where that fails, the next one tries again.

        Raises:
            RuntimeError: If the model is spread over processes. Whatever the model raises is raised, too.
        """
        return self._pass[0]

    @property
    def ready(self) -> bool:
        """Whether taking what was seen would not wait."""
        return all(part.ready for part in self._pass)

    @property
    def seconds(self) -> float:
        """What it took of each sharer, after waiting for it if need be."""
        return self._pass[1].seconds / self._sharers

    @cached_property
    def _pass(self) -> tuple[Seen, Stopwatch]:
        made = self._make()
        del self._make  # It holds the model, which may be on a GPU that is wanted for something else.
        return made


def _run_beside(
    model: nn.Module, tensors: Sequence[Tensor], run: Callable[[nn.Module], Seen]
) -> tuple[Seen, Stopwatch]:
    """Run a model beside its training, and return what is seen of it and what it takes."""
    if is_spread_over_processes(model):
        raise RuntimeError(SPREAD)
    watch = Stopwatch({tensor.device for tensor in (*model.parameters(), *tensors)})
    with alone(), undisturbed(model, tensors) as root:
        seen = run(root)
    watch.stop()
    return seen, watch
