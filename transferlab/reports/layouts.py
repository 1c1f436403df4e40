"""Rows of text as a table: aligned, Markdown, LaTeX. A row is a dict; all rows have the same keys, the columns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[dict[str, str]]
_LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "→": r"$\to$", "–": "--", "−": "$-$", "~": r"\textasciitilde{}",
          "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
          **{sign: f"\\{sign}" for sign in "&%$#_{}"}}  # fmt: skip


def decimals(values: Sequence[float], half: float | None = None) -> int:
    """Two significant digits of the uncertainty: of the spread of ``values``, or of ``half`` an interval where there is
    no spread. From 2 to 4; 4 where nothing is known."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    uncertainty = spread or half or 0.0
    return min(4, max(2, 1 - math.floor(math.log10(uncertainty)))) if uncertainty > 0 else 4


def spread(values: Sequence[float], half: float | None = None) -> str:
    """mean ± sample standard deviation, in the values' own units; without ± of a single value."""
    if not values:
        return "-"
    digits = decimals(values, half)
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def figure(key: str, results: Mapping[str, Any]) -> str:
    """A number of a run, with its 95 % interval and the test samples where it is measured on them."""
    text = f"{results[key]:.4f}"
    if (interval := results.get(f"{key}_interval")) is None:
        return text
    low, high = interval
    domain = {"u": "target", "s": "source"}.get(key, key.partition("_")[0])
    count = results[f"{domain}_test_count"]
    return f"{text}  (95 %: {low:.4f} to {high:.4f}, {count} test samples)"


def count(finished: int, asked: int, collapsed: int = 0) -> str:
    """How many runs a figure is of: '3', or '2/3, 1 collapsed'."""
    whole = str(finished) if finished == asked else f"{finished}/{asked}"
    return f"{whole}, {collapsed} collapsed" if collapsed else whole


def interval(ends: tuple[float, float] | None, digits: int, sign: bool = False) -> str:
    """'0.81 to 0.85', or nothing."""
    return "" if ends is None else " to ".join(f"{end:{'+' if sign else ''}.{digits}f}" for end in ends)


def difference(paired: Sequence[float], digits: int = 4) -> str:
    """The mean of paired differences, with its sign; nothing where there are none."""
    return f"{statistics.fmean(paired) + 0.0:+.{digits}f}" if paired else ""


def text(rows: Rows) -> str:
    """Aligned with spaces."""
    lines = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in padded)


def markdown(rows: Rows) -> str:
    """A table of GitHub's Markdown."""
    head, *body = _cells(rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def latex(rows: Rows, caption: str, label: str, bold: Sequence[tuple[int, str]] = ()) -> str:
    """A table float with booktabs' rules, never wider than the page; for packages booktabs and graphicx.

    bold: cells to print so, by the number of the row and the column.
    """
    head, *body = _cells(rows)
    lines = [" & ".join(map(escaped, head)) + r" \\", r"\midrule"]
    for number, cells in enumerate(body):
        marked = [
            rf"\textbf{{{escaped(cell)}}}" if (number, column) in bold else escaped(cell)
            for column, cell in zip(head, cells, strict=True)
        ]
        lines.append(" & ".join(marked) + r" \\")
    # A wide table is scaled down to the text's width; a narrow one keeps its size.
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{escaped(caption)}}}", rf"\label{{tab:{label}}}",
        r"\resizebox{\ifdim\width>\linewidth \linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * len(head)}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}}",
        r"\end{table}",
    ])  # fmt: skip


def escaped(words: str) -> str:
    """``words`` for LaTeX."""
    return "".join(_LATEX.get(sign, sign) for sign in words)


def _used(rows: Rows) -> list[str]:
    """The columns except for those that are empty throughout."""
    return [c for c in rows[0] if any(row[c] for row in rows)]


def _cells(rows: Rows) -> list[list[str]]:
    """The head and the rows, in the columns that are used."""
    columns = _used(rows)
    return [columns, *([row[c] for c in columns] for row in rows)]
