"""`layout`: what is known of each record of a layout."""

from __future__ import annotations

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.embedding_call import chosen, header, named
from tb_netviz_plugin.routes.reply import Reply, frame_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return its columns, [steps, columns]."""
    call.accept("run", "embedding", "layout")
    run, embedding = named(reader, call)
    rows = embedding.steps(embedding.layouts[chosen(call, "layout", len(embedding.layouts))])
    return frame_reply(header(run, columns=rows.columns, steps=rows.steps), {"values": rows.values})
