"""`series`: one statistic of every row over all records."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.derive import Derived, Grouping, by_layer, by_network, by_row, derive
from tb_netviz_plugin.analysis.grid import Grid
from tb_netviz_plugin.errors import BadArgumentError
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, frame_reply
from tb_netviz_plugin.schema.statistics import STATISTIC, Rows, Statistic

ROWS = ("layers", "parameters", "network", "activations")
ROWS_OF = {Rows.PARAMETERS: ROWS[:3], Rows.ACTIVATIONS: ROWS[3:]}
"""By what a statistic is of, the rows that it has; the first by default."""


def answer(reader: Reader, call: Call) -> Reply:
    """Return the steps and the statistic's values, states and band."""
    call.accept("run", "statistic", "rows", "row", "band")
    statistic = STATISTIC[call.choice("statistic", tuple(STATISTIC))]
    rows = _kind_of_rows(call, statistic)
    band = call.choice("band", ("true", "false"), "false") == "true"
    run = reader.run(call.context, call.experiment, call.text("run"))
    grid = run.activation_grid if statistic.rows is Rows.ACTIVATIONS else run.grid
    indices, grouping = _rows(call, grid, rows)
    derived = derive(grid, statistic, grouping, band=band)
    header = {"run": run.name, "revision": run.revision, "statistic": statistic.id, "rows": rows, "row": indices}
    return frame_reply(header, _arrays(grid, derived, band=band))


def _kind_of_rows(call: Call, statistic: Statistic) -> str:
    rows = call.choice("rows", ROWS, ROWS_OF[statistic.rows][0])
    if rows not in ROWS_OF[statistic.rows]:
        raise BadArgumentError(f"{statistic.id} is a statistic of {statistic.rows.value}; it has no rows for {rows}")
    return rows


def _rows(call: Call, grid: Grid, rows: str) -> tuple[list[int], Grouping]:
    count = {"layers": len(grid.network.layers), "network": 1}.get(rows, grid.rows)
    chosen = call.indices("row", count)
    indices = list(range(count)) if chosen is None else chosen
    if rows == "network":
        return indices[:1], by_network(grid)
    group = by_layer if rows == "layers" else by_row
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
