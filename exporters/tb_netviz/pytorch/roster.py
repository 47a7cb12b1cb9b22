"""Which parameter stands in which row, kept up to date as the model changes."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from tb_netviz.pytorch.activations.capture import Capture
from tb_netviz.pytorch.activations.sites import Site
from tb_netviz.pytorch.membership import Membership, describe_groups, parameters_of
from tb_netviz.pytorch.order import ExecutionOrder
from tb_netviz.pytorch.outputs import Ends
from tb_netviz.pytorch.shards import is_sharded
from tb_netviz.pytorch.structure import Home, Layout, describe_parameters, lay_out
from tb_netviz.pytorch.team import Team
from tb_netviz_plugin.schema.description import Activation, Edge, Omission, RunDescription

_UNHEARD = Omission(
    "functions",
    "activation functions that are called without being modules, such as F.relu, are not recorded, since something is "
    "compiled by torch.compile, which would compile it anew",
)


class Roster:
    """The rows of a model.

    Args:
        model: The model, held weakly.
        members: Tells which optimizers hold parameters of it.
        order: Has listened to a forward pass, or will have.
        include: Patterns of parameter names; others are left out. Empty: all.
        exclude: Patterns of parameter names that are left out.
        writer: Name and version of this package.
        ends: Knows the type of the loss.
        team: Tells whether parameters that are sharded over processes have rows.
        capture: Knows the activations, where they are measured.
    """

    def __init__(
        self,
        model: nn.Module,
        members: Membership,
        order: ExecutionOrder,
        include: Sequence[str],
        exclude: Sequence[str],
        writer: str,
        ends: Ends,
        team: Team,
        capture: Capture | None,
    ) -> None:
        self._model = weakref.ref(model)
        self._members = members
        self._order = order
        self._include = include
        self._exclude = exclude
        self._writer = writer
        self._ends = ends
        self._team = team
        self._capture = capture
        self._sites: tuple[Site, ...] = ()
        self._layout = Layout()
        self._chains: tuple[Edge, ...] = ()
        self._rows: dict[int, int] = {}
        self._signature: object = None
        self._omissions: tuple[Omission, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, row by row."""
        return self._layout.names

    @property
    def identities(self) -> tuple[int, ...]:
        """Which parameters stand in the rows; another one of the same name is another."""
        return tuple(self._rows)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The activations, row by row."""
        return self._sites

    def omit(self, omission: Omission) -> None:
        """Say of something else that it was left out; it stands in the next description."""
        self._omissions += (omission,)
        self._signature = None

    def refresh(self) -> RunDescription | None:
        """Return a description if the model or its optimizers differ from those of the last call."""
        model = self._model()
        if model is None:
            return None
        optimizers = self._members.optimizers
        signature = (
            self._order.heard,
            self._ends.criterion,
            self._order.omissions,
            self._team.refusal,
            None if self._capture is None else self._capture.heard,
            list(_traits(model, "")),
            [(id(optimizer), [len(group["params"]) for group in optimizer.param_groups]) for optimizer in optimizers],
        )
        if signature == self._signature:
            return None
        self._signature = signature
        modules = self._order.sorted(model)
        dropouts = {} if self._capture is None else self._capture.dropouts
        self._chains = _chains(modules, self._order)
        self._layout = lay_out(modules, self._order.shapes, self._include, self._exclude, self._team.refusal, dropouts)
        self._rows = {id(parameter): row for row, parameter in enumerate(self._layout.parameters())}
        return self._describe(optimizers)

    def sharded_rows(self) -> list[int]:
        """Return the rows that are sharded over processes, in the order of their names."""
        rows = [row for row, parameter in enumerate(self._layout.parameters()) if is_sharded(parameter)]
        return sorted(rows, key=self.names.__getitem__)

    def rows_of(self, optimizer: Optimizer) -> dict[int, nn.Parameter]:
        """Return the rows that `optimizer` steps."""
        rows = {}
        for parameter in parameters_of(optimizer):
            row = self._rows.get(id(parameter))
            if row is not None:
                rows[row] = parameter
        return rows

    def homes(self, rows: Iterable[int]) -> list[Home]:
        """Return where the parameters of `rows` live."""
        return [self._layout.homes[row] for row in rows]

    def rows_of_none(self) -> dict[int, nn.Parameter]:
        """Return the rows that no optimizer steps, frozen ones among them."""
        held = {id(parameter) for optimizer in self._members.optimizers for parameter in parameters_of(optimizer)}
        return {row: parameter for row, parameter in enumerate(self._layout.parameters()) if id(parameter) not in held}

    def _describe(self, optimizers: Sequence[Optimizer]) -> RunDescription:
        groups, places = describe_groups(optimizers)
        return RunDescription(
            writer=self._writer,
            framework=f"pytorch {torch.__version__}",
            modules=self._layout.modules,
            parameters=describe_parameters(self._layout, places),
            activations=self._describe_activations(),
            edges=self._chains,
            groups=groups,
            criterion=self._ends.criterion,
            omissions=self._layout.omissions + self._order.omissions + self._unheard() + self._omissions,
        )

    def _unheard(self) -> tuple[Omission, ...]:
        return (_UNHEARD,) if self._capture is not None and self._capture.is_deaf else ()

    def _describe_activations(self) -> tuple[Activation, ...]:
        if self._capture is None:
            return ()
        modules = {module.name: place for place, module in enumerate(self._layout.modules)}
        self._sites = tuple(site for site in self._capture.sites.order if site.module in modules)
        return tuple(site.described(modules) for site in self._sites)


def _chains(modules: Sequence[tuple[str, nn.Module]], order: ExecutionOrder) -> tuple[Edge, ...]:
    places = {id(module): place for place, (_, module) in enumerate(modules)}
    return tuple(
        Edge(places[first], places[second]) for first, second in order.chains if first in places and second in places
    )


def _traits(module: nn.Module, name: str) -> Iterator[tuple[object, ...]]:
    """Yield what a description says of each parameter, and which it is; a third of the time of named_parameters."""
    for key, parameter in module._parameters.items():
        if parameter is not None:
            shape = None if isinstance(parameter, nn.parameter.UninitializedParameter) else parameter.shape
            yield name, key, id(parameter), parameter.requires_grad, parameter.dtype, parameter.device, shape
    for key, child in module._modules.items():
        if child is not None:
            yield from _traits(child, key)
