import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bcc110, bulk, fcc100, fcc111, graphene, molecule
from ase.collections import dcdft
from scipy.spatial.transform import Rotation

from xtalsight.classify import (
    LARGEST,
    SMALLEST,
    WEIGHTS,
    classify,
    confidence,
    is_refused,
    load_network,
    prepare,
    read_structures,
    refusal_threshold,
    refusal_thresholds,
)
from xtalsight.clouds import SHAPES, build_cloud, cut_cloud
from xtalsight.crystals import CLASSES, PROTOTYPES, make_recipes, rotate
from xtalsight.profiles import root
from xtalsight.report import publish_weights
from xtalsight.store import load_json, save_json

SEED = 1912
STANDARD, ANYHOW = "fingerprint in the standard orientation", "spectra, which no rotation changes"
DISORDERED = """data_alloy
_cell_length_a 3.75
_cell_length_b 3.75
_cell_length_c 3.75
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cu1 Cu 0 0 0 0.5
Au1 Au 0 0 0 0.5
"""


def noted(answer, text):
    return any(text in note for note in answer["notes"])


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
    "letter.txt": ("to whom it may concern", "no format that ASE recognises"),
    "cut_off.xyz": ("5\n\nCu 0 0 0\nCu x", "cannot be read: "),
    "headless.cif": ("data_x\n_cell_length_a 3\n", "headless.cif"),
    "disordered.cif": (DISORDERED, "occupied in part"),
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
    """One class of seven is less sure than the others: one threshold for all would refuse nearly seven times as many of it."""
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
    "crystal, name",
    [
        (bulk("Fe"), "bcc"),
        (dcdft["In"], "bct_139"),
        (bulk("Si"), "diam"),
        (bulk("Cu"), "fcc"),
        (bulk("Mg"), "hex/rh"),
        (dcdft["C"], "hex/rh"),
        (dcdft["Po"], "sc"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get_chemical_formula(),
)
def test_crystals_turned_anyhow_are_named(crystal, name):
    answer = classify(rotate(crystal, (10, 200, 77)))
    assert (answer["class"], answer["verdict"]) == (name, "one of the seven")
    assert answer["n_atoms"] >= 256
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["probability"] == max(answer["probabilities"][c] for c in CLASSES)
    assert noted(answer, STANDARD) and not noted(answer, ANYHOW)


# Clouds without a cell.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PROTOTYPES)
def test_clouds_without_cell_that_lack_a_quarter_of_their_atoms_are_named(kind, shape):
    recipe = make_recipes({kind: 1}, SEED, vacancy_ratio=0.25).iloc[0].to_dict()
    cloud = build_cloud(recipe | {"shape": shape, "n_atoms": 256})
    answer = classify(cloud)
    assert (answer["class"], answer["verdict"]) == (CLASSES[PROTOTYPES[kind].label], "one of the seven")
    assert (answer["n_atoms"], answer["spacegroup"]) == (len(cloud), None)
    assert noted(answer, ANYHOW) and not noted(answer, STANDARD)


def test_a_turn_hardly_changes_the_answer_about_a_cloud():
    cloud = ball(bulk("Mg"), 200)
    before = classify(cloud)["probabilities"]
    for turn in Rotation.random(5, rng=np.random.default_rng(SEED)):
        turned = Atoms(cloud.numbers, turn.apply(cloud.positions))
        assert classify(turned)["probabilities"] == pytest.approx(before, abs=0.01)


def test_of_a_cloud_of_a_compound_the_places_count():
    salt = cut_cloud(bulk("NaCl", "rocksalt", a=5.64), 200, "sphere", np.random.default_rng(SEED))
    answer = classify(salt)
    assert (answer["class"], answer["verdict"]) == ("sc", "one of the seven")
    assert noted(answer, "their places count")


def test_of_pieces_far_apart_the_largest_is_looked_at():
    small, large = ball(bulk("Fe"), 100), ball(bulk("Cu"), 300)
    for distance in (40, 1000):
        answer = classify(moved(small, distance) + moved(large, 0))
        assert (answer["class"], answer["verdict"], answer["n_atoms"]) == ("fcc", "one of the seven", 300)
        assert noted(answer, "the largest, of 300 atoms")


def test_of_large_pieces_the_largest_is_looked_at_though_another_is_in_the_middle():
    middle, left, right = ball(bulk("Fe"), 300), ball(bulk("Cu"), 400), ball(bulk("Po", "sc", a=3.0), 350)
    answer = classify(moved(middle, 0) + moved(left, -60) + moved(right, 60))
    assert (answer["class"], answer["n_atoms"]) == ("fcc", 400)


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


def test_atoms_on_opposite_faces_of_a_cell_are_one():
    """As some programs write them."""
    slab = bulk("Cu", cubic=True).repeat((4, 4, 4))
    slab.pbc = (True, True, False)
    face = slab[slab.positions[:, 0] < 0.1]
    face.positions[:, 0] += slab.cell[0, 0]
    assert prepare(slab + face).cluster.get_all_distances()[np.triu_indices(256, 1)].min() > 2


def test_the_middle_of_a_large_cloud_is_the_ball_around_its_middle():
    large = ball(bulk("Cu"), 3000)
    prepared = prepare(large)
    assert any(f"cut to {LARGEST} atoms in a sphere around its middle" in note for note in prepared.notes)
    kept = prepared.cluster.positions
    radius = np.linalg.norm(kept - kept.mean(axis=0), axis=1).max()
    near = np.linalg.norm(large.positions - kept.mean(axis=0), axis=1) < radius - 3
    assert (np.linalg.norm(kept.mean(axis=0)) < 3) and near.sum() > 150
    distance = np.linalg.norm(large.positions[near][:, None] - kept, axis=-1).min(axis=1)
    assert distance.max() < 1e-9  # no atom of the ball is missing


def test_a_wire_without_cell_is_named_or_refused():
    wire = bulk("Cu", cubic=True).repeat((3, 3, 14))
    wire.pbc = False
    answer = classify(wire)
    assert answer["class"] == "fcc" or answer["verdict"] == "none of the seven"


# Supercells and cells.


def test_a_damaged_supercell_is_taken_as_it_is_and_named():
    rng = np.random.default_rng(3)
    atoms = bulk("W", cubic=True).repeat(5)
    atoms = atoms[rng.random(len(atoms)) > 0.4]
    atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
    answer = classify(atoms)
    assert (answer["class"], answer["verdict"], answer["spacegroup"]) == ("bcc", "one of the seven", 1)
    assert answer["n_atoms"] == len(atoms)
    assert noted(answer, "as it is") and noted(answer, ANYHOW)


def test_a_damaged_supercell_is_named_however_it_stands():
    rng = np.random.default_rng(4)
    atoms = bulk("Si", cubic=True).repeat(3)
    atoms = atoms[rng.random(len(atoms)) > 0.25]
    for angles in ((0, 0, 0), (31, 200, 77)):
        answer = classify(rotate(atoms, angles))
        assert (answer["class"], answer["verdict"], answer["n_atoms"]) == ("diam", "one of the seven", len(atoms))


def test_a_supercell_with_few_atoms_left_is_not_repeated():
    atoms = bulk("Fe", cubic=True).repeat((6, 5, 5))
    atoms = atoms[np.random.default_rng(0).permutation(len(atoms))[:60]]
    answer = classify(atoms)
    assert (answer["class"], answer["n_atoms"]) == ("bcc", 60)


@pytest.mark.parametrize(
    "compound, name, group",
    [
        (bulk("NaCl", "rocksalt", a=5.64), "sc", 225),
        (bulk("CsCl", "cesiumchloride", a=4.12), "bcc", 221),
        (bulk("ZnS", "zincblende", a=5.41), "diam", 216),
    ],
)
def test_of_a_compound_the_places_count(compound, name, group):
    answer = classify(compound)
    assert (answer["class"], answer["spacegroup"]) == (name, group)
    assert compound.get_chemical_formula("metal") in answer["notes"][0]


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


def test_a_distorted_small_cell_is_answered_with_a_warning():
    crystal = bulk("Cu").repeat(2)
    crystal.rattle(0.2, seed=1)
    assert any("symmetry is that of no class" in note for note in classify(crystal)["notes"])


@pytest.mark.parametrize("molecular", [molecule("C6H6"), molecule("C60"), Atoms("Cu2", [(0, 0, 0), (0, 0, 2.5)])])
def test_molecules_are_none_of_the_seven(molecular):
    assert classify(molecular)["verdict"] == "none of the seven"


def test_what_is_too_small_is_refused_whatever_the_probability():
    cube = bulk("Fe", cubic=True).repeat(2)
    cube.pbc = False
    assert len(cube) < SMALLEST
    assert classify(cube)["verdict"] == "none of the seven"


def test_vacuum_is_not_taken_for_a_part_of_the_cell():
    slab = fcc100("Cu", (1, 1, 7), vacuum=10, periodic=True)
    prepared = prepare(slab)
    assert "20.0 Å of vacuum along axis c" in prepared.notes[0]
    assert prepared.cell is None and prepared.group is None
    thickness = np.ptp(slab.positions[:, 2])
    assert np.ptp(prepared.cluster.positions[:, 2]) == pytest.approx(thickness)
    assert np.ptp(prepared.cluster.positions[:, 0]) > thickness  # repeated in the plane


def test_layered_crystals_have_no_vacuum():
    assert prepare(dcdft["C"]).cell is not None
    assert all(prepare(dcdft[symbol]).group for symbol in dcdft.names)


def test_of_a_large_dump_the_middle_is_looked_at():
    large = bulk("Cu", cubic=True).repeat((30, 30, 28))
    large.rattle(0.05, seed=0)
    answer = classify(large)
    assert answer["n_atoms"] == LARGEST
    assert answer["class"] == "fcc"
    assert noted(answer, "100800") and noted(answer, "sphere")


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


def test_a_single_site_that_is_half_empty(tmp_path):
    (tmp_path / "half.cif").write_text(DISORDERED.replace("Au1 Au 0 0 0 0.5\n", ""))
    with pytest.raises(ValueError, match="occupied in part"):
        [classify(atoms) for atoms in read_structures(tmp_path / "half.cif")]


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
    (tmp_path / "letter.txt").write_text("to whom it may concern")
    finished = run_command("letter.txt", "copper.cif", "missing.cif", cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stdout.startswith("copper.cif, frame 0: fcc")
    assert "space group by spglib: 225, F m -3 m" in finished.stdout
    assert [line.split(":")[0] for line in finished.stderr.splitlines()] == ["error", "error"]


def test_command_line_prints_an_object_a_line(tmp_path):
    for index, symbol in enumerate(("Cu", "W")):
        bulk(symbol).write(tmp_path / "two.extxyz", append=index > 0)
    bulk("Si").write(tmp_path / "silicon.vasp")
    finished = run_command("two.extxyz", "silicon.vasp", "--json", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    answers = [json.loads(line) for line in finished.stdout.splitlines()]
    assert [(a["file"], a["frame"], a["class"]) for a in answers] == [
        ("two.extxyz", 0, "fcc"),
        ("two.extxyz", 1, "bcc"),
        ("silicon.vasp", 0, "diam"),
    ]
    keys = "file frame class probability probabilities verdict spacegroup n_atoms notes"
    assert all(list(answer) == keys.split() for answer in answers)


def test_command_line_says_when_it_refuses(tmp_path):
    molecule("C60").write(tmp_path / "ball.xyz")
    finished = run_command("ball.xyz", cwd=tmp_path)
    assert finished.returncode == 0
    assert finished.stdout.startswith("ball.xyz, frame 0: none of the seven (nearest: ")
    assert "space group by spglib: not determined" in finished.stdout


def test_make_classify_asks_for_a_file():
    finished = subprocess.run(["make", "classify"], cwd=root(), capture_output=True, text=True, check=False)
    assert finished.returncode != 0
    assert "make classify FILE=" in finished.stderr


def test_weights_are_small_and_have_a_card():
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) <= 2.5e6
    with_none = [*CLASSES, "none"]
    for name, classes in (("compact", with_none), ("any_orientation", with_none), ("table_1", [*CLASSES])):
        network, card = load_network(name)
        assert network.output_shape == (None, len(classes))
        assert card["classes"] == classes
        assert card["parameters"] == network.count_params()
    assert load_json(WEIGHTS / "model_card.json")["commit"]


def test_card_and_manifest_belong_to_the_weights_and_to_the_committed_results():
    results, manifest = (load_json(root() / "figures" / f"{name}.json") for name in ("results", "manifest"))
    assert manifest["weights"] == {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in WEIGHTS.iterdir()}
    prefixes = {"compact": "robust.compact.", "any_orientation": "any.spectra.", "table_1": "cnn.table_1.random."}
    for name, prefix in prefixes.items():
        accuracy = load_network(name)[1]["accuracy"]
        assert len(accuracy) >= 4
        assert accuracy == {key: results[f"{prefix}{key}.accuracy"] for key in accuracy}


def test_weights_are_published_with_the_numbers_of_their_run(tmp_path):
    for name in ("robust", "any_orientation", "table_1"):
        (tmp_path / "artefacts").mkdir(exist_ok=True)
        (tmp_path / "artefacts" / f"{name}.keras").write_bytes(name.encode())
    for name, threshold in (("robust", 0.9), ("any_orientation", 0.8)):
        verdict = {"thresholds": [threshold] * 7, "error_rate": 0.01, "unseen": ["H"]}
        save_json(tmp_path / "artefacts" / f"{name}.json", verdict)
    results = {"robust.compact.vacancies_25.accuracy": 0.75, "robust.compact_few.vacancies_25.accuracy": 0.5}
    results |= {"robust.compact.structures": 10, "robust.compact.parameters": 20, "cnn.table_1.parameters": 30}
    results |= {"any.spectra.vacancies_25.accuracy": 0.25, "any.spectra_few.vacancies_25.accuracy": 0.5}
    results |= {"any.structures": 40, "any.parameters": 50, "any.refused.all": 0.7, "any.refused.crystals": 0.03}
    results |= {"verdict.refused.all": 0.9, "verdict.refused.crystals": 0.02}
    results |= {"cnn.table_1.random.held_out.pristine.accuracy": 1.0}
    publish_weights(tmp_path, tmp_path / "weights", results)
    card = load_json(tmp_path / "weights" / "model_card.json")
    assert card["compact"]["accuracy"] == {"vacancies_25": 0.75}
    assert card["any_orientation"]["accuracy"] == {"vacancies_25": 0.25}
    assert card["table_1"]["accuracy"] == {"held_out.pristine": 1.0}
    assert [card[name]["thresholds"] for name in ("compact", "any_orientation")] == [[0.9] * 7, [0.8] * 7]
    assert [card[name]["parameters"] for name in ("compact", "any_orientation", "table_1")] == [20, 50, 30]
    published = {file.stem: file.read_bytes() for file in (tmp_path / "weights").glob("*.keras")}
    assert published == {"compact": b"robust", "any_orientation": b"any_orientation", "table_1": b"table_1"}
