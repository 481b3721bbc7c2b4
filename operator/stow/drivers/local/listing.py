"""Listing: the names of the pointers are read, never their content but for the objects of the page.

One page costs one pass over the names (about 1 us each: a million objects, a second) and the pointers of its objects;
memory is that of the page. The trade: a layout in sorted shards would make a page of a huge container cheaper, at the
price of splitting and merging shards under concurrent writers and crashes. Folders that hold millions of objects in
one container belong on an object store.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from stow.drivers.local.folders import POINTERS, Folder
from stow.drivers.local.keys import PART_CHARACTERS, escape, file_part, folder_part, may_hold, unescape
from stow.drivers.local.pointers import read_pointer
from stow.drivers.local.roots import open_folder
from stow.errors import BackendError
from stow.storage.model import ListedObject, Listing
from stow.storage.paging import cut_page

_MAX_DEPTH: Final = 3 * 1024 // PART_CHARACTERS + 1
"""Folders in a row that the longest key can need; deeper is not ours."""
_LOOK_UP_NAMES: Final = 1000
"""Names between two looks at whether the caller is still there."""


def list_page(
    folder: Folder, *, prefix: str, delimiter: str | None, limit: int, token: str | None, gone: threading.Event
) -> Listing:
    """One page. An object that goes while the page is made is left out; the page may then be short, its token still holds."""
    with folder.part(POINTERS) as pointers:
        keys = keys_below(pointers, prefix=prefix, gone=gone)
        page = cut_page(keys, prefix=prefix, delimiter=delimiter, limit=limit, token=token)
        found = (read_pointer(key, pointers_fd=pointers) for key in page.keys)
        objects = tuple(
            ListedObject(
                pointer.key, pointer.metadata.size_bytes, pointer.metadata.etag, pointer.metadata.last_modified
            )
            for pointer in found
            if pointer is not None
        )
    return Listing(objects=objects, prefixes=page.prefixes, token=page.token)


def keys_below(pointers_fd: int, *, prefix: str = "", gone: threading.Event | None = None) -> Iterator[str]:
    """All keys with that prefix, in no order. What is not of the layout is passed over.

    Raises:
        BackendError: ``gone`` is set; nobody waits for the answer.
    """
    wanted = escape(prefix)
    for count, escaped in enumerate(_escaped_below(pointers_fd, "", wanted, 0)):
        if gone is not None and count % _LOOK_UP_NAMES == 0 and gone.is_set():
            raise BackendError("The operation was given up.")
        if escaped.startswith(wanted):
            key = unescape(escaped)
            if key is not None:
                yield key


def _escaped_below(fd: int, above: str, wanted: str, depth: int) -> Iterator[str]:
    folders = []
    with os.scandir(fd) as entries:
        for entry in entries:
            part = file_part(entry.name)
            if part is not None:
                if len(part) <= PART_CHARACTERS and entry.is_file(follow_symlinks=False):
                    yield above + part
                continue
            part = folder_part(entry.name)
            if part is not None and may_hold(above + part, wanted) and entry.is_dir(follow_symlinks=False):
                folders.append((entry.name, above + part))
    if depth >= _MAX_DEPTH:
        return
    for name, escaped in folders:
        # A sweep may have removed the empty folder in between.
        with suppress(FileNotFoundError), open_folder(name, dir_fd=fd) as inner:
            yield from _escaped_below(inner, escaped, wanted, depth + 1)
