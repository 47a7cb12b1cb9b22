"""netviz itself, and bare training against itself, which shows what the machine's noise makes of 1.00."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.interleave import Variant
from benchmarks.models import Task
from benchmarks.watch_cost import settled, watched
from benchmarks.watchers.trial import Trial, Watcher, each_step


@contextmanager
def _bare_again(task: Callable[[], Task]) -> Iterator[Trial]:
    yield each_step(Variant("bare", task().step), Variant("bare again", task().step))


@contextmanager
def _everything(task: Callable[[], Task]) -> Iterator[Trial]:
    with watched("everything", task, every=1) as watching:
        yield each_step(Variant("bare", task().step), watching)


@contextmanager
def _defaults(task: Callable[[], Task]) -> Iterator[Trial]:
    """Time whole intervals: the budget chooses them, so that nothing need be assumed."""
    with settled(task) as (watching, interval):
        bare = Variant("bare", task().step)
        yield Trial(bare, [(watching, 1.0)], steps=max(8, interval), note=f"1 step in {interval}")


BARE = Watcher("bare training again (A/A)", "bare training again (A/A)", "torch", _bare_again)
NETVIZ = Watcher(
    "**netviz**, everything", "**netviz**, everything, under its budget of 2 %", "tb_netviz", _everything, _defaults
)
