"""The modifier for OVITO: particles get what the map says of them, in a pipeline."""

import tomllib

import joblib
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from xtalsight import plots, rivals
from xtalsight.crystals import CLASSES
from xtalsight.study.profiles import root

if not rivals.HAS_OVITO:
    pytest.skip("OVITO is not installed", allow_module_level=True)

from ovito.data import DataCollection
from ovito.io import import_file
from ovito.io.ase import ase_to_ovito
from ovito.pipeline import Pipeline, StaticSource
from traits.api import TraitError

from xtalsight import ovito_modifier
from xtalsight.ovito_modifier import XtalsightModifier, atoms_of


def source(atoms):
    """Particles of a pipeline, without what a map has said of the atoms."""
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    return StaticSource(data=ase_to_ovito(bare))


def run(atoms, **parameters):
    """Data that leave a pipeline of atoms and the modifier."""
    pipeline = Pipeline(source=source(atoms))
    pipeline.modifiers.append(XtalsightModifier(**parameters))
    return pipeline.compute()


@pytest.fixture
def made_up(mapped, monkeypatch):
    """A map that is made up, whatever the atoms; what it was asked for is kept."""
    found, annotated = mapped
    asked = []

    def map_structure(atoms, radius, network):
        asked.append((radius, network, atoms))
        return found

    monkeypatch.setattr(ovito_modifier, "map_structure", map_structure)
    return found, annotated, asked


def test_particles_get_what_the_map_says_of_them(made_up):
    found, annotated, _ = made_up
    particles = run(annotated).particles
    np.testing.assert_array_equal(particles["Grain"], found.grain)
    np.testing.assert_allclose(particles["Confidence"], annotated.arrays["confidence"])
    np.testing.assert_array_equal(particles["Accepted"], annotated.arrays["accepted"])
    for name in ("Class", "Prototype"):
        names = {kind.id: kind.name for kind in particles[name].types}
        assert [names[code] for code in particles[name]] == annotated.arrays[name.lower()].tolist()


def test_types_of_classes_have_their_names_and_colours_for_a_legend(made_up):
    types = run(made_up[1]).particles["Class"].types
    assert [(kind.id, kind.name) for kind in types] == [*enumerate(("none", *CLASSES))]
    np.testing.assert_allclose([kind.color for kind in types[1:]], plots.CLASS_COLORS)


@pytest.mark.parametrize("color_by", plots.COLORINGS)
def test_colours_are_those_of_the_pictures(color_by, made_up):
    found, annotated, _ = made_up
    colors = run(annotated, color_by=color_by).particles["Color"]
    np.testing.assert_allclose(colors, plots.atom_colors(annotated, color_by, found.grains), atol=1e-6)


def test_tables_are_those_of_the_map(made_up):
    found, annotated, _ = made_up
    tables = run(annotated).tables
    assert [*tables["grains"]["class"]] == found.grains["class"].tolist()
    assert [*tables["grains"]["lattice"]] == ["cF", "cI", "hP", ""]
    np.testing.assert_array_equal(tables["grains"]["grain"], found.grains.index)
    for name in ("accepted", "atoms", "confidence"):
        np.testing.assert_allclose(tables["grains"][name], found.grains[name].astype(float))
    np.testing.assert_array_equal(tables["grain-neighbours"]["contacts"], found.neighbours.contacts)


def test_attributes_have_the_number_of_grains_and_the_fraction_of_each_class(made_up):
    attributes = run(made_up[1]).attributes
    assert (attributes["Xtalsight.grains"], attributes["Xtalsight.radius"]) == (4, 9.0)
    fractions = {name: attributes[f"Xtalsight.fraction.{name}"] for name in (*CLASSES, "other", "none")}
    assert fractions == plots.class_shares(made_up[0])
    assert sum(fractions.values()) == pytest.approx(1)


def test_parameters_are_handed_on(made_up):
    _, annotated, asked = made_up
    run(annotated)
    run(annotated, radius=7.5, network="mine")
    assert [some[:2] for some in asked] == [(None, None), (7.5, "mine")]


@pytest.mark.parametrize("parameters", [{"radius": -1.0}, {"color_by": "size"}])
def test_parameters_that_cannot_be_are_refused(parameters):
    with pytest.raises(TraitError, match=next(iter(parameters))):
        XtalsightModifier(**parameters)


def test_another_colour_needs_no_other_map_but_other_atoms_do(made_up):
    _, annotated, asked = made_up
    pipeline, modifier = Pipeline(source=source(annotated)), XtalsightModifier()
    pipeline.modifiers.append(modifier)
    before = np.array(pipeline.compute().particles["Color"])
    modifier.color_by = "grain"
    assert not np.array_equal(pipeline.compute().particles["Color"], before)
    assert len(asked) == 1
    annotated.positions[0] += 0.5
    pipeline.source = source(annotated)
    pipeline.compute()
    modifier.radius = 8.0
    pipeline.compute()
    assert len(asked) == 3


def test_a_second_modifier_renames_the_types_of_the_first(made_up):
    pipeline = Pipeline(source=source(made_up[1]))
    pipeline.modifiers.extend([XtalsightModifier(), XtalsightModifier(radius=8.0)])
    assert [kind.name for kind in pipeline.compute().particles["Prototype"].types] == [
        "none", "A_cF4_225_a", "AB_cP2_221_b_a"
    ]  # fmt: skip


def test_no_other_process_is_started(made_up, monkeypatch):
    found, annotated, _ = made_up
    backends = []

    def map_structure(*_):
        backends.append(type(joblib.parallel.get_active_backend()[0]).__name__)
        return found

    monkeypatch.setattr(ovito_modifier, "map_structure", map_structure)
    run(annotated)
    assert backends == ["ThreadingBackend"]


@pytest.mark.parametrize("data", [DataCollection(), ase_to_ovito(Atoms())], ids=["nothing", "empty"])
def test_without_particles_there_is_one_clear_sentence(data):
    pipeline = Pipeline(source=StaticSource(data=data))
    pipeline.modifiers.append(XtalsightModifier())
    with pytest.raises(ValueError, match="there are no particles to map"):
        pipeline.compute()


def test_what_the_map_cannot_do_is_said(tmp_path):
    with pytest.raises(ValueError, match="at least two"):
        run(Atoms("Cu"))
    with pytest.raises(ValueError, match=str(tmp_path)):
        run(bulk("Cu", cubic=True), network=str(tmp_path))


def test_a_crystal_is_one_grain_through_its_walls():
    atoms = bulk("Cu", cubic=True) * (6, 6, 6)
    atoms.rattle(0.05, seed=1)
    atoms.positions += [3, 40, -7]  # outside the cell, too
    data = run(atoms)
    assert data.attributes["Xtalsight.grains"] == 1
    assert data.attributes["Xtalsight.fraction.fcc"] == 1
    np.testing.assert_allclose(
        data.particles["Color"], [plots.CLASS_COLORS[CLASSES.index("fcc")]] * len(atoms), atol=1e-6
    )


def test_each_frame_of_a_trajectory_has_a_map_of_its_own(made_up, tmp_path):
    _, annotated, asked = made_up
    moved = Atoms(annotated.numbers, annotated.positions + [0, 0, 0.5])
    write(tmp_path / "two.extxyz", [Atoms(annotated.numbers, annotated.positions), moved])
    pipeline = import_file(tmp_path / "two.extxyz")
    pipeline.modifiers.append(XtalsightModifier())
    for frame in range(2):
        assert "Grain" in pipeline.compute(frame).particles
    assert len(asked) == 2


# Atoms of particles.


def test_cell_walls_and_elements_are_those_of_the_particles():
    cell = [[10, 0, 0], [3, 9, 0], [1, 2, 8]]
    atoms = Atoms("CuAuCu", [[1, 2, 3], [4, 5, 6], [7, 8, 9]], cell=cell, pbc=[True, False, True])
    data = ase_to_ovito(atoms)
    data.cell_[:, 3] = [100, 0, -5]
    data.particles_.positions_ += [100, 0, -5]
    result = atoms_of(data)
    np.testing.assert_allclose(result.positions, atoms.positions)
    np.testing.assert_allclose(result.cell, atoms.cell)
    assert result.pbc.tolist() == [True, False, True]
    assert result.symbols.get_chemical_formula() == "AuCu2"


@pytest.mark.parametrize("names", [("1", "2"), ("Cu", "big")])
def test_types_that_are_no_elements_are_kinds(names):
    data = DataCollection()
    particles = data.create_particles(count=3)
    particles.create_property("Position", data=np.eye(3))
    types = particles.create_property("Particle Type", data=[7, 900, 7])
    for number, name in zip((7, 900), names, strict=True):
        types.add_type_id(number, particles, name=name)
    assert atoms_of(data).numbers.tolist() == [1, 2, 1]


def test_without_types_and_cell_all_particles_are_of_one_kind():
    data = DataCollection()
    data.create_particles(count=3).create_property("Position", data=np.eye(3))
    atoms = atoms_of(data)
    assert set(atoms.numbers) == {1} and not atoms.pbc.any() and not atoms.cell.any()


def test_a_flat_cell_is_not_periodic_across():
    data = ase_to_ovito(Atoms("Cu", cell=[5, 5, 5], pbc=True))
    data.cell_.is2D = True
    assert atoms_of(data).pbc.tolist() == [True, True, False]


def test_the_package_declares_it_to_ovito():
    (where,) = tomllib.loads((root() / "pyproject.toml").read_text())["project"]["entry-points"][
        "OVITO.Modifier"
    ].values()
    assert where == f"{XtalsightModifier.__module__}:{XtalsightModifier.__name__}"
