import pickle
import threading
import time

import numpy as np
import pytest

from xtalsight import grains
from xtalsight.parallel import in_order
from xtalsight.study.bench import polycrystal


def half(x):
    time.sleep(0.02 * (x % 2))
    return x / 2


def halves(x):
    if x == 5:
        raise ValueError("five has no half")
    return x // 2


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_come_in_the_order_of_the_tasks(n_jobs):
    assert list(in_order(half, ((i,) for i in range(30)), n_jobs)) == [i / 2 for i in range(30)]


def test_no_tasks():
    assert list(in_order(half, iter([]), 2)) == []


def test_few_tasks_are_made_ahead():
    made = []

    def tasks():
        for i in range(60):
            made.append(i)
            yield (i,)

    assert max(len(made) - n for n, _ in enumerate(in_order(half, tasks(), 2))) < 20


def test_tasks_are_made_where_they_are_asked_for():
    """A reader of files that another thread goes on with takes away what is printed meanwhile."""
    threads = set()

    def tasks():
        for i in range(30):
            threads.add(threading.get_ident())
            yield (i,)

    assert len(list(in_order(half, tasks(), 2))) == 30
    assert threads == {threading.get_ident()}


def test_errors_of_what_makes_the_tasks_are_passed_on():
    def tasks():
        yield (1,)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(in_order(half, tasks(), 1))


def test_no_task_of_a_map_is_given_all_atoms(monkeypatch):
    """Blocks with what is around them: their size does not depend on that of the sample."""
    tasks = []

    def look(function, all_arguments, n_jobs):
        """Instead of computing, say that there is nothing."""
        for arguments in all_arguments:
            tasks.append((len(pickle.dumps(arguments)), len(arguments[0])))
            if function is grains._find_in_block:
                yield grains._Balls.empty(len(arguments[2]))
            else:
                n = (arguments[2] == 2).sum()
                yield np.full(n, -1), np.zeros(n, np.float32)

    monkeypatch.setattr(grains, "in_order", look)
    atoms = polycrystal(200_000)
    assert len(grains.map_structure(atoms, progress=False).grains) == 0
    size, n_atoms = np.max(tasks, axis=0)
    assert len(tasks) >= 16
    assert n_atoms < 0.6 * len(atoms)
    assert size < 4e6, "bytes, whatever the sample"


# joblib ends its processes then, and a thread that feeds them complains.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_errors_of_a_call_are_passed_on(n_jobs):
    results = in_order(halves, ((i,) for i in range(8)), n_jobs)
    with pytest.raises(ValueError, match="five has no half"):
        list(results)
