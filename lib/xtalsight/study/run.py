"""Run one notebook of the study: ``python -m xtalsight.study.run notebooks/NN_name.py --profile full``.

The notebook is made from the script by jupytext, gets the parameters of the profile and is run by papermill. What the
cells print appears on the terminal as it comes. The executed notebook takes its place in ``build/<profile>/`` only when
every cell has run, with the numbers of its profile in its text; after an error it lies beside it as
``NN_name.failed.ipynb``.
"""

import argparse
import os
import re
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import jupytext
import nbformat
import papermill
from filelock import FileLock, Timeout
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from xtalsight.store import load_json, replacing, save_json
from xtalsight.study.profiles import PROFILES, Run, parameters, root
from xtalsight.study.report import collect_results, fill_numbers


def execute(script: Path, profile: str) -> Path:
    """Execute a notebook and return the path of the executed one.

    Parameters
    ----------
    script : Path
        The jupytext script.
    profile : str
        ``smoke`` or ``full``.

    Raises
    ------
    ValueError
        The profile sets a parameter that the notebook does not have.
    papermill.exceptions.PapermillExecutionError
        A cell failed.
    OSError
        Another process is running it, or the disk is full, for example.
    """
    run = Run(script.stem, profile)
    with _alone(run):
        return _execute(script, run)


@contextmanager
def _alone(run):
    """Keep other processes from running the same notebook in the same profile.

    A kernel outlives a killed process by a second or so.
    """
    path = run.folder / "locks" / f"{run.notebook}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = path.with_suffix(".pid")
    try:
        held = FileLock(path, timeout=0).acquire()
    except Timeout as error:
        who = owner.read_text() if owner.exists() else "unknown"
        raise OSError(f"process {who} is running {run.notebook} ({run.profile}): wait for it, or end it") from error
    with held:
        owner.write_text(str(os.getpid()))
        yield


def _execute(script, run):
    name, profile = run.notebook, run.profile
    target = run.folder / f"{name}.ipynb"
    failed = target.with_suffix(".failed.ipynb")
    values = parameters(name, profile)
    notebook = jupytext.read(script)
    shutil.rmtree(run.folder / "figures" / name, ignore_errors=True)  # what it no longer makes must not be published
    with replacing(target) as executed:
        source = executed.with_suffix(".source.ipynb")
        nbformat.write(notebook, source)
        unknown = set(values) - set(papermill.inspect_notebook(source))
        if unknown:
            raise ValueError(
                f"{script}: profile {profile!r} sets {sorted(unknown)}, which the parameters cell does not have"
            )
        start = time.perf_counter()
        try:
            papermill.execute_notebook(
                source,
                executed,
                values,
                cwd=script.parent,
                progress_bar=False,
                extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
            )
        except BaseException:
            if executed.exists():
                os.replace(executed, failed)
                print(f"{name} failed; the notebook as far as it came: {failed}", file=sys.stderr)
            raise
        seconds = time.perf_counter() - start
        save_json(run.folder / "results" / f"{name}.time.json", {f"time.{name}.seconds": round(seconds, 1)})
        _finish(executed, collect_results(run.folder))
    failed.unlink(missing_ok=True)
    return target


# What TensorFlow's C++ code prints on being loaded, whatever the log level.
_CHATTER = re.compile(
    r"^(WARNING: All log messages before absl|[IWE]\d{4} |To enable the following instructions).*\n?", re.MULTILINE
)


def _finish(path, results):
    """Make the executed notebook fit to read.

    The numbers of this profile are filled into the text, links to figures lead there from the folder of executed
    notebooks, of each progress bar the last state is kept.
    """
    notebook, _ = CoalesceStreamsPreprocessor(enabled=True)(nbformat.read(path, 4), {})
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = _CHATTER.sub("", output.text)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("text", "kept").strip()]
        if cell.cell_type == "markdown":
            text = fill_numbers(cell.source, results, missing="…")
            cell.source = text.replace("](../figures/", "](../../figures/")
    nbformat.write(notebook, path)


def _expected(script, profile):
    """What is known of the time that it takes, and all after it, from the committed run."""
    notebooks = sorted(script.parent.glob("[0-9]*.py"))
    place = next((place for place, path in enumerate(notebooks) if path.name == script.name), None)
    if place is None:
        return ""
    text = f", {place + 1} of {len(notebooks)}"
    results = root() / "figures" / "results.json"
    if profile != "full" or not results.exists():
        return text
    known = load_json(results)
    this, *later = (known.get(f"time.{path.stem}.minutes", 0) for path in notebooks[place:])
    return f"{text}: {this:.1f} minutes when it was measured, {sum(later):.0f} for all after it"


def main():
    parser = argparse.ArgumentParser(prog="python -m xtalsight.study.run", description="Run one notebook of the study.")
    parser.add_argument("script", type=Path, help="the jupytext script, notebooks/NN_name.py")
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    arguments = parser.parse_args()
    print(
        f"── {arguments.script.stem} ({arguments.profile}){_expected(arguments.script, arguments.profile)}", flush=True
    )
    try:
        execute(arguments.script, arguments.profile)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except papermill.exceptions.PapermillExecutionError as error:
        sys.exit(f"error: {arguments.script.stem}, cell {error.exec_count}: {error.ename}: {error.evalue}\n{error}")


if __name__ == "__main__":
    main()
