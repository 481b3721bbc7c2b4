"""Bodies: nothing wrong gets through whole, nothing right is changed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stow.errors import (
    BackendFailedError,
    BackendUnreachableError,
    BodyTooLongError,
    BodyTooShortError,
    ChecksumMismatchError,
    IntegrityError,
    LimitExceededError,
    StowError,
)
from stow.storage.body import CheckedBody, ReadStream
from stow.storage.model import ObjectMetadata
from stow.storage.names import DataReference

CHUNKS = st.lists(st.binary(max_size=5), max_size=6)


async def source(chunks: Sequence[bytes], error: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error is not None:
        raise error


async def drained(body: AsyncIterator[bytes]) -> tuple[bytes, StowError | None]:
    """What came out, and the error that ended it."""
    out = b""
    try:
        async for chunk in body:
            assert chunk, "an empty chunk would look like the end"
            out += chunk
    except StowError as error:
        return out, error
    return out, None


def checked(
    chunks: Sequence[bytes], *, size: int | None = None, limit: int | None = None, md5: bytes | None = None
) -> CheckedBody:
    return CheckedBody(source(chunks), size_bytes=size, limit_bytes=limit, md5=md5)


@given(CHUNKS, st.booleans())
async def test_a_right_body_passes_unchanged(chunks: list[bytes], sized: bool) -> None:
    whole = b"".join(chunks)
    body = checked(chunks, size=len(whole) if sized else None, limit=len(whole), md5=hashlib.md5(whole).digest())
    assert await drained(aiter(body)) == (whole, None)
    assert body.received_bytes == len(whole)


@given(CHUNKS, st.integers(0, 30))
async def test_a_wrong_size_never_gives_the_announced_bytes_in_full(chunks: list[bytes], size: int) -> None:
    whole = b"".join(chunks)
    out, error = await drained(aiter(checked(chunks, size=size)))
    if len(whole) == size:
        assert error is None
    else:
        assert isinstance(error, BodyTooShortError if len(whole) < size else BodyTooLongError)
        assert len(out) < size or size == 0
        assert whole.startswith(out)


@given(CHUNKS, st.integers(0, 30))
async def test_a_limit_stops_a_body_of_unknown_size(chunks: list[bytes], limit: int) -> None:
    whole = b"".join(chunks)
    out, error = await drained(aiter(checked(chunks, limit=limit)))
    assert isinstance(error, LimitExceededError) == (len(whole) > limit)
    assert len(out) <= limit


@given(CHUNKS)
async def test_a_wrong_md5_holds_the_last_chunk_back(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    out, error = await drained(aiter(checked(chunks, md5=b"\0" * 16)))
    assert isinstance(error, ChecksumMismatchError)
    assert len(out) < len(whole) or whole == b""


async def test_the_source_s_own_error_comes_through() -> None:
    body = CheckedBody(source([b"a", b"b"], ConnectionResetError()), size_bytes=None, limit_bytes=None, md5=None)
    seen = []
    with pytest.raises(ConnectionResetError):
        seen += [chunk async for chunk in aiter(body)]
    assert b"".join(seen) in {b"", b"a"}


class Stream:
    """A driver's stream of given chunks."""

    def __init__(
        self, chunks: Sequence[bytes], metadata: ObjectMetadata, start: int, end: int, error: Exception | None
    ) -> None:
        self._chunks, self._error = chunks, error
        self.metadata, self.start, self.end = metadata, start, end
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return source(self._chunks, self._error)

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True


def reading(
    chunks: Sequence[bytes],
    *,
    size: int,
    start: int = 0,
    end: int | None = None,
    crc32c: bytes | None = None,
    md5: bytes | None = None,
    error: Exception | None = None,
) -> tuple[ReadStream, list[int]]:
    metadata = ObjectMetadata(exists=True, size_bytes=size, etag="e", crc32c=crc32c, md5=md5)
    counted: list[int] = []
    inner = Stream(chunks, metadata, start, size if end is None else end, error)
    return ReadStream(inner, reference=DataReference("s3", "box", "k\n"), on_bytes=counted.append), counted


def crc(data: bytes) -> bytes:
    return google_crc32c.value(data).to_bytes(4, "big")


@given(CHUNKS)
async def test_a_right_read_passes_and_is_counted(chunks: list[bytes]) -> None:
    chunks = [chunk for chunk in chunks if chunk]
    whole = b"".join(chunks)
    for known in ({"crc32c": crc(whole)}, {"md5": hashlib.md5(whole).digest()}, {}):
        stream, counted = reading(chunks, size=len(whole), **known)
        assert await drained(aiter(stream)) == (whole, None)
        assert sum(counted) == len(whole)


@pytest.mark.parametrize("chunks", [[b"abc"], [b"a", b"b", b"c"]])
async def test_a_damaged_read_is_cut_before_its_end(chunks: list[bytes]) -> None:
    for known in (
        {"crc32c": b"\0" * 4},
        {"md5": b"\0" * 16},
        {"crc32c": b"\0" * 4, "md5": hashlib.md5(b"abc").digest()},
    ):
        stream, _ = reading(chunks, size=3, **known)
        out, error = await drained(aiter(stream))
        assert isinstance(error, IntegrityError)
        assert len(out) < 3
        assert (error.operation, error.container, error.key) == ("read", "box", "k\\n")


async def test_an_empty_object_with_a_wrong_checksum_is_damaged_too() -> None:
    stream, _ = reading([], size=0, crc32c=b"\1\2\3\4")
    assert isinstance((await drained(aiter(stream)))[1], IntegrityError)


@pytest.mark.parametrize(
    ("chunks", "start", "end"),
    [([b"ab"], 0, 3), ([], 0, 3), ([b"a", b"b"], 2, 5), ([b"abcd"], 0, 3), ([b"ab", b"cd"], 1, 4)],
)
async def test_a_read_of_another_length_is_cut(chunks: list[bytes], start: int, end: int) -> None:
    stream, _ = reading(chunks, size=9, start=start, end=end)
    out, error = await drained(aiter(stream))
    assert isinstance(error, BackendFailedError)
    assert error.retryable
    assert len(out) < end - start


async def test_a_range_is_not_held_against_the_whole_object_s_checksum() -> None:
    stream, _ = reading([b"bc"], size=4, start=1, end=3, crc32c=b"\0" * 4)
    assert await drained(aiter(stream)) == (b"bc", None)


async def test_a_backend_s_error_in_the_middle_is_located() -> None:
    stream, _ = reading([b"a"], size=3, error=BackendUnreachableError("gone"))
    out, error = await drained(aiter(stream))
    assert isinstance(error, BackendUnreachableError)
    assert (out, error.operation, error.container) == (b"", "read", "box")
