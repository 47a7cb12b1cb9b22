"""`point_labels`: the labels of a set of points."""

from __future__ import annotations

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.embedding_call import chosen, header, named
from tb_netviz_plugin.routes.reply import Reply, frame_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the class or the number of each point, [points], or [0] where there are none."""
    call.accept("run", "embedding", "set")
    run, embedding = named(reader, call)
    return frame_reply(header(run), {"labels": embedding.labels(chosen(call, "set", len(embedding.sets)))})
