"""The shape of a fact."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fact:
    """A statement about a run.

    Attributes:
        id: Tells it from the other facts of the run.
        kind: Name of its kind.
        title: A short sentence.
        detail: The numbers behind it.
        statistic: Id of the statistic that shows it.
        layers: Indices of the layers that it is about, the first one first.
        step: Where it began.
        last_step: Up to where it was seen.
        evidence: The numbers by name.
    """

    id: str
    kind: str
    title: str
    detail: str
    statistic: str
    layers: tuple[int, ...]
    step: float
    last_step: float
    evidence: dict[str, float] = field(default_factory=dict)
