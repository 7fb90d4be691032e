import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from scipy.spatial import ConvexHull, Delaunay, cKDTree
from scipy.spatial.transform import Rotation

from xtalsight.clouds import SHAPES, TWIN_PLANES, build_cloud, build_polycrystal, cut_cloud
from xtalsight.counterexamples import OTHER_PROTOTYPES, build_counterexample, make_counterexamples
from xtalsight.crystals import make_recipes, rotate, space_group, stacked
from xtalsight.fingerprints import length_scale

SEED = 1912
ROUNDING = 1e-6  # angstrom
CLOSEST = 0.75  # of the nearest-neighbour distance, between atoms of different grains

# spglib announces how errors will be reported in future.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

CRYSTALS = {
    "fcc": bulk("Cu"),
    "hcp": bulk("Mg"),
    "diamond": bulk("Si", cubic=True),
    "sheared": Atoms("Cu", cell=[(2.5, 0, 0), (5.2, 2.5, 0), (0.3, 2.6, 2.5)], pbc=True),
}
each_crystal = pytest.mark.parametrize("crystal", CRYSTALS.values(), ids=CRYSTALS)
BODIES = [shape for shape in SHAPES if shape != "supercell"]
each_body = pytest.mark.parametrize("shape", BODIES)


def cut(crystal, n_atoms=200, shape="sphere", seed=SEED):
    return cut_cloud(crystal, n_atoms, shape, np.random.default_rng(seed))


def endless(crystal, cloud):
    """Places of all atoms of the crystal that a cloud was cut from, far enough to hold it.

    The first atom of the cloud is at a site of the crystal, one of few; it is the one that explains the others.
    """
    cells = np.indices((41, 41, 41)).reshape(3, -1).T - 20
    for site in crystal.positions:
        origin = cloud.positions[0] - site
        origin -= np.rint(crystal.cell.scaled_positions(origin[None])[0]) @ crystal.cell.array
        places = (cells @ crystal.cell.array)[:, None] + origin + crystal.positions
        places = places.reshape(-1, 3)
        places = places[np.linalg.norm(places, axis=1) < 1.2 * np.linalg.norm(cloud.positions, axis=1).max()]
        if cKDTree(places).query(cloud.positions)[0].max() < ROUNDING:
            return places
    raise AssertionError("the cloud is no part of the crystal")


def n_near(places, positions):
    """Number of places with an atom."""
    return (cKDTree(positions).query(places)[0] < ROUNDING).sum()


def recipe(kind="fcc", **changes):
    row = make_recipes({kind: 1}, SEED).iloc[0].to_dict()
    return row | {"shape": "sphere", "n_atoms": 200} | changes


def outlier(kind="simple_hexagonal", number=0, **changes):
    row = make_counterexamples({kind: number + 1}, SEED).iloc[number].to_dict()
    return row | {"shape": "sphere", "n_atoms": 200} | changes


# Cuts.


@each_body
@each_crystal
@pytest.mark.parametrize("n_atoms", [1, 2, 40, 500])
def test_a_cloud_has_as_many_atoms_as_asked_for_and_no_cell(crystal, shape, n_atoms):
    cloud = cut(crystal, n_atoms, shape)
    assert len(cloud) == n_atoms
    assert not cloud.cell.any() and not cloud.pbc.any()


@each_crystal
def test_a_ball_holds_every_atom_of_the_crystal_up_to_its_outermost(crystal):
    cloud = cut(crystal)
    places = endless(crystal, cloud)
    radius = np.linalg.norm(cloud.positions, axis=1).max()
    assert (np.linalg.norm(places, axis=1) <= radius + ROUNDING).sum() == len(cloud)


@each_body
@each_crystal
def test_inside_the_hull_of_a_cloud_no_atom_is_missing(crystal, shape):
    for seed in range(5):
        cloud = cut(crystal, shape=shape, seed=seed)
        places = endless(crystal, cloud)
        # A lattice plane at the face may be filled in part: what lies on the hull does not count.
        middle = cloud.positions.mean(axis=0)
        inside = places[Delaunay(cloud.positions).find_simplex(middle + (1 + ROUNDING) * (places - middle)) >= 0]
        assert n_near(inside, cloud.positions) == len(inside) > 50


@each_body
def test_clouds_are_as_dense_as_the_crystal(shape):
    cloud = cut(CRYSTALS["fcc"], 3000, shape)
    hull = ConvexHull(cloud.positions)
    layer = 0.5 * hull.area * length_scale(cloud)  # half an atom thick, outside the hull of the centres
    assert hull.volume < 3000 * CRYSTALS["fcc"].get_volume() < hull.volume + layer


def test_convex_bodies_differ_and_are_no_balls():
    """Of a ball the hull has the least surface for its volume: 36 pi V^2 = A^3."""

    def roundness(cloud):
        hull = ConvexHull(cloud.positions)
        return 36 * np.pi * hull.volume**2 / hull.area**3

    ball = roundness(cut(CRYSTALS["fcc"], 1000))
    bodies = [roundness(cut(CRYSTALS["fcc"], 1000, "convex", seed)) for seed in range(5)]
    assert max(bodies) < ball - 0.02
    assert np.ptp(bodies) > 0.02


def test_a_convex_body_reaches_at_most_twice_as_far_as_its_nearest_plane_can_be():
    for seed in range(10):
        cloud = cut(CRYSTALS["fcc"], 4000, "convex", seed)
        hull = ConvexHull(cloud.positions)
        nearest = -hull.equations[:, -1].max()
        assert np.linalg.norm(cloud.positions, axis=1).max() < 2.1 * (nearest + length_scale(cloud))


def test_fragments_are_balls_with_their_middle_anywhere_below_a_surface():
    """How near the surface of the hull comes to the middle of the ball, as a share of the ball's radius."""
    for shape, low, high in (("sphere", 0.85, 1), ("fragment", 0.05, 0.6)):
        depths = []
        for seed in range(30):
            cloud = cut(CRYSTALS["fcc"], 1500, shape, seed)
            outermost = np.linalg.norm(cloud.positions, axis=1).max()
            depths.append(-ConvexHull(cloud.positions).equations[:, -1].max() / outermost)
        assert low < np.median(depths) < high
        assert (np.ptp(depths) > 0.3) == (shape == "fragment")


def test_some_fragments_end_at_lattice_planes():
    """As faces of crystals do: many atoms of a simple cubic crystal in one plane, with none beyond."""
    indices = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    indices = indices[indices.any(axis=1)]
    for shape, low, high in (("sphere", 0, 0), ("fragment", 0.15, 0.5)):
        flat = 0
        for seed in range(60):
            heights = indices @ cut(bulk("Po", "sc", a=3.0), 400, shape, seed).positions.T
            flat += ((heights.max(axis=1)[:, None] - heights < 0.01).mean(axis=1) > 0.09).any()
        assert low <= flat / 60 <= high


@each_body
def test_a_cut_keeps_the_orientation_and_the_elements(shape):
    angles = (20, -50, 110)
    cloud = cut(rotate(bulk("NaCl", "rocksalt", a=5.6), angles), shape=shape)
    sodium, chlorine = (cloud.positions[cloud.numbers == number] for number in (11, 17))
    distance, nearest = cKDTree(chlorine).query(sodium)
    assert distance == pytest.approx(2.8, abs=ROUNDING)
    bonds = Rotation.from_euler("xyz", angles, degrees=True).inv().apply(chlorine[nearest] - sodium) / 2.8
    assert np.sort(np.abs(bonds), axis=1) == pytest.approx(np.tile([0, 0, 1], (len(bonds), 1)), abs=ROUNDING)


@each_body
def test_the_same_seed_gives_the_same_cut_and_another_one_another(shape):
    first, again, other = (cut(CRYSTALS["hcp"], 100, shape, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.positions, again.positions)
    assert n_near(first.positions, other.positions) < 100


@pytest.mark.parametrize("cells", [1, -1, 7])
def test_atoms_that_lie_in_other_cells_are_the_same_crystal(cells):
    crystal = bulk("Cu", cubic=True)
    elsewhere = crystal.copy()
    elsewhere.positions[:2] += cells * crystal.cell.array.sum(axis=0)
    first, second = cut(crystal), cut(elsewhere)
    assert n_near(first.positions, second.positions) == len(first) == len(second)


@pytest.mark.parametrize("shape", ["supercell", "cube", ""])
def test_no_such_shape(shape):
    with pytest.raises(ValueError, match=f"shape='{shape}'"):
        cut(CRYSTALS["fcc"], 20, shape)


@pytest.mark.parametrize("pbc", [(True, True, False), False])
def test_what_is_not_periodic_cannot_be_cut(pbc):
    slab = CRYSTALS["fcc"].copy()
    slab.pbc = pbc
    with pytest.raises(ValueError, match="periodic in three directions"):
        cut(slab)


# Clouds of recipes.


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_recipe_gives_the_same_cloud(shape):
    row = recipe("hcp", shape=shape, vacancy_ratio=0.3, displacement=0.1, strain=0.01)
    first, again, other = (build_cloud(r) for r in (row, row, row | {"id": row["id"] + 1}))
    np.testing.assert_array_equal(first.positions, again.positions)
    assert n_near(other.positions, first.positions) < 5


@pytest.mark.parametrize("shape", SHAPES)
def test_clouds_have_no_cell_and_are_named(shape):
    cloud = build_cloud(recipe("beta_sn", shape=shape))
    assert not cloud.cell.any() and not cloud.pbc.any()
    assert "beta_sn" in cloud.info["name"]


@pytest.mark.parametrize("shape", SHAPES)
def test_clouds_stand_as_the_recipe_says(shape):
    """Neighbours of a simple cubic crystal lie along its turned axes."""
    row = recipe("sc", shape=shape)
    cloud = build_cloud(row)
    pairs = cKDTree(cloud.positions).query_pairs(1.1 * length_scale(cloud), output_type="ndarray")
    bonds = np.diff(cloud.positions[pairs], axis=1)[:, 0] / length_scale(cloud)
    turn = Rotation.from_euler("xyz", [row[f"rotation_{axis}"] for axis in "xyz"], degrees=True)
    along = np.sort(np.abs(turn.inv().apply(bonds)), axis=1)
    assert along == pytest.approx(np.tile([0, 0, 1], (len(along), 1)), abs=ROUNDING)
    assert np.abs(bonds).max() < 0.999  # not along x, y or z


@each_body
def test_vacancies_are_taken_out_of_the_cloud(shape):
    whole, damaged = (build_cloud(recipe("bcc", shape=shape, vacancy_ratio=ratio)) for ratio in (0, 0.25))
    assert (len(whole), len(damaged)) == (200, 150)
    assert n_near(damaged.positions, whole.positions) == 150


def test_a_supercell_has_at_least_so_many_atoms_and_then_vacancies():
    whole, damaged = (build_cloud(recipe("bcc", shape="supercell", vacancy_ratio=ratio)) for ratio in (0, 0.25))
    assert 200 <= len(whole) < 300
    assert len(damaged) == len(whole) - round(0.25 * len(whole))


@pytest.mark.parametrize("shape", SHAPES)
def test_displacements_have_the_spread_asked_for(shape):
    still, moved = (build_cloud(recipe(shape=shape, n_atoms=1000, displacement=d, strain=0)) for d in (0, 0.2))
    assert (moved.positions - still.positions).std() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_strain_stretches_distances_within_its_bound(shape):
    nearest = length_scale(build_cloud(recipe(shape=shape)))
    cloud = build_cloud(recipe(shape=shape, strain=0.02, displacement=0))
    pairs = cKDTree(cloud.positions).query_pairs(1.2 * nearest, output_type="ndarray")
    stretch = np.linalg.norm(np.diff(cloud.positions[pairs], axis=1)[:, 0], axis=1) / nearest - 1
    assert 0.002 < np.abs(stretch).max() < 3.1 * 0.02  # the norm of a matrix of such components
    assert stretch.std() > 0.001


# Of one cloud the atoms that are in the other: what a second grain leaves of the first, and what it brings.


def with_second_grain(number, shape, second="bcc", **changes):
    """A cloud of copper without and with a second grain, and which atoms of the latter are of the second."""
    row = make_recipes({"fcc": number + 1}, SEED, elements=["Cu"]).iloc[number].to_dict()
    row |= {"shape": shape, "n_atoms": 256} | changes
    plain, both = build_cloud(row), build_cloud(row | {"second": second})
    return plain, both, cKDTree(plain.positions).query(both.positions)[0] > ROUNDING


@each_body
def test_a_second_grain_is_the_smaller_part(shape):
    shares = [with_second_grain(number, shape)[2].mean() for number in range(40)]
    assert max(shares) < 0.4
    assert np.median(shares) > 0.03


@each_body
def test_a_second_grain_lies_within_the_body(shape):
    """Its atoms are not far outside the hull of the cloud that has none."""
    for number in range(10):
        plain, both, new = with_second_grain(number, shape)
        if not new.any():  # the smallest shares of small clouds
            continue
        hull = ConvexHull(plain.positions).equations
        outside = (both.positions[new] @ hull[:, :3].T + hull[:, 3]).max(axis=1)
        assert outside.max() < 1.5 * length_scale(plain)


@each_body
def test_a_second_grain_lies_beyond_a_plane_and_keeps_its_distance(shape):
    for number in range(5):
        plain, both, new = with_second_grain(number, shape)
        if 3 < new.sum() < len(new) - 3:
            first, second = both.positions[~new], both.positions[new]
            assert cKDTree(first).query(second)[0].min() > CLOSEST * length_scale(plain) - ROUNDING
            gone = plain.positions[cKDTree(first).query(plain.positions)[0] > ROUNDING]
            # A plane parts what is left of the first grain from what has gone, and from the second.
            assert (Delaunay(first).find_simplex(gone) < 0).all()
            assert (Delaunay(first).find_simplex(second) < 0).all()


def test_vacancies_and_displacements_go_to_both_grains():
    _, whole, new = with_second_grain(1, "sphere")
    _, damaged, _ = with_second_grain(1, "sphere", vacancy_ratio=0.25)
    assert len(damaged) == len(whole) - round(0.25 * len(whole))
    kept = cKDTree(damaged.positions).query(whole.positions)[0] < ROUNDING
    assert 0 < kept[new].mean() < 1 and 0 < kept[~new].mean() < 1


@pytest.mark.parametrize("second", [None, np.nan])
def test_without_a_second_grain_the_column_changes_nothing(second):
    np.testing.assert_array_equal(build_cloud(recipe(second=second)).positions, build_cloud(recipe()).positions)


@each_body
@pytest.mark.parametrize("kind", ["random_crystal", "hard_spheres", "quasi_random", *OTHER_PROTOTYPES])
def test_counterexamples_become_clouds_of_so_many_atoms(kind, shape):
    """They lack atoms already: none of the cloud's are removed."""
    row = outlier(kind, shape=shape)
    cloud = build_cloud(row)
    assert len(cloud) == 200
    assert not cloud.cell.any() and not cloud.pbc.any()
    assert cloud.info["name"] == build_counterexample(row).info["name"]


def test_counterexamples_stand_anyhow():
    """Shortest bonds of simple hexagonal crystals lie along z or at right angles to it as long as nobody turns them."""
    heights = []
    for number in range(12):
        cloud = build_cloud(outlier(number=number, vacancy_ratio=0, displacement=0))
        distance, nearest = cKDTree(cloud.positions).query(cloud.positions, k=2)
        atom = distance[:, 1].argmin()
        bond = cloud.positions[nearest[atom, 1]] - cloud.positions[atom]
        heights.append(abs(bond[2]) / distance[atom, 1])
    assert ((np.array(heights) > 0.05) & (np.array(heights) < 0.95)).sum() >= 8


def test_there_is_no_supercell_of_a_counterexample():
    with pytest.raises(ValueError, match="shape='supercell'"):
        build_cloud(outlier(shape="supercell"))


# Polycrystals.

CELLS = [bulk("Cu"), bulk("Cu", cubic=True), bulk("Fe"), bulk("Mg"), bulk("Po", "sc", a=3.0)]


@pytest.fixture(scope="module")
def polycrystal():
    return build_polycrystal(CELLS, 6000, np.random.default_rng(SEED))


def of_other_grains(atoms, grain):
    return cKDTree(atoms.positions[atoms.arrays["grain"] != grain])


def test_each_cell_makes_a_grain(polycrystal):
    assert set(polycrystal.arrays["grain"]) == set(range(len(CELLS)))
    for grain, cell in enumerate(CELLS):
        assert set(polycrystal.numbers[polycrystal.arrays["grain"] == grain]) == set(cell.numbers)


def test_grains_of_different_crystals_meet_at_a_distance(polycrystal):
    closest = CLOSEST * min(length_scale(cell) for cell in CELLS)
    for grain in range(len(CELLS)):
        own = polycrystal.positions[polycrystal.arrays["grain"] == grain]
        distance = of_other_grains(polycrystal, grain).query(own)[0].min()
        assert closest <= distance < 2 * closest  # no gap either


def test_grains_are_the_crystals_given(polycrystal):
    for grain, cell in enumerate(CELLS):
        chosen = polycrystal.arrays["grain"] == grain
        inside = chosen & (polycrystal.arrays["from_boundary"] > 1.5 * length_scale(cell))
        edge = polycrystal.positions.max()
        inside &= ((polycrystal.positions > 4) & (polycrystal.positions < edge - 4)).all(axis=1)
        nearest = cKDTree(polycrystal.positions).query(polycrystal.positions[inside], k=2)[0][:, 1]
        assert inside.sum() > 20
        assert nearest == pytest.approx(np.full(len(nearest), nearest[0]), abs=ROUNDING)
        assert nearest[0] == pytest.approx(length_scale(cell), rel=0.01)


def test_grains_of_one_crystal_stand_differently():
    atoms = build_polycrystal([bulk("Po", "sc", a=3.0)] * 3, 3000, np.random.default_rng(SEED))
    bonds = []
    for grain in range(3):
        positions = atoms.positions[atoms.arrays["grain"] == grain]
        pairs = cKDTree(positions).query_pairs(3.01, output_type="ndarray")
        bonds.append(np.diff(positions[pairs], axis=1)[:, 0] / 3)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        cosines = np.abs(bonds[one] @ bonds[other].T)
        assert (cosines.max(axis=1) < 0.999).any()


def test_a_polycrystal_fills_a_cube():
    atoms = build_polycrystal([bulk("Cu")] * 4, 6000, np.random.default_rng(SEED))
    edge = (6000 * bulk("Cu").get_volume()) ** (1 / 3)
    assert 0 <= atoms.positions.min() and atoms.positions.max() < edge
    assert 0.9 * 6000 < len(atoms) <= 1.01 * 6000
    shares = np.histogramdd(atoms.positions, bins=3, range=[(0, edge)] * 3)[0] / len(atoms)
    assert shares == pytest.approx(np.full((3, 3, 3), 1 / 27), rel=0.2)


def test_within_its_distance_from_the_boundary_an_atom_has_no_other_grain(polycrystal):
    far = polycrystal.arrays["from_boundary"]
    assert (far >= 0).all()
    for grain in range(len(CELLS)):
        own = polycrystal.arrays["grain"] == grain
        distance = of_other_grains(polycrystal, grain).query(polycrystal.positions[own])[0]
        assert (distance >= far[own] - ROUNDING).all()
        # An atom of the other grain is not much farther behind the boundary, where the boundary is inside the cube.
        near = own & (far < 2)
        assert np.median(of_other_grains(polycrystal, grain).query(polycrystal.positions[near])[0]) < 5


def test_a_single_grain_has_no_boundary():
    atoms = build_polycrystal([bulk("Cu")], 500, np.random.default_rng(SEED))
    assert np.isposinf(atoms.arrays["from_boundary"]).all()
    assert len(atoms) == pytest.approx(500, rel=0.1)


def test_the_same_seed_gives_the_same_grains_and_another_one_others():
    first, again, other = (build_polycrystal(CELLS[:2], 1000, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.positions, again.positions)
    np.testing.assert_array_equal(first.arrays["grain"], again.arrays["grain"])
    assert n_near(first.positions, other.positions) < 5


def test_vacancies_and_displacements_leave_the_grains_and_distances_from_the_boundary():
    whole, damaged, moved = (
        build_polycrystal([bulk("Cu")] * 3, 2000, np.random.default_rng(SEED), vacancies, displacement)
        for vacancies, displacement in ((0, 0), (0.25, 0), (0.25, 0.1))
    )
    assert len(damaged) == len(moved) == len(whole) - round(0.25 * len(whole))
    distance, place = cKDTree(whole.positions).query(damaged.positions)
    assert distance.max() == 0
    for name in ("grain", "from_boundary"):
        np.testing.assert_array_equal(damaged.arrays[name], whole.arrays[name][place])
        np.testing.assert_array_equal(moved.arrays[name], damaged.arrays[name])
    assert (moved.positions - damaged.positions).std() == pytest.approx(0.1, rel=0.1)


def test_many_small_grains_fit():
    atoms = build_polycrystal([bulk("Cu")] * 40, 4000, np.random.default_rng(SEED))
    assert set(atoms.arrays["grain"]) == set(range(40))


@pytest.mark.parametrize("ratio", [-0.1, 1])
def test_vacancies_are_a_fraction(ratio):
    with pytest.raises(ValueError, match="vacancy_ratio"):
        build_polycrystal([bulk("Cu")], 100, np.random.default_rng(SEED), vacancy_ratio=ratio)


NOT_PERIODIC = bulk("Cu")
NOT_PERIODIC.pbc = False


@pytest.mark.parametrize("cells", [[], [bulk("Cu"), NOT_PERIODIC]], ids=["none", "not periodic"])
def test_grains_need_crystals(cells):
    with pytest.raises(ValueError, match="periodic"):
        build_polycrystal(cells, 100, np.random.default_rng(SEED))


# Heat, twins, faults, periodic damage.


@each_body
def test_waves_move_the_atoms_of_a_cloud_and_change_nothing_else(shape):
    cold, hot = (build_cloud(recipe("bcc", shape=shape, waves=sigma)) for sigma in (0, 0.2))
    moved = hot.positions - cold.positions
    assert 0.1 < moved.std() < 0.35
    np.testing.assert_array_equal(cold.numbers, hot.numbers)


def test_waves_are_those_of_the_crystal_axes_whatever_the_orientation():
    """The strain of soft shear turns with the crystal."""
    still = dict.fromkeys(("rotation_x", "rotation_y", "rotation_z"), 0.0)
    turned = {"rotation_x": 20.0, "rotation_y": 50.0, "rotation_z": -70.0}
    one, other = (build_cloud(recipe("fcc", waves=0.2, anisotropy=8.0, **how)) for how in (still, turned))
    turn = Rotation.from_euler("xyz", list(turned.values()), degrees=True)
    # A ball cut about one point of the crystal holds the same atoms in every orientation.
    np.testing.assert_allclose(np.sort(np.linalg.norm(turn.apply(one.positions), axis=1)),
                               np.sort(np.linalg.norm(other.positions, axis=1)), atol=1e-6)  # fmt: skip


@pytest.mark.parametrize("kind", TWIN_PLANES)
def test_a_twin_is_coherent_and_its_own_mirror_image(kind):
    """No atom has lost a neighbour at the plane: the nearest one is as far as in the crystal."""
    cloud = build_cloud(recipe(kind, second="twin", n_atoms=400))
    plain = build_cloud(recipe(kind, n_atoms=400))
    nearest, in_crystal = (cKDTree(c.positions).query(c.positions, k=2)[0][:, 1] for c in (cloud, plain))
    middle = np.linalg.norm(cloud.positions - cloud.positions.mean(axis=0), axis=1) < 7
    assert nearest[middle].min() > 0.85 * in_crystal.min()
    assert nearest[middle].max() < 1.05 * in_crystal.max()
    assert 300 < len(cloud) < 500


def test_a_twin_is_another_crystal_beyond_its_plane():
    cloud, plain = (build_cloud(recipe("fcc", second=second, n_atoms=400)) for second in ("twin", None))
    same = cKDTree(plain.positions).query(cloud.positions)[0] < 0.01
    assert 0.4 < same.mean() < 0.99


def test_a_stack_without_faults_is_the_crystal():
    for kind, group in (("fcc", 225), ("hcp", 194)):
        rows = [recipe(kind) | {"faults": 0.0, "seed": seed} for seed in range(20)]
        stacks = [stacked(row, np.random.default_rng(row["seed"])) for row in rows]
        # An odd number of layers of hcp does not close.
        whole = [s for s in stacks if kind == "fcc" or len(s) % 2 == 0]
        assert {space_group(s, 1e-2) for s in whole} == {group}


def test_a_stack_keeps_distances_and_density_whatever_its_faults():
    row = recipe("fcc") | {"faults": 0.4}
    stack = stacked(row, np.random.default_rng(SEED))
    assert stack.get_volume() / len(stack) == pytest.approx(row["volume"])
    nearest = neighbor_list("d", stack, 1.01 * (np.sqrt(2) * row["volume"]) ** (1 / 3))
    assert len(nearest) == 12 * len(stack)
    assert np.ptp(nearest) < 1e-6


def test_damage_of_a_small_cell_repeats():
    atoms = build_cloud(recipe("fcc", cell_atoms=16, vacancy_ratio=0.125, displacement=0.1, n_atoms=500))
    apart = atoms.positions[:, None] - atoms.positions
    near = np.linalg.norm(apart, axis=-1)
    # A lattice vector of the cell leads from most atoms to another one.
    vectors = np.round(apart[(near > 4) & (near < 8)], 4)
    _, counts = np.unique(vectors, axis=0, return_counts=True)
    assert counts.max() > 150
