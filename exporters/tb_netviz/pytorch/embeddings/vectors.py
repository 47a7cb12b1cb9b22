"""What a module makes of inputs, as one vector a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tb_netviz.pytorch.embeddings.inputs import ManyInputs
from tb_netviz.pytorch.probes.maps import first_tensor, maps_of
from tb_netviz.pytorch.structure import named_modules
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz_plugin.schema.probe import MapKind

_POSITIONS_FROM = 3
"""Dimensions from which on an output has positions: of a sequence, of an image, of a volume."""


class NoVectorsError(Exception):
    """A module makes no vectors of the inputs, for the reason given."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass over all inputs came to, on its way to the host.

    Attributes:
        vectors: Float32 [samples, units].
        predictions: Float32 [samples], index of the largest score, NaN where a score is NaN; None where there are none.
        outputs: Scores of a sample.
    """

    vectors: Transfer
    predictions: Transfer | None
    outputs: int | None

    @property
    def ready(self) -> bool:
        """Whether nothing of it would have to be waited for."""
        return self.vectors.ready and (self.predictions is None or self.predictions.ready)


def name_of(module: str | nn.Module, root: nn.Module) -> str:
    """Return the name of a module of a model; "" for the model itself.

    Raises:
        TypeError: If it is neither a name nor a module.
        ValueError: If the model has no such module.
    """
    names = [("" if found is root else name, found) for name, found in named_modules(root)]
    if isinstance(module, nn.Module):
        inner = [name for name, found in names if found is module or found in _inside(module)]
    elif isinstance(module, str):
        inner = [name for name, _ in names if name == module]
    else:
        raise TypeError(f'module must be a name such as "blocks.3" or a torch.nn.Module, got {module!r}')
    if not inner:
        some = ", ".join(name for name, _ in names[1:7])
        raise ValueError(f'module: the model has no {module!r}; it has {some}, …, and "" stands for its output')
    return inner[0]


def _inside(module: nn.Module) -> list[nn.Module]:
    """Return what a wrapper, such as torch.compile's, wraps."""
    return [found for _, found in list(named_modules(module))[:1]]


def run(root: nn.Module, name: str, inputs: ManyInputs) -> Outcome:
    """Run all inputs through a model that nothing disturbs, and return what its module makes of them.

    Raises:
        NoVectorsError: If the module does not run, or its output has no vector for each sample.
    """
    module = next(found for known, found in named_modules(root) if known == name or (not name and found is root))
    parts, scores = [], []
    for batch in inputs.batches(_gpu_of(root)):
        listener = _Listener(batch.samples)
        handle = module.register_forward_hook(listener)
        try:
            output = batch.call(root)
        finally:
            handle.remove()
        if listener.vectors is None:
            raise NoVectorsError(f"the module {name!r} does not run when the model is")
        parts.append(listener.vectors)
        scores.append(_scores(output, batch.samples))
    known = [score for score in scores if score is not None]
    alike = len(known) == len(scores) and len({score.shape[1] for score in known}) == 1
    return Outcome(
        Transfer(torch.cat(parts)),
        Transfer(torch.cat([_largest(score) for score in known])) if alike else None,
        known[0].shape[1] if alike else None,
    )


def _gpu_of(root: nn.Module) -> torch.device | None:
    """Return where a model takes its inputs, if that is a GPU."""
    devices = [parameter.device for parameter in root.parameters()]
    return devices[0] if devices and all(device.type == "cuda" for device in devices) else None


class _Listener:
    """A forward hook that keeps what a module puts out when it is first called."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self.vectors: Tensor | None = None

    def __call__(self, module: nn.Module, _arguments: object, output: Any) -> None:
        if self.vectors is None:
            self.vectors = vectors_of(module, output, self._samples)


def vectors_of(module: nn.Module, output: Any, samples: int) -> Tensor:
    """Return a copy of an output as float32 [samples, units]: the mean over its positions, where it has any.

    Sequences and states of recurrent layers are averaged over time, images and volumes over their places. What has more
    dimensions than that is flattened.

    Raises:
        NoMapError: If the output has no vector for each sample.
    """
    tensor = first_tensor(output)
    if tensor is not None and not isinstance(module, nn.RNNBase) and len(tensor.shape) and len(tensor) == samples:
        if tensor.ndim < _POSITIONS_FROM or tensor.ndim > 5:
            return _real(tensor).reshape(samples, -1).clone()
        if tensor.ndim == 5:
            return _real(tensor).flatten(2).mean(2)
    kind, maps, _ = maps_of(module, output, samples)
    places = _real(maps)
    return places[:, 0].mean(-1) if kind is MapKind.HIDDEN else places.flatten(2).mean(2)


def _real(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return (tensor.abs() if tensor.is_complex() else tensor).float()


def _scores(output: Any, samples: int) -> Tensor | None:
    """Return the scores of the classes, [samples, classes]; None where the output is something else."""
    tensor = first_tensor(output)
    if tensor is None or tensor.ndim != 2 or len(tensor) != samples or tensor.shape[1] < 2:
        return None
    return tensor.detach() if tensor.is_floating_point() else None


def _largest(scores: Tensor) -> Tensor:
    best = scores.argmax(1).float()
    return best.masked_fill(scores.isnan().any(1), float("nan"))
