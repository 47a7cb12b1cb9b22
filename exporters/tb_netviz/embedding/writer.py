"""Embeddings from NumPy arrays, without a training framework."""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing.util import Finalize
from types import TracebackType
from typing import Any, Self

from tb_netviz.embedding.dispatcher import DRAIN_SECONDS, patience_after
from tb_netviz.embedding.embeddings import Embeddings
from tb_netviz.embedding.track import plan_of
from tb_netviz.events import open_sink


class EmbeddingWriter:
    """Lays out vectors beside whatever makes them, and writes the layouts into a run.

        with EmbeddingWriter("runs/mine") as writer:
            for step in range(20):
                writer.add("hidden", vectors, labels, step)

    Args:
        log_dir: Folder of the run.

    Raises:
        RemoteLogDirError: If `log_dir` is not on a local file system.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self._sink = open_sink(log_dir)
        self._embeddings = Embeddings(self._sink)
        # Before the files themselves are closed at the end of the process, hence the priority.
        self._finalizer = Finalize(None, self.close, exitpriority=20)

    def add(
        self,
        name: str,
        vectors: Any,
        labels: Any = None,
        step: int | None = None,
        *,
        dims: int = 2,
        thumbnails: Any = None,
        predictions: Any = None,
        classes: Sequence[Any] | None = None,
        inputs: str = "",
        perplexity: float = 30.0,
    ) -> None:
        """Lay out the vectors of one step. Returns at once; where the last step is still at work, the latest wins.

        Args:
            name: Of the embedding.
            vectors: [points, …], real numbers; more than two dimensions are flattened. They are copied.
            labels: One for each point. Whole numbers, texts and truth values are classes, numbers with a fraction in
                their type are numbers; None and NaN are missing.
            step: Of the training; by default one more than the last.
            dims: 2 or 3.
            thumbnails: A picture of each point: [points, height, width], with channels last or before the height;
                whole numbers from 0 to 255 or fractions from 0 to 1.
            predictions: A class of each point, given as the labels are.
            classes: Names of the classes by their index, where the labels are indices or such names.
            inputs: Stands for the points: embeddings with the same are compared point by point.
            perplexity: Of t-SNE.

        Raises:
            TypeError: If an argument is of the wrong kind.
            ValueError: If labels, predictions or thumbnails are not one for each point, or `dims` is neither 2 nor 3.
        """
        self._embeddings.add(
            name,
            vectors,
            labels,
            step,
            plan=plan_of(dims, perplexity),
            thumbnails=thumbnails,
            predictions=predictions,
            classes=classes,
            inputs=inputs,
        )

    def wait(self, limit: float | None = None) -> bool:
        """Wait until the layouts of all steps so far are there, `limit` seconds at most; whether they are.

        With this after each `add` none is left out, as where vectors come from checkpoints of a training that is over.
        """
        return self._embeddings.wait(limit)

    def close(self, limit: float = DRAIN_SECONDS) -> None:
        """Wait for the layouts that are under way, `limit` seconds at most, and close the file."""
        self._finalizer.cancel()
        self._embeddings.close(limit)
        self._sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.close(patience_after(error))
