# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which method names the crystal?
#
# **In:** the networks of the lessons, and other methods that can be asked. **Out:** one table, the same structures
# for all methods: how often each answers, how often it is right, and what it costs.
#
# **Result:** with a quarter of the atoms missing, in any orientation, the spectra
# answer <!--=fair.spectra.cloud_25.answered:.0%-->100%<!--/--> of the clouds and are right
# for <!--=fair.spectra.cloud_25.right_of_answered:.0%-->100%<!--/--> of these; SOAP with a linear classifier, trained on
# some of the same clouds, is right for <!--=fair.soap.cloud_25.right_of_answered:.0%-->99%<!--/--> of those that it
# answers, too few clouds to tell it from the spectra; template matching for <!--=fair.ptm.cloud_25.right_of_answered:.0%-->58%<!--/--> of
# the <!--=fair.ptm.cloud_25.answered:.0%-->65%<!--/--> that it answers.
#
# ![What each method answers, test by test](../figures/fig_17_methods.png)
#
# **Time:** about <!--=time.22_methods_side_by_side.minutes:.0f-->13<!--/--> minutes on two cores; one with the
# parameters below, with which the networks have learned little. The numbers in the text are those of the full run.

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
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from pymatgen.analysis.prototypes.matcher import PrototypeDatabaseMatcher
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xtalsight import classify, clouds, crystals, damage, dataset, inference, networks, preparation, rivals, store
from xtalsight.crystals import CLASS_OF_SPACE_GROUP, CLASSES, PROTOTYPES
from xtalsight.fingerprints import DiffractionGeometry, fingerprint
from xtalsight.rivals import NO_ANSWER
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of the structures
threads = 2  # of TensorFlow
per_kind = 1  # structures of each of the 15 prototypes in each test
matched_every = 8  # the methods that take a second a structure see one in so many
train_every = 2  # SOAP and bond orders learn from one in so many of the clouds that the spectra learned from

# %%
run = Run("22_methods_side_by_side", profile)
run.needs("10_which_prototype")
networks.make_reproducible(seed, threads)
unseen = store.load_json(run.path("held_out_elements.json"))
results = {}

# %% [markdown]
# ## The same structures for all
#
# Three tests are of supercells as crystallographers have them: with their cell, in the standard orientation. Six are
# of clouds as simulations and tomography give them: without a cell, in any orientation. All are of elements that no
# network of lessons 03, 06 and 08 was trained on, and no method here learned from these crystals.

# %%
CELLS = {"cell_0": {}, "cell_25": {"vacancies": 0.25}, "cell_s10": {"displacement": 0.1}}
CLOUDS = {
    "cloud_0": {}, "cloud_25": {"vacancies": 0.25}, "cloud_50": {"vacancies": 0.5}, "cloud_s10": {"displacement": 0.1},
    "cloud_w7": {"waves": 0.07}, "cloud_64": {"n_atoms": 64, "shape": "sphere"},
}  # fmt: skip
TITLES = dict(zip([*CELLS, *CLOUDS], [
    "cell: perfect", "cell: 25 % vacancies", "cell: displaced 10 %", "cloud: perfect", "cloud: 25 % vacancies",
    "cloud: 50 % vacancies", "cloud: displaced 10 %", "cloud: waves of 7 %", "cloud: 64 atoms",
]))  # fmt: skip

# %%
base = crystals.make_recipes(dict.fromkeys(PROTOTYPES, per_kind), seed + 7, elements=unseen)
cells = base.assign(nearest=crystals.neighbour_distances(base))
free = clouds.pristine(base).assign(anisotropy=1.0)
tests = {name: damage.damaged(cells, **how) for name, how in CELLS.items()}
tests |= {name: damage.damaged(free, **how) for name, how in CLOUDS.items()}
truth = {name: table.label.to_numpy() for name, table in tests.items()}
slow = np.arange(len(base)) % matched_every == 0
print(f"{len(tests)} tests of {len(base)} structures; the slow methods see {slow.sum()} of each test")

# %% [markdown]
# ## What each method looks at
#
# One pass over the structures, timed, computes what each method looks at: fingerprints, spectra, SOAP, bond orders,
# the votes of the atoms. The median time for one structure on one core is in the second table.

# %%
NEIGHBOURS = {
    "ptm": "polyhedral template matching",
    "cna": "adaptive common-neighbour analysis",
    "ackland_jones": "Ackland-Jones",
}
POWDER = DiffractionGeometry(scale="powder")


def bond_orders(atoms):
    """Mean and standard deviation over the atoms of Steinhardt's parameters."""
    values = rivals.steinhardt(atoms)
    return np.concatenate([values.mean(axis=0), values.std(axis=0)])


def segmented(atoms):
    """The class that most atoms have by template matching with grain segmentation."""
    labels = rivals.segmented_grains(atoms)[1]
    labels = labels[labels != NO_ANSWER]
    return int(np.bincount(labels).argmax()) if len(labels) else NO_ANSWER


# %%
LOOKS = {"table_1": fingerprint, "compact": lambda atoms: fingerprint(atoms, POWDER)}
LOOKS["spectra"] = lambda atoms: classify.spectra_of(preparation.prepare(atoms))
if rivals.HAS_OVITO:
    LOOKS |= {key: lambda atoms, name=name: rivals.neighbour_class(atoms, name) for key, name in NEIGHBOURS.items()}
    LOOKS["ptm_grains"] = segmented
if rivals.HAS_FREUD:
    LOOKS["steinhardt"] = bond_orders
if rivals.HAS_DSCRIBE:
    LOOKS["soap"] = rivals.soap
SYMMETRY = {"spglib": (0.1, 5.0), "spglib_tight": (1e-3, 1.0)}


# %%
def looked_at(recipe):
    """What each method sees of a structure, and the seconds that it takes."""
    is_cloud = isinstance(recipe.get("shape"), str)
    atoms = (clouds.build_cloud if is_cloud else crystals.build_crystal)(recipe)
    looks = dict(LOOKS)
    if not is_cloud:
        looks |= {key: lambda a, t=t: rivals.space_group_class(a, *t) for key, t in SYMMETRY.items()}
    found = {}
    for method, look in looks.items():
        start = time.perf_counter()
        try:
            found[method] = look(atoms)
        except ValueError:  # too few atoms, or no length scale: no answer
            found[method] = None
        found[f"{method} seconds"] = time.perf_counter() - start
    return found


# %%
todo = [recipe for table in tests.values() for recipe in table.to_dict("records")]
which = np.repeat(list(tests), len(base))
seen_by = pd.DataFrame(dataset.in_parallel(looked_at, todo, "all methods"))
labels = np.concatenate([truth[name] for name in tests])

# %% [markdown]
# ## What each answers
#
# Two networks look at fingerprints: that of the paper, trained on perfect crystals (lesson 03), and the compact one,
# trained on damaged crystals (lesson 06), which refuses below its thresholds. Nearest neighbour is the simplest
# method of all: the class of the most similar of the known fingerprints, some of those of lesson 02, perfect and with
# 25 % vacancies, without the elements tested.

# %%
NOT_ASKED, OTHER = -2, -3
answers = {}  # of each method: class, OTHER prototype, or NO_ANSWER
table_1, compact = (networks.load(run.path(f"{name}.keras")) for name in ("table_1_grouped", "robust"))
answers["table_1"] = inference.predict(table_1, np.stack(seen_by.table_1)).argmax(axis=1)
probabilities = inference.predict(compact, np.stack(seen_by["compact"]), mirrored=True)
refused = classify.is_refused(probabilities, store.load_json(run.path("robust.json"))["thresholds"])
answers["compact"] = np.where(refused, NO_ANSWER, probabilities[:, : len(CLASSES)].argmax(axis=1))

# %%
recipes, known, _ = dataset.load(run.path(""))
trained = ~recipes.element.isin(unseen).to_numpy()
stack = np.concatenate([known[kind][trained][::train_every] for kind in ("pristine", "vacancies")])
nearest = KNeighborsClassifier(1, n_jobs=1).fit(
    stack.reshape(len(stack), -1), np.tile(recipes.label[trained][::train_every], 2)
)
start = time.perf_counter()
answers["nearest"] = nearest.predict(np.stack(seen_by.table_1).reshape(len(todo), -1))
seen_by["nearest seconds"] = seen_by["table_1 seconds"] + (time.perf_counter() - start) / len(todo)

# %% [markdown]
# Two networks look at spectra, as a user meets them: that for any orientation (lesson 08) with its thresholds, and
# that for hundreds of prototypes (lesson 10), whose answers are translated into classes.

# %%
card = store.load_json(run.path("any_orientation.json"))
spectra = [*seen_by.spectra]
best, _, refused = classify.decide(
    networks.load(run.path("any_orientation.keras")), np.array(card["thresholds"]), spectra
)
answers["spectra"] = np.where(refused, NO_ANSWER, best)

network, its_card = classify.load_prototypes(run.path("prototypes"))
groups = its_card["groups"]
of_group = np.array([CLASSES.index(group["class"]) if group["class"] else OTHER for group in groups])
chances = np.stack([classify.predict_groups(network, its_card, balls).mean(axis=0) for balls in spectra])
best = chances[:, :-1].argmax(axis=1)
answers["prototypes"] = np.where(chances.max(axis=1) < its_card["threshold"], NO_ANSWER, of_group[best])
seen_by["prototypes seconds"] = seen_by["spectra seconds"]

# %% [markdown]
# SOAP and Steinhardt's bond orders learn from some of the clouds that the spectra learned from, including structures
# of none of the classes, and refuse what they call none. **Predict:** which loses more when half of the atoms are
# missing, a linear classifier on SOAP or the network for spectra?

# %%
learn = pd.concat([store.load_table(run.path(f"any/{name}.csv")) for name in ("train", "others")])[::train_every]
CLASSIFIERS = {
    "soap": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=10.0)),
    "steinhardt": HistGradientBoostingClassifier(random_state=seed),
}


def described(recipe, method):
    """What a method sees of a cloud to learn from, or None."""
    try:
        return LOOKS[method](clouds.build_cloud(recipe))
    except ValueError:
        return None


# %%
for method in CLASSIFIERS.keys() & LOOKS.keys():
    start = time.perf_counter()
    pairs = [(recipe, method) for recipe in learn.to_dict("records")]
    vectors = dataset.in_parallel(lambda pair: described(*pair), pairs, method)
    there = np.array([vector is not None for vector in vectors])
    model = CLASSIFIERS[method].fit(np.stack([v for v in vectors if v is not None]), learn.label[there])
    results[f"fair.{method}.learning.minutes"] = (time.perf_counter() - start) / 60
    found = np.array([vector is not None for vector in seen_by[method]])
    answers[method] = np.full(len(todo), NO_ANSWER)
    answers[method][found] = model.predict(np.stack(seen_by[method][found]))
    answers[method][answers[method] == len(CLASSES)] = NO_ANSWER  # none of the seven
results["fair.learned_from"] = len(learn)

# %% [markdown]
# In template matching and the like, each atom is named by its neighbours, and the atoms vote. Symmetry needs the
# cell. pymatgen's matcher compares the cell with each of AFLOW's prototypes, and MatID looks for the cell that
# repeats, whose space group spglib finds.

# %%
for method in [*NEIGHBOURS, "ptm_grains", *SYMMETRY]:
    if method in seen_by:
        answers[method] = seen_by[method].fillna(NO_ANSWER).to_numpy().astype(int)
matcher = PrototypeDatabaseMatcher(pd.DataFrame(AFLOW_PROTOTYPE_LIBRARY))


def matched(atoms):
    """The class of the prototype that pymatgen's matcher finds."""
    found = matcher.get_prototypes(AseAtomsAdaptor.get_structure(atoms)) or []
    labels = {CLASS_OF_SPACE_GROUP.get(int(one["tags"]["aflow"].split("_")[2]), NO_ANSWER) for one in found}
    return labels.pop() if len(labels) == 1 else NO_ANSWER


def repeating(atoms):
    """The class of the space group of the cell that MatID finds to repeat."""
    return rivals.space_group_class(rivals.repeating_cell(atoms), 0.1, 5.0)


# %%
BY_CELL = {"matcher": matched} | ({"matid": repeating} if rivals.HAS_MATID else {})


def asked_by_cell(recipe):
    """Answers and seconds of the methods that compare cells."""
    atoms, found = crystals.build_crystal(recipe), {}
    for method, ask in BY_CELL.items():
        start = time.perf_counter()
        try:
            found[method] = ask(atoms)
        except Exception:  # noqa: BLE001  what other libraries raise has no end
            found[method] = NO_ANSWER
        found[f"{method} seconds"] = time.perf_counter() - start
    return found


# %%
rows = np.flatnonzero(np.isin(which, list(CELLS)) & np.tile(slow, len(tests)))
by_cell = pd.DataFrame(dataset.in_parallel(asked_by_cell, [todo[i] for i in rows], "by cell"), index=rows)
for method in BY_CELL:
    answers[method] = by_cell[method].reindex(range(len(todo)), fill_value=NOT_ASKED).to_numpy()
    seen_by[f"{method} seconds"] = by_cell[f"{method} seconds"]

# %% [markdown]
# ## One table
#
# Each entry says *answered / right among the answered (95 % interval)*, in percent. For a hot tetragonal crystal that
# waves may make look cubic, either name counts as right, for every method.

# %%
METHODS = {
    "table_1": "network of the paper, perfect crystals", "compact": "compact network, damaged crystals",
    "nearest": "nearest known fingerprint", "spectra": "spectra, seven classes",
    "prototypes": "spectra, hundreds of prototypes", "soap": "SOAP + linear classifier",
    "steinhardt": "Steinhardt + forest", "ptm": "template matching", "ptm_grains": "template matching + grains",
    "cna": "adaptive common neighbours", "ackland_jones": "Ackland–Jones", "spglib": "spglib, 0.1 Å, 5°",
    "spglib_tight": "spglib, 0.001 Å, 1°", "matcher": "pymatgen's matcher", "matid": "MatID + spglib",
}  # fmt: skip
also = np.concatenate([crystals.known_labels(table) for table in tests.values()])
shares = {}
for method in METHODS.keys() & answers.keys():
    for test in tests:
        asked = (which == test) & (answers[method] != NOT_ASKED)
        if method in SYMMETRY | BY_CELL and test in CLOUDS:
            continue
        answer = answers[method][asked]
        right = (answer == labels[asked]) | (answer == also[asked])
        shares[method, test] = classify.outcome(right, answer == NO_ANSWER)


# %%
def cell(method, test):
    """One cell of the table."""
    if (method, test) not in shares:
        return "–"
    answered, right, _ = shares[method, test]
    if answered[0] == 0:
        return "0 / –"
    return f"{100 * answered[0]:.0f} / {100 * right[0]:.0f} ({100 * right[1]:.0f}–{100 * right[2]:.0f})"


asked = [method for method in METHODS if method in answers]
table = pd.DataFrame({TITLES[test]: [cell(method, test) for method in asked] for test in tests})
table.insert(0, "answered / right of these, %", [METHODS[method] for method in asked])
PUBLISHED = {
    "network of the paper (their arrays, not run here)": {"cell: perfect": "100 / 100", "cell: 25 % vacancies": "100 / 100"},
    "network of the report (their arrays, not run here)": {"cell: perfect": "100 / 100", "cell: 25 % vacancies": "100 / 100 (tested on the training data)"},
}  # fmt: skip
quoted = pd.DataFrame(PUBLISHED).T.rename_axis(table.columns[0]).reset_index()
table = pd.concat([table, quoted]).fillna("–")
run.save_table(table, "table_13_methods")
table.style.hide(axis="index")

# %% [markdown]
# **Every atom.** Methods that name single atoms are compared elsewhere, on polycrystals
# ([20](20_polycrystals_compared.ipynb)): without vacancies, the [Bragg waves](../docs/glossary.md#wave) of the grains
# name <!--=atoms.five.accepted.vacancies_0:.1%-->99.9%<!--/--> of all atoms of five classes correctly, template
# matching <!--=atoms.five.ptm.vacancies_0:.1%-->70.5%<!--/-->, by
# grain <!--=atoms.five.ptm_grains.vacancies_0:.1%-->99.1%<!--/-->; DC4, measured for this study but not run here, 96.6 %.
# ARISE, by its paper, knows 108 classes; it gives no number for these tests.

# %%
given = pd.DataFrame(index=asked, columns=list(tests), dtype=float)
for (method, test), (answered, right, wrong) in shares.items():
    given.loc[method, test] = answered[0] - wrong[0]
figure, ax = plt.subplots(figsize=(8, 0.34 * len(asked) + 1.6), layout="constrained")
image = ax.imshow(given, cmap=plt.colormaps["cividis"].with_extremes(bad="white"), vmin=0, vmax=1, aspect="auto")
for (row, column), value in np.ndenumerate(given.to_numpy()):
    ax.text(column, row, "–" if np.isnan(value) else f"{value:.0%}", ha="center", va="center", fontsize=7,
            color="black" if np.isnan(value) or value > 0.5 else "white")  # fmt: skip
ax.set_xticks(range(len(tests)), [TITLES[test].replace(": ", ":\n") for test in tests], rotation=45, ha="right")
ax.set_yticks(range(len(asked)), [METHODS[method] for method in asked])
figure.colorbar(image, label="answered and right, share of all")
run.save_figure(figure, "fig_17_methods")

# %% [markdown]
# *Share of all structures that are answered and right. A dash: the method cannot be asked, since a cloud has no
# cell.* The methods fall into four groups. Symmetry and matching are made for perfect cells, and answer nothing once
# atoms are missing or displaced, except MatID (<!--=fair.matid.cell_25.answered:.0%-->43%<!--/--> of the cells without a
# quarter of their atoms). Methods on fingerprints need the standard orientation; among them, the compact network
# withstands damage, and refuses nearly all clouds. Neighbour methods need no orientation, but do need the neighbours,
# and have no type for some classes. Bond orders know all classes, but need the neighbours, too: with half of the atoms
# missing, <!--=fair.steinhardt.cloud_50.right_of_answered:.0%-->73%<!--/--> of their answers are right. Spectra and SOAP,
# which learn from damaged clouds, need neither cell nor orientation, and hardly lose anything to missing atoms: with
# half of them, <!--=fair.spectra.cloud_50.right_of_answered:.0%-->100%<!--/--> of the answers of the spectra are right
# and <!--=fair.soap.cloud_50.right_of_answered:.0%-->99%<!--/--> of SOAP's. Displacements of 10 % cost SOAP
# more: <!--=fair.spectra.cloud_s10.right_of_answered:.0%-->100%<!--/-->
# and <!--=fair.soap.cloud_s10.right_of_answered:.0%-->93%<!--/-->.
#
# ## What it costs

# %%
BUDGET = {
    "table_1": f"{int(trained.sum()):,} fingerprints", "compact": "fingerprints of lesson 06", "nearest": f"{len(stack):,} fingerprints",
    "spectra": "clouds of lesson 08", "prototypes": "clouds of lesson 10", "soap": f"{len(learn):,} clouds", "steinhardt": f"{len(learn):,} clouds",
}  # fmt: skip
NEEDS = {"table_1": "standard orientation", "compact": "standard orientation", "nearest": "standard orientation"}
NEEDS |= {method: "periodic cell" for method in ("spglib", "spglib_tight", "matcher", "matid")}
KNOWS = {
    "ptm": "bcc, diamond, fcc, hcp, graphite, sc",
    "ptm_grains": "as template matching",
    "cna": "bcc, fcc, hcp",
    "ackland_jones": "bcc, fcc, hcp",
}
milliseconds = {method: 1000 * seen_by[f"{method} seconds"].median() for method in asked}
cost = pd.DataFrame({
    "method": [METHODS[m] for m in asked],
    "learns from": [BUDGET.get(m, "nothing") for m in asked],
    "ms a structure, one core": [f"{milliseconds[m]:.1f}" for m in asked],
    "needs": [NEEDS.get(m, "–") for m in asked],
    "knows": [KNOWS.get(m, "all seven") for m in asked],
})  # fmt: skip
run.save_table(cost, "table_13a_cost")
cost.style.hide(axis="index")

# %% [markdown]
# *Median time that a method takes to compute its input from the atoms, on one core. The classifiers that follow take
# little more when asked about many structures at once; the cost of training is in the lessons.*
#
# ## Exercises
#
# ### Exercise 1: Refuse, or guess?
#
# Template matching leaves many damaged clouds without an answer. **Predict:** if each of these got a class at random,
# what share of all clouds would be right with a quarter of the atoms missing? Compute it from `shares`.

# %% tags=["hide-cell"]
# @title Solution 1
method = "ptm" if ("ptm", "cloud_25") in shares else "table_1"
answered, right, wrong = (triple[0] for triple in shares[method, "cloud_25"])
with_guesses = (answered - wrong) + (1 - answered) / len(CLASSES)
assert answered - wrong <= with_guesses <= 1, "a guess adds a seventh of what was not answered"
print(f"right without guesses {answered - wrong:.0%}, with guesses {with_guesses:.0%}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# A guess is right once in seven: guessing adds a seventh of what was not answered, and makes the other six sevenths
# wrong. That is why *answered* and *right among the answered* stand side by side: by accuracy alone, a method that
# guesses looks better.
#
# </details>
#
# ### Exercise 2: Is the difference real?
#
# **Predict:** with so few structures, which methods can you say differ on perfect clouds? Compare the 95 % intervals
# of the share that is right among the answered.

# %% tags=["hide-cell"]
# @title Solution 2
intervals = {m: shares[m, "cloud_0"][1] for m in asked if (m, "cloud_0") in shares and shares[m, "cloud_0"][0][0] > 0}
apart = [(a, b) for a in intervals for b in intervals if intervals[a][1] > intervals[b][2]]
assert all(intervals[a][0] > intervals[b][0] for a, b in apart), "the lower end of a is above the upper end of b"
print(f"{len(apart)} of {len(intervals) * (len(intervals) - 1) // 2} pairs have intervals that do not overlap")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Methods that know the standard orientation only, or lack types for some classes, differ clearly from the spectra in
# the full run. SOAP and the bond orders do not; on damaged clouds the bond orders do
# (<!--=fair.steinhardt.cloud_50.right_of_answered:.0%-->73%<!--/--> with half of the atoms missing). With displacements
# of 10 %, SOAP's interval ends at <!--=fair.soap.cloud_s10.right_of_answered_high:.1%-->96.6%<!--/-->, and that of the
# spectra begins at <!--=fair.spectra.cloud_s10.right_of_answered_low:.1%-->96.9%<!--/-->. Intervals that overlap do not
# prove that two methods are alike.
#
# </details>

# %%
for (method, test), triples in shares.items():
    for what, triple in zip(("answered", "right_of_answered", "wrong"), triples):
        keys = [f"fair.{method}.{test}.{what}{end}" for end in ("", "_low", "_high")]
        results |= dict(zip(keys, triple))
results |= {f"fair.{method}.seconds": ms / 1000 for method, ms in milliseconds.items()}
results |= {"fair.structures": len(base), "fair.matcher_structures": slow.sum()}
run.save_results(results)

# %% [markdown]
# ## Summary
#
# - The same structures for all: nine tests, <!--=fair.structures-->120<!--/--> structures each (pymatgen's matcher and
#   MatID: <!--=fair.matcher_structures-->30<!--/-->).
# - What a method needs counts, too: a cell, a standard orientation, a list of classes that it knows.
# - With damage and in any orientation, the spectra and SOAP lead, both learned from damaged clouds. Bond orders fall
#   behind when half of the atoms are missing or all are displaced, methods with a fixed list of neighbourhoods long
#   before.
#
# The numbers behind all pages: [99 What came out?](99_report.ipynb)
