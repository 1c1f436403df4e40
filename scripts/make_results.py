"""Write docs/RESULTS.md from the records in docs/results."""

from pathlib import Path

from transferlab.files import write_text
from transferlab.reports.overview import page

DOCS = Path(__file__).parents[1] / "docs"

if __name__ == "__main__":
    write_text(DOCS / "RESULTS.md", page(DOCS / "results"))
