"""The same on two workers of a cluster, processes of this machine, as here, to the bit."""

import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from ase.build import bulk

distributed = pytest.importorskip("distributed")
import dask

from xtalsight import __main__ as command
from xtalsight import dataset, grains
from xtalsight.classify import classify_many
from xtalsight.crystals import make_recipes
from xtalsight.dataset import in_parallel, read_fingerprints, write_fingerprints
from xtalsight.fingerprints import DiffractionGeometry
from xtalsight.grains import map_structure
from xtalsight.parallel import in_order
from xtalsight.reading import read_structures
from xtalsight.study.bench import hot_balls, polycrystal
from xtalsight.trajectories import map_trajectory
from xtalsight.writing import write_frames

# spglib announces how errors will be reported in future.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


def cluster_of(n_workers):
    return distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50)


@pytest.fixture(scope="module")
def client():
    with cluster_of(2) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def on_cluster(client):
    client.wait_for_workers(2)
    with joblib.parallel_config(backend="dask", client=client):
        yield client


def here(function, *arguments, **options):
    """What a function gives on this machine, in this process."""
    with joblib.parallel_config(backend="sequential"):
        return function(*arguments, **options)


def test_a_map_is_the_same_when_a_worker_dies_in_the_middle(on_cluster, monkeypatch):
    monkeypatch.setattr(grains, "_BLOCK", 2)  # so that there are many tasks
    atoms = polycrystal(15_000)
    expected = here(map_structure, atoms, progress=False)
    workers = on_cluster.run(os.getpid)
    done = []

    def killing(function, tasks, n_jobs):
        for result in in_order(function, tasks, n_jobs):
            done.append(function)
            if len(done) == 5:
                os.kill(min(workers.values()), signal.SIGKILL)
            yield result

    monkeypatch.setattr(grains, "in_order", killing)
    found = map_structure(atoms, progress=False)
    assert done.count(grains._find_in_block) >= 20
    assert min(workers.values()) not in on_cluster.run(os.getpid).values()
    assert len(found.grains) >= 2
    assert np.array_equal(found.grain, expected.grain) and np.array_equal(found.carried, expected.carried)
    pd.testing.assert_frame_equal(found.grains, expected.grains, check_exact=True)
    pd.testing.assert_frame_equal(found.neighbours, expected.neighbours, check_exact=True)


def test_answers_are_the_same(on_cluster):
    frames = [*hot_balls(20), bulk("Cu")[:0], bulk("NaCl", "rocksalt", a=5.64)]
    assert repr(list(classify_many(frames))) == repr(here(lambda: list(classify_many(frames))))


def test_a_data_set_is_the_same(on_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "CHUNK", 4)
    monkeypatch.chdir(tmp_path)
    recipes, geometry = make_recipes({"fcc": 5, "hcp": 5}, 7), DiffractionGeometry(n_pixels=16)
    here(write_fingerprints, {"here.zarr": recipes}, geometry)
    failures, _ = write_fingerprints({"there.zarr": recipes}, geometry)
    assert failures.empty
    assert np.array_equal(read_fingerprints("there.zarr"), read_fingerprints("here.zarr"))


def test_data_that_workers_wrote_elsewhere_are_missed(on_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "_write_chunk", lambda tables, start, geometry, build: len(tables))
    with pytest.raises(OSError, match="do the workers see the same files"):
        write_fingerprints({tmp_path / "a.zarr": make_recipes({"fcc": 2}, 7)}, DiffractionGeometry(n_pixels=16))


def test_all_workers_compute_and_this_process_does_not(on_cluster):
    def process(i):
        time.sleep(0.05)
        return os.getpid()

    pids = in_parallel(process, range(20), "processes", n_jobs=1)
    assert set(pids) == set(on_cluster.run(os.getpid).values())


def test_one_worker_computes_rather_than_this_process():
    with cluster_of(1) as cluster, distributed.Client(cluster) as client, joblib.parallel_config("dask", client=client):
        assert os.getpid() not in in_parallel(lambda i: os.getpid(), range(3), "processes")


def test_few_tasks_are_made_ahead(on_cluster):
    made = []

    def tasks():
        for i in range(200):
            made.append(i)
            yield (np.full(1000, i),)

    for n, result in enumerate(in_order(np.sum, tasks())):
        assert result == 1000 * n
        assert len(made) - n <= 6


def test_errors_of_a_call_are_passed_on(on_cluster):
    with pytest.raises(ZeroDivisionError):
        list(in_order(divmod, [(1, 1), (1, 0)]))


def test_a_task_of_which_workers_die_is_given_up():
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        cluster_of(1) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config("dask", client=client),
        pytest.raises(OSError, match="workers of the cluster have died of one task"),
    ):
        list(in_order(os.abort, [()]))


class Slurm(distributed.LocalCluster):
    """What asks SLURM for workers, without SLURM."""

    asked = {}  # noqa: RUF012

    def __init__(self, **options):
        self.asked.update(options)
        super().__init__(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50)

    def adapt(self, minimum_jobs, maximum_jobs):
        assert minimum_jobs == maximum_jobs


def test_the_script_of_the_page_on_clusters_runs(tmp_path, monkeypatch):
    jobqueue = pytest.importorskip("dask_jobqueue")
    page = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text()
    script = re.search(r"```python\n(import.*?)```", page, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    write_frames("sample.dump", [polycrystal(3_000)])
    slurm = jobqueue.SLURMCluster
    monkeypatch.setattr(jobqueue, "SLURMCluster", Slurm)
    Path("script.py").write_text(script)
    with dask.config.set({"distributed.admin.low-level-log-length": 1000}):  # as before, in the end
        runpy.run_path(str(tmp_path / "script.py"), run_name="__main__")
    assert {"class", "grain"} <= set(next(read_structures("mapped.extxyz")).arrays)
    assert len(pd.read_csv("mapped.grains.csv")) >= 1
    with slurm(**Slurm.asked, scheduler_options={"dashboard_address": ":0"}) as cluster:
        assert "--nthreads 1 " in cluster.job_script() and "--nworkers 16 " in cluster.job_script()


# The command.


def ran(*arguments, folder):
    """The command in a process of its own."""
    words = [sys.executable, "-m", "xtalsight", *map(str, arguments)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_maps_a_trajectory_on_a_cluster(client, tmp_path):
    one = polycrystal(3_000)
    write_frames(tmp_path / "two.extxyz", [one, one[:2_000]])
    client.wait_for_workers(2)
    address = client.scheduler.address
    run = ran("map", "two.extxyz", "-o", "there.extxyz", "--scheduler", address, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    here(map_trajectory, tmp_path / "two.extxyz", tmp_path / "here.extxyz")
    for ending in ("extxyz", "grains.csv", "neighbours.csv", "frames.csv"):
        assert (tmp_path / f"there.{ending}").read_bytes() == (tmp_path / f"here.{ending}").read_bytes()


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_PATIENCE", 1)
    monkeypatch.chdir(tmp_path)
    bulk("Cu").write("a.cif")
    bulk("Cu", cubic=True).repeat(5).write("a.extxyz")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_where_nothing_listens_there_is_no_scheduler(files, capsys, address):
    begin = time.monotonic()
    assert command.classify_files(["a.cif"], False, scheduler=address) == 1
    assert command.map_file("a.extxyz", scheduler=address) == 1
    assert time.monotonic() - begin < 10
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"error: no scheduler of dask answers at {address!r}"
    assert second == f"error: a.extxyz: no scheduler of dask answers at {address!r}"
    assert sorted(os.listdir()) == ["a.cif", "a.extxyz"]


def test_what_listens_and_keeps_silent_is_no_scheduler(files, capsys):
    begin = time.monotonic()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert command.classify_files(["a.cif"], False, scheduler=address) == 1
    assert time.monotonic() - begin < 10
    assert f"no scheduler of dask answers at {address!r}" in capsys.readouterr().err


def test_without_dask_the_extra_is_named(files, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert command.classify_files(["a.cif"], False, scheduler="tcp://127.0.0.1:9") == 1
    assert 'pip install "xtalsight[cluster]"' in capsys.readouterr().err
