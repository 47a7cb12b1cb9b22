"""`runs`: the runs with data of ours. Cheap, for polling."""

from __future__ import annotations

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, json_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the runs by name."""
    call.accept()
    return json_reply(
        {
            "runs": [
                {
                    "run": run.name,
                    "revision": run.revision,
                    "wall_time": run.wall_time,
                    "last_step": run.last_step,
                    "error": run.error,
                }
                for run in reader.runs(call.context, call.experiment)
            ]
        }
    )
