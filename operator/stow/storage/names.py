"""Names: references, container names, keys, metadata. Everything that can be refused without I/O is refused here.

Keys are never rewritten. A key that a backend cannot hold under its own name is refused with InvalidKeyError, by the rules of its
dialect (:class:`KeyRules`), and the message says which rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Self

from stow.errors import InvalidContainerNameError, InvalidKeyError, InvalidMetadataError, InvalidReferenceError

MAX_METADATA_BYTES: Final = 2048
"""S3's limit for all user metadata together (names and values); the others allow more."""
_CONTAINER = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+")
_METADATA_NAME = re.compile(r"[a-z0-9-]{1,64}")
_ANY_SLASH = re.compile(r"[/\\]")
_SCHEME = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What a dialect's backend cannot hold under its own name. Lengths in UTF-8 bytes."""

    max_bytes: int = 1024
    max_segment_bytes: int | None = None
    """Of one part between slashes."""
    dot_segments: bool = True
    """``.`` and ``..`` as whole segments are kept apart. A backend that resolves them may trim spaces and take backslashes for slashes."""
    empty_segments: bool = True
    """``a//b`` stays what it is."""
    leading_slash: bool = True
    control_characters: bool = True
    """What XML 1.0 has no form for and some listings break on: U+0000 to U+001F, U+007F, U+FFFE and U+FFFF. NUL is refused everywhere."""
    backslash: bool = True
    trailing_slash: bool = True
    """``a/`` stays what it is."""
    trailing_dots: bool = True
    """A segment may end with a dot."""
    odd_code_points: bool = True
    """C1 controls (U+0080 to U+009F), the private use area of the basic plane, and code points that are no characters."""
    max_segments: int | None = None
    """Parts between slashes, empty ones too."""
    line_breaks: bool = True
    """Carriage return and line feed, where ``control_characters`` keeps the others."""
    dot_keys: bool = True
    """``.`` and ``..`` as the whole key, where ``dot_segments`` keeps them inside of one."""
    slashes_alone: bool = True
    """A key of nothing but slashes."""
    reserved_prefixes: tuple[str, ...] = ()
    """No key begins with one of these."""

    def refused(self) -> tuple[str, ...]:
        """The rules by which a key is refused here that another backend may hold, sorted; lengths are apart."""
        rules = (rule.name for rule in fields(self) if getattr(self, rule.name) is False)
        return tuple(sorted((*rules, *(("reserved_prefixes",) if self.reserved_prefixes else ()))))

    def check(self, key: str) -> None:
        """Raises:
        InvalidKeyError: the key is empty, not UTF-8, too long, or breaks a rule of this dialect.
        """
        reason = self._refusal(key)
        if reason is not None:
            raise InvalidKeyError(f"The key {reason}; choose another key.", key=printable(key))

    def check_prefix(self, prefix: str) -> None:
        """A prefix may stop anywhere, also in the middle of a character's meaning to this backend; only its length and text count.

        Raises:
            InvalidKeyError: no key of this backend can begin so.
        """
        try:
            too_long = len(prefix.encode()) > self.max_bytes
        except UnicodeEncodeError:
            raise InvalidKeyError("The prefix is not valid UTF-8; choose another.", key=printable(prefix)) from None
        if too_long or "\0" in prefix:
            raise InvalidKeyError(
                f"The prefix holds a NUL or over {self.max_bytes} bytes; choose another.", key=printable(prefix)
            )

    def _refusal(self, key: str) -> str | None:
        if not key:
            return "is empty"
        try:
            raw = key.encode()
        except UnicodeEncodeError:
            return "is not valid UTF-8"
        if len(raw) > self.max_bytes:
            return f"has {len(raw)} bytes, and this backend takes at most {self.max_bytes}"
        if "\0" in key:
            return "holds a NUL character"
        if not self.control_characters and any(ord(c) < 0x20 or ord(c) in {0x7F, 0xFFFE, 0xFFFF} for c in key):
            return "holds a control character, which this backend cannot list"
        if not self.line_breaks and ("\r" in key or "\n" in key):
            return "holds a line break, which this backend refuses"
        if not self.backslash and "\\" in key:
            return "holds a backslash, which this backend turns into a slash"
        if not self.dot_keys and key in {".", ".."}:
            return "is a mere . or .., which this backend refuses"
        if key.startswith(self.reserved_prefixes):
            return "begins with what this backend keeps for itself"
        if not self.odd_code_points and any(_odd(ord(c)) for c in key):
            return "holds a control, private-use or unassignable code point, which this backend refuses"
        return self._segment_refusal(key)

    def _segment_refusal(self, key: str) -> str | None:
        segments = key.split("/")
        if not self.slashes_alone and not key.strip("/"):
            return "is nothing but slashes, which this backend cannot sign"
        if not self.leading_slash and key.startswith("/"):
            return "begins with a slash, which this backend drops"
        if not self.trailing_slash and key.endswith("/"):
            return "ends with a slash, which this backend takes for a folder"
        inner = segments[1:-1] if len(segments) > 1 else []
        if not self.empty_segments and "" in inner:
            return "has an empty segment (//), which this backend refuses or folds"
        if not self.dot_segments and any(part.strip() in {".", ".."} for part in _ANY_SLASH.split(key)):
            return "has a segment . or .., which this backend refuses or resolves"
        if not self.trailing_dots and any(part.endswith(".") for part in segments):
            return "has a segment that ends with a dot, which this backend cuts off"
        if self.max_segments is not None and len(segments) > self.max_segments:
            return f"has over {self.max_segments} segments, which this backend refuses"
        if self.max_segment_bytes is not None and any(len(s.encode()) > self.max_segment_bytes for s in segments):
            return f"has a segment of over {self.max_segment_bytes} bytes, which this backend refuses"
        return None


def _odd(code: int) -> bool:
    return 0x80 <= code < 0xA0 or 0xE000 <= code < 0xF900 or 0xFDD0 <= code < 0xFDF0 or code & 0xFFFE == 0xFFFE


def printable(text: str, *, limit: int = 200) -> str:
    """The text for messages and logs: control characters and lone surrogates escaped, cut to ``limit`` characters."""
    shown = (
        text[:limit].encode("unicode_escape", "backslashreplace").decode() if not text.isprintable() else text[:limit]
    )
    return shown if len(text) <= limit else shown + "..."


@dataclass(frozen=True, slots=True)
class DataReference:
    """``scheme://container/key``. An empty key names the container itself. The key is everything behind the first slash, as it is:
    no decoding, no normalising, ``?`` and ``#`` included."""

    scheme: str
    container: str
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises:
        InvalidReferenceError: not of that form.
        """
        scheme, separator, rest = text.partition("://")
        container, _, key = rest.partition("/")
        if not separator or not _SCHEME.fullmatch(scheme) or not container:
            raise InvalidReferenceError(
                f"{printable(text)!r} is not a reference; write scheme://container/key, for example s3://reports/2026/a.csv."
            )
        return cls(scheme, container, key)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.container}/{self.key}" if self.key else f"{self.scheme}://{self.container}"


def check_container_name(name: str) -> None:
    """The intersection of the backends: 3 to 63 characters, lower case, digits, dots and hyphens, no IPv4 address.

    Source: the bucket naming rules of Amazon S3, which are the narrowest; ``xn--`` and the reserved suffixes are the backend's to refuse.

    Raises:
        InvalidContainerNameError
    """
    if not _CONTAINER.fullmatch(name) or ".." in name or _IPV4.fullmatch(name):
        raise InvalidContainerNameError(
            f"{printable(name)!r} is no container name: use 3 to 63 lower-case letters, digits, hyphens and single dots, "
            "beginning and ending with a letter or digit, and no IPv4 address."
        )


def check_metadata(
    metadata: Mapping[str, str], *, limit_bytes: int = MAX_METADATA_BYTES, overhead_bytes: int = 0
) -> None:
    """``limit_bytes`` and ``overhead_bytes`` (beside each name) are the backend's; more than 2 KiB is never allowed.

    Raises:
        InvalidMetadataError: a name is not ``[a-z0-9-]{1,64}``, a value holds a control character, or all together exceed the limit.
    """
    limit_bytes = min(limit_bytes, MAX_METADATA_BYTES)
    total = overhead_bytes * len(metadata)
    for name, value in metadata.items():
        if not _METADATA_NAME.fullmatch(name):
            raise InvalidMetadataError(
                f"The metadata name {printable(name)!r} is not allowed: use 1 to 64 lower-case letters, digits and hyphens."
            )
        if any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
            raise InvalidMetadataError(f"The value of the metadata {name!r} holds a control character.")
        try:
            total += len(name) + len(encode_metadata_value(value))
        except UnicodeEncodeError:
            raise InvalidMetadataError(f"The value of the metadata {name!r} is not valid UTF-8.") from None
    if total > limit_bytes:
        counted = f" ({overhead_bytes} of them beside each name)" if overhead_bytes else ""
        raise InvalidMetadataError(f"The metadata takes {total} bytes{counted}; {limit_bytes} are allowed in all.")


def encode_metadata_value(value: str) -> str:
    """A value as it goes over the wire and to every backend: printable ASCII as it is, the rest percent-encoded UTF-8.

    ``%`` is encoded, so that decoding gives back exactly what was given; so are leading and trailing spaces, which HTTP strips.
    """
    inner = "".join(c if 0x20 <= ord(c) < 0x7F and c != "%" else _percent(c) for c in value)
    stripped = inner.strip(" ")
    if stripped == inner:
        return inner
    lead = len(inner) - len(inner.lstrip(" "))
    return "%20" * lead + stripped + "%20" * (len(inner) - lead - len(stripped))


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def decode_metadata_value(value: str) -> str:
    """The inverse. A value that nobody encoded (bad escapes, bad UTF-8: written by another tool) comes back as it is, but for
    bytes that are no UTF-8 (lone surrogates in ``value``): each becomes U+FFFD, so that the value can be sent on.
    """
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return _ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), raw).decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")
