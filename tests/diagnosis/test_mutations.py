"""Faults that are put into healthy trainings: they do harm, are told, and are gone afterwards."""

from __future__ import annotations

import copy
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, lr_scheduler

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs
from tb_netviz_plugin.diagnosis import RULES, Severity
from tests.diagnosis import data
from tests.diagnosis.healthy import guest_tables
from tests.diagnosis.mutations import MUTATIONS
from tests.diagnosis.mutations.mutation import Inapplicable, put
from tests.diagnosis.scenario import TUNING, NotProvenError
from tests.diagnosis.scoring import told_by
from tests.diagnosis.store import train
from tests.diagnosis.suite import HEALTHY

BY_NAME = {one.name: one for one in MUTATIONS}
PLAIN = next(one for one in HEALTHY if one.name == "healthy-adam-mlp")
OUTLIVING = {
    "watch": (NetVizWriter, "watch"),
    "schedule": (lr_scheduler.LRScheduler, "__init__"),
    "relu": (functional, "relu"),
    "tanh": (torch, "tanh"),
    "method": (Tensor, "relu"),
    "split": (data, "split"),
    "split of a scenario": (guest_tables, "split"),
}
"""What mutations patch."""


def standing() -> dict[str, Any]:
    return {name: getattr(owner, attribute) for name, (owner, attribute) in OUTLIVING.items()}


def changed(before: dict[str, Any]) -> set[str]:
    return {name for name, value in standing().items() if value is not before[name]}


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))


def watched(folder, model, optimizer=None, criterion=None) -> None:
    """Watch, and train no step."""
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, criterion, on_finding="ignore")


def causes(folder) -> set[str]:
    return {one.rule for one in told_by(read_runs(folder)[0]) if one.severity >= Severity.WARNING}


def test_names_are_unique_and_all_rules_exist():
    rules = {rule.id for rule in RULES}

    assert len(BY_NAME) == len(MUTATIONS)
    for one in MUTATIONS:
        assert one.rules
        assert rules.issuperset((*one.rules, *one.beside)), one.name
        assert (one.at_watch is None) != (one.at_split is None), one.name


@pytest.mark.parametrize("name", ["rate-highest", "inputs-raw", "input-nan", "samples-few"])
def test_what_does_harm_fails_the_proof_of_the_healthy_training_and_is_told(name, tmp_path):
    assert PLAIN.use is TUNING
    assert BY_NAME[name].by_harm

    with pytest.raises(NotProvenError), put(BY_NAME[name]):
        train(PLAIN, 0, tmp_path)

    assert causes(tmp_path) & set(BY_NAME[name].rules)


@pytest.mark.parametrize("name", ["linear", "output-softmax", "middle-forgotten"])
def test_what_is_a_fault_in_any_case_is_told(name, tmp_path):
    assert not BY_NAME[name].by_harm

    with suppress(NotProvenError), put(BY_NAME[name]):
        train(PLAIN, 0, tmp_path)

    assert causes(tmp_path) & set(BY_NAME[name].rules)


@pytest.mark.parametrize("error", [None, NotProvenError, ArithmeticError, KeyboardInterrupt])
@pytest.mark.parametrize(
    ("name", "patched"),
    [
        ("linear", {"watch", "schedule", "relu", "tanh", "method"}),
        ("rate-high", {"watch", "schedule"}),
        ("labels-half-wrong", {"split", "split of a scenario"}),
    ],
)
def test_all_is_as_it_was_afterwards_whatever_comes_in_between(name, patched, error, tmp_path):
    before, model = standing(), network()

    with pytest.raises(error) if error else nullcontext(), put(BY_NAME[name]):
        data.split(torch.zeros(10, 4), torch.arange(10), 2, 0)
        watched(tmp_path, model, Adam(model.parameters()))
        assert changed(before) == patched
        if error:
            raise error

    assert not changed(before)


def test_all_is_as_it_was_where_a_fault_finds_no_place(tmp_path):
    before, model = standing(), nn.Linear(2, 2)
    optimizer = SGD(model.parameters(), lr=0.1)

    with pytest.raises(Inapplicable, match="no layer in the middle"), put(BY_NAME["middle-detached"]):
        watched(tmp_path, model, optimizer)

    assert not changed(before)


@pytest.mark.parametrize("name", ["dropout-raised", "averages-stay", "layer-unused", "output-sigmoid", "output-relu"])
def test_a_training_without_a_place_for_it_is_left_at_its_watch(name, tmp_path):
    with pytest.raises(Inapplicable), put(BY_NAME[name]):
        train(PLAIN, 0, tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gradients-kept", "call of zero_grad"),
        ("gradients-clipped", "step without a closure"),
        ("input-nan", "60th forward pass"),
        ("output-softmax", "CrossEntropyLoss that is called"),
        ("samples-few", "split of data"),
    ],
)
@pytest.mark.parametrize("error", [None, NotProvenError])
def test_a_fault_that_did_not_come_about_is_none_even_where_the_proof_fails(name, words, error, tmp_path):
    model = network()

    def train_nothing() -> None:
        with put(BY_NAME[name]):
            watched(tmp_path, model, Adam(model.parameters()), nn.CrossEntropyLoss())
            if error:
                raise error

    with pytest.raises(Inapplicable, match=words):
        train_nothing()


def test_a_training_that_watches_nothing_has_no_fault():
    with pytest.raises(Inapplicable, match="no model that is watched"), put(BY_NAME["rate-high"]):
        pass


def test_only_the_first_model_that_is_watched_gets_the_fault_and_once(tmp_path):
    first, second = network(), network()
    before = [model[0].weight.detach().clone() for model in (first, second)]
    with put(BY_NAME["start-loud"]), NetVizWriter(tmp_path) as writer:
        writer.watch(first, name="first", on_finding="ignore")
        writer.watch(second, name="second", on_finding="ignore")

    assert torch.equal(first[0].weight, 10 * before[0])
    assert torch.equal(second[0].weight, before[1])


def test_an_iterable_of_optimizers_is_watched_whole(tmp_path, monkeypatch):
    model, seen = network(), []
    optimizers = [SGD(layer.parameters(), lr=0.1) for layer in model if isinstance(layer, nn.Linear)]
    monkeypatch.setattr(NetVizWriter, "watch", lambda _writer, _model, given, _criterion: seen.extend(given))
    with put(BY_NAME["rate-high"]), NetVizWriter(tmp_path) as writer:
        writer.watch(model, iter(optimizers))

    assert seen == optimizers
    assert [one.param_groups[0]["lr"] for one in optimizers] == pytest.approx([3.0, 3.0, 3.0])


SCHEDULES = {
    "none": None,
    "lambda": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1)),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 4, eta_min=0.01),
    "cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=9),
    "cyclic": lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.1, 0.3, step_size_up=2),
    "steps": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 4]),
    "sequence": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3), lr_scheduler.ExponentialLR(optimizer, 0.5)],
        [3],
    ),
}


def rates(make, folder, mutation=None) -> list[float]:
    """Return the learning rates of a few steps, of a schedule made before the model is watched."""
    model = network()
    found = []
    with put(mutation) if mutation else nullcontext():
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        schedule = make and make(optimizer)
        watched(folder, model, optimizer)
        for _ in range(7):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if schedule:
                schedule.step()
    return found


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_schedule_goes_on_from_the_changed_rate(kind, tmp_path):
    usual = rates(SCHEDULES[kind], tmp_path / "usual")
    high = rates(SCHEDULES[kind], tmp_path / "high", BY_NAME["rate-high"])

    assert high == pytest.approx([30 * one for one in usual])


def test_faults_in_the_inputs_and_the_type_carry_over_to_a_copy_in_float64(tmp_path):
    inputs = torch.randn(5, 4)
    model = network()
    usual = copy.deepcopy(model).double()
    with put(BY_NAME["inputs-raw"]):
        watched(tmp_path / "raw", model)
        raw = copy.deepcopy(model).double()(inputs.double())
    assert torch.allclose(raw, usual(inputs.double() * 60 + 120))

    model = network()
    with put(BY_NAME["float16"]):
        watched(tmp_path / "float16", model, Adam(model.parameters()))
        assert model[0].weight.dtype is torch.float16
        assert model(inputs).dtype is torch.float32
        assert copy.deepcopy(model).double()(inputs.double()).dtype is torch.float64


def test_activations_of_other_networks_stay(tmp_path):
    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)

        def forward(self, inputs):
            return functional.relu(self.first(inputs))

    inputs = torch.randn(50, 4)
    model, other = Called(), Called()
    with put(BY_NAME["linear"]):
        watched(tmp_path, model)

        assert float(model(inputs).detach().min()) < 0
        assert float(other(inputs).detach().min()) == 0
    assert float(model(inputs).detach().min()) == 0


def test_half_of_the_targets_are_permuted_and_a_fortieth_is_kept():
    part = data.Part(torch.arange(800), torch.arange(800))

    wrong = BY_NAME["labels-half-wrong"].at_split(part)
    few = BY_NAME["samples-few"].at_split(part)

    assert 0.4 < float((wrong.targets != part.targets).float().mean()) < 0.6
    assert torch.equal(wrong.targets.sort().values, part.targets)
    assert torch.equal(wrong.inputs, part.inputs)
    assert few.inputs.tolist() == few.targets.tolist() == list(range(20))
