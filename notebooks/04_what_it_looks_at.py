# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does the network look at?
#
# **In:** the networks of [03](03_a_network_learns.ipynb) and the defective
# [fingerprints](../docs/glossary.md#fingerprint) of [02](02_fingerprints.ipynb). **Out:** activations, attentive
# response maps, and names for the peaks that they mark.
#
# **Result:** at a few peaks, most of them bright. Erase the eight that the maps mark most strongly, and the network of
# the paper loses <!--=maps.removal.highlighted.loss_8:.0%-->58%<!--/--> of its accuracy; erase eight random peaks, and
# it loses <!--=maps.removal.random_peaks.loss_8:.0%-->1%<!--/-->. But the peaks that maps of random weights mark
# cost <!--=maps.removal.highlighted_random_weights.loss_8:.0%-->46%<!--/-->, too: it takes no learning to find peaks that
# matter ([evidence](15_response_maps_tested.ipynb)).
#
# ![Response maps of every class](../figures/fig_08_response_maps.png)
#
# **Time:** <!--=time.04_what_it_looks_at.seconds:.0f-->17<!--/--> s on two cores.

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
from unittest import mock

import keract
import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colormaps

from xtalsight import crystals, dataset, inference, networks, plots, store
from xtalsight.crystals import CLASSES
from xtalsight.fingerprints import length_scale, reflections
from xtalsight.response_maps import attentive_response_maps, get_activations
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of the random choices
threads = 2  # of TensorFlow
n_filters = 4  # strongest kernels of each layer, as in the paper

# %%
run = Run("04_what_it_looks_at", profile)
run.needs("03_a_network_learns")
networks.make_reproducible(seed, threads)

# %% [markdown]
# ## A network and what we show it
#
# We take the network of the paper, trained on pristine crystals, and show it one crystal of every
# [class](../docs/glossary.md#class) with a quarter of its atoms missing.

# %%
table_1 = networks.load(run.path("table_1.keras"))
recipes = store.load_table(run.path("recipes_vacancies.csv"))
images = dataset.read_fingerprints(run.path("fingerprints_vacancies.zarr"))
complete = np.isfinite(images[:, 0, 0, 0])
sample = recipes[complete].sample(frac=1, random_state=seed).groupby("label").head(1).sort_values("label")
images, labels = images[sample.index], sample.label.to_numpy()
sample[["prototype", "element", "c_over_a"]].set_axis(CLASSES).style.format(precision=2, na_rep="–")

# %%
hexagonal = images[CLASSES.index("hex/rh")]
figure, ax = plt.subplots(figsize=(3, 3))
ax.set_title(f"hex/rh: {' × '.join(map(str, hexagonal.shape))} numbers")
ax = plots.draw_fingerprint(hexagonal, ax)

# %% [markdown]
# ## What is an activation?
#
# A convolution slides its kernels over the image. At each place a kernel multiplies the pixels by its weights and adds
# them up; the ReLU keeps the sum if it is positive. The result, one image per kernel, is the *activation*: bright
# where the kernel found what it looks for. The library keract collects activations. It was written for an older Keras,
# so we replace the one call that Keras 3 no longer has.


# %%
def evaluate(model, nodes, x, *_, **__):
    """What keract asks of Keras, in the words of Keras 3: the outputs of some layers."""
    return [np.array(output) for output in keras.Model(model.input, list(nodes))(x)]


names = ["convolution_1", "convolution_3", "convolution_6"]
with mock.patch("keract.keract._evaluate", evaluate):
    activations = keract.get_activations(table_1, hexagonal[None], layer_names=names)
{name: stack.shape for name, stack in activations.items()}

# %% [markdown]
# Does keract collect what the network computes?

# %%
outputs = keras.Model(table_1.input, [table_1.get_layer(name).output for name in names])
expected = outputs.predict(hexagonal[None], verbose=0)
keract_difference = max(np.abs(activations[name] - e).max() for name, e in zip(names, expected))
print(f"largest difference: {keract_difference:.1e}")
assert keract_difference < 1e-4

# %% [markdown]
# keract also draws them. **Predict:** will the sixth convolution still show peaks?

# %%
# Nine kernels, each by its own maximum so that keract's colour bar holds for all; row 0 below, as in the other figures.
first = {name.replace("_", " "): stack[:, ::-1, :, :9] for name, stack in activations.items()}
first = {name: stack / np.maximum(stack.max(axis=(1, 2), keepdims=True), 1e-9) for name, stack in first.items()}
with tempfile.TemporaryDirectory() as folder, plt.rc_context({"figure.constrained_layout.use": False}):
    keract.display_activations(first, cmap="viridis", fig_size=(2.9, 2.6), save=True, directory=folder)
    drawn = [plt.imread(file) for file in sorted(Path(folder).glob("*.png"))]

# %%
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.5))
for ax, panel in zip(axes, drawn):
    ax.imshow(panel, interpolation="antialiased")
    ax.set_axis_off()
run.save_figure(figure, "fig_07_activations")

# %% [markdown]
# *Activations of nine kernels of the first, third and sixth convolution (which has eight), drawn by keract, each
# relative to its own maximum.* The first layer sharpens or blurs the fingerprint. The sixth has only sixteen pixels
# along an edge; its peaks are gone, and each kernel answers to a whole region. A dark panel is a kernel that found
# nothing. An activation says where a layer answers, but not which pixels made it answer.
#
# ## One step back, by hand
#
# So we follow one answer back. Take the kernel of the last convolution with the largest total activation, and keep
# only the place where it answers most strongly.

# %%
chain = table_1.layers[1:9]  # six convolutions and two poolings
forward = {name: stack[0] for name, stack in get_activations(table_1, hexagonal, [x.name for x in chain]).items()}
last = chain[-1]
answer = forward[last.name]
strongest = answer.sum(axis=(0, 1)).argmax()
row, column = np.unravel_index(answer[..., strongest].argmax(), answer.shape[:2])
print(f"{last.name}, kernel {strongest}: {answer[row, column, strongest]:.3f} in row {row}, column {column}")

# %% [markdown]
# On the way up, this kernel multiplied 7 × 7 pixels of eight channels by its weights. On the way back, each of these
# pixels gets the answer times the same weight: we stamp the kernel onto the place. That is all a *deconvolution* is.

# %%
padded = np.zeros((16 + 6, 16 + 6, 8))  # three pixels more on each side
kernel = last.kernel.numpy()[..., strongest]  # 7 × 7 × 8
padded[row : row + 7, column : column + 7] = answer[row, column, strongest] * kernel
by_hand = padded[3:-3, 3:-3]

# %% [markdown]
# The library's `attentive_response_maps` does the same. To check this one step, we give it a network that consists of
# the last convolution only:

# %%
only_last = keras.models.clone_model(keras.Model(last.input, last.output))
only_last.set_weights(last.get_weights())
maps, _ = attentive_response_maps(only_last, forward["convolution_5"], last.name, n_filters=1)
assert np.allclose(by_hand, maps[0, 0], atol=1e-6 * np.abs(by_hand).max())


# %% [markdown]
# ## All the way back
#
# One layer down there are many answers, and we need three rules. *ReLU:* drop what is negative or was not active on
# the way up. *Convolution:* stamp all answers and add them up. *Pooling:* repeat a pooled pixel over the four pixels
# that it stood for.


# %%
def back_through(layer, signal, output):
    """Take a signal from the output of a layer to its input; both are (rows, columns, channels)."""
    if isinstance(layer, keras.layers.MaxPooling2D):
        return signal.repeat(2, axis=0).repeat(2, axis=1)
    signal = np.where(output > 0, np.maximum(signal, 0), 0)
    padded = np.zeros((len(signal) + 6, len(signal) + 6, layer.input.shape[-1]))
    for i, j in np.ndindex(7, 7):
        padded[i : i + len(signal), j : j + len(signal)] += signal @ layer.kernel.numpy()[i, j].T
    return padded[3:-3, 3:-3]


# %% [markdown]
# **Predict:** will one place light up at the input, or many?

# %%
signal = np.zeros_like(answer)
signal[row, column, strongest] = answer[row, column, strongest]
steps = {"the answer": signal}
for layer in chain[::-1]:
    steps[layer.name] = signal = back_through(layer, signal, forward[layer.name])
maps, filters = attentive_response_maps(table_1, hexagonal, last.name, n_filters)
assert np.allclose(steps[last.name], by_hand) and filters[0, 0] == strongest
assert np.allclose(signal, maps[0, 0], atol=1e-4 * np.abs(signal).max())  # float32 there, float64 here

# %%
figure, axes = plt.subplots(2, 4, figsize=(7.2, 3.9))
shown = ["the answer", *(layer.name for layer in chain[::-1] if "convolution" in layer.name)]
for ax, name in zip(axes.flat, shown):
    positive = np.maximum(steps[name], 0).sum(axis=-1)
    ax.imshow(np.sqrt(positive / positive.max()), origin="lower")
    ax.set_title(f"{'before ' * (name != 'the answer')}{name.replace('_', ' ')}", fontsize=9)
plots.draw_fingerprint(hexagonal, axes[1, 3])
axes[1, 3].set_title("the fingerprint", fontsize=9)
for ax in axes.flat:
    ax.set_axis_off()
run.save_figure(figure, "fig_08f_by_hand")

# %% [markdown]
# *One answer on its way back: the square root of its positive part, summed over the channels, each panel relative to
# its own maximum. "Before convolution 1" is the attentive response map.* Many places: a kernel of the last layer sees
# nearly the whole fingerprint. What arrives is a set of peaks on a smear. Is pooling to blame for the smear, since it
# makes the image coarse? Exercise 3 finds out.
#
# ## Every class
#
# Now we sum the maps of the four strongest kernels, for every convolution. A map has the three channels of the
# fingerprint: red, green and blue say about which axis the crystal was rotated. **Predict:** which colour will the
# maps have?

# %%
convolutions = [layer.name for layer in chain if "convolution" in layer.name]
layer_maps = {
    name: np.maximum(attentive_response_maps(table_1, images, name, n_filters)[0].sum(axis=1), 0)
    for name in convolutions
}

# %%
start = networks.table_1_network(seed=seed)  # the weights that training began with
other = networks.table_1_network(seed=seed + 1)
stacks = {"fingerprints": images, "trained": layer_maps[last.name]}
for name, network in (("start", start), ("other_start", other)):
    stacks[name] = np.maximum(attentive_response_maps(network, images, last.name, n_filters)[0].sum(axis=1), 0)
colors = {name: stack.sum(axis=(0, 1, 2)) / stack.sum() for name, stack in stacks.items()}
for name, (red, green, blue) in colors.items():
    print(f"{name:12}  red {red:.0%}  green {green:.0%}  blue {blue:.0%}")

# %% [markdown]
# Green: it makes up <!--=maps.colors.trained.green:.0%-->83%<!--/--> of the maps, but
# only <!--=maps.colors.fingerprints.green:.0%-->29%<!--/--> of the fingerprints. The crystals are not the cause. With
# the random weights that training began with, green already leads (<!--=maps.colors.start.green:.0%-->46%<!--/-->); with
# other random weights blue leads (<!--=maps.colors.other_start.blue:.0%-->47%<!--/-->). The colour is an accident that
# training amplified. To see where each channel is strong, we divide each by its own maximum.


# %%
def draw_scaled(response_map, ax):
    """Draw a map with each channel relative to its own maximum."""
    scaled = response_map / np.maximum(response_map.max(axis=(0, 1)), 1e-12)
    plots.draw_fingerprint(scaled, ax, gamma=0.5)


# %%
columns = {**layer_maps, "all": sum(stack / stack.max(axis=(1, 2, 3), keepdims=True) for stack in layer_maps.values())}
figure, axes = plt.subplots(7, 8, figsize=(7.5, 7))
for label, row_of_axes in enumerate(axes):
    plots.draw_fingerprint(images[label], row_of_axes[0])
    for ax, stack in zip(row_of_axes[1:], columns.values()):
        draw_scaled(stack[label], ax)
    for ax in row_of_axes:
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    row_of_axes[0].set_ylabel(CLASSES[label], color=plots.CLASS_COLORS[label])
for ax, title in zip(axes[0], ["fingerprint", *(name.replace("_", " ") for name in columns)]):
    ax.set_title(title, fontsize=8)
run.save_figure(figure, "fig_08_response_maps")

# %% [markdown]
# *For each class: a fingerprint with vacancies, the summed maps of the four strongest kernels of each convolution, and
# the sum over all layers, each divided by its maximum. Red, green and blue are the channels, in the maps each relative
# to its own maximum, brightened by a square root.* They still look green: red and blue are a few sharp peaks, green is
# also a smear between them. The maps grow from patches to the whole fingerprint, but this is not learned: a kernel of the
# first layer sees seven by seven pixels, whatever its weights. Training can change only which peaks light up within
# reach.
#
# ## Which reflections are these?
#
# A bright peak has a name: the lattice planes *hkl* that reflect there. From the crystal we compute where its
# reflections lie.


# %%
def reflections_of(recipe):
    """Allowed reflections of the whole crystal of a recipe, brightest first."""
    cell = crystals.conventional_cell(crystals.primitive_cell(recipe))
    cluster = crystals.build_crystal({**recipe, "vacancy_ratio": 0})
    return reflections(cell, cluster.get_volume() ** (1 / 3) / length_scale(cluster))


tables = [reflections_of(recipe) for recipe in sample.to_dict("records")]
tables[CLASSES.index("fcc")].drop(columns=["pattern", "miss"]).head(3).style.format(precision=2)

# %% [markdown]
# **Predict:** will fcc show 010?

# %%
figure, axes = plt.subplots(2, 4, figsize=(7.2, 4.1))
for ax, image, table, name, element, color in zip(
    axes.flat, images, tables, CLASSES, sample.element, plots.CLASS_COLORS
):
    plots.draw_fingerprint(image, ax, channel=1)
    plots.draw_reflections(table[table.channel == 1], ax, n_labels=6)
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="", xlim=(-36, 36), ylim=(-36, 36))
    ax.set_facecolor(colormaps["viridis"](0.0))
    ax.set_title(f"{name} ({element})", color=color)
axes[1, 3].set_axis_off()
scale = axes[1, 3].inset_axes([0.1, 0.05, 0.08, 0.9])
figure.colorbar(axes[0, 0].images[0], cax=scale, ticks=[0, 0.001, 0.01, 0.1, 1], label="intensity, of the maximum")
run.save_figure(figure, "fig_09a_indexed_peaks")

# %% [markdown]
# *The green channel (rotation about y) of each fingerprint. Circles: allowed reflections; among those of equal length,
# one is labelled. All panels share the scale.* fcc does not show 010: that reflection is extinct. Bright spots without
# a circle are side lobes: a small crystal surrounds each reflection with fringes. Maps favour these reflections, but
# that does not prove that the network knows crystallography: maps of random weights favour them, too
# ([evidence](15_response_maps_tested.ipynb)).

# %%
run.save_results(
    {
        "maps.keract.largest_difference": keract_difference,
        **{
            f"maps.colors.{name}.{color}": value
            for name, values in colors.items()
            for color, value in zip(("red", "green", "blue"), values)
        },
    }
)

# %% [markdown]
# ## Exercises
#
# Write down what you expect, then run. The solutions are folded.
#
# ### Exercise 1: Does a map know the answer?
#
# Copy the network and shuffle the weights of its last two layers, `dense` and `probabilities`. **Predict:** what
# happens to its answers, and to its maps of the last convolution? Hint: `keras.models.clone_model`, `get_weights`,
# `set_weights`.

# %% tags=["hide-cell"]
# @title Solution 1
shuffled = keras.models.clone_model(table_1)
shuffled.set_weights(table_1.get_weights())
dice = np.random.default_rng(seed)
for top in (shuffled.get_layer("dense"), shuffled.get_layer("probabilities")):
    top.set_weights([dice.permutation(w.ravel()).reshape(w.shape) for w in top.get_weights()])
first, second = (attentive_response_maps(m, images, last.name, n_filters)[0] for m in (table_1, shuffled))
told = [inference.predict(m, images).argmax(axis=1) for m in (table_1, shuffled)]
print(*(f"{np.sum(answers == labels)} of 7 right" for answers in told), sep=", then ")
assert np.array_equal(first, second) and np.sum(told[1] == labels) < np.sum(told[0] == labels)

# %% [markdown]
# <details><summary>Answer</summary>
#
# The answers are lost, but the maps stay the same to the last digit. A map starts from the strongest response of a
# convolution; what the layers above make of it does not enter. Such a map cannot say why the answer is this class and
# no other. (Methods that start from the output, like Grad-CAM, can.)
#
# </details>
#
# ### Exercise 2: How far does a kernel see?
#
# Work out how many pixels of the fingerprint, along one edge, a kernel of each of the first four convolutions sees.
# Then check it with maps: a network with constant weights, shown a uniform image, lights up every pixel that its
# strongest answer came from. Hint: `np.full_like`.

# %% tags=["hide-cell"]
# @title Solution 2
flat = keras.models.clone_model(table_1)
flat.set_weights([np.full_like(w, 1 / max(1, np.prod(w.shape[:-1]))) for w in table_1.get_weights()])
reach = {}
for name in convolutions:
    of_one = attentive_response_maps(flat, np.ones_like(hexagonal), name, 1)[0][0, 0]
    reach[name] = int((of_one > 0).any(axis=(0, 2)).sum())
print(reach)
assert [*reach.values()][:4] == [7, 7 + 6, 2 * 7 + 12, 2 * 13 + 12]

# %% [markdown]
# <details><summary>Answer</summary>
#
# Each convolution adds six pixels, but after a pooling each of its pixels stands for two of the fingerprint's: 7, 13,
# then 13 + 1 + 2 · 6 = 26, and 38. After the second pooling, the fifth would see 64 and the sixth 88: as much as the
# whole fingerprint, or more. The edges cut them off.
#
# </details>
#
# ### Exercise 3: Remember which pixel was the largest
#
# Zeiler and Fergus do not repeat a pooled pixel over four: they give its value back to the pixel that was the largest.
# Do the same. **Predict:** what happens to the smear? Hint: a pixel was the largest where the input of the pooling
# equals its repeated output.

# %% tags=["hide-cell"]
# @title Solution 3
signal = steps["the answer"]
for below, layer in zip([hexagonal, *forward.values()][len(chain) - 1 :: -1], chain[::-1]):
    signal = back_through(layer, signal, forward[layer.name])
    if "pooling" in layer.name:
        signal = signal * (below == forward[layer.name].repeat(2, axis=0).repeat(2, axis=1))
figure, axes = plt.subplots(1, 2, figsize=(5, 2.7))
pair = {"repeated over four": np.maximum(maps[0, 0], 0), "back to the largest": np.maximum(signal, 0)}
for ax, (title, response_map) in zip(axes, pair.items()):
    draw_scaled(response_map, ax)
    ax.set(title=title, xticks=[], yticks=[], xlabel="", ylabel="")
alike = np.corrcoef([response_map.ravel() for response_map in pair.values()])[0, 1]
print(f"correlation of the two maps: {alike:.2f}")
assert 0.5 < alike < 0.999

# %% [markdown]
# <details><summary>Answer</summary>
#
# Little: the same peaks, and a smear of dots instead of squares. Giving a value back to the right pixel moves it by
# three pixels at most. Pooling is not to blame: six convolutions in a row each spread what they get over 7 × 7 pixels.
#
# </details>

# %% [markdown]
# ## Summary
#
# - An activation says where a layer answers; an attentive response map says which peaks, in which channel, the answer
#   came from.
# - A step of deconvolution stamps the kernel, weighted by the answers, and drops what is negative or was not active.
# - The reach, smear and colour of a map come from the network's design and random start, not from the crystal. Whether
#   a map is true can be measured ([evidence](15_response_maps_tested.ipynb)).
#
# Next: [05 Can the classes be found without labels?](05_without_labels.ipynb)
