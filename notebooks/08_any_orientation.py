# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What if nobody knows how the crystal stands?
#
# **In:** clouds of atoms without a cell, cut to any shape and turned at random. **Out:** their class.
#
# **Result:** a fingerprint that no rotation changes tells the seven classes apart: of clouds of some 256 atoms in random
# orientation, elements never seen, <!--=any.spectra.vacancies_25.accuracy:.2%-->…<!--/--> are named rightly without 25 % of their atoms
# and <!--=any.spectra.vacancies_70.accuracy:.2%-->…<!--/--> without 70 %, where the network for standard orientations
# names <!--=any.compact.vacancies_25.accuracy:.0%-->…<!--/--> and <!--=any.compact.vacancies_70.accuracy:.0%-->…<!--/-->.
#
# ![Spectra of a ball and of the same ball turned](../figures/fig_14_turned.png)
#
# **Time:** about <!--=time.08_any_orientation.minutes:.0f-->…<!--/--> minutes on two cores; a minute or so with the parameters below, with
# which the network learns little. The numbers in the text are those of the full run.

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

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xtalsight import (
    classify,
    clouds,
    counterexamples,
    crystals,
    damage,
    dataset,
    inference,
    networks,
    plots,
    rivals,
    store,
)
from xtalsight.crystals import CLASSES, PROTOTYPES
from xtalsight.fingerprints import DiffractionGeometry, fingerprint
from xtalsight.spectra import DEGREES, ON_RING, SHELLS, harmonics, of_places, power, spectrum
from xtalsight.study import report
from xtalsight.study.profiles import Run, root

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of structures, weights and the order of the spectra
threads = 2  # of TensorFlow: results differ between numbers of threads
train_per_kind = 4  # crystals of each of the 15 kinds to train on, of the hard ones more
counterexamples_to_learn = 10  # structures of none of the classes to train on, times 6.75
epochs = 12  # of the network
test_per_kind = 3  # clouds of each kind in each test, of four shapes by turns
rivals_per_kind = 1  # of these, for the slow methods
calibration_per_class = 20  # clouds of each class that set the thresholds of the verdict
error_rate = 0.1  # fraction of the true crystals of each class that may be refused

# %%
run = Run("08_any_orientation", profile)
run.needs("07_robustness")
networks.make_reproducible(seed, threads)
unseen = store.load_json(run.path("held_out_elements.json"))  # as in notebook 07: every test below is made of these
seen = [element for element in crystals.ELEMENTS if element not in unseen]
rng = np.random.default_rng(seed)
results = {}
earlier = []  # seconds of what an interrupted run had done

# %% [markdown]
# ## What a turn does
#
# A ball of copper atoms, and the same ball turned by a random rotation. **Predict:** what becomes of the fingerprint?

# %%
ball = clouds.cut_cloud(bulk("Cu", cubic=True), 256, "sphere", rng)
turns = Rotation.random(20, rng=rng).as_matrix()
turned = [Atoms(ball.numbers, ball.positions @ turn.T) for turn in turns]
figure, axes = plt.subplots(1, 4, figsize=(10, 2.6), layout="constrained")
for two, (atoms, title) in zip((axes[:2], axes[2:]), ((ball, "as cut"), (turned[0], "turned"))):
    plots.draw_fingerprint(fingerprint(atoms), two[0])
    plots.draw_spectrum(spectrum(atoms)[0], two[1])
    for ax, kind in zip(two, ("fingerprint", "spectra")):
        ax.set_title(f"{kind}, {title}")
run.save_figure(figure, "fig_14_turned")


# %%
def change(function):
    """Largest relative change of a function of the atoms under the turns, in the root of the sum of squares."""
    before = function(ball)
    return max(np.linalg.norm(function(atoms) - before) / np.linalg.norm(before) for atoms in turned)


results["any.turn.fingerprint"], results["any.turn.spectrum"] = change(fingerprint), change(spectrum)
results["any.shells"], results["any.inner_shells"] = len(SHELLS[ON_RING]), len(SHELLS) - len(SHELLS[ON_RING])
results["any.degrees"], results["any.largest_degree"] = len(DEGREES), DEGREES[-1]
start = time.perf_counter()
for atoms in turned:
    spectrum(atoms)
results["any.milliseconds"] = 1000 * (time.perf_counter() - start) / len(turned)

# %% [markdown]
# The picture of the turned ball is another picture: it changes by <!--=any.turn.fingerprint:.0%-->…<!--/--> of itself. The spectra, drawn beside it,
# change by <!--=any.turn.spectrum:.1%-->…<!--/-->, which is the error of the quadrature. They take <!--=any.milliseconds:.1f-->…<!--/--> ms of one core.
#
# ## Why it cannot depend on the orientation
#
# The intensity on the sphere $|s|$ = const is a function of direction. Expanded in spherical harmonics,
#
# $$ S(\mathbf{s}) = \frac{1}{N} \Big| \sum_j e^{-2 \pi i \mathbf{s} \cdot \mathbf{r}_j} \Big|^2 = \sum_{l,m} a_{lm}(|s|)\, Y_{lm}(\hat{\mathbf{s}}), \qquad
#    P_l(|s|) = \sqrt{\frac{1}{4\pi} \sum_m |a_{lm}|^2}. $$
#
# To turn the atoms is to turn $S$. A turned $Y_{lm}$ is a sum of the $2l + 1$ harmonics *of the same degree*: rotations mix
# the $a_{lm}$ of one $l$ by a unitary matrix, and the sum of squares stays. Odd degrees vanish, since $S(-\mathbf{s}) = S(\mathbf{s})$
# (Friedel). $P_0$ is the mean over all directions, the powder pattern; the other degrees say how the peaks of each shell lie to
# each other.
#
# Shells and degrees follow from the size: of a cloud of diameter $D$, no wave in $S$ is shorter than $1/D$, so shells lie $1/2D$
# apart; and no degree beyond $2 \pi |s| D$ occurs, which says how fine the grid of directions must be. (A little coarser will do: few
# atoms are as far apart as $D$.) For 256 atoms, and for all other clouds to have pictures of one size, that makes <!--=any.shells-->…<!--/--> shells on the ring of the old fingerprint
# (and <!--=any.inner_shells-->…<!--/--> further inside, where only compounds have peaks: notebook 10 looks at them), and <!--=any.degrees-->…<!--/--> even degrees up
# to <!--=any.largest_degree-->…<!--/-->, where a degree is as fine as a peak of the first shell is wide. The same kernel sums the waves; the
# same length scale, that of the powder pattern, divides the positions.

# %%
examples = ["bcc", "bct_in", "beta_sn", "diamond", "fcc", "hcp", "sc"]  # a kind for each class
recipes = crystals.make_recipes(dict.fromkeys(examples, 1), seed, elements=unseen)
cells = [crystals.primitive_cell(recipe) for recipe in recipes.to_dict("records")]
balls = [clouds.cut_cloud(cell, 256, "sphere", rng) for cell in cells]
figure, axes = plt.subplots(2, 4, figsize=(10, 5), sharex=True, sharey=True, layout="constrained")
for label, (ax, atoms) in enumerate(zip(axes.flat, balls)):
    plots.draw_spectrum(spectrum(atoms)[0], ax)
    ax.set_title(CLASSES[label], color=plots.CLASS_COLORS[label])
    ax.label_outer()
gas = counterexamples.make_counterexamples({"hard_spheres": 1}, seed).iloc[0]
gas = clouds.cut_cloud(counterexamples.build_counterexample(gas), 256, "sphere", rng)
plots.draw_spectrum(spectrum(gas)[0], axes.flat[-1])
axes.flat[-1].set_title("random points")
run.save_figure(figure, "fig_14a_spectra")

# %% [markdown]
# *Square root of $P_l$ for a ball of each class.* A row is a shell: dark between the peaks of the powder pattern. Along a row, cubic crystals
# have no degree 2, and their peaks in 6, 8 or 12 directions make a pattern of bright and dark degrees, as the directions of
# those peaks add up or cancel. Random points have their mean, $P_0$, and speckle without pattern.
#
# ## What is lost
#
# All orders $m$: 2l + 1 numbers become one. Shells may turn against each other and nothing changes; mirror images have
# the same spectra. Could two classes have equal spectra? **Predict:** which two kinds come closest?

# %%
twenty = crystals.make_recipes(dict.fromkeys(PROTOTYPES, 20), seed + 1, elements=unseen)
twenty = twenty.assign(shape="sphere", n_atoms=256, vacancy_ratio=0.0)
kinds = twenty.prototype.to_numpy()
spectra = np.array([np.log1p(of_places(spectrum(clouds.build_cloud(recipe)))) for recipe in twenty.to_dict("records")])
apart = np.linalg.norm(spectra[:, None] - spectra[None], axis=(2, 3))
np.fill_diagonal(apart, np.inf)

# %%
labels = twenty.label.to_numpy()
own = np.where(labels[:, None] == labels, apart, np.inf).min(axis=1)
other = np.where(labels[:, None] == labels, np.inf, apart)
results["any.closest.other"], results["any.closest.own"] = other.min(), np.median(own)
closest = pd.DataFrame(
    {
        "kind": kinds,
        "nearest of its class": own,
        "nearest of another": other.min(axis=1),
        "which is": kinds[other.argmin(axis=1)],
    }
)
closest = closest.loc[closest.groupby("kind", sort=False)["nearest of another"].idxmin()]
closest.round(2).style.hide(axis="index")

# %% [markdown]
# *Of each kind, the perfect ball that comes closest to another class: its distance to the nearest of its own class and of another one, in log(1 + P).*
# No two of these have equal spectra: two of different classes are at least <!--=any.closest.other:.2f-->…<!--/--> apart (the nearest of one
# class, in the median, <!--=any.closest.own:.2f-->…<!--/-->). What comes closest is close by nature: tetragonal crystals whose axes are nearly
# those of bcc or fcc. Whether two other crystals with equal spectra exist, this does not say; exercise 2 comes back to it.
#
# ## Clouds to train on
#
# Balls, random convex bodies, balls in a slab or wire or at a face, edge or corner, and supercells, of 40 to 512 atoms, turned at random.
# There are more of the kinds that came closest above, and half of these additional tetragonal ones are among the nearest to bcc or fcc.

# %%
hard = {"bct_in": 13, "fcc": 10, "bct_pa": 8, "bcc": 6, "diamond": 3}
hard |= dict.fromkeys(["hcp", "sc", "graphite", "rh_graphite"], 2)
counts = {kind: train_per_kind * hard.get(kind, 1) for kind in PROTOTYPES}
to_train = crystals.make_recipes(counts, seed + 1, elements=seen)
u, v, w, size, spared, nearby, which, where, grain, kind, share, soft, few, amount, cell = damage.draws(to_train, 15).T
lowest = np.where(to_train.prototype == "bct_pa", 0.93, np.choose((3 * which).astype(int), [1.03, 1.344, 1.445]))
tetragonal = to_train.prototype.isin(["bct_in", "bct_pa"]).to_numpy()
near = tetragonal & (to_train.groupby("prototype").cumcount() >= train_per_kind).to_numpy() & (nearby < 0.5)
to_train.loc[near, "c_over_a"] = (lowest + 0.04 * where)[near]
to_train = clouds.pristine(to_train)

# %% [markdown]
# Damage comes as nature and calculations have it. Vacancies and displacements are drawn from a quarter of an ellipse, up to 86 % of the atoms and 20 % of the
# neighbour distance; one cloud in sixteen stays perfect. In more than half of the clouds a random share of the mean square displacement is *thermal waves*:
# neighbours move together, and waves longer than the cloud strain it, most in cubic crystals, which may be soft in shear. What is strained by
# up to 2 % (largest minus smallest principal strain) keeps the label of its parent, and so does what heat strains: where the border
# between cubic and tetragonal lies, cold or hot, says `crystals.known_labels`.

# %%
hurt = spared > 1 / 16
radius, angle = np.sqrt(u) * hurt, np.pi / 2 * v
vacancies, displaced = 0.86 * radius * np.cos(angle), 0.2 * radius * np.sin(angle)
share = np.where(share < 0.3, 0, 1 - (1 - (share - 0.3) / 0.7) ** 2)  # of the mean square
waves = np.minimum(displaced * np.sqrt(share), 0.12)
displaced = displaced * np.sqrt(1 - share)
cubic = to_train.prototype.isin(["bcc", "diamond", "fcc", "sc"])
anisotropy = np.where(cubic, 8.0, 2.0) ** soft
strain = np.where(tetragonal, 0.005, 0.02) * w * hurt

# %% [markdown]
# Of those that are cut, a fifth hold a piece of another grain, of the same kind or of any, up to a third of the cloud, and a tenth a
# twin, up to a half: the class is that of the larger part. Some stacks of close-packed layers have a fault. In one cloud of five vacancies and
# displacements repeat, as in a small periodic cell: then not too many atoms are missing.

# %%
cut = (to_train["shape"] != "supercell").to_numpy()
second = np.array(list(PROTOTYPES), object)[(kind * len(PROTOTYPES)).astype(int)]
second = np.where(grain < 0.2, np.where(grain < 0.08, to_train.prototype, second), None)
second = np.where((grain > 0.9) & to_train.prototype.isin(clouds.TWIN_PLANES), "twin", second)
faults = np.where((few < 0.1) & cut & to_train.prototype.isin(["fcc", "hcp"]), 0.08 * amount, 0)
repeats = (cell < 0.3) & cut & (faults == 0)
cell_atoms = np.where(repeats, 8 * (128 / 8) ** amount, 0).astype(int)
vacancies = np.where(repeats, 0.16 * np.sqrt(u), vacancies)
displaced = np.where(repeats, 0.1 * np.maximum(2 * v - 1, 0), displaced)
waves = np.where(repeats, 0, waves)

# %%
n_atoms = np.maximum(40 * (512 / 40) ** size, np.ceil(24 / (1 - vacancies))).astype(int)
to_train = damage.damaged(
    to_train, vacancies, displaced, waves, strain=strain, n_atoms=n_atoms, second=second, faults=faults,
    cell_atoms=cell_atoms, anisotropy=anisotropy
)  # fmt: skip
to_train["label"] = crystals.known_labels(to_train)

# %% [markdown]
# And structures of none of the classes: random crystals of other space groups, more than half of them packed as densely as metals are; ordered subsets of
# cubic classes, which differ from a crystal with vacancies by their order alone; random crystals of the classes' own groups; random points. (All
# these numbers, and the size of the network, were chosen after looking at tests like those below.)

# %%
of_none = {"random_crystal": 2, "hard_spheres": 0.75, "derivative": 1, "dense_crystal": 3}
counts = {kind: int(counterexamples_to_learn * many) for kind, many in of_none.items()}
others = counterexamples.make_counterexamples(counts, seed + 1, seen)
shape, size, spared, w, hot = damage.draws(others, 5).T
others["shape"] = np.array(clouds.SHAPES)[(3 * shape).astype(int)]
others["n_atoms"] = (40 * (512 / 40) ** size).astype(int)
others.loc[spared < 0.25, ["vacancy_ratio", "displacement"]] = 0.0
others.loc[others.prototype == "derivative", ["vacancy_ratio", "displacement"]] *= 0.25
spacing = np.array([crystals.ground_state_volume(element) for element in others.element]) ** (1 / 3)
others["waves"] = np.where((hot < 0.4) & (spared > 0.25), 0.07 * w * spacing, 0)
print(f"{len(to_train)} damaged clouds and {len(others)} others to train on")


# %%
def spectra_of(tables):
    """Spectra of tables of recipes, by name."""
    paths = {run.path(f"any/{name}.zarr"): recipes for name, recipes in tables.items()}
    start = time.perf_counter()
    failures, seconds = dataset.write_spectra(paths, build=clouds.build_cloud)
    earlier.append(max(0, seconds - (time.perf_counter() - start)))
    if len(failures):
        raise ValueError(f"{len(failures)} structures have no spectra: {failures.error.iloc[0]}")
    for name, recipes in tables.items():
        store.save_table(run.path(f"any/{name}.csv"), recipes)
    return {name: of_places(dataset.read_fingerprints(path)) for name, path in zip(tables, paths)}


train_spectra = np.concatenate([*spectra_of({"train": to_train}).values(), *spectra_of({"others": others}).values()])
train_labels = np.concatenate([to_train.label, others.label])

# %% [markdown]
# ## A small network

# %%
model, history = networks.train(
    networks.spectrum_network(seed),
    train_spectra,
    train_labels,
    epochs=epochs,
    batch_size=64,
    learning_rate=3e-3,
    seed=seed,
    folder=run.path("trainings"),
)
earlier.append(history[: history.attrs["resumed_epochs"]].seconds.sum())
results["any.seconds"], results["any.epochs"] = history.seconds.sum(), epochs
results["any.structures"], results["any.parameters"] = len(train_labels), model.count_params()
networks.layer_table(model)

# %% [markdown]
# Its <!--=any.parameters:,-->…<!--/--> parameters learn from <!--=any.structures:,-->…<!--/--> clouds within <!--=any.seconds:.0f-->…<!--/--> s.
#
# ## The tests
#
# Clouds of 256 places, of unseen elements, equally many of each kind and shape; one thing is done to them at a time.

# %%
base = crystals.make_recipes(dict.fromkeys(PROTOTYPES, test_per_kind), seed + 3, elements=unseen)
base = clouds.pristine(base).assign(anisotropy=1.0)
TESTS = {
    "perfect": {},
    "vacancies_25": {"vacancies": 0.25},
    "vacancies_50": {"vacancies": 0.5},
    "vacancies_70": {"vacancies": 0.7},
    "vacancies_80": {"vacancies": 0.8},
    "displacements_10": {"displacement": 0.1},
    "displacements_15": {"displacement": 0.15},
    "waves_5": {"waves": 0.05},
    "waves_7": {"waves": 0.07},
    "waves_10": {"waves": 0.1},
    "both_40_7": {"vacancies": 0.4, "displacement": 0.07},
    "spheres_64": {"n_atoms": 64, "shape": "sphere"},
}
tests = {name: damage.damaged(base, **how) for name, how in TESTS.items()}
few = {name: recipes.groupby("prototype").head(rivals_per_kind) for name, recipes in tests.items()}
test_spectra = spectra_of(tests)
print(f"{len(tests)} tests of {len(base)} clouds, {len(few['perfect'])} of them for the slow methods")

# %% [markdown]
# The other methods see the first clouds of each kind: the compact network of notebook 07 and that of the paper, which know the
# standard orientation only; OVITO's template matching and adaptive common-neighbour analysis, which let the atoms vote; and
# Steinhardt's bond-order parameters by freud, the mean and spread of which, over a cloud's atoms, a gradient-boosted forest
# classifies. It is trained on a fifth of the same training clouds of crystals. OVITO and freud are optional.

# %%
compact, table_1 = (networks.load(run.path(f"{name}.keras")) for name in ("robust", "table_1_grouped"))
POWDER = DiffractionGeometry(scale="powder")
NEIGHBOURS = {"ptm": "polyhedral template matching", "cna": "adaptive common-neighbour analysis"}


def bond_orders(atoms):
    """Mean and standard deviation over the atoms of Steinhardt's parameters."""
    values = rivals.steinhardt(atoms)
    return np.concatenate([values.mean(axis=0), values.std(axis=0)])


def looked_at(recipe):
    """What the other methods see of one cloud: two pictures, the votes of its atoms, bond orders."""
    atoms = clouds.build_cloud(recipe)
    answers = {"picture": fingerprint(atoms, POWDER), "paper": fingerprint(atoms)}
    if rivals.HAS_OVITO:
        answers |= {key: rivals.neighbour_class(atoms, name) for key, name in NEIGHBOURS.items()}
    if rivals.HAS_FREUD:
        answers["steinhardt"] = bond_orders(atoms)
    return answers


# %%
todo = [recipe for recipes in few.values() for recipe in recipes.to_dict("records")]
seen_by = dataset.in_parallel(looked_at, todo, "rivals")
few_labels = np.array([recipe["label"] for recipe in todo])
few_tests = np.array([name for name, recipes in few.items() for _ in range(len(recipes))])


# %%
def of_class(probabilities):
    return probabilities[:, : len(CLASSES)].argmax(axis=1)


answers = {
    "compact": of_class(inference.predict(compact, np.array([a["picture"] for a in seen_by]), mirrored=True)),
    "table_1": of_class(inference.predict(table_1, np.array([a["paper"] for a in seen_by]))),
}
if rivals.HAS_OVITO:
    answers |= {key: np.array([a[key] for a in seen_by]) for key in NEIGHBOURS}
forest = None
if rivals.HAS_FREUD:
    fifth = to_train[::5]
    orders = dataset.in_parallel(
        lambda recipe: bond_orders(clouds.build_cloud(recipe)), fifth.to_dict("records"), "bond orders"
    )
    forest = HistGradientBoostingClassifier(random_state=seed).fit(np.array(orders), fifth.label)
    answers["steinhardt"] = forest.predict(np.array([a["steinhardt"] for a in seen_by]))
if missing := [name for name, there in (("OVITO", rivals.HAS_OVITO), ("freud", rivals.HAS_FREUD)) if not there]:
    print(f"{' and '.join(missing)} not installed: left out (pip install ovito freud-analysis)")

# %% [markdown]
# **Predict:** what is left of the networks for standard orientations? And which of the others comes next to the spectra?

# %%
probabilities = {name: inference.predict(model, test_spectra[name]) for name in tests}
right = {name: of_class(probabilities[name]) == tests[name].label.to_numpy() for name in tests}
# What can be known: a hot tetragonal crystal at the border of a cubic class may be called the cubic one.
known = {name: right[name] | (of_class(probabilities[name]) == crystals.known_labels(tests[name])) for name in tests}
NAMES = {
    "spectra": "spectra, any orientation",
    "compact": "compact network",
    "table_1": "network of the paper",
    "ptm": "template matching",
    "cna": "adaptive common neighbours",
    "steinhardt": "Steinhardt + forest",
}
rows = {}
for test in tests:
    rows[test] = {
        "spectra, all": right[test].mean(),
        "spectra": right[test][tests[test].index.isin(few[test].index)].mean(),
    }
    for method, answer in answers.items():
        chosen = few_tests == test
        rows[test][method] = (answer[chosen] == few_labels[chosen]).mean()
accuracy = pd.DataFrame(rows).T
for test, recipes in tests.items():
    chosen = recipes.index.isin(few[test].index)
    results[f"any.spectra.{test}.accuracy"] = accuracy.loc[test, "spectra, all"]
    results[f"any.spectra_few.{test}.accuracy"] = accuracy.loc[test, "spectra"]
    results[f"any.spectra.{test}.known"] = known[test].mean()
    results[f"any.spectra_few.{test}.known"] = known[test][chosen].mean()
    for method in list(NAMES)[1:]:  # a method that is not installed has no number
        results[f"any.{method}.{test}.accuracy"] = accuracy.loc[test].get(method, np.nan)
    for shape in clouds.SHAPES:
        results[f"any.spectra.{test}.{shape}"] = (
            right[test][(recipes["shape"] == shape).to_numpy()].mean() if (recipes["shape"] == shape).any() else np.nan
        )
results["any.tests"], results["any.few"] = len(base), len(few["perfect"])
results["any.one_of_few"] = 1 / len(few["perfect"])

# %%
shown = accuracy.rename(columns=NAMES).map("{:.0%}".format)
shown["spectra, all"] = accuracy["spectra, all"].map("{:.2%}".format)
shown.insert(1, "what can be known", [f"{known[test].mean():.2%}" for test in tests])
trained_on = {name: "–" for name in shown.columns} | {
    "spectra, all": f"{len(train_labels):,} × {epochs}",
    NAMES["spectra"]: f"{len(train_labels):,} × {epochs}",
    NAMES["compact"]: "notebook 07",
    NAMES["table_1"]: "notebook 04",
    NAMES["steinhardt"]: f"{len(to_train[::5]):,}",
}
shown.loc["trained on (structures × epochs)"] = pd.Series(trained_on)
shown.insert(0, "clouds", shown.index.str.replace("_", " "))
run.save_table(shown.astype(str), "table_10_any_orientation")
shown.style.hide(axis="index")

# %%
figure, ax = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
colors = dict(zip(NAMES, ["black", "tab:orange", "tab:red", "tab:green", "tab:olive", "tab:blue"]))
for shift, (method, column) in enumerate((m, m) for m in NAMES if m in accuracy):
    place = np.arange(len(accuracy)) + 0.13 * (shift - 2.5)
    ax.bar(place, accuracy[column], 0.12, color=colors[method], label=NAMES[method])
LABELS = [
    "perfect",
    *[f"{x} %\nvacant" for x in (25, 50, 70, 80)],
    *[f"σ\n{x} %" for x in (10, 15)],
    *[f"waves\n{x} %" for x in (5, 7, 10)],
    "40 %,\nσ 7 %",
    "64\natoms",
]
ax.set_xticks(range(len(accuracy)), LABELS, fontsize=8)
ax.set(ylabel="accuracy", ylim=(0, 1.02))
figure.legend(loc="outside upper center", ncols=3, fontsize=8)
run.save_figure(figure, "fig_14b_accuracy")

# %% [markdown]
# *Accuracy on the same <!--=any.few-->…<!--/--> clouds for each test, so that one of them is worth <!--=any.one_of_few:.1%-->…<!--/-->;
# the column *spectra, all* is measured on <!--=any.tests:,-->…<!--/-->. What can be known counts the cubic name as right, too, for tetragonal
# crystals whose heat hides the difference (`crystals.known_labels`).* At random orientation the networks that see one picture are lost: perfect
# crystals are named by the compact one in <!--=any.compact.perfect.accuracy:.0%-->…<!--/--> of the cases. The neighbour methods do not care about
# orientation, but have no type for some of the classes, and need the neighbours: of perfect clouds template matching
# names <!--=any.ptm.perfect.accuracy:.0%-->…<!--/-->, at half of the atoms <!--=any.ptm.vacancies_50.accuracy:.0%-->…<!--/-->. With a
# trained forest, bond orders know all classes, <!--=any.steinhardt.perfect.accuracy:.0%-->…<!--/-->, and
# fall to <!--=any.steinhardt.vacancies_50.accuracy:.0%-->…<!--/--> at half of the atoms. The spectra
# reach <!--=any.spectra.perfect.accuracy:.2%-->…<!--/--> and <!--=any.spectra.vacancies_50.accuracy:.2%-->…<!--/-->: waves sum over all atoms,
# and a hole in the neighbourhood of one is none of their concern.
#
# The shape of a cloud matters little as long as there is little damage:

# %%
by_shape = {s: {t: results[f"any.spectra.{t}.{s}"] for t in tests} for s in clouds.SHAPES}
pd.DataFrame(by_shape).style.format("{:.2%}", na_rep="–")

# %% [markdown]
# What goes wrong, of all tests together:

# %%
wrong = pd.concat(
    [tests[test][~right[test]].assign(test=test, answer=of_class(probabilities[test])[~right[test]]) for test in tests]
)
wrong["answer"] = [CLASSES[label] for label in wrong.answer]
tetragonal = wrong.prototype.isin(["bct_in", "bct_pa"]) != (wrong.answer == "bct_139")
results["any.wrong.tetragonal"] = (tetragonal & wrong.answer.isin(["bcc", "fcc", "bct_139"])).mean()
wrong.groupby(["test", "prototype", "answer"]).agg(clouds=("id", "size"), c_over_a=("c_over_a", "mean")).round(2)

# %% [markdown]
# Of these errors, <!--=any.wrong.tetragonal:.0%-->…<!--/--> are between the tetragonal class and the cubic ones that it borders on. Is it the network, or
# is there no more to know? The study's crystals come as near to fcc, c/a = √2,
# as <!--=any.border.below-->…<!--/--> and <!--=any.border.above-->…<!--/-->. **Predict:** of these nearest ones and of fcc, atoms displaced by 10 %, how many
# does a classifier mistake that has nothing else to learn?

# %%
(_, below), (above, _) = PROTOTYPES["bct_in"].c_over_a
pair = crystals.make_recipes(dict.fromkeys(["fcc", "bct_in"], 4 * test_per_kind), seed + 8, elements=unseen)
each = np.repeat([below, above], len(clouds.SHAPES))
pair.loc[pair.prototype == "bct_in", "c_over_a"] = np.resize(each, 4 * test_per_kind)
pair = damage.damaged(clouds.pristine(pair), displacement=0.1)
pair_spectra = spectra_of({"border": pair})["border"]
specialist = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
flat, is_fcc = np.log1p(pair_spectra).reshape(len(pair), -1), (pair.prototype == "fcc").to_numpy()
p = inference.predict(model, pair_spectra)
judges = {
    "network": np.log(p[:, CLASSES.index("fcc")] / p[:, CLASSES.index("bct_139")]),
    "specialist": cross_val_predict(specialist, flat, is_fcc, cv=5, method="decision_function"),
}
for judge, says_fcc in judges.items():
    results[f"any.border.{judge}.fcc"] = (says_fcc[is_fcc] <= 0).mean()
    results[f"any.border.{judge}.tetragonal"] = (says_fcc[~is_fcc] > 0).mean()
    results[f"any.border.{judge}.auc"] = roc_auc_score(is_fcc, says_fcc)
results["any.border.below"], results["any.border.above"] = below, above
near = ((base.c_over_a - below).abs() < 0.01) | ((base.c_over_a - above).abs() < 0.01)
results["any.border.tests"] = near.mean()
{name: value for name, value in results.items() if name.startswith("any.border")}

# %% [markdown]
# The specialist, a logistic regression that sees nothing but such pairs (each fifth judged by one trained on the others), makes
# mistakes in <!--=any.border.specialist.fcc:.1%-->…<!--/--> of the fcc crystals and <!--=any.border.specialist.tetragonal:.1%-->…<!--/--> of the others. The network has learned that
# crystals at the very border are rare, as they are in the tests (<!--=any.border.tests:.1%-->…<!--/--> are tetragonal within 0.01 of it), and says
# fcc in doubt: <!--=any.border.network.fcc:.1%-->…<!--/--> and <!--=any.border.network.tetragonal:.1%-->…<!--/-->. The areas under the ROC curve, for
# which doubt does not count, are <!--=any.border.specialist.auc:.3f-->…<!--/--> and <!--=any.border.network.auc:.3f-->…<!--/-->: at
# this border knowing heat and strain, as the network must, costs some of what 256 shaken atoms can tell.
#
# ## Knowing when not to answer
#
# As in notebook 07: clouds of unseen elements, one in eight perfect, the others without up to 40 % of their atoms and displaced by up to 8 %, where crystals melt, say for each class how low the probability
# of a true crystal falls; what is lower than all but <!--=any.error_rate:.0%-->…<!--/--> is refused.


# %%
def mild_clouds(per_class, seed):
    kinds = pd.Series({kind: prototype.label for kind, prototype in PROTOTYPES.items()})
    counts = per_class // kinds.map(kinds.value_counts())
    recipes = clouds.pristine(crystals.make_recipes(counts.to_dict(), seed, elements=unseen))
    recipes = damage.mild_damage(recipes).assign(anisotropy=1.0)
    return recipes.assign(label=crystals.known_labels(recipes))


sets = {
    "calibration": mild_clouds(calibration_per_class, seed + 4),
    "check": mild_clouds(calibration_per_class // 2, seed + 5),
}
calibration, check = (inference.predict(model, stack) for stack in spectra_of(sets).values())
thresholds = classify.refusal_thresholds(calibration, sets["calibration"].label.to_numpy(), error_rate)
refused = classify.is_refused(check, thresholds)
networks.save(model, run.path("any_orientation.keras"))
verdict = {"thresholds": thresholds.tolist(), "error_rate": error_rate, "unseen": unseen}
store.save_json(run.path("any_orientation.json"), verdict)

# %% [markdown]
# What does a user get? Share answered, share right among the answered, and, of all, share wrong and accepted, with 95 % intervals (Wilson). The neighbour
# methods refuse, too: where no atom has a type. In waves what can be known counts, for all methods.

# %%
outcomes = {("spectra", test): (known[test], classify.is_refused(p, thresholds)) for test, p in probabilities.items()}
for method in set(NEIGHBOURS) & set(answers):
    answer = {test: answers[method][few_tests == test] for test in tests}
    labels_of = {test: few_labels[few_tests == test] for test in tests}
    hits = {t: (answer[t] == labels_of[t]) | (answer[t] == crystals.known_labels(few[t])) for t in tests}
    outcomes |= {(method, t): (hits[t], answer[t] == rivals.NO_ANSWER) for t in tests}
SHOWN = {"perfect": "perfect", "vacancies_50": "50 % vacancies", "displacements_10": "displaced by 10 %"}
SHOWN |= {"waves_7": "waves of 7 %", "waves_10": "waves of 10 %", "spheres_64": "64 atoms"}
rows = {}
for (method, test), (hit, silent) in outcomes.items():
    shares = classify.outcome(hit, silent)
    for name, values in zip(("answered", "right_of_answered", "wrong_accepted"), shares):
        keys = (f"any.{method}.{test}.{name}{end}" for end in ("", "_low", "_high"))
        results |= dict(zip(keys, values))
    if test in SHOWN:
        of_answered = f"{shares.right[0]:.1%}" if shares.answered[0] else "–"
        text = f"{shares.answered[0]:.1%} / {of_answered} / {shares.wrong[0]:.1%} (≤ {shares.wrong[2]:.1%})"
        rows.setdefault(f"{NAMES[method]}, {len(hit):,} clouds", {})[SHOWN[test]] = text
gets = pd.DataFrame(rows).T.rename_axis("answered / right among these / wrong and accepted").reset_index()
run.save_table(gets, "table_10b_what_a_user_gets")
gets.style.hide(axis="index")

# %%
per_kind = max(10, calibration_per_class // 3)
kinds_of_none = ["quasi_random", *counterexamples.OTHER_PROTOTYPES]
strangers = counterexamples.make_counterexamples(dict.fromkeys(kinds_of_none, per_kind), seed + 6)
strangers = strangers.assign(shape=np.resize(clouds.SHAPES[:3], len(strangers)), n_atoms=256)
strange = inference.predict(model, spectra_of({"strangers": strangers})["strangers"])
strangers["refused"] = classify.is_refused(strange, thresholds)
refusals = strangers.groupby("prototype", sort=False).refused.mean()
results |= {f"any.refused.{kind}": share for kind, share in refusals.items()}
results |= {"any.refused.all": strangers.refused.mean(), "any.refused.least": refusals.min()}
results |= {"any.refused.crystals": refused.mean(), "any.error_rate": error_rate}
refusals.to_frame().style.format("{:.1%}")

# %% [markdown]
# Of other true crystals <!--=any.refused.crystals:.2%-->…<!--/--> are refused, of structures of none of the classes, kinds that the network has never
# seen, <!--=any.refused.all:.1%-->…<!--/-->, of the worst kind <!--=any.refused.least:.1%-->…<!--/-->.
#
# ## Networks to take along
#
# Three networks travel with the package: this one, the one for damaged crystals in the standard orientation (notebook 07) and that of
# the paper (notebook 04). Only the full profile replaces those in `lib/`.

# %%
weights = root() / "lib" / "xtalsight" / "weights" if profile == "full" else run.path("weights")
report.publish_weights(run.folder, weights, report.collect_results(run.folder) | results)
card = store.load_json(weights / "model_card.json")
pd.DataFrame({name: card[name] for name in ("compact", "any_orientation", "table_1")}).drop("accuracy")

# %%
results["time.08_any_orientation.earlier_seconds"] = sum(earlier)
run.save_results(results)

# %% [markdown]
# ## Exercises
#
# Write down what you expect, then run. The solutions are folded.
#
# ### Exercise 1: Which degrees does a cube have?
#
# $P_2$ of a cubic crystal vanishes. **Predict:** does it vanish for a *ball* of a cubic crystal, and for a random convex piece? And
# when half of the atoms are missing? Hint: `clouds.cut_cloud`, `spectrum`; compare $P_2$ with $P_4$ on the shell where $P_0$ is largest.

# %% tags=["hide-cell"]
# @title Solution 1
dice = np.random.default_rng(seed)
pieces = {shape: clouds.cut_cloud(bulk("Cu"), 256, shape, dice) for shape in ("sphere", "convex")}
pieces["sphere, half of its atoms"] = damage.remove_atoms(pieces["sphere"], 0.5, dice)
rows = {}
for name, atoms in pieces.items():
    power_of = of_places(spectrum(atoms))
    brightest = power_of[power_of[:, 0].argmax()]
    rows[name] = brightest[:4] / brightest[2]
pd.DataFrame(rows, index=[f"P{l} / P4" for l in DEGREES[:4]]).round(3)

# %% [markdown]
# <details><summary>Answer</summary>
#
# In the ball it nearly vanishes: a ball has no direction of its own, but its atoms, cut off at random, are not quite a ball. A convex piece has a
# shape, and so does each of its peaks, which breaks the symmetry of the cube a little; missing atoms add a speckle that has all
# degrees alike. The pattern of bright degrees stays.
#
# </details>
#
# ### Exercise 2: Turn one shell against another
#
# **Predict:** multiply the $a_{lm}$ of every second shell by phases $e^{i m \varphi}$, which turns these shells by φ about z: what
# becomes of the spectra? Of which crystal are they then? Hint: `harmonics`, `power`.

# %% tags=["hide-cell"]
# @title Solution 2
coefficients = harmonics(ball)[0]
twisted = coefficients.copy()
twisted[::2] *= np.exp(1j * np.arange(coefficients.shape[-1]) * 0.7)
float(np.abs(power(twisted) - power(coefficients)).max())

# %% [markdown]
# <details><summary>Answer</summary>
#
# Nothing changes. The spectra are those of a function that is perhaps the diffraction of no crystal at all: this is what is lost. A
# fingerprint that keeps it would multiply harmonics of different shells (the bispectrum), at a higher price.
#
# </details>
#
# ## Summary
#
# - The power of each degree of spherical harmonics on each shell of scattering vectors does not change when atoms are turned; with it,
#   orientation and cell need not be known: <!--=any.spectra.vacancies_25.accuracy:.2%-->…<!--/--> at 25 % vacancies.
# - Lost are the orders m; where grains of one metal meet, they are just what tells these apart: notebook 13 keeps them.
#
# Next: [09 Whom must it refuse, and does it hold for real crystals?](09_whom_to_refuse.ipynb) shows it what is none of the seven, and real
# crystals.
