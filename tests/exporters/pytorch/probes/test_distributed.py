"""In a run of several processes the first one runs a probe, of either kind, and never waits for the others."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

from tb_netviz.pytorch import NetVizWriter
from tests.support.probed import KINDS
from tests.support.processes import run_processes
from tests.support.small_networks import Convolutions, digits


class Gathering(Convolutions):
    """Exchanges something in each forward pass, as contrastive losses do."""

    def forward(self, pictures):
        total = torch.ones(())
        torch.distributed.all_reduce(total)
        return super().forward(pictures) * total


def train(rank, folder, model_kind, probe_kind):
    """Return whether there is a process for embeddings, and the weights."""
    torch.manual_seed(0)
    model = Gathering() if model_kind == "gathering" else Convolutions()
    if model_kind == "sharded":
        for layer in (model.stem, model.conv, model.head):
            fully_shard(layer)
        trained: Any = fully_shard(model)
    else:
        trained = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, classes = digits(32)
    with NetVizWriter(folder) as writer:
        writer.watch(trained, optimizer)
        if probe_kind is not None:
            KINDS[probe_kind].watch(writer, inputs, classes)
        for _ in range(4):
            nn.functional.cross_entropy(trained(inputs[rank::2]), classes[rank::2]).backward()
            optimizer.step()
            optimizer.zero_grad()
        embeddings = writer._belongings.embeddings
        has_worker = embeddings is not None and embeddings.worker_pid is not None
    return has_worker, [] if model_kind == "sharded" else [
        parameter.detach().numpy() for parameter in model.parameters()
    ]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bare")
    return run_processes(train, 2, folder, str(folder / "run"), "replicated", None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_process_of_a_replicated_model_runs_it(tmp_path, bare, kind):
    probed = run_processes(train, 2, tmp_path, str(tmp_path / "run"), "replicated", kind, limit=120)
    assert [outcome.warnings for outcome in probed] == [[], []]
    assert not probed[1].value[0]
    for one, two in zip(bare, probed, strict=True):
        assert all((left == right).all() for left, right in zip(one.value[1], two.value[1], strict=True))
    assert KINDS[kind].read(tmp_path / "run") == ([0, 1, 2, 3], {})
    assert len(list((tmp_path / "run").glob("events*"))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_exchanges_something_is_not_run_and_the_training_goes_on(tmp_path, kind):
    first, second = run_processes(train, 2, tmp_path, str(tmp_path / "run"), "gathering", kind)
    assert any("the model exchanges something with other processes" in words for words in first.warnings)
    assert second.warnings == []
    steps, reasons = KINDS[kind].read(tmp_path / "run")
    assert steps == []
    assert "exchanges something" in reasons[KINDS[kind].subject]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sharded_model_is_refused_in_words(tmp_path, kind):
    first, second = run_processes(train, 2, tmp_path, str(tmp_path / "run"), "sharded", kind)
    assert len([words for words in first.warnings if "the model is spread over processes, as by FSDP" in words]) == 1
    assert not any("of such models are not recorded" in words for words in second.warnings)
    assert len(list((tmp_path / "run").rglob("events*"))) == 1
    steps, reasons = KINDS[kind].read(tmp_path / "run")
    assert steps == []
    assert "as by FSDP" in reasons[KINDS[kind].subject]
