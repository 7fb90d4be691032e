"""Pair every script with a notebook: ``python -m xtalsight.study.pairing [--check | --executed FOLDER]``.

The script is the source, JupyterLab shows its text; the notebook beside it is what GitHub shows and Colab opens. The
numbers in the text of both are those of ``figures/results.json``. In the notebook, the address in the first cell of
code is that of ``pyproject.toml``, and the outputs are those of the full run, kept for every cell whose code has not
changed since. A cell of code without a number has not been run as it stands: it is stale.
"""

import argparse
import base64
import io
import os
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import jupytext
import nbformat
from PIL import Image

from xtalsight.store import load_json, replacing
from xtalsight.study.profiles import root
from xtalsight.study.report import collect_results, fill_numbers

PAGE_WIDTH = 1100
"""Of the widest picture in a notebook, pixels."""

_ADDRESS = re.compile(r'REPOSITORY = ".*?"')


def repository() -> str:
    """Return the address of the public repository, a setting in pyproject.toml; empty if it is not known."""
    return tomllib.loads((root() / "pyproject.toml").read_text())["tool"]["xtalsight"]["repository"]


def paired(script: str, results: dict, address: str, executed=None) -> str:
    """Return the text of the notebook for the text of a jupytext script, the same for the same input.

    Parameters
    ----------
    script : str
    results : dict
        Numbers that the text asks for; those that are not there show as "…".
    address : str
        Where Colab fetches the study from.
    executed : NotebookNode, optional
        Its outputs are taken over for cells with the same code.

    Notes
    -----
    Cells with the tag ``hide-cell``, solutions, are shown folded, in JupyterLab and in Colab; in JupyterLab their
    outputs are, too.
    """
    notebook = jupytext.reads(fill_numbers(script, results, missing="…"), fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    outputs = _outputs(executed)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"  # jupytext's are random
        if cell.cell_type == "code" and (known := outputs[_code(cell)]):
            cell.execution_count, cell.outputs = known.pop(0)
        if "colab" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace('REPOSITORY = "…"', f'REPOSITORY = "{address or "…"}"')
        if "hide-cell" in cell.metadata.get("tags", []):
            cell.metadata |= {"jupyter": {"source_hidden": True, "outputs_hidden": True}, "cellView": "form"}
    return nbformat.writes(notebook) + "\n"


def stale(notebook) -> list[int]:
    """Return the places, from 1, of the cells of code that have not been run as they stand."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [place for place, cell in enumerate(code, 1) if cell.source and cell.execution_count is None]


def pair(check: bool = False, executed: Path | None = None) -> tuple[list[str], dict[str, list[int]]]:
    """Write the notebooks that differ from their scripts, and numbers into these, or with `check` write nothing.

    Parameters
    ----------
    check : bool
    executed : path, optional
        A profile's folder, whose executed notebooks give the outputs. All notebooks get them if the numbers of that
        run are the committed ones. Else, as after a run that differs in times only, just the stale notebooks do, so
        that running again changes nothing.

    Returns
    -------
    differ : list of str
        Names of the notebooks, and of the scripts with other numbers, that differed.
    stale : dict
        Places of their stale cells by name, for notebooks that have some.
    """
    results_file = root() / "figures" / "results.json"
    results = load_json(results_file) if results_file.exists() else {}
    is_new = executed is not None and collect_results(executed) == results
    differ, old = [], {}
    for script in sorted((root() / "notebooks").glob("[0-9]*.py")):
        path, before = script.with_suffix(".ipynb"), script.read_text()
        text = fill_numbers(before, results, missing="…")
        if text != before:
            differ.append(script.name)
            if not check:
                _replace_text(script, text)
        source = nbformat.read(path, 4) if path.exists() else None
        content = paired(text, results, repository(), source)
        places = stale(nbformat.reads(content, 4))
        if executed is not None and (is_new or places) and (Path(executed) / path.name).exists():
            source = presentable(nbformat.read(Path(executed) / path.name, 4))
            content = paired(text, results, repository(), source)
            places = stale(nbformat.reads(content, 4))
        if places:
            old[path.name] = places
        if not path.exists() or path.read_text() != content:
            differ.append(path.name)
            if not check:
                with replacing(path) as temporary:
                    temporary.write_text(content)
    return differ, old


def _replace_text(script, text):
    """Write a script whose text is new and whose code is not: its time stays, so that make does not run it again."""
    times = script.stat()
    with replacing(script) as temporary:
        temporary.write_text(text)
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))


def presentable(notebook):
    """Make an executed notebook fit to be committed, in place, and return it.

    What is printed to stderr, progress bars and warnings, goes, and widgets, which need a kernel; pictures are no wider
    than a page. Parameters that the run changed are shown below the cell of the parameters.
    """
    set_by_run = [cell.source for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in map(_presentable, cell.outputs) if output]
        if "parameters" in cell.metadata.get("tags", []):
            lines = [line for source in set_by_run for line in source.splitlines() if line and line[0] != "#"]
            text = "\n".join(["The outputs on this page are those of a run with", *lines, ""])
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if lines else []
    return notebook


def _presentable(output):
    """One output, or None."""
    if output.output_type == "stream":
        return None if output.name == "stderr" else output
    if output.output_type == "error" or any(kind.endswith("+json") for kind in output.data):  # widgets
        return None
    output.metadata = {}
    if "image/png" in output.data:
        output.data = nbformat.from_dict({"image/png": _small(output.data["image/png"]), "text/plain": "<Figure>"})
    return output


def _small(png):
    """A picture of at most the width of a page, in 256 colours, which takes a third of the space. They are chosen so that
    the largest error is small, though not the mean one: by frequency, the class colour of a thin line or a small dot
    would turn into another."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.width > PAGE_WIDTH:
        image = image.resize((PAGE_WIDTH, round(image.height * PAGE_WIDTH / image.width)), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(target, "PNG", optimize=True)
    return base64.b64encode(target.getvalue()).decode() + "\n"


def _outputs(notebook):
    """Execution counts and outputs of the cells of a notebook that have been run, by their code, in their order."""
    found = defaultdict(list)
    for cell in notebook.cells if notebook is not None else ():
        if cell.cell_type == "code" and cell.execution_count is not None:
            found[_code(cell)].append((cell.execution_count, cell.outputs))
    return found


def _code(cell):
    """The code of a cell, whatever the address of the repository."""
    return _ADDRESS.sub("REPOSITORY = …", cell.source)


def main():
    parser = argparse.ArgumentParser(prog="python -m xtalsight.study.pairing", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 1 if a notebook differs from its script, or a number from the results",
    )
    parser.add_argument("--executed", type=Path, metavar="FOLDER", help="take the outputs of the notebooks run there")
    arguments = parser.parse_args()
    differ, old = pair(arguments.check, arguments.executed)
    for name, places in old.items():
        print(f"{name}: code changed since its outputs were made, cells {', '.join(map(str, places))}: `make all`")
    if differ and arguments.check:
        sys.exit(f"out of date, run `make sync`: {', '.join(differ)}")
    print(f"written: {', '.join(differ)}" if differ else "scripts and notebooks agree")


if __name__ == "__main__":
    main()
