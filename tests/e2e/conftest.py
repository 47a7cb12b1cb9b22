"""Real training, real servers, a real browser; each is started once a session."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tb_netviz.reading import read_runs
from tests.support.apps import decode_frame
from tests.support.browser import IN_ONE_PROCESS, Profile, Tab, chromium
from tests.support.runs import HOSTILE_NAMES, write_run
from tests.support.servers import ROOT, tensorboard
from tests.support.unitruns import write_units

WIDE = {"width": 1440, "height": 900}
DEMO_RUNS = ("cnn", "raised-lr", "sigmoid-mlp")
HOSTILE_RUN = "<img src=x onerror=alert(1)>"


def pytest_generate_tests(metafunc):
    """Start servers over TensorBoard's own loader, and over its older one too where that may make a difference.

    What a page does with what it is given is the same over both; what it is given is looked at over both.
    """
    if "load_fast" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("both_loaders") is not None
        loaders = {"rust": True, "python": False} if both else {"rust": True}
        metafunc.parametrize("load_fast", loaders.values(), ids=loaders, scope="session")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def log_dir(tmp_path_factory):
    """The runs of a demo, really trained, and a run whose every name is hostile."""
    folder = tmp_path_factory.mktemp("e2e") / "runs"
    command = "import sys; from tb_netviz.cli import main; sys.exit(main())"
    subprocess.run(
        [sys.executable, "-c", command, "demo", "--logdir", str(folder), "--no-serve"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])},
        check=True,
        capture_output=True,
    )
    hostile = {name: {name or "weight": (3, 3)} for name in HOSTILE_NAMES}
    write_run(folder / HOSTILE_RUN, layers=hostile, steps=range(30))
    return folder


def last_record(folder):
    """Return the last step that was recorded, which depends on how fast the machine trains."""
    (run,) = read_runs(folder)
    return int(run.grid.steps[-1])


@pytest.fixture(scope="session")
def unit_run(tmp_path_factory):
    """The folder of a run with units in every state, to be copied: it takes long to write."""
    folder = tmp_path_factory.mktemp("unit-run") / "units"
    write_units(folder)
    return folder


@pytest.fixture(scope="session")
def browser():
    with chromium(*IN_ONE_PROCESS) as running:
        yield running


@pytest.fixture(scope="session")
def profile(browser):
    return Profile(browser)


@pytest.fixture(scope="session")
def server(load_fast, log_dir):
    """A TensorBoard over the trained runs."""
    with tensorboard(log_dir, load_fast=load_fast) as running:
        for run in (*DEMO_RUNS, HOSTILE_RUN):
            running.wait_for_runs(run, last_step=last_record(log_dir / run))
        yield running


@pytest.fixture(scope="session")
def recorded(server):
    """Returns the steps that a run has records of, which depend on how fast the machine trains."""

    def recorded(run):
        _header, arrays = decode_frame(server.plugin("series", run=run, statistic="gradient_norm"))
        return [int(step) for step in arrays["steps"]]

    return recorded


@pytest.fixture
def open_page(browser, profile):
    """Opens pages over servers, and fails the test when one of them complains."""
    with ExitStack() as stack:
        tabs = []

        def open_page(server, viewport=WIDE, **settings):
            if settings:
                context = browser.new_context(viewport=viewport, **settings)
                stack.callback(context.close)
                page = context.new_page()
            else:
                page = profile.open(viewport)
                stack.callback(profile.close, page, server.url)
            tab = Tab(page, server.url)
            tabs.append(tab)
            return tab

        yield open_page
        complaints = [complaint for tab in tabs for complaint in tab.complaints]
    assert complaints == []


@pytest.fixture
def tab(open_page, server):
    return open_page(server)
