"""Azurite's blob service in a process of its own: Microsoft's emulator of Azure Blob Storage, in memory.

How to talk to it: `endpoint` is `http://127.0.0.1:<port>/<account>`, what `https://<account>.blob.core.windows.net`
is in Azure, so the account's name stands in the path (twice in the canonicalized resource of a signature). Shared Key and
SAS (account, service) work with `account` and `key`, base64 as Azure shows it. With TLS there are bearer tokens and
user-delegation keys too: `POST <endpoint>/?restype=service&comp=userdelegationkey`.

What it verifies: Shared Key and SAS signatures, expiry, permissions. What it does not verify: the signature of a bearer
token (any unsigned JWT will do whose `aud` is `https://storage.azure.com` and whose `iss` is
`https://sts.windows.net/<guid>/`, with times that fit), roles (each identity may do everything), the API's version
(switched off here, or a new SDK would be refused). The end of a user-delegation key binds as in Azure.
"""

from __future__ import annotations

import base64
import os
import secrets
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from stow.dev import versions
from stow.dev.certificates import Authority, now
from stow.dev.processes import Command, Process, ProcessGroup, answers, start_on_free_port

READY_TIMEOUT_S = 60.0
KEY_BYTES = 64
"""As long as Azure's own."""
SCRIPT = Path("node_modules/azurite/dist/src/blob/main.js")
_PASSED_ON = ("PATH", "LANG", "TMPDIR")
"""Nothing else of the environment: AZURITE_* and NODE_* of the user would change what the server does."""


@dataclass(frozen=True, slots=True)
class AzuriteServer:
    """`ca_path` where it speaks TLS: the certificate of the authority that its own comes from."""

    endpoint: str
    account: str
    key: str = field(repr=False)
    process: Process = field(repr=False)
    ca_path: Path | None = None
    version: str = versions.AZURITE


def start_azurite(group: ProcessGroup, node: Path, *, name: str = "azurite", tls: bool = False) -> AzuriteServer:
    """Start it with an empty store and a random account; several servers of one run need different names.

    `node` is what `assets.find("azurite")` returns: the interpreter beside the installed package. With `tls` it serves
    HTTPS with a certificate of an authority of its own, and takes bearer tokens.

    Raises:
        ProcessFailedError: it does not become ready.
    """
    home = group.run.folder(name)
    account, key = f"stow{secrets.token_hex(4)}", base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    ca_path, tls_arguments = _tls(home) if tls else (None, [])
    context = ssl.create_default_context(cafile=str(ca_path)) if ca_path else None
    origin = f"{'https' if tls else 'http'}://127.0.0.1"
    environment = {variable: os.environ[variable] for variable in _PASSED_ON if variable in os.environ}

    def command(port: int) -> Command:
        argv = [str(node), str(node.parent / SCRIPT)]
        argv += ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
        argv += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent", *tls_arguments]
        env = {**environment, "HOME": str(home), "AZURITE_ACCOUNTS": f"{account}:{key}"}
        return Command(name, argv, env=env, cwd=home, grace_s=5.0)

    def is_ready(port: int) -> bool:
        # It has no health check. A stranger is refused; whoever else sits on this port does not know the account.
        return answers(f"{origin}:{port}/{account}?comp=list", context=context, status=403)

    process, port = start_on_free_port(group, command, is_ready, timeout_s=READY_TIMEOUT_S)
    return AzuriteServer(
        endpoint=f"{origin}:{port}/{account}", account=account, key=key, process=process, ca_path=ca_path
    )


def _tls(home: Path) -> tuple[Path, list[str]]:
    pki = home / "pki"
    pki.mkdir()
    authority = Authority(pki, now=now())
    pair = authority.issue_server("azurite")
    arguments = ["--cert", str(pair.certificate_path), "--key", str(pair.key_path), "--oauth", "basic"]
    return authority.path, arguments
