"""A server over runs of known units, and pages that show them."""

import shutil

import pytest

from tests.support.servers import tensorboard
from tests.support.unitruns import OFF, Modelled, write_large, write_modelled
from tests.support.unitviews import HOSTILE, lives


@pytest.fixture(scope="package")
def log_dir(unit_run, tmp_path_factory):
    """Runs of known deaths, one of none, and one whose every name is hostile."""
    folder = tmp_path_factory.mktemp("units") / "runs"
    shutil.copytree(unit_run, folder / "units")
    write_large(folder / "units, large")
    mostly_zeros = {unit: [(0, -1.2)] for unit in range(32)}
    write_modelled(folder / "sparse", [Modelled("fc", units=32, changes=mostly_zeros)], steps=400)
    compared = Modelled("fc1", units=16, changes={2: [(50, OFF)]}, twins={5: 4, 9: 4})
    opposite = Modelled("gate", "Tanh", units=8, twins={6: -2})
    write_modelled(folder / "twins", [compared, opposite, Modelled("lstm", "Tanh", units=8, twins=None)], steps=400)
    write_modelled(folder / "linear", [Modelled("fc", "Linear", units=8)], steps=200)
    layers = [Modelled(f"{HOSTILE}.{name}", units=4, changes={1: [(50, OFF)]}) for name in ("../../x", "a\nb", "🦆")]
    write_modelled(folder / HOSTILE, layers, steps=200)
    return folder


@pytest.fixture(scope="package")
def server(load_fast, log_dir):
    """A TensorBoard over these runs."""
    with tensorboard(log_dir, load_fast=load_fast) as running:
        running.wait_for_runs("units", "units, large", "sparse", "twins", "linear", HOSTILE)
        yield running


@pytest.fixture
def units(tab):
    """Opens the view on a run, and waits until its pictures are drawn."""

    def units(run="units", **selection):
        tab.open(view="units", run=run, **selection)
        tab.wait_until_drawn(f"{selection.get('state', 'dead').title()} units")
        lives(tab).wait_for()
        return tab

    return units
