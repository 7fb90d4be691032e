"""Reading and writing: every file appears whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

_IN_USE = ".in-use"
_JUST_MADE = 5  # seconds


@contextmanager
def replacing(path):
    """Give a temporary path with the ending of `path`; move it to `path` when the block ends without an error.

    An interrupted or failed block leaves `path` as it was. What a killed process has left beside it is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem}-"
    for folder in path.parent.glob(f"{escape(prefix)}*"):
        _remove_if_left(folder)
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix, ignore_cleanup_errors=True) as folder,
        FileLock(Path(folder) / _IN_USE),  # the system releases it when the process dies, however it dies
    ):
        temporary = Path(folder) / path.name
        yield temporary
        os.replace(temporary, path)


def _remove_if_left(folder):
    """Remove a temporary folder if no process uses it any more, and none is just making it."""
    with suppress(Timeout, OSError):
        if time.time() - folder.stat().st_mtime < _JUST_MADE:
            return
        with FileLock(folder / _IN_USE, timeout=0):
            shutil.rmtree(folder)


def save_json(path, data):
    """Write `data` as JSON, one key a line; NumPy scalars become plain numbers."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False, default=lambda x: x.item()) + "\n")


def load_json(path):
    """Read a JSON file."""
    return json.loads(Path(path).read_text())


def sha256(path) -> str:
    """Return the SHA-256 checksum of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_table(path, table: pd.DataFrame):
    """Write a table as CSV in which every float keeps all its bits."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def load_table(path) -> pd.DataFrame:
    """Read a table of `save_table`, bit for bit."""
    # Python's own parser reads every float to the last bit; of all texts only the empty one is a missing value.
    return pd.read_csv(path, engine="python", keep_default_na=False, na_values=[""])
