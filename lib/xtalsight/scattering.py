"""Kinematic X-ray scattering of a finite cluster of atoms: form factors and the sum over the atoms.

Conventions: positions r in angstrom; scattering vectors s in 1/angstrom with |s| = 2 sin(theta) / wavelength, without the
factor 2 pi; the amplitude is F(s) = sum_j f_j(|s|) exp(-2 pi i s.r_j).
"""

from functools import cache
from typing import NamedTuple

import gemmi
import numba
import numpy as np


@cache
def _form_factor_coefficients(number):
    row = gemmi.Element(int(number)).it92 if 1 <= number <= 98 else None
    if row is None:
        raise ValueError(f"no form factor for atomic number {number}: the table covers 1 to 98")
    return np.array(row.a), np.array(row.b), row.c


def form_factor(number: int, s) -> np.ndarray:
    """Compute the atomic form factor of a neutral atom.

    f(s) = c + sum_{m=1..4} a_m exp(-b_m (s / 2)^2), without dispersion corrections and Debye-Waller factor.

    Parameters
    ----------
    number : int
        Atomic number, 1 to 98.
    s : array_like
        Length of the scattering vector, 1/angstrom.

    Returns
    -------
    ndarray
        Form factor in electrons, float64, shape of `s`; at s = 0 it is the atomic number, to the accuracy of the fit.

    Raises
    ------
    ValueError
        The table has no such atomic number.

    References
    ----------
    International Tables for Crystallography, vol. C (1992), table 6.1.1.4.
    """
    a, b, c = _form_factor_coefficients(number)
    s = np.asarray(s, dtype=float)
    return c + np.sum(a * np.exp(-b * (s[..., None] / 2) ** 2), axis=-1)


def amplitude(positions, scattering_vectors, form_factors) -> np.ndarray:
    """Compute F(s) = sum_j f_j(|s|) exp(-2 pi i s.r_j) in float64, as plainly as it is written.

    The yardstick for `mirrored_intensity`.

    Parameters
    ----------
    positions : ndarray, shape (n_atoms, 3)
        Angstrom.
    scattering_vectors : ndarray, shape (n_vectors, 3)
        1/angstrom.
    form_factors : ndarray, shape (n_atoms, n_vectors)
        Form factor of each atom at each scattering vector, electrons.

    Returns
    -------
    ndarray, shape (n_vectors,)
        Complex amplitude, electrons.
    """
    phases = -2 * np.pi * (np.asarray(positions, float) @ np.asarray(scattering_vectors, float).T)
    return np.sum(form_factors * np.exp(1j * phases), axis=0)


class MirroredVectors(NamedTuple):
    """Scattering vectors that come eight at a time, in several orientations: made by `mirrored_vectors`."""

    components: np.ndarray  # (3, n) float32: u, v, w
    directions: np.ndarray  # (n_directions, 3): on which positions are projected
    phases: np.ndarray  # (n_phases, 2) int: direction and component that make a phase
    triples: np.ndarray  # (n_orientations * 2, 3) int: phases A, B, C of each orientation, unswapped and swapped


def mirrored_vectors(vectors, orientations) -> MirroredVectors:
    """Prepare scattering vectors and their mirror images for `mirrored_intensity`.

    Each vector (u, v, w) stands for the eight (+-u, +-v, w) and (+-v, +-u, w), as the pixels of a centred square detector
    have them, turned by each orientation: s = M (+-u, +-v, w).

    Parameters
    ----------
    vectors : ndarray, shape (n_vectors, 3)
        1/angstrom.
    orientations : ndarray, shape (n_orientations, 3, 3)
        Matrices M.
    """
    # s.r = (+-u, +-v, w).(M^T r): the phases are products of a component and a position projected on a column of M.
    columns = np.round(np.swapaxes(orientations, 1, 2).reshape(-1, 3), 12) + 0.0
    directions, direction = np.unique(columns, axis=0, return_inverse=True)
    x, y, z = direction.reshape(-1, 3).T
    u, v, w = np.zeros_like(x), np.ones_like(x), np.full_like(x, 2)
    pairs = np.array([[[x, u], [y, v], [z, w]], [[x, v], [y, u], [z, w]]])  # (swapped, A B C, pair, orientation)
    phases, triples = np.unique(pairs.transpose(3, 0, 1, 2).reshape(-1, 2), axis=0, return_inverse=True)
    components = np.array(np.transpose(vectors), np.float32, order="C")
    return MirroredVectors(components, directions, phases, triples.reshape(-1, 3))


def mirrored_intensity(positions, vectors: MirroredVectors, groups, form_factors) -> tuple[np.ndarray, np.ndarray]:
    """Compute |F(s)|^2 in float32, fast, of all atoms and of each group by itself: the work of the study.

    Eight vectors share three phases, A = u x, B = v y, C = w z, and those with u and v swapped: with
    exp(i (+-A +- B + C)) = (cos A +- i sin A) (cos B +- i sin B) exp(i C), sines and cosines are needed once for all.

    Parameters
    ----------
    positions : ndarray, shape (n_atoms, 3)
        Angstrom. They are centred first, which leaves |F|^2 as it is and halves the rounding error of the phases.
    vectors : MirroredVectors
        Scattering vectors, 1/angstrom.
    groups : ndarray of int, shape (n_atoms,)
        Row of `form_factors` that each atom takes: atoms of one element share a row.
    form_factors : ndarray, shape (n_groups, n_vectors), float32
        Electrons; a function of |s|, so the same for the eight.

    Returns
    -------
    whole, apart : ndarray, shape (n_orientations, n_vectors, 2, 2, 2), float32
        |sum_g F_g|^2 and sum_g |F_g|^2 of the amplitudes F_g of the groups, electrons squared, within 1e-5 of the
        maximum of the float64 sum for crystals of some hundred atoms. The last three axes: (u, v) as given or swapped,
        first component positive or negative, second component positive or negative.
    """
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups, minlength=len(form_factors)))
    positions = np.asarray(positions, float)
    centred = positions[order] - positions.mean(axis=0)
    projections = np.ascontiguousarray(vectors.directions @ centred.T, dtype=np.float32)
    values = _mirrored_intensity(projections, vectors.components, vectors.phases, vectors.triples, ends, form_factors)
    whole, apart = values.reshape(2, values.shape[1], -1, 2, 2, 2)
    return whole, apart


# With p the phase in turns, reduced to [-1/2, 1/2], and u = p^2: sqrt(2) sin(pi p) = p S(u) and sqrt(2) cos(pi p) = C(u).
# Interpolation at Chebyshev nodes keeps p S within 1.7e-6 and C within 7e-8. The doubled angle then costs two operations:
# cos(2 pi p) = 1 - (p S)^2 and sin(2 pi p) = p S C.
def _half_angle_polynomial(function, degree):
    series = np.polynomial.Chebyshev.interpolate(lambda u: np.sqrt(2) * function(u), degree, domain=[0, 1 / 4])
    return tuple(np.float32(c) for c in series.convert(kind=np.polynomial.Polynomial).coef)


_S0, _S1, _S2, _S3, _S4 = _half_angle_polynomial(lambda u: np.pi * np.sinc(np.sqrt(u)), 4)
_C0, _C1, _C2, _C3, _C4 = _half_angle_polynomial(lambda u: np.cos(np.pi * np.sqrt(u)), 4)
_BLOCK = 256  # atoms whose sines and cosines fit the first cache


# Reassociation lets LLVM vectorise the loops over the atoms; infinities and NaN do not occur (input is checked before).
@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _mirrored_intensity(projections, components, phases, triples, ends, form_factors):
    n_vectors, n_orientations = components.shape[1], len(triples) // 2
    cosine = np.empty((len(phases), _BLOCK), np.float32)
    sine = np.empty((len(phases), _BLOCK), np.float32)
    # Amplitudes of one group, and of all.
    real, imaginary = np.empty((len(triples), 4), np.float32), np.empty((len(triples), 4), np.float32)
    whole = np.empty((len(triples), 4, 2), np.float32)
    result = np.zeros((2, n_orientations, n_vectors, 8), np.float32)
    for k in range(n_vectors):
        whole[:] = 0
        start = 0
        for group in range(ends.size):
            f = form_factors[group, k]
            real[:], imaginary[:] = 0, 0
            while start < ends[group]:
                stop = min(start + _BLOCK, ends[group])
                for i in range(len(phases)):
                    s = components[phases[i, 1], k]
                    # Slices, so that the loop index is known to be non-negative: only then does the loop vectorise.
                    r = projections[phases[i, 0], start:stop]
                    cos_i, sin_i = cosine[i, : stop - start], sine[i, : stop - start]
                    for j in range(r.size):
                        p = s * r[j]
                        p -= np.rint(p)
                        u = p * p
                        half_sine = p * (_S0 + u * (_S1 + u * (_S2 + u * (_S3 + u * _S4))))
                        half_cosine = _C0 + u * (_C1 + u * (_C2 + u * (_C3 + u * _C4)))
                        cos_i[j] = np.float32(1) - half_sine * half_sine
                        sin_i[j] = half_sine * half_cosine
                for t in range(len(triples)):
                    a, b, c = triples[t]
                    cos_a, cos_b, cos_c = (
                        cosine[a, : stop - start],
                        cosine[b, : stop - start],
                        cosine[c, : stop - start],
                    )
                    sin_a, sin_b, sin_c = sine[a, : stop - start], sine[b, : stop - start], sine[c, : stop - start]
                    cc_c, cc_s, ss_c, ss_s = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    sc_c, sc_s, cs_c, cs_s = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    for j in range(cos_a.size):
                        cc, ss = cos_a[j] * cos_b[j], sin_a[j] * sin_b[j]
                        sc, cs = sin_a[j] * cos_b[j], cos_a[j] * sin_b[j]
                        cc_c += cc * cos_c[j]
                        cc_s += cc * sin_c[j]
                        ss_c += ss * cos_c[j]
                        ss_s += ss * sin_c[j]
                        sc_c += sc * cos_c[j]
                        sc_s += sc * sin_c[j]
                        cs_c += cs * cos_c[j]
                        cs_s += cs * sin_c[j]
                    # exp(i (A + B + C)), then with -B, with -A, with both.
                    real[t, 0] += cc_c - ss_c - sc_s - cs_s
                    real[t, 1] += cc_c + ss_c - sc_s + cs_s
                    real[t, 2] += cc_c + ss_c + sc_s - cs_s
                    real[t, 3] += cc_c - ss_c + sc_s + cs_s
                    imaginary[t, 0] += cc_s - ss_s + sc_c + cs_c
                    imaginary[t, 1] += cc_s + ss_s + sc_c - cs_c
                    imaginary[t, 2] += cc_s + ss_s - sc_c + cs_c
                    imaginary[t, 3] += cc_s - ss_s - sc_c - cs_c
                start = stop
            for t in range(len(triples)):
                for i in range(4):
                    one, other = f * real[t, i], f * imaginary[t, i]
                    result[1, t // 2, k, 4 * (t % 2) + i] += one * one + other * other
                    whole[t, i, 0] += one
                    whole[t, i, 1] += other
        for t in range(len(triples)):
            for i in range(4):
                result[0, t // 2, k, 4 * (t % 2) + i] = whole[t, i, 0] ** 2 + whole[t, i, 1] ** 2
    return result
