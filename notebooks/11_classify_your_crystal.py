# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which crystal is it?
#
# **In:** a structure file: CIF, POSCAR, extxyz, LAMMPS dump or data file and what else ASE reads.
# **Out:** its prototype and its class with a probability, or why there is none; its fingerprint with named peaks; what a network looks at.
#
# **Result:** of <!--=classify.crystals-->…<!--/--> real elemental crystals, relaxed by density-functional theory and written to
# files, <!--=classify.right-->…<!--/--> get the right class, <!--=classify.refused-->…<!--/--> are refused
# and <!--=classify.wrong-->…<!--/--> called something else; of <!--=classify.strangers-->…<!--/--> of other
# structure <!--=classify.outliers_refused-->…<!--/--> are called none of the seven.
#
# ![A crystal, its fingerprint, the answers, and what one of the networks looked at](../figures/fig_12_classify.png)
#
# **Time:** <!--=time.11_classify_your_crystal.seconds:.0f-->…<!--/--> s on two cores. Nothing is trained: four networks, of notebooks
# 04, 07, 08 and 10, travel with the package.

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
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ase.build import bulk, molecule
from ase.collections import dcdft

from xtalsight import classify, crystals, damage, inference, networks, plots
from xtalsight.crystals import CLASS_OF_SPACE_GROUP, CLASSES
from xtalsight.fingerprints import fingerprint, length_scale, reflections
from xtalsight.preparation import prepare
from xtalsight.spectra import spectrum
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters
#
# To ask about a crystal of your own, set `file` to the path of its file. In Colab, upload it first, by the folder symbol at the left; it
# is then `/content/name-of-the-file`.

# %% tags=["parameters"]
profile = "smoke"  # where results go: build/<profile>
file = ""  # path of a structure file; empty: silicon, turned at random, which is made here
seed = 0  # of rotations, vacancies and displacements

# %%
run = Run("11_classify_your_crystal", profile)
networks.make_reproducible(seed)
folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(seed)

# %% [markdown]
# ## One crystal
#
# In a file, a crystal may have any orientation. Here it is silicon, its cell turned by three random angles.

# %%
if not file:
    file = folder / "silicon.vasp"
    crystals.rotate(bulk("Si"), rng.uniform(0, 360, 3)).write(file)
atoms = next(classify.read_structures(file))
atoms

# %% [markdown]
# **Predict:** a file holds two atoms and three cell vectors. What has to be done to it before a network for clouds of atoms can look?

# %%
prepared = prepare(atoms)
prepared.notes

# %% [markdown]
# The cell stands for an endless crystal, of which balls of a few hundred atoms are cut out. However small, thin or skew the cell, whatever
# it lacks, the balls are those of the crystal; their spectra, which no rotation changes, give the answer: those of the places the class of the
# seven (notebook 08), those of places and kinds the prototype, one of hundreds (notebook 10). Beside this, spglib looks at the cell, at a tolerance that fits the scatter of the
# atoms. It names nothing, but rules out prototypes of another space group.
#
# The answer:

# %%
answer = classify.classify(atoms)
pd.Series(answer["prototype"]).to_frame("prototype").style

# %%
pd.Series(answer).drop(["probabilities", "prototype"]).to_frame("answer").style


# %% [markdown]
# ## In pictures
#
# From left to right: the standard cell, or the atoms where none is known; the fingerprint, its reflections named if there is a cell;
# the spectra; the answers of the networks; and where in the picture the last convolution of the network of the paper responds most, by
# deconvolution (notebook 05).


# %%
def standard_of(prepared, answer):
    """Standard cell and supercell where spglib has found those of a class; else no cell, and the ball as it is."""
    if answer["standard"] is None:
        places = prepared.balls[0].copy()
        places.symbols[:] = "Cu"
        return None, places
    cell = crystals.conventional_cell(prepared.crystal, answer["tolerance"])
    return cell, cell.repeat(crystals.supercell_replicas(cell))


def reflections_of(cell, cluster):
    """Reflections of the standard cell in the fingerprint of the cluster."""
    scale = length_scale(cluster, classify.GEOMETRY.scale)
    return reflections(cell, cluster.get_volume() ** (1 / 3) / scale, classify.GEOMETRY, scale)


# %%
def draw_answers(ax, by_network):
    """Probabilities of the classes, and of none of them, by each network."""
    for i, (name, probabilities) in enumerate(by_network.items()):
        height = 0.8 / len(by_network)
        place = np.arange(len(probabilities)) + height * (i - (len(by_network) - 1) / 2)
        ax.barh(place, probabilities, height, label=name, color=("C0", "C1", "0.7")[i])
    ax.set(xlim=(0, 1.02), xlabel="probability")
    ax.set_yticks(range(len(CLASSES) + 1), (*CLASSES, "none"))
    ax.invert_yaxis()
    ax.legend(loc="best", fontsize=7)


# %%
(table_1, _), (compact, _) = (classify.load_network(name) for name in ("table_1", "compact"))


# %%
def answers_of(answer, cluster):
    """Probabilities by the network that decides and by those for the standard orientation."""
    picture = fingerprint(cluster, classify.GEOMETRY)
    return {
        "spectra": [*answer["probabilities"].values()],
        "compact": inference.predict(compact, picture[None], mirrored=True)[0],
        "of the paper": inference.predict(table_1, fingerprint(cluster)[None])[0],
    }


def draw(atoms):
    """Five pictures of a structure: atoms, what the networks see of it, answers."""
    prepared, answer = prepare(atoms), classify.classify(atoms)
    cell, cluster = standard_of(prepared, answer)
    figure, axes = plt.subplots(1, 5, figsize=(12, 2.6), layout="constrained")
    plots.draw_crystal(cell or cluster, axes[0], boundary=cell is not None)
    axes[0].set_axis_off()
    plots.draw_spectrum(spectrum(prepared.balls[0])[0], axes[1])
    plots.draw_fingerprint(fingerprint(cluster, classify.GEOMETRY), axes[2])
    plots.draw_fingerprint(fingerprint(cluster), axes[3])
    if cell:
        plots.draw_reflections(reflections_of(cell, cluster), axes[2])
    draw_answers(axes[4], answers_of(answer, cluster))
    titles = "standard cell" if cell else "atoms", "spectra", "fingerprint", "the paper's fingerprint", "answers"
    for ax, title in zip(axes, titles):
        ax.set_title(title)
    return figure


# %%
figure = draw(atoms)
run.save_figure(figure, "fig_12_classify")

# %% [markdown]
# *Circles: reflections, computed from the cell; the strongest of each length carry their indices hkl. A compound is drawn by the
# places of its atoms.* The network for spectra decides, here and on the command line. The compact one and that of the paper see
# a fingerprint each, whose length scales differ a little; they know the standard orientation only and are shown for comparison.
#
# ## Files of every kind
#
# What else may come: a compound, a crystal with vacancies, a slab, a molecule. **Predict:** which of them is one of the seven? Which has a prototype?

# %%
damaged = damage.remove_atoms(bulk("W", cubic=True).repeat(5), 0.4, rng)
damaged.positions += rng.normal(scale=0.1, size=damaged.positions.shape)
slab = bulk("Cu", cubic=True).repeat((1, 1, 4))
slab.center(vacuum=10, axis=2)
examples = {
    "iron.cif": bulk("Fe"),
    "salt.cif": bulk("NaCl", "rocksalt", a=5.64),
    "blende.vasp": bulk("ZnS", "zincblende", a=5.41),
    "tungsten_40_vacancies.extxyz": damaged,
    "copper_slab.vasp": slab,
    "benzene.xyz": molecule("C6H6"),
}
(folder / "notes.txt").write_text("to do: buy milk")
for name, example in examples.items():
    example.write(folder / name)

# %% [markdown]
# The command line takes many files at once, and prints an object a line with `--json`. A file that cannot be read gets one sentence, and
# the others are answered:

# %%
# In a terminal: xtalsight classify --json iron.cif salt.cif …
command = [sys.executable, "-m", "xtalsight", "classify", "--json", *examples, "notes.txt", "missing.cif"]
start = time.perf_counter()
finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
seconds = time.perf_counter() - start
print(f"{finished.stderr}exit status {finished.returncode}")

# %%
answers = pd.DataFrame([json.loads(line) for line in finished.stdout.splitlines()])
by_prototype = pd.DataFrame(answers.prototype.tolist())[["title", "verdict", "probability"]]
by_class = answers.astype({"spacegroup": "Int64"})[["class", "verdict", "reason", "kinds", "spacegroup"]]
pd.concat({"": answers[["file"]], "prototype": by_prototype, "seven": by_class}, axis=1).style.hide(axis="index")

# %%
for row in answers.itertuples():
    print(f"{row.file}: {'; '.join(row.notes)}")

# %% [markdown]
# All <!--=classify.examples-->…<!--/--> took <!--=classify.examples.seconds:.0f-->…<!--/--> s. The places of rock salt are
# simple cubic, those of zinc blende diamond; but their kinds are ordered, and so neither is one of the seven: they are what they are called. The crystal without two fifths of its atoms has no symmetry, for spglib, and
# is named all the same. A slab is repeated in its plane, not across the vacuum; eight layers are nearly a crystal. A molecule of
# twelve atoms is too small for an answer, and the refusal says so.

# %%
figure = draw(damaged)
run.save_figure(figure, "fig_12a_damaged")

# %% [markdown]
# *The tungsten crystal, a ball of it.* The atoms that are missing have left speckle between the peaks; no standard cell is known, so no
# reflection is named. The spectra give the answer. The network of the paper has seen perfect crystals only, and a ball is not the
# block that it knows: what it says is of a picture that it was not made for.
#
# ## All elements
#
# The ground states of 71 elements as density-functional theory relaxes them (`ase.collections.dcdft`), by way of files. Their class by
# space group is known. The network was trained on generated crystals of nearly all these elements: this says whether files come
# through, not how it does on what it never saw (notebook 09).

# %%
rows = []
for symbol in dcdft.names:
    dcdft[symbol].write(folder / f"{symbol}.cif")
    (atoms,) = classify.read_structures(folder / f"{symbol}.cif")
    label = CLASS_OF_SPACE_GROUP.get(crystals.space_group(dcdft[symbol], symprec=1e-2))
    answer = classify.classify(atoms)
    refused = answer["verdict"] == "none of the seven"
    truth = "none" if label is None else CLASSES[label]
    rows.append({"element": symbol, "is": truth, "class": answer["class"], "refused": refused})
    rows[-1]["probability"] = answer["probability"]
elements = pd.DataFrame(rows)
ours = elements[elements["is"] != "none"]
strangers = elements[elements["is"] == "none"]

# %%
right = (ours["is"] == ours["class"]) & ~ours.refused
pd.concat([ours[~right], strangers[~strangers.refused]])

# %%
run.save_results(
    {
        "classify.crystals": len(ours),
        "classify.right": right.sum(),
        "classify.refused": ours.refused.sum(),
        "classify.wrong": (~right & ~ours.refused).sum(),
        "classify.strangers": len(strangers),
        "classify.outliers_refused": strangers.refused.sum(),
        "classify.examples": len(examples),
        "classify.examples.seconds": seconds,
    }
)

# %% [markdown]
# Of <!--=classify.crystals-->…<!--/--> crystals of the seven classes <!--=classify.right-->…<!--/--> are named
# rightly, <!--=classify.refused-->…<!--/--> are refused and <!--=classify.wrong-->…<!--/--> are called something else. The table shows the refused and
# the wrong ones, and the crystals of another structure that are taken for one of the seven: <!--=classify.outliers_refused-->…<!--/-->
# of <!--=classify.strangers-->…<!--/--> are not.
#
# What to believe: the card of each network says what it was trained on and how often it is right there.

# %%
_, card = classify.load_network("any_orientation")
pd.Series(card).drop(["accuracy", "thresholds"]).to_frame("spectra").style

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: what does a cell tell that atoms do not?
#
# Copper, 256 atoms without damage, turned by 20°, with its cell and without. **Predict:** which class, with what verdict? What differs?
# (`crystals.rotate`, `atoms.set_cell(None)`, `classify.classify`)

# %% tags=["hide-cell"]
# @title Solution 1
with_cell = crystals.rotate(bulk("Cu", cubic=True).repeat(4), (20, 0, 0))
without_cell = with_cell.copy()
without_cell.set_cell(None)
without_cell.pbc = False
answers = {"with cell": classify.classify(with_cell), "without": classify.classify(without_cell)}
pd.DataFrame(answers).drop(["probabilities", "prototype"]).style

# %% [markdown]
# <details><summary>Answer</summary>
#
# The answer is the same, from other atoms: with a cell, balls of the endless crystal, without one, the block itself; with fewer atoms
# (256, not 384) its peaks are a little wider. What only the cell tells is the space group, and with it the standard orientation: of a compound, it knows which atoms
# sit where.
#
# </details>
#
# ### Exercise 2: how many atoms does an answer need?
#
# Cubes of bcc iron without a cell, from 16 atoms upwards. **Predict:** from which size on is the answer right, and from which is it
# given? (`bulk("Fe", cubic=True).repeat(n)`)

# %% tags=["hide-cell"]
# @title Solution 2
rows = []
for n in range(2, 7):
    cube = bulk("Fe", cubic=True).repeat(n)
    cube.pbc = False
    answer = classify.classify(cube)
    rows.append({"atoms": len(cube), **{key: answer[key] for key in ("class", "probability", "verdict")}})
pd.DataFrame(rows)

# %% [markdown]
# <details><summary>Answer</summary>
#
# A peak is as wide as the crystal is small: its width goes as the inverse of the edge. In a few dozen atoms the peaks of a picture overlap,
# and below the smallest size trained on no answer is given, whatever the probability.
#
# </details>
#
# ## Summary
#
# - `xtalsight classify FILE…` names prototype and class of any structure file within seconds, or says why there is none;
#   of <!--=classify.crystals-->…<!--/--> real crystals, <!--=classify.right-->…<!--/--> are named rightly.
# - A periodic cell becomes balls of the endless crystal, a cloud of atoms is taken as it is; their spectra decide, whatever the orientation.
# - Of a compound the places alone say the class, and which of them are of one kind says the prototype.
#
# Next: [12 Explore by hand](12_explore_by_hand.ipynb) damages a crystal by slider.
