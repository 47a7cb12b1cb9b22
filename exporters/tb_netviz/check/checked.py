"""A run that was checked."""

from __future__ import annotations

from dataclasses import dataclass

from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.diagnosis import Report


@dataclass(frozen=True, slots=True)
class Checked:
    """What the rules say of a run.

    Attributes:
        run: Its name.
        network: Its layers.
        report: The findings.
    """

    run: str
    network: Network
    report: Report

    def layer(self, index: int) -> str:
        """Return the name of a layer."""
        return self.network.layers[index].name
