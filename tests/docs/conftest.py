"""Real: the pages below `docs/` and the code that they describe. Fake: nothing. Asserted: that both say the same.

A page's tables are read by their heading: `manual.table("metrics.md", "Gateway")` is the rows of the first table below that
heading, each a mapping from column to text without backticks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_CELL = re.compile(r"(?<!\\)\|")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Manual:
    """The documentation, as tests look at it."""

    root: Path

    def text(self, page: str) -> str:
        return (self.root / "docs" / page).read_text(encoding="utf-8")

    def pages(self) -> tuple[Path, ...]:
        """Every Markdown file that belongs to the project."""
        below_docs = sorted((self.root / "docs").rglob("*.md"))
        return (*sorted(self.root.glob("*.md")), *below_docs, *sorted((self.root / "examples").rglob("*.md")))

    def section(self, page: str, heading: str) -> str:
        """What stands below a heading, up to the next one of its rank or above."""
        lines, rank, fenced = [], 0, False
        for line in self.text(page).splitlines():
            fenced ^= line.startswith("```")
            marks = 0 if fenced else len(line) - len(line.lstrip("#"))
            if rank and marks and marks <= rank:
                break
            if rank:
                lines.append(line)
            elif marks and line.strip("# ").replace("`", "") == heading:
                rank = marks
        assert rank, f"docs/{page} has no heading {heading!r}"
        return "\n".join(lines)

    def table(self, page: str, heading: str, *, first_column: str | None = None) -> list[dict[str, str]]:
        """The first table below the heading, or the first whose first column is called so."""
        for header, rows in _tables(self.section(page, heading)):
            if first_column in {None, header[0]}:
                return [dict(zip(header, row, strict=True)) for row in rows]
        raise AssertionError(f"docs/{page} has no such table below {heading!r}")

    def blocks(self, path: Path, language: str) -> list[str]:
        """The fenced blocks of a language."""
        found = _FENCE.findall(path.read_text(encoding="utf-8"))
        return [body for name, body in found if name == language]


def _tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    rows: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip().replace("`", "").replace("\\|", "|") for cell in _CELL.split(line)[1:-1]])
        elif rows:
            header, _rule, *body = rows
            yield header, body
            rows = []


@pytest.fixture(scope="session")
def manual() -> Manual:
    return Manual(ROOT)
