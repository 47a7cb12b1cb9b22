"""`probes`: the probes of a run, what they kept, and at which steps."""

from __future__ import annotations

from typing import Any

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.reader.probes import Probe, probes_of
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, json_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the probes by name."""
    call.accept("run")
    run = reader.run(call.context, call.experiment, call.text("run"))
    return json_reply({"probes": [_probe(probe) for probe in probes_of(run)]})


def _probe(probe: Probe) -> dict[str, Any]:
    description = probe.description
    return {
        "name": probe.name,
        "model": description.model,
        "kind": description.kind,
        "labels": list(description.labels),
        "samples": probe.samples,
        "inputs": _inputs(probe),
        "steps": probe.steps,
        "bytes": probe.nbytes,
        "budget": description.budget,
        "maps": [
            {
                "module": source.module,
                "kind": source.kind,
                "maps": source.maps,
                "height": source.height,
                "width": source.width,
            }
            for source in description.maps
        ],
        "omissions": [{"subject": omission.subject, "reason": omission.reason} for omission in description.omissions],
    }


def _inputs(probe: Probe) -> dict[str, int] | None:
    if probe.inputs is None:
        return None
    _, height, width, channels = probe.inputs.shape
    return {"height": height, "width": width, "channels": channels}
