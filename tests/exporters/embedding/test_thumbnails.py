"""Pictures of any shape and range become small ones."""

import numpy as np
import pytest

from tb_netviz.embedding.thumbnails import LARGEST_SIDE, NoRoomError, digest, pictures, thumbnails

ROOM = 1 << 30


def shown(given, points=None):
    return thumbnails(pictures(given, len(given) if points is None else points), ROOM)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 8, 6), (5, 8, 6, 1)),
        ((5, 8, 6, 1), (5, 8, 6, 1)),
        ((5, 8, 6, 3), (5, 8, 6, 3)),
        ((5, 8, 6, 4), (5, 8, 6, 4)),
        ((5, 1, 8, 6), (5, 8, 6, 1)),
        ((5, 3, 8, 6), (5, 8, 6, 3)),
        ((5, 3, 64, 128), (5, 16, 32, 3)),
        ((5, 1, 300), (5, 1, 32, 1)),
    ],
)
def test_shapes(shape, expected):
    assert shown(np.zeros(shape, np.uint8)).shape == expected


def test_small_pictures_are_kept_as_they_are():
    rng = np.random.default_rng(0)
    given = rng.integers(0, 256, (3, 28, 28), np.uint8)
    np.testing.assert_array_equal(shown(given)[..., 0], given)
    np.testing.assert_array_equal(shown(given / 255)[..., 0], given)
    np.testing.assert_array_equal(shown(given > 99)[..., 0], np.where(given > 99, 255, 0))


def test_large_ones_are_averaged_by_area():
    rng = np.random.default_rng(0)
    whole = rng.random((2, 96, 64, 3))
    expected = whole.reshape(2, 32, 3, 64, 3).mean(2)  # Rows: three to one.
    found = shown(whole)
    assert found.shape == (2, 32, 21, 3)
    edges = np.linspace(0, 64, 22)
    cumulated = np.concatenate([np.zeros((2, 32, 1, 3)), expected.cumsum(2)], axis=2)
    for row in range(21):
        low, high = (_at(cumulated, edge) for edge in edges[row : row + 2])
        np.testing.assert_allclose(found[:, :, row], 255 * (high - low) / (64 / 21), atol=0.5001)


def _at(cumulated, edge):
    """Return the integral up to a place between two cells."""
    floor = min(int(edge), cumulated.shape[2] - 2)
    share = edge - floor
    return (1 - share) * cumulated[:, :, floor] + share * cumulated[:, :, floor + 1]


def test_what_goes_beyond_the_usual_range_is_drawn_over_its_own():
    given = np.array([[[-2.0, 0.0], [np.nan, 2.0]]])
    np.testing.assert_array_equal(shown(given)[0, ..., 0], [[0, 128], [0, 255]])
    np.testing.assert_array_equal(shown(np.array([[[-5, 5]]]))[0, ..., 0], [[0, 255]])
    assert shown(np.full((1, 2, 2), np.inf)).shape == (1, 2, 2, 1)


def test_they_are_made_smaller_to_fit_and_left_out_where_they_can_not():
    given = pictures(np.zeros((100, 64, 64, 3)), 100)
    assert thumbnails(given, 100 * 16 * 16 * 3).shape == (100, 16, 16, 3)
    with pytest.raises(NoRoomError, match="100 of 8×8 take more than the 1,000 bytes left"):
        thumbnails(given, 1000)


def test_more_than_a_page_of_them():
    given = np.random.default_rng(0).integers(0, 256, (5000, 4, 4), np.uint8)
    np.testing.assert_array_equal(shown(given)[..., 0], given)
    assert LARGEST_SIDE == 32


@pytest.mark.parametrize("shape", [(4, 8, 8), (5, 8), (5, 2, 8, 8), (5, 0, 8), (5, 3, 8, 8, 8)])
def test_others_are_refused(shape):
    with pytest.raises(ValueError, match=r"thumbnails must be .* with 5 points and 1, 3 or 4 channels, got \("):
        shown(np.zeros(shape), 5)


def test_other_pictures_have_another_digest():
    one = np.zeros((2, 3, 3, 1))
    assert digest(one) == digest(one.copy())
    assert len({digest(one), digest(one + 1), digest(one.astype(np.uint8)), digest(one.reshape(2, 1, 9, 1))}) == 4
