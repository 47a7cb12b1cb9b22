"""How still, how faithful and how dear the pictures of an embedding are: `python -m benchmarks.embedding [--seeds N]`.

What a hidden layer of 128 units makes of 1,000 digits, at 20 steps of a training from accuracy .1 to over .95, laid out
step after step on one thread. Static is how far points move where nothing changes but by 2 % noise. The last line is
how far the similarity of two steps, worked out from their signatures, is from linear CKA of all points.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits
from torch import nn

from tb_netviz.embedding.alignment import align, drift
from tb_netviz.embedding.course import Course, Placed, backwards, similarity
from tb_netviz.embedding.signature import signature
from tb_netviz_plugin.analysis.similarity import cka
from tb_netviz_plugin.schema.embedding import Method

Vectors = npt.NDArray[np.float32]

POINTS, WIDTH, STEPS, EVERY = 1_000, 128, 200, 10
COLUMNS = ("drift", "trustworthiness", "recall", "noise_floor", "cpu_seconds")
HEADING = "| pictures | displacement | trustworthiness | recall@10 | static | CPU s a step |\n|---|---|---|---|---|---|"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="trainings (default 5)")
    arguments, _ = parser.parse_known_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        measure([training(seed) for seed in range(arguments.seeds)])


def measure(trainings: list[list[Vectors]]) -> None:
    """Print how each way does over some trainings."""
    ways: dict[str, Callable[[list[Vectors]], npt.NDArray[np.float64]]] = {
        "each by itself": independent,
        "**netviz**, beside the training": followed,
        "netviz, with scikit-learn": with_scikit_learn,
        "netviz, backwards afterwards": in_reverse,
    }
    print(HEADING)
    for name, way in ways.items():
        print(row(name, np.array([way(vectors) for vectors in trainings])), flush=True)
    errors = np.concatenate([signature_errors(vectors) for vectors in trainings])
    print(f"\nSimilarity from signatures: off by {errors.mean():.4f} at the mean, {errors.max():.4f} at most.")


def training(seed: int) -> list[Vectors]:
    """Return the vectors of each recorded step, [POINTS, WIDTH]."""
    torch.manual_seed(seed)
    data = load_digits()
    inputs, targets = torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)
    shown = torch.randperm(len(inputs))[:POINTS]
    body = nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
    model = nn.Sequential(body, nn.Linear(WIDTH, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    found = []
    for step in range(STEPS):
        if step % EVERY == 0:
            with torch.no_grad():
                found.append(body(inputs[shown]).numpy())
        batch = torch.randint(len(inputs), (64,))
        loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
        loss.backward()  # type: ignore[no-untyped-call]  # In torch.
        optimizer.step()
        optimizer.zero_grad()
    return found


def followed(vectors: list[Vectors]) -> npt.NDArray[np.float64]:
    """Return COLUMNS of pictures each of which follows the last."""
    course = Course()
    return summary([course.tsne(step) for step in vectors])


def with_scikit_learn(vectors: list[Vectors]) -> npt.NDArray[np.float64]:
    """Return COLUMNS where openTSNE is not installed."""
    with patch("tb_netviz.embedding.tsne.backend", lambda: "scikit-learn"):
        return followed(vectors)


def in_reverse(vectors: list[Vectors]) -> npt.NDArray[np.float64]:
    """Return COLUMNS of pictures from the last one on."""
    return summary([placed for _, placed in backwards([partial(np.asarray, step) for step in vectors], Method.TSNE)])


def independent(vectors: list[Vectors]) -> npt.NDArray[np.float64]:
    """Return COLUMNS of pictures that know nothing of each other, but for being turned alike."""
    placed = [Course().tsne(step) for step in vectors]
    moves = [drift(align(now.positions, last.positions), last.positions) for last, now in pairwise(placed)]
    found = summary(placed)
    found[COLUMNS.index("drift")] = np.mean(moves)
    return found


def summary(placed: list[Placed]) -> npt.NDArray[np.float64]:
    """Return the means of COLUMNS over the steps; the cost of the first, which is cold, included."""
    known = ([one.figures[name] for one in placed if np.isfinite(one.figures[name])] for name in COLUMNS)
    return np.array([np.mean(values) if values else np.nan for values in known])


def row(name: str, values: npt.NDArray[np.float64]) -> str:
    """Return a row of the table: the mean over trainings of values [seeds, COLUMNS]."""
    moved, trust, recall, static, seconds = values.mean(axis=0)
    return f"| {name} | {moved:.3f} | {trust:.3f} | {recall:.3f} | {static:.3f} | {seconds:.2f} |"


def signature_errors(vectors: list[Vectors]) -> npt.NDArray[np.float64]:
    """Return how far the similarity of each pair of steps is off."""
    signatures = [signature(step) for step in vectors]
    return np.array(list(_errors(vectors, signatures)))


def _errors(vectors: list[Vectors], signatures: list[Vectors]) -> Iterator[float]:
    for one in range(len(vectors)):
        for other in range(one):
            yield abs(cka(signatures[one], signatures[other]) - similarity(vectors[one], vectors[other]))


if __name__ == "__main__":
    main()
