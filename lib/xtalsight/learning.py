"""From prototypes to a network that names and refuses them: ``xtalsight learn FOLDER``."""

import shutil
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import spglib
import tensorflow as tf
from scipy.sparse.csgraph import connected_components

from xtalsight import dataset, inference, networks
from xtalsight.classify import TOLERANCES, by_group, refusal_threshold, share, shares_of_kinds
from xtalsight.crystals import CLASSES, PROTOTYPES, space_group
from xtalsight.prototypes import (
    INTERNAL,
    LATTICE,
    WORK,
    Prototype,
    build_cloud,
    damage_to_learn,
    make_clouds,
    make_outliers,
    mild_damage,
)
from xtalsight.store import load_json, replacing, save_json, sha256

TESTS = {
    "perfect": {},
    "vacancies_25": {"vacancy_ratio": 0.25},
    "vacancies_25_displaced_5": {"vacancy_ratio": 0.25, "displacement": 0.05},
    "vacancies_50": {"vacancy_ratio": 0.5},
    "waves_7": {"waves": 0.07},
    "antisites_10": {"antisites": 0.1},
    "places_64": {"n_atoms": 64},
}
"""What is done to the clouds of each test; columns of `xtalsight.prototypes.make_clouds`."""

CONFUSED = 0.1
"""Least probability that perfect crystals of one prototype give to another, and those of the other to it, added up, at
which the two cannot be told apart."""

UNITS = (512, 256)
"""Of the network's dense layers."""

_CLOUDS_PER_MINUTE = 6000  # on two cores, about, training included: a count, so that any machine makes the same network
_OUTLIERS = 0.4  # of all clouds
_LEAST, _MOST = 40, 600  # clouds of a prototype


def compute_spectra(
    prototypes: Mapping[str, Prototype], tables: Mapping[Path, pd.DataFrame], n_jobs: int = -1
) -> list[tuple[np.ndarray, pd.DataFrame]]:
    """Compute the spectra of recipes of clouds, stored at the paths, with progress; return the spectra of
    each table and the rows that have them, in this order.

    A cloud that has none is left out: of crystals of small molecules, one in ten thousand is damaged so much that no
    length scale is found.

    Raises
    ------
    ValueError
        More than one cloud in a hundred has none.
    """
    build = partial(build_cloud, prototypes=prototypes)
    failures, _ = dataset.write_spectra(tables, n_jobs, build)
    if len(failures) > 0.01 * sum(map(len, tables.values())):
        raise ValueError(f"{len(failures)} clouds have no spectra: {failures.error.iloc[0]}")
    results = []
    for path, recipes in tables.items():
        spectra = dataset.read_fingerprints(path)
        has_some = np.isfinite(spectra[:, 0, 0, 0])
        results.append((spectra[has_some], recipes[has_some].reset_index(drop=True)))
    return results


def groups_of(probabilities: np.ndarray, labels: np.ndarray, n: int, same=()) -> np.ndarray:
    """Join prototypes that cannot be told apart; return the group of each, (n,) int.

    Parameters
    ----------
    probabilities : ndarray, shape (m, n or more)
        Of perfect crystals that were not trained on.
    labels : ndarray of int, shape (m,)
    n : int
        Number of prototypes.
    same : sequence of (int, int)
        Pairs that are known to be the same.
    """
    confused = np.zeros((n, n))
    for label in np.unique(labels):
        confused[label] = probabilities[labels == label, :n].mean(axis=0)
    linked = confused + confused.T > CONFUSED
    for one, other in same:
        linked[one, other] = True
    return connected_components(linked, directed=False)[1]


def describe_groups(prototypes: Mapping[str, Prototype], groups: np.ndarray) -> list[dict]:
    """Name the groups.

    Of each ``name``, ``title`` (what people call it), ``members``, ``shares`` (the `shares_of_kinds` of every crystal),
    ``spacegroups`` (at tight tolerances: a file may hold some noise), ``atoms`` of the smallest primitive cell, and the
    ``class`` of the seven whose prototype it is, or None.
    """
    described = []
    for group in range(groups.max() + 1):
        members = [p for p, of in zip(prototypes.values(), groups, strict=True) if of == group]
        classes = {CLASSES[PROTOTYPES[p.ranges].label] for p in members if p.ranges}
        described.append(
            {
                "name": " or ".join(p.name for p in members),
                "title": " or ".join(map(title, members)),
                "members": [{"name": p.name, **p.names, "atoms": len(p.cells[0].atoms)} for p in members],
                "shares": sorted({shares_of_kinds(c.atoms.numbers) for p in members for c in p.cells}),
                "spacegroups": sorted({number for p in members for c in p.cells for number in _space_groups(c.atoms)}),
                "atoms": min(len(c.atoms) for p in members for c in p.cells),
                "class": classes.pop() if len(classes) == 1 else None,
            }
        )
    return described


def _space_groups(atoms):
    spacing = (atoms.get_volume() / len(atoms)) ** (1 / 3)
    return [space_group(atoms, tolerance * spacing) for tolerance in TOLERANCES if tolerance <= 0.03]


def title(prototype: Prototype) -> str:
    """Return what a prototype is called: mineral or formula, Strukturbericht, AFLOW's label; else its name."""
    names = prototype.names
    if not names:
        return prototype.name
    what = names["mineral"] or names["formula"]
    return f"{what} ({', '.join(filter(None, (names['strukturbericht'], names['aflow'])))})"


def save_network(folder, model, card: dict):
    """Write a network and its card, which `xtalsight.classify.load_prototypes` reads."""
    libraries = {module.__name__: module.__version__ for module in (keras, np, spglib, tf)}
    card = card | {"versions": {"xtalsight": version("xtalsight"), **libraries}}
    path = Path(folder) / "network.onnx"
    networks.export(model, path)
    save_json(Path(folder) / "card.json", card | {"sha256": sha256(path)})


def learn(
    prototypes: Mapping[str, Prototype], folder, minutes: float = 5, seed: int = 0, n_jobs: int = -1, error_rate=0.01
) -> dict:
    """Make a network for prototypes: crystals, damaged clouds, spectra, network, thresholds; return its card.

    Interrupted and called again with the same arguments, it goes on. The same prototypes, minutes, seed and number of
    TensorFlow's threads (`xtalsight.networks.make_reproducible`) give the same network, on any number of processes.

    Parameters
    ----------
    prototypes : mapping
        Of `xtalsight.prototypes.read_prototypes`, for example.
    folder : path
        Where ``network.onnx``, ``card.json`` and ``mistakes.png`` are written.
    minutes : float
        That it may take on two cores, about: it sets the number of clouds, 600 of a prototype at most.
    seed : int
    n_jobs : int
        Number of processes; -1 takes every core.
    error_rate : float
        Fraction of crystals of the prototypes, mildly damaged, that may be refused.

    Raises
    ------
    ValueError
        Not even 40 clouds of each prototype can be made in this time, more than one cloud in a hundred has no spectra,
        no two prototypes can be told apart, or the rate is not in (0, 1).
    """
    if not 0.005 <= error_rate < 1:  # fewer cannot be counted among 200 crystals
        raise ValueError(f"{error_rate=} must lie between 0.005 and 1")
    names, folder = list(prototypes), Path(folder)
    total = minutes * _CLOUDS_PER_MINUTE
    per_name = min(int((1 - _OUTLIERS) * total / len(names)), _MOST)
    if per_name < _LEAST:
        least = _LEAST * len(names) / ((1 - _OUTLIERS) * _CLOUDS_PER_MINUTE)
        least = np.ceil(100 * least) / 100
        raise ValueError(f"{minutes=} is too short for {len(names)} prototypes: at least {least:g}")
    n_outliers = int(_OUTLIERS / (1 - _OUTLIERS) * per_name * len(names))
    few = max(12, -(-200 // len(names)))
    tables = {
        "train": damage_to_learn(make_clouds(names, per_name, seed)),
        "outliers": damage_to_learn(make_outliers(names, n_outliers, seed)),
        "calibration": mild_damage(make_clouds(names, few, seed + 1)),
        "other_outliers": mild_damage(make_outliers(names, max(200, few * len(names) // 4), seed + 1)),
        **{name: make_clouds(names, max(4, few // 3), seed + 2).assign(**how) for name, how in TESTS.items()},
        "pairs": make_clouds(names, max(8, few // 2), seed + 3),
    }
    paths = {folder / WORK / f"{name}.zarr": table for name, table in tables.items()}
    found = dict(zip(tables, compute_spectra(prototypes, paths, n_jobs), strict=True))
    learned = np.concatenate([found["train"][0], found["outliers"][0]])
    labels = np.concatenate([found["train"][1].label, found["outliers"][1].label])
    model, _ = networks.train(
        networks.spectrum_network(seed, len(names) + 1, networks.SPECTRUM_SHAPE, UNITS, "prototypes"),
        learned, labels, epochs=25, batch_size=64, learning_rate=2e-3, seed=seed, folder=folder / WORK,
        )  # fmt: skip
    spectra, pairs = found["pairs"]
    groups = groups_of(inference.predict(model, spectra), pairs.label.to_numpy(), len(names))
    if groups.max() == 0:
        raise ValueError(f"{' and '.join(names)} are the same crystal, or cannot be told apart: nothing to learn")
    answers = {name: by_group(inference.predict(model, of), groups) for name, (of, _) in found.items()}
    threshold = refusal_threshold(answers["calibration"][:, :-1].max(axis=1), error_rate)
    accuracy, confusion = {}, np.zeros((groups.max() + 1,) * 2)
    for name in TESTS:
        truth, named = groups[found[name][1].label], answers[name][:, :-1].argmax(axis=1)
        accuracy[name] = float(np.mean(truth == named))
        np.add.at(confusion, (truth, named), 1)
    card = {
        "groups": describe_groups(prototypes, groups),
        "group_of_output": groups.tolist(),
        "threshold": threshold,
        "error_rate": error_rate,
        "accuracy": accuracy,
        "outliers_refused": share(answers["other_outliers"][:, :-1].max(axis=1) < threshold)[0],
        "clouds": {"of_each_prototype": per_name, "outliers": n_outliers},
        "ranges": {"lattice": LATTICE, "internal": INTERNAL},
        "minutes": minutes,
        "seed": seed,
    }
    from xtalsight import plots

    figure = plots.draw_mistakes(confusion, [group["name"] for group in card["groups"]])
    save_network(folder, model, card)
    with replacing(folder / "mistakes.png") as temporary:
        figure.savefig(temporary)
    shutil.rmtree(folder / WORK)
    return load_json(folder / "card.json")
