"""Faults of the wiring: layers that nothing steps, that no gradient passes, or that nothing calls."""

from __future__ import annotations

from torch import Tensor, nn

from tests.diagnosis.mutations.mutation import Mutation, Site, need
from tests.diagnosis.mutations.places import middle, stepped


def middle_forgotten(site: Site) -> None:
    """Take the layer in the middle away from the optimizers."""
    _forget(site, middle(site)[1])


def first_forgotten(site: Site) -> None:
    """Take the first layer away from the optimizers."""
    _forget(site, next(iter(stepped(site).values())))


def _forget(site: Site, layer: nn.Module) -> None:
    gone = {id(parameter) for parameter in layer.parameters()}
    for group in site.groups:
        group["params"][:] = [parameter for parameter in group["params"] if id(parameter) not in gone]


def detached(site: Site) -> None:
    """Detach what the layer in the middle gives."""

    def cut(_layer: nn.Module, _inputs: object, outputs: Tensor) -> Tensor:
        site.missing = ""
        return outputs.detach()

    site.missing = "call of the layer in the middle"
    middle(site)[1].register_forward_hook(cut)


def unused(site: Site) -> None:
    """Give the network a layer that is stepped and never called."""
    need(not isinstance(site.model, nn.Sequential), "forward pass that leaves a layer out")
    spare = nn.Linear(16, 16)
    site.model.add_module("spare", spare)
    site.groups[0]["params"].extend(spare.parameters())


MUTATIONS = (
    Mutation("middle-forgotten", ("layer_not_training",), by_harm=False, at_watch=middle_forgotten),
    Mutation("first-forgotten", ("layer_not_training",), by_harm=False, at_watch=first_forgotten),
    Mutation("middle-detached", ("unused_parameter",), by_harm=False, at_watch=detached),
    Mutation("layer-unused", ("unused_parameter",), by_harm=False, at_watch=unused),
)
