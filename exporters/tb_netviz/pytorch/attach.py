"""From the arguments of `watch` to a watched model."""

from __future__ import annotations

import importlib.metadata
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tb_netviz.events import NullSink, warn
from tb_netviz.live import OnFinding, check_action
from tb_netviz.pytorch._summary_writer import SummaryWriter
from tb_netviz.pytorch.activations.capture import Capture
from tb_netviz.pytorch.activations.peers import Peers
from tb_netviz.pytorch.hooks import Guard
from tb_netviz.pytorch.losses import Roles, StepLoss
from tb_netviz.pytorch.measurement import columns_of
from tb_netviz.pytorch.membership import Membership, innermost, parameters_of
from tb_netviz.pytorch.modes import Modes
from tb_netviz.pytorch.observer import Observer
from tb_netviz.pytorch.order import ExecutionOrder
from tb_netviz.pytorch.outputs import Ends, Evaluations
from tb_netviz.pytorch.roster import Roster
from tb_netviz.pytorch.run import Run, run_of
from tb_netviz.pytorch.scripted import is_scripted
from tb_netviz.pytorch.shards import kind_of, leads
from tb_netviz.pytorch.sharing import Sharing
from tb_netviz.pytorch.standard import Dashboards
from tb_netviz.pytorch.steps import StepCounter
from tb_netviz.pytorch.structure import unwrap
from tb_netviz.pytorch.team import Team
from tb_netviz.pytorch.watch import Watch
from tb_netviz.recorder import FOR_CHECKS, EvaluationRecords, Recorder

_DISTRIBUTION = "tb-netviz-plugin"

_watched: weakref.WeakKeyDictionary[nn.Module, Watch] = weakref.WeakKeyDictionary()

# By folder and name of the model.
_recorded: weakref.WeakValueDictionary[tuple[str, str], Watch] = weakref.WeakValueDictionary()


def watch(
    model: nn.Module,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    criterion: nn.Module | None = None,
    *,
    writer: SummaryWriter,
    name: str | None = None,
    step: Callable[[], int] | None = None,
    every: int | None = None,
    budget: float = 0.02,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    gradients: bool = True,
    updates: bool = True,
    activations: bool = True,
    histograms: bool | int = True,
    train_loss: str | None = None,
    val_loss: str | None = None,
    on_finding: OnFinding = "warn",
) -> Watch:
    """Record gradients, weights and activations of `model` while it trains.

    Call it before the first forward pass; in a run of several processes in each of them, of which the first one writes.
    Nothing that happens in the hooks stops the training: the first error is reported as a warning, and the recording
    ends.

    Args:
        model: The model, wrapped for torch.compile or distributed training or not. It is held weakly.
        optimizer: The optimizer, or several. Without one, every optimizer that holds a parameter of the model counts.
        criterion: The loss module. What it returns is recorded where no training loss is logged, or rarely; what it
            gets, outputs and targets, is summarised at once and never stored. Where the loss is a function, call
            `observe` of the writer, or of the watch, after it.
        writer: Where records go: a NetVizWriter, or any torch SummaryWriter, through whose file they are then written.
            Of another SummaryWriter the losses that are logged can't be heard.
        name: Tells several models of a run apart.
        step: Returns your own global step; it is called just before the optimizer steps.
        every: Observe every so many steps, whatever it costs.
        budget: Otherwise the share of the training time that may be spent in recording.
        include: Patterns of parameter names such as "blocks.*.weight"; others are left out.
        exclude: Patterns of parameter names that are left out.
        gradients: Whether gradients are measured.
        updates: Whether updates and the angle to the last gradient are measured; they take copies of weights and of
            gradients at observed steps.
        activations: Whether the outputs of activations and of modules with weights are measured, and those of functions
            such as `F.relu` where they are called in the model's own forward pass.
        histograms: Whether TensorBoard's own dashboard gets histograms of gradients and weights, about 50 in 10,000
            steps, or at every how many steps. They are of a sample of 4,096 elements of a tensor.
        train_loss: Tag under which you log the training loss, where it is not "loss/train", "train_loss" or the like.
        val_loss: Tag under which you log the validation loss.
        on_finding: What is to be done when a rule finds that something is wrong: "warn" prints a line, "raise" raises
            FindingError and "breakpoint" opens the debugger, both in your next call of the writer; a callable is called
            there with the LiveFinding; "ignore". Each finding is told once.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `budget`, `every` or `histograms` is out of range, `name` is another model's, or there is no
            `on_finding` of that name.
        RemoteLogDirError: If the writer's folder is not local.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if step is not None and not callable(step):
        raise TypeError(f"step must be a callable that returns your global step, got {step!r}")
    check_action(on_finding)
    run = run_of(writer)
    root = unwrap(model)
    kind = kind_of(root)
    optimizers = _usable(optimizer, root)
    model_name = run.name(model, name)
    sink = run.sink if leads() else NullSink(run.sink.log_dir)
    guard = Guard(f"The model {model_name or kind}", tells=leads())
    measuring = guard.part("The activations")
    peers = Peers(guard.part("The activations of other processes"), measuring, model_name)
    recorder = Recorder(sink, model=model_name, budget=budget, every=every, others=peers)
    dashboards = Dashboards(sink, run.metrics, model_name, histograms)
    _replace(root)
    _succeed(run, model_name)
    if train_loss is not None or val_loss is not None:
        run.roles = Roles(train_loss, val_loss)

    members = Membership(root)
    for known in optimizers:
        members.concerns(known)
    steps = StepCounter(step)
    order = ExecutionOrder(root, guard.part("The order of the modules"), steps)
    loss = StepLoss(guard.part("The loss"))
    ends = Ends(model, _usable_criterion(criterion), guard.part("The outputs, targets and inputs"), loss)
    columns = columns_of(gradients=gradients, updates=updates)
    team = Team()
    terms = (columns, budget, every, _patterns(include), _patterns(exclude))
    guard.part("Sharded parameters").run(team.sign_up, root, terms)
    capture = Capture(root, measuring) if activations and not is_scripted(root) else None
    if capture is not None and not (leads() and isinstance(sink, NullSink)):
        peers.sign_up(root)
    roster = Roster(root, members, order, _patterns(include), _patterns(exclude), _version(), ends, team, capture)
    sharing = Sharing(team, peers, roster, recorder)
    observer = Observer(guard, roster, members, recorder, columns, dashboards, ends, sharing, capture)
    modes = Modes(guard.part("The mode of the model"), root, steps, dashboards)
    told = EvaluationRecords(sink, model_name).write
    evaluations = Evaluations(model, guard.part("What goes into evaluations"), told)
    watched = Watch(
        run,
        model_name,
        model,
        optimizers,
        guard=guard,
        steps=steps,
        modes=modes,
        members=members,
        order=order,
        ends=ends,
        evaluations=evaluations,
        roster=roster,
        recorder=recorder,
        observer=observer,
        capture=capture,
        team=team,
        peers=peers,
    )
    run.watches.append(watched)
    if leads():
        run.look_out(model_name, root, on_finding, FOR_CHECKS * budget)
    _watched[root] = watched
    _recorded[_place(run, model_name)] = watched
    # What is held is written once the model is gone, or at the end of the process, before the writer is closed.
    Finalize(root, _let_go, args=(watched,), exitpriority=25)
    if next(root.parameters(), None) is None:
        warn(f"{kind} has no parameters, so there is nothing to record.", stacklevel=4)
        watched.detach()
    return watched


def _usable(optimizer: Optimizer | Iterable[Optimizer] | None, model: nn.Module) -> list[Optimizer]:
    """Return the optimizers given that hold parameters of the model; warn of the others."""
    if optimizer is None:
        return []
    given: list[Any] = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)
    ids = {id(parameter) for parameter in model.parameters()}
    usable = []
    for each in given:
        if not isinstance(each, Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer or several, got {type(each).__name__}")
        stepping = innermost(each)
        if any(id(parameter) in ids for parameter in parameters_of(stepping)):
            usable.append(stepping)
        elif ids:
            warn(
                f"the optimizer {type(stepping).__name__} holds no parameter of {type(model).__name__}: was the model "
                "copied or rebuilt after the optimizer was made? Steps of any optimizer that does hold one are "
                "recorded instead.",
                stacklevel=5,
            )
    return usable


def _replace(model: nn.Module) -> None:
    earlier = _watched.get(model)
    if earlier is not None and earlier.attached:
        warn(f"{type(model).__name__} was watched already; the new watch replaces the earlier one.", stacklevel=5)
        earlier.detach()


def _succeed(run: Run, name: str) -> None:
    """Detach the watch of another writer that records a model of that name into the same folder."""
    earlier = _recorded.get(_place(run, name))
    if earlier is not None and earlier.attached:
        warn(
            f"a model was being recorded into {run.sink.log_dir} already, by another writer; the new watch replaces "
            "that one. Give models names of their own to record several into one folder.",
            stacklevel=5,
        )
        earlier.detach()


def _place(run: Run, name: str) -> tuple[str, str]:
    return os.path.realpath(run.sink.log_dir), name


def _let_go(watched: Watch) -> None:
    # Garbage is collected in each process in its own time, while what they record is a common act.
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        watched.detach()


def _usable_criterion(criterion: object) -> nn.Module | None:
    if isinstance(criterion, nn.Module) and not is_scripted(criterion):
        return criterion
    if criterion is not None:
        of_script = isinstance(criterion, nn.Module)
        kind = "TorchScript" if of_script else f"a {type(criterion).__name__} and no torch.nn.Module"
        warn(
            f"criterion is {kind}, so loss, outputs and targets can't be read from it; call "
            "writer.observe(outputs=outputs, targets=targets, loss=loss) after it.",
            stacklevel=5,
        )
    return None


def _patterns(given: str | Iterable[str] | None) -> Sequence[str]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def _version() -> str:
    try:
        return f"{_DISTRIBUTION} {importlib.metadata.version(_DISTRIBUTION)}"
    except importlib.metadata.PackageNotFoundError:  # Run from a checkout.
        return _DISTRIBUTION
