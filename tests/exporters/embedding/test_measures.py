"""Measures, signatures and similarities, beside computations by hand in float64 and those of scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.manifold import trustworthiness
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from tb_netviz.embedding import neighbours
from tb_netviz.embedding.measures import measure
from tb_netviz.embedding.neighbours import faithfulness, nearest, sample
from tb_netviz.embedding.pca import principal_components
from tb_netviz.embedding.signature import MOST_COMPONENTS, MOST_LANDMARKS, signature
from tb_netviz_plugin.analysis.similarity import cka, cka_matrix


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.data.astype(np.float32), data.target.astype(np.float64)


def linear_cka(one, other):
    """Return linear CKA by its definition, over the Gram matrices of all points."""
    one, other = (values - values.mean(0) for values in (one.astype(np.float64), other.astype(np.float64)))
    first, second = one @ one.T, other @ other.T
    return (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())


def test_similarity_from_signatures_is_near_linear_cka_of_all_points(digits):
    vectors, _labels = digits
    random = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0, 3.0):
        mixed = np.tanh(vectors @ random.standard_normal((64, 32)) / 50) + share * random.standard_normal((1797, 32))
        assert cka(signature(vectors), signature(mixed)) == pytest.approx(linear_cka(vectors, mixed), abs=0.03)


def test_signatures_of_few_points_give_linear_cka_exactly():
    random = np.random.default_rng(1)
    one, other = random.standard_normal((200, 8)), random.standard_normal((200, 5))
    assert cka(signature(one), signature(other)) == pytest.approx(linear_cka(one, other), abs=2e-3)
    turned = one @ np.linalg.qr(random.standard_normal((8, 8)))[0] * 7 + 100
    assert cka(signature(one), signature(turned)) == pytest.approx(1, abs=1e-4)


def test_a_signature_is_small_and_its_landmarks_hang_on_the_number_of_points_alone(digits):
    vectors, _labels = digits
    found = signature(vectors)
    assert found.dtype == np.float32
    assert found.shape[0] == MOST_LANDMARKS
    assert found.shape[1] <= MOST_COMPONENTS
    assert np.array_equal(sample(1797, MOST_LANDMARKS), sample(1797, MOST_LANDMARKS))
    order = np.argsort(signature(vectors[:, :1])[:, 0], kind="stable")
    expected = np.argsort(vectors[sample(1797, MOST_LANDMARKS), 0], kind="stable")
    assert set(order[:20]) & set(expected[:200])


def test_the_matrix_holds_each_pair_and_nan_where_points_differ():
    random = np.random.default_rng(2)
    ones = [signature(random.standard_normal((50, 4))) for _ in range(3)]
    others = [signature(random.standard_normal((50, 6))), signature(random.standard_normal((40, 6)))]
    found = cka_matrix(ones, others)
    assert found.shape == (3, 2)
    assert found[:, 0] == pytest.approx([cka(one, others[0]) for one in ones])
    assert np.isnan(found[:, 1]).all()
    assert cka_matrix([], others).shape == (0, 2)
    with pytest.raises(ValueError, match="50 and 40 landmarks"):
        cka(ones[0], others[1])


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_similarity_and_measures_know_no_unit(scale):
    random = np.random.default_rng(3)
    vectors, classes = random.standard_normal((60, 5)), np.repeat([0.0, 1.0, 2.0], 20)
    assert cka(signature(vectors), signature(vectors * scale)) == pytest.approx(1, abs=1e-5)
    assert measure(vectors * scale, classes) == pytest.approx(measure(vectors, classes))


def test_vectors_that_do_not_vary_have_no_similarity():
    still = signature(np.full((20, 3), 2.0))
    assert np.isnan(cka(still, signature(np.random.default_rng(4).standard_normal((20, 3)))))


def test_trustworthiness_is_that_of_scikit_learn_and_recall_is_counted(digits):
    vectors, _labels = digits
    vectors = vectors[:400] + np.random.default_rng(5).standard_normal((400, 64))
    positions = vectors[:, 20:22]
    trust, recall = faithfulness(vectors, positions)
    assert trust == pytest.approx(trustworthiness(vectors, positions, n_neighbors=10), abs=1e-9)
    really = [set(np.argsort(np.linalg.norm(vectors - one, axis=1))[1:11]) for one in vectors]
    shown = [set(np.argsort(np.linalg.norm(positions - one, axis=1))[1:11]) for one in positions]
    assert recall == pytest.approx(np.mean([len(a & b) / 10 for a, b in zip(really, shown, strict=True)]))
    assert faithfulness(vectors, vectors) == (1.0, 1.0)
    assert np.isnan(faithfulness(vectors[:2], positions[:2])).all()


def test_trustworthiness_of_a_sample_is_about_that_of_all_points(digits, monkeypatch):
    vectors = digits[0] + np.random.default_rng(13).standard_normal((1797, 64))
    positions = principal_components(vectors, 2)
    whole = trustworthiness(vectors, positions, n_neighbors=10)
    assert faithfulness(vectors, positions)[0] == pytest.approx(whole, abs=0.01)
    monkeypatch.setattr(neighbours, "_DISTANCES", 1797 * 17)  # In many parts.
    monkeypatch.setattr(neighbours, "MOST_ASKED", 1797)
    assert faithfulness(vectors, positions)[0] == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("points", [4, 5, 9, 21])
def test_trustworthiness_of_few_points_is_of_fewer_neighbours(points):
    vectors = np.random.default_rng(points).standard_normal((points, 6))
    near = min(10, (points - 1) // 2)
    expected = trustworthiness(vectors, vectors[:, :2], n_neighbors=near)
    assert faithfulness(vectors, vectors[:, :2])[0] == pytest.approx(expected, abs=1e-9)


def test_nearest_neighbours_come_by_distance():
    points = np.random.default_rng(6).standard_normal((50, 3))
    found, apart = nearest(points, 4)
    for index, point in enumerate(points):
        order = np.argsort(np.linalg.norm(points - point, axis=1))[1:5]
        assert found[index].tolist() == order.tolist()
        assert apart[index] == pytest.approx(np.linalg.norm(points[order] - point, axis=1))


def test_effective_rank_counts_directions():
    random = np.random.default_rng(7)
    assert measure(np.eye(8)[np.arange(800) % 8], None)["effective_rank"] == pytest.approx(7)
    line = np.outer(random.standard_normal(100), random.standard_normal(30))
    assert measure(line, None)["effective_rank"] == pytest.approx(1, abs=1e-6)
    wide = random.standard_normal((20, 300))
    sizes = np.linalg.svd(wide - wide.mean(0), compute_uv=False) ** 2
    shares = sizes[sizes > 1e-9] / sizes.sum()
    assert measure(wide, None)["effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_fisher_ratio_is_the_scatter_between_over_that_within(digits):
    vectors, labels = digits
    wide = vectors.astype(np.float64)
    means = np.stack([wide[labels == label].mean(0) for label in range(10)])
    within = sum(((wide[labels == label] - means[label]) ** 2).sum() for label in range(10))
    between = sum((labels == label).sum() * ((means[label] - wide.mean(0)) ** 2).sum() for label in range(10))
    assert measure(vectors, labels)["fisher_ratio"] == pytest.approx(between / within)
    assert measure(np.eye(3)[[0, 0, 1, 1, 2, 2]], np.repeat([0.0, 1, 2], 2))["fisher_ratio"] == np.inf


def test_accuracies_are_about_those_of_scikit_learn(digits):
    vectors, labels = digits
    found = measure(vectors, labels)
    probe = cross_val_score(RidgeClassifier(), vectors, labels, cv=KFold(2, shuffle=True, random_state=0)).mean()
    near = cross_val_score(KNeighborsClassifier(10), vectors, labels, cv=KFold(20, shuffle=True, random_state=0)).mean()
    assert found["probe_accuracy"] == pytest.approx(probe, abs=0.02)
    assert found["knn_accuracy"] == pytest.approx(near, abs=0.01)
    shuffled = measure(vectors, np.random.default_rng(8).permutation(labels))
    assert shuffled["probe_accuracy"] < 0.2
    assert shuffled["knn_accuracy"] < 0.2


@pytest.mark.parametrize(
    "classes",
    [None, np.full(30, np.nan), np.zeros(30), np.arange(30.0)],
    ids=["no classes", "none known", "one class", "each its own"],
)
def test_what_classes_can_not_tell_is_nan(classes):
    found = measure(np.random.default_rng(9).standard_normal((30, 4)), classes)
    assert found["points"] == 30
    assert np.isfinite(found["effective_rank"])
    assert np.isnan([found[name] for name in ("fisher_ratio", "probe_accuracy", "knn_accuracy")]).all()


def test_points_that_are_not_finite_or_have_no_class_are_left_out():
    random = np.random.default_rng(10)
    vectors, classes = random.standard_normal((90, 4)), np.repeat([0.0, 1.0, 2.0], 30)
    broken, partly = np.vstack([vectors, np.full((5, 4), np.nan)]), np.append(classes, np.zeros(5))
    assert measure(broken, partly) == pytest.approx(measure(vectors, classes))
    assert measure(np.full((5, 4), np.inf), np.zeros(5))["points"] == 0
    assert measure(np.zeros((6, 0)), None)["points"] == 0


def test_the_probe_is_ridge_regression_on_halves(digits):
    vectors, labels = digits[0][:400].astype(np.float64), digits[1][:400]
    order = np.random.default_rng([0, 400]).permutation(400)
    # The penalty is relative to the mean eigenvalue of the scatter.
    right = 0
    for half in range(2):
        fitted, asked = order[half::2], order[1 - half :: 2]
        scatter = np.square(vectors[fitted] - vectors[fitted].mean(0)).sum()
        model = Ridge(alpha=1e-2 * scatter / 64).fit(vectors[fitted], np.eye(10)[labels[fitted].astype(int)])
        right += (model.predict(vectors[asked]).argmax(1) == labels[asked]).sum()
    assert measure(vectors, labels)["probe_accuracy"] == pytest.approx(right / 400, abs=1e-9)


def test_points_alone_in_their_class_are_left_out():
    random = np.random.default_rng(11)
    vectors, classes = random.standard_normal((70, 4)), np.repeat([0.0, 1.0], 30)
    alone = measure(vectors, np.append(classes, np.arange(2, 12)))
    of_several = measure(vectors[:60], classes)
    for name in ("fisher_ratio", "probe_accuracy", "knn_accuracy"):
        assert alone[name] == pytest.approx(of_several[name])


def test_ten_thousand_kinds_tell_nothing_and_wide_vectors_are_sampled():
    random = np.random.default_rng(12)
    assert np.isnan(measure(random.standard_normal((20_000, 8)), np.arange(20_000.0) // 2)["probe_accuracy"])
    found = measure(random.standard_normal((1_500, 1_200)).astype(np.float32), np.arange(1_500.0) % 3)
    assert 500 < found["effective_rank"] < 1024
    assert abs(found["probe_accuracy"] - 1 / 3) < 0.1
