# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does the network look at, and is that true?
#
# **In:** the trained networks of notebook 04 and the defective fingerprints of notebook 02. **Out:** activations, attentive response
# maps, and three tests of whether the maps tell the truth.
#
# **Result:** erasing the eight peaks that the maps of the last convolution mark most strongly
# takes <!--=maps.removal.highlighted.loss_8:.1%-->…<!--/--> off the accuracy of the network of the paper, erasing eight random
# peaks <!--=maps.removal.random_peaks.loss_8:.1%-->…<!--/-->. Erasing the eight brightest, which needs no map,
# takes <!--=maps.removal.brightest_peaks.loss_8:.1%-->…<!--/-->.
#
# ![Accuracy against the number of peaks removed](../figures/fig_09_is_it_true.png)
#
# **Time:** <!--=time.05_attentive_response_maps.seconds:.0f-->…<!--/--> s on two cores.

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
import tempfile
from pathlib import Path

import keract
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import ndimage

from xtalsight import crystals, dataset, inference, networks, plots, store
from xtalsight.crystals import CLASSES
from xtalsight.fingerprints import DiffractionGeometry, length_scale, near_reflections, reflections
from xtalsight.response_maps import attentive_response_maps, get_activations, visible
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of the random choices
threads = 2  # of TensorFlow
n_filters = 4  # strongest filters of each layer, as in the paper
per_class = 3  # structures of each class in the measurements

# %%
run = Run("05_attentive_response_maps", profile)
run.needs("04_cnn_training")
networks.make_reproducible(seed, threads)
ring = DiffractionGeometry().ring

# %% [markdown]
# ## The networks and what they are shown
#
# The two networks of notebook 04 that were trained on the random split, and for comparison the large one that was trained on the
# other. All they are shown here are crystals with vacancies; none of the networks was trained on those.

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
print({CLASSES[label]: int(n) for label, n in sample.label.value_counts(sort=False).items()})

# %%
example = {label: int(np.flatnonzero(labels == label)[0]) for label in range(len(CLASSES))}
hexagonal = images[example[5]]
plots.draw_fingerprint(hexagonal)
sample.iloc[[example[5]]][["prototype", "element", "c_over_a", "vacancy_ratio"]]

# %% [markdown]
# ## What is an activation?
#
# A convolution slides its kernels over the picture. At each place a kernel multiplies what it sees by its weights and adds; the
# ReLU keeps the sum if it is positive. The result, one picture per kernel, is the *activation*: bright where the kernel found what
# it looks for. keract collects and draws them. **Predict:** will the sixth convolution still show peaks?

# %%
names = ["convolution_1", "convolution_3", "convolution_6"]
activations = get_activations(table_1, hexagonal, names)
{name: stack.shape for name, stack in activations.items()}


# %%
def drawn_by_keract(draw, *arguments, **options):
    """Let keract draw one picture a layer, and return the pictures."""
    # keract places its colour bars itself.
    with tempfile.TemporaryDirectory() as folder, plt.rc_context({"figure.constrained_layout.use": False}):
        draw(*arguments, save=True, directory=folder, **options)
        return [plt.imread(file) for file in sorted(Path(folder).glob("*.png"))]


def side_by_side(pictures, name, titles=("", "", "")):
    figure, axes = plt.subplots(1, len(pictures), figsize=(8.5, 2.9))
    for ax, picture, title in zip(axes, pictures, titles):
        ax.imshow(picture, interpolation="antialiased")
        ax.set_title(title)
        ax.set_axis_off()
    run.save_figure(figure, name)


# %%
def upright(stack):
    """Row 0 below, as in all other figures: keract draws it above."""
    return stack[:, ::-1]


# Each kernel by its own maximum, so that keract's colour bar holds for all.
first = {name: upright(stack[..., :9]) for name, stack in activations.items()}
first = {name: stack / np.maximum(stack.max(axis=(1, 2), keepdims=True), 1e-9) for name, stack in first.items()}
pictures = drawn_by_keract(keract.display_activations, first, cmap="viridis", fig_size=(5, 4.5))
side_by_side(pictures, "fig_07_activations")

# %% [markdown]
# *Activations of the first nine kernels of the first, third and sixth convolution (which has eight), for a hex/rh crystal, drawn by
# keract, each kernel relative to its own maximum.* The first layer sharpens or blurs the picture; the sixth has sixteen pixels an edge, and each of its kernels
# answers to a whole region. Dark panels are kernels that found nothing.
#
# What keract collects is what the network computes:

# %%
outputs = keras.Model(table_1.inputs, [table_1.get_layer(name).output for name in names])
expected = outputs.predict(hexagonal[None], verbose=0)
keract_difference = max(np.abs(activations[name] - e).max() for name, e in zip(names, expected))
print(f"largest difference between keract and the model's own outputs: {keract_difference:.1e}")

# %% [markdown]
# keract can also lay the activations of a layer over the picture, all its kernels together. Kernels that are nowhere active are left out:
# keract divides each by its range.

# %%
alive = {name: upright(stack[..., stack.max(axis=(0, 1, 2)) > 0]) for name, stack in activations.items()}
pictures = drawn_by_keract(keract.display_heatmaps, alive, hexagonal[::-1] ** 0.25, merge_filters=True)
side_by_side(pictures, "fig_07b_heat_maps", names)

# %% [markdown]
# *Heat maps by keract, whose colours are its own: blue is inactive, red active.* They say where a layer is active, but not which pixels
# made it so.
#
# ## What is a deconvolution?
#
# Follow one answer back. Of the strongest kernel of the last convolution keep only the place where it answered most. Then undo
# layer by layer what the network did: spread the answer with the same weights over the pixels that the kernel had seen, stop
# it where nothing was active on the way up, keep what is positive, and repeat a pooled pixel over the pixels that it stood for. What
# arrives at the input is the part of the picture that the answer came from. **Predict:** one place, or many?

# %%
last = "convolution_6"
maps, filters = attentive_response_maps(table_1, hexagonal, last, n_filters)
response = get_activations(table_1, hexagonal, last)[last][0, ..., filters[0, 0]]
kept = np.where(response == response.max(), response, 0)


# %%
figure, axes = plt.subplots(1, 4, figsize=(8.5, 2.4))
plots.draw_fingerprint(hexagonal, axes[0])
axes[1].imshow(response, origin="lower")
axes[2].imshow(kept, origin="lower")
plots.draw_fingerprint(visible(maps[0, 0]), axes[3], gamma=0.5)
for ax, title in zip(
    axes, ["fingerprint", f"{last}, kernel {filters[0, 0]}", "its maximum alone", "back at the input"]
):
    ax.set(title=title, xticks=[], yticks=[], xlabel="", ylabel="")
run.save_figure(figure, "fig_08a_one_filter")

# %% [markdown]
# *From one answer back to the picture.* A kernel of the last layer has seen nearly the whole picture. What comes back are peaks, each in
# the colour of the channel it was read in, on a smear: pooling has made places coarse, and repetition cannot make them fine again.
#
# ## Every class
#
# The same for the strongest kernels of every layer: the figure of the paper that the report leaves out.

# %%
convolutions = [layer.name for layer in table_1.layers if isinstance(layer, keras.layers.Conv2D)]
layer_maps = {
    name: attentive_response_maps(table_1, images[[*example.values()]], name, n_filters)[0] for name in convolutions
}
all_maps = np.sum([[visible(m.sum(axis=0)) for m in layer] for layer in layer_maps.values()], axis=0)


# %%
def draw_row(axes, label, pictures, gammas):
    for ax, picture, gamma in zip(axes, pictures, gammas):
        plots.draw_fingerprint(picture, ax, gamma=gamma)
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    axes[0].set_ylabel(CLASSES[label], color=plots.CLASS_COLORS[label])


figure, axes = plt.subplots(len(CLASSES), 2 + len(convolutions), figsize=(9, 8))
for label, index in example.items():
    sums = [visible(layer_maps[name][label].sum(axis=0)) for name in convolutions]
    draw_row(axes[label], label, [images[index], *sums, visible(all_maps[label])], [0.25] + 7 * [0.5])
for ax, title in zip(axes[0], ["fingerprint", *(name.replace("_", " ") for name in convolutions), "all"]):
    ax.set_title(title, fontsize=8)
run.save_figure(figure, "fig_08_response_maps")

# %% [markdown]
# *For each class: a fingerprint with vacancies, the sum of the maps of the four strongest kernels of each convolution, and the sum
# over all layers, each panel by its own maximum. Red, green and blue tell the rotation channel.* That the maps grow from patches to the
# whole picture says nothing about learning: a kernel of the first layer sees seven pixels, whatever its weights. What is learned is which
# peaks light up within reach.
#
# The maps kernel by kernel, as the paper shows them:

# %%
for label, index in example.items():
    figure, axes = plt.subplots(n_filters, 1 + len(convolutions), figsize=(8, 1.2 * n_filters + 0.3), squeeze=False)
    for row in range(n_filters):
        maps_of_row = [visible(layer_maps[name][label, row]) for name in convolutions]
        draw_row(axes[row], label, [images[index], *maps_of_row], [0.25] + 6 * [0.5])
        axes[row, 0].set_ylabel(f"kernel {row + 1}")
    for ax, title in zip(axes[0], [CLASSES[label], *(name.replace("_", " ") for name in convolutions)]):
        ax.set_title(title, fontsize=8)
    run.save_figure(figure, f"fig_08_kernels_{CLASSES[label].replace('/', '_')}")

# %% [markdown]
# ## Which reflections are these?
#
# A bright spot has a name: the lattice planes *hkl* that reflect there. The crystal tells where its reflections lie, by the same
# scattering vectors that made the fingerprint, and which of them are extinct by symmetry.


# %%
def extent(cluster):
    """Edge of a cluster of atoms, in nearest-neighbour distances."""
    return cluster.get_volume() ** (1 / 3) / length_scale(cluster)


def reflections_of(recipe):
    """Reflections of the whole crystal of a recipe."""
    cell = crystals.conventional_cell(crystals.primitive_cell(recipe))
    return reflections(cell, extent(crystals.build_crystal({**recipe, "vacancy_ratio": 0})))


tables = [reflections_of(recipe) for recipe in sample.to_dict("records")]
tables[example[4]].head(3)

# %%
figure, axes = plt.subplots(2, 4, figsize=(9, 4.8))
axes.flat[7].set_axis_off()
for (label, index), ax in zip(example.items(), axes.flat):
    table = tables[index]
    plots.draw_fingerprint(images[index], ax, channel=1)
    plots.draw_reflections(table[table.channel == 1], ax, n_labels=6)
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    ax.set_title(CLASSES[label], color=plots.CLASS_COLORS[label])
run.save_figure(figure, "fig_09a_indexed_peaks")

# %% [markdown]
# *The green channel of fingerprints with vacancies, and circles where the crystal has allowed reflections. Of those of equal length one
# has its indices.* Spots without a circle are side lobes: a small crystal spreads each reflection over fringes.
#
# ## Is the explanation true?
#
# A map can be pretty and wrong. Three questions, none of which the sources ask. All are put to maps of the last convolution, summed
# over its strongest kernels, over the channels and nowhere negative: the *heat* of a pixel.


# %%
def heat(model, layer):
    """Positive parts of the maps of all structures, summed over the kernels: (n, 64, 64, 3)."""
    return np.maximum(attentive_response_maps(model, images, layer, n_filters)[0], 0).sum(axis=1)


untrained = networks.table_1_network(seed=seed + 1)
heats = {"trained": heat(table_1, last), "random weights": heat(untrained, last)}
print(f"{(heats['trained'].max(axis=(1, 2, 3)) == 0).sum()} of {len(images)} maps are empty")

# %% [markdown]
# **First: does the network need what the map marks?** Erase discs of five pixels' width from the picture: at the hottest peaks of the
# map, and for comparison at the hottest peaks of the map of a network with random weights, at the brightest peaks of the picture, at random
# ones of its peaks (most are the grain of the vacancies), at random reflections of the crystal, and at random pixels of the ring.
# **Predict:** which hurts most? We asked beforehand for a factor of five between the map's eight peaks and eight random ones.


# %%
def peaks(picture, least=1e-3):
    """Local maxima (row, column) of a picture, brightest first, down to `least` times the brightest."""
    is_peak = (picture == ndimage.maximum_filter(picture, 5)) & (picture > least * picture.max()) & (picture > 0)
    places = np.argwhere(is_peak)
    return places[np.argsort(-picture[is_peak], kind="stable")]


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
# How sure are the ratios? Draw the structures again, with repetition, a thousand times.


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
# draws: <!--=maps.removal.random_peaks.ratio.low:.0f-->…<!--/--> to <!--=maps.removal.random_peaks.ratio.high:.0f-->…<!--/-->). But most of these are grain. Compared
# with eight random reflections of the crystal the factor is <!--=maps.removal.random_reflections.ratio:.1f-->…<!--/-->, with the peaks that
# random weights mark <!--=maps.removal.highlighted_random_weights.ratio:.1f-->…<!--/-->, and with the brightest
# peaks <!--=maps.removal.brightest_peaks.ratio:.1f-->…<!--/-->: to be bright is most of what makes a peak needed.
#
# **Second: do the maps depend on what the network learned?** A map that looks the same with random weights shows the picture, not the
# network. The number is the correlation of the heat, over the pixels of the ring, with the heat of the trained network. The network of
# the other split started from the same weights, so its start is compared, too.


# %%
def similarity(first, second):
    """Mean over the structures of the correlation over the ring; an empty map correlates with nothing."""
    a, b = (stack.sum(axis=-1)[:, ring] for stack in (first, second))
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (a, b))
    scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.mean(np.sum(a * b, axis=1) / np.where(scale > 0, scale, np.inf))


others = {
    "same start,\nother split": heat(other_split, last),
    "its start,\nuntrained": heat(networks.table_1_network(seed=seed), last),
    "random weights": heats["random weights"],
    "compact,\ntrained": heat(compact, "relu_3"),
    "the picture": images,
}
similar = {name: similarity(heats["trained"], stack) for name, stack in others.items()}
pd.Series(similar, name="correlation").rename(lambda name: name.replace("\n", " ")).to_frame().style.format("{:.2f}")

# %% [markdown]
# **Third: do the maps mark reflections of the crystal?** Each crystal's own reflections give the pixels, channel by channel, within
# two pixels of an allowed one. Compared: the share of the ring that they cover, the share of the brightness, and the shares of the heat of
# the trained network and of random weights, all of it counted, also what lies outside the ring.

# %%
near = np.array([near_reflections(table) for table in tables])


def share(pictures, where=near):
    """Share of each picture (n, 64, 64, 3) that lies in a region."""
    total = pictures.sum(axis=(1, 2, 3))
    return (pictures * where).sum(axis=(1, 2, 3)) / np.where(total > 0, total, np.nan)


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
print(f"{outside:.0%} of the trained network's heat lies outside the ring, where the picture is dark")
by_class.style.format("{:.0%}")

# %%
colors = dict(zip(accuracy.columns, ["tab:red", "tab:pink", "tab:orange", "tab:green", "tab:blue", "0.5"]))
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), width_ratios=[1.35, 0.9, 1.15])
for name, color in colors.items():
    axes[0].plot(np.arange(len(counts)), accuracy[name], "o-", color=color, label=name.replace("_", " "))
axes[0].set(xticks=range(len(counts)), xticklabels=counts, xlabel="places erased", ylabel="accuracy", ylim=(0, 1.03))
axes[0].legend(fontsize=7)
axes[1].barh(list(similar), similar.values(), color="tab:purple")
axes[1].invert_yaxis()
axes[1].set(xlabel="correlation with the map", xlim=(min(0, *similar.values()), 1))
by_class.plot.bar(ax=axes[2], color=["0.8", "tab:green", "tab:red", "tab:pink"], width=0.85, ylim=(0, 1.2))
axes[2].set(ylabel="share near allowed reflections", xlabel="")
axes[2].tick_params(axis="x", rotation=45)
axes[2].legend(loc="upper center", ncols=2, fontsize=7)
for ax, letter in zip(axes, "ABC"):
    ax.set_title(letter, loc="left", fontweight="bold")
run.save_figure(figure, "fig_09_is_it_true")

# %% [markdown]
# *A: accuracy when places are erased; random ones are means of two draws. B: how much the maps resemble other maps and the picture. C: how much of the ring, of
# the brightness and of the maps lies within two pixels of the crystal's allowed reflections.*
#
# B: the maps of two trainings from one start agree (<!--=maps.similarity.other_split:.2f-->…<!--/-->) more than with the untrained
# start (<!--=maps.similarity.start:.2f-->…<!--/-->): the difference was learned. The rest is the start and the
# picture (<!--=maps.similarity.picture:.2f-->…<!--/-->), and maps of another design, the compact network, are others
# altogether (<!--=maps.similarity.compact:.2f-->…<!--/-->) though its answers are as right. C: of the
# heat, <!--=maps.near_reflections.trained:.0%-->…<!--/--> lies near allowed reflections,
# on <!--=maps.near_reflections.area:.0%-->…<!--/--> of the area. But with random weights it
# is <!--=maps.near_reflections.random_weights:.0%-->…<!--/-->: that maps mark reflections shows that reflections are bright, not that the
# network knows crystallography.
#
# ## The compact network
#
# Its kernels are wider apart: the first takes every fourth pixel, so its maps are coarser. **Predict:** does it look at the same peaks?

# %%
figure, axes = plt.subplots(3, len(CLASSES), figsize=(9, 4.2))
for label, index in example.items():
    rows = heats["trained"][index], others["compact,\ntrained"][index], heats["random weights"][index]
    for ax, picture in zip(axes[:, label], rows):
        plots.draw_fingerprint(visible(picture), ax, gamma=0.5)
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    axes[0, label].set_title(CLASSES[label], color=plots.CLASS_COLORS[label])
for ax, name in zip(axes[:, 0], ("Table 1", "compact", "random weights")):
    ax.set_ylabel(name)
run.save_figure(figure, "fig_08b_other_networks")

# %% [markdown]
# *Maps of the last convolution of the network of Table 1, of the compact network, and of the network of Table 1 with random weights, for one
# crystal of every class.* A
# kernel of the compact network sees less than half of the picture's edge, and its stride of four leaves a grid: its maps are patches,
# less to look at, from a network that is right as often. A pretty map is no measure of a network.

# %%
run.save_results(
    {
        "maps.keract.largest_difference": keract_difference,
        "maps.structures": len(images),
        "maps.filters": n_filters,
        "maps.empty": int((heats["trained"].max(axis=(1, 2, 3)) == 0).sum()),
        **{f"maps.removal.{name}.accuracy_{n}": accuracy.loc[n, name] for name in accuracy for n in counts},
        **{f"maps.removal.{name}.loss_8": accuracy.loc[0, name] - accuracy.loc[8, name] for name in accuracy},
        **{f"maps.removal.{name}.ratio": ratios.loc["ratio", name] for name in ratios},
        **{f"maps.removal.{name}.ratio.{end}": ratios.loc[end, name] for name in ratios for end in ("low", "high")},
        "maps.highlighted_among_brightest": overlap,
        **dict(
            zip(
                [f"maps.similarity.{k}" for k in ("other_split", "start", "random_weights", "compact", "picture")],
                similar.values(),
            )
        ),
        **{f"maps.near_reflections.{name.replace(' ', '_')}": agreement[name].mean() for name in agreement},
        "maps.heat_outside_ring": outside,
    }
)

# %% [markdown]
# ## Exercises
#
# Write down what you expect, then run. The solutions are folded.
#
# ### Exercise 1: Does a map know the answer?
#
# Copy the network of Table 1 and shuffle the weights of its last two layers, `dense` and `probabilities`. **Predict:** what becomes of its
# accuracy, and what of its maps of the last convolution? Hint: `keras.models.clone_model`, `get_weights`, `set_weights`.

# %% tags=["hide-cell"]
# @title Solution 1
shuffled = keras.models.clone_model(table_1)
shuffled.set_weights(table_1.get_weights())
dice = np.random.default_rng(seed)
for top in (shuffled.get_layer("dense"), shuffled.get_layer("probabilities")):
    top.set_weights([dice.permutation(w.ravel()).reshape(w.shape) for w in top.get_weights()])
seven = images[[*example.values()]]
differ = np.ptp([attentive_response_maps(m, seven, last, n_filters)[0] for m in (table_1, shuffled)], axis=0).max()
told = inference.predict(shuffled, images).argmax(axis=1)
print(f"accuracy {intact.mean():.0%}, then {np.mean(told == labels):.0%}; largest difference of a map: {differ:g}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# The answers are lost, and the maps stay as they are to the last digit. A map starts from the strongest response of a convolution; what the
# layers above make of that does not enter. It shows what the convolutions respond to, whatever the answer; why it is this class and
# no other, such a map cannot be asked. (Methods that start from the output, like Grad-CAM, can.)
#
# </details>
#
# ### Exercise 2: Is the map of a symmetric picture symmetric?
#
# Left and right of a fingerprint are mirror images, but for the grain of the vacancies. **Predict:** are they so in the map? Hint:
# `similarity` compares two stacks of pictures; `heats["trained"]` are the maps, `images[:, :, ::-1]` the mirror images.

# %% tags=["hide-cell"]
# @title Solution 2
stacks = {"picture": images, "Table 1": heats["trained"], "compact": others["compact,\ntrained"]}
mirror = {
    name: [similarity(stack[labels == label], stack[labels == label][:, :, ::-1]) for label in example]
    for name, stack in stacks.items()
}
pd.DataFrame(mirror, index=CLASSES).style.format("{:.2f}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# No: for some classes a map and its mirror image have little in common, above all in the compact network. A convolution treats every place
# alike, but not left and right: its kernels are not symmetric. Of two equivalent peaks a network may as well use one only, and that it
# ignores the other says something about its weights, nothing about the crystal. (In a small run the network of Table 1 has learned
# little and is more symmetric.)
#
# </details>
#
# ### Exercise 3: Where do the answers go?
#
# Without its eight brightest peaks a crystal is often taken for another one. **Predict:** for one of like structure, for any, or always for
# the same? And which class does an all-black picture get? Hint: `erased(image, places)`, `draws[0][i]["brightest_peaks"]`, `pd.crosstab`.

# %% tags=["hide-cell"]
# @title Solution 3
dimmed = np.array([erased(image, p["brightest_peaks"][:8]) for image, p in zip(images, draws[0])])
black = inference.predict(table_1, 0 * dimmed[:1]).argmax()
told = inference.predict(table_1, dimmed).argmax(axis=1)
print(f"black is called {CLASSES[black]}")
pd.crosstab(np.array(CLASSES)[labels], np.array(CLASSES)[told], rownames=["true"], colnames=["without eight peaks"])

# %% [markdown]
# <details><summary>Answer</summary>
#
# Nearly all go to two or three classes, whatever the crystal. A picture with holes in place of its brightest pixels is like none that was
# trained on, and a few classes get whatever is strange, black included. The loss of accuracy in panel A thus measures two things at
# once: what the network needs, and how strange the picture has become. To part them one would train anew on pictures with holes, for
# each kind of erasing (S. Hooker et al., arXiv:1806.10758).
#
# </details>

# %% [markdown]
# ## Summary
#
# - Activations say where a layer answers; attentive response maps say which peaks, of which channel, the answer came from.
# - Whether they are true can be measured. Erasing eight marked peaks costs <!--=maps.removal.random_peaks.ratio:.0f-->…<!--/--> times as much
#   accuracy as erasing eight random ones, but only <!--=maps.removal.random_reflections.ratio:.1f-->…<!--/--> times as much as eight random
#   reflections, and about as much as the eight brightest.
# - That a map lies on reflections is no proof: a map of random weights does so, too.
#
# Next: [06 Unsupervised clustering](06_unsupervised_clustering.ipynb) does without labels.
