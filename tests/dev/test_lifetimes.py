"""However the owner ends, its processes end and its folder goes.

The owner is a Python process of its own, so that real signals hit it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.pids import descendants, gone, open_pid
from stow.dev.assets import Assets
from stow.dev.runfolder import RunFolder

TIMEOUT_S = 60.0
PLAIN_OWNER = """
import signal, sys
from stow.dev.processes import Command, ProcessGroup
from stow.dev.runfolder import RunFolder
with RunFolder() as run, ProcessGroup(run) as group:
    for name in "ab":
        group.start(Command(name, [sys.executable, "-c", "import signal; signal.pause()"]))
    print(run.path, flush=True)
    signal.pause()
"""
CLUSTER_OWNER = """
from stow.cli.main import main
main(["dev", "--no-crds"])
"""


@contextmanager
def owner(code: str, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=_environment(temporary),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _environment(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_an_owner_without_any_signal_handling_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with owner(PLAIN_OWNER, tmp_path) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        below = [open_pid(pid) for pid in descendants(process.pid)]

        process.send_signal(number)
        process.wait(TIMEOUT_S)

        assert len(below) == 4  # two supervisors and their commands
        assert all(gone(pid, timeout_s=TIMEOUT_S) for pid in below)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_development_cluster_leaves_nothing(assets: Assets, tmp_path: Path, number: signal.Signals) -> None:
    # Longer than the name of a Unix socket may be, and with a space.
    temporary = tmp_path / f"temporary {'folder' * 20}"
    temporary.mkdir()
    with owner(CLUSTER_OWNER, temporary) as process:
        assert process.stdout is not None
        command, _, kubeconfig = process.stdout.readline().strip().partition("=")
        assert command == "export KUBECONFIG"
        assert Path(kubeconfig).is_file()
        below = [open_pid(pid) for pid in descendants(process.pid)]

        # An impatient second Ctrl-C must not cut the cleaning up.
        for _ in range(20 if number is signal.SIGINT else 1):
            process.send_signal(number)
        code = process.wait(TIMEOUT_S)

        assert len(below) == 6  # three supervisors and their commands
        assert all(gone(pid, timeout_s=TIMEOUT_S) for pid in below)
        assert list(temporary.iterdir()) == []
        assert code == (-signal.SIGKILL if number is signal.SIGKILL else 0)


def test_what_is_left_when_supervisors_are_killed_too_goes_with_the_next_start(tmp_path: Path) -> None:
    with owner(PLAIN_OWNER, tmp_path) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        children = list(descendants(process.pid))
        below = [open_pid(pid) for pid in children]

        process.send_signal(signal.SIGSTOP)  # it must not see them end one by one
        for pid in (*children[::2], process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait(TIMEOUT_S)

        assert all(gone(pid, timeout_s=TIMEOUT_S) for pid in below)
        assert folder.is_dir()
        with RunFolder(parent=tmp_path) as run:
            assert list(tmp_path.iterdir()) == [run.path]
