"""Prototypes: the free part of AFLOW's library, or a folder of a reader's own files; their crystals, as real ones vary
and suffer; and crystals that resemble them, but are none of them.

Lengths of a variation are in units of the spacing, the cube root of the volume of an atom.
"""

import gzip
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import spglib
from ase import Atoms
from scipy.spatial.transform import Rotation

from xtalsight.clouds import SHAPES, cut_cloud
from xtalsight.counterexamples import (
    SPECIAL_COORDINATES,
    build_counterexample,
    make_counterexamples,
    nearest_distance,
    orbit,
    random_crystal,
)
from xtalsight.crystals import make_recipes, primitive_cell, rotate, supercell_replicas, symmetry_dataset
from xtalsight.damage import (
    antisites,
    deviatoric,
    draws,
    independent_displacements,
    mild_draws,
    random_strain,
    remove_atoms,
    strained,
    thermal_waves,
)
from xtalsight.fingerprints import length_scale
from xtalsight.preparation import SPACING
from xtalsight.reading import read_structures

LATTICE = 0.15
"""Largest difference of two principal strains by which a lattice varies within its system: c/a by 15 %."""

INTERNAL = 0.05
"""Largest root mean square, about, of the displacements along the free coordinates of a crystal's atoms, each
coordinate, in units of the spacing."""

CLOSEST = 0.06
"""Tolerance of spglib, in units of the spacing, at which a variation must not be a crystal of more symmetry."""

WORK = ".work"
"""Folder of an unfinished network, see `xtalsight.learning.learn`."""

_FURTHER = 99  # atomic number of a kind that is in no prototype

LARGEST_CELL = 200
"""Atoms of the largest primitive cell: of more, a ball that is classified holds less than two cells."""

OUTLIERS = (
    "recoloured",
    "ordered vacancies",
    "other orbits",
    "distant",
    "distorted",
    "sheared",
    "stacked",
    "alloy",
    "random crystal",
    "random points",
)
"""Kinds of structures that are none of the prototypes, see `build_outlier`."""


class SymmetricCell(NamedTuple):
    """A primitive cell with the operations of its space group."""

    atoms: Atoms
    rotations: np.ndarray
    """(n_operations, 3, 3): Cartesian row vectors r go to r R."""
    images: np.ndarray
    """(n_operations, n_atoms): where each operation takes each atom."""
    orbits: np.ndarray
    """(n_atoms,): number of the orbit of each atom."""
    space_group: int
    closest: float
    """`CLOSEST`, or less where the cell itself is closer to one of more symmetry."""
    signature: tuple
    """Space group and number of atoms of each kind in the primitive cell."""


class Prototype(NamedTuple):
    """A class of crystals: its names, and one or more crystals from which others vary."""

    name: str
    cells: tuple[SymmetricCell, ...]
    names: Mapping[str, str]
    """Of AFLOW's: ``aflow`` (label), ``strukturbericht``, ``mineral``, ``formula``; empty where there is none."""
    ranges: str = ""
    """Key of `xtalsight.crystals.PROTOTYPES` if the ranges of its parameters are known from nature."""


# AFLOW's label, and formula where several prototypes share it, of the fifteen kinds.
_KNOWN_RANGES = {
    "A_cI2_229_a": "bcc",
    "A_tI2_139_a Pa": "bct_pa",
    "A_tI2_139_a In": "bct_in",
    "A_tI4_141_a": "beta_sn",
    "A_cF8_227_a": "diamond",
    "A_cF4_225_a": "fcc",
    "A_hP2_194_c": "hcp",
    "A_hP4_194_ac": "dhcp",
    "A_hP4_194_bc": "graphite",
    "A_hR1_166_a Hg": "alpha_hg",
    "A_hR1_166_a Po": "beta_po",
    "A_hR2_166_c As2": "arsenic",
    "A_hR2_166_c C2": "rh_graphite",
    "A_hR3_166_ac": "alpha_sm",
    "A_cP1_221_a": "sc",
}


def aflow_prototypes() -> dict[str, Prototype]:
    """Read the prototypes of AFLOW's library that pymatgen carries: 288, one crystal of each.

    The name is AFLOW's label; where several prototypes share one, with the formula of the primitive cell. What is
    known of the ranges of the fifteen kinds of `xtalsight.crystals.PROTOTYPES` holds here, too.

    Raises
    ------
    ModuleNotFoundError
        pymatgen is not installed: ``pip install xtalsight[prototypes]``.

    References
    ----------
    M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017), doi:10.1016/j.commatsci.2017.01.017. S. P. Ong et al.,
    Comput. Mater. Sci. 68, 314 (2013), doi:10.1016/j.commatsci.2012.10.028 (pymatgen, MIT licence).
    """
    try:
        file = files("pymatgen.analysis.prototypes") / "aflow_prototypes.json.gz"
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the prototypes of AFLOW's library come with pymatgen: pip install xtalsight[prototypes]"
        ) from error
    entries = json.loads(gzip.decompress(file.read_bytes()))
    shared = Counter(entry["tags"]["aflow"] for entry in entries)
    found = {}
    for entry in entries:
        sites, tags = entry["snl"]["sites"], entry["tags"]
        symbols = [site["species"][0]["element"] for site in sites]
        fractions = [site["abc"] for site in sites]
        atoms = Atoms(symbols, scaled_positions=fractions, cell=entry["snl"]["lattice"]["matrix"], pbc=True)
        formula = atoms.get_chemical_formula()
        name = tags["aflow"] if shared[tags["aflow"]] == 1 else f"{tags['aflow']} {formula}"
        names = {key: _readable(tags[key]) for key in ("aflow", "strukturbericht", "mineral")}
        names["formula"] = atoms.symbols.get_chemical_formula("metal", empirical=True)
        found[name] = Prototype(name, (symmetric_cell(atoms),), names, _KNOWN_RANGES.get(name, ""))
    return found


def _readable(text):
    """A name without TeX; the library says "None" where there is none."""
    for tex, plain in (("$\\mu$", "μ"), ("\\'{c}", "ć"), ("\\'", "'")):
        text = text.replace(tex, plain)
    return "" if text == "None" else text


def read_prototypes(folder) -> dict[str, Prototype]:
    """Read prototypes from a folder: each structure file is one, by its first frame, and each folder in it with all of
    its files.

    Raises
    ------
    ValueError
        Fewer than two; or a file holds no crystal: it is named, with what is wrong.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder of structure files")
    found = {}
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        if (path / "card.json").exists() or (path / WORK).exists():  # a network that was learned here
            continue
        paths = sorted(file for file in path.iterdir() if not file.name.startswith(".")) if path.is_dir() else [path]
        name = path.name if path.is_dir() else path.name.removesuffix(".gz").rsplit(".", 1)[0]
        if not paths:
            raise ValueError(f"{path} is an empty folder")
        if name in found:
            raise ValueError(
                f"{path}: two crystals are called {name}: rename one, or put both into a folder of this name"
            )
        found[name] = Prototype(name, tuple(map(_read_cell, paths)), {})
    if len(found) < 2:
        raise ValueError(
            f"{folder} holds {'one crystal' if found else 'no structure file'}: to tell crystals apart takes two or more"
        )
    return found


def _read_cell(path):
    atoms = next(read_structures(path))
    if not atoms.cell.rank == 3 or not atoms.pbc.all():
        raise ValueError(f"{path}: not a crystal, it has no three cell vectors to repeat it along")
    sites = atoms.info.get("occupancy")
    shares = [share for share in sites.values() if isinstance(share, dict)] if isinstance(sites, dict) else []
    by_atom = np.nan_to_num(np.asarray(atoms.arrays.get("occupancy", 1.0), float), nan=1.0)
    if any(len(share) > 1 or sum(share.values()) < 0.99 for share in shares) or (by_atom < 0.99).any():
        raise ValueError(f"{path}: sites are occupied in part or by several elements: make an ordered crystal of it")
    try:
        cell = symmetric_cell(atoms, symprec=1e-2)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(cell.atoms) > LARGEST_CELL:
        raise ValueError(f"{path}: its primitive cell holds {len(cell.atoms)} atoms, more than {LARGEST_CELL}")
    return cell


def symmetric_cell(atoms: Atoms, symprec: float = 1e-3) -> SymmetricCell:
    """Find the primitive cell of a crystal, free of noise, with the operations of its space group.

    Parameters
    ----------
    atoms : Atoms
    symprec : float
        Tolerance of spglib, in units of the spacing.

    Raises
    ------
    ValueError
        spglib finds no symmetry, for example because atoms lie on top of each other.
    """
    spacing = _spacing(atoms)
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    try:
        cell = spglib.standardize_cell(cell, to_primitive=True, symprec=symprec * spacing)
        dataset = spglib.get_symmetry_dataset(cell, symprec=1e-3 * spacing)
    except (TypeError, spglib.SpglibError):
        dataset = None
    if dataset is None:
        raise ValueError("spglib finds no symmetry, not even a primitive cell: do atoms lie on top of each other?")
    lattice, fractions, numbers = cell
    atoms = Atoms(numbers, scaled_positions=fractions, cell=lattice, pbc=True)
    moved = fractions @ dataset.rotations.transpose(0, 2, 1) + dataset.translations[:, None]
    images = np.array([_nearest_images(fractions, places, atoms) for places in moved])
    rotations = np.linalg.inv(lattice) @ dataset.rotations.transpose(0, 2, 1) @ lattice
    orbits = np.unique(dataset.equivalent_atoms, return_inverse=True)[1]
    ladder = CLOSEST * np.array([1, 0.7, 0.5, 0.3, 0.15])
    closest = next((t for t in ladder if _group(atoms, t * spacing) == dataset.number), 0.0)
    return SymmetricCell(atoms, rotations, images, orbits, dataset.number, closest, _signature(dataset, numbers))


def _signature(dataset, numbers):
    """Space group and sorted numbers of atoms of each kind, from the data set and the atomic numbers of a primitive
    cell."""
    return dataset.number, *sorted(Counter(numbers.tolist()).values())


def _nearest_images(fractions, moved, atoms):
    apart = moved[:, None] - fractions
    apart = np.linalg.norm((apart - np.rint(apart)) @ atoms.cell.array, axis=-1)
    return np.where(atoms.numbers[:, None] == atoms.numbers, apart, np.inf).argmin(axis=1)


def _spacing(atoms):
    return (atoms.get_volume() / len(atoms)) ** (1 / 3)


def _group(atoms, symprec):
    """Space group; 0 if spglib finds none."""
    dataset = symmetry_dataset(atoms, symprec)
    return 0 if dataset is None else dataset.number


def free_directions(cell: SymmetricCell, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a strain and displacements of the atoms that leave the space group of a cell as it is.

    What is drawn at random is averaged over the operations g of the group: the strain over g^-1 e g, displacements
    over those that g takes to each atom. What is left of them the group leaves free; of cubic crystals no strain, of
    atoms in places without free coordinates no displacement.

    Returns
    -------
    strain : ndarray, shape (3, 3)
        Symmetric, without change of volume: largest minus smallest principal strain 1, or all 0.
    displacements : ndarray, shape (n_atoms, 3)
        Of standard deviation 1 along each free coordinate, mean 0.
    """
    operations = len(cell.rotations)
    strain = np.mean(cell.rotations.transpose(0, 2, 1) @ random_strain(1.0, rng) @ cell.rotations, axis=0)
    strain -= np.eye(3) * np.trace(strain) / 3
    size = deviatoric(strain)
    drawn = rng.normal(size=(len(cell.atoms), 3))
    displacements = np.zeros_like(drawn)
    for rotation, images in zip(cell.rotations, cell.images, strict=True):
        displacements[images] += drawn @ rotation / operations
    # The average over an orbit of n atoms has made them smaller by its root.
    displacements *= np.sqrt(np.bincount(cell.orbits)[cell.orbits])[:, None]
    displacements -= displacements.mean(axis=0)
    return (strain / size if size > 1e-6 else np.zeros((3, 3))), displacements


def vary(cell: SymmetricCell, rng: np.random.Generator, lattice: float = LATTICE, internal: float = INTERNAL) -> Atoms:
    """Return a crystal of the same prototype with other parameters, as compounds of one prototype have them.

    `free_directions` of random size, uniform up to `lattice` and `internal`. A crystal that spglib finds to have more
    symmetry at the tolerance ``cell.closest`` is drawn again, up to twenty times: it would be another prototype. Then
    it is the cell as it is.
    """
    for _ in range(20):
        strain, displacements = free_directions(cell, rng)
        strain *= rng.uniform(0, lattice)
        displacements *= rng.uniform(0, internal)
        if not strain.any() and np.abs(displacements).max() < 1e-9:
            break
        atoms = cell.atoms.copy()
        atoms.positions += displacements * _spacing(atoms)
        atoms = strained(atoms, strain)
        if cell.closest == 0 or _group(atoms, cell.closest * _spacing(atoms)) == cell.space_group:
            return atoms
    return cell.atoms.copy()


def build_crystal(
    prototype: Prototype, rng: np.random.Generator, lattice: float = LATTICE, internal: float = INTERNAL
) -> Atoms:
    """Return the primitive cell of a random crystal of a prototype: by known ranges of its parameters, or by `vary`."""
    if prototype.ranges:
        (recipe,) = make_recipes({prototype.ranges: 1}, int(rng.integers(2**31)), elements=["Cu"]).to_dict("records")
        return primitive_cell(recipe)
    return vary(prototype.cells[rng.integers(len(prototype.cells))], rng, lattice, internal)


def make_clouds(
    names: Sequence[str], per_name: int, seed: int, lattice: float = LATTICE, internal: float = INTERNAL
) -> pd.DataFrame:
    """Return recipes of perfect clouds of 256 places: `per_name` of each prototype, balls and other shapes by turns.

    Columns ``id``, ``label`` (position in `names`), ``prototype``, ``shape``, ``n_atoms``, ``vacancy_ratio``,
    ``displacement`` and ``waves`` (fractions of the neighbour distance), ``antisites``, ``strain`` (largest minus
    smallest principal strain), ``anisotropy``, ``lattice`` and ``internal`` (see `vary`), ``seed``.
    """
    label = np.repeat(np.arange(len(names)), per_name)
    number = np.tile(np.arange(per_name), len(names))
    recipes = pd.DataFrame({"id": 1_000_000 * label + number, "label": label})
    recipes["prototype"] = np.array(names, object)[label]
    recipes["shape"] = np.array(["sphere", *SHAPES[:3]])[number % 4]
    return recipes.assign(
        n_atoms=256,
        vacancy_ratio=0.0,
        displacement=0.0,
        waves=0.0,
        antisites=0.0,
        strain=0.0,
        anisotropy=1.0,
        lattice=lattice,
        internal=internal,
        seed=seed,
    )


def make_outliers(names: Sequence[str], count: int, seed: int) -> pd.DataFrame:
    """Return recipes, as of `make_clouds`, of structures that are none of the prototypes: of the `OUTLIERS` by turns,
    of a prototype drawn at random; the label is ``len(names)``."""
    recipes = make_clouds(["none"], count, seed).assign(label=len(names))
    recipes["outlier"] = np.resize(OUTLIERS, count)
    recipes["prototype"] = np.array(names, object)[(draws(recipes, 1)[:, 0] * len(names)).astype(int)]
    recipes["id"] += 1_000_000 * len(names)
    return recipes


def damage_to_learn(recipes: pd.DataFrame) -> pd.DataFrame:
    """Draw damage and size to train on: one cloud in eight perfect, up to 70 % vacancies, displacements of up to 15 %
    of the neighbour distance, waves among them, up to 15 % antisites, 1.5 % strain, 40 to 512 places.

    Of outliers, displacements and vacancies by a third less, and no antisites: what hides a difference makes no
    example of it.
    """
    size, spared, u, v, share, exchanged, how_many, w, soft = draws(recipes, 9).T
    mild = np.where(recipes.get("outlier", pd.Series("", recipes.index)) == "", 1.0, 2 / 3)
    hit = (spared > 1 / 8) * mild
    radius, angle = np.sqrt(u) * hit, np.pi / 2 * v
    vacancies, displaced = 0.7 * radius * np.cos(angle), 0.15 * radius * np.sin(angle)
    share = np.where(share < 0.4, 0, 1 - (1 - (share - 0.4) / 0.6) ** 2)  # of waves, in the mean square
    return recipes.assign(
        n_atoms=np.maximum(40 * (512 / 40) ** size, np.ceil(24 / (1 - vacancies))).astype(int),
        vacancy_ratio=vacancies,
        displacement=displaced * np.sqrt(1 - share),
        waves=np.minimum(displaced * np.sqrt(share), 0.1),
        antisites=np.where((exchanged < 0.3) & (hit == 1), 0.15 * how_many, 0),
        strain=0.015 * w * (hit > 0),
        anisotropy=2.0**soft,
    )


def mild_damage(recipes: pd.DataFrame) -> pd.DataFrame:
    """Draw the damage of `xtalsight.damage.mild_draws`, by which verdicts are calibrated."""
    vacancies, displacement, waves = mild_draws(recipes)
    return recipes.assign(vacancy_ratio=vacancies, displacement=displacement, waves=waves)


def build_cloud(recipe, prototypes: Mapping[str, Prototype]) -> Atoms:
    """Build the cloud of a row of `make_clouds` or `make_outliers`.

    Crystal -> strain -> orientation -> cut -> antisites -> vacancies -> displacements -> thermal waves.

    Returns
    -------
    Atoms
        Without cell, not periodic; ``info["name"]`` names the recipe.
    """
    rng = np.random.default_rng([int(recipe["seed"]), int(recipe["id"]), 9])
    if isinstance(recipe.get("outlier"), str):
        crystal = build_outlier(recipe["outlier"], recipe["prototype"], prototypes, rng)
    else:
        crystal = build_crystal(prototypes[recipe["prototype"]], rng, recipe["lattice"], recipe["internal"])
    if recipe["strain"] > 0:
        strain = random_strain(1.0, rng)
        crystal = strained(crystal, strain * recipe["strain"] / deviatoric(strain))
    nearest, density = length_scale(crystal), len(crystal) / crystal.get_volume()
    turned = rotate(crystal, Rotation.random(rng=rng).as_euler("xyz", degrees=True))
    cloud = cut_cloud(turned, int(recipe["n_atoms"]), recipe["shape"], rng)
    cloud = remove_atoms(antisites(cloud, recipe["antisites"], rng), recipe["vacancy_ratio"], rng)
    cloud.positions += independent_displacements(len(cloud), recipe["displacement"] * nearest, rng)
    if recipe["waves"] > 0:
        cloud.positions += thermal_waves(cloud.positions, recipe["waves"] * nearest, density, rng, recipe["anisotropy"])
    cloud.info["name"] = f"{recipe.get('outlier', '')} {recipe['prototype']} {recipe['id']}".strip()
    return cloud


def build_outlier(kind: str, name: str, prototypes: Mapping[str, Prototype], rng: np.random.Generator) -> Atoms:
    """Build a crystal that resembles a prototype, but is another; or one that resembles none.

    Parameters
    ----------
    kind : str
        Of the `OUTLIERS`. "recoloured": kinds of some or all atoms of a small supercell change places, or become
        another kind. "ordered vacancies": a small supercell lacks a part of the atoms of a kind. "other orbits": an
        orbit left out, orbits of other kinds, or a further orbit. "distant": far along the `free_directions`, beyond
        what one prototype covers. "distorted": random displacements of all atoms of a cell. "sheared": strain that
        lowers the symmetry. "stacked": a part of a supercell is shifted against the rest, in some turned over.
        "alloy": kinds without order on the places of a prototype. "random crystal" and "random points" as in
        `xtalsight.counterexamples`.
    name : str
        Of the prototype that it comes from. What cannot be changed in this way is sheared.
    """
    makers = {
        "recoloured": _recoloured,
        "ordered vacancies": _ordered_vacancies,
        "other orbits": _other_orbits,
        "distant": _distant,
        "distorted": _distorted,
        "sheared": _sheared,
        "stacked": _stacked,
        "alloy": _alloy,
        "random crystal": _random_crystal,
        "random points": _random_points,
    }
    # Atoms of a molecule are closer than 0.5 of the spacing.
    own = min(nearest_distance(cell.atoms) / _spacing(cell.atoms) for cell in prototypes[name].cells)
    closest = min(0.5, 0.75 * own)
    for attempt in range(200):
        # What this one cannot become, of one atom without free coordinates, say, it is sheared instead.
        atoms = makers[kind if attempt < 100 else "sheared"](prototypes[name], rng)
        if atoms is not None and len(atoms) > 0 and not (kind in _ORDERS and _is_known(atoms, prototypes)):
            atoms.set_cell(atoms.cell.array / _spacing(atoms), scale_atoms=True)  # of unit density
            if kind == "random points" or (len(atoms) < 600 and nearest_distance(atoms) > closest):
                atoms.set_cell(atoms.cell.array * SPACING, scale_atoms=True)
                return atoms
    raise ValueError(f"no outlier of the kind {kind} can be made of {name}")


_ORDERS = ("recoloured", "ordered vacancies", "other orbits", "stacked")  # which may chance upon a prototype


def _is_known(atoms, prototypes):
    """Whether a crystal has space group and numbers of atoms of one of the prototypes."""
    counts = sorted(Counter(atoms.numbers.tolist()).values())
    signatures = (cell.signature for prototype in prototypes.values() for cell in prototype.cells)
    of_its_formula = {signature for signature in signatures if _is_multiple(counts, signature[1:])}
    # spglib takes longer than all else that makes an outlier.
    dataset = symmetry_dataset(atoms, 1e-2 * _spacing(atoms)) if of_its_formula else None
    if dataset is None:
        return False
    in_primitive = np.unique(dataset.mapping_to_primitive, return_index=True)[1]
    return _signature(dataset, atoms.numbers[in_primitive]) in of_its_formula


def _is_multiple(counts, few):
    """Whether numbers of atoms of each kind, sorted, are one whole number times others."""
    times, rest = divmod(counts[0], few[0])
    return rest == 0 and len(counts) == len(few) and all(n == times * m for n, m in zip(counts, few, strict=True))


def _small_supercell(prototype, rng):
    """A crystal, once to eight times its primitive cell, of 48 atoms at most: in a large supercell an order at random
    is none."""
    atoms = build_crystal(prototype, rng)
    replicas = int(rng.integers(1, 9))
    return atoms.repeat(supercell_replicas(atoms, min(replicas * len(atoms), max(len(atoms), 48))))


def _part_of_a_kind(atoms, rng, least, most):
    """Indices of a random part of the atoms of one kind, a tenth of all atoms or more; none where that is too few."""
    alike = np.flatnonzero(atoms.numbers == rng.choice(np.unique(atoms.numbers)))
    part = rng.permutation(alike)[: max(1, round(rng.uniform(least, most) * len(alike)))]
    return part if 0.1 * len(atoms) <= len(part) < len(alike) else []


def _recoloured(prototype, rng):
    atoms = _small_supercell(prototype, rng)
    before, kinds = atoms.numbers.copy(), atoms.numbers.copy()
    if len(set(before)) == 1 or rng.random() < 0.5:
        part = _part_of_a_kind(atoms, rng, 0.25, 0.75)
        kinds[part] = rng.choice([_FURTHER, *set(before)])
    else:
        kinds = rng.permutation(kinds)
    atoms.numbers = kinds
    return None if np.mean(kinds != before) < 0.1 else atoms


def _ordered_vacancies(prototype, rng):
    atoms = _small_supercell(prototype, rng)
    part = _part_of_a_kind(atoms, rng, 0.2, 0.6)
    return atoms[np.setdiff1d(np.arange(len(atoms)), part)] if len(part) else None


def _distant(prototype, rng):
    cell = prototype.cells[rng.integers(len(prototype.cells))]
    strain, displacements = free_directions(cell, rng)
    is_free = np.abs(displacements).max() > 1e-6
    if not is_free and not strain.any():
        return None
    atoms = cell.atoms.copy()
    if is_free:  # no draw is small by chance
        displacements /= np.linalg.norm(displacements, axis=1).max()
    atoms.positions += displacements * rng.uniform(3, 9) * INTERNAL * _spacing(atoms)
    return strained(atoms, strain * rng.uniform(*((0, 2) if is_free else (1.3, 3.5))) * LATTICE)


def _other_orbits(prototype, rng):
    cell = prototype.cells[rng.integers(len(prototype.cells))]
    atoms, orbits = cell.atoms.copy(), cell.orbits
    choice = rng.random()
    if orbits.max() > 0 and choice < 0.25:
        return atoms[orbits != rng.integers(orbits.max() + 1)]
    if orbits.max() > 0 and choice < 0.5:
        kinds = rng.integers(0, 3, orbits.max() + 1)[orbits]
        before = np.unique(atoms.numbers, return_inverse=True)[1]
        pairs = len(set(zip(kinds, before, strict=True)))
        atoms.numbers = 1 + kinds
        return None if pairs == len(set(kinds)) == len(set(before)) else atoms  # other names only
    dataset = symmetry_dataset(atoms, 1e-3 * _spacing(atoms))
    place = np.where(rng.random(3) < 0.7, rng.choice(SPECIAL_COORDINATES, 3), rng.random(3))
    further = orbit(place, dataset.rotations, dataset.translations)
    kind = rng.choice([atoms.numbers[0], _FURTHER])
    return atoms + Atoms([kind] * len(further), scaled_positions=further, cell=atoms.cell)


def _stacked(prototype, rng):
    axis = int(rng.integers(3))
    replicas = np.ones(3, int)
    replicas[axis] = rng.integers(2, 5)
    atoms = build_crystal(prototype, rng).repeat(replicas)
    fractions = atoms.get_scaled_positions()
    upper = fractions[:, axis] >= rng.uniform(0.3, 0.7)
    if not upper.any() or upper.all():
        return None
    shift = rng.choice([0, 1 / 4, 1 / 3, 1 / 2, 2 / 3], 3)
    shift[axis] = 0
    if rng.random() < 0.3:
        fractions[upper] = 2 * fractions[upper].mean(axis=0) - fractions[upper]
    elif not shift.any():
        return None
    fractions[upper] += shift
    atoms.set_scaled_positions(fractions)
    return atoms


def _distorted(prototype, rng):
    atoms = _small_supercell(prototype, rng)
    if len(atoms) == 1:
        return None
    atoms.positions += rng.normal(scale=rng.uniform(0.08, 0.25) * _spacing(atoms), size=(len(atoms), 3))
    return atoms


def _sheared(prototype, rng):
    strain = random_strain(1.0, rng)
    return strained(build_crystal(prototype, rng), strain * rng.uniform(0.4, 1.3) * LATTICE / deviatoric(strain))


def _alloy(prototype, rng):
    atoms = build_crystal(prototype, rng)
    atoms = atoms.repeat(supercell_replicas(atoms, 256))
    n_kinds = rng.integers(2, 5)
    atoms.numbers = 1 + rng.choice(n_kinds, len(atoms), p=rng.dirichlet(np.full(n_kinds, 3.0)))
    return atoms


def _random_crystal(prototype, rng):
    atoms = random_crystal(rng, closest=0.75)
    orbits = symmetry_dataset(atoms).equivalent_atoms
    atoms.numbers = 1 + rng.integers(0, 3, len(atoms))[orbits]
    return atoms


def _random_points(prototype, rng):
    atoms = build_counterexample(make_counterexamples({"hard_spheres": 1}, int(rng.integers(2**31))).iloc[0])
    atoms.numbers = 1 + rng.integers(0, rng.integers(1, 4), len(atoms))
    return atoms
