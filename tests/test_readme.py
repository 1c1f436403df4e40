"""What the README promises is there."""

import math
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from transferlab import cli, plan
from transferlab.jobs import execute
from transferlab.map import method_files
from transferlab.runs import RunFolder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^ *(transferlab [^#\n]+)", README, re.M)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(link):
    assert (ROOT / link).exists()


@pytest.mark.parametrize("name", sorted(method_files()))
def test_every_method_has_its_page_and_its_line(name):
    assert (ROOT / "docs" / "methods" / f"{name}.md").exists()
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_composes(line, no_data, animals, tmp_path):
    words = shlex.split(line)[1:]
    if words[0] in {*cli.VERBS, "--help"} or words[0].startswith("resume="):
        return
    for domain in ("photos", "sketches"):
        for name in ("cat", "dog"):
            (tmp_path / domain / name).mkdir(parents=True)
            for i in range(2):
                Image.new("L", (8, 8), 40 * i).save(tmp_path / domain / name / f"{i}.png")
    for table in ("shop.csv", "street.csv"):
        rows = [f"{i}.5,{i % 3},{'cat' if i % 2 else 'dog'}" for i in range(10)]
        (tmp_path / table).write_text("\n".join(["length,width,labels", *rows]))
    words = [w.replace("path=", f"path={tmp_path}/") for w in words]
    words = [w.replace("root=photos", f"root={tmp_path}/photos") for w in words]
    words = [w.replace("root=sketches", f"root={tmp_path}/sketches") for w in words]
    edition = [] if "data.root=<data>" in words else ["data.edition=sample"]
    words = [w.replace("<data>", str(animals)) for w in words]
    jobs = plan.jobs(plan.arguments([*words, *edition]))
    assert len(jobs) == (math.prod(word.count(",") + 1 for word in words) if "-m" in words else 1)


TINY = ["train.steps=2", "train.batch_size=8", "train.evaluations=1", "data.validation=50", "device.name=cpu",
        "device.threads=1", "figures=false", "store=null"]  # fmt: skip
MAP = README[README.index("## The map") : README.index("| method | idea")]


@pytest.mark.parametrize("line", re.findall(r"^ *(transferlab [^#\n]+)", MAP, re.M))
def test_every_cell_of_the_map_runs(line, no_data, animals, tmp_path):
    words = [w.replace("<data>", str(animals)) for w in shlex.split(line)[1:]]
    edition = [] if any("data.root" in w for w in words) else ["data.edition=sample"]
    small = ["method.atoms=20", "method.iterations=1"] if "method=self_taught" in words else []
    config = plan.config_of([*words, *TINY, *edition, *small])
    folder = RunFolder(tmp_path / "run")
    execute(config, folder, parallel=True)
    assert folder.status["status"] == "finished", folder.status


@pytest.mark.parametrize("script", ["quickstart", "test"])
def test_scripts_can_be_run(script):
    assert (ROOT / "scripts" / script).stat().st_mode & 0o111
