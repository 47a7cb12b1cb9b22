"""A server over runs with activation maps, and pages that show them."""

import pytest

from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.probe import MapKind
from tests.support.mapviews import CHANNELS, DRAWN, HOSTILE, LAYERS, MANY, STEPS, grid, write_probed
from tests.support.probes import source
from tests.support.runs import HOSTILE_NAMES, write_run
from tests.support.servers import tensorboard


@pytest.fixture(scope="package")
def probed(load_fast, tmp_path_factory):
    """Returns a server over runs with probes, and one without."""
    folder = tmp_path_factory.mktemp("maps")
    sources = [source(name, MapKind.FEATURE_MAP, CHANNELS, 16, 16) for name in LAYERS]
    others = [
        source("wide", MapKind.FEATURE_MAP, MANY, 4, 4),
        source("encoder.attn", MapKind.ATTENTION, 4, 9, 9),
        source("lstm", MapKind.HIDDEN, 1, 24, 9),
        source("blocks.2", MapKind.GRAD_CAM, 1, 8, 8),
    ]
    omissions = (Omission("lstm", "its 64 units are averaged down to 24"),)
    write_probed(folder / "probed", [*sources, *others], omissions=omissions)
    write_probed(folder / "other", [source("blocks.0", MapKind.FEATURE_MAP, CHANNELS - 4, 8, 8)])
    hostile = {name or "weight": {"weight": (3, 3)} for name in HOSTILE_NAMES}
    named = [source(name, MapKind.FEATURE_MAP, 2, 4, 4, name=HOSTILE) for name in hostile]
    labels = [HOSTILE, "a\nb", "x" * 300, "\u202ereversed"]
    write_probed(folder / HOSTILE, named, layers=hostile, name=HOSTILE, labels=labels)
    write_run(folder / "plain")
    with tensorboard(folder, load_fast=load_fast) as running:
        running.wait_for_runs("probed", "other", HOSTILE, last_step=STEPS[-1])
        running.wait_for_runs("plain", last_step=19)
        yield running


@pytest.fixture
def maps(open_page, probed):
    """Opens the maps of a run, and waits until some are drawn."""

    def maps(run="probed", *, viewport=None, **selection):
        tab = open_page(probed, **({"viewport": viewport} if viewport else {}))
        tab.open(view="activations", section="maps", run=run, **selection)
        grid(tab).wait_for()
        tab.wait_for(DRAWN)
        return tab

    return maps
