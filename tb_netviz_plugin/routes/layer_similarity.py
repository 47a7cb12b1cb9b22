"""`layer_similarity`: how alike the vectors of a run's embeddings of the same inputs are at a step."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from tb_netviz_plugin.reader import Reader, Run
from tb_netviz_plugin.reader.embedding import Embedding, Signature
from tb_netviz_plugin.reader.embeddings import embeddings_of
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.embedding_call import header, named, step
from tb_netviz_plugin.routes.reply import Reply, frame_reply
from tb_netviz_plugin.routes.similarity import compare


def answer(reader: Reader, call: Call) -> Reply:
    """Return the linear CKA of each pair, [embeddings, embeddings]. Those without any signature are left out."""
    call.accept("run", "embedding", "step")
    at = step(call)
    run, embedding = named(reader, call)
    found: dict[str, Signature] = {}
    for one in _of_the_same_inputs(run, embedding):
        signature = next(one.signatures(_nearest_first(one.measures.steps, at)), None)
        found |= {one.name: signature} if signature else {}
    signatures = list(found.values())
    return frame_reply(
        header(run, names=list(found), steps=[signature.step for signature in signatures]),
        {"values": compare(signatures, signatures)},
    )


def _of_the_same_inputs(run: Run, embedding: Embedding) -> list[Embedding]:
    inputs = embedding.description.inputs
    return [one for one in embeddings_of(run) if one.description.inputs == inputs] if inputs else [embedding]


def _nearest_first(steps: Sequence[int], at: int) -> list[int]:
    """Return the steps up to `at`, the last one first, and then those after it."""
    until = bisect_right(steps, at)
    return [*reversed(steps[:until]), *steps[until:]]
