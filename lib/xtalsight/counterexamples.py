"""Structures of none of the seven classes: what a classifier must refuse.

A classifier learns to refuse from random crystals and random points; it is tested on kinds that it has never seen,
prototypes of `OTHER_PROTOTYPES` among them, whose space groups the random crystals avoid.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd
from ase import Atoms
from ase.cell import Cell
from ase.spacegroup import Spacegroup, crystal
from scipy.stats import qmc
from vesin import NeighborList

from xtalsight.crystals import (
    CLASS_OF_SPACE_GROUP,
    CLASSES,
    ELEMENTS,
    N_ATOMS,
    conventional_cell,
    ground_state_volume,
    make_recipes,
    primitive_cell,
    space_group,
    standard_supercell,
    symmetry_dataset,
)
from xtalsight.damage import remove_atoms

NONE = len(CLASSES)
"""Label of "none of the seven", after those of the classes."""

_KINDS = ("random_crystal", "hard_spheres", "quasi_random")
_LATER_KINDS = ("derivative", "dense_crystal")
# Space group, sites, intervals of b/a and c/a.
OTHER_PROTOTYPES = {
    "A15": (223, [(0, 0, 0), (1 / 4, 0, 1 / 2)], None),
    "alpha_u": (63, [(0, 0.1025, 1 / 4)], ((2.00, 2.10), (1.70, 1.78))),
    "beta_mn": (213, [(0.0636, 0.0636, 0.0636), (1 / 8, 0.2022, 0.4522)], None),
    "clathrate": (223, [(1 / 4, 0, 1 / 2), (0.1837, 0.1837, 0.1837), (0, 0.3077, 0.1173)], None),
    "simple_hexagonal": (191, [(0, 0, 0)], ((1.0, 1.0), (0.85, 1.10))),
    "cuprite": (224, [(0, 0, 0), (1 / 4, 1 / 4, 1 / 4)], None),
    "perovskite": (221, [(0, 0, 0), (1 / 2, 1 / 2, 1 / 2), (0, 1 / 2, 1 / 2)], None),
    "half_heusler": (225, [(0, 0, 0), (1 / 4, 1 / 4, 1 / 4)], None),
}
"""Elemental prototypes outside the seven classes: A_cP8_223_ac (A15, beta-W), A_oC4_63_c (alpha-U), A_cP20_213_cd
(beta-Mn), A_cP46_223_cik (type-I clathrate), A_hP1_191_a (gamma-Sn). Coordinates: J. Donohue, The Structures of the
Elements (Wiley, 1974); of the clathrate, J. S. Kasper et al., Science 150, 1713 (1965),
doi:10.1126/science.150.3704.1713. And the places of three compounds, each an ordered subset or superset of a class:
A2B_cP6_224_b_a (Cu2O; fcc and bcc), AB3C_cP5_221_a_c_b (fcc, and its middle), ABC_cF12_216_b_c_a (bcc, a quarter left
out; the places alone, those of fluorite, have the group 225)."""

# Groups of the prototypes above and of the crystals of `ase.collections.dcdft` outside the classes: kept for the test.
_TEST_GROUPS = {group for group, _, _ in OTHER_PROTOTYPES.values()} | {12, 15, 64, 152, 205}
_GROUPS = [group for group in range(1, 231) if group not in CLASS_OF_SPACE_GROUP.keys() | _TEST_GROUPS]
SPECIAL_COORDINATES = np.array([0, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 3 / 8, 1 / 2, 5 / 8, 2 / 3, 3 / 4, 5 / 6])
"""Fractional coordinates of places of high symmetry."""


def make_counterexamples(counts: Mapping[str, int], seed: int, elements=ELEMENTS) -> pd.DataFrame:
    """Draw the recipes of structures outside the classes.

    Parameters
    ----------
    counts : mapping
        Number of structures by kind: ``random_crystal``, of a random space group; ``hard_spheres``, random points
        that keep a distance, of 0 to 0.8 of their mean spacing; ``quasi_random``, Halton points; a key of
        `OTHER_PROTOTYPES`; ``derivative``, an ordered subset of a class or another prototype of its space group;
        ``dense_crystal``, a random crystal that is packed as metals are. Crystals lack 0 to 40 % of their atoms, and
        the others are displaced with a standard deviation of 0 to 7 % of the nearest-neighbour distance.
    seed : int
    elements : sequence of str
        Elements to draw from.

    Returns
    -------
    DataFrame
        Columns ``id, label`` (`NONE`)``, prototype`` (the kind)``, element, vacancy_ratio, displacement`` (fraction
        of the nearest-neighbour distance)``, seed``.

    Raises
    ------
    ValueError
        Unknown kind.
    """
    kinds = [*_KINDS, *OTHER_PROTOTYPES, *_LATER_KINDS]
    if unknown := sorted(set(counts) - set(kinds)):
        raise ValueError(f"{unknown} are none of {', '.join(kinds)}")
    rows = []
    for kind, count in counts.items():
        first = 1_000_000 * (100 + kinds.index(kind))  # apart from the ids of `make_recipes`
        for structure in range(first, first + count):
            rng = np.random.default_rng([seed, structure, 0])
            changes = {"vacancy_ratio": rng.uniform(0, 0.4), "displacement": rng.uniform(0, 0.07)}
            rows.append(
                {"id": structure, "label": NONE, "prototype": kind, "element": elements[rng.integers(len(elements))]}
                | changes
                | {"seed": seed}
            )
    return pd.DataFrame(rows)


def build_counterexample(recipe) -> Atoms:
    """Build the structure of a row of `make_counterexamples`.

    Crystals are brought to their standard cell, repeated to at least `N_ATOMS` atoms and damaged. The volume per site
    is that of the element's ground state.
    """
    rng = np.random.default_rng([int(recipe["seed"]), int(recipe["id"]), 1])
    kind, element = recipe["prototype"], recipe["element"]
    if kind == "hard_spheres":
        atoms = _hard_spheres(rng, distance=rng.uniform(0, 0.8))
    elif kind == "quasi_random":
        points = qmc.Halton(3, rng=rng).random(N_ATOMS)
        atoms = Atoms(numbers=np.ones(N_ATOMS), scaled_positions=points, cell=np.full(3, N_ATOMS ** (1 / 3)), pbc=True)
    else:
        made_at_random = {"random_crystal": random_crystal, "derivative": _derivative, "dense_crystal": _dense_crystal}
        cell = made_at_random[kind](rng) if kind in made_at_random else _prototype(kind, rng)
        atoms = remove_atoms(standard_supercell(cell), recipe["vacancy_ratio"], rng)
        nearest = nearest_distance(cell)
        atoms.positions += rng.normal(scale=recipe["displacement"] * nearest, size=(len(atoms), 3))
    atoms.symbols[:] = element
    edge = ground_state_volume(element) ** (1 / 3)  # volume per site is 1 so far
    atoms.set_cell(atoms.cell.array * edge, scale_atoms=True)
    atoms.info["name"] = f"{element} {kind} {recipe['id']}"
    return atoms


def _hard_spheres(rng, distance):
    """Random sequential addition in a periodic cube of unit density; distance in units of the mean spacing."""
    edge = N_ATOMS ** (1 / 3)
    points = np.empty((0, 3))
    while len(points) < N_ATOMS:
        point = rng.uniform(0, edge, 3)
        apart = points - point
        apart -= edge * np.round(apart / edge)
        if len(points) == 0 or (np.linalg.norm(apart, axis=1) > distance).all():
            points = np.vstack([points, point])
    return Atoms(numbers=np.ones(N_ATOMS), positions=points, cell=np.full(3, edge), pbc=True)


def _prototype(kind, rng):
    group, sites, edges = OTHER_PROTOTYPES[kind]
    b, c = (rng.uniform(*interval) for interval in edges) if edges else (1, 1)
    angles = (90, 90, 120 if kind == "simple_hexagonal" else 90)
    return _unit_density(crystal(["H"] * len(sites), sites, spacegroup=group, cellpar=(1, b, c, *angles)))


def _dense_crystal(rng):
    return random_crystal(rng, closest=0.9)


def random_crystal(rng: np.random.Generator, closest: float = 0.75) -> Atoms:
    """Draw a crystal of unit density: one to three sites in a random space group, every atom at least `closest` times
    the mean spacing from its neighbours."""
    while True:
        group = int(rng.choice(_GROUPS))
        n_sites = rng.integers(1, 4)
        special = rng.random((n_sites, 3)) < 0.6
        sites = np.where(special, rng.choice(SPECIAL_COORDINATES, (n_sites, 3)), rng.random((n_sites, 3)))
        atoms = _crystal_of_group(group, sites, rng)
        if len(atoms) > 48 or nearest_distance(atoms) < closest:
            continue
        # Special sites can have more symmetry than their group.
        if space_group(atoms) not in CLASS_OF_SPACE_GROUP.keys() | _TEST_GROUPS:
            return atoms


def _crystal_of_group(group, sites, rng):
    """Crystal of unit density with atoms on the given sites of a space group, in a random cell that its system
    allows."""
    rotations, translations = _operations(group)
    # Not `ase.spacegroup.crystal`: most draws are rejected, and this takes a fifth of its time.
    places = np.concatenate([orbit(site, rotations, translations) for site in sites])
    cell = Cell.fromcellpar(_random_cell(group, rng))
    return _unit_density(Atoms(numbers=np.ones(len(places)), scaled_positions=places, cell=cell, pbc=True))


def orbit(site: np.ndarray, rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """Apply the operations of a space group to a site; return each place once, rounded to 10⁻⁵ of the cell.

    Parameters
    ----------
    site : ndarray, shape (3,)
        Fractions of the cell, as all here.
    rotations : ndarray, shape (n_operations, 3, 3)
    translations : ndarray, shape (n_operations, 3)

    Returns
    -------
    ndarray, shape (n_places, 3)
    """
    # As whole numbers, for coordinates modulo 1 differ by rounding. Atoms as close as that are too close in a crystal.
    parts = 10**5
    return np.unique(np.rint(parts * (rotations @ site + translations)).astype(int) % parts, axis=0) / parts


def _derivative(rng):
    """An ordered subset of a cubic class, or a random crystal of a class' own group; more than four atoms in its
    primitive cell."""
    while True:
        if rng.random() < 0.5:
            atoms = _ordered_subset(rng)
        else:
            group = int(rng.choice([group for group in CLASS_OF_SPACE_GROUP if group not in _TEST_GROUPS]))
            n_sites = rng.integers(2, 4)
            sites = np.where(
                rng.random((n_sites, 3)) < 0.9, rng.choice(SPECIAL_COORDINATES, (n_sites, 3)), rng.random((n_sites, 3))
            )
            atoms = _crystal_of_group(group, sites, rng)
        if len(atoms) > 64 or nearest_distance(atoms) < 0.6:
            continue
        symmetry = symmetry_dataset(atoms)
        if symmetry is None:
            continue
        if len(np.unique(symmetry.mapping_to_primitive)) > 4 and symmetry.number not in _TEST_GROUPS:
            return atoms


def _ordered_subset(rng):
    """A cell of a cubic class, repeated up to twice along each edge, less a quarter to a half of its sites.

    With fewer missing it would be a crystal with vacancies, as calculations have it: one of its class.
    """
    while True:
        (recipe,) = make_recipes({str(rng.choice(["bcc", "diamond", "fcc", "sc"])): 1}, 0).to_dict("records")
        cell = conventional_cell(primitive_cell(recipe))
        cell.symbols[:] = "H"
        edge = cell.cell.lengths()[0]
        cell = cell.repeat(rng.integers(1, 3, 3))
        if rng.random() < 0.5:  # every second, third or fourth lattice plane
            planes = np.rint(4 * cell.positions / edge).astype(int) @ rng.integers(-1, 2, 3)
            removed = np.flatnonzero(planes % rng.integers(2, 5) == 0)
        else:
            removed = rng.permutation(len(cell))[: int(np.ceil(rng.uniform(0.25, 0.5) * len(cell)))]
        if 0.25 <= len(removed) / len(cell) <= 0.6:
            return _unit_density(cell[np.setdiff1d(np.arange(len(cell)), removed)])


@cache
def _operations(group):
    """Rotations (n, 3, 3) and translations (n, 3) of a space group, in fractions of the cell."""
    return Spacegroup(group).get_op()


def _random_cell(group, rng):
    """Edges and angles of a random cell that the crystal system of a space group allows."""
    a, b, c = rng.uniform(0.6, 1.5, 3)
    alpha, beta, gamma = rng.uniform(65, 115, 3)
    if group < 3:  # triclinic
        return a, b, c, alpha, beta, gamma
    if group < 16:  # monoclinic
        return a, b, c, 90, beta, 90
    if group < 75:  # orthorhombic
        return a, b, c, 90, 90, 90
    if group < 143:  # tetragonal
        return a, a, c, 90, 90, 90
    if group < 195:  # trigonal and hexagonal
        return a, a, c, 90, 90, 120
    return a, a, a, 90, 90, 90


def _unit_density(atoms):
    atoms.set_cell(atoms.cell.array / (atoms.get_volume() / len(atoms)) ** (1 / 3), scale_atoms=True)
    return atoms


def nearest_distance(atoms):
    """Smallest distance between two atoms, periodic images included, of a crystal of unit density."""
    (distances,) = NeighborList(cutoff=2.0, full_list=True).compute(atoms.positions, atoms.cell.array, atoms.pbc, "d")
    return distances.min() if len(distances) else np.inf
