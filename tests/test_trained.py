"""A trained model in use: predictions for pictures, and files for other programs."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import transferlab
from tests.conftest import command, done
from transferlab import export
from transferlab.errors import UserError

CLASSES = ("dark", "light")
QUICK = (
    "source=folder", "target=folder", "source.root=ours", "target.root=theirs", "model=lenet", "model.input_size=32",
    "train.steps=60", "train.batch_size=8", "train.evaluations=1", "figures=false", "device=cpu",
)  # fmt: skip


def picture(rng, label, size=(40, 30)):
    """uint8 [H, W, 3], dark or light."""
    low, high = ((0, 90), (160, 255))[label]
    return rng.integers(low, high, (*size[::-1], 3), np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two folders of pictures, and a run on them."""
    folder = tmp_path_factory.mktemp("used")
    rng = np.random.default_rng(0)
    for domain in ("ours", "theirs"):
        for label, name in enumerate(CLASSES):
            (folder / domain / name).mkdir(parents=True)
            for number in range(20):
                Image.fromarray(picture(rng, label)).save(folder / domain / name / f"{number:02}.png")
    done("method=source_only", *QUICK, "hydra.run.dir=run", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def model(place):
    return transferlab.load(place / "run")


def test_one_picture_has_one_answer_however_it_is_given(place, model):
    path = place / "theirs" / "light" / "03.png"
    pixels = np.asarray(Image.open(path))
    ways = [path, str(path), Image.open(path), pixels, torch.from_numpy(pixels.copy()).permute(2, 0, 1)]
    scores = [model.predict(way).scores for way in ways]
    assert all(np.array_equal(scores[0], other) for other in scores) and scores[0].shape == (1, 2)
    together = model.predict([path, pixels])
    assert np.allclose(together.scores, scores[0], atol=1e-6) and len(together) == 2
    assert together.names == ["light", "light"]
    assert np.allclose(together.probabilities.sum(1), 1) and together.probabilities.argmax(1).tolist() == [1, 1]
    (first, second), _ = together.top(2)
    assert first[0] == "light" and first[1] == pytest.approx(together.probabilities[0, 1]) and second[0] == "dark"


def test_pictures_of_any_size_are_answered(model):
    rng = np.random.default_rng(1)
    sizes = [(8, 8), (200, 31), (31, 500), (32, 32), (1, 1)]
    pictures = [picture(rng, number % 2, size) for number, size in enumerate(sizes)]
    assert model.predict(pictures).names == ["dark", "light", "dark", "light", "dark"]
    assert model.predict([picture(rng, 1)[..., 0]]).names == ["light"]  # grey
    assert len(model.predict([])) == 0


def test_its_answers_are_those_that_the_run_was_measured_by(place, model):
    record = transferlab.record(place / "run")
    tested = [place / "theirs" / name for name in record.data["target_test"]["files"]]
    right = [name == path.parent.name for name, path in zip(model.predict(tested).names, tested, strict=True)]
    assert np.mean(right) == record.results["target_accuracy"] and len(tested) == 8
    assert model.trained_on["source_train"]["files"].keys() == record.data["source_train"]["files"].keys()


@pytest.mark.parametrize("wrong, answer", [
    (np.zeros((4, 4, 3)), r"uint8 \[H, W\] or \[H, W, 3\], not float64 \[4, 4, 3\]"),
    (np.zeros((3, 4, 4), np.uint8), r"not uint8 \[3, 4, 4\]"),
    (torch.zeros(4, 4, 3, dtype=torch.uint8), r"uint8 \[1 or 3, H, W\]"),
    (["nowhere.png"], "nowhere.png: not a readable image"), (".", r"\.: a folder; give the pictures in it"),
    (np.zeros((0, 0, 3), np.uint8), r"not uint8 \[0, 0, 3\]"), (None, "None: no picture, and no list"),
    ([7], "an array or a tensor, not int"),
])  # fmt: skip
def test_what_is_no_picture_is_one_clear_line(model, wrong, answer):
    with pytest.raises(UserError, match=answer):
        model.predict(wrong)


def test_a_folder_is_predicted_and_what_cannot_be_read_is_named(place, model, tmp_path):
    rng, odd = np.random.default_rng(2), tmp_path / "odd"
    (odd / "deep er").mkdir(parents=True)
    Image.fromarray(picture(rng, 1, (90, 50))).save(odd / "deep er" / "a.jpg", quality=95)
    Image.fromarray(picture(rng, 0)).convert("P").save(odd / "b.gif")
    Image.fromarray(picture(rng, 1)[..., 0].astype(np.uint16) * 257).save(odd / "c.png")
    (odd / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (odd / "notes.txt").write_text("notes")
    words = ("predict", f"run={place / 'run'}", f"root={odd}", "device=cpu", "batch=2")
    said = done(*words, "out=answers.csv", cwd=tmp_path)
    assert "broken.jpg: not a readable image" in said.stderr and "notes.txt" in said.stderr
    rows = list(csv.DictReader((tmp_path / "answers.csv").read_text().splitlines()))
    assert [(row["file"], row["class"]) for row in rows] == [
        ("b.gif", "dark"),
        ("c.png", "light"),
        ("deep er/a.jpg", "light"),
    ]
    done(*words, "out=answers.json", "top=1", cwd=tmp_path)
    record = json.loads((tmp_path / "answers.json").read_text())
    assert record["classes"] == list(CLASSES) and len(record["skipped"]) == 1
    for row, csv_row in zip(record["pictures"], rows, strict=True):
        (best,) = row["classes"]
        assert (row["file"], best["class"]) == (csv_row["file"], csv_row["class"])
        assert best["probability"] == float(csv_row["probability"]) == pytest.approx(
            float(model.predict(odd / row["file"]).probabilities.max()), abs=1e-4
        )  # fmt: skip
    printed = done(*words, "top=2", cwd=tmp_path).stdout.splitlines()
    assert printed[0].split() == ["file", "class", "probability", "class_2", "probability_2"] and len(printed) == 4


@pytest.mark.parametrize("words, answer", [
    ((), "predict: say which run's folder, with run=…"),
    (("run=run",), "predict: say which pictures, with root="),
    (("run=run", "root=nowhere"), "root=nowhere: no such file or folder"),
    (("run=nowhere", "root=ours"), "nowhere: holds no finished run; is it a run's folder?"),
    (("run=run", "root=ours", "out=a.txt"), "end in .csv or .json"),
    (("run=run", "root=ours", "top=0"), "top=0: a whole number of at least 1"),
    (("run=run", "root=ours", "domain=both"), "domain=both: allowed are source, target"),
    (("run=run", "root=ours", "ruut=ours"), "predict ruut=ours: no such key"),
])  # fmt: skip
def test_bad_words_of_predict_are_one_clear_line(place, words, answer):
    said = command("predict", *words, cwd=place)
    assert said.returncode == 2 and answer in said.stderr and len(said.stderr.splitlines()) == 1


ALONE = """
import sys, json
sys.modules["transferlab"] = None  # as where it is not installed
import numpy, torch
inputs = torch.from_numpy(numpy.load("inputs.npy"))
extra = {"transferlab.json": ""}
program = torch.export.load("model.pt2", extra_files=extra)
numpy.save("answers.npy", program.module()(inputs).detach().numpy())
print(json.loads(extra["transferlab.json"])["classes"])
"""


def test_a_torch_file_answers_as_the_model_does_without_this_package(place, model, tmp_path):
    said = done("export", f"run={place / 'run'}", f"out={tmp_path / 'model.pt2'}", cwd=place)
    assert "8 of 8 get the same class" in said.stdout and "uint8 [N, 3, 32, 32]" in said.stdout
    inputs = model.inputs(sorted((place / "theirs" / "light").iterdir()))
    np.save(tmp_path / "inputs.npy", inputs.numpy())
    alone = subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, capture_output=True, text=True)
    assert alone.stdout == "['dark', 'light']\n", alone.stderr
    assert np.allclose(np.load(tmp_path / "answers.npy"), torch.from_numpy(model.scores(inputs)).softmax(1), atol=1e-5)


def test_an_onnx_file_answers_as_the_model_does(place, model, tmp_path):
    pytest.importorskip("onnx", reason="the extra export is not installed")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    said = done("export", f"run={place / 'run'}", f"out={path}", f"root={place / 'ours'}", cwd=place)
    assert "on 40 real inputs" in said.stdout and "40 of 40 get the same class" in said.stdout
    session = onnxruntime.InferenceSession(path)
    inputs = model.inputs(sorted((place / "theirs" / "light").iterdir())[:3])
    (answers,) = session.run(None, {"input": inputs.numpy()})
    assert np.allclose(answers, torch.from_numpy(model.scores(inputs)).softmax(1), atol=1e-5)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == list(CLASSES) and about["method"] == "source_only"


def test_a_file_that_answers_otherwise_is_not_left_behind(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    real = export.answer
    monkeypatch.setattr(export, "answer", lambda path, inputs: real(path, inputs) + np.float32(0.01))
    with pytest.raises(UserError, match="not written: on 8 real inputs the largest difference to the model is 1.0e-02"):
        export.run({"run": "run", "out": str(tmp_path / "model.pt2")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words, answer", [
    (("out=m.pt2",), "export: say which run's folder"),
    (("run=run", "out=m.pth"), "out=m.pth: allowed are names that end in .onnx or .pt2"),
    (("run=run", "out=m.pt2", "root=nowhere"), "root=nowhere: no such file or folder"),
])  # fmt: skip
def test_bad_words_of_export_are_one_clear_line(place, words, answer):
    said = command("export", *words, cwd=place)
    assert said.returncode == 2 and answer in said.stderr and len(said.stderr.splitlines()) == 1


def test_export_says_where_real_inputs_may_come_from(place, tmp_path):
    said = command("export", f"run={place / 'run'}", "out=m.pt2", cwd=tmp_path)  # theirs is not here
    assert said.returncode == 2 and "theirs: no such folder; or name pictures with root=" in said.stderr


def evaluated(place, *words, code=0):
    said = done("evaluate", f"run={place / 'run'}", "device=cpu", *words, cwd=place, code=code)
    return said, {line[2:32].strip(): line[32:].strip() for line in said.stdout.splitlines()}


def test_the_runs_own_test_data_gives_its_own_record(place, tmp_path):
    record = transferlab.record(place / "run")
    done("evaluate", f"run={place / 'run'}", "device=cpu", f"out={tmp_path / 'e.json'}", cwd=place)
    found = json.loads((tmp_path / "e.json").read_text())
    ours = {key: value for key, value in record.results.items() if key.startswith("target_") and key in found}
    assert ours == {key: found[key] for key in ours} and "target_macro_f1" in ours and "target_ece" in ours
    assert (found["split"], found["target_test_count"], found["left_out"]) == ("unseen", 8, 32)
    assert (tmp_path / "e.csv").read_text() == (place / "run" / "classes.csv").read_text()


def test_a_folder_that_the_run_has_not_had_is_measured_whole(place, tmp_path):
    rng = np.random.default_rng(3)
    for label, name, count in ((1, "light", 5), (0, "dark", 4)):
        (tmp_path / "new" / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(picture(rng, label)).save(tmp_path / "new" / name / f"{number}.png")
    _, told = evaluated(place, "target=folder", f"target.root={tmp_path / 'new'}")
    assert (
        told["split"] == "unseen" and told["target test count"] == "9" and told["target accuracy"].startswith("1.0000")
    )
    mislabelled = tmp_path / "new" / "dark" / "wrong.png"
    Image.fromarray(picture(rng, 1)).save(mislabelled)
    _, told = evaluated(place, "target=folder", f"target.root={tmp_path / 'new'}")
    assert told["target accuracy"].startswith("0.9000")
    trained_on = next(iter(transferlab.record(place / "run").data["source_train"]["files"]))
    mislabelled.write_bytes((place / "ours" / trained_on).read_bytes())
    said, told = evaluated(place, "target=folder", f"target.root={tmp_path / 'new'}", "split=all")
    assert told["trained on before"] == "1" and "warning: the run has trained on 1 of these" in said.stderr
    _, told = evaluated(place, "target=folder", f"target.root={tmp_path / 'new'}")
    assert told["left out"] == "1" and told["target test count"] == "9" and told["target accuracy"].startswith("1.0000")


@pytest.mark.parametrize("words, answer", [
    (("method=dann",), "evaluate method=dann: no such key"),
    (("split=most",), "split=most: allowed are train, test, all, unseen"),
    (("out=a.csv",), "out=a.csv: a name that ends in .json is needed"),
    (("target=folder", "target.root=nowhere"), "nowhere: no such folder"),
    (("target=usps",), "class 0, 1, 2, … is none of the model's; the model knows dark, light"),
])  # fmt: skip
def test_bad_words_of_evaluate_are_one_clear_line(place, words, answer):
    said, _ = evaluated(place, *words, code=2)
    assert answer in said.stderr and len(said.stderr.splitlines()) == 1


def test_the_sources_inputs_are_called_by_the_sources_classes(place, tmp_path):
    for old, new in zip(CLASSES, ("night", "day"), strict=True):
        shutil.copytree(place / "ours" / old, tmp_path / "renamed" / new)
    (tmp_path / "renamed" / "dusk").mkdir()
    for number in range(4):
        Image.new("RGB", (8, 8), (125,) * 3).save(tmp_path / "renamed" / "dusk" / f"{number}.png")
    words = [word for word in QUICK if not word.startswith("source.root")]
    done(
        "method=multitask",
        *words,
        f"source.root={tmp_path / 'renamed'}",
        f"hydra.run.dir={tmp_path / 'two'}",
        cwd=place,
    )
    source = transferlab.load(tmp_path / "two", domain="source")
    assert source.classes == ("day", "dusk", "night") and source.predict(place / "ours" / "light" / "00.png").names == [
        "day"
    ]
    assert transferlab.load(tmp_path / "two").classes == CLASSES


def test_a_run_that_is_damaged_or_not_finished_is_not_used(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "run")
    (tmp_path / "run" / "data.json").unlink()
    with pytest.raises(UserError, match="holds no finished run; it is damaged: .*data.json"):
        transferlab.load(tmp_path / "run")


def test_what_cannot_be_exported_is_one_line(place, tmp_path):
    words = [word for word in QUICK if not word.startswith(("model", "train"))]
    done("method=self_taught", "method.atoms=6", "method.iterations=1", "model.input_size=28", *words,
         f"hydra.run.dir={tmp_path / 'codes'}", cwd=place)  # fmt: skip
    said = command("export", f"run={tmp_path / 'codes'}", f"out={tmp_path / 'm.pt2'}", cwd=place)
    assert said.returncode == 2 and "method=self_taught: torch cannot export what it computes" in said.stderr
    assert not (tmp_path / "m.pt2").exists()
    evaluated(place, code=0)
    done("evaluate", f"run={tmp_path / 'codes'}", "device=cpu", cwd=place)
    done(
        "predict", f"run={tmp_path / 'codes'}", "root=theirs", "device=cpu", "out=" + str(tmp_path / "p.csv"), cwd=place
    )
