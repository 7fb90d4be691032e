"""Pair every script with a notebook without outputs: ``python -m xtalsight.pairing [--check]``.

The script is the source. The notebook beside it is what Colab and GitHub open. Before pairing, the numbers in the text of
the script are brought up to date from ``figures/results.json``.
"""

import argparse
import sys
from pathlib import Path

import jupytext
import nbformat

from xtalsight.profiles import root
from xtalsight.report import fill_numbers
from xtalsight.store import load_json


def paired(script: str) -> str:
    """Return the text of the notebook for the text of a jupytext script, the same for the same script."""
    notebook = jupytext.reads(script, fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"  # jupytext's are random
    return nbformat.writes(notebook) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="python -m xtalsight.pairing", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if anything is out of date")
    check = parser.parse_args().check
    results_file = root() / "figures" / "results.json"
    results = load_json(results_file) if results_file.exists() else {}
    stale = []
    for script in sorted((root() / "notebooks").glob("[0-9]*.py")):
        text = fill_numbers(script.read_text(), results)
        for path, content in ((script, text), (script.with_suffix(".ipynb"), paired(text))):
            if not path.exists() or path.read_text() != content:
                stale.append(path.name)
                if not check:
                    Path(path).write_text(content)
    if stale and check:
        sys.exit(f"out of date, run `make sync`: {', '.join(stale)}")
    print(f"written: {', '.join(stale)}" if stale else "scripts and notebooks agree")


if __name__ == "__main__":
    main()
