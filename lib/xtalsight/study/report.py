"""Collect what the notebooks wrote: numbers, figures, tables, and the numbers in texts."""

import ast
import hashlib
import re
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jupytext

from xtalsight.classify import WEIGHTS
from xtalsight.crystals import CLASSES
from xtalsight.store import load_json, replacing, save_json, sha256
from xtalsight.study.profiles import parameters, root

_PACKAGES = (
    "ase",
    "gemmi",
    "keract",
    "keras",
    "matplotlib",
    "numba",
    "numpy",
    "onnxruntime",
    "orix",
    "pandas",
    "pymatgen",
    "scikit-learn",
    "scipy",
    "spglib",
    "tensorflow",
    "vesin",
    "zarr",
)
_RIVALS = ("dscribe", "freud-analysis", "matid", "ovito")  # not in every environment
_MARK = re.compile(r"(<!--=(?P<key>[\w.+-]+)(?::(?P<format>[^>]*?))?-->).*?(<!--/-->)")
_TABLE = re.compile(r"^(<!--table (\w+)-->)\n.*?^(<!--/table-->)$", re.MULTILINE | re.DOTALL)


# By hand, not by a template: one text is source and page at once, shows its numbers on GitHub and is filled again and
# again.
def fill_numbers(text: str, results: dict, missing: str | None = None) -> str:
    """Put results into the marked places of a Markdown text.

    A place is marked by comments that a reader does not see: ``<!--=cnn.pristine.accuracy:.2%-->99.9 %<!--/-->``. What
    stands between them is replaced by the result, in the given format of Python (``:.2%``; none prints the number as it
    is). A result of None, a goal that was not reached, shows as a dash. A result that is not there shows as `missing`.

    Raises
    ------
    KeyError
        A result is not there, and `missing` is not given.
    """

    def value(mark):
        if mark["key"] in results:
            result = results[mark["key"]]
            shown = "–" if result is None else format(result, mark["format"] or "")
        elif missing is not None:
            shown = missing
        else:
            raise KeyError(f"the text asks for {mark['key']!r}, which no notebook wrote")
        return f"{mark[1]}{shown}{mark[4]}"

    return _MARK.sub(value, text)


def fill_tables(text: str, folder: Path) -> str:
    """Put tables into the marked places of a Markdown text.

    A place is marked by two lines, ``<!--table table_01_network-->`` and ``<!--/table-->``; what stands between them is
    replaced by the file of that name in `folder`.

    Raises
    ------
    FileNotFoundError
        No notebook made the table.
    """
    return _TABLE.sub(lambda mark: f"{mark[1]}\n{Path(folder, f'{mark[2]}.md').read_text()}\n{mark[3]}", text)


def fill_page(path: Path, results: dict, folder: Path) -> str:
    """Return the text of a page with the numbers of `results` and the tables of `folder` in their places."""
    return fill_tables(fill_numbers(Path(path).read_text(), results), folder)


def pages() -> list[Path]:
    """Return the pages that show results: README.md and those in docs/."""
    return [root() / "README.md", *sorted((root() / "docs").glob("*.md"))]


def collect_results(folder: Path) -> dict:
    """Merge the numbers of all notebooks of a profile, sorted by key.

    ``time.<notebook>.earlier_seconds``, what a notebook found done by an earlier run of its own, is added to its time;
    each notebook's time is given in minutes, too, and the sum of all.

    Raises
    ------
    ValueError
        Two notebooks wrote the same key.
    """
    merged = {}
    for file in sorted(Path(folder, "results").glob("*.json")):
        if file.name.split(".")[0] not in _notebooks() or file.name.startswith("99_"):  # removed; not yet known
            continue
        results = load_json(file)
        if twice := merged.keys() & results.keys():
            raise ValueError(f"{file.name}: {sorted(twice)} were written by an earlier notebook, too")
        merged |= results
    for name in _notebooks():
        if (seconds := f"time.{name}.seconds") in merged:
            merged[seconds] += merged.pop(f"time.{name}.earlier_seconds", 0)
            merged[f"time.{name}.minutes"] = merged[seconds] / 60
    merged["time.all.minutes"] = sum(merged.get(f"time.{name}.minutes", 0) for name in _notebooks())
    return dict(sorted(merged.items()))


def publish(folder: Path, target: Path, profile: str, results: dict) -> dict:
    """Copy figures and tables of a profile to `target`, with ``results.json`` and ``manifest.json``; return the numbers
    there.

    The manifest names for each figure and table the notebook that made it and its checksum, for each notebook the
    checksum of its script and its parameters, the checksums of the networks in the package and of its code, and the
    versions of the libraries. Figures and tables in `target` that no notebook makes any more are removed. Where nothing
    but measured times has changed, all stays as it is: running again leaves a repository clean.
    """
    # A run that was killed can leave a hidden folder beside the finished files.
    files = sorted(file for kind in ("fig", "table") for file in Path(folder, "figures").glob(f"*/{kind}_*.*"))
    files = [file for file in files if file.parent.name in _notebooks()]
    notebooks = sorted({file.parent.name for file in files})
    manifest = {
        "profile": profile,
        "versions": {name: _version(name) for name in _PACKAGES + _RIVALS},
        "notebooks": {
            name: {"sha256": _sha256_of_text(_script(name)), "parameters": _parameters(name, profile)}
            for name in notebooks
        },
        "weights": {file.name: sha256(file) for file in sorted(WEIGHTS.iterdir())},
        "library": _sha256_of([*sorted(WEIGHTS.parent.rglob("*.py")), root() / "notebooks" / "matplotlibrc"]),
    }
    if (known := _published(target, manifest, {file.name for file in files}, results)) is not None:
        return known
    target.mkdir(parents=True, exist_ok=True)
    for old in {*target.glob("fig_*.*"), *target.glob("table_*.*")} - {target / file.name for file in files}:
        old.unlink()
    for file in files:
        with replacing(target / file.name) as temporary:
            shutil.copyfile(file, temporary)
    manifest["files"] = {file.name: {"notebook": file.parent.name, "sha256": sha256(file)} for file in files}
    save_json(target / "manifest.json", manifest)
    save_json(target / "results.json", results)
    return results


MEASURED = re.compile(r"^time\.|seconds|per_second\b|minutes|gigaflops|over_arithmetic|memory")
"""In the names of results that are other in each run: times, and what is made of them."""


def _published(target, manifest, names, results):
    """The numbers in `target` if they were made as these and are the same, but for times; else None."""
    try:
        there, known = (load_json(target / f"{name}.json") for name in ("manifest", "results"))
    except FileNotFoundError:
        return None
    is_there = there.get("files", {}).keys() == names and all((target / name).exists() for name in names)
    is_same = all(there.get(key) == value for key, value in manifest.items())
    return known if is_there and is_same and _without_times(known) == _without_times(results) else None


def _without_numbers(script):
    """The text of a script with "…" for the numbers in it, which change when a run does."""
    return fill_numbers(script, {}, missing="…")


def _sha256_of_text(script):
    return hashlib.sha256(_without_numbers(script.read_text()).encode()).hexdigest()


def _sha256_of(files):
    """One checksum of many files."""
    return hashlib.sha256("".join(sha256(file) for file in files if file.exists()).encode()).hexdigest()


def _without_times(results):
    return {key: value for key, value in results.items() if not MEASURED.search(key)}


def publish_weights(folder: Path, target: Path, results: dict):
    """Write the trained networks for the seven classes to `target` as ONNX files, with ``model_card.json``.

    The card says for each network what it looks at, what it was trained on, when it refuses and how often it is right
    (the numbers of `results`), and for all the commit of the code that trained them.
    """
    from xtalsight import networks  # not above: TensorFlow takes seconds

    compact, any_orientation = (
        load_json(Path(folder, "artefacts", f"{name}.json")) for name in ("robust", "any_orientation")
    )

    def accuracies(prefix):
        found = {key.removeprefix(prefix): value for key, value in results.items() if key.startswith(prefix)}
        return {key.removesuffix(".accuracy"): found[key] for key in found if key.endswith(".accuracy")}

    card = {
        "commit": _commit(),
        "data": "crystals generated from AFLOW prototypes; no published array and no measured structure",
        "compact": {
            "made_by": "06_damage",
            "input": "fingerprint (64, 64, 3) scaled by the first peak of the powder pattern; mean over four mirror images",
            "classes": [*CLASSES, "none"],
            "trained_on": "crystals damaged in two ways each, some perfect, random crystals of other space groups, random points",
            "structures": results["robust.compact.structures"],
            "elements_not_trained_on": compact["unseen"],
            "thresholds": compact["thresholds"],
            "error_rate": compact["error_rate"],
            "parameters": results["robust.compact.parameters"],
            "accuracy": accuracies("robust.compact."),
            "crystals_refused": results["robust.refused.crystals"],
        },
        "any_orientation": {
            "made_by": "08_in_any_orientation",
            "input": "spectra of spherical harmonics (n_shells, n_degrees), in any orientation",
            "classes": [*CLASSES, "none"],
            "trained_on": "clouds cut from crystals, damaged by vacancies, displacements, thermal waves, strain, faults and twins, "
            "some perfect; random and ordered crystals of none of the classes, random points",
            "structures": results["any.structures"],
            "elements_not_trained_on": any_orientation["unseen"],
            "thresholds": any_orientation["thresholds"],
            "error_rate": any_orientation["error_rate"],
            "parameters": results["any.parameters"],
            "accuracy": accuracies("any.spectra."),
            "outliers_refused": results["any.refused.all"],
            "crystals_refused": results["any.refused.crystals"],
        },
        "table_1": {
            "made_by": "03_a_network_learns",
            "input": "fingerprint (64, 64, 3) scaled by the mean distance to the nearest neighbour",
            "classes": [*CLASSES],
            "trained_on": "pristine crystals, all but a random twentieth",
            "parameters": results["cnn.table_1.parameters"],
            "accuracy": accuracies("cnn.table_1.random."),
        },
    }
    sources = {"compact": "robust", "any_orientation": "any_orientation", "table_1": "table_1"}
    for name, source in sources.items():
        path = target / f"{name}.onnx"
        networks.export(networks.load(Path(folder, "artefacts", f"{source}.keras")), path)
        card[name]["sha256"] = sha256(path)
    _save_card(target / "model_card.json", card)


def publish_prototypes(folder: Path, target: Path):
    """Copy the network for prototypes and its card to `target`, with the commit of the code that trained it."""
    learned = Path(folder, "artefacts", "prototypes")
    with replacing(target / "prototypes.onnx") as temporary:
        shutil.copyfile(learned / "network.onnx", temporary)
    _save_card(target / "prototypes.json", {"commit": _commit(), **load_json(learned / "card.json")})


def _save_card(path, card):
    """Write a card; of the same networks the commit that first made them stays, if it is one."""
    there = load_json(path) if path.exists() else {}
    if there | {"commit": None} != card | {"commit": None} or str(there["commit"]).endswith("-dirty"):
        save_json(path, card)


def _commit():
    """Commit of the code, marked if a script, but for its numbers, or a module differs from it; None where there is no
    git."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=root(), check=True, capture_output=True, text=True).stdout

    def differs(name):
        before, now = git("show", f"HEAD:{name}"), (root() / name).read_text()
        return _without_numbers(before) != _without_numbers(now)

    code = "--", "lib/*.py", "notebooks/*.py"
    try:
        commit = git("rev-parse", "HEAD").strip()
        lost = git("ls-files", "--others", "--exclude-standard", *code) + git("diff", "--diff-filter=DA", "HEAD", *code)
        changed = git("diff", "--name-only", "--diff-filter=M", "HEAD", *code).splitlines()
        return f"{commit}-dirty" if lost or any(map(differs, changed)) else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def _notebooks():
    return sorted(script.stem for script in (root() / "notebooks").glob("[0-9]*.py"))


def _script(notebook):
    return root() / "notebooks" / f"{notebook}.py"


def _parameters(notebook, profile):
    """All parameters of a notebook: those of its parameters cell, and what the profile changes."""
    cells = jupytext.read(_script(notebook)).cells
    (cell,) = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    literals = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cell).body}
    return literals | parameters(notebook, profile)


def _version(package):
    """Version of a package, or of what it is called without GPU code; None if it is not installed."""
    for name in (package, f"{package}-cpu"):
        with suppress(PackageNotFoundError):
            return version(name)
    return None
