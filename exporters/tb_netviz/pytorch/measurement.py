"""The values of one training step, filled in optimizer by optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tb_netviz.pytorch.reductions import device as on_device
from tb_netviz.pytorch.reductions import host as on_host
from tb_netviz.pytorch.reductions.tensors import dense_elements, sample
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz.statistics.bins import stride
from tb_netviz.statistics.partials import GRADIENT_SUMS, PAIR_SUMS, SUMS, columns_from
from tb_netviz_plugin.schema import bins

_PAIR_END = len(GRADIENT_SUMS) + len(PAIR_SUMS)
_GRADIENT = slice(0, _PAIR_END)
_WEIGHT = slice(_PAIR_END, len(SUMS))

_Array = npt.NDArray[np.float64]

_GRADIENT_COLUMNS = (
    "present",
    "grad_norm",
    "grad_abs_sum",
    "grad_abs_max",
    "grad_sum",
    "grad_zeros",
    "grad_nonfinite",
)


def columns_of(*, gradients: bool, updates: bool) -> tuple[str, ...]:
    """Return the ids of what is measured, in order."""
    return (
        *(_GRADIENT_COLUMNS if gradients else ()),
        "weight_norm",
        *(("update_norm",) if updates else ()),
        *(("grad_dot_last", "grad_norm_last") if gradients and updates else ()),
    )


class Part:
    """The sums of the rows that lie on one device; those of other devices are 0 here, so that parts add up.

    Attributes:
        sums: SUMS of each row, [rows, len(SUMS)], on the device, float64 where it knows that.
        largest: Largest magnitude of each row's gradient, [rows], likewise.
    """

    def __init__(self, device: torch.device, rows: int) -> None:
        wide = on_device.wide_type(device)
        self.sums = torch.zeros(rows, len(SUMS), dtype=wide, device=device)
        self.largest = torch.zeros(rows, dtype=wide, device=device)
        self._arriving: tuple[Transfer, Transfer] | None = None

    def take_gradients(self, rows: Sequence[int], gradients: Sequence[Tensor], lasts: Sequence[Tensor | None]) -> None:
        """Reduce the gradients of `rows`, each beside that of the step before where there is one."""
        if self.sums.is_cpu:
            self.sums.numpy()[rows, _GRADIENT], self.largest.numpy()[rows] = on_host.gradient_sums(gradients, lasts)
        else:
            sums, largest = on_device.gradient_sums(gradients, lasts)
            places = on_device.sent(rows, self.sums, torch.int64)
            self.sums[:, _GRADIENT].index_copy_(0, places, sums)
            self.largest.index_copy_(0, places, largest)

    def take_weights(self, rows: Sequence[int], tensors: Sequence[Tensor], before: Sequence[Tensor] | None) -> None:
        """Reduce the parameters of `rows`, and how far they have moved from the copies in `before`."""
        if self.sums.is_cpu:
            self.sums.numpy()[rows, _WEIGHT] = on_host.weight_sums(tensors, before)
        else:
            places = on_device.sent(rows, self.sums, torch.int64)
            self.sums[:, _WEIGHT].index_copy_(0, places, on_device.weight_sums(tensors, before))

    def send(self) -> None:
        """Let the sums set out for the host; they are complete."""
        self._arriving = Transfer(self.sums), Transfer(self.largest)

    @property
    def ready(self) -> bool:
        """Whether the sums have arrived."""
        return self._arriving is not None and all(transfer.ready for transfer in self._arriving)

    def arrays(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return `sums` and `largest` on the host, after waiting for them if need be."""
        if self._arriving is None:
            self.send()
        assert self._arriving is not None
        sums, largest = self._arriving
        return sums.array().astype(np.float64), largest.array().astype(np.float64)


class Measurement:
    """Values [rows, columns] of one step, NaN where nothing was measured.

    Args:
        rows: Number of parameters.
        columns: Ids of what is measured.
        with_bins: Whether gradient magnitudes are counted, too.

    Attributes:
        parts: By device, what merges over shards before `send`.
        counts: Bins of the host's rows, uint16 [rows, bins.COUNT], where they are counted.
    """

    def __init__(self, rows: int, columns: Sequence[str], *, with_bins: bool) -> None:
        self.columns = tuple(columns)
        self.parts: dict[torch.device, Part] = {}
        self.counts = np.zeros((rows, bins.COUNT), dtype=np.uint16) if with_bins else None
        self._samples: list[tuple[int, int, Transfer]] = []
        self._rows = rows
        self._asked = np.zeros(rows, dtype=bool)
        self._merged: list[tuple[Sequence[int], _Array, _Array]] = []
        self._values: npt.NDArray[np.float64] | None = None

    def take_gradients(
        self, rows: Sequence[int], gradients: Sequence[Tensor | None], last: Mapping[int, Tensor]
    ) -> None:
        """Reduce `gradients`; `last` are those of the step before, by row."""
        held = {row: gradient for row, gradient in zip(rows, gradients, strict=True) if gradient is not None}
        for part, places in self._by_device(held):
            now = [held[row] for row in places]
            then = [_alike(last.get(row), held[row]) for row in places]
            part.take_gradients(places, now, then)
        self._asked[rows] = True  # Of a failure nothing is said, not that there was no gradient.

    def take_bins(self, rows: Sequence[int], gradients: Sequence[Tensor | None], elements: Sequence[int]) -> None:
        """Count the magnitudes of `gradients`, shards of as many `elements`, where they are to be counted."""
        if self.counts is None:
            return
        every = zip(rows, gradients, elements, strict=True)
        held = [(row, _thinned(gradient, size)) for row, gradient, size in every if gradient is not None]
        on_cpu = [(row, gradient) for row, gradient in held if gradient.is_cpu]
        if on_cpu:
            self.counts[[row for row, _ in on_cpu]] = on_host.gradient_bins([gradient for _, gradient in on_cpu])
        for row, gradient in held:
            if not gradient.is_cpu:
                self._samples.append((row, gradient.numel(), Transfer(sample(gradient, bins.SAMPLES))))

    def take_weights(self, rows: Sequence[int], weights: Sequence[Tensor], before: Mapping[int, Tensor] | None) -> None:
        """Measure the norms of `weights`, and how far they have moved from the copies in `before`, by row."""
        tensors = {row: weight.detach() for row, weight in zip(rows, weights, strict=True)}
        for part, places in self._by_device(tensors):
            part.take_weights(
                places, [tensors[row] for row in places], None if before is None else [before[row] for row in places]
            )

    def sums(self, rows: Sequence[int]) -> tuple[_Array, _Array]:
        """Return SUMS of `rows` so far, float64 [len(rows), len(SUMS)], and the largest magnitudes, after waiting."""
        sums, largest = np.zeros((self._rows, len(SUMS))), np.zeros(self._rows)
        sums[:, 0] = self._asked
        for part in self.parts.values():
            sums[:, 1:] += part.sums.to("cpu", torch.float64).numpy()[:, 1:]
            largest = np.maximum(largest, part.largest.to("cpu", torch.float64).numpy())
        return sums[rows], largest[rows]

    def replace(self, rows: Sequence[int], sums: _Array, largest: _Array) -> None:
        """Let `rows` be what several processes have measured together, in the form of `sums`."""
        self._merged.append((rows, sums, largest))

    def send(self) -> None:
        """Let what was measured set out for the host; it is complete."""
        for part in self.parts.values():
            part.send()

    @property
    def ready(self) -> bool:
        """Whether everything has arrived."""
        return all(part.ready for part in self.parts.values()) and all(sent.ready for _, _, sent in self._samples)

    def values(self) -> npt.NDArray[np.float64]:
        """Return the values, float64 [rows, columns], after waiting for them if need be."""
        if self._values is None:
            self._values = self._derive()
        return self._values

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """Return one column, float64 [rows], after waiting if need be; NaN where it is not measured."""
        if name not in self.columns:
            return np.full(self._rows, np.nan)
        return self.values()[:, self.columns.index(name)]

    def _derive(self) -> npt.NDArray[np.float64]:
        sums, largest = np.zeros((self._rows, len(SUMS))), np.zeros(self._rows)
        sums[:, 0] = self._asked
        for part in self.parts.values():
            part_sums, part_largest = part.arrays()
            sums[:, 1:] += part_sums[:, 1:]
            largest = np.maximum(largest, part_largest)
        for rows, merged_sums, merged_largest in self._merged:
            sums[rows], largest[rows] = merged_sums, merged_largest
        return columns_from(sums, largest, self.columns)

    def bins(self) -> npt.NDArray[np.uint16] | None:
        """Return the counts, uint16 [rows, bins.COUNT], after waiting if need be; None where there are none."""
        if self.counts is not None:
            for row, elements, sent in self._samples:
                self.counts[row] = on_host.sample_bins(elements, sent.array())
            self._samples.clear()
        return self.counts

    def _by_device(self, tensors: Mapping[int, Tensor]) -> Iterator[tuple[Part, list[int]]]:
        """Yield each device's part with the rows whose tensors lie there."""
        rows: dict[torch.device, list[int]] = {}
        for row, tensor in tensors.items():
            rows.setdefault(tensor.device, []).append(row)
        for device, places in rows.items():
            if device not in self.parts:
                self.parts[device] = Part(device, self._rows)
            yield self.parts[device], places


def _thinned(gradient: Tensor, elements: int) -> Tensor:
    """Return `gradient`, of a shard a sample: all shards of a tensor are sampled at one stride."""
    if not 0 < gradient.numel() < elements:
        return gradient
    return dense_elements(gradient)[:: stride(elements)].contiguous()


def _alike(last: Tensor | None, gradient: Tensor) -> Tensor | None:
    """Return `last` where it can be multiplied with `gradient`."""
    if last is None or last.shape != gradient.shape or last.dtype != gradient.dtype or last.device != gradient.device:
        return None
    return last
