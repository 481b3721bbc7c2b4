"""How bodies are cut: sizes that reach the object limit, framing of a known length, no byte lost at any cut."""

from __future__ import annotations

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from drivers.s3.setup import body
from stow.drivers.s3.config import GIB, Multipart
from stow.drivers.s3.parts import Cutter, even_part_bytes, framed, framed_bytes, growing_part_bytes
from stow.storage.checksums import new_crc32c
from stow.storage.model import MIB

SMALLEST, LARGEST = 5 * MIB, 5 * GIB
OBJECT_LIMIT = 5 * 1024 * GIB


def test_growing_parts_reach_the_object_limit_within_the_rules() -> None:
    defaults = Multipart()
    sizes = [
        growing_part_bytes(
            n, first_bytes=defaults.first_part_bytes, max_parts=defaults.max_parts, ceiling_bytes=LARGEST
        )
        for n in range(1, 10_001)
    ]
    assert sum(sizes) >= OBJECT_LIMIT
    assert min(sizes) >= SMALLEST
    assert max(sizes) <= LARGEST
    assert sizes == sorted(sizes)
    assert sizes[0] == 8 * MIB


@given(number=st.integers(1, 10_000), ceiling=st.integers(5 * MIB, 128 * MIB))
def test_growing_parts_never_exceed_what_may_be_buffered(number: int, ceiling: int) -> None:
    assert growing_part_bytes(number, first_bytes=8 * MIB, max_parts=10_000, ceiling_bytes=ceiling) <= ceiling


@given(size=st.integers(1, OBJECT_LIMIT))
def test_even_parts_cover_any_object_with_at_most_ten_thousand(size: int) -> None:
    part = even_part_bytes(size, wanted_bytes=64 * MIB, max_parts=10_000)
    assert -(-size // part) <= 10_000
    assert SMALLEST <= part <= LARGEST


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


@given(chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=8), takes=st.lists(st.integers(1, 60), max_size=8))
async def test_cutting_loses_and_repeats_nothing(chunks: list[bytes], takes: list[int]) -> None:
    data = b"".join(chunks)
    cutter = Cutter(body(*chunks))
    taken = b""
    for size in takes:
        part = b"".join([chunk async for chunk in cutter.take(size)])
        assert len(part) == min(size, len(data) - len(taken))
        taken += part
    assert data.startswith(taken)
    assert await cutter.at_end() == (taken == data)
    assert cutter.taken_bytes == len(taken)
