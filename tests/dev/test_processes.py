"""Child processes: started, waited for, stopped, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.pids import gone, open_pid
from stow.dev.failures import ProcessFailedError
from stow.dev.processes import Command, Process, ProcessGroup, answers, free_port, start_on_free_port, tail
from stow.dev.runfolder import RunFolder

TIMEOUT_S = 20.0
FOREVER = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)
PARENT = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
while True: signal.pause()
"""
LISTENER = """
import signal
signal.signal(signal.SIGUSR1, lambda *_: print("got it", flush=True))
print("up", flush=True)
while True: signal.pause()
"""
SERVER = """
import http.server, sys
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def python(code: str, *arguments: str, name: str = "child", grace_s: float = 10.0) -> Command:
    return Command(name, [sys.executable, "-c", code, *arguments], grace_s=grace_s)


def wait_up(process: Process) -> None:
    process.wait_ready(lambda: b"up" in process.log_path.read_bytes(), timeout_s=TIMEOUT_S)


def wait_grandchild(process: Process) -> int:
    """Wait until both generations said something; the parent's line is the child's process id."""
    process.wait_ready(lambda: len(process.log_path.read_bytes().splitlines()) == 2, timeout_s=TIMEOUT_S)
    return next(int(line) for line in tail(process.log_path) if line.isdigit())


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ProcessGroup]:
    with RunFolder(parent=tmp_path) as run, ProcessGroup(run) as group:
        yield group


def test_a_process_ends_with_sigterm_and_its_output_is_in_its_log(group: ProcessGroup) -> None:
    process = group.start(python(FOREVER))
    wait_up(process)
    pid = open_pid(process.pid)

    group.stop(process)

    assert gone(pid, timeout_s=0)
    assert process.exit_code() == 128 + signal.SIGTERM
    assert tail(process.log_path) == ["up"]


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(group: ProcessGroup) -> None:
    process = group.start(python(STUBBORN, grace_s=0.2))
    wait_up(process)

    group.stop(process)

    assert process.exit_code() == 128 + signal.SIGKILL


def test_children_of_a_stopped_process_go_with_it(group: ProcessGroup) -> None:
    process = group.start(python(PARENT, STUBBORN, grace_s=0.2))
    grandchild = open_pid(wait_grandchild(process))

    group.stop(process)

    assert gone(grandchild, timeout_s=TIMEOUT_S)


def test_children_of_a_process_that_ends_by_itself_go_too(group: ProcessGroup) -> None:
    process = group.start(python(PARENT, FOREVER))
    grandchild = open_pid(wait_grandchild(process))

    process.send_signal(signal.SIGKILL)

    assert process.wait(timeout_s=TIMEOUT_S) == 128 + signal.SIGKILL
    assert gone(grandchild, timeout_s=TIMEOUT_S)


def test_a_group_stops_the_last_started_first(group: ProcessGroup, tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys\n"
        "def end(*_):\n    open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True)\nsignal.pause()"
    )
    for name in ("a", "b", "c"):
        wait_up(group.start(python(code, str(order), name, name=name)))

    group.stop_all()

    assert order.read_text() == "cba"


def test_a_process_survives_the_thread_that_started_it(group: ProcessGroup) -> None:
    """The kernel's parent-death signal fires at the end of a thread; the supervisor stands between."""
    started: list[Process] = []
    thread = threading.Thread(target=lambda: started.append(group.start(python(FOREVER))))
    thread.start()
    thread.join()

    wait_up(started[0])

    assert started[0].exit_code() is None


def test_a_command_dies_when_its_supervisor_is_killed(group: ProcessGroup) -> None:
    process = group.start(python(STUBBORN))
    wait_up(process)
    pid = open_pid(process.pid)

    os.kill(process._supervisor.pid, signal.SIGKILL)

    assert gone(pid, timeout_s=TIMEOUT_S)


def test_signals_reach_the_command(group: ProcessGroup) -> None:
    process = group.start(python(LISTENER))
    wait_up(process)

    process.send_signal(signal.SIGUSR1)

    process.wait_ready(lambda: "got it" in tail(process.log_path), timeout_s=TIMEOUT_S)


def test_a_signal_to_an_ended_process_is_ignored(group: ProcessGroup) -> None:
    process = group.start(python("pass"))
    process.wait(timeout_s=TIMEOUT_S)

    process.send_signal(signal.SIGUSR1)

    assert process.exit_code() == 0


def test_a_missing_program_is_an_error_that_names_it(group: ProcessGroup) -> None:
    with pytest.raises(
        ProcessFailedError, match=r"server could not be started(.|\n)*cannot start /absent/program: No such file"
    ):
        group.start(Command("server", ["/absent/program"]))


def test_a_process_that_ends_before_it_is_ready_is_an_error_with_its_last_words(group: ProcessGroup) -> None:
    process = group.start(python("raise SystemExit('disk on fire')"))

    with pytest.raises(ProcessFailedError, match=r"child ended with code 1 before it was ready(.|\n)*disk on fire"):
        process.wait_ready(lambda: False, timeout_s=TIMEOUT_S)


def test_a_process_that_is_not_ready_in_time_is_an_error(group: ProcessGroup) -> None:
    process = group.start(python(FOREVER))

    with pytest.raises(ProcessFailedError, match=r"child was not ready within 0\.1 s"):
        process.wait_ready(lambda: False, timeout_s=0.1)


def test_the_first_process_that_ended_by_itself_is_reported(group: ProcessGroup) -> None:
    running, ending = group.start(python(FOREVER, name="runs")), group.start(python("raise SystemExit(3)", name="ends"))
    ending.wait(timeout_s=TIMEOUT_S)

    assert group.ended() is ending
    assert "ends ended with code 3" in str(ending.failure())
    assert running.exit_code() is None


def test_a_server_whose_port_was_taken_gets_another_one(group: ProcessGroup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief:
        ports = iter([thief.getsockname()[1], free_port()])

        process, port = start_on_free_port(
            group,
            lambda port: python(SERVER, str(port), name=f"server-{port}"),
            lambda port: process_listens(port, thief.getsockname()[1]),
            timeout_s=TIMEOUT_S,
            pick=lambda: next(ports),
        )

        assert port != thief.getsockname()[1]
        assert answers(f"http://127.0.0.1:{port}/")
        assert process.exit_code() is None


def process_listens(port: int, taken: int) -> bool:
    return port != taken and answers(f"http://127.0.0.1:{port}/")


def test_a_server_that_fails_for_another_reason_is_not_tried_again(group: ProcessGroup) -> None:
    tried: list[int] = []

    def command(port: int) -> Command:
        tried.append(port)
        return python("raise SystemExit('bad configuration')")

    with pytest.raises(ProcessFailedError, match="bad configuration"):
        start_on_free_port(group, command, lambda _port: False, timeout_s=TIMEOUT_S)

    assert len(tried) == 1


def test_a_url_that_nobody_serves_does_not_answer() -> None:
    assert not answers(f"http://127.0.0.1:{free_port()}/")
