"""From the arguments of `watch_activation_maps` to a probe."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from tb_netviz.events import NullSink, warn
from tb_netviz.pytorch.probes.album import Album
from tb_netviz.pytorch.probes.attribution import methods_of, targets_of
from tb_netviz.pytorch.probes.inputs import ProbeInputs
from tb_netviz.pytorch.probes.places import Selection, patterns_of
from tb_netviz.pytorch.probes.probe import SPREAD, ActivationMaps, Wanted
from tb_netviz.pytorch.probes.sessions import BareTraining, Session, WatchedTraining
from tb_netviz.pytorch.run import Run, RunOwner
from tb_netviz.pytorch.scripted import has_scripted
from tb_netviz.pytorch.shards import is_spread_over_processes, leads
from tb_netviz.pytorch.structure import unwrap
from tb_netviz.pytorch.watch import Watch
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
        watch, watched = _subject(run, model)
        root = unwrap(watched)
        _refuse_scripted(root)
        _refuse_meta(root)
        given = ProbeInputs(inputs)
        wanted = Wanted(
            Selection(root, patterns_of(modules)),
            methods_of(attribution),
            targets_of(target, given.samples),
            bool(images),
        )
        session: Session = BareTraining(root) if watch is None else WatchedTraining(watch)
        schedule = ProbeSchedule(every, session.budget, _bytes(budget_bytes))
        album = Album(
            run.sink if leads() else NullSink(run.sink.log_dir),
            run.name(root, None) if watch is None else watch._recorder._model,
            _text(name),
            given,
            _labels(labels, given.samples),
            budget_bytes,
        )
        probe = ActivationMaps(root, session, given, wanted, schedule, album)
        if is_spread_over_processes(root):
            if leads():
                warn(f"{SPREAD}.", stacklevel=2)
            probe.detach()
        self._adopt(probe)
        return probe


def _subject(run: Run, model: nn.Module | None) -> tuple[Watch | None, nn.Module]:
    """Return the watch of the model, if it is watched, and the model."""
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    watches = [(watch, watch._model()) for watch in run.watches if watch.attached]
    alive = [(watch, known) for watch, known in watches if known is not None]
    if model is not None:
        found = [watch for watch, known in alive if unwrap(known) is unwrap(model)]
        return (found[-1] if found else None), model
    if len(alive) != 1:
        raise ValueError(
            f"{len(alive) or 'no'} models are watched; "
            + ("say which one with model=…" if alive else "call writer.watch(model) before, or give it as model=…")
        )
    return alive[0]


def _refuse_scripted(model: nn.Module) -> None:
    if has_scripted(model):
        raise ValueError(
            "model holds TorchScript, whose modules can't be looked into; give the model as it was written"
        )


def _refuse_meta(model: nn.Module) -> None:
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise ValueError(
            "model has parameters on the meta device, which have no values yet; call watch_activation_maps once it has"
        )


def _labels(labels: Iterable[Any] | None, samples: int) -> list[str]:
    if labels is None:
        return []
    given = labels.tolist() if isinstance(labels, torch.Tensor) else list(labels)
    if len(given) != samples:
        raise ValueError(f"labels must be one for each of the {samples} samples, got {len(given)}")
    return [str(label) for label in given]


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name must be a text, got {name!r}")
    return name


def _bytes(budget: Any) -> int:
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
        raise ValueError(f"budget_bytes must be a whole number of bytes, at least 1, got {budget!r}")
    return budget
