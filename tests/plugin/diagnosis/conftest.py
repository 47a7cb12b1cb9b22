"""Short trainings, and what a rule says of them."""

import pytest
import torch

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs


@pytest.fixture
def _one_thread():
    """Networks this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def train(tmp_path, _one_thread):
    """Trains a model on what `batch` returns for a step and returns the recorded run."""

    def run(model, criterion, batch, steps=60, rate=1e-2, validate=None, optimizer=None, log=True):
        torch.manual_seed(0)
        optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=rate)
        with NetVizWriter(tmp_path) as writer:
            module = criterion if isinstance(criterion, torch.nn.Module) else None
            writer.watch(model, optimizer, module, every=1, histograms=False, on_finding="ignore")
            for step in range(steps):
                inputs, targets = batch(step)
                outputs = model(inputs)
                loss = criterion(outputs, targets)
                if module is None:
                    writer.observe(outputs=outputs, targets=targets, loss=loss)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                if log:
                    writer.add_scalar("loss/train", loss, writer.step)
                if validate is not None and (value := validate(step)) is not None:
                    writer.add_scalar("loss/val", value, writer.step)
        (recorded,) = read_runs(tmp_path)
        return recorded

    return run


@pytest.fixture
def told():
    """Returns what a rule says of a run; fails where it was not checked."""

    def of(run, rule):
        report = run.report({})
        assert rule not in {skipped.rule.id for skipped in report.skipped}, report.skipped
        return [finding for finding in report.every if finding.rule == rule]

    return of


@pytest.fixture
def reason():
    """Returns why a rule was not checked; None where it was."""

    def of(run, rule):
        return next((skipped.reason for skipped in run.report({}).skipped if skipped.rule.id == rule), None)

    return of
