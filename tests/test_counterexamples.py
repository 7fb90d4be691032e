import numpy as np
import pytest
from ase import Atoms
from ase.collections import dcdft
from ase.spacegroup import Spacegroup, crystal

from xtalsight import counterexamples
from xtalsight.counterexamples import (
    NONE,
    OTHER_PROTOTYPES,
    build_counterexample,
    make_counterexamples,
    nearest_distance,
    random_crystal,
)
from xtalsight.crystals import CLASSES, PROTOTYPES, space_group
from xtalsight.fingerprints import length_scale

KINDS = ["random_crystal", "hard_spheres", "quasi_random", *OTHER_PROTOTYPES]


def build(kind, n=3, seed=1):
    return [build_counterexample(recipe) for recipe in make_counterexamples({kind: n}, seed).to_dict("records")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_recipe_gives_the_same_structure_alone_or_among_others(kind):
    few, many = build(kind, 2), build(kind, 3)
    for one, other in zip(few, many, strict=False):
        assert np.array_equal(one.positions, other.positions)
        assert np.array_equal(one.numbers, other.numbers)
    assert not np.array_equal(many[0].positions[:50], many[1].positions[:50])


@pytest.mark.parametrize("kind", OTHER_PROTOTYPES)
def test_prototypes_have_their_space_group(kind):
    cell = counterexamples._prototype(kind, np.random.default_rng(0))
    assert space_group(cell) == OTHER_PROTOTYPES[kind][0]


@pytest.mark.parametrize(("kind", "atoms"), [("A15", 8), ("alpha_u", 4), ("beta_mn", 20), ("clathrate", 46)])
def test_prototypes_have_as_many_atoms_as_published(kind, atoms):
    assert len(counterexamples._prototype(kind, np.random.default_rng(0))) == atoms


def test_random_crystals_belong_to_no_class_and_to_no_group_of_the_tests():
    taken = {p.space_group for p in PROTOTYPES.values()} | {group for group, _, _ in OTHER_PROTOTYPES.values()}
    taken |= {space_group(dcdft[element], symprec=1e-2) for element in dcdft.names}
    for seed in range(10):
        crystal = random_crystal(np.random.default_rng(seed))
        assert space_group(crystal) not in taken
        assert nearest_distance(crystal) >= 0.75


@pytest.mark.parametrize("group", [1, 14, 62, 100, 148, 167, 176, 198, 227, 230])
def test_a_crystal_of_a_space_group_is_that_of_ase(group):
    rng = np.random.default_rng(group)
    sites = np.vstack([rng.choice(counterexamples.SPECIAL_COORDINATES, 3), rng.random(3)])
    atoms = counterexamples._crystal_of_group(group, sites, rng)
    expected = crystal(["H"] * 2, sites, spacegroup=group, cell=atoms.cell, onduplicates="keep")
    assert len(atoms) == len(expected)
    apart = atoms.get_scaled_positions()[:, None] - expected.get_scaled_positions()
    assert np.abs(apart - np.round(apart)).max(axis=-1).min(axis=1).max() < 1e-5


@pytest.mark.parametrize("group", [2, 62, 194, 227])
@pytest.mark.parametrize("site", [(0, 0, 0), (0, 0, 1 / 4), (1 / 3, 2 / 3, 1 / 4), (0.11, 0.23, 0.41)])
def test_an_orbit_is_closed_and_its_size_divides_the_number_of_operations(group, site):
    rotations, translations = Spacegroup(group).get_op()
    places = counterexamples.orbit(np.array(site), rotations, translations)
    assert len(rotations) % len(places) == 0
    for image in (rotations @ site + translations)[::5]:
        again = counterexamples.orbit(image, rotations, translations)
        apart = again[:, None] - places
        assert len(again) == len(places)
        assert np.abs(apart - np.round(apart)).max(axis=-1).min(axis=1).max() < 1e-4


@pytest.mark.parametrize("closest", [0.75, 0.9])
def test_random_crystals_have_unit_density_and_keep_the_distance_asked_for(closest):
    for seed in range(5):
        crystal = random_crystal(np.random.default_rng(seed), closest)
        assert crystal.get_volume() == pytest.approx(len(crystal))
        assert nearest_distance(crystal) >= closest


@pytest.mark.parametrize("edge", [0.5, 1.0, 1.9])
def test_nearest_distance_is_that_to_a_periodic_image_too(edge):
    alone = Atoms("Cu", cell=[1 / edge, 1.0, edge], pbc=True)
    assert nearest_distance(alone) == pytest.approx(min(edge, 1 / edge))


def test_random_points_keep_their_distance_across_the_boundary():
    atoms = counterexamples._hard_spheres(np.random.default_rng(0), 0.75)
    distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
    assert distances.min() > 0.75
    assert atoms.get_volume() == pytest.approx(len(atoms))


@pytest.mark.parametrize("kind", KINDS)
def test_structures_can_have_a_fingerprint(kind):
    for atoms in build(kind):
        assert len(atoms) >= 100
        assert 0.2 < length_scale(atoms) < 10


def test_label_follows_those_of_the_classes():
    assert (make_counterexamples({"A15": 2}, 0).label == len(CLASSES)).all()
    assert NONE == len(CLASSES)


def test_elements_asked_for():
    assert set(make_counterexamples({"A15": 20}, 0, ["Cu", "Ag"]).element) == {"Cu", "Ag"}


def test_unknown_kind():
    with pytest.raises(ValueError, match="quasicrystal"):
        make_counterexamples({"quasicrystal": 1}, 0)
