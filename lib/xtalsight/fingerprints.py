"""The two-dimensional diffraction fingerprint of Ziletti et al. (2018).

An image has axes (row = detector y, column = detector x, channel); no axis is flipped. The centre of the beam lies
between the four central pixels. Channels R, G, B come from turning the crystal by -45 and +45 degrees about x, y, z.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
from ase import Atoms
from ase.data import chemical_symbols
from scipy.ndimage import gaussian_filter1d
from vesin import NeighborList

from xtalsight.scattering import MirroredVectors, amplitude, form_factor, mirrored_intensity, mirrored_vectors

# The reference looks for neighbours within 2 (c + 0.1) angstrom, c = 4, 5, 7, ...
_SEARCH_RADII = tuple(2 * (c + 0.1) for c in (4.0, 5.0, 7.0, 9.0, 11.0, 12.0))
_LARGEST_EXTENT = 1e5  # angstrom; the neighbour search fails without a message at much more

ORIENTATIONS = ((0, -45.0), (0, 45.0), (1, -45.0), (1, 45.0), (2, -45.0), (2, 45.0))
"""(axis, angle in degrees) of the six patterns, in order."""


@dataclass(frozen=True)
class DiffractionGeometry:
    """Source and detector.

    Parameters
    ----------
    wavelength : float
        Angstrom, in units in which the `length_scale` is 1 angstrom.
    distance : float
        From sample to detector, metres.
    pixel_size : float
        Edge of a square pixel, metres.
    n_pixels : int
        Pixels along an edge of the detector.
    reference_quirks : bool
        True gives the image of the reference code: the form factor of the element two places further in the periodic
        table (Fe scatters as Ni) and a solid angle with half the distance from the centre. False gives the physics of
        the paper's Eq. 1.
    scale : {"nearest_neighbour", "powder"}
        What `length_scale` measures. The first is the reference's; displacements shrink it and vacancies stretch it.
        The second follows the first peak of the powder pattern, which neither moves as long as it can be seen.
    """

    wavelength: float = 0.05
    distance: float = 0.1
    pixel_size: float = 4e-4
    n_pixels: int = 64
    reference_quirks: bool = True
    scale: str = "nearest_neighbour"

    def __post_init__(self):
        lengths = (self.wavelength, self.distance, self.pixel_size)
        if not all(0 < length < np.inf for length in lengths):
            raise ValueError(f"wavelength, distance and pixel size must be positive and finite: {self}")
        if self.n_pixels != int(self.n_pixels) or self.n_pixels < 8:
            raise ValueError(f"{self.n_pixels=} must be a whole number of at least 8")
        _check_scale(self.scale)

    @property
    def ring_radii(self) -> tuple[float, float]:
        """Inner and outer radius of the ring of pixels that count: 5n/32 and n/2 - n/32, in pixels."""
        return 5 * self.n_pixels / 32, self.n_pixels / 2 - self.n_pixels / 32

    @property
    def ring(self) -> np.ndarray:
        """Pixels that count, (n_pixels, n_pixels) bool: those between the `ring_radii`."""
        inner, outer = self.ring_radii
        x, y = self._detector_plane()
        radius_squared = (x**2 + y**2) / self.pixel_size**2
        # Distances in pixels are half-integer: rounding removes what the pixel size brought in.
        radius_squared = np.round(radius_squared, 6)
        return (radius_squared > inner**2) & (radius_squared < outer**2)

    @property
    def scattering_vectors(self) -> np.ndarray:
        """Scattering vectors (n_pixels, n_pixels, 3) of the detector, 1/angstrom, beam along +z.

        s = (X / R, Y / R, L / R - 1) / wavelength with R^2 = X^2 + Y^2 + L^2: on the Ewald sphere, not on a plane.
        """
        x, y = self._detector_plane()
        r = np.sqrt(x**2 + y**2 + self.distance**2)
        return np.stack([x / r, y / r, self.distance / r - 1], axis=-1) / self.wavelength

    @property
    def solid_angle(self) -> np.ndarray:
        """Solid angle of each pixel (n_pixels, n_pixels), steradian.

        The reference's is not quite symmetric under a turn by 90 degrees (2e-4 of itself).
        """
        x, y = self._detector_plane()
        p, distance = self.pixel_size, self.distance
        if not self.reference_quirks:
            return p**2 * distance / (x**2 + y**2 + distance**2) ** 1.5
        x, y = x / 2, y / 2
        r = np.sqrt(distance**2 + x**2 + y**2)

        def projected(dx, dy):
            corner = np.stack([x + dx * p / 2, y + dy * p / 2], axis=-1)
            return corner * (r / np.sqrt(distance**2 + np.sum(corner**2, axis=-1)))[..., None]

        top_left, top_right, bottom_left = projected(-1, -1), projected(1, -1), projected(-1, 1)
        width = np.linalg.norm(top_left - top_right, axis=-1)
        return width * np.linalg.norm(top_left - bottom_left, axis=-1) / r**2

    def _detector_plane(self):
        """X (columns) and Y (rows) of the pixel centres, metres."""
        centred = (np.arange(self.n_pixels) - (self.n_pixels - 1) / 2) * self.pixel_size
        return np.meshgrid(centred, centred)


def rotation(axis: int, angle: float) -> np.ndarray:
    """Return the matrix M of the reference that turns scattering vectors, s' = M s (the atoms turn by its transpose).

    Parameters
    ----------
    axis : int
        0, 1, 2 for x, y, z. The sense about y is opposite to that about x and z, as in the reference.
    angle : float
        Degrees.
    """
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array(
        [
            [[1, 0, 0], [0, c, s], [0, -s, c]],
            [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            [[c, s, 0], [-s, c, 0], [0, 0, 1]],
        ][axis]
    )


class _Ring(NamedTuple):
    """What depends on the geometry only, over the n pixels of the ring.

    The detector is square and centred, so that all pixels are mirror images of those in one eighth of it.
    """

    pixels: np.ndarray  # (n,) flat indices into an image
    scattering_vectors: np.ndarray  # (n, 3) float64
    solid_angle: np.ndarray  # (n_pixels, n_pixels) float32, 0 outside the ring
    eighth: MirroredVectors  # the m pixels with 0 <= y <= x, in the first five orientations
    source: np.ndarray  # (6, n_pixels, n_pixels) flat index of each pixel into intensities (orientation, 2, 2, 2, m)


@lru_cache(maxsize=8)
def _ring(geometry):
    n = geometry.n_pixels
    ring = geometry.ring
    vectors = geometry.scattering_vectors
    row, column = np.nonzero(ring & (vectors[..., 1] >= 0) & (vectors[..., 0] >= vectors[..., 1]))
    # Pixels equally far from the beam share w: side by side, they share its sines and cosines.
    order = np.argsort(vectors[row, column, 2].astype(np.float32), kind="stable")
    row, column = row[order], column[order]
    # Their mirror images, axes as in `mirrored_intensity`: swapped, sign of x, sign of y.
    x = np.array([[[column, column], [n - 1 - column, n - 1 - column]], [[row, row], [n - 1 - row, n - 1 - row]]])
    y = np.array([[[row, n - 1 - row], [row, n - 1 - row]], [[column, n - 1 - column], [column, n - 1 - column]]])
    source = np.zeros((5, n, n), int)
    source[:, y, x] = np.arange(source[:, y, x].size).reshape(5, 2, 2, 2, -1)
    # Patterns 5 and 6 both turn the crystal about the beam: one is the other, turned by 90 degrees.
    source = np.concatenate([source, np.rot90(source[4:], -1, axes=(1, 2))])
    return _Ring(
        pixels=np.flatnonzero(ring),
        scattering_vectors=vectors[ring],
        solid_angle=np.where(ring, geometry.solid_angle, 0).astype(np.float32),
        eighth=mirrored_vectors(vectors[row, column], np.array([rotation(*o) for o in ORIENTATIONS[:5]])),
        source=source,
    )


@lru_cache(maxsize=256)
def _form_factors(geometry, numbers, eighth=False):
    """Form factors (elements, pixels) of the ring's pixels, or of those in one eighth of it (float32)."""
    ring = _ring(geometry)
    s = np.linalg.norm(ring.eighth.components.T if eighth else ring.scattering_vectors, axis=-1)
    f = _form_factors_at(s, numbers, geometry)
    return f.astype(np.float32) if eighth else f


def _form_factors_at(s, numbers, geometry):
    """Form factors (elements, len(s)) of atomic numbers, by the geometry's convention."""
    shift = 2 if geometry.reference_quirks else 0
    # An unknown species, atomic number 0, must not pass as helium.
    try:
        return np.array([form_factor(number + shift if number > 0 else 0, s) for number in numbers])
    except ValueError as error:
        symbols = ", ".join(chemical_symbols[number] for number in numbers)
        quirk = " with the form factor of the element two places further" if shift else ""
        raise ValueError(f"elements {symbols}{quirk}: {error}") from error


def length_scale(atoms: Atoms, scale: str = "nearest_neighbour") -> float:
    """Compute the length by which positions are divided, angstrom.

    Parameters
    ----------
    atoms : Atoms
    scale : {"nearest_neighbour", "powder"}
        "nearest_neighbour", the reference's: the mean distance from an atom to its nearest neighbour. Periodic images
        count along the axes where ``atoms.pbc`` is True. Neighbours are looked for within 8.2 angstrom and, if no atom
        has one there, within 10.2, 14.2, ... 24.2; atoms without a neighbour are left out.

        "powder": sqrt(3/2) / s, where s is the position of the strongest of the first peaks of the powder pattern of
        the cluster (Debye's formula). For fcc and bcc this is the nearest-neighbour distance. Independent displacements
        lower the peaks (Debye-Waller), vacancies add a smooth background (Laue); neither moves them. For some 256 atoms
        it fails where displacements reach a fifth to a quarter of the neighbour distance, and, more rarely, at 80 %
        vacancies and more.

    Raises
    ------
    ValueError
        No such scale, no atoms, non-finite positions, or no mean distance above 0.1 angstrom.

    References
    ----------
    P. Debye, Ann. Phys. 351, 809 (1915), doi:10.1002/andp.19153510606.
    """
    _check_scale(scale)
    _check(atoms)
    # A smaller radius first: where every atom has a neighbour within 4.1 angstrom, the larger ones only cost time.
    for radius in (_SEARCH_RADII[0] / 2, *_SEARCH_RADII):
        nearest = _nearest_neighbour_distances(atoms, radius)
        found = nearest[np.isfinite(nearest)]
        if radius < _SEARCH_RADII[0] and len(found) < len(atoms):
            continue
        if len(found) and found.mean() > 0.1:
            return _powder_scale(atoms.positions, found) if scale == "powder" else float(found.mean())
    raise ValueError(
        f"{structure_name(atoms)}: no length scale, no two atoms are between 0.1 and {_SEARCH_RADII[-1]:g} Å apart"
    )


# Debye's formula on a grid of s for a histogram of distances, both in units of a first guess of the scale. Distances
# beyond the window are faded out; a wide average of the histogram is taken off, which is the scattering of the
# cluster's shape. The damping favours the first of several peaks of like height.
_POWDER_BIN, _POWDER_WINDOW = 0.02, 10.0
_POWDER_S = np.geomspace(0.5, 2.0, 300)


@lru_cache(maxsize=1)
def _powder_transform():
    """Matrix (scattering vectors, distances) that takes a histogram of distances to the damped powder pattern."""
    distances = np.arange(0, _POWDER_WINDOW, _POWDER_BIN) + _POWDER_BIN / 2
    fluctuation = np.eye(len(distances)) - gaussian_filter1d(np.eye(len(distances)), 0.5 / _POWDER_BIN, mode="constant")
    fade = np.cos(np.pi / 2 * distances / _POWDER_WINDOW) ** 2
    waves = np.sinc(2 * _POWDER_S[:, None] * distances) * fade
    return np.exp(-0.7 * _POWDER_S**2)[:, None] * (waves @ fluctuation)


def _powder_scale(positions, nearest):
    # Few atoms have kept a neighbour at high vacancy ratios: the first guess comes from those that have.
    guess = np.quantile(nearest, 0.15)
    counts = _distance_histogram(positions / guess, _POWDER_BIN, round(_POWDER_WINDOW / _POWDER_BIN))
    pattern = _powder_transform() @ counts
    inner = pattern[1:-1]
    peaks = np.flatnonzero((inner > pattern[:-2]) & (inner >= pattern[2:])) + 1
    if len(peaks) == 0:
        return float(guess)
    peak = peaks[np.argmax(pattern[peaks])]
    left, top, right = pattern[peak - 1 : peak + 2]
    vertex = peak + 0.5 * (left - right) / (left - 2 * top + right)  # of the parabola through three points
    step = np.log(_POWDER_S[1] / _POWDER_S[0])
    return float(guess * np.sqrt(3 / 2) / (_POWDER_S[0] * np.exp(step * vertex)))


@numba.njit(cache=True)
def _distance_histogram(positions, width, n_bins):
    """Count distances between pairs of atoms; of a large cluster, those from about a thousand evenly chosen atoms.

    A distance counts for the two bins whose centres enclose it, for the nearer one more: rounding changes nothing then.
    """
    counts = np.zeros(n_bins)
    n = len(positions)
    stride = n // 1024 | 1  # odd: an even one could meet always the same site of the cell
    for i in range(0, n, stride):
        for j in range(n if stride > 1 else i):
            d2 = 0.0
            for k in range(3):
                d2 += (positions[i, k] - positions[j, k]) ** 2
            place = np.sqrt(d2) / width - 0.5
            bin = int(place)
            if place >= 0 and bin + 1 < n_bins:
                counts[bin] += bin + 1 - place
                counts[bin + 1] += place - bin
    return counts


_FEW_ATOMS = 2000  # up to these it is faster to try all pairs


def _nearest_neighbour_distances(atoms, radius):
    """Distance from each atom to its nearest neighbour; infinite where none is within the radius."""
    if len(atoms) <= _FEW_ATOMS:
        # Babai's nearest plane: with Q R = (a1, a2, a3), a vector shorter than half of the least |R_ii| plus any
        # lattice vector loses just that lattice vector. Rows of axes that are not periodic stay zero.
        vectors, normals, periodic = np.zeros((3, 3)), np.zeros((3, 3)), atoms.cell.array[atoms.pbc]
        q, r = np.linalg.qr(periodic.T)
        vectors[: len(periodic)], normals[: len(periodic)] = periodic, q.T / r.diagonal()[:, None]
        if radius < 0.5 * (1 - 1e-9) * np.abs(r.diagonal()).min(initial=np.inf):
            nearest = np.sqrt(_squared_to_nearest(atoms.positions.T.copy(), vectors, normals))
            return np.where(nearest < radius, nearest, np.inf)
    neighbours = NeighborList(cutoff=radius, full_list=True)
    first, distance = neighbours.compute(atoms.positions, atoms.cell.array, atoms.pbc, quantities="id")
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, first, distance)
    return nearest


@numba.njit(fastmath={"contract"}, cache=True)
def _squared_to_nearest(positions, vectors, normals):
    """Squared distance (n_atoms,) from each atom to its nearest neighbour, by all pairs; infinite for a single atom.

    Positions are (3, n_atoms). From each difference d, vectors[k] is taken off round(d . normals[k]) times, for k = 2,
    1, 0.
    """
    nearest = np.full(positions.shape[1], np.inf)
    for i in range(len(nearest)):
        x, y, z, others = positions[0, :i], positions[1, :i], positions[2, :i], nearest[:i]
        here_x, here_y, here_z = positions[0, i], positions[1, i], positions[2, i]
        # Floats that are not negative sort like their bits, and LLVM vectorises the minimum only of integers.
        least = np.float64(np.inf).view(np.int64)
        for j in range(others.size):
            dx, dy, dz = here_x - x[j], here_y - y[j], here_z - z[j]
            for k in range(2, -1, -1):
                times = np.rint(dx * normals[k, 0] + dy * normals[k, 1] + dz * normals[k, 2])
                dx -= times * vectors[k, 0]
                dy -= times * vectors[k, 1]
                dz -= times * vectors[k, 2]
            squared = dx * dx + dy * dy + dz * dz
            least = min(least, np.float64(squared).view(np.int64))
            others[j] = min(others[j], squared)
        nearest[i] = np.int64(least).view(np.float64)
    return nearest


def _check_scale(scale):
    if scale not in ("nearest_neighbour", "powder"):
        raise ValueError(f"{scale=} must be 'nearest_neighbour' or 'powder'")


def structure_name(atoms: Atoms) -> str:
    """Return what messages call a structure: the name in ``atoms.info``, else the formula."""
    if "name" in atoms.info:
        return atoms.info["name"]
    if atoms.numbers.max(initial=0) >= len(chemical_symbols) or atoms.numbers.min(initial=0) < 0:
        return f"{len(atoms)} atoms of unknown elements"
    return atoms.get_chemical_formula() or "empty structure"


def _check(atoms):
    if len(atoms) == 0:
        raise ValueError(f"{structure_name(atoms)}: there are no atoms")
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"{structure_name(atoms)}: positions and cell must be finite numbers")
    lengths = atoms.cell.lengths()
    extent = max(np.ptp(atoms.positions.T.copy(), axis=1).max(), lengths.max())  # fast along contiguous axes
    if extent > _LARGEST_EXTENT:
        raise ValueError(f"{structure_name(atoms)}: it extends over {extent:.3g} Å, more than {_LARGEST_EXTENT:g} Å")
    # The volume is quicker than the rank; unless it is tiny, the rank is three.
    is_solid = atoms.pbc.all() and atoms.cell.volume > 1e-6 * lengths.max() ** 3
    if not is_solid and _are_dependent(atoms.cell.array[atoms.pbc]):
        raise ValueError(
            f"{structure_name(atoms)}: the cell vectors of its periodic axes are zero or lie in one plane or line"
        )


def _are_dependent(vectors):
    return len(vectors) > 0 and np.linalg.matrix_rank(vectors) < len(vectors)  # NumPy 2.0 knows no rank of nothing


def diffraction_patterns(atoms: Atoms, geometry: DiffractionGeometry = DiffractionGeometry()) -> np.ndarray:
    """Compute the six diffraction patterns I = |F|^2 Omega of the cluster of the listed atoms.

    Positions are divided by `length_scale`; F(s) = sum_j f_j(|s|) exp(-2 pi i s.r_j) with the scattering vectors of
    `DiffractionGeometry`, turned as in `ORIENTATIONS`; Omega is the solid angle of the pixel. Periodic images do not
    scatter.

    Parameters
    ----------
    atoms : Atoms
        At least two atoms, of elements with a form factor.
    geometry : DiffractionGeometry

    Returns
    -------
    ndarray, shape (6, n_pixels, n_pixels), float32
        Electrons squared times steradian, zero outside the ring.

    Raises
    ------
    ValueError
        Fewer than two atoms, non-finite positions, an element without form factor, or no length scale. It names the
        structure.
    """
    return _patterns(*_scattering_input(atoms, geometry), geometry)


def diffraction_patterns_direct(atoms: Atoms, geometry: DiffractionGeometry = DiffractionGeometry()) -> np.ndarray:
    """Compute `diffraction_patterns` by the plain float64 sum: the yardstick for accuracy and speed."""
    return _patterns_direct(*_scattering_input(atoms, geometry), geometry)


def _patterns(positions, numbers, groups, geometry):
    ring = _ring(geometry)
    values, _ = mirrored_intensity(positions, ring.eighth, groups, _form_factors(geometry, numbers, eighth=True))
    patterns = np.take(values, ring.source)
    patterns *= ring.solid_angle
    return patterns


def _patterns_direct(positions, numbers, groups, geometry):
    ring, n = _ring(geometry), geometry.n_pixels
    form_factors = _form_factors(geometry, numbers)[groups]
    vectors = [ring.scattering_vectors @ rotation(*orientation).T for orientation in ORIENTATIONS]
    patterns = np.zeros((6, n * n))
    patterns[:, ring.pixels] = np.abs([amplitude(positions, v, form_factors) for v in vectors]) ** 2
    return (patterns.reshape(6, n, n) * ring.solid_angle).astype(np.float32)


def _scattering_input(atoms, geometry):
    """Scaled positions, the elements (a tuple of atomic numbers) and each atom's index into them."""
    if len(atoms) == 1:
        raise ValueError(f"{structure_name(atoms)}: a fingerprint needs at least two atoms")
    scale = length_scale(atoms, geometry.scale)
    numbers, groups = np.unique(atoms.numbers, return_inverse=True)
    numbers = tuple(numbers.tolist())
    try:
        _form_factors(geometry, numbers)
    except ValueError as error:
        raise ValueError(f"{structure_name(atoms)}: {error}") from error
    return atoms.positions / scale, numbers, groups


def fingerprint(atoms: Atoms, geometry: DiffractionGeometry = DiffractionGeometry()) -> np.ndarray:
    """Compute the two-dimensional diffraction fingerprint.

    channel = I(-45 degrees) + I(+45 degrees) about x (R), y (G), z (B); image = channels / their common maximum. No
    logarithm, no gamma, no normalisation by channel.

    Parameters
    ----------
    atoms : Atoms
        Taken as it is: bring crystals to their standard cell with `xtalsight.crystals.conventional_cell` first, and
        repeat them; the image depends on the orientation.
    geometry : DiffractionGeometry
        The default gives the reference's image.

    Returns
    -------
    ndarray, shape (n_pixels, n_pixels, 3), float32
        In [0, 1], largest value 1, zero outside the ring.

    Raises
    ------
    ValueError
        As `diffraction_patterns`.

    References
    ----------
    A. Ziletti, D. Kumar, M. Scheffler, L. M. Ghiringhelli, Nat. Commun. 9, 2775 (2018), doi:10.1038/s41467-018-05169-6.
    """
    return combine_patterns(diffraction_patterns(atoms, geometry))


def combine_patterns(patterns: np.ndarray) -> np.ndarray:
    """Sum the six patterns (6, n, n) into three channels and divide by the common maximum: (n, n, 3)."""
    image = np.stack(patterns[::2] + patterns[1::2], axis=-1)
    return image / image.max()


def reflections(
    cell: Atoms, extent: float, geometry: DiffractionGeometry = DiffractionGeometry(), scale: float | None = None
) -> pd.DataFrame:
    """Predict where the Bragg reflections of a crystal lie in its fingerprint.

    A reciprocal lattice vector g = h b1 + k b2 + l b3 with structure factor F_hkl = sum_j f_j(|g|) exp(-2 pi i (h x_j +
    k y_j + l z_j)) shows where g, turned by M^T, comes to lie on the detector. In a cluster of finite height it shows,
    too, when it misses the Ewald sphere along the beam by less than 1 / extent.

    Parameters
    ----------
    cell : Atoms
        Periodic cell in the orientation of the fingerprint, e.g. from `xtalsight.crystals.conventional_cell`.
    extent : float
        Edge of the cluster in units of the scale.
    geometry : DiffractionGeometry
    scale : float, optional
        `length_scale` of the cluster, angstrom; without it, the mean nearest-neighbour distance of the cell.

    Returns
    -------
    DataFrame
        One row for each allowed reflection on the ring and each pattern: ``h, k, l``, ``pattern`` (index into
        `ORIENTATIONS`), ``channel``, ``x, y`` (pixels from the beam), ``length`` (|g|, 1/angstrom of the scaled
        crystal), ``miss`` (distance from the Ewald sphere, likewise), ``intensity`` (electrons squared: |F_hkl|^2
        sinc^2(miss extent)), brightest first.

    Raises
    ------
    ValueError
        The extent or the scale is not positive and finite, the scale is that of a powder pattern and not given, the
        cell is not periodic in three directions, or as `diffraction_patterns`.
    """
    if not 0 < extent < np.inf:
        raise ValueError(f"{extent=} must be positive and finite")
    if scale is not None and not 0 < scale < np.inf:
        raise ValueError(f"{scale=} must be positive and finite")
    if scale is None and geometry.scale != "nearest_neighbour":
        raise ValueError(
            f"{geometry.scale=}: the scale of a powder pattern is that of the cluster, which is not known here"
        )
    if not cell.pbc.all():
        raise ValueError(f"{structure_name(cell)}: only a crystal, periodic in three directions, has reflections")
    scale = length_scale(cell) if scale is None else scale
    reciprocal = cell.cell.reciprocal().array * scale  # rows, 1/angstrom
    s_max = np.linalg.norm(geometry.scattering_vectors[geometry.ring], axis=-1).max() + 1 / extent
    # |h| = |g . a1| is at most |g| times the edge a1 of the scaled cell.
    limits = np.floor(s_max * cell.cell.lengths() / scale).astype(int)
    hkl = np.stack(np.meshgrid(*(np.arange(-limit, limit + 1) for limit in limits), indexing="ij"), axis=-1).reshape(
        -1, 3
    )
    g = hkl @ reciprocal
    length = np.linalg.norm(g, axis=-1)
    hkl, g, length = (values[(length > 0) & (length < s_max)] for values in (hkl, g, length))
    try:
        f = _form_factors_at(length, cell.numbers, geometry)
    except ValueError as error:
        raise ValueError(f"{structure_name(cell)}: {error}") from error
    phases = np.exp(-2j * np.pi * cell.get_scaled_positions() @ hkl.T)
    structure_factor = np.abs(np.sum(f * phases, axis=0))
    allowed = structure_factor > 1e-3 * f.sum(axis=0)
    hkl, g, length, structure_factor = (values[allowed] for values in (hkl, g, length, structure_factor))

    x, y, z = np.moveaxis([g @ rotation(*orientation) for orientation in ORIENTATIONS], -1, 0)  # (pattern, reflection)
    along_beam = np.sqrt(np.maximum(1 / geometry.wavelength**2 - x**2 - y**2, 0))  # of the scattered wave
    miss = z - (along_beam - 1 / geometry.wavelength)
    from_beam = np.hypot(x, y) * geometry.distance / geometry.pixel_size / np.maximum(along_beam, 1e-9)
    inner, outer = geometry.ring_radii
    shows = (np.abs(miss) < 1 / extent) & (from_beam > inner) & (from_beam < outer)
    pattern, reflection = np.nonzero(shows)
    to_pixels = geometry.distance / geometry.pixel_size / along_beam[shows]
    table = {
        **dict(zip("hkl", hkl[reflection].T, strict=True)),
        "pattern": pattern,
        "channel": pattern // 2,
        "x": x[shows] * to_pixels,
        "y": y[shows] * to_pixels,
        "length": length[reflection],
        "miss": miss[shows],
        "intensity": (structure_factor[reflection] * np.sinc(miss[shows] * extent)) ** 2,
    }
    return pd.DataFrame(table).sort_values("intensity", ascending=False, ignore_index=True)


def near_reflections(
    table: pd.DataFrame, distance: float = 2.0, geometry: DiffractionGeometry = DiffractionGeometry()
) -> np.ndarray:
    """Mark the pixels of the ring that lie within `distance` pixels of a reflection, channel by channel.

    Parameters
    ----------
    table : DataFrame
        Columns ``x, y, channel``, as from `reflections`.
    distance : float
        Pixels.
    geometry : DiffractionGeometry

    Returns
    -------
    ndarray of bool, shape (n_pixels, n_pixels, 3)
    """
    n = geometry.n_pixels
    row, column = np.indices((n, n)) - (n - 1) / 2
    near = np.zeros((n, n, 3), bool)
    for x, y, channel in table[["x", "y", "channel"]].drop_duplicates().to_numpy():
        near[..., int(channel)] |= np.hypot(column - x, row - y) < distance
    return near & geometry.ring[..., None]
