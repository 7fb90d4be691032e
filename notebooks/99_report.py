# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What came out?
#
# **In:** the numbers, figures and tables of all notebooks. **Out:** one file of numbers, a folder of figures with a manifest that
# names the notebook behind each, and pages with their numbers and tables brought up to date.
#
# **Time:** seconds. Only the full profile writes to `figures/`, `README.md` and `docs/`; the small one writes below `build/`.

# %% tags=["colab"]
import os
import subprocess

REPOSITORY = "…"  # its address: [tool.xtalsight] in pyproject.toml, written here by `make sync`
if "COLAB_RELEASE_TAG" in os.environ and not os.path.exists("profiles.yaml"):
    # Fetch the study and install it beside Colab's own TensorFlow and NumPy.
    if not os.path.exists("xtalsight"):
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPOSITORY, "xtalsight"], check=True)
    subprocess.run(["sh", "xtalsight/notebooks/colab.sh"], check=True)
    os.chdir("xtalsight/notebooks")

# %%
import matplotlib.pyplot as plt
import pandas as pd

from xtalsight import store
from xtalsight.study import report
from xtalsight.study.profiles import Run, root

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from: build/<profile>

# %%
run = Run("99_report", profile)
target = root() / "figures" if profile == "full" else run.folder / "report"

# %% [markdown]
# ## Numbers

# %%
results = report.collect_results(run.folder)
pd.Series(results).to_frame("value")

# %% [markdown]
# ## Figures and tables

# %%
results = report.publish(run.folder, target, profile, results)  # where only times differ, those that are there
manifest = store.load_json(target / "manifest.json")
pd.Series({name: entry["notebook"] for name, entry in manifest["files"].items()}).to_frame("made by")

# %%
figures = sorted(target.glob("fig_*.png"))
_, axes = plt.subplots(-(-len(figures) // 5), 5, figsize=(10, 1.75 * -(-len(figures) // 5)))
for ax in axes.flat:
    ax.axis("off")
for ax, figure in zip(axes.flat, figures):
    ax.imshow(plt.imread(figure), interpolation="antialiased")
    ax.set_title(figure.stem.removeprefix("fig_"), fontsize=7)
plt.show()

# %% [markdown]
# *All figures, in the order of their numbers.* Figures 1 to 12 without a letter have the numbers of their counterparts in the paper or the report, where there are any; all other
# numbers and letters are ours.
#
# ## Pages
#
# README.md and the pages in `docs/` mark the places of their numbers and tables; each takes the result of that name. A number or a
# table that no notebook made is an error. Then `make all` puts the outputs of the run into the notebooks in `notebooks/`.

# %%
changed = []
for page in report.pages():
    text = report.fill_page(page, results, target)
    filled = page if profile == "full" else target / page.relative_to(root())
    if not filled.exists() or filled.read_text() != text:
        changed.append(page.name)
        with store.replacing(filled) as temporary:
            temporary.write_text(text)
print("pages with new numbers:", *changed)

# %% [markdown]
# ## Summary
#
# - Every number in the README, the pages and the notebooks comes from `figures/results.json`.
# - Every figure and table comes from a notebook that `figures/manifest.json` names.
# - Where nothing but measured times has changed, the committed files stay as they are.
