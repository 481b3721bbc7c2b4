"""Running checksums: MD5 because HTTP and S3 name it, CRC32C because the backends verify it."""

from __future__ import annotations

import hashlib
from typing import Protocol

import google_crc32c


class RunningHash(Protocol):
    """What hashlib gives and google_crc32c resembles."""

    def update(self, data: bytes, /) -> object: ...
    def digest(self) -> bytes: ...


def new_md5() -> RunningHash:
    """Integrity only, never security."""
    return hashlib.md5(usedforsecurity=False)


def new_crc32c() -> RunningHash:
    """CRC32C (Castagnoli, RFC 3720 12.1); ``digest`` gives 4 bytes, big-endian, as S3 and Google encode them."""
    checksum: RunningHash = google_crc32c.Checksum()  # type: ignore[no-untyped-call] # the package has no annotations here
    return checksum
