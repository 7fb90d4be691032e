"""A study of two tiny notebooks with outputs becomes a site."""

import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import jupytext
import nbformat
import pytest
from docutils.utils.math.latex2mathml import tex2mathml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from xtalsight.study import book
from xtalsight.study.profiles import root

# The theme and the reader of Markdown, not this study, use what Sphinx will do away with.
pytestmark = pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API")

SETTINGS = root() / "notebooks" / "conf.py"
PICTURE = next((root() / "figures").glob("*.png"))
README = """# Study

![a figure](figures/fig_01_a.png)

Nearly <!--=cnn.accuracy:.0%-->99%<!--/--> of [the first](notebooks/01_first.ipynb), see [figure](figures/fig_01_a.png) and
[table](figures/table_01_b.md).

| a | b |
|---|---|
| 1 | 2 |
"""


def code(source, text, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)}, outputs=[new_output("stream", text=text)])


def executed(title, *cells):
    first = new_markdown_cell(f"# {title}\n\n![a figure](../figures/fig_01_a.png)")
    return new_notebook(cells=[first, *cells], metadata={"language_info": {"name": "python"}})


def make_study(folder):
    """Write README, figures, a page, a lesson and a notebook of evidence, with outputs."""
    for name in ("notebooks", "figures", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "notebooks" / "profiles.yaml").touch()
    shutil.copy(SETTINGS, folder / "notebooks")
    shutil.copy(PICTURE, folder / "figures" / "fig_01_a.png")
    (folder / "figures" / "table_01_b.md").write_text("| c |\n|---|\n| three |\n")
    (folder / "README.md").write_text(README)
    (folder / "notebooks" / "walkthrough.md").write_text("# The way\n\nBack to [all](../README.md).\n")
    (folder / "docs" / "words.md").write_text("# Words\n\n## Ring\n\nSee [the first](../notebooks/01_first.ipynb).\n")
    first = executed(
        "What is first?",
        code("fetch()", "fetched", "colab"),
        code("n = 1", "one", "parameters"),
        new_markdown_cell(r"$$ I(\mathbf{s}) = \left|\sum_j f_j(|\mathbf{s}|)\, \ln r_j\right|^2 $$"),
        new_markdown_cell("<details>\n<summary>Hint</summary>\n\nIt is *odd*.\n\n</details>"),
        code("n + 1  # the solution", "two", "hide-cell"),
    )
    second = executed(
        "What is second?", new_markdown_cell("Back to [the first](01_first.ipynb), a [ring](../docs/words.md#ring).")
    )
    nbformat.write(first, folder / "notebooks" / "01_first.ipynb")
    nbformat.write(second, folder / "notebooks" / "13_second.ipynb")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the finished pages."""
    folder = tmp_path_factory.mktemp("study")
    make_study(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return book.build().parent


@pytest.fixture
def study(tmp_path, monkeypatch):
    make_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Page(HTMLParser):
    """All tags of a page, with their attributes."""

    def __init__(self, path):
        super().__init__()
        self.path, self.tags = path, []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def addresses(self, links=True):
        """What the page links to and, with `links` False, only what a browser fetches to show it."""
        for tag, attributes in self.tags:
            for name in ("src", "href", "data"):
                if attributes.get(name) and (links or tag != "a"):
                    yield attributes[name]


def pages(site):
    return [Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]


def body(site, name):
    return re.search(r"<article.*</article>", (site / name).read_text(), re.DOTALL)[0]


def test_navigation_leads_through_the_study_in_order(site):
    navigation = re.search(r'<nav class="bd-links.*?</nav>', (site / "index.html").read_text(), re.DOTALL)[0]
    found = re.findall(r'href="([^"]+)">\s*(.*?)\s*</a>', navigation)
    assert found == [
        ("notebooks/walkthrough.html", "The way"),
        ("notebooks/01_first.html", "01 What is first?"),
        ("notebooks/13_second.html", "13 What is second?"),
        ("docs/words.html", "Words"),
    ]


def test_pages_fetch_nothing_from_the_network(site):
    for page in pages(site):
        assert not [address for address in page.addresses(links=False) if re.match(r"(\w+:)?//", address)], page.path
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import\s)[\"']?(https?:)?//", style.read_text()), style


def test_links_and_pictures_of_the_pages_exist(site):
    for page in pages(site):
        for address in page.addresses():
            target = urlsplit(address)
            if not target.scheme and target.path:
                assert (page.path.parent / unquote(target.path)).exists(), (page.path, address)


def test_picture_of_a_notebook_is_shown(site):
    name = re.search(r'<img alt="a figure" [^>]*src="\.\./(_images/[^"]+)"', body(site, "notebooks/01_first.html"))[1]
    assert (site / name).read_bytes() == PICTURE.read_bytes()


def test_links_of_the_readme_lead_to_pages_and_files(site):
    text = body(site, "index.html")
    assert 'href="notebooks/01_first.html"' in text
    assert 'href="figures/table_01_b.html"' in text
    assert "three" in body(site, "figures/table_01_b.html")
    assert re.search(r'href="_downloads/\w+/fig_01_a.png"', text)
    assert "download=" not in text  # a figure is shown, not stored


def test_marks_of_numbers_are_not_on_a_page(site):
    assert "Nearly 99% of" in body(site, "index.html")


def test_pages_fit_a_phone(site):
    for page in pages(site):
        viewports = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("name") == "viewport"]
        assert any("width=device-width" in content for content in viewports), page.path


def test_solution_and_details_are_folded(site):
    folded = re.findall(r"<details.*?</details>", body(site, "notebooks/01_first.html"), re.DOTALL)
    assert len(folded) == 2
    assert not any(re.match(r"<details[^>]*\bopen\b", details) for details in folded)
    assert "<em>odd</em>" in folded[0]
    assert "the solution" in folded[1]
    assert "two" in folded[1]


def test_what_fetches_the_study_in_colab_is_left_out_and_parameters_stay(site):
    text = body(site, "notebooks/01_first.html")
    assert "fetch" not in text
    assert "one" in text


def test_formula_is_mathml_with_bars_as_large_as_the_sum(site):
    (formula,) = re.findall(r"<math.*?</math>", body(site, "notebooks/01_first.html"), re.DOTALL)
    assert 'display="block"' in formula
    assert "𝐬" in formula
    assert re.search(
        r"<msup>\s*<mrow>\s*<mo>\|</mo>\s*<munder>.*∑.*<mo>\|</mo>\s*</mrow>\s*<mn>2</mn>", formula, re.DOTALL
    )
    assert re.search(r"<mi>ln</mi>\s*<mspace", formula)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("[gone](figures/gone.png)", "gone.png"),
        ("![gone](figures/gone.png)", "gone.png"),
        ("[gone](#gone)", "gone"),
        (r"$\nonsense$", r"\nonsense"),
    ],
    ids=["link", "picture", "heading", "formula"],
)
def test_fault_is_an_error_and_leaves_the_last_site(fault, complaint, study, capsys):
    last = study / "build" / "book" / "index.html"
    last.parent.mkdir(parents=True)
    last.touch()
    (study / "README.md").write_text(f"{README}\n{fault}\n")
    with pytest.raises(ValueError, match="Sphinx complained"):
        book.build()
    assert complaint in capsys.readouterr().err
    assert list(last.parent.iterdir()) == [last]
    assert not list(last.parents[1].glob(".book-*"))


@pytest.mark.parametrize("script", sorted((root() / "notebooks").glob("[0-9]*.py")), ids=lambda script: script.stem)
def test_formulas_of_the_notebooks_can_be_shown(script):
    text = "\n\n".join(cell.source for cell in jupytext.read(script).cells if cell.cell_type == "markdown")
    for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, re.DOTALL):
        tex2mathml(block or inline, bool(block))  # else MathError
