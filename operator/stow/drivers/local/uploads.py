"""The steps of a write: a data file that fills up unseen, and the one rename that publishes it.

Invariant: until :data:`Step.POINTER_PUBLISHED` nothing that readers see has changed; from then on everything has.
Before it the data is on the disk (fsync of file and folder), so a power cut leaves the old object or the new one. An
upload's file is locked by its writer, so that others can tell a live one from what a dead process left.

All functions block and run as single steps in the driver's threads.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import google_crc32c

from stow.drivers.local.disk import Disk, Step, write_all
from stow.drivers.local.folders import DATA, POINTERS, UPLOADS, Folder, absent
from stow.drivers.local.keys import path_of
from stow.drivers.local.pointers import Pointer, encode, open_regular, read_pointer
from stow.drivers.local.roots import FOLDER_FLAGS
from stow.drivers.local.threads import Busy
from stow.errors import (
    IntegrityError,
    PreconditionFailedError,
    WriteOutcomeUnknownError,
)
from stow.storage.model import ObjectAttributes, ObjectMetadata

TEMPORARY_SUFFIX = ".tmp"


def new_version() -> str:
    """A version token, never given before: 128 random bits. No counter, because several processes write."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Conditions:
    """Preconditions of a change, as in ``WriteOptions``."""

    if_match: str | None = None
    if_none_match: bool = False

    def check(self, etag: str | None) -> None:
        """``etag`` of the object that is there; None where there is none.

        Raises:
            PreconditionFailedError
        """
        if self.if_none_match and etag is not None:
            raise PreconditionFailedError("The object exists already.")
        if self.if_match is not None and (etag is None or self.if_match not in {"*", etag}):
            raise PreconditionFailedError("The object is not the version that If-Match names.")


@dataclass(slots=True)
class Upload:
    """One data file on its way. ``version`` is its name; ``fd`` is open and locked until the end.

    ``in_use`` keeps a clean-up from closing ``fd`` under a step that hangs: by the time the step goes on, the number could be
    another file's.
    """

    version: str
    fd: int
    size_bytes: int = 0
    md5: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    crc32c: int = 0
    in_use: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        with self.in_use:
            if self.fd >= 0:
                fd, self.fd = self.fd, -1
                os.close(fd)

    def described(self, key: str, attributes: ObjectAttributes, at: datetime) -> Pointer:
        metadata = ObjectMetadata(
            exists=True,
            size_bytes=self.size_bytes,
            etag=self.version,
            last_modified=at,
            attributes=attributes,
            md5=self.md5.digest(),
            crc32c=self.crc32c.to_bytes(4, "big"),
        )
        return Pointer(key, metadata)


def open_upload(folder: Folder, disk: Disk) -> Upload:
    version = new_version()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with folder.part(UPLOADS) as uploads:
        fd = os.open(version, flags, 0o600, dir_fd=uploads)
    # Waits at most for somebody who is just looking whether it is locked.
    fcntl.flock(fd, fcntl.LOCK_EX)
    disk.reached(Step.UPLOAD_OPENED)
    return Upload(version, fd)


def append(upload: Upload, chunk: bytes, disk: Disk) -> None:
    with upload.in_use:
        write_all(disk, upload.fd, chunk)
    upload.md5.update(chunk)
    upload.crc32c = google_crc32c.extend(upload.crc32c, chunk)
    upload.size_bytes += len(chunk)
    disk.reached(Step.BYTES_WRITTEN)


def sync(upload: Upload, disk: Disk) -> None:
    with upload.in_use:
        disk.fsync(upload.fd)
    disk.reached(Step.DATA_SYNCED)


def discard(folder: Folder, version: str) -> None:
    """Remove the file of an upload that was not published."""
    with folder.part(UPLOADS) as uploads, suppress(FileNotFoundError):
        os.unlink(version, dir_fd=uploads)


def link_upload(folder: Folder, source: int, source_folder: Folder, version: str, disk: Disk) -> str:
    """A new name, among the uploads of ``folder``, for the data file that is open (and locked) as ``source``.

    Raises:
        FileNotFoundError: its old name is gone.
        OSError: EXDEV, EMLINK: no such link can be made.
    """
    linked = new_version()
    with source_folder.part(DATA) as data, folder.part(UPLOADS) as uploads:
        disk.link(version, linked, src_dir_fd=data, dst_dir_fd=uploads)
        if not os.path.samestat(os.stat(linked, dir_fd=uploads, follow_symlinks=False), os.fstat(source)):
            os.unlink(linked, dir_fd=uploads)
            raise IntegrityError("The data file was exchanged by somebody else; look at the folder by hand.")
    disk.reached(Step.DATA_LINKED)
    return linked


def lock_shared(fd: int) -> None:
    """Keep a data file from being taken for an orphan while it gets its second name.

    Raises:
        Busy: its writer, or a sweep, still has it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy from None


def open_data(folder: Folder, pointer: Pointer) -> int:
    """Raises:
    FileNotFoundError: it was replaced or deleted since the pointer was read.
    IntegrityError: it is not the file that the pointer describes.
    """
    with folder.part(DATA) as data:
        fd = open_regular(pointer.version, dir_fd=data)
    if os.fstat(fd).st_size != pointer.metadata.size_bytes:
        os.close(fd)
        raise IntegrityError("The object's data has another size than was written; restore or rewrite the object.")
    return fd


def publish(folder: Folder, pointer: Pointer, conditions: Conditions, disk: Disk) -> None:
    """Make an upload the object, under the locks of container and key. On any error but the last the data file is where it was or gone.

    Raises:
        Busy: nothing was changed.
        PreconditionFailedError, ContainerNotFoundError: the upload is still to be discarded.
        WriteOutcomeUnknownError: it is published, but may not survive a power cut.
    """
    with folder.locked(alone=False), folder.key_locked(pointer.key), folder.part(POINTERS) as pointers:
        old = current_version(pointer.key, pointers_fd=pointers)
        conditions.check(old)
        with folder.part(UPLOADS) as uploads, folder.part(DATA) as data:
            try:
                os.rename(pointer.version, pointer.version, src_dir_fd=uploads, dst_dir_fd=data)
            except FileNotFoundError:  # a live upload goes only with its container
                raise absent(folder.name) from None
            temporary = pointer.version + TEMPORARY_SUFFIX
            try:
                disk.fsync(data)
                disk.reached(Step.DATA_MOVED)
                _write_small(temporary, encode(pointer), dir_fd=uploads, disk=disk)
                disk.reached(Step.POINTER_PREPARED)
                home = _make_home(pointer.key, pointers_fd=pointers, disk=disk)
                try:
                    _put_in_place(temporary, pointer.key, uploads, home, disk, create=conditions.if_none_match)
                    disk.reached(Step.POINTER_PUBLISHED)
                    _sync_published(home, disk)
                finally:
                    os.close(home)
            except WriteOutcomeUnknownError:
                raise
            except BaseException:
                _remove(temporary, dir_fd=uploads)
                _remove(pointer.version, dir_fd=data)
                raise
            if old:
                _remove(old, dir_fd=data)
            disk.reached(Step.OLD_DATA_REMOVED)


def current_version(key: str, *, pointers_fd: int) -> str | None:
    """The version that is there; empty where its pointer is damaged: it exists, matches no etag, and can be replaced."""
    try:
        found = read_pointer(key, pointers_fd=pointers_fd)
    except IntegrityError:
        return ""
    return None if found is None else found.version


def _put_in_place(temporary: str, key: str, uploads: int, home: int, disk: Disk, *, create: bool) -> None:
    name = path_of(key)[-1]
    if not create:
        os.rename(temporary, name, src_dir_fd=uploads, dst_dir_fd=home)
        return
    try:
        disk.link(temporary, name, src_dir_fd=uploads, dst_dir_fd=home)
    except FileExistsError:
        raise PreconditionFailedError("The object exists already.") from None
    _remove(temporary, dir_fd=uploads)


def _sync_published(home: int, disk: Disk) -> None:
    """What was renamed or removed is seen already: a retry would meet its own work, so the error is not a retryable one."""
    try:
        disk.fsync(home)
    except OSError as exc:
        raise WriteOutcomeUnknownError(
            "The change is made, but the disk did not confirm it; look at the object before relying on it."
        ) from exc


def _make_home(key: str, *, pointers_fd: int, disk: Disk) -> int:
    """Descriptor of the folder of the key's pointer, which is made where it is missing (long keys only)."""
    fd = os.dup(pointers_fd)
    for name in path_of(key)[:-1]:
        try:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=fd)
                disk.fsync(fd)
            inner = os.open(name, FOLDER_FLAGS, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _write_small(name: str, content: bytes, *, dir_fd: int, disk: Disk) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    try:
        write_all(disk, fd, content)
        disk.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(name: str, content: bytes, *, dir_fd: int, temporary_fd: int, disk: Disk) -> None:
    """Replace a small file in one step."""
    temporary = new_version() + TEMPORARY_SUFFIX
    try:
        _write_small(temporary, content, dir_fd=temporary_fd, disk=disk)
        disk.reached(Step.MARKER_PREPARED)
        os.rename(temporary, name, src_dir_fd=temporary_fd, dst_dir_fd=dir_fd)
    except BaseException:
        _remove(temporary, dir_fd=temporary_fd)
        raise
    disk.fsync(dir_fd)


def remove_object(folder: Folder, key: str, conditions: Conditions, disk: Disk) -> None:
    """Delete an object in one step; absent is success, unless a condition wants it there.

    Raises:
        Busy, PreconditionFailedError, ContainerNotFoundError: nothing was changed.
        WriteOutcomeUnknownError: it is deleted, but may be back after a power cut.
    """
    with folder.locked(alone=False), folder.key_locked(key), folder.part(POINTERS) as pointers:
        old = current_version(key, pointers_fd=pointers)
        conditions.check(old)
        if old is None:
            return
        home = _make_home(key, pointers_fd=pointers, disk=disk)
        try:
            os.unlink(path_of(key)[-1], dir_fd=home)
            disk.reached(Step.POINTER_REMOVED)
            _sync_published(home, disk)
        finally:
            os.close(home)
        if old:
            with folder.part(DATA) as data:
                _remove(old, dir_fd=data)
        disk.reached(Step.DATA_REMOVED)


def _remove(name: str, *, dir_fd: int) -> None:
    """What cannot be removed now is an orphan, which the sweep gets."""
    with suppress(OSError):
        os.unlink(name, dir_fd=dir_fd)
