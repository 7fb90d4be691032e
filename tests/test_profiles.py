import subprocess
import sys

import pytest

from xtalsight.store import save_json
from xtalsight.study import profiles
from xtalsight.study.profiles import Run


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A study without results, and the commands that are asked for in it."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "profiles.yaml").write_text("smoke: {}\n")
    monkeypatch.chdir(tmp_path)
    commands = []
    monkeypatch.setattr(profiles.subprocess, "run", lambda command, check: commands.append([*map(str, command)]))
    return commands


def test_an_earlier_notebook_that_was_not_run_is_run(asked, tmp_path, capsys):
    Run("02_later", "smoke").needs("01_earlier")
    script = str(tmp_path / "notebooks" / "01_earlier.py")
    assert asked == [[sys.executable, "-m", "xtalsight.study.run", script, "--profile", "smoke"]]
    assert "01_earlier" in capsys.readouterr().out


def test_an_earlier_notebook_that_was_run_is_not_run_again(asked, tmp_path):
    save_json(tmp_path / "build" / "smoke" / "results" / "01_earlier.json", {})
    Run("02_later", "smoke").needs("01_earlier")
    assert asked == []
    Run("02_later", "full").needs("01_earlier")
    assert len(asked) == 1


def test_a_failure_of_the_earlier_notebook_is_not_passed_over(asked, monkeypatch):
    def fail(command, check):
        assert check
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(profiles.subprocess, "run", fail)
    with pytest.raises(subprocess.CalledProcessError):
        Run("02_later", "smoke").needs("01_earlier")
