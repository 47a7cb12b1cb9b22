"""`tb-netviz units`: read, judge and write what is asked for."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tb_netviz.reading import read_runs
from tb_netviz.refusal import RefusalError
from tb_netviz.units.collecting import REDUNDANT, collect
from tb_netviz.units.formats import FORMATS
from tb_netviz_plugin.analysis.units import UnitState, UnitThresholds

KINDS = (*(state.id for state in UnitState), REDUNDANT)
_LISTED = (UnitState.DEAD.id, REDUNDANT)
"""What is listed as text by default."""


def run(arguments: argparse.Namespace) -> None:
    """Write the units below `arguments.logdir` to standard output.

    Raises:
        RefusalError: If there is nothing to read, or no such run, layer or state.
    """
    if arguments.state is not None and arguments.state not in KINDS:
        raise RefusalError(f"there is no state {arguments.state!r}; there are {', '.join(KINDS)}")
    default = UnitThresholds()
    thresholds = UnitThresholds(samples=arguments.samples or default.samples)
    runs = collect(read_runs(Path(arguments.logdir), arguments.run), arguments.layer, arguments.state, thresholds)
    listed = _LISTED if arguments.state is None else (arguments.state,)
    sys.stdout.write(FORMATS[arguments.format](runs, listed))
