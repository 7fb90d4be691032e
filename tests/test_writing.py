import gzip
import io
import os
import re
import subprocess
import sys
from itertools import product

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.geometry import get_distances

from xtalsight import writing
from xtalsight.crystals import CLASSES
from xtalsight.reading import read_structures
from xtalsight.writing import atom_table, beside, check_target, format_of, time_of, write_frames

SEED = 20
ENDINGS = ["a.extxyz", "a.xyz", "a.dump", "a.lammpstrj", "a.lammpsdump", "a.csv", "a.parquet"]


def annotated(atoms=None):
    """A crystal with the arrays of a map, and some of its own."""
    rng = np.random.default_rng(SEED)
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True).repeat(2) if atoms is None else atoms.copy()
    n = len(atoms)
    atoms.rattle(0.1, seed=SEED)
    for name, values in {
        "class": np.array(["fcc", "none", "bcc"])[rng.integers(0, 3, n)],
        "prototype": np.array(["A_cF4_225_a or its like", "none"])[rng.integers(0, 2, n)],
        "grain": rng.integers(-1, 4, n),
        "confidence": rng.random(n).astype(np.float32),
        "accepted": rng.random(n) > 0.5,
        "velocity": rng.normal(size=(n, 3)),
        "c_pe": rng.normal(size=n) * 1e-9,
    }.items():
        atoms.set_array(name, values)
    atoms.info |= {"energy_of": "a cell", "step": 200, "time": 0.25}
    return atoms


def without_blanks(words):
    return ["_".join(word.split()) for word in words]


def write(path, *frames, **options):
    write_frames(path, frames, **options)
    return path


CELLS = {
    "straight": np.diag([10.0, 11.0, 12.0]),
    "tilted": [[10, 0, 0], [-3, 11, 0], [4, -2, 12]],
    "turned": bulk("Cu").repeat(6).cell.array,
    "left-handed": [[10, 0, 0], [-3, 11, 0], [4, -2, -12]],
    "left-handed and turned": bulk("Cu").repeat(6).cell.array[[1, 0, 2]],
    "upside down": -np.diag([10.0, 11.0, 12.0]),
}


def in_cell(name, n=40, pbc=True):
    places = np.random.default_rng(SEED).random((n, 3))
    return annotated(Atoms(f"Cu{n}", scaled_positions=places, cell=CELLS[name], pbc=pbc))


def distances(atoms):
    return get_distances(atoms.positions, cell=atoms.cell, pbc=atoms.pbc)[1]


def corners(atoms):
    """Of the box, in the order of their coordinates: (8, 3)."""
    places = np.array(list(product((0, 1), repeat=3))) @ atoms.cell.array + atoms.get_celldisp().ravel()
    return places[np.lexsort(places.round(6).T)]


# Extended XYZ.


@pytest.mark.parametrize("ending", ["extxyz", "xyz", "extxyz.gz", "xyz.xz", "extxyz.bz2"])
def test_extended_xyz_keeps_everything_to_the_last_bit(tmp_path, ending):
    atoms = annotated()
    back = ase.io.read(write(tmp_path / f"a.{ending}", atoms))
    assert (back.positions == atoms.positions).all() and (back.numbers == atoms.numbers).all()
    assert (back.cell.array == atoms.cell.array).all() and (back.pbc == atoms.pbc).all()
    assert {key: back.info[key] for key in atoms.info} == atoms.info
    assert set(back.arrays) == set(atoms.arrays)
    for name in ("class", "grain", "accepted", "velocity", "c_pe"):
        assert (back.arrays[name] == atoms.arrays[name]).all(), name
    assert (back.arrays["confidence"].astype(np.float32) == atoms.arrays["confidence"]).all()
    assert back.arrays["prototype"].tolist() == without_blanks(atoms.arrays["prototype"])


@pytest.mark.parametrize("name", CELLS)
def test_extended_xyz_keeps_any_cell(tmp_path, name):
    atoms = in_cell(name, pbc=(True, False, True))
    back = ase.io.read(write(tmp_path / "a.extxyz", atoms))
    assert (back.cell.array == atoms.cell.array).all() and back.pbc.tolist() == [True, False, True]


def test_extended_xyz_keeps_what_was_computed_and_what_is_fixed(tmp_path):
    atoms = annotated()
    forces, stress = np.random.default_rng(SEED).normal(size=(len(atoms), 3)), np.arange(6.0)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=forces, stress=stress)
    atoms.set_constraint(FixAtoms([3, 5]))
    back = ase.io.read(write(tmp_path / "a.extxyz", atoms))
    assert back.get_potential_energy() == -1.5
    assert (back.get_forces(apply_constraint=False) == forces).all() and (back.get_stress() == stress).all()
    assert back.constraints[0].index.tolist() == [3, 5]


def test_what_extended_xyz_cannot_hold_is_left_out(tmp_path):
    atoms = annotated()
    atoms.info |= {"object": object(), "lines": "one\ntwo"}
    atoms.set_array("tensor", np.zeros((len(atoms), 3, 3)))
    atoms.set_array("phase", np.zeros(len(atoms), complex))
    atoms.set_array("mixed", np.array([1, "a"] * (len(atoms) // 2), object))
    back = ase.io.read(write(tmp_path / "a.extxyz", atoms))
    assert not {"tensor", "phase", "mixed"} & set(back.arrays) and "object" not in back.info
    assert back.info["lines"] == "one two"
    assert "tensor" in atoms.arrays  # of the user nothing is changed


@pytest.mark.parametrize("names", [["", "a  b", "\t"], ['a"b', "a,b", "'"]], ids=["blanks", "quotes"])
def test_a_word_of_any_kind_stays_one_column(tmp_path, names):
    atoms = Atoms("Cu3", np.eye(3))
    atoms.set_array("word", np.array(names))
    atoms.set_array("after", np.arange(3))
    back = ase.io.read(write(tmp_path / "a.extxyz", atoms))
    assert back.arrays["after"].tolist() == [0, 1, 2]
    assert back.arrays["word"].tolist() == [word or "_" for word in without_blanks(names)]


@pytest.mark.parametrize("ending", ["extxyz", "dump"])
def test_numbers_that_are_none_are_kept(tmp_path, ending):
    atoms = Atoms("Cu2", [[np.nan, 0, 1], [np.inf, 2, 3]], cell=np.eye(3))
    back = ase.io.read(write(tmp_path / f"a.{ending}", atoms), format="extxyz" if ending == "extxyz" else None)
    assert np.array_equal(back.positions, atoms.positions, equal_nan=True)


@pytest.mark.parametrize("ending", ["extxyz", "dump", "csv", "parquet"])
@pytest.mark.parametrize("n", [0, 1])
def test_no_atoms_and_one(tmp_path, ending, n):
    path = write(tmp_path / f"a.{ending}", annotated(Atoms(f"Cu{n}" if n else "", np.zeros((n, 3)))))
    if ending in ("csv", "parquet"):
        assert len(pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)) == n
    else:
        (back,) = read_structures(path)
        assert len(back) == n


# Dumps of LAMMPS.


@pytest.mark.parametrize("name", CELLS)
def test_a_dump_spans_the_same_crystal_in_any_cell(tmp_path, name):
    """No atom moves, and distances through the walls are the same; LAMMPS has right-handed boxes only."""
    atoms = in_cell(name)
    (back,) = read_structures(write(tmp_path / "a.dump", atoms))
    assert (back.positions == atoms.positions).all()
    assert np.allclose(distances(back), distances(atoms), atol=1e-9)
    assert np.linalg.det(back.cell.array) > 0
    assert np.allclose(corners(back), corners(atoms))


@pytest.mark.parametrize("name", CELLS)
def test_ase_reads_dumps_of_any_cell(tmp_path, name):
    atoms = in_cell(name, pbc=(True, False, True))
    back = ase.io.read(write(tmp_path / "a.dump", atoms), format="lammps-dump-text")
    assert (back.positions == atoms.positions).all() and (back.numbers == atoms.numbers).all()
    assert back.pbc.tolist() == [True, False, True] and back.info["timestep"] == 200
    assert np.isclose(back.cell.volume, atoms.cell.volume)


@pytest.mark.parametrize("name", ["straight", "tilted"])
def test_a_box_along_the_axes_is_written_as_older_programs_read_it(tmp_path, name):
    text = write(tmp_path / "a.dump", in_cell(name)).read_text()
    assert "abc origin" not in text


def test_a_dump_has_the_columns_of_lammps_and_numbers_only(tmp_path):
    atoms = annotated()
    path = write(tmp_path / "a.dump", atoms)
    header, *rows = path.read_text().partition("ITEM: ATOMS ")[2].splitlines()
    expected = "id type element x y z class grain confidence accepted velocity[1] velocity[2] velocity[3] c_pe"
    assert sorted(header.split()) == sorted(expected.split()) and header.startswith("id type element x y z ")
    table = pd.read_csv(io.StringIO("\n".join(rows)), sep=" ", names=header.split())
    assert table.element.tolist() == list(atoms.symbols)
    assert table["class"].tolist() == [CLASSES.index(c) + 1 if c in CLASSES else 0 for c in atoms.arrays["class"]]
    assert table.drop(columns="element").dtypes.map(lambda kind: kind.kind in "if").all()


def test_what_a_dump_had_comes_back(tmp_path):
    text = (
        "ITEM: TIME\n0.5\nITEM: TIMESTEP\n1000\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp ff pp\n0 4\n0 4\n0 4\n"
        "ITEM: ATOMS id type x y z vx ix c_pe\n7 2 0 0 0 0.125 -1 1e-30\n3 1 2 2 2 0.25 4 nan\n"
    )
    (tmp_path / "a.dump").write_text(text)
    (atoms,) = read_structures(tmp_path / "a.dump")
    assert atoms.info == {"timestep": 1000, "time": 0.5, "types": True}
    (back,) = read_structures(write(tmp_path / "b.dump", atoms))
    assert "element" not in (tmp_path / "b.dump").read_text()  # they are stand-ins
    assert back.info == atoms.info and set(back.arrays) == set(atoms.arrays)
    for name, values in {
        "id": [3, 7],
        "type": [1, 2],
        "vx": [0.25, 0.125],
        "ix": [4, -1],
        "c_pe": [np.nan, 1e-30],
    }.items():
        assert np.array_equal(back.arrays[name], values, equal_nan=True), name


def test_an_element_has_one_type_in_all_frames_of_a_dump(tmp_path):
    path = write(tmp_path / "a.dump", Atoms("Cu2", np.eye(3)[:2]), Atoms("AlCu", np.eye(3)[:2]))
    first, second = read_structures(path)
    assert first.arrays["type"].tolist() == [1, 1] and second.arrays["type"].tolist() == [2, 1]


def test_without_a_cell_the_atoms_span_the_box(tmp_path):
    atoms = Atoms("Cu3", [[-5, 0, 0], [7, 1, 0], [0, 9, 0]])
    (back,) = read_structures(write(tmp_path / "a.dump", atoms))
    assert not back.pbc.any()
    assert np.allclose(back.cell.array, np.diag([12, 9, 1])) and np.allclose(back.get_celldisp().ravel(), [-5, 0, 0])


def test_a_slab_is_periodic_along_its_vectors_only(tmp_path):
    atoms = Atoms("Cu2", [[1, 1, 3], [2, 2, 8]], cell=[[4, 0, 0], [1, 4, 0], [0, 0, 0]], pbc=(1, 1, 0))
    (back,) = read_structures(write(tmp_path / "a.dump", atoms))
    assert back.pbc.tolist() == [True, True, False]
    assert np.allclose(back.cell.array, [[4, 0, 0], [1, 4, 0], [0, 0, 5]])


# OVITO.


def ovito_frames(path):
    pipeline = pytest.importorskip("ovito.io").import_file(str(path))
    return [pipeline.compute(frame) for frame in range(pipeline.num_frames)]


@pytest.mark.parametrize("ending", ["extxyz", "xyz.gz"])
def test_ovito_opens_extended_xyz_with_all_arrays(tmp_path, ending):
    atoms = annotated()
    first, second = ovito_frames(write(tmp_path / f"a.{ending}", atoms, atoms[:10]))
    assert second.particles.count == 10
    assert np.allclose(first.particles.positions, atoms.positions, rtol=0, atol=1e-12)
    for name in ("grain", "confidence", "accepted", "c_pe"):
        assert np.allclose(first.particles[name], atoms.arrays[name], rtol=1e-6, atol=0), name
    assert [str(word) for word in first.particles["class"]] == atoms.arrays["class"].tolist()
    assert first.attributes["step"] == 200


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("ending", ["extxyz", "dump", "dump.gz"])
def test_ovito_opens_any_cell(tmp_path, name, ending):
    atoms = in_cell(name, pbc=(True, True, False))
    (data,) = ovito_frames(write(tmp_path / f"a.{ending}", atoms))
    assert np.allclose(data.particles.positions, atoms.positions, rtol=0, atol=1e-12)
    assert np.isclose(abs(np.linalg.det(data.cell[:, :3])), abs(np.linalg.det(atoms.cell.array)))
    assert tuple(data.cell.pbc) == (True, True, False)
    assert np.array_equal(data.particles["grain"], atoms.arrays["grain"])


# Tables.


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_table_has_a_row_for_each_atom_and_words_as_they_are(tmp_path, ending):
    atoms = annotated()
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = write(tmp_path / f"a.{ending}", atoms)
    table = pd.read_parquet(path) if ending == "parquet" else pd.read_csv(path)
    assert table.columns[:5].tolist() == ["id", "element", "x", "y", "z"]
    assert table.id.tolist() == list(range(1, len(atoms) + 1)) and table.element.tolist() == list(atoms.symbols)
    assert (table[["x", "y", "z"]].to_numpy() == atoms.positions).all()
    assert (table[[f"velocity[{i}]" for i in (1, 2, 3)]].to_numpy() == atoms.arrays["velocity"]).all()
    for name in ("class", "prototype", "grain", "accepted", "c_pe"):
        assert table[name].tolist() == atoms.arrays[name].tolist(), name


def test_words_of_a_parquet_table_are_categories(tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.read_parquet(write(tmp_path / "a.parquet", annotated()))
    assert all(isinstance(table[name].dtype, pd.CategoricalDtype) for name in ("element", "class", "prototype"))


def test_elements_that_are_stand_ins_are_not_in_a_table():
    atoms = annotated()
    atoms.info["types"] = True
    assert "element" not in atom_table(atoms)


def test_parquet_without_pyarrow_is_said_before_the_work(monkeypatch):
    monkeypatch.setattr(writing, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs pyarrow, which is not installed"):
        check_target("a.parquet")


# Files.


@pytest.mark.parametrize("name", ["a", "a.cif", "a.gz", "a.parquet.gz", "a.xyz.zip"])
def test_an_ending_that_nobody_knows(tmp_path, name):
    with pytest.raises(
        ValueError, match=r"no ending that is known: \.extxyz, \.xyz, \.dump.*\.csv.*\.parquet"
    ) as error:
        write_frames(tmp_path / name, [annotated()])
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["A.EXTXYZ", "a.b.Dump.GZ"])
def test_endings_may_be_capitals(name):
    assert format_of(name) == ("extxyz" if name == "A.EXTXYZ" else "dump")


def test_names_beside_a_file():
    assert str(beside("d/a.b.dump.gz", ".png")) == os.path.join("d", "a.b.png")
    assert str(beside("a.extxyz", ".grains.csv")) == "a.grains.csv"


@pytest.mark.parametrize("name", ENDINGS)
def test_a_file_that_exists_is_kept_unless_told(tmp_path, name):
    (tmp_path / name).write_text("old")
    with pytest.raises(ValueError, match="exists and is kept: --overwrite"):
        write_frames(tmp_path / name, [annotated()])
    assert (tmp_path / name).read_text() == "old"
    write_frames(tmp_path / name, [annotated()], overwrite=True)
    assert (tmp_path / name).read_bytes() != b"old"


def test_a_directory_is_never_replaced(tmp_path):
    (tmp_path / "a.dump").mkdir()
    with pytest.raises(ValueError, match="is a directory"):
        write_frames(tmp_path / "a.dump", [annotated()], overwrite=True)


class Full(io.FileIO):
    """A file on a disk that is full after `room` bytes."""

    room = 0

    def write(self, content):
        if self.tell() + len(content) > self.room:
            raise OSError(28, os.strerror(28))
        return super().write(content)


def opens_on_full_disk(room):
    def opens(path, mode="r"):
        file = Full(path, mode)
        file.room = room
        return io.BufferedWriter(file)

    return opens


@pytest.mark.parametrize("room", [0, 3000])
@pytest.mark.parametrize("name", [*ENDINGS, "a.dump.gz", "a.csv.xz", "a.xyz.bz2"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, name, room):
    (tmp_path / name).write_text("old")
    monkeypatch.setattr(writing, "open", opens_on_full_disk(room), raising=False)
    atoms = annotated().repeat(4)
    with pytest.raises(OSError, match="cannot be written: no space left on device$") as error:
        write_frames(tmp_path / name, [atoms], overwrite=True)
    assert str(error.value).startswith(str(tmp_path / name)) and "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "old"


def test_frames_that_cannot_be_read_are_no_error_of_writing(tmp_path):
    def frames():
        yield annotated()
        raise PermissionError(13, "Permission denied", "input.dump")

    with pytest.raises(OSError, match="input.dump") as error:
        write_frames(tmp_path / "a.dump", frames())
    assert "cannot be written" not in str(error.value) and not list(tmp_path.iterdir())


def test_no_frames(tmp_path):
    with pytest.raises(ValueError, match="no frame to write"):
        write_frames(tmp_path / "a.dump", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_holds_one_frame(tmp_path, ending):
    with pytest.raises(ValueError, match=r"one frame only: name a file \.extxyz or \.dump"):
        write_frames(tmp_path / f"a.{ending}", [annotated(), annotated()])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["extxyz", "dump", "xyz.gz", "dump.xz"])
def test_frames_of_different_length_in_one_file(tmp_path, ending):
    atoms = annotated()
    assert write_frames(tmp_path / f"a.{ending}", (atoms[:n] for n in (5, 0, 64))) == 3
    assert [len(frame) for frame in read_structures(tmp_path / f"a.{ending}")] == [5, 0, 64]


def test_compressed_files_are_one_stream_and_the_same_each_time(tmp_path):
    """OVITO reads no further than the first of several streams; a time in the header would change the bytes."""
    one, other = (write(tmp_path / name, annotated(), annotated()).read_bytes() for name in ("a.xyz.gz", "b.xyz.gz"))
    assert one == other
    assert len(re.findall(re.escape(one[:4]), one)) == 1 and one[4:8] == bytes(4)
    assert gzip.decompress(one) == write(tmp_path / "a.xyz", annotated(), annotated()).read_bytes()


def test_text_made_in_pieces_is_the_same(tmp_path, monkeypatch):
    whole = [write(tmp_path / f"a.{ending}", annotated()).read_bytes() for ending in ("extxyz", "dump", "csv")]
    monkeypatch.setattr(writing, "_ROWS", 7)
    assert whole == [write(tmp_path / f"b.{ending}", annotated()).read_bytes() for ending in ("extxyz", "dump", "csv")]


@pytest.mark.parametrize(
    "info, expected",
    [
        ({"timestep": 5, "Time": 0.5}, (5, 0.5)),
        ({"Step": np.int64(7)}, (7, None)),
        ({"time": "2.5"}, (None, 2.5)),
        ({"step": "first", "time": None, 3: 4}, (None, None)),
        ({"step": 1.5, "time": np.nan}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_step_and_time_are_told_where_they_are_numbers(info, expected):
    assert time_of(Atoms(info=info)) == expected


def test_writing_needs_neither_tensorflow_nor_matplotlib():
    code = (
        "import sys, xtalsight.writing; sys.exit(bool({'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
