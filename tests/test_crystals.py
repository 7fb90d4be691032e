import numpy as np
import pandas as pd
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.collections import dcdft
from ase.geometry import get_distances
from ase.neighborlist import neighbor_list
from scipy.spatial.transform import Rotation

from xtalsight.crystals import (
    CLASSES,
    PROTOTYPES,
    build_crystal,
    conventional_cell,
    data_set_counts,
    make_recipes,
    make_views,
    primitive_cell,
    remove_atoms,
    rotate,
    space_group,
    standard_supercell,
    supercell_replicas,
    symmetry_dataset,
)
from xtalsight.store import load_table, save_table

SEED = 1912
POSITION_TOLERANCE = 1e-6  # angstrom
SHAPE_TOLERANCE = 1e-9  # relative
ATOMS_IN_SUPERCELL = (256, 336)  # of the published data set
SAMPLE = make_recipes({name: 3 for name in PROTOTYPES}, SEED)
DRAWN = make_recipes({name: 200 for name in PROTOTYPES}, SEED)
ANGLES = ["rotation_x", "rotation_y", "rotation_z"]

# spglib announces how errors will be reported in future.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
each_prototype = pytest.mark.parametrize("name", PROTOTYPES)


def sample_of(name):
    return SAMPLE[SAMPLE.prototype == name].to_dict("records")


def turned_to_standard(recipe):
    """The conventional cell that `build_crystal` repeats."""
    return conventional_cell(rotate(primitive_cell(recipe), [recipe[angle] for angle in ANGLES]))


def rhombohedral_angle(c_over_a):
    """Angle in degrees of the rhombohedral cell whose hexagonal cell has this axial ratio."""
    return np.degrees(np.arccos((2 * c_over_a**2 - 3) / (2 * c_over_a**2 + 6)))


def same_crystal(first, second):
    """Whether two cells hold the same atoms: order and choice of the periodic image are free."""
    if len(first) != len(second) or not np.allclose(first.cell, second.cell, rtol=0, atol=POSITION_TOLERANCE):
        return False
    distances = get_distances(first.positions, second.positions, cell=first.cell, pbc=True)[1]
    return distances.min(axis=0).max() < POSITION_TOLERANCE and distances.min(axis=1).max() < POSITION_TOLERANCE


def identical(first, second):
    """Whether two structures are the same bit for bit."""
    return all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in ("positions", "numbers", "cell", "pbc")
    )


# Prototypes: the composition of the published data set.


def test_total_count_is_that_of_the_data_set():
    assert sum(prototype.count for prototype in PROTOTYPES.values()) == 10_517


@pytest.mark.parametrize("label, count", list(enumerate([2601, 221, 842, 910, 2761, 3178, 4])))
def test_count_of_each_class(label, count):
    assert sum(prototype.count for prototype in PROTOTYPES.values() if prototype.label == label) == count


def test_whole_data_set_has_the_counts_of_the_prototypes():
    assert data_set_counts() == {name: prototype.count for name, prototype in PROTOTYPES.items()}


@pytest.mark.parametrize("number, count", [(194, 2890), (166, 288)])
def test_hex_rh_splits_by_space_group(number, count):
    assert sum(prototype.count for prototype in PROTOTYPES.values() if prototype.space_group == number) == count


@pytest.mark.parametrize(
    "class_name, space_groups",
    list(zip(CLASSES, [{229}, {139}, {141}, {227}, {225}, {194, 166}, {221}], strict=True)),
)
def test_space_groups_of_each_class(class_name, space_groups):
    label = CLASSES.index(class_name)
    assert {prototype.space_group for prototype in PROTOTYPES.values() if prototype.label == label} == space_groups


# Symmetry of the generated crystals.


@each_prototype
@pytest.mark.parametrize("symprec", [1e-3, 1e-6, 1e-9])
def test_space_group_of_primitive_cell_is_that_of_the_label(name, symprec):
    found = {space_group(primitive_cell(recipe), symprec) for recipe in sample_of(name)}
    assert found == {PROTOTYPES[name].space_group}


@each_prototype
@pytest.mark.parametrize("symprec", [1e-3, 1e-6, 1e-9])
def test_space_group_survives_rotation_and_standardisation(name, symprec):
    found = {space_group(turned_to_standard(recipe), symprec) for recipe in sample_of(name)}
    assert found == {PROTOTYPES[name].space_group}


@each_prototype
def test_conventional_cell_holds_the_atoms_of_its_pearson_symbol(name):
    pearson = PROTOTYPES[name].aflow.split("_")[1]
    # Pearson symbols count the primitive cell of rhombohedral crystals, a third of the hexagonal one.
    expected = int(pearson[2:]) * (3 if pearson.startswith("hR") else 1)
    assert {len(turned_to_standard(recipe)) for recipe in sample_of(name)} == {expected}


@pytest.mark.parametrize(
    "name, coordination, distance",
    [
        ("bcc", 8, np.sqrt(3) / 2 * 2 ** (1 / 3)),
        ("diamond", 4, np.sqrt(3) / 4 * 8 ** (1 / 3)),
        ("fcc", 12, np.sqrt(1 / 2) * 4 ** (1 / 3)),
        ("sc", 6, 1),
    ],
)
def test_cubic_coordination(name, coordination, distance):
    recipe = sample_of(name)[0]
    neighbours = neighbor_list("d", turned_to_standard(recipe), 1.01 * distance * recipe["volume"] ** (1 / 3))
    assert len(neighbours) == coordination * int(PROTOTYPES[name].aflow.split("_")[1][2:])


# Recipes: the parameters lie in the stated ranges and the cells have them.


@each_prototype
def test_drawn_volume_lies_in_its_range(name):
    low, high = PROTOTYPES[name].volume
    rows = DRAWN[DRAWN.prototype == name]
    ratio = rows.volume / [dcdft[element].get_volume() / len(dcdft[element]) for element in rows.element]
    assert ratio.between(low, high).all()


@each_prototype
@pytest.mark.parametrize("parameter", ["c_over_a", "alpha", "z"])
def test_drawn_shape_lies_in_its_ranges(name, parameter):
    intervals = getattr(PROTOTYPES[name], parameter)
    values = DRAWN.loc[DRAWN.prototype == name, parameter]
    if intervals:
        assert sum(values.between(low, high).sum() for low, high in intervals) == len(values)
    else:
        assert values.isna().all()


@pytest.mark.parametrize("forbidden", [1, np.sqrt(2)], ids=["bcc", "fcc"])
def test_bct_139_stays_away_from_the_cubic_ratios(forbidden):
    ratios = DRAWN.loc[DRAWN.label == CLASSES.index("bct_139"), "c_over_a"]
    edges = [edge for p in PROTOTYPES.values() if p.space_group == 139 for pair in p.c_over_a for edge in pair]
    assert np.abs(np.append(ratios, edges) - forbidden).min() >= 0.03 - 1e-12


def test_intervals_are_drawn_in_proportion_to_their_width():
    below, above = (high - low for low, high in PROTOTYPES["bct_in"].c_over_a)
    drawn_below = (DRAWN.loc[DRAWN.prototype == "bct_in", "c_over_a"] < np.sqrt(2)).mean()
    # The standard error of 200 draws is 0.03.
    assert drawn_below == pytest.approx(below / (below + above), abs=0.12)


def test_every_element_is_drawn():
    assert set(DRAWN.element) == set(dcdft.names)


def test_orientations_are_uniform():
    matrices = Rotation.from_euler("xyz", DRAWN[ANGLES].to_numpy(), degrees=True).as_matrix()
    # Each entry of a uniform rotation has mean 0 and mean square 1/3; 3000 draws put 5 standard errors below 0.06.
    assert np.abs(matrices.mean(axis=0)).max() < 0.06
    assert np.abs((matrices**2).mean(axis=0) - 1 / 3).max() < 0.06


@each_prototype
def test_conventional_cell_has_the_volume_and_shape_of_the_recipe(name):
    for recipe in sample_of(name):
        atoms = turned_to_standard(recipe)
        a, _, c = atoms.cell.lengths()
        assert atoms.get_volume() / len(atoms) == pytest.approx(recipe["volume"], rel=SHAPE_TOLERANCE)
        if np.isfinite(recipe["c_over_a"]):
            assert c / a == pytest.approx(recipe["c_over_a"], rel=SHAPE_TOLERANCE)
        elif np.isfinite(recipe["alpha"]):
            assert rhombohedral_angle(c / a) == pytest.approx(recipe["alpha"], rel=SHAPE_TOLERANCE)
        else:
            assert c / a == pytest.approx(1, rel=SHAPE_TOLERANCE)


@pytest.mark.parametrize(
    "first, second",
    [({"fcc": 3, "hcp": 2}, {"hcp": 2, "fcc": 3}), ({"fcc": 3, "hcp": 2}, {"fcc": 5, "sc": 1, "hcp": 4})],
    ids=["order", "number"],
)
def test_recipe_does_not_depend_on_the_others(first, second):
    first, second = (make_recipes(counts, SEED, 0.25).set_index("id") for counts in (first, second))
    pd.testing.assert_frame_equal(first, second.loc[first.index], check_exact=True)


def test_recipes_of_another_seed_are_others():
    assert not set(make_recipes({"fcc": 20}, SEED).volume) & set(make_recipes({"fcc": 20}, SEED + 1).volume)


def test_ids_are_unique():
    assert DRAWN.id.is_unique


# Standard cell: the rotation is undone.


@each_prototype
def test_conventional_cell_does_not_depend_on_the_rotation(name):
    first, second, *_ = sample_of(name)
    second = {**first, **{angle: second[angle] for angle in ANGLES}}
    assert same_crystal(turned_to_standard(first), turned_to_standard(second))


def test_rotate_turns_about_the_fixed_axes_x_then_y_then_z():
    turned = rotate(Atoms("Fe", positions=[[0, 1, 0]], cell=[1, 2, 3]), [90, 90, 0])
    # y goes to z about x, and z to x about y.
    np.testing.assert_allclose(turned.positions, [[1, 0, 0]], atol=POSITION_TOLERANCE)
    np.testing.assert_allclose(turned.cell, [[0, 0, -1], [2, 0, 0], [0, -3, 0]], atol=POSITION_TOLERANCE)


def test_hexagonal_cell_in_the_setting_of_setyawan_and_curtarolo():
    a, c = 3.2, 5.2
    atoms = conventional_cell(rotate(bulk("Mg", "hcp", a=a, c=c), [31, -47, 112]))
    expected = [[a / 2, -a * np.sqrt(3) / 2, 0], [a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    np.testing.assert_allclose(atoms.cell, expected, rtol=0, atol=POSITION_TOLERANCE)


def test_tetragonal_cell_has_its_unique_axis_along_z():
    tetragonal = Atoms("In2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[4.9, 3.2, 3.2], pbc=True)
    atoms = conventional_cell(rotate(tetragonal, [20, 30, 40]))
    np.testing.assert_allclose(atoms.cell, np.diag([3.2, 3.2, 4.9]), rtol=0, atol=POSITION_TOLERANCE)


# Supercells and vacancies.


@each_prototype
def test_supercell_holds_as_many_atoms_as_in_the_data_set(name):
    sizes = [len(build_crystal(recipe)) for recipe in sample_of(name)]
    assert ATOMS_IN_SUPERCELL[0] <= min(sizes) and max(sizes) <= ATOMS_IN_SUPERCELL[1]


@each_prototype
def test_supercell_edges_are_equal_to_within_one_cell(name):
    for recipe in sample_of(name):
        lengths = turned_to_standard(recipe).cell.lengths()
        edges = build_crystal(recipe).cell.lengths()
        longer = edges > lengths + POSITION_TOLERANCE  # edges with more than one cell
        assert (edges - lengths)[longer].max() <= edges.min() + 2e-6  # edges count as equal to 1e-6 angstrom


@each_prototype
def test_supercell_is_no_larger_than_needed(name):
    atoms = turned_to_standard(sample_of(name)[0])
    replicas = np.array(supercell_replicas(atoms))
    fewer = [len(atoms) * (replicas - step).prod() for step in np.eye(3, dtype=int)]
    assert min(fewer) < ATOMS_IN_SUPERCELL[0]


@each_prototype
def test_vacancies_leave_a_pristine_subset(name):
    pristine, defective = (build_crystal(make_recipes({name: 1}, SEED, ratio).iloc[0]) for ratio in (0, 0.25))
    assert len(defective) == len(pristine) - round(0.25 * len(pristine))
    assert set(map(tuple, defective.positions)) < set(map(tuple, pristine.positions))
    assert np.array_equal(defective.cell, pristine.cell)


def test_vacancies_differ_between_structures():
    atoms = bulk("Al", cubic=True).repeat(4)
    first, second = (remove_atoms(atoms, 0.25, np.random.default_rng([SEED, i, 1])) for i in range(2))
    assert not np.array_equal(first.positions, second.positions)


# The same recipe gives the same atoms, bit for bit.


def test_atoms_of_a_row_do_not_depend_on_the_rows_around_it():
    counts = {"beta_sn": 2, "hcp": 2, "arsenic": 2}
    everything = {recipe["id"]: build_crystal(recipe) for recipe in make_recipes(counts, SEED, 0.25).to_dict("records")}
    for recipe in make_recipes({"arsenic": 1, "hcp": 2}, SEED, 0.25)[::-1].to_dict("records"):
        assert identical(build_crystal(recipe), everything[recipe["id"]])


def test_changing_built_atoms_does_not_change_the_next_ones():
    recipe = sample_of("fcc")[0]
    expected = build_crystal(recipe)
    changed = build_crystal(recipe)
    changed.positions += 1
    changed.cell *= 2
    assert identical(build_crystal(recipe), expected)


def test_csv_round_trip_rebuilds_the_atoms(tmp_path):
    recipes = make_recipes({name: 1 for name in PROTOTYPES}, SEED, 0.25)
    save_table(tmp_path / "recipes.csv", recipes)
    read = load_table(tmp_path / "recipes.csv")
    for first, second in zip(recipes.to_dict("records"), read.to_dict("records"), strict=True):
        assert identical(build_crystal(first), build_crystal(second)), first["prototype"]


# Wrong input.


@pytest.mark.parametrize(
    "counts, vacancy_ratio, message",
    [
        ({"quasicrystal": 1}, 0, "quasicrystal"),
        ({"fcc": -1}, 0, "negative"),
        ({"fcc": 1}, 1, "vacancy_ratio"),
        ({"fcc": 1}, -0.1, "vacancy_ratio"),
        ({"fcc": 1}, np.nan, "vacancy_ratio"),
    ],
)
def test_make_recipes_rejects(counts, vacancy_ratio, message):
    with pytest.raises(ValueError, match=message):
        make_recipes(counts, SEED, vacancy_ratio)


def test_conventional_cell_rejects_overlapping_atoms():
    atoms = bulk("Cu", cubic=True)
    atoms.positions[1] = atoms.positions[0]
    with pytest.raises(ValueError, match="Cu4"):
        conventional_cell(atoms)


@pytest.mark.parametrize("vacancy_ratio", [-0.1, 1.5])
def test_remove_atoms_rejects_a_ratio_outside_0_to_1(vacancy_ratio):
    with pytest.raises(ValueError, match="vacancy_ratio"):
        remove_atoms(bulk("Cu", cubic=True).repeat(2), vacancy_ratio, np.random.default_rng(SEED))


# The ranges hold real crystals.


@pytest.fixture(scope="module")
def real_crystals():
    """Space group, atoms in the conventional cell and c/a of the elemental crystals of `ase.collections.dcdft`."""
    rows = {}
    for element in dcdft.names:
        atoms = dcdft[element]
        # The relaxed cells are printed with a few digits: a hundredth of an angstrom makes them symmetric.
        symmetry = spglib.get_symmetry_dataset((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), 1e-2)
        a, c = symmetry.std_lattice[0, 0], symmetry.std_lattice[2, 2]
        rows[element] = {"space_group": symmetry.number, "n_atoms": len(symmetry.std_types), "c_over_a": c / a}
    return pd.DataFrame(rows).T


def lie_in(values, intervals):
    return np.any([values.between(low, high) for low, high in intervals], axis=0)


def test_real_hcp_crystals_lie_in_the_range(real_crystals):
    ratios = real_crystals.query("space_group == 194 and n_atoms == 2").c_over_a
    assert {"Be", "Mg", "Zn", "Cd"} <= set(ratios.index)
    assert lie_in(ratios, PROTOTYPES["hcp"].c_over_a).all()


def test_real_bct_crystals_lie_in_the_range(real_crystals):
    ratios = real_crystals.query("space_group == 139 and n_atoms == 2").c_over_a
    assert set(ratios.index) == {"In", "Hg"}
    assert lie_in(ratios[["In"]], PROTOTYPES["bct_in"].c_over_a).all()
    assert lie_in(ratios[["Hg"]], PROTOTYPES["bct_pa"].c_over_a).all()


@pytest.mark.parametrize("name, n_atoms, elements", [("arsenic", 6, {"As", "Sb", "Bi"}), ("alpha_sm", 9, {"Li", "Na"})])
def test_real_rhombohedral_crystals_lie_in_the_range(real_crystals, name, n_atoms, elements):
    ratios = real_crystals.query("space_group == 166 and n_atoms == @n_atoms").c_over_a
    assert set(ratios.index) == elements
    assert lie_in(rhombohedral_angle(ratios), PROTOTYPES[name].alpha).all()


# Views.


def test_views_are_the_same_crystal_damaged():
    pristine = make_recipes({"hcp": 3}, SEED)
    views = make_views(pristine, 4, SEED)
    assert views.view_of.tolist() == np.repeat(pristine.id, 4).tolist()
    assert views.id.is_unique
    assert views.vacancy_ratio.between(0, 0.5).all()
    for recipe in views.to_dict("records"):
        atoms = build_crystal(recipe)
        whole = build_crystal({**recipe, "vacancy_ratio": 0, "displacement": 0, "strain": 0})
        assert len(atoms) == len(whole) - round(recipe["vacancy_ratio"] * len(whole))
        strain = np.linalg.inv(whole.cell.array) @ atoms.cell.array - np.eye(3)
        assert 0 < np.abs(strain).max() <= 0.01


def test_views_are_of_many_elements_and_little_displaced():
    views = make_views(make_recipes({"hcp": 3, "dhcp": 3}, SEED), 9, SEED)
    assert views.id.is_unique
    assert views.element.nunique() > 20
    assert (views.displacement / views.volume ** (1 / 3)).between(0, 0.06).all()


def test_too_many_views():
    with pytest.raises(ValueError, match="n_views=10"):
        make_views(make_recipes({"hcp": 1}, SEED), 10, SEED)


def test_displacements_have_the_stated_width():
    recipe = make_views(make_recipes({"fcc": 1}, SEED), 1, SEED).iloc[0].to_dict()
    still, moved = (
        build_crystal({**recipe, "vacancy_ratio": 0, "strain": 0, "displacement": width}).positions
        for width in (0, 0.1)
    )
    assert (moved - still).std() == pytest.approx(0.1, rel=0.1)  # 768 numbers


def test_views_do_not_depend_on_the_others():
    pristine = make_recipes({"hcp": 3, "fcc": 2}, SEED)
    alone, together = make_views(pristine[2:], 2, SEED), make_views(pristine, 2, SEED)
    pd.testing.assert_frame_equal(alone, together[4:].reset_index(drop=True), check_exact=True)


DAMAGED = {"vacancy_ratio": 0.2, "substitution": 0.3, "strain": 0.01, "displacement": 0.1, "misorientation": 5.0}


def damaged(**changes):
    (recipe,) = make_recipes({"fcc": 1}, 3).to_dict("records")
    return build_crystal(recipe | changes)


def test_supercell_of_the_size_asked_for():
    assert 500 <= len(damaged(n_atoms=500)) < 1000


def test_substitution_replaces_so_many_atoms_and_leaves_their_places():
    atoms, mixed = damaged(), damaged(substitution=0.25)
    assert (mixed.numbers != atoms.numbers).sum() == round(0.25 * len(atoms))
    assert np.array_equal(mixed.positions, atoms.positions)


def test_displacements_have_the_standard_deviation_asked_for():
    shift = damaged(displacement=0.3, n_atoms=2000).positions - damaged(n_atoms=2000).positions
    assert shift.std() == pytest.approx(0.3, rel=0.03)
    assert abs(shift.mean()) < 0.02


def test_misorientation_turns_by_the_angle_and_leaves_distances():
    atoms, turned = damaged(), damaged(misorientation=10.0)
    rotation = turned.cell.array.T @ np.linalg.inv(atoms.cell.array.T)
    assert np.degrees(np.arccos((np.trace(rotation) - 1) / 2)) == pytest.approx(10)
    np.testing.assert_allclose(turned.get_all_distances(), atoms.get_all_distances(), atol=1e-9)


@pytest.mark.parametrize("column", DAMAGED)
def test_no_damage_is_the_crystal_itself(column):
    np.testing.assert_allclose(damaged(**{column: 0}).positions, damaged().positions, atol=1e-12)


@pytest.mark.parametrize("column", [c for c in DAMAGED if c != "vacancy_ratio"])
def test_one_damage_leaves_the_random_numbers_of_the_vacancies(column):
    without, with_it = damaged(vacancy_ratio=0.2), damaged(vacancy_ratio=0.2, **{column: DAMAGED[column]})
    assert len(with_it) == len(without)
    # The same sites are empty: the cells map onto each other within the displacements.
    shift = with_it.get_scaled_positions() - without.get_scaled_positions()
    assert np.abs(shift - np.round(shift)).max() < 0.05


def test_elements_asked_for_and_no_others():
    assert set(make_recipes({"fcc": 30}, 1, elements=["Cu", "Ag"]).element) == {"Cu", "Ag"}


def test_standard_supercell_undoes_a_rotation():
    turned = bulk("Mg")
    turned.rotate(35, (1, 2, 3), rotate_cell=True)
    one, other = (standard_supercell(atoms, n_atoms=50) for atoms in (bulk("Mg"), turned))
    assert len(one) >= 50
    np.testing.assert_allclose(other.cell.array, one.cell.array, atol=POSITION_TOLERANCE)


def test_atoms_on_top_of_each_other_have_no_symmetry():
    assert symmetry_dataset(Atoms("Cu2", positions=np.zeros((2, 3)), cell=[3, 3, 3], pbc=True)) is None
    assert symmetry_dataset(bulk("Cu")).number == 225
