"""Tensors of our records as arrays, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_UINT8, DT_UINT16
from tensorboard.util.tensor_util import make_ndarray

_TYPES: dict[int, np.dtype[Any]] = {DT_FLOAT: np.dtype("<f4"), DT_UINT16: np.dtype("<u2"), DT_UINT8: np.dtype("u1")}


def array_of(tensor: TensorProto) -> npt.NDArray[Any]:
    """Return a tensor as an array, which can't be written to where it is of the kind that `schema.codec` encodes.

    Raises:
        ValueError: If the tensor contradicts itself.
        TypeError: If its type is unknown.
    """
    content = tensor.tensor_content
    if not content or tensor.dtype not in _TYPES:
        other: npt.NDArray[Any] = make_ndarray(tensor)
        return other
    shape = [axis.size for axis in tensor.tensor_shape.dim]
    return np.frombuffer(content, _TYPES[tensor.dtype]).reshape(shape)
