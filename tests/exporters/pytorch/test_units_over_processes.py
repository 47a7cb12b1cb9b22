"""Processes train copies of a model on data of their own: a unit that fires in any of them is alive."""

import time
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.algorithms.join import Join

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.activations.capture import Capture
from tb_netviz.pytorch.activations.posts import TOLD
from tb_netviz.pytorch.mailbox import Mailbox
from tb_netviz.reading import read_runs
from tb_netviz_plugin.analysis.units import UnitState, UnitThresholds
from tests.support.sharded import swapped
from tests.support.watching import read

STEPS = 32
BATCH = 128
EVERYWHERE, FIRST, SECOND, NOWHERE, SECOND_RARELY = range(5)
KNOWN = ["alive", "alive", "alive", "dead", "sparse"]


class Net(nn.Module):
    """Its units fire for known features of the input."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 5)
        self.act = nn.ReLU()
        self.other = nn.ReLU()
        self.out = nn.Linear(5, 1)
        with torch.no_grad():
            self.fc.weight.zero_()
            self.fc.bias.fill_(-0.5)
            self.fc.bias[EVERYWHERE] = 1.0
            for feature, unit in enumerate((FIRST, SECOND, SECOND_RARELY)):
                self.fc.weight[unit, feature] = 1.0

    def forward(self, x, use_other=False):
        return self.out((self.other if use_other else self.act)(self.fc(x)))


def batch(rank, _step):
    """Return samples: a feature for each of two processes, and one that a single sample of the second has."""
    x = torch.zeros(BATCH, 3)
    if rank < 2:
        x[:, rank] = 1.0
    if rank == 1:
        x[0, 2] = 1.0
    return x


def parallel(model, **options):
    torch.manual_seed(0)
    for parameter in model.out.parameters():
        nn.init.normal_(parameter)
    return nn.parallel.DistributedDataParallel(model, **options)


def descent(model):
    return torch.optim.SGD(model.parameters(), lr=1e-6)


@contextmanager
def watching(model, folder, rank, optimizer, **options):
    """Watch, and let the first process end last, so that it knows all that the others have to tell."""
    with NetVizWriter(folder) as writer:
        watched = writer.watch(model, optimizer, **({"every": 1, "histograms": False} | options))
        torch.distributed.barrier()
        yield watched
        if rank:
            watched.detach()
        torch.distributed.barrier()


def train(model, optimizer, rank, steps=STEPS, before=lambda _: None, data=batch):
    for step in range(steps):
        model(data(rank, step)).square().mean().backward()
        before(step)
        optimizer.step()
        optimizer.zero_grad()


def wrapped(rank, folder):
    model = parallel(Net())
    optimizer = descent(model)
    calls: dict[str, Any] = {"put": [], "collect": 0}
    put, collect_all = Mailbox.put, Mailbox.collect

    def counting_put(self, message):
        calls["put"].append(len(message))
        put(self, message)

    def counting_collect(self, ranks):
        calls["collect"] += 1
        return collect_all(self, ranks)

    with (
        swapped(Mailbox, "put", counting_put),
        swapped(Mailbox, "collect", counting_collect),
        watching(model, folder / "wrapped", rank, optimizer),
    ):
        train(model, optimizer, rank)
    return calls


def small(rank, step):
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(100 * rank + step))


def inner(rank, folder):
    """The model inside of the wrapper is watched. All samples of such small batches are counted."""
    model = Net()
    model.fc = nn.Linear(3, 5)
    both = parallel(model)
    outputs = []
    model.act.register_forward_hook(lambda _module, _inputs, output: outputs.append(output.detach().double().numpy()))
    optimizer = descent(both)
    with watching(model, folder / "inner", rank, optimizer):
        train(both, optimizer, rank, data=small)
    return np.concatenate(outputs)


def run_by_one(rank, folder):
    """One process calls one of two activations, and the other one the other."""
    model = parallel(Net(), find_unused_parameters=True)
    model.module.forward = lambda x: Net.forward(model.module, x, use_other=rank == 1)
    optimizer = descent(model)
    with watching(model, folder / "run-by-one", rank, optimizer):
        train(model, optimizer, rank)


def one_fails(rank, folder):
    model = parallel(Net())
    optimizer = descent(model)
    measure = Capture._measure
    steps: list[int] = []

    def fail(*args):
        if rank == 1 and len(steps) == 3:
            raise ZeroDivisionError("injected")
        measure(*args)

    with swapped(Capture, "_measure", fail), watching(model, folder / "fails", rank, optimizer):
        train(model, optimizer, rank, before=steps.append)


def either_detaches(rank, folder):
    for who in (0, 1):
        one_detaches(rank, folder, who)


def one_detaches(rank, folder, who):
    model = parallel(Net())
    optimizer = descent(model)
    with watching(model, folder / f"detaches-{who}", rank, optimizer) as watched:
        train(model, optimizer, rank, before=lambda step: watched.detach() if (rank, step) == (who, 3) else None)


def one_pauses(rank, folder):
    model = parallel(Net())
    optimizer = descent(model)

    def before(step):
        if (rank, step) == (1, 4):
            watched.pause()
        if (rank, step) == (1, 10):
            watched.resume()

    with watching(model, folder / "pauses", rank, optimizer) as watched:
        train(model, optimizer, rank, before=before)


def first_alone(rank, folder):
    model = parallel(Net())
    optimizer = descent(model)
    if rank == 0:
        with NetVizWriter(folder / "alone") as writer:
            writer.watch(model, optimizer, every=1)
            train(model, optimizer, rank)
    else:
        train(model, optimizer, rank)


def apart(rank, folder):
    """Each trains a model of its own that begins with the same weights."""
    model = parallel(Net()).module
    optimizer = descent(model)
    with watching(model, folder / "apart", rank, optimizer):
        train(model, optimizer, rank)


def not_a_number(rank, folder):
    """In one process all outputs are NaN from some step on, and the gradients are mended before they are used."""
    model = parallel(Net())
    optimizer = descent(model)

    def data(rank, step):
        return batch(rank, step) * (float("nan") if rank == 1 and step >= 8 else 1.0)

    def before(_):
        for parameter in model.parameters():
            parameter.grad.nan_to_num_()

    with watching(model, folder / "nan", rank, optimizer):
        train(model, optimizer, rank, before=before, data=data)


def uneven(rank, folder):
    """One process has fewer batches."""
    model = parallel(Net())
    optimizer = descent(model)
    with watching(model, folder / "uneven", rank, optimizer), Join([model]):
        train(model, optimizer, rank, STEPS - 12 * rank)


def budget(rank, folder):
    return [slowed(rank, folder, slow) for slow in (0, 1)]


def slowed(rank, folder, slow):
    """One of the processes would observe more seldom than the other one, since a look takes it long."""
    model = parallel(Net())
    optimizer = descent(model)
    measure = Capture._measure

    def slowly(*args):
        time.sleep(0.004 * (rank == slow))
        measure(*args)

    with (
        swapped(Capture, "_measure", slowly),
        watching(model, folder / f"budget-{slow}", rank, optimizer, every=None, budget=0.2) as watched,
    ):
        train(model, optimizer, rank, 400)
        return watched.interval


def sharded(rank, folder):
    from torch.distributed.fsdp import fully_shard

    model = parallel(Net()).module
    for layer in (model.fc, model.out):
        fully_shard(layer)
    fully_shard(model)
    optimizer = descent(model)
    with watching(model, folder / "sharded", rank, optimizer):
        train(model, optimizer, rank)


def split(rank, folder):
    """Half of the units of a layer are in each process."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))
    parallelize_module(model, init_device_mesh("cpu", (2,)), {"0": ColwiseParallel(), "2": RowwiseParallel()})
    optimizer = descent(model)
    with watching(model, folder / "split", rank, optimizer):
        train(model, optimizer, rank, 2, data=lambda *_: torch.ones(4, 4))


def shut_down(rank, folder):
    """The process group ends, and training goes on in one process."""
    model = parallel(Net()).module
    optimizer = descent(model)
    store = torch.distributed.distributed_c10d._get_default_store()
    with NetVizWriter(folder / "shut-down") as writer:
        writer.watch(model, optimizer, every=1)
        train(model, optimizer, 0, 4)
        torch.distributed.destroy_process_group()
        train(model, optimizer, 0, 4)
    distributed: Any = torch.distributed
    again = distributed.PrefixStore("again", store)
    torch.distributed.init_process_group("gloo", store=again, rank=rank, world_size=2)


TWO = (
    wrapped,
    inner,
    run_by_one,
    one_fails,
    one_pauses,
    first_alone,
    apart,
    not_a_number,
    uneven,
    sharded,
    split,
    shut_down,
    budget,
    either_detaches,
)
FOUR = (wrapped, inner, first_alone)


def judged(folder, activation="act"):
    """Return the verdicts on the units of an activation, as the tab and `tb-netviz units` have them."""
    (run,) = read_runs(folder)
    index = [row.name for row in run.network.activations].index(activation)
    return run.judged(UnitThresholds())[index]


def units(folder, activation="act"):
    """Return the states at the last record."""
    return [UnitState(code).id for code in judged(folder, activation).last]


def states(folder, unit):
    """Return the states of a unit of `act` at all records."""
    return {UnitState(code).id for code in judged(folder).states[unit]}


def omissions(folder):
    return [each.reason for each in read(folder).description.omissions if each.subject == "activations"]


def samples(recording, activation="act"):
    return [rows[activation]["samples"] for _, rows in sorted(recording.unit_steps.items())]


def test_a_unit_that_fires_in_any_process_is_alive_and_one_that_fires_in_none_is_dead(of_several):
    folder, outcomes = of_several
    assert units(folder / "wrapped") == KNOWN
    assert "dead" not in states(folder / "wrapped", SECOND) | states(folder / "wrapped", SECOND_RARELY)
    assert not omissions(folder / "wrapped")
    assert sum(samples(read(folder / "wrapped"))) == len(outcomes) * STEPS * BATCH


def test_the_statistics_of_units_are_those_of_the_samples_of_all_processes(of_several):
    folder, outcomes = of_several
    recording = read(folder / "inner")
    outputs = np.concatenate([outcome.value["inner"] for outcome in outcomes])
    records = [
        (recording.unit_steps[step]["act"]["counted"], *map(np.array, zip(*map(dict.values, rows["act"]), strict=True)))
        for step, rows in sorted(recording.units.items())
    ]
    counted = np.array([record[0] for record in records])
    assert counted.sum() == len(outputs)
    named = recording.units[0]["act"][0].keys()
    column = {name: np.array([record[1 + place] for record in records]) for place, name in enumerate(named)}
    assert not np.isneginf(column["mean"]).any()
    np.testing.assert_allclose(counted @ column["fired"], (outputs > 0).sum(0), rtol=1e-5)
    np.testing.assert_allclose(counted @ column["mean"], outputs.sum(0), rtol=1e-5)
    squares = np.square(column["std"]) + np.square(column["mean"])
    np.testing.assert_allclose(counted @ squares, np.square(outputs).sum(0), rtol=1e-5)
    np.testing.assert_allclose(column["largest"].max(0), outputs.max(0), rtol=1e-6)


def test_a_record_takes_one_message_and_reading_it_one_question(of_two):
    _, (first, second) = of_two
    assert first.value["wrapped"]["collect"] == STEPS
    assert len(second.value["wrapped"]["put"]) == STEPS + 3  # To sign up, to settle, and to leave.
    numbers = (5 + 5 + 1) * (8 * len(TOLD) + 4)
    assert numbers <= max(second.value["wrapped"]["put"]) < 2 * numbers


def test_an_activation_that_runs_in_the_first_process_only_is_judged_by_that(of_two):
    folder, _ = of_two
    assert units(folder / "run-by-one") == ["alive", "alive", "dead", "dead", "dead"]
    assert samples(read(folder / "run-by-one")) == [BATCH] * STEPS
    assert units(folder / "run-by-one", "fc") == ["alive"] * 5
    assert not omissions(folder / "run-by-one")


def test_a_process_that_fails_or_detaches_is_no_longer_counted(of_two):
    folder, _ = of_two
    for name, reason in (("fails", "failed"), ("detaches-1", "stopped")):
        recording = read(folder / name)
        assert sorted(recording.tables) == list(range(STEPS))
        assert recording.units[STEPS - 1]["act"][SECOND]["largest"] == 0
        (omission,) = omissions(folder / name)
        assert "process 1" in omission
        assert reason in omission
        assert samples(recording)[-8:] == [BATCH] * 8
    assert sorted(read(folder / "detaches-0").tables) == [0, 1, 2]


def test_a_process_that_pauses_is_counted_again(of_two):
    folder, _ = of_two
    assert "dead" not in states(folder / "pauses", SECOND)
    assert units(folder / "pauses")[SECOND] == "alive"
    (omission,) = omissions(folder / "pauses")
    assert "paused" in omission


def test_where_the_others_do_not_watch_that_is_said(of_several):
    folder, outcomes = of_several
    (omission,) = omissions(folder / "alone")
    assert ", ".join(str(rank) for rank in range(1, len(outcomes))) in omission
    assert set(samples(read(folder / "alone"))) == {BATCH}


def test_models_that_are_not_trained_together_are_kept_apart(of_two):
    folder, _ = of_two
    assert units(folder / "apart") == ["alive", "alive", "dead", "dead", "dead"]
    (omission,) = omissions(folder / "apart")
    assert "weights of its own" in omission


def test_a_unit_may_have_fired_where_its_values_are_no_numbers(of_two):
    folder, _ = of_two
    assert units(folder / "nan") == ["alive", "alive", "not_recorded", "not_recorded", "not_recorded"]


def test_a_process_that_has_run_out_of_data_makes_no_unit_look_dead(of_two):
    folder, _ = of_two
    assert "dead" not in states(folder / "uneven", SECOND)
    assert units(folder / "uneven")[NOWHERE] == "dead"
    assert sum(samples(read(folder / "uneven"))) == (2 * STEPS - 12) * BATCH


@pytest.mark.parametrize("slow", [0, 1])
def test_a_process_that_observes_more_seldom_makes_no_unit_look_dead(of_two, slow):
    folder, outcomes = of_two
    first, second = (outcome.value["budget"][slow] for outcome in outcomes)
    assert second > first if slow else first > 1
    assert "dead" not in states(folder / f"budget-{slow}", SECOND)
    assert units(folder / f"budget-{slow}")[NOWHERE] == "dead"


def test_gathered_parameters_make_copies_and_split_ones_do_not(of_two):
    folder, _ = of_two
    assert units(folder / "sharded") == KNOWN
    assert not omissions(folder / "sharded")
    (omission,) = omissions(folder / "split")
    assert "some units may be in one process and some in another" in omission


def test_the_end_of_the_process_group_is_told_once_and_the_end_of_a_run_never(of_two):
    folder, (first, second) = of_two
    assert sorted(read(folder / "shut-down").tables) == list(range(8))
    assert len(first.warnings) == 1
    assert "activations of other processes" in first.warnings[0]
    assert not second.warnings
