"""Swift: a real one, and a stand-in of its authentication that names the front as the place of objects."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from connections.rows import DEADLINES, Act, Clock, Door, Opened, Opener, Row, address_of, exists, head, sign
from servers.stub import http, serve
from stow.storage.driver import Driver

if TYPE_CHECKING:
    from servers.swift import SwiftServer


def _swift(act: Act, *, front_of_tokens: bool) -> Callable[[pytest.FixtureRequest, Path], Opener]:
    """Either what gives tokens is behind the front, or the storage URL that it names."""

    def open_(request: pytest.FixtureRequest, _: Path) -> Opener:
        server: SwiftServer = request.getfixturevalue("swift_server")
        clock = Clock()
        origin = [""]

        def driver(auth_url: str, door: Door) -> Driver:
            from stow.drivers.swift.config import AuthVersion, SwiftConfig, V1User
            from stow.drivers.swift.driver import SwiftDriver

            origin[0] = door.url
            if front_of_tokens:
                auth_url = door.url + urlsplit(server.auth_url).path
            config = SwiftConfig(
                auth_url,
                V1User(server.user, server.key),
                auth_version=AuthVersion.V1,
                temp_url_key="temp-url-key-canary",
                egress=door.egress,
                deadlines=DEADLINES,
                ssl_context=door.ssl_context,
            )
            return SwiftDriver(config, clock=clock, outside=door.outside)

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            headers = {"X-Auth-User": server.user, "X-Auth-Key": server.key}
            async with aiohttp.ClientSession() as client, client.get(server.auth_url, headers=headers) as answer:
                token = answer.headers["X-Auth-Token"]
            path = urlsplit(server.storage_url).path

            def grant(_: object) -> bytes:
                storage = server.storage_url if front_of_tokens else origin[0] + path
                return http(x_auth_token=token, x_storage_url=storage, x_auth_token_expires="86000")

            async with serve(grant) as auth:
                yield Opened(
                    address_of(auth.endpoint if front_of_tokens else server.endpoint),
                    lambda door: driver(auth.endpoint + "/auth/v1.0", door),
                    act,
                    clock,
                    # A signature needs the storage URL, which is asked for once.
                    None if act is sign else timedelta(days=2 if front_of_tokens else 0),
                )

        return opened

    return open_


ROWS: Final = (
    Row("swift", "object", _swift(head, front_of_tokens=False)),
    Row("swift", "lifecycle", _swift(exists, front_of_tokens=False)),
    Row("swift", "token", _swift(exists, front_of_tokens=True)),
    Row("swift", "sign", _swift(sign, front_of_tokens=True)),
)
