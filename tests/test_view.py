"""A map that turns: which atoms are shown, in which colours, and that the controls are followed."""

import builtins

import numpy as np
import pytest
from matplotlib.colors import to_hex

from xtalsight import plots
from xtalsight.grains import annotate
from xtalsight.view import are_seen, shown_atoms, view_map

CUBE = 3.0 * np.indices((24, 24, 24)).reshape(3, -1).T


def test_atoms_deep_inside_are_not_seen_and_those_below_a_surface_are():
    depth = (np.minimum(CUBE, 69 - CUBE).min(axis=1)) / 3
    seen = are_seen(CUBE, 3.0)
    assert seen[depth < 4].all()
    assert not seen[depth > 6].any()


def test_atoms_at_a_hole_are_seen():
    middle = np.linalg.norm(CUBE - 34.5, axis=1)
    around = CUBE[middle > 14]
    assert are_seen(around, 3.0)[middle[middle > 14] < 20].all()


def test_of_pieces_far_apart_all_atoms_are_shown():
    assert are_seen(np.array([[0, 0, 0], [1e6, 1e6, 1e6]]), 3.0).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_has_the_atoms_between_its_faces(axis):
    rows, low, high = shown_atoms(CUBE, 3.0, axis, 15, 27)
    assert (low, high) == (15, 27)
    np.testing.assert_array_equal(np.unique(CUBE[rows, axis]), [15, 18, 21, 24, 27])
    assert len(rows) == 5 * 24 * 24  # thin: all are seen


def test_a_slice_beside_the_atoms_is_empty():
    assert len(shown_atoms(CUBE, 3.0, 2, 100, 200)[0]) == 0


def test_of_too_many_atoms_a_thinner_slice_in_the_middle_is_shown(monkeypatch):
    monkeypatch.setattr(plots, "MOST_DRAWN", 24 * 24 * 4)
    rows, low, high = shown_atoms(CUBE, 3.0, 2, 0, 69)
    assert len(rows) <= 24 * 24 * 4
    assert (low, high) == (30, 39)
    assert CUBE[rows, 2].min() == 30 and CUBE[rows, 2].max() == 39


class Panel:
    """The controls of a view by their names, and what it shows."""

    def __init__(self, view):
        controls, shown, self.note = view.children
        self.color, self.axis, self.cut = controls.children
        self.viewer, self.key = shown.children

    def shown(self):
        """Places (n, 3) and colours of the spheres."""
        (spheres,) = self.viewer.imp.settings
        places = np.array([sphere["position"] for sphere in spheres["instances"]])
        return places, [sphere["color"] for sphere in spheres["instances"]]


@pytest.fixture
def panel(mapped):
    pytest.importorskip("weas_widget", reason="no weas-widget: pip install weas-widget")
    found, annotated = mapped
    return Panel(view_map(annotated, found))


@pytest.mark.parametrize("color_by", plots.COLORINGS)
def test_each_atom_is_at_its_place_in_its_colour(color_by, mapped, panel):
    found, annotated = mapped
    panel.color.value = color_by
    places, colors = panel.shown()
    rows = np.flatnonzero(are_seen(annotated.positions, 3.0))
    np.testing.assert_allclose(places, annotated.positions[rows] - 13.5)
    assert colors == [to_hex(color) for color in plots.atom_colors(annotated[rows], color_by, found.grains)]


def test_a_sphere_is_as_large_as_an_atom_that_touches_its_neighbours(panel):
    assert panel.viewer.imp.settings[0]["shape"]["radius"] == pytest.approx(1.5)


def test_the_key_is_that_of_the_colours(panel):
    keys = set()
    for color_by in plots.COLORINGS:
        panel.color.value = color_by
        keys.add(bytes(panel.key.value))
    assert len(keys) == len(plots.COLORINGS)
    assert all(key.startswith(b"\x89PNG") for key in keys)


def test_the_slider_cuts_and_what_is_left_stays_where_it_was(mapped, panel):
    panel.cut.value = (6, 12)
    places, _ = panel.shown()
    np.testing.assert_array_equal(np.unique(places[:, 2]), np.array([6, 9, 12]) - 13.5)
    assert {*map(tuple, places)} < {*map(tuple, mapped[1].positions - 13.5)}


def test_another_axis_begins_with_the_whole(mapped):
    pytest.importorskip("weas_widget", reason="no weas-widget: pip install weas-widget")
    found, annotated = mapped
    annotated.positions += [1000, 0, -1000]
    panel = Panel(view_map(annotated, found))
    for axis in (0, 1, 2, 0):
        panel.axis.value = axis
        low, high = annotated.positions[:, axis].min(), annotated.positions[:, axis].max()
        assert (panel.cut.min, panel.cut.max, panel.cut.value) == (low, high, (low, high))
        assert np.ptp(panel.shown()[0], axis=0).tolist() == [27, 27, 27]
        panel.cut.value = (low + 3, low + 6)
        assert len(panel.shown()[0]) == 200


def test_a_note_says_if_not_all_is_shown(mapped, panel, monkeypatch):
    assert panel.note.value == "1,000 atoms"
    monkeypatch.setattr(plots, "MOST_DRAWN", 400)
    panel.color.value = "grain"
    assert len(panel.shown()[0]) <= 400
    assert panel.note.value == "1,000 atoms, too many atoms for one view: from 9.0 to 18.0 Å"


def test_without_a_grain_or_with_one_atom_layer_it_is_shown(mapped):
    pytest.importorskip("weas_widget", reason="no weas-widget: pip install weas-widget")
    found, annotated = mapped
    layer = annotated[annotated.positions[:, 2] == 0]
    found = found._replace(grain=np.full(len(layer), -1), grains=found.grains[:0])
    panel = Panel(view_map(annotate(layer, found), found))
    for color_by in plots.COLORINGS:
        panel.color.value = color_by
        assert set(panel.shown()[1]) == {to_hex(plots.NONE_COLOR)}


def test_a_colouring_that_does_not_exist_is_named(mapped):
    found, annotated = mapped
    with pytest.raises(ValueError, match="color_by='size' must be one of"):
        view_map(annotated, found, "size")


def test_atoms_without_a_map_are_refused(mapped):
    found, annotated = mapped
    del annotated.arrays["class"]
    with pytest.raises(ValueError, match="no array 'class'"):
        view_map(annotated, found)


@pytest.mark.parametrize("missing", ["weas_widget", "ipywidgets"])
def test_without_widgets_one_sentence_and_a_picture(missing, mapped, monkeypatch, capsys):
    there = builtins.__import__

    def without(name, *arguments, **more):
        if name == missing:
            raise ImportError(name)
        return there(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    found, annotated = mapped
    shown = view_map(annotated, found)
    (sentence,) = capsys.readouterr().out.splitlines()
    assert "pip install weas-widget" in sentence
    assert shown.data.startswith(b"\x89PNG")
