"""The picture of all thumbnails, read by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from tb_netviz.embedding.sprite import reduce, sprite


def pictures(count, height, width, channels):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 17])
def test_each_thumbnail_stands_in_its_cell_of_a_square(count, channels, mode):
    given = pictures(count, 3, 5, channels)
    image = Image.open(io.BytesIO(sprite(given)))
    side = int(np.ceil(np.sqrt(count)))
    assert (image.mode, image.size) == (mode, (5 * side, 3 * side))
    cells = np.asarray(image).reshape(side, 3, side, 5, channels).transpose(0, 2, 1, 3, 4).reshape(-1, 3, 5, channels)
    np.testing.assert_array_equal(cells[:count], given)
    assert not cells[count:].any()


def test_small_enough_thumbnails_stay_as_they_are():
    given = pictures(65_536, 32, 32, 1)
    assert reduce(given) is given


def test_thumbnails_are_averaged_until_they_fit():
    given = pictures(100, 9, 4, 3)
    small = reduce(given, largest_side=40)
    assert small.shape == (100, 3, 4, 3)
    expected = given.astype(float).reshape(100, 3, 3, 4, 3).mean(axis=2)
    assert np.abs(small - expected).max() <= 0.5


def test_a_hundred_thousand_fit():
    given = np.zeros((100_000, 32, 32, 1), np.uint8)
    _, height, width, _ = reduce(given).shape
    assert height == width == 16
    assert 317 * height <= 8192
