"""Tests of the local cluster itself.

Real: processes, signals, locks, certificates, the control plane, MinIO and moto. Fake: the builders and the network
in the look-up tests, injected where the look-up takes them. Asserted: what is found where, what is left behind
(nothing), what a person reads when something fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stow.dev.failures import CommandFailedError


@dataclass
class RecordedProgress:
    """Keeps what would be shown."""

    lines: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.lines.append(text)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[Callable[[], None]]:
        self.lines.append(text)
        yield lambda: None


@dataclass
class ScriptedRunner:
    """Answers questions from a table; runs a command by calling `on_run`."""

    answers: Mapping[str, str] = field(default_factory=dict)
    on_run: Callable[[Sequence[str], Path], None] = lambda _argv, _cwd: None
    runs: list[tuple[Sequence[str], Mapping[str, str]]] = field(default_factory=list)

    def ask(self, argv: Sequence[str], *, env: Mapping[str, str]) -> str | None:
        return self.answers.get(" ".join(argv[-2:]))

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, what: str) -> None:
        self.runs.append((argv, env))
        self.on_run(argv, cwd)


def fail(_argv: Sequence[str], _cwd: Path) -> None:
    raise CommandFailedError("the index is not reachable")


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()
