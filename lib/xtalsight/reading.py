"""Read structure files: what ASE reads, and what practice brings besides."""

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path

import ase.io
import gemmi
import numpy as np
import pandas as pd
from ase import Atoms
from ase.cell import Cell
from ase.constraints import FixAtoms
from ase.data import atomic_masses, atomic_numbers
from ase.io.cif import parse_cif
from ase.io.extxyz import XYZError, key_val_str_to_dict, parse_properties, set_calc_and_arrays
from ase.io.formats import UnknownFileTypeError, filetype, ioformats, open_with_compression
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

_PEEK = 50_000  # bytes at the beginning of a file by which its format is told
_UNPACKED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_PIECE, _MUCH, _SWOLLEN = 1 << 22, 1 << 27, 100  # bytes; bytes; times
_COLUMNS = 9999  # of a property in extended XYZ, at most
_ROWS = 100_000  # lines that are parsed at a time
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_THREE = rf"[ \t]*{_NUMBER}[ \t]+{_NUMBER}[ \t]+{_NUMBER}[ \t]*(?:[#!].*)?\n"
_POSCAR = re.compile(
    rf".*\n[ \t]*{_NUMBER}(?:[ \t]+{_NUMBER}[ \t]+{_NUMBER})?[ \t]*(?:[#!].*)?\n(?:{_THREE}){{3}}"
    r"(?:[ \t]*[A-Za-z][\w./-]*(?:[ \t]+[A-Za-z][\w./-]*)*[ \t]*(?:[#!].*)?\n)?"
    r"[ \t]*\d+(?:[ \t]+\d+)*[ \t]*(?:[#!].*)?\n"
)
_LAMMPS_DATA = re.compile(r"^[ \t]*\d+[ \t]+atoms\b(?=[\s\S]*^[^\n#]*\b(?:xlo\s+xhi|avec)\b)", re.MULTILINE)
_CIF = re.compile(r"^[ \t]*data_(?=[\s\S]*^[ \t]*_(?:cell|atom_site)[._])", re.MULTILINE | re.IGNORECASE)
_PDB = re.compile(r"^(?:ATOM  |HETATM).{24}(?:[ \d-]{4}\.\d{3}){3}", re.MULTILINE)

# Metals alone: hydrogen would be taken for a ligand, and helium for a gas.
_STAND_INS = [*range(21, 31), *range(39, 49), *range(57, 81)]

# Atom styles of LAMMPS: column of the type, and of x; the columns beyond z, image flags too, are not needed.
_ATOM_STYLES = {
    **dict.fromkeys(("atomic", "spin", "hybrid", "tdpd"), (1, 2)),
    **dict.fromkeys(("charge", "dipole", "dielectric", "dpd", "mdpd"), (1, 3)),
    **dict.fromkeys(("molecular", "bond", "angle"), (2, 3)),
    **dict.fromkeys(("sphere", "ellipsoid", "peri", "body", "edpd"), (1, 4)),
    **dict.fromkeys(("sph", "electron"), (1, 5)),
    "full": (2, 4),
    **dict.fromkeys(("bpm/sphere", "line", "tri"), (2, 5)),
}
_SECTION = re.compile(r"[A-Z][A-Za-z]*(?:\s+[A-Z][A-Za-z]*)*")

# Of the shortest cell vector. Coordinates of two digits, 0.33 for 1/3, have images 0.01 apart; atoms are further than
# 0.1 apart.
_SAME_PLACE = 0.015
_ROUNDING = 0.02  # a sum of occupancies that is this near to one is one: thrice 0.33


def read_structures(path) -> Iterator[Atoms]:
    """Read the frames of a structure file, one after the other.

    LAMMPS dumps and data files, CIF, PDB, POSCAR and XDATCAR, pymatgen's JSON, by content whatever their name, and
    what else ASE reads. What a file does not say is not made up: where LAMMPS tells types of atoms but no elements,
    different types get different metals as stand-ins, and ``info["types"]`` is True. Where sites of a CIF or of
    pymatgen's JSON are occupied in part or by several elements, the atom is of the element with the largest share,
    ``info["occupancy"]`` is {kind: {symbol: share}} as ASE has it, with the integers of
    ``arrays["spacegroup_kinds"]`` as strings for kinds, and ``arrays["occupancy"]`` is the sum of the shares at each
    atom's site (1 where it differs from 1 by rounding). Without such sites there are none of the three. Of dumps of
    LAMMPS, ``arrays`` has all other columns, too, and ``info`` has ``timestep`` and ``time``. An axis without cell
    vector is not periodic.

    Raises
    ------
    ValueError
        One clear sentence: no such file, a directory, an empty file, not a structure file, or a broken one. The whole
        frames before the place where it breaks were yielded.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory: name the files in it")
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    if not path.is_file():
        raise ValueError(f"{path} is no file, but a device or a pipe")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    frames = 0
    format = None
    try:
        _check_unpacked(path)
        format = _format(path)
        read = _read_extxyz if format == "extxyz" else _READERS.get(format)
        for atoms in _quietly(_read_with_ase(path, format) if read is None else read(path)):
            atoms.pbc &= atoms.cell.any(axis=1)
            frames += 1
            yield atoms
    except UnknownFileTypeError as error:
        raise ValueError(f"{path} is of no format that is recognised") from error
    except Exception as error:  # readers of broken files raise nearly anything
        if isinstance(error, OSError) and error.errno is not None:
            raise
        beyond = f" beyond its first {frames} structure{'s' if frames > 1 else ''}" if frames else ""
        raise ValueError(f"{path} cannot be read{beyond}: {_reason(error, format)}") from error
    if frames == 0:
        raise ValueError(f"{path} holds no structure that is recognised")


def _check_unpacked(path):
    """Refuse compressed data whose first 128 MB are made to swell; atoms of simulations shrink to a tenth, not to a
    hundredth."""
    if path.suffix not in _UNPACKED:
        return
    unpacked = 0
    with open(path, "rb") as packed, _UNPACKED[path.suffix](packed) as file:
        while unpacked <= _MUCH:
            try:
                some = file.read(_PIECE)
            except (EOFError, OSError, zlib.error, lzma.LZMAError):
                return  # cut off or broken: the reader says so, after the whole frames
            if not some:
                return
            unpacked += len(some)
        if unpacked > _SWOLLEN * packed.tell():
            raise ValueError(f"its compressed data swell to more than {_SWOLLEN} times their size")


def _format(path):
    """Return ASE's name of the format, told by the first bytes of a file, else by its name."""
    with open_with_compression(str(path), "rb") as file:
        head = file.read(_PEEK)
    suffix = Path(path.stem if path.suffix in (".gz", ".bz2", ".xz") else path).suffix.lower()
    if re.match(rb"\x80[\x02-\x05]", head) or suffix in (".pckl", ".pkl", ".pickle"):
        raise ValueError("it is a pickle of Python, which could run any program: write it as extxyz or CIF")
    text = head.decode("latin-1").removeprefix("ï»¿").replace("\r\n", "\n")  # of UTF-8, as some editors
    if re.search(r"^ITEM: (?:TIMESTEP|UNITS|TIME)\s*$", text, re.MULTILINE):
        return "lammps-dump-text"
    if suffix == ".json" or (text.lstrip()[:1] in ("{", "[") and suffix.strip(".") not in ("cjson", "nomad-json")):
        return "json"
    if suffix in (".cif", ".mcif") or _CIF.search(text):
        return "cif"
    if _LAMMPS_DATA.search(text):
        return "lammps-data"
    if suffix == ".pdb" or _PDB.search(text):
        return "proteindatabank"
    if _POSCAR.match(text):
        return "vasp-xdatcar" if re.search(r"^\s*(?:Direct|Cartesian) configuration=", text, re.MULTILINE) else "vasp"
    format = filetype(str(path.absolute()))  # a name that begins with "mysql" would else be taken for a data base
    if format not in ioformats or not ioformats[format].can_read:
        raise UnknownFileTypeError(format)
    return format


def _read_with_ase(path, format):
    return ase.io.iread(path.absolute(), index=":", format=format, do_not_split_by_at_sign=True)


def _quietly(frames):
    """Yield the frames; what their reader warns of or prints is not for our users."""
    frames = iter(frames)
    while True:
        # Not around the yield: it would silence the caller, too.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            atoms = next(frames, None)
        if atoms is None:
            return
        yield atoms


def _reason(error, format):
    """Say in words why a reader stopped."""
    message = " ".join(str(error).split())[:300]
    of_compression = EOFError, zlib.error, lzma.LZMAError, OSError
    if isinstance(error, of_compression) and not type(error).__module__.startswith("ase"):
        return "its compressed data are broken or cut off"
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    reader = "its reader" if format in _READERS else f"its reader (ASE, format {format})"
    if word := re.search(r"(?:could not convert string|invalid literal for int\(\)).*?(['\"].*['\"])", message):
        return f"{reader} finds {word[1].replace(chr(92) + 'n', '')[:60]} where a number should be"
    if isinstance(error, _TooManyColumns) or ((format is None or format in _READERS) and type(error) is ValueError):
        return message
    if isinstance(error, ImportError):
        return f"{reader} needs {error.name}, which is not installed"
    if isinstance(error, KeyError) and error.args:
        return f"{reader} knows no element or entry of the name {error.args[0]!r}"
    of_the_code = (
        LookupError,
        AttributeError,
        TypeError,
        NameError,
        AssertionError,
        ArithmeticError,
        NotImplementedError,
    )
    of_arrays = re.search("broadcast|inhomogeneous|assign tuple|unpack|empty sequence|concatenate|reshape", message)
    if isinstance(error, of_the_code) or isinstance(error.__cause__, StopIteration) or of_arrays or not message:
        return f"{reader} does not find what it expects: it is cut off or not of this format"
    return f"{reader} stops at: {message}"


def _open(path):
    """Open as text; comments may be in any encoding."""
    with open_with_compression(str(path), "rb") as file:
        yield from io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")


def _symbol(label):
    """Return the symbol of the element that a label like Fe3+, FE1 or O2- begins with; None if there is none."""
    letters = re.match(r"[A-Za-z]{0,2}", label.strip()).group()
    for symbol in (letters.capitalize(), letters[:1].upper()):
        if symbol == "D":
            return "H"
        if atomic_numbers.get(symbol):
            return symbol
    return None


def _numbers_of_masses(masses):
    """Return the atomic numbers for {type: mass}; None if one is of no element, or all are 1 (reduced units)."""
    if not masses or set(masses.values()) == {1.0}:
        return None
    numbers = {key: 1 + int(np.abs(atomic_masses[1:] - mass).argmin()) for key, mass in masses.items()}
    known = all(abs(atomic_masses[numbers[key]] - mass) < 0.01 * mass for key, mass in masses.items())
    return numbers if known else None


# LAMMPS. ASE reads no dump without boundary labels, goes over each frame twice, and knows five atom styles only.


def _read_lammps_dump(path):
    """Yield the frames of a dump as they come: one is in memory at a time."""
    lines = _open(path)
    frame, names = 1, {}
    n, box, info, begun = None, None, {}, False
    for line in lines:
        item = re.match(r"ITEM: (NUMBER OF ATOMS|BOX BOUNDS|ATOMS|[A-Z]+)\b(.*)", line)
        if not item:
            if not line.endswith("\n"):
                begun = True
            elif line.strip():
                raise ValueError(f"in frame {frame} it has {line.strip()[:40]!r} where a line ITEM should be")
            continue
        begun = True
        if item[1] == "BOX BOUNDS":
            box = item[2].split(), list(islice(lines, 3))
        elif item[1] != "ATOMS":  # TIMESTEP, NUMBER OF ATOMS, UNITS, TIME
            value = next(lines, "")
            if item[1] == "NUMBER OF ATOMS" and value:
                if not value.strip().isdigit():
                    raise ValueError(f"frame {frame} has {value.strip()[:40]!r} for a number of atoms")
                n = int(value)
            elif item[1] in ("TIMESTEP", "TIME") and re.fullmatch(_NUMBER, value.strip()):
                info[item[1].lower()] = float(value) if item[1] == "TIME" else int(float(value))
        elif n is None or box is None:
            raise ValueError(f"frame {frame} does not tell its number of atoms or its box")
        else:
            columns = item[2].split()
            blocks, whole = _take_rows(lines, n, len(columns))
            if whole < n:
                raise ValueError(f"it ends in the middle of frame {frame}, after {whole} of {n} atoms")
            atoms = _lammps_frame(blocks, n, columns, box, names)
            atoms.info |= info
            yield atoms
            frame, n, box, info, begun = frame + 1, None, None, {}, False
    if begun:
        raise ValueError(f"it ends in the middle of frame {frame}")


def _take_rows(lines, n, width):
    """Take the n rows of a frame, joined to blocks; tell how many of them are whole: fewer than n where it breaks
    off."""
    blocks, whole, last = [], 0, ""
    while whole < n and (rows := list(islice(lines, min(_ROWS, n - whole)))):
        blocks.append("".join(rows))
        end = next((i for i, row in enumerate(rows) if row.startswith("ITEM:")), None)
        if end is not None:
            return blocks, whole + end
        whole, last = whole + len(rows), rows[-1]
    return blocks, whole - (whole > 0 and len(last.split()) < width)


def _numbers_in(blocks, columns, n):
    """Return columns of blocks of n rows as numbers, (n, n_columns)."""
    values, end = np.empty((n, len(columns))), 0
    for block in blocks:
        some = np.loadtxt(block.split("\n"), comments=None, usecols=columns, ndmin=2)
        values[end : end + len(some)] = some
        end += len(some)
    if end < n:
        raise ValueError(f"{n - end} of the lines where its atoms should be are empty")
    return values


def _words_in(blocks, column, n):
    """Return the words in a column of blocks of n rows, in the order in which they come, and for each row the index of
    its, (n,)."""
    words, which, end = {}, np.empty(n, np.int32), 0
    for block in blocks:
        some = np.loadtxt(block.split("\n"), str, comments=None, usecols=[column], ndmin=1)
        of_some, its = pd.factorize(some.astype(object))
        index = np.array([words.setdefault(word, len(words)) for word in its], np.int32)
        which[end : end + len(some)] = index[of_some]
        end += len(some)
    if end < n:
        raise ValueError(f"{n - end} of the lines where its atoms should be are empty")
    return [*words], which


def _lammps_frame(blocks, n, columns, box, names):
    """Return one frame; `names` are those of the types so far, if they have any, with the number of each."""

    def table(*of):
        return _numbers_in(blocks, [columns.index(name) for name in of], n)

    cell, origin, periodic = _lammps_box(*box)
    arrays = {}
    for kind in ("", "s", "u", "su"):
        if {f"x{kind}", f"y{kind}", f"z{kind}"} <= set(columns):
            arrays["positions"] = table(f"x{kind}", f"y{kind}", f"z{kind}")
            if "s" in kind:
                arrays["positions"] = arrays["positions"] @ cell + origin
            break
    else:
        raise ValueError("its frames have no columns of coordinates: x y z, xs ys zs, xu yu zu or xsu ysu zsu")
    for column in [name for name in ("typelabel", "element") if name in columns]:  # the last counts
        symbols, which = _words_in(blocks, columns.index(column), n)
        numbers = [atomic_numbers.get(symbol.capitalize()) for symbol in symbols]
        if all(numbers):
            arrays["numbers"] = np.array(numbers, int)[which]
    if "numbers" not in arrays and "mass" in columns:
        masses, which = np.unique(table("mass"), return_inverse=True)
        if numbers := _numbers_of_masses({mass: mass for mass in masses.tolist()}):
            arrays["numbers"] = np.array([*numbers.values()], int)[which.ravel()]
    arrays["type"] = np.ones(n, int)
    if named := {"element", "typelabel", "type"} & set(columns):
        types, which = _words_in(blocks, columns.index("type" if "type" in named else min(named)), n)
        arrays["type"] = _numbered(types, names)[which]
    order = np.argsort(table("id")[:, 0], kind="stable") if "id" in columns else None
    told = {f"{axis}{kind}" for axis in "xyz"} | {"type", "element", "typelabel", "positions", "numbers", "momenta"}
    arrays |= _other_columns(blocks, columns, told)
    blocks.clear()  # they are as large as the atoms
    return _of_arrays(arrays, cell, origin, periodic, order)


def _other_columns(blocks, columns, told):
    """Yield names and values of the columns that are not told yet, numbers where all are."""
    places = {name: i for i, name in reversed([*enumerate(columns)]) if name not in told}
    if not places or not blocks:
        return
    parts = [_parse(block, [*places.values()]) for block in blocks]
    for name in (name for name in columns if name in places):
        place = places.pop(name)
        of_name = [part.pop(place) for part in parts]
        kinds = {values.dtype.kind for values in of_name}
        if not (kinds <= set("iuf") or kinds == {"b"}):
            if kinds & set("biuf"):  # words in some of the blocks only
                of_name = [_parse(block, [place], dtype=str)[place] for block in blocks]
            of_name = [values.to_numpy(object).astype(str) for values in of_name]
        yield name, np.concatenate(of_name)


def _parse(block, places, **options):
    """Return columns of rows, {place: values}."""
    table = pd.read_csv(
        io.StringIO(block),
        sep=r"\s+",
        header=None,
        usecols=places,
        quoting=csv.QUOTE_NONE,
        keep_default_na=False,
        na_values=["nan", "-nan", "NaN"],
        **options,
    )
    return {place: table[place] for place in places}


def _lammps_box(labels, lines):
    """Return cell vectors (3, 3), origin (3,) and periodicity (3,) of the lines BOX BOUNDS."""
    try:
        bounds = np.array([line.split() for line in lines], float)
    except ValueError as error:
        raise ValueError("the lines BOX BOUNDS in it are not all of two or three numbers") from error
    if bounds.shape != (3, 4 if "abc" in labels else 3) and bounds.shape != (3, 2):
        raise ValueError("the lines BOX BOUNDS in it are not all of two or three numbers")
    flags = [label for label in labels if re.fullmatch("[pfsm]{2}", label)]
    periodic = [flag[0] == "p" for flag in flags] if len(flags) == 3 else True  # older programs write no labels
    if "abc" in labels:
        return bounds[:, :3], bounds[:, 3], periodic
    xy, xz, yz = bounds[:, 2] if bounds.shape[1] > 2 else (0.0, 0.0, 0.0)
    low, high = bounds[:, 0], bounds[:, 1]  # of what encloses the tilted cell
    low = low - [min(0, xy, xz, xy + xz), min(0, yz), 0]
    high = high - [max(0, xy, xz, xy + xz), max(0, yz), 0]
    cell = np.diag(high - low)
    cell[1, 0], cell[2, :2] = xy, (xz, yz)
    return cell, low, periodic


def _numbered(types, names):
    """Return the numbers of types, from one; those with names get numbers in the order in which they come."""
    if all(name.isdigit() for name in types):
        return np.array([int(name) for name in types], int)
    return np.array([names.setdefault(name, len(names) + 1) for name in types], int)


def _of_arrays(arrays, cell, origin, periodic, order):
    """Return atoms in another order, stand-ins for types where there are no ``numbers``; the arrays, which may be
    large, go one by one."""

    def take(name):
        values = arrays.pop(name)
        return values if order is None else values[order]

    stand_ins = np.array(_STAND_INS)[(arrays["type"] - 1) % len(_STAND_INS)]
    has_elements = arrays.setdefault("numbers", stand_ins) is not stand_ins
    atoms = Atoms(numbers=take("numbers"), positions=take("positions"), cell=cell, pbc=periodic, celldisp=origin)
    for name in [*arrays]:
        atoms.set_array(name, take(name))
    if not has_elements:
        atoms.info["types"] = True
    return atoms


def _read_lammps_data(path):
    """Yield the structure of a data file; it is periodic, and so image flags do not matter."""
    lines = _open(path)
    next(lines)  # a comment, whatever it looks like
    header, sections, comments, section = {}, {"Masses": [], "Atom Type Labels": []}, {}, None
    rows, blocks, n, whole, last = [], [], 0, 0, ""
    for line in lines:
        content, _, comment = line.partition("#")
        content = content.strip()
        if content[:1].isupper() and _SECTION.fullmatch(content):
            section = " ".join(content.split())
            comments[section] = comment.strip()
            n = int(header["atoms"][0]) if section == "Atoms" else n
        elif content and section is None:
            values = [word for word in content.split() if re.fullmatch(_NUMBER, word)]
            header[" ".join(content.split()[len(values) :])] = [float(value) for value in values]
        elif content and section == "Atoms":
            if whole < n:
                rows.append(content)
                whole, last = whole + 1, content
            if len(rows) == _ROWS:
                blocks.append("\n".join(rows))
                rows.clear()
        elif content and section in sections:
            sections[section].append((content.split(), comment.strip()))
    if "Atoms" not in comments:
        raise ValueError("it is a LAMMPS data file without a section Atoms")
    blocks += ["\n".join(rows)] if rows else []
    first = [row.split() for row in blocks[0].split("\n", 1000)[:1000]] if blocks else []
    width = len(first[0]) if first else 0
    whole -= bool(first and len(last.split()) < width)
    if whole < n:
        raise ValueError(f"it ends in the middle of its section Atoms, after {whole} of {n} atoms")
    type_names = {words[1]: int(words[0]) for words, _ in sections["Atom Type Labels"]}
    known = {*map(str, range(1, int(header.get("atom types", [1000])[0]) + 1))} | set(type_names)
    style = (comments["Atoms"].split() or [""])[0].lower()
    if style not in _ATOM_STYLES:
        style = _atom_style(first, known)
    of_type, of_x = _ATOM_STYLES[style]
    if first and width < of_x + 3:
        raise ValueError(f"its atoms have {width} columns, too few for the atom style {style!r}")
    names, which = _words_in(blocks, of_type, n)
    if unknown := set(names) - known:
        raise ValueError(f"it has atoms of the type {min(unknown)!r}, which its header does not know")
    types = [type_names.get(name) or int(name) for name in names]
    arrays = {"type": np.array(types, int)[which]}
    if numbers := _numbers_of_types(set(types), type_names, sections["Masses"]):
        arrays["numbers"] = np.array([numbers[t] for t in types], int)[which]
    cell, origin = _lammps_cell(header)
    order = np.argsort(_numbers_in(blocks, [0], n)[:, 0], kind="stable")
    arrays["positions"] = _numbers_in(blocks, range(of_x, of_x + 3), n)
    blocks.clear()
    yield _of_arrays(arrays, cell, origin, True, order)


def _atom_style(table, known):
    """Tell the atom style by the columns: a type is one of the `known` words."""
    width = len(table[0]) if table else 5
    flags = width in (8, 9, 10) and all(re.fullmatch(r"[-+]?\d+", word) for row in table for word in row[-3:])
    third = all(row[2] in known for row in table)
    style = {5: "atomic", 6: "molecular" if third else "charge", 7: "full" if third else "sphere"}.get(
        width - 3 * flags
    )
    if style is None:
        raise ValueError(
            f"its {width} columns do not tell its atom style: name it in a comment, 'Atoms # charge' for example"
        )
    return style


def _numbers_of_types(types, type_names, mass_rows):
    """Return atomic numbers of the types by names, masses or the comments on these; None if nothing tells."""
    masses, by_comment = {}, {}
    for words, comment in mass_rows:
        of = type_names.get(words[0]) or int(words[0])
        masses[of], by_comment[of] = float(words[1]), (comment.split() or [""])[0]
    of_masses = _numbers_of_masses({t: masses[t] for t in types}) if types <= set(masses) else None
    for names in ({number: name for name, number in type_names.items()}, by_comment):
        if types and all(atomic_numbers.get(names.get(t)) for t in types):
            named = {t: atomic_numbers[names[t]] for t in types}
            return named if names is not by_comment else of_masses or named
    return of_masses


def _lammps_cell(header):
    """Return cell vectors and origin of the header of a data file."""
    if {"avec", "bvec", "cvec"} <= set(header):
        return np.array([header[f"{axis}vec"] for axis in "abc"]), np.array(header.get("abc origin", np.zeros(3)))
    edges = ("xlo xhi", "ylo yhi", "zlo zhi")
    if not set(edges) <= set(header):
        raise ValueError("its header does not tell xlo xhi, ylo yhi and zlo zhi")
    low, high = np.array([header[edge] for edge in edges]).T
    cell = np.diag(high - low)
    cell[1, 0], cell[2, 0], cell[2, 1] = header.get("xy xz yz", np.zeros(3))
    return cell, low


# CIF. ASE takes rhombohedral axes for hexagonal, does not know all suffixes of symbols, and makes several atoms of one
# at 0.333, 0.667.


def _read_cif(path):
    for tags in _cif_blocks("".join(_open(path))):
        if any(f"_atom_site_{axis}_x" in tags for axis in ("fract", "cartn")):
            yield _cif_structure(tags)


def _cif_blocks(text):
    """Yield the blocks as {tag: value or values}.

    gemmi keeps to the rules; ASE reads what breaks them, a symbol without quotes for example.
    """
    try:
        blocks = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        where = re.match(r"string:(\d+)", str(error))
        line = f" in line {where[1]}" if where else ""
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", "Wrong number")  # it would leave out atoms
                blocks = list(parse_cif(io.BytesIO(text.encode("latin-1", "replace"))))
        except Exception:  # noqa: BLE001  readers of broken files raise nearly anything
            raise ValueError(f"its CIF is cut off or breaks the rules of CIF{line}") from error
        for block in blocks:
            yield {tag: [*map(str, v)] if isinstance(v, list) else str(v) for tag, v in block.items()}
        return
    for block in blocks:
        tags = {}
        for item in block:
            if item.pair:
                tags[item.pair[0].lower()] = gemmi.cif.as_string(item.pair[1])
            elif item.loop:
                values = [gemmi.cif.as_string(value) for value in item.loop.values]
                width = len(item.loop.tags)
                tags |= {tag.lower(): values[i::width] for i, tag in enumerate(item.loop.tags)}
        yield tags


def _first(tags, *names):
    """Return the first of these that is told, as a list; [] if none is."""
    for name in names:
        values = tags.get(name, [])
        values = [values] if isinstance(values, str) else values
        if any(value not in ("", ".", "?") for value in values):
            return values
    return []


def _decimals(values, what):
    """Return numbers without their uncertainties: 0.333(2)."""
    try:
        return np.array([float(value.partition("(")[0]) for value in values])
    except ValueError as error:
        raise ValueError(f"{what} in its CIF must be numbers: {str(error).rpartition(': ')[2]} is none") from error


def _cif_structure(tags):
    """Return the structure of a block of a CIF with all atoms of the cell."""
    cartesian = not _first(tags, "_atom_site_fract_x")
    columns = [_first(tags, f"_atom_site_{'cartn' if cartesian else 'fract'}_{axis}") for axis in "xyz"]
    n = max(map(len, columns))
    labels = _first(tags, "_atom_site_label") or [""] * n
    of_type = _first(tags, "_atom_site_type_symbol") or labels
    shares = _first(tags, "_atom_site_occupancy") or ["1"] * n
    if {*map(len, columns), len(labels), len(of_type), len(shares)} != {n}:
        raise ValueError("its CIF does not tell x, y and z of each atom")
    sites = [
        i for i, place in enumerate(zip(*columns, strict=True)) if not {"?", "."} & set(place)
    ]  # others are dummies
    places = _decimals([column[i] for i in sites for column in columns], "coordinates").reshape(-1, 3)
    shares = _decimals(["1" if shares[i] in ("?", ".") else shares[i] for i in sites], "occupancies")
    symbols = [_symbol(of_type[i]) or _symbol(labels[i]) or "X" for i in sites]
    lengths = [_first(tags, f"_cell_length_{edge}") for edge in "abc"]
    angles = [_first(tags, f"_cell_angle_{angle}") for angle in ("alpha", "beta", "gamma")]
    if cartesian and not any(lengths):
        return _with_occupancies(
            [{s: o} for s, o in zip(symbols, shares, strict=True)], np.arange(len(sites)), places, None
        )
    if not all(lengths + angles):
        raise ValueError("its CIF does not tell all three lengths and angles of the cell")
    parameters = _decimals([value[0] for value in lengths + angles], "lengths and angles of the cell")
    cell = Cell.new(parameters).array if (parameters[3:] < 180).all() else np.full((3, 3), np.nan)
    if (
        not np.isfinite(cell).all()
        or abs(np.linalg.det(cell)) < 1e-6 * parameters[:3].prod()
        or not (parameters > 0).all()
    ):
        raise ValueError("the lengths and angles in its CIF make no cell")
    places = places @ np.linalg.inv(cell) if cartesian else places
    rotations, translations = _cif_operations(tags, parameters)
    at, places = _all_places(places, cell, rotations, translations)
    # Sites on one spot, of a solid solution, are one kind: that of the first of them.
    kinds = np.array([members[0] for members in at], int)
    mixed = {}
    for kind, members in zip(kinds.tolist(), at, strict=True):
        if kind not in mixed:
            mixed[kind] = {}
            for i in members:
                mixed[kind][symbols[i]] = mixed[kind].get(symbols[i], 0.0) + float(shares[i])
            if shares[members].min(initial=1) == 1:  # one atom, told more than once
                mixed[kind] = {symbols[members[0]]: 1.0}
    return _with_occupancies(mixed, kinds, places @ cell, cell)


def _cif_operations(tags, parameters):
    """Return rotations (n, 3, 3) and translations (n, 3): as listed, or those of the symbol or number of the group."""
    if "_space_group_symop_magn_operation.xyz" in tags:
        raise ValueError("it is a magnetic CIF, the symmetry of which is not read")
    listed = _first(
        tags, "_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz", "_symmetry_equiv_pos_as_xyz"
    )
    if listed:
        try:
            operations = [gemmi.Op(operation) for operation in listed]
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"an operation of symmetry in its CIF is none: {error}") from error
    else:
        operations = list(_cif_group(tags, parameters).operations())
    # Each once, or the mean over the images next to a special position is not on it.
    operations = {operation.triplet(): operation for operation in (gemmi.Op("x,y,z"), *operations)}.values()
    rotations, translations = (np.array([getattr(o, part) for o in operations]) for part in ("rot", "tran"))
    return rotations / gemmi.Op.DEN, translations / gemmi.Op.DEN


def _cif_group(tags, parameters):
    """Return the space group in its setting: of trigonal groups the shape of the cell tells the axes."""
    rhombohedral = np.ptp(parameters[:3]) < 1e-3 * parameters[0] and np.ptp(parameters[3:]) < 0.01
    hall = _first(tags, "_space_group_name_hall", "_symmetry_space_group_name_hall")
    symbol = _first(tags, "_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group.name_h-m_alt")
    number = _first(tags, "_space_group_it_number", "_symmetry_int_tables_number", "_space_group.it_number")
    code = _first(tags, "_space_group_it_coordinate_system_code", "_space_group.it_coordinate_system_code")
    if hall:
        normal = "".join(hall[0].split()).lower()
        for group in gemmi.spacegroup_table():
            if "".join(group.hall.split()).lower() == normal:
                return group
    # ICSD writes Z (at the centre of inversion) and S for the second and first choice of the origin.
    suffixed = (
        re.fullmatch(r"(.+?)\s*(?::\s*([12SZHR])S?|([SZHR])S?)", symbol[0].strip(), re.IGNORECASE) if symbol else None
    )
    choice = (suffixed[2] or suffixed[3]).upper() if suffixed else code[0] if code else ""
    prefer = {"1": "1", "S": "1", "2": "2", "Z": "2"}.get(choice, "1") + ("R" if rhombohedral else "H")
    for name in (suffixed[1] if suffixed else symbol[0] if symbol else None, _name_of_number(number)):
        if name and (group := gemmi.find_spacegroup_by_name(name, prefer=prefer)):
            return group
    if symbol or number:
        raise ValueError(f"its CIF has a space group that is in no table: {(symbol or number)[0]!r}")
    return gemmi.SpaceGroup("P 1")


def _name_of_number(number):
    group = gemmi.find_spacegroup_by_number(int(number[0])) if number and number[0].isdigit() else None
    return group.hm if group else None


def _all_places(places, cell, rotations, translations):
    """Return all places in a cell, fractional, and which sites are on each.

    A site near a special position is brought there: the mean over its images next to it.

    Parameters
    ----------
    places : ndarray, shape (n, 3)
        Fractional coordinates of the sites.

    Returns
    -------
    at : list of list of int
        Sites on each place.
    places : ndarray, shape (m, 3)
    """
    near = min(_SAME_PLACE * np.linalg.norm(cell, axis=1).min(), 0.2)

    def images_of(places):
        return np.einsum("oij,sj->soi", rotations, places) + translations

    shifts = images_of(places) - places[:, None]
    shifts -= np.round(shifts)
    next_to = (np.linalg.norm(shifts @ cell, axis=2) < near)[..., None]
    images = images_of(places + (shifts * next_to).sum(axis=1) / next_to.sum(axis=1)) % 1
    site = np.repeat(np.arange(len(places)), len(rotations))
    images = images.reshape(-1, 3)
    # Nearly all that coincide; the others are found below. Without this a site at rest would have 192² pairs.
    _, kept = np.unique(np.column_stack((site, np.round(images, 6) % 1)), axis=0, return_index=True)
    kept.sort()
    images, site = images[kept] % 1, site[kept]
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    pairs = cKDTree(images, boxsize=1).query_pairs(min(near / heights.min(), 0.45) * 3**0.5, output_type="ndarray")
    apart = images[pairs[:, 0]] - images[pairs[:, 1]]
    pairs = pairs[np.linalg.norm((apart - np.round(apart)) @ cell, axis=1) < near]
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(images),) * 2)
    _, place = connected_components(links, directed=False)
    _, first = np.unique(place, return_index=True)
    at = [[] for _ in first]
    for i, s in zip(place.tolist(), site.tolist(), strict=True):
        if s not in at[i]:
            at[i].append(s)
    order = np.argsort(first)
    return [at[i] for i in order], images[first[order]]


def _with_occupancies(shares, kinds, positions, cell):
    """Return atoms with the occupancies of their kinds, {symbol: share} each, where these are not all one."""
    symbols = [max(shares[kind], key=shares[kind].get) for kind in kinds.tolist()]
    atoms = Atoms(symbols, positions, cell=cell, pbc=cell is not None)
    present = set(kinds.tolist())
    if any(share != 1 for kind in present for share in shares[kind].values()):
        totals = {kind: sum(shares[kind].values()) for kind in present}
        totals = {kind: 1.0 if total > 1 - _ROUNDING else total for kind, total in totals.items()}
        atoms.info["occupancy"] = {str(kind): dict(shares[kind]) for kind in sorted(present)}
        atoms.set_array("spacegroup_kinds", kinds)
        atoms.set_array("occupancy", np.array([totals[kind] for kind in kinds.tolist()]))
    return atoms


# Extended XYZ. ASE's reader needs a kilobyte for each atom, and goes over the file before it yields a frame.


def _read_extxyz(path):
    """Yield the frames of extended XYZ as ASE does, but block by block. The first frame that is not plain, and those
    behind it, are left to ASE."""
    frames, n = _read_plain_extxyz(path), 0
    while True:
        try:
            atoms = next(frames, None)
        except (OSError, EOFError, MemoryError, _TooManyColumns, zlib.error, lzma.LZMAError):  # ASE could do no better
            raise
        except Exception:  # noqa: BLE001  ASE can read it, or says what is wrong
            break
        if atoms is None:
            return
        yield atoms
        n += 1
    yield from islice(_read_with_ase(path, "extxyz"), n, None)


def _read_plain_extxyz(path):
    with open_with_compression(str(path), "rb") as file:
        lines = io.TextIOWrapper(file, encoding="utf-8")
        head = next(lines, "")
        while head.strip():
            atoms = _extxyz_frame(lines, int(head))
            head = next(lines, "")
            if head.lstrip().startswith("VEC"):
                raise ValueError("a cell in lines of its own")
            yield atoms


class _TooManyColumns(ValueError):
    """More than any file has, and than there is memory for."""


def _extxyz_frame(lines, n):
    """Return one frame; what ASE does with its columns is done to them as a whole."""
    if n < 1:
        raise ValueError("no atoms")
    comment = next(lines).strip()
    info = key_val_str_to_dict(comment) if comment else {}
    cell = info.pop("Lattice", None)
    pbc = info.pop("pbc", None if cell is None else True)
    properties = info.pop("Properties", "species:S:1:pos:R:3")
    if any(len(count) > len(str(_COLUMNS)) for count in re.findall(r":[SRIL]:(\d+)", properties)):
        raise _TooManyColumns(f"its Properties, {properties[:60]!r}, have too many columns")
    told, names, fields, _ = parse_properties(properties)
    arrays = {told[name][0]: None for name in names}
    if len(arrays) < len(names):
        raise ValueError("one property twice")
    shared = {}  # words, of which the same one is kept once
    for begin in range(0, n, _ROWS):
        rows = list(islice(lines, min(_ROWS, n - begin)))
        if len(rows) < min(_ROWS, n - begin):
            raise XYZError(f"Frame has {begin + len(rows)} atoms, expected {n}")
        columns = _extxyz_columns(rows, fields)
        for name in names:
            own, width = told[name]
            values = columns[name] if width == 1 else np.stack([columns[f"{name}{i}"] for i in range(width)], axis=1)
            if values.dtype.kind == "U":
                which, words = pd.factorize(values.astype(object).ravel())
                if own == "symbols" and width == 1:
                    words = np.array([atomic_numbers.get(word.capitalize(), -1) for word in words])
                else:
                    words = np.array([shared.setdefault(word, word) for word in words], object)
                values = words[which].reshape(values.shape)
            if begin == 0:
                arrays[own] = np.empty((n, *values.shape[1:]), values.dtype)
            arrays[own][begin : begin + len(rows)] = values
    numbers, symbols = arrays.pop("numbers", None), arrays.pop("symbols", None)
    numbers = symbols if numbers is None else numbers
    if numbers is not None and (
        numbers.dtype.kind != "i" or numbers.ndim != 1 or (numbers is symbols and numbers.min() < 0)
    ):
        raise ValueError("no elements")
    atoms = Atoms(
        numbers=numbers,
        positions=arrays.pop("positions", None),
        charges=arrays.pop("initial_charges", None),
        cell=None if cell is None else cell.T,
        pbc=pbc,
        info=info,
    )
    if "move_mask" in arrays:
        mask = arrays.pop("move_mask")
        if mask.dtype.kind != "b" or mask.ndim != 1:
            raise ValueError("constraints of single directions")
        atoms.set_constraint(FixAtoms(mask=~mask))
    set_calc_and_arrays(atoms, arrays)
    return atoms


def _extxyz_columns(rows, fields):
    """Return {field: values} of rows of text."""
    columns = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # integers with a point
        for kinds, dtype in (("f", float), ("i", np.int32), ("Ob", str)):
            places = [i for i, name in enumerate(fields.names) if fields[name].kind in kinds]
            if places:
                values = np.loadtxt(rows, dtype, comments=None, usecols=places, ndmin=2)
                if len(values) < len(rows):
                    raise ValueError("empty rows")
                columns |= {fields.names[i]: column.copy() for i, column in zip(places, values.T, strict=True)}
    booleans = {name: np.isin(columns[name], ("T", "True")) for name in columns if fields[name].kind == "b"}
    return columns | booleans


# Other formats.


def _read_pdb(path):
    """Yield the models of a PDB file as they come. ASE would keep all in memory, and the cell of the first only."""
    cell, atoms = "", []
    for line in _open(path):
        if line.startswith("CRYST1"):
            lengths = [float(length or 0) for length in (line[6:15].strip(), line[15:24].strip(), line[24:33].strip())]
            cell = line if max(lengths) > 1 else ""  # edges of 1 Å say that there is none
        elif line.startswith(("ATOM  ", "HETATM")):
            atoms.append(line)
        elif line.startswith("END") and atoms:
            yield _pdb_model([cell, *atoms])
            atoms = []
    if atoms:
        yield _pdb_model([cell, *atoms])


def _pdb_model(lines):
    model = ase.io.read(io.StringIO("".join(lines)), index=0, format="proteindatabank")
    if np.isin(model.arrays.get("occupancy", 1), (0, 1)).all() and "occupancy" in model.arrays:
        del model.arrays["occupancy"]  # programs that know of none write 0 or 1
    return model


def _read_json(path):
    """Yield the structures of pymatgen's JSON, read without pymatgen, or of ASE's."""
    try:
        content = json.loads("".join(_open(path)))
    except json.JSONDecodeError as error:
        raise ValueError(f"its JSON is broken or cut off at line {error.lineno}: {error.msg}") from error
    documents = content if isinstance(content, list) else [content]
    if documents and all(
        isinstance(document, dict) and isinstance(document.get("sites"), list) for document in documents
    ):
        yield from map(_pymatgen_structure, documents)
    elif isinstance(content, dict) and ("ids" in content or "1" in content):
        yield from _read_with_ase(path, "json")
    else:
        known = content.get("@class") if isinstance(content, dict) else None
        of = f", of the class {known!r}" if known else ""
        raise ValueError(f"it is JSON{of}, but neither a Structure or Molecule of pymatgen nor a data base of ASE")


def _pymatgen_structure(document):
    """Return a Structure (fractional coordinates count) or a Molecule of pymatgen."""
    try:
        lattice = document.get("lattice")
        cell = None if lattice is None else np.array(lattice["matrix"], float).reshape(3, 3)
        scaled = cell is not None and all("abc" in site for site in document["sites"])
        positions = np.array([site["abc" if scaled else "xyz"] for site in document["sites"]], float).reshape(-1, 3)
        shares = []
        for site in document["sites"]:
            shares.append({})
            for species in site["species"]:
                symbol = _symbol(species["element"]) or "X"
                shares[-1][symbol] = shares[-1].get(symbol, 0.0) + float(species.get("occu", 1))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            "its JSON lacks the lattice, the species or the coordinates of a Structure of pymatgen"
        ) from error
    if not all(shares):
        raise ValueError("its JSON has a site without species")
    atoms = _with_occupancies(shares, np.arange(len(shares)), positions @ cell if scaled else positions, cell)
    if lattice is not None and "pbc" in lattice:
        atoms.pbc = lattice["pbc"]
    return atoms


_READERS = {
    "lammps-dump-text": _read_lammps_dump,
    "lammps-data": _read_lammps_data,
    "cif": _read_cif,
    "proteindatabank": _read_pdb,
    "json": _read_json,
}
