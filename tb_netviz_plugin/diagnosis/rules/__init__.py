"""The rules, one to a file. To add one: write its file, and add a line to RULES and a heading to docs/findings.md."""

from __future__ import annotations

from tb_netviz_plugin.diagnosis.rule import Rule
from tb_netviz_plugin.diagnosis.rules import nonfinite, unused_parameter

RULES: tuple[Rule, ...] = (
    nonfinite.RULE,
    unused_parameter.RULE,
)
