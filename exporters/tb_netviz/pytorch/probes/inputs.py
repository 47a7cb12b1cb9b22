"""The inputs of a probe: copies of what the user gave, ready to be run again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tb_netviz.pytorch.probes.pictures import quantise, reduce

LARGEST_PICTURE = 256
"""Rows and columns of an input's picture at most."""
MAX_SAMPLES = 64
COLOURS = 3


class ProbeInputs:
    """A handful of samples.

    Args:
        given: A tensor whose first dimension is the sample, or a tuple or dict of arguments of which some are such.

    Raises:
        TypeError: If there is no tensor in it.
        ValueError: If it has no samples, too many, or not the same number in each tensor.
    """

    def __init__(self, given: Any) -> None:
        arguments: dict[int | str, Any]
        if isinstance(given, Mapping):
            arguments = dict(given)
        else:
            arguments = dict(enumerate(given if isinstance(given, tuple | list) else (given,)))
        # Of inference tensors and of views the copies are neither.
        self._arguments = {key: _copy(value) for key, value in arguments.items()}
        self.samples = _count_samples(self.tensors, given)
        self._brought: dict[tuple[int, torch.device], Tensor] = {}

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments."""
        return [value for value in self._arguments.values() if isinstance(value, Tensor)]

    @property
    def first(self) -> Tensor:
        """The tensor that shows what the samples are: the first one of numbers with a fraction, or the first."""
        return next((tensor for tensor in self.tensors if tensor.is_floating_point()), self.tensors[0])

    @property
    def kind(self) -> str:
        """What the samples are: "images", "tokens" or "vectors"."""
        if not self.first.is_floating_point():
            return "images" if _is_image(self.first) else "tokens"
        return "images" if _is_image(self.first) else "vectors"

    @property
    def digest(self) -> str:
        """Tells these inputs from others."""
        digest = hashlib.blake2b(digest_size=8)
        for key, value in self._arguments.items():
            digest.update(repr((key, getattr(value, "shape", value))).encode("utf-8", "backslashreplace"))
            if isinstance(value, Tensor):
                content = value.cpu().resolve_conj().resolve_neg().contiguous()
                digest.update(content.reshape(-1).view(torch.uint8).numpy().tobytes() if content.numel() else b"")
        return digest.hexdigest()

    def pictures(self) -> npt.NDArray[np.uint8] | None:
        """Return them as pictures, [samples, height, width, 1 or 3], each over its own range; None if they are none."""
        if not _is_image(self.first):
            return None
        smaller = reduce(self.first.cpu(), LARGEST_PICTURE)
        samples, channels, height, width = smaller.shape
        if channels not in (1, COLOURS):
            smaller, channels = smaller.mean(1, keepdim=True), 1
        tall, _ = quantise(smaller.reshape(samples, 1, channels * height, width))
        pictures = tall.reshape(samples, channels, height, width).permute(0, 2, 3, 1)
        return np.ascontiguousarray(pictures.numpy())

    def call(self, model: nn.Module, replaced: Tensor | None = None) -> Any:
        """Run `model` on copies of the inputs; where `replaced` is given, on that in place of `first`.

        They go to the device of the model's first parameter, unless the model has parameters where they are.
        """
        device = _device_of(model)
        first = self.first

        def prepared(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            return replaced if value is first and replaced is not None else self._on(device, value, model)

        ready = {key: prepared(value) for key, value in self._arguments.items()}
        positional = [value for key, value in ready.items() if isinstance(key, int)]
        return model(*positional, **{key: value for key, value in ready.items() if isinstance(key, str)})

    def leaf(self, model: nn.Module) -> Tensor:
        """Return a copy of `first` where the model takes it; it asks for a gradient if it can have one."""
        copy = self._on(_device_of(model), self.first, model)
        return copy.requires_grad_(copy.is_floating_point())

    def _on(self, device: torch.device, tensor: Tensor, model: nn.Module) -> Tensor:
        """Return a copy of `tensor` where the model takes it. What was brought there once stays for the next time."""
        if any(parameter.device == tensor.device for parameter in model.parameters()):
            device = tensor.device
        key = (id(tensor), device)
        if key not in self._brought:
            self._brought[key] = tensor.to(device)
        return self._brought[key].clone()


def _device_of(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _copy(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    with torch.inference_mode(False), torch.no_grad():
        return torch.empty_like(value, requires_grad=False).copy_(value)


def _count_samples(tensors: list[Tensor], given: Any) -> int:
    if not tensors:
        raise TypeError(
            "inputs must be a tensor of a handful of samples, or a tuple or dict of the model's arguments with such "
            f"tensors, got {type(given).__name__}"
        )
    counts = {tensor.shape[0] for tensor in tensors if tensor.ndim}
    if len(counts) != 1:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(f"inputs must have the same number of samples in the first dimension of each, got {shapes}")
    (count,) = counts
    if not 0 < count <= MAX_SAMPLES:
        raise ValueError(f"inputs must be 1 to {MAX_SAMPLES} samples, got {count}; a handful shows the most")
    return count


def _is_image(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and min(tensor.shape) > 0 and not tensor.is_complex()
