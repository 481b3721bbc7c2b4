"""A container's folder, its parts and its locks.

::

    <root>/<container>/
        stow-container-v1     makes it a container; the container's lock
        marker.json           the ownership marker, where there is one
        pointers/             one small file an object (see keys.py)
        data/                 immutable data files, named by version; each belongs to one pointer
        uploads/              data files that are not published yet (each locked by its writer) and temporary small files
        locks/                the locks of keys, by hash

A folder without ``stow-container-v1`` is none of ours: it is absent to every call but ``create_container``, to which
it is taken.

Locks are ``flock``: they end with their process. Order: container, then key; both are only tried (``Busy``), within
one step. Whoever changes something holds the container's lock shared, whoever deletes the container holds it alone;
after getting it, one checks that the folder still bears its name.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from stow.drivers.local.roots import CONTAINER_FILE, Root, open_folder
from stow.drivers.local.threads import Busy
from stow.errors import ContainerNotFoundError
from stow.storage.names import check_container_name

MARKER_FILE: Final = "marker.json"
POINTERS: Final = "pointers"
DATA: Final = "data"
UPLOADS: Final = "uploads"
LOCKS: Final = "locks"
_KEY_LOCKS: Final = 64
"""Writers of different keys meet on one lock once in 64 times, and then for the milliseconds of a publish."""


@dataclass(frozen=True, slots=True)
class Folder:
    """An open container folder. Lives as long as the ``with`` that gave it."""

    name: str
    fd: int
    root_fd: int

    @contextmanager
    def part(self, name: str) -> Iterator[int]:
        """Descriptor of one of the sub-folders."""
        with open_folder(name, dir_fd=self.fd) as fd:
            yield fd

    @contextmanager
    def locked(self, *, alone: bool) -> Iterator[None]:
        """The container's lock.

        Raises:
            Busy: somebody else has it.
            ContainerNotFoundError: the container was deleted meanwhile.
        """
        with _flocked(CONTAINER_FILE, os.O_RDONLY, dir_fd=self.fd, alone=alone):
            if not self.linked():
                raise absent(self.name)
            yield

    @contextmanager
    def key_locked(self, key: str) -> Iterator[None]:
        """The lock of a key, under the container's shared one.

        Raises:
            Busy: somebody else has it.
        """
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % _KEY_LOCKS
        with self.part(LOCKS) as fd, _flocked(f"{number:02x}", os.O_RDWR | os.O_CREAT, dir_fd=fd, alone=True):
            yield

    def linked(self) -> bool:
        """Whether it still bears its name."""
        try:
            there = os.stat(self.name, dir_fd=self.root_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self.fd))


@contextmanager
def opened_container(root: Root, name: str) -> Iterator[Folder]:
    """Raises:
    ContainerNotFoundError: there is no such folder, or it is not one of ours.
    """
    check_container_name(name)
    with root.opened() as root_fd:
        if root_fd is None:
            raise absent(name)
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root_fd)
        except FileNotFoundError:
            raise absent(name) from None
        except OSError as exc:
            if exc.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise foreign(name) from exc
            raise
        try:
            if not _is_container(fd):
                raise foreign(name)
            folder = Folder(name, fd, root_fd)
            try:
                yield folder
            except FileNotFoundError:
                if not folder.linked():  # deleted while we were in it
                    raise absent(name) from None
                raise
        finally:
            os.close(fd)


def absent(name: str) -> ContainerNotFoundError:
    return ContainerNotFoundError("The container does not exist.", container=name)


def foreign(name: str) -> ContainerNotFoundError:
    return ContainerNotFoundError(
        "There is a folder or file of that name, but it is not a container; choose another name or move it away.",
        container=name,
    )


def _is_container(fd: int) -> bool:
    try:
        found = os.open(CONTAINER_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except FileNotFoundError:
        return False
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return False
        raise
    os.close(found)
    return True


@contextmanager
def _flocked(name: str, flags: int, *, dir_fd: int, alone: bool) -> Iterator[None]:
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    try:
        if not try_lock(fd, alone=alone):
            raise Busy
        yield
    finally:
        os.close(fd)


def try_lock(fd: int, *, alone: bool) -> bool:
    """Take the ``flock`` of an open file without waiting; it ends with the descriptor."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
