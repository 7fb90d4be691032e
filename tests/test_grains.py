import gzip
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.lattice.cubic import FaceCenteredCubic
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from sklearn.metrics import adjusted_rand_score

from xtalsight.clouds import build_polycrystal, cut_cloud
from xtalsight.crystals import CLASSES, make_recipes, primitive_cell
from xtalsight.damage import remove_atoms, thermal_waves
from xtalsight.fingerprints import length_scale
from xtalsight.grains import BALL, CARRIED, annotate, length_scales, map_structure
from xtalsight.lattices import disorientation

SEED = 1912
COPPER, MAGNESIUM, SALT = bulk("Cu"), bulk("Mg"), bulk("NaCl", "rocksalt", a=5.64, cubic=True)
NEIGHBOURS = 3.61 / np.sqrt(2)  # distance in copper, angstrom
ANGLE = 0.3  # degrees, of an orientation by the waves of a small grain
REFERENCE = Path(__file__).parent / "reference"
CLASS_OF = {"fcc": "fcc", "bcc": "bcc", "hcp": "hex/rh", "diamond": "diam"}
COLUMNS = [
    *("class", "prototype", "title", "confidence", "accepted", "reason", "atoms", "x", "y", "z", "volume_share"),
    *("lattice", "a", "b", "c", "alpha", "beta", "gamma", "a_error", "b_error", "c_error", "strain", "strain_error"),
    *("qw", "qx", "qy", "qz", "phi1", "Phi", "phi2", "ipf_z"),
]

# spglib announces how errors will be reported in future.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


def mapped(atoms, **options):
    return map_structure(atoms, **{"n_jobs": 1, "progress": False} | options)


def shaken(atoms, fraction, seed=SEED):
    """Each atom displaced by itself, by so much of the distance of neighbours."""
    atoms = atoms.copy()
    rng = np.random.default_rng(seed)
    atoms.positions += rng.normal(scale=fraction * length_scale(atoms), size=(len(atoms), 3))
    return atoms


def periodic(repeats=(12, 12, 12), cell=COPPER, displacement=0.04):
    """A crystal that goes on through all walls of its cell."""
    return shaken(cell.repeat(repeats), displacement)


def turned(cell, turn):
    cell = cell.copy()
    cell.set_cell(turn.apply(cell.cell.array), scale_atoms=True)
    return cell


def block(cell, turn, low, high, seed=SEED):
    """The part between two corners of a crystal that is turned about a random place."""
    reach = 1.05 * np.linalg.norm([low, high], axis=1).max()
    n_atoms = int(4 / 3 * np.pi * reach**3 / (cell.get_volume() / len(cell)))
    ball = cut_cloud(turned(cell, turn), n_atoms, "sphere", np.random.default_rng(seed))
    inside = ((ball.positions >= low) & (ball.positions < high)).all(axis=1)
    return Atoms(ball.numbers[inside], ball.positions[inside])


def packing(n_atoms, edges, distance, seed=SEED):
    """Points in a periodic box, at random but for the distance that they keep from each other, as in a melt."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, edges, (n_atoms, 3))
    for _ in range(120):
        points %= edges
        i, j = cKDTree(points, boxsize=edges).query_pairs(distance, output_type="ndarray").T
        apart = points[i] - points[j]
        apart -= edges * np.rint(apart / edges)
        length = np.linalg.norm(apart, axis=1)[:, None]
        push = 0.35 * (distance / length - 1) * apart
        np.add.at(points, i, push)
        np.add.at(points, j, -push)
    return points % edges


def stack(layers, edge=10, displacement=0.0):
    """Close-packed layers A, B, C of copper along z, periodic along them; array `layer`."""
    one, other = NEIGHBOURS * np.array([(1, 0, 0), (1 / 2, np.sqrt(3) / 2, 0)])
    shift, height = (one + other) / 3, NEIGHBOURS * np.sqrt(2 / 3)
    i, j = np.indices((edge, edge)).reshape(2, -1, 1)
    layer = i * one + j * other
    positions = [layer + "ABC".index(name) * shift + (0, 0, k * height) for k, name in enumerate(layers)]
    cell = [edge * one, edge * other, (0, 0, len(layers) * height)]
    atoms = Atoms(f"Cu{len(layers) * edge**2}", np.concatenate(positions), cell=cell, pbc=(1, 1, 0))
    atoms.set_array("layer", np.repeat(np.arange(len(layers)), edge**2))
    return shaken(atoms, displacement) if displacement else atoms


def with_lamella(n_layers, beside=15):
    """Layers of fcc, of hcp, of fcc."""
    layers = [k % 3 for k in range(beside)]
    layers += [layers[-2 + k % 2] for k in range(n_layers)]
    step = layers[-1] - layers[-2]
    layers += [(layers[-1] + step * (k + 1)) % 3 for k in range(beside)]
    return "".join("ABC"[k] for k in layers)


def inclusion(shift=(0.0, 0.0, 0.0)):
    """A periodic cube of copper; a ball of it, around a place, is turned. Array `grain`: 1 in the ball."""
    outside = bulk("Cu", cubic=True).repeat(11)
    edge = outside.cell[0, 0]
    ball = cut_cloud(
        turned(COPPER, Rotation.from_euler("xyz", (25, 10, 40), degrees=True)),
        1500,
        "sphere",
        np.random.default_rng(SEED),
    )
    radius = np.linalg.norm(ball.positions, axis=1).max()
    outside = outside[np.linalg.norm(outside.positions - edge / 2, axis=1) > radius + 0.7 * NEIGHBOURS]
    ball.positions += edge / 2
    ball.set_cell(outside.cell)
    atoms = outside + ball
    atoms.set_array("grain", np.repeat([0, 1], [len(outside), len(ball)]))
    atoms = shaken(atoms, 0.03)
    atoms.pbc = True
    atoms.positions += np.array(shift) * edge
    atoms.wrap()
    return atoms


def assert_one_grain(atoms, found, name="fcc", share=0.99):
    assert len(found.grains) == 1
    assert (found.grain == 0).mean() >= share
    assert found.grains["class"][0] == name and found.grains.accepted[0]
    assert found.grains.atoms[0] == (found.grain == 0).sum()
    assert len(found.grain) == len(found.carried) == len(atoms)


def rotation_of(grains, row):
    return Rotation.from_quat(grains.loc[row, ["qw", "qx", "qy", "qz"]].to_list(), scalar_first=True).as_matrix()


@pytest.fixture(scope="session")
def crystal():
    atoms = periodic()
    return atoms, mapped(atoms)


@pytest.fixture(scope="session")
def halves():
    """Copper at x < 0, and magnesium of which half of the atoms are missing, each turned, and their map."""
    turns = Rotation.random(2, rng=np.random.default_rng(SEED))
    left = block(COPPER, turns[0], (-26, -17, -17), (-0.8, 17, 17))
    right = block(MAGNESIUM, turns[1], (0.8, -17, -17), (34, 17, 17))
    right = remove_atoms(right, 0.5, np.random.default_rng(SEED))
    atoms = shaken(left, 0.03) + shaken(right, 0.03)
    atoms.set_array("grain", np.repeat([0, 1], [len(left), len(right)]))
    return atoms, turns, mapped(atoms)


@pytest.fixture(scope="session")
def turned_grains():
    """Three grains of copper in heat; the second and third turned by 7 and 20 degrees against the first."""
    rng = np.random.default_rng(SEED)
    base = Rotation.random(rng=rng)
    axes = rng.normal(size=(3, 3))
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    turns = [
        Rotation.from_rotvec(np.radians(angle) * axis) * base for angle, axis in zip((0, 7, 20), axes, strict=True)
    ]
    middles = np.array([(-13.0, -6, 0), (13, -8, 0), (0, 14, 0)])
    parts = []
    for number, turn in enumerate(turns):
        part = block(COPPER, turn, (-26, -26, -18), (26, 26, 18), SEED + number)
        part = part[cKDTree(middles).query(part.positions)[1] == number]
        part.set_array("grain", np.full(len(part), number))
        parts.append(part)
    atoms = parts[0] + parts[1] + parts[2]
    near = cKDTree(atoms.positions).query_pairs(0.75 * NEIGHBOURS, output_type="ndarray")
    atoms = atoms[np.setdiff1d(np.arange(len(atoms)), near[:, 1])]
    atoms.positions += thermal_waves(atoms.positions, 0.05 * NEIGHBOURS, 4 / 3.61**3, rng, 2.0)
    return atoms, mapped(atoms)


@pytest.fixture(scope="session")
def twin():
    atoms = stack("ABC" * 5 + "BAC" * 5, displacement=0.02)
    return atoms, mapped(atoms)


@pytest.fixture(scope="session")
def interface():
    """A hot crystal and a melt, periodic: they meet twice."""
    solid = shaken(bulk("Cu", cubic=True).repeat((11, 6, 6)), 0.06)
    length, edges = solid.cell[0, 0], np.array([10, 6, 6]) * 3.61
    melt = packing(1500, edges, 0.9 * NEIGHBOURS)
    gap = 0.4 * NEIGHBOURS
    solid.positions -= (length, 0, 0)
    positions = np.concatenate([solid.positions, melt + (gap / 2, 0, 0)])
    cell = (length + edges[0] + gap, edges[1], edges[2])
    atoms = Atoms(np.full(len(positions), 29), positions, cell=cell, pbc=True)
    return atoms, len(solid), mapped(atoms)


# Which atom is what.


@pytest.mark.parametrize("vacancies", [0, 0.5])
def test_all_atoms_of_a_polycrystal_are_right(vacancies):
    """Boundaries included, with 5 % displacements."""
    recipes = make_recipes(dict.fromkeys(["bcc", "fcc", "hcp", "diamond"], 1), 2, elements=["Cu"])
    cells = [primitive_cell(recipe) for recipe in recipes.to_dict("records")]
    nearest = min(length_scale(cell) for cell in cells)
    atoms = build_polycrystal(cells, 8000, np.random.default_rng([2, 8]), vacancies, 0.05 * nearest)
    marked = annotate(atoms, mapped(atoms))
    truth = np.array(CLASSES)[recipes.label.to_numpy()[atoms.arrays["grain"]]]
    right = (marked.arrays["class"] == truth) & marked.arrays["accepted"]
    assert right.mean() >= 0.98


def test_grains_of_one_metal_are_told_apart_in_heat(turned_grains):
    """Grains turned by 7 and 20 degrees, all atoms."""
    atoms, found = turned_grains
    assert adjusted_rand_score(atoms.arrays["grain"], found.grain) >= 0.97
    assert len(found.grains) == 3
    assert set(found.grains["class"]) == {"fcc"} and found.grains.accepted.all()


@pytest.mark.parametrize("removed", [0, 0.5])
def test_hot_solids_are_named_and_melts_are_not(removed):
    """Snapshots of molecular dynamics, not quenched: 0.4 to 1.0 of melting, and 1.4."""
    with gzip.open(REFERENCE / "md_balls.extxyz.gz", "rt") as file:
        balls = ase.io.read(file, index=":", format="extxyz")
    named = {"Al_0.70", "Al_1.00", "Fe_0.40", "Fe_0.90", "Ge_0.90", "Mg_1.00", "Al_1.40_melt", "Ge_1.40_melt"}
    for ball in balls:
        if ball.info["name"] not in named:
            continue
        atoms = remove_atoms(ball, removed, np.random.default_rng(SEED))
        marked = annotate(atoms, mapped(atoms))
        if ball.info["cls"] == "melt":
            assert (marked.arrays["grain"] == -1).mean() >= 0.995, ball.info["name"]
        else:
            right = (marked.arrays["class"] == CLASS_OF[ball.info["cls"]]) & marked.arrays["accepted"]
            assert right.mean() >= 0.99, ball.info["name"]


def test_melt_beside_a_crystal_has_no_grain(interface):
    _, n_solid, found = interface
    assert (found.grain[:n_solid] == 0).mean() > 0.99
    assert (found.grain[n_solid:] == -1).mean() > 0.97
    assert found.grains["class"].to_list() == ["fcc"]


def test_how_well_atoms_are_carried_tells_crystal_from_melt(interface):
    _, n_solid, found = interface
    assert found.carried.dtype == np.float32
    assert found.carried[:n_solid].mean() > 0.6
    assert found.carried[n_solid:].mean() < 0.2
    assert found.carried.min() >= 0 and found.carried.max() <= 1
    assert ((found.carried >= CARRIED) | (found.grain == -1)).all()


def test_a_melt_has_no_grain_and_tables_without_rows():
    edges = np.full(3, 10 * 3.61)
    atoms = Atoms("Cu2400", packing(2400, edges, 0.9 * NEIGHBOURS), cell=edges, pbc=True)
    found = mapped(atoms)
    assert (found.grain == -1).all() and (found.carried < CARRIED).all()
    assert len(found.grains) == len(found.neighbours) == 0
    assert set(COLUMNS) <= set(found.grains)
    assert list(found.neighbours) == ["grain", "other", "contacts", "disorientation", "axis", "name"]
    marked = annotate(atoms, found)
    assert set(marked.arrays["class"]) == set(marked.arrays["prototype"]) == {"none"}
    assert not marked.arrays["accepted"].any() and not marked.arrays["confidence"].any()


def test_a_gas_has_no_grain():
    found = mapped(Atoms("Cu3000", np.random.default_rng(SEED).uniform(0, 33, (3000, 3)), cell=[33] * 3, pbc=True))
    assert (found.grain == -1).all()


def test_a_compound_is_named_by_its_prototype():
    """It is none of the seven classes, whatever its places are."""
    found = mapped(shaken(SALT.repeat(6), 0.03))
    assert len(found.grains) == 1
    row = found.grains.loc[0]
    assert (row["class"], row["prototype"]) == ("none", "AB_cF8_225_a_b")
    assert "Rock Salt" in row["title"]
    assert row["accepted"] and row["confidence"] > 0.5 and row["reason"] is None
    assert row["lattice"] == "cP" and row["a"] == pytest.approx(5.64 / 2, rel=0.005)  # of its places


# Through the walls.


@pytest.mark.parametrize(
    "change",
    [
        lambda atoms: atoms.translate(np.array([0.37, 0.5, 0.81]) @ atoms.cell.array),
        lambda atoms: atoms.translate((-1e4, 3e3, 77)),
        lambda atoms: atoms.set_cell(atoms.cell.array[[1, 0, 2]]),
        lambda atoms: atoms.set_cell(np.array([(1, 0, 0), (5, 1, 0), (-3, 7, 1)]) @ atoms.cell.array),
        lambda atoms: atoms.translate(np.random.default_rng(SEED).integers(-9, 10, (len(atoms), 3)) @ atoms.cell.array),
        lambda atoms: atoms.rotate(40, (1, 2, 3), rotate_cell=True),
    ],
    ids=["cut by the walls", "outside", "left-handed", "skewed", "unwrapped", "turned"],
)
def test_one_crystal_is_one_grain_however_its_cell_is_laid(change, crystal):
    """Its primitive cell is triclinic."""
    atoms, before = crystal[0].copy(), crystal[1]
    change(atoms)
    found = mapped(atoms)
    assert_one_grain(atoms, found, share=1)
    assert found.radius == pytest.approx(before.radius, rel=0.02)
    assert found.grains.a[0] == pytest.approx(3.61, rel=0.004)
    assert found.grains.volume_share[0] == pytest.approx(1)


@pytest.mark.parametrize("pbc", [(1, 1, 0), (1, 0, 0), (0, 1, 0), (0, 0, 0)])
def test_boundaries_may_be_open(pbc):
    atoms = periodic((11, 11, 11))
    atoms.pbc = pbc
    assert_one_grain(atoms, mapped(atoms))


def test_a_slab_in_vacuum_is_one_grain():
    atoms = shaken(bulk("Cu", cubic=True).repeat((8, 8, 5)), 0.04)
    atoms.center(vacuum=40, axis=2)
    assert_one_grain(atoms, mapped(atoms))


@pytest.mark.parametrize("repeats", [1, 2, 3, 4, (15, 2, 2), (9, 9, 1)], ids=str)
def test_a_cell_smaller_than_a_ball_is_one_grain(repeats):
    """Of 4 atoms and more: balls and waves go through the walls."""
    cell = bulk("Cu", cubic=True).repeat(repeats)
    found = mapped(cell)
    assert_one_grain(cell, found, share=1)
    assert found.radius == pytest.approx(9.2, abs=0.4)
    assert found.grains.a[0] == pytest.approx(3.61, rel=0.004)


@pytest.mark.parametrize(
    "shift", [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.1, 0)], ids=["inside", "in the corner", "at a wall"]
)
def test_a_grain_that_the_walls_cut_is_one(shift):
    atoms = inclusion(shift)
    found = mapped(atoms)
    assert found.grains["class"].to_list() == ["fcc", "fcc"]
    assert (found.grain == atoms.arrays["grain"]).mean() > 0.98
    middle = (0.5 + np.array(shift)) % 1
    centre = atoms.cell.scaled_positions(found.grains.loc[[1], ["x", "y", "z"]].to_numpy(float))[0]
    np.testing.assert_allclose((centre - middle + 0.5) % 1, 0.5, atol=0.02)
    assert len(found.neighbours) == 1


# Defects.


def test_a_twin_is_two_grains_and_has_its_name(twin):
    atoms, found = twin
    layer = atoms.arrays["layer"]
    assert found.grains["class"].to_list() == ["fcc", "fcc"]
    assert adjusted_rand_score(layer >= 15, found.grain) > 0.8  # the plane between belongs to both
    (row,) = found.neighbours.to_dict("records")
    assert (row["grain"], row["other"], row["name"]) == (0, 1, "Σ3")
    assert row["disorientation"] == pytest.approx(60, abs=ANGLE)
    np.testing.assert_allclose(np.array(row["axis"].split(), float), 1 / np.sqrt(3), atol=0.02)
    assert row["contacts"] >= 300


@pytest.mark.parametrize("displacement", [0, 0.03])
@pytest.mark.parametrize("n_layers", [4, 5])
def test_a_lamella_of_hcp_is_found_and_named(n_layers, displacement):
    atoms = stack(with_lamella(n_layers), displacement=displacement)
    found = mapped(atoms)
    marked = annotate(atoms, found)
    named = marked.arrays["class"] == "hex/rh"
    within = (atoms.arrays["layer"] >= 14) & (atoms.arrays["layer"] < 16 + n_layers)
    assert marked.arrays["accepted"][named].all()
    assert named[within].sum() >= 150 and not named[~within].any()
    assert sorted(found.grains["class"][:3]) == ["fcc", "fcc", "hex/rh"]


@pytest.mark.parametrize("displacement", [0, 0.03])
def test_two_layers_of_hcp_are_no_grain(displacement):
    atoms = stack(with_lamella(2), displacement=displacement)
    found = mapped(atoms)
    assert "hex/rh" not in set(found.grains["class"])
    assert (found.grain >= 0).mean() > 0.98


def test_a_dislocation_does_not_cut_a_grain():
    """Edge, Burgers vector a/2 [1-10], in the elastic field of Hirth and Lothe, Theory of Dislocations (1982), 3.45 and
    3.46."""
    atoms = FaceCenteredCubic(
        "Cu", directions=[[1, -1, 0], [1, 1, 1], [-1, -1, 2]], size=(22, 10, 3), latticeconstant=3.61
    )
    burgers, ratio = NEIGHBOURS, 1 / 3
    x, y, _ = (atoms.positions - atoms.positions.mean(axis=0) + (0.31, 0.47, 0)).T
    square = x**2 + y**2
    across = (1 - 2 * ratio) * np.log(square) / 4 + (x**2 - y**2) / (4 * square)
    atoms.positions[:, 0] += burgers / (2 * np.pi) * (np.arctan2(y, x) + x * y / (2 * (1 - ratio) * square))
    atoms.positions[:, 1] -= burgers / (2 * np.pi) * across / (1 - ratio)
    atoms.pbc = False
    assert_one_grain(atoms, mapped(atoms))


def test_a_bent_crystal_is_one_grain():
    """By 10 degrees from end to end: more than two grains may differ that touch."""
    atoms = bulk("Cu", cubic=True).repeat((32, 7, 6))
    length = 32 * 3.61
    x, y, z = atoms.positions.T
    radius, angle = length / np.radians(10) + y, np.radians(10) * x / length
    found = mapped(Atoms(atoms.numbers, np.column_stack([radius * np.sin(angle), radius * np.cos(angle), z])))
    assert_one_grain(atoms, found)


@pytest.mark.parametrize(
    "cell, name", [(COPPER, "fcc"), (bulk("Fe"), "bcc"), (MAGNESIUM, "hex/rh"), (bulk("Si"), "diam")]
)
def test_a_crystal_that_lacks_half_of_its_atoms_is_one_grain(cell, name):
    atoms = periodic(14 if len(cell) == 1 else 11, cell)
    atoms = remove_atoms(atoms, 0.5, np.random.default_rng(SEED))
    assert_one_grain(atoms, mapped(atoms), name)


# The table of grains.


def test_columns_and_numbers_of_grains(halves):
    *_, found = halves
    assert set(COLUMNS) <= set(found.grains)
    assert found.grains.index.to_list() == [0, 1] and found.grains.index.name == "grain"
    assert found.grain.dtype == np.int32
    counts = np.bincount(found.grain[found.grain >= 0])
    np.testing.assert_array_equal(found.grains.atoms, counts)
    assert (np.diff(counts) <= 0).all()


def test_two_crystals_have_their_classes_and_prototypes(halves):
    atoms, _, found = halves
    assert found.grains["class"].to_list() == ["fcc", "hex/rh"]
    assert found.grains.prototype.to_list() == ["A_cF4_225_a", "A_hP2_194_c"]
    assert found.grains.accepted.all() and found.grains.confidence.between(0.5, 1).all()
    assert found.grains.reason.isna().all()
    assert (found.grain == atoms.arrays["grain"]).mean() > 0.98


def test_lattice_parameters_are_right_within_their_errors(halves):
    grains = halves[2].grains
    assert grains.lattice.to_list() == ["cF", "hP"]
    for row, lengths in ((0, (3.61, 3.61, 3.61)), (1, (3.21, 3.21, 5.21))):
        for name, length in zip("abc", lengths, strict=True):
            error = grains[f"{name}_error"][row]
            assert error < 0.01 * length
            assert abs(grains[name][row] - length) < 4 * error + 0.002 * length
    angles = grains[["alpha", "beta", "gamma"]].to_numpy()
    np.testing.assert_allclose(angles, [(90, 90, 90), (90, 90, 120)], atol=0.6)
    assert (grains.strain < 0.01).all() and (grains.strain_error < 0.01).all()


def test_the_orientation_is_the_rotation_of_the_crystal_up_to_symmetry(halves):
    """From the sample to the crystal."""
    _, turns, found = halves
    for row, lattice in enumerate(("cF", "hP")):
        rotation = rotation_of(found.grains, row)
        assert disorientation(rotation, turns[row].inv().as_matrix(), lattice, lattice)[0] < ANGLE
        bunge = Rotation.from_euler("ZXZ", found.grains.loc[row, ["phi1", "Phi", "phi2"]].to_list(), degrees=True)
        np.testing.assert_allclose(bunge.as_matrix().T, rotation, atol=1e-6)


def test_colours_are_those_of_the_inverse_pole_figure(halves):
    assert halves[2].grains.ipf_z.str.fullmatch("#[0-9a-f]{6}").all()
    along_z = mapped(shaken(bulk("Cu", cubic=True).repeat(8), 0.02)).grains.ipf_z[0]
    red, green, blue = bytes.fromhex(along_z[1:])
    assert red == 255 and max(green, blue) < 16


@pytest.mark.parametrize(
    "stretch", [np.diag([1, 1, 1.01]), np.eye(3) + 0.01 * np.eye(3, k=1)], ids=["stretch", "shear"]
)
def test_strain_is_that_of_the_crystal(stretch):
    """Largest minus smallest principal value: 1 %, to first order of a simple shear, too."""
    atoms = periodic()
    atoms.set_cell(atoms.cell.array @ stretch, scale_atoms=True)
    grains = mapped(atoms).grains
    principal = np.linalg.svd(stretch, compute_uv=False)
    assert abs(grains.strain[0] - np.ptp(principal)) < 4 * grains.strain_error[0] + 0.002
    assert grains.lattice[0] == "cF"


def test_volume_shares_do_not_depend_on_vacancies(halves):
    """Half of the atoms are missing in one grain only."""
    atoms, _, found = halves
    shares = found.grains.volume_share
    assert shares.sum() == pytest.approx(1, abs=0.03)  # atoms without grain have a share, too
    assert shares[0] == pytest.approx(25.2 / (25.2 + 33.2), abs=0.05)
    assert found.grains.atoms[0] / len(atoms) > 0.7


def test_centres_are_those_of_the_atoms(halves):
    atoms, _, found = halves
    for row in (0, 1):
        centre = atoms.positions[found.grain == row].mean(axis=0)
        np.testing.assert_allclose(found.grains.loc[row, ["x", "y", "z"]].to_list(), centre, atol=1e-3)


def test_neighbours_have_their_disorientation(turned_grains):
    atoms, found = turned_grains
    names = [np.bincount(atoms.arrays["grain"][found.grain == row]).argmax() for row in range(3)]
    angles = {
        frozenset((names[row["grain"]], names[row["other"]])): row["disorientation"]
        for row in found.neighbours.to_dict("records")
    }
    assert angles[frozenset((0, 1))] == pytest.approx(7, abs=2 * ANGLE)
    assert angles[frozenset((0, 2))] == pytest.approx(20, abs=2 * ANGLE)
    assert (found.neighbours.grain < found.neighbours.other).all() and (found.neighbours.contacts > 0).all()


def test_contacts_are_pairs_of_atoms_of_the_two_grains(halves):
    atoms, _, found = halves
    assert found.neighbours[["grain", "other"]].to_numpy().tolist() == [[0, 1]]
    pairs = cKDTree(atoms.positions).query_pairs(0.37 * found.radius, output_type="ndarray")
    one, other = found.grain[pairs].T
    assert found.neighbours.contacts[0] == pytest.approx(((one >= 0) & (other >= 0) & (one != other)).sum(), abs=3)


# In the atoms.


def test_annotated_atoms_have_what_the_map_says(interface):
    atoms, _, found = interface
    marked = annotate(atoms, found)
    assert {"class", "prototype", "grain", "confidence", "accepted"} == set(marked.arrays) - set(atoms.arrays)
    assert set(atoms.arrays) == {"numbers", "positions"}  # of a copy
    np.testing.assert_array_equal(marked.arrays["grain"], found.grain)
    inside = found.grain == 0
    for name in ("class", "prototype", "confidence", "accepted"):
        assert set(marked.arrays[name][inside]) == {found.grains[name][0]}
    assert set(marked.arrays["class"][~inside]) == set(marked.arrays["prototype"][~inside]) == {"none"}
    assert set(marked.arrays["confidence"][~inside]) == {0.0} and not marked.arrays["accepted"][~inside].any()
    assert marked.arrays["accepted"].dtype == bool and marked.arrays["grain"].dtype.kind == "i"


def test_what_atoms_had_stays_and_an_earlier_map_goes(halves):
    atoms, _, found = halves
    before = atoms.copy()
    before.info["step"] = 7
    before.set_array("class", np.full(len(atoms), "x"))
    before.set_array("charge", np.arange(len(atoms)) / 10)
    again = annotate(annotate(before, found), found)
    assert set(again.arrays["class"]) >= {"fcc", "hex/rh"}
    assert again.info == {"step": 7}
    np.testing.assert_array_equal(again.arrays["charge"], before.arrays["charge"])
    np.testing.assert_array_equal(again.positions, atoms.positions)


# What does not matter.


def assert_same_map(first, second):
    np.testing.assert_array_equal(first.grain, second.grain)
    np.testing.assert_allclose(first.carried, second.carried, atol=1e-4)
    names = ["class", "prototype", "accepted", "atoms"]
    pd.testing.assert_frame_equal(first.grains[names], second.grains[names])
    numbers = ["confidence", "a", "b", "c", "volume_share", "strain"]
    np.testing.assert_allclose(first.grains[numbers], second.grains[numbers], rtol=1e-3, atol=1e-3)


def test_number_of_jobs_does_not_matter(halves):
    atoms, _, found = halves
    other = mapped(atoms, n_jobs=2)
    np.testing.assert_array_equal(found.grain, other.grain)
    np.testing.assert_array_equal(found.carried, other.carried)
    pd.testing.assert_frame_equal(found.grains, other.grains)
    pd.testing.assert_frame_equal(found.neighbours, other.neighbours)


def test_order_of_the_atoms_does_not_matter(halves):
    atoms, _, found = halves
    order = np.random.default_rng(SEED).permutation(len(atoms))
    other = mapped(atoms[order])
    assert other.radius == pytest.approx(found.radius, rel=1e-12)
    assert (other.grain == found.grain[order]).mean() > 0.999
    assert_same_map(found, other._replace(grain=found.grain, carried=found.carried))


def test_a_translation_does_not_matter_without_walls(halves):
    atoms, _, found = halves
    moved = atoms.copy()
    moved.positions += (1000, -30, 7)
    other = mapped(moved)
    assert (other.grain == found.grain).mean() > 0.999
    shift = other.grains[["x", "y", "z"]].to_numpy(float) - found.grains[["x", "y", "z"]].to_numpy(float)
    np.testing.assert_allclose(shift, [(1000, -30, 7)] * 2, atol=0.05)


@pytest.mark.parametrize("numbers", [0, 118, 300, -1], ids=["dummies", "heaviest", "types", "negative"])
def test_the_element_does_not_matter_where_there_is_one(numbers, crystal):
    atoms, found = crystal
    other = atoms.copy()
    other.numbers[:] = numbers
    assert_same_map(found, mapped(other))


def test_places_make_the_grains_not_elements():
    """A compound and its places have the same atoms in the same grains."""
    salt = shaken(SALT.repeat(5), 0.03)
    places = Atoms(np.full(len(salt), 84), salt.positions, cell=salt.cell, pbc=True)
    first, second = mapped(salt), mapped(places)
    np.testing.assert_array_equal(first.grain, second.grain)
    np.testing.assert_array_equal(first.carried, second.carried)
    assert (first.grains["class"][0], second.grains["class"][0]) == ("none", "sc")


def test_some_atoms_in_one_place_do_not_matter(crystal):
    atoms, _ = crystal
    both = atoms + atoms[:20]
    assert_one_grain(both, mapped(both), share=1)


def test_a_few_atoms_far_away_do_not_matter():
    """As in a vapour."""
    atoms = shaken(bulk("Cu", cubic=True).repeat(7), 0.04)
    atoms.pbc = False
    vapour = Atoms("Cu12", np.random.default_rng(SEED).uniform(50, 150, (12, 3)))
    found = mapped(atoms + vapour)
    assert (found.grain[: len(atoms)] == 0).mean() > 0.99
    assert (found.grain[len(atoms) :] == -1).all()
    assert found.radius == pytest.approx(mapped(atoms).radius, rel=0.05)


# Radius.


def test_the_radius_is_that_of_a_ball_of_so_many_atoms(crystal):
    atoms, found = crystal
    density = len(atoms) / atoms.get_volume()
    assert 4 / 3 * np.pi * found.radius**3 * density == pytest.approx(BALL, rel=0.1)


def test_the_radius_grows_with_vacancies(crystal):
    atoms, found = crystal
    half = remove_atoms(atoms, 0.5, np.random.default_rng(SEED))
    assert mapped(half).radius == pytest.approx(2 ** (1 / 3) * found.radius, rel=0.05)


def test_the_radius_given_is_taken(crystal):
    assert mapped(crystal[0], radius=12.0).radius == 12.0


def test_length_scales_are_those_of_the_crystal_whatever_is_around():
    ball = cut_cloud(COPPER, 6000, "sphere", np.random.default_rng(SEED)).positions
    radius, nearest = length_scales(ball)
    assert nearest == pytest.approx(NEIGHBOURS)
    assert length_scales(np.concatenate([ball, [(1e6, 0, 0)]]))[0] == pytest.approx(radius, rel=0.02)
    assert length_scales(ball[:100])[0] < 30  # there are not as many atoms as a ball has
    assert length_scales(np.concatenate([ball[:100], ball[:100] + 500]))[0] < 30  # nor beyond a gap


def test_without_progress_nothing_is_printed(capfd):
    mapped(periodic((6, 6, 6)))
    assert capfd.readouterr() == ("", "")


# Bad input.


def changed(place, value, pbc=True):
    atoms = bulk("Cu", cubic=True).repeat(4)
    atoms.pbc = pbc
    atoms.positions[place] = value
    return atoms


def with_cell(cell, pbc=True):
    atoms = bulk("Cu", cubic=True).repeat(4)
    atoms.set_cell(cell)
    atoms.pbc = pbc
    return atoms


@pytest.mark.parametrize(
    "atoms, options, reason",
    [
        (Atoms(), {}, "at least two"),
        (Atoms("Cu", [(0, 0, 0)]), {}, "at least two"),
        (changed(7, np.nan), {}, "finite"),
        (changed((3, 1), np.inf), {}, "finite"),
        (changed((3, 1), 1e300), {}, "finite"),
        (with_cell([(np.inf, 0, 0), (0, 20, 0), (0, 0, 20)]), {}, "finite"),
        (with_cell(np.diag([20, 20, np.nan]), (1, 1, 0)), {}, "finite"),
        (with_cell([(20, 0, 0), (20, 0, 0), (0, 0, 20)]), {}, "cell"),
        (Atoms("Cu100000", np.ones((100_000, 3))), {}, "places of their own"),
        (Atoms("Cu100000", np.zeros((100_000, 3))) + bulk("Cu").repeat(10), {}, "places of their own"),
        (Atoms("Cu20000", np.zeros((20_000, 3))) + bulk("Cu").repeat(30), {}, "places of their own"),
        (bulk("Cu").repeat(8) + bulk("Cu").repeat(8), {}, "places of their own"),
        (changed((0, 0), 1e6, False), {}, "too far apart"),
        (with_cell([1e5] * 3), {}, "too far apart"),
        (bulk("Cu").repeat(8), {"radius": 0}, "radius"),
        (bulk("Cu").repeat(8), {"radius": -5.0}, "radius"),
        (bulk("Cu").repeat(8), {"radius": np.nan}, "radius"),
        (bulk("Cu").repeat(8), {"radius": np.inf}, "radius"),
        (bulk("Cu").repeat(8), {"radius": 1.0}, "radius"),
        (bulk("Cu").repeat(8), {"radius": 100.0}, "radius"),
    ],
    ids=["none", "one", "NaN", "inf", "huge", "infinite cell", "NaN cell", "flat cell", "one place", "most in one place", "many in one place", "twice", "far away", "vacuum", "no radius", "negative radius", "NaN radius", "infinite radius", "small radius", "large radius"],
)  # fmt: skip
def test_what_has_no_map_gets_one_sentence(atoms, options, reason):
    with pytest.raises(ValueError, match=reason) as error:
        mapped(atoms, **options)
    assert "\n" not in str(error.value)


def test_nothing_repeats_along_a_vector_of_no_length():
    """As for `prepare`."""
    slab = with_cell(np.diag([14.46, 14.46, 0]))
    open_above = with_cell(np.diag([14.46, 14.46, 14.46]), (1, 1, 0))
    assert np.array_equal(mapped(slab).grain, mapped(open_above).grain)
    assert (mapped(slab).grain == 0).all()


def test_a_folder_that_is_no_network_is_named_at_once(tmp_path):
    with pytest.raises(ValueError, match="nothing"):
        mapped(Atoms(), network=tmp_path / "nothing")


def random_points(n_atoms, edge, **options):
    return Atoms(f"Cu{n_atoms}", np.random.default_rng(SEED).uniform(0, edge, (n_atoms, 3)), **options)


@pytest.mark.parametrize(
    "atoms",
    [
        random_points(2, 3),
        random_points(3, 3),
        random_points(30, 8),
        random_points(30, 8, cell=[8] * 3, pbc=True),
        random_points(500, 1e4),
        random_points(500, 1e4, cell=[1e4] * 3, pbc=(1, 0, 1)),
        Atoms("Cu100", np.outer(np.arange(100), (2.5, 0, 0))),
        Atoms("Cu400", np.column_stack([2.5 * np.indices((20, 20)).reshape(2, -1).T, np.zeros(400)])),
        Atoms("Cu400", np.column_stack([2.5 * np.indices((20, 20)).reshape(2, -1).T, np.zeros(400)]), cell=[50, 50, 20], pbc=True),
        bulk("Cu"),
        Atoms("Cu2", [(0, 0, 0), (0, 0, 1e9)]),
        Atoms("Cu64", 1e-9 * bulk("Cu", cubic=True).repeat(2).positions.repeat(2, axis=0)),
        Atoms("Cu1000", 1e9 * bulk("Cu").repeat(10).positions),
        with_cell(np.eye(3)),
        with_cell(np.diag([200.0] * 3)),
    ],
    ids=["two", "three", "few", "few in a box", "gas", "gas in a box", "line", "plane", "plane in a box", "one in a box", "two far apart", "tiny", "huge", "small box", "large box"],
)  # fmt: skip
def test_odd_samples_have_a_map_or_one_sentence(atoms):
    try:
        found = mapped(atoms)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert len(found.grain) == len(atoms) and found.grain.max() < len(found.grains)
        annotate(atoms, found)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, False)])
def test_a_sample_of_one_box_has_a_grain(pbc):
    slab = bulk("Cu", cubic=True).repeat((4, 4, 3))
    slab.pbc = pbc
    found = mapped(slab)
    assert found.grains["class"].tolist() == ["fcc"] and found.grains.accepted.all()


def test_a_boundary_between_different_crystals_has_no_coincidence_name():
    atoms = build_polycrystal([bulk("Cu"), bulk("Fe")], 6000, np.random.default_rng(0))
    found = mapped(atoms)
    assert set(found.grains["class"]) == {"fcc", "bcc"}
    assert (found.neighbours.name == "").all() and found.neighbours.disorientation.notna().all()
