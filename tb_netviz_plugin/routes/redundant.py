"""`redundant`: the units that do what another one of their layer does, or its opposite."""

from __future__ import annotations

from typing import Any

from tb_netviz_plugin.analysis.units import Redundant, compare_layers
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.judging import ARGUMENTS, thresholds
from tb_netviz_plugin.routes.reply import Reply, json_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the redundant units of all layers, and the layers whose units were not compared."""
    call.accept("run", *ARGUMENTS)
    limits = thresholds(call)
    run = reader.run(call.context, call.experiment, call.text("run"))
    activations = run.network.activations
    every = run.judged(limits)
    judged = {index: every[index] for index, row in enumerate(activations) if row.units}
    layers = compare_layers(run.unit_table, judged) if judged else []
    found = [(layer, activations[layer.activation].source) for layer in layers]
    return json_reply(
        {
            "redundant": [_entry(layer, name) for layer, name in found if (layer.twins >= 0).any()],
            "not_compared": [
                {"activation": layer.activation, "layer": name, "reason": layer.reason}
                for layer, name in found
                if layer.reason
            ],
        }
    )


def _entry(layer: Redundant, name: str) -> dict[str, Any]:
    return {
        "activation": layer.activation,
        "layer": name,
        "groups": layer.groups,
        "opposite": layer.pairs,
        "samples": layer.samples,
        "units": [
            {
                "unit": unit,
                "twin": int(layer.twins[unit]),
                "opposite": bool(layer.opposite[unit]),
                "difference": float(layer.difference[unit]),
            }
            for unit in (layer.twins >= 0).nonzero()[0].tolist()
        ],
    }
