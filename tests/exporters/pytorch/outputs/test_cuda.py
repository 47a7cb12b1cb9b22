"""On a GPU: the same numbers as by hand, and a training thread that never waits."""

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.ends import by_hand, classes_by_hand, inputs_by_hand
from tests.support.watching import read

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

STEPS = 6


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
def test_the_columns_are_those_by_hand_and_nothing_waits(tmp_path, kind, deterministic):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).to("cuda", kind)
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    inputs = torch.randn(STEPS, 32, 6, device="cuda", dtype=kind)
    targets = torch.randint(0, 4, (STEPS, 32), device="cuda")
    seen = []
    torch.use_deterministic_algorithms(deterministic, warn_only=False)
    try:
        with NetVizWriter(tmp_path) as writer:
            writer.watch(model, optimizer, criterion, every=1)
            torch.cuda.set_sync_debug_mode("error")
            for step in range(STEPS):
                outputs = model(inputs[step])
                criterion(outputs, targets[step]).backward()
                optimizer.step()
                optimizer.zero_grad()
                seen.append(outputs.detach())
            torch.cuda.set_sync_debug_mode("default")
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.use_deterministic_algorithms(False)
    recording = read(tmp_path)
    total = np.zeros((4, 3))
    for step, outputs in enumerate(seen):
        rows, labels = outputs.double().cpu().numpy(), targets[step].cpu().numpy()
        total += classes_by_hand(rows, labels)
        if step in recording.outputs:
            expected = by_hand(rows, labels, 1) | inputs_by_hand(inputs[step].double().cpu().numpy())
            assert recording.outputs[step] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert recording.outputs
    if len(recording.outputs) == STEPS:
        np.testing.assert_allclose(sum(recording.classes.values()), total, rtol=1e-4)


def test_evaluations_are_measured_and_nothing_waits(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(6, 4).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(STEPS, 32, 6, device="cuda")
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for step in range(STEPS):
                model(inputs[step]).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
                if step == 2:
                    with torch.no_grad():
                        model(3 * inputs[step])
        finally:
            torch.cuda.set_sync_debug_mode("default")
    (found,) = read(tmp_path).evaluations.values()
    evaluated, trained = (3 * inputs[2]).double().cpu().numpy(), inputs[1:4].flatten(0, 1).double().cpu().numpy()
    assert (found["in_mean"], found["trained_in_mean"]) == pytest.approx((evaluated.mean(), trained.mean()), rel=1e-4)
    assert found["in_factor"] == pytest.approx(np.median(evaluated.std(0) / trained.std(0)), rel=1e-4)


def test_targets_that_lie_elsewhere_are_no_reason_to_wait(tmp_path):
    model = nn.Linear(6, 4).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        outputs, targets = model(torch.zeros(8, 6, device="cuda")), torch.ones(8, dtype=torch.int64)
        torch.cuda.set_sync_debug_mode("error")
        writer.observe(outputs=outputs, targets=targets)
        torch.cuda.set_sync_debug_mode("default")
        outputs.sum().backward()
        optimizer.step()
    found = read(tmp_path).outputs[0]
    assert (found["out_samples"], found["target_kind"], found["target_sum"], found["labelled"]) == (8, 1, 8, 0)
