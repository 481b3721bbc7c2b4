"""What the tables have to know of a kind of backend: how a driver is built through the proxy, and which request is which."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from faults.harm import Status
from faults.http1 import Seen
from faults.outcome import Outcome
from stow.storage.driver import Driver
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

if TYPE_CHECKING:
    import ssl

CANARY: Final = "SECRET-BACKEND-TEXT"
"""Stands in the answers of backends; must stand in no error."""
EGRESS: Final = EgressPolicy(allowed=LOOPBACK)
REPEATED: Final = ("head", "exists", "list", "read", "delete")
"""Groups of operations whose request is idempotent and unconditional."""
DOORS: Final = (
    "refused",
    "name does not resolve",
    "plain server behind https",
    "certificate expired",
    "certificate of another host",
)
"""Faults that no request gets through."""
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
    first_is_repeated: frozenset[str] = frozenset()
    """Groups of writing operations whose first request may be repeated: it looks at something, or sends a part that is in memory."""
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
    logs_in: bool = False
    """The first request of a driver is one for a token or an address, which is repeated; even signing needs it once."""
    over_tls: bool = True
    """Behind a proxy with TLS it works. Not so where the server's answers name its own address, as it knows it: with http."""
    in_parts: bool = True
    """A long body of unknown size goes up in parts; else in one request."""
    calls: Mapping[str, int] = field(default_factory=dict)
    """Operations of ``test_calls.py`` that cost another number of requests."""
    differs: Mapping[tuple[str, str], Differs] = field(default_factory=dict)
    """By fault and operation (or group of operations)."""
    owes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Cells, by fault and group, that the driver does not keep yet, and what it does instead. Each is a strict xfail."""
