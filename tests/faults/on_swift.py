"""A real OpenStack Swift, with its own authentication (version 1)."""

from __future__ import annotations

from typing import Final

import pytest

from faults.harm import Status
from faults.http1 import Seen
from faults.kind import CANARY, EGRESS, REPEATED, Differs, Door, Kind, Role, Server
from faults.outcome import Outcome, State, fails
from stow.errors import ChecksumMismatchError, CredentialsInvalidError, WriteOutcomeUnknownError
from stow.storage.clock import utc_now
from stow.storage.driver import Driver
from stow.storage.model import MIB


def _is(method: str, *, key: bool, query: tuple[str, ...] = (), copies: bool = False) -> Role:
    def role(seen: Seen, container: str, name: str) -> bool:
        path = f"/{container}/{name}" if key else f"/{container}"
        return (
            seen.method == method
            and seen.path == f"/v1/AUTH_stow{path}"
            and seen.query.keys() >= set(query)
            and copies == ("x-copy-from" in seen.fields)
        )

    return role


def _swift(request: pytest.FixtureRequest) -> Server:
    from servers.swift import SwiftServer
    from stow.drivers.swift.config import SwiftConfig, V1User
    from stow.drivers.swift.driver import SwiftDriver

    server: SwiftServer = request.getfixturevalue("swift_server")

    def driver(door: Door) -> Driver:
        config = SwiftConfig(
            f"{door.endpoint}/auth/v1.0",
            V1User(server.user, server.key),
            temp_url_key="key-of-temp-urls",
            egress=EGRESS,
            deadlines=door.deadlines,
            ssl_context=door.ssl_context,
        )
        return SwiftDriver(config, clock=utc_now, outside=door.outside)

    return Server(server.endpoint, driver)


SWIFT: Final = Kind(
    "swift",
    _swift,
    roles={
        "head": _is("HEAD", key=True),
        "list": _is("GET", key=False),
        "read": _is("GET", key=True),
        "write": _is("PUT", key=True),
        "delete": _is("DELETE", key=True),
        "copy": _is("PUT", key=True, copies=True),
        "exists": _is("HEAD", key=False),
        "create": _is("PUT", key=False),
    },
    expired=Status(401, {"Content-Type": "text/html"}, CANARY.encode()),
    single_bytes=9 * MIB,
    parted_bytes=0,
    first_is_repeated=frozenset({"copy", "copy anew"}),
    copies_carry_nonce=True,
    logs_in=True,
    over_tls=False,  # tempauth names the storage URL
    in_parts=False,
    calls={"copy": 2},  # the source is asked first
    differs={
        **{
            ("503", group): Differs(
                fails(WriteOutcomeUnknownError, 1, looks=1),
                "a 503 without Retry-After is also that of a write which too few copies took; those that took it spread later",
            )
            for group in ("small", "streamed", "unannounced", "copy", "copy anew")
        },
        **{
            ("flipped bit in the upload", group): Differs(
                Outcome(ChecksumMismatchError, 1, looks=1, state=State.GONE),
                "the MD5 of a streamed body is known behind its end: what was stored damaged is looked for and taken out again",
            )
            for group in ("streamed", "unannounced")
        },
        **{
            ("credentials expired", group): Differs(
                fails(CredentialsInvalidError, 2), "a 401 may be a token that ended early: it is renewed once"
            )
            for group in (*REPEATED, "create", "small", "copy", "copy anew")
        },
    },
)
