"""The built distributions, and an environment with the wheel in it."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.distributions import copy_sources, install, make_environment, run


class Built(NamedTuple):
    sources: Path
    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from the sdist."""
    import sys

    sources = copy_sources(tmp_path_factory.mktemp("sources") / "netviz")
    output = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", output, sources], cwd=output)
    (sdist,) = output.glob("*.tar.gz")
    (wheel,) = output.glob("*.whl")
    return Built(sources, sdist, wheel)


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory):
    """The interpreter of an environment in which the wheel is installed."""
    python = make_environment(tmp_path_factory.mktemp("installed"))
    install(python, built.wheel)
    return python
