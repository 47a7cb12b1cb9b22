"""Parameters that are sharded over two and four processes: the statistics of one process, and no deadlock."""

import math
import time
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter, exchange
from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.observer import Observer
from tests.support.processes import run_processes
from tests.support.watching import ByHand, assert_equal, read

STEPS = 4
SAMPLES = 8


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


def same_statistics(rank, folder):
    equal = []
    for kind, optimizer_of in OPTIMIZERS.items():
        bare = shard(network(kind))
        train(bare, optimizer_of(bare), rank)
        model = shard(network(kind))
        optimizer = optimizer_of(model)
        with NetVizWriter(folder / str(kind)) as writer:
            writer.watch(model, optimizer, every=1, histograms=1)
            train(model, optimizer, rank)
        equal.append(all(map(torch.equal, parts(model), parts(bare))))
    return equal


def few_collectives(rank, folder):
    counted = exchanges()
    model = shard(network())
    optimizer = adam(model)
    seen = []
    with NetVizWriter(folder / "few") as writer:
        writer.watch(model, optimizer, every=3)
        train(model, optimizer, rank, 8, lambda _: seen.append(dict(counted)))
    return seen, dict(counted)


def one_missing(rank, folder):
    """In one process two parameters have no gradient: a shard is then not stepped there."""
    model = shard(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    expected = []

    def before(step):
        if rank == 1:
            model.wide.weight.grad = None
        gradient = model.wide.weight.grad
        expected.append(0.0 if gradient is None else float(gradient.to_local().double().square().sum()))

    with NetVizWriter(folder / "missing") as writer:
        writer.watch(model, optimizer, every=1)
        train(model, optimizer, rank, before=before)
    return expected


def first_alone(rank, folder):
    model = shard(network())
    optimizer = adam(model)
    if rank == 0:
        with NetVizWriter(folder / "alone") as writer:
            writer.watch(model, optimizer, every=1)
            train(model, optimizer, rank)
    else:
        train(model, optimizer, rank)


def one_fails(rank, folder):
    model = shard(network())
    optimizer = adam(model)
    take = Measurement.take_weights
    calls: Counter[str] = Counter()

    def fail(*args):
        calls["weights"] += 1
        if rank == 1 and calls["weights"] == 3:
            raise ZeroDivisionError("injected")
        take(*args)

    with swapped(Measurement, "take_weights", fail), NetVizWriter(folder / "fails") as writer:
        writer.watch(model, optimizer, every=1)
        train(model, optimizer, rank, 6)
    return calls["weights"]


def first_fails(rank, folder):
    model = shard(network())
    optimizer = adam(model)
    before_step = Observer.before_step
    calls: Counter[str] = Counter()

    def fail(*args):
        calls["steps"] += 1
        if rank == 0 and calls["steps"] == 3:
            raise ZeroDivisionError("injected")
        before_step(*args)

    with swapped(Observer, "before_step", fail), NetVizWriter(folder / "first-fails") as writer:
        writer.watch(model, optimizer, every=1)
        train(model, optimizer, rank, 6)


@contextmanager
def swapped(owner, name, value):
    original = getattr(owner, name)
    setattr(owner, name, value)
    yield
    setattr(owner, name, original)


def one_pauses(rank, folder):
    model = shard(network())
    optimizer = adam(model)
    with NetVizWriter(folder / "pauses") as writer:
        watched = writer.watch(model, optimizer, every=1)

        def before(step):
            if rank == 1 and step == 1:
                watched.pause()
            if rank == 1 and step == 4:
                watched.resume()
            if rank == 0 and step == 5:
                watched.pause()
            if rank == 0 and step == 7:
                watched.resume()

        train(model, optimizer, rank, 9, before)


def one_detaches(rank, folder, who):
    model = shard(network())
    optimizer = adam(model)
    with NetVizWriter(folder / f"detaches-{who}") as writer:
        watched = writer.watch(model, optimizer, every=1)
        train(model, optimizer, rank, 6, lambda step: watched.detach() if (rank, step) == (who, 2) else None)


def budget(rank, folder, delays):
    """The processes cost very different amounts; the first decides."""
    counted = exchanges()
    model = shard(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    take = Measurement.take_weights

    def slowly(*args):
        time.sleep(delays[rank % 2])
        take(*args)

    observed = []
    with swapped(Measurement, "take_weights", slowly), NetVizWriter(folder / f"budget-{delays[0]}") as writer:
        watched = writer.watch(model, optimizer, histograms=False)
        for step in range(160):
            before = counted.total()
            train(model, optimizer, rank, 1)
            if counted.total() > before:
                observed.append(step)
    return observed, watched.interval


def own_numbers(rank, folder):
    """A resumed run, in which each process counts for itself."""
    model = shard(network())
    optimizer = adam(model)
    now = [1000 + 500 * rank]
    with NetVizWriter(folder / "numbers") as writer:
        writer.watch(model, optimizer, every=3, step=lambda: now[0])

        def count(_):
            now[0] += 1

        train(model, optimizer, rank, 10, count)


def two_optimizers(rank, folder):
    model = shard(network())
    early = torch.optim.SGD(model.first.parameters(), lr=0.1, momentum=0.9)
    late = torch.optim.SGD([*model.wide.parameters(), *model.last.parameters()], lr=0.1, momentum=0.9)
    with NetVizWriter(folder / "two") as writer:
        writer.watch(model, [early, late], every=1)

        def step_late(_):
            late.step()
            late.zero_grad()

        train(model, early, rank, before=step_late)


def partly_whole(rank, folder):
    """Two of its layers are sharded, the others are whole in every process."""
    from torch.distributed.fsdp import fully_shard

    model = network()
    fully_shard(model.wide)
    fully_shard(model.last)
    optimizer = descent(model)
    with NetVizWriter(folder / "partly") as writer:
        writer.watch(model, optimizer, every=1)
        train_whole(model, optimizer, rank)


def train_whole(model, optimizer, rank):
    """Average what is whole by hand, as DistributedDataParallel does."""

    def average(_):
        for parameter in model.parameters():
            if parameter.grad is not None and not hasattr(parameter.grad, "to_local"):
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= torch.distributed.get_world_size()

    share = SAMPLES // torch.distributed.get_world_size()
    for step in range(STEPS):
        loss_of(model, step, rank, share).backward()
        average(step)
        optimizer.step()
        optimizer.zero_grad()


def skipped(rank, folder):
    """The gradient overflows in one process; torch's scaler leaves the step out in all of them."""
    model = shard(network())
    optimizer = adam(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1000)
    share = SAMPLES // torch.distributed.get_world_size()
    with NetVizWriter(folder / "skipped") as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(5):
            scaler.scale(loss_of(model, step, rank, share)).backward()
            if step == 2 and rank == 1:
                model.wide.weight.grad.to_local()[0, 0] = math.inf
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


def partial(rank, folder):
    """The gradients of a normalisation that is parallel over the sequence stay parts of a sum."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, SequenceParallel, parallelize_module

    torch.manual_seed(0)
    model = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))
    plan = {"0": SequenceParallel(sequence_dim=0), "1": ColwiseParallel(input_layouts=Shard(0)), "3": RowwiseParallel()}
    parallelize_module(model, init_device_mesh("cpu", (2,)), plan)
    optimizer = descent(model)
    with NetVizWriter(folder / "partial") as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(2):
            model(torch.arange(16.0).reshape(4, 4).sqrt()).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()


def steps_apart(rank, folder):
    """One process leaves out a step of its optimizer, as no process should; it is waited for, but not for ever."""
    exchange.PATIENCE = timedelta(seconds=1)
    model = shard(network())
    optimizer = adam(model)
    share = SAMPLES // torch.distributed.get_world_size()
    with NetVizWriter(folder / "apart") as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(6):
            loss_of(model, step, rank, share).backward()
            if (rank, step) != (1, 3):
                optimizer.step()
            optimizer.zero_grad()


def fsdp1(rank, folder):
    from torch.distributed.fsdp import FullyShardedDataParallel

    for original in (True, False):
        inner = network()
        inner.frozen.requires_grad_()
        model = FullyShardedDataParallel(inner, use_orig_params=original, device_id=torch.device("cpu"))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with NetVizWriter(folder / f"fsdp1-{original}") as writer:
            writer.watch(model, optimizer, every=1)
            for step in range(3):
                loss_of(model, step, rank, SAMPLES // 2).backward()
                optimizer.step()
                optimizer.zero_grad()


def replicated(rank, folder):
    model = network()
    parallel = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = descent(model)
    counted = exchanges()
    with NetVizWriter(folder / "replicated") as writer:
        watched = writer.watch(parallel, optimizer, every=1)
        train(parallel, optimizer, rank)
        assert watched.step == STEPS - 1
    return counted.total()


def meshes(rank, folder):
    """A hybrid mesh, and a mesh of two dimensions over both of which parameters are sharded."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    model = shard(network(), mesh=mesh)
    optimizer = descent(model)
    with NetVizWriter(folder / "hybrid") as writer:
        writer.watch(model, optimizer, every=1)
        train(model, optimizer, rank)
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    model = network()
    parallelize_module(model, mesh["tensor"], {"wide": ColwiseParallel(), "last": RowwiseParallel()})
    model = shard(model, mesh=mesh["data"])
    optimizer = descent(model)
    counted = exchanges()
    with NetVizWriter(folder / "tensor") as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(STEPS):
            loss_of(model, step, mesh.get_local_rank("data"), SAMPLES // 2).backward()
            optimizer.step()
            optimizer.zero_grad()
    return dict(counted)


def two(rank, folder):
    tasks = [replicated, first_alone, same_statistics, few_collectives, one_missing, one_fails, first_fails, one_pauses]
    tasks += [own_numbers, two_optimizers, partly_whole, skipped, partial, fsdp1]
    results = {task.__name__: task(rank, folder) for task in tasks}
    results["budget"] = [budget(rank, folder, delays) for delays in ((0.01, 0.0), (0.0, 0.01))]
    for who in (0, 1):
        one_detaches(rank, folder, who)
    steps_apart(rank, folder)
    return results


def four(rank, folder):
    return {task.__name__: task(rank, folder) for task in (replicated, same_statistics, meshes, first_alone, one_fails)}


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return folder, run_processes(two, 2, folder, folder, limit=200)


@pytest.fixture(scope="module")
def of_four(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    return folder, run_processes(four, 4, folder, folder, limit=200)


@pytest.fixture(params=["of_two", "of_four"])
def of_several(request):
    return request.getfixturevalue(request.param)


def assert_tables(recording, expected, relative=2e-5):
    assert sorted(recording.tables) == sorted(expected)
    for step, table in recording.tables.items():
        assert_equal(table, expected[step], relative)


def omitted(recording):
    return {omission.subject: omission.reason for omission in recording.description.omissions}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_statistics_are_those_of_one_process_on_the_whole_batch(of_several, tmp_path, kind):
    folder, _ = of_several
    expected, single = alone(tmp_path, kind)
    recording = read(folder / str(kind))
    assert_tables(recording, expected, 2e-5 if kind is torch.float64 else 2e-4)
    for step, rows in single.bins.items():
        for name, counts in rows.items():
            np.testing.assert_array_equal(recording.bins[step][name].sum(), counts.sum())
    by_name = {row.name: row for row in recording.description.parameters}
    assert by_name == {row.name: row for row in single.description.parameters}
    assert [module.type for module in recording.description.modules] == [
        module.type for module in single.description.modules
    ]


def test_training_is_bit_for_bit_the_bare_one(of_several):
    _, outcomes = of_several
    assert [outcome.value["same_statistics"] for outcome in outcomes] == [[True, True]] * len(outcomes)


def test_only_the_first_process_makes_files(of_several):
    folder, _ = of_several
    for run in folder.glob("*"):
        if run.is_dir():
            assert [path.name.startswith("events.") for path in run.iterdir()] == [True], run


def test_a_recorded_step_has_one_sum_and_one_maximum_and_others_nothing(of_two):
    _, outcomes = of_two
    for outcome in outcomes:
        seen, total = outcome.value["few_collectives"]
        before = [0, 1, 1, 1, 2, 2, 2, 3]  # Steps 0, 3 and 6 are recorded.
        assert [calls.get("SUM", 0) for calls in seen] == before
        assert [calls.get("MAX", 0) for calls in seen] == before
        assert total == {"SUM": 3, "MAX": 3}


def test_a_gradient_that_one_process_lacks_is_that_of_the_others(of_two):
    folder, outcomes = of_two
    expected = np.sqrt(np.sum([outcome.value["one_missing"] for outcome in outcomes], axis=0))
    tables = read(folder / "missing").tables
    assert sorted(tables) == list(range(STEPS))
    np.testing.assert_allclose([tables[step]["wide.weight"]["grad_norm"] for step in tables], expected, rtol=1e-5)


def test_the_first_process_alone_records_no_shards_and_says_so_once(of_several):
    folder, outcomes = of_several
    recording = read(folder / "alone")
    assert not recording.description.parameters
    assert "not all of them watch the model" in omitted(recording)["wide.weight"]
    warnings = [text for text in outcomes[0].warnings if "not all of them watch" in text]
    assert len(warnings) == 1
    assert "call watch in every process" in warnings[0]


def test_the_failure_of_one_process_ends_it_for_all_with_one_warning(of_several):
    folder, outcomes = of_several
    recording = read(folder / "fails")
    assert {step: bool(table) for step, table in recording.tables.items()} == {0: True, 1: True}
    told = [text for outcome in outcomes for text in outcome.warnings if "ZeroDivisionError: injected" in text]
    assert [text for text in told if "process 1 has stopped" in text]
    assert "process 1 has stopped" in omitted(recording)["wide.weight"]
    assert not any(outcome.warnings for outcome in outcomes[1:])


def test_the_failure_of_the_first_process_ends_it_too(of_two):
    folder, outcomes = of_two
    assert sorted(read(folder / "first-fails").tables) == [0, 1]
    assert len([text for text in outcomes[0].warnings if "The model Net: no longer recorded" in text]) == 1


def test_a_process_that_pauses_is_not_waited_for(of_two):
    folder, _ = of_two
    assert sorted(read(folder / "pauses").tables) == [0, 4, 7, 8]


@pytest.mark.parametrize("who", [0, 1])
def test_a_process_that_detaches_is_not_waited_for(of_two, who):
    folder, outcomes = of_two
    assert [step for step, table in read(folder / f"detaches-{who}").tables.items() if table] == [0, 1]
    assert len([text for text in outcomes[0].warnings if "another process has stopped" in text]) == 2


def test_all_observe_the_steps_that_the_first_process_can_afford(of_two):
    _, outcomes = of_two
    for mine, other in zip(outcomes[0].value["budget"], outcomes[1].value["budget"], strict=True):
        assert mine == other
        steps, interval = mine
        assert steps[:8] == list(range(8))
        assert interval > 1


def test_steps_have_the_numbers_of_the_first_process(of_two):
    folder, _ = of_two
    steps = sorted(read(folder / "numbers").tables)
    assert steps in [list(range(first, 1011, 3)) for first in (1001, 1002, 1003)]


def test_two_optimizers_share_a_step(of_two, tmp_path):
    folder, _ = of_two
    expected, _ = alone(tmp_path)
    recording = read(folder / "two")
    assert_tables(recording, expected, 2e-4)


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


def test_what_is_whole_counts_once(of_two):
    folder, _ = of_two
    assert_tables(read(folder / "partly"), unclipped(), 2e-4)


def test_a_step_that_the_scaler_leaves_out_is_no_record(of_two):
    folder, _ = of_two
    assert sorted(read(folder / "skipped").tables) == [0, 1, 3, 4]


def test_a_gradient_in_parts_of_a_sum_is_left_out_in_words(of_two):
    folder, _ = of_two
    recording = read(folder / "partial")
    assert omitted(recording)["The gradient of 0.weight"] == "is distributed otherwise than the parameter"
    rows = recording.tables[1]
    assert math.isnan(rows["0.weight"]["present"])
    assert math.isnan(rows["0.weight"]["grad_norm"])
    assert rows["0.weight"]["weight_norm"] > 0
    assert rows["1.weight"]["grad_norm"] > 0


def test_processes_that_step_at_other_times_are_not_waited_for_without_end(of_two):
    folder, _ = of_two
    assert [step for step, table in read(folder / "apart").tables.items() if table] == [0, 1, 2]


@pytest.mark.parametrize("original", [True, False])
def test_fsdp1_is_refused_in_words(of_two, original):
    folder, outcomes = of_two
    recording = read(folder / f"fsdp1-{original}")
    assert not recording.description.parameters
    assert any("FullyShardedDataParallel" in reason for reason in omitted(recording).values())
    assert len([text for text in outcomes[0].warnings if "FullyShardedDataParallel" in text]) == 2  # Of two models.


def test_replicas_are_recorded_once_and_without_an_exchange(of_several, tmp_path):
    folder, outcomes = of_several
    expected, _ = alone(tmp_path)
    assert_tables(read(folder / "replicated"), expected, 2e-4)
    assert [outcome.value["replicated"] for outcome in outcomes] == [0] * len(outcomes)


def test_data_parallel_is_recorded_as_what_it_wraps(tmp_path):
    model = network()
    parallel = nn.DataParallel(model)
    optimizer = descent(model)
    with NetVizWriter(tmp_path / "parallel") as writer:
        writer.watch(parallel, optimizer, every=1)
        train(parallel, optimizer, 0)
    expected, _ = alone(tmp_path / "alone")
    assert_tables(read(tmp_path / "parallel"), expected)


def test_hybrid_and_tensor_parallel_meshes_give_the_same(of_four, tmp_path):
    folder, outcomes = of_four
    expected, _ = alone(tmp_path)
    assert_tables(read(folder / "hybrid"), expected, 2e-4)
    assert_tables(read(folder / "tensor"), unclipped(), 2e-4)
    assert [outcome.value["meshes"] for outcome in outcomes] == [{"SUM": STEPS, "MAX": STEPS}] * 4
