"""Rows of text as a table: aligned, Markdown, LaTeX. A row is a dict; all rows have the same keys, the columns."""

from __future__ import annotations

from collections.abc import Sequence

Rows = Sequence[dict[str, str]]
_LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "→": r"$\to$", "–": "--", "−": "$-$", "~": r"\textasciitilde{}",
          "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
          **{sign: f"\\{sign}" for sign in "&%$#_{}"}}  # fmt: skip


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


def latex(rows: Rows) -> str:
    """A tabular that needs no package."""
    head, *body = [" & ".join(map(escaped, line)) + r" \\" for line in _cells(rows)]
    columns = "l" * len(_used(rows))
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", head, r"\hline", *body, r"\end{tabular}"])


def escaped(words: str) -> str:
    """``words`` for LaTeX."""
    return "".join(_LATEX.get(sign, sign) for sign in words)


def _used(rows: Rows) -> list[str]:
    """The columns but for those that are empty throughout."""
    return [c for c in rows[0] if any(row[c] for row in rows)]


def _cells(rows: Rows) -> list[list[str]]:
    """The head and the rows, in the columns that are used."""
    columns = _used(rows)
    return [columns, *([row[c] for c in columns] for row in rows)]
