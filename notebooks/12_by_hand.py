# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does damage do to the fingerprint, and to the answer?
#
# **In:** a [class](../docs/glossary.md#class), an element and some damage, set by sliders; two trained networks that come with the package.
# **Out:** the crystal, what each network sees of it, and what it answers, all at once.
#
# **Result:** from a setting to the finished drawing it takes <!--=explore.update.seconds:.2f-->0.05<!--/--> s, so you
# can watch a crystal fall apart. When its atoms are displaced by <!--=explore.displacement:.0f-->12<!--/--> % of the neighbour distance, a
# bcc crystal is still bcc to the network trained on damaged crystals
# (probability <!--=explore.displaced.compact:.1%-->99.6%<!--/-->), but no longer to the network of the paper
# (<!--=explore.displaced.paper:.0%-->5%<!--/-->).
#
# ![Four crystals, looked at by two networks](../figures/fig_13_explore.png)
#
# **Time:** <!--=time.12_by_hand.seconds:.0f-->10<!--/--> s on two cores. You need not run any other notebook first.

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
from matplotlib import colormaps

from xtalsight import classify, explore, plots
from xtalsight.crystals import CLASSES
from xtalsight.explore import Settings
from xtalsight.fingerprints import fingerprint
from xtalsight.inference import predict
from xtalsight.study.profiles import Run

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"  # where results go: build/<profile>
seed = 13  # of the vacancies, the displacements, the axis of the turn, and of "Surprise me"
vacancies = 50  # % of the atoms missing in the example
displacement = 12  # % of the nearest-neighbour distance: standard deviation of each coordinate
turn = 20  # degrees out of the standard orientation, about a random axis
sweep_step = 19  # % of vacancies between two updates that we time

# %%
run = Run("12_by_hand", profile)

# %% [markdown]
# ## One crystal, two networks
#
# We begin with body-centred cubic iron. The *compact* network was trained on damaged crystals, and on much that belongs to none of the seven
# classes: it has an eighth answer, "none", and it may [refuse](../docs/glossary.md#refusal) ([06](06_damage.ipynb)). The *paper's*
# network was trained on perfect crystals and must choose one of seven ([03](03_a_network_learns.ipynb)). Each looks at the kind of
# [fingerprint](../docs/glossary.md#fingerprint) that it was trained on; the two kinds differ in
# the [length scale](../docs/glossary.md#length-scale) by which positions are divided.

# %%
iron = Settings(kind="bcc", element="Fe", seed=seed)
atoms = explore.crystal(iron)
images = {"compact": fingerprint(atoms, classify.GEOMETRY), "paper's": fingerprint(atoms)}
networks = {"compact": classify.load_network("compact")[0], "paper's": classify.load_network("table_1")[0]}
print(f"{len(atoms)} atoms; fingerprints {[image.shape for image in images.values()]}")

# %% [markdown]
# **Predict:** how sure is each network of a perfect crystal?

# %%
answers = {name: predict(networks[name], images[name][None], mirrored=name == "compact")[0] for name in networks}
assert all(np.allclose(a, b) for a, b in zip(answers.values(), explore.look(iron).probabilities))
said = pd.DataFrame({name: pd.Series(p) for name, p in answers.items()}).set_axis([*CLASSES, "none"])
said.T.style.format("{:.2%}", na_rep="–")

# %% [markdown]
# Both are sure: <!--=explore.undamaged.compact:.2%-->99.98%<!--/--> and <!--=explore.undamaged.paper:.2%-->99.99%<!--/--> for bcc. (The compact network
# averages its answer over the fingerprint and its mirror images.) `explore.look` takes the same steps for any setting.
#
# ## Three things that can happen to a crystal
#
# Half the atoms go missing; or all stay, but each is displaced; or the crystal is undamaged, but turned. **Predict:**
# which of the three makes which network fail?

# %%
examples = {
    "undamaged": iron,
    "vacancies": Settings("bcc", "Fe", vacancies=vacancies, seed=seed),
    "displaced": Settings("bcc", "Fe", displacement=displacement, seed=seed),
    "turned": Settings("bcc", "Fe", turn=turn, seed=seed),
}

# %%
figure = plt.figure(figsize=(9, 2.55 * len(examples)), layout="none")
for part, settings in zip(figure.subfigures(len(examples), 1), examples.values()):
    explore.show(settings, part)
run.save_figure(figure, "fig_13_explore")

# %% [markdown]
# *From left to right: the crystal; its two fingerprints, brightened; the probabilities (blue: compact, gold: the paper's). The true class
# is shaded. The short line in each class is the threshold of the compact network: where its bar ends before the line, it refuses.*

# %%
results = {"explore.vacancies": vacancies, "explore.displacement": displacement, "explore.turn": turn}
for name, settings in examples.items():
    for network, probabilities in zip(("compact", "paper"), explore.look(settings).probabilities):
        results[f"explore.{name}.{network}"] = float(probabilities[CLASSES.index("bcc")])
results["explore.bcc.threshold"] = classify.load_network()[1]["thresholds"][CLASSES.index("bcc")]
results["explore.turned.none"] = float(explore.look(examples["turned"]).probabilities[0][-1])
of_bcc = pd.Series(results).filter(regex=r"(compact|paper)$").rename(index=lambda key: key.removeprefix("explore."))
of_bcc.to_frame("bcc").style.format("{:.2%}")

# %% [markdown]
# - **Vacancies.** With half the atoms gone, both networks still say bcc (<!--=explore.vacancies.compact:.1%-->100.0%<!--/-->
#   and <!--=explore.vacancies.paper:.1%-->100.0%<!--/-->): the peaks stay where they are, and the vacancies only
#   add [speckle](../docs/glossary.md#speckle).
# - **Displacements.** The peaks fade. For the compact network they stay in place: it gives bcc <!--=explore.displaced.compact:.2%-->99.63%<!--/-->,
#   and it answers above <!--=explore.bcc.threshold:.2%-->94.10%<!--/-->, a threshold set on crystals displaced by
#   less. But the paper's length scale, the mean distance to the nearest neighbour, shrinks, and the fingerprint with it: the peaks move
#   inwards, to where those of another crystal would be. Bcc is left with <!--=explore.displaced.paper:.0%-->5%<!--/-->.
# - **A turn.** The crystal is as perfect as before, yet neither network recognises it: bcc
#   gets <!--=explore.turned.compact:.0%-->0%<!--/--> and <!--=explore.turned.paper:.0%-->0%<!--/-->, since every bcc crystal that
#   they were trained on was in the standard orientation. The compact one
#   gives <!--=explore.turned.none:.0%-->100%<!--/--> to "none"; the paper's has no such answer and names a wrong class.
#
# ## Fast enough to play with?
#
# A slider feels immediate if the drawing follows within a fifth of a second. **Predict:** what takes longer for the largest
# crystals: building one, computing two fingerprints and asking two networks, or drawing it all?

# %%
paint = explore.painter()
largest = {"n_atoms": max(explore.SIZES), "displacement": 5, "seed": seed}
sweep = [Settings(kind, vacancies=v, **largest) for kind in CLASSES for v in range(0, 96, sweep_step)]
seconds = {"look": [], "look and draw": []}
for settings in sweep:
    for what, work in (("look", explore.look), ("look and draw", paint)):
        start = time.perf_counter()
        work(settings)
        seconds[what].append(time.perf_counter() - start)
pd.DataFrame(seconds).describe().loc[["50%", "max"]].round(3)

# %% [markdown]
# Drawing does. An update takes <!--=explore.update.seconds:.2f-->0.05<!--/--> s, at
# most <!--=explore.update.seconds.max:.2f-->0.07<!--/--> s; crystal, fingerprints and networks together
# need only <!--=explore.look.seconds:.2f-->0.01<!--/--> s of it.
#
# ## By hand
#
# The panel works only while the notebook is running: run all cells in JupyterLab (`make lab`) or in Colab, then move the sliders;
# the arrow keys work, too. On a page that only shows a finished notebook, the figure above has to do. ▶ removes atoms
# step by step; *Surprise me* sets everything at random; the same settings and seed always give the same crystal. Things to
# try:
#
# - ▶ with bcc, then with diamond. Which network gives up first?
# - hex/rh, turned about z: at which angle does the fingerprint look as it did at the start?
# - 512 atoms against 32: what happens to the peaks, and why?

# %%
explore.explorer(iron, seed)

# %%
results["explore.update.seconds"] = np.median(seconds["look and draw"])
results["explore.update.seconds.max"] = max(seconds["look and draw"])
results["explore.look.seconds"] = np.median(seconds["look"])
run.save_results(results)

# %% [markdown]
# ## Exercises
#
# Write down what you expect, try it in a new cell or by hand in the panel, and only then unfold the solution and the answer.
#
# ### Exercise 1: How many atoms are enough?
#
# We count vacancies in per cent, but a network sees atoms. **Predict:** a bcc crystal of some 64 atoms and one of
# some 512 lose the same fraction of their atoms. Which of them does the compact network recognise longer?
#
# *Hint:* `explore.look(Settings("bcc", "Fe", vacancies=80, n_atoms=64)).probabilities[0]` gives the probabilities of all answers, bcc first.

# %% tags=["hide-cell"]
# @title Solution 1
figure, ax = plt.subplots(figsize=(5, 3))
fractions, bcc = range(50, 96, 5), {}
for n_atoms, shade in ((64, 0.7), (512, 0.2)):
    looks = [explore.look(Settings("bcc", "Fe", vacancies=v, n_atoms=n_atoms, seed=seed)) for v in fractions]
    bcc[n_atoms] = [view.probabilities[0][0] for view in looks]
    whole = len(explore.crystal(Settings("bcc", "Fe", n_atoms=n_atoms)))
    ax.plot(fractions, bcc[n_atoms], "o-", color=colormaps["viridis"](shade), label=f"{whole} atoms before the loss")
ax.set(xlabel="vacancies (%)", ylabel="probability of bcc", ylim=(-0.02, 1.05))
ax.legend(loc="lower left")
assert np.mean(bcc[512]) > np.mean(bcc[64]) and bcc[512][-1] > bcc[64][-1]

# %% [markdown]
# <details><summary>Answer</summary>
#
# The large one. The height of a peak grows as the square of the number of atoms left, the speckle only in proportion to the number of
# atoms: what counts is how many atoms are left, not what fraction of the crystal they make up.
#
# </details>
#
# ### Exercise 2: What is an fcc crystal turned by 45° about z?
#
# **Predict:** what does the compact network call a perfect fcc crystal at 45°, and what at 90°?
#
# *Hint:* `Settings("fcc", "Cu", turn=45, axis="z")`.

# %% tags=["hide-cell"]
# @title Solution 2
figure, ax = plt.subplots(figsize=(5, 3))
angles = np.arange(0, 91, 5)
looks = [explore.look(Settings("fcc", "Cu", turn=int(angle), axis="z", seed=seed)) for angle in angles]
called = np.array([view.probabilities[0] for view in looks])
for name in ("fcc", "bct_139"):
    label = CLASSES.index(name)
    ax.plot(angles, called[:, label], "o-", color=plots.CLASS_COLORS[label], label=name)
ax.set(xlabel="turned about z (°)", ylabel="probability", xticks=range(0, 91, 15))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
answer = dict(zip(angles.tolist(), called.argmax(axis=1)))
assert [CLASSES[answer[angle]] for angle in (0, 45, 90)] == ["fcc", "bct_139", "fcc"]

# %% [markdown]
# <details><summary>Answer</summary>
#
# bct_139, and it is not wrong: fcc *is* body-centred tetragonal with c/a = √2, in a cell that stands at 45° to the
# cube. At 90° the cube coincides with itself again. Symmetry decides which of the two names is right, through the standard cell, before any
# network sees the fingerprint; `classify` first turns a perfect crystal into its standard orientation.
#
# </details>
#
# ### Exercise 3: Where does bct_139 end and bcc begin?
#
# At c/a = 1 the tetragonal crystal is cubic. **Predict:** how far from 1 does the name change, for spglib (the library that finds
# space groups) and for the compact network?
#
# *Hint:* `explore.look(Settings("bct_139", "In", c_over_a=0.98))`; its `label` is the class that spglib finds.

# %% tags=["hide-cell"]
# @title Solution 3
figure, ax = plt.subplots(figsize=(5, 3))
ratios = np.linspace(0.9, 1.1, 21).round(2)
looks = [explore.look(Settings("bct_139", "In", c_over_a=ratio, seed=seed)) for ratio in ratios]
cubic, called = np.array([view.label == 0 for view in looks]), np.array([view.probabilities[0] for view in looks])
ax.plot(ratios, cubic, "k.", label="spglib: bcc (1) or not (0)", zorder=3)
for label, name in enumerate(CLASSES[:2]):
    ax.plot(ratios, called[:, label], color=plots.CLASS_COLORS[label], label=f"network: {name}")
ax.set(xlabel="c/a", ylabel="probability")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
assert ratios[cubic].tolist() == [1]
assert cubic.sum() < (called[:, 0] > 0.5).sum() and np.abs(ratios[called[:, 0] > 0.5] - 1).max() < 0.05

# %% [markdown]
# <details><summary>Answer</summary>
#
# For spglib, at a tolerance of 0.001 Å, only c/a = 1 itself is bcc. The network changes its mind gradually, within a few
# hundredths of 1. Apart from bcc itself it was trained on no crystal there, since bct_139 keeps 0.03 away from 1 ([01](01_crystals.ipynb)), and the peaks move
# by less than a pixel.
#
# </details>
#
# ## Summary
#
# - Vacancies bury the peaks in speckle, displacements make them fade, a turn moves them; only the turn makes a perfect crystal
#   unrecognisable.
# - The network trained on damage uses a length scale that damage does not change. It keeps its answer longer, and says when it has
#   none.
# - An update takes <!--=explore.update.seconds:.2f-->0.05<!--/--> s: fast enough to look for the limits by hand.
#
# The lessons end here. The evidence behind them begins with [13](13_claims_of_the_sources.ipynb);
# [99](99_report.ipynb) collects the numbers and figures.
