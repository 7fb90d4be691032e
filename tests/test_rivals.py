import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene
from scipy.spatial.transform import Rotation
from sklearn.metrics import adjusted_rand_score

from xtalsight import rivals
from xtalsight.clouds import build_polycrystal, cut_cloud
from xtalsight.crystals import CLASSES, PROTOTYPES, build_crystal, make_recipes
from xtalsight.rivals import (
    DEGREES,
    HAS_DSCRIBE,
    HAS_FREUD,
    HAS_MATID,
    HAS_OVITO,
    NEIGHBOUR_METHODS,
    NO_ANSWER,
    neighbour_class,
    neighbour_classes,
    repeating_cell,
    segmented_grains,
    soap,
    space_group_class,
    steinhardt,
)

needs_ovito = pytest.mark.skipif(not HAS_OVITO, reason="OVITO is not installed")
needs_freud = pytest.mark.skipif(not HAS_FREUD, reason="freud is not installed")
needs_matid = pytest.mark.skipif(not HAS_MATID, reason="MatID is not installed")
needs_dscribe = pytest.mark.skipif(not HAS_DSCRIBE, reason="DScribe is not installed")
CRYSTALS = {"fcc": bulk("Cu", cubic=True), "bcc": bulk("Fe", cubic=True), "diam": bulk("Si", cubic=True),
            "hex/rh": bulk("Mg"), "sc": bulk("Po", "sc", a=3.35), "bct_139": bulk("In")}  # fmt: skip


@pytest.mark.parametrize("name", CRYSTALS)
def test_space_group_tells_the_class(name):
    assert CLASSES[space_group_class(CRYSTALS[name].repeat(2), 1e-3, 1)] == name


def test_space_group_of_a_damaged_crystal_is_no_answer():
    atoms = CRYSTALS["fcc"].repeat(2)
    atoms.rattle(0.05, seed=1)
    assert space_group_class(atoms, 1e-3, 1) == NO_ANSWER


def test_space_group_of_coinciding_atoms_is_no_answer():
    atoms = CRYSTALS["fcc"] + CRYSTALS["fcc"]
    assert space_group_class(atoms, 1e-3, 1) == NO_ANSWER


@needs_ovito
@pytest.mark.parametrize(("method", "kind"), [(m, kind) for m, kinds in NEIGHBOUR_METHODS.items() for kind in kinds])
def test_a_method_tells_the_kinds_that_it_is_said_to_know(method, kind):
    (recipe,) = make_recipes({kind: 1}, 5).to_dict("records")
    assert neighbour_class(build_crystal(recipe), method) == PROTOTYPES[kind].label


def test_without_ovito_there_is_one_clear_sentence(monkeypatch):
    monkeypatch.setattr(rivals, "HAS_OVITO", False)
    with pytest.raises(ModuleNotFoundError, match="pip install ovito"):
        neighbour_class(CRYSTALS["fcc"], "Ackland-Jones")


def test_without_freud_there_is_one_clear_sentence(monkeypatch):
    monkeypatch.setattr(rivals, "HAS_FREUD", False)
    with pytest.raises(ModuleNotFoundError, match="pip install freud-analysis"):
        steinhardt(CRYSTALS["fcc"])


@needs_ovito
def test_graphene_is_hexagonal():
    assert CLASSES[neighbour_class(graphene(size=(5, 5, 1), vacuum=8), "polyhedral template matching")] == "hex/rh"


@needs_ovito
def test_two_atoms_are_no_answer():
    atoms = bulk("Cu", cubic=True)[:2]
    atoms.pbc = False
    assert neighbour_class(atoms, "adaptive common-neighbour analysis") == NO_ANSWER


def cube(name, n_cells):
    """Cloud of a crystal, and the depth of each atom below its nearest face, in lattice constants."""
    crystal = CRYSTALS[name].repeat(n_cells)
    depth = np.abs(crystal.get_scaled_positions() - crystal.get_scaled_positions().max() / 2).max(axis=1)
    return Atoms(crystal.symbols, crystal.positions), (depth.max() - depth) * n_cells


@needs_ovito
@pytest.mark.parametrize("method", NEIGHBOUR_METHODS)
@pytest.mark.parametrize("name", ["fcc", "bcc"])
def test_atoms_inside_a_cloud_have_its_class_and_most_votes_decide(method, name):
    cloud, depth = cube(name, 5)
    labels = neighbour_classes(cloud, method)
    assert labels.shape == (len(cloud),)
    assert (labels[depth > 0.9] == CLASSES.index(name)).all()
    assert (labels == NO_ANSWER).any()
    assert neighbour_class(cloud, method) == np.bincount(labels[labels != NO_ANSWER]).argmax()


@needs_ovito
def test_each_part_of_a_cloud_has_its_own_class():
    (one, depth), (other, other_depth) = cube("fcc", 5), cube("bcc", 4)
    other.positions += 100
    labels = neighbour_classes(one + other, "polyhedral template matching")
    assert (labels[: len(one)][depth > 0.9] == CLASSES.index("fcc")).all()
    assert (labels[len(one) :][other_depth > 0.9] == CLASSES.index("bcc")).all()


@needs_freud
def test_bond_order_of_fcc():
    cloud, depth = cube("fcc", 6)
    values = steinhardt(cloud)
    assert values.shape == (len(cloud), 2 * len(DEGREES))
    plain, averaged = np.split(values[depth > 1.9], 2, axis=1)  # two shells deep
    for degree, value in ((4, 0.191), (6, 0.575)):
        np.testing.assert_allclose(plain[:, DEGREES.index(degree)], value, atol=2e-3)
    np.testing.assert_allclose(averaged, plain, atol=1e-3)


@needs_freud
def test_bond_order_is_the_same_in_any_orientation_and_scale_and_without_cell():
    crystal = CRYSTALS["bcc"].repeat(5)
    crystal.rattle(0.1, seed=1)  # no two neighbours equally far
    turned = Atoms(crystal.symbols, 1.5 * Rotation.random(rng=np.random.default_rng(2)).apply(crystal.positions) + 70)
    np.testing.assert_allclose(steinhardt(turned), steinhardt(crystal), atol=1e-3)


@needs_freud
def test_averaged_bond_order_tells_crystal_from_disorder():
    crystal = CRYSTALS["fcc"].repeat(6)
    crystal.rattle(0.1, seed=1)
    disorder = Atoms("Cu500", np.random.default_rng(3).uniform(0, 20, (500, 3)))
    averaged_q6 = len(DEGREES) + DEGREES.index(6)
    assert np.median(steinhardt(crystal)[:, averaged_q6]) > 2 * np.median(steinhardt(disorder)[:, averaged_q6])


@needs_freud
def test_twelve_atoms_are_too_few_for_twelve_neighbours():
    cloud, _ = cube("fcc", 2)
    assert np.isfinite(steinhardt(cloud[:13])).all()
    with pytest.raises(ValueError, match="12 atoms are too few"):
        steinhardt(cloud[:12])


@needs_ovito
def test_grain_segmentation_finds_the_grains_of_a_polycrystal():
    rng = np.random.default_rng(0)
    atoms = build_polycrystal([bulk("Cu")] * 4, 6000, rng, displacement=0.05)
    grain, label = segmented_grains(atoms)
    assert adjusted_rand_score(atoms.arrays["grain"], grain) > 0.7
    assert (label == CLASSES.index("fcc")).mean() > 0.5  # at the surface there is no template
    assert (label[grain < 0] == NO_ANSWER).all()


@needs_dscribe
def test_soap_is_the_same_in_any_orientation_and_at_any_scale_whatever_the_element():
    copper = cut_cloud(bulk("Cu"), 64, "sphere", np.random.default_rng(0))
    other = copper.copy()
    other.positions = 1.3 * Rotation.random(rng=1).apply(copper.positions) + 5
    other.numbers[:] = 79
    assert soap(copper) == pytest.approx(soap(other), abs=1e-3)


@needs_dscribe
def test_soap_of_two_crystals_differs_more_than_that_of_two_clouds_of_one():
    rng = np.random.default_rng(0)
    names = ("fcc", "bcc", "diam", "sc")
    vectors = np.array([[soap(cut_cloud(CRYSTALS[name], 128, "sphere", rng)) for _ in range(2)] for name in names])
    assert np.linalg.norm(vectors, axis=-1) == pytest.approx(1)
    within = np.linalg.norm(vectors[:, 0] - vectors[:, 1], axis=-1).max()
    first = vectors[:, 0]
    between = np.linalg.norm(first[:, None] - first, axis=-1)[np.triu_indices(len(names), 1)].min()
    assert between > 2 * within


@needs_matid
def test_the_cell_that_repeats_is_found_though_an_atom_is_missing():
    whole = CRYSTALS["fcc"].repeat(3)
    del whole[0]
    found = repeating_cell(whole)
    assert len(found) < len(whole)
    assert CLASSES[space_group_class(found, 0.1, 5.0)] == "fcc"


def test_without_matid_there_is_one_clear_sentence(monkeypatch):
    monkeypatch.setattr(rivals, "HAS_MATID", False)
    with pytest.raises(ModuleNotFoundError, match="pip install matid"):
        repeating_cell(CRYSTALS["fcc"])


def test_without_dscribe_there_is_one_clear_sentence(monkeypatch):
    monkeypatch.setattr(rivals, "HAS_DSCRIBE", False)
    with pytest.raises(ModuleNotFoundError, match="pip install dscribe"):
        soap(CRYSTALS["fcc"])
