"""The contract between StowStore and a driver, written to the driver's author.

A driver translates: names are valid when they reach it, bodies are counted, errors are to be from :mod:`stow.errors` (raised ``from`` the
foreign one), nothing is measured, logged or retried below it except what its module says. It never caches what exists. It never
reads the environment, a profile file or a proxy setting. It never says "absent" when it was denied, cut off or not answered.
Cancellation of any call ends its I/O at once, and what was half written is gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Final, Protocol

from stow.storage.model import (
    EMPTY,
    ByteRange,
    ContainerContents,
    ContainerEntry,
    ContainerSettings,
    CopyOptions,
    Listing,
    Marker,
    Method,
    ObjectMetadata,
    ObjectStream,
    ResponseOverride,
    SignBinding,
    SignedURL,
    WriteOptions,
)
from stow.storage.names import KeyRules


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a (kind, dialect) can do. Two-sided: True is proven by the conformance suite, False is refused before any I/O."""

    dialect: str
    create_once: bool
    """``If-None-Match: *`` on a write, atomic among racers."""
    write_if_match: bool
    delete_if_match: bool
    content_md5: bool
    integrity: str
    """``crc32c``, ``md5``, ``sha256`` or ``none``: how a write without a client's checksum is checked end to end."""
    server_side_copy: bool
    markers: bool
    """A container can carry an ownership marker."""
    marker_with_create: bool
    tags: bool
    """A container carries the user's tags."""
    versioning: bool
    """Whether a container keeps old versions can be set."""
    expiry_rules: bool
    """A container can delete objects by age."""
    sign_methods: frozenset[Method]
    sign_binds: frozenset[SignBinding]
    max_single_write_bytes: int
    max_object_bytes: int
    max_metadata_bytes: int
    """Of user metadata, names and encoded values together."""
    max_signed_expiry_s: int
    keys: KeyRules
    metadata_overhead_bytes: int = 0
    """What counts towards ``max_metadata_bytes`` beside each name: the prefix of its header, at some backends."""

    def as_status(self) -> dict[str, str]:
        """For ``status.capabilities``: flat, text only, stable order."""
        flat = {name: value for name, value in asdict(self).items() if name not in _SETS}
        text = {
            _camel(name): str(value).lower() if isinstance(value, bool) else str(value) for name, value in flat.items()
        }
        text["signMethods"] = ",".join(sorted(self.sign_methods))
        text["signBinds"] = ",".join(sorted(self.sign_binds))
        text["maxKeyBytes"] = str(self.keys.max_bytes)
        text["maxKeySegmentBytes"] = str(self.keys.max_segment_bytes or self.keys.max_bytes)
        text["refusedKeys"] = ",".join(_camel(name) for name in self.keys.refused())
        return text


_SETS: Final = frozenset({"keys", "sign_methods", "sign_binds"})


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


@dataclass(frozen=True, slots=True)
class SignRequest:
    """One URL to sign. ``entry`` is the container's line in the map: local signatures are bound to its UID."""

    container: str
    key: str
    method: Method
    signed_at: datetime
    expires_at: datetime
    entry: ContainerEntry
    content_md5: bytes | None = None
    content_type: str | None = None
    max_size_bytes: int | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Further request headers to bind, names in lower case."""
    response_overrides: Mapping[ResponseOverride, str] = field(default_factory=dict)


class ContainerDriver(Protocol):
    """The life of containers. Called by the operator, and by StowStore when it loads one."""

    @property
    def scheme(self) -> str:
        """Of references: ``s3``, ``file``, ``mem``."""
        ...

    @property
    def identity(self) -> str:
        """Which backend this is, without the container: equal for two locations exactly when a container name means the same container.

        For example ``s3://minio.example:9000`` or ``file:///var/lib/stow/team-a``. Holds no secret. Final after the first successful
        probe, and the same from then on.
        """
        ...

    @property
    def capabilities(self) -> Capabilities:
        """After the first successful probe of the found dialect; before it the safe intersection."""
        ...

    async def probe(self, container: str | None) -> None:
        """Ask whether the backend answers and knows the credentials; needs neither list-all nor create rights.

        ``container`` (the base container, where there is one) may be asked for. Absent is fine: reachability is the question.

        Raises:
            CredentialsInvalidError, AccessDeniedError, BackendUnreachableError, BackendTimeoutError, WrongRegionError,
            EndpointForbiddenError, BackendFailedError.
        """
        ...

    async def create_container(self, name: str, marker: Marker | None) -> None:
        """Create it, with the marker in the same call where the backend can (else StowStore calls ``write_marker``).

        Raises:
            ContainerTakenError: it exists already, no matter whose it is. StowStore finds out whose.
        """
        ...

    async def container_exists(self, name: str) -> bool:
        """True or False only when the backend said so; anything else is an error of the tree."""
        ...

    async def read_marker(self, name: str) -> Marker | None:
        """The marker of an existing container; None where it has none. ContainerNotFoundError where it is absent."""
        ...

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        """Set, replace or (None) remove the marker; other tags and labels of the container stay as they are."""
        ...

    async def container_contents(self, name: str) -> ContainerContents:
        """Look at one page of objects, versions and open uploads each."""
        ...

    async def delete_container(self, name: str) -> None:
        """Delete an empty container; absent is success.

        Raises:
            ContainerNotEmptyError: the backend refused because something is in it; nothing was deleted.
        """
        ...

    async def container_settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        """What an existing container is set to; None where the capability is absent. ContainerNotFoundError where it is absent.

        ``asked``: what is None in it is not wanted, and where that saves requests it is left out and needs no right to read it.
        """
        ...

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        """Set what is not None (only what the capabilities declare reaches it); the marker, foreign rules and the rest stay as they are."""
        ...

    async def sweep(self, name: str) -> int:
        """Remove what dead writers have left in an existing container, where it does not go by itself; returns how many pieces.

        What a living writer may still need stays: each driver has its own way to tell, an age or a lock.
        """
        ...


class ObjectDriver(Protocol):
    """Objects of existing containers."""

    async def head(self, container: str, key: str) -> ObjectMetadata:
        """Raises ObjectNotFoundError or ContainerNotFoundError; where the backend's 404 does not say which, the driver raises
        ``NotFoundError`` itself and StowStore asks ``container_exists`` once."""
        ...

    async def list(
        self, container: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
    ) -> Listing:
        """One page of at most ``limit`` (1..1000) objects and common prefixes together. Keys as they were written."""
        ...

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> ObjectStream:
        """Open one version of the object. Errors of ``head``, and RangeNotSatisfiableError with the size where known.

        Reading the stream raises BackendError when it ends before ``end``. A size-0 object with a range is not satisfiable.
        """
        ...

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        """Store all of ``body`` or nothing, replacing the object in one step; returns what was stored.

        ``body`` gives non-empty chunks, is counted and checked already, and raises when the object must not come to be (cut, short, too
        long, checksum wrong): then the driver aborts, leaves the old object as it was and lets the exception through. With
        ``size_bytes`` the body has exactly that many. ``options.content_md5`` is verified above; a backend that can verify it too is told.

        Raises:
            PreconditionFailedError, ContainerNotFoundError, WriteOutcomeUnknownError (the answer was lost).
        """
        ...

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        """Delete it; absent is success (with ``if_match``: PreconditionFailedError). ContainerNotFoundError where that is known."""
        ...

    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        """Server-side copy between (container, key) pairs of this backend, of any size; all or nothing. Preconditions on the
        destination hold as they do for a write."""
        ...

    async def sign(self, request: SignRequest) -> SignedURL:
        """Sign without I/O (but for refreshing credentials). Only methods of ``capabilities.sign_methods`` reach it.

        ``expires_at`` of the answer is the effective one: never later than the credentials' own end.
        """
        ...


class Driver(ContainerDriver, ObjectDriver, Protocol):
    """All of it. ``aclose`` ends connections and pools; calls after it fail."""

    async def aclose(self) -> None: ...
