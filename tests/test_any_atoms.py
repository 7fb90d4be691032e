"""Whatever atoms come: an answer, or one sentence; and the same one for the same structure described in another way."""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from xtalsight.crystals import PROTOTYPES, make_recipes, primitive_cell
from xtalsight.grains import map_structure
from xtalsight.preparation import prepare
from xtalsight.spectra import spectrum

SEED = 17
quickly = settings(deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
lengths = st.floats(-40, 40, allow_nan=False)
vectors = st.lists(st.tuples(lengths, lengths, lengths), min_size=3, max_size=3)


@st.composite
def any_atoms(draw):
    """Few atoms anywhere, on top of each other, too, in a cell of any shape or none."""
    positions = draw(st.lists(st.tuples(lengths, lengths, lengths), max_size=12))
    positions += positions[: draw(st.integers(0, 2))]
    numbers = draw(st.lists(st.integers(0, 118), min_size=len(positions), max_size=len(positions)))
    cell = draw(st.one_of(st.none(), vectors))
    pbc = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    return Atoms(numbers, np.reshape(positions, (-1, 3)), cell=cell, pbc=False if cell is None else pbc)


def refused(function, *arguments, **options):
    """What a function returns, or None where it says in one line why it returns nothing."""
    try:
        return function(*arguments, **options)
    except ValueError as error:
        assert str(error) and "\n" not in str(error)
        return None


@quickly
@given(any_atoms())
def test_any_atoms_have_balls_with_spectra_or_a_sentence_says_why_not(atoms):
    before = atoms.copy()
    prepared = refused(prepare, atoms)
    assert atoms == before, "what was given has not changed"
    for ball in prepared.balls if prepared else ():
        found = refused(spectrum, ball)
        assert found is None or (np.isfinite(found).all() and (found >= 0).all())


@quickly
@given(any_atoms())
def test_any_atoms_have_a_map_or_a_sentence_says_why_not(atoms):
    found = refused(map_structure, atoms, n_jobs=1, progress=False)
    if found is not None:
        assert found.grain.shape == found.carried.shape == (len(atoms),)
        assert np.bincount(found.grain + 1, minlength=len(found.grains) + 1)[1:].tolist() == found.grains.atoms.tolist()


# Descriptions of one crystal.


def turned(atoms, dice):
    result = atoms.copy()
    turn = Rotation.random(rng=dice)
    result.set_cell(turn.apply(atoms.cell.array))
    result.positions = turn.apply(atoms.positions)
    return result


def shifted(atoms, dice):
    result = atoms.copy()
    result.positions += dice.uniform(-20, 20, 3)
    return result


def permuted(atoms, dice):
    return atoms[dice.permutation(len(atoms))]


def in_another_cell(atoms, dice):
    """Cell vectors to which others have been added, atoms outside the cell."""
    result = atoms.copy()
    cell = atoms.cell.array.copy()
    for _ in range(3):
        i, j = dice.permutation(3)[:2]
        cell[i] += dice.integers(-2, 3) * cell[j]
    result.set_cell(cell)
    result.positions += dice.integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    return result


@pytest.mark.parametrize("change", [turned, shifted, permuted, in_another_cell])
@settings(quickly, max_examples=12)
@given(st.sampled_from(sorted(PROTOTYPES)), st.integers(0, 10**6))
def test_a_crystal_has_the_same_spectra_however_it_is_described(change, kind, number):
    (recipe,) = make_recipes({kind: 1}, number).to_dict("records")
    atoms = primitive_cell(recipe)
    dice = np.random.default_rng([SEED, number])
    one, other = (
        np.mean([spectrum(ball) for ball in prepare(of).balls], axis=0) for of in (atoms, change(atoms, dice))
    )
    assert np.abs(one - other).max() <= 0.02 * np.abs(one).max()


@pytest.mark.parametrize("change", [turned, shifted, permuted, in_another_cell])
@settings(quickly, max_examples=3)
@given(st.sampled_from(["bcc", "diamond", "fcc", "hcp", "sc"]), st.integers(0, 10**6))
def test_a_crystal_is_one_grain_however_it_is_described(change, kind, number):
    (recipe,) = make_recipes({kind: 1}, number).to_dict("records")
    cell = primitive_cell(recipe)
    atoms = cell.repeat(int(np.ceil((1500 / len(cell)) ** (1 / 3))))
    dice = np.random.default_rng([SEED, number])
    atoms.positions += dice.normal(0, 0.1, (len(atoms), 3))
    one, other = (map_structure(of, n_jobs=1, progress=False) for of in (atoms, change(atoms, dice)))
    assert (one.grain == 0).all() and (other.grain == 0).all()
    assert one.grains["class"].tolist() == other.grains["class"].tolist()
