"""From recipes to arrays: fingerprints of many structures, in parallel, streamed to disk, resumable; splits."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import zarr
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from tqdm import tqdm

from xtalsight.crystals import build_crystal
from xtalsight.fingerprints import DiffractionGeometry, fingerprint
from xtalsight.parallel import in_order
from xtalsight.provenance import code_of
from xtalsight.spectra import DEGREES, SHELLS, spectrum
from xtalsight.store import load_json, load_table, save_json

CHUNK = 256
"""Structures in one chunk on disk, which is also the unit of parallel work and of resuming."""


def write_fingerprints(
    tables: Mapping[Path, pd.DataFrame],
    geometry: DiffractionGeometry = DiffractionGeometry(),
    n_jobs: int = -1,
    build=build_crystal,
) -> tuple[pd.DataFrame, float]:
    """Build structures from their recipes, compute their fingerprints and stream these to zarr arrays.

    Chunks of `CHUNK` structures are computed in parallel and written by the process that computed them, so that
    memory does not grow with the number of structures. Called again with the same arguments, it computes only the
    chunks that are missing; with other recipes, geometry, another version of the code or of a library it starts anew.
    Neither order nor `n_jobs` changes a number.

    On a cluster, whose workers have to see the same files::

        with distributed.Client("tcp://…"), joblib.parallel_config("dask"):
            write_fingerprints(tables)

    Parameters
    ----------
    tables : mapping of path to DataFrame
        The arrays to write, (n, n_pixels, n_pixels, 3) float32, and the recipes of each,
        a row a structure, as from `xtalsight.crystals.make_recipes`. Tables of equal length whose rows are copies of
        the same crystals, pristine and defective say, are best given in one call: their common work is done once.
    geometry : DiffractionGeometry, optional
    n_jobs : int
        Number of processes; -1 takes every core.
    build : callable
        Turns a row (a dictionary) into `ase.Atoms`; a function of a module, or `functools.partial` of one.

    Returns
    -------
    failures : DataFrame
        The rows that failed, columns ``table, row, error``; their fingerprints are NaN. Empty when all went well.
    seconds : float
        Time that the fingerprints took, that of earlier calls with the same arguments included.

    Raises
    ------
    OSError
        The disk is full, for example, or workers of a cluster write to other files.
    ValueError
        `build` is in no module, but in a cell of a notebook, for example: whether it has changed could not be told
        later.
    """
    image = (geometry.n_pixels, geometry.n_pixels, 3)
    return _write(tables, partial(fingerprint, geometry=geometry), image, n_jobs, build, "fingerprints")


def write_spectra(
    tables: Mapping[Path, pd.DataFrame], n_jobs: int = -1, build=build_crystal
) -> tuple[pd.DataFrame, float]:
    """Build structures from their recipes, compute each one's `xtalsight.spectra.spectrum` and stream these to zarr
    arrays, (n, 2, n_shells, n_degrees) float32; all else as `write_fingerprints`."""
    return _write(tables, spectrum, (2, len(SHELLS), len(DEGREES)), n_jobs, build, "spectra")


def _write(tables, compute, shape, n_jobs, build, name):
    tables = {Path(path).absolute(): recipes for path, recipes in tables.items()}  # workers may be in other folders
    arrays = {path: _open(path, recipes, compute, shape, build) for path, recipes in tables.items()}
    n_structures = max(map(len, tables.values()))
    missing = {
        start: [path for path, array in arrays.items() if start < array.shape[0] and not _chunk(array, start).exists()]
        for start in range(0, n_structures, CHUNK)
    }
    tasks = (
        ([(arrays[path], tables[path].iloc[start : start + CHUNK]) for path in paths], start, compute, build)
        for start, paths in missing.items()
        if paths
    )
    total = sum(map(len, tables.values()))
    to_do = sum(len(tables[path].iloc[start : start + CHUNK]) for start, paths in missing.items() for path in paths)
    earlier = max(_seconds(path) for path in arrays)
    start = time.perf_counter()
    with tqdm(total=total, initial=total - to_do, unit=" structures", desc=name, mininterval=1) as progress:
        for n in in_order(_write_chunk, tasks, n_jobs):
            progress.update(n)
            for path in arrays:
                save_json(path / "seconds.json", earlier + time.perf_counter() - start)
    if not all(_chunk(arrays[path], begin).exists() for begin, paths in missing.items() for path in paths):
        raise OSError("not all that was computed is there: do the workers see the same files as this machine?")
    failures = [
        {"table": path.stem, **row}
        for path in arrays
        for file in sorted(_failures(path).glob("*"))
        for row in load_json(file)
    ]
    return pd.DataFrame(failures, columns=["table", "row", "error"]), max(_seconds(path) for path in arrays)


def read_fingerprints(path, rows=slice(None)) -> np.ndarray:
    """Read what `write_fingerprints` or `write_spectra` wrote into memory, (n, ...) float32: all, or a slice of them.

    Raises
    ------
    FileNotFoundError
        There are none at `path`.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no fingerprints at {path}: run the notebook that computes them first")
    return zarr.open_array(path, mode="r")[rows]


def load(folder) -> tuple[pd.DataFrame, dict[str, np.ndarray], str]:
    """Load the crystals that notebooks 01 and 02 made, and their fingerprints.

    A structure without a fingerprint, if there is one, is left out with its copy.

    Parameters
    ----------
    folder : path
        Of the artefacts of a run.

    Returns
    -------
    recipes : DataFrame
        Of the pristine crystals, as of `xtalsight.crystals.make_recipes`.
    images : dict
        "pristine" and "vacancies" to (n, 64, 64, 3), row by row of the same crystals.
    remark : str
        For the reader.

    Raises
    ------
    FileNotFoundError
        They are not there.
    """
    recipes = load_table(Path(folder, "recipes_pristine.csv"))
    images = {kind: read_fingerprints(Path(folder, f"fingerprints_{kind}.zarr")) for kind in ("pristine", "vacancies")}
    complete = np.all([np.isfinite(stack[:, 0, 0, 0]) for stack in images.values()], axis=0)
    remark = f"{len(recipes)} generated structures, pristine and with vacancies, {(~complete).sum()} left out."
    if not complete.all():
        recipes = recipes[complete].reset_index(drop=True)
        images = {kind: stack[complete] for kind, stack in images.items()}
    return recipes, images, remark


def in_parallel(function: Callable, items: Iterable, description: str, n_jobs: int = -1) -> list:
    """Call a function for each item in parallel, with progress; return what it returns, in their order."""
    items = list(items)
    results = in_order(function, ((item,) for item in items), n_jobs)
    return list(tqdm(results, total=len(items), desc=description, mininterval=1))


def split(recipes: pd.DataFrame, by: str, held_out: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split structures into those to train on and those held out.

    Parameters
    ----------
    recipes : DataFrame
        A row a structure.
    by : {"random", "element"}
        "random" holds out structures, whatever they resemble, as the paper does; "element" holds out all structures
        of some elements.
    held_out : float
        Fraction of the structures, or of the elements, to hold out.
    seed : int

    Returns
    -------
    train, test : ndarray of int
        Positions of rows in `recipes`.

    Raises
    ------
    ValueError
        No such way to split.
    """
    if by == "random":
        return next(ShuffleSplit(1, test_size=held_out, random_state=seed).split(recipes))
    if by == "element":
        splitter = GroupShuffleSplit(1, test_size=held_out, random_state=seed)
        return next(splitter.split(recipes, groups=recipes.element))
    raise ValueError(f"{by=} must be 'random' or 'element'")


def _identity(recipes, compute, build):
    """Digest of all that the numbers depend on."""
    functions = [getattr(function, "func", function) for function in (compute, build)]
    arguments = [[function.args, function.keywords] for function in (compute, build) if isinstance(function, partial)]
    parts = [recipes.to_csv(index=False), code_of(*functions), joblib.hash(arguments)]
    parts += [f"{name} {version(name)}" for name in ("ase", "gemmi", "numba", "numpy", "scipy", "spglib", "vesin")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _open(path, recipes, compute, shape, build):
    identity = _identity(recipes, compute, build)
    if (path / "zarr.json").exists():  # what was interrupted while it was made anew has none
        array = zarr.open_array(path, mode="r+")
        if array.attrs.get("identity") == identity:
            return array
    array = zarr.create_array(path, shape=(len(recipes), *shape), chunks=(CHUNK, *shape), dtype="f4", overwrite=True)
    array.attrs["identity"] = identity
    return array


def _chunk(array, start):
    """File of the chunk that begins with structure `start`; zarr writes it whole or not at all."""
    return Path(array.store.root, "c", str(start // CHUNK), *["0"] * (array.ndim - 1))


def _failures(path):
    return path / "failures"


def _seconds(path):
    """Time spent on the array so far."""
    file = path / "seconds.json"
    return load_json(file) if file.exists() else 0.0


def _write_chunk(tables, start, compute, build):
    """Compute one chunk of each table, copies of one crystal after each other; return the number of structures."""
    rows = [recipes.to_dict("records") for _, recipes in tables]
    chunks = [np.full((len(recipes), *array.shape[1:]), np.nan, np.float32) for array, recipes in tables]
    failures = [[] for _ in tables]
    for i in range(max(map(len, rows))):
        for k in range(len(tables)):
            if i >= len(rows[k]):
                continue
            try:
                chunks[k][i] = compute(build(rows[k][i]))
            except ValueError as error:
                failures[k].append({"row": start + i, "error": str(error)})
    for (array, _), images, failed in zip(tables, chunks, failures, strict=True):
        if failed:
            # Before the chunk: a chunk that is there is complete, its failures included.
            save_json(_failures(Path(array.store.root)) / f"{start:09d}.json", failed)
        array[start : start + len(images)] = images
    return sum(map(len, chunks))
