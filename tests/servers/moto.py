"""moto's S3 server in a process of its own: AWS's key rules (keys are opaque strings). It checks no signatures."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from stow.dev.processes import Command, Process, ProcessGroup, answers, start_on_free_port

READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class MotoServer:
    endpoint: str
    process: Process
    access_key: str = "moto-access-key"
    secret_key: str = "moto-secret-key"
    region: str = "us-east-1"


def start_moto(group: ProcessGroup, *, name: str = "moto") -> MotoServer:
    """Start it with an empty store. Any credentials are accepted; those given here are as good as others.

    Raises:
        ProcessFailedError: it does not become ready.
    """

    def command(port: int) -> Command:
        return Command(name, [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], grace_s=2.0)

    def is_ready(port: int) -> bool:
        return answers(f"http://127.0.0.1:{port}/moto-api/")

    process, port = start_on_free_port(group, command, is_ready, timeout_s=READY_TIMEOUT_S)
    return MotoServer(endpoint=f"http://127.0.0.1:{port}", process=process)
