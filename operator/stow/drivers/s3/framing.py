"""The framing in which a streamed part carries its checksum behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from stow.drivers.s3.headers import CHECKSUM, checksum_header
from stow.storage.checksums import RunningHash

CHUNK_BYTES: Final = 64 * 1024


def framed_bytes(size_bytes: int) -> int:
    """Length of :func:`framed` for a body of ``size_bytes``."""
    whole, rest = divmod(size_bytes, CHUNK_BYTES)
    length = whole * (len(f"{CHUNK_BYTES:x}") + CHUNK_BYTES + 4)
    if rest:
        length += len(f"{rest:x}") + rest + 4
    return length + len(f"0\r\n{CHECKSUM}:{checksum_header(bytes(4))}\r\n\r\n")


async def framed(body: AsyncIterator[bytes], crc32c: RunningHash) -> AsyncIterator[bytes]:
    """The body in ``aws-chunked`` framing with its CRC32C as trailer, in frames of 64 KiB. ``crc32c`` is updated on the way.

    Source: "Signature calculations: trailing headers" in the Amazon S3 API reference.
    """
    buffer = bytearray()
    async for chunk in body:
        crc32c.update(chunk)
        buffer += chunk
        start = 0
        while len(buffer) - start >= CHUNK_BYTES:
            yield b"%x\r\n%b\r\n" % (CHUNK_BYTES, bytes(buffer[start : start + CHUNK_BYTES]))
            start += CHUNK_BYTES
        del buffer[:start]
    last = b"%x\r\n%b\r\n" % (len(buffer), bytes(buffer)) if buffer else b""
    yield last + f"0\r\n{CHECKSUM}:{checksum_header(crc32c.digest())}\r\n\r\n".encode()
