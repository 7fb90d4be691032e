import numpy as np
import pytest

from xtalsight.classify import confidence, refusal_threshold


def test_confidence_ignores_what_is_not_a_class():
    probabilities = np.array([[0.1, 0.2, 0, 0, 0, 0, 0, 0.7], [0.9, 0, 0, 0, 0, 0, 0, 0.1]])
    assert confidence(probabilities).tolist() == [0.2, 0.9]


@pytest.mark.parametrize("error_rate", [0.01, 0.1, 0.5])
def test_refused_fraction_of_exchangeable_values_is_at_most_the_error_rate(error_rate):
    """The promise is about the mean over calibration sets."""
    rng = np.random.default_rng(0)
    refused = []
    for _ in range(2000):
        threshold = refusal_threshold(rng.beta(5, 1, 199), error_rate)
        refused.append((rng.beta(5, 1, 100) < threshold).mean())
    mean, deviation = np.mean(refused), np.std(refused) / np.sqrt(len(refused))
    assert error_rate - 4 * deviation - 1 / 200 < mean < error_rate + 4 * deviation


def test_order_does_not_matter():
    values = np.random.default_rng(1).random(150)
    assert refusal_threshold(values, 0.1) == refusal_threshold(values[::-1], 0.1)


def test_smallest_set_that_can_promise_one_percent():
    assert refusal_threshold(np.arange(99), 0.01) == 0
    with pytest.raises(ValueError, match="too few"):
        refusal_threshold(np.arange(98), 0.01)


@pytest.mark.parametrize("error_rate", [0, 1, -0.1, np.nan])
def test_error_rate_must_be_a_fraction(error_rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        refusal_threshold(np.arange(200), error_rate)
