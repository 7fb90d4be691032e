"""Malformed and hostile structure files, one after the other, given to ``xtalsight classify`` together with a good one.

Each must be answered, or refused in one line, within `SECONDS` and `GIGABYTES`; the good one must be answered. What
cutting or changing leaves may still be a structure, so an answer is no failure; a traceback, silence, or a lost
neighbour is.
"""

import argparse
import bz2
import gzip
import json
import lzma
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import ase.io
import numpy as np
import pandas as pd
from ase.build import bulk
from joblib import Parallel, delayed
from report import write_report
from tqdm import tqdm

SECONDS, GIGABYTES = 20, 4
SEED = 16

SALT = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
FORMATS = {
    "salt.cif": "cif",
    "POSCAR": "vasp",
    "salt.extxyz": "extxyz",
    "salt.xyz": "xyz",
    "salt.data": "lammps-data",
    "salt.xsf": "xsf",
    "salt.json": "json",
    "salt.traj": "traj",
    "salt.pdb": "proteindatabank",
    "salt.in": "aims",
    "salt.gen": "gen",
    "salt.res": "res",
    "salt.cube": "cube",
}
DUMP = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{n}\nITEM: BOX BOUNDS pp pp pp\n0 11.28\n0 11.28\n0 11.28\nITEM: ATOMS id type x y z\n"


def originals(folder: Path) -> dict[str, bytes]:
    """Good files of one crystal in many formats."""
    contents = {}
    for name, format in FORMATS.items():
        path = folder / f"original-{name}"
        ase.io.write(path, SALT, format=format, **({"data": np.zeros((4, 4, 4))} if format == "cube" else {}))
        contents[name] = path.read_bytes()
    lines = [f"{i + 1} {1 + i % 2} {x:.4f} {y:.4f} {z:.4f}" for i, (x, y, z) in enumerate(SALT.positions)]
    contents["salt.dump"] = (DUMP.format(n=len(SALT)) + "\n".join(lines) + "\n").encode()
    return contents


NUMBER = re.compile(rb"(?<![\w.])-?\d+\.\d+(?:[eE][-+]?\d+)?")
COUNT = re.compile(rb"(?<![\w.-])\d+(?![\w.])")


def some_replaced(pattern, content, new, dice):
    """With one of the matches replaced."""
    places = list(pattern.finditer(content))
    if not places:
        return content[: len(content) // 2]
    place = places[dice.integers(len(places))]
    return content[: place.start()] + new + content[place.end() :]


def mutations(content: bytes, dice) -> dict[str, bytes]:
    """What may become of a file."""
    changed = bytearray(content)
    for at in dice.integers(len(content), size=8):
        changed[at] = dice.integers(256)
    return {
        "cut": content[: dice.integers(1, len(content))],
        "cut early": content[: dice.integers(1, 60)],
        "bytes changed": bytes(changed),
        "NaN": some_replaced(NUMBER, content, b"nan", dice),
        "1e400": some_replaced(NUMBER, content, b"1e400", dice),
        "negative": some_replaced(NUMBER, content, b"-11.28", dice),
        "all zero": NUMBER.sub(b"0.0", content),
        "all NaN": NUMBER.sub(b"NaN", content),
        "huge count": some_replaced(COUNT, content, b"1000000000000", dice),
        "first count huge": COUNT.sub(b"99999999999", content, count=1),
        "negative count": COUNT.sub(b"-5", content, count=1),
        "control characters": content.replace(b" ", b"\x00\x1b[2J", 5),
        "UTF-16": content.decode("latin1").encode("utf-16"),
        "doubled": content + content,
        "one line": content.replace(b"\n", b" "),
        "words": re.sub(rb"\d", b"x", content),
    }


def special_files(folder: Path, good: dict[str, bytes]) -> list[Path]:
    """Files that are none, bombs, and odd names."""
    paths = []

    def write(name, content):
        path = folder / name
        path.write_bytes(content)
        paths.append(path)

    zeros = gzip.compress(bytes(1 << 26))
    write("bomb.xyz.gz", zeros * 300)  # 20 GB
    write("bomb.cif.bz2", bz2.compress(bytes(1 << 26)) * 300)
    write("bomb.dump.xz", lzma.compress(bytes(1 << 26)) * 300)
    spaces = gzip.compress(b" " * (1 << 26))
    write("bomb_of_spaces.cif.gz", spaces * 100)
    lines = gzip.compress(b"\n" * (1 << 24))
    write("bomb_of_lines.extxyz.gz", lines * 300)
    atoms = gzip.compress(b"Cu 0 0 0\n" * (1 << 20))
    write("many_atoms.xyz.gz", gzip.compress(b"3000000000\n\n") + atoms * 300)
    write("in_itself.cif.gz", gzip.compress(gzip.compress(good["salt.cif"])))
    write("deep.json", b"[" * 1_000_000)
    write("deep_object.json", b'{"1":' * 100_000 + b"1" + b"}" * 100_000)
    write("deep.cif", b"data_x\n" + b"loop_\n" * 200_000)
    write("long_line.xyz", b"2\n\n" + b"Cu " * 10_000_000)
    write("long_name.cif", b"data_" + b"x" * 5_000_000)
    write("empty.cif", b"")
    write("blank.xyz", b"\n\n\n\n")
    write("zero_atoms.xyz", b"0\n\n")
    write("pickle.pkl", b"cos\nsystem\n(S'touch hacked'\ntR.")
    write("pickle.traj", b"cos\nsystem\n(S'touch hacked'\ntR.")
    write("program.py", b"import os; os.system('touch hacked')\n")
    write("page.html", b"<html><body>404</body></html>")
    write("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(1000))
    write("archive.zip", b"PK\x03\x04" + bytes(1000))
    write("line\nbreak.cif", b"not a structure")
    write("escape\x1b[2J.cif", b"not a structure")
    write("-o.cif", good["salt.cif"])
    write(" .cif", good["salt.cif"])
    write(os.fsdecode(b"\xff.cif"), good["salt.cif"])
    write("ümläut→.cif", good["salt.cif"])
    write("n" * 250 + ".cif", good["salt.cif"])
    write("latin1.cif", good["salt.cif"].replace(b"data_", b"data_\xe9\xff"))
    write("carriage.cif", good["salt.cif"].replace(b"\n", b"\r"))
    write("mark.cif", b"\xef\xbb\xbf" + good["salt.cif"])
    for name, target in (("loop.cif", "loop.cif"), ("to_folder.cif", "."), ("to_nothing.cif", "nothing.cif")):
        (folder / name).symlink_to(target)
        paths.append(folder / name)
    os.mkfifo(folder / "fifo.cif")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.cif"))
    (folder / "folder.cif").mkdir()
    paths += [folder / "fifo.cif", folder / "socket.cif", folder / "folder.cif", folder / "missing.cif"]
    return paths + [Path("/dev/zero"), Path("/dev/urandom"), Path("/dev/null"), Path("/proc/self/mem"), Path("/")]


def all_files(folder: Path) -> list[tuple[str, Path]]:
    """Kind of fault and path of each file."""
    good = originals(folder)
    files = [("special", path) for path in special_files(folder, good)]
    for number, (name, content) in enumerate(good.items()):
        for kind, changed in mutations(content, np.random.default_rng([SEED, number])).items():
            path = folder / kind.replace(" ", "_") / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(changed)
            files.append((kind, path))
    for number, (ending, compress) in enumerate(
        {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}.items()
    ):
        for name in ("salt.cif", "salt.dump", "salt.extxyz"):
            content = compress(good[name])
            dice = np.random.default_rng([SEED, 99, number])
            for kind in ("cut", "bytes changed"):
                path = folder / kind.replace(" ", "_") / f"{name}.{ending}"
                path.write_bytes(mutations(content, dice)[kind])
                files.append((f"{kind}, packed", path))
    return files


def asked(kind, path, good):
    """What comes of one file and a good one: a row of the report."""

    # The machine is to live on; what was in use is looked at in the end.
    limited = ["bash", "-c", f'ulimit -v {3 * GIGABYTES << 20}; exec "$@"', "bash"]
    command = [
        *limited,
        sys.executable,
        "-m",
        "xtalsight",
        "classify",
        "--json",
        "--jobs",
        "1",
        "--",
        str(path),
        str(good),
    ]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=good.parent
    )
    try:
        out, err = process.communicate(timeout=2 * SECONDS)
        seconds = time.perf_counter() - start
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
        seconds = np.inf
    answers = [json.loads(line) for line in out.decode().splitlines()]
    told = [line for line in err.decode(errors="replace").splitlines() if line]
    of_good = [answer for answer in answers if answer["file"] == str(good)]
    others = len(answers) - len(of_good)
    if seconds > SECONDS:
        fault = "too slow"
    elif "Traceback" in err.decode(errors="replace"):
        fault = "traceback"
    elif not of_good:
        fault = "the good file is not answered"
    elif others == 0 and (process.returncode != 1 or len(told) != 1 or not told[0].startswith("error: ")):
        fault = "not one line and status 1"
    elif others and len(told) > 1:
        fault = "answered, but more than one line"
    else:
        fault = ""
    return {
        "kind": kind,
        "file": ascii(path.name),
        "seconds": seconds,
        "answered": others > 0,
        "fault": fault,
        "told": "; ".join(told)[:300],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    jobs = parser.parse_args().jobs
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        good = folder / "good.cif"
        bulk("Cu").write(good)
        files = all_files(folder)
        results = Parallel(jobs, return_as="generator", prefer="threads")(delayed(asked)(*file, good) for file in files)
        rows = pd.DataFrame(tqdm(results, total=len(files), unit=" files"))
        hacked = (folder / "hacked").exists()
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    counts = Counter(np.where(rows.fault != "", rows.fault, np.where(rows.answered, "answered", "refused in one line")))
    counts = dict(counts) | {"at fault": int((rows.fault != "").sum()), "code in a file was run": int(hacked)}
    for row in rows[rows.fault != ""].to_dict("records"):
        print(f"{row['kind']}: {row['file']}: {row['fault']} ({row['seconds']:.1f} s): {row['told']}")
    write_report(
        "Malformed and hostile files",
        {
            "files": len(rows),
            "limits": f"{SECONDS} s, {GIGABYTES} GB",
            **counts,
            "slowest, s": f"{rows.seconds.max():.1f}",
            "largest, GB": f"{largest:.1f}",
        },
    )
    sys.exit(int((rows.fault != "").any() or hacked or largest > GIGABYTES))


if __name__ == "__main__":
    main()
