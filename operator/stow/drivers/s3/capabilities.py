"""What each dialect of S3 can do, as data. True is what was seen with a real server or what its vendor documents; all else is False.

``Generic`` is the safe intersection. MinIO's rows were seen with a running server: it folds or refuses some keys, ignores If-Match on
DELETE and conditions on CopyObject, and names the error of a HEAD in a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from stow.drivers.s3.config import GIB, Dialect
from stow.storage.driver import Capabilities
from stow.storage.model import Method, SignBinding
from stow.storage.names import MAX_METADATA_BYTES, KeyRules


@dataclass(frozen=True, slots=True)
class Traits:
    """Capabilities, and what only the driver has to know."""

    capabilities: Capabilities
    checksums: bool
    """``x-amz-checksum-crc32c`` as header, trailer and of a whole multipart object is understood."""
    etag_is_md5: bool
    """The ETag of an object that was written in one piece is its MD5, as long as it is not encrypted with other keys."""
    match_any: bool
    """``If-Match: *`` on a write is understood; else the driver asks for the ETag first."""
    conditional_complete: bool
    """CompleteMultipartUpload takes the conditions of a write."""
    lists_key_alone: bool = False
    """A page of one under a prefix that is a key itself holds that key and says that nothing follows, although more keys begin with it."""
    uniform_parts: bool = False
    """All parts but the last have one size."""
    refuses_unsigned_copy: bool = False
    """A signed PUT is refused when its client adds ``x-amz-copy-source``: S3 refuses all ``x-amz-`` headers that are not signed. Others
    obey it (MinIO), which gives the URL's holder every object that the credentials reach: there the header's absence is signed. So it is
    where nobody tried: a server that cannot verify that refuses the URL, which harms less."""
    ascii_tags: bool = False
    """Tags of buckets are ASCII."""
    create_names_region: bool = True
    """A create says in which region, where one is configured; else the endpoint alone does."""


_META_PREFIX_BYTES: Final = len("x-amz-meta-")
"""MinIO counts it for each name; S3 does not. Of servers that were not asked it is assumed."""
_SAFE_KEYS: Final = KeyRules(
    max_bytes=1024,
    max_segment_bytes=255,
    dot_segments=False,
    empty_segments=False,
    leading_slash=False,
    trailing_slash=True,
    control_characters=False,
    backslash=True,
)
_NO_FOLDERS: Final = replace(_SAFE_KEYS, trailing_slash=False)
"""Such a key is a folder of versitygw's disk: with data it is answered 400."""
_AWS: Final = Capabilities(
    dialect=Dialect.AWS,
    create_once=True,
    write_if_match=True,
    delete_if_match=True,
    content_md5=True,
    integrity="crc32c",
    server_side_copy=True,
    markers=True,
    marker_with_create=False,
    tags=True,
    versioning=True,
    expiry_rules=True,
    sign_methods=frozenset(Method),
    # SigV4 signs any header and the response-* parameters; a length only in POST policies.
    sign_binds=frozenset(SignBinding) - {SignBinding.MAX_SIZE},
    max_single_write_bytes=5 * GIB,
    max_object_bytes=5 * 1024 * GIB,
    max_metadata_bytes=MAX_METADATA_BYTES,
    max_signed_expiry_s=7 * 24 * 3600,  # SigV4 allows a week
    keys=KeyRules(max_bytes=1024),
)
_GENERIC: Final = replace(
    _AWS,
    dialect=Dialect.GENERIC,
    create_once=False,
    write_if_match=False,
    delete_if_match=False,
    integrity="none",
    markers=False,
    tags=False,
    versioning=False,
    expiry_rules=False,
    keys=_SAFE_KEYS,
    metadata_overhead_bytes=_META_PREFIX_BYTES,
)
_PLAIN: Final = Traits(
    capabilities=_GENERIC,
    checksums=False,
    etag_is_md5=False,
    match_any=False,
    conditional_complete=False,
    uniform_parts=True,
)
_ORACLE: Final = replace(
    _GENERIC,
    dialect=Dialect.ORACLE,
    # Signed query parameters are verified like all others; that these change the answer is documented for its own API alone.
    sign_binds=_GENERIC.sign_binds - {SignBinding.RESPONSE_OVERRIDES},
    # "Object Names": 1 to 1024, no CR, LF or NUL. What its front end makes of segments and of other control characters is not said.
    keys=replace(_SAFE_KEYS, max_segment_bytes=None),
)
"""Oracle's "Amazon S3 Compatibility API": operations on buckets, objects and parts are listed, conditions and bucket tags are not; bodies
in ``aws-chunked`` framing, which trailing checksums need, are refused with 501 (seen by its users)."""

TRAITS: Final[Mapping[Dialect, Traits]] = MappingProxyType(
    {
        Dialect.AWS: Traits(
            capabilities=_AWS,
            checksums=True,
            etag_is_md5=True,
            match_any=False,
            conditional_complete=True,
            refuses_unsigned_copy=True,
        ),
        Dialect.MINIO: Traits(
            capabilities=replace(
                _AWS,
                dialect=Dialect.MINIO,
                delete_if_match=False,  # ignored: the object goes although the ETag differs
                keys=replace(_SAFE_KEYS, control_characters=True),  # listings are asked for url-encoded
                metadata_overhead_bytes=_META_PREFIX_BYTES,
            ),
            checksums=True,
            etag_is_md5=True,
            match_any=True,
            conditional_complete=True,
            lists_key_alone=True,
            ascii_tags=True,
        ),
        Dialect.CEPH: replace(_PLAIN, capabilities=replace(_GENERIC, dialect=Dialect.CEPH, markers=True)),
        Dialect.R2: replace(
            _PLAIN,
            # Conditions on PutObject are documented, bucket tags are not implemented there.
            capabilities=replace(_GENERIC, dialect=Dialect.R2, create_once=True, write_if_match=True),
        ),
        Dialect.VERSITYGW: replace(
            _PLAIN,
            refuses_unsigned_copy=True,
            capabilities=replace(
                _GENERIC,
                dialect=Dialect.VERSITYGW,
                markers=True,
                keys=_NO_FOLDERS,
            ),
        ),
        Dialect.GENERIC: replace(_PLAIN, capabilities=replace(_GENERIC, keys=_NO_FOLDERS)),
        Dialect.ORACLE: replace(_PLAIN, capabilities=_ORACLE, create_names_region=False),
    }
)


def dialect_of_host(host: str, *, aws: bool) -> Dialect | None:
    """The dialect where the host alone tells it."""
    if aws:
        return Dialect.AWS
    if ".compat.objectstorage." in host:
        return Dialect.ORACLE
    return Dialect.R2 if host.endswith(".r2.cloudflarestorage.com") else None


def dialect_of_server(server: str) -> Dialect:
    """The dialect by the ``Server`` header of an answer; Generic where it is not known."""
    name = server.lower()
    for prefix, dialect in (
        ("minio", Dialect.MINIO),
        ("amazons3", Dialect.AWS),
        ("versitygw", Dialect.VERSITYGW),
        ("ceph", Dialect.CEPH),
    ):
        if name.startswith(prefix):
            return dialect
    return Dialect.GENERIC
