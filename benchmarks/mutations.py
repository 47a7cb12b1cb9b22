"""How well the diagnosis tells faults that are put mechanically into the healthy trainings of tests/diagnosis.

    python -m benchmarks.mutations [--use tuning|reporting] [--share 0.1] [--seed 0] [--jobs 2] [--only NAME] [--show]
        [--cache DIR]

A share of all pairs of a healthy training and a fault, by a hash of their names. Where the training's own proof that
it learned then fails, the fault did harm; some are faults in any case. For each fault and in total: found, by a cause
of warning or worse that names it; wrong, a cause of warning or worse that is neither right nor right beside it; silent,
none of warning or worse. Each with its 95 % interval after Wilson. Single mistakes are told of those tuned on only,
unless --show. A training that does not run through in 90 s, or raises, says nothing of a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import inspect
import json
import multiprocessing
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType

from tb_netviz.reading import read_runs
from tb_netviz_plugin.diagnosis import Severity
from tests.diagnosis import mutations
from tests.diagnosis.mutations import MUTATIONS
from tests.diagnosis.mutations.mutation import Inapplicable, Mutation, put
from tests.diagnosis.scenario import NotProvenError, Scenario, Use
from tests.diagnosis.scoring import Count, Outcome, compare, told_by
from tests.diagnosis.store import folder_of, train
from tests.diagnosis.suite import HEALTHY

LIMIT = 90
"""Seconds that a training may take."""
HEADINGS = ("found", "wrong", "silent")

_END = "end.json"


class End(Enum):
    """How a training with a fault ended."""

    HARMED = "harmed"
    UNHARMED = "unharmed"
    INAPPLICABLE = "inapplicable"
    BROKEN = "broken off"


@dataclass(frozen=True, slots=True)
class _Job:
    scenario: Scenario
    mutation: Mutation
    seed: int

    def __str__(self) -> str:
        return f"{self.mutation.name} in {self.scenario.name}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one pair; there is an outcome where the fault is proven."""

    mutation: str
    end: End
    words: str
    outcome: Outcome | None = None
    silent: bool = False


@dataclass(slots=True)
class _Tally:
    found: Count = field(default_factory=Count)
    wrong: Count = field(default_factory=Count)
    silent: Count = field(default_factory=Count)
    harmless: int = 0

    def add(self, result: _Result) -> None:
        """Count one more training that ran through."""
        if result.outcome is None:
            self.harmless += 1
            return
        self.found.add(result.outcome.hits)
        self.wrong.add(result.outcome.false_alarms)
        self.silent.add(result.silent)


class _LateError(BaseException):
    """The time is up; no hook may catch it."""


def main(arguments: Sequence[str] = ()) -> None:
    """Train the pairs that are not in the cache, judge them, and print the table."""
    options = _options(arguments)
    names = [
        (scenario.name, mutation.name)
        for scenario in HEALTHY
        for mutation in MUTATIONS
        if scenario.use.value == options.use
        and options.only in f"{scenario.name}/{mutation.name}"
        and _place(scenario.name, mutation.name) < options.share
    ]
    results = _all(names, options.seed, options.cache, options.jobs)
    _print_table(options.use, results)
    if options.use == Use.TUNING.value or options.show:
        for result in results:
            for line in _mistakes(result):
                print(line)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    uses = [use.value for use in Use]
    parser.add_argument("--use", choices=uses, default=Use.REPORTING.value, help="into which trainings faults are put")
    parser.add_argument("--share", type=float, default=0.1, help="of all pairs, by a hash of their names")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--only", default="", help="only pairs whose name, training/fault, has this in it")
    parser.add_argument("--show", action="store_true", help="tell what was missed in those reported on too")
    parser.add_argument("--cache", type=Path, help="where trained runs are kept")
    return parser.parse_args(arguments)


def _place(scenario: str, mutation: str) -> float:
    """Return where a pair stands among all of them, in [0, 1)."""
    return int(hashlib.blake2b(f"{scenario}/{mutation}".encode(), digest_size=4).hexdigest(), 16) / 2**32


def _all(names: Sequence[tuple[str, str]], seed: int, cache: Path | None, processes: int) -> list[_Result]:
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    judge = partial(_judge, seed=seed, cache=cache)
    if processes == 1:
        return [judge(pair) for pair in names]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.map(judge, names, chunksize=1)


def _judge(names: tuple[str, str], seed: int, cache: Path | None) -> _Result:
    scenario = next(one for one in HEALTHY if one.name == names[0])
    mutation = next(one for one in MUTATIONS if one.name == names[1])
    job = _Job(scenario, mutation, seed)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        folder = Path(scratch) / "trained" if cache is None else cache / _folder_of(job)
        end, words = _trained(job, folder, Path(scratch))
        proven = end is End.HARMED or (end is End.UNHARMED and not mutation.by_harm)
        if not proven:
            return _Result(mutation.name, end, f"{job}: {words}")
        run = read_runs(folder)[0]
        told = told_by(run)
    outcome = compare(replace(scenario, rules=mutation.rules, beside=mutation.beside), seed, None, run, told)
    silent = all(one.severity < Severity.WARNING for one in told)
    return _Result(mutation.name, end, f"{job}: {words}", outcome, silent)


def _folder_of(job: _Job) -> str:
    """Return the name of the folder in which a training is kept, which changes with the source of its parts."""
    modules = [one for _, one in sorted(vars(mutations).items()) if isinstance(one, ModuleType)]
    source = hashlib.blake2b("\n".join(map(inspect.getsource, modules)).encode(), digest_size=6).hexdigest()
    return f"{job.mutation.name}-{source}-{folder_of(job.scenario, job.seed)}"


def _trained(job: _Job, folder: Path, scratch: Path) -> tuple[End, str]:
    """Return how a training ends, in words as well; its run is in the folder then."""
    if not folder.exists():
        new = scratch / "new"
        new.mkdir()
        end, words = _train(job, new)
        (new / _END).write_text(json.dumps((end.value, words)), encoding="utf-8")
        with contextlib.suppress(OSError):  # Another process was faster.
            new.replace(folder)
    value, words = json.loads((folder / _END).read_text(encoding="utf-8"))
    return End(value), words


def _train(job: _Job, folder: Path) -> tuple[End, str]:
    try:
        with _limited(), put(job.mutation):
            train(job.scenario, job.seed, folder)
    except NotProvenError as error:
        return End.HARMED, str(error)
    except Inapplicable as error:
        return End.INAPPLICABLE, str(error)
    except _LateError:
        return End.BROKEN, f"it took more than {LIMIT} s"
    except Exception as error:  # Whatever a fault may bring about.
        return End.BROKEN, f"{type(error).__name__}: {error}"
    return End.UNHARMED, "it learned none the less"


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def late(_signal: int, _frame: FrameType | None) -> None:
        raise _LateError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _print_table(use: str, results: Sequence[_Result]) -> None:
    ran = [result for result in results if result.end in (End.HARMED, End.UNHARMED)]
    total, tallies = _Tally(), {mutation.name: _Tally() for mutation in MUTATIONS}
    for result in ran:
        for tally in (tallies[result.mutation], total):
            tally.add(result)
    print(f"\n### {use}: {len(results)} pairs, {total.found.of} proven faults\n")
    print(f"| fault | rules | proven | {' | '.join(HEADINGS)} | harmless |\n|---|---|---{'|---' * len(HEADINGS)}|---|")
    for mutation in MUTATIONS:
        if mutation.name in {result.mutation for result in ran}:
            print(_row(mutation.name, " ".join(mutation.rules), tallies[mutation.name]))
    print(_row("**in total**", "", total))
    for end in (End.INAPPLICABLE, End.BROKEN):
        print(f"\n{end.value}: {sum(result.end is end for result in results)}")


def _row(title: str, rules: str, tally: _Tally) -> str:
    counts = " | ".join(str(getattr(tally, name)) for name in HEADINGS)
    return f"| {title} | {rules} | {tally.found.of} | {counts} | {tally.harmless} |"


def _mistakes(result: _Result) -> list[str]:
    if result.end is End.BROKEN:
        return [f"{End.BROKEN.value}: {result.words}"]
    outcome = result.outcome
    if outcome is None:
        return []
    lines = [] if outcome.hits else [f"missed: {' or '.join(outcome.scenario.rules)}"]
    told = [(f"{one.severity.id} {one.rule}", one) for one in (*outcome.false_alarms, *outcome.others)]
    if outcome.false_alarms or not outcome.hits:
        wrong = len(outcome.false_alarms)
        lines += [
            f"{'false alarm' if at < wrong else 'told as well'}: {words} since step {one.first_step}: {one.message}"
            for at, (words, one) in enumerate(told)
        ]
    return [f"{result.words}: {line}" for line in lines]


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
