"""The table at the end of a sweep, and pictures of many runs: pure functions of the runs' records."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transferlab import layouts, naming
from transferlab.config import require, to_plain
from transferlab.files import write_text
from transferlab.plan import Job
from transferlab.runs import DONE, FINISHED, RunFolder, runs_in


def summarise(jobs: Sequence[Job]) -> None:
    """Print mean ± std over seeds of every combination, and write all jobs to summary.csv beside them.

    A seed that is named twice is one run, and counts once.
    """
    jobs = list({(job.folder, *_without_seed(job)): job for job in jobs}.values())
    records = [_record(job) for job in jobs]
    columns = dict.fromkeys(key for record in records for key in record)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    path = jobs[0].sweep / "summary.csv"
    write_text(path, text.getvalue())
    print()
    print(layouts.text(grouped(jobs, records)))
    print(f"\n{path}")


def finished(folder: Path) -> list[dict[str, Any]]:
    """The results of every finished run in ``folder``, whichever commands made them.

    ``row`` names the method, ``source`` and ``target`` the domains, each with those of its options in which the runs
    differ; ``per_class`` is the target's.
    """
    runs = [(run.results, to_plain(config)) for run, config in runs_in(folder) if run.status.get("status") == FINISHED]
    configs = [config for _, config in runs]
    domains = [config[role] for config in configs for role in ("source", "target")]
    methods = [config["method"] for config in configs]
    return [
        {
            **results, "row": _label(config["method"], methods), "source": _label(config["source"], domains),
            "target": _label(config["target"], domains), "per_class": config["target"]["per_class"],
        }
        for results, config in runs
    ]  # fmt: skip


def _label(section: dict[str, Any], sections: Sequence[dict[str, Any]]) -> str:
    """The name in a section of the config, and the options in which ``sections`` of that name differ."""
    others = [other for other in sections if other["name"] == section["name"]]
    words = [section["name"]]
    for key, value in section.items():
        if key != "per_class" and any(other[key] != value for other in others):
            text = ",".join(map(str, value)) if isinstance(value, list) else "null" if value is None else value
            words.append(f"{key}={text}")
    return " ".join(words)


def draw(folder: Path) -> list[Path]:
    """Pictures of all finished runs in ``folder`` together: over the target's size, over pairs of domains."""
    from transferlab.evaluation import figures

    records = finished(folder)
    require(bool(records), f"{folder}: no finished runs in it; name a sweep's folder, such as outputs/sweep")
    drawn = []
    sized = [r for r in records if r["per_class"] is not None and "target_train_accuracy" in r]
    if len({r["per_class"] for r in sized}) > 1:
        drawn.append(folder / "few_shot.png")
        figures.few_shot_curve(sized, drawn[-1])
    if len({(r["source"], r["target"]) for r in records}) > 1:
        drawn.append(folder / "transfer.png")
        scratch = [r["row"] for r in records if "initial=scratch" in r["row"]]
        figures.transfer_matrix(records, drawn[-1], scratch[0] if scratch else None)
    require(bool(drawn), f"{folder}: nothing to compare; its runs have one target.per_class and one pair of domains")
    return drawn


def _record(job: Job) -> dict[str, Any]:
    """A flat record of one job: what was asked, its results, or why there are none."""
    folder = RunFolder(job.folder)
    status = folder.status
    asked = {"job": " ".join(job.overrides), "folder": job.folder.name}
    if status.get("status") in DONE:
        plain = {k: naming.spelled(v) if isinstance(v, dict) else v for k, v in folder.results.items()}
        return {**asked, **{k: v for k, v in plain.items() if not isinstance(v, list)}}
    return {**asked, "status": status.get("status", "missing"), "reason": status.get("reason", "")}


def _labels(jobs: Sequence[Job]) -> list[str]:
    """Each job's overrides but for the seed and what all jobs share."""
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    kept = [[o for o in _without_seed(job) if o not in shared] for job in jobs]
    return [" ".join(words) or job.config.names["method"] for words, job in zip(kept, jobs, strict=True)]


def _without_seed(job: Job) -> list[str]:
    return [word for word in job.overrides if not word.startswith("seed=")]


def grouped(jobs: Sequence[Job], records: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """One row for each combination of everything but the seed."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for label, record in zip(_labels(jobs), records, strict=True):
        groups.setdefault(label, []).append(record)
    rows = []
    for label, members in groups.items():
        done = [r for r in members if r["status"] == FINISHED]
        reasons = "; ".join(dict.fromkeys(f"{r['status']}: {r.get('reason', '')}" for r in members if r not in done))
        rows.append({
            "job": label, "n": f"{len(done)}/{len(members)}",
            "source": spread([r["source_accuracy"] for r in done if "source_accuracy" in r]),
            "target": spread([r["target_accuracy"] for r in done]),
            "edition": ", ".join(dict.fromkeys(r["edition"] for r in done)), "note": reasons,
        })  # fmt: skip
    return rows


def spread(values: Sequence[float]) -> str:
    """mean ± sample standard deviation, in the accuracy's own units."""
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"
