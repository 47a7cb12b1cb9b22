"""What is wrong with a run, since when, why, and what to do: pure rules over what was recorded.

Each rule stands in a file of its own below `rules`. It keeps quiet about healthy networks: evidence has to persist, and
is measured against the network's own past and depth. Where a rule lacks what it needs it is reported as not checked.
"""

from tb_netviz_plugin.diagnosis.case import Case, Recorded
from tb_netviz_plugin.diagnosis.checking import Report, Skipped, check
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Rule, Threshold
from tb_netviz_plugin.diagnosis.rules import RULES

__all__ = [
    "RULES",
    "Beyond",
    "Case",
    "Finding",
    "Line",
    "Recorded",
    "Remedy",
    "Report",
    "Rule",
    "Severity",
    "Skipped",
    "Threshold",
    "check",
]
