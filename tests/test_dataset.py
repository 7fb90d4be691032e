from functools import partial

import numpy as np
import pytest
import zarr
from ase.build import bulk

from xtalsight import crystals, dataset
from xtalsight.clouds import build_cloud
from xtalsight.crystals import build_crystal, make_recipes
from xtalsight.dataset import load, read_fingerprints, split, write_fingerprints, write_spectra
from xtalsight.fingerprints import DiffractionGeometry, fingerprint
from xtalsight.provenance import code_of
from xtalsight.spectra import DEGREES, SHELLS, spectrum
from xtalsight.store import save_table

GEOMETRY = DiffractionGeometry(n_pixels=16)
COUNTS = {"fcc": 3, "bcc": 3, "hcp": 4}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(dataset, "CHUNK", 4)


@pytest.fixture
def recipes():
    return make_recipes(COUNTS, 7)


def written(recipes, path, n_jobs=1, **options):
    failures, _ = write_fingerprints({path: recipes}, GEOMETRY, n_jobs, **options)
    assert failures.empty
    return read_fingerprints(path)


def test_jobs_and_order_change_nothing(recipes, tmp_path):
    one = written(recipes, tmp_path / "one.zarr")
    two = written(recipes[::-1], tmp_path / "two.zarr", n_jobs=2)
    assert np.array_equal(one, two[::-1])


def test_tables_together_equal_tables_apart(recipes, tmp_path):
    defective = make_recipes(COUNTS, 7, 0.25)
    together = {tmp_path / "a.zarr": recipes, tmp_path / "b.zarr": defective[:5]}
    write_fingerprints(together, GEOMETRY, 1)
    assert np.array_equal(read_fingerprints(tmp_path / "a.zarr"), written(recipes, tmp_path / "c.zarr"))
    assert np.array_equal(read_fingerprints(tmp_path / "b.zarr"), written(defective, tmp_path / "d.zarr")[:5])


def test_the_defective_set_is_not_the_pristine_set(recipes, tmp_path):
    # The published "25 % vacancies" set is, as coded, the pristine one.
    defective = written(make_recipes(COUNTS, 7, 0.25), tmp_path / "defective.zarr")
    difference = np.abs(defective - written(recipes, tmp_path / "pristine.zarr")).max(axis=(1, 2, 3))
    assert (difference > 1e-3).all()


def test_a_missing_chunk_alone_is_computed_again(recipes, tmp_path):
    path = tmp_path / "a.zarr"
    first = written(recipes, path)
    chunk = dataset._chunk(zarr.open_array(path), 4)
    chunk.unlink()
    built = []
    again = written(recipes, path, build=_counting(built))
    assert built == recipes.id[4:8].tolist()
    assert np.array_equal(first, again)


def _counting(built):
    def build(recipe):
        built.append(recipe["id"])
        return build_crystal(recipe)

    return _disguised(build)


def _disguised(build):
    """The identity of the data set holds the name of the builder and its module: this one builds the same."""
    build.__qualname__, build.__module__ = build_crystal.__qualname__, build_crystal.__module__
    return build


def test_interrupted_and_resumed_equals_uninterrupted(recipes, tmp_path):
    def interrupted(recipe):
        if recipe["id"] == recipes.id[6]:
            raise KeyboardInterrupt
        return build_crystal(recipe)

    interrupted = _disguised(interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_fingerprints({tmp_path / "a.zarr": recipes}, GEOMETRY, 1, interrupted)
    built = []
    resumed = written(recipes, tmp_path / "a.zarr", build=_counting(built))
    assert recipes.id[0] not in built
    assert np.array_equal(resumed, written(recipes, tmp_path / "b.zarr"))


def test_other_recipes_start_anew(recipes, tmp_path):
    written(recipes, tmp_path / "a.zarr")
    other = make_recipes(COUNTS, 8)
    assert np.array_equal(written(other, tmp_path / "a.zarr"), written(other, tmp_path / "b.zarr"))


def test_bad_structures_are_listed_and_the_rest_is_kept(recipes, tmp_path):
    def build(recipe):
        atoms = build_crystal(recipe)
        if recipe["id"] == recipes.id[5]:
            atoms.positions[0] = np.nan
        return atoms

    path = tmp_path / "a.zarr"
    failures, seconds = write_fingerprints({path: recipes}, GEOMETRY, 1, build)
    assert failures.row.tolist() == [5]
    assert build_crystal(recipes.iloc[5]).info["name"] in failures.error[0]
    images = read_fingerprints(path)
    assert np.isnan(images[5]).all()
    assert np.isfinite(np.delete(images, 5, axis=0)).all()
    # A second call computes nothing and still tells, also how long it took.
    again, seconds_again = write_fingerprints({path: recipes}, GEOMETRY, 1, build)
    assert again.equals(failures)
    assert seconds_again == seconds > 0


def test_reading_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the notebook"):
        read_fingerprints(tmp_path / "none.zarr")


def test_a_slice_is_read_alone(recipes, tmp_path):
    images = written(recipes, tmp_path / "a.zarr")
    assert np.array_equal(read_fingerprints(tmp_path / "a.zarr", slice(3, 7)), images[3:7])


def test_interrupted_before_the_array_was_made(recipes, tmp_path):
    (tmp_path / "a.zarr").mkdir()  # all that an interrupted start or clearing away leaves
    written(recipes, tmp_path / "a.zarr")


def test_a_recipe_that_makes_no_sense_is_listed(recipes, tmp_path):
    recipes.loc[2, "prototype"] = "quasicrystal"
    failures, _ = write_fingerprints({tmp_path / "a.zarr": recipes}, GEOMETRY, 1)
    assert failures.row.tolist() == [2]
    assert "quasicrystal" in failures.error[0]


def test_both_sets_are_loaded_without_what_has_no_fingerprint(recipes, tmp_path):
    images = np.ones((len(recipes), 16, 16, 3), np.float32)
    save_table(tmp_path / "recipes_pristine.csv", recipes)
    for kind, broken in (("pristine", 2), ("vacancies", 7)):
        stack = images * (1 + (kind == "vacancies"))
        stack[broken] = np.nan
        zarr.create_array(tmp_path / f"fingerprints_{kind}.zarr", data=stack)
    found, stacks, remark = load(tmp_path)
    assert found.id.tolist() == np.delete(recipes.id, [2, 7]).tolist()
    assert [stack.mean() for stack in stacks.values()] == [1, 2]
    assert {len(stack) for stack in stacks.values()} == {len(recipes) - 2}
    assert "2 left out" in remark


def test_what_was_not_made_cannot_be_loaded(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path)


# Spectra.


@pytest.fixture
def clouds(recipes):
    return recipes.assign(shape="sphere", n_atoms=60, vacancy_ratio=0.25)


def written_spectra(recipes, path, n_jobs=1, build=build_cloud):
    failures, _ = write_spectra({path: recipes}, n_jobs, build)
    assert failures.empty
    return read_fingerprints(path)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_spectra_are_written(clouds, n_jobs, tmp_path):
    expected = [spectrum(build_cloud(recipe)) for recipe in clouds.to_dict("records")]
    found = written_spectra(clouds, tmp_path / "a.zarr", n_jobs)
    assert found.shape == (len(clouds), 2, len(SHELLS), len(DEGREES))
    assert np.array_equal(found, expected)


def test_spectra_of_an_ordered_compound_are_those_of_its_places_and_of_its_kinds(clouds, tmp_path):
    def build(recipe):
        atoms = bulk("NaCl", "rocksalt", a=5.6).repeat(4)
        atoms.positions += np.random.default_rng(recipe["id"]).normal(scale=0.1, size=(len(atoms), 3))
        return atoms

    found = written_spectra(clouds, tmp_path / "a.zarr", build=build)
    assert np.array_equal(found, [spectrum(build(recipe)) for recipe in clouds.to_dict("records")])
    assert (np.abs(found[:, 0] - found[:, 1]).max(axis=(1, 2)) > 1).all()


def test_a_missing_chunk_of_spectra_alone_is_computed_again(clouds, tmp_path):
    path = tmp_path / "a.zarr"
    first = written_spectra(clouds, path)
    dataset._chunk(zarr.open_array(path), 4).unlink()
    built = []

    def build(recipe):
        built.append(recipe["id"])
        return build_cloud(recipe)

    build.__qualname__, build.__module__ = build_cloud.__qualname__, build_cloud.__module__
    again = written_spectra(clouds, path, build=build)
    assert built == clouds.id[4:8].tolist()
    assert np.array_equal(first, again)


def test_spectra_take_the_place_of_fingerprints_and_these_of_spectra(clouds, tmp_path):
    path = tmp_path / "a.zarr"
    for _ in range(2):
        write_fingerprints({path: clouds}, GEOMETRY, 1, build_cloud)
        assert read_fingerprints(path).shape == (len(clouds), GEOMETRY.n_pixels, GEOMETRY.n_pixels, 3)
        write_spectra({path: clouds}, 1, build_cloud)
        assert read_fingerprints(path).shape == (len(clouds), 2, len(SHELLS), len(DEGREES))


def test_a_cloud_without_spectra_is_listed(clouds, tmp_path):
    clouds.loc[1, "n_atoms"] = 1
    failures, _ = write_spectra({tmp_path / "a.zarr": clouds}, 1, build_cloud)
    assert failures.row.tolist() == [1]
    assert "no length scale" in failures.error[0]
    found = read_fingerprints(tmp_path / "a.zarr")
    assert np.isnan(found[1]).all()
    assert np.isfinite(np.delete(found, 1, axis=0)).all()


# Splits.


@pytest.mark.parametrize("by", ["random", "element"])
def test_split_is_a_partition_and_seeded(by):
    many = make_recipes({"fcc": 200, "hcp": 200}, 7)
    train, test = split(many, by, 0.1, 3)
    assert sorted([*train, *test]) == list(range(400))
    assert np.array_equal(test, split(many, by, 0.1, 3)[1])
    assert not np.array_equal(test, split(many, by, 0.1, 4)[1])


def test_random_split_holds_out_a_fraction_of_the_structures():
    assert len(split(make_recipes({"fcc": 200}, 7), "random", 0.1, 3)[1]) == 20


def test_split_by_element_keeps_elements_apart():
    many = make_recipes({"fcc": 400, "hcp": 400}, 7)
    train, test = split(many, "element", 0.1, 3)
    assert len(test)
    assert not set(many.element[train]) & set(many.element[test])


def test_no_such_split(recipes):
    with pytest.raises(ValueError, match="by='space group'"):
        split(recipes, "space group", 0.1, 0)


def test_another_builder_or_what_it_uses_is_another_array(recipes, monkeypatch):
    def build(recipe):
        return build_crystal(recipe)

    before = dataset._identity(recipes, spectrum, build_crystal)
    assert before != dataset._identity(recipes, spectrum, build)
    assert before != dataset._identity(recipes, partial(fingerprint, geometry=GEOMETRY), build_crystal)
    monkeypatch.setattr(dataset, "code_of", lambda *functions: code_of(*functions, crystals.make_recipes))
    assert before != dataset._identity(recipes, spectrum, build_crystal)


def build_larger(recipe, factor, sites=None):
    atoms = build_crystal(recipe)
    atoms.set_cell(factor * atoms.cell.array, scale_atoms=True)
    return atoms


def test_a_partial_builder_with_other_arguments_makes_another_array(recipes):
    def identity(*arguments, **more):
        return dataset._identity(recipes, spectrum, partial(build_larger, *arguments, **more))

    one = identity(factor=1.1, sites=np.eye(3))
    assert one == identity(factor=1.1, sites=np.eye(3))
    others = [identity(factor=1.2, sites=np.eye(3)), identity(factor=1.1, sites=np.ones((3, 3)))]
    assert len({one, *others, dataset._identity(recipes, spectrum, build_larger)}) == 4


def test_spectra_of_a_partial_builder_are_written(recipes, tmp_path):
    build = partial(build_larger, factor=1.1)
    found = written_spectra(recipes[:2], tmp_path / "a.zarr", build=build)
    assert np.array_equal(found, [spectrum(build(recipe)) for recipe in recipes[:2].to_dict("records")])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_in_parallel_keeps_the_order_whatever_the_number_of_jobs(n_jobs):
    items = iter(range(11))  # more than a batch, and of unknown length
    assert dataset.in_parallel(lambda x: x**2, items, "squares", n_jobs) == [x**2 for x in range(11)]
