"""What the tests of the Google driver are made with: drivers, bodies, documents."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from conformance.google_kind import service_key
from servers.gcs_front import GcsFront
from servers.stub import Seen, http
from stow.drivers.google.config import Anonymous, Credentials, GoogleConfig, Uploads
from stow.drivers.google.driver import GoogleDriver
from stow.storage.budget import ByteBudget
from stow.storage.clock import Clock, utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import ByteRange
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

DEV_EGRESS = EgressPolicy(allowed=LOOPBACK)
QUICK = Deadlines(connect_s=2, idle_s=0.5, request_s=2, abort_s=1)
KIB = 1024
GRAIN = 256 * KIB
SMALL_CHUNKS = Uploads(single_bytes=GRAIN, chunk_bytes=GRAIN)
OBJECT = {"x_goog_generation": "7", "last_modified": "Mon, 23 Nov 2026 02:00:00 GMT"}


def stub_driver(
    endpoint: str,
    *,
    credentials: Credentials | None = None,
    uploads: Uploads | None = None,
    budget: ByteBudget | None = None,
    deadlines: Deadlines = QUICK,
    outside: Outside | None = None,
    clock: Clock = utc_now,
    **config: Any,
) -> GoogleDriver:
    """For a stub: anonymous unless said otherwise, short deadlines, no jitter."""
    made = GoogleConfig(
        credentials if credentials is not None else Anonymous(),
        endpoint=endpoint,
        egress=config.pop("egress", DEV_EGRESS),
        deadlines=deadlines,
        uploads=uploads if uploads is not None else Uploads(),
        **config,
    )
    return GoogleDriver(
        made,
        clock=clock,
        budget=budget,
        outside=outside if outside is not None else Outside(jitter=lambda: 0.0),
        new_nonce=lambda: "nonce-1",
    )


def front_driver(
    front: GcsFront, *, credentials: Credentials | None = None, clock: Clock = utc_now, **config: Any
) -> GoogleDriver:
    """For the front: its account's key, its token endpoint."""
    made = GoogleConfig(
        credentials if credentials is not None else service_key(front.account),
        endpoint=config.pop("endpoint", front.endpoint),
        token_uri=config.pop("token_uri", front.token_url),
        iam_endpoint=config.pop("iam_endpoint", front.endpoint),
        metadata_endpoint=config.pop("metadata_endpoint", front.endpoint),
        egress=config.pop("egress", DEV_EGRESS),
        **config,
    )
    return GoogleDriver(made, clock=clock, outside=Outside(jitter=lambda: 0.0))


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def failing(chunks: Iterable[bytes], failure: Exception) -> AsyncIterator[bytes]:
    """A body that must not come to be: it raises where its end would be."""
    for chunk in chunks:
        yield chunk
    raise failure


async def content(driver: GoogleDriver, bucket: str, key: str, byte_range: ByteRange | None = None) -> bytes:
    async with await driver.read(bucket, key, byte_range) as stream:
        return b"".join([chunk async for chunk in stream])


def answer(document: object, status: int = 200, **headers: str) -> bytes:
    """A JSON answer."""
    return http(status, json.dumps(document).encode(), content_type="application/json", **headers)


def refusal(status: int, reason: str) -> bytes:
    """As the JSON API refuses, with text that must never get out."""
    text = "SECRET-BACKEND-TEXT"
    return answer({"error": {"code": status, "message": text, "errors": [{"reason": reason, "message": text}]}}, status)


def query(seen: Seen) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(seen.target).query, keep_blank_values=True))


def path(seen: Seen) -> str:
    return urlsplit(seen.target).path


def parts(seen: Seen) -> tuple[dict[str, Any], dict[str, str], bytes]:
    """Of a multipart/related upload: the resource, the headers of the media and its bytes."""
    boundary = seen.headers["content-type"].partition("boundary=")[2].encode()
    before, first, second, after = seen.body.split(b"--" + boundary)
    assert (before, after) == (b"", b"--\r\n")
    resource = first.partition(b"\r\n\r\n")[2]
    head, _, media = second.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    fields = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n"))
    return json.loads(resource), fields, media.removesuffix(b"\r\n")
