"""A streamed part's framing: of a known length, with the checksum of what is in it."""

from __future__ import annotations

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from drivers.s3.setup import body
from stow.drivers.s3.framing import framed, framed_bytes
from stow.storage.checksums import new_crc32c


@given(sizes=st.lists(st.integers(1, 200_000), max_size=5))
async def test_framing_has_the_announced_length_and_the_checksum(sizes: list[int]) -> None:
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    data = b"".join(chunks)
    checksum = new_crc32c()
    wire = b"".join([frame async for frame in framed(body(*chunks), checksum)])
    assert len(wire) == framed_bytes(len(data))
    assert checksum.digest() == google_crc32c.value(data).to_bytes(4, "big")
    rest, decoded = wire, b""
    while True:
        head, _, rest = rest.partition(b"\r\n")
        if not (length := int(head, 16)):
            break
        decoded, rest = decoded + rest[:length], rest[length + 2 :]
    assert decoded == data
