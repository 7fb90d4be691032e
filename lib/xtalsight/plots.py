"""Figures of the study. Every function draws on the given axes, or on new ones, and returns them: ``f(data, ax=None) ->
ax``.

This is the only module that imports matplotlib. Fonts and sizes come from ``notebooks/matplotlibrc``.
"""

import io
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data.colors import jmol_colors
from ase.utils import rotate
from ase.visualize.plot import plot_atoms
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import PowerNorm, hsv_to_rgb, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.patches import Arc, Circle, FancyArrowPatch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D
from scipy.spatial import cKDTree

from xtalsight.crystals import CLASSES
from xtalsight.fingerprints import ORIENTATIONS, DiffractionGeometry, length_scale
from xtalsight.grains import shares_of_atoms
from xtalsight.lattices import point_group
from xtalsight.spectra import DEGREES, SHELLS

CLASS_COLORS = tuple(colormaps["tab10"].colors[: len(CLASSES)])
"""One colour (r, g, b) per class, in the order of `xtalsight.crystals.CLASSES`."""

# For what is not a class: none of the seven colours.
_DARK, _LIGHT = "#2b4a6f", "#e3b23c"
_GOLD = "#8f6a0c"  # _LIGHT, dark enough for text


def _axes(ax, figsize):
    return plt.subplots(figsize=figsize)[1] if ax is None else ax


def draw_crystal(
    atoms: Atoms,
    ax: Axes | None = None,
    *,
    color=None,
    boundary: bool = False,
) -> Axes:
    """Draw the atoms and their cell in parallel projection; atoms further away are paler.

    Parameters
    ----------
    atoms : Atoms
        A structure that has a `length_scale`.
    ax : Axes, optional
    color : color, optional
        Of all atoms, e.g. that of their class; without it, the colours of the elements.
    boundary : bool
        Draw a single cell as in a textbook: one atom at the origin, and the periodic images on the far faces.

    Returns
    -------
    Axes
    """
    ax = _axes(ax, (3, 3))
    # x to the right, y into the page, z upwards, slightly turned: less for a supercell, where one looks along the
    # columns.
    rotation = "-90x,-20y,12x" if boundary else "-90x,-7y,5x"
    radii = 0.22 * length_scale(atoms)  # atoms would touch at 0.5
    if boundary:
        atoms = _with_boundary(atoms)
    depth = (atoms.positions @ rotate(rotation))[:, 2]
    paleness = 0.7 * (depth.max() - depth)[:, None] / max(np.ptp(depth), 1e-9)
    colors = jmol_colors[atoms.numbers] if color is None else np.array([to_rgb(color)])
    colors = paleness + (1 - paleness) * colors
    plot_atoms(atoms, ax, rotation=rotation, radii=np.full(len(atoms), radii), colors=colors)
    for patch in ax.patches:
        patch.set_linewidth(0.5)
    # A square, so that axes in a row keep one size, and their titles one height.
    (_, width), (_, height) = ax.get_xlim(), ax.get_ylim()
    half = max(width, height) / 2
    ax.set(xlim=(width / 2 - half, width / 2 + half), ylim=(height / 2 - half, height / 2 + half))
    return ax


def _with_boundary(atoms):
    """Move the first atom to the origin, then add to the atoms at fractional coordinate 0 their images at 1."""
    atoms = atoms.copy()
    atoms.translate(-atoms.positions[0])
    atoms.wrap(eps=1e-3)
    for axis in range(3):
        images = atoms[np.abs(atoms.get_scaled_positions(wrap=False)[:, axis]) < 1e-3]
        images.translate(atoms.cell[axis])
        atoms += images
    return atoms


def draw_fingerprint(
    image: np.ndarray, ax: Axes | None = None, channel: int | None = None, *, gamma: float = 0.25
) -> Axes:
    """Draw a diffraction fingerprint, brightened by a power law.

    Nearly all pixels are below 1/255, black on a linear scale: what is drawn is image ** gamma. The same power for the
    three channels keeps the hue, which tells the axis about which the crystal was rotated: red x, green y, blue z.

    Parameters
    ----------
    image : ndarray, shape (n, n, 3)
        Fingerprint (row = detector y, column = detector x, channel), in [0, 1].
    ax : Axes, optional
        Gets the detector's coordinates in pixels from the beam, x to the right and y upwards: row 0 is the lowest.
    channel : int, optional
        Draw only this channel, coloured by intensity; ``ax.images[0]`` then serves `Figure.colorbar`.
    gamma : float
        Exponent of the power law; 1 is linear.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Wrong shape, values outside [0, 1], or no such channel.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[2] != 3:
        raise ValueError(f"{image.shape=} must be (n, n, 3)")
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"values from {image.min()} to {image.max()} must lie in [0, 1]")
    if channel not in (None, 0, 1, 2):
        raise ValueError(f"{channel=} must be None, 0, 1 or 2")
    ax = _axes(ax, (3, 3))
    half = len(image) / 2
    kwargs = {"origin": "lower", "extent": (-half, half, -half, half), "interpolation": "nearest"}
    if channel is None:
        ax.imshow(image**gamma, **kwargs)
    else:
        ax.imshow(image[..., channel], norm=PowerNorm(gamma, vmin=0, vmax=1), cmap="viridis", **kwargs)
    tick = 10 * (half // 10)
    ax.set(xticks=(-tick, 0, tick), yticks=(-tick, 0, tick), xlabel="x (pixels)", ylabel="y (pixels)")
    return ax


def draw_reflections(table, ax: Axes | None = None, n_labels: int = 8) -> Axes:
    """Circle Bragg reflections on a fingerprint, and label the brightest of each length once.

    Parameters
    ----------
    table : DataFrame
        Columns ``h, k, l, x, y, length``, brightest first, as from `xtalsight.fingerprints.reflections`.
    ax : Axes, optional
        As `draw_fingerprint` leaves them: detector coordinates in pixels from the beam.
    n_labels : int
        Number of labels: reflections of equal length are labelled once, the brightest first.

    Returns
    -------
    Axes
    """
    ax = _axes(ax, (3, 3))
    ax.plot(table.x, table.y, "o", markerfacecolor="none", markeredgecolor="white", markersize=7, markeredgewidth=0.5)
    for row in table[~table.length.round(4).duplicated()].head(n_labels).itertuples():
        indices = "".join(str(i) if i >= 0 else rf"\bar{{{-i}}}" for i in (row.h, row.k, row.l))
        up = (row.y >= 0) == (abs(row.y) < 24)  # away from the beam, but inside the frame
        offset, align = ((0, 4), "bottom") if up else ((0, -4), "top")
        ax.annotate(
            f"${indices}$",
            (row.x, row.y),
            offset,
            textcoords="offset points",
            color="white",
            ha="center",
            va=align,
            fontsize=7,
            path_effects=[withStroke(linewidth=1.5, foreground="black")],
        )
    return ax


def draw_scattering_geometry(geometry: DiffractionGeometry, ax: Axes | None = None) -> Axes:
    """Draw how a fingerprint arises: wave, rotated crystal, scattering vector, detector with the ring that counts.

    A sketch: the numbers are those of `geometry`, lengths and angles are not to scale.

    Parameters
    ----------
    geometry : DiffractionGeometry
    ax : Axes, optional
        Gets equal aspect; 7.5 by 3.3 inches suit it.

    Returns
    -------
    Axes
    """
    ax = _axes(ax, (7.5, 3.3))
    turn = max(abs(angle) for _, angle in ORIENTATIONS)
    s = np.linalg.norm(geometry.scattering_vectors[geometry.ring], axis=-1)
    n = geometry.n_pixels
    from_beam = np.hypot(*(np.argwhere(geometry.ring) - (n - 1) / 2).T)  # pixels
    inner, outer = from_beam.min(), from_beam.max()

    # Lengths of the drawing: the wave vectors, and distance and half edge of the detector.
    k, distance, half = 2.9, 5.2, 1.8

    def project(x, y, z):
        """Oblique view of right-handed axes: z (the beam) to the right, y upwards, x into the page."""
        return np.stack(np.broadcast_arrays(z + 0.45 * np.asarray(x), y + 0.3 * np.asarray(x)), axis=-1)

    def arrow(start, end, color, style="-|>", lw=1.6, **kwargs):
        kwargs = {"mutation_scale": 12, "shrinkA": 0, "shrinkB": 0, "zorder": 3} | kwargs
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle=style, color=color, lw=lw, **kwargs))

    def label(x, y, text, color="black", ha="center", va="center"):
        ax.text(x, y, text, color=color, ha=ha, va=va, zorder=5)

    # The wave comes along z.
    ax.vlines(np.arange(-3.5, -1.7, 0.2), -0.8, 0.8, color="0.65", lw=1)
    arrow((-3.8, 0), (-1.4, 0), "black")
    label(-2.6, 0.95, f"plane wave\nλ = {geometry.wavelength:g} Å", va="bottom")

    # The crystal, from the back (large x) to the front.
    for position in np.stack(np.meshgrid(*[[0.34, 0, -0.34]] * 3, indexing="ij"), axis=-1).reshape(-1, 3):
        shade = str(0.5 + 0.8 * position[0])
        ax.add_patch(Circle(project(*position), 0.12, facecolor=shade, edgecolor="white", lw=0.5, zorder=4))
    label(0, 0.95, "crystal, scaled:\nneighbours 1 Å apart", va="bottom")

    # Its turns about x, y, z make the three channels; each arc lies on the side of its axis that has most room.
    origin, around = np.array([-1.05, -2.15]), np.radians(np.linspace(-turn, turn, 30))
    label(-3.8, -1.3, f"crystal rotated\nby ±{turn:g}° about", ha="left")
    turns = zip("xyz", ("red", "green", "blue"), (1.5, 1, 1), (-45, -90, 0), strict=True)
    for axis, (name, channel, length, side) in enumerate(turns):
        along, across, third = np.roll(np.eye(3), -axis, axis=0)
        angle = around + np.radians(side)
        arc = 0.75 * length * along + 0.3 * (np.outer(np.cos(angle), across) + np.outer(np.sin(angle), third))
        color = {"red": "#d00000", "green": "#008a00", "blue": "#0000d0"}[channel]  # not those of classes
        arrow(origin, origin + project(*(length * along)), color, mutation_scale=8)
        arrow(None, None, color, style="<|-|>", lw=1.2, path=Path(origin + project(*arc.T)), mutation_scale=6)
        label(*(origin + project(*((length + 0.2) * along))), name, color)
        label(-3.8, -1.8 - 0.35 * axis, f"{name}: {channel} channel", color, ha="left")

    # Elastic scattering to one pixel of the ring.
    height = half * (inner + 2 * outer) / 3 / (n / 2)
    direction = np.array([distance, height]) / np.hypot(distance, height)
    ax.add_patch(Arc((0, 0), 2 * k, 2 * k, theta1=-22, theta2=34, color="0.5", lw=1, ls="--"))
    radius = f"Ewald sphere\nradius 1/λ = {1 / geometry.wavelength:.3g} Å⁻¹"
    label(k * np.cos(0.6), k * np.sin(0.6) + 0.1, radius, "0.4", va="bottom")
    arrow((0, 0), (k, 0), "black")
    arrow((0, 0), k * direction, "black")
    arrow((k, 0), k * direction, _GOLD, lw=2)
    label(0.6 * k, -0.2, "k₀")
    label(*(0.6 * k * direction + (0, 0.25)), "k₁")
    label(k + 0.15, 0.33, "s = k₁ − k₀", _GOLD, ha="left")
    for end, y in ((k * direction, height), ((k, 0), 0)):
        ax.plot([end[0], distance], [end[1], y], color="black", lw=0.8, ls=":", zorder=3)
    ax.plot(distance, height, "s", color=_GOLD, ms=5, zorder=4)

    # The detector, in perspective; grey is what counts.
    onto_detector = Affine2D.from_values(0.45, 0.3, 0, 1, distance, 0)
    square = onto_detector.transform(half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]))
    ax.add_patch(Polygon(square, facecolor="0.97", edgecolor="0.3", zorder=1))
    for radius, face in ((outer, "0.8"), (inner, "0.97")):
        circle = onto_detector.transform_path(Path.circle(radius=half * radius / (n / 2)))
        ax.add_patch(PathPatch(circle, facecolor=face, edgecolor="none", zorder=1))
    ring = f"{inner:.0f} to {outer:.0f} pixels\nfrom the beam\n|s| = {s.min():.2f} to {s.max():.2f} Å⁻¹"
    label(6.3, 1.2, f"detector\n{n} × {n} pixels\nof {1e3 * geometry.pixel_size:g} mm", ha="left")
    label(6.3, -0.3, f"ring that counts\n{ring}", "0.4", ha="left")
    arrow((0, -2.6), (distance, -2.6), "0.4", style="<|-|>", lw=1)
    label(distance / 2, -2.5, f"L = {geometry.distance:g} m", "0.4", va="bottom")
    ax.set(xlim=(-4, 8.4), ylim=(-2.8, 2.5), aspect="equal")
    ax.set_axis_off()
    return ax


def draw_network(model, ax: Axes | None = None) -> Axes:
    """Draw a Keras model from itself, one box per layer, from left to right.

    The height of a box is the edge of the image that the layer puts out, its width the number of channels. A vector is
    drawn as high as a square image of as many pixels. Layers that only reshape, normalise, drop or activate are narrow.

    Parameters
    ----------
    model : keras.Model
        A chain of layers. Any object serves that has ``layers``, each with ``output.shape``.
    ax : Axes, optional
        Wide: 8.5 by 2.6 inches suit the network of the paper.

    Returns
    -------
    Axes
    """
    shapes = [tuple(layer.output.shape[1:]) for layer in model.layers]
    edges = np.array([shape[0] if len(shape) == 3 else np.sqrt(np.prod(shape)) for shape in shapes])
    heights = np.maximum(edges / edges.max(), 0.04)
    most_channels = max((shape[-1] for shape in shapes if len(shape) == 3), default=1)
    labels = [_layer_label(layer, shape) for layer, shape in zip(model.layers, shapes, strict=True)]
    slots = np.array([1.0 if "\n" in label else 0.36 for label in labels])
    centres = np.cumsum(slots) - slots / 2

    ax = _axes(ax, (max(3.0, 0.7 * slots.sum()), 2.6))
    ax.axhline(0, color="0.6", lw=1, zorder=0)
    for layer, shape, height, label, centre in zip(model.layers, shapes, heights, labels, centres, strict=True):
        wide = "\n" in label
        width = 0.08 + 0.72 * shape[-1] / most_channels if wide and len(shape) == 3 else 0.12
        color = next((c for part, c in _LAYER_COLORS.items() if part in type(layer).__name__), "0.75")
        ax.add_patch(Rectangle((centre - width / 2, -height / 2), width, height, facecolor=color, edgecolor="white"))
        ax.text(centre, -0.56, label, ha="center", va="top", rotation=0 if wide else 90, fontsize="small")
    if shapes[-1] == (len(CLASSES),):
        for position, name, color in zip(np.linspace(0.45, -0.45, len(CLASSES)), CLASSES, CLASS_COLORS, strict=True):
            ax.plot([centres[-1], slots.sum()], [0, position], color=color, lw=1, zorder=0)
            ax.text(slots.sum() + 0.06, position, name, color=color, va="center", fontsize="small")
    ax.set(xlim=(0, slots.sum()), ylim=(-1.15, 0.55))
    ax.set_axis_off()
    return ax


_LAYER_COLORS = {"Conv": _DARK, "Pool": "#8fb3d1", "Dense": _LIGHT, "Input": "0.45"}
_LAYER_NAMES = {
    "InputLayer": "Input",
    "Conv2D": "Conv",
    "Conv2DTranspose": "Deconv",
    "MaxPooling2D": "MaxPool",
    "AveragePooling2D": "AvgPool",
    "GlobalAveragePooling2D": "GlobalAvgPool",
    "BatchNormalization": "BatchNorm",
}


def _layer_label(layer, shape):
    """One line for a layer that is drawn narrow, several for the others."""
    kind = type(layer).__name__
    name = _LAYER_NAMES.get(kind, kind)
    size = "×".join(map(str, shape))
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    activation = {"relu": "ReLU"}.get(activation, activation)
    if kind == "InputLayer":
        return f"{name}\n{size}"
    if kind == "Dense":
        return f"{name} {size}\n{activation}"
    if hasattr(layer, "kernel_size"):
        stride = f"\nstride {layer.strides[0]}" if layer.strides[0] > 1 else ""
        return f"{name} {'×'.join(map(str, layer.kernel_size))}\n{size}\n{activation}{stride}"
    if hasattr(layer, "pool_size"):
        return f"{name}\n{size}\n{'×'.join(map(str, layer.pool_size))}"
    if hasattr(layer, "rate"):
        return f"{name} {layer.rate:.0%}"
    if kind == "Flatten" or kind.startswith("Global"):
        return f"{name} {size}"
    return activation or name


def draw_loss(history, ax: Axes | None = None) -> Axes:
    """Draw the loss by epoch, on a logarithmic scale.

    Parameters
    ----------
    history : DataFrame or mapping
        Column ``loss`` and, for each validation, ``<name>_loss``: one value per epoch, the first is epoch 1.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax, (4.5, 3))
    columns = [column for column in history if column.endswith("loss")]
    for column, style, color in zip(columns, ("o-", "s--", "^:"), (_DARK, _LIGHT, "0.5"), strict=False):
        values = np.asarray(history[column])
        label = "training" if column == "loss" else f"held out, {column.removesuffix('_loss').replace('_', ' ')}"
        ax.plot(np.arange(1, len(values) + 1), values, style, color=color, label=label)
    ax.set(yscale="log", xlabel="epoch", ylabel="loss")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


def draw_confusion(matrix: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix of the seven classes.

    The colour is the share of the true class (row), brightened so that a single error shows; numbers are counts.

    Parameters
    ----------
    matrix : ndarray, shape (7, 7), int
        Counts, rows true and columns predicted, in the order of `xtalsight.crystals.CLASSES`.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Wrong shape.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(CLASSES), len(CLASSES)):
        raise ValueError(f"{matrix.shape=} must be {len(CLASSES), len(CLASSES)}")
    ax = _axes(ax, (4.5, 4.5))
    from sklearn.metrics import ConfusionMatrixDisplay  # not above: a map needs none of it

    display = ConfusionMatrixDisplay(matrix, display_labels=CLASSES)
    display.plot(ax=ax, colorbar=False, values_format="d")
    # The display colours by count, which leaves the small classes pale.
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(matrix), dtype=bool)  # blue, errors orange
    shade = PowerNorm(0.4, vmin=0, vmax=1.1)(share)
    colors = np.where(right[..., None], colormaps["Blues"](shade), colormaps["Oranges"](shade))
    colors[matrix == 0] = 1
    display.im_.set_data(colors)
    brightness = colors[..., :3] @ (0.299, 0.587, 0.114)
    for text, count, bright in zip(display.text_.flat, matrix.flat, brightness.flat, strict=True):
        text.set_color("0.8" if count == 0 else "black" if bright > 0.5 else "white")
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    plt.setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    return ax


def draw_exploration(figure, thresholds, **shown):
    """Draw one crystal, what two networks see of it and what they answer.

    Parameters
    ----------
    figure : Figure or SubFigure
        Empty; 9 by 2.5 inches suit it, or larger in proportion.
    thresholds : sequence of 7 float
        Probability of each class below which that answer of the compact network is refused; short lines.
    **shown
        ``atoms``; ``label``, an index into `CLASSES`; ``nearest``, the neighbour distance of the undamaged crystal,
        angstrom; ``images``, the fingerprints (64, 64, 3) of the compact network and of the paper's; ``probabilities``
        of both, (8,), "none of the seven" the last, and (7,); ``accepted``, whether the compact network answers;
        ``title``, one or two lines; ``message``, empty or what to say where there are no images and no probabilities.

    Returns
    -------
    Figure or SubFigure
    """
    fill, _ = _exploration(figure, thresholds)
    fill(**shown)
    return figure


def exploration_painter(thresholds):
    """Return a function that draws as `draw_exploration` with the same ``**shown``, but quickly, and returns PNG bytes.

    It has one figure, of which pyplot knows nothing. What stays is drawn once and kept as pixels; each call draws what
    moves.
    """
    figure = Figure(figsize=(11, 3.05), dpi=100, layout="none")
    canvas = FigureCanvasAgg(figure)
    fill, moving = _exploration(figure, thresholds)
    for artist in moving:
        artist.set_animated(True)  # left out by `draw`
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)

    def paint(**shown) -> bytes:
        fill(**shown)
        canvas.restore_region(background)
        for artist in moving:
            figure.draw_artist(artist)
        buffer = io.BytesIO()
        imsave(buffer, np.asarray(canvas.buffer_rgba())[..., :3], format="png", pil_kwargs={"compress_level": 1})
        return buffer.getvalue()

    return paint


def _exploration(figure, thresholds):
    """Prepare the figure; return what fills it and the artists that this changes, those in front last."""
    fill_crystal, discs = _crystal_panel(figure.add_axes((0.0, 0.0, 0.28, 0.84)))
    fill_answers, bars = _answer_panel(figure.add_axes((0.84, 0.14, 0.14, 0.68)), thresholds)
    pictures = []
    for left, color, who in ((0.29, _DARK, "compact"), (0.535, _GOLD, "paper's")):
        ax = draw_fingerprint(np.zeros((64, 64, 3)), figure.add_axes((left, 0.02, 0.235, 0.86)))
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
        ax.set_title(f"the {who} network sees", color=color)
        pictures.append(ax.images[0])
    note = figure.text(0.53, 0.45, "", ha="center", va="center", color="white", backgroundcolor="black")

    def fill(atoms, label, nearest, images, probabilities, accepted, title, message):
        fill_crystal(atoms, label, nearest, title)
        for picture, image in zip(pictures, np.zeros((2, 1, 1, 3)) if message else images, strict=True):
            picture.set_data(image**0.25)  # brightened as by `draw_fingerprint`
        fill_answers(label, None if message else probabilities, accepted)
        note.set_text(message)

    return fill, [*discs, *pictures, *bars, note]


def _crystal_panel(ax):
    """Prepare a supercell in its frame, seen as by `draw_crystal`."""
    view = rotate("-90x,-7y,5x")
    edges = [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]
    ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    ax.set_axis_off()
    frame = ax.add_collection(LineCollection([], colors="0.6", linewidths=0.7))
    discs = ax.scatter([], [], edgecolors="0.2", linewidths=0.4, clip_on=False)
    heading = ax.text(0, 1.02, "", ha="center", va="bottom")

    def fill(atoms, label, nearest, title):
        corners = np.array(list(np.ndindex(2, 2, 2))) @ atoms.cell.array
        positions, corners = ((x - corners.mean(axis=0)) @ view for x in (atoms.positions, corners))
        half = 1.1 * np.abs(corners[:, :2]).max()
        frame.set_segments(corners[edges][..., :2] / half)
        positions = positions[np.argsort(positions[:, 2])]  # what is in front is drawn last
        behind, in_front = corners[:, 2].min(), corners[:, 2].max()
        paleness = np.clip(0.75 * (in_front - positions[:, 2:]) / (in_front - behind), 0, 0.85)
        discs.set_offsets(positions[:, :2] / half)
        discs.set_facecolors(paleness + (1 - paleness) * np.array(CLASS_COLORS[label]))
        width, height = ax.get_position().size * ax.figure.bbox.size * 72 / ax.figure.dpi  # points, of two units
        discs.set_sizes([(0.5 * nearest / half * min(width, height) / 2) ** 2])
        heading.set(text=title, color=CLASS_COLORS[label])

    return fill, [frame, discs, heading]


def _answer_panel(ax, thresholds):
    """Prepare the bars of two networks' probabilities, and their answers in words."""
    names = (*CLASSES, "none")
    rows = np.arange(len(names))
    truth = ax.axhspan(-0.5, 0.5, xmin=-0.4, lw=0, alpha=0.15, clip_on=False)
    groups = [
        ax.barh(rows - 0.2, np.zeros(len(names)), 0.36, color=_DARK),
        ax.barh(rows[:-1] + 0.2, np.zeros(len(CLASSES)), 0.36, color=_LIGHT),
    ]
    least = ax.vlines(thresholds, rows[:-1] - 0.45, rows[:-1] + 0.05, color="black", lw=1)
    ax.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xticks=(0, 0.5, 1), yticks=rows, yticklabels=names)
    ax.set_xlabel("probability", labelpad=0)
    ax.tick_params(axis="y", length=0)
    for name, color in zip(ax.get_yticklabels(), CLASS_COLORS, strict=False):  # "none" stays black
        name.set_color(color)
    lines = [
        ax.text(1, above, "", color=color, ha="right", va="bottom", transform=ax.transAxes)
        for above, color in ((1.12, _DARK), (1.01, _GOLD))
    ]

    def fill(label, probabilities, accepted):
        truth.set(y=label - 0.5, facecolor=CLASS_COLORS[label])
        values = probabilities or (np.zeros(len(names)), np.zeros(len(CLASSES)))
        whose = (("compact", accepted), ("paper's", True))
        for bars, line, value, (who, answers) in zip(groups, lines, values, whose, strict=True):
            for bar, width in zip(bars, value, strict=True):
                bar.set_width(width)
            best = int(np.argmax(value[: len(CLASSES)]))
            answer = f"{CLASSES[best]}, {value[best]:.0%}" if answers else "none of the seven"
            line.set_text(f"{who}: {answer}" if probabilities else "")

    return fill, [truth, *groups[0], *groups[1], least, *lines]


def draw_spectrum(spectrum: np.ndarray, ax: Axes | None = None, *, gamma: float = 0.5) -> Axes:
    """Draw a rotation-invariant fingerprint: shells upwards, degrees to the right.

    Parameters
    ----------
    spectrum : ndarray, shape (n_shells, n_degrees)
        One of the two of `xtalsight.spectra.spectrum`. The first column, the powder pattern, is drawn like the others.
    ax : Axes, optional
        ``ax.images[0]`` serves `Figure.colorbar`.
    gamma : float
        Exponent of the power law of the colours; 1 is linear.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Wrong shape.
    """
    spectrum = np.asarray(spectrum)
    if spectrum.shape != (len(SHELLS), len(DEGREES)):
        raise ValueError(f"{spectrum.shape=} must be {(len(SHELLS), len(DEGREES))}")
    ax = _axes(ax, (3, 3))
    step = SHELLS[1] - SHELLS[0]
    extent = (DEGREES[0] - 1, DEGREES[-1] + 1, SHELLS[0] - step / 2, SHELLS[-1] + step / 2)
    norm = PowerNorm(gamma, vmin=0, vmax=float(spectrum.max()))
    ax.imshow(
        spectrum, origin="lower", extent=extent, aspect="auto", norm=norm, cmap="viridis", interpolation="nearest"
    )
    ax.set(xlabel="degree l", ylabel="|s| (1 / length scale)", xticks=np.arange(0, DEGREES[-1] + 1, 8))
    return ax


def draw_mistakes(counts: np.ndarray, names: Sequence[str], most: int = 20) -> Figure:
    """Draw which prototypes are taken for which: a confusion matrix, of many those that are mistaken most.

    Parameters
    ----------
    counts : ndarray, shape (n, n)
        Structures by what they are (rows) and what they are called.
    names : sequence of str
        Of the prototypes.
    most : int
        Rows and columns that are drawn at most.
    """
    counts = np.asarray(counts, float)
    wrong = counts - np.diag(np.diag(counts))
    worst = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")
    drawn = np.sort(worst[:most])
    shares = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))[np.ix_(drawn, drawn)]
    size = 2.5 + 0.3 * len(drawn)
    figure, ax = plt.subplots(figsize=(size + 1, size), layout="constrained")
    image = ax.imshow(shares, cmap="viridis", norm=PowerNorm(0.4, 0, 1))
    labels = [name if len(name) < 32 else f"{name[:30]}…" for name in np.asarray(names, object)[drawn]]
    ax.set_xticks(range(len(drawn)), labels, rotation=90, fontsize=7)
    ax.set_yticks(range(len(drawn)), labels, fontsize=7)
    for i, j in zip(*np.nonzero(shares), strict=True):
        color = "black" if shares[i, j] > 0.3 else "white"
        ax.text(j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=6, color=color)
    ax.set(xlabel="is called", ylabel="is")
    figure.colorbar(image, shrink=0.6, label="share of the row (numbers: %)")
    rest = f"; shown: the {most} with most mistakes" if len(names) > most else ""
    ax.set_title(f"{wrong.sum():,.0f} of {counts.sum():,.0f} mistaken{rest}", fontsize=9)
    return figure


NONE_COLOR = "0.72"
"""Of atoms without a grain, or in a grain that is refused."""

OTHER_COLOR = _LIGHT
"""Of atoms in grains of prototypes that are none of the seven classes."""

COLORINGS = ("class", "grain", "confidence", "ipf")
"""What can be shown of each atom of a map."""

MOST_DRAWN = 50_000
"""Atoms of a map that a picture shows at most: of more, a thinner slice."""


def atom_colors(atoms: Atoms, color_by: str = "class", grains=None) -> np.ndarray:
    """Return the colour (r, g, b) of each atom of a map, (n, 3) in [0, 1].

    Parameters
    ----------
    atoms : Atoms
        As from `xtalsight.grains.annotate`.
    color_by : str
        One of `COLORINGS`. "class": those of `CLASS_COLORS`, and `OTHER_COLOR`; "grain": a palette of its own;
        "confidence": viridis, 0 to 1; "ipf": the inverse pole figure of z. Atoms without a grain have `NONE_COLOR`; by
        class those that are refused, too.
    grains : DataFrame, optional
        That of `xtalsight.grains.Map`, for "ipf".

    Raises
    ------
    ValueError
        No such colouring, atoms that no map has annotated, or no table of grains for "ipf".
    """
    if color_by not in COLORINGS:
        raise ValueError(f"{color_by=} must be one of {', '.join(COLORINGS)}")
    if missing := [name for name in ("class", "grain", "confidence", "accepted") if name not in atoms.arrays]:
        raise ValueError(f"the atoms have no array {missing[0]!r}: let xtalsight.grains.annotate add what a map found")
    if color_by == "ipf" and grains is None:
        raise ValueError("the colours of the orientations are in the table of the grains: give grains=found.grains")
    grain = atoms.arrays["grain"]
    colors = np.tile(to_rgb(NONE_COLOR), (len(atoms), 1))
    if color_by == "class":
        accepted = atoms.arrays["accepted"].astype(bool)
        colors[accepted] = to_rgb(OTHER_COLOR)
        for name, color in zip(CLASSES, CLASS_COLORS, strict=True):
            colors[(atoms.arrays["class"] == name) & accepted] = color
        return colors
    has = grain >= 0
    if color_by == "confidence":
        colors[has] = colormaps["viridis"](atoms.arrays["confidence"][has])[:, :3]
    elif has.any():
        palette = _GRAIN_COLORS
        if color_by == "ipf":  # a grain without a lattice has none
            palette = np.array([to_rgb(color if isinstance(color, str) else NONE_COLOR) for color in grains.ipf_z])
        colors[has] = palette[grain[has] % len(palette)]
    return colors


# Hues by the golden ratio, so that the next grain is far from the last one; four shades by turns, since hues nearly
# repeat after 5, 13, 21 and 34.
_hues = np.arange(48) * 0.618034 % 1
_full, _bright = np.resize([0.7, 0.85, 0.7, 0.85], 48), np.resize([0.95, 0.95, 0.8, 0.65], 48)
_GRAIN_COLORS = hsv_to_rgb(np.stack([_hues, _full, _bright], axis=1))


def neighbour_distance(positions: np.ndarray) -> float:
    """Return the distance to the nearest neighbour, the median of atoms in a column along z that holds at most
    `MOST_DRAWN`, angstrom."""
    if len(positions) > MOST_DRAWN:
        away = np.abs(positions[:, :2] - positions[len(positions) // 2, :2]).max(axis=1)
        positions = positions[np.argpartition(away, MOST_DRAWN)[:MOST_DRAWN]]
    some = positions[:: max(1, len(positions) // 1000)]
    return float(np.median(cKDTree(positions).query(some, k=2)[0][:, 1]))


def in_slice(positions: np.ndarray, axis: int = 2, height: float | None = None, thickness: float | None = None):
    """Choose the atoms of a slice, at most `MOST_DRAWN`.

    Parameters
    ----------
    positions : ndarray, shape (n, 3)
        Angstrom.
    axis : int
        Normal of the slice: 0, 1, 2 for x, y, z.
    height : float, optional
        Of its middle, angstrom; without it, that of half of the atoms.
    thickness : float, optional
        Angstrom; two distances of neighbours without it. Where there are too many atoms, the slice is thinner.

    Returns
    -------
    rows : ndarray of int
        Of its atoms, those in front (high) last.
    height, thickness, nearest : float
        Middle and thickness, and the distance of neighbours, angstrom.

    Raises
    ------
    ValueError
        Fewer than two atoms, no such axis, a thickness that is not positive, or no atom in the slice.
    """
    if len(positions) < 2 or axis not in (0, 1, 2):
        raise ValueError(f"a slice needs two atoms and an axis 0, 1 or 2, not {len(positions)} atoms and {axis=}")
    heights, nearest = positions[:, axis], neighbour_distance(positions)
    height = float(np.median(heights)) if height is None else height
    away = np.abs(heights - height)
    rows = np.arange(len(away))
    if len(rows) > MOST_DRAWN:
        # Of a layer that has too many atoms, some everywhere, not those that come first.
        away = away + np.random.default_rng(0).uniform(0, 1e-3, len(away))
        rows = np.argpartition(away, MOST_DRAWN)[:MOST_DRAWN]
    thickness = 2 * nearest if thickness is None else thickness
    if not thickness > 0:
        raise ValueError(f"{thickness=} must be positive")
    inside = away[rows] <= thickness / 2
    if not inside.any():
        raise ValueError(f"no atom at {height=}: they lie between {heights.min():.4g} and {heights.max():.4g} Å")
    if len(rows) < len(away) and inside.all():
        thickness = 2 * float(away[rows].max())
    rows = rows[inside]
    return rows[np.argsort(heights[rows], kind="stable")], height, thickness, nearest


def draw_atoms_slice(
    atoms: Atoms,
    ax: Axes | None = None,
    color_by: str = "class",
    height: float | None = None,
    thickness: float | None = None,
    axis: int = 2,
    grains=None,
) -> Axes:
    """Draw a slice of a map, atom by atom, looking against the axis.

    Parameters
    ----------
    atoms : Atoms
        As from `xtalsight.grains.annotate`.
    ax : Axes, optional
        Gets the other two axes in angstrom.
    color_by, grains
        As in `atom_colors`.
    height, thickness, axis
        As in `in_slice`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        As `atom_colors` and `in_slice`.
    """
    rows, _, thickness, nearest = in_slice(atoms.positions, axis, height, thickness)
    shown = atoms[rows]
    colors = atom_colors(shown, color_by, grains)
    ax = _axes(ax, (3, 3))
    across, up = ((1, 2), (2, 0), (0, 1))[axis]
    # Discs in units of the axes: nearly touching at any size of the figure; in a thin slice, where neighbours are
    # missing, larger.
    discs = EllipseCollection(
        *np.full((2, len(shown)), (0.9 if thickness > 1.5 * nearest else 1.3) * nearest),
        np.zeros(len(shown)),
        units="xy",
        offsets=shown.positions[:, [across, up]],
        offset_transform=ax.transData,
        facecolors=colors,
        linewidths=0,
        rasterized=True,
    )
    ax.add_collection(discs, autolim=False)
    low, high = atoms.positions.min(axis=0) - nearest / 2, atoms.positions.max(axis=0) + nearest / 2
    ax.set(xlim=(low[across], high[across]), ylim=(low[up], high[up]), aspect="equal")
    ax.set(xlabel=f"{'xyz'[across]} (Å)", ylabel=f"{'xyz'[up]} (Å)")
    return ax


def draw_map(found, annotated: Atoms) -> Figure:
    """Draw a map: a slice by class, by grain and by orientation, and which share of all atoms has which class.

    Parameters
    ----------
    found : Map
        As from `xtalsight.grains.map_structure`.
    annotated : Atoms
        The same atoms, as from `xtalsight.grains.annotate`.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(10, 3.4), dpi=150, layout="constrained")
    grid = figure.add_gridspec(1, 4, width_ratios=(1, 1, 1, 0.8))
    rows, height, thickness, _ = in_slice(annotated.positions)
    shown = annotated[rows]
    titles = {"class": "class", "grain": f"grain ({len(found.grains)})", "ipf": "crystal direction along z"}
    for column, (color_by, title) in enumerate(titles.items()):
        ax = draw_atoms_slice(shown, figure.add_subplot(grid[column]), color_by, height, thickness, 2, found.grains)
        ax.set_title(title)
        ax.label_outer()
    figure.supxlabel(
        f"slice at z = {height:.1f} Å, {thickness:.1f} Å thick: {len(rows):,} of {len(annotated):,} atoms",
        fontsize="small",
    )
    keys = _symmetries(found.grains)[:2]
    right = grid[3].subgridspec(2, max(1, len(keys)), height_ratios=(3, 1.2 if len(keys) else 0.01))
    ax = draw_shares(found, figure.add_subplot(right[0, :]))
    ax.set_title("all atoms")
    for column, bravais in enumerate(keys):
        draw_ipf_key(bravais, figure.add_subplot(right[1, column]))
    return figure


def draw_map_key(found, color_by: str = "class") -> Figure:
    """Draw what the colours of a map mean: shares by class, or of the largest grains; the scale of confidence;
    directions of crystals.

    Parameters
    ----------
    found : Map
        As from `xtalsight.grains.map_structure`.
    color_by : str
        One of `COLORINGS`.

    Returns
    -------
    Figure
    """
    keys = _symmetries(found.grains)[:2]
    figure = Figure(figsize=(2.4, 2.6), layout="constrained")
    axes = figure.subplots(max(1, len(keys)) if color_by == "ipf" else 1, squeeze=False)[:, 0]
    if color_by == "class":
        draw_shares(found, axes[0])
    elif color_by == "grain":
        largest = found.grains[:9]
        shares = dict(zip(largest.index.astype(str), largest.atoms / len(found.grain), strict=True))
        _share_bars(shares, _GRAIN_COLORS[largest.index % len(_GRAIN_COLORS)], axes[0])
        axes[0].set_ylabel("largest grains")
    elif color_by == "confidence":
        figure.colorbar(ScalarMappable(cmap="viridis"), cax=axes[0], orientation="horizontal", label="confidence")
        axes[0].set_box_aspect(0.1)
    else:
        axes[0].set_axis_off()
        for bravais, ax in zip(keys, axes, strict=False):
            draw_ipf_key(bravais, ax)
    return figure


def class_shares(found) -> dict[str, float]:
    """Return the share of the atoms of a map in accepted grains of each of `CLASSES`, of "other" prototypes, and in
    "none" of these."""
    shares = shares_of_atoms(found)
    return shares | {"none": shares.pop("refused") + shares.pop("without_grain")}


def draw_shares(found, ax: Axes | None = None) -> Axes:
    """Draw which share of the atoms of a map has which class; names and colours serve as a legend.

    Parameters
    ----------
    found : Map
        As from `xtalsight.grains.map_structure`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax, (2.4, 2.4))
    return _share_bars(class_shares(found), [*CLASS_COLORS, OTHER_COLOR, NONE_COLOR], ax)


def _share_bars(shares, colors, ax):
    percent = 100 * np.array([*shares.values()])
    ax.barh([*shares], percent, color=colors)
    for row, value in enumerate(percent):
        ax.annotate(f"{value:.1f}", (value, row), (2, 0), textcoords="offset points", va="center", fontsize="small")
    ax.set(xlim=(0, 1.35 * percent.max(initial=1)), ylim=(max(1, len(shares)) - 0.5, -0.5), xlabel="share (%)")
    ax.tick_params(axis="y", length=0)
    return ax


_SYMMETRIES = {"c": "cubic", "hP": "hexagonal", "hR": "rhombohedral", "h": "hexagonal", "t": "tetragonal"}
_SYMMETRIES |= {"o": "orthorhombic", "m": "monoclinic", "a": "triclinic"}


def _symmetries(grains):
    """First letter of the lattices of grains, "hR" whole, those with most atoms first."""
    lattices = grains.lattice.dropna().astype(str)
    return [
        *grains.atoms.groupby(lattices.where(lattices == "hR", lattices.str[:1]))
        .sum()
        .sort_values(ascending=False)
        .index
    ]


def draw_ipf_key(bravais: str, ax: Axes | None = None) -> Axes:
    """Draw which colour of an inverse pole figure means which direction of the crystal, in stereographic projection.

    Parameters
    ----------
    bravais : str
        A Bravais lattice in Pearson's letters, "cF" for example, or only the first of them.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        No such lattice.
    """
    system = _SYMMETRIES.get(bravais, _SYMMETRIES.get(bravais[:1]))
    if system is None:
        raise ValueError(f"{bravais=} must be a Bravais lattice, 'cF' for example")
    group = point_group("hP" if bravais == "h" else bravais)  # before the import: see `compile_orix`
    from orix.plot.direction_color_keys import DirectionColorKeyTSL  # not above: it takes seconds
    from orix.vector import Vector3d

    ax = _axes(ax, (1.5, 1.2))
    sector = group.laue.fundamental_sector

    def project(vectors):
        return vectors[:, :2] / (1 + vectors[:, 2:])

    edge = project(sector.edges.unit.data)
    low, high = edge.min(axis=0), edge.max(axis=0)
    points = np.stack(np.meshgrid(*np.linspace(low, high, 150).T), axis=-1)
    squares = (points**2).sum(axis=-1, keepdims=True)
    directions = np.concatenate([2 * points, 1 - squares], axis=-1) / (1 + squares)
    colors = DirectionColorKeyTSL(group).direction2color(Vector3d(directions))
    image = ax.imshow(colors, origin="lower", extent=(low[0], high[0], low[1], high[1]), interpolation="bilinear")
    outline = Polygon(edge, facecolor="none", edgecolor="black", lw=0.8)
    ax.add_patch(outline)
    image.set_clip_path(outline)
    for corner in sector.vertices.unit.data:
        place = project(corner[None])[0]
        below = place[1] < (low[1] + high[1]) / 2
        how = {"va": "top" if below else "bottom", "ha": "center", "fontsize": 7, "textcoords": "offset points"}
        ax.annotate(_direction(corner, bravais[0] == "h"), place, (0, -3 if below else 3), **how)
    ax.set_axis_off()
    ax.set_title(system, fontsize=7, pad=12)
    return ax


def _direction(vector, hexagonal):
    """Indices of a corner of a sector: [101], in hexagonal crystals four of them."""
    if hexagonal:
        angle = round(np.degrees(np.arctan2(vector[1], vector[0])))
        names = {0: r"2\bar1\bar10", 30: r"10\bar10", -30: r"1\bar100"}
        return f"$[{'0001' if vector[2] > 0.5 else names[angle]}]$"
    indices = np.rint(vector / np.abs(vector)[np.abs(vector) > 1e-3].min()).astype(int)
    return "$[" + "".join(str(i) if i >= 0 else rf"\bar{-i}" for i in indices) + "]$"


def class_legend(ax, refused: bool = False, **kwargs):
    """Add a legend of the colours of the classes to axes or a figure, of what is none of them if `refused`; return
    it."""
    names, colors = [*CLASSES], [*CLASS_COLORS]
    if refused:
        names, colors = [*names, "none"], [*colors, NONE_COLOR]
    patches = [Rectangle((0, 0), 1, 1, facecolor=color) for color in colors]
    return ax.legend(patches, names, **kwargs)


def draw_frames(table, ax: Axes | None = None) -> Axes:
    """Draw the fractions of a trajectory's atoms by class, frame by frame; a frame without a map leaves a gap.

    Parameters
    ----------
    table : DataFrame
        As from `xtalsight.trajectories.map_trajectory`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax, (5, 3))
    colors = dict(zip(CLASSES, CLASS_COLORS, strict=True))
    colors |= {"other": OTHER_COLOR, "refused": "0.45", "without_grain": NONE_COLOR}
    for name, color in colors.items():
        fractions = table[name].astype(float)
        if (fractions > 0).any():
            style = "--" if name in ("refused", "without_grain") else "-"
            ax.plot(table.frame, fractions, style, marker=".", color=color, label=name.replace("_", " "))
    ax.set(xlabel="frame", ylabel="fraction of atoms", ylim=(-0.02, 1.02))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if ax.lines:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return ax
