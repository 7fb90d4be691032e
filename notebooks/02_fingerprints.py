# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does a network see of a crystal?
#
# **In:** the recipes of [01](01_crystals.ipynb). **Out:** a [fingerprint](../docs/glossary.md#fingerprint) of every
# structure, pristine and damaged: an image of 64 × 64 pixels in three channels.
#
# **Result:** twenty lines of NumPy compute the fingerprint. It runs from 0 to 1 and agrees with that of the paper's own
# code to within <!--=fingerprints.reference.largest_difference:.1e-->4.2e-06<!--/-->
# on <!--=fingerprints.reference.structures-->20<!--/--> structures.
#
# ![Fingerprints of the seven classes](../figures/fig_02b_fingerprints.png)
#
# **Time:** <!--=time.02_fingerprints.seconds:.0f-->68<!--/--> s for <!--=fingerprints.structures:,-->21,034<!--/-->
# structures on two cores; seconds for the sample below. The numbers in the text are those of all structures.

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
    length_scale,
)
from xtalsight.scattering import form_factor
from xtalsight.study.profiles import Run, root

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
n_jobs = -1  # processes; -1 takes every core

# %%
run = Run("02_fingerprints", profile)
run.needs("01_crystals")
geometry = DiffractionGeometry()

# %% [markdown]
# ## The experiment
#
# A plane wave with a wavelength of 0.05 Å meets the crystal; a detector behind it records the scattered intensity.

# %%
figure, ax = plt.subplots(figsize=(7, 3.1))
plots.draw_scattering_geometry(geometry, ax)
run.save_figure(figure, "fig_01_scattering_geometry")

# %% [markdown]
# *The scattering vector **s** is the scattered wave vector minus the incoming one.* A crystal scatters only where **s**
# is a point of its *reciprocal lattice*: one point for each set of lattice planes, along their normal, at
# |s| = 1/spacing. The detector sees the **s** on a sphere of radius 1/λ, the *Ewald sphere*. At so short a wavelength
# the ring sees a nearly flat part of it: one slice through this lattice, perpendicular to the beam.
#
# We take a bcc crystal and divide its positions by the [length scale](../docs/glossary.md#length-scale), the mean
# distance from an atom to its nearest neighbour. It is 1 Å from here on: the fingerprint knows shape, not size.

# %%
recipes = {name: store.load_table(run.path(f"recipes_{name}.csv")) for name in ("pristine", "vacancies")}
bcc = recipes["pristine"].query("prototype == 'bcc'").iloc[0].to_dict()
atoms = crystals.build_crystal(bcc)
positions = atoms.positions / length_scale(atoms)
pixel = 0.4 * (np.arange(64) - 31.5)  # of the detector, mm from its middle
print(f"{len(atoms)} atoms, {length_scale(atoms):.2f} Å from neighbour to neighbour, 1 Å after scaling")

# %% [markdown]
# ## One pattern in five lines
#
# Each atom sends out a wave; the waves reach a pixel out of step, and the intensity there is the square of their sum,
#
# $$I(\mathbf{s}) = |F(\mathbf{s})|^2, \qquad F(\mathbf{s}) = \sum_j e^{-2\pi i\,\mathbf{s}\cdot\mathbf{r}_j} .$$
#
# (The textbook's **q** is 2π**s**.) **Predict:** where is the pattern brightest, and how bright is it there, if a
# single atom gives 1?

# %%
x, y = np.meshgrid(pixel, pixel)  # position of each pixel relative to the beam, mm
to_pixel = np.stack([x, y, np.full_like(x, 100)], axis=-1)  # vector from the crystal to each pixel (64, 64, 3), mm
# (direction out − direction in) / wavelength, 1/Å
s = (to_pixel / np.linalg.norm(to_pixel, axis=-1, keepdims=True) - [0, 0, 1]) / 0.05
F = np.exp(-2j * np.pi * s @ positions.T).sum(axis=-1)  # all waves at all pixels: (64, 64)
intensity = np.abs(F) ** 2

# %%
radius = np.hypot(x, y) / 0.4  # from the beam, pixels
ring = (radius > 10) & (radius < 30)
figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
for ax, pattern, title in zip(axes, (intensity, intensity * ring), ("the whole detector", "only the ring")):
    plots.draw_fingerprint(np.stack([pattern / intensity.max()] * 3, axis=-1), ax, channel=0)
    ax.set_title(title)
    ax.label_outer()
bar = figure.colorbar(axes[1].images[0], ax=axes, ticks=[1e-4, 1e-2, 0.1, 1], format="%g", shrink=0.85)
bar.set_label("intensity / brightest pixel")
brightest_on_ring = (intensity * ring).max()
print(
    f"centre {intensity[31, 31]:,.0f}, brightest of the ring {brightest_on_ring:,.0f}; {len(atoms)}² = {len(atoms) ** 2:,}"
)

# %% [markdown]
# *The same pattern twice, on one scale; colour is intensity to the power 1/4.* On the axis, between the pixels, all
# waves are in step and give the square of the number of atoms. This direct beam does not say how the atoms are
# arranged, so we keep only the [ring](../docs/glossary.md#ring) between 10 and 30 pixels.
#
# The innermost spots on the ring are brighter than the pixels at the centre, which lie around the axis: there all waves
# are in step *again*, whole wavelengths apart.
# **Predict:** are these the (110) reflections, at |s| = √2/a? (Neighbours are 1 Å apart, so a = 2/√3 Å. (100) is on the
# ring, too, but missing in bcc, since the atom in the body centre cancels it.)

# %%
brightest = np.linalg.norm(s[np.unravel_index((intensity * ring).argmax(), ring.shape)])
on_ring = np.linalg.norm(s[ring], axis=-1)
print(f"brightest pixel of the ring: |s| = {brightest:.2f} 1/Å; (110) lies at {np.sqrt(2) / (2 / np.sqrt(3)):.2f} 1/Å")
print(f"the ring: {on_ring.min():.2f} to {on_ring.max():.2f} 1/Å, {ring.sum()} pixels")

# %% [markdown]
# They are, to within the width of a pixel, 0.08 1/Å. But diamond's innermost reflection, (111), falls just inside the
# ring's hole.
#
# ## From the pattern to the fingerprint
#
# Atoms are not points: the *form factor* says how strongly one atom scatters in a given direction.

# %%
figure, ax = plt.subplots(figsize=(5, 3))
for symbol, number, line in (("C", 6, ":"), ("Fe", 26, "--"), ("Au", 79, "-")):
    f = form_factor(number, np.linspace(0, 2.5))
    ax.plot(np.linspace(0, 2.5), f, line, color="k")
    ax.annotate(symbol, (2.53, f[-1]), va="bottom")
ax.axvspan(on_ring.min(), on_ring.max(), color="0.9")
ax.text((on_ring.min() + on_ring.max()) / 2, 72, "ring", ha="center", color="0.4")
ax.set(xlabel="|s| (1/Å)", ylabel="form factor (electrons)", ylim=(0, None), xlim=(0, 2.7))
run.save_figure(figure, "fig_01b_form_factors")

# %% [markdown]
# *The form factor of carbon, iron and gold: it starts at the number of electrons and falls.* Brightness is scaled away
# later: only the slope matters.
#
# A pixel further out covers a smaller solid angle. And one pattern shows one slice, so we rotate the crystal by −45°
# and +45° about each of three axes. About z, the beam, this adds no new slice but rotates the first pattern by 45°
# (channels as in the paper). **Predict:** which of the six patterns look alike, given the symmetry of a cube?

# %%
c = np.sqrt(0.5)  # cosine and sine of 45°
about_x = np.array([[1, 0, 0], [0, c, c], [0, -c, c]])
about_y = np.array([[c, 0, c], [0, 1, 0], [-c, 0, c]])  # the sense about y is the opposite, as in the paper's code
about_z = np.array([[c, c, 0], [-c, c, 0], [0, 0, 1]])
f = form_factor(atoms.numbers[0] + 2, np.linalg.norm(s, axis=-1))  # + 2: a slip in the paper's code, see below
patterns = []
for turn in (about_x.T, about_x, about_y.T, about_y, about_z.T, about_z):  # −45°, +45°, …
    rotated = positions @ turn
    F = np.exp(-2j * np.pi * s @ rotated.T).sum(axis=-1)
    patterns.append(np.abs(f * F) ** 2 * geometry.solid_angle * ring)
patterns = np.array(patterns)

# %%
figure, axes = plt.subplots(2, 3, figsize=(7, 4.6), sharex=True, sharey=True)
for ax, pattern, (axis, angle) in zip(axes.T.flat, patterns, [(a, b) for a in "xyz" for b in ("−45°", "+45°")]):
    plots.draw_fingerprint(np.stack([pattern / patterns.max()] * 3, axis=-1), ax, channel=0)
    ax.set_title(f"about {axis} by {angle}")
    ax.label_outer()
bar = figure.colorbar(axes[0, 0].images[0], ax=axes, ticks=[1e-4, 1e-2, 0.1, 1], format="%g", shrink=0.8)
bar.set_label("intensity / brightest pixel of the six")
run.save_figure(figure, "fig_01c_six_patterns")

# %% [markdown]
# *The crystal rotated in six ways, on one scale.* The two patterns of an axis are mirror images, but not quite: a block
# of cells ends on different planes on opposite faces. Those about y are those about x, mirrored in a diagonal.
#
# Added in pairs and divided by the brightest pixel of all, the patterns become the fingerprint's channels: red, green
# and blue.

# %%
channels = [patterns[0] + patterns[1], patterns[2] + patterns[3], patterns[4] + patterns[5]]
by_hand = np.stack(channels, axis=-1) / np.max(channels)
largest = np.abs(by_hand - fingerprint(atoms)).max()
assert largest < 1e-4
print(f"largest difference from fingerprint(): {largest:.0e}")

# %% [markdown]
# The library's `fingerprint` does the same, faster.
#
# ## Seven classes
#
# **Predict:** bct_139 is stretched bcc, and in hcp as in fcc an atom has twelve nearest neighbours. Does either pair of
# [classes](../docs/glossary.md#class) have similar fingerprints?

# %%
example = {label: recipes["pristine"].query("label == @label").iloc[0].to_dict() for label in range(len(CLASSES))}
tetragonal = recipes["pristine"].query("prototype == 'bct_in'")
example[1] = tetragonal.loc[tetragonal.c_over_a.idxmax()].to_dict()  # the same cells as in lesson 01
figure, axes = plt.subplots(2, 4, figsize=(7, 3.9))
axes.flat[7].set_axis_off()
for label, ax in enumerate(axes.flat[: len(CLASSES)]):
    plots.draw_fingerprint(fingerprint(crystals.build_crystal(example[label])), ax)
    ax.set_title(CLASSES[label], color=plots.CLASS_COLORS[label], fontweight="bold")
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
for height, text in ((0.65, "rotated about"), (0.5, "x: red"), (0.4, "y: green"), (0.3, "z: blue")):
    axes.flat[7].text(0.5, height, text, transform=axes.flat[7].transAxes, ha="center")
run.save_figure(figure, "fig_02b_fingerprints")

# %% [markdown]
# *One fingerprint of each class, brightened as before.* The peaks lie in different places, even those of fcc and
# hex/rh: a fingerprint keeps directions, which a count of neighbours does not.
#
# Now we remove a quarter of the atoms. **Predict:** what happens to the peaks, and to the dark between them?

# %%
copies = [recipes[name].set_index("id").loc[example[4]["id"]].to_dict() | {"id": example[4]["id"]} for name in recipes]
figure, axes = plt.subplots(2, 2, figsize=(5, 5.2), layout="compressed")
for (above, below), recipe, title in zip(axes.T, copies, ["pristine", "25 % vacancies"]):
    damaged = crystals.build_crystal(recipe)
    plots.draw_crystal(damaged, above, color=plots.CLASS_COLORS[4])
    plots.draw_fingerprint(fingerprint(damaged), below)
    below.label_outer()
    above.set_title(f"{title}: {len(damaged)} atoms")
run.save_figure(figure, "fig_02c_vacancies")

# %% [markdown]
# *An fcc crystal and its fingerprint, perfect and damaged.* The peaks stay; weak
# [speckle](../docs/glossary.md#speckle), different for each set of vacancies, fills the dark (exercise 3).
#
# ## Does it agree with the paper's code?
#
# The *reference* is ai4materials, the paper's code; `tests/reference` holds what it computed, unmodified, for 20
# structures. The code has two quirks: each element gets the form factor of the element two places further on (iron
# scatters like nickel), and the solid angle is computed with half the distance from the centre. We keep both;
# `reference_quirks=False` gives the physics of the paper's equation.

# %%
folder = root() / "tests" / "reference"
reference = np.load(folder / "reference_fingerprints.npz")
structures = ase.io.read(folder / "reference_structures.extxyz", index=":")
ours = np.array([fingerprint(a) for a in structures])
exact = np.array([combine_patterns(diffraction_patterns_direct(a)) for a in structures])
plain = np.array([fingerprint(a, DiffractionGeometry(reference_quirks=False)) for a in structures])
difference, float32_error = np.abs(ours - reference["fingerprint"]).max(), np.abs(ours - exact).max()
change = np.abs(ours - plain).max(axis=(1, 2, 3))
print(f"largest difference from the reference {difference:.1e}, from the sum in float64 {float32_error:.1e}")
print(f"change without the quirks: {change.min():.3f} ({structures[change.argmin()].symbols[0]})", end=" ")
print(f"to {change.max():.3f} ({structures[change.argmax()].symbols[0]})")

# %% [markdown]
# They agree to rounding. The quirks change a fingerprint by <!--=fingerprints.quirks.smallest_change:.3f-->0.003<!--/-->
# to <!--=fingerprints.quirks.largest_change:.2f-->0.20<!--/-->, least for heavy elements.
#
# ## All of them
#
# We compute all fingerprints in parallel.

# %%
paths = {name: run.path(f"fingerprints_{name}.zarr") for name in recipes}
start = time.perf_counter()
failures, seconds = dataset.write_fingerprints({paths[name]: recipes[name] for name in recipes}, geometry, n_jobs)
earlier_seconds = seconds - (time.perf_counter() - start)  # by a run that was interrupted
print(f"{len(failures)} structures without a fingerprint")
{name: dataset.read_fingerprints(path, slice(2)).shape for name, path in paths.items()}  # of the first two

# %% [markdown]
# Size is scaled away: in cubic prototypes only the element is left; the others also have c/a, α or z. **Predict:** how
# many of the pristine structures differ in more than their size, and how much do the fingerprints of one
# [prototype](../docs/glossary.md#prototype) vary?

# %%
distinct = recipes["pristine"].drop_duplicates(["prototype", "element", "c_over_a", "alpha", "z"])
two_sizes = [fingerprint(crystals.build_crystal(bcc | {"volume": volume})) for volume in (10, 14)]
print(f"{len(distinct)} of {len(recipes['pristine'])} pristine structures differ in more than their size")
print(f"one crystal in two sizes: fingerprints agree to {np.abs(two_sizes[0] - two_sizes[1]).max():.0e}")

# %%
rows = []
for state, path in paths.items():
    for name, group in recipes[state].groupby("prototype", sort=False):
        stack = dataset.read_fingerprints(path, slice(group.index[0], group.index[-1] + 1))
        stack = stack[np.isfinite(stack[:, 0, 0, 0])]
        pixels = stack[:, ring].reshape(len(stack), -1)
        variety, dark = pixels.std(axis=0).mean() / pixels.mean(), np.mean(pixels < 1 / 255)
        rows.append([state, name, len(stack), variety, dark, stack[:, ~ring].max()])
statistics = pd.DataFrame(rows, columns=["state", "prototype", "structures", "variety", "dark", "outside"])
outside, dark = statistics.outside.max(), np.average(statistics.dark, weights=statistics.structures)

# %%
variety = statistics.pivot(index="prototype", columns="state", values="variety").loc[statistics.prototype.unique()]
variety = variety.rename(columns={"vacancies": "25 % vacancies"})
run.save_table(variety.map("{:.3f}".format).reset_index(), "table_02_variety")
print(f"brightest pixel outside the ring: {outside}   pixels of the ring below 1/255: {dark:.1%}")
variety.style.format(precision=2)

# %% [markdown]
# *Standard deviation among the fingerprints of one prototype, averaged over the pixels and relative to the mean
# brightness.* Pristine fingerprints of a cubic prototype are nearly identical.
# Only <!--=fingerprints.distinct_crystals:,-->4,457<!--/--> pristine structures differ in more than size, so a test on them
# asks little. Vacancies make each fingerprint unique. Most of the ring (<!--=fingerprints.dark_fraction:.0%-->83%<!--/-->
# of its pixels) is darker than the darkest grey of an 8-bit image: a PNG file would lose it.

# %%
results = {
    "fingerprints.structures": sum(map(len, recipes.values())),
    "fingerprints.failures": len(failures),
    "fingerprints.reference.structures": len(structures),
    "fingerprints.reference.largest_difference": difference,
    "fingerprints.float64.largest_difference": float32_error,
    "fingerprints.quirks.largest_change": change.max(),
    "fingerprints.quirks.smallest_change": change.min(),
    "fingerprints.dark_fraction": dark,
    "fingerprints.outside_ring": outside,
    "fingerprints.distinct_crystals": len(distinct),
    "time.fingerprints.seconds": round(seconds, 1),
}
run.save_results(results | {"time.02_fingerprints.earlier_seconds": round(max(0, earlier_seconds), 1)})

# %% [markdown]
# ## Exercises
#
# Write down what you expect, try it in a new cell, then unfold the solution.

# %% [markdown]
# ### Exercise 1: Which movements does the fingerprint notice?
#
# Shift all atoms by the same vector; rotate the crystal about its body diagonal [111] by 120°, or by only 10°.
# **Predict:** which of these changes the fingerprint of fcc? And that of β-Sn?
#
# *Hint:* `atoms.translate((0.3, 0.1, 0.2))` and `atoms.rotate(120, (1, 1, 1), rotate_cell=True)`, then
# `fingerprint(atoms)`.

# %% tags=["hide-cell"]
# @title Solution 1
moves = {"shifted": (0.3, 0), "rotated by 120°": (0, 120), "rotated by 10°": (0, 10)}
changes = {}
for label, name in ((4, "fcc"), (2, "β-Sn")):
    for move, (shift, angle) in moves.items():
        moved = crystals.build_crystal(example[label])
        before = fingerprint(moved)
        moved.translate((shift, shift / 3, 2 * shift / 3))
        moved.rotate(angle, (1, 1, 1), rotate_cell=True)
        changes[move, name] = np.abs(fingerprint(moved) - before).max()
noticed = pd.Series(changes).unstack().loc[list(moves)]
assert (noticed > 0.05).to_numpy().tolist() == [[False, False], [False, True], [True, True]]
noticed.round(3)

# %% [markdown]
# <details><summary>Answer</summary>
#
# A shift changes the phases of all waves alike; the square does not see it. A rotation by 120° about [111] takes x to
# y, y to z and z to x: a cube looks the same, but β-Sn has one axis unlike the other two. A rotation by 10° is a
# symmetry of no crystal. So the orientation has to be known or learned.
#
# </details>

# %% [markdown]
# ### Exercise 2: What becomes of the element?
#
# Replace each atom of an fcc crystal by one with twice the atomic number: carbon by magnesium, say. **Predict:** how
# many times brighter is the brightest pixel of the patterns? Does the fingerprint change as much as from fcc to bcc?
#
# *Hint:* `example[4] | {"element": "Mg"}`; `diffraction_patterns` keeps the brightness, `combine_patterns` makes the
# fingerprint.

# %% tags=["hide-cell"]
# @title Solution 2
pairs = {f"{a} → {b}": [example[4] | {"element": symbol} for symbol in (a, b)]
         for a, b in (("C", "Mg"), ("Fe", "Te"), ("Y", "Pt"))}  # fmt: skip
pairs["Fe, fcc → bcc"] = [example[label] | {"element": "Fe"} for label in (4, 0)]
outcome = {}
for name, two in pairs.items():
    first, second = (diffraction_patterns(crystals.build_crystal(recipe)) for recipe in two)
    largest = np.abs(combine_patterns(first) - combine_patterns(second)).max()
    outcome[name] = {"times brighter": second.max() / first.max(), "largest change": largest}
outcome = pd.DataFrame(outcome).T
assert (outcome["times brighter"].iloc[:3] > 4).all()
assert outcome["largest change"].iloc[:3].max() < outcome["largest change"].iloc[3]
outcome.round(2)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Twice the electrons scatter twice as strongly, so the intensity grows fourfold; on the ring even more, since the form
# factors of heavier atoms fall less steeply. The division by the brightest pixel leaves only how fast the peaks fade
# outwards. So a network that has never seen an element is hardly at a disadvantage ([03](03_a_network_learns.ipynb)).
#
# </details>

# %% [markdown]
# ### Exercise 3: What if half of the atoms vanish?
#
# Remove a fraction c of the atoms of an fcc crystal at random. **Predict:** how many times weaker are the peaks at
# c = 1/2? Is the speckle between them stronger at c = 1/4 or at c = 3/4?
#
# *Hint:* `example[4] | {"vacancy_ratio": 0.5}` and `diffraction_patterns`. Call a pixel bright if the perfect crystal
# gives it more than a tenth of the largest intensity, and dark if less than a ten-thousandth.

# %% tags=["hide-cell"]
# @title Solution 3
c = np.array([0, 0.25, 0.5, 0.75])
holes = [diffraction_patterns(crystals.build_crystal(example[4] | {"vacancy_ratio": ratio})) for ratio in c]
bright = holes[0] > 0.1 * holes[0].max()
between = (holes[0] < 1e-4 * holes[0].max()) & ring
peaks = np.array([six[bright].mean() for six in holes]) / holes[0][bright].mean()
speckle = np.array([six[between].mean() for six in holes]) / holes[2][between].mean()
assert np.allclose(peaks, (1 - c) ** 2, atol=0.05)
assert speckle.argmax() == 2 and np.allclose(speckle, 4 * c * (1 - c), atol=0.2)
table = {"c": c, "peaks": peaks, "(1 − c)²": (1 - c) ** 2, "speckle": speckle, "4 c (1 − c)": 4 * c * (1 - c)}
pd.DataFrame(table).round(3)

# %% [markdown]
# <details><summary>Answer</summary>
#
# In a peak all N atoms scatter in step: the amplitude falls as 1 − c, the intensity as (1 − c)². Elsewhere only the
# deviations from the mean occupation scatter. Their phases are random, so their intensities add: N c (1 − c) times that
# of one atom, strongest at c = 1/2. A fingerprint shows their ratio, c / ((1 − c) N): the more atoms, the cleaner.
#
# </details>

# %% [markdown]
# ## Summary
#
# - A pattern is the square of a sum of waves, one from each atom; a fingerprint is six patterns in three colours, blind
#   to size.
# - Ours agrees with the reference's to rounding, quirks included.
# - Vacancies leave the peaks in place and add speckle that differs from crystal to crystal.
#
# Next: [03 Can a network learn to tell crystals apart?](03_a_network_learns.ipynb)
