"""Data sets of vectors, texts and patches, against hand computations and counts known from elsewhere."""

import gzip
import io
import logging
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from tests.conftest import labels_are_known, real_data
from transferlab import data
from transferlab.config import DataConfig
from transferlab.data.generated import _photographs, patches
from transferlab.data.text import newsgroups, reuters
from transferlab.data.vectors import awa1
from transferlab.errors import UserError

needs_data = pytest.mark.skipif(real_data() is None, reason="the full data is not on this machine")


def find(name, root=None, **options):
    settings = DataConfig(root=None if root is None else str(root), download="false")
    return data.find(name, data.config_class(name)(**options), settings)


def one_line(error, *words):
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message


# AwA1


NAMES = ["grizzly+bear", "ox", "bat", "seal"]


def animals(root, **changes):
    """Four classes of five images; the ox is unseen by the one split, the bat by the other."""
    (root / "awa1").mkdir(exist_ok=True)
    labels = np.repeat(np.arange(4, dtype=np.uint8), 5)
    images = {"features": np.stack([labels, np.arange(20), np.ones(20)], 1).astype(np.float16), "labels": labels}
    continuous = np.array([[-1, 50], [20, 0], [1, 2], [3, 4]], np.float32)
    attributes = {
        "class_names": np.array(NAMES), "unseen_classes": np.array([1], np.uint8),
        "ps_unseen_classes": np.array([2], np.uint8), "continuous": continuous,
        "binary": (continuous > 2).astype(np.uint8), "xlsa17_att": continuous / 50, "word_vectors": np.eye(4),
    }  # fmt: skip
    np.savez(root / "awa1" / "features.npz", **{k: changes.get(k, v) for k, v in images.items()})
    np.savez(root / "awa1" / "attributes.npz", **{k: changes.get(k, v) for k, v in attributes.items()})
    return root


def test_awa1_parts_seen_and_unseen_classes(tmp_path, no_data):
    seen, unseen = (find("awa1", animals(tmp_path), part=part) for part in ("seen", "unseen"))
    train, test = seen.load("train"), seen.load("test")
    assert labels_are_known(seen) and labels_are_known(unseen)
    assert seen.classes == ("grizzly+bear", "bat", "seal") and seen.shape == (3,)
    assert np.bincount(train.labels).tolist() == [4, 4, 4] and np.bincount(test.labels).tolist() == [1, 1, 1]
    assert sorted([*train.inputs[:, 1], *test.inputs[:, 1]]) == [*range(5), *range(10, 20)]
    assert (train.inputs[:, 0] == np.array([0, 2, 3])[train.labels]).all() and train.inputs.dtype == np.float32
    assert train.signatures.tolist() == [[0, 50], [1, 2], [3, 4]] and not train.signatures.flags.writeable
    assert unseen.classes == ("ox",) and unseen.load("train").inputs.shape == (0, 3)
    assert unseen.load("test").inputs[:, 1].tolist() == [5, 6, 7, 8, 9]
    assert unseen.load("test").provenance["count"] == 5
    assert find("awa1", tmp_path, part="unseen", split="proposed").classes == ("bat",)
    assert find("awa1", tmp_path, classes=["seal"]).load("test").signatures.tolist() == [[3, 4]]


def test_awa1_signatures_from_names(tmp_path, no_data):
    (tmp_path / "words").mkdir()
    words = np.array(["bear", "ox", "grizzly", "bat", "seal"])
    vectors = np.float16([[1, 2], [5, 6], [3, 5], [7, 8], [9, 9]])
    np.savez(tmp_path / "words" / "glove.npz", words=words, vectors=vectors)
    unseen = find("awa1", animals(tmp_path), part="unseen", signatures="glove", split="proposed")
    assert unseen.load("train").signatures.tolist() == [[7, 8]]
    assert awa1.glove(tmp_path / "words" / "glove.npz", ["grizzly+bear"]).tolist() == [[2, 3.5]]
    np.savez(tmp_path / "words" / "glove.npz", words=words[:4], vectors=vectors[:4])
    with pytest.raises(UserError) as error:
        find("awa1", tmp_path, signatures="glove")
    one_line(error, "glove.npz: has no word seal of class seal")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"continuous": np.float32([[-1, -1], [1, 1], [1, 1], [1, 1]])},
            "class grizzly+bear has no continuous signature",
        ),
        ({"continuous": np.ones((3, 2), np.float32)}, "class seal has no continuous signature"),
        ({"labels": np.zeros(20, np.uint8)}, "features.npz: labels must be 0 to 3"),
        ({"labels": np.zeros(19, np.uint8)}, "labels (19,)"),
        ({"features": np.full((20, 3), np.nan, np.float16)}, "not finite"),
        ({"unseen_classes": np.array([9])}, "attributes.npz: unseen_classes must be some of 0 to 3"),
    ],
)
def test_wrong_awa1_is_named(tmp_path, no_data, changes, words):
    with pytest.raises(UserError) as error:
        find("awa1", animals(tmp_path, **changes))
    one_line(error, words)


def test_what_is_not_there_says_where_it_comes_from(tmp_path, no_data):
    for name, file in (("awa1", "features.npz"), ("reuters", "reuters21578.tar.xz"), ("newsgroups", "20news-bydate")):
        with pytest.raises(UserError) as error:
            find(name, tmp_path, **({"vocabulary": "newsgroups"} if name == "newsgroups" else {}))
        one_line(error, f"{name}: not found; put {file}", "http")
        with pytest.raises(UserError, match="the package has no sample"):
            data.find(name, data.config_class(name)(), DataConfig(edition="sample"))


def test_a_truncated_archive_of_arrays_is_named(tmp_path, no_data):
    path = animals(tmp_path) / "awa1" / "features.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"features\.npz: damaged or not \.npz"):
        find("awa1", tmp_path)


@needs_data
def test_awa1_has_the_published_numbers_of_images():
    unseen = {s: len(find("awa1", real_data(), part="unseen", split=s).load("test")) for s in ("standard", "proposed")}
    assert unseen == {"standard": 6180, "proposed": 5685}
    seen = find("awa1", real_data())
    assert len(seen.classes) == 40 and len(seen.load("train")) + len(seen.load("test")) == 30475 - 6180
    assert set(find("awa1", real_data(), part="unseen").classes) == set(
        (real_data() / "awa1" / "testclasses.txt").read_text().split()
    )


# Your own features


def saved(path, **arrays):
    if path.suffix == ".mat":
        import scipy.io

        scipy.io.savemat(path, arrays)
    else:
        np.savez(path, **arrays)
    return find("features", path=str(path), **({"signatures": "signatures"} if "signatures" in arrays else {}))


def both(found):
    """All rows as (vector, class), whatever their part."""
    parts = [found.load(split) for split in ("train", "test")]
    assert labels_are_known(found)
    return sorted((tuple(x), d.classes[y]) for d in parts for x, y in zip(d.inputs.tolist(), d.labels, strict=True))


VECTORS = np.arange(20.0).reshape(10, 2)


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_features_with_named_classes(tmp_path, suffix):
    labels = np.arange(10) % 2
    names = np.array(["cat", "horse"], dtype=object if suffix == ".mat" else str)
    table = {"features": VECTORS, "labels": labels + (suffix == ".mat"), "classes": names}
    found = saved(tmp_path / f"x{suffix}", **table, signatures=np.eye(2))
    assert found.shape == (2,) and found.classes == ("cat", "horse")
    assert both(found) == [((2.0 * i, 2.0 * i + 1), ("cat", "horse")[i % 2]) for i in range(10)]
    train, test = found.load("train"), found.load("test")
    assert (len(train), len(test)) == (8, 2) and sorted(test.labels) == [0, 1]
    assert train.inputs.dtype == np.float32 and train.signatures.tolist() == [[1, 0], [0, 1]]


def test_features_with_words_for_labels_and_without_names(tmp_path):
    words = np.array(["b", "a"] * 5)
    assert saved(tmp_path / "w.npz", features=VECTORS, labels=words).classes == ("a", "b")
    assert saved(tmp_path / "w.mat", features=VECTORS, labels=words.astype(object)).classes == ("a", "b")
    assert saved(tmp_path / "n.npz", features=VECTORS, labels=np.arange(10) // 5).classes == ("0", "1")
    assert saved(tmp_path / "n.mat", features=VECTORS, labels=np.arange(10) // 5 + 1).classes == ("1", "2")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"features": np.where(VECTORS == 7, np.nan, VECTORS)}, "features row 3, column 1 (from 0) is nan"),
        ({"features": np.where(VECTORS == 4, 1e300, VECTORS)}, "features row 2, column 0 (from 0) is 1e+300"),
        ({"features": np.ones((10, 2, 2))}, "needed are real numbers of shape (N, D)"),
        ({"labels": np.arange(9) % 2}, "features has 10 rows, labels has 9 values"),
        ({"labels": np.array([0, 1] * 4 + [0, 2])}, "labels row 9 (from 0) is 2; allowed are 0 to 1"),
        ({"labels": np.array([0, 1] * 4 + [-1, 1])}, "labels row 8 (from 0) is -1; allowed are 0 to 1"),
        ({"labels": np.arange(10) / 2}, "must hold words or whole numbers, not float64"),
        ({"labels": np.zeros(10, int)}, "class horse has no row in labels"),
        ({"labels": np.array(["cat"] * 8 + ["cow", "horse"])}, "labels row 8 (from 0) is cow; allowed are cat, horse"),
        ({"labels": np.array([0] * 9 + [1])}, "class horse needs rows for training and for testing"),
        ({"signatures": np.eye(3)}, "2 classes, but signatures of 3"),
        ({"classes": np.array(["cat", "cat"])}, "a class is listed twice"),
    ],
)
def test_wrong_features_are_one_clear_line(tmp_path, table, words):
    usual = {"features": VECTORS, "labels": np.arange(10) % 2, "classes": np.array(["cat", "horse"])}
    with pytest.raises(UserError) as error:
        saved(tmp_path / "x.npz", **(usual | table))
    one_line(error, "x.npz: ", words)


def test_files_that_are_no_features(tmp_path):
    with pytest.raises(UserError, match="say which file"):
        find("features")
    with pytest.raises(UserError, match="no such file"):
        find("features", path=str(tmp_path / "x.npz"))
    np.savez(tmp_path / "keys.npz", data=VECTORS, labels=np.arange(10) % 2)
    with pytest.raises(UserError, match="has no array 'features'; it holds data, labels"):
        find("features", path=str(tmp_path / "keys.npz"))
    np.savez(tmp_path / "code.npz", features=np.array([print], dtype=object), labels=np.zeros(1))
    np.save(tmp_path / "array.npy", VECTORS)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for name in ("rubbish.npz", "rubbish.mat", "rubbish.csv.gz"):
        (tmp_path / name).write_bytes(b"rubbish")
    with pytest.raises(UserError, match="code.npz: features holds Python objects"):
        find("features", path=str(tmp_path / "code.npz"))
    for name in ("array.npz", "rubbish.npz", "rubbish.mat", "rubbish.csv.gz"):
        with pytest.raises(UserError, match=f"{name}: damaged or not") as error:
            find("features", path=str(tmp_path / name))
        one_line(error)


def test_matlabs_newest_format_is_named(tmp_path):
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "new.mat").write_bytes(header.ljust(600, b"\0"))
    with pytest.raises(UserError) as error:
        find("features", path=str(tmp_path / "new.mat"))
    one_line(error, "new.mat: ", "save it with -v7")


def table(path, *lines):
    path.write_bytes(gzip.compress("\n".join(lines).encode()) if path.suffix == ".gz" else "\n".join(lines).encode())
    return path


@pytest.mark.parametrize("name", ["songs.csv", "songs.csv.gz"])
def test_rows_of_one_song_stay_together(tmp_path, name):
    lines = [f"{g}.{song}.{part}.wav,{song + part},{part}e-1,{g}" for g in ("pop", "jazz") for song in range(6)
             for part in range(3)]  # fmt: skip
    path = table(tmp_path / name, "file,tempo,rms,genre", *lines)
    found = find(
        "features", path=str(path), labels="genre", group="file", group_pattern=r"^\w+\.\d+", test_fraction=0.3
    )
    train, test = found.load("train"), found.load("test")
    assert found.classes == ("jazz", "pop") and found.shape == (2,)
    assert (len(train), len(test)) == (24, 12) and np.bincount(test.labels).tolist() == [6, 6]
    song = [{(int(y), round(x[0] - 10 * x[1])) for x, y in zip(d.inputs, d.labels, strict=True)} for d in (train, test)]
    assert labels_are_known(found) and not song[0] & song[1] and len(song[0] | song[1]) == 12
    assert sorted(np.unique(train.groups, return_counts=True)[1].tolist()) == [3] * 8
    with pytest.raises(UserError) as error:
        find("features", path=str(path), labels="genre", group="file", group_pattern="x")
    one_line(error, "row 0 (from 0): group_pattern finds nothing in pop.0.0.wav")


def test_wrong_tables_are_named(tmp_path):
    for lines, words in (
        (["a,label", "1,x", "2"], "row 1 (from 0) has 1 cells, the header 2"),
        (["a,label", "1,x", "two,x"], "row 1 (from 0), column a is 'two', not a finite number"),
        (["a,label", "1,x", "inf,x"], "row 1 (from 0), column a is 'inf', not a finite number"),
        (["a,b", "1,x"], "has no column label; its header is a, b"),
        (["a,label", "x,y"], "has no numeric column besides label"),
        (["a,label"], "has no rows"),
        (["a,label", "1,x", "0.5"], "row 1 (from 0) has 1 cells"),
        ([], "has no column label"),
    ):
        with pytest.raises(UserError) as error:
            find("features", path=str(table(tmp_path / "t.csv", *lines)), labels="label")
        one_line(error, "t.csv: ", words)


def test_a_table_with_numbers_for_labels(tmp_path):
    path = table(tmp_path / "t.csv", "a,label", "1,0", "2,1", "3,0", "4,1")
    assert find("features", path=str(path), labels="label").classes == ("0", "1")


# Tables as programs write them


ROWS = [[f"{v:.2f}" for v in row] + [word] for row, word in zip(np.sin(VECTORS * 7), ["cat", "dog"] * 5, strict=True)]


def lines(*extra, delimiter=",", header="f0,f1,labels", rows=ROWS):
    return "\n".join([header.replace(",", delimiter), *(delimiter.join(row) for row in rows), *extra])


@pytest.mark.parametrize(("name", "content"), [
    ("bom.csv", lines(header="f0,f1,labels").encode("utf-8-sig")),
    ("bom_first.csv", lines(header="labels,f0,f1", rows=[[r[2], *r[:2]] for r in ROWS]).encode("utf-8-sig")),
    ("utf16.csv", lines().encode("utf-16")), ("utf16be.csv", b"\xfe\xff" + lines().encode("utf-16-be")),
    ("crlf.csv", lines().replace("\n", "\r\n\r\n").encode()), ("semicolon.csv", lines(delimiter=";").encode()),
    ("tab.tsv", lines(delimiter="\t").encode()), ("UPPER.CSV", lines().encode()),
    ("spaces.csv", lines(delimiter=", ").encode()), ("packed.tsv.gz", gzip.compress(lines(delimiter="\t").encode())),
    ("quoted.csv", lines(header='"f0","f1","labels"').encode()),
])  # fmt: skip
def test_tables_in_the_forms_that_programs_write(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    found = find("features", path=str(tmp_path / name))
    assert found.classes == ("cat", "dog") and found.shape == (2,) and found.remark == ""
    assert both(found)[0][0] == pytest.approx(min(tuple(map(float, row[:2])) for row in ROWS))


def test_another_encoding_is_read_and_said(tmp_path):
    (tmp_path / "x.csv").write_bytes(lines().replace("cat", "caf\u00e9").encode("latin-1"))
    found = find("features", path=str(tmp_path / "x.csv"))
    assert found.classes == ("caf\u00e9", "dog") and "read as latin-1" in found.remark


@pytest.mark.parametrize(("content", "words"), [
    (lines(",0.5,cat"), "row 10 (from 0), column f0 is '', not a finite number"),
    (lines(rows=[["", *ROWS[0][1:]], *ROWS[1:]]), "row 0 (from 0), column f0 is '', not a finite number"),
    (lines(rows=[["NA", *ROWS[0][1:]], ["", *ROWS[1][1:]], *ROWS[2:]]), "row 0 (from 0), column f0 is 'NA', not a "
     "finite number, and 1 more"),
    (lines("1,2,", "3,4, "), "labels: rows 10, 11 (from 0) have no label; 2 of 12 rows"),
    (lines("1,2,nan"), "labels: row 10 (from 0) has no label"),
    (lines(delimiter=";").replace(".", ","), "has decimal commas, such as"),
    (lines(header="1.5,2.5,cat"), "has no column labels; its header is 1.5, 2.5, cat; it seems to have none"),
    (lines(header="f0,f1,label"), "did you mean label"), (lines() + "\0\0", "it has zero bytes"),
    (lines(header="labels,f1,labels"), "2 columns are called labels"),
    (lines(header=",".join(f"c{i}" for i in range(500))), "c0, c1, c2, … (500 columns)"),
])  # fmt: skip
def test_tables_with_gaps_are_refused_with_the_place(tmp_path, content, words):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(UserError) as error:
        find("features", path=str(tmp_path / "x.csv"))
    one_line(error, "x.csv: ", words)


@pytest.mark.parametrize(("name", "numbers", "kept"), [
    ("", range(40), False), ("Unnamed: 0", range(40), False), ("index", range(1, 41), False), ("ID", range(40), False),
    ("index", range(5, 125, 3), False), ("count", range(40), False), ("year", range(1980, 2020), True),
    ("id", [3, 1] * 20, True), ("id", [7 * i % 40 for i in range(40)], False), ("", range(99, 59, -1), False),
    ("size", [7 * i % 40 for i in range(40)], True),
])  # fmt: skip
def test_a_row_number_is_no_feature(tmp_path, name, numbers, kept):
    rows = [[str(i), f"{np.sin(i):.3f}", "cat" if row < 20 else "dog"] for row, i in enumerate(numbers)]
    (tmp_path / "x.csv").write_text(lines(header=f"{name},f,labels", rows=rows))
    found = find("features", path=str(tmp_path / "x.csv"))
    assert found.shape == (1 + kept,)
    assert found.remark == ("" if kept else f"column {name or 0} of row numbers passed over")


def test_a_column_is_judged_by_all_its_rows(tmp_path):
    rows = [["7" if i == 0 else f"file{i}", *row] for i, row in enumerate(ROWS)]
    (tmp_path / "x.csv").write_text(lines(header="name,f0,f1,labels", rows=rows))
    found = find("features", path=str(tmp_path / "x.csv"))
    assert found.shape == (2,) and found.remark == "column name of words passed over"
    (tmp_path / "y.csv").write_text(lines(rows=[[*row[:2], f"0{i % 2}"] for i, row in enumerate(ROWS)]))
    assert find("features", path=str(tmp_path / "y.csv")).classes == ("00", "01")


# Labels and sparse matrices


@pytest.mark.parametrize(("labels", "classes"), [
    ([1, 2], ("1", "2")), ([-1, 1], ("-1", "1")), ([0.0, 1.0], ("0", "1")), ([False, True], ("0", "1")),
    ([b"cat", b"dog"], ("cat", "dog")),
])  # fmt: skip
@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_labels_that_count_from_one_or_are_signs(tmp_path, labels, classes, suffix):
    values = np.array(labels * 5)
    assert saved(tmp_path / f"x{suffix}", features=VECTORS, labels=values).classes == classes


@pytest.mark.parametrize(("labels", "words"), [
    ([1440764, 2084071], "2 different numbers, 1440764 to 2084071; count classes from 0 or 1"),
    ([0, 4_000_000_000], "0 to 4000000000"), (np.array([0, 2**63 + 5], np.uint64), "0 to 9223372036854775813"),
    ([0, 2], "class 1 has no row in labels; count"), ([0.5, 1], "such as 0.5"), ([0, np.nan], "have no label"),
    ([0, np.inf], "have no label"), (["cat", ""], "have no label"),
    (np.array(["cat", "dog"], object), "labels holds Python objects, as a column of pandas does; save words with "
     ".astype(str)"),
])  # fmt: skip
def test_other_labels_are_one_short_line_whatever_their_size(tmp_path, labels, words):
    with pytest.raises(UserError) as error:
        saved(tmp_path / "x.npz", features=VECTORS, labels=np.array([*labels] * 5, np.asarray(labels).dtype))
    one_line(error, words)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("low", [-1, -2, 5])
def test_labels_without_gaps_that_begin_elsewhere(tmp_path, low):
    with pytest.raises(UserError) as error:
        saved(tmp_path / "x.npz", features=VECTORS, labels=np.arange(10) % 2 + low)
    one_line(error, f"labels are 2 different numbers, {low} to {low + 1}")


@pytest.mark.parametrize("missing", ["NA", "NULL", "None", "<NA>", "n/a"])
def test_what_programs_write_for_no_label_is_none(tmp_path, missing):
    words = np.where(np.arange(10) < 4, missing, np.array(["a", "b"] * 5))
    with pytest.raises(UserError) as error:
        saved(tmp_path / "x.npz", features=VECTORS, labels=words)
    one_line(error, "labels: rows 0, 1, 2, … (from 0) have no label; 4 of 10 rows")
    assert saved(tmp_path / "y.npz", features=VECTORS, labels=words, classes=["a", "b", missing]).classes[2] == missing


def test_class_names_are_one_line_and_accents_are_coded_in_one_way(tmp_path):
    words = np.array(["e\u0301t\u00e9", "\u00e9te\u0301", "two\nlines"] * 4)
    np.savez(tmp_path / "x.npz", features=np.arange(24.0).reshape(12, 2), labels=words)
    found = find("features", path=str(tmp_path / "x.npz"))
    assert found.classes == ("\u00e9t\u00e9", "two\\nlines")
    assert find("features", path=str(tmp_path / "x.npz"), classes=["e\u0301te\u0301"]).classes == ("\u00e9t\u00e9",)
    with pytest.raises(UserError, match="a class has no name"):
        saved(tmp_path / "y.npz", features=VECTORS, labels=np.arange(10) % 2, classes=["a", ""])


def test_labels_in_another_shape_say_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"seems to be transposed"):
        saved(tmp_path / "x.mat", features=VECTORS.T, labels=np.arange(10) % 2)
    with pytest.raises(UserError, match=r"save labels\.argmax\(1\)"):
        saved(tmp_path / "x.npz", features=VECTORS, labels=np.eye(2)[np.arange(10) % 2])


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_sparse_matrices_are_read(tmp_path, kind):
    import scipy.io
    import scipy.sparse

    matrix, labels = scipy.sparse.coo_matrix(VECTORS * (VECTORS % 3 == 0)).asformat(kind), np.arange(10) % 2 + 1
    scipy.io.savemat(tmp_path / "x.mat", {"features": matrix, "labels": scipy.sparse.csc_matrix(labels[:, None] * 1.0)})
    scipy.sparse.save_npz(tmp_path / "x.npz", matrix)
    with pytest.raises(UserError, match="has no array 'labels'"):
        find("features", path=str(tmp_path / "x.npz"))
    with np.load(tmp_path / "x.npz") as parts:
        np.savez(tmp_path / "y.npz", labels=labels, **parts)
    for name in ("x.mat", "y.npz"):
        found = find("features", path=str(tmp_path / name))
        assert found.classes == ("1", "2")
        assert [row for row, _ in both(found)] == sorted(map(tuple, matrix.toarray().tolist()))


@pytest.mark.parametrize(("change", "words"), [
    ({"indices": np.array([0, 99])}, "not a sparse matrix"), ({"shape": np.array([10**6, 10**6])}, "not a sparse"),
    ({"shape": np.array([2, 2**30])}, "too large"), ({"format": np.array("bsr")}, "not a sparse"),
])  # fmt: skip
def test_damaged_sparse_matrices_are_named(tmp_path, change, words):
    parts = {"data": np.ones(2), "indices": np.array([0, 1]), "indptr": np.array([0, 1, 2]), "shape": np.array([2, 2]),
             "format": np.array("csr"), "labels": np.array([0, 1])}  # fmt: skip
    np.savez(tmp_path / "x.npz", **(parts | change))
    with pytest.raises(UserError) as error:
        find("features", path=str(tmp_path / "x.npz"))
    one_line(error, "x.npz: ", words)


# Official rows and scaling


def test_official_training_and_test_rows(tmp_path):
    part = np.array(["train"] * 6 + ["Test"] * 4)
    np.savez(tmp_path / "x.npz", features=VECTORS, labels=np.arange(10) % 2, part=part)
    found = find("features", path=str(tmp_path / "x.npz"), split="part")
    assert found.load("train").inputs.tolist() == VECTORS[:6].tolist() and len(found.load("test")) == 4
    rows = [[*row[:2], word, row[2]] for row, word in zip(ROWS, part, strict=True)]
    (tmp_path / "x.csv").write_text(lines(header="f0,f1,part,labels", rows=rows))
    assert len(find("features", path=str(tmp_path / "x.csv"), split="part").load("train")) == 6
    for wrong, words in ((part[::-1], "is 'dev'"), (np.array(["train"] * 10), "says test of no row"),
                         (np.array(["train", "test"] * 5), "class 1 has no row of part train")):  # fmt: skip
        wrong = np.where(np.arange(10) == 3, "dev", wrong) if "dev" in words else wrong
        np.savez(tmp_path / "y.npz", features=VECTORS, labels=np.arange(10) % 2, part=wrong)
        with pytest.raises(UserError) as error:
            find("features", path=str(tmp_path / "y.npz"), split="part")
        one_line(error, words)


def test_rows_are_scaled_as_scikit_learn_does(tmp_path):
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    counts = np.random.default_rng(0).poisson(0.7, (30, 6)).astype(np.float32)
    counts[3] = 0
    np.savez(tmp_path / "x.npz", features=counts, labels=np.arange(30) % 2)
    raw = find("features", path=str(tmp_path / "x.npz"))
    train, test = (raw.load(split).inputs for split in ("train", "test"))
    expected = {"unit": normalize(test), "sum": normalize(test, "l1"),
                "tfidf": TfidfTransformer().fit(train).transform(test).toarray()}  # fmt: skip
    for scaling, theirs in expected.items():
        ours = find("features", path=str(tmp_path / "x.npz"), scaling=scaling).load("test").inputs
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


# Texts


def story(split, topics, body, indexed="YES", title="TITLE"):
    marked = "".join(f"<D>{topic}</D>" for topic in topics)
    text = f"<TITLE>{title}</TITLE><DATELINE> LONDON, June 1 - </DATELINE><BODY>{body}\n Reuter\n&#3;</BODY>"
    return (
        f'<REUTERS TOPICS="{indexed}" LEWISSPLIT="{split}" OLDID="1" NEWID="1">\n<TOPICS>{marked}</TOPICS>\n'
        f"<PLACES><D>uk</D></PLACES>\n<TEXT>&#2;\n{text}</TEXT>\n</REUTERS>\n"
    )


TRAIN = [(["earn"], "profit profit wheat 1987"), (["acq"], "merger &lt;profit>"), (["earn", "acq"], "merger wheat"),
         ([], "unindexed profit"), (["alum"], "aluminium")]  # fmt: skip
TEST = [(["earn"], "wheat profit unheard"), (["acq"], "unheard")]


def reuters_files(root, **changes):
    folder = root / "reuters21578"
    folder.mkdir(exist_ok=True)
    stories = [story("TRAIN", *s) for s in TRAIN] + [story("TEST", *s) for s in TEST]
    stories += [story("TRAIN", ["earn"], "bypassed", "BYPASS").replace("BODY>", "OTHER>")]
    for i, name in enumerate(reuters.FILES):
        content = stories[i] if i < len(stories) else story("NOT-USED", [], "profit", title="")
        (folder / name).write_text('<!DOCTYPE lewis SYSTEM "lewis.dtd">\n' + content, encoding="latin-1")
    return root


def packed(source, path, folder):
    with tarfile.open(path, "w:xz") as archive:
        archive.add(source, folder)


def test_reuters_by_hand(tmp_path, no_data, caplog):
    root = reuters_files(tmp_path)
    with caplog.at_level(logging.INFO):
        found = find("reuters", root, words=3, weights="counts")
        train, test = found.load("train"), found.load("test")
    assert found.classes == reuters.CLASSES and found.shape == (3,)
    # Columns merger, profit, title: wheat is as frequent as merger, and the first of the alphabet is taken.
    assert train.inputs.tolist() == [[0, 2, 1], [1, 1, 1]] and train.labels.tolist() == [0, 1]
    assert test.inputs.tolist() == [[0, 1, 1], [0, 0, 1]] and test.labels.tolist() == [0, 1]
    assert train.inputs.dtype == np.float32 and train.provenance["left_out"] == 0
    binary = find("reuters", root, words=3, weights="binary").load("train")
    assert binary.inputs.tolist() == [[0, 1, 1], [1, 1, 1]]


def test_reuters_without_labels_has_every_story_with_a_body(tmp_path, no_data):
    found = find("reuters", reuters_files(tmp_path), words=3, labels="none")
    train, test = found.load("train"), found.load("test")
    assert found.classes == () and train.labels is None
    assert (len(train), len(test)) == (5 + 14, 2)
    assert np.allclose(np.linalg.norm(train.inputs, axis=1), 1)


def test_tfidf_by_hand(tmp_path, no_data):
    row = find("reuters", reuters_files(tmp_path), words=3).load("train").inputs[0]
    # 19 training stories with a body; profit is in 3 + 14, title in 5 of them; scikit-learn's smoothed idf
    idf = np.log((1 + 19) / (1 + np.array([17, 5]))) + 1
    assert np.allclose(row, np.array([0, 2 * idf[0], idf[1]]) / np.hypot(2 * idf[0], idf[1]))


def test_an_archive_holds_what_its_folder_holds(tmp_path, no_data):
    folder, archive = tmp_path / "folder", tmp_path / "archive" / "reuters21578"
    folder.mkdir()
    archive.mkdir(parents=True)
    packed(reuters_files(folder) / "reuters21578", archive / "reuters21578.tar.xz", "reuters21578")
    both_ways = [find("reuters", root, words=3).load("train").inputs for root in (folder, archive.parent)]
    assert np.array_equal(*both_ways)


def test_damaged_reuters_is_named(tmp_path, no_data):
    for i, damage in enumerate(("</REUTERS>", "</TOPICS>", "LEWISSPLIT")):
        (tmp_path / str(i)).mkdir()
        path = reuters_files(tmp_path / str(i)) / "reuters21578" / reuters.FILES[3]
        path.write_text(path.read_text().replace(damage, ""))
        with pytest.raises(UserError) as error:
            find("reuters", tmp_path / str(i), words=3).load("train")
        one_line(error, reuters.FILES[3], "damaged or truncated")
    (tmp_path / "whole").mkdir()
    whole = reuters_files(tmp_path / "whole") / "reuters21578"
    (tmp_path / "cut" / "reuters21578").mkdir(parents=True)
    archive = tmp_path / "cut" / "reuters21578" / "reuters21578.tar.xz"
    packed(whole, archive, "reuters21578")
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(UserError) as error:
        find("reuters", tmp_path / "cut", words=3).load("train")
    one_line(error, "reuters21578.tar.xz: damaged or truncated")
    with tarfile.open(archive, "w:xz") as some:
        some.add(whole / reuters.FILES[0], "reuters21578/reut2-000.sgm")
    with pytest.raises(UserError, match=r"reut2-021\.sgm missing"):
        reuters.stories((archive,))


def test_too_few_words(tmp_path, no_data):
    with pytest.raises(UserError, match="words=500: the training texts of reuters have only"):
        find("reuters", reuters_files(tmp_path)).load("train")


def news(root, train="goal wheat", test="goal puck", last=newsgroups.CLASSES[-1]):
    for part, text in (("train", train), ("test", test)):
        for i, group in enumerate(newsgroups.CLASSES):
            folder = root / "20news" / f"20news-bydate-{part}" / (last if i == 19 else group)
            folder.mkdir(parents=True)
            words = text if i else "zebra"
            (folder / "1").write_text(
                f"From: secret@x\nSubject: hidden\n\nX writes:\n> quoted\n{words}\n\n--\nsigned\n"
            )
    return root


def test_newsgroups_over_the_words_of_reuters(tmp_path, no_data, caplog):
    found = find("newsgroups", news(reuters_files(tmp_path), train="wheat profit profit"), words=4, weights="counts")
    with caplog.at_level(logging.INFO):
        train = found.load("train")
    # columns merger, profit, title, wheat; the first group's only message has none of them
    assert train.inputs.tolist() == [[0, 2, 0, 1]] * 19 and train.labels.tolist() == [*range(1, 20)]
    assert "newsgroups train: 1 of 20 documents hold no word of the vocabulary" in caplog.text
    with pytest.raises(UserError, match="no test document holds a word of vocabulary=reuters"):
        found.load("test")


def test_newsgroups_words_come_from_its_training_part_without_headers(tmp_path, no_data):
    found = find("newsgroups", news(tmp_path), vocabulary="newsgroups", words=3, weights="counts")
    assert found.load("test").inputs.tolist() == [[0, 0, 1]] + [[1, 0, 0]] * 19  # goal, wheat, zebra; no puck
    with pytest.raises(UserError, match="have only 3 words"):
        find("newsgroups", tmp_path, vocabulary="newsgroups", words=4).load("train")


def test_other_folders_are_not_newsgroups(tmp_path, no_data):
    with pytest.raises(UserError, match=r"alt\.fan/1 instead of"):
        find("newsgroups", news(tmp_path / "a", last="alt.fan"), vocabulary="newsgroups").load("train")
    (news(tmp_path / "b") / "20news" / "20news-bydate-test" / "sci.med" / "1").unlink()
    with pytest.raises(UserError, match=r"no test messages of sci\.med"):
        find("newsgroups", tmp_path / "b", vocabulary="newsgroups").load("train")


def test_finding_texts_imports_nothing_slow(tmp_path):
    news(reuters_files(tmp_path))
    code = (
        "import sys; from transferlab import data; from transferlab.config import DataConfig\n"
        f"for name in ('reuters', 'newsgroups', 'patches'):\n"
        f"    data.find(name, data.config_class(name)(), DataConfig(root={str(tmp_path)!r}))\n"
        "assert not {'torch', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_data
def test_reuters_is_reuters():
    """Counts of R52 (Cardoso-Cachopo 2007), the single-topic stories of ModApte; all bodies as counted elsewhere."""
    topics, unlabelled = find("reuters", real_data()), find("reuters", real_data(), labels="none")
    paths = reuters.locate(DataConfig(root=str(real_data())))
    stories = [s for s in reuters.stories(paths) if s.indexed and len(s.topics) == 1]
    published = {
        "train": [2840, 1596, 253, 251, 206, 190, 123, 108, 97, 90],
        "test": [1083, 696, 121, 75, 87, 81, 28, 36, 25, 22],
    }
    for split, counts in published.items():
        assert [sum(s.topics[0] == c and s.split == split.upper() for s in stories) for c in topics.classes] == counts
        d = topics.load(split)
        assert len(d) + d.provenance["left_out"] == sum(counts) and d.provenance["left_out"] < 10
    assert len(reuters.unlabelled(paths, "train")) + len(reuters.unlabelled(paths, "test")) == 19043
    assert unlabelled.load("test").inputs.shape[1] == 500


@needs_data
def test_newsgroups_agree_with_scikit_learn(tmp_path):
    from sklearn.datasets import load_files

    paths = newsgroups.locate(DataConfig(root=str(real_data())))
    (train, labels), (test, _) = newsgroups.messages(paths)
    assert 11200 <= len(train) <= 11314 and 7500 <= len(test) <= 7532
    with tarfile.open(paths[0]) as archive:
        archive.extractall(tmp_path, [m for m in archive if "train/sci.space/" in m.name], filter="data")
    theirs = load_files(str(tmp_path / "20news-bydate-train"), encoding="latin-1", shuffle=False).data
    space = np.flatnonzero(labels == newsgroups.CLASSES.index("sci.space"))
    bodies = {message.partition("\n\n")[2] for message in theirs}
    assert len(space) == len(theirs)
    assert all(any(train[i][:200].splitlines()[0] in body for body in bodies) for i in space[:20] if train[i])


# Patches


@pytest.mark.parametrize("colour", [False, True])
def test_patches_are_unlabelled_pieces(no_data, colour):
    options = {"size": 9, "count": 40, "colour": colour}
    found = find("patches", **options)
    train, test = found.load("train"), found.load("test")
    assert train.labels is None and found.classes == train.classes == () and found.edition == "sample"
    assert train.inputs.shape == (40, *found.shape) == (40, 3 if colour else 1, 9, 9) and len(test) == 8
    assert train.inputs.dtype == np.uint8
    again, other = find("patches", **options), find("patches", **options, seed=1)
    assert np.array_equal(again.load("train").inputs, train.inputs)
    assert not np.array_equal(other.load("train").inputs, train.inputs)


def test_grey_is_pillows():
    colours = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    for picture, luma in zip(colours, patches.grey(colours)[:, 0], strict=True):
        assert np.array_equal(luma, np.asarray(Image.fromarray(picture.transpose(1, 2, 0)).convert("L")))


def test_patches_of_bsds500_where_it_is(tmp_path, no_data):
    for i, part in enumerate(("train", "test")):
        (tmp_path / "BSDS500" / "data" / "images" / part).mkdir(parents=True)
        buffer = io.BytesIO()
        Image.new("RGB", (50, 40), (100 * i, 100 * i, 100 * i)).save(buffer, "jpeg")
        (tmp_path / "BSDS500" / "data" / "images" / part / "1.jpg").write_bytes(buffer.getvalue())
    found = find("patches", tmp_path, count=10)
    assert found.edition == "bsds500-1+1"
    assert (found.load("train").inputs == 0).all() and (found.load("test").inputs > 90).all()
    with pytest.raises(UserError, match="data.edition=full: BSDS500 not found; put BSDS500/data/images"):
        data.find("patches", patches.Config(), DataConfig(edition="full"))
    with pytest.raises(UserError, match="allowed is 4 to 128 pixels"):
        patches.Config(size=200)


@pytest.mark.parametrize("counts, held_out, edition", [
    ((200, 200), "test", "full"), ((200, 100), "test", "bsds500-200+100"), ((200, 200), "val", "bsds500-200+200"),
])  # fmt: skip
def test_only_all_of_bsds500_is_called_full(tmp_path, no_data, counts, held_out, edition):
    for part, count in zip(("train", held_out), counts, strict=True):
        (tmp_path / "BSDS500" / "data" / "images" / part).mkdir(parents=True)
        for i in range(count):
            (tmp_path / "BSDS500" / "data" / "images" / part / f"{i}.jpg").touch()
    assert find("patches", tmp_path).edition == edition


def test_the_largest_patches_fit_the_packaged_photographs():
    assert all(min(p.shape[:2]) >= 128 for split in ("train", "test") for p in _photographs.packaged().read(split))
