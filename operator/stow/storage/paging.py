"""One page of a listing, cut from keys in any order. Pure; for backends whose listing is ours (memory, local).

The order is that of the keys' UTF-8 bytes, which is the order of their code points, so that ``str`` compares rightly.
Invariant: memory stays within a few pages, however many keys go by; a page is a function of the keys that exist and
of the last entry of the page before, so objects that come and go in between neither repeat nor hide others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

_ROOM_PAGES = 4
"""The candidates are cut back to one page when they fill this many: amortised, each key costs O(log page)."""


@dataclass(frozen=True, slots=True)
class Page:
    """Keys and common prefixes, each in order. ``token`` is the last entry's text; None where nothing follows."""

    keys: tuple[str, ...]
    prefixes: tuple[str, ...]
    token: str | None


def cut_page(keys: Iterable[str], *, prefix: str, delimiter: str | None, limit: int, token: str | None) -> Page:
    """The first ``limit`` entries behind ``token``. A key equal to a common prefix is part of that prefix, as S3 has it.

    Entry texts are unique: a key that holds the delimiter behind the prefix is never an entry of its own.
    """
    room: dict[str, bool] = {}
    ceiling: str | None = None
    for key in keys:
        if not key.startswith(prefix):
            continue
        text, folded = _entry(key, prefix, delimiter)
        if (token is not None and text <= token) or (ceiling is not None and text > ceiling):
            continue
        room[text] = folded
        if len(room) > _ROOM_PAGES * (limit + 1):
            kept = heapq.nsmallest(limit + 1, room)
            ceiling = kept[-1]
            room = {text: room[text] for text in kept}
    first = heapq.nsmallest(limit + 1, room)
    chosen = first[:limit]
    return Page(
        keys=tuple(text for text in chosen if not room[text]),
        prefixes=tuple(text for text in chosen if room[text]),
        token=chosen[-1] if len(first) > limit else None,
    )


def _entry(key: str, prefix: str, delimiter: str | None) -> tuple[str, bool]:
    if not delimiter:
        return key, False
    at = key.find(delimiter, len(prefix))
    return (key, False) if at < 0 else (key[: at + len(delimiter)], True)
