"""In a run of several processes the first one follows the inputs, and never waits for the others."""

from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

from tb_netviz.pytorch import NetVizWriter
from tests.support.placed import read_placed
from tests.support.processes import run_processes
from tests.support.small_networks import Convolutions, digits


class Gathering(Convolutions):
    """Exchanges something in each forward pass, as contrastive losses do."""

    def forward(self, pictures):
        total = torch.ones(())
        torch.distributed.all_reduce(total)
        return super().forward(pictures) * total


def train(rank, folder, kind):
    torch.manual_seed(0)
    model = Gathering() if kind == "gathering" else Convolutions()
    if kind == "sharded":
        for layer in (model.stem, model.conv, model.head):
            fully_shard(layer)
        trained: Any = fully_shard(model)
    else:
        trained = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, classes = digits(32)
    with NetVizWriter(folder) as writer:
        writer.watch(trained, optimizer)
        if kind != "bare":
            writer.watch_embedding("conv", "conv", inputs, classes, every=1)
        for _ in range(4):
            nn.functional.cross_entropy(trained(inputs[rank::2]), classes[rank::2]).backward()
            optimizer.step()
            optimizer.zero_grad()
        embeddings = writer._belongings.embeddings
        workers = None if embeddings is None else embeddings.worker_pid
    weights = [] if kind == "sharded" else [parameter.detach().numpy() for parameter in model.parameters()]
    return workers is not None, weights


def test_the_first_process_of_a_replicated_model_runs_it(tmp_path):
    bare = run_processes(train, 2, tmp_path, str(tmp_path / "bare"), "bare")
    watched = run_processes(train, 2, tmp_path, str(tmp_path / "watched"), "plain", limit=120)
    assert [outcome.warnings for outcome in watched] == [[], []]
    for one, two in zip(bare, watched, strict=True):
        assert all((left == right).all() for left, right in zip(one.value[1], two.value[1], strict=True))
    placed = read_placed(tmp_path / "watched", "conv")
    assert placed.steps("pca") == [0, 1, 2, 3]
    assert placed.repeated == []
    assert len(list((tmp_path / "watched").glob("events*"))) == 1


def test_a_model_that_exchanges_something_is_not_run_and_the_training_goes_on(tmp_path):
    first, second = run_processes(train, 2, tmp_path, str(tmp_path / "run"), "gathering")
    assert any("the model exchanges something with other processes" in words for words in first.warnings)
    assert second.warnings == []
    assert "exchanges something" in read_placed(tmp_path / "run", "conv").reasons["layouts"]


def test_a_sharded_model_is_refused_in_words(tmp_path):
    first, second = run_processes(train, 2, tmp_path, str(tmp_path / "run"), "sharded")
    assert any("the model is spread over processes, as by FSDP" in words for words in first.warnings)
    assert not any("embeddings" in words for words in second.warnings)
    assert len(list((tmp_path / "run").rglob("events*"))) == 1
    placed = read_placed(tmp_path / "run", "conv")
    assert placed.description.layouts == ()
    assert "as by FSDP" in placed.reasons["layouts"]
