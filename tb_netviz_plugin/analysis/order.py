"""The order of what several descriptions of a run name, of which some may have come and gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

from tb_netviz_plugin.schema.description import RunDescription

_Key = TypeVar("_Key")


def united_order(
    descriptions: Sequence[RunDescription],
    models: Iterable[str],
    keys: Callable[[RunDescription], Iterable[_Key]],
) -> tuple[_Key, ...]:
    """Return the keys of all descriptions, model after model, in the order of the latest.

    Those that are gone stand behind the one that they followed.

    Args:
        descriptions: The oldest first.
        models: Names of the models, in order.
        keys: Gives the keys of one description in order; those of two models differ.
    """
    order: list[_Key] = []
    for model in models:
        merged: list[_Key] = []
        for description in reversed([d for d in descriptions if d.model == model]):
            merged = _insert_missing(merged, list(dict.fromkeys(keys(description))))
        order += merged
    return tuple(order)


def _insert_missing(order: list[_Key], names: list[_Key]) -> list[_Key]:
    known = set(order)
    followers: dict[_Key | None, list[_Key]] = {}
    anchor: _Key | None = None
    for before, name in pairwise([None, *names]):
        anchor = before if before in known else anchor
        if name is not None and name not in known:
            followers.setdefault(anchor, []).append(name)
    result = followers.get(None, [])
    for name in order:
        result = [*result, name, *followers[name]] if name in followers else [*result, name]
    return result
