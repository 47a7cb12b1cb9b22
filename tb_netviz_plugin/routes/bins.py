"""`bins`: the distribution of gradient magnitudes of a layer or a parameter, or of an activation's magnitudes."""

from __future__ import annotations

from tb_netviz_plugin.analysis.distribution import count_magnitudes
from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.errors import BadArgumentError
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, frame_reply
from tb_netviz_plugin.schema.tags import Family


def answer(reader: Reader, call: Call) -> Reply:
    """Return steps and counts."""
    call.accept("run", "layer", "parameter", "activation")
    run = reader.run(call.context, call.experiment, call.text("run"))
    family, rows = _rows(call, run.network)
    steps, counts = count_magnitudes(run.network.tags[family], run.step_records, run.placed(family), rows)
    header = {"run": run.name, "revision": run.revision}
    return frame_reply(header, {"steps": steps, "counts": counts})


def _rows(call: Call, network: Network) -> tuple[Family, range]:
    layers = call.indices("layer", len(network.layers)) or []
    parameters = call.indices("parameter", len(network.parameters)) or []
    activations = call.indices("activation", len(network.activations)) or []
    if len(layers) + len(parameters) + len(activations) != 1:
        raise BadArgumentError("name either one layer, one parameter or one activation, by its index")
    if layers:
        return Family.BINS, network.layers[layers[0]].parameters
    (row,) = parameters + activations
    return Family.BINS if parameters else Family.ACTIVATION_BINS, range(row, row + 1)
