from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation
from vesin import NeighborList

from xtalsight.crystals import PROTOTYPES, build_crystal, conventional_cell, make_recipes, primitive_cell
from xtalsight.damage import remove_atoms
from xtalsight.fingerprints import (
    _FEW_ATOMS,
    ORIENTATIONS,
    DiffractionGeometry,
    _nearest_neighbour_distances,
    combine_patterns,
    diffraction_patterns,
    diffraction_patterns_direct,
    fingerprint,
    length_scale,
    near_reflections,
    reflections,
    rotation,
)
from xtalsight.scattering import amplitude, form_factor

SEED = 1912
REFERENCE_ACCURACY = 1e-5  # of images and patterns with maximum 1; the reference computes in float32
LENGTH_ACCURACY = 1e-6  # relative
FLOAT32 = 1e-5  # of the maximum
DISTINCT = 1e-2  # images that differ by more than this are different
ROUNDING = 1e-12

WAVELENGTH, DISTANCE, PIXEL, N = 0.05, 0.1, 4e-4, 64  # the published experiment
RING = DiffractionGeometry().ring
WITHOUT_QUIRKS = DiffractionGeometry(reference_quirks=False)

STRUCTURES = ase.io.read(Path(__file__).parent / "reference/reference_structures.extxyz", index=":")
with np.load(Path(__file__).parent / "reference/reference_fingerprints.npz") as arrays:
    REFERENCE = dict(arrays)

# spglib announces how errors will be reported in future.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
each_reference = pytest.mark.parametrize("i", range(len(STRUCTURES)), ids=[a.info["name"] for a in STRUCTURES])


def structure(name):
    return next(atoms.copy() for atoms in STRUCTURES if atoms.info["name"] == name)


def assert_images_equal(first, second, accuracy=FLOAT32):
    np.testing.assert_allclose(first, second, rtol=0, atol=accuracy * np.max(second))


# The reference code.


@each_reference
def test_fingerprint_equals_the_reference(i):
    assert_images_equal(fingerprint(STRUCTURES[i]), REFERENCE["fingerprint"][i], REFERENCE_ACCURACY)


@each_reference
def test_length_scale_equals_the_reference(i):
    assert length_scale(STRUCTURES[i]) == pytest.approx(REFERENCE["scale_factor"][i], rel=LENGTH_ACCURACY)


@each_reference
def test_patterns_equal_the_reference_in_order(i):
    ours, theirs = diffraction_patterns(STRUCTURES[i])[:, RING], REFERENCE["raw_intensity"][i][:, RING]
    assert_images_equal(ours / ours.max(), theirs / theirs.max(), REFERENCE_ACCURACY)


def test_reference_structures_and_images_are_in_the_same_order():
    assert [atoms.info["name"] for atoms in STRUCTURES] == REFERENCE["names"].tolist()


# The image.


def test_shape_and_dtype():
    image = fingerprint(structure("NaCl_vac25"))
    assert (image.shape, image.dtype) == ((N, N, 3), np.float32)


def test_range_is_0_to_1():
    image = fingerprint(structure("NaCl_vac25"))
    assert (image.min(), image.max()) == (0, 1)


def test_zero_outside_the_ring_only():
    image = fingerprint(structure("bct141_Sn_disp0.05"))
    np.testing.assert_array_equal(image.any(axis=-1), RING)


def test_channels_are_sums_over_both_senses_with_one_maximum():
    patterns = np.arange(1, 25, dtype=np.float32).reshape(6, 2, 2)
    expected = np.stack([patterns[0] + patterns[1], patterns[2] + patterns[3], patterns[4] + patterns[5]], axis=-1)
    np.testing.assert_allclose(combine_patterns(patterns), expected / 44, rtol=FLOAT32)


def test_translation_leaves_the_image():
    atoms = structure("bcc_Fe_vac25")
    moved = atoms.copy()
    moved.positions += [37.1, -5.3, 210.7]
    assert_images_equal(fingerprint(moved), fingerprint(atoms))


def test_order_of_the_atoms_leaves_the_image():
    atoms = structure("NaCl_vac25")
    shuffled = atoms[np.random.default_rng(SEED).permutation(len(atoms))]
    assert_images_equal(fingerprint(shuffled), fingerprint(atoms))


def test_lattice_parameter_leaves_the_image():
    small, large = (bulk("Al", "fcc", a=a, cubic=True).repeat(4) for a in (4.05, 5.6))
    assert_images_equal(fingerprint(large), fingerprint(small))


def test_vacancies_change_the_image():
    difference = fingerprint(structure("bcc_Fe_vac25")) - fingerprint(structure("bcc_Fe_pristine"))
    assert np.abs(difference).max() > DISTINCT


def test_orientation_changes_the_image():
    atoms = structure("bcc_Fe_pristine")
    turned = atoms.copy()
    turned.rotate(10, "x", rotate_cell=True)
    assert np.abs(fingerprint(turned) - fingerprint(atoms)).max() > DISTINCT


@pytest.mark.parametrize("name", PROTOTYPES)
def test_standard_cell_makes_the_image_independent_of_the_rotation(name):
    first = make_recipes({name: 1}, SEED).iloc[0].to_dict()
    second = {**first, "rotation_x": -31.0, "rotation_y": 72.0, "rotation_z": 158.0}
    assert_images_equal(fingerprint(build_crystal(second)), fingerprint(build_crystal(first)))


# Symmetry: a cube of simple cubic cells has every symmetry of the cube. The reference measures the solid angle along
# the top and left edge of each pixel, which breaks it by 2e-4: without the quirks it is exact.


@pytest.fixture(scope="module")
def cube_image():
    return fingerprint(bulk("Po", "sc", a=3.3).repeat(6), WITHOUT_QUIRKS)


def test_cube_seen_along_the_beam_is_four_fold(cube_image):
    blue = cube_image[..., 2]
    assert_images_equal(np.rot90(blue), blue)


def test_quarter_turn_of_a_cube_exchanges_red_and_green(cube_image):
    red, green, _ = np.moveaxis(cube_image, -1, 0)
    assert_images_equal(np.rot90(red), green)


@pytest.mark.parametrize("flip", [np.flipud, np.fliplr])
def test_cube_has_mirror_images(cube_image, flip):
    assert_images_equal(flip(cube_image), cube_image)


# The patterns.

CLUSTERS = {
    "one element, periodic": structure("hcp_Mg_vac25")[:120],
    "compound, periodic": structure("NaCl_vac25")[:120],
    "one element, not periodic": molecule("C60"),
    "compound, not periodic": molecule("CH3CH2OH"),
}


@pytest.mark.parametrize("atoms", CLUSTERS.values(), ids=CLUSTERS.keys())
def test_fast_patterns_equal_the_direct_sum(atoms):
    assert_images_equal(diffraction_patterns(atoms), diffraction_patterns_direct(atoms))


@pytest.mark.parametrize("n_pixels", [32, 33])
def test_fast_patterns_equal_the_direct_sum_on_another_detector(n_pixels):
    geometry = DiffractionGeometry(n_pixels=n_pixels)
    atoms = molecule("CH3CH2OH")
    assert_images_equal(diffraction_patterns(atoms, geometry), diffraction_patterns_direct(atoms, geometry))


@pytest.mark.parametrize("k", range(6), ids=[f"{'xyz'[axis]}{angle:+.0f}" for axis, angle in ORIENTATIONS])
def test_turning_the_atoms_equals_counter_turning_the_scattering_vectors(k):
    axis, angle = ORIENTATIONS[k]
    atoms = structure("bcc_Fe_vac25")[:60]
    # s' = M s is the same as atoms turned by the transpose of M: by +angle about x and z, by -angle about y.
    turn = Rotation.from_euler("xyz"[axis], -angle if axis == 1 else angle, degrees=True)
    geometry = DiffractionGeometry()
    s = geometry.scattering_vectors[RING]
    f = form_factor(28, np.linalg.norm(s, axis=1))
    expected = np.abs(amplitude(turn.apply(atoms.positions) / length_scale(atoms), s, f)) ** 2
    assert_images_equal(diffraction_patterns(atoms)[k][RING], expected * geometry.solid_angle[RING])


def test_periodic_images_do_not_scatter():
    atoms = structure("fcc_Al_pristine")
    cluster = atoms.copy()
    cluster.pbc = False  # every atom still has a nearest neighbour inside
    assert_images_equal(fingerprint(cluster), fingerprint(atoms))


# The detector.


def test_ring_has_2512_pixels():
    assert RING.sum() == 2512


def test_ring_lies_between_10_and_30_pixels():
    row, column = np.indices((N, N)) - (N - 1) / 2
    np.testing.assert_array_equal(RING, (np.hypot(row, column) > 10) & (np.hypot(row, column) < 30))


def test_scattering_vectors_lie_on_the_ewald_sphere():
    s = DiffractionGeometry().scattering_vectors
    np.testing.assert_allclose(np.linalg.norm(s + [0, 0, 1 / WAVELENGTH], axis=-1), 1 / WAVELENGTH, rtol=ROUNDING)


def test_length_of_the_scattering_vectors_is_braggs():
    row, column = np.indices((N, N)) - (N - 1) / 2
    two_theta = np.arctan(np.hypot(row, column) * PIXEL / DISTANCE)
    s = DiffractionGeometry().scattering_vectors
    np.testing.assert_allclose(np.linalg.norm(s, axis=-1), 2 * np.sin(two_theta / 2) / WAVELENGTH, rtol=ROUNDING * 100)


def test_columns_are_x_and_rows_are_y():
    s = DiffractionGeometry().scattering_vectors
    assert (np.diff(s[..., 0], axis=1) > 0).all()
    assert (np.diff(s[..., 1], axis=0) > 0).all()


@pytest.mark.parametrize("axis, angle", ORIENTATIONS)
def test_orientation_matrix_is_a_proper_rotation_about_its_axis(axis, angle):
    matrix = rotation(axis, angle)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=ROUNDING)
    np.testing.assert_allclose(matrix[axis], np.eye(3)[axis], atol=ROUNDING)
    assert np.linalg.det(matrix) == pytest.approx(1)
    assert np.trace(matrix) == pytest.approx(1 + 2 * np.cos(np.radians(angle)))


@pytest.mark.parametrize(
    "parameters",
    [{"wavelength": 0}, {"distance": -0.1}, {"pixel_size": 0}, {"n_pixels": 7}, {"wavelength": np.nan}],
    ids=str,
)
def test_geometry_rejects(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        DiffractionGeometry(**parameters)


# Without the quirks of the reference.


def true_solid_angle():
    """Solid angle of square pixels, the exact integral between their corners."""
    edges = (np.arange(N + 1) - N / 2) * PIXEL
    x, y = np.meshgrid(edges, edges)
    corner = np.arctan(x * y / (DISTANCE * np.sqrt(x**2 + y**2 + DISTANCE**2)))
    return np.diff(np.diff(corner, axis=0), axis=1)


def test_true_solid_angle():
    np.testing.assert_allclose(WITHOUT_QUIRKS.solid_angle, true_solid_angle(), rtol=PIXEL**2 / DISTANCE**2)


def test_without_quirks_an_element_has_its_own_form_factor():
    atoms = bulk("Fe", cubic=True).repeat(2)
    s = WITHOUT_QUIRKS.scattering_vectors[RING] @ rotation(*ORIENTATIONS[0]).T
    phases = 2 * np.pi * s @ atoms.positions.T / (2.87 * np.sqrt(3) / 2)
    f = form_factor(26, np.linalg.norm(s, axis=1))
    expected = f**2 * (np.cos(phases).sum(axis=1) ** 2 + np.sin(phases).sum(axis=1) ** 2) * true_solid_angle()[RING]
    assert_images_equal(diffraction_patterns(atoms, WITHOUT_QUIRKS)[0][RING], expected, 2 * FLOAT32)


@pytest.mark.parametrize("name", ["bcc_Fe_pristine", "hcp_Mg_vac25", "rh_Hg_disp0.05", "NaCl_pristine"])
def test_quirks_change_the_image_a_little(name):
    atoms = structure(name)
    difference = np.abs(fingerprint(atoms, WITHOUT_QUIRKS) - fingerprint(atoms)).max()
    assert 1e-3 < difference < 0.1


# The length scale.


def chain(*z, cell=0.0):
    """Iron atoms along z, periodic along z where `cell` is given."""
    return Atoms(f"Fe{len(z)}", [(0, 0, height) for height in z], cell=[2, 2, cell], pbc=[False, False, cell > 0])


@pytest.mark.parametrize(
    "atoms, expected",
    [
        (chain(0, 2.5), 2.5),
        (chain(0, cell=3.1), 3.1),  # its own images
        (chain(0, 2, cell=5), 2),
        (chain(0, 2, 5.0), (2 + 2 + 3) / 3),
        (chain(0.5, 8.5, cell=10), 2),  # across the boundary
        (chain(0.5, 8.5), 8),  # cell vectors of 2 angstrom, but not periodic
        (chain(0, 3, 8), (3 + 3 + 5) / 3),  # found beyond 4.1, within 8.2 angstrom
        (chain(0, 3, 12), 3),  # the third atom has no neighbour within 8.2 angstrom and is left out
        (chain(0, 9), 9),  # no atom has one within 8.2 angstrom: the next radius
        (chain(0, 9, 20), 9),  # within 10.2 angstrom two atoms have one
        (chain(0, 24), 24),
        (chain(0, 0.05, 20), (0.05 + 0.05 + 19.95) / 3),  # a mean of 0.05 angstrom is too small: on to 22.2 angstrom
    ],
    ids=[
        "dimer",
        "self image",
        "two in a cell",
        "mean",
        "across the boundary",
        "not periodic",
        "beyond 4.1",
        "beyond 8.2 left out",
        "none within 8.2",
        "none within 8.2, left out beyond 10.2",
        "within 24.2",
        "mean too small within 8.2",
    ],
)
def test_length_scale(atoms, expected):
    assert length_scale(atoms) == pytest.approx(expected, rel=LENGTH_ACCURACY)


def test_length_scale_does_not_need_wrapped_positions():
    atoms = structure("diam_C_disp0.05")
    expected = length_scale(atoms)
    atoms.positions += np.random.default_rng(SEED).integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    assert length_scale(atoms) == pytest.approx(expected, rel=LENGTH_ACCURACY)


def random_cloud(rng):
    """Up to 60 atoms, some of them on top of each other, in a cell of any shape, periodic along any of its axes."""
    n_atoms, pbc = rng.integers(2, 60), rng.random(3) < rng.choice([0, 0.5, 1])
    cell = np.diag(rng.uniform(8, 30, 3)) + rng.normal(scale=rng.choice([0, 2, 6]), size=(3, 3))
    if rng.random() < 0.5:
        cell[~pbc] = 0
    positions = rng.uniform(-1, 1, (n_atoms, 3)) * rng.uniform(5, 40, 3)  # not wrapped
    if rng.random() < 0.2:
        positions[1] = positions[0]
    return Atoms(np.full(n_atoms, "Fe"), positions, cell=cell, pbc=pbc)


@pytest.mark.parametrize("radius", [4.1, 8.2, 14.2])
def test_nearest_neighbours_are_those_of_a_neighbour_list(radius):
    rng = np.random.default_rng(SEED)
    for _ in range(200):
        atoms = random_cloud(rng)
        neighbours = NeighborList(cutoff=radius, full_list=True)
        first, distance = neighbours.compute(atoms.positions, atoms.cell.array, atoms.pbc, quantities="id")
        expected = [distance[first == i].min(initial=np.inf) for i in range(len(atoms))]
        np.testing.assert_allclose(_nearest_neighbour_distances(atoms, radius), expected, rtol=0, atol=ROUNDING)


def test_length_scale_needs_no_compact_cell():
    atoms = bulk("Cu", cubic=True).repeat(4)
    skew = atoms.copy()
    skew.cell[:] = [[1, 0, 0], [3, 1, 0], [-2, 5, 1]] @ atoms.cell.array  # other vectors of the same lattice
    assert length_scale(skew) == pytest.approx(length_scale(atoms), rel=LENGTH_ACCURACY)


@pytest.mark.parametrize("pbc", [False, True])
def test_length_scale_does_not_depend_on_the_number_of_atoms(pbc):
    few, many = (bulk("Cu", cubic=True).repeat(n) for n in (6, 9))
    few.pbc = many.pbc = pbc
    assert len(few) < _FEW_ATOMS < len(many)
    assert length_scale(many) == pytest.approx(length_scale(few), rel=LENGTH_ACCURACY)


# Wrong input: the message names the structure.


def with_positions(*positions, symbol="Fe", **keywords):
    return Atoms([symbol] * len(positions), positions, **keywords)


@pytest.mark.parametrize(
    "atoms",
    [
        Atoms(),
        with_positions((0, 0, 0)),
        with_positions((0, 0, 0), cell=[3, 3, 3], pbc=True),
        with_positions((0, 0, 0), (0, np.nan, 2)),
        with_positions((0, 0, 0), (0, 0, 2), cell=[3, 3, np.inf], pbc=True),
        with_positions((0, 0, 0), (0, 0, 2), pbc=True),
        with_positions((0, 0, 0), (0, 0, 2), cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0]], pbc=True),
        with_positions((0, 0, 0), (0, 0, 2), symbol="Bk"),
        with_positions((0, 0, 0), (0, 0, 2), symbol="X"),
        with_positions((0, 0, 0), (0, 0, 0)),
        with_positions((0, 0, 0), (0, 0, 25)),
    ],
    ids=[
        "no atoms",
        "one atom",
        "one atom, periodic",
        "NaN position",
        "infinite cell",
        "periodic without cell",
        "cell vectors in a plane",
        "no form factor",
        "dummy atom",
        "coincident atoms",
        "no neighbour",
    ],
)
def test_fingerprint_rejects(atoms):
    atoms.info["name"] = "culprit"
    with pytest.raises(ValueError, match="culprit"):
        fingerprint(atoms)


@pytest.mark.parametrize("angle", [90, 0.5], ids=["flat", "skew"])
def test_a_cell_of_little_volume_is_a_cell(angle):
    """Pairs of atoms in a cell of 2.5 by 3 by 5000 angstrom, whose third edge nearly runs along the first in the second
    case."""
    atoms = Atoms("Cu2", [(0, 0, 0), (0, 0, 2)], cell=[2.5, 3, 5000, 90, angle, 90], pbc=True)
    assert length_scale(atoms) == pytest.approx(2)


@pytest.mark.parametrize(
    "atoms",
    [Atoms(), chain(0), chain(0, 0), chain(0, 0.09), chain(0, 25)],
    ids=["no atoms", "one atom", "coincident atoms", "too close", "no neighbour"],
)
def test_length_scale_rejects(atoms):
    atoms.info["name"] = "culprit"
    with pytest.raises(ValueError, match="culprit"):
        length_scale(atoms)


# Bragg reflections.


def standard_cell_and_cluster(name):
    recipe = make_recipes({name: 1}, SEED).iloc[0].to_dict()
    cluster = build_crystal(recipe)
    return conventional_cell(primitive_cell(recipe)), cluster, cluster.get_volume() ** (1 / 3) / length_scale(cluster)


@pytest.mark.parametrize("name", PROTOTYPES)
def test_brightness_of_a_fingerprint_lies_at_the_reflections(name):
    cell, cluster, extent = standard_cell_and_cluster(name)
    near = near_reflections(reflections(cell, extent))
    image = fingerprint(cluster)
    brightest = np.sort(image.ravel())[-50:].min()
    assert near[image >= brightest].mean() > 0.8  # diamond's (111) shines in from inside the ring
    assert image[near].sum() > 0.7 * image.sum()
    assert near[RING].mean() < 0.25  # a small part of the ring


@pytest.mark.parametrize(
    "name, allowed",
    [
        ("fcc", lambda h, k, l: (h % 2 == k % 2) & (k % 2 == l % 2)),
        ("bcc", lambda h, k, l: (h + k + l) % 2 == 0),
        ("diamond", lambda h, k, l: (h % 2 == 1) | ((h + k + l) % 4 == 0)),
        ("hcp", lambda h, k, l: ~((l % 2 == 1) & ((h + 2 * k) % 3 == 0))),
    ],
)
def test_reflections_obey_the_extinction_rules(name, allowed):
    cell, _, extent = standard_cell_and_cluster(name)
    table = reflections(cell, extent)
    assert len(table) > 10
    assert allowed(table.h, table.k, table.l).all()


def test_reflections_are_bragg_peaks_of_the_scaled_crystal():
    cell, _, extent = standard_cell_and_cluster("fcc")
    table = reflections(cell, extent)
    lattice_parameter = np.sqrt(2)  # of fcc, in nearest-neighbour distances
    g = np.sqrt(table.h**2 + table.k**2 + table.l**2) / lattice_parameter
    two_theta = np.arctan(np.hypot(table.x, table.y) * PIXEL / DISTANCE)
    bragg = 2 * np.sin(two_theta / 2) / WAVELENGTH
    # Off the Ewald sphere by less than 1 / extent along the beam.
    assert (np.abs(bragg - g) < 1 / extent).all()
    on_sphere = table.miss.abs() < 0.02
    np.testing.assert_allclose(bragg[on_sphere], g[on_sphere], atol=0.02)


@pytest.mark.parametrize("pattern", range(6))
def test_reflections_of_a_pattern_are_where_that_pattern_is_bright(pattern):
    # The two patterns of one axis differ in a rhombohedral crystal: a rotation in the wrong sense would show.
    cell, cluster, extent = standard_cell_and_cluster("arsenic")
    table = reflections(cell, extent)
    brightness = diffraction_patterns(cluster)
    near = near_reflections(table[table.pattern == pattern])[..., pattern // 2]
    share = [image[near].sum() / image.sum() for image in brightness]
    assert share[pattern] > 0.6
    if pattern < 4:  # those about the beam are turned by 90 degrees
        assert share[pattern] > share[pattern ^ 1] + 0.1


def test_reflections_miss_the_sphere_by_what_is_left_of_g():
    cell, _, extent = standard_cell_and_cluster("hcp")
    table = reflections(cell, extent)
    two_theta = np.arctan(np.hypot(table.x, table.y) * PIXEL / DISTANCE)
    across, along = np.sin(two_theta) / WAVELENGTH, (np.cos(two_theta) - 1) / WAVELENGTH + table.miss
    np.testing.assert_allclose(np.hypot(across, along), table.length, rtol=1e-9)


def test_reflections_come_brightest_first():
    cell, _, extent = standard_cell_and_cluster("hcp")
    assert (np.diff(reflections(cell, extent).intensity) <= 0).all()


@pytest.mark.parametrize("extent", [0, -5, np.inf, np.nan])
def test_extent_must_make_sense(extent):
    with pytest.raises(ValueError, match="extent"):
        reflections(bulk("Al", cubic=True), extent)


def test_a_cluster_has_no_reflections():
    with pytest.raises(ValueError, match="periodic"):
        reflections(molecule("C60"), 5.0)


@pytest.mark.parametrize("symbol", ["Cu", "Fe", "Na"])
def test_powder_scale_of_fcc_and_bcc_is_the_neighbour_distance(symbol):
    atoms = bulk(symbol, cubic=True).repeat(5)
    assert length_scale(atoms, "powder") == pytest.approx(length_scale(atoms), rel=0.02)


@pytest.mark.parametrize("symbol", ["Cu", "Fe", "Mg"])
@pytest.mark.parametrize(("vacancies", "displacement"), [(0.85, 0), (0, 0.15), (0.5, 0.1)])
def test_damage_leaves_the_powder_scale_and_moves_the_neighbour_distance(symbol, vacancies, displacement):
    atoms = bulk(symbol).repeat(6)
    damaged = remove_atoms(atoms, vacancies, np.random.default_rng(0))
    damaged.positions += np.random.default_rng(1).normal(
        scale=displacement * length_scale(atoms), size=(len(damaged), 3)
    )
    assert length_scale(damaged, "powder") == pytest.approx(length_scale(atoms, "powder"), rel=0.03)
    assert abs(length_scale(damaged) / length_scale(atoms) - 1) > 0.01


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_powder_scale_grows_with_the_crystal(factor):
    atoms = bulk("Cu", cubic=True).repeat(4)
    scaled = atoms.copy()
    scaled.positions *= factor
    scaled.set_cell(atoms.cell.array * factor)
    assert length_scale(scaled, "powder") == pytest.approx(factor * length_scale(atoms, "powder"))


def test_powder_scale_does_not_depend_on_place_and_orientation():
    atoms = bulk("Mg").repeat(6)
    expected = length_scale(atoms, "powder")
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    atoms.positions += (5, -3, 100)
    assert length_scale(atoms, "powder") == pytest.approx(expected, rel=1e-6)


def test_powder_scale_of_a_large_cluster_needs_only_some_of_the_pairs():
    small, large = bulk("Cu", cubic=True).repeat(7), bulk("Cu", cubic=True).repeat(14)
    assert length_scale(large, "powder") == pytest.approx(length_scale(small, "powder"), rel=0.01)


def test_powder_scale_of_two_atoms_grows_with_their_distance():
    scales = [length_scale(Atoms("Cu2", positions=[(0, 0, 0), (r, 0, 0)]), "powder") for r in (2.0, 3.0)]
    assert scales[1] / scales[0] == pytest.approx(1.5)


def test_reflections_know_the_neighbour_distance_only():
    with pytest.raises(ValueError, match="powder"):
        reflections(bulk("Cu", cubic=True), 5, DiffractionGeometry(scale="powder"))


def test_reflections_of_an_element_without_form_factor_name_the_structure():
    cell = bulk("Cu", cubic=True)
    cell.numbers[:] = 98
    cell.info["name"] = "my crystal"
    with pytest.raises(ValueError, match="my crystal"):
        reflections(cell, 5)


def test_geometry_with_powder_scale_sees_a_damaged_crystal_at_its_true_size():
    atoms = bulk("Cu", cubic=True).repeat(4)
    hot = atoms.copy()
    hot.positions += np.random.default_rng(0).normal(scale=0.1 * length_scale(atoms), size=(len(atoms), 3))

    def similarity(scale):
        images = [fingerprint(a, DiffractionGeometry(scale=scale)).ravel() for a in (atoms, hot)]
        return np.corrcoef(images)[0, 1]

    assert similarity("powder") > 0.95
    assert similarity("nearest_neighbour") < 0.5


def test_unknown_scale():
    with pytest.raises(ValueError, match="scale"):
        DiffractionGeometry(scale="median")
    with pytest.raises(ValueError, match="scale"):
        length_scale(bulk("Cu", cubic=True), "median")
