"""Parameters that are replaced, emptied, or can't be read."""

import math

import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import read


def test_a_layer_that_is_replaced_by_its_like_tells_no_angle_with_the_old_one(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1, histograms=False)
        for step in range(3):
            if step == 2:
                model[0] = nn.Linear(4, 4)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
            model.zero_grad()
    tables = read(tmp_path).tables
    assert not math.isnan(tables[1]["0.weight"]["grad_dot_last"])
    assert math.isnan(tables[2]["0.weight"]["grad_dot_last"])


def test_a_parameter_whose_memory_was_taken_away_is_left_alone(tmp_path):
    frozen = nn.Linear(4, 4).requires_grad_(requires_grad=False)
    model = nn.Sequential(frozen, nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            if step == 1:
                frozen.weight.untyped_storage().resize_(0)
            model[1](torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    tables = read(tmp_path).tables
    assert math.isnan(tables[2]["0.weight"]["weight_norm"])
    assert tables[2]["1.weight"]["grad_norm"] > 0


class Opaque(torch.Tensor):
    """A tensor that nothing can be done with, as those of some quantized kinds."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function.__name__ in ("view", "dot", "reshape", "as_strided", "abs"):
            raise NotImplementedError(function.__name__)
        return super().__torch_function__(function, types, args, kwargs or {})


def test_a_parameter_of_a_class_that_can_not_be_read_is_left_out_and_the_rest_recorded(tmp_path):
    hidden = nn.Linear(4, 4)
    hidden.weight = nn.Parameter(torch.randn(4, 4).as_subclass(Opaque), requires_grad=False)
    model = nn.Sequential(hidden, nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            model[1](torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert recording.tables[2]["1.weight"]["weight_norm"] > 0
    assert "0.weight" in {omission.subject for omission in recording.description.omissions}
