"""From class probabilities to an answer, or none: the verdict."""

import numpy as np

from xtalsight.crystals import CLASSES


def confidence(probabilities: np.ndarray) -> np.ndarray:
    """Return the largest probability of the seven classes, (n,), of probabilities (n, 7 or more)."""
    return probabilities[:, : len(CLASSES)].max(axis=1)


def refusal_threshold(confidences: np.ndarray, error_rate: float) -> float:
    """Return the confidence below which an answer is refused.

    Split conformal prediction: the k-th smallest of n confidences of structures of the classes that were not trained on,
    k = floor(error_rate (n + 1)). A new structure that is exchangeable with these is refused with a probability of at most
    `error_rate`, whatever the classifier.

    Parameters
    ----------
    confidences : ndarray, shape (n,)
        Of the structures set aside for calibration.
    error_rate : float
        Largest acceptable fraction of structures of the classes that are refused, in (0, 1).

    Raises
    ------
    ValueError
        The rate is not in (0, 1), or there are too few structures for it: k = 0.

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World (Springer, 2005),
    doi:10.1007/b106715.
    """
    if not 0 < error_rate < 1:
        raise ValueError(f"{error_rate=} must lie between 0 and 1")
    confidences = np.sort(np.asarray(confidences, float))
    k = int(np.floor(error_rate * (len(confidences) + 1) + 1e-9))
    if k == 0:
        raise ValueError(
            f"{len(confidences)} structures are too few for {error_rate=}: at least {1 / error_rate - 1:.0f}"
        )
    return float(confidences[k - 1])
