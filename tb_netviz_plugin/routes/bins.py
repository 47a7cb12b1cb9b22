"""`bins`: the distribution of a layer's or a parameter's gradient magnitudes over the records."""

from __future__ import annotations

from tb_netviz_plugin.analysis.distribution import count_magnitudes
from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.errors import BadArgumentError
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, frame_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return steps and counts."""
    call.accept("run", "layer", "parameter")
    run = reader.run(call.context, call.experiment, call.text("run"))
    parameters = _parameters(call, run.network)
    steps, counts = count_magnitudes(run.network, run.step_records, run.bin_records, parameters)
    header = {"run": run.name, "revision": run.revision}
    return frame_reply(header, {"steps": steps, "counts": counts})


def _parameters(call: Call, network: Network) -> range:
    layers = call.indices("layer", len(network.layers)) or []
    parameters = call.indices("parameter", len(network.parameters)) or []
    if len(layers) + len(parameters) != 1:
        raise BadArgumentError("name either one layer or one parameter, by its index")
    return network.layers[layers[0]].parameters if layers else range(parameters[0], parameters[0] + 1)
