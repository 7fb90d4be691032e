import json
import shutil
import sys

import keras
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal
from scipy.spatial.transform import Rotation

from xtalsight import dataset, learning, networks
from xtalsight.__main__ import learn_folder, main
from xtalsight.classify import classify, load_prototypes, predict_groups
from xtalsight.clouds import cut_cloud
from xtalsight.crystals import CLASSES, rotate
from xtalsight.learning import (
    CONFUSED,
    TESTS,
    by_group,
    compute_spectra,
    describe_groups,
    groups_of,
    learn,
    title,
)
from xtalsight.prototypes import Prototype, make_clouds, make_outliers, read_prototypes, symmetric_cell
from xtalsight.store import load_json

SEED = 1912
MINUTES = 0.045  # 40 clouds of each of four prototypes, the fewest that are allowed
SALT = bulk("NaCl", "rocksalt", a=5.64)
RUTILE = crystal(
    ["Ti", "O"],
    [(0, 0, 0), (0.3053, 0.3053, 0)],
    spacegroup=136,
    cellpar=[4.594, 4.594, 2.959, 90, 90, 90],
)


# Groups.


def probabilities_of(confusion, each=10):
    """Of `each` crystals of every prototype: the rows of a confusion matrix, and "none"."""
    confusion = np.asarray(confusion, float)
    rows = np.column_stack([confusion, 1 - confusion.sum(axis=1)])
    return np.repeat(rows, each, axis=0), np.repeat(np.arange(len(confusion)), each)


def test_prototypes_that_are_not_confused_stay_apart():
    probabilities, labels = probabilities_of(np.diag([1, 0.9, 0.6]))
    assert groups_of(probabilities, labels, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("way", [(0, 2), (2, 0)])
def test_confused_prototypes_are_joined_whichever_is_taken_for_the_other(way):
    confusion = np.diag([0.8, 1.0, 0.8])
    confusion[way] = 0.2
    assert groups_of(*probabilities_of(confusion), 3).tolist() == [0, 1, 0]


@pytest.mark.parametrize("share, n_groups", [(0.4 * CONFUSED, 2), (0.6 * CONFUSED, 1)])
def test_what_is_confused_is_added_up_over_both_ways(share, n_groups):
    confusion = [[1 - share, share], [share, 1 - share]]
    assert groups_of(*probabilities_of(confusion), 2).max() + 1 == n_groups


def test_joining_is_transitive():
    confusion = np.diag([0.8, 0.8, 0.8, 1.0])
    confusion[0, 1] = confusion[1, 2] = 0.2
    assert groups_of(*probabilities_of(confusion), 4).tolist() == [0, 0, 0, 1]


def test_pairs_that_are_known_to_be_the_same_are_joined():
    probabilities, labels = probabilities_of(np.eye(4))
    assert groups_of(probabilities, labels, 4, same=[(3, 1)]).tolist() == [0, 1, 2, 1]


def test_what_is_taken_for_none_of_them_joins_nothing():
    assert groups_of(*probabilities_of(np.diag([0.3, 0.3])), 2).tolist() == [0, 1]


def test_probabilities_of_a_group_add_up():
    groups = np.array([0, 1, 0, 2])
    probabilities = np.random.default_rng(SEED).dirichlet(np.ones(5), 6).astype(np.float32)
    added = by_group(probabilities, groups)
    assert added.shape == (6, 4) and added.dtype == np.float32
    np.testing.assert_allclose(added.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(added[:, 0], probabilities[:, 0] + probabilities[:, 2], rtol=1e-6)
    np.testing.assert_array_equal(added[:, 1:], probabilities[:, [1, 3, 4]])


def prototype(name, atoms, ranges="", **names):
    return Prototype(name, (symmetric_cell(atoms),), names, ranges)


FCC = prototype("A1", bulk("Cu"), "fcc", aflow="A_cF4_225_a", strukturbericht="A1", mineral="Copper", formula="Cu")
NAMED = {
    "A1": FCC,
    "B1": prototype("B1", SALT, aflow="AB_cF8_225_a_b", strukturbericht="", mineral="", formula="NaCl"),
    "mine": prototype("mine", RUTILE),
    "silver": prototype("silver", bulk("Ag")),
}


def test_a_prototype_is_called_by_its_mineral_or_formula_else_by_its_file():
    assert [title(p) for p in NAMED.values()] == ["Copper (A1, A_cF4_225_a)", "NaCl (AB_cF8_225_a_b)", "mine", "silver"]


def test_groups_are_described_by_their_members():
    fcc, salt, mine = describe_groups(NAMED, np.array([0, 1, 2, 0]))
    assert (fcc["name"], fcc["title"]) == ("A1 or silver", "Copper (A1, A_cF4_225_a) or silver")
    assert [member["name"] for member in fcc["members"]] == ["A1", "silver"]
    assert fcc["members"][0]["strukturbericht"] == "A1" and fcc["members"][0]["atoms"] == 1
    assert [group["shares"] for group in (fcc, salt, mine)] == [[(1.0,)], [(0.5, 0.5)], [(2 / 3, 1 / 3)]]
    assert [group["spacegroups"] for group in (fcc, salt, mine)] == [[225], [225], [136]]
    assert [group["atoms"] for group in (fcc, salt, mine)] == [1, 2, 6]
    assert [group["class"] for group in (fcc, salt, mine)] == ["fcc", None, None]
    assert json.loads(json.dumps(fcc["members"])) == fcc["members"]


def test_a_noisy_file_has_the_space_group_of_its_crystal_too():
    noisy = SALT.copy()
    noisy.rattle(0.02, seed=SEED)
    (group,) = describe_groups({"salt": prototype("salt", noisy)}, np.array([0]))
    assert 225 in group["spacegroups"]


def test_a_group_of_two_classes_has_none():
    both = {"fcc": FCC, "bcc": prototype("bcc", bulk("Fe"), "bcc")}
    assert [group["class"] for group in describe_groups(both, np.array([0, 1]))] == ["fcc", "bcc"]
    assert describe_groups(both, np.array([0, 0]))[0]["class"] is None
    assert {"fcc", "bcc"} <= set(CLASSES)


# Spectra.


def fails_for(ids):
    def build(recipe, prototypes):
        if recipe["id"] in ids:
            raise ValueError("no length scale")
        rng = np.random.default_rng(int(recipe["id"]))
        return cut_cloud(bulk("Cu"), 30, "sphere", rng)

    return build


def test_a_cloud_without_spectra_is_left_out_with_its_row(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "build_cloud", fails_for({17}))
    tables = {tmp_path / "one.zarr": make_clouds(["Cu"], 120, SEED), tmp_path / "other.zarr": make_clouds(["Cu"], 5, 1)}
    (one, rows), (other, _) = compute_spectra({}, tables, n_jobs=1)
    assert one.shape == (119, *networks.SPECTRUM_SHAPE) and np.isfinite(one).all()
    assert len(rows) == 119 and 17 not in set(rows.id)
    assert len(other) == 5


def test_many_clouds_without_spectra_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "build_cloud", fails_for(set(range(5))))
    with pytest.raises(ValueError, match="5 clouds have no spectra: no length scale"):
        compute_spectra({}, {tmp_path / "one.zarr": make_clouds(["Cu"], 50, SEED)}, n_jobs=1)


# A network for a folder.


def few_clouds(monkeypatch):
    """Of each table as few as will do: 100 to calibrate by, else one percent cannot be promised; two tests."""

    def fewer(names, per_name, seed):
        return make_clouds(names, min(per_name, (40, 25, 8, 12)[seed]), seed)

    monkeypatch.setattr(learning, "make_clouds", fewer)
    monkeypatch.setattr(learning, "make_outliers", lambda names, n, seed: make_outliers(names, min(n, 100), seed))
    monkeypatch.setattr(learning, "TESTS", {name: TESTS[name] for name in ("perfect", "places_64")})


@pytest.fixture(scope="module")
def crystals(tmp_path_factory):
    """A folder with three crystals, one of them twice, under the names of two elements."""
    folder = tmp_path_factory.mktemp("crystals")
    for name, atoms in {
        "halite.cif": SALT,
        "rutile.vasp": RUTILE,
        "x_copper.cif": bulk("Cu"),
        "y_gold.extxyz": bulk("Au", cubic=True),
    }.items():
        atoms.write(folder / name)
    return folder


@pytest.fixture(scope="module")
def learned(crystals, tmp_path_factory):
    """Folder of the network for `crystals`, its card, and a copy of the work that it has cleared away."""
    folder, work = (tmp_path_factory.mktemp("networks") / name for name in ("mine", "work"))

    remove = shutil.rmtree

    def keep(path, *arguments, **more):
        if path == folder / learning.WORK:
            shutil.copytree(path, work)
        remove(path, *arguments, **more)

    with pytest.MonkeyPatch.context() as monkeypatch:
        few_clouds(monkeypatch)
        monkeypatch.setattr(learning.shutil, "rmtree", keep)
        card = learn(read_prototypes(crystals), folder, MINUTES, seed=0, n_jobs=1)
    return folder, card, work


def test_it_leaves_network_card_and_picture_and_no_work(learned):
    folder, card, _ = learned
    assert sorted(file.name for file in folder.iterdir()) == ["card.json", "mistakes.png", "network.onnx"]
    assert (folder / "mistakes.png").read_bytes().startswith(b"\x89PNG")
    assert load_json(folder / "card.json") == card
    assert (card["seed"], card["error_rate"]) == (0, 0.01)
    assert card["clouds"]["of_each_prototype"] == learning._LEAST
    assert 0 < card["threshold"] < 1 and 0 <= card["outliers_refused"] <= 1
    assert set(card["accuracy"]) == {"perfect", "places_64"}
    assert card["accuracy"]["perfect"] > 0.9
    assert {"xtalsight", "keras", "numpy", "spglib", "tensorflow"} == set(card["versions"])


def test_two_files_of_the_same_crystal_are_one_answer(learned):
    card = learned[1]
    assert [group["name"] for group in card["groups"]] == ["halite", "rutile", "x_copper or y_gold"]
    assert [member["name"] for member in card["groups"][2]["members"]] == ["x_copper", "y_gold"]


def test_the_network_has_an_answer_for_each_group_and_one_for_none(learned):
    folder, card, _ = learned
    network, again = load_prototypes(folder)
    assert again == card
    assert network.get_inputs()[0].shape == ["n", *networks.SPECTRUM_SHAPE]
    assert network.get_outputs()[0].shape == ["n", len(card["group_of_output"]) + 1]
    answers = predict_groups(network, card, np.ones((2, *networks.SPECTRUM_SHAPE), np.float32))
    assert answers.shape == (2, len(card["groups"]) + 1)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "atoms, name, kinds, of_seven",
    [
        (SALT, "halite", "ordered", "sc"),
        (bulk("MgO", "rocksalt", a=4.21), "halite", "ordered", "sc"),
        (RUTILE, "rutile", "ordered", None),
        (bulk("Cu"), "x_copper or y_gold", "one", "fcc"),
        (bulk("Al", cubic=True), "x_copper or y_gold", "one", "fcc"),
    ],
    ids=["NaCl", "MgO", "TiO2", "Cu", "Al"],
)
def test_a_perfect_crystal_is_named_however_it_stands(atoms, name, kinds, of_seven, learned):
    folder = learned[0]
    for answer in (classify(atoms, network=folder), classify(rotate(atoms, (10, 200, 77)), network=str(folder))):
        assert (answer["prototype"]["name"], answer["prototype"]["verdict"]) == (name, "accepted")
        assert answer["prototype"]["title"] == name and answer["prototype"]["reason"] is None
        assert answer["kinds"] == kinds
        assert of_seven in (answer["class"], None)


def test_probabilities_of_an_answer_are_those_of_two_groups(learned):
    folder, card, _ = learned
    answer = classify(bulk("Cu"), network=folder)["prototype"]
    titles = {group["title"] for group in card["groups"]}
    assert {answer["title"], answer["next"]} <= titles and answer["title"] != answer["next"]
    assert card["threshold"] <= answer["probability"] <= 1
    assert 0 <= answer["next_probability"] <= 1 - answer["probability"] + 1e-6


def test_gas_is_none_of_the_prototypes(learned):
    places = np.random.default_rng(SEED).random((400, 3)) * 17
    gas = Atoms("Cu400", places, cell=[17, 17, 17], pbc=True)
    answer = classify(gas, network=learned[0])["prototype"]
    assert (answer["verdict"], answer["reason"]) == ("refused", "no peaks: molten or amorphous")


@pytest.mark.parametrize(
    "atoms",
    [bulk("CsCl", "cesiumchloride", a=4.12), bulk("CaF2", "fluorite", a=5.46), bulk("ZnS", "zincblende", a=5.41)],
    ids=["CsCl", "CaF2", "ZnS"],
)
def test_another_compound_is_none_of_the_prototypes(atoms, learned):
    assert classify(atoms, network=learned[0])["prototype"]["verdict"] == "refused"


def test_interrupted_it_goes_on_and_ends_the_same(crystals, learned, tmp_path, monkeypatch):
    """With the spectra there, stopped once in the middle of training and once before the network is saved."""
    few_clouds(monkeypatch)
    finished, card, work = learned
    folder, prototypes = tmp_path / "again", read_prototypes(crystals)
    for spectra in work.glob("*.zarr"):
        shutil.copytree(spectra, folder / learning.WORK / spectra.name)
    save_table, save_network, epochs = networks.save_table, learning.save_network, []

    def stops_in_epoch_ten(path, table):
        epochs.append(len(table))
        if len(epochs) == 10:
            raise KeyboardInterrupt
        save_table(path, table)

    def stops(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "_write_chunk", None)  # no spectrum is computed again
    monkeypatch.setattr(networks, "save_table", stops_in_epoch_ten)
    keras.utils.clear_session()  # names of layers begin anew, as in another session
    with pytest.raises(KeyboardInterrupt):
        learn(prototypes, folder, MINUTES, seed=0, n_jobs=1)
    assert [file.name for file in folder.iterdir()] == [learning.WORK]
    monkeypatch.setattr(learning, "save_network", stops)
    keras.utils.clear_session()
    with pytest.raises(KeyboardInterrupt):
        learn(prototypes, folder, MINUTES, seed=0, n_jobs=1)
    assert epochs == [*range(1, 11), *range(10, 26)], "nine epochs were done"
    monkeypatch.setattr(learning, "save_network", save_network)
    keras.utils.clear_session()
    assert learn(prototypes, folder, MINUTES, seed=0, n_jobs=1) == card
    assert len(epochs) == 26 and not (folder / learning.WORK).exists()
    assert (folder / "network.onnx").read_bytes() == (finished / "network.onnx").read_bytes()


def test_in_the_same_session_too_a_training_is_found_again(tmp_path):
    """Keras numbers the operations of each network that a process builds; that must not make it another."""
    spectra = np.random.default_rng(0).uniform(size=(8, *networks.SPECTRUM_SHAPE)).astype(np.float32)
    how = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "seed": 0, "folder": tmp_path}
    done = []
    for _ in range(2):
        network = networks.spectrum_network(0, 5, networks.SPECTRUM_SHAPE, (8, 8), "prototypes")
        _, history = networks.train(network, spectra, np.arange(8) % 5, **how)
        done.append(history.attrs["resumed_epochs"])
    assert done == [0, 2]


def test_the_same_seed_makes_the_same_network_on_any_number_of_cores(crystals, learned, tmp_path, monkeypatch):
    """Of the clouds: what is computed from them does not depend on it (test_dataset, and above)."""
    few_clouds(monkeypatch)
    again = tmp_path / "perfect.zarr"
    recipes = learning.make_clouds(list(read_prototypes(crystals)), 8, 2)
    ((spectra, rows),) = compute_spectra(read_prototypes(crystals), {again: recipes}, n_jobs=2)
    np.testing.assert_array_equal(spectra, dataset.read_fingerprints(learned[2] / "perfect.zarr"))
    assert len(rows) == len(recipes)


def test_work_is_cleared_away(learned):
    assert not (learned[0] / learning.WORK).exists()
    assert {"train.zarr", "calibration.zarr", "pairs.zarr"} <= {path.name for path in learned[2].iterdir()}


def test_the_shortest_time_that_is_named_is_enough(crystals, tmp_path, monkeypatch):
    prototypes = read_prototypes(crystals)
    with pytest.raises(ValueError, match="too short for 4 prototypes: at least") as error:
        learn(prototypes, tmp_path / "short", 0.01)
    assert not (tmp_path / "short").exists()

    class Enough(Exception):
        pass

    def computes(*arguments):
        raise Enough

    monkeypatch.setattr(learning, "compute_spectra", computes)
    with pytest.raises(Enough):
        learn(prototypes, tmp_path / "short", float(str(error.value).split()[-1]))


# Command line.


def command(monkeypatch, *arguments):
    """Exit status of ``xtalsight`` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["xtalsight", *map(str, arguments)])
    with pytest.raises(SystemExit) as status:
        main()
    return status.value.code


def bad_folders(folder):
    """Paths that nothing can be learned from, by what is said of them."""
    (folder / "empty").mkdir()
    (folder / "one").mkdir()
    bulk("Cu").write(folder / "one" / "copper.cif")
    (folder / "molecule").mkdir()
    bulk("Cu").write(folder / "molecule" / "copper.cif")
    molecule("C6H6").write(folder / "molecule" / "benzene.xyz")
    return {
        "nothing": "is no folder",
        "empty": "holds no structure file",
        "one": "holds one crystal",
        "molecule": "not a crystal",
    }


def test_of_a_bad_folder_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, reason in bad_folders(tmp_path).items():
        assert command(monkeypatch, "learn", name) == 1
        said = capsys.readouterr()
        assert said.out == "" and len(said.err.splitlines()) == 1
        assert said.err.startswith("error: ") and name in said.err and reason in said.err
    assert not list(tmp_path.glob("*-network"))


def test_too_short_a_time_and_a_network_among_the_crystals_are_errors(crystals, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "learn", crystals, "--minutes", "0.001") == 1
    assert "too short" in capsys.readouterr().err
    assert command(monkeypatch, "learn", crystals, "--name", crystals) == 1
    assert "choose another --name" in capsys.readouterr().err


def test_the_command_prints_what_was_learned(crystals, learned, tmp_path, monkeypatch, capsys):
    card = learned[1]
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(learning, "learn", lambda *arguments: asked.append(arguments) or card)
    assert command(monkeypatch, "learn", f"{crystals}/", "--minutes", "3", "--seed", "7") == 0
    ((prototypes, target, minutes, seed),) = asked
    assert (str(target), minutes, seed) == (f"{crystals.name}-network", 3, 7)
    assert list(prototypes) == ["halite", "rutile", "x_copper", "y_gold"]
    said = capsys.readouterr()
    assert said.err == "" and said.out.startswith("4 crystals: halite, rutile, x_copper, y_gold")
    assert "cannot be told apart: x_copper or y_gold" in said.out
    assert f"--network {target}" in said.out


def test_interrupted_the_command_says_how_to_go_on(crystals, tmp_path, monkeypatch, capsys):
    def stops(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(learning, "learn", stops)
    assert learn_folder(crystals, str(tmp_path / "mine"), 5, 0) == 130
    assert "goes on where it stopped" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nothing", "empty", "half"])
def test_a_folder_that_is_no_network_is_named(name, tmp_path, monkeypatch, capsys):
    bulk("Cu").write(tmp_path / "copper.cif")
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "card.json").write_text("{}")
    assert command(monkeypatch, "classify", "--network", tmp_path / name, tmp_path / "copper.cif") == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    assert said.err.startswith("error: ") and f"{name} is no network" in said.err


def test_the_command_answers_by_a_network_of_ones_own(learned, tmp_path, monkeypatch, capsys):
    SALT.write(tmp_path / "salt.vasp")
    assert command(monkeypatch, "classify", "--network", learned[0], tmp_path / "salt.vasp") == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{tmp_path / 'salt.vasp'}, frame 0: halite, probability ")
    assert any(line.strip().startswith("class of the seven: none of the seven: a compound: halite") for line in rest)
    assert any(line.strip().startswith("next: ") for line in rest)
    assert command(monkeypatch, "classify", "--json", "--network", learned[0], tmp_path / "salt.vasp") == 0
    (line,) = capsys.readouterr().out.splitlines()
    answer = json.loads(line)
    assert (answer["class"], answer["prototype"]["name"]) == ("sc", "halite")


def test_a_cloud_is_named_too(learned):
    cloud = cut_cloud(SALT, 300, "sphere", np.random.default_rng(SEED))
    turned = Atoms(cloud.numbers, Rotation.random(rng=np.random.default_rng(SEED)).apply(cloud.positions))
    answer = classify(turned, network=learned[0])
    assert (answer["prototype"]["name"], answer["prototype"]["verdict"]) == ("halite", "accepted")


def test_of_crystals_that_are_all_the_same_there_is_nothing_to_learn(tmp_path, monkeypatch):
    few_clouds(monkeypatch)
    monkeypatch.setattr(networks, "train", lambda model, *data, **how: (model, None))
    monkeypatch.setattr(learning, "groups_of", lambda probabilities, labels, n, same=(): np.zeros(n, int))
    one, other = prototype("one", bulk("Cu")), prototype("other", bulk("Ag"))
    with pytest.raises(ValueError, match="one and other are the same crystal"):
        learn({"one": one, "other": other}, tmp_path / "mine", 0.1)


@pytest.mark.parametrize("error_rate", [0, 0.001, 1])
def test_a_rate_that_cannot_be_promised_is_refused_before_anything_is_computed(error_rate, tmp_path):
    with pytest.raises(ValueError, match="error_rate"):
        learn({"one": FCC, "other": prototype("bcc", bulk("Fe"))}, tmp_path / "mine", error_rate=error_rate)
    assert not (tmp_path / "mine").exists()
