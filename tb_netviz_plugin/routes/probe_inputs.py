"""`probe_inputs`: the inputs of a probe as pictures."""

from __future__ import annotations

from tb_netviz_plugin.errors import NotFoundError
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.reader.probes import probe_of
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.reply import Reply, frame_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the pictures, [samples, height, width, channels]."""
    call.accept("run", "probe")
    run = reader.run(call.context, call.experiment, call.text("run"))
    pictures = probe_of(run, call.text("probe")).inputs
    if pictures is None:
        raise NotFoundError("the inputs of this probe are no pictures")
    return frame_reply({"run": run.name, "revision": run.revision}, {"pictures": pictures})
