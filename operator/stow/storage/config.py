"""What a location says about its store. Data only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from stow.storage.model import Method, Scope


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What a location says about its store. ``dynamic_allowed`` is asked for (container, scope) before anything is loaded on demand."""

    uid: str
    base_container: str | None = None
    dynamic_allowed: Callable[[str, Scope | None], bool] = field(default=lambda _name, _scope: False)
    sign_methods: frozenset[Method] = frozenset({Method.GET})
    default_ttl: timedelta = timedelta(minutes=15)
    max_ttl: timedelta = timedelta(hours=1)
    max_read_bytes: int | None = None
    max_write_bytes: int | None = None
