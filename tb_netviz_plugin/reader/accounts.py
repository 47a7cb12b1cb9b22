"""What was said of an embedding, by one process or by several that took turns, as one account."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tb_netviz_plugin.schema.embedding import EmbeddingDescription, Layout, PointSet


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of an embedding without its numbers.

    A process that resumes a run begins a new list of sets and knows no layouts of others, so that the lists here are
    of all, each entry once.

    Attributes:
        description: The latest.
        sets: All sets of points, in the order in which they came.
        layouts: All layouts, likewise.
        prediction_stem: Of the tags of the predictions; empty where there are none.
        times: When each description was written, in seconds since the epoch, in order.
        places: For each description, where its sets stand in `sets`.
    """

    description: EmbeddingDescription
    sets: tuple[PointSet, ...]
    layouts: tuple[Layout, ...]
    prediction_stem: str
    times: tuple[float, ...]
    places: tuple[tuple[int, ...], ...]

    def place(self, wall_time: float, index: int) -> int | None:
        """Return where the set stands in `sets` that a record of that time calls `index`; None if nobody lists it."""
        in_force = max(bisect_right(self.times, wall_time) - 1, 0)
        # A description that TensorBoard has passed over was followed by others that list the same sets.
        return next((places[index] for places in self.places[in_force:] if index < len(places)), None)


def unite(said: Sequence[tuple[float, EmbeddingDescription]]) -> Account:
    """Return the account of an embedding.

    Args:
        said: Its descriptions and when they were written, in that order; at least one.
    """
    latest = said[-1][1]
    descriptions = [one for _, one in said if (one.module, one.inputs) == (latest.module, latest.inputs)]
    sets: dict[PointSet, int] = {}
    places = [tuple(sets.setdefault(one, len(sets)) for one in description.sets) for description in descriptions]
    layouts = {layout.steps_tag: layout for description in descriptions for layout in description.layouts}
    stems = [description.prediction_stem for description in descriptions if description.prediction_stem]
    times = [time for time, one in said if (one.module, one.inputs) == (latest.module, latest.inputs)]
    return Account(
        latest, tuple(sets), tuple(layouts.values()), stems[-1] if stems else "", tuple(times), tuple(places)
    )
