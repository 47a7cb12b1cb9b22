"""`catalogue`: the statistics with their definitions, the bins, and the versions."""

from __future__ import annotations

from dataclasses import asdict
from importlib import metadata

from tb_netviz_plugin.analysis.units import UNIT_STATES, UnitThresholds
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, json_reply
from tb_netviz_plugin.schema import bins
from tb_netviz_plugin.schema.statistics import STATISTICS
from tb_netviz_plugin.schema.tags import SCHEMA_VERSION


def answer(_reader: Reader, call: Call) -> Reply:
    """Return what is the same for every run."""
    call.accept()
    return json_reply(
        {
            "version": _version(),
            "schema_version": SCHEMA_VERSION,
            "statistics": [
                {
                    "id": statistic.id,
                    "label": statistic.label,
                    "unit": statistic.unit,
                    "scale": statistic.scale.value,
                    "rows": statistic.rows.value,
                    "definition": statistic.definition,
                    "reading": statistic.reading,
                }
                for statistic in STATISTICS
            ],
            "unit_states": [
                {"id": words.state.id, "label": words.label, "definition": words.definition} for words in UNIT_STATES
            ],
            "unit_thresholds": asdict(UnitThresholds()),
            "bins": {
                "lowest_exponent": bins.LOWEST_EXPONENT,
                "highest_exponent": bins.HIGHEST_EXPONENT,
                "zero": bins.ZERO,
                "nonfinite": bins.NONFINITE,
                "below": bins.BELOW,
                "first": bins.FIRST,
                "above": bins.ABOVE,
                "count": bins.COUNT,
            },
        }
    )


def _version() -> str:
    try:
        return metadata.version("tb-netviz-plugin")
    except metadata.PackageNotFoundError:  # Run from a checkout that is not installed.
        return "unknown"
