"""What stands in the log folder: within its bytes, and in the Images dashboard too; and what is refused in words."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import read_album
from tests.support.probed import steps_of
from tests.support.small_networks import Convolutions, digits
from tests.support.watching import events_in


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Convolutions()


@pytest.fixture
def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.01)


@pytest.fixture
def pictures():
    return digits(4)[0]


def test_a_budget_of_bytes_is_kept_and_its_end_is_said(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        probe = writer.watch_activation_maps(pictures, every=1, budget_bytes=21_000)
        with pytest.warns(NetVizWarning, match=r"the budget of 21,000 bytes is used up after 6 records, the last at"):
            steps_of(model, optimizer, 40)
        assert not probe.attached
    album = read_album(tmp_path)
    record = 4 * (6 * (64 + 12) + 8 * (36 + 12))
    assert album.bytes_written() == 6 * record <= 21_000
    assert album.steps == [0, 1, 2, 4, 6, 8]
    assert "is used up after 6 records" in album.reasons["maps"]


def test_a_record_that_is_larger_than_the_budget_is_refused_in_words(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        writer.watch_activation_maps(pictures, budget_bytes=1000)
        with pytest.warns(NetVizWarning, match=r"one record takes 3,360 bytes, more than the budget of 1,000"):
            steps_of(model, optimizer, 2)
    album = read_album(tmp_path)
    assert (album.steps, album.modules) == ([], [])
    assert "one record takes 3,360 bytes" in album.reasons["maps"]


def test_the_images_dashboard_has_grids_at_few_steps(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        writer.watch_activation_maps(pictures, every=1)
        steps_of(model, optimizer, 10)
    album = read_album(tmp_path)
    assert album.images == {f"probe/{name}/feature_map": [0, 1, 2, 4, 8] for name in ("stem", "conv")}
    (image,) = [
        value.image
        for event in events_in(tmp_path)
        for value in event.summary.value
        if value.tag == "probe/conv/feature_map" and event.step == 8
    ]
    from io import BytesIO

    from PIL import Image

    drawn = np.asarray(Image.open(BytesIO(image.encoded_image_string)))
    (source,) = [one for one in album.description.maps if one.module == "conv"]
    maps = album.pictures[source.pictures][8][0]
    assert drawn.shape[:2] == (3 * 7 - 1, 3 * 7 - 1)
    np.testing.assert_array_equal(drawn.reshape(20, 20, -1)[7:13, 14:20, 0], maps[5])


def test_no_images_where_none_are_wanted(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        writer.watch_activation_maps(pictures, every=1, images=False)
        steps_of(model, optimizer, 2)
    assert read_album(tmp_path).images == {}


def test_it_is_thinned_out_by_default(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, budget=1.0)
        writer.watch_activation_maps(pictures, images=False)
        steps_of(model, optimizer, 70)
    steps = read_album(tmp_path).steps
    assert steps[:2] == [0, 1]
    for step, following in itertools.pairwise(steps):  # On a slow machine some are put off.
        assert following >= max(step + 1, math.ceil(step * 2 ** (1 / 8)))


def test_a_second_probe_of_the_same_name_takes_the_place_of_the_first(tmp_path, model, optimizer, pictures):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        first = writer.watch_activation_maps(pictures, every=1)
        other = writer.watch_activation_maps(pictures[:2], "conv", name="other", every=1)
        steps_of(model, optimizer, 2)
        with pytest.warns(NetVizWarning, match="recorded as 'probe' already") as told:
            second = writer.watch_activation_maps(pictures[:3], every=1)
        assert told[0].filename == __file__
        assert (first.attached, other.attached, second.attached) == (False, True, True)
        steps_of(model, optimizer, 2)
        other.detach()
        steps_of(model, optimizer, 1)
    assert not second.attached
    assert read_album(tmp_path, "other").modules == [("conv", "feature_map")]
    sizes = {len(array) for sheets in read_album(tmp_path).pictures.values() for array in sheets.values()}
    assert sizes == {2, 3, 4}


def test_a_model_that_is_not_watched_counts_its_optimizers_steps(tmp_path, model, optimizer, pictures):
    other = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch_activation_maps(pictures, model=torch.nn.DataParallel(model), every=2)
        steps_of(model, optimizer, 5)
        other.step()
    assert read_album(tmp_path).steps == [0, 2, 4]
    assert read_album(tmp_path).modules == [("stem", "feature_map"), ("conv", "feature_map")]


def test_of_several_models_one_is_named(tmp_path, model, optimizer, pictures):
    other = Convolutions()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(other, name="critic")
        writer.watch(model, optimizer, name="generator")
        with pytest.raises(ValueError, match="2 models are watched; say which one with model="):
            writer.watch_activation_maps(pictures)
        writer.watch_activation_maps(pictures, model=model, every=1)
        steps_of(model, optimizer, 1)
    assert read_album(tmp_path, model="generator").steps == [0]


def test_the_users_own_steps_are_kept(tmp_path, model, optimizer, pictures):
    count = iter(range(1000, 10**6, 500))
    number = [0]

    def advance():
        number[0] = next(count)
        steps_of(model, optimizer, 1)

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, step=lambda: number[0])
        writer.watch_activation_maps(pictures, every=1000)
        for _ in range(5):
            advance()
    assert read_album(tmp_path).steps == [1000, 2000, 3000]


def test_several_arguments_may_be_given(tmp_path):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, pictures, scale=None, *, double=False):
            return self.conv(pictures * scale[:, None, None, None]) * (2 if double else 1)

    for given in (
        (torch.rand(3, 1, 8, 8), torch.ones(3)),
        {"pictures": torch.rand(3, 1, 8, 8), "scale": torch.ones(3), "double": True},
    ):
        model = Pair()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with NetVizWriter(tmp_path / type(given).__name__) as writer:
            writer.watch(model, optimizer)
            writer.watch_activation_maps(given, every=1)
            model(torch.rand(2, 1, 8, 8), torch.ones(2)).sum().backward()
            optimizer.step()
        assert read_album(tmp_path / type(given).__name__).modules == [("conv", "feature_map")]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"inputs": [1, 2]}, TypeError, "inputs must be a tensor of a handful of samples.* got list"),
        ({"inputs": torch.rand(65, 1, 8, 8)}, ValueError, "inputs must be 1 to 64 samples, got 65"),
        ({"inputs": torch.rand(0, 1, 8, 8)}, ValueError, "1 to 64 samples, got 0"),
        ({"inputs": (torch.rand(2, 3), torch.rand(3))}, ValueError, r"same number of samples.* \(2, 3\), \(3,\)"),
        ({"modules": "convs.*"}, ValueError, "no module is named 'convs.\\*'; this model has stem, norm, conv"),
        ({"modules": [3]}, TypeError, "modules must be patterns of module names .* got 3"),
        ({"labels": ["a"]}, ValueError, "labels must be one for each of the 4 samples, got 1"),
        ({"target": [1, 2]}, ValueError, "one for each of the 4 samples, got 2"),
        ({"target": 1.5}, TypeError, "target must be the index of a class"),
        ({"attribution": "lime"}, ValueError, "attribution must be some of saliency, grad_cam, got 'lime'"),
        ({"every": 0}, ValueError, "every must be a whole number of steps"),
        ({"budget_bytes": 1.5}, ValueError, "budget_bytes must be a whole number of bytes"),
        ({"model": "cnn"}, TypeError, "model must be a torch.nn.Module, got str"),
        ({"name": 3}, TypeError, "name must be a text, got 3"),
        ({"model": nn.Linear(2, 2, device="meta")}, ValueError, "meta device"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_refused_with_what_was_expected(tmp_path, model, pictures, arguments, kind, words):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model)
        with pytest.raises(kind, match=words):
            writer.watch_activation_maps(**({"inputs": pictures} | arguments))


def test_without_a_watched_model_it_says_what_to_call(tmp_path, pictures):
    with NetVizWriter(tmp_path) as writer, pytest.raises(ValueError, match=r"no models are watched; call writer.watch"):
        writer.watch_activation_maps(pictures)


def test_torchscript_is_refused_in_words(tmp_path, pictures):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.trace(nn.Conv2d(1, 2, 3), pictures)
    with NetVizWriter(tmp_path) as writer, pytest.raises(ValueError, match="TorchScript"):
        writer.watch_activation_maps(pictures, model=scripted)
