"""What only embeddings have, a process at the side of the training, changes nothing in it, whatever happens."""

import os
import signal
from typing import Any, cast

import pytest
import torch
from torch import nn

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.placed import read_placed
from tests.support.probed import KINDS, POINTS, assert_same, steps_of, train
from tests.support.small_networks import Convolutions, digits

EMBEDDING = KINDS["embedding"]


def test_with_a_data_loader_that_forks(tmp_path):
    assert_same(train(Convolutions, EMBEDDING), train(Convolutions, EMBEDDING, tmp_path, workers=2))
    placed = read_placed(tmp_path, "out")
    assert placed.steps("pca") == list(range(8))
    assert placed.steps("tsne")[-1] == 7


def test_a_worker_that_is_killed_disturbs_no_training(tmp_path):
    def kill(step, writer):
        if writer is not None:
            writer._belongings.embeddings.wait(60)
            if step in (2, 5):
                os.kill(writer._belongings.embeddings.worker_pid, signal.SIGKILL)

    bare = train(Convolutions, EMBEDDING)
    with pytest.warns(NetVizWarning, match="signal 9") as told:
        assert_same(bare, train(Convolutions, EMBEDDING, tmp_path, each=kill))
    assert len(told) == 2
    placed = read_placed(tmp_path, "out")
    assert placed.steps("pca") == [0, 1, 2, 4, 5]
    assert "nothing more is laid out" in placed.reasons["layouts"]


def test_a_module_of_a_compiled_model_stays_compiled(tmp_path):
    torch._dynamo.reset()
    model, (inputs, classes) = Convolutions(), digits(16)
    fast: Any = torch.compile(model, backend="aot_eager")
    model.register_module("head", cast("nn.Module", torch.compile(model.head, backend="aot_eager")))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(fast, optimizer)
        writer.watch_embedding("head", "head", inputs, classes, every=1)
        writer.watch_embedding("itself", fast.conv, inputs, classes, every=1)
        counts = []
        for _ in range(3):
            steps_of(fast, optimizer, 1)
            counts.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert len(set(counts)) == 1
    for name in ("head", "itself"):
        assert read_placed(tmp_path, name).steps("pca") == [0, 1, 2]


def test_the_cost_of_handing_over_is_part_of_what_recording_takes(tmp_path):
    model, (pictures, classes) = Convolutions(), digits(POINTS)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model, optimizer, every=8)
        embedding = writer.watch_embedding("out", "", pictures, classes, every=10**6)
        told = []
        for step in range(3):
            steps_of(model, optimizer, 1)
            told.append(watch._guard.seconds)
            if step == 0:
                embedding._embeddings._dispatcher._seconds += 1000.0
        assert told[0] < 1000
        assert told[-1] >= 1000  # At a step that the statistics don't observe.
