"""`series`: one statistic of every row over all records."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.derive import Derived, Grouping, by_layer, by_network, by_parameter, derive
from tb_netviz_plugin.analysis.grid import Grid
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, frame_reply
from tb_netviz_plugin.schema.statistics import STATISTIC

ROWS = ("layers", "parameters", "network")


def answer(reader: Reader, call: Call) -> Reply:
    """Return the steps and the statistic's values, states and band."""
    call.accept("run", "statistic", "rows", "row", "band")
    statistic = STATISTIC[call.choice("statistic", tuple(STATISTIC))]
    rows = call.choice("rows", ROWS, "layers")
    band = call.choice("band", ("true", "false"), "false") == "true"
    run = reader.run(call.context, call.experiment, call.text("run"))
    indices, grouping = _rows(call, run.grid, rows)
    derived = derive(run.grid, statistic, grouping, band=band)
    header = {"run": run.name, "revision": run.revision, "statistic": statistic.id, "rows": rows, "row": indices}
    return frame_reply(header, _arrays(run.grid, derived, band=band))


def _rows(call: Call, grid: Grid, rows: str) -> tuple[list[int], Grouping]:
    count = {"layers": len(grid.network.layers), "parameters": len(grid.network.parameters), "network": 1}[rows]
    chosen = call.indices("row", count)
    indices = list(range(count)) if chosen is None else chosen
    if rows == "network":
        return indices[:1], by_network(grid)
    group = by_layer if rows == "layers" else by_parameter
    return indices, group(grid, chosen)


def _arrays(grid: Grid, derived: Derived, *, band: bool) -> dict[str, npt.NDArray[np.generic]]:
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "steps": grid.steps,
        "spans": grid.spans,
        "observations": grid.observations.astype(np.float32),
        "values": _narrow(derived.values),
        "states": derived.states,
    }
    return arrays | ({"low": _narrow(derived.low), "high": _narrow(derived.high)} if band else {})


def _narrow(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return `values` as float32; what is too large for it becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
