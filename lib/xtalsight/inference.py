"""Trained networks at work: ONNX files, run without TensorFlow."""

import hashlib
from pathlib import Path

import numpy as np

_BATCH = 128  # pictures that are looked at together


def load(path, sha256: str | None = None):
    """Load a network that `xtalsight.networks.export` wrote.

    Parameters
    ----------
    path : path
    sha256 : str, optional
        Checksum of the file, from its card.

    Returns
    -------
    onnxruntime.InferenceSession
        One network on one core: these are small.

    Raises
    ------
    OSError
        There is no such file.
    ValueError
        The file is no network, or not the one of the card.
    """
    import onnxruntime  # not above: processes that only prepare structures need none of it

    content = Path(path).read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path} is damaged, or another network than that of its card")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has many kinds, none of them public
        raise ValueError(f"{path} is no network: {str(error).splitlines()[0]}") from error


def predict(network, images: np.ndarray, mirrored: bool = False) -> np.ndarray:
    """Return what a network says: class probabilities (n, n_classes), or what else its output is.

    Parameters
    ----------
    network : onnxruntime.InferenceSession or keras.Model
    images : ndarray, shape (n, 64, 64, 3) or (n, 2, n_shells, n_degrees) or (n, n_shells, n_degrees), float32
        Fingerprints, spectra, or those of places alone (`xtalsight.spectra.of_places`).
    mirrored : bool
        Return the mean over a fingerprint and its `mirror_images`.
    """
    if mirrored:
        return np.mean([predict(network, copies) for copies in mirror_images(images)], axis=0)
    batches = np.split(images, range(_BATCH, len(images), _BATCH))
    if hasattr(network, "predict_on_batch"):
        # Not `predict` of Keras: its pipeline prints an error of TensorFlow's at each use.
        return np.concatenate([network.predict_on_batch(batch) for batch in batches])
    name = network.get_inputs()[0].name
    return np.concatenate([network.run(None, {name: np.asarray(batch, np.float32)})[0] for batch in batches])


def mirror_images(images: np.ndarray) -> np.ndarray:
    """Return fingerprints (n, 64, 64, 3) as they are, with x reversed, with y reversed, and with both: (4, n, 64, 64,
    3).

    The mirror image of a crystal is one of the same class, with another speckle: three more structures
    for the price of one. All but rhombohedral ones stay in the standard orientation.
    """
    return np.stack([mirror_image(images, number) for number in range(4)])


def mirror_image(images: np.ndarray, number: int) -> np.ndarray:
    """Return one of the `mirror_images`, 0 to 3."""
    return images[:, :: -1 if number & 2 else 1, :: -1 if number & 1 else 1]
