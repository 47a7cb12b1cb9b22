"""From the arguments of `watch_activation_maps` to a probe."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from tb_netviz.events import NullSink
from tb_netviz.pytorch.probes.album import Album
from tb_netviz.pytorch.probes.arguments import bytes_of, text_of
from tb_netviz.pytorch.probes.attribution import methods_of, targets_of
from tb_netviz.pytorch.probes.inputs import ProbeInputs
from tb_netviz.pytorch.probes.places import Selection, patterns_of
from tb_netviz.pytorch.probes.subject import subject_of
from tb_netviz.pytorch.probes.watched import ActivationMaps, Wanted
from tb_netviz.pytorch.run import RunOwner
from tb_netviz.pytorch.shards import is_spread_over_processes, leads
from tb_netviz.recorder.probing import ProbeSchedule


class ProbeOwner(RunOwner):
    """A writer that runs probes beside the training of the models that it watches."""

    @abstractmethod
    def _adopt(self, probe: ActivationMaps) -> None:
        """Keep a probe; it takes the place of one of the same model and name."""

    def watch_activation_maps(
        self,
        inputs: Any,
        modules: str | Iterable[str] | None = None,
        *,
        model: nn.Module | None = None,
        name: str = "probe",
        labels: Iterable[Any] | None = None,
        every: int | None = None,
        target: int | Sequence[int] | None = None,
        attribution: str | Iterable[str] = (),
        images: bool = True,
        budget_bytes: int = 64 << 20,
    ) -> ActivationMaps:
        """Run `inputs` through a model now and then, and keep pictures of what its modules make of them.

        Args:
            inputs: A handful of samples: a tensor whose first dimension is the sample, or a tuple or dict of the
                model's arguments. They are copied.
            modules: Patterns of module names such as "blocks.*.conv"; by default convolutions, recurrent layers and
                attention.
            model: The model, where several are watched or none.
            name: Tells several probes of a model apart.
            labels: What the samples are, one for each.
            every: Run them every so many steps, whatever it costs; by default as often as the budget of the watch
                allows, and at most eight times for each doubling of the step count.
            target: Class that is explained, or one for each sample; by default that which the model predicts then.
            attribution: Some of "saliency" and "grad_cam", for which captum has to be installed.
            images: Whether TensorBoard's Images dashboard gets grids of the first sample, once for each doubling of the
                step count.
            budget_bytes: Bytes that the pictures may take in the event file.

        Raises:
            TypeError: If an argument is of the wrong kind.
            ValueError: If the model is not told, or an argument does not fit it.
            ModuleNotFoundError: If captum is needed and not installed.
        """
        run = self.netviz_run()
        subject = subject_of(run, model, "watch_activation_maps")
        root = subject.root
        given = ProbeInputs(inputs)
        wanted = Wanted(
            Selection(root, patterns_of(modules)),
            methods_of(attribution),
            targets_of(target, given.samples),
            bool(images),
        )
        schedule = ProbeSchedule(every, subject.rounds.time, bytes_of(budget_bytes))
        album = Album(
            run.sink if leads() else NullSink(run.sink.log_dir),
            subject.name,
            text_of(name),
            given,
            _labels(labels, given.samples),
            budget_bytes,
        )
        probe = ActivationMaps(root, subject.rounds, given, wanted, schedule, album)
        if is_spread_over_processes(root):
            probe.refuse()
        self._adopt(probe)
        return probe


def _labels(labels: Iterable[Any] | None, samples: int) -> list[str]:
    if labels is None:
        return []
    given = labels.tolist() if isinstance(labels, torch.Tensor) else list(labels)
    if len(given) != samples:
        raise ValueError(f"labels must be one for each of the {samples} samples, got {len(given)}")
    return [str(label) for label in given]
