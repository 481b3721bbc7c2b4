"""What every recipe works with, and where the pinned sources of one lie."""

from __future__ import annotations

import contextlib
import importlib.resources
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stow.dev.cache import Cache
from stow.dev.commands import Runner
from stow.dev.progress import Progress


@dataclass(frozen=True, slots=True)
class Workshop:
    """The environment is the user's own: proxies, indexes and caches included."""

    cache: Cache
    environ: Mapping[str, str]
    runner: Runner
    progress: Progress


@contextlib.contextmanager
def module_files(module: str) -> Iterator[Path]:
    """The folder `modules/<module>`: what pins a program and everything that it is made of."""
    with importlib.resources.as_file(importlib.resources.files("stow.dev") / "modules" / module) as source:
        yield source
