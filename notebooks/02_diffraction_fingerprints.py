# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does a crystal look like to a network?
#
# **In:** the recipes of notebook 01.
# **Out:** one picture of 64×64 pixels and three channels for every structure, pristine and defective.
#
# **Result:** the pictures equal those of the reference code
# within <!--=fingerprints.reference.largest_difference:.1e-->…<!--/--> of their range of 0 to 1,
# on <!--=fingerprints.reference.structures-->…<!--/--> structures; a crystal that lost a quarter of its atoms keeps its peaks.
#
# ![Fingerprints of the seven classes](../figures/fig_02b_fingerprints.png)
#
# **Time:** <!--=time.02_diffraction_fingerprints.seconds:.0f-->…<!--/--> s
# for <!--=fingerprints.structures:,-->…<!--/--> structures on two cores; seconds for the sample below. The numbers in the text are
# those of all structures.

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
import time

import ase.io
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from xtalsight import crystals, dataset, plots, store
from xtalsight.crystals import CLASSES
from xtalsight.fingerprints import (
    DiffractionGeometry,
    combine_patterns,
    diffraction_patterns,
    diffraction_patterns_direct,
    fingerprint,
)
from xtalsight.scattering import form_factor
from xtalsight.study.profiles import Run, root

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
n_jobs = -1  # processes; -1 takes every core

# %%
run = Run("02_diffraction_fingerprints", profile)
run.needs("01_crystal_structures")
geometry = DiffractionGeometry()

# %% [markdown]
# ## The experiment
#
# A plane wave of 0.05 Å meets the crystal; a detector records how much is scattered where. The crystal is scaled first, so
# that atoms are 1 Å from their nearest neighbour on average: the picture knows shapes, not sizes.

# %%
figure, ax = plt.subplots(figsize=(7.5, 3.3))
plots.draw_scattering_geometry(geometry, ax)
run.save_figure(figure, "fig_01_scattering_geometry")

# %% [markdown]
# *The crystal is turned by ±45° about x, y and z. The two pictures of one axis are added and become one colour.*
#
# What reaches a pixel is the square of a sum over the atoms,
#
# $$I(\mathbf{s}) = \left|\sum_j f_j(|\mathbf{s}|)\, e^{-2\pi i\,\mathbf{s}\cdot\mathbf{r}_j}\right|^2\,\Omega ,$$
#
# with the *scattering vector* **s**, which is fixed by the pixel and by the orientation, the *form factor* f, which says how
# strongly one atom scatters, and the solid angle Ω of the pixel. Where the waves of all atoms arrive in step there is a peak.

# %%
s = np.linalg.norm(geometry.scattering_vectors, axis=-1)
print(
    f"scattering vectors on the ring: {s[geometry.ring].min():.3f} to {s[geometry.ring].max():.3f} 1/Å,",
    f"{geometry.ring.sum()} pixels",
)

# %% [markdown]
# Only a ring counts. It leaves out the direct beam in the centre, which says how many atoms there are, and with it the innermost
# reflections of open structures: diamond's (111) lies just inside, graphite's (002) well inside the inner edge.

# %%
figure, ax = plt.subplots()
for symbol, number in (("C", 6), ("Fe", 26), ("Au", 79)):
    ax.plot(np.linspace(0, 2.5), form_factor(number, np.linspace(0, 2.5)), label=symbol)
ax.axvspan(s[geometry.ring].min(), s[geometry.ring].max(), color="0.9", label="ring")
ax.set(xlabel="|s| (1/Å)", ylabel="form factor (electrons)", ylim=(0, None))
ax.legend()
run.save_figure(figure, "fig_01b_form_factors")

# %% [markdown]
# *The form factor starts at the number of electrons and falls. The brightness is scaled away later: what remains of the element is
# how fast the outer peaks fade.*
#
# ## One crystal, six patterns, one picture
#
# Take a body-centred cubic one. **Predict:** which of the six patterns should look alike, given the symmetry of a cube?

# %%
recipes = {name: store.load_table(run.path(f"recipes_{name}.csv")) for name in ("pristine", "vacancies")}
bcc = recipes["pristine"].query("prototype == 'bcc'").iloc[0].to_dict()
patterns = diffraction_patterns(crystals.build_crystal(bcc))
patterns.shape, patterns.dtype

# %%
figure, axes = plt.subplots(1, 6, figsize=(9, 1.65))
for ax, pattern, title in zip(axes, patterns, ["x −45°", "x +45°", "y −45°", "y +45°", "z −45°", "z +45°"]):
    plots.draw_fingerprint(np.stack([pattern / patterns.max()] * 3, axis=-1), ax, channel=0)
    ax.set(title=title, xlabel="", ylabel="", xticks=[], yticks=[])
run.save_figure(figure, "fig_01c_six_patterns")

# %% [markdown]
# *The six patterns, brightened: colour is intensity to the power 1/4, the brightest pixel of all being 1. The two of one axis mirror each
# other, nearly: a repeated cell ends on different planes on opposite faces.* Added in pairs and divided by the brightest pixel
# of all three channels, they are the fingerprint.

# %%
example = {label: recipes["pristine"].query("label == @label").iloc[0].to_dict() for label in range(len(CLASSES))}
tetragonal = recipes["pristine"].query("prototype == 'bct_in'")
example[1] = tetragonal.loc[tetragonal.c_over_a.idxmax()].to_dict()  # the same cells as in notebook 01

# %%
figure, axes = plt.subplots(2, 4, figsize=(7.5, 4))
key = "crystal turned about\n\nx: red\ny: green\nz: blue"
axes.flat[7].text(0.5, 0.5, key, transform=axes.flat[7].transAxes, ha="center", va="center")
axes.flat[7].set_axis_off()
for label, ax in enumerate(axes.flat[: len(CLASSES)]):
    plots.draw_fingerprint(fingerprint(crystals.build_crystal(example[label])), ax)
    ax.set_title(CLASSES[label], color=plots.CLASS_COLORS[label])
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
run.save_figure(figure, "fig_02b_fingerprints")

# %% [markdown]
# *One fingerprint of each class, brightened (intensity to the power 1/4). The peaks of each class lie elsewhere.*
#
# Now a quarter of the atoms goes. **Predict:** what happens to the peaks, and to the dark between them?

# %%
copies = [recipes[name].set_index("id").loc[example[4]["id"]].to_dict() | {"id": example[4]["id"]} for name in recipes]
structures = [crystals.build_crystal(recipe) for recipe in copies]

# %%
figure, axes = plt.subplots(2, 2, figsize=(5.2, 5.2))
for (above, below), atoms, title in zip(axes.T, structures, ["pristine", "25 % vacancies"]):
    plots.draw_crystal(atoms, above, color=plots.CLASS_COLORS[4])
    plots.draw_fingerprint(fingerprint(atoms), below)
    above.set_title(f"{title}: {len(atoms)} atoms")
run.save_figure(figure, "fig_02c_vacancies")

# %% [markdown]
# *The peaks stay; a weak grain, different for each set of holes, fills the dark.* An atom missing at random takes as much from every
# peak, while what its absence adds goes everywhere. That is why the fingerprint survives vacancies.
#
# ## Is it the reference's picture?
#
# `tests/reference` holds what ai4materials, unmodified, computed for 20 structures.

# %%
folder = root() / "tests" / "reference"
reference = np.load(folder / "reference_fingerprints.npz")
structures = ase.io.read(folder / "reference_structures.extxyz", index=":")
ours = np.array([fingerprint(atoms) for atoms in structures])
difference = np.abs(ours - reference["fingerprint"]).max(axis=(1, 2, 3))

# %%
direct = np.array([combine_patterns(diffraction_patterns_direct(atoms)) for atoms in structures])
float32_error = np.abs(ours - direct).max()
print(f"to the reference: {difference.max():.1e}   to a float64 sum: {float32_error:.1e}")

# %% [markdown]
# The reference has two peculiarities that change the picture. It gives each element the form factor of the one two places further on (iron
# scatters as nickel), and its solid angle takes half the distance from the centre. We keep them to be comparable;
# `reference_quirks=False` gives the physics of the paper's equation. How much does it matter?

# %%
plain = DiffractionGeometry(reference_quirks=False)
change = [np.abs(fingerprint(atoms, plain) - image).max() for atoms, image in zip(structures, ours)]
quirks = pd.DataFrame({"structure": reference["names"], "to the reference": difference, "without quirks": change})
quirks.style.format(precision=7, subset="to the reference").format(precision=3, subset="without quirks")

# %% [markdown]
# Little for heavy elements, most for carbon: a common factor is divided out, what changes is how fast the form factor falls, and that
# of oxygen falls more slowly. A third peculiarity concerns the published files, not the picture: their channels are stored in an
# order that scrambles every image.
#
# Where the original code is installed, this cell runs it beside ours.

# %%
try:
    from ai4materials.descriptors.diffraction2d import Diffraction2D
except ImportError:
    print("ai4materials is not installed here: no comparison with the original code, only with its stored results")
else:
    # The reference stores a stack of channels under the shape of an image: undo that.
    stored = [
        Diffraction2D().calculate(atoms.copy()).info["descriptor"]["diffraction_2d_intensity"] for atoms in structures
    ]
    images = np.reshape(stored, (-1, 3, 64, 64)).transpose(0, 2, 3, 1)
    print(f"largest difference to ai4materials, run now: {np.abs(ours - images).max():.1e}")

# %% [markdown]
# ## All of them
#
# Pristine and defective copies together, in parallel, streamed to disk. Interrupted, it goes on from the last chunk.

# %%
paths = {name: run.path(f"fingerprints_{name}.zarr") for name in recipes}
start = time.perf_counter()
failures, seconds = dataset.write_fingerprints({paths[name]: recipes[name] for name in recipes}, geometry, n_jobs)
earlier_seconds = seconds - (time.perf_counter() - start)  # by a run that was interrupted

# %%
failures  # structures without a fingerprint

# %%
pair = {name: dataset.read_fingerprints(path, slice(2)) for name, path in paths.items()}
{name: (stack.shape, stack.dtype, stack.min(), stack.max()) for name, stack in pair.items()}

# %% [markdown]
# How different are pictures of one class? The size of a crystal is scaled away, so for fcc and bcc nothing is free but the
# element. **Predict:** how many of the pristine structures are truly different?

# %%
distinct = recipes["pristine"].drop_duplicates(["prototype", "element", "c_over_a", "alpha", "z"])
print(f"{len(distinct)} of {len(recipes['pristine'])} pristine structures differ in more than their size")

# %%
iron = [fingerprint(crystals.build_crystal(bcc | {"volume": volume})) for volume in (10, 14)]
print(f"one crystal in two sizes: the pictures agree to {np.abs(iron[0] - iron[1]).max():.0e}")

# %% [markdown]
# The rest are copies. How much do the pictures of one kind of crystal differ otherwise? Read kind by kind, so that memory stays small.


# %%
def spread(images):
    """Mean over the pixels of the ring of the standard deviation between images, relative to the mean brightness."""
    on_ring = images[:, geometry.ring].reshape(len(images), -1)
    return on_ring.std(axis=0).mean() / on_ring.mean()


rows = []
for kind, path in paths.items():
    for name, group in recipes[kind].groupby("prototype", sort=False):
        stack = dataset.read_fingerprints(path, slice(group.index[0], group.index[-1] + 1))
        stack = stack[np.isfinite(stack[:, 0, 0, 0])]
        dark = np.mean(stack[:, geometry.ring] < 1 / 255)
        rows.append([kind, name, len(stack), spread(stack), dark, stack[:, ~geometry.ring].max()])
statistics = pd.DataFrame(rows, columns=["kind", "prototype", "structures", "spread", "dark", "outside"])

# %%
variety = statistics.pivot(index="prototype", columns="kind", values="spread").loc[statistics.prototype.unique()]
variety = variety.rename(columns={"vacancies": "25 % vacancies"})
run.save_table(variety.map("{:.3f}".format).reset_index(), "table_02_variety")
variety.style.format(precision=3)

# %% [markdown]
# Spread is the standard deviation between pictures relative to the mean brightness. Pristine pictures of a cubic prototype are nearly
# one picture: a test on pristine crystals asks little. The vacancies make each picture its own.

# %%
dark, outside = np.average(statistics.dark, weights=statistics.structures), statistics.outside.max()
print(f"brightest pixel outside the ring: {outside}   pixels of the ring below 1/255: {dark:.1%}")

# %% [markdown]
# Most of the ring is darker than the darkest grey of an 8-bit picture: stored as PNG, it would be lost.

# %%
run.save_results(
    {
        "fingerprints.structures": sum(map(len, recipes.values())),
        "fingerprints.failures": len(failures),
        "fingerprints.reference.structures": len(structures),
        "fingerprints.reference.largest_difference": difference.max(),
        "fingerprints.float64.largest_difference": float32_error,
        "fingerprints.quirks.largest_change": max(change),
        "fingerprints.quirks.smallest_change": min(change),
        "fingerprints.dark_fraction": dark,
        "fingerprints.outside_ring": outside,
        "fingerprints.distinct_crystals": len(distinct),
        "time.fingerprints.seconds": round(seconds, 1),
        "time.02_diffraction_fingerprints.earlier_seconds": round(max(0, earlier_seconds), 1),
    }
)

# %% [markdown]
# ## Exercises
#
# Write down what you expect, add a cell, try it, and only then unfold solution and answer.

# %% [markdown]
# ### Exercise 1: Which movements does the picture notice?
#
# Shift all atoms by the same vector; turn the crystal by 120° about its body diagonal [111]; turn it by 10° about the same
# axis. **Predict:** which of these changes the picture of fcc? And of β-Sn?
#
# *Hint:* `atoms.translate((0.3, 0.1, 0.2))` and `atoms.rotate(120, (1, 1, 1), rotate_cell=True)`, then `fingerprint(atoms)`.

# %% tags=["hide-cell"]
# @title Solution 1
_, panels = plt.subplots(2, 4, figsize=(7.5, 4.2))
moves = {"as it is": (0, 0), "shifted": (0.3, 0), "turned by 120°": (0, 120), "turned by 10°": (0, 10)}
for row, label in zip(panels, (4, 2)):
    for panel, (move, (shift, angle)) in zip(row, moves.items()):
        moved = crystals.build_crystal(example[label])
        before = fingerprint(moved)
        moved.translate((shift, shift / 3, shift / 2))
        moved.rotate(angle, (1, 1, 1), rotate_cell=True)
        after = fingerprint(moved)
        plots.draw_fingerprint(after, panel).set(xticks=[], yticks=[], xlabel="", ylabel="")
        panel.set_title(f"{CLASSES[label]}, {move}:\nlargest change {np.abs(after - before).max():.2f}", fontsize=8)

# %% [markdown]
# <details><summary>Answer</summary>
#
# A shift changes the phases of all waves alike, and the square does not see it. A turn by 120° about [111] takes x to y to z: for
# a cube everything is as before, but β-Sn has one axis unlike the other two, and its picture is a new one. 10° is no symmetry
# of any crystal: other peaks light up, at other places. So the picture is invariant under shifts, but not under rotations other
# than the crystal's own: the orientation has to be known or learned.
#
# </details>

# %% [markdown]
# ### Exercise 2: What becomes of the element?
#
# Replace each atom of an fcc crystal by one with twice the atomic number, carbon by magnesium, say. **Predict:** how many times
# brighter is the brightest pixel of the patterns? How much does the fingerprint change, compared with a change from fcc to bcc?
#
# *Hint:* `example[4] | {"element": "Mg"}`; `diffraction_patterns` has the brightness in it, `combine_patterns` makes the fingerprint.

# %% tags=["hide-cell"]
# @title Solution 2
pairs = {f"{light} → {heavy}": (example[4] | {"element": light}, example[4] | {"element": heavy})
         for light, heavy in (("C", "Mg"), ("Fe", "Te"), ("Y", "Pt"))}  # fmt: skip
pairs["Fe, fcc → bcc"] = example[4] | {"element": "Fe"}, example[0] | {"element": "Fe"}
outcome = {}
for name, pair_of_recipes in pairs.items():
    first, second = (diffraction_patterns(crystals.build_crystal(recipe)) for recipe in pair_of_recipes)
    largest = np.abs(combine_patterns(first) - combine_patterns(second)).max()
    outcome[name] = {"times brighter": second.max() / first.max(), "largest change": largest}
pd.DataFrame(outcome).T.round(2)

# %% [markdown]
# <details><summary>Answer</summary>
#
# With twice the electrons an atom scatters twice as much, so the intensity grows fourfold, and more on the ring, since form factors
# of heavier atoms fall less steeply. The division by the brightest pixel removes this factor, the scaling to unit neighbour distance
# removes the size; all that is left of the element is how fast the peaks fade outwards. So a network cannot learn much about the
# element, and one that has never seen an element is hardly at a disadvantage (notebook 04).
#
# </details>

# %% [markdown]
# ### Exercise 3: What if half of the atoms vanish?
#
# Remove a fraction c of the atoms of an fcc crystal at random. **Predict:** how many times weaker are the peaks at c = 1/2? Is the grain
# between them stronger at c = 1/4 or at c = 3/4?
#
# *Hint:* `example[4] | {"vacancy_ratio": 0.5}` and `diffraction_patterns`; call bright what is above a tenth of the perfect
# crystal's brightest pixel, dark what is below its ten-thousandth.

# %% tags=["hide-cell"]
# @title Solution 3
ratios = np.array([0, 0.25, 0.5, 0.75])
damaged = [diffraction_patterns(crystals.build_crystal(example[4] | {"vacancy_ratio": c})) for c in ratios]
bright = damaged[0] > 0.1 * damaged[0].max()
between = (damaged[0] < 1e-4 * damaged[0].max()) & geometry.ring
peaks = np.array([patterns_c[bright].mean() for patterns_c in damaged])
grain = np.array([patterns_c[between].mean() for patterns_c in damaged])
table = {"c": ratios, "peaks": peaks / peaks[0], "(1 − c)²": (1 - ratios) ** 2}
table |= {"grain, rel. to c = 1/2": grain / grain[2], "4 c (1 − c)": 4 * ratios * (1 - ratios)}
pd.DataFrame(table).round(3)

# %% [markdown]
# <details><summary>Answer</summary>
#
# In a peak all N atoms scatter in step: the amplitude falls as 1 − c, the intensity as (1 − c)². Elsewhere only the deviations
# from the mean occupation scatter, with random phases, so their intensities add: N c (1 − c) times that of one atom, strongest
# at c = 1/2 and the same for c and 1 − c. After the division by the brightest pixel what counts is the ratio of the two, c / ((1 − c) N):
# the more atoms, the cleaner the picture. A network has to survive this grain, not a shift of the peaks.
#
# </details>

# %% [markdown]
# ## Summary
#
# - A fingerprint is six diffraction patterns in three colours, of the crystal scaled to a unit neighbour distance.
# - It equals the reference's to rounding; the reference's peculiarities can be switched off, and their size is known.
# - Vacancies leave the peaks and add a grain that differs from crystal to crystal.
#
# Next: [03 What the sources did](03_published_dataset.ipynb).
