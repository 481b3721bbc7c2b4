"""fake-gcs-server in a process of its own: Google Cloud Storage's JSON API and part of its XML API, in memory.

How to talk to it: `endpoint` stands for `https://storage.googleapis.com`. JSON API: `/storage/v1/b/...`, uploads at
`/upload/storage/v1/b/<bucket>/o?uploadType=media|multipart|resumable&name=...`, both with any project. XML API, path
style: GET, HEAD and DELETE of `/<bucket>/<object>`; PUT only with an `X-Goog-Algorithm` query parameter of any value
(else 400, `invalid uploadType`). The front of `gcs_front` adds that parameter, and is what a driver's tests talk to.

What it does not verify: no credential, no signature, no expiry, no `Content-MD5`; a `pageToken` is the name that the next
page begins with, so any text is one. Preconditions hold for `ifGenerationMatch` in an upload by the JSON API alone;
`If-Match`, `If-None-Match`, `x-goog-if-generation-match` and those of reading and deleting are ignored. A missing bucket
and a missing object are the same `Not Found`, in the XML API as plain text; a bucket that is not empty is 412.

The store is in memory: the one on disk makes a file name of each key, so keys stop at the file system's limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stow.dev import versions
from stow.dev.processes import Command, Process, ProcessGroup, answers, start_on_free_port

READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class FakeGcsServer:
    endpoint: str
    process: Process = field(repr=False)
    project: str = "stow-tests"
    version: str = versions.FAKE_GCS


def start_fake_gcs(group: ProcessGroup, program: Path, *, name: str = "fake-gcs-server") -> FakeGcsServer:
    """Start it with an empty store; several servers of one run need different names.

    Raises:
        ProcessFailedError: it does not become ready.
    """

    def command(port: int) -> Command:
        address = f"127.0.0.1:{port}"
        arguments = {
            "backend": "memory",
            "scheme": "http",
            "host": "127.0.0.1",
            "port": str(port),
            # Path-style requests are those whose Host header is this.
            "public-host": address,
            "external-url": f"http://{address}",
            "log-level": "warn",
        }
        argv = [str(program), *(f"-{key}={value}" for key, value in arguments.items())]
        return Command(name, argv, env={}, cwd=group.run.folder(name), grace_s=2.0)

    def is_ready(port: int) -> bool:
        return answers(f"http://127.0.0.1:{port}/_internal/healthcheck")

    process, port = start_on_free_port(group, command, is_ready, timeout_s=READY_TIMEOUT_S)
    return FakeGcsServer(endpoint=f"http://127.0.0.1:{port}", process=process)
