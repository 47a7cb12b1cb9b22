"""The rules, one to a file. To add one: write its file, and add a line to RULES and a heading to docs/findings.md."""

from __future__ import annotations

from tb_netviz_plugin.diagnosis.rule import Rule
from tb_netviz_plugin.diagnosis.rules import (
    dead_units,
    missing_nonlinearity,
    nonfinite,
    redundant_units,
    saturation,
    unused_parameter,
)

RULES: tuple[Rule, ...] = (
    nonfinite.RULE,
    unused_parameter.RULE,
    dead_units.RULE,
    saturation.RULE,
    redundant_units.RULE,
    missing_nonlinearity.RULE,
)
