"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Finding

Limits = Mapping[str, float]
"""The thresholds of a rule by name."""

Need = Callable[[Case], str]
"""Says why a rule can't be checked, in a sentence without a full stop; an empty string where it can."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that a user may move.

    Attributes:
        name: Unique in its rule.
        default: Where it stands.
        label: What it is the limit of.
        least: Smallest value that makes sense.
        most: Largest one.
    """

    name: str
    default: float
    label: str
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that may be wrong with a network in training.

    Attributes:
        id: Its name in reports; see docs/findings.md.
        title: What a reader sees.
        needs: What has to be recorded; where it was not, the rule is reported as not checked.
        thresholds: What a user may move.
        find: Returns what is wrong.
    """

    id: str
    title: str
    needs: Sequence[Need]
    thresholds: Sequence[Threshold]
    find: Callable[[Case, Limits], list[Finding]]

    def missing(self, case: Case) -> str:
        """Return why it can't be checked; an empty string where it can."""
        return next((reason for need in self.needs if (reason := need(case))), "")

    def limits(self, moved: Mapping[str, float]) -> Limits:
        """Return its thresholds, of which some may be `moved`, which has names such as "dead_units.share"."""
        return {one.name: moved.get(f"{self.id}.{one.name}", one.default) for one in self.thresholds}
