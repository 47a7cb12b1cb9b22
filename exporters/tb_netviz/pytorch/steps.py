"""Which training step is in progress."""

from __future__ import annotations

from collections.abc import Callable


class StepCounter:
    """The index of the optimizer step in progress, from 0.

    It moves on with the first training-mode forward pass after an optimizer's step, so that whatever is logged before
    or after `optimizer.step()` gets the number under which that step is recorded. Without a forward pass it moves on
    when an optimizer steps again; several optimizers in turn share a step. Where the user numbers the steps, it moves
    on with that number. A step that a loss scaler leaves out takes a number, too, although that is only known when the
    optimizer steps again.

    Attributes:
        forwarded: Set by the forward hook, which does nothing else: torch.compile traces it into the graph, where an
            assignment costs neither a graph break nor a recompilation.
        evaluated: Set by a forward pass in eval mode; it says that the time since the last step was not all training.
    """

    def __init__(self, user_step: Callable[[], int] | None = None) -> None:
        self.forwarded = False
        self.evaluated = False
        self._user_step = user_step
        self._number = 0  # The user's, of the step that began last.
        self._ordinal = 0
        self._stepped: set[int] = set()
        self._left_out = range(0)
        self._last: dict[int, int] = {}  # By the id of an optimizer, the ordinal of its last step.

    @property
    def ordinal(self) -> int:
        """How many training steps have ended, whatever their numbers."""
        self._move_on(self.forwarded and self._user_step is None)
        return self._ordinal

    @property
    def index(self) -> int:
        """Number of the step in progress: the ordinal, or the user's own."""
        return self.ordinal if self._user_step is None else int(self._user_step())

    def begin(self, optimizer: object, left_out: int = 0) -> int:
        """Return the step to which the step of `optimizer` that begins now belongs.

        Args:
            optimizer: The optimizer.
            left_out: How many of its steps were left out just before this one.
        """
        number = 0 if self._user_step is None else int(self._user_step())
        another = self.forwarded if self._user_step is None else number != self._number
        self._number = number
        self._move_on(another or id(optimizer) in self._stepped)
        first = self._last.get(id(optimizer), -1) + 1
        self._left_out = range(first, first + left_out)
        if left_out:
            self._ordinal = max(self._ordinal, first + left_out)
        self._last[id(optimizer)] = self._ordinal
        return self._ordinal if self._user_step is None else number

    @property
    def begun(self) -> bool:
        """Whether any step has begun."""
        return bool(self._last)

    def left_out(self, index: int) -> list[int]:
        """Return the numbers of the steps that were left out just before the step `index`, which began last."""
        return [max(0, index - self._ordinal + ordinal) for ordinal in self._left_out]

    def done(self, optimizer: object) -> None:
        """Note that `optimizer` has stepped."""
        self._stepped.add(id(optimizer))
        self.forwarded = False

    def _move_on(self, condition: bool) -> None:
        if condition and self._stepped:
            self._ordinal += 1
            self._stepped.clear()
