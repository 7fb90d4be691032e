import pytest
from ase.build import bulk, graphene

from xtalsight.crystals import CLASSES
from xtalsight.rivals import HAS_OVITO, NEIGHBOUR_METHODS, NO_ANSWER, neighbour_class, space_group_class

needs_ovito = pytest.mark.skipif(not HAS_OVITO, reason="OVITO is not installed")
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
@pytest.mark.parametrize("method", NEIGHBOUR_METHODS)
@pytest.mark.parametrize("name", ["fcc", "bcc", "hex/rh"])
def test_neighbours_tell_the_class(method, name):
    assert CLASSES[neighbour_class(CRYSTALS[name].repeat(5), method)] == name


@needs_ovito
@pytest.mark.parametrize("name", ["diam", "sc"])
def test_templates_know_more(name):
    assert CLASSES[neighbour_class(CRYSTALS[name].repeat(4), "polyhedral template matching")] == name


@needs_ovito
def test_graphene_is_hexagonal():
    assert CLASSES[neighbour_class(graphene(size=(5, 5, 1), vacuum=8), "polyhedral template matching")] == "hex/rh"


@needs_ovito
def test_two_atoms_are_no_answer():
    atoms = bulk("Cu", cubic=True)[:2]
    atoms.pbc = False
    assert neighbour_class(atoms, "adaptive common-neighbour analysis") == NO_ANSWER
