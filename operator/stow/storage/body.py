"""Bodies on their way through: counted and checked, in constant memory.

A write's last chunk is held back until the source has said that it is done and every check has passed. So a driver that streams it
straight on can never have sent a whole wrong body: the exception comes out of the iterator before the last byte does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from stow.errors import (
    BackendFailedError,
    BodyTooLongError,
    BodyTooShortError,
    ChecksumMismatchError,
    IntegrityError,
    LimitExceededError,
    StowError,
)
from stow.storage.checksums import RunningHash, new_crc32c, new_md5
from stow.storage.crashpoints import Crash, CrashPoint, no_crash
from stow.storage.model import ObjectMetadata, ObjectStream
from stow.storage.names import DataReference, printable


class CheckedBody:
    """A body that is to be exactly ``size_bytes`` long (None: unknown), at most ``limit_bytes``, with that MD5. Iterate once."""

    def __init__(
        self,
        source: AsyncIterator[bytes],
        *,
        size_bytes: int | None,
        limit_bytes: int | None,
        md5: bytes | None,
        crash: Crash = no_crash,
    ) -> None:
        self._source = source
        self._size_bytes = size_bytes
        self._limit_bytes = limit_bytes
        self._md5 = md5
        self._crash = crash
        self._hash: RunningHash | None = new_md5() if md5 is not None else None
        self.received_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises:
        BodyTooShortError, BodyTooLongError, ChecksumMismatchError, LimitExceededError: before the last chunk is given.
        """
        held = b""
        async for chunk in self._source:
            if not chunk:
                continue
            self._count(chunk)
            if held:
                yield held
                self._crash(CrashPoint.UPLOAD_OPENED)
            held = chunk
        self._finish()
        if held:
            yield held
        self._crash(CrashPoint.UPLOAD_RECEIVED)

    def _count(self, chunk: bytes) -> None:
        self.received_bytes += len(chunk)
        if self._size_bytes is not None and self.received_bytes > self._size_bytes:
            raise BodyTooLongError(
                f"The body has more than the {self._size_bytes} bytes that were announced; nothing was stored."
            )
        if self._limit_bytes is not None and self.received_bytes > self._limit_bytes:
            raise LimitExceededError(
                f"The body has more than the {self._limit_bytes} bytes that are allowed here; nothing was stored."
            )
        if self._hash is not None:
            self._hash.update(chunk)

    def _finish(self) -> None:
        if self._size_bytes is not None and self.received_bytes < self._size_bytes:
            raise BodyTooShortError(
                f"The body ended after {self.received_bytes} of {self._size_bytes} bytes; nothing was stored, send it again."
            )
        if self._hash is not None and self._hash.digest() != self._md5:
            raise ChecksumMismatchError(
                "The body is not the one that Content-MD5 describes; nothing was stored, send it again."
            )


class ReadStream:
    """A driver's stream on its way to the reader: bytes counted, errors located, and - a whole object with a known checksum -
    verified: its last chunk comes out only when the length and the checksum are right.
    """

    def __init__(self, stream: ObjectStream, *, reference: DataReference, on_bytes: Callable[[int], None]) -> None:
        self._stream = stream
        self._reference = reference
        self._on_bytes = on_bytes

    @property
    def metadata(self) -> ObjectMetadata:
        return self._stream.metadata

    @property
    def start(self) -> int:
        return self._stream.start

    @property
    def end(self) -> int:
        return self._stream.end

    async def __aenter__(self) -> ReadStream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stream.__aexit__(*error)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises:
        IntegrityError: the stored bytes are not what their checksum says; the body is cut before its end.
        BackendError: the backend stopped before the end, or went on behind it.
        """
        try:
            async for chunk in self._verified():
                self._on_bytes(len(chunk))
                yield chunk
        except StowError as error:
            error.locate(operation="read", container=self._reference.container, key=printable(self._reference.key))
            raise

    async def _verified(self) -> AsyncIterator[bytes]:
        check, wanted = self._checksum()
        held = b""
        left = self.end - self.start
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise BackendFailedError("The backend sent more bytes than it announced; the read was cut.")
            if check is not None:
                check.update(chunk)
            if held:
                yield held
            held = chunk
        if left:
            raise BackendFailedError("The backend ended the object before its announced length; read it again.")
        if check is not None and check.digest() != wanted:
            raise IntegrityError("The stored object is damaged: its bytes do not match its checksum.")
        if held:
            yield held

    def _checksum(self) -> tuple[RunningHash | None, bytes | None]:
        found = self.metadata
        if (self.start, self.end) != (0, found.size_bytes):
            return None, None
        if found.crc32c is not None:
            return new_crc32c(), found.crc32c
        if found.md5 is not None:
            return new_md5(), found.md5
        return None, None
