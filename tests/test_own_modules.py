"""Methods and data sets of a user's own folder, in every verb; and the Python face."""

import re
import shutil
import signal
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import transferlab
from tests.conftest import BLOBS, METHOD, WORDS, done, program
from transferlab import map as the_map
from transferlab.errors import UserError
from transferlab.runs import RunFolder
from transferlab.testing import check_method

ROOT = Path(__file__).parents[1]


def test_runs_sweeps_in_processes_tables_and_resumption(tmp_path, own):
    mine = ("--config-dir", str(own))
    done(*mine, *WORDS, "hydra.run.dir=one", "method.strength=2", cwd=tmp_path)
    results = RunFolder(tmp_path / "one").results
    assert results["method"] == "mine" and results["strength"] == 2 and results["target_options"] == {"shift": 0.5}
    assert "finished before" in done("resume=one", cwd=tmp_path).stderr  # it knows where its method is
    several = ("-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    sweep = program(*mine, *WORDS, *several, cwd=tmp_path)
    assert sweep.returncode == 0 and "mine" in sweep.stdout, sweep.stderr
    assert "mine" in done("compare", "outputs/sweep", cwd=tmp_path).stdout
    assert "mine" in done("table", "tiny", *mine, cwd=tmp_path).stdout
    assert "strength=1.0" in done("--help", "method=mine", *mine, cwd=tmp_path).stdout
    unknown = done("method=mine", cwd=tmp_path, code=2)
    assert "method=mine: no such choice" in unknown.stderr


def test_a_run_is_of_the_code_that_made_it(tmp_path, own):
    mine = ("--config-dir", str(own))
    done(*mine, *WORDS, "hydra.run.dir=one", cwd=tmp_path)
    (own / "method" / "mine.py").write_text(METHOD + "# another version\n")
    assert "by another version of method=mine" in done("resume=one", cwd=tmp_path, code=2).stderr


@pytest.mark.parametrize(("file", "text", "line"), [
    ("method/mine.py", METHOD.replace("Sees(source=LABELLED, target=UNLABELLED)", "3"), "sees must be a Sees"),
    ("method/mine.py", METHOD.replace("@dataclass", "").replace("source_only.Config", "object"),
     "mine.py: Config must be a dataclass that inherits Options"),
    ("method/mine.py", "from __future__ import annotations\n" + METHOD.replace(": float", ": flaot"),
     "mine.py: Config has a field of unknown type"),
    ("method/mine.py", METHOD + "raise SystemExit(0)\n", r"mine.py: cannot be imported \(SystemExit"),
    ("source/blobs.py", BLOBS.replace("def find", "def fnd"), "blobs.py: a data set needs Config and find; .* no find"),
    ("source/blobs.py", BLOBS.replace("return Found", "Found"), "blobs.py: find must return a Found, not NoneType"),
    ("method/mine.py", METHOD + "def", r"mine.py: cannot be imported \(SyntaxError"),
    ("method/mine.py", METHOD.replace("sees =", "seen ="), "mine.py: a method needs sees, Config and fit; .* no sees"),
    ("method/dann.py", METHOD, "dann.py: there is a module of this name already, .*; call it otherwise"),
    ("method/mine.yaml", "nam: mine\n", "method.name: a value is needed"),
])  # fmt: skip
def test_what_is_wrong_with_a_module_is_one_line(tmp_path, own, file, text, line):
    (own / file).write_text(text)
    said = done("--config-dir", str(own), *WORDS, cwd=tmp_path, code=2).stderr
    assert re.search(line, said) and len(said.strip().splitlines()) == 1


LOADED = {
    ('.astype("f4")', ""): r"inputs are float64 \[200, 5\]; .* are float32 \[N, D\] with D = 5",
    ("size=(200, 5)", "size=(200, 4)"): r"inputs are float32 \[200, 4\]; vectors of the shape",
    ("VECTORS, (5,)", "SPECTROGRAMS, (1, 5, 5)"): r".* are float32 \[N, 1, T, F\] with 1, T, F = 1, 5, 5",
    ("(*draw(split),", "(draw(split)[0].tolist(), draw(split)[1],"): "inputs are no array",
    (
        "Dataset(*draw(split),",
        "Dataset(draw(split)[0], draw(split)[1][:150],",
    ): r"labels are int64 \[150\]; .* 200 inputs",
    (
        "Dataset(*draw(split),",
        "Dataset(draw(split)[0], draw(split)[1] * 1.0,",
    ): r"labels are float64 \[200\]; .* int64 \[N\]",
    ("Dataset(*draw(split),", "Dataset(draw(split)[0], list(draw(split)[1]),"): "labels are list; they must be int64",
    ("Dataset(*draw(split),", "Dataset(draw(split)[0], None,"): "labels are None; find gives 2 classes",
    ('("a", "b"), {', '("b", "a"), {'): r"classes are \('b', 'a'\), and not those that find gives",
    ('"split": split})', '"split": split}, np.zeros((2, 3)))'): r"signatures must be float32 \[C, M\] with M = .* = 0",
    ('.astype("f4")', '.astype("f4") * np.nan'): "inputs hold values that are no finite number",
    ("return Dataset(", "raise KeyError('x'); return Dataset("): "KeyError: 'x'; with HYDRA_FULL_ERROR=1",
    ("return Dataset(", "return ("): "must return a Dataset, not tuple",
}


@pytest.mark.parametrize(("old", "new"), LOADED)
def test_data_that_is_not_what_find_says_is_refused_as_it_is_read(tmp_path, own, old, new):
    text = BLOBS.replace("import VECTORS,", "import SPECTROGRAMS, VECTORS,").replace(", labels=labels)", ")")
    assert old in text
    (own / "source" / "blobs.py").write_text(text.replace(old, new))
    (record,) = transferlab.run(["--config-dir", str(own), *WORDS, f"hydra.run.dir={tmp_path}/run"])
    reason = record.status["reason"]
    assert record.state == "failed" and re.match(rf'{own}/source/blobs.py: load\("train"\): {LOADED[old, new]}', reason)


@pytest.mark.parametrize(("old", "new", "line"), [
    ("    def draw(split):", "    {}['x']\n    def draw(split):", "find: KeyError: 'x'; with HYDRA_FULL_ERROR=1"),
    ("VECTORS, (5,)", '"vector", (5,)', "kind='vector': allowed are images, spectrograms, vectors"),
    ("VECTORS, (5,)", "VECTORS, 5", r"shape=5: of vectors it is the shape of one, a tuple \[D\] of numbers"),
    ("VECTORS, (5,)", "VECTORS, (1, 5)", r"shape=\(1, 5\): of vectors"),
    ('"full", ("a", "b")', '"full", ["a", "b"]', "classes=.* must be a tuple of different names"),
    ('f"blobs {options.shift}"', "7", "digest=7: must be a text"),
    ("Labels(draw(split)[1])", "draw(split)[1]", r'labels\("test"\): must return Labels, not ndarray'),
    ("Labels(draw(split)[1])", "Labels(list(draw(split)[1]))", r'labels\("test"\): labels are list; .* int64'),
])  # fmt: skip
def test_what_find_gives_is_refused_before_the_run_where_it_is_wrong(tmp_path, own, old, new, line):
    assert old in BLOBS
    (own / "source" / "blobs.py").write_text(BLOBS.replace(old, new))
    with pytest.raises(UserError, match=rf"{own}/source/blobs.py: {line}") as error:
        transferlab.run(["--config-dir", str(own), *WORDS, f"hydra.run.dir={tmp_path}/run"])
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_an_installed_package_brings_choices_too(tmp_path, own):
    site = tmp_path / "site"
    site.mkdir()
    own.rename(site / "bringing")
    (site / "bringing" / "__init__.py").write_text("")
    info = site / "bringing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bringing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[transferlab]\nbringing = bringing\n")
    said = program(*WORDS, "hydra.run.dir=one", cwd=tmp_path, PYTHONPATH=str(site))
    assert said.returncode == 0 and RunFolder(tmp_path / "one").results["method"] == "mine", said.stderr


def test_the_python_face(tmp_path, own, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (record,) = transferlab.run(["--config-dir", str(own), *WORDS])
    assert record.status["status"] == "finished" and record.results["strength"] == 1
    model = transferlab.load(record.path)
    scores = model(torch.zeros(3, 5))
    assert model.classes == ("a", "b") and scores.shape == (3, 2) and torch.isfinite(scores).all()
    assert np.array_equal(model.predict(np.zeros((3, 5))).scores, scores)
    assert transferlab.record(record.path).results == record.results
    both = transferlab.run(["-m", "seed=0,1", "--config-dir", str(own), *WORDS])
    assert [r.config.seed for r in both] == [0, 1]
    with pytest.raises(UserError, match="nowhere: holds no finished run; is it a run"):
        transferlab.load("nowhere")
    with pytest.raises(UserError, match="method=dan: no such choice"):
        transferlab.run("method=dan")
    with pytest.raises(AttributeError):
        _ = transferlab.runn
    assert "transferlab.api" in sys.modules


def blocks(page):
    """The Python of a page of documentation, block by block."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [textwrap.dedent(found) for found in re.findall(r"```python\n(.*?)\n *```", text, re.DOTALL)]


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")


def test_the_pages_examples_are_complete(tmp_path, no_data):
    method, _, module, _ = blocks("docs/own.md")
    write(tmp_path / "mine", {
        "method/smoothed.py": method, "method/smoothed.yaml": "name: smoothed\nsmoothing: 0.1",
        "source/blobs.py": module, "source/blobs.yaml": "name: blobs", "target/blobs.yaml": "name: blobs",
    })  # fmt: skip
    words = ("method=smoothed", "source=blobs", "target=blobs", "model=mlp", "train.steps=5", "figures=false")
    done("--config-dir", "mine", *words, cwd=tmp_path)
    check_method("smoothed", tmp_path / "runs", tmp_path / "mine")
    the_map.look_in(None)


def test_the_recipe_of_a_method_is_the_packages_and_complete(tmp_path, own):
    (method,) = blocks("CONTRIBUTING.md")
    shipped = (ROOT / "transferlab" / "methods" / "domain_adaptation" / "deep_coral.py").read_text(encoding="utf-8")
    assert shipped.endswith(f"\n{method}\n")
    write(own, {"method/ours.py": method, "method/ours.yaml": "name: ours\nweight: 1.0"})
    done("--config-dir", str(own), "method=ours", *WORDS[1:], "hydra.run.dir=one", cwd=tmp_path)
    assert RunFolder(tmp_path / "one").results["method"] == "ours"


def test_the_recipe_of_a_data_set_works_with_files_that_a_user_brings(tmp_path, own):
    """by_hand, digest and the target's YAML are used as CONTRIBUTING says; the rest is docs/own.md's module."""
    recipe = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    (call,) = re.findall(r"`(by_hand\(.*?\))`", recipe)
    (defaults,) = re.findall(r"`(defaults: .*?)`", recipe)
    for placeholder, ours in (
        ("<name>", "clouds"),
        ("<folder>", "clouds"),
        ("<file>", "shift.txt"),
        ("<origin>", "us"),
    ):
        call, defaults = call.replace(placeholder, ours), defaults.replace(placeholder, ours)
    module = blocks("docs/own.md")[2].replace('"blobs"', '"clouds"').replace(
        "def find(options, settings):\n", f"def find(options, settings):\n    paths = {call}\n"
    )  # fmt: skip
    module, changed = re.subn(r"digest = .*", "digest = content.digest(paths)", module)
    imports = "from transferlab.data import content\nfrom transferlab.data.files import by_hand\n"
    assert changed == 1 and call in module
    write(own, {
        "source/clouds.py": module.replace("import numpy", f"{imports}import numpy"),
        "source/clouds.yaml": "name: clouds\nshift: 0.0", "target/clouds.yaml": defaults,
    })  # fmt: skip
    words = ("--config-dir", str(own), "method=mine", "source=clouds", "target=clouds", *WORDS[3:], "data.root=data")
    (tmp_path / "data").mkdir()
    assert "put shift.txt into <data.root>/clouds" in done(*words, cwd=tmp_path, code=2).stderr
    write(tmp_path / "data", {"clouds/shift.txt": "0"})
    done(*words, cwd=tmp_path)


def test_what_fit_returns_must_be_a_kind_of_predictor(tmp_path, own):
    for text, line in (("pass", "a NoneType"), ("return run.net(problem)", "a ConvNet"),
                       ("return Mine(run.net(problem))", "a Mine")):  # fmt: skip
        mine = "from transferlab.models.predictor import Classifier\nclass Mine(Classifier): pass\n"
        body = METHOD.replace("    return source_only.fit(config, problem, run)\n", f"    {text}\n")
        (own / "method" / "mine.py").write_text(mine + body)
        (record,) = transferlab.run(["--config-dir", str(own), *WORDS, f"hydra.run.dir={tmp_path}/{line[2:]}"])
        assert record.status["status"] == "failed" and f"fit returned {line}; allowed" in record.status["reason"]


def test_modules_import_their_neighbours_and_a_changed_one_counts(tmp_path, own):
    with_it = METHOD.replace('"strength": config.strength', '"strength": AMOUNT')
    (own / "method" / "mine.py").write_text("from ._amount import AMOUNT\n" + with_it)
    told = []
    for amount in (1.0, 2.0):
        (own / "method" / "_amount.py").write_text(f"AMOUNT = {amount}\n")
        (record,) = transferlab.run(["--config-dir", str(own), *WORDS, f"hydra.run.dir={tmp_path}/{amount}"])
        told.append((record.results["strength"], record.status["fingerprint"]))
    assert [strength for strength, _ in told] == [1.0, 2.0] and told[0][1] != told[1][1]


def test_code_is_what_an_import_can_reach(own):
    def code() -> str | None:
        the_map.look_in(own)
        return the_map.own_code("methods", "mine")

    def write(*parts: str) -> None:
        path = own.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")

    try:
        (own / "method" / "mine.py").write_text(METHOD)
        before = code()
        write(".venv", "site.py")
        write("venv", "lib", "python3.12", "site.py")
        assert code() == before
        write("helpers", "deep", "draw.py")
        assert code() != before
    finally:
        the_map.look_in(None)


SHARING = METHOD.replace(
    "    return source_only.fit(config, problem, run)\n",
    """    net = run.net(problem, "source")
    from transferlab.models.predictor import Classifier
    def loss(batch, progress):
        return {"label": config.strength * net(batch.source.inputs, "source").square().mean()}
    run.train_shared("source", {"net": net}, loss, problem.batches(source=8), problem.source)
    return Classifier(net)
""",
)


def test_a_loss_of_ones_own_gives_no_model_to_other_methods(tmp_path, own):
    (own / "method" / "mine.py").write_text(SHARING)
    words = [*WORDS[1:], f"store={tmp_path}/store"]
    made = []
    for name, more in (("mine", []), ("mine", ["method.strength=3"]), ("mine", []), ("source_only", [])):
        where = f"hydra.run.dir={tmp_path}/{len(made)}"
        (record,) = transferlab.run(["--config-dir", str(own), f"method={name}", *words, *more, where])
        made.append(record.results["source_model"])
    assert made == ["trained", "trained", "taken", "trained"]


def test_runs_of_two_folders_are_listed_and_compared_together(tmp_path, own):
    other = tmp_path / "other"
    shutil.copytree(own, other)
    (other / "method" / "mine.py").rename(other / "method" / "yours.py")
    (other / "method" / "mine.yaml").unlink()
    (other / "method" / "yours.yaml").write_text("name: yours\nhead: softmax\nstrength: 1.0\n")
    place = tmp_path / "lr=0.1"
    for folder, name in ((own, "mine"), (other, "yours")):
        words = [f"method={name}", *WORDS[1:], f"hydra.run.dir='{place}/{name}'"]
        transferlab.run(["--config-dir", str(folder), *words])
    shown = done("list", str(place), cwd=tmp_path).stdout
    assert "mine" in shown and "yours" in shown and "older code" not in shown
    compared = done("compare", str(place), cwd=tmp_path).stdout
    assert "mine" in compared and "yours" in compared


def test_the_python_face_refuses_what_only_shows_and_resumes(tmp_path, own, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    (record,) = transferlab.run(["--config-dir", str(own), *WORDS, "hydra.run.dir=one"])
    assert signal.getsignal(signal.SIGTERM) == handler
    (again,) = transferlab.run("resume=one")
    assert again.results == record.results
    for words in ("--help", "--cfg job", "--version"):
        with pytest.raises(UserError, match="only shows"):
            transferlab.run(words)
    with pytest.raises(UserError, match="no such folder"):
        transferlab.run("--config-dir 'no where' method=mine")


def test_threads_that_run_wait_for_each_other_while_others_read(tmp_path, own, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other"
    shutil.copytree(own, other)
    (other / "method" / "mine.py").rename(other / "method" / "yours.py")
    (other / "method" / "mine.yaml").rename(other / "method" / "yours.yaml")
    (other / "method" / "yours.yaml").write_text("name: yours\nhead: softmax\nstrength: 1.0\n")
    words = [*WORDS[1:], "train.steps=100"]
    (before,) = transferlab.run(["--config-dir", "other", "method=yours", *words, "hydra.run.dir=before"])
    ended = {}

    def run(folder, method):
        (record,) = transferlab.run(["--config-dir", folder, f"method={method}", *words, f"hydra.run.dir={method}"])
        ended[method] = record.state

    threads = [threading.Thread(target=run, args=given) for given in ((str(own), "mine"), ("other", "yours"))]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert transferlab.record("before").results == before.results
    assert ended == {"mine": "finished", "yours": "finished"}


def test_a_run_inside_a_run_is_refused_in_one_line(tmp_path, own, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body = METHOD.replace(
        "    run.report", '    import transferlab; transferlab.run("method=source_only")\n    run.report'
    )
    (own / "method" / "mine.py").write_text(body)
    (record,) = transferlab.run(["--config-dir", str(own), *WORDS])
    assert record.state == "failed" and record.status["reason"].startswith("Hydra is in use in this program already")


def test_a_method_that_would_end_the_program_fails_its_run_alone(tmp_path, own):
    (own / "method" / "mine.py").write_text(METHOD.replace("    run.report", "    raise SystemExit(0)\n    run.report"))
    said = done("--config-dir", str(own), "-m", *WORDS, "seed=0,1", cwd=tmp_path, code=1)
    assert said.stderr.count("failed: SystemExit: 0") == 2 and "0/2" in said.stdout
