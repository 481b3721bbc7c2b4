"""Azurite: Azure Blob Storage with a shared key. The account's name stands in the path."""

from __future__ import annotations

import base64
from typing import Final

import pytest

from faults.harm import Status
from faults.http1 import Seen
from faults.kind import CANARY, EGRESS, Differs, Door, Kind, Role, Server
from faults.outcome import Outcome, State, fails
from stow.errors import ChecksumMismatchError
from stow.storage.clock import utc_now
from stow.storage.driver import Driver
from stow.storage.model import MIB


def _is(method: str, *, key: bool, query: dict[str, str] | None = None) -> Role:
    wanted = query or {}

    def role(seen: Seen, container: str, name: str) -> bool:
        path = f"/{container}/{name}" if key else f"/{container}"
        named = {k: v for k, v in seen.query.items() if k in {"comp", "restype"}}
        return (
            seen.method == method
            and seen.path.partition("/")[2].partition("/")[2] == path.lstrip("/")
            and named == wanted
        )

    return role


def _first_block(seen: Seen, container: str, key: str) -> bool:
    """Block ids are a nonce and the number."""
    if not _is("PUT", key=True, query={"comp": "block"})(seen, container, key):
        return False
    return base64.b64decode(seen.query["blockid"]).endswith(b"-00001")


def _azurite(request: pytest.FixtureRequest) -> Server:
    from servers.azurite import AzuriteServer
    from stow.drivers.azure.config import AzureConfig, Blocks, SharedKey
    from stow.drivers.azure.driver import AzureDriver

    server: AzuriteServer = request.getfixturevalue("azurite")

    def driver(door: Door) -> Driver:
        config = AzureConfig(
            server.account,
            SharedKey(server.key),
            endpoint=door.endpoint if door.endpoint == server.endpoint else f"{door.endpoint}/{server.account}",
            egress=EGRESS,
            deadlines=door.deadlines,
            blocks=Blocks(single_bytes=9 * MIB, first_block_bytes=5 * MIB, concurrency=1),
            ssl_context=door.ssl_context,
        )
        return AzureDriver(config, clock=utc_now, outside=door.outside)

    return Server(server.endpoint, driver)


AZURE: Final = Kind(
    "azure",
    _azurite,
    roles={
        "head": _is("HEAD", key=True),
        "list": _is("GET", key=False, query={"restype": "container", "comp": "list"}),
        "read": _is("GET", key=True),
        "write": _is("PUT", key=True),
        "part": _first_block,
        "commit": _is("PUT", key=True, query={"comp": "blocklist"}),
        "delete": _is("DELETE", key=True),
        "copy": _is("PUT", key=True, query={"comp": "blocklist"}),
        "exists": _is("GET", key=False, query={"restype": "container"}),
        "create": _is("PUT", key=False, query={"restype": "container"}),
    },
    expired=Status(
        403,
        {"Content-Type": "application/xml", "x-ms-error-code": "AuthenticationFailed"},
        f"<Error><Code>AuthenticationFailed</Code><Message>{CANARY}</Message></Error>".encode(),
    ),
    single_bytes=9 * MIB,
    parted_bytes=6 * MIB,
    first_is_repeated=frozenset({"copy", "copy anew", "part"}),
    copies_carry_nonce=True,
    calls={
        "read a suffix": 2,  # the service has no suffix ranges: the size is asked first
        "copy": 3,  # the source is asked first; then the service reads it as a block, and the list of one block makes the object
    },
    differs={
        ("flipped bit in the upload", "write streamed"): Differs(
            Outcome(ChecksumMismatchError, 1, state=State.GONE),
            "the MD5 of a streamed body is known behind its end: what was stored damaged is taken out again",
        ),
        ("flipped bit in the upload", "write streamed, new key"): Differs(
            fails(ChecksumMismatchError, 1), "as above; the key was unused"
        ),
    },
)
