"""`units`: what single units of an activation did, record by record."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.units import Judged, Sort, UnitState, UnitTable, ranked, since_steps
from tb_netviz_plugin.errors import BadArgumentError, NotFoundError
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.judging import ARGUMENTS, thresholds
from tb_netviz_plugin.routes.reply import Reply, frame_reply
from tb_netviz_plugin.schema.columns import UNIT_COLUMNS

MOST = 4096
"""Units that are sent at once at most."""


def answer(reader: Reader, call: Call) -> Reply:
    """Return a page of an activation's units."""
    call.accept("run", "activation", "first", "count", "sort", *ARGUMENTS)
    limits = thresholds(call)
    sort = Sort(call.choice("sort", tuple(Sort), Sort.INDEX))
    first = call.number("first", 0, 0, 999_999_999)
    count = call.number("count", 1024, 1, MOST)
    run = reader.run(call.context, call.experiment, call.text("run"))
    activation = _activation(call, len(run.network.activations))
    units = run.network.activations[activation].units
    if not units:
        raise NotFoundError(f"activation {activation} has no units that are recorded one by one")
    judged = run.judged(limits)[activation]
    page = ranked(judged, sort)[first : first + count]
    header = {
        "run": run.name,
        "revision": run.revision,
        "activation": activation,
        "units": len(units),
        "unit": page.tolist(),
        "thresholds": asdict(limits),
    }
    return frame_reply(header, _arrays(run.unit_table, judged, page, units.start))


def _activation(call: Call, count: int) -> int:
    named = call.indices("activation", count) or []
    if len(named) != 1:
        raise BadArgumentError("name one activation, by its index")
    return named[0]


def _arrays(table: UnitTable, judged: Judged, page: Indices, first_unit: int) -> dict[str, npt.NDArray[np.generic]]:
    looks, records = judged.looks, len(table.steps)
    states = np.full((len(page), records), UnitState.NOT_RECORDED, np.uint8)
    states[:, looks.times] = judged.states[page]
    samples, counted = np.full((2, records), np.nan, np.float32)
    samples[looks.times], counted[looks.times] = looks.samples, looks.counted
    columns = {column.id: table.units.column(column.id, rows=first_unit + page) for column in UNIT_COLUMNS}
    return {
        "steps": table.steps,
        "spans": table.spans,
        "samples": samples,
        "counted": counted,
        "states": states,
        **columns,
        "since": since_steps(judged)[page],
    }
