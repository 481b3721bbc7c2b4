"""Azure: Azurite, and a stand-in of Microsoft Entra ID. An identity's tokens and delegation keys need TLS all the way."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from connections.rows import DEADLINES, Act, Clock, Door, Opened, Opener, Row, address_of, exists, head, sign
from stow.storage.clock import utc_now
from stow.storage.driver import Driver

if TYPE_CHECKING:
    from servers.azurite import AzuriteServer
    from servers.entra import Entra


def _with_key(act: Act) -> Callable[[pytest.FixtureRequest, Path], Opener]:
    """The account behind the front."""

    def open_(request: pytest.FixtureRequest, _: Path) -> Opener:
        server: AzuriteServer = request.getfixturevalue("azurite")

        def driver(door: Door) -> Driver:
            from stow.drivers.azure.config import AzureConfig, SharedKey
            from stow.drivers.azure.driver import AzureDriver

            config = AzureConfig(
                server.account,
                SharedKey(server.key),
                endpoint=f"{door.url}/{server.account}",
                egress=door.egress,
                deadlines=DEADLINES,
                ssl_context=door.ssl_context,
            )
            return AzureDriver(config, clock=utc_now, outside=door.outside)

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            yield Opened(address_of(server.endpoint), driver, act, Clock())

        return opened

    return open_


def _with_identity(act: Act, *, front_of_authority: bool) -> Callable[[pytest.FixtureRequest, Path], Opener]:
    """Either the authority that gives tokens is behind the front, or the account that gives delegation keys."""

    def open_(request: pytest.FixtureRequest, folder: Path) -> Opener:
        server: AzuriteServer = request.getfixturevalue("azurite_tls")
        clock = Clock()

        def driver(entra: Entra, door: Door) -> Driver:
            from servers.entra import CLIENT, SECRET, TENANT
            from stow.drivers.azure.config import AzureConfig, ServicePrincipal
            from stow.drivers.azure.driver import AzureDriver

            account_path = urlsplit(server.endpoint).path
            config = AzureConfig(
                server.account,
                ServicePrincipal(TENANT, CLIENT, SECRET),
                endpoint=server.endpoint if front_of_authority else door.url + account_path,
                authority=door.url if front_of_authority else entra.authority,
                egress=door.egress,
                deadlines=DEADLINES,
                ssl_context=door.ssl_context,
            )
            return AzureDriver(config, clock=clock, outside=door.outside)

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            from servers.entra import serve_entra

            assert server.ca_path is not None
            authority = folder / "entra"
            authority.mkdir()
            async with serve_entra(authority) as entra:
                yield Opened(
                    address_of(entra.authority if front_of_authority else server.endpoint),
                    lambda door: driver(entra, door),
                    act,
                    clock,
                    timedelta(days=8),  # longer than any delegation key lives
                    behind=ssl.create_default_context(
                        cafile=str(entra.ca_path if front_of_authority else server.ca_path)
                    ),
                    trusted=(entra.ca_path, server.ca_path),
                )

        return opened

    return open_


ROWS: Final = (
    Row("azure", "object", _with_key(head)),
    Row("azure", "lifecycle", _with_key(exists)),
    Row("azure", "token", _with_identity(exists, front_of_authority=True)),
    Row("azure", "sign", _with_identity(sign, front_of_authority=False)),
    Row("azure", "sign-with-a-key", _with_key(sign), connects=False),
)
