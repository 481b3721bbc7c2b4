"""What the long steps say while they work: on standard error, a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from rich.console import Console

PLAIN_INTERVAL_S = 30.0
"""Without a terminal a line now and then shows that the build is alive, and a log stays short."""


class Progress(Protocol):
    """`say` states a fact; `step` wraps a long piece of work and yields what is to be called about once a second."""

    def say(self, text: str) -> None: ...

    def step(self, text: str) -> contextlib.AbstractContextManager[Callable[[], None]]: ...


class TerminalProgress:
    """Writes to standard error, so that standard output stays free for what the user asked for."""

    def __init__(self, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    def say(self, text: str) -> None:
        self._open().print(f"stow: {text}", markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[Callable[[], None]]:
        console = self._open()
        started = said = self._clock()
        if not console.is_terminal:
            self.say(f"{text} ...")
        status = console.status(f"stow: {text}") if console.is_terminal else contextlib.nullcontext()
        with status as line:

            def tick() -> None:
                nonlocal said
                now = self._clock()
                if line is not None:
                    line.update(f"stow: {text} ({now - started:.0f} s)")
                elif now - said >= PLAIN_INTERVAL_S:
                    said = now
                    self.say(f"{text} ... {now - started:.0f} s")

            yield tick
        self.say(f"{text}: done in {self._clock() - started:.0f} s")

    def _open(self) -> Console:
        # Asked for each time: a test runner replaces sys.stderr.
        return self._console or Console(file=sys.stderr)
