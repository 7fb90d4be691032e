from xtalsight.store import load_json
from xtalsight.study import bench
from xtalsight.study.profiles import root


def test_a_page_shows_the_first_run_and_the_last_and_what_only_one_has(tmp_path):
    bench.write_speed(tmp_path / "speed.md", {"a: ms": 2.0, "gone: ms": 1.0}, {"a: ms": 1.0, "new": 150.0})
    lines = (tmp_path / "speed.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert rows[0] == ["measured", "first", "last"]
    assert rows[2:] == [["a: ms", "2", "1"], ["new", "–", "150"], ["gone: ms", "1", "–"]]


def test_the_page_is_that_of_the_runs_on_record(tmp_path):
    runs = load_json(root() / "docs" / "speed.json")
    bench.write_speed(tmp_path / "speed.md", **runs)
    assert (tmp_path / "speed.md").read_text() == (root() / "docs" / "speed.md").read_text()
