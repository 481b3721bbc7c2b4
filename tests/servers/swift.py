"""A real OpenStack Swift in a process of its own: proxy, account, container and object servers, one replica.

How to talk to it: `GET <auth_url>` with `X-Auth-User: <user>` (`account:name`) and `X-Auth-Key: <key>` answers with
`X-Auth-Token` and `X-Storage-Url` (auth version 1, by Swift's tempauth; there is no Keystone). `user` may do everything
in `storage_url`; `denied_user` has an own valid key and no right (403). TempURLs are signed with the key that a POST
to the account or a container stored as `X-Account-Meta-Temp-URL-Key` or `X-Container-Meta-Temp-URL-Key`, by SHA-256
or SHA-512, over the unquoted path.

What is real: everything that the proxy's middleware does (see `<endpoint>/info`), tokens and TempURLs with their
expiry, listings that are right as soon as a PUT is answered. What is not: no replicator, auditor, updater, expirer or
reconciler runs, so `X-Delete-At` hides an object and nothing removes it, and containers of another policy are not moved.
Metadata lie in extended attributes: where the file system gives an inode 4 kB for all of them (ext4), a PUT
with more than about 3,000 bytes of metadata is answered 503, though Swift's own limit is 4,096.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from servers import swift_launcher
from stow.dev import versions
from stow.dev.failures import DevError
from stow.dev.processes import Command, Process, ProcessGroup, answers

READY_TIMEOUT_S = 60.0
TOKEN_LIFE_S = 86_400
PROBE = b"user.stow.probe"
_PASSED_ON = ("PATH", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class SwiftServer:
    """Both users belong to one account, whose URL is `storage_url`."""

    endpoint: str
    auth_url: str
    storage_url: str
    user: str
    key: str = field(repr=False)
    denied_user: str
    denied_key: str = field(repr=False)
    process: Process = field(repr=False)
    version: str = versions.SWIFT


def start_swift(
    group: ProcessGroup,
    python: Path,
    *,
    name: str = "swift",
    token_life_s: int = TOKEN_LIFE_S,
    constraints: Mapping[str, int] | None = None,
) -> SwiftServer:
    """Start it with an empty store and random keys; several servers of one run need different names.

    `python` is what `assets.find("swift")` returns: the interpreter that has Swift. `constraints` are those of
    `swift.conf`, such as `max_file_size` (bytes) or `container_listing_limit`.

    Raises:
        DevError: the run folder lies on a file system without user extended attributes.
        ProcessFailedError: it does not become ready.
    """
    home = group.run.folder(name)
    require_user_attributes(home)
    key, denied_key = secrets.token_hex(24), secrets.token_hex(24)
    settings = {
        "root": str(home),
        "account": "stow",
        "users": {"admin": f"{key} .admin", "nobody": denied_key},
        "token_life_s": token_life_s,
        "constraints": dict(constraints or {}),
    }
    settings_path = home / "settings.json"
    settings_path.write_text(json.dumps(settings), encoding="utf-8")
    settings_path.chmod(0o600)  # the keys are not on a command line, which everybody may read
    # -I: no folder of ours and nothing of the user's on its import path.
    argv = [str(python), "-I", swift_launcher.__file__, str(settings_path)]
    environment = {variable: os.environ[variable] for variable in _PASSED_ON if variable in os.environ}
    process = group.start(Command(name, argv, env={**environment, "HOME": str(home)}, cwd=home, grace_s=2.0))
    ready_path = home / swift_launcher.READY

    def is_ready() -> bool:
        return ready_path.exists() and answers(f"{_endpoint(ready_path)}/healthcheck")

    try:
        process.wait_ready(is_ready, timeout_s=READY_TIMEOUT_S)
    except DevError:
        group.stop(process)
        raise
    endpoint = _endpoint(ready_path)
    return SwiftServer(
        endpoint=endpoint,
        auth_url=f"{endpoint}/auth/v1.0",
        storage_url=f"{endpoint}/v1/AUTH_stow",
        user="stow:admin",
        key=key,
        denied_user="stow:nobody",
        denied_key=denied_key,
        process=process,
    )


async def allow_temp_urls(server: SwiftServer, key: str) -> None:
    """Set the account's key of TempURLs, as its owner does once."""
    async with aiohttp.ClientSession() as http:
        headers = {"X-Auth-User": server.user, "X-Auth-Key": server.key}
        async with http.get(server.auth_url, headers=headers) as answer:
            token = answer.headers["X-Auth-Token"]
        headers = {"X-Auth-Token": token, "X-Account-Meta-Temp-URL-Key": key}
        async with http.post(server.storage_url, headers=headers) as answer:
            answer.raise_for_status()


def require_user_attributes(folder: Path) -> None:
    """Raises:
    DevError: files in `folder` cannot carry the extended attributes in which Swift keeps metadata.
    """
    try:
        os.setxattr(folder, PROBE, b"1")
        os.removexattr(folder, PROBE)
    except OSError as error:
        raise DevError(
            f"{folder} is on a file system without user extended attributes ({error.strerror}), which Swift keeps its "
            "metadata in: set TMPDIR to a folder on ext4, xfs or btrfs, or on a tmpfs of Linux 6.6 or newer"
        ) from error


def _endpoint(ready_path: Path) -> str:
    port = json.loads(ready_path.read_text(encoding="utf-8"))["port"]
    return f"http://127.0.0.1:{port}"
