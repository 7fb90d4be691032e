"""A modifier for OVITO: the map of a sample in its pipeline.

``pipeline.modifiers.append(XtalsightModifier(color_by="grain"))``; OVITO Pro lists it among its modifiers by itself. To
import this module, OVITO must be there (``pip install ovito``); no other module imports it.
"""

import joblib
import numpy as np
import pandas as pd
from ase import Atoms
from ase.data import atomic_numbers
from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from ovito.traits import FilePath
from traits.api import Enum, Range

from xtalsight.crystals import CLASSES
from xtalsight.grains import annotate, map_structure
from xtalsight.plots import CLASS_COLORS, COLORINGS, NONE_COLOR, atom_colors, class_shares

NONE = 0
"""Number of the type of "Class" and "Prototype" that particles without a grain have."""


class XtalsightModifier(ModifierInterface):
    """Find the grains of a sample and what each is, as `xtalsight.grains.map_structure`, and colour the particles by
    it.

    Particles get "Grain" (-1: none), "Class" and "Prototype" (with names), "Confidence", "Accepted" (0 or 1) and
    "Color". There are tables, "grains" and "grain-neighbours", and attributes: "Xtalsight.grains" (their number),
    "Xtalsight.radius" (angstrom), and "Xtalsight.fraction.fcc" and so on, fractions of all particles: in accepted
    grains of each class, of "other" prototypes, and in "none" of these.
    """

    radius = Range(low=0.0, value=0.0, label="Radius of balls (0: automatic)")
    """Of the balls in which waves are looked for, angstrom; 0 as without radius."""

    network = FilePath("", label="Folder of a network (empty: built in)")
    """That ``xtalsight learn`` made; empty for that of the free prototypes of AFLOW's library."""

    color_by = Enum(*COLORINGS, label="Color by")
    """One of `xtalsight.plots.COLORINGS`."""

    def modify(self, data: DataCollection, **_):
        """Add to the data what the map says; what OVITO calls.

        Raises
        ------
        ValueError
            No particles, or what `xtalsight.grains.map_structure` says.
        """
        if data.particles is None or data.particles.count == 0:
            raise ValueError("there are no particles to map")
        yield "Looking for grains"
        found, annotated = self._map(atoms_of(data))
        particles = data.particles_
        particles.create_property("Grain", data=found.grain)
        _add_types(particles, "Class", annotated.arrays["class"], CLASSES, CLASS_COLORS)
        names = [name for name in dict.fromkeys(found.grains.prototype) if name != "none"]
        _add_types(particles, "Prototype", annotated.arrays["prototype"], names)
        particles.create_property("Confidence", data=annotated.arrays["confidence"])
        particles.create_property("Accepted", data=annotated.arrays["accepted"].astype(np.int32))
        particles.create_property("Color", data=atom_colors(annotated, self.color_by, found.grains))
        for name, title, table in (
            ("grains", "Grains", found.grains.rename_axis("grain").reset_index()),
            ("grain-neighbours", "Neighbours of grains", found.neighbours),
        ):
            _add_table(data, name, title, table)
        data.attributes["Xtalsight.grains"] = len(found.grains)
        data.attributes["Xtalsight.radius"] = found.radius
        for name, share in class_shares(found).items():
            data.attributes[f"Xtalsight.fraction.{name}"] = share

    def _map(self, atoms):
        """The map of the atoms and the annotated atoms; the last ones are kept, so that another colour is there at
        once."""
        asked = self.radius, self.network
        last = self.__dict__.get("_last")  # no trait: OVITO watches those
        if last is None or last[0] != asked or last[1] != atoms:
            # Threads: OVITO's own interpreter, started as a process of joblib, would be one more window.
            with joblib.parallel_config(backend="threading"):
                found = map_structure(atoms, self.radius or None, self.network or None)
            last = self.__dict__["_last"] = asked, atoms, found, annotate(atoms, found)
        return last[2:]

    def __getstate__(self):
        """What OVITO saves with a session: the parameters."""
        return {name: value for name, value in super().__getstate__().items() if name != "_last"}


def atoms_of(data: DataCollection) -> Atoms:
    """Return the particles as Atoms, with their cell and its periodic walls.

    Elements are those that the names of the types say. If one of the names is no element's, each type is a kind of its
    own, whatever its name.
    """
    particles, cell = data.particles, data.cell
    numbers = np.ones(particles.count, int)
    if (types := particles.particle_types) is not None:
        ids, kinds = np.unique(types, return_inverse=True)
        named = {one.id: atomic_numbers.get(one.name, 0) for one in types.types}
        known = np.array([named.get(i, 0) for i in ids])
        numbers = known[kinds] if (known > 0).all() else 1 + kinds
    atoms = Atoms(numbers, np.asarray(particles.positions))
    if cell is not None:
        atoms.set_cell(cell[:, :3].T)
        atoms.positions -= cell[:, 3]
        atoms.pbc = [*cell.pbc[:2], cell.pbc[2] and not cell.is2D]
    return atoms


def _add_types(particles, property_name, values, names, colors=None):
    """Add an integer property whose types have names: `NONE`, and those given from 1 on."""
    codes = np.full(len(values), NONE)
    for code, name in enumerate(names, start=1):
        codes[values == name] = code
    added = particles.create_property(property_name, data=codes)
    for kind in [*added.types]:  # of such a modifier before this one
        added.remove_type_id(kind.id)
    for code, name in enumerate(("none", *names)):
        kind = added.add_type_id(code, particles, name=name)
        if code == NONE:
            kind.color = (float(NONE_COLOR),) * 3
        elif colors:
            kind.color = colors[code - 1]


def _add_table(data, identifier, title, table):
    """Add a table with the columns of a DataFrame, truth as 0 and 1."""
    added = data.tables.create(identifier=identifier, title=title, count=len(table))
    for name, values in table.items():
        if values.dtype.kind in "biuf":
            added.create_property(name, data=values.to_numpy(float if values.dtype.kind == "f" else np.int64))
        else:
            added.create_property(name, dtype=str, data=["" if pd.isna(value) else str(value) for value in values])
