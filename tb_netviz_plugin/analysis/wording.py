"""Layers, factors and numbers in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tb_netviz_plugin.analysis.network import Network

_LONGEST_NAME = 60


def layer_name(network: Network, layer: int) -> str:
    """Return the name of a layer, shortened where it would not fit a sentence."""
    name = network.layers[layer].name
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def subject(network: Network, layers: Sequence[int]) -> str:
    """Return layers as the subject of a sentence: "conv1", or "12 layers, conv1 to conv12,"."""
    if len(layers) == 1:
        return layer_name(network, layers[0])
    first, last = min(layers), max(layers)
    return f"{len(layers):,} layers, {layer_name(network, first)} to {layer_name(network, last)},"


def gradient_is(network: Network, layers: Sequence[int]) -> str:
    """Return the beginning of a sentence about the gradients of layers: "conv1's gradient is"."""
    if len(layers) == 1:
        return f"{subject(network, layers)}'s gradient is"
    return f"The gradients of {subject(network, layers)} are"


def listed(names: Sequence[str]) -> str:
    """Return the first names of several: "fc1.weight, fc1.bias and 4 more"."""
    more = f" and {len(names) - 2:,} more" if len(names) > 2 else ""
    return f"{', '.join(names[:2])}{more}"


def fold(factor: float) -> str:
    """Return a factor with two significant digits: "4.6-fold", "110,000-fold", "57 million-fold"."""
    rounded = float(f"{factor:.2g}")
    if rounded < 1e6:
        return f"{rounded:,g}-fold"
    if rounded < 1e9:
        return f"{rounded / 1e6:g} million-fold"
    return f"{number(rounded)}-fold"


def number(value: float) -> str:
    """Return a value with two significant digits, as the tab writes it: "0.0029", "1.2e-5", "6e7", "inf"."""
    rounded = float(f"{value:.2g}")
    if not math.isfinite(rounded):
        return str(rounded)
    if rounded == 0 or 1e-3 <= abs(rounded) < 1e6:
        return f"{rounded:,g}"
    mantissa, exponent = f"{rounded:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
