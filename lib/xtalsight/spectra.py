"""The rotation-invariant fingerprint: power spectra of the diffraction on spheres around the origin of reciprocal
space.

The same physics as `xtalsight.fingerprints`, looked at from all sides at once. Turning the atoms turns the intensity on
every sphere; a turned function has other coefficients in spherical harmonics, but the power of each degree l stays.

There are two intensities: of the *places* of all atoms, and of the *kinds*, each element by itself. In which of these
an element is which does not matter, and where there is one element only the two are equal.

How fine the spheres, degrees and grids must be follows from the size of the cloud of atoms, since the intensity is a
sum of waves exp(2 pi i s.d) over the differences d of positions, and none is longer than the diameter D of the cloud:
along |s| it is known from samples 1 / 2D apart, and on the sphere |s| it has degrees up to 2 pi |s| D.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft
from ase import Atoms
from scipy.special import sph_legendre_p_all

from xtalsight.crystals import N_ATOMS
from xtalsight.fingerprints import DiffractionGeometry, length_scale, structure_name
from xtalsight.scattering import MirroredVectors, mirrored_intensity, mirrored_vectors


def cloud_radius(n_atoms: int) -> float:
    """Return the radius of a sphere of atoms in units of the nearest-neighbour distance, at the density of close
    packing."""
    return float((3 * n_atoms / (4 * np.pi * np.sqrt(2))) ** (1 / 3))


def resolution(n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Derive the shells and the degrees that hold what a cloud of atoms has to tell.

    With R the `cloud_radius`: shells 1 / 4R apart, over the ring of the two-dimensional fingerprint and inwards to
    where the forward peak of a close-packed cloud ends, s = 4 / 3R: the peaks of an ordered compound lie below the
    first peak of its places, s = sqrt(3/2) (at sqrt(1/2) and below for Cu3Au, 3/4 of it for a spinel's). Even degrees
    up to 2 pi s R at that first peak, where a degree resolves what is as wide as a peak.

    Returns
    -------
    shells : ndarray, shape (n_shells,)
        Lengths |s| of scattering vectors, in units of one over the length scale.
    degrees : ndarray of int, shape (n_degrees,)
        0, 2, 4, ... Odd ones vanish: the intensity at s and -s is the same.
    """
    radius = cloud_radius(n_atoms)
    inner, outer = _ring_of_fingerprint()
    on_ring = np.linspace(inner, outer, 1 + round((outer - inner) * 4 * radius))
    step = on_ring[1] - on_ring[0]
    inside = np.arange(int((inner - 4 / (3 * radius)) / step), 0, -1)
    shells = np.concatenate([inner - step * inside, on_ring])
    return shells, np.arange(0, 2 * np.pi * np.sqrt(3 / 2) * radius + 2, 2, dtype=int)


def _ring_of_fingerprint():
    geometry = DiffractionGeometry()
    on_ring = np.linalg.norm(geometry.scattering_vectors[geometry.ring], axis=-1)
    return on_ring.min(), on_ring.max()


SHELLS, DEGREES = resolution(N_ATOMS)
"""Shells and degrees of all spectra, whatever the size of the cloud: those of `resolution` for `N_ATOMS`."""

ON_RING = np.s_[-round((SHELLS[-1] - _ring_of_fingerprint()[0]) / (SHELLS[1] - SHELLS[0])) - 1 :]
"""Those of the `SHELLS` that lie on the ring of the two-dimensional fingerprint, a slice. Below it only ordered kinds
have peaks; a crystal of one element shows the shape of the cloud."""

LARGEST_RADIUS = 32.0
"""Largest radius of a cloud, in units of its length scale; some two hundred thousand atoms."""

# Waves between the outermost atoms of a compact cloud are few: the quadrature need not be exact for their degrees. The
# worst of these to turn is a ball of a crystal that stands along the axes of the grid, where errors add up: its
# spectrum changes by 0.5 % (512 atoms) or 0.6 % (5000), with 0.84 of the degrees by 1.0 or 2.1 %. A rod, or two pieces,
# would change by more.
_SHARE_OF_DEGREES = 0.88
_COMPACT = 1.6  # largest radius of a compact cloud, in those of a ball of as many atoms
_RADIUS_STEP = 0.1  # grids are made for radii that are multiples of this, and kept


class _Grid(NamedTuple):
    """Quadrature on all shells: Gauss-Legendre in cos(theta), equidistant in phi.

    It is its own mirror image in x, y, z and x = y, so that a sixteenth of it and `mirrored_intensity` give all.
    """

    vectors: MirroredVectors  # n vectors, shell after shell
    shell: np.ndarray  # (n,) the index of each vector's shell
    shells: list  # of each: number of theta in half a sphere, of phi, projection (m, degrees, theta), phases (m,)


@lru_cache(maxsize=128)
def _grid(radius, share):
    largest = int(DEGREES[-1])
    orders = np.arange(largest + 1)
    vectors, shells = [], []
    for s in SHELLS:
        degree = largest + share * 4 * np.pi * s * radius
        n_theta = 2 * int(np.ceil((degree + 1) / 4))  # Gauss-Legendre is exact to 2 n - 1; even: none on the equator
        n_phi = 8 * int(np.ceil(max(degree + 1, 2 * largest + 2) / 8))
        cosine, weights = (values[n_theta // 2 :] for values in np.polynomial.legendre.leggauss(n_theta))
        theta, phi = np.meshgrid(np.arccos(cosine), (np.arange(n_phi // 8) + 0.5) * 2 * np.pi / n_phi, indexing="ij")
        sphere = [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
        vectors.append(s * np.stack(sphere, axis=-1).reshape(-1, 3))
        legendre = sph_legendre_p_all(largest, largest, np.arccos(cosine))[0][DEGREES, : largest + 1]  # (l, m, theta)
        projection = legendre * weights * 2 * (2 * np.pi / n_phi)  # twice: the other half of the sphere
        phases = np.exp(-1j * orders * np.pi / n_phi)  # phi begins half a step from the x axis
        shells.append(
            (len(cosine), n_phi, projection.transpose(1, 0, 2).astype(np.float32), phases.astype(np.complex64))
        )
    shell = np.repeat(np.arange(len(SHELLS)), [len(v) for v in vectors])
    return _Grid(mirrored_vectors(np.concatenate(vectors), np.eye(3)[None]), shell, shells)


def harmonics(atoms: Atoms) -> np.ndarray:
    """Expand the diffraction of a cloud of atoms in spherical harmonics, shell by shell: of its places and of its
    kinds.

    On each of the `SHELLS`, with e_j = exp(-2 pi i s.r_j), positions divided by the `length_scale` of the powder
    pattern,

    S_1(s) = |sum_j e_j|^2 / N over all N atoms,    S_2(s) = sum_a |sum_{j in a} e_j|^2 / N over the kinds a,

    and a_lm = integral of S(s) conj(Y_lm(s / |s|)) over the unit sphere. Atoms without order have S = 1 on average.
    Atoms of one kind scatter alike, whatever the element: no form factors. Kinds without order on a lattice have S_2 =
    q S_1 + (1 - q) on average, where q is the sum of the squares of their shares. Periodic images do not scatter.

    Parameters
    ----------
    atoms : Atoms
        At least two, within `LARGEST_RADIUS` of their middle. An atomic number is a kind.

    Returns
    -------
    ndarray, shape (2, n_shells, n_degrees, l_max + 1), complex64
        Of S_1 and S_2, a_lm of the `DEGREES` l and the orders m = 0 ... l_max, zero for m > l. Those of -m follow: S is
        real.

    Raises
    ------
    ValueError
        As `xtalsight.fingerprints.length_scale`, or a cloud that is too large.
    """
    positions, radius = _scaled_positions(atoms)
    share = _SHARE_OF_DEGREES if radius < _COMPACT * cloud_radius(len(atoms)) else 1.0
    grid = _grid(_RADIUS_STEP * float(np.ceil(radius / _RADIUS_STEP)), share)
    kinds, groups = np.unique(atoms.numbers, return_inverse=True)
    # 1 / sqrt(N) beforehand gives S.
    weights = np.full((len(kinds), len(grid.shell)), 1 / np.sqrt(len(atoms)), np.float32)
    both = mirrored_intensity(positions, grid.vectors, groups, weights)
    if len(kinds) == 1:
        return np.stack([_expand(both[0][0], grid)] * 2)
    return np.stack([_expand(values, grid) for (values,) in both])


def _expand(values, grid):
    """Coefficients (n_shells, n_degrees, l_max + 1) of values on the grid (2, 2, 2, n_vectors)."""
    result = np.empty((len(SHELLS), len(DEGREES), DEGREES[-1] + 1), np.complex64)
    start = 0
    for i, (n_theta, n_phi, projection, phases) in enumerate(grid.shells):
        stop = start + n_theta * n_phi // 8
        around = _around(values[..., start:stop].reshape(2, 2, 2, n_theta, n_phi // 8))
        modes = np.ascontiguousarray((scipy.fft.rfft(around, axis=1)[:, : DEGREES[-1] + 1] * phases).T)
        # Real times complex, without making the former complex: (m, l, theta) @ (m, theta, real and imaginary).
        result[i] = (projection @ modes.view(np.float32).reshape(*modes.shape, 2)).view(np.complex64)[..., 0].T
        start = stop
    return result


def _scaled_positions(atoms):
    # Where many atoms coincide the length scale would be zero. Seen from an odd angle, no others are equally far.
    along = np.sort(atoms.positions @ (0.6180339, 0.7320508, 0.2360679))
    if np.mean(np.diff(along) == 0) > 0.05:
        raise ValueError(f"{structure_name(atoms)}: no length scale, many of its atoms lie on top of each other")
    scale = length_scale(atoms, "powder")
    positions = (atoms.positions - atoms.positions.mean(axis=0)) / scale
    radius = np.linalg.norm(positions, axis=1).max()
    if not radius <= LARGEST_RADIUS:
        raise ValueError(
            f"{structure_name(atoms)}: it reaches {radius:.0f} times its length scale of {scale:.2f} Å from its middle, more than "
            f"{LARGEST_RADIUS:g}: cut a piece out of it, or map it (xtalsight.grains)"
        )
    return positions, radius


def _around(values):
    """Put the eight mirror images (swapped, sign, sign, theta, phi in an eighth) in the order of phi: (theta, phi)."""
    plain, swapped = values[0], values[1, ..., ::-1]
    octants = [
        plain[0, 0],
        swapped[0, 0],
        swapped[1, 0, :, ::-1],
        plain[1, 0, :, ::-1],
        plain[1, 1],
        swapped[1, 1],
        swapped[0, 1, :, ::-1],
        plain[0, 1, :, ::-1],
    ]
    return np.concatenate(octants, axis=1)


def power(coefficients: np.ndarray) -> np.ndarray:
    """Return the rotation-invariant part of `harmonics`: root mean square of S of each degree, over the sphere.

    P_l(s) = sqrt(sum_m |a_lm(s)|^2 / 4 pi). P_0 is the mean of S, the powder pattern.

    Parameters
    ----------
    coefficients : ndarray, shape (..., n_degrees, l_max + 1)

    Returns
    -------
    ndarray, shape (..., n_degrees), float32
    """
    squared = np.abs(coefficients) ** 2
    return np.sqrt((squared[..., 0] + 2 * squared[..., 1:].sum(axis=-1)) / (4 * np.pi))


def spectrum(atoms: Atoms) -> np.ndarray:
    """Compute the rotation-invariant fingerprint of a cloud of atoms: the `power` of its `harmonics`.

    Parameters
    ----------
    atoms : Atoms
        In any orientation; a cell is not needed, nor looked at but for the length scale.

    Returns
    -------
    ndarray, shape (2, n_shells, n_degrees), float32
        Of the places and of the kinds, on the `SHELLS`, of the `DEGREES`. A turn changes it by 1 % of itself at most;
        to exchange kinds changes nothing.

    Raises
    ------
    ValueError
        As `harmonics`.

    References
    ----------
    M. Kazhdan, T. Funkhouser, S. Rusinkiewicz, Symp. Geometry Processing (2003), 156, doi:10.2312/SGP/SGP03/156-165.
    """
    return power(harmonics(atoms))


def of_places(spectra: np.ndarray) -> np.ndarray:
    """Return what the network of the seven classes looks at, (..., n_shells `ON_RING`, n_degrees): the spectra of the
    places, of spectra (..., 2, n_shells, n_degrees)."""
    return spectra[..., 0, ON_RING, :]
