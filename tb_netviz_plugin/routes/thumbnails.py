"""`thumbnails`: small pictures of some points."""

from __future__ import annotations

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.embedding_call import chosen, header, named
from tb_netviz_plugin.routes.reply import Reply, frame_reply

PAGE = 256
MAX_PAGE = 4096
_ANY = 10**9 - 1


def answer(reader: Reader, call: Call) -> Reply:
    """Return the pictures, [count, height, width, channels]."""
    call.accept("run", "embedding", "set", "first", "count")
    first = call.number("first", 0, 0, _ANY)
    count = call.number("count", PAGE, 1, MAX_PAGE)
    run, embedding = named(reader, call)
    pictures = embedding.thumbnails(chosen(call, "set", len(embedding.sets)), first, count)
    return frame_reply(header(run), {"thumbnails": pictures})
