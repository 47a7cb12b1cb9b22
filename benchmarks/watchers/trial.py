"""What is timed for one tool on one network: the same training without it, and with it.

A tool that records one step in many is timed at steps of both kinds in turn, and the cost of a step is
their mean as the tool's interval weighs them: `amortised = (idle · (n - 1) + recording) / n`. Timing whole
intervals instead would take thousands of steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.interleave import Ratio, Variant, measure, ratio
from benchmarks.models import Task

# A turn has at most MOST_STEPS; fewer where they would take longer than TURN_SECONDS.
MOST_STEPS = 8
TURN_SECONDS = 2.0


@dataclass(frozen=True)
class Trial:
    """What is compared.

    Attributes:
        baseline: The training as it is without the tool.
        shares: The kinds of steps with the tool, and what share of the steps is of each; the shares add up to 1.
        steps: Steps of one turn; None for as many as fit.
        note: What the table says beside the figure.
    """

    baseline: Variant
    shares: Sequence[tuple[Variant, float]]
    steps: int | None = None
    note: str = ""


Opened = AbstractContextManager[Trial]


@dataclass(frozen=True)
class Watcher:
    """A tool that looks into training.

    Attributes:
        label: Its name and how it is used where it records at every step.
        default: How it is used by default, and how often that records.
        module: What must be importable.
        at_every_step: Opens the trial in which it records at every step.
        at_default: Opens the trial of its default; None where that is `at_every_step`.
    """

    label: str
    default: str
    module: str
    at_every_step: Callable[[Callable[[], Task]], Opened]
    at_default: Callable[[Callable[[], Task]], Opened] | None = None


def each_step(baseline: Variant, recording: Variant) -> Trial:
    """Return the trial of a tool that does the same at every step."""
    return Trial(baseline, [(recording, 1.0)])


def amortised(baseline: Variant, idle: Variant, recording: Variant, *, interval: int) -> Trial:
    """Return the trial of a tool that records one step in `interval` and is `idle` in between."""
    return Trial(baseline, [(idle, (interval - 1) / interval), (recording, 1 / interval)])


def run(trial: Trial, rounds: int) -> Ratio:
    """Time `trial` in `rounds` counted turns of every variant, after one that is not counted."""
    variants = [trial.baseline, *(variant for variant, _ in trial.shares)]
    steps = _fitting_steps(variants) if trial.steps is None else trial.steps
    seconds = measure(variants, steps=steps, rounds=rounds, warmup=1)
    return ratio(trial.note, seconds[:, 0], seconds[:, 1:] @ [share for _, share in trial.shares])


def _fitting_steps(variants: Sequence[Variant]) -> int:
    slowest = max(_second_step(variant) for variant in variants)
    return max(1, min(MOST_STEPS, int(TURN_SECONDS / slowest)))


def _second_step(variant: Variant) -> float:
    """Return the CPU seconds of a step; the one before it pays for what is set up once."""
    variant.step()
    start = time.process_time()
    variant.step()
    variant.flush()
    return time.process_time() - start
