import numpy as np
import pytest
from sklearn.cluster import KMeans

from xtalsight.clustering import match_clusters, physical_embedding, scores

LABELS = np.repeat([0, 1, 2], [5, 3, 2])


def test_names_of_clusters_do_not_matter():
    clusters = np.array([7, 9, 8])[LABELS]
    assert match_clusters(LABELS, clusters) == {7: 0, 9: 1, 8: 2}
    assert scores(LABELS, clusters)["accuracy"] == 1


def test_matching_is_one_to_one_and_the_best():
    # Class 0 is split: only its larger half can be right, although both halves hold nothing else.
    clusters = np.array([0, 0, 0, 3, 3, 1, 1, 1, 2, 2])
    matching = match_clusters(LABELS, clusters)
    assert sorted(matching.values()) == [0, 1, 2]
    found = scores(LABELS, clusters)
    assert found["accuracy"] == 0.8
    assert found["purity"] == 1
    assert found["clusters"] == 4


def test_best_matching_is_not_the_greedy_one():
    # Greedy: cluster 0 -> label 0 (3), then cluster 1 -> label 1 (0). Best: 0 -> 1 (2), 1 -> 0 (2).
    labels = np.array([0, 0, 0, 1, 1, 0, 0])
    clusters = np.array([0, 0, 0, 0, 0, 1, 1])
    assert match_clusters(labels, clusters) == {0: 1, 1: 0}


def test_noise_is_never_right_and_is_counted():
    clusters = np.where(np.arange(10) < 2, -1, LABELS)
    found = scores(LABELS, clusters)
    assert found["accuracy"] == 0.8
    assert found["noise"] == pytest.approx(0.2)
    assert (found["purity"], found["purity_with_noise"]) == (1, 0.8)
    assert found["clusters"] == 3


def test_balanced_accuracy_gives_every_class_the_same_weight():
    clusters = np.where(LABELS == 2, 1, LABELS)  # the smallest class is lost
    assert scores(LABELS, clusters)["balanced_accuracy"] == pytest.approx(2 / 3)


def test_matching_of_other_structures_can_be_used():
    assert scores(LABELS, LABELS, {0: 1, 1: 0, 2: 2})["accuracy"] == 0.2


@pytest.mark.parametrize("labels, clusters", [([0, 1], [0]), ([[0]], [[0]]), ([0, 1], [-1, -1])])
def test_wrong_input(labels, clusters):
    with pytest.raises(ValueError):
        match_clusters(labels, clusters)


@pytest.fixture
def views():
    """Three kinds of structure that differ in one pixel, drowned in differences that views of one structure share."""
    rng = np.random.default_rng(0)
    kinds = np.arange(60) % 3
    views = rng.uniform(0, 1, size=(60, 4, 20))
    views[..., 0] = 0.2 + 0.1 * kinds[:, None] + rng.normal(scale=0.005, size=(60, 4))
    return views.reshape(-1, 20), np.repeat(np.arange(60), 4), np.repeat(kinds, 4)


def test_embedding_sees_what_views_share(views):
    pixels, structures, kinds = views
    embedded = physical_embedding(pixels, structures, 2).transform(pixels)
    clusters = KMeans(3, n_init=10, random_state=0).fit_predict(embedded)
    assert scores(kinds, clusters)["accuracy"] > 0.95
    plain = KMeans(3, n_init=10, random_state=0).fit_predict(pixels)
    assert scores(kinds, plain)["accuracy"] < 0.7


def test_views_of_one_structure_scatter_by_one(views):
    pixels, structures, _ = views
    embedded = physical_embedding(pixels, structures, 1).transform(pixels).reshape(60, 4, -1)
    within = np.mean(embedded.var(axis=1, ddof=1))
    assert within == pytest.approx(1, rel=0.05)


def test_embedding_needs_two_views():
    with pytest.raises(ValueError, match="two views"):
        physical_embedding(np.ones((5, 4)), np.arange(5))
