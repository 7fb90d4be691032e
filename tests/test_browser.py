"""The notebooks as a reader meets them: a browser on a running JupyterLab.

``XTALSIGHT_BROWSER=all`` opens and runs every notebook, which takes as long as `make smoke`; without it, a few.
"""

import io
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import numpy as np
import pytest
from matplotlib.image import imread

from xtalsight.study.profiles import root

NAMES = [path.stem for path in sorted((root() / "notebooks").glob("[0-9]*.ipynb"))]
EXPLORE = "12_by_hand"  # has a test of its own
CHOSEN = NAMES if os.environ.get("XTALSIGHT_BROWSER") == "all" else [name for name in NAMES if name[:2] in ("01", "11")]
LONGEST = 900  # seconds that a notebook may take, what it needs from earlier ones included

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card
]

MAP = """\
from ase.build import bulk
from xtalsight.grains import annotate, map_structure
from xtalsight.view import view_map

atoms = bulk("Cu", cubic=True) * (8, 8, 8)
found = map_structure(atoms)
view_map(annotate(atoms, found), found)"""


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, the one that is installed: nothing is fetched."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no browser: install Chromium, for example by `apt-get install chromium`")
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of JupyterLab, started as by `make lab`, on a copy of the notebooks, and its token."""
    pytest.importorskip("jupyterlab", reason="no JupyterLab: pip install jupyterlab")
    study = tmp_path_factory.mktemp("study")
    for folder in ("notebooks", "figures", "tests/reference"):
        shutil.copytree(root() / folder, study / folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for file in ("README.md", "pyproject.toml"):
        shutil.copy(root() / file, study)
    (study / "notebooks" / "check").mkdir()
    asks = nbformat.read(root() / "notebooks" / f"{NAMES[0]}.ipynb", 4).metadata  # for the same kernel as the others
    for name, source in {"kernel": "import sys, xtalsight\nprint(sys.executable)", "map": MAP}.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)], metadata=asks)
        nbformat.write(notebook, study / "notebooks" / "check" / f"{name}.ipynb")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    own = {f"JUPYTER{name}_DIR": str(study / name) for name in ("_CONFIG", "LAB_SETTINGS", "LAB_WORKSPACES")}
    command = [sys.executable, "-m", "jupyterlab", *as_make_lab(), "--no-browser", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0", "--expose-app-in-browser"]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    log = study / "jupyterlab.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=study, env=os.environ | own, stdout=output, stderr=output)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api?token={token}", server, log)
        yield address, token
    finally:
        server.send_signal(signal.SIGTERM)  # it ends its kernels
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def as_make_lab():
    """The options with which the Makefile starts JupyterLab."""
    return re.search(r"-m jupyterlab(.*)", (root() / "Makefile").read_text())[1].split()


def _wait_for(address, server, log):
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            return urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture
def page(browser, lab):
    """A fresh window; the kernel of its notebook is ended with it."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(120_000)
    yield page
    page.evaluate("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.shutdown()")
    page.close()


def open_notebook(page, lab, path):
    """Open a notebook and wait until its kernel is there; answer no question for the reader."""
    address, token = lab
    page.goto(f"{address}/lab/tree/{path}?reset&token={token}")
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
    page.wait_for_function("() => jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")


def run_all(page):
    """Click Run, Run All Cells, and wait for the end; return the cells of code."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator("li[data-command='runmenu:run-all']").click()
    cells = """() => [...jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.toJSON())
        .filter(cell => cell.cell_type === 'code' && cell.source.length)"""
    page.wait_for_function(
        f"""() => {{
            const cells = ({cells})();
            return jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'
                && (cells.every(cell => cell.execution_count)
                    || cells.some(cell => cell.outputs.some(output => output.output_type === 'error')));
        }}""",
        timeout=1000 * LONGEST,
        polling=1000,
    )
    return page.evaluate(cells)


def errors(cells):
    return [output["evalue"] for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]


def test_file_browser_lists_the_notebooks_in_order(page, lab):
    address, token = lab
    page.goto(f"{address}/?token={token}")
    page.locator(".jp-DirListing-itemText", has_text=f"{NAMES[-1]}.ipynb").wait_for()
    shown = page.locator(".jp-DirListing-itemText").all_inner_texts()
    assert [name for name in shown if name.endswith(".ipynb")] == [f"{name}.ipynb" for name in NAMES]


def test_kernel_is_that_of_the_environment(page, lab):
    open_notebook(page, lab, "notebooks/check/kernel.ipynb")
    (cell,) = run_all(page)
    assert "".join(cell["outputs"][0]["text"]).strip() == sys.executable


def test_figures_in_the_text_show(page, lab):
    open_notebook(page, lab, f"notebooks/{NAMES[0]}.ipynb")
    figure = page.locator(".jp-RenderedMarkdown img").first
    figure.wait_for()
    assert figure.evaluate("image => image.decode().then(() => image.naturalWidth, () => 0)") > 0


@pytest.mark.parametrize("name", [name for name in CHOSEN if name != EXPLORE])
def test_notebook_runs_in_the_browser(name, page, lab):
    open_notebook(page, lab, f"notebooks/{name}.ipynb")
    cells = run_all(page)
    assert errors(cells) == []
    assert all(cell["execution_count"] for cell in cells)


def test_picture_follows_the_slider(page, lab):
    open_notebook(page, lab, f"notebooks/{EXPLORE}.ipynb")
    assert errors(run_all(page)) == []
    picture = page.locator("img.widget-image")
    page.evaluate(
        """() => {
            const content = jupyterapp.shell.currentWidget.content;
            const panel = [...content.model.cells].findIndex(cell => cell.sharedModel.source.includes('explorer('));
            content.activeCellIndex = panel;
            return content.scrollToItem(panel, 'start');
        }"""
    )
    picture.wait_for()
    before = picture_bytes(picture)
    assert before.startswith("data:image/png")
    slider = page.locator(".widget-slider", has_text="vacancies (%)")
    slider.locator(".noUi-handle").press("ArrowRight")
    assert slider.locator(".widget-readout").inner_text() == "1"
    deadline = time.monotonic() + 30
    while picture_bytes(picture) == before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert picture_bytes(picture) != before


def picture_bytes(picture):
    """What the picture shows, as PNG in a data address."""
    return picture.evaluate(
        """image => {
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext('2d').drawImage(image, 0, 0);
            return canvas.toDataURL('image/png');
        }"""
    )


def test_a_map_turns_by_the_mouse_and_follows_its_controls(page, lab):
    pytest.importorskip("weas_widget", reason="no weas-widget: pip install weas-widget")
    open_notebook(page, lab, "notebooks/check/map.ipynb")
    assert errors(run_all(page)) == []
    canvas = page.locator(".weas-viewer canvas").first
    canvas.wait_for()
    shown = changed(canvas, lambda pixels: (pixels[..., :3] < 0.9).any(axis=-1).mean() > 0.1)  # no more white
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 100, box["y"] + box["height"] / 2 + 50, steps=5)
    page.mouse.up()
    shown = changed(canvas, lambda pixels: not np.array_equal(pixels, shown))
    page.locator(".widget-dropdown select").first.select_option("confidence")
    changed(canvas, lambda pixels: (pixels[..., 0] - pixels[..., 2] > 0.3).mean() > 0.1)  # viridis: yellow


def changed(canvas, wanted):
    """Wait until what a canvas shows is as wanted; return its pixels."""
    deadline = time.monotonic() + 60
    while not wanted(pixels := imread(io.BytesIO(canvas.screenshot()))):
        assert time.monotonic() < deadline, "nothing changed"
        time.sleep(0.2)
    return pixels
