"""Write structures with all that is known of each atom: extended XYZ, dumps of LAMMPS, tables; what is written appears
whole or not at all."""

import bz2
import csv
import gzip
import io
import lzma
import os
import re
import shutil
import warnings
from collections.abc import Iterable
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from ase.constraints import FixAtoms
from ase.data import chemical_symbols
from ase.io.extxyz import output_column_format, save_calc_results
from ase.stress import voigt_6_to_full_3x3_stress

from xtalsight.crystals import CLASSES
from xtalsight.store import replacing

FORMATS = {
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".dump": "dump",
    ".lammpstrj": "dump",
    ".lammpsdump": "dump",
    ".csv": "csv",
    ".parquet": "parquet",
}
"""Format of a file by its ending."""

PACKED = (".gz", ".xz", ".bz2")
"""Endings of compressed files."""

_ROWS = 100_000  # that are text at a time
_TILT = 1e-10  # of the longest cell vector: components below are rounding


def format_of(path) -> str:
    """Return the format of a file, a value of `FORMATS`, by its ending; a ValueError if nobody knows it."""
    path = Path(path)
    packed = path.suffix.lower() in PACKED
    format = FORMATS.get(Path(path.stem if packed else path.name).suffix.lower())
    if format is None or (packed and format == "parquet"):
        known = ", ".join(ending for ending in FORMATS if ending != ".parquet")
        raise ValueError(
            f"{path} has no ending that is known: {known}, each alone or with {' or '.join(PACKED)}, and .parquet"
        )
    return format


def beside(path, ending: str) -> Path:
    """Return the path with another ending, that of the compression gone, too: results/a.dump.gz, .png →
    results/a.png."""
    path = Path(path)
    if path.suffix.lower() in PACKED:
        path = path.with_suffix("")
    return path.with_name(path.stem + ending)


def check_target(path, overwrite: bool = False, others: Iterable = (), several: bool = False) -> None:
    """Say now what would hinder writing to `path` after hours of work.

    Parameters
    ----------
    path : path
    overwrite : bool
        Whether files that exist may be replaced.
    others : iterable of path
        That are written, too.
    several : bool
        Whether there is more than one frame.

    Raises
    ------
    ValueError
        An ending that is not known, a file that exists or is a directory, pyarrow that is needed and not installed, or
        several frames for a table.
    """
    format = format_of(path)
    if format == "parquet" and find_spec("pyarrow") is None:
        raise ValueError(f"{path}: Parquet needs pyarrow, which is not installed (pip install pyarrow)")
    if several and format not in ("extxyz", "dump"):
        raise ValueError(f"{path} can hold one frame only: name a file .extxyz or .dump for several")
    for target in map(Path, (path, *others)):
        if target.is_dir():
            raise ValueError(f"{target} is a directory")
        if target.exists() and not overwrite:
            raise ValueError(f"{target} exists and is kept: --overwrite replaces it")


@contextmanager
def named(path):
    """Say errors of the system, a full disk for example, in a sentence that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(f"{path} cannot be written: {os.strerror(error.errno).lower()}") from error


def write_frames(path, frames: Iterable[Atoms], overwrite: bool = False) -> int:
    """Write structures into one file by its ending, one after the other; return their number.

    Extended XYZ holds all per-atom arrays, results of calculators, ``info``, cell and periodicity, and floats to the
    last bit; words in an array lose their blanks ("_"). Arrays of more than two dimensions, of complex numbers or
    objects are left out, here as everywhere.

    Dumps of LAMMPS have the columns ``id type element x y z`` and one for each array, ``name[1]`` and so on for those
    of several columns. But for ``element`` they are numbers, as other programs expect: ``class`` is 0 for none and 1 to
    7 in the order of `xtalsight.crystals.CLASSES`; other arrays of strings, ``prototype`` too, which the grain table
    tells, are left out. Where the cell is not along the axes as LAMMPS likes it, the box is a general triclinic one,
    which LAMMPS writes since 2024. A left-handed cell is told by other vectors that span the same box.

    CSV and Parquet are tables with the columns ``id``, ``element``, ``x``, ``y``, ``z`` (angstrom) and those of the
    arrays, strings as they are.

    Parameters
    ----------
    path : path
        See `FORMATS`; each but Parquet also with .gz, .xz or .bz2.
    frames : iterable of Atoms
        One is in memory at a time.
    overwrite : bool
        Whether a file that exists may be replaced.

    Raises
    ------
    ValueError
        As `check_target`, or there is no frame.
    OSError
        The disk is full, for example. Nothing half-written is left.
    """
    check_target(path, overwrite)
    n, types = 0, {}
    with named(path), replacing(path) as temporary:
        with open_packed(temporary) as file:
            for n, atoms in enumerate(_read(frames), 1):
                check_target(path, True, several=n > 1)
                write_frame(file, atoms, format_of(path), n - 1, types)
        if n == 0:
            raise ValueError(f"{path}: there is no frame to write")
    return n


def _read(frames):
    """Yield frames; an error of the system is not one of writing."""
    try:
        yield from frames
    except OSError as error:
        raise OSError(str(error)) from error


@contextmanager
def open_packed(path):
    """Open a new file for bytes, compressed by its ending; the same content gives the same bytes."""
    suffix = Path(path).suffix.lower()
    with ExitStack() as files:
        raw = file = files.enter_context(open(path, "wb"))
        if suffix == ".gz":  # neither name nor time in its header
            file = files.enter_context(gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0))
        elif suffix in (".xz", ".bz2"):
            file = files.enter_context({".xz": lzma, ".bz2": bz2}[suffix].open(raw, "wb"))
        yield file


def pack(source, target) -> None:
    """Make a file of what `source` holds, compressed by the ending of `target`."""
    with named(target), replacing(target) as temporary, open(source, "rb") as content, open_packed(temporary) as file:
        shutil.copyfileobj(content, file, 1 << 20)


def write_frame(file, atoms: Atoms, format: str, frame: int = 0, types: dict | None = None) -> None:
    """Append a structure to a file that is open for bytes.

    Parameters
    ----------
    file : binary file
    atoms : Atoms
    format : {"extxyz", "dump", "csv", "parquet"}
    frame : int
        Its number, which is the time step where ``info`` tells none.
    types : dict, optional
        Of a dump: LAMMPS' type of each element so far, {symbol: type}, to which new ones are added.
    """
    if format == "parquet":
        atom_table(atoms).to_parquet(file, engine="pyarrow", index=False)
        return
    text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
    if format == "extxyz":
        _write_extxyz(text, atoms)
    elif format == "dump":
        _write_dump(text, atoms, frame, {} if types is None else types)
    else:
        columns = _table_columns(atoms)
        pd.DataFrame(columns=[*columns]).to_csv(text, index=False, lineterminator="\n")
        _write_rows(text, columns, len(atoms), _words)
    text.detach()


def time_of(atoms: Atoms) -> tuple[int | None, float | None]:
    """Return the time step and the time that ``info`` tells; None for what it does not."""
    known = {key.lower(): value for key, value in atoms.info.items() if isinstance(key, str)}

    def number(keys, kind):
        for key in keys:
            try:
                value = float(known[key])
                if kind(value) == value:
                    return kind(value)
            except (KeyError, TypeError, ValueError, OverflowError):
                continue
        return None

    return number(("timestep", "step"), int), number(("time",), float)


def atom_table(atoms: Atoms) -> pd.DataFrame:
    """Return a table with a row for each atom; its strings are categories."""
    columns = _table_columns(atoms).items()
    return pd.DataFrame({name: _words(column) if _is_text(column) else column for name, column in columns})


# What an atom has.


def _everything(atoms):
    """Return info and arrays of a structure, with what its calculator has computed and which atoms are fixed."""
    bare = Atoms(info=atoms.info)
    if getattr(atoms.calc, "results", None):
        save_calc_results(bare, atoms.calc, calc_prefix="", force=True)
        if np.shape(bare.info.get("stress")) == (6,):
            bare.info["stress"] = voigt_6_to_full_3x3_stress(bare.info["stress"])
    arrays = {**atoms.arrays, **{name: values for name, values in bare.arrays.items() if name not in atoms.arrays}}
    fixed = [constraint.index for constraint in atoms.constraints if isinstance(constraint, FixAtoms)]
    if fixed:
        arrays["move_mask"] = np.ones(len(atoms), bool)
        arrays["move_mask"][np.concatenate(fixed)] = False
    arrays = {
        name: _plain(np.asarray(values)) for name, values in arrays.items() if name not in ("numbers", "positions")
    }
    return bare.info, {
        name: values for name, values in arrays.items() if values is not None and len(values) == len(atoms)
    }


def _plain(values):
    """Return an array (n,) or (n, m) as truth values, integers, floats or str; None where that cannot be."""
    if values.ndim not in (1, 2) or 0 in values.shape[1:]:
        return None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    kind = values.dtype.kind
    if kind == "O":
        return values if pd.api.types.infer_dtype(values.ravel(), skipna=False) in ("string", "empty") else None
    if kind in "iu":
        return values.astype(np.int64, copy=False)
    if kind == "f":
        return values if values.dtype.itemsize in (4, 8) else values.astype(float)
    return {"b": values, "U": values, "S": values}.get(kind)


def _is_text(values):
    return values.dtype.kind in "OUS"


def _split(arrays):
    """Return {name: (n,)} of arrays of one or more columns."""
    columns = {}
    for name, values in arrays.items():
        if values.ndim == 1:
            columns[name] = values
        else:
            columns |= {f"{name}[{i + 1}]": values[:, i] for i in range(values.shape[1])}
    return columns


def _symbol(number):
    return chemical_symbols[number] if 0 <= number < len(chemical_symbols) else "X"


def _symbols(atoms):
    elements, which = np.unique(atoms.numbers, return_inverse=True)
    return np.array([*map(_symbol, elements)], object)[which]


def _ids(arrays, n):
    ids = arrays.get("id")
    return ids if ids is not None and ids.dtype.kind == "i" and ids.ndim == 1 else np.arange(1, n + 1)


def _table_columns(atoms):
    _, arrays = _everything(atoms)
    columns = {"id": _ids(arrays, len(atoms))}
    if atoms.info.get("types") is not True:  # elements that are only stand-ins for types are not told
        columns["element"] = _symbols(atoms)
    columns |= dict(zip("xyz", atoms.positions.T, strict=True))
    return columns | {name: column for name, column in _split(arrays).items() if name not in columns}


def _words(values):
    """Return strings as categories."""
    return pd.Categorical(values.astype(str).astype(object) if values.dtype.kind == "S" else values.astype(object))


# Text.


def _tokens(values):
    """Return strings without blanks, as columns between blanks need them."""
    words = _words(values)
    return np.array(["_".join(word.split()) or "_" for word in words.categories], object)[words.codes]


def _write_rows(text, columns, n, of_words, **options):
    """Write columns as text, row by row; floats keep all their bits."""
    for start in range(0, n, _ROWS):
        rows = {name: column[start : start + _ROWS] for name, column in columns.items()}
        rows = pd.DataFrame({name: of_words(part) if _is_text(part) else part for name, part in rows.items()})
        rows.to_csv(text, header=False, index=False, lineterminator="\n", **options)


_BETWEEN_BLANKS = {"sep": " ", "na_rep": "nan", "quoting": csv.QUOTE_NONE}


def _write_extxyz(text, atoms):
    info, others = _everything(atoms)
    arrays = {"symbols": _symbols(atoms), "positions": atoms.positions}
    for name, values in others.items():
        name = re.sub(r"[\s:=\"']+", "_", str(name))
        if name not in arrays and name not in ("species", "pos", "Z"):  # what they are called in the file
            arrays[name] = values
    info = {
        str(key): " ".join(value.splitlines()) if isinstance(value, str) else value
        for key, value in info.items()
        if key not in ("Lattice", "Properties", "pbc")
    }
    if atoms.get_celldisp().any():
        info["Origin"] = atoms.get_celldisp().ravel()  # as OVITO reads it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is in info and cannot be text
        header = output_column_format(Atoms(cell=atoms.cell, pbc=atoms.pbc, info=info), [*arrays], arrays)[0]
    text.write(f"{len(atoms)}\n{header}\n")
    columns = {
        name: np.where(column, "T", "F").astype(object) if column.dtype.kind == "b" else column
        for name, column in _split(arrays).items()
    }
    _write_rows(text, columns, len(atoms), _tokens, **_BETWEEN_BLANKS)


# Dumps of LAMMPS.


def _write_dump(text, atoms, frame, types):
    """Write a frame as LAMMPS' ``dump custom`` does: see `write_frames`."""
    info, arrays = _everything(atoms)
    step, time = time_of(atoms)
    if time is not None:
        text.write(f"ITEM: TIME\n{time}\n")
    text.write(f"ITEM: TIMESTEP\n{frame if step is None else step}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n")
    text.write(_box_bounds(atoms))
    columns = {"id": _ids(arrays, len(atoms)), "type": _types(atoms, arrays, types)}
    if info.get("types") is not True:
        columns["element"] = _symbols(atoms)
    columns |= dict(zip("xyz", atoms.positions.T, strict=True))
    if "class" in arrays and _is_text(arrays["class"]):
        words = _words(arrays["class"])
        numbers = np.array([CLASSES.index(word) + 1 if word in CLASSES else 0 for word in words.categories], int)
        arrays["class"] = numbers[words.codes]
    for name, column in _split(arrays).items():
        name = "_".join(name.split())
        if name not in columns and not _is_text(column):
            columns[name] = column.astype(int) if column.dtype.kind == "b" else column
    text.write(f"ITEM: ATOMS {' '.join(columns)}\n")
    _write_rows(text, columns, len(atoms), _tokens, **_BETWEEN_BLANKS)


def _types(atoms, arrays, types):
    """Return LAMMPS' types: those that the file had, else one for each element."""
    own = arrays.get("type")
    if own is not None and own.dtype.kind == "i" and own.ndim == 1 and own.min(initial=1) > 0:
        return own
    elements, which = np.unique(atoms.numbers, return_inverse=True)
    return np.array([types.setdefault(_symbol(z), len(types) + 1) for z in elements], int)[which]


def _box_bounds(atoms):
    """Return the lines BOX BOUNDS.

    LAMMPS has right-handed boxes only. A vector that is turned round, with the origin moved to its other end, spans the
    same box, so that no atom moves. What is not along the axes then, as LAMMPS likes it, is written as a general
    triclinic box.
    """
    cell, origin, missing = _whole_cell(atoms)
    longest = np.linalg.norm(cell, axis=1).max()
    if np.abs(cell[np.triu_indices(3, 1)]).max() <= _TILT * longest:
        cell = np.tril(cell)
        turned = np.diag(cell) < 0
    else:
        turned = np.array([False, False, np.linalg.det(cell) < 0])
    origin = origin + cell[turned].sum(axis=0)
    cell = np.where(turned[:, None], -cell, cell)
    flags = " ".join("ss" if none else "pp" if p else "ff" for none, p in zip(missing, atoms.pbc, strict=True))
    if np.triu(cell, 1).any():
        labels, rows = "abc origin ", np.column_stack([cell, origin])
    else:
        xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
        low, high = origin, origin + np.diag(cell)
        labels, rows = "", np.column_stack([low, high])
        if xy or xz or yz:  # bounds of what encloses the tilted box
            low = low + [min(0, xy, xz, xy + xz), min(0, yz), 0]
            high = high + [max(0, xy, xz, xy + xz), max(0, yz), 0]
            labels, rows = "xy xz yz ", np.column_stack([low, high, [xy, xz, yz]])
    lines = "".join(" ".join(map(repr, row)) + "\n" for row in rows.tolist())
    return f"ITEM: BOX BOUNDS {labels}{flags}\n{lines}"


def _whole_cell(atoms):
    """Return cell and origin, and which axes had no vector: there the atoms span the box."""
    cell, origin = atoms.cell.array, atoms.get_celldisp().ravel()
    missing = ~cell.any(axis=1)
    if not missing.any():
        return cell, origin, missing
    cell = atoms.cell.complete().array
    places = atoms.positions[np.isfinite(atoms.positions).all(axis=1)] - origin
    places = np.linalg.solve(cell.T, places.T).T if len(places) else np.zeros((1, 3))
    low = np.where(missing, places.min(axis=0), 0)
    width = np.where(missing, np.maximum(np.ptp(places, axis=0), 1), 1)  # no box of LAMMPS is flat
    return cell * width[:, None], origin + low @ cell, missing
