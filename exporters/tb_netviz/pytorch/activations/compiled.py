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

from tb_netviz.pytorch.compiled import ABSENT, ALONE, KNOWN, NOTABLE, UNKNOWN, place_in_graph
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
    """A forward hook that knows of what runs in compiled code, too.

    Each kind is called by code of its own, and looks at nothing by which two of a kind differ: where torch.compile
    takes that code by itself, as it does with the hooks of the module that it was called for, it compiles it once.

    Args:
        gate: Says whether anything is measured.
        guard: Runs the functions.
        function: Takes what torch hands to a hook, outside compiled code.
        module: The module.
        follow: Takes the hooks of those modules that have made, in compiled code, the units that come next.
    """

    def __init__(
        self,
        gate: Gate,
        guard: Guard,
        function: Callable[..., None],
        module: nn.Module,
        follow: Callable[[Sequence[Ear]], None],
    ) -> None:
        super().__init__(gate, guard, function)
        self.module = weakref.ref(module)
        self._follow = follow
        number = next(_numbers)
        self._seat = torch.tensor([number])
        _ears[number] = self

    def hear(self, output: Tensor, makers: Sequence[Tensor]) -> None:
        """Take an output in compiled code, and the seats of what has made its units; none where that isn't known."""
        if self._gate.open and not is_capturing():
            self._guard.run(self._run_compiled, output, makers)

    def _listen(self, *args: Any) -> None:
        if self._gate.open and not is_capturing():
            self._guard.run(self._run, *args)

    def _run(self, *args: Any) -> None:
        self._follow(_trail.take())
        self._function(*args)

    def _run_compiled(self, output: Tensor, makers: Sequence[Tensor]) -> None:
        left = _trail.take()
        self._follow(_at(makers) if makers else left)
        self._heard(output)

    def _heard(self, _output: Tensor) -> None:
        """Do nothing with it."""


class Beginning(Ear):
    """The forward pre-hook of a model.

    Args:
        start: Called where a pass begins in compiled code.

    Attributes:
        has_begun: Whether a pass has begun, since this was last set, in compiled code that calls no operator.
    """

    def __init__(self, *args: Any, start: Callable[[], None]) -> None:
        super().__init__(*args)
        self._start = start
        self.has_begun = False

    def __call__(self, *args: Any) -> None:
        """Call the function, or have compiled code tell of the pass."""
        if not torch.compiler.is_compiling():
            self._listen(*args)
            return
        place = place_in_graph(True)
        if place in NOTABLE:
            _trail.seats = (self._seat,)
        if place == ALONE:
            self.has_begun = True
        elif place != ABSENT:
            torch.ops.netviz.hear.default(self._seat, self._seat, [], _turn)

    def _heard(self, _output: Tensor) -> None:
        self._start()


class Maker(Ear):
    """The hook of a module whose weights make units."""

    def __call__(self, *args: Any) -> None:
        """Call the function, or have compiled code note the module."""
        if not torch.compiler.is_compiling():
            self._listen(*args)
        elif place_in_graph(True) in NOTABLE:
            _trail.seats = (self._seat,)


class Changer(Ear):
    """The hook of a module that changes units by tensors of its own."""

    def __call__(self, *args: Any) -> None:
        """Call the function, or have compiled code note the module."""
        if not torch.compiler.is_compiling():
            self._listen(*args)
            return
        place = place_in_graph(True)
        if place == KNOWN:
            _trail.seats = (*_trail.seats, self._seat)
        elif place in NOTABLE:
            _trail.seats = (self._seat,)


class Teller(Ear):
    """The hook of an activation."""

    def __call__(self, *args: Any) -> None:
        """Call the function, or have compiled code call the operator."""
        if not torch.compiler.is_compiling():
            self._listen(*args)
            return
        output, place = args[2], place_in_graph(False)
        if place not in (ABSENT, ALONE) and type(output) is Tensor:
            makers = list(_trail.seats) if place == KNOWN else [self._seat] if place == UNKNOWN else []
            torch.ops.netviz.hear.default(output, self._seat, makers, _turn)

    def _heard(self, output: Tensor) -> None:
        module = self.module()
        if module is not None:
            self._function(module, (), output)


def _at(seats: Sequence[Tensor]) -> list[Ear]:
    return [ear for seat in seats if (ear := _ears.get(int(seat))) is not None]


def _hear(output: Tensor, seat: Tensor, makers: Sequence[Tensor], _written: Tensor) -> None:
    ear = _ears.get(int(seat))
    if ear is not None:
        ear.hear(output, makers)


def _imagine(*_arguments: object) -> None:
    """Stand in for the operator where shapes are all there is."""


_library: Any = torch.library.Library("netviz", "DEF")  # type: ignore[no-untyped-call]  # In torch.
_library.define("hear(Tensor output, Tensor seat, Tensor[] makers, Tensor(a!) turn) -> ()", tags=_TAGS)
_library.impl("hear", _hear, "CompositeExplicitAutograd")
_library.impl("hear", _imagine, "Meta")
_library.impl("hear", torch.library.fallthrough_kernel, "Autograd")
