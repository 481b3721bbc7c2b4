"""What Google Cloud Storage can do, as data: what its vendor documents. There is one dialect.

Names of objects: "Object naming guidelines" (1 to 1,024 bytes of UTF-8, no carriage return or line feed, not ``.`` or ``..``, not
beginning with ``.well-known/acme-challenge/``). Generations are the version tokens, so every conditional request is atomic.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from stow.drivers.google.config import Uploads
from stow.storage.driver import Capabilities
from stow.storage.model import MIB, Method, SignBinding
from stow.storage.names import MAX_METADATA_BYTES, KeyRules

TIB: Final = 1024 * 1024 * MIB
KEYS: Final = KeyRules(
    max_bytes=1024, line_breaks=False, dot_keys=False, reserved_prefixes=(".well-known/acme-challenge/",)
)
MAX_SIGNED: Final = timedelta(days=7)
"""Of a V4 signature."""
MAX_SIGNED_BY_IAM: Final = timedelta(hours=12)
"""Google changes the keys that signBlob signs with; a signature of it holds at least this long."""


def capabilities(uploads: Uploads, *, by_iam: bool) -> Capabilities:
    """``by_iam``: URLs are, or may be, signed by signBlob."""
    return Capabilities(
        dialect="Google",
        create_once=True,
        write_if_match=True,
        delete_if_match=True,
        content_md5=True,
        integrity="crc32c",
        server_side_copy=True,
        markers=True,
        marker_with_create=True,
        tags=True,
        versioning=True,
        expiry_rules=True,
        sign_methods=frozenset(Method),
        # Google takes overrides of two headers of the answer, and only where the object has no such attribute: that binds nothing.
        sign_binds=frozenset({SignBinding.CONTENT_MD5, SignBinding.CONTENT_TYPE, SignBinding.HEADERS}),
        max_single_write_bytes=uploads.single_bytes,
        max_object_bytes=5 * TIB,
        max_metadata_bytes=MAX_METADATA_BYTES,
        max_signed_expiry_s=int((MAX_SIGNED_BY_IAM if by_iam else MAX_SIGNED).total_seconds()),
        keys=KEYS,
    )
