"""Single units: what each did at each record of them, and so whether it is alive, dead or something else.

Pure functions of the records; the definitions are in docs/statistics.md.
"""

from tb_netviz_plugin.analysis.units.judge import Judged, judge
from tb_netviz_plugin.analysis.units.moments import Death, moments
from tb_netviz_plugin.analysis.units.order import Sort, ranked
from tb_netviz_plugin.analysis.units.redundant import Redundant, compare_layers, find_redundant
from tb_netviz_plugin.analysis.units.states import UNIT_STATES, UnitState
from tb_netviz_plugin.analysis.units.summary import Summary, since_steps, summarise
from tb_netviz_plugin.analysis.units.table import UnitTable, align_units
from tb_netviz_plugin.analysis.units.thresholds import UnitThresholds

__all__ = [
    "UNIT_STATES",
    "Death",
    "Judged",
    "Redundant",
    "Sort",
    "Summary",
    "UnitState",
    "UnitTable",
    "UnitThresholds",
    "align_units",
    "compare_layers",
    "find_redundant",
    "judge",
    "moments",
    "ranked",
    "since_steps",
    "summarise",
]
