"""Which passes count: those in training, the first outputs of each, all micro-batches of a step together."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tb_netviz.pytorch import NetVizWriter
from tests.support.ends import by_hand, classes_by_hand, inputs_by_hand
from tests.support.watching import read

COUNTS = ("out_samples", "target_values", "labelled", "in_values")


def batch(samples=8, classes=4):
    return torch.randn(samples, 6), torch.randint(0, classes, (samples,))


def array(tensor):
    return tensor.detach().double().numpy()


@pytest.fixture
def training(tmp_path):
    """A model that is watched at every step, its optimizer, criterion and writer."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.1), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=1)
        yield model, optimizer, criterion, writer


def counts(folder, step=0):
    found = read(folder).outputs[step]
    return [found[name] for name in COUNTS]


def test_micro_batches_of_a_step_add_up(training, tmp_path):
    model, optimizer, criterion, writer = training
    seen = []
    for samples in (8, 3, 5):
        inputs, targets = batch(samples)
        outputs = model(inputs)
        criterion(outputs, targets).backward()
        seen.append((array(inputs), array(outputs), targets.numpy()))
    optimizer.step()
    writer.close()
    inputs, rows, labels = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    recording = read(tmp_path)
    expected = by_hand(rows, labels, 1) | inputs_by_hand(inputs)
    spreads = [inputs_by_hand(part) for part, _, _ in seen]
    expected["in_std_min"] = min(part["in_std_min"] for part in spreads)
    expected["in_std_max"] = max(part["in_std_max"] for part in spreads)
    assert recording.outputs[0] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(recording.classes[0], classes_by_hand(rows, labels), rtol=1e-5)


def test_evaluation_does_not_count(training, tmp_path):
    model, optimizer, criterion, writer = training
    inputs, targets = batch()
    criterion(model(inputs), targets).backward()
    model.eval()
    criterion(model(torch.randn(50, 6)), torch.zeros(50, dtype=torch.int64))
    with torch.no_grad():
        criterion(model(torch.randn(50, 6)), torch.zeros(50, dtype=torch.int64))
    writer.observe(outputs=torch.randn(50, 4), targets=torch.zeros(50, dtype=torch.int64))
    model.train()
    with torch.no_grad():
        criterion(model(torch.randn(0, 6)), torch.zeros(0, dtype=torch.int64))
    optimizer.step()
    writer.close()
    assert counts(tmp_path) == [8, 8, 8, 48]


def test_the_first_of_several_calls_in_a_pass_counts(training, tmp_path):
    model, optimizer, criterion, writer = training
    inputs, targets = batch()
    outputs = model(inputs)
    loss = criterion(outputs, targets) + 0.3 * criterion(outputs.detach() * 2 + outputs, targets)
    loss.backward()
    optimizer.step()
    writer.close()
    found = read(tmp_path).outputs[0]
    assert found["out_norm"] == pytest.approx(np.linalg.norm(array(outputs)), rel=1e-5)
    assert found["out_samples"] == 8


def test_a_criterion_inside_the_model_counts_once(tmp_path):
    class WithLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 4)
            self.criterion = nn.CrossEntropyLoss()

        def forward(self, inputs, targets):
            outputs = self.linear(inputs)
            return {"loss": checkpoint(self.criterion, outputs, targets, use_reentrant=False), "logits": outputs}

    model = WithLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, model.criterion, every=1)
        model(*batch())["loss"].backward()
        optimizer.step()
    assert counts(tmp_path) == [8, 8, 8, 48]


def test_the_passes_of_a_step_that_a_loss_scaler_leaves_out_are_those_of_the_next(training, tmp_path):
    model, optimizer, criterion, writer = training
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for step in range(3):
        inputs, targets = batch()
        loss = criterion(model(inputs), targets) * (float("inf") if step == 1 else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    writer.close()
    recording = read(tmp_path)
    assert list(recording.outputs) == list(recording.tables) == [0, 2]
    assert [recording.outputs[step]["out_samples"] for step in (0, 2)] == [8, 16]


def test_several_optimizers_in_turn_add_up(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 4))
    optimizers = [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in model]
    criterion = nn.CrossEntropyLoss()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizers, criterion, every=1)
        for _ in range(2):
            inputs, targets = batch()
            criterion(model(inputs), targets).backward()
            for optimizer in optimizers:
                optimizer.step()
            model.zero_grad()
    assert counts(tmp_path, 0) == counts(tmp_path, 1) == [8, 8, 8, 48]


def test_steps_that_are_not_observed_leave_nothing_behind(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(6, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=3)
        for step in range(7):
            criterion(model(torch.full((8, 6), float(step))), batch()[1]).backward()
            optimizer.step()
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert {step: columns["in_max"] for step, columns in recording.outputs.items()} == {0: 0, 3: 3, 6: 6}
    assert [columns["out_samples"] for columns in recording.outputs.values()] == [8, 8, 8]


def test_a_pause_has_no_outputs_and_the_steps_after_it_have_their_own(training, tmp_path):
    model, optimizer, criterion, writer = training
    watched = writer.netviz_run().watches[0]
    for step in range(6):
        if step == 2:
            watched.pause()
        if step == 4:
            watched.resume()
        criterion(model(torch.full((8, 6), float(step))), batch()[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    writer.close()
    recording = read(tmp_path)
    assert {step: columns["in_max"] for step, columns in recording.outputs.items()} == {0: 0, 1: 1, 4: 4, 5: 5}


def test_detaching_takes_all_hooks_off(training):
    model, _, criterion, writer = training
    assert criterion._forward_hooks
    writer.close()
    assert not criterion._forward_hooks
    assert not model._forward_pre_hooks
    assert not criterion._forward_hooks_with_kwargs
    assert not model._forward_pre_hooks_with_kwargs


def test_a_compiled_model_is_measured_at_its_ends(tmp_path):
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    model: Any = torch.compile(layer, backend="eager")
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=1)
        for _ in range(2):
            criterion(model(batch()[0]), batch()[1]).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert counts(tmp_path, 0) == counts(tmp_path, 1) == [8, 8, 8, 48]


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_inside_a_transformation_nothing_is_measured(training, tmp_path):
    model, optimizer, criterion, writer = training
    weights = dict(model.named_parameters())

    def loss_of(weights, inputs, targets):
        return criterion(torch.func.functional_call(model, weights, inputs), targets)

    inputs, targets = batch()
    per_sample = torch.func.vmap(torch.func.grad(loss_of), (None, 0, 0), randomness="different")
    per_sample(weights, inputs.unsqueeze(1), targets.unsqueeze(1))
    criterion(model(inputs), targets).backward()
    optimizer.step()
    writer.close()
    assert counts(tmp_path) == [8, 8, 8, 48]
