"""A watched model: the hooks on it and on its optimizers, until they are taken off."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from tb_netviz.events import NullSink, warn
from tb_netviz.pytorch.activations.capture import Capture
from tb_netviz.pytorch.activations.peers import Peers
from tb_netviz.pytorch.graph import UntraceableError, trace
from tb_netviz.pytorch.hooks import Guard, Hook
from tb_netviz.pytorch.membership import Membership, holds_any
from tb_netviz.pytorch.modes import Modes
from tb_netviz.pytorch.observer import Observer
from tb_netviz.pytorch.order import ExecutionOrder
from tb_netviz.pytorch.outputs import Ends, Evaluations
from tb_netviz.pytorch.roster import Roster
from tb_netviz.pytorch.run import Run
from tb_netviz.pytorch.scripted import is_scripted
from tb_netviz.pytorch.shards import leads
from tb_netviz.pytorch.sharing import complain
from tb_netviz.pytorch.steps import StepCounter
from tb_netviz.pytorch.structure import homes_in, unwrap
from tb_netviz.pytorch.team import Team
from tb_netviz.recorder import Recorder
from tb_netviz_plugin.schema.description import Omission


class Watch:
    """A watched model, as returned by `watch`. As a context manager it detaches at the end.

    It holds model and optimizers weakly, and leaves nothing on them when it is detached. In a process of a distributed
    run that is not the first one, and where the log folder can't be written, it counts steps and records nothing; for
    the first one it measures its shards of a sharded model, and the activations of its copy of a model.

    Args:
        run: What it writes into.
        name: Tells it apart from the other models of the run.
        model: The model.
        optimizers: Whose steps count; none means every optimizer that holds a parameter of the model.
        guard: Runs the hooks.
        steps: Counts the training steps.
        modes: Tells in which mode the model is trained, and in which it is evaluated.
        members: Tells which optimizers hold parameters of the model.
        order: Listens to the first forward pass.
        ends: Measures outputs, targets and inputs, and hears the loss.
        evaluations: Measures what the model gets and gives in evaluations.
        roster: The rows.
        recorder: Takes the values.
        observer: Measures the values.
        capture: Measures activations, where that is wanted.
        team: The processes that hold shards of the model.
        peers: Those that hold copies of it.

    Attributes:
        name: The same.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        *,
        guard: Guard,
        steps: StepCounter,
        modes: Modes,
        members: Membership,
        order: ExecutionOrder,
        ends: Ends,
        evaluations: Evaluations,
        roster: Roster,
        recorder: Recorder,
        observer: Observer,
        capture: Capture | None,
        team: Team,
        peers: Peers,
    ) -> None:
        self._run = run
        self.name = name
        self._model = weakref.ref(model)
        self._guard = guard
        self._steps = steps
        self._modes = modes
        self._members = members
        self._order = order
        self._ends = ends
        self._evaluations = evaluations
        self._roster = roster
        self._recorder = recorder
        self._observer = observer
        self._capture = capture
        self._team = team
        self._peers = peers
        self._counting = Guard("The number of the training step", tells=leads())
        self._joining = Guard("Sharded parameters", tells=leads())
        self._introducing = guard.part("The graph")
        self._leads = False  # Decided at the first step, when a distributed run knows its rank, as is the next.
        self._records: bool | None = None
        self._introduced = False  # Until a forward pass was heard, which a closure has within the first step.
        self._paused = False
        self._began = math.nan
        self._handles = [
            module.register_forward_pre_hook(modes.mark) for module in {model, unwrap(model)} if not is_scripted(module)
        ]
        self._handles += self._hook_steps(optimizers)
        observer.interventions.listen(homes_in(unwrap(model)))
        if capture is not None:
            capture.listen(with_bins=True)

    @property
    def step(self) -> int:
        """Index of the optimizer step in progress, from 0, or what the callable `step` of `watch` returns.

        It moves on with the first training-mode forward pass after the optimizer's step.
        """
        return self._steps.index

    @property
    def interval(self) -> int:
        """Every how many steps one is observed now."""
        return self._recorder.interval

    @property
    def attached(self) -> bool:
        """Whether hooks are on the model."""
        return bool(self._handles)

    def observe(self, *, outputs: object = None, targets: object = None, loss: object = None) -> None:
        """Say what a functional loss was computed from, and what it gave.

        Call it between the forward pass and `optimizer.step()`; where the step is not observed it returns at once.
        What is given is summarised and not kept. With a `criterion` that `watch` knows it is not needed.

        Args:
            outputs: What the model put out; a tensor, or something that holds one.
            targets: What it should have put out, likewise. Give them together with the outputs.
            loss: The loss, as a tensor or a number; recorded as long as no training loss is logged, or rarely.

        Raises:
            TypeError: If `outputs` or `targets` holds no tensor, or `loss` is no number.
        """
        if not torch.compiler.is_compiling():
            self._ends.observe(outputs, targets, loss)

    def pause(self) -> None:
        """Record nothing until `resume`; steps are counted."""
        self._guard.run(self._end_step)
        self._guard.run(self._observer.land)
        self._observer.free()
        self._evaluations.forget()
        self._peers.pause()
        self._paused = True

    def resume(self) -> None:
        """Go on recording."""
        self._paused = False
        self._began = math.nan
        self._modes.forget()
        self._ends.listen()
        if self._capture is not None:
            self._capture.listen(with_bins=True)

    def flush(self) -> None:
        """Write the records that are held."""
        if self.attached:
            self._guard.run(self._observer.land)
            self._guard.run(self._recorder.flush)

    def detach(self) -> None:
        """Take all hooks off, and write what is held. Detaching twice is harmless."""
        if not self.attached:
            return
        self._guard.run(self._end_step)
        self._guard.run(self._observer.land)
        if self._leads:
            self._guard.run(lambda: self._end_passes(self._steps.index))
        self._guard.run(self._recorder.close)
        self._guard.run(self._run.metrics.flush)
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._team.leave()
        self._peers.leave()
        self._order.detach()
        if self._capture is not None:
            self._capture.detach()
        self._observer.free()
        self._ends.detach()
        self._evaluations.detach()
        self._run.rest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.detach()

    def _hook_steps(self, optimizers: Sequence[Optimizer]) -> list[RemovableHandle]:
        before, after = Hook(self._counting, self._before_step), Hook(self._counting, self._after_step)
        if not optimizers:
            return [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
        self._known = {id(optimizer) for optimizer in optimizers}
        handles = [register_optimizer_step_pre_hook(Hook(self._counting, self._notice))]
        for optimizer in optimizers:
            handles += [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]
        return handles

    def _notice(self, optimizer: Optimizer, _arguments: object, _keywords: object) -> None:
        """Say of an optimizer that was not given that it steps the model, too."""
        if id(optimizer) in self._known:
            return
        self._known.add(id(optimizer))
        model = self._model()
        if model is not None and holds_any(optimizer, model):
            warn(
                f"{type(unwrap(model)).__name__} is also stepped by {type(optimizer).__name__}, an optimizer that "
                "watch was not given; those steps are not recorded. Call watch again with all of them, or with none.",
                stacklevel=6,
            )

    def _before_step(self, optimizer: Optimizer, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        if not self._members.concerns(optimizer):
            return
        left_out = self._observer.interventions.left_out(optimizer, first=not self._steps.begun)
        index = self._steps.begin(optimizer, left_out)
        if self._records is None:
            self._leads = leads() and not isinstance(self._run.sink, NullSink)
            self._joining.run(self._join, index)
            self._records = self._leads or self._team.together or self._peers.follows
        if not self._introduced and (self._order.heard or self._steps.ordinal):
            self._introduced = True
            self._introducing.run(self._introduce)
        if not self._active or not self._guard.run(self._observe, index, optimizer, arguments, keywords):
            self._observer.free()

    def _observe(self, index: int, optimizer: Optimizer, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        if self._observer.ordinal != self._steps.ordinal:
            self._end_step()
            if self._leads:
                self._end_passes(index)
        left_out = self._steps.left_out(index)
        if left_out and self._leads:
            self._observer.interventions.skip(left_out)
        self._observer.before_step(index, self._steps.ordinal, optimizer, arguments, keywords)

    def _after_step(self, optimizer: Optimizer, _arguments: object, _keywords: object) -> None:
        if not self._members.concerns(optimizer):
            return
        if self._active and not self._guard.run(self._observer.after_step, optimizer):
            self._team.leave(self._guard.last_loss)
            self._peers.leave("failed")
        if self._paused and self._team.together:
            self._guard.run(self._observer.sit_out, self._steps.ordinal)
        self._steps.done(optimizer)

    def _end_passes(self, step: int) -> None:
        self._evaluations.end(step, evaluated=self._modes.end(step))

    def _end_step(self) -> None:
        now = time.perf_counter()
        # Time that went into an evaluation is none of the step's.
        seconds = math.nan if self._steps.evaluated else now - self._began
        self._began, self._steps.evaluated = now, False
        self._observer.end_step(seconds, self._guard.take_seconds(), loss_is_logged=not self._run.needs_loss())

    @property
    def _active(self) -> bool:
        return bool(self._records) and not self._paused and (self._leads or self._team.together or self._peers.follows)

    def _join(self, index: int) -> None:
        """Settle whether sharded parameters are recorded."""
        model = self._model()
        if model is None:
            return
        root = unwrap(model)
        self._team.settle(root, self._steps.ordinal, index)
        if leads() and not self._leads:
            self._team.leave("the first process can't write its log folder")
        self._recorder.shared = self._team.together
        if self._team.together:
            self._roster.omit(Omission("histograms", "those of sharded parameters are not written"))
        if self._capture is not None and (self._leads or not leads()):
            self._peers.settle(root, index, self._roster.omit)
        if self._leads:
            complain(root, self._team.refusal)

    def _introduce(self) -> None:
        """Say goodbye to the first forward pass, and write the graph."""
        self._order.stop()
        model = self._model()
        if self._leads and model is not None and not self._run.has_graph:
            self._run.has_graph = True
            try:
                self._run.sink.offer(trace(model, self._order.call))
            except UntraceableError as reason:
                self._roster.omit(Omission("graph", str(reason)))
        self._order.forget()
