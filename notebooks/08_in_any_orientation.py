# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What if the orientation is unknown?
#
# **In:** clouds of atoms without a cell, of any shape, in random orientation. **Out:** their class.
#
# **Result:** [spectra](../docs/glossary.md#spectrum), which no rotation changes, tell the seven
# [classes](../docs/glossary.md#class) apart. Of clouds of 256 places, of elements never seen, a network
# names <!--=any.spectra.vacancies_25.accuracy:.2%-->99.90%<!--/--> correctly without 25 % of their atoms
# and <!--=any.spectra.vacancies_70.accuracy:.2%-->99.86%<!--/--> without 70 %. The network for the standard orientation
# manages <!--=any.compact.vacancies_25.accuracy:.0%-->39%<!--/-->
# and <!--=any.compact.vacancies_70.accuracy:.0%-->46%<!--/-->.
#
# ![Spectra of a ball and of the same ball rotated](../figures/fig_14_turned.png)
#
# **Time:** about <!--=time.08_in_any_orientation.minutes:.0f-->20<!--/--> minutes on two cores; about two with the
# parameters below, with which the network learns little. The numbers in the text are those of the full run.

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

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ase import Atoms
from ase.build import bulk
from keras import layers
from matplotlib import colormaps
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from xtalsight import classify, clouds, counterexamples, crystals, damage, dataset, inference, networks, plots, store
from xtalsight.crystals import CLASSES, PROTOTYPES
from xtalsight.fingerprints import DiffractionGeometry, fingerprint, length_scale
from xtalsight.spectra import DEGREES, ON_RING, SHELLS, harmonics, of_places, power, spectrum
from xtalsight.study import report
from xtalsight.study.profiles import Run, root

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results come from and go: build/<profile>
seed = 0  # of structures, weights and the order of the spectra
threads = 2  # of TensorFlow: results differ between numbers of threads
train_per_kind = 4  # crystals of each of the 15 prototypes to train on, of the hard ones more
counterexamples_to_learn = 10  # structures of none of the classes to train on, times 6.75
epochs = 12  # of the network
test_per_kind = 3  # clouds of each prototype in each test, of four shapes by turns
few_per_kind = 1  # of these, for slower methods
calibration_per_class = 20  # clouds of each class that set the thresholds of the verdict
error_rate = 0.1  # fraction of the true crystals of each class that may be refused

# %%
run = Run("08_in_any_orientation", profile)
run.needs("06_damage")
networks.make_reproducible(seed, threads)
unseen = store.load_json(run.path("held_out_elements.json"))  # every test below is made of these
seen = [element for element in crystals.ELEMENTS if element not in unseen]
rng = np.random.default_rng(seed)
earlier = []  # seconds of what an interrupted run had done

# %% [markdown]
# ## What a rotation does
#
# Rotate a ball of copper atoms at random. **Predict:** what happens to its
# [fingerprint](../docs/glossary.md#fingerprint)?

# %%
ball = clouds.cut_cloud(bulk("Cu", cubic=True), 256, "sphere", rng)
rotations = Rotation.random(20, rng=rng).as_matrix()
rotated = [Atoms(ball.numbers, ball.positions @ rotation.T) for rotation in rotations]
figure, axes = plt.subplots(1, 4, figsize=(10, 2.6), layout="constrained")
brightest = spectrum(ball)[0].max()
for two, (atoms, title) in zip((axes[::2], axes[1::2]), ((ball, "as cut"), (rotated[0], "rotated"))):
    plots.draw_fingerprint(fingerprint(atoms), two[0]).set_title(f"fingerprint, {title}")
    plots.draw_spectrum(spectrum(atoms)[0], two[1]).set_title(f"spectra, {title}")
    two[1].images[0].set_clim(0, brightest)
run.save_figure(figure, "fig_14_turned")


# %%
def change(function):
    """Largest relative change of a function of the atoms under the rotations, in the root of the sum of squares."""
    before = function(ball)
    return max(np.linalg.norm(function(atoms) - before) / np.linalg.norm(before) for atoms in rotated)


changes = {"fingerprint": change(fingerprint), "spectrum": change(spectrum)}
start = time.perf_counter()
for atoms in rotated:
    spectrum(atoms)
milliseconds = 1000 * (time.perf_counter() - start) / len(rotated)
pd.Series(changes, name="largest change").map("{:.2%}".format).to_frame()

# %% [markdown]
# *The same ball twice; the spectra share a colour scale.* The fingerprint changes by up
# to <!--=any.turn.fingerprint:.0%-->137%<!--/--> of its size: a network trained in the standard orientation has never
# seen the like. The spectra change by at most <!--=any.turn.spectrum:.1%-->0.2%<!--/-->, and
# take <!--=any.milliseconds:.1f-->5.2<!--/--> ms. What are they?
#
# ## The spectrum by hand
#
# Keep the length of the scattering vector $\mathbf{s}$ fixed and let its direction vary. The intensity
#
# $$ S(\mathbf{s}) = \frac{1}{N} \left| \sum_j e^{-2 \pi i \mathbf{s} \cdot \mathbf{r}_j} \right|^2 $$
#
# is then a function on a sphere, a *shell*. Here it is on copper's brightest shell, on a grid of directions.
# Positions are divided by the [length scale](../docs/glossary.md#length-scale) of the powder pattern.

# %%
cosine, weight = np.polynomial.legendre.leggauss(48)
theta, phi = np.meshgrid(np.arccos(cosine), 2 * np.pi * np.arange(96) / 96, indexing="ij")
area = weight[:, None] * 2 * np.pi / 96  # of the sphere around each direction
directions = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
shell = spectrum(ball)[0][:, 0].argmax()


def intensity(atoms):
    positions = (atoms.positions - atoms.positions.mean(axis=0)) / length_scale(atoms, "powder")
    amplitude = np.exp(-2j * np.pi * SHELLS[shell] * directions @ positions.T).sum(axis=-1)
    return np.abs(amplitude) ** 2 / len(atoms)


# %% [markdown]
# Now expand it in spherical harmonics, and add up the squares of all orders *m* of a degree *l*:
#
# $$ a_{lm} = \int S \, Y_{lm}^* \, d\Omega, \qquad P_l = \sqrt{\frac{1}{4\pi} \sum_{m=-l}^{l} |a_{lm}|^2}. $$
#
# **Predict:** which of S, $a_{lm}$ and $P_l$ depend on the orientation?


# %%
def power_by_hand(S):
    powers = []
    for l in DEGREES:
        a = [(area * S * sph_harm_y(l, m, theta, phi).conj()).sum() for m in range(-l, l + 1)]
        powers.append(np.sqrt(np.sum(np.abs(a) ** 2) / (4 * np.pi)))
    return np.array(powers)


S, S_rotated = intensity(ball), intensity(rotated[0])
by_hand, by_hand_rotated = power_by_hand(S), power_by_hand(S_rotated)
np.testing.assert_allclose(by_hand, spectrum(ball)[0][shell], atol=0.01 * by_hand.max())  # of the library
np.testing.assert_allclose(by_hand, by_hand_rotated, atol=1e-3 * by_hand.max())  # of the rotated ball

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 2.7), layout="constrained")
for ax, values, title in zip(axes, (S, S_rotated), ("S on the shell, as cut", "S on the shell, rotated")):
    image = ax.pcolormesh(np.degrees(phi), cosine, values**0.5, vmin=0, vmax=S.max() ** 0.5)
    ax.set(title=title, xlabel="φ (degrees)", ylabel="cos θ", xticks=(0, 90, 180, 270))
figure.colorbar(image, ax=axes[:2], label="√S")
axes[2].bar(DEGREES - 0.35, by_hand, 0.7, color="0.35", label="as cut")
axes[2].bar(DEGREES + 0.35, by_hand_rotated, 0.7, color="0.75", label="rotated")
axes[2].set(
    title="power of each degree", xlabel="degree l", ylabel="$P_l$", ylim=(0, 1.4 * by_hand.max()), xticks=DEGREES[::4]
)
axes[2].legend(ncols=2, loc="upper center")
run.save_figure(figure, "fig_14c_by_hand")

# %% [markdown]
# *The eight {111} peaks of copper: a rotation moves them and leaves the power of each degree.* A rotation mixes only
# the $2l + 1$ coefficients *of one degree*, by a unitary matrix, so the sum of their squares stays. Odd degrees
# vanish, since $S(-\mathbf{s}) = S(\mathbf{s})$ (Friedel). $P_0$ is the mean over all directions, the powder pattern;
# the other degrees tell how the peaks of a shell are arranged.
#
# How many shells and degrees are enough? For a cloud of diameter $D$, $S$ has no period shorter than $1/D$, so shells
# may lie $1/2D$ apart. For 256 atoms that makes <!--=any.shells-->23<!--/--> shells on the
# [ring](../docs/glossary.md#ring) of the fingerprint and <!--=any.inner_shells-->6<!--/--> inside it, where only
# compounds have peaks. The <!--=any.degrees-->15<!--/--> even degrees go up to <!--=any.largest_degree-->28<!--/-->,
# fine enough for the width of a peak. `spectrum(atoms)` has them all, here for a ball of each class and one of random
# points. **Predict:** which degree is missing in cubic crystals?

# %%
examples = ["bcc", "bct_in", "beta_sn", "diamond", "fcc", "hcp", "sc"]  # a prototype for each class
recipes = crystals.make_recipes(dict.fromkeys(examples, 1), seed, elements=unseen)
cells = [crystals.primitive_cell(recipe) for recipe in recipes.to_dict("records")]
balls = [clouds.cut_cloud(cell, 256, "sphere", rng) for cell in cells]
gas = counterexamples.make_counterexamples({"hard_spheres": 1}, seed).iloc[0]
balls.append(clouds.cut_cloud(counterexamples.build_counterexample(gas), 256, "sphere", rng))
figure, axes = plt.subplots(2, 4, figsize=(10, 5), sharex=True, sharey=True, layout="constrained")
stack = np.array([spectrum(atoms)[0] for atoms in balls])
for ax, values, name, color in zip(axes.flat, stack, [*CLASSES, "random points"], [*plots.CLASS_COLORS, "black"]):
    plots.draw_spectrum(values, ax).set_title(name, color=color)
    ax.images[0].set_clim(0, stack.max())
    ax.label_outer()
figure.colorbar(axes[0, 0].images[0], ax=axes, label="$P_l$, one scale for all", shrink=0.8)
run.save_figure(figure, "fig_14a_spectra")

# %% [markdown]
# *A row is a shell, dark between the peaks of the powder pattern.* Cubic crystals have no degree 2; their peaks in 6,
# 8 or 12 directions make a pattern of bright and dark degrees. Random points have their mean, $P_0$, and faint
# [speckle](../docs/glossary.md#speckle).
#
# Something is lost: $2l + 1$ orders become one number, so shells may rotate against each other and nothing changes
# (exercise 2). Among the perfect balls that we compared, no two classes have equal spectra; nearly cubic tetragonal
# crystals come closest ([evidence](18_orientations_compared.ipynb)).
#
# ## Clouds to train on
#
# Balls, random convex bodies, pieces of a slab, wire or corner, and supercells, of 40 to 512 atoms, in random
# orientation. [Prototypes](../docs/glossary.md#prototype) close to another class appear more often; half of the extra
# tetragonal crystals are among the nearest to bcc or fcc.

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
# Up to 86 % of the atoms are missing and the others displaced by up to 20 % of the neighbour distance, the more of
# one the less of the other; one cloud in sixteen stays perfect. In about half, part of the displacement is *thermal
# [waves](../docs/glossary.md#wave)*: neighbours move together. A crystal strained by up to 2 % keeps its label.

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
# A fifth of the clouds hold a piece of another grain, and some a twin; the class is that of the larger part. Some
# stacks of close-packed layers have faults. In some clouds the damage repeats, as in a small periodic cell.

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
to_train.groupby("label").agg(clouds=("id", "size"), atoms=("n_atoms", "median")).rename(index=dict(enumerate(CLASSES)))

# %% [markdown]
# We add structures of none of the classes: random crystals of other space groups, ordered subsets of cubic classes,
# random points. (All these numbers, and the size of the network, were chosen after looking at tests like those
# below.)

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


# %%
def spectra_of(tables):
    """Spectra of the clouds of tables of recipes, by name."""
    paths = {run.path(f"any/{name}.zarr"): recipes for name, recipes in tables.items()}
    start = time.perf_counter()
    failures, seconds = dataset.write_spectra(paths, build=clouds.build_cloud)
    earlier.append(max(0, seconds - (time.perf_counter() - start)))
    if len(failures):
        raise ValueError(f"{len(failures)} structures have no spectra: {failures.error.iloc[0]}")
    for name, recipes in tables.items():
        store.save_table(run.path(f"any/{name}.csv"), recipes)
    return {name: of_places(dataset.read_fingerprints(path)) for name, path in zip(tables, paths)}


train_spectra = np.concatenate([spectra_of({"train": to_train})["train"], spectra_of({"others": others})["others"]])
train_labels = np.concatenate([to_train.label, others.label])

# %% [markdown]
# ## A small network
#
# Dense layers look at $\log(1 + P)$, so that faint degrees count, and answer with eight probabilities: the seven
# classes, and "none". No convolution: each degree of each shell has its own meaning.

# %%
keras.utils.set_random_seed(seed)
inputs = keras.Input(networks.PLACES_SHAPE, name="spectrum")
x = layers.Flatten(name="flatten")(keras.ops.log(1 + inputs))
x = layers.BatchNormalization(momentum=0.9, name="batch_normalization_0")(x)
for i, units in enumerate((320, 128), start=1):
    x = layers.Dense(units, use_bias=False, name=f"dense_{i}")(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"batch_normalization_{i}")(x)
    x = layers.ReLU(name=f"relu_{i}")(x)
    x = layers.Dropout(0.2, seed=seed, name=f"dropout_{i}")(x)
outputs = layers.Dense(len(CLASSES) + 1, activation="softmax", name="probabilities")(x)
model = keras.Model(inputs, outputs, name="any_orientation")

# %%
training = {"epochs": epochs, "batch_size": 64, "learning_rate": 3e-3, "seed": seed, "folder": run.path("trainings")}
model, history = networks.train(model, train_spectra, train_labels, **training)
earlier.append(history[: history.attrs["resumed_epochs"]].seconds.sum())
networks.save(model, run.path("any_orientation.keras"))
history[["epoch", "loss", "accuracy"]].tail(3).round(3)

# %% [markdown]
# The <!--=any.parameters:,-->155,564<!--/--> parameters learn from <!--=any.structures:,-->30,780<!--/--> clouds, each
# shown <!--=any.epochs-->48<!--/--> times, in <!--=any.seconds:.0f-->104<!--/--> s.
#
# ## The tests
#
# Clouds of 256 places (64 in the last test), of unseen elements, equally many of each prototype; each test does one
# thing to them.

# %%
base = crystals.make_recipes(dict.fromkeys(PROTOTYPES, test_per_kind), seed + 3, elements=unseen)
base = clouds.pristine(base).assign(anisotropy=1.0)
TESTS = {"perfect": {}} | {f"vacancies_{x}": {"vacancies": x / 100} for x in (25, 50, 70, 80)}
TESTS |= {f"displacements_{x}": {"displacement": x / 100} for x in (10, 15)}
TESTS |= {f"waves_{x}": {"waves": x / 100} for x in (5, 7, 10)}
TESTS |= {"both_40_7": {"vacancies": 0.4, "displacement": 0.07}, "spheres_64": {"n_atoms": 64, "shape": "sphere"}}
tests = {name: damage.damaged(base, **how) for name, how in TESTS.items()}
test_spectra = spectra_of(tests)
print(f"{len(tests)} tests of {len(base)} clouds each")

# %% [markdown]
# For comparison, the [compact network](06_damage.ipynb), which knows damage but only the standard orientation, sees
# fingerprints of the first clouds of each prototype. **Predict:** how many does it still name? (By guessing, one in
# seven.)


# %%
def named(probabilities):
    return probabilities[:, : len(CLASSES)].argmax(axis=1)


right = {name: named(inference.predict(model, test_spectra[name])) == tests[name].label.to_numpy() for name in tests}
POWDER = DiffractionGeometry(scale="powder")
compact = networks.load(run.path("robust.keras"))
few = pd.concat([table.groupby("prototype").head(few_per_kind).assign(test=name) for name, table in tests.items()])
images = dataset.in_parallel(
    lambda recipe: fingerprint(clouds.build_cloud(recipe), POWDER), few.to_dict("records"), "fingerprints"
)
few["right"] = named(inference.predict(compact, np.array(images), mirrored=True)) == few.label
right_compact = {name: few.right[few.test == name].to_numpy() for name in tests}

# %%
LABELS = ["perfect", *[f"{x} %\nvacant" for x in (25, 50, 70, 80)], *[f"σ\n{x} %" for x in (10, 15)]]
LABELS += [*[f"waves\n{x} %" for x in (5, 7, 10)], "40 % vac.,\nσ 7 %", "64\natoms"]
figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
dark, light = colormaps["viridis"]((0.15, 0.8))
for shift, hits, color, label in ((-0.2, right, dark, "spectra"), (0.2, right_compact, light, "fingerprint, compact")):
    share, low, high = np.array([classify.share(hits[test]) for test in tests]).T
    place, error = np.arange(len(tests)) + shift, np.clip([share - low, high - share], 0, 1)
    ax.bar(place, share, 0.38, color=color, label=label, yerr=error, capsize=2, ecolor="0.5")
ax.axhline(1 / len(CLASSES), color="black", lw=0.8, ls=":", label="by guessing")
ax.set_xticks(range(len(tests)), LABELS, fontsize=8)
ax.set(ylabel="accuracy", ylim=(0, 1.02))
figure.legend(loc="outside upper center", ncols=3)
run.save_figure(figure, "fig_14b_accuracy")

# %% [markdown]
# *Share right, with 95 % intervals, by spectra (<!--=any.tests:,-->2,100<!--/--> clouds a test) and by the compact
# network (the first <!--=any.few-->120<!--/-->); σ: displacement of each coordinate over the neighbour distance.* In
# random orientation the compact network is lost: it names <!--=any.compact.perfect.accuracy:.0%-->36%<!--/--> of the
# perfect clouds, and of damaged ones no fewer, within the intervals. The spectra
# reach <!--=any.spectra.perfect.accuracy:.2%-->99.95%<!--/-->, <!--=any.spectra.vacancies_50.accuracy:.2%-->99.90%<!--/--> with
# half of the atoms and <!--=any.spectra.displacements_10.accuracy:.2%-->99.57%<!--/--> where atoms are displaced by 10 %:
# diffraction adds up all atoms, so a hole next to one of them hardly matters. Methods that look at neighbours fail as
# these go missing; most errors of the spectra lie between tetragonal and nearly equal cubic crystals ([evidence for
# both](18_orientations_compared.ipynb)).
#
# ## Knowing when not to answer
#
# As in [lesson 07](07_what_to_refuse.ipynb), true crystals of unseen elements, mildly damaged, set a threshold for
# each class: all but <!--=any.error_rate:.0%-->1%<!--/--> of them lie above. An answer below is a
# [refusal](../docs/glossary.md#refusal).


# %%
def mild_clouds(per_class, seed):
    kinds = pd.Series({kind: prototype.label for kind, prototype in PROTOTYPES.items()})
    counts = per_class // kinds.map(kinds.value_counts())
    recipes = clouds.pristine(crystals.make_recipes(counts.to_dict(), seed, elements=unseen))
    recipes = damage.mild_damage(recipes).assign(anisotropy=1.0)
    return recipes.assign(label=crystals.known_labels(recipes))


sets = {"calibration": mild_clouds(calibration_per_class, seed + 4)}
sets["check"] = mild_clouds(calibration_per_class // 2, seed + 5)
calibration, check = (inference.predict(model, stack) for stack in spectra_of(sets).values())
thresholds = classify.refusal_thresholds(calibration, sets["calibration"].label.to_numpy(), error_rate)
verdict = {"thresholds": thresholds.tolist(), "error_rate": error_rate, "unseen": unseen}
store.save_json(run.path("any_orientation.json"), verdict)

# %% [markdown]
# **Predict:** does the network refuse [outliers](../docs/glossary.md#outlier) unlike those it learned from, other
# prototypes and another sort of random points?

# %%
per_kind = max(10, calibration_per_class // 3)
kinds_of_none = ["quasi_random", *counterexamples.OTHER_PROTOTYPES]
outliers = counterexamples.make_counterexamples(dict.fromkeys(kinds_of_none, per_kind), seed + 6)
outliers = outliers.assign(shape=np.resize(clouds.SHAPES[:3], len(outliers)), n_atoms=256)
answers = inference.predict(model, spectra_of({"outliers": outliers})["outliers"])
outliers["refused"] = classify.is_refused(answers, thresholds)
refusals = outliers.groupby("prototype", sort=False).refused.mean()
refused_crystals = classify.is_refused(check, thresholds).mean()
refusals.to_frame().style.format("{:.1%}")

# %% [markdown]
# The network refuses <!--=any.refused.all:.1%-->99.9%<!--/--> of these outliers, <!--=any.refused.least:.1%-->99.3%<!--/-->
# of the type that passes most easily, and <!--=any.refused.crystals:.2%-->1.09%<!--/--> of other true crystals. What its
# answers are worth: [evidence](18_orientations_compared.ipynb), and for [real crystals](19_refusals_tested.ipynb).
#
# The network travels with the package, beside the [compact one](06_damage.ipynb) and [that of the
# paper](03_a_network_learns.ipynb).

# %%
results = {"any.seconds": history.seconds.sum(), "any.epochs": epochs, "any.milliseconds": milliseconds}
results |= {"any.structures": len(train_labels), "any.parameters": model.count_params(), "any.error_rate": error_rate}
results |= {"any.turn.fingerprint": changes["fingerprint"], "any.turn.spectrum": changes["spectrum"]}
results |= {"any.shells": len(SHELLS[ON_RING]), "any.inner_shells": len(SHELLS) - len(SHELLS[ON_RING])}
results |= {"any.degrees": len(DEGREES), "any.largest_degree": DEGREES[-1]}
results |= {"any.tests": len(base), "any.few": len(few) // len(tests)}
results |= {f"any.spectra.{test}.accuracy": hits.mean() for test, hits in right.items()}
results |= {f"any.compact.{test}.accuracy": hits.mean() for test, hits in right_compact.items()}
results |= {f"any.refused.{kind}": share for kind, share in refusals.items()}
results |= {"any.refused.all": outliers.refused.mean(), "any.refused.least": refusals.min()}
results |= {"any.refused.crystals": refused_crystals, "time.08_in_any_orientation.earlier_seconds": sum(earlier)}
weights = root() / "lib" / "xtalsight" / "weights" if profile == "full" else run.path("weights")
report.publish_weights(run.folder, weights, report.collect_results(run.folder) | results)
run.save_results(results)

# %% [markdown]
# ## Exercises
#
# Predict, then run. The solutions are folded.
#
# ### Exercise 1: Which degrees does a cube have?
#
# $P_2$ of a cubic crystal vanishes. **Predict:** does it vanish for a *ball* of it, for a random convex piece, and
# when half of the atoms are missing? Hint: `clouds.cut_cloud`, `spectrum`; compare $P_2$ with $P_4$ on the shell
# where $P_0$ is largest.

# %% tags=["hide-cell"]
# @title Solution 1
dice = np.random.default_rng(seed)
pieces = {shape: clouds.cut_cloud(bulk("Cu"), 256, shape, dice) for shape in ("sphere", "convex")}
pieces["sphere, half of its atoms"] = damage.remove_atoms(pieces["sphere"], 0.5, dice)
rows = {}
for name, atoms in pieces.items():
    power_of = of_places(spectrum(atoms))
    powers = power_of[power_of[:, 0].argmax()]
    rows[name] = powers[:4] / powers[2]
table = pd.DataFrame(rows, index=[f"P{l} / P4" for l in DEGREES[:4]])
assert table.loc["P2 / P4", "sphere"] < 0.05 and (table.loc["P2 / P4"].iloc[1:] > table.loc["P2 / P4", "sphere"]).all()
assert np.allclose(table.loc["P6 / P4"], table.loc["P6 / P4", "sphere"], rtol=0.2)  # the pattern stays
table.round(3)

# %% [markdown]
# <details><summary>Answer</summary>
#
# In the ball it nearly vanishes: a ball has no direction of its own. A convex piece has a shape, and so have its
# peaks, which breaks the cubic symmetry a little; missing atoms add speckle of every degree. The bright degrees stay.
#
# </details>
#
# ### Exercise 2: Rotate one shell against another
#
# Multiply the $a_{lm}$ of every second shell by phases $e^{i m \varphi}$, which rotates these shells by φ about z.
# **Predict:** what becomes of the spectra? Hint: `harmonics`, `power`.

# %% tags=["hide-cell"]
# @title Solution 2
coefficients = harmonics(ball)[0]
twisted = coefficients.copy()
twisted[::2] *= np.exp(1j * np.arange(coefficients.shape[-1]) * 0.7)
assert np.abs(twisted - coefficients).max() > 1  # another function …
assert np.abs(power(twisted) - power(coefficients)).max() < 1e-4  # … of the same power
print(f"largest change of the power: {np.abs(power(twisted) - power(coefficients)).max():.0e}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# They stay the same, though this may be the diffraction of no crystal at all: that is what is lost. Products of
# harmonics of different shells (the bispectrum) would keep it, at a price.
#
# </details>
#
# ## Summary
#
# - A rotation changes the fingerprint beyond recognition; the power of each degree on each shell stays.
# - With these spectra neither orientation nor cell need be
#   known: <!--=any.spectra.vacancies_25.accuracy:.2%-->99.90%<!--/--> are right at 25 % vacancies, for elements never
#   seen.
# - The orders m are lost; only they tell two grains of one metal apart.
#
# Next: [09 Which atom belongs to which crystal?](09_every_atom.ipynb) keeps the orders and maps a polycrystal.
