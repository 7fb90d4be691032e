"""A map that turns in 3D, in JupyterLab and in Colab.

The viewer is weas-widget, which brings its program along: in JupyterLab nothing is fetched from a network to look at a
map.
"""

import io
from functools import cache

import numpy as np
from ase import Atoms
from scipy.ndimage import binary_erosion

from xtalsight import plots

_NO_BUTTONS = ("redo", "export", "import", "measurement")  # undo stays: a key of the viewer deletes what is clicked
_LABELS = {"class": "class", "grain": "grain", "confidence": "confidence", "ipf": "crystal direction along z"}


def are_seen(positions: np.ndarray, nearest: float) -> np.ndarray:
    """Return which atoms are seen from outside, (n,) bool: those at most some six distances of neighbours below a
    surface.

    Parameters
    ----------
    positions : ndarray, shape (n, 3)
        Angstrom.
    nearest : float
        Distance of neighbours, angstrom.
    """
    boxes = ((positions - positions.min(axis=0)) / (2 * nearest)).astype(int) + 1
    shape = boxes.max(axis=0) + 2
    if shape.prod() > 1000 + 100 * len(positions):  # pieces far apart
        return np.ones(len(positions), bool)
    filled = np.zeros(shape, bool)
    filled[tuple(boxes.T)] = True
    return ~binary_erosion(filled, np.ones((3, 3, 3)), iterations=2)[tuple(boxes.T)]


def shown_atoms(positions: np.ndarray, nearest: float, axis: int, low: float, high: float):
    """Choose the atoms that a view of a slice needs, at most `xtalsight.plots.MOST_DRAWN`.

    Parameters
    ----------
    positions, nearest
        As of `are_seen`.
    axis : int
        Normal of the slice: 0, 1, 2 for x, y, z.
    low, high : float
        Its faces, angstrom.

    Returns
    -------
    rows : ndarray of int
        Atoms of the slice that are seen.
    low, high : float
        As given, but of a thinner slice where too many atoms are seen.
    """
    heights = positions[:, axis]
    rows = np.flatnonzero((heights >= low) & (heights <= high))
    if len(rows) == 0:
        return rows, low, high
    shown = rows[are_seen(positions[rows], nearest)]
    if len(shown) > plots.MOST_DRAWN:
        away = np.abs(heights[rows] - (low + high) / 2)
        rows = np.sort(rows[np.argpartition(away, plots.MOST_DRAWN)[: plots.MOST_DRAWN]])
        low, high = heights[rows].min(), heights[rows].max()
        shown = rows[are_seen(positions[rows], nearest)]
    return shown, float(low), float(high)


def view_map(annotated: Atoms, found, color_by: str = "class"):
    """Show a map that turns by the mouse, with controls of the colours and of a slice along an axis.

    Parameters
    ----------
    annotated : Atoms
        As from `xtalsight.grains.annotate`.
    found : Map
        Of the same atoms, as from `xtalsight.grains.map_structure`.
    color_by : str
        One of `xtalsight.plots.COLORINGS`, at first.

    Returns
    -------
    ipywidgets.VBox or IPython.display.Image
        Without ipywidgets or weas-widget one sentence is printed, and the picture of `xtalsight.plots.draw_map` is
        returned.

    Raises
    ------
    ValueError
        As `xtalsight.plots.atom_colors`.
    """
    positions = annotated.positions
    nearest = plots.neighbour_distance(positions)
    plots.atom_colors(annotated[:1], color_by, found.grains)  # says what is wrong, if anything is
    try:
        import ipywidgets as widgets
        from weas_widget import WeasWidget
    except ImportError:
        from IPython.display import Image

        print("It does not turn without weas-widget and ipywidgets: pip install weas-widget, then restart the kernel.")
        return Image(_png(plots.draw_map(found, annotated)), format="png")

    low, high = np.floor(positions.min(axis=0)).astype(int), np.ceil(positions.max(axis=0)).astype(int)
    viewer = WeasWidget(
        viewerStyle={"width": "600px", "height": "480px"},
        guiConfig={"controls": {"enabled": False}, "buttons": dict.fromkeys(_NO_BUTTONS, False)},
        cameraSetting={"direction": [0.4, 0.3, 1]},
    )
    how = {"style": {"description_width": "50px"}, "layout": widgets.Layout(width="300px")}
    options = [(_LABELS[name], name) for name in plots.COLORINGS]
    color = widgets.Dropdown(description="colour", options=options, value=color_by, **how)
    axis = widgets.Dropdown(description="slice", options=[(f"along {'xyz'[i]}", i) for i in range(3)], value=2, **how)
    cut = widgets.IntRangeSlider(
        description="Å", min=low[2], max=high[2], value=(low[2], high[2]), continuous_update=False, **how
    )
    note, key = (
        widgets.HTML(),
        widgets.Image(format="png", layout=widgets.Layout(width="240px", object_fit="contain", object_position="top")),
    )
    key_of = cache(lambda name: _png(plots.draw_map_key(found, name)))

    def redraw(_=None):
        rows, bottom, top = shown_atoms(positions, nearest, axis.value, *cut.value)
        rgb = plots.atom_colors(annotated[rows], color.value, found.grains)
        names = np.char.mod("#%06x", np.rint(255 * rgb).astype(int) @ (65536, 256, 1))
        places = (positions[rows] - (low + high) / 2).round(2).tolist()
        atoms = [{"position": place, "color": name} for place, name in zip(places, names.tolist(), strict=True)]
        viewer.imp.settings = [{"type": "sphere", "shape": {"radius": nearest / 2}, "instances": atoms}]
        thinner = (
            "" if (bottom, top) == cut.value else f", too many atoms for one view: from {bottom:.1f} to {top:.1f} Å"
        )
        note.value = f"{len(annotated):,} atoms{thinner}"
        key.value = key_of(color.value)

    def change_axis(_):
        cut.unobserve(redraw, "value")
        with cut.hold_sync():
            # Wide first: whatever they were, neither end nor value is refused then.
            cut.min, cut.max = low.min(), high.max()
            cut.value = low[axis.value], high[axis.value]
            cut.min, cut.max = cut.value
        cut.observe(redraw, "value")
        redraw()

    color.observe(redraw, "value")
    axis.observe(change_axis, "value")
    cut.observe(redraw, "value")
    redraw()
    return widgets.VBox([widgets.HBox([color, axis, cut]), widgets.HBox([viewer, key]), note])


def _png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
