import pytest

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
