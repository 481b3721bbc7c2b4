"""What a row of both tables is: for a kind and a class of call, the server that is connected to, a driver that goes there, and the call."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from stow.errors import NotFoundError
from stow.storage.clock import utc_now
from stow.storage.driver import Driver, SignRequest
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import ContainerEntry, Method, Origin
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

DEADLINES: Final = Deadlines(connect_s=5, idle_s=5, request_s=5, abort_s=5)


@dataclass(frozen=True, slots=True)
class Door:
    """How the driver goes out. ``url`` is the front before the row's server: ``scheme://host:port``."""

    url: str
    outside: Outside
    ssl_context: ssl.SSLContext | None = None
    egress: EgressPolicy = field(default_factory=lambda: EgressPolicy(allowed=LOOPBACK))


class Clock:
    """The present, moved by ``ahead``."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass(frozen=True, slots=True)
class Opened:
    """``address`` is the real server's; ``act`` makes the call with a driver; ``later`` is the time that has to pass until it asks again;
    None: a driver asks once.

    ``behind`` is the trust of a server that speaks TLS itself; ``trusted`` are authorities that the driver needs beside the front's.
    """

    address: tuple[str, int]
    driver: Callable[[Door], Driver]
    act: Act
    clock: Clock
    later: timedelta | None = timedelta(0)
    behind: ssl.SSLContext | None = None
    trusted: tuple[Path, ...] = ()

    made: list[Driver] = field(default_factory=list)

    def go(self, door: Door) -> Driver:
        """A driver, which is closed at the end of the test."""
        self.made.append(self.driver(door))
        return self.made[-1]

    async def call(self, driver: Driver) -> None:
        await self.act(driver, self.clock)


Opener = Callable[[], AbstractAsyncContextManager[Opened]]


@dataclass(frozen=True, slots=True)
class Row:
    """``connects``: whether the call sends anything at all."""

    kind: str
    call: str
    open: Callable[[pytest.FixtureRequest, Path], Opener]
    connects: bool = True

    def __str__(self) -> str:
        return f"{self.kind}-{self.call}"


Act = Callable[[Driver, Callable[[], datetime]], Awaitable[None]]
"""One call, at the present of the driver's clock."""


async def head(driver: Driver, _: Callable[[], datetime]) -> None:
    with contextlib.suppress(NotFoundError):
        await driver.head("stow-connections", "k")


async def exists(driver: Driver, _: Callable[[], datetime]) -> None:
    await driver.container_exists("stow-connections")


async def sign(driver: Driver, clock: Callable[[], datetime]) -> None:
    now = clock()
    entry = ContainerEntry("stow-connections", "x://stow-connections", Origin.BASE, now, "uid")
    await driver.sign(SignRequest("stow-connections", "k", Method.GET, now, now + timedelta(minutes=5), entry))


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
