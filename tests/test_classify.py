import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import onnx
import pytest
from ase import Atoms
from ase.build import bcc110, bulk, fcc100, fcc111, graphene, molecule
from ase.collections import dcdft
from ase.spacegroup import crystal
from conftest import CIF_OF_SITES
from scipy.spatial.transform import Rotation

from xtalsight import counterexamples, inference, networks
from xtalsight.classify import (
    TOLERANCES,
    WEIGHTS,
    are_ordered,
    classify,
    confidence,
    decide,
    fit_composition,
    is_refused,
    load_network,
    load_prototypes,
    outcome,
    prototype_files,
    read_structures,
    refusal_threshold,
    refusal_thresholds,
    share,
    shares_of_kinds,
    spectra_of,
    together,
)
from xtalsight.clouds import SHAPES, build_cloud, cut_cloud
from xtalsight.crystals import CLASSES, PROTOTYPES, make_recipes, rotate
from xtalsight.damage import independent_displacements, random_strain, remove_atoms, strained
from xtalsight.preparation import BALL, SMALLEST, prepare
from xtalsight.store import load_json, save_json
from xtalsight.study.profiles import root
from xtalsight.study.report import publish_prototypes, publish_weights

SEED = 1912
DISORDERED = CIF_OF_SITES + "Cu1 Cu 0 0 0 0.5\nAu1 Au 0 0 0 0.5\n"


def noted(answer, text):
    return any(text in note for note in answer["notes"])


def labels(answer):
    """AFLOW's labels of the prototype that was named: several where they cannot be told apart."""
    return [name.split(" ")[0] for name in answer["prototype"]["name"].split(" or ")]


def ball(crystal, n_atoms, seed=SEED):
    """A ball of a crystal without cell, turned at random."""
    rng = np.random.default_rng([seed, n_atoms])
    angles = Rotation.random(rng=rng).as_euler("xyz", degrees=True)
    return cut_cloud(rotate(crystal, angles), n_atoms, "sphere", rng)


def moved(atoms, x):
    """The same atoms elsewhere, and all of copper."""
    return Atoms(np.full(len(atoms), 29), atoms.positions + [x, 0, 0])


BROKEN = {
    "empty.cif": ("", "is empty"),
    "letter.txt": ("to whom it may concern", "no format that is recognised"),
    "cut_off.xyz": ("5\n\nCu 0 0 0\nCu x", "cannot be read: "),
    "headless.cif": ("data_x\n_cell_length_a 3\n", "headless.cif"),
    "disordered.cif": (DISORDERED.replace("0.5", "0.2"), "less than half"),
}


def test_confidence_ignores_what_is_not_a_class():
    probabilities = np.array([[0.1, 0.2, 0, 0, 0, 0, 0, 0.7], [0.9, 0, 0, 0, 0, 0, 0, 0.1]])
    assert confidence(probabilities).tolist() == [0.2, 0.9]


@pytest.mark.parametrize("error_rate", [0.01, 0.1, 0.5])
def test_refused_fraction_of_exchangeable_values_is_at_most_the_error_rate(error_rate):
    """The promise is about the mean over calibration sets."""
    rng = np.random.default_rng(0)
    refused = []
    for _ in range(2000):
        threshold = refusal_threshold(rng.beta(5, 1, 199), error_rate)
        refused.append((rng.beta(5, 1, 100) < threshold).mean())
    mean, deviation = np.mean(refused), np.std(refused) / np.sqrt(len(refused))
    assert error_rate - 4 * deviation - 1 / 200 < mean < error_rate + 4 * deviation


def test_order_does_not_matter():
    values = np.random.default_rng(1).random(150)
    assert refusal_threshold(values, 0.1) == refusal_threshold(values[::-1], 0.1)


def test_smallest_set_that_can_promise_one_percent():
    assert refusal_threshold(np.arange(99), 0.01) == 0
    with pytest.raises(ValueError, match="too few"):
        refusal_threshold(np.arange(98), 0.01)


def test_each_class_has_a_price_of_its_own():
    """One class of seven is less sure than the others: one threshold for all would refuse nearly seven times as many of
    it."""
    rng = np.random.default_rng(0)
    labels = np.arange(7 * 400) % 7

    def draw():
        sure = np.where(labels == 3, rng.uniform(0.6, 0.8, len(labels)), rng.uniform(0.9, 1, len(labels)))
        probabilities = np.full((len(labels), 8), 0.01)
        probabilities[np.arange(len(labels)), labels] = sure
        return probabilities

    calibration, fresh = draw(), draw()
    thresholds = refusal_thresholds(calibration, labels, 0.1)
    refused = is_refused(fresh, thresholds)
    assert all(0.04 < refused[labels == label].mean() < 0.16 for label in range(7))
    one = refusal_threshold(confidence(calibration), 0.1)
    assert (confidence(fresh[labels == 3]) < one).mean() > 0.6


def test_a_class_without_structures_has_no_threshold():
    with pytest.raises(ValueError, match="too few"):
        refusal_thresholds(np.full((500, 8), 0.125), np.zeros(500, int), 0.1)


@pytest.mark.parametrize("error_rate", [0, 1, -0.1, np.nan])
def test_error_rate_must_be_a_fraction(error_rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        refusal_threshold(np.arange(200), error_rate)


@pytest.mark.parametrize(
    "element, name, label",
    [
        (bulk("Fe"), "bcc", "A_cI2_229_a"),
        (dcdft["In"], "bct_139", "A_tI2_139_a"),
        (bulk("Si"), "diam", "A_cF8_227_a"),
        (bulk("Cu"), "fcc", "A_cF4_225_a"),
        (bulk("Mg"), "hex/rh", "A_hP2_194_c"),
        (dcdft["C"], "hex/rh", "A_hP4_194_bc"),
        (dcdft["Po"], "sc", "A_cP1_221_a"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get_chemical_formula(),
)
def test_elements_turned_anyhow_are_named(element, name, label):
    answer = classify(rotate(element, (10, 200, 77)))
    assert (answer["class"], answer["verdict"], answer["kinds"]) == (name, "one of the seven", "one")
    assert (labels(answer), answer["prototype"]["verdict"]) == ([label], "accepted")
    assert answer["prototype"]["reason"] is None
    assert answer["n_atoms"] == BALL
    assert answer["reason"] is None and answer["standard"]["class"] == name
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["probability"] == max(answer["probabilities"][c] for c in CLASSES)
    assert answer["tolerance"] > 0


# Clouds without a cell.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PROTOTYPES)
def test_clouds_without_cell_that_lack_a_quarter_of_their_atoms_are_named(kind, shape):
    recipe = make_recipes({kind: 1}, SEED, vacancy_ratio=0.25).iloc[0].to_dict()
    cloud = build_cloud(recipe | {"shape": shape, "n_atoms": 256})
    answer = classify(cloud)
    assert (answer["class"], answer["verdict"]) == (CLASSES[PROTOTYPES[kind].label], "one of the seven")
    assert (answer["n_atoms"], answer["spacegroup"], answer["standard"]) == (len(cloud), None, None)


def test_a_turn_hardly_changes_the_answer_about_a_cloud():
    cloud = ball(bulk("Mg"), 200)
    before = classify(cloud)["probabilities"]
    for turn in Rotation.random(5, rng=np.random.default_rng(SEED)):
        turned = Atoms(cloud.numbers, turn.apply(cloud.positions))
        assert classify(turned)["probabilities"] == pytest.approx(before, abs=0.01)


def test_a_cloud_of_a_compound_is_named_and_its_places_too():
    salt = cut_cloud(COMPOUNDS["AB_cF8_225_a_b"][0], 200, "sphere", np.random.default_rng(SEED))
    answer = classify(salt)
    assert (labels(answer), answer["prototype"]["verdict"]) == (["AB_cF8_225_a_b"], "accepted")
    assert (answer["class"], answer["verdict"]) == ("sc", "none of the seven")
    assert "compound" in answer["reason"] and answer["reason"].endswith("are sc")


def test_of_pieces_far_apart_the_largest_is_looked_at():
    small, large = ball(bulk("Fe"), 100), ball(bulk("Cu"), 300)
    for distance in (40, 1000):
        answer = classify(moved(small, distance) + moved(large, 0))
        assert (answer["class"], answer["verdict"], answer["n_atoms"]) == ("fcc", "one of the seven", 300)
        assert noted(answer, "the largest, of 300 atoms")


def test_vacancies_do_not_break_a_cloud_into_pieces():
    crystal = ball(bulk("Cu"), 400)
    few = crystal[np.random.default_rng(SEED).permutation(400)[:80]]
    answer = classify(few)
    assert answer["n_atoms"] == 80
    assert not noted(answer, "pieces")


def test_of_atoms_that_coincide_one_is_kept():
    crystal = ball(bulk("Cu"), 250)
    twins = crystal[:100]
    twins.positions += 0.01
    answer = classify(crystal + twins)
    assert (answer["class"], answer["verdict"], answer["n_atoms"]) == ("fcc", "one of the seven", 250)
    assert noted(answer, "250 atoms, of 350, in places of their own")


def test_a_wire_without_cell_is_named_or_refused():
    wire = bulk("Cu", cubic=True).repeat((3, 3, 14))
    wire.pbc = False
    answer = classify(wire)
    assert answer["class"] == "fcc" or answer["verdict"] == "none of the seven"


# Compounds.


def gold_and_copper(n_gold):
    """A cubic cell with one atom of gold (Cu3Au, L1_2), or every second layer of gold (CuAu, L1_0)."""
    cell = bulk("Cu", cubic=True)
    order = np.lexsort(cell.positions.T)
    cell.symbols[order[:n_gold]] = "Au"
    if n_gold == 2:
        cell.set_cell(cell.cell.array * np.array([[1.06], [1.06], [0.98]]), scale_atoms=True)
    return cell


COMPOUNDS = {
    "AB_cF8_225_a_b": (bulk("NaCl", "rocksalt", a=5.64), "sc", 225),
    "AB_cP2_221_b_a": (bulk("CsCl", "cesiumchloride", a=4.12), "bcc", 221),
    "AB_cF8_216_c_a": (bulk("ZnS", "zincblende", a=5.41), "diam", 216),
    "AB2_cF12_225_a_c": (bulk("CaF2", "fluorite", a=5.46), None, 225),
    "AB3_cP4_221_a_c": (gold_and_copper(1), "fcc", 221),
    "AB_tP2_123_a_d": (gold_and_copper(2), "bct_139", 123),
    "A2B_tP6_136_f_a": (
        crystal(
            ["Ti", "O"],
            [(0, 0, 0), (0.3053, 0.3053, 0)],
            spacegroup=136,
            cellpar=[4.594, 4.594, 2.959, 90, 90, 90],
        ),
        None,
        136,
    ),
}
"""By AFLOW's label: a crystal, the class of its places, if any, and its space group."""


@pytest.mark.parametrize("label", COMPOUNDS)
def test_a_compound_is_named_and_is_none_of_the_seven(label):
    """B2 is not bcc, rock salt not simple cubic, zinc blende not diamond: the places alone are."""
    compound, of_places, group = COMPOUNDS[label]
    answer = classify(rotate(compound, (10, 200, 77)))
    assert label in labels(answer)
    assert (answer["prototype"]["verdict"], answer["prototype"]["reason"]) == ("accepted", None)
    assert (answer["kinds"], answer["verdict"], answer["spacegroup"]) == ("ordered", "none of the seven", group)
    alone = of_places or "none of the seven"
    assert answer["reason"] == f"a compound: {answer['prototype']['title']}; the places of its atoms alone are {alone}"
    assert answer["class"] == (of_places or answer["class"])


@pytest.mark.parametrize("label", ["AB_cP2_221_b_a", "AB3_cP4_221_a_c", "A2B_tP6_136_f_a"])
def test_to_exchange_the_kinds_changes_nothing(label):
    compound, _, _ = COMPOUNDS[label]
    first, second = sorted(set(compound.numbers))
    answers = []
    for one, other in ((first, second), (second, first), (1, 92), (0, 110)):
        compound = compound.copy()
        compound.numbers = np.where(COMPOUNDS[label][0].numbers == first, one, other)
        answers.append(classify(compound))
    for answer in answers:
        assert answer["prototype"]["name"] == answers[0]["prototype"]["name"]
        assert answer["prototype"]["probability"] == pytest.approx(answers[0]["prototype"]["probability"], abs=1e-3)
        for key in ("kinds", "verdict", "class", "reason", "spacegroup", "places"):
            assert answer[key] == answers[0][key], key


@pytest.mark.parametrize("numbers", [(130, 200), (-1, 5)], ids=str)
def test_kinds_beyond_the_table_of_elements_are_kinds_too(numbers):
    compound = COMPOUNDS["AB_cP2_221_b_a"][0].copy()
    compound.numbers = numbers
    answer = classify(compound)
    assert (answer["class"], answer["spacegroup"]) == ("bcc", 221)
    assert "AB_cP2_221_b_a" in labels(answer)


def shuffled(atoms, numbers, seed=SEED):
    """A random alloy: kinds, in shares as equal as can be, without order."""
    atoms = atoms.copy()
    atoms.numbers = np.random.default_rng(seed).permutation(np.resize(numbers, len(atoms)))
    return atoms


@pytest.mark.parametrize("numbers", [(29, 79), (24, 25, 26, 27, 28)], ids=len)
@pytest.mark.parametrize(
    "places, name, label",
    [
        (bulk("Cu", cubic=True).repeat(4), "fcc", "A_cF4_225_a"),
        (bulk("Fe", cubic=True).repeat(5), "bcc", "A_cI2_229_a"),
        (bulk("Mg").repeat((5, 5, 4)), "hex/rh", "A_hP2_194_c"),
        (bulk("Cu", cubic=True).repeat((3, 2, 1)), "fcc", "A_cF4_225_a"),
    ],
    ids=["fcc, 256", "bcc, 250", "hcp, 200", "fcc, 24"],
)
def test_a_random_alloy_is_the_lattice_of_its_places(places, name, label, numbers):
    answer = classify(shuffled(places, numbers))
    assert (answer["kinds"], answer["class"], answer["verdict"]) == ("without order", name, "one of the seven")
    assert (labels(answer), answer["prototype"]["verdict"]) == ([label], "accepted")
    assert noted(answer, "kinds without order")


def test_a_random_alloy_without_cell_is_the_lattice_of_its_places():
    cloud = ball(shuffled(bulk("Cu", cubic=True).repeat(6), (29, 79)), 300)
    answer = classify(cloud)
    assert (answer["kinds"], answer["class"], answer["verdict"]) == ("without order", "fcc", "one of the seven")


def test_most_random_alloys_in_small_supercells_are_not_taken_for_compounds():
    right = 0
    for seed in range(12):
        answer = classify(shuffled(bulk("Cu").repeat((3, 3, 6)), (29, 79), seed))
        right += (answer["kinds"], answer["class"], answer["verdict"]) == ("without order", "fcc", "one of the seven")
    assert right >= 11


def layered(repeat=1):
    """An order of (111) planes of fcc that is none of the prototypes: two of gold, four of copper."""
    cell = bulk("Cu").repeat((1, 1, 6))
    cell.numbers = [79, 79, 29, 29, 29, 29]
    return cell.repeat((repeat, repeat, 1))


@pytest.mark.parametrize("noise", [0, 0.08])
@pytest.mark.parametrize("repeat", [1, 3])
def test_an_order_that_nobody_knows_is_refused_and_said_to_be_one(repeat, noise):
    crystal = layered(repeat)
    crystal.rattle(noise, seed=0)
    answer = classify(crystal)
    assert (answer["class"], answer["kinds"], answer["verdict"]) == ("fcc", "ordered", "none of the seven")
    why = answer["prototype"]["reason"]
    assert answer["reason"] == f"an ordered compound, {why}; the places of its atoms alone are fcc"
    assert answer["prototype"]["verdict"] == "refused" and "none of the" in why


@pytest.mark.parametrize(
    "atoms, ordered",
    [
        (COMPOUNDS["AB_cF8_225_a_b"][0], True),
        (bulk("Cu", cubic=True), True),
        (COMPOUNDS["AB3_cP4_221_a_c"][0].repeat(3), True),
        (COMPOUNDS["AB_cP2_221_b_a"][0].repeat(3), True),
        (layered(3), True),
        (shuffled(bulk("Cu", cubic=True).repeat(3), (29, 79)), False),
        (shuffled(bulk("Fe", cubic=True).repeat(3), (29, 79)), False),
        (shuffled(bulk("Cu", cubic=True).repeat((3, 2, 1)), (29, 79, 79)), False),
        (shuffled(bulk("Si", cubic=True).repeat(3), (14, 32)), False),
    ],
    ids=["rock salt", "cell of an element", "L1_2", "B2", "layers", "fcc alloy", "bcc alloy", "24 atoms", "SiGe"],
)
@pytest.mark.parametrize("noise", [0, 0.05])
def test_order_is_found_where_there_is_some(atoms, ordered, noise):
    atoms = atoms.copy()
    atoms.rattle(noise, seed=0)
    assert are_ordered(prepare(atoms)) == ordered


SKUTTERUDITE = crystal(
    ["Co", "Sb"], [(1 / 4, 1 / 4, 1 / 4), (0, 0.335, 0.158)], spacegroup=204, cellpar=[9.04] * 3 + [90] * 3
)


def with_impurities(count, n_repeat=2):
    """A supercell of copper, a few atoms of which are others."""
    cell = bulk("Cu", cubic=True).repeat(n_repeat)
    cell.numbers[:count] = 79
    return cell


def superstructure():
    """An order in 16 atoms of bcc: AB11CD3, of space group 221."""
    cell = bulk("Fe", cubic=True).repeat(2)
    places = np.rint(4 * cell.get_scaled_positions()).astype(int) % 4
    on_corners = (places % 2 == 0).all(axis=1)
    halves = (places == 2).sum(axis=1)
    for numbers, chosen in (
        (13, on_corners & (halves == 0)),
        (14, on_corners & (halves == 3)),
        (15, on_corners & (halves == 1)),
    ):
        cell.numbers[chosen] = numbers
    return cell


@pytest.mark.parametrize(
    "atoms, ordered",
    [
        (SKUTTERUDITE, True),
        (rotate(SKUTTERUDITE, (10, 20, 30)).repeat((2, 1, 1)), True),
        (superstructure(), True),
        (with_impurities(1), False),
        (with_impurities(2), False),
    ],
    ids=["skutterudite", "two cells", "superstructure", "an impurity", "a pair"],
)
def test_kinds_that_respect_the_symmetry_of_a_large_cell_are_ordered(atoms, ordered):
    assert are_ordered(prepare(atoms)) == ordered


def test_an_ordered_compound_keeps_its_order_without_a_quarter_of_its_atoms():
    rng = np.random.default_rng(SEED)
    lacking = remove_atoms(COMPOUNDS["AB3_cP4_221_a_c"][0].repeat(5), 0.25, rng)
    assert are_ordered(prepare(lacking))
    answer = classify(lacking)
    assert "AB3_cP4_221_a_c" in labels(answer)
    assert (answer["kinds"], answer["verdict"]) == ("ordered", "none of the seven")


GROUPS = [
    {"name": "B1", "title": "salt", "shares": [[0.5, 0.5]], "spacegroups": [225], "atoms": 2, "class": None},
    {"name": "B2", "title": "CsCl", "shares": [[0.5, 0.5]], "spacegroups": [221], "atoms": 2, "class": None},
    {"name": "C1", "title": "fluorite", "shares": [[2 / 3, 1 / 3]], "spacegroups": [225], "atoms": 3, "class": None},
    {"name": "C8", "title": "quartz", "shares": [[2 / 3, 1 / 3]], "spacegroups": [154], "atoms": 9, "class": None},
    {"name": "A1", "title": "copper", "shares": [[1.0]], "spacegroups": [225, 221], "atoms": 1, "class": "fcc"},
]


@pytest.fixture
def network_says(monkeypatch):
    """A function that makes the network for prototypes say the same of everything."""

    class Says:
        def __init__(self, probabilities):
            of_groups = np.resize([*probabilities, *np.zeros(len(GROUPS))], len(GROUPS))
            self.probabilities = np.array([[*of_groups, 1 - sum(probabilities)]], np.float32)

        def predict_on_batch(self, spectra):
            return np.repeat(self.probabilities, len(spectra), axis=0)

    def say(*probabilities):
        card = {"groups": GROUPS, "threshold": 0.3, "group_of_output": [0, 1, 2, 3, 4]}
        monkeypatch.setattr("xtalsight.classify.load_prototypes", lambda folder: (Says(probabilities), card))

    return say


def test_the_next_candidate_is_possible_too(network_says):
    network_says(0.4, 0.3, 0.2, 0.1)
    answer = classify(COMPOUNDS["AB2_cF12_225_a_c"][0])["prototype"]
    assert answer["verdict"] == "refused"  # 0.2 is too little
    network_says(0.3, 0.1, 0.4, 0.05)
    supercell = COMPOUNDS["AB2_cF12_225_a_c"][0].repeat(3)[3:]
    answer = classify(supercell)["prototype"]
    assert (answer["name"], answer["next"]) == ("C1", "quartz")


def test_the_space_groups_of_a_joined_group_are_all_named(network_says):
    network_says(0.0, 0.0, 0.0, 0.0, 0.9)
    answer = classify(bulk("Fe"))["prototype"]
    assert answer["reason"] == "looks like copper, whose space group is 225 or 221"


@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_vacancies_at_random_in_a_supercell_leave_composition_possible(fraction, network_says):
    network_says(0.9, 0.0, 0.0, 0.0)
    supercell = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
    accepted = [
        classify(remove_atoms(supercell, fraction, np.random.default_rng(i)))["prototype"]["verdict"] == "accepted"
        for i in range(8)
    ]
    assert sum(accepted) >= 7


def test_a_surface_of_one_kind_leaves_composition_possible(network_says):
    """Of B2, seven layers, the two outermost of nickel."""
    network_says(0.0, 0.9, 0.0, 0.0)
    layers = bulk("NiAl", "cesiumchloride", a=2.88).repeat((1, 1, 4))[:-1]
    layers.pbc = (True, True, False)
    layers.cell[2] = 0
    assert classify(layers.repeat((6, 6, 1)))["prototype"]["name"] == "B2"


@pytest.fixture
def network_folder(tmp_path):
    """The network that travels with the package, as `learn` writes one."""
    for file, name in zip(prototype_files(), ("network.onnx", "card.json"), strict=True):
        shutil.copy(file, tmp_path / name)
    return tmp_path


def test_a_network_of_an_earlier_version_is_to_be_learned_again(network_folder):
    shutil.copy(network_folder / "network.onnx", network_folder / "network.keras")
    load_prototypes(network_folder)  # it has been
    (network_folder / "network.onnx").unlink()
    with pytest.raises(ValueError, match="learn it again"):
        load_prototypes(network_folder)


def test_a_changed_byte_in_a_network_is_noticed(network_folder):
    content = bytearray((network_folder / "network.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (network_folder / "network.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"network\.onnx is damaged"):
        load_prototypes(network_folder)


def test_composition_rules_out_what_the_network_takes_for_another(network_says):
    network_says(0.9, 0.0, 0.0, 0.0)
    answer = classify(COMPOUNDS["AB2_cF12_225_a_c"][0])["prototype"]
    assert (answer["name"], answer["verdict"]) == ("B1", "refused")
    assert answer["reason"] == "looks like salt, whose kinds have other shares of the atoms"


def test_symmetry_rules_out_what_the_network_takes_for_another(network_says):
    network_says(0.9, 0.0, 0.0, 0.0)
    answer = classify(COMPOUNDS["AB_cP2_221_b_a"][0])["prototype"]
    assert (answer["name"], answer["verdict"]) == ("B1", "refused")
    assert answer["reason"] == "looks like salt, whose space group is 225"
    assert classify(COMPOUNDS["AB_cF8_225_a_b"][0])["prototype"]["verdict"] == "accepted"


def test_the_best_of_those_that_are_possible_is_the_answer_if_it_is_likely_enough(network_says):
    network_says(0.55, 0.35, 0.1, 0.0)
    answer = classify(COMPOUNDS["AB_cP2_221_b_a"][0])["prototype"]
    assert (answer["name"], answer["verdict"], answer["probability"]) == ("B2", "accepted", pytest.approx(0.35))
    network_says(0.65, 0.25, 0.1, 0.0)
    assert classify(COMPOUNDS["AB_cP2_221_b_a"][0])["prototype"]["verdict"] == "refused"


def test_a_vacancy_in_a_supercell_is_no_other_prototype(network_says):
    network_says(0.9, 0.0, 0.0, 0.0)
    supercell = COMPOUNDS["AB_cF8_225_a_b"][0].repeat((2, 2, 2))[1:]
    answer = classify(supercell)
    assert answer["spacegroup"] is not None and answer["prototype"]["verdict"] == "accepted"


@pytest.mark.parametrize("group, z", [(152, 1 / 3), (154, 2 / 3)])
def test_both_hands_of_a_crystal_are_one_prototype(group, z, network_says):
    network_says(0.0, 0.0, 0.0, 0.9)
    cell = [4.91, 4.91, 5.40, 90, 90, 120]
    oxygen = (0.413, 0.267, 0.119) if group == 152 else (0.413, 0.267, 0.786)
    quartz = crystal(["Si", "O"], [(0.470, 0, z), oxygen], spacegroup=group, cellpar=cell)
    answer = classify(quartz)
    assert (answer["spacegroup"], answer["prototype"]["verdict"]) == (group, "accepted")


@pytest.mark.parametrize(
    "shares, n_atoms, fits",
    [
        ((0.5, 0.5), 256, [True, True, False, False, False]),
        ((0.54, 0.46), 256, [True, True, False, False, False]),
        ((0.57, 0.43), 256, [False] * 5),
        ((0.57, 0.43), 64, [True, True, True, True, False]),
        ((0.57, 0.43), np.array([64, 256, 64, 256, 64]), [True, False, True, False, False]),
        ((0.66, 0.32, 0.02), 256, [False, False, True, True, False]),
        ((1.0,), 256, [False, False, False, False, True]),
        ((0.97, 0.03), 30, [False] * 5),
    ],
)
def test_shares_of_the_kinds_fit_within_what_chance_changes(shares, n_atoms, fits):
    assert fit_composition(shares, n_atoms, GROUPS).tolist() == fits


def test_shares_of_kinds_are_in_order_of_their_size():
    assert shares_of_kinds([8, 22, 8]) == (2 / 3, 1 / 3) == shares_of_kinds([22, 8, 22])
    assert shares_of_kinds(np.full(5, 29)) == (1.0,)


def test_what_is_said_of_a_prototype_is_complete():
    answer = classify(COMPOUNDS["AB_cF8_225_a_b"][0])["prototype"]
    assert list(answer) == ["name", "title", "probability", "verdict", "reason", "next", "next_probability"]
    assert answer["title"].endswith("(B1, AB_cF8_225_a_b)")
    assert 1 >= answer["probability"] > answer["next_probability"] >= 0
    assert answer["next"] != answer["title"]


@pytest.mark.parametrize("few", [16, 23])
def test_a_handful_of_atoms_has_no_prototype(few):
    answer = classify(cut_cloud(COMPOUNDS["AB_cF8_225_a_b"][0], few, "sphere", np.random.default_rng(SEED)))
    assert answer["prototype"]["verdict"] == "refused" and answer["prototype"]["reason"]
    assert answer["verdict"] == "none of the seven"


def test_of_an_element_prototype_and_class_do_not_contradict_each_other():
    """What is accepted as a prototype of a class is of that class; a crystal of none of them is of no class."""
    for symbol in ("B", "Ga", "Hg", "Mn", "P", "U", "Sn", "As", "Bi"):
        crystal = bulk(symbol, "fcc", a=4) if symbol not in dcdft.names else dcdft[symbol]
        answer = classify(crystal)
        if answer["verdict"] == "one of the seven" and answer["prototype"]["verdict"] == "accepted":
            network_says = {
                name: group["class"] for group in load_prototypes()[1]["groups"] for name in [group["name"]]
            }
            assert network_says[answer["prototype"]["name"]] == answer["class"], symbol


# Supercells and cells.


def test_a_damaged_supercell_is_named_however_it_stands():
    rng = np.random.default_rng(4)
    atoms = bulk("Si", cubic=True).repeat(3)
    atoms = atoms[rng.random(len(atoms)) > 0.25]
    for angles in ((0, 0, 0), (31, 200, 77)):
        answer = classify(rotate(atoms, angles))
        assert (answer["class"], answer["verdict"]) == ("diam", "one of the seven")


def test_an_answer_hardly_depends_on_the_element_and_not_on_the_size():
    copper, gold, large = (classify(bulk(symbol, "fcc", a=a)) for symbol, a in (("Cu", 4), ("Au", 4), ("Cu", 5)))
    assert copper["probabilities"] == pytest.approx(large["probabilities"], abs=1e-3)
    assert copper["probabilities"] == pytest.approx(gold["probabilities"], abs=0.1)


def test_dummy_atoms_and_unknown_elements_have_places_too():
    crystal = bulk("Cu")
    for number in (0, 110):
        crystal.numbers[:] = number
        assert classify(crystal)["class"] == "fcc"


def test_a_stray_atom_does_not_hide_a_large_crystal():
    crystal = bulk("Cu", cubic=True).repeat(9)
    crystal.pbc = False
    answer = classify(crystal)
    stray = crystal + Atoms("Cu", [(0, 0, 900)])
    assert classify(stray)["class"] == answer["class"] == "fcc"


@pytest.mark.parametrize("molecular", [molecule("C6H6"), molecule("C60"), Atoms("Cu2", [(0, 0, 0), (0, 0, 2.5)])])
def test_molecules_are_none_of_the_seven(molecular):
    assert classify(molecular)["verdict"] == "none of the seven"


def test_what_is_too_small_is_refused_whatever_the_probability():
    cube = bulk("Fe", cubic=True).repeat(2)
    cube.pbc = False
    assert len(cube) < SMALLEST
    assert classify(cube)["verdict"] == "none of the seven"


def test_a_large_dump_is_classified_at_several_places():
    large = bulk("Cu", cubic=True).repeat((30, 30, 28))
    large.rattle(0.05, seed=0)
    answer = classify(large)
    assert (answer["n_atoms"], answer["class"], answer["verdict"]) == (BALL, "fcc", "one of the seven")
    assert answer["places"] == {"fcc": 12}
    assert noted(answer, "no search for symmetry among 100800 atoms")


@pytest.mark.parametrize(
    "atoms, reason",
    [
        (Atoms(), "no atoms"),
        (Atoms("Cu", [(0, 0, 0)]), "length scale"),
        (Atoms("Cu2", [(0, 0, np.nan), (0, 0, 1)]), "finite"),
        (Atoms("Cu2", [(0, 0, 0), (1, 2, 2)], cell=[(3, 0, 0), (0, 3, 0), (3, 3, 0)], pbc=True), "one plane or line"),
        (Atoms("Cu30", np.zeros((30, 3)), cell=np.zeros((3, 3)), pbc=True), "length scale"),
    ],
)
def test_impossible_structures_get_one_sentence(atoms, reason):
    with pytest.raises(ValueError, match=reason):
        classify(atoms)


def test_coincident_atoms_in_a_cell_are_one():
    answer = classify(Atoms("Cu2", [(0, 0, 0), (0, 0, 0)], cell=[3, 3, 3], pbc=True))
    assert answer["class"] == "sc"
    assert noted(answer, "of atoms that coincide one is kept")


@pytest.mark.parametrize(
    "flat",
    [
        fcc111("Cu", (5, 5, 1)),
        fcc111("Cu", (16, 16, 1)),
        graphene(size=(12, 12, 1), vacuum=8),
        fcc100("Cu", (16, 16, 1)),
        Atoms("Cu40", np.outer(np.arange(40), (2.5, 0, 0))),
        Atoms("Cu40", np.outer(np.arange(40), (1.5, 1.5, 1.5))),
        Atoms("Cu2", [(0, 0, 0), (0, 0, 2.5)]),
    ],
    ids=["triangles, few", "triangles", "graphene", "squares", "line", "diagonal", "two atoms"],
)
def test_flat_and_straight_structures_are_none_of_the_seven(flat):
    assert classify(flat)["verdict"] == "none of the seven"


@pytest.mark.parametrize("layers", [2, 3, 4, 6])
@pytest.mark.parametrize("face, label", [(fcc111, "fcc"), (fcc100, "fcc"), (bcc110, "bcc")])
def test_a_thin_slab_has_the_class_of_its_crystal_or_is_refused(face, label, layers):
    """Of the layers ABCA of an fcc metal two or three are like those of hcp."""
    answer = classify(face("Cu" if label == "fcc" else "Fe", (14, 14, layers)))
    assert answer["class"] == label or answer["verdict"] == "none of the seven"


# What a refusal says.


@pytest.mark.parametrize(
    "atoms, words",
    [
        (bulk("Fe", cubic=True).repeat(2), "too few atoms: 16, at least 24"),
        (fcc111("Cu", (16, 16, 1)), "flat or straight"),
        (Atoms("Cu400", np.random.default_rng(SEED).random((400, 3)) * 20, cell=[20, 20, 20], pbc=True), "no peaks"),
        (dcdft["B"], "another prototype, or far from ideal: its space group, 166"),
    ],
    ids=["few", "flat", "random", "boron"],
)
def test_a_refusal_says_why(atoms, words):
    if words.startswith("too few"):
        atoms.pbc = False
    answer = classify(atoms)
    assert answer["verdict"] == "none of the seven"
    assert words in answer["reason"]


def test_two_grains_in_one_cell_are_more_than_one_crystal():
    iron = bulk("Fe", cubic=True).repeat((12, 6, 6))
    copper = bulk("Cu", cubic=True).repeat((10, 5, 5))
    copper.set_cell(iron.cell.array * (1, 1, 1), scale_atoms=False)
    copper.positions[:, 0] += iron.cell[0, 0]
    both = iron + copper
    both.set_cell(iron.cell.array * np.array([[2.05], [1], [1]]))
    answer = classify(both)
    assert "more than one crystal" in answer["reason"] and "use map" in answer["reason"]
    assert {"bcc", "fcc"} <= set(answer["places"])


# Damage as nature has it.


@pytest.mark.parametrize("k", [0, 1, 7, 60])
def test_one_crystal_has_one_answer_whatever_its_cell(k):
    crystal = bulk("Cu", cubic=True).repeat(2)
    crystal.positions += independent_displacements(len(crystal), 0.05, np.random.default_rng(SEED))
    plain = classify(crystal)
    a, b, c = crystal.cell.array
    crystal.set_cell([a, b + k * a, c + k * b])
    crystal.wrap()
    answer = classify(crystal)
    assert (answer["class"], answer["verdict"]) == ("fcc", "one of the seven")
    assert answer["probabilities"] == pytest.approx(plain["probabilities"], abs=1e-3)


@pytest.mark.parametrize("symbol, name", [("Fe", "bcc"), ("Cu", "fcc"), ("Si", "diam"), ("Mg", "hex/rh")])
def test_a_crystal_strained_by_one_percent_keeps_its_class(symbol, name):
    right = 0
    for number in range(8):
        strain = random_strain(0.01, np.random.default_rng([SEED, number]))
        answer = classify(strained(bulk(symbol), strain))
        right += (answer["class"], answer["verdict"]) == (name, "one of the seven")
    assert right >= 7


@pytest.mark.parametrize(
    "c_over_a, name", [(1.03, "bct_139"), (1.0, "bcc"), (1.015, "bcc"), (1.2, "bct_139"), (1.38, "bct_139")]
)
def test_cold_crystals_are_tetragonal_from_three_percent_on(c_over_a, name):
    crystal = bulk("Fe", cubic=True)
    crystal.set_cell(crystal.cell.array * np.array([[1], [1], [c_over_a]]), scale_atoms=True)
    answer = classify(crystal)
    first, second = sorted(answer["probabilities"], key=answer["probabilities"].get)[:-3:-1]
    assert name == first or (answer["verdict"] == "none of the seven" and name == second)


@pytest.mark.parametrize(
    "symbol, component, strain, name",
    [
        ("Fe", "zz", 0.015, "bcc"),
        ("Al", "zz", 0.01, "fcc"),
        ("Fe", "zz", 0.05, "bct_139"),
        ("Al", "zz", 0.05, "bct_139"),
        ("Fe", "zz", 0.1, "bct_139"),
        ("Al", "zz", 0.1, "bct_139"),
        ("Fe", "yz", 0.02, "bcc"),
        ("Al", "yz", 0.02, "fcc"),
        ("Si", "yz", 0.02, "diam"),
        ("Al", "yz", 0.2, None),
        ("Fe", "yz", 0.2, None),
        ("Si", "yz", 0.2, None),
    ],
)
def test_strained_cells_follow_the_one_definition_of_the_border(symbol, component, strain, name):
    """Below 2 % the parent; along an axis of bcc or fcc, beyond the border, tetragonal; sheared far, none of the
    seven."""
    tensor = np.zeros((3, 3))
    if component == "zz":
        tensor[2, 2] = strain
    else:
        tensor[1, 2] = tensor[2, 1] = strain / 2
    answer = classify(strained(bulk(symbol, cubic=True), tensor))
    accepted = answer["verdict"] == "one of the seven"
    assert (answer["class"] if accepted else None) == name
    assert accepted or answer["reason"]


@pytest.mark.parametrize("ball", [192, 384])
def test_balls_of_hot_solids_are_named_or_refused_and_melts_refused(ball):
    """Snapshots of molecular dynamics up to the melting point, by potentials that nothing was trained on."""
    names = {"bcc": "bcc", "fcc": "fcc", "hcp": "hex/rh", "diamond": "diam"}
    named = []
    for large in ase.io.read(root() / "tests" / "reference" / "md_balls.extxyz.gz", index=":"):
        rng = np.random.default_rng(SEED)
        for _ in range(3):
            middle = large.positions[rng.permutation(np.flatnonzero(np.linalg.norm(large.positions, axis=1) < 4))[0]]
            nearest = np.argsort(np.linalg.norm(large.positions - middle, axis=1))[:ball]
            turn = Rotation.random(rng=rng)
            answer = classify(Atoms(large.numbers[nearest], turn.apply(large.positions[nearest])))
            if large.info["cls"] == "melt":
                assert answer["verdict"] == "none of the seven"
            else:
                accepted = answer["verdict"] == "one of the seven"
                assert not accepted or answer["class"] == names[large.info["cls"]]
                named.append(accepted)
    assert np.mean(named) > 0.8


@pytest.mark.parametrize("form", ["cell", "supercell", "ball"])
@pytest.mark.parametrize("kind", ["cuprite", "perovskite", "half_heusler"])
def test_ordered_subsets_and_supersets_of_a_class_are_refused_in_all_forms(kind, form):
    cell = counterexamples._prototype(kind, np.random.default_rng(SEED))
    cell.set_cell(cell.cell.array * 2.5, scale_atoms=True)
    atoms = {
        "cell": cell,
        "supercell": cell.repeat(3),
        "ball": cut_cloud(cell, 300, "sphere", np.random.default_rng(SEED)),
    }[form]
    assert classify(atoms)["verdict"] == "none of the seven"


@pytest.mark.parametrize("repeats", [(3, 3, 3), (2, 3, 6), (1, 2, 9)])
def test_vacancies_of_a_small_cell_hide_nothing(repeats):
    crystal = bulk("W", cubic=True).repeat(repeats)
    answer = classify(remove_atoms(crystal, 0.06, np.random.default_rng(SEED)))
    assert (answer["class"], answer["verdict"]) == ("bcc", "one of the seven")


@pytest.mark.parametrize("sigma, group", [(0, 225), (0.002, 225), (0.05, 225)])
def test_the_space_group_is_found_at_the_tolerance_that_fits_the_scatter(sigma, group):
    crystal = bulk("Cu", cubic=True).repeat(2)
    crystal.positions += independent_displacements(len(crystal), sigma, np.random.default_rng(SEED))
    answer = classify(crystal)
    assert answer["spacegroup"] == group
    assert noted(answer, "space group at a tolerance of")
    assert answer["tolerance"] >= sigma


def test_nanometres_and_colloids_have_a_space_group():
    for factor in (0.1, 1e4):
        crystal = bulk("Cu")
        crystal.set_cell(crystal.cell.array * factor, scale_atoms=True)
        answer = classify(crystal)
        assert (answer["class"], answer["spacegroup"]) == ("fcc", 225)
        spacing = (crystal.get_volume()) ** (1 / 3)
        assert answer["tolerance"] == pytest.approx(TOLERANCES[0] * spacing)


# What a user gets.


def test_outcome_counts_answers_and_not_refusals():
    right = np.array([True] * 6 + [False] * 4)
    refused = np.array([False] * 5 + [True] * 3 + [False] * 2)
    result = outcome(right, refused)
    assert (result.answered[0], result.right[0], result.wrong[0]) == (0.7, 5 / 7, 0.2)
    for value, low, high in result:
        assert low < value < high


def test_wilson_interval_of_no_error_is_not_nothing():
    """E. B. Wilson 1927: of n successes in n the lower end is n / (n + z^2)."""
    value, low, high = share(np.ones(100, bool))
    assert (value, high) == (1, pytest.approx(1))
    assert low == pytest.approx(100 / (100 + 1.96**2), abs=1e-4)
    assert np.isnan(share(np.array([], bool))).all()


def test_places_that_agree_are_surer_together_and_one_that_dissents_does_not_win():
    sure, other = np.array([0.99, 0.01] + [0] * 6), np.array([0.2, 0.8] + [0] * 6)
    assert together(np.array([sure] * 5))[0] == pytest.approx(0.99, abs=1e-3)
    assert together(np.array([sure] * 9 + [other]))[0] > 0.95
    assert together(np.array([sure, other])).sum() == pytest.approx(1)


def test_frames_come_one_after_the_other(tmp_path):
    for index, symbol in enumerate(("Al", "Si", "Mg")):
        bulk(symbol).write(tmp_path / "many@1.extxyz", append=index > 0)  # the sign is a part of the name
    frames = [atoms.get_chemical_formula() for atoms in read_structures(tmp_path / "many@1.extxyz")]
    assert frames == ["Al", "Si2", "Mg2"]


@pytest.mark.parametrize("name", ["a.cif", "a.vasp", "a.extxyz", "a.lammps-dump", "a.xsf"])
def test_formats(tmp_path, name):
    silicon = bulk("Si", cubic=True)
    if name == "a.lammps-dump":
        box = "".join(f"0 {edge}\n" for edge in silicon.cell.lengths())
        rows = "".join(f"{i} 1 {x} {y} {z}\n" for i, (x, y, z) in enumerate(silicon.positions))
        head = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n8\nITEM: BOX BOUNDS pp pp pp\n"
        (tmp_path / name).write_text(f"{head}{box}ITEM: ATOMS id type x y z\n{rows}")
    else:
        silicon.write(tmp_path / name)
    (atoms,) = read_structures(tmp_path / name)
    assert classify(atoms)["class"] == "diam"


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_get_one_sentence(tmp_path, name):
    text, reason = BROKEN[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=reason) as error:
        [classify(atoms) for atoms in read_structures(tmp_path / name)]
    assert "\n" not in str(error.value)


def test_a_directory_and_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match="is a directory"):
        next(read_structures(tmp_path))
    with pytest.raises(ValueError, match="does not exist"):
        next(read_structures(tmp_path / "nothing.cif"))


@pytest.mark.parametrize("occupancy", [0.5, "half", np.array([1.0, 0.5])], ids=str)
def test_an_occupancy_that_is_not_that_of_a_cif_is_no_obstacle(occupancy):
    crystal = bulk("Cu")
    crystal.info["occupancy"] = occupancy
    assert classify(crystal)["class"] == "fcc"


def run_command(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "xtalsight", "classify", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )


def test_command_line_answers_the_others_when_a_file_fails(tmp_path):
    bulk("Cu").write(tmp_path / "copper.cif")
    (tmp_path / "let\nter\x1b.txt").write_text("to whom it may concern")
    finished = run_command("let\nter\x1b.txt", "copper.cif", "missing.cif", cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stdout.startswith("copper.cif, frame 0: Copper (A1, A_cF4_225_a), probability ")
    assert "class of the seven: fcc, probability " in finished.stdout
    assert "next: " in finished.stdout
    assert "space group by spglib: 225, F m -3 m" in finished.stdout
    assert [line.split(":")[0] for line in finished.stderr.splitlines()] == ["error", "error"]


def test_a_name_that_is_no_text_does_not_keep_others_from_their_answers(tmp_path):
    name = os.fsdecode(b"\xff.cif")
    bulk("Cu").write(tmp_path / "copper.cif")
    shutil.copy(tmp_path / "copper.cif", tmp_path / name)
    finished = run_command("--json", name, "copper.cif", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert [json.loads(line)["file"] for line in finished.stdout.splitlines()] == ["\udcff.cif", "copper.cif"]


def test_command_line_prints_an_object_a_line(tmp_path):
    for index, symbol in enumerate(("Cu", "W")):
        bulk(symbol).write(tmp_path / "two.extxyz", append=index > 0)
    bulk("Si").write(tmp_path / "silicon.vasp")
    finished = run_command("two.extxyz", "silicon.vasp", "--json", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    answers = [json.loads(line) for line in finished.stdout.splitlines()]
    assert [(a["file"], a["frame"], a["class"], a["prototype"]["name"]) for a in answers] == [
        ("two.extxyz", 0, "fcc", "A_cF4_225_a"),
        ("two.extxyz", 1, "bcc", "A_cI2_229_a"),
        ("silicon.vasp", 0, "diam", "A_cF8_227_a"),
    ]
    keys = (
        "file frame class probability probabilities verdict reason prototype kinds places spacegroup tolerance "
        "standard n_atoms notes"
    )
    assert all(list(answer) == keys.split() for answer in answers)


def test_other_programs_print_nothing():
    finished = run_command("20b_NaCl54prim.vasp", cwd=root() / "tests" / "cases")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "space group by spglib: 1, P 1" in finished.stdout


def test_command_line_says_when_it_refuses(tmp_path):
    molecule("C60").write(tmp_path / "ball.xyz")
    finished = run_command("ball.xyz", cwd=tmp_path)
    assert finished.returncode == 0
    assert finished.stdout.startswith("ball.xyz, frame 0: no prototype: ")
    assert "(nearest: " in finished.stdout.splitlines()[0]
    assert "class of the seven: none of the seven: " in finished.stdout
    assert "space group by spglib: not determined" in finished.stdout


def test_the_console_script_does_the_same(tmp_path):
    bulk("Cu").write(tmp_path / "copper.cif")
    script = Path(sys.executable).with_name("xtalsight")
    finished = subprocess.run(
        [script, "classify", "copper.cif"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.stdout == run_command("copper.cif", cwd=tmp_path).stdout
    assert finished.stdout.startswith("copper.cif, frame 0: Copper")


def test_make_classify_asks_for_a_file():
    finished = subprocess.run(["make", "classify"], cwd=root(), capture_output=True, text=True, check=False)
    assert finished.returncode != 0
    assert "make classify FILE=" in finished.stderr


def test_weights_are_small_and_have_a_card():
    sizes = {file.name: file.stat().st_size for file in WEIGHTS.iterdir()}
    of_prototypes = sum(size for name, size in sizes.items() if name.startswith("prototypes."))
    assert of_prototypes <= 4e6
    assert sum(sizes.values()) - of_prototypes <= 2.5e6
    with_none = [*CLASSES, "none"]
    for name, classes in (("compact", with_none), ("any_orientation", with_none), ("table_1", [*CLASSES])):
        network, card = load_network(name)
        assert network.get_outputs()[0].shape == ["n", len(classes)]
        assert card["classes"] == classes
        stored = sum(np.prod(constant.dims) for constant in onnx.load(WEIGHTS / f"{name}.onnx").graph.initializer)
        assert 0.98 <= stored / card["parameters"] <= 1.01, "normalisation is folded into its neighbours"
    assert load_json(WEIGHTS / "model_card.json")["commit"]


def test_the_network_for_prototypes_has_an_answer_for_each_group_of_its_card():
    network, card = load_prototypes()
    assert network.get_outputs()[0].shape == ["n", len(card["group_of_output"]) + 1], "and one for none of them"
    assert set(card["group_of_output"]) == set(range(len(card["groups"])))
    assert sum(len(group["members"]) for group in card["groups"]) == 288
    assert len({group["name"] for group in card["groups"]}) == len(card["groups"])
    assert {group["class"] for group in card["groups"]} == {*CLASSES, None}
    assert 0 < card["threshold"] < 1
    assert {"accuracy", "clouds", "commit", "source", "outliers_refused", "versions"} <= card.keys()


def test_card_and_manifest_belong_to_the_weights_and_to_the_committed_results():
    results, manifest = (load_json(root() / "figures" / f"{name}.json") for name in ("results", "manifest"))
    assert manifest["weights"] == {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in WEIGHTS.iterdir()}
    prefixes = {"compact": "robust.compact.", "any_orientation": "any.spectra.", "table_1": "cnn.table_1.random."}
    for name, prefix in prefixes.items():
        accuracy = load_network(name)[1]["accuracy"]
        assert len(accuracy) >= 4
        assert accuracy == {key: results[f"{prefix}{key}.accuracy"] for key in accuracy}


def test_weights_are_published_with_the_numbers_of_their_run(tmp_path):
    trained = {
        "robust": networks.compact_network(1, 8),
        "any_orientation": networks.spectrum_network(2),
        "table_1": networks.compact_network(3),
    }
    for name, model in trained.items():
        networks.save(model, tmp_path / "artefacts" / f"{name}.keras")
    for name, threshold in (("robust", 0.9), ("any_orientation", 0.8)):
        verdict = {"thresholds": [threshold] * 7, "error_rate": 0.01, "unseen": ["H"]}
        save_json(tmp_path / "artefacts" / f"{name}.json", verdict)
    results = {"robust.compact.vacancies_25.accuracy": 0.75, "robust.compact_few.vacancies_25.accuracy": 0.5}
    results |= {"robust.compact.structures": 10, "robust.compact.parameters": 20, "cnn.table_1.parameters": 30}
    results |= {"any.spectra.vacancies_25.accuracy": 0.25, "any.spectra_few.vacancies_25.accuracy": 0.5}
    results |= {"any.structures": 40, "any.parameters": 50, "any.refused.all": 0.7, "any.refused.crystals": 0.03}
    results |= {"robust.refused.crystals": 0.02}
    results |= {"cnn.table_1.random.held_out.pristine.accuracy": 1.0}
    (tmp_path / "artefacts" / "prototypes").mkdir()
    (tmp_path / "artefacts" / "prototypes" / "network.onnx").write_bytes(b"many")
    save_json(tmp_path / "artefacts" / "prototypes" / "card.json", {"threshold": 0.7})
    publish_weights(tmp_path, tmp_path / "weights", results)
    publish_prototypes(tmp_path, tmp_path / "weights")
    assert load_json(tmp_path / "weights" / "prototypes.json")["threshold"] == 0.7
    card = load_json(tmp_path / "weights" / "model_card.json")
    assert card["compact"]["accuracy"] == {"vacancies_25": 0.75}
    assert card["any_orientation"]["accuracy"] == {"vacancies_25": 0.25}
    assert card["table_1"]["accuracy"] == {"held_out.pristine": 1.0}
    assert [card[name]["thresholds"] for name in ("compact", "any_orientation")] == [[0.9] * 7, [0.8] * 7]
    assert [card[name]["parameters"] for name in ("compact", "any_orientation", "table_1")] == [20, 50, 30]
    assert (tmp_path / "weights" / "prototypes.onnx").read_bytes() == b"many"
    cards = {path: load_json(path) | {"commit": "earlier"} for path in (tmp_path / "weights").glob("*.json")}
    for path, of_earlier in cards.items():
        save_json(path, of_earlier)
    publish_weights(tmp_path, tmp_path / "weights", results)
    publish_prototypes(tmp_path, tmp_path / "weights")
    assert all(load_json(path) == of_earlier for path, of_earlier in cards.items()), "the same networks"
    for name, source in (("compact", "robust"), ("any_orientation", "any_orientation"), ("table_1", "table_1")):
        network = inference.load(tmp_path / "weights" / f"{name}.onnx", card[name]["sha256"])
        images = np.random.default_rng(SEED).random((3, *trained[source].input_shape[1:]), np.float32)
        expected = inference.predict(trained[source], images)
        np.testing.assert_allclose(inference.predict(network, images), expected, atol=1e-5)


def test_many_structures_get_the_answers_that_each_gets_alone():
    """Balls are as many as there is room for: one of a cloud, several of a cell."""
    places = np.random.default_rng(SEED).random((400, 3)) * 17
    gas = Atoms("Cu400", places, cell=[17, 17, 17], pbc=True)
    structures = [bulk("Cu"), ball(bulk("W"), 300), ball(bulk("Si"), 64), dcdft["B"], bulk("Mg"), gas]
    network, card = load_network("any_orientation")
    answers = decide(network, card["thresholds"], [spectra_of(prepare(atoms)) for atoms in structures])
    for atoms, label, probability, refused in zip(structures, *answers, strict=True):
        answer = classify(atoms)
        assert CLASSES[label] == answer["class"]
        assert probability == pytest.approx(answer["probability"], abs=1e-5)
        assert refused == (answer["verdict"] == "none of the seven")
    assert 0 < answers[2].sum() < len(structures)


def test_decide_refuses_balls_of_two_crystals():
    balls = [prepare(bulk(symbol)) for symbol in ("Cu", "Fe")]
    both = np.concatenate([spectra_of(prepared) for prepared in balls])
    network, card = load_network("any_orientation")
    _, _, refused = decide(network, card["thresholds"], [both, spectra_of(balls[0])])
    assert refused.tolist() == [True, False]
