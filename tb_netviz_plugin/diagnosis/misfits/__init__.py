"""Ways in which outputs, targets and loss do not go together: each a function of what the loss got."""

from __future__ import annotations

from collections.abc import Callable

from tb_netviz_plugin.diagnosis.misfits.ends import Ends, Misfit
from tb_netviz_plugin.diagnosis.misfits.scores import (
    no_logarithms,
    one_class,
    rectified_scores,
    sigmoid_twice,
    softmax_twice,
)
from tb_netviz_plugin.diagnosis.misfits.targets import broadcast, out_of_reach, targets_beyond
from tb_netviz_plugin.diagnosis.rule import Limits

__all__ = ["MISFITS", "Ends", "Misfit"]

MISFITS: tuple[Callable[[Ends, Limits], Misfit | None], ...] = (
    one_class,
    softmax_twice,
    sigmoid_twice,
    rectified_scores,
    no_logarithms,
    targets_beyond,
    broadcast,
    out_of_reach,
)
"""All of them; of those that hold, the first says it best."""
