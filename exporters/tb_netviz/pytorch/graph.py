"""The graph for TensorBoard's own dashboard, traced on a copy of the model."""

from __future__ import annotations

import contextlib
import copy
import io
import random
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tensorboard.compat.proto.event_pb2 import Event
from torch import Tensor, nn

from tb_netviz.pytorch._summary_writer import graph
from tb_netviz.pytorch.global_hooks import without_global_hooks
from tb_netviz.pytorch.order import Call
from tb_netviz.pytorch.shards import is_spread_over_processes
from tb_netviz.pytorch.structure import unwrap

MAX_ELEMENTS = 20_000_000
"""Parameters and inputs together: a larger model is neither copied nor traced."""
MAX_MODULES = 1_000

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class UntraceableError(Exception):
    """There is no graph of the model, for the reason given."""


def trace(model: nn.Module, call: Call | None) -> Event:
    """Return an event with the graph of `model`; neither it nor any random state is changed.

    Args:
        model: The model; a copy of it is run in eval mode, without any hooks.
        call: Arguments to run it with.

    Raises:
        UntraceableError: If it can't be traced, or is too large.
    """
    model = unwrap(model)
    if is_spread_over_processes(model):
        raise UntraceableError("the model is spread over processes, and this one can't run it alone")
    if call is None:
        raise UntraceableError("no forward pass of the model was seen outside compiled code")
    if call.keywords:
        raise UntraceableError("the model is called with keyword arguments")
    tensors = [*model.parameters(), *(argument for argument in call.arguments if isinstance(argument, Tensor))]
    if sum(tensor.numel() for tensor in tensors) > MAX_ELEMENTS or sum(1 for _ in model.modules()) > MAX_MODULES:
        raise UntraceableError("the model is too large to be traced beside training")
    try:
        with _undisturbed(tensors):
            definition, _ = graph(_bare_copy(model), copy.deepcopy(_detached(call.arguments)))
    except Exception as error:  # Tracing runs the user's code on what it was not written for.
        reason = str(error).strip().split("\n")[0][:200]
        raise UntraceableError(f"torch.jit.trace: {type(error).__name__}: {reason}") from error
    return Event(wall_time=time.time(), graph_def=definition.SerializeToString())


def _bare_copy(model: nn.Module) -> nn.Module:
    model = copy.deepcopy(model)
    for module in model.modules():
        module.training = False  # An `eval` or `train` of the user's own may return or change another object.
        for name in _HOOKS:
            getattr(module, name).clear()
    return model


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_detached(part) for part in value)
    return value


@contextlib.contextmanager
def _undisturbed(tensors: list[Tensor]) -> Iterator[None]:
    """Keep random states, hooks on all modules, and what tracing prints and warns of, from the user."""
    devices = {tensor.device.index for tensor in tensors if tensor.device.type == "cuda"}
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  The user's model may draw from it.
    try:
        with (
            torch.random.fork_rng(devices=sorted(devices)),
            torch.no_grad(),
            without_global_hooks(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002  As above.
