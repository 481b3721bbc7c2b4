"""StowStore: one location's containers and objects, the same for every kind of backend.

Validates names, bodies and preconditions before any I/O, decides which containers may be used, tells the two meanings of a backend's
404 apart, locates every error and measures every operation: once, here. It creates no container but in ``create_container`` and
``load_container(create_if_not_found=True)``; no write ever does. It keeps no credentials and never retries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    ContainerNotAllowedError,
    ContainerNotFoundError,
    ContainerTakenError,
    InvalidArgumentError,
    InvalidContainerNameError,
    InvalidReferenceError,
    LimitExceededError,
    NotFoundError,
    ObjectNotFoundError,
    RangeNotSatisfiableError,
    StowError,
    UnsupportedError,
)
from stow.storage import conditions as read_conditions
from stow.storage.attributes import check_attributes
from stow.storage.body import CheckedBody, ReadStream
from stow.storage.clock import Clock
from stow.storage.containers import ContainerMap, not_allowed, visible
from stow.storage.crashpoints import Crash, CrashPoint, no_crash
from stow.storage.cursor import CursorSeal
from stow.storage.driver import Capabilities, Driver, SignRequest
from stow.storage.metrics import LocationMetrics
from stow.storage.model import (
    ByteRange,
    ContainerContents,
    ContainerEntry,
    ContainerState,
    CopyOptions,
    LocationID,
    Marker,
    Method,
    ObjectMetadata,
    ObjectStream,
    Origin,
    Page,
    ReadConditions,
    Scope,
    SignedURL,
    SignedURLProperties,
    WriteOptions,
)
from stow.storage.names import DataReference, check_container_name, printable

MAX_PAGE = 1000
"""What S3, Google and Azure give at most in one page (Azure's 5,000 is the exception)."""
EXISTENCE_TTL = timedelta(seconds=5)
"""How long one look for a container answers further ambiguous 404s."""


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What a location says about its store. ``dynamic_allowed`` is asked for (container, scope) before anything is loaded on demand."""

    uid: str
    base_container: str | None = None
    dynamic_allowed: Callable[[str, Scope | None], bool] = field(default=lambda _name, _scope: False)
    sign_methods: frozenset[Method] = frozenset({Method.GET})
    default_ttl: timedelta = timedelta(minutes=15)
    max_ttl: timedelta = timedelta(hours=1)
    max_read_bytes: int | None = None
    max_write_bytes: int | None = None


class StowStore:
    """The store of one location. Safe for concurrent use within one event loop; ``aclose`` ends its drivers."""

    def __init__(
        self,
        config: StoreConfig,
        main: Driver,
        *,
        clock: Clock,
        metrics: LocationMetrics,
        cursor_key: bytes,
        signed_url: Driver | None = None,
        crash: Crash = no_crash,
    ) -> None:
        self.config = config
        self._main = main
        self._signed_url = signed_url
        self._clock = clock
        self._crash = crash
        self._metrics = metrics
        self._seal = CursorSeal(cursor_key, config.uid)
        self._loads: dict[str, asyncio.Task[ContainerEntry]] = {}
        self._existence: dict[str, tuple[datetime, bool]] = {}
        self.containers = ContainerMap()
        if config.base_container is not None:
            check_container_name(config.base_container)
            self.containers.record(self._entry(config.base_container, Origin.BASE))

    async def aclose(self) -> None:
        for task in self._loads.values():
            task.cancel()
        await asyncio.gather(*self._loads.values(), return_exceptions=True)
        await self._main.aclose()
        if self._signed_url is not None:
            await self._signed_url.aclose()

    # Locations and names

    def get_location(self, location: LocationID) -> Driver:
        """The driver behind the id; SIGNED_URL falls back to MAIN where it is not configured."""
        return self._signed_url or self._main if location is LocationID.SIGNED_URL else self._main

    @property
    def base_container_fqn(self) -> str | None:
        """``scheme://container`` of the base container; None for a location without one."""
        return None if self.config.base_container is None else self.fqn(self.config.base_container)

    def fqn(self, container: str) -> str:
        return f"{self._main.scheme}://{container}"

    def reference(self, container: str, key: str = "") -> DataReference:
        return DataReference(self._main.scheme, container, key)

    @property
    def identity(self) -> str:
        """Which backend this is (see the driver's contract); with a container's name it identifies that container."""
        return self._main.identity

    @property
    def scheme(self) -> str:
        return self._main.scheme

    @property
    def capabilities(self) -> Capabilities:
        """What this location's backend can do, as far as the probe has found out."""
        return self._main.capabilities

    async def probe(self) -> None:
        """Ask whether the backend answers and takes the credentials; needs neither list-all nor create rights.

        Raises:
            CredentialsError, EndpointForbiddenError, BackendError.
        """
        with self._metrics.operation("probe"):
            for driver in {id(d): d for d in (self._main, self.get_location(LocationID.SIGNED_URL))}.values():
                await driver.probe(self.config.base_container)

    # Containers

    async def create_container(
        self, name: str, *, location: LocationID = LocationID.MAIN, marker: Marker | None = None
    ) -> ContainerEntry:
        """Create it, marked as ``marker`` says, and record it. One that carries the same marker already is ours and returned.

        Raises:
            ContainerTakenError: the name exists and is not ours - also where nothing says whose it is.
        """
        driver = self.get_location(location)
        async with self._operation("create", name):
            check_container_name(name)
            try:
                await driver.create_container(name, marker)
            except ContainerTakenError:
                if marker is None or not await self._carries(driver, name, marker):
                    raise
            else:
                self._crash(CrashPoint.CONTAINER_CREATED)
                if marker is not None and driver.capabilities.markers:
                    if not driver.capabilities.marker_with_create:
                        await driver.write_marker(name, marker)
                    self._crash(CrashPoint.MARKER_WRITTEN)
            return self._loaded(name, marker)

    @staticmethod
    async def _carries(driver: Driver, name: str, marker: Marker) -> bool:
        """Whether a name that is taken is ours. One whose marker we may not read, or that is gone again, is not."""
        if not driver.capabilities.markers:
            return False
        try:
            return await driver.read_marker(name) == marker
        except (AccessDeniedError, NotFoundError):
            return False

    async def load_container(
        self,
        name: str,
        *,
        create_if_not_found: bool,
        location: LocationID = LocationID.MAIN,
        marker: Marker | None = None,
    ) -> ContainerEntry:
        """Load an existing container and record it.

        Raises:
            ContainerNotFoundError: absent, and not to be created.
        """
        async with self._operation("load", name):
            check_container_name(name)
            if await self.get_location(location).container_exists(name):
                return self._loaded(name, marker)
        if not create_if_not_found:
            raise ContainerNotFoundError(
                f"The container {name} does not exist; create it, or allow its creation.",
                operation="load",
                container=name,
            )
        return await self.create_container(name, location=location, marker=marker)

    async def get_container(
        self, name: str, *, location: LocationID = LocationID.MAIN, scope: Scope | None = None
    ) -> ContainerEntry:
        """The base container, else the map, else - only where dynamic containers are allowed - loaded once and recorded.

        Raises:
            ContainerNotAllowedError: none of these, for this scope. Counted in ``bad_container``.
            ContainerNotFoundError: it may be loaded, but does not exist.
        """
        try:
            known = self.containers.get(name)
            if known is not None and (known.origin is not Origin.DYNAMIC or scope is None):
                return visible(known, scope)
            # Asked at each use: that one namespace has loaded it gives no other a right, and the rules may have changed since.
            if (scope is not None and scope.uid is not None) or not self.config.dynamic_allowed(name, scope):
                raise not_allowed()
            if known is not None:
                return known
            check_container_name(name)
            return visible(await self._load_once(name, location), scope)
        except StowError as error:
            if isinstance(error, ContainerNotAllowedError | InvalidContainerNameError):
                self._metrics.bad_container()
            error.locate(operation="load", container=printable(name))
            raise

    async def _load_once(self, name: str, location: LocationID) -> ContainerEntry:
        """Concurrent callers share one load; one that goes away does not end it for the others."""
        task = self._loads.get(name)
        if task is None:
            task = asyncio.create_task(self._load_dynamic(name, location))
            self._loads[name] = task
            task.add_done_callback(lambda done: self._load_done(name, done))
        return await asyncio.shield(task)

    def _load_done(self, name: str, task: asyncio.Task[ContainerEntry]) -> None:
        self._loads.pop(name, None)
        if not task.cancelled():
            task.exception()  # the callers that would have heard of it may all have gone

    async def _load_dynamic(self, name: str, location: LocationID) -> ContainerEntry:
        """What carries a marker is or was a StowContainer's, and is not served through its location."""
        driver = self.get_location(location)
        with self._metrics.operation("load"):
            if not await self._exists(name, driver):
                raise ContainerNotFoundError(f"The container {printable(name)} does not exist.")
            if driver.capabilities.markers and await driver.read_marker(name) is not None:
                raise not_allowed()
        return self.containers.record(self._entry(name, Origin.DYNAMIC))

    async def container_state(self, name: str) -> ContainerState:
        """Ask the backend whether the container exists, and whose it is."""
        async with self._operation("load", name):
            check_container_name(name)
            if not await self._main.container_exists(name):
                return ContainerState(exists=False)
            marker = await self._main.read_marker(name) if self._main.capabilities.markers else None
            return ContainerState(exists=True, marker=marker)

    async def mark_container(self, name: str, marker: Marker | None) -> None:
        """Set or remove the owner's marker.

        Raises:
            UnsupportedError: the backend has none.
        """
        async with self._operation("create", name):
            check_container_name(name)
            if not self._main.capabilities.markers:
                raise UnsupportedError("This backend cannot mark containers with their owner.")
            await self._main.write_marker(name, marker)
            self._crash(CrashPoint.MARKER_WRITTEN)

    async def container_contents(self, name: str) -> ContainerContents:
        async with self._operation("list", name):
            check_container_name(name)
            return await self._main.container_contents(name)

    async def delete_container(self, name: str) -> None:
        """Delete an empty container and take it out of the map.

        Raises:
            ContainerNotEmptyError
        """
        async with self._operation("delete", name):
            check_container_name(name)
            await self._main.delete_container(name)
        self.containers.forget(name)
        self._existence.pop(name, None)

    async def sweep_container(self, name: str) -> int:
        """Remove what dead writers have left in it; returns how many pieces."""
        async with self._operation("sweep", name):
            check_container_name(name)
            return await self._main.sweep(name)

    # Objects

    async def head(self, reference: DataReference, *, scope: Scope | None = None) -> ObjectMetadata:
        """Metadata; ``exists=False`` only when the object is definitely absent from a container that is there."""
        async with self._operation("head", reference.container, reference.key):
            driver = await self._open(reference, scope)
            try:
                return await driver.head(reference.container, reference.key)
            except NotFoundError as error:
                if isinstance(await self._settled(error, reference.container), ObjectNotFoundError):
                    return ObjectMetadata(exists=False)
                raise

    async def list(
        self,
        reference: DataReference,
        max_items: int = MAX_PAGE,
        cursor: str | None = None,
        *,
        delimiter: str | None = None,
        scope: Scope | None = None,
    ) -> Page:
        """One page of the keys that begin with the reference's key. An empty page is not the end; an absent cursor is.

        Raises:
            InvalidCursorError: of another listing, or altered.
            InvalidArgumentError: ``max_items`` not in 1..1000, or a delimiter that is not one character.
        """
        container, prefix = reference.container, reference.key
        async with self._operation("list", container, prefix):
            driver = self._driver_for(reference)
            if not 1 <= max_items <= MAX_PAGE:
                raise InvalidArgumentError(f"A page holds 1 to {MAX_PAGE} items, not {max_items}.")
            if delimiter is not None and (len(delimiter) != 1 or not delimiter.isprintable()):
                raise InvalidArgumentError("The delimiter is one printable character, usually a slash.")
            if prefix:
                driver.capabilities.keys.check_prefix(prefix)
            token = None
            if cursor is not None:
                token = self._seal.open(cursor, container=container, prefix=prefix, delimiter=delimiter)
            await self.get_container(container, scope=scope)
            listing = await driver.list(container, prefix=prefix, delimiter=delimiter, limit=max_items, token=token)
        sealed = None
        if listing.token is not None:
            sealed = self._seal.seal(listing.token, container=container, prefix=prefix, delimiter=delimiter)
        return Page(DataReference(reference.scheme, container), listing.objects, listing.prefixes, sealed)

    async def read_raw(
        self,
        reference: DataReference,
        *,
        byte_range: ByteRange | None = None,
        conditions: ReadConditions | None = None,
        scope: Scope | None = None,
    ) -> ObjectStream:
        """Open a stream that is pinned to one version; use it as an async context manager.

        Raises:
            ObjectNotFoundError, ContainerNotFoundError, PreconditionFailedError, NotModifiedError, RangeNotSatisfiableError,
            LimitExceededError: the range is longer than the location's ``maxReadBytes``.
        """
        asked = ReadConditions() if conditions is None else conditions
        async with self._operation("read", reference.container, reference.key):
            driver = await self._open(reference, scope)
            stream = await self._read_range(driver, reference, byte_range, asked)
            async with _closed_on_error(stream):
                read_conditions.check(asked, stream.metadata)
                limit = self.config.max_read_bytes
                if limit is not None and stream.end - stream.start > limit:
                    raise LimitExceededError(f"A read may have {limit} bytes here; ask for a smaller range.")
        return ReadStream(stream, reference=reference, on_bytes=self._metrics.read)

    async def _read_range(
        self, driver: Driver, reference: DataReference, byte_range: ByteRange | None, asked: ReadConditions
    ) -> ObjectStream:
        """One backend read; a second one where If-Range turns out not to match. Preconditions come before a 416 (RFC 9110 13.2.2)."""
        container, key = reference.container, reference.key
        try:
            stream = await driver.read(container, key, byte_range)
        except RangeNotSatisfiableError:
            if not asked:
                raise
            found = await driver.head(container, key)
            read_conditions.check(asked, found)
            if read_conditions.range_applies(asked, found):
                raise
            return await driver.read(container, key, None)
        if byte_range is None or read_conditions.range_applies(asked, stream.metadata):
            return stream
        await stream.__aexit__(None, None, None)
        return await driver.read(container, key, None)

    async def write_raw(
        self,
        reference: DataReference,
        size_bytes: int | None,
        options: WriteOptions,
        stream: AsyncIterator[bytes],
        *,
        scope: Scope | None = None,
    ) -> ObjectMetadata:
        """Store all of the stream or nothing. ``size_bytes=None``: of unknown length. Never creates the container.

        Raises:
            BodyError: not what was announced; the old object is as it was.
            PreconditionFailedError, LimitExceededError, UnsupportedError, ContainerNotFoundError, WriteOutcomeUnknownError.
        """
        async with self._operation("write", reference.container, reference.key):
            driver = self._driver_for(reference, key=True)
            self._check_preconditions(driver, if_match=options.if_match, if_none_match=options.if_none_match)
            check_attributes(options.attributes)
            limit = min(
                driver.capabilities.max_object_bytes,
                self.config.max_write_bytes or driver.capabilities.max_object_bytes,
            )
            if size_bytes is not None and not 0 <= size_bytes <= limit:
                raise LimitExceededError(f"An object may have 0 to {limit} bytes here, not {size_bytes}.")
            await self.get_container(reference.container, scope=scope)
            body = CheckedBody(
                stream, size_bytes=size_bytes, limit_bytes=limit, md5=options.content_md5, crash=self._crash
            )
            try:
                written = await driver.write(
                    reference.container, reference.key, aiter(body), size_bytes=size_bytes, options=options
                )
            except NotFoundError as error:
                settled = await self._settled(error, reference.container)
                if isinstance(settled, ObjectNotFoundError) and options.if_match is None:
                    raise BackendFailedError("The backend denies an object that it was to make.", status=404) from error
                raise
            self._metrics.written(body.received_bytes)
            return written

    async def delete(
        self, reference: DataReference, *, if_match: str | None = None, scope: Scope | None = None
    ) -> None:
        """Delete the object; absent already is success. With ``if_match`` only that version (``*``: only if it is there).

        Raises:
            PreconditionFailedError, UnsupportedError, ContainerNotFoundError.
        """
        async with self._operation("delete", reference.container, reference.key):
            driver = self._driver_for(reference, key=True)
            if if_match is not None and not driver.capabilities.delete_if_match:
                raise UnsupportedError("This backend cannot delete under a precondition; leave out If-Match.")
            await self.get_container(reference.container, scope=scope)
            try:
                await driver.delete(reference.container, reference.key, if_match=if_match)
            except NotFoundError as error:
                if not isinstance(await self._settled(error, reference.container), ObjectNotFoundError):
                    raise

    async def copy_raw(
        self,
        source: DataReference,
        destination: DataReference,
        options: CopyOptions,
        *,
        source_scope: Scope | None = None,
        scope: Scope | None = None,
    ) -> ObjectMetadata:
        """Copy within this store, by the backend itself where it can do what is asked, else as a pinned read and a write.

        Raises:
            ObjectNotFoundError, ContainerNotFoundError, PreconditionFailedError, UnsupportedError.
            LimitExceededError: the source is larger than the location's ``maxReadBytes`` or ``maxWriteBytes``.
        """
        async with self._operation("copy", source.container, source.key):
            driver = self._driver_for(source, key=True)
            self._driver_for(destination, key=True)
            self._check_preconditions(driver, if_match=options.if_match, if_none_match=options.if_none_match)
            if options.attributes is not None:
                check_attributes(options.attributes)
            await self.get_container(source.container, scope=source_scope)
            await self.get_container(destination.container, scope=scope)
            await self._check_copy_size(driver, source)
            conditional = options.if_none_match or options.if_match is not None
            if driver.capabilities.server_side_copy and (driver.capabilities.copy_conditions or not conditional):
                return await driver.copy(
                    (source.container, source.key), (destination.container, destination.key), options
                )
        return await copy_between(self, source, self, destination, options, source_scope=source_scope, scope=scope)

    async def _check_copy_size(self, driver: Driver, source: DataReference) -> None:
        """The location's limits hold for copies that its backend makes, too. Costs a head where there are limits."""
        limit = _smaller(self.config.max_read_bytes, self.config.max_write_bytes)
        if limit is None:
            return
        found = await driver.head(source.container, source.key)
        if found.size_bytes > limit:
            raise LimitExceededError(f"A copied object may have {limit} bytes here, not {found.size_bytes}.")

    async def create_signed_url(
        self, reference: DataReference, properties: SignedURLProperties, *, scope: Scope | None = None
    ) -> SignedURL:
        """Sign one method on one key, by the SIGNED_URL location, for a container that this scope may use.

        Raises:
            ContainerNotAllowedError: as every other call does.
            UnsupportedError: the location or its backend signs no such thing.
            InvalidArgumentError: the lifetime is not positive.
        """
        async with self._operation("sign", reference.container, reference.key):
            await self._open(reference, scope)
            entry = await self.get_container(reference.container, location=LocationID.SIGNED_URL, scope=scope)
            driver = self.get_location(LocationID.SIGNED_URL)
            allowed = self.config.sign_methods & driver.capabilities.sign_methods
            if properties.scope not in allowed:
                names = ", ".join(sorted(allowed)) or "nothing"
                raise UnsupportedError(
                    f"This location signs {names}, not {properties.scope}; see spec.signedURL.methods."
                )
            lifetime = self.config.default_ttl if properties.expires_in is None else properties.expires_in
            if lifetime <= timedelta(0):
                raise InvalidArgumentError("A signed URL lives longer than 0 seconds.")
            cap = min(self.config.max_ttl, timedelta(seconds=driver.capabilities.max_signed_expiry_s))
            now = self._clock()
            return await driver.sign(
                SignRequest(
                    container=reference.container,
                    key=reference.key,
                    method=properties.scope,
                    signed_at=now,
                    expires_at=now + min(lifetime, cap),
                    entry=entry,
                    content_md5=properties.content_md5,
                    content_type=properties.content_type,
                    max_size_bytes=_smaller(properties.max_size_bytes, self.config.max_write_bytes),
                )
            )

    # What all of them share

    @asynccontextmanager
    async def _operation(self, name: str, container: str, key: str = "") -> AsyncIterator[None]:
        with self._metrics.operation(name):
            try:
                yield
            except StowError as raised:
                error = await self._settled_or_failed(raised, container)
                if isinstance(error, ContainerNotFoundError):
                    self.containers.forget(error.container or container, uid=self.config.uid)
                error.locate(operation=name, container=printable(container), key=printable(key) or None)
                if error is raised:
                    raise
                raise error from raised

    async def _open(self, reference: DataReference, scope: Scope | None) -> Driver:
        """The driver for this reference, once scheme, key and container are allowed."""
        driver = self._driver_for(reference, key=True)
        await self.get_container(reference.container, scope=scope)
        return driver

    def _driver_for(self, reference: DataReference, *, key: bool = False) -> Driver:
        """What can be refused without I/O: the scheme and, with ``key``, the key. Comes before the container, whose load is I/O."""
        if reference.scheme != self._main.scheme:
            self._metrics.bad_key()
            raise InvalidReferenceError(
                f"This location's references begin with {self._main.scheme}://, not {printable(reference.scheme)}://."
            )
        if key:
            try:
                self._main.capabilities.keys.check(reference.key)
            except StowError:
                self._metrics.bad_key()
                raise
        return self._main

    @staticmethod
    def _check_preconditions(driver: Driver, *, if_match: str | None, if_none_match: bool) -> None:
        if if_match is not None and if_none_match:
            raise InvalidArgumentError("If-Match and If-None-Match: * exclude each other on a write; send one of them.")
        if if_none_match and not driver.capabilities.create_once:
            raise UnsupportedError("This backend cannot create an object only once; leave out If-None-Match.")
        if if_match is not None and not driver.capabilities.write_if_match:
            raise UnsupportedError("This backend cannot replace a given version; leave out If-Match.")

    async def _settled(self, error: StowError, container: str) -> StowError:
        """A 404 that does not say what is missing costs one look for the container."""
        if type(error) is not NotFoundError:
            return error
        if await self._exists(container, self._main):
            return ObjectNotFoundError("The object does not exist.")
        return ContainerNotFoundError(f"The container {printable(container)} does not exist.")

    async def _settled_or_failed(self, error: StowError, container: str) -> StowError:
        """As above; where the look itself fails, its error is the answer."""
        try:
            return await self._settled(error, container)
        except StowError as failed:
            return failed

    async def _exists(self, container: str, driver: Driver) -> bool:
        now = self._clock()
        known = self._existence.get(container)
        if known is not None and now - known[0] < EXISTENCE_TTL:
            return known[1]
        exists = await driver.container_exists(container)
        self._existence = {n: k for n, k in self._existence.items() if now - k[0] < EXISTENCE_TTL}
        self._existence[container] = (now, exists)
        return exists

    def _loaded(self, name: str, marker: Marker | None) -> ContainerEntry:
        self._existence.pop(name, None)
        if marker is None:
            return self.containers.record(self._entry(name, Origin.DYNAMIC))
        entry = ContainerEntry(
            name, self.fqn(name), Origin.DECLARED, self._clock(), marker.uid, marker.namespace, marker.name
        )
        return self.containers.record(entry)

    def _entry(self, name: str, origin: Origin) -> ContainerEntry:
        return ContainerEntry(name, self.fqn(name), origin, self._clock(), self.config.uid)


async def copy_between(
    from_store: StowStore,
    source: DataReference,
    to_store: StowStore,
    destination: DataReference,
    options: CopyOptions,
    *,
    source_scope: Scope | None = None,
    scope: Scope | None = None,
) -> ObjectMetadata:
    """Copy through this process, in bounded memory: one pinned read, one write of the same declared size."""
    wanted = ReadConditions(if_match=(options.source_if_match,) if options.source_if_match else ())
    stream = await from_store.read_raw(source, conditions=wanted, scope=source_scope)
    async with stream:
        write = WriteOptions(
            attributes=options.attributes or stream.metadata.attributes,
            if_match=options.if_match,
            if_none_match=options.if_none_match,
        )
        return await to_store.write_raw(destination, stream.metadata.size_bytes, write, aiter(stream), scope=scope)


@asynccontextmanager
async def _closed_on_error(stream: ObjectStream) -> AsyncIterator[None]:
    """An opened read that the caller never gets to see is ended here."""
    try:
        yield
    except BaseException as error:
        await stream.__aexit__(type(error), error, error.__traceback__)
        raise


def _smaller(one: int | None, other: int | None) -> int | None:
    given = [value for value in (one, other) if value is not None]
    return min(given) if given else None
