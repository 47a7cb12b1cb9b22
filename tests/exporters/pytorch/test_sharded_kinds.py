"""What is sharded in ways that can't be read is left out in words."""

import math

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.sharded import SAMPLES, assert_only_the_first_process_made_files, descent, loss_of, network, omitted
from tests.support.watching import read


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


TWO = (partial, fsdp1)


def test_a_gradient_in_parts_of_a_sum_is_left_out_in_words(of_two):
    folder, _ = of_two
    recording = read(folder / "partial")
    assert omitted(recording)["The gradient of 0.weight"] == "is distributed otherwise than the parameter"
    rows = recording.tables[1]
    assert math.isnan(rows["0.weight"]["present"])
    assert math.isnan(rows["0.weight"]["grad_norm"])
    assert rows["0.weight"]["weight_norm"] > 0
    assert rows["1.weight"]["grad_norm"] > 0


@pytest.mark.parametrize("original", [True, False])
def test_fsdp1_is_refused_in_words(of_two, original):
    folder, outcomes = of_two
    recording = read(folder / f"fsdp1-{original}")
    assert not recording.description.parameters
    assert any("FullyShardedDataParallel" in reason for reason in omitted(recording).values())
    assert len([text for text in outcomes[0].warnings if "FullyShardedDataParallel" in text]) == 2  # Of two models.


def test_only_the_first_process_makes_files(of_two):
    folder, _ = of_two
    assert_only_the_first_process_made_files(folder)
