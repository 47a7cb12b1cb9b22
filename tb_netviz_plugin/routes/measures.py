"""`measures`: measures of the vectors of an embedding at each step."""

from __future__ import annotations

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.embedding_call import header, named
from tb_netviz_plugin.routes.reply import Reply, frame_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return their columns, [steps, columns]."""
    call.accept("run", "embedding")
    run, embedding = named(reader, call)
    rows = embedding.measures
    return frame_reply(header(run, columns=rows.columns, steps=rows.steps), {"values": rows.values})
