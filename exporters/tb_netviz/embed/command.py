"""`tb-netviz embed`: read what runs have kept, lay it out again, and write that into the runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tb_netviz.embed.offline import Record, since_the_step_before, write_layout
from tb_netviz.embed.parts import Part, parts_of
from tb_netviz.embed.runs import opened, refuse_live
from tb_netviz.embedding.course import CannotPlaceError, backend, backwards, missing_words
from tb_netviz.embedding.vectors import stored, stored_name
from tb_netviz.printable import short_name
from tb_netviz.reading import listed, read_runs
from tb_netviz.refusal import RefusalError
from tb_netviz_plugin.errors import NetVizError
from tb_netviz_plugin.reader import Run
from tb_netviz_plugin.reader.embedding import Embedding
from tb_netviz_plugin.reader.embeddings import embeddings_of
from tb_netviz_plugin.schema.embedding import Method

_NAMES = {Method.TSNE: "t-SNE", Method.UMAP: "UMAP", Method.PCA: "PCA"}


def run(arguments: argparse.Namespace) -> None:
    """Lay out the embeddings below `arguments.logdir` that are asked for, and say which.

    Raises:
        RefusalError: If there are none, the method is not installed, or nothing could be laid out or written.
    """
    if arguments.method == Method.TSNE and backend() is None:
        raise RefusalError(missing_words())
    log_dir = Path(arguments.logdir)
    chosen = _chosen(read_runs(log_dir, arguments.run), arguments.name)
    done = [_embed(log_dir / name, name, embeddings, arguments) for name, embeddings in chosen.items()]
    if not any(done):
        raise RefusalError("nothing was laid out")


def _chosen(runs: Sequence[Run], name: str | None) -> dict[str, list[Embedding]]:
    """Return the embeddings that are asked for, by run."""
    found = {}
    for one in runs:
        with _told(one.name):
            found[one.name] = embeddings_of(one)
    names = dict.fromkeys(each.name for embeddings in found.values() for each in embeddings)
    if not names:
        raise RefusalError("there are no embeddings. `watch_embedding` and `add_tsne` record them")
    if name is not None and name not in names:
        raise RefusalError(f"there is no embedding {name!r}; there {listed(names)}")
    asked = {run: [each for each in embeddings if name in (None, each.name)] for run, embeddings in found.items()}
    return {run: embeddings for run, embeddings in asked.items() if embeddings}


def _embed(folder: Path, name: str, embeddings: Sequence[Embedding], arguments: argparse.Namespace) -> int:
    """Lay out the embeddings of a run, and return how many it could."""
    done = 0
    with _told(name):
        refuse_live(folder)
        kept = stored(folder)
        for embedding in embeddings:
            with _told(f"{name}, {embedding.name}"):
                records = _laid_out(parts_of(embedding, kept.get(stored_name(embedding.description), ())), arguments)
                with opened(folder) as sink:
                    write_layout(sink, embedding, Method(arguments.method), arguments.dims, records)
                print(_line(name, embedding.name, Method(arguments.method), records))
                done += 1
    return done


def _laid_out(parts: Sequence[Part], arguments: argparse.Namespace) -> list[Record]:
    """Return where the points are at each step; within a set of points backwards from its last step."""
    if not parts:
        raise RefusalError("no vectors were kept; those of `watch_embedding` and `add_tsne` stand in netviz_projector")
    records: list[Record] = []
    for part in parts:
        placed = []
        for _, one in backwards(part.loaders, Method(arguments.method), arguments.dims, arguments.perplexity):
            placed.append(one)
            _progress(len(records) + len(placed), sum(len(each.steps) for each in parts))
        forwards = since_the_step_before(placed[::-1])
        records += [Record(step, part.set, one) for step, one in zip(part.steps, forwards, strict=True)]
    return records


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell on standard error why something is left out, and go on with the next."""
    try:
        yield
    except (RefusalError, NetVizError, CannotPlaceError, OSError) as reason:
        print(f"tb-netviz: {short_name(name)}: {reason}", file=sys.stderr)


def _line(run: str, name: str, method: Method, records: Sequence[Record]) -> str:
    trusted = [record.placed.figures.get("trustworthiness", np.nan) for record in records]
    known = [value for value in trusted if np.isfinite(value)]
    trust = f", trustworthiness {min(known):.3f} to {max(known):.3f}" if known else ""
    return f"{short_name(run)}, {short_name(name)}: {_NAMES[method]} of {len(records)} steps{trust}"


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {of} steps", end="" if done < of else "\n", file=sys.stderr, flush=True)
