"""Trainings whose diagnosis is known, and what the checks beside them say at their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tb_netviz.live import lookout
from tb_netviz.live.alarm import Alarm
from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.diagnosis import Report, check
from tb_netviz_plugin.reader import Run
from tests.diagnosis.scenario import Scenario, Truth
from tests.diagnosis.store import trained

_NEVER = 3600.0


class Heard:
    """The reports of one training, the last of which is that of its end."""

    def __init__(self) -> None:
        self.reports: list[tuple[Report, Network]] = []

    @property
    def last(self) -> tuple[Report, Network]:
        """The report at the end, and the layers that it is about."""
        return self.reports[-1]


@contextmanager
def listening() -> Iterator[Heard]:
    """Check what is trained in the meantime at its end, whatever is to be done about findings."""
    heard = Heard()

    def listen(run: Any) -> Report:
        report = check(run)
        heard.reports.append((report, run.network))
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Alarm, "wanted", property(lambda _alarm: True))
        patch.setattr(lookout, "SHORTEST_WAIT", _NEVER)
        patch.setattr(lookout, "check", listen)
        yield heard


class Trainings:
    """What was trained so far.

    Attributes:
        folder: Below it, the runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, tuple[Run, Truth | None, Heard]] = {}

    def of(self, scenario: Scenario) -> tuple[Run, Truth | None, Heard]:
        """Return the run of a scenario, what is wrong with it, and what the check at its end said."""
        if scenario.name not in self._made:
            with listening() as heard:
                self._made[scenario.name] = *trained(scenario, 0, self.folder), heard
        return self._made[scenario.name]

    def by(self, name: str, train: Callable[[Path], Any]) -> Heard:
        """Let `train` write a run of that name, and return what the check at its end said."""
        with listening() as heard:
            train(self.folder / name)
        return heard
