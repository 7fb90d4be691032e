"""Maps of trajectories, frame by frame: streamed, so that memory does not grow with their number, and resumed after a
break.

What a frame gives is appended to files in the folder ``<OUT>.parts``, and last a line to its log, which tells how long
each of them is then. Whenever a run is killed, the next one cuts the files to the lengths in the last whole line and
goes on with the next frame. In the end they are moved to where they belong.
"""

import json
import os
import shutil
import sys
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from xtalsight.classify import prototype_files
from xtalsight.crystals import CLASSES
from xtalsight.grains import Map, annotate, map_structure, shares_of_atoms
from xtalsight.reading import read_structures
from xtalsight.store import replacing, save_table
from xtalsight.writing import PACKED, beside, check_target, format_of, named, pack, time_of, write_frame

_LOCK = "lock"
_LOG = "log.jsonl"
_FRAMES = "frames"
_MOVING = "moving"
_TABLES = ("grains.csv", "neighbours.csv")


def map_trajectory(
    path, target, radius: float | None = None, network=None, every: int = 1, overwrite: bool = False, n_jobs: int = -1
) -> pd.DataFrame:
    """Map frames of a file; write them annotated, the tables of their grains, a table of the frames and its picture.

    The annotated frames go to ``target``, extended XYZ or a dump of LAMMPS. Beside it, with other endings:
    ``.grains.csv`` and ``.neighbours.csv``, the tables of `xtalsight.grains.Map` with a column ``frame``;
    ``.frames.csv``, the table below; and ``.png``. A frame that cannot be mapped, without atoms or with NaN for
    positions, for example, is written without grains, and its row tells the reason.

    After a break, the same call goes on after the last whole frame; of a changed file or other arguments it begins
    anew. The files are the same to the byte.

    Parameters
    ----------
    path, target : path
    radius, network, n_jobs
        As of `xtalsight.grains.map_structure`.
    every : int
        Map the first frame and each `every`-th after it.
    overwrite : bool
        Whether files that exist may be replaced.

    Returns
    -------
    DataFrame
        A row for each of these frames: ``frame`` (in the file, from 0), ``step`` and ``time`` (if the file tells them),
        ``atoms``; fractions of the atoms: the seven classes, ``other`` (in grains of prototypes that are none of the
        seven), ``refused`` (in grains that are refused), ``without_grain``; ``prototypes`` (of ``other``, each with its
        fraction); ``grains`` (number), ``largest`` (atoms of the largest), ``reason`` (why there is no map, else
        empty).

    Raises
    ------
    ValueError
        As `xtalsight.writing.check_target` and `xtalsight.reading.read_structures`, or there is no such network. Of a
        file that breaks off, the whole frames were written.
    OSError
        The disk is full, for example; the next call goes on.
    """
    if every < 1:
        raise ValueError(f"{every=} must be 1 or more")
    path, target = Path(path), Path(target)
    others = [beside(target, f".{name}") for name in (*_TABLES, "frames.csv", "png")]
    folder = target.with_name(f"{target.name}.parts")
    task = _task(path, radius, network, every)
    # Once it has begun to move files, those in place are ours.
    check_target(target, overwrite or (folder / _MOVING).exists(), others, several=True)
    with _alone(folder):
        log = _read_log(folder, task)
        if not log or "end" not in log[-1]:
            if len(log) > 1:
                print(f"goes on after frame {log[-1]['row']['frame']}, from {folder}", file=sys.stderr)
            with named(folder):
                log = _cut(folder, log) if log else [_begin(folder, task)]
            frames = islice(enumerate(read_structures(path)), every * (len(log) - 1), None, every)
            map_one = partial(map_structure, radius=radius, network=network, n_jobs=n_jobs, progress=False)
            _map_frames(frames, map_one, folder, log, format_of(target))
        _, *entries, end = log
        if not entries:
            shutil.rmtree(folder)
            raise ValueError(end["end"] or f"{path} has no frames")
        whole = dict.fromkeys(("step", "grains", "largest"), "Int64")
        table = pd.DataFrame([entry["row"] for entry in entries]).astype(whole)
        if not (folder / _MOVING).exists():
            check_target(target, overwrite, others, several=True)  # again: it is hours later
            (folder / _MOVING).touch()
        _finish(folder, target, entries[-1]["sizes"], table)
    if end["end"]:
        raise ValueError(f"{end['end']}; what was read is mapped: {target}")
    return table


@contextmanager
def _alone(folder):
    """Keep other runs out of the folder of parts."""
    with named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / _LOCK, timeout=0):
            yield
    except Timeout as error:
        raise ValueError(f"another run is writing in {folder}") from error


def _task(path, radius, network, every):
    """What has to be the same for a run to go on."""
    _, card = prototype_files(network)
    if not path.is_file():
        next(read_structures(path))  # says why
    files = [path] if network is None else [path, card]
    states = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return {"version": version("xtalsight"), "files": states, "radius": radius, "every": every}


def _map_frames(frames, map_one, folder, log, format):
    """Map frames; each becomes an entry of the log, whose last one tells why the file breaks off, if it does."""
    types = log[-1].get("types", {})
    with tqdm(initial=len(log) - 1, unit=" frames", desc="frames", disable=None) as progress:
        while True:
            try:
                frame, atoms = next(frames)
            except (StopIteration, ValueError) as end:
                log.append(_note(folder, {"end": str(end)}))
                return
            try:
                found, reason = map_one(atoms), None
            except ValueError as error:
                found, reason = None, str(error)
            sizes = _append(folder, frame, annotate(atoms, found), found, format, types)
            log.append(_note(folder, {"row": _row(frame, atoms, found, reason), "sizes": sizes, "types": types}))
            progress.update()


def _row(frame, atoms, found: Map | None, reason):
    """A row of the table of frames, as JSON has it."""
    n = len(atoms)
    step, time = time_of(atoms)
    row = {"frame": frame, "step": step, "time": time, "atoms": n}
    if found is None:
        names = *CLASSES, "other", "refused", "without_grain", "prototypes", "grains", "largest"
        return row | dict.fromkeys(names) | {"reason": reason}
    grains = found.grains
    others = grains[grains.accepted.astype(bool) & ~grains["class"].isin(CLASSES)]
    fractions = (others.atoms / n).groupby(others.prototype).sum().sort_values(ascending=False)
    return (
        row
        | shares_of_atoms(found)
        | {
            "prototypes": "; ".join(f"{name} {fraction:.4f}" for name, fraction in fractions.items()),
            "grains": len(grains),
            "largest": int(grains.atoms.max()) if len(grains) else 0,
            "reason": None,
        }
    )


# The folder of parts.


def _read_log(folder, task):
    """Return the entries of the log, the task first; none where it is of another task."""
    path = folder / _LOG
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    log = [json.loads(line) for line in lines if line.endswith(b"\n")]
    if not log or (log[0] == task and ("end" in log[-1] or _have(folder, log[-1].get("sizes", {})))):
        return log
    print(f"{folder} is of another input or of other arguments: begun anew", file=sys.stderr)
    return []


def _have(folder, sizes):
    return all((folder / name).exists() and (folder / name).stat().st_size >= size for name, size in sizes.items())


def _begin(folder, task):
    """Empty the folder, and return the first entry of its log."""
    for path in folder.iterdir():
        if path.is_dir():  # a temporary one of `replacing`
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()
    return _note(folder, task)


def _cut(folder, log):
    """Cut the files to what the log has, and return it."""
    sizes = log[-1].get("sizes", {})
    for name in (_FRAMES, *_TABLES):
        if name in sizes:
            os.truncate(folder / name, sizes[name])
        else:
            (folder / name).unlink(missing_ok=True)
    content = (folder / _LOG).read_bytes()
    os.truncate(folder / _LOG, content.rfind(b"\n") + 1)
    return log


def _note(folder, entry):
    """Append an entry to the log, and return it."""
    with _appending(folder, _LOG) as file:
        file.write(json.dumps(entry).encode() + b"\n")
    return entry


def _append(folder, frame, annotated, found, format, types):
    """Append what a frame gives; return the lengths of the files."""
    with _appending(folder, _FRAMES) as file:
        write_frame(file, annotated, format, frame, types)
    if found is not None:
        for name, table in zip(_TABLES, (found.grains.reset_index(names="grain"), found.neighbours), strict=True):
            table = pd.concat({frame: table}, names=["frame"]).reset_index("frame")
            with _appending(folder, name) as file:
                table.to_csv(file, mode="ab", header=file.tell() == 0, index=False)
    return {name: (folder / name).stat().st_size for name in (_FRAMES, *_TABLES) if (folder / name).exists()}


@contextmanager
def _appending(folder, name):
    """Open a file to append to; what was written is on the disk afterwards."""
    with named(folder / name), open(folder / name, "ab") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _finish(folder, target, sizes, table):
    """Put everything in its place; it may be called again if it was interrupted."""
    from xtalsight import plots  # not above: a worker needs no matplotlib

    packed = folder / f"packed{target.suffix}"
    with named(target):
        if target.suffix.lower() in PACKED:
            pack(folder / _FRAMES, packed)
        save_table(folder / "frames.csv", table)
        figure = plots.draw_frames(table).figure
        with replacing(folder / "png") as temporary:
            figure.savefig(temporary, format="png", bbox_inches="tight")
        plots.plt.close(figure)
        for name in _TABLES:
            if name not in sizes:
                beside(target, f".{name}").unlink(missing_ok=True)  # of an earlier run
        _move(packed if packed.exists() else folder / _FRAMES, target)
        for name in (*_TABLES, "frames.csv", "png"):
            _move(folder / name, beside(target, f".{name}"))
        shutil.rmtree(folder)


def _move(path, target):
    """Move a file, unless it was."""
    if path.exists():
        os.replace(path, target)
