"""From a structure of any kind to the balls of atoms that are classified: one road for cells, slabs, wires and
clouds."""

from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import minkowski_reduce
from ase.neighborlist import natural_cutoffs, neighbor_list
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from vesin import NeighborList

BALL = 384
"""Number of atoms of the balls that are cut out of what is larger. Heat strains a smaller ball more; a larger one
takes longer."""

LARGEST = 512
"""Number of atoms of the largest cloud that is classified as it is: the largest that the network was trained on."""

SMALLEST = 24
"""Number of atoms of the smallest clouds that the networks were trained on: what is smaller is refused."""

MOST_BALLS = 12
"""Balls that are classified of one structure at most."""

SPACING = 2.7
"""Distance of neighbours, about, to which every structure is scaled (angstrom): then its unit, nanometres say, does
not matter."""

_COPPER = 29  # what every atom of `Prepared.crystal` is taken for
_LIGHT = 17  # atomic number of the heaviest ligand: chlorine
_MOST_WITH_LIGANDS = 50_000
OFF_CENTRE = 0.25
"""Largest distance from the middle of a ball inside a cloud to the mean of its atoms, in radii; half a ball has 3/8."""

_LONGEST = 20.0  # spacings; a ball of a chain of atoms reaches no farther
_TIGHT = 0.07  # of the spacing: atoms that are closer are one


class Prepared(NamedTuple):
    """What `prepare` returns."""

    balls: list[Atoms]
    """What is classified, without cell, scaled to `SPACING`: balls of `BALL` atoms, or the whole of a small cloud. The
    array ``place`` is the index, among the places of the structure, of what each atom repeats."""
    crystal: Atoms | None
    """The places of one cell of a crystal that is periodic in three directions, all copper, in the file's unit of
    length; else None."""
    elements: Atoms | None
    """The same places with their elements."""
    scale: float
    """Factor that took the file's lengths to those of the balls."""
    notes: list[str]
    """What was done."""


def prepare(atoms: Atoms) -> Prepared:
    """Cut the balls of atoms out of a structure by which it is classified.

    Of a crystal that is periodic in three directions, balls of `BALL` atoms of the endless crystal, however small,
    thin or skew its cell (one of as many atoms as the cell has, where these are more than half of `BALL` and fewer
    than it); of a slab or wire, balls of its endless repetition along the periodic axes; of a cloud of
    atoms, its largest piece, whole if it has at most `LARGEST` atoms. Where there is room for more than one ball,
    several, far from each other. Terminal light atoms of a cloud (ligands) are left out, of atoms that coincide one is
    kept.

    Raises
    ------
    ValueError
        No atoms, positions that are not numbers, cell vectors in one plane or line, or no two atoms apart.
    """
    if len(atoms) == 0:
        raise ValueError("there are no atoms")
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise ValueError("positions and cell must be finite numbers")
    notes = []
    pbc = atoms.pbc & atoms.cell.any(axis=1)
    structure = Atoms(
        numbers=atoms.numbers, positions=atoms.positions, cell=np.where(pbc[:, None], atoms.cell.array, 0.0), pbc=pbc
    )
    structure = structure[_occupied(atoms, notes)]
    lattice = structure.cell.array[structure.pbc]
    lengths = np.linalg.norm(lattice, axis=1)
    if len(lattice) and np.linalg.matrix_rank(lattice / lengths[:, None], tol=1e-12) < len(lattice):
        raise ValueError("the cell vectors lie in one plane or line")
    if not structure.pbc.any():
        structure = _without_ligands(structure, notes)
    spacing = _spacing(structure)
    if structure.pbc.all() and _is_dummy(structure, spacing):
        notes.append("the cell is smaller than its atoms allow: taken for none")
        structure.pbc = False
        structure = _without_ligands(structure, notes)
        spacing = _spacing(structure)
    structure = _reduced(structure)
    places = len(structure)
    # Of atoms that nearly coincide the nearest is no neighbour, the fourth is one.
    closest = _TIGHT * (spacing if structure.pbc.all() else _nearest_distance(structure, 4))
    structure = structure[_distinct(structure, closest)]
    if places > len(structure):
        notes.append(f"{count(structure)}, of {places}, in places of their own: of atoms that coincide one is kept")
    spacing = _spacing(structure)
    nearest = _nearest_distance(structure) if structure.pbc.any() else spacing
    for axis in np.flatnonzero(structure.pbc):
        gap, begin = _vacuum(structure, axis, spacing, nearest)
        if gap > 0:
            structure.pbc[axis] = False
            # Folded into the cell, the body may lie on both sides of the gap.
            fractions = structure.cell.complete().scaled_positions(structure.positions)[:, axis]
            structure.positions -= np.floor(fractions - begin + 1e-9)[:, None] * structure.cell.array[axis]
            notes.append(f"{gap:.1f} Å without atoms along a cell vector: not repeated there")
    if not structure.pbc.all() and len(structure) > 1:
        spacing = _spacing(structure)
    scale = SPACING / spacing
    kinds = structure.numbers
    if kinds.min() < 0 or kinds.max() >= len(chemical_symbols):
        kinds = 1 + np.unique(kinds, return_inverse=True)[1]
    scaled = Atoms(
        numbers=kinds, positions=structure.positions * scale, cell=structure.cell.array * scale, pbc=structure.pbc
    )
    if scaled.pbc.all():
        balls = _balls_of_crystal(scaled)
        notes.append(f"{_number(balls, 'ball')} of {count(balls[0])} of the endless crystal classified")
        copper = np.full(len(structure), _COPPER)
        crystal = Atoms(numbers=copper, positions=structure.positions, cell=structure.cell, pbc=True)
        return Prepared(balls, crystal, structure, scale, notes)
    balls = _balls_of_cloud(scaled, notes)
    return Prepared(balls, None, None, scale, notes)


def count(atoms):
    """Return "1 atom", "2 atoms"."""
    return _number(atoms, "atom")


def _number(things, name):
    return f"{len(things)} {name}{'s' if len(things) != 1 else ''}"


def _occupied(atoms, notes):
    """Indices of the places that count: of those occupied in part, the ones that are occupied by half or more."""
    shares = atoms.arrays.get("occupancy")
    if shares is None:
        sites = atoms.info.get("occupancy")
        kinds = atoms.arrays.get("spacegroup_kinds")
        if not isinstance(sites, dict) or kinds is None:
            return np.arange(len(atoms))
        total = {str(site): sum(share.values()) for site, share in sites.items() if isinstance(share, dict)}
        shares = np.array([total.get(str(kind), 1.0) for kind in kinds])
    shares = np.nan_to_num(np.asarray(shares, float), nan=1.0)
    if (shares < 0.5).all():
        raise ValueError("all sites are occupied by less than half: make an ordered structure of it first")
    if (shares < 0.5).any():
        notes.append(f"{(shares < 0.5).sum()} places that are occupied by less than half are left out")
    if ((shares >= 0.5) & (shares < 0.95)).any():
        notes.append("places that are occupied in part, by half or more, are taken for full")
    return np.flatnonzero(shares >= 0.5)


def _without_ligands(atoms, notes):
    """A cloud less its light atoms that are bound to one other atom only, those that are then terminal too, and so on.

    The core is the element whose atoms have the most bonds.
    """
    elements = np.unique(atoms.numbers)
    if len(elements) < 2 or elements[0] < 1 or elements[0] > _LIGHT or len(atoms) > _MOST_WITH_LIGANDS:
        return atoms
    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.2))
    bonds = np.bincount(first, minlength=len(atoms))
    core = max(elements, key=lambda element: bonds[atoms.numbers == element].mean())
    light = (atoms.numbers <= _LIGHT) & (atoms.numbers != core)
    kept = np.arange(len(atoms))
    while True:
        inside = np.isin(first, kept) & np.isin(second, kept)
        bonds = np.bincount(first[inside], minlength=len(atoms))[kept]
        terminal = light[kept] & (bonds <= 1)
        if not terminal.any() or (~terminal).sum() < SMALLEST:
            break
        kept = kept[~terminal]
    if len(kept) < len(atoms):
        notes.append(f"{len(atoms) - len(kept)} light atoms at the ends of bonds are left out as ligands")
    return atoms[kept]


def _spacing(atoms):
    """Distance of neighbours, about, whatever the unit: of a crystal the cube root of the volume of an atom, else the
    median."""
    if atoms.pbc.all():
        return float((abs(np.linalg.det(atoms.cell.array)) / len(atoms)) ** (1 / 3))
    return _nearest_distance(atoms)


def _is_dummy(atoms, spacing):
    """Whether a cell cannot be that of its atoms: folded into it, they lie much closer than they do in the file, and
    than they can."""
    if len(atoms) < 3:
        return False
    apart = np.median(cKDTree(atoms.positions).query(atoms.positions, k=2)[0][:, 1])
    if spacing > 0.5 * apart:
        return False
    folded = cKDTree(atoms.cell.cartesian_positions(atoms.get_scaled_positions(wrap=True)))
    # Atoms of a crystal, folded, are no closer than 0.69 of the spacing (graphite); random points are, at 0.55 in the
    # mean.
    return np.median(folded.query(folded.data, k=2)[0][:, 1]) < min(0.5 * apart, 0.62 * spacing)


def _reduced(atoms):
    """The same structure with the shortest cell vectors, atoms folded into it: any two cells of one crystal become
    alike."""
    if not atoms.pbc.any():
        return atoms
    size = np.abs(atoms.cell.array[atoms.pbc]).max()
    cell, _ = minkowski_reduce(atoms.cell.array / size, atoms.pbc)
    reduced = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=cell * size, pbc=atoms.pbc)
    complete = reduced.cell.complete()
    fractions = complete.scaled_positions(reduced.positions)
    fractions[:, reduced.pbc] %= 1.0
    reduced.positions = complete.cartesian_positions(fractions)
    return reduced


def _distinct(atoms, closest):
    """Indices, in order, of atoms no two of which are closer than `closest`, across periodic walls too: of those that
    are, the first."""
    if not atoms.pbc.any():
        return distinct_places(atoms.positions, closest)
    cell = np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)
    # A list for a larger distance takes less time than one with as many cells as so small a distance has.
    neighbours = NeighborList(cutoff=max(closest, _within(atoms, 20 * closest)), full_list=False)
    first, second, apart = neighbours.compute(atoms.positions, cell, atoms.pbc, "ijd")
    return np.setdiff1d(np.arange(len(atoms)), np.maximum(first, second)[(first != second) & (apart <= closest)])


def distinct_places(positions: np.ndarray, closest: float = 0.1) -> np.ndarray:
    """Return the indices, in order, of points no two of which are closer than `closest`: of those that coincide, the
    first."""
    _, places = np.unique(positions, axis=0, return_index=True)  # many on one spot would make all pairs
    places.sort()
    pairs = cKDTree(positions[places]).query_pairs(closest, output_type="ndarray")
    return np.delete(places, pairs[:, 1])


# Planes of atoms in crystals of the elements lie closer than 3.1 neighbour distances, in graphite without van der
# Waals forces. A gap that is wider is a vacuum; so is one that is wider than the crystal's other spacings of planes
# and than the gap of a layered compound (1.25 in MoS2), unless it is twice as wide as the next: that is a plane
# missing, in a thin cell a vacancy.
_WIDEST, _WIDER, _WIDE, _MISSING = 3.3, 1.4, 1.35, (1.97, 2.03)


def _vacuum(atoms, axis, spacing, nearest):
    """Width of the gap without atoms along a cell vector, at right angles to the other two, angstrom, and the
    fraction where it ends.

    Both are 0 where there is none.
    """
    cell = atoms.cell.complete()
    height = 1 / np.linalg.norm(cell.reciprocal()[axis])
    places = np.sort(cell.scaled_positions(atoms.positions)[:, axis] % 1)
    every = np.diff(places, append=places[0] + 1) * height
    widest = int(every.argmax())
    found = every[widest], places[(widest + 1) % len(places)]
    gaps = np.sort(every[every > 0.1 * spacing])
    # Not the cube root of a volume that the vacuum is part of, nor the bond of a molecule.
    nearest = max(nearest, 0.6 * spacing)
    if len(gaps) and gaps[-1] > _WIDEST * nearest:
        return found
    if len(gaps) > 1 and gaps[-1] > max(_WIDE * nearest, _WIDER * gaps[-2]):
        low, high = _MISSING
        return (0.0, 0.0) if low < gaps[-1] / gaps[-2] < high else found
    return 0.0, 0.0


def _within(atoms, distance):
    """A distance, or a smaller one that reaches the nearest neighbours: vacuum makes the spacing of a cell many times
    theirs."""
    if len(atoms) < 2:
        return distance
    some = atoms.positions[:: 1 + len(atoms) // 512]
    apart = np.median(cKDTree(atoms.positions).query(some, k=2)[0][:, 1])
    return float(min(distance, 2 * apart)) if apart > 0 else distance


def _nearest_distance(atoms, k=1):
    """Median distance to the k-th nearest neighbour, images across the walls of a small cell included."""
    if k == 1 and atoms.pbc.all():
        neighbours = NeighborList(cutoff=_within(atoms, 1.5 * _spacing(atoms)), full_list=True)
        first, apart = neighbours.compute(atoms.positions, atoms.cell.array, atoms.pbc, "id")
        nearest = np.full(len(atoms), np.inf)
        np.minimum.at(nearest, first, apart)
        if np.isfinite(median := np.median(nearest)):
            return float(median)
    own = images = np.unique(atoms.positions, axis=0)
    for axis in np.flatnonzero(atoms.pbc):
        if len(images) < 5000:
            images = np.concatenate([images + n * atoms.cell.array[axis] for n in (0, -1, 1)])
    if len(images) < 2:
        raise ValueError("no length scale: there are no two atoms apart from each other")
    k = min(k, len(images) - 1)
    return float(np.median(cKDTree(images).query(own[:100_000], k=[k + 1])[0]))


def _balls_of_crystal(crystal):
    """Balls of the endless crystal, around atoms far from each other."""
    # Around different atoms of a small cell balls are cut differently; a large one fills one ball.
    is_large = len(crystal) >= BALL // 2
    n_atoms = min(BALL, len(crystal)) if is_large else BALL
    least = 1 if is_large else min(4, len(crystal))
    n_balls = int(np.clip(round(len(crystal) / BALL), least, MOST_BALLS))
    middles = crystal.positions[far_apart(crystal.positions, n_balls, crystal.cell)]
    return [_ball_of_crystal(crystal, middle, n_atoms) for middle in middles]


def _ball_of_crystal(crystal, middle, n_atoms):
    radius = 1.1 * (3 * n_atoms * crystal.get_volume() / len(crystal) / (4 * np.pi)) ** (1 / 3)
    heights = 1 / np.linalg.norm(crystal.cell.reciprocal().array, axis=1)
    nearest = crystal.cell.scaled_positions(crystal.positions - middle)
    nearest -= np.rint(nearest)
    while True:
        # Along an edge that is longer than the ball no atom is met twice: nothing to repeat, and few atoms are near.
        copies = np.where(heights > 2 * radius, 0, np.floor(radius / heights + 0.5)).astype(int)
        near = np.flatnonzero((np.abs(nearest) * heights <= radius)[:, copies == 0].all(axis=1))
        steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in copies), indexing="ij"), axis=-1).reshape(-1, 3)
        positions = crystal.cell.cartesian_positions((nearest[near] + steps[:, None]).reshape(-1, 3))
        inside = (positions**2).sum(axis=1) <= radius**2
        if inside.sum() >= n_atoms:
            places = np.tile(near, len(steps))[inside]
            return _nearest(positions[inside], places, crystal.numbers, np.zeros(3), n_atoms)
        radius *= 1.15


def _nearest(positions, places, numbers, middle, n_atoms=BALL):
    """The atoms nearest to a point, in their order: of all positions, each the image of a place that has a number."""
    distance = np.linalg.norm(positions - middle, axis=1)
    kept = np.sort(np.argsort(np.round(distance, 6), kind="stable")[:n_atoms])
    return _with_places(positions[kept], places[kept], numbers)


def _with_places(positions, places, numbers):
    atoms = Atoms(numbers=numbers[places], positions=positions)
    atoms.set_array("place", places)
    return atoms


def far_apart(positions, n, cell=None):
    """Return the indices of `n` points far from each other, beginning with the first: each the farthest from those
    before it."""
    step = 1 + len(positions) // 5000
    some = positions[::step]
    chosen, distance = [0], np.full(len(some), np.inf)
    for _ in range(n - 1):
        apart = some - some[chosen[-1]]
        if cell is not None:
            fractions = cell.scaled_positions(apart)
            apart = cell.cartesian_positions(fractions - np.rint(fractions))
        distance = np.minimum(distance, np.linalg.norm(apart, axis=1))
        chosen.append(int(distance.argmax()))
    return step * np.array(chosen)


def _balls_of_cloud(atoms, notes):
    """A small cloud whole; of a larger one, a slab or a wire, balls that lie inside it as far as it is thick."""
    positions, places = atoms.positions, np.arange(len(atoms))
    if atoms.pbc.any():
        positions, own = _repeated(atoms)
        places = np.resize(places, len(positions))
        notes.append("repeated along its periodic axes")
    else:
        together = _largest_piece(positions)
        if len(together) < len(positions):
            notes.append(f"it is in pieces: the largest, of {_number(together, 'atom')}, is classified")
            positions, places = positions[together], places[together]
        own = np.arange(len(positions))
        if len(positions) <= LARGEST:
            if len(positions) < SMALLEST:
                notes.append(f"{_number(positions, 'atom')} are too few for a crystal")
            return [_with_places(positions, places, atoms.numbers)]
    tree = cKDTree(positions)
    candidates = own[far_apart(positions[own], min(200, len(own)))]
    around = tree.query_ball_point(positions[candidates], _LONGEST * SPACING, return_length=True)
    n_atoms = min(BALL, int(around.max()))
    candidates = candidates[around >= n_atoms]  # not the end of a chain, nor an atom of a gas
    distance, near = tree.query(positions[candidates], k=n_atoms)
    off = np.linalg.norm(positions[near].mean(axis=1) - positions[candidates], axis=1) / distance[:, -1]
    inside = candidates[off <= OFF_CENTRE] if (off <= OFF_CENTRE).any() else candidates[[off.argmin()]]
    n_balls = int(np.clip(round(len(own) / BALL), 1, min(MOST_BALLS, len(inside))))
    if n_balls == 1:
        inside = candidates[[off.argmin()]]
    middles = positions[inside[far_apart(positions[inside], n_balls)]]
    balls = [_nearest(positions, places, atoms.numbers, middle, n_atoms) for middle in middles]
    notes.append(f"{_number(balls, 'ball')} of {count(balls[0])} classified")
    return balls


def _repeated(atoms):
    """Positions of a slab or wire, repeated along its periodic axes until a ball fits, and the indices of the first
    copy."""
    own = np.arange(len(atoms))
    # The ball holds BALL atoms of a disc or rod: as wide as that many atoms in one cell's cross section need.
    lengths = np.linalg.norm(atoms.cell.array, axis=1)
    axes = np.flatnonzero(atoms.pbc)
    if len(axes) == 1:
        reach = 0.6 * BALL / len(atoms) * lengths[axes[0]] + 2 * SPACING
        reach = max(reach, 6 * SPACING)
    else:
        area = np.linalg.norm(np.cross(*atoms.cell.array[axes]))
        reach = max(1.2 * np.sqrt(BALL * area / len(atoms) / np.pi), 6 * SPACING)
    reciprocal = np.linalg.norm(np.linalg.pinv(atoms.cell.array[axes]), axis=0)
    copies = np.minimum(np.ceil(reach * reciprocal).astype(int), 4000)
    ranges = [np.arange(-n, n + 1) for n in copies]
    steps = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, len(axes))
    steps = steps[np.argsort((steps**2).sum(axis=1), kind="stable")]  # the first copy first
    origins = steps @ atoms.cell.array[axes]
    extent = np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1).max()
    origins = origins[np.linalg.norm(origins, axis=1) <= reach + extent]
    return (origins[:, None] + atoms.positions).reshape(-1, 3), own


def _largest_piece(positions):
    """Indices of the atoms of the largest piece: between pieces there is an empty layer, three neighbour distances
    wide."""
    if len(positions) < 2:
        return np.arange(len(positions))
    step = 3 * np.median(cKDTree(positions).query(positions, k=2)[0][:, 1])
    boxes, box = np.unique(np.floor(positions / step).astype(int), axis=0, return_inverse=True)
    first, second = cKDTree(boxes).query_pairs(1.8, output_type="ndarray").T  # that touch, at a corner too
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(boxes),) * 2)
    _, piece = connected_components(links, directed=False)
    piece = piece[box.ravel()]
    return np.flatnonzero(piece == np.bincount(piece).argmax())


def thickness(positions: np.ndarray) -> float:
    """Return the standard deviation of positions along their shortest principal axis: small where a cloud is flat or
    straight."""
    centred = positions - positions.mean(axis=0)
    return float(np.sqrt(np.linalg.eigvalsh(centred.T @ centred / len(centred))[0].clip(0)))
