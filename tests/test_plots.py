"""Figures: what is drawn, not how it looks."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from xtalsight import plots
from xtalsight.crystals import CLASSES, conventional_cell
from xtalsight.fingerprints import DiffractionGeometry, reflections
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
    assert ax.get_title() == f"{wrong.sum()} of {counts.sum()} mistaken, the 20 that are mistaken most"


def test_as_many_prototypes_are_drawn_as_asked_for(mistakes, draw_mistakes):
    ax = draw_mistakes(*mistakes, most=5).axes[0]
    assert ax.images[0].get_array().shape == (5, 5)
    assert "the 5 that are mistaken most" in ax.get_title()


def test_a_prototype_without_a_structure_has_an_empty_row_and_a_long_name_is_cut(draw_mistakes):
    ax = draw_mistakes(np.array([[2, 0], [0, 0]]), ["A" * 50, "B"]).axes[0]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[1, 0], [0, 0]])
    label = ax.get_yticklabels()[0].get_text()
    assert len(label) < 32 and label.endswith("…")


# Maps.

STRIDE = 5.0


def polycrystal_map(places):
    """A map with positions at some places of the grid, of every class and grain, every fourth refused."""
    table = pd.DataFrame(places, columns=["i", "j", "k"])
    table[["x", "y", "z"]] = STRIDE * table[["i", "j", "k"]] + 100
    table["n_atoms"], table["label"] = 200, np.arange(len(table)) % len(CLASSES)
    table["class"] = np.array(CLASSES)[table.label]
    table["confidence"] = np.linspace(0.2, 1, len(table))
    table["accepted"] = np.arange(len(table)) % 4 > 0
    table["grain"] = np.where(table.accepted, np.arange(len(table)) % 5, -1)
    table["boundary"] = table.grain < 1
    table.attrs = {"radius": 2 * STRIDE, "stride": STRIDE}
    return table


BLOCK = polycrystal_map(np.indices((4, 5, 3)).reshape(3, -1).T - [2, 0, 1])
CUBE = np.indices((9, 9, 9)).reshape(3, -1).T - 4
BALL = polycrystal_map(CUBE[np.linalg.norm(CUBE - [0, 1, 0], axis=1) < 3.5])  # its layers differ in size
EVERY_MAP = pytest.mark.parametrize("table", [BLOCK, BALL], ids=["block", "ball"])


@pytest.mark.parametrize("values", ["label", "confidence", "grain"])
def test_draws_a_slice_on_the_given_axes(values, ax):
    assert plots.draw_map_slice(BLOCK, 0, ax, values=values) is ax
    assert plt.get_fignums() == [ax.figure.number]
    ax.figure.canvas.draw()


@EVERY_MAP
def test_slice_shows_the_class_of_each_position_at_its_place(table, ax):
    for level in table.k.unique():
        ax.clear()
        plots.draw_map_slice(table, level, ax)
        for row in table[table.k == level].itertuples():
            color = plots.CLASS_COLORS[row.label] if row.accepted else to_rgb("0.25")
            np.testing.assert_allclose(pixel(ax, row.x, row.y)[:3], color)


def test_where_a_slice_has_no_position_it_is_white(ax):
    plots.draw_map_slice(BALL, 0, ax)
    layer = BALL[BALL.k == 0]
    np.testing.assert_array_equal(pixel(ax, layer.x.min(), layer.y.min())[:3], 1)


def test_the_surer_a_position_the_brighter_it_is(ax):
    plots.draw_map_slice(BLOCK, 0, ax, values="confidence")
    layer = BLOCK[BLOCK.k == 0].sort_values("confidence")
    brightness = [pixel(ax, x, y)[:3] @ [0.2, 0.7, 0.1] for x, y in zip(layer.x, layer.y, strict=True)]
    assert (np.diff(brightness) > 0).all()


@EVERY_MAP
def test_positions_of_one_grain_have_one_colour_and_boundaries_dots(table, ax):
    plots.draw_map_slice(table, 0, ax, values="grain")
    layer = table[table.k == 0]
    colors = {}
    for row in layer.itertuples():
        colors.setdefault(row.grain, set()).add(tuple(pixel(ax, row.x, row.y)[:3]))
    assert all(len(own) == 1 for own in colors.values())
    assert len(set.union(*colors.values())) == layer.grain.nunique()
    assert colors[-1] == {to_rgb("0.25")}
    (dots,) = ax.lines
    np.testing.assert_array_equal(np.transpose(dots.get_data()), layer[layer.boundary][["x", "y"]])


@pytest.mark.parametrize("level", [-2, 2, 100])
def test_a_layer_that_is_not_there_is_named_with_those_that_are(level, ax):
    with pytest.raises(ValueError, match=f"level={level}: the map has layers -1 to 1"):
        plots.draw_map_slice(BLOCK, level, ax)


@pytest.mark.parametrize("values", ["class", "", None])
def test_a_slice_of_values_that_are_not_there(values, ax):
    with pytest.raises(ValueError, match="must be 'label', 'confidence' or 'grain'"):
        plots.draw_map_slice(BLOCK, 0, ax, values=values)


@EVERY_MAP
def test_blocks_are_the_positions_but_for_an_eighth(table, monkeypatch):
    ax = plt.figure().add_subplot(projection="3d")
    shown = {}
    monkeypatch.setattr(ax, "voxels", lambda filled, facecolors, **how: shown.update(filled=filled, colors=facecolors))
    assert plots.draw_map_blocks(table, ax) is ax
    plt.close(ax.figure)
    cut = 0
    for row in table.itertuples():
        place = (row.i - table.i.min(), row.j - table.j.min(), row.k - table.k.min())
        cut += not shown["filled"][place]
        color = plots.CLASS_COLORS[row.label] if row.accepted else to_rgb("0.25")
        np.testing.assert_allclose(shown["colors"][place], color)
    assert shown["filled"].sum() == len(table) - cut
    assert len(table) / 16 < cut < len(table) / 4


def test_blocks_are_drawn_on_new_axes():
    ax = plots.draw_map_blocks(BLOCK)
    assert len(ax.collections) > len(BLOCK) / 2
    ax.figure.canvas.draw()
    plt.close(ax.figure)


def test_a_map_is_drawn_as_three_slices_and_blocks():
    before = plt.get_fignums()
    figure = plots.draw_map(BLOCK)
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 0]
    assert figure.axes[3].name == "3d"
    assert plt.get_fignums() == before, "the figure belongs to the caller"


def test_a_map_of_two_clouds_above_each_other_has_a_middle_layer():
    places = np.indices((3, 3, 2)).reshape(3, -1).T
    assert plots.draw_map(polycrystal_map(np.concatenate([places, places + [0, 0, 50]]))).axes


@pytest.mark.parametrize("refused", [False, True])
def test_legend_names_the_classes_in_their_colours(refused, ax):
    legend = plots.class_legend(ax, refused, loc="upper left")
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*CLASSES, "none"][: len(CLASSES) + refused]
    colors = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    assert colors[: len(CLASSES)] == [*plots.CLASS_COLORS]
    assert len(set(colors)) == len(names)
