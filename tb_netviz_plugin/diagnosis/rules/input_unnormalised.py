"""`input_unnormalised`: inputs that are large or far from zero, or whose features differ by orders of magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.outputs import NUMBERS, Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import layer_name, number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import entries, makes_its_inputs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.variety import varieties
from tb_netviz_plugin.schema.description import Response

_NORMALISING = ("BatchNorm", "SyncBatchNorm", "LayerNorm", "InstanceNorm", "GroupNorm", "RMSNorm", "LazyBatchNorm",
                "LazyInstanceNorm", "LocalResponseNorm")  # fmt: skip
_EMBEDDING = "Embedding"
_LOUD = 10.0
"""Deviation of a feature from which on one that is far quieter goes under; below it, rare ones look quiet."""
_FAR = 3.0
"""Root mean square of inputs from which on it matters that they lie far from zero."""
_LINEAR = ("Linear", "Conv1d", "Conv2d", "Conv3d", "MultiheadAttention")
"""Layers whose outputs are as large as their inputs and weights make them."""
_SQUASHING = {"LSTM": 0.22, "GRU": 0.5, "RNN": 0.6}
"""Root mean square of the outputs of recurrent layers, and their cells, from which on they got what saturates them."""
_SATURATES = 3.0
"""Size of what the weights of such a layer make of its inputs, from which on these saturate it."""
_VARIES = 0.3
"""Share of the first layer's outputs that varies where the network centres its inputs itself."""
_BROUGHT_DOWN = 0.35
"""Outputs of the first layer, over what its weights make of such inputs, where the network scales these itself."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What inputs are like, at the median of the records.

    Attributes:
        size: Root mean square of all values.
        loudest: Largest deviation of a feature.
        uneven: Over the smallest one.
        offset: Root mean square of the features' means, over the largest deviation; at least.
    """

    size: float
    loudest: float
    uneven: float
    offset: float


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find inputs that the first layer, one of weights, gets as they are."""
    given = entries(case)
    if given is None or not (given.input_kind == NUMBERS).all():
        return []
    inputs, first = _describe(given), _first_layer(case, given.model)
    if makes_its_inputs(case):
        return []
    if first is None or (judged := _judge(inputs, limits)) is None:
        return []
    raw = _gets_them(case, first, inputs.size)
    if raw is False:
        return []
    words, beyond, line = judged
    if beyond.measured == inputs.offset and _is_centred(case, first):
        return []
    tamed = beyond.measured == inputs.size and inputs.uneven < limits["uneven"] and _is_normalised(case, first)
    evidence = (
        Line("largest deviation of a feature", "inputs", given.steps, given.feature_std_largest),
        Line("smallest deviation of a feature", "inputs", given.steps, given.feature_std_smallest),
        Line("root mean square of the inputs", "inputs", given.steps, _size(given)),
    )
    return [
        Finding(
            rule="input_unnormalised",
            severity=Severity.INFO if tamed or raw is None else Severity.WARNING,
            layers=(first,),
            first_step=float(given.steps[0]),
            last_step=float(given.steps[-1]),
            message=f"{words}, and {layer_name(case.network, first)} gets them"
            + (" as they are." if raw else ", unless something without a module normalises them before."),
            beyond=beyond,
            evidence=(evidence[line], *(one for index, one in enumerate(evidence) if index != line)),
            remedies=_REMEDIES,
            excluded=(
                "Not tokens or an embedding: the inputs are numbers that are multiplied by weights.",
                *((_NOT_SCALED,) if raw else ()),
            ),
            view="overview",
        )
    ]


_NOT_SCALED = "Not scaled within the network: that layer's first outputs are as large as such inputs make them."
_REMEDIES = (
    Remedy(
        "Standardise each feature, with the mean and deviation of the training data.",
        "inputs = (inputs - train.mean(0)) / (train.std(0) + 1e-8)",
    ),
    Remedy("Bring images from 0…255 to 0…1 first.", "inputs = inputs.float() / 255"),
    Remedy("Or let the network do it.", "model = nn.Sequential(nn.BatchNorm1d(features), model)"),
    Remedy("Take the logarithm of amounts that range over decades.", "inputs = inputs.log1p()"),
)


def _judge(inputs: _Inputs, limits: Limits) -> tuple[str, Beyond, int] | None:
    """Return what is wrong in words, what decided, and which line of evidence shows it."""
    if inputs.uneven >= limits["uneven"] and inputs.loudest >= _LOUD:
        words = (
            f"The features' deviations go from {number(inputs.loudest / inputs.uneven)} to {number(inputs.loudest)}: "
            "the loud ones drown the others"
        )
        return words, Beyond("largest deviation of a feature over the smallest", inputs.uneven, limits["uneven"]), 0
    if inputs.size >= limits["size"]:
        words = f"The inputs are of a size of {number(inputs.size)} (root mean square)"
        return words, Beyond("root mean square of the inputs", inputs.size, limits["size"]), 2
    if inputs.offset >= limits["offset"] and inputs.size >= _FAR:
        words = (
            f"The inputs lie at about {number(inputs.size)}, and no feature deviates from its mean by more than "
            f"{number(inputs.loudest)}"
        )
        return (
            words,
            Beyond("size of the features' means over the largest deviation", inputs.offset, limits["offset"]),
            2,
        )
    return None


def _describe(given: Outputs) -> _Inputs:
    size, loudest = float(np.nanmedian(_size(given))), _middle(given.feature_std_largest)
    quietest = _middle(given.feature_std_smallest)
    offset = np.sqrt(max(size**2 - loudest**2, 0.0)) / loudest if loudest > 0 else 0.0
    return _Inputs(size, loudest, loudest / quietest if quietest > 0 else 1.0, float(offset))


def _size(given: Outputs) -> Floats:
    return np.hypot(given.inputs.mean, given.inputs.std)


def _middle(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else 0.0


def _first_layer(case: Case, model: str) -> int | None:
    """Return the layer that gets the inputs; None where something embeds or normalises them before.

    The model itself, where it has a parameter beside its layers, is none: what it does with inputs one can't see.
    """
    layers = {layer.module.name: index for index, layer in enumerate(case.network.layers) if layer.model == model}
    description = next(one for one in case.network.descriptions if one.model == model)
    root = description.modules[0].name if len(layers) > 1 else None
    for module in description.modules:
        if module.type.startswith((*_NORMALISING, _EMBEDDING)):
            return None
        if module.name in layers and module.name != root:
            return layers[module.name]
    return None


def _is_normalised(case: Case, first: int) -> bool:
    """Whether the next module after a layer normalises what comes of it over the batch."""
    layer = case.network.layers[first]
    description = next(one for one in case.network.descriptions if one.model == layer.model)
    names = [module.name for module in description.modules]
    at = names.index(layer.module.name) + 1
    return at < len(names) and description.modules[at].type.startswith(("BatchNorm", "SyncBatchNorm", "LazyBatchNorm"))


def _gets_them(case: Case, first: int, size: float) -> bool | None:
    """Whether a layer's first outputs are as large as inputs of that size make them; None where that is unknown."""
    layer = case.network.layers[first].module
    rows = (
        index
        for index, row in enumerate(case.network.activations)
        if row.layer == first and row.activation.name == layer.name and not row.function
    )
    if (at := next(rows, None)) is None:
        return None
    each = np.hypot(case.numbers("activation_mean")[at], case.numbers("activation_std")[at])
    made = float(each[0]) if each.size else np.nan
    expected = _gain(case, first) * size
    if not np.isfinite(made) or not expected > 0:
        return None
    squashed = next((least for kind, least in _SQUASHING.items() if layer.type.startswith(kind)), None)
    if squashed is not None and case.network.activations[at].activation.response is not Response.RECTIFIER:
        return made >= squashed if expected >= _SATURATES else None
    if squashed is not None or layer.type in _LINEAR:
        return made >= _BROUGHT_DOWN * expected
    # What a layer of another type does to inputs before it multiplies them isn't known.
    return True if made >= _BROUGHT_DOWN * expected else None


def _is_centred(case: Case, first: int) -> bool:
    """Whether a layer's outputs vary as they never could if its inputs lay that far from zero."""
    made = (look for look in varieties(case, case.network.layers[first].model) if look.row.layer == first)
    look = next((look for look in made if not look.row.function), None)
    return look is not None and bool(look.share[0] >= _VARIES)


def _gain(case: Case, layer: int) -> float:
    """Return by how much the weights of a layer enlarge the size of inputs, if drawn at random; 0 where unknown.

    Attention projects what it takes from its values once more, by a layer that it holds.
    """
    about = case.network.layers[layer]
    outward = (
        index
        for index, other in enumerate(case.network.layers)
        if about.module.type == "MultiheadAttention" and other.model == about.model
        if other.module.name == f"{about.module.name}.out_proj"
    )
    return float(np.prod([_gain_of_matrix(case, one) for one in (layer, *outward)]))


def _gain_of_matrix(case: Case, layer: int) -> float:
    norms = case.column("weight_norm")
    for row in case.network.layers[layer].parameters:
        shape = case.network.parameters[row].parameter.shape
        if len(shape) > 1 and norms.shape[1]:
            return float(norms[row, 0] / np.sqrt(shape[0])) if np.isfinite(norms[row, 0]) else 0.0
    return 0.0


RULE = Rule(
    id="input_unnormalised",
    title="Inputs are not normalised",
    needs=(needs.inputs,),
    thresholds=(
        Threshold("uneven", 100.0, "largest deviation of a feature over the smallest", 2.0, 1e9),
        Threshold("size", 30.0, "root mean square of the inputs", 1.0, 1e9),
        Threshold("offset", 10.0, "size of the features' means over the largest deviation", 1.0, 1e9),
    ),
    find=find,
)
