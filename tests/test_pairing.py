"""Notebooks keep the outputs of cells whose code is the same, and say which are stale."""

import base64
import io

import jupytext
import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from nbformat.v4 import new_output
from PIL import Image

from xtalsight.plots import CLASS_COLORS
from xtalsight.store import save_json
from xtalsight.study.pairing import PAGE_WIDTH, pair, paired, presentable, stale
from xtalsight.study.profiles import root

SCRIPT = """# %% [markdown]
# # Is it so?
#
# <!--=a.share:.0%-->…<!--/--> of all.

# %% tags=["parameters"]
profile = "smoke"  # where results go
n = 1  # number of crystals

# %%
print(n)

# %%
n + 1

# %%
n + 1
"""


def picture(width):
    target = io.BytesIO()
    Image.linear_gradient("L").resize((width, 64)).convert("RGBA").save(target, "PNG")
    return base64.b64encode(target.getvalue()).decode()


def executed(script=SCRIPT):
    """As papermill leaves it: numbered cells, the parameters of the profile in a cell of their own."""
    notebook = jupytext.reads(script, fmt="py:percent")
    injected = nbformat.v4.new_code_cell("# Parameters\nn = 7\n", metadata={"tags": ["injected-parameters"]})
    (place,) = [n for n, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    notebook.cells.insert(place + 1, injected)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
    code = code[code.index(injected) - 1 :]
    code[2].outputs = [new_output("stream", name="stdout", text="7\n"), new_output("stream", name="stderr", text="3/7")]
    code[3].outputs = [new_output("execute_result", {"text/plain": "8"}, execution_count=4)]
    code[4].outputs = [
        new_output("display_data", {"image/png": picture(3000), "text/plain": "<Figure size 640x480 with 1 Axes>"}),
        new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}}),
    ]
    return notebook


def cells(text):
    return [cell for cell in nbformat.reads(text, 4).cells if cell.cell_type == "code"]


def test_outputs_are_those_of_the_run_and_stay_when_paired_again():
    first = paired(SCRIPT, {"a.share": 0.5}, "", presentable(executed()))
    parameters, printed, value, figure = cells(first)
    assert "50%" in first
    assert parameters.outputs[0].text.splitlines()[1:] == ["n = 7"]
    assert [output.text for output in printed.outputs] == ["7\n"]  # without the bar of progress
    assert value.outputs[0].data["text/plain"] == "8"
    assert len(figure.outputs) == 1  # without the widget
    assert paired(SCRIPT, {"a.share": 0.5}, "", nbformat.reads(first, 4)) == first
    assert not stale(nbformat.reads(first, 4))


def test_a_changed_cell_loses_its_output_and_is_named():
    first = nbformat.reads(paired(SCRIPT, {}, "", presentable(executed())), 4)
    text = paired(SCRIPT.replace("print(n)", "print(-n)"), {}, "", first)
    assert [bool(cell.outputs) for cell in cells(text)] == [True, False, True, True]
    assert stale(nbformat.reads(text, 4)) == [2]


def test_a_changed_text_or_address_leaves_outputs():
    script = SCRIPT.replace(
        '# %% tags=["parameters"]', '# %% tags=["colab"]\nREPOSITORY = "…"\n\n# %% tags=["parameters"]'
    )
    first = nbformat.reads(paired(script, {}, "", presentable(executed(script))), 4)
    text = paired(script.replace("Is it so?", "Is it?"), {"a.share": 1}, "https://doi.org/1", first)
    assert "https://doi.org/1" in text and "Is it?" in text
    assert not stale(nbformat.reads(text, 4))
    before = [cell.outputs for cell in first.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells(text)] == before
    assert sum(map(len, before)) == 4


def test_small_dots_keep_the_colours_of_their_classes():
    """Beside a picture of many colours, as beside a fingerprint."""
    rng = np.random.default_rng(0)
    pixels = (rng.random((400, 400, 3)) ** 4 * 255).astype(np.uint8)
    dots = (np.array([to_rgb(color) for color in CLASS_COLORS]) * 255).round().astype(np.uint8)
    pixels[:3, : 3 * len(dots)] = np.repeat(dots, 3, axis=0)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    notebook = executed()
    notebook.cells[-1].outputs[0].data["image/png"] = base64.b64encode(target.getvalue()).decode()
    *_, figure = cells(paired(SCRIPT, {}, "", presentable(notebook)))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(figure.outputs[0].data["image/png"]))).convert("RGB"))
    assert np.abs(shown[1, 1 : 3 * len(dots) : 3].astype(int) - dots).max() < 40


def test_pictures_are_no_wider_than_a_page():
    *_, figure = cells(paired(SCRIPT, {}, "", presentable(executed())))
    image = Image.open(io.BytesIO(base64.b64decode(figure.outputs[0].data["image/png"])))
    assert image.width == PAGE_WIDTH and image.mode == "P"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of one notebook that has been run, whose numbers are committed."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "profiles.yaml").touch()
    (tmp_path / "notebooks" / "01_first.py").write_text(SCRIPT)
    (tmp_path / "pyproject.toml").write_text('[tool.xtalsight]\nrepository = ""\n')
    save_json(tmp_path / "build" / "full" / "results" / "01_first.json", {"a.share": 0.5, "time.first.seconds": 1})
    nbformat.write(executed(), tmp_path / "build" / "full" / "01_first.ipynb")
    monkeypatch.chdir(tmp_path)
    save_json("figures/results.json", {"a.share": 0.5, "time.first.seconds": 1, "time.all.minutes": 0})
    return tmp_path


def test_notebooks_get_the_outputs_of_a_run(study):
    assert pair() == (["01_first.py", "01_first.ipynb"], {"01_first.ipynb": [1, 2, 3, 4]})
    assert pair(check=True, executed=study / "build" / "full")[0] == ["01_first.ipynb"]
    assert pair(executed=study / "build" / "full") == (["01_first.ipynb"], {})
    assert pair(check=True) == ([], {})
    assert pair(executed=study / "build" / "full") == ([], {})


def test_scripts_get_the_numbers_of_the_run_and_do_not_run_again_for_them(study):
    """JupyterLab shows the text of the script."""
    script, executed = study / "notebooks" / "01_first.py", study / "build" / "full"
    before = script.stat().st_mtime_ns
    assert pair(check=True)[0] == ["01_first.py", "01_first.ipynb"] and script.read_text() == SCRIPT
    pair(executed=executed)
    assert "-->50%<!--" in script.read_text() and script.stat().st_mtime_ns == before
    assert pair(check=True) == ([], {})
    save_json("figures/results.json", {"a.share": 0.25})
    assert pair(check=True)[0] == ["01_first.py", "01_first.ipynb"]


def test_a_run_that_differs_in_times_only_gives_outputs_to_stale_notebooks_only(study):
    pair(executed=study / "build" / "full")
    again = executed()
    again.cells[3].outputs[0].text = "other\n"
    nbformat.write(again, study / "build" / "full" / "01_first.ipynb")
    save_json(study / "build" / "full" / "results" / "01_first.json", {"a.share": 0.5, "time.first.seconds": 2})
    assert pair(executed=study / "build" / "full") == ([], {})
    (study / "notebooks" / "01_first.ipynb").unlink()
    assert pair(executed=study / "build" / "full") == (["01_first.ipynb"], {})


class TestCommitted:
    """What a visitor sees on the page of the repository."""

    NOTEBOOKS = sorted((root() / "notebooks").glob("[0-9]*.ipynb"))

    @pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
    def test_every_cell_was_run_as_it_stands(self, path):
        notebook = nbformat.read(path, 4)
        assert not stale(notebook), "`make all` runs what has changed"
        assert any(cell.get("outputs") for cell in notebook.cells)

    @pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
    def test_no_bar_of_progress_warning_or_error_is_shown(self, path):
        outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
        assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]

    def test_all_together_are_light_enough_to_be_opened(self):
        assert sum(path.stat().st_size for path in self.NOTEBOOKS) <= 12e6
