"""A body cut into parts: a reader that gives exactly the wanted number of bytes, and the sizes of parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from stow.storage.checksums import RunningHash
from stow.storage.model import MIB

STEPS: Final = 10
"""A body of unknown size begins with small parts, because they are buffered; each tenth of the parts has twice the size of the one before.
From 8 MiB they become 4 GiB: with 10,000 parts 8 GiB * (2**10 - 1) = 8 TiB, more than S3's 5 TiB, and Azure has 50,000."""


class Cutter:
    """Cuts an async iterator of chunks at any byte, without copying more than the chunk that is cut."""

    def __init__(self, body: AsyncIterator[bytes], summed: RunningHash) -> None:
        self._body = aiter(body)
        self._rest = b""
        self.summed = summed
        """Of all that was taken."""
        self.taken_bytes = 0

    async def take(self, size_bytes: int) -> AsyncIterator[bytes]:
        """Up to ``size_bytes`` bytes; fewer only at the body's end."""
        wanted = size_bytes
        while wanted and not await self.at_end():
            chunk, self._rest = self._rest[:wanted], self._rest[wanted:]
            wanted -= len(chunk)
            self.taken_bytes += len(chunk)
            self.summed.update(chunk)
            yield chunk

    async def at_end(self) -> bool:
        """Whether nothing is left. Asks the body, which raises here when the object must not come to be."""
        if not self._rest:
            self._rest = await anext(self._body, b"")
        return not self._rest


def growing_part_bytes(number: int, *, first_bytes: int, max_parts: int, ceiling_bytes: int) -> int:
    """Size of the part ``number`` (from 1) of a body of unknown size.

    ``ceiling_bytes`` is what the backend takes, or what may be buffered at all.
    """
    step = (number - 1) * STEPS // max_parts
    return min(first_bytes << step, ceiling_bytes)


def even_part_bytes(size_bytes: int, *, wanted_bytes: int, max_parts: int) -> int:
    """Size of all parts but the last of a body of known size: the wanted one, or as much more as the number of parts demands."""
    needed = -(-size_bytes // max_parts)
    return max(wanted_bytes, -(-needed // MIB) * MIB if needed > MIB else needed)
