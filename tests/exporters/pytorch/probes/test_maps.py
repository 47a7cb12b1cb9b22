"""What is drawn is what the modules return, within the steps of grey that a picture has."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import assert_shown, read_album
from tests.support.small_networks import Convolutions, Recurrent, Transformer, digits


def train(model, folder, inputs, *, steps=3, learn=None, **options):
    """Train for some steps with a probe at each, and return what it wrote; the model is as after the last one."""
    torch.manual_seed(1)
    pictures, classes = digits(128)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer)
        writer.watch_activation_maps(inputs, every=1, **options)
        for _ in range(steps):
            if learn is None:
                nn.functional.cross_entropy(model(pictures), classes).backward()
            else:
                learn(model).backward()
            optimizer.step()
            optimizer.zero_grad()
    return read_album(folder)


def heard(model, name, inputs):
    """Return what the module of that name returns in eval mode."""
    kept = []
    handle = model.get_submodule(name).register_forward_hook(lambda *call: kept.append(call[-1]))
    model.eval()
    with torch.no_grad():
        model(inputs)
    handle.remove()
    return kept


def test_feature_maps_are_the_outputs_of_the_convolutions(tmp_path):
    model, (pictures, classes) = Convolutions(), digits(4)
    album = train(model, tmp_path, pictures, labels=classes)
    assert album.steps == [0, 1, 2]
    assert album.modules == [("stem", "feature_map"), ("conv", "feature_map")]
    assert album.description.labels == ("0", "1", "2", "3")
    assert album.description.kind == "images"
    for name in ("stem", "conv"):
        (output,) = heard(model, name, pictures)
        assert_shown(album.values(name, 2), output.double().numpy())
    expected = pictures.double().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(
        album.inputs / 255 * expected.max(axis=(1, 2, 3))[:, None, None, None], expected, atol=2e-3
    )


def test_attention_is_that_of_each_head(tmp_path):
    model, (pictures, _) = Transformer(), digits(3)
    album = train(model, tmp_path, pictures)
    assert album.modules == [("layer.self_attn", "attention")]
    model.eval()
    attention = model.layer.self_attn
    with torch.no_grad():
        embedded = model.embed(pictures[:, 0]).double()
        weight, bias = attention.in_proj_weight.double(), attention.in_proj_bias.double()
        query, key, _ = (embedded @ weight.T + bias).chunk(3, -1)
        query, key = (part.view(3, 8, 2, 8).transpose(1, 2) for part in (query, key))
        expected = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(8), -1)
    assert_shown(album.values("layer.self_attn", 2), expected.numpy())


def test_hidden_states_run_over_time(tmp_path):
    model, (pictures, _) = Recurrent(), digits(3)
    album = train(model, tmp_path, pictures)
    assert album.modules == [("lstm", "hidden")]
    ((states, _),) = heard(model, "lstm", pictures)
    assert_shown(album.values("lstm", 2), states.double().transpose(1, 2)[:, None].numpy())


class Attending(nn.Module):
    """Attention by torch's function, as Hugging Face's models have it, or written out."""

    def __init__(self, how, **settings):
        super().__init__()
        self.block = nn.Module()
        self.inner = Heads(how, **settings)
        self.head = nn.Linear(16, 10)

    def forward(self, pictures):
        return self.head(self.inner(pictures[:, 0]).mean(1))


class Heads(nn.Module):
    def __init__(self, how, **settings):
        super().__init__()
        self.project = nn.Linear(8, 48)
        self.how, self.settings = how, settings

    def parts(self, rows):
        return [part.view(len(rows), 8, 4, 4).transpose(1, 2) for part in self.project(rows).chunk(3, -1)]

    def forward(self, rows):
        query, key, value = self.parts(rows)
        mixed = self.how(query, key, value, **self.settings)
        return mixed.transpose(1, 2).flatten(2)


def written_out(query, key, value):
    return nn.functional.softmax(query @ key.transpose(-2, -1) * 0.5, dim=-1) @ value


def grouped(query, key, value):
    return nn.functional.scaled_dot_product_attention(query, key[:, :2], value[:, :2], enable_gqa=True)


def expected_weights(model, pictures, change=lambda scores: scores):
    with torch.no_grad():
        query, key, _ = (part.double() for part in model.inner.double().parts(pictures[:, 0].double()))
        model.inner.float()
        return torch.softmax(change(query @ key.transpose(-2, -1) / 2), -1).numpy()


MASK = torch.ones(8, 8, dtype=torch.bool).triu(-1)
BIAS = torch.linspace(-1, 1, 64).view(8, 8)


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({}, lambda scores: scores),
        ({"is_causal": True}, lambda scores: scores.masked_fill(~torch.ones(8, 8, dtype=torch.bool).tril(), -math.inf)),
        ({"attn_mask": MASK}, lambda scores: scores.masked_fill(~MASK, -math.inf)),
        ({"attn_mask": BIAS, "scale": 1.0}, lambda scores: 2 * scores + BIAS),
        ({"dropout_p": 0.5}, lambda scores: scores),
    ],
    ids=["plain", "causal", "mask", "bias and scale", "dropout"],
)
def test_attention_by_function_is_seen_and_named_after_its_module(tmp_path, settings, change):
    model, (pictures, _) = Attending(nn.functional.scaled_dot_product_attention, **settings), digits(3)
    album = train(model, tmp_path, pictures)
    assert album.modules == [("inner", "attention")]
    assert_shown(album.values("inner", 2), expected_weights(model, pictures, change))


def test_attention_that_is_written_out_is_seen(tmp_path):
    model, (pictures, _) = Attending(written_out), digits(3)
    album = train(model, tmp_path, pictures)
    assert_shown(album.values("inner", 2), expected_weights(model, pictures))


def test_heads_that_share_keys_are_told_apart(tmp_path):
    model, (pictures, _) = Attending(grouped), digits(3)
    album = train(model, tmp_path, pictures)
    with torch.no_grad():
        query, key, _ = model.inner.parts(pictures[:, 0])
        expected = torch.softmax(query.double() @ key[:, [0, 0, 1, 1]].double().transpose(-2, -1) / 2, -1).numpy()
    assert_shown(album.values("inner", 2), expected)


class Sequences(nn.Module):
    """All kinds of layers that read sequences or volumes."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(8, 5, 3)
        self.conv3 = nn.Conv3d(1, 4, (3, 3, 3), padding=1)
        self.gru = nn.GRU(8, 6, bidirectional=True)
        self.packed = nn.RNN(8, 7, batch_first=True)

    def forward(self, pictures):
        rows = pictures[:, 0]
        lengths = torch.tensor([8 - (place % 4) for place in range(len(rows))])
        packing = nn.utils.rnn.pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
        packed, _ = self.packed(packing)
        gru, _ = self.gru(rows.transpose(0, 1))
        volume = self.conv3(pictures[:, :, None].repeat(1, 1, 4, 1, 1))
        return self.conv1(rows).mean() + volume.mean() + gru.mean() + packed.data.mean()


def test_sequences_volumes_and_packed_sequences_have_maps(tmp_path):
    model, (pictures, _) = Sequences(), digits(5)
    album = train(model, tmp_path, pictures, learn=lambda model: model(digits(16)[0]))
    outputs = {name: heard(model, name, pictures)[0] for name in ("conv1", "conv3", "gru", "packed")}
    assert_shown(album.values("conv1", 2), outputs["conv1"].double()[:, :, None].numpy())
    assert_shown(album.values("conv3", 2), outputs["conv3"].double()[:, :, 2].numpy())
    assert_shown(album.values("gru", 2), outputs["gru"][0].double().permute(1, 2, 0)[:, None].numpy())
    padded, _ = nn.utils.rnn.pad_packed_sequence(outputs["packed"][0], batch_first=True)
    assert_shown(album.values("packed", 2), padded.double().transpose(1, 2)[:, None].numpy())
    assert album.reasons["conv3"] == "only the middle slice of 4 is kept"


def test_what_is_larger_is_averaged_by_area_and_said(tmp_path):
    model: Any = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.LazyLinear(1))
    inputs = torch.randn(2, 1, 128, 192)
    model(inputs)
    album = train(model, tmp_path, inputs, learn=lambda model: model(inputs).mean())
    (output,) = heard(model, "0", inputs)
    blocks = output.double().numpy().reshape(2, 2, 64, 2, 64, 3).mean(axis=(3, 5))
    assert_shown(album.values("0", 2), blocks)
    assert album.reasons["0"] == "its maps of 128×192 are averaged down to 64×64"
    assert album.inputs.shape == (2, 128, 192, 1)


def test_values_that_are_not_finite_are_left_out_of_the_range_and_said(tmp_path):
    model: Any = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.Flatten(), nn.LazyLinear(1))
    inputs = torch.rand(1, 1, 4, 4) + 1
    inputs[0, 0, 0, 0] = math.inf
    model(torch.ones(1, 1, 4, 4))
    with torch.no_grad():
        model[0].weight[:, 0, 0, 0] = torch.tensor([1.0, math.nan, 0.5])
    album = train(model, tmp_path, inputs, steps=1, learn=lambda model: model[2].weight.sum())
    (source,) = album.description.maps
    ranges, pictures = album.ranges[source.ranges][0], album.pictures[source.pictures][0]
    finite = inputs.flatten()[1:]
    np.testing.assert_allclose(ranges[0, 0], [float(finite.min()), float(finite.max()), 1])
    assert np.isnan(ranges[0, 1, :2]).all()
    assert ranges[0, :, 2].tolist() == [1, 16, 1]
    assert pictures[0, 0, 0, 0] == 0
    assert not pictures[0, 1].any()
    assert album.reasons["0"] == "values that are NaN or infinite, first at step 0, are drawn as the lowest"


def test_extreme_and_constant_values_have_ranges(tmp_path):
    model: Any = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.LazyLinear(1))
    inputs = torch.tensor([-1.0, 0.0, 0.5, 1.0]).view(1, 1, 2, 2)
    model(inputs)
    with torch.no_grad():
        model[0].weight[:, 0, 0, 0] = torch.tensor([3e38, 0.0, 1e-40])
        model[0].bias[:] = torch.tensor([0.0, -7.5, 0.0])
    album = train(model, tmp_path, inputs, steps=1, learn=lambda model: model[2].weight.sum())
    (source,) = album.description.maps
    ranges, pictures = album.ranges[source.ranges][0][0], album.pictures[source.pictures][0][0]
    np.testing.assert_allclose(ranges[:2], [[-3e38, 3e38, 0], [-7.5, -7.5, 0]], rtol=1e-6)
    assert pictures[0].flatten().tolist() == [0, 128, 191, 255]
    assert not pictures[1].any()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, pictures):
        return {"rows": (self.fc(self.conv(self.conv(pictures))[:, 0]),)}


def test_a_module_that_runs_twice_is_kept_apart_and_patterns_choose(tmp_path):
    model, (pictures, _) = Twice(), digits(3)
    album = train(
        model, tmp_path, pictures, modules=["conv", "f?"], learn=lambda model: model(pictures)["rows"][0].sum()
    )
    assert album.modules == [("conv", "feature_map"), ("conv#2", "feature_map"), ("fc", "hidden")]
    first, second = heard(model, "conv", pictures)
    assert_shown(album.values("conv", 2), first.double().numpy())
    assert_shown(album.values("conv#2", 2), second.double().numpy())
    (rows,) = heard(model, "fc", pictures)
    assert_shown(album.values("fc", 2), rows.double().transpose(1, 2)[:, None].numpy())


def test_all_modules_may_be_asked_for_and_those_without_maps_are_named(tmp_path):
    model, (pictures, _) = Convolutions(), digits(3)
    album = train(model, tmp_path, pictures, modules="*")
    assert [name for name, _ in album.modules] == ["stem", "norm", "conv", "drop", "head", "Convolutions"]
    (scores,) = heard(model, "head", pictures)
    assert_shown(album.values("head", 2), scores.double()[:, None, :, None].numpy())
    assert album.values("norm", 2).min() < 0  # Read before the ReLU that works in place.


class Windows(nn.Module):
    """Folds windows of the picture into the batch."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.head = nn.Conv2d(2, 10, 2)

    def forward(self, pictures):
        return self.head(self.conv(pictures.view(-1, 1, 4, 4))).view(len(pictures), 4, 10).mean(1)


def test_an_output_that_is_not_by_sample_is_left_out_and_said(tmp_path):
    model, (pictures, _) = Windows(), digits(3)
    with pytest.warns(UserWarning, match="no module that was looked at made any"):
        album = train(model, tmp_path, pictures)
    assert album.modules == []
    assert album.reasons["conv"] == "its output has the shape (12, 2, 2, 2), where the probe has 3 samples"
