import keras
import numpy as np
import pytest
from keras import layers

from xtalsight.networks import compact_network, table_1_network
from xtalsight.response_maps import attentive_response_maps, get_activations

RNG = np.random.default_rng(0)
SHAPE = (8, 8, 3)


def stack(*chain, shape=SHAPE):
    x = inputs = keras.Input(shape, name="image")
    for layer in chain:
        x = layer(x)
    return keras.Model(inputs, x)


def convolution(kernel, activation="relu", **options):
    """A convolution with a given kernel (rows, columns, in, out) and no bias, unless options say otherwise."""
    kernel = np.asarray(kernel, float)
    initializer = keras.initializers.Constant(kernel)
    options = {"padding": "same", "name": "convolution"} | options
    return layers.Conv2D(
        kernel.shape[3], kernel.shape[:2], activation=activation, kernel_initializer=initializer, **options
    )


def identity_kernel(channels=3):
    return np.eye(channels)[None, None]


def one_pixel(row, column, channel=0, value=2.0, shape=SHAPE):
    image = np.zeros(shape, np.float32)
    image[row, column, channel] = value
    return image


# Activations, through keract.


@pytest.mark.parametrize("network", [table_1_network, compact_network])
def test_activations_are_the_outputs_of_the_layers(network):
    model = network()
    image = RNG.uniform(size=(1, 64, 64, 3)).astype(np.float32)
    activations = get_activations(model, image)
    names = [layer.name for layer in model.layers]
    assert list(activations) == names
    for layer in model.layers:
        expected = keras.Model(model.inputs, layer.output).predict(image, verbose=0)
        np.testing.assert_allclose(activations[layer.name], expected, rtol=1e-5, atol=1e-6)


def test_activations_of_one_layer_and_of_an_image_without_batch_axis():
    model = table_1_network()
    image = RNG.uniform(size=(64, 64, 3))
    activations = get_activations(model, image, "convolution_3")
    assert activations.keys() == {"convolution_3"}
    assert activations["convolution_3"].shape == (1, 32, 32, 16)


def test_activations_may_be_written_to():
    activations = get_activations(compact_network(), np.ones((64, 64, 3)), ["relu_1"])
    activations["relu_1"][:] = 0  # as keract.display_heatmaps does


@pytest.mark.parametrize("names", ["convolution_9", ["convolution_1", "convolution_9"]])
def test_activations_of_an_unknown_layer(names):
    with pytest.raises(KeyError, match="convolution_9"):
        get_activations(table_1_network(), np.zeros((64, 64, 3)), names)


def test_activations_of_a_layer_that_is_called_input():
    model = stack(convolution(identity_kernel(), name="from_input"))
    assert get_activations(model, np.ones(SHAPE), "from_input").keys() == {"from_input"}


# Maps known by hand.


def test_identity_kernel_returns_the_brightest_pixel():
    image = RNG.uniform(size=SHAPE).astype(np.float32)
    maps, filters = attentive_response_maps(stack(convolution(identity_kernel())), image, "convolution", 3)
    assert maps.shape == (1, 3, *SHAPE)
    assert sorted(filters[0]) == [0, 1, 2]
    for kept, channel in zip(maps[0], filters[0], strict=True):
        expected = np.zeros(SHAPE)
        place = np.unravel_index(image[..., channel].argmax(), SHAPE[:2])
        expected[*place, channel] = image[*place, channel]
        np.testing.assert_allclose(kept, expected)


def test_strongest_filter_comes_first():
    image = np.ones(SHAPE) * [0.2, 0.9, 0.5]
    _, filters = attentive_response_maps(stack(convolution(identity_kernel())), image, "convolution", 2)
    assert filters.tolist() == [[1, 2]]


def test_shifted_kernel_is_shifted_back():
    kernel = np.zeros((3, 3, 3, 1))
    kernel[0, 1, 0, 0] = 1  # the response at a pixel is the red pixel above it
    image = one_pixel(4, 5)
    model = stack(convolution(kernel))
    assert model.predict(image[None], verbose=0)[0, 5, 5, 0] == 2
    maps, _ = attentive_response_maps(model, image, "convolution", 1)
    np.testing.assert_allclose(maps[0, 0], image)


def test_pooled_response_is_repeated_over_the_pool():
    model = stack(convolution(identity_kernel(), activation=None), layers.MaxPooling2D(2, name="pooling"))
    maps, _ = attentive_response_maps(model, one_pixel(5, 2), "pooling", 1)
    expected = sum(one_pixel(row, column) for row in (4, 5) for column in (2, 3))
    np.testing.assert_allclose(maps[0, 0], expected)


def test_signal_is_stopped_where_nothing_was_active():
    # The pooled response spreads over four pixels; the ReLU before it lets it through at the one that was active.
    model = stack(convolution(identity_kernel()), layers.MaxPooling2D(2, name="pooling"))
    image = one_pixel(5, 2)
    maps, _ = attentive_response_maps(model, image, "pooling", 1)
    np.testing.assert_allclose(maps[0, 0], image)


def test_bias_is_left_out():
    biased = convolution(identity_kernel(), bias_initializer="ones")
    image = one_pixel(3, 3)
    maps, _ = attentive_response_maps(stack(biased), image, "convolution", 1)
    np.testing.assert_allclose(maps[0, 0], image * 1.5)  # 2 + 1 came out, all of it goes back


def test_normalisation_goes_back_with_its_scale():
    normalisation = layers.BatchNormalization(
        epsilon=0,
        beta_initializer="ones",
        gamma_initializer=keras.initializers.Constant(3),
        moving_variance_initializer=keras.initializers.Constant(4),
        name="normalisation",
    )
    model = stack(convolution(identity_kernel(), activation=None), normalisation)
    maps, _ = attentive_response_maps(model, one_pixel(3, 3), "normalisation", 1)
    response = 2 * 3 / 2 + 1
    np.testing.assert_allclose(maps[0, 0], one_pixel(3, 3, value=response * 3 / 2))


def test_linear_stack_goes_back_by_the_gradient():
    # Without activations the way back is the transposed linear map: the gradient of the response times the response.
    kernel = RNG.normal(size=(3, 3, 3, 4))
    model = stack(convolution(kernel, activation=None, strides=2), layers.Dropout(0.5), layers.AveragePooling2D(2))
    image = RNG.normal(size=SHAPE).astype(np.float32)
    maps, filters = attentive_response_maps(model, image, model.layers[-1].name, 4)
    response = model.predict(image[None], verbose=0)[0]
    for kept, channel in zip(maps[0], filters[0], strict=True):
        place = np.unravel_index(response[..., channel].argmax(), response.shape[:2])
        gradient = np.zeros(SHAPE)
        for index in np.ndindex(SHAPE):
            changed = image.copy()
            changed[index] += 1
            gradient[index] = model.predict_on_batch(changed[None])[0, *place, channel] - response[*place, channel]
        # Average pooling gives each pixel a quarter of the weight; unpooling by repetition gives it all.
        np.testing.assert_allclose(kept, 4 * gradient * response[*place, channel], rtol=1e-3, atol=1e-4)


def test_odd_edge_that_pooling_left_out_gets_nothing():
    model = stack(layers.MaxPooling2D(2, name="pooling"), shape=(5, 5, 1))
    maps, _ = attentive_response_maps(model, np.ones((5, 5, 1)), "pooling", 1)
    assert maps.shape == (1, 1, 5, 5, 1)
    assert maps[0, 0, :2, :2].all()
    assert not maps[0, 0, 4].any()
    assert not maps[0, 0, :, 4].any()


@pytest.mark.parametrize("network, layer", [(table_1_network, "convolution_6"), (compact_network, "relu_3")])
def test_maps_of_the_networks_of_the_study(network, layer):
    images = RNG.uniform(size=(3, 64, 64, 3)).astype(np.float32)
    model = network()
    maps, filters = attentive_response_maps(model, images, layer, 4)
    assert maps.shape == (3, 4, 64, 64, 3)
    assert np.isfinite(maps).all()
    assert maps.any()
    # Images do not mix.
    alone, filters_alone = attentive_response_maps(model, images[1], layer, 4)
    np.testing.assert_array_equal(filters[1], filters_alone[0])
    np.testing.assert_allclose(maps[1], alone[0], atol=1e-5 * maps.max())


# What can go wrong.


def test_dead_filter_has_an_empty_map():
    kernel = np.concatenate([identity_kernel(), -np.ones((1, 1, 3, 1))], axis=-1)
    maps, filters = attentive_response_maps(stack(convolution(kernel)), one_pixel(2, 2), "convolution", 4)
    dead = list(filters[0]).index(3)
    assert not maps[0, dead].any()


def test_dark_image_has_empty_maps():
    maps, _ = attentive_response_maps(table_1_network(), np.zeros((64, 64, 3)), "convolution_6", 8)
    assert not maps.any()


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 1), (2, 3, 64, 64), (1, 1, 64, 64, 3)])
@pytest.mark.parametrize("function", [attentive_response_maps, get_activations])
def test_wrong_shape(function, shape):
    with pytest.raises(ValueError, match=r"must be \(n, 64, 64, 3\)"):
        function(compact_network(), np.zeros(shape), "relu_1")


@pytest.mark.parametrize(
    "layer, n_filters, message",
    [
        ("convolution_9", 1, "convolution_9"),
        ("flatten", 1, "rows, columns, filters"),
        ("relu_1", 0, "n_filters=0"),
        ("relu_1", 33, "32 filters"),
    ],
)
def test_wrong_layer_or_number_of_filters(layer, n_filters, message):
    with pytest.raises(ValueError, match=message):
        attentive_response_maps(compact_network(), np.zeros((64, 64, 3)), layer, n_filters)


@pytest.mark.parametrize("function", [attentive_response_maps, get_activations])
def test_images_that_are_not_numbers(function):
    with pytest.raises(ValueError, match="finite"):
        function(compact_network(), np.full((64, 64, 3), np.nan), "relu_1")


@pytest.mark.parametrize(
    "layer, shape",
    [
        (layers.MaxPooling2D(3, strides=2, name="last"), (8, 8, 3)),
        (layers.MaxPooling2D(3, padding="same", name="last"), (4, 4, 3)),
        (layers.Conv2D(3, 3, groups=3, name="last"), (8, 8, 3)),
        (layers.BatchNormalization(axis=1, name="last"), (8, 8, 3)),
    ],
    ids=["overlapping pools", "pools that begin outside", "grouped", "normalised over rows"],
)
def test_layers_that_are_refused(layer, shape):
    with pytest.raises(ValueError, match="'last'"):
        attentive_response_maps(stack(layer, shape=shape), np.ones(shape), "last", 1)


def test_batches_change_nothing():
    images = RNG.uniform(size=(35, 64, 64, 3)).astype(np.float32)  # more than one batch
    maps, filters = attentive_response_maps(compact_network(), images, "relu_1", 1)
    alone, filters_alone = attentive_response_maps(compact_network(), images[34], "relu_1", 1)
    np.testing.assert_array_equal(filters[34], filters_alone[0])
    np.testing.assert_allclose(maps[34], alone[0], atol=1e-5 * maps.max())


def test_layer_that_cannot_be_taken_back():
    model = stack(layers.UpSampling2D(2), convolution(identity_kernel()))
    with pytest.raises(ValueError, match="UpSampling2D"):
        attentive_response_maps(model, np.ones(SHAPE), "convolution", 1)


def test_network_with_branches():
    inputs = keras.Input(SHAPE)
    left, right = layers.Conv2D(2, 3)(inputs), layers.Conv2D(2, 3)(inputs)
    model = keras.Model(inputs, layers.Add(name="sum")([left, right]))
    with pytest.raises(ValueError, match="not a chain"):
        attentive_response_maps(model, np.ones(SHAPE), "sum", 1)
