import keras
import numpy as np
import pytest
from ase.build import bulk

from xtalsight import inference, networks
from xtalsight.networks import (
    PLACES_SHAPE,
    SPECTRUM_SHAPE,
    compact_network,
    layer_table,
    spectrum_network,
    table_1_network,
    train,
    training_operations,
)
from xtalsight.spectra import of_places, spectrum

RNG = np.random.default_rng(0)
LABELS = np.arange(28) % 7


@pytest.fixture(scope="module", autouse=True)
def reproducible():
    networks.make_reproducible(0)


@pytest.fixture(scope="module")
def images():
    """One bright pixel block a class, and noise."""
    images = RNG.uniform(0, 0.2, (len(LABELS), 64, 64, 3)).astype(np.float32)
    for image, label in zip(images, LABELS, strict=True):
        image[8 * label : 8 * label + 8] += 0.8
    return images


@pytest.fixture(scope="module")
def spectra():
    """Power of three degrees a class, on every shell, and noise."""
    spectra = RNG.uniform(0, 0.2, (len(LABELS), *PLACES_SHAPE)).astype(np.float32)
    for own, label in zip(spectra, LABELS, strict=True):
        own[:, label : label + 3] += 3
    return spectra


def trained(model, images, folder, **options):
    options = {"epochs": 2, "batch_size": 10, "learning_rate": 1e-3, "seed": 3, "folder": folder} | options
    return train(model, images, LABELS, **options)


def weights_equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


@pytest.mark.parametrize("variant", ["paper", "report"])
def test_table_1_has_the_published_number_of_parameters(variant):
    assert table_1_network(variant).count_params() == 365_719


def test_paper_and_report_differ_as_documented():
    paper, report = (layer_table(table_1_network(v)).set_index("layer") for v in ("paper", "report"))
    inner = [name for name in paper.index if name.startswith("convolution") or name == "dense"]
    assert set(paper.activation[inner]) == {"relu"}
    assert set(report.activation[inner]) == {"linear"}
    assert paper.index.get_loc("dropout") < paper.index.get_loc("flatten")
    assert report.index.get_loc("dropout") > report.index.get_loc("dense")


def test_convolutions_of_the_paper_start_orthogonal():
    for layer in table_1_network().layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.reshape(layer.kernel, (-1, layer.filters))
            np.testing.assert_allclose(kernel.T @ kernel, np.eye(layer.filters), atol=1e-5)


def test_bfloat16_inside_leaves_weights_and_probabilities_in_float32(images):
    exact, rounded = (table_1_network(seed=2, precision=precision) for precision in ("float32", "mixed_bfloat16"))
    assert weights_equal(exact, rounded)
    difference = np.abs(inference.predict(exact, images[:7]) - inference.predict(rounded, images[:7])).max()
    assert 1e-6 < difference < 0.02  # rounded to 8 bits, and no more
    assert {weights.dtype for weights in rounded.get_weights()} == {np.dtype("f4")}


def test_unknown_variant():
    with pytest.raises(ValueError, match="variant"):
        table_1_network("resnet")


def test_compact_network_is_small():
    assert compact_network().count_params() <= 60_000


def test_spectrum_network_takes_spectra_and_names_the_classes_and_none():
    network = spectrum_network()
    assert network.input_shape == (None, *PLACES_SHAPE)
    assert network.output_shape == (None, 8)
    assert spectrum_network(n_classes=7).output_shape == (None, 7)


def test_spectrum_network_takes_what_the_spectra_of_an_atom_cloud_are():
    spectra = spectrum(bulk("NaCl", "rocksalt", a=5.6).repeat(4))[None]
    of_seven, of_both = spectrum_network(), spectrum_network(shape=SPECTRUM_SHAPE)
    assert inference.predict(of_seven, of_places(spectra)).shape == (1, 8)
    assert inference.predict(of_both, spectra).shape == (1, 8)


def test_spectrum_network_of_places_and_kinds_has_the_layers_and_the_name_asked_for():
    network = spectrum_network(n_classes=40, shape=SPECTRUM_SHAPE, units=(96, 64, 32), name="prototypes")
    assert (network.input_shape, network.output_shape) == ((None, *SPECTRUM_SHAPE), (None, 40))
    assert [layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense)] == [96, 64, 32, 40]
    assert network.name == "prototypes" and spectrum_network().name == "any_orientation"


def test_spectrum_network_fits_with_the_others_into_the_package():
    assert 4 * spectrum_network().count_params() < 0.75e6  # bytes


def test_probabilities_of_a_spectrum_sum_to_1_however_bright_it_is(spectra):
    for factor in (0, 1, 1e4):
        probabilities = inference.predict(spectrum_network(), (factor * spectra).astype(np.float32))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert (probabilities >= 0).all()


def test_seed_decides_the_weights():
    assert weights_equal(table_1_network(seed=1), table_1_network(seed=1))
    assert weights_equal(spectrum_network(seed=1), spectrum_network(seed=1))
    assert not weights_equal(compact_network(1), compact_network(2))
    assert not weights_equal(spectrum_network(1), spectrum_network(2))


def test_operations_counted_by_hand():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(3, 3, padding="same")(
        inputs
    )  # 16 positions, 9 * 2 * 3 products, forward and kernel gradient
    x = keras.layers.Dense(5)(keras.layers.Flatten()(x))  # 48 * 5 products, forward and both gradients
    assert training_operations(keras.Model(inputs, x)) == 2 * 2 * 16 * 9 * 2 * 3 + 2 * 3 * 48 * 5


def test_training_learns_what_is_plain_to_see(images, tmp_path):
    model, history = trained(compact_network(), images, tmp_path, epochs=25)
    assert history.epoch.tolist() == list(range(1, 26))
    assert (inference.predict(model, images).argmax(axis=1) == LABELS).mean() == 1


def test_training_on_spectra_learns_what_is_plain_to_see(spectra, tmp_path):
    model, _ = trained(spectrum_network(), spectra, tmp_path, epochs=25)
    assert (inference.predict(model, spectra).argmax(axis=1) == LABELS).mean() == 1


def test_training_on_places_and_kinds_learns_what_the_kinds_alone_tell(tmp_path):
    spectra = RNG.uniform(0, 0.2, (len(LABELS), *SPECTRUM_SHAPE)).astype(np.float32)
    for (_, kinds), label in zip(spectra, LABELS, strict=True):
        kinds[:, label : label + 3] += 3
    model, _ = trained(spectrum_network(shape=SPECTRUM_SHAPE), spectra, tmp_path, epochs=25)
    assert (inference.predict(model, spectra).argmax(axis=1) == LABELS).mean() == 1


def test_training_on_spectra_twice_gives_the_same_network(spectra, tmp_path):
    first, second = (trained(spectrum_network(), spectra, tmp_path / folder)[0] for folder in "ab")
    assert weights_equal(first, second)
    other, _ = trained(spectrum_network(), spectra, tmp_path, seed=4)
    assert not weights_equal(first, other)


@pytest.mark.parametrize(
    "network, data, options",
    [
        (compact_network, "images", {}),
        (compact_network, "images", {"mirrored": True}),
        (table_1_network, "images", {}),
        (spectrum_network, "spectra", {}),
    ],
    ids=["compact", "mirrored", "with dropout", "spectra"],
)
def test_training_interrupted_in_its_second_epoch_ends_as_if_it_had_not(
    network, data, options, request, tmp_path, monkeypatch
):
    images = request.getfixturevalue(data)

    def new_network():
        keras.backend.clear_session()  # a nameless operation is called by its number in the process
        return network()

    def interrupted(path, history):
        if len(history) == 2:
            raise KeyboardInterrupt
        save_table(path, history)

    save_table = networks.save_table
    whole, history = trained(new_network(), images, tmp_path / "whole", **options)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(networks, "save_table", interrupted)
        trained(new_network(), images, tmp_path / "parts", **options)
    resumed, resumed_history = trained(new_network(), images, tmp_path / "parts", **options)
    assert weights_equal(whole, resumed)
    assert np.array_equal(history.loss, resumed_history.loss)
    assert (history.attrs["resumed_epochs"], resumed_history.attrs["resumed_epochs"]) == (0, 1)


def test_fewer_epochs_are_another_training(images, tmp_path):
    trained(compact_network(), images, tmp_path, epochs=2)
    one, history = trained(compact_network(), images, tmp_path, epochs=1)
    fresh, _ = trained(compact_network(), images, tmp_path / "fresh", epochs=1)
    assert len(history) == 1
    assert weights_equal(one, fresh)


def test_finished_training_is_not_repeated(images, tmp_path):
    _, first = trained(compact_network(), images, tmp_path)
    _, again = trained(compact_network(), images, tmp_path)
    assert first.equals(again)  # the measured seconds, too


def test_another_seed_is_another_training(images, tmp_path):
    a, _ = trained(compact_network(), images, tmp_path)
    b, _ = trained(compact_network(), images, tmp_path, seed=4)
    assert not weights_equal(a, b)


def test_validation_is_not_trained_on(images, tmp_path):
    plain, _ = trained(compact_network(), images, tmp_path / "a")
    wrong = (images, (LABELS + 1) % 7)
    validated, history = trained(compact_network(), images, tmp_path / "b", validation={"wrong": wrong})
    assert weights_equal(plain, validated)
    assert {"wrong_loss", "wrong_accuracy"} <= set(history)


def test_training_ends_at_rest(images, tmp_path):
    model, _ = trained(compact_network(), images, tmp_path)
    assert float(model.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (np.zeros((4, 3, 64, 64)), np.zeros(4, int), r"must be \(n, 64, 64, 3\)"),
        (np.zeros((64, 64, 3)), np.zeros(64, int), r"must be \(n, 64, 64, 3\)"),
        (np.zeros((4, 64, 64, 3)), np.zeros(5, int), "labels.shape"),
        (np.zeros((4, 64, 64, 3)), np.zeros((4, 7), int), "labels.shape"),
        (np.zeros((4, 64, 64, 3)), np.zeros(4), "integers"),
        (np.zeros((4, *PLACES_SHAPE[::-1])), np.zeros(4, int), "for spectra"),
        (np.zeros((4, *SPECTRUM_SHAPE[1:])), np.zeros(4, int), "for spectra"),  # not cut to the ring
        (np.zeros((4, 3, *SPECTRUM_SHAPE[1:])), np.zeros(4, int), "for spectra"),
        (np.zeros(SPECTRUM_SHAPE), np.zeros(SPECTRUM_SHAPE[0], int), "for spectra"),
        (np.zeros(PLACES_SHAPE), np.zeros(PLACES_SHAPE[0], int), "for spectra"),
        (np.zeros((4, *SPECTRUM_SHAPE)), np.zeros(3, int), "labels.shape"),
        (np.zeros((4, *PLACES_SHAPE)), np.zeros(3, int), "labels.shape"),
    ],
)
def test_wrong_input(images, labels, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(compact_network(), images, labels, epochs=1, batch_size=2, learning_rate=1e-3, seed=0, folder=tmp_path)


def test_saved_network_answers_the_same(images, tmp_path):
    model = compact_network(seed=3, n_classes=8, square_root=True)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.train_on_batch(images, LABELS)
    networks.save(model, tmp_path / "network.keras")
    assert (tmp_path / "network.keras").stat().st_size < 1.5 * 4 * model.count_params(), "no state of the optimizer"
    again = networks.load(tmp_path / "network.keras")
    np.testing.assert_array_equal(inference.predict(again, images), inference.predict(model, images))


def test_saved_network_of_spectra_answers_the_same(spectra, tmp_path):
    model = spectrum_network(seed=3)
    networks.save(model, tmp_path / "network.keras")
    again = networks.load(tmp_path / "network.keras")
    np.testing.assert_array_equal(inference.predict(again, spectra), inference.predict(model, spectra))


def test_more_spectra_than_a_batch_are_answered_one_by_one(spectra):
    model = spectrum_network()
    many = np.concatenate([spectra] * 10)
    np.testing.assert_allclose(inference.predict(model, many)[-28:], inference.predict(model, spectra), atol=1e-6)


def test_mirror_images_are_four_and_mirror_each_other(images):
    copies = inference.mirror_images(images)
    assert copies.shape == (4, *images.shape)
    assert np.array_equal(copies[1][:, :, ::-1], images)
    assert np.array_equal(copies[3], copies[1][:, ::-1])


def test_mirrored_prediction_is_the_same_for_all_mirror_images(images):
    model = networks.compact_network(0)
    predictions = [inference.predict(model, copies, mirrored=True) for copies in inference.mirror_images(images[:5])]
    np.testing.assert_allclose(predictions[1:], [predictions[0]] * 3, atol=1e-6)


def test_compact_network_of_more_classes_and_of_the_square_root(images):
    plain, root = (networks.compact_network(0, n_classes=8, square_root=r) for r in (False, True))
    assert plain.output_shape == (None, 8)
    np.testing.assert_allclose(
        inference.predict(plain, np.sqrt(images[:3])), inference.predict(root, images[:3]), atol=1e-6
    )


def test_mirrored_training_sees_other_images(images, tmp_path):
    plain, _ = trained(compact_network(0), images, tmp_path)
    mirrored, _ = trained(compact_network(0), images, tmp_path, mirrored=True)
    assert not weights_equal(plain, mirrored)


def test_mirrored_training_knows_every_mirror_image(tmp_path):
    """The channels of a block in one corner are bright as the bits of the label; mirror images have it in the
    others."""
    images = np.full((28, 64, 64, 3), 0.1, np.float32)
    images[:, 8:24, 8:24] = ((LABELS + 1)[:, None] >> np.arange(3) & 1)[:, None, None]
    model, _ = trained(compact_network(0), images, tmp_path, mirrored=True, epochs=24, batch_size=14)
    answers = [inference.predict(model, copies).argmax(axis=1) for copies in inference.mirror_images(images)]
    assert np.mean(np.array(answers) == LABELS) > 0.9
