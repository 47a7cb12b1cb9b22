"""A network that is trained in one process or sharded over several, and fixtures that start the processes.

A module of tests lists in TWO and FOUR what as many processes run, as functions of the rank and a folder. The fixtures
`of_two`, `of_four` and `of_several`, which is either, return the folder and the outcomes, in which the values are by
the names of these functions.
"""

from collections import Counter
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.processes import run_processes
from tests.support.watching import ByHand, assert_equal, read

STEPS = 4
SAMPLES = 8


@pytest.fixture(scope="module")
def of_two(request, tmp_path_factory):
    return run_tasks(request.module.TWO, 2, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def of_four(request, tmp_path_factory):
    return run_tasks(request.module.FOUR, 4, tmp_path_factory.mktemp("four"))


@pytest.fixture(params=["of_two", "of_four"])
def of_several(request):
    return request.getfixturevalue(request.param)


def run_tasks(tasks, count, folder):
    """Return the folder, and what each of the processes came to."""
    return folder, run_processes(run_each, count, folder, tasks, folder, limit=200)


def run_each(rank, tasks, folder):
    return {task.__name__: task(rank, folder) for task in tasks}


class Net(nn.Module):
    """Some of its parameters have fewer rows than there are processes; one is frozen, one never used."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 3)
        self.wide = nn.Linear(3, 70)
        self.last = nn.Linear(70, 1)
        self.frozen = nn.Linear(5, 3).requires_grad_(requires_grad=False)
        self.unused = nn.Parameter(torch.ones(3, 2))

    def forward(self, x):
        return self.last(torch.relu(self.wide(torch.relu(self.first(x) + self.frozen(x)))))


def network(kind=torch.float32):
    torch.manual_seed(0)
    return Net().to(kind)


def shard(model, **options):
    from torch.distributed.fsdp import fully_shard

    for module in (model.first, model.wide, model.last):
        fully_shard(module, **options)
    return fully_shard(model, **options)


def adam(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def descent(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


# In float32 Adam turns the rounding of a gradient that is nearly zero into a step of its own.
OPTIMIZERS = {torch.float32: descent, torch.float64: adam}


def loss_of(model, step, rank=0, share=SAMPLES):
    """Return the mean loss of this process's share of the data."""
    batch = torch.randn(SAMPLES, 5, generator=torch.Generator().manual_seed(step))
    part = batch[rank * share :][:share].to(next(model.parameters()).dtype)
    return model(part).square().mean()


def nothing(_step):
    pass


def train(model, optimizer, rank, steps=STEPS, before=nothing, after=nothing):
    share = SAMPLES // torch.distributed.get_world_size() if torch.distributed.is_initialized() else SAMPLES
    for step in range(steps):
        loss_of(model, step, rank, share).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        before(step)
        optimizer.step()
        after(step)
        optimizer.zero_grad()


def alone(folder, kind=torch.float32, optimizer_of=None, steps=STEPS):
    """Train in one process on the whole batch; return what a computation by hand finds, and what is recorded."""
    model = network(kind)
    by_hand = ByHand(model)
    optimizer = (optimizer_of or OPTIMIZERS[kind])(model)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1)
        train(model, optimizer, 0, steps, lambda _: by_hand.before(), by_hand.after)
    return by_hand.tables, read(folder)


def parts(model):
    return [parameter.detach().to_local().clone() for parameter in model.parameters()]


def exchanges():
    """Count our collectives by operation."""
    counted: Counter[str] = Counter()
    group: Any = torch.distributed.ProcessGroupGloo
    reduce = group.allreduce

    def counting(self, tensors, options):
        counted["SUM" if options.reduceOp == torch.distributed.ReduceOp.SUM else "MAX"] += 1
        return reduce(self, tensors, options)

    group.allreduce = counting
    return counted


@contextmanager
def swapped(owner, name, value):
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def assert_tables(recording, expected, relative=2e-5):
    assert sorted(recording.tables) == sorted(expected)
    for step, table in recording.tables.items():
        assert_equal(table, expected[step], relative)


def assert_only_the_first_process_made_files(folder):
    for run in folder.glob("*"):
        if run.is_dir():
            assert [path.name.startswith("events.") for path in run.iterdir()] == [True], run


def omitted(recording):
    return {omission.subject: omission.reason for omission in recording.description.omissions}


def unclipped():
    """Return what is found by hand in one process on the whole batch, without clipping."""
    model = network()
    by_hand = ByHand(model)
    optimizer = descent(model)
    for step in range(STEPS):
        loss_of(model, step).backward()
        by_hand.before()
        optimizer.step()
        by_hand.after(step)
        optimizer.zero_grad()
    return by_hand.tables
