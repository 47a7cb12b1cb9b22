"""`dead`: how many units of each activation were in which state, record by record."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from tb_netviz_plugin.analysis.units import UnitState
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.judging import ARGUMENTS, thresholds
from tb_netviz_plugin.routes.reply import Reply, frame_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the counts of all activations that have units which can be anything but alive."""
    call.accept("run", *ARGUMENTS)
    limits = thresholds(call)
    run = reader.run(call.context, call.experiment, call.text("run"))
    chosen = [index for index, row in enumerate(run.network.activations) if row.units and row.activation.response]
    table = run.unit_table if chosen else None
    steps, spans = (table.steps, table.spans) if table else (np.empty(0), np.empty(0))
    units = np.array([len(run.network.activations[index].units) for index in chosen], np.uint32)
    samples = np.full((len(chosen), len(steps)), np.nan, np.float32)
    counts = np.zeros((len(chosen), len(UnitState), len(steps)), np.uint32)
    counts[:, UnitState.NOT_RECORDED] = units[:, None]
    every = run.judged(limits)
    for place, index in enumerate(chosen):
        judged = every[index]
        samples[place, judged.looks.times] = judged.looks.samples
        counts[place][:, judged.looks.times] = judged.counts
    header = {"run": run.name, "revision": run.revision, "activations": chosen, "thresholds": asdict(limits)}
    return frame_reply(header, {"steps": steps, "spans": spans, "samples": samples, "units": units, "counts": counts})
