# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What should a network refuse?
#
# **In:** the network for damaged crystals and its data (lesson 06); structures that are none of the seven classes.
# **Out:** what a network says about what it has never seen, a threshold below which its answer is refused, and what a
# user gets.
#
# **Result:** a network without an answer "none" refuses <!--=refusal.control.outliers_refused:.1%-->86.7%<!--/-->
# of <!--=refusal.outliers-->660<!--/--> structures that belong to none of the classes, by thresholds that
# cost <!--=refusal.control.known_refused:.1%-->0.5%<!--/--> of known crystals. With "none" it
# refuses <!--=refusal.network.outliers_refused:.1%-->98.6%<!--/-->,
# and <!--=refusal.network.known_refused:.1%-->0.7%<!--/--> of known crystals.
#
# ![Known crystals refused against outliers accepted](../figures/fig_09c_trade.png)
#
# **Time:** about <!--=time.07_what_to_refuse.minutes:.0f-->1<!--/--> minutes on two cores; a minute or so with the
# parameters below, with which the networks learn little. The numbers in the text are those of the full run.

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
from functools import partial

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ase.io import read

from xtalsight import classify, counterexamples, crystals, dataset, dynamics, inference, networks, plots, store
from xtalsight.crystals import CLASSES, PROTOTYPES
from xtalsight.fingerprints import DiffractionGeometry, fingerprint, length_scale
from xtalsight.study.profiles import Run, root

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of structures, weights and the order of the fingerprints
threads = 2  # of TensorFlow: results differ between numbers of threads
epochs = 12  # of the network that is trained here, as many as notebook 06 trains its own for
per_kind = 8  # structures of each type of outlier, an even number, at most 96
outlier_share = 0.1  # of the files that a user brings

# %%
run = Run("07_what_to_refuse", profile)
run.needs("06_damage")
networks.make_reproducible(seed, threads)
network, card = networks.load(run.path("robust.keras")), store.load_json(run.path("robust.json"))
rate, seven = card["error_rate"], len(CLASSES)
print(f"answers: {network.output_shape[1]}; crystals that it may refuse: {rate:.0%}")

# %% [markdown]
# ## A network that cannot say no
#
# The network of [06](06_damage.ipynb) has eight answers: the seven [classes](../docs/glossary.md#class), and "none".
# To see what the eighth is good for, we train a network without it, the control: the same layers and damaged
# crystals, but nothing outside the seven classes.

# %%
SETS = ("train_0", "train_1", "calibration", "check")
tables = {name: store.load_table(run.path(f"robust/{name}.csv")) for name in SETS}
images = {name: dataset.read_fingerprints(run.path(f"robust/{name}_powder.zarr")) for name in SETS}
truth = {name: table.label.to_numpy() for name, table in tables.items()}
pd.DataFrame({name: {"crystals": len(table), "elements": table.element.nunique()} for name, table in tables.items()})

# %%
control = networks.compact_network(seed, n_classes=seven, square_root=True)
schedule = {"epochs": epochs, "batch_size": 64, "learning_rate": 3e-3, "mirrored": True}
x, y = (np.concatenate([of["train_0"], of["train_1"]]) for of in (images, truth))
control, history = networks.train(control, x, y, **schedule, seed=seed, folder=run.path("trainings"))
history[["epoch", "seconds", "loss", "accuracy"]].tail(1).round(4)

# %% [markdown]
# Lesson 06 also set aside mildly damaged crystals of elements that no network was trained on: up to 40 % of the atoms
# are missing, the others displaced by up to 8 % of the neighbour distance. One set chooses thresholds (calibration),
# the other checks them.


# %%
def ask(model, images):
    """Probabilities, mean over the mirror images."""
    return inference.predict(model, images, mirrored=True)


known = {name: images[name] for name in ("calibration", "check")}
by_control = {name: ask(control, of) for name, of in known.items()}
print({name: f"{(p.argmax(axis=1) == truth[name]).mean():.1%} right" for name, p in by_control.items()})

# %% [markdown]
# ## What it has never seen
#
# Now the [outliers](../docs/glossary.md#outlier). First, other [prototypes](../docs/glossary.md#prototype), from A15
# to half-Heusler, and random points that fill space evenly; half of them are perfect, half damaged.

# %%
names = ["quasi_random", *counterexamples.OTHER_PROTOTYPES]
recipes = counterexamples.make_counterexamples(dict.fromkeys(names, per_kind), seed + 9)
recipes.loc[::2, ["vacancy_ratio", "displacement"]] = 0.0
outliers = {
    name: [counterexamples.build_counterexample(recipe) for recipe in rows.to_dict("records")]
    for name, rows in recipes.groupby("prototype", sort=False)
}

# %% [markdown]
# Then melts: balls from molecular dynamics of aluminium and germanium at 1.4 times their melting point. And two
# crystals at once: the left half of one class beside the right half of another, both in standard orientation, with
# the same [length scale](../docs/glossary.md#length-scale).

# %%
snapshots = read(root() / "tests" / "reference" / "md_balls.extxyz.gz", index=":")
liquid = [snapshot for snapshot in snapshots if snapshot.info["cls"] == "melt"]
outliers["melt"] = [ball for s in liquid for ball in dynamics.inner_balls(s, 256, per_kind // len(liquid), seed)]


def half_and_half(left, right):
    """Left half of one crystal, right half of another."""
    ratio = length_scale(left, "powder") / length_scale(right, "powder")
    right.set_cell(ratio * right.cell.array, scale_atoms=True)
    (x, y) = (atoms.positions[:, 0] for atoms in (left, right))
    return left[x < np.median(x)] + right[y >= np.median(y)]


# %%
blocks = crystals.make_recipes(dict.fromkeys(PROTOTYPES, per_kind), seed + 9, elements=card["unseen"])
first = blocks.sample(per_kind, random_state=seed)
second = [blocks[blocks.label != label].sample(1, random_state=n) for n, label in enumerate(first.label)]
pairs = zip(first.to_dict("records"), pd.concat(second).to_dict("records"))
outliers["two_crystals"] = [half_and_half(*map(crystals.build_crystal, pair)) for pair in pairs]

# %%
look = partial(fingerprint, geometry=DiffractionGeometry(scale="powder"))
type_of = np.repeat(list(outliers), [len(structures) for structures in outliers.values()])
strange = np.array(dataset.in_parallel(look, [s for structures in outliers.values() for s in structures], "outliers"))
by_control["outliers"] = ask(control, strange)
NAMES = {"quasi_random": "random points", "alpha_u": "α-uranium", "beta_mn": "β-manganese"}
NAMES["half_heusler"] = "half-Heusler"
NAMES = {name: NAMES.get(name, name.replace("_", " ")) for name in outliers}
print(f"{len(strange)} outliers of {len(outliers)} types")

# %% [markdown]
# **Predict:** what does the control say to each? None of its seven answers fits.

# %%
surest = by_control["outliers"].max(axis=1)
called = pd.DataFrame({"type": type_of, "largest probability": surest, "above 90 %": surest > 0.9})
called["most often called"] = np.array(CLASSES)[by_control["outliers"].argmax(axis=1)]
middle = {"largest probability": "median", "above 90 %": "mean", "most often called": lambda x: x.mode()[0]}
called.groupby("type", sort=False).agg(middle).rename(NAMES).style.format("{:.0%}", subset=list(middle)[:2])

# %%
shown = {"known crystal": (known["check"][-1], by_control["check"][-1])}
for name in ("A15", "quasi_random", "melt", "two_crystals"):
    at = max(np.flatnonzero(type_of == name), key=lambda i: surest[i])
    shown[name] = strange[at], by_control["outliers"][at]
figure, axes = plt.subplots(2, len(shown), figsize=(10, 4), sharey="row", height_ratios=(3, 2), layout="constrained")
for (upper, lower), (name, (image, p)) in zip(axes.T, shown.items()):
    plots.draw_fingerprint(image, upper).set(title=NAMES.get(name, name), xlabel="", ylabel="", xticks=(), yticks=())
    lower.bar(CLASSES, p, color=plots.CLASS_COLORS)
    lower.tick_params(axis="x", rotation=90)
    lower.set(ylim=(0, 1.05), title=f"“{CLASSES[p.argmax()]}”, {p.max():.0%}")
axes[1, 0].set_ylabel("probability")
run.save_figure(figure, "fig_09b_softmax")

# %% [markdown]
# *[Fingerprints](../docs/glossary.md#fingerprint) of a known crystal and of the surest outlier of four types; below,
# the control's seven probabilities.* It gives one class more than 90 %
# for <!--=refusal.control.above_90:.0%-->65%<!--/--> of all outliers.
#
# ## A softmax always names something
#
# The last layer computes seven scores $z$, and the softmax turns them into shares:
#
# $$ p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}. $$
#
# By hand, for the control's surest outlier (one image, no mean over mirror images):

# %%
at = surest.argmax()
*_, features, last = control.layers
weights, bias = last.get_weights()
body = keras.Model(control.input, features.output)  # all but the last layer
z = (inference.predict(body, strange[at : at + 1])[0] @ weights + bias).astype(float)
p = np.exp(z) / np.exp(z).sum()
assert np.allclose(p, inference.predict(control, strange[at : at + 1])[0], atol=1e-4)
print(f"{NAMES[type_of[at]]}: the sum of the shares is {p.sum():.3f}")
pd.DataFrame({"z": z, "exp z": np.exp(z), "p": p}, index=CLASSES).style.format("{:.3g}")

# %% [markdown]
# The largest score is <!--=refusal.surest.lead:.1f-->18.0<!--/--> above the second, so the largest share
# is <!--=refusal.surest.probability:.3%-->100.000%<!--/-->. The shares always sum to one: only differences between scores
# count, and "it is like nothing I know" has no share. A probability of 99 % means *far more like this class than like
# the other six*, not *like this class*.
#
# ## A threshold from known crystals
#
# Still, a known crystal usually gets a larger probability than an outlier. So let the network refuse to answer below
# a threshold: a [refusal](../docs/glossary.md#refusal). Choose what it may cost. Sort the largest probabilities of
# the $n$ calibration crystals of one class. A new crystal like these is equally likely to fall into any of the
# $n + 1$ gaps, and so falls below the $k$-th smallest with a chance of $k / (n + 1)$. For a cost of at most $α$, take
# $k = \lfloor α (n + 1) \rfloor$.

# %%
fcc = CLASSES.index("fcc")
sure = np.sort(by_control["calibration"].max(axis=1)[truth["calibration"] == fcc])
k = int(rate * (len(sure) + 1))
threshold = sure[k - 1]
print(f"n = {len(sure)}, k = {k}: refuse “fcc” below 1 - {1 - threshold:.1g}")

# %% [markdown]
# This is *conformal prediction*. It works for any network; `classify.refusal_thresholds` does it for every class.
# **Predict:** set for a cost of <!--=refusal.error_rate:.0%-->1%<!--/-->, what do the thresholds cost on the check
# set, and how many outliers do they stop?

# %%
thresholds = classify.refusal_thresholds(by_control["calibration"], truth["calibration"], rate)
assert thresholds[fcc] == threshold
refused = {"control": {name: classify.is_refused(p, thresholds) for name, p in by_control.items()}}
print({name: f"{values.mean():.1%} refused" for name, values in refused["control"].items()})

# %% [markdown]
# The control refuses <!--=refusal.control.known_refused:.1%-->0.5%<!--/--> of the check set, less than it may: $k$ is
# rounded down, and a threshold from few crystals is rough (exercise 2). On average the promise holds for crystals
# *like these*. It says nothing about outliers; of these, <!--=refusal.control.outliers_refused:.1%-->86.7%<!--/--> are
# refused.
#
# ## An answer "none", and the trade
#
# The network of 06 was also trained on counterexamples: crystals of random space groups and another sort of random
# points, labelled "none"; no prototype above, no melt, no pair. The eighth score takes its share from the other
# seven; the largest of these still has to reach the threshold of its class. **Predict:** can it refuse what it was
# never shown?

# %%
by_network = {name: ask(network, images) for name, images in (known | {"outliers": strange}).items()}
own = classify.refusal_thresholds(by_network["calibration"], truth["calibration"], rate)
refused["network"] = {name: classify.is_refused(p, own) for name, p in by_network.items()}
rows = {"known crystals (check)": [values["check"] for values in refused.values()]}
rows |= {NAMES[of]: [values["outliers"][type_of == of] for values in refused.values()] for of in outliers}
table = {name: ["{:.1%} ({:.1%} to {:.1%})".format(*classify.share(v)) for v in row] for name, row in rows.items()}
pd.DataFrame(table, index=["without “none”", "with “none”"]).T.rename_axis("refused")

# %% [markdown]
# *Share refused, with its 95 % interval.* With "none", <!--=refusal.network.outliers_refused:.1%-->98.6%<!--/--> of the
# outliers are refused. Half-Heusler has the places of bcc, a quarter of them empty: the control
# refuses <!--=refusal.control.half_heusler:.0%-->0%<!--/-->, the network, which was never shown
# one, <!--=refusal.network.half_heusler:.0%-->100%<!--/-->. It has learned that a fingerprint can be unlike all seven.
# Pairs pass most easily, both halves being true crystals: <!--=refusal.network.two_crystals:.0%-->85%<!--/--> are
# refused. Nor is "none" alone enough: for <!--=refusal.network.not_none:.1%-->11.1%<!--/--> of the outliers another
# answer is more probable, and the threshold decides.
#
# What if the price changes?

# %%
least = np.bincount(truth["calibration"]).min()  # crystals of the rarest class
prices = np.geomspace(1 / (least + 1) + 1e-6, 0.5, 15)
trade = {}
for name, said in {"without “none”": by_control, "with “none”": by_network}.items():
    limits = [classify.refusal_thresholds(said["calibration"], truth["calibration"], price) for price in prices]
    cost = [classify.share(classify.is_refused(said["check"], limit)) for limit in limits]
    accepted = [classify.share(~classify.is_refused(said["outliers"], limit)) for limit in limits]
    trade[name] = np.array(cost), np.array(accepted)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
left.loglog(np.maximum(1 - sure, 1e-7), np.arange(1, len(sure) + 1) / (len(sure) + 1), ".-", color="0.25")
left.axhline(rate, color="0.6", lw=1)
left.plot(1 - threshold, k / (len(sure) + 1), "o", ms=9, mfc="none", color="#8f6a0c")
left.set(xlabel="1 − largest probability", ylabel="share that is less sure, k / (n + 1)")
left.set_title("known fcc crystals; circle: threshold")
for (name, (cost, accepted)), color in zip(trade.items(), plt.colormaps["viridis"]([0.75, 0.15])):
    right.plot(100 * cost[:, 0], 100 * accepted[:, 0], "o-", ms=4, color=color, label=name)
    right.fill_between(100 * cost[:, 0], *100 * accepted[:, 1:].T, color=color, alpha=0.2, lw=0)
right.set(xlabel="known crystals refused (%)", ylabel="outliers accepted (%)", xlim=0, ylim=0)
right.set_title("all classes, all outliers")
right.legend(loc="upper right")
run.save_figure(figure, "fig_09c_trade")

# %% [markdown]
# *Left: how sure the control is of the fcc crystals of the calibration; grey line: the price; probabilities that round to 1
# stand at 10⁻⁷. Right: a dot for each
# price; bands: 95 % intervals. The curve of the control ends early: no threshold divides probabilities that all round
# to 1.* Without "none" the curve is high: to the control, some outliers look more like a
# class than some true crystals do. With counterexamples the same price buys more, and a higher one adds little.
# Counterexamples also help the network of lesson 08, on more types of outliers
# ([evidence](19_refusals_tested.ipynb)).
#
# ## What a user gets
#
# Three numbers count for a user: how many files get an answer, how many of the answers are right, how many of all
# files get a wrong one. **Predict:** if one file in ten is an outlier, what are the three numbers for each rule?

# %%
always = {name: np.zeros(len(p), bool) for name, p in by_control.items()}
rules = {"always answer": (by_control, always), "without “none”": (by_control, refused["control"])}
rules["with “none”"] = by_network, refused["network"]
passed = {}  # by rule, shares: known crystals accepted, and right; outliers accepted
for rule, (said, is_refused) in rules.items():
    right, accepted = said["check"][:, :seven].argmax(axis=1) == truth["check"], ~is_refused["check"]
    passed[rule] = accepted.mean(), (right & accepted).mean(), (~is_refused["outliers"]).mean()

# %%
user = {}
for files, share in {"known crystals only": 0, f"{outlier_share:.0%} outliers": outlier_share}.items():
    for rule, (accepted, right, outliers_accepted) in passed.items():
        answered = (1 - share) * accepted + share * outliers_accepted
        good = (1 - share) * right
        user[files, rule] = answered, good / answered, answered - good
columns = ["answered", "right among the answered", "wrong and accepted"]
pd.DataFrame(user, index=columns).T.style.format("{:.1%}")

# %% [markdown]
# With <!--=refusal.outlier_share:.0%-->10%<!--/--> outliers, a network that always answers is wrong
# for <!--=refusal.user.always.wrong:.1%-->10.0%<!--/--> of all files, however good it is with crystals. Thresholds lower
# this to <!--=refusal.user.threshold.wrong:.1%-->1.3%<!--/-->, with "none" as well
# to <!--=refusal.user.none.wrong:.1%-->0.1%<!--/-->, while <!--=refusal.user.none.answered:.1%-->89.5%<!--/--> of the files
# get an answer. `xtalsight classify` has further reasons to refuse: too few atoms, no peaks, several crystals
# ([11](11_your_own_crystal.ipynb)).

# %%
results = {"refusal.error_rate": rate, "refusal.outliers": len(strange), "refusal.outlier_share": outlier_share}
results |= {"refusal.control.above_90": (surest > 0.9).mean(), "refusal.surest.probability": p.max()}
results |= {"refusal.surest.lead": np.subtract(*np.sort(z)[[-1, -2]]), "refusal.known": len(truth["check"])}
results["refusal.network.not_none"] = (by_network["outliers"].argmax(axis=1) < seven).mean()
for name, values in refused.items():
    shares = {of: values["outliers"][type_of == of].mean() for of in outliers}
    shares |= {"least": min(shares.values()), "outliers_refused": values["outliers"].mean()}
    results |= {f"refusal.{name}.{of}": value for of, value in shares.items()}
    results[f"refusal.{name}.known_refused"] = values["check"].mean()
for rule, row in zip(("always", "threshold", "none"), list(user.values())[3:]):
    results |= {f"refusal.user.{rule}.{of}": v for of, v in zip(("answered", "right_of_answered", "wrong"), row)}
run.save_results(results)

# %% [markdown]
# ## Exercises
#
# Predict, then run. The solutions are folded.
#
# ### Exercise 1: Does the softmax notice?
#
# Take the seven scores `z` of the surest outlier. Add 100 to each; or divide each by two. **Predict:** which changes
# the probabilities? Does either change the class named?


# %% tags=["hide-cell"]
# @title Solution 1
def softmax(scores):
    return np.exp(scores) / np.exp(scores).sum()


added, halved = softmax(z + 100), softmax(z / 2)
assert np.allclose(added, softmax(z)), "a constant cancels"
assert halved.argmax() == z.argmax() and halved.max() < softmax(z).max(), "same name, less sure"
pd.DataFrame({"p": softmax(z), "z + 100": added, "z / 2": halved}, index=CLASSES).style.format("{:.6f}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# A constant cancels: strong evidence for all seven and none for any give the same probabilities. Dividing keeps the
# order and flattens the shares. So the size of a probability depends on a scale that
# training happens to set; only a comparison with known crystals gives it a meaning.
#
# </details>
#
# ### Exercise 2: How rough is a threshold?
#
# Let the confidences be uniform in [0, 1], so that a threshold is itself the share of crystals that it refuses.
# **Predict:** calibrated to 1 % with 99 crystals, within which bounds does that share lie in 90 % of cases? And with
# 420 or 5,000? Hint: `classify.refusal_threshold` of `rng.random(n)`, a thousand times.

# %% tags=["hide-cell"]
# @title Solution 2
dice = np.random.default_rng(seed)
drawn = {n: [classify.refusal_threshold(dice.random(n), 0.01) for _ in range(1000)] for n in (99, 420, 5000)}
drawn = pd.DataFrame(drawn).rename_axis(columns="crystals")
assert (drawn.mean() < 0.011).all(), "on average, the promise is kept"
assert drawn[99].quantile(0.95) > 2 * drawn[5000].quantile(0.95), "one threshold from few crystals may not keep it"
drawn.describe(percentiles=[0.05, 0.95]).loc[["mean", "5%", "95%"]].style.format("{:.2%}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# The mean is k / (n + 1), 1 % or a little less. But with 99 crystals the lowest alone sets the threshold, and one
# calibration in twenty refuses 3 % or more. The share follows a beta distribution (k, n + 1 − k), whose relative
# spread falls as 1 / √k. So a rate of 1 % takes some hundreds of crystals of each class; with fewer, as here of fcc, it is rough.
#
# </details>
#
# ### Exercise 3: What if most files are outliers?
#
# In a database, nine structures in ten are none of the seven. **Predict:** for each of the three rules, how many of
# the answers are right? Hint: `passed`.

# %% tags=["hide-cell"]
# @title Solution 3
shares = np.linspace(0, 0.9, 10)
right_among = {}
for rule, (accepted, right, outliers_accepted) in passed.items():
    right_among[rule] = (1 - shares) * right / ((1 - shares) * accepted + shares * outliers_accepted)
    assert (np.diff(right_among[rule]) <= 1e-9).all(), "more outliers, fewer right answers"
right_among = pd.DataFrame(right_among, index=shares).rename_axis("share of outliers")
right_among.style.format("{:.1%}").format_index("{:.0%}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# A network that always answers is right for one file in ten at best. With refusals, it depends on how often outliers
# are accepted: if one in a hundred is, they still make 8 % of the answers wrong. Quality on known crystals says
# nothing about this: ask first what is in the database.
#
# </details>

# %% [markdown]
# ## Summary
#
# - A softmax compares the classes with each other and always names one. A high probability does not mean that a
#   structure is like that class.
# - Known crystals set the threshold and the price of a refusal, here <!--=refusal.error_rate:.0%-->1%<!--/-->. They
#   promise nothing about outliers: at this price a network without "none"
#   stops <!--=refusal.control.outliers_refused:.0%-->87%<!--/-->, one that has learned from
#   counterexamples <!--=refusal.network.outliers_refused:.0%-->99%<!--/-->.
# - What a user gets takes three numbers: answered, right among the answered, wrong and accepted. They depend on what
#   the user brings.
#
# Next: [08 What if the orientation is unknown?](08_in_any_orientation.ipynb) finds what no rotation changes.
