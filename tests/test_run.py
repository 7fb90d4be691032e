import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from xtalsight.store import load_json, save_json
from xtalsight.study.profiles import Run, parameters
from xtalsight.study.run import _alone, _expected, execute

SCRIPT = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
profile = "smoke"
denominator = {denominator}

# %%
print("the answer is", 84 // denominator)

# %%
import sys

for step in range(3):
    print(f"\\rstep {{step}}", end="", file=sys.stderr, flush=True)
print("\\nI0000 00:00:1 1 port.cc:1] chatter", file=sys.stderr)
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of one notebook, in an empty folder."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "profiles.yaml").write_text("full:\n  01_answer: {denominator: 2}\n")
    (tmp_path / "notebooks" / "01_answer.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(study, denominator):
    path = study / "notebooks" / "01_answer.py"
    path.write_text(SCRIPT.format(denominator=denominator))
    return path


def test_a_profile_changes_the_parameters_and_output_is_seen(study, capfd):
    executed = execute(script(study, 4), "full")
    assert executed == study / "build" / "full" / "01_answer.ipynb"
    assert "the answer is 42" in capfd.readouterr().out
    time = load_json(study / "build" / "full" / "results" / "01_answer.time.json")
    assert time["time.01_answer.seconds"] > 0


def test_of_a_progress_bar_the_last_state_is_kept(study):
    notebook = nbformat.read(execute(script(study, 4), "full"), 4)
    (output,) = notebook.cells[-1].outputs
    assert output.text == "step 2\n"


def test_a_failing_notebook_fails_and_leaves_itself_to_look_at(study):
    path = script(study, 0)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "lib")}
    command = [sys.executable, "-m", "xtalsight.study.run", path, "--profile", "smoke"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=study, env=environment)
    assert finished.returncode != 0
    assert "ZeroDivisionError" in finished.stderr
    folder = study / "build" / "smoke"
    assert [p.name for p in folder.glob("*.ipynb")] == ["01_answer.failed.ipynb"]
    outputs = [o for c in nbformat.read(folder / "01_answer.failed.ipynb", 4).cells for o in c.get("outputs", [])]
    assert any(o.output_type == "error" for o in outputs)
    # Mended, it runs and takes the failed one away.
    execute(script(study, 4), "smoke")
    assert [p.name for p in folder.glob("*.ipynb")] == ["01_answer.ipynb"]


def test_a_failed_run_does_not_pass_for_done(study):
    # make compares times: what was made before the script changed must stay as old as it is.
    target = execute(script(study, 4), "smoke")
    before = target.stat().st_mtime_ns
    with pytest.raises(papermill.exceptions.PapermillExecutionError):
        execute(script(study, 0), "smoke")
    assert target.stat().st_mtime_ns == before


def test_a_misspelt_parameter_is_an_error(study):
    (study / "notebooks" / "profiles.yaml").write_text("smoke:\n  01_answer: {denominatr: 2}\n")
    with pytest.raises(ValueError, match="denominatr"):
        execute(script(study, 4), "smoke")
    assert not (study / "build" / "smoke" / "01_answer.ipynb").exists()


def test_a_profile_that_names_no_notebook_is_an_error(study):
    (study / "notebooks" / "profiles.yaml").write_text("full:\n  01_anwser: {denominator: 2}\n")
    with pytest.raises(ValueError, match="01_anwser"):
        execute(script(study, 4), "smoke")


def test_figures_that_are_no_longer_made_disappear(study):
    old = study / "build" / "smoke" / "figures" / "01_answer" / "fig_01_old.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"png")
    execute(script(study, 4), "smoke")
    assert not old.exists()


def test_unknown_profile(study):
    with pytest.raises(ValueError, match="huge"):
        parameters("01_answer", "huge")


def test_two_processes_do_not_run_one_notebook_and_the_second_says_who_does(study):
    path = script(study, 4)
    with _alone(Run("01_answer", "smoke")):
        command = [sys.executable, "-m", "xtalsight.study.run", path, "--profile", "smoke"]
        finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=study)
        assert finished.returncode == 1
        assert finished.stderr == f"error: process {os.getpid()} is running 01_answer (smoke): wait for it, or end it\n"
    assert execute(path, "smoke").exists()


def test_it_says_what_runs_and_what_is_left(study):
    for name in ("02_more", "03_last"):
        (study / "notebooks" / f"{name}.py").touch()
    minutes = {"time.01_answer.minutes": 2.6, "time.02_more.minutes": 7.0, "time.03_last.minutes": 5.5}
    save_json(study / "figures" / "results.json", minutes)
    path = study / "notebooks" / "01_answer.py"
    assert _expected(path, "smoke") == ", 1 of 3"
    assert _expected(path, "full") == ", 1 of 3: 2.6 minutes when it was measured, 12 for all after it"
    assert _expected(study / "notebooks" / "my_trial.py", "full") == ""
    (study / "figures" / "results.json").unlink()
    assert _expected(path, "full") == ", 1 of 3"
