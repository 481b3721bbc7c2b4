"""What the tests of the Swift driver are made with: drivers, bodies, counters, a Keystone and a Swift of a few lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import aiohttp

from servers.stub import Seen, http
from servers.swift import SwiftServer
from stow.drivers.swift.config import Credentials, Password, SwiftConfig, V1User
from stow.drivers.swift.driver import SwiftDriver
from stow.storage.clock import Clock, utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import ObjectMetadata, WriteOptions
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

Unique = Callable[[str], str]
DEV_EGRESS: Final = EgressPolicy(allowed=LOOPBACK)
QUICK: Final = Deadlines(connect_s=2, idle_s=0.5, request_s=2, abort_s=1)
PASSWORD: Final = Password("user", "password-canary")
PROJECT: Final = "project-1"
DATE: Final = "Mon, 23 Nov 2026 06:08:51 GMT"


class Counter:
    """Counts the requests that really go out."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.paths: list[str] = []
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_start.append(self._count)

    async def _count(self, _: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        self.methods.append(params.method)
        self.paths.append(params.url.path)


def server_driver(
    server: SwiftServer, *, counter: Counter | None = None, clock: Clock = utc_now, **changes: Any
) -> SwiftDriver:
    """For the real server."""
    config = SwiftConfig(server.auth_url, V1User(server.user, server.key), egress=DEV_EGRESS)
    traces = [] if counter is None else [counter.trace]
    return SwiftDriver(replace(config, **changes), clock=clock, outside=Outside(trace_configs=traces))


def stub_driver(
    auth_url: str,
    *,
    credentials: Credentials = PASSWORD,
    clock: Clock = utc_now,
    outside: Outside | None = None,
    **changes: Any,
) -> SwiftDriver:
    """For a stub: short deadlines, no jitter, one known nonce."""
    config = SwiftConfig(auth_url, credentials, egress=DEV_EGRESS, deadlines=QUICK)
    if not isinstance(credentials, V1User):
        config = replace(config, project_id=PROJECT)
    return SwiftDriver(
        replace(config, **changes),
        clock=clock,
        outside=outside or Outside(jitter=lambda: 0.0),
        new_nonce=lambda: "nonce-1",
    )


@dataclass
class Cloud:
    """A Keystone and a Swift behind one stub: give it as the stub's ``answer``. ``swift`` answers what is not for Keystone."""

    swift: Callable[[Seen], Any] = lambda seen: http(204, x_newest="no")
    life: timedelta = timedelta(hours=1)
    clock: Callable[[], datetime] = utc_now
    storage: str | None = None
    """The catalog's endpoint; None is this stub."""
    catalog: list[dict[str, Any]] | None = None
    keystone: Callable[[Seen], Any] | None = None
    """Answers in place of a token."""
    tokens: list[str] = field(default_factory=list)

    def __call__(self, seen: Seen) -> Any:
        if not seen.target.endswith("/auth/tokens"):
            return self.swift(seen)
        if self.keystone is not None:
            return self.keystone(seen)
        return self.token(seen)

    def token(self, seen: Seen) -> bytes:
        self.tokens.append(f"token-canary-{len(self.tokens) + 1}")
        url = self.storage or f"http://{seen.headers['host']}/v1/AUTH_p"
        body = {
            "token": {
                "methods": ["password"],
                "expires_at": (self.clock() + self.life).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "issued_at": self.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "project": {"id": PROJECT, "name": "team", "domain": {"id": "default", "name": "Default"}},
                "user": {"id": "u", "name": "user", "domain": {"id": "default", "name": "Default"}},
                "catalog": self.catalog if self.catalog is not None else catalog(endpoint(url)),
            }
        }
        return http(201, json.dumps(body).encode(), x_subject_token=self.tokens[-1], content_type="application/json")


def endpoint(url: str, *, interface: str = "public", region: str = "One") -> dict[str, Any]:
    return {"id": url, "interface": interface, "region": region, "region_id": region, "url": url}


def catalog(*endpoints: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": "s", "type": "object-store", "name": "swift", "endpoints": list(endpoints)}]


def put_answer(body: bytes, *, status: int = 201) -> bytes:
    """As Swift answers a PUT of these bytes."""
    return http(status, etag=hashlib.md5(body).hexdigest(), last_modified=DATE)


def head_answer(body: bytes, **headers: str) -> bytes:
    return http(200, content_length=str(len(body)), etag=hashlib.md5(body).hexdigest(), last_modified=DATE, **headers)


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def put(
    driver: SwiftDriver, container: str, key: str, data: bytes, options: WriteOptions | None = None
) -> ObjectMetadata:
    return await driver.write(container, key, body(data), size_bytes=len(data), options=options or WriteOptions())


async def drop(driver: SwiftDriver, container: str) -> None:
    """Empty it and delete it."""
    while (page := await driver.list(container, prefix="", delimiter=None, limit=1000, token=None)).objects:
        for found in page.objects:
            await driver.delete(container, found.key, if_match=None)
    await driver.delete_container(container)
