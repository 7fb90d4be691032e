import numpy as np
import pytest
from ase.build import bulk
from scipy.spatial.transform import Rotation

from xtalsight.scattering import (
    _BLOCK,
    _cosine_and_sine,
    amplitude,
    form_factor,
    mirrored_intensity,
    mirrored_vectors,
)

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

ORIENTATIONS = Rotation.from_euler("xyz", [[45, 0, 0], [0, -45, 0], [20, 130, -70]], degrees=True).as_matrix()


def all_mirror_images(vectors):
    """The vectors s of `mirrored_intensity` one by one, axes as there and the components last."""
    u, v, w = vectors.T
    images = [
        [[[sign_x * x, sign_y * y, w] for sign_y in (1, -1)] for sign_x in (1, -1)] for x, y in ((u, v), (v, u))
    ]  # (swapped, sign of x, sign of y, component, vector)
    return np.einsum("oij,abcjk->oabcki", ORIENTATIONS, np.array(images))


def fast_and_direct(positions, numbers, elements, rng, vectors=None):
    """Both sums, of all atoms and of each element by itself: (2, orientation, 2, 2, 2, vector)."""
    vectors = (directions(30, rng) if vectors is None else vectors).astype(np.float32)
    groups = np.searchsorted(elements, numbers)
    by_element = atomic_form_factors(elements, vectors)
    fast = np.stack(
        mirrored_intensity(positions, mirrored_vectors(vectors, ORIENTATIONS), groups, by_element.astype(np.float32))
    )
    images = all_mirror_images(vectors.astype(float)).reshape(-1, 3)
    f = atomic_form_factors(elements, images)
    whole = np.abs(amplitude(positions, images, f[groups])) ** 2
    apart = sum(
        np.abs(amplitude(positions[groups == g], images, f[groups[groups == g]])) ** 2 for g in range(len(elements))
    )
    return fast, np.reshape([whole, apart], fast.shape)


@pytest.mark.parametrize("elements", [[26], [6, 26, 82]], ids=["one element", "three elements"])
@pytest.mark.parametrize("n_atoms", [1, 2, 3, 30, _BLOCK - 1, _BLOCK, _BLOCK + 1, 2000])
def test_fast_sum_is_within_float32_accuracy_of_the_amplitude(n_atoms, elements, rng):
    fast, direct = fast_and_direct(*cluster(n_atoms, elements, rng), elements, rng)
    assert fast.shape == (2, len(ORIENTATIONS), 2, 2, 2, 30)
    assert fast.dtype == np.float32
    for one, expected in zip(fast, direct, strict=True):
        np.testing.assert_allclose(one, expected, rtol=0, atol=FLOAT32 * expected.max())


def test_cosine_and_sine_of_half_turns_many_or_few(rng):
    half_turns = np.float32([0, -0.0, 0.5, -0.5, 1, -1, 1.5, 2, 3, -7, 1001, *rng.uniform(-1e4, 1e4, 2000)])
    cosine, sine = np.array([_cosine_and_sine(x) for x in half_turns]).T
    np.testing.assert_allclose(cosine, np.cos(np.pi * half_turns.astype(float)), rtol=0, atol=1.5e-6)
    np.testing.assert_allclose(sine, np.sin(np.pi * half_turns.astype(float)), rtol=0, atol=1.5e-6)


@pytest.mark.parametrize("n_atoms", [30, 2 * _BLOCK + 1])
@pytest.mark.parametrize("shared", [[0], [1], [2], [0, 2], [0, 1, 2]], ids=["u", "v", "w", "u and w", "all"])
def test_neighbouring_vectors_may_share_components(n_atoms, shared, rng):
    vectors = directions(30, rng)
    vectors[:, shared] = np.repeat(vectors[::3, shared], 3, axis=0)
    fast, direct = fast_and_direct(*cluster(n_atoms, [6, 26], rng), [6, 26], rng, vectors)
    for one, expected in zip(fast, direct, strict=True):
        np.testing.assert_allclose(one, expected, rtol=0, atol=FLOAT32 * expected.max())


def test_an_element_without_atoms_adds_nothing(rng):
    fast, direct = fast_and_direct(*cluster(50, [26], rng), [6, 26, 82], rng)
    np.testing.assert_allclose(fast, direct, rtol=0, atol=FLOAT32 * direct.max())
    np.testing.assert_array_equal(fast[0], fast[1])


def test_elements_apart_are_the_sum_of_each_alone(rng):
    positions, numbers = cluster(300, [6, 26, 82], rng)
    vectors = directions(50, rng)
    elements = np.array([6, 26, 82])
    f, mirrored = atomic_form_factors(elements, vectors).astype(np.float32), mirrored_vectors(vectors, ORIENTATIONS)
    _, apart = mirrored_intensity(positions, mirrored, np.searchsorted(elements, numbers), f)
    alone = [
        mirrored_intensity(positions[numbers == element], mirrored, np.zeros((numbers == element).sum(), int), f[[i]])
        for i, element in enumerate(elements)
    ]
    np.testing.assert_allclose(apart, sum(whole for whole, _ in alone), rtol=0, atol=FLOAT32 * apart.max())


def test_one_group_has_one_intensity(rng):
    positions, _ = cluster(300, [26], rng)
    vectors = directions(50, rng)
    f = atomic_form_factors([26], vectors).astype(np.float32)
    whole, apart = mirrored_intensity(positions, mirrored_vectors(vectors, ORIENTATIONS), np.zeros(300, int), f)
    np.testing.assert_array_equal(whole, apart)


@pytest.fixture
def arguments(rng):
    """Positions, vectors, groups and form factors of a cluster of two elements."""
    positions, numbers = cluster(100, [8, 26], rng)
    vectors = directions(200, rng)
    f = atomic_form_factors([8, 26], vectors).astype(np.float32)
    return positions, mirrored_vectors(vectors, ORIENTATIONS), np.searchsorted([8, 26], numbers), f


def test_translation_leaves_the_fast_sum(arguments):
    positions, *others = arguments
    shifts = ([0, 0, 0], [3.1, -0.7, 120.9])
    for first, second in zip(*(mirrored_intensity(positions + shift, *others) for shift in shifts), strict=True):
        np.testing.assert_allclose(second, first, rtol=0, atol=FLOAT32 * first.max())


def test_order_of_the_atoms_does_not_matter(arguments, rng):
    positions, vectors, groups, f = arguments
    order = rng.permutation(len(groups))
    both = (mirrored_intensity(positions[i], vectors, groups[i], f) for i in (slice(None), order))
    for first, second in zip(*both, strict=True):
        np.testing.assert_allclose(second, first, rtol=0, atol=FLOAT32 * first.max())


def test_order_of_the_groups_does_not_matter(arguments):
    positions, vectors, groups, f = arguments
    both = (mirrored_intensity(positions, vectors, g, rows) for g, rows in ((groups, f), (1 - groups, f[::-1].copy())))
    for first, second in zip(*both, strict=True):
        np.testing.assert_allclose(second, first, rtol=0, atol=FLOAT32 * first.max())
