import time
import tracemalloc

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, fcc111, graphene, mx2, nanotube
from ase.cluster import Octahedron
from ase.collections import dcdft
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from xtalsight.clouds import cut_cloud
from xtalsight.preparation import BALL, LARGEST, MOST_BALLS, SPACING, distinct_places, prepare, thickness

SEED = 1912


def rng(*more):
    return np.random.default_rng([SEED, *more])


def noisy(atoms, sigma=0.05, seed=0):
    atoms = atoms.copy()
    atoms.positions += rng(seed).normal(scale=sigma, size=(len(atoms), 3))
    return atoms


def distances(atoms, n=60):
    """Sorted distances from the middle of a ball, which neither a turn nor the order of the atoms changes."""
    return np.sort(np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1))[:n]


def noted(prepared, text):
    return any(text in note for note in prepared.notes)


# Crystals.


def test_a_crystal_becomes_a_ball_without_cell_or_hole():
    (ball,) = prepare(bulk("Cu")).balls
    assert len(ball) == BALL and not ball.pbc.any()
    radius = np.linalg.norm(ball.positions, axis=1).max()
    nearest = cKDTree(ball.positions).query(ball.positions, k=13)[0][:, 12]
    inner = np.linalg.norm(ball.positions, axis=1) < radius - 1.1 * nearest.min()
    assert np.ptp(nearest[inner]) < 1e-6, "an inner atom of fcc has twelve neighbours"


@pytest.mark.parametrize("k", [1, 3, 20, 60])
def test_skew_cells_of_one_crystal_give_the_same_balls(k):
    """Cell vectors b + k a and c + k b of one supercell with noise, atoms folded into each."""
    crystal = noisy(bulk("Cu", cubic=True).repeat(2))
    a, b, c = crystal.cell.array
    skew = crystal.copy()
    skew.set_cell([a, b + k * a, c + k * b])
    skew.wrap()
    for one, other in zip(prepare(crystal).balls, prepare(skew).balls, strict=True):
        np.testing.assert_allclose(distances(one), distances(other), atol=1e-6)


@pytest.mark.parametrize("change", ["left-handed", "shifted", "unwrapped", "nanometres", "turned"])
def test_the_ball_does_not_depend_on_how_the_cell_is_written(change):
    crystal = noisy(bulk("Ti", cubic=False).repeat((3, 3, 2)))
    other = crystal.copy()
    if change == "left-handed":
        other.set_cell(crystal.cell.array[[1, 0, 2]])
    elif change == "shifted":
        other.positions += [1.3, -7.7, 100]
    elif change == "unwrapped":
        other.positions += rng(1).integers(-9, 10, (len(other), 3)) @ crystal.cell.array
    elif change == "nanometres":
        other.set_cell(crystal.cell.array / 10, scale_atoms=True)
    else:
        other.rotate(40, (1, 2, 3), rotate_cell=True)
    for one, two in zip(prepare(crystal).balls, prepare(other).balls, strict=True):
        np.testing.assert_allclose(distances(one), distances(two), atol=1e-6)


@pytest.mark.parametrize("k", [100, 1000, 10_000])
def test_a_very_skew_cell_takes_little_time_and_memory(k):
    crystal = bulk("Cu")
    a, b, c = crystal.cell.array
    crystal.set_cell([a, b + k * a, c + k * b])
    tracemalloc.start()
    start = time.perf_counter()
    (ball,) = prepare(crystal).balls
    assert time.perf_counter() - start < 2
    assert tracemalloc.get_traced_memory()[1] < 2e8
    tracemalloc.stop()
    np.testing.assert_allclose(distances(ball), distances(prepare(bulk("Cu")).balls[0]), atol=1e-5)


def test_a_large_crystal_is_classified_at_several_places_far_apart():
    prepared = prepare(noisy(bulk("Cu", cubic=True).repeat(11)))
    assert len(prepared.balls) == MOST_BALLS
    assert all(len(ball) == BALL for ball in prepared.balls)
    assert not any(np.allclose(distances(prepared.balls[0]), distances(ball)) for ball in prepared.balls[1:])


def test_balls_are_scaled_to_one_spacing():
    for element in ("Be", "Cs"):
        (ball, *_) = prepare(bulk(element)).balls
        nearest = cKDTree(ball.positions).query(ball.positions, k=2)[0][:, 1]
        assert 0.8 * SPACING < np.median(nearest) < 1.3 * SPACING


@pytest.mark.parametrize("symbol", sorted({*dcdft.names} - {"O"}))  # its molecules lie in layers
def test_crystals_of_the_elements_have_no_vacuum(symbol):
    assert prepare(dcdft[symbol]).crystal is not None


def test_a_column_with_a_vacancy_is_no_slab():
    column = bulk("Fe", cubic=True).repeat((1, 1, 15))
    del column[11]
    assert prepare(column).crystal is not None


# Slabs, wires, clouds.


@pytest.mark.parametrize("gap", [4.0, 6.0, 7.5, 20.0])
@pytest.mark.parametrize("face", [fcc100, fcc111])
@pytest.mark.parametrize("layers", [4, 7])
def test_a_slab_is_repeated_in_its_plane_and_not_across_the_gap(face, layers, gap):
    slab = face("Cu", (1, 1, layers), vacuum=gap / 2, periodic=True)
    prepared = prepare(slab)
    assert prepared.crystal is None and noted(prepared, "without atoms along a cell vector")
    (ball,) = prepared.balls
    assert len(ball) == BALL
    thick = np.ptp(slab.positions[:, 2]) * prepared.scale
    # Its thinnest direction is the normal, and no second slab is in it.
    normal = np.linalg.svd(ball.positions - ball.positions.mean(axis=0))[2][2]
    assert np.ptp(ball.positions @ normal) == pytest.approx(thick, rel=0.03)


@pytest.mark.parametrize("shift", [-0.02, 0.5, 3.0, 100.0])
def test_a_slab_that_crosses_the_wall_of_its_cell_is_whole(shift):
    slab = fcc111("Cu", (1, 1, 4), vacuum=5, periodic=True)
    moved = slab.copy()
    moved.positions[:, 2] += shift - slab.positions[:, 2].min()
    (one,), (other,) = prepare(slab).balls, prepare(moved).balls
    assert thickness(one.positions) == pytest.approx(
        thickness(other.positions), rel=0.03
    )  # not three layers, nor two and two


def test_a_particle_that_crosses_the_walls_of_its_box_is_whole():
    particle = cut_cloud(bulk("Au"), 300, "sphere", rng())
    particle.set_cell([60, 60, 60])
    particle.pbc = True
    assert len(prepare(particle).balls[0]) == 300  # around the origin: an eighth in each corner


def test_an_atom_of_a_gas_above_a_slab_does_not_hide_it():
    slab = fcc100("Cu", (12, 12, 6), vacuum=0)
    slab.pbc = (True, True, False)
    gas = Atoms("Cu", [slab.positions.mean(axis=0) + [0, 0, 50]])
    assert all(len(ball) == BALL for ball in prepare(slab + gas).balls)


def test_a_chain_of_atoms_is_prepared():
    (ball,) = prepare(Atoms("Cu", cell=[2.5, 20, 20], pbc=True)).balls
    assert len(ball) > 10


def test_layers_of_a_compound_are_no_slab():
    layer = mx2("MoS2", kind="2H", a=3.18, thickness=3.12, vacuum=1.51)
    layer.pbc = True
    assert prepare(layer).crystal is not None


def test_a_cell_vector_that_is_not_periodic_does_not_count():
    slab = fcc100("Cu", (3, 3, 6))
    slab.set_cell([slab.cell[0], slab.cell[1], slab.cell[0]])
    slab.pbc = (True, True, False)
    assert len(prepare(slab).balls[0]) == BALL


def test_a_thin_and_wide_cell_takes_little_memory():
    wide = bulk("Cu", cubic=True).repeat((80, 80, 2))
    tracemalloc.start()
    assert len(prepare(wide).balls) == MOST_BALLS
    assert tracemalloc.get_traced_memory()[1] < 3e8
    tracemalloc.stop()


def test_unknown_atomic_numbers_and_occupancies_are_no_obstacle():
    crystal = bulk("Cu", cubic=True)
    crystal.numbers[:] = 130
    crystal.set_array("occupancy", np.full(len(crystal), np.nan))
    assert len(prepare(crystal).crystal) == 4


@pytest.mark.parametrize("numbers", [[130, 200], [-1, 0], [0, 79]], ids=["heavier", "negative", "dummies"])
def test_numbers_beyond_the_table_of_elements_become_small_ones(numbers):
    crystal = gold_and_copper()
    is_gold = crystal.symbols == "Au"
    crystal.numbers = np.where(is_gold, *numbers)
    prepared = prepare(crystal)
    assert sorted(prepared.elements.numbers) == sorted(crystal.numbers), "as in the file"
    for ball in prepared.balls:
        expected = numbers if min(numbers) >= 0 and max(numbers) < 119 else np.argsort(np.argsort(numbers)) + 1
        np.testing.assert_array_equal(ball.numbers, np.where(is_gold, *expected)[ball.arrays["place"]])


def test_a_wire_is_repeated_along_its_axis():
    wire = bulk("Cu", cubic=True).repeat((4, 4, 1))
    wire.pbc = (False, False, True)
    (ball,) = prepare(wire).balls
    assert len(ball) == BALL
    assert np.ptp(ball.positions[:, 2]) > 1.5 * np.ptp(ball.positions[:, 0])


@pytest.mark.parametrize("flat", [graphene(size=(2, 2, 1), vacuum=8), nanotube(6, 0, length=2, vacuum=8)])
def test_sheets_and_tubes_are_prepared(flat):
    assert len(prepare(flat).balls) == 1


def test_a_small_cloud_is_classified_whole_and_a_large_one_inside():
    small, large = (cut_cloud(bulk("Cu"), n, "sphere", rng(n)) for n in (LARGEST, 5000))
    (ball,) = prepare(small).balls
    assert len(ball) == LARGEST
    balls = prepare(large).balls
    assert len(balls) > 3
    for ball in balls:
        middle = ball.positions.mean(axis=0)
        radius = np.linalg.norm(ball.positions - middle, axis=1).max()
        assert len(ball) == BALL
        assert radius < 1.3 * (3 * BALL / (4 * np.pi * np.sqrt(2))) ** (1 / 3) * SPACING, (
            "not cut by the face of the cloud"
        )


def test_light_atoms_at_the_ends_of_bonds_are_ligands():
    core = Octahedron("Au", 6, 1)
    nearest = cKDTree(core.positions).query(core.positions, k=13)[0]
    surface = core.positions[nearest[:, 12] > 3.5]
    outwards = surface - core.positions.mean(axis=0)
    outwards /= np.linalg.norm(outwards, axis=1)[:, None]
    dressed = core + Atoms(f"H{len(surface)}", surface + 1.7 * outwards)
    prepared = prepare(dressed)
    assert len(prepared.balls[0]) == len(core) and noted(prepared, "ligands")


def test_atoms_of_a_compound_are_no_ligands():
    oxide = cut_cloud(bulk("MgO", "rocksalt", a=4.21), 300, "sphere", rng())
    assert len(prepare(oxide).balls[0]) > 290


def test_atoms_repeated_on_the_opposite_face_count_once():
    crystal = bulk("Cu", cubic=True).repeat(3)
    face = crystal[crystal.positions[:, 0] < 0.1]
    face.positions[:, 0] += crystal.cell[0, 0]
    prepared = prepare(crystal + face)
    assert len(prepared.crystal) == len(crystal) and noted(prepared, "coincide")


def test_a_dummy_cell_is_taken_for_none():
    cloud = cut_cloud(bulk("Au"), 201, "sphere", rng())
    cloud.set_cell([1, 1, 1])
    cloud.pbc = True
    prepared = prepare(cloud)
    assert len(prepared.balls[0]) == 201 and noted(prepared, "taken for none")


def test_sites_occupied_in_part_are_places_from_one_half_on():
    crystal = bulk("Cu", cubic=True).repeat(2)
    shares = np.ones(len(crystal))
    shares[:8], shares[8:10] = 0.7, 0.2
    crystal.set_array("occupancy", shares)
    prepared = prepare(crystal)
    assert len(prepared.crystal) == len(crystal) - 2
    assert noted(prepared, "2 places") and noted(prepared, "taken for full")
    crystal.arrays["occupancy"][:] = 0.4
    with pytest.raises(ValueError, match="less than half"):
        prepare(crystal)


def test_a_hundred_thousand_atoms_take_little_memory():
    large = bulk("Cu", cubic=True).repeat(30)
    tracemalloc.start()
    prepare(large)
    assert tracemalloc.get_traced_memory()[1] < 5e8
    tracemalloc.stop()


def test_distinct_places_keep_the_first_of_those_that_coincide():
    positions = np.array([[0, 0, 0], [5, 0, 0], [0.01, 0, 0], [5, 0, 0]])
    assert distinct_places(positions).tolist() == [0, 1]


def test_thickness_of_a_plane_is_nothing():
    plane = np.column_stack([rng().random((50, 2)), np.zeros(50)])
    assert thickness(Rotation.random(rng=rng()).apply(plane)) == pytest.approx(0, abs=1e-9)


# Kinds and places.


def gold_and_copper():
    """A cell of ordered Cu3Au (L1_2): each atom of gold has twelve neighbours, all copper."""
    cell = bulk("Cu", cubic=True)
    cell.symbols[0] = "Au"
    return cell


def periodic_along(cell, *axes):
    cell.pbc = np.isin(range(3), axes)
    return cell


EVERY_STRUCTURE = pytest.mark.parametrize(
    "atoms",
    [
        gold_and_copper(),
        noisy(gold_and_copper().repeat((3, 4, 5))),
        gold_and_copper().repeat(9),
        periodic_along(gold_and_copper().repeat((2, 3, 4)), 0, 1),
        periodic_along(gold_and_copper().repeat((2, 3, 2)), 2),
        cut_cloud(gold_and_copper(), 300, "convex", rng()),
        cut_cloud(gold_and_copper(), 4000, "sphere", rng()),
    ],
    ids=["cell", "noisy supercell", "large supercell", "slab", "wire", "small cloud", "large cloud"],
)


@EVERY_STRUCTURE
def test_kinds_of_an_ordered_alloy_stay_at_their_places(atoms):
    for ball in prepare(atoms).balls:
        gold = ball.symbols == "Au"
        assert set(ball.symbols) == {"Au", "Cu"} and gold.mean() == pytest.approx(1 / 4, abs=0.06)
        distance, near = cKDTree(ball.positions).query(ball.positions[gold], k=13)
        neighbours = near[:, 1:][distance[:, 1:] < 1.25 * np.median(distance[:, 1])]
        assert len(neighbours) > 6 * gold.sum() and not gold[neighbours].any()


@EVERY_STRUCTURE
def test_atoms_of_a_ball_stand_where_the_places_that_they_repeat_do(atoms):
    """They differ by a lattice vector, along the axes that are periodic, and by a shift of all."""
    atoms = atoms.copy()
    atoms.numbers = 20 + np.arange(len(atoms)) % 90  # tells places apart; none is light
    prepared = prepare(atoms)
    for ball in prepared.balls:
        place = ball.arrays["place"]
        np.testing.assert_array_equal(ball.numbers, atoms.numbers[place])
        apart = ball.positions / prepared.scale - atoms.positions[place]
        apart -= apart[0]
        if atoms.pbc.any():
            steps = np.linalg.lstsq(atoms.cell.array[atoms.pbc].T, apart.T)[0]
            apart -= np.rint(steps).T @ atoms.cell.array[atoms.pbc]
        np.testing.assert_allclose(apart, 0, atol=1e-6)


def test_places_of_a_crystal_are_those_of_one_cell():
    prepared = prepare(noisy(gold_and_copper().repeat(2)))
    assert set(prepared.crystal.symbols) == {"Cu"}, "of one kind"
    assert set(prepared.elements.symbols) == {"Cu", "Au"}
    np.testing.assert_array_equal(prepared.crystal.positions, prepared.elements.positions)
    for ball in prepared.balls:
        np.testing.assert_array_equal(ball.numbers, prepared.elements.numbers[ball.arrays["place"]])


def test_of_atoms_of_two_kinds_that_coincide_the_first_has_the_place():
    crystal = bulk("Cu", cubic=True).repeat(3)
    other = Atoms(np.full(len(crystal), 79), crystal.positions)
    prepared = prepare(crystal + other)
    assert set(prepared.elements.symbols) == {"Cu"}
    for ball in prepared.balls:
        assert set(ball.symbols) == {"Cu"} and ball.arrays["place"].max() < len(crystal)


def test_of_a_cloud_in_pieces_the_kinds_of_the_largest_are_kept():
    piece = cut_cloud(gold_and_copper(), 200, "sphere", rng())
    dust = Atoms("W3", piece.positions[:3] + [100, 0, 0])
    (ball,) = prepare(dust + piece).balls
    np.testing.assert_array_equal(ball.numbers, piece.numbers)
    np.testing.assert_array_equal(ball.arrays["place"], 3 + np.arange(200))


@pytest.mark.parametrize(
    "atoms, reason",
    [
        (Atoms(), "no atoms"),
        (Atoms("Cu", [(0, 0, 0)]), "length scale"),
        (Atoms("Cu3", np.zeros((3, 3))), "length scale"),
        (Atoms("Cu2", [(0, 0, np.nan), (0, 0, 1)]), "finite"),
        (Atoms("Cu2", [(0, 0, 0), (1, 2, 2)], cell=[(3, 0, 0), (0, 3, 0), (3, 3, 0)], pbc=True), "one plane or line"),
    ],
)
def test_impossible_structures_get_one_sentence(atoms, reason):
    with pytest.raises(ValueError, match=reason):
        prepare(atoms)


def test_a_particle_in_a_large_box_needs_little_memory():
    particle = cut_cloud(bulk("Cu"), 8000, "sphere", np.random.default_rng(0))
    particle.set_cell([300] * 3)
    particle.center()
    particle.pbc = True
    tracemalloc.start()
    prepare(particle)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
