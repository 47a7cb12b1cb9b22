"""Runs with embeddings, and what a browser test reads of the view that shows them."""

import csv
import io
import re
from dataclasses import replace

import numpy as np

from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import Method
from tests.support.apps import decode_frame
from tests.support.embeddings import CLASSES, EmbeddingFile, clusters, described, point_set
from tests.support.runs import RunFile, dense_layers, describe, observe, random_gradients

STEPS = (0, 10, 20, 40, 80)
POINTS = 300
NOWHERE, UNLABELLED = 7, 11
MANY = 10_000
HOSTILE = "<img src=x onerror=alert(1)>"
LAYOUTS = ((Method.PCA, 2, "live"), (Method.TSNE, 2, "live"), (Method.TSNE, 3, "live"))
NO_TSNE = Omission("t-SNE", "neither openTSNE nor scikit-learn is installed")
FIGURES = {"trustworthiness": 0.97, "recall": 0.51, "noise_floor": 0.012, "similarity": 0.9, "exaggerated": 1.0}
DRAWN = """
() => {
    const canvas = document.querySelector('[aria-roledescription="point cloud"] canvas');
    const cloud = canvas?.closest('[aria-roledescription="point cloud"]');
    return cloud?.getAttribute('aria-busy') === 'false' && canvas.width > 0;
}
"""


def figures(step, points=POINTS):
    """Return what is known of a layout at a step: nothing moved before the first."""
    trust = 0.9 if step == 0 else FIGURES["trustworthiness"]
    drift = np.nan if step == 0 else 0.2 + step / 1000
    return FIGURES | {"trustworthiness": trust, "drift": drift, "fitted": points, "dropped": 2.0 * (step == 40)}


def predicted(step, labels, classes):
    """Return the class that a model which learns predicts for each point."""
    wrong = np.random.default_rng(step).random(len(labels)) < 0.6 * np.exp(-step / 30)
    return np.where(wrong, (np.nan_to_num(labels) + 1) % classes, np.nan_to_num(labels)).astype(np.float32)


def signature(step, seed):
    """Return scores [points, components] that a layer settles on."""
    start, end = (np.random.default_rng([seed, part]).standard_normal((200, 6)) for part in (0, 1))
    mixed = end + start * np.exp(-step / 20)
    return (mixed - mixed.mean(axis=0)).astype(np.float32)


def write_network(file):
    """Write records of a small network, so that the run has an axis of steps."""
    network = describe(dense_layers(2))
    rng = np.random.default_rng(0)
    weights = random_gradients(network, rng)
    file.describe(network)
    for step in range(0, STEPS[-1] + 1, 10):
        gradients = random_gradients(network, rng, 0.1)
        file.record(network, step, observe(gradients, weights, gradients))


def positions_of(step, *, dims=2, seed=0):
    """Return positions [points, dims], one of them nowhere, and labels, one of them missing."""
    positions, labels = clusters(POINTS, step, dims=dims, seed=seed)
    positions[NOWHERE], labels[UNLABELLED] = np.nan, np.nan
    return positions, labels


def write_layers(folder, layers=("fc1", "fc2"), *, seed=0, classes=CLASSES):
    """Write a run whose embeddings have everything: layouts, labels, thumbnails, predictions, signatures."""
    with RunFile(folder) as file:
        write_network(file)
        for number, name in enumerate(layers):
            one = replace(point_set(POINTS, key=name, pages=1, on_page=POINTS), classes=tuple(classes))
            written = EmbeddingFile(file, described(one, name=name, inputs="digits", layouts=LAYOUTS))
            labels = positions_of(0, seed=number)[1]
            written.labels(0, labels)
            pictures = np.full((POINTS, 8, 8, 1), 40, np.uint8)
            pictures[:, :4] += (60 * np.nan_to_num(labels)).astype(np.uint8)[:, None, None, None]
            written.thumbnails(0, pictures)
            for step in STEPS:
                for index, (_, dims, _) in enumerate(LAYOUTS):
                    positions = positions_of(step * (1 + seed), dims=dims, seed=number)[0]
                    written.lay(step, positions, layout=index, figures=figures(step))
                known = {"set": 0, "points": POINTS - 1, "probe_accuracy": 0.5 + step / 200}
                known |= {"effective_rank": 20 - step / 10, "fisher_ratio": 1 + step / 10}
                written.measure(step, known, signature(step, seed + number), predicted(step, labels, len(classes)))


def write_numbers(folder, points=100):
    """Write a run whose labels are numbers, with PCA alone."""
    with RunFile(folder) as file:
        one = point_set(points, "numbers")
        description = described(
            one, name="given", inputs="", layouts=LAYOUTS[:1], predictions=False, omissions=(NO_TSNE,)
        )
        written = EmbeddingFile(file, description)
        written.labels(0, np.linspace(-1, 3, points, dtype=np.float32))
        for step in STEPS[:2]:
            known = figures(step, 60) | {"noise_floor": np.nan}
            written.lay(step, clusters(points, step)[0], figures=known)


def write_kinds(folder, points=MANY):
    """Write a run of one step in which every point is of its own kind."""
    with RunFile(folder) as file:
        one = replace(point_set(points), classes=tuple(f"kind {index}" for index in range(points)))
        written = EmbeddingFile(file, described(one, layouts=LAYOUTS[1:2], predictions=False))
        written.labels(0, np.arange(points, dtype=np.float32))
        written.lay(0, clusters(points, 50)[0], figures=figures(0, 2000))


def write_unplaced(folder):
    """Write a run in which t-SNE has not got round to any position yet."""
    with RunFile(folder) as file:
        EmbeddingFile(file, described(point_set(50), layouts=LAYOUTS[1:2], omissions=(NO_TSNE,)))


def pixel_of(positions, index, box):
    """Return where a point of a whole picture in the plane is seen: its extent takes .88 of the shorter side."""
    low, high = np.nanmin(positions, axis=0), np.nanmax(positions, axis=0)
    unit = 0.88 * min(box["width"], box["height"]) / (high - low).max()
    x, y = ((positions[index] - (low + high) / 2) * unit).tolist()
    return box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 - y


def cloud(tab):
    """Return the pictures of points."""
    return tab.page.frame_locator("iframe").locator("[aria-roledescription='point cloud']")


def spoken(tab):
    return tab.page.frame_locator("iframe").locator("p[aria-live]")


def trust(tab):
    return tab.page.frame_locator("iframe").locator(".trust")


def arrays(server, route, run="layers", embedding="fc1", **more):
    """Return the arrays that the server has."""
    return decode_frame(server.plugin(route, run=run, embedding=embedding, **more))[1]


def csv_of(tab, button):
    """Return the rows of the CSV file behind a button."""
    with tab.page.expect_download() as download:
        button.click()
    return list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))


def whole_csv(tab, figure):
    """Return the rows of the CSV file of a figure."""
    tab.role("button", re.compile(f"^Table and export of {re.escape(figure)}")).first.click()
    return csv_of(tab, tab.role("menuitem", "Save as CSV"))
