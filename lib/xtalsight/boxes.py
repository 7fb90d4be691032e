"""Atoms sorted into a grid of boxes, through periodic walls: blocks of these are what one task is given of a large
sample."""

from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from ase.cell import Cell
from ase.geometry import minkowski_reduce

_FEW = 50_000  # boxes that may be, however few atoms there are
_MOST_EMPTY = 64  # and more for each one that holds atoms
_MOST_IMAGES = 20  # along an axis, to each side


class Boxes(NamedTuple):
    """What `sort_into_boxes` returns."""

    origin: np.ndarray
    """Corner of the grid, (3,), angstrom."""
    vectors: np.ndarray
    """Edges of the whole grid, rows of (3, 3), angstrom."""
    periodic: np.ndarray
    """Whether it repeats along each, (3,) bool."""
    shape: np.ndarray
    """Number of boxes along each, (3,) int."""
    start: np.ndarray
    """Of each box the index of its first atom, (n_boxes + 1,)."""
    atom: np.ndarray
    """Index of each atom in the order given, box by box, (n,)."""
    positions: np.ndarray
    """Positions box by box, inside the grid, (n, 3)."""
    n_given: int
    """Number of atoms given; those of a small cell are repeated, the first `n_given` are the cell's own."""

    def number(self, indices) -> np.ndarray:
        """Number of boxes (...) by their indices (..., 3) inside the grid."""
        return indices @ (self.shape[1] * self.shape[2], self.shape[2], 1)

    def middles(self, indices) -> np.ndarray:
        """Middles of boxes (..., 3), angstrom; beyond the grid those of images."""
        return self.origin + ((np.asarray(indices) + 0.5) / self.shape) @ self.vectors


class Block(NamedTuple):
    """Boxes low to high of a grid, with those around them."""

    points: np.ndarray
    """Atoms relative to `middle`, box by box, (n, 3) float32."""
    first: np.ndarray
    """Of each box the index of its first atom, (nx, ny, nz + 1)."""
    rows: np.ndarray
    """Row of each atom in `Boxes.positions`, (n,)."""
    middle: np.ndarray
    """Angstrom."""
    inner: np.ndarray
    """Whether each atom is in the boxes low to high, not around them, (n,) bool."""


def short_vectors(cell, pbc) -> np.ndarray:
    """Return short vectors, (3, 3), of the lattice of a cell; along axes without period, unit vectors across the
    others.

    Raises
    ------
    ValueError
        A periodic cell without volume.
    """
    vectors = np.where(pbc[:, None], np.asarray(cell, float), 0.0)
    if pbc.any():
        largest = np.abs(vectors).max()
        if np.linalg.matrix_rank(vectors[pbc], tol=1e-6 * largest) < pbc.sum():
            raise ValueError("a periodic cell needs vectors that are not zero and not in one plane or line")
        vectors = minkowski_reduce(vectors / largest, pbc)[0] * largest
    return np.asarray(Cell(vectors).complete())


def with_images(positions: np.ndarray, cell, pbc, n_atoms: int) -> np.ndarray:
    """Fold atoms into a periodic cell, and add the images around it: as far out as a sphere of `n_atoms` atoms reaches.

    Returns
    -------
    ndarray, shape (at least n, 3)
        The atoms in the order given, then images.

    Raises
    ------
    ValueError
        A periodic cell without volume.
    """
    pbc = np.asarray(pbc, bool)
    if not pbc.any():
        return np.asarray(positions, float)
    vectors = short_vectors(cell, pbc)
    fractions = np.asarray(positions, float) @ np.linalg.inv(vectors)
    fractions[:, pbc] %= 1.0
    extent = np.where(pbc, 1.0, np.ptp(fractions, axis=0))
    volume = np.abs(np.linalg.det(vectors)) * np.maximum(extent, 1e-9).prod()
    radius = (3 / (4 * np.pi) * volume * n_atoms / len(fractions)) ** (1 / 3)
    reach = np.minimum(radius * np.linalg.norm(np.linalg.inv(vectors), axis=0), _MOST_IMAGES)
    for axis in np.flatnonzero(pbc):
        images = [fractions]
        for step in range(1, int(np.ceil(reach[axis])) + 1):
            along = fractions[:, axis]
            images += [fractions[along + step < 1 + reach[axis]] + np.eye(3)[axis] * step]
            images += [fractions[along - step > -reach[axis]] - np.eye(3)[axis] * step]
        fractions = np.concatenate(images)
    return fractions @ vectors


def sort_into_boxes(positions: np.ndarray, cell, pbc, size: float) -> Boxes:
    """Sort atoms into boxes that are about `size` high.

    Parameters
    ----------
    positions : ndarray, shape (n, 3)
        Angstrom; those outside a periodic cell are folded into it.
    cell : ndarray, shape (3, 3)
        Of any shape and hand. Vectors along which it is not periodic do not matter.
    pbc : array of bool, shape (3,)
    size : float
        Height of the boxes, angstrom. A periodic cell that is less high than nine tenths of it is repeated.

    Raises
    ------
    ValueError
        A periodic cell without volume, or atoms so far apart that there would be too many boxes.
    """
    pbc = np.asarray(pbc, bool)
    vectors = short_vectors(cell, pbc)
    heights = 1 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    n_given = len(positions)
    repeats = np.where(pbc, np.ceil(0.9 * size / heights), 1).astype(int)
    if repeats.max() > 1:
        steps = all_boxes((0, 0, 0), repeats).reshape(-1, 3)
        positions = (np.asarray(positions) + (steps @ vectors)[:, None]).reshape(-1, 3)
        vectors, heights = vectors * repeats[:, None], heights * repeats
    fractions = np.asarray(positions, float) @ np.linalg.inv(vectors)
    low = np.where(pbc, 0.0, fractions.min(axis=0))
    extent = np.where(pbc, 1.0, fractions.max(axis=0) - low + 1e-9)
    fractions -= low
    fractions /= extent
    shape = np.maximum(np.rint(heights * extent / size), 1)
    if shape.prod() > _FEW + _MOST_EMPTY * len(positions) / 50:
        raise ValueError(
            "its atoms are too far apart for one map, or there is too much vacuum: map each piece by itself"
        )
    shape = shape.astype(int)
    fractions[:, pbc] %= 1.0
    origin, vectors = low @ vectors, vectors * extent[:, None]
    box = np.minimum((fractions * shape).astype(np.int32), shape - 1) @ (shape[1] * shape[2], shape[2], 1)
    atom = np.argsort(box, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(box, minlength=shape.prod()))])
    return Boxes(origin, vectors, pbc, shape, start, atom, origin + fractions[atom] @ vectors, n_given)


def blocks_of(boxes: Boxes, edge: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut the grid into blocks of at most `edge` boxes along each axis: first box and the one beyond the last, of
    each."""
    cuts = [np.linspace(0, n, int(np.ceil(n / edge)) + 1).astype(int) for n in boxes.shape]
    return [tuple(np.transpose(edges)) for edges in product(*map(pairwise, cuts))]


def wrapped(boxes: Boxes, low, high) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the boxes low to high, images folded into the grid, and whether each exists: (nx, ny, nz, 3), (nx, ny,
    nz)."""
    indices = all_boxes(low, high)
    return indices % boxes.shape, (boxes.periodic | ((indices >= 0) & (indices < boxes.shape))).all(axis=-1)


def all_boxes(low, high) -> np.ndarray:
    """Indices of the boxes low to high, (nx, ny, nz, 3)."""
    return np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)


def take_block(boxes: Boxes, low, high, halo: int) -> Block:
    """Take the atoms of the boxes low to high and of `halo` layers of boxes around them, images of periodic cells
    included."""
    outer_low, outer_high = np.asarray(low) - halo, np.asarray(high) + halo
    folded, exist = wrapped(boxes, outer_low, outer_high)
    index = boxes.number(folded)
    counts = np.where(exist, boxes.start[index + 1] - boxes.start[index], 0)
    ends = np.cumsum(counts)
    first = np.empty((*counts.shape[:2], counts.shape[2] + 1), np.int64)
    first[..., :-1] = (ends - counts.ravel()).reshape(counts.shape)
    first[..., -1] = ends.reshape(counts.shape)[..., -1]
    # Row of each atom: that of its box' first, and on from there.
    flat = counts.ravel()
    rows = np.repeat(boxes.start[index.ravel()] - (ends - flat), flat) + np.arange(ends[-1])
    cells = all_boxes(outer_low, outer_high) // boxes.shape
    middle = boxes.middles((np.asarray(low) + np.asarray(high) - 1) / 2)
    points = boxes.positions[rows] - middle
    if boxes.periodic.any():
        points += np.repeat((cells.reshape(-1, 3) * boxes.periodic) @ boxes.vectors, flat, axis=0)
    is_inner = np.zeros(counts.shape, bool)
    is_inner[tuple(slice(halo, n - halo) for n in counts.shape)] = True
    return Block(points.astype(np.float32), first, rows, middle, np.repeat(is_inner.ravel(), flat))


def near_block(boxes: Boxes, block: Block, low, high, reach: float) -> np.ndarray:
    """Whether each atom of a block lies in the boxes low to high or within `reach` of them, (n,) bool."""
    inverse = np.linalg.inv(boxes.vectors / boxes.shape[:, None])
    margin = reach * np.linalg.norm(inverse, axis=0)
    return (np.abs(block.points @ inverse) <= (np.asarray(high) - low) / 2 + margin).all(axis=1)
