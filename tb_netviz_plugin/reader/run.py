"""One run at one moment."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from tb_netviz_plugin.analysis.network import Network, unite
from tb_netviz_plugin.analysis.recorded import DIMENSIONS, Metric, RecordedRun, in_order
from tb_netviz_plugin.analysis.records import Records, stack
from tb_netviz_plugin.analysis.units import Judged, UnitThresholds
from tb_netviz_plugin.diagnosis import Report
from tb_netviz_plugin.diagnosis import check as check_rules
from tb_netviz_plugin.errors import UnreadableError
from tb_netviz_plugin.reader.cache import Cache
from tb_netviz_plugin.reader.source import Source
from tb_netviz_plugin.schema.codec import decode_description, decode_metadata
from tb_netviz_plugin.schema.description import RunDescription
from tb_netviz_plugin.schema.migrations import UnreadableSchemaError, check
from tb_netviz_plugin.schema.tags import Family, parse

_Value = TypeVar("_Value")
_NEED_A_DESCRIPTION = (Family.PARAMETERS, Family.ACTIVATIONS, Family.UNITS)
_BYTES_PER_PARAMETER = 2000
_BYTES_PER_FINDING = 50_000


@dataclass(frozen=True, slots=True)
class Listing:
    """What is known of a run without reading its numbers.

    Attributes:
        name: TensorBoard's name of it.
        revision: Changes whenever the run has new data.
        wall_time: When its latest record was written, in seconds since the epoch.
        last_step: Step that it has reached; less than others that TensorBoard may hold where it was resumed earlier.
        error: Why it can't be read, or None.
    """

    name: str
    revision: str
    wall_time: float
    last_step: int
    error: str | None


class Run(RecordedRun):
    """One run at one moment. What is asked of it is read then, and remembered in the cache.

    Args:
        source: Where to read it.
        cache: Where to remember it.
        name: TensorBoard's name of it.
        series: Its TensorTimeSeries by tag.
    """

    def __init__(self, source: Source, cache: Cache, name: str, series: Mapping[str, Any]) -> None:
        self.name = name
        self.limit = source.limit
        self._source = source
        self._cache = cache
        self._series = series

    @cached_property
    def revision(self) -> str:
        """Changes whenever the run has new data."""
        state = repr(self._state(sorted(self._series)))
        return hashlib.blake2b(state.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()

    @property
    def listing(self) -> Listing:
        """What is known of it without reading its numbers."""
        return Listing(
            self.name,
            self.revision,
            wall_time=max(series.max_wall_time for series in self._series.values()),
            last_step=self._last_step,
            error=self._error,
        )

    @property
    def _last_step(self) -> int:
        tags = self._tags(Family.STEPS)
        latest = self._remember("latest", tags, lambda: [self._latest(name) for name in tags], sys.getsizeof)
        if any(step < self._series[name].max_step for name, step in zip(tags, latest, strict=True)):
            return max(latest)  # It was resumed from an earlier step, which TensorBoard's Python loader passes over.
        return max(int(series.max_step) for series in self._series.values())

    def _latest(self, name: str) -> int:
        """Return the step of the record of a tag that was written last."""
        try:
            records = self._source.tensors(self.name, name, most=1)
        except UnreadableError:  # Whoever reads all of it says so.
            records = ()
        return int(records[-1].step if records else self._series[name].max_step)

    @property
    def _error(self) -> str | None:
        try:
            _ = self.network
        except UnreadableError as error:
            return str(error)
        return None

    @cached_property
    def network(self) -> Network:
        """Its layers and parameters.

        Raises:
            UnreadableError: If their description is missing or damaged, or the run is of a newer version.
        """
        try:
            self._refuse_newer()
            tags = self._tags(Family.DESCRIPTION)
            network = self._remember(
                "network", tags, self._read_network, lambda read: _BYTES_PER_PARAMETER * len(read.parameters)
            )
        except UnreadableSchemaError as error:
            raise UnreadableError(str(error)) from error
        if not network.descriptions and any(self._tags(family) for family in _NEED_A_DESCRIPTION):
            raise UnreadableError("the description of the network is missing; the event file may be damaged")
        return network

    def judged(self, thresholds: UnitThresholds) -> dict[int, Judged]:
        """Return the states of the units of each activation, by its index."""
        families = (Family.UNITS, Family.UNIT_STEPS, Family.DESCRIPTION)
        return self._remember(
            "judged",
            [name for family in families for name in self._tags(family)],
            lambda: super(Run, self).judged(thresholds),
            lambda judged: sum(one.nbytes for one in judged.values()),
            # Records of other kinds come far more often; which of units count is all that they decide.
            (thresholds, self.unit_table.steps.tobytes()),
        )

    @cached_property
    def metrics(self) -> list[Metric]:
        """The scalars that the user logs: those with a role first, then by name."""
        found = []
        for name in self._tags(Family.METRIC):
            about = decode_metadata(self._series[name].plugin_content)
            found.append(Metric(about.metric, about.role, self.records(name, Family.METRIC)))
        return in_order(found)

    def report(self, moved: Mapping[str, float]) -> Report:
        """Return what the rules say of it, with some thresholds moved.

        Raises:
            ValueError: If there is no such threshold, or its value makes no sense.
        """
        return self._remember(
            "report",
            list(self._series),
            lambda: check_rules(self, moved),
            lambda report: _BYTES_PER_FINDING * len(report.every),
            tuple(sorted(moved.items())),
        )

    def records(self, name: str, family: Family) -> Records:
        """Return the records of one tag; none if TensorBoard has no such tag."""
        dimensions = DIMENSIONS[family]
        if name not in self._series:
            return stack((), (), (), dimensions)
        return self._remember(name, [name], lambda: self._read(name, dimensions), lambda read: read.nbytes)

    def _read(self, name: str, dimensions: int) -> Records:
        data = self._source.tensors(self.name, name)
        return stack(
            [datum.step for datum in data],
            [datum.wall_time for datum in data],
            [datum.numpy for datum in data],
            dimensions,
        )

    def _read_network(self) -> Network:
        found: list[tuple[float, RunDescription]] = []
        for name in self._tags(Family.DESCRIPTION):
            # All that one of these tags holds is the same; the last says when it was last in force.
            latest = self._source.tensors(self.name, name)[-1:]
            found += [(datum.wall_time, decode_description(message_in(datum.numpy))) for datum in latest]
        return unite([description for _, description in sorted(found, key=lambda pair: pair[0])])

    def _remember(
        self,
        what: str,
        tags: Sequence[str],
        compute: Callable[[], _Value],
        size: Callable[[_Value], int],
        settings: Hashable = None,
    ) -> _Value:
        revision = (self._state(tags), settings)
        return self._cache.get((self._source.experiment, self.name), what, revision, compute, size)

    def _state(self, tags: Sequence[str]) -> tuple[tuple[str, int, float], ...]:
        return tuple((name, self._series[name].max_step, self._series[name].max_wall_time) for name in tags)

    def _tags(self, family: Family) -> list[str]:
        return self._by_family.get(family, [])

    @cached_property
    def _by_family(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in sorted(self._series):
            found.setdefault(_family(name), []).append(name)
        return found

    def _refuse_newer(self) -> None:
        for name, series in self._series.items():
            version, _ = parse(name) or (0, "")
            check(version)
            check(decode_metadata(series.plugin_content).schema_version)


def _family(name: str) -> str:
    _, family = parse(name) or (0, "")
    return family


def message_in(array: Any) -> bytes:
    """Return the bytes in a string tensor.

    Raises:
        UnreadableSchemaError: If it holds something else.
    """
    first = array.reshape(-1)[0] if array.size else None
    if not isinstance(first, bytes):
        raise UnreadableSchemaError("the description of the network is not a message; the event file may be damaged")
    return first
