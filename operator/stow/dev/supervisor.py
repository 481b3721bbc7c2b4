"""Runs one command, and never lets it outlive the process that asked for it.

It is started as a script (`python -I -S supervisor.py LOCK GRACE_S -- COMMAND...`), so it imports nothing but the
standard library. Its standard input is a pipe whose other end only the owner holds: a byte on it is a signal number
for the command, 0 an orderly stop; its end - the owner crashed or was killed with SIGKILL - means stop too. The command's
process id goes to standard output as one line.

Why a process between: a Python owner has threads, in which code between fork and exec is unsafe, and the kernel's
parent-death signal fires when the *thread* that started the child ends. This process has one thread, so both are
sound here: the command gets that signal too, should the supervisor itself be killed.

Invariants: the command and everything in its process group are gone when this process ends, and the last one out of a
run folder whose owner is dead removes it. LOCK is the run folder's lock file; owner and supervisors hold it shared,
so only the last can take it alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
ORDERLY_STOP = 0
"""The owner lives on and removes the run folder itself."""
LEAVE_TIMEOUT_S = 5.0
"""An owner that is being killed closes its files one after the other: its end of the pipe may go long before its lock."""
LEAVE_INTERVAL_S = 0.02
CANNOT_START = 127  # the shell's code for a command that cannot be found


def _has_ended(pid: int) -> bool:
    """Whether the child is a zombie. It stays one, so that its process group's number cannot be used again before it
    was killed."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _kill_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    supervisor = os.getpid()

    def die_with_supervisor() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:  # it ended between fork and prctl
                os._exit(CANNOT_START)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        process_group=0,
        preexec_fn=die_with_supervisor,  # noqa: PLW1509 - this process has one thread
    )


def _serve(child: subprocess.Popen[bytes], wakeup: int) -> bool:
    """Forward signals until the command ends, or is to stop; whether the owner is gone."""
    while not _has_ended(child.pid):
        readable, _, _ = select.select([0, wakeup], [], [])
        if wakeup in readable:
            numbers = os.read(wakeup, 512)
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                return False
        if 0 in readable:
            orders = os.read(0, 512)
            if not orders:
                return True
            for number in orders:
                if number == ORDERLY_STOP:
                    return False
                os.kill(child.pid, number)
    return False


def _stop(child: subprocess.Popen[bytes], wakeup: int, grace_s: float) -> None:
    _kill_group(child.pid, signal.SIGTERM)
    # Each signal that is no SIGCHLD starts the wait anew; the owner sends none after it closed the pipe.
    while not _has_ended(child.pid):
        if not select.select([wakeup], [], [], grace_s)[0]:
            break
        os.read(wakeup, 512)
    _kill_group(child.pid, signal.SIGKILL)


def _leave(lock: int, folder: Path, *, patience_s: float) -> None:
    """Remove the run folder when nobody else holds it any more. An attempt that fails gives up the share: the last one succeeds."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return
            time.sleep(LEAVE_INTERVAL_S)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            return


def main(arguments: list[str]) -> int:
    lock_path, grace_s, separator, *command = arguments
    assert separator == "--"  # noqa: S101 - our own caller
    lock = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_SH)
    wakeup, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    is_orphan = False
    try:
        try:
            child = _start(command)
        except OSError as error:
            os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
            return CANNOT_START
        os.write(1, f"{child.pid}\n".encode())
        os.close(1)
        is_orphan = _serve(child, wakeup)
        _stop(child, wakeup, float(grace_s))
        status = child.wait()
        return status if status >= 0 else 128 - status
    finally:
        _leave(lock, Path(lock_path).parent, patience_s=LEAVE_TIMEOUT_S if is_orphan else 0.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
