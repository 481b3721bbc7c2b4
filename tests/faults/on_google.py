"""fake-gcs-server behind the front that verifies what it does not. Tokens come from the front directly, past the proxy."""

from __future__ import annotations

import json
from typing import Final

import pytest

from faults.harm import Status
from faults.http1 import Seen
from faults.kind import CANARY, EGRESS, REPEATED, Differs, Door, Kind, Role, Server
from faults.outcome import Outcome, State, fails
from stow.errors import (
    BackendError,
    BackendFailedError,
    BackendThrottledError,
    BackendTimeoutError,
    BackendUnreachableError,
    ChecksumMismatchError,
    CredentialsInvalidError,
)
from stow.storage.clock import utc_now
from stow.storage.driver import Driver
from stow.storage.model import MIB


def _xml(method: str) -> Role:
    """Of an object in the XML API."""
    return lambda seen, container, key: seen.method == method and seen.path == f"/{container}/{key}"


def _json(method: str, path: str, **query: str) -> Role:
    """Of a bucket in the JSON API. A test's world writes one key alone, which stands in the body."""
    return lambda seen, container, _: (
        seen.method == method and seen.path == path.format(bucket=container) and query.items() <= seen.query.items()
    )


def _chunk(*, last: bool) -> Role:
    """Of a resumable upload: the first one, or the last one, which says how long all of it is."""

    def role(seen: Seen, _container: str, _key: str) -> bool:
        served, _, total = seen.fields.get("content-range", "").removeprefix("bytes ").partition("/")
        return seen.method == "PUT" and (total not in {"", "*"} if last else served.startswith("0-"))

    return role


def _copies(seen: Seen, container: str, key: str) -> bool:
    return seen.method == "POST" and seen.path.endswith(f"/rewriteTo/b/{container}/o/{key}")


def _gcs(request: pytest.FixtureRequest) -> Server:
    from servers.gcs_front import GcsFront
    from stow.drivers.google.config import GoogleConfig, ServiceAccountKey, Uploads
    from stow.drivers.google.driver import GoogleDriver

    front: GcsFront = request.getfixturevalue("google_front")
    document = json.loads(front.account.credentials_json())
    names = ("client_email", "private_key", "private_key_id", "project_id")
    own, token_uri = front.endpoint, front.token_url

    def driver(door: Door) -> Driver:
        front.endpoint = door.endpoint  # the session URIs of uploads lead through the newest driver's proxy
        config = GoogleConfig(
            ServiceAccountKey(**{name: document[name] for name in names}),
            endpoint=door.endpoint,
            token_uri=token_uri,
            egress=EGRESS,
            deadlines=door.deadlines,
            uploads=Uploads(single_bytes=9 * MIB, chunk_bytes=5 * MIB),
            ssl_context=door.ssl_context,
        )
        return GoogleDriver(config, clock=utc_now, outside=door.outside)

    return Server(own, driver)


_ONCE: Final = "a chunk of a resumable upload goes out once"
_BY_ERROR: Final = {
    BackendUnreachableError: (
        "reset after the request's head",
        "reset in the upload",
        "reset in the upload, once",
        "reset instead of the answer",
        "reset instead of the answer, once",
        "reset in the answer's head",
    ),
    BackendTimeoutError: (
        "hang before the server has it",
        "hang after the server has done it",
        "hang in the upload",
    ),
    BackendThrottledError: ("503", "429"),
    BackendFailedError: ("500", "500, once"),
}

GOOGLE: Final = Kind(
    "google",
    _gcs,
    roles={
        "head": _xml("HEAD"),
        "list": _json("GET", "/storage/v1/b/{bucket}/o"),
        "read": _xml("GET"),
        "write": _json("POST", "/upload/storage/v1/b/{bucket}/o", uploadType="multipart"),
        "part": _chunk(last=False),
        "commit": _chunk(last=True),
        "delete": _xml("DELETE"),
        "copy": _copies,
        "exists": _json("GET", "/storage/v1/b/{bucket}"),
        "create": _json("POST", "/storage/v1/b"),
    },
    expired=Status(
        401,
        {"Content-Type": "application/json"},
        json.dumps({"error": {"code": 401, "message": CANARY, "errors": [{"reason": "authError"}]}}).encode(),
    ),
    single_bytes=9 * MIB,
    parted_bytes=6 * MIB,
    answers=frozenset({"list", "read", "write", "copy", "commit"}),
    first_is_repeated=frozenset({"copy", "copy anew"}),
    calls={"copy": 2},  # the source is asked first
    differs={
        **{(row, "part"): Differs(fails(error, 1), _ONCE) for error, rows in _BY_ERROR.items() for row in rows},
        **{
            ("credentials expired", group): Differs(
                fails(CredentialsInvalidError, 2), "a 401 may be a token that ended early: another one is tried once"
            )
            for group in (*REPEATED, "create", "small", "copy", "copy anew")
        },
        ("flipped bit in the upload", "small"): Differs(
            fails(BackendError, 1), "Google's code for a wrong checksum is the one of every malformed request: invalid"
        ),
        ("flipped bit in the upload", "write streamed"): Differs(
            Outcome(ChecksumMismatchError, 1, state=State.GONE),
            "the CRC32C of a streamed body is known behind its end: what was stored damaged is deleted again",
        ),
        ("flipped bit in the upload", "write in parts, at a part"): Differs(
            Outcome(ChecksumMismatchError, 1, state=State.GONE),
            "fake-gcs-server does not compare the last chunk's x-goog-hash, so that the driver does, and deletes again",
        ),
    },
)
