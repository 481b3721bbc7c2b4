"""The values that pass between users of a store, the store and its drivers. Data only: frozen, no I/O, no defaults that decide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

from stow.storage.names import DataReference

MIB: Final = 1024 * 1024
EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


class LocationID(StrEnum):
    """Which of a store's two backends a call goes to. SIGNED_URL falls back to MAIN where it is not configured."""

    MAIN = "main"
    SIGNED_URL = "signed-url"


class Origin(StrEnum):
    """How a container came into the map."""

    BASE = "Base"
    DECLARED = "Declared"
    DYNAMIC = "Dynamic"


class Method(StrEnum):
    """What a signed URL may be used for."""

    GET = "GET"
    HEAD = "HEAD"
    PUT = "PUT"
    DELETE = "DELETE"


class SignBinding(StrEnum):
    """What a signed URL can bind its user to, beside method, key and expiry."""

    CONTENT_MD5 = "content-md5"
    CONTENT_TYPE = "content-type"
    HEADERS = "headers"
    RESPONSE_OVERRIDES = "response-overrides"
    MAX_SIZE = "max-size"


class ResponseOverride(StrEnum):
    """Response headers that a signed GET or HEAD can fix, whatever is stored."""

    CACHE_CONTROL = "cache-control"
    CONTENT_DISPOSITION = "content-disposition"
    CONTENT_ENCODING = "content-encoding"
    CONTENT_LANGUAGE = "content-language"
    CONTENT_TYPE = "content-type"


@dataclass(frozen=True, slots=True)
class ByteRange:
    """One range of a read, as RFC 9110 14.1.2 has it, half-open: ``[start, end)``.

    ``end=None`` reads to the end. ``suffix`` (then ``start`` is 0 and ``end`` None) asks for the last ``suffix`` bytes;
    ``suffix=0`` is never satisfiable, nor is ``start`` at or behind the object's end.
    """

    start: int = 0
    end: int | None = None
    suffix: int | None = None

    def resolve(self, size_bytes: int) -> tuple[int, int] | None:
        """The bytes of an object of that size as ``[start, end)``; None where no byte is in the range."""
        if self.suffix is not None:
            return (max(0, size_bytes - self.suffix), size_bytes) if self.suffix and size_bytes else None
        end = size_bytes if self.end is None else min(self.end, size_bytes)
        return (self.start, end) if self.start < end else None

    def header(self) -> str:
        """The value of an HTTP ``Range`` header."""
        if self.suffix is not None:
            return f"bytes=-{self.suffix}"
        return f"bytes={self.start}-" if self.end is None else f"bytes={self.start}-{self.end - 1}"


@dataclass(frozen=True, slots=True)
class ObjectAttributes:
    """What is stored beside the bytes and given back as it was. Each is opaque: ``content_encoding`` inflates nothing."""

    content_type: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """User metadata: names ``[a-z0-9-]{1,64}``, values any Unicode without control characters, 2 KiB in all."""


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """What a head, a read, a write or a listing says about one version of one object."""

    exists: bool
    size_bytes: int = 0
    etag: str = ""
    """The driver's version token, without quotes. Opaque: it changes whenever the object does."""
    last_modified: datetime | None = None
    attributes: ObjectAttributes = field(default_factory=ObjectAttributes)
    md5: bytes | None = None
    """MD5 of the whole object where the backend knows it (16 bytes)."""
    crc32c: bytes | None = None
    """CRC32C of the whole object where the backend knows it (4 bytes, big-endian)."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How an object is written. Preconditions: at most one of the two; both are strong.

    ``if_match``: replace only the version with that etag (``*``: only what exists).
    ``if_none_match``: create only (the ``If-None-Match: *`` of RFC 9110).
    """

    attributes: ObjectAttributes = field(default_factory=ObjectAttributes)
    content_md5: bytes | None = None
    if_match: str | None = None
    if_none_match: bool = False


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How an object is copied. ``attributes=None`` keeps those of the source. Preconditions as in :class:`WriteOptions`."""

    attributes: ObjectAttributes | None = None
    source_if_match: str | None = None
    if_match: str | None = None
    if_none_match: bool = False


@dataclass(frozen=True, slots=True)
class ReadConditions:
    """Preconditions of a read, evaluated in the order of RFC 9110 13.2.2.

    ``if_match`` and ``if_none_match`` are lists of etags without quotes (``*`` for any); weak ones never match ``if_match``.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None
    if_range: str | datetime | None = None
    """An etag or a date: where it does not match, the range is ignored and the whole object is read (RFC 9110 13.1.5)."""

    def __bool__(self) -> bool:
        """Whether anything is asked, If-Range included."""
        preconditions = self.if_match or self.if_none_match or self.if_modified_since or self.if_unmodified_since
        return bool(preconditions) or self.if_range is not None


class ObjectStream(Protocol):
    """An open read. ``async for`` gives the bytes of ``[start, end)`` of the version that ``metadata`` describes.

    Use as an async context manager: leaving it ends the backend's request at once, read to its end or not.
    """

    @property
    def metadata(self) -> ObjectMetadata: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def __aenter__(self) -> ObjectStream: ...
    async def __aexit__(self, *_: object) -> None: ...


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One object of a listing: its key exactly as Head and Read take it."""

    key: str
    size_bytes: int
    etag: str
    last_modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page: objects and common prefixes, in UTF-8 byte order of the key. ``token=None`` is the end; an empty page is not.

    From a driver ``token`` is the backend's own; from StowStore it is a sealed cursor.
    """

    objects: tuple[ListedObject, ...]
    prefixes: tuple[str, ...] = ()
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What StowStore gives for one page. ``references`` go into head and read as they are; ``cursor=None`` is the end."""

    container: DataReference
    objects: tuple[ListedObject, ...]
    prefixes: tuple[str, ...]
    cursor: str | None

    @property
    def references(self) -> tuple[DataReference, ...]:
        return tuple(DataReference(self.container.scheme, self.container.container, o.key) for o in self.objects)


@dataclass(frozen=True, slots=True)
class Scope:
    """On whose behalf a container is used; decides which lines of the map it may see.

    ``uid`` names one StowContainer: only its own Declared container. Without it the scope is a location's: Base and Dynamic containers
    only, and a dynamic one only where the location's pattern allows it for ``namespace``.
    """

    namespace: str
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What the backend says about a container's existence and owner, read just now."""

    exists: bool
    marker: Marker | None = None


@dataclass(frozen=True, slots=True)
class ContainerEntry:
    """One line of the container map."""

    name: str
    fqn: str
    origin: Origin
    loaded_at: datetime
    uid: str
    """UID of the StowContainer (Declared) or of the location (Base, Dynamic): what a local signature is bound to."""
    namespace: str | None = None
    resource: str | None = None
    ready: bool = True


@dataclass(frozen=True, slots=True)
class Marker:
    """Who owns a container: written on it with the create, or right after."""

    installation: str
    namespace: str
    name: str
    uid: str
    nonce: str = ""
    """Of the intent that made it: tells a create whose answer was lost from somebody else's container."""


@dataclass(frozen=True, slots=True)
class ContainerContents:
    """What keeps a container from being empty. Counts are exact up to the page that was looked at; ``truncated`` says there is more."""

    objects: int = 0
    versions: int = 0
    """Noncurrent versions and delete markers."""
    uploads: int = 0
    truncated: bool = False

    @property
    def empty(self) -> bool:
        return not (self.objects or self.versions or self.uploads or self.truncated)


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """What a container is set to beside its existence. None: not asked for, or not known to the backend."""

    tags: Mapping[str, str] | None = None
    """All of the user's tags (labels, metadata); the marker and the backend's own are not among them."""
    versioning: bool | None = None
    expire_after_days: int | None = None
    """Objects are deleted so many days after they were written; 0 is no such rule."""


@dataclass(frozen=True, slots=True)
class SignedURLProperties:
    """What a signed URL is to allow (the original's ``SignedURLProperties``)."""

    scope: Method
    expires_in: timedelta | None = None
    """None: the location's default. Longer than the location's maximum is cut to it; ``SignedURL.expires_at`` says so."""
    content_md5: bytes | None = None
    content_type: str | None = None
    max_size_bytes: int | None = None
    """Local locations only: the largest body that a PUT may have."""
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Further request headers that are signed: the client has to send them exactly so."""
    response_overrides: Mapping[ResponseOverride, str] = field(default_factory=dict)
    """What a GET or HEAD answers in these headers."""


@dataclass(frozen=True, slots=True)
class SignedURL:
    """The answer. ``url`` is a secret: it goes to the asker and nowhere else."""

    url: str = field(repr=False)
    method: Method
    expires_at: datetime
    required_headers: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)
    """Headers that the client has to send exactly so."""
