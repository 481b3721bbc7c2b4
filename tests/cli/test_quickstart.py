"""`stow dev --quickstart`, which is `make run`: the whole walk as a process, its end, and a step that fails.

Real: everything, and a control plane of its own. Fake: in the failing walk a kubectl whose `wait` fails. Asserted: the exit code, what is
said, and that neither a process nor a folder is left.
"""

from __future__ import annotations

import contextlib
import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.command import Stow
from dev.pids import descendants, gone, open_pid
from stow.dev.assets import Assets
from stow.dev.cache import cache_root

DEADLINE_S = 180.0
"""A control plane, two servers and thirteen commands, on a machine that compiles beside them."""
SERVING = b"# serving until Ctrl-C"
VERBS = ("put", "stat", "ls", "cat", "cp", "sign", "rm")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where run folders are made; has to be empty afterwards."""
    found = tmp_path / "temporary"
    found.mkdir()
    return found


@pytest.fixture
def dev(assets: Assets, tmp_path: Path, temporary: Path) -> Stow:
    """With the programs that this run of the suite uses already."""
    assets.find("kubectl")
    shared = {"XDG_CACHE_HOME": str(cache_root(os.environ).parent), "TMPDIR": str(temporary)}
    kept = {"KUBEBUILDER_ASSETS": os.environ["KUBEBUILDER_ASSETS"]} if "KUBEBUILDER_ASSETS" in os.environ else {}
    return Stow(tmp_path, {**shared, **kept})


@contextmanager
def walking(dev: Stow, *, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process group of its own: a terminal's Ctrl-C goes to all of it."""
    with subprocess.Popen(
        dev.argv("dev", "--quickstart"),
        env=dev.environment,
        cwd=dev.home,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_on_a_terminal_it_walks_serves_and_ends_with_ctrl_c(dev: Stow, temporary: Path) -> None:
    ours, theirs = pty.openpty()
    drawn = b""
    with walking(dev, stdout=theirs) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # EIO: it ended, and what it drew says why
            while SERVING not in drawn:
                drawn += os.read(ours, 65536)
        assert SERVING in drawn, drawn + process.communicate(timeout=DEADLINE_S)[1]
        below = [open_pid(pid) for pid in descendants(process.pid)]
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=DEADLINE_S)
    os.close(ours)

    assert process.returncode == 0
    assert b"Traceback" not in error
    assert b"steps, all good" in drawn
    for verb in VERBS:
        assert f"$ stow {verb} ".encode() in drawn
    assert b'"origin":"Declared"' in drawn
    assert f"export PATH={Path(sys.executable).parent}:$PATH:".encode() in drawn
    assert b"$ unset KUBECONFIG; export STOW_SERVER=http://127.0.0.1:" in drawn
    assert len(below) == 10  # five supervisors: etcd, the API server, its controllers, gateway, operator
    assert all(gone(pid, timeout_s=DEADLINE_S) for pid in below)
    assert list(temporary.iterdir()) == []


def test_a_step_that_fails_is_named_and_ends_it(dev: Stow, assets: Assets, tmp_path: Path, temporary: Path) -> None:
    folder = tmp_path / "assets"
    folder.mkdir()
    kubectl = folder / "kubectl"
    real = shlex.quote(str(assets.find("kubectl")))
    kubectl.write_text(f'#!/bin/sh\n[ "$1" != wait ] || {{ echo "timed out waiting"; exit 1; }}\nexec {real} "$@"\n')
    kubectl.chmod(0o755)

    with walking(dev.told(KUBEBUILDER_ASSETS=str(folder)), stdout=subprocess.PIPE) as process:
        output, error = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1, output + error
    last = error.decode().splitlines()[-1]
    assert last.startswith("stow: `kubectl wait --for=condition=Ready")
    assert last.endswith("ended with code 1")
    assert b"timed out waiting" in output
    assert b"$ stow " not in output
    assert list(temporary.iterdir()) == []
