import sys

import pytest

from xtalsight import provenance
from xtalsight.clouds import build_cloud
from xtalsight.provenance import code_of

MODULE = """
from made.other import helper, unused as not_used
from made import other

SHIFT = 1  # of all
SCALE, UNUSED = 2, 3


def compute(x):
    \"\"\"Say what it does.\"\"\"
    return helper(x) + _own(x)


def _own(x):
    from made import third
    from made.other import late

    return late(x) + SHIFT + other.constant + third.Holder(x).doubled()


def elsewhere(x):
    return SCALE * x
"""
OTHER = """
import numpy as np


def helper(x):
    return np.sum(x)


def unused(x):
    return x


def late(x):
    return x


constant = 4
"""
THIRD = """
class Holder:
    def __init__(self, x):
        self.x = x

    def doubled(self):
        return 2 * self.x
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Writes a package of two modules, one changed, and returns the code of its function."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(provenance, "_PACKAGE", "made")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "__init__.py").write_text("")

    def code(old="", new="", function="compute"):
        for name, text in (("own", MODULE), ("other", OTHER), ("third", THIRD)):
            (tmp_path / "made" / f"{name}.py").write_text(text.replace(old, new) if old else text)
        for name in [name for name in sys.modules if name.split(".")[0] == "made"]:
            del sys.modules[name]
        provenance._definitions.cache_clear()
        import linecache

        linecache.clearcache()
        from importlib import import_module

        return code_of(getattr(import_module("made.own"), function))

    yield code
    for name in [name for name in sys.modules if name.split(".")[0] == "made"]:
        del sys.modules[name]
    provenance._definitions.cache_clear()


@pytest.mark.parametrize(
    "old, new",
    [
        ("np.sum(x)", "np.sum(x, axis=0)"),
        ("SHIFT = 1", "SHIFT = 2"),
        ("constant = 4", "constant = 5"),
        ("def late(x):\n    return x", "def late(x):\n    return -x"),
        ("+ _own(x)", "- _own(x)"),
        ("return late(x)", "return 2 * late(x)"),
        ("return 2 * self.x", "return 3 * self.x"),
    ],
)
def test_what_a_function_uses_counts(made, old, new):
    assert made() != made(old, new)


@pytest.mark.parametrize(
    "old, new",
    [
        ("# of all", "# of some"),
        ("Say what it does.", "It says what it does."),
        ("SCALE * x", "SCALE + x"),
        ("def unused(x):\n    return x", "def unused(x):\n    return -x"),
        ("SHIFT + other.constant", "SHIFT  +  other.constant"),
    ],
)
def test_what_it_does_not_use_and_what_is_written_about_it_do_not(made, old, new):
    assert made() == made(old, new)


def test_functions_have_names(made):
    assert made() != made(function="elsewhere")
    assert code_of(build_cloud) != code_of(build_cloud, build_cloud)


def test_of_this_package_all_that_makes_a_cloud_is_found():
    code = code_of(build_cloud)
    for name in (
        "crystals.primitive_cell",
        "damage.thermal_waves",
        "counterexamples.random_crystal",
        "crystals.PROTOTYPES",
    ):
        assert f"xtalsight.{name}: " in code
    assert "Parameters" not in code


def test_a_function_that_is_in_no_module_has_no_code():
    def build(recipe):
        return recipe

    build.__module__ = "__main__"
    with pytest.raises(ValueError, match="must be in a module"):
        code_of(build)
