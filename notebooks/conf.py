"""Sphinx's settings for `make book`: the committed notebooks as pages that need no network, to build or to read."""

import re

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

project = html_title = "xtalsight"
author = "The xtalsight developers"  # as in CITATION.cff
root_doc = "index"  # README.md, under the name that a browser looks for

extensions = ["myst_nb"]
nb_execution_mode = "off"  # their outputs are committed
nb_merge_streams = True  # one box for what a cell prints, not one for each flush
nb_code_prompt_show, nb_code_prompt_hide = "Show the solution", "Hide the solution"  # only these are folded
myst_enable_extensions = ["dollarmath"]  # formulas between $ and between $$, as in JupyterLab
myst_heading_anchors = 3  # links to headings, as on GitHub
nitpicky = True  # with --fail-on-warning, a link that leads nowhere is an error

html_theme = "sphinx_book_theme"
html_theme_options = {"navbar_persistent": []}  # else a second field to search in, above the page
html_use_index = False  # it would be empty
html_math_renderer = "mathml"  # below; the default, MathJax, comes from the network

STYLE = """<style>
/* Wide tables are scrolled rather than squeezed, the rest stays as wide as a phone. */
div.cell_output table { width: max-content; }
div.cell_output :is(th, td) { max-width: 20em; padding: 0.2em 0.5em; overflow-wrap: anywhere; }
@media (max-width: 600px) {
  article.bd-article table.table { width: max-content; }
  article.bd-article table.table :is(th, td) { max-width: 10em; }
}
code.literal .pre { white-space: normal; overflow-wrap: anywhere; }
math { font-family: "STIX Two Math", "Cambria Math", "Latin Modern Math", "DejaVu Math TeX Gyre", "Noto Sans Math", math; }
math[display="block"] { padding: 0.8em 0; overflow: auto hidden; }
mi.capital-greek { text-transform: none; }  /* upright, as in LaTeX */
</style>"""


def renderer(as_block):
    """Return what Sphinx calls for a formula: it is translated to MathML, which browsers show by themselves."""

    def visit(translator, node):
        try:
            mathml = tex2mathml(node.astext(), as_block)
        except MathError as error:
            logging.getLogger(__name__).warning("%s in the formula %s", error, node.astext(), location=node)
            raise SkipNode from error
        # Space as in LaTeX: some between "ln" and its argument, else ln ln M reads as lnlnM, and none around a bar.
        mathml = re.sub(r"<mo>&ApplyFunction;</mo>(?=\s*<m(?!o))", '<mspace width="0.17em"></mspace>', mathml)
        mathml = mathml.replace('<mo stretchy="false">|', '<mo stretchy="false" lspace="0" rspace="0">|')
        translator.body.append(mathml)
        raise SkipNode

    return visit, None


def finish(app, pagename, templatename, context, doctree):
    """Add the style; let a link to a file, a figure, show it rather than store it."""
    context["metatags"] = context.get("metatags", "") + STYLE
    context["body"] = context.get("body", "").replace('reference download internal" download=""', 'reference internal"')


def setup(app):
    app.add_html_math_renderer("mathml", renderer(as_block=False), renderer(as_block=True))
    app.connect("html-page-context", finish)
