"""The pointer file: what an object is. Small JSON that names the version, and with it the data file.

Read with suspicion: the folder is on a disk that others can reach. A pointer that is damaged, too large, no regular
file or that belongs to another key is an IntegrityError, never "absent".
"""

from __future__ import annotations

import json
import os
import re
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stow.drivers.local.faults import translated
from stow.drivers.local.keys import path_of
from stow.drivers.local.roots import open_folder
from stow.errors import IntegrityError
from stow.storage.model import ObjectAttributes, ObjectMetadata

_MAX_POINTER_BYTES: Final = 64 * 1024
"""A key of 1 KiB, metadata of 2 KiB and some header values, all escaped sixfold, stay below 32 KiB."""
_VERSION = re.compile(r"[0-9a-f]{32}")
_TEXTS: Final = ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control")


@dataclass(frozen=True, slots=True)
class Pointer:
    """``metadata.etag`` is the version and the data file's name."""

    key: str
    metadata: ObjectMetadata

    @property
    def version(self) -> str:
        return self.metadata.etag


def encode(pointer: Pointer) -> bytes:
    found = pointer.metadata
    if found.last_modified is None or found.md5 is None or found.crc32c is None:
        raise ValueError("a pointer is written complete")
    fields = {
        "format": 1,
        "key": pointer.key,
        "data": pointer.version,
        "sizeBytes": found.size_bytes,
        "md5": found.md5.hex(),
        "crc32c": found.crc32c.hex(),
        "lastModified": found.last_modified.isoformat(),
        "attributes": {name: getattr(found.attributes, name) for name in _TEXTS},
        "metadata": dict(found.attributes.metadata),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def decode(raw: bytes, *, key: str) -> Pointer:
    """Raises:
    IntegrityError: it is not a pointer of that key.
    """
    try:
        fields = json.loads(raw)
        attributes = {name: _text(fields["attributes"][name]) for name in _TEXTS}
        metadata = {str(name): str(value) for name, value in fields["metadata"].items()}
        found = ObjectMetadata(
            exists=True,
            size_bytes=int(fields["sizeBytes"]),
            etag=str(fields["data"]),
            last_modified=datetime.fromisoformat(fields["lastModified"]),
            attributes=ObjectAttributes(**attributes, metadata=metadata),
            md5=bytes.fromhex(fields["md5"]),
            crc32c=bytes.fromhex(fields["crc32c"]),
        )
        sound = fields["format"] == 1 and fields["key"] == key and found.size_bytes >= 0
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise damaged() from exc
    if not sound or not _VERSION.fullmatch(found.etag) or found.last_modified is None:
        raise damaged()
    if found.last_modified.tzinfo is None or len(found.md5 or b"") != 16 or len(found.crc32c or b"") != 4:
        raise damaged()
    return Pointer(key, found)


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value


def damaged() -> IntegrityError:
    return IntegrityError("The stored description of the object is damaged; delete the object or write it anew.")


def read_pointer(key: str, *, pointers_fd: int) -> Pointer | None:
    """The pointer that is published now; None where there is none.

    Raises:
        IntegrityError: something else is in its place, or it is damaged.
    """
    with translated(), ExitStack() as stack:
        *folders, name = path_of(key)
        fd = pointers_fd
        try:
            for folder in folders:
                fd = stack.enter_context(open_folder(folder, dir_fd=fd))
            found = open_regular(name, dir_fd=fd)
        except FileNotFoundError:
            return None
        stack.callback(os.close, found)
        raw = os.read(found, _MAX_POINTER_BYTES + 1)
    if len(raw) > _MAX_POINTER_BYTES:
        raise damaged()
    return decode(raw, key=key)


def open_regular(name: str, *, dir_fd: int) -> int:
    """A regular file for reading: no symbolic link is followed, no pipe waited for.

    Raises:
        IntegrityError: it is something else.
        FileNotFoundError
    """
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise IntegrityError("In the place of an object's file there is something else; look at the folder by hand.")
    return fd
