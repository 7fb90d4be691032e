"""What nature does to a perfect crystal: vacancies, antisites, displacements, thermal waves, strain, other elements.

Lengths are angstrom. A *displacement* is given by its standard deviation in each coordinate, in notebooks as a
fraction of the nearest-neighbour distance; the root mean square of its length is sqrt(3) times that. Every function
draws from the generator that it is given, so that a recipe and its seed rebuild the same atoms.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from ase import Atoms

N_WAVES = 120
"""Wave vectors of `thermal_waves`, each with three polarisations."""

BULK_TO_SHEAR = 2.0
"""Bulk modulus over the shear modulus C44 of `thermal_waves`: 1.5 (Fe) to 2.7 (Al) in cubic metals (G. Simmons, H.
Wang, Single Crystal Elastic Constants and Calculated Aggregate Properties, MIT Press, 1971)."""

STRAIN_OF_WAVES = 0.7
"""Deviatoric strain (largest minus smallest principal one) of a ball of some 200 atoms that one in a hundred exceeds,
over the standard deviation of a coordinate in units of the neighbour distance; by `thermal_waves` with soft shear,
tested."""


def remove_atoms(atoms: Atoms, vacancy_ratio: float, rng: np.random.Generator) -> Atoms:
    """Return a copy without ``round(vacancy_ratio * len(atoms))`` atoms, chosen at random."""
    if not 0 <= vacancy_ratio < 1:
        raise ValueError(f"{vacancy_ratio=} must lie in [0, 1)")
    n_removed = round(vacancy_ratio * len(atoms))
    kept = np.sort(rng.permutation(len(atoms))[n_removed:])
    return atoms[kept]


def substitute(atoms: Atoms, ratio: float, elements: Sequence[str], rng: np.random.Generator) -> Atoms:
    """Return a copy in which ``round(ratio * len(atoms))`` atoms, chosen at random, are of another element each.

    Parameters
    ----------
    atoms : Atoms
        Of one element, which is left out of the draw.
    ratio : float
        In [0, 1].
    elements : sequence of str
        To draw from, all alike.
    rng : Generator
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"substitution {ratio=} must lie in [0, 1]")
    atoms = atoms.copy()
    chosen = rng.permutation(len(atoms))[: round(ratio * len(atoms))]
    atoms.symbols[chosen] = rng.choice([e for e in elements if e != atoms.symbols[0]], len(chosen))
    return atoms


def antisites(atoms: Atoms, ratio: float, rng: np.random.Generator) -> Atoms:
    """Return a copy in which ``round(ratio * len(atoms) / 2)`` pairs of atoms of different kinds, chosen at random,
    have changed places; fewer where a kind runs out, none where there is one kind only.

    Parameters
    ----------
    atoms : Atoms
    ratio : float
        Fraction of the atoms that end on the place of another kind, in [0, 1].
    rng : Generator
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"antisites {ratio=} must lie in [0, 1]")
    atoms = atoms.copy()
    before, free = atoms.numbers.copy(), np.ones(len(atoms), bool)
    for first in rng.permutation(len(atoms)):
        if (~free).sum() >= 2 * round(ratio * len(atoms) / 2):
            break
        others = np.flatnonzero(free & (before != before[first]))
        if free[first] and len(others):
            second = rng.choice(others)
            atoms.numbers[[first, second]] = before[[second, first]]
            free[[first, second]] = False
    return atoms


def random_strain(bound: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a symmetric strain (3, 3): e = (x + x^T) / 2, the components of x uniform in [-bound, bound]."""
    components = rng.uniform(-1, 1, (3, 3)) * bound
    return (components + components.T) / 2


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """Return a copy of a crystal, cell and atoms, under a homogeneous strain: r -> r (1 + e)."""
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def independent_displacements(n_atoms: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Draw Gaussian displacements (n_atoms, 3), each coordinate by itself, of standard deviation `sigma`, angstrom."""
    return rng.normal(size=(n_atoms, 3)) * sigma


def thermal_waves(
    positions: np.ndarray, sigma: float, density: float, rng: np.random.Generator, anisotropy: float = 1.0
) -> np.ndarray:
    """Draw displacements as heat makes them: a sum of elastic waves, by which neighbours move together.

    u(r) = sum over k, p of a_kp e_kp cos(k.r + phi_kp)

    The `N_WAVES` wave vectors k have random directions. Their lengths are uniform in (0, k_D): there are as many
    waves as k^2 dk says, and equipartition gives each <a^2> ~ 1 / (k^2 c_kp), the product of which is the same for
    all k. k_D = (6 pi^2 n)^(1/3) is Debye's. Polarisations e_kp and stiffnesses c_kp are eigenvectors and eigenvalues
    of Christoffel's matrix of a cubic crystal, amplitudes are Rayleigh distributed, phases uniform.

    Parameters
    ----------
    positions : ndarray, shape (n, 3)
        Angstrom, with the cubic axes along x, y, z.
    sigma : float
        Standard deviation of a coordinate over all of space, angstrom. A small cloud of atoms is moved as a whole by
        the long waves, and strained: its own spread is less.
    density : float
        Atoms per cubic angstrom, n.
    rng : Generator
    anisotropy : float
        Zener's ratio C44 / C' of the two shear moduli; 1 is isotropic. W 1.0, Al 1.2, Fe 2.4, Cu 3.2, Na 7 (Simmons
        and Wang, see `BULK_TO_SHEAR`).

    Returns
    -------
    ndarray, shape (n, 3)
        Displacements, angstrom.

    Raises
    ------
    ValueError
        A density or anisotropy that is not positive.

    References
    ----------
    P. Debye, Ann. Phys. 348, 49 (1913), doi:10.1002/andp.19133480105. C. Zener, Elasticity and Anelasticity of Metals
    (University of Chicago Press, 1948).
    """
    if not (density > 0 and anisotropy > 0):
        raise ValueError(f"{density=} and {anisotropy=} must be positive")
    largest = (6 * np.pi**2 * density) ** (1 / 3)
    directions = rng.normal(size=(N_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    wave_vectors = directions * rng.uniform(0, largest, (N_WAVES, 1))
    stiffness, polarisations = np.linalg.eigh(_christoffel(directions, anisotropy))  # (waves, p), (waves, xyz, p)
    # Real and imaginary part of a complex amplitude: Rayleigh and uniform.
    amplitudes = rng.normal(size=(2, N_WAVES, 3)) / np.sqrt(stiffness)
    amplitudes *= sigma / np.sqrt((amplitudes**2).sum() / 2 / 3)
    cosine, sine = amplitudes[:, :, None, :] * polarisations  # (waves, xyz, p) each
    phases = positions @ wave_vectors.T
    return np.cos(phases) @ cosine.sum(axis=-1) + np.sin(phases) @ sine.sum(axis=-1)


def _christoffel(directions, anisotropy):
    """Christoffel's matrices (n, 3, 3) of a cubic crystal, C44 = 1: C_ijkl n_j n_l for directions n (n, 3)."""
    shear = 1 / anisotropy  # C' = (C11 - C12) / 2
    c11, c12, c44 = BULK_TO_SHEAR + 4 / 3 * shear, BULK_TO_SHEAR - 2 / 3 * shear, 1.0
    matrices = (c12 + c44) * directions[:, :, None] * directions[:, None, :]
    squares = directions**2
    matrices[:, np.arange(3), np.arange(3)] = c11 * squares + c44 * (1 - squares)
    return matrices


def affine_strain(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the homogeneous strain of a cloud of atoms, (3, 3): of the linear map that takes it nearest to where it
    went.

    F minimises sum_j |(r_j - <r>)(1 + F) - (r'_j - <r'>)|^2; the strain is its symmetric part.

    Parameters
    ----------
    before, after : ndarray, shape (n, 3)
        Positions of the same atoms, angstrom.
    """
    centred, moved = before - before.mean(axis=0), after - after.mean(axis=0)
    gradient = np.linalg.lstsq(centred, moved, rcond=None)[0] - np.eye(3)
    return (gradient + gradient.T) / 2


def deviatoric(strain: np.ndarray) -> float:
    """Return the largest minus the smallest principal strain of a symmetric (3, 3): what changes angles and axial
    ratios."""
    principal = np.linalg.eigvalsh(strain)
    return float(principal[-1] - principal[0])


def draws(recipes: pd.DataFrame, n: int) -> np.ndarray:
    """Return numbers in [0, 1), a row of n for each recipe, from a random stream of its own, by seed and id."""
    return np.array([np.random.default_rng([r.seed, r.id, 6]).random(n) for r in recipes.itertuples()]).reshape(-1, n)


def damaged(recipes: pd.DataFrame, vacancies=0.0, displacement=0.0, waves=0.0, **more) -> pd.DataFrame:
    """Return recipes of the same crystals with damage.

    Parameters
    ----------
    recipes : DataFrame
        With a column ``nearest``, the distance of neighbours in angstrom (`xtalsight.crystals.neighbour_distances`).
    vacancies : float or array
        Fraction of the atoms to remove.
    displacement, waves : float or array
        Standard deviation of each coordinate by independent displacements and by thermal waves, as a fraction of
        ``nearest``.
    **more
        Other columns.
    """
    return recipes.assign(
        vacancy_ratio=vacancies, displacement=displacement * recipes.nearest, waves=waves * recipes.nearest, **more
    )


def mild_draws(recipes: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw damage as most samples have it, by which verdicts are calibrated: one crystal in eight stays perfect.

    The others lack up to 40 % of their atoms; these are displaced by up to 8 % of the neighbour distance, where
    crystals melt, a random share of its square by waves.

    Returns
    -------
    vacancies, displacement, waves : ndarray, shape (n,)
        Fraction of the atoms; standard deviations of a coordinate in units of the neighbour distance.

    References
    ----------
    F. A. Lindemann, Phys. Z. 11, 609 (1910): crystals melt where displacements reach a certain share of the neighbour
    distance. In molecular dynamics of Al and Fe at melting it is 8 % in each coordinate.
    """
    vacancies, total, share, spared = draws(recipes, 4).T
    hurt = spared > 1 / 8
    total = 0.08 * total * hurt
    return 0.4 * vacancies * hurt, total * np.sqrt(1 - share), total * np.sqrt(share)


def mild_damage(recipes: pd.DataFrame) -> pd.DataFrame:
    """Return recipes of `damaged` crystals with `mild_draws`."""
    return damaged(recipes, *mild_draws(recipes))
