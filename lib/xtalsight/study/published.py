"""The arrays that Ziletti et al. (2018) published: fetched, checked, read without running what is in them, repaired.

``python -m xtalsight.study.published`` fetches them into ``data/published``; where they are, notebooks 13, 14 and 16
can use them.
"""

import argparse
import os
import pickle
import re
import sys
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import requests
from sklearn.cluster import DBSCAN
from tqdm import tqdm

from xtalsight.crystals import CLASSES, build_crystal, make_recipes
from xtalsight.fingerprints import DiffractionGeometry, fingerprint
from xtalsight.store import load_json, save_json
from xtalsight.study.profiles import root

DOI = "doi:10.7910/DVN/ZDKBRF"
SERVER = "https://dataverse.harvard.edu"

KINDS = {"pristine": "pristine", "vacancies": "vac"}
"""The two sets, and what the name of a published file has in it if it belongs to one: ai4materials calls the files
``pristine_dataset_x.pkl``, ``vac25_dataset_y.pkl`` and so on."""

# The server turns away the name that requests gives itself.
_HEADERS = {"User-Agent": "xtalsight", "Accept-Encoding": "identity"}
_TIMEOUT = 60  # seconds without a byte


def default_folder() -> Path:
    """Return the folder of the published arrays in this study, ``data/published``."""
    return root() / "data" / "published"


def fetch(folder, server: str = SERVER) -> list[str]:
    """Fetch the published arrays, or what is missing of them, as ``pristine_x.pkl, pristine_y.pkl, vacancies_x.pkl,
    ...``.

    Which files to fetch is decided by the names that the data set has on the server. A download that broke off goes on
    where it stopped. A file is compared with the checksum that the server gives; the SHA-256 of the first download is
    recorded in ``checksums.json`` and enforced from then on.

    Parameters
    ----------
    folder : path
    server : str
        Address of the Dataverse that holds `DOI`.

    Returns
    -------
    list of str
        Names of the files that are now in `folder`. Those of the set with vacancies are missing if the server has none.

    Raises
    ------
    OSError
        No connection, or it broke.
    ValueError
        The names do not fit, a checksum is wrong, or both sets are one.
    """
    import pooch  # not above: in a notebook it warns of a missing progress bar, which only downloading would use

    folder = Path(folder)
    lock_file = folder / "checksums.json"
    lock = load_json(lock_file) if lock_file.exists() else {}
    pooch.get_logger().setLevel("WARNING")
    # pooch's own way to a Dataverse starts over when half a gigabyte breaks off near its end, and cannot ask for the
    # original format.
    files = _choose(_list_files(server), folder)
    for name, file in files.items():
        path = pooch.retrieve(
            f"{server}/api/access/datafile/{file['id']}?format=original",
            lock.get(name) or _checksum(file),
            name,
            folder,
            downloader=partial(_download, folder / f"{name}.part"),
        )
        lock[name] = f"sha256:{pooch.file_hash(path)}"
        save_json(lock_file, lock)
    if "vacancies_x.pkl" in files and lock["vacancies_x.pkl"] == lock["pristine_x.pkl"]:
        raise ValueError(f"{folder / 'vacancies_x.pkl'} is pristine_x.pkl again: the two sets are one")
    return list(files)


def _list_files(server):
    response = requests.get(
        f"{server}/api/datasets/:persistentId/", {"persistentId": DOI}, headers=_HEADERS, timeout=_TIMEOUT
    )
    response.raise_for_status()
    try:
        return [file["dataFile"] for file in response.json()["data"]["latestVersion"]["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectionError(f"{server} did not answer with a list of files") from error


def _choose(files, folder):
    """Map our names of files to their entries in the server's list."""
    chosen = {}
    for kind, mark in KINDS.items():
        for part in "xy":
            fitting = [f for f in files if mark in f["filename"].lower() and f["filename"].endswith(f"_{part}.pkl")]
            if len(fitting) == 1:
                chosen[f"{kind}_{part}.pkl"] = fitting[0]
    complete = [f"{kind}_{part}.pkl" for kind in KINDS for part in "xy"]
    if list(chosen) not in (complete[:2], complete):
        names = ", ".join(file["filename"] for file in files) or "no files"
        raise ValueError(
            f"{DOI} holds {names}, and not one *pristine*_x.pkl and *pristine*_y.pkl each, with one or no such pair of *vac*: "
            f"fetch by hand what should be {', '.join(complete)} in {folder}"
        )
    return chosen


def _checksum(file):
    """The checksum in the server's entry of a file, in pooch's form; None if it gives none."""
    if "checksum" in file:
        return f"{file['checksum']['type'].lower().replace('-', '')}:{file['checksum']['value']}"
    return f"md5:{file['md5']}" if "md5" in file else None


def _download(part, url, output_file, _):
    """Download for pooch, which by itself would start over, by way of `part`: what is there is not asked for again."""
    done = part.stat().st_size if part.exists() else 0
    headers = _HEADERS | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()  # complete, or not of this file
            return _download(part, url, output_file, _)
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            done = 0  # the server sends all of it
        size = int(response.headers["Content-Length"]) + done if "Content-Length" in response.headers else None
        with (
            open(part, "ab" if done else "wb") as file,
            tqdm(total=size, initial=done, unit="B", unit_scale=True, desc=part.stem, mininterval=1) as progress,
        ):
            for block in response.iter_content(1 << 16):  # of a block that breaks off nothing is kept
                file.write(block)
                progress.update(len(block))
    if size is not None and part.stat().st_size != size:
        raise ConnectionError(f"{part.stem}: the connection broke after {part.stat().st_size} of {size} bytes")
    os.replace(part, output_file)


class _Dtype:
    """Stands for numpy.dtype in a pickle."""

    def __init__(self, code, *_):
        self.code = code

    def __setstate__(self, state):
        self.code = state[1] + self.code  # byte order


class _Array:
    """Stands for numpy.ndarray in a pickle: NumPy itself would believe a forged type, and take numbers for
    addresses."""

    def __setstate__(self, state):
        _, shape, dtype, column_major, data = state
        if not re.fullmatch("[<>=|][iuf][1248]", dtype.code):
            raise pickle.UnpicklingError(f"its type is {dtype.code}")
        if isinstance(data, str):  # as Python 2 wrote it
            data = data.encode("latin1")
        self.values = np.frombuffer(data, dtype.code).reshape(shape, order="F" if column_major else "C")


def _reconstruct(*_):
    return _Array()


def _encode(text, encoding):
    """Give back bytes that Python 3 wrote in the manner of Python 2; other encodings could import modules."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in encoding {encoding!r}")
    return text.encode(encoding)


_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows only what a pickled array of numbers is made of, so that nothing else in a pickle can run."""

    def find_class(self, module, name):
        key = module.replace("numpy._core", "numpy.core"), name
        if key not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ADMITTED[key]


def read_array(path) -> np.ndarray:
    """Read a pickled NumPy array of numbers, written by Python 2 or 3; nothing that a pickle asks to be run is run.

    Raises
    ------
    ValueError
        Anything else is in the file, or the file is cut short.
    """
    try:
        with open(path, "rb") as file:
            array = _ArrayUnpickler(file, encoding="latin1").load()
        if type(array) is not _Array:
            raise pickle.UnpicklingError(f"it holds a {type(array).__name__}")
        return array.values
    except OSError:
        raise
    except Exception as error:  # a broken pickle may raise nearly anything
        raise ValueError(f"{path} is not a pickled array of numbers: {error}") from error


def scramble(images: np.ndarray) -> np.ndarray:
    """Bring images (n, 64, 64, 3) to the layout of the published arrays: channels first, under the shape of channels
    last."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(images.shape)


def repair_layout(stored: np.ndarray) -> np.ndarray:
    """Undo `scramble`.

    Parameters
    ----------
    stored : ndarray, shape (n, 64, 64, 3)
        As published: a stack (3, 64, 64) of channels, reshaped, not transposed, to (64, 64, 3).

    Returns
    -------
    ndarray, shape (n, 64, 64, 3), float32
        Axes (row, column, channel), zero outside the ring.

    Raises
    ------
    ValueError
        Another shape, or what comes out is not zero outside the ring: the array is in another layout.
    """
    if stored.ndim != 4 or stored.shape[1:] != (64, 64, 3):
        raise ValueError(f"{stored.shape=} must be (n, 64, 64, 3)")
    images = stored.reshape(-1, 3, 64, 64).transpose(0, 2, 3, 1).astype(np.float32, order="C")
    if images[:, ~DiffractionGeometry().ring].any():
        raise ValueError("the images are not zero outside the ring: they are in another layout than the published one")
    return images


def read(folder, kind: str = "pristine") -> tuple[np.ndarray, np.ndarray]:
    """Read one of the two sets that `fetch` fetched.

    Parameters
    ----------
    folder : path
    kind : {"pristine", "vacancies"}

    Returns
    -------
    images : ndarray, shape (n, 64, 64, 3), float32
        In repaired layout; see `channel_order` for their channels.
    labels : ndarray of int, shape (n,)
        Indices into `xtalsight.crystals.CLASSES`.

    Raises
    ------
    FileNotFoundError
        The set is not there.
    ValueError
        A file holds something else than it should.
    """
    paths = [Path(folder) / f"{kind}_{part}.pkl" for part in "xy"]
    if missing := [path for path in paths if not path.exists()]:
        raise FileNotFoundError(f"no published array at {missing[0]}: run `make published-data` first")
    images, labels = repair_layout(read_array(paths[0])), read_array(paths[1]).ravel()
    if len(labels) != len(images):
        raise ValueError(f"{paths[1]}: {len(labels)} labels for {len(images)} images")
    if not np.isin(labels, range(len(CLASSES))).all():
        raise ValueError(f"{paths[1]}: labels must be 0 to {len(CLASSES) - 1}, not {labels.min()} to {labels.max()}")
    return images, labels.astype(int)


def channel_order(images: np.ndarray, regenerated: np.ndarray) -> dict[tuple[int, int, int], float]:
    """Compare every order of the channels of some images with images of the same kind of crystal in the order R, G, B.

    Take crystals that are not cubic, β-Sn say, and generate enough of them that each image finds one like it.

    Parameters
    ----------
    images : ndarray, shape (n, 64, 64, 3)
    regenerated : ndarray, shape (m, 64, 64, 3)

    Returns
    -------
    dict
        For each order, the best first, the root mean square difference from an image to the regenerated one most like
        it, averaged over the images. ``images[..., order]`` has the channels in that order.
    """
    known = regenerated.reshape(len(regenerated), -1).astype(float)
    differences = {}
    for order in permutations(range(3)):
        pictures = images[..., order].reshape(len(images), -1).astype(float)
        squares = (pictures**2).sum(1)[:, None] - 2 * pictures @ known.T + (known**2).sum(1)
        nearest = np.maximum(squares.min(axis=1), 0)  # rounding may leave less than nothing
        differences[order] = float(np.sqrt(nearest / known.shape[1]).mean())
    return dict(sorted(differences.items(), key=lambda item: item[1]))


def copies(images: np.ndarray, tolerance: float = 1e-2) -> np.ndarray:
    """Number the groups of images that are copies of each other.

    Parameters
    ----------
    images : ndarray, shape (n, 64, 64, 3)
    tolerance : float
        Euclidean distance up to which two images are copies; the brightest pixel is 1. A chain of copies is one group.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    return DBSCAN(tolerance, min_samples=1).fit_predict(images[:, DiffractionGeometry().ring].reshape(len(images), -1))


def load(folder=None) -> tuple[pd.DataFrame, dict[str, np.ndarray], str]:
    """Load both sets in the form that `xtalsight.dataset.load` gives the generated ones.

    Parameters
    ----------
    folder : path, optional
        `default_folder` without it.

    Returns
    -------
    recipes : DataFrame
        Columns ``id, label, prototype, element, c_over_a``. The files say nothing but the label: `prototype` is the
        class, and `element`, by which a split keeps together what is alike, names the group of `copies`.
    images : dict
        "pristine" and "vacancies" to (n, 64, 64, 3), channels R, G, B.
    remark : str
        For the reader. Where there is no second set of its own, "vacancies" is the pristine one again.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read`.
    """
    folder = default_folder() if folder is None else folder
    images, labels = read(folder)
    crystals = make_recipes({"beta_sn": 40}, seed=0)
    regenerated = np.array([fingerprint(build_crystal(recipe)) for recipe in crystals.to_dict("records")])
    alike = images[labels == crystals.label[0]][:100]
    order = next(iter(channel_order(alike, regenerated))) if len(alike) else (0, 1, 2)
    recipes = pd.DataFrame(
        {
            "id": [f"published {row}" for row in range(len(labels))],
            "label": labels,
            "prototype": np.array(CLASSES)[labels],
            "element": [f"picture {group}" for group in copies(images)],
            "c_over_a": np.nan,
        }
    )
    groups = "Where elements are to be held out, groups of copies are: the files name no elements."
    images = {"pristine": np.ascontiguousarray(images[..., order])}
    try:
        defective, defective_labels = read(folder, "vacancies")
    except FileNotFoundError:
        fault = "There is no published set with vacancies here"
    else:
        images["vacancies"] = np.ascontiguousarray(defective[..., order])
        if not np.array_equal(labels, defective_labels):
            fault = "The published set with vacancies does not have the labels of the pristine one, row by row"
        elif np.array_equal(images["pristine"], images["vacancies"]):
            fault = "The published set with vacancies equals the pristine one, bit for bit"
        else:
            return recipes, images, f"Both published sets are there, and they differ. {groups}"
    images["vacancies"] = images["pristine"]
    return recipes, images, f"{fault}: the pristine structures stand in its place, as in the sources. {groups}"


def main():
    parser = argparse.ArgumentParser(
        prog="python -m xtalsight.study.published", description="Fetch the published arrays."
    )
    parser.add_argument("--server", default=SERVER, help=f"address of the Dataverse, {SERVER} by default")
    server = parser.parse_args().server
    try:
        names = fetch(default_folder(), server)
    except OSError as error:
        reason = "no connection" if isinstance(error, (requests.ConnectionError, requests.Timeout)) else error
        sys.exit(
            f"error: {DOI} could not be fetched from {server} ({reason}); the study runs without it, and "
            "`make published-data` goes on where it stopped"
        )
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(f"{default_folder()} holds {', '.join(names)}")


if __name__ == "__main__":
    main()
