"""The texts for newcomers: no dead link, no invented address, what they promise is there."""

import re
import tomllib

import jupytext
import pytest
import yaml

from xtalsight.study.profiles import root

SCRIPTS = sorted((root() / "notebooks").glob("[0-9]*.py"))
PAGES = [root() / "README.md", root() / "notebooks" / "walkthrough.md", *sorted((root() / "docs").glob("*.md"))]
TEXTS = [*PAGES, *SCRIPTS]
LINK = re.compile(r"\]\(([^)\s]+)\)")
ADDRESSES = (
    "https://doi.org/",
    "https://www.ovito.org",
    "https://gitlab.com/ase/ase",
    "https://distributed.dask.org",
    "https://jobqueue.dask.org",
)


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_no_link_is_dead(file):
    text = file.read_text()
    if file.suffix == ".py":
        text = "\n".join(
            cell.source for cell in jupytext.reads(text, fmt="py:percent").cells if cell.cell_type == "markdown"
        )
    for link in LINK.findall(text):
        if link.startswith("http"):
            assert link.startswith(ADDRESSES), f"{link} is not among the addresses that are known to be real"
        else:
            assert (file.parent / link.split("#")[0]).exists(), link


def test_readme_names_every_notebook_with_its_question():
    readme = (root() / "README.md").read_text()
    for script in SCRIPTS:
        title = re.search(r"^# (.+)", jupytext.read(script).cells[0].source)[1]
        assert f"| {script.stem[:2]} | [{title}](notebooks/{script.stem}.ipynb) |" in readme


def test_readme_is_short():
    source = (root() / "README.md").read_text()
    assert len(source.encode()) <= 12_000
    assert len(re.sub(r"<!--.*?-->|\]\([^)]*\)", "", source).encode()) <= 8_000, "as it is read"


def test_one_word_for_one_thing():
    """Length scale, classifier, outlier, arbitrary orientation: words that the field has, and no others for them."""
    others = re.compile(r"\b(ruler|judges?|judged|strangers?|whom|anyhow)\b", re.IGNORECASE)
    sources = [*(text for text in TEXTS if text.name != "speed.md"), *(root() / "lib").rglob("*.py")]  # measured before
    found = {path.name: words for path in sources if (words := set(others.findall(path.read_text())))}
    assert not found


def test_every_word_that_is_linked_is_in_the_glossary():
    headings = re.findall(r"^## (.+)", (root() / "docs" / "glossary.md").read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(",", "").replace(" ", "-") for heading in headings}
    for text in TEXTS:
        linked = re.findall(r"glossary\.md#([\w-]+)\)", text.read_text())
        assert set(linked) <= anchors, text.name


def test_code_in_the_pages_runs():
    blocks = re.findall(
        r"```python\n(.*?)```", "\n".join(page.read_text() for page in PAGES if page.stem != "cluster"), re.DOTALL
    )
    assert blocks
    for block in blocks:
        assert len(block.splitlines()) <= 5
        exec(block, {})  # noqa: S102


def test_readme_asks_for_targets_that_make_has():
    phony = re.search(r"^\.PHONY: (.+)$", (root() / "Makefile").read_text(), re.MULTILINE)[1].split()
    asked = re.findall(r"^make ([\w-]+)|`make ([\w-]+)", (root() / "README.md").read_text(), re.MULTILINE)
    assert {first or second for first, second in asked} <= set(phony)


def test_citation_names_both_sources():
    citation = yaml.safe_load((root() / "CITATION.cff").read_text())
    assert [source["type"] for source in citation["references"]] == ["article", "report"]
    assert citation["references"][0]["doi"] == "10.1038/s41467-018-05169-6"
    assert citation["version"] == tomllib.loads((root() / "pyproject.toml").read_text())["project"]["version"]
