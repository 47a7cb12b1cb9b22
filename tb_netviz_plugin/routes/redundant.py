"""`redundant`: the units that do what another one of their layer does, or its opposite."""

from __future__ import annotations

from tb_netviz_plugin.analysis.units import find_redundant
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.judging import ARGUMENTS, thresholds
from tb_netviz_plugin.routes.reply import Reply, json_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the redundant units of all layers."""
    call.accept("run", *ARGUMENTS)
    limits = thresholds(call)
    run = reader.run(call.context, call.experiment, call.text("run"))
    activations = run.network.activations
    judged = {index: run.judged(index, limits) for index, row in enumerate(activations) if row.units}
    found = find_redundant(run.unit_table, judged) if judged else []
    return json_reply(
        {
            "redundant": [
                {
                    "activation": layer.activation,
                    "layer": activations[layer.activation].source,
                    "groups": layer.groups,
                    "opposite": layer.pairs,
                }
                for layer in found
            ]
        }
    )
