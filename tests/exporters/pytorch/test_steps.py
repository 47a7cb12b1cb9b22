"""`writer.step` is the number under which the optimizer step in progress is recorded."""

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.steps import StepCounter
from tests.support.watching import read


def network():
    return nn.Linear(3, 2)


@pytest.fixture
def writer(tmp_path):
    with NetVizWriter(tmp_path) as writer:
        yield writer


def test_scalars_logged_before_and_after_the_step_get_its_number(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            loss = model(torch.randn(4, 3)).sum()
            loss.backward()
            writer.add_scalar("before", 1.0, writer.step)
            optimizer.step()
            writer.add_scalar("after", 1.0, writer.step)
            writer.add_scalar("implied", 1.0)
    recording = read(tmp_path)
    for tag in ("before", "after", "implied"):
        assert [step for step, _ in recording.scalars[tag]] == [0, 1, 2]
        assert [step for _, step, _ in recording.metrics[tag]] == [0, 1, 2]
    assert sorted(recording.tables) == [0, 1, 2]


def test_evaluation_does_not_move_it(writer):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    writer.watch(model, optimizer)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    model.eval()
    model(torch.randn(4, 3))
    assert writer.step == 0
    model.train()
    model(torch.randn(4, 3))
    assert writer.step == 1
    model(torch.randn(4, 3))
    assert writer.step == 1


def test_steps_without_a_forward_pass_move_it(writer):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    writer.watch(model, optimizer)
    for expected in (0, 1, 2):
        model.weight.grad = torch.ones(2, 3)
        optimizer.step()
        assert writer.step == expected


def test_it_stays_after_detach_and_close(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        assert writer.step == 0
        watch = writer.watch(model, optimizer)
        for _ in range(3):
            model(torch.randn(4, 3)).sum().backward()
            optimizer.step()
        watch.detach()
        assert writer.step == 2
    assert writer.step == 2


def test_ones_own_step(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = 100
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model, optimizer, step=lambda: seen, every=1)
        for _ in range(3):
            model(torch.randn(4, 3)).sum().backward()
            optimizer.step()
            seen += 10
        assert watch.step == writer.step == 130
    assert sorted(read(tmp_path).tables) == [100, 110, 120]


def test_several_optimizers_take_turns_in_a_step():
    counter = StepCounter()
    one, two = object(), object()
    for expected in (0, 1):
        for optimizer in (one, two):
            assert counter.begin(optimizer) == expected
            counter.done(optimizer)


@pytest.mark.parametrize("compiles_outer", [True, False])
def test_a_compiled_model_moves_it_without_a_graph_break(writer, compiles_outer):
    model = network()
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, backend=backend, fullgraph=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    writer.watch(compiled if compiles_outer else model, optimizer, every=1)
    for step in range(5):
        compiled(torch.randn(4, 3)).sum().backward()
        assert writer.step == step
        optimizer.step()
        assert writer.step == step
        optimizer.zero_grad()
    assert len(graphs) == 1


def test_with_ones_own_number_optimizers_share_a_step_although_the_model_runs_between_them(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    first, second = (torch.optim.SGD(part.parameters(), lr=0.1) for part in model)
    number = 0
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, [first, second], step=lambda: number, every=1, histograms=False)
        for number in range(4):  # noqa: B007  Read by the callable.
            for optimizer in (first, second):
                model(torch.randn(2, 3)).mean().backward()
                optimizer.step()
                model.zero_grad()
    tables = read(tmp_path).tables
    assert sorted(tables) == list(range(4))
    assert all(row["weight_norm"] > 0 for table in tables.values() for row in table.values())


def test_a_step_whose_closure_raises_is_none(tmp_path):
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def closure():
        if len(done) == 3:
            raise KeyboardInterrupt
        optimizer.zero_grad()
        loss = model(torch.randn(2, 3)).mean()
        loss.backward()
        return loss

    done: list[None] = []
    with pytest.raises(KeyboardInterrupt), NetVizWriter(tmp_path) as writer:  # noqa: PT012  A loop that ends so.
        writer.watch(model, optimizer, every=1, histograms=False)
        while True:
            optimizer.step(closure)
            done.append(None)
    assert sorted(read(tmp_path).tables) == [0, 1, 2]
