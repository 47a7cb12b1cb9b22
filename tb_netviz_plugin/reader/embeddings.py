"""The embeddings of a run, and what they say of themselves."""

from __future__ import annotations

from tb_netviz_plugin.errors import NotFoundError, UnreadableError
from tb_netviz_plugin.reader.accounts import Account, unite
from tb_netviz_plugin.reader.embedding import Embedding
from tb_netviz_plugin.reader.run import Run, message_in
from tb_netviz_plugin.schema.embedding import EmbeddingDescription, decode_embedding
from tb_netviz_plugin.schema.migrations import UnreadableSchemaError
from tb_netviz_plugin.schema.tags import Family

_BYTES_PER_NAME = 100


def embeddings_of(run: Run) -> list[Embedding]:
    """Return the embeddings of a run by name; where it has several models, with the model's name and a slash before it.

    Raises:
        UnreadableError: If the run is of a newer version, or what it says of itself is damaged.
    """
    _ = run.network  # A run that can't be read says so here too.
    tags = run._tags(Family.EMBEDDING)
    if not tags and run._tags(Family.POSITION_STEPS):
        raise UnreadableError("the description of the embeddings is missing; the event file may be damaged")
    found = run._remember("embeddings", tags, lambda: _read(run, tags), lambda read: sum(map(_size, read)))
    several = len({account.description.model for account in found}) > 1
    embeddings = [Embedding(run, account, _name(account, with_model=several)) for account in found]
    return sorted(embeddings, key=lambda embedding: embedding.name)


def embedding_of(run: Run, name: str) -> Embedding:
    """Return the embedding of that name.

    Raises:
        NotFoundError: If there is none.
    """
    found = [embedding for embedding in embeddings_of(run) if embedding.name == name]
    if not found:
        raise NotFoundError("the run has no embedding of this name")
    return found[0]


def _read(run: Run, tags: list[str]) -> list[Account]:
    said: list[tuple[float, EmbeddingDescription]] = []
    try:
        for name in tags:
            data = run._source.tensors(run.name, name)
            said += [(datum.wall_time, decode_embedding(message_in(datum.numpy))) for datum in data]
    except UnreadableSchemaError as error:
        raise UnreadableError(str(error)) from error
    said.sort(key=lambda pair: pair[0])
    by_name: dict[tuple[str, str], list[tuple[float, EmbeddingDescription]]] = {}
    for time, one in said:
        by_name.setdefault((one.model, one.name), []).append((time, one))
    return [unite(of_one) for of_one in by_name.values()]


def _name(account: Account, *, with_model: bool) -> str:
    description = account.description
    return f"{description.model}/{description.name}" if with_model else description.name


def _size(account: Account) -> int:
    names = sum(len(one.classes) + len(one.thumbnail_tags) + 1 for one in account.sets)
    return _BYTES_PER_NAME * (names + sum(map(len, account.places)) + len(account.layouts))
