"""The notebooks run at small scale, through make, as a reader would run them."""

import ast
import os
import re
import shutil
import subprocess

import jupytext
import nbformat
import pytest
import yaml
from jupytext.config import load_jupytext_configuration_file

from xtalsight.store import load_json
from xtalsight.study.book import FIRST_EVIDENCE
from xtalsight.study.pairing import paired, repository
from xtalsight.study.profiles import PROFILES, root
from xtalsight.study.report import fill_numbers

SCRIPTS = sorted((root() / "notebooks").glob("[0-9]*.py"))
NAMES = [script.stem for script in SCRIPTS]
SMOKE = root() / "build" / "smoke"
each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)


def make(*arguments):
    """Run make as on the command line, not as a part of the make that may run these tests."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=root(), capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture(scope="module")
def smoke():
    shutil.rmtree(SMOKE, ignore_errors=True)  # nothing from an earlier run passes for done
    committed = [root() / "README.md", *(root() / "figures").glob("*"), *(root() / "notebooks").glob("[0-9]*")]
    published = {p: p.read_bytes() for p in committed}
    finished = make("smoke")
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-5000:]
    assert published == {p: p.read_bytes() for p in committed}, "smoke changed what is committed"


@each_script
def test_notebook_runs(script, smoke):
    notebook = nbformat.read(SMOKE / f"{script.stem}.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code if cell.source)
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)


def test_make_has_nothing_to_do_a_second_time(smoke):
    assert make("all", "--question", "PROFILE=smoke").returncode == 0


def test_what_was_made_before_the_clock_was_set_back_is_made_again(tmp_path):
    now, ahead = tmp_path / "01_now.ipynb", tmp_path / "02_ahead.ipynb"
    for path, when in ((now, 0), (ahead, 3600)):
        path.touch()
        os.utime(path, (path.stat().st_mtime + when,) * 2)
    assert make("help", f"BUILD={tmp_path}").returncode == 0
    assert (now.exists(), ahead.exists()) == (True, False)


@pytest.mark.parametrize(
    "changed, rerun",
    [
        ("01", "01 02 03 04 05 06 07 08 09 10 13 14 15 16 17 18 19 20 21 22 99"),
        ("03", "03 04 06 07 08 09 10 14 15 17 18 19 20 21 22 99"),
        ("04", "04 99"),
        ("06", "06 07 08 09 10 17 18 19 20 21 22 99"),
        ("08", "08 09 10 18 19 20 21 22 99"),
        ("10", "10 21 22 99"),
        ("13", "13 99"),
        ("14", "14 17 99"),
        ("99", "99"),
    ],
)
def test_a_changed_notebook_reruns_what_depends_on_it(changed, rerun, smoke):
    (script,) = [script for script in SCRIPTS if script.stem[:2] == changed]
    plan = make("all", "--dry-run", "PROFILE=smoke", f"--what-if=notebooks/{script.name}").stdout
    assert sorted(re.findall(r"notebooks/(\d\d)_\w+\.py", plan)) == rerun.split()


def test_small_run_gets_the_physics_right(smoke):
    results = load_json(SMOKE / "report" / "results.json")
    assert results["crystals.space_group_right"] == 1
    assert results["crystals.rotation_left_angstrom"] < 1e-9
    assert results["fingerprints.reference.largest_difference"] <= 1e-5
    assert results["fingerprints.failures"] == 0
    assert results["fingerprints.outside_ring"] == 0


@each_script
def test_script_and_notebook_agree(script):
    results = load_json(root() / "figures" / "results.json")
    committed = script.with_suffix(".ipynb").read_text()
    shown = nbformat.reads(committed, 4)
    assert committed == paired(script.read_text(), results, repository(), shown), "run `make sync`"


@each_script
def test_numbers_in_a_script_are_those_of_the_run(script):
    results = load_json(root() / "figures" / "results.json")
    filled = fill_numbers(script.read_text(), results, missing="…")
    assert "-->…<!--/-->" not in filled, "no notebook wrote this number yet: run `make all`"
    assert filled == script.read_text(), "run `make sync`"


@each_script
def test_text_of_an_executed_notebook_has_the_numbers_of_its_run(script, smoke):
    """But for those of notebooks that come later, as evidence does."""
    later = [f for f in (SMOKE / "results").glob("*.json") if f.name > f"{script.stem}.json" and f.name[:2] != "99"]
    unknown = set().union(*(load_json(file) for file in later)) | {"time.all.minutes"}
    cells = nbformat.read(SMOKE / f"{script.stem}.ipynb", 4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    missing = {key for key, value in re.findall(r"<!--=([\w.+-]+)[^>]*-->(.*?)<!--/-->", text) if value == "…"}
    assert missing <= unknown


@each_script
def test_a_lesson_is_short(script):
    """Evidence may be longer: it has whole sweeps in one loop, and figures of many panels."""
    code = [cell.source for cell in jupytext.read(script).cells if cell.cell_type == "code"]
    is_lesson = script.stem < FIRST_EVIDENCE
    assert len(code) <= (30 if is_lesson else 40)
    shown = [source for source in code if not re.match(r"import |from |profile = ", source)]
    assert max(len(source.splitlines()) for source in shown) <= (15 if is_lesson else 25)


@each_script
def test_every_notebook_has_the_same_cell_for_colab(script):
    notebook = jupytext.read(script)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells[0].metadata["tags"] == ["colab"]
    assert cells[0].source == colab_cell()
    assert notebook.cells.index(cells[0]) == 1, "right after the title"


def colab_cell():
    (cell,) = [c for c in jupytext.read(SCRIPTS[0]).cells if "colab" in c.metadata.get("tags", [])]
    return cell.source


def test_the_cell_does_nothing_outside_colab(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    exec(colab_cell(), {})  # noqa: S102
    assert not list(tmp_path.iterdir())


def test_in_colab_the_study_is_fetched_and_installed_beside_what_is_there(tmp_path, monkeypatch):
    """With a pip that only writes down what it is asked for."""
    stub = tmp_path / "bin" / "pip"
    stub.parent.mkdir()
    stub.write_text(
        f"""#!/bin/sh
if [ "$1" = list ]; then printf 'numpy==2.0.2\\ntensorflow==2.19.0\\nnumpy-financial==1.0\\n'; exit; fi
echo "$@" > {tmp_path}/asked; cp "$4" {tmp_path}/held
"""
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", repository], check=True)
    shutil.copytree(root() / "notebooks", repository / "notebooks", ignore=shutil.ignore_patterns(".*"))
    git = ["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "all"], check=True)
    (tmp_path / "content").mkdir()
    monkeypatch.chdir(tmp_path / "content")
    notebook = nbformat.reads(paired(SCRIPTS[0].read_text(), {}, f"file://{repository}"), 4)
    (cell,) = [cell for cell in notebook.cells if "colab" in cell.metadata.get("tags", [])]
    for start in ("content", "content", "content/xtalsight/notebooks"):  # kernel restarted; cell run twice
        os.chdir(tmp_path / start)
        exec(cell.source, {})  # noqa: S102
        assert os.getcwd() == str(tmp_path / "content" / "xtalsight" / "notebooks")
    assert "..[notebooks,prototypes]" in (tmp_path / "asked").read_text()
    assert (tmp_path / "held").read_text().split() == ["numpy==2.0.2", "tensorflow==2.19.0"]


@each_script
def test_solutions_are_folded(script):
    notebook = nbformat.read(script.with_suffix(".ipynb"), 4)
    solutions = [cell for cell in notebook.cells if cell.source.startswith("# @title Solution")]
    for cell in solutions:
        assert "hide-cell" in cell.metadata.tags
        assert cell.metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}
        assert cell.metadata.cellView == "form"
        assert re.search(r"^\s*assert ", cell.source, re.MULTILINE), "a solution grades"
    if "## Exercises" in "".join(cell.source for cell in notebook.cells):
        assert 2 <= len(solutions) <= 3
    else:
        assert script.stem.startswith("99")


@each_script
def test_script_survives_the_round_trip(script):
    notebook = nbformat.read(script.with_suffix(".ipynb"), 4)
    config = load_jupytext_configuration_file(str(root() / "pyproject.toml"))
    again = jupytext.writes(notebook, fmt="py:percent", config=config)
    assert again.split("# ---\n", 2)[2] == script.read_text().split("# ---\n", 2)[2]


def test_profiles_set_parameters_that_exist():
    profiles = yaml.safe_load((root() / "notebooks" / "profiles.yaml").read_text())
    assert set(profiles) == set(PROFILES)
    for notebooks in profiles.values():
        for name, values in (notebooks or {}).items():
            assert set(values) <= set(parameters_of(root() / "notebooks" / f"{name}.py")), name


@each_script
def test_parameters_are_literals_with_a_meaning(script):
    cell = parameter_cell(script)
    for line in cell.source.splitlines():
        assert re.fullmatch(r"\w+ = .+  # .+", line), line
    assert parameters_of(script)["profile"] == "smoke"


def parameter_cell(script):
    (cell,) = [c for c in jupytext.read(script).cells if "parameters" in c.metadata.get("tags", [])]
    return cell


def parameters_of(script):
    return {a.targets[0].id: ast.literal_eval(a.value) for a in ast.parse(parameter_cell(script).source).body}


def test_help_names_every_target():
    shown = make().stdout
    phony = re.search(r"^\.PHONY: help (.+)$", (root() / "Makefile").read_text(), re.MULTILINE)[1]
    for target in phony.split():
        assert f"make {target}" in shown


def test_jupyter_opens_a_notebook_that_has_got_new_numbers_after_its_script(tmp_path):
    shutil.copy(root() / "pyproject.toml", tmp_path)
    for age, ending in enumerate((".ipynb", ".py")):
        copied = shutil.copy(root() / "notebooks" / f"11_your_own_crystal{ending}", tmp_path)
        os.utime(copied, (3600 * (2 - age),) * 2)
    manager = jupytext.TextFileContentsManager(root_dir=str(tmp_path))
    opened = manager.get("11_your_own_crystal.ipynb")["content"]
    script = jupytext.read(tmp_path / "11_your_own_crystal.py")
    assert [cell["source"] for cell in opened["cells"]] == [cell.source for cell in script.cells]
