"""Inputs that are too many for one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tb_netviz.pytorch.probes.inputs import MAX_SAMPLES, ProbeInputs


class ManyInputs:
    """The samples whose places are followed.

    Args:
        given: A tensor whose first dimension is the sample, or a tuple or dict of arguments of which some are such.
            They are copied.

    Raises:
        TypeError: If there is no tensor in it.
        ValueError: If it has no samples, or not the same number in each tensor.
    """

    def __init__(self, given: Any) -> None:
        arguments: Mapping[int | str, Any]
        arguments = given if isinstance(given, Mapping) else dict(enumerate(_tuple(given)))
        self._arguments = {key: _copy(value) for key, value in arguments.items()}
        counts = {len(tensor) for tensor in self.tensors if tensor.ndim}
        if not self.tensors:
            raise TypeError(
                "inputs must be a tensor whose first dimension is the sample, or a tuple or dict of the model's "
                f"arguments with such tensors, got {type(given).__name__}"
            )
        if len(counts) != 1 or not any(counts):
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in self.tensors)
            raise ValueError(
                f"inputs must have the same number of samples in the first dimension of each, got {shapes}"
            )
        (self.samples,) = counts

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments."""
        return [value for value in self._arguments.values() if isinstance(value, Tensor)]

    @cached_property
    def digest(self) -> str:
        """Tells these inputs from others."""
        parts = "".join(batch.digest for batch in self.batches())
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()

    def same_as(self, other: ManyInputs) -> bool:
        """Whether a model would not tell them from others."""
        types = [[(one.dtype, one.device) for one in inputs.tensors] for inputs in (self, other)]
        return types[0] == types[1] and self.digest == other.digest

    def batches(self, device: torch.device | None = None) -> Iterator[ProbeInputs]:
        """Yield so many of them as one pass takes, in order.

        Args:
            device: A GPU to which they are brought from the host without waiting for it.
        """
        for first in range(0, self.samples, MAX_SAMPLES):
            batch = {key: _slice(value, first) for key, value in self._arguments.items()}
            yield ProbeInputs({key: _brought(value, device) for key, value in batch.items()})


def _tuple(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def _slice(value: Any, first: int) -> Any:
    return value[first : first + MAX_SAMPLES] if isinstance(value, Tensor) and value.ndim else value


def _brought(value: Any, device: torch.device | None) -> Any:
    if device is None or not isinstance(value, Tensor) or value.device.type != "cpu":
        return value
    return value.pin_memory().to(device, non_blocking=True)


def _copy(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    with torch.inference_mode(False), torch.no_grad():  # Of inference tensors and of views the copies are neither.
        return torch.empty_like(value, requires_grad=False).copy_(value)
