"""Pictures of the runs in one folder."""

import csv
import io

import numpy as np
import pytest
import scipy.stats

from tests.conftest import command
from transferlab import cli, plan
from transferlab.config import from_plain, to_plain
from transferlab.errors import UserError
from transferlab.files import write_json
from transferlab.jobs import execute
from transferlab.reports.sweeps import compared, draw, finished, summarise
from transferlab.runs import RunFolder


def identity(config):
    """What status.json says of the data of a run of ``config``, and its name."""
    digests = {"source": "s" * 64, "target": "t" * 64}
    return {"digests": digests, "fingerprint": config.fingerprint(digests)}


def tiny(source="mnist", per_class=1, **options):
    return from_plain({
        "method": {"name": "finetune", **options}, "figures": False,
        "source": {"name": source}, "target": {"name": "usps", "classes": ["0", "1"], "per_class": per_class},
        "train": {"steps": 2, "batch_size": 8, "evaluations": 1},
        "data": {"edition": "sample", "validation": 50}, "device": {"name": "cpu", "threads": 1},
    })  # fmt: skip


def test_runs_of_one_folder_together(tmp_path, no_data):
    configs = [tiny(), tiny(per_class=3), tiny(initial="scratch"), tiny(source="usps")]
    for place, config in enumerate(configs):
        execute(config, RunFolder(tmp_path / str(place)), parallel=True)
    records = finished(tmp_path)
    assert [r["row"] for r in records] == [f"finetune initial={i}" for i in ("source", "source", "scratch", "source")]
    assert [r["per_class"] for r in records] == [1, 3, 1, 1]
    assert [r["source"] for r in records] == ["mnist", "mnist", "mnist", "usps classes=null"]
    assert {r["target"] for r in records} == {"usps classes=0,1"} and all(
        r["target_train_accuracy"] >= 0 for r in records
    )
    assert [path.name for path in draw(records, tmp_path)] == ["few_shot.png", "transfer.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in draw(records, tmp_path))


def test_runs_are_compared_whose_data_is_gone_and_others_are_passed_over(tmp_path, no_data):
    configs = [tiny(per_class=1), tiny(per_class=2), from_plain({
        "method": {"name": "subspace_alignment", "dims": [2]}, "source": {"name": "mnist"}, "target": {"name": "usps"},
    })]  # fmt: skip
    record = {"target_train_accuracy": 1.0, "target_accuracy": 0.5}
    for place, config in enumerate([*configs, configs[2]]):
        plain = to_plain(config)
        plain["data"]["root"] = "/gone"
        if place == 3:
            plain["method"]["dims"] = [2, 4]
        folder = tmp_path / ("2026-11-24" if place < 2 else "2026-11-25") / str(place)  # as single runs lie
        write_json(folder / "config.json", plain)
        write_json(folder / "results.json", record)
        gone = from_plain({**plain, "data": {**plain["data"], "root": None}})
        RunFolder(folder).set_status("finished", **identity(gone))
    write_json(tmp_path / ".store" / "model" / "config.json", to_plain(configs[0]))
    write_json(tmp_path / "other" / "config.json", {"method": {"name": "of another version"}})
    assert [r["row"] for r in finished(tmp_path)] == [
        "finetune", "finetune", "subspace_alignment dims=2", "subspace_alignment dims=2,4",
    ]  # fmt: skip


def test_a_seed_that_is_named_twice_counts_once(tmp_path, capsys):
    jobs = [
        plan.Job((f"seed={seed}",), tiny(), {}, tmp_path, tmp_path / name)
        for seed, name in (("0", "a"), ("00", "a"), ("1", "b"))
    ]
    summarise(jobs)
    assert "0/2" in capsys.readouterr().out
    assert len((tmp_path / "summary.csv").read_text().splitlines()) == 3


def job(folder, method, seed=0, **results):
    """A finished job of a sweep, and its folder."""
    source = {"name": "emnist_letters"} if method == "eszsl" else {"name": "mnist"}
    config = from_plain({"method": {"name": method}, "source": source, "target": {"name": "usps"}, "seed": seed})
    path = folder / f"{method}-{seed}"
    write_json(path / "config.json", to_plain(config))
    state = results.pop("status", "finished")
    write_json(path / "results.json", {"status": "finished", "edition": "full", "target_test_count": 1000, **results})
    RunFolder(path).set_status(state, **identity(config))
    return plan.Job((f"method={method}", f"seed={seed}"), config, {}, folder, path)


def test_a_sweep_shows_each_methods_headline_in_its_own_column(tmp_path, capsys):
    jobs = [job(tmp_path, "dann", target_accuracy=0.61, target_mean_class_accuracy=0.5),
            job(tmp_path, "eszsl", target_accuracy=0.44, target_mean_class_accuracy=0.428)]  # fmt: skip
    summarise(jobs)
    head, dann, eszsl = capsys.readouterr().out.splitlines()[1:4]
    assert "target accuracy  target accuracy, mean per class" in head
    assert "0.6100" in dann and "0.5" not in dann
    assert "0.4280" in eszsl and "0.44" not in eszsl


def test_a_sweep_gives_the_interval_of_the_mean_and_leaves_collapsed_runs_out(tmp_path, capsys):
    values = (0.70, 0.72, 0.77)
    jobs = [job(tmp_path, "dann", seed, target_accuracy=value) for seed, value in enumerate(values)]
    jobs.append(job(tmp_path, "dann", 3, target_accuracy=0.1, status="collapsed"))
    summarise(jobs)
    line = capsys.readouterr().out.splitlines()[2]
    low, high = scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values))
    assert line.split("  ")[1] == "3/4, 1 collapsed" and line.endswith("collapsed:")
    assert f"0.730 ± 0.036 {low:.3f} to {high:.3f} 1000" in " ".join(line.split())


def test_a_single_run_has_the_interval_of_its_test_samples_and_no_spread(tmp_path, capsys):
    summarise([job(tmp_path, "dann", target_accuracy=0.5, target_accuracy_interval=[0.469, 0.531])])
    line = capsys.readouterr().out.splitlines()[2]
    assert "0.500" in line and "0.469 to 0.531" in line and "±" not in line
    assert "target_accuracy_low,target_accuracy_high" in (tmp_path / "summary.csv").read_text()


def test_compare_pairs_runs_by_seed(tmp_path):
    for seed, (low, high, other) in enumerate(((0.50, 0.60, 0.51), (0.60, 0.71, 0.58), (0.55, 0.64, 0.56))):
        job(tmp_path, "source_only", seed, target_accuracy=low)
        job(tmp_path, "dann", seed, target_accuracy=high)
        job(tmp_path, "deep_coral", seed, target_accuracy=other)
    text = compared(finished(tmp_path))
    lines = {line.split()[2]: line for line in text.splitlines()[1:]}
    assert "minus source_only" in text.splitlines()[0]
    low, high = scipy.stats.t.interval(0.95, 2, 0.1, scipy.stats.sem([0.10, 0.11, 0.09]))
    assert " ".join(lines["dann"].split()).endswith(f"1000 +0.100 {low:+.3f} to {high:+.3f} helps")
    assert lines["deep_coral"].endswith("no difference") and lines["source_only"].endswith("1000")


@pytest.mark.parametrize(("words", "expected"), [
    (["."], ".: no finished runs in it; name a sweep's folder"), (["nowhere"], "nowhere: no such folder"),
    ([], "compare: takes one folder of runs"),
])  # fmt: skip
def test_nothing_to_compare_is_one_clear_line(tmp_path, words, expected):
    done = command("compare", *words, cwd=tmp_path)
    assert done.returncode == 2 and expected in done.stderr and done.stderr.count("\n") == 1


def test_compare_weighs_every_pair_alike(tmp_path):
    for target, gain in (("usps", 0.02), ("mnistm", 0.06), ("syn_numbers", 0.04)):
        for seed in (0, 1):
            for method, more in (("source_only", 0), ("dann", gain)):
                path = job(tmp_path, method, seed, target_accuracy=0.5 + 0.1 * seed + more).folder
                config = from_plain({
                    "method": {"name": method}, "source": {"name": "mnist"}, "target": {"name": target}, "seed": seed,
                })  # fmt: skip
                moved = path.rename(tmp_path / f"{method}-{target}-{seed}")
                write_json(moved / "config.json", to_plain(config))
                RunFolder(moved).set_status("finished", **identity(config))
    text = compared(finished(tmp_path))
    low, high = scipy.stats.t.interval(0.95, 2, 0.04, scipy.stats.sem([0.02, 0.06, 0.04]))
    last = text.splitlines()[-1].split()
    assert last[:3] == ["dann", "3", "+0.040"] and last[3:6] == [f"{low:+.3f}", "to", f"{high:+.3f}"]
    assert text.endswith("3 of 3") and len(text.split("Over all of these")) == 2


def test_another_metric_than_the_headline_is_compared(tmp_path, capsys):
    for seed in (0, 1, 2):
        job(tmp_path, "source_only", seed, target_accuracy=0.5, target_ece=0.30 + seed / 100)
        job(tmp_path, "dann", seed, target_accuracy=0.6, target_ece=0.20 + seed / 99)
    job(tmp_path, "deep_coral", 0, target_accuracy=0.5)  # made before it was measured
    text = compared(finished(tmp_path, "target_ece"))
    assert text.count("target ECE") == 2 and "-0.0999" in text and text.splitlines()[1].endswith("helps")
    assert "deep_coral" not in text and "passed over, without target_ece: 1" in capsys.readouterr().err
    with pytest.raises(UserError, match="metric=target_eze: no run in .* did you mean target_ece"):
        finished(tmp_path, "target_eze")


def test_the_best_by_a_calibration_error_is_the_lowest(tmp_path, capsys):
    for seed, error in enumerate((0.2, 0.1, 0.3)):
        job(tmp_path, "dann", seed, target_ece=error, target_macro_f1=error)
    for best, order in (("target_ece", ["1", "0", "2"]), ("target_macro_f1", ["2", "0", "1"])):
        assert cli.list_runs([str(tmp_path), f"best={best}"]) == 0
        head, *lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
        seeds = head.index("seed")
        assert [line[seeds] for line in lines] == order and best in head


def test_the_runs_of_a_folder_are_listed(tmp_path, capsys):
    for seed, bnm in enumerate((0.3, 0.9, 0.6)):
        folder = job(tmp_path / "deep" / "er", "dann", seed, target_accuracy=0.5 + seed / 10, validator_bnm=bnm).folder
        RunFolder(folder).set_status("finished", started=f"2026-01-0{3 - seed}T10:00:00")
    job(tmp_path, "source_only", 0, status="failed")

    def said(*words):
        assert cli.list_runs([str(tmp_path), *words]) == 0
        return capsys.readouterr().out

    newest = said("method=dann").splitlines()
    assert [line.split()[0] for line in newest[1:]] == ["2026-01-03", "2026-01-02", "2026-01-01"]
    best = said("best=bnm").splitlines()
    assert "bnm" in best[0] and [line.split()[5] for line in best[1:]] == ["1", "2", "0"]
    assert "looks at target test labels" in said("best=target_accuracy")
    assert "failed" in said("status=failed") and len(said("status=failed").splitlines()) == 2
    rows = list(csv.DictReader(io.StringIO(said("train.steps=20000", "--csv"))))
    assert len(rows) == 4 and rows[0]["train.lr"] == "0.01"
    with pytest.raises(UserError, match="no run has the key metod; did you mean method"):
        said("metod=dann")
    with pytest.raises(UserError, match="no run has seed=7; there are 0, 1, 2"):
        said("seed=7")
    with pytest.raises(UserError, match="no such runs in it"):
        said("seed=2", "status=failed")


def test_compare_says_which_runs_it_passes_over(tmp_path):
    job(tmp_path, "dann", 0, target_accuracy=0.5)
    old = job(tmp_path, "source_only", 0, target_accuracy=0.4).folder
    RunFolder(old).set_status("finished", fingerprint="of another version")
    said = command("compare", str(tmp_path), cwd=tmp_path)
    assert said.returncode == 0 and "passed over, made by another version of the code: 1" in said.stderr
    assert "source_only" not in said.stdout
