"""What the client verbs print: lines for people, one JSON document for programs, a progress bar on a terminal's stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import click

from stow.cli.text import visible

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_SIZE_WIDTH: Final = len("1023.9 MiB")
_TIME_WIDTH: Final = len("2026-01-02T03:04:05Z")


def as_json(document: object) -> None:
    """ASCII alone: readable by every program under every locale, and harmless on a terminal."""
    click.echo(json.dumps(document, indent=2))


def size(size_bytes: int) -> str:
    """1536 as ``1.5 KiB``; exact below 1 KiB."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    amount, unit = float(size_bytes), 0
    while round(amount, 1) >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}"


def time(text: str | None) -> str:
    """An RFC 3339 time to the second, in UTC; empty where there is none."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if text else ""


def entry(key: str, size_bytes: int | None, modified: str | None) -> None:
    """One line of a listing. Columns have fixed widths, so that a line can be printed before the next page is there."""
    amount = "" if size_bytes is None else size(size_bytes)
    click.echo(f"{amount:>{_SIZE_WIDTH}}  {time(modified):<{_TIME_WIDTH}}  {visible(key)}")


def pairs(items: Iterable[tuple[str, Any]]) -> None:
    """``name: value`` lines, values aligned; None is left out."""
    there = [(name, str(value)) for name, value in items if value is not None]
    width = max((len(name) for name, _ in there), default=0)
    for name, value in there:
        click.echo(f"{name + ':':<{width + 1}} {visible(value)}")


async def with_progress(
    chunks: AsyncIterator[bytes], *, what: str, size_bytes: int | None, wanted: bool = True
) -> AsyncIterator[bytes]:
    """The chunks, and a bar while they pass; nothing is drawn where stderr is no terminal, or where it is not ``wanted``."""
    if not wanted or sys.stderr is None or not sys.stderr.isatty():
        async for chunk in chunks:
            yield chunk
        return
    # Late: most calls draw nothing, and it takes as long to import as a small request takes.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # a key may hold what looks like markup
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task(visible(what), total=size_bytes)
        async for chunk in chunks:
            progress.update(task, advance=len(chunk))
            yield chunk
