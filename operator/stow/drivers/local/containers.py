"""The life of containers: made complete or not at all, deleted only while nobody writes.

A new container is prepared under a hidden name and appears by one rename, its marker in it. A deleted one disappears
by one rename, under the lock that every writer shares, and is taken apart afterwards. A folder of the same name that
is not ours is left alone by all of it.

All functions block and run as single steps in the driver's threads.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from typing import Final

from stow.drivers.local.disk import Disk, Step
from stow.drivers.local.folders import (
    DATA,
    LOCKS,
    MARKER_FILE,
    POINTERS,
    UPLOADS,
    Folder,
    opened_container,
    try_lock,
)
from stow.drivers.local.listing import keys_below
from stow.drivers.local.pointers import open_regular
from stow.drivers.local.roots import CONTAINER_FILE, Root, exists, open_folder
from stow.drivers.local.uploads import TEMPORARY_SUFFIX, new_version, write_atomically
from stow.errors import (
    AccessDeniedError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ContainerTakenError,
    IntegrityError,
)
from stow.storage.model import ContainerContents, Marker
from stow.storage.names import check_container_name

NEW_PREFIX: Final = ".new-"
DELETED_PREFIX: Final = ".del-"
"""Container names begin with a letter or digit, so neither is ever one."""
_CONTENTS_PAGE: Final = 1000
_MAX_MARKER_BYTES: Final = 16 * 1024
_EXPLANATION: Final = b"This folder is a container of stow-operator. Read and write it through the operator only.\n"


def probe(root: Root) -> None:
    """Raises:
    BackendUnreachableError, AccessDeniedError: base or root is missing, closed to us or read-only.
    """
    for count in range(len(root.parts), -1, -1):
        with Root(root.base, root.parts[:count]).opened() as fd:
            if fd is None:
                continue
            if not os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True):
                raise AccessDeniedError(
                    "The local folder cannot be written; check its owner, its mode and that it is not mounted read-only."
                )
            return


def create(root: Root, name: str, marker: Marker | None, disk: Disk) -> None:
    """Raises:
    ContainerTakenError: the name is in use, by a container or by anything else.
    """
    check_container_name(name)
    with root.opened(create=True) as root_fd:
        if root_fd is None:
            raise AccessDeniedError("The location's folder was removed while it was being made.")
        # rename(2) would replace an empty folder: one that is there belongs to somebody.
        if exists(name, dir_fd=root_fd):
            raise _taken(name)
        prepared = NEW_PREFIX + new_version()
        try:
            _prepare(prepared, marker, root_fd, disk)
            disk.reached(Step.CONTAINER_PREPARED)
            _rename(prepared, name, root_fd)
        except BaseException:
            remove_tree(prepared, dir_fd=root_fd)
            raise
        disk.reached(Step.CONTAINER_PUBLISHED)
        disk.fsync(root_fd)


def _prepare(name: str, marker: Marker | None, root_fd: int, disk: Disk) -> None:
    os.mkdir(name, 0o700, dir_fd=root_fd)
    with open_folder(name, dir_fd=root_fd) as fd:
        for part in (POINTERS, DATA, UPLOADS, LOCKS):
            os.mkdir(part, 0o700, dir_fd=fd)
        with open_folder(UPLOADS, dir_fd=fd) as uploads:
            if marker is not None:
                write_atomically(MARKER_FILE, _encode(marker), dir_fd=fd, temporary_fd=uploads, disk=disk)
            write_atomically(CONTAINER_FILE, _EXPLANATION, dir_fd=fd, temporary_fd=uploads, disk=disk)


def _rename(prepared: str, name: str, root_fd: int) -> None:
    try:
        os.rename(prepared, name, src_dir_fd=root_fd, dst_dir_fd=root_fd)
    except OSError as exc:
        if exc.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise _taken(name) from exc
        raise


def _taken(name: str) -> ContainerTakenError:
    return ContainerTakenError("The name is in use in this location.", container=name)


def is_there(root: Root, name: str) -> bool:
    try:
        with opened_container(root, name):
            return True
    except ContainerNotFoundError:
        return False


def read_marker(folder: Folder) -> Marker | None:
    """Raises:
    IntegrityError: there is one, but it is damaged; whose the container is cannot be said.
    """
    try:
        fd = open_regular(MARKER_FILE, dir_fd=folder.fd)
    except FileNotFoundError:
        return None
    try:
        raw = os.read(fd, _MAX_MARKER_BYTES)
    finally:
        os.close(fd)
    try:
        fields = json.loads(raw)
        marker = Marker(**fields)
    except (ValueError, TypeError, RecursionError) as exc:
        raise _damaged_marker() from exc
    if not all(isinstance(value, str) for value in asdict(marker).values()):
        raise _damaged_marker()
    return marker


def _damaged_marker() -> IntegrityError:
    return IntegrityError("The container's ownership marker is damaged; look at its folder by hand.")


def write_marker(folder: Folder, marker: Marker | None, disk: Disk) -> None:
    with folder.locked(alone=False):
        if marker is None:
            with suppress(FileNotFoundError):
                os.unlink(MARKER_FILE, dir_fd=folder.fd)
            disk.fsync(folder.fd)
            return
        with folder.part(UPLOADS) as uploads:
            write_atomically(MARKER_FILE, _encode(marker), dir_fd=folder.fd, temporary_fd=uploads, disk=disk)


def _encode(marker: Marker) -> bytes:
    return json.dumps(asdict(marker), separators=(",", ":")).encode()


def contents(folder: Folder) -> ContainerContents:
    """Objects up to a page, and the uploads that are under way (those of dead processes are not)."""
    with folder.part(POINTERS) as pointers:
        objects = sum(1 for _ in islice(keys_below(pointers), _CONTENTS_PAGE + 1))
    with folder.part(UPLOADS) as uploads, os.scandir(uploads) as entries:
        live = sum(1 for entry in entries if _is_live(entry, uploads))
    return ContainerContents(objects=min(objects, _CONTENTS_PAGE), uploads=live, truncated=objects > _CONTENTS_PAGE)


def _is_live(entry: os.DirEntry[str], uploads_fd: int) -> bool:
    if entry.name.endswith(TEMPORARY_SUFFIX) or not entry.is_file(follow_symlinks=False):
        return False
    try:
        fd = open_regular(entry.name, dir_fd=uploads_fd)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd, alone=True)
    finally:
        os.close(fd)


def delete(root: Root, name: str, disk: Disk) -> None:
    """Raises:
    ContainerNotEmptyError: it holds objects or live uploads.
    Busy: somebody writes right now.
    """
    try:
        with opened_container(root, name) as folder:
            _check_empty(folder)
            with folder.locked(alone=True):
                _check_empty(folder)
                hidden = DELETED_PREFIX + new_version()
                os.rename(name, hidden, src_dir_fd=folder.root_fd, dst_dir_fd=folder.root_fd)
                disk.reached(Step.CONTAINER_RENAMED)
                disk.fsync(folder.root_fd)
                remove_tree(hidden, dir_fd=folder.root_fd)
                disk.reached(Step.CONTAINER_REMOVED)
    except ContainerNotFoundError:
        return


def _check_empty(folder: Folder) -> None:
    found = contents(folder)
    if not found.empty:
        raise ContainerNotEmptyError("The container holds objects or open uploads.", container=folder.name)


def remove_tree(name: str, *, dir_fd: int) -> None:
    """Remove a hidden folder; what stays is for the sweep. ``shutil.rmtree`` with a descriptor follows no symbolic link."""
    shutil.rmtree(name, ignore_errors=True, dir_fd=dir_fd)
