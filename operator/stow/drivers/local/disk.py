"""The port to what a test has to see or break: bytes written, syncs, and the named points at which a process may die.

Everything else goes to :mod:`os` directly. Every :class:`Step` is passed by some operation; a test that kills a
process walks the whole enumeration.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Protocol


class Step(StrEnum):
    """Points between two changes of the disk, named by what has just been done."""

    CONTAINER_PREPARED = "container-prepared"
    CONTAINER_PUBLISHED = "container-published"
    MARKER_PREPARED = "marker-prepared"
    UPLOAD_OPENED = "upload-opened"
    BYTES_WRITTEN = "bytes-written"
    DATA_SYNCED = "data-synced"
    DATA_LINKED = "data-linked"
    DATA_MOVED = "data-moved"
    POINTER_PREPARED = "pointer-prepared"
    POINTER_PUBLISHED = "pointer-published"
    OLD_DATA_REMOVED = "old-data-removed"
    POINTER_REMOVED = "pointer-removed"
    DATA_REMOVED = "data-removed"
    CONTAINER_RENAMED = "container-renamed"
    CONTAINER_REMOVED = "container-removed"


class Disk(Protocol):
    """Called in threads of the driver's pool."""

    def write(self, fd: int, data: memoryview) -> int:
        """As :func:`os.write`: may write less."""
        ...

    def fsync(self, fd: int) -> None: ...

    def link(self, name: str, new_name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        """A hard link; a file system may refuse it (other mount, too many names)."""
        ...

    def reached(self, step: Step) -> None:
        """Nothing, outside tests."""
        ...


class HostDisk:
    """The disk of this host."""

    def write(self, fd: int, data: memoryview) -> int:
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def link(self, name: str, new_name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.link(name, new_name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=False)

    def reached(self, step: Step) -> None:
        pass


def write_all(disk: Disk, fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[disk.write(fd, view) :]
