"""Builds the package from a copy of the checkout, and installs it beside the packages of this environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCES = shutil.ignore_patterns(
    ".git",
    ".venv*",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "node_modules",
    "output",
    "*.so",
)


def run(command: Sequence[str | Path], *, cwd: Path, expect: int = 0, with_programs: bool = False) -> str:
    """Run `command` without this checkout on its path, and return what it printed.

    No other program is found on its PATH, unless `with_programs`: neither building nor installing may need a compiler
    or Node.

    Raises:
        AssertionError: If its exit status is not `expect`.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PATH"] = os.environ["PATH"] if with_programs else ""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stdout
    return done.stdout


def copy_sources(target: Path) -> Path:
    """Copy what a clean checkout holds into `target`."""
    shutil.copytree(ROOT, target, ignore=NOT_SOURCES)
    shutil.rmtree(target / "runs", ignore_errors=True)
    return target


def files_below(folder: Path) -> set[str]:
    """Return the paths of all files below `folder`, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def make_environment(target: Path) -> Path:
    """Create an environment that sees this one's dependencies, but not its netviz; return its interpreter."""
    venv.create(target, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = target / "lib" / version / "site-packages"
    # Paths of a .pth file are not searched for further .pth files, so an editable netviz there stays out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return target / "bin" / "python"


def install(python: Path, *arguments: str | Path) -> None:
    """Run pip install in the environment of `python`, without dependencies and without a network."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    run([*command, "--no-build-isolation", *arguments], cwd=python.parent)
