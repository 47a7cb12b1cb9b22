"""Finds runs, and remembers what was read of them."""

from __future__ import annotations

from typing import Any

from tb_netviz_plugin.errors import NotFoundError
from tb_netviz_plugin.reader.cache import Cache
from tb_netviz_plugin.reader.run import Listing, Run
from tb_netviz_plugin.reader.source import Source

CACHE_BYTES = 1 << 30
"""Memory for decoded records: one run of 2,000 layers and 100,000 steps, or six of 600 parameters and 2,000 records."""


class Reader:
    """Finds and reads runs. One for the life of the plugin; safe to use from several threads.

    Args:
        provider: TensorBoard's DataProvider.
        limit: Records of a tag that TensorBoard keeps, 0 for all of them, None if that is unknown.
        cache_bytes: Memory for decoded records; a single run may take more.
    """

    def __init__(self, provider: Any, limit: int | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        self._provider = provider
        self._limit = limit
        self._cache = Cache(cache_bytes)

    def runs(self, context: Any, experiment: str) -> list[Listing]:
        """Return the runs that have data of ours, by name. Reads descriptions, each once, and the latest step."""
        source = self._source(context, experiment)
        found = source.series()
        return [Run(source, self._cache, name, found[name]).listing for name in sorted(found)]

    def run(self, context: Any, experiment: str, name: str) -> Run:
        """Return the run of that name.

        Raises:
            NotFoundError: If there is none, or it has no data of ours.
        """
        source = self._source(context, experiment)
        series = source.series([name]).get(name)
        if not series:
            raise NotFoundError("TensorBoard has no data of netviz under this run's name")
        return Run(source, self._cache, name, series)

    def _source(self, context: Any, experiment: str) -> Source:
        return Source(self._provider, context, experiment, self._limit)
