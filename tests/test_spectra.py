import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from xtalsight.clouds import cut_cloud
from xtalsight.crystals import CLASSES, N_ATOMS, PROTOTYPES, make_recipes, primitive_cell
from xtalsight.damage import remove_atoms
from xtalsight.fingerprints import DiffractionGeometry, length_scale
from xtalsight.scattering import amplitude, form_factor
from xtalsight.spectra import (
    DEGREES,
    LARGEST_RADIUS,
    SHELLS,
    cloud_radius,
    harmonics,
    power,
    resolution,
    spectrum,
)

SEED = 1912
TURN = 1e-2  # relative, of the norm: what a turn changes, the error of the quadrature
FLOAT32 = 1e-5  # likewise
NONE = 2e-3  # of the power of degree 4: a degree that symmetry forbids
KINDS = ["bcc", "bct_in", "beta_sn", "diamond", "fcc", "hcp", "graphite", "sc"]


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
    return np.linalg.norm(second - first) / np.linalg.norm(first)


def compound(rng):
    """A cloud of two elements with displacements, and its positions in units of its length scale."""
    atoms = cut_cloud(bulk("NaCl", "rocksalt", a=5.6), 80, "convex", rng)
    atoms.positions += rng.normal(scale=0.1, size=(len(atoms), 3))
    return atoms, atoms.positions / length_scale(atoms, "powder")


# What does not matter.


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
    coefficients[::2] *= np.exp(0.7j * np.arange(coefficients.shape[-1]))  # every second shell by 0.7 about z
    assert change(spectrum(cloud("fcc")), power(coefficients)) < FLOAT32


# What it is.


def test_shape_and_dtype():
    coefficients = harmonics(cloud("sc"))
    assert (coefficients.shape, coefficients.dtype) == ((len(SHELLS), len(DEGREES), DEGREES[-1] + 1), np.complex64)
    assert (spectrum(cloud("sc")).shape, spectrum(cloud("sc")).dtype) == ((len(SHELLS), len(DEGREES)), np.float32)


def test_degree_0_is_debyes_powder_pattern(rng):
    """Mean over directions: sum over pairs of f_i f_j sin(2 pi s r_ij) / (2 pi s r_ij)."""
    atoms, positions = compound(rng)
    f = np.array([form_factor(number, SHELLS) for number in atoms.numbers])  # (atom, shell)
    i, j = np.triu_indices(len(atoms), 1)
    pairs = f[i] * f[j] * np.sinc(2 * SHELLS * pdist(positions)[:, None])
    powder = 1 + 2 * pairs.sum(axis=0) / (f**2).sum(axis=0)
    np.testing.assert_allclose(spectrum(atoms)[:, 0], powder, atol=TURN * powder.max())


@pytest.mark.parametrize("shell", [0, 7, len(SHELLS) - 1])
def test_coefficients_are_integrals_of_the_intensity(shell, rng):
    """On one shell, by a plain sum over the atoms and a quadrature far finer than needed."""
    atoms, positions = compound(rng)
    n = int(2 * (DEGREES[-1] + 2 * np.pi * SHELLS[shell] * pdist(positions).max()))
    cosine, weights = np.polynomial.legendre.leggauss(n // 2)
    theta, phi = np.meshgrid(np.arccos(cosine), 2 * np.pi * np.arange(n) / n, indexing="ij")
    directions = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    f = np.array([form_factor(number, SHELLS[shell]) for number in atoms.numbers])[:, None]
    waves = amplitude(positions, SHELLS[shell] * directions.reshape(-1, 3), f)
    intensity = np.abs(waves.reshape(theta.shape)) ** 2 / (f**2).sum()
    measure = intensity * weights[:, None] * 2 * np.pi / n
    expected = np.zeros((len(DEGREES), DEGREES[-1] + 1), complex)
    for i, degree in enumerate(DEGREES):
        for order in range(degree + 1):
            expected[i, order] = (measure * sph_harm_y(degree, order, theta, phi).conj()).sum()
    assert change(expected, harmonics(atoms)[shell]) < TURN


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
    values = spectrum(Atoms(ball.numbers, ball.positions))
    brightest = values[values[:, 0].argmax()]
    assert brightest[1] < NONE * brightest[2]


@pytest.mark.parametrize("kind", ["bcc", "diamond", "fcc", "sc"])
def test_cubic_crystals_cut_anyhow_have_hardly_any_degree_2(kind):
    values = spectrum(cloud(kind))
    brightest = values[values[:, 0].argmax()]
    assert brightest[1] < 0.1 * brightest[2]


@pytest.mark.parametrize("kind", ["beta_sn", "graphite", "hcp"])
def test_tetragonal_and_hexagonal_crystals_have_degree_2(kind):
    assert spectrum(cloud(kind))[:, 1].max() > 1


def test_atoms_without_order_scatter_1_on_average(rng):
    points = rng.normal(size=(500, 3))
    points *= 15 * rng.random((500, 1)) ** (1 / 3) / np.linalg.norm(points, axis=1, keepdims=True)
    np.testing.assert_allclose(spectrum(Atoms("Cu500", points))[:, 0], 1, atol=0.1)


# How fine it is.


def test_resolution_grows_with_the_cloud():
    sizes = [[len(values) for values in resolution(n)] for n in (32, 256, 2048)]
    assert (np.diff(sizes, axis=0) > 0).all()


def test_shells_cover_the_ring_of_the_fingerprint_at_a_quarter_of_one_over_the_radius():
    geometry = DiffractionGeometry()
    on_ring = np.linalg.norm(geometry.scattering_vectors[geometry.ring], axis=-1)
    assert (SHELLS[0], SHELLS[-1]) == (on_ring.min(), on_ring.max())
    np.testing.assert_allclose(np.diff(SHELLS), 1 / (4 * cloud_radius(N_ATOMS)), rtol=0.05)


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
        (Atoms("X20", np.random.default_rng(0).uniform(0, 8, (20, 3))), "no form factor"),
    ],
    ids=["none", "one", "coincident", "no neighbours", "NaN", "far apart", "very far apart", "dummy"],
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
