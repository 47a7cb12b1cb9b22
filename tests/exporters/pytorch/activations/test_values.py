"""What is recorded of outputs, against float64 computations by hand from the same outputs."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.statistics import native
from tests.support.watching import read

BATCH = 4  # Of so few samples all are counted.
STEPS = 4


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(3 * 16, 5)
        self.squash = nn.Tanh()
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        hidden = self.act(self.norm(self.conv(x)))
        return self.head(self.squash(self.fc(hidden.flatten(1))))


class Outputs:
    """Copies of outputs and their gradients, taken by hooks of the test's own."""

    def __init__(self, model, names):
        self.values, self.gradients = {}, {}
        self._pass = 0
        for name in names:
            model.get_submodule(name).register_forward_hook(self._keeper(name))

    def _keeper(self, name):
        def keep(_module, _arguments, output):
            output = output[0] if isinstance(output, tuple) else output
            self.values.setdefault(name, []).append(output.detach().double().numpy().copy())
            output.register_hook(lambda gradient: self.gradients.setdefault(name, []).append(gradient.double().numpy()))

        return keep

    def take(self):
        values, gradients = self.values, self.gradients
        self.values, self.gradients = {}, {}
        return values, gradients


def by_unit(arrays, axis):
    """Return [units, samples, values]."""
    moved = [np.moveaxis(array, axis, 0) for array in arrays]
    rows = [array.reshape(array.shape[0], array.shape[1], -1) for array in moved]
    return np.concatenate(rows, axis=1)


def expected_units(values, gradients, flat):
    samples = values.shape[1]
    every = values.reshape(len(values), -1)
    return {
        "fired": (values > 0).any(2).mean(1),
        "mean": every.mean(1),
        "std": every.std(1),
        "largest": every.max(1),
        "saturated": ((every <= flat[0]) | (every >= flat[1])).mean(1),
        "gradient": np.sqrt(np.square(gradients).sum((1, 2)) / samples),
    }


def expected_row(values, gradients, flat):
    return {
        "act_values": values.size,
        "act_samples": values.shape[1],
        "act_sum": values.sum(),
        "act_norm": math.sqrt(np.square(values).sum()),
        "act_abs_max": np.abs(values).max(),
        "act_zeros": (values == 0).sum(),
        "act_saturated": ((values <= flat[0]) | (values >= flat[1])).sum(),
        "act_nonfinite": 0,
        "act_grad_norm": math.sqrt(np.square(gradients).sum()),
        "act_within_norm": expected_within(values),
    }


def expected_within(values):
    if values.shape[2] == 1:
        return math.nan
    return math.sqrt(np.square(values - values.mean(2, keepdims=True)).sum())


def assert_recorded(recording, step, name, values, gradients, flat=(-math.inf, math.inf)):
    for column, value in expected_row(values, gradients, flat).items():
        found = recording.activations[step][name][column]
        np.testing.assert_allclose(found, value, rtol=2e-5, atol=1e-5, err_msg=f"{step} {name} {column}")
    for column, units in expected_units(values, gradients, flat).items():
        found = [row[column] for row in recording.units[step][name]]
        np.testing.assert_allclose(found, units, rtol=2e-4, atol=2e-6, err_msg=f"{step} {name} {column}")
    assert recording.unit_steps[step][name] == {
        "span": 1,
        "observations": 1,
        "samples": values.shape[1],
        "counted": values.shape[1],
    }


def train(folder, model, batches, *, scaler=None, **options):
    """Train on the batches of each step, accumulated; yield the step after each of them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1, histograms=False, **options)
        for step, parts in enumerate(batches):
            for x in parts:
                loss = model(x).square().mean()
                (loss if scaler is None else scaler.scale(loss)).backward()
            optimizer.step() if scaler is None else scaler.step(optimizer)
            if scaler is not None:
                scaler.update()
            optimizer.zero_grad()
            yield step


SITES = {"conv": 1, "act": 1, "fc": -1, "squash": -1, "head": -1}
FLAT = {"squash": (-np.float32(0.99), np.float32(0.99))}


def images(count=1):
    generator = torch.Generator().manual_seed(3)
    return [[torch.randn(BATCH, 2, 6, 6, generator=generator) for _ in range(count)] for _ in range(STEPS)]


@pytest.mark.parametrize("accumulated", [1, 3])
def test_columns_and_units_of_a_convolutional_network(tmp_path, accumulated):
    torch.manual_seed(0)
    model = Convolutional()
    outputs = Outputs(model, SITES)
    taken = [outputs.take() for _ in train(tmp_path, model, images(accumulated))]
    recording = read(tmp_path)
    for step, (values, gradients) in enumerate(taken):
        for name, axis in SITES.items():
            assert_recorded(
                recording,
                step,
                name,
                by_unit(values[name], axis),
                by_unit(gradients[name], axis),
                FLAT.get(name, (-math.inf, math.inf)),
            )


def test_where_an_activation_stands(tmp_path):
    model = Convolutional()
    assert len(list(train(tmp_path, model, images()))) == STEPS
    found = {row.name: row for row in read(tmp_path).description.activations}
    modules = [module.name for module in read(tmp_path).description.modules]
    assert list(found) == list(SITES)
    assert [(row.kind, row.response, row.units, row.unit) for row in found.values()] == [
        ("Conv2d", "", 3, "channel"),
        ("ReLU", "rectifier", 3, "channel"),
        ("Linear", "", 5, "feature"),
        ("Tanh", "bounded", 5, "feature"),
        ("Linear", "", 2, "feature"),
    ]
    assert [modules[row.source] for row in found.values()] == ["conv", "conv", "fc", "fc", "head"]
    assert found["act"].shape == (BATCH, 3, 4, 4)


def test_values_that_are_not_finite_are_found_in_every_sample(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5), nn.Tanh())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, histograms=False)
        for sample in range(8):
            batch = torch.randn(32, 2, 6, 6)
            batch[10 + sample] = math.nan
            model(batch).square().mean().backward()
            for value in model.parameters():
                value.grad.zero_()  # The weights stay what they are.
            optimizer.step()
    recorded = read(tmp_path).activations
    assert len(recorded) == 8
    for step, rows in recorded.items():
        assert all(row["act_nonfinite"] > 0 for row in rows.values()), step


def test_the_loss_scale_is_taken_out_of_gradients(tmp_path):
    torch.manual_seed(0)
    model = Convolutional()
    outputs = Outputs(model, SITES)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    taken = [outputs.take() for _ in train(tmp_path, model, images(), scaler=scaler)]
    recording = read(tmp_path)
    for step, (_, gradients) in enumerate(taken):
        norm = math.sqrt(sum(np.square(array / 1024.0).sum() for array in gradients["fc"]))
        assert recording.activations[step]["fc"]["act_grad_norm"] == pytest.approx(norm, rel=1e-4)


class Functional(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.second = nn.Linear(5, 4)
        self.act = act

    def forward(self, x):
        x = self.act(self.first(x))
        return self.act(self.second(x))


FUNCTIONS = {
    "F.relu": (F.relu, "relu", "rectifier"),
    "in place": (lambda x: F.relu(x.clone(), inplace=True), "relu", "rectifier"),
    "method": (lambda x: x.relu(), "relu", "rectifier"),
    "method in place": (lambda x: x.clone().relu_(), "relu", "rectifier"),
    "clamp": (lambda x: x.clamp(min=0), "clamp", "rectifier"),
    "relu6": (F.relu6, "relu6", "rectifier"),
    "gelu": (F.gelu, "gelu", "smooth"),
    "silu": (F.silu, "silu", "smooth"),
    "leaky_relu": (F.leaky_relu, "leaky_relu", "smooth"),
    "torch.tanh": (torch.tanh, "tanh", "bounded"),
    "torch.sigmoid": (torch.sigmoid, "sigmoid", "bounded"),
    "softmax": (lambda x: x.softmax(-1), "softmax", "softmax"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_found_where_they_are_called(tmp_path, name):
    function, kind, response = FUNCTIONS[name]
    torch.manual_seed(0)
    model = Functional(function)
    batches = [[torch.randn(BATCH, 6)] for _ in range(STEPS)]
    for _ in train(tmp_path, model, batches):
        pass
    rows = read(tmp_path).description.activations
    assert [row.name for row in rows] == ["first", kind, "second", f"{kind}#2"]
    assert [row.response for row in rows] == ["", response, "", response]
    assert [row.units for row in rows] == [5, 5, 4, 4]
    assert rows[1].place.startswith("test_values.py:")
    assert [row.source for row in rows] == [1, 1, 2, 2]


def test_values_of_a_function(tmp_path):
    torch.manual_seed(0)
    model, seen = Functional(torch.relu), []
    model.second.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0].detach().double()))
    for _ in train(tmp_path, model, [[torch.randn(BATCH, 6)] for _ in range(STEPS)]):
        pass
    recording = read(tmp_path)
    for step in range(1, STEPS):  # The first pass is left alone.
        found = recording.activations[step]["relu"]
        values = seen[step].numpy()
        assert found["act_zeros"] == (values == 0).sum()
        assert found["act_sum"] == pytest.approx(values.sum(), rel=1e-5)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)

    def forward(self, x):
        parts = self.project(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


def test_heads_are_units_of_attention(tmp_path):
    model = Attention()
    for _ in train(tmp_path, model, [[torch.randn(BATCH, 5, 8)] for _ in range(STEPS)]):
        pass
    (row,) = [row for row in read(tmp_path).description.activations if row.kind == "scaled_dot_product_attention"]
    assert (row.unit, row.units, row.response) == ("head", 2, "")


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.act = nn.Linear(6, 6), nn.Linear(6, 6), nn.ReLU()

    def forward(self, x):
        return self.act(self.b(self.act(self.a(x))))


def test_a_module_that_is_used_twice_has_two_rows(tmp_path):
    model = Twice()
    for _ in train(tmp_path, model, [[torch.randn(BATCH, 6), torch.randn(BATCH, 6)] for _ in range(STEPS)]):
        pass
    recording = read(tmp_path)
    assert [row.name for row in recording.description.activations] == ["a", "act", "b", "act#2"]
    assert [row.source for row in recording.description.activations] == [1, 1, 3, 3]
    assert recording.unit_steps[1]["act#2"]["samples"] == 2 * BATCH


class Looping(nn.Module):
    """A recurrent network that is written out, with sequences of any length."""

    def __init__(self):
        super().__init__()
        self.cell, self.act, self.head = nn.Linear(6 + 5, 5), nn.Tanh(), nn.Linear(5, 1)

    def forward(self, x):
        hidden = x.new_zeros(len(x), 5)
        for time in x.unbind(1):
            hidden = torch.sigmoid(self.act(self.cell(torch.cat([time, hidden], 1))))
        return self.head(hidden)


def test_loops_have_no_more_rows_the_longer_they_are(tmp_path):
    lengths = [2, 9, 12, 30]
    model = Looping()
    for _ in train(tmp_path, model, [[torch.randn(BATCH, length, 6)] for length in lengths]):
        pass
    recording = read(tmp_path)
    names = [row.name for row in recording.description.activations]
    expected = {
        f"{name}{suffix}"
        for name in ("cell", "act", "sigmoid")
        for suffix in ("", *(f"#{n}" for n in range(2, 8)), "#8+")
    }
    assert set(names) == expected | {"head"}
    assert recording.unit_steps[3]["act#8+"]["samples"] == BATCH * (30 - 7)
    assert recording.unit_steps[3]["act#7"]["samples"] == BATCH


def test_wide_outputs_without_a_bend_have_no_units(tmp_path):
    model = nn.Sequential(nn.Linear(6, 300), nn.ReLU(), nn.Linear(300, 257), nn.Linear(257, 3))
    for _ in train(tmp_path, model, [[torch.randn(BATCH, 6)] for _ in range(STEPS)]):
        pass
    recording = read(tmp_path)
    assert [row.units for row in recording.description.activations] == [0, 300, 0, 3]
    assert {name: len(rows) for name, rows in recording.units[1].items()} == {"1": 300, "3": 3}
    assert recording.activations[1]["2"]["act_values"] == 257 * BATCH


@pytest.mark.parametrize("kernels", [True, False])
def test_what_deviates_within_an_entry_is_of_places_that_are_one_units(tmp_path, monkeypatch, kernels):
    if not kernels:
        monkeypatch.setattr(native, "_native", None)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 300), nn.Flatten(0, 1), nn.Linear(300, 3))
    outputs = Outputs(model, ["0", "1"])
    found = {}
    for step, _ in enumerate(train(tmp_path, model, [[torch.randn(BATCH, 5, 6)] for _ in range(STEPS)])):
        values, _ = outputs.take()
        found[step] = {name: arrays[0] for name, arrays in values.items()}
    recording = read(tmp_path)
    for step, tables in found.items():
        rows = recording.activations[step]
        for name, table in tables.items():
            deviations = np.sqrt(np.square(table - table.mean(1, keepdims=True)).sum())
            assert rows[name]["act_within_norm"] == pytest.approx(deviations, rel=1e-4)
        # Units that are reduced as if they were one have no means of their own; then places are entries.
        assert math.isnan(rows["2"]["act_within_norm"])
        assert math.isnan(rows["4"]["act_within_norm"])


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
        self.head = nn.Linear(6, 1)
        self.reentrant = reentrant

    def forward(self, x):
        return self.head(checkpoint(self.body, x, use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_checkpoint_computes_again_is_not_counted_twice(tmp_path, reentrant):
    model = Checkpointed(reentrant)
    for _ in train(tmp_path, model, [[torch.randn(BATCH, 6).requires_grad_()] for _ in range(STEPS)]):
        pass
    recording = read(tmp_path)
    assert [row.name for row in recording.description.activations] == ["body.0", "body.1", "head"]
    assert recording.unit_steps[1]["body.1"]["samples"] == BATCH
    assert recording.activations[1]["body.1"]["act_samples"] == BATCH


class Recurrent(nn.Module):
    def __init__(self, kind, packed):
        super().__init__()
        self.body = kind(6, 5, batch_first=True)
        self.head = nn.Linear(5, 1)
        self.packed = packed

    def forward(self, x):
        if self.packed:
            x = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4, 3, 2, 1]), batch_first=True)
        output, _ = self.body(x)
        return self.head(output.data if self.packed else output)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("packed", [False, True])
def test_recurrent_layers(tmp_path, kind, packed):
    model = Recurrent(kind, packed)
    for _ in train(tmp_path, model, [[torch.randn(BATCH, 4, 6)] for _ in range(STEPS)]):
        pass
    recording = read(tmp_path)
    row = recording.description.activations[0]
    assert (row.name, row.units, row.unit) == ("body", 5, "feature")
    assert recording.unit_steps[1]["body"]["samples"] == (10 if packed else 16)  # Steps in time of all sequences.


@pytest.mark.parametrize(
    "shape", [(0, 6), (1, 6), (6,), (2, 3, 6), (2, 2, 2, 2, 6)], ids=["no samples", "one", "1-D", "3-D", "5-D"]
)
def test_outputs_of_any_shape(tmp_path, shape, recwarn):
    model = Functional(torch.relu)
    for _ in train(tmp_path, model, [[torch.randn(shape)] for _ in range(STEPS)]):
        pass
    assert [str(warning.message) for warning in recwarn if "netviz" in str(warning.message)] == []
    samples = int(np.prod(shape[:-1]))
    recording = read(tmp_path)
    if samples > 1:
        assert recording.unit_steps[1]["first"]["samples"] == samples


def test_nothing_is_recorded_of_an_evaluation(tmp_path):
    model = Convolutional()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, histograms=False)
        for (x,) in images():
            model.eval()
            with torch.no_grad():
                model(torch.randn(32, 2, 6, 6))
            model.train()
            model(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert {row["act"]["samples"] for row in read(tmp_path).unit_steps.values()} == {BATCH}


def test_without_activations_nothing_of_them_is_written(tmp_path):
    model = Convolutional()
    for _ in train(tmp_path, model, images(), activations=False):
        pass
    recording = read(tmp_path)
    assert recording.description.activations == ()
    assert not recording.activations
    assert not recording.units


def test_sampled_sums_and_maxima_over_all_samples(tmp_path):
    """Every eighth sample is counted; a unit that fires for one of the others has fired all the same."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(64))
        model[0].bias.zero_()
    x = -torch.ones(64, 64) + 3 * torch.eye(64)  # Sample i makes unit i fire.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, histograms=False)
        for _ in range(8):
            model(x).sum().backward()
            optimizer.step()
    recording = read(tmp_path)
    counted = set()
    for step in range(8):
        assert [row["largest"] for row in recording.units[step]["1"]] == [2.0] * 64
        fired = {unit for unit, row in enumerate(recording.units[step]["1"]) if row["fired"] > 0}
        assert recording.unit_steps[step]["1"] == {"span": 1, "observations": 1, "samples": 64, "counted": 8}
        assert len(fired) == 8
        counted |= fired
    assert counted == set(range(64))  # Others at each step.
