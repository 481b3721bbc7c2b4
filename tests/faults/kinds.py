"""The kinds of backend that the tables run over: how a driver is built through the proxy, and which request is which.

To add one: a function that gives its :class:`Server` (15 lines), the predicates of its requests, and a line in ``KINDS``. An entry of
``differs`` overrides the table for one fault and one operation, and says why. SDKs and drivers are imported where a kind is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from faults.harm import Status
from faults.http1 import Seen
from faults.outcome import Outcome
from stow.storage.clock import utc_now
from stow.storage.driver import Driver
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import MIB
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

if TYPE_CHECKING:
    import ssl

CANARY: Final = "SECRET-BACKEND-TEXT"
"""Stands in the answers of backends; must stand in no error."""
EGRESS: Final = EgressPolicy(allowed=LOOPBACK)
Role = Callable[[Seen, str, str], bool]
"""(request, container, key): whether it is that request about that object."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a driver goes in, and how. ``endpoint`` is ``http[s]://host:port`` without a path."""

    endpoint: str
    outside: Outside = field(default_factory=Outside)
    deadlines: Deadlines = field(default_factory=Deadlines)
    ssl_context: ssl.SSLContext | None = None


async def _nothing(_container: str, _key: str) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. ``leftovers`` counts what an upload that failed has left at it, for a container and a key."""

    endpoint: str
    driver: Callable[[Door], Driver]
    leftovers: Callable[[str, str], Awaitable[int]] = _nothing

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.endpoint)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port


@dataclass(frozen=True, slots=True)
class Differs:
    """A kind's own outcome, and why it is right for it. ``outcome=None``: the fault cannot happen to this operation."""

    outcome: Outcome | None
    reason: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known before a server runs."""

    name: str
    open: Callable[[pytest.FixtureRequest], Server]
    roles: Mapping[str, Role]
    """head, list, read, write, part (the first one), commit, delete, copy, exists, create: the request that a fault hits."""
    expired: Status
    """How the backend says that the credentials are over."""
    single_bytes: int
    """The largest write in one request, as the driver is configured here."""
    parted_bytes: int
    """A body of unknown size that goes up in parts."""
    answers: frozenset[str] = frozenset({"list", "read"})
    """Roles whose successful answer has a body of more than 50 bytes."""
    begins_with_read: frozenset[str] = frozenset()
    """Groups of writing operations whose first request is a HEAD or GET, which is repeated."""
    host: str = "localhost"
    """By which the proxy is called: a name, so that the injected resolver is asked at each connect."""
    checks_uploads: bool = True
    """The backend compares what arrived with a checksum that the driver sends."""
    checks_reads: bool = True
    """A full read is compared with a checksum that the backend knows."""
    copies_carry_nonce: bool = False
    """A copy that keeps its source's attributes can carry a nonce of its own, so that it is found after its answer was lost."""
    undo: Role | None = None
    """The request that removes a failed upload; None where nothing needs to be removed."""
    calls: Mapping[str, int] = field(default_factory=dict)
    """Operations of ``test_calls.py`` that cost another number of requests."""
    differs: Mapping[tuple[str, str], Differs] = field(default_factory=dict)
    """By fault and operation."""


# S3


def _is(
    method: str, *, key: bool, query: tuple[str, ...] = (), without: tuple[str, ...] = (), header: str = ""
) -> Role:
    """Path style. ``query`` are parameters that must be there, ``without`` such that must not."""

    def role(seen: Seen, container: str, name: str) -> bool:
        path = f"/{container}/{name}" if key else f"/{container}"
        found = seen.query.keys()
        copies = "x-amz-copy-source" in seen.fields
        return (
            seen.method == method
            and seen.path == path
            and found >= set(query)
            and not found & set(without)
            and copies == (header == "x-amz-copy-source")
        )

    return role


def _first_part(seen: Seen, container: str, key: str) -> bool:
    return _is("PUT", key=True, query=("partNumber",))(seen, container, key) and seen.query["partNumber"] == "1"


def _minio(request: pytest.FixtureRequest) -> Server:
    import boto3

    from servers.minio import MinioServer
    from stow.drivers.s3.config import Dialect, Multipart, S3Config, StaticCredentials
    from stow.drivers.s3.driver import S3Driver

    server: MinioServer = request.getfixturevalue("minio")

    def driver(door: Door) -> Driver:
        config = S3Config(
            StaticCredentials(server.access_key, server.secret_key),
            endpoint=door.endpoint,
            region=server.region,
            dialect=Dialect.MINIO,
            egress=EGRESS,
            deadlines=door.deadlines,
            multipart=Multipart(threshold_bytes=9 * MIB, first_part_bytes=5 * MIB),
            ssl_context=door.ssl_context,
        )
        return S3Driver(config, clock=utc_now, outside=door.outside)

    def uploads(container: str, key: str) -> int:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name=server.region,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
        )
        try:
            # MinIO lists uploads by their exact key alone.
            return len(client.list_multipart_uploads(Bucket=container, Prefix=key).get("Uploads", []))
        finally:
            client.close()

    async def leftovers(container: str, key: str) -> int:
        return await asyncio.to_thread(uploads, container, key)

    return Server(server.endpoint, driver, leftovers)


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "minio",
            _minio,
            roles={
                "head": _is("HEAD", key=True),
                "list": _is("GET", key=False, query=("list-type",)),
                "read": _is("GET", key=True),
                "write": _is("PUT", key=True, without=("partNumber",)),
                "part": _first_part,
                "commit": _is("POST", key=True, query=("uploadId",)),
                "delete": _is("DELETE", key=True, without=("uploadId",)),
                "copy": _is("PUT", key=True, header="x-amz-copy-source"),
                "exists": _is("HEAD", key=False),
                "create": _is("PUT", key=False),
            },
            expired=Status(
                403,
                {"Content-Type": "application/xml", "x-minio-error-code": "ExpiredToken"},
                f"<Error><Code>ExpiredToken</Code><Message>{CANARY}</Message></Error>".encode(),
            ),
            single_bytes=9 * MIB,
            parted_bytes=6 * MIB,
            answers=frozenset({"list", "read", "copy", "commit"}),
            begins_with_read=frozenset({"copy", "copy anew", "create"}),
            undo=_is("DELETE", key=True, query=("uploadId",)),
            calls={"copy": 2},  # the source is asked first: its version and size decide how it is copied
        ),
    )
}
