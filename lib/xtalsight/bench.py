"""Measure speed as ratios within one run: ``python -m xtalsight.bench``. Not a test: it says how fast, not whether right."""

import time

import numpy as np
from ase.build import bulk

from xtalsight import fingerprints, networks, scattering, spectra
from xtalsight.clouds import cut_cloud
from xtalsight.crystals import build_crystal, make_recipes

THREADS = 2
BATCH = 32


def seconds(function, repeats):
    """Return the median time of `repeats` calls, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def bench_fingerprint():
    atoms = build_crystal(make_recipes({"fcc": 1}, 0).iloc[0])
    geometry = fingerprints.DiffractionGeometry()
    scattering_input = fingerprints._scattering_input(atoms, geometry)
    # Setting up: the length scale, the elements, the checks of the input.
    set_up = seconds(lambda: fingerprints._scattering_input(atoms, geometry), 300)
    fast = seconds(lambda: fingerprints._patterns(*scattering_input, geometry), 300)
    direct = seconds(lambda: fingerprints._patterns_direct(*scattering_input, geometry), 9)
    print(f"six patterns of {len(atoms)} atoms, one core")
    print(f"  float64 sum in NumPy  {1e3 * direct:8.2f} ms")
    print(f"  this library          {1e3 * fast:8.2f} ms    {direct / fast:.0f} times as fast (goal: 1 ms, 150 times)")
    print(f"  length scale, set-up  {1e3 * set_up:8.2f} ms    {set_up / fast:.2f} of it (goal: below 1)")


def bench_spectrum():
    dice = np.random.default_rng(0)
    copper = cut_cloud(bulk("Cu"), 256, "sphere", dice)
    alloy = copper.copy()
    alloy.numbers = dice.permutation(np.repeat([29, 79], 128))
    one, two = (seconds(lambda atoms=atoms: spectra.spectrum(atoms), 100) for atoms in (copper, alloy))
    # The plain sum over the same directions, eight times those that mirror images are made from.
    positions, radius = spectra._scaled_positions(copper)
    share = spectra._SHARE_OF_DEGREES
    grid = spectra._grid(spectra._RADIUS_STEP * float(np.ceil(radius / spectra._RADIUS_STEP)), share)
    vectors = np.tile(grid.vectors.components.T, (8, 1))
    direct = seconds(lambda: scattering.amplitude(positions, vectors, np.ones((len(copper), 1))), 3)
    print(f"\nspectra of {len(copper)} atoms, one core")
    print(f"  float64 sum in NumPy  {1e3 * direct:8.2f} ms")
    print(f"  one kind              {1e3 * one:8.2f} ms    {direct / one:.0f} times as fast")
    print(f"  places and two kinds  {1e3 * two:8.2f} ms    {two / one:.2f} times one kind (goal: below 2)")


def bench_training():
    networks.make_reproducible(0, THREADS)
    model = networks.table_1_network()
    model.compile("adam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(BATCH, *networks.IMAGE_SHAPE)).astype(np.float32)
    labels = rng.integers(7, size=BATCH)
    step = seconds(lambda: model.train_on_batch(images, labels), 15)
    peak = networks.matrix_product_peak()
    arithmetic = BATCH * networks.training_operations(model) / peak
    print(f"\nTable 1 network, batch of {BATCH}, {THREADS} threads")
    print(f"  matrix product        {peak / 1e9:8.0f} Gflop/s")
    print(f"  its arithmetic needs  {1e3 * arithmetic:8.0f} ms a step")
    print(
        f"  training              {1e3 * step:8.0f} ms a step    {step / arithmetic:.2f} times the arithmetic (goal: 1.25)"
    )


if __name__ == "__main__":
    bench_fingerprint()
    bench_spectrum()
    bench_training()
