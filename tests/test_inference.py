import subprocess
import sys

import numpy as np
import pytest

from xtalsight import inference, networks
from xtalsight.store import sha256

SEED = 5


def trained(model):
    """With weights as training leaves them: none is 0 or 1, not even of normalisation."""
    dice = np.random.default_rng(SEED)
    model.set_weights([w + dice.uniform(0, 0.2, w.shape) if w.ndim == 1 else w for w in model.get_weights()])
    return model


def looked_at(model, n):
    return np.random.default_rng(SEED).gamma(0.5, 1.0, (n, *model.input_shape[1:])).astype(np.float32)


@pytest.mark.parametrize(
    "build",
    [
        lambda: networks.table_1_network(),
        lambda: networks.compact_network(n_classes=8, square_root=True),
        lambda: networks.spectrum_network(),
        lambda: networks.spectrum_network(0, 30, networks.SPECTRUM_SHAPE, (64, 32), "prototypes"),
    ],
    ids=["table_1", "compact", "any_orientation", "prototypes"],
)
def test_the_file_answers_as_the_model_of_keras(build, tmp_path):
    model = trained(build())
    networks.export(model, tmp_path / "network.onnx")
    images = looked_at(model, 130)  # more than a batch
    network = inference.load(tmp_path / "network.onnx", sha256(tmp_path / "network.onnx"))
    expected = inference.predict(model, images)
    assert expected.std(axis=0).max() > 0.003, "the answers differ"
    np.testing.assert_allclose(inference.predict(network, images), expected, atol=1e-5)


def test_the_same_network_is_the_same_file(tmp_path):
    model = trained(networks.spectrum_network())
    for name in ("one", "other"):
        networks.export(model, tmp_path / f"{name}.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()


def test_what_is_no_network_is_said_in_one_line(tmp_path):
    path = tmp_path / "network.onnx"
    for content in (b"", b"\x00" * 100, b"import os", b"PK keras"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"network\.onnx is no network") as error:
            inference.load(path)
        assert "\n" not in str(error.value)


def test_another_file_than_that_of_the_card_is_noticed(tmp_path):
    networks.export(networks.spectrum_network(), tmp_path / "network.onnx")
    with pytest.raises(ValueError, match="another network than that of its card"):
        inference.load(tmp_path / "network.onnx", 64 * "0")


def test_an_answer_needs_nothing_of_training_and_notebooks():
    code = """
import sys
from ase.build import bulk
from xtalsight.__main__ import main
from xtalsight.classify import classify
from xtalsight.grains import map_structure
assert classify(bulk("Cu"))["class"] == "fcc"
map_structure(bulk("Cu", cubic=True).repeat(8), n_jobs=1, progress=False)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    unneeded = {
        "tensorflow",
        "keras",
        "onnx",
        "tf2onnx",
        "sklearn",
        "zarr",
        "requests",
        "jupytext",
        "papermill",
        "pymatgen",
    }
    assert sorted(unneeded & set(loaded)) == []
