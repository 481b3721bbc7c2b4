"""What the client verbs print: tables and sizes for people, one JSON document for programs, a progress bar on a terminal's stderr."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


def as_json(document: object) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def visible(text: str) -> str:
    """A key on a terminal: control characters escaped, so that no stored name can drive the reader's screen."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def size(size_bytes: int) -> str:
    """1536 as ``1.5 KiB``; exact below 1 KiB."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{size_bytes} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable: the loop ends at GiB")


def time(text: str | None) -> str:
    """An RFC 3339 time to the second, in UTC; empty where there is none."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if text else ""


def rows(lines: Iterable[tuple[str, ...]]) -> None:
    """Columns padded to their widest cell, two spaces apart; the last one is not padded."""
    table = list(lines)
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))] if table else []
    for line in table:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        click.echo("  ".join([*cells, line[-1]]))


def pairs(items: Iterable[tuple[str, Any]]) -> None:
    """``Name: value`` lines, values aligned; None is left out."""
    there = [(name, str(value)) for name, value in items if value is not None]
    width = max((len(name) for name, _ in there), default=0)
    for name, value in there:
        click.echo(f"{name + ':':<{width + 1}} {visible(value)}")


async def with_progress(chunks: AsyncIterator[bytes], *, what: str, size_bytes: int | None) -> AsyncIterator[bytes]:
    """The chunks, and a bar while they pass; nothing is drawn where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        async for chunk in chunks:
            yield chunk
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(visible(what), total=size_bytes)
        async for chunk in chunks:
            progress.update(task, advance=len(chunk))
            yield chunk
