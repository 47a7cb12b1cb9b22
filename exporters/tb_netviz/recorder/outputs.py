"""What is known of the outputs of a model, from observed steps to records."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz.recorder.windows import Float32, Folding, ValueWindow
from tb_netviz.statistics.partials import Array
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.columns import OUTPUT_COLUMNS
from tb_netviz_plugin.schema.description import class_tag, output_chunk
from tb_netviz_plugin.schema.tags import Family

OUTPUT_IDS = tuple(column.id for column in OUTPUT_COLUMNS)


class OutputValues(NamedTuple):
    """What was measured at one step.

    Attributes:
        columns: OUTPUT_COLUMNS, float64; NaN where nothing was measured.
        classes: CLASS_COLUMNS of each class, float64 [classes, 3]; None where there are none.
    """

    columns: Array
    classes: Array | None


class OutputRecords:
    """The open record of what goes into a model and comes out of it, along with that of its parameters.

    Args:
        model: Name of the model.
    """

    def __init__(self, model: str) -> None:
        self.chunk = output_chunk(model, OUTPUT_IDS)
        self._model = model
        self._folding = Folding(OUTPUT_IDS)
        self._window: ValueWindow | None = None
        self._classes: Array | None = None
        self._last = 0

    def observe(self, step: int, values: OutputValues) -> None:
        """Take what was measured at `step`."""
        if self._window is None:
            self._window = ValueWindow(step, self._folding)
        self._window.add(step, _short(values.columns)[np.newaxis])
        if values.classes is None:
            return
        if self._classes is None:
            self._classes = np.zeros_like(values.classes)
        if self._classes.shape == values.classes.shape:  # Of another loss nothing can be added.
            self._classes += values.classes
            self._last = step

    def take(self, *, with_classes: bool) -> list[Summary.Value]:
        """Return what goes along with a record of the parameters; the next one begins."""
        window, self._window = self._window, None
        values = []
        if window is not None:
            planes = window.planes()[:, 0]
            values.append(tensor_value(self.chunk.tag, Family.OUTPUTS, planes[0] if len(planes) == 1 else planes))
        return values + (self._take_classes() if with_classes else [])

    def rest(self) -> tuple[int, list[Summary.Value]] | None:
        """Return the last step at which classes were met since their last record, and its values; None without any."""
        return (self._last, self._take_classes()) if self._classes is not None else None

    def _take_classes(self) -> list[Summary.Value]:
        classes, self._classes = self._classes, None
        if classes is None:
            return []
        tag = class_tag(self._model, len(classes))
        return [tensor_value(tag, Family.CLASSES, _short(classes))]


def _short(values: Array) -> Float32:
    """Return `values` as float32, in which what lies beyond is infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
