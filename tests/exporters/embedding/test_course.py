"""Pictures over the steps: coherent, faithful, and in words where there are none."""

import sys
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness

from tb_netviz.embedding import course as courses
from tb_netviz.embedding import landmarks, neighbours
from tb_netviz.embedding.alignment import align, drift
from tb_netviz.embedding.course import CannotPlaceError, Course, backwards
from tb_netviz.embedding.neighbours import faithfulness
from tb_netviz.embedding.pca import narrowed, principal_components
from tb_netviz.embedding.placed import FEWEST, similarity
from tb_netviz_plugin.schema.embedding import LAYOUT_COLUMNS, Method

KNOWN = set(LAYOUT_COLUMNS) - {"set", "origin_x", "origin_y", "origin_z", "scale", "dropped"}


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:300].astype(np.float32)


@pytest.fixture(params=["openTSNE", "scikit-learn"])
def library(request, monkeypatch):
    """Either library, the other one as if it were not there."""
    monkeypatch.setattr("tb_netviz.embedding.tsne.backend", lambda: request.param)
    return request.param


def apart(points):
    """Return the distances of all pairs."""
    return np.stack([np.sqrt(np.square(points - point).sum(axis=1)) for point in points])


def changed(vectors, share=0.02, seed=0):
    noise = np.random.default_rng(seed).standard_normal(vectors.shape)
    return (vectors + share * vectors.std() * noise).astype(np.float32)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_picture_keeps_neighbours_and_the_next_one_hardly_moves(digits, library, dims):
    course = Course(dims)
    first, second = course.tsne(digits), course.tsne(changed(digits))
    assert first.positions.shape == (300, dims)
    assert first.positions.dtype == np.float32
    assert set(first.figures) == set(second.figures) == KNOWN
    assert first.figures["trustworthiness"] > 0.97
    assert (first.figures["exaggerated"], second.figures["exaggerated"]) == (1, 0)
    assert np.isnan(first.figures["drift"])
    assert second.figures["drift"] < 0.1
    assert second.figures["drift"] == pytest.approx(drift(second.positions, first.positions), rel=1e-4)
    assert second.figures["similarity"] > 0.99
    assert 0 < second.figures["noise_floor"] < 0.1
    assert second.figures["fitted"] == 300


def test_vectors_that_change_much_are_laid_out_with_exaggeration_from_where_they_were(digits):
    course = Course()
    first = course.tsne(digits)
    second = course.tsne(changed(digits, 1.0))
    assert second.figures["exaggerated"] == 1
    independent = Course(seed=1).tsne(changed(digits, 1.0))
    turned = align(independent.positions, first.positions)
    assert second.figures["drift"] < 0.8 * drift(turned, first.positions)


def test_equal_seeds_give_equal_pictures_and_the_random_state_of_numpy_stays(digits):
    np.random.seed(5)  # noqa: NPY002  That of the user.
    before = np.random.random(3), np.random.seed(5)  # noqa: NPY002
    one, other = Course(seed=3).tsne(digits), Course(seed=3).tsne(digits)
    assert np.array_equal(one.positions, other.positions)
    assert np.array_equal(np.random.random(3), before[0])  # noqa: NPY002


def test_principal_components_are_those_of_the_covariance_and_lie_as_before(digits):
    found = Course(3).pca(digits).positions
    values = digits.astype(np.float64) - digits.mean(0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(values, full_matrices=False)
    for dim in range(3):
        assert abs(np.corrcoef(found[:, dim], left[:, dim] * sizes[dim])[0, 1]) == pytest.approx(1, abs=1e-5)
    course = Course()
    course.pca(digits)
    assert course.pca(-changed(digits)).figures["drift"] < 0.04  # Mirrored, and turned back.


@pytest.mark.parametrize(("points", "width"), [(50, 2000), (1500, 1500), (3000, 20)])
def test_components_come_out_alike_whichever_way_is_the_cheapest(points, width):
    random = np.random.default_rng(0)
    values = random.standard_normal((points, 3)) * [9, 5, 3] @ random.standard_normal((3, width))
    values += 0.01 * random.standard_normal((points, width))
    found = principal_components(values, 2)
    left, _sizes, _ = np.linalg.svd(values - values.mean(0), full_matrices=False)
    for dim in range(2):
        assert abs(np.corrcoef(found[:, dim], left[:, dim])[0, 1]) == pytest.approx(1, abs=1e-6)


def test_many_points_are_placed_among_those_that_were_fitted(digits, library, monkeypatch):
    monkeypatch.setattr(Course, "most_fitted", 250)
    monkeypatch.setattr(landmarks, "LANDMARKS", 200)
    course, broken = Course(), digits.copy()
    placed = course.tsne(digits)
    assert placed.figures["fitted"] == 200
    assert np.isfinite(placed.positions).all()
    assert placed.figures["trustworthiness"] > 0.95
    assert trustworthiness(digits, placed.positions, n_neighbors=10) == pytest.approx(
        placed.figures["trustworthiness"],
        abs=1e-4,  # Some are as far away as others.
    )
    assert course.tsne(changed(digits)).figures["drift"] < 0.15
    broken[5] = np.nan
    assert course.tsne(broken).figures["drift"] < 0.15


def test_trust_is_not_that_of_the_landmarks_alone(monkeypatch):
    vectors = load_digits().data.astype(np.float32)
    monkeypatch.setattr(Course, "most_fitted", 1000)
    monkeypatch.setattr(landmarks, "LANDMARKS", 300)
    monkeypatch.setattr(neighbours, "MOST_ASKED", 300)
    placed = Course().tsne(vectors)
    monkeypatch.setattr(neighbours, "MOST_ASKED", len(vectors))
    whole, recall = faithfulness(vectors, placed.positions)
    assert placed.figures["trustworthiness"] == pytest.approx(whole, abs=0.003)
    assert placed.figures["recall"] == pytest.approx(recall, abs=0.03)


def test_landmarks_stay_where_other_points_come_and_go(monkeypatch):
    monkeypatch.setattr(landmarks, "LANDMARKS", 100)
    held = np.ones(500, np.bool_)
    before = landmarks.landmarks(held, 400, 0)
    assert len(before) == 100
    assert np.array_equal(landmarks.landmarks(held, 500, 0), np.arange(500))
    held[np.setdiff1d(np.arange(500), before)[::7]] = False
    assert np.array_equal(np.flatnonzero(held)[landmarks.landmarks(held, 400, 0)], before)
    held[before[3]] = False
    assert len(np.intersect1d(np.flatnonzero(held)[landmarks.landmarks(held, 400, 0)], before)) == 99


def test_points_without_a_finite_vector_are_nowhere_until_they_have_one(digits):
    course, broken = Course(), digits.copy()
    broken[[3, 7], 5] = [np.nan, np.inf]
    for place in (course.tsne, course.pca):
        assert np.flatnonzero(np.isnan(place(broken).positions).any(axis=1)).tolist() == [3, 7]
        placed = place(digits)
        assert np.isfinite(placed.positions).all()
        assert placed.figures["drift"] < 0.1


@pytest.mark.parametrize(
    "vectors",
    [
        np.repeat(np.eye(3), 20, axis=0),
        np.random.default_rng(0).standard_normal((FEWEST, 6)),
        np.random.default_rng(0).standard_normal((9, 1)),
        np.random.default_rng(0).standard_normal((40, 3)) * 1e300,
        np.random.default_rng(0).uniform(-3.4e38, 3.4e38, (40, 3)).astype(np.float32),
        np.random.default_rng(0).standard_normal((40, 3)) > 0,
        (np.random.default_rng(0).standard_normal((40, 3)) * 9).astype(np.int8),
        np.vstack([np.random.default_rng(0).standard_normal((40, 3)), np.full((1, 3), 1e30)]),
        np.random.default_rng(0).standard_normal((40, 3)).astype(np.float16),
        np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32) * 1e-38,
    ],
    ids=["duplicates", "four", "one dimension", "huge", "largest", "bools", "ints", "outlier", "halves", "tiny"],
)
def test_odd_vectors_are_laid_out_all_the_same(vectors, library):
    course = Course()
    for place in (course.pca, course.tsne):
        for _ in range(2):
            assert np.isfinite(place(vectors).positions).all()


def test_vectors_that_are_all_the_same_have_no_neighbours_to_show():
    still = np.full((40, 3), 0.1, np.float32)
    assert (Course().pca(still).positions == 0).all()
    with pytest.raises(CannotPlaceError, match="all 40 are the same"):
        Course().tsne(still)


def test_a_step_that_can_not_be_laid_out_is_passed_over(digits):
    course = Course()
    first = course.tsne(digits)
    with pytest.raises(CannotPlaceError):
        course.tsne(np.zeros_like(digits))
    assert course.tsne(changed(digits)).figures["drift"] < 0.1
    assert course.tsne(changed(digits)).figures["noise_floor"] == first.figures["noise_floor"]


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.zeros((3, 2)), "at least 4 points with finite vectors, and there are 3"),
        (np.full((50, 2), np.nan), "there are 0"),
        (np.zeros((50, 0)), r"got the shape \(50, 0\)"),
    ],
)
def test_too_few_points_are_refused_in_words(vectors, words):
    for place in (Course().pca, Course().tsne):
        with pytest.raises(CannotPlaceError, match=words):
            place(vectors)


def test_other_points_begin_anew(digits):
    course = Course()
    course.tsne(digits)
    assert np.isnan(course.tsne(digits[:200]).figures["drift"])
    course.restart()
    assert np.isnan(course.tsne(digits[:200]).figures["drift"])


@pytest.mark.parametrize(
    ("dims", "perplexity", "words"), [(4, 30, "dims must be 2 or 3"), (2, 0, "perplexity must be")]
)
def test_what_makes_no_sense_is_refused(dims, perplexity, words):
    with pytest.raises(ValueError, match=words):
        Course(dims, perplexity)


def test_without_a_library_there_are_principal_components_and_words(digits, monkeypatch):
    monkeypatch.setattr(courses, "backend", lambda: None)
    course = Course()
    assert np.isfinite(course.pca(digits).positions).all()
    with pytest.raises(CannotPlaceError, match=r"pip install 'tb-netviz-plugin\[embedding\]'"):
        course.tsne(digits)


@pytest.mark.parametrize("method", [Method.TSNE, Method.PCA])
def test_backwards_each_step_follows_the_one_after_it(digits, method):
    steps = [changed(digits, share) for share in (0.5, 0.2, 0.0)]
    found = list(backwards([partial(np.asarray, step) for step in steps], method))
    assert [index for index, _ in found] == [2, 1, 0]
    assert all(placed.method is method for _, placed in found)
    assert np.isnan(found[0][1].figures["drift"])
    assert all(placed.figures["drift"] < 0.25 for _, placed in found[1:])
    assert [placed.figures["exaggerated"] for _, placed in found[1:]] == [0, 0]


@pytest.mark.filterwarnings("ignore")  # Of numba and UMAP, about themselves.
def test_without_umap_it_is_said(digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(CannotPlaceError, match="umap-learn is not installed"):
        next(backwards([lambda: digits], Method.UMAP))


def test_align_turns_and_mirrors_but_keeps_sizes():
    random = np.random.default_rng(0)
    target = random.standard_normal((30, 2))
    mirrored = (target * [1, -1]) @ np.array([[0.6, 0.8], [-0.8, 0.6]]) * 3 + 5
    turned = align(mirrored, target)
    assert turned - turned.mean(0) == pytest.approx(3 * (target - target.mean(0)))
    assert drift(target + np.array([1, 0]), target) == pytest.approx(
        1 / np.sqrt(((target - target.mean(0)) ** 2).sum(1).mean())
    )


def test_similarity_of_wide_vectors_is_linear_cka():
    random = np.random.default_rng(1)
    one, other = random.standard_normal((40, 100)), random.standard_normal((40, 7))
    first, second = (values - values.mean(0) for values in (one, other))
    grams = first @ first.T, second @ second.T
    expected = (grams[0] * grams[1]).sum() / np.sqrt((grams[0] ** 2).sum() * (grams[1] ** 2).sum())
    assert similarity(one, other) == pytest.approx(expected)


def test_what_hardly_changes_hardly_moves(digits):
    course = Course()
    course.tsne(digits)
    moves = [course.tsne(changed(digits, 0.02, seed)).figures["drift"] for seed in range(4)]
    assert np.mean(moves) < 0.03
    assert np.mean(moves) < course.tsne(digits).figures["noise_floor"]


def test_small_changes_that_add_up_are_laid_out_with_exaggeration(digits):
    course, other = Course(), changed(digits, 2.0)
    shares = np.linspace(0, 0.3, 9)
    placed = [course.tsne(digits + share * (other - digits)) for share in shares]
    assert all(one.figures["similarity"] > Course.alike for one in placed[1:])
    assert any(one.figures["exaggerated"] for one in placed[1:])


def test_a_point_that_turns_up_lies_beside_the_nearest(digits):
    course, twice = Course(), np.vstack([digits, digits[:1] + 1e-3])
    course.tsne(np.vstack([digits, np.full((1, 64), np.nan)]))
    positions = course.tsne(twice).positions
    apart = np.linalg.norm(positions - positions[-1], axis=1)
    assert apart[0] < 0.1 * np.median(apart)


def test_wide_vectors_become_narrow_and_keep_their_distances():
    random = np.random.default_rng(0)
    values = random.standard_normal((1500, 40)) @ random.standard_normal((40, 2000)) / 6
    values += 0.05 * random.standard_normal(values.shape)
    few = narrowed(values[:300] - values[:300].mean(0))
    assert few.shape[1] <= 300
    assert apart(few) == pytest.approx(apart(values[:300]), abs=1e-6)
    many = narrowed(values - values.mean(0))
    assert many.shape == (1500, 512)
    assert apart(many[::50]) == pytest.approx(apart(values[::50]), rel=0.02)


def test_principal_components_have_the_unit_of_the_vectors():
    line = np.outer(np.arange(20.0), [3.0, 4.0])
    assert np.ptp(principal_components(line, 2), axis=0) == pytest.approx([95, 0])
    assert np.isfinite(principal_components(line * 1e300, 2).astype(np.float32)).all()
