"""`run`: the network of a run, and how it was recorded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.analysis.recording import cost, evicted
from tb_netviz_plugin.reader import Reader, Run
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, json_reply
from tb_netviz_plugin.schema.tags import Family


def answer(reader: Reader, call: Call) -> Reply:
    """Return everything about a run but its numbers."""
    call.accept("run")
    run = reader.run(call.context, call.experiment, call.text("run"))
    network, took = run.network, cost(run.step_records.values())
    return json_reply(
        {
            "run": run.name,
            "revision": run.revision,
            "models": _models(network),
            "layers": _layers(network),
            "parameters": _parameters(network),
            "activations": _activations(network),
            "groups": [
                {
                    "model": model,
                    "optimizer": group.optimizer,
                    "index": group.index,
                    "learning_rate": group.learning_rate,
                    "settings": dict(group.settings),
                }
                for model, group in network.groups
            ],
            "omissions": [{"subject": omission.subject, "reason": omission.reason} for omission in network.omissions],
            "statistics": [statistic.id for statistic in network.statistics],
            "has_bins": bool(network.tags[Family.BINS]),
            "has_activation_bins": bool(network.tags[Family.ACTIVATION_BINS]),
            "has_units": bool(network.tags[Family.UNITS]),
            "cost": None if took is None else asdict(took),
            "sampling": _sampling(run),
        }
    )


def _models(network: Network) -> list[dict[str, Any]]:
    return [
        {
            "name": description.model,
            "framework": description.framework,
            "writer": description.writer,
            "schedule": {"budget": description.schedule.budget, "every": description.schedule.every},
        }
        for description in network.descriptions
    ]


def _layers(network: Network) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "model": layer.model,
            "type": layer.module.type,
            "detail": layer.module.detail,
            "elements": layer.elements,
            "parameters": list(layer.parameters),
            "frozen": layer.frozen,
            "input_shape": layer.module.input_shape,
            "output_shape": layer.module.output_shape,
        }
        for layer in network.layers
    ]


def _parameters(network: Network) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "layer": row.layer,
            "shape": row.parameter.shape,
            "dtype": row.parameter.dtype,
            "elements": row.parameter.elements,
            "frozen": row.parameter.frozen,
            "group": row.group,
        }
        for row in network.parameters
    ]


def _activations(network: Network) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "label": row.label,
            "layer": row.layer,
            "module": row.module,
            "model": row.model,
            "kind": row.activation.kind,
            "function": row.function,
            "response": row.activation.response.value,
            "units": row.activation.units,
            "unit": row.activation.unit,
            "shape": row.activation.shape,
            "place": row.activation.place,
        }
        for row in network.activations
    ]


def _sampling(run: Run) -> dict[str, Any]:
    steps, spans = run.grid.steps, run.grid.spans
    return {
        "records": len(steps),
        "first_step": int((steps - spans + 1).min()) if steps.size else None,
        "last_step": int(steps[-1]) if steps.size else None,
        "evicted": any(evicted(records, run.limit) for records in run.step_records.values()),
    }
