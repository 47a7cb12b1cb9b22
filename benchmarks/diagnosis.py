"""How well the diagnosis does on the trainings of tests/diagnosis, of which a part was not looked at while tuning it.

    python -m benchmarks.diagnosis [--use tuning|reporting] [--seeds 3] [--jobs 2] [--only NAME] [--show] [--cache DIR]

For each rule and in total: recall; precision, where a cause of warning or worse that is not the right one is a false
alarm; healthy runs without a warning or critical finding; the right layer blamed first; the onset within 10 % of the
run. Each with its 95 % interval after Wilson. What was missed is told of those tuned on only, unless --show. Below
that, what the rules that others have published say of the same runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.baselines import BASELINES
from tb_netviz_plugin.diagnosis import RULES
from tests.diagnosis.scenario import NotProvenError, Use
from tests.diagnosis.scoring import Outcome, Score, Told, compare, score, told_by
from tests.diagnosis.store import trained
from tests.diagnosis.suite import SCENARIOS

SEEDS = 3
HEADINGS = ("recall", "precision", "healthy", "layer", "onset")

OURS = "netviz"

_Job = tuple[str, int]
_Result = dict[str, Outcome] | str
"""Of one run, by the tool that judged it; in words where its fault did not come about."""


def main(arguments: Sequence[str] = ()) -> None:
    """Train what is not in the cache, judge all of it, and print the tables."""
    options = _options(arguments)
    chosen = [one for one in SCENARIOS if options.only in one.name and (options.use in (None, one.use.value))]
    jobs = [(one.name, seed) for one in chosen for seed in range(options.seeds)]
    with tempfile.TemporaryDirectory() as scratch:
        results = _all(jobs, options.cache or Path(scratch), options.jobs)
    judged = [result for result in results if isinstance(result, dict)]
    for use in Use:
        of_use = [result for result in judged if result[OURS].scenario.use is use]
        if of_use:
            ours = [result[OURS] for result in of_use]
            _print_rules(use, ours)
            _print_tools(of_use)
            if use is Use.TUNING or options.show:
                _print_mistakes(ours)
    for result in results:
        if isinstance(result, str):
            print(f"not proven: {result}")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--use", choices=[use.value for use in Use], help="only the scenarios of that use")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many trainings of each")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--only", default="", help="only scenarios whose name has this in it")
    parser.add_argument("--show", action="store_true", help="tell what was missed of those reported on too")
    parser.add_argument("--cache", type=Path, help="where trained runs are kept")
    return parser.parse_args(arguments)


def _all(jobs: Sequence[_Job], cache: Path, processes: int) -> list[_Result]:
    judge = partial(_judge, cache=cache)
    if processes == 1:
        return [judge(job) for job in jobs]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.map(judge, jobs, chunksize=1)


def _judge(job: _Job, cache: Path) -> _Result:
    name, seed = job
    scenario = next(one for one in SCENARIOS if one.name == name)
    try:
        run, truth = trained(scenario, seed, cache)
    except NotProvenError as error:
        return f"{name}, seed {seed}: {error}"
    tools = {OURS: told_by, **BASELINES}
    return {tool: compare(scenario, seed, truth, run, tell(run)) for tool, tell in tools.items()}


def _print_rules(use: Use, outcomes: Sequence[Outcome]) -> None:
    print(f"\n### {use.value}: {len(outcomes)} runs of {len({one.scenario.name for one in outcomes})} scenarios\n")
    print(f"| rule | {' | '.join(HEADINGS)} |\n|---{'|---' * len(HEADINGS)}|")
    for rule in _rules(outcomes):
        print(_row(rule, score(outcomes, rule)))
    print(_row("**in total**", score(outcomes)))


def _print_tools(results: Sequence[Mapping[str, Outcome]]) -> None:
    print(f"\n| tool | {' | '.join(HEADINGS)} |\n|---{'|---' * len(HEADINGS)}|")
    for tool in results[0]:
        print(_row(tool, score([result[tool] for result in results])))


def _rules(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the rules that there are, then those that there ought to be."""
    wanted = (outcome.scenario.rule for outcome in outcomes if outcome.scenario.rules)
    return list(dict.fromkeys([*(rule.id for rule in RULES), *wanted]))


def _row(title: str, counts: Score) -> str:
    return f"| {title} | " + " | ".join(str(getattr(counts, name)) for name in HEADINGS) + " |"


def _print_mistakes(outcomes: Sequence[Outcome]) -> None:
    known = {rule.id for rule in RULES}
    for outcome in outcomes:
        for line in _mistakes(outcome, known):
            print(f"{outcome.scenario.name}, seed {outcome.seed}, {outcome.records} records: {line}")


def _mistakes(outcome: Outcome, known: set[str]) -> list[str]:
    lines = [f"false alarm: {_words(told)}" for told in outcome.false_alarms]
    rules, truth = outcome.scenario.rules, outcome.truth
    if truth is None:
        return lines
    if not outcome.hits and known.isdisjoint(rules):
        return [*lines, f"there is no rule {' or '.join(rules)} yet"]
    if not outcome.hits:
        lines.append(f"missed: {' or '.join(rules)} of {', '.join(truth.layers[:4]) or 'all'} since step {truth.onset}")
        return lines + [f"  told instead: {_words(one)}" for one in outcome.others]
    if outcome.right_layer is False:
        lines.append(f"wrong layer, {', '.join(truth.layers)} is right: {_words(outcome.hits[0])}")
    if not outcome.right_onset:
        lines.append(f"wrong onset, {truth.onset} is right: {_words(outcome.hits[0])}")
    return lines


def _words(told: Told) -> str:
    layers = f" of {', '.join(told.layers[:4])}" if told.layers else ""
    return f"{told.severity.id} {told.rule}{layers} since step {told.first_step}: {told.message}"


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
