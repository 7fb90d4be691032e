"""Figures: what is drawn, not how it looks."""

import io
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from ase.build import bulk
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.spatial.transform import Rotation

from xtalsight import plots
from xtalsight.crystals import CLASSES, conventional_cell
from xtalsight.fingerprints import DiffractionGeometry, reflections
from xtalsight.grains import annotate
from xtalsight.lattices import colours
from xtalsight.spectra import DEGREES, SHELLS

matplotlib.use("Agg")


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def layer(kind, *shape, **attributes):
    """Make an object that looks like a Keras layer of class `kind`."""
    return type(kind, (), {"output": SimpleNamespace(shape=(None, *shape)), **attributes})()


MODEL = SimpleNamespace(
    layers=[
        layer("InputLayer", 8, 8, 3),
        layer("Conv2D", 8, 8, 16, kernel_size=(5, 5), strides=(1, 1), activation=SimpleNamespace(__name__="relu")),
        layer("MaxPooling2D", 4, 4, 16, pool_size=(2, 2), strides=(2, 2)),
        layer("Dropout", 4, 4, 16, rate=0.25),
        layer("Flatten", 256),
        layer("Dense", 7, activation=SimpleNamespace(__name__="softmax")),
    ]
)


@pytest.mark.parametrize(
    ("draw", "data"),
    [
        (plots.draw_crystal, bulk("Fe", cubic=True)),
        (plots.draw_fingerprint, np.zeros((64, 64, 3))),
        (plots.draw_spectrum, np.ones((len(SHELLS), len(DEGREES)))),
        (plots.draw_scattering_geometry, DiffractionGeometry()),
        (plots.draw_network, MODEL),
        (plots.draw_loss, {"loss": [0.3, 0.1], "pristine_loss": [0.2, 0.1]}),
        (plots.draw_confusion, np.eye(7, dtype=int)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_draws_on_the_given_axes(draw, data, ax):
    assert draw(data, ax) is ax
    assert plt.get_fignums() == [ax.figure.number]
    ax.figure.canvas.draw()


def test_without_axes_a_new_figure_is_made():
    ax = plots.draw_loss({"loss": [0.3, 0.1]})
    assert plt.get_fignums() == [ax.figure.number]
    plt.close(ax.figure)


def test_every_class_has_its_colour():
    assert len(set(plots.CLASS_COLORS)) == len(CLASSES)


@pytest.mark.parametrize(("boundary", "n_atoms"), [(False, 4), (True, 8 + 6)])
def test_fcc_cell_shows_its_corners_and_faces(boundary, n_atoms, ax):
    cell = bulk("Cu", cubic=True)
    cell.translate([0.7, 0.7, 0.7])
    plots.draw_crystal(cell, ax, boundary=boundary)
    discs = [patch for patch in ax.patches if patch.get_path().codes is not None and len(patch.get_path()) > 5]
    assert len(discs) == n_atoms


def test_brightening_keeps_black_white_and_order(ax):
    image = np.random.default_rng(0).uniform(size=(64, 64, 3)) ** 8
    image[0, 0], image[1, 1] = 0, 1
    shown = plots.draw_fingerprint(image, ax).images[0].get_array()
    assert shown.min() == 0 and shown.max() == 1
    np.testing.assert_array_equal(shown[0, 0], 0)
    np.testing.assert_array_equal(np.argsort(shown, axis=None), np.argsort(image, axis=None))


def test_beam_is_at_the_origin_and_y_points_upwards(ax):
    plots.draw_fingerprint(np.zeros((64, 64, 3)), ax)
    assert ax.get_xlim() == (-32, 32) and ax.get_ylim() == (-32, 32)
    assert ax.images[0].origin == "lower"


def test_channel_shows_that_channel(ax):
    image = np.random.default_rng(0).uniform(size=(64, 64, 3))
    np.testing.assert_array_equal(plots.draw_fingerprint(image, ax, channel=1).images[0].get_array(), image[..., 1])


@pytest.mark.parametrize("shape", [(64, 64), (3, 64, 64), (64, 32, 3)])
def test_fingerprint_of_wrong_shape_is_named(shape, ax):
    with pytest.raises(ValueError, match=rf"\({', '.join(map(str, shape))}\)"):
        plots.draw_fingerprint(np.zeros(shape), ax)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_fingerprint_outside_its_range_is_refused(value, ax):
    with pytest.raises(ValueError, match="must lie in"):
        plots.draw_fingerprint(np.full((64, 64, 3), value), ax)


def test_geometry_shows_the_numbers_of_its_object(ax):
    plots.draw_scattering_geometry(DiffractionGeometry(wavelength=0.04, distance=0.2, n_pixels=32), ax)
    text = "\n".join(label.get_text() for label in ax.texts)
    for part in ("λ = 0.04 Å", "1/λ = 25", "L = 0.2 m", "32 × 32 pixels", "of 0.4 mm", "5 to 15 pixels"):
        assert part in text


def test_network_has_a_box_per_layer_as_high_as_its_image(ax):
    plots.draw_network(MODEL, ax)
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert len(boxes) == len(MODEL.layers)
    convolution, pooled = boxes[1], boxes[2]
    assert pooled.get_height() == pytest.approx(convolution.get_height() / 2)
    assert pooled.get_width() == pytest.approx(convolution.get_width())


def test_network_labels_say_what_each_layer_does(ax):
    plots.draw_network(MODEL, ax)
    labels = [text.get_text() for text in ax.texts]
    assert labels[:6] == [
        "Input\n8×8×3",
        "Conv 5×5\n8×8×16\nReLU",
        "MaxPool\n4×4×16\n2×2",
        "Dropout 25%",
        "Flatten 256",
        "Dense 7\nsoftmax",
    ]
    assert labels[6:] == list(CLASSES)


def test_loss_starts_at_epoch_one(ax):
    plots.draw_loss({"loss": [0.3, 0.1, 0.05], "pristine_loss": [0.2, 0.1, 0.06]}, ax)
    assert ax.get_yscale() == "log"
    for line in ax.lines:
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])


def test_confusion_matrix_shows_all_classes_and_counts(ax):
    matrix = np.diag([2601, 221, 842, 910, 2761, 3178, 4])
    matrix[1, 0] = 3
    plots.draw_confusion(matrix, ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(CLASSES)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(CLASSES)
    assert [int(text.get_text()) for text in ax.texts] == matrix.ravel().tolist()


def test_confusion_matrix_of_wrong_shape_is_named(ax):
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        plots.draw_confusion(np.eye(2, dtype=int), ax)


def test_one_label_for_reflections_of_one_length(ax):
    cell = conventional_cell(bulk("Mg", "hcp", a=3.2, c=5.2))
    table = reflections(cell, 6.0)
    plots.draw_reflections(table[table.channel == 2], ax, n_labels=50)
    assert len(ax.lines[0].get_xdata()) == (table.channel == 2).sum()
    assert len(ax.texts) == table[table.channel == 2].length.round(4).nunique()


# Spectra.


def pixel(ax, x, y):
    """What the image of the axes shows at a place given in the units of the axes."""
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    rows, columns = image.get_array().shape[:2]
    assert image.origin == "lower"
    row, column = int((y - bottom) / (top - bottom) * rows), int((x - left) / (right - left) * columns)
    assert 0 <= row < rows and 0 <= column < columns, "outside the image"
    return np.asarray(image.get_array()[row, column])


def test_spectrum_shows_each_shell_and_degree_at_its_place(ax):
    spectrum = np.random.default_rng(0).uniform(size=(len(SHELLS), len(DEGREES)))
    plots.draw_spectrum(spectrum, ax)
    for i, shell in enumerate(SHELLS):
        for j, degree in enumerate(DEGREES):
            assert pixel(ax, degree, shell) == spectrum[i, j]


def test_darkest_of_a_spectrum_is_nothing_and_brightest_its_maximum(ax):
    plots.draw_spectrum(np.linspace(2, 5, len(SHELLS) * len(DEGREES)).reshape(len(SHELLS), -1), ax, gamma=1)
    assert ax.images[0].get_clim() == (0, 5)


@pytest.mark.parametrize("shape", [(len(DEGREES), len(SHELLS)), (len(SHELLS),), (2, len(SHELLS), len(DEGREES))])
def test_spectrum_of_wrong_shape_is_named(shape, ax):
    with pytest.raises(ValueError, match=rf"\({', '.join(map(str, shape))},?\) must be"):
        plots.draw_spectrum(np.zeros(shape), ax)


# Mistakes.


@pytest.fixture
def mistakes():
    """Of 30 prototypes the last 20 are mistaken, each once for every prototype before it."""
    counts = np.diag(np.full(30, 100))
    for i in range(10, 30):
        counts[i, :i] = 1
    return counts, [f"A{i}B_prototype" for i in range(30)]


@pytest.fixture
def draw_mistakes():
    figures = []
    yield lambda *arguments, **more: figures.append(plots.draw_mistakes(*arguments, **more)) or figures[-1]
    for figure in figures:
        plt.close(figure)


def test_of_few_prototypes_every_one_is_drawn(draw_mistakes):
    figure = draw_mistakes(np.array([[3, 1], [0, 4]]), ["Cu3Au", "CuAu"])
    assert isinstance(figure, Figure)
    ax = figure.axes[0]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0.75, 0.25], [0, 1]])
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["Cu3Au", "CuAu"]
    assert {tuple(text.get_position()): text.get_text() for text in ax.texts} == {
        (0, 0): "75",
        (1, 0): "25",
        (1, 1): "100",
    }
    assert ax.get_title() == "1 of 8 mistaken"
    figure.canvas.draw()


def test_of_many_prototypes_those_mistaken_most_are_drawn_in_their_order(mistakes, draw_mistakes):
    counts, names = mistakes
    wrong = counts - np.diag(np.diag(counts))
    ax = draw_mistakes(counts, names).axes[0]
    shown = [names.index(label.get_text()) for label in ax.get_yticklabels()]
    assert len(shown) == 20 and shown == sorted(shown)
    total = wrong.sum(axis=0) + wrong.sum(axis=1)
    left_out = np.setdiff1d(np.arange(30), shown)
    assert total[shown].min() >= total[left_out].max()
    shares = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ax.images[0].get_array(), shares[np.ix_(shown, shown)])
    assert ax.get_title() == f"{wrong.sum():,} of {counts.sum():,} mistaken; shown: the 20 with most mistakes"


def test_as_many_prototypes_are_drawn_as_asked_for(mistakes, draw_mistakes):
    ax = draw_mistakes(*mistakes, most=5).axes[0]
    assert ax.images[0].get_array().shape == (5, 5)
    assert "shown: the 5 with most mistakes" in ax.get_title()


def test_a_prototype_without_a_structure_has_an_empty_row_and_a_long_name_is_cut(draw_mistakes):
    ax = draw_mistakes(np.array([[2, 0], [0, 0]]), ["A" * 50, "B"]).axes[0]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[1, 0], [0, 0]])
    label = ax.get_yticklabels()[0].get_text()
    assert len(label) < 32 and label.endswith("…")


# Maps.

GREY = to_rgb(plots.NONE_COLOR)


def test_class_colours_are_those_of_the_classes_and_grey_what_is_refused_or_has_no_grain(mapped):
    found, atoms = mapped
    colors = plots.atom_colors(atoms)
    expected = [plots.CLASS_COLORS[CLASSES.index("fcc")], plots.CLASS_COLORS[CLASSES.index("bcc")], GREY]
    expected += [to_rgb(plots.OTHER_COLOR), GREY]  # the last: no grain
    np.testing.assert_allclose(colors, np.array(expected)[found.grain])


def test_each_grain_has_one_colour_and_none_that_of_a_class(mapped):
    found, atoms = mapped
    colors = plots.atom_colors(atoms, "grain")
    of_grains = [np.unique(colors[found.grain == grain], axis=0) for grain in range(-1, 4)]
    assert [len(its) for its in of_grains] == [1] * 5
    assert len(np.unique(np.concatenate(of_grains), axis=0)) == 5
    assert not set(map(tuple, plots.CLASS_COLORS)) & set(map(tuple, plots._GRAIN_COLORS))


def test_the_surer_a_grain_the_brighter_it_is(mapped):
    found, atoms = mapped
    colors = plots.atom_colors(atoms, "confidence")
    brightness = [colors[found.grain == grain][0] @ [0.2, 0.7, 0.1] for grain in found.grains.confidence.argsort()]
    assert (np.diff(brightness) > 0).all()
    assert (colors[found.grain < 0] == GREY).all()


def test_colours_of_orientations_are_those_of_the_table_grey_where_it_has_none(mapped):
    found, atoms = mapped
    colors = plots.atom_colors(atoms, "ipf", found.grains)
    np.testing.assert_array_equal(colors, np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], GREY, GREY])[found.grain])


@pytest.mark.parametrize("color_by", plots.COLORINGS)
def test_without_any_grain_all_atoms_are_grey(color_by, mapped):
    found, atoms = mapped
    found = found._replace(grain=np.full(len(atoms), -1), grains=found.grains[:0])
    np.testing.assert_array_equal(
        plots.atom_colors(annotate(atoms, found), color_by, found.grains), [GREY] * len(atoms)
    )


@pytest.mark.parametrize(
    ("color_by", "message"),
    [("label", "must be one of class, grain, confidence, ipf"), ("ipf", "give grains=found.grains")],
)
def test_a_colouring_that_cannot_be(color_by, message, mapped):
    with pytest.raises(ValueError, match=message):
        plots.atom_colors(mapped[1], color_by)


def test_atoms_without_a_map_are_refused():
    with pytest.raises(ValueError, match="the atoms have no array 'class'"):
        plots.atom_colors(bulk("Cu"))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_holds_the_atoms_near_its_middle_those_in_front_last(axis, mapped):
    positions = mapped[1].positions
    rows, height, thickness, nearest = plots.in_slice(positions, axis, 9.5, 7.0)
    assert (height, thickness, nearest) == (9.5, 7.0, 3.0)
    heights = positions[rows, axis]
    assert sorted(rows) == np.flatnonzero(np.abs(positions[:, axis] - 9.5) <= 3.5).tolist()
    assert (np.diff(heights) >= 0).all()


def test_without_more_a_slice_is_in_the_middle_and_two_neighbours_thick(mapped):
    rows, height, thickness, _ = plots.in_slice(mapped[1].positions)
    assert (height, thickness, len(rows)) == (13.5, 6.0, 200)


def test_of_two_clouds_above_each_other_the_slice_is_in_one():
    places = np.indices((4, 4, 5)).reshape(3, -1).T
    above = places[places[:, 2] < 4] + [0, 0, 500]
    assert len(plots.in_slice(np.concatenate([places, above]).astype(float))[0]) > 0


def test_of_too_many_atoms_the_slice_is_thinner(mapped, monkeypatch):
    monkeypatch.setattr(plots, "MOST_DRAWN", 150)
    rows, _, thickness, _ = plots.in_slice(mapped[1].positions, thickness=20)
    assert len(rows) == 150 and 0 < thickness < 4


def test_of_a_layer_with_too_many_atoms_some_are_drawn_everywhere(monkeypatch):
    monkeypatch.setattr(plots, "MOST_DRAWN", 500)
    layer = np.indices((50, 50, 1)).reshape(3, -1).T.astype(float)
    rows = plots.in_slice(layer)[0]
    assert np.histogram2d(*layer[rows, :2].T, bins=5)[0].min() > 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 100.0}, "no atom at height=100.0: they lie between 0 and 27 Å"),
        ({"thickness": 0}, "thickness=0 must be positive"),
        ({"thickness": np.nan}, "thickness=nan must be positive"),
        ({"axis": 3}, "axis=3"),
    ],
)
def test_a_slice_that_cannot_be(options, message, mapped):
    with pytest.raises(ValueError, match=message):
        plots.in_slice(mapped[1].positions, **options)


def test_one_atom_makes_no_slice():
    with pytest.raises(ValueError, match="two atoms"):
        plots.in_slice(np.zeros((1, 3)))


@pytest.mark.parametrize(("axis", "labels"), [(0, "yz"), (1, "zx"), (2, "xy")])
def test_a_slice_shows_each_atom_at_its_place_in_its_colour(axis, labels, mapped, ax):
    _, atoms = mapped
    assert plots.draw_atoms_slice(atoms, ax, "grain", axis=axis) is ax
    assert plt.get_fignums() == [ax.figure.number]
    rows = plots.in_slice(atoms.positions, axis)[0]
    (discs,) = ax.collections
    across, up = ("xyz".index(name) for name in labels)
    np.testing.assert_array_equal(discs.get_offsets(), atoms.positions[rows][:, [across, up]])
    np.testing.assert_allclose(discs.get_facecolors()[:, :3], plots.atom_colors(atoms[rows], "grain"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == (f"{labels[0]} (Å)", f"{labels[1]} (Å)")
    assert ax.get_xlim()[0] < 0 and ax.get_xlim()[1] > 27
    ax.figure.canvas.draw()


def test_shares_count_all_atoms_and_add_up(mapped):
    shares = plots.class_shares(mapped[0])
    assert [*shares] == [*CLASSES, "other", "none"]
    assert shares == dict.fromkeys(CLASSES, 0) | {"bcc": 0.25, "fcc": 0.25, "other": 0.2, "none": pytest.approx(0.3)}


def test_shares_are_drawn_in_the_colours_of_the_classes(mapped, ax):
    assert plots.draw_shares(mapped[0], ax) is ax
    assert [label.get_text() for label in ax.get_yticklabels()] == [*CLASSES, "other", "none"]
    assert [bar.get_facecolor()[:3] for bar in ax.patches[: len(CLASSES)]] == [*plots.CLASS_COLORS]
    assert ax.patches[CLASSES.index("fcc")].get_width() == pytest.approx(25)


@pytest.mark.parametrize(
    ("bravais", "corners"),
    [
        ("cF", {"[001]", "[101]", "[111]"}),
        ("tI", {"[001]", "[100]", "[110]"}),
        ("oP", {"[001]", "[100]", "[010]"}),
        ("hP", {"[0001]", r"[2\bar1\bar10]", r"[10\bar10]"}),
        ("hR", {"[0001]", r"[10\bar10]", r"[1\bar100]"}),
        ("mC", {"[100]", r"[\bar100]"}),
        ("aP", set()),
    ],
)
def test_key_of_directions_names_its_corners(bravais, corners, ax):
    assert plots.draw_ipf_key(bravais, ax) is ax
    assert {text.get_text().strip("$") for text in ax.texts} == corners
    ax.figure.canvas.draw()


def test_key_of_directions_has_the_colours_that_the_grains_have(ax):
    plots.draw_ipf_key("cF", ax)
    left, right, bottom, top = ax.images[0].get_extent()
    rows, columns = ax.images[0].get_array().shape[:2]
    for angles in ([10, 12, 0], [40, 20, 0], [30, 30, 30]):
        turn = Rotation.from_euler("zxz", angles, degrees=True).as_matrix()
        x, y, z = np.sort(np.abs(turn @ [0, 0, 1]))[[1, 0, 2]]  # of equal directions, that in the triangle
        column, row = (x / (1 + z) - left) / (right - left) * columns, (y / (1 + z) - bottom) / (top - bottom) * rows
        shown = ax.images[0].get_array()[int(row), int(column)][:3]
        np.testing.assert_allclose(shown, colours(turn[None], ["cF"])[0], atol=0.05)


def test_a_lattice_that_does_not_exist_has_no_key(ax):
    with pytest.raises(ValueError, match="bravais='xP' must be a Bravais lattice"):
        plots.draw_ipf_key("xP", ax)


def test_a_map_is_drawn_as_three_slices_shares_and_keys(mapped):
    found, atoms = mapped
    before = plt.get_fignums()
    figure = plots.draw_map(found, atoms)
    assert [len(ax.collections) for ax in figure.axes[:4]] == [1, 1, 1, 0]
    assert [ax.get_title() for ax in figure.axes] == [
        "class", "grain (4)", "crystal direction along z", "all atoms", "cubic", "hexagonal"
    ]  # fmt: skip
    assert "200 of 1,000 atoms" in figure._supxlabel.get_text()
    assert plt.get_fignums() == before, "the figure belongs to the caller"
    figure.savefig(io.BytesIO())


def test_a_map_without_grains_is_drawn(mapped):
    found, atoms = mapped
    found = found._replace(grain=np.full(len(atoms), -1), grains=found.grains[:0])
    plots.draw_map(found, annotate(atoms, found)).savefig(io.BytesIO())


def test_a_map_of_one_grain_in_one_layer_is_drawn(mapped):
    found, atoms = mapped
    layer = atoms[atoms.positions[:, 2] == 0]
    found = found._replace(grain=np.zeros(len(layer), np.int32), grains=found.grains[:1].assign(atoms=len(layer)))
    plots.draw_map(found, annotate(layer, found)).savefig(io.BytesIO())


@pytest.mark.parametrize("color_by", plots.COLORINGS)
@pytest.mark.parametrize("n_grains", [0, 4])
def test_the_key_of_a_map_is_drawn_for_all_colourings(color_by, n_grains, mapped):
    found = mapped[0]._replace(grains=mapped[0].grains[:n_grains])
    plots.draw_map_key(found, color_by).savefig(io.BytesIO())


@pytest.mark.parametrize("refused", [False, True])
def test_legend_names_the_classes_in_their_colours(refused, ax):
    legend = plots.class_legend(ax, refused, loc="upper left")
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*CLASSES, "none"][: len(CLASSES) + refused]
    colors = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    assert colors[: len(CLASSES)] == [*plots.CLASS_COLORS]
    assert len(set(colors)) == len(names)
