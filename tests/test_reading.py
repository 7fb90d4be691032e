import bz2
import gzip
import json
import lzma
import os
import pickle
import time
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.data import atomic_masses

from xtalsight import reading
from xtalsight.crystals import space_group
from xtalsight.reading import read_structures

SEED = 1912
COPPER = bulk("Cu", cubic=True).repeat(3)
MAGNESIUM = bulk("Mg").repeat((4, 3, 3))  # its cell is tilted


def only(path):
    (atoms,) = read_structures(path)
    return atoms


def distances(atoms):
    """All distances, sorted: the same for the same structure, however it is moved, turned and numbered."""
    return np.sort(atoms.get_all_distances(mic=bool(atoms.pbc.any())), axis=None)


def assert_alike(atoms, other):
    assert np.allclose(distances(atoms), distances(other), atol=1e-4)


# LAMMPS.


def dump(atoms, columns="id type x y z", labels="pp pp pp", origin=(0.0, 0.0, 0.0), images=0, symbols=None):
    """A frame as LAMMPS writes it, atoms in random order and, if unwrapped, up to so many cells away."""
    rng = np.random.default_rng(SEED)
    places = atoms.get_scaled_positions() + (rng.integers(-images, images + 1, (len(atoms), 3)) if images else 0)
    positions = places @ atoms.cell.array + origin
    values = dict(zip("xyz", positions.T, strict=True)) | {
        f"{axis}s": p for axis, p in zip("xyz", places.T, strict=True)
    }
    values |= {
        f"{name[0]}{suffix}": v for name, v in list(values.items()) for suffix in (["su"] if name[1:] else ["u"])
    }
    values |= {
        "id": np.arange(len(atoms)) + 1,
        "type": np.ones(len(atoms), int),
        "element": symbols or list(atoms.symbols),
    }
    values |= {
        "type": np.unique(atoms.numbers, return_inverse=True)[1] + 1,
        "mass": atoms.get_masses(),
        "c_pe": positions[:, 0],
    }
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = atoms.cell.array
    tilted = any((xy, xz, yz))
    low = np.array([min(0, xy, xz, xy + xz), min(0, yz), 0]) * tilted + origin
    high = np.array([xx + max(0, xy, xz, xy + xz), yy + max(0, yz), zz]) + origin
    box = "".join(f"{a} {b}{f' {t}' if tilted else ''}\n" for a, b, t in zip(low, high, (xy, xz, yz), strict=True))
    rows = [" ".join(str(values[name][i]) for name in columns.split()) for i in rng.permutation(len(atoms))]
    bounds = f"ITEM: BOX BOUNDS {'xy xz yz ' if tilted and labels else ''}{labels}".strip()
    head = f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n{bounds}\n{box}ITEM: ATOMS {columns}\n"
    return head + "\n".join(rows) + "\n"


@pytest.mark.parametrize("labels", ["pp pp pp", ""], ids=["labels", "none"])
@pytest.mark.parametrize("crystal", [COPPER, MAGNESIUM], ids=["straight", "tilted"])
@pytest.mark.parametrize(
    "columns", ["id type x y z", "z y c_pe x type id", "xs ys zs type", "id type xu yu zu", "id element xsu ysu zsu"]
)
def test_a_dump_is_read_whatever_its_columns(tmp_path, columns, crystal, labels):
    """Without labels, as older programs write, it is periodic."""
    images = 3 if "u" in columns else 0
    (tmp_path / "a").write_text(dump(crystal, columns, labels, origin=(3.0, -2.0, 1.0), images=images))
    atoms = only(tmp_path / "a")
    assert atoms.pbc.all()
    assert np.allclose(atoms.cell, crystal.cell)
    assert_alike(atoms, crystal)


def test_a_cell_of_three_vectors_in_a_dump(tmp_path):
    turned = MAGNESIUM.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    rows = "".join(f"1 {x} {y} {z}\n" for x, y, z in turned.positions)
    box = "".join(f"{a} {b} {c} 0\n" for a, b, c in turned.cell.array)
    head = f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(turned)}\nITEM: BOX BOUNDS abc origin pp pp pp\n{box}"
    (tmp_path / "a.dump").write_text(f"{head}ITEM: ATOMS type x y z\n{rows}")
    assert_alike(only(tmp_path / "a.dump"), turned)


@pytest.mark.parametrize(
    "labels, periodic", [("pp ff ss", [1, 0, 0]), ("fm pp pp", [0, 1, 1]), ("ff ff ff", [0, 0, 0])]
)
def test_each_direction_of_a_dump_has_its_boundary(tmp_path, labels, periodic):
    (tmp_path / "a.dump").write_text(dump(COPPER, labels=labels))
    assert only(tmp_path / "a.dump").pbc.tolist() == list(map(bool, periodic))


def test_atoms_of_a_dump_come_in_the_order_of_their_numbers(tmp_path):
    (tmp_path / "a.dump").write_text(dump(COPPER))
    assert np.allclose(only(tmp_path / "a.dump").positions, COPPER.positions)


def test_types_without_elements_stay_apart_and_are_metals(tmp_path):
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    (tmp_path / "a.dump").write_text(dump(salt))
    atoms = only(tmp_path / "a.dump")
    assert atoms.info["types"] is True
    assert sorted(Counter(atoms.numbers.tolist()).values()) == [4, 4]
    assert (atoms.numbers > 20).all()
    assert space_group(atoms, 1e-3) == 225


@pytest.mark.parametrize("columns", ["id type element x y z", "id type mass x y z"])
def test_elements_of_a_dump_are_told_by_names_or_masses(tmp_path, columns):
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    (tmp_path / "a.dump").write_text(dump(salt, columns))
    atoms = only(tmp_path / "a.dump")
    assert atoms.get_chemical_formula() == "Cl4Na4"
    assert "types" not in atoms.info


def test_names_that_are_no_elements_mean_the_same_in_all_frames(tmp_path):
    first, second = (
        dump(COPPER[:4], "element x y z", symbols=names) for names in (["A1", "Q", "Q", "Q"], ["Q", "Q", "Q", "A1"])
    )
    (tmp_path / "a.dump").write_text(first + second)
    one, two = read_structures(tmp_path / "a.dump")
    assert one.info["types"] and sorted(one.numbers) == sorted(two.numbers)


@pytest.mark.parametrize("suffix, compress", [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_compressed_dump(tmp_path, suffix, compress):
    (tmp_path / f"a.dump.{suffix}").write_bytes(compress(dump(COPPER).encode() * 2))
    assert [len(atoms) for atoms in read_structures(tmp_path / f"a.dump.{suffix}")] == [108, 108]


@pytest.mark.parametrize("lost", [3, 12, 1000, 4090])
def test_of_a_trajectory_cut_off_the_whole_frames_come_and_then_a_sentence(tmp_path, lost):
    frame = dump(COPPER)
    (tmp_path / "a.lammpstrj").write_text(frame * 3 + frame[: max(len(frame) - lost, 20)].rstrip("\n0123456789."))
    frames = read_structures(tmp_path / "a.lammpstrj")
    assert [len(next(frames)) for _ in range(3)] == [108] * 3
    with pytest.raises(ValueError, match="beyond its first 3 structures: it ends in the middle of frame 4"):
        next(frames)


def test_a_frame_that_breaks_off_before_another_is_noticed(tmp_path):
    frame = dump(COPPER)
    (tmp_path / "a.dump").write_text(frame[:2000].rpartition("\n")[0] + "\n" + frame)
    with pytest.raises(ValueError, match=r"middle of frame 1, after \d+ of 108 atoms"):
        only(tmp_path / "a.dump")


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    def peak(frames):
        (tmp_path / "a.dump").write_text(dump(COPPER) * frames)
        tracemalloc.start()
        assert sum(1 for _ in read_structures(tmp_path / "a.dump")) == frames
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak(2)  # what is imported and cached at first use
    assert peak(200) < 1.5 * peak(20)


def data_file(rows, comment="", atoms=COPPER, header="", types=1, masses=f"\nMasses\n\n1 {atomic_masses[29]}\n"):
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = atoms.cell.array
    tilt = f"{xy} {xz} {yz} xy xz yz\n" if any((xy, xz, yz)) else ""
    head = f"a comment\n\n{len(atoms)} atoms\n{types} atom types\n{header}\n"
    box = f"0 {xx} xlo xhi\n0 {yy} ylo yhi\n0 {zz} zlo zhi\n{tilt}"
    return f"{head}{box}{masses}\nAtoms{comment}\n\n" + "\n".join(rows) + "\n\nVelocities\n\n1 0 0 0\n"


STYLES = {
    "atomic": "{i} 1 {x} {y} {z}",
    "charge": "{i} 1 0.5 {x} {y} {z}",
    "molecular": "{i} 7 1 {x} {y} {z}",
    "full": "{i} 7 1 -0.5 {x} {y} {z}",
    "sphere": "{i} 1 2.5 8.9 {x} {y} {z}",
}


def rows_of(style, atoms=COPPER, flags=""):
    return [STYLES[style].format(i=i + 1, x=x, y=y, z=z) + flags for i, (x, y, z) in enumerate(atoms.positions)]


@pytest.mark.parametrize("flags", ["", " 1 0 -1"], ids=["", "image flags"])
@pytest.mark.parametrize("named", [True, False], ids=["comment", "no comment"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["a.lmp", "a.data", "melt"])
def test_data_files_of_all_styles(tmp_path, name, style, named, flags):
    (tmp_path / name).write_text(data_file(rows_of(style, flags=flags), f"  # {style}" if named else ""))
    atoms = only(tmp_path / name)
    assert atoms.get_chemical_formula() == "Cu108" and "types" not in atoms.info
    assert atoms.pbc.all()
    assert_alike(atoms, COPPER)


def test_a_tilted_data_file(tmp_path):
    masses = "\nMasses\n\n1 24.3\n"
    (tmp_path / "a.lmp").write_text(data_file(rows_of("atomic", MAGNESIUM), " # atomic", MAGNESIUM, masses=masses))
    atoms = only(tmp_path / "a.lmp")
    assert atoms.get_chemical_formula() == "Mg72"
    assert_alike(atoms, MAGNESIUM)


@pytest.mark.parametrize(
    "masses, number",
    [
        ("\nMasses\n\n1 63.55\n", 29),
        ("\nMasses\n\n1 1.0 # Cu\n", 29),
        ("\nAtom Type Labels\n\n1 Cu\n", 29),
        ("\nMasses\n\n1 1.0\n", None),
        ("", None),
    ],
    ids=["mass", "comment", "label", "reduced units", "nothing"],
)
def test_a_data_file_tells_elements_or_gets_stand_ins(tmp_path, masses, number):
    (tmp_path / "a.lmp").write_text(data_file(rows_of("atomic"), masses=masses))
    atoms = only(tmp_path / "a.lmp")
    assert atoms.info.get("types", False) == (number is None)
    assert atoms.numbers[0] == number if number else atoms.numbers[0] > 20


@pytest.mark.parametrize(
    "text, reason",
    [
        (data_file(rows_of("atomic")[:50]), "after 50 of 108 atoms"),
        (data_file(rows_of("atomic")).replace("0 10.83 zlo zhi", ""), "does not tell xlo xhi"),
        (data_file([f"{row} 1 2 3 4.5 6 7" for row in rows_of("full")]), "name it in a comment"),
        (data_file(rows_of("atomic"), " # full"), "too few for the atom style 'full'"),
        (data_file([row.replace(" 1 ", " 9 ", 1) for row in rows_of("atomic")]), "type '9'"),
        (data_file(rows_of("atomic")).replace("1.805", "foo", 1), "'foo' where a number should be"),
    ],
)
def test_broken_data_files_get_one_sentence(tmp_path, text, reason):
    (tmp_path / "a.data").write_text(text)
    with pytest.raises(ValueError, match=reason) as error:
        only(tmp_path / "a.data")
    assert str(error.value).startswith(f"{tmp_path / 'a.data'} ")


# Large frames, which are parsed in blocks of so many rows.


def assert_same(atoms, other):
    """To the bit, types and order included."""
    assert list(atoms.arrays) == list(other.arrays)
    for one, its in zip(atoms.arrays.values(), other.arrays.values(), strict=True):
        assert (one.dtype, one.shape) == (its.dtype, its.shape)
        assert np.array_equal(one, its, equal_nan=one.dtype.kind == "f")
    assert np.array_equal(atoms.cell, other.cell) and np.array_equal(atoms.pbc, other.pbc)
    assert str(atoms.constraints) == str(other.constraints)
    assert repr(atoms.info) == repr(other.info)
    results, others = ({} if one.calc is None else one.calc.results for one in (atoms, other))
    assert repr(results) == repr(others)


def rows_with(values):
    rows = "".join(f"{i} 1 {i} 0 0 {value}\n" for i, value in enumerate(values))
    box = "ITEM: BOX BOUNDS pp pp pp\n0 99\n0 99\n0 99\n"
    return f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(values)}\n{box}ITEM: ATOMS id type x y z v\n{rows}"


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize(
    "text",
    [
        dump(COPPER, "id type x y z c_pe"),
        dump(COPPER, "element xs ys zs mass", symbols=["Q", "Cu", "Cu"] * 36),
        data_file(rows_of("charge"), " # charge"),
        data_file(rows_of("full", flags=" 1 0 -1")[::-1]),
        rows_with(range(20)),
        rows_with([1, 2, 3] * 5 + [0.5, "nan"]),
        rows_with(["2.50", "3", "True"] * 4 + ["word", "nan"]),
    ],
)
def test_blocks_change_nothing(tmp_path, monkeypatch, text, size):
    (tmp_path / "a").write_text(text)
    whole = only(tmp_path / "a")
    monkeypatch.setattr(reading, "_ROWS", size)
    assert_same(only(tmp_path / "a"), whole)


def test_an_empty_line_among_the_atoms_of_a_dump(tmp_path):
    lines = dump(COPPER).splitlines()
    (tmp_path / "a.dump").write_text("\n".join([*lines[:50], "", *lines[50:-1], ""]))
    with pytest.raises(ValueError, match="1 of the lines where its atoms should be are empty"):
        only(tmp_path / "a.dump")


@pytest.mark.parametrize("format", ["dump", "data", "extxyz"])
def test_a_large_frame_needs_no_more_than_three_times_the_memory_of_its_arrays(tmp_path, monkeypatch, format):
    n, dice = 40_000, np.random.default_rng(SEED)
    path, positions = tmp_path / f"a.{format}", dice.uniform(0, 50, (n, 3))
    rows = "".join(
        f"{i + 1} 1 {x:.8g} {y:.8g} {z:.8g}\n" for i, (x, y, z) in zip(dice.permutation(n), positions.tolist())
    )
    box = "ITEM: BOX BOUNDS pp pp pp\n0 50\n0 50\n0 50\n"
    head = {
        "dump": f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{n}\n{box}ITEM: ATOMS id type x y z\n",
        "data": f"a\n\n{n} atoms\n1 atom types\n\n0 50 xlo xhi\n0 50 ylo yhi\n0 50 zlo zhi\n\nAtoms # atomic\n\n",
        "extxyz": f'{n}\nLattice="50 0 0 0 50 0 0 0 50" Properties=id:I:1:Z:I:1:pos:R:3\n',
    }
    path.write_text(head[format] + rows)
    monkeypatch.setattr(reading, "_ROWS", 2_000)
    only(path)  # what is imported and cached at first use
    tracemalloc.start()
    atoms = only(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(atoms) == n
    assert peak < 3 * sum(values.nbytes for values in atoms.arrays.values())


# Extended XYZ: as ASE reads it, but in blocks.


@pytest.fixture
def plain(monkeypatch):
    """How many frames were not left to ASE."""
    frames, read = [], reading._read_plain_extxyz

    def counting(path):
        for atoms in read(path):
            frames.append(atoms)
            yield atoms

    monkeypatch.setattr(reading, "_read_plain_extxyz", counting)
    return frames


def assert_as_ase(path):
    frames = ase.io.read(path, ":", format="extxyz")
    for atoms, other in zip(reading._read_extxyz(path), frames, strict=True):
        assert_same(atoms, other)
    return len(frames)


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.rglob("*xyz*")), ids=lambda path: path.name)
def test_extended_xyz_is_as_ase_reads_it(plain, path):
    assert assert_as_ase(path) == len(plain)


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("seed", range(4))
def test_random_extended_xyz_is_as_ase_reads_it(tmp_path, monkeypatch, plain, seed, size):
    dice = np.random.default_rng([SEED, seed])

    def frame():
        n = int(dice.integers(1, 40))
        positions = dice.normal(size=(n, 3)) * 10.0 ** dice.integers(-6, 8)
        atoms = Atoms(dice.choice(["Cu", "H", "X", "Og"], n).tolist(), positions, cell=dice.normal(size=(3, 3)))
        columns = {
            "velocity": dice.normal(size=(n, 3)),
            "with_nan": np.where(dice.random(n) < 0.2, np.nan, dice.normal(size=n)),
            "whole": dice.integers(-(2**31), 2**31 - 1, (n, 2)),
            "is_so": dice.random(n) < 0.5,
            "are_so": dice.random((n, 2)) < 0.5,
            "word": dice.choice(["a", "T", "1.5", "nan", "é", "a#b"], n),
            "words": dice.choice(["x", "yz"], (n, 2)),
            "tags": dice.integers(0, 5, n),
            "initial_charges": dice.normal(size=n),
        }
        for name, values in columns.items():
            if dice.random() < 0.4:
                atoms.set_array(name, values)
        atoms.pbc = dice.random(3) < 0.5
        if dice.random() < 0.3:
            atoms.set_constraint(FixAtoms(mask=dice.random(n) < 0.5))
        if dice.random() < 0.5:
            atoms.info |= {"a": 1.5, "b": "two words", "c": True, "d": np.arange(4), "e": {"f": [1, "g"]}}
        if dice.random() < 0.5:
            atoms.calc = SinglePointCalculator(
                atoms, energy=1.0, forces=dice.normal(size=(n, 3)), stress=np.arange(6.0)
            )
        return atoms

    path = tmp_path / f"a.xyz{'.gz' * (seed == 0)}"
    ase.io.write(path, [frame() for _ in range(8)], format="extxyz")
    monkeypatch.setattr(reading, "_ROWS", size)
    assert assert_as_ase(path) == len(plain) == 8


XYZ = 'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3'


@pytest.mark.parametrize(
    "text",
    [
        "2\nany comment\nCu 0 0 0 7\nau 1 1 1\n",
        f"1\n{XYZ}\nCu 0.1234567890123456789 2.2250738585072011e-308 9007199254740993\n",
        f"1\n{XYZ}\nCu inf -nan 1e400\n",
        f"2\n{XYZ}:a:S:1\nCu 0 0 0 \"b\n\tCu  0 0 0 #'c\n\n\n",
        f"3\n{XYZ}:a:L:1\nCu 0 0 0 T\nCu 0 0 0 true\nCu 0 0 0 1\n",
        f"1\n{XYZ.replace('species:S', 'Z:I')} pbc=T energy=3\n29 0 0 0\n",
        f"1\n{XYZ}:Z:I:1\nQ 0 0 0 29\n",
    ],
)
def test_plain_extended_xyz(tmp_path, plain, text):
    (tmp_path / "a.xyz").write_text(text)
    assert assert_as_ase(tmp_path / "a.xyz") == len(plain) == 1


@pytest.mark.parametrize(
    "text",
    [
        "1\n\nCu 0 0 0\nVEC1 1 0 0\nVEC2 0 1 0\nVEC3 0 0 1\n",
        f"0\n{XYZ}\n",
        f"1\n{XYZ}:move_mask:L:3\nCu 0 0 0 T F T\n",
        f"1\n{XYZ}:positions:R:3\nCu 0 0 0 1 1 1\n",
        f"1\n{XYZ}:a:I:1\nCu 0 0 1_0.5 1_0\n",
        f"1\n{XYZ.replace('species:S', 'Z:R')}\n29.0 0 0 0\n",
    ],
)
def test_what_is_not_plain_is_left_to_ase_with_all_behind_it(tmp_path, plain, text):
    first = f"1\n{XYZ}\nAu 0 0 0\n"
    (tmp_path / "a.xyz").write_text(first + text + first)
    assert assert_as_ase(tmp_path / "a.xyz") == 3
    assert len(plain) == 1


@pytest.mark.parametrize(
    "rows, reason",
    [
        ("2\nCu 0 0 0\nCu 1 1\n", "does not find what it expects"),
        ("3\nCu 0 0 0\n\nCu 1 1 1\n", "does not find what it expects"),
        ("3\nCu 0 0 0\n", "Frame has 1 atoms, expected 3"),
        ("1\nCu 0 0 x\n", "'x' where a number should be"),
        ("1\nQq 0 0 0\n", "the name 'Qq'"),
        ("one\nCu 0 0 0\n", "'one' where a number should be"),
    ],
)
def test_of_extended_xyz_that_breaks_off_the_whole_frames_come_and_then_a_sentence(tmp_path, rows, reason):
    first = f"1\n{XYZ}\nAu 0 0 0\n"
    (tmp_path / "a.xyz").write_text(first + rows.replace("\n", f"\n{XYZ}\n", 1))
    frames = read_structures(tmp_path / "a.xyz")
    assert len(next(frames)) == 1
    with pytest.raises(ValueError, match=f"beyond its first 1 structure.*{reason}"):
        next(frames)


# CIF.

CUBE = (5.431, 5.431, 5.431, 90, 90, 90)
TITANIUM = (2.95, 2.95, 4.68, 90, 90, 120)
RHOMBOHEDRAL = (4.746, 4.746, 4.746, 57.23, 57.23, 57.23)
HEXAGONAL = (4.546, 4.546, 11.863, 90, 90, 120)


def cif(cell, sites, group, occupancies=False):
    names = [f"length_{edge}" for edge in "abc"] + [f"angle_{angle}" for angle in ("alpha", "beta", "gamma")]
    head = "data_x\n" + "".join(f"_cell_{name} {value}\n" for name, value in zip(names, cell, strict=True))
    tags = ["label", "fract_x", "fract_y", "fract_z"] + ["occupancy"] * occupancies
    return f"{head}{group}\nloop_\n" + "".join(f"_atom_site_{tag}\n" for tag in tags) + sites + "\n"


def named(symbol):
    return f"_space_group_name_H-M_alt '{symbol}'"


@pytest.mark.parametrize(
    "place, group",
    [
        (".125", named("F d -3 m :2")),
        (".125", named("Fd-3m:2")),
        (".125", named("F d -3 m Z")),
        (".125", named("F d -3 m:Z")),
        (".125", "_symmetry_space_group_name_H-M F d -3 m :2"),  # without quotes, against the rules
        (".125", "_space_group_IT_number 227\n_space_group_IT_coordinate_system_code 2"),
        ("0", named("F d -3 m :1")),
        ("0", named("F d -3 m S")),
        ("0", "_space_group_name_Hall 'F 4d 2 3 -1d'"),
    ],
)
def test_the_choice_of_the_origin(tmp_path, place, group):
    (tmp_path / "a.cif").write_text(cif(CUBE, f"Si1 {place} {place} {place}", group))
    atoms = only(tmp_path / "a.cif")
    assert (len(atoms), space_group(atoms, 1e-3)) == (8, 227)
    assert distances(atoms)[8] == pytest.approx(5.431 * 3**0.5 / 4)


@pytest.mark.parametrize("symbol", ["R -3 m", "R -3 m :R", "R -3 m :H", "R-3mR", "R -3 m H"])
@pytest.mark.parametrize("cell, site, n", [(RHOMBOHEDRAL, ".23389 .23389 .23389", 2), (HEXAGONAL, "0 0 .23389", 6)])
def test_the_shape_of_the_cell_tells_the_axes_of_trigonal_groups(tmp_path, cell, site, n, symbol):
    (tmp_path / "a.cif").write_text(cif(cell, f"Bi1 {site}", named(symbol)))
    atoms = only(tmp_path / "a.cif")
    assert (len(atoms), space_group(atoms, 1e-2)) == (n, 166)
    assert distances(atoms)[n] == pytest.approx(3.07, abs=0.01)


@pytest.mark.parametrize(
    "third, two_thirds", [("0.33", "0.67"), ("0.333", "0.667"), ("0.3333(2)", "0.6666"), ("0.33333", "0.66667")]
)
def test_rounded_coordinates_are_brought_to_the_special_position(tmp_path, third, two_thirds):
    (tmp_path / "a.cif").write_text(cif(TITANIUM, f"Ti1 {third} {two_thirds} 0.25", named("P 63/m m c")))
    atoms = only(tmp_path / "a.cif")
    assert (len(atoms), space_group(atoms, 1e-5)) == (2, 194)


def test_listed_operations_count_more_than_a_symbol(tmp_path):
    operations = "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n'x+1/2, y+1/2, z+1/2'\n"
    (tmp_path / "a.cif").write_text(cif((2.87,) * 3 + (90,) * 3, "Fe1 0 0 0", named("P 1") + "\n" + operations))
    assert space_group(only(tmp_path / "a.cif"), 1e-3) == 229


def test_atoms_on_opposite_faces_of_a_cif_are_one(tmp_path):
    (tmp_path / "a.cif").write_text(cif((2.87,) * 3 + (90,) * 3, "Fe1 0 0 0\nFe2 .5 .5 .5\nFe3 1 0 0", named("P 1")))
    assert len(only(tmp_path / "a.cif")) == 2


def test_a_cif_of_one_block_after_the_other(tmp_path):
    blocks = [
        cif(CUBE, "Si1 0 0 0", named("F d -3 m")),
        "data_nothing\n_journal_year 1912\n",
        cif(TITANIUM, "Ti1 0 0 0", ""),
    ]
    (tmp_path / "a.cif").write_text("".join(blocks))
    assert [len(atoms) for atoms in read_structures(tmp_path / "a.cif")] == [8, 1]


def test_a_solid_solution_is_one_atom_a_site(tmp_path):
    sites = "Fe1 0 0 0 0.25\nSi1 0 0 0 0.75\nFe2 .25 .25 .25 1"
    (tmp_path / "a.cif").write_text(cif((5.6, 5.6, 5.6, 90, 90, 90), sites, named("F m -3 m"), occupancies=True))
    atoms = only(tmp_path / "a.cif")
    assert atoms.get_chemical_formula() == "Fe8Si4"
    assert (atoms.arrays["occupancy"] == 1).all()
    shares = {
        str(symbol): atoms.info["occupancy"][str(k)]
        for symbol, k in zip(atoms.symbols, atoms.arrays["spacegroup_kinds"], strict=True)
    }
    assert shares == {"Si": {"Fe": 0.25, "Si": 0.75}, "Fe": {"Fe": 1.0}}


@pytest.mark.parametrize("shares, total", [("0.33 0.33 0.33", 1), ("0.335 0.335 0.34", 1), ("0.3 0.3 0.2", 0.8)])
def test_a_sum_of_occupancies_that_is_one_but_for_rounding_is_one(tmp_path, shares, total):
    sites = "\n".join(
        f"{symbol}1 0 0 0 {share}" for symbol, share in zip(("Co", "Cr", "Ni"), shares.split(), strict=True)
    )
    (tmp_path / "a.cif").write_text(cif((3.6, 3.6, 3.6, 90, 90, 90), sites, named("F m -3 m"), occupancies=True))
    atoms = only(tmp_path / "a.cif")
    assert len(atoms) == 4
    assert np.allclose(atoms.arrays["occupancy"], total)


def test_full_occupancies_are_not_mentioned(tmp_path):
    (tmp_path / "a.cif").write_text(cif(CUBE, "Si1 0 0 0 1.0", named("F d -3 m"), occupancies=True))
    atoms = only(tmp_path / "a.cif")
    assert "occupancy" not in atoms.info and "occupancy" not in atoms.arrays


@pytest.mark.parametrize(
    "label, symbol", [("Fe3+", "Fe"), ("FE1", "Fe"), ("O2-", "O"), ("OW1", "O"), ("D1", "H"), ("Q1", "X")]
)
def test_an_element_is_told_by_the_label(tmp_path, label, symbol):
    (tmp_path / "a.cif").write_text(cif(CUBE, f"{label} 0 0 0", named("P 1")))
    assert only(tmp_path / "a.cif").symbols[0] == symbol


@pytest.mark.parametrize(
    "text, reason",
    [
        (cif(CUBE, "Si1 0 0 0", named("X y z")), "in no table: 'X y z'"),
        (cif(CUBE, "Si1 0 0 0", "").replace("_cell_angle_beta 90\n", ""), "all three lengths and angles"),
        (cif((3, 3, 3, 90, 90, 190), "Si1 0 0 0", ""), "make no cell"),
        (cif(CUBE, "Si1 0 zero 0", ""), "'zero' is none"),
        (cif(CUBE, "Si1 0 0 0\nSi2 0.2 0.2", ""), "cut off or breaks the rules of CIF in line"),
        (cif(CUBE, "Si1 0 0 0", "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y'"), "operation of symmetry"),
        ("data_x\n_cell_length_a 3\n", "holds no structure"),
    ],
)
def test_broken_cifs_get_one_sentence(tmp_path, text, reason):
    (tmp_path / "a.cif").write_text(text)
    with pytest.raises(ValueError, match=reason) as error:
        only(tmp_path / "a.cif")
    assert "\n" not in str(error.value)


# PDB.


def pdb(atoms, cell, occupancy=1.0):
    row = "ATOM  {:5d}  Au  MOL     1    {:8.3f}{:8.3f}{:8.3f}{:6.2f}  0.00          AU\n"
    rows = [row.format(i + 1, *place, occupancy) for i, place in enumerate(atoms.positions)]
    return (
        ("CRYST1{:9.3f}{:9.3f}{:9.3f}{:7.2f}{:7.2f}{:7.2f} P 1\n".format(*cell) if cell is not None else "")
        + "MODEL\n"
        + "".join(rows)
        + "ENDMDL\n"
    )


@pytest.mark.parametrize("cell", [None, (1, 1, 1, 90, 90, 90), (0, 0, 0, 90, 90, 90)], ids=str)
def test_a_dummy_cell_of_a_pdb_is_none(tmp_path, cell):
    (tmp_path / "a.pdb").write_text(pdb(COPPER, cell))
    atoms = only(tmp_path / "a.pdb")
    assert not atoms.pbc.any() and not atoms.cell.any()
    assert np.allclose(atoms.positions, COPPER.positions, atol=1e-3)


def test_the_cell_of_a_pdb_is_that_of_all_models(tmp_path):
    (tmp_path / "a").write_text(pdb(COPPER, COPPER.cell.cellpar()) + pdb(COPPER, None) + "END\n")
    frames = list(read_structures(tmp_path / "a"))
    assert len(frames) == 2
    assert all(atoms.pbc.all() and np.allclose(atoms.cell, COPPER.cell) for atoms in frames)


@pytest.mark.parametrize("occupancy, told", [(1.0, False), (0.0, False), (0.5, True)])
def test_occupancies_of_a_pdb_that_tell_nothing_are_left_out(tmp_path, occupancy, told):
    (tmp_path / "a.pdb").write_text(pdb(COPPER, None, occupancy))
    assert ("occupancy" in only(tmp_path / "a.pdb").arrays) == told


# JSON.

IRON = {
    "@module": "pymatgen.core.structure",
    "@class": "Structure",
    "lattice": {"matrix": [[2.87, 0, 0], [0, 2.87, 0], [0, 0, 2.87]]},
    "sites": [
        {"species": [{"element": "Fe", "oxidation_state": 0, "occu": 1}], "abc": [0, 0, 0], "xyz": [0, 0, 0]},
        {
            "species": [{"element": "Fe", "occu": 0.5}, {"element": "Al", "occu": 0.3}],
            "abc": [0.5] * 3,
            "xyz": [1.4] * 3,
        },
    ],
}


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "structure"])
def test_a_structure_of_pymatgen(tmp_path, name):
    text = json.dumps(IRON).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    atoms = only(tmp_path / name)
    assert atoms.get_chemical_formula() == "Fe2" and atoms.pbc.all()
    assert np.allclose(atoms.get_scaled_positions(), [[0] * 3, [0.5] * 3])
    assert np.allclose(atoms.arrays["occupancy"], [1, 0.8])
    assert atoms.info["occupancy"][str(atoms.arrays["spacegroup_kinds"][1])] == {"Fe": 0.5, "Al": 0.3}


def test_a_molecule_of_pymatgen_has_no_cell(tmp_path):
    sites = [{"species": [{"element": "O", "occu": 1}], "xyz": [0, 0, z]} for z in (0, 1.2)]
    (tmp_path / "a.json").write_text(json.dumps({"@class": "Molecule", "sites": sites}))
    atoms = only(tmp_path / "a.json")
    assert not atoms.pbc.any() and atoms.get_distance(0, 1) == pytest.approx(1.2)


def test_jsons_of_ase(tmp_path):
    bulk("Cu").write(tmp_path / "a.json")
    assert only(tmp_path / "a.json").get_chemical_formula() == "Cu"


@pytest.mark.parametrize(
    "text, reason",
    [
        ('{"@class": "Spin", "sites": 3}', "of the class 'Spin', but neither"),
        ("[1, 2]", "it is JSON, but neither a Structure or Molecule of pymatgen nor"),
        (json.dumps(IRON)[:-30], "broken or cut off at line 1"),
        (json.dumps(IRON).replace('"element"', '"elephant"'), "lacks the lattice, the species"),
    ],
)
def test_other_json_gets_one_sentence(tmp_path, text, reason):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=reason):
        only(tmp_path / "a.json")


# What ASE reads, and what nobody should.


@pytest.mark.parametrize("name", ["structure.txt", "relaxed_Fe", "a.dat", "a.in", "2"])
def test_a_poscar_of_any_name(tmp_path, name):
    COPPER.write(tmp_path / "POSCAR", format="vasp")
    (tmp_path / "POSCAR").rename(tmp_path / name)
    assert_alike(only(tmp_path / name), COPPER)


def test_an_xdatcar_of_any_name(tmp_path):
    moved = COPPER.copy()
    moved.rattle(0.1, seed=SEED)
    COPPER.write(tmp_path / "XDATCAR", format="vasp-xdatcar", append=False)
    moved.write(tmp_path / "XDATCAR", format="vasp-xdatcar", append=True)
    (tmp_path / "XDATCAR").rename(tmp_path / "run7")
    frames = list(read_structures(tmp_path / "run7"))
    assert len(frames) == 2
    assert_alike(frames[0], COPPER)


@pytest.mark.parametrize("name, packed", [("a.xyz.gz", gzip), ("a.cif.bz2", bz2), ("a.dump.xz", lzma)])
def test_data_that_swell_are_not_unpacked(tmp_path, name, packed):
    (tmp_path / name).write_bytes(30 * packed.compress(bytes(1 << 23)))
    start = time.perf_counter()
    with pytest.raises(ValueError, match="swell to more than 100 times their size"):
        next(read_structures(tmp_path / name))
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("ending, packed", [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
def test_of_packed_data_that_are_cut_off_the_whole_frames_are_read(tmp_path, ending, packed):
    dice = np.random.default_rng(SEED)
    frames = [COPPER.copy() for _ in range(400)]
    for atoms in frames:
        atoms.positions += dice.normal(0, 0.1, atoms.positions.shape)
    ase.io.write(tmp_path / "whole.extxyz", frames)
    content = packed.compress((tmp_path / "whole.extxyz").read_bytes())
    path = tmp_path / f"cut.extxyz.{ending}"
    path.write_bytes(content[: int(0.8 * len(content))])
    found = []
    with pytest.raises(ValueError, match=r"cannot be read beyond its first \d+ structures: .*cut off"):
        for atoms in read_structures(path):
            found.append(atoms)  # noqa: PERF402  a list would lose those before the error
    assert 100 < len(found) < 400


def test_the_name_of_a_property_may_be_a_number(tmp_path):
    atoms = COPPER.copy()
    atoms.set_array("c_20240101", np.arange(len(atoms)))
    ase.io.write(tmp_path / "a.extxyz", atoms)
    assert only(tmp_path / "a.extxyz").arrays["c_20240101"].tolist() == list(range(len(atoms)))


def test_a_device_or_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.cif")
    for path in (tmp_path / "pipe.cif", "/dev/zero"):
        with pytest.raises(ValueError, match="is no file, but a device or a pipe"):
            next(read_structures(path))


def test_a_property_of_very_many_columns_takes_no_memory(tmp_path):
    path = tmp_path / "a.extxyz"
    path.write_text("1\nProperties=species:S:1:pos:R:3:forces:R:300000000000\nCu 0 0 0\n")
    with pytest.raises(ValueError, match="too many columns"):
        next(read_structures(path))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_not_opened(tmp_path, protocol):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").touch, ()

    for name in ("a.pckl", "a.traj", "a.cif"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap(), protocol))
        with pytest.raises(ValueError, match="pickle of Python"):
            only(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_a_direction_without_cell_vector_is_not_periodic(tmp_path):
    head = 'Lattice="0 0 0 0 0 0 0 0 0" Properties=species:S:1:pos:R:3 pbc="T T T"'
    (tmp_path / "a.xyz").write_text(f"1\n{head}\nCu 0 0 0\n")
    assert not only(tmp_path / "a.xyz").pbc.any()
    slab = fcc111("Cu", (2, 2, 2))
    slab.pbc = True
    slab.write(tmp_path / "b.traj")
    assert only(tmp_path / "b.traj").pbc.tolist() == [True, True, False]


def test_warnings_and_prints_of_other_programs_are_not_passed_on_but_those_of_the_caller_are(tmp_path, capsys):
    bulk("Cu").write(tmp_path / "a.cube", data=np.zeros((2, 2, 2)))
    (tmp_path / "a.pdb").write_text(pdb(COPPER, None, -0.5))  # ASE warns of negative occupancies
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("a.cube", "a.pdb"):
            for _ in read_structures(tmp_path / name):
                warnings.warn("mine", stacklevel=1)
                print("mine")
    assert [str(warning.message) for warning in caught] == ["mine", "mine"]
    assert capsys.readouterr().out == "mine\nmine\n"


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("a.xyz", b"", "is empty"),
        ("a.txt", b"to whom it may concern", "no format that is recognised"),
        ("a.xyz", b"2\n\nCu1 0 0 0\nCu2 0 0 2\n", "knows no element or entry of the name 'Cu1'"),
        ("a.xyz", b"5\n\nCu 0 0 0\nCu 0 0 2\n", "Frame has 2 atoms, expected 5"),
        ("a.xyz", b"2\n\nCu 0 0 0\nCu x 0 0\n", "'x' where a number should be"),
        ("a.xyz", bytes(range(128, 256)) * 9, "is not text|no format|does not find|where a number"),
        ("a.vasp", b"Cu\n1\n3 0 0\n0 3 0\n0 0 3\nCu\n4\nDirect\n0 0 0\n0 .5", "cut off or not of this format"),
        ("a.cif.gz", b"no gzip", "compressed data are broken"),
        ("a.dump.gz", gzip.compress(dump(COPPER).encode())[:-200], "compressed data are broken or cut off"),
        ("a.png", b"\x89PNG", "no format that is recognised"),
        ("a.traj", b"no trajectory", "cannot be read"),
        ("a.xsd", b"<XSD></XSD>", "a.xsd"),
        ("a.lammps", b"units metal\natom_style atomic\n", "no format that is recognised"),
    ],
)
def test_broken_files_get_one_sentence(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=reason) as error:
        list(read_structures(tmp_path / name))
    sentence = str(error.value)
    assert sentence.startswith(f"{tmp_path / name} ") and "\n" not in sentence
    assert not any(jargon in sentence for jargon in ("index out of range", "NoneType", "unpack", "broadcast"))


def test_a_directory_and_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match="is a directory"):
        next(read_structures(tmp_path))
    with pytest.raises(ValueError, match="does not exist"):
        next(read_structures(tmp_path / "nothing.cif"))
