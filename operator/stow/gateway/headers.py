"""Request headers that carry meaning, parsed strictly. Pure.

What RFC 9110 says to ignore when malformed (Range, dates) is ignored; a malformed safety condition (If-Match, If-None-Match) is refused,
because ignoring one overwrites somebody's object. A header that may stand once and stands twice is refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from aiohttp.http import HttpVersion, HttpVersion11
from multidict import CIMultiDictProxy

from stow.errors import InvalidArgumentError, InvalidMetadataError, PreconditionFailedError
from stow.gateway.problems import Code, Refusal
from stow.storage.model import ByteRange, ObjectAttributes, ReadConditions
from stow.storage.names import decode_metadata_value, printable

Headers = CIMultiDictProxy[str]

META_PREFIX: Final = "stow-meta-"
_MD5_BYTES: Final = 16
_ETAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\U0010ffff]*)"')
_ETAG_LIST: Final = re.compile(rf"[\s,]*{_ETAG.pattern}(?:[ \t]*,(?:[ \t]*{_ETAG.pattern})?)*[\s,]*")
_RANGE: Final = re.compile(r"bytes[ \t]*=[ \t]*(?:(\d{1,18})-(\d{1,40})?|-(\d{1,40}))[ \t]*", re.ASCII | re.IGNORECASE)
_FAR: Final = 10**18
"""Behind the end of every object; some clients write 2**64 - 1 for "to the end"."""
_LENGTH: Final = re.compile(r"\d{1,18}", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def single(headers: Headers, name: str) -> str | None:
    """The value of a header that may stand once; None where it is absent.

    Raises:
        Refusal: it stands more than once.
    """
    values = headers.getall(name, [])
    if len(values) > 1:
        raise Refusal(Code.MALFORMED_REQUEST, f"The header {name} stands {len(values)} times; send it once.")
    return values[0] if values else None


def etags(headers: Headers, name: str) -> tuple[str, ...]:
    """A list of etags without their quotes, weak ones with ``W/``, or ``("*",)``; empty where the header is absent.

    A quoted ``"*"`` is an etag, not the wildcard; it keeps its quotes, and so matches nothing.
    """
    values = headers.getall(name, [])
    if not values:
        return ()
    text = ", ".join(values).strip()
    if text == "*":
        return ("*",)
    if not _ETAG_LIST.fullmatch(text):
        raise InvalidArgumentError(f'{name} is neither * nor a list of etags in double quotes, such as "abc".')
    return tuple(f"{weak}{_opaque(tag)}" for weak, tag in _ETAG.findall(text))


def _opaque(tag: str) -> str:
    return f'"{tag}"' if tag == "*" or tag.startswith("W/") else tag


def date(headers: Headers, name: str) -> datetime | None:
    """An HTTP date; None where it is absent or cannot be read (RFC 9110 13.1.3: then it is ignored)."""
    value = single(headers, name)
    return None if value is None else _date(value)


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def read_conditions(headers: Headers) -> ReadConditions:
    """The preconditions of GET and HEAD."""
    return ReadConditions(
        if_match=etags(headers, "If-Match"),
        if_none_match=etags(headers, "If-None-Match"),
        if_modified_since=date(headers, "If-Modified-Since"),
        if_unmodified_since=date(headers, "If-Unmodified-Since"),
        if_range=_if_range(headers),
    )


def _if_range(headers: Headers) -> str | datetime | None:
    """What cannot be read never matches: then the whole object is sent, which is always right."""
    value = single(headers, "If-Range")
    if value is None:
        return None
    tag = _ETAG.fullmatch(value.strip())
    if tag is not None:
        return f"{tag[1] or ''}{_opaque(tag[2])}"
    return _date(value) or f'"{value}"'


def byte_range(headers: Headers) -> ByteRange | None:
    """A single range; None where there is none, several, another unit or a malformed one (RFC 9110 14.2: ignored)."""
    values = headers.getall("Range", [])
    found = _RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return ByteRange(suffix=min(int(suffix), _FAR))
    if last is not None and int(last) < int(first):
        return None
    return ByteRange(int(first), None if last is None else min(int(last) + 1, _FAR))


@dataclass(frozen=True, slots=True)
class WriteConditions:
    """Preconditions of a write or delete: at most one of the two."""

    if_match: str | None = None
    if_none_match: bool = False


def write_conditions(headers: Headers) -> WriteConditions:
    """Raises:
    InvalidArgumentError: more than one condition, a list, or a date.
    PreconditionFailedError: a weak etag, which by strong comparison matches nothing.
    """
    for name in ("If-Unmodified-Since", "If-Modified-Since", "If-Range"):
        if name in headers:
            raise InvalidArgumentError(f"{name} is not a condition for writing here; use If-Match with an ETag.")
    match, none_match = etags(headers, "If-Match"), etags(headers, "If-None-Match")
    if match and none_match:
        raise InvalidArgumentError("If-Match and If-None-Match exclude each other on a write; send one of them.")
    if none_match not in {(), ("*",)}:
        raise InvalidArgumentError("On a write If-None-Match is * alone: create only.")
    if len(match) > 1:
        raise InvalidArgumentError("On a write If-Match names one etag, or *.")
    if match and match[0].startswith("W/"):
        raise PreconditionFailedError("If-Match names a weak etag, which never matches for a write.")
    return WriteConditions(match[0] if match else None, none_match == ("*",))


def attributes(headers: Headers) -> ObjectAttributes:
    """What a PUT wants to be stored beside the bytes."""
    return ObjectAttributes(
        content_type=single(headers, "Content-Type"),
        content_encoding=single(headers, "Content-Encoding"),
        content_language=single(headers, "Content-Language"),
        content_disposition=single(headers, "Content-Disposition"),
        cache_control=single(headers, "Cache-Control"),
        metadata=_metadata(headers),
    )


def _metadata(headers: Headers) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for header, value in headers.items():
        if not header.lower().startswith(META_PREFIX):
            continue
        name = header.lower()[len(META_PREFIX) :]
        if name in found:
            raise InvalidMetadataError(f"The metadata {printable(name)!r} is sent twice.")
        if not value.isascii() or not value.isprintable() or _BAD_ESCAPE.search(value):
            raise InvalidMetadataError(
                f"The value of the metadata {printable(name)!r} is not printable ASCII; percent-encode the rest as UTF-8, and % as %25."
            )
        decoded = decode_metadata_value(value)
        if decoded == value and "%" in value:
            raise InvalidMetadataError(f"The value of the metadata {printable(name)!r} is not percent-encoded UTF-8.")
        found[name] = decoded
    return found


def content_md5(headers: Headers) -> bytes | None:
    """Raises:
    InvalidArgumentError: not base64 of 16 bytes.
    """
    return parse_md5(single(headers, "Content-MD5"))


def parse_md5(text: str | None) -> bytes | None:
    """See :func:`content_md5`."""
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _MD5_BYTES:
        raise InvalidArgumentError("Content-MD5 is not the base64 of an MD5's 16 bytes.")
    return digest


def check_framing(headers: Headers, version: HttpVersion) -> bool:
    """Whether the body is chunked. For every request, whatever it is for: where this and a proxy before it end a body at different
    bytes, the rest is somebody else's request (RFC 9112 6.1 and 11.2).

    Raises:
        Refusal: both framings, a transfer coding other than exactly ``chunked``, or one in HTTP/1.0. The connection ends.
    """
    coding = headers.getall("Transfer-Encoding", [])
    if not coding:
        return False
    if "Content-Length" in headers or len(coding) > 1 or version < HttpVersion11:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            "Send Content-Length, or Transfer-Encoding once and in HTTP/1.1; never both.",
            close=True,
        )
    if coding[0].strip().lower() != "chunked":
        raise Refusal(Code.UNSUPPORTED_TRANSFER_CODING, "The only transfer coding is chunked, by itself.", close=True)
    return True


def body_size(headers: Headers, version: HttpVersion) -> int | None:
    """The announced size of a body, None for a chunked one.

    Raises:
        Refusal: as :func:`check_framing`; a length that is none, or no framing at all.
    """
    if check_framing(headers, version):
        return None
    length = single(headers, "Content-Length")
    if length is None:
        raise Refusal(
            Code.LENGTH_REQUIRED,
            "Send Content-Length (0 for an empty object) or Transfer-Encoding: chunked.",
            close=True,
        )
    if not _LENGTH.fullmatch(length):
        raise Refusal(Code.MALFORMED_REQUEST, "Content-Length is not a number.", close=True)
    return int(length)
