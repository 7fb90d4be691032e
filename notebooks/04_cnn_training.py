# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Can a network tell the crystals apart, vacancies or not?
#
# **In:** the fingerprints of notebook 02. **Out:** trained networks, their confusion matrices, their errors if any.
#
# **Result:** the network of the paper, trained on pristine crystals only, is right
# for <!--=cnn.pristine.accuracy:.2%-->…<!--/--> of the pristine and <!--=cnn.vacancies_25.accuracy:.2%-->…<!--/-->
# of the crystals that lack a quarter of their atoms; on elements that it never
# saw, <!--=cnn.table_1.grouped.held_out.vacancies_25.accuracy:.2%-->…<!--/--> of the latter. A network
# of <!--=cnn.compact.parameters:,-->…<!--/--> parameters does the same after at
# most <!--=cnn.compact.seconds.max:.0f-->…<!--/--> s of training.
#
# ![Confusion matrix on defective crystals](../figures/table_04_confusion_vacancies_25.png)
#
# **Time:** about <!--=time.04_cnn_training.minutes:.0f-->…<!--/--> minutes on two cores without GPU; a minute or so with the
# parameters below, which are a rehearsal: with so few structures and epochs the large network does not learn much. The numbers
# in the text are those of the full run.

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
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix
from sklearn.neighbors import NearestNeighbors

from xtalsight import dataset, inference, networks, plots, store
from xtalsight.crystals import CLASSES
from xtalsight.study import published
from xtalsight.study.bench import matrix_product_peak
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
source = "generated"  # of the data; or "published", if `make published-data` fetched the original arrays
seed = 0  # of weights, dropout, splits and the order of the images
threads = 2  # of TensorFlow: results differ between numbers of threads
held_out = 0.05  # fraction of the structures (or of the elements) that no network is trained on
table_1_epochs = 1  # of the large network on the random split; the paper and the report take 5
grouped_epochs = 1  # the same, where elements are held out
compact_epochs = 12  # of the compact network
compact_seeds = 1  # independent trainings of the compact network on each split

# %%
run = Run("04_cnn_training", profile)
run.needs("02_diffraction_fingerprints")
networks.make_reproducible(seed, threads)

# %% [markdown]
# ## Data
#
# Trained on: pristine crystals. Tested on: pristine crystals held out, and the defective copies, none of which any network is
# trained on.

# %%
load = {"generated": lambda: dataset.load(run.path("")), "published": published.load}
recipes, images, remark = load[source]()
images = {"pristine": images["pristine"], "vacancies_25": images["vacancies"]}
print(remark)
labels = recipes.label.to_numpy()
{name: (stack.shape, stack.dtype) for name, stack in images.items()}

# %% [markdown]
# Two splits. The paper's picks the held-out structures at random, whatever they resemble. The second holds out all structures of
# some elements.

# %%
SPLITS = {"random": "random", "grouped": "element"}  # name here: what the library calls it


def splits(seed):
    return {name: dataset.split(recipes, by, held_out, seed) for name, by in SPLITS.items()}


# Notebook 07 tests on the elements that nothing is trained on here.
store.save_json(run.path("held_out_elements.json"), sorted(set(recipes.element[splits(seed)["grouped"][1]])))
for name, (train, test) in splits(seed).items():
    shared = set(recipes.element[train]) & set(recipes.element[test])
    print(f"{name}: {len(train)} to train on, {len(test)} held out, {len(shared)} elements on both sides")

# %% [markdown]
# **Predict:** how many of the held-out pristine pictures have a *twin* among those trained on, a picture from which no pixel
# differs by more than a thousandth of the brightest?


# %%
def twins(train, test):
    """Fraction of the test pictures whose nearest training picture is a twin: at least so many have one."""
    pictures = images["pristine"].reshape(len(labels), -1)
    nearest = (
        NearestNeighbors(n_neighbors=1, algorithm="brute").fit(pictures[train]).kneighbors(pictures[test])[1][:, 0]
    )
    return (np.abs(pictures[test] - pictures[train[nearest]]).max(axis=1) < 1e-3).mean()


twin = {name: twins(*split) for name, split in splits(seed).items()}
print({name: f"{fraction:.1%}" for name, fraction in twin.items()})

# %% [markdown]
# In the full run <!--=cnn.random.held_out.twins:.0%-->…<!--/--> of the randomly held-out pictures have a twin,
# and <!--=cnn.grouped.held_out.twins:.0%-->…<!--/--> where elements are held out: a perfect score on pristine crystals is to a large part
# memory. The vacancies, in both splits, make pictures that nothing was trained on.

# %% [markdown]
# ## The network of Table 1
#
# Six convolutions, two poolings, one hidden layer. Most of its parameters sit between the last convolution and the hidden layer.

# %%
table_1 = networks.table_1_network(seed=seed)
table = networks.layer_table(table_1)
run.save_table(table, "table_01_network")
table

# %%
figure, ax = plt.subplots(figsize=(9, 2.8))
plots.draw_network(table_1, ax)
run.save_figure(figure, "fig_03_network")

# %% [markdown]
# The report's network has the same table but no activation inside, so that it is linear up to the maxima of its pooling:

# %%
networks.layer_table(networks.table_1_network("report")).query("kernel != '' or parameters > 0 or type == 'Dropout'")

# %% [markdown]
# ## Training
#
# Adam with a step of 10⁻³, batches of 32 and categorical cross-entropy, as in the sources. Two departures. The step falls to zero along
# half a cosine: with a constant one the weights keep moving to the end, and chance decides on which side of a class boundary the
# nearest structures lie. And only the random split gets the sources' five epochs; where elements are held out,
# there are <!--=cnn.table_1.grouped.epochs:.0f-->…<!--/-->. **Predict:** after how many epochs is the loss on held-out crystals below 0.01?


# %%
def train(model, split, batch_size, learning_rate, epochs, seed):
    """Train on pristine structures; return probabilities for all structures, pristine and defective."""
    train, test = split
    model, history = networks.train(
        model,
        images["pristine"][train],
        labels[train],
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        folder=run.path("trainings"),
        validation={name: (stack[test], labels[test]) for name, stack in images.items()},
    )
    return model, history, {name: inference.predict(model, stack) for name, stack in images.items()}


# %%
EPOCHS = {"random": table_1_epochs, "grouped": grouped_epochs}
trained = {}
peaks = [matrix_product_peak()]  # for the last section: how fast this machine can be
for name, split in splits(seed).items():
    model = networks.table_1_network(seed=seed)
    trained["table_1", name, seed] = train(model, split, 32, 1e-3, EPOCHS[name], seed)
    peaks.append(matrix_product_peak())

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3), sharey=True)
for ax, name in zip(axes, ("random", "grouped")):
    plots.draw_loss(trained["table_1", name, seed][1], ax)
    ax.set_title({"random": "random split", "grouped": "elements held out"}[name])
axes[1].set_ylabel("")
run.save_figure(figure, "fig_06_loss")

# %% [markdown]
# *Loss by epoch: of training (the mean over the epoch, with dropout), and after each epoch on held-out crystals, pristine and
# defective.* The two held-out curves run together: the vacancies cost next to nothing. They may jump while the steps are large, and
# may lie below the curve of training, which is an average over an epoch of learning.
#
# ## Tables 3 and 4
#
# The paper's way to score: all structures, those trained on included, and then all of their defective copies. Accuracy is
# the fraction of structures right. (The report counted each structure seven times, once for each output; a
# wholly wrong answer then still scores 5/7.)

# %%
probabilities = trained["table_1", "random", seed][2]
confusion = {name: confusion_matrix(labels, p.argmax(axis=1), labels=range(7)) for name, p in probabilities.items()}
titles = {"pristine": "Table 3: pristine", "vacancies_25": "Table 4: 25 % vacancies"}
files = {"pristine": "table_03_confusion_pristine", "vacancies_25": "table_04_confusion_vacancies_25"}

# %%
for name, matrix in confusion.items():
    figure, ax = plt.subplots(figsize=(4.5, 4.5))
    plots.draw_confusion(matrix, ax)
    ax.set_title(titles[name])
    run.save_figure(figure, files[name])
    run.save_table(pd.DataFrame(matrix, index=CLASSES, columns=CLASSES).reset_index(names="true"), files[name])

# %% [markdown]
# Every structure on the diagonal is right. On which classes do errors appear, if any? The neighbours to confuse are those between
# which a crystal can be strained: bct_139 with bcc and with fcc.
#
# ## A compact network
#
# Is so large a network needed? Three strided convolutions with batch normalisation, a seventh of the parameters and a
# hundredth of the arithmetic. Several seeds: each has its own weights, its own order and its own held-out part.

# %%
compact = networks.compact_network(seed)
print(f"{networks.training_operations(compact) / networks.training_operations(table_1):.1%} of the arithmetic")
networks.layer_table(compact)

# %%
for s in range(compact_seeds):
    for name, split in splits(s).items():
        model = networks.compact_network(s)
        trained["compact", name, s] = train(model, split, 64, 3e-3, compact_epochs, s)

# %% [markdown]
# ## Who is right, and how soon?
#
# *Held out* counts structures that the network has not been trained on: pristine ones, and the defective copies of those. *Seconds
# to all right* is the training time up to the epoch from which on all held-out structures, pristine and defective, stay right.


# %%
def seconds_until_all_right(history):
    """Training time up to the epoch from which on every held-out structure stays right; NaN if there is none."""
    right = (history[[f"{name}_accuracy" for name in images]] == 1).all(axis=1)
    stays = right[::-1].cummin()[::-1]
    return history.seconds.cumsum()[stays].min()


# %%
def scores(network, name, s):
    _, history, probabilities = trained[network, name, s]
    row = {"network": network, "split": name, "seed": s, "epochs": len(history), "seconds": history.seconds.sum()}
    row["seconds_to_all_right"] = seconds_until_all_right(history)
    for kind, p in probabilities.items():
        for part, rows in {"held_out": splits(s)[name][1], "all": np.arange(len(labels))}.items():
            true, predicted = labels[rows], p[rows].argmax(axis=1)
            row[f"{part}.{kind}.structures"] = len(rows)
            row[f"{part}.{kind}.wrong"] = int((predicted != true).sum())
            row[f"{part}.{kind}.accuracy"] = accuracy_score(true, predicted)
            row[f"{part}.{kind}.balanced_accuracy"] = balanced_accuracy_score(true, predicted)
    return row


score = pd.DataFrame([scores(*key) for key in trained])
score.T

# %% [markdown]
# *Balanced accuracy* is the mean over the classes that are present. In a table, accuracies of several seeds are a mean and a standard
# deviation, and the structures wrong are counted for each seed, so that no error hides behind the rounding.


# %%
def accuracy(group, part):
    """Accuracy, balanced accuracy and number of errors of the trainings in a group, as text."""
    values = group[f"{part}.accuracy"], group[f"{part}.balanced_accuracy"]
    texts = [f"{v.mean():.2%}" + (f" ± {v.std(ddof=1):.2%}" if len(v) > 1 else "") for v in values]
    return f"{texts[0]}, balanced {texts[1]}; wrong: {', '.join(map(str, group[f'{part}.wrong']))}"


def seconds(values):
    return (
        "–"
        if values.isna().any()
        else f"{values.min():.0f}–{values.max():.0f}"
        if len(values) > 1
        else f"{values.mean():.0f}"
    )


# %%
names = {
    "table_1": "Table 1",
    "compact": "compact",
    "bfloat16": "Table 1, bfloat16",
    "random": "random",
    "grouped": "elements held out",
}
rows = [
    {
        "network": names[network],
        "split": names[name],
        "trainings": len(group),
        "epochs": group.epochs.max(),
        "pristine, held out": accuracy(group, "held_out.pristine"),
        "25 % vacancies, held out": accuracy(group, "held_out.vacancies_25"),
        "pristine, all": accuracy(group, "all.pristine"),
        "25 % vacancies, all": accuracy(group, "all.vacancies_25"),
        "seconds to all right": seconds(group.seconds_to_all_right),
        "seconds of training": seconds(group.seconds),
    }
    for (network, name), group in score.groupby(["network", "split"], sort=False)
]

# %% [markdown]
# The report, for comparison: 100 % (of structures that had been trained on), 5 epochs in about 2.5 minutes on a Tesla K80.

# %%
report = {"network": "report CH5650 (Tesla K80)", "split": "random", "trainings": 1, "epochs": 5}
report["seconds of training"] = "150"
summary = pd.DataFrame([*rows, report]).fillna("–")
run.save_table(summary.astype(str), "table_06_networks")
summary

# %% [markdown]
# Pristine and defective, seen and unseen elements: the accuracies hardly differ. What differs is the time, and not to the
# advantage of the larger network.
#
# ## What went wrong?
#
# Every structure that any of the networks got wrong, pristine or defective. If the table is empty, none did.

# %%
errors = [
    {"network": network, "split": name, "seed": s, "kind": kind, "row": i, "answer": CLASSES[p[i].argmax()]}
    | {"probability": p[i].max(), "held out": i in splits(s)[name][1]}
    for (network, name, s), (_, _, probabilities) in trained.items()
    for kind, p in probabilities.items()
    for i in np.flatnonzero(p.argmax(axis=1) != labels)
]
wrong = pd.DataFrame(errors, columns=["network", "split", "seed", "kind", "row", "answer", "probability", "held out"])
wrong = wrong.join(recipes[["id", "element", "prototype", "c_over_a"]], on="row")
wrong.head(20)

# %%
figure, axes = plt.subplots(1, 6, figsize=(9, 1.9))
for ax in axes:
    ax.set_axis_off()
for ax, error in zip(axes, wrong.itertuples()):
    plots.draw_fingerprint(images[error.kind][error.row], ax)
    ratio = "" if np.isnan(error.c_over_a) else f", c/a {error.c_over_a:.3f}"
    ax.set_title(f"{error.element} {error.prototype}{ratio}\n→ {error.answer}", fontsize=7)
axes[0].text(0, 0.5, "" if len(wrong) else "no structure is wrong", transform=axes[0].transAxes)
run.save_figure(figure, "fig_06b_wrong")

# %% [markdown]
# *The first structures that a network got wrong, and its answer.* A bct_139 with c/a near 1 is nearly bcc: the class boundary itself
# runs there.
#
# ## How fast could it be?
#
# The large network does a fixed number of multiplications. A machine does no more of them in a second than in its best case, a large
# matrix product. The ratio says how much of the training time is arithmetic.

# %%
pictures = sum(EPOCHS[name] * len(train) for name, (train, _) in splits(seed).items())
operations = networks.training_operations(table_1) * pictures
peak = np.mean(peaks)  # before, between and after the two trainings
measured = sum(trained["table_1", name, seed][1].seconds.sum() for name in splits(seed))
print(f"{operations / 1e12:.1f} Tflop at {peak / 1e9:.0f} Gflop/s need {operations / peak:.0f} s")
print(f"the two trainings took {measured:.0f} s, {measured * peak / operations:.2f} times that")

# %% [markdown]
# At one, training is arithmetic and nothing else: no other program could do these multiplications much faster on this machine. A
# smaller network could, or shorter numbers. *bfloat16* has the range of float32 but 8 significant bits instead of 24; many recent
# processors multiply it at least twice as fast. **Predict:** does the network still learn?

# %%
bfloat16 = dict.fromkeys(("time", *images), np.nan)
if networks.multiplies_bfloat16():
    model, split = networks.table_1_network(seed=seed, precision="mixed_bfloat16"), splits(seed)["grouped"]
    trained["bfloat16", "grouped", seed] = train(model, split, 32, 1e-3, grouped_epochs, seed)
    _, history, answers = trained["bfloat16", "grouped", seed]
    bfloat16["time"] = history.seconds.sum() / trained["table_1", "grouped", seed][1].seconds.sum()
    bfloat16 |= {name: (p.argmax(axis=1) == labels)[split[1]].mean() for name, p in answers.items()}
pd.Series(bfloat16, name="bfloat16").to_frame().T

# %% [markdown]
# *Time as a fraction of that in float32, and accuracies on the structures of the held-out elements.* In the full run training
# takes <!--=cnn.bfloat16.seconds_over_float32:.2f-->…<!--/--> of the time, and the network is right
# for <!--=cnn.bfloat16.pristine.accuracy:.2%-->…<!--/--> of the pristine structures and
# for <!--=cnn.bfloat16.vacancies_25.accuracy:.2%-->…<!--/--> of the defective ones (without a number, the machine has no bfloat16). The study
# keeps float32, which every machine multiplies at full speed.

# %%
results = {}
for (network, name), group in score.groupby(["network", "split"]):
    for key in score.columns.drop(["network", "split", "seed"]):
        results[f"cnn.{network}.{name}.{key}"] = group[key].mean(skipna=False)
        if key.endswith("accuracy") and len(group) > 1:
            results[f"cnn.{network}.{name}.{key}.min"] = group[key].min()
for name in images:
    results[f"cnn.bfloat16.{name}.accuracy"] = bfloat16[name]
    results[f"cnn.{name}.accuracy"] = score.iloc[0][f"all.{name}.accuracy"]
    results[f"cnn.{name}.balanced_accuracy"] = score.iloc[0][f"all.{name}.balanced_accuracy"]

# %%
small = score[score.network == "compact"]
all_right = (small[[f"all.{name}.accuracy" for name in images]] == 1).all(axis=1)
histories = [history for _, history, _ in trained.values()]
earlier = [history[: history.attrs["resumed_epochs"]] for history in histories]  # by a run that was interrupted
if np.shares_memory(*images.values()):  # published, and no set with vacancies: no number may look like one of it
    results = {key: np.nan if "vacancies" in key else value for key, value in results.items()}
run.save_results(
    results
    | {
        "cnn.errors": len(wrong),
        "cnn.table_1.parameters": table_1.count_params(),
        "cnn.bfloat16.seconds_over_float32": bfloat16["time"],
        "cnn.compact.parameters": compact.count_params(),
        "cnn.random.held_out.twins": twin["random"],
        "cnn.grouped.held_out.twins": twin["grouped"],
        "cnn.compact.trainings": len(small),
        "cnn.compact.trainings_all_right": int(all_right.sum()),
        "cnn.compact.seconds_to_all_right.max": small.seconds_to_all_right.max(skipna=False),
        "cnn.compact.seconds.max": small.seconds.max(),
        "cnn.table_1.time_over_arithmetic": measured * peak / operations,
        "cnn.machine.gigaflops": peak / 1e9,
        "time.04_cnn_training.earlier_seconds": sum(
            h.seconds.sum() + h.validation_seconds.sum() for h in earlier if len(h)
        ),
    }
)

# %%
kept = {"table_1": ("table_1", "random"), "table_1_grouped": ("table_1", "grouped"), "compact": ("compact", "random")}
for file, (network, name) in kept.items():
    networks.save(trained[network, name, seed][0], run.path(f"{file}.keras"))  # for the notebooks that follow

# %% [markdown]
# ## Exercises
#
# Write down what you expect, then run. The solutions are folded.
#
# ### Exercise 1: What does a network answer when it is shown nothing?
#
# Show both networks a black picture, the speckle of atoms without order (intensities with an exponential distribution), the mean of a bcc
# and an fcc picture, and an fcc picture a tenth as bright. **Predict:** which classes do they name, and how large is the largest
# probability? Hint: `inference.predict(model, pictures)`; the trained models are `trained["compact", "random", seed][0]` and
# `trained["table_1", "random", seed][0]`.

# %% tags=["hide-cell"]
# @title Solution 1
bcc, fcc = (images["pristine"][np.argmax(labels == CLASSES.index(name))] for name in ("bcc", "fcc"))
speckle = np.random.default_rng(seed).exponential(size=fcc.shape) * (fcc > 0)
strange = np.array([0 * fcc, speckle / speckle.max(), (bcc + fcc) / 2, fcc / 10, fcc], np.float32)
opinions = {key: inference.predict(trained[key, "random", seed][0], strange) for key in ("table_1", "compact")}
pd.DataFrame(
    {key: [f"{CLASSES[p.argmax()]} {p.max():.3f}" for p in opinion] for key, opinion in opinions.items()},
    index=["black", "speckle", "half bcc, half fcc", "fcc, a tenth as bright", "fcc"],
)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Always one of the seven: softmax shares out a probability of one among them, whatever it is shown. It compares the classes with each
# other, not the picture with those trained on, so that a picture of nothing may get a probability that one would trust, and two networks
# that agree on every crystal do not agree on it. Brightness means nothing, for the fingerprint divides it out, but no network was told so: an
# fcc picture a tenth as bright is fcc no more. Notebook 07 teaches a network to say "none".
#
# </details>
#
# ### Exercise 2: Do the colours mean anything?
#
# Red, green and blue are the patterns of the crystal turned about x, y and z. Show the compact network defective crystals with red and
# green exchanged; then with red and green *and* the axes x and y of the picture exchanged. **Predict:** which classes does it still
# recognise in either case? Hint: `pictures[..., [1, 0, 2]]` exchanges the colours, `pictures.transpose(0, 2, 1, 3)` the axes.

# %% tags=["hide-cell"]
# @title Solution 2
ten_of_each = np.concatenate([np.flatnonzero(labels == label)[:10] for label in range(7)])
straight = images["vacancies_25"][ten_of_each]
recoloured = straight[..., [1, 0, 2]]
exchanges = {"as it is": straight, "colours": recoloured, "colours and axes": recoloured.transpose(0, 2, 1, 3)}
columns = {"largest change, colours and axes": np.abs(exchanges["colours and axes"] - straight).max(axis=(1, 2, 3))}
for exchange, altered in exchanges.items():
    told = inference.predict(trained["compact", "random", seed][0], altered).argmax(axis=1)
    columns[f"recognised, {exchange}"] = told == labels[ten_of_each]
pd.DataFrame(columns).groupby(labels[ten_of_each]).mean().rename(index=dict(enumerate(CLASSES))).round(2)

# %% [markdown]
# <details><summary>Answer</summary>
#
# To exchange both is to exchange x and y of the crystal, which leaves cubic and tetragonal crystals as they are; what changes in their
# pictures comes from the vacancies and from the block of atoms, which need not be a cube. In a hex/rh crystal x and y are not alike: its
# peaks come to lie in other places, and if it is recognised all the same, then because hex/rh, the class with the greatest variety, gets
# much of what resembles none of the others. The colours alone are a symmetry of no crystal, so that no such picture was trained on, and which
# classes survive it is chance.
#
# </details>
#
# ### Exercise 3: Is a network needed at all?
#
# The simplest rival learns nothing: keep a few pristine pictures of each class, and give a defective crystal the class of the nearest of
# them, pixel by pixel. **Predict:** how many of each class must be kept, 1, 5 or 25, to be right for 95 % of the defective crystals held
# out? Hint: `NearestNeighbors(n_neighbors=1).fit(kept).kneighbors(shown)[1]`.

# %% tags=["hide-cell"]
# @title Solution 3
flat = {kind: stack.reshape(len(labels), -1) for kind, stack in images.items()}  # copies nothing
looked_up = {}
for way, (pool, shown) in splits(seed).items():
    pool = np.random.default_rng(seed).permutation(pool)
    for n in (1, 5, 25):
        few = np.concatenate([pool[labels[pool] == label][:n] for label in range(7)])
        finder = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(flat["pristine"][few])
        closest = finder.kneighbors(flat["vacancies_25"][shown])[1][:, 0]
        looked_up[n, names[way]] = (labels[few][closest] == labels[shown]).mean()
pd.Series(looked_up).unstack().rename_axis("kept of each class").style.format("{:.1%}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# A handful: the peaks of a defective crystal lie where those of the perfect one lie, and the grain that a quarter of the atoms leaves behind
# is faint beside them. One picture may be too few where a class holds several kinds of crystal, or a range of c/a. That a network is right here
# does therefore not show that a network is needed; a baseline belongs beside every accuracy. What a network can do is learn what does
# not matter, and notebook 07 damages the crystals until that pays.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Trained on pristine crystals only, the network of the paper is right for <!--=cnn.vacancies_25.accuracy:.2%-->…<!--/--> of the crystals
#   that lack a quarter of their atoms.
# - For elements that were never shown it is <!--=cnn.table_1.grouped.held_out.vacancies_25.accuracy:.2%-->…<!--/-->; on pristine crystals
#   a perfect score says little, on defective ones it says more.
# - The task is easy enough for a network seven times smaller: in <!--=cnn.compact.trainings_all_right-->…<!--/-->
#   of <!--=cnn.compact.trainings-->…<!--/--> trainings, each of seconds, it is right for every structure.
#
# Next: [05 Attentive response maps](05_attentive_response_maps.ipynb) asks what the network looks at.
