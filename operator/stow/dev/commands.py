"""Commands that run to their end: compilers, package installers, version questions.

A long one runs below a supervisor like any server, so that Ctrl-C or the death of this process stops it and its own
children too.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from stow.dev.failures import CommandFailedError
from stow.dev.processes import Command, Process, tail
from stow.dev.progress import Progress
from stow.dev.runfolder import RunFolder

QUESTION_TIMEOUT_S = 20.0
TICK_S = 1.0
TAIL_LINES = 25


class Runner:
    """Runs commands for the parts of the look-up. Tests put their own in its place."""

    def __init__(self, *, progress: Progress) -> None:
        self._progress = progress

    def ask(self, argv: Sequence[str], *, env: Mapping[str, str]) -> str | None:
        """Standard output of a quick command; `None` where it cannot be run or fails."""
        try:
            done = subprocess.run(
                argv,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=QUESTION_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, what: str) -> None:
        """Run a long command, showing `what` while it works.

        Raises:
            CommandFailedError: it did not end with 0; the message ends with the last lines of its output.
        """
        with RunFolder() as run, self._progress.step(what) as tick:
            path = run.path / "output.log"
            process = Process(Command(what, argv, env=env, cwd=cwd, grace_s=2.0), run=run, log_path=path)
            try:
                while process.exit_code() is None:
                    tick()
                    process.pause(TICK_S)
            finally:
                process.stop()
            if process.exit_code() != 0:
                lines = "\n".join(f"  {line}" for line in tail(path, lines=TAIL_LINES))
                raise CommandFailedError(
                    f"{what} failed: `{' '.join(argv)}` ended with code {process.exit_code()}. The end of its output:\n{lines}"
                )
