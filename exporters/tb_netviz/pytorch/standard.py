"""What TensorBoard's own dashboards show of a watched model: scalars and histograms."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from tb_netviz.events import Sink
from tb_netviz.pytorch._summary_writer import scalar
from tb_netviz.pytorch.clipping import Clipped
from tb_netviz.pytorch.histograms import HistogramSample, HistogramSchedule
from tb_netviz.pytorch.losses import (
    CLIPPED,
    EVALUATED_IN_TRAINING,
    GONE_GRADIENT,
    GRADIENT_NORM_BEFORE,
    KEPT_GRADIENT,
    LEARNING_RATE,
    SKIPPED,
    TRAIN_LOSS,
    TRAINED_IN_EVALUATION,
)
from tb_netviz.pytorch.survival import Survived
from tb_netviz.recorder import MetricRecorder

LEARNING_RATES = 16
"""Groups of which something is written at most: their learning rate, and what became of their gradients."""


class Dashboards:
    """Writes scalars of the observed steps, and histograms of a few of them.

    Args:
        sink: Takes the events.
        metrics: Takes learning rates and losses for our own tab.
        model: Name of the model; part of the tags where there is one.
        histograms: Whether there are histograms, or every how many steps.
    """

    def __init__(self, sink: Sink, metrics: MetricRecorder, model: str, histograms: bool | int) -> None:
        self._sink = sink
        self._metrics = metrics
        self._prefix = f"{model}/" if model else ""
        self._schedule = HistogramSchedule(histograms)
        self._skipped = 0
        self._skipped_lately: deque[int] = deque(maxlen=64)

    def histograms_due(self, step: int) -> bool:
        """Whether the observed `step` is to have histograms; if so, the next ones are later."""
        return self._schedule.due(step)

    def samples(self, kind: str, names: Iterable[str], tensors: Sequence[Tensor | None]) -> list[HistogramSample]:
        """Take a sample of each tensor, for `end`; `kind` is "gradients" or "weights"."""
        return [
            HistogramSample(f"{kind}/{self._prefix}{name}", tensor)
            for name, tensor in zip(names, tensors, strict=True)
            if tensor is not None and tensor.numel()
        ]

    def end(
        self,
        step: int,
        gradient_norms: npt.NDArray[np.float64],
        rates: Sequence[float],
        loss: float | None,
        samples: Iterable[HistogramSample],
    ) -> None:
        """Write what belongs to an observed step.

        Args:
            step: Its index.
            gradient_norms: Of the parameters, NaN where there is none.
            rates: Learning rates of all groups.
            loss: The training loss, if we are the ones to write it.
            samples: What there are histograms of.
        """
        summary = Summary()
        if np.isfinite(gradient_norms).any():
            summary.MergeFrom(scalar(self._tag("gradient_norm"), float(np.sqrt(np.nansum(gradient_norms**2)))))
        for place, rate in enumerate(rates[:LEARNING_RATES]):
            tag = self._tag_of_group("learning_rate", place, len(rates))
            summary.MergeFrom(scalar(tag, rate))
            self._metrics.log(tag, LEARNING_RATE, step, rate)
        if loss is not None:
            summary.MergeFrom(scalar(self._tag("train_loss"), loss))
            self._metrics.log(self._tag("train_loss"), TRAIN_LOSS, step, loss)
        for sample in samples:
            summary.MergeFrom(sample.summary())
        self._offer(step, summary)

    def clipped(self, step: int, outcome: Clipped) -> None:
        """Write what became of the gradients of an observed step."""
        summary = Summary()
        before, was_clipped = self._tag("gradient_norm_before_clipping"), self._tag("clipped")
        summary.MergeFrom(scalar(before, outcome.norm_before))
        summary.MergeFrom(scalar(was_clipped, float(outcome.clipped)))
        self._metrics.log(before, GRADIENT_NORM_BEFORE, step, outcome.norm_before)
        self._metrics.log(was_clipped, CLIPPED, step, float(outcome.clipped))
        self._offer(step, summary)

    def survived(self, outcome: Survived, groups: int) -> None:
        """Write whether the gradients of an observed step were kept, of one of so many groups."""
        tag = self._tag_of_group("kept_gradients", outcome.place, groups)
        self._metrics.log(tag, KEPT_GRADIENT, outcome.step, float(outcome.kept))
        self._offer(outcome.step, scalar(tag, float(outcome.kept)))

    def gone(self, step: int, place: int, groups: int, *, gone: bool) -> None:
        """Write whether nothing was left of the gradients of one of so many groups as its optimizer stepped."""
        tag = self._tag_of_group("gone_gradients", place, groups)
        self._metrics.log(tag, GONE_GRADIENT, step, float(gone))
        self._offer(step, scalar(tag, float(gone)))

    def evaluated(self, step: int, *, in_training: bool) -> None:
        """Write that the model was evaluated before `step`, and whether that was in training mode."""
        self._tell(step, "evaluated_in_training_mode", EVALUATED_IN_TRAINING, in_training)

    def trained(self, step: int, *, in_evaluation: bool) -> None:
        """Write whether the model is trained in evaluation mode by `step`."""
        self._tell(step, "trained_in_evaluation_mode", TRAINED_IN_EVALUATION, in_evaluation)

    def _tell(self, step: int, name: str, role: str, holds: bool) -> None:
        self._metrics.log(self._tag(name), role, step, float(holds))
        if holds:  # Else TensorBoard's own dashboards would show a flat line of each run that is as it should be.
            self._offer(step, scalar(self._tag(name), 1.0))

    def skipped(self, step: int) -> None:
        """Write that a loss scaler has left out `step`; the part of another optimizer in it is the same step."""
        if step in self._skipped_lately:
            return
        self._skipped_lately.append(step)
        self._skipped += 1
        self._metrics.log(self._tag("skipped_step"), SKIPPED, step, 1.0, rare=True)
        self._offer(step, scalar(self._tag("skipped_steps"), float(self._skipped)))

    def _offer(self, step: int, summary: Summary) -> None:
        if summary.value:
            self._sink.offer(Event(wall_time=time.time(), step=step, summary=summary))

    def _tag_of_group(self, name: str, place: int, groups: int) -> str:
        return self._tag(name if groups == 1 else f"{name}/{place}")

    def _tag(self, name: str) -> str:
        return f"netviz/{self._prefix}{name}"
