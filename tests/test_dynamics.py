import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT
from scipy.spatial import cKDTree

from xtalsight.counterexamples import build_counterexample
from xtalsight.dynamics import FRACTIONS, METALS, SNAPSHOTS, cold_crystal, disordered, heat_bath, heated, inner_balls
from xtalsight.fingerprints import length_scale
from xtalsight.study.profiles import root

SEED = 1912
STEPS = 24
SMALL = {"seed": SEED, "md_steps": STEPS, "fractions": (0.1, 0.9), "repeats": 3}


def spread(atoms, cold):
    """Standard deviation of a coordinate, in neighbour distances."""
    return (atoms.positions - cold.positions).std() / length_scale(cold)


@pytest.fixture(scope="module", params=["Cu", "Ar"])
def hot(request):
    return heated(request.param, **SMALL)


@pytest.fixture(scope="module")
def random_copper():
    return disordered("Cu", SEED, 1, STEPS)


def test_hotter_atoms_move_more(hot):
    cold = cold_crystal(hot[0].info["solid"], 3)
    moved = np.array([spread(atoms, cold) for atoms in hot]).reshape(-1, SNAPSHOTS)
    assert 0 < moved[0].max() < moved[1].min() < 0.2


def test_snapshots_say_what_they_are(hot):
    assert [atoms.info["T"] for atoms in hot] == [0.1] * SNAPSHOTS + [0.9] * SNAPSHOTS
    assert all(atoms.get_chemical_symbols() == [atoms.info["solid"]] * 108 for atoms in hot)


def test_the_centre_of_mass_stays(hot):
    cold = cold_crystal(hot[0].info["solid"], 3)
    for atoms in hot:
        np.testing.assert_allclose(atoms.get_center_of_mass(), cold.get_center_of_mass(), atol=1e-9)


def test_the_same_seed_makes_the_same_atoms_in_any_order():
    short = SMALL | {"md_steps": 3}
    first = heated("Al", **short)
    heated("Ni", **short)
    for atoms, again in zip(first, heated("Al", **short), strict=True):
        np.testing.assert_array_equal(atoms.positions, again.positions)
    other = heated("Al", **short | {"seed": SEED + 1})
    assert np.abs(first[-1].positions - other[-1].positions).max() > 1e-3


def test_heat_is_shared_by_potential_and_kinetic_energy():
    """Equipartition: from rest the mean kinetic energy of 3N - 3 coordinates rises to kT / 2 each."""
    atoms = cold_crystal("Cu", 3)
    atoms.calc = EMT()
    bath = heat_bath(atoms, 600, np.random.default_rng(SEED))
    bath.run(40)
    measured = []
    for _ in range(40):
        bath.run(2)
        measured.append(atoms.get_temperature())
    assert np.mean(measured) == pytest.approx(600, rel=0.15)


def test_relaxing_a_packing_takes_the_closest_atoms_apart(random_copper):
    ((packing,), _) = random_copper
    recipe = {"prototype": "hard_spheres", "element": "Cu", "id": METALS.index("Cu"), "seed": SEED + 7}
    points = build_counterexample(recipe)
    assert packing.get_volume() == points.get_volume()
    assert _distances(packing, 1).min() > 1.2 * _distances(points, 1).min()


def test_packings_and_melts_have_no_order(random_copper):
    """In a crystal the twelve nearest neighbours are equally far, at nine tenths of its melting point within a
    tenth."""
    crystal = heated("Cu", SEED, STEPS, fractions=[0.9], repeats=3)[-1]
    ordered = _spread_of_neighbours(crystal)
    assert ordered < 0.1
    for (atoms,) in random_copper:
        assert _spread_of_neighbours(atoms) > 1.2 * ordered


def test_atoms_of_a_melt_move_on(random_copper):
    (packing,), (melt,) = random_copper
    assert spread(melt, packing) > 0.15


def _distances(atoms, k):
    atoms = atoms.copy()
    atoms.set_constraint()
    atoms.wrap()
    edges = atoms.cell.lengths()
    return cKDTree(atoms.positions % edges, boxsize=edges).query(atoms.positions % edges, k + 1)[0][:, 1:]


def _spread_of_neighbours(atoms):
    distances = _distances(atoms, 12)
    return (distances.std(axis=1) / distances.mean(axis=1)).mean()


@pytest.mark.parametrize("symbol", ["Fe", "Xx", "Ar"])
def test_only_metals_with_a_potential_melt(symbol):
    with pytest.raises(ValueError, match=f"no potential for '{symbol}'"):
        disordered(symbol, SEED, 1, 1)


@pytest.mark.parametrize("symbol", ["Fe", "Xx"])
def test_only_solids_with_a_potential_are_heated(symbol):
    with pytest.raises(ValueError, match=f"no potential for '{symbol}'"):
        heated(symbol, SEED, 1)


def test_no_melt_is_not_a_melt():
    with pytest.raises(ValueError, match="melts=0"):
        disordered("Cu", SEED, 0, 1)


def test_seven_metals_and_five_temperatures():
    assert len(METALS) == 7 and "Ar" not in METALS
    assert all(0 < fraction < 1 for fraction in FRACTIONS)


# Balls out of balls.


@pytest.fixture(scope="module")
def large():
    return ase.io.read(root() / "tests" / "reference" / "md_balls.extxyz.gz", index=0)


def test_inner_balls_do_not_reach_the_surface(large):
    """Their own middle is filled: the mean of the atoms lies near the atom that they were cut around."""
    balls = inner_balls(large, 192, 10, SEED)
    assert [len(ball) for ball in balls] == [192] * 10
    for ball in balls:
        reach = np.linalg.norm(ball.positions, axis=1).max()
        assert np.linalg.norm(ball.positions.mean(axis=0)) < 0.1 * reach
        assert len(ball) / reach**3 == pytest.approx(192 / _reach(large, 192) ** 3, rel=0.15)


def _reach(large, n_atoms):
    """Radius of a ball about the middle."""
    return np.sort(np.linalg.norm(large.positions - large.positions.mean(axis=0), axis=1))[n_atoms - 1]


def test_inner_balls_need_room(large):
    with pytest.raises(ValueError, match="n_atoms=999"):
        inner_balls(large, 999, 2, SEED)
