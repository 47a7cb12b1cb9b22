"""`points`: where the points of an embedding are at a step."""

from __future__ import annotations

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.embedding_call import chosen, header, named, step
from tb_netviz_plugin.routes.reply import Reply, frame_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the positions, [points, dims], and the classes that the model predicts, [points] or [0]."""
    call.accept("run", "embedding", "layout", "step")
    at = step(call)
    run, embedding = named(reader, call)
    points = embedding.points(embedding.layouts[chosen(call, "layout", len(embedding.layouts))], at)
    return frame_reply(
        header(run, step=at, set=points.set), {"positions": points.positions, "predictions": points.predictions}
    )
