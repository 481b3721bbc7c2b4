"""How bodies are cut: sizes that reach the object limit, no byte lost at any cut."""

from __future__ import annotations

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from stow.drivers.azure.config import Blocks
from stow.drivers.s3.config import GIB, Multipart
from stow.storage.checksums import new_crc32c
from stow.storage.model import MIB
from stow.transport.cutting import Cutter, even_part_bytes, growing_part_bytes
from stow.transport.upload import each

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


def test_growing_blocks_reach_the_limit_of_azure_too() -> None:
    """50,000 blocks of at most 4,000 MiB: about 190.7 TiB."""
    defaults = Blocks()
    sizes = [
        growing_part_bytes(
            n,
            first_bytes=defaults.first_block_bytes,
            max_parts=defaults.max_blocks,
            ceiling_bytes=defaults.max_block_bytes,
        )
        for n in range(1, defaults.max_blocks + 1)
    ]
    assert max(sizes) == defaults.max_block_bytes
    assert sum(sizes) >= 38 * 1024 * GIB


@given(number=st.integers(1, 10_000), ceiling=st.integers(5 * MIB, 128 * MIB))
def test_growing_parts_never_exceed_what_may_be_buffered(number: int, ceiling: int) -> None:
    assert growing_part_bytes(number, first_bytes=8 * MIB, max_parts=10_000, ceiling_bytes=ceiling) <= ceiling


@given(size=st.integers(1, OBJECT_LIMIT))
def test_even_parts_cover_any_object_with_at_most_ten_thousand(size: int) -> None:
    part = even_part_bytes(size, wanted_bytes=64 * MIB, max_parts=10_000)
    assert -(-size // part) <= 10_000
    assert SMALLEST <= part <= LARGEST


@given(chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=8), takes=st.lists(st.integers(1, 60), max_size=8))
async def test_cutting_loses_and_repeats_nothing(chunks: list[bytes], takes: list[int]) -> None:
    data = b"".join(chunks)
    cutter = Cutter(each(chunks), new_crc32c())
    taken = b""
    for size in takes:
        part = b"".join([chunk async for chunk in cutter.take(size)])
        assert len(part) == min(size, len(data) - len(taken))
        taken += part
    assert data.startswith(taken)
    assert await cutter.at_end() == (taken == data)
    assert cutter.taken_bytes == len(taken)
    assert cutter.summed.digest() == google_crc32c.value(taken).to_bytes(4, "big")
