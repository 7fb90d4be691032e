"""Measure speed and write docs/speed.md: ``python -m xtalsight.study.bench``. Not a test: it says how fast, not whether
right.

``python -m xtalsight.study.bench map`` measures how large maps and many answers scale with the workers of a cluster,
and writes docs/cluster_scaling.md.
"""

import argparse
import os
import platform
import re
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import numpy as np
import pandas as pd
from ase import Atoms
from ase.build import bulk
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from xtalsight import fingerprints, spectra
from xtalsight.classify import classify_many
from xtalsight.clouds import cut_cloud
from xtalsight.crystals import build_crystal, make_recipes
from xtalsight.grains import map_structure
from xtalsight.reading import read_structures
from xtalsight.store import load_json, replacing, save_json
from xtalsight.study.profiles import root
from xtalsight.writing import write_frames

THREADS = 2
BATCH = 32
STEPS = 30
BALL = 256
"""Atoms of the structures that are classified."""


def seconds(function, repeats):
    """Return the median time of `repeats` calls, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def bench_fingerprint() -> dict:
    atoms = build_crystal(make_recipes({"fcc": 1}, 0).iloc[0])
    whole = seconds(lambda: fingerprints.fingerprint(atoms), 300)
    scale = seconds(lambda: fingerprints.length_scale(atoms), 300)
    direct = seconds(lambda: fingerprints.diffraction_patterns_direct(atoms), 9)
    return {
        f"fingerprint of {len(atoms)} atoms: ms, one core": 1e3 * whole,
        "the plain sum in float64 / fingerprint (goal: 150)": direct / whole,
        "length scale / fingerprint": scale / whole,
    }


def bench_spectrum() -> dict:
    dice = np.random.default_rng(0)
    copper = cut_cloud(bulk("Cu"), 256, "sphere", dice)
    alloy = copper.copy()
    alloy.numbers = dice.permutation(np.repeat([29, 79], 128))
    one, two = (seconds(lambda atoms=atoms: spectra.spectrum(atoms), 100) for atoms in (copper, alloy))
    return {
        f"spectrum of {len(copper)} atoms of one kind: ms, one core": 1e3 * one,
        "spectrum of places and two kinds / of one kind (goal: below 2)": two / one,
    }


def bench_training() -> dict:
    from xtalsight import networks  # not above: workers would load TensorFlow, too

    networks.make_reproducible(0, THREADS)
    rng = np.random.default_rng(0)
    images = rng.random((STEPS * BATCH, *networks.IMAGE_SHAPE), np.float32)
    labels = rng.integers(7, size=len(images))

    def step(precision):
        """Seconds of a step in the second epoch; the first one compiles."""
        model = networks.table_1_network(precision=precision)
        with TemporaryDirectory() as folder:
            _, history = networks.train(
                model, images, labels, epochs=2, batch_size=BATCH, learning_rate=1e-3, seed=0, folder=folder
            )
        return history.seconds.iloc[-1] / STEPS, networks.training_operations(model) * BATCH

    in_float32, operations = step("float32")
    peak = matrix_product_peak()
    found = {
        f"matrix product: Gflop/s, {THREADS} threads": peak / 1e9,
        f"training of the Table 1 network: ms a step of {BATCH}": 1e3 * in_float32,
        "training / its arithmetic at the matrix product's rate (goal: 1.1)": in_float32 * peak / operations,
    }
    if networks.multiplies_bfloat16():
        found["training in bfloat16 / in float32"] = step("mixed_bfloat16")[0] / in_float32
    return found


def minutes_of_notebooks() -> dict:
    """Where the time of the last full run went."""
    results = load_json(root() / "figures" / "results.json")
    names = sorted(key for key in results if re.fullmatch(r"time\.\d.*minutes", key))
    minutes = {f"`make all`, {key.split('.')[1].replace('_', ' ')}: min": results[key] for key in names}
    return minutes | {"`make all`, all notebooks: min (goal: 45)": sum(minutes.values())}


def bench_speed(page):
    """Measure fingerprints, spectra and training; write them to a page, beside the first run on record."""
    minutes = minutes_of_notebooks()  # before what takes long
    found = {"processor": f"{os.cpu_count()} × {_processor()}"}
    found |= bench_fingerprint() | bench_spectrum() | bench_training() | minutes
    runs = page.with_suffix(".json")
    first = load_json(runs)["first"] if runs.exists() else found
    save_json(runs, {"first": first, "last": found})
    write_speed(page, first, found)


def write_speed(page, first: dict, last: dict):
    """Write the page of two runs."""
    table = pd.DataFrame({"first": first, "last": last}).reindex([*last, *(name for name in first if name not in last)])
    text = f"""# How fast it is, and where the time goes

Written by `make bench`: the first run on record and the last. Times differ between machines, ratios less so. Minutes are those of the full
run whose numbers were committed then.

{_markdown(table.rename_axis("measured").reset_index())}
"""
    with replacing(page) as temporary:
        temporary.write_text(text)
    print(text)


def matrix_product_peak(size: int = 2048, repeats: int = 8) -> float:
    """Measure the operations per second of TensorFlow's float32 matrix product: the best of `repeats`."""
    import tensorflow as tf  # not above: workers would load it, too

    a = tf.random.stateless_uniform((size, size), seed=(0, 0))
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        tf.linalg.matmul(a, a).numpy()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def polycrystal(n_atoms: int, seed: int = 0) -> Atoms:
    """Build a periodic polycrystal of copper, Voronoi grains of some 8,000 atoms each.

    A large one is a smaller one repeated, which needs neither much time nor memory; all atoms are displaced by thermal
    motion of their own (0.1 angstrom, root mean square of each coordinate).

    Parameters
    ----------
    n_atoms : int
        Number of atoms, about: at the boundaries a few per cent go.
    seed : int
    """
    dice, copper = np.random.default_rng(seed), bulk("Cu", cubic=True)
    repeats = int(np.ceil((n_atoms / 125_000) ** (1 / 3)))
    edge = (n_atoms * copper.get_volume() / len(copper)) ** (1 / 3) / repeats
    middles = dice.uniform(0, edge, (max(2, round(n_atoms / repeats**3 / 8_000)), 3))
    nearest = cKDTree(middles, boxsize=edge)
    reach = nearest.query(np.stack(np.meshgrid(*[np.linspace(0, edge, 24, endpoint=False)] * 3), axis=-1))[0].max()
    reach += edge / 24
    n_cells = int(np.ceil(reach / copper.cell[0, 0]))
    ball = copper.repeat(2 * n_cells).positions - n_cells * copper.cell.diagonal()
    ball = ball[np.linalg.norm(ball, axis=1) < reach]
    grains = []
    for grain, turn in enumerate(Rotation.random(len(middles), rng=dice)):
        places = (turn.apply(ball) + middles[grain]) % edge
        distance, which = nearest.query(places)
        # Not what comes through the wall from the other side: there another image of the middle is nearer.
        grains.append(places[(which == grain) & (distance > np.linalg.norm(ball, axis=1) - 1e-6)])
    places = np.concatenate(grains)
    close = cKDTree(places, boxsize=edge).query_pairs(0.75 * copper.cell[0, 0] / 2**0.5, output_type="ndarray")
    places = np.delete(places, close[:, 1], axis=0)
    atoms = Atoms(f"Cu{len(places)}", places, cell=[edge] * 3, pbc=True).repeat(repeats)
    for axis in range(3):
        atoms.positions[:, axis] += dice.normal(0, 0.1, len(atoms))
    return atoms


def hot_balls(n, seed=0):
    """Make n balls of copper, one after the other."""
    dice = np.random.default_rng(seed)
    for _ in range(n):
        atoms = cut_cloud(bulk("Cu"), BALL, "sphere", dice)
        atoms.positions += dice.normal(0, 0.1, (BALL, 3))
        yield atoms


def _map(n):
    return partial(map_structure, polycrystal(n), progress=False)


def _classify(n):
    balls = [*hot_balls(n)]
    return lambda: sum(1 for _ in classify_many(balls))


def _peak():
    """Largest memory of this process so far, GB."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024 / 1e9


def _measure(prepare, n, n_workers):
    """A row of a table; called in a process of its own."""
    import dask  # not above: the other benches need no cluster
    from distributed import Client, LocalCluster

    with (
        dask.config.set({"distributed.admin.low-level-log-length": 10}),  # else it keeps the last thousand messages
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        joblib.parallel_config(backend="dask", client=client),
    ):
        prepare(min(n, 100_000))()  # once, so that all is compiled and loaded
        compute = prepare(n)
        at_workers, here, begin = client.run(time.process_time), time.process_time(), time.perf_counter()
        compute()
        seconds, here = time.perf_counter() - begin, time.process_time() - here
        at_workers = sum(client.run(time.process_time).values()) - sum(at_workers.values())
        return [n, n_workers, seconds, here, at_workers, _peak(), max(client.run(_peak).values())]


def _alone(function, *arguments):
    """What a function returns in a process of its own, whose memory tells of nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def _write(path, n):
    write_frames(path, [polycrystal(n)])


def _read(path):
    begin = time.perf_counter()
    atoms = next(read_structures(path))
    seconds = time.perf_counter() - begin
    return [path.suffix, len(atoms), seconds, sum(values.nbytes for values in atoms.arrays.values()) / 1e9, _peak()]


def _reading(n):
    """A table of the reading of files."""
    rows = []
    with TemporaryDirectory() as folder:
        for path in (Path(folder, "a.extxyz"), Path(folder, "a.dump")):
            _alone(_write, path, n)
            rows.append(_alone(_read, path))
    return pd.DataFrame(rows, columns=["file", "atoms", "seconds", "arrays: GB", "the process: GB"])


def _scaling(prepare, sizes, workers, what):
    """A table of measurements."""
    columns = [what, "workers", "seconds", "client: CPU seconds", "workers: CPU seconds", "client: GB", "a worker: GB"]
    rows = []
    for n in sizes:
        for n_workers in workers:
            rows.append(_alone(_measure, prepare, n, n_workers))
            print(dict(zip(columns, rows[-1], strict=True)), flush=True)
    return pd.DataFrame(rows, columns=columns)


def _expected(table, n, workers):
    """Seconds that n of the same need with so many workers, and memory of the client."""
    what, last = table.columns[0], table.iloc[-1]
    here, there = (n / last[what] * last[f"{who}: CPU seconds"] for who in ("client", "workers"))
    expected = {f"{w} workers: minutes": (here + there / w) / 60 for w in workers}
    line = np.polyfit(table[what], table["client: GB"], min(1, table[what].nunique() - 1))
    memory = np.polyval(line, n) if what == "atoms" else last["client: GB"]  # structures come and go
    return {"": f"{n:,} {what}"} | expected | {"client: GB": memory}


def _processor():
    file = Path("/proc/cpuinfo")
    cpu = re.search(r"model name\s*:\s*(.*)", file.read_text()) if file.exists() else None
    return cpu[1] if cpu else platform.machine()


def _shown(x):
    if isinstance(x, str):
        return x
    return "–" if np.isnan(x) else f"{x:,.0f}" if x >= 100 or x == int(x) else f"{x:.3g}"


def _markdown(table):
    text = table.map(_shown)
    return text.to_markdown(index=False, disable_numparse=True, colalign=["right"] * table.shape[1])


def bench_scaling(sizes, workers, target):
    """Measure maps of so many atoms, and answers, with each number of workers; write a page of it."""
    maps = _scaling(_map, sizes, workers, "atoms")
    answers = _scaling(_classify, [1_000, 2_000], workers, "structures")
    reading = _reading(max(sizes))
    many = 16, 64, 256
    expected = pd.DataFrame(
        [*(_expected(maps, n, many) for n in (10**7, 10**8)), *(_expected(answers, n, many) for n in (10**5, 10**6))]
    )
    text = f"""# Maps and answers on workers: measured

Written by `python -m xtalsight.study.bench map`, on {os.cpu_count()} cores ({_processor()}), which the client, with the
scheduler in it, shares with the workers. Each row is a run of its own; workers have one thread each. Memory is the largest of a process
at any time, its libraries included.

## Maps of a polycrystal of copper

{_markdown(maps)}

## Structures of {BALL} atoms, classified

{_markdown(answers)}

## Files, read by the client

{_markdown(reading)}

## What this says for more

The work of the client grows with the sample and is not divided; that of the workers is. With W workers as fast as these, a computation needs the
CPU seconds of the client and one W-th of those of the workers, about, each in proportion to the largest sample above.

{_markdown(expected)}
"""
    with replacing(target) as temporary:
        temporary.write_text(text)
    print(f"written: {target}")


def main():
    parser = argparse.ArgumentParser(prog="python -m xtalsight.study.bench", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="what", metavar="map")
    command = commands.add_parser("map", help="scaling with the workers of a cluster: docs/cluster_scaling.md")
    number = lambda text: int(float(text))
    command.add_argument("--atoms", type=number, nargs="+", default=[100_000, 1_000_000], metavar="N", help="also 1e7")
    command.add_argument("--workers", type=number, nargs="+", default=[1, 2], metavar="N")
    command.add_argument("-o", "--output", type=Path, default=root() / "docs" / "cluster_scaling.md", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.what == "map":
        bench_scaling(arguments.atoms, arguments.workers, arguments.output)
    else:
        bench_speed(root() / "docs" / "speed.md")


if __name__ == "__main__":
    main()
