"""How a body is cut into parts: sizes, framing, and a reader that gives exactly the wanted number of bytes.

S3 takes at most 10,000 parts of 5 MiB to 5 GiB. A body of unknown size begins with small parts, because they are buffered, and they grow
so that the last part still reaches the object limit. A body of known size is cut evenly and streamed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from stow.drivers.s3.headers import CHECKSUM, checksum_header
from stow.storage.checksums import RunningHash, new_crc32c
from stow.storage.model import MIB

CHUNK_BYTES: Final = 64 * 1024

STEPS: Final = 10
"""The parts' size doubles this many times at most, after each tenth of the parts: 8 MiB becomes 4 GiB (below S3's 5 GiB), and
1,000 parts of each size make 8 GiB * (2**10 - 1) = 8 TiB, more than the 5 TiB that an object may have."""


def growing_part_bytes(number: int, *, first_bytes: int, max_parts: int, ceiling_bytes: int) -> int:
    """Size of the part ``number`` (from 1) of a body of unknown size; ``ceiling_bytes`` is what may be buffered at all."""
    step = (number - 1) * STEPS // max_parts
    return min(first_bytes << step, ceiling_bytes)


def even_part_bytes(size_bytes: int, *, wanted_bytes: int, max_parts: int) -> int:
    """Size of all parts but the last of a body of known size: the wanted one, or as much more as the number of parts demands."""
    needed = -(-size_bytes // max_parts)
    return max(wanted_bytes, -(-needed // MIB) * MIB if needed > MIB else needed)


class Cutter:
    """Cuts an async iterator of chunks at any byte, without copying more than the chunk that is cut."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = aiter(body)
        self._rest = b""
        self.crc32c = new_crc32c()
        """Of all that was taken."""
        self.taken_bytes = 0

    async def take(self, size_bytes: int) -> AsyncIterator[bytes]:
        """Up to ``size_bytes`` bytes; fewer only at the body's end."""
        wanted = size_bytes
        while wanted and not await self.at_end():
            chunk, self._rest = self._rest[:wanted], self._rest[wanted:]
            wanted -= len(chunk)
            self.taken_bytes += len(chunk)
            self.crc32c.update(chunk)
            yield chunk

    async def at_end(self) -> bool:
        """Whether nothing is left. Asks the body, which raises here when the object must not come to be."""
        if not self._rest:
            self._rest = await anext(self._body, b"")
        return not self._rest


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
