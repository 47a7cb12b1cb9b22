"""Probes: inputs that are run through a model beside its training, and pictures of what its modules make of them."""

from tb_netviz.pytorch.probes.attach import ProbeOwner
from tb_netviz.pytorch.probes.watched import ActivationMaps

__all__ = ["ActivationMaps", "ProbeOwner"]
