import numpy as np
import pytest
from ase import Atoms
from ase.cell import Cell
from ase.neighborlist import neighbor_list

from xtalsight.boxes import all_boxes, blocks_of, near_block, sort_into_boxes, take_block, with_images, wrapped

SEED = 1912
ROUNDING = 1e-4  # angstrom, of float32 in a block
SIZE = 5.0  # of the boxes, angstrom
CUTOFF = 3.5  # of neighbours, angstrom; boxes are never less high
CELLS = {
    "cube": np.diag([22.0, 22.0, 22.0]),
    "triclinic": np.array([(20.0, 3, -4), (-6, 24, 2), (5, 7, 19)]),
    "left-handed": np.array([(0.0, 21, 3), (22, 0, -5), (2, 4, 23)]),
    "skewed": np.array([(16.0, 0, 0), (150, 18, 0), (-70, 95, 17)]),
    "thin": np.array([(40.0, 0, 0), (0, 30, 0), (3, 2, 6)]),
    "smaller than a box": np.array([(4.0, 0.5, 0), (0, 3.5, 0.3), (1, 0, 3)]),
}
BOUNDARIES = [(1, 1, 1), (1, 0, 1), (0, 0, 1), (0, 0, 0)]
each_cell = pytest.mark.parametrize("name", CELLS)
cells_and_boundaries = [(name, pbc) for name in CELLS for pbc in BOUNDARIES if name != "skewed" or any(pbc)]
each_cell_and_boundary = pytest.mark.parametrize(
    "name, pbc", cells_and_boundaries, ids=[f"{name}-{pbc}" for name, pbc in cells_and_boundaries]
)


def sample(name, pbc=(1, 1, 1), density=0.03, spread=1):
    """Atoms at random in a cell, or in several of it: some lie outside."""
    rng = np.random.default_rng(SEED)
    cell = CELLS[name]
    n = max(8, int(density * abs(np.linalg.det(cell))))
    places = rng.uniform(0, 1, (n, 3)) + np.array(pbc) * rng.integers(-spread, spread + 1, (n, 3))
    return Atoms(f"Cu{n}", places @ cell, cell=cell, pbc=pbc)


def boxes_of(atoms, size=SIZE):
    return sort_into_boxes(atoms.positions, atoms.cell.array, atoms.pbc, size)


def every_block(boxes, edge=3, halo=1):
    return [(low, high, take_block(boxes, low, high, halo)) for low, high in blocks_of(boxes, edge)]


def table(i, j, distance):
    """Pairs of atoms with their distances, sorted: those of equal atoms by distance."""
    pairs = np.column_stack([i, j, distance])
    return pairs[np.lexsort(pairs.T[::-1])]


# Boxes.


@each_cell_and_boundary
def test_every_atom_is_in_one_box(name, pbc):
    atoms = sample(name, pbc)
    boxes = boxes_of(atoms)
    assert boxes.n_given == len(atoms)
    assert len(boxes.atom) % len(atoms) == 0
    np.testing.assert_array_equal(np.sort(boxes.atom), np.arange(len(boxes.atom)))
    assert (boxes.start[0], boxes.start[-1], len(boxes.start)) == (0, len(boxes.atom), boxes.shape.prod() + 1)
    assert (np.diff(boxes.start) >= 0).all()


@each_cell_and_boundary
def test_an_atom_lies_in_its_box(name, pbc):
    boxes = boxes_of(sample(name, pbc))
    edges = boxes.vectors / boxes.shape[:, None]
    of_row = np.repeat(np.arange(boxes.shape.prod()), np.diff(boxes.start))
    indices = np.stack(np.unravel_index(of_row, boxes.shape), axis=-1)
    np.testing.assert_array_equal(boxes.number(indices), of_row)
    within = (boxes.positions - boxes.middles(indices)) @ np.linalg.inv(edges)
    assert np.abs(within).max() <= 0.5 + 1e-9


@each_cell_and_boundary
def test_atoms_are_moved_by_vectors_of_the_cell_only(name, pbc):
    atoms = sample(name, pbc)
    boxes = boxes_of(atoms)
    moved = boxes.positions - atoms.positions[boxes.atom % len(atoms)]
    cell = Cell(np.where(np.array(pbc, bool)[:, None], atoms.cell.array, 0)).complete()
    steps = moved @ np.linalg.inv(cell)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    np.testing.assert_allclose(steps[:, ~np.array(pbc, bool)], 0, atol=1e-9)


@each_cell
def test_boxes_are_about_as_high_as_asked_for(name):
    boxes = boxes_of(sample(name))
    heights = 1 / np.linalg.norm(np.linalg.inv(boxes.vectors / boxes.shape[:, None]), axis=0)
    assert heights.min() >= 0.75 * SIZE - 1e-9
    assert heights.max() <= 1.5 * SIZE


def test_vectors_along_which_a_cell_is_not_periodic_do_not_matter():
    atoms = sample("triclinic", (1, 0, 1))
    boxes = boxes_of(atoms)
    for other in ((0, 0, 0), (0, 1e9, 0), atoms.cell.array[0]):
        cell = atoms.cell.array.copy()
        cell[1] = other
        again = sort_into_boxes(atoms.positions, cell, atoms.pbc, SIZE)
        np.testing.assert_array_equal(again.atom, boxes.atom)


def test_another_choice_of_vectors_gives_the_same_boxes():
    """The same lattice: vectors that are short and near to right angles are taken."""
    atoms = sample("triclinic")
    vectors = np.abs(np.linalg.inv(boxes_of(atoms).vectors)).sum()
    for change in ([[1, 0, 0], [7, 1, 0], [-3, 5, 1]], [[0, 1, 0], [1, 0, 0], [0, 0, 1]]):
        other = sort_into_boxes(atoms.positions, np.array(change) @ atoms.cell.array, atoms.pbc, SIZE)
        assert other.shape.prod() == boxes_of(atoms).shape.prod()
        assert np.abs(np.linalg.inv(other.vectors)).sum() == pytest.approx(vectors)


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_cell_smaller_than_a_box_is_repeated(repeats):
    atoms = sample("smaller than a box")
    boxes = boxes_of(atoms, repeats * SIZE)
    own = boxes.atom < boxes.n_given
    assert own.sum() == len(atoms) < len(boxes.atom)
    images = len(boxes.atom) // len(atoms)
    assert abs(np.linalg.det(boxes.vectors)) == pytest.approx(images * atoms.get_volume())


# Blocks.


@pytest.mark.parametrize("edge", [1, 2, 100])
def test_blocks_hold_every_box_once(edge):
    boxes = boxes_of(sample("triclinic"))
    numbers = [boxes.number(all_boxes(low, high)).ravel() for low, high in blocks_of(boxes, edge)]
    assert max(map(len, numbers)) <= edge**3
    np.testing.assert_array_equal(np.sort(np.concatenate(numbers)), np.arange(boxes.shape.prod()))


@each_cell_and_boundary
def test_every_atom_is_inside_one_block(name, pbc):
    boxes = boxes_of(sample(name, pbc))
    rows = np.concatenate([block.rows[block.inner] for *_, block in every_block(boxes)])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(boxes.atom)))


@each_cell_and_boundary
def test_an_atom_has_all_of_its_neighbours_in_its_block(name, pbc):
    """Through the walls, too: the pairs and distances are those of a neighbour list."""
    atoms = sample(name, pbc)
    boxes = boxes_of(atoms)
    found = []
    for *_, block in every_block(boxes, 2):
        atom = boxes.atom[block.rows]
        own = np.flatnonzero(block.inner & (atom < boxes.n_given))
        distance = np.linalg.norm(block.points[own, None].astype(float) - block.points, axis=-1)
        i, j = np.nonzero(distance <= CUTOFF)
        itself = own[i] == j
        found.append(np.column_stack([atom[own[i]], atom[j] % len(atoms), distance[i, j]])[~itself])
    found = table(*np.concatenate(found).T)
    expected = table(*neighbor_list("ijd", atoms, CUTOFF))
    np.testing.assert_array_equal(found[:, :2], expected[:, :2])
    np.testing.assert_allclose(found[:, 2], expected[:, 2], atol=ROUNDING)


def test_points_of_a_block_are_relative_to_its_middle():
    boxes = boxes_of(sample("triclinic"))
    for low, high, block in every_block(boxes):
        inside = block.points[block.inner] + block.middle
        np.testing.assert_allclose(inside, boxes.positions[block.rows[block.inner]], atol=ROUNDING)
        np.testing.assert_allclose(block.middle, boxes.middles(all_boxes(low, high)).mean(axis=(0, 1, 2)), atol=1e-9)


def test_first_says_where_the_atoms_of_a_box_are():
    """As the waves of a box are searched: from the first of one box to the first of the one beyond it in the row."""
    boxes = boxes_of(sample("skewed"))
    for low, high, block in every_block(boxes, halo=2):
        folded, _ = wrapped(boxes, low - 2, high + 2)
        number = boxes.number(folded)
        assert block.first.shape == (*number.shape[:2], number.shape[2] + 1)
        for place in np.ndindex(number.shape):
            here = block.rows[block.first[place] : block.first[(*place[:2], place[2] + 1)]]
            np.testing.assert_array_equal(here, np.arange(*boxes.start[number[place] + [0, 1]]))


def test_beyond_an_open_face_there_is_nothing():
    boxes = boxes_of(sample("cube", (1, 0, 1)))
    _, exist = wrapped(boxes, (-1, -1, -1), boxes.shape + 1)
    assert exist[:, 1:-1].all() and not exist[:, [0, -1]].any()


@each_cell_and_boundary
def test_what_is_near_a_block_is_marked(name, pbc):
    boxes = boxes_of(sample(name, pbc))
    for low, high, block in every_block(boxes, 2, halo=2):
        distance = np.linalg.norm(block.points[:, None] - block.points[block.inner], axis=-1).min(
            axis=1, initial=np.inf
        )
        near = near_block(boxes, block, low, high, 2.0)
        assert near[distance <= 2.0 - ROUNDING].all()
        if len(block.rows) > 2000:
            assert near.mean() < 0.8  # not everything


# Images.


@each_cell_and_boundary
def test_around_a_cell_there_are_the_images_that_a_sphere_of_so_many_atoms_reaches(name, pbc):
    """Around each atom of the cell: as many as a neighbour list says."""
    atoms = sample(name, pbc)
    places = with_images(atoms.positions, atoms.cell.array, atoms.pbc, 250)
    moved = places[: len(atoms)] - atoms.positions
    steps = moved @ np.linalg.inv(Cell(np.where(np.array(pbc, bool)[:, None], atoms.cell.array, 0)).complete())
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    counts = np.bincount(neighbor_list("i", atoms, CUTOFF), minlength=len(atoms))
    distance = np.linalg.norm(places[: len(atoms), None] - places, axis=-1)
    np.testing.assert_array_equal((distance <= CUTOFF).sum(axis=1) - 1, counts)


def test_without_period_there_are_no_images():
    atoms = sample("cube", (0, 0, 0))
    np.testing.assert_array_equal(with_images(atoms.positions, atoms.cell.array, atoms.pbc, 250), atoms.positions)


# Bad input.


@pytest.mark.parametrize(
    "cell, pbc",
    [
        (np.zeros((3, 3)), (1, 1, 1)),
        ([(5, 0, 0), (0, 5, 0), (5, 5, 0)], (1, 1, 1)),
        ([(5, 0, 0), (10, 0, 0), (0, 0, 5)], (1, 1, 0)),
        ([(5, 0, 0), (0, 5, 0), (0, 0, 0)], (1, 1, 1)),
        ([(5, 0, 0), (0, 5, 0), (0, 0, 1e-9)], (1, 1, 1)),
        ([(0, 0, 0), (0, 5, 0), (0, 0, 5)], (1, 0, 0)),
    ],
    ids=["no cell", "in a plane", "in a line", "no vector", "flat", "no vector along the only one"],
)
def test_a_periodic_cell_without_volume_is_refused(cell, pbc):
    positions = np.random.default_rng(SEED).uniform(0, 5, (50, 3))
    with pytest.raises(ValueError, match="cell"):
        sort_into_boxes(positions, cell, pbc, SIZE)


@pytest.mark.parametrize("distance", [1e4, 1e12, 1e80])
def test_atoms_too_far_apart_are_refused(distance):
    positions = np.random.default_rng(SEED).uniform(0, 20, (100, 3))
    positions[0] = distance
    with pytest.raises(ValueError, match="too far apart"):
        sort_into_boxes(positions, np.zeros((3, 3)), (0, 0, 0), SIZE)


def test_a_huge_vacuum_is_refused():
    positions = np.random.default_rng(SEED).uniform(0, 20, (100, 3))
    with pytest.raises(ValueError, match="too far apart"):
        sort_into_boxes(positions, 1e7 * np.eye(3), (1, 1, 1), SIZE)


def test_one_atom_is_in_one_box():
    boxes = sort_into_boxes(np.array([(3.0, 4.0, 5.0)]), np.zeros((3, 3)), (0, 0, 0), SIZE)
    assert boxes.shape.tolist() == [1, 1, 1] and boxes.start.tolist() == [0, 1]
