"""Images by lists of paths and labels; and what is wrong in such a list, by its line."""

import json

import numpy as np
import pytest
from PIL import Image

import transferlab
from tests.conftest import command, done, labels_are_known
from transferlab import data
from transferlab.config import DataConfig
from transferlab.data.pictures import image_list
from transferlab.errors import UserError

GREYS = {"bar": 40, "disc": 120, "ring": 200}


@pytest.fixture
def root(tmp_path):
    """pictures/<class>/<n> of it.png, of a grey level that says both."""
    for name, grey in GREYS.items():
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (grey + number,) * 3).save(tmp_path / "pictures" / name / f"{number} of it.png")
    return tmp_path


def line(name, number, label):
    return f"{name}/{number} of it.png {label}"


def written(root, name, lines):
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(root / name)


def find(base, lines, /, **more):
    options = {"file": written(base, "list.txt", lines), "root": str(base / "pictures"), "size": 8} | more
    return data.find("image_list", image_list.Config(**options), DataConfig())


def refusal(base, lines, /, **more):
    with pytest.raises(UserError) as error:
        find(base, lines, **more)
    assert "\n" not in str(error.value)
    return str(error.value).replace(str(base), "…")


def seen(found):
    """Of each split the pairs of a class and a grey level that it has."""
    assert labels_are_known(found)
    splits = {split: found.load(split) for split in ("train", "test")}
    greys = {split: np.asarray(d.inputs)[:, 0, 0, 0].tolist() for split, d in splits.items()}
    return {split: [(found.classes[label], grey) for label, grey in zip(d.labels, greys[split], strict=True)]
            for split, d in splits.items()}  # fmt: skip


NUMBERED = [line(name, number, label) for label, name in enumerate(GREYS) for number in range(5)]


def test_numbers_names_comments_and_blank_lines(root):
    odd = ["# Office", "", *reversed(NUMBERED), "   ", line("bar", 0, "00"), f"./{line('bar', 1, 0)}"]
    found = find(root, odd)
    assert found.classes == ("0", "1", "2") and found.remark == ""
    told = seen(found)
    whole = sorted(told["train"] + told["test"])
    assert whole == [(str(label), grey + n) for label, grey in enumerate(GREYS.values()) for n in range(5)]
    assert [len(told[split]) for split in told] == [12, 3]
    names = written(root, "names.txt", ["bar", "disc", "ring", "", "star"])
    named = find(root, odd, names=names)
    assert named.classes == ("bar", "disc", "ring") and named.remark == "no images of 1 of 4 names"
    by_name = find(root, [line(name, n, name) for name in GREYS for n in range(5)])
    assert seen(named) == seen(by_name) and len({found.digest, named.digest, by_name.digest}) == 2


def test_paths_may_be_absolute_and_places_relative(root, monkeypatch):
    monkeypatch.chdir(root / "pictures")
    whole = [f"{root}/pictures/{text}" for text in NUMBERED]
    written(root, "pictures/own.txt", whole)
    own = find(root, NUMBERED, file="own.txt", root="")
    assert seen(own) == seen(find(root, NUMBERED)) and own.digest == find(root, NUMBERED).digest
    written(root, "pictures/own.txt", [*NUMBERED, "../elsewhere.png 0"])
    said = refusal(root, NUMBERED, file="own.txt", root="")
    assert said.startswith("own.txt line 16: ../elsewhere.png is not in …/pictures; say root=")


def test_line_ends_tabs_and_marks_of_other_systems(root):
    (root / "odd.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(NUMBERED).replace(".png ", ".png\t").encode())
    assert find(root, NUMBERED, file=str(root / "odd.txt")).digest == find(root, NUMBERED).digest


def test_labels_count_by_number_and_not_by_letter(root):
    lines = [line(name, n, label) for name, label in (("bar", 10), ("disc", 2), ("ring", 0)) for n in range(5)]
    assert find(root, lines).classes == ("0", "2", "10")


def test_a_list_of_its_own_for_testing(root):
    train = [line(name, n, name) for name in GREYS for n in (0, 1)]
    test = written(root, "test.txt", [line(name, n, name) for name in ("bar", "disc") for n in (2, 3, 4)])
    found = find(root, train, test_file=test)
    assert seen(found) == {
        "train": [(name, grey + n) for name, grey in GREYS.items() for n in (0, 1)],
        "test": [(name, GREYS[name] + n) for name in ("bar", "disc") for n in (2, 3, 4)],
    }
    assert found.remark == "no images to test on of ring" and dict(found.idle) == {"test_fraction": "test.txt"}


def test_transductive_takes_all_of_one_list(root):
    told = seen(find(root, NUMBERED, transductive=True))
    assert told["train"] == told["test"] and len(told["test"]) == 15


def test_the_digest_is_of_images_labels_and_parts_and_not_of_places(root):
    found = find(root, NUMBERED)
    other = [*NUMBERED[1:], line("bar", 0, 1)]
    assert find(root, NUMBERED[::-1]).digest == found.digest != find(root, other).digest
    rest = written(root, "test.txt", NUMBERED[1::2])
    assert find(root, NUMBERED[::2], test_file=rest).digest != found.digest
    (root / "elsewhere").mkdir()
    (root / "pictures").rename(root / "elsewhere" / "pictures")
    assert find(root / "elsewhere", NUMBERED).digest == found.digest


ONE = line("bar", 0, 0)
WRONG = {
    "no_label": ([ONE, "", "bar/1.png"], "…/list.txt line 3: bar/1.png has no label; each line is <path> <label>"),
    "no_label_and_spaces": ([ONE, "bar/1 of it.png"], "…/list.txt line 2: bar/1 of it.png has no label; "),
    "missing": ([ONE, "bar/1 of them.png 0"], "…/list.txt line 2: bar/1 of them.png: no such image; did you mean"),
    "missing_folder": (["ba/1.png 0"], "…/list.txt line 1: ba/1.png: no such image; are paths to begin at root=…"),
    "outside": (["../other/1.png 0"], "…/list.txt line 1: ../other/1.png is not in …/pictures; say root=<folder that"),
    "negative": ([ONE, line("bar", 1, -1)], "…/list.txt line 2: label -1 is negative; labels are whole numbers from 0"),
    "two_labels": ([ONE, line("bar", 1, 0), f"bar/../{line('bar', 0, 1)}"],
                   "…/list.txt line 3: bar/0 of it.png has label 1, and 0 in line 1; an image has one"),
    "mixture": ([ONE, line("disc", 0, "disc")],
                "labels are whole numbers or names, not both: …/list.txt line 2: disc and …/list.txt line 1: 0"),
    "one_class": ([ONE, line("bar", 1, 0)], "…/list.txt: needs images of at least 2 classes, has 1"),
    "few": ([ONE, *NUMBERED[5:]], "…/list.txt: class 0 has 1 image, and 2 are needed, of which one is for testing"),
    "empty": (["# nothing"], "…/list.txt: names no image; each line is <path> <label>"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_its_line(root, case):
    lines, said = WRONG[case]
    assert refusal(root, lines).startswith(said)


def test_names_that_do_not_fit(root):
    names = written(root, "names.txt", ["bar", "disc"])
    assert refusal(root, NUMBERED, names=names) == (
        "…/list.txt line 11: label 2 is too large: names has 2, which are 0 to 1"
    )
    words = [line(name, n, name) for name in GREYS for n in range(5)]
    assert "line 1: label bar is no whole number, which names would be for" in refusal(root, words, names=names)
    twice = written(root, "names.txt", ["bar", "disc", "bar"])
    assert refusal(root, NUMBERED, names=twice).startswith("…/names.txt: bar is there twice")
    assert refusal(root, NUMBERED, names=str(root / "none.txt")) == "names=…/none.txt: no such file"


def test_an_image_that_is_in_both_lists(root):
    test = written(root, "test.txt", [NUMBERED[0], NUMBERED[5]])
    said = refusal(root, NUMBERED, test_file=test)
    assert said.startswith("…/test.txt line 1: bar/0 of it.png is in …/list.txt too; leave it out of one; transductive")


def test_the_real_command(root):
    written(root, "pictures/ours.txt", NUMBERED)
    written(root, "theirs.txt", [line(name, n, label) for label, name in enumerate(GREYS) for n in range(4)])
    words = ("method=dann", "source=image_list", "source.file=pictures/ours.txt", "target=image_list",
             "target.file=theirs.txt", "model=lenet", "model.input_size=32", "train.steps=2", "train.batch_size=4",
             "figures=false", "device=cpu", "data.validation=0", "hydra.run.dir=run")  # fmt: skip
    said = command(*words, cwd=root)
    assert said.returncode == 2 and "line 1: bar/0 of it.png: no such image; are paths to begin at" in said.stderr
    done(*words, "target.root=pictures", cwd=root)
    assert transferlab.record(root / "run").results["target_test_count"] == 3
    files = json.loads((root / "run" / "data.json").read_text())["target_test"]["files"]
    assert len(files) == 3 and all(np.isin([name.split("/")[0] for name in files], list(GREYS)))
    for name, first in (("bar", 60), ("disc", 90)):
        Image.new("RGB", (8, 8), (first,) * 3).save(root / "pictures" / name / "new 1.png")
        Image.new("RGB", (8, 8), (first + 1,) * 3).save(root / "pictures" / name / "new 2.png")
    written(
        root, "new.txt", [f"{name}/new {n}.png {label}" for label, name in enumerate(("bar", "disc")) for n in (1, 2)]
    )
    of_new = ("target=image_list", "target.file=new.txt", "target.root=pictures")
    told = command("evaluate", "run=run", *of_new, "out=told.json", cwd=root)
    assert told.returncode == 0, told.stderr
    measured = json.loads((root / "told.json").read_text())
    assert (measured["split"], measured["target_test_count"], measured["left_out"]) == ("unseen", 4, 0)
    said = command(*words[:-1], "target.root=pictures", "target.nams=x", cwd=root)
    assert "target.nams: no such key" in said.stderr
