"""What an integration holds from the beginning of a training to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from tb_netviz.pytorch.attach import watch
from tb_netviz.pytorch.run import run_of
from tb_netviz.pytorch.writer import NetVizWriter


class Session:
    """A model that is watched through a writer, which is ours to fill and to close or belongs to someone else.

    Args:
        writer: A NetVizWriter or any other torch SummaryWriter.
        owned: Whether scalars are to be added to the writer, and it is to be closed at the end. Otherwise they are
            in its file already, and only our tab has yet to hear of them.
        model: The model.
        optimizers: Those that train it.
        step: Returns the number of the training step.
        options: As for `tb_netviz.pytorch.watch`.

    Attributes:
        writer: As given.
    """

    def __init__(
        self,
        writer: Any,
        model: nn.Module,
        optimizers: Optimizer | Iterable[Optimizer] | None,
        step: Callable[[], int],
        *,
        owned: bool,
        **options: Any,
    ) -> None:
        self.writer = writer
        self._owned = owned
        self._watch = watch(model, optimizers, writer=writer, step=step, **options)

    def log(self, name: str, value: float, step: int) -> None:
        """Take a scalar that the library logs at `step`; in the first process of a distributed run only."""
        if self._owned:
            self.writer.add_scalar(name, value, step)
        elif not isinstance(self.writer, NetVizWriter):  # That one has heard it already.
            run_of(self.writer).hear(name, value, step, None)

    def close(self) -> None:
        """Detach, and close the writer if it is ours."""
        self._watch.detach()
        if self._owned:
            self.writer.close()
