"""One test's world: a driver behind its own proxy, a store over it, and a second driver straight to the server to see what became of it."""

from __future__ import annotations

import contextlib
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from faults.harm import Status
from faults.http1 import Seen
from faults.kind import Door, Kind, Server
from faults.outcome import State
from faults.proxy import Proxy
from faults.table import Operation
from stow.dev.certificates import LOOPBACK_NAMES, Authority, now
from stow.errors import ContainerNotFoundError, NotFoundError, StowError
from stow.storage.clock import utc_now
from stow.storage.config import StoreConfig
from stow.storage.driver import Driver
from stow.storage.metrics import StoreMetrics
from stow.storage.model import MIB, CopyOptions, Method, ObjectAttributes, SignedURLProperties, WriteOptions
from stow.storage.store import StowStore
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines
from stow.transport.tls import trust

OLD: Final = b"what was there before " * 1000
SOURCE: Final = b"what is copied " * 1000
SMALL: Final = b"what is new " * 100
STREAMED_BYTES: Final = MIB
BIG_BYTES: Final = 8 * MIB
"""More than the 4 MiB that Linux lets a socket's send buffer grow to, and what aiohttp and the proxy hold."""
PATIENT: Final = Deadlines(connect_s=5, idle_s=10, request_s=10, abort_s=5)
HASTY: Final = Deadlines(connect_s=5, idle_s=0.5, request_s=5, abort_s=5)
"""For backends that fall silent: each such test lasts as long as ``idle_s``, or three times as long."""
_CHUNK: Final = bytes(64 * 1024)


@dataclass(slots=True)
class Names:
    """A resolver that knows loopback alone, and counts."""

    broken: bool = False
    count: int = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.count += 1
        if self.broken:
            raise OSError("no such name")
        return ["127.0.0.1"]


@dataclass(frozen=True, slots=True)
class Base:
    """What the tests of a kind share: its server, a driver straight to it, and a container."""

    kind: Kind
    server: Server
    direct: Driver
    container: str

    @classmethod
    async def of(cls, kind: Kind, server: Server) -> Base:
        direct = server.driver(Door(server.endpoint))
        container = unique("faults")
        await direct.create_container(container, None)
        source = direct.write(container, "source", body(SOURCE), size_bytes=len(SOURCE), options=WriteOptions())
        await source
        return cls(kind, server, direct, container)

    async def aclose(self) -> None:
        token: str | None = None
        with contextlib.suppress(StowError):
            while True:
                page = await self.direct.list(self.container, prefix="", delimiter=None, limit=1000, token=token)
                for found in page.objects:
                    await self.direct.delete(self.container, found.key, if_match=None)
                if (token := page.token) is None:
                    break
            await self.direct.delete_container(self.container)
        await self.direct.aclose()

    async def content(self, key: str) -> bytes | None:
        """The object at the server; None where it is not."""
        try:
            async with await self.direct.read(self.container, key, None) as stream:
                return b"".join([chunk async for chunk in stream])
        except ContainerNotFoundError:
            raise
        except NotFoundError:
            return None


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


async def body(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def zeros(size_bytes: int) -> AsyncIterator[bytes]:
    """A long body of one chunk again and again."""
    for _ in range(size_bytes // len(_CHUNK)):
        yield _CHUNK


@dataclass(slots=True)
class World:
    """``made`` is a container that an operation may make."""

    base: Base
    proxy: Proxy
    names: Names
    driver: Driver
    store: StowStore
    key: str
    streamed_bytes: int
    made: str = field(default_factory=lambda: unique("faults-made"))

    def is_role(self, role: str) -> Callable[[Seen], bool]:
        """Whether a request is the one of that role, about this world's key or container."""
        container = self.made if role == "create" else self.base.container
        known = self.base.kind.roles[role]
        return lambda seen: known(seen, container, self.key)

    async def run(self, operation: Operation) -> None:
        """Do it through the store; what it gives back is right, or the test fails."""
        await _RUN[operation.group](self)

    async def seed(self, operation: Operation) -> None:
        """Make what the operation finds, past the proxy."""
        if not operation.fresh:
            await self.base.direct.write(
                self.base.container, self.key, body(OLD), size_bytes=len(OLD), options=WriteOptions()
            )

    def wanted(self, operation: Operation, state: State) -> object:
        """What is there in this state: the object's bytes, None for no object; for a container whether it is there."""
        if state is State.NEW:
            return self._after(operation)
        if operation.group == "create":
            return False
        return None if operation.fresh or state is State.GONE else OLD

    def _after(self, operation: Operation) -> object:
        written = {
            "create": True,
            "delete": None,
            "small": SMALL,
            "streamed": bytes(self.streamed_bytes),
            "unannounced": bytes(self.streamed_bytes),
            "part": bytes(self.base.kind.parted_bytes),
            "commit": bytes(self.base.kind.parted_bytes),
            "copy": SOURCE,
            "copy anew": SOURCE,
        }
        return written.get(operation.group, OLD)

    async def found(self, operation: Operation) -> object:
        """What is there, asked at the server."""
        if operation.group == "create":
            return await self.base.direct.container_exists(self.made)
        return await self.base.content(self.key)

    async def log_in(self) -> None:
        """Let the driver have its token, and forget that."""
        await self.driver.head(self.base.container, "source")
        self.proxy.heal()
        self.names.count = self.proxy.connections = 0

    async def clean(self) -> None:
        with contextlib.suppress(NotFoundError):  # a driver need not tell which of the two is absent
            await self.base.direct.delete(self.base.container, self.key, if_match=None)
        with contextlib.suppress(NotFoundError):
            await self.base.direct.delete_container(self.made)


async def _head(world: World) -> None:
    found = await world.store.head(world.store.reference(world.base.container, world.key))
    assert found.size_bytes == len(OLD)


async def _list(world: World) -> None:
    page = await world.store.list(world.store.reference(world.base.container, world.key))
    assert [found.key for found in page.objects] == [world.key]


async def _read(world: World) -> None:
    async with await world.store.read_raw(world.store.reference(world.base.container, world.key)) as stream:
        assert b"".join([chunk async for chunk in stream]) == OLD


async def _delete(world: World) -> None:
    await world.store.delete(world.store.reference(world.base.container, world.key))


async def _write(world: World, source: AsyncIterator[bytes], size_bytes: int | None) -> None:
    reference = world.store.reference(world.base.container, world.key)
    written = await world.store.write_raw(reference, size_bytes, WriteOptions(), source)
    stored = await world.base.direct.head(world.base.container, world.key)
    assert (written.etag, written.size_bytes) == (stored.etag, stored.size_bytes)


async def _small(world: World) -> None:
    await _write(world, body(SMALL), len(SMALL))


async def _streamed(world: World) -> None:
    await _write(world, zeros(world.streamed_bytes), world.streamed_bytes)


async def _unannounced(world: World) -> None:
    await _write(world, zeros(world.streamed_bytes), None)


async def _parts(world: World) -> None:
    await _write(world, zeros(world.base.kind.parted_bytes), None)


async def _copy(world: World, attributes: ObjectAttributes | None = None) -> None:
    source = world.store.reference(world.base.container, "source")
    target = world.store.reference(world.base.container, world.key)
    copied = await world.store.copy_raw(source, target, CopyOptions(attributes=attributes))
    assert copied.etag == (await world.base.direct.head(world.base.container, world.key)).etag


async def _copy_anew(world: World) -> None:
    await _copy(world, ObjectAttributes(content_type="text/x-copied"))


async def _exists(world: World) -> None:
    await world.store.load_container(world.base.container, create_if_not_found=False)


async def _create(world: World) -> None:
    await world.store.create_container(world.made)


async def _sign(world: World) -> None:
    signed = await world.store.create_signed_url(
        world.store.reference(world.base.container, world.key), SignedURLProperties(Method.GET)
    )
    assert world.key in signed.url


_RUN: Final[dict[str, Callable[[World], Awaitable[None]]]] = {
    "head": _head,
    "list": _list,
    "read": _read,
    "delete": _delete,
    "small": _small,
    "streamed": _streamed,
    "unannounced": _unannounced,
    "part": _parts,
    "commit": _parts,
    "copy": _copy,
    "copy anew": _copy_anew,
    "exists": _exists,
    "create": _create,
    "sign": _sign,
}


def _certificates(folder: Path, door: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What the proxy serves TLS with, and what the driver trusts."""
    authority = Authority(folder, now=now() - timedelta(days=30) if door == "expired" else now())
    pair = authority.issue_server("proxy", names=("other.example",) if door == "wrong host" else LOOPBACK_NAMES)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pair.certificate_path, pair.key_path)
    return serving, trust(authority.path.read_bytes())


@contextlib.asynccontextmanager
async def open_world(
    base: Base, folder: Path, *, door: str = "", deadlines: Deadlines = PATIENT, streamed_bytes: int = STREAMED_BYTES
) -> AsyncIterator[World]:
    """``door``: see :class:`faults.table.Row`; ``tls`` is a way over TLS that is in order. After the block driver and proxy are closed."""
    serving: ssl.SSLContext | None = None
    trusting: ssl.SSLContext | None = None
    if door in {"plain", "expired", "wrong host", "tls"}:
        serving, trusting = _certificates(folder, door)
    names = Names(broken=door == "dns")
    async with Proxy(base.server.address, ssl_context=None if door == "plain" else serving) as proxy:
        if door == "refused":
            await proxy.refuse()
        endpoint = f"{'https' if trusting else 'http'}://{base.kind.host}:{proxy.port}"
        outside = Outside(resolve=names, jitter=lambda: 0.0)
        driver = base.server.driver(Door(endpoint, outside, deadlines, trusting))
        config = StoreConfig(uid="location-uid", base_container=base.container, sign_methods=frozenset(Method))
        metrics = StoreMetrics(CollectorRegistry()).bind(kind=base.kind.name, location="tests/faults")
        store = StowStore(config, driver, clock=utc_now, metrics=metrics, cursor_key=b"k" * 32)
        world = World(base, proxy, names, driver, store, unique("key"), streamed_bytes)
        try:
            yield world
        finally:
            await store.aclose()


@contextlib.asynccontextmanager
async def nobodys_host() -> AsyncIterator[Proxy]:
    """A host to be redirected to: it answers, and counts who comes."""
    async with Proxy(("127.0.0.1", 9)) as proxy:
        proxy.inject(Status(200))
        yield proxy
