"""One line for every data and signing operation: who did what to which object, with what result. Nothing secret ever enters one.

The line is built from names, counts and codes alone - no header, no URL, no query, no text of an error.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPMethod

from stow.gateway.access import Verb
from stow.gateway.ports import Identity
from stow.gateway.routes import Family
from stow.storage.names import printable

_log = logging.getLogger("stow.audit")
MAX_KEY_CHARACTERS = 2048
"""More than any valid key has: a line stays bounded also for an invalid one."""


@dataclass(slots=True)
class Call:
    """What becomes known of one request while it runs; mutable, belongs to its task."""

    method: str = ""
    family: Family | None = None
    verb: Verb | None = None
    identity: Identity | None = None
    signed_by: str | None = None
    """The public id of the key of a signed URL."""
    namespace: str | None = None
    location: str | None = None
    container: str | None = None
    key: str | None = None
    source: str | None = None
    """Of a copy: ``namespace/container`` or location, never the key's content."""
    status: int = 0
    code: str = "ok"
    bytes_in: int = 0
    bytes_out: int = 0
    signed: bool = False
    """It came by a signed URL."""
    started: bool = False
    """The head of a success went out: from now on a failure can only reset the connection."""

    audited: bool = False
    """It is about data or signing."""

    def line(self, *, at: datetime, duration_s: float) -> dict[str, object]:
        who = self.identity
        fields: dict[str, object | None] = {
            "audit": "object-api",
            "time": at.isoformat(timespec="milliseconds"),
            "user": who.user if who else None,
            "uid": (who.uid or None) if who else None,
            "signedURL": self.signed or None,
            "kid": self.signed_by,
            "verb": str(self.verb) if self.verb else _verb(self.method),
            "route": str(self.family) if self.family else None,
            "namespace": self.namespace,
            "location": self.location,
            "container": self.container,
            "key": None if self.key is None else printable(self.key, limit=MAX_KEY_CHARACTERS),
            "source": self.source,
            "status": self.status,
            "code": self.code,
            "bytesIn": self.bytes_in,
            "bytesOut": self.bytes_out,
            "durationMs": round(duration_s * 1000, 1),
        }
        return {name: value for name, value in fields.items() if value is not None}


def _verb(method: str) -> str:
    """Of a request that was refused before its operation was known. Its method may be any word that a client made up."""
    return method.lower() if method in set(HTTPMethod) else "other"


def log_line(line: Mapping[str, object]) -> None:
    """The default sink: one JSON document a line on the logger ``stow.audit``."""
    _log.info("%s", json.dumps(line))
