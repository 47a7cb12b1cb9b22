"""What the resources about embeddings have in common."""

from __future__ import annotations

from typing import Any

from tb_netviz_plugin.errors import BadArgumentError
from tb_netviz_plugin.reader import Reader, Run
from tb_netviz_plugin.reader.embedding import Embedding
from tb_netviz_plugin.reader.embeddings import embedding_of
from tb_netviz_plugin.routes.call import Call


def named(reader: Reader, call: Call, run: str = "run", embedding: str = "embedding") -> tuple[Run, Embedding]:
    """Return the run and the embedding that a request names in these arguments."""
    found = reader.run(call.context, call.experiment, call.text(run))
    return found, embedding_of(found, call.text(embedding))


def chosen(call: Call, name: str, count: int) -> int:
    """Return an argument that is one index below `count`.

    Raises:
        BadArgumentError: If it is missing, no whole number, or given several times.
        NotFoundError: If it is out of range.
    """
    call.text(name)
    indices = call.indices(name, count) or []
    if len(indices) != 1:
        raise BadArgumentError(f"{name} is given {len(indices)} times")
    return indices[0]


def step(call: Call) -> int:
    """Return the argument `step`.

    Raises:
        BadArgumentError: If it can't be one.
    """
    text = call.text("step")
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # A user's own step may count tokens.
        raise BadArgumentError(f"step is one of the steps of the embedding, not {text[:60]!r}")
    return int(text)


def header(run: Run, **more: Any) -> dict[str, Any]:
    """Return the header of a frame about a run."""
    return {"run": run.name, "revision": run.revision, **more}
