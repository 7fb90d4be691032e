"""The published arrays, from a server on the loopback: files of the same form and with the faults that files have."""

import hashlib
import json
import pickle
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from xtalsight.crystals import build_crystal, make_recipes
from xtalsight.dataset import split
from xtalsight.fingerprints import fingerprint
from xtalsight.store import load_json
from xtalsight.study import published
from xtalsight.study.published import (
    channel_order,
    copies,
    fetch,
    load,
    read,
    read_array,
    repair_layout,
    scramble,
)

NAMES = [f"{kind}_{part}.pkl" for kind in ("pristine", "vacancies") for part in "xy"]


def fingerprints(recipes):
    return np.array([fingerprint(build_crystal(recipe)) for recipe in recipes.to_dict("records")])


@pytest.fixture(scope="module")
def sets():
    """Fingerprints of a few crystals, pristine and with vacancies, and their labels."""
    counts = {"fcc": 4, "beta_sn": 4}
    pristine, defective = make_recipes(counts, 7), make_recipes(counts, 7, 0.25)
    return fingerprints(pristine), fingerprints(defective), pristine.label.to_numpy()


def in_python_2(array):
    """The pickle that Python 2 and its NumPy would write, without Python 3's way of writing bytes."""
    kind, size, data = array.dtype.kind.encode(), array.dtype.itemsize, array.tobytes()
    shape = b"(" + b"".join(b"J" + n.to_bytes(4, "little") for n in array.shape) + b"t"
    dtype = (
        b"cnumpy\ndtype\n(U\x02"
        + kind
        + b"%dK\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" % size
    )
    start = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    return start + b"(K\x01" + shape + dtype + b"\x89T" + len(data).to_bytes(4, "little") + data + b"tb."


@pytest.fixture
def files(sets):
    """Name on the server to content, under the names that ai4materials uses."""
    pristine, defective, labels = sets
    return {
        "pristine_dataset_x.pkl": in_python_2(scramble(pristine)),
        "pristine_dataset_y.pkl": in_python_2(labels),
        "pristine_dataset_summary.json": b"{}",
        "vac25_dataset_x.pkl": pickle.dumps(scramble(defective), 2),
        "vac25_dataset_y.pkl": pickle.dumps(labels, 2),
    }


class Dataverse(ThreadingHTTPServer):
    """Lists and serves `files`; after `cut` bytes of one answer it closes the connection, once."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.cut, self.checksums, self.ranges = files, {}, True, True
        self.asked = []  # (name, Range)
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers["User-Agent"].startswith("python-requests"):  # Harvard's turns it away
            return self.answer(b"", 403)
        names = list(self.server.files)
        if self.path.startswith("/api/datasets/:persistentId/?persistentId=doi%3A10.7910%2FDVN%2FZDKBRF"):
            entries = [{"dataFile": {"id": i, "filename": name}} for i, name in enumerate(names)]
            for entry in entries if self.server.checksums else ():
                md5 = hashlib.md5(self.server.files[entry["dataFile"]["filename"]]).hexdigest()
                entry["dataFile"]["checksum"] = {"type": "MD5", "value": md5}
            return self.answer(json.dumps({"data": {"latestVersion": {"files": entries}}}).encode())
        name = names[int(self.path.removeprefix("/api/access/datafile/").removesuffix("?format=original"))]
        self.server.asked.append((name, self.headers["Range"]))
        content, start = self.server.files[name], 0
        if self.headers["Range"] and self.server.ranges:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return self.answer(b"", 416)
        self.answer(content[start:], 206 if start else 200, self.server.cut.pop(name, None))

    def answer(self, content, status=200, cut=None):
        self.send_response(status)
        self.send_header("Content-Length", len(content))
        self.end_headers()
        self.wfile.write(content[:cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(files):
    with Dataverse(files) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def test_fetched_and_read_they_are_the_fingerprints(server, sets, tmp_path):
    pristine, defective, labels = sets
    assert fetch(tmp_path, server.address) == NAMES
    for kind, expected in (("pristine", pristine), ("vacancies", defective)):
        images, found = read(tmp_path, kind)
        assert np.array_equal(images, expected)
        assert np.array_equal(found, labels)
    fetch(tmp_path, server.address)
    assert len(server.asked) == 4  # what is there is not asked for again


def test_after_a_break_only_the_rest_is_asked_for(server, files, tmp_path):
    name, whole = "pristine_dataset_x.pkl", files["pristine_dataset_x.pkl"]
    server.cut = {name: 100_000}
    with pytest.raises(OSError):
        fetch(tmp_path, server.address)
    assert not (tmp_path / "pristine_x.pkl").exists()
    fetch(tmp_path, server.address)
    assert server.asked[:2] == [(name, None), (name, "bytes=65536-")]  # the last whole block
    assert (tmp_path / "pristine_x.pkl").read_bytes() == whole
    assert not list(tmp_path.glob("*.part"))


def test_a_server_that_cannot_resume_sends_all_again(server, files, tmp_path):
    server.cut, server.ranges = {"pristine_dataset_x.pkl": 100_000}, False
    with pytest.raises(OSError):
        fetch(tmp_path, server.address)
    fetch(tmp_path, server.address)
    assert (tmp_path / "pristine_x.pkl").read_bytes() == files["pristine_dataset_x.pkl"]


def test_stopped_between_the_last_byte_and_the_check(server, files, tmp_path):
    (tmp_path / "pristine_x.pkl.part").write_bytes(files["pristine_dataset_x.pkl"])
    fetch(tmp_path, server.address)
    assert (tmp_path / "pristine_x.pkl").read_bytes() == files["pristine_dataset_x.pkl"]


def test_a_file_that_is_not_what_the_server_announced_is_refused(server, files, tmp_path):
    (tmp_path / "pristine_x.pkl.part").write_bytes(b"of another file")
    with pytest.raises(ValueError, match="MD5 hash of downloaded file \\(pristine_x.pkl\\) does not match"):
        fetch(tmp_path, server.address)
    assert not list(tmp_path.glob("pristine_x.pkl*"))


def test_the_first_download_is_recorded_and_enforced(server, files, tmp_path):
    server.checksums = False
    fetch(tmp_path, server.address)
    recorded = load_json(tmp_path / "checksums.json")
    assert recorded["pristine_x.pkl"] == f"sha256:{hashlib.sha256(files['pristine_dataset_x.pkl']).hexdigest()}"
    # Damage on the disk is mended; a server that has something else now is refused.
    (tmp_path / "pristine_x.pkl").write_bytes(b"damaged")
    fetch(tmp_path, server.address)
    assert (tmp_path / "pristine_x.pkl").read_bytes() == files["pristine_dataset_x.pkl"]
    (tmp_path / "pristine_x.pkl").unlink()
    files["pristine_dataset_x.pkl"] = files["vac25_dataset_x.pkl"]
    with pytest.raises(ValueError, match="SHA256"):
        fetch(tmp_path, server.address)
    assert load_json(tmp_path / "checksums.json") == recorded


def test_two_sets_that_are_one_are_refused(server, files, tmp_path):
    files["vac25_dataset_x.pkl"] = files["pristine_dataset_x.pkl"]
    with pytest.raises(ValueError, match="the two sets are one"):
        fetch(tmp_path, server.address)
    _, images, remark = load(tmp_path)  # the pristine set is good all the same
    assert np.array_equal(images["vacancies"], images["pristine"])
    assert "equals the pristine one, bit for bit" in remark


def test_names_that_do_not_fit_are_told(server, files, tmp_path):
    files["set1_x.pkl"] = files.pop("pristine_dataset_x.pkl")
    with pytest.raises(ValueError, match="holds pristine_dataset_y.pkl, .*, set1_x.pkl, and not one"):
        fetch(tmp_path, server.address)
    assert server.asked == []


def test_one_set_alone_is_fetched(server, files, tmp_path):
    del files["vac25_dataset_x.pkl"], files["vac25_dataset_y.pkl"]
    assert fetch(tmp_path, server.address) == NAMES[:2]
    assert load(tmp_path)[2].startswith("There is no published set with vacancies here")


def test_an_answer_that_is_no_list_counts_as_no_answer(server, monkeypatch, tmp_path):
    monkeypatch.setattr(_Handler, "do_GET", lambda self: self.answer(b"<html>are you a robot?</html>"))
    with pytest.raises(OSError, match="did not answer with a list"):
        fetch(tmp_path, server.address)


def test_as_a_command(server, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)  # not inside the study
    monkeypatch.setattr(sys, "argv", ["published", "--server", server.address])
    published.main()
    assert capsys.readouterr().out == f"{tmp_path / 'data' / 'published'} holds {', '.join(NAMES)}\n"
    monkeypatch.setattr(_Handler, "do_GET", lambda self: self.answer(b"", 403))
    with pytest.raises(SystemExit, match="could not be fetched from .* \\(403 Client Error: Forbidden"):
        published.main()


def test_without_network_one_sentence(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with Dataverse({}) as gone:
        pass
    monkeypatch.setattr(sys, "argv", ["published", "--server", gone.address])
    with pytest.raises(SystemExit) as stopped:
        published.main()
    assert re.fullmatch(
        r"error: doi:\S+ could not be fetched from \S+ \(no connection\); the study runs .*", stopped.value.code
    )


# What a file may hold.


class Hostile:
    """Unpickled as usual, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pickled(path, thing):
    path.write_bytes(thing if isinstance(thing, bytes) else pickle.dumps(thing, 2))
    return path


def test_a_pickle_that_would_run_code_is_refused_unrun(tmp_path):
    trace = tmp_path / "trace"
    path = pickled(tmp_path / "x.pkl", Hostile(trace))
    with pytest.raises(ValueError, match="x.pkl is not a pickled array of numbers: it asks for .*open"):
        read_array(path)
    assert not trace.exists()
    with open(path, "rb") as file:  # and hostile it is
        pickle.load(file).close()
    assert trace.exists()


def test_code_inside_an_array_is_refused_unrun(tmp_path):
    trace = tmp_path / "trace"
    with pytest.raises(ValueError, match="it asks for"):
        read_array(pickled(tmp_path / "x.pkl", np.array([Hostile(trace)], object)))
    assert not trace.exists()


@pytest.mark.parametrize(
    "thing",
    [
        np.array([None, "a"], object),
        np.array(["bcc", "fcc"]),
        np.zeros(2, [("x", "O")]),
        np.ma.zeros(3),
        [1, 2],
        {"x": np.zeros(2)},
        np.float64(1),
        b"",
        b"<html>not found</html>",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
        # An array of objects whose eight bytes NumPy would take for their address.
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        + b"(I1\n(I1\ntcnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'AAAAAAAA'\ntb.",
    ],
    ids=["objects", "text", "fields", "masked", "list", "dictionary", "scalar", "empty", "page", "codec", "forged"],
)
def test_anything_but_an_array_of_numbers_is_refused(thing, tmp_path):
    with pytest.raises(ValueError, match="x.pkl is not a pickled array of numbers"):
        read_array(pickled(tmp_path / "x.pkl", thing))


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999999])
def test_a_pickle_cut_short_is_refused(kept, files, tmp_path):
    whole = files["pristine_dataset_x.pkl"]
    with pytest.raises(ValueError, match="not a pickled array"):
        read_array(pickled(tmp_path / "x.pkl", whole[: int(kept * len(whole))]))


@pytest.mark.parametrize("write", [in_python_2, lambda array: pickle.dumps(array, 2), pickle.dumps])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_arrays_of_python_2_and_3_are_read(write, dtype, tmp_path):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    again = read_array(pickled(tmp_path / "x.pkl", write(array)))
    assert again.dtype == array.dtype
    assert np.array_equal(again, array)


def test_a_layout_that_is_not_the_published_one_is_refused(sets):
    with pytest.raises(ValueError, match="not zero outside the ring"):
        repair_layout(sets[0])  # never scrambled
    with pytest.raises(ValueError, match=r"must be \(n, 64, 64, 3\)"):
        repair_layout(sets[0].transpose(0, 3, 1, 2))
    assert np.array_equal(repair_layout(scramble(sets[0])), sets[0])


@pytest.mark.parametrize(
    "labels, message",
    [([0] * 7, "7 labels for 8 images"), ([0] * 7 + [7], "labels must be 0 to 6"), ([0.5] * 8, "labels")],
)
def test_labels_that_make_no_sense_are_refused(labels, message, sets, tmp_path):
    pickled(tmp_path / "pristine_x.pkl", scramble(sets[0]))
    pickled(tmp_path / "pristine_y.pkl", np.array(labels))
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="make published-data"):
        load(tmp_path)


# What the study makes of them.


def test_channel_order_is_found(sets):
    images, _, labels = sets
    regenerated = fingerprints(make_recipes({"beta_sn": 20}, 3))
    swapped = images[labels == 2][..., [0, 2, 1]]  # R, B, G, as Python 2 may have left them
    differences = channel_order(swapped, regenerated)
    (best, second, *_) = differences
    assert best == (0, 2, 1)
    assert differences[best] < 0.7 * differences[second]
    assert np.array_equal(swapped[..., best], images[labels == 2])


def test_copies_are_grouped(sets):
    images = np.concatenate([sets[0], sets[0] * (1 - 1e-6), sets[1]])
    groups = copies(images).reshape(3, -1)
    assert np.array_equal(groups[0], groups[1])
    assert not set(groups[0]) & set(groups[2])


def test_loaded_like_generated_ones(sets, tmp_path):
    pristine, defective, labels = sets
    for kind, images in (("pristine", pristine), ("vacancies", defective)):
        pickled(tmp_path / f"{kind}_x.pkl", scramble(images[..., [0, 2, 1]]))
        pickled(tmp_path / f"{kind}_y.pkl", labels)
    recipes, images, remark = load(tmp_path)
    assert remark.startswith("Both published sets are there, and they differ.")
    assert np.array_equal(images["pristine"], pristine)  # the order of the channels included
    assert np.array_equal(images["vacancies"], defective)
    assert np.array_equal(recipes.label, labels)
    train, test = split(recipes, "element", 0.4, 0)
    assert not set(recipes.element[train]) & set(recipes.element[test])


def test_sets_whose_rows_do_not_belong_together(sets, tmp_path):
    pristine, defective, labels = sets
    for kind, images, order in (("pristine", pristine, labels), ("vacancies", defective, labels[::-1])):
        pickled(tmp_path / f"{kind}_x.pkl", scramble(images))
        pickled(tmp_path / f"{kind}_y.pkl", order)
    _, images, remark = load(tmp_path)
    assert "does not have the labels of the pristine one" in remark
    assert images["vacancies"] is images["pristine"]


def test_without_a_folder_that_of_the_study_is_read(sets, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # not inside the study
    with pytest.raises(FileNotFoundError, match="make published-data"):
        load()
    folder = published.default_folder()
    folder.mkdir(parents=True)
    pickled(folder / "pristine_x.pkl", scramble(sets[0]))
    pickled(folder / "pristine_y.pkl", sets[2])
    recipes, images, _ = load()
    assert {"id", "label", "prototype", "element", "c_over_a"} <= set(recipes)
    assert {kind: len(stack) for kind, stack in images.items()} == {"pristine": 8, "vacancies": 8}
    assert len(recipes) == 8


def test_default_folder_is_not_in_the_repository():
    assert published.default_folder().relative_to(published.root()).parts == ("data", "published")
