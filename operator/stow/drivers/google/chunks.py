"""A body cut at any byte, summed on its way."""

from __future__ import annotations

from collections.abc import AsyncIterator

from stow.storage.checksums import new_crc32c


class Cutter:
    """Cuts an async iterator of chunks without copying more than the chunk that is cut."""

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
