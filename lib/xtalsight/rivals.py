"""Other ways to tell a crystal structure: space groups by spglib, neighbour analysis by OVITO, bond order by freud, the
cell that repeats by MatID, SOAP by DScribe.

OVITO, freud, MatID and DScribe are optional (``pip install ovito freud-analysis matid dscribe``); `HAS_OVITO`,
`HAS_FREUD`, `HAS_MATID` and `HAS_DSCRIBE` say whether they are there and can be loaded.
"""

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

from xtalsight.crystals import CLASS_OF_SPACE_GROUP, CLASSES, space_group
from xtalsight.fingerprints import length_scale

try:
    from ovito import modifiers
    from ovito.io.ase import ase_to_ovito
except ImportError:  # also where it is installed but lacks a library of the system
    HAS_OVITO = False
else:
    HAS_OVITO = True

try:
    import freud
except ImportError:
    HAS_FREUD = False
else:
    HAS_FREUD = True

try:
    from matid.clustering import SBC
except ImportError:
    HAS_MATID = False
else:
    HAS_MATID = True

try:
    from dscribe.descriptors import SOAP
except ImportError:
    HAS_DSCRIBE = False
else:
    HAS_DSCRIBE = True

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
"""Methods of `neighbour_classes`, and the prototypes that each of them has a type for."""

DEGREES = (2, 4, 6, 8, 10, 12)
"""Degrees l of the bond-orientational order parameters of `steinhardt`."""

N_BONDS = 12
"""Nearest neighbours of an atom that `steinhardt` counts: those of the close packings."""


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


def neighbour_classes(atoms: Atoms, method: str) -> np.ndarray:
    """Return the class that each atom has by its neighbours, or `NO_ANSWER`.

    Parameters
    ----------
    atoms : Atoms
    method : str
        A key of `NEIGHBOUR_METHODS`: polyhedral template matching (P. M. Larsen et al., Model. Simul. Mater. Sci. Eng.
        24, 055007 (2016), doi:10.1088/0965-0393/24/5/055007) with all its types and OVITO's cutoff of the deviation;
        adaptive common-neighbour analysis (A. Stukowski, ibid. 20, 045021 (2012), doi:10.1088/0965-0393/20/4/045021);
        bond angles (G. J. Ackland, A. P. Jones, Phys. Rev. B 73, 054104 (2006), doi:10.1103/PhysRevB.73.054104).

    Returns
    -------
    ndarray
        Labels, (n_atoms,) int.

    Raises
    ------
    ModuleNotFoundError
        OVITO is not installed.
    """
    return _match(atoms, method)[1]


def _match(atoms, method, **options):
    """OVITO's data, and the class of each atom."""
    if not HAS_OVITO:
        raise ModuleNotFoundError("the neighbour methods need OVITO: pip install ovito")
    modifier = {
        "polyhedral template matching": modifiers.PolyhedralTemplateMatchingModifier,
        "adaptive common-neighbour analysis": modifiers.CommonNeighborAnalysisModifier,
        "Ackland-Jones": modifiers.AcklandJonesModifier,
    }[method](**options)
    for structure in modifier.structures:
        structure.enabled = True
    data = ase_to_ovito(atoms)
    data.apply(modifier)
    classes = [_CLASS_OF_TYPE.get(structure.name) for structure in modifier.structures]
    labels = np.array([NO_ANSWER if name is None else CLASSES.index(name) for name in classes])
    return data, labels[np.asarray(data.particles["Structure Type"])]


def segmented_grains(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Return the grain of each atom by template matching, and the class that most of the grain's atoms have.

    OVITO's grain segmentation joins atoms of one template whose orientations are alike, and adopts those without
    template that touch a grain.

    Parameters
    ----------
    atoms : Atoms
        Its cell and ``pbc`` count.

    Returns
    -------
    grain : ndarray of int, shape (n_atoms,)
        -1 for none.
    label : ndarray of int, shape (n_atoms,)
        `NO_ANSWER` for none.

    Raises
    ------
    ModuleNotFoundError
        OVITO is not installed.
    """
    data, labels = _match(atoms, "polyhedral template matching", output_orientation=True)
    data.apply(modifiers.GrainSegmentationModifier(orphan_adoption=True))
    grain = np.asarray(data.particles["Grain"]).astype(int)  # -1: none
    votes = np.zeros((grain.max(initial=-1) + 2, len(CLASSES)), int)
    known = labels != NO_ANSWER
    np.add.at(votes, (grain[known], labels[known]), 1)
    of_grain = np.where(votes.any(axis=1), votes.argmax(axis=1), NO_ANSWER)
    of_grain[-1] = NO_ANSWER  # of the grain -1
    return grain, of_grain[grain]


def neighbour_class(atoms: Atoms, method: str) -> int:
    """Return the class that most atoms have by their neighbours, those without any not counted, or `NO_ANSWER`.

    Parameters and errors as those of `neighbour_classes`.
    """
    labels = neighbour_classes(atoms, method)
    labels = labels[labels != NO_ANSWER]
    return int(np.bincount(labels).argmax()) if len(labels) else NO_ANSWER


def steinhardt(atoms: Atoms) -> np.ndarray:
    """Compute the bond-orientational order parameters of each atom of a finite cloud, and their neighbour averages.

    With the directions r_ij from atom i to its nearest neighbours j, `N_BONDS` in number, and spherical harmonics Y_lm,

        q_lm(i) = mean over j of Y_lm(r_ij)
        q_l(i) = sqrt(4 pi / (2 l + 1) sum over m of |q_lm(i)|^2)

    The averaged ones take, instead of q_lm(i), its mean over atom i and these neighbours: they see the second shell,
    too, and fluctuate less. Both are the same in any orientation and at any scale. In fcc, q_4 = 0.191 and q_6 = 0.575.

    Where more atoms than needed are equally far, rounding chooses among them, and the values with it: in perfect bcc (8
    neighbours and 4 of the next 6), sc (6 and 6 of 12) and diamond (4 and 8 of 12), and at surfaces. Only in fcc and
    hcp do all the atoms inside have the same values.

    Parameters
    ----------
    atoms : Atoms
        A cloud. Cell and ``pbc`` are ignored: there are no periodic images.

    Returns
    -------
    ndarray
        (n_atoms, 12) float32, right to three decimals: q_l for the six l of `DEGREES`, then the averaged q_l for the
        same.

    Raises
    ------
    ModuleNotFoundError
        freud is not installed.
    ValueError
        Fewer than 13 atoms.

    References
    ----------
    P. J. Steinhardt, D. R. Nelson, M. Ronchetti, Phys. Rev. B 28, 784 (1983), doi:10.1103/PhysRevB.28.784.

    W. Lechner, C. Dellago, J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970.
    """
    if not HAS_FREUD:
        raise ModuleNotFoundError("the bond-orientational order parameters need freud: pip install freud-analysis")
    if len(atoms) <= N_BONDS:
        raise ValueError(f"{len(atoms)} atoms are too few: each needs {N_BONDS} neighbours")
    positions = atoms.positions - (atoms.positions.max(axis=0) + atoms.positions.min(axis=0)) / 2
    # freud wants a periodic box. In this one every image is farther away than any two atoms are from each other.
    box = freud.box.Box.cube(6 * np.abs(positions).max())
    # freud's own search starts from the density of the box, far too low here, and takes several times as long.
    neighbours = cKDTree(positions).query(positions, N_BONDS + 1)[1][:, 1:]
    first, second = np.repeat(np.arange(len(atoms)), N_BONDS), neighbours.ravel()
    bonds = freud.locality.NeighborList.from_arrays(
        len(atoms), len(atoms), first, second, positions[second] - positions[first]
    )
    # Two computations: where average=True, freud's `ql` is the averaged one, too, whatever its documentation says.
    return np.hstack([
        freud.order.Steinhardt(DEGREES, average=average).compute((box, positions), bonds).particle_order
        for average in (False, True)
    ])  # fmt: skip


def repeating_cell(atoms: Atoms) -> Atoms:
    """Return the cell that repeats in the largest part of a periodic structure, defects allowed, by MatID; the
    structure itself where none is found.

    Raises
    ------
    ModuleNotFoundError
        MatID is not installed.

    References
    ----------
    L. Himanen, P. Rinke, A. S. Foster, npj Comput. Mater. 4, 52 (2018), doi:10.1038/s41524-018-0107-6.
    """
    if not HAS_MATID:
        raise ModuleNotFoundError("MatID is not installed: pip install matid")
    found = SBC().get_clusters(atoms)
    return max(found, key=lambda cluster: len(cluster.indices)).get_cell() if found else atoms


def soap(atoms: Atoms) -> np.ndarray:
    """Compute the SOAP vector of a finite cloud: the power spectrum of the mean of its atoms' expansion coefficients.

    With the coefficients c^i_nlm of the neighbourhood of atom i, p_nn'l = sum_m <c_nlm>* <c_n'lm>, where <> is the mean
    over the atoms.

    Positions are in units of the length scale from the powder pattern, elements do not count, and neighbours are
    smeared out by 0.15 and counted up to 2.5 length scales, six shells in fcc and more in diamond, with 8 radial
    functions and degrees up to 6.

    Parameters
    ----------
    atoms : Atoms
        A cloud. Cell and ``pbc`` are ignored.

    Returns
    -------
    ndarray
        (252,) float32, of length 1.

    Raises
    ------
    ModuleNotFoundError
        DScribe is not installed.
    ValueError
        There is no length scale.

    References
    ----------
    A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115. L. Himanen et
    al., Comput. Phys. Commun. 247, 106949 (2020), doi:10.1016/j.cpc.2019.106949.
    """
    if not HAS_DSCRIBE:
        raise ModuleNotFoundError("SOAP needs DScribe: pip install dscribe")
    places = Atoms(f"H{len(atoms)}", atoms.positions / length_scale(Atoms(positions=atoms.positions), "powder"))
    descriptor = SOAP(
        species=["H"], r_cut=2.5, n_max=8, l_max=6, sigma=0.15, average="inner", periodic=False, dtype="float32"
    )
    vector = descriptor.create(places)
    return vector / np.linalg.norm(vector)
