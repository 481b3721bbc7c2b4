"""Child processes that are started, waited for, and stopped in reverse order.

Each runs below a supervisor (see `supervisor.py`), which stops it when this process ends in whatever way. Its output
goes to a file in the run folder; an error ends with that file's last lines. Nothing here outlives its `ProcessGroup`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from stow.dev import supervisor
from stow.dev.failures import ProcessFailedError
from stow.dev.runfolder import RunFolder

POLL_INTERVAL_S = 0.05
PROBE_TIMEOUT_S = 2.0
SUPERVISOR_MARGIN_S = 5.0
"""What a supervisor may take beyond its command's grace before it is killed itself."""
TAIL_LINES = 20
TAIL_BYTES = 16 * 1024
PORTS = range(20_000, 32_000)
"""Below 32768, where Linux's range for everybody else begins (net.ipv4.ip_local_port_range)."""
PORT_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `env` replaces the environment where it is given; `grace_s` is the time from SIGTERM to SIGKILL."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    grace_s: float = 10.0


class Process:
    """One running command."""

    def __init__(self, command: Command, *, run: RunFolder, log_path: Path) -> None:
        """Start it.

        Raises:
            ProcessFailedError: the program cannot be started.
        """
        self.command = command
        self.log_path = log_path
        script = [sys.executable, "-I", "-S", supervisor.__file__, str(run.lock_path), str(command.grace_s), "--"]
        with log_path.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [*script, *command.argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=None if command.env is None else dict(command.env),
                cwd=command.cwd,
                start_new_session=True,  # Ctrl-C reaches the owner alone, which then stops in order
            )
        assert self._supervisor.stdin is not None  # noqa: S101 - for mypy: it is PIPE
        assert self._supervisor.stdout is not None  # noqa: S101
        self._orders = self._supervisor.stdin
        with self._supervisor.stdout as answer:
            line = answer.readline()
        if not line:
            self.stop()
            raise ProcessFailedError(f"{command.name} could not be started.{self._log_excerpt()}")
        self.pid = int(line)

    def exit_code(self) -> int | None:
        """`None` while it runs; 128 + n where signal n ended it."""
        return self._supervisor.poll()

    def send_signal(self, number: int) -> None:
        """Deliver a signal to the command; nothing happens when it has ended."""
        if self.exit_code() is None:
            try:
                os.write(self._orders.fileno(), bytes([number]))
            except BrokenPipeError:
                return

    def wait(self, *, timeout_s: float) -> int:
        """Raises:
        ProcessFailedError: it still runs after `timeout_s`.
        """
        try:
            return self._supervisor.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ProcessFailedError(
                f"{self.command.name} did not end within {timeout_s:g} s.{self._log_excerpt()}"
            ) from error

    def pause(self, seconds: float) -> None:
        """Sleep, but not longer than the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(seconds)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace; returns when it is gone. May be called again."""
        if not self._orders.closed:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._orders.fileno(), bytes([supervisor.ORDERLY_STOP]))
            self._orders.close()
        try:
            self._supervisor.wait(self.command.grace_s + SUPERVISOR_MARGIN_S)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()

    def wait_ready(self, is_ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Ask until it says yes.

        Raises:
            ProcessFailedError: the process ended, or is not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            code = self.exit_code()
            if code is not None:
                raise ProcessFailedError(
                    f"{self.command.name} ended with code {code} before it was ready.{self._log_excerpt()}"
                )
            if time.monotonic() >= deadline:
                raise ProcessFailedError(
                    f"{self.command.name} was not ready within {timeout_s:g} s.{self._log_excerpt()}"
                )
            time.sleep(POLL_INTERVAL_S)

    def failure(self) -> ProcessFailedError:
        """The error for a process that ended by itself."""
        return ProcessFailedError(f"{self.command.name} ended with code {self.exit_code()}.{self._log_excerpt()}")

    def _log_excerpt(self) -> str:
        lines = tail(self.log_path)
        return "\nThe end of its log:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""


@dataclass(slots=True)
class ProcessGroup:
    """Processes of one run folder, stopped in the reverse order of their start."""

    run: RunFolder
    _running: list[Process] = field(default_factory=list)

    def start(self, command: Command) -> Process:
        process = Process(command, run=self.run, log_path=self.run.folder("logs") / f"{command.name}.log")
        self._running.append(process)
        return process

    def stop(self, process: Process) -> None:
        process.stop()
        if process in self._running:
            self._running.remove(process)

    def stop_all(self) -> None:
        while self._running:
            self.stop(self._running[-1])

    def ended(self) -> Process | None:
        """The first process that is no longer running, if there is one."""
        return next((process for process in self._running if process.exit_code() is not None), None)

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()


def tail(path: Path, *, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a text file; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def free_port() -> int:
    """A loopback TCP port that nobody listens on now. Somebody may take it before it is used: be ready to try another
    one.

    It lies below those that the kernel gives to clients and to servers that ask for any port, so only another caller of
    this function can be that somebody.
    """
    for _ in range(PORT_ATTEMPTS):
        port = random.choice(PORTS)  # noqa: S311 - spread, not secrecy
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_on_free_port(
    group: ProcessGroup,
    command: Callable[[int], Command],
    is_ready: Callable[[int], bool],
    *,
    timeout_s: float,
    attempts: int = 5,
    pick: Callable[[], int] = free_port,
) -> tuple[Process, int]:
    """Start a server on a free port; where another process took the port in between, try again on another one.

    Raises:
        ProcessFailedError: it ended for another reason, is not ready in time, or every port was taken.
    """
    for attempt in range(1, attempts + 1):
        port = pick()
        process = group.start(command(port))
        try:
            process.wait_ready(lambda port=port: is_ready(port), timeout_s=timeout_s)  # type: ignore[misc]
        except ProcessFailedError:
            taken = "address already in use" in "\n".join(tail(process.log_path)).lower()
            group.stop(process)
            if not taken or attempt == attempts:
                raise
        else:
            return process, port
    raise AssertionError("unreachable: the last attempt returns or raises")


def answers(url: str, *, context: ssl.SSLContext | None = None, status: int = http.client.OK) -> bool:
    """Whether a GET of `url` is answered with `status`. Proxies in the environment are not asked; redirects are not
    followed."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=PROBE_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/")
        return connection.getresponse().status == status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
