"""A gateway on a loopback port, with its ports played by hand and real stores behind it.

Real: sockets, aiohttp, the gateway, StowStore, the memory and local drivers. Fake: TokenReview, SubjectAccessReview, the watch's memory and
the reader; each of them counts what it is asked and can be told to fail or to wait.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from prometheus_client import CollectorRegistry

from gateway.faults import FaultyDriver
from stow.drivers.memory import MemoryBackend, MemoryDriver
from stow.errors import StowError
from stow.gateway.app import Gateway, Parts
from stow.gateway.ports import Identity
from stow.gateway.settings import Deadlines, GatewaySettings
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ownership import identity_of
from stow.reconcile.ports import OpenedStore
from stow.storage.config import StoreConfig
from stow.storage.driver import Driver
from stow.storage.local_signing import HMACLocalSigner, Keyring, SigningKey
from stow.storage.metrics import StoreMetrics
from stow.storage.model import ContainerEntry, Marker, Method
from stow.storage.store import StowStore

TOKEN = "canary-token.for-the-tests"
ALICE = Identity("system:serviceaccount:team:app", "uid-alice", ("system:serviceaccounts",))
BEARER = f"Authorization: Bearer {TOKEN}"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PUBLIC_URL = "http://objects.test"
ALL_RIGHTS = frozenset(
    {
        ("get", "objects"),
        ("list", "objects"),
        ("create", "objects"),
        ("update", "objects"),
        ("delete", "objects"),
        ("create", "sign"),
    }
)
BASE = "/v1/namespaces/team/containers/reports"
FAST = Deadlines(
    header_s=0.4,
    keep_alive_s=1.2,
    body_idle_s=0.4,
    write_idle_s=0.5,
    first_byte_s=0.4,
    backend_idle_s=0.4,
    backend_total_s=0.4,
    copy_s=2.0,
    review_s=0.4,
    linger_s=0.2,
    sweep_s=0.05,
)


class Clock:
    """Wall time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.moment = START

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return (self.moment - START).total_seconds()


class Tokens:
    """Implements TokenReviewer."""

    def __init__(self) -> None:
        self.known: dict[str, Identity] = {TOKEN: ALICE}
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def review(self, token: str) -> Identity | None:
        self.asked.append(token)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.known.get(token)


class Access:
    """Implements AccessReviewer: ``granted`` holds (verb, subresource) pairs; ``only`` narrows them to (resource, namespace, name)."""

    def __init__(self) -> None:
        self.granted: set[tuple[str, str]] = set(ALL_RIGHTS)
        self.refused_at: set[tuple[str, str, str]] = set()
        self.asked: list[tuple[str, str, str, str, str, str]] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.held: frozenset[str] = frozenset()
        """Users whose reviews wait for the gate."""

    async def allowed(
        self, identity: Identity, *, verb: str, resource: str, subresource: str, namespace: str, name: str
    ) -> bool:
        self.asked.append((identity.user, verb, resource, subresource, namespace, name))
        if self.gate is not None and identity.user in self.held:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return (verb, subresource) in self.granted and (resource, namespace, name) not in self.refused_at


class Memory:
    """Implements Objects and Reader: what the watch knows, and what only the API server knows yet."""

    def __init__(self) -> None:
        self.known: dict[ObjectRef, Snapshot] = {}
        self.unwatched: dict[ObjectRef, Snapshot] = {}
        self.labels: dict[str, dict[str, str]] = {"team": {}, "other": {}}
        self.reads: list[ObjectRef] = []
        self.error: Exception | None = None

    def get(self, ref: ObjectRef) -> Snapshot | None:
        return self.known.get(ref)

    def list(self, kind: str) -> tuple[Snapshot, ...]:
        return tuple(each for each in self.known.values() if each.ref.kind == kind)

    def containers_of(self, location: ObjectRef) -> tuple[Snapshot, ...]:
        return tuple(
            each
            for each in self.list("StowContainer")
            if (each.spec["locationRef"]["kind"], each.spec["locationRef"]["name"]) == (location.kind, location.name)
        )

    def namespaces(self) -> Mapping[str, Mapping[str, str]]:
        return self.labels

    async def read(self, ref: ObjectRef) -> Snapshot | None:
        self.reads.append(ref)
        if self.error is not None:
            raise self.error
        return self.known.get(ref) or self.unwatched.get(ref)

    async def namespace_terminating(self, name: str) -> bool:
        return name not in self.labels


class Stores:
    """Implements the port of the same name."""

    def __init__(self) -> None:
        self.by_ref: dict[ObjectRef, StowStore] = {}
        self.error: StowError | None = None

    async def open(self, location: Snapshot) -> OpenedStore:
        if self.error is not None:
            raise self.error
        return OpenedStore(self.by_ref[location.ref])

    def last_good(self, ref: ObjectRef) -> StowStore | None:
        return self.by_ref.get(ref)

    async def close(self, ref: ObjectRef) -> None:
        self.by_ref.pop(ref, None)


@dataclass(slots=True)
class Loads:
    """Implements LoadReports."""

    entries: list[tuple[ObjectRef, str]] = field(default_factory=list)

    def loaded(self, location: ObjectRef, entry: ContainerEntry) -> None:
        self.entries.append((location, entry.name))


Wrap = Callable[[Driver], Driver]


class World:
    """All of it. ``location`` and ``container`` plant custom resources; ``driver`` wraps what the stores made afterwards use."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.tokens, self.access, self.memory, self.stores, self.loads = Tokens(), Access(), Memory(), Stores(), Loads()
        self.backend = MemoryBackend()
        self.registry = CollectorRegistry()
        self.store_metrics = StoreMetrics(self.registry)
        self.keyring: Keyring | None = Keyring(SigningKey("k1", b"\x07" * 32, START))
        self.missing: dict[str, bool] = {"caches": True, "signing-keys": True}
        self.audit: list[dict[str, object]] = []
        self.port = 0
        self.driver: FaultyDriver
        """Of the location that was planted last."""
        self.gateway: Gateway | None = None

    # Planting

    def location(
        self,
        name: str = "main",
        *,
        namespace: str | None = "team",
        driver: Driver | None = None,
        config: StoreConfig | None = None,
        spec: Mapping[str, Any] | None = None,
        route: str = "namespaces/team/containers/reports",
    ) -> StowStore:
        kind = "StowLocation" if namespace else "ClusterStowLocation"
        ref = ObjectRef(kind, namespace, name)
        raw = {"local": {"path": name}, **(spec or {})}
        self.memory.known[ref] = Snapshot(ref, f"uid-{name}", 1, "1", START, spec=raw)
        signer = HMACLocalSigner(PUBLIC_URL, lambda: self.keyring, route_of=lambda _: route, clock=self.clock)  # type: ignore[arg-type,return-value]  # None only while a test says so
        memory = MemoryDriver(clock=self.clock, backend=self.backend, signer=signer)
        self.driver = FaultyDriver(memory)
        main = driver or cast("Driver", self.driver)
        store = StowStore(
            config or StoreConfig(f"uid-{name}", sign_methods=frozenset(Method)),
            main,
            clock=self.clock,
            metrics=self.store_metrics.bind(kind="memory", location=name),
            cursor_key=b"k" * 32,
        )
        self.stores.by_ref[ref] = store
        return store

    async def container(
        self,
        name: str = "reports",
        *,
        namespace: str = "team",
        location: str = "main",
        kind: str = "StowLocation",
        status: Mapping[str, Any] | None = None,
        deleting: bool = False,
        watched: bool = True,
        create: bool = True,
        uid: str | None = None,
    ) -> Snapshot:
        ref = ObjectRef("StowContainer", namespace, name)
        store = self.stores.by_ref[ObjectRef(kind, namespace if kind == "StowLocation" else None, location)]
        made = f"{name}-bucket"
        uid = uid or f"uid-{namespace}-{name}"
        if create and made not in self.backend.containers:
            await store.create_container(made, marker=Marker("test", namespace, name, uid))
        planted = {
            "provisioned": "Created",
            "containerName": made,
            "fqn": store.fqn(made),
            "backendIdentity": identity_of(store.identity, made),
            "conditions": [condition("Ready", "True", "Provisioned")],
        }
        snapshot = Snapshot(
            ref,
            uid,
            1,
            "1",
            START,
            deleting_since=START if deleting else None,
            spec={"locationRef": {"kind": kind, "name": location}},
            status=planted if status is None else status,
        )
        (self.memory.known if watched else self.memory.unwatched)[ref] = snapshot
        return snapshot

    def bytes_of(self, key: str, container: str = "reports-bucket") -> bytes | None:
        """What the backend holds."""
        found = self.backend.containers[container].objects.get(key)
        return None if found is None else found.data

    # Serving

    @asynccontextmanager
    async def serving(self, settings: GatewaySettings | None = None) -> AsyncIterator[World]:
        parts = Parts(
            tokens=self.tokens,
            access=self.access,
            objects=self.memory,
            reader=self.memory,
            stores=self.stores,
            keyrings=lambda: self.keyring,
            loads=self.loads,
            readiness=lambda: self.missing,
            clock=self.clock,
            registry=self.registry,
            audit=lambda line: self.audit.append(dict(line)),
            now=self.clock.monotonic,
        )
        self.gateway = Gateway(settings or GatewaySettings(drain_grace_s=1.0), parts)
        self.port = await self.gateway.start(host="127.0.0.1")
        try:
            yield self
        finally:
            await self.gateway.stop()

    async def ask(
        self,
        method: str,
        target: str,
        *headers: str,
        body: bytes | None = None,
        token: str | None = TOKEN,
        source: str | None = None,
    ) -> Answer:
        """One request over a raw socket, byte for byte as written; from the address ``source``."""
        async with self.wire(source) as wire:
            wire.send(request(method, target, *headers, body=body, token=token))
            return await wire.answer(head=method == "HEAD")

    @asynccontextmanager
    async def wire(self, source: str | None = None) -> AsyncIterator[Wire]:
        local = (source, 0) if source else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1024 * 1024, local_addr=local)
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }


def request(method: str, target: str, *headers: str, body: bytes | None = None, token: str | None = TOKEN) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    lines += headers
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b"")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    raw: bytes
    closed: bool = False
    """The connection ended while the body was read."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.headers.get("stow-error-code", "")


class Wire:
    """A raw client socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, head: bool = False, timeout_s: float = 10) -> Answer:
        """The next answer.

        Raises:
            asyncio.IncompleteReadError: the connection ended inside of it.
        """
        async with asyncio.timeout(timeout_s):
            raw = await self.reader.readuntil(b"\r\n\r\n")
            lines = raw.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines[1:] if line)}
            body = b""
            if not head and status not in {100, 204, 304}:
                body = await self.reader.readexactly(int(headers.get("content-length", "0")))
            return Answer(status, headers, body, raw + body)

    async def closed(self, *, timeout_s: float = 10) -> bytes:
        """What still comes until the other side ends the connection, cleanly or not."""
        async with asyncio.timeout(timeout_s):
            parts = []
            try:
                while chunk := await self.reader.read(65536):
                    parts.append(chunk)
            except ConnectionError:
                pass
            return b"".join(parts)


async def until(condition: Callable[[], bool], *, timeout_s: float = 5) -> float:
    """Wait for something that another task brings about; returns the seconds it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
    return loop.time() - begun
