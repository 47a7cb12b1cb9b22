"""`metrics`: losses, learning rates, what clipping did, and other scalars of a run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.grid import survivors
from tb_netviz_plugin.analysis.records import Records
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, frame_reply
from tb_netviz_plugin.schema.columns import METRIC_COLUMNS

_COLUMN = {column.id: index for index, column in enumerate(METRIC_COLUMNS)}
_SENT = ("observations", "mean", "min", "max", "nonfinite")


def answer(reader: Reader, call: Call) -> Reply:
    """Return all metrics of a run, each on its own steps."""
    call.accept("run")
    run = reader.run(call.context, call.experiment, call.text("run"))
    _ = run.network  # A run that can't be read says so here too.
    metrics = [metric for metric in run.metrics if _fits(metric.records)]
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for index, metric in enumerate(metrics):
        arrays |= {f"{index}.{name}": array for name, array in _arrays(metric.records).items()}
    header = {
        "run": run.name,
        "revision": run.revision,
        "metrics": [{"name": metric.name, "role": metric.role} for metric in metrics],
    }
    return frame_reply(header, arrays)


def _fits(records: Records) -> bool:
    return len(records.plane(0)) >= len(METRIC_COLUMNS)


def _arrays(records: Records) -> dict[str, npt.NDArray[np.generic]]:
    kept = survivors(records, [records])
    columns = records.plane(0)[:, kept]
    spans: npt.NDArray[np.float64] = np.fmax(columns[_COLUMN["span"]], 1).astype(np.float64)
    return {"steps": records.steps[kept], "spans": spans} | {
        name: columns[_COLUMN[name]].astype(np.float32) for name in _SENT
    }
