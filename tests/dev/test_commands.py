"""Commands that run to their end, and what is shown while they do."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from dev.conftest import RecordedProgress
from dev.pids import descendants, gone, open_pid
from stow.dev.commands import Runner
from stow.dev.failures import CommandFailedError
from stow.dev.progress import PLAIN_INTERVAL_S, TerminalProgress

TIMEOUT_S = 30.0
COMPILER = """
import sys
from pathlib import Path
from stow.dev.commands import Runner
from stow.dev.progress import TerminalProgress
code = "import subprocess, sys\\nprint('x')\\nsubprocess.run([sys.executable, '-c', 'import signal; signal.pause()'])"
Runner(progress=TerminalProgress()).run([sys.executable, "-c", code], env={}, cwd=Path("/"), what="compiling")
"""


@pytest.fixture
def runner(progress: RecordedProgress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Runner(progress=progress)


def test_a_command_runs_where_and_as_it_is_told(runner: Runner, progress: RecordedProgress, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    code = "import os, pathlib; pathlib.Path('out').write_text(os.environ['WORD'])"

    runner.run([sys.executable, "-c", code], env={"WORD": "hello"}, cwd=work, what="writing")

    assert (work / "out").read_text() == "hello"
    assert progress.lines == ["writing"]
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_a_failed_command_shows_the_end_of_its_output(runner: Runner, tmp_path: Path) -> None:
    code = "for n in range(100): print('line', n)\nraise SystemExit('undefined: os.Foo')"

    with pytest.raises(CommandFailedError) as caught:
        runner.run([sys.executable, "-u", "-c", code], env={}, cwd=tmp_path, what="building x")

    text = str(caught.value)
    assert text.startswith("building x failed: ")
    assert text.endswith("  line 99\n  undefined: os.Foo")
    assert "line 50\n" not in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_build_ends_with_its_owner_and_so_do_the_compilers_it_started(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", COMPILER], env=environment, stderr=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stderr is not None
        assert "compiling" in owner.stderr.readline()
        pids: list[int] = []
        while len(pids) < 3 and owner.poll() is None:  # supervisor, compiler, and what that one starts
            pids = list(descendants(owner.pid))
            time.sleep(0.01)
        below = [open_pid(pid) for pid in pids]

        owner.send_signal(number)
        owner.communicate(timeout=TIMEOUT_S)

    assert len(below) == 3
    assert all(gone(pid, timeout_s=TIMEOUT_S) for pid in below)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [["/absent/program"], [sys.executable, "-c", "raise SystemExit(1)"]])
def test_a_question_without_an_answer_is_none(runner: Runner, argv: list[str]) -> None:
    assert runner.ask(argv, env={}) is None


def test_a_question_is_answered_without_its_newline(runner: Runner) -> None:
    assert runner.ask([sys.executable, "-c", "print('go1.26.8')"], env={}) == "go1.26.8"


def test_without_a_terminal_a_long_step_says_a_line_now_and_then() -> None:
    output, now = io.StringIO(), 0.0
    progress = TerminalProgress(console=Console(file=output), clock=lambda: now)

    with progress.step("building [etcd]") as tick:
        for elapsed_s in (1.0, PLAIN_INTERVAL_S + 1, PLAIN_INTERVAL_S + 2, 95.0):
            now = elapsed_s
            tick()

    assert output.getvalue().splitlines() == [
        "stow: building [etcd] ...",
        "stow: building [etcd] ... 31 s",
        "stow: building [etcd] ... 95 s",
        "stow: building [etcd]: done in 95 s",
    ]


def test_on_a_terminal_a_long_step_counts_its_seconds() -> None:
    output, now = io.StringIO(), 0.0
    progress = TerminalProgress(console=Console(file=output, force_terminal=True, width=100), clock=lambda: now)

    with progress.step("building etcd") as tick:
        now = 12.0
        tick()

    assert "building etcd: done in 12 s" in output.getvalue()


def test_a_step_that_fails_is_not_said_to_be_done() -> None:
    output = io.StringIO()
    progress = TerminalProgress(console=Console(file=output))

    with pytest.raises(CommandFailedError), progress.step("building etcd"):
        raise CommandFailedError("no")

    assert "done" not in output.getvalue()
