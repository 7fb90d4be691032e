"""Kinematic X-ray scattering of a finite cluster of atoms: form factors and the sum over the atoms.

Conventions: positions r in angstrom; scattering vectors s in 1/angstrom with |s| = 2 sin(theta) / wavelength, without
the factor 2 pi; the amplitude is F(s) = sum_j f_j(|s|) exp(-2 pi i s.r_j).
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

    Each vector (u, v, w) stands for the eight (+-u, +-v, w) and (+-v, +-u, w), as the pixels of a centred square
    detector have them, turned by each orientation: s = M (+-u, +-v, w). Vectors that follow each other and share a
    component share its sines and cosines.

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
    whole, apart : ndarray, shape (n_orientations, 2, 2, 2, n_vectors), float32
        |sum_g F_g|^2 and sum_g |F_g|^2 of the amplitudes F_g of the groups, electrons squared, within 1e-5 of the
        maximum of the float64 sum for crystals of some hundred atoms. The three axes of two: (u, v) as given or
        swapped, first component positive or negative, second component positive or negative.
    """
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups, minlength=len(form_factors)))
    coordinates = np.asarray(positions, float).T[:, order]
    coordinates -= coordinates.mean(axis=1, keepdims=True)
    half_turns = (2 * vectors.directions @ coordinates).astype(np.float32)
    values = _mirrored_intensity(half_turns, vectors.components, vectors.phases, vectors.triples, ends, form_factors)
    whole, apart = values.reshape(2, -1, 2, 2, 2, values.shape[-1])
    return whole, apart


# sin(pi x) = x S(x^2) and cos(pi x) = C(x^2) for x in [-1/2, 1/2]; k half turns taken off before multiply both by
# (-1)^k. Interpolation at Chebyshev nodes keeps x S within 1.2e-6 and C within 1.2e-7.
def _polynomial(function, degree):
    series = np.polynomial.Chebyshev.interpolate(function, degree, domain=[0, 1 / 4])
    return tuple(np.float32(c) for c in series.convert(kind=np.polynomial.Polynomial).coef)


_S0, _S1, _S2, _S3 = _polynomial(lambda u: np.pi * np.sinc(np.sqrt(u)), 3)
_C0, _C1, _C2, _C3, _C4 = _polynomial(lambda u: np.cos(np.pi * np.sqrt(u)), 4)
# Added to this, a float32 is rounded to an integer, whose parity is the last bit.
_ROUND = np.float32(1.5 * 2**23)
_BLOCK = 256  # atoms whose sines and cosines stay in the cache


# No reassociation: it would cancel + _ROUND against - _ROUND. The casts fix the type whose bits are viewed.
@numba.njit(fastmath={"contract"}, cache=True)
def _cosine_and_sine(half_turns):
    """Cosine and sine of pi times half turns, float32, of at most some 4 million."""
    rounded = np.float32(half_turns + _ROUND)
    sign = np.int32(rounded.view(np.int32) << np.int32(31))
    x = half_turns - (rounded - _ROUND)
    u = x * x
    sine = np.float32(x * (_S0 + u * (_S1 + u * (_S2 + u * _S3))))
    cosine = np.float32(_C0 + u * (_C1 + u * (_C2 + u * (_C3 + u * _C4))))
    cosine, sine = np.int32(cosine.view(np.int32) ^ sign), np.int32(sine.view(np.int32) ^ sign)
    return cosine.view(np.float32), sine.view(np.float32)


# Reassociation lets LLVM vectorise the sums over the atoms; infinities and NaN do not occur (input is checked before).
# Slices tell LLVM that indices are not negative: only then do the loops vectorise.
@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _mirrored_intensity(half_turns, components, phases, triples, ends, form_factors):
    n_triples, n_vectors = len(triples), components.shape[1]
    cosine, sine = np.empty((len(phases), _BLOCK), np.float32), np.empty((len(phases), _BLOCK), np.float32)
    sums = np.empty((8, n_triples, n_vectors), np.float32)  # of one group: A by B by C, each cosine or sine
    amplitude = np.zeros((2, n_triples, 4, n_vectors), np.float32)  # of all: real and imaginary part
    result = np.zeros((2, n_triples, 4, n_vectors), np.float32)
    begin = 0
    for group in range(ends.size):
        sums[:] = 0
        for start in range(begin, ends[group], _BLOCK):
            stop = min(start + _BLOCK, ends[group])
            for k in range(n_vectors):
                for i in range(len(phases)):
                    s = components[phases[i, 1], k]
                    if k > 0 and s == components[phases[i, 1], k - 1]:
                        continue  # the last vector's are still there
                    r = half_turns[phases[i, 0], start:stop]
                    cosine_i, sine_i = cosine[i, : stop - start], sine[i, : stop - start]
                    for j in range(r.size):
                        cosine_i[j], sine_i[j] = _cosine_and_sine(s * r[j])
                for t in range(n_triples):
                    a, b, c = triples[t, 0], triples[t, 1], triples[t, 2]  # unpacking a row takes and frees a reference
                    cos_a, sin_a = cosine[a, : stop - start], sine[a, : stop - start]
                    cos_b, sin_b = cosine[b, : stop - start], sine[b, : stop - start]
                    cos_c, sin_c = cosine[c, : stop - start], sine[c, : stop - start]
                    ccc, ccs, csc, css = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    scc, scs, ssc, sss = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    for j in range(cos_a.size):
                        cc, cs = cos_a[j] * cos_b[j], cos_a[j] * sin_b[j]
                        sc, ss = sin_a[j] * cos_b[j], sin_a[j] * sin_b[j]
                        ccc += cc * cos_c[j]
                        ccs += cc * sin_c[j]
                        csc += cs * cos_c[j]
                        css += cs * sin_c[j]
                        scc += sc * cos_c[j]
                        scs += sc * sin_c[j]
                        ssc += ss * cos_c[j]
                        sss += ss * sin_c[j]
                    sums[0, t, k] += ccc
                    sums[1, t, k] += ccs
                    sums[2, t, k] += csc
                    sums[3, t, k] += css
                    sums[4, t, k] += scc
                    sums[5, t, k] += scs
                    sums[6, t, k] += ssc
                    sums[7, t, k] += sss
        begin = ends[group]
        for t in range(n_triples):
            ccc, ccs, csc, css = sums[0, t], sums[1, t], sums[2, t], sums[3, t]
            scc, scs, ssc, sss = sums[4, t], sums[5, t], sums[6, t], sums[7, t]
            for i in range(4):  # exp(i (A + B + C)), then with -B, with -A, with both
                a, b = np.float32(1 - i // 2 * 2), np.float32(1 - i % 2 * 2)
                for k in range(n_vectors):
                    real = form_factors[group, k] * (ccc[k] - a * b * ssc[k] - a * scs[k] - b * css[k])
                    imaginary = form_factors[group, k] * (ccs[k] - a * b * sss[k] + a * scc[k] + b * csc[k])
                    amplitude[0, t, i, k] += real
                    amplitude[1, t, i, k] += imaginary
                    result[1, t, i, k] += real**2 + imaginary**2
    # A loop: as an expression of arrays this would take seconds to compile.
    for t in range(n_triples):
        for i in range(4):
            for k in range(n_vectors):
                result[0, t, i, k] = amplitude[0, t, i, k] ** 2 + amplitude[1, t, i, k] ** 2
    return result
