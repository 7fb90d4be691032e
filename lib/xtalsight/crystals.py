"""Crystals of the seven classes: prototypes, recipes, standard cells, supercells, symmetry labels.

A *recipe* is one row of a table: prototype, element, lattice parameters, orientation, vacancy ratio and seed. Recipes
are what the study stores; `build_crystal` turns a recipe into the same `ase.Atoms`, bit for bit, whenever and
wherever it is called with the same versions of the libraries: every random number of a structure comes from a
generator of its own, ``default_rng([seed, id, stream])``, so that order and number of jobs change nothing.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd
import spglib
from ase import Atoms
from ase.collections import dcdft
from ase.lattice import BCC, BCT, CUB, FCC, HEX, RHL
from scipy.spatial.transform import Rotation

from xtalsight.damage import (
    STRAIN_OF_WAVES,
    independent_displacements,
    random_strain,
    remove_atoms,
    strained,
    substitute,
    thermal_waves,
)
from xtalsight.fingerprints import length_scale, structure_name

os.environ.setdefault("SPGLIB_WARNING", "OFF")  # its C code prints to the terminal what its result says, too

CLASSES = ("bcc", "bct_139", "bct_141", "diam", "fcc", "hex/rh", "sc")
"""Names of the classes in label order 0..6, as in the published data set."""

ELEMENTS = tuple(dcdft.names)
"""The 71 elements of `ase.collections.dcdft`, every one of which is generated in every prototype."""

ROTATION = ("rotation_x", "rotation_y", "rotation_z")
"""Columns of a recipe that hold its orientation, degrees about the fixed axes x, then y, then z."""

N_ATOMS = 256
"""Number of atoms that a supercell has at least (Ziletti et al. 2018)."""

_DONOHUE = "Donohue"  # J. Donohue, The Structures of the Elements (Wiley, 1974)
_DCDFT = "dcdft"  # ase.collections.dcdft: K. Lejaeghere et al., Crit. Rev. Solid State Mater. Sci. 39, 1 (2014)


@dataclass(frozen=True)
class Prototype:
    """One AFLOW prototype with the ranges from which its crystals are drawn.

    Parameters
    ----------
    name : str
        Short name, the key of `PROTOTYPES`.
    aflow : str
        Label in the AFLOW library (Mehl et al., Comput. Mater. Sci. 136, S1 (2017),
        doi:10.1016/j.commatsci.2017.01.017).
    label : int
        Class, an index into `CLASSES`.
    space_group : int
        International number.
    count : int
        Structures of this prototype in the full data set.
    lattice : callable
        Bravais lattice of `ase.lattice` in the setting of Setyawan & Curtarolo, called with a = 1 and the shape
        parameters.
    basis : callable
        z -> fractional coordinates (n, 3) in the primitive cell.
    volume : tuple of float
        Range of the volume per atom, relative to the element's ground state in `ase.collections.dcdft`. The ranges
        are those of relaxed elements relative to their own fcc crystal, as compiled for this study without a
        published source; the ground state stands in for it, since no table of fcc volumes covers all elements. The
        fingerprint, being scaled, does not depend on the volume.
    c_over_a, alpha, z : tuple of (low, high) intervals
        Ranges of the axial ratio, of the rhombohedral angle in degrees and of the internal coordinate; empty where the
        prototype has no such parameter. Several intervals leave out the values between them.
    source : str
        Where the ranges come from.
    """

    name: str
    aflow: str
    label: int
    space_group: int
    count: int
    lattice: Callable
    basis: Callable = field(default=lambda z: [(0, 0, 0)])
    volume: tuple[float, float] = (0.88, 1.45)
    c_over_a: tuple[tuple[float, float], ...] = ()
    alpha: tuple[tuple[float, float], ...] = ()
    z: tuple[tuple[float, float], ...] = ()
    source: str = ""


def _pair(z):
    return [(z, z, z), (-z, -z, -z)]


# The counts are the data set's (10,517 in all). It gives 2890 structures of space group 194, about 68 % of them hcp,
# and 288 of space group 166; how the remainder divides among the prototypes of the two groups is not published and is
# our choice.
PROTOTYPES = {
    p.name: p
    for p in (
        Prototype("bcc", "A_cI2_229_a", 0, 229, 2601, BCC, volume=(0.93, 1.03), source="fixed by symmetry"),
        # c/a = 1 is bcc and sqrt(2) is fcc: both are kept 0.03 away.
        Prototype("bct_pa", "A_tI2_139_a", 1, 139, 110, BCT, c_over_a=((0.80, 0.97),),
                  source=f"Pa 0.825, Hg(beta) 0.865: {_DONOHUE}; {_DCDFT}; above: the tetragonal path to bcc"),
        Prototype("bct_in", "A_tI2_139_a", 1, 139, 111, BCT, c_over_a=((1.03, 1.384), (1.445, 1.60)),
                  source=f"In 1.52: {_DONOHUE}; {_DCDFT}; around: the tetragonal path from bcc through fcc"),
        Prototype("beta_sn", "A_tI4_141_a", 2, 141, 842, BCT, lambda z: [(0, 0, 0), (3 / 4, 1 / 4, 1 / 2)],
                  c_over_a=((0.50, 0.64),), source=f"beta-Sn 0.546, Si-II 0.55, Ge-II 0.52: {_DONOHUE}"),
        Prototype("diamond", "A_cF8_227_a", 3, 227, 910, FCC, lambda z: [(0, 0, 0), (1 / 4, 1 / 4, 1 / 4)],
                  volume=(0.82, 1.94), source="fixed by symmetry"),
        Prototype("fcc", "A_cF4_225_a", 4, 225, 2761, FCC, volume=(0.88, 1.45), source="fixed by symmetry"),
        Prototype("hcp", "A_hP2_194_c", 5, 194, 1965, HEX, lambda z: [(1 / 3, 2 / 3, 1 / 4), (2 / 3, 1 / 3, 3 / 4)],
                  c_over_a=((1.54, 1.91),), source=f"1.567 (Be) to 1.886 (Cd): {_DONOHUE}; 1.55 (Y) to 1.90 (Cd): {_DCDFT}"),
        Prototype("dhcp", "A_hP4_194_ac", 5, 194, 625, HEX,
                  lambda z: [(0, 0, 0), (0, 0, 1 / 2), (1 / 3, 2 / 3, 1 / 4), (2 / 3, 1 / 3, 3 / 4)],
                  c_over_a=((3.15, 3.30),), source=f"La, Pr, Nd, Am 3.2: {_DONOHUE}"),
        Prototype("graphite", "A_hP4_194_bc", 5, 194, 300, HEX,
                  lambda z: [(0, 0, 1 / 4), (0, 0, 3 / 4), (1 / 3, 2 / 3, 1 / 4), (2 / 3, 1 / 3, 3 / 4)],
                  c_over_a=((2.60, 3.60),), source=f"C 2.72: {_DONOHUE}; 3.58: {_DCDFT}"),
        Prototype("alpha_hg", "A_hR1_166_a", 5, 166, 60, RHL, alpha=((69.0, 72.0),), source=f"Hg (A10) 70.5: {_DONOHUE}"),
        Prototype("beta_po", "A_hR1_166_a", 5, 166, 60, RHL, alpha=((97.0, 99.5),), source=f"Po(beta) 98.2: {_DONOHUE}"),
        Prototype("arsenic", "A_hR2_166_c", 5, 166, 72, RHL, _pair, alpha=((53.5, 57.5),), z=((0.226, 0.238),),
                  source=f"A7: As 54, z 0.227; Sb 57; Bi 57, z 0.234: {_DONOHUE}; {_DCDFT}"),
        Prototype("rh_graphite", "A_hR2_166_c", 5, 166, 36, RHL, _pair, alpha=((38.5, 40.5),), z=((0.164, 0.169),),
                  source=f"C 39.5, z 1/6: {_DONOHUE}"),
        Prototype("alpha_sm", "A_hR3_166_ac", 5, 166, 60, RHL, lambda z: [(0, 0, 0), *_pair(z)],
                  alpha=((22.8, 23.6),), z=((0.220, 0.224),), source=f"9R: Sm 23.3, z 2/9: {_DONOHUE}; Li, Na: {_DCDFT}"),
        Prototype("sc", "A_cP1_221_a", 6, 221, 4, CUB, volume=(0.79, 1.23), source="fixed by symmetry"),
    )
}  # fmt: skip


def data_set_counts(fraction: float = 1.0) -> dict[str, int]:
    """Return the number of structures by prototype: the published data set's times `fraction`, but at least 4 of
    each."""
    return {p.name: max(4, round(p.count * fraction)) for p in PROTOTYPES.values()}


def prototype_table() -> pd.DataFrame:
    """List the prototypes with their class, count, parameter ranges and sources, one row each."""

    def intervals(values):
        return ", ".join(f"{low:g}–{high:g}" for low, high in values)

    return pd.DataFrame(
        {
            "class": CLASSES[p.label],
            "prototype": p.name,
            "AFLOW": p.aflow,
            "space group": p.space_group,
            "count": p.count,
            "V / V(ground state)": intervals([p.volume]),
            "c/a": intervals(p.c_over_a),
            "α (°)": intervals(p.alpha),
            "z": intervals(p.z),
            "source": p.source,
        }
        for p in PROTOTYPES.values()
    )


CLASS_OF_SPACE_GROUP = {p.space_group: p.label for p in PROTOTYPES.values()}
"""Label of the class by international number, as in the published data set."""


def make_recipes(
    counts: Mapping[str, int], seed: int, vacancy_ratio: float = 0.0, elements: Sequence[str] = ELEMENTS
) -> pd.DataFrame:
    """Draw the recipes of a data set.

    Element, volume and shape parameters are uniform over the elements and over the ranges of the prototype; the
    orientation is uniform over all rotations. Recipe `id` depends on `seed`, its prototype and its own number only:
    drawing fewer or more structures of a prototype leaves the others as they are.

    Parameters
    ----------
    counts : mapping
        Number of structures by prototype name.
    seed : int
        Seed of the data set.
    vacancy_ratio : float
        Fraction of the supercell's atoms to remove, in [0, 1). A set of defective copies has the same arguments but
        this.
    elements : sequence of str
        Elements to draw from.

    Returns
    -------
    DataFrame
        Columns ``id, label, prototype, element, volume`` (cubic angstrom per atom), ``c_over_a, alpha`` (degrees),
        ``z`` (NaN where the prototype has none), ``rotation_x, rotation_y, rotation_z`` (degrees), ``vacancy_ratio,
        seed``.

    Raises
    ------
    ValueError
        Unknown prototype, negative count or a vacancy ratio outside [0, 1).
    """
    if not 0 <= vacancy_ratio < 1:
        raise ValueError(f"{vacancy_ratio=} must lie in [0, 1)")
    rows = []
    for name, count in counts.items():
        if name not in PROTOTYPES:
            raise ValueError(f"prototype {name!r} is none of {', '.join(PROTOTYPES)}")
        if count < 0:
            raise ValueError(f"{count=} of prototype {name!r} must not be negative")
        prototype = PROTOTYPES[name]
        # Ids of a prototype start at its own multiple of a million.
        first = 1_000_000 * list(PROTOTYPES).index(name)
        for structure in range(first, first + count):
            rng = np.random.default_rng([seed, structure, 0])
            element = elements[rng.integers(len(elements))]
            rows.append(
                {
                    "id": structure,
                    "label": prototype.label,
                    "prototype": name,
                    "element": element,
                    "volume": ground_state_volume(element) * rng.uniform(*prototype.volume),
                    "c_over_a": _draw(prototype.c_over_a, rng),
                    "alpha": _draw(prototype.alpha, rng),
                    "z": _draw(prototype.z, rng),
                    **dict(zip(ROTATION, _random_angles(rng), strict=True)),
                    "vacancy_ratio": vacancy_ratio,
                    "seed": seed,
                }
            )
    return pd.DataFrame(rows)


def ground_state_volume(element: str) -> float:
    """Return the volume per atom of an element's crystal in `ase.collections.dcdft`, cubic angstrom."""
    atoms = dcdft[element]
    return atoms.get_volume() / len(atoms)


def _draw(intervals, rng):
    """Draw uniformly from a union of intervals; NaN where there is none."""
    if not intervals:
        return np.nan
    widths = np.diff(intervals).ravel()
    low, high = intervals[rng.choice(len(intervals), p=widths / widths.sum())]
    return rng.uniform(low, high)


def _random_angles(rng):
    """Angles about x, y, z (degrees) of a rotation drawn uniformly."""
    return Rotation.random(rng=rng).as_euler("xyz", degrees=True)


def primitive_cell(recipe) -> Atoms:
    """Build the primitive cell of a recipe in the setting of Setyawan & Curtarolo, not yet rotated.

    Parameters
    ----------
    recipe : mapping
        A row of `make_recipes`.

    Returns
    -------
    Atoms
        Periodic, volume per atom as the recipe says (angstrom).

    Raises
    ------
    ValueError
        No such prototype.
    """
    if recipe["prototype"] not in PROTOTYPES:
        raise ValueError(f"prototype {recipe['prototype']!r} is none of {', '.join(PROTOTYPES)}")
    prototype = PROTOTYPES[recipe["prototype"]]
    shape = [recipe[name] for name in ("c_over_a", "alpha") if np.isfinite(recipe[name])]
    cell = prototype.lattice(1.0, *shape).tocell().array
    basis = np.array(prototype.basis(recipe["z"]), dtype=float)
    cell *= (recipe["volume"] * len(basis) / abs(np.linalg.det(cell))) ** (1 / 3)
    return Atoms(recipe["element"] * len(basis), scaled_positions=basis, cell=cell, pbc=True)


def neighbour_distances(recipes: pd.DataFrame) -> np.ndarray:
    """Return the nearest-neighbour distance of each recipe's perfect crystal, angstrom: the unit of displacements."""
    return np.array([length_scale(primitive_cell(recipe)) for recipe in recipes.to_dict("records")])


def stacked(recipe, rng: np.random.Generator) -> Atoms:
    """Build a periodic stack of close-packed layers, 24 or a few more, with random stacking faults.

    Each layer takes one of the two places that the layer below leaves: in fcc by going on in the same sense (ABC...),
    in hcp by going back (ABA...). A fault, at each layer with the probability ``recipe["faults"]``, does the other.

    Parameters
    ----------
    recipe : mapping
        A row of `make_recipes` of the prototype fcc, whose cubic axes the stack keeps, or hcp, with ``faults``.
    rng : Generator
    """
    cubic = recipe["prototype"] == "fcc"
    layers = int(rng.integers(24, 30))
    faults = rng.random(layers) < recipe["faults"]
    steps = np.cumprod(
        np.where(faults == cubic, -1, 1)
    )  # the sense, which a fault in fcc turns round, and in hcp does not
    shifts = np.cumsum(steps)
    a = (recipe["volume"] * 4 / np.sqrt(3) / (2 * np.sqrt(2 / 3) if cubic else recipe["c_over_a"])) ** (1 / 3)
    height = a * (np.sqrt(2 / 3) if cubic else recipe["c_over_a"] / 2)
    cell = np.array([[a / 2, -a * np.sqrt(3) / 2, 0], [a / 2, a * np.sqrt(3) / 2, 0], [0, 0, layers * height]])
    places = [[(s % 3) / 3, (-s % 3) / 3, i / layers] for i, s in enumerate(shifts)]
    positions = np.array(places) @ cell
    # On top of the last layer the first one comes again, shifted by one more step.
    step = steps[-1] if cubic else -steps[-1]
    cell[2] += (shifts[-1] + step - shifts[0]) % 3 / 3 * (cell[0] - cell[1])
    atoms = Atoms(recipe["element"] * layers, positions, cell=cell, pbc=True)
    if cubic:  # the layers are {111}
        turn = Rotation.align_vectors([[1, 1, 1], [1, -1, 0]], [[0, 0, 1], [1, 0, 0]])[0].as_matrix()
        atoms.set_cell(atoms.cell.array @ turn.T, scale_atoms=True)
    return atoms


_CUBIC = {"bcc": 1.0, "fcc": np.sqrt(2)}  # c/a of the body-centred tetragonal cell of a cubic crystal


def known_labels(recipes: pd.DataFrame) -> np.ndarray:
    """Return the label that can be known of each damaged crystal: of a hot tetragonal one at the border of a cubic
    class, the cubic.

    The one definition of that border. The tetragonal crystals of the data set begin 0.03 from c/a = 1 (bcc) and
    sqrt(2) (fcc), and so does bct_139 of cold crystals; strain below 2 % leaves a cubic crystal in its class. Thermal
    waves strain a ball of atoms: within `xtalsight.damage.STRAIN_OF_WAVES` times their standard deviation of a cubic
    c/a, hot cubic balls look the same, and nearly all hot crystals there are cubic.

    Parameters
    ----------
    recipes : DataFrame
        Of `make_recipes`, with the columns ``nearest`` (`neighbour_distances`) and ``waves``, both angstrom.

    Returns
    -------
    ndarray of int
    """
    apart = np.abs(np.log(recipes.c_over_a.to_numpy()[:, None] / list(_CUBIC.values())))
    hidden = apart.min(axis=1) < STRAIN_OF_WAVES * recipes.waves / recipes.nearest
    cubic = np.array([CLASSES.index(name) for name in _CUBIC])[apart.argmin(axis=1)]
    return np.where((recipes.label == CLASSES.index("bct_139")) & hidden, cubic, recipes.label)


def rotate(atoms: Atoms, angles) -> Atoms:
    """Return a copy turned, cell and all, by `angles` (degrees) about the fixed axes x, then y, then z."""
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ matrix.T)
    turned.set_positions(atoms.positions @ matrix.T)
    return turned


def space_group(atoms: Atoms, symprec: float = 1e-3, angle_tolerance: float = -1.0) -> int:
    """Return the international space-group number that spglib finds at `symprec` (angstrom) and `angle_tolerance`
    (degrees).

    A negative `angle_tolerance` leaves the angles to spglib.
    """
    return _symmetry(atoms, symprec, angle_tolerance).number


def conventional_cell(atoms: Atoms, symprec: float = 1e-3) -> Atoms:
    """Return the standard conventional cell, in which any rotation of the input is undone.

    Cubic and tetragonal axes lie along x, y, z with the unique axis along z; hexagonal and rhombohedral crystals get
    the hexagonal cell a1 = (a/2, -a sqrt(3)/2, 0), a2 = (a/2, a sqrt(3)/2, 0), a3 = (0, 0, c). Crystals of lower
    symmetry get spglib's standard cell.

    Parameters
    ----------
    atoms : Atoms
        A periodic crystal in any orientation.
    symprec : float
        Tolerance of spglib, angstrom.

    Raises
    ------
    ValueError
        spglib finds no symmetry, for example because atoms lie on top of each other.

    References
    ----------
    W. Setyawan, S. Curtarolo, Comput. Mater. Sci. 49, 299 (2010), doi:10.1016/j.commatsci.2010.05.010.
    """
    symmetry = _symmetry(atoms, symprec)
    cell = symmetry.std_lattice
    if symmetry.number >= 143 and symmetry.number <= 194:
        # spglib puts a1 along x; the fractional coordinates stay the same.
        a, c = cell[0, 0], cell[2, 2]
        cell = np.array([[a / 2, -a * np.sqrt(3) / 2, 0], [a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    return Atoms(numbers=symmetry.std_types, scaled_positions=symmetry.std_positions, cell=cell, pbc=True)


def symmetry_dataset(atoms: Atoms, symprec: float = 1e-3, angle_tolerance: float = -1.0) -> spglib.SpglibDataset | None:
    """Find the symmetry of a crystal with spglib.

    Parameters
    ----------
    atoms : Atoms
    symprec : float
        Tolerance, angstrom.
    angle_tolerance : float
        Degrees; if negative, spglib decides.

    Returns
    -------
    spglib.SpglibDataset or None
        None where spglib finds nothing, for example because atoms lie on top of each other.
    """
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    try:
        return spglib.get_symmetry_dataset(cell, symprec=symprec, angle_tolerance=angle_tolerance)
    except spglib.SpglibError:
        return None


def _symmetry(atoms, symprec, angle_tolerance=-1.0):
    name = structure_name(atoms)
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"{name}: positions and cell must be finite numbers")
    symmetry = symmetry_dataset(atoms, symprec, angle_tolerance)
    if symmetry is None:
        raise ValueError(f"{name}: no space group found at {symprec=}")
    return symmetry


def supercell_replicas(atoms: Atoms, n_atoms: int = N_ATOMS) -> tuple[int, int, int]:
    """Return the replicas of the cell that hold at least `n_atoms` atoms in a block as cubic as the cell allows.

    One replica at a time is added along the edge of the block that is shortest; of equal edges, along the first.
    """
    lengths = atoms.cell.lengths()
    replicas = np.ones(3, dtype=int)
    while len(atoms) * replicas.prod() < n_atoms:
        # Rounded, so that the last bit of a length does not decide between equal edges.
        replicas[np.argmin(np.round(lengths * replicas, 6))] += 1
    return tuple(int(n) for n in replicas)


def standard_supercell(atoms: Atoms, symprec: float = 1e-3, n_atoms: int = N_ATOMS) -> Atoms:
    """Return the `conventional_cell` of a crystal, repeated as `supercell_replicas` says."""
    cell = conventional_cell(atoms, symprec)
    return cell.repeat(supercell_replicas(cell, n_atoms))


def make_views(recipes: pd.DataFrame, n_views: int, seed: int) -> pd.DataFrame:
    """Make recipes of views: each crystal several times, damaged, strained and made of other elements.

    Uniform draws: vacancies 0 to 50 %, Gaussian displacements of 0 to 6 % of the cube root of the volume per atom,
    strain within 1 %, any element.

    Parameters
    ----------
    recipes : DataFrame
        Pristine crystals, as from `make_recipes`.
    n_views : int
        Views of each.
    seed : int

    Returns
    -------
    DataFrame
        ``n_views`` rows for each row of `recipes`, in their order, with columns ``displacement`` (angstrom), ``strain``
        (bound of the components) and ``view_of`` (id of the crystal) in addition.

    Raises
    ------
    ValueError
        More than nine views.
    """
    if not 0 <= n_views <= 9:
        raise ValueError(f"{n_views=} must lie between 0 and 9")  # ten would take ids of the next prototype
    rows = []
    for recipe in recipes.to_dict("records"):
        for view in range(n_views):
            structure = recipe["id"] + 100_000 * (view + 1)  # an id, and so a random stream, of its own
            rng = np.random.default_rng([seed, structure, 2])
            changes = {
                "id": structure,
                "view_of": recipe["id"],
                "element": ELEMENTS[rng.integers(len(ELEMENTS))],
                "vacancy_ratio": rng.uniform(0, 0.5),
                "displacement": rng.uniform(0, 0.06) * recipe["volume"] ** (1 / 3),
                "strain": 0.01,
                "seed": seed,
            }
            rows.append(recipe | changes)
    return pd.DataFrame(rows)


def build_crystal(recipe) -> Atoms:
    """Build the structure of a recipe, as in the paper.

    Primitive cell -> random orientation -> standard conventional cell -> supercell -> vacancies, and then what the
    optional columns ask for: other elements -> strain -> displacements -> thermal waves -> misorientation
    (`xtalsight.damage`).

    Parameters
    ----------
    recipe : mapping
        A row of `make_recipes` or `make_views`. Optional: ``n_atoms``, least number of atoms of the supercell
        (`N_ATOMS`); ``substitution``, fraction of the atoms that become another element each; ``strain``, bound of
        the components of a random strain; ``displacement`` and ``waves``, standard deviation of each coordinate by
        independent displacements and by thermal waves, angstrom; ``anisotropy`` of the waves (1); ``misorientation``,
        degrees about a random axis.

    Returns
    -------
    Atoms
        Periodic supercell; ``info["name"]`` names the recipe.
    """
    # spglib takes most of the time. Copies of one crystal that differ in their defects share its last result.
    atoms = _perfect_supercell(tuple((key, recipe[key]) for key in _CRYSTAL if pd.notna(recipe.get(key)))).copy()

    def stream(number):
        return np.random.default_rng([int(recipe["seed"]), int(recipe["id"]), number])

    if recipe["vacancy_ratio"] > 0:
        atoms = remove_atoms(atoms, recipe["vacancy_ratio"], stream(1))
    if (ratio := recipe.get("substitution", 0)) > 0:
        atoms = substitute(atoms, ratio, ELEMENTS, stream(4))
    if "strain" in recipe or "displacement" in recipe:
        rng = stream(3)
        atoms = strained(atoms, random_strain(recipe.get("strain", 0), rng))
        atoms.positions += independent_displacements(len(atoms), recipe.get("displacement", 0), rng)
    if (sigma := recipe.get("waves", 0)) > 0:
        anisotropy = recipe.get("anisotropy", 1)
        atoms.positions += thermal_waves(atoms.positions, sigma, 1 / recipe["volume"], stream(8), anisotropy)
    if (angle := recipe.get("misorientation", 0)) > 0:
        axis = stream(5).normal(size=3)
        atoms.rotate(angle, axis, rotate_cell=True)
    atoms.info["name"] = f"{recipe['element']} {recipe['prototype']} {recipe['id']}"
    return atoms


_SHAPE = ("c_over_a", "alpha", "z")
_CRYSTAL = ("prototype", "element", "volume", *_SHAPE, *ROTATION, "n_atoms")


@lru_cache(maxsize=1)
def _perfect_supercell(crystal):
    recipe = dict.fromkeys(_SHAPE, np.nan) | dict(crystal)
    turned = rotate(primitive_cell(recipe), [recipe[name] for name in ROTATION])
    return standard_supercell(turned, n_atoms=int(recipe.get("n_atoms", N_ATOMS)))
