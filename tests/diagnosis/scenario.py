"""What a scenario is: a short training with a known fault, or with none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tb_netviz.pytorch import NetVizWriter
from tb_netviz_plugin.diagnosis import Severity


class Use(Enum):
    """What a scenario is for. Rules are tuned on some; the figures that are reported come from the others.

    Those that were reported on once and looked at then are tuned on, and new ones written by somebody who does not know
    the rules take their place.
    """

    TUNING = "tuning"
    REPORTING = "reporting"


TUNING, REPORTING = Use.TUNING, Use.REPORTING


class NotProvenError(Exception):
    """The fault that a scenario is to have did not come about, or a healthy training did not learn."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is wrong with a training, as measured by the scenario itself.

    Attributes:
        layers: Names of the layers that may be blamed first; none where it is about all of the network.
        onset: The step from which on it is wrong.
        until: The last step that is as right an answer, where the fault comes slowly; by default `onset`.
    """

    layers: tuple[str, ...] = ()
    onset: int = 0
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of a scenario.

    Attributes:
        seed: Of the data, the weights and the batches.
        folder: Where the run is written.
    """

    seed: int
    folder: Path

    def writer(self) -> NetVizWriter:
        """Open the writer of the run."""
        return NetVizWriter(self.folder)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A training whose diagnosis is known.

    Attributes:
        name: Unique.
        family: "mlp", "cnn", "rnn", "transformer" or "gnn".
        use: Whether rules may be tuned on it.
        build: Trains and logs as a user would. Returns what is wrong, None where nothing is.
        rules: Ids of the rules that name the cause, the best one first; none of a healthy training.
        beside: Ids of rules that are right as well, though they don't name that cause.
        least: The severity from which on a finding counts.
    """

    name: str
    family: str
    use: Use
    build: Callable[[Trial], Truth | None]
    rules: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    least: Severity = Severity.WARNING

    @property
    def rule(self) -> str:
        """Id of the rule that it is for; empty where it is healthy."""
        return self.rules[0] if self.rules else ""
