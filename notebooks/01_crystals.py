# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which crystals are to be told apart?
#
# **In:** twelve prototypes of crystals, and the ranges of their lattice parameters in nature. **Out:** the recipes of
# all structures, pristine and with vacancies (sites without an atom).
#
# **Result:** <!--=crystals.structures:,-->10,517<!--/--> crystals in seven [classes](../docs/glossary.md#class), of
# which <!--=crystals.space_group_right:.0%-->100%<!--/--> have the space group that their label implies, and a damaged
# copy of each.
#
# ![One cell of every class](../figures/fig_02a_cells.png)
#
# **Time:** <!--=time.01_crystals.seconds:.0f-->70<!--/--> s for all structures on two cores, seconds for the small
# sample that the parameters below select. The numbers in the text are those of all structures.
#
# This study follows a paper, called *the paper* throughout: Ziletti et al., *Nat. Commun.* **9**, 2775 (2018),
# [doi:10.1038/s41467-018-05169-6](https://doi.org/10.1038/s41467-018-05169-6).

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
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from xtalsight import crystals, plots, store
from xtalsight.crystals import CLASSES, PROTOTYPES
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results go: build/<profile>
seed = 2018  # of the data set
fraction = 0.025  # of the published data set's 10,517 structures
vacancy_ratio = 0.25  # fraction of the atoms that the damaged copies lack
n_jobs = -1  # processes; -1 takes every core

# %%
run = Run("01_crystals", profile)

# %% [markdown]
# ## Seven classes, twelve prototypes
#
# A [prototype](../docs/glossary.md#prototype) is a crystal structure without the element: the space group, which sites
# are occupied, and which lengths and angles are free. A *class* here is one space group or two: bcc, body-centred
# cubic; *bct_139* and *bct_141*, body-centred tetragonal (the number is the space group; 141 is the structure of β-Sn);
# *diam*, diamond; fcc, face-centred cubic; *hex/rh*, hexagonal or rhombohedral; *sc*, simple cubic. The class hex/rh
# joins space groups 194 and 166, so it holds crystals that look quite different: hcp metals, graphite, arsenic.
#
# **Predict:** nature has favourites. Which classes are large, and which is tiny?

# %%
prototypes = crystals.prototype_table()
run.save_table(prototypes, "table_00_prototypes")
prototypes.style.hide(axis="index")

# %% [markdown]
# The counts are those of the published data set: bcc, fcc and hex/rh are large, and simple cubic has four structures.
# The fifteen rows are twelve prototypes, named as in AFLOW, a library of crystal structures. Three of them appear
# twice, with different ranges: α-Hg and β-Po, for example, differ only in the angle α between the edges of their
# rhombohedral cell. Where z is free, it places the atoms along the body diagonal of this cell, as a fraction. The
# prototype dhcp is double hcp: its close-packed layers repeat after four (ABAC), not two (ABAB).
#
# We draw the free parameters from ranges found in real crystals. A body-centred tetragonal crystal with c/a = 1 *is*
# bcc, and one with c/a = √2 *is* fcc, so the class bct_139 keeps 0.03 away from both. The ranges of the volume were
# compiled for this study without a published source; they matter little, because [02](02_fingerprints.ipynb) scales the
# size away.
#
# Sources in the table: *Donohue* is J. Donohue, *The Structures of the Elements* (Wiley, 1974); *dcdft* is
# `ase.collections.dcdft`, K. Lejaeghere et al., *Crit. Rev. Solid State Mater. Sci.* **39**, 1 (2014).
#
# We store each structure as its *recipe*: one row of a table, from which the atoms can be rebuilt.

# %%
counts = crystals.data_set_counts(fraction)
pristine = crystals.make_recipes(counts, seed)
damaged = crystals.make_recipes(counts, seed, vacancy_ratio)
store.save_table(run.path("recipes_pristine.csv"), pristine)
store.save_table(run.path("recipes_vacancies.csv"), damaged)
pristine.groupby("label").size().rename(index=dict(enumerate(CLASSES))).to_frame("structures").T

# %%
examples = pristine.groupby("prototype", sort=False).first()
examples[["id", "element", "volume", "c_over_a", "alpha", "z"]].style.format(precision=3, na_rep="–")

# %% [markdown]
# Let us draw the conventional cell of one crystal in each class. **Predict:** which cell holds the most atoms, and
# which holds only one?

# %%
example = {label: pristine[pristine.label == label].iloc[0].to_dict() for label in range(len(CLASSES))}
tetragonal = pristine[pristine.prototype == "bct_in"]
example[1] = tetragonal.loc[tetragonal.c_over_a.idxmax()].to_dict()  # visibly not bcc
cells = [crystals.conventional_cell(crystals.primitive_cell(recipe)) for recipe in example.values()]

# %%
figure, axes = plt.subplots(2, 4, figsize=(7, 4.1))
for label, (ax, cell) in enumerate(zip(axes.flat, cells)):
    plots.draw_crystal(cell, ax, color=plots.CLASS_COLORS[label], boundary=True)
    ax.set_title(CLASSES[label], color=plots.CLASS_COLORS[label], fontweight="bold")
    edges = " × ".join(f"{edge:.1f}" for edge in cell.cell.lengths())
    atoms = f"{len(cell)} atom" + "s" * (len(cell) > 1)
    ax.text(0.5, -0.03, f"{cell.symbols[0]}, {atoms}\n{edges} Å", transform=ax.transAxes, ha="center", va="top")
axes.flat[7].text(0.5, 0.5, "x: right\ny: into the page\nz: up", transform=axes.flat[7].transAxes, ha="center")
axes.flat[7].set_axis_off()
run.save_figure(figure, "fig_02a_cells")

# %% [markdown]
# *A conventional cell of each class: its element, the number of its atoms (each counted once, not its copies on
# opposite faces) and its edges a × b × c. Each cell has a scale of its own; distant atoms are paler. A class keeps its
# colour throughout the study.* We pick the elements at random, since a class is geometry, not chemistry: nobody has
# ever seen diamond made of lutetium. Diamond has four more atoms inside the cell than fcc; bct_139 is stretched bcc,
# here so far that it has passed fcc.
#
# ## Does the label tell the truth?
#
# Every structure carries the label of its prototype. The library spglib knows nothing of prototypes: it looks at the
# atoms and finds the space group. We ask it twice, with a tolerance of 10⁻³ Å and with one of 10⁻⁹ Å, which forgives
# almost nothing.
#
# **Predict:** do all structures pass, at both tolerances?


# %%
def space_groups(recipe):
    cell = crystals.primitive_cell(recipe)
    return [crystals.space_group(cell, symprec) for symprec in (1e-3, 1e-9)]


tasks = (delayed(space_groups)(recipe) for recipe in pristine.to_dict("records"))
found = Parallel(n_jobs=n_jobs, return_as="generator", batch_size=32)(tasks)
found = np.array(list(tqdm(found, total=len(pristine), desc="space groups", mininterval=1)))

# %%
expected = pristine.prototype.map(lambda name: PROTOTYPES[name].space_group).to_numpy()
right = found == expected[:, None]
pd.DataFrame({"tolerance (Å)": ["1e-3", "1e-9"], "right": right.sum(axis=0), "of": len(right)})

# %% [markdown]
# They do: <!--=crystals.space_group_right:.0%-->100%<!--/--> of the <!--=crystals.structures:,-->10,517<!--/--> structures pass
# at both tolerances. However strict it is, spglib agrees with the label.
#
# ## A rotation that leaves no trace
#
# The paper rotates every crystal at random and then builds its *standard conventional cell*, whose axes lie in space as
# a rule prescribes (Setyawan and Curtarolo, 2010). **Predict:** rotate two copies of one crystal differently. How
# different are their standard cells?

# %%
rotated = [crystals.rotate(cells[1], angles) for angles in ([20, 40, 60], [-70, 10, 130])]
standard = [crystals.conventional_cell(atoms) for atoms in rotated]

# %%
figure, axes = plt.subplots(1, 4, figsize=(7, 2.2), layout="compressed")
titles = ["rotated", "rotated differently", "standard cell\nof the first", "standard cell\nof the second"]
for ax, atoms, title in zip(axes, [*rotated, *standard], titles):
    plots.draw_crystal(atoms, ax, color=plots.CLASS_COLORS[1], boundary=True)
    ax.set_title(title)
run.save_figure(figure, "fig_01a_rotation_undone")

# %%
differences = [standard[0].positions - standard[1].positions, standard[0].cell - standard[1].cell]
rotation_left = max(np.abs(difference).max() for difference in differences)
print(f"largest difference of a coordinate: {rotation_left:.1e} Å")

# %% [markdown]
# *One crystal, rotated in two ways, and the standard cell of each.* The standard cells agree to rounding: the standard
# cell undoes the rotation. So "robust to rotation" describes the cell, not the network that comes later. Where the
# crystal's axes are unknown, as in a simulation or an experiment, this step is impossible;
# [08](08_in_any_orientation.ipynb) does without it.
#
# ## Supercells and vacancies
#
# We repeat the cell until the block holds at least 256 atoms and is as close to a cube as possible. This is the
# *supercell*. For the damaged copy we then remove a quarter of the atoms at random. The table counts the atoms before
# and after.

# %%
copies = pd.concat([recipes.groupby("prototype", sort=False).head(3) for recipes in (pristine, damaged)])
atoms = [crystals.build_crystal(recipe) for recipe in copies.to_dict("records")]
copies["atoms"] = [len(a) for a in atoms]
copies.groupby(["prototype", "vacancy_ratio"], sort=False).atoms.first().unstack()

# %% [markdown]
# Storing recipes is enough only if they rebuild the same atoms each time, in any order, to the last bit. **Predict:**
# do they, even though the vacancies are random?

# %%
again = [crystals.build_crystal(recipe) for recipe in copies[::-1].to_dict("records")][::-1]
rebuilt = all(np.array_equal(a.positions, b.positions) and np.array_equal(a.cell, b.cell) for a, b in zip(atoms, again))
print("rebuilt bit for bit:", rebuilt)

# %% [markdown]
# They do: the seed of the vacancies is part of the recipe. The last cell saves the numbers that the text quotes.

# %%
whole = copies[copies.vacancy_ratio == 0].atoms
run.save_results(
    {
        "crystals.structures": len(pristine),
        "crystals.prototypes": len(counts),
        "crystals.elements": pristine.element.nunique(),
        "crystals.space_group_right": right.all(axis=1).mean(),
        "crystals.rotation_left_angstrom": rotation_left,
        "crystals.sample.supercell_atoms.min": whole.min(),
        "crystals.sample.supercell_atoms.max": whole.max(),
        "crystals.rebuilt_bit_for_bit": int(rebuilt),
        "crystals.vacancy_ratio": vacancy_ratio,
    }
)

# %% [markdown]
# ## Exercises
#
# Write down what you expect, try it in a new cell, and only then unfold the solution and the answer.

# %% [markdown]
# ### Exercise 1: When is a tetragonal crystal cubic?
#
# Stretch or squeeze a body-centred tetragonal crystal along c. **Predict:** at which c/a does it become bcc, and at
# which fcc? How many nearest neighbours does an atom have at these two points, and how many in between?
#
# *Hint:* `crystals.space_group(crystals.primitive_cell(example[1] | {"c_over_a": 1.2}))`; for neighbours
# `ase.neighborlist.neighbor_list("d", cell, radius)`, which lists all distances up to a radius.

# %% tags=["hide-cell"]
# @title Solution 1
from ase.neighborlist import neighbor_list

rows = []
for ratio in (0.9, 1, 1.2, 2**0.5, 1.5):
    stretched = crystals.primitive_cell(example[1] | {"c_over_a": ratio})
    distances = neighbor_list("d", stretched, 10)
    nearest = np.isclose(distances, distances.min(), rtol=0.01).sum() // len(stretched)
    rows.append([round(ratio, 3), crystals.space_group(stretched), nearest])
table = pd.DataFrame(rows, columns=["c/a", "space group", "nearest neighbours"])
assert table["space group"].tolist() == [139, 229, 139, 225, 139]
assert table["nearest neighbours"].tolist() == [8, 8, 8, 12, 4]
table

# %% [markdown]
# <details><summary>Answer</summary>
#
# c/a = 1 is bcc (229) and c/a = √2 is fcc (225): choose new axes of length a/√2 along the face diagonals of the fcc
# crystal, and it is body-centred tetragonal. Only there are twelve neighbours equally far away; between 0.82 and √2 the
# eight at the corners are nearest, above √2 the four in the plane. The atoms move continuously, but the name jumps: a
# classifier has to draw a border across a path that has none. This is why bct_139 keeps away from both points. If a
# network makes mistakes, expect them here.
#
# </details>

# %% [markdown]
# ### Exercise 2: How many atoms may be missing?
#
# Take the perfect supercells of an fcc and an hcp crystal, and remove one atom, two, or a quarter. **Predict:** which
# space group does spglib find each time? Would a looser tolerance help?
#
# *Hint:* `atoms = crystals.build_crystal(example[4])`, then `crystals.space_group(atoms[1:])`. The supercell repeats
# periodically, vacancies included.

# %% tags=["hide-cell"]
# @title Solution 2
columns = {}
for label in (4, 5):
    perfect = crystals.build_crystal(example[label])
    order = np.random.default_rng(0).permutation(len(perfect))
    missing = {"0": 0, "1": 1, "2": 2, "a quarter": len(perfect) // 4}
    columns[CLASSES[label]] = {name: crystals.space_group(perfect[order[n:]]) for name, n in missing.items()}
table = pd.DataFrame(columns).rename_axis("atoms missing")
assert table.loc["0"].tolist() == [225, 194] and table.loc["1", "fcc"] == 221
assert (table.loc["a quarter"] == 1).all()
table

# %% [markdown]
# <details><summary>Answer</summary>
#
# Not even one. A single vacancy breaks all translations but those of the supercell, and what remains is the symmetry of
# the empty site. For fcc, whose supercell is a cube, the vacancies form a simple cubic lattice: 221, the space group of
# class sc. Two vacancies leave little symmetry, a quarter leaves none: space group 1. No tolerance helps, since the
# remaining atoms have not moved. spglib is not wrong; it was not asked "which crystal was this?".
#
# </details>

# %% [markdown]
# ### Exercise 3: Why not just count neighbours?
#
# Remove a quarter of the atoms. **Predict:** can the number of neighbours of *one* atom tell fcc from bcc, or fcc from
# hcp? Can the average over all atoms?
#
# *Hint:* count the neighbours within 1.3 times the nearest-neighbour distance with `neighbor_list("i", atoms, radius)`.
# In perfect fcc and hcp crystals an atom then has 12 neighbours, in bcc 8 + 6.

# %% tags=["hide-cell"]
# @title Solution 3
_, panel = plt.subplots(figsize=(4.5, 2.4))
counted = {}
for label in (0, 4, 5):
    holes = crystals.build_crystal(example[label] | {"vacancy_ratio": 0.25})
    radius = 1.3 * neighbor_list("d", crystals.primitive_cell(example[label]), 10).min()
    counted[label] = np.bincount(neighbor_list("i", holes, radius), minlength=len(holes))
    fractions = np.bincount(counted[label], minlength=15) / len(holes)
    name = f"{CLASSES[label]}, on average {counted[label].mean():.1f}"
    panel.plot(fractions, "o-", color=plots.CLASS_COLORS[label], label=name)
panel.set(xlabel="neighbours of an atom", ylabel="fraction of the atoms", xlim=(2, 15), xticks=range(2, 16, 2))
panel.legend(loc="center left", bbox_to_anchor=(1, 0.5))
assert counted[0].min() < counted[4].max(), "one atom may be either"
assert abs(counted[4].mean() - counted[5].mean()) < 0.4 < counted[0].mean() - counted[4].mean()

# %% [markdown]
# <details><summary>Answer</summary>
#
# One atom cannot: each neighbour is missing with probability 1/4, so the counts of fcc and bcc overlap. The average
# tells these two apart, but only if you know how many atoms are missing. It never tells fcc from hcp: both are close
# packed and differ only in how the layers are stacked. We need something that uses all atoms at once and keeps the
# directions. A diffraction pattern does both.
#
# </details>

# %% [markdown]
# ## Summary
#
# - The seven classes comprise twelve prototypes, and are as unequal in size as in the published data.
# - spglib confirms every label, and one row of a table is enough to rebuild a structure.
# - The standard cell undoes the random rotation: the cell is robust to rotation, not yet any network.
#
# Next: [02 What does a network see of a crystal?](02_fingerprints.ipynb) turns the structures into
# [fingerprints](../docs/glossary.md#fingerprint).
