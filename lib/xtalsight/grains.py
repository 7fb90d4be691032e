"""Maps of polycrystals: which class a large cloud of atoms has, position by position, and its grains."""

import joblib
import numpy as np
import pandas as pd
from ase import Atoms
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from tqdm import tqdm

from xtalsight.classify import is_refused, load_network, load_prototypes, predict_groups
from xtalsight.crystals import CLASSES
from xtalsight.preparation import OFF_CENTRE, SMALLEST, distinct_places
from xtalsight.spectra import DEGREES, LARGEST_RADIUS, ON_RING, SHELLS, harmonics, of_places, power

_BLOCK = 6  # positions along an edge of a block, the unit of parallel work

# Degrees 2 to 8 tell how a crystal is turned, within some ten degrees, whatever its symmetry.
_ORIENTED = np.flatnonzero((DEGREES >= 2) & (DEGREES <= 8))
_N_ORIENTED = 2 * len(SHELLS[ON_RING]) * len(_ORIENTED) * (DEGREES[_ORIENTED[-1]] + 1)  # real and imaginary parts

ALIKE = 0.9
"""Least correlation of the diffraction at positions half a radius apart inside a grain. In one crystal it is above 0.95, with half
of the atoms missing, too; across a boundary it is 0.7 or less for a turn by 30 degrees, 0.84 to 0.88 by 15, wherever the two positions lie."""

BALL = 192
"""Number of atoms of the balls that are judged, in the median."""

_MOST_POSITIONS = 1_000_000  # of some 5 kB each, twice for a moment


def sphere_radius(positions: np.ndarray, n_atoms: int = BALL) -> float:
    """Return the radius of the sphere around an atom that holds `n_atoms` atoms in the median, angstrom."""
    order = np.lexsort(positions.T)  # that of the file must not matter
    some = positions[order[:: max(1, len(positions) // 500)]]
    k = min(n_atoms, len(positions))
    return float(np.median(cKDTree(positions).query(some, k=[k])[0]))


def map_structure(
    atoms: Atoms, radius: float | None = None, stride: float | None = None, n_jobs: int = -1, network=None
) -> pd.DataFrame:
    """Name the class at every position of a cloud of atoms, and find its grains.

    Spheres of atoms around the points of a cubic grid are judged one by one from their `xtalsight.spectra.power`. A position is
    inside a grain if the diffraction at all of its six neighbours half a radius away (the next ones of the grid, if it is not finer),
    not only its power, is like its own: the normalised product of the harmonics of degree 2 to 8 is at least `ALIKE`. Such positions
    that touch are a grain, which is one crystal, so that their probabilities are added up for its class; the others, at boundaries,
    go to the nearest grain.

    Parameters
    ----------
    atoms : Atoms
        Up to a million atoms or more. A cell is not looked at, and periodic images are not added: at the faces, spheres are cut.
        For the class the places count, not the elements; of atoms that coincide one is kept.
    radius : float, optional
        Of the spheres, angstrom. Without it, that of `sphere_radius`, which is large where atoms are missing.
    stride : float, optional
        Of the grid, angstrom; half the radius without it.
    n_jobs : int
        Number of processes; -1 takes every core. Neither it nor the order of the atoms changes a class.
    network : path, optional
        Folder of a network that ``xtalsight learn`` made: its prototypes are named, too, by the threshold alone. (Whether
        kinds have an order at all and composition fits, as `xtalsight.classify.classify` asks, is not asked.)

    Returns
    -------
    DataFrame
        A row for each position whose sphere is mostly within the cloud (at a face, less than a third may lie outside):
        ``i, j, k`` (on the grid), ``x, y, z`` (angstrom), ``n_atoms``; ``label, class, confidence, accepted``: class by the position alone, its probability and the verdict; ``grain``
        (0 is the largest; -1 where none is within a radius); ``boundary`` (not inside a grain); ``grain_label``, class by all
        inner positions of the grain (-1 without grain). With a network, ``prototype, prototype_probability,
        prototype_accepted`` by the position alone. ``attrs`` holds ``radius`` and ``stride``.

    Raises
    ------
    ValueError
        No atoms, positions that are not numbers, a radius or stride that is not positive, too large or too small, or no sphere
        with atoms enough within the cloud.
    """
    if not np.isfinite(atoms.positions).all():
        raise ValueError("a map needs positions that are finite numbers")
    if network is not None:
        answers, prototype_card = load_prototypes(network)  # if there is none, say so now
    places = distinct_places(atoms.positions)
    positions, kinds = atoms.positions[places], np.unique(atoms.numbers[places], return_inverse=True)[1]
    if network is None:
        kinds = np.zeros_like(kinds)
    if len(positions) < 2:
        raise ValueError("a map needs atoms, at least two, in places of their own")
    radius = sphere_radius(positions) if radius is None else radius
    stride = radius / 2 if stride is None else stride
    if not (0 < radius < np.inf and 0 < stride < np.inf):
        raise ValueError(f"{radius=} and {stride=} must be positive and finite")
    if radius > (largest := LARGEST_RADIUS * sphere_radius(positions, 2)):
        raise ValueError(
            f"{radius=} is too large: at most {largest:.3g} Å, {LARGEST_RADIUS:g} times the distance of neighbours"
        )
    grid, start = _positions_near(positions, radius, stride)
    tree = cKDTree(positions)
    counts = tree.query_ball_point(start + stride * grid, radius, workers=n_jobs, return_length=True)
    enough = counts >= SMALLEST
    if not enough.any():
        raise ValueError(f"no sphere of radius {radius:.3g} Å holds {SMALLEST} atoms: choose a larger radius")
    grid, counts = grid[enough], counts[enough]
    spectra, oriented, inside = _spectra(tree, kinds, grid, start, stride, radius, n_jobs)
    if not inside.any():
        raise ValueError(f"no sphere of radius {radius:.3g} Å lies within the cloud: choose a smaller radius")
    spectra, oriented, grid, counts = (values[inside] for values in (spectra, oriented, grid, counts))
    from xtalsight.networks import predict

    seven, card = load_network("any_orientation")
    known = np.isfinite(spectra).all(axis=(1, 2, 3))
    probabilities = np.zeros((len(grid), len(CLASSES) + 1), np.float32)
    probabilities[:, -1] = 1
    if known.any():
        probabilities[known] = predict(seven, of_places(spectra[known]))
    label = probabilities[:, : len(CLASSES)].argmax(axis=1)
    accepted = ~is_refused(probabilities, card["thresholds"])
    table = pd.DataFrame(grid, columns=["i", "j", "k"])
    table[["x", "y", "z"]] = start + stride * grid
    table["n_atoms"] = counts
    table["label"], table["class"] = label, np.array(CLASSES)[label]
    table["confidence"] = probabilities[np.arange(len(label)), label]
    table["accepted"] = accepted
    if network is not None:
        by_group = np.zeros((len(grid), len(prototype_card["groups"]) + 1), np.float32)
        if known.any():
            by_group[known] = predict_groups(answers, prototype_card, spectra[known])
        found = by_group[:, :-1].argmax(axis=1)
        table["prototype"] = np.array([group["name"] for group in prototype_card["groups"]])[found]
        table["prototype_probability"] = by_group[np.arange(len(found)), found]
        table["prototype_accepted"] = table.prototype_probability >= prototype_card["threshold"]
    table["grain"], table["boundary"] = _grains(grid, oriented, radius, stride)
    # A grain is one crystal: what its inner positions say together.
    inner = table[~table.boundary].grain.to_numpy()
    together = np.array([np.bincount(inner, weights=p) for p in probabilities[~table.boundary, : len(CLASSES)].T])
    table["grain_label"] = np.where(table.grain >= 0, together.argmax(axis=0)[table.grain] if len(inner) else -1, -1)
    table.attrs = {"radius": radius, "stride": stride}
    return table


def _half_radius(radius, stride):
    """Number of steps of the grid that make about half a radius."""
    return max(1, round(radius / 2 / stride))


def _positions_near(positions, radius, stride):
    """Grid points, in order, that have an atom near, (n, 3) int, and the place of (0, 0, 0): no grid between two clouds far apart."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    start = low + ((high - low) % stride) / 2
    # Of a fine grid, the points of all cubes of about half a radius that are nearest to some atom: else it would have holes.
    edge = _half_radius(radius, stride)
    cubes = np.unique(np.rint((positions - start) / (edge * stride)).astype(int), axis=0)
    if len(cubes) * edge**3 > _MOST_POSITIONS:
        raise ValueError(f"{stride=} makes {len(cubes) * edge**3:.1g} positions: choose a larger one")
    within = np.stack(np.meshgrid(*[np.arange(edge) - edge // 2] * 3, indexing="ij"), axis=-1)
    grid = (edge * cubes[:, None] + within.reshape(-1, 3)).reshape(-1, 3)
    return grid[np.lexsort(grid.T[::-1])], start


def _spectra(tree, kinds, grid, start, stride, radius, n_jobs):
    """Of the spheres around grid points: spectra, NaN where there is none; what tells their turn; whether they are within."""
    positions = tree.data
    blocks = [rows.to_numpy() for _, rows in pd.Series(range(len(grid))).groupby([*(grid // _BLOCK).T])]
    reach = radius + np.sqrt(3) / 2 * _BLOCK * stride

    def task(rows):
        centres = start + stride * grid[rows]
        near = np.sort(tree.query_ball_point((centres.min(axis=0) + centres.max(axis=0)) / 2, reach))
        return joblib.delayed(_spectra_of_block)(positions[near], kinds[near], centres, radius)

    # Few tasks are made ahead, so that memory stays flat.
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator", pre_dispatch="2*n_jobs")
    spectra = np.empty((len(grid), 2, len(SHELLS), len(DEGREES)), np.float32)
    oriented = np.empty((len(grid), _N_ORIENTED), np.float16)
    inside = np.empty(len(grid), bool)
    with tqdm(total=len(grid), unit=" positions", desc="map", mininterval=1) as progress:
        for rows, results in zip(blocks, parallel(map(task, blocks)), strict=True):
            spectra[rows], oriented[rows], inside[rows] = results
            progress.update(len(rows))
    return spectra, oriented, inside


def _spectra_of_block(positions, kinds, centres, radius):
    spectra = np.full((len(centres), 2, len(SHELLS), len(DEGREES)), np.nan, np.float32)
    oriented = np.zeros((len(centres), _N_ORIENTED), np.float16)
    is_inside = np.zeros(len(centres), bool)
    for i, ball in enumerate(cKDTree(positions).query_ball_point(centres, radius)):
        ball = np.sort(ball)
        off_centre = np.linalg.norm(positions[ball].mean(axis=0) - centres[i])
        is_inside[i] = off_centre <= OFF_CENTRE * radius
        if not is_inside[i]:
            continue
        try:
            coefficients = harmonics(Atoms(1 + kinds[ball], positions[ball]))
        except ValueError:  # no length scale, for example
            continue
        spectra[i] = power(coefficients)
        # Orders m and -m count alike.
        some = (
            coefficients[0, ON_RING][:, _ORIENTED, : 2 * len(_ORIENTED) + 1]
            * np.r_[1, np.full(2 * len(_ORIENTED), np.sqrt(2))]
        )
        some = some.ravel()
        oriented[i] = np.concatenate([some.real, some.imag]) / np.linalg.norm(some)
    return spectra, oriented, is_inside


def _grains(grid, oriented, radius, stride):
    """Connected regions of grid points: number of each point's grain, and whether it lies at a boundary."""
    far = _half_radius(radius, stride)
    extent = np.ptp(grid, axis=0) + 1 + far
    place = np.ravel_multi_index(tuple((grid - grid.min(axis=0)).T), extent)  # sorted, as the grid is

    def pairs(n):
        """Indices of points that lie n steps apart along an axis, (2, n_pairs)."""
        both = []
        for axis in range(3):
            step = n * int(np.prod(extent[axis + 1 :]))
            found = np.minimum(np.searchsorted(place, place + step), len(place) - 1)
            here = np.flatnonzero(place[found] == place + step)
            both.append((here, found[here]))
        return np.concatenate(both, axis=1)

    first, second = pairs(far)
    alike = [
        np.einsum("ij,ij->i", oriented[a].astype(np.float32), oriented[b].astype(np.float32)) >= ALIKE
        for a, b in zip(*(np.array_split(ends, 1 + len(ends) // 4096) for ends in (first, second)), strict=True)
    ]
    alike = np.concatenate(alike)
    boundary = ~oriented.any(axis=1)  # where there are no harmonics
    boundary[first[~alike]] = boundary[second[~alike]] = True
    first, second = pairs(1)
    joined = ~boundary[first] & ~boundary[second]
    links = coo_array((np.ones(joined.sum()), (first[joined], second[joined])), shape=(len(grid), len(grid)))
    _, component = connected_components(links, directed=False)
    inside = np.flatnonzero(~boundary)
    grain = np.full(len(grid), -1)
    if len(inside):
        distance, nearest = cKDTree(grid[inside]).query(grid)
        grain = np.where(stride * distance <= radius, component[inside][nearest], -1)
    # The largest first; of equal ones, the one that holds the first point.
    numbers, sizes = np.unique(grain[grain >= 0], return_counts=True)
    rank = np.full(len(grid) + 1, -1)
    rank[numbers[np.argsort(-sizes, kind="stable")]] = np.arange(len(numbers))
    return rank[grain], boundary


def nearest_position(atoms: Atoms, table: pd.DataFrame) -> np.ndarray:
    """Return for each atom the row of `map_structure`'s table whose position is nearest: (n_atoms,) int."""
    return cKDTree(table[["x", "y", "z"]].to_numpy()).query(atoms.positions)[1]
