"""A MinIO server on loopback with data in the run folder: real S3 signatures."""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stow.dev.certificates import Authority, now
from stow.dev.processes import Command, Process, ProcessGroup, answers, free_port, start_on_free_port

READY_TIMEOUT_S = 60.0
REGION = "us-east-1"
_PASSED_ON = ("PATH", "LANG", "TMPDIR")
"""Nothing else of the environment: MINIO_* of the user would change what the server does."""


@dataclass(frozen=True, slots=True)
class MinioServer:
    """A running server. `process` may be stopped; its `ProcessGroup` stops it at the latest. `ca_path` where it
    speaks TLS."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    data_path: Path
    process: Process = field(repr=False)
    region: str = REGION
    ca_path: Path | None = None


def start_minio(
    group: ProcessGroup,
    program: Path,
    *,
    access_key: str = "stow-dev",
    secret_key: str | None = None,
    name: str = "minio",
    tls: bool = False,
) -> MinioServer:
    """Start it with an empty store. Without `secret_key` the key is random; several servers of one run need different
    names.

    With `tls` it serves HTTPS with a certificate of an authority of its own, whose certificate is at `ca_path`.

    Raises:
        ProcessFailedError: it does not become ready.
    """
    secret_key = secret_key or secrets.token_urlsafe(24)
    home = group.run.folder(name)
    data, certs = home / "data", home / "certs"
    data.mkdir()
    certs.mkdir()
    ca_path = _write_certificate(home, certs) if tls else None
    context = ssl.create_default_context(cafile=str(ca_path)) if ca_path else None
    origin = f"{'https' if tls else 'http'}://127.0.0.1"

    def command(port: int) -> Command:
        return Command(
            name,
            [
                str(program),
                "server",
                "--quiet",
                f"--address=127.0.0.1:{port}",
                # It opens a console port even with the console off; a fixed default could be taken.
                f"--console-address=127.0.0.1:{free_port()}",
                f"--certs-dir={certs}",
                str(data),
            ],
            env=_environment(os.environ, home=home, access_key=access_key, secret_key=secret_key),
            cwd=home,
        )

    def is_ready(port: int) -> bool:
        return answers(f"{origin}:{port}/minio/health/cluster", context=context)

    process, port = start_on_free_port(group, command, is_ready, timeout_s=READY_TIMEOUT_S)
    return MinioServer(
        endpoint=f"{origin}:{port}",
        access_key=access_key,
        secret_key=secret_key,
        data_path=data,
        process=process,
        ca_path=ca_path,
    )


def _write_certificate(home: Path, certs: Path) -> Path:
    """Put a serving certificate where MinIO looks for it; return its authority's."""
    pki = home / "pki"
    pki.mkdir()
    authority = Authority(pki, now=now())
    pair = authority.issue_server("minio")
    pair.certificate_path.rename(certs / "public.crt")
    pair.key_path.rename(certs / "private.key")
    return authority.path


def _environment(environ: Mapping[str, str], *, home: Path, access_key: str, secret_key: str) -> dict[str, str]:
    return {
        **{name: environ[name] for name in _PASSED_ON if name in environ},
        "HOME": str(home),
        "MINIO_ROOT_USER": access_key,
        "MINIO_ROOT_PASSWORD": secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
