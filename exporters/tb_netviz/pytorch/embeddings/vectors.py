"""What a module makes of inputs, as one vector a sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tb_netviz.pytorch.embeddings.inputs import ManyInputs
from tb_netviz.pytorch.probes.maps import NoMapError, first_tensor, maps_of
from tb_netviz.pytorch.structure import named_modules
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz_plugin.schema.probe import MapKind

_SHOWN = 4
_POSITIONS_FROM = 3
"""Dimensions from which on an output has positions: of a sequence, of an image, of a volume."""


class NoVectorsError(Exception):
    """A module makes no vectors of the inputs, for the reason given."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """What a pass over all inputs came to, on its way to the host.

    Attributes:
        found: Of each module float32 [samples, units], or why there are none.
        predictions: Float32 [samples], index of the largest score, NaN where a score is NaN; None where there are none.
        outputs: Scores of a sample.
    """

    found: Mapping[str, Transfer | NoVectorsError]
    predictions: Transfer | None
    outputs: int | None

    @property
    def ready(self) -> bool:
        """Whether nothing of it would have to be waited for."""
        return all(one.ready for one in (*self.found.values(), self.predictions) if isinstance(one, Transfer))

    def of(self, name: str) -> Transfer:
        """Return what a module makes of the inputs.

        Raises:
            NoVectorsError: If it has no output, or one without a vector for each sample.
        """
        found = self.found[name]
        if isinstance(found, NoVectorsError):
            raise found
        return found


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


def run(root: nn.Module, names: Iterable[str], inputs: ManyInputs) -> Vectors:
    """Run all inputs through a model that nothing disturbs, and return what modules of these names make of them."""
    modules = {"" if module is root else name: module for name, module in named_modules(root)}
    listeners = [_Listener(name, modules.get(name)) for name in names]
    scores = []
    try:
        for batch in inputs.batches(_gpu_of(root)):
            for listener in listeners:
                listener.await_batch(batch.samples)
            scores.append(_scores(batch.call(root), batch.samples))
    finally:
        for listener in listeners:
            listener.leave()
    known = [score for score in scores if score is not None]
    alike = len(known) == len(scores) and len({score.shape[1] for score in known}) == 1
    return Vectors(
        {listener.name: listener.found() for listener in listeners},
        Transfer(torch.cat([_largest(score) for score in known])) if alike else None,
        known[0].shape[1] if alike else None,
    )


def _gpu_of(root: nn.Module) -> torch.device | None:
    """Return where a model takes its inputs, if that is a GPU."""
    devices = [parameter.device for parameter in root.parameters()]
    return devices[0] if devices and all(device.type == "cuda" for device in devices) else None


class _Listener:
    """Keeps what a module puts out when it is first called on each batch."""

    def __init__(self, name: str, module: nn.Module | None) -> None:
        self.name = name
        self._handle = None if module is None else module.register_forward_hook(self._hear)
        self._samples = 0  # That it waits for.
        self._batches = 0
        self._parts: list[Tensor] = []
        self._error = NoVectorsError(f"the model has no module {name!r} any longer") if module is None else None

    def await_batch(self, samples: int) -> None:
        """Wait for the vectors of so many samples."""
        self._samples, self._batches = samples, self._batches + 1

    def found(self) -> Transfer | NoVectorsError:
        """Return the vectors of all batches, or why there are none."""
        if self._error is not None:
            return self._error
        if len(self._parts) < self._batches:
            return NoVectorsError(f"the module {self.name!r} does not run when the model is")
        units = sorted({part.shape[1] for part in self._parts})
        if len(units) > 1:
            some = ", ".join(map(str, units[:_SHOWN]))
            return NoVectorsError(f"the output of {self.name!r} is of other sizes in each batch: {some} units")
        return Transfer(torch.cat(self._parts))

    def leave(self) -> None:
        """Listen no longer."""
        if self._handle is not None:
            self._handle.remove()

    def _hear(self, module: nn.Module, _arguments: object, output: Any) -> None:
        samples, self._samples = self._samples, 0
        if not samples or self._error is not None:
            return
        try:
            self._parts.append(vectors_of(module, output, samples))
        except NoMapError as error:
            self._error = NoVectorsError(str(error))
        except Exception as error:  # Other modules are heard in the same pass, and are none the worse for it.
            self._error = NoVectorsError(f"{type(error).__name__}: {error}")


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
