import numpy as np
import pytest
from ase.build import bulk

from xtalsight.scattering import amplitude, form_factor, intensity

SEED = 1912
FIT_ACCURACY = 5e-3  # relative, of the tabulated form factors
FLOAT32 = 1e-5  # of the maximum
ROUNDING = 1e-10  # relative, of the float64 sum


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)


def cluster(n_atoms, elements, rng):
    """A turned simple cubic cluster with edge 1 Å and displacements of 0.05 Å: positions and atomic numbers."""
    n_edge = int(np.ceil(n_atoms ** (1 / 3)))
    sites = np.indices((n_edge,) * 3).reshape(3, -1).T[:n_atoms]
    orthogonal = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return sites @ orthogonal + rng.normal(scale=0.05, size=(n_atoms, 3)), rng.choice(elements, n_atoms)


def directions(n, rng, low=0.8, high=2.4):
    """Random scattering vectors (n, 3) with the lengths that the detector sees, 1/Å."""
    vectors = rng.normal(size=(n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * rng.uniform(low, high, (n, 1))


def atomic_form_factors(numbers, vectors):
    return np.array([form_factor(number, np.linalg.norm(vectors, axis=1)) for number in numbers])


# Form factors.


def test_form_factor_at_zero_is_the_atomic_number():
    numbers = np.arange(1, 99)
    np.testing.assert_allclose([form_factor(number, 0.0) for number in numbers], numbers, rtol=FIT_ACCURACY)


def test_form_factor_decreases():
    f = np.array([form_factor(number, np.linspace(0, 4, 200)) for number in range(1, 99)])
    assert (np.diff(f) < 0).all()
    assert f.min() > 0


def test_form_factor_of_helium_is_that_of_two_screened_1s_electrons():
    s = np.linspace(0, 3, 50)
    bohr, effective_charge = 0.529177, 27 / 16  # variational ground state
    expected = 2 / (1 + (np.pi * s * bohr / effective_charge) ** 2) ** 2
    np.testing.assert_allclose(form_factor(2, s), expected, atol=0.05)


def test_form_factor_keeps_the_shape_of_s():
    assert form_factor(26, np.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("number", [-1, 0, 99])
def test_form_factor_outside_the_table(number):
    with pytest.raises(ValueError, match=f"atomic number {number}"):
        form_factor(number, 1.0)


# Amplitude.


def test_amplitude_at_zero_is_the_sum_of_the_form_factors(rng):
    positions, numbers = cluster(30, [8, 26], rng)
    f = atomic_form_factors(numbers, np.zeros((1, 3)))
    assert amplitude(positions, np.zeros((1, 3)), f)[0] == pytest.approx(f.sum(), rel=ROUNDING)


def test_amplitude_of_minus_q_is_the_complex_conjugate(rng):
    positions, numbers = cluster(30, [8, 26], rng)
    vectors = directions(50, rng)
    f = atomic_form_factors(numbers, vectors)
    opposite = amplitude(positions, -vectors, f)
    np.testing.assert_allclose(
        opposite, amplitude(positions, vectors, f).conj(), atol=ROUNDING * np.abs(opposite).max()
    )


def test_translation_turns_the_phase_by_minus_two_pi_s_t(rng):
    positions, numbers = cluster(30, [8, 26], rng)
    vectors, shift = directions(50, rng), np.array([3.1, -0.7, 12.9])
    f = atomic_form_factors(numbers, vectors)
    expected = amplitude(positions, vectors, f) * np.exp(-2j * np.pi * vectors @ shift)
    np.testing.assert_allclose(
        amplitude(positions + shift, vectors, f), expected, atol=ROUNDING * np.abs(expected).max()
    )


def test_translation_leaves_the_fast_intensity(rng):
    positions, _ = cluster(200, [26], rng)
    vectors = directions(500, rng)
    arguments = np.array(vectors.T, np.float32, order="C"), np.zeros(200, int), np.ones((1, 500), np.float32)
    first, second = intensity(positions, *arguments), intensity(positions + [3.1, -0.7, 120.9], *arguments)
    np.testing.assert_allclose(second, first, rtol=0, atol=FLOAT32 * first.max())


def fcc_amplitudes(reflections):
    """Amplitudes of 4 x 4 x 4 cubic cells of aluminium, in units of N f."""
    a, n = 4.05, 4
    positions = bulk("Al", "fcc", a=a, cubic=True).repeat(n).positions
    vectors = np.array(reflections) / a
    f = atomic_form_factors([13], vectors)
    return amplitude(positions, vectors, f) / (len(positions) * f[0])


def test_fcc_shows_reflections_of_equal_parity():
    allowed = [(1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (-1, 1, 3), (0, 0, 4)]
    np.testing.assert_allclose(np.abs(fcc_amplitudes(allowed)) ** 2, 1, rtol=ROUNDING)


def test_fcc_hides_reflections_of_mixed_parity():
    forbidden = [(1, 0, 0), (1, 1, 0), (2, 1, 0), (2, 1, 1), (3, 0, 0), (0, -1, 2)]
    np.testing.assert_allclose(np.abs(fcc_amplitudes(forbidden)), 0, atol=ROUNDING)


# The fast sum.


@pytest.mark.parametrize("elements", [[26], [6, 26, 82]], ids=["one element", "three elements"])
@pytest.mark.parametrize("n_atoms", [1, 2, 3, 30, 300, 2000])
def test_intensity_is_within_float32_accuracy_of_the_amplitude(n_atoms, elements, rng):
    positions, numbers = cluster(n_atoms, elements, rng)
    vectors = directions(300, rng).astype(np.float32)
    groups = np.searchsorted(elements, numbers)
    by_element = atomic_form_factors(elements, vectors)
    expected = np.abs(amplitude(positions, vectors, by_element[groups])) ** 2
    fast = intensity(positions, np.ascontiguousarray(vectors.T), groups, by_element.astype(np.float32))
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, expected, rtol=0, atol=FLOAT32 * expected.max())


def test_order_of_the_atoms_does_not_matter(rng):
    positions, numbers = cluster(100, [8, 26], rng)
    vectors = directions(200, rng)
    groups, order = np.searchsorted([8, 26], numbers), rng.permutation(100)
    f = atomic_form_factors([8, 26], vectors).astype(np.float32)
    vectors = np.array(vectors.T, np.float32, order="C")
    first, second = (intensity(positions[i], vectors, groups[i], f) for i in (slice(None), order))
    np.testing.assert_allclose(second, first, rtol=0, atol=FLOAT32 * first.max())
