import argparse
import json
import os
import sys

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from matplotlib.figure import Figure

from xtalsight import __main__ as command
from xtalsight.grains import Map
from xtalsight.reading import read_structures
from xtalsight.store import load_table

GRAINS = pd.DataFrame(
    {
        "class": ["fcc", "none", "bcc"],
        "prototype": ["A_cF4_225_a", "AB_cP2_221_a_b", "none"],
        "accepted": [True, True, False],
        "confidence": [0.99, 0.9, 0.4],
    }
).rename_axis("grain")
BESIDE = {"out.grains.csv", "out.neighbours.csv", "out.png"}


def by_number(atoms, radius=None, network=None, n_jobs=-1, progress=True):
    """A map by the number of the atom: half of the atoms fcc, a quarter a compound, an eighth refused, an eighth
    nothing."""
    if len(atoms) < 2:
        raise ValueError("a map needs atoms, at least two")
    if not np.isfinite(atoms.positions).all():
        raise ValueError("a map needs positions that are finite numbers")
    place = np.arange(len(atoms)) / len(atoms)
    grain = np.select([place < 1 / 2, place < 3 / 4, place < 7 / 8], [0, 1, 2], -1).astype(np.int32)
    neighbours = pd.DataFrame({"grain": [0], "other": [1], "disorientation": [60.0], "name": ["Σ3"]})
    grains = GRAINS.assign(atoms=np.bincount(grain + 1, minlength=4)[1:])
    return Map(grain, np.ones(len(atoms), np.float32), grains, neighbours, radius or 8.0)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The command, in a folder of its own: status, and what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xtalsight.grains.map_structure", by_number)
    monkeypatch.setattr("xtalsight.trajectories.map_structure", by_number)
    monkeypatch.setattr("xtalsight.plots.draw_map", lambda found, annotated: Figure())

    def runs(*arguments):
        monkeypatch.setattr(sys, "argv", ["xtalsight", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            command.main()
        printed = capsys.readouterr()
        return end.value.code, printed.out, printed.err

    return runs


def frame(n=16):
    return Atoms(f"Cu{n}" if n else "", np.random.default_rng(n).uniform(0, 9, (n, 3)), cell=[9] * 3, pbc=True)


def files():
    return set(os.listdir())


def error(printed):
    """The only sentence on stderr but for progress."""
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in printed
    return line


# One structure.


def test_map_writes_atoms_tables_and_picture_beside_the_name(run):
    frame().write("in.xyz", format="extxyz")
    status, printed, _ = run("map", "in.xyz")
    assert status == 0
    names = {f"in.xyz.map.{ending}" for ending in ("extxyz", "grains.csv", "neighbours.csv", "png")}
    assert files() == names | {"in.xyz"}
    atoms = ase.io.read("in.xyz.map.extxyz")
    assert atoms.arrays["class"].tolist() == ["fcc"] * 8 + ["none"] * 4 + ["bcc"] * 2 + ["none"] * 2
    assert {"prototype", "grain", "confidence", "accepted"} <= set(atoms.arrays)
    assert load_table("in.xyz.map.grains.csv").grain.tolist() == [0, 1, 2]
    assert load_table("in.xyz.map.neighbours.csv").name.tolist() == ["Σ3"]
    assert "in.xyz: 16 atoms, 3 grains, balls of 8.00 Å" in printed
    assert "fcc 50.0%, AB_cP2_221_a_b 25.0%, refused 12.5%, without grain 12.5%" in printed
    assert all(name in printed for name in names)


@pytest.mark.parametrize("name", ["out.extxyz", "out.dump", "out.xyz.gz", "out.csv", "out.csv.bz2", "out.parquet"])
def test_map_writes_what_the_ending_says(run, name):
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    frame().write("in.xyz", format="extxyz")
    assert run("map", "in.xyz", "-o", name, "--radius", 7, "--jobs", 1)[0] == 0
    assert files() == {"in.xyz", name} | BESIDE


def test_map_keeps_all_that_the_file_had(run):
    atoms = frame()
    atoms.set_array("velocity", np.random.default_rng(0).normal(size=(16, 3)))
    atoms.set_array("forces", np.random.default_rng(1).normal(size=(16, 3)))
    atoms.info["origin"] = "a run"
    atoms.write("in.xyz", format="extxyz")
    assert run("map", "in.xyz", "-o", "out.extxyz")[0] == 0
    before, after = ase.io.read("in.xyz"), ase.io.read("out.extxyz")
    assert after.info["origin"] == "a run" and (after.get_forces() == before.get_forces()).all()
    assert (after.arrays["velocity"] == before.arrays["velocity"]).all()


@pytest.mark.parametrize("name", ["out.extxyz", *sorted(BESIDE)])
def test_map_keeps_what_exists_unless_told(run, name):
    frame().write("in.xyz", format="extxyz")
    with open(name, "w") as file:
        file.write("old")
    status, _, printed = run("map", "in.xyz", "-o", "out.extxyz")
    assert status == 1 and error(printed) == f"error: {name} exists and is kept: --overwrite replaces it"
    assert files() == {"in.xyz", name}
    assert run("map", "in.xyz", "-o", "out.extxyz", "--overwrite")[0] == 0
    assert files() == {"in.xyz", "out.extxyz"} | BESIDE


def test_map_never_replaces_its_input(run):
    frame().write("in.xyz", format="extxyz")
    status, _, printed = run("map", "in.xyz", "-o", "in.xyz", "--overwrite")
    assert status == 1 and "is what is to be mapped" in error(printed)


BAD = {
    "none.xyz": (None, "does not exist"),
    "empty.xyz": ("", "is empty"),
    "letter.xyz": ("to whom it may concern\n", "letter.xyz"),
    "cut.xyz": ("3\nProperties=species:S:1:pos:R:3\nCu 0 0 0\n", "cut.xyz cannot be read"),
    "nothing.xyz": ('0\nProperties=species:S:1:pos:R:3 pbc="F F F"\n', "nothing.xyz: a map needs atoms"),
    "one.xyz": ("1\none\nCu 0 0 0\n", "one.xyz: a map needs atoms"),
    "nan.xyz": ("2\nnan\nCu 0 0 nan\nCu 1 1 1\n", "nan.xyz: a map needs positions"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing(run, name):
    text, reason = BAD[name]
    if text is not None:
        with open(name, "w") as file:
            file.write(text)
    before = files()
    status, printed, errors = run("map", name)
    assert (status, printed) == (1, "") and reason in error(errors) and files() == before


def test_an_ending_that_nobody_knows_is_said_before_reading(run, monkeypatch):
    monkeypatch.setattr(command, "read_structures", None)
    status, _, printed = run("map", "in.xyz", "-o", "out.cif")
    assert status == 1 and "out.cif has no ending that is known: .extxyz" in error(printed)


def test_a_network_that_is_missing_is_status_2(run):
    frame().write("in.xyz", format="extxyz")
    for arguments in (("map", "in.xyz"), ("classify", "in.xyz")):
        status, _, printed = run(*arguments, "--network", "none")
        assert status == 2 and "none is no network" in error(printed)


@pytest.mark.parametrize(
    "place, name",
    [
        ("xtalsight.writing.write_frame", "out.dump"),
        ("xtalsight.store.save_table", "out.grains.csv"),
        ("matplotlib.figure.Figure.savefig", "out.png"),
        ("tempfile.TemporaryDirectory.__enter__", "out.dump"),
    ],
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(run, monkeypatch, place, name):
    def full(*arguments):
        raise OSError(28, os.strerror(28))

    frame().write("in.xyz", format="extxyz")
    monkeypatch.setattr(place, full)
    status, _, printed = run("map", "in.xyz", "-o", "out.dump")
    assert status == 1 and error(printed) == f"error: {name} cannot be written: no space left on device"
    assert files() == {"in.xyz"}


# Trajectories.


def several(*frames, name="in.xyz"):
    ase.io.write(name, frames, format="extxyz")


def test_several_frames_are_a_trajectory(run):
    several(frame(16), frame(24), frame(1))
    status, printed, _ = run("map", "in.xyz", "-o", "out.dump")
    assert status == 0 and files() == {"in.xyz", "out.dump", "out.frames.csv"} | BESIDE
    assert [len(atoms) for atoms in read_structures("out.dump")] == [16, 24, 1]
    assert "2 of 3 frames mapped" in printed and "frame 2: a map needs atoms" in printed
    assert "fcc: 50.0% in the first, 50.0% in the last" in printed and "out.frames.csv" in printed


def test_every_nth_frame(run):
    several(*(frame(n) for n in (16, 24, 32)))
    assert run("map", "in.xyz", "-o", "out.dump", "--every", 2)[0] == 0
    assert [len(atoms) for atoms in read_structures("out.dump")] == [16, 32]


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_every_needs_a_number(run, number):
    assert run("map", "in.xyz", f"--every={number}")[0] == 2


def test_a_file_that_breaks_off_is_status_1_and_its_whole_frames_are_mapped(run):
    several(frame(16), frame(24))
    with open("in.xyz") as file:
        text = file.read()
    with open("in.xyz", "w") as file:
        file.write(text[:-100])
    status, _, printed = run("map", "in.xyz", "-o", "out.extxyz")
    assert status == 1 and "beyond its first 1 structure" in error(printed)
    assert len(ase.io.read("out.extxyz")) == 16


def test_when_no_frame_can_be_mapped_the_status_is_1(run):
    several(frame(1), frame(1))
    status, printed, _ = run("map", "in.xyz")
    assert status == 1 and "0 of 2 frames mapped" in printed


def test_several_frames_need_a_file_that_holds_them(run):
    several(frame(), frame())
    status, _, printed = run("map", "in.xyz", "-o", "out.csv")
    assert status == 1 and "out.csv can hold one frame only" in error(printed)


def test_a_trajectory_that_was_interrupted_goes_on(run, monkeypatch):
    several(*(frame(n) for n in (16, 24, 32)))
    mapped = []

    def interrupted(atoms, *arguments, **options):
        if len(mapped) == 1:
            raise KeyboardInterrupt
        mapped.append(len(atoms))
        return by_number(atoms)

    with monkeypatch.context() as patch:
        patch.setattr("xtalsight.trajectories.map_structure", interrupted)
        status, _, printed = run("map", "in.xyz", "-o", "out.dump")
    assert status == 130 and "interrupted: the same command goes on where it stopped (out.dump.parts)" in printed
    status, _, printed = run("map", "in.xyz", "-o", "out.dump")
    assert status == 0 and "goes on after frame 0" in printed
    assert files() == {"in.xyz", "out.dump", "out.frames.csv"} | BESIDE


# classify.


@pytest.fixture
def answers(monkeypatch):
    """An answer that is the number of atoms; of three atoms an error. The list has the arguments."""
    calls = []

    def many(structures, network=None, n_jobs=-1):
        calls.append((network, n_jobs))
        for atoms in list(structures):  # read ahead, as batches are
            yield ValueError("three are a crowd") if len(atoms) == 3 else {"n_atoms": len(atoms)}

    monkeypatch.setattr(command, "classify_many", many)
    return calls


def test_answers_come_in_the_order_of_files_and_frames(run, answers):
    several(frame(2), frame(3), frame(4), name="a.xyz")
    several(frame(5), frame(6), name="b.xyz")
    status, printed, errors = run("classify", "a.xyz", "none.xyz", "b.xyz", "--json", "--jobs", 3)
    got = [json.loads(line) for line in printed.splitlines()]
    assert [(a["file"], a["frame"], a["n_atoms"]) for a in got] == [
        ("a.xyz", 0, 2),
        ("a.xyz", 2, 4),
        ("b.xyz", 0, 5),
        ("b.xyz", 1, 6),
    ]
    assert status == 1 and answers == [(None, 3)]
    assert errors.splitlines() == ["error: a.xyz, frame 1: three are a crowd", "error: none.xyz does not exist"]


def test_classify_each_nth_frame_of_each_file(run, answers):
    several(*(frame(n) for n in (4, 5, 6, 7)), name="a.xyz")
    several(frame(8), frame(9), name="b.xyz")
    status, printed, _ = run("classify", "a.xyz", "b.xyz", "--json", "--every", 3)
    got = [json.loads(line) for line in printed.splitlines()]
    assert status == 0 and [(a["frame"], a["n_atoms"]) for a in got] == [(0, 4), (3, 7), (0, 8)]


def test_a_file_broken_after_two_frames_gives_two_answers_and_one_error(run, answers):
    several(frame(4), frame(5), frame(6))
    with open("in.xyz") as file:
        text = file.read()
    with open("in.xyz", "w") as file:
        file.write(text[:-60])
    status, printed, errors = run("classify", "in.xyz", "--json")
    assert status == 1 and len(printed.splitlines()) == 2
    assert "beyond its first 2 structures" in error(errors)


class Terminal:
    """A stream that says it is a terminal, and keeps what is written."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize("frames, is_terminal", [(1, True), (3, True), (3, False)])
def test_progress_is_shown_on_a_terminal_for_more_than_one_frame(run, answers, monkeypatch, frames, is_terminal):
    several(*(frame(4) for _ in range(frames)))
    screen = Terminal()
    screen.isatty = lambda: is_terminal
    monkeypatch.setattr(sys, "stderr", screen)
    assert run("classify", "in.xyz", "--json")[0] == 0
    assert ("frames" in screen.text) == (frames > 1 and is_terminal)


# Both.


def test_the_version(run):
    status, printed, _ = run("--version")
    assert status == 0 and printed.startswith("xtalsight ") and printed.split()[1][0].isdigit()


def test_a_number_of_frames_is_positive():
    assert command._positive("12") == 12
    with pytest.raises(argparse.ArgumentTypeError, match="'0' is no number of frames"):
        command._positive("0")


@pytest.mark.parametrize("name", ["map", "classify"])
def test_a_scheduler_without_dask_is_one_sentence(run, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "distributed", None)
    frame().write("in.xyz", format="extxyz")
    status, _, printed = run(name, "in.xyz", "--scheduler", "tcp://127.0.0.1:1")
    assert status == 1 and "needs dask.distributed, which is not installed" in error(printed)


def test_a_scheduler_that_does_not_answer(run, monkeypatch):
    distributed = pytest.importorskip("distributed")
    client = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, timeout: client(address, timeout=0.2))
    frame().write("in.xyz", format="extxyz")
    status, _, printed = run("map", "in.xyz", "--scheduler", "tcp://127.0.0.1:1")
    assert status == 1 and "no scheduler of dask answers at 'tcp://127.0.0.1:1'" in error(printed)


# With the map itself.


def halves():
    """Copper beside iron, some 1500 atoms, that do not touch."""
    copper, iron = bulk("Cu", cubic=True).repeat(8), bulk("Fe", cubic=True).repeat(14)
    iron.rotate(20, (1, 2, 3))
    for crystal in (copper, iron):
        crystal.positions -= crystal.get_center_of_mass()
    box = np.abs(copper.positions).max(axis=0)
    iron = iron[(np.abs(iron.positions) < box).all(axis=1)]
    return copper[copper.positions[:, 0] < -1] + iron[iron.positions[:, 0] > 1]


def test_two_halves_are_two_grains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    halves().write("halves.xyz")
    assert command.map_file("halves.xyz", "out.extxyz", jobs=1) == 0
    atoms = ase.io.read("out.extxyz")
    copper = atoms.numbers == 29
    for which, name in ((copper, "fcc"), (~copper, "bcc")):
        assert (atoms.arrays["class"][which] == name).mean() > 0.9
    assert len(load_table("out.grains.csv")) == 2
    assert (tmp_path / "out.png").read_bytes()[1:4] == b"PNG"
    assert "fcc" in capsys.readouterr().out
