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
# **In:** the numbers, figures and tables of all notebooks. **Out:** one file of numbers, the folder of figures with a manifest that names
# the notebook behind each, and the README with its numbers brought up to date.
#
# **Time:** seconds. Only the full profile writes to `figures/` and `README.md`; the small one writes below `build/`.

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
import pandas as pd
from IPython.display import Image, display

from xtalsight import store
from xtalsight.study import pairing, report
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
for figure in sorted(target.glob("fig_*.png")):
    display(figure.name, Image(figure, width=600))

# %% [markdown]
# ## README
#
# The README marks the places of its numbers; each takes the result of that name. A number that no notebook wrote is an error. The
# texts of the notebooks in `notebooks/` are filled in the same way.

# %%
readme = root() / "README.md"
text = report.fill_numbers(readme.read_text(), results)
with store.replacing((root() if profile == "full" else target) / "README.md") as temporary:
    temporary.write_text(text)
if profile == "full":
    print("notebooks with new numbers in their text:", pairing.pair())

# %% [markdown]
# ## Summary
#
# - Every number in the README and in the text of the notebooks comes from `figures/results.json`, every figure from a notebook named in `figures/manifest.json`.
