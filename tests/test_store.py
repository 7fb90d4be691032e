import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from xtalsight import store
from xtalsight.store import load_json, load_table, replacing, save_json, save_table


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "numbers.json"
    save_json(path, {"a": 1})
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert load_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_with_the_next_write_and_what_is_in_use_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_JUST_MADE", 0)
    path = tmp_path / "numbers.json"
    code = "import sys, time; from xtalsight.store import replacing\nwith replacing(sys.argv[1]) as t: t.touch(); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, path])
    try:
        while not list(tmp_path.glob(".numbers-*/numbers.json")):
            assert process.poll() is None
            time.sleep(0.01)
        save_json(path, {"a": 1})
        assert len(list(tmp_path.iterdir())) == 2, "the other process is still writing"
    finally:
        process.kill()
        process.wait()
    save_json(path, {"a": 2})
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_keeps_the_ending_and_makes_folders(tmp_path):
    with replacing(tmp_path / "new" / "figure.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"1")
    assert (tmp_path / "new" / "figure.png").read_bytes() == b"1"


def test_json_takes_numpy_numbers(tmp_path):
    save_json(tmp_path / "a.json", {"int": np.int64(3), "float": np.float32(0.5)})
    assert load_json(tmp_path / "a.json") == {"int": 3, "float": 0.5}


def test_table_round_trip_is_exact(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"element": ["Na", "No", "In"], "x": rng.uniform(size=3) * 1e-7, "z": [np.nan, 1 / 3, np.pi]})
    save_table(tmp_path / "a.csv", table)
    pd.testing.assert_frame_equal(load_table(tmp_path / "a.csv"), table, check_exact=True, check_dtype=False)
