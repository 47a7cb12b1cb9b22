"""How the units of modules and functions respond, and between which values they are flat."""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

from torch import nn

from tb_netviz_plugin.schema.description import Response

_INF = math.inf


class Bend(NamedTuple):
    """What the units of an activation do.

    Attributes:
        response: What it means for one of them to be dead.
        flat: Values from which on, downwards and upwards, its slope is next to nothing.
    """

    response: Response
    flat: tuple[float, float] = (-_INF, _INF)


LINEAR: Final = Bend(Response.NONE)
_RECTIFIER = Bend(Response.RECTIFIER)
_SMOOTH = Bend(Response.SMOOTH)
_SHARES = Bend(Response.SOFTMAX, (-_INF, 0.99))

# The slope of tanh is 0.02 at 0.99, that of the sigmoid 0.01 at 0.01 and 0.99, beside 1 and 0.25 in the middle.
_FUNCTIONS: Final = {
    "relu": _RECTIFIER,
    "relu6": Bend(Response.RECTIFIER, (-_INF, 6.0)),
    "threshold": _RECTIFIER,
    "clamp_min": _RECTIFIER,
    "gelu": _SMOOTH,
    "silu": _SMOOTH,
    "mish": _SMOOTH,
    "elu": _SMOOTH,
    "selu": _SMOOTH,
    "celu": _SMOOTH,
    "softplus": _SMOOTH,
    "logsigmoid": _SMOOTH,
    "hardswish": _SMOOTH,
    "leaky_relu": _SMOOTH,
    "prelu": _SMOOTH,
    "rrelu": _SMOOTH,
    "tanh": Bend(Response.BOUNDED, (-0.99, 0.99)),
    "softsign": Bend(Response.BOUNDED, (-0.9, 0.9)),
    "hardtanh": Bend(Response.BOUNDED, (-1.0, 1.0)),
    "sigmoid": Bend(Response.BOUNDED, (0.01, 0.99)),
    "hardsigmoid": Bend(Response.BOUNDED, (0.0, 1.0)),
    "softmax": _SHARES,
    "scaled_dot_product_attention": LINEAR,
}
"""By the name under which torch has the function, without the underscore of its in-place form."""

_MODULES: Final[dict[type[nn.Module], str]] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Threshold: "threshold",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Mish: "mish",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.CELU: "celu",
    nn.Softplus: "softplus",
    nn.LogSigmoid: "logsigmoid",
    nn.Hardswish: "hardswish",
    nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu",
    nn.RReLU: "rrelu",
    nn.Tanh: "tanh",
    nn.Softsign: "softsign",
    nn.Hardtanh: "hardtanh",
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Softmax: "softmax",
    nn.Softmax2d: "softmax",
}

_SMOOTH_NAME = re.compile("gelu|silu|swish|mish")
_CONVOLUTIONS = nn.modules.conv._ConvNd
WEIGHTED: Final = (nn.Linear, nn.Bilinear, _CONVOLUTIONS, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
"""Modules whose own output is measured, since their weights make it."""


def bend_of_function(name: str) -> Bend | None:
    """Return what the units of a function of torch do; None where it is none that is measured."""
    return _FUNCTIONS.get(name.removesuffix("_"))


def bend_of(module: nn.Module) -> Bend | None:
    """Return what the units of `module` do; None where its output is not measured.

    A module of other people's that is named after a smooth function, such as `NewGELUActivation`, counts as that one:
    what it is made of, a tanh that is often flat, would say little of it.
    """
    kind = next((kind for kind in type(module).__mro__ if kind in _MODULES), None)
    if kind is nn.Hardtanh and isinstance(module, nn.Hardtanh):
        return Bend(Response.BOUNDED, (float(module.min_val), float(module.max_val)))
    if kind is nn.Threshold and isinstance(module, nn.Threshold) and module.value != 0:
        return LINEAR  # It doesn't rest at zero.
    if kind is not None:
        return _FUNCTIONS[_MODULES[kind]]
    if isinstance(module, WEIGHTED):
        return _bend_of_states(module)
    is_named = not module._modules and _SMOOTH_NAME.search(type(module).__name__.lower())
    return _SMOOTH if is_named else None


def _bend_of_states(module: nn.Module) -> Bend:
    """Return what the units of a layer with weights do, which is nothing but add, unless it is recurrent."""
    if isinstance(module, nn.RNN | nn.RNNCell):
        return _FUNCTIONS[module.nonlinearity]
    # States of a GRU are mixed of tanh's values. Those of an LSTM, products, seldom get to the ends.
    return _FUNCTIONS["tanh"] if isinstance(module, nn.GRU | nn.GRUCell) else LINEAR


def is_convolution(module: nn.Module) -> bool:
    """Whether its units are channels."""
    return isinstance(module, _CONVOLUTIONS)
