"""What dead processes leave: unpublished uploads, data files without a pointer, half-made and half-deleted containers.

Nothing that is alive is touched, by whichever process: a writer holds the lock of its data file until it is
published, and what is younger than ``older_than`` is left anyway (a file that was just made is not locked yet). A
data file goes only if it was seen unlocked and *afterwards*, in a second look at all pointers, nobody referred to it.
As long as a pointer is damaged, no data file of its container goes: it may be the one.

All functions block and run as single steps in the driver's threads.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from stow.drivers.local.containers import DELETED_PREFIX, NEW_PREFIX, remove_tree
from stow.drivers.local.folders import DATA, POINTERS, UPLOADS, Folder, try_lock
from stow.drivers.local.keys import folder_part
from stow.drivers.local.listing import keys_below
from stow.drivers.local.pointers import open_regular, read_pointer
from stow.drivers.local.roots import open_folder
from stow.drivers.local.threads import Busy
from stow.drivers.local.uploads import TEMPORARY_SUFFIX
from stow.errors import IntegrityError

_VERSION = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed."""

    uploads: int = 0
    data_files: int = 0
    folders: int = 0
    """Empty folders of long keys; of a root: unfinished containers."""
    damaged_pointers: int = 0
    """Seen, not removed."""


def sweep_container(folder: Folder, *, before_s: float, gone: threading.Event) -> Swept:
    """``before_s``: only what was last changed before that time, in seconds since the epoch."""
    with folder.part(UPLOADS) as uploads:
        dead_uploads = _remove_dead_uploads(folder, uploads, before_s)
    with folder.part(DATA) as data, folder.part(POINTERS) as pointers:
        names = [name for name in _names(data) if _VERSION.fullmatch(name)]
        referred, damaged = _referred(pointers, gone)
        candidates = [name for name in names if name not in referred and _is_dead(name, data, before_s)]
        if candidates and not damaged:
            referred, damaged = _referred(pointers, gone)
        orphans = [] if damaged else [name for name in candidates if name not in referred]
        removed = _unlink(orphans, data)
        folders = _remove_empty_folders(folder, pointers)
    return Swept(uploads=dead_uploads, data_files=removed, folders=folders, damaged_pointers=damaged)


def sweep_root(root_fd: int, *, before_s: float) -> Swept:
    """Containers that were never finished, or never wholly deleted."""
    names = [name for name in _names(root_fd) if name.startswith((NEW_PREFIX, DELETED_PREFIX))]
    old = [name for name in names if _is_old(name, root_fd, before_s)]
    for name in old:
        remove_tree(name, dir_fd=root_fd)
    return Swept(folders=len(old))


def _names(fd: int) -> list[str]:
    with os.scandir(fd) as entries:
        return [entry.name for entry in entries]


def _referred(pointers_fd: int, gone: threading.Event) -> tuple[set[str], int]:
    versions: set[str] = set()
    damaged = 0
    for key in keys_below(pointers_fd, gone=gone):
        try:
            pointer = read_pointer(key, pointers_fd=pointers_fd)
        except IntegrityError:
            damaged += 1
            continue
        if pointer is not None:
            versions.add(pointer.version)
    return versions, damaged


def _remove_dead_uploads(folder: Folder, uploads_fd: int, before_s: float) -> int:
    small = [name for name in _names(uploads_fd) if name.endswith(TEMPORARY_SUFFIX)]
    large = [name for name in _names(uploads_fd) if not name.endswith(TEMPORARY_SUFFIX)]
    removed = _unlink([name for name in large if _is_dead(name, uploads_fd, before_s)], uploads_fd)
    if small:
        # Small files are not locked themselves: they are written and used under the container's shared lock.
        with suppress(Busy), folder.locked(alone=True):
            removed += _unlink([name for name in small if _is_old(name, uploads_fd, before_s)], uploads_fd)
    return removed


def _is_old(name: str, dir_fd: int, before_s: float) -> bool:
    try:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    # A hard link has its file's mtime; making the link renews only the ctime.
    return max(found.st_mtime, found.st_ctime) < before_s and (
        stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    )


def _is_dead(name: str, dir_fd: int, before_s: float) -> bool:
    if not _is_old(name, dir_fd, before_s):
        return False
    try:
        fd = open_regular(name, dir_fd=dir_fd)
    except (FileNotFoundError, IntegrityError):
        return False
    try:
        return try_lock(fd, alone=True)
    finally:
        os.close(fd)


def _unlink(names: Iterable[str], dir_fd: int) -> int:
    removed = 0
    for name in names:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=dir_fd)
            removed += 1
    return removed


def _remove_empty_folders(folder: Folder, pointers_fd: int) -> int:
    """Alone with the container, because writers make these folders and then use them; at the next sweep if somebody writes now."""
    if not any(folder_part(name) for name in _names(pointers_fd)):
        return 0
    try:
        with folder.locked(alone=True):
            return _remove_empty_below(pointers_fd)
    except Busy:
        return 0


def _remove_empty_below(fd: int) -> int:
    removed = 0
    with os.scandir(fd) as entries:
        names = [entry.name for entry in entries if folder_part(entry.name) and entry.is_dir(follow_symlinks=False)]
    for name in names:
        with open_folder(name, dir_fd=fd) as inner:
            removed += _remove_empty_below(inner)
        with suppress(OSError):  # not empty, most of the time
            os.rmdir(name, dir_fd=fd)
            removed += 1
    return removed
