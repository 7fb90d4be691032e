"""Exploring by hand: the same settings give the same picture, every slider counts, no setting is an error."""

import builtins
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from xtalsight import explore
from xtalsight.classify import GEOMETRY, classify, load_network
from xtalsight.crystals import CLASSES
from xtalsight.explore import AXIAL_RATIOS, MOST, SIZES, Settings, crystal, look, random_settings
from xtalsight.fingerprints import fingerprint
from xtalsight.inference import predict

DAMAGED = Settings("bct_139", "In", vacancies=30, displacement=5, turn=10, n_atoms=64)


@pytest.fixture(scope="module")
def paint():
    return explore.painter()


def test_same_settings_same_picture(paint):
    first = paint(DAMAGED)
    paint(replace(DAMAGED, kind="fcc"))
    assert paint(DAMAGED) == first == explore.painter()(DAMAGED)
    assert first.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "fcc"},
        {"element": "Au"},
        {"c_over_a": 1.2},
        {"vacancies": 40},
        {"displacement": 6},
        {"turn": 11},
        {"axis": "z"},
        {"n_atoms": 128},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_control_changes_the_picture_and_what_is_seen(change, paint):
    changed = replace(DAMAGED, **change)
    assert paint(changed) != paint(DAMAGED)
    assert not np.array_equal(look(changed).images[0], look(DAMAGED).images[0])


def test_too_few_atoms_are_refused_as_by_classify():
    few = look(Settings("bcc", "Fe", vacancies=80, n_atoms=32))
    assert len(few.atoms) < 24
    assert not few.accepted
    text = [text.get_text() for ax in explore.show(DAMAGED, Figure(layout="none")).axes for text in ax.texts]
    assert any(line.startswith("compact: ") for line in text)


@pytest.mark.parametrize(
    "wrong", [{"n_atoms": 100}, {"vacancies": 100}, {"displacement": -1}, {"kind": "gas"}, {"axis": "w"}]
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Settings(**wrong)


def test_static_figure_says_what_the_quick_one_says():
    figure = explore.show(DAMAGED, Figure(layout="none"))
    text = "\n".join(label.get_text() for ax in figure.axes for label in [*ax.texts, ax.title])
    for part in ("bct_139, In", "rotated by 10°", "30 % vacancies, displaced by 5 %", "compact: ", "paper's: "):
        assert part in text


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_can_be_built(kind):
    for ratio in AXIAL_RATIOS.get(kind, (None,)):
        assert look(Settings(kind, "Fe", c_over_a=ratio, n_atoms=32)).label == CLASSES.index(kind)


def test_tetragonal_crystal_passes_through_bcc():
    assert [CLASSES[look(Settings("bct_139", c_over_a=c)).label] for c in (0.97, 1.0, 1.03)] == [
        "bct_139",
        "bcc",
        "bct_139",
    ]


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("extreme", [MOST, {"vacancies": MOST["vacancies"]}, {"displacement": MOST["displacement"]}])
def test_ends_of_the_sliders_give_a_picture(kind, extreme, paint):
    settings = Settings(kind, n_atoms=min(SIZES), **extreme)
    assert paint(settings).startswith(b"\x89PNG")
    view = look(settings)
    assert view.message or np.isfinite(view.probabilities[0]).all()


def test_what_has_no_fingerprint_says_so_in_the_picture(paint):
    alone = Settings(n_atoms=32, vacancies=98)
    view = look(alone)
    assert view.message == "a fingerprint needs at least two atoms" and view.images is None
    assert paint(alone) != paint(replace(alone, vacancies=95))


def test_more_vacancies_take_more_of_the_same_atoms():
    few, many = (crystal(Settings(vacancies=v)).positions.tolist() for v in (20, 60))
    assert len(many) < len(few)
    assert all(position in few for position in many)


def test_quarter_turn_about_z_brings_a_cube_back():
    still, turned = (look(Settings("fcc", "Cu", turn=turn, axis="z")).images[0] for turn in (0, 90))
    np.testing.assert_allclose(turned, still, atol=0.01)
    assert np.abs(look(Settings("fcc", "Cu", turn=45, axis="z")).images[0] - still).max() > 0.3


def test_answer_is_that_of_the_network_of_classify():
    network, _ = load_network("compact")
    image = fingerprint(crystal(DAMAGED), GEOMETRY)
    np.testing.assert_array_equal(look(DAMAGED).probabilities[0], predict(network, image[None], mirrored=True)[0])


@pytest.mark.parametrize("kind", CLASSES)
def test_answer_is_that_which_classify_shows_beside_where_it_finds_the_standard_cell(kind):
    undamaged = Settings(kind, "Fe")
    shown = classify(crystal(undamaged))["standard"]
    probabilities = look(undamaged).probabilities[0]
    assert shown["class"] == CLASSES[probabilities[: len(CLASSES)].argmax()]
    assert shown["probability"] == pytest.approx(probabilities[: len(CLASSES)].max(), abs=1e-4)


def test_surprises_go_on_and_can_be_built(paint):
    rng = np.random.default_rng(0)
    drawn = [random_settings(rng) for _ in range(8)]
    assert len(set(drawn)) == 8
    assert drawn == [random_settings(again) for again in [np.random.default_rng(0)] for _ in range(8)]
    for settings in drawn:
        assert paint(settings)


@pytest.mark.parametrize("wrong", [{"kind": "quasicrystal"}, {"element": "Xx"}, {"axis": "w"}])
def test_what_does_not_exist_is_named(wrong):
    with pytest.raises(ValueError, match=f"'{next(iter(wrong.values()))}' is none of"):
        Settings(**wrong)


def panel(settings=DAMAGED, seed=0):
    """The box of widgets, its controls by their descriptions, its button and its picture."""
    pytest.importorskip("ipywidgets")
    box = explore.explorer(settings, seed)
    columns, buttons, picture = box.children
    controls = {control.description: control for column in columns.children for control in column.children}
    (button,) = (widget for widget in buttons.children if getattr(widget, "description", "") == "Surprise me")
    return controls, button, picture


def test_panel_starts_at_the_settings_and_follows_a_slider(paint):
    controls, _, picture = panel()
    assert picture.value == paint(DAMAGED)
    controls["vacancies (%)"].value = 50
    assert picture.value == paint(replace(DAMAGED, vacancies=50))


def test_axial_ratio_is_free_where_the_class_has_one(paint):
    controls, _, picture = panel()
    ratio = controls["c/a"]
    for kind in (*CLASSES, *CLASSES[::-1]):
        controls["class"].value = kind
        assert ratio.disabled == (kind not in AXIAL_RATIOS)
        if not ratio.disabled:
            assert (ratio.min, ratio.value, ratio.max) == AXIAL_RATIOS[kind]
        assert picture.value == paint(replace(DAMAGED, kind=kind, c_over_a=None))


def test_surprise_sets_everything_and_draws_once(monkeypatch):
    drawn = []
    monkeypatch.setattr(explore, "painter", lambda: lambda settings: drawn.append(settings) or b"\x89PNG")
    _, button, _ = panel(seed=3)
    del drawn[:]
    rng = np.random.default_rng(3)
    for _ in range(5):
        button.click()
    expected = [random_settings(rng) for _ in range(5)]
    assert [s.__dict__ | {"c_over_a": 0} for s in drawn] == [s.__dict__ | {"c_over_a": 0} for s in expected]


def test_without_widgets_one_sentence_and_a_picture(monkeypatch, capsys, paint):
    missing = builtins.__import__

    def without_widgets(name, *arguments, **more):
        if name == "ipywidgets":
            raise ImportError(name)
        return missing(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without_widgets)
    shown = explore.explorer(DAMAGED)
    (sentence,) = capsys.readouterr().out.splitlines()
    assert "ipywidgets is not installed" in sentence
    assert shown.data == paint(DAMAGED)
