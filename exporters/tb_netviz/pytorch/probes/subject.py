"""The model that is run beside its training."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from torch import nn

from tb_netviz.pytorch.probes.rounds import Rounds
from tb_netviz.pytorch.probes.sessions import BareTraining, WatchedTraining
from tb_netviz.pytorch.run import Run
from tb_netviz.pytorch.scripted import has_scripted
from tb_netviz.pytorch.structure import unwrap
from tb_netviz.pytorch.watch import Watch


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, and its training.

    Attributes:
        root: The model without its wrappers.
        name: Of the model in its run.
        rounds: The probes of its training.
    """

    root: nn.Module
    name: str
    rounds: Rounds


_rounds: weakref.WeakValueDictionary[int, Rounds] = weakref.WeakValueDictionary()
"""By the id of the watch, or of the model that nothing else watches. Their probes hold them."""


def subject_of(run: Run, model: nn.Module | None, caller: str) -> Subject:
    """Return the model that is meant: the given one, or the only one that is watched.

    Args:
        run: What is recorded.
        model: The model, or None.
        caller: What the user has called.

    Raises:
        TypeError: If it is no module.
        ValueError: If it is not clear which one is meant, or it can't be run.
    """
    watch, watched = _find(run, model)
    root = unwrap(watched)
    if has_scripted(root):
        raise ValueError(
            "model holds TorchScript, whose modules can't be looked into; give the model as it was written"
        )
    if any(tensor.is_meta for tensor in (*root.parameters(), *root.buffers())):
        raise ValueError(
            f"model has parameters on the meta device, which have no values yet; call {caller} once it has"
        )
    return Subject(root, run.name(root, None) if watch is None else watch.name, _rounds_of(watch, root))


def _rounds_of(watch: Watch | None, root: nn.Module) -> Rounds:
    """Return the rounds of a training, which are new where it has no probes."""
    key = id(root if watch is None else watch)
    rounds = _rounds.get(key)
    if rounds is None or rounds.over:
        rounds = Rounds(BareTraining(root) if watch is None else WatchedTraining(watch))
        _rounds[key] = rounds
    return rounds


def _find(run: Run, model: nn.Module | None) -> tuple[Watch | None, nn.Module]:
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
