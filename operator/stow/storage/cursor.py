"""Cursors of listings: opaque, versioned and sealed, so that one of another listing, location or hand is refused."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from stow.errors import InvalidCursorError

_VERSION: Final = b"\x01"
_MAC_BYTES: Final = 16
"""128 bits of HMAC-SHA256: nobody gains more than another page of a listing that they may see anyway."""
MAX_CURSOR_CHARS: Final = 8192
"""A backend's token may hold a key of 1,024 bytes, encoded twice by the backend itself."""


@dataclass(frozen=True, slots=True)
class CursorSeal:
    """Binds a backend's token to (location UID, container, prefix, delimiter). ``key`` is shared by all gateway replicas."""

    key: bytes = field(repr=False)
    location_uid: str

    def seal(self, token: str, *, container: str, prefix: str, delimiter: str | None) -> str:
        raw = token.encode()
        mac = self._mac(raw, container, prefix, delimiter)
        return _encoded(_VERSION + mac + raw)

    def open(self, cursor: str, *, container: str, prefix: str, delimiter: str | None) -> str:
        """Raises:
        InvalidCursorError: not ours, altered, of another listing, or of a version that is gone.
        """
        try:
            if len(cursor) > MAX_CURSOR_CHARS:
                raise ValueError
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _refused() from None
        if _encoded(sealed) != cursor:  # one spelling each: base64 has spare bits and takes two alphabets
            raise _refused()
        version, mac, raw = sealed[:1], sealed[1 : 1 + _MAC_BYTES], sealed[1 + _MAC_BYTES :]
        if version != _VERSION or not hmac.compare_digest(mac, self._mac(raw, container, prefix, delimiter)):
            raise _refused()
        return raw.decode()

    def _mac(self, raw: bytes, container: str, prefix: str, delimiter: str | None) -> bytes:
        message = hashlib.sha256()
        parts = (self.location_uid.encode(), container.encode(), prefix.encode(), (delimiter or "").encode(), raw)
        for part in parts:  # length first, so that no two tuples give the same bytes
            message.update(len(part).to_bytes(8, "big") + part)
        return hmac.digest(self.key, b"stow-cursor\0" + _VERSION + message.digest(), "sha256")[:_MAC_BYTES]


def _encoded(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _refused() -> InvalidCursorError:
    return InvalidCursorError(
        "The cursor does not belong to this listing; pass it with the same container, prefix and delimiter, or list from the start."
    )
