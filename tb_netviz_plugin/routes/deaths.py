"""`deaths`: the moments at which units died, and which of them died together."""

from __future__ import annotations

from tb_netviz_plugin.analysis.units import moments
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.judging import ARGUMENTS, thresholds
from tb_netviz_plugin.routes.reply import Reply, json_reply

MOST = 200
"""Moments that are sent at most."""


def answer(reader: Reader, call: Call) -> Reply:
    """Return the largest groups of units that died together."""
    call.accept("run", *ARGUMENTS)
    limits = thresholds(call)
    run = reader.run(call.context, call.experiment, call.text("run"))
    return json_reply(
        {
            "deaths": [
                {
                    "activation": death.activation,
                    "step": int(death.step),
                    "units": death.units,
                    "count": len(death.units),
                    "of": death.of,
                    "samples": int(death.samples),
                    "revived": death.revived,
                }
                for death in moments(run.judged(limits))[:MOST]
            ]
        }
    )
