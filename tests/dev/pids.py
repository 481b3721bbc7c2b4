"""Waiting for processes that are not our children, without asking again and again and without mixing up reused
numbers."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path


def open_pid(pid: int) -> int:
    """A descriptor that becomes readable when this very process ends."""
    return os.pidfd_open(pid)


def gone(descriptor: int, *, timeout_s: float) -> bool:
    """Whether the process ends within `timeout_s`; closes the descriptor."""
    try:
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)


def descendants(pid: int) -> Iterator[int]:
    """Every process below `pid`, as the kernel shows them now."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from descendants(int(child))
