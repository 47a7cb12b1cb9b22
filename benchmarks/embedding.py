"""How still, how faithful and how dear the pictures of an embedding are: `python -m benchmarks.embedding [--seeds N]`.

What the last hidden layer of a small network makes of 1,000 noisy digits, at 20 steps of a training from accuracy .1 to
over .95, the sooner the denser, laid out step after step on one thread. Displacement is the mean move from step to step
over the root mean square radius; static is that at further steps, where nothing changes but by 2 % noise. CPU seconds
are those of the picture that is laid out from nothing, and the mean of the others. Below: how far the similarity of two
steps, worked out from their signatures, is from linear CKA of all points.
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
from tb_netviz.embedding.course import Course, Placed, backwards
from tb_netviz.embedding.placed import similarity
from tb_netviz.embedding.signature import signature
from tb_netviz_plugin.analysis.similarity import cka
from tb_netviz_plugin.schema.embedding import Method

Vectors = npt.NDArray[np.float32]

POINTS, WIDTH, STEPS, RECORDS = 1_000, 128, 250, 20
PIXEL_NOISE = 0.19
"""Deviation of what is added to pixels from 0 to 1: without it the first steps would settle nearly everything."""
STATIC_STEPS = 5
COLUMNS = ("drift", "trustworthiness", "recall", "cpu_seconds")
HEADING = (
    "| pictures | displacement | static | trustworthiness | recall@10 | CPU s, the first | CPU s, the others |\n"
    "|---|---|---|---|---|---|---|"
)
Way = Callable[[list[Vectors]], list[Placed]]


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
    ways: dict[str, Way] = {
        "each by itself": independent,
        "**netviz**, beside the training": followed,
        "netviz, with scikit-learn": with_scikit_learn,
        "netviz, backwards afterwards": in_reverse,
    }
    print(HEADING)
    for name, way in ways.items():
        print(row(name, np.array([figures(way, vectors) for vectors in trainings])), flush=True)
    errors = np.concatenate([signature_errors(vectors) for vectors in trainings])
    print(f"\nSimilarity from signatures: off by {errors.mean():.4f} at the mean, {errors.max():.4f} at most.")


def training(seed: int) -> list[Vectors]:
    """Return the vectors of each recorded step, [POINTS, WIDTH]."""
    torch.manual_seed(seed)
    data = load_digits()
    inputs, targets = torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)
    inputs += PIXEL_NOISE * torch.randn(inputs.shape)
    shown = torch.randperm(len(inputs))[:POINTS]
    body = nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
    model = nn.Sequential(body, nn.Linear(WIDTH, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    recorded, found = recorded_steps(), []
    for step in range(STEPS + 1):
        if step in recorded:
            with torch.no_grad():
                found.append(body(inputs[shown]).numpy())
        batch = torch.randint(len(inputs), (64,))
        loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
        loss.backward()  # type: ignore[no-untyped-call]  # In torch.
        optimizer.step()
        optimizer.zero_grad()
    return found


def recorded_steps() -> set[int]:
    """Return RECORDS steps from 0 to STEPS that grow by the same factor, or by 1 where that is more."""
    steps = [0]
    for record in range(1, RECORDS):
        steps.append(max(steps[-1] + 1, round(STEPS ** ((record - 1) / (RECORDS - 2)))))
    return set(steps)


def figures(way: Way, vectors: list[Vectors]) -> list[float]:
    """Return displacement, that of static steps, trustworthiness, recall, seconds of the first picture and others."""
    drifts, trust, recall, seconds = columns(way([*vectors, *disturbed(vectors[-1])]))
    moves, followed = drifts[np.isfinite(drifts)], np.isfinite(drifts[:RECORDS])
    return [
        moves[:-STATIC_STEPS].mean(),
        moves[-STATIC_STEPS:].mean(),
        trust[:RECORDS].mean(),
        recall[:RECORDS].mean(),
        seconds[np.isnan(drifts)].mean(),
        seconds[:RECORDS][followed].mean(),
    ]


def columns(placed: list[Placed]) -> npt.NDArray[np.float64]:
    """Return COLUMNS of pictures, [COLUMNS, steps]."""
    return np.array([[one.figures[name] for one in placed] for name in COLUMNS])


def disturbed(vectors: Vectors) -> list[Vectors]:
    """Return steps at which nothing changes but by 2 % noise."""
    random = np.random.default_rng(0)
    size = 0.02 * (vectors - vectors.mean(axis=0)).std()
    return [(vectors + size * random.standard_normal(vectors.shape)).astype(np.float32) for _ in range(STATIC_STEPS)]


def followed(vectors: list[Vectors]) -> list[Placed]:
    """Return pictures each of which follows the last."""
    course = Course()
    return [course.tsne(step) for step in vectors]


def with_scikit_learn(vectors: list[Vectors]) -> list[Placed]:
    """Return pictures where openTSNE is not installed."""
    with patch("tb_netviz.embedding.tsne.backend", lambda: "scikit-learn"):
        return followed(vectors)


def in_reverse(vectors: list[Vectors]) -> list[Placed]:
    """Return pictures that were made from the last one on, the first one first."""
    placed = dict(backwards([partial(np.asarray, step) for step in vectors], Method.TSNE))
    return [placed[index] for index in range(len(vectors))]


def independent(vectors: list[Vectors]) -> list[Placed]:
    """Return pictures that know nothing of each other, but for being turned alike."""
    placed = [Course().tsne(step) for step in vectors]
    for last, now in pairwise(placed):
        turned = align(now.positions, last.positions)
        now.positions[:], now.figures["drift"] = turned, drift(turned, last.positions)
    return placed


def row(name: str, values: npt.NDArray[np.float64]) -> str:
    """Return a row of the table: the mean over trainings of values [seeds, figures]."""
    moved, static, trust, recall, first, others = values.mean(axis=0)
    return f"| {name} | {moved:.3f} | {static:.3f} | {trust:.3f} | {recall:.3f} | {first:.2f} | {others:.2f} |"


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
