"""Many calls in parallel: in processes of this machine, or on the workers of a cluster."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError

import joblib
from joblib.parallel import get_active_backend

_AHEAD = 3  # tasks for each worker that are made and not yet answered


def in_order(function: Callable, tasks: Iterable[tuple], n_jobs: int = -1) -> Iterator:
    """Call a function with the arguments of each task in parallel; yield what it returns, in order.

    Few tasks are made ahead, so that memory does not grow with their number.

    Parameters
    ----------
    function : callable
    tasks : iterable of tuple
    n_jobs : int
        Number of processes; -1 takes every core. Inside ``joblib.parallel_config("dask")`` they are the threads of all workers of
        the cluster, those that join it later, too, whatever `n_jobs`. The task of a worker that dies goes to another one.

    Raises
    ------
    OSError
        The cluster is lost, or four of its workers have died of one task.
    """
    client = getattr(get_active_backend()[0], "client", None)
    if client is not None:
        return _on_cluster(client, function, tasks)
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator", pre_dispatch="2*n_jobs")
    return parallel(joblib.delayed(function)(*arguments) for arguments in tasks)


def _on_cluster(client, function, tasks):
    """`in_order` by the client of dask.

    Not by joblib's own way to it, which leaves arrays with single workers and fails when one of these dies, waits for ever when a task
    is given up, computes here when there is one worker, and never looks whether more have come.
    """
    waiting, room, asked = deque(), 1, -1.0
    for arguments in tasks:
        waiting.append(client.submit(function, *arguments, pure=False))
        if time.monotonic() - asked > 1:
            room, asked = _AHEAD * max(sum(client.nthreads().values()), 1), time.monotonic()
        while len(waiting) >= room:
            yield _result(waiting.popleft())
    while waiting:
        yield _result(waiting.popleft())


def _result(future):
    from distributed import KilledWorker  # not above: only who uses a cluster needs it

    try:
        return future.result()
    except KilledWorker as error:
        raise OSError("workers of the cluster die of a task: give them more memory, or look into their logs") from error
    except CancelledError as error:
        raise OSError("the scheduler of the cluster does not answer any more") from error
