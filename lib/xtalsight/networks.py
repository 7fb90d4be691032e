"""The networks: Table 1 of the paper, the report's variant of it, a compact one, and one for spectra of any
orientation."""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # must be set before TensorFlow is imported

import joblib
import keras
import numpy as np
import onnx
import pandas as pd
import tensorflow as tf
from keras import layers
from tqdm import tqdm

from xtalsight.crystals import CLASSES
from xtalsight.inference import mirror_image
from xtalsight.provenance import code_of
from xtalsight.spectra import DEGREES, ON_RING, SHELLS
from xtalsight.store import load_table, replacing, save_table

tf.get_logger().setLevel("ERROR")

IMAGE_SHAPE = (64, 64, 3)
SPECTRUM_SHAPE = (2, len(SHELLS), len(DEGREES))
PLACES_SHAPE = (len(SHELLS[ON_RING]), len(DEGREES))


def make_reproducible(seed: int, threads: int = 2):
    """Seed everything, fix the number of threads and ask TensorFlow for deterministic kernels.

    Results differ between numbers of threads, so the number is part of an experiment. Call it before TensorFlow runs
    anything: a later change of the number of threads is refused with a RuntimeError.
    """
    keras.utils.set_random_seed(seed)
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.experimental.enable_op_determinism()


def table_1_network(variant: str = "paper", seed: int = 0, precision: str = "float32") -> keras.Model:
    """Build the convolutional network of Table 1.

    Six 7x7 'same' convolutions of 32, 32, 16, 16, 8, 8 filters, 2x2 max pooling after the second and the fourth, a
    dense layer of 128, batch normalisation, softmax over the seven classes.

    Parameters
    ----------
    variant : {"paper", "report"}
        "paper": ReLU everywhere, orthogonal convolution kernels, 25 % dropout before the dense layer (Ziletti et al.
        2018). "report": no activation but the softmax, dropout after the dense layer, Keras' default kernels (CH5650).
    seed : int
        Seed of the initial weights and of the dropout.
    precision : {"float32", "mixed_bfloat16"}
        Of the convolutions and the hidden layer. With "mixed_bfloat16" all weights, the batch normalisation and the
        probabilities stay float32; it is faster only where `multiplies_bfloat16`.

    Returns
    -------
    keras.Model
        Uncompiled; input (n, 64, 64, 3), output (n, 7) class probabilities.

    Raises
    ------
    ValueError
        No such variant.
    """
    if variant not in ("paper", "report"):
        raise ValueError(f"{variant=} must be 'paper' or 'report'")
    paper = variant == "paper"
    keras.utils.set_random_seed(seed)
    activation = "relu" if paper else None
    x = inputs = keras.Input(IMAGE_SHAPE, name="fingerprint")
    for i, filters in enumerate((32, 32, 16, 16, 8, 8), start=1):
        initializer = keras.initializers.Orthogonal(seed=seed + i) if paper else "glorot_uniform"
        x = layers.Conv2D(
            filters,
            7,
            padding="same",
            activation=activation,
            kernel_initializer=initializer,
            dtype=precision,
            name=f"convolution_{i}",
        )(x)
        if i in (2, 4):
            x = layers.MaxPooling2D(2, dtype=precision, name=f"max_pooling_{i // 2}")(x)
    if paper:
        x = layers.Dropout(0.25, seed=seed, dtype=precision, name="dropout")(x)
    x = layers.Flatten(dtype=precision, name="flatten")(x)
    x = layers.Dense(128, activation=activation, dtype=precision, name="dense")(x)
    if not paper:
        x = layers.Dropout(0.25, seed=seed, dtype=precision, name="dropout")(x)
    x = layers.BatchNormalization(name="batch_normalization")(x)
    outputs = layers.Dense(len(CLASSES), activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name=f"table_1_{variant}")


def compact_network(seed: int = 0, n_classes: int = len(CLASSES), square_root: bool = False) -> keras.Model:
    """Build a small network: three strided convolutions of 32, 48, 64 filters, each with batch normalisation.

    The first, 5x5, takes every fourth pixel: at full resolution, normalisation would cost more than the convolution.

    Parameters
    ----------
    seed : int
        Seed of the initial weights.
    n_classes : int
        One more than the seven, for example, with "none of the seven" as the last.
    square_root : bool
        Look at the square root of the intensity: peaks that disorder has made faint count for more.

    Returns
    -------
    keras.Model
        Uncompiled; input (n, 64, 64, 3), output (n, n_classes) class probabilities; some 50,000 parameters.
    """
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input(IMAGE_SHAPE, name="fingerprint")
    if square_root:
        x = keras.ops.sqrt(x)
    for i, (filters, kernel, stride) in enumerate(((32, 5, 4), (48, 3, 2), (64, 3, 2)), start=1):
        x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=f"convolution_{i}")(x)
        # The averages that inference uses must settle within an epoch of some 150 steps.
        x = layers.BatchNormalization(momentum=0.9, name=f"batch_normalization_{i}")(x)
        x = layers.ReLU(name=f"relu_{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    outputs = layers.Dense(n_classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="compact")


def spectrum_network(
    seed: int = 0, n_classes: int = len(CLASSES) + 1, shape=PLACES_SHAPE, units=(320, 128), name="any_orientation"
) -> keras.Model:
    """Build a network for spectra: dense layers, two without other `units`, each with batch normalisation and 20 %
    dropout.

    It looks at log(1 + P), so that faint degrees count (ONNX has no operator log1p). Convolutions would not do: a
    degree or shell has its own meaning.

    Parameters
    ----------
    seed : int
        Seed of the initial weights and of the dropout.
    n_classes : int
        The seven and "none of the seven" as the last; or other classes, and none of them.
    shape : tuple of int
        `PLACES_SHAPE`, what `xtalsight.spectra.of_places` returns, or `SPECTRUM_SHAPE` for places and kinds.
    units : sequence of int
    name : str

    Returns
    -------
    keras.Model
        Uncompiled; input (n, *shape), output (n, n_classes) class probabilities.
    """
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(shape, name="spectrum")
    x = layers.Flatten(name="flatten")(keras.ops.log(1 + inputs))
    x = layers.BatchNormalization(momentum=0.9, name="batch_normalization_0")(x)
    for i, n_units in enumerate(units, start=1):
        x = layers.Dense(n_units, use_bias=False, name=f"dense_{i}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"batch_normalization_{i}")(x)
        x = layers.ReLU(name=f"relu_{i}")(x)
        x = layers.Dropout(0.2, seed=seed, name=f"dropout_{i}")(x)
    outputs = layers.Dense(n_classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name=name)


def multiplies_bfloat16() -> bool:
    """Tell whether this machine multiplies bfloat16 in hardware: by AVX512-BF16, AMX or an NVIDIA GPU since Ampere.

    Others emulate it, which is slower.
    """
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text() if cpu.exists() else ""
    gpus = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    has_gpu = any(gpu.get("compute_capability", (0, 0)) >= (8, 0) for gpu in gpus)
    return has_gpu or "avx512_bf16" in flags or "amx_bf16" in flags


def layer_table(model: keras.Model) -> pd.DataFrame:
    """List the layers of a model with kernel, output shape, activation and number of parameters, one row each."""
    return pd.DataFrame(
        {
            "layer": layer.name,
            "type": type(layer).__name__,
            "kernel": "×".join(map(str, getattr(layer, "kernel_size", getattr(layer, "pool_size", ())))),
            "output": "×".join(map(str, layer.output.shape[1:])),
            "activation": getattr(getattr(layer, "activation", None), "__name__", ""),
            "parameters": layer.count_params(),
        }
        for layer in model.layers
    )


def training_operations(model: keras.Model) -> float:
    """Count the floating-point operations of training on one image.

    Two for each multiply-add of the convolutions and dense layers; each of these is done forward, for the gradient of
    its kernel and, but in the first layer, for the gradient of its input. Everything else is left out.
    """
    total = 0
    first = True
    for layer in model.layers:
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            positions = np.prod(layer.output.shape[1:-1])
            total += 2 * positions * np.prod(layer.kernel.shape) * (2 if first else 3)
            first = False
    return float(total)


def train(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    folder,
    mirrored: bool = False,
    validation: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train with Adam and categorical cross-entropy; go on where an interrupted training stopped.

    The learning rate falls to zero along half a cosine over all epochs.

    After each epoch the model and its history are saved in `folder`. Called again with the same arguments, it goes on
    after the last epoch saved and ends with the same weights, because the order of the images in an epoch depends on
    `seed` and the epoch alone.

    Parameters
    ----------
    model : keras.Model
        Uncompiled.
    images : ndarray, shape (n, 64, 64, 3), float32
    labels : ndarray of int, shape (n,)
    epochs, batch_size : int
    learning_rate : float
        At the beginning.
    seed : int
        Seed of the order of the images.
    folder : path
        Where the trainings are kept, each under a name made from the arguments, the number of threads and the versions
        of the libraries.
    mirrored : bool
        Show the four `mirror_images` of every image by turns, one in each epoch.
    validation : mapping of name to (images, labels), optional
        Scored after each epoch, never trained on.

    Returns
    -------
    model : keras.Model
        The trained model.
    history : DataFrame
        One row an epoch: ``epoch, seconds`` (of training), ``loss, accuracy``, ``validation_seconds`` and, for each
        validation, ``<name>_loss, <name>_accuracy``. Accuracy is the fraction of images given the right class.
        ``attrs["resumed_epochs"]`` is the number of epochs that an earlier call had done.

    Raises
    ------
    ValueError
        Shapes do not fit.
    """
    images, labels = _check(images, labels)
    validation = {name: _check(*pair) for name, pair in (validation or {}).items()}
    # A sample of the pixels tells data sets apart; to hash them all would take longer than an epoch of a small network.
    data = [(len(x), x[::37], y) for x, y in ((images, labels), *validation.values())]
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    identity = joblib.hash(
        [code_of(train), re.sub(r"(add|log|sqrt)_\d+", r"\1", model.to_json()), model.get_weights(), list(validation), data, batch_size, learning_rate,
         mirrored, epochs, seed, threads, keras.__version__, tf.__version__, np.__version__]
    )  # fmt: skip
    saved, log = (Path(folder) / f"{model.name}-{identity[:12]}{ending}" for ending in (".keras", ".csv"))
    steps = -(-len(images) // batch_size)
    history, done = [], 0
    # Keras' BackupAndRestore keeps no history, and neither the order of the images nor the streams of dropout: what it
    # ends with is another network.
    if saved.exists():
        model = keras.models.load_model(saved)
        done = int(model.optimizer.iterations) // steps
        history = load_table(log).to_dict("records")[:done]
    else:
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)
        model.compile(
            keras.optimizers.Adam(rate),
            "sparse_categorical_crossentropy",
            metrics=["sparse_categorical_accuracy"],
        )
    x, y = tf.constant(images), tf.constant(labels)
    validation = {name: tuple(map(tf.constant, pair)) for name, pair in validation.items()}
    with tqdm(total=epochs * steps, initial=done * steps, desc=model.name, unit=" steps", mininterval=1) as progress:
        for epoch in range(done, epochs):
            order = np.random.default_rng([seed, epoch]).permutation(len(images))
            start = time.perf_counter()
            if mirrored:
                x = tf.constant(mirror_image(images, epoch % 4))
            for layer in model.layers:
                if isinstance(layer, layers.Dropout):
                    # What a stopped training would have drawn next is not saved: each epoch has a stream of its own.
                    layer.seed_generator.state.assign([seed, epoch])
            batches = _batches(x, y, order, batch_size)
            result = model.fit(batches, shuffle=False, verbose=0, callbacks=[_progress(progress)])
            row = {
                "epoch": epoch + 1,
                "seconds": time.perf_counter() - start,
                "loss": result.history["loss"][0],
                "accuracy": result.history["sparse_categorical_accuracy"][0],
            }
            start = time.perf_counter()
            for name, pair in validation.items():
                scored = model.evaluate(_batches(*pair, np.arange(len(pair[0])), 256), verbose=0)
                row[f"{name}_loss"], row[f"{name}_accuracy"] = scored
            row["validation_seconds"] = time.perf_counter() - start
            history.append(row)
            scores = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key.endswith(("loss", "accuracy")))
            progress.set_postfix_str(f"epoch {epoch + 1}/{epochs}, {scores}")
            # The history first: rows beyond the epochs of the saved model are ignored.
            save_table(log, pd.DataFrame(history))
            with replacing(saved) as temporary:
                model.save(temporary)
    history = pd.DataFrame(history)
    history.attrs["resumed_epochs"] = done
    return model, history


def _batches(x, y, order, batch_size):
    """Return a pipeline of TensorFlow's: batches of the images x and labels y, tensors, in the given order."""
    batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
    as_written = tf.data.Options()
    # Optimising so short a pipeline gains nothing and prints an error at each use.
    as_written.experimental_optimization.apply_default_optimizations = False
    # The autotuner sleeps ever longer, and an epoch ends only when it wakes: up to half as long again is lost.
    as_written.autotune.enabled = False
    return batches.map(lambda rows: (tf.gather(x, rows), tf.gather(y, rows))).prefetch(2).with_options(as_written)


def _progress(bar):
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: bar.update())


def _check(images, labels):
    images, labels = np.asarray(images, np.float32), np.asarray(labels)
    if images.shape[1:] not in (IMAGE_SHAPE, SPECTRUM_SHAPE, PLACES_SHAPE):
        raise ValueError(
            f"{images.shape=} must be (n, 64, 64, 3), or for spectra {('n', *SPECTRUM_SHAPE)} or {('n', *PLACES_SHAPE)}"
        )
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{labels.shape=} of {labels.dtype=} must be ({len(images)},) integers")
    return images, labels


def save(model: keras.Model, path):
    """Save layers and weights of a network, without what only training needs: a third of the size."""
    # Not a clone: that is compiled like the model, and keeps the optimizer's moments.
    plain = keras.Model.from_config(model.get_config())
    plain.set_weights(model.get_weights())
    with replacing(path) as temporary:
        plain.save(temporary)


def export(model: keras.Model, path):
    """Write a network as an ONNX file, which `xtalsight.inference.load` reads without Keras; the same network gives the
    same bytes.

    Parameters
    ----------
    model : keras.Model
        One of this module's.
    path : path

    Raises
    ------
    ImportError
        tf2onnx is not installed.
    """
    plain = keras.Model.from_config(model.get_config())
    plain.set_weights(model.get_weights())
    plain(np.zeros((1, *plain.input_shape[1:]), np.float32))  # Keras exports only what has been called
    with replacing(path) as temporary:
        plain.export(temporary, format="onnx", verbose=False)
        exported = onnx.load(temporary)
        _number_names(exported.graph)
        temporary.write_bytes(exported.SerializeToString(deterministic=True))


def _number_names(graph):
    """Number the inner names of a graph: they tell how many networks the process had, and the same network should be
    the same file."""
    names = {"": ""} | {value.name: value.name for value in (*graph.input, *graph.output)}

    def numbered(name):
        return names.setdefault(name, f"{len(names):03d}")

    for node in graph.node:
        node.name = ""
        node.input[:], node.output[:] = map(numbered, node.input), map(numbered, node.output)
    for constant in graph.initializer:
        constant.name = numbered(constant.name)
    graph.initializer.sort(key=lambda constant: constant.name)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    del graph.value_info[:]
    graph.doc_string = ""


def load(path) -> keras.Model:
    """Load a network that `save` wrote; it is not compiled."""
    return keras.models.load_model(path, compile=False)
