"""A structure file in, class, probability and verdict out: ``xtalsight classify FILE``."""

from collections.abc import Iterable, Iterator
from functools import cache, partial
from itertools import chain, islice, pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

from xtalsight import inference
from xtalsight.crystals import CLASS_OF_SPACE_GROUP, CLASSES, standard_supercell, symmetry_dataset
from xtalsight.fingerprints import DiffractionGeometry, fingerprint, length_scale
from xtalsight.inference import predict
from xtalsight.parallel import in_order
from xtalsight.preparation import SMALLEST, SPACING, Prepared, prepare, thickness
from xtalsight.reading import read_structures
from xtalsight.spectra import of_places, spectrum
from xtalsight.store import load_json

__all__ = ["classify", "classify_many", "read_structures"]

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the trained networks that travel with the package, with ``model_card.json``."""

GEOMETRY = DiffractionGeometry(scale="powder")
"""What the compact network that travels with the package looks at."""

TOLERANCES = (1e-3, 3e-3, 1e-2, 3e-2, 6e-2, 1e-1, 1.5e-1, 2e-1)
"""Tolerances at which spglib is asked, in units of the cube root of the volume of an atom."""

BATCH = 256
"""Structures about which `classify_many` asks the networks at a time, at most."""

_CHUNK, _CHUNK_ATOMS = 8, 50_000  # structures of one task, and about how many atoms they have

# spglib takes a second or two for as many, minutes for many more, and then seldom finds any symmetry.
_MOST_FOR_SYMMETRY = 600
# A snapshot of dynamics has no symmetry, and spglib takes longest to say so.
_LARGE_CELL = 128  # atoms, from which on a search for symmetry is tried only where something repeats
_SHAKEN = 0.03  # of the spacing of atoms: how exactly
_PROBES, _MISSES = 12, 2  # atoms that are translated, and how many of them may find a vacancy
# Spread (standard deviation) of the positions along the shortest axis, in length scales; a ball of 24 atoms has more.
_THINNEST = 0.7
_HEAVIEST = 94  # atomic number; there are no form factors for much heavier elements, and 0 is a dummy atom
_AGREEING = 0.75  # least share of the places that have to name the class of the whole
_NO_PEAKS = 1.6  # of the directions' root mean square over the mean, on any sphere: speckle has one
_MOLTEN = "no peaks: molten or amorphous"
_SUPERCELL = 7  # cells of a prototype in a primitive cell, from which on it may be a supercell of eight with a defect
# Enantiomorphic space groups, which no power spectrum tells apart.
_OTHER_HAND = {78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212}
_FEWEST = 16  # atoms of a primitive cell whose kinds can be without order
_SYMMETRIC = 8  # operations of the point group: kinds at random leave fewer on a lattice
_FEW = 3  # atoms in the primitive cell of other kinds than the most common: fewer are symmetric by chance
_SHUFFLES = 16  # of the kinds, with which those of a structure are compared
_SIGNIFICANT = 5.0  # standard deviations of these
_DOUBT = 0.9  # two classes that have this probability together, none of them enough, are both named


def confidence(probabilities: np.ndarray) -> np.ndarray:
    """Return the largest probability of the seven classes, (n,), of probabilities (n, 7 or more)."""
    return probabilities[:, : len(CLASSES)].max(axis=1)


def refusal_threshold(confidences: np.ndarray, error_rate: float) -> float:
    """Return the confidence below which an answer is refused.

    Split conformal prediction: the k-th smallest of n confidences of structures of the classes that were not trained
    on, k = floor(error_rate (n + 1)). A new structure that is exchangeable with these is refused with a probability
    of at most `error_rate`, whatever the classifier.

    Parameters
    ----------
    confidences : ndarray, shape (n,)
        Of the structures set aside for calibration.
    error_rate : float
        Largest acceptable fraction of structures of the classes that are refused, in (0, 1).

    Raises
    ------
    ValueError
        The rate is not in (0, 1), or there are too few structures for it: k = 0.

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World (Springer, 2005),
    doi:10.1007/b106715.
    """
    if not 0 < error_rate < 1:
        raise ValueError(f"{error_rate=} must lie between 0 and 1")
    confidences = np.sort(np.asarray(confidences, float))
    k = int(np.floor(error_rate * (len(confidences) + 1) + 1e-9))
    if k == 0:
        raise ValueError(
            f"{len(confidences)} structures are too few for {error_rate=}: at least {1 / error_rate - 1:.0f}"
        )
    return float(confidences[k - 1])


def refusal_thresholds(probabilities: np.ndarray, labels: np.ndarray, error_rate: float) -> np.ndarray:
    """Return a `refusal_threshold` for each class, (7,), from structures of that class alone.

    With one threshold for all, a class of which a network is less sure pays for the others.

    Parameters
    ----------
    probabilities : ndarray, shape (n, 7 or more)
        Of the structures set aside for calibration.
    labels : ndarray of int, shape (n,)
        Their classes.
    error_rate : float
        Largest acceptable fraction of structures of each class that are refused, in (0, 1).

    Raises
    ------
    ValueError
        As `refusal_threshold`, for any class.
    """
    confidences = confidence(probabilities)
    return np.array([refusal_threshold(confidences[labels == label], error_rate) for label in range(len(CLASSES))])


def is_refused(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Whether the largest probability of the seven, of (n, 7 or more), is below the threshold of its class; (n,)
    bool."""
    best = probabilities[:, : len(CLASSES)].argmax(axis=1)
    return confidence(probabilities) < np.asarray(thresholds)[best]


@cache
def load_network(name: str = "compact"):
    """Load a network that travels with the package, and its entry in the model card.

    Parameters
    ----------
    name : {"compact", "any_orientation", "table_1"}
        "compact" looks at fingerprints of `GEOMETRY`, "any_orientation" at spectra; their eighth output is "none of
        the seven". "table_1" is the network of the paper, trained on perfect crystals.

    Returns
    -------
    network : onnxruntime.InferenceSession
    card : dict

    Raises
    ------
    ValueError
        The file has changed.
    """
    card = load_json(WEIGHTS / "model_card.json")[name]
    return inference.load(WEIGHTS / f"{name}.onnx", card["sha256"]), card


def is_accepted(probabilities: np.ndarray, card: dict, n_atoms: int) -> bool:
    """Whether an answer is given: probable enough, (8,), for the network of this card, and of atoms enough."""
    return bool(not is_refused(probabilities[None], card["thresholds"])[0] and n_atoms >= SMALLEST)


class Outcome(NamedTuple):
    """What a user gets of a method that can refuse: shares, each with its 95 % interval (Wilson)."""

    answered: tuple[float, float, float]
    """Share that gets an answer, and the ends of its interval."""
    right: tuple[float, float, float]
    """Share of the answered that is right; NaN if none is answered."""
    wrong: tuple[float, float, float]
    """Share, of all, that is wrong and accepted."""


def outcome(right: np.ndarray, refused: np.ndarray) -> Outcome:
    """Say what a user gets: share answered, share right among the answered, share wrong and accepted.

    Parameters
    ----------
    right, refused : ndarray of bool, shape (n,)
        Whether the answer, given or not, is right; whether it is refused.

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927), doi:10.1080/01621459.1927.10502953.
    """
    right, refused = np.asarray(right, bool), np.asarray(refused, bool)
    return Outcome(share(~refused), share(right[~refused]), share(~right & ~refused))


def share(hits: np.ndarray) -> tuple[float, float, float]:
    """Return the share of true values and its 95 % interval after Wilson; NaN of nothing."""
    from scipy.stats import binomtest  # not above: it takes a third of a second, and an answer needs none of it

    if len(hits) == 0:
        return (np.nan, np.nan, np.nan)
    interval = binomtest(int(np.sum(hits)), len(hits)).proportion_ci(method="wilson")
    return float(np.mean(hits)), float(interval.low), float(interval.high)


def spectra_of(prepared: Prepared) -> np.ndarray:
    """Compute the `xtalsight.spectra.spectrum` of each ball of a prepared structure: (n_balls, 2, n_shells,
    n_degrees)."""
    return np.array([spectrum(ball) for ball in prepared.balls])


def decide(network, thresholds: np.ndarray, spectra: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classify many structures by the `spectra_of` their balls, as `classify` does one, but for their thickness and
    number of atoms.

    Parameters
    ----------
    network : keras.Model or onnxruntime.InferenceSession
        For spectra, with or without the output "none of the seven".
    thresholds : ndarray, shape (7,)
        Of its verdict.
    spectra : list of ndarray, each (n_balls, 2, n_shells, n_degrees)
        Their places count.

    Returns
    -------
    label : ndarray of int
        Most probable class of each structure.
    confidence : ndarray
        Its probability.
    refused : ndarray of bool
        Whether the answer is refused, by its threshold or because the balls are of more than one crystal.
    """
    by_ball = predict(network, of_places(np.concatenate(spectra)))
    by_structure = np.split(by_ball, np.cumsum([len(balls) for balls in spectra])[:-1])
    probabilities = np.array([together(balls) for balls in by_structure])
    best = probabilities[:, : len(CLASSES)].argmax(axis=1)
    several = np.array([len(_crystals(balls, label)) > 0 for balls, label in zip(by_structure, best, strict=True)])
    return best, confidence(probabilities), is_refused(probabilities, thresholds) | several


def together(probabilities: np.ndarray) -> np.ndarray:
    """Return the probabilities, (n_classes,), that places of one structure give together: the normalised geometric mean
    of (n, n_classes)."""
    logarithm = np.log(np.clip(probabilities, 1e-9, 1)).mean(axis=0)
    weights = np.exp(logarithm - logarithm.max())
    return weights / weights.sum()


class Look(NamedTuple):
    """What a structure shows before any network is asked: `look_at` it."""

    prepared: Prepared
    spectra: np.ndarray
    """Of its balls, (n_balls, 2, n_shells, n_degrees)."""
    scale: float
    """Length scale of the first ball, angstrom, as `Prepared` scales it."""
    is_thin: bool
    """Whether that ball is flat or straight."""
    kinds: str
    """"one", "ordered" or "without order"."""
    group: int | None
    """Space group, its tolerance in angstrom, and what `_fit_symmetry` needs: as `_symmetry` returns them."""
    tolerance: float | None
    found: tuple | None
    standard: np.ndarray | None
    """Fingerprint of the standard supercell, for comparison."""


def look_at(prepared: Prepared) -> Look:
    """Compute all that an answer needs but the networks' probabilities.

    Raises
    ------
    ValueError
        The structure can have no spectra.
    """
    ball = prepared.balls[0]
    spectra = spectra_of(prepared)
    group, tolerance, found = _symmetry(prepared)
    scale = length_scale(ball, "powder")
    kinds = "one"
    if len(np.unique(ball.numbers)) > 1:
        kinds = "ordered" if are_ordered(prepared) else "without order"
    standard = _standard_fingerprint(prepared, tolerance) if group in CLASS_OF_SPACE_GROUP else None
    is_thin = thickness(ball.positions) < _THINNEST * scale
    return Look(prepared, spectra, scale, is_thin, kinds, group, tolerance, found, standard)


def answers(looks: list[Look], network=None) -> list[dict]:
    """Ask the networks about many structures at once: what `classify` returns, for each.

    Raises
    ------
    ValueError
        There is no such network.
    """
    if not looks:
        return []
    seven, card = load_network("any_orientation")
    prototypes, prototype_card = load_prototypes(network)
    ends = np.cumsum([len(look.spectra) for look in looks])[:-1]
    by_place = np.split(predict(seven, of_places(np.concatenate([look.spectra for look in looks]))), ends)
    # Of an alloy what counts is the places, as if all atoms were of one kind.
    spectra = [look.spectra[:, [0, 0 if look.kinds == "without order" else 1]] for look in looks]
    by_ball = np.split(predict_groups(prototypes, prototype_card, np.concatenate(spectra)), ends)
    standards = _standard_answers([look.standard for look in looks])
    possible = cache(partial(_possible, prototype_card["groups"]))
    return [
        _answer(look, *probabilities, standard, card, prototype_card, possible)
        for look, *probabilities, standard in zip(looks, by_place, by_ball, standards, strict=True)
    ]


def classify(atoms: Atoms, network=None) -> dict:
    """Name the prototype of a structure, and the class of the seven, or refuse and say why.

    The structure is classified by the spectra of one or more balls of atoms (`xtalsight.preparation.prepare`), which no
    rotation changes: of their places for the class, of places and kinds for the prototype.

    Parameters
    ----------
    atoms : Atoms
    network : path, optional
        Folder of a network that ``xtalsight learn`` made; without it that of the free prototypes of AFLOW's library.

    Returns
    -------
    dict
        ``prototype``: the most probable prototype, of those that composition (`fit_composition`) and, of a crystal with
        a cell, the space group leave possible, as in `PrototypeAnswer`, a dictionary. ``class`` (the most probable
        of the seven, of the places alone), ``probability``, ``probabilities`` (by class, and of "none"; of several
        balls together, see `together`), ``verdict`` ("one of the seven"; or "none of the seven" where the answer is
        refused, or the kinds of a compound are ordered), ``reason`` (of the latter, else None), ``kinds`` ("one",
        "ordered" or "without order"), ``places`` (number of balls by what each says alone), ``spacegroup`` and
        ``tolerance`` (by spglib and its tolerance in angstrom, None if not determined), ``standard`` (class and
        probability by the compact network in the standard orientation, for comparison; None where spglib finds no
        cell of a class), ``n_atoms`` (of what was classified), ``notes``.

    Raises
    ------
    ValueError
        As `xtalsight.preparation.prepare`, the structure can have no spectra, or there is no such network.
    """
    return answers([look_at(prepare(atoms))], network)[0]


def classify_many(structures: Iterable[Atoms], network=None, n_jobs: int = -1) -> Iterator[dict | Exception]:
    """`classify` structures as they come, in parallel; yield the answer for each, in order, or the exception that it
    raised.

    Few are read ahead: memory does not grow with their number. The networks are asked about many at once.

    Parameters
    ----------
    structures : iterable of Atoms
    network : path, optional
        As in `classify`.
    n_jobs : int
        Number of processes; -1 takes every core. It does not change an answer.

    Raises
    ------
    ValueError
        There is no such network; and what reading `structures` raises, after the answers for those before.
    """
    prototype_files(network)
    structures, broken = iter(structures), []

    def chunks():
        while not broken:
            chunk = []
            while len(chunk) < _CHUNK and sum(map(len, chunk)) < _CHUNK_ATOMS and not broken:
                try:
                    chunk.append(next(structures))
                except StopIteration:
                    broken.append(None)
                except Exception as error:  # noqa: BLE001  raised again below
                    broken.append(error)
            if chunk:
                yield (chunk,)

    first = list(islice(chunks(), 1))
    if broken and first and len(first[0][0]) < _CHUNK:  # not worth other processes
        n_jobs = 1
    # The first answers soon; by number, not by time, since the networks' last digits depend on how many are asked
    # about.
    waiting, batch = [], _CHUNK
    for looks in in_order(_look_at_some, chain(first, chunks()), n_jobs):
        waiting += looks
        if len(waiting) >= batch:
            yield from _answer_some(waiting, network)
            waiting, batch = [], min(2 * batch, BATCH)
    yield from _answer_some(waiting, network)
    if broken[0] is not None:
        raise broken[0]


def _look_at_some(structures):
    looks = []
    for atoms in structures:
        try:
            looks.append(look_at(prepare(atoms)))
        except Exception as error:  # noqa: BLE001  what a file may hold has no end; the others are to be answered
            looks.append(error)
    return looks


def _answer_some(looks, network):
    whole = iter(answers([look for look in looks if isinstance(look, Look)], network))
    return [next(whole) if isinstance(look, Look) else look for look in looks]


def _answer(look, by_place, by_ball, standard, card, prototype_card, possible):
    """The dictionary of `classify`."""
    probabilities = together(by_place)
    best = int(probabilities[: len(CLASSES)].argmax())
    alone = np.where(is_refused(by_place, card["thresholds"]), len(CLASSES), by_place[:, : len(CLASSES)].argmax(axis=1))
    names = (*CLASSES, "none")
    places = {names[label]: int(n) for label, n in enumerate(np.bincount(alone, minlength=len(names))) if n}
    n_atoms = len(look.prepared.balls[0])
    reason = _reason(n_atoms, look.is_thin, of_places(look.spectra), by_place, probabilities, card, look.group)
    is_none = look.is_thin or n_atoms < SMALLEST or reason == _MOLTEN
    prototype, reason = _prototype(look, by_ball, CLASSES[best], reason, is_none, prototype_card, possible)
    notes = [*look.prepared.notes]
    if look.kinds == "without order":
        notes.append("kinds without order: an alloy; the answer is the lattice of its places")
    notes.append(f"length scale {look.scale / look.prepared.scale:.3g} Å")
    if len(alone) > 1:
        notes.append("places by themselves: " + ", ".join(f"{name} {n}" for name, n in places.items()))
    return {
        "class": CLASSES[best],
        "probability": float(probabilities[best]),
        "probabilities": {name: float(p) for name, p in zip(names, probabilities, strict=True)},
        "verdict": "none of the seven" if reason else "one of the seven",
        "reason": reason,
        "prototype": prototype._asdict(),
        "kinds": look.kinds,
        "places": places,
        "spacegroup": look.group,
        "tolerance": look.tolerance,
        "standard": standard,
        "n_atoms": n_atoms,
        "notes": notes,
    }


class PrototypeAnswer(NamedTuple):
    """What is said of the prototype of a structure."""

    name: str
    """The most probable: AFLOW's label, or the file or folder that it was learned from; of several that cannot be told
    apart, joined by "or"."""
    title: str
    """What it is called: mineral, Strukturbericht, formula; else the name."""
    probability: float
    verdict: str
    """"accepted" or "refused"."""
    reason: str | None
    """Of a refusal."""
    next: str
    """Title of the next candidate."""
    next_probability: float


def _prototype(look, by_ball, class_of_places, refused, is_none, card, possible):
    """The prototype, and why the class is none of the seven (None: it is one).

    `refused` is why the class of the places is refused, or None; `is_none` whether that is for too few atoms, too
    thin a piece or no peaks, and so holds for any prototype.
    """
    prepared, kinds, found = look.prepared, look.kinds, look.found
    classified = prepared.balls[0] if prepared.elements is None else prepared.elements
    n_cell = None
    if prepared.elements is not None:
        n_cell = len(classified) if found is None else found[1]
    shares = shares_of_kinds(classified.numbers)
    if kinds == "without order":
        shares, found = (1.0,), None
    fits_shares, fits = possible(shares, len(prepared.balls[0]), n_cell, found)
    answer, its_class = _name_prototype(by_ball, card, fits_shares, fits)
    accepted, why = answer.verdict == "accepted", None
    if is_none:
        why = refused
    elif accepted and kinds != "ordered" and its_class and (refused or its_class != class_of_places):
        why = f"the places are {'none of the seven' if refused else class_of_places}, which this prototype is not"
    if why:
        answer, accepted = answer._replace(verdict="refused", reason=why), False
    if kinds != "ordered":
        return answer, refused
    alone = f"the places of its atoms alone are {class_of_places if refused is None else 'none of the seven'}"
    if accepted:
        return answer, f"a compound: {answer.title}; {alone}"
    return answer, refused or f"an ordered compound, {answer.reason}; {alone}"


def _name_prototype(by_ball, card, fits_shares, possible):
    """The answer by probabilities (n_balls, n_groups + 1), and its class of the seven, if any.

    It is one of the groups that are `possible`, by composition (`fits_shares`) and symmetry; what is refused is named
    after the nearest, possible or not.
    """
    groups, threshold = card["groups"], card["threshold"]
    probabilities = together(by_ball)[:-1]
    accepted = (probabilities * possible).max() >= threshold
    candidates = possible if accepted else np.ones_like(possible)
    first, second = np.resize(np.argsort(-probabilities - candidates), 2)
    group, following = groups[first], groups[second]
    reason = None
    if probabilities[first] < threshold:
        reason = f"none of the {len(groups)} prototypes of this network"
    elif np.mean((by_ball[:, :-1] * candidates).argmax(axis=1) == first) < _AGREEING:
        reason = "more than one crystal: its balls are of different prototypes; use map"
    elif not fits_shares[first]:
        reason = f"looks like {group['title']}, whose kinds have other shares of the atoms"
    elif not possible[first]:
        reason = f"looks like {group['title']}, whose space group is {' or '.join(map(str, group['spacegroups']))}"
    answer = PrototypeAnswer(
        group["name"], group["title"], float(probabilities[first]), "refused" if reason else "accepted", reason,
        following["title"], float(probabilities[second])
    )  # fmt: skip
    return answer, group["class"]


def shares_of_kinds(numbers) -> tuple[float, ...]:
    """Return the share that each kind has of the atoms, the largest first: (2/3, 1/3) of rutile."""
    counts = np.unique(numbers, return_counts=True)[1]
    return tuple((np.sort(counts)[::-1] / len(numbers)).tolist())


def fit_composition(shares, n_atoms, groups: list[dict]) -> np.ndarray:
    """Whether atoms can be of each of the groups of a card by the `shares_of_kinds`, (n_groups,) bool.

    Shares, in the order of their size, may differ by 1 / sqrt(N), two standard deviations of an even share among N
    atoms: vacancies at random, and the cut through a crystal, seldom change them more. Vacancies of one kind alone do:
    TiC0.8 is no rock salt by this. Atoms of one kind are no compound, nor the reverse.

    Parameters
    ----------
    shares : sequence of float
    n_atoms : float, or ndarray of shape (n_groups,)
        That are classified, N.
    groups : list of dict
        Of `xtalsight.learning.describe_groups`.
    """
    group_of = np.repeat(np.arange(len(groups)), [len(group["shares"]) for group in groups])
    of_groups = [its for group in groups for its in group["shares"]]
    padded = np.array([*zip_longest(shares, *of_groups, fillvalue=0.0)]).T
    apart = np.abs(padded[1:] - padded[0]).max(axis=1)
    is_element = np.array([len(its) == 1 for its in of_groups])
    fits = (apart <= 1 / np.sqrt(np.broadcast_to(n_atoms, len(groups))[group_of])) & (is_element == (len(shares) == 1))
    return np.bincount(group_of, weights=fits) > 0


def _possible(groups, shares, n_atoms, n_cell, found):
    """Which of the groups composition leaves, and which composition and symmetry; `n_cell` atoms has a crystal's cell,
    None if there is none."""
    if n_cell is None:  # a piece, whose surface may be of one kind
        classified = n_atoms / 4
    else:  # of a small supercell with defects the cell has fewer atoms than the ball
        classified = np.where(_may_have_defects(n_cell, groups), min(n_cell, n_atoms), n_atoms)
    fits_shares = fit_composition(shares, classified, groups)
    return fits_shares, fits_shares & _fit_symmetry(found, groups)


def _fit_symmetry(found, groups):
    """Whether a crystal can be of each of the groups by the space groups that `_symmetry` found, (n_groups,) bool."""
    if found is None:
        return np.ones(len(groups), bool)
    numbers, n_atoms = found
    numbers = {_OTHER_HAND.get(number, number) for number in numbers}
    own = [{_OTHER_HAND.get(number, number) for number in group["spacegroups"]} for group in groups]
    return _may_have_defects(n_atoms, groups) | [not numbers.isdisjoint(of) for of in own]


def _may_have_defects(n_atoms, groups):
    """Whether a primitive cell of so many atoms may be a supercell of each group with a defect in it, (n_groups,)
    bool."""
    return np.array([n_atoms >= _SUPERCELL * group["atoms"] for group in groups])


def predict_groups(network, card: dict, spectra: np.ndarray) -> np.ndarray:
    """Return the probabilities of the groups of a network for prototypes, the last of none of them, (n, n_groups + 1),
    for spectra (n, 2, n_shells, n_degrees)."""
    return by_group(predict(network, spectra), np.array(card["group_of_output"]))


def by_group(probabilities: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Add up the probabilities of prototypes (m, n + 1), the last of none of them, by group: (m, n_groups + 1)."""
    columns = np.r_[groups, groups.max() + 1]
    return probabilities @ np.eye(groups.max() + 2, dtype=probabilities.dtype)[columns]


def are_ordered(prepared: Prepared) -> bool:
    """Whether the kinds of a structure's atoms have an order on their places.

    They have one if they repeat in a primitive cell of fewer than `_FEWEST` atoms, or keep symmetry of the places,
    which kinds at random hardly do: all of it, or much. Else the kinds are shuffled among the places, of the primitive
    cell or cloud, `_SHUFFLES` times; order shows as peaks, by the mean square of S_2 over all spheres
    (`xtalsight.spectra.harmonics`), which is then more than `_SIGNIFICANT` standard deviations above that of the
    shuffled.
    """
    ball, crystal = prepared.balls[0].copy(), prepared.elements
    place = ball.arrays["place"]
    if crystal is not None and len(crystal) <= _MOST_FOR_SYMMETRY:
        alike = crystal.copy()
        alike.numbers[:] = 1
        its, of_alike = (symmetry_dataset(of, 0.01 * SPACING / prepared.scale) for of in (crystal, alike))
        if its is not None:
            place = its.mapping_to_primitive[place]
            n_primitive = its.mapping_to_primitive.max() + 1
            operations = len(its.rotations) * n_primitive / len(crystal)
            keep_all = of_alike is not None and its.number == of_alike.number
            minority = n_primitive * (1 - shares_of_kinds(crystal.numbers)[0])
            is_symmetric = operations >= (_SYMMETRIC / 2 if keep_all else _SYMMETRIC)
            if n_primitive < _FEWEST or (is_symmetric and minority > _FEW - 0.5):
                return True
    _, first, of_place = np.unique(place, return_index=True, return_inverse=True)
    kinds = ball.numbers[first]
    rng = np.random.default_rng(0)

    def peaks(numbers):
        ball.numbers[:] = numbers
        return float((spectrum(ball)[1].astype(float) ** 2).sum())

    measured = peaks(kinds[of_place])
    shuffled = [peaks(rng.permutation(kinds)[of_place]) for _ in range(_SHUFFLES)]
    return bool(measured > np.mean(shuffled) + _SIGNIFICANT * np.std(shuffled))


def load_prototypes(folder=None):
    """Load a network for prototypes and its card.

    Parameters
    ----------
    folder : path, optional
        As ``xtalsight learn`` made it; without it, the network that travels with the package.

    Returns
    -------
    network : onnxruntime.InferenceSession
        Its output has a column for each prototype and one for none of them; `predict_groups` adds up what cannot be
        told apart.
    card : dict

    Raises
    ------
    ValueError
        There is none, or it has changed.
    """
    network, card = prototype_files(folder)
    return _load_prototypes(network, card, card.stat().st_mtime_ns)


def prototype_files(folder=None) -> tuple[Path, Path]:
    """Return where network and card of `load_prototypes` are; a ValueError if there is none."""
    if folder is None:
        return WEIGHTS / "prototypes.onnx", WEIGHTS / "prototypes.json"
    network, card = Path(folder, "network.onnx"), Path(folder, "card.json")
    if not (network.exists() and card.exists()):
        if card.exists() and Path(folder, "network.keras").exists():
            raise ValueError(f"{folder} was learned by an earlier version: learn it again")
        raise ValueError(f"{folder} is no network: name a folder that `xtalsight learn` has written")
    return network, card


@cache
def _load_prototypes(network, card, changed):
    described = load_json(card)
    return inference.load(network, described["sha256"]), described


def _reason(n_atoms, is_thin, spectra, by_place, probabilities, card, group):
    """Why an answer is refused, in words to act on; None where it is given."""
    best = probabilities[: len(CLASSES)].argmax()
    if n_atoms < SMALLEST:
        return f"too few atoms: {n_atoms}, at least {SMALLEST} are needed without a cell"
    if is_thin:
        return "flat or straight: some three layers of atoms at most"
    if several := _crystals(by_place, best):
        return f"more than one crystal: its places are {' and '.join(several)}; use map"
    if not is_refused(probabilities[None], card["thresholds"])[0]:
        return None
    contrast = _contrast(spectra).max()
    if contrast < _NO_PEAKS:
        return _MOLTEN
    first, second = np.argsort(-probabilities[: len(CLASSES)])[:2]
    if probabilities[first] + probabilities[second] > _DOUBT:
        return f"{CLASSES[first]} or {CLASSES[second]}: strained or hot, it lies between the two"
    if group in CLASS_OF_SPACE_GROUP:
        return (
            f"another prototype, or far from ideal: its space group, {group}, is that of a class, its structure is not"
        )
    if contrast < 2 * _NO_PEAKS:
        return "faint peaks: more damage than was trained, or none of the seven"
    return "peaks of another structure than the seven, or of several crystals"


def _crystals(by_place, best):
    """What the places of a structure are, if they are not one crystal: names of classes, and "none"; else nothing."""
    winners = by_place[:, : len(CLASSES)].argmax(axis=1)
    nothing = by_place[:, len(CLASSES) :].sum(axis=1) > 0.5
    said = {"none" if none else CLASSES[winner] for winner, none in zip(winners, nothing, strict=True)}
    if np.mean((winners == best) & ~nothing) >= _AGREEING or len(said) == 1:
        return []
    sure = by_place.max(axis=1) > _DOUBT
    return sorted(said) if nothing.any() or len(set(winners[sure])) > 1 else []


def _contrast(spectra):
    """Largest root mean square over directions, relative to the mean, of the intensity on any sphere; (n,) of spectra
    (n, shells, degrees)."""
    powers = np.asarray(spectra, float) ** 2
    return np.sqrt(powers[..., 1:].sum(axis=-1) / powers[..., 0]).max(axis=-1)


def _symmetry(prepared):
    """Space group by spglib at the tolerance that fits the scatter of the atoms, and that tolerance in angstrom; None
    if not determined. Then the groups at all tolerances and the number of atoms of the primitive cell, or None.

    Of the `TOLERANCES`, the tightest at which spglib finds a group with any symmetry but inversion, and the same at
    the next.
    """
    if prepared.crystal is None:
        return None, None, None
    if len(prepared.crystal) > _MOST_FOR_SYMMETRY:
        prepared.notes.append(f"no search for symmetry among {len(prepared.crystal)} atoms")
        return None, None, None
    spacing = (prepared.crystal.get_volume() / len(prepared.crystal)) ** (1 / 3)
    if len(prepared.crystal) > _LARGE_CELL and not _repeats(prepared.crystal, _SHAKEN * spacing):
        prepared.notes.append(f"no search for symmetry: {len(prepared.crystal)} atoms, and nothing in the cell repeats")
        return None, None, None
    datasets = [symmetry_dataset(prepared.elements, tolerance * spacing) for tolerance in TOLERANCES]
    groups = [0 if dataset is None else dataset.number for dataset in datasets]
    # At loose tolerances groups below the tetragonal ones appear by chance.
    least = [3 if tolerance < 0.1 else 75 for tolerance in TOLERANCES]
    start = next((i for i, (one, other) in enumerate(pairwise(groups)) if one == other >= least[i]), None)
    if start is None:
        return (groups[0] or None), (TOLERANCES[0] * spacing if groups[0] else None), None
    tolerance = TOLERANCES[start] * spacing
    prepared.notes.append(
        f"space group at a tolerance of {TOLERANCES[start]:g} of the spacing of atoms, {tolerance:.2g} Å"
    )
    return groups[start], tolerance, (frozenset(groups), int(datasets[start].mapping_to_primitive.max()) + 1)


def _repeats(crystal, tolerance):
    """Whether a translation inside the cell takes most of some atoms to others, within a tolerance in angstrom."""
    heights = 1 / np.linalg.norm(crystal.cell.reciprocal().array, axis=1)
    positions = (
        crystal.get_scaled_positions() % 1 % 1 * heights
    )  # in the metric of a box as high: near zero nearly that of the cell
    tree = cKDTree(positions, boxsize=heights)
    translations = positions[1:] - positions[0]
    misses = np.zeros(len(translations), int)
    for probe in positions[np.linspace(0, len(positions) - 1, _PROBES).astype(int)]:
        misses += tree.query((probe + translations) % heights % heights, distance_upper_bound=tolerance)[0] == np.inf
        translations, misses = translations[misses <= _MISSES], misses[misses <= _MISSES]
    return len(translations) > 0


def _standard_fingerprint(prepared, tolerance):
    """What the compact network sees of the standard supercell; None where there is none."""
    try:
        supercell = standard_supercell(prepared.crystal, tolerance)
        element = np.bincount(prepared.elements.numbers.clip(0)).argmax()  # the most common
        if 0 < element <= _HEAVIEST:
            supercell.numbers[:] = element
        return fingerprint(supercell, GEOMETRY)
    except ValueError:
        return None


def _standard_answers(images):
    """Class and probability by the compact network for each fingerprint; None where that is None."""
    results = [None] * len(images)
    if there := [i for i, image in enumerate(images) if image is not None]:
        network, _ = load_network("compact")
        probabilities = predict(network, np.array([images[i] for i in there]), mirrored=True)
        for i, row in zip(there, probabilities, strict=True):
            best = int(row[: len(CLASSES)].argmax())
            results[i] = {"class": CLASSES[best], "probability": float(row[best])}
    return results
