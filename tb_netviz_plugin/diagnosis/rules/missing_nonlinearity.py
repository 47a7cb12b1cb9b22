"""`missing_nonlinearity`: linear layers in a row, which together can do no more than one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import in_python
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule
from tb_netviz_plugin.schema.description import Module, RunDescription

_LINEAR = frozenset({"Linear", "Conv1d", "Conv2d", "Conv3d"})
_TRANSPARENT = ("Dropout", "AlphaDropout", "BatchNorm", "SyncBatchNorm", "Identity", "Flatten", "Unflatten", "AvgPool",
                "AdaptiveAvgPool", "ZeroPad", "Upsample")  # fmt: skip
_CHAIN = "Sequential"
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two linear layers, of which the second gets what the first puts out."""

    first: Module
    second: Module

    @property
    def in_one_part(self) -> bool:
        """Whether they belong to one module, or to blocks of a kind; two parts may well be meant to be used apart."""
        first, second = (_NUMBER.sub("", one.name).rpartition(".")[0] for one in (self.first, self.second))
        return first == second


def find(case: Case, _limits: Limits) -> list[Finding]:
    """Find linear layers that follow each other in a chain with nothing that bends between them."""
    findings = []
    for description in case.network.descriptions:
        seen = dict.fromkeys((*_pairs(description), *_followed(description)))
        pairs = sorted((pair for pair in seen if not _is_factorisation(pair)), key=lambda pair: not pair.in_one_part)
        layers = [_layer(case, description.model, module) for pair in pairs for module in (pair.first, pair.second)]
        known = tuple(dict.fromkeys(layer for layer in layers if layer is not None))
        if known:
            findings.append(_finding(case, pairs, known))
    return findings


def _finding(case: Case, pairs: list[_Pair], layers: tuple[int, ...]) -> Finding:
    first = pairs[0]
    name = in_python(first.first.name)
    others = len(pairs) - 1
    more = f", and so in {others:,} more place{'s' * (others > 1)}" if others else ""
    count = float(len(pairs))
    start = float(case.steps[0]) if case.steps.size else 0.0
    return Finding(
        rule="missing_nonlinearity",
        severity=Severity.WARNING if first.in_one_part else Severity.INFO,
        layers=layers,
        first_step=start,
        last_step=case.last_step,
        message=f"{first.second.name} follows {first.first.name} with no activation between them{more}: together they "
        "can do no more than a single linear layer.",
        beyond=Beyond("pairs of linear layers with nothing between them", count, 0.0),
        evidence=(
            Line(
                "pairs of linear layers with nothing between them", "", case.steps, np.full(len(case.steps), count), 0.5
            ),
        ),
        remedies=(
            Remedy(
                "Put an activation between them.",
                f"{name} = nn.Sequential({name}, nn.ReLU())  # before the optimizer is made",
            ),
            Remedy("Or leave one of them out."),
        ),
        excluded=(
            "Not a factorisation: the first one's output is no narrower than its input and the second one's output.",
        ),
        view="overview",
    )


def _followed(description: RunDescription) -> Iterator[_Pair]:
    """Yield the linear layers between which the graph of a forward pass has nothing that bends."""
    modules = description.modules
    for edge in description.edges:
        if max(edge.source, edge.target) < len(modules):
            pair = _Pair(modules[edge.source], modules[edge.target])
            if {pair.first.type, pair.second.type} <= _LINEAR:
                yield pair


def _pairs(description: RunDescription) -> Iterator[_Pair]:
    """Yield linear layers that follow each other in a chain of modules, with nothing between them that bends."""
    children: dict[str, list[Module]] = {}
    root, *others = description.modules or (Module(""),)
    for module in others:
        parent = module.name.rpartition(".")[0] or root.name
        children.setdefault(parent, []).append(module)
    inner = {module.name for module in others if module.type == _CHAIN and _parent_is_chain(module, root, others)}
    for module in description.modules:
        if module.type == _CHAIN and module.name not in inner:
            yield from _pairs_in(_flat(module, children))


def _parent_is_chain(module: Module, root: Module, others: Sequence[Module]) -> bool:
    parent = module.name.rpartition(".")[0]
    types = {other.name: other.type for other in others}
    return (types.get(parent) if parent else root.type) == _CHAIN


def _flat(chain: Module, children: Mapping[str, list[Module]]) -> Iterator[Module]:
    """Yield the modules of a chain in the order in which they run, those of a chain in it among them."""
    for module in children.get(chain.name, ()):
        if module.type == _CHAIN:
            yield from _flat(module, children)
        else:
            yield module


def _pairs_in(chain: Iterable[Module]) -> Iterator[_Pair]:
    last: Module | None = None
    for module in chain:
        if module.type in _LINEAR:
            if last is not None:
                yield _Pair(last, module)
            last = module
        elif not module.type.startswith(_TRANSPARENT):
            last = None


def _is_factorisation(pair: _Pair) -> bool:
    """Whether two layers are a product on purpose: through a bottleneck, or a depthwise and a pointwise convolution."""
    if "groups" in pair.first.detail or "groups" in pair.second.detail:
        return True
    axis = -1 if pair.first.type == "Linear" else 1
    shapes = (pair.first.input_shape, pair.first.output_shape, pair.second.output_shape)
    if any(len(shape) < 2 for shape in shapes):
        return False
    before, between, after = (shape[axis] for shape in shapes)
    return between < min(before, after)


def _layer(case: Case, model: str, module: Module) -> int | None:
    for index, layer in enumerate(case.network.layers):
        if layer.model == model and layer.module.name == module.name:
            return index
    return None


RULE = Rule(
    id="missing_nonlinearity",
    title="No activation between linear layers",
    needs=(needs.layers(2),),
    thresholds=(),
    find=find,
)
