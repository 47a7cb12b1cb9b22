"""One embedding of a run: its points, where they are at each step, and what is known of their vectors."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.errors import NotFoundError, UnreadableError
from tb_netviz_plugin.reader.accounts import Account
from tb_netviz_plugin.reader.run import Run
from tb_netviz_plugin.reader.tensors import Stamped, Tensor, buckets, by_step, in_buckets, latest
from tb_netviz_plugin.schema.embedding import Layout, PointSet, decode_positions
from tb_netviz_plugin.schema.tags import Family

Floats = npt.NDArray[np.float32]
Pictures = npt.NDArray[np.uint8]

_AXES = ("origin_x", "origin_y", "origin_z")
_BYTES_PER_SHAPE = 100


@dataclass(frozen=True, slots=True)
class Rows:
    """What is known of each record, a row each.

    Attributes:
        columns: What the columns are.
        steps: Of the records, increasing.
        values: [records, columns]; `set` is an index into the sets of the embedding, NaN where there is no such set.
    """

    columns: tuple[str, ...]
    steps: list[int]
    values: Floats

    def at(self, step: int) -> dict[str, float] | None:
        """Return what is known of the record of a step by column, or None if there is none."""
        if step not in self.steps:
            return None
        return dict(zip(self.columns, self.values[self.steps.index(step)].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Points:
    """Where the points are at a step.

    Attributes:
        set: Index into the sets of the embedding.
        positions: NaN where one is nowhere, [points, dims].
        predictions: The class that the model predicts for each, [points], or [0] where that is not known.
    """

    set: int
    positions: Floats
    predictions: Floats


@dataclass(frozen=True, slots=True)
class Signature:
    """From which the similarity of the vectors of a step to others is computed.

    Attributes:
        step: The step.
        points: Equal where the points and their order are.
        scores: [landmarks, components].
    """

    step: int
    points: Hashable
    scores: Floats


class Embedding:
    """One embedding of a run.

    Args:
        run: The run.
        account: What was said of it.
        name: Tells it from the other embeddings of the run.
    """

    def __init__(self, run: Run, account: Account, name: str) -> None:
        self.description = account.description
        self.name = name
        self._run = run
        self._account = account

    @property
    def sets(self) -> tuple[PointSet, ...]:
        """The sets of points, of all processes that wrote to the run."""
        return self._account.sets

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The layouts, likewise."""
        return self._account.layouts

    @cached_property
    def measures(self) -> Rows:
        """Measures of the vectors at each step."""
        return self._rows(self.description.measures_tag, self.description.measures)

    @cached_property
    def has_predictions(self) -> bool:
        """Whether some predictions were recorded."""
        return bool(self._buckets_of_predictions)

    @cached_property
    def nbytes(self) -> int:
        """About how many bytes were recorded; signatures and predictions count as if each step had the same."""
        points = [one.points for one in self.sets]
        sizes = [4 * one.points * (one.labels_tag in self._run._series) for one in self.sets]
        sizes += [prod(self.thumbnails_of(index) or (0,)) for index in range(len(self.sets))]
        for layout in self.layouts:
            rows = self.steps(layout)
            sizes += [2 * layout.dims * points[chosen] for chosen in _sets(rows)] + [rows.values.nbytes]
        for chosen in _sets(self.measures) if self.has_predictions else ():
            sizes.append(4 * points[chosen])
        first = next(self.signatures(self.measures.steps[:1]), None)
        sizes.append(len(self.measures.steps) * first.scores.nbytes if first else 0)
        return sum(sizes) + self.measures.values.nbytes

    def steps(self, layout: Layout) -> Rows:
        """Return what is known of each record of a layout."""
        return self._rows(layout.steps_tag, layout.columns)

    def points(self, layout: Layout, step: int) -> Points:
        """Return where the points are at a step.

        Raises:
            NotFoundError: If the layout has no record at that step, or what it needs was not written (yet).
            UnreadableError: If the record is damaged.
        """
        row = self.steps(layout).at(step)
        if row is None:
            raise NotFoundError(f"no positions of this layout were recorded at step {step}")
        chosen = _whole(row.get("set", np.nan))
        if chosen is None:
            raise NotFoundError(f"the points of step {step} are not described (yet)")
        codes = in_buckets(self._run, buckets(self._run, Family.POSITIONS, layout.position_stem), step)
        if codes is None:
            raise NotFoundError(f"the positions of step {step} are missing in what TensorBoard has read")
        count = self.sets[chosen].points
        return Points(chosen, _decoded(codes, row, (count, layout.dims)), self._predictions(step, count))

    def labels(self, index: int) -> Floats:
        """Return the class or the number of each point of a set, [points], or [0] where it has no labels.

        Raises:
            NotFoundError: If they were not written (yet).
            UnreadableError: If they are damaged.
        """
        one = self.sets[index]
        if not one.labels_tag:
            return np.empty(0, np.float32)
        labels = latest(self._run, one.labels_tag)
        if labels is None:
            raise NotFoundError("the labels of these points are missing in what TensorBoard has read")
        if labels.dtype != np.float32 or labels.shape != (one.points,):
            raise UnreadableError("the labels of these points are damaged")
        return labels

    def thumbnails_of(self, index: int) -> tuple[int, int, int, int] | None:
        """Return how many thumbnails a set has, their height, width and channels; None where there are none (yet)."""
        one, run = self.sets[index], self._run
        tag = one.thumbnail_tags[0] if one.thumbnail_tags and one.thumbnails_on_page else ""
        if tag not in run._series:
            return None
        # Of a page that is only looked at for its shape nothing else is kept.
        shape = run._remember(f"shape: {tag}", [tag], lambda: _shape(run, tag), lambda _: _BYTES_PER_SHAPE)
        if len(shape) != 4 or shape[3] not in (1, 3, 4):
            return None
        return min(one.points, len(one.thumbnail_tags) * one.thumbnails_on_page), shape[1], shape[2], shape[3]

    def thumbnails(self, index: int, first: int, count: int) -> Pictures:
        """Return the thumbnails of the points `first` to `first + count`, as far as there are so many.

        Returns:
            [thumbnails, height, width, 1, 3 or 4].

        Raises:
            NotFoundError: If there are none, or some of these were not written (yet).
            UnreadableError: If they are damaged.
        """
        shape = self.thumbnails_of(index)
        if shape is None:
            raise NotFoundError("these points have no thumbnails in what TensorBoard has read")
        total, *size = shape
        one, last = self.sets[index], min(first + count, total)
        on_page = one.thumbnails_on_page
        parts = [np.empty((0, *size), np.uint8)]
        for page in range(first // on_page, -(-last // on_page)):
            start = page * on_page
            pictures = self._page(one.thumbnail_tags[page], (min(on_page, total - start), *size))
            parts.append(pictures[max(first - start, 0) : last - start])
        return np.concatenate(parts)

    def signatures(self, steps: Sequence[int]) -> Iterator[Signature]:
        """Yield the signatures of some of the steps of `measures`; those that are missing or damaged are left out."""
        for step in steps:
            chosen = _whole((self.measures.at(step) or {}).get("set", np.nan))
            scores = in_buckets(self._run, self._buckets_of_signatures, step)
            sound = scores is not None and scores.ndim == 2 and scores.dtype == np.float32
            if chosen is not None and scores is not None and sound and np.isfinite(scores).all():
                inputs = self.description.inputs
                points = (inputs, self.sets[chosen].points) if inputs else (self._run.name, self.name, chosen)
                yield Signature(step, (*points, len(scores)), scores)

    @cached_property
    def _buckets_of_signatures(self) -> list[str]:
        return buckets(self._run, Family.SIGNATURE, self.description.signature_stem)

    @cached_property
    def _buckets_of_predictions(self) -> list[str]:
        return buckets(self._run, Family.PREDICTIONS, self._account.prediction_stem)

    def _predictions(self, step: int, count: int) -> Floats:
        found = in_buckets(self._run, self._buckets_of_predictions, step)
        sound = found is not None and found.dtype == np.float32 and found.shape == (count,)
        return found if found is not None and sound else np.empty(0, np.float32)

    def _page(self, tag: str, shape: tuple[int, ...]) -> Pictures:
        pictures = latest(self._run, tag)
        if pictures is None:
            raise NotFoundError("some of these thumbnails are missing in what TensorBoard has read")
        if pictures.dtype != np.uint8 or pictures.shape != shape:
            raise UnreadableError("the thumbnails of these points are damaged")
        return pictures

    def _rows(self, tag: str, columns: tuple[str, ...]) -> Rows:
        # Which set a record means hangs on the descriptions, too.
        tags = [name for name in (tag, *self._run._tags(Family.EMBEDDING)) if name in self._run._series]
        return self._run._remember(
            f"rows: {tag}", tags, lambda: self._read_rows(tag, columns), lambda read: 3 * read.values.nbytes
        )

    def _read_rows(self, tag: str, columns: tuple[str, ...]) -> Rows:
        found = {
            step: stamped
            for step, stamped in sorted(by_step(self._run, tag).items())
            if stamped.array.shape == (len(columns),) and stamped.array.dtype == np.float32
        }
        values = np.array([stamped.array for stamped in found.values()], np.float32).reshape(len(found), len(columns))
        if "set" in columns:
            chosen = columns.index("set")
            values[:, chosen] = [self._set(stamped, stamped.array[chosen]) for stamped in found.values()]
        return Rows(columns, list(found), values)

    def _set(self, record: Stamped, number: float) -> float:
        """Return which of `sets` a record means by `number`."""
        index = _whole(number)
        meant = None if index is None else self._account.place(record.wall_time, index)
        return np.nan if meant is None else meant


def _decoded(codes: Tensor, row: dict[str, float], shape: tuple[int, int]) -> Floats:
    known = [row.get(name, np.nan) for name in (*_AXES[: shape[1]], "scale")]
    if codes.dtype != np.uint16 or codes.shape != shape or not 2 <= shape[1] <= 3 or not np.isfinite(known).all():
        raise UnreadableError("the positions of this step are damaged")
    return decode_positions(codes, np.array(known[:-1], np.float32), known[-1])


def _sets(rows: Rows) -> list[int]:
    """Return the sets of the records that name one."""
    chosen = rows.values[:, rows.columns.index("set")] if "set" in rows.columns else ()
    return [int(number) for number in chosen if np.isfinite(number)]


def _whole(number: float) -> int | None:
    return int(number) if np.isfinite(number) and number >= 0 else None


def _shape(run: Run, tag: str) -> tuple[int, ...]:
    data = run._source.tensors(run.name, tag, most=1)
    return tuple(data[-1].numpy.shape) if data else ()
