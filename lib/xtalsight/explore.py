"""Explore by hand: settings by slider; the crystal, what two networks see of it and what they answer follow at once.

`look` does the science and `plots.draw_exploration` the drawing; `explorer` puts widgets on top.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from ase import Atoms

from xtalsight import classify, crystals, plots
from xtalsight.crystals import CLASS_OF_SPACE_GROUP, CLASSES, ELEMENTS
from xtalsight.fingerprints import fingerprint, length_scale
from xtalsight.inference import predict

KINDS = dict(zip(CLASSES, ("bcc", "bct_in", "beta_sn", "diamond", "fcc", "hcp", "sc"), strict=True))
"""The prototype, a key of `PROTOTYPES`, that stands for each class."""

AXIAL_RATIOS = {"bct_139": (0.80, 1.52, 1.60), "bct_141": (0.50, 0.55, 0.64), "hex/rh": (1.54, 1.63, 1.91)}
"""Least, usual and largest c/a by class, where it is free. That of bct_139 leads through 1, where it is bcc."""

SIZES = (32, 64, 128, 256, 512)
"""Least numbers of atoms of the undamaged supercell."""

AXES = ("random", "x", "y", "z")
"""Axes about which the crystal can be rotated."""

MOST = {"vacancies": 95, "displacement": 25, "turn": 90}
"""Ends of the sliders of damage: % of the atoms, % of the neighbour distance, degrees."""


@dataclass(frozen=True)
class Settings:
    """What the sliders say. The same settings give the same crystal.

    Parameters
    ----------
    kind : str
        One of `CLASSES`.
    element : str
        One of `ELEMENTS`.
    c_over_a : float, optional
        Without it the usual one of `AXIAL_RATIOS`; the other classes have none, whatever is given.
    vacancies : float
        % of the atoms of the supercell that are missing, below 100. Those that 20 % take away, 30 % take away as well.
    displacement : float
        Standard deviation of each coordinate, % of the nearest-neighbour distance.
    turn : float
        Degrees out of the standard orientation.
    axis : str
        One of `AXES`: a random axis, drawn from the seed, or one of the crystal's in its standard orientation.
    n_atoms : int
        One of `SIZES`.
    seed : int
        Of all that is random.

    Raises
    ------
    ValueError
        A class, element, axis or size that does not exist, all atoms or more missing, a negative displacement.
    """

    kind: str = "bcc"
    element: str = "Fe"
    c_over_a: float | None = None
    vacancies: float = 0
    displacement: float = 0
    turn: float = 0
    axis: str = "random"
    n_atoms: int = crystals.N_ATOMS
    seed: int = 0

    def __post_init__(self):
        choices = ((self.kind, CLASSES), (self.element, ELEMENTS), (self.axis, AXES), (self.n_atoms, SIZES))
        for value, allowed in choices:
            if value not in allowed:
                raise ValueError(f"{value!r} is none of {', '.join(map(str, allowed))}")
        if not 0 <= self.vacancies < 100 or self.displacement < 0:
            raise ValueError(f"{self.vacancies=} must lie in [0, 100), {self.displacement=} must not be negative")


def random_settings(rng: np.random.Generator) -> Settings:
    """Draw settings, each uniform over its slider; but each kind of damage is left out in half of the draws."""
    kind = CLASSES[rng.integers(len(CLASSES))]
    low, _, high = AXIAL_RATIOS.get(kind, (1, 1, 1))
    return Settings(
        kind=kind,
        element=ELEMENTS[rng.integers(len(ELEMENTS))],
        c_over_a=round(rng.uniform(low, high), 2),
        **{name: int(rng.integers(2) * rng.integers(most + 1)) for name, most in MOST.items()},
        axis=AXES[rng.integers(len(AXES))],
        n_atoms=SIZES[rng.integers(len(SIZES))],
        seed=int(rng.integers(1000)),
    )


@lru_cache(maxsize=64)
def _perfect(kind, element, c_over_a=None):
    """Recipe of a crystal without damage, its class by space group and its neighbour distance, angstrom."""
    perfect = {
        "id": 0,
        "prototype": KINDS[kind],
        "element": element,
        "volume": crystals.ground_state_volume(element),
        "c_over_a": (c_over_a or AXIAL_RATIOS[kind][1]) if kind in AXIAL_RATIOS else np.nan,
        **dict.fromkeys(("alpha", "z"), np.nan),
        **dict.fromkeys(("rotation_x", "rotation_y", "rotation_z"), 0.0),
    }
    cell = crystals.primitive_cell(perfect)
    return perfect, CLASS_OF_SPACE_GROUP[crystals.space_group(cell)], length_scale(cell)


def crystal(settings: Settings) -> Atoms:
    """Build the crystal of the settings, damaged and rotated."""
    perfect, _, nearest = _perfect(settings.kind, settings.element, settings.c_over_a)
    damage = {
        "seed": settings.seed,
        "n_atoms": settings.n_atoms,
        "vacancy_ratio": settings.vacancies / 100,
        "displacement": settings.displacement / 100 * nearest,
        "misorientation": settings.turn if settings.axis == "random" else 0,
    }
    atoms = crystals.build_crystal(perfect | damage)
    if settings.axis != "random":
        atoms = crystals.rotate(atoms, [settings.turn * (axis == settings.axis) for axis in "xyz"])
    return atoms


@dataclass(frozen=True)
class Look:
    """What there is to see, by the names of the arguments of `plots.draw_exploration`."""

    atoms: Atoms
    label: int
    nearest: float
    images: tuple[np.ndarray, np.ndarray] | None
    probabilities: tuple[np.ndarray, np.ndarray] | None
    accepted: bool
    title: str
    message: str = ""


def look(settings: Settings) -> Look:
    """Build the crystal and let two networks look at it, each through the fingerprint that it was trained on.

    The compact network looks at the atoms as they stand. `classify.classify` shows its answer, too, for a crystal
    whose standard orientation spglib finds, but decides by spectra, which no turn changes.

    Returns
    -------
    Look
        The class is that of the space group of the undamaged crystal. Where there can be no fingerprint, of too few
        atoms or of atoms too far apart, ``message`` says so.
    """
    atoms = crystal(settings)
    _, label, nearest = _perfect(settings.kind, settings.element, settings.c_over_a)
    turned = f", rotated by {settings.turn}°" if settings.turn else ""
    amounts = {
        f"{settings.vacancies} % vacancies": settings.vacancies,
        f"displaced by {settings.displacement} %": settings.displacement,
    }
    damage = ", ".join(text for text, amount in amounts.items() if amount) or "undamaged"
    title = f"{CLASSES[label]}, {settings.element}, {len(atoms)} atoms{turned}\n{damage}"
    try:
        images = fingerprint(atoms, classify.GEOMETRY), fingerprint(atoms)
    except ValueError as error:
        return Look(atoms, label, nearest, None, None, False, title, str(error).removeprefix(f"{atoms.info['name']}: "))
    (compact, card), (paper, _) = (classify.load_network(name) for name in ("compact", "table_1"))
    probabilities = predict(compact, images[0][None], mirrored=True)[0], predict(paper, images[1][None])[0]
    accepted = classify.is_accepted(probabilities[0], card, len(atoms))
    return Look(atoms, label, nearest, images, probabilities, accepted, title)


def show(settings: Settings, figure):
    """Draw what there is to see on an empty figure or subfigure."""
    _, card = classify.load_network("compact")
    return plots.draw_exploration(figure, card["thresholds"], **vars(look(settings)))


def painter() -> Callable[[Settings], bytes]:
    """Return a function that draws the same as `show`, quickly, and returns it as PNG."""
    _, card = classify.load_network("compact")
    paint = plots.exploration_painter(card["thresholds"])
    return lambda settings: paint(**vars(look(settings)))


def explorer(settings: Settings = Settings(), seed: int = 0):
    """Return a panel of widgets that shows what there is to see and follows its sliders, in JupyterLab and in Colab.

    Parameters
    ----------
    settings : Settings
        Where the sliders stand at first.
    seed : int
        Of the button "Surprise me", which draws other settings each time.

    Returns
    -------
    ipywidgets.VBox or IPython.display.Image
        Without ipywidgets one sentence is printed, and the picture alone is returned.
    """
    paint = painter()
    try:
        import ipywidgets as widgets
    except ImportError:
        from IPython.display import Image

        print(
            "There are no sliders, since ipywidgets is not installed: pip install ipywidgets, then restart the kernel."
        )
        return Image(paint(settings), format="png")

    controls = _controls(widgets)
    picture = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width="1100px"))
    note = widgets.HTML()

    def redraw(change=None):
        if change and change["owner"] is controls["kind"]:
            place(Settings(**{name: control.value for name, control in controls.items()} | {"c_over_a": None}))
            return
        start = time.perf_counter()
        picture.value = paint(Settings(**{name: control.value for name, control in controls.items()}))
        note.value = f"drawn in {time.perf_counter() - start:.2f} s"

    def place(settings):
        """Set all controls, then draw once."""
        for control in controls.values():
            control.unobserve(redraw, "value")
        low, usual, high = AXIAL_RATIOS.get(settings.kind, (0.8, 1.0, 1.2))
        with controls["c_over_a"].hold_sync():
            # Wide first: whatever they were, neither end nor value is refused then.
            controls["c_over_a"].min, controls["c_over_a"].max = 0, 9
            controls["c_over_a"].value = settings.c_over_a or usual
            controls["c_over_a"].min, controls["c_over_a"].max = low, high
            controls["c_over_a"].disabled = settings.kind not in AXIAL_RATIOS
        for name in controls.keys() - {"c_over_a"}:
            controls[name].value = getattr(settings, name)
        for control in controls.values():
            control.observe(redraw, "value")
        redraw()

    rng = np.random.default_rng(seed)
    surprise = widgets.Button(description="Surprise me", icon="random", tooltip="all settings at random")
    surprise.on_click(lambda _: place(random_settings(rng)))
    play = widgets.Play(max=MOST["vacancies"], step=5, interval=400)
    widgets.jslink((play, "value"), (controls["vacancies"], "value"))
    for control in controls.values():
        control.observe(redraw, "value")
    place(settings)
    columns = np.reshape(list(controls.values()), (3, 3)).tolist()
    sliders = widgets.HBox([widgets.VBox(column) for column in columns], layout=widgets.Layout(flex_flow="row wrap"))
    buttons = widgets.HBox([widgets.Label("vacancies, played:"), play, surprise, note])
    return widgets.VBox([sliders, buttons, picture])


def _controls(widgets):
    """One widget for each of the `Settings`, by its name; three columns of three."""

    def control(kind, text, **options):
        style, layout = {"description_width": "105px"}, widgets.Layout(width="300px")
        return kind(description=text, style=style, layout=layout, **options)

    return {
        "kind": control(widgets.Dropdown, "class", options=CLASSES),
        "element": control(widgets.Dropdown, "element", options=ELEMENTS),
        "c_over_a": control(widgets.FloatSlider, "c/a", step=0.01),
        "vacancies": control(widgets.IntSlider, "vacancies (%)", max=MOST["vacancies"]),
        "displacement": control(widgets.IntSlider, "displaced (%)", max=MOST["displacement"]),
        "n_atoms": control(widgets.SelectionSlider, "atoms, at least", options=SIZES),
        "turn": control(widgets.IntSlider, "rotated (°)", max=MOST["turn"]),
        "axis": control(widgets.Dropdown, "about axis", options=AXES),
        "seed": control(widgets.BoundedIntText, "seed", max=999),
    }
