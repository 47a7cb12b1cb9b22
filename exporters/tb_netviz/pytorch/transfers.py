"""Tensors on their way to the host. The training never waits for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Transfer:
    """A copy of `tensor` as it is now, which arrives on the host some time later.

    From CUDA it goes into pinned memory, which torch's allocator keeps for the next one; of other accelerators the
    copy is waited for.
    """

    def __init__(self, tensor: Tensor) -> None:
        tensor = tensor.detach()
        self._arrived: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # In torch.
            self._arrived.record(torch.cuda.current_stream(tensor.device))
        else:
            self._host = tensor.to("cpu", copy=True).resolve_neg()

    @property
    def ready(self) -> bool:
        """Whether `array` would not wait."""
        return self._arrived is None or bool(self._arrived.query())  # type: ignore[no-untyped-call]  # In torch.

    def array(self) -> npt.NDArray[Any]:
        """Return the elements, after waiting for them if need be; short floats as float32."""
        if self._arrived is not None:
            self._arrived.synchronize()
            self._arrived = None
        short = self._host.is_floating_point() and self._host.element_size() < 4
        return np.asarray(self._host.float() if short else self._host)

    def number(self) -> float:
        """Return the only element."""
        return float(self.array().reshape(()))
