"""What torch.compile lets us know."""

from __future__ import annotations

import sys
from typing import Any

import torch

from tb_netviz.events import warn


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch leaves it untyped.
def can_leave_the_graph() -> bool:
    """Whether the graph that is being traced may be broken; called in tracing, once. If not, that is reported."""
    from torch._dynamo.symbolic_convert import InstructionTranslator

    try:
        tracer: Any = InstructionTranslator.current_tx()  # No public way tells of fullgraph=True.
        whole = tracer.one_graph or getattr(tracer, "error_on_graph_break", False)
    except AttributeError:
        whole = True
    if whole:
        warn("an optimizer's step is compiled as a whole graph, so it is neither counted nor recorded.", stacklevel=2)
    return not whole


def has_compiled() -> bool:
    """Whether torch.compile has compiled anything in this process."""
    utils: Any = sys.modules.get("torch._dynamo.utils")
    return utils is not None and utils.counters["stats"]["unique_graphs"] > 0
