"""In a run of several processes the first one runs the probe, and never waits for the others."""

from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import read_album
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
            writer.watch_activation_maps(inputs[:4], every=1)
        for _ in range(4):
            nn.functional.cross_entropy(trained(inputs[rank::2]), classes[rank::2]).backward()
            optimizer.step()
            optimizer.zero_grad()
    return [] if kind == "sharded" else [parameter.detach().numpy() for parameter in model.parameters()]


def test_the_first_process_of_a_replicated_model_runs_it(tmp_path):
    bare = run_processes(train, 2, tmp_path, str(tmp_path / "bare"), "bare")
    probed = run_processes(train, 2, tmp_path, str(tmp_path / "probed"), "plain")
    assert [outcome.warnings for outcome in probed] == [[], []]
    for one, two in zip(bare, probed, strict=True):
        assert all((left == right).all() for left, right in zip(one.value, two.value, strict=True))
    assert read_album(tmp_path / "probed").steps == [0, 1, 2, 3]
    assert len(list((tmp_path / "probed").glob("events*"))) == 1


def test_a_model_that_exchanges_something_is_not_run_and_the_training_goes_on(tmp_path):
    first, second = run_processes(train, 2, tmp_path, str(tmp_path / "run"), "gathering")
    assert any("the model exchanges something with other processes" in words for words in first.warnings)
    assert second.warnings == []
    album = read_album(tmp_path / "run")
    assert album.steps == []
    assert "exchanges something" in album.reasons["maps"]


def test_a_sharded_model_is_refused_in_words(tmp_path):
    first, second = run_processes(train, 2, tmp_path, str(tmp_path / "run"), "sharded")
    assert any("the model is spread over processes, as by FSDP" in words for words in first.warnings)
    assert not any("activation maps" in words for words in second.warnings)
    assert read_album(tmp_path / "run").steps == []
