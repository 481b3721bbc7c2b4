"""StowStore: one location's containers and objects, the same for every kind of backend.

Validates names, bodies and preconditions before any I/O, decides which containers may be used, locates every error and measures every
operation: once, here and in :mod:`stow.storage.operations`. It keeps no credentials and never retries; no write creates a container.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from stow.errors import (
    BackendFailedError,
    InvalidArgumentError,
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
from stow.storage.config import StoreConfig
from stow.storage.containers import ContainerMap
from stow.storage.crashpoints import Crash, no_crash
from stow.storage.cursor import CursorSeal
from stow.storage.driver import Capabilities, Driver, SignRequest
from stow.storage.metrics import LocationMetrics
from stow.storage.model import (
    ByteRange,
    ContainerContents,
    ContainerEntry,
    ContainerSettings,
    ContainerState,
    CopyOptions,
    LocationID,
    Marker,
    ObjectAttributes,
    ObjectMetadata,
    ObjectStream,
    Page,
    ReadConditions,
    Scope,
    SignedURL,
    SignedURLProperties,
    WriteOptions,
)
from stow.storage.names import DataReference, printable
from stow.storage.operations import Containers
from stow.storage.signing import check_bindings, check_method, probe_signer, signs_as

MAX_PAGE = 1000
"""What S3, Google and Azure give at most in one page (Azure's 5,000 is the exception)."""


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
        self._containers = Containers(config, main, signed_url, clock=clock, metrics=metrics, crash=crash)
        self._main = main
        self._clock = clock
        self._crash = crash
        self._metrics = metrics
        self._seal = CursorSeal(cursor_key, config.uid)

    async def aclose(self) -> None:
        await self._containers.aclose()

    @property
    def config(self) -> StoreConfig:
        """The location's rules. They may be replaced at any time and count from the next operation on."""
        return self._containers.config

    @config.setter
    def config(self, config: StoreConfig) -> None:
        self._containers.config = config

    @property
    def containers(self) -> ContainerMap:
        """The container map."""
        return self._containers.map

    # Locations and names

    def get_location(self, location: LocationID) -> Driver:
        """The driver behind the id; SIGNED_URL falls back to MAIN where it is not configured."""
        return self._containers.location(location)

    @property
    def base_container_fqn(self) -> str | None:
        """``scheme://container`` of the base container; None for a location without one."""
        return None if self.config.base_container is None else self.fqn(self.config.base_container)

    def fqn(self, container: str) -> str:
        return self._containers.fqn(container)

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
        """What this location's backend can do, as far as the probe has found out; what can be signed is up to who signs."""
        signing = self.get_location(LocationID.SIGNED_URL)
        return (
            self._main.capabilities
            if signing is self._main
            else signs_as(self._main.capabilities, signing.capabilities)
        )

    async def probe(self) -> None:
        """Ask whether the backend answers and takes the credentials; needs neither list-all nor create rights.

        Raises:
            CredentialsError, EndpointForbiddenError, BackendError. What concerns who signs says so.
        """
        with self._metrics.operation("probe"):
            await self._main.probe(self.config.base_container)
            signing = self.get_location(LocationID.SIGNED_URL)
            if signing is not self._main:
                await probe_signer(signing, self._main)

    # Containers

    async def create_container(
        self, name: str, *, location: LocationID = LocationID.MAIN, marker: Marker | None = None
    ) -> ContainerEntry:
        """Create it, marked as ``marker`` says, and record it. One that carries the same marker already is ours and returned.

        Raises:
            ContainerTakenError: the name exists and is not ours - also where nothing says whose it is.
        """
        return await self._containers.create(name, location=location, marker=marker)

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
        return await self._containers.load(
            name, create_if_not_found=create_if_not_found, location=location, marker=marker
        )

    async def get_container(
        self, name: str, *, location: LocationID = LocationID.MAIN, scope: Scope | None = None
    ) -> ContainerEntry:
        """The base container, else the map, else - only where dynamic containers are allowed - loaded once and recorded.

        Raises:
            ContainerNotAllowedError: none of these, for this scope. Counted in ``bad_container``.
            ContainerNotFoundError: it may be loaded, but does not exist.
        """
        return await self._containers.get(name, location=location, scope=scope)

    async def container_state(self, name: str) -> ContainerState:
        """Ask the backend whether the container exists, and whose it is."""
        return await self._containers.state(name)

    async def mark_container(self, name: str, marker: Marker | None) -> None:
        """Set or remove the owner's marker.

        Raises:
            UnsupportedError: the backend has none.
        """
        await self._containers.mark(name, marker)

    async def container_contents(self, name: str) -> ContainerContents:
        """What keeps it from being empty, as far as one page shows."""
        return await self._containers.contents(name)

    async def delete_container(self, name: str) -> None:
        """Delete an empty container and take it out of the map.

        Raises:
            ContainerNotEmptyError
        """
        await self._containers.delete(name)

    async def container_settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        """What an existing container is set to; None where the backend has no such thing.

        ``asked``: what is None in it is not wanted, and may be left out.
        """
        return await self._containers.settings(name, asked)

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        """Set what is not None.

        Raises:
            UnsupportedError: the backend lacks one of them; nothing was set.
        """
        await self._containers.configure(name, settings)

    async def sweep_container(self, name: str) -> int:
        """Remove what dead writers have left in it; returns how many pieces."""
        return await self._containers.sweep(name)

    # Objects

    async def head(self, reference: DataReference, *, scope: Scope | None = None) -> ObjectMetadata:
        """Metadata; ``exists=False`` only when the object is definitely absent from a container that is there."""
        async with self._containers.operation("head", reference.container, reference.key):
            driver = await self._open(reference, scope)
            try:
                return await driver.head(reference.container, reference.key)
            except NotFoundError as error:
                if isinstance(await self._containers.settled(error, reference.container), ObjectNotFoundError):
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
        async with self._containers.operation("list", container, prefix):
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
            await self._containers.get(container, scope=scope)
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
        async with self._containers.operation("read", reference.container, reference.key):
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
        async with self._containers.operation("write", reference.container, reference.key):
            driver = self._driver_for(reference, key=True)
            self._check_preconditions(driver, if_match=options.if_match, if_none_match=options.if_none_match)
            _check_attributes(driver, options.attributes)
            limit = min(
                driver.capabilities.max_object_bytes,
                self.config.max_write_bytes or driver.capabilities.max_object_bytes,
            )
            if size_bytes is not None and not 0 <= size_bytes <= limit:
                raise LimitExceededError(f"An object may have 0 to {limit} bytes here, not {size_bytes}.")
            await self._containers.get(reference.container, scope=scope)
            body = CheckedBody(
                stream, size_bytes=size_bytes, limit_bytes=limit, md5=options.content_md5, crash=self._crash
            )
            try:
                written = await driver.write(
                    reference.container, reference.key, aiter(body), size_bytes=size_bytes, options=options
                )
            except NotFoundError as error:
                settled = await self._containers.settled(error, reference.container)
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
        async with self._containers.operation("delete", reference.container, reference.key):
            driver = self._driver_for(reference, key=True)
            if if_match is not None and not driver.capabilities.delete_if_match:
                raise UnsupportedError("This backend cannot delete under a precondition; leave out If-Match.")
            await self._containers.get(reference.container, scope=scope)
            try:
                await driver.delete(reference.container, reference.key, if_match=if_match)
            except NotFoundError as error:
                if not isinstance(await self._containers.settled(error, reference.container), ObjectNotFoundError):
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
        async with self._containers.operation("copy", source.container, source.key):
            driver = self._driver_for(source, key=True)
            self._driver_for(destination, key=True)
            self._check_preconditions(driver, if_match=options.if_match, if_none_match=options.if_none_match)
            if options.attributes is not None:
                _check_attributes(driver, options.attributes)
            await self._containers.get(source.container, scope=source_scope)
            await self._containers.get(destination.container, scope=scope)
            await self._check_copy_size(driver, source)
            if driver.capabilities.server_side_copy:
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
            UnsupportedError: the location or its backend signs no such thing, or cannot bind what is to be bound.
            InvalidArgumentError: the lifetime is not positive.
            InvalidMetadataError: the content type could not stand in a header.
            InvalidArgumentError: a binding that this method has no use for, or a header that may not be bound.
        """
        async with self._containers.operation("sign", reference.container, reference.key):
            check_attributes(ObjectAttributes(content_type=properties.content_type))
            await self._open(reference, scope)
            entry = await self._containers.get(reference.container, location=LocationID.SIGNED_URL, scope=scope)
            driver = self.get_location(LocationID.SIGNED_URL)
            check_method(properties.scope, self.config.sign_methods, driver.capabilities)
            check_bindings(properties, driver.capabilities)
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
                    headers=properties.headers,
                    response_overrides=properties.response_overrides,
                )
            )

    async def _open(self, reference: DataReference, scope: Scope | None) -> Driver:
        """The driver for this reference, once scheme, key and container are allowed."""
        driver = self._driver_for(reference, key=True)
        await self._containers.get(reference.container, scope=scope)
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


def _check_attributes(driver: Driver, attributes: ObjectAttributes) -> None:
    """By the limits of the backend that is to hold them. Raises: InvalidMetadataError."""
    found = driver.capabilities
    check_attributes(attributes, metadata_bytes=found.max_metadata_bytes, overhead_bytes=found.metadata_overhead_bytes)


def _smaller(one: int | None, other: int | None) -> int | None:
    given = [value for value in (one, other) if value is not None]
    return min(given) if given else None
