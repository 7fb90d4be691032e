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

# %%
import tempfile
from pathlib import Path

import keract
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import ndimage

from xtalsight import crystals, dataset, networks, plots, store
from xtalsight.crystals import CLASSES
from xtalsight.fingerprints import DiffractionGeometry, length_scale, reflections
from xtalsight.profiles import Run
from xtalsight.response_maps import attentive_response_maps, get_activations

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of the random choices
threads = 2  # of TensorFlow
n_filters = 4  # strongest filters of each layer, as in the paper
per_class = 6  # structures of each class in the measurements

# %%
run = Run("05_attentive_response_maps", profile)
networks.make_reproducible(seed, threads)
ring = DiffractionGeometry().ring

# %% [markdown]
# ## The networks and what they are shown
#
# The two networks of notebook 04 that were trained on the random split, and for comparison the large one that was trained on the
# other. All they are shown here are crystals with vacancies; none of the networks was trained on those.

# %%
table_1 = keras.models.load_model(run.path("table_1.keras"))
other_split = keras.models.load_model(run.path("table_1_grouped.keras"))
compact = keras.models.load_model(run.path("compact.keras"))

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


def side_by_side(pictures, name):
    figure, axes = plt.subplots(1, len(pictures), figsize=(8.5, 2.9))
    for ax, picture, title in zip(axes, pictures, names):
        ax.imshow(picture, interpolation="antialiased")
        ax.set_title(title)
        ax.set_axis_off()
    run.save_figure(figure, name)


# %%
first = {name: stack[..., :9] for name, stack in activations.items()}
side_by_side(
    drawn_by_keract(keract.display_activations, first, cmap="viridis", fig_size=(5, 4.5)), "fig_07_activations"
)

# %% [markdown]
# *Activations of the first nine kernels of the first, third and sixth convolution (which has eight), for a hex/rh crystal, drawn by
# keract.* The first layer sharpens or blurs the picture; the sixth has sixteen pixels an edge, and each of its kernels
# answers to a whole region. Dark panels are kernels that found nothing.
#
# What keract collects is what the network computes:

# %%
outputs = keras.Model(table_1.inputs, [table_1.get_layer(name).output for name in names])
expected = outputs.predict(hexagonal[None], verbose=0)
keract_difference = max(np.abs(activations[name] - e).max() for name, e in zip(names, expected))
print(f"largest difference between keract and the model's own outputs: {keract_difference:.1e}")

# %% [markdown]
# keract can also lay the activations of a layer over the picture, all its kernels together:

# %%
alive = {name: stack[..., stack.max(axis=(0, 1, 2)) > 0] for name, stack in activations.items()}
side_by_side(drawn_by_keract(keract.display_heatmaps, alive, hexagonal**0.25, merge_filters=True), "fig_07b_heat_maps")

# %% [markdown]
# *Heat maps by keract: red is active.* They say where a layer is active, but not which pixels made it so.
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
def visible(response_map):
    """The positive part of a response map, its brightest pixel 1."""
    positive = np.maximum(response_map, 0)
    return positive / max(positive.max(), np.finfo(np.float32).tiny)


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
# *From one answer back to the picture.* A kernel of the last layer has seen nearly the whole picture, and what comes back is a
# handful of peaks, each in the colour of the channel it was read in.
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
# over all layers. Red, green and blue tell the rotation channel.* The first layers answer to single bright spots. Deeper layers gather
# more and more peaks. Which channel dominates is this network's own choice; another training may prefer another.
#
# The maps kernel by kernel, as the paper shows them:

# %%
for label, index in example.items():
    figure, axes = plt.subplots(n_filters, len(convolutions), figsize=(7.5, 1.25 * n_filters + 0.3), squeeze=False)
    for row in range(n_filters):
        draw_row(axes[row], label, [visible(layer_maps[name][label, row]) for name in convolutions], 6 * [0.5])
        axes[row, 0].set_ylabel("")
    figure.suptitle(f"{CLASSES[label]}: the strongest kernels (rows) of each convolution (columns)", fontsize=9)
    run.save_figure(figure, f"fig_08_kernels_{CLASSES[label].replace('/', '_')}")

# %% [markdown]
# ## Which reflections are these?
#
# A bright spot has a name: the lattice planes *hkl* that reflect there. The crystal tells where its reflections lie, by the same
# scattering vectors that made the fingerprint, and which of them are extinct by symmetry.

# %%
cells = {label: crystals.conventional_cell(crystals.primitive_cell(sample.iloc[i])) for label, i in example.items()}
whole = {label: crystals.build_crystal({**sample.iloc[i], "vacancy_ratio": 0}) for label, i in example.items()}


def extent(cluster):
    """Edge of a cluster of atoms, in nearest-neighbour distances."""
    return cluster.get_volume() ** (1 / 3) / length_scale(cluster)


# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.3))
for ax, label in zip(axes, (0, 4, 5)):
    table = reflections(cells[label], extent(whole[label]))
    plots.draw_fingerprint(images[example[label]], ax, channel=2)
    plots.draw_reflections(table[table.channel == 2], ax)
    ax.set_title(f"{CLASSES[label]}, blue channel", color=plots.CLASS_COLORS[label])
run.save_figure(figure, "fig_09a_indexed_peaks")

# %% [markdown]
# *The blue channel of fingerprints with vacancies, and circles where the crystal has allowed reflections. One circle of each family has
# its indices.*
#
# ## Is the explanation true?
#
# A map can be pretty and wrong. Three questions, none of which the sources ask. All are put to maps of the last convolution, summed
# over its strongest kernels, over the channels and nowhere negative: the *heat* of a pixel.


# %%
def heat(model, layer, images):
    maps = attentive_response_maps(model, images, layer, n_filters)[0]
    return np.maximum(maps, 0).sum(axis=(1, 4))  # (n, 64, 64)


heats = heat(table_1, last, images)
heats.shape, int((heats.max(axis=(1, 2)) == 0).sum())  # the second: structures whose map is empty


# %% [markdown]
# **First: does the network need what the map marks?** Erase discs of five pixels' width from the picture: at the hottest peaks of the
# map, at the brightest peaks of the picture, at random ones of its peaks, at random pixels of the ring. **Predict:** which of the
# four hurts most? And how many random peaks does the network miss before it notices?


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
def chosen_places(image, heat, rng):
    bright = peaks(image.sum(axis=-1))
    return {
        "highlighted": peaks(heat),
        "brightest_peaks": bright,
        "random_peaks": rng.permutation(bright),
        "random_pixels": rng.permutation(np.argwhere(ring)),
    }


places = [
    chosen_places(image, h, np.random.default_rng([seed, i]))
    for image, h, i in zip(images, heats, sample.id, strict=True)
]
pd.DataFrame({name: [len(p[name]) for p in places] for name in places[0]}).describe().loc[["min", "50%", "max"]]


# %%
def accuracy_without(name, n):
    """Accuracy when the first n places of a kind are erased from every fingerprint."""
    changed = np.array([erased(image, p[name][:n]) for image, p in zip(images, places)]) if n else images
    return np.mean(networks.predict(table_1, changed).argmax(axis=1) == labels)


counts = [0, 1, 2, 4, 8, 16, 32]
whole_accuracy = accuracy_without("highlighted", 0)
accuracy = pd.DataFrame(
    {name: [whole_accuracy, *(accuracy_without(name, n) for n in counts[1:])] for name in places[0]}, index=counts
)
accuracy.rename_axis("removed").style.format("{:.1%}")

# %%
loss = accuracy.loc[0] - accuracy
ratio = loss.highlighted[8] / loss.random_peaks[8] if loss.random_peaks[8] > 0 else np.nan
print(
    f"8 removed: highlighted cost {loss.highlighted[8]:.1%}, random peaks {loss.random_peaks[8]:.1%}, ratio {ratio:.1f}"
)

# %% [markdown]
# What the map marks is needed, and random peaks are hardly missed. But the brightest peaks are missed as much: the map is true, and for
# the network of the paper it says little more than that bright peaks count. If it does better anywhere, it is in the first one or two.
#
# **Second: do the maps depend on what the network learned?** A map that looks the same with random weights shows the picture,
# not the network. The number is the correlation of the heat, over the pixels of the ring, with the heat of the trained network.


# %%
def similarity(first, second):
    """Mean over the structures of the correlation over the ring; an empty map correlates with nothing."""
    a, b = (stack[:, ring] - stack[:, ring].mean(axis=1, keepdims=True) for stack in (first, second))
    scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.mean(np.sum(a * b, axis=1) / np.where(scale > 0, scale, np.inf))


random_heats = heat(networks.table_1_network(seed=seed + 1), last, images)
similar = {
    "same network, trained on the other split": similarity(heats, heat(other_split, last, images)),
    "compact network": similarity(heats, heat(compact, "relu_3", images)),
    "random weights": similarity(heats, random_heats),
    "the picture itself": similarity(heats, images.sum(axis=-1)),
}
pd.Series(similar, name="correlation").to_frame().style.format("{:.2f}")

# %% [markdown]
# **Third: do the maps mark reflections of the crystal?** Each crystal's own reflections give the pixels, channel by channel, within
# two pixels of an allowed one. Compared: the share of the ring that they cover, the share of the brightness, the share
# of the heat.


# %%
def near_reflections(recipe):
    """Pixels (64, 64, channel) within two pixels of an allowed reflection."""
    cell = crystals.conventional_cell(crystals.primitive_cell(recipe))
    table = reflections(cell, extent(crystals.build_crystal({**recipe, "vacancy_ratio": 0})))
    row, column = np.indices(ring.shape) - (len(ring) - 1) / 2
    near = np.zeros((*ring.shape, 3), bool)
    for x, y, channel in table[["x", "y", "channel"]].drop_duplicates().to_numpy():
        near[..., int(channel)] |= np.hypot(column - x, row - y) < 2
    return near & ring[..., None]


near = np.array([near_reflections(recipe) for recipe in sample.to_dict("records")])


# %%
def share(pictures):
    """Share of each picture (n, 64, 64, 3) that lies near allowed reflections."""
    total = pictures.sum(axis=(1, 2, 3))
    return (pictures * near).sum(axis=(1, 2, 3)) / np.where(total > 0, total, np.nan)


trained_maps = np.maximum(attentive_response_maps(table_1, images, last, n_filters)[0], 0).sum(axis=1)
agreement = pd.DataFrame(
    {
        "area": near.mean(axis=(1, 2, 3)) / ring.mean(),
        "brightness": share(images),
        "heat": share(trained_maps * ring[..., None]),
    }
)
by_class = agreement.groupby(labels).mean().rename(index=dict(enumerate(CLASSES)))
by_class.style.format("{:.0%}")

# %%
colors = {"highlighted": "tab:red", "brightest_peaks": "tab:orange", "random_peaks": "tab:blue", "random_pixels": "0.5"}
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.1), width_ratios=[1.25, 1, 1.15])
for name, color in colors.items():
    axes[0].plot(np.arange(len(counts)), accuracy[name], "o-", color=color, label=name.replace("_", " "))
axes[0].set(xticks=range(len(counts)), xticklabels=counts, xlabel="places erased", ylabel="accuracy", ylim=(0, 1.03))
axes[0].legend()
axes[1].barh(["other split", "compact", "random weights", "picture"], similar.values(), color="tab:purple")
axes[1].invert_yaxis()
axes[1].set(xlabel="correlation with the map", xlim=(min(0, min(similar.values())), 1))
by_class.plot.bar(ax=axes[2], color=["0.8", "tab:green", "tab:red"], width=0.8, ylim=(0, 1.15))
axes[2].set(ylabel="share near allowed reflections", xlabel="")
axes[2].tick_params(axis="x", rotation=45)
axes[2].legend(loc="upper center", ncols=3, columnspacing=1)
for ax, letter in zip(axes, "ABC"):
    ax.set_title(letter, loc="left", fontweight="bold")
run.save_figure(figure, "fig_09_is_it_true")

# %% [markdown]
# *A: accuracy when places are erased. B: how much the maps resemble those of other networks, of random weights, and the picture. C: how
# much of the ring, of the brightness and of the maps lies within two pixels of the crystal's allowed reflections.*
#
# B: the maps of two trainings agree (<!--=maps.similarity.other_split:.2f-->…<!--/-->) more than those of the trained network and of
# random weights (<!--=maps.similarity.random_weights:.2f-->…<!--/-->), so they show what was learned. But much of what they show is the
# picture (<!--=maps.similarity.picture:.2f-->…<!--/-->). C: <!--=maps.near_reflections.heat:.0%-->…<!--/--> of the heat lies near allowed
# reflections, on <!--=maps.near_reflections.area:.0%-->…<!--/--> of the area: the network looks where a crystallographer would, though
# less sharply than the brightness itself (<!--=maps.near_reflections.brightness:.0%-->…<!--/-->). A kernel sees in steps of the pooling, and
# what comes back through it is smeared.
#
# ## The compact network
#
# Its kernels are wider apart: the first takes every fourth pixel, so its maps are coarser. **Predict:** does it look at the same peaks?

# %%
figure, axes = plt.subplots(2, len(CLASSES), figsize=(9, 2.9))
for label, index in example.items():
    small = attentive_response_maps(compact, images[index], "relu_3", n_filters)[0][0].sum(axis=0)
    for ax, picture in zip(axes[:, label], (visible(layer_maps[last][label].sum(axis=0)), visible(small))):
        plots.draw_fingerprint(picture, ax, gamma=0.5)
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    axes[0, label].set_title(CLASSES[label], color=plots.CLASS_COLORS[label])
axes[0, 0].set_ylabel("Table 1")
axes[1, 0].set_ylabel("compact")
run.save_figure(figure, "fig_08b_compact_network")

# %% [markdown]
# *Maps of the last convolution of the network of Table 1 (above) and of the compact network (below), for one crystal of every class.* A
# kernel of the compact network sees less than half of the picture's edge, and its stride of four leaves a grid: its maps are patches,
# less to look at, from a network that is right as often. A pretty map is no measure of a network.

# %%
run.save_results(
    {
        "maps.keract.largest_difference": keract_difference,
        "maps.structures": len(images),
        "maps.filters": n_filters,
        "maps.empty": int((heats.max(axis=(1, 2)) == 0).sum()),
        **{f"maps.removal.{name}.accuracy_{n}": accuracy.loc[n, name] for name in accuracy for n in counts},
        **{f"maps.removal.{name}.loss_8": loss.loc[8, name] for name in accuracy},
        "maps.removal.ratio_8": ratio,
        "maps.similarity.other_split": similar["same network, trained on the other split"],
        "maps.similarity.compact": similar["compact network"],
        "maps.similarity.random_weights": similar["random weights"],
        "maps.similarity.picture": similar["the picture itself"],
        **{f"maps.near_reflections.{name}": agreement[name].mean() for name in agreement},
    }
)

# %% [markdown]
# ## Summary
#
# - Activations say where a layer answers; attentive response maps say which peaks, of which channel, the answer came from.
# - Whether the maps are true can be measured, and is measured here: by erasing what they mark, by taking away what the network
#   learned, and by asking the crystal where its reflections are.
# - Erasing eight marked peaks costs <!--=maps.removal.ratio_8:.0f-->…<!--/--> times as much accuracy as erasing eight random ones, and as much
#   as erasing the eight brightest.
#
# Next: [99 Report](99_report.ipynb) collects the numbers and figures.
