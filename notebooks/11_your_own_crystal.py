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
# **In:** a structure file: CIF, POSCAR, extxyz, LAMMPS dump or data file, or anything else that ASE reads.
# **Out:** its [prototype](../docs/glossary.md#prototype) and its [class](../docs/glossary.md#class), each with a probability, or the reason
# why there is none.
#
# **Result:** of <!--=classify.crystals-->61<!--/--> real elemental crystals, relaxed by density-functional theory and written to
# files, <!--=classify.right-->58<!--/--> get the right class, <!--=classify.refused-->3<!--/--> are refused,
# and <!--=classify.wrong-->0<!--/--> get a wrong one. Of <!--=classify.outliers-->10<!--/--> crystals of other
# structures, <!--=classify.outliers_refused-->10<!--/--> are refused, as they should be.
#
# ![A crystal from a file, what the network sees of it, and its answer](../figures/fig_12_classify.png)
#
# **Time:** <!--=time.11_your_own_crystal.seconds:.0f-->29<!--/--> s on two cores. Nothing is trained, and you need not run any other
# notebook first: the networks of lessons 03, 06, 08 and 10 travel with the package.

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
from xtalsight.spectra import of_places, spectrum
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters
#
# To ask about a crystal of your own, set `file` to the path of its file. In Colab, upload it first, by the folder symbol at the left; it
# is then `/content/name-of-the-file`.

# %% tags=["parameters"]
profile = "smoke"  # where results go: build/<profile>
file = ""  # path of a structure file; empty: silicon, randomly rotated, which is made here
seed = 0  # of rotations, vacancies and displacements

# %%
run = Run("11_your_own_crystal", profile)
networks.make_reproducible(seed)
folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(seed)

# %% [markdown]
# ## A file
#
# A crystal in a file may have any orientation. Here it is silicon, its cell rotated by three random angles.

# %%
if not file:
    file = folder / "silicon.vasp"
    crystals.rotate(bulk("Si"), rng.uniform(0, 360, 3)).write(file)
atoms = next(classify.read_structures(file))
atoms

# %% [markdown]
# **Predict:** the file holds two atoms and three cell vectors. The network was trained on some hundreds of atoms without a cell. What
# has to be done first?

# %%
prepared = prepare(atoms)
print(*prepared.notes)

# %% [markdown]
# The cell stands for an endless crystal, and a ball is cut out of that. However small or skew the cell is, the ball is the same but for
# its orientation.
#
# ## What the network sees
#
# A [spectrum](../docs/glossary.md#spectrum) of each ball, which no rotation changes ([08](08_in_any_orientation.ipynb)). One network
# looks at the places of the atoms and names one of the seven classes, or "none".

# %%
seven, card = classify.load_network("any_orientation")
spectra = np.array([spectrum(ball) for ball in prepared.balls])  # (balls, places or kinds, shells, degrees)
by_ball = inference.predict(seven, of_places(spectra))  # (balls, seven classes and none)
pd.DataFrame(by_ball, columns=[*CLASSES, "none"]).style.format("{:.1%}")

# %% [markdown]
# The balls are of one crystal, so their probabilities are multiplied: the geometric mean, brought back to a sum of 1. The largest has to
# exceed the threshold of its class. Otherwise the answer is a [refusal](../docs/glossary.md#refusal) ([07](07_what_to_refuse.ipynb)).

# %%
product = np.exp(np.log(by_ball.clip(1e-9, 1)).mean(axis=0))
probabilities = product / product.sum()
best = probabilities[:7].argmax()
print(f"{CLASSES[best]}: probability {probabilities[best]:.4f}, threshold {card['thresholds'][best]:.4f}")

# %% [markdown]
# `classify.classify` does the same. It also refuses what has too few atoms or is flat, and compares the answer with the space group that spglib
# finds in the cell.

# %%
answer = classify.classify(atoms)
assert answer["class"] == CLASSES[best] and np.isclose(answer["probability"], probabilities[best], atol=1e-3)
pd.Series(answer).drop(["probabilities", "prototype"]).to_frame("answer").style

# %% [markdown]
# A second network looks at places and [kinds](../docs/glossary.md#kind) and names one of hundreds of
# prototypes ([10](10_which_prototype.ipynb)):

# %%
pd.Series(answer["prototype"]).to_frame("prototype").style

# %% [markdown]
# All in one figure, to be used for other files, too:


# %%
def draw_answer(atoms):
    """A ball of the crystal, its spectrum, and the probabilities of the classes."""
    ball, answer = prepare(atoms).balls[0], classify.classify(atoms)
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.9), layout="constrained")
    plots.draw_crystal(ball, axes[0], color="0.75")
    axes[0].set_axis_off()
    plots.draw_spectrum(spectrum(ball)[0], axes[1])
    axes[2].barh([*CLASSES, "none"], answer["probabilities"].values(), color=[*plots.CLASS_COLORS, "0.5"])
    axes[2].set(xlim=(0, 1.02), xlabel="probability")
    axes[2].invert_yaxis()
    verdict = answer["class"] if answer["reason"] is None else answer["verdict"]
    for ax, title in zip(axes, ("a crystal, in any orientation", "what the network sees", f"answer: {verdict}")):
        ax.set_title(title, fontweight="bold" if ax is axes[2] else "normal")
    return figure


# %%
figure = draw_answer(atoms)
run.save_figure(figure, "fig_12_classify")

# %% [markdown]
# *Left to right: a ball of the crystal in the file, its spectrum, the probability of each class.* The columns of silicon atoms run in some
# odd direction. The network need not know which.
#
# ## The standard cell, and two other networks
#
# Where spglib has found a standard cell, the crystal can be set upright, as the paper does. It then has a
# [fingerprint](../docs/glossary.md#fingerprint), and the networks of [03](03_a_network_learns.ipynb) and [06](06_damage.ipynb) can be asked
# for comparison. Each has a [length scale](../docs/glossary.md#length-scale) of its own, and so each sees another fingerprint. Without a
# standard cell both get the ball as it lies.


# %%
def standard_of(prepared, answer):
    """Standard cell and supercell, if spglib has found those of a class; else no cell, and the ball as it lies."""
    if answer["standard"] is None:
        ball = prepared.balls[0].copy()
        ball.symbols[:] = "Cu"  # as if all atoms were alike: only the places count
        return None, ball
    cell = crystals.conventional_cell(prepared.crystal, answer["tolerance"])
    return cell, cell.repeat(crystals.supercell_replicas(cell))


def best_of(probabilities):
    """Name and probability of the best answer."""
    return f"{[*CLASSES, 'none'][probabilities.argmax()]}, {probabilities.max():.0%}"


# %%
(table_1, _), (compact, _) = (classify.load_network(name) for name in ("table_1", "compact"))


def two_answers(cluster):
    """By network of the standard orientation: the fingerprint that it sees, and its answer."""
    seen, seen_by_paper = fingerprint(cluster, classify.GEOMETRY), fingerprint(cluster)
    return {
        "compact network": (seen, best_of(inference.predict(compact, seen[None], mirrored=True)[0])),
        "network of the paper": (seen_by_paper, best_of(inference.predict(table_1, seen_by_paper[None])[0])),
    }


# %%
def draw_networks(atoms):
    """The atoms, and beside them what each of three networks sees, with its answer."""
    prepared, answer = prepare(atoms), classify.classify(atoms)
    cell, cluster = standard_of(prepared, answer)
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.8), layout="constrained")
    plots.draw_crystal(cell or cluster, axes[0], color="0.75", boundary=cell is not None)
    axes[0].set_axis_off()
    axes[0].set_title("standard cell" if cell else "atoms (a ball)")
    plots.draw_spectrum(spectrum(prepared.balls[0])[0], axes[1])
    axes[1].set_title(f"spectra, which decide:\n{best_of(np.array([*answer['probabilities'].values()]))}")
    for ax, (name, (picture, said)) in zip(axes[2:], two_answers(cluster).items()):
        plots.draw_fingerprint(picture, ax)
        ax.set_title(f"{name}:\n{said}")
    return figure, cell, cluster


# %%
figure, cell, cluster = draw_networks(atoms)
if cell:
    scale = length_scale(cluster, classify.GEOMETRY.scale)
    table = reflections(cell, cluster.get_volume() ** (1 / 3) / scale, classify.GEOMETRY, scale)
    plots.draw_reflections(table, figure.axes[2])
run.save_figure(figure, "fig_12b_networks")

# %% [markdown]
# *Three networks look at one crystal; each answer stands above what that network sees.* Circles: reflections computed from the cell, the
# strongest of each length with their indices hkl. On the right, the same peaks lie closer to the beam: only the length scale differs.
#
# ## Files of every kind
#
# What else may come: a metal, two compounds, a crystal with vacancies, a slab, a molecule. **Predict:** which of them is one of the
# seven? Which has a prototype?

# %%
damaged = damage.remove_atoms(bulk("W", cubic=True).repeat(5), 0.4, rng)
damaged.positions += rng.normal(scale=0.1, size=damaged.positions.shape)  # angstrom
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

# %% [markdown]
# The command line takes many files at once, and prints one object a line with `--json`. A file that it cannot read gets one sentence, and
# the others are answered:

# %%
(folder / "notes.txt").write_text("to do: buy milk")
for name, example in examples.items():
    example.write(folder / name)
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
table = pd.concat({"": answers[["file"]], "prototype": by_prototype, "seven": by_class}, axis=1)
table.style.hide(axis="index").format(precision=3, na_rep="–")

# %% [markdown]
# All <!--=classify.examples-->6<!--/--> took <!--=classify.examples.seconds:.0f-->3<!--/--> s. The places of rock salt are
# simple cubic and those of zinc blende diamond, but their kinds are ordered: neither is one of the seven, and each has a prototype of its own.
# (Iron's is called tungsten, after the metal that AFLOW's library names it by.)
# The slab is repeated in its plane, not across the vacuum; eight layers are nearly a crystal. Benzene's twelve atoms are too few for an
# answer, and the refusal says so.
#
# In the tungsten crystal without two fifths of its atoms, spglib finds no symmetry. Still, networks name it. Which of them?
#
# **Predict:** which of the three is least sure?

# %%
figure, *_ = draw_networks(damaged)
run.save_figure(figure, "fig_12a_damaged")

# %% [markdown]
# *Each answer stands above what that network sees.* The missing atoms leave [speckle](../docs/glossary.md#speckle) between the peaks. There is no standard cell:
# this crystal happens to lie upright, which the two networks on the right need, and the spectra do not. The network of the paper was
# trained on perfect crystals, cut as blocks; it was never meant for this ball, and is the least sure.
#
# ## All elements
#
# The ground states of 71 elements, relaxed by density-functional theory (`ase.collections.dcdft`), go through files. Their space groups
# are known, and with them their classes. The network was trained on generated crystals of nearly all these elements: this tests whether files come
# through, not how well it does on what it has never seen ([evidence](19_refusals_tested.ipynb)).

# %%
rows = []
for symbol in dcdft.names:
    dcdft[symbol].write(folder / f"{symbol}.cif")
    (element,) = classify.read_structures(folder / f"{symbol}.cif")
    label = CLASS_OF_SPACE_GROUP.get(crystals.space_group(dcdft[symbol], symprec=1e-2))
    found = classify.classify(element)
    row = {key: found[key] for key in ("class", "probability", "reason")}
    row["prototype"] = found["prototype"]["title"] if found["prototype"]["verdict"] == "accepted" else "refused"
    rows.append({"element": symbol, "is": "none" if label is None else CLASSES[label]} | row)
elements = pd.DataFrame(rows)
elements["refused"] = elements.reason.notna()

# %%
known = elements[elements["is"] != "none"]
outliers = elements[elements["is"] == "none"]
right = (known["is"] == known["class"]) & ~known.refused
pd.concat([known[~right], outliers]).drop(columns="class").style.hide(axis="index").format({"probability": "{:.3f}"})

# %% [markdown]
# Of <!--=classify.crystals-->61<!--/--> crystals of the seven classes, <!--=classify.right-->58<!--/--> are named
# correctly, <!--=classify.refused-->3<!--/--> are refused and <!--=classify.wrong-->0<!--/--> get a wrong class. The table shows those that are not
# right, and the [outliers](../docs/glossary.md#outlier): <!--=classify.outliers_refused-->10<!--/-->
# of <!--=classify.outliers-->10<!--/--> are refused. Several of these have a prototype, which the second network knows.
#
# Gallium is one of them. What does a refusal look like?

# %%
figure = draw_answer(dcdft["Ga"])
run.save_figure(figure, "fig_12c_refused")

# %% [markdown]
# *Gallium: more peaks than silicon, some at other places.* "None of the seven" is an answer, too, and the right one.
#
# What to believe? The card of each network says what it was trained on, and how often it refuses.

# %%
pd.Series(card).drop(["accuracy", "thresholds", "sha256"]).to_frame("spectra").style

# %%
run.save_results(
    {
        "classify.crystals": len(known),
        "classify.right": right.sum(),
        "classify.refused": known.refused.sum(),
        "classify.wrong": (~right & ~known.refused).sum(),
        "classify.outliers": len(outliers),
        "classify.outliers_refused": outliers.refused.sum(),
        "classify.examples": len(examples),
        "classify.examples.seconds": seconds,
    }
)

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: What does a cell tell that atoms do not?
#
# Copper, 256 atoms without damage, rotated by 20°, with its cell and without. **Predict:** which class, with what verdict? What differs?
# (`crystals.rotate`, `atoms.set_cell(None)`, `classify.classify`)

# %% tags=["hide-cell"]
# @title Solution 1
with_cell = crystals.rotate(bulk("Cu", cubic=True).repeat(4), (20, 0, 0))
without_cell = with_cell.copy()
without_cell.set_cell(None)
without_cell.pbc = False
both = pd.DataFrame({"with cell": classify.classify(with_cell), "without": classify.classify(without_cell)})
assert both.loc["class"].eq("fcc").all() and both.loc["reason"].isna().all()
assert both.loc["spacegroup"].tolist() == [225, None]
both.drop(["probabilities", "prototype"]).style

# %% [markdown]
# <details><summary>Answer</summary>
#
# The answer is the same, from other atoms: with a cell, a ball of the endless crystal; without one, the block itself, corners and
# all. What only the cell tells is the space group, and with it the standard orientation.
#
# </details>
#
# ### Exercise 2: How many atoms does an answer need?
#
# Cubes of bcc iron without a cell, from 16 atoms upwards. **Predict:** from which size on is the class right, and from which size on is it
# given? (`bulk("Fe", cubic=True).repeat(n)`)

# %% tags=["hide-cell"]
# @title Solution 2
rows = []
for n in range(2, 7):
    cube = bulk("Fe", cubic=True).repeat(n)
    cube.pbc = False
    found = classify.classify(cube)
    rows.append({"atoms": len(cube), **{key: found[key] for key in ("class", "probability", "verdict", "reason")}})
sizes = pd.DataFrame(rows)
assert sizes["class"].eq("bcc").all()
assert sizes.reason.isna().tolist() == (sizes.atoms >= 24).tolist()
sizes.style.hide(axis="index").format(precision=4, na_rep="–")

# %% [markdown]
# <details><summary>Answer</summary>
#
# The class is right for all of them, but it is not given for the smallest. A peak is as wide as the crystal is small: its width goes as
# the inverse of the edge. In a few dozen atoms the peaks overlap. Below 24 atoms, the smallest size trained on, no answer is given, whatever
# the probability.
#
# </details>
#
# ## Summary
#
# - `xtalsight classify FILE…` names prototype and class of any structure file within seconds, or says why it does not;
#   of <!--=classify.crystals-->61<!--/--> real crystals, <!--=classify.right-->58<!--/--> are named correctly.
# - A periodic cell becomes balls of the endless crystal; a cloud of atoms is taken as it is. Their spectra decide, in any orientation.
# - In a compound, the places alone determine the class; places and kinds together determine the prototype.
#
# Next: [12 By hand](12_by_hand.ipynb) damages a crystal by slider.
