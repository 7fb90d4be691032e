"""Many calls in parallel: in processes of this machine, or on the workers of a cluster."""

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from itertools import islice
from uuid import uuid4

import joblib
from joblib.parallel import get_active_backend

_AHEAD = 3  # tasks for each worker that are made at a time


def in_order(function: Callable, tasks: Iterable[tuple], n_jobs: int = -1) -> Iterator:
    """Call a function with the arguments of each task in parallel; yield what it returns, in order.

    Few tasks are made ahead, so that memory does not grow with their number.

    Parameters
    ----------
    function : callable
    tasks : iterable of tuple
    n_jobs : int
        Number of processes; -1 takes every core. Inside ``joblib.parallel_config("dask")`` all workers of the cluster
        compute, those that join it later, too, whatever `n_jobs`; the tasks of a worker that dies go to others.

    Raises
    ------
    OSError
        The cluster is lost, its workers have another environment, or several have died of one task.
    """
    client = getattr(get_active_backend()[0], "client", None)
    return _here(function, tasks, n_jobs) if client is None else _on_cluster(client, function, tasks)


def _here(function, tasks, n_jobs):
    """`in_order` by joblib.

    Two handfuls of tasks are under way, each a call of its own: of one call joblib takes the later tasks in another
    thread, in which what makes them, the reader of a file for example, and what the caller does meanwhile would disturb
    each other.
    """
    tasks, under_way = iter(tasks), deque()
    try:
        while some := list(islice(tasks, _AHEAD * joblib.effective_n_jobs(n_jobs))):
            parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator", pre_dispatch="all")
            under_way.append(parallel([joblib.delayed(function)(*arguments) for arguments in some]))
            if len(under_way) == 2:
                for result in under_way[0]:  # not `yield from`: see below
                    yield result
                under_way.popleft()
        for results in under_way:
            for result in results:
                yield result
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tasks that are given up
            for results in under_way:
                results.close()


def _on_cluster(client, function, tasks):
    """`in_order` by the client of dask.

    Not by joblib's way to it, which leaves each array with one worker and fails when that dies, waits for ever for a
    task that is given up, computes here when there is one worker, and does not look whether more have come.
    """
    import cloudpickle  # dask brings it

    call, name = _caller(), getattr(function, "__name__", "task")
    waiting, room, asked = deque(), 1, -1.0
    for arguments in tasks:
        # As bytes, which the scheduler keeps without opening them.
        content = cloudpickle.dumps((function, tuple(arguments)))
        waiting.append(client.submit(call, content, key=f"{name}-{uuid4().hex}", pure=False))
        if time.monotonic() - asked > 1:
            room, asked = _AHEAD * max(sum(client.nthreads().values()), 1), time.monotonic()
        while len(waiting) >= room:
            yield _result(waiting.popleft())
    while waiting:
        yield _result(waiting.popleft())


def _caller():
    """What a worker does: a function inside a function, and so sent as it is, not by name. A worker that lacks the name
    would die of it."""

    def call(content):
        import pickle

        try:
            function, arguments = pickle.loads(content)
        except (ImportError, AttributeError) as error:
            raise OSError(f"the workers of the cluster have another environment than this machine: {error}") from error
        return function(*arguments)

    return call


def _result(future):
    from distributed import KilledWorker  # not above: only who has a cluster needs it

    try:
        return future.result()
    except KilledWorker as error:
        raise OSError("several workers of the cluster have died of one task: have they memory enough?") from error
    except CancelledError as error:
        raise OSError("the scheduler of the cluster does not answer any more") from error
