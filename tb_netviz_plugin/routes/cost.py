"""`cost`: what recording took of the training time, record by record."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.recording import spending
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, frame_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return what each model of a run cost, on its own steps."""
    call.accept("run")
    run = reader.run(call.context, call.experiment, call.text("run"))
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for index, records in enumerate(run.step_records.values()):
        spent = spending(records)
        arrays |= {
            f"{index}.steps": spent.steps,
            f"{index}.spans": spent.spans,
            f"{index}.fraction": spent.fraction.astype(np.float32),
            f"{index}.interval": spent.interval.astype(np.float32),
            f"{index}.dropped": spent.dropped.astype(np.float32),
        }
    header = {"run": run.name, "revision": run.revision, "models": list(run.step_records)}
    return frame_reply(header, arrays)
