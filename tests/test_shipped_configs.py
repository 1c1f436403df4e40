"""Every shipped choice of a group runs, in a tiny form, through the one dispatcher."""

import pytest

from transferlab import plan
from transferlab.cli import execute
from transferlab.config import conf_dir
from transferlab.runs import RunFolder

TINY = ["train.steps=2", "train.batch_size=8", "train.evaluations=1", "data.edition=sample", "data.validation=50",
        "device.threads=1", "device.name=cpu", "figures=false"]  # fmt: skip
CHOICES = [
    f"{group}={path.stem}"
    for group in ("model", "experiment", "train")
    for path in sorted((conf_dir() / group).glob("*.yaml"))
]


@pytest.mark.parametrize("choice", [*CHOICES, "method.head=svm", "device.precision=bf16", "train.optimiser=adam"])
def test_it_runs(tmp_path, no_data, choice):
    with plan._hydra():
        config = plan.typed(plan._compose([choice, "target=usps", *TINY], None))
    folder = RunFolder(tmp_path / "run")
    execute(config, folder, parallel=True)
    assert folder.status["status"] == "finished", folder.status
    assert 0 <= folder.results["target_accuracy"] <= 1


def test_a_folder_in_use_is_left_alone(tmp_path, no_data):
    with plan._hydra():
        config = plan.typed(plan._compose(TINY, None))
    owner = RunFolder(tmp_path / "run")
    owner.claim(config, config.fingerprint(plan.editions(config)))
    owner.set_status("running", fingerprint=config.fingerprint(plan.editions(config)))
    before = owner.status
    execute(config, RunFolder(tmp_path / "run"), parallel=True)
    assert owner.status == before
    owner.release()
    assert "another process is running this run" in (tmp_path / "run" / "run.log").read_text()
