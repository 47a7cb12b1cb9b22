"""The built distributions, and an environment with the wheel in it."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.distributions import copy_sources, install, make_environment, run

BUILD = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]


class Built(NamedTuple):
    sources: Path
    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from the sdist."""
    sources = copy_sources(tmp_path_factory.mktemp("sources") / "netviz")
    output = tmp_path_factory.mktemp("dist")
    run([*BUILD, output, sources], cwd=output)
    (sdist,) = output.glob("*.tar.gz")
    (wheel,) = output.glob("*.whl")
    return Built(sources, sdist, wheel)


@pytest.fixture(scope="session")
def compiled(built, tmp_path_factory):
    """The wheel that is built where there is a compiler."""
    output = tmp_path_factory.mktemp("compiled")
    run([*BUILD, output, "--wheel", built.sources], cwd=output, with_programs=True)
    (wheel,) = output.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory):
    """The interpreter of an environment in which the wheel is installed."""
    python = make_environment(tmp_path_factory.mktemp("installed"))
    install(python, built.wheel)
    return python
