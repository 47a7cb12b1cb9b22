"""Every optimizer of torch, in each of its implementations, over a model that has a kind of parameter for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

FEATURES, CLASSES, WORDS = 6, 3, 20


class Reader(nn.Module):
    """An embedding, dropout, norms and two layers; `sparse` makes the gradient of the embedding sparse."""

    def __init__(self, *, sparse: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, FEATURES, sparse=sparse)
        self.hidden = nn.Linear(FEATURES, 8)
        self.norm = nn.LayerNorm(8)
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [batch, CLASSES] of the words [batch]."""
        hidden = torch.tanh(self.hidden(self.words(words)))
        scores: Tensor = self.head(self.drop(self.norm(hidden)))
        return scores


Maker = Callable[[Reader], Sequence[Optimizer]]


def _all(kind: Any, **options: Any) -> Maker:
    return lambda model: [kind(model.parameters(), **options)]


def _sparse_adam(model: Reader) -> Sequence[Optimizer]:
    rest = [parameter for name, parameter in model.named_parameters() if not name.startswith("words")]
    return [torch.optim.SparseAdam(model.words.parameters(), lr=0.01), torch.optim.SGD(rest, lr=0.1)]


def _muon(model: Reader) -> Sequence[Optimizer]:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    rest = [parameter for parameter in model.parameters() if parameter.ndim != 2]
    return [torch.optim.Muon(matrices, lr=0.02, momentum=0.9), torch.optim.AdamW(rest)]


def _groups(model: Reader) -> Sequence[Optimizer]:
    parts = [{"params": [*part.parameters()], "lr": 0.1 / place} for place, part in enumerate(model.children(), 1)]
    return [torch.optim.SGD([part for part in parts if part["params"]], momentum=0.9)]


def _tensor_rate(model: Reader) -> Sequence[Optimizer]:
    return [torch.optim.Adam(model.parameters(), lr=torch.tensor(0.01), foreach=False)]


# What each of them can be told besides how it is implemented.
_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "Adadelta": [{}, {"weight_decay": 0.1, "maximize": True}],
    "Adafactor": [{}, {"weight_decay": 0.1, "maximize": True}],
    "Adagrad": [{}, {"weight_decay": 0.1, "maximize": True}],
    "Adam": [{}, {"weight_decay": 0.1, "amsgrad": True, "maximize": True}],
    "AdamW": [{}, {"weight_decay": 0.1, "amsgrad": True, "maximize": True}],
    "Adamax": [{}, {"weight_decay": 0.1, "maximize": True}],
    "ASGD": [{}, {"weight_decay": 0.1, "t0": 2, "maximize": True}],
    "NAdam": [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}],
    "RAdam": [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}],
    "RMSprop": [{}, {"weight_decay": 0.1, "momentum": 0.9, "centered": True, "maximize": True}],
    "Rprop": [{}, {"maximize": True}],
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "maximize": True},
        {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "nesterov": True},
    ],
}
FUSED = ("Adagrad", "Adam", "AdamW", "SGD")
_IMPLEMENTATIONS: dict[str, dict[str, Any]] = {"plain": {"foreach": False}, "foreach": {"foreach": True}}


def _cases() -> dict[str, Maker]:
    cases: dict[str, Maker] = {
        "SparseAdam": _sparse_adam,
        "Muon": _muon,
        "groups": _groups,
        "Adam, tensor lr": _tensor_rate,
    }
    for kind, choices in _OPTIONS.items():
        for options in choices:
            for implementation, flags in _implementations(kind).items():
                name = ", ".join([kind, implementation, *options])
                cases[name] = _all(getattr(torch.optim, kind), **options, **flags)
    return cases


def _implementations(kind: str) -> dict[str, dict[str, Any]]:
    return _IMPLEMENTATIONS | ({"fused": {"fused": True}} if kind in FUSED else {})


CASES = _cases()
"""By name, a function from a Reader to the optimizers that train it. LBFGS, which needs a closure, stands apart."""

NAMED = {name.split(",")[0] for name in CASES} - {"groups"} | {"LBFGS"}


def reader_for(case: str) -> Reader:
    """Return a Reader whose gradients are of the kind that the optimizer of `case` takes."""
    return Reader(sparse=case == "SparseAdam")
