"""The places in the forward pass where outputs are measured, as they are met."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import Tensor, nn

from tb_netviz.pytorch.activations.makers import Makers
from tb_netviz.pytorch.activations.outputs import Layout
from tb_netviz.pytorch.activations.readings import Readings
from tb_netviz.pytorch.activations.responses import Bend
from tb_netviz_plugin.schema.description import Activation

MOST_CALLS = 8
"""Calls of a module in a pass, or of a function at a place, that are kept apart; the last is all that follow, too."""
MOST_LINEAR_UNITS = 256
"""Units of an output without a bend that are recorded; those of a vocabulary would crowd out the others."""


class Place(NamedTuple):
    """Where a function is called.

    Attributes:
        function: Its name.
        code: Identity of the calling code and the instruction in it.
        line: Such as "net.py:41".
    """

    function: str
    code: tuple[int, int]
    line: str


class Key(NamedTuple):
    """What tells one site from another: a module, its how-manieth call in a pass, and the call of a function in it."""

    module: int
    call: int
    code: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Site:
    """A place where outputs are measured.

    Attributes:
        name: Unique in the model.
        module: Name of the module, or of that in which the function is called.
        kind: The module's type, or the function.
        bend: What its units do.
        layout: Where its units lie.
        shape: Shape of the first output that was seen.
        source: Name of the module whose weights make the units, or None.
        makers: That module and those behind it, where it is known.
        line: Where the function is called.
        dtype: Element type of the first output that was seen.
    """

    name: str
    module: str
    kind: str
    bend: Bend
    layout: Layout
    shape: tuple[int, ...]
    source: str | None
    makers: Makers = ()
    line: str = ""
    dtype: str = ""

    @property
    def units(self) -> int:
        """How many units it has."""
        return self.shape[self.layout.axis]

    @property
    def recorded(self) -> int:
        """How many of them are recorded one by one: none of a wide output without a bend, where none can die."""
        return self.units if self.bend.response or self.units <= MOST_LINEAR_UNITS else 0

    @property
    def measured(self) -> int:
        """How many there are in what is measured: one that stands for all where none is recorded."""
        return self.recorded or 1

    @cached_property
    def readings(self) -> Readings:
        """How its outputs are read."""
        return Readings(self.layout.axis, self.bend, bundled=not self.recorded)

    def described(self, modules: Mapping[str, int]) -> Activation:
        """Return it as the description has it.

        Args:
            modules: Index of each module by its name.
        """
        return Activation(
            name=self.name,
            module=modules[self.module],
            kind=self.kind,
            response=self.bend.response,
            units=self.recorded,
            unit=self.layout.unit,
            shape=self.shape,
            source=None if self.source is None else modules.get(self.source),
            place=self.line,
            dtype=self.dtype,
        )


class Sites:
    """All of them, in the order in which they were met first.

    Args:
        name: Returns the name of a module in the model, "" where it has none.
        root: Name of the model itself, which is not in front of what it holds.
    """

    def __init__(self, name: Callable[[nn.Module], str], root: str) -> None:
        self._name = name
        self._root = root
        self._sites: dict[Key, Site] = {}
        self._names: dict[str, int] = {}
        self.order: list[Site] = []

    def find(self, key: Key) -> Site | None:
        """Return what is known under `key`."""
        return self._sites.get(key)

    def meet(
        self,
        key: Key,
        module: nn.Module,
        place: Place | None,
        bend: Bend,
        output: Tensor,
        layout: Layout,
        source: str,
        makers: Makers,
        previous: Site | None,
    ) -> Site:
        """Return a new site, which stands behind the `previous` one."""
        owner = self._name(module)
        kind = type(module).__name__ if place is None else place.function
        prefix = "" if owner == self._root else f"{owner}."
        site = Site(
            self._unique(owner if place is None else prefix + kind) + "+" * (key.call == MOST_CALLS),
            owner,
            kind,
            bend,
            layout,
            tuple(output.shape),
            source or None,
            makers if source else (),
            "" if place is None else place.line,
            str(output.dtype).removeprefix("torch."),
        )
        self._sites[key] = site
        self.order.insert(0 if previous is None else self.order.index(previous) + 1, site)
        return site

    def _unique(self, wanted: str) -> str:
        count = self._names[wanted] = self._names.get(wanted, 0) + 1
        return wanted if count == 1 else f"{wanted}#{count}"
