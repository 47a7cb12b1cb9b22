"""What rules need, and how its absence is put into words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tb_netviz_plugin.diagnosis.answers import nothing_to_tell_apart
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.rule import Need
from tb_netviz_plugin.schema.statistics import STATISTIC


def statistics(*names: str) -> Need:
    """Return the need for statistics of the catalogue."""

    def missing(case: Case) -> str:
        absent = [STATISTIC[name].label for name in names if name not in case.recorded]
        return f"not recorded: {', '.join(absent)}" if absent else ""

    return missing


def records(count: int) -> Need:
    """Return the need for so many records of the parameters."""

    def missing(case: Case) -> str:
        held = len(case.steps)
        return "" if held >= count else f"needs {count:,} records, and there are {held:,} so far"

    return missing


def curve(role: str, words: str, count: int = 1) -> Need:
    """Return the need for a logged scalar of a role, which `words` tell how to log, with so many records."""

    def missing(case: Case) -> str:
        found = case.curve(role)
        if found is None:
            return f"no {words}"
        held = len(found.steps)
        return "" if held >= count else f"needs {count:,} records of {found.name!r}, and there are {held:,} so far"

    return missing


def layers(count: int) -> Need:
    """Return the need for so many layers."""

    def missing(case: Case) -> str:
        held = len(case.network.layers)
        return "" if held >= count else f"needs {count} layers, and the network has {held}"

    return missing


def outputs(words: str, *, targets: bool = False, classes: bool = False) -> Need:
    """Return the need for outputs that the loss got.

    Args:
        words: What is missing without them, and how to have it recorded.
        targets: Whether targets are needed, too.
        classes: Whether these have to be class indices.
    """

    def missing(case: Case) -> str:
        found = case.outputs
        if found is None or not np.any(found.samples > 0) or (targets and not np.any(found.target_kind)):
            return f"no {words}"
        return "the targets are no class indices" if classes and not np.any(found.labelled > 0) else ""

    return missing


def unless(known: Callable[[Case], object], need: Need) -> Need:
    """Return a need that is none where something is `known` to be wrong without it."""
    return lambda case: "" if known(case) else need(case)


def inputs(case: Case) -> str:
    """Say that no inputs were recorded, where there were none."""
    found = case.outputs
    return "" if found is not None and np.any(np.isfinite(found.input_kind)) else "the inputs were not recorded"


def samples_that_differ(case: Case) -> str:
    """Say that there was nothing to tell apart, where all samples are known to be the same."""
    return "all samples are the same to the network" if nothing_to_tell_apart(case) else ""


def units(case: Case) -> str:
    """Say that single units were not recorded, where they were not."""
    return "" if any(row.units for row in case.network.activations) else "single units were not recorded"
