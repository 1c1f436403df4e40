"""What a run says of its data that is well formed, but will mislead: rare classes, images of both training and test."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.conftest import done
from transferlab.data.contract import Dataset
from transferlab.data.split import repeated

WORDS = ("source=folder", "source.root=ours", "target=folder", "target.root=theirs", "model=lenet", "figures=false",
         "model.input_size=32", "train.steps=2", "train.batch_size=4", "device=cpu", "data.validation=0",
         "hydra.run.dir=run")  # fmt: skip


def pictures(folder, count, first):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (32, 32), (first, number, 0)).save(folder / f"{number}.png")


@pytest.fixture
def domains(tmp_path):
    """Divided folders of 30 and 2 training images, of 4 and 4 of each class."""
    for place, (root, rare) in enumerate((("ours", 2), ("theirs", 4))):
        for label, (name, count) in enumerate((("cat", 30 if rare == 2 else 4), ("dog", rare))):
            pictures(tmp_path / root / "train" / name, count, 100 * place + 20 * label)
            pictures(tmp_path / root / "test" / name, 3, 100 * place + 20 * label + 10)
    return tmp_path


def said(domains, *more):
    done(*WORDS, *more, cwd=domains)
    return (domains / "run" / "run.log").read_text(encoding="utf-8")


def test_a_rare_class_is_named_with_both_counts_and_clean_domains_get_no_warning(domains):
    log = said(domains, "method=source_only")
    source, target = (re.search(rf"{role}: (.*)", log)[1] for role in ("source", "target"))
    assert source.endswith("few to train on: dog 2, beside cat 30") and "few to train" not in target
    assert "byte for byte" not in log
    Image.new("RGB", (32, 32), 200).save(domains / "ours/train/dog/2.png")  # now it has a tenth, which is not under it
    shutil.rmtree(domains / "run")
    assert "few to train" not in said(domains, "method=source_only")


@pytest.mark.parametrize(("method", "warned"), [("source_only", True), ("target_only", False)])
def test_target_test_images_that_the_source_trains_on_are_named(domains, method, warned):
    shutil.copy(domains / "ours/train/cat/7.png", domains / "theirs/test/cat/0.png")
    shutil.copy(domains / "ours/test/cat/1.png", domains / "theirs/test/cat/1.png")  # nothing is learned from that
    shutil.copy(domains / "ours/train/cat/8.png", domains / "theirs/train/cat/1.png")  # nothing is tested on that
    log = said(domains, f"method={method}")
    warning = "1 target test image is among the source's training images, byte for byte: "
    assert (f"{warning}train/cat/7.png = test/cat/0.png" in log) == warned
    assert log.count("among the source's") == warned


def test_only_rows_that_are_learned_from_count():
    def part(**files):
        return Dataset(np.zeros((len(files), 1), np.float32), None, (), {"files": files})

    train, test = part(a="x", b="y", c="x"), part(d="x", e="y", f="z")
    assert repeated(train, np.array([0, 1, 2]), test) == ["a = d", "b = e"]
    assert repeated(train, np.array([2]), test) == ["c = d"]
    assert repeated(train, np.array([], int), test) == []
    assert repeated(Dataset(np.zeros((2, 1), np.float32), None, (), {"files": {"all": "x"}}), np.arange(2), test) == []
