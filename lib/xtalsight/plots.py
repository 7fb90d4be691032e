"""Figures of the study. Every function draws on the given axes, or on new ones, and returns them: ``f(data, ax=None) -> ax``.

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
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.patches import Arc, Circle, FancyArrowPatch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D
from sklearn.metrics import ConfusionMatrixDisplay

from xtalsight.crystals import CLASSES
from xtalsight.fingerprints import ORIENTATIONS, DiffractionGeometry, length_scale
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
    # x to the right, y into the page, z upwards, slightly turned: less for a supercell, where one looks along the columns.
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

    Nearly all pixels are below 1/255, black on a linear scale: what is drawn is image ** gamma. The same power for the three
    channels keeps the hue, which tells the axis about which the crystal was turned: red x, green y, blue z.

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
        ax.annotate(
            f"${indices}$", (row.x, row.y), (0, 5), textcoords="offset points", color="white", ha="center", fontsize=7
        )
    return ax


def draw_scattering_geometry(geometry: DiffractionGeometry, ax: Axes | None = None) -> Axes:
    """Draw how a fingerprint arises: plane wave, turned crystal, scattering vector, detector with the ring that counts.

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
    label(-3.8, -1.3, f"crystal turned\nby ±{turn:g}° about", ha="left")
    turns = zip("xyz", ("red", "green", "blue"), (1.5, 1, 1), (-45, -90, 0), strict=True)
    for axis, (name, channel, length, side) in enumerate(turns):
        along, across, third = np.roll(np.eye(3), -axis, axis=0)
        angle = around + np.radians(side)
        arc = 0.75 * length * along + 0.3 * (np.outer(np.cos(angle), across) + np.outer(np.sin(angle), third))
        color = f"tab:{channel}"
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
    arrow((k, 0), k * direction, "tab:purple", lw=2)
    label(0.6 * k, -0.2, "k₀")
    label(*(0.6 * k * direction + (0, 0.25)), "k₁")
    label(k + 0.15, 0.33, "s = k₁ − k₀", "tab:purple", ha="left")
    for end, y in ((k * direction, height), ((k, 0), 0)):
        ax.plot([end[0], distance], [end[1], y], color="black", lw=0.8, ls=":", zorder=3)
    ax.plot(distance, height, "s", color="tab:purple", ms=5, zorder=4)

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

    The height of a box is the edge of the image that the layer puts out, its width the number of channels. A vector is drawn
    as high as a square image of as many pixels. Layers that only reshape, normalise, drop or activate are narrow.

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
        angstrom; ``images``, the fingerprints (64, 64, 3) of the compact network and of the paper's; ``probabilities`` of
        both, (8,), "none of the seven" the last, and (7,); ``accepted``, whether the compact network answers; ``title``, one or two lines; ``message``, empty or what to say
        where there are no images and no probabilities.

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
    fill_answers, bars = _answer_panel(figure.add_axes((0.83, 0.14, 0.15, 0.68)), thresholds)
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
    rest = f", the {most} that are mistaken most" if len(names) > most else ""
    ax.set_title(f"{wrong.sum():.0f} of {counts.sum():.0f} mistaken{rest}", fontsize=9)
    return figure


_REFUSED_COLOR = "0.25"


def _verdict_colors(table):
    """Colour (n, 3) of each position of a map: that of its class, or of what is refused."""
    return np.where(table.accepted.to_numpy()[:, None], np.array(CLASS_COLORS)[table.label], to_rgb(_REFUSED_COLOR))


def draw_map_slice(table, level: int, ax: Axes | None = None, *, values: str = "label") -> Axes:
    """Draw one layer of a map of a polycrystal, looking along z.

    Parameters
    ----------
    table : DataFrame
        As from `xtalsight.grains.map_structure`.
    level : int
        Index ``k`` of the layer.
    ax : Axes, optional
        Gets x and y in angstrom.
    values : {"label", "confidence", "grain"}
        Classes in their colours, dark where the verdict is "none of the seven"; the probability of the class; or
        the grains, in twenty colours, positions at boundaries dotted.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        No such values, or no position in this layer.
    """
    if values not in ("label", "confidence", "grain"):
        raise ValueError(f"{values=} must be 'label', 'confidence' or 'grain'")
    layer = table[table.k == level]
    if len(layer) == 0:
        raise ValueError(f"{level=}: the map has layers {table.k.min()} to {table.k.max()}")
    ax = _axes(ax, (3, 3))
    i, j = layer.i - table.i.min(), layer.j - table.j.min()
    image = np.ones((j.max() + 1, i.max() + 1, 3))
    if values == "label":
        colors = _verdict_colors(layer)
    elif values == "confidence":
        colors = colormaps["cividis"](layer.confidence.to_numpy())[:, :3]
    else:
        palette = np.array(colormaps["tab20"].colors)
        colors = np.where(layer.grain.to_numpy()[:, None] >= 0, palette[layer.grain % 20], to_rgb(_REFUSED_COLOR))
    image[j, i] = colors
    half = table.attrs["stride"] / 2
    x, y = table.x.min() - half, table.y.min() - half
    extent = (x, x + 2 * half * image.shape[1], y, y + 2 * half * image.shape[0])
    ax.imshow(image, origin="lower", extent=extent, interpolation="nearest")
    if values == "grain":
        edge = layer[layer.boundary]
        ax.plot(edge.x, edge.y, ".", color="black", ms=2)
    ax.set(xlabel="x (Å)", ylabel="y (Å)")
    return ax


def draw_map_blocks(table, ax: Axes | None = None) -> Axes:
    """Draw a map of a polycrystal as blocks in the colours of their classes, an eighth cut out to show the inside.

    Parameters
    ----------
    table : DataFrame
        As from `xtalsight.grains.map_structure`. Dark blocks: none of the seven.
    ax : Axes, optional
        Of projection "3d".

    Returns
    -------
    Axes
    """
    if ax is None:
        ax = plt.figure(figsize=(4, 4)).add_subplot(projection="3d")
    place = table[["i", "j", "k"]].to_numpy()
    place = place - place.min(axis=0)
    shape = place.max(axis=0) + 1
    filled, colors = np.zeros(shape, bool), np.ones((*shape, 3))
    filled[tuple(place.T)] = True
    colors[tuple(place.T)] = _verdict_colors(table)
    half = shape // 2
    filled[half[0] :, : half[1], half[2] :] = False
    ax.voxels(filled, facecolors=colors, edgecolor=(0, 0, 0, 0.15), linewidth=0.2)
    ax.set_box_aspect(shape)
    ax.view_init(25, -50)
    ax.set_axis_off()
    return ax


def draw_map(table, level: int | None = None) -> Figure:
    """Draw class, confidence and grains of one layer of a map, its middle one by default, and the whole as blocks.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        The box around the map is nearly empty: of pieces far apart nothing would be seen.
    """
    box = np.ptp(table[["i", "j", "k"]].to_numpy(), axis=0) + 1.0
    if box.prod() > 20 * len(table):
        raise ValueError(
            f"its pieces are too far apart to be drawn: {len(table)} positions in a box of {box.prod():.1g}"
        )
    level = np.sort(table.k)[len(table) // 2] if level is None else level
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = [figure.add_subplot(1, 4, i + 1, projection="3d" if i == 3 else None) for i in range(4)]
    titles = {"label": "class", "confidence": "confidence, 0 to 1", "grain": "grains, boundaries"}
    for ax, (values, title) in zip(axes, titles.items(), strict=False):
        draw_map_slice(table, level, ax, values=values)
        ax.set_title(title)
    draw_map_blocks(table, axes[3])
    class_legend(figure, refused=True, loc="outside lower center", ncols=len(CLASSES) + 1, fontsize="small")
    return figure


def class_legend(ax, refused: bool = False, **kwargs):
    """Add a legend of the colours of the classes to axes or a figure, of what is none of them if `refused`; return it."""
    names, colors = [*CLASSES], [*CLASS_COLORS]
    if refused:
        names, colors = [*names, "none"], [*colors, _REFUSED_COLOR]
    patches = [Rectangle((0, 0), 1, 1, facecolor=color) for color in colors]
    return ax.legend(patches, names, **kwargs)
