"""Where things live: the science stands on its own."""

import ast
import re

import pytest

from xtalsight.study.profiles import root

SCIENCE = sorted((root() / "lib" / "xtalsight").glob("*.py"))


@pytest.mark.parametrize("path", SCIENCE, ids=lambda path: path.stem)
def test_science_never_imports_what_runs_the_study(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert "study" not in f"{node.module}.{'.'.join(alias.name for alias in node.names)}".split(".")
        elif isinstance(node, ast.Import):
            assert not any("study" in alias.name.split(".") for alias in node.names)


def test_private_names_are_used_in_their_own_module_alone():
    """The benchmark and the notebooks, too, use what is public."""
    used = re.compile(r"\b(?:{})\.(_[a-z]\w*)".format("|".join(path.stem for path in SCIENCE if path.stem[0] != "_")))
    for path in [*SCIENCE, *SCIENCE[0].parent.glob("study/*.py"), *(root() / "notebooks").glob("*.py")]:
        assert not used.findall(path.read_text()), path
