"""The memory driver: a real backend within one process, and the reference of the conformance suite.

It keeps every promise of the contract to the letter: all keys are distinct, every condition is atomic (nothing is
awaited between a check and its change), a stream stays on the version that it opened, a body that raises changes
nothing. It refuses nothing but what does not exist. What it holds is gone with the :class:`MemoryBackend`; several
drivers may share one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import google_crc32c

from stow.errors import (
    BackendFailedError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ContainerTakenError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    UnsupportedError,
)
from stow.storage.clock import Clock
from stow.storage.driver import Capabilities, SignRequest
from stow.storage.local_signing import LOCAL_BINDS, LocalSigner
from stow.storage.model import (
    MIB,
    ByteRange,
    ContainerContents,
    ContainerSettings,
    CopyOptions,
    ListedObject,
    Listing,
    Marker,
    Method,
    ObjectAttributes,
    ObjectMetadata,
    SignedURL,
    WriteOptions,
)
from stow.storage.names import MAX_METADATA_BYTES, KeyRules
from stow.storage.paging import cut_page

_CHUNK_BYTES = MIB // 4
_MAX_OBJECT_BYTES = 1024 * MIB
"""All of it stands in memory; more belongs on a disk."""
_MAX_SIGNED_EXPIRY_S = 7 * 24 * 3600
"""As S3's SigV4 has it, so that what works here works there."""
_CONTENTS_PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Object:
    metadata: ObjectMetadata
    data: bytes = field(repr=False)


@dataclass(slots=True)
class _Container:
    marker: Marker | None
    objects: dict[str, _Object] = field(default_factory=dict)
    uploads: int = 0


@dataclass(slots=True)
class MemoryBackend:
    """What is stored. Outlives the drivers on it, as a bucket outlives its clients."""

    containers: dict[str, _Container] = field(default_factory=dict)
    versions: int = 0

    def next_version(self) -> str:
        """A version token that was never given before."""
        self.versions += 1
        return f"{self.versions:032x}"


class MemoryDriver:
    """Implements :class:`stow.storage.driver.Driver`."""

    def __init__(
        self,
        *,
        clock: Clock,
        identity: str = "mem://memory",
        signer: LocalSigner | None = None,
        backend: MemoryBackend | None = None,
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._signer = signer
        self._backend = MemoryBackend() if backend is None else backend
        self._closed = False
        self._capabilities = Capabilities(
            dialect="Memory",
            create_once=True,
            write_if_match=True,
            delete_if_match=True,
            content_md5=True,
            integrity="crc32c",
            server_side_copy=True,
            markers=True,
            marker_with_create=True,
            tags=False,
            versioning=False,
            expiry_rules=False,
            sign_methods=frozenset(Method) if signer is not None else frozenset(),
            sign_binds=LOCAL_BINDS if signer is not None else frozenset(),
            max_single_write_bytes=_MAX_OBJECT_BYTES,
            max_object_bytes=_MAX_OBJECT_BYTES,
            max_metadata_bytes=MAX_METADATA_BYTES,
            max_signed_expiry_s=_MAX_SIGNED_EXPIRY_S,
            keys=KeyRules(),
        )

    @property
    def scheme(self) -> str:
        return "mem"

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def probe(self, container: str | None) -> None:  # noqa: ARG002  the contract's argument; memory always answers
        await self._answer()

    async def create_container(self, name: str, marker: Marker | None) -> None:
        await self._answer()
        if name in self._backend.containers:
            raise ContainerTakenError("The container exists already.", container=name)
        self._backend.containers[name] = _Container(marker)

    async def container_exists(self, name: str) -> bool:
        await self._answer()
        return name in self._backend.containers

    async def read_marker(self, name: str) -> Marker | None:
        await self._answer()
        return self._container(name).marker

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        await self._answer()
        self._container(name).marker = marker

    async def container_settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        """Containers have no settings here."""
        del asked
        if not await self.container_exists(name):
            raise ContainerNotFoundError("The container does not exist.")
        return ContainerSettings()

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        """No capability declares any of them."""
        del name, settings
        raise UnsupportedError("Containers of this backend have no tags, versions or expiry rules.")

    async def sweep(self, name: str) -> int:
        """Nothing outlives its writer here."""
        await self._answer()
        self._container(name)
        return 0

    async def container_contents(self, name: str) -> ContainerContents:
        await self._answer()
        container = self._container(name)
        count = len(container.objects)
        return ContainerContents(
            objects=min(count, _CONTENTS_PAGE), uploads=container.uploads, truncated=count > _CONTENTS_PAGE
        )

    async def delete_container(self, name: str) -> None:
        await self._answer()
        container = self._backend.containers.get(name)
        if container is None:
            return
        if container.objects or container.uploads:
            raise ContainerNotEmptyError("The container holds objects or open uploads.", container=name)
        del self._backend.containers[name]

    async def head(self, container: str, key: str) -> ObjectMetadata:
        await self._answer()
        return self._object(container, key).metadata

    async def list(
        self, container: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
    ) -> Listing:
        await self._answer()
        objects = self._container(container).objects
        page = cut_page(objects, prefix=prefix, delimiter=delimiter, limit=limit, token=token)
        listed = (
            ListedObject(key, found.size_bytes, found.etag, found.last_modified)
            for key, found in ((key, objects[key].metadata) for key in page.keys)
        )
        return Listing(objects=tuple(listed), prefixes=page.prefixes, token=page.token)

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> MemoryStream:
        await self._answer()
        found = self._object(container, key)
        size = found.metadata.size_bytes
        span = (0, size) if byte_range is None else byte_range.resolve(size)
        if span is None:
            raise RangeNotSatisfiableError(f"The object has {size} bytes; none is in the range.", size_bytes=size)
        return MemoryStream(found.metadata, found.data, *span)

    async def write(
        self,
        container: str,
        key: str,
        body: AsyncIterator[bytes],
        *,
        size_bytes: int | None,  # noqa: ARG002  the body is counted above
        options: WriteOptions,
    ) -> ObjectMetadata:
        await self._answer()
        home = self._container(container)
        _check_conditions(home.objects.get(key), options.if_match, if_none_match=options.if_none_match)
        home.uploads += 1
        try:
            parts = [chunk async for chunk in body]
        finally:
            home.uploads -= 1
        data = b"".join(parts)
        return self._publish(container, key, data, options.attributes, options.if_match, options.if_none_match)

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await self._answer()
        objects = self._container(container).objects
        _check_conditions(objects.get(key), if_match, if_none_match=False)
        objects.pop(key, None)

    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        await self._answer()
        found = self._object(*source)
        _check_conditions(found, options.source_if_match, if_none_match=False)
        attributes = found.metadata.attributes if options.attributes is None else options.attributes
        return self._publish(*destination, found.data, attributes, options.if_match, options.if_none_match)

    async def sign(self, request: SignRequest) -> SignedURL:
        if self._signer is None:
            raise UnsupportedError("This location has no signing key.")
        return self._signer.sign(request)

    async def aclose(self) -> None:
        self._closed = True

    async def _answer(self) -> None:
        """Stands for the round trip: a point where cancellation arrives, and the end of a closed driver."""
        await asyncio.sleep(0)
        if self._closed:
            raise BackendFailedError("The client of this location is closed; ask again.")

    def _container(self, name: str) -> _Container:
        container = self._backend.containers.get(name)
        if container is None:
            raise ContainerNotFoundError("The container does not exist.", container=name)
        return container

    def _object(self, container: str, key: str) -> _Object:
        found = self._container(container).objects.get(key)
        if found is None:
            raise ObjectNotFoundError("The object does not exist.", container=container)
        return found

    def _publish(
        self,
        container: str,
        key: str,
        data: bytes,
        attributes: ObjectAttributes,
        if_match: str | None,
        if_none_match: bool,
    ) -> ObjectMetadata:
        objects = self._container(container).objects
        _check_conditions(objects.get(key), if_match, if_none_match=if_none_match)
        metadata = ObjectMetadata(
            exists=True,
            size_bytes=len(data),
            etag=self._backend.next_version(),
            last_modified=self._clock(),
            attributes=replace(attributes, metadata=dict(attributes.metadata)),
            md5=hashlib.md5(data, usedforsecurity=False).digest(),
            crc32c=google_crc32c.value(data).to_bytes(4, "big"),
        )
        objects[key] = _Object(metadata, data)
        return metadata


def _check_conditions(found: _Object | None, if_match: str | None, *, if_none_match: bool) -> None:
    if if_none_match and found is not None:
        raise PreconditionFailedError("The object exists already.")
    if if_match is not None and (found is None or if_match not in {"*", found.metadata.etag}):
        raise PreconditionFailedError("The object is not the version that If-Match names.")


class MemoryStream:
    """Implements :class:`stow.storage.model.ObjectStream` on bytes that no later write touches."""

    def __init__(self, metadata: ObjectMetadata, data: bytes, start: int, end: int) -> None:
        self.metadata = metadata
        self._data = data
        self.start = start
        self.end = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(self.start, self.end, _CHUNK_BYTES):
            await asyncio.sleep(0)
            yield self._data[at : min(at + _CHUNK_BYTES, self.end)]

    async def __aenter__(self) -> MemoryStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._data = b""
