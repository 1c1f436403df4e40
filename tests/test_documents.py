"""The documents' tables are what their records say, and so is every figure that names a record.

A figure names its record right behind it, as '.428 ± .002 [zero_shot: eszsl, standard]': table, row, column. In a page
that may be a link to the table.
"""

import dataclasses
import math
import re
import shlex
import statistics
from pathlib import Path

import pytest

from tests.test_tables import LINES, made
from transferlab import idle, plan
from transferlab.cli import table
from transferlab.errors import UserError
from transferlab.files import csv_text
from transferlab.reports import overview, rendering, table_entries, table_lines, tables

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
QUOTING = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "conf").rglob("*.yaml"))]
NUMBER = r"-?\d*\.\d+"
QUOTE = re.compile(rf"({NUMBER})(?: (?:±|\+-) ({NUMBER}))?\**[ \n#]+\(?\[(\w+): ([^],]+), ([^]]+)\]")


def wrong(text: str, records: Path) -> list[str]:
    """The figures in a text that are not those of the records that they name."""
    found = []
    for match in QUOTE.finditer(text):
        mean, spread, name, row, column = match.groups()
        path = records / f"{name}.csv"
        lines = table_lines.read_lines(path) if path.exists() else []
        values = [
            line.value for line in lines
            if (line.row, line.column, line.status) == (row, column, "finished") and line.value is not None
        ]  # fmt: skip
        figures = [(mean, statistics.mean(values) if values else math.nan)]
        if spread:
            figures.append((spread, statistics.stdev(values) if len(values) > 1 else math.nan))
        if any(f"{value:.{len(shown.partition('.')[2])}f}" != f"{float(shown):.{len(shown.partition('.')[2])}f}"
               for shown, value in figures):  # fmt: skip
            found.append(" ".join(match[0].split()))
    return found


@pytest.mark.parametrize("path", QUOTING, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_figure_that_names_its_record_is_the_records(path):
    assert wrong(path.read_text(encoding="utf-8"), RESULTS) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": "7.5"}, r"line 2: value=7.5: a target accuracy is 0 to 1"),
        ({"value": "nan"}, "value=nan is no number"),
        ({"low": "inf"}, "low=inf is no number"), ({"seed": "1"}, "line 3: row codes of column 20 has seed 1 twice"),
        ({"status": "zzz"}, "status=zzz, and yet a value; allowed with one are finished, collapsed"),
        ({"metric": "nmi"}, "line 3: row codes of column 20 has two methods or metrics"),
        ({"seed": "one"}, "runs.csv .*one"),
    ],
)  # fmt: skip
def test_a_record_that_no_table_writes_is_refused(change, said, tmp_path, capsys):
    lines = [dataclasses.asdict(dataclasses.replace(LINES[0], row="codes", column="20", seed=seed)) for seed in (0, 1)]
    lines[0] |= change
    path = tmp_path / "runs.csv"
    path.write_text(csv_text(lines))
    with pytest.raises(UserError, match=said) as error:
        table(["self_taught", "--from", str(path)])
    assert "\n" not in str(error.value)


def test_a_record_of_two_editions_has_gaps(tmp_path, capsys):
    """Of two rows each has only one of a column's editions."""
    lines = [dataclasses.replace(LINES[0], row=row, column="20", edition=edition)
             for row, edition in (("raw", "full"), ("codes", "sample"))]  # fmt: skip
    path = tmp_path / "runs.csv"
    path.write_text(csv_text([dataclasses.asdict(line) for line in lines]))
    assert table(["self_taught", "--from", str(path)]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("20 (full)", "20 (sample)", "–"))


@pytest.mark.parametrize("words", [["train.steps=3"], ["a", "b"]])
def test_words_beside_a_record_are_refused(words, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(csv_text([dataclasses.asdict(dataclasses.replace(LINES[0], row="codes", column="20"))]))
    with pytest.raises(UserError, match="no effect with --from, which runs nothing|a: not of the form"):
        table(["self_taught", "--from", str(path), *words])


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*")), ids=lambda path: path.name)
def test_every_page_is_its_record_rendered(path, tmp_path, capsys):
    """transferlab table <name> --from docs/results/<name>.csv --docs docs/results writes the page again."""
    record = path.with_suffix(".csv")
    assert table([path.stem, "--from", str(record), "--docs", str(tmp_path)]) == 0
    assert (tmp_path / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8")
    assert all(line.metric == line.metric.strip() and line.run for line in table_lines.read_lines(record) if line.value)


def test_a_quoted_figure_is_held_against_its_record(tmp_path):
    asked = dataclasses.replace(made(), docs=tmp_path)
    rendering.document(asked, LINES)
    right = ".500 ± .010 [made: low, x_y], 0.82 ([made: a_b|c, x_y](results/made.md)); .9\n# [made: up, x_y]"
    assert len(QUOTE.findall(right)) == 3 and wrong(right, tmp_path) == []
    for other in (".501 [made: low, x_y]", ".50 +- .02 [made: low, x_y]", ".5 [made: lo, x_y]", ".5 [other: low, x_y]"):
        assert wrong(other, tmp_path) == [other]


def test_a_record_without_results_is_not_a_document(tmp_path):
    nothing = [dataclasses.replace(line, status="missing", value=None) for line in LINES]
    with pytest.raises(UserError, match="no run of made is finished"):
        rendering.document(dataclasses.replace(made(), docs=tmp_path), nothing)
    assert not list(tmp_path.iterdir())


def test_a_part_of_a_record_is_shown_by_rows_columns_and_seeds(tmp_path, capsys):
    lines = [dataclasses.replace(LINES[0], row=row, column=column, seed=seed, value=0.5 + seed / 10)
             for row in ("raw", "codes") for column in ("5", "20") for seed in (0, 1)]  # fmt: skip
    path = tmp_path / "runs.csv"
    path.write_text(csv_text([dataclasses.asdict(line) for line in lines]))
    assert table(["self_taught", "--from", str(path), "rows=codes", "columns=20", "seeds=1,7"]) == 0
    out = capsys.readouterr().out
    assert "codes" in out and "raw" not in out and "0.60" in out and "(1)" in out
    with pytest.raises(UserError, match="none of the runs that are asked for"):
        rendering.from_records(tables.request(["self_taught", "--from", str(path), "columns=100"]))


def commands(text):
    """Each command of the indented blocks; a line that only goes on stands in place of the command's last line."""
    found = []
    for block in re.findall(r"(?:^    .*\n)+", text, re.M):
        head, last = [], []
        for line in block.splitlines():
            line = line.partition("  #")[0].strip()
            if line.startswith("transferlab "):
                head, last = [], []
            elif not last and not head:  # not a command of ours
                break
            (head if line.endswith("\\") else last).append(line.rstrip("\\ "))
            if not line.endswith("\\"):
                found.append(" ".join([*head, last[-1]]))
    return found


IN_DOCUMENTS = {
    line: path.name
    for path in [*(ROOT / "docs" / "log").glob("*-results.md"), *sorted((ROOT / "docs" / "methods").glob("*.md"))]
    for line in commands(path.read_text(encoding="utf-8"))
    if "…" not in line
}


def test_alternatives_of_a_command_are_read():
    text = "    transferlab -m a=1 \\\n        b=1   # or\n        b=2\n\n    transferlab c=1\n"
    assert commands(text) == ["transferlab -m a=1 b=1", "transferlab -m a=1 b=2", "transferlab c=1"]
    assert len(IN_DOCUMENTS) >= 50


@pytest.mark.parametrize("line", IN_DOCUMENTS, ids=lambda line: f"{IN_DOCUMENTS[line]}: {line}")
def test_every_command_of_the_documents_is_taken(line):
    """As far as it can be told without data."""
    for placeholder, one in (("<method>", "eszsl"), ("<name>", "digits"), ("<pair>", "source=usps"), ("<data>", ".")):
        line = line.replace(placeholder, one)
    verb, *words = shlex.split(line)[1:]
    if verb == "table":
        assert tables.request(words)
    elif verb not in ("compare", "photographs", "doctor"):
        args = plan.arguments([verb, *words])
        config = plan.typed(plan.one(args)[0])
        if not args.multirun:
            idle.refuse([(args.overrides, idle.keys(config, {}))])


def test_the_results_page_is_written_from_the_records():
    """python scripts/make_results.py"""
    assert (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8") == overview.page(RESULTS)


@pytest.mark.parametrize(("metric", "word"), [("target_accuracy", "helps"), ("seconds", "harms")])
def test_the_results_page_knows_which_way_a_figure_is_better(metric, word):
    table = tables.load("dann", None)
    found = [
        table_entries.Entry([table_lines.Line("c", row, seed, "dann", "", "finished", "", metric, value + seed / 100)
                             for seed in range(3)], {})
        for row, value in ((table.reference_row, 0.5), (table.subject, 0.9))
    ]  # fmt: skip
    (shown,) = overview.compared(table, found)
    assert shown["verdict"] == word
    assert overview.compared(table, found[:1]) == overview.compared(table, found[1:]) == []


def test_the_results_page_is_one_screen_whose_links_have_the_rest(tmp_path):
    """A line says which figures it compares; the page behind its link has the command, the machine and the revision."""
    text = (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 60
    for record in RESULTS.glob("*.csv"):
        linked = f"(results/{record.stem}.md)"
        lines, behind = table_lines.read_lines(record), record.with_suffix(".md").read_text(encoding="utf-8")
        assert linked in text
        for line in (line for line in lines if line.run):
            assert all(part in behind for part in (line.command, line.machine, line.precision, line.code))
    few = table_lines.read_lines(RESULTS / "few_shot.csv")
    assert "Without" not in _page_of(few, tmp_path) and "Without runs of both: [few_shot]" in _page_of(
        [line for line in few if line.row != "finetune"], tmp_path
    )


def _page_of(lines, folder):
    (folder / "few_shot.csv").write_text(csv_text([dataclasses.asdict(line) for line in lines]), encoding="utf-8")
    return overview.page(folder)


@pytest.mark.parametrize("path", QUOTING, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")) if path.suffix == ".md" else []
    there = [link for link in links if not link.startswith(("http", "mailto"))]
    assert [link for link in there if not (path.parent / link).exists()] == []
