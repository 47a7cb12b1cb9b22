"""Runs with activation maps, and what a browser test reads of the view that shows them."""

import csv
import io
import re

import numpy as np

from tb_netviz_plugin.schema.probe import MapKind
from tests.support.apps import decode_frame
from tests.support.probes import Maps, digits, probe, write_maps, write_probe
from tests.support.runs import RunFile, dense_layers, describe, observe, random_gradients

STEPS = (0, 10, 20, 40, 80)
LAYERS = ("blocks.0", "blocks.1", "blocks.2")
CHANNELS, SILENT, CONSTANT, ILL, PARTLY = 12, 3, 4, 5, 6
MANY = 600
HOSTILE = "<img src=x onerror=alert(1)>"
DRAWN = """
() => {
    const canvas = document.querySelector('.map-grid canvas');
    if (!canvas?.width || !canvas.height) return false;
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(pixels.buffer)).size > 16;
}
"""


def values_of(one, step, samples=4):
    """Return maps that have both signs; in each module with enough of them one is zero, one constant, two have NaN."""
    rng = np.random.default_rng([step, one.maps, one.height])
    values = rng.standard_normal((samples, one.maps, one.height, one.width))
    values *= np.linspace(0.2, 3.0, one.maps)[None, :, None, None] * (1 + step / 40)
    if one.kind == MapKind.ATTENTION:
        values = np.exp(values) / np.exp(values).sum(axis=-1, keepdims=True)
    elif one.maps > PARTLY:
        values[:, SILENT], values[:, CONSTANT], values[:, ILL] = 0.0, 2.5, np.nan
        values[:, PARTLY, 1, :2] = np.nan
    return values


def write_probed(folder, sources, *, layers=3, inputs=None, **changes):
    """Write a run that has a record, and maps of all `sources`, at each step."""
    description = probe(sources, **changes)
    network = describe(dense_layers(layers) if isinstance(layers, int) else layers)
    rng = np.random.default_rng(0)
    weights = random_gradients(network, rng)
    with RunFile(folder) as file:
        file.describe(network)
        write_probe(file, 0, description, digits(side=16) if inputs is None else inputs)
        for step in STEPS:
            gradients = random_gradients(network, rng, 0.1)
            file.record(network, step, observe(gradients, weights, gradients))
            file.metric("loss/train", step, 1 / (1 + step), role="train_loss")
            write_maps(file, step, [Maps(one, values_of(one, step)) for one in sources])


def grid(tab):
    return tab.page.frame_locator("iframe").locator("[aria-roledescription='grid of maps']")


def spoken(tab):
    return tab.page.frame_locator("iframe").locator("p[aria-live]")


def page(server, name="blocks.0", *, step=STEPS[-1], sample=0, run="probed", **more):
    """Return the arrays that the server has of a module."""
    listed = server.plugin_json("probes", run=run)["probes"][0]
    index = next(number for number, one in enumerate(listed["maps"]) if one["module"] == name)
    asked = {"run": run, "probe": listed["name"], "map": index, "step": step, "sample": sample, "count": 256}
    return decode_frame(server.plugin("maps", **(asked | more)))[1]


def csv_of(tab):
    tab.role("button", re.compile("^Table and export of ")).first.click()
    with tab.page.expect_download() as download:
        tab.role("menuitem", "Save as CSV").click()
    return list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
