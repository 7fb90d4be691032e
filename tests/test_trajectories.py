import os
import subprocess
import sys
import time
from functools import partial

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from matplotlib.figure import Figure

from xtalsight import trajectories
from xtalsight.crystals import CLASSES
from xtalsight.grains import Map
from xtalsight.plots import CLASS_COLORS, draw_frames
from xtalsight.reading import read_structures
from xtalsight.store import load_table
from xtalsight.trajectories import map_trajectory

GRAINS = pd.DataFrame(
    {
        "class": ["fcc", "none", "bcc"],
        "prototype": ["A_cF4_225_a", "AB_cP2_221_a_b", "none"],
        "title": ["Copper", "Caesium chloride", "none"],
        "confidence": [0.99, 0.9, 0.4],
        "accepted": [True, True, False],
        "reason": [None, None, "strained"],
    }
)


def by_place(atoms, radius=None, network=None, n_jobs=-1, progress=True):
    """A map by x: half of the atoms fcc, a quarter of a prototype, an eighth refused, the others without grain."""
    if len(atoms) < 2:
        raise ValueError("a map needs atoms, at least two")
    if not np.isfinite(atoms.positions).all():
        raise ValueError("a map needs positions that are numbers")
    rank = np.argsort(np.argsort(atoms.positions[:, 0], kind="stable")) / len(atoms)
    grain = np.select([rank < 1 / 2, rank < 3 / 4, rank < 7 / 8], [0, 1, 2], -1).astype(np.int32)
    neighbours = pd.DataFrame({"grain": [0], "other": [1], "disorientation": [60.0], "name": ["Σ3"]})
    grains = GRAINS.assign(atoms=np.bincount(grain + 1, minlength=4)[1:]).rename_axis("grain")
    return Map(grain, np.ones(len(atoms), np.float32), grains, neighbours, 8.0)


@pytest.fixture
def mapped(monkeypatch):
    """Maps are made by place; the list has a number of atoms for each."""
    calls = []

    def counts(atoms, *arguments, **options):
        calls.append(len(atoms))
        return by_place(atoms, *arguments, **options)

    monkeypatch.setattr(trajectories, "map_structure", counts)
    return calls


def frame(n, step=None, seed=0):
    atoms = Atoms(f"Cu{n}" if n else "", np.random.default_rng(seed).uniform(0, 20, (n, 3)), cell=[20] * 3, pbc=True)
    if step is not None:
        atoms.info |= {"step": step, "time": step / 4}
    return atoms


def nowhere(n=8):
    atoms = frame(n)
    atoms.positions[1] = np.nan
    return atoms


def trajectory(path, frames=None):
    ase.io.write(path, [frame(16 + 8 * i, 100 * i, i) for i in range(5)] if frames is None else frames, format="extxyz")
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "in.extxyz"}


def test_each_frame_has_a_row(tmp_path, mapped):
    table = map_trajectory(trajectory(tmp_path / "in.extxyz"), tmp_path / "out.extxyz")
    assert table.frame.tolist() == [0, 1, 2, 3, 4] and table.step.tolist() == [0, 100, 200, 300, 400]
    assert table.time.tolist() == [0, 25, 50, 75, 100] and table.atoms.tolist() == [16, 24, 32, 40, 48]
    assert (table[["fcc", "other", "refused", "without_grain"]] == [1 / 2, 1 / 4, 1 / 8, 1 / 8]).all(axis=None)
    assert (table[[name for name in CLASSES if name != "fcc"]] == 0).all(axis=None)
    assert set(table.prototypes) == {"AB_cP2_221_a_b 0.2500"}
    assert set(table.grains) == {3} and table.largest.tolist() == [8, 12, 16, 20, 24] and table.reason.isna().all()
    assert sum(table[[*CLASSES, "other", "refused", "without_grain"]].iloc[0]) == 1


def test_the_files_of_a_trajectory(tmp_path, mapped):
    table = map_trajectory(trajectory(tmp_path / "in.extxyz"), tmp_path / "new" / "out.extxyz.gz")
    names = {"out.extxyz.gz", "out.grains.csv", "out.neighbours.csv", "out.frames.csv", "out.png"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names
    frames = ase.io.read(tmp_path / "new" / "out.extxyz.gz", ":")
    assert [len(atoms) for atoms in frames] == table.atoms.tolist()
    for atoms in frames:
        expected = by_place(atoms).grain
        assert (atoms.arrays["grain"] == expected).all()
        assert atoms.arrays["class"].tolist() == [[*GRAINS["class"], "none"][g] for g in expected]
        assert {"prototype", "confidence", "accepted"} <= set(atoms.arrays) and "step" in atoms.info
    grains = load_table(tmp_path / "new" / "out.grains.csv")
    assert grains.frame.tolist() == np.repeat(range(5), 3).tolist() and grains.grain.tolist() == 5 * [0, 1, 2]
    neighbours = load_table(tmp_path / "new" / "out.neighbours.csv")
    assert neighbours.frame.tolist() == [0, 1, 2, 3, 4] and set(neighbours.name) == {"Σ3"}
    stored = load_table(tmp_path / "new" / "out.frames.csv")
    pd.testing.assert_frame_equal(stored.drop(columns="reason"), table.drop(columns="reason"), check_dtype=False)


def test_each_nth_frame(tmp_path, mapped):
    path = trajectory(tmp_path / "in.extxyz")
    assert map_trajectory(path, tmp_path / "out.dump", every=2).frame.tolist() == [0, 2, 4]
    assert mapped == [16, 32, 48]
    assert [atoms.info["timestep"] for atoms in read_structures(tmp_path / "out.dump")] == [0, 200, 400]
    with pytest.raises(ValueError, match="every=0 must be 1 or more"):
        map_trajectory(path, tmp_path / "other.dump", every=0)


@pytest.mark.parametrize("ending", ["extxyz", "dump"])
def test_a_frame_that_cannot_be_mapped_is_a_row_with_its_reason(tmp_path, mapped, ending):
    path = trajectory(tmp_path / "in.extxyz", [frame(0), frame(16), nowhere(), frame(1), frame(16)])
    table = map_trajectory(path, tmp_path / f"out.{ending}")
    assert table.reason.isna().tolist() == [False, True, False, False, True]
    assert "positions that are numbers" in table.reason[2] and np.isnan(table.fcc[2])
    frames = [*read_structures(tmp_path / f"out.{ending}")]
    assert [len(atoms) for atoms in frames] == [0, 16, 8, 1, 16]
    assert all((atoms.arrays["grain"] == -1).all() for atoms in (frames[2], frames[3]))
    assert set(load_table(tmp_path / "out.grains.csv").frame) == {1, 4}
    assert load_table(tmp_path / "out.frames.csv").grains.dropna().tolist() == [3, 3]


def test_when_no_frame_can_be_mapped_there_are_no_old_tables(tmp_path, mapped):
    (tmp_path / "out.grains.csv").write_text("old")
    table = map_trajectory(
        trajectory(tmp_path / "in.extxyz", [frame(1), frame(0)]), tmp_path / "out.extxyz", overwrite=True
    )
    assert table.reason.notna().all()
    assert {path.name for path in tmp_path.iterdir()} == {"in.extxyz", "out.extxyz", "out.frames.csv", "out.png"}


def test_forces_stay(tmp_path, mapped):
    atoms = frame(16)
    atoms.set_array("forces", np.random.default_rng(0).normal(size=(16, 3)))
    path = trajectory(tmp_path / "in.extxyz", [atoms, atoms])
    map_trajectory(path, tmp_path / "out.extxyz")
    back = ase.io.read(tmp_path / "out.extxyz")
    assert np.allclose(back.get_forces(), atoms.arrays["forces"], atol=1e-7)


# What hinders.


def test_a_file_that_breaks_off_gives_its_whole_frames_and_an_error(tmp_path, mapped):
    path = trajectory(tmp_path / "in.extxyz")
    path.write_text(path.read_text()[:-300])
    with pytest.raises(ValueError, match="beyond its first 4 structures.* what was read is mapped: .*out.extxyz$"):
        map_trajectory(path, tmp_path / "out.extxyz")
    assert len(ase.io.read(tmp_path / "out.extxyz", ":")) == 4
    assert load_table(tmp_path / "out.frames.csv").frame.tolist() == [0, 1, 2, 3]
    assert not (tmp_path / "out.extxyz.parts").exists()


@pytest.mark.parametrize("text", ["", "to whom it may concern", "16\nframe\nCu 0 0 0\n"])
def test_a_file_without_a_whole_frame_leaves_nothing(tmp_path, mapped, text):
    (tmp_path / "in.extxyz").write_text(text)
    with pytest.raises(ValueError, match=r"in\.extxyz"):
        map_trajectory(tmp_path / "in.extxyz", tmp_path / "out.extxyz")
    assert [path.name for path in tmp_path.iterdir()] == ["in.extxyz"]


def test_no_file_no_network_no_such_ending(tmp_path, mapped):
    path = trajectory(tmp_path / "in.extxyz")
    for arguments, match in [
        ((tmp_path / "none.xyz", tmp_path / "out.extxyz"), "does not exist"),
        ((tmp_path, tmp_path / "out.extxyz"), "is a directory"),
        ((path, tmp_path / "out.extxyz", None, tmp_path / "none"), "is no network"),
        ((path, tmp_path / "out.cif"), "no ending that is known"),
        ((path, tmp_path / "out.csv"), "one frame only"),
    ]:
        with pytest.raises(ValueError, match=match):
            map_trajectory(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["in.extxyz"] and not mapped


@pytest.mark.parametrize("name", ["out.extxyz", "out.grains.csv", "out.neighbours.csv", "out.frames.csv", "out.png"])
def test_what_exists_is_kept_unless_told(tmp_path, mapped, name):
    path = trajectory(tmp_path / "in.extxyz")
    (tmp_path / name).write_text("old")
    with pytest.raises(ValueError, match=f"{name} exists and is kept"):
        map_trajectory(path, tmp_path / "out.extxyz")
    assert contents(tmp_path) == {name: b"old"} and not mapped
    map_trajectory(path, tmp_path / "out.extxyz", overwrite=True)
    assert (tmp_path / name).read_bytes() != b"old"


# Resumption.


class Killed(BaseException):
    """The process ends here."""


def killed_at(monkeypatch, place, time):
    """Let the run end the `time`-th time that it comes to `place`."""
    functions = {
        "map": (trajectories, "map_structure"),
        "frame": (trajectories, "write_frame"),
        "append": (trajectories, "_append"),
        "note": (trajectories, "_note"),
        "table": (pd.DataFrame, "to_csv"),
        "move": (os, "replace"),
        "end": (trajectories, "_move"),
    }
    module, name = functions[place]
    function, calls = getattr(module, name), []

    def stops(*arguments, **options):
        calls.append(0)
        if len(calls) < time:
            return function(*arguments, **options)
        if place == "frame":  # in the middle of it
            arguments[0].write(b"16\nLattice=")
        elif place == "note":
            with open(arguments[0] / "log.jsonl", "ab") as log:
                log.write(b'{"row": {"frame": 2, "st')
        elif place in ("append", "end"):  # all but what comes next
            function(*arguments, **options)
        raise Killed

    monkeypatch.setattr(module, name, stops)


PLACES = [
    *(
        ("map", 1),
        ("map", 3),
        ("frame", 1),
        ("frame", 4),
        ("append", 1),
        ("append", 5),
        ("note", 1),
        ("note", 2),
        ("note", 4),
    ),
    *(
        ("note", 7),
        ("table", 1),
        ("table", 6),
        ("move", 1),
        ("move", 2),
        ("move", 3),
        ("move", 4),
        ("move", 5),
        ("end", 5),
    ),
]


@pytest.mark.parametrize("ending", ["extxyz", "dump.gz"])
@pytest.mark.parametrize("place, time", PLACES, ids=lambda value: str(value))
def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path, mapped, monkeypatch, place, time, ending):
    (tmp_path / "whole").mkdir()
    path = trajectory(
        tmp_path / "in.extxyz", [frame(16, 5), nowhere(), Atoms("AlCuAl", np.eye(3)), *(frame(16, 9) for _ in "ab")]
    )
    map_trajectory(path, tmp_path / "whole" / f"out.{ending}")
    mapped.clear()
    killed = partial(map_trajectory, path, tmp_path / "killed" / f"out.{ending}")
    with monkeypatch.context() as patch:
        killed_at(patch, place, time)
        with pytest.raises(Killed):
            killed()
    killed()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert len(mapped) <= 6  # at most one frame is mapped twice


def test_a_run_may_be_killed_again_and_again(tmp_path, mapped, monkeypatch):
    (tmp_path / "whole").mkdir()
    path = trajectory(tmp_path / "in.extxyz")
    map_trajectory(path, tmp_path / "whole" / "out.dump", every=2)
    for place, turn in [("frame", 2), ("note", 1), ("append", 1), ("note", 2), ("move", 2), ("move", 1)]:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            killed_at(patch, place, turn)
            map_trajectory(path, tmp_path / "killed" / "out.dump", every=2)
    map_trajectory(path, tmp_path / "killed" / "out.dump", every=2)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_run_that_goes_on_says_so_and_maps_no_frame_again(tmp_path, mapped, monkeypatch, capsys):
    path = trajectory(tmp_path / "in.extxyz")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, "map", 4)
        map_trajectory(path, tmp_path / "out.extxyz")
    mapped.clear()
    map_trajectory(path, tmp_path / "out.extxyz", n_jobs=1)  # the number of processes does not matter
    assert mapped == [40, 48]
    assert "goes on after frame 2" in capsys.readouterr().err


@pytest.mark.parametrize("changed", ["input", "radius", "every", "version", "cut"])
def test_parts_of_another_run_are_not_mixed_in(tmp_path, mapped, monkeypatch, capsys, changed):
    path, options = trajectory(tmp_path / "in.extxyz"), {}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, "map", 4)
        map_trajectory(path, tmp_path / "out.extxyz")
    mapped.clear()
    if changed == "input":
        trajectory(path, [frame(80, seed=7), frame(16), frame(24)])
    elif changed == "version":
        monkeypatch.setattr(trajectories, "version", lambda name: "99")
    elif changed == "cut":
        os.truncate(tmp_path / "out.extxyz.parts" / "frames", 100)
    else:
        options = {changed: 3}
    table = map_trajectory(path, tmp_path / "out.extxyz", **options)
    assert mapped == table.atoms.tolist() and mapped[0] == (80 if changed == "input" else 16)
    assert "of another input or of other arguments: begun anew" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(tmp_path, mapped, monkeypatch):
    (tmp_path / "whole").mkdir()
    path = trajectory(tmp_path / "in.extxyz")
    map_trajectory(path, tmp_path / "whole" / "out.extxyz")

    def full(file, atoms, *arguments):
        file.write(b"half")
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(trajectories, "write_frame", full)
        with pytest.raises(OSError, match=r"out\.extxyz\.parts.* cannot be written: no space left on device$"):
            map_trajectory(path, tmp_path / "full" / "out.extxyz")
    map_trajectory(path, tmp_path / "full" / "out.extxyz")
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


def test_a_file_that_came_while_it_ran_is_kept_and_the_work_too(tmp_path, mapped, monkeypatch):
    path = trajectory(tmp_path / "in.extxyz")
    with monkeypatch.context() as patch:
        patch.setattr(
            trajectories,
            "map_structure",
            lambda atoms, **_: (tmp_path / "out.png").write_text("new") and by_place(atoms),
        )
        with pytest.raises(ValueError, match="out.png exists and is kept"):
            map_trajectory(path, tmp_path / "out.extxyz")
    assert (tmp_path / "out.png").read_text() == "new"
    map_trajectory(path, tmp_path / "out.extxyz", overwrite=True)
    assert not mapped  # all were


def test_a_process_that_is_killed(tmp_path):
    """No clean-up, no flushing: the signal KILL, in the middle of the file."""
    path = trajectory(tmp_path / "in.extxyz", [frame(2000, i, i) for i in range(60)])
    code = (
        "import sys; sys.path.insert(0, sys.argv[3]); import test_trajectories as t; "
        "t.trajectories.map_structure = t.by_place; t.map_trajectory(sys.argv[1], sys.argv[2])"
    )
    command = [sys.executable, "-c", code, path, tmp_path / "killed" / "out.extxyz", os.path.dirname(__file__)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    log = tmp_path / "killed" / "out.extxyz.parts" / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 9):
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert log.exists()
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "goes on after frame" in finished.stderr
    frames = ase.io.read(tmp_path / "killed" / "out.extxyz", ":")
    assert [atoms.info["step"] for atoms in frames] == list(range(60))


def test_two_runs_do_not_write_in_one_place(tmp_path, mapped, monkeypatch):
    """The second says who is there, and does no harm to the first."""
    path = trajectory(tmp_path / "in.extxyz", [frame(40, i, i) for i in range(3)])

    def map_it():
        return map_trajectory(path, tmp_path / "out.extxyz")

    def maps_and_is_disturbed(*arguments, **options):
        with pytest.raises(ValueError, match=r"another run is writing in .*out\.extxyz\.parts"):
            map_it()
        return by_place(*arguments, **options)

    monkeypatch.setattr(trajectories, "map_structure", maps_and_is_disturbed)
    map_it()
    assert len(ase.io.read(tmp_path / "out.extxyz", ":")) == 3
    assert not (tmp_path / "out.extxyz.parts").exists()


# Picture.


def test_fractions_are_drawn_in_the_colours_of_their_classes(tmp_path, mapped):
    table = map_trajectory(
        trajectory(tmp_path / "in.extxyz", [frame(16), nowhere(), frame(16)]), tmp_path / "out.extxyz"
    )
    ax = draw_frames(table, Figure().add_subplot())
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines) == {"fcc", "other", "refused", "without grain"}
    assert lines["fcc"].get_color() == CLASS_COLORS[CLASSES.index("fcc")]
    assert np.array_equal(lines["fcc"].get_ydata(), [0.5, np.nan, 0.5], equal_nan=True)
    assert ax.get_xlabel() == "frame"


def test_nothing_to_draw_is_no_error(tmp_path, mapped):
    table = map_trajectory(trajectory(tmp_path / "in.extxyz", [frame(1), frame(0)]), tmp_path / "out.extxyz")
    assert not draw_frames(table, Figure().add_subplot()).lines


# With the map itself.


def test_a_crystal_that_melts(tmp_path):
    rng = np.random.default_rng(0)
    crystal = bulk("Cu", cubic=True).repeat(5)
    melt = crystal.copy()
    melt.positions = rng.uniform(0, 18, (len(melt), 3))
    path = trajectory(tmp_path / "in.extxyz", [crystal, melt])
    table = map_trajectory(path, tmp_path / "out.dump", n_jobs=1)
    assert table.fcc[0] > 0.99 and table.fcc[1] < 0.05
    first, _ = read_structures(tmp_path / "out.dump")
    assert (first.arrays["class"] == CLASSES.index("fcc") + 1).mean() > 0.99


def test_a_file_that_came_while_frames_were_mapped_is_kept_however_often_one_asks(tmp_path, monkeypatch):
    path, target = trajectory(tmp_path / "in.extxyz"), tmp_path / "out.extxyz"

    def meanwhile(atoms, *arguments, **options):
        target.write_text("mine")
        return by_place(atoms)

    monkeypatch.setattr(trajectories, "map_structure", meanwhile)
    for _ in range(2):
        with pytest.raises(ValueError, match="exists"):
            map_trajectory(path, target)
        assert target.read_text() == "mine"
    map_trajectory(path, target, overwrite=True)
    assert len(ase.io.read(target, ":")) == 5
