"""What a module's output looks like as maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from tb_netviz_plugin.schema.probe import MapKind

_CONVOLUTIONS_OF_SEQUENCES = (nn.Conv1d, nn.ConvTranspose1d)


class NoMapError(Exception):
    """An output has no maps, for the reason given."""


def maps_of(module: nn.Module, output: Any, samples: int) -> tuple[MapKind, Tensor, str]:
    """Return what the maps of an output show, the maps [samples, maps, height, width], and what was left out of them.

    Args:
        module: The module.
        output: What it returned.
        samples: How many samples went in.

    Raises:
        NoMapError: If it has none.
    """
    if isinstance(module, nn.RNNBase):
        return MapKind.HIDDEN, _states(module, output, samples), ""
    tensor = first_tensor(output)
    if tensor is None:
        raise NoMapError(f"its output is a {type(output).__name__} without a tensor")
    return _of_tensor(module, tensor, samples)


def _of_tensor(module: nn.Module, tensor: Tensor, samples: int) -> tuple[MapKind, Tensor, str]:
    shape = tuple(tensor.shape)
    if tensor.ndim == 3 and shape[0] != samples and shape[1] == samples:  # Time first, as transformers have it.
        tensor = tensor.transpose(0, 1)
    if tensor.ndim < 2 or len(tensor) != samples or not tensor.numel():
        raise NoMapError(f"its output has the shape {shape}, where the probe has {samples} samples")
    match tensor.ndim:
        case 2:
            return MapKind.HIDDEN, tensor[:, None, :, None], ""
        case 3 if isinstance(module, _CONVOLUTIONS_OF_SEQUENCES):
            return MapKind.FEATURE_MAP, tensor[:, :, None, :], ""
        case 3:
            return MapKind.HIDDEN, tensor.transpose(1, 2)[:, None], ""
        case 4:
            return MapKind.FEATURE_MAP, tensor, ""
        case 5:
            middle = tensor.shape[2] // 2
            return MapKind.FEATURE_MAP, tensor[:, :, middle], f"only the middle slice of {tensor.shape[2]} is kept"
    raise NoMapError(f"its output has {tensor.ndim} dimensions")


def _states(module: nn.RNNBase, output: Any, samples: int) -> Tensor:
    """Return the states of a recurrent layer, [samples, 1, units, time]."""
    states, batch_first = output[0], module.batch_first
    if isinstance(states, PackedSequence):
        states, batch_first = pad_packed_sequence(states, batch_first=True)[0], True
    if states.ndim == 2 and samples == 1:
        states, batch_first = states[None], True
    by_sample = states if batch_first else states.transpose(0, 1)
    if by_sample.ndim != 3 or len(by_sample) != samples or not by_sample.numel():
        raise NoMapError(f"its output has the shape {tuple(states.shape)}, where the probe has {samples} samples")
    result: Tensor = by_sample.transpose(1, 2)[:, None]
    return result


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor in nested containers."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    found = (first_tensor(value) for value in values)
    return next((tensor for tensor in found if tensor is not None), None)
