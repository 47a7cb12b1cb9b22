"""Every column of outputs, targets and inputs against a computation by hand in float64, and what counts at all."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz_plugin.schema.columns import OUTPUT_COLUMNS
from tests.support.ends import by_hand, classes_by_hand, inputs_by_hand
from tests.support.watching import read


def train(folder, model, criterion, batches, call=None, *, watched=True, **options):
    """Train on batches of (inputs, targets); return what the criterion got at each step, and the weights.

    Args:
        folder: Of the run.
        model: The model.
        criterion: The loss.
        batches: What is trained on; a step each.
        call: Returns the loss, called with the criterion, outputs and targets.
        watched: Whether it is.
        options: Of `watch`.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    with NetVizWriter(folder) as writer:
        if watched:
            writer.watch(model, optimizer, criterion, every=1, **options)
        for inputs, targets in batches:
            outputs = model(inputs)
            loss = (call or (lambda criterion, *pair: criterion(*pair)))(criterion, outputs, targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append((inputs, outputs, targets))
    return seen


def assert_columns(found, *expected, relative=1e-5, names=None):
    """Compare the columns of one step; those that `expected` doesn't have are NaN."""
    wanted = {name: value for part in expected for name, value in part.items()}
    for column in names or [column.id for column in OUTPUT_COLUMNS]:
        value = wanted.get(column, math.nan)
        assert found[column] == pytest.approx(value, rel=relative, abs=1e-5, nan_ok=True), column


def array(tensor):
    return tensor.detach().double().numpy()


def classifier(features=6, classes=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, classes))


def labelled(batches=3, samples=10, features=6, classes=4):
    torch.manual_seed(1)
    return [(torch.randn(samples, features), torch.randint(0, classes, (samples,))) for _ in range(batches)]


def test_class_indices(tmp_path):
    seen = train(tmp_path, classifier(), nn.CrossEntropyLoss(), labelled())
    recording = read(tmp_path)
    assert recording.description.criterion == "CrossEntropyLoss"
    for step, (inputs, outputs, targets) in enumerate(seen):
        expected = by_hand(array(outputs), targets.numpy(), 1), inputs_by_hand(array(inputs))
        assert_columns(recording.outputs[step], *expected)
    classes = sum(classes_by_hand(array(outputs), targets.numpy()) for _, outputs, targets in seen)
    np.testing.assert_allclose(sum(recording.classes.values()), classes, rtol=1e-5)


def test_the_loss_that_is_computed_is_that_of_the_criterion(tmp_path):
    train(tmp_path, classifier(), nn.CrossEntropyLoss(), labelled())
    recording = read(tmp_path)
    losses = [value for _, _, value in recording.metrics["netviz/train_loss"]]
    found = [columns["loss_sum"] / columns["labelled"] for columns in recording.outputs.values()]
    assert found == pytest.approx(losses, rel=1e-5)


def test_indices_that_the_loss_ignores_do_not_count(tmp_path):
    batches = [(inputs, targets.where(targets != 2, -100)) for inputs, targets in labelled()]
    seen = train(tmp_path / "default", classifier(), nn.CrossEntropyLoss(), batches)
    found = read(tmp_path / "default").outputs
    for step, (inputs, outputs, targets) in enumerate(seen):
        assert_columns(found[step], by_hand(array(outputs), targets.numpy(), 1), inputs_by_hand(array(inputs)))
    seen = train(tmp_path / "own", classifier(), nn.CrossEntropyLoss(ignore_index=1), labelled())
    found = read(tmp_path / "own").outputs
    for step, (inputs, outputs, targets) in enumerate(seen):
        assert_columns(found[step], by_hand(array(outputs), targets.numpy(), 1, 1), inputs_by_hand(array(inputs)))


def test_regression(tmp_path):
    batches = [(inputs, torch.randn(10, 4) * 30) for inputs, _ in labelled()]
    seen = train(tmp_path, classifier(), nn.MSELoss(), batches)
    recording = read(tmp_path)
    assert recording.description.criterion == "MSELoss"
    assert not recording.classes
    for step, (inputs, outputs, targets) in enumerate(seen):
        assert_columns(
            recording.outputs[step], by_hand(array(outputs), array(targets), 2), inputs_by_hand(array(inputs))
        )


def test_targets_that_are_broadcast_are_others(tmp_path):
    batches = [(inputs, torch.randn(10)) for inputs, _ in labelled()]
    with pytest.warns(UserWarning, match="target size"):
        seen = train(tmp_path, classifier(classes=1), nn.MSELoss(), batches)
    _, outputs, targets = seen[0]
    (inputs, *_) = seen[0]
    assert_columns(read(tmp_path).outputs[0], by_hand(array(outputs), array(targets), 3), inputs_by_hand(array(inputs)))


def test_binary_cross_entropy_of_a_vector_of_logits(tmp_path):
    model = nn.Sequential(nn.Linear(6, 1), nn.Flatten(0))
    batches = [(inputs, (targets > 1).float()) for inputs, targets in labelled()]
    seen = train(tmp_path, model, nn.BCEWithLogitsLoss(), batches)
    for step, (inputs, outputs, targets) in enumerate(seen):
        expected = by_hand(array(outputs)[:, None], array(targets), 2), inputs_by_hand(array(inputs))
        assert_columns(read(tmp_path).outputs[step], *expected)


@pytest.mark.parametrize("layout", ["classes first", "classes last", "flattened"])
def test_token_sequences(tmp_path, layout):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(12, 5), nn.Linear(5, 7))
    batches = [(torch.randint(0, 12, (4, 6)), torch.randint(0, 7, (4, 6))) for _ in range(2)]

    def call(criterion, outputs, targets):
        if layout == "classes first":
            return criterion(outputs.transpose(1, 2), targets)
        return criterion(outputs.reshape(-1, 7), targets.reshape(-1))

    seen = train(tmp_path, model, nn.CrossEntropyLoss(), batches, call)
    recording = read(tmp_path)
    for step, (inputs, outputs, targets) in enumerate(seen):
        rows, labels = array(outputs).reshape(-1, 7), targets.numpy().ravel()
        assert_columns(recording.outputs[step], by_hand(rows, labels, 1), inputs_by_hand(inputs.numpy(), 1))


def test_observed_sequences_with_classes_last_and_flattened_targets(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(5, 7)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        outputs, targets = model(torch.randn(4, 6, 5)), torch.randint(0, 7, (24,))
        loss = nn.functional.cross_entropy(outputs.flatten(0, 1), targets)
        writer.observe(outputs=outputs, targets=targets, loss=loss)
        loss.backward()
        optimizer.step()
    recording = read(tmp_path)
    expected = by_hand(array(outputs).reshape(-1, 7), targets.numpy(), 1)
    assert_columns(recording.outputs[0], expected, names=expected)
    ((_, _, found),) = recording.metrics["netviz/train_loss"]
    assert found == pytest.approx(loss.item())


def test_images_have_channels_and_maps_have_classes(tmp_path):
    torch.manual_seed(0)
    model = nn.Conv2d(3, 5, 3, padding=1)
    inputs = torch.randn(4, 3, 6, 7) * torch.tensor([1.0, 10.0, 0.1]).view(1, 3, 1, 1)
    batches = [(inputs, torch.randint(0, 5, (4, 6, 7)))]
    seen = train(tmp_path, model, nn.CrossEntropyLoss(), batches)
    recording = read(tmp_path)
    for step, (images, outputs, targets) in enumerate(seen):
        rows = array(outputs.movedim(1, -1)).reshape(-1, 5)
        features = array(images.movedim(1, -1)).reshape(-1, 3)
        assert_columns(recording.outputs[step], by_hand(rows, targets.numpy().ravel(), 1), inputs_by_hand(features))
    assert recording.outputs[0]["in_std_max"] / recording.outputs[0]["in_std_min"] == pytest.approx(100, rel=0.3)


def test_sequences_before_a_convolution_have_channels(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten())
    inputs = torch.randn(5, 2, 9) * torch.tensor([1.0, 50.0]).view(1, 2, 1)
    train(tmp_path, model, nn.MSELoss(), [(inputs, torch.zeros(5, 21))])
    expected = inputs_by_hand(array(inputs.movedim(1, -1)).reshape(-1, 2))
    assert_columns(read(tmp_path).outputs[0], expected, names=expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda criterion, outputs, targets: criterion(input=outputs, target=targets),
        lambda criterion, outputs, targets: criterion(target=targets, input=outputs),
        lambda criterion, outputs, targets: criterion(outputs, target=targets),
    ],
)
def test_a_criterion_that_is_called_with_keywords(tmp_path, call):
    seen = train(tmp_path, classifier(), nn.CrossEntropyLoss(), labelled(), call)
    found = read(tmp_path).outputs
    for step, (inputs, outputs, targets) in enumerate(seen):
        assert_columns(found[step], by_hand(array(outputs), targets.numpy(), 1), inputs_by_hand(array(inputs)))


@dataclasses.dataclass
class Prediction:
    note: str
    logits: torch.Tensor


class Wrapped(nn.Module):
    """Takes and gives what holds tensors."""

    def __init__(self):
        super().__init__()
        self.inner = classifier()

    def forward(self, batch):
        return Prediction("", self.inner(batch["x"][0]))


class OfPredictions(nn.Module):
    def forward(self, prediction, target, **_options):
        return nn.functional.cross_entropy(prediction.logits, target["label"])


def test_inputs_and_outputs_in_containers(tmp_path):
    batches = [({"x": (inputs, "note")}, {"label": targets}) for inputs, targets in labelled()]
    seen = train(tmp_path, Wrapped(), OfPredictions(), batches, lambda criterion, *pair: criterion(*pair, scale=2))
    recording = read(tmp_path)
    assert recording.description.criterion == "OfPredictions"
    for step, (inputs, outputs, targets) in enumerate(seen):
        expected = by_hand(array(outputs.logits), targets["label"].numpy(), 1)
        assert_columns(recording.outputs[step], expected, inputs_by_hand(array(inputs["x"][0])))


def test_what_is_not_finite_is_counted(tmp_path):
    batches = labelled()
    batches[1][0][0, 0] = math.nan
    batches[1][0][1, 1] = math.inf
    seen = train(tmp_path, classifier(), nn.CrossEntropyLoss(), batches[:2])
    inputs, outputs, targets = seen[1]
    found = read(tmp_path).outputs[1]
    assert_columns(found, by_hand(array(outputs), targets.numpy(), 1), inputs_by_hand(array(inputs)))
    assert found["in_nonfinite"] == 2
    assert found["out_nonfinite"] > 0
    assert found["labelled"] < 10


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_other_types(tmp_path, kind):
    batches = [(inputs.to(kind), targets.to(torch.int32)) for inputs, targets in labelled()]

    def call(criterion, outputs, targets):
        return criterion(outputs, targets.long())

    seen = train(tmp_path, classifier().to(kind), nn.CrossEntropyLoss(), batches, call)
    for step, (inputs, outputs, targets) in enumerate(seen):
        expected = by_hand(array(outputs), targets.numpy(), 1), inputs_by_hand(array(inputs))
        assert_columns(read(tmp_path).outputs[step], *expected, relative=1e-4)


def test_complex_numbers_count_by_their_magnitude(tmp_path):
    class Distance(nn.Module):
        def forward(self, outputs, targets):
            return (outputs - targets).abs().mean()

    torch.manual_seed(0)
    model = nn.Linear(3, 2, dtype=torch.complex64)
    batch = torch.randn(5, 3, dtype=torch.complex64), torch.randn(5, 2, dtype=torch.complex64)
    ((inputs, outputs, targets),) = train(tmp_path, model, Distance(), [batch])
    expected = by_hand(array(outputs.abs()), array(targets.abs()), 2), inputs_by_hand(array(inputs.abs()))
    assert_columns(read(tmp_path).outputs[0], *expected)


def test_a_loss_without_targets_and_one_without_axes(tmp_path):
    class Energy(nn.Module):
        def forward(self, outputs):
            return outputs.square().mean()

    ((inputs, outputs, _),) = train(
        tmp_path, nn.Linear(3, 1), Energy(), [(torch.ones(3), None)], lambda criterion, outputs, _: criterion(outputs)
    )
    found = read(tmp_path).outputs[0]
    expected = by_hand(array(outputs).reshape(-1, 1)), inputs_by_hand(array(inputs).reshape(-1, 1))
    assert_columns(found, *expected)
    batches = [(torch.ones(1, 3), torch.tensor(2.0))]

    def call(criterion, outputs, targets):
        return criterion(outputs.sum(), targets)

    train(tmp_path / "0-d", nn.Linear(3, 1), nn.MSELoss(), batches, call)
    found = read(tmp_path / "0-d").outputs[0]
    assert (found["out_values"], found["out_samples"], found["out_classes"]) == (1, 1, 1)
    assert (found["target_kind"], found["target_sum"]) == (2, 2)


def test_one_sample_without_a_batch(tmp_path):
    ((_, outputs, targets),) = train(tmp_path, classifier(), nn.CrossEntropyLoss(), [(torch.randn(6), torch.tensor(3))])
    expected = by_hand(array(outputs).reshape(1, -1), targets.numpy().reshape(1), 1)
    assert_columns(read(tmp_path).outputs[0], expected, names=expected)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_an_empty_batch_is_none(tmp_path):
    batches = [*labelled(1), (torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64))]
    train(tmp_path, classifier(), nn.CrossEntropyLoss(reduction="sum"), batches)
    assert list(read(tmp_path).outputs) == [0]


def test_a_large_batch_is_sampled(tmp_path):
    torch.manual_seed(0)
    ((inputs, outputs, targets),) = train(
        tmp_path, nn.Linear(64, 512), nn.CrossEntropyLoss(), [(torch.randn(4096, 64), torch.randint(0, 512, (4096,)))]
    )
    found = read(tmp_path).outputs[0]
    expected = by_hand(array(outputs)[::65], targets.numpy()[::65], 1)  # 64, 65 has no divisor in common with 4,096.
    assert_columns(found, expected, names=expected)
    assert found["in_sum"] / found["in_values"] == pytest.approx(inputs.mean().item(), abs=0.02)


@pytest.mark.parametrize("last", [False, True])
def test_large_maps_are_sampled_beside_their_targets(tmp_path, last):
    torch.manual_seed(0)
    model = nn.Conv2d(3, 5, 1)
    images, labels = torch.randn(6, 3, 60, 90), torch.randint(0, 5, (6, 60, 90))
    images = images.contiguous(memory_format=torch.channels_last) if last else images
    ((_, outputs, _),) = train(tmp_path, model, nn.CrossEntropyLoss(), [(images, labels)])
    found = read(tmp_path).outputs[0]
    rows = array(outputs.movedim(1, -1)).reshape(6, -1, 5)[:, ::11]  # 11 has no divisor in common with 60 x 90.
    expected = by_hand(rows.reshape(-1, 5), labels.numpy().reshape(6, -1)[:, ::11].ravel(), 1)
    assert_columns(found, expected, names=expected)
    assert 0.8 * (1 << 14) < found["out_values"] <= 1 << 14


def test_of_many_classes_none_is_recorded_by_itself(tmp_path):
    train(tmp_path, nn.Linear(2, 1001), nn.CrossEntropyLoss(), [(torch.randn(4, 2), torch.arange(4))])
    recording = read(tmp_path)
    assert recording.outputs[0]["labelled"] == 4
    assert not recording.classes
