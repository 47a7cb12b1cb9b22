"""Losses that are functions: what the user says of a step is recorded as what a criterion gets."""

import weakref

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter, watch
from tests.support.ends import by_hand
from tests.support.watching import read


def array(tensor):
    return tensor.detach().double().numpy()


class Training:
    """A small classifier that is watched without a criterion."""

    def __init__(self, writer, **options):
        torch.manual_seed(0)
        self.model = nn.Linear(6, 4)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.writer = writer
        self.watch = writer.watch(self.model, self.optimizer, **({"every": 1} | options))

    def forward(self, samples=8):
        outputs, targets = self.model(torch.randn(samples, 6)), torch.randint(0, 4, (samples,))
        return outputs, targets, nn.functional.cross_entropy(outputs, targets)

    def step(self, loss):
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


@pytest.fixture
def writer(tmp_path):
    with NetVizWriter(tmp_path) as writer:
        yield writer


def test_what_is_said_is_recorded(writer, tmp_path):
    training = Training(writer)
    seen = []
    for _ in range(3):
        outputs, targets, loss = training.forward()
        writer.observe(outputs=outputs, targets=targets, loss=loss)
        training.step(loss)
        seen.append((outputs, targets, loss.item()))
    writer.close()
    recording = read(tmp_path)
    for step, (outputs, targets, loss) in enumerate(seen):
        expected = by_hand(array(outputs), targets.numpy(), 1)
        assert {name: recording.outputs[step][name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert recording.metrics["netviz/train_loss"][step][:2] == ("train_loss", step)
        assert recording.metrics["netviz/train_loss"][step][2] == pytest.approx(loss)
    assert recording.classes


def test_each_part_is_optional(writer, tmp_path):
    training = Training(writer)
    parts = [{"outputs": True}, {"targets": True}, {"loss": True}, {}]
    for given in parts:
        outputs, targets, loss = training.forward()
        every = {"outputs": outputs, "targets": targets, "loss": loss}
        writer.observe(**{name: every[name] for name in given})
        training.step(loss)
    writer.close()
    recording = read(tmp_path)
    has_outputs = [columns["out_values"] == 32 for columns in recording.outputs.values()]
    has_targets = [columns["target_values"] == 8 for columns in recording.outputs.values()]
    assert (has_outputs, has_targets) == ([True, False, False, False], [False, True, False, False])
    assert [step for _, step, _ in recording.metrics["netviz/train_loss"]] == [2]


def test_it_may_be_called_after_the_backward_pass(writer, tmp_path):
    training = Training(writer)
    outputs, targets, loss = training.forward()
    loss.backward()
    writer.observe(outputs=outputs, targets=targets, loss=loss)
    training.optimizer.step()
    writer.close()
    assert read(tmp_path).outputs[0]["labelled"] == 8


@pytest.mark.parametrize("loss", [2.5, np.float64(2.5), 2, torch.tensor(2.5), torch.tensor([2.0, 3.0])], ids=repr)
def test_a_loss_of_any_kind(writer, tmp_path, loss):
    training = Training(writer)
    *_, own = training.forward()
    writer.observe(loss=loss)
    training.step(own)
    writer.close()
    expected = float(np.mean(np.asarray(loss)))
    ((role, _, found),) = read(tmp_path).metrics["netviz/train_loss"]
    assert role == "train_loss"
    assert found == pytest.approx(expected)


def test_losses_of_micro_batches_are_averaged_and_go_before_those_of_the_criterion(tmp_path):
    model, criterion = nn.Linear(6, 4), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=1)
        for loss in (1.0, 4.0):
            outputs, targets = model(torch.randn(8, 6)), torch.randint(0, 4, (8,))
            criterion(outputs, targets).backward()
            writer.observe(outputs=outputs, targets=targets, loss=loss)
        optimizer.step()
    recording = read(tmp_path)
    assert recording.metrics["netviz/train_loss"] == [("train_loss", 0, 2.5)]
    assert recording.outputs[0]["out_samples"] == 16  # Not twice what the criterion has had.


def test_a_loss_that_is_logged_goes_before_one_that_is_said(writer, tmp_path):
    training = Training(writer)
    *_, loss = training.forward()
    writer.add_scalar("loss/train", 7.0)
    writer.observe(loss=loss)
    training.step(loss)
    writer.close()
    assert "netviz/train_loss" not in read(tmp_path).metrics


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"outputs": "logits"}, "outputs must be a tensor or hold one, got str: 'logits'"),
        ({"outputs": {}}, "outputs must be a tensor or hold one, got dict: {}"),
        ({"targets": 3}, "targets must be a tensor or hold one, got int: 3"),
        ({"outputs": np.zeros(2)}, "outputs must be a tensor or hold one, got ndarray"),
        ({"loss": "0.5"}, "loss must be a tensor or a number, got str: '0.5'"),
        ({"loss": [torch.zeros(())]}, "loss must be a tensor or a number, got list"),
    ],
)
def test_other_kinds_are_refused_in_words(writer, given, message):
    training = Training(writer)
    *_, loss = training.forward()
    with pytest.raises(TypeError) as caught:
        writer.observe(**given)
    assert str(caught.value).startswith(message)
    training.step(loss)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (torch.randn(8, 4), torch.zeros(3)),
        (torch.randn(0, 4), torch.zeros(0, dtype=torch.int64)),
        (torch.randn(()), torch.tensor(1)),
        (torch.randn(2, 3, 4, 5, 6), torch.zeros(1, 1, dtype=torch.bool)),
        (torch.randn(3, 0), torch.zeros(3, dtype=torch.int64)),
        (torch.randn(8, 4).to_sparse(), torch.zeros(8, dtype=torch.int64)),
        (torch.zeros(8, 4, device="meta"), torch.zeros(8, dtype=torch.int64)),
        (torch.full((8, 4), float("nan")), torch.full((8,), 99)),
        (torch.randn(8, 4), torch.zeros(8, 4, 2)),
        (torch.randn(8, 4).to(torch.float8_e4m3fn), torch.zeros(8, dtype=torch.uint8)),
    ],
)
def test_shapes_and_types_of_tensors_are_no_error(writer, tmp_path, outputs, targets):
    training = Training(writer)
    *_, loss = training.forward()
    writer.observe(outputs=outputs, targets=targets, loss=loss)
    training.step(loss)
    writer.close()
    recording = read(tmp_path)
    assert not [one for one in recording.description.omissions if "outputs" in one.subject.lower()]
    assert recording.metrics["netviz/train_loss"]


def test_several_models_are_told_apart_by_their_names(tmp_path):
    with NetVizWriter(tmp_path) as writer:
        first = Training(writer, name="critic")
        second = Training(writer, name="generator")
        for training, name in ((first, None), (second, "generator")):
            outputs, targets, loss = training.forward(8 if name is None else 5)
            writer.observe(outputs=outputs, targets=targets, loss=loss, model=name)
            training.step(loss)
        with pytest.raises(ValueError, match="no model is watched under the name 'teacher'; there is 'critic', 'gen"):
            writer.observe(model="teacher")
    assert read(tmp_path, "critic").outputs[0]["labelled"] == 8
    assert read(tmp_path, "generator").outputs[0]["labelled"] == 5


def test_a_watch_of_a_foreign_writer_has_it_too(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    model = nn.Linear(6, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with SummaryWriter(tmp_path) as writer, watch(model, optimizer, writer=writer, every=1) as watched:
        outputs = model(torch.randn(8, 6))
        watched.observe(outputs=outputs, targets=torch.zeros(8, dtype=torch.int64), loss=outputs.sum())
        outputs.sum().backward()
        optimizer.step()
    assert read(tmp_path).outputs[0]["labelled"] == 8


@pytest.mark.filterwarnings("error")
def test_without_a_watch_and_after_its_end_it_does_nothing(writer):
    writer.observe(outputs=torch.zeros(2, 2))
    training = Training(writer)
    training.watch.detach()
    writer.observe(outputs=torch.zeros(2, 2))
    writer.close()
    writer.observe(outputs=torch.zeros(2, 2))


def test_where_a_step_is_not_observed_it_does_not_look_at_what_is_given(writer, tmp_path):
    training = Training(writer, every=3)
    for step in range(6):
        *_, loss = training.forward()
        writer.observe(outputs="looked at only at steps 0 and 3" if step % 3 else torch.ones(2, 2))
        training.step(loss)
    writer.close()
    assert list(read(tmp_path).outputs) == [0, 3]


def test_nothing_of_it_is_kept(writer):
    training = Training(writer)
    outputs, targets, loss = training.forward()
    writer.observe(outputs=outputs, targets=targets, loss=loss)
    held = [weakref.ref(outputs), weakref.ref(targets), weakref.ref(loss)]
    training.step(loss)
    del outputs, targets, loss
    assert [reference() for reference in held] == [None] * 3


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # Of torch.compile's own doing.
def test_in_compiled_code_it_is_absent(writer, tmp_path):
    training = Training(writer)

    @torch.compile(backend="eager", fullgraph=True)
    def loss_of(outputs, targets):
        loss = nn.functional.cross_entropy(outputs, targets)
        writer.observe(outputs=outputs, targets=targets, loss=loss)
        training.watch.observe(outputs=outputs, targets=targets, loss=loss)
        return loss

    training.step(loss_of(training.model(torch.randn(8, 6)), torch.zeros(8, dtype=torch.int64)))
    writer.close()
    assert not read(tmp_path).outputs[0]["out_values"] > 0
