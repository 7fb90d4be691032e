"""Other ways to tell a crystal structure: space groups by spglib, neighbour analysis by OVITO.

OVITO is optional (``pip install ovito``); `HAS_OVITO` says whether it is there and can be loaded.
"""

import numpy as np
from ase import Atoms

from xtalsight.crystals import CLASS_OF_SPACE_GROUP, CLASSES, space_group

try:
    from ovito import modifiers
    from ovito.io.ase import ase_to_ovito
except ImportError:  # also where it is installed but lacks a library of the system
    HAS_OVITO = False
else:
    HAS_OVITO = True

NO_ANSWER = -1
"""What the functions return when a method finds none of the seven classes."""

_CLASS_OF_TYPE = {
    "FCC": "fcc",
    "HCP": "hex/rh",
    "BCC": "bcc",
    "Simple cubic": "sc",
    "Cubic diamond": "diam",
    "Hexagonal diamond": "hex/rh",
    "Graphene": "hex/rh",
}

NEIGHBOUR_METHODS = {
    "polyhedral template matching": ("bcc", "diamond", "fcc", "hcp", "graphite", "rh_graphite", "sc"),
    "adaptive common-neighbour analysis": ("bcc", "fcc", "hcp"),
    "Ackland-Jones": ("bcc", "fcc", "hcp"),
}
"""Methods of `neighbour_class`, and the prototypes that each of them has a type for."""


def space_group_class(atoms: Atoms, symprec: float, angle_tolerance: float) -> int:
    """Return the class to which the space group belongs that spglib finds, or `NO_ANSWER`.

    Parameters
    ----------
    atoms : Atoms
        Periodic.
    symprec : float
        Angstrom.
    angle_tolerance : float
        Degrees.
    """
    try:
        return CLASS_OF_SPACE_GROUP.get(space_group(atoms, symprec, angle_tolerance), NO_ANSWER)
    except ValueError:
        return NO_ANSWER


def neighbour_class(atoms: Atoms, method: str) -> int:
    """Return the class that most atoms have by their neighbours, those without any not counted, or `NO_ANSWER`.

    Parameters
    ----------
    atoms : Atoms
    method : str
        A key of `NEIGHBOUR_METHODS`: polyhedral template matching (P. M. Larsen et al., Model. Simul. Mater. Sci. Eng. 24,
        055007 (2016), doi:10.1088/0965-0393/24/5/055007) with all its types and OVITO's cutoff of the deviation; adaptive
        common-neighbour analysis (A. Stukowski, ibid. 20, 045021 (2012), doi:10.1088/0965-0393/20/4/045021); bond angles
        (G. J. Ackland, A. P. Jones, Phys. Rev. B 73, 054104 (2006), doi:10.1103/PhysRevB.73.054104).

    Raises
    ------
    ModuleNotFoundError
        OVITO is not installed.
    """
    if not HAS_OVITO:
        raise ModuleNotFoundError("the neighbour methods need OVITO: pip install ovito")
    modifier = {
        "polyhedral template matching": modifiers.PolyhedralTemplateMatchingModifier,
        "adaptive common-neighbour analysis": modifiers.CommonNeighborAnalysisModifier,
        "Ackland-Jones": modifiers.AcklandJonesModifier,
    }[method]()
    for structure in modifier.structures:
        structure.enabled = True
    data = ase_to_ovito(atoms)
    data.apply(modifier)
    types = np.asarray(data.particles["Structure Type"])
    names = [modifier.structures[t].name for t in types]
    labels = [CLASSES.index(_CLASS_OF_TYPE[name]) for name in names if name in _CLASS_OF_TYPE]
    return int(np.bincount(labels).argmax()) if labels else NO_ANSWER
