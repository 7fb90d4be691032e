import pytest
from ase.build import bulk, graphene

from xtalsight import rivals
from xtalsight.crystals import CLASSES, PROTOTYPES, build_crystal, make_recipes
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
@pytest.mark.parametrize(("method", "kind"), [(m, kind) for m, kinds in NEIGHBOUR_METHODS.items() for kind in kinds])
def test_a_method_tells_the_kinds_that_it_is_said_to_know(method, kind):
    (recipe,) = make_recipes({kind: 1}, 5).to_dict("records")
    assert neighbour_class(build_crystal(recipe), method) == PROTOTYPES[kind].label


def test_without_ovito_there_is_one_clear_sentence(monkeypatch):
    monkeypatch.setattr(rivals, "HAS_OVITO", False)
    with pytest.raises(ModuleNotFoundError, match="pip install ovito"):
        neighbour_class(CRYSTALS["fcc"], "Ackland-Jones")


@needs_ovito
def test_graphene_is_hexagonal():
    assert CLASSES[neighbour_class(graphene(size=(5, 5, 1), vacuum=8), "polyhedral template matching")] == "hex/rh"


@needs_ovito
def test_two_atoms_are_no_answer():
    atoms = bulk("Cu", cubic=True)[:2]
    atoms.pbc = False
    assert neighbour_class(atoms, "adaptive common-neighbour analysis") == NO_ANSWER
