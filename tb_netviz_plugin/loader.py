"""The entry point. TensorBoard loads it unguarded, so it imports next to nothing and never raises."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tensorboard.plugins import base_plugin

if TYPE_CHECKING:
    from tb_netviz_plugin.plugin import NetVizPlugin

SAMPLES = 2000
"""Records of a tag that TensorBoard keeps; a run of a million steps has 1,781."""

_log = logging.getLogger(__name__)


class NetVizLoader(base_plugin.TBLoader):  # type: ignore[misc]  # TensorBoard has no types.
    """Raises the sampling default, and loads the plugin where it can be loaded."""

    def fix_flags(self, flags: Any) -> None:
        """Keep SAMPLES records of our tags, unless --samples_per_plugin says otherwise.

        By default TensorBoard keeps 100 at random, or 10 without its data server.
        """
        try:
            flags.samples_per_plugin = {"netviz": SAMPLES} | dict(flags.samples_per_plugin or {})
        except Exception:  # Whatever the flags are, TensorBoard has to start.
            _log.warning("netviz could not raise --samples_per_plugin; its tab shows a sample", exc_info=True)

    def load(self, context: base_plugin.TBContext) -> NetVizPlugin | None:
        """Return the plugin, or None where it can't be loaded; TensorBoard then runs without it."""
        try:
            from tb_netviz_plugin.plugin import NetVizPlugin

            return NetVizPlugin(context)
        except Exception:  # A broken installation of ours is no reason to keep people from their other tabs.
            _log.exception("netviz could not be loaded; TensorBoard goes on without it")
            return None
