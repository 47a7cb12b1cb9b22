"""Measuring outputs, targets and inputs changes nothing: no weight, no random number, no node of the graph."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import read

STEPS = 5


def classifier():
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.ReLU(inplace=True), nn.Linear(8, 4))


def language_model():
    return nn.Sequential(nn.Embedding(9, 6), nn.LayerNorm(6), nn.Linear(6, 9), nn.Dropout(0.1), Transposed())


class Transposed(nn.Module):
    def forward(self, values):
        return values.transpose(1, 2)


CASES: dict[str, tuple[Any, ...]] = {
    "class indices": (classifier, nn.CrossEntropyLoss, lambda: (torch.randn(8, 6), torch.randint(0, 4, (8,)))),
    "numbers": (classifier, nn.MSELoss, lambda: (torch.randn(8, 6), torch.randn(8, 4))),
    "tokens": (language_model, nn.CrossEntropyLoss, lambda: torch.randint(0, 9, (2, 3, 5)).unbind()),
    "a large batch": (
        lambda: nn.Linear(6, 300),
        nn.CrossEntropyLoss,
        lambda: (torch.randn(999, 6), torch.randint(0, 300, (999,))),
    ),
    "soft targets": (
        classifier,
        lambda: nn.KLDivLoss(reduction="batchmean"),
        lambda: (torch.randn(8, 6), torch.rand(8, 4)),
    ),
}


def train(case, folder=None, *, said=False):
    """Return weights, losses, gradients of the last step and the random state at the end."""
    make, loss, batch = CASES[case]
    torch.manual_seed(3)
    model, criterion = make(), loss()
    optimizer = torch.optim.Adam(model.parameters())
    writer = None if folder is None else NetVizWriter(folder)
    if writer is not None:
        writer.watch(model, optimizer, None if said else criterion, every=1)
    found = []
    for _ in range(STEPS):
        inputs, targets = batch()
        before = inputs.clone(), targets.clone(), inputs._version, targets._version
        optimizer.zero_grad()
        outputs = model(inputs)
        value = criterion(outputs, targets)
        if writer is not None and said:
            writer.observe(outputs=outputs, targets=targets, loss=value)
        value.backward()
        optimizer.step()
        found += [value.detach(), *(parameter.grad.clone() for parameter in model.parameters())]
        assert torch.equal(inputs, before[0])
        assert torch.equal(targets, before[1])
        assert (inputs._version, targets._version) == before[2:]
    if writer is not None:
        writer.close()
    return [*found, *copy.deepcopy(model.state_dict()).values(), torch.get_rng_state()]


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_weights_gradients_losses_and_random_numbers_are_the_same_bit_by_bit(tmp_path, case, said):
    bare, watched = train(case), train(case, tmp_path, said=said)
    assert [one.numpy().tobytes() for one in bare] == [one.numpy().tobytes() for one in watched]
    assert all(columns["out_values"] > 0 for columns in read(tmp_path).outputs.values())
    assert len(read(tmp_path).outputs) == STEPS


def nodes(node):
    """Return the names of all nodes below one of the graph, as a tree."""
    return None if node is None else (node.name(), [nodes(below) for below, _ in node.next_functions])


def test_the_graph_is_the_same(tmp_path):
    torch.manual_seed(0)
    model, criterion = classifier(), nn.CrossEntropyLoss()
    inputs, targets = torch.randn(8, 6), torch.randint(0, 4, (8,))
    bare = nodes(criterion(model(inputs), targets).grad_fn)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=1, activations=False)
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        writer.observe(outputs=outputs, targets=targets, loss=loss)
        assert nodes(loss.grad_fn) == bare
        assert outputs._backward_hooks is None
        assert outputs.requires_grad
        loss.backward()
        optimizer.step()
    assert read(tmp_path).outputs[0]["labelled"] == 8


def test_a_criterion_is_copied_without_us(tmp_path):
    model, criterion = classifier(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=1)
        other, other_criterion = copy.deepcopy(model), copy.deepcopy(criterion)
        other_criterion(other(torch.randn(50, 6)), torch.zeros(50, dtype=torch.int64))
        criterion(model(torch.randn(8, 6)), torch.zeros(8, dtype=torch.int64)).backward()
        optimizer.step()
    assert read(tmp_path).outputs[0]["out_samples"] == 8
