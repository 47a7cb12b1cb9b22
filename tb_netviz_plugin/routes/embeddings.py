"""`embeddings`: the embeddings of a run, their points and layouts, and at which steps there is something."""

from __future__ import annotations

from typing import Any

from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.reader.embedding import Embedding
from tb_netviz_plugin.reader.embeddings import embeddings_of
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.embedding_call import header
from tb_netviz_plugin.routes.reply import Reply, json_reply


def answer(reader: Reader, call: Call) -> Reply:
    """Return the embeddings by name."""
    call.accept("run")
    run = reader.run(call.context, call.experiment, call.text("run"))
    return json_reply(header(run, embeddings=[_embedding(embedding) for embedding in embeddings_of(run)]))


def _embedding(embedding: Embedding) -> dict[str, Any]:
    description = embedding.description
    return {
        "name": embedding.name,
        "model": description.model,
        "module": description.module,
        "inputs": description.inputs,
        "sets": [
            {
                "points": one.points,
                "labels": one.labels,
                "classes": one.classes,
                "thumbnails": _thumbnails(embedding, index),
            }
            for index, one in enumerate(embedding.sets)
        ],
        "layouts": [
            {
                "method": layout.method,
                "dims": layout.dims,
                "origin": layout.origin,
                "steps": embedding.steps(layout).steps,
            }
            for layout in embedding.layouts
        ],
        "measures": {"columns": embedding.measures.columns, "steps": embedding.measures.steps},
        "predictions": embedding.has_predictions,
        "omissions": [{"subject": omission.subject, "reason": omission.reason} for omission in description.omissions],
        "nbytes": embedding.nbytes,
    }


def _thumbnails(embedding: Embedding, index: int) -> dict[str, int] | None:
    shape = embedding.thumbnails_of(index)
    return None if shape is None else dict(zip(("count", "height", "width", "channels"), shape, strict=True))
