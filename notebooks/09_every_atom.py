# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which atom belongs to which crystal?
#
# **In:** a polycrystal as a simulation writes it, a list of atoms. **Out:** the grain of every atom; the
# [class](../docs/glossary.md#class), lattice, orientation and neighbours of every grain.
#
# **Result:** in a polycrystal of all seven classes with a quarter of the atoms
# missing, <!--=atoms.waves.vacancies_25.all:.1%-->99.9%<!--/--> of the others get the right class, boundaries included.
# Template matching names <!--=atoms.ptm.vacancies_25.all:.0%-->2%<!--/--> of them correctly
# ([evidence](20_polycrystals_compared.ipynb)).
#
# ![A polycrystal, atom by atom](../figures/fig_15_map.png)
#
# **Time:** about <!--=time.09_every_atom.minutes:.0f-->1<!--/--> minutes on two cores; one with the parameters below.
# The numbers in the text are those of the full run.

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
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.optimize import LBFGS
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from scipy.ndimage import maximum_filter
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

from xtalsight import classify, clouds, crystals, plots, rivals, store
from xtalsight.crystals import CLASSES
from xtalsight.fingerprints import length_scale
from xtalsight.grains import CARRIED, annotate, length_scales, map_structure
from xtalsight.study.profiles import Run
from xtalsight.view import view_map
from xtalsight.waves import carried_by, find_waves

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of all samples
places = 5000  # of atoms in the polycrystal, before a quarter is removed
grains_per_class = 1  # of each class in it
relaxed_atoms = 4000  # of a copper polycrystal
relax_steps = 3  # of its relaxation

# %%
run = Run("09_every_atom", profile)
run.needs("08_in_any_orientation")
unseen = store.load_json(run.path("held_out_elements.json"))  # elements that no network was trained on

# %% [markdown]
# ## A polycrystal
#
# Grains of all seven classes, in random orientations, fill a cube; each takes the part that is nearest to its middle.
# A quarter of the atoms is missing. The others are displaced at random, with a standard deviation of 5 % of the
# shortest neighbour distance in each coordinate. We know the true grain of each atom.

# %%
KINDS = ["bcc", "bct_in", "beta_sn", "diamond", "fcc", "hcp", "sc"]  # one for each class
recipes = crystals.make_recipes(dict.fromkeys(KINDS, grains_per_class), seed + 7, elements=[unseen[-1]])
cells = [crystals.primitive_cell(recipe) for recipe in recipes.to_dict("records")]
nearest = min(length_scale(cell) for cell in cells)
sample = clouds.build_polycrystal(cells, places, np.random.default_rng([seed, 8]), 0.25, 0.05 * nearest)
true_grain, from_boundary = sample.arrays["grain"], sample.arrays["from_boundary"]
true_class = recipes.label.to_numpy()[true_grain]
print(f"{len(sample)} atoms in {len(cells)} grains")

# %% [markdown]
# This is all that a file would say. **Predict:** where are the boundaries?

# %%
figure, ax = plt.subplots(figsize=(4.5, 4.5))
plots.draw_atoms_slice(annotate(sample, None), ax).set_title("A slice of the polycrystal")
plt.show()

# %% [markdown]
# Rows of atoms show here and there, but nothing marks where they end.
#
# ## A crystal is a sum of waves
#
# The spectra of [lesson 08](08_in_any_orientation.ipynb) forget how a crystal is oriented. To say which atom belongs
# to it, we need what they forget. The density of a crystal is a sum of plane [waves](../docs/glossary.md#wave), one
# for each reciprocal lattice vector $\mathbf{g}$ (of length 1/d, without $2\pi$). In a ball of radius $R$, the
# amplitude $F = |F| e^{i\varphi}$ of a wave is
#
# $$ F(\mathbf{g}) = \sum_j w_j\, e^{2 \pi i\, \mathbf{g} \cdot \mathbf{r}_j} / \sum_j w_j, \qquad w_j = 1 - r_j^2 / R^2 . $$
#
# The weights $w$ make the ball fade towards its surface, since a sharp edge makes ripples. We cut a ball out of a
# grain of bcc, up to its boundary.

# %%
radius, neighbour = length_scales(sample.positions)  # of a ball of 250 atoms; distance of neighbours, Å
tree = cKDTree(sample.positions)
wall = np.minimum(sample.positions, sample.positions.max(axis=0) - sample.positions).min(axis=1)
whole = np.minimum(wall, from_boundary) >= radius  # a ball around this atom lies in one grain
bcc = np.flatnonzero(whole & (true_class == CLASSES.index("bcc")))
middle = sample.positions[bcc[from_boundary[bcc].argmin()]]
ball = sample.positions[tree.query_ball_point(middle, radius)] - middle
print(f"{len(ball)} atoms in a ball of radius {radius:.1f} Å; neighbours are {neighbour:.1f} Å apart")

# %% [markdown]
# Now compute $F$ on a grid of vectors. **Predict:** how many peaks of the shortest length does bcc have? What do
# missing atoms do to $|F|$?

# %%
weights = 1 - (ball**2).sum(axis=1) / radius**2
n = int(2.2 * radius / neighbour / 0.3)
steps = 0.3 / radius * np.arange(-n, n + 1)  # of each component of g, 1/Å
x, y, z = np.exp(2j * np.pi * np.multiply.outer(ball, steps)).swapaxes(0, 1)  # the phase is a product of three
F = np.einsum("a,ai,aj,ak->ijk", weights / weights.sum(), x, y, z, optimize=True)
g = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
length = np.linalg.norm(g, axis=-1) * neighbour
strong = (np.abs(F) > 0.4) & (np.abs(F) == maximum_filter(np.abs(F), 3)) & (0.5 < length) & (length < 2.1)
peaks = g[strong & (g @ [1, 1e-3, 1e-6] > 0)]  # of g and -g, one


# %% [markdown]
# Climb each peak from its grid point to the top:


# %%
def amplitude(g):
    return (weights * np.exp(2j * np.pi * ball @ g)).sum() / weights.sum()


by_hand = np.array([minimize(lambda g: -np.abs(amplitude(g)), peak, tol=1e-6).x for peak in peaks])
by_hand = by_hand[np.argsort([-np.abs(amplitude(g)) for g in by_hand])]
lengths = np.linalg.norm(by_hand, axis=1)
pd.Series((lengths * neighbour).round(1)).value_counts().sort_index().rename("waves of this length").to_frame().T

# %% [markdown]
# Six are shortest (the twelve {110} of bcc; **g** and −**g** count as one), then come three {200}, then twelve {211}.
# The library's `find_waves` does the same, faster:

# %%
vectors, amplitudes = find_waves(ball, radius, neighbour)
both_signs = np.concatenate([by_hand, -by_hand])
assert len(vectors) == len(by_hand)
assert cKDTree(both_signs).query(vectors)[0].max() < 0.1 / radius  # a peak is 0.57 / radius wide
np.testing.assert_allclose(amplitudes, [amplitude(g) for g in vectors], atol=1e-3)

# %%
first = by_hand[0] / lengths[0]
normal = np.cross(first, by_hand[1]) / np.linalg.norm(np.cross(first, by_hand[1]))
second = np.cross(normal, first)  # across the first, in the plane of both
u = np.linspace(-0.8, 0.8, 200) * radius
plane = (u[:, None, None] * second + u[None, :, None] * first).reshape(-1, 3)
density = carried_by(plane, vectors, amplitudes).reshape(200, 200)  # the sum of all waves, at most 1
near = ball[np.abs(ball @ normal) < 0.15 * neighbour]

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
axes[0].plot(lengths * neighbour, [np.abs(amplitude(g)) for g in by_hand], "o", color="0.3", ms=4, label="measured")
s = np.linspace(0.9, 2.1, 50)
axes[0].plot(s, np.exp(-2 * (np.pi * 0.05 * nearest * s / neighbour) ** 2), "k--", lw=1, label="Debye–Waller factor")
axes[0].set(title="Amplitudes", xlabel="length of g × neighbour distance", ylabel="|F|", ylim=(0, 1.03))
axes[0].legend(loc="lower left")
image = axes[1].pcolormesh(u, u, density, vmin=-0.5, vmax=1, rasterized=True)
axes[1].plot(near @ first, near @ second, "o", mfc="none", mec="white", ms=6)
axes[1].set(title="Their sum", xlabel="along the first g (Å)", ylabel="across (Å)")
axes[1].set(xlim=u[[0, -1]], ylim=u[[0, -1]], aspect="equal")
figure.colorbar(image, ax=axes[1], label="sum of the waves, at most 1")
run.save_figure(figure, "fig_15c_waves")

# %% [markdown]
# *Left: the waves of the ball. Right: their sum in a plane; circles are the atoms within 15 % of the neighbour
# distance.* Random displacements lower $|F|$ by the Debye–Waller factor $e^{-2 \pi^2 \sigma^2 g^2}$. Vacancies do not:
# $F$ is an average over the atoms that are left, and these are still in phase. Where an atom is missing, the sum is
# still bright: it knows the places of the crystal, not its atoms.
#
# ## Who rides the waves?
#
# Do the waves have their crests where an atom is, at $\mathbf{r}$? Its score is
#
# $$ c(\mathbf{r}) = \sum_k |F_k| \cos(2 \pi\, \mathbf{g}_k \cdot \mathbf{r} - \varphi_k) / \sum_k |F_k| . $$
#
# **Predict:** what is $c$ for atoms of the grain itself, and for those of the grains next to it?

# %%
around = tree.query_ball_point(middle, 2.2 * radius)
r = sample.positions[around] - middle
size, phase = np.abs(amplitudes), np.angle(amplitudes)
c = np.cos(2 * np.pi * r @ vectors.T - phase) @ size / size.sum()
np.testing.assert_allclose(c, carried_by(r, vectors, amplitudes), atol=1e-3)  # of the library
own = true_grain[around] == true_grain[tree.query(middle)[1]]
print(f"mean c: {c[own].mean():.2f} for atoms of the grain, {c[~own].mean():.2f} for atoms of its neighbours")

# %%
figure, ax = plt.subplots(figsize=(5.2, 4.4), layout="constrained")
shown = np.abs(r[:, 2]) < 0.7 * neighbour
for which, marker, name in ((own, "o", "of the grain"), (~own, "D", "of its neighbours")):
    x, y, _ = r[shown & which].T
    dots = ax.scatter(x, y, c=c[shown & which], marker=marker, s=40, vmin=-1, vmax=1, ec="0.3", lw=0.3, label=name)
ax.add_patch(plt.Circle((0, 0), radius, fill=False, ls="--", color="0.3"))
ax.set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)")
figure.colorbar(dots, label="score c of the atom")
figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
run.save_figure(figure, "fig_15f_score")

# %% [markdown]
# *A slice through the ball (dashed) and beyond. Its waves give high scores even outside the ball, up to the boundary.*
# We say that the waves *carry* these atoms. Atoms of the grain score <!--=atoms.carried.own:.2f-->0.90<!--/--> on
# average, the others <!--=atoms.carried.other:.2f-->0.01<!--/-->: they are as often in a trough as on a crest. A few are
# on a crest by chance, so let each atom ask its neighbours, too.

# %%
twelve = cKDTree(r).query(r, k=13)[1][:, 1:]
together = (c + 3 * c[twelve].mean(axis=1)) / 4
figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharex=True, sharey=True, layout="constrained")
colors = plt.colormaps["viridis"]([0.25, 0.8])
for ax, values, title in zip(axes, (c, together), ("An atom by itself", "With its neighbours")):
    for which, name, color in zip((own, ~own), ("atoms of the grain", "atoms of its neighbours"), colors):
        ax.hist(values[which], np.linspace(-1, 1, 61), color=color, alpha=0.7, label=name, density=True)
    ax.axvline(CARRIED, color="black", lw=0.8, ls="--")
    ax.set(title=title, xlabel="score c", ylabel="density", xlim=(-0.5, 1))
    ax.label_outer()
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
run.save_figure(figure, "fig_15d_scores")

# %% [markdown]
# *Right: a quarter of the atom's own score plus three quarters of the mean of its twelve neighbours. Dashed: an atom
# below this line belongs to no grain.* With their neighbours, more foreign atoms rise above the line
# (<!--=atoms.carried.above:.1%-->5.3%<!--/--> before, <!--=atoms.together.above:.1%-->11.3%<!--/--> after). What
# is it good for? Hardly any atom of this grain needs it (below the line by
# themselves: <!--=atoms.carried.below:.1%-->0.0%<!--/-->); in a hotter one many do ([exercise 3](#exercise-3-hotter)).
#
# Foreign atoms also have a grain of their own. Let the waves of a ball deep inside one of these grains compete with
# ours. **Predict:** how many atoms go to the wrong grain?

# %%
other = np.argmax(np.where(own, 0, from_boundary[around]))  # deepest in another grain
reach = min(radius, from_boundary[around][other])
its_ball = sample.positions[tree.query_ball_point(middle + r[other], reach)] - middle - r[other]
its_c = carried_by(r - r[other], *find_waves(its_ball, reach, neighbour))
its_together = (its_c + 3 * its_c[twelve].mean(axis=1)) / 4
two = own | (true_grain[around] == true_grain[around][other])
for scores, its_scores, name in ((c, its_c, "by itself"), (together, its_together, "with its neighbours")):
    print(f"each {name}: {((scores > its_scores) == own)[two].mean():.2%} of {two.sum()} atoms go to their own grain")

# %% [markdown]
# Hardly any, by either score.
#
# ## The map
#
# `map_structure` does this everywhere, with overlapping balls of 250 atoms. Adjacent balls whose waves are alike, up
# to a small rotation, make one grain. Each atom goes to the nearby grain whose waves carry it and its neighbours best.
# The spectra and networks of lessons [08](08_in_any_orientation.ipynb) and [10](10_which_prototype.ipynb) then say
# what each grain *is*, with a [verdict](../docs/glossary.md#verdict). **Predict:** where will the wrong atoms be, and
# how many?

# %%
found = map_structure(sample, progress=False)
mapped = annotate(sample, found)
columns = ["class", "prototype", "confidence", "accepted", "atoms", "lattice", "a", "c", "a_error", "strain"]
found.grains[columns].head(10).style.format(precision=3)

# %%
truth, scored = mapped.copy(), mapped.copy()
truth.arrays["class"], truth.arrays["accepted"] = np.array(CLASSES)[true_class], np.ones(len(truth), bool)
scored.arrays["confidence"] = found.carried
figure, axes = plt.subplots(2, 2, figsize=(8, 7.8), sharex=True, sharey=True, layout="compressed")
panels = (truth, "class", "Class, truth"), (mapped, "class", "Class, map"), (mapped, "grain", "Grain, map")
for ax, (atoms, color_by, title) in zip(axes.flat, (*panels, (scored, "confidence", "Score, map"))):
    plots.draw_atoms_slice(atoms, ax, color_by, grains=found.grains)
    ax.set_title(title)
    ax.label_outer()
scale = ScalarMappable(Normalize(0, 1), "viridis")
figure.colorbar(scale, ax=axes[1], label="score c, with its neighbours", location="right", shrink=0.9)
plots.class_legend(figure, refused=True, loc="outside upper center", ncols=len(CLASSES) + 1)
run.save_figure(figure, "fig_15_map")

# %% [markdown]
# *A slice through the polycrystal. Top: classes (grey: no grain, or refused). Bottom left: one colour for each grain.
# Bottom right: the atoms' scores.* The map finds <!--=atoms.vacancies_25.grains-->56<!--/-->
# of <!--=atoms.true_grains-->56<!--/--> grains and refuses <!--=atoms.vacancies_25.refused_grains-->0<!--/-->; scores
# drop at the boundaries. The adjusted Rand index (1 for a perfect division of the atoms, 0 on average for a random
# one) is <!--=atoms.waves.vacancies_25.rand:.3f-->0.998<!--/-->.
#
# Now atom by atom. For comparison: template matching, which names an atom by its nearest neighbours.

# %%
names = [CLASSES.index(name) if name in CLASSES else -1 for name in found.grains["class"]]
answer = np.array([*names, -1])[found.grain]  # the last: of atoms without a grain
right = {"waves": answer == true_class}
right["waves, refusals counted as wrong"] = right["waves"] & mapped.arrays["accepted"].astype(bool)
if rivals.HAS_OVITO:
    matched = rivals.neighbour_classes(sample, "polyhedral template matching")
    right["template matching"] = matched == true_class
parts = {"all": from_boundary >= 0, "within 5 Å": from_boundary < 5, "beyond 5 Å": from_boundary >= 5}
pd.DataFrame(
    {part: {name: hits[at].mean() for name, hits in right.items()} for part, at in parts.items()}
).style.format("{:.1%}")

# %%
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
bins = np.arange(0, 24, 2)  # distances from the boundary, Å
for (name, hits), color, line, lw in zip(right.items(), ("black", "0.6", "0.7"), ("-", "--", ":"), (3.5, 1.4, 1.4)):
    of_bin = [hits[(from_boundary >= low) & (from_boundary < low + 2)] for low in bins]
    share, low, high = np.array([classify.share(hits) for hits in of_bin if len(hits)]).T
    x = [low + 1 for low, hits in zip(bins, of_bin) if len(hits)]
    style = {"color": color, "ls": line, "lw": lw, "elinewidth": 1, "marker": "o", "ms": 2 * lw, "label": name}
    ax.errorbar(x, share, (share - low, high - share), **style)
ax.set(title="Right at any distance?", xlabel="distance from the boundary (Å)", ylabel="share of atoms named correctly")
ax.set_ylim(-0.03, 1.05)
ax.grid(alpha=0.3)
figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3)
run.save_figure(figure, "fig_15a_boundary")

# %% [markdown]
# *Where the two curves of the waves coincide, nothing is refused. Bars: 95 % intervals; they are too short, since atoms of one grain are not independent.* Within 5 Å of a boundary,
# about a neighbour distance, <!--=atoms.waves.vacancies_25.near:.1%-->99.6%<!--/--> are right; beyond
# it, <!--=atoms.waves.vacancies_25.beyond_5:.1%-->100.0%<!--/-->. Template matching needs all the neighbours. With none
# missing it does better ([evidence](20_polycrystals_compared.ipynb)).
#
# ## Copper
#
# In most polycrystals all grains are of one phase, like these eight grains of copper. Metallurgists colour a grain by
# the crystal direction that points out of the page.

# %%
copper = clouds.build_polycrystal([bulk("Cu")] * 8, relaxed_atoms, np.random.default_rng([seed, 9]))
copper.calc = EMT()
LBFGS(copper, logfile=None).run(fmax=0.05, steps=relax_steps)  # the boundaries relax
copper.calc = None
copper.positions += np.random.default_rng([seed, 10]).normal(scale=0.1, size=copper.positions.shape)  # heat
copper_map = map_structure(copper, progress=False)
copper_mapped = annotate(copper, copper_map)

# %%
figure, axes = plt.subplots(1, 3, figsize=(8.6, 3.6), layout="constrained", width_ratios=(1, 1, 0.5))
for ax, color_by, title in zip(axes, ("grain", "ipf"), ("Grains (grey: none)", "Crystal direction along z")):
    plots.draw_atoms_slice(copper_mapped, ax, color_by, grains=copper_map.grains)
    ax.set_title(title)
plots.draw_ipf_key("cF", axes[2])
run.save_figure(figure, "fig_15b_copper")

# %%
without = pd.Series(copper_map.grain < 0).groupby(copper.arrays["grain"]).agg(["size", "mean"])
without.columns = ["atoms of the grain", "share without a grain in the map"]
without.sort_values("atoms of the grain").style.format({"share without a grain in the map": "{:.1%}"})

# %% [markdown]
# *A slice of copper; and each true grain, the smallest first.* The map finds <!--=atoms.copper.grains-->8<!--/--> of
# eight grains (adjusted Rand index <!--=atoms.copper.rand:.3f-->0.990<!--/-->); <!--=atoms.copper.none:.1%-->0.1%<!--/--> of
# the atoms have no grain. The smaller the grain, the more balls hold the waves of two: how small may it be
# ([exercise 2](#exercise-2-how-small-a-grain))?
#
# ## Look at it
#
# Drag to rotate; the slider cuts a slice. (On a page without a kernel there is nothing below.)

# %%
view_map(mapped, found)

# %%
results = {"atoms.carried.own": c[own].mean(), "atoms.carried.other": c[~own].mean()}
for name, values in {"carried": c, "together": together}.items():
    results[f"atoms.{name}.below"] = (values[own] < CARRIED).mean()
    results[f"atoms.{name}.above"] = (values[~own] >= CARRIED).mean()
for method, name in {"waves": "waves", "accepted": "waves, refusals counted as wrong"}.items():
    for short, part in {"all": "all", "near": "within 5 Å", "beyond_5": "beyond 5 Å"}.items():
        results[f"atoms.{method}.vacancies_25.{short}"] = right[name][parts[part]].mean()
results |= {"atoms.vacancies_25.atoms": len(sample), "atoms.vacancies_25.grains": len(found.grains)}
results |= {"atoms.vacancies_25.refused_grains": (~found.grains.accepted.astype(bool)).sum()}
results |= {"atoms.waves.vacancies_25.rand": adjusted_rand_score(true_grain, found.grain)}
results |= {"atoms.true_grains": len(cells), "atoms.copper.grains": len(copper_map.grains)}
results |= {"atoms.copper.rand": adjusted_rand_score(copper.arrays["grain"], copper_map.grain)}
results |= {"atoms.copper.none": (copper_map.grain < 0).mean()}
run.save_results(results)

# %% [markdown]
# ## Exercises
#
# Predict, then run. The solutions are folded.
#
# ### Exercise 1: Through the wall
#
# A periodic box holds one crystal. Move all atoms by half an edge and fold them back, so that the middle lies at the
# wall. **Predict:** how many grains does the map find? And if the box is not periodic? Hint:
# `bulk("Cu", cubic=True).repeat(7)`, `atoms.rattle(0.1)`, `atoms.wrap()`, `atoms.pbc`.

# %% tags=["hide-cell"]
# @title Solution 1
box = bulk("Cu", cubic=True).repeat(7)
box.rattle(0.1, seed=seed)
box.positions += box.cell.lengths() / 2
box.wrap()
counts = [len(map_structure(box, n_jobs=1, progress=False).grains)]
box.pbc = False
counts.append(len(map_structure(box, n_jobs=1, progress=False).grains))
assert counts == [1, 1]
counts

# %% [markdown]
# <details><summary>Answer</summary>
#
# One both times: a crystal has no seam. Without periodicity, the balls at the walls are cut but still have their
# waves.
#
# </details>
#
# ### Exercise 2: How small a grain?
#
# Fill cubes of 1,000 to 16,000 atoms with eight grains of copper. **Predict:** what share of the atoms has no grain?
# Hint: `clouds.build_polycrystal([bulk("Cu")] * 8, n, np.random.default_rng(seed), displacement=0.1)`.

# %% tags=["hide-cell"]
# @title Solution 2
none = {}
for n in (1000, 2000, 4000, 8000, 16000):
    cube = clouds.build_polycrystal([bulk("Cu")] * 8, n, np.random.default_rng(seed), displacement=0.1)
    none[n // 8] = (map_structure(cube, progress=False).grain < 0).mean()
assert none[125] > 0.2 and none[2000] < 0.05
pd.Series(none, name="share without a grain").rename_axis("atoms in a grain").map("{:.1%}".format).to_frame()

# %% [markdown]
# <details><summary>Answer</summary>
#
# Most of them in grains half the size of a ball, hardly any in larger ones. Smaller balls (`radius=`) find smaller
# grains; larger ones tell smaller rotations apart.
#
# </details>
#
# ### Exercise 3: Hotter
#
# Displace all atoms once more, to a total of 10 % of the neighbour distance instead of 5 %. **Predict:** what share of
# the grain's atoms falls below the threshold by itself, and what share with its neighbours? Hint: variances add;
# `find_waves(…)` of the hotter ball; `carried_by`, `twelve`, `own`, `CARRIED`.

# %% tags=["hide-cell"]
# @title Solution 3
more = np.random.default_rng(seed).normal(scale=np.sqrt(0.1**2 - 0.05**2) * nearest, size=r.shape)
hot = r + more
hot_c = carried_by(hot, *find_waves(hot[np.linalg.norm(hot, axis=1) < radius], radius, neighbour))
hot_together = (hot_c + 3 * hot_c[twelve].mean(axis=1)) / 4
below = {"by itself": (hot_c[own] < CARRIED).mean(), "with its neighbours": (hot_together[own] < CARRIED).mean()}
assert below["with its neighbours"] < below["by itself"] / 2
pd.Series(below, name="below the threshold").map("{:.1%}".format).to_frame()

# %% [markdown]
# <details><summary>Answer</summary>
#
# Many by themselves, far fewer with their neighbours: one atom may be halfway to the next trough, but its neighbours
# rarely all are.
#
# </details>
#
# ## Summary
#
# - A crystal is a sum of waves, and a few hundred atoms are enough to find them. Vacancies leave the amplitudes
#   unchanged; heat lowers them by the Debye–Waller factor.
# - An atom belongs to the grain whose waves carry it and its neighbours best: with a quarter of the atoms
#   missing, <!--=atoms.waves.vacancies_25.all:.1%-->99.9%<!--/--> of the others get the right class.
# - A grain much smaller than a ball is lost: the size of the balls sets the resolution of the map.
#
# From the command line: `xtalsight map FILE`. Evidence:
# [20 Which method maps a polycrystal?](20_polycrystals_compared.ipynb) Next:
# [10 Which prototype is it?](10_which_prototype.ipynb) knows hundreds of structures.
