"""A server over runs with embeddings, and pages that show them."""

import pytest

from tests.support.embeddingviews import (
    DRAWN,
    HOSTILE,
    STEPS,
    cloud,
    write_kinds,
    write_layers,
    write_numbers,
    write_unplaced,
)
from tests.support.runs import write_run
from tests.support.servers import tensorboard, wait_until


@pytest.fixture(scope="package")
def embedded(load_fast, tmp_path_factory):
    """Returns a server over runs with embeddings, and one without."""
    folder = tmp_path_factory.mktemp("embeddings")
    write_layers(folder / "layers")
    write_layers(folder / "other", ("fc1",), seed=1)
    write_layers(folder / HOSTILE, (HOSTILE, "x" * 300), classes=(HOSTILE, "a\nb", "\u202ereversed"))
    write_numbers(folder / "numbers")
    write_kinds(folder / "kinds")
    write_unplaced(folder / "unplaced")
    write_run(folder / "plain")
    with tensorboard(folder, load_fast=load_fast) as running:
        running.wait_for_runs("layers", "other", HOSTILE, last_step=STEPS[-1])
        running.wait_for_runs("numbers", last_step=STEPS[1])
        running.wait_for_runs("plain", last_step=19)
        wait_until(lambda: has_steps(running, "kinds"), "the run of many kinds was not read")
        wait_until(lambda: listed(running, "unplaced"), "the run without positions was not read")
        yield running


def listed(server, run):
    return server.plugin_json("embeddings", run=run)["embeddings"]


def has_steps(server, run):
    return any(layout["steps"] for one in listed(server, run) for layout in one["layouts"])


@pytest.fixture
def points(open_page, embedded):
    """Opens the embeddings of a run, and waits until the points are drawn."""

    def points(run="layers", *, viewport=None, **selection):
        tab = open_page(embedded, **({"viewport": viewport} if viewport else {}))
        tab.open(view="embeddings", run=run, **selection)
        cloud(tab).first.wait_for()
        tab.wait_for(DRAWN)
        return tab

    return points
