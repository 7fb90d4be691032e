import re
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import spglib
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal
from conftest import CIF_OF_SITES

from xtalsight import crystals, prototypes
from xtalsight.classify import are_ordered
from xtalsight.clouds import SHAPES
from xtalsight.counterexamples import nearest_distance
from xtalsight.damage import deviatoric
from xtalsight.preparation import prepare
from xtalsight.prototypes import (
    INTERNAL,
    LARGEST_CELL,
    LATTICE,
    OUTLIERS,
    Prototype,
    aflow_prototypes,
    build_cloud,
    build_crystal,
    build_outlier,
    damage_to_learn,
    free_directions,
    make_clouds,
    make_outliers,
    mild_damage,
    read_prototypes,
    symmetric_cell,
    vary,
)

SEED = 1912
FOUND = 1e-3  # tolerance at which spglib is asked for the group of a perfect crystal, in spacings


def rng(*more):
    return np.random.default_rng([SEED, *more])


def rutile(u=0.3053, c_over_a=0.6441):
    a = 4.594
    sites = [(0, 0, 0), (u, u, 0)]
    return crystal(["Ti", "O"], sites, spacegroup=136, cellpar=[a, a, c_over_a * a, 90, 90, 90])


CRYSTALS = {
    "fcc": bulk("Cu"),
    "hcp": bulk("Mg"),
    "diamond": bulk("Si", cubic=True),
    "rock salt": bulk("NaCl", "rocksalt", a=5.64),
    "rutile": rutile(),
    "quartz": crystal(
        ["Si", "O"],
        [(0.4697, 0, 0), (0.4135, 0.2669, 0.1191)],
        spacegroup=152,
        cellpar=[4.916, 4.916, 5.405, 90, 90, 120],
    ),
    "wurtzite": bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.382),
    "baddeleyite": crystal(
        ["Zr", "O", "O"],
        [(0.2754, 0.0395, 0.2083), (0.070, 0.3317, 0.3447), (0.4496, 0.7569, 0.4792)],
        spacegroup=14,
        cellpar=[5.150, 5.212, 5.317, 90, 99.23, 90],
    ),
}
GROUPS = dict(zip(CRYSTALS, (225, 194, 227, 225, 136, 152, 186, 14), strict=True))
EVERY_CRYSTAL = pytest.mark.parametrize("name", CRYSTALS)


@pytest.fixture(scope="module")
def cells():
    return {name: symmetric_cell(atoms) for name, atoms in CRYSTALS.items()}


@pytest.fixture(scope="module")
def three(cells):
    """Rock salt, copper and rutile as prototypes."""
    names = {"NaCl": "rock salt", "Cu": "fcc", "TiO2": "rutile"}
    return {name: Prototype(name, (cells[key],), {}) for name, key in names.items()}


def as_cell(atoms):
    return atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers


def spacing(atoms):
    return (atoms.get_volume() / len(atoms)) ** (1 / 3)


def group(atoms, tolerance=FOUND):
    return spglib.get_symmetry_dataset(as_cell(atoms), symprec=tolerance * spacing(atoms)).number


def signature(atoms):
    """Space group and, of the primitive cell, how many atoms there are of each kind, whatever the kinds."""
    primitive = spglib.find_primitive(as_cell(atoms), symprec=FOUND * spacing(atoms))
    return group(atoms), sorted(Counter(primitive[2].tolist()).values())


# The library.


@pytest.fixture(scope="module")
def library():
    pytest.importorskip("pymatgen")
    return aflow_prototypes()


def test_the_library_has_288_prototypes_each_with_a_name_of_its_own(library):
    assert len(library) == 288
    assert all(prototype.name == name and len(prototype.cells) == 1 for name, prototype in library.items())


def test_labels_of_aflow_are_kept(library):
    """The name is the label, with the formula where several share it."""
    labels = Counter(prototype.names["aflow"] for prototype in library.values())
    for name, prototype in library.items():
        label, *formula = name.split(" ")
        assert prototype.names["aflow"] == label
        assert len(formula) == (labels[label] > 1)
    assert {"AB_cF8_225_a_b", "AB_cP2_221_b_a", "A2B_tP6_136_f_a", "A_hR1_166_a Hg", "A_hR1_166_a Po"} <= set(library)
    assert (library["AB_cF8_225_a_b"].names["mineral"], library["AB_cF8_225_a_b"].names["strukturbericht"]) == (
        "Halite, Rock Salt",
        "B1",
    )
    assert all("None" not in prototype.names.values() for prototype in library.values())


# In pymatgen's copy: U3Si is not turned as it should be, Au2V has more symmetry than its label, and sigma stands for s.
MISLABELLED = {"AB3_tI16_140_b_ah", "A2B_oC12_38_de_ab", "sigma_tP30_136_bf2ij"}


def test_crystals_are_what_their_labels_say(library):
    """A label holds composition, Pearson's symbol with the atoms of the conventional cell, and the space group."""
    centred = {"P": 1, "C": 2, "I": 2, "F": 4, "R": 1}
    wrong = set()
    for name, prototype in library.items():
        (cell,) = prototype.cells
        formula, pearson, number, *_ = prototype.names["aflow"].split("_")
        said = (len(re.findall("[A-Z]", formula)), int(pearson[2:]) / centred[pearson[1]], int(number))
        if said != (len(set(cell.atoms.numbers)), len(cell.atoms), cell.space_group):
            wrong.add(name)
    assert wrong == MISLABELLED


def test_without_pymatgen_one_is_told_what_to_install(monkeypatch):
    for module in [module for module in sys.modules if module.split(".")[0] == "pymatgen"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pymatgen", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install xtalsight\[prototypes\]"):
        aflow_prototypes()


def test_the_fifteen_kinds_have_the_ranges_that_nature_has(library):
    ranges = {prototype.ranges: prototype for prototype in library.values() if prototype.ranges}
    assert set(ranges) == set(crystals.PROTOTYPES)
    for key, known in crystals.PROTOTYPES.items():
        assert ranges[key].names["aflow"] == known.aflow
        assert group(build_crystal(ranges[key], rng())) == known.space_group
    c_over_a = np.array([np.divide(*build_crystal(ranges["hcp"], rng(i)).cell.lengths()[[2, 0]]) for i in range(60)])
    assert 1.54 <= c_over_a.min() < 1.62 and 1.83 < c_over_a.max() <= 1.91
    angles = np.array([build_crystal(ranges["beta_po"], rng(i)).cell.angles() for i in range(20)])
    assert (angles > 97 - 1e-6).all() and (angles < 99.5 + 1e-6).all()


# Symmetry.


@EVERY_CRYSTAL
def test_operations_map_the_crystal_onto_itself(name, cells):
    """All of them, one of each: r -> r R + t, with one t for all atoms."""
    cell = cells[name]
    assert cell.space_group == GROUPS[name]
    products = cell.rotations @ cell.rotations.transpose(0, 2, 1)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-8)
    positions, lattice = cell.atoms.positions, cell.atoms.cell
    for rotation, images in zip(cell.rotations, cell.images, strict=True):
        assert sorted(images) == list(range(len(cell.atoms)))
        np.testing.assert_array_equal(cell.atoms.numbers[images], cell.atoms.numbers)
        np.testing.assert_array_equal(cell.orbits[images], cell.orbits)
        apart = positions @ rotation - positions[images]
        apart = lattice.scaled_positions(apart - apart[0])
        assert np.abs(lattice.cartesian_positions(apart - np.rint(apart))).max() < 1e-3
        turned = lattice.scaled_positions(lattice.array @ rotation)
        np.testing.assert_allclose(turned, np.rint(turned), atol=1e-6)


@pytest.mark.parametrize(
    "name, operations", [("fcc", 48), ("hcp", 24), ("rutile", 16), ("quartz", 6), ("wurtzite", 12)]
)
def test_there_are_as_many_operations_as_the_point_group_has(name, operations, cells):
    assert len(cells[name].rotations) == len(cells[name].images) == operations


@EVERY_CRYSTAL
def test_supercell_and_noise_leave_the_primitive_cell(name, cells):
    atoms = CRYSTALS[name].repeat((1, 2, 2))
    atoms.rattle(1e-4, seed=0)
    cell = symmetric_cell(atoms, symprec=1e-2)
    assert (cell.space_group, len(cell.atoms)) == (GROUPS[name], len(cells[name].atoms))


def test_orbits_are_those_of_the_group(cells):
    assert [cells[name].orbits.max() + 1 for name in ("fcc", "rock salt", "rutile", "baddeleyite")] == [1, 2, 2, 3]
    assert np.bincount(cells["rutile"].orbits).tolist() in ([2, 4], [4, 2])


def test_atoms_on_top_of_each_other_have_no_symmetry():
    with pytest.raises(ValueError, match="on top of each other"):
        symmetric_cell(Atoms("Cu2", cell=[3, 3, 3], pbc=True))


@EVERY_CRYSTAL
def test_a_free_strain_commutes_with_the_point_group(name, cells):
    strain, _ = free_directions(cells[name], rng())
    turned = cells[name].rotations.transpose(0, 2, 1) @ strain @ cells[name].rotations
    np.testing.assert_allclose(turned, np.broadcast_to(strain, turned.shape), atol=1e-9)
    np.testing.assert_allclose(strain, strain.T, atol=1e-12)
    assert np.trace(strain) == pytest.approx(0, abs=1e-12)
    is_cubic = GROUPS[name] >= 195
    assert deviatoric(strain) == pytest.approx(0 if is_cubic else 1)
    assert strain.any() != is_cubic


@EVERY_CRYSTAL
def test_free_displacements_go_with_the_operations(name, cells):
    cell = cells[name]
    _, displacements = free_directions(cell, rng())
    for rotation, images in zip(cell.rotations, cell.images, strict=True):
        np.testing.assert_allclose(displacements[images], displacements @ rotation, atol=1e-6)
    np.testing.assert_allclose(displacements.mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("name", ["fcc", "hcp", "diamond", "rock salt"])
def test_atoms_without_free_coordinates_stay(name, cells):
    _, displacements = free_directions(cells[name], rng())
    np.testing.assert_allclose(displacements, 0, atol=1e-9)


def test_in_rutile_oxygen_alone_moves_along_its_diagonal(cells):
    """At (u, u, 0): by as much, in each coordinate that is free, as was asked for."""
    cell = cells["rutile"]
    along = []
    oxygen = cell.atoms.symbols == "O"
    for i in range(300):
        _, displacements = free_directions(cell, rng(i))
        np.testing.assert_allclose(displacements[~oxygen], 0, atol=1e-9)
        moved = displacements[oxygen]
        np.testing.assert_allclose(moved[:, 2], 0, atol=1e-9)
        np.testing.assert_allclose(np.abs(moved[:, 0]), np.abs(moved[:, 1]), atol=1e-9)
        along.append(np.linalg.norm(moved, axis=1))
    np.testing.assert_allclose(np.ptp(along, axis=1), 0, atol=1e-9)
    assert np.sqrt(np.mean(np.square(along))) == pytest.approx(1, abs=0.12)


# Variation.


def strain_and_displacements(cell, atoms):
    """What took a cell to a variation of it: strain (3, 3), and displacements (n, 3) in units of the spacing."""
    strain = np.linalg.solve(cell.atoms.cell.array, atoms.cell.array) - np.eye(3)
    fractions = atoms.get_scaled_positions(wrap=False) - cell.atoms.get_scaled_positions(wrap=False)
    fractions -= np.rint(fractions)
    return strain, fractions @ cell.atoms.cell.array / spacing(cell.atoms)


@EVERY_CRYSTAL
def test_a_variation_keeps_group_atoms_and_volume_and_stays_near(name, cells):
    cell = cells[name]
    strains, moved = [], []
    for i in range(25):
        atoms = vary(cell, rng(i))
        np.testing.assert_array_equal(atoms.numbers, cell.atoms.numbers)
        assert group(atoms) == GROUPS[name]
        assert group(atoms, cell.closest) == GROUPS[name], "not nearly a crystal of more symmetry"
        assert atoms.get_volume() == pytest.approx(cell.atoms.get_volume(), rel=0.01)
        strain, displacements = strain_and_displacements(cell, atoms)
        strains.append(deviatoric(strain))
        moved.append(displacements)
    assert max(strains) <= LATTICE + 1e-9
    if GROUPS[name] >= 195:
        assert max(strains) == pytest.approx(0, abs=1e-9)
    else:
        assert max(strains) > LATTICE / 2
    # Uniform up to INTERNAL, in each of three coordinates at most.
    assert np.sqrt(np.mean(np.square(moved), axis=(0, 1)).max()) < INTERNAL
    assert np.abs(moved).max() < 4 * INTERNAL


def test_a_variation_of_quartz_is_not_high_quartz(cells):
    """Near (152, trigonal), the crystal of group 180 has more symmetry: asked to go far, it does not come there."""
    for i in range(40):
        atoms = vary(cells["quartz"], rng(i), internal=0.3)
        assert group(atoms, cells["quartz"].closest) == 152


def test_what_has_no_free_parameter_does_not_vary(cells):
    atoms = vary(cells["rock salt"], rng())
    np.testing.assert_allclose(atoms.positions, cells["rock salt"].atoms.positions)
    np.testing.assert_allclose(atoms.cell.array, cells["rock salt"].atoms.cell.array)


def test_without_freedom_a_variation_is_the_cell(cells):
    strain, displacements = strain_and_displacements(cells["quartz"], vary(cells["quartz"], rng(), 0, 0))
    np.testing.assert_allclose(strain, 0, atol=1e-9)
    np.testing.assert_allclose(displacements, 0, atol=1e-9)


def test_variations_are_drawn_from_the_generator(cells):
    one, again, other = (vary(cells["rutile"], rng(i)).positions for i in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_crystals_of_a_prototype_come_from_all_of_its_cells(cells):
    both = Prototype("mine", (cells["fcc"], cells["rock salt"]), {})
    assert {len(build_crystal(both, rng(i))) for i in range(20)} == {1, 2}


# A folder of files.


def write(folder, **structures):
    folder.mkdir(exist_ok=True)
    for name, atoms in structures.items():
        atoms.write(folder / name.replace("__", "."))
    return folder


def test_each_file_and_each_folder_is_a_prototype(tmp_path):
    write(tmp_path, rutile__cif=CRYSTALS["rutile"], salt__vasp=CRYSTALS["rock salt"].repeat((1, 2, 3)))
    write(tmp_path / "metal", copper__extxyz=bulk("Cu"), iron__cif=bulk("Fe"))
    (tmp_path / ".DS_Store").write_text("not a structure")
    (tmp_path / "metal" / ".hidden").write_text("not a structure")
    found = read_prototypes(tmp_path)
    assert list(found) == ["metal", "rutile", "salt"]
    assert all(prototype.name == name and not prototype.names for name, prototype in found.items())
    assert sorted(cell.space_group for cell in found["metal"].cells) == [225, 229]
    assert [(cell.space_group, len(cell.atoms)) for cell in found["salt"].cells] == [(225, 2)]
    assert read_prototypes(str(tmp_path)).keys() == found.keys()


PARTIAL = CIF_OF_SITES + "Cu1 Cu 0 0 0 0.7\n"
LARGE = Atoms("Cu500", rng().random((500, 3)), cell=np.eye(3))
LARGE.set_cell(np.eye(3) * 20, scale_atoms=True)
LARGE.pbc = True
BAD = {
    "partial.cif": (PARTIAL, "occupied in part"),
    "mixed.cif": (PARTIAL + "Au1 Au 0 0 0 0.3\n", "occupied in part"),
    "letter.txt": ("to whom it may concern", "no format that is recognised"),
    "empty.cif": ("", "is empty"),
    "headless.cif": ("data_x\n_cell_length_a 3\n", "headless.cif"),
    "benzene.xyz": (molecule("C6H6"), "not a crystal"),
    "slab.extxyz": (Atoms("Cu", cell=[3, 3, 0], pbc=(True, True, False)), "not a crystal"),
    "large.vasp": (LARGE, f"500 atoms, more than {LARGEST_CELL}"),
    "twins.vasp": (Atoms("Cu2", cell=[3, 3, 3], pbc=True), "on top of each other"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_crystal_is_named_in_one_sentence(tmp_path, name):
    content, reason = BAD[name]
    write(tmp_path, copper__cif=bulk("Cu"), iron__cif=bulk("Fe"))
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    else:
        content.write(tmp_path / name)
    with pytest.raises(ValueError, match=reason) as error:
        read_prototypes(tmp_path)
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("occupancy", [0.5, "half", np.array([1.0, 0.5])], ids=str)
def test_an_occupancy_that_is_not_that_of_a_cif_is_no_obstacle(tmp_path, occupancy):
    copper = bulk("Cu")
    copper.info["occupancy"] = occupancy
    assert len(read_prototypes(write(tmp_path, copper__extxyz=copper, iron__cif=bulk("Fe")))) == 2


def test_it_takes_two_crystals(tmp_path):
    with pytest.raises(ValueError, match="holds no structure file") as error:
        read_prototypes(tmp_path)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(ValueError, match="holds one crystal"):
        read_prototypes(write(tmp_path, copper__cif=bulk("Cu")))


@pytest.mark.parametrize("name", ["nothing", "file.cif"])
def test_prototypes_are_read_from_a_folder(tmp_path, name):
    (tmp_path / "file.cif").write_text("data_x")
    with pytest.raises(ValueError, match=f"{name} is no folder"):
        read_prototypes(tmp_path / name)


def test_two_of_one_name_belong_into_a_folder(tmp_path):
    write(tmp_path, copper__cif=bulk("Cu"), copper__vasp=bulk("Cu"))
    with pytest.raises(ValueError, match=r"copper\.vasp: two crystals are called copper: .*folder of this name"):
        read_prototypes(tmp_path)


def test_an_empty_folder_among_the_crystals_is_named(tmp_path):
    write(tmp_path, rutile__cif=CRYSTALS["rutile"], copper__cif=bulk("Cu"))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="nothing is an empty folder"):
        read_prototypes(tmp_path)


def test_dots_in_a_name_stay_and_a_network_among_the_crystals_is_none(tmp_path):
    for name in ("TiO2.rutile.cif", "TiO2.b.cif"):
        CRYSTALS["rutile"].write(tmp_path / name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "card.json").write_text("{}")
    assert list(read_prototypes(tmp_path)) == ["TiO2.b", "TiO2.rutile"]


# Clouds.

NAMES = ("NaCl", "Cu", "TiO2")


def test_recipes_are_as_many_as_asked_for_by_turns_of_every_shape():
    table = make_clouds(NAMES, 8, SEED)
    assert len(table) == 24 and table.id.is_unique
    assert [NAMES[label] for label in table.label] == table.prototype.tolist() == list(np.repeat(NAMES, 8))
    assert set(table["shape"]) == set(SHAPES[:3])
    assert (table.n_atoms == 256).all()
    assert not table[["vacancy_ratio", "displacement", "waves", "antisites", "strain"]].any(axis=None)


def test_outliers_are_labelled_as_none_of_the_names_and_of_all_kinds_by_turns():
    table = make_outliers(NAMES, 10 * len(OUTLIERS), SEED)
    assert (table.label == len(NAMES)).all()
    assert set(table.outlier.value_counts()) == {10} and set(table.outlier) == set(OUTLIERS)
    assert set(table.prototype) == set(NAMES)
    ids = pd.concat([table.id, make_clouds(NAMES, 600, SEED).id])
    assert ids.is_unique


@pytest.mark.parametrize(
    "make",
    [
        lambda n: damage_to_learn(make_clouds(NAMES, n, SEED)),
        lambda n: mild_damage(make_clouds(NAMES, n, SEED)),
        lambda n: damage_to_learn(make_outliers(NAMES, n * len(OUTLIERS), SEED)),
    ],
    ids=["clouds", "mild", "outliers"],
)
def test_atoms_depend_on_seed_and_id_and_not_on_other_rows(make, three):
    few, many = (make(n).set_index("id", drop=False) for n in (2, 5))
    many = many.sample(frac=1, random_state=0)
    for number in few.id[:: max(1, len(few) // 6)]:
        one, again = (build_cloud(table.loc[number].to_dict(), three) for table in (few, many))
        np.testing.assert_array_equal(one.positions, again.positions)
        np.testing.assert_array_equal(one.numbers, again.numbers)


def test_another_seed_gives_other_atoms(three):
    one, other = (build_cloud(make_clouds(NAMES, 1, seed).iloc[0].to_dict(), three) for seed in (0, 1))
    assert not np.allclose(one.positions, other.positions)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_cloud_has_as_many_atoms_as_asked_for_and_its_composition(name, three):
    recipe = make_clouds([name], 1, SEED).iloc[0].to_dict()
    cloud = build_cloud(recipe, three)
    assert len(cloud) == 256 and not cloud.pbc.any()
    shares = np.bincount(cloud.numbers) / len(cloud)
    expected = np.bincount(three[name].cells[0].atoms.numbers) / len(three[name].cells[0].atoms)
    np.testing.assert_allclose(shares, expected, atol=0.06)
    lacking = build_cloud(recipe | {"vacancy_ratio": 0.25}, three)
    assert len(lacking) == 192


def test_antisites_leave_composition_and_places(three):
    recipe = make_clouds(["NaCl"], 1, SEED).iloc[0].to_dict()
    cloud, changed = (build_cloud(recipe | {"antisites": ratio}, three) for ratio in (0, 0.1))
    np.testing.assert_array_equal(cloud.positions, changed.positions)
    assert (cloud.numbers != changed.numbers).sum() == 26
    np.testing.assert_array_equal(np.sort(cloud.numbers), np.sort(changed.numbers))


def test_damage_to_learn_stays_within_its_ranges():
    table = damage_to_learn(make_clouds(NAMES, 400, SEED))
    total = np.hypot(table.displacement, table.waves)
    perfect = (table.vacancy_ratio == 0) & (total == 0) & (table.antisites == 0) & (table.strain == 0)
    assert 0.09 < perfect.mean() < 0.16
    assert 0.6 < table.vacancy_ratio.max() <= 0.7
    assert 0.13 < total.max() <= 0.15
    assert 0.12 < table.antisites.max() <= 0.15 and 0.15 < (table.antisites > 0).mean() < 0.35
    assert 0.01 < table.strain.max() <= 0.015
    assert table.n_atoms.min() >= 40 and table.n_atoms.max() <= 512
    assert (table.n_atoms * (1 - table.vacancy_ratio)).min() >= 24 - 0.5, "as many as a network sees at least"
    assert table.anisotropy.between(1, 2).all()


def test_outliers_are_damaged_less_and_have_no_antisites():
    table = damage_to_learn(make_outliers(NAMES, 1200, SEED))
    assert (table.antisites == 0).all()
    assert 0.4 < table.vacancy_ratio.max() <= 0.7 * 2 / 3
    assert np.hypot(table.displacement, table.waves).max() <= 0.15 * 2 / 3
    assert table.strain.max() <= 0.015


def test_mild_damage_is_mild():
    table = mild_damage(make_clouds(NAMES, 300, SEED))
    assert table.vacancy_ratio.max() <= 0.4
    assert np.hypot(table.displacement, table.waves).max() <= 0.08
    assert (table[["antisites", "strain"]] == 0).all(axis=None)


# Outliers.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", OUTLIERS)
def test_an_outlier_is_another_crystal_than_its_prototype(kind, name, three):
    """By space group and composition of the primitive cell; what is distant by its parameters."""
    one = {name: three[name]}
    if kind == "distant" and name != "TiO2":  # cubic crystals without free coordinates are nowhere distant: sheared
        kind = "sheared"
    known = signature(three[name].cells[0].atoms)
    for i in range(8):
        atoms = build_outlier(kind, name, one, rng(i))
        assert atoms.pbc.all()
        if kind != "distant":
            assert signature(atoms) != known
            continue
        # Rutile's oxygen at (u, u, 0) or the lattice, farther than any variation.
        strain, moved = strain_and_displacements(three[name].cells[0], scaled_like(atoms, three[name].cells[0].atoms))
        assert deviatoric(strain) > LATTICE or np.abs(moved).max() > INTERNAL / 2


def test_an_outlier_is_none_of_the_other_prototypes(three):
    """Rock salt without chlorine is fcc: where copper is a prototype, no outlier."""
    known = [signature(prototype.cells[0].atoms) for prototype in three.values()]
    for i in range(20):
        assert signature(build_outlier("other orbits", "NaCl", three, rng(i))) not in known


def scaled_like(atoms, other):
    """The same crystal, of the volume of the other."""
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array * (other.get_volume() / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    return atoms


@pytest.mark.parametrize("kind", OUTLIERS)
def test_atoms_of_an_outlier_keep_a_distance(kind, three):
    """Half of the spacing; random points do not."""
    for i in range(6):
        atoms = build_outlier(kind, NAMES[i % 3], three, rng(i))
        assert spacing(atoms) == pytest.approx(2.7)
        if kind != "random points":
            atoms.set_cell(atoms.cell.array / 2.7, scale_atoms=True)
            assert nearest_distance(atoms) > 0.5


def test_what_cannot_be_changed_so_is_sheared_and_stays_of_its_prototype(three):
    """A prototype that is left out must not hide among the outliers of another."""
    atoms = build_outlier("distant", "NaCl", three, rng())
    group, counts = signature(atoms)
    assert group < 195 and counts == signature(CRYSTALS["rock salt"])[1]


@pytest.mark.parametrize("name", NAMES)
def test_kinds_of_an_alloy_have_no_order_and_its_places_do(name, three):
    for i in range(2):
        atoms = build_outlier("alloy", name, three, rng(i))
        assert 2 <= len(set(atoms.numbers)) <= 4 and len(atoms) >= 256
        assert not are_ordered(prepare(atoms))
        places, known = atoms.copy(), three[name].cells[0].atoms.copy()
        places.numbers[:] = known.numbers[:] = 1
        assert signature(places) == signature(known)


def test_kinds_of_outliers_are_those_that_can_be_built(three):
    with pytest.raises(KeyError):
        build_outlier("relative", "Cu", three, rng())
    assert prototypes.OUTLIERS == OUTLIERS and len(set(OUTLIERS)) == 10


def test_clouds_of_outliers_are_cut_out_and_damaged_as_others_are(three):
    table = damage_to_learn(make_outliers(NAMES, len(OUTLIERS), SEED))
    for recipe in table.to_dict("records"):
        cloud = build_cloud(recipe, three)
        kept = recipe["n_atoms"] - round(recipe["vacancy_ratio"] * recipe["n_atoms"])
        assert len(cloud) == kept and not cloud.pbc.any()
        assert cloud.info["name"] == f"{recipe['outlier']} {recipe['prototype']} {recipe['id']}"
