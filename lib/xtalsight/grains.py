"""Maps of large samples, atom by atom: which grain each atom belongs to, and what each grain is.

Balls of atoms are looked at around the middles of boxes some four neighbour distances high. Each has its waves
(`xtalsight.waves`); balls next to each other whose waves are alike belong to one grain. An atom belongs to the grain
near it whose waves carry it and its neighbours best, or to none. What a grain is, balls of its atoms say by the road of
`xtalsight.classify`.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from ase import Atoms
from ase.cell import Cell
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from xtalsight.boxes import all_boxes, blocks_of, near_block, sort_into_boxes, take_block, with_images, wrapped
from xtalsight.classify import Look, answers, look_at, prototype_files
from xtalsight.crystals import CLASSES
from xtalsight.lattices import (
    CELL,
    LATTICES,
    coincidence,
    colours,
    disorientation,
    euler_angles,
    fit_basis,
    orient,
    quaternions,
    reciprocal_basis,
    to_conventional,
)
from xtalsight.parallel import in_order
from xtalsight.preparation import MOST_BALLS, SMALLEST, SPACING, Prepared, far_apart
from xtalsight.waves import (
    MOST_GRAINS,
    N_WAVES,
    carried_by,
    compare_pairs,
    find_in_boxes,
    join_balls,
    keep_common,
    ride,
    settle,
    touching,
    turned,
)

BALL = 250
"""Number of atoms of the balls in which waves are looked for, in the median."""

BALL_OF_ANSWER = 192
"""Number of a grain's own atoms in each of the balls that say what it is. With half of the atoms missing they had 384
places, as many as the networks were trained on; larger balls are refused more often then."""

CARRIED = 0.33
"""Least score of an atom that belongs to a grain: of a quarter its own and three quarters that of its neighbours,
cosines of `xtalsight.waves`. Of atoms of hot crystals, displaced by 8 % of the neighbour distance, fewer than one in a
thousand has less; atoms of a melt beside a crystal have more in fewer than one in a hundred."""

LARGEST_TURN = 3.0
"""Degrees by which the mean orientations of two parts of one grain may differ."""

_SAMPLES = 512  # atoms around which it is measured how far others are
_SHELL = 13  # atoms in a sphere around one that reaches to its neighbours
_BLOCK = 8  # boxes along an edge of a block, the unit of parallel work
_ALIKE = 0.35  # of one over the radius: Bragg vectors that are one
_SHARE = 0.6  # of the power of two balls' waves that is common to balls of one grain
_STRAIN = 0.03  # of a Bragg vector, between neighbouring balls
_PURITY = 0.42  # least mean score of a ball's own atoms: 0.25 and less in melts, 0.6 and more in crystals at melting
_FRAGMENT = 4  # balls: fewer that are like a larger grain beside them are a piece of its boundary
_SHARE_OF_FRAGMENT = 0.45  # of the power of such a piece that is the larger grain's: of twins a third is common
_REACH = 0.37  # of the radius: some 13 atoms
_THICK = 20  # balls of the same grain, of the 26 around one, in the middle of a grain that is no lamella
_ALSO_CARRIED = 0.5  # score of an atom that belongs to a lamella as well as to what is beside it
_HEAVIEST = 118
_FARTHEST = 1e100  # angstrom: squares of what is farther overflow
_MOST_IN_BOX = 40 * BALL
_BALLS_OF_LATTICE = 64  # from which the lattice of a grain is averaged, at most
_TRIED = 8  # of them, for a basis that suits the class: others hold waves of grains beside


class Map(NamedTuple):
    """What `map_structure` returns."""

    grain: np.ndarray
    """Number of the grain of each atom, (n_atoms,) int32: 0 is the largest, -1 none: boundary, amorphous, liquid,
    foreign."""
    carried: np.ndarray
    """How well the waves of a grain carry the atom and its neighbours, (n_atoms,) float32: see `CARRIED`."""
    grains: pd.DataFrame
    """A row for each grain: ``class`` (of the seven, of its places; "none" of a compound that is none of them),
    ``prototype`` ("none" where it is refused), ``title``, ``confidence``, ``accepted`` (whether class or prototype is),
    ``reason`` (if not); ``atoms``, ``x, y, z`` (centre), ``volume_share``; ``lattice`` (Pearson's letters; of the
    places, whatever the elements), ``a, b, c`` (angstrom), ``alpha, beta, gamma`` (degrees) and ``a_error`` and so on
    (standard errors), ``strain`` (largest minus smallest principal one, relative to a cell that has the symmetry of the
    lattice) and ``strain_error``; orientation, from the sample's axes to the crystal's: ``qw, qx, qy, qz``, Bunge's
    ``phi1, Phi, phi2`` (degrees), and ``ipf_z``, its colour in the inverse pole figure of z."""
    neighbours: pd.DataFrame
    """A row for two grains that touch: ``grain, other, contacts`` (pairs of atoms), ``disorientation`` (degrees),
    ``axis``, ``name`` ("Σ3", or "")."""
    radius: float
    """Of the balls, angstrom."""


def length_scales(positions: np.ndarray, n_own: int | None = None, n_atoms: int = BALL) -> tuple[float, float]:
    """Return the radius of the sphere around an atom that holds `n_atoms` atoms, and the distance of neighbours,
    medians, angstrom.

    Of the first `n_own` atoms, of all without it; the others are images. Where there are fewer atoms around, or none
    beyond a gap, the radius is that of a sphere with the density of the nearest ones, about.
    """
    tree = cKDTree(positions, leafsize=32, balanced_tree=False, compact_nodes=False)
    x, y, z = np.transpose(positions[:n_own])
    along = x + np.sqrt(2) * y + np.sqrt(3) * z  # a direction in which hardly two atoms are at the same height
    ranks = np.unique(np.linspace(0, len(along) - 1, _SAMPLES).astype(int))
    some = positions[np.argpartition(along, ranks)[ranks]]  # whatever the order of the atoms
    distance = tree.query(some, k=[min(n, len(positions)) for n in (n_atoms, 2, _SHELL)])[0]
    radius, nearest, shell = np.median(distance, axis=0)
    return float(min(radius, 2 * (n_atoms / _SHELL) ** (1 / 3) * shell)), float(nearest)


def map_structure(
    atoms: Atoms, radius: float | None = None, network=None, n_jobs: int = -1, progress: bool = True
) -> Map:
    """Find the grains of a sample, what each is, and the grain of every atom.

    Parameters
    ----------
    atoms : Atoms
        Up to ten million atoms or more. Along periodic axes balls and waves go through the walls; the cell may have any
        shape and hand, and atoms may lie outside it.
    radius : float, optional
        Of the balls in which waves are looked for, angstrom. Without it, they hold `BALL` atoms. Smaller balls find
        smaller grains, larger ones tell smaller rotations apart.
    network : path, optional
        Folder of a network that ``xtalsight learn`` made; without it that of the free prototypes of AFLOW's library.
    n_jobs : int
        Number of processes; -1 takes every core. It does not change the map.
    progress : bool
        Whether to show bars.

    Raises
    ------
    ValueError
        Fewer than two atoms, positions that are not numbers, atoms in one place or too far apart, a radius that is not
        positive, or no such network.
    """
    prototype_files(network)
    boxes, radius, nearest = _boxes_of(atoms, radius)
    how = n_jobs, progress
    balls = _find_balls(boxes, radius, nearest, how)
    purity = _purity(balls)
    pairs, around = _pairs(boxes)
    part, turn, kept = _join(pairs, around, balls, purity, radius)
    reach = _REACH * radius
    of_row, carried = _assign(boxes, kept, part, reach, how)
    of_row, part = _by_size(of_row, part)
    inside = ((part[around] == part[:, None]) & (around >= 0) & (part >= 0)[:, None]).sum(axis=1)
    grains = _describe(atoms, boxes, balls, kept, purity, turn, part, inside, of_row, nearest, reach, network, how)
    neighbours = _neighbours(boxes, of_row, reach, grains)
    own = boxes.atom < boxes.n_given
    grain, ridden = np.empty(boxes.n_given, np.int32), np.empty(boxes.n_given, np.float32)
    grain[boxes.atom[own]], ridden[boxes.atom[own]] = of_row[own], carried[own]
    return Map(grain, ridden, grains.drop(columns=["rotation"]), neighbours, radius)


def annotate(atoms: Atoms, found: Map | None) -> Atoms:
    """Return a copy of the atoms with what the map says of each in ``arrays``: ``class, prototype, grain, confidence,
    accepted``.

    Class and prototype are "none" where there is no grain; without a map, nowhere is one.
    """
    result = atoms.copy()
    result.calc = atoms.calc
    none = {"class": "none", "prototype": "none", "confidence": 0.0, "accepted": False}
    for name in (*none, "grain"):
        result.arrays.pop(name, None)  # of an earlier map: an array keeps its type, and cuts longer names
    grain = np.full(len(atoms), -1) if found is None else found.grain
    for name, missing in none.items():
        values = np.array([*(() if found is None else found.grains[name]), missing])  # the last: of the grain -1
        result.arrays[name] = values[grain]  # not set_array, which would copy once more
    result.set_array("grain", grain.astype(int))
    return result


def shares_of_atoms(found: Map) -> dict[str, float]:
    """Return the share of the atoms of a map in accepted grains of each of `CLASSES` and of ``other`` prototypes, in
    ``refused`` grains, and ``without_grain``."""
    n = len(found.grain)
    accepted = found.grains.accepted.astype(bool)
    atoms = found.grains.atoms[accepted].groupby(found.grains["class"][accepted]).sum()
    shares = {name: float(atoms.get(name, 0)) / n for name in CLASSES}
    shares["other"] = float(atoms.get("none", 0)) / n
    shares["refused"] = float(found.grains.atoms[~accepted].sum()) / n
    return shares | {"without_grain": float((found.grain < 0).mean())}


def _boxes_of(atoms, radius):
    positions = atoms.positions
    if len(positions) < 2:
        raise ValueError("a map needs atoms, at least two")
    if not (np.abs(positions) < _FARTHEST).all() or not np.isfinite(atoms.cell.array).all():
        raise ValueError("a map needs positions and a cell that are finite numbers")
    if np.ptp(positions, axis=0).max() == 0:
        raise ValueError("a map needs atoms in places of their own: all of them are in one")
    pbc = atoms.pbc & atoms.cell.any(axis=1)
    measured, nearest = length_scales(with_images(positions, atoms.cell.array, pbc, BALL), len(positions))
    if not nearest > 1e-3 * measured:
        raise ValueError("a map needs atoms in places of their own: many of them coincide")
    radius = float(np.clip(measured, 3 * nearest, 12 * nearest)) if radius is None else radius
    if not 2 * nearest <= radius <= 12 * nearest:
        raise ValueError(f"{radius=} must lie between 2 and 12 times the distance of neighbours, {nearest:.3g} Å")
    boxes = sort_into_boxes(positions, atoms.cell.array, pbc, radius)
    if np.diff(boxes.start).max() > _MOST_IN_BOX:
        raise ValueError("a map needs atoms in places of their own: too many of them are in one")
    return boxes, radius, nearest


def _in_parallel(function, tasks, how, total, unit):
    """Results of the tasks, arguments and number of what they settle, in order; few are made ahead, so that memory
    stays flat."""
    n_jobs, progress = how
    sizes = []

    def calls():
        for size, *arguments in tasks:
            sizes.append(size)
            yield arguments

    with tqdm(total=total, unit=f" {unit}", desc="map", mininterval=1, disable=not progress) as bar:
        for i, result in enumerate(in_order(function, calls(), n_jobs)):
            yield result
            bar.update(sizes[i])


class _Balls(NamedTuple):
    """Waves of the ball in the middle of each box."""

    vectors: np.ndarray  # (n, N_WAVES, 3) float32, 1/angstrom
    amplitudes: np.ndarray  # (n, N_WAVES, 2) float32, real and imaginary part
    numbers: np.ndarray  # (n,) of waves

    @classmethod
    def empty(cls, n):
        return cls(np.zeros((n, N_WAVES, 3), np.float32), np.zeros((n, N_WAVES, 2), np.float32), np.zeros(n, np.int64))


def _find_balls(boxes, radius, nearest, how):
    blocks = blocks_of(boxes, _BLOCK)

    def tasks():
        for low, high in blocks:
            block = take_block(boxes, low, high, 1)
            inner = all_boxes(low, high).reshape(-1, 3)
            middles = boxes.middles(inner) - block.middle
            yield len(inner), block.points, block.first, np.c_[inner - low + 1, middles], radius, nearest

    n = int(boxes.shape.prod())
    balls = _Balls.empty(n)
    results = _in_parallel(_find_in_block, tasks(), how, n, "balls")
    for block, its in zip(blocks, results, strict=True):
        number = boxes.number(all_boxes(*block)).ravel()
        for all_values, values in zip(balls, its, strict=True):
            all_values[number] = values
    return balls


def _find_in_block(points, first, places, radius, nearest):
    balls = _Balls.empty(len(places))
    find_in_boxes(points, first, places, radius, nearest, *balls)
    return balls


def _purity(balls):
    """Mean score of the atoms of each ball by its own waves, sum |F|^2 / sum |F|: less in a ball of two crystals."""
    sizes = np.linalg.norm(balls.amplitudes.astype(float), axis=-1)
    return (sizes**2).sum(axis=1) / np.maximum(sizes.sum(axis=1), 1e-9)


def _join(pairs, around, balls, purity, radius):
    """Part of a grain, -1 for none, and orientation in it, of each ball; and the balls without foreign waves, as they
    are at boundaries."""
    pairs = pairs[(purity[pairs] >= _PURITY).all(axis=1)]
    vectors, powers = balls.vectors.astype(float), (balls.amplitudes.astype(float) ** 2).sum(axis=-1)
    tolerance = _ALIKE / radius
    alike = compare_pairs(pairs, vectors, powers, balls.numbers, tolerance)
    turns, angle = alike[:, 1:4].copy(), np.linalg.norm(alike[:, 1:4], axis=1)
    limit = np.radians(LARGEST_TURN)
    shared = alike[:, 0] >= _SHARE
    good = np.flatnonzero(shared & (alike[:, 4] <= _STRAIN) & (angle <= limit))
    good = good[np.argsort(angle[good], kind="stable")]
    root, turn = join_balls(
        pairs[good], turns[good], around, vectors, powers, balls.numbers, purity, tolerance, _SHARE, limit
    )
    _, part, size = np.unique(root, return_inverse=True, return_counts=True)
    dropped = size < 2
    if len(purity) == 1:  # of a small sample
        dropped = purity < _PURITY
    apart = part[pairs[:, 0]] != part[pairs[:, 1]]
    touch = part[pairs[apart & (alike[:, 0] >= _SHARE_OF_FRAGMENT)]].T
    for one, other in (touch, touch[::-1]):
        dropped[one[(size[one] < _FRAGMENT) & (size[other] >= _FRAGMENT)]] = True
    part = np.where(dropped[part], -1, part)
    both = pairs[~apart & (part[pairs[:, 0]] >= 0)]
    both = np.concatenate([both, both[:, ::-1]])
    both = both[np.lexsort((both[:, 1], -purity[both[:, 1]], both[:, 0]))]
    purest = both[np.unique(both[:, 0], return_index=True)[1]]
    purer = purest[purity[purest[:, 1]] > purity[purest[:, 0]]]
    kept = _Balls(*(values.copy() for values in balls))
    keep_common(purer, *kept, tolerance)
    return part, turn, kept


def _pairs(boxes):
    """Numbers of boxes that touch, at a corner too, (n, 2), and of each box those around it, -1 for none, (n_boxes,
    26)."""
    every = all_boxes((0, 0, 0), boxes.shape).reshape(-1, 3)
    around = []
    for step in all_boxes((-1, -1, -1), (2, 2, 2)).reshape(-1, 3):
        if step.any():
            other, exist = wrapped(boxes, step, boxes.shape + step)
            around.append(np.where(exist, boxes.number(other), -1).ravel())
    around = np.stack(around, axis=1)
    own = np.arange(len(every))
    around[around == own[:, None]] = -1  # of a small cell a box may touch itself
    pairs = np.concatenate([np.stack([own, column], axis=1) for column in around.T[13:]])
    return pairs[pairs[:, 1] >= 0], around


def _assign(boxes, balls, part, reach, how):
    """Part of a grain and score of each atom, in the order of the boxes."""
    blocks = blocks_of(boxes, _BLOCK)
    rows = []  # of the blocks that are not back yet

    def tasks():
        for low, high in blocks:
            block = take_block(boxes, low, high, 2)
            wanted = np.where(block.inner, 2, near_block(boxes, block, low, high, reach))
            number, exist = wrapped(boxes, low - 2, high + 2)
            number = boxes.number(number)
            middles = (boxes.middles(all_boxes(low - 2, high + 2)) - block.middle).astype(np.float32)
            waves = [values[number] for values in balls]
            rows.append(block.rows[block.inner])
            arguments = middles, np.where(exist, part[number], -1), *waves, reach
            yield len(rows[-1]), block.points, block.first, wanted, *arguments

    grain, carried = np.empty(len(boxes.atom), np.int64), np.empty(len(boxes.atom), np.float32)
    for mine, score in _in_parallel(_assign_block, tasks(), how, len(boxes.atom), "atoms"):
        its = rows.pop(0)
        grain[its], carried[its] = mine, score.clip(0, 1)
    return grain, carried


def _assign_block(points, first, wanted, middles, part, vectors, amplitudes, numbers, reach):
    n = len(points)
    riders, scores = np.full((n, MOST_GRAINS), -1), np.zeros((n, MOST_GRAINS), np.float32)
    ride(points, first, wanted, middles, part, vectors, amplitudes, numbers, riders, scores)
    grain, carried = np.full(n, -1), np.zeros(n, np.float32)
    settle(points, first, wanted, riders, scores, reach, CARRIED, grain, carried)
    return grain[wanted == 2], carried[wanted == 2]


def _by_size(grain, part):
    """Grains of atoms and of balls numbered by size, the largest first; those of too few atoms are none."""
    counts = np.bincount(grain[grain >= 0], minlength=part.max() + 1)
    kept = np.flatnonzero(counts >= SMALLEST)
    number = np.full(len(counts) + 1, -1)  # the last: of -1
    number[kept[np.argsort(-counts[kept], kind="stable")]] = np.arange(len(kept))
    return number[grain], number[part]


def _describe(atoms, boxes, balls, kept, purity, turn, part, inside, grain, nearest, reach, network, how):
    """The table of grains, with a column of rotation matrices, from the sample to the crystal.

    `inside` is the number of boxes around each, of 26, whose balls are of the same part of a grain.
    """
    own = boxes.atom < boxes.n_given
    n = part.max(initial=-1) + 1
    by_part = np.split(np.argsort(part, kind="stable"), np.cumsum(np.bincount(part + 1, minlength=n + 1)))[1 : n + 1]
    numbers = atoms.numbers
    if numbers.min() < 0 or numbers.max() > _HEAVIEST:  # dummies are kinds, too
        numbers = 1 + np.unique(numbers, return_inverse=True)[1]
    sizes = np.bincount(grain[own] + 1, minlength=n + 1)[1:]
    tasks = (
        (1, _prepared(boxes, kept, grain, g, by_part[g], inside, sizes[g], numbers, nearest, reach)) for g in range(n)
    )
    looks = [*_in_parallel(_look, tasks, how, n, "grains")]
    said = iter(answers([look for look in looks if isinstance(look, Look)], network))
    rows = [_said(next(said)) if isinstance(look, Look) else _unanswered(look) for look in looks]
    rows = [
        row | _lattice(balls, purity, turn, by_part[g], inside, row["class"], row["accepted"])
        for g, row in enumerate(rows)
    ]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table["atoms"] = sizes
    table[["x", "y", "z"]] = _centres(boxes, grain, own, n)
    share = np.repeat(1 / np.diff(boxes.start).clip(1), np.diff(boxes.start))  # of its box, of each atom
    volumes = np.bincount(grain[own] + 1, weights=share[own], minlength=n + 1)
    table["volume_share"] = volumes[1:] / volumes.sum()
    numeric = [name for name in _COLUMNS if name not in _TEXT]
    table = table.astype(dict.fromkeys(numeric, float) | {"ipf_z": object, "atoms": int})
    table["rotation"] = [row["rotation"] for row in rows]
    known = table.rotation.notna().to_numpy()
    if known.any():
        rotations = np.stack(table.rotation[known].to_list())
        table.loc[known, ["qw", "qx", "qy", "qz"]] = quaternions(rotations)
        table.loc[known, ["phi1", "Phi", "phi2"]] = euler_angles(rotations)
        table.loc[known, "ipf_z"] = _hex(colours(rotations, table.lattice[known].to_list()))
    return table.rename_axis("grain")


def _hex(colours):
    return [f"#{bytes(rgb).hex()}" for rgb in np.rint(255 * colours).astype(np.uint8)]


_COLUMNS = [
    *("class", "prototype", "title", "confidence", "accepted", "reason", "atoms", "x", "y", "z", "volume_share"),
    *("lattice", *CELL, *(f"{name}_error" for name in CELL), "strain", "strain_error"),
    *("qw", "qx", "qy", "qz", "phi1", "Phi", "phi2", "ipf_z", "rotation"),
]
_TEXT = ("class", "prototype", "title", "accepted", "reason", "lattice", "ipf_z", "rotation")


def _middles(boxes, own, inside, size):
    """Boxes far from each other in the inner parts of a grain, around which its atoms are classified: (n, 3)."""
    inner = own[inside[own] >= 0.8 * inside[own].max()]
    n_balls = int(np.clip(round(size / BALL_OF_ANSWER), 1, min(MOST_BALLS, len(inner))))
    indices = np.stack(np.unravel_index(inner, boxes.shape), axis=-1)
    return indices[far_apart(boxes.middles(indices), n_balls)]


def _prepared(boxes, balls, grain, which, own, inside, size, numbers, nearest, reach):
    """Balls of a grain's own atoms, for `look_at`.

    Atoms at both faces of a thin grain, a lamella, belong to it as much as to its neighbours: it takes along those that
    its waves carry.
    """
    prepared, scale = [], SPACING / nearest
    is_thin = inside[own].max() < _THICK
    for middle in _middles(boxes, own, inside, size):
        block = take_block(boxes, middle, middle + 1, 2)
        is_own = grain[block.rows] == which
        if is_thin and is_own.any():
            ball = boxes.number(middle)
            n = balls.numbers[ball]
            near = cKDTree(block.points[is_own]).query(block.points, distance_upper_bound=reach)[0] < np.inf
            amplitudes = balls.amplitudes[ball, :n].view(np.complex64)[:, 0]
            is_own |= near & (carried_by(block.points, balls.vectors[ball, :n], amplitudes) > _ALSO_CARRIED)
        its = np.flatnonzero(is_own)
        distance = np.linalg.norm(block.points[its], axis=1)
        its = np.sort(its[np.argsort(distance.round(4), kind="stable")[:BALL_OF_ANSWER]])
        ball = Atoms(numbers[boxes.atom[block.rows[its]] % boxes.n_given], scale * block.points[its].astype(float))
        ball.set_array("place", np.arange(len(its)))
        prepared.append(ball)
    prepared.sort(key=len, reverse=True)
    return Prepared([ball for ball in prepared if len(ball) >= SMALLEST] or prepared[:1], None, None, scale, [])


def _look(prepared):
    try:
        return look_at(prepared)
    except ValueError as error:  # no length scale, for example
        return str(error)


def _unanswered(reason):
    none = dict.fromkeys(("class", "prototype", "title"), "none")
    return none | {"confidence": 0.0, "accepted": False, "reason": reason}


def _said(answer):
    """Columns of the answer for a grain."""
    prototype, is_class = answer["prototype"], answer["verdict"] == "one of the seven"
    is_prototype = prototype["verdict"] == "accepted"
    is_compound = is_prototype and not is_class
    return {
        "class": "none" if is_compound else answer["class"],
        "prototype": prototype["name"] if is_prototype else "none",
        "title": prototype["title"] if is_prototype else "none",
        "confidence": prototype["probability"] if is_compound else answer["probability"],
        "accepted": is_class or is_prototype,
        "reason": None if is_class or is_prototype else answer["reason"],
    }


def _lattice(balls, purity, turn, own, inside, name, is_sure):
    """Columns of the lattice of a grain, averaged over some of its balls."""
    best = own[np.lexsort((-purity[own], -inside[own]))][:_BALLS_OF_LATTICE]

    def waves(ball):
        n = balls.numbers[ball]
        return balls.vectors[ball, :n].astype(float), (balls.amplitudes[ball, :n].astype(float) ** 2).sum(axis=-1)

    bases = ((ball, reciprocal_basis(*waves(ball))) for ball in best[:_TRIED])
    first, basis = next(((ball, basis) for ball, basis in bases if basis is not None), (None, None))
    if basis is None:
        return {"rotation": None}
    turns = turn[best] - turn[first]
    fits = [fit_basis(turned(basis, its), *waves(ball)) for its, ball in zip(turns, best, strict=True)]
    fitted = [i for i, fit in enumerate(fits) if fit is not None]
    if not fitted:
        return {"rotation": None}
    together = np.mean([turned(fits[i], -turns[i]) for i in fitted], axis=0)
    matrix, bravais = to_conventional(together, name)
    if is_sure and bravais not in LATTICES.get(name, (bravais,)):
        return {"rotation": None}
    cells = [matrix @ np.linalg.inv(fits[i]).T for i in fitted]
    cells = [cell if np.linalg.det(cell) > 0 else -cell for cell in cells]
    parameters = np.array([Cell(cell).cellpar() for cell in cells])
    rotations, strains = zip(*(orient(cell, bravais) for cell in cells), strict=True)
    mean, n = parameters.mean(axis=0), len(cells)
    errors = parameters.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(6, np.nan)
    strain = orient(np.asarray(Cell.fromcellpar(mean)), bravais)[1]
    strain_error = np.std(strains, ddof=1) / np.sqrt(n) if n > 1 else np.nan
    rotation = Rotation.from_matrix(np.array(rotations)).mean().as_matrix()
    cell = dict(zip(CELL, mean, strict=True)) | {f"{key}_error": e for key, e in zip(CELL, errors, strict=True)}
    return {"lattice": bravais, **cell, "strain": strain, "strain_error": strain_error, "rotation": rotation}


def _centres(boxes, grain, own, n):
    """Mean position of each grain, (n, 3); along periodic axes the mean on the circle."""
    fractions = (boxes.positions[own] - boxes.origin) @ np.linalg.inv(boxes.vectors)
    index, centres = grain[own] + 1, np.empty((n, 3))
    for axis in range(3):
        if boxes.periodic[axis]:
            phases = 2 * np.pi * fractions[:, axis]
            sine, cosine = (np.bincount(index, f(phases), minlength=n + 1)[1:] for f in (np.sin, np.cos))
            centres[:, axis] = np.arctan2(sine, cosine) / (2 * np.pi) % 1
        else:
            counts = np.bincount(index, minlength=n + 1)[1:]
            centres[:, axis] = np.bincount(index, fractions[:, axis], minlength=n + 1)[1:] / counts.clip(1)
    return boxes.origin + centres @ boxes.vectors


def _neighbours(boxes, grain, reach, grains):
    """The table of grains that touch."""
    counts = {}
    for low, high in blocks_of(boxes, _BLOCK) if len(grains) > 1 else ():
        block = take_block(boxes, low, high, 1)
        touch = touching(block.points, block.first, grain[block.rows], reach)
        for pair, n in zip(*np.unique(touch, axis=0, return_counts=True), strict=True):
            counts[tuple(pair.tolist())] = counts.get(tuple(pair.tolist()), 0) + int(n)
    rotation, what = grains.rotation.to_list(), grains[["lattice", "class", "prototype"]].to_numpy(object)
    rows = []
    for one, other in sorted(counts):
        angle, axis, name = np.nan, "", ""
        if rotation[one] is not None and rotation[other] is not None:
            angle, along = disorientation(rotation[one], rotation[other], what[one][0], what[other][0])
            axis = " ".join(f"{x:.2f}" for x in along)
            if what[one][0][0] == "c" and (what[one] == what[other]).all():  # one lattice, so that places can coincide
                name = coincidence(rotation[one], rotation[other])
        rows.append((one, other, counts[one, other], angle, axis, name))
    return pd.DataFrame(rows, columns=["grain", "other", "contacts", "disorientation", "axis", "name"])
