"""Pair every script with a notebook without outputs: ``python -m xtalsight.study.pairing [--check]``.

The script is the source. The notebook beside it is what Colab and GitHub open; the numbers in its text are those of
``figures/results.json``, the address in its first cell of code is that of ``pyproject.toml``.
"""

import argparse
import sys
import tomllib

import jupytext
import nbformat

from xtalsight.store import load_json, replacing
from xtalsight.study.profiles import root
from xtalsight.study.report import fill_numbers


def repository() -> str:
    """Return the address of the public repository, a setting in pyproject.toml; empty if it is not known."""
    return tomllib.loads((root() / "pyproject.toml").read_text())["tool"]["xtalsight"]["repository"]


def paired(script: str, results: dict, address: str) -> str:
    """Return the text of the notebook for the text of a jupytext script, the same for the same input.

    `address` is where Colab fetches the study from. Cells with the tag ``hide-cell``, solutions, are shown folded, in
    JupyterLab and in Colab.
    """
    notebook = jupytext.reads(fill_numbers(script, results, missing="…"), fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"  # jupytext's are random
        if "colab" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace('REPOSITORY = "…"', f'REPOSITORY = "{address or "…"}"')
        if "hide-cell" in cell.metadata.get("tags", []):
            cell.metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
    return nbformat.writes(notebook) + "\n"


def pair(check: bool = False) -> list[str]:
    """Write the notebooks that differ from their scripts, or with `check` write nothing; return their names."""
    results_file = root() / "figures" / "results.json"
    results = load_json(results_file) if results_file.exists() else {}
    stale = []
    for script in sorted((root() / "notebooks").glob("[0-9]*.py")):
        notebook, content = script.with_suffix(".ipynb"), paired(script.read_text(), results, repository())
        if not notebook.exists() or notebook.read_text() != content:
            stale.append(notebook.name)
            if not check:
                with replacing(notebook) as temporary:
                    temporary.write_text(content)
    return stale


def main():
    parser = argparse.ArgumentParser(prog="python -m xtalsight.study.pairing", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if anything is out of date")
    check = parser.parse_args().check
    stale = pair(check)
    if stale and check:
        sys.exit(f"out of date, run `make sync`: {', '.join(stale)}")
    print(f"written: {', '.join(stale)}" if stale else "scripts and notebooks agree")


if __name__ == "__main__":
    main()
