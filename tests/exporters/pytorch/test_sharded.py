"""Parameters that are sharded over two and four processes: the statistics of one process."""

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz_plugin.schema import bins
from tests.support.sharded import (
    OPTIMIZERS,
    SAMPLES,
    STEPS,
    alone,
    assert_only_the_first_process_made_files,
    assert_tables,
    descent,
    exchanges,
    loss_of,
    network,
    parts,
    shard,
    train,
    unclipped,
)
from tests.support.watching import read


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


def differing_columns(rank, folder):
    """Sharded along either dimension, of a gradient that has columns of zeros."""
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard

    for dimension in (0, 1):
        placement = Shard(dimension)
        model = nn.Linear(64, 256, bias=False)
        fully_shard(model, shard_placement_fn=lambda _: placement)  # noqa: B023  It is called at once.
        optimizer = descent(model)
        with NetVizWriter(folder / f"columns-{dimension}") as writer:
            writer.watch(model, optimizer, every=1)
            model(torch.randn(8, 64) * (torch.arange(64) % 4 > 0)).square().mean().backward()
            optimizer.step()


TWO = (replicated, same_statistics, one_missing, two_optimizers, partly_whole, differing_columns)
FOUR = (replicated, same_statistics, meshes)


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
    assert_only_the_first_process_made_files(folder)


def test_a_gradient_that_one_process_lacks_is_that_of_the_others(of_two):
    folder, outcomes = of_two
    expected = np.sqrt(np.sum([outcome.value["one_missing"] for outcome in outcomes], axis=0))
    tables = read(folder / "missing").tables
    assert sorted(tables) == list(range(STEPS))
    np.testing.assert_allclose([tables[step]["wide.weight"]["grad_norm"] for step in tables], expected, rtol=1e-5)


def test_two_optimizers_share_a_step(of_two, tmp_path):
    folder, _ = of_two
    expected, _ = alone(tmp_path)
    recording = read(folder / "two")
    assert_tables(recording, expected, 2e-4)


def test_what_is_whole_counts_once(of_two):
    folder, _ = of_two
    assert_tables(read(folder / "partly"), unclipped(), 2e-4)


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


@pytest.mark.parametrize("dimension", [0, 1])
def test_all_columns_of_a_sharded_gradient_are_counted_alike(of_two, dimension):
    folder, _ = of_two
    counts = read(folder / f"columns-{dimension}").bins[0]["weight"]
    assert bins.SAMPLES // 2 < counts.sum() <= bins.SAMPLES
    assert counts[bins.ZERO] / counts.sum() == pytest.approx(1 / 4, rel=0.01)
