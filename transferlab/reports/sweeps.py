"""The table at the end of a sweep, and pictures of many runs: pure functions of the runs' records."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transferlab import intervals, naming, records
from transferlab.config import to_plain
from transferlab.errors import nearest, require
from transferlab.files import csv_text, write_text
from transferlab.plan import Job
from transferlab.records import headline
from transferlab.reports import layouts
from transferlab.reports.table_entries import LOWER_IS_BETTER
from transferlab.runs import COLLAPSED, DONE, FINISHED, RunFolder


def summarise(jobs: Sequence[Job]) -> None:
    """Print mean ± std over seeds of every combination, and write all jobs to summary.csv beside them.

    A seed that is named twice is one run, and counts once.
    """
    jobs = list({(job.folder, *_without_seed(job)): job for job in jobs}.values())
    lines = [_record(job) for job in jobs]
    print()
    print(layouts.text(grouped(jobs, lines)))
    path = jobs[0].sweep / "summary.csv"
    write_text(path, csv_text(lines))
    print(f"\n{path}")


def finished(folder: Path, metric: str | None = None) -> list[dict[str, Any]]:
    """The results of every run in ``folder`` that this version of the code has finished, whichever commands made them.

    ``row`` names the method with those of its options, and of net and training, in which the runs differ; ``source``
    and ``target`` the domains likewise; ``per_class`` is the target's; ``value`` is of ``metric``, by default the
    method's headline. Raises :class:`~transferlab.errors.UserError` for a metric that no run has.
    """
    done = [record for record in records.read_all(folder) if record.state == FINISHED]
    runs = [record for record in done if record.current]
    records.say_passed_over(folder, ["made by another version of the code"] * (len(done) - len(runs)))
    if metric is not None:
        known = sorted({key for run in runs for key in run.numbers})
        hint = f"no run in {folder} has it; there are {', '.join(known)}{nearest(metric, known)}"
        require(metric in known or not runs, f"metric={metric}: {hint}")
        without = [run for run in runs if metric not in run.numbers]
        records.say_passed_over(folder, [f"without {metric}"] * len(without))
        runs = [run for run in runs if metric in run.numbers]
    configs = [to_plain(run.config) for run in runs]
    for run, config in zip(runs, configs, strict=True):
        for role in ("source", "target"):
            config[role]["data"] = run.digests[role][:8]
    domains = [config[role] for config in configs for role in ("source", "target")]
    methods = [config["method"] for config in configs]
    return [
        {
            **run.results, "row": " ".join([_label(config["method"], methods), *_settings(config, configs)]),
            "source": _label(config["source"], domains), "target": _label(config["target"], domains),
            "per_class": config["target"]["per_class"], "seed": config["seed"],
            "metric": metric or run.headline, "value": run.results.get(metric or run.headline),
        }
        for run, config in zip(runs, configs, strict=True)
    ]  # fmt: skip


def _settings(config: dict[str, Any], configs: Sequence[dict[str, Any]]) -> list[str]:
    """The settings of net and training in which ``configs`` of the same method differ, as words of a command line."""
    others = [other for other in configs if other["method"]["name"] == config["method"]["name"]]
    return [
        f"{section}.{key}={value}"
        for section in ("model", "train")
        for key, value in config[section].items()
        if any(other[section][key] != value for other in others)
    ]


def _label(section: dict[str, Any], sections: Sequence[dict[str, Any]]) -> str:
    """The name in a section of the config, and the options in which ``sections`` of that name differ.

    ``data``, a digest, distinguishes runs of the same options whose files have changed in between.
    """
    others = [other for other in sections if other["name"] == section["name"]]
    words = [section["name"]]
    for key, value in section.items():
        if key == "data":
            others = [other for other in others if {**other, "data": value} == section]
        if key != "per_class" and any(other[key] != value for other in others):
            text = ",".join(map(str, value)) if isinstance(value, list) else "null" if value is None else value
            words.append(f"{key}={text}")
    return " ".join(words)


def draw(runs: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Pictures of :func:`finished` runs together, in ``folder``: over the target's size, over pairs of domains."""
    from transferlab.evaluation import charts

    drawn = []
    sized = [r for r in runs if r["per_class"] is not None and "target_train_accuracy" in r]
    if len({r["per_class"] for r in sized}) > 1:
        drawn.append(folder / "few_shot.png")
        charts.few_shot_curve(sized, drawn[-1])
    if len({(r["source"], r["target"]) for r in runs}) > 1:
        drawn.append(folder / "transfer.png")
        scratch = [r["row"] for r in runs if "initial=scratch" in r["row"]]
        charts.transfer_matrix(runs, drawn[-1], scratch[0] if scratch else None)
    return drawn


def compared(runs: Sequence[dict[str, Any]]) -> str:
    """A line for each row, pair of domains and number of labels among :func:`finished` runs.

    It has the mean over seeds with its interval, and the paired difference from the reference, which is the row that
    starts from scratch, or source_only, or else the first.
    """
    groups: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = {}
    for run in runs:
        if run["value"] is not None:
            groups.setdefault((run["source"], run["target"], run["per_class"], run["row"]), {})[run["seed"]] = run
    rows = list(dict.fromkeys(row for *_, row in groups))
    baselines = [row for row in rows if "initial=scratch" in row] + [row for row in rows if row == "source_only"]
    reference = [*baselines, *rows][0] if rows else ""
    if not groups:
        return ""
    each = layouts.text([_compared(key, runs, groups, reference) for key, runs in groups.items()])
    together = [line for row in rows if (line := _over_cases(row, groups, reference))]
    return each + (f"\n\nOver all of these, each weighing the same:\n{layouts.text(together)}" if together else "")


def _over_cases(row: str, groups: dict[tuple[Any, ...], Any], reference: str) -> dict[str, str]:
    """A row's mean difference from the reference over the pairs of domains and numbers of labels that both have.

    Seeds of one case are averaged: cases differ, and the interval is over them. Nothing for fewer than two.
    """
    means = []
    for (*case, name), runs in groups.items():
        theirs = groups.get((*case, reference), {})
        values, others = ({seed: run["value"] for seed, run in part.items()} for part in (runs, theirs))
        metrics = {run["metric"] for part in (runs, theirs) for run in part.values()}
        paired = intervals.differences(values, others) if name == row != reference and len(metrics) == 1 else []
        means += [statistics.fmean(paired)] if paired else []
    if len(means) < 2:
        return {}
    digits = layouts.decimals(means)
    return {
        "row": row, "cases": str(len(means)), f"minus {reference}": layouts.difference(means, digits),
        "95 % over cases": layouts.interval(intervals.over_seeds(means), digits, sign=True),
        "higher in": f"{sum(mean > 0 for mean in means)} of {len(means)}",
    }  # fmt: skip


def _compared(key: tuple[Any, ...], runs: dict[int, Any], groups: dict[tuple[Any, ...], Any], reference: str) -> Any:
    source, target, per_class, row = key
    of_reference = groups.get((*key[:3], reference), {})
    values, theirs = ({seed: run["value"] for seed, run in part.items()} for part in (runs, of_reference))
    metrics = {run["metric"] for part in (runs, of_reference) for run in part.values()}
    counts = [run["target_test_count"] for run in runs.values() if "target_test_count" in run]
    paired = intervals.differences(values, theirs) if row != reference and len(metrics) == 1 else []
    numbers = list(values.values())
    digits, fine = layouts.decimals(numbers), layouts.decimals(paired)
    return {
        "source": source, "target": target, "labels each": "" if per_class is None else str(per_class), "row": row,
        "n": str(len(numbers)), "mean ± std": layouts.spread(numbers), "metric": naming.metric_words(min(metrics)),
        "95 % over seeds": layouts.interval(intervals.of_metric(numbers, min(metrics)), digits),
        "test samples": str(max(counts)) if counts else "",
        f"minus {reference}": layouts.difference(paired, fine),
        "95 %": layouts.interval(intervals.over_seeds(paired), fine, sign=True),
        "": intervals.verdict(paired, min(counts) if counts else None, min(metrics) in LOWER_IS_BETTER),
    }  # fmt: skip


def _record(job: Job) -> dict[str, Any]:
    """A flat record of one job: what was asked, its results, or why there are none."""
    folder = RunFolder(job.folder)
    status = folder.status
    asked = {"job": " ".join(job.overrides), "folder": job.folder.name}
    if status.get("status") in DONE:
        return {**asked, **_flat(folder.results), "status": status["status"], "reason": status.get("reason", "")}
    return {**asked, "status": status.get("status", "missing"), "reason": status.get("reason", "")}


def _flat(results: dict[str, Any]) -> dict[str, Any]:
    """The plain values of a record, an interval as its two ends; longer lists are left out."""
    flat: dict[str, Any] = {}
    for key, value in results.items():
        if key.endswith("_interval"):
            flat |= {key.replace("_interval", "_low"): value[0], key.replace("_interval", "_high"): value[1]}
        elif not isinstance(value, list):
            flat[key] = naming.spelled(value) if isinstance(value, dict) else value
    return flat


def _labels(jobs: Sequence[Job]) -> list[str]:
    """Each job's overrides except for the seed and what all jobs share."""
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    kept = [[o for o in _without_seed(job) if o not in shared] for job in jobs]
    return [" ".join(words) or job.config.names["method"] for words, job in zip(kept, jobs, strict=True)]


def _without_seed(job: Job) -> list[str]:
    return [word for word in job.overrides if not word.startswith("seed=")]


def grouped(jobs: Sequence[Job], records: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """One row for each combination of everything but the seed; a column for each headline of their methods."""
    groups: dict[str, list[dict[str, Any]]] = {}
    metric: dict[str, str] = {}
    for label, job, record in zip(_labels(jobs), jobs, records, strict=True):
        groups.setdefault(label, []).append(record)
        metric[label] = headline(job.config)
    rows = []
    for label, members in groups.items():
        done = [r for r in members if r["status"] == FINISHED]
        collapsed = [r for r in members if r["status"] == COLLAPSED]
        reasons = "; ".join(dict.fromkeys(f"{r['status']}: {r.get('reason', '')}" for r in members if r not in done))
        key = metric[label]
        values = [r[key] for r in done if key in r]
        ends = intervals.of_metric(values, key) or next(((r[f"{key}_low"], r[f"{key}_high"]) for r in done
                                                     if f"{key}_low" in r), None)  # fmt: skip
        half = (ends[1] - ends[0]) / 2 if ends else None
        rows.append({
            "job": label, "n": layouts.count(len(done), len(members), len(collapsed)),
            "source": layouts.spread([r["source_accuracy"] for r in done if "source_accuracy" in r], half),
            **{naming.metric_words(m): layouts.spread(values, half) if m == key else "" for m in metric.values()},
            "95 %": layouts.interval(ends, layouts.decimals(values, half)),
            "test samples": ", ".join(dict.fromkeys(str(r.get("target_test_count", "")) for r in done)),
            "edition": ", ".join(dict.fromkeys(r["edition"] for r in done)), "note": reasons,
        })  # fmt: skip
    return rows
