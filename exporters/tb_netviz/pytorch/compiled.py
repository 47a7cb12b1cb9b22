"""What torch.compile lets us know."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any, Final

import torch

from tb_netviz.events import warn

ABSENT: Final = "absent"
ALONE: Final = "alone"
UNKNOWN: Final = "unknown"
FIRST: Final = "first"
KNOWN: Final = "known"
NOTABLE: Final = (ALONE, FIRST, KNOWN)
"""Places at which something can be assigned."""

_IN_CHECKPOINTS: Final = "tag_activation_checkpoint"
_IS_RECENT: Final = hasattr(torch.Tag, "cudagraph_unsafe")
"""Before torch 2.9 modules may have been compiled one by one, each with its hooks as constants."""


class _Traced:
    """The graph that is being traced, one at a time.

    Attributes:
        graph: It.
        before: Whether it is known what makes the units that come next: FIRST, KNOWN or UNKNOWN.
    """

    def __init__(self) -> None:
        self.graph: Callable[[], Any] = lambda: None
        self.before: str = FIRST


_traced = _Traced()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch leaves it untyped.
def can_leave_the_graph() -> bool:
    """Whether the graph that is being traced may be broken; called in tracing, once. If not, that is reported."""
    try:
        tracer = _tracer()  # No public way tells of fullgraph=True.
        whole = tracer.one_graph or getattr(tracer, "error_on_graph_break", False)
    except AttributeError:
        whole = True
    if whole:
        warn("an optimizer's step is compiled as a whole graph, so it is neither counted nor recorded.", stacklevel=2)
    return not whole


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch leaves it untyped.
def place_in_graph(changes: bool) -> str:
    """Return where in the graph that is being traced a hook stands; called in tracing, once.

    Args:
        changes: Whether the hook is that of a module that makes or changes units.

    Returns:
        ABSENT: It must do nothing.
        ALONE: It is compiled by itself, so that an operator would make a graph more.
        UNKNOWN: It may call our operator, but what makes the units before it isn't known, and can't be noted.
        FIRST: Nothing before it in the graph has made or changed units.
        KNOWN: What has is noted.
    """
    try:
        tracer = _tracer()
        return ALONE if _is_ours(tracer) else _place_in(tracer.output, changes)
    except Exception:  # None of it is a public interface. Where it has changed, nothing is heard.
        return ABSENT


def _is_ours(tracer: Any) -> bool:
    return str(tracer.f_globals.get("__name__")).startswith("tb_netviz.")


def _place_in(graph: Any, changes: bool) -> str:
    place = _kind_of_place(graph)
    if _traced.graph() is not graph:
        _traced.graph, _traced.before = weakref.ref(graph), FIRST
    before = _traced.before
    if changes:
        _traced.before = KNOWN if place == KNOWN else UNKNOWN
        if before == UNKNOWN:
            before = FIRST  # It is noted anew.
    return before if place == KNOWN else place


def _kind_of_place(graph: Any) -> str:
    """Return KNOWN where a hook may do all that it can, else what it may do."""
    transformed = torch._C._functorch.maybe_current_level() is not None
    if transformed or not _IS_RECENT or torch.compiler.is_exporting() or _uses_cuda_graphs(graph.compiler_fn):
        return ABSENT
    place, tracer = KNOWN, graph.current_tracer
    while tracer.parent is not None:  # It is the body of an operator: what is assigned there can't leave it.
        if getattr(tracer.source_target, "__name__", "") != _IN_CHECKPOINTS:
            return ABSENT
        place, tracer = UNKNOWN, tracer.parent
    return place


def _uses_cuda_graphs(compiler: Any) -> bool:
    """Whether operators are to be replayed, which ours would split in many parts."""
    while hasattr(compiler, "_torchdynamo_orig_backend"):
        compiler = compiler._torchdynamo_orig_backend
    inductor: Any = sys.modules.get("torch._inductor.config")
    always = inductor is not None and inductor.triton.cudagraphs
    options = getattr(compiler, "config", {})
    return options.get("triton.cudagraphs", always) or getattr(compiler, "compiler_name", "") == "cudagraphs"


def _tracer() -> Any:
    from torch._dynamo.symbolic_convert import InstructionTranslator

    return InstructionTranslator.current_tx()


def has_compiled() -> bool:
    """Whether torch.compile has compiled anything in this process."""
    utils: Any = sys.modules.get("torch._dynamo.utils")
    return utils is not None and utils.counters["stats"]["unique_graphs"] > 0
