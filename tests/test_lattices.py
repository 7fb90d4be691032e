from threading import Thread

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.cell import Cell
from ase.spacegroup import crystal
from filelock import FileLock
from scipy.linalg import expm
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from xtalsight.clouds import endless_ball
from xtalsight.damage import remove_atoms
from xtalsight.fingerprints import length_scale
from xtalsight.lattices import (
    coincidence,
    colours,
    compile_orix,
    disorientation,
    euler_angles,
    fit_basis,
    ideal_cell,
    orient,
    orix_lock,
    point_group,
    quaternions,
    reciprocal_basis,
    to_conventional,
)
from xtalsight.waves import find_waves

SEED = 1912
N_ATOMS = 250  # of the balls
ANGLE = 1e-4  # degrees: rounding
NOISE = 0.03  # relative, of what one ball of displaced atoms says
RUTILE = crystal("TiO", [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.594, 4.594, 2.959, 90, 90, 90])
TIN = crystal("Sn", [(0, 0, 0)], spacegroup=141, cellpar=[5.83, 5.83, 3.18, 90, 90, 90], primitive_cell=True)
CRYSTALS = {
    # crystal, class, atoms in the primitive cell of its places, lattice, edges of the conventional cell (angstrom)
    "fcc": (bulk("Cu"), "fcc", 1, "cF", (3.61, 3.61, 3.61)),
    "bcc": (bulk("Fe"), "bcc", 1, "cI", (2.87, 2.87, 2.87)),
    "sc": (bulk("Po", "sc", a=3.35), "sc", 1, "cP", (3.35, 3.35, 3.35)),
    "diamond": (bulk("Si"), "diam", 2, "cF", (5.43, 5.43, 5.43)),
    "hcp": (bulk("Mg"), "hex/rh", 2, "hP", (3.21, 3.21, 5.21)),
    "indium": (bulk("In"), "bct_139", 1, "tI", (3.25, 3.25, 4.95)),
    "tin": (TIN, "bct_141", 2, "tI", (5.83, 5.83, 3.18)),
    "rock salt": (bulk("NaCl", "rocksalt", a=5.64), None, 1, "cP", (2.82, 2.82, 2.82)),  # its places are sc
    "zinc blende": (bulk("GaAs", "zincblende", a=5.65), None, 2, "cF", (5.65, 5.65, 5.65)),
    "rutile": (RUTILE, None, 6, "tP", (4.594, 4.594, 2.959)),
}
each_crystal = pytest.mark.parametrize("name", CRYSTALS)
DAMAGE = {"perfect": (0, 0), "warm": (0.05, 0), "vacant": (0.05, 0.5), "hot": (0.08, 0.25)}  # displacement, vacancies
# One ball of rutile with vacancies may have too few waves: its cell has six places.
damaged = [(name, kind) for name in CRYSTALS for kind in DAMAGE if name != "rutile" or kind in ("perfect", "warm")]
each_damaged_crystal = pytest.mark.parametrize(
    "name, displacement, vacancies",
    [(name, *DAMAGE[kind]) for name, kind in damaged],
    ids=[f"{name}-{kind}" for name, kind in damaged],
)
LATTICES = ["aP", "mP", "mC", "oP", "oF", "tP", "tI", "hP", "hR", "cP", "cI", "cF"]
SIGMAS = [
    # Sigma, degrees, axis: textbooks
    (3, 60, (1, 1, 1)),
    (5, 36.87, (1, 0, 0)),
    (7, 38.21, (1, 1, 1)),
    (9, 38.94, (1, 1, 0)),
    (11, 50.48, (1, 1, 0)),
    (13, 22.62, (1, 0, 0)),
    (13, 27.80, (1, 1, 1)),
    (15, 48.19, (2, 1, 0)),
    (17, 28.07, (1, 0, 0)),
    (17, 61.93, (2, 2, 1)),
    (19, 26.53, (1, 1, 0)),
    (19, 46.83, (1, 1, 1)),
    (21, 21.79, (1, 1, 1)),
    (21, 44.42, (2, 1, 1)),
    (23, 40.46, (3, 1, 1)),
    (25, 16.26, (1, 0, 0)),
    (25, 51.68, (3, 3, 1)),
    (27, 31.59, (1, 1, 0)),
    (27, 35.43, (2, 1, 0)),
    (29, 43.60, (1, 0, 0)),
    (29, 46.40, (2, 2, 1)),
]

# spglib announces how errors will be reported in future.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)


def about(degrees, axis):
    return Rotation.from_rotvec(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis))


def waves_of(name, rng, displacement=0.0, vacancies=0.0):
    """Bragg vectors and powers of a ball of a turned crystal, and the volume of the primitive cell of its places."""
    cell, _, n_sites, *_ = CRYSTALS[name]
    cell = cell.copy()
    cell.set_cell(Rotation.random(rng=rng).apply(cell.cell.array), scale_atoms=True)
    volume = cell.get_volume() / len(cell)
    radius = (3 / (4 * np.pi) * volume * N_ATOMS / (1 - vacancies)) ** (1 / 3)
    positions, numbers = endless_ball(cell, rng.random(3) @ cell.cell.array, radius)
    atoms = remove_atoms(Atoms(numbers, positions), vacancies, rng)
    atoms.positions += rng.normal(size=atoms.positions.shape) * displacement * length_scale(cell)
    nearest = np.median(cKDTree(atoms.positions).query(atoms.positions, k=2)[0][:, 1])
    vectors, amplitudes = find_waves(atoms.positions, radius, nearest)
    return vectors.astype(float), np.abs(amplitudes) ** 2, n_sites * volume


def conventional(name, basis):
    matrix, bravais = to_conventional(basis, CRYSTALS[name][1])
    return matrix @ np.linalg.inv(basis).T, bravais


def symmetries(bravais):
    """Proper rotations of a point group, (n, 3, 3), by orix."""
    return point_group(bravais).proper_subgroup.to_matrix()


def brute_disorientation(one, other, bravais, its_bravais):
    """Least angle, degrees, of all rotations that are equal by symmetry."""
    mine, its = symmetries(bravais), symmetries(its_bravais)
    traces = np.einsum("aij,jk,bki->ab", its, other @ one.T, mine)
    return np.degrees(np.arccos(np.clip((traces.max() - 1) / 2, -1, 1)))


# Basis.


@each_damaged_crystal
def test_the_primitive_cell_of_the_places_is_found(name, displacement, vacancies, rng):
    """Of the places, whatever the elements."""
    for _ in range(3):
        vectors, powers, volume = waves_of(name, rng, displacement, vacancies)
        basis = reciprocal_basis(vectors, powers)
        assert np.linalg.det(basis) > 0
        assert np.linalg.det(basis) * volume == pytest.approx(1, rel=0.1)


@each_crystal
def test_waves_are_sums_of_the_basis_with_integers(name, rng):
    vectors, powers, _ = waves_of(name, rng)
    indices = vectors @ np.linalg.inv(reciprocal_basis(vectors, powers))
    np.testing.assert_allclose(indices, np.rint(indices), atol=0.15)


def test_a_few_foreign_waves_do_not_matter(rng):
    vectors, powers, volume = waves_of("fcc", rng)
    strength = np.sqrt(powers).sum()
    vectors, powers = np.vstack([vectors, rng.normal(size=(2, 3)) / 3]), np.append(powers, [(0.02 * strength) ** 2] * 2)
    fit = fit_basis(reciprocal_basis(vectors, powers), vectors, powers)
    assert np.linalg.det(fit) * volume == pytest.approx(1, rel=0.1)


def test_what_has_no_lattice_has_no_basis(rng):
    assert reciprocal_basis(rng.normal(size=(24, 3)), rng.uniform(0.5, 1, 24)) is None


@pytest.mark.parametrize(
    "vectors",
    [np.empty((0, 3)), np.eye(3)[:2], np.eye(3)[[0, 0, 0]] * [[1], [2], [3]], [(1, 0, 0), (0, 1, 0), (1, 1, 0)]],
    ids=["none", "two", "in a line", "in a plane"],
)
def test_fewer_than_three_directions_have_no_basis(vectors):
    assert reciprocal_basis(np.array(vectors, float), np.ones(len(vectors))) is None


def test_a_fit_brings_a_basis_nearby_to_the_waves(rng):
    basis = np.eye(3) + 0.2 * rng.normal(size=(3, 3))
    indices = np.array(np.meshgrid(*[range(-1, 2)] * 3)).reshape(3, -1).T
    vectors = indices[indices.any(axis=1)] @ basis
    fit = fit_basis(basis @ (np.eye(3) + 0.01 * rng.normal(size=(3, 3))), vectors, np.ones(len(vectors)))
    np.testing.assert_allclose(fit, basis, atol=1e-12)


def test_a_fit_needs_waves_in_three_directions():
    vectors = np.array([(1, 0, 0), (0, 1, 0), (1, 1, 0), (2, 1, 0), (1, 2, 0.4)], float)
    assert fit_basis(np.eye(3), vectors, np.ones(5)) is None
    assert fit_basis(np.eye(3), np.eye(3), np.ones(3)) is None


# Conventional cell.


@each_damaged_crystal
def test_lattice_and_edges_are_those_of_the_crystal(name, displacement, vacancies, rng):
    bravais, edges = CRYSTALS[name][3:]
    for _ in range(2):
        vectors, powers, _ = waves_of(name, rng, displacement, vacancies)
        cell, found = conventional(name, fit_basis(reciprocal_basis(vectors, powers), vectors, powers))
        assert found == bravais
        *lengths, alpha, beta, gamma = Cell(cell).cellpar()
        np.testing.assert_allclose(lengths, edges, rtol=NOISE)
        np.testing.assert_allclose([alpha, beta, gamma], [90, 90, 120 if bravais[0] == "h" else 90], atol=2)


@each_crystal
def test_the_lattice_of_a_turned_and_skewed_basis_is_the_same(name, rng):
    """Any primitive cell of the lattice will do."""
    bravais = CRYSTALS[name][3]
    vectors, powers, _ = waves_of(name, rng)
    primitive = np.linalg.inv(fit_basis(reciprocal_basis(vectors, powers), vectors, powers)).T
    cell, _ = conventional(name, np.linalg.inv(primitive).T)
    skewed = np.array([(1, 2, 0), (0, 1, 0), (-1, 0, 1)]) @ Rotation.random(rng=rng).apply(primitive)
    again, found = conventional(name, np.linalg.inv(skewed).T)
    assert found == bravais
    np.testing.assert_allclose(np.sort(Cell(again).lengths()), np.sort(Cell(cell).lengths()), rtol=5e-3)


@pytest.mark.parametrize(
    "cell, bravais",
    [
        ((5, 6, 7, 90, 90, 90), "oP"),
        ((5, 6, 7, 90, 100, 90), "mP"),
        ((5, 6, 7, 80, 95, 100), "aP"),
        ((5, 5, 7, 90, 90, 90), "tP"),
        ((5, 5, 5, 75, 75, 75), "hR"),
        ((5, 5, 7, 90, 90, 120), "hP"),
        ((5, 5, 5, 90, 90, 90), "cP"),
        ((5, 5, 5, 60, 60, 60), "cF"),
    ],
)
def test_letters_of_lattices_are_pearsons(cell, bravais):
    basis = np.linalg.inv(np.asarray(Cell.fromcellpar(cell))).T
    assert to_conventional(basis)[1] == bravais


# Orientation and strain.


@pytest.mark.parametrize("bravais", LATTICES)
def test_a_cell_with_the_symmetry_of_its_lattice_is_ideal(bravais, rng):
    cell = Cell.fromcellpar(
        {"c": (4, 4, 4, 90, 90, 90), "t": (4, 4, 5, 90, 90, 90), "h": (4, 4, 6, 90, 90, 120), "o": (4, 5, 6, 90, 90, 90)}
        .get(bravais[0], (4, 5, 6, 90, 100, 90) if bravais[0] == "m" else (4, 5, 6, 80, 95, 100))
    )  # fmt: skip
    np.testing.assert_allclose(ideal_cell(np.asarray(cell), bravais), cell, atol=1e-12)
    turn = Rotation.random(rng=rng)
    rotation, strain = orient(turn.inv().apply(np.asarray(cell)), bravais)
    np.testing.assert_allclose(rotation, turn.as_matrix(), atol=1e-12)
    assert strain < 1e-12


@each_crystal
def test_a_known_rotation_comes_back_up_to_symmetry(name, rng):
    *_, bravais, edges = CRYSTALS[name]
    cell = np.asarray(Cell.fromcellpar([*edges, 90, 90, 120 if bravais[0] == "h" else 90]))
    center = {
        "F": [(0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)],
        "I": [(-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5)],
    }
    primitive = np.array(center.get(bravais[1], np.eye(3))) @ cell
    for turn in Rotation.random(5, rng=rng):  # from the sample to the crystal
        found, letters = conventional(name, np.linalg.inv(turn.inv().apply(primitive)).T)
        found = found if np.linalg.det(found) > 0 else -found
        rotation, strain = orient(found, letters)
        assert letters == bravais and strain < 1e-6
        assert disorientation(rotation, turn.as_matrix(), bravais, bravais)[0] < ANGLE


@each_crystal
def test_the_waves_of_a_turned_crystal_give_its_rotation(name, rng):
    bravais = CRYSTALS[name][3]
    vectors, powers, _ = waves_of(name, np.random.default_rng(SEED))
    turn = Rotation.random(rng=rng)
    turns = []
    for its in (vectors, turn.inv().apply(vectors)):
        cell, letters = conventional(name, reciprocal_basis(its, powers))
        turns.append(orient(cell if np.linalg.det(cell) > 0 else -cell, letters)[0])
    assert disorientation(turns[1], turns[0] @ turn.as_matrix(), bravais, bravais)[0] < 0.5


@pytest.mark.parametrize("amount", [0.005, 0.02])
def test_a_known_strain_comes_back(amount, rng):
    """The largest minus the smallest principal value of a stretch; the volume does not count."""
    stretch = expm(np.diag([amount, 0, 0]))
    turn = Rotation.random(rng=rng)
    for larger in (1, 1.1):
        cell = turn.inv().apply(larger * 3.6 * np.eye(3) @ stretch)
        assert orient(cell, "cF")[1] == pytest.approx(np.exp(amount * 2 / 3) - np.exp(-amount / 3), rel=1e-6)


def test_stretched_along_its_axis_a_tetragonal_cell_has_no_strain():
    assert orient(np.diag([4.0, 4.0, 4.3]), "tI")[1] < 1e-12
    assert orient(np.diag([4.0, 4.0, 4.3]), "cF")[1] > 0.07


def test_euler_angles_are_bunges(rng):
    """Passive: from the sample to the crystal, turns about z, x', z''."""
    for phi1, Phi, phi2 in rng.uniform(5, 85, (10, 3)):
        matrix = Rotation.from_euler("ZXZ", (phi1, Phi, phi2), degrees=True).as_matrix().T
        np.testing.assert_allclose(euler_angles(matrix[None])[0], (phi1, Phi, phi2), atol=ANGLE)


def test_quaternions_are_those_of_the_rotations(rng):
    turns = Rotation.random(20, rng=rng)
    found = quaternions(turns.as_matrix())
    assert (found[:, 0] >= 0).all()
    np.testing.assert_allclose(Rotation.from_quat(found, scalar_first=True).as_matrix(), turns.as_matrix(), atol=1e-12)


def test_colours_of_the_corners_are_red_green_and_blue(rng):
    """Of the standard triangle of a cubic crystal: 001, 101, 111 along z, however it is turned about z."""
    for direction, colour in (((0, 0, 1), (1, 0, 0)), ((1, 0, 1), (0, 1, 0)), ((1, 1, 1), (0, 0, 1))):
        unit = np.array(direction) / np.linalg.norm(direction)
        turn = Rotation.align_vectors([unit], [(0, 0, 1)])[0]
        spins = turn * Rotation.from_euler("z", rng.uniform(0, 360, (4, 1)), degrees=True)
        np.testing.assert_allclose(colours(spins.as_matrix(), ["cF"] * 4), [colour] * 4, atol=0.02)


def test_orientations_that_are_equal_by_symmetry_have_one_colour(rng):
    turn = Rotation.random(rng=rng).as_matrix()
    for bravais in ("cF", "hP", "tI"):
        same = symmetries(bravais) @ turn
        found = colours(same, [bravais] * len(same))
        np.testing.assert_allclose(found, np.tile(found[0], (len(found), 1)), atol=1e-6)


def test_each_lattice_has_its_own_key(rng):
    turns = Rotation.random(4, rng=rng).as_matrix()
    together = colours(turns, ["cF", "hP", "cF", "tI"])
    for turn, bravais, colour in zip(turns, ["cF", "hP", "cF", "tI"], together, strict=True):
        np.testing.assert_allclose(colours(turn[None], [bravais])[0], colour)
    assert ((together >= 0) & (together <= 1)).all()


def test_orix_compiles_in_one_process_at_a_time():
    compile_orix()  # from here on it takes no time
    compile_orix.cache_clear()
    asked = Thread(target=point_group, args=["cF"], daemon=True)
    with FileLock(orix_lock()):  # as another process would hold it
        asked.start()
        asked.join(0.5)
        assert asked.is_alive()
    asked.join(60)
    assert not asked.is_alive()


# Two crystals.


@pytest.mark.parametrize("bravais", ["cF", "hP", "hR", "tI", "oP", "mP"])
def test_disorientation_is_that_of_orix(bravais, rng):
    compile_orix()
    from orix.quaternion import Misorientation
    from orix.quaternion import Rotation as Quaternion

    group = point_group(bravais)
    turns = Rotation.random(30, rng=rng).as_matrix()
    ones, others = turns[::2], turns[1::2]
    between = Quaternion.from_matrix(others) * ~Quaternion.from_matrix(ones)
    expected = Misorientation(between, symmetry=(group, group)).reduce()
    found = [disorientation(*pair, bravais, bravais) for pair in zip(ones, others, strict=True)]
    np.testing.assert_allclose([angle for angle, _ in found], np.degrees(expected.angle), atol=ANGLE)
    axes = np.array([axis for _, axis in found])
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1)
    if bravais == "cF":  # in the standard triangle, up to the order of its components
        np.testing.assert_allclose(np.sort(axes), np.sort(np.abs(expected.axis.data)), atol=1e-5)


@pytest.mark.parametrize("bravais, other_bravais", [("cF", "hP"), ("hP", "cI"), ("cI", "tI"), ("aP", "cF")])
def test_disorientation_of_two_structures_is_the_least_of_all_equal_ones(bravais, other_bravais, rng):
    for _ in range(10):
        one, other = Rotation.random(2, rng=rng).as_matrix()
        angle, _ = disorientation(one, other, bravais, other_bravais)
        assert angle == pytest.approx(brute_disorientation(one, other, bravais, other_bravais), abs=ANGLE)


@pytest.mark.parametrize("bravais", ["cF", "hP", "tI"])
def test_disorientation_does_not_depend_on_choice_order_or_frame(bravais, rng):
    one, other, frame = Rotation.random(3, rng=rng).as_matrix()
    angle, axis = disorientation(one, other, bravais, bravais)
    mine, its = rng.choice(symmetries(bravais), 2)
    for pair in ((other, one), (mine @ one, its @ other), (one @ frame, other @ frame)):
        again, its_axis = disorientation(*pair, bravais, bravais)
        assert again == pytest.approx(angle, abs=ANGLE)
        np.testing.assert_allclose(its_axis, axis, atol=1e-5)


def test_cubic_crystals_are_never_turned_by_more_than_mackenzies_limit(rng):
    """62.80 degrees; hexagonal ones 93.84."""
    turns = Rotation.random(200, rng=rng).as_matrix()
    for bravais, limit in (("cP", 62.80), ("hP", 93.84)):
        angles = [disorientation(one, other, bravais, bravais)[0] for one, other in zip(turns[::2], turns[1::2])]
        assert 0.8 * limit < max(angles) <= limit


def test_a_crystal_is_not_turned_against_itself(rng):
    turn = Rotation.random(rng=rng).as_matrix()
    for bravais in LATTICES:
        angle, axis = disorientation(turn, rng.choice(symmetries(bravais)) @ turn, bravais, bravais)
        assert angle < ANGLE
        assert np.linalg.norm(axis) == pytest.approx(1)


@pytest.mark.parametrize("sigma, degrees, axis", SIGMAS, ids=[f"{s}-{d}" for s, d, _ in SIGMAS])
def test_coincidences_have_their_names(sigma, degrees, axis, rng):
    for _ in range(3):
        base = Rotation.random(rng=rng).as_matrix()
        other = rng.choice(symmetries("cF")) @ about(degrees, axis).as_matrix() @ base
        assert coincidence(base, other) == coincidence(other, base) == f"Σ{sigma}"
        angle, found = disorientation(base, other, "cF", "cF")
        assert angle == pytest.approx(degrees, abs=0.01)
        np.testing.assert_allclose(found, np.array(axis) / np.linalg.norm(axis), atol=0.01)


@pytest.mark.parametrize("sigma, degrees, axis", [SIGMAS[0], SIGMAS[1], SIGMAS[3]], ids=["3", "5", "9"])
def test_within_brandons_limit_the_name_stays(sigma, degrees, axis, rng):
    """15 degrees over the root of Sigma."""
    limit = 15 / np.sqrt(sigma)
    exact = about(degrees, axis)
    off = Rotation.random(40, rng=rng).as_rotvec()
    off /= np.linalg.norm(off, axis=1)[:, None]
    for unit in off:
        inside = (Rotation.from_rotvec(np.radians(0.5 * limit) * unit) * exact).as_matrix()
        outside = (Rotation.from_rotvec(np.radians(1.05 * limit) * unit) * exact).as_matrix()
        assert coincidence(np.eye(3), inside) == f"Σ{sigma}"
        assert coincidence(np.eye(3), outside) != f"Σ{sigma}" or sigma > 3  # another equal rotation may be nearer


def test_random_boundaries_rarely_have_a_name(rng):
    """Some one in ten: P. H. Pumphrey, in: Grain Boundary Structure and Properties (1976)."""
    turns = Rotation.random(800, rng=rng).as_matrix()
    named = [coincidence(one, other) != "" for one, other in zip(turns[::2], turns[1::2])]
    assert 0.05 < np.mean(named) < 0.16


def test_a_random_rotation_and_a_small_one_have_no_name():
    assert coincidence(np.eye(3), about(33, (1, 2, 5)).as_matrix()) == ""
    assert coincidence(np.eye(3), about(3, (1, 2, 5)).as_matrix()) == ""
    assert coincidence(np.eye(3), np.eye(3)) == ""
