"""Learning without labels: what a clustering is worth, once the labels are shown to it, and an embedding made from
physics."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer


def match_clusters(labels, clusters) -> dict[int, int]:
    """Assign clusters to labels one to one, so that as many structures as possible are right.

    Parameters
    ----------
    labels, clusters : array_like of int, shape (n,)
        True label and cluster of each structure. Cluster -1 is noise and is never assigned.

    Returns
    -------
    dict
        Cluster -> label. If there are more clusters than labels, or fewer, the rest is left out.

    Raises
    ------
    ValueError
        Lengths differ, or there is no cluster.

    References
    ----------
    H. W. Kuhn, Nav. Res. Logist. Q. 2, 83 (1955), doi:10.1002/nav.3800020109.
    """
    labels, clusters = _check(labels, clusters)
    kept = clusters >= 0
    counts = contingency_matrix(clusters[kept], labels[kept])
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return dict(zip(np.unique(clusters[kept])[rows].tolist(), np.unique(labels[kept])[columns].tolist(), strict=True))


def scores(labels, clusters, matching: dict[int, int] | None = None) -> dict[str, float]:
    """Score a clustering against labels that it has not seen.

    Parameters
    ----------
    labels, clusters : array_like of int, shape (n,)
        True label and cluster of each structure; cluster -1 is noise.
    matching : dict, optional
        Cluster -> label. Without it, the best one for these structures, by `match_clusters`.

    Returns
    -------
    dict
        ``accuracy``: fraction in the cluster matched to its label; ``balanced_accuracy``: mean of that over the labels;
        ``ari``, ``ami``: adjusted Rand index and adjusted mutual information (noise counts as one cluster); ``purity``:
        fraction of the structures outside noise that have the most frequent label of their cluster, and
        ``purity_with_noise`` of all structures, noise being wrong; ``clusters``: their number, without noise;
        ``noise``: fraction.
    """
    labels, clusters = _check(labels, clusters)
    matching = match_clusters(labels, clusters) if matching is None else matching
    right = np.array([matching.get(cluster) for cluster in clusters.tolist()], dtype=object) == labels
    kept = clusters >= 0
    pure = contingency_matrix(clusters[kept], labels[kept]).max(axis=1).sum()
    return {
        "accuracy": right.mean(),
        "balanced_accuracy": np.mean([right[labels == label].mean() for label in np.unique(labels)]),
        "ari": adjusted_rand_score(labels, clusters),
        "ami": adjusted_mutual_info_score(labels, clusters),
        "purity": pure / kept.sum(),
        "purity_with_noise": pure / len(labels),
        "clusters": len(np.unique(clusters[kept])),
        "noise": 1 - kept.mean(),
    }


def _check(labels, clusters):
    labels, clusters = np.asarray(labels), np.asarray(clusters)
    if labels.shape != clusters.shape or labels.ndim != 1:
        raise ValueError(f"{labels.shape=} and {clusters.shape=} must be the same (n,)")
    if not (clusters >= 0).any():
        raise ValueError("there is no cluster, only noise")
    return labels, clusters


def physical_embedding(views: np.ndarray, structures: np.ndarray, n_components: int = 16) -> Pipeline:
    """Learn an embedding in which views of one structure lie close to each other, compared with other structures.

    Views are fingerprints of one crystal with other vacancies, displacements, strain and element. No class is used:
    what is learned is which differences between fingerprints mean nothing. The square root of the intensity is
    projected on its principal components; discriminant analysis with every structure as a class of its own then finds
    the directions that maximise the scatter between structures over the scatter within, and scales them so that the
    latter is the unit.

    Parameters
    ----------
    views : ndarray, shape (n, n_pixels)
        Fingerprints, flattened; pixels that are always zero may be left out.
    structures : ndarray of int, shape (n,)
        Which structure each is a view of; at least two views a structure.
    n_components : int
        Dimension of the embedding.

    Returns
    -------
    Pipeline
        Fitted; ``transform`` takes fingerprints (n, n_pixels) to the embedding (n, n_components).

    Raises
    ------
    ValueError
        A structure has one view only.
    """
    _, counts = np.unique(structures, return_counts=True)
    if counts.min() < 2:
        raise ValueError("every structure needs at least two views")
    n_principal = min(150, len(views) // 4, views.shape[1])
    embedding = make_pipeline(
        FunctionTransformer(np.sqrt),
        PCA(n_principal, random_state=0),
        LinearDiscriminantAnalysis(n_components=min(n_components, n_principal)),
    )
    embedding.fit(views, structures)
    # scikit-learn divides the scatter within by the number of views; its degrees of freedom are fewer.
    embedding[-1].scalings_ *= np.sqrt(1 - len(counts) / len(views))
    return embedding
