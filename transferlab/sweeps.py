"""The table at the end of a sweep: a pure function of the jobs' records."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from typing import Any

from transferlab.files import write_text
from transferlab.plan import Job
from transferlab.runs import FINISHED, RunFolder


def summarise(jobs: Sequence[Job]) -> None:
    """Print mean ± std over seeds of every combination, and write all jobs to summary.csv beside them."""
    records = [_record(job) for job in jobs]
    columns = dict.fromkeys(key for record in records for key in record)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    path = jobs[0].folder.parent / "summary.csv"
    write_text(path, text.getvalue())
    print()
    print(render(grouped(jobs, records)))
    print(f"\n{path}")


def _record(job: Job) -> dict[str, Any]:
    """A flat record of one job: what was asked, its results, or why there are none."""
    folder = RunFolder(job.folder)
    status = folder.status
    asked = {"job": " ".join(job.overrides), "folder": job.folder.name}
    if status.get("status") == FINISHED:
        return {**asked, **{k: v for k, v in folder.results.items() if not isinstance(v, list)}}
    return {**asked, "status": status.get("status", "missing"), "reason": status.get("reason", "")}


def _labels(jobs: Sequence[Job]) -> list[str]:
    """Each job's overrides but for the seed and what all jobs share."""
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    kept = [[o for o in job.overrides if not o.startswith("seed=") and o not in shared] for job in jobs]
    return [" ".join(words) or job.config.names["method"] for words, job in zip(kept, jobs, strict=True)]


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


def render(rows: Sequence[dict[str, str]]) -> str:
    """Rows as aligned text; a column that is empty throughout is left out."""
    columns = [c for c in rows[0] if any(row[c] for row in rows)]
    widths = {c: max(len(c), *(len(row[c]) for row in rows)) for c in columns}
    lines = ["  ".join(c.ljust(widths[c]) for c in columns)]
    lines += ["  ".join(row[c].ljust(widths[c]) for c in columns) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
