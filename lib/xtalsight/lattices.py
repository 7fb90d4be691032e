"""The lattice of a grain by its waves: parameters, strain, orientation, and how it is turned against its neighbours.

Conventional cells are spglib's; groups of rotations are scipy's, point groups, Euler angles and colours orix's.
"""

import getpass
import os
import tempfile
from functools import cache
from importlib.util import find_spec
from itertools import combinations, product
from pathlib import Path

import numpy as np
import spglib
from ase.cell import Cell
from filelock import FileLock
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

LATTICES = {"fcc": ("cF",), "diam": ("cF",), "bcc": ("cI",), "sc": ("cP",), "bct_139": ("tI",), "bct_141": ("tI",)}
LATTICES |= {"hex/rh": ("hP", "hR")}
"""Bravais lattices of each class, by Pearson's letters."""

CELL = ("a", "b", "c", "alpha", "beta", "gamma")
"""Names of the parameters of a cell."""

_CANDIDATES = 24  # vectors of which three are tried as a basis
_INTEGER = 0.15  # a wave's indices may be this far from integers
_LEAST_SHARE = 0.9  # of the amplitudes that a basis indexes
_ALMOST = 0.06  # of the amplitudes, may be left out by a coarser basis: some waves that are noise
# Tolerances of spglib, in units of the cube root of the primitive cell's volume; the other is for what is none of the
# seven.
_TOLERANCES = (0.002, 0.004, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08)
_OTHERS = 0.03
# Last space group of each system, and its letter after Pearson.
_SYSTEMS = ((2, "a"), (15, "m"), (74, "o"), (142, "t"), (194, "h"), (230, "c"))
_HOLOHEDRIES = {"a": 2, "m": 10, "o": 47, "t": 123, "hR": 166, "hP": 191, "c": 221}  # a space group of each
_MOST_COINCIDENT = 29  # largest Sigma that is named
_BRANDON = 15.0  # degrees


def reciprocal_basis(vectors: np.ndarray, powers: np.ndarray) -> np.ndarray | None:
    """Return three vectors, rows of (3, 3), of which the waves are sums with integers; None if there are none.

    Of the bases made of waves, or of sums and differences of two, the coarsest that indexes almost as much of the
    amplitude as any, and nine tenths at least; of three, where these do not suffice. Of diamond, the waves of odd
    indices have a tenth: without them the lattice is another one. Of compounds, it is the lattice of the strong waves.

    Parameters
    ----------
    vectors : ndarray, shape (n, 3)
        Bragg vectors, 1/angstrom.
    powers : ndarray, shape (n,)
        |F|^2.
    """
    if len(vectors) < 3:
        return None
    vectors, share = np.asarray(vectors, float), np.sqrt(powers) / np.sqrt(powers).sum()
    apart = 0.25 * np.linalg.norm(vectors, axis=1).min()  # the difference of two alike is noise
    candidates = vectors
    for _ in range(2):
        sums = [(candidates[:, None] + sign * vectors).reshape(-1, 3) for sign in (1, -1)]
        candidates = _shortest(np.concatenate([candidates, *sums]), apart)
        triples = candidates[np.array(list(combinations(range(len(candidates)), 3)), int).reshape(-1, 3)]
        volumes = np.abs(np.linalg.det(triples))
        is_solid = volumes > 0.3 * np.linalg.norm(triples, axis=2).prod(axis=1)  # not in one plane
        triples, volumes = triples[is_solid], volumes[is_solid]
        indices = vectors @ np.linalg.inv(triples)
        indexed = (np.abs(indices - np.rint(indices)) < _INTEGER).all(axis=2) @ share
        if indexed.max(initial=0) >= _LEAST_SHARE:
            volumes[indexed < max(_LEAST_SHARE, indexed.max() - _ALMOST)] = 0
            basis = triples[np.where(volumes > 0.9 * volumes.max(), indexed, 0).argmax()]
            return basis if np.linalg.det(basis) > 0 else -basis
    return None


def _shortest(vectors, apart):
    """Of vectors, the shortest that are longer than `apart` and as far from each other; v and -v are one."""
    lengths = np.linalg.norm(vectors, axis=1).round(4)
    kept = np.empty((0, 3))
    for vector in vectors[np.argsort(lengths, kind="stable")[(lengths <= apart).sum() :]]:
        if (np.linalg.norm([kept - vector, kept + vector], axis=2) > apart).all():
            kept = np.vstack([kept, vector])
        if len(kept) == _CANDIDATES:
            break
    return kept


def fit_basis(basis: np.ndarray, vectors: np.ndarray, powers: np.ndarray) -> np.ndarray | None:
    """Fit reciprocal vectors (3, 3) to waves by least squares, from a basis nearby; None if too few waves have
    indices."""
    indices = vectors @ np.linalg.inv(basis)
    fits = (np.abs(indices - np.rint(indices)) < _INTEGER).all(axis=1)
    whole = np.rint(indices[fits])
    if len(whole) < 4 or np.linalg.matrix_rank(whole) < 3:
        return None
    weights = np.sqrt(powers[fits])[:, None]
    return np.linalg.lstsq(weights * whole, weights * vectors[fits], rcond=None)[0]


def to_conventional(basis: np.ndarray, name: str | None = None) -> tuple[np.ndarray, str]:
    """Return the matrix that takes the primitive cell of a reciprocal basis, rows, to the conventional one, and the
    lattice.

    Parameters
    ----------
    basis : ndarray, shape (3, 3)
        1/angstrom.
    name : str, optional
        Class of the crystal: the tightest of some tolerances at which spglib finds its lattice is taken.

    Returns
    -------
    matrix : ndarray, shape (3, 3)
    bravais : str
        Pearson's letters, "cF" for example.
    """
    cell = np.linalg.inv(basis).T
    edge = abs(np.linalg.det(cell)) ** (1 / 3)
    wanted = LATTICES.get(name)
    result = np.eye(3), "aP"
    for tolerance in _TOLERANCES if wanted else (_OTHERS,):
        try:
            data = spglib.get_symmetry_dataset((cell, [[0, 0, 0]], [1]), symprec=tolerance * edge)
        except spglib.SpglibError:  # it finds none
            continue
        system = next(letter for last, letter in _SYSTEMS if data.number <= last)
        result = np.linalg.inv(data.transformation_matrix).T, system + data.international[0].replace("A", "C")
        if wanted and result[1] in wanted:
            break
    return result


def ideal_cell(cell: np.ndarray, bravais: str) -> np.ndarray:
    """Return the cell, rows of vectors, that has the symmetry of a Bravais lattice and is nearest in its lengths: a
    along x."""
    a, b, c, alpha, beta, gamma = Cell(cell).cellpar()
    system = bravais[0]
    if system == "c":
        a = b = c = (a * b * c) ** (1 / 3)
    elif system in "th":
        a = b = np.sqrt(a * b)
    if system in "cto":
        alpha = beta = gamma = 90
    elif system == "h":
        alpha, beta, gamma = 90, 90, 120
    elif system == "m":
        alpha = gamma = 90
    return np.asarray(Cell.fromcellpar([a, b, c, alpha, beta, gamma]))


def orient(cell: np.ndarray, bravais: str) -> tuple[np.ndarray, float]:
    """Return the rotation that takes vectors of the sample to the axes of the crystal, (3, 3), and the strain.

    With the conventional cell A and the `ideal_cell` C, rows, A = C U P: U is the rotation, P the stretch, and the
    strain the largest minus the smallest principal value of P.
    """
    rotation, stretch = polar(np.linalg.solve(ideal_cell(cell, bravais), cell))
    return rotation, float(np.ptp(np.linalg.eigvalsh(stretch)))


def orix_lock() -> Path:
    """Return the path of the file that is locked while orix compiles: beside orix, if one may write there.

    Else it is one for each user: numba, too, then keeps what it compiles for each user.
    """
    folder = Path(find_spec("orix").origin).parent
    if os.access(folder, os.W_OK):
        return folder / ".xtalsight-compiles.lock"
    return Path(tempfile.gettempdir()) / f".xtalsight-compiles-{getpass.getuser()}.lock"


@cache
def compile_orix() -> None:
    """Import orix, and let it compile its functions, in one process at a time. Call it before any import of orix.

    Orix keeps universal functions (numba's `guvectorize`) on disk. If two processes compile one of them at once, the
    wrapper of one is kept with the function of the other, and from then on every import of orix is a segmentation
    fault (numba 0.68).
    """
    with FileLock(orix_lock(), mode=0o666):  # imported here, not above: it takes seconds
        from orix.quaternion import Rotation
        from orix.vector import Vector3d

        identity = Rotation.identity()
        ~identity * identity * Vector3d.xvector()  # conjugate, product, rotation: all that is compiled in this way


def point_group(bravais: str):
    """Return the point group of a Bravais lattice, an `orix.quaternion.Symmetry`."""
    compile_orix()
    from orix.quaternion.symmetry import get_point_group

    return get_point_group(_HOLOHEDRIES.get(bravais, _HOLOHEDRIES.get(bravais[0])))


def euler_angles(rotations: np.ndarray) -> np.ndarray:
    """Return the Bunge Euler angles phi1, Phi, phi2 of rotations from sample to crystal, (n, 3, 3): (n, 3), degrees."""
    compile_orix()
    from orix.quaternion import Rotation

    return np.degrees(Rotation.from_matrix(rotations).to_euler())


def quaternions(rotations: np.ndarray) -> np.ndarray:
    """Return the quaternions w, x, y, z, w not negative, of rotations (n, 3, 3): (n, 4)."""
    return Rotation.from_matrix(rotations).as_quat(canonical=True, scalar_first=True)


def colours(rotations: np.ndarray, bravais: list[str], direction=(0, 0, 1)) -> np.ndarray:
    """Return the colours, RGB from 0 to 1, (n, 3), of the inverse pole figure of a direction of the sample.

    Parameters
    ----------
    rotations : ndarray, shape (n, 3, 3)
        From sample to crystal.
    bravais : list of str
        Lattice of each.
    direction : sequence of float
    """
    compile_orix()
    from orix.plot import IPFColorKeyTSL
    from orix.quaternion import Orientation
    from orix.vector import Vector3d

    result = np.zeros((len(rotations), 3))
    names = np.array(bravais)
    for name in np.unique(names):
        its, group = names == name, point_group(name)
        key = IPFColorKeyTSL(group, direction=Vector3d(direction))
        result[its] = key.orientation2color(Orientation.from_matrix(rotations[its], symmetry=group))
    return result


def disorientation(one: np.ndarray, other: np.ndarray, bravais: str, its_bravais: str) -> tuple[float, np.ndarray]:
    """Return the smallest rotation that takes one crystal to another, whatever their symmetry: degrees, and its axis
    (3,).

    Parameters
    ----------
    one, other : ndarray, shape (3, 3)
        From sample to crystal.
    bravais, its_bravais : str
        Their lattices.
    """
    alike = _alike(one, other, bravais, its_bravais)
    alike = alike[np.abs(alike[:, 3]) > np.abs(alike[:, 3]).max() - 1e-9]
    # Of equal ones, that with the largest components first: in cubic crystals the axis is in the standard triangle.
    turns = Rotation.from_quat(alike).as_rotvec(degrees=True).round(6) + 0.0
    turn = turns[np.lexsort(turns.T[::-1])[-1]]
    angle = float(np.linalg.norm(turn))
    return angle, turn / angle if angle else np.array([0.0, 0.0, 1.0])


def _alike(one, other, bravais, its_bravais):
    """Quaternions (n, 4), x, y, z, w, of all rotations that take one crystal to another or back, by their symmetry."""
    mine, its = (_rotations(letters) for letters in (bravais, its_bravais))
    between = Rotation.from_matrix(other @ one.T)
    there = np.concatenate([(turn * between * mine).as_quat() for turn in its])
    return np.concatenate([there, there * (-1, -1, -1, 1)])


@cache
def _rotations(bravais):
    groups = {"a": "I", "m": "C2", "o": "D2", "t": "D4", "hR": "D3", "hP": "D6", "c": "O"}
    name = groups.get(bravais, groups.get(bravais[0]))
    return Rotation.identity(1) if name == "I" else Rotation.create_group(name)


def coincidence(one: np.ndarray, other: np.ndarray) -> str:
    """Return the name of the coincidence lattice of two cubic crystals, "Σ3" for example, or "" where there is none.

    Quaternions of integers whose squares sum up to Sigma times a power of two are its rotations; within 15 degrees over
    the root of Sigma of one of them the boundary has its name. Sigma is at most 29.

    Parameters
    ----------
    one, other : ndarray, shape (3, 3)
        From sample to crystal.

    References
    ----------
    H. Grimmer, Acta Cryst. A 30, 685 (1974), doi:10.1107/S056773947400163X. D. G. Brandon, Acta Metall. 14, 1479
    (1966), doi:10.1016/0001-6160(66)90168-4.
    """
    sigmas, rotations = _coincidences()
    cosines = np.abs(_alike(one, other, "cP", "cP") @ rotations.T).max(axis=0)
    relative = np.degrees(2 * np.arccos(cosines.clip(0, 1))) * np.sqrt(sigmas) / _BRANDON
    return f"Σ{sigmas[relative.argmin()]}" if relative.min() <= 1 else ""


@cache
def _coincidences():
    """Sigma of 3 to 29, and a unit quaternion of each rotation (n, 4), x, y, z, w."""
    # Of the rotations that are equal but for the symmetry of a cube, one has w >= x >= y >= z >= 0.
    of = {}
    for w, x, y, z in product(range(8), repeat=4):
        square = w * w + x * x + y * y + z * z
        if w >= x >= y >= z and square and np.gcd.reduce([w, x, y, z]) == 1:
            sigma = square // (square & -square)
            if 3 <= sigma <= _MOST_COINCIDENT:
                of[w, x, y, z] = sigma
    quaternions = np.array(list(of), float)[:, [1, 2, 3, 0]]
    return np.array(list(of.values())), quaternions / np.linalg.norm(quaternions, axis=1)[:, None]
