"""Make a static site of the executed notebooks: ``python -m xtalsight.study.book --profile full``.

README.md is its first page. The site lies in ``build/<profile>/book/`` and needs no network, neither to be built nor to be read;
``notebooks/conf.py`` holds the settings of Sphinx.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx

from xtalsight.study.profiles import PROFILES, Run, root

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)  # where a number stands; of no use on a page
_WIDGET = "application/vnd.jupyter.widget-view+json"
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def build(profile: str) -> Path:
    """Build the site of a profile and return its first page.

    Raises
    ------
    FileNotFoundError
        A notebook has not been executed in this profile.
    ValueError
        Sphinx complained, of a link that leads nowhere, for example; it is printed.
    """
    names = sorted(script.stem for script in (root() / "notebooks").glob("[0-9]*.py"))
    folder = Run("book", profile).folder
    if missing := [name for name in names if not (folder / f"{name}.ipynb").exists()]:
        raise FileNotFoundError(f"not executed yet: {', '.join(missing)}; `make book PROFILE={profile}` does it")
    book = folder / "book"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".book-") as temporary:
        source, doctrees, pages = (Path(temporary, name) for name in ("source", "doctrees", "pages"))
        gather([folder / f"{name}.ipynb" for name in names], source)
        options = ["-b", "html", "-q", "--fail-on-warning", "-c", root() / "notebooks", "-d", doctrees]
        if sphinx([str(option) for option in [*options, source, pages]]):
            raise ValueError("Sphinx complained of what is printed above")
        shutil.rmtree(book, ignore_errors=True)
        os.replace(pages, book)
    return book / "index.html"


def gather(executed: list[Path], folder: Path):
    """Write the sources of the site: README.md, the walkthrough and the executed notebooks, and the files that they link to.

    Each has the place in `folder` that it has in the study, so that links between them lead where they should.
    """
    walkthrough = root() / "notebooks" / "walkthrough.md"
    texts, navigation = {}, []
    if walkthrough.exists():
        texts["notebooks/walkthrough.md"] = _clean(walkthrough.read_text())
        navigation.append("notebooks/walkthrough")
    (folder / "notebooks").mkdir(parents=True)
    for path in executed:
        notebook = _readable(nbformat.read(path, 4))
        nbformat.write(notebook, folder / "notebooks" / path.name)
        text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        title = re.search(r"^# (.+)", text, re.MULTILINE)[1]
        navigation.append(f"{path.stem[:2]} {title} <notebooks/{path.stem}>")
        texts[f"notebooks/{path.name}"] = text
    contents = "\n".join(["```{toctree}", ":hidden:", "", *navigation, "```"])
    texts["index.md"] = f"{_clean((root() / 'README.md').read_text())}\n{contents}\n"
    for name, text in texts.items():
        if name.endswith(".md"):
            (folder / name).write_text(text)
        for link in _LINK.findall(text):
            _bring(os.path.normpath(Path(name).parent / link), folder)


def _readable(notebook):
    """Leave out what is of no use on a page: what fetches the study in Colab, and widgets, which need a kernel."""
    notebook.metadata.pop("widgets", None)
    notebook.cells = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _WIDGET not in output.get("data", {})]
        else:
            cell.source = _clean(cell.source.replace("](../../figures/", "](../figures/"))
    return notebook


def _clean(text):
    return _COMMENT.sub("", text).replace("](../README.md", "](../index.md")


def _bring(name, folder):
    """Copy what a page links to, and what that links to; a Markdown file becomes a page, that of a table has its name as its title."""
    if (folder / name).exists() or not (root() / name).is_file():
        return  # of what is missing, Sphinx complains
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".md"):
        text = (root() / name).read_text()
        title = "" if text.startswith("# ") else f"# {Path(name).stem.replace('_', ' ').capitalize()}\n\n"
        (folder / name).write_text(f"---\norphan: true\n---\n{title}{text}")
        for link in _LINK.findall(text):
            _bring(os.path.normpath(Path(name).parent / link), folder)
    else:
        shutil.copyfile(root() / name, folder / name)


def main():
    parser = argparse.ArgumentParser(prog="python -m xtalsight.study.book", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    try:
        print(f"written: {build(parser.parse_args().profile)}")
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
