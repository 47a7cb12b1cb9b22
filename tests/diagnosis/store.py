"""Trains scenarios, and keeps the runs as long as neither the scenario nor what it is made of changes."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import re
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from tb_netviz.reading import read_runs
from tb_netviz_plugin.reader import Run
from tb_netviz_plugin.schema import columns, tags
from tests.diagnosis.scenario import Scenario, Trial, Truth

_OURS = "tests.diagnosis"
_TRUTH = "truth.json"


def trained(scenario: Scenario, seed: int, cache: Path) -> tuple[Run, Truth | None]:
    """Return the run of a scenario and what is wrong with it, from the cache where it is there.

    Raises:
        NotProvenError: If the fault did not come about.
    """
    folder = cache / folder_of(scenario, seed)
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            train(scenario, seed, Path(scratch) / "trained")
            with contextlib.suppress(OSError):  # Another process was faster.
                (Path(scratch) / "trained").replace(folder)
    truth = json.loads((folder / _TRUTH).read_text(encoding="utf-8"))
    return read_runs(folder)[0], truth and Truth(**truth | {"layers": tuple(truth["layers"])})


def folder_of(scenario: Scenario, seed: int) -> str:
    """Return the name of the folder in which a training is kept."""
    return f"{scenario.name}-{seed}-{fingerprint(scenario)}"


def train(scenario: Scenario, seed: int, folder: Path) -> None:
    """Train a scenario into a new folder, on one thread, and leave torch's random state as it was."""
    with _undisturbed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        truth = scenario.build(Trial(seed, folder / "run"))
    if (truth is None) != (not scenario.rules):
        raise TypeError(f"{scenario.name} says whether it is healthy in two ways")
    (folder / _TRUTH).write_text(json.dumps(truth and asdict(truth)), encoding="utf-8")


def fingerprint(scenario: Scenario) -> str:
    """Return what changes with the source of a scenario, with all of this package that it uses, and with the schema."""
    parts = [inspect.getsource(module) for module in (columns, tags)]
    seen: set[int] = set()
    _gather(scenario.build, seen, parts)
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()


def _gather(thing: Any, seen: set[int], parts: list[str]) -> None:
    """Append the source of a function or class, and of those of this package that it names."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    source = inspect.getsource(thing)
    parts.append(source)
    names = vars(inspect.getmodule(thing))
    for name in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", source)):
        named = names.get(name)
        if isinstance(named, (int, float, str, tuple)):
            parts.append(f"{name} = {named!r}")
        elif not isinstance(named, ModuleType) and getattr(named, "__module__", "").startswith(_OURS):
            wrapped = inspect.unwrap(named) if callable(named) else named
            if inspect.isfunction(wrapped) or inspect.isclass(wrapped):
                _gather(wrapped, seen, parts)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
