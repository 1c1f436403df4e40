"""Pictures of the runs in one folder."""

import pytest

from tests.conftest import command
from transferlab import plan
from transferlab.cli import execute
from transferlab.config import from_plain, to_plain
from transferlab.files import write_json
from transferlab.runs import RunFolder
from transferlab.sweeps import draw, finished, summarise


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
    assert [path.name for path in draw(tmp_path)] == ["few_shot.png", "transfer.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in draw(tmp_path))


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
        write_json(folder / "status.json", {"status": "finished"})
        write_json(folder / "results.json", record)
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


@pytest.mark.parametrize(("words", "expected"), [
    (["."], ".: no finished runs in it; name a sweep's folder"), ([], "compare: takes one folder of runs"),
])  # fmt: skip
def test_nothing_to_compare_is_one_clear_line(tmp_path, words, expected):
    done = command("compare", *words, cwd=tmp_path)
    assert done.returncode == 2 and expected in done.stderr and done.stderr.count("\n") == 1
