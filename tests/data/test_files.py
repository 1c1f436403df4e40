"""Finding, downloading and refusing, without any network but this machine's own loopback."""

import gzip
import hashlib
import http.server
import io
import pickle
import pwd
import threading
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import labels_are_known
from transferlab import data
from transferlab.config import DataConfig
from transferlab.data import files, stored
from transferlab.data.arrays import ArraysOnly
from transferlab.data.files import Remote
from transferlab.data.pictures import mnist
from transferlab.errors import DataMissing, UserError


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def small_mnist(tmp_path):
    """A folder in MNIST's layout with 20 + 10 images."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for split, count in (("train", 20), ("test", 10)):
        images, labels = mnist.SPLITS[split]
        (folder / images).write_bytes(gzip.compress(idx(rng.integers(0, 256, (count, 28, 28)))))
        (folder / labels).write_bytes(gzip.compress(idx(np.arange(count) % 10)))
    return folder


def find(name="mnist", root=None, **settings):
    return data.find(name, data.config_class(name)(), DataConfig(root=str(root) if root else None, **settings))


@pytest.fixture(autouse=True)
def offline(monkeypatch, no_data):
    """No machine answers."""

    def refuse(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(files.urllib.request, "urlopen", refuse)
    files._unreachable.clear()


def test_found_under_root_and_environment(small_mnist, monkeypatch):
    assert find(root=small_mnist.parent).edition == "subset-20"
    monkeypatch.setenv("TRANSFERLAB_DATA", str(small_mnist))
    found = find()
    assert labels_are_known(found)
    d = found.load("train")
    assert found.edition == "subset-20" and d.inputs.shape == (20, 1, 28, 28) and d.labels.dtype == np.int64
    assert not d.inputs.flags.writeable
    assert set(d.provenance["files"]) == set(mnist.SPLITS["train"])


def test_torchvisions_layout_unpacked(small_mnist, tmp_path):
    raw = tmp_path / "tv" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in small_mnist.iterdir():
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert np.array_equal(find(root=tmp_path / "tv").load("test").labels, np.arange(10))


def test_auto_takes_the_sample_offline_and_full_names_the_file():
    assert find().edition == "sample"
    for settings in ({"edition": "full"}, {"download": "true"}):
        with pytest.raises(
            UserError, match=r"^mnist: .*put train-images-idx3-ubyte.gz, .* into <data.root>/mnist"
        ) as e:
            find(**settings)
        assert "\n" not in str(e.value)
    with pytest.raises(UserError, match="no sample of svhn"):
        find("svhn", edition="sample")


def damage(path, kind):
    content = path.read_bytes()
    plain = gzip.decompress(content)
    path.write_bytes({
        "truncated": content[: len(content) // 2],
        "no gzip": b"hello" * 100,
        "magic": gzip.compress(b"\1\2\3\4" + plain[4:]),
        "count": gzip.compress(plain[:-1]),
        "empty": b"",
    }[kind])  # fmt: skip


@pytest.mark.parametrize("kind", ["truncated", "no gzip", "magic", "count", "empty"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_file_is_named(small_mnist, kind, which):
    path = small_mnist / mnist.SPLITS["train"][which]
    damage(path, kind)
    with pytest.raises(UserError, match=path.name) as error:
        find(root=small_mnist.parent)
    assert "\n" not in str(error.value)


def test_labels_out_of_range_and_of_another_count(small_mnist):
    path = small_mnist / mnist.SPLITS["train"][1]
    path.write_bytes(gzip.compress(idx(np.full(20, 10))))
    with pytest.raises(UserError, match="labels 10 to 10, allowed are 0 to 9"):
        find(root=small_mnist.parent)
    path.write_bytes(gzip.compress(idx(np.zeros(19))))
    with pytest.raises(UserError, match="labels for 20 images"):
        find(root=small_mnist.parent)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """An address on this machine that serves one file."""
    import urllib.request

    monkeypatch.setattr(files.urllib.request, "urlopen", real_urlopen)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file.bin").write_bytes(b"content" * 1000)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "www"))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/file.bin"
        httpd.shutdown()
    assert urllib.request is not None


real_urlopen = files.urllib.request.urlopen


def test_a_download_is_whole_or_not_there(server):
    right = hashlib.md5(b"content" * 1000).hexdigest()
    path = files.fetch("set", "file.bin", Remote(server, right))
    assert path.read_bytes() == b"content" * 1000 and [p.name for p in path.parent.iterdir()] == ["file.bin"]
    with pytest.raises(ValueError, match="MD5"):
        files.fetch("other", "file.bin", Remote(server, "0" * 32))
    assert list((files.cache_dir() / "other").iterdir()) == []


def test_a_host_that_does_not_answer_is_asked_once(monkeypatch):
    calls = []

    def refuse(url, timeout):
        calls.append(url)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(files.urllib.request, "urlopen", refuse)
    for _ in range(3):
        find()
    assert len(calls) == 1


def test_without_a_home_folder_the_cache_is_left_out(monkeypatch):
    def nobody(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("TRANSFERLAB_DATA", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert files.roots(DataConfig()) == []
    with pytest.raises(DataMissing, match="put svhn.mat into <data.root>/svhn$"):
        files.files_or_sample("svhn", ["svhn"], {"svhn.mat": None}, DataConfig(), sample=False)
    assert stored.kept("x", [1], 5, lambda: [np.arange(5)]).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("home", ["~", "~nobody-of-this-name"])
@pytest.mark.parametrize("words", [
    ["data.root='{}'"], ["source=folder", "source.root='{}/a'"], ["source=features", "source.path='{}/x.npz'"],
    ["hydra.run.dir='{}/run'"], ["resume={}/run"],
])  # fmt: skip
def test_a_tilde_without_a_home_is_one_line(monkeypatch, words, home):
    from transferlab import cli

    def nobody(*_):
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(UserError, match=rf"^{home}\S*: there is no home folder for {home}; write the whole path$"):
        cli.run([*(["method=source_only"] * ("resume" not in words[0])), *(word.format(home) for word in words)])


def described(name, state=None):
    """A pickle's dtype, of kind ``name`` and, where given, with the parts ``state``."""

    class Kind:
        def __reduce__(self):
            return (np.dtype, (name, False, True), *([] if state is None else [state]))

    return Kind()


class Filled:
    """An array as a pickle writes it, of what ``state`` says."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        return np.empty(1).__reduce_ex__(2)[0], (np.ndarray, (0,), b"b"), self.state


@pytest.mark.parametrize(("content", "reason"), [
    (Filled(1, (2,), described("V8", (3, "|", None, ("a",), {"a": (described("O8"), 0)}, 8, 1, 0)), False, b"A" * 16),
     "dtype V8"),
    (Filled(1, (2,), described("O"), False, [1, 2]), "dtype O"), (Filled(1, (2,), described("U4"), False, b"A" * 32),
     "dtype U4"),
    (Filled(1, (2,), described("i8", (3, "<", None, None, None, -1, -1, 63)), False, b"A" * 16), "dtype with parts"),
    (Filled(1, (2,), described("i8", (3, "<", (described("i8"), (2,)), None, None, -1, -1, 0)), False, b"A" * 16),
     "dtype with parts"),
    (Filled(1, (10**9, 10**9), described("u1"), False, b"A"), "but 1 bytes"),
    (Filled(1, (-1, -16), described("u1"), False, b"A" * 16), "not of plain numbers"),
    (Filled(1, (2,), "u1", False, b"AA"), "not of plain numbers"),
])  # fmt: skip
def test_arrays_in_a_pickle_are_plain_numbers(content, reason):
    with pytest.raises(pickle.UnpicklingError, match=reason):
        ArraysOnly(io.BytesIO(pickle.dumps(content, protocol=3))).load()


def test_a_pickle_may_not_call_numpys_classes():
    for call in (b"cnumpy\nndarray\n(I1000000000000\ntR.", b"cnumpy\nndarray\n)\x81."):
        with pytest.raises((TypeError, pickle.UnpicklingError)):
            ArraysOnly(io.BytesIO(b"\x80\x02" + call)).load()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_arrays_in_a_pickle_come_as_they_were(protocol):
    arrays = [np.arange(6, dtype=kind).reshape(2, 3) for kind in ("u1", "<i8", ">f4", "f8")]
    arrays += [np.asfortranarray(arrays[0]), np.array([True, False])]
    content = pickle.dumps(arrays, protocol)
    for ours, theirs in zip(ArraysOnly(io.BytesIO(content)).load(), pickle.loads(content), strict=True):
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
