import numpy as np
import pandas as pd
import pytest
from ase import Atoms

from xtalsight import networks

CIF_OF_SITES = """data_alloy
_cell_length_a 3.75
_cell_length_b 3.75
_cell_length_c 3.75
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""
"""An fcc crystal, to which lines of sites with their occupancy are added."""


@pytest.fixture(scope="session", autouse=True)
def threads():
    """Once, before TensorFlow computes anything: it refuses another number of threads later."""
    networks.make_reproducible(0)


@pytest.fixture
def mapped():
    """A map of 1000 atoms, 3 Å apart, made up, and the annotated atoms: four grains, accepted, accepted, refused, a
    compound, in quarters of a cube, and a boundary of one layer."""
    from xtalsight.grains import Map, annotate

    places = np.indices((10, 10, 10)).reshape(3, -1).T
    grain = 2 * (places[:, 0] > 5) + (places[:, 1] >= 5)
    grain[places[:, 0] == 5] = -1
    grains = pd.DataFrame(
        {
            "class": ["fcc", "bcc", "hex/rh", "none"],
            "prototype": ["A_cF4_225_a", "none", "none", "AB_cP2_221_b_a"],
            "confidence": [0.99, 0.9, 0.4, 0.8],
            "accepted": [True, True, False, True],
            "atoms": np.bincount(grain[grain >= 0]),
            "lattice": ["cF", "cI", "hP", None],
            "ipf_z": ["#ff0000", "#00ff00", "#0000ff", None],
        }
    ).rename_axis("grain")
    neighbours = pd.DataFrame({"grain": [0], "other": [1], "contacts": [250]})
    found = Map(grain.astype(np.int32), np.where(grain < 0, 0.1, 0.9).astype(np.float32), grains, neighbours, 9.0)
    return found, annotate(Atoms("Cu1000", 3.0 * places), found)
