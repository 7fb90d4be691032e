import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from xtalsight.store import load_json, save_json
from xtalsight.study.profiles import root
from xtalsight.study.report import _commit, collect_results, fill_numbers, fill_page, fill_tables, pages, publish

FIGURES = root() / "figures"


def test_numbers_take_their_place_and_format():
    text = "right: <!--=cnn.accuracy:.1%-->old<!--/-->, of <!--=n-->?<!--/-->"
    filled = fill_numbers(text, {"cnn.accuracy": 0.98765, "n": 7})
    assert filled == "right: <!--=cnn.accuracy:.1%-->98.8%<!--/-->, of <!--=n-->7<!--/-->"
    assert fill_numbers(filled, {"cnn.accuracy": 0.98765, "n": 7}) == filled


def test_a_number_that_nobody_wrote_is_an_error():
    with pytest.raises(KeyError, match="cnn.missing"):
        fill_numbers("<!--=cnn.missing-->1<!--/-->", {"cnn.accuracy": 1})


def test_a_number_that_is_not_there_yet_shows_as_missing():
    assert fill_numbers("<!--=cnn.missing:.0f-->12<!--/-->", {}, missing="…") == "<!--=cnn.missing:.0f-->…<!--/-->"


def test_a_result_that_was_not_reached_shows_a_dash():
    assert fill_numbers("<!--=a:.0f-->12<!--/-->", {"a": None}) == "<!--=a:.0f-->–<!--/-->"


def test_tables_take_their_place(tmp_path):
    (tmp_path / "table_01_a.md").write_text("| a |\n|---|\n| 1 |\n")
    text = "before\n\n<!--table table_01_a-->\nold\n<!--/table-->\n\nafter <!--table no--> of a line\n"
    filled = fill_tables(text, tmp_path)
    assert filled == text.replace("old", "| a |\n|---|\n| 1 |\n")
    assert fill_tables(filled, tmp_path) == filled


def test_a_table_that_nobody_made_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="table_01_a"):
        fill_tables("<!--table table_01_a-->\n<!--/table-->\n", tmp_path)


def test_two_notebooks_cannot_write_one_key(tmp_path):
    save_json(tmp_path / "results" / "01_crystals.json", {"a": 1})
    save_json(tmp_path / "results" / "03_a_network_learns.json", {"a": 2})
    with pytest.raises(ValueError, match="'a'"):
        collect_results(tmp_path)


def test_what_an_earlier_run_had_done_counts_as_time(tmp_path):
    name = "03_a_network_learns"
    save_json(tmp_path / "results" / f"{name}.json", {"a": 1, f"time.{name}.earlier_seconds": 100})
    save_json(tmp_path / "results" / f"{name}.time.json", {f"time.{name}.seconds": 20})
    results = collect_results(tmp_path)
    assert results == {"a": 1, f"time.{name}.seconds": 120, f"time.{name}.minutes": 2, "time.all.minutes": 2}


def test_results_of_a_notebook_that_is_gone_are_left_out(tmp_path):
    save_json(tmp_path / "results" / "05_renamed.json", {"a": 1})
    assert "a" not in collect_results(tmp_path)


def test_publish_names_the_notebook_and_removes_what_is_gone(tmp_path):
    made = tmp_path / "build" / "figures" / "03_a_network_learns" / "fig_06_loss.png"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"png")
    target = tmp_path / "figures"
    target.mkdir()
    for old in ("fig_99_old.png", "table_99_old.png", "table_99_old.md"):
        (target / old).write_bytes(b"old")
    # A run that was killed while it wrote a figure.
    (made.parent / ".fig_06_loss-x1").mkdir()
    (made.parent / ".fig_06_loss-x1" / "fig_06_loss.png").write_bytes(b"half")
    publish(tmp_path / "build", target, "smoke", {"a": 1})
    assert sorted(p.name for p in target.iterdir()) == ["fig_06_loss.png", "manifest.json", "results.json"]
    (entry,) = load_json(target / "manifest.json")["files"].values()
    assert entry["notebook"] == "03_a_network_learns"
    assert load_json(target / "results.json") == {"a": 1}


def test_where_only_times_differ_all_stays_as_it_was(tmp_path):
    made = tmp_path / "build" / "figures" / "03_a_network_learns" / "table_02_speed.md"
    made.parent.mkdir(parents=True)
    made.write_text("3 s")
    target = tmp_path / "figures"
    first = {"cnn.accuracy": 0.5, "cnn.seconds": 3.0, "cnn.seconds_to_all_right": 2.0, "time.all.minutes": 2.0}
    assert publish(tmp_path / "build", target, "smoke", first) == first
    made.write_text("4 s")
    slower = first | {"cnn.seconds": 4.0, "cnn.seconds_to_all_right": 2.5, "time.all.minutes": 3.0}
    assert publish(tmp_path / "build", target, "smoke", slower) == first
    assert (load_json(target / "results.json"), (target / made.name).read_text()) == (first, "3 s")
    better = slower | {"cnn.accuracy": 0.6}
    assert publish(tmp_path / "build", target, "smoke", better) == better
    assert (load_json(target / "results.json"), (target / made.name).read_text()) == (better, "4 s")
    (target / made.name).unlink()
    assert publish(tmp_path / "build", target, "smoke", slower | {"cnn.accuracy": 0.6}) == better
    assert (target / made.name).exists()


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script of the only notebook of a study, committed."""
    monkeypatch.chdir(tmp_path)
    path = Path("notebooks/01_first.py")
    path.parent.mkdir()
    path.write_text('# %% [markdown]\n# <!--=a-->1<!--/-->\n\n# %% tags=["parameters"]\nn = 1  # number\n')
    Path("notebooks/profiles.yaml").write_text("smoke: {}\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    return path


def test_numbers_written_into_a_script_do_not_make_it_another_one(script):
    made = Path("build/figures/01_first/fig_01.png")
    made.parent.mkdir(parents=True)
    made.write_bytes(b"png")
    first = {"a": 1, "time.all.minutes": 2.0}
    assert publish(Path("build"), Path("figures"), "smoke", first) == first
    script.write_text(script.read_text().replace("-->1<!--", "-->2<!--"))
    assert publish(Path("build"), Path("figures"), "smoke", first | {"time.all.minutes": 3.0}) == first
    assert re.fullmatch(r"[0-9a-f]{40}", _commit())


@pytest.mark.parametrize("change", ["edited", "added", "removed"])
def test_code_that_is_not_committed_is_marked(change, script):
    if change == "edited":
        script.write_text(script.read_text().replace("n = 1", "n = 2"))
    elif change == "added":
        Path("notebooks/02_second.py").touch()
    else:
        script.unlink()
    assert _commit().endswith("-dirty")


def test_read_only_figures_stay_as_they_are_and_are_named(tmp_path):
    made = tmp_path / "build" / "figures" / "03_a_network_learns" / "fig_06_loss.png"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"new")
    target = tmp_path / "figures"
    target.mkdir()
    # Not by its mode: root writes all the same.
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", target], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    try:
        with pytest.raises(OSError, match=rf"Read-only file system: .*{target.name}"):
            publish(tmp_path / "build", target, "smoke", {"a": 1})
        assert not list(target.iterdir())
    finally:
        subprocess.run(["umount", target], check=True)


class TestCommitted:
    """What is committed belongs together."""

    @pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
    def test_pages_show_the_committed_numbers_and_tables(self, page):
        assert fill_page(page, load_json(FIGURES / "results.json"), FIGURES) == page.read_text()

    def test_figures_are_those_of_the_manifest(self):
        manifest = load_json(FIGURES / "manifest.json")
        assert manifest["profile"] == "full"
        files = manifest["files"]
        found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in FIGURES.glob("*_*.*")}
        assert found == {name: entry["sha256"] for name, entry in files.items()}

    def test_no_line_of_text_begins_with_a_mark(self):
        # In Markdown a line that begins with a comment ends the paragraph.
        for text in (*pages(), *(root() / "notebooks").glob("[0-9]*.py")):
            assert not re.search(r"^(# )?\s*<!--=", text.read_text(), re.MULTILINE), text.name

    def test_results_are_numbers_with_a_section(self):
        for key, value in load_json(FIGURES / "results.json").items():
            assert "." in key and (value is None or isinstance(value, (int, float))), key
