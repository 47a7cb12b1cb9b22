"""What the resources about single units have in common."""

from __future__ import annotations

from tb_netviz_plugin.analysis.units import UnitThresholds
from tb_netviz_plugin.routes.call import Call

ARGUMENTS = ("samples", "windows")
_MOST_SAMPLES = 999_999_999
_MOST_WINDOWS = 1_000_000


def thresholds(call: Call) -> UnitThresholds:
    """Return the thresholds that a request asks for.

    Raises:
        BadArgumentError: If one makes no sense.
    """
    default = UnitThresholds()
    return UnitThresholds(
        samples=call.number("samples", default.samples, 1, _MOST_SAMPLES),
        windows=call.number("windows", default.windows, 1, _MOST_WINDOWS),
    )
