"""How long a backend may take. Data only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """``idle_s`` is between two bytes of a body in either direction, and until the answer to a sent body begins."""

    connect_s: float = 10.0
    idle_s: float = 60.0
    request_s: float = 30.0
    """Of a whole head, delete, list or container request, its retries included."""
    abort_s: float = 10.0
    """Of undoing a failed upload."""
