"""How a body is cut into blocks: sizes, and a reader that gives exactly the wanted number of bytes.

A block blob has at most 50,000 blocks. A body of unknown size begins with small ones, because they are buffered, and they grow. A body
of known size is cut evenly and streamed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from stow.storage.checksums import new_md5
from stow.storage.model import MIB

STEPS: Final = 9
"""The blocks' size doubles this many times at most, after each tenth of the blocks: 8 MiB becomes 4 GiB, which the ceiling cuts to the
service's 4,000 MiB or to what may be buffered."""


def growing_block_bytes(number: int, *, first_bytes: int, max_blocks: int, ceiling_bytes: int) -> int:
    """Size of the block ``number`` (from 1) of a body of unknown size."""
    step = (number - 1) * (STEPS + 1) // max_blocks
    return min(first_bytes << step, ceiling_bytes)


def even_block_bytes(size_bytes: int, *, wanted_bytes: int, max_blocks: int) -> int:
    """Size of all blocks but the last of a body of known size: the wanted one, or as much more as the number of blocks demands."""
    needed = -(-size_bytes // max_blocks)
    return max(wanted_bytes, -(-needed // MIB) * MIB if needed > MIB else needed)


class Cutter:
    """Cuts an async iterator of chunks at any byte, without copying more than the chunk that is cut."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = aiter(body)
        self._rest = b""
        self.md5 = new_md5()
        """Of all that was taken."""
        self.taken_bytes = 0

    async def take(self, size_bytes: int) -> AsyncIterator[bytes]:
        """Up to ``size_bytes`` bytes; fewer only at the body's end."""
        wanted = size_bytes
        while wanted and not await self.at_end():
            chunk, self._rest = self._rest[:wanted], self._rest[wanted:]
            wanted -= len(chunk)
            self.taken_bytes += len(chunk)
            self.md5.update(chunk)
            yield chunk

    async def at_end(self) -> bool:
        """Whether nothing is left. Asks the body, which raises here when the object must not come to be."""
        if not self._rest:
            self._rest = await anext(self._body, b"")
        return not self._rest
