"""What a promise's proof gets: a store over one kind's backend with a fresh base container, and the means to look behind it."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from conformance.clients import DirectClient, ObjectClient
from conformance.wrappers import Counting, Failing
from stow.errors import AccessDeniedError, BackendUnreachableError
from stow.storage.clock import utc_now
from stow.storage.config import StoreConfig
from stow.storage.driver import Capabilities, Driver
from stow.storage.metrics import StoreMetrics
from stow.storage.model import Method
from stow.storage.store import StowStore

CURSOR_KEY = b"conformance-cursor-key-of-32-byte"
LOCATION_UID = "location-uid"
ALL_METHODS = frozenset(Method)


@dataclass(frozen=True, slots=True)
class Used:
    """What a plain client was answered. Header names in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


Honour = Callable[[str, str, Mapping[str, str], bytes | None], Awaitable[Used]]


def name(prefix: str = "box") -> str:
    """A container name that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


@dataclass(slots=True)
class Clock:
    """The present, moved by ``ahead``."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass(frozen=True, slots=True)
class Kind:
    """One backend, shared by the whole session.

    ``denied`` and ``unreachable`` open a driver to the same backend that is not let in, or whose backend does not answer: real
    ones where the server can be made to do so, else wrappers. ``secrets`` must appear in no error.
    """

    name: str
    driver: Driver
    denied: Callable[[], Driver]
    unreachable: Callable[[], Driver]
    secrets: tuple[str, ...] = ()
    honour: Honour | None = None
    """Use a signed URL as a client that knows nothing else: (method, URL, headers, body) -> answer."""
    again: Callable[[], Driver] | None = None
    """One more driver on the same backend, built and not yet used; who asks for it closes it."""
    implied: Mapping[Method, frozenset[Method]] = field(default_factory=dict)
    """What a signed URL serves beside its method, by the backend's design: for each method, the others that work too. Nothing else may."""
    aclose: Callable[[], Awaitable[None]] | None = None
    """End what the kind has started beside its drivers."""
    plant: Callable[[StowStore, str], None] | None = None
    """Make signed URLs of this store's container known to who serves them, where that is not the backend itself."""
    shared: dict[str, object] = field(default_factory=dict)
    """What proofs prepare once for the kind, because it is dear."""


def kind_of(driver: Driver, *, kind_name: str, secrets: tuple[str, ...] = (), honour: Honour | None = None) -> Kind:
    """A kind whose denials and outages are made by wrappers."""

    def denied() -> Driver:
        return Failing(driver, lambda: AccessDeniedError("The backend does not allow this to these credentials."))

    def unreachable() -> Driver:
        return Failing(driver, lambda: BackendUnreachableError("The backend does not answer."))

    return Kind(kind_name, driver, denied, unreachable, secrets, honour)


@dataclass(slots=True)
class World:
    """``client`` is how to talk to the store: directly or through HTTP. ``driver`` counts what reaches the backend."""

    kind: Kind
    container: str
    driver: Counting
    store: StowStore
    client: ObjectClient
    serve: Callable[[StowStore, str], Awaitable[ObjectClient]]
    clock: Clock
    registry: CollectorRegistry
    extra: list[str] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return self.driver.capabilities

    def make_store(self, driver: Driver | None = None, **config: Any) -> StowStore:
        """Another store on the same container, over ``driver`` or the counted one."""
        return make_store(driver or self.driver, self.container, clock=self.clock, **config)

    async def client_over(self, driver: Driver | None = None, **config: Any) -> ObjectClient:
        """The same kind of client over such another store."""
        return await self.serve(self.make_store(driver, **config), self.container)

    async def new_container(self) -> str:
        """One more container, which no store has loaded."""
        made = name()
        await self.driver.create_container(made, None)
        self.extra.append(made)
        return made


def make_store(
    driver: Driver,
    container: str | None,
    *,
    clock: Clock,
    uid: str = LOCATION_UID,
    registry: CollectorRegistry | None = None,
    signed_url: Driver | None = None,
    cursor_key: bytes = CURSOR_KEY,
    **config: Any,
) -> StowStore:
    config.setdefault("sign_methods", ALL_METHODS)
    metrics = StoreMetrics(registry or CollectorRegistry()).bind(kind="test", location="tests/conformance")
    return StowStore(
        StoreConfig(uid=uid, base_container=container, **config),
        driver,
        clock=clock,
        metrics=metrics,
        cursor_key=cursor_key,
        signed_url=signed_url,
    )


async def direct(store: StowStore, container: str) -> ObjectClient:
    return DirectClient(store, container)


async def make_world(kind: Kind, serve: Callable[[StowStore, str], Awaitable[ObjectClient]] = direct) -> World:
    """A world with a fresh, empty base container."""
    container = name()
    clock, registry, driver = Clock(), CollectorRegistry(), Counting(kind.driver)
    await kind.driver.create_container(container, None)
    store = make_store(driver, container, clock=clock, registry=registry)
    if kind.plant is not None:
        kind.plant(store, container)
    return World(kind, container, driver, store, await serve(store, container), serve, clock, registry)
