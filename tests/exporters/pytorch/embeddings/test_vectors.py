"""The vectors are what the module makes of the inputs in eval mode, after the step."""

import copy
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.embedding.vectors import stored
from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.embeddings.inputs import ManyInputs
from tb_netviz.pytorch.embeddings.vectors import NoVectorsError, name_of, run, vectors_of
from tb_netviz.pytorch.probes.maps import NoMapError
from tests.support.placed import read_placed
from tests.support.small_networks import Convolutions, Recurrent, Transformer, digits

COUNT = 150
"""More than two batches."""


def train(model, writer, steps, *, each=lambda: None):
    pictures, classes = digits(96)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    writer.watch(model, optimizer)
    for _ in range(steps):
        nn.functional.cross_entropy(model(pictures), classes).backward()
        optimizer.step()
        optimizer.zero_grad()
        each()


def test_vectors_and_predictions_of_each_step(tmp_path):
    torch.manual_seed(0)
    model = Convolutions()
    pictures, classes = digits(COUNT)
    expected, predicted = [], []

    def look():
        twin = copy.deepcopy(model).eval().double()
        with torch.no_grad():
            hidden = twin.conv(torch.relu(twin.norm(twin.stem(pictures.double()))))
            expected.append(hidden.mean((2, 3)).numpy())
            predicted.append(twin(pictures.double()).argmax(1).numpy())

    with NetVizWriter(tmp_path) as writer:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        writer.watch(model, optimizer)
        writer.watch_embedding("conv", "conv", pictures, classes, every=1)
        for _ in range(3):
            nn.functional.cross_entropy(model(pictures), classes).backward()
            optimizer.step()
            optimizer.zero_grad()
            look()
    steps = dict(stored(tmp_path)["conv"])
    assert sorted(steps) == [0, 1, 2]
    placed = read_placed(tmp_path, "conv")
    assert (placed.description.module, placed.description.sets[0].points) == ("conv", COUNT)
    assert placed.steps("pca") == [0, 1, 2]
    for step in range(3):
        np.testing.assert_allclose(steps[step](), expected[step], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(placed.predictions()[step], predicted[step])


def looked_at(model, module, inputs):
    """Return what a module makes of inputs, in batches."""
    name = name_of(module, model)
    vectors = run(model.eval(), [name], ManyInputs(inputs))
    return vectors.of(name).array(), vectors.predictions, vectors.outputs


@pytest.mark.parametrize(
    ("make", "module", "expected"),
    [
        (Recurrent, "lstm", lambda model, rows: model.lstm(rows)[0].mean(1)),
        (Transformer, "layer", lambda model, rows: model.layer(model.embed(rows)).mean(1)),
        (Transformer, "embed", lambda model, rows: model.embed(rows).mean(1)),
        (Transformer, "head", lambda model, rows: model(rows[:, None])),
        (Transformer, "", lambda model, rows: model(rows[:, None])),
    ],
)
def test_sequences_are_averaged_over_their_positions(make, module, expected):
    torch.manual_seed(0)
    model = make().eval()
    pictures, _ = digits(COUNT)
    with torch.no_grad():
        wanted = expected(model, pictures[:, 0])
        found, _, outputs = looked_at(model, module, pictures)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-6)
    assert outputs == 10


SAMPLES = 4


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Linear(1, 1), (SAMPLES,), lambda one: one[:, None]),
        (nn.Linear(1, 1), (SAMPLES, 5), lambda one: one),
        (nn.Linear(1, 1), (SAMPLES, 7, 5), lambda one: one.mean(1)),
        (nn.Linear(1, 1), (7, SAMPLES, 5), lambda one: one.mean(0)),
        (nn.Conv1d(1, 1, 1), (SAMPLES, 5, 7), lambda one: one.mean(2)),
        (nn.Conv2d(1, 1, 1), (SAMPLES, 5, 7, 3), lambda one: one.mean((2, 3))),
        (nn.Conv3d(1, 1, 1), (SAMPLES, 5, 7, 3, 2), lambda one: one.mean((2, 3, 4))),
        (nn.Identity(), (SAMPLES, 2, 3, 2, 3, 2), lambda one: one.flatten(1)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
def test_outputs_of_every_shape_and_type(module, shape, expected, dtype):
    torch.manual_seed(0)
    output = torch.randn(shape, dtype=dtype)
    wide = output.abs() if dtype.is_complex else output
    found = vectors_of(module, (output, None), SAMPLES)
    assert found.dtype is torch.float32
    np.testing.assert_allclose(found.numpy(), expected(wide.double()).numpy(), rtol=2e-5, atol=1e-5)
    output.zero_()
    assert found.any()  # It is a copy.


@pytest.mark.parametrize("output", [None, "text", torch.zeros(3, 5), torch.zeros(())])
def test_outputs_without_a_vector_for_each_sample_are_refused(output):
    with pytest.raises(NoMapError):
        vectors_of(nn.Linear(1, 1), output, SAMPLES)


class Several(nn.Module):
    """Takes keywords, uses a layer twice and in place, and returns a dict."""

    def __init__(self):
        super().__init__()
        self.layer, self.spare = nn.Linear(8, 8), nn.Linear(8, 8)
        self.act = nn.ReLU(inplace=True)

    def forward(self, rows, *, scale, mask=None):
        first = self.act(self.layer(rows * scale))
        return {"logits": self.layer(first), "loss": None}


def test_keywords_batches_and_first_calls():
    torch.manual_seed(0)
    model = Several()
    rows, scale = torch.randn(COUNT, 8), torch.rand(COUNT, 1)
    with torch.no_grad():
        found, predictions, outputs = looked_at(model, "layer", {"rows": rows, "scale": scale})
        expected = model.layer(rows * scale)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert outputs == 8
    assert predictions is not None
    with pytest.raises(NoVectorsError, match="the module 'spare' does not run when the model is"):
        looked_at(model, "spare", {"rows": rows, "scale": scale})


def test_predictions_of_scores_that_are_not_numbers_are_missing():
    model = nn.Identity()
    scores = torch.tensor([[0.0, 2.0, 1.0], [0.0, float("nan"), 1.0]])
    _, predictions, outputs = looked_at(model, "", scores)
    assert (predictions.array()[0], outputs) == (1, 3)
    assert np.isnan(predictions.array()[1])


def test_modules_by_name_and_by_themselves():
    model = Transformer()
    assert name_of(model, model) == ""
    assert name_of(model.layer.linear1, model) == name_of("layer.linear1", model) == "layer.linear1"
    assert name_of(cast("nn.Module", torch.compile(model.layer, backend="eager")), model) == "layer"
    with pytest.raises(ValueError, match=r'the model has no .*; it has embed, layer, .*"" stands for its output'):
        name_of("layers", model)
    with pytest.raises(ValueError, match="the model has no Linear"):
        name_of(nn.Linear(1, 1), model)
    with pytest.raises(TypeError, match="module must be a name"):
        name_of(3, model)  # type: ignore[arg-type]  # Refused.


def test_equal_inputs_have_equal_digests():
    pictures, _ = digits(COUNT)
    one = ManyInputs(pictures)
    assert one.digest == ManyInputs((pictures.clone(),)).digest
    assert one.digest != ManyInputs(pictures.flip(0)).digest
    assert one.same_as(ManyInputs(pictures.clone()))
    assert not one.same_as(ManyInputs(pictures.flip(0)))
    assert [batch.samples for batch in one.batches()] == [64, 64, 22]


def test_inputs_of_another_type_are_others_although_their_bytes_are_the_same():
    one, other = (ManyInputs(torch.zeros(3, 4, dtype=dtype)) for dtype in (torch.float32, torch.int32))
    assert one.digest == other.digest
    assert not one.same_as(other)


@pytest.mark.parametrize("inputs", [torch.zeros(0, 3), (torch.zeros(3), torch.zeros(4)), torch.zeros(())])
def test_inputs_that_are_not_samples_are_refused(inputs):
    with pytest.raises(ValueError, match="inputs must have the same number of samples"):
        ManyInputs(inputs)
    with pytest.raises(TypeError, match="inputs must be a tensor whose first dimension is the sample"):
        ManyInputs("text")


class Ragged(nn.Module):
    """Returns a square, as large as the batch."""

    def forward(self, rows):
        return rows @ rows.T


class Odd(nn.Module):
    """Returns something that is a dict and can't be read."""

    def forward(self, _rows):
        class Unreadable(dict[str, int]):
            def values(self):
                raise RuntimeError("not to be read")

        return Unreadable()


class Mixed(nn.Module):
    """Has modules of all kinds."""

    def __init__(self):
        super().__init__()
        self.ragged, self.odd, self.fine = Ragged(), Odd(), nn.Linear(8, 3)

    def forward(self, rows):
        self.ragged(rows), self.odd(rows)
        return self.fine(rows)


def test_a_module_that_makes_no_vectors_leaves_those_of_the_others():
    torch.manual_seed(0)
    model, rows = Mixed().eval(), torch.randn(COUNT, 8)
    with torch.no_grad():
        found = run(model, ["gone", "ragged", "odd", "fine"], ManyInputs(rows))
        expected = model.fine(rows)
    np.testing.assert_allclose(found.of("fine").array(), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert found.outputs == 3
    for name, words in (
        ("gone", "the model has no module 'gone' any longer"),
        ("ragged", "of other sizes in each batch: 22, 64 units"),
        ("odd", "RuntimeError: not to be read"),
    ):
        with pytest.raises(NoVectorsError, match=words):
            found.of(name)
    assert not any(module._forward_hooks for module in model.modules())
