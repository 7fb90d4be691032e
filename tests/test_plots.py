"""Figures: what is drawn, not how it looks."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from ase.build import bulk
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from xtalsight import plots
from xtalsight.crystals import CLASSES, conventional_cell
from xtalsight.fingerprints import DiffractionGeometry, reflections

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
