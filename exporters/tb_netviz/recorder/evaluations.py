"""Records of evaluations, an event each."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event

from tb_netviz.events import Sink
from tb_netviz.statistics.evaluations import Side, evaluation_columns
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.description import evaluation_tag
from tb_netviz_plugin.schema.tags import Family


class EvaluationRecords:
    """Records what a model got and gave in evaluations.

    Args:
        sink: Takes the events.
        model: Name of the model.
        clock: Gives the wall time of events.
    """

    def __init__(self, sink: Sink, model: str, *, clock: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._tag = evaluation_tag(model.encode("utf-8", "replace").decode("utf-8"))  # As the description has it.
        self._clock = clock

    def write(self, step: int, evaluated: Side, trained: Side) -> None:
        """Write what an evaluation before `step` was like, beside training up to it."""
        with np.errstate(over="ignore"):
            columns = evaluation_columns(evaluated, trained).astype(np.float32)
        event = Event(wall_time=self._clock(), step=step)
        event.summary.value.append(tensor_value(self._tag, Family.EVALUATIONS, columns))
        self._sink.offer(event)
