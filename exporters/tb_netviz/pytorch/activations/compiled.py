"""Hooks that torch.compile traces: compiled code tells of outputs through an operator of ours.

A hook that looked at a gate while it is traced would cost a second graph, and one that measured would break the graph.
The operator looks at the gate when it runs. What tells the modules apart is a tensor of each hook, its seat: layers
that share compiled code bring their own, while a number would be compiled in.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tb_netviz.pytorch.compiled import ABSENT, FIRST, KNOWN, UNKNOWN, place_in_graph
from tb_netviz.pytorch.hooks import Gate, GatedHook, Guard, is_capturing

_TAGS = tuple(
    getattr(torch.Tag, name)
    for name in ("pt2_compliant_tag", "flexible_layout", "cudagraph_unsafe")
    if hasattr(torch.Tag, name)
)


class _Trail:
    """What makes the units that come next, as far as compiled code knows; of all models, since it is compiled in.

    Attributes:
        seats: That of the module with weights that ran last, and those of what ran behind it; empty once they are read.
    """

    def __init__(self) -> None:
        self.seats: tuple[Tensor, ...] = ()

    def take(self) -> list[Ear]:
        """Return the hooks of these modules, once."""
        seats, self.seats = self.seats, ()
        return _at(seats)


_trail = _Trail()
_numbers = itertools.count()
_ears: weakref.WeakValueDictionary[int, Ear] = weakref.WeakValueDictionary()
_turn = torch.zeros(1)
"""Said to be written by the operator, which keeps the calls, and their order."""


class Ear(GatedHook):
    """A forward hook that does the same in compiled code as outside of it, where it can.

    Args:
        gate: Says whether anything is measured.
        guard: Runs the functions.
        function: Takes what torch hands to a hook, outside compiled code.
        module: The module.
        follow: Takes the hooks of those modules that have made, in compiled code, the units that come next.
        heard: Takes the output in compiled code; None where it isn't wanted.
        makes: Whether units are made anew: by weights, or by the beginning of a pass.
        changes: Whether units are changed, by weights or otherwise.
    """

    def __init__(
        self,
        gate: Gate,
        guard: Guard,
        function: Callable[..., None],
        module: nn.Module,
        follow: Callable[[Sequence[Ear]], None],
        heard: Callable[[Tensor], None] | None = None,
        *,
        makes: bool = False,
        changes: bool = False,
    ) -> None:
        super().__init__(gate, guard, function)
        self.module = weakref.ref(module)
        self._follow = follow
        self._heard = heard
        self._tells = heard is not None
        self._makes = makes
        self._changes = makes or changes
        number = next(_numbers)
        self._seat = torch.tensor([number])
        _ears[number] = self

    def __call__(self, *args: Any) -> None:
        """Call the function with what torch hands over, or have compiled code call the operator."""
        if torch.compiler.is_compiling():
            self._trace(args[-1] if len(args) > 2 else self._seat)  # A pre-hook has no output.
        elif self._gate.open and not is_capturing():
            self._guard.run(self._run, *args)

    def hear(self, output: Tensor, makers: Sequence[Tensor]) -> None:
        """Take an output in compiled code."""
        if self._heard is not None and self._gate.open and not is_capturing():
            self._guard.run(self._run_compiled, output, makers)

    def _trace(self, output: Any) -> None:
        place = place_in_graph(self._changes)
        if place == ABSENT:
            return
        before = _trail.seats if place == KNOWN else ()
        if self._changes and place != UNKNOWN:
            _trail.seats = (self._seat,) if self._makes else (*before, self._seat)
        if self._tells and type(output) is Tensor:
            makers = [self._seat] if place == UNKNOWN else list(before)
            torch.ops.netviz.hear.default(output, self._seat, makers, _turn)

    def _run(self, *args: Any) -> None:
        self._follow(_trail.take())
        self._function(*args)

    def _run_compiled(self, output: Tensor, makers: Sequence[Tensor]) -> None:
        assert self._heard is not None
        self._follow(_at(makers) if makers else _trail.take())
        self._heard(output)


def _at(seats: Sequence[Tensor]) -> list[Ear]:
    return [ear for seat in seats if (ear := _ears.get(int(seat))) is not None]


def _hear(output: Tensor, seat: Tensor, makers: Sequence[Tensor], _written: Tensor) -> None:
    ear = _ears.get(int(seat))
    if ear is not None:
        ear.hear(output, makers)


def _imagine(*_arguments: object) -> None:
    """Stand in for the operator where shapes are all there is."""


_library = torch.library.Library("netviz", "DEF")
_library.define("hear(Tensor output, Tensor seat, Tensor[] makers, Tensor(a!) turn) -> ()", tags=_TAGS)
_library.impl("hear", _hear, "CompositeExplicitAutograd")
_library.impl("hear", _imagine, "Meta")
_library.impl("hear", torch.library.fallthrough_kernel, "Autograd")
