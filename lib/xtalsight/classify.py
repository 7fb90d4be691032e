"""A structure file in, class, probability and verdict out: ``python -m xtalsight classify FILE``."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io.formats import UnknownFileTypeError
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from xtalsight.crystals import (
    CLASS_OF_SPACE_GROUP,
    CLASSES,
    N_ATOMS,
    conventional_cell,
    space_group,
    supercell_replicas,
)
from xtalsight.fingerprints import DiffractionGeometry, fingerprint, length_scale
from xtalsight.spectra import spectrum
from xtalsight.store import load_json

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the trained networks that travel with the package, with ``model_card.json``."""

GEOMETRY = DiffractionGeometry(scale="powder")
"""What the compact network that travels with the package looks at."""

LARGEST = 512
"""Number of atoms of the largest clusters looked at: of larger ones, the middle."""

SMALLEST = 24
"""Number of atoms of the smallest clusters that the networks were trained on: what is smaller is refused."""

# spglib takes minutes for many more atoms, and then seldom finds any symmetry.
_MOST_FOR_SYMMETRY = 2000
_SYMPREC = 0.05  # angstrom
_HEAVIEST = 94  # atomic number; there are no form factors for much heavier elements, and 0 is a dummy atom
_THINNEST = 0.7  # spread (standard deviation) of the positions along the shortest axis, in length scales; a ball of 24 atoms has more
_VACUUM = 8.0  # angstrom; planes of atoms in crystals of the elements lie closer


def confidence(probabilities: np.ndarray) -> np.ndarray:
    """Return the largest probability of the seven classes, (n,), of probabilities (n, 7 or more)."""
    return probabilities[:, : len(CLASSES)].max(axis=1)


def refusal_threshold(confidences: np.ndarray, error_rate: float) -> float:
    """Return the confidence below which an answer is refused.

    Split conformal prediction: the k-th smallest of n confidences of structures of the classes that were not trained on,
    k = floor(error_rate (n + 1)). A new structure that is exchangeable with these is refused with a probability of at most
    `error_rate`, whatever the classifier.

    Parameters
    ----------
    confidences : ndarray, shape (n,)
        Of the structures set aside for calibration.
    error_rate : float
        Largest acceptable fraction of structures of the classes that are refused, in (0, 1).

    Raises
    ------
    ValueError
        The rate is not in (0, 1), or there are too few structures for it: k = 0.

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World (Springer, 2005),
    doi:10.1007/b106715.
    """
    if not 0 < error_rate < 1:
        raise ValueError(f"{error_rate=} must lie between 0 and 1")
    confidences = np.sort(np.asarray(confidences, float))
    k = int(np.floor(error_rate * (len(confidences) + 1) + 1e-9))
    if k == 0:
        raise ValueError(
            f"{len(confidences)} structures are too few for {error_rate=}: at least {1 / error_rate - 1:.0f}"
        )
    return float(confidences[k - 1])


def refusal_thresholds(probabilities: np.ndarray, labels: np.ndarray, error_rate: float) -> np.ndarray:
    """Return a `refusal_threshold` for each class, (7,), from structures of that class alone.

    With one threshold for all, a class of which a network is less sure pays for the others.

    Parameters
    ----------
    probabilities : ndarray, shape (n, 7 or more)
        Of the structures set aside for calibration.
    labels : ndarray of int, shape (n,)
        Their classes.
    error_rate : float
        Largest acceptable fraction of structures of each class that are refused, in (0, 1).

    Raises
    ------
    ValueError
        As `refusal_threshold`, for any class.
    """
    confidences = confidence(probabilities)
    return np.array([refusal_threshold(confidences[labels == label], error_rate) for label in range(len(CLASSES))])


def is_refused(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Whether the largest probability of the seven, of (n, 7 or more), is below the threshold of its class; (n,) bool."""
    best = probabilities[:, : len(CLASSES)].argmax(axis=1)
    return confidence(probabilities) < np.asarray(thresholds)[best]


def read_structures(path) -> Iterator[Atoms]:
    """Read the frames of a structure file, one after the other: CIF, POSCAR, extxyz, LAMMPS dump and what else ASE reads.

    Raises
    ------
    ValueError
        One clear sentence: no such file, a directory, an empty file, not a structure file, or a broken one.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory: name the files in it")
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    frames = 0
    try:
        for atoms in ase.io.iread(path, index=":", do_not_split_by_at_sign=True):
            frames += 1
            yield atoms
    except UnknownFileTypeError as error:
        raise ValueError(f"{path} is of no format that ASE recognises") from error
    except OSError:
        raise
    except Exception as error:  # readers of broken files raise nearly anything
        beyond = f" beyond its first {frames} structures" if frames else ""
        reason = " ".join(str(error).split()) or f"its reader stops with {type(error).__name__}"
        raise ValueError(f"{path} cannot be read{beyond}: {reason}") from error
    if frames == 0:
        raise ValueError(f"{path} holds no structure that ASE recognises")


class Prepared(NamedTuple):
    """What `prepare` returns."""

    cluster: Atoms
    """What is looked at."""
    cell: Atoms | None
    """The standard cell of which the cluster is made; None if the structure was taken as it is."""
    group: int | None
    """International number of the space group that spglib finds; None without a cell."""
    notes: list[str]
    """What was done."""


def prepare(atoms: Atoms) -> Prepared:
    """Bring a structure to the form that the networks were trained on.

    A crystal with the symmetry of one of the seven classes, or a small cell, is brought to its standard cell and repeated to at
    least `N_ATOMS`. Anything else, a supercell with defects or a cloud of atoms for example, is taken as it is: of several pieces
    the largest, of more than `LARGEST` atoms the middle. Of a compound the places of the atoms count, not their elements.

    Raises
    ------
    ValueError
        No atoms, positions that are not numbers, cell vectors in one plane or line, or sites that are occupied in part.
    """
    if len(atoms) == 0:
        raise ValueError("there are no atoms")
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise ValueError("positions and cell must be finite numbers")
    if _partly_occupied(atoms):
        raise ValueError("some sites are occupied in part: make an ordered structure of it first")
    structure = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc & atoms.cell.any(axis=1))
    periodic = structure.cell.array[structure.pbc]
    if len(periodic) and np.linalg.matrix_rank(periodic) < len(periodic):
        raise ValueError("the cell vectors lie in one plane or line")
    notes = []
    numbers = Counter(atoms.numbers.tolist())
    element = numbers.most_common(1)[0][0]
    if len(numbers) > 1 or not 0 < element <= _HEAVIEST:
        structure.numbers[:] = element if 0 < element <= _HEAVIEST else atomic_numbers["Cu"]
        notes.append(
            f"{atoms.get_chemical_formula('metal')}: its atoms are taken for {structure.symbols[0]}, their places count"
        )
    for axis in np.flatnonzero(structure.pbc):
        if (vacuum := _vacuum(structure, axis)) > _VACUUM:
            structure.pbc[axis] = False
            notes.append(f"{vacuum:.1f} Å of vacuum along axis {'abc'[axis]}: not repeated there")
    group = None
    if structure.pbc.all() and len(atoms) > _MOST_FOR_SYMMETRY:
        notes.append(f"no search for symmetry among {len(atoms)} atoms")
    elif structure.pbc.all():
        try:
            of_places = space_group(structure, _SYMPREC)
            alike = (structure.numbers == atoms.numbers).all()
            group = of_places if alike else space_group(atoms, _SYMPREC)
        except ValueError:
            notes.append("spglib finds no symmetry")
        else:
            if of_places in CLASS_OF_SPACE_GROUP or len(structure) < SMALLEST:
                cell = conventional_cell(structure, _SYMPREC)
                replicas = supercell_replicas(cell)
                notes.append(f"standard cell of {_count(cell)}, repeated {'×'.join(map(str, replicas))}")
                if of_places not in CLASS_OF_SPACE_GROUP:
                    notes.append(
                        "its symmetry is that of no class: a distorted crystal of one need not stand as the class does"
                    )
                return Prepared(cell.repeat(replicas), cell, group, notes)
    notes.append("no cell of a class: taken as it is, in whatever orientation")
    # The periodic axes of a slab or wire; a supercell with many vacancies would only repeat its own noise.
    given = len(structure)
    while structure.pbc.any() and (not structure.pbc.all() or given < SMALLEST) and len(structure) < N_ATOMS / 2:
        axis = min(np.flatnonzero(structure.pbc), key=lambda axis: structure.cell.lengths()[axis])
        structure = structure.repeat([2 if i == axis else 1 for i in range(3)])
    if len(structure) > given:
        notes.append(f"repeated along its periodic axes to {_count(structure)}")
    places = len(structure)
    structure = structure[distinct_places(structure.positions)]
    if places > len(structure):
        notes.append(f"{_count(structure)}, of {places}, in places of their own: of atoms that coincide one is kept")
    together = _largest_piece(structure.positions)
    if len(together) < len(structure):
        notes.append(f"it is in pieces: the largest, of {_count(together)}, is looked at")
        structure = structure[together]
    if len(structure) > LARGEST:
        structure = _middle(structure)
        notes.append(f"cut to {_count(structure)} in a sphere around its middle")
    if len(structure) < SMALLEST:
        notes.append(f"{_count(structure)} are too few for a crystal")
    return Prepared(structure, None, group, notes)


def _partly_occupied(atoms):
    """Whether a CIF said so; ASE keeps its occupancies as {site: {element: share}}."""
    sites = atoms.info.get("occupancy")
    shares = [site for site in sites.values() if isinstance(site, dict)] if isinstance(sites, dict) else []
    return any(share < 1 for site in shares for share in site.values())


def _vacuum(atoms, axis):
    """Width of the widest gap between atoms along a cell vector, at right angles to the other two, angstrom."""
    cell = atoms.cell.complete()
    places = np.sort(cell.scaled_positions(atoms.positions)[:, axis] % 1)
    height = 1 / np.linalg.norm(cell.reciprocal()[axis])
    return np.diff(places, append=places[0] + 1).max() * height


def _count(atoms):
    return f"{len(atoms)} atom{'s' if len(atoms) > 1 else ''}"


def distinct_places(positions: np.ndarray) -> np.ndarray:
    """Return the indices, in order, of atoms no two of which are closer than 0.1 angstrom: of those that coincide, the first."""
    _, places = np.unique(positions, axis=0, return_index=True)  # many on one spot would make all pairs
    places.sort()
    pairs = cKDTree(positions[places]).query_pairs(0.1, output_type="ndarray")
    return np.delete(places, pairs[:, 1])


def _middle(atoms):
    """Return the LARGEST atoms that are nearest to one in the middle."""
    tree = cKDTree(atoms.positions)
    _, at_middle = tree.query(np.median(atoms.positions, axis=0))
    _, nearest = tree.query(atoms.positions[at_middle], k=LARGEST)
    sphere = atoms[np.sort(nearest)]
    sphere.pbc = False
    return sphere


def _thickness(positions):
    """Standard deviation of the positions along their shortest principal axis, angstrom."""
    centred = positions - positions.mean(axis=0)
    return np.sqrt(np.linalg.eigvalsh(centred.T @ centred / len(centred))[0].clip(0))


def _largest_piece(positions):
    """Indices of the atoms of the largest piece: between pieces there is an empty layer, three neighbour distances wide."""
    if len(positions) < 2:
        return np.arange(len(positions))
    step = 3 * np.median(cKDTree(positions).query(positions, k=2)[0][:, 1])
    boxes, box = np.unique(np.floor(positions / step).astype(int), axis=0, return_inverse=True)
    first, second = cKDTree(boxes).query_pairs(1.8, output_type="ndarray").T  # that touch, at a corner too
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(boxes),) * 2)
    _, piece = connected_components(links, directed=False)
    piece = piece[box.ravel()]
    return np.flatnonzero(piece == np.bincount(piece).argmax())


@cache
def load_network(name: str = "compact"):
    """Load a network that travels with the package, and its entry in the model card.

    Parameters
    ----------
    name : {"compact", "any_orientation", "table_1"}
        "compact" looks at fingerprints of `GEOMETRY`, "any_orientation" at spectra; their eighth output is "none of the seven".
        "table_1" is the network of the paper, trained on perfect crystals.

    Returns
    -------
    network : keras.Model
    card : dict
    """
    from xtalsight import networks  # not above: TensorFlow takes seconds, and a wrong file name should not wait for it

    card = load_json(WEIGHTS / "model_card.json")[name]
    return networks.load(WEIGHTS / f"{name}.keras"), card


def is_accepted(probabilities: np.ndarray, card: dict, n_atoms: int) -> bool:
    """Whether an answer is given: probable enough, (8,), for the network of this card, and of atoms enough."""
    return bool(not is_refused(probabilities[None], card["thresholds"])[0] and n_atoms >= SMALLEST)


def classify(atoms: Atoms) -> dict:
    """Name the class of a structure, or refuse.

    Returns
    -------
    dict
        ``class`` (the most probable of the seven), ``probability``, ``probabilities`` (by class, and of "none"), ``verdict``
        ("one of the seven", or "none of the seven" where the probability is below the threshold of its class or
        there are fewer than `SMALLEST` atoms), ``spacegroup`` (by spglib, None if not determined), ``n_atoms`` (of what
        was looked at), ``notes``.

    Raises
    ------
    ValueError
        As `prepare`, or the structure can have no fingerprint.
    """
    prepared = prepare(atoms)
    scale = length_scale(prepared.cluster, GEOMETRY.scale)
    standard = prepared.cell is not None
    image = fingerprint(prepared.cluster, GEOMETRY) if standard else spectrum(prepared.cluster)
    from xtalsight.networks import predict

    network, card = load_network("compact" if standard else "any_orientation")
    (probabilities,) = predict(network, image[None], mirrored=standard)
    best = int(probabilities[: len(CLASSES)].argmax())
    accepted = is_accepted(probabilities, card, len(prepared.cluster))
    if not standard and _thickness(prepared.cluster.positions) < _THINNEST * scale:
        accepted = False
        prepared.notes.append("flat or straight, some three layers of atoms at most: no crystal")
    return {
        "class": CLASSES[best],
        "probability": float(probabilities[best]),
        "probabilities": {name: float(p) for name, p in zip((*CLASSES, "none"), probabilities, strict=True)},
        "verdict": "one of the seven" if accepted else "none of the seven",
        "spacegroup": prepared.group,
        "n_atoms": len(prepared.cluster),
        "notes": [
            *prepared.notes,
            f"judged by its {'fingerprint in the standard orientation' if standard else 'spectra, which no rotation changes'}",
            f"length scale {scale:.2f} Å",
        ],
    }
