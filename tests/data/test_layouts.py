"""Published sets of several domains, in the layouts that people have them in: tiny trees with the same names."""

import numpy as np
import pytest
from PIL import Image

import transferlab
from tests.conftest import done, labels_are_known
from transferlab import data
from transferlab.config import DataConfig
from transferlab.errors import DataMissing, UserError

LAYOUTS = {
    "office_home": [
        {"art": "office_home/Art", "clipart": "office_home/Clipart", "product": "office_home/Product",
         "real_world": "office_home/Real World"},
        {"art": "OfficeHome/Art", "real_world": "OfficeHome/RealWorld"},
        {"art": "OfficeHomeDataset_10072016/Art", "real_world": "OfficeHomeDataset_10072016/Real World"},
        {"art": "office_home/art", "clipart": "office_home/clipart", "product": "office_home/product",
         "real_world": "office_home/real_world"},
    ],
    "visda2017": [
        {"synthetic": "visda2017/train", "real": "visda2017/validation"},
        {"synthetic": "visda17/train", "real": "visda17/validation"},
    ],
    "domainnet": [{name: f"domain_net/{name}" for name in ("clipart", "infograph", "painting", "quickdraw", "real")}],
    "vlcs": [{"caltech101": "VLCS/Caltech101", "labelme": "VLCS/LabelMe", "sun09": "VLCS/SUN09",
              "voc2007": "VLCS/VOC2007"}],
    "office31": [
        {"amazon": "office31/amazon/images", "dslr": "office31/dslr/images", "webcam": "office31/webcam/images"},
        {"amazon": "office31/amazon", "dslr": "office31/dslr", "webcam": "office31/webcam"},
    ],
}  # fmt: skip
CLASSES = {"office_home": ("Alarm_Clock", "Backpack"), "visda2017": ("aeroplane", "train"), "vlcs": ("bird", "person"),
           "domainnet": ("The_Mona_Lisa", "zebra"), "office31": ("back_pack", "bike")}  # fmt: skip
CASES = [(name, number) for name, layouts in LAYOUTS.items() for number in range(len(layouts))]


def pictures(folder, grey, count=5):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (10, 8), (grey + number,) * 3).save(folder / f"{number}.png")


def find(root, name, **options):
    config = data.config_class(name)(size=8, **options)
    return data.find(name, config, DataConfig(root=str(root), download="false"))


def greys(found):
    """Of each split and class the grey levels of its images."""
    assert labels_are_known(found)
    sets = {split: found.load(split) for split in ("train", "test")}
    values = {split: np.asarray(d.inputs)[:, 0, 0, 0] for split, d in sets.items()}
    return {split: {name: sorted(values[split][d.labels == label].tolist()) for label, name in enumerate(found.classes)}
            for split, d in sets.items()}  # fmt: skip


@pytest.mark.parametrize(("name", "number"), CASES)
def test_each_domain_is_found_with_its_classes(tmp_path, no_data, name, number):
    layout = LAYOUTS[name][number]
    for place, folder in enumerate(layout.values()):
        for label, each in enumerate(CLASSES[name]):
            pictures(tmp_path / folder / each, 50 * place + 10 * label)
    (tmp_path / next(iter(layout.values())) / "image_list.txt").write_text("bird/0.png 0\n")
    for place, domain in enumerate(layout):
        found = find(tmp_path, name, domain=domain)
        assert found.classes == CLASSES[name] and found.edition == "subset-10"
        parts = greys(found)
        for label, each in enumerate(CLASSES[name]):
            first = 50 * place + 10 * label
            assert sorted(parts["train"][each] + parts["test"][each]) == list(range(first, first + 5))
            assert len(parts["test"][each]) == 1
        assert found.load("train").provenance["domain"] == domain
        seen = find(tmp_path, name, domain=domain, transductive=True)
        assert greys(seen)["train"] == greys(seen)["test"]
        halves = find(tmp_path, name, domain=domain, test_fraction=0.4)
        assert {len(of_class) for of_class in greys(halves)["test"].values()} == {2}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_missing_is_said_with_where_to_get_it(tmp_path, no_data, name):
    with pytest.raises(DataMissing, match=rf"{name}: not found; put .* into <data.root>/.*https://"):
        find(tmp_path, name)


def test_the_published_counts_are_a_full_edition(tmp_path, monkeypatch, no_data):
    from transferlab.data.pictures import office_home

    monkeypatch.setitem(office_home.COUNTS, "art", 10)
    for label, each in enumerate(CLASSES["office_home"]):
        pictures(tmp_path / "office_home/Art" / each, 10 * label)
    assert find(tmp_path, "office_home").edition == "full"


@pytest.mark.parametrize("where", ["", "splits/", "image_list/"])
def test_domainnets_lists_divide_it(tmp_path, no_data, where):
    root = tmp_path / "domainnet"
    for label, each in enumerate(("ant", "axe", "zebra")):
        pictures(root / "sketch" / each, 10 * label)
    (root / where).mkdir(exist_ok=True)
    train = [f"sketch/{each}/{number}.png {label}\n" for label, each in enumerate(("ant", "axe", "zebra"))
             for number in range(3)]  # fmt: skip
    (root / where / "sketch_train.txt").write_text("".join(train))
    (root / where / "sketch_test.txt").write_text("sketch/ant/3.png 0\nsketch/zebra/4.png 2\n")
    found = find(tmp_path, "domainnet", domain="sketch")
    assert found.classes == ("ant", "axe", "zebra") and found.edition == "subset-11"
    assert greys(found) == {"train": {"ant": [0, 1, 2], "axe": [10, 11, 12], "zebra": [20, 21, 22]},
                            "test": {"ant": [3], "axe": [], "zebra": [24]}}  # fmt: skip
    assert found.remark == "no images to test on of axe"
    assert dict(found.idle) == {"test_fraction": "sketch_test.txt"}
    (root / "sketch/ant/3.png").unlink()
    with pytest.raises(UserError, match=r"sketch_test.txt line 1: sketch/ant/3.png: no such image"):
        find(tmp_path, "domainnet", domain="sketch")


@pytest.mark.parametrize("classes", [("bird", "dog"), ("0", "3")])
def test_the_older_vlcs_is_divided_by_its_folders(tmp_path, no_data, classes):
    for place, split in enumerate(("train", "crossval", "test")):
        for label, each in enumerate(classes):
            pictures(tmp_path / "VLCS/PASCAL" / split / each, 50 * place + 10 * label, 2)
    found = find(tmp_path, "vlcs", domain="voc2007")
    assert found.classes == ("bird", "dog")
    assert greys(found) == {"train": {"bird": [0, 1], "dog": [10, 11]}, "test": {"bird": [100, 101], "dog": [110, 111]}}
    assert found.remark == "crossval/ unused: train/ is learned from, test/ tested on"


def test_the_real_command_between_two_domains(tmp_path, no_data):
    for place, folder in enumerate(("Art", "Real World")):
        for label, each in enumerate(CLASSES["office_home"]):
            pictures(tmp_path / "data/office_home" / folder / each, 50 * place + 10 * label)
    words = ("method=dann", "source=office_home", "target=office_home", "target.domain=real_world", "data.root=data",
             "model=lenet", "model.input_size=32", "train.steps=2", "train.batch_size=4", "figures=false", "device=cpu",
             "data.validation=0")  # fmt: skip
    done(*words, "hydra.run.dir=run", cwd=tmp_path)
    assert transferlab.record(tmp_path / "run").results["target_test_count"] == 2
