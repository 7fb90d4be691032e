# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Are the response maps true?
#
# **In:** the networks of [03](03_a_network_learns.ipynb), the defective fingerprints of [02](02_fingerprints.ipynb),
# and the maps of [04](04_what_it_looks_at.ipynb). **Out:** three tests of the maps, each with controls; maps kernel by
# kernel, and of other networks.
#
# **Result:** in part: they mark peaks that the network needs; but without eight peaks that a map of random weights marks
# it does nearly as badly. Erasing
# the eight peaks that the maps of the last convolution mark most strongly
# takes <!--=maps.removal.highlighted.loss_8:.1%-->58.1%<!--/--> off the accuracy of the network of the paper; erasing eight
# random peaks takes <!--=maps.removal.random_peaks.loss_8:.1%-->0.7%<!--/-->. But erasing the eight that maps of random
# weights mark takes <!--=maps.removal.highlighted_random_weights.loss_8:.1%-->46.3%<!--/-->, and erasing the eight
# brightest, which needs no map, takes <!--=maps.removal.brightest_peaks.loss_8:.1%-->71.3%<!--/-->.
#
# ![Accuracy against the number of peaks removed](../figures/fig_09_is_it_true.png)
#
# **Time:** <!--=time.15_response_maps_tested.seconds:.0f-->78<!--/--> s on two cores.

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
from matplotlib import colormaps
from scipy import ndimage

from xtalsight import classify, crystals, dataset, inference, networks, plots, store
from xtalsight.crystals import CLASSES
from xtalsight.fingerprints import DiffractionGeometry, length_scale, near_reflections, reflections
from xtalsight.response_maps import attentive_response_maps, get_activations
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of the random choices
threads = 2  # of TensorFlow
n_filters = 4  # strongest kernels of each layer, as in the paper
per_class = 3  # structures of each class in the measurements

# %%
run = Run("15_response_maps_tested", profile)
run.needs("03_a_network_learns")
networks.make_reproducible(seed, threads)
ring = DiffractionGeometry().ring

# %% [markdown]
# ## Networks and crystals
#
# We take the two networks of lesson 03 that were trained on the random split, that of the paper and the compact one,
# and for comparison that of the paper trained on the grouped split. All crystals here have vacancies; all networks
# were trained on pristine ones.

# %%
table_1 = networks.load(run.path("table_1.keras"))
other_split = networks.load(run.path("table_1_grouped.keras"))
compact = networks.load(run.path("compact.keras"))

# %%
recipes = store.load_table(run.path("recipes_vacancies.csv"))
images = dataset.read_fingerprints(run.path("fingerprints_vacancies.zarr"))
complete = np.isfinite(images[:, 0, 0, 0])
sample = recipes[complete].sample(frac=1, random_state=seed).groupby("label").head(per_class).sort_values("id")
images, labels = images[sample.index], sample.label.to_numpy()
example = {label: int(np.flatnonzero(labels == label)[0]) for label in range(len(CLASSES))}
print({CLASSES[label]: int(n) for label, n in sample.label.value_counts(sort=False).items()})


# %%
def draw_heat(ax, heat, gamma=0.5):
    """Draw the positive part of a map, summed over channels, relative to its maximum, with the edges of the ring."""
    heat = np.maximum(heat, 0).sum(axis=-1)
    shown = ax.imshow((heat / max(heat.max(), 1e-12)) ** gamma, origin="lower", vmin=0, vmax=1, extent=(0, 64, 0, 64))
    ax.contour(np.arange(64) + 0.5, np.arange(64) + 0.5, ring, [0.5], colors="white", linewidths=0.6)
    ax.set(xticks=[], yticks=[], aspect="equal")
    return shown


# %% [markdown]
# ## Where a layer is active
#
# keract overlays the activations of all kernels of a layer on the image, each divided by its range. We use its formula
# but not its colour map, jet, which shows edges where there are none.

# %%
hexagonal = images[example[5]]
names = ["convolution_1", "convolution_3", "convolution_6"]
figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.2))
plots.draw_fingerprint(hexagonal, axes[0])
axes[0].set(title="hex/rh", xticks=[], yticks=[], xlabel="", ylabel="")
for ax, (name, stack) in zip(axes[1:], get_activations(table_1, hexagonal, names).items()):
    shown = draw_heat(ax, stack[0] / np.maximum(np.ptp(stack[0], axis=(0, 1)), 1e-9), gamma=1)
    ax.set_title(name.replace("_", " "))
figure.colorbar(shown, ax=axes[3], label="relative activation", fraction=0.05)
run.save_figure(figure, "fig_07b_heat_maps")

# %% [markdown]
# *Activation of a layer, summed over its kernels, each divided by its range. White: edges of the ring.* The first
# convolution is active at the peaks, the sixth nearly everywhere, even where the fingerprint is dark.
#
# ## One answer, kernel by kernel

# %%
last = "convolution_6"
maps, filters = attentive_response_maps(table_1, hexagonal, last, n_filters)
response = get_activations(table_1, hexagonal, last)[last][0, ..., filters[0, 0]]
kept = np.where(response == response.max(), response, 0)

# %%
figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.1))
plots.draw_fingerprint(hexagonal, axes[0])
axes[1].imshow(response, origin="lower")
axes[2].imshow(kept, origin="lower")
draw_heat(axes[3], maps[0, 0])
for ax, title in zip(axes, ["hex/rh", f"kernel {filters[0, 0]}, convolution 6", "its maximum", "back at the input"]):
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    ax.set_title(title, fontsize=9)
run.save_figure(figure, "fig_08a_one_filter")

# %% [markdown]
# *From one answer of the last convolution back to the fingerprint (square root of the map).*
# [Lesson 04](04_what_it_looks_at.ipynb) does these steps by hand. Next, as in the paper, the strongest kernels of
# every layer one by one, for fcc:

# %%
fcc = images[example[CLASSES.index("fcc")]]
figure, axes = plt.subplots(n_filters, 7, figsize=(7.5, 4.8), squeeze=False)
for row, ax in enumerate(axes[:, 0]):
    plots.draw_fingerprint(fcc, ax)
    ax.set(xticks=[], yticks=[], xlabel="", ylabel=f"strongest {row + 1}")
for i, column in enumerate(axes.T[1:], start=1):
    of_layer, kernels = attentive_response_maps(table_1, fcc, f"convolution_{i}", n_filters)
    for ax, one_map, kernel in zip(column, of_layer[0], kernels[0]):
        draw_heat(ax, one_map)
        ax.set_title(f"kernel {kernel}", fontsize=7, pad=2)
    column[0].set_title(f"convolution {i}\nkernel {kernels[0, 0]}", fontsize=7, pad=2)
run.save_figure(figure, "fig_08_kernels_fcc")

# %% [markdown]
# *Maps of the four strongest kernels of every convolution: square root of the sum over the channels, each relative to
# its own maximum. White: edges of the ring.* A kernel of the first layers answers to a peak or a pair of peaks, a
# kernel of the last two to a whole constellation.
#
# ## Is the explanation true?
#
# A map can be pretty and wrong. We ask three questions that the sources do not ask. All three are about the *heat*:
# the positive part of the maps of the last convolution, summed over its strongest kernels.


# %%
def reflections_of(recipe):
    """Allowed reflections of the whole crystal of a recipe, brightest first."""
    cell = crystals.conventional_cell(crystals.primitive_cell(recipe))
    cluster = crystals.build_crystal({**recipe, "vacancy_ratio": 0})
    return reflections(cell, cluster.get_volume() ** (1 / 3) / length_scale(cluster))


tables = [reflections_of(recipe) for recipe in sample.to_dict("records")]


# %%
def heat(model, layer):
    """Positive parts of the maps of all structures, summed over the kernels: (n, 64, 64, 3)."""
    return np.maximum(attentive_response_maps(model, images, layer, n_filters)[0], 0).sum(axis=1)


untrained = networks.table_1_network(seed=seed + 1)
heats = {"trained": heat(table_1, last), "random weights": heat(untrained, last)}
print(f"{(heats['trained'].max(axis=(1, 2, 3)) == 0).sum()} of {len(images)} maps are empty")

# %% [markdown]
# ### Does the network need what the map marks?
#
# We erase discs five pixels wide at the hottest peaks of the map. For comparison, we erase them at the hottest peaks
# of a map of random weights, at the brightest peaks of the fingerprint, at random peaks of the fingerprint (most are
# speckle), at random reflections of the crystal, and at random pixels of the ring. **Predict:** which hurts most? Our
# criterion, set beforehand: erasing the map's eight peaks must cost five times as much as erasing eight random ones.


# %%
def peaks(image, least=1e-3):
    """Local maxima (row, column) of an image, brightest first, down to `least` times the brightest."""
    is_peak = (image == ndimage.maximum_filter(image, 5)) & (image > least * image.max()) & (image > 0)
    places = np.argwhere(is_peak)
    return places[np.argsort(-image[is_peak], kind="stable")]


disc = np.hypot(*(np.indices((5, 5)) - 2)) < 2.5


def erased(image, places):
    """A copy of a fingerprint, dark within two and a half pixels of each of the places."""
    hole = np.zeros(image.shape[:2], bool)
    hole[tuple(np.transpose(places).astype(int))] = True
    return np.where(ndimage.binary_dilation(hole, disc)[..., None], 0, image)


# %%
def chosen_places(i, rng):
    """Places to erase from the fingerprint of structure i, of each kind, in order."""
    bright = peaks(images[i].sum(axis=-1))
    centre = (len(ring) - 1) / 2
    indexed = np.unique(np.round(tables[i][["y", "x"]].to_numpy() + centre).astype(int), axis=0)
    return {
        "highlighted": peaks(heats["trained"][i].sum(axis=-1)),
        "highlighted_random_weights": peaks(heats["random weights"][i].sum(axis=-1)),
        "brightest_peaks": bright,
        "random_reflections": rng.permutation(indexed),
        "random_peaks": rng.permutation(bright),
        "random_pixels": rng.permutation(np.argwhere(ring)),
    }


draws = [
    [chosen_places(i, np.random.default_rng([seed, draw, sample.id.iloc[i]])) for i in range(len(images))]
    for draw in range(2)
]

# %%
counts = [0, 1, 2, 4, 8, 16]


def right_without(name, n, places):
    """Which answers are right when the first n places of a kind are erased from every fingerprint."""
    changed = np.array([erased(image, p[name][:n]) for image, p in zip(images, places)])
    return inference.predict(table_1, changed).argmax(axis=1) == labels


right = {
    (name, n): np.mean(
        [right_without(name, n, places) for places in (draws if name.startswith("random") else draws[:1])], axis=0
    )
    for name in draws[0][0]
    for n in counts[1:]
}
intact = inference.predict(table_1, images).argmax(axis=1) == labels
right |= {(name, 0): intact for name in draws[0][0]}

# %%
accuracy = pd.Series({key: r.mean() for key, r in right.items()}).unstack(0)[list(draws[0][0])]
accuracy.rename_axis("erased").style.format("{:.1%}")


# %% [markdown]
# How certain are the ratios? We resample the structures with replacement, a thousand times. A loss counts as that of
# one structure at least, so that no ratio is infinite.


# %%
def ratio(name, rows=slice(None)):
    """Accuracy lost without the 8 highlighted peaks, divided by that lost without 8 places of another kind."""
    loss = [max(np.mean(intact[rows]) - np.mean(right[key, 8][rows]), 1 / len(images)) for key in ("highlighted", name)]
    return loss[0] / loss[1]


again = np.random.default_rng(seed).integers(len(images), size=(1000, len(images)))
ratios = pd.DataFrame(
    {
        name: [ratio(name), *np.quantile([ratio(name, rows) for rows in again], (0.025, 0.975))]
        for name in accuracy.columns[1:]
    },
    index=["ratio", "low", "high"],
)
ratios.style.format("{:.1f}")


# %%
def near_one_of(places, others):
    """Fraction of the places that lie within two pixels of one of the others."""
    return np.mean(np.hypot(*np.moveaxis(places[:, None] - others[None], -1, 0)).min(axis=1) <= 2)


overlap = np.mean([near_one_of(p["highlighted"][:8], p["brightest_peaks"][:8]) for p in draws[0]])
print(f"{overlap:.0%} of the eight highlighted peaks lie at one of the eight brightest")

# %% [markdown]
# Without the eight highlighted peaks the network loses <!--=maps.removal.highlighted.loss_8:.0%-->58%<!--/--> of its
# accuracy. That is <!--=maps.removal.random_peaks.ratio:.0f-->79<!--/--> times what it loses without eight random peaks
# (95 % interval: <!--=maps.removal.random_peaks.ratio.low:.0f-->32<!--/-->
# to <!--=maps.removal.random_peaks.ratio.high:.0f-->90<!--/-->): our criterion is met. But it asks little, since most of
# these are speckle. Against eight random reflections of the crystal, the factor
# is <!--=maps.removal.random_reflections.ratio:.1f-->6.9<!--/-->
# (<!--=maps.removal.random_reflections.ratio.low:.1f-->4.8<!--/-->
# to <!--=maps.removal.random_reflections.ratio.high:.1f-->11.1<!--/-->); against the peaks that random weights
# mark, <!--=maps.removal.highlighted_random_weights.ratio:.1f-->1.3<!--/-->
# (<!--=maps.removal.highlighted_random_weights.ratio.low:.1f-->1.0<!--/-->
# to <!--=maps.removal.highlighted_random_weights.ratio.high:.1f-->1.5<!--/-->); against the brightest
# peaks, <!--=maps.removal.brightest_peaks.ratio:.1f-->0.8<!--/-->
# (<!--=maps.removal.brightest_peaks.ratio.low:.1f-->0.7<!--/-->
# to <!--=maps.removal.brightest_peaks.ratio.high:.1f-->0.9<!--/-->). Where the factor is one or less, the other choice
# finds peaks that matter at least as well as the map does. For random weights
# the interval begins barely above one: with eight peaks this test hardly tells the map of the trained network from that
# of random weights. With two it does: without them <!--=maps.removal.highlighted.accuracy_2:.0%-->68%<!--/--> are right,
# without two that random weights mark <!--=maps.removal.highlighted_random_weights.accuracy_2:.0%-->87%<!--/-->. Brightness explains much of it: of the eight highlighted
# peaks, <!--=maps.highlighted_among_brightest:.0%-->50%<!--/--> lie within two pixels of one of the eight brightest.
#
# ### Do the maps depend on what the network learned?
#
# A map that looks the same with random weights shows the fingerprint, not the network. Over the pixels of the ring, we
# correlate the heat of the trained network, summed over the channels, with that of other networks. The network of the
# grouped split started from the same weights, so we also include this start.


# %%
def similarities(first, second):
    """Correlation over the ring, of each structure; an empty map correlates with nothing."""
    a, b = (stack.sum(axis=-1)[:, ring] for stack in (first, second))
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (a, b))
    scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.sum(a * b, axis=1) / np.where(scale > 0, scale, np.inf)


others = {
    "other_split": heat(other_split, last),
    "start": heat(networks.table_1_network(seed=seed), last),
    "random_weights": heats["random weights"],
    "compact": heat(compact, "relu_3"),
    "fingerprint": images,
}
similar = pd.DataFrame({name: similarities(heats["trained"], stack) for name, stack in others.items()})
similar.agg(["mean", "min", "max"]).style.format("{:.2f}")

# %% [markdown]
# The maps of two training runs from one start agree with each other (<!--=maps.similarity.other_split:.2f-->0.80<!--/-->) more
# than with those of the untrained start (<!--=maps.similarity.start:.2f-->0.59<!--/-->): training adds something of its
# own. Much of the rest comes with the fingerprint itself (<!--=maps.similarity.fingerprint:.2f-->0.54<!--/-->): maps of
# other random weights resemble those of the trained network nearly as much
# (<!--=maps.similarity.random_weights:.2f-->0.49<!--/-->) as those of its start do. The compact network has quite
# different maps (<!--=maps.similarity.compact:.2f-->0.27<!--/-->).
#
# ### Do the maps mark reflections of the crystal?
#
# For each crystal and each channel, we mark the pixels within two pixels of an allowed reflection. What share of the
# ring do they cover, and what share do they hold of the brightness, of the trained network's heat, and of the heat of
# random weights? All heat counts, even outside the ring.

# %%
near = np.array([near_reflections(table) for table in tables])


def share(stack, where=near):
    """Share of each image (n, 64, 64, 3) that lies in a region."""
    total = stack.sum(axis=(1, 2, 3))
    return (stack * where).sum(axis=(1, 2, 3)) / np.where(total > 0, total, np.nan)


agreement = pd.DataFrame(
    {
        "area": near.mean(axis=(1, 2, 3)) / ring.mean(),
        "brightness": share(images),
        "trained": share(heats["trained"]),
        "random weights": share(heats["random weights"]),
    }
)
by_class = agreement.groupby(labels).mean().rename(index=dict(enumerate(CLASSES)))
outside = share(heats["trained"], ~ring[..., None]).mean()
print(f"{outside:.0%} of the trained network's heat lies outside the ring, where the fingerprint is dark")
by_class.style.format("{:.0%}")

# %% [markdown]
# Near allowed reflections, on <!--=maps.near_reflections.area:.0%-->7%<!--/--> of the ring's area,
# lies <!--=maps.near_reflections.trained:.0%-->31%<!--/--> of the heat. But with random weights it
# is <!--=maps.near_reflections.random_weights:.0%-->32%<!--/-->. Maps mark reflections because reflections are bright;
# this does not show that the network knows crystallography. And <!--=maps.heat_outside_ring:.0%-->20%<!--/--> of the
# heat lies outside the ring, where the fingerprint is dark.
#
# The three answers in one figure:

# %%
shades = dict(zip(accuracy.columns, [*colormaps["viridis"]([0.0, 0.3, 0.55, 0.75, 0.9]), "0.6"]))
figure, axes = plt.subplot_mosaic([["A", "A"], ["B", "C"]], figsize=(7.2, 6), width_ratios=[1, 1.7])
for i, ((name, color), marker) in enumerate(zip(shades.items(), "os^Dv.")):
    bounds = np.array([classify.share(np.arange(len(images)) < round(p * len(images))) for p in accuracy[name]])
    places = np.arange(len(counts)) + 0.06 * (i - 2.5)
    errors = np.abs(bounds[:, 1:] - bounds[:, :1]).T
    style = {
        "marker": marker,
        "lw": 1.2,
        "color": color,
        "label": name.replace("_", " ").replace("highlighted random", "highlighted by random"),
    }
    axes["A"].errorbar(places, accuracy[name], errors, **style)
axes["A"].set(xticks=range(len(counts)), xticklabels=counts, xlabel="places erased", ylabel="accuracy", ylim=(0, 1.03))
axes["A"].legend(loc="lower left")
plt.close(figure)  # shown when complete


# %%
def interval(table):
    """Half of a 95 % interval of the mean of each column."""
    return 1.96 * table.sem()


rows = ["grouped split,\nsame start", "its start,\nuntrained", "random\nweights", "compact\nnetwork", "fingerprint"]
axes["B"].barh(rows, similar.mean(), xerr=interval(similar), color="0.6", capsize=2)
axes["B"].invert_yaxis()
axes["B"].set(xlabel="correlation with the map", xlim=(min(0, *similar.mean()), 1))
errors = interval(agreement.groupby(labels)).set_axis(CLASSES)
grays = ["0.85", "0.6", *colormaps["viridis"]([0.0, 0.3])]
by_class.plot.bar(ax=axes["C"], color=grays, yerr=errors, width=0.85, ylim=(0, 1.25), error_kw={"lw": 0.8})
axes["C"].set(ylabel="share near reflections", xlabel="", yticks=np.linspace(0, 1, 6))
axes["C"].tick_params(axis="x", rotation=45)
axes["C"].legend(loc="upper center", ncols=2)
for letter, ax in axes.items():
    ax.set_title(letter, loc="left", fontweight="bold")
run.save_figure(figure, "fig_09_is_it_true")
figure

# %% [markdown]
# *A: accuracy when places are erased; random choices are means of two draws. B: how much the maps resemble other maps
# and the fingerprint. C: how much of the ring, of the brightness and of the heat lies within two pixels of the
# crystal's allowed reflections. Error bars: 95 % intervals. Points in A are shifted sideways to keep them apart.*
#
# ## Other networks
#
# The first kernels of the compact network move in steps of four pixels, so its maps are coarser. **Predict:** does it
# look at the same peaks?

# %%
rows = {"Table 1": heats["trained"], "compact": others["compact"], "random weights": heats["random weights"]}
figure, axes = plt.subplots(3, len(CLASSES), figsize=(7.5, 3.5))
for row_of_axes, (name, stack) in zip(axes, rows.items()):
    for label, ax in enumerate(row_of_axes):
        draw_heat(ax, stack[example[label]])
    row_of_axes[0].set_ylabel(name, fontsize=8)
for ax, name, color in zip(axes[0], CLASSES, plots.CLASS_COLORS):
    ax.set_title(name, color=color)
run.save_figure(figure, "fig_08b_other_networks")

# %% [markdown]
# *Maps of the last convolution for one crystal of every class: square root of the sum over the channels, each relative
# to its own maximum.* A kernel of the compact network spans less than half of the fingerprint's edge, and its stride
# of four leaves a grid. Its maps are patches and less pretty, but its answers are as good
# ([evidence](14_networks_compared.ipynb)). A pretty map is no measure of a network.

# %%
run.save_results(
    {
        "maps.structures": len(images),
        "maps.filters": n_filters,
        "maps.empty": int((heats["trained"].max(axis=(1, 2, 3)) == 0).sum()),
        **{f"maps.removal.{name}.accuracy_{n}": accuracy.loc[n, name] for name in accuracy for n in counts},
        **{f"maps.removal.{name}.loss_8": accuracy.loc[0, name] - accuracy.loc[8, name] for name in accuracy},
        **{f"maps.removal.{name}.ratio": ratios.loc["ratio", name] for name in ratios},
        **{f"maps.removal.{name}.ratio.{end}": ratios.loc[end, name] for name in ratios for end in ("low", "high")},
        "maps.highlighted_among_brightest": overlap,
        **{f"maps.similarity.{name}": similar[name].mean() for name in similar},
        **{f"maps.near_reflections.{name.replace(' ', '_')}": agreement[name].mean() for name in agreement},
        "maps.heat_outside_ring": outside,
    }
)

# %% [markdown]
# ## Exercises
#
# Write down what you expect, then run. The solutions are folded.
#
# ### Exercise 1: Is the map of a symmetric fingerprint symmetric?
#
# The left and right halves of a fingerprint are mirror images, except for speckle. **Predict:** does this hold for the
# map, too? Hint: `similarities` compares two stacks; `heats["trained"]` are the maps, `images[:, :, ::-1]` the mirror
# images.

# %% tags=["hide-cell"]
# @title Solution 1
stacks = {"fingerprint": images, "Table 1": heats["trained"], "compact": others["compact"]}
mirror = pd.DataFrame({name: similarities(stack, stack[:, :, ::-1]) for name, stack in stacks.items()})
assert mirror["fingerprint"].mean() > 0.9 > mirror[["Table 1", "compact"]].mean().min()
mirror.groupby(labels).mean().set_axis(CLASSES).style.format("{:.2f}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# No: for some classes a map and its mirror image have little in common, above all in the compact network. A
# convolution treats every place alike, but not left and right: its kernels are not symmetric. Of two equivalent peaks,
# a network may use only one. That it ignores the other says something about its weights, nothing about the crystal.
# (In a small run, the network of the paper has learned little, and its maps are more symmetric.)
#
# </details>
#
# ### Exercise 2: Where do the answers go?
#
# Without its eight brightest peaks, a crystal is often taken for another. **Predict:** for one of similar structure,
# for any, or always for the same? And which class does an all-black image get? Hint: `erased(image, places)`,
# `draws[0][i]["brightest_peaks"]`, `pd.crosstab`.

# %% tags=["hide-cell"]
# @title Solution 2
dimmed = np.array([erased(image, p["brightest_peaks"][:8]) for image, p in zip(images, draws[0])])
black = inference.predict(table_1, 0 * dimmed[:1]).argmax()
told = inference.predict(table_1, dimmed).argmax(axis=1)
wrong = np.bincount(told[told != labels], minlength=7)
print(f"black is called {CLASSES[black]}")
assert np.sort(wrong)[-3:].sum() > 0.6 * wrong.sum()  # three of seven classes get most of the wrong answers
pd.crosstab(np.array(CLASSES)[labels], np.array(CLASSES)[told], rownames=["true"], colnames=["without eight peaks"])

# %% [markdown]
# <details><summary>Answer</summary>
#
# Nearly all go to two or three classes, whatever the crystal. A fingerprint with holes in place of its brightest
# pixels is like none that was trained on, and a few classes get whatever is unfamiliar, black included. The loss of
# accuracy in panel A thus measures two things at once: what the network needs, and how unfamiliar the fingerprint has
# become. To separate the two, one would have to retrain on fingerprints with holes, for each way of erasing (S. Hooker
# et al., arXiv:1806.10758).
#
# </details>

# %% [markdown]
# ## Summary
#
# - Whether maps are true can be measured. Erasing the eight most strongly marked peaks
#   costs <!--=maps.removal.random_peaks.ratio:.0f-->79<!--/--> times as much accuracy as erasing eight random ones,
#   and <!--=maps.removal.random_reflections.ratio:.1f-->6.9<!--/--> times as much as erasing eight random reflections,
#   but little more than erasing the eight that random weights mark
#   (<!--=maps.removal.highlighted_random_weights.ratio:.1f-->1.3<!--/-->), and less than erasing the eight brightest
#   (<!--=maps.removal.brightest_peaks.ratio:.1f-->0.8<!--/-->).
# - Much of what a map shows is not learned: its correlation with the map of the untrained start
#   is <!--=maps.similarity.start:.2f-->0.59<!--/-->, with the fingerprint
#   itself <!--=maps.similarity.fingerprint:.2f-->0.54<!--/-->.
# - That a map marks reflections proves nothing: a map of random weights marks them, too.
#
# Next: [16 Which clustering finds the classes?](16_clusterings_compared.ipynb)
