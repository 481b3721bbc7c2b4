"""Google: fake-gcs-server behind the front that verifies, which gives tokens and signs blobs too."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from connections.rows import DEADLINES, Act, Clock, Door, Opened, Opener, Row, address_of, exists, head, sign
from servers.stub import http, serve
from stow.storage.driver import Driver

if TYPE_CHECKING:
    from servers.fake_gcs import FakeGcsServer
    from servers.gcs_front import GcsFront
    from stow.drivers.google.config import GoogleConfig

Place = Callable[["GoogleConfig", Door], "GoogleConfig"]
"""Puts the front where one class of call goes."""


def _storage(config: GoogleConfig, door: Door) -> GoogleConfig:
    return replace(config, endpoint=door.url)


def _token(config: GoogleConfig, door: Door) -> GoogleConfig:
    return replace(config, token_uri=door.url + "/token")


def _iam(config: GoogleConfig, door: Door) -> GoogleConfig:
    """Another account of the front's signs, in whose name the driver's own may."""
    from servers.google_identity import make_account

    return replace(config, iam_endpoint=door.url, signer_service_account=make_account("nobody").email)


def _google(act: Act, place: Place) -> Callable[[pytest.FixtureRequest, Path], Opener]:
    def open_(request: pytest.FixtureRequest, _: Path) -> Opener:
        server: FakeGcsServer = request.getfixturevalue("fake_gcs")
        clock = Clock()

        def driver(gcs: GcsFront, door: Door) -> Driver:
            from conformance.google_kind import service_key
            from stow.drivers.google.config import GoogleConfig
            from stow.drivers.google.driver import GoogleDriver

            config = GoogleConfig(
                service_key(gcs.account),
                endpoint=gcs.endpoint,
                token_uri=gcs.token_url,
                iam_endpoint=gcs.endpoint,
                metadata_endpoint=gcs.endpoint,
                egress=door.egress,
                deadlines=DEADLINES,
                ssl_context=door.ssl_context,
            )
            return GoogleDriver(place(config, door), clock=clock, outside=door.outside)

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            from servers.gcs_front import running_front

            async with running_front(server.endpoint) as gcs:

                def issue(_: object) -> bytes:
                    """A token of the account, whatever the assertion's audience: the front has another name than the service."""
                    token = {"access_token": gcs.identities.issue(gcs.account.email), "expires_in": 20}
                    return http(body=json.dumps(token).encode(), content_type="application/json")

                async with serve(issue) as tokens:
                    yield Opened(
                        address_of(tokens.endpoint if place is _token else gcs.endpoint),
                        lambda door: driver(gcs, door),
                        act,
                        clock,
                        timedelta(seconds=30),
                    )

        return opened

    return open_


ROWS: Final = (
    Row("google", "object", _google(head, _storage)),
    Row("google", "lifecycle", _google(exists, _storage)),
    Row("google", "token", _google(exists, _token)),
    Row("google", "sign", _google(sign, _iam)),
    Row("google", "sign-with-a-key", _google(sign, _storage), connects=False),
)
