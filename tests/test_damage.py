from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk

from xtalsight import damage
from xtalsight.clouds import build_cloud, cut_cloud
from xtalsight.crystals import CLASSES, known_labels, make_recipes, neighbour_distances
from xtalsight.damage import (
    affine_strain,
    antisites,
    damaged,
    deviatoric,
    draws,
    independent_displacements,
    mild_damage,
    mild_draws,
    random_strain,
    remove_atoms,
    strained,
    substitute,
    thermal_waves,
)

SEED = 1912
COPPER = bulk("Cu", cubic=True)
NEAREST, DENSITY = COPPER.cell[0, 0] / np.sqrt(2), 4 / COPPER.get_volume()


def rng(*more):
    return np.random.default_rng([SEED, *more])


def ball(n_atoms=200, number=0):
    return cut_cloud(COPPER, n_atoms, "sphere", rng(n_atoms, number)).positions


# Vacancies and other elements.


@pytest.mark.parametrize("ratio, left", [(0, 100), (0.25, 75), (0.999, 0)])
def test_as_many_atoms_are_missing_as_asked_for(ratio, left):
    assert len(remove_atoms(Atoms("Cu100", rng().random((100, 3))), ratio, rng())) == left


def test_atoms_that_are_left_have_not_moved():
    atoms = COPPER.repeat(3)
    left = remove_atoms(atoms, 0.5, rng())
    assert {tuple(p) for p in left.positions} < {tuple(p) for p in atoms.positions}


@pytest.mark.parametrize("ratio", [-0.1, 1, 2, np.nan])
def test_a_vacancy_ratio_must_be_a_fraction(ratio):
    with pytest.raises(ValueError, match="vacancy_ratio"):
        remove_atoms(COPPER, ratio, rng())


def test_substitution_changes_elements_but_no_place():
    atoms = COPPER.repeat(3)
    alloy = substitute(atoms, 0.25, ("Cu", "Au", "Ag"), rng())
    assert (alloy.numbers != 29).sum() == round(0.25 * len(atoms))
    assert set(alloy.symbols) == {"Cu", "Au", "Ag"}
    np.testing.assert_array_equal(alloy.positions, atoms.positions)
    assert set(atoms.symbols) == {"Cu"}, "the original stays"


def test_substitution_must_be_a_fraction():
    with pytest.raises(ValueError, match="substitution"):
        substitute(COPPER, 1.5, ("Au",), rng())


# Antisites.


def gold_and_copper(n=4):
    """Ordered Cu3Au (L1_2)."""
    cell = COPPER.copy()
    cell.symbols[0] = "Au"
    return cell.repeat(n)


@pytest.mark.parametrize("ratio, moved", [(0, 0), (0.1, 26), (0.25, 64), (0.5, 128), (1, 128)])
def test_as_many_atoms_are_on_the_place_of_another_kind_as_asked_for(ratio, moved):
    """In pairs; no more than twice as many as there are of the rarer kind: 64 of 256 atoms are gold."""
    atoms = gold_and_copper()
    assert (antisites(atoms, ratio, rng()).numbers != atoms.numbers).sum() == moved


@pytest.mark.parametrize("ratio", [0.05, 0.3, 1])
def test_antisites_keep_composition_places_and_the_original(ratio):
    atoms = gold_and_copper(3)
    atoms.symbols[5:20:3] = "Ag"
    before = atoms.numbers.copy()
    after = antisites(atoms, ratio, rng())
    assert (after.numbers != before).any()
    assert after.symbols.formula.count() == atoms.symbols.formula.count()
    np.testing.assert_array_equal(after.positions, atoms.positions)
    np.testing.assert_array_equal(after.cell, atoms.cell)
    np.testing.assert_array_equal(atoms.numbers, before)


def test_there_are_no_antisites_where_there_is_one_kind():
    atoms = COPPER.repeat(3)
    np.testing.assert_array_equal(antisites(atoms, 0.5, rng()).numbers, atoms.numbers)


def test_antisites_are_drawn_from_the_generator():
    one, again, other = (antisites(gold_and_copper(), 0.3, rng(i)).numbers for i in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_every_atom_is_as_likely_to_be_an_antisite_as_another_of_its_kind():
    atoms = gold_and_copper(2)
    gold = atoms.symbols == "Au"
    moved = np.mean([antisites(atoms, 0.25, rng(i)).numbers != atoms.numbers for i in range(600)], axis=0)
    np.testing.assert_allclose(moved[gold], 1 / 2, atol=0.1)  # 4 of 8
    np.testing.assert_allclose(moved[~gold], 1 / 6, atol=0.1)  # 4 of 24


@pytest.mark.parametrize("ratio", [-0.1, 1.1, np.nan])
def test_antisites_must_be_a_fraction(ratio):
    with pytest.raises(ValueError, match="antisites"):
        antisites(gold_and_copper(), ratio, rng())


# Strain.


def test_random_strain_is_symmetric_and_within_its_bound():
    strains = np.array([random_strain(0.02, rng(i)) for i in range(500)])
    np.testing.assert_array_equal(strains, strains.transpose(0, 2, 1))
    assert 0.019 < np.abs(strains).max() <= 0.02


def test_strain_moves_atoms_with_the_cell():
    strain = random_strain(0.05, rng())
    crystal = strained(COPPER, strain)
    np.testing.assert_allclose(crystal.get_scaled_positions(), COPPER.get_scaled_positions())
    np.testing.assert_allclose(crystal.cell.array, COPPER.cell.array @ (np.eye(3) + strain))


def test_the_strain_of_a_ball_is_found_though_its_atoms_are_displaced():
    strain = random_strain(0.03, rng())
    before = ball(500)
    after = before @ (np.eye(3) + strain) + [1, 2, 3]
    np.testing.assert_allclose(affine_strain(before, after), strain, atol=1e-12)
    shaken = after + independent_displacements(500, 0.02 * NEAREST, rng(1))
    np.testing.assert_allclose(affine_strain(before, shaken), strain, atol=5e-3)


def test_a_rotation_by_little_is_no_strain():
    angle = 1e-4
    turn = np.array([[1, -angle, 0], [angle, 1, 0], [0, 0, 1]])
    before = ball()
    np.testing.assert_allclose(affine_strain(before, before @ turn.T), 0, atol=1e-12)


# Heat.


@pytest.mark.parametrize("anisotropy", [1.0, 3.0, 8.0])
def test_waves_have_the_root_mean_square_that_was_asked_for(anisotropy):
    """Over all of space: points far apart, so that no wave is the same at many of them."""
    everywhere = rng().uniform(0, 1e4, (4000, 3))
    waves = [thermal_waves(everywhere, 0.1, DENSITY, rng(i), anisotropy) for i in range(10)]
    assert np.sqrt(np.mean(np.square(waves))) == pytest.approx(0.1, rel=0.01)
    assert np.mean(waves, axis=(0, 1)) == pytest.approx([0, 0, 0], abs=0.003)


def test_power_of_waves_falls_as_one_over_k_squared():
    """Displacements on a lattice of n^3 cells, expanded in its own waves: <|u_k|^2> k^2 is the same for all k."""
    n = 16
    edge = n * DENSITY ** (-1 / 3)
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1) * edge / n
    k = 2 * np.pi * np.linalg.norm(np.stack(np.meshgrid(*[np.fft.fftfreq(n, edge / n)] * 3, indexing="ij")), axis=0)
    power = np.zeros(k.shape)
    # Waves do not fit the box: a window keeps what they leak from covering the short ones.
    window = np.hanning(n + 1)[:-1]
    window = window[:, None, None] * window[:, None] * window
    for i in range(60):
        u = thermal_waves(grid.reshape(-1, 3), 0.1, DENSITY, rng(i)).reshape(n, n, n, 3)
        power += (np.abs(np.fft.fftn(u * window[..., None], axes=(0, 1, 2))) ** 2).sum(axis=-1)
    debye = (6 * np.pi**2 * DENSITY) ** (1 / 3)
    shells = np.linspace(0.3, 0.7, 9) * debye
    means = [power[(k > low) & (k <= high)].mean() for low, high in pairwise(shells)]
    middles = (shells[1:] + shells[:-1]) / 2
    slope = np.polyfit(np.log(middles), np.log(means), 1)[0]
    assert slope == pytest.approx(-2, abs=0.3)


def test_neighbours_move_together_by_waves_and_not_by_independent_displacements():
    positions = ball(500)
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)
    first, second = np.nonzero((apart > 0) & (apart < 1.1 * NEAREST))

    def correlation(u):
        return (u[first] * u[second]).sum() / (u[first] ** 2).sum()

    waves = np.mean([correlation(thermal_waves(positions, 0.1, DENSITY, rng(i))) for i in range(20)])
    independent = np.mean([correlation(independent_displacements(500, 0.1, rng(i))) for i in range(20)])
    assert waves > 0.3
    assert abs(independent) < 0.05


def test_waves_strain_a_ball_and_independent_displacements_do_not():
    positions = ball(200)
    sigma = 0.08 * NEAREST
    by_waves, by_chance = (
        [deviatoric(affine_strain(positions, positions + u)) for u in many]
        for many in (
            [thermal_waves(positions, sigma, DENSITY, rng(i), 3.0) for i in range(200)],
            [independent_displacements(200, sigma, rng(i)) for i in range(200)],
        )
    )
    assert np.median(by_waves) == pytest.approx(0.33 * 0.08, rel=0.25)  # molecular dynamics: 0.30 to 0.36
    assert np.median(by_chance) < 0.5 * np.median(by_waves)


def test_one_ball_in_a_hundred_is_strained_by_more_than_the_constant_says():
    positions = ball(200)
    sigma = 0.05
    strains = [
        deviatoric(
            affine_strain(positions, positions + thermal_waves(positions, sigma * NEAREST, DENSITY, rng(i), 3.0))
        )
        for i in range(600)
    ]
    assert np.quantile(strains, 0.99) == pytest.approx(damage.STRAIN_OF_WAVES * sigma, rel=0.15)


def test_soft_shear_makes_shear_waves_stronger():
    """Along [110], the displacement along [1-10] has the stiffness C': a plane of atoms slides over the next."""
    directions = np.array([[1, 1, 0], [1, 0, 0]]) / np.array([[np.sqrt(2)], [1]])
    soft = np.linalg.eigvalsh(damage._christoffel(directions, 4.0))
    assert soft[0, 0] == pytest.approx(1 / 4)  # C' = C44 / 4
    assert soft[1, 0] == pytest.approx(1)  # C44
    stiff = np.linalg.eigvalsh(damage._christoffel(directions, 1.0))
    np.testing.assert_allclose(stiff[0], stiff[1])  # isotropic


@pytest.mark.parametrize("wrong", [{"density": 0}, {"density": -1}, {"density": 1, "anisotropy": 0}])
def test_waves_need_atoms_and_stiffness(wrong):
    with pytest.raises(ValueError, match="positive"):
        thermal_waves(np.zeros((2, 3)), 0.1, rng=rng(), **wrong)


# Recipes.


def recipes(kind="fcc", n=4):
    table = make_recipes({kind: n}, SEED)
    return table.assign(nearest=neighbour_distances(table), shape="sphere", n_atoms=150)


def test_the_same_recipe_gives_the_same_atoms_alone_or_among_others():
    table = damaged(recipes(n=6), 0.2, 0.05, 0.05, anisotropy=2.0, strain=0.01)
    again = damaged(recipes(n=2), 0.2, 0.05, 0.05, anisotropy=2.0, strain=0.01)
    for row in (0, 1):
        one, other = (build_cloud(t.iloc[row].to_dict()) for t in (table, again))
        np.testing.assert_array_equal(one.positions, other.positions)


def test_draws_do_not_depend_on_the_other_recipes():
    table = recipes(n=6)
    np.testing.assert_array_equal(draws(table, 3)[2:4], draws(table[2:4], 3))
    assert draws(table[:0], 3).shape == (0, 3)


def test_damage_is_relative_to_the_neighbour_distance():
    table = damaged(recipes(), vacancies=0.5, displacement=0.1, waves=np.full(4, 0.2))
    np.testing.assert_allclose(table.displacement, 0.1 * table.nearest)
    np.testing.assert_allclose(table.waves, 0.2 * table.nearest)
    assert (table.vacancy_ratio == 0.5).all()


def test_mild_damage_leaves_one_in_eight_perfect_and_is_mild():
    table = mild_damage(recipes(n=800))
    total = np.hypot(table.displacement, table.waves) / table.nearest
    assert table.vacancy_ratio.max() <= 0.4 and 0.07 < total.max() <= 0.08
    perfect = (table.vacancy_ratio == 0) & (total == 0)
    assert 0.09 < perfect.mean() < 0.16
    assert (table.waves[~perfect] > 0).all() and (table.displacement[~perfect] > 0).all()


def test_mild_damage_is_that_of_the_draws():
    table = recipes(n=20)
    vacancies, displacement, waves = mild_draws(table)
    assert vacancies.shape == displacement.shape == waves.shape == (20,)
    pd.testing.assert_frame_equal(mild_damage(table), damaged(table, vacancies, displacement, waves))


# The border of the tetragonal class.


def tetragonal(c_over_a, waves=0.0):
    table = recipes("bct_in", 1).assign(c_over_a=c_over_a)
    return damaged(table.assign(nearest=neighbour_distances(table)), waves=waves)


@pytest.mark.parametrize(
    "c_over_a, waves, name",
    [
        (1.03, 0, "bct_139"),
        (1.384, 0, "bct_139"),
        (1.03, 0.1, "bcc"),
        (1.384, 0.1, "fcc"),
        (1.445, 0.1, "fcc"),
        (1.2, 0.1, "bct_139"),
        (1.52, 0.1, "bct_139"),
    ],
)
def test_a_tetragonal_crystal_near_a_cubic_one_is_tetragonal_when_cold_and_cubic_when_hot(c_over_a, waves, name):
    assert CLASSES[known_labels(tetragonal(c_over_a, waves))[0]] == name


def test_heat_changes_no_other_label():
    table = make_recipes({"bcc": 1, "hcp": 1, "beta_sn": 1}, SEED)
    table = damaged(table.assign(nearest=neighbour_distances(table)), waves=0.15)
    assert (known_labels(table) == table.label).all()
    assert isinstance(table, pd.DataFrame)
