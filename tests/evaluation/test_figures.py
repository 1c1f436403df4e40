import numpy as np
import pytest
from PIL import Image

from transferlab.evaluation import charts, figures
from transferlab.map import method_files

RNG = np.random.default_rng(0)


def is_picture(path):
    with Image.open(path) as image:
        return image.format == "PNG" and min(image.size) > 100 and len(np.unique(np.asarray(image.convert("L")))) > 5


def step(stage, number, **measured):
    return {"stage": stage, "kind": "step", "step": number, **measured}


@pytest.mark.parametrize("rows", [
    [],
    [step("a", 1, **{"loss/label": 1.0})],
    [step("a", s, **{"loss/label": 1 / s, "critic_accuracy": 0.6}) for s in (1, 2)]
    + [step("b", s, **{"loss/critic": float("nan"), "target_accuracy": 0.5}) for s in (1, 2)]
    + [{"stage": "d=2", "kind": "candidate", "step": 4, "target_accuracy": 0.5}],
])  # fmt: skip
def test_learning_curves(tmp_path, rows):
    figures.learning_curves(rows, tmp_path / "x.png")
    assert is_picture(tmp_path / "x.png")


def test_stages_lie_one_after_the_other_under_their_names(tmp_path, monkeypatch):
    rows = [
        *(step("source", s, **{"loss/label": 2 - s / 1000}) for s in (500, 1000)),
        {"stage": "source model", "kind": "source model", "step": 1000, "source_accuracy": 0.9},
        step("warm-up", 100, **{"loss/label": 1.5}),
        *(step("lr=1 target", s, **{"loss/label": 1.0, "loss/old": 0.5, "source_accuracy": 0.8}) for s in (100, 200)),
        {"stage": "anything", "kind": "candidate", "step": 1300, "source_accuracy": 0.1, "target_accuracy": 0.2},
    ]
    left, right = lines(monkeypatch, lambda: figures.learning_curves(rows, tmp_path / "c.png"))

    def is_border(line):
        return len(line.get_xdata()) == 2 and len(set(line.get_xdata())) == 1

    def plotted(axes):
        return [(line.get_xdata().tolist(), line.get_marker()) for line in axes.lines if not is_border(line)]

    # A warm-up of a single log point is a dot, since a line would not be seen.
    assert plotted(left) == [([500, 1000], ""), ([1100], "o"), ([1200, 1300], ""), ([1200, 1300], "")]
    assert plotted(right) == [([1000, 1200, 1300], "o")]
    assert right.lines[0].get_ydata().tolist() == [0.9, 0.8, 0.8]
    assert left.get_legend_handles_labels()[1] == ["label", "old"]
    for axes in (left, right):
        names = [(text.get_position()[0], text.get_text().strip()) for text in axes.texts]
        assert names == [(0, "source"), (1000, "warm-up"), (1100, "lr=1 target")]
        borders = [line.get_xdata()[0] for line in axes.lines if is_border(line)]
        assert borders == [0, 1000, 1100]


def test_the_step_that_a_validator_has_chosen_is_marked(tmp_path, monkeypatch):
    rows = [step("source", 500, target_accuracy=0.5)]
    rows += [step("adapt", s, target_accuracy=0.6) for s in (100, 200)]
    _, right = lines(monkeypatch, lambda: figures.learning_curves(rows, tmp_path / "c.png", "adapt step 100"))
    (mark,) = (line for line in right.lines if line.get_label() == "selected")
    assert list(mark.get_xdata()) == [600, 600]


@pytest.mark.parametrize("count", [31, 345, 1000])
def test_many_classes_are_a_matrix_of_bounded_size(tmp_path, count, monkeypatch):
    names = [f"class number {i} with a name that is far too long for an axis" for i in range(2 * count)]
    axes, _ = lines(monkeypatch, lambda: figures.confusion_matrix(np.eye(count, dtype=int), names, tmp_path, "title"))
    assert max(axes.figure.get_size_inches()) < 14 and 15 <= len(axes.get_xticks()) <= 30
    assert max(len(label.get_text()) for label in axes.get_yticklabels()) <= 24
    assert f"the first {count} of {2 * count} classes" in axes.get_title()
    for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
        assert label.get_text().startswith(f"class number {int(tick)} ")


def test_a_class_may_be_called_what_looks_like_mathematics(tmp_path):
    names = ("a$_$", r"$\frac{$", "b\nc", "%_^")
    figures.confusion_matrix(np.eye(4, dtype=int), names, tmp_path / "c.png", "$_$")
    figures.feature_space([figures.Panel("$x_$", RNG.normal(size=(8, 2)), np.arange(8) > 3, np.arange(8) % 4, names)],
                          tmp_path / "f.png")  # fmt: skip
    charts.bars(
        ["a$_$"], {"$_$": [[0.5, 0.6]]}, {"$_$": "dann"}, {"$p_$": {"$_$": [0.4]}}, tmp_path / "b.png", "$_", "$"
    )
    for name in "cfb":
        assert is_picture(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF") and (tmp_path / f"{name}.svg").stat().st_size


def test_a_thousand_classes_in_the_feature_space_are_told_in_order(tmp_path):
    points, labels = RNG.normal(size=(1000, 2)), np.arange(1000)
    panel = figures.Panel("after", points, np.arange(1000) > 500, labels, tuple(map(str, labels)))
    figures.feature_space([panel], tmp_path / "f.png")
    assert is_picture(tmp_path / "f.png")


def test_a_method_has_one_colour_and_its_further_rows_a_hatch():
    every = {"low": "source_only", "sa": "subspace_alignment", "oracle": "subspace_alignment", "dann": "dann"}
    styles = charts.row_styles(every)
    assert styles["dann"]["color"] == charts.row_styles({"x": "dann", "y": "target_only"})["x"]["color"]
    assert styles["sa"]["color"] == styles["oracle"]["color"] and styles["sa"]["hatch"] != styles["oracle"]["hatch"]
    of_one = charts.row_styles({str(n): "layer_transfer" for n in range(6)})
    assert len({style["color"] for style in of_one.values()}) == 6
    assert set(method_files()) <= set(charts.METHODS) and charts.method_colour("a new one") in charts.PALETTE
    by_cell = {}
    for name, path in method_files().items():
        by_cell.setdefault(path.parent, []).append(charts.method_colour(name))
    assert all(len(set(colours)) == len(colours) for colours in by_cell.values())


def test_each_paper_has_its_own_mark(tmp_path, monkeypatch):
    marks = {"one": {"r": [0.4]}, "two": {"r": [0.5]}}
    (axes,) = lines(monkeypatch, lambda: charts.bars(["c"], {"r": [[0.5]]}, {"r": "dann"}, marks, tmp_path, "t", "u"))
    shown = {line.get_label(): line.get_marker() for line in axes.lines}
    assert shown["one"] != shown["two"] and [t.get_text() for t in axes.get_legend().get_texts()].count("one") == 1


def test_confusion_and_samples(tmp_path):
    figures.confusion_matrix(np.diag([3, 0, 1]), ["a", "b", "long name"], tmp_path / "c.png", "title")
    images = RNG.integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    figures.samples(images[:, :1], images, tmp_path / "s.png", "grey", "colour")
    assert is_picture(tmp_path / "c.png") and is_picture(tmp_path / "s.png")


def test_wrong_predictions_are_told_from_right_ones(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), np.uint8)
    names = [("cat", "cat"), ("cat", "dog"), *[("dog", "dog")] * 8]
    figures.predictions(images, names, tmp_path / "p.png")
    titles = [(axes.get_title(), axes.title.get_color()) for axes in drawn[0].axes if axes.images]
    assert titles[:2] == [("cat\n", "black"), ("cat\nnot dog", "tab:red")] and len(titles) == 10


@pytest.mark.parametrize(("count", "shape"), [(12, (1, 8, 8)), (150, (3, 6, 6)), (1, (1, 8, 8))])
def test_atoms(tmp_path, count, shape):
    figures.atoms(RNG.normal(size=(count, np.prod(shape))).astype(np.float32), shape, tmp_path / "a.png")
    assert is_picture(tmp_path / "a.png")


def test_clusters(tmp_path):
    images = RNG.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    figures.clusters(images, np.arange(40) % 2, ["many", "some", "empty"], tmp_path / "c.png")
    assert is_picture(tmp_path / "c.png")


def test_a_sheet_has_each_image_in_its_place():
    images = RNG.integers(0, 255, (3, 1, 4, 5), dtype=np.uint8)
    found = figures.sheet([images[:2], images[2:]], 2)
    assert found.shape == (2 * 5, 2 * 6, 3)
    for place, image in ((np.s_[:4, :5], 0), (np.s_[:4, 6:11], 1), (np.s_[5:9, :5], 2)):
        assert np.array_equal(found[place], np.repeat(images[image, 0][..., None], 3, axis=2))
    assert (found[5:, 6:] == 255).all()


@pytest.mark.parametrize(("features", "classes"), [(RNG.normal(size=(30, 7)), 3), (np.ones((30, 4)), 26)])
def test_feature_space(tmp_path, features, classes):
    points = figures.embed(features)
    names = tuple(str(i) for i in range(classes))
    panel = figures.Panel("before", points, np.arange(30) >= 12, np.arange(30) % classes, names)
    figures.feature_space([panel, panel], tmp_path / "f.png")
    assert is_picture(tmp_path / "f.png") and points.shape == (30, 2)


def test_a_panel_is_read_as_it_was_written(tmp_path):
    labels = np.array([2, 0, -1, 3])
    panel = figures.Panel("after", RNG.normal(size=(4, 2)), np.array([False, True, True, False]), labels, tuple("abcd"))
    figures.write_panel(panel, tmp_path / "features.csv")
    found = figures.read_panel(tmp_path / "features.csv", "mine")
    assert found.title == "mine" and found.classes == ("a", "1", "c", "d")  # no point says what 1 is called
    assert np.allclose(found.points, panel.points, rtol=1e-4)
    assert (found.labels == labels).all() and (found.is_target == panel.is_target).all()


def records(rows=("finetune", "finetune initial=scratch"), **more):
    return [
        {"row": row, "source": source, "target": target, "per_class": size, "target_accuracy": RNG.uniform(),
         "target_train_accuracy": 1.0, "value": RNG.uniform(), "metric": "target_accuracy", **more}
        for row in rows for source in ("a", "b") for target in ("b", "c") for size in (1, 5, 20) for _ in range(2)
    ]  # fmt: skip


def lines(monkeypatch, draw):
    """What a function of figures draws: the axes of its figure, which is kept from being written."""
    drawn = []
    for module in (figures, charts):
        monkeypatch.setattr(module, "save_chart", lambda figure, path: drawn.append(figure))
    draw()
    return drawn[0].axes


def test_few_shot_curve_has_means_and_the_training_samples(tmp_path, monkeypatch):
    charts.few_shot_curve(records(), tmp_path / "c.png")
    assert is_picture(tmp_path / "c.png")
    some = [{"row": "r", "per_class": n, "target_accuracy": a, "target_train_accuracy": 1 - a / 10}
            for n, a in ((5, 0.6), (1, 0.2), (5, 0.8), (1, 0.4))]  # fmt: skip
    (axes,) = lines(monkeypatch, lambda: charts.few_shot_curve(some, tmp_path / "d.png"))
    test, train = axes.lines[:2]
    assert test.get_xdata().tolist() == [1, 5] and axes.get_xscale() == "log"
    np.testing.assert_allclose(test.get_ydata(), [0.3, 0.7])
    np.testing.assert_allclose(train.get_ydata(), [0.97, 0.93])


def test_transfer_matrix_is_the_difference_from_scratch(tmp_path, monkeypatch):
    charts.transfer_matrix(records(), tmp_path / "m.png", "finetune initial=scratch")
    charts.transfer_matrix(records(), tmp_path / "n.png")
    assert is_picture(tmp_path / "m.png") and is_picture(tmp_path / "n.png")
    keys = ("row", "source", "target", "value", "metric")
    some = [dict(zip(keys, (*of, "target_accuracy"), strict=True)) for of in (
        ("m", "a", "b", 0.5), ("m", "a", "b", 0.7), ("m", "b", "c", 0.9), ("scratch", "a", "b", 0.4),
        ("scratch", "a", "c", 0.95))]  # fmt: skip
    axes, _ = lines(monkeypatch, lambda: charts.transfer_matrix(some, tmp_path / "o.png", "scratch"))
    assert [t.get_text() for t in axes.texts] == ["+20.0", "-5.0"]


def test_class_space_shows_a_collapse(tmp_path):
    """A space whose points are one is drawn near one place; another fills the picture."""
    inked = {}
    for name, spread in (("collapsed", 1e-3), ("spread", 1.0)):
        inputs, codes = 1 + spread * RNG.normal(size=(40, 5)), 1 + spread * RNG.normal(size=(6, 5))
        figures.class_space((inputs[:20], inputs[20:]), codes, 4, tmp_path / f"{name}.png", name)
        assert is_picture(tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        inked[name] = (np.ptp(pixels, axis=2) > 60).sum()  # coloured pixels
    assert inked["collapsed"] < inked["spread"]


def test_answers(tmp_path):
    photographs = RNG.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    figures.answers(photographs, {"one": [["a", "b"], ["c"]], "two": [["d"], ["e", "f"]]}, tmp_path / "a.png")
    assert is_picture(tmp_path / "a.png")
