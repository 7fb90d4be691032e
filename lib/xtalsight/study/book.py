"""Make a static site of the texts and notebooks: ``python -m xtalsight.study.book``.

README.md is its first page, then come the lessons, the evidence and the pages of docs/, as they are committed. The site
lies in ``build/book/`` and needs no network, neither to be built nor to be read; ``notebooks/conf.py`` holds the
settings of Sphinx.
"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx

from xtalsight.study.profiles import root

FIRST_EVIDENCE = "13"
"""Notebooks with a lower number are lessons."""

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)  # where a number stands; of no use on a page
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def build() -> Path:
    """Build the site and return its first page.

    Raises
    ------
    ValueError
        Sphinx complained, of a link that leads nowhere, for example; it is printed.
    """
    folder = root() / "build"
    folder.mkdir(exist_ok=True)
    book = folder / "book"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".book-") as temporary:
        source, doctrees, pages = (Path(temporary, name) for name in ("source", "doctrees", "pages"))
        gather(source)
        options = ["-b", "html", "-q", "--fail-on-warning", "-c", root() / "notebooks", "-d", doctrees]
        if sphinx([str(option) for option in [*options, source, pages]]):
            raise ValueError("Sphinx complained of what is printed above")
        shutil.rmtree(book, ignore_errors=True)
        os.replace(pages, book)
    return book / "index.html"


def gather(folder: Path):
    """Write the sources of the site: the texts, the notebooks, and the files that they link to.

    Each has the place in `folder` that it has in the study, so that links between them lead where they should.
    """
    (folder / "notebooks").mkdir(parents=True)
    (folder / "docs").mkdir()
    parts = {"For a start": [], "Lessons": [], "Evidence": [], "Pages": []}
    texts = {}
    for path in [root() / "notebooks" / "walkthrough.md", *sorted((root() / "docs").glob("*.md"))]:
        name = path.relative_to(root())
        texts[str(name)] = _clean(path.read_text())
        parts["For a start" if path.stem == "walkthrough" else "Pages"].append(f"{name.parent}/{name.stem}")
    for path in sorted((root() / "notebooks").glob("[0-9]*.ipynb")):
        notebook = _readable(nbformat.read(path, 4))
        nbformat.write(notebook, folder / "notebooks" / path.name)
        text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        title = re.search(r"^# (.+)", text, re.MULTILINE)[1]
        part = "Lessons" if path.stem < FIRST_EVIDENCE else "Evidence"
        parts[part].append(f"{path.stem[:2]} {title} <notebooks/{path.stem}>")
        texts[f"notebooks/{path.name}"] = text
    contents = "\n".join(
        "\n".join(["```{toctree}", ":hidden:", f":caption: {part}", "", *pages, "```", ""])
        for part, pages in parts.items()
    )
    texts["index.md"] = f"{_clean((root() / 'README.md').read_text())}\n{contents}\n"
    for name, text in texts.items():
        if name.endswith(".md"):
            (folder / name).write_text(text)
    for name, text in texts.items():
        for link in _LINK.findall(text):
            _bring(os.path.normpath(Path(name).parent / link), folder)


def _readable(notebook):
    """Leave out what is of no use on a page: what fetches the study in Colab."""
    notebook.cells = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _clean(cell.source)
    return notebook


def _clean(text):
    return _COMMENT.sub("", text).replace("](../README.md", "](../index.md")


def _bring(name, folder):
    """Copy what a page links to, and what that links to; a Markdown file becomes a page, that of a table has its name
    as its title."""
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
    try:
        print(f"written: {build()}")
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
