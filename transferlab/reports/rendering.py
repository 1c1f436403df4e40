"""A table's files: text, Markdown, TeX, charts, and the record and page that documents keep.

Every run is one flat line, and all else is a function of these lines and the table's config: ``runs.csv`` alone renders
the table again.
"""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transferlab import intervals, naming
from transferlab.errors import require
from transferlab.files import csv_text, write_text
from transferlab.reports import layouts
from transferlab.reports.table_entries import LOWER_IS_BETTER, Entry, entries, flat
from transferlab.reports.table_lines import Line, lines, read_lines, records
from transferlab.reports.table_pages import footnotes, page, row_names, text, text_blocks
from transferlab.reports.tables import Cell, Request, output_folder
from transferlab.runs import DONE

if TYPE_CHECKING:
    from transferlab.evaluation import figures


def render(asked: Request, wanted: Sequence[Cell]) -> str:
    """Write the table from the folders of its runs; returns its text, and where the files are."""
    sweep, folder = wanted[0].sweep, output_folder(asked, wanted)
    of = lines(asked, wanted, records(sweep))
    write(asked, folder, of, sweep)
    return "\n".join([text(asked, of), str(folder), *map(str, document(asked, of))])


def document(asked: Request, of: Sequence[Line]) -> list[Path]:
    """Write the record and the page for a folder of documents, where one is asked for; returns their paths."""
    if asked.docs is None:
        return []
    require(any(line.status in DONE for line in of), f"--docs {asked.docs}: no run of {asked.name} is finished")
    paths = [asked.docs / f"{asked.name}{end}" for end in (".csv", ".md")]
    record = csv_text([dataclasses.asdict(line) for line in of])
    for path, content in zip(paths, (record, page(asked, of)), strict=True):
        write_text(path, content)
    return paths


def write(asked: Request, folder: Path, of: Sequence[Line], sweep: Path) -> None:
    """Write runs.csv, and from it table.txt, .md, .csv, .tex and the charts; feature spaces come from the runs'."""
    from transferlab.evaluation import charts, figures

    found, title = entries(asked.table, of), asked.table.title
    write_text(folder / "runs.csv", csv_text([dataclasses.asdict(line) for line in of]))
    write_text(folder / "table.csv", csv_text(flat(asked.table, found)))
    write_text(folder / "table.txt", text(asked, of))
    write_text(folder / "table.md", page(asked, of))
    latex = _latex(asked, found)
    write_text(folder / "table.tex", latex)
    headings = list(dict.fromkeys(entry.heading for entry in found))
    names = row_names(found)
    bars = {row: [e for e in found if e.row == row] for row in names}
    marks = {paper: {names[row]: [e.published.get(paper) for e in of_row] for row, of_row in bars.items()}
             for paper in asked.table.published}  # fmt: skip
    charts.bars(
        headings,
        {names[row]: [list(e.values.values()) for e in of_row] for row, of_row in bars.items()},
        {names[row]: of_row[0].lines[0].method for row, of_row in bars.items()},
        {paper: of for paper, of in marks.items() if any(m is not None for of_row in of.values() for m in of_row)},
        folder / "table.png",
        title,
        naming.metric_words(found[0].metric),
    )
    for heading in headings:
        there = {entry.row: entry for entry in found if entry.heading == heading}
        panels = [_panel(there[row], sweep) for row in asked.table.feature_space if row in there]
        drawn = [panel for panel in panels if panel]
        if len(drawn) == len(asked.table.feature_space) > 0:
            name = re.sub(r"[^\w.-]+", "_", f"features_{heading}").rstrip("_")
            figures.feature_space(drawn, folder / f"{name}.png")


def _latex(asked: Request, found: Sequence[Entry]) -> str:
    """The table for LaTeX: the grid with the best of each column in bold, then intervals and data, then the notes."""
    blocks, names = text_blocks(asked, found), row_names(found)
    sideways = len({entry.heading for entry in found}) > len(asked.rows)
    places = [line[" "] for line in blocks[0]]
    best = [(names[e.row], e.heading) for heading in dict.fromkeys(e.heading for e in found)
            for e in _best([e for e in found if e.heading == heading])]  # fmt: skip
    bold = [(places.index(heading), row) if sideways else (places.index(row), heading) for row, heading in best]
    captions = [asked.table.title, f"{asked.table.title}: intervals and differences", f"{asked.table.title}: data"]
    floats = [
        layouts.latex(block, caption, f"{asked.name}{place or ''}", bold if place == 0 else ())
        for place, (block, caption) in enumerate(zip(blocks, captions, strict=False))
    ]
    notes = [rf"\noindent {layouts.escaped(note)}\par" for note in footnotes(asked, found)]
    return "\n\n".join([r"% \usepackage{booktabs,graphicx}", *floats, "\n".join(notes)]).rstrip() + "\n"


def _best(column: Sequence[Entry]) -> list[Entry]:
    """The figure with the best mean, where all are of one metric, and those that are not different from it."""
    with_values = [entry for entry in column if entry.values]
    if len({entry.metric for entry in with_values}) != 1 or len(with_values) < 2:
        return []
    lower = with_values[0].metric in LOWER_IS_BETTER
    best = max(with_values, key=lambda e: statistics.fmean(e.values.values()) * (-1 if lower else 1))
    pairs = {e.row: intervals.differences(best.values, e.values) for e in with_values}
    equal = [
        e for e in with_values if len(pairs[e.row]) > 1 and not intervals.is_difference(pairs[e.row], e.test_count)
    ]
    return [best, *(e for e in equal if e is not best)]


def _panel(entry: Entry, sweep: Path) -> figures.Panel | None:
    """The feature space of the first finished run of a cell that has drawn one."""
    from transferlab.evaluation import figures

    for line in entry.finished:
        if (path := sweep / line.run / "figures" / "features.csv").is_file():
            return figures.read_panel(path, entry.row.replace("_", " "))
    return None


def _remedy(recorded: str) -> str:
    return f"add {recorded}" if recorded else "leave out metric="


def from_records(asked: Request) -> str:
    """The table of a runs.csv, of the rows, columns and seeds in it that are asked for."""
    assert asked.records is not None
    words = ", ".join(asked.words)
    require(not words, f"{words}: no effect with --from, which runs nothing; allowed are rows=, columns= and seeds=")
    read = read_lines(asked.records)
    recorded = next((word for line in read for word in line.command.split() if word.startswith("metric=")), "")
    given = f"metric={asked.metric}" if asked.metric else ""
    require(given == recorded, f"{asked.records}: is of {recorded or 'the metric of its file'}; {_remedy(recorded)}")
    for key, known in (("row", asked.table.rows), ("column", asked.table.columns)):
        others = {getattr(line, key) for line in read} - set(known)
        require(not others, f"{asked.records}: {key} {min(others, default='')} is not one of table {asked.name}")
    of = [line for line in read if line.row in asked.rows and line.column in asked.columns]
    of = of if asked.seeds == asked.table.seeds else [line for line in of if line.seed in asked.seeds]
    require(bool(of), f"{asked.records}: none of the runs that are asked for is in it")
    rows, columns = ([name for name in wanted if name in {getattr(line, key) for line in of}]
                     for key, wanted in (("row", asked.rows), ("column", asked.columns)))  # fmt: skip
    shown = dataclasses.replace(asked, rows=rows, columns=columns)
    return "\n".join([text(shown, of), *map(str, document(shown, of))])
