"""Functional losses are known by the nodes of their graph."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.outputs.naming import name_of_loss
from tests.support.watching import read

LABELS = torch.tensor([0, 1, 2, 0])
NUMBERS = torch.rand(4, 3)

LOSSES = {
    "CrossEntropyLoss": [
        lambda logits: functional.cross_entropy(logits, LABELS),
        lambda logits: functional.cross_entropy(logits, LABELS, label_smoothing=0.1),
        lambda logits: functional.cross_entropy(logits, LABELS, reduction="none").mean() / 4 + 0.1,
        lambda logits: functional.cross_entropy(logits.view(2, 3, 2), torch.zeros(2, 2, dtype=torch.int64)),
        lambda logits: functional.nll_loss(logits.log_softmax(1), LABELS),
    ],
    "NLLLoss": [lambda logits: functional.nll_loss(logits, LABELS)],
    "MSELoss": [lambda logits: functional.mse_loss(logits, NUMBERS)],
    "SmoothL1Loss": [lambda logits: functional.smooth_l1_loss(logits, NUMBERS)],
    "HuberLoss": [lambda logits: functional.huber_loss(logits, NUMBERS)],
    "BCELoss": [lambda logits: functional.binary_cross_entropy(logits.sigmoid(), NUMBERS)],
    "BCEWithLogitsLoss": [lambda logits: 2 * functional.binary_cross_entropy_with_logits(logits, NUMBERS)],
    "": [
        lambda logits: logits.square().mean(),
        lambda logits: logits.detach().sum(),
        lambda logits: logits.sum().item(),
        lambda _logits: None,
    ],
}
CASES = [(name, number) for name, losses in LOSSES.items() for number in range(len(losses))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_functional_loss_has_the_name_of_its_module(name, number):
    assert name_of_loss(LOSSES[name][number](torch.randn(4, 3, requires_grad=True))) == name


def test_what_is_known_of_a_loss_that_is_said_stands_in_the_description(tmp_path):
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            outputs = model(torch.randn(4, 6))
            loss = functional.cross_entropy(outputs, LABELS)
            if step:
                writer.observe(outputs=outputs, targets=LABELS, loss=loss)
            loss.backward()
            optimizer.step()
    assert [description.criterion for description in read(tmp_path).descriptions] == ["", "CrossEntropyLoss"]
