# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Can the classes be found without labels?
#
# **In:** the [fingerprints](../docs/glossary.md#fingerprint) of [02](02_fingerprints.ipynb). **Out:** three
# embeddings and their clusters, as in the report; an embedding that knows what damage is, and what is found there.
#
# **Result:** k-means with seven clusters is right for <!--=lesson.linear_pca.accuracy:.1%-->93.7%<!--/--> of the crystals
# in linear PCA and for <!--=lesson.autoencoder.accuracy:.1%-->85.3%<!--/--> in an autoencoder. HDBSCAN, which is told no
# number, finds <!--=lesson.physics.clusters-->15<!--/--> clusters, nearly one for each
# [prototype](../docs/glossary.md#prototype) (adjusted Rand index <!--=lesson.physics.ari:.3f-->0.990<!--/-->).
#
# ![Clusters in the embedding](../figures/fig_08c_embedding.png)
#
# **Time:** about <!--=time.05_without_labels.minutes:.0f-->3<!--/--> minutes on two cores; a minute with the
# parameters below, which take few crystals. The numbers in the text are those of the full run.

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
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from keras import layers
from matplotlib.patheffects import withStroke
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from xtalsight import clustering, crystals, dataset, inference, networks, plots
from xtalsight.crystals import CLASSES
from xtalsight.fingerprints import DiffractionGeometry, fingerprint
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of all random choices
threads = 2  # of TensorFlow
n_components = 50  # of linear and kernel PCA, as in the report
held_out = 0.05  # fraction of the crystals that the autoencoder is not trained on, as in the report
epochs = 60  # of the autoencoder; the report takes 10, of many more crystals
view_structures = 80  # pristine crystals from which the last embedding learns
n_views = 4  # damaged copies of each
n_jobs = -1  # processes; -1 takes every core

# %%
run = Run("05_without_labels", profile)
run.needs("02_fingerprints")
networks.make_reproducible(seed, threads)

# %% [markdown]
# ## Data
#
# A fingerprint is a point in a space of 64 × 64 × 3 dimensions, one for each pixel and channel. Crystals that look
# alike are points that lie close together. The [classes](../docs/glossary.md#class) are here only to mark the result,
# after it is there.

# %%
recipes, images, remark = dataset.load(run.path(""))
images = {state: stack.reshape(len(stack), -1) for state, stack in images.items()}
labels, pictures = recipes.label.to_numpy(), images["pristine"]
trivial = np.bincount(labels).max() / len(labels)
print(remark, f"The largest class alone would be right for {trivial:.1%}.")
pictures.shape

# %% [markdown]
# ## Fewer dimensions: linear PCA
#
# Principal component analysis turns the axes so that the first follows the greatest variance, the second the greatest
# of what is left, and so on. **Predict:** how many of the 12,288 axes hold 95 % of the variance?

# %%
pca = PCA(n_components, random_state=seed).fit(pictures)
explained = np.cumsum(pca.explained_variance_ratio_)
components_95 = int(np.argmax(explained > 0.95) + 1) if explained[-1] > 0.95 else np.nan
embeddings = {"linear PCA": pca.transform(pictures)}
print(f"95 % of the variance: {components_95} components")

# %%
figure, ax = plt.subplots()
number = np.arange(1, n_components + 1)
ax.bar(number, pca.explained_variance_ratio_, color="0.7", label="each")
ax.plot(number, explained, "o-", color="0.2", ms=3, label="together")
ax.axhline(0.95, color="0.4", ls=":", lw=1)
ax.set(xlabel="principal component", ylabel="share of the variance", ylim=(0, 1.02))
ax.set_title(f"{components_95} components hold 95 % of the variance")
ax.legend(loc="center right")
run.save_figure(figure, "fig_04_scree")

# %% [markdown]
# *Scree plot; the dotted line is 95 %.* Only <!--=clusters.pca.components_95:.0f-->7<!--/--> are needed: crystals of
# a class look alike. The report needed about 50; its crystals are real ones, with more to vary
# ([evidence](16_clusterings_compared.ipynb)).
#
# ## Bent axes: kernel PCA
#
# A kernel replaces the scalar product of two fingerprints by a function of it, here the polynomial (x·y / 12288 + 1)³
# as in the report. The axes may then bend. But for fingerprints as dark as these x·y is small, and the polynomial
# nearly a straight line. **Predict:** will it matter?

# %%
kernel_pca = KernelPCA(n_components, kernel="poly", eigen_solver="randomized", random_state=seed)
embeddings["kernel PCA"] = kernel_pca.fit_transform(pictures)

# %% [markdown]
# ## A network that copies: the autoencoder
#
# An autoencoder learns to put out what it is shown, through a bottleneck. What passes the bottleneck must sum up the
# fingerprint, and that is the embedding. The bottleneck of the report has two units. **Predict:** can two numbers say
# what a fingerprint looks like?

# %%
keras.utils.set_random_seed(seed)
x = inputs = keras.Input((64 * 64 * 3,))
for width in (128, 64):
    x = layers.Dense(width, activation="relu")(x)
x = code = layers.Dense(2, activation="relu")(x)
for width in (64, 128):
    x = layers.Dense(width, activation="relu")(x)
autoencoder = keras.Model(inputs, layers.Dense(64 * 64 * 3, activation="tanh")(x))
encoder = keras.Model(inputs, code)
f"{autoencoder.count_params():,} parameters"

# %%
train, test = dataset.split(recipes, "random", held_out, seed)
autoencoder.compile("adam", loss="mse")
fitted = autoencoder.fit(
    pictures[train],
    pictures[train],  # what goes in shall come out
    batch_size=256,
    epochs=epochs,
    validation_data=(pictures[test], pictures[test]),
    verbose=0,
)
embeddings["autoencoder"] = inference.predict(encoder, pictures)
history = fitted.history

# %%
figure, ax = plt.subplots()
plots.draw_loss({"loss": history["loss"], "validation_loss": history["val_loss"]}, ax)
ax.set_ylabel("mean squared error of a pixel")
ax.legend(["training", "validation"])
ax.set_title(f"The autoencoder learns from {len(train):,} crystals")
run.save_figure(figure, "fig_05_autoencoder_loss")

# %% [markdown]
# *Mean squared error by epoch, of training (the mean over the epoch) and on the twentieth held out.* In the end it
# is <!--=lesson.autoencoder.loss:.1e-->1.3e-04<!--/--> and <!--=lesson.autoencoder.validation_loss:.1e-->1.4e-04<!--/-->: what
# was learned holds for crystals not trained on. What comes out?

# %%
figure, axes = plt.subplots(2, 7, figsize=(7, 2.4))
for label, (above, below) in enumerate(axes.T):
    shown = pictures[np.argmax(labels == label)][None]
    for ax, picture in ((above, shown), (below, np.clip(inference.predict(autoencoder, shown), 0, 1))):
        plots.draw_fingerprint(picture.reshape(64, 64, 3), ax, gamma=0.5)
        ax.set_axis_off()
    above.set_title(CLASSES[label])

# %% [markdown]
# *A crystal of each class: what goes in (above), and what comes out (below).* Two numbers are enough for some large
# classes. The others get the fingerprint of a large one, or a mixture.
#
# ## Seven clusters
#
# k-means places seven centres and gives each crystal to the nearest; each centre then moves to the middle of its
# crystals, and so on until nothing moves. Seven is put in by hand. **Predict:** in which embedding does it do best?
# Which classes does it lose?

# %%
k_means = {name: KMeans(7, n_init=10, random_state=seed).fit(stack) for name, stack in embeddings.items()}

# %% [markdown]
# A cluster has a number, not a name. We give the seven names to the seven clusters so that as many crystals as
# possible are right, as the report does; no other permutation is better.

# %%
names, accuracy = {}, {}
for embedding, found in k_means.items():
    counts = np.array([np.bincount(labels[found.labels_ == cluster], minlength=7) for cluster in range(7)])
    _, names[embedding] = linear_sum_assignment(counts, maximize=True)  # the class of each cluster
    accuracy[embedding] = np.mean(names[embedding][found.labels_] == labels)
report = {"linear PCA": 0.8409, "kernel PCA": 0.8407, "autoencoder": 0.8681}  # CH5650
pd.DataFrame({"ours": accuracy, "report": report}).style.format("{:.1%}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.4))
order = np.random.default_rng(seed).permutation(len(labels))  # so that no class lies on top
color = np.array(plots.CLASS_COLORS)
for ax, letter, (name, stack) in zip(axes, "ABC", embeddings.items()):
    ax.scatter(*stack[order, :2].T, s=9, color=color[labels[order]], alpha=0.5, lw=0, rasterized=True)
    centres = k_means[name].cluster_centers_[:, :2].T
    ax.scatter(*centres, s=150, facecolor="none", edgecolor=color[names[name]], lw=1.8)
    ax.set_title(f"{letter}  {name}: {accuracy[name]:.1%} right")
    ax.set(xlabel="first component", ylabel="second component")
    ax.locator_params(nbins=5)
axes[2].set(xlabel="first unit of the bottleneck", ylabel="second unit")
plots.class_legend(figure, loc="outside lower center", ncols=7)
run.save_figure(figure, "fig_08_clusters")

# %% [markdown]
# *Dots: crystals, in the colour of their true class. Rings: the centres that k-means found, in the colour of the
# class that the cluster is matched with. A and B show two of fifty dimensions. Each panel has units of its own.*
# Linear and kernel PCA hardly differ, as the nearly straight polynomial let us expect. The report gives 84 % for
# these. The autoencoder depends on the seed: <!--=clusters.k_means.autoencoder_2.pristine.accuracy:.1%-->89.5%<!--/--> on
# average ± <!--=clusters.k_means.autoencoder_2.pristine.accuracy.spread:.1%-->3.7%<!--/-->; a wider bottleneck is more
# reliable ([evidence](16_clusterings_compared.ipynb)). Which cluster holds what?

# %%
pd.crosstab(recipes.prototype, pd.Series(k_means["linear PCA"].labels_, name="k-means in linear PCA"))

# %% [markdown]
# bcc, fcc, diamond and β-Sn get a cluster each, graphite one with its rhombohedral form, and hcp one with dhcp and α-Sm,
# which differ from it in the order of the same layers. The small classes are lost: sc goes to β-Sn, most of bct_139 to
# bcc, and the rest of it lies with arsenic, β-Po and α-Hg in the cluster that is named after it. Accuracy hides that,
# for the small classes count little in it.
#
# ## Show it what damage does
#
# What makes two crystals the same? Neither vacancies, nor a jitter of the atoms, a strain of a percent or the
# element. All that can be simulated without a label: we make *views* of some crystals, copies that differ in just
# these ways.

# %%
chosen = recipes.sample(min(view_structures, len(recipes)), random_state=seed).sort_index()
views = crystals.make_views(chosen, n_views, seed + 1)
views[["view_of", "element", "vacancy_ratio", "displacement", "strain"]].head(n_views)


# %%
def look_at(view):
    """Fingerprint of a view, on the ring; zero elsewhere."""
    return fingerprint(crystals.build_crystal(view))[DiffractionGeometry().ring].ravel()


seen = np.array(dataset.in_parallel(look_at, views.to_dict("records"), "views", n_jobs))

# %% [markdown]
# Now we look for the directions in which views of one crystal lie close, compared with other crystals. That is
# discriminant analysis, with every crystal as a class of its own. The square root makes weak peaks count.
# **Predict:** will clusters in it be classes, or prototypes?

# %%
n_principal = min(150, len(seen) // 4)
embedding = make_pipeline(
    FunctionTransformer(np.sqrt),
    PCA(n_principal, random_state=0),
    LinearDiscriminantAnalysis(n_components=16),
).fit(seen, views.view_of)
on_ring = np.repeat(DiffractionGeometry().ring.ravel(), 3)
physics = embedding.transform(images["vacancies"][:, on_ring]).astype(float)
physics.shape

# %% [markdown]
# We look for clusters among the crystals that lack a quarter of their atoms. HDBSCAN takes dense regions that hold at
# least fifteen crystals, however many there are; what lies between them is noise, -1. **Predict:** how many clusters?

# %%
found = HDBSCAN(min_cluster_size=15, min_samples=5, copy=True).fit_predict(physics)
n_clusters, noise = found.max() + 1, np.mean(found < 0)
ari = adjusted_rand_score(recipes.prototype, found)
print(f"{n_clusters} clusters, {noise:.2%} noise; adjusted Rand index {ari:.3f} with the prototypes")
pd.crosstab(recipes.prototype, pd.Series(found, name="HDBSCAN"))

# %% [markdown]
# The adjusted Rand index counts pairs of crystals: 1 if the clusters are the prototypes, 0 if chance does as well. It
# is <!--=lesson.physics.ari:.3f-->0.990<!--/-->: the clusters are prototypes, not classes, and no label was used. HDBSCAN
# deserves most of the credit: in linear PCA it
# reaches <!--=clusters.hdbscan.linear_PCA.vacancies.prototypes.ari:.3f-->0.983<!--/-->, with more of the prototypes cut
# in pieces but none joined to another ([evidence](16_clusterings_compared.ipynb)).
#
# For the eye we lay the sixteen dimensions flat with t-SNE, which keeps neighbours together; the distances between
# groups mean nothing.

# %%
shown = order[:3000]
flat = TSNE(random_state=seed, init="pca", perplexity=30, n_jobs=threads).fit_transform(physics[shown])
shuffled = np.random.default_rng(2).permutation(np.linspace(0, 1, n_clusters))  # so that neighbours differ in colour
cluster_color = np.vstack([plt.colormaps["viridis"](shuffled), (0.7, 0.7, 0.7, 1)])  # the last for noise, -1

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 4.6))
for ax, colors in zip(axes, (cluster_color[found[shown]], color[labels[shown]])):
    ax.scatter(*flat.T, s=9, color=colors, alpha=0.7, lw=0, rasterized=True)
    ax.set(xticks=[], yticks=[])
    ax.margins(0.1)
axes[0].set_title(f"A  {n_clusters} clusters found by HDBSCAN; noise grey")
axes[1].set_title("B  the true classes, and names of prototypes")

# %%
groups = pd.DataFrame(flat, columns=["x", "y"]).groupby(recipes.prototype.to_numpy()[shown])
middle = groups.median()
for name, group in groups:  # its name above the group, or below where the nearest group is above
    nearest = ((middle.drop(name) - middle.loc[name]) ** 2).sum(axis=1).idxmin()
    above = middle.y[name] > middle.y[nearest]
    x, y = group.loc[group.y.idxmax() if above else group.y.idxmin()]
    offset, align = ((0, 2), "bottom") if above else ((0, -2), "top")
    text = axes[1].annotate(name, (x, y), offset, textcoords="offset points", ha="center", va=align, fontsize=7)
    text.set_path_effects([withStroke(linewidth=2, foreground="white")])
plots.class_legend(figure, loc="outside lower center", ncols=7)
run.save_figure(figure, "fig_08c_embedding")

# %% [markdown]
# *Defective crystals in the embedding, laid flat by t-SNE. A: by cluster, in arbitrary colours. B: by true class,
# with the names of prototypes.* hex/rh falls apart into hcp, dhcp, graphite and others, which are indeed different
# crystals. A label for each cluster and a few more are then enough: <!--=labels.budget-->21<!--/--> labels
# name <!--=labels.clusters.vacancies:.2%-->99.78%<!--/--> of the other defective crystals correctly,
# and <!--=labels.clusters.real:.1%-->96.7%<!--/--> of the real ones ([evidence](16_clusterings_compared.ipynb)).

# %%
results = {
    "clusters.pca.components_95": components_95,
    "clusters.trivial.accuracy": trivial,
    "lesson.autoencoder.loss": history["loss"][-1],
    "lesson.autoencoder.validation_loss": history["val_loss"][-1],
    "lesson.physics.clusters": n_clusters,
    "lesson.physics.noise": noise,
    "lesson.physics.ari": ari,
}
results |= {f"lesson.{name.replace(' ', '_').lower()}.accuracy": value for name, value in accuracy.items()}
run.save_results(results)

# %% [markdown]
# ## Exercises
#
# Predict, then run. The solutions are folded.
#
# ### Exercise 1: What is a clustering worth that knows nothing?
#
# Put the crystals into seven clusters by throwing dice; all into one; each into one of its own. **Predict:**
# accuracy, purity and adjusted Rand index of these. Hint: `clustering.scores(labels, clusters)`.

# %% tags=["hide-cell"]
# @title Solution 1
many = len(labels)
senseless = {"seven at random": np.random.default_rng(seed).integers(7, size=many), "all in one": np.zeros(many, int)}
senseless["each alone"] = np.arange(many)
worth = pd.DataFrame({name: clustering.scores(labels, clusters) for name, clusters in senseless.items()}).T
assert worth.ari.abs().max() < 0.05  # nothing, by the index that knows chance
assert worth.purity["each alone"] == 1 and worth.accuracy["all in one"] == trivial
worth[["clusters", "accuracy", "balanced_accuracy", "purity", "ari"]].round(3)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Only the adjusted Rand index, which counts pairs of crystals and takes off what chance gives, is zero for all three.
# Purity rewards many clusters and is perfect for one each; accuracy rewards large classes, and all in one scores what
# the trivial answer scores. Neither means anything alone: give the number of clusters, the trivial answer and a score
# that knows chance, too.
#
# </details>
#
# ### Exercise 2: What does a principal component look like?
#
# A component is a direction in the space of fingerprints, hence a fingerprint itself, with positive and negative
# pixels. **Predict:** what do the first three show, and which prototypes lie at their ends? Hint: `pca.components_`;
# draw the two signs apart.

# %% tags=["hide-cell"]
# @title Solution 2
drawing, panels = plt.subplots(2, 3, figsize=(6, 4.4))
for place, column in enumerate(panels.T):
    places = pd.Series(embeddings["linear PCA"][:, place]).groupby(recipes.prototype).mean()
    for panel, sign, end in zip(column, (1, -1), (places.idxmax(), places.idxmin())):
        picture = np.maximum(sign * pca.components_[place], 0).reshape(64, 64, 3)
        plots.draw_fingerprint(picture / picture.max(), panel, gamma=0.5)
        panel.set(xticks=[], yticks=[], xlabel="", ylabel="")
        panel.set_title(f"component {place + 1}, {'+' if sign > 0 else '−'}: {end}", fontsize=8)
assert np.allclose(pca.components_ @ pca.components_.T, np.eye(n_components), atol=1e-4)  # at right angles, of length 1

# %% [markdown]
# <details><summary>Answer</summary>
#
# Each sign shows the peaks of the prototypes at that end: the first component weighs the peaks of one large class
# against those of another, and its value says which of the two a fingerprint has. (Which end is positive is
# arbitrary.) PCA looks for the greatest variance, and that lies between the most frequent prototypes. Four simple
# cubic crystals move no component, and so they are lost before the clustering starts.
#
# </details>

# %% [markdown]
# ## Summary
#
# - k-means with seven clusters finds the large classes, in linear PCA
#   for <!--=lesson.linear_pca.accuracy:.1%-->93.7%<!--/--> of the crystals (the report: 84.09 %), and loses the small
#   ones.
# - HDBSCAN, which takes clusters of any shape and number, finds nearly every prototype without a label; an embedding
#   that has been shown what damage does adds little to that.
# - Accuracy alone says little: ask for the number of clusters, for the trivial answer, and for a score that knows
#   chance.
#
# Next: [06 Damage](06_damage.ipynb) takes atoms away until a network fails.
