"""Hot crystals, random packings and melts by the potentials that come with ASE.

Seven fcc metals by effective medium theory (`ase.calculators.emt.EMT`), argon by Lennard-Jones. Temperatures are
kelvin, times femtoseconds. Each structure draws from a random stream of its own, so that neither the order of the
calls nor the number of jobs changes an atom.

References
----------
K. W. Jacobsen, P. Stoltze, J. K. Nørskov, Surf. Sci. 366, 394 (1996), doi:10.1016/0039-6028(96)00816-3 (EMT). A.
Rahman, Phys. Rev. 136, A405 (1964), doi:10.1103/PhysRev.136.A405 (argon).
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.optimize import FIRE
from scipy.spatial.transform import Rotation

from xtalsight.counterexamples import build_counterexample

MELTING = {"Al": 933, "Cu": 1358, "Ag": 1235, "Au": 1337, "Ni": 1728, "Pd": 1828, "Pt": 2041, "Ar": 83}
"""Melting points, kelvin, of the fcc solids that have a potential here: of metals by experiment, of argon the triple
point of Lennard-Jones, 0.69 epsilon (E. A. Mastny, J. J. de Pablo, J. Chem. Phys. 127, 104758 (2007),
doi:10.1063/1.2753149)."""

METALS = tuple(symbol for symbol in MELTING if symbol != "Ar")
"""Those of them that EMT describes. The place in these two lists is a part of a structure's random stream: add at the
end only."""

FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Temperatures of `heated`, as fractions of the melting point."""

SNAPSHOTS = 3
"""Snapshots of `heated` at each temperature."""

_STEP = 5.0  # femtoseconds, of a metal
_STEP_OF_ARGON = 15.0
_FRICTION = 0.05  # of a step: the longest waves of a box of this size settle soonest


def heat_bath(atoms: Atoms, temperature: float, rng: np.random.Generator, step: float = _STEP) -> Langevin:
    """Return Langevin dynamics of atoms that have a calculator; their centre of mass is fixed.

    Parameters
    ----------
    atoms : Atoms
        Changed in place as the dynamics runs.
    temperature : float
        Kelvin.
    rng : Generator
    step : float
        Time step, femtoseconds. The friction is 0.05 per step.

    References
    ----------
    E. Vanden-Eijnden, G. Ciccotti, Chem. Phys. Lett. 429, 310 (2006), doi:10.1016/j.cplett.2006.07.086.
    """
    atoms.set_constraint(FixCom())
    step = step * units.fs
    return Langevin(atoms, step, temperature_K=temperature, friction=_FRICTION / step, fixcm=False, rng=rng)


def cold_crystal(symbol: str, repeats: int = 5) -> Atoms:
    """Return the perfect fcc crystal that `heated` begins with: periodic, `repeats` cubic cells along each axis.

    Raises
    ------
    ValueError
        There is no potential for this solid.
    """
    _known(symbol, MELTING)
    return bulk(symbol, cubic=True).repeat(repeats)


def heated(
    symbol: str, seed: int, md_steps: int, fractions: Sequence[float] = FRACTIONS, repeats: int = 5
) -> list[Atoms]:
    """Heat a crystal step by step at constant volume, and keep three snapshots at each temperature.

    Stream of random numbers: ``[seed, place in MELTING, 8]``.

    Parameters
    ----------
    symbol : str
        Of `MELTING`.
    seed : int
    md_steps : int
        Steps before the first snapshot of each temperature; a third of them before each snapshot. 5 fs each, of argon
        15 fs.
    fractions : sequence of float
        Temperatures, as fractions of the melting point.
    repeats : int
        Cubic cells along each axis.

    Returns
    -------
    list of Atoms
        `SNAPSHOTS` of each temperature, atoms in the order of `cold_crystal` and not wrapped into the cell, so that
        the difference of positions is the displacement. ``info``: ``solid`` (the symbol) and ``T`` (the fraction).

    Raises
    ------
    ValueError
        There is no potential for this solid.
    """
    atoms, snapshots = cold_crystal(symbol, repeats), []
    is_argon = symbol == "Ar"
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=8.5, smooth=True) if is_argon else EMT()
    rng = np.random.default_rng([seed, list(MELTING).index(symbol), 8])
    dynamics = heat_bath(atoms, 0, rng, _STEP_OF_ARGON if is_argon else _STEP)
    for fraction in fractions:
        dynamics.set_temperature(temperature_K=fraction * MELTING[symbol])
        dynamics.run(md_steps)
        for _ in range(SNAPSHOTS):
            dynamics.run(md_steps // SNAPSHOTS)
            snapshots.append(atoms.copy())
            snapshots[-1].info |= {"solid": symbol, "T": fraction}
    return snapshots


def disordered(symbol: str, seed: int, melts: int, md_steps: int) -> tuple[list[Atoms], list[Atoms]]:
    """Make random packings of a metal, and snapshots of the melt that the last of them becomes.

    Random points of the metal's density that keep a distance (``hard_spheres`` of `xtalsight.counterexamples`) are
    relaxed, so that those which are too close come apart; the last packing is then kept at one and a half times the
    melting point.

    Streams of random numbers: of a packing that of its recipe, seed `seed` + 7; of the melt ``[seed, id of the
    metal's first packing, 7]``.

    Parameters
    ----------
    symbol : str
        Of `METALS`.
    seed : int
    melts : int
        Number of packings, and of snapshots of the melt.
    md_steps : int
        Steps of relaxation at most (with 40 the closest atoms of copper are 0.65 to 0.75 neighbour distances apart,
        the forces not yet zero), and half of the steps of dynamics, 5 fs each, before each snapshot.

    Returns
    -------
    packings, molten : list of Atoms
        `melts` each, periodic, of 256 atoms; of the molten ones not wrapped into the cell.

    Raises
    ------
    ValueError
        There is no potential for this metal, or no melt is asked for.

    References
    ----------
    E. Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006), doi:10.1103/PhysRevLett.97.170201 (relaxation).
    """
    _known(symbol, METALS)
    if melts < 1:
        raise ValueError(f"{melts=} must be at least 1")
    packings, molten, first = [], [], melts * METALS.index(symbol)
    for number in range(first, first + melts):
        recipe = {"prototype": "hard_spheres", "element": symbol, "id": number, "seed": seed + 7}
        atoms = build_counterexample(recipe)
        atoms.calc = EMT()
        FIRE(atoms, logfile=None).run(fmax=0.5, steps=md_steps)
        packings.append(atoms.copy())
    dynamics = heat_bath(atoms, 1.5 * MELTING[symbol], np.random.default_rng([seed, first, 7]))
    for _ in range(melts):
        dynamics.run(2 * md_steps)
        molten.append(atoms.copy())
    return packings, molten


def inner_balls(large: Atoms, n_atoms: int, n_balls: int, seed: int) -> list[Atoms]:
    """Cut balls out of a ball of atoms, around inner ones, so far in that none reaches its surface; turn each at
    random.

    Stream of random numbers: ``[seed, n_atoms, 9]``.

    Parameters
    ----------
    large : Atoms
        A ball without cell, of even density.
    n_atoms : int
        Of each small ball.
    n_balls : int
        Each about an atom of its own; they overlap.
    seed : int

    Raises
    ------
    ValueError
        Not so many atoms lie far enough in.
    """
    rng = np.random.default_rng([seed, n_atoms, 9])
    inner = int(len(large) * (1 - min(1, n_atoms / len(large)) ** (1 / 3)) ** 3)
    if n_balls > inner:
        raise ValueError(f"{inner} of {len(large)} atoms lie far enough in for {n_atoms=}, too few for {n_balls=}")
    distance = np.linalg.norm(large.positions - large.positions.mean(axis=0), axis=1)
    balls = []
    for middle in rng.choice(np.argsort(distance)[:inner], n_balls, replace=False):
        apart = large.positions - large.positions[middle]
        nearest = np.argsort((apart**2).sum(axis=1))[:n_atoms]
        balls.append(Atoms(large.numbers[nearest], Rotation.random(rng=rng).apply(apart[nearest])))
    return balls


def _known(symbol, symbols):
    if symbol not in symbols:
        raise ValueError(f"no potential for {symbol!r}: there are those of {', '.join(symbols)}")
