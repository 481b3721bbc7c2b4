"""Object keys as file names. Pure and injective: two keys never share a path, and a path gives its key back.

Bytes of ``[a-z0-9_-]`` stand for themselves, every other byte of the key's UTF-8 is ``=xx`` (lower-case hex). So no
name holds a slash, a dot or an upper-case letter: nothing leaves its folder, and a file system that folds case or
normalises Unicode keeps all keys apart. Escaping goes byte by byte, so the escaped prefix of a listing is a prefix of
the escaped key.

The layout is flat: the slashes of a key make no folders, which is why ``f`` and ``f/g`` coexist. Only an escaped key
of over 240 characters is cut, into folders named ``<240 characters>+`` and a last part; an object's file is
``<part>.p``, so a folder and a file never share a name.
"""

from __future__ import annotations

import re
from typing import Final

PART_CHARACTERS: Final = 240
"""With the suffix below 255, the limit of every common file system; a multiple of 3, so that ASCII escapes are seldom cut apart."""
FOLDER_SUFFIX: Final = "+"
POINTER_SUFFIX: Final = ".p"

_RAW: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_TABLE: Final = tuple(chr(byte) if byte in _RAW else f"={byte:02x}" for byte in range(256))
_ESCAPED = re.compile(r"(?:[a-z0-9_-]|=[0-9a-f]{2})+")
_UNIT = re.compile(r"=([0-9a-f]{2})")


def escape(text: str) -> str:
    """The escaped form of a key or of a key's prefix."""
    return "".join([_TABLE[byte] for byte in text.encode()])


def unescape(escaped: str) -> str | None:
    """The key; None where :func:`escape` never gives that text (somebody else's file)."""
    if not _ESCAPED.fullmatch(escaped):
        return None
    raw = _UNIT.sub(lambda match: chr(int(match[1], 16)), escaped).encode("latin-1")
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        return None
    return key if escape(key) == escaped else None


def path_of(key: str) -> tuple[str, ...]:
    """Folders and file name of the key's pointer, below the container's folder of pointers."""
    escaped = escape(key)
    parts = [escaped[at : at + PART_CHARACTERS] for at in range(0, len(escaped), PART_CHARACTERS)]
    return (*(part + FOLDER_SUFFIX for part in parts[:-1]), parts[-1] + POINTER_SUFFIX)


def file_part(name: str) -> str | None:
    """The escaped part that a pointer's file name stands for; None for another file."""
    return name.removesuffix(POINTER_SUFFIX) if name.endswith(POINTER_SUFFIX) else None


def folder_part(name: str) -> str | None:
    """The escaped part that a folder's name stands for; None for another folder."""
    part = name.removesuffix(FOLDER_SUFFIX)
    return part if len(name) == PART_CHARACTERS + len(FOLDER_SUFFIX) and len(part) == PART_CHARACTERS else None


def may_hold(escaped: str, escaped_prefix: str) -> bool:
    """Whether a folder that stands for ``escaped`` can hold keys with that prefix."""
    return escaped.startswith(escaped_prefix) or escaped_prefix.startswith(escaped)
