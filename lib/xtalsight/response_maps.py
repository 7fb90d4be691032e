"""What a network looks at: activations, through keract, and attentive response maps, by deconvolution."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def get_activations(model: keras.Model, images: np.ndarray, layer_names=None) -> dict[str, np.ndarray]:
    """Return the activations of a model's layers, through keract.

    keract evaluates layers with calls that Keras 3 no longer has. Here a functional model that puts them out takes the
    place of that one step; the rest, and keract's `display_activations` and `display_heatmaps`, work as they are.

    Parameters
    ----------
    model : keras.Model
        Functional model.
    images : ndarray, shape (n, height, width, channels) or (height, width, channels)
    layer_names : str or list of str, optional
        Only these layers.

    Returns
    -------
    dict
        Layer name -> activation, (n, ...), a copy of its own.

    Raises
    ------
    ValueError
        The images do not have the shape of the model's input.
    KeyError
        No such layer.

    References
    ----------
    P. Remy, Keract: A library for visualizing activations and gradients (GitHub, 2020).
    """
    import keract  # comes with the study; the library needs it nowhere else

    images = _as_batch(model, images)

    def evaluate(model, nodes, x, y=None, auto_compile=False):
        return [np.array(output) for output in _evaluate(model, list(nodes), x)]  # copies: keract writes into them

    asked = [layer.name for layer in model.layers] if layer_names is None else np.atleast_1d(layer_names).tolist()
    if unknown := sorted(set(asked) - {layer.name for layer in model.layers}):
        raise KeyError(f"no layer {', '.join(unknown)} in {model.name!r}")
    with mock.patch("keract.keract._evaluate", evaluate):
        # By node: by name, keract passes over layers whose name it takes for that of an input.
        nodes = [model.get_layer(name).output for name in asked]
        activations = keract.get_activations(model, images, nodes_to_evaluate=nodes)
    return dict(zip(asked, activations.values(), strict=True))


def attentive_response_maps(
    model: keras.Model, images: np.ndarray, layer_name: str, n_filters: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Project the strongest responses of a layer back to the image, by deconvolution.

    The filters are ranked by the sum of their activation over the image. Of each of the strongest, only the maximum is
    kept; it is then taken back layer by layer: where there is an activation function, zero where the forward activation
    was not positive, then ReLU; convolution with the transposed kernel, without bias; unpooling by repetition;
    normalisation by its scale, without its shift.

    Parameters
    ----------
    model : keras.Model
        A chain of convolution, activation, pooling, dropout and normalisation up to the layer; anything may follow.
    images : ndarray, shape (n, height, width, channels) or (height, width, channels)
    layer_name : str
        A layer whose output is (n, rows, columns, filters): a convolution with its activation, or the activation after
        it.
    n_filters : int
        How many of its filters.

    Returns
    -------
    maps : ndarray, shape (n, n_filters, height, width, channels), float32
        Strongest filter first. What is positive speaks for the response. All zero for a dead filter, one that is active
        nowhere.
    filters : ndarray of int, shape (n, n_filters)
        Which filters they are.

    Raises
    ------
    ValueError
        Shape of the images, no such layer, more filters than it has, or a layer on the way that cannot be taken back.

    References
    ----------
    M. D. Zeiler, R. Fergus, ECCV 2014, arXiv:1311.2901. D. Kumar et al., arXiv:1611.06284. A. Ziletti et al., Nat.
    Commun. 9, 2775 (2018), doi:10.1038/s41467-018-05169-6. The code of the latter passes normalisation by; in the
    network of Table 1 none lies before the last convolution.
    """
    images = _as_batch(model, images)
    chain = _chain(model, layer_name)
    n_all = chain[-1].output.shape[-1]
    if not 1 <= n_filters <= n_all:
        raise ValueError(f"{n_filters=} must lie between 1 and the {n_all} filters of layer {layer_name!r}")
    # In batches: every filter of every image takes as much memory as the largest layer.
    batches = np.split(images, range(_BATCH, len(images), _BATCH))
    maps, filters = zip(*(_maps_of_batch(model, batch, chain, n_filters) for batch in batches), strict=True)
    return np.concatenate(maps), np.concatenate(filters)


def visible(response_map: np.ndarray) -> np.ndarray:
    """Return the positive part of a response map, divided by its brightest pixel, so that it can be drawn."""
    positive = np.maximum(response_map, 0)
    return positive / max(positive.max(), np.finfo(np.float32).tiny)


_BATCH = 32


def _maps_of_batch(model, images, chain, n_filters):
    rows, columns, n_all = chain[-1].output.shape[1:]
    outputs = _evaluate(model, [layer.output for layer in chain], images)
    response = np.array(outputs[-1])
    filters = np.argsort(-response.sum(axis=(1, 2)), axis=-1, kind="stable")[:, :n_filters]

    n = len(images)
    signal = np.zeros((n, n_filters, rows * columns, n_all), np.float32)
    of_filter = np.take_along_axis(response.reshape(n, rows * columns, n_all), filters[:, None], axis=-1)
    index = np.ogrid[:n, :n_filters]
    signal[*index, of_filter.argmax(axis=1), filters] = of_filter.max(axis=1)
    signal = tf.reshape(signal, (n, n_filters, rows, columns, n_all))
    for layer, output in zip(chain[::-1], outputs[::-1], strict=True):
        signal = _take_back(layer, signal, output[:, None])
    return signal.numpy(), filters


def _chain(model, layer_name):
    """Return the layers from the first after the input to the one of this name."""
    names = [layer.name for layer in model.layers]
    if layer_name not in names:
        raise ValueError(f"no layer {layer_name!r} in {model.name!r}, which has {', '.join(names)}")
    chain = [layer for layer in model.layers[: names.index(layer_name) + 1] if not isinstance(layer, layers.InputLayer)]
    if not chain or len(chain[-1].output.shape) != 4:
        raise ValueError(f"the output of layer {layer_name!r} must be (n, rows, columns, filters)")
    for layer, previous in zip(chain, [model.input, *(layer.output for layer in chain)], strict=False):
        if layer.input is not previous:
            raise ValueError(f"layer {layer.name!r} does not follow the one before it: {model.name!r} is not a chain")
    return chain


def _take_back(layer, signal, forward):
    """Take a signal (n, filters, rows, columns, channels) from the output of a layer to its input."""
    activation = getattr(layer, "activation", None)
    if isinstance(layer, layers.ReLU) or (activation is not None and activation is not keras.activations.linear):
        signal = tf.where(forward > 0, tf.nn.relu(signal), 0)
    n, n_filters, *_ = signal.shape
    rows, columns, channels = layer.input.shape[1:]
    if getattr(layer, "data_format", "channels_last") != "channels_last" or getattr(layer, "groups", 1) != 1:
        raise ValueError(f"layer {layer.name!r}: only channels-last layers with one group can be taken back")
    if isinstance(layer, layers.Conv2D):
        # The transposed kernel: what a pixel gave to each response comes back to it with the same weight.
        flat = tf.nn.conv2d_transpose(
            tf.reshape(signal, (n * n_filters, *signal.shape[2:])),
            layer.kernel,
            (n * n_filters, rows, columns, channels),
            layer.strides,
            layer.padding.upper(),
            dilations=layer.dilation_rate,
        )
        return tf.reshape(flat, (n, n_filters, rows, columns, channels))
    if isinstance(layer, (layers.MaxPooling2D, layers.AveragePooling2D)):
        pads_first = any(-edge % size > 1 for edge, size in zip((rows, columns), layer.pool_size, strict=True))
        if layer.strides != layer.pool_size or (layer.padding == "same" and pads_first):
            raise ValueError(
                f"layer {layer.name!r}: pools that overlap or begin outside the picture cannot be taken back"
            )
        for axis, times in zip((2, 3), layer.pool_size, strict=True):
            signal = tf.repeat(signal, times, axis=axis)
        signal = signal[:, :, :rows, :columns]
        missing = (rows - signal.shape[2], columns - signal.shape[3])  # an odd row or column that pooling left out
        return tf.pad(signal, [(0, 0), (0, 0), (0, missing[0]), (0, missing[1]), (0, 0)])
    if isinstance(layer, layers.BatchNormalization) and np.ravel(layer.axis).tolist() in ([-1], [3]):
        scale = 1 / tf.sqrt(layer.moving_variance + layer.epsilon)
        return signal * (scale * layer.gamma if layer.scale else scale)
    if isinstance(layer, (layers.Activation, layers.ReLU, layers.Dropout, layers.SpatialDropout2D)):
        return signal
    raise ValueError(f"cannot take a signal back through layer {layer.name!r} of type {type(layer).__name__}")


def _evaluate(model, outputs, images):
    return keras.tree.flatten(keras.Model(model.input, outputs)(images, training=False))


def _as_batch(model, images):
    if len(model.inputs) != 1:
        raise ValueError(f"{model.name!r} has {len(model.inputs)} inputs instead of one")
    images = np.asarray(images, np.float32)
    shape = model.input.shape[1:]
    if images.shape == shape:
        images = images[None]
    if images.ndim != 4 or images.shape[1:] != shape:
        raise ValueError(f"{images.shape=} must be (n, {', '.join(map(str, shape))}) or one image without n")
    if not np.isfinite(images).all():
        raise ValueError("images must be finite numbers: leave out structures without a fingerprint")
    return images
