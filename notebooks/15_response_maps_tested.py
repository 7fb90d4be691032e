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
# **In:** the networks of [03](03_a_network_learns.ipynb), the defective fingerprints of [02](02_fingerprints.ipynb), and the maps of
# [04](04_what_it_looks_at.ipynb). **Out:** three tests of the maps with their controls; maps kernel by kernel, and of other networks.
#
# **Result:** in part. Erasing the eight peaks that the maps of the last convolution mark most strongly
# takes <!--=maps.removal.highlighted.loss_8:.1%-->…<!--/--> off the accuracy of the network of the paper, erasing eight random
# peaks <!--=maps.removal.random_peaks.loss_8:.1%-->…<!--/-->. Erasing the eight brightest, which needs no map,
# takes <!--=maps.removal.brightest_peaks.loss_8:.1%-->…<!--/-->.
#
# ![Accuracy against the number of peaks removed](../figures/fig_09_is_it_true.png)
#
# **Time:** <!--=time.15_response_maps_tested.seconds:.0f-->…<!--/--> s on two cores.

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
# The two networks that were trained on the random split, and for comparison the large one that was trained on the other. All crystals
# shown have vacancies; none of the networks was trained on those.

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
    """Draw the positive part of a map, summed over its channels, by its own maximum, with the outlines of the ring."""
    heat = np.maximum(heat, 0).sum(axis=-1)
    shown = ax.imshow((heat / max(heat.max(), 1e-12)) ** gamma, origin="lower", vmin=0, vmax=1, extent=(0, 64, 0, 64))
    ax.contour(np.arange(64) + 0.5, np.arange(64) + 0.5, ring, [0.5], colors="white", linewidths=0.6)
    ax.set(xticks=[], yticks=[], aspect="equal")
    return shown


# %% [markdown]
# ## Where a layer is active
#
# keract lays the activations of all kernels of a layer over the image, each divided by its range. We use its formula, but not its
# colour map: jet marks edges where there are none.

# %%
hexagonal = images[example[5]]
names = ["convolution_1", "convolution_3", "convolution_6"]
figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.2))
plots.draw_fingerprint(hexagonal, axes[0])
axes[0].set(title="hex/rh", xticks=[], yticks=[], xlabel="", ylabel="")
for ax, (name, stack) in zip(axes[1:], get_activations(table_1, hexagonal, names).items()):
    shown = draw_heat(ax, stack[0] / np.maximum(np.ptp(stack[0], axis=(0, 1)), 1e-9), gamma=1)
    ax.set_title(name.replace("_", " "))
figure.colorbar(shown, ax=axes[3], label="activation, of the maximum", fraction=0.05)
run.save_figure(figure, "fig_07b_heat_maps")

# %% [markdown]
# *Activation of a layer, each kernel by its own range, summed; white: the ring.* The first convolution is active at the peaks, the sixth nearly
# everywhere, even where the fingerprint is dark.
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
for ax, title in zip(axes, ["hex/rh", f"kernel {filters[0, 0]}, layer 6", "its maximum", "back at the input"]):
    ax.set(title=title, xticks=[], yticks=[], xlabel="", ylabel="")
run.save_figure(figure, "fig_08a_one_filter")

# %% [markdown]
# *From one answer of the last convolution back to the fingerprint (square root of the map).* [04](04_what_it_looks_at.ipynb) does these
# steps by hand. The strongest kernels of every layer, one by one, as the paper shows them, for fcc:

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
# *Maps of the four strongest kernels of every convolution: square root, summed over the channels, each by its own maximum; white: the
# ring.* A kernel of the first layers answers to a peak or a pair of them, one of the last two to a whole constellation.
#
# ## Is the explanation true?
#
# A map can be pretty and wrong. We ask three questions, none of which the sources ask. All are put to maps of the last convolution,
# summed over its strongest kernels, over the channels, and nowhere negative: the *heat* of a pixel.


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
# We erase discs of five pixels' width: at the hottest peaks of the map, and for comparison at the hottest peaks of the map of a network
# with random weights, at the brightest peaks of the fingerprint, at random ones of its peaks (most are speckle of the vacancies), at
# random reflections of the crystal, and at random pixels of the ring. **Predict:** which hurts most? We asked beforehand for a factor of five
# between the map's eight peaks and eight random ones.


# %%
def peaks(image, least=1e-3):
    """Local maxima (row, column) of a image, brightest first, down to `least` times the brightest."""
    is_peak = (image == ndimage.maximum_filter(image, 5)) & (image > least * image.max()) & (image > 0)
    places = np.argwhere(is_peak)
    return places[np.argsort(-image[is_peak], kind="stable")]


disc = np.hypot(*(np.indices((5, 5)) - 2)) < 2.5


def erased(image, places):
    """A copy of a fingerprint, dark within two pixels of each of the places."""
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
# How sure are the ratios? We draw the structures again, with repetition, a thousand times.


# %%
def ratio(name, rows=slice(None)):
    """Accuracy lost without the 8 highlighted peaks over that lost without 8 places of another kind, at least one structure."""
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
print(f"{overlap:.0%} of the eight highlighted peaks are among the eight brightest")

# %% [markdown]
# Without the eight highlighted peaks the network loses <!--=maps.removal.highlighted.loss_8:.0%-->…<!--/--> of its accuracy. That
# is <!--=maps.removal.random_peaks.ratio:.0f-->…<!--/--> times what it loses without eight random peaks (95 % of the
# draws: <!--=maps.removal.random_peaks.ratio.low:.0f-->…<!--/--> to <!--=maps.removal.random_peaks.ratio.high:.0f-->…<!--/-->), but most of
# these are speckle. Compared with eight random reflections of the crystal, the factor
# is <!--=maps.removal.random_reflections.ratio:.1f-->…<!--/-->; with the peaks that random weights
# mark, <!--=maps.removal.highlighted_random_weights.ratio:.1f-->…<!--/-->; with the brightest
# peaks, <!--=maps.removal.brightest_peaks.ratio:.1f-->…<!--/-->. Brightness is most of what makes a peak needed; of the highlighted
# peaks, <!--=maps.highlighted_among_brightest:.0%-->…<!--/--> are among the eight brightest.
#
# ### Do the maps depend on what the network learned?
#
# A map that looks the same with random weights shows the fingerprint, not the network. We correlate the heat, over the pixels of the ring,
# with the heat of the trained network. The network of the other split started from the same weights, so this start is compared, too.


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
# The maps of two trainings from one start agree (<!--=maps.similarity.other_split:.2f-->…<!--/-->) more than with the untrained
# start (<!--=maps.similarity.start:.2f-->…<!--/-->): the difference was learned. The rest is the start and the
# fingerprint (<!--=maps.similarity.fingerprint:.2f-->…<!--/-->). The compact network, whose answers are as right, has other maps
# altogether (<!--=maps.similarity.compact:.2f-->…<!--/-->).
#
# ### Do the maps mark reflections of the crystal?
#
# Each crystal's own reflections give the pixels, channel by channel, within two pixels of an allowed one. We compare the share of the ring
# that they cover, the share of the brightness, and the shares of the heat of the trained network and of random weights. All heat counts,
# also what lies outside the ring.

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
# Of the heat, <!--=maps.near_reflections.trained:.0%-->…<!--/--> lies near allowed reflections,
# on <!--=maps.near_reflections.area:.0%-->…<!--/--> of the area. But with random weights it
# is <!--=maps.near_reflections.random_weights:.0%-->…<!--/-->: that maps mark reflections shows that reflections are bright, not that the
# network knows crystallography. And <!--=maps.heat_outside_ring:.0%-->…<!--/--> of the heat lies outside the ring, where there is nothing to see.
#
# The three answers in one figure:

# %%
shades = dict(zip(accuracy.columns, [*colormaps["viridis"]([0.0, 0.3, 0.55, 0.75, 0.9]), "0.6"]))
figure, axes = plt.subplot_mosaic([["A", "A"], ["B", "C"]], figsize=(7.2, 6), width_ratios=[1, 1.7])
for i, ((name, color), marker) in enumerate(zip(shades.items(), "os^Dv.")):
    bounds = np.array([classify.share(np.arange(len(images)) < round(p * len(images))) for p in accuracy[name]])
    places = np.arange(len(counts)) + 0.06 * (i - 2.5)
    errors = np.abs(bounds[:, 1:] - bounds[:, :1]).T
    style = {"marker": marker, "lw": 1.2, "color": color, "label": name.replace("_", " ")}
    axes["A"].errorbar(places, accuracy[name], errors, **style)
axes["A"].set(xticks=range(len(counts)), xticklabels=counts, xlabel="places erased", ylabel="accuracy", ylim=(0, 1.03))
axes["A"].legend(loc="lower left")
plt.close(figure)  # shown when complete


# %%
def interval(table):
    """Half of a 95 % interval of the mean of each column."""
    return 1.96 * table.sem()


rows = ["other split,\nsame start", "its start,\nuntrained", "random\nweights", "compact\nnetwork", "fingerprint"]
axes["B"].barh(rows, similar.mean(), xerr=interval(similar), color="0.6", capsize=2)
axes["B"].invert_yaxis()
axes["B"].set(xlabel="correlation with the map", xlim=(min(0, *similar.mean()), 1))
errors = interval(agreement.groupby(labels)).set_axis(CLASSES)
grays = ["0.85", "0.6", *colormaps["viridis"]([0.0, 0.3])]
by_class.plot.bar(ax=axes["C"], color=grays, yerr=errors, width=0.85, ylim=(0, 1.25), error_kw={"lw": 0.8})
axes["C"].set(ylabel="share near allowed reflections", xlabel="", yticks=np.linspace(0, 1, 6))
axes["C"].tick_params(axis="x", rotation=45)
axes["C"].legend(loc="upper center", ncols=2)
for letter, ax in axes.items():
    ax.set_title(letter, loc="left", fontweight="bold")
run.save_figure(figure, "fig_09_is_it_true")
figure

# %% [markdown]
# *A: accuracy when places are erased; random ones are means of two draws. B: how much the maps resemble other maps and the fingerprint. C:
# how much of the ring, of the brightness and of the maps lies within two pixels of the crystal's allowed reflections. Lines: 95 %
# intervals; points in A are set side by side so that they can be told apart.*
#
# ## Other networks
#
# The first kernels of the compact network take every fourth pixel, so its maps are coarser. **Predict:** does it look at the same peaks?

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
# *Maps of the last convolution for one crystal of every class: square root, summed over the channels, each by its own maximum.* A kernel of
# the compact network sees less than half of the fingerprint's edge, and its stride of four leaves a grid. Its maps are patches, less
# to look at, from a network that is right as often. A pretty map is no measure of a network.

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
# Left and right of a fingerprint are mirror images, but for the speckle of the vacancies. **Predict:** are they so in the map? Hint:
# `similarities` compares two stacks; `heats["trained"]` are the maps, `images[:, :, ::-1]` the mirror images.

# %% tags=["hide-cell"]
# @title Solution 1
stacks = {"fingerprint": images, "Table 1": heats["trained"], "compact": others["compact"]}
mirror = pd.DataFrame({name: similarities(stack, stack[:, :, ::-1]) for name, stack in stacks.items()})
assert mirror["fingerprint"].mean() > 0.9 > mirror[["Table 1", "compact"]].mean().min()
mirror.groupby(labels).mean().set_axis(CLASSES).style.format("{:.2f}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# No: for some classes a map and its mirror image have little in common, above all in the compact network. A convolution treats every place
# alike, but not left and right: its kernels are not symmetric. Of two equivalent peaks a network may as well use only one. That it
# ignores the other says something about its weights, nothing about the crystal. (In a small run the network of Table 1 has learned
# little and is more symmetric.)
#
# </details>
#
# ### Exercise 2: Where do the answers go?
#
# Without its eight brightest peaks a crystal is often taken for another one. **Predict:** for one of similar structure, for any, or always for
# the same? And which class does an all-black image get? Hint: `erased(image, places)`, `draws[0][i]["brightest_peaks"]`, `pd.crosstab`.

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
# Nearly all go to two or three classes, whatever the crystal. A fingerprint with holes in place of its brightest pixels is like none that was
# trained on, and a few classes get whatever is unfamiliar, black included. The loss of accuracy in panel A thus measures two things at
# once: what the network needs, and how unfamiliar the fingerprint has become. To part them one would train anew on fingerprints with holes,
# for each way of erasing (S. Hooker et al., arXiv:1806.10758).
#
# </details>

# %% [markdown]
# ## Summary
#
# - Whether maps are true can be measured. Erasing eight marked peaks costs <!--=maps.removal.random_peaks.ratio:.0f-->…<!--/--> times as much
#   accuracy as erasing eight random ones, but only <!--=maps.removal.random_reflections.ratio:.1f-->…<!--/--> times as much as eight random
#   reflections, and less than erasing the eight brightest.
# - Much of what a map shows is not learned: it correlates with that of the untrained start
#   by <!--=maps.similarity.start:.2f-->…<!--/-->, with the fingerprint itself by <!--=maps.similarity.fingerprint:.2f-->…<!--/-->.
# - That a map lies on reflections is no proof: a map of random weights does so, too.
#
# Next: [16 Clusterings compared](16_clusterings_compared.ipynb) tests what is found without labels.
