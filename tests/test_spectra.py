from itertools import permutations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.signal import find_peaks
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from xtalsight.clouds import cut_cloud
from xtalsight.crystals import CLASSES, N_ATOMS, PROTOTYPES, make_recipes, primitive_cell
from xtalsight.damage import remove_atoms
from xtalsight.fingerprints import DiffractionGeometry, length_scale
from xtalsight.scattering import amplitude
from xtalsight.spectra import (
    DEGREES,
    LARGEST_RADIUS,
    ON_RING,
    SHELLS,
    cloud_radius,
    harmonics,
    of_places,
    power,
    resolution,
    spectrum,
)

SEED = 1912
TURN = 1e-2  # relative, of the norm: what a turn changes, the error of the quadrature
FLOAT32 = 1e-5  # likewise
NONE = 2e-3  # of the power of degree 4: a degree that symmetry forbids
KINDS = ["bcc", "bct_in", "beta_sn", "diamond", "fcc", "hcp", "graphite", "sc"]
COMPOUNDS = ["L1_2", "L1_0", "B2", "rocksalt", "perovskite"]
STEP = SHELLS[1] - SHELLS[0]


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)


def crystal(kind):
    """A primitive cell, its axes along x, y, z where they are at right angles."""
    return primitive_cell(make_recipes({kind: 1}, SEED, elements=["Cu"]).iloc[0].to_dict())


def cloud(kind, n_atoms=N_ATOMS, shape="sphere", vacancies=0.0):
    rng = np.random.default_rng([SEED, n_atoms])
    return remove_atoms(cut_cloud(crystal(kind), n_atoms, shape, rng), vacancies, rng)


def turned(atoms, turn):
    return Atoms(atoms.numbers, turn.apply(atoms.positions))


def change(first, second):
    """Relative, of the norm: of the places or of the kinds, whichever is larger."""
    return max(np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in zip(first, second, strict=True))


def ordered(name, n_atoms=N_ATOMS, shape="sphere"):
    """A cloud of an ordered compound; those of the alloys Cu3Au (L1_2) and CuAu (L1_0) have the same places."""
    if name in ("L1_2", "L1_0"):
        cell = bulk("Cu", cubic=True)
        cell.symbols[cell.positions[:, : 3 if name == "L1_2" else 1].sum(axis=1) == 0] = "Au"
    elif name == "perovskite":
        corner, middle, *faces = (0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)
        cell = Atoms("CaTiO3", scaled_positions=[corner, middle, *faces], cell=[3.9] * 3, pbc=True)
    else:
        cell = bulk("CsCl", "cesiumchloride", a=4.1) if name == "B2" else bulk("NaCl", "rocksalt", a=5.6)
    return cut_cloud(cell, n_atoms, shape, np.random.default_rng([SEED, n_atoms]))


def shuffled(atoms, number=0):
    """The same places and as many atoms of each kind, without order."""
    return Atoms(np.random.default_rng([SEED, number]).permutation(atoms.numbers), atoms.positions)


def compound(rng):
    """A cloud of two elements with displacements, and its positions in units of its length scale."""
    atoms = cut_cloud(bulk("NaCl", "rocksalt", a=5.6), 80, "convex", rng)
    atoms.positions += rng.normal(scale=0.1, size=(len(atoms), 3))
    return atoms, atoms.positions / length_scale(atoms, "powder")


# What does not matter.


@pytest.mark.parametrize("n_atoms", [64, 256, 512])
@pytest.mark.parametrize("shape", ["sphere", "convex"])
@pytest.mark.parametrize("name", COMPOUNDS)
def test_a_turn_leaves_both_spectra_of_a_compound(name, shape, n_atoms, rng):
    atoms = ordered(name, n_atoms, shape)
    for one in (atoms, shuffled(atoms)):
        assert change(spectrum(one), spectrum(turned(one, Rotation.random(rng=rng)))) < TURN


@pytest.mark.parametrize("name", COMPOUNDS)
def test_to_exchange_kinds_leaves_both_spectra(name):
    atoms = ordered(name)
    before = spectrum(atoms)
    kinds, kind = np.unique(atoms.numbers, return_inverse=True)
    for numbers in (*permutations(kinds), (0, 92, 300)):  # what stands for a kind need not be an element
        atoms.numbers = np.array(numbers)[kind]
        assert change(before, spectrum(atoms)) < FLOAT32


@pytest.mark.parametrize("name", COMPOUNDS)
def test_translation_scale_and_order_of_the_atoms_leave_both_spectra_of_a_compound(name, rng):
    atoms = ordered(name)
    mixed = atoms[rng.permutation(len(atoms))]
    assert (
        change(spectrum(atoms), spectrum(Atoms(mixed.numbers, 3.1 * mixed.positions + [37.1, -5.3, 210.7]))) < FLOAT32
    )


@pytest.mark.parametrize("kind", KINDS)
def test_where_there_is_one_kind_both_spectra_are_equal(kind):
    np.testing.assert_array_equal(*spectrum(cloud(kind)))


@pytest.mark.parametrize("name", COMPOUNDS)
def test_places_do_not_depend_on_the_kinds_at_them(name):
    atoms = ordered(name)
    places, _ = spectrum(atoms)
    assert change([places] * 2, spectrum(Atoms(np.full(len(atoms), 29), atoms.positions))) < FLOAT32


@pytest.mark.parametrize("vacancies", [0, 0.25])
@pytest.mark.parametrize("n_atoms", [64, 256, 512])
@pytest.mark.parametrize("shape", ["sphere", "convex"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_leaves_the_spectrum(kind, shape, n_atoms, vacancies, rng):
    atoms = turned(cloud(kind, n_atoms, shape, vacancies), Rotation.random(rng=rng))
    assert change(spectrum(atoms), spectrum(turned(atoms, Rotation.random(rng=rng)))) < TURN


@pytest.mark.parametrize("n_atoms", [64, 256, 512])
@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_out_of_the_standard_orientation_leaves_the_spectrum(kind, n_atoms, rng):
    """Axes of the crystal along those of the grid: errors of the quadrature add up."""
    atoms = cloud(kind, n_atoms)
    assert change(spectrum(atoms), spectrum(turned(atoms, Rotation.random(rng=rng)))) < TURN


@pytest.mark.parametrize("cells", [(2, 2, 24), (2, 2, 10), (8, 8, 2)], ids=["rod", "short rod", "plate"])
def test_a_turn_leaves_the_spectrum_of_what_is_not_compact(cells, rng):
    """Along a rod many atoms are as far apart as the outermost ones."""
    atoms = bulk("Cu", cubic=True).repeat(cells)
    atoms.pbc = False
    assert change(spectrum(atoms), spectrum(turned(atoms, Rotation.random(rng=rng)))) < TURN


def test_a_turn_leaves_the_spectrum_of_two_pieces(rng):
    atoms = two_far_apart(25)
    assert change(spectrum(atoms), spectrum(turned(atoms, Rotation.random(rng=rng)))) < TURN


def test_a_turn_leaves_the_spectrum_of_a_large_cloud(rng):
    atoms = turned(cloud("fcc", 4000), Rotation.random(rng=rng))
    assert change(spectrum(atoms), spectrum(turned(atoms, Rotation.random(rng=rng)))) < TURN


def test_translation_leaves_the_spectrum():
    atoms = cloud("hcp")
    moved = atoms.copy()
    moved.positions += [37.1, -5.3, 210.7]
    assert change(spectrum(atoms), spectrum(moved)) < FLOAT32


def test_order_of_the_atoms_leaves_the_spectrum(rng):
    atoms, _ = compound(rng)
    assert change(spectrum(atoms), spectrum(atoms[rng.permutation(len(atoms))])) < FLOAT32


def test_the_element_does_not_matter_where_there_is_one():
    atoms = cloud("beta_sn")
    before = spectrum(atoms)
    for element in ("H", "U"):
        atoms.symbols[:] = element
        assert change(before, spectrum(atoms)) < FLOAT32


@pytest.mark.parametrize("factor", [0.4, 1.7, 5.0])
def test_size_does_not_matter(factor):
    atoms = cloud("bct_in", vacancies=0.25)
    larger = Atoms(atoms.numbers, factor * atoms.positions)
    assert change(spectrum(atoms), spectrum(larger)) < FLOAT32


@pytest.mark.parametrize("n_atoms", [64, 256])
def test_a_mirror_image_has_the_same_spectrum(n_atoms, rng):
    points = Atoms(f"Cu{n_atoms}", rng.uniform(0, 2.5 * n_atoms ** (1 / 3), (n_atoms, 3)))  # without any symmetry
    normal = rng.normal(size=3)
    mirror = np.eye(3) - 2 * np.outer(normal, normal) / (normal @ normal)
    assert change(spectrum(points), spectrum(Atoms(points.numbers, points.positions @ mirror))) < TURN


def test_periodic_images_do_not_scatter():
    supercell = bulk("Cu", cubic=True).repeat(4)
    assert change(spectrum(supercell), spectrum(Atoms(supercell.numbers, supercell.positions))) < FLOAT32


# What does.


def test_classes_differ_by_more_than_turns():
    spectra = {}
    for kind, prototype in PROTOTYPES.items():
        spectra.setdefault(CLASSES[prototype.label], []).append(spectrum(cloud(kind)))
    for name, own in spectra.items():
        others = [other for label, group in spectra.items() if label != name for other in group]
        assert min(change(one, other) for one in own for other in others) > 10 * TURN


def test_shells_that_turn_against_each_other_are_not_told_from_those_that_do_not():
    coefficients = harmonics(cloud("fcc"))
    coefficients[:, ::2] *= np.exp(0.7j * np.arange(coefficients.shape[-1]))  # every second shell by 0.7 about z
    assert change(spectrum(cloud("fcc")), power(coefficients)) < FLOAT32


# Order of the kinds.


def peaks(powder):
    return SHELLS[find_peaks(powder, prominence=0.3)[0]]


@pytest.mark.parametrize(
    "name, ratios",
    [
        ("L1_2", [1 / 3, 2 / 3]),  # (100), (110); of fcc (111)
        ("L1_0", [1 / 3, 2 / 3]),  # (001), (110); likewise
        ("B2", [1 / 2]),  # (100); of bcc (110)
        ("rocksalt", [3 / 4]),  # (111); (200) of all places
    ],
)
def test_ordered_kinds_have_peaks_below_the_first_of_the_places(name, ratios):
    """Squared lengths relative to the first peak of the places, which is at sqrt(3/2)."""
    places, kinds = spectrum(ordered(name))[..., 0]
    first = np.sqrt(3 / 2)
    assert peaks(places)[0] == pytest.approx(first, abs=STEP)
    below = [s for s in peaks(kinds) if s < first - STEP]
    np.testing.assert_allclose(below, first * np.sqrt(ratios), atol=STEP)


@pytest.mark.parametrize("name", ["L1_2", "L1_0", "B2", "rocksalt"])
def test_kinds_without_order_have_no_peak_but_those_of_the_places(name):
    for number in range(5):
        places, kinds = spectrum(shuffled(ordered(name), number))[..., 0]
        assert peaks(kinds)[0] == peaks(places)[0] == pytest.approx(np.sqrt(3 / 2), abs=STEP)


@pytest.mark.parametrize("name", ["L1_2", "L1_0", "perovskite"])
def test_kinds_without_order_scatter_as_laue_says(name):
    """S_2 = q S_1 + (1 - q) on average, q the sum of the squared shares; the mean of the harmonics, too."""
    atoms = ordered(name)
    coefficients = np.array([harmonics(shuffled(atoms, number)) for number in range(24)])
    q = ((np.unique(atoms.numbers, return_counts=True)[1] / len(atoms)) ** 2).sum()
    expected = q * coefficients[0, 0]
    expected[:, 0, 0] += (1 - q) * np.sqrt(4 * np.pi)
    mean = coefficients[:, 1].mean(axis=0)
    np.testing.assert_allclose(mean[:, 0, 0], expected[:, 0, 0], atol=0.05 * np.sqrt(4 * np.pi))
    assert change([expected], [mean]) < 0.05
    assert change([coefficients[0, 0]], [mean]) > 0.3


@pytest.mark.parametrize("name", ["L1_2", "L1_0"])
def test_an_alloy_without_order_differs_from_an_ordered_one_and_hardly_from_another(name):
    _, kinds = spectrum(ordered(name))
    without = [spectrum(shuffled(ordered(name), number))[1] for number in range(6)]
    among = max(change([one], [other]) for one, other in permutations(without, 2))
    assert min(change([one], [kinds]) for one in without) > 5 * among


def test_places_of_an_alloy_are_the_same_however_it_is_ordered():
    clouds = [ordered("L1_2"), ordered("L1_0"), shuffled(ordered("L1_2")), shuffled(ordered("L1_0"))]
    (first, *others), kinds = np.swapaxes([spectrum(atoms) for atoms in clouds], 0, 1)
    assert all(change([first], [other]) < FLOAT32 for other in others)
    assert change([kinds[0]], [kinds[1]]) > 0.3


def test_order_of_the_kinds_can_be_tetragonal_on_places_that_are_cubic():
    for name, lowest, highest in (("L1_2", 0, 0.1), ("L1_0", 1, 10)):
        places, kinds = spectrum(ordered(name))
        assert places[:, 1].max() < 0.1
        assert lowest <= kinds[:, 1].max() < highest


def test_atoms_each_of_a_kind_of_its_own_scatter_1():
    atoms = cloud("fcc", 64)
    atoms.numbers = np.arange(len(atoms))
    _, kinds = spectrum(atoms)
    np.testing.assert_allclose(kinds, np.where(DEGREES == 0, 1, 0) + np.zeros_like(kinds), atol=1e-4)


# What it is.


def test_shape_and_dtype():
    coefficients = harmonics(cloud("sc"))
    shape = (2, len(SHELLS), len(DEGREES))
    assert (coefficients.shape, coefficients.dtype) == ((*shape, DEGREES[-1] + 1), np.complex64)
    assert (spectrum(cloud("sc")).shape, spectrum(cloud("sc")).dtype) == (shape, np.float32)


def test_degree_0_is_debyes_powder_pattern(rng):
    """Mean over directions: sum over pairs of sin(2 pi s r_ij) / (2 pi s r_ij), of all atoms or of those of one
    kind."""
    atoms, positions = compound(rng)
    i, j = np.triu_indices(len(atoms), 1)
    pairs = np.sinc(2 * SHELLS * pdist(positions)[:, None])
    same_kind = atoms.numbers[i] == atoms.numbers[j]
    for found, counted in zip(spectrum(atoms), (np.ones(len(i)), same_kind), strict=True):
        powder = 1 + 2 * counted @ pairs / len(atoms)
        np.testing.assert_allclose(found[:, 0], powder, atol=TURN * powder.max())


@pytest.mark.parametrize("shell", [0, 7, len(SHELLS) - 1])
def test_coefficients_are_integrals_of_the_intensity(shell, rng):
    """On one shell, by a plain sum over the atoms and a quadrature far finer than needed."""
    atoms, positions = compound(rng)
    n = int(2 * (DEGREES[-1] + 2 * np.pi * SHELLS[shell] * pdist(positions).max()))
    cosine, weights = np.polynomial.legendre.leggauss(n // 2)
    theta, phi = np.meshgrid(np.arccos(cosine), 2 * np.pi * np.arange(n) / n, indexing="ij")
    directions = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    vectors = SHELLS[shell] * directions.reshape(-1, 3)
    whole, *apart = (
        np.abs(amplitude(positions[some], vectors, np.ones((some.sum(), 1)))) ** 2 / len(atoms)
        for some in (atoms.numbers > 0, atoms.symbols == "Na", atoms.symbols == "Cl")
    )
    measure = np.reshape([whole, sum(apart)], (2, *theta.shape)) * weights[:, None] * 2 * np.pi / n
    expected = np.zeros((2, len(DEGREES), DEGREES[-1] + 1), complex)
    for i, degree in enumerate(DEGREES):
        for order in range(degree + 1):
            expected[:, i, order] = (measure * sph_harm_y(degree, order, theta, phi).conj()).sum(axis=(1, 2))
    assert change(expected, harmonics(atoms)[:, shell]) < TURN


def test_a_turn_about_z_turns_the_phases_of_the_orders(rng):
    atoms, _ = compound(rng)
    before, after = harmonics(atoms), harmonics(turned(atoms, Rotation.from_euler("z", 0.4)))
    assert change(before * np.exp(-0.4j * np.arange(DEGREES[-1] + 1)), after) < TURN
    assert change(before, after) > 10 * TURN


def test_power_counts_every_order_once(rng):
    shape = (3, len(DEGREES), DEGREES[-1] + 1)
    coefficients = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    negative = (-1.0) ** np.arange(1, DEGREES[-1] + 1) * coefficients[..., 1:].conj()  # a_l,-m of a real function
    both = np.concatenate([negative, coefficients], axis=-1)
    np.testing.assert_allclose(power(coefficients), np.sqrt((np.abs(both) ** 2).sum(axis=-1) / (4 * np.pi)), rtol=1e-12)


@pytest.mark.parametrize("kind", ["bcc", "diamond", "fcc", "sc"])
def test_a_ball_with_the_symmetry_of_the_cube_has_no_degree_2(kind):
    block = crystal(kind).repeat(16)
    middle = block.positions[np.linalg.norm(block.positions - block.positions.mean(axis=0), axis=1).argmin()]
    distance = np.linalg.norm(block.positions - middle, axis=1)
    ball = block[distance < np.sort(distance)[N_ATOMS] - 1e-3]  # whole shells of neighbours
    values, _ = spectrum(Atoms(ball.numbers, ball.positions))
    brightest = values[values[:, 0].argmax()]
    assert brightest[1] < NONE * brightest[2]


@pytest.mark.parametrize("kind", ["bcc", "diamond", "fcc", "sc"])
def test_cubic_crystals_cut_anyhow_have_hardly_any_degree_2(kind):
    values, _ = spectrum(cloud(kind))
    brightest = values[values[:, 0].argmax()]
    assert brightest[1] < 0.1 * brightest[2]


@pytest.mark.parametrize("kind", ["beta_sn", "graphite", "hcp"])
def test_tetragonal_and_hexagonal_crystals_have_degree_2(kind):
    assert spectrum(cloud(kind))[0, :, 1].max() > 1


def test_atoms_without_order_scatter_1_on_average(rng):
    points = rng.normal(size=(500, 3))
    points *= 15 * rng.random((500, 1)) ** (1 / 3) / np.linalg.norm(points, axis=1, keepdims=True)
    for kinds in (np.full(500, 29), rng.choice([29, 79], 500), rng.choice([8, 22, 38], 500)):
        np.testing.assert_allclose(spectrum(Atoms(kinds, points))[..., 0], 1, atol=0.1)


def test_the_network_of_the_seven_classes_sees_the_places_on_the_ring(rng):
    spectra = rng.random((4, 2, len(SHELLS), len(DEGREES)))
    np.testing.assert_array_equal(of_places(spectra), spectra[:, 0, -len(SHELLS[ON_RING]) :])
    np.testing.assert_array_equal(of_places(spectra[2]), of_places(spectra)[2])


# How fine it is.


def test_resolution_grows_with_the_cloud():
    sizes = [[len(values) for values in resolution(n)] for n in (32, 256, 2048)]
    assert (np.diff(sizes, axis=0) > 0).all()


def test_shells_cover_the_ring_of_the_fingerprint_at_a_quarter_of_one_over_the_radius():
    geometry = DiffractionGeometry()
    on_ring = np.linalg.norm(geometry.scattering_vectors[geometry.ring], axis=-1)
    assert (SHELLS[ON_RING][0], SHELLS[ON_RING][-1]) == (on_ring.min(), on_ring.max())
    np.testing.assert_allclose(np.diff(SHELLS), 1 / (4 * cloud_radius(N_ATOMS)), rtol=0.05)


def test_shells_begin_where_the_forward_peak_of_the_cloud_ends():
    """The second zero of a ball's is at 1.23 / R. Beyond, metals scatter less than atoms without order do."""
    end = 4 / (3 * cloud_radius(N_ATOMS))
    assert end <= SHELLS[0] < end + STEP < SHELLS[ON_RING][0]
    for kind in ("bcc", "fcc", "hcp", "sc"):
        assert spectrum(cloud(kind))[0, SHELLS < SHELLS[ON_RING][0], 0].max() < 1


def test_degrees_are_even():
    np.testing.assert_array_equal(DEGREES, 2 * np.arange(len(DEGREES)))


def test_cloud_radius_is_that_of_a_ball_of_close_packing():
    ball = cut_cloud(bulk("Cu", "fcc", a=np.sqrt(2)), 4000, "sphere", np.random.default_rng(SEED))
    assert np.linalg.norm(ball.positions, axis=1).max() == pytest.approx(cloud_radius(4000), rel=0.02)


# Bad input.


def two_far_apart(distance):
    atoms = bulk("Cu", cubic=True).repeat(3)
    other = atoms.copy()
    other.positions[:, 0] += distance * length_scale(atoms)
    return Atoms("Cu216", np.concatenate([atoms.positions, other.positions]))


WITH_NAN = bulk("Cu", cubic=True).repeat(3)
WITH_NAN.positions[5, 1] = np.nan


@pytest.mark.parametrize(
    "atoms, reason",
    [
        (Atoms(), "no atoms"),
        (Atoms("Cu", [(1, 2, 3)]), "no length scale"),
        (Atoms("Cu30", np.ones((30, 3))), "no length scale"),
        (Atoms("Cu2", [(0, 0, 0), (0, 0, 30)]), "no length scale"),
        (WITH_NAN, "finite numbers"),
        (two_far_apart(2.2 * LARGEST_RADIUS), "cut a piece out of it"),
        (two_far_apart(1e7), "extends over"),
    ],
    ids=["none", "one", "coincident", "no neighbours", "NaN", "far apart", "very far apart"],
)
def test_what_has_no_spectrum_gets_one_sentence(atoms, reason):
    with pytest.raises(ValueError, match=reason) as error:
        spectrum(atoms)
    assert "\n" not in str(error.value) and "nan" not in str(error.value)


def test_as_far_apart_as_allowed():
    assert np.isfinite(spectrum(two_far_apart(1.5 * LARGEST_RADIUS))).all()


@pytest.mark.filterwarnings("error")
def test_many_coincident_atoms_are_named_of_few_there_is_a_spectrum():
    atoms = cloud("fcc")
    with pytest.raises(ValueError, match="on top of each other"):
        spectrum(atoms + atoms[:60])
    assert np.isfinite(spectrum(atoms + atoms[:5])).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("axis", range(3))
def test_two_atoms_lines_and_planes_have_finite_spectra(axis):
    direction = np.roll([2.5, 0, 0], axis)
    plane = np.roll(np.indices((7, 7, 1)).reshape(3, -1).T, axis, axis=1)
    for positions in (np.outer(np.arange(2), direction), np.outer(np.arange(30), direction), 2.5 * plane):
        assert np.isfinite(spectrum(Atoms(np.full(len(positions), 29), positions))).all()
