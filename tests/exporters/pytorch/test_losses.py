"""Losses, learning rates and what else stands in the standard dashboards."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.histograms import HistogramSchedule
from tb_netviz.pytorch.losses import guess
from tb_netviz.reading import read_runs
from tests.support.watching import events_in, read


@pytest.mark.parametrize(
    ("tag", "role"),
    [
        ("loss/train", "train_loss"),
        ("train_loss", "train_loss"),
        ("Loss/train", "train_loss"),
        ("trainLoss", "train_loss"),
        ("training/loss_epoch", "train_loss"),
        ("loss", "train_loss"),
        ("Loss", "train_loss"),
        ("loss/total", "train_loss"),
        ("running_loss", "train_loss"),
        ("epoch/avg_loss", "train_loss"),
        ("ssl/loss", "train_loss"),
        ("total_val_loss", "val_loss"),
        ("loss/kl", ""),
        ("policy/loss", ""),
        ("total", ""),
        ("loss/val", "val_loss"),
        ("val_loss", "val_loss"),
        ("validation/loss", "val_loss"),
        ("Valid-Loss", "val_loss"),
        ("test loss", "val_loss"),
        ("VAL_LOSS", "val_loss"),
        ("accuracy/train", ""),
        ("loss/discriminator", ""),
        ("glossary", ""),
        ("weight_loss_kg", ""),
        ("", ""),
    ],
)
def test_roles_are_guessed_from_tags(tag, role):
    assert guess(tag) == role


def train(folder, log, *, steps=4, criterion=None, rates=(0.1,), **options):
    """Train, and call `log(writer, step)` after each step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    parts = [model] if len(rates) == 1 else [model[0], model[2]]
    groups = [{"params": list(part.parameters()), "lr": rate} for part, rate in zip(parts, rates, strict=True)]
    optimizer = torch.optim.SGD(groups)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    losses, norms = [], []
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, criterion, every=1, **options)
        for step in range(steps):
            loss = (criterion or nn.functional.mse_loss)(model(torch.randn(8, 4)), torch.zeros(8, 2))
            loss.backward()
            losses.append(loss.item())
            gradients = [p.grad.double().flatten() for p in model.parameters() if p.grad is not None]
            norms.append(torch.cat(gradients).norm().item())
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            log(writer, step)
    return read(folder), losses, norms


def nothing(_writer, _step):
    pass


def test_scalars_are_copied_with_their_roles(tmp_path):
    def log(writer, step):
        writer.add_scalar("loss/train", torch.tensor(1.0 + step))
        writer.add_scalar("accuracy", 0.5, step)
        writer.add_scalars("loss", {"val": 2.0}, step)

    metrics = train(tmp_path, log)[0].metrics
    assert metrics["loss/train"] == [("train_loss", step, 1.0 + step) for step in range(4)]
    assert metrics["loss/val"] == [("val_loss", step, 2.0) for step in range(4)]
    assert metrics["accuracy"] == [("", step, 0.5) for step in range(4)]


def test_roles_can_be_named(tmp_path):
    def log(writer, step):
        writer.add_scalar("objective", 1.0, step)
        writer.add_scalar("loss", 2.0, step)

    metrics = train(tmp_path, log, train_loss="objective")[0].metrics
    assert metrics["objective"][0][0] == "train_loss"
    assert metrics["loss"][0][0] == ""


def test_the_criterion_gives_the_loss_where_nobody_logs_one(tmp_path):
    recording, losses, _ = train(tmp_path, nothing, criterion=nn.MSELoss())
    found = recording.metrics["netviz/train_loss"]
    assert [(role, step) for role, step, _ in found] == [("train_loss", step) for step in range(4)]
    assert [value for *_, value in found] == pytest.approx(losses)
    assert [value for _, value in recording.scalars["netviz/train_loss"]] == pytest.approx(losses)


def test_the_criterion_is_silent_where_the_loss_is_logged(tmp_path):
    recording, *_ = train(tmp_path, lambda writer, _: writer.add_scalar("loss", 1.0), criterion=nn.MSELoss())
    assert "netviz/train_loss" not in recording.metrics


def test_losses_that_are_logged_by_epoch_stand_at_their_training_steps(tmp_path):
    def log(writer, step):
        if step % 12 == 11:
            writer.add_scalar("Loss/train", 1.0, step // 12)
            writer.add_scalar("Loss/val", 2.0, step // 12)
            writer.add_scalar("accuracy", 0.5, 480 * (step + 1))

    recording, losses, _ = train(tmp_path, log, criterion=nn.MSELoss(), steps=48)
    for tag, value in (("Loss/train", 1.0), ("Loss/val", 2.0), ("accuracy", 0.5)):
        assert [(step, found) for _, step, found in recording.metrics[tag]] == [(at, value) for at in (11, 23, 35, 47)]
        assert [step for step, _ in recording.scalars[tag]] != [11, 23, 35, 47], "the user's own stay as they are"
    found = recording.metrics["netviz/train_loss"]
    assert [step for _, step, _ in found] == list(range(48))
    assert [value for *_, value in found] == pytest.approx(losses)


def test_a_history_that_is_logged_at_the_end_keeps_its_steps(tmp_path):
    history = []

    def log(writer, step):
        history.append(float(step))
        if step == 29:
            for at, value in enumerate(history):
                writer.add_scalar("loss", value, at)

    recording, *_ = train(tmp_path, log, steps=30)
    told = [("train_loss", step, float(step)) for step in range(1, 30)]
    assert recording.metrics["loss"] == [("train_loss", 29, 0.0), *told]


def test_an_epoch_that_is_logged_when_nothing_is_watched_any_more_takes_nothing_back(tmp_path):
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        with writer.watch(model, optimizer, every=1):
            for step in range(60):
                model(torch.randn(8, 4)).square().mean().backward()
                optimizer.step()
                if step % 20 == 19:
                    writer.add_scalar("loss/val", 1.0, step // 20)
        writer.add_scalar("loss/val", 2.0, 3)
    (run,) = read_runs(tmp_path)
    (metric,) = [one for one in run.metrics if one.name == "loss/val"]
    assert metric.records.steps.tolist() == [19, 39, 59, 59]


def test_the_criterion_is_averaged_over_an_accumulated_step_and_not_over_an_evaluation(tmp_path):
    model, criterion = nn.Linear(3, 1), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=1)
        values = []
        for scale in (1.0, 3.0):
            loss = criterion(model(torch.randn(5, 3)) * scale, torch.zeros(5, 1))
            loss.backward()
            values.append(loss.item())
        with torch.no_grad():
            criterion(torch.ones(2), torch.full((2,), 1e6))
        optimizer.step()
    ((_, _, found),) = read(tmp_path).metrics["netviz/train_loss"]
    assert found == pytest.approx(sum(values) / 2)


def test_gradient_norm_and_learning_rate_are_standard_scalars(tmp_path):
    recording, _, norms = train(tmp_path, nothing)
    assert [value for _, value in recording.scalars["netviz/gradient_norm"]] == pytest.approx(norms)
    assert recording.scalars["netviz/learning_rate"] == [(step, pytest.approx(0.1 * 0.5**step)) for step in range(4)]
    assert recording.metrics["netviz/learning_rate"][1] == ("learning_rate", 1, pytest.approx(0.05))


def test_each_group_has_its_learning_rate_and_each_model_its_tags(tmp_path):
    recording, *_ = train(tmp_path, nothing, rates=(0.1, 0.2), name="net")
    assert recording.scalars["netviz/net/learning_rate/1"][0] == (0, pytest.approx(0.2))
    assert "gradients/net/0.weight" in recording.histograms


def test_histograms_are_few(tmp_path):
    recording, *_ = train(tmp_path / "default", nothing, steps=20)
    assert recording.histograms["gradients/0.weight"] == [0, 16]
    assert recording.histograms["weights/2.bias"] == [0, 16]
    assert train(tmp_path / "five", nothing, steps=12, histograms=5)[0].histograms["weights/0.bias"] == [0, 5, 10]
    assert not train(tmp_path / "none", nothing, histograms=False)[0].histograms


def test_the_number_of_histograms_is_bounded():
    schedule = HistogramSchedule(True)
    assert sum(schedule.due(step) for step in range(100_000)) < 100


def test_a_histogram_holds_every_element_of_a_small_tensor(tmp_path):
    model = nn.Linear(5, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        model(torch.ones(2, 5)).sum().backward()
        optimizer.step()
    values = {value.tag: value.histo for event in events_in(tmp_path) for value in event.summary.value}
    weights = values["weights/weight"]
    assert weights.num == sum(weights.bucket) == 20
    assert (weights.min, weights.max) == (model.weight.min().item(), model.weight.max().item())
    assert weights.sum == pytest.approx(model.weight.double().sum().item())
    constant = values["gradients/bias"]
    assert (constant.num, constant.min, constant.max, sum(constant.bucket)) == (4, 2.0, 2.0, 4)


def test_a_graph_that_can_not_be_traced_is_an_omission(tmp_path):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, *, x):
            return self.inner(x)

    model = Named()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(2):
            model(x=torch.randn(3, 2)).sum().backward()
            optimizer.step()
    recording = read(tmp_path)
    assert recording.graphs == 0
    assert [(o.subject, o.reason) for o in recording.description.omissions] == [
        ("graph", "the model is called with keyword arguments")
    ]


def test_the_graph_is_traced_without_the_users_hooks(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        model(torch.randn(3, 2)).sum().backward()
        optimizer.step()
    assert read(tmp_path).graphs == 1
    assert calls == [1]
    assert model.training


@pytest.mark.parametrize("returned", ["the model", "nothing"])
def test_an_eval_of_the_users_own_leaves_the_model_its_hooks(tmp_path, returned):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    model.eval = lambda: model if returned == "the model" else None  # type: ignore[assignment, return-value]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            model(torch.randn(3, 2)).sum().backward()
            optimizer.step()
    assert read(tmp_path).graphs == 1
    assert calls == [1] * 3
    assert model.training


@pytest.mark.parametrize("register", [register_module_forward_hook, register_module_forward_pre_hook])
def test_the_graph_is_traced_without_the_users_hooks_on_all_modules(tmp_path, register):
    def calls_in(folder, **options):
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        calls: list[str] = []
        with contextlib.ExitStack() as stack, NetVizWriter(folder) as writer:
            stack.callback(register(lambda module, *_: calls.append(type(module).__name__)).remove)
            if options:
                writer.watch(model, optimizer, **options)
            for _ in range(2):
                model(torch.randn(3, 2)).sum().backward()
                optimizer.step()
        return calls

    assert calls_in(tmp_path / "watched", every=1) == calls_in(tmp_path / "bare")
    assert read(tmp_path / "watched").graphs == 1


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_graph_of_the_users_own_is_not_doubled(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.add_graph(model, torch.zeros(1, 2))
        writer.watch(model, optimizer, every=1)
        model(torch.randn(3, 2)).sum().backward()
        optimizer.step()
    assert read(tmp_path).graphs == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "value", [np.array([0.5]), np.float32(0.5), torch.tensor([0.5]), torch.tensor(0.5, requires_grad=True)], ids=repr
)
def test_a_scalar_of_any_kind_that_summary_writer_takes(tmp_path, value):
    def log(writer, step):
        writer.add_scalar("loss/train", value, step)
        writer.add_scalars("loss", {"val": value}, step)

    metrics = train(tmp_path, log, steps=2)[0].metrics
    assert metrics["loss/train"] == [("train_loss", step, 0.5) for step in range(2)]
    assert metrics["loss/val"] == [("val_loss", step, 0.5) for step in range(2)]
