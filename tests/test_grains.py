import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from sklearn.metrics import adjusted_rand_score

from xtalsight import grains
from xtalsight.__main__ import map_file
from xtalsight.clouds import build_polycrystal, cut_cloud
from xtalsight.counterexamples import build_counterexample, make_counterexamples
from xtalsight.crystals import CLASSES, rotate
from xtalsight.fingerprints import length_scale
from xtalsight.grains import BALL, map_structure, nearest_position, sphere_radius
from xtalsight.networks import PLACES_SHAPE, SPECTRUM_SHAPE
from xtalsight.preparation import SMALLEST
from xtalsight.spectra import cloud_radius
from xtalsight.store import load_table

SEED = 1912
PROBABILITY = 1e-3  # what rounding changes
FCC, NONE = CLASSES.index("fcc"), len(CLASSES)
COPPER, IRON = bulk("Cu"), bulk("Fe")
WHOLE = 0.9  # of the atoms of the fullest sphere: it is not cut by a face


class Says:
    """A network that gives the same answer about everything."""

    def __init__(self, label):
        self.label = label

    def predict_on_batch(self, spectra):
        return np.tile(np.eye(NONE + 1, dtype=np.float32)[self.label], (len(spectra), 1))


def says(monkeypatch, network):
    monkeypatch.setattr(grains, "load_network", lambda name: (network, {"thresholds": [0.5] * len(CLASSES)}))


class NamesKinds:
    """A network for prototypes: the first where there is one kind only, else the second; surer of the latter."""

    def predict_on_batch(self, spectra):
        assert spectra.shape[1:] == SPECTRUM_SHAPE
        places, kinds = np.swapaxes(spectra, 0, 1)
        several = np.abs(places - kinds).max(axis=(1, 2)) > 0.1
        return np.where(several[:, None], [0.1, 0.9, 0.0], [0.6, 0.3, 0.1]).astype(np.float32)


def names_kinds(monkeypatch, threshold=0.5):
    card = {"groups": [{"name": "A_cF4_225_a"}, {"name": "AB3_cP4_221_a_c"}], "threshold": threshold}
    card["group_of_output"] = [0, 1]
    monkeypatch.setattr(grains, "load_prototypes", lambda folder: (NamesKinds(), card))
    monkeypatch.setattr("xtalsight.__main__.prototype_files", lambda folder: None)


@pytest.fixture
def everything_is_fcc(monkeypatch):
    says(monkeypatch, Says(FCC))


def ball(n_atoms=1000, cell=COPPER):
    """A ball of a crystal, turned at random."""
    rng = np.random.default_rng([SEED, n_atoms])
    return cut_cloud(rotate(cell, Rotation.random(rng=rng).as_euler("xyz", degrees=True)), n_atoms, "sphere", rng)


def block(cell, axis, low, high):
    """The part between two corners of a crystal turned by 30 degrees about an axis."""
    turn = Rotation.from_rotvec(np.radians(30) * np.array(axis) / np.linalg.norm(axis)).as_euler("xyz", degrees=True)
    crystal = cut_cloud(rotate(cell, turn), 12_000, "sphere", np.random.default_rng(SEED))
    atoms = crystal[((crystal.positions >= low) & (crystal.positions < high)).all(axis=1)]
    return Atoms(atoms.numbers, atoms.positions)


def two_halves(left=COPPER, right=COPPER, size=(24, 15, 15)):
    """Two crystals that meet at x = 0, where neighbours keep their distance."""
    x, y, z = size
    return block(left, (1, 2, 3), (-x, -y, -z), (-0.6, y, z)) + block(right, (3, -1, 2), (0.6, -y, -z), (x, y, z))


def copper_and_ordered_alloy(size=(16, 11, 11)):
    """Copper at x < 0, Cu3Au (L1_2) at x > 0."""
    alloy = bulk("Cu", cubic=True)
    alloy.symbols[0] = "Au"
    return two_halves(COPPER, alloy, size)


def whole(table):
    return (table.n_atoms > WHOLE * table.n_atoms.max()).to_numpy()


# What is in the crystal.


@pytest.mark.parametrize(
    "crystal, name",
    [(COPPER, "fcc"), (IRON, "bcc"), (bulk("Mg"), "hex/rh"), (bulk("Si"), "diam")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_single_crystal_is_of_one_class_and_one_grain(crystal, name):
    table = map_structure(ball(4000, crystal), stride=7.0, n_jobs=1)
    inside = table[whole(table)]
    assert len(inside) > 15
    assert set(inside.label) == {CLASSES.index(name)}
    assert inside.accepted.all()
    assert set(inside.grain) == {0}


def test_a_single_crystal_has_no_boundary_but_at_its_surface():
    table = map_structure(ball(n_atoms=2500), n_jobs=1)
    middle = np.linalg.norm(table[["x", "y", "z"]], axis=1) < 0.8 * table.attrs["radius"]
    assert middle.sum() > 15
    assert not table.boundary[middle].any()


def test_a_crystal_that_lacks_a_quarter_of_its_atoms_is_one_grain():
    atoms = ball(n_atoms=4000)
    damaged = atoms[np.random.default_rng(SEED).random(len(atoms)) > 0.25]
    table = map_structure(damaged, stride=7.0, n_jobs=1)
    inside = table[whole(table)]
    assert (inside.label == FCC).all()
    assert (inside.grain == 0).mean() > 0.95


def test_two_crystals_have_their_classes():
    table = map_structure(two_halves(COPPER, IRON), n_jobs=1)
    radius = table.attrs["radius"]
    for side, name in ((table.x < -radius, "fcc"), (table.x > radius, "bcc")):
        inside = side & whole(table)
        assert inside.sum() > 10
        assert (table.label[inside] == CLASSES.index(name)).all() and table.accepted[inside].all()
        assert table.grain[inside].nunique() == 1


def assert_two_grains(table):
    """The halves are the two largest grains; the boundary between them is where they meet, and nowhere else inside."""
    radius = table.attrs["radius"]
    named = table[table.grain >= 0]
    assert len(named) > 0.9 * len(table)
    left, right = (set(named.grain[side]) for side in (named.x < -radius, named.x > radius))
    assert (len(left), len(right)) == (1, 1)
    assert left | right == {0, 1}
    assert table.boundary[np.abs(table.x) < table.attrs["stride"] / 2].all()
    assert not table.boundary[(np.abs(table.x) > radius) & whole(table)].any()


def test_two_turned_halves_of_one_metal_are_two_grains():
    assert_two_grains(map_structure(two_halves(), n_jobs=1))


def test_two_turned_halves_are_two_grains_even_where_every_sphere_is_accepted(everything_is_fcc):
    """Spheres half in one grain and half in the other are like both of them: they must not join these."""
    assert_two_grains(map_structure(two_halves(), n_jobs=1))


@pytest.mark.parametrize("size, stride", [((18, 10, 10), 3.0), ((15, 7, 7), 1.5)], ids=["third", "sixth"])
def test_two_turned_halves_are_two_grains_on_a_fine_grid_too(size, stride, everything_is_fcc):
    """The next points of the grid are alike across the boundary as well; those half a radius away are not."""
    table = map_structure(two_halves(size=size), radius=9.0, stride=stride, n_jobs=1)
    left, right = (set(table.grain[side]) for side in (table.x < -9, table.x > 9))
    assert (len(left), len(right)) == (1, 1)
    assert left != right


def test_grains_of_a_polycrystal_of_one_metal_are_told_apart():
    atoms = build_polycrystal([COPPER] * 4, 5000, np.random.default_rng(SEED))
    table = map_structure(atoms, n_jobs=1)
    found = table.grain.to_numpy()[nearest_position(atoms, table)]
    deep = atoms.arrays["from_boundary"] > table.attrs["radius"] / 2
    assert adjusted_rand_score(atoms.arrays["grain"][deep], found[deep]) > 0.9


def test_halves_that_stand_alike_are_one_grain(everything_is_fcc):
    crystal = block(COPPER, (1, 2, 3), (-18, -11, -11), (18, 11, 11))
    without_a_layer = crystal[np.abs(crystal.positions[:, 0]) > 0.6]
    assert set(map_structure(without_a_layer, n_jobs=1).grain) == {0}


def test_the_class_of_a_grain_is_that_of_most_of_its_inside(monkeypatch):
    class Wavers(Says):
        """One position in four is bcc, and surer of it than the others."""

        def predict_on_batch(self, spectra):
            probabilities = np.zeros((len(spectra), NONE + 1), np.float32)
            probabilities[:, FCC] = 0.8
            probabilities[::4] = np.eye(NONE + 1)[0]
            return probabilities

    says(monkeypatch, Wavers(FCC))
    table = map_structure(ball(1000), radius=8.0, stride=5.0, n_jobs=1)
    assert set(table.label) == {0, FCC}
    assert set(table.grain) == {0} and set(table.grain_label) == {FCC}


# The table.


@pytest.fixture(scope="module")
def halves():
    """Map of two grains, from a network that accepts everything; 'stride' of the grid is half of the radius."""
    with pytest.MonkeyPatch.context() as patch:
        says(patch, Says(FCC))
        atoms = two_halves()
        return atoms, map_structure(atoms, n_jobs=1)


def test_columns(halves):
    _, table = halves
    assert {
        *"ijkxyz",
        "n_atoms",
        "label",
        "class",
        "confidence",
        "accepted",
        "grain",
        "boundary",
        "grain_label",
    } == set(table)
    assert (table["class"] == np.array(CLASSES)[table.label]).all()
    assert table.attrs["stride"] == table.attrs["radius"] / 2


def test_positions_lie_on_a_cubic_grid(halves):
    _, table = halves
    offset = table[["x", "y", "z"]].to_numpy() - table.attrs["stride"] * table[["i", "j", "k"]].to_numpy()
    np.testing.assert_allclose(offset, np.tile(offset[0], (len(offset), 1)), atol=1e-9)
    assert not table[["i", "j", "k"]].duplicated().any()


def test_atoms_of_each_sphere_are_counted(halves):
    atoms, table = halves
    distance = np.linalg.norm(table[["x", "y", "z"]].to_numpy()[:, None] - atoms.positions, axis=-1)
    np.testing.assert_array_equal(table.n_atoms, (distance <= table.attrs["radius"]).sum(axis=1))
    assert table.n_atoms.min() >= SMALLEST


def test_every_atom_inside_has_a_position_near(halves):
    atoms, table = halves
    inside = (np.abs(atoms.positions) < (18, 9, 9)).all(axis=1)
    distance = cKDTree(table[["x", "y", "z"]]).query(atoms.positions[inside])[0]
    assert distance.max() <= np.sqrt(3) / 2 * table.attrs["stride"] + 1e-9


def test_between_neighbours_of_different_grains_there_is_a_boundary(halves):
    _, table = halves
    row = {place: i for i, place in enumerate(map(tuple, table[["i", "j", "k"]].to_numpy()))}
    different = 0
    for place, i in row.items():
        for step in np.eye(3, dtype=int):
            j = row.get(tuple(place + step), i)
            if table.grain[i] != table.grain[j]:
                assert table.boundary[i] or table.boundary[j]
                different += 1
    assert different > 10


def test_grains_are_numbered_by_size(halves):
    _, table = halves
    sizes = table.grain[table.grain >= 0].value_counts().sort_index()
    assert sizes.index.tolist() == list(range(len(sizes)))
    assert (np.diff(sizes) <= 0).all()


def test_the_larger_of_two_balls_is_grain_0_wherever_it_is(everything_is_fcc):
    small, large = ball(n_atoms=400), ball(n_atoms=900)
    for shift in (100, -100):
        moved = small.copy()
        moved.positions[:, 0] += shift
        table = map_structure(moved + large, n_jobs=1)
        assert set(table.grain[np.abs(table.x) > 50]) == {1}
        assert set(table.grain[np.abs(table.x) < 50]) == {0}


def test_what_is_refused_may_be_a_grain_but_is_not_accepted(monkeypatch):
    """A crystal of another structure has grains, too."""
    says(monkeypatch, Says(NONE))
    table = map_structure(ball(), n_jobs=1)
    assert not table.accepted.any()
    assert set(table.grain) == {0}


def test_random_points_have_no_grain(everything_is_fcc):
    recipe = make_counterexamples({"hard_spheres": 1}, SEED).iloc[0]
    points = build_counterexample(recipe).repeat(2)
    table = map_structure(points, n_jobs=1)
    assert table.boundary.mean() > 0.95


# What does not matter.


@pytest.fixture(scope="module")
def damaged():
    atoms = two_halves(size=(16, 11, 11))
    rng = np.random.default_rng(SEED)
    atoms = atoms[rng.random(len(atoms)) > 0.2]
    atoms.positions += rng.normal(scale=0.1, size=(len(atoms), 3))
    return atoms


def assert_same_map(first, second):
    exact = ["i", "j", "k", "n_atoms", "label", "accepted", "grain", "boundary"]
    pd.testing.assert_frame_equal(first[exact], second[exact])
    np.testing.assert_allclose(first.confidence, second.confidence, atol=PROBABILITY)


def shuffled(atoms):
    return atoms[np.random.default_rng(SEED).permutation(len(atoms))]


def test_order_of_the_atoms_does_not_change_the_radius(damaged):
    assert sphere_radius(shuffled(damaged).positions) == sphere_radius(damaged.positions)


def test_order_of_the_atoms_does_not_change_the_map(damaged):
    assert_same_map(*(map_structure(atoms, radius=10.0, n_jobs=1) for atoms in (damaged, shuffled(damaged))))


def test_number_of_jobs_does_not_matter(damaged):
    one, two = (map_structure(damaged, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert one.attrs == two.attrs


def test_translation_moves_the_map(damaged):
    moved = damaged.copy()
    moved.positions += [1000, -30, 7]
    first, second = (map_structure(atoms, n_jobs=1) for atoms in (damaged, moved))
    assert_same_map(first, second)
    shift = (second[["x", "y", "z"]] - first[["x", "y", "z"]]).to_numpy()
    np.testing.assert_allclose(shift, np.tile([1000, -30, 7], (len(shift), 1)), atol=1e-6)


def test_cell_and_periodicity_do_not_matter(everything_is_fcc):
    atoms = ball(n_atoms=600)
    boxed = Atoms(atoms.numbers, atoms.positions, cell=(30, 30, 30), pbc=True)
    assert_same_map(map_structure(atoms, n_jobs=1), map_structure(boxed, n_jobs=1))


@pytest.mark.parametrize("distance", [1e3, 1e6])
def test_between_two_clouds_far_apart_there_is_no_grid(distance, everything_is_fcc):
    atoms = ball(n_atoms=600)
    other = atoms.copy()
    other.positions[:, 1] += distance
    alone, both = (map_structure(one, n_jobs=1) for one in (atoms, atoms + other))
    assert len(both) < 2.5 * len(alone)
    assert set(both.grain) == {0, 1}
    assert set(both.grain[both.y > distance / 2]) != set(both.grain[both.y < distance / 2])


# Radius.


def test_radius_is_that_of_a_ball_of_so_many_atoms():
    atoms = ball(n_atoms=20_000)
    assert sphere_radius(atoms.positions) == pytest.approx(length_scale(atoms) * cloud_radius(BALL), rel=0.05)


def test_radius_grows_with_vacancies():
    """A ball of as many atoms is twice as large by volume where half are missing."""
    atoms = ball(n_atoms=20_000)
    half = atoms[np.random.default_rng(SEED).random(len(atoms)) < 0.5]
    assert sphere_radius(half.positions) == pytest.approx(2 ** (1 / 3) * sphere_radius(atoms.positions), rel=0.05)


def test_radius_of_a_cloud_with_fewer_atoms_is_that_of_the_cloud():
    atoms = ball(n_atoms=100)
    reach = np.linalg.norm(atoms.positions, axis=1).max()
    assert reach < sphere_radius(atoms.positions) < 2 * reach


def test_the_radius_and_the_stride_given_are_taken(everything_is_fcc):
    table = map_structure(ball(), radius=8.0, stride=6.0, n_jobs=1)
    assert table.attrs == {"radius": 8.0, "stride": 6.0}
    assert np.diff(np.unique(table.x.round(6))).min() == pytest.approx(6.0)


# The nearest position.


def test_nearest_position_is_the_nearest(halves):
    atoms, table = halves
    rows = nearest_position(atoms, table)
    distance = np.linalg.norm(atoms.positions[:, None] - table[["x", "y", "z"]].to_numpy(), axis=-1)
    np.testing.assert_allclose(distance[np.arange(len(atoms)), rows], distance.min(axis=1), rtol=1e-12)


# Bad input.


def changed(place, value):
    atoms = ball(n_atoms=200)
    atoms.positions[place] = value
    return atoms


@pytest.mark.parametrize(
    "atoms, options, reason",
    [
        (Atoms(), {}, "at least two"),
        (Atoms("Cu", [(0, 0, 0)]), {}, "at least two"),
        (changed(7, np.nan), {}, "finite"),
        (changed((3, 1), np.inf), {}, "finite"),
        (ball(n_atoms=SMALLEST - 1), {}, "larger radius"),
        (ball(n_atoms=200), {"radius": 1.0}, "larger radius"),
        (ball(n_atoms=200), {"radius": -5.0}, "positive"),
        (ball(n_atoms=200), {"radius": 0}, "positive"),
        (ball(n_atoms=200), {"radius": np.nan}, "positive"),
        (ball(n_atoms=200), {"radius": np.inf}, "positive"),
        (ball(n_atoms=200), {"stride": -1.0}, "positive"),
        (ball(n_atoms=200), {"stride": 0}, "positive"),
        (Atoms("Cu40", np.ones((40, 3))), {}, "at least two"),
        (ball(n_atoms=200), {"radius": 100.0}, "too large: at most 8"),
        (ball(n_atoms=200), {"radius": 8.0, "stride": 1e-3}, "larger one"),
    ],
    ids=["none", "one", "NaN", "inf", "few", "small radius", "negative radius", "no radius", "NaN radius", "infinite radius", "negative stride", "no stride", "coincident", "large radius", "small stride"],
)  # fmt: skip
def test_what_has_no_map_gets_one_sentence(atoms, options, reason, everything_is_fcc):
    with pytest.raises(ValueError, match=reason) as error:
        map_structure(atoms, **options, n_jobs=1)
    assert "\n" not in str(error.value)


def test_spheres_without_spectra_are_refused(everything_is_fcc, monkeypatch):
    def fails(atoms):
        raise ValueError("no length scale")

    monkeypatch.setattr(grains, "harmonics", fails)
    table = map_structure(ball(n_atoms=600), n_jobs=1)
    assert len(table) and not table.accepted.any() and (table.grain == -1).all()


def test_of_atoms_that_coincide_one_is_kept(everything_is_fcc):
    """As of two overlaid frames."""
    atoms = ball(n_atoms=600)
    assert_same_map(map_structure(atoms + atoms, n_jobs=1), map_structure(atoms, n_jobs=1))


@pytest.mark.parametrize("numbers", [0, 118, [55, 17] * 300], ids=["dummies", "unknown", "compound"])
def test_places_count_not_elements(numbers, everything_is_fcc):
    atoms = ball(n_atoms=600)
    assert_same_map(
        map_structure(Atoms(np.broadcast_to(numbers, 600), atoms.positions), n_jobs=1), map_structure(atoms, n_jobs=1)
    )


# Prototypes.

PROTOTYPE = ["prototype", "prototype_probability", "prototype_accepted"]


def test_the_network_of_the_seven_classes_sees_places_alone(monkeypatch):
    class Looks(Says):
        def predict_on_batch(self, spectra):
            assert spectra.shape[1:] == PLACES_SHAPE
            return super().predict_on_batch(spectra)

    says(monkeypatch, Looks(FCC))
    assert set(map_structure(ball(n_atoms=600), n_jobs=1).label) == {FCC}


def test_with_a_network_the_prototype_at_each_position_is_named(monkeypatch):
    names_kinds(monkeypatch)
    table = map_structure(copper_and_ordered_alloy(), radius=9.0, n_jobs=1, network="mine")
    left, right = table[table.x < -9], table[table.x > 9]
    assert min(len(left), len(right)) > 3
    for side, name, probability in ((left, "A_cF4_225_a", 0.6), (right, "AB3_cP4_221_a_c", 0.9)):
        assert set(side.prototype) == {name}
        np.testing.assert_allclose(side.prototype_probability, probability, rtol=1e-6)
    assert table.prototype_accepted.all()


def test_a_prototype_below_the_threshold_is_not_accepted(monkeypatch):
    names_kinds(monkeypatch, threshold=0.7)
    table = map_structure(copper_and_ordered_alloy(), radius=9.0, n_jobs=1, network="mine")
    np.testing.assert_array_equal(table.prototype_accepted, table.prototype == "AB3_cP4_221_a_c")
    assert 0 < table.prototype_accepted.sum() < len(table)


def test_a_network_adds_columns_and_changes_none(monkeypatch):
    names_kinds(monkeypatch)
    atoms = copper_and_ordered_alloy()
    without, table = (map_structure(atoms, radius=9.0, n_jobs=1, network=network) for network in (None, "mine"))
    assert list(table) == [
        *list(without)[: list(without).index("accepted") + 1],
        *PROTOTYPE,
        *list(without)[list(without).index("grain") :],
    ]
    assert_same_map(without, table.drop(columns=PROTOTYPE))


def test_spheres_without_spectra_have_no_prototype(everything_is_fcc, monkeypatch):
    def fails(atoms):
        raise ValueError("no length scale")

    names_kinds(monkeypatch)
    monkeypatch.setattr(grains, "harmonics", fails)
    assert not map_structure(ball(n_atoms=600), n_jobs=1, network="mine").prototype_accepted.any()


def test_a_folder_that_is_no_network_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(grains, "harmonics", None)  # it is not used
    with pytest.raises(ValueError, match="is no network"):
        map_structure(ball(n_atoms=600), n_jobs=1, network=tmp_path)


# The grid.


def test_a_fine_grid_has_no_holes(everything_is_fcc):
    """Closer than atoms are, not every point of the grid is the nearest to some atom."""
    table = map_structure(ball(n_atoms=600), radius=7.0, stride=1.5, n_jobs=1)
    places = set(map(tuple, table[["i", "j", "k"]].to_numpy()))
    assert set(table.grain) == {0}
    middle = np.linalg.norm(table[["x", "y", "z"]] - table[["x", "y", "z"]].mean(), axis=1) < 4
    around = table[middle][["i", "j", "k"]].to_numpy()
    assert {tuple(place) for place in (around[:, None] + np.eye(3, dtype=int)).reshape(-1, 3)} <= places


# Command line.


def test_command_line_writes_table_and_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    two_halves(COPPER, IRON).write("halves.xyz")
    assert map_file("halves.xyz", None, 8.0) == 0
    table = load_table(tmp_path / "halves.xyz.map.csv")
    assert {"x", "class", "grain"} <= set(table)
    assert (tmp_path / "halves.xyz.map.png").read_bytes()[1:4] == b"PNG"
    printed = capsys.readouterr().out
    assert "fcc" in printed and "bcc" in printed and "8.00 Å apart" in printed


def test_command_line_with_a_network_says_how_much_is_of_which_prototype(tmp_path, monkeypatch, capsys):
    names_kinds(monkeypatch)
    monkeypatch.chdir(tmp_path)
    copper_and_ordered_alloy().write("halves.xyz")
    assert map_file("halves.xyz", 9.0, None, "mine") == 0
    assert set(PROTOTYPE) <= set(load_table(tmp_path / "halves.xyz.map.csv"))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "by mine" in line]
    assert "A_cF4_225_a" in line and "AB3_cP4_221_a_c" in line and "none 0.0%" in line


def test_command_line_says_why_there_is_no_map(tmp_path, capsys):
    COPPER.write(tmp_path / "one.xyz")
    assert map_file(tmp_path / "one.xyz", None, None) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert map_file(tmp_path / "none.xyz", None, None) == 1
    assert "does not exist" in capsys.readouterr().err
    assert map_file(tmp_path / "one.xyz", None, None, tmp_path / "nothing") == 2
    assert "nothing is no network" in capsys.readouterr().err


def test_command_line_writes_the_table_where_pieces_are_too_far_apart_for_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    atoms = ball(n_atoms=600)
    other = atoms.copy()
    other.positions += 1e5
    (atoms + other).write("apart.xyz")
    assert map_file("apart.xyz", None, None) == 0
    assert (tmp_path / "apart.xyz.map.csv").exists() and not (tmp_path / "apart.xyz.map.png").exists()
    assert "no picture: its pieces are too far apart" in capsys.readouterr().out
