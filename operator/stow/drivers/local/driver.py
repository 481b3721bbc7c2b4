"""The local driver: objects on a POSIX file system of this host, safe for several processes on one folder.

Each object is an immutable data file and a small pointer file that names it; ``folders.py`` draws the layout,
``uploads.py`` has the order of steps, ``keys.py`` the names. Publishing is one rename of the pointer (create-once is
``link(2)``), conditions hold among processes by ``flock``, and a reader keeps the version that it opened. Needs what
a local file system gives: rename, hard links, ``flock``, fsync; network file systems do not keep these promises and
are not supported.

Refuses: to leave its root, to follow a symbolic link below the operator's local root, to touch a folder that it did
not make.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from stow.drivers.local import containers, sweep, uploads
from stow.drivers.local.disk import Disk, HostDisk
from stow.drivers.local.folders import POINTERS, Folder, opened_container
from stow.drivers.local.listing import list_page
from stow.drivers.local.pointers import Pointer, read_pointer
from stow.drivers.local.roots import Root
from stow.drivers.local.stream import LocalStream
from stow.drivers.local.sweep import Swept
from stow.drivers.local.threads import Threads
from stow.drivers.local.uploads import Conditions, Upload
from stow.errors import (
    BackendFailedError,
    ContainerNotFoundError,
    IntegrityError,
    ObjectNotFoundError,
    RangeNotSatisfiableError,
    UnsupportedError,
)
from stow.storage.clock import Clock
from stow.storage.driver import Capabilities, SignRequest
from stow.storage.local_signing import LOCAL_BINDS, LocalSigner
from stow.storage.model import (
    ByteRange,
    ContainerContents,
    ContainerSettings,
    CopyOptions,
    Listing,
    Marker,
    Method,
    ObjectMetadata,
    SignedURL,
    WriteOptions,
)
from stow.storage.names import MAX_METADATA_BYTES, KeyRules

T = TypeVar("T")

_BLOCK_BYTES: Final = 256 * 1024
"""Small chunks of a body are joined to that before they go to a thread."""
_MAX_OBJECT_BYTES: Final = 16 * 1024**4
"""The largest file of ext4 with its usual blocks of 4 KiB."""
_MAX_SIGNED_EXPIRY_S: Final = 7 * 24 * 3600
"""As S3's SigV4 has it, so that what works here works there."""
_OPEN_TRIES: Final = 64
"""Each means that the object was replaced between two system calls."""
_NO_LINK: Final = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP})

ABANDONED_AFTER: Final = timedelta(hours=1)
"""What a sweep lets lie: a process may be between two steps that no lock covers."""


class LocalDriver:
    """Implements :class:`stow.storage.driver.Driver`.

    ``base`` is the operator's local root and must exist; ``root`` (see :func:`stow.drivers.local.roots.resolve_root`) lies below it and is
    made with the first container. ``workers`` bounds the threads, ``lock_timeout_s`` the wait for other writers.
    """

    def __init__(
        self,
        *,
        root: Path,
        base: Path,
        clock: Clock,
        signer: LocalSigner | None = None,
        disk: Disk | None = None,
        workers: int = 8,
        lock_timeout_s: float = 10.0,
    ) -> None:
        self._root = Root.of(root, base)
        self._identity = f"file://{base.resolve().joinpath(*self._root.parts)}"
        self._clock = clock
        self._signer = signer
        self._disk: Disk = HostDisk() if disk is None else disk
        self._threads = Threads(workers=workers, lock_timeout_s=lock_timeout_s)
        self._capabilities = Capabilities(
            dialect="Local",
            create_once=True,
            write_if_match=True,
            delete_if_match=True,
            content_md5=True,
            integrity="crc32c",
            server_side_copy=True,
            markers=True,
            marker_with_create=True,
            tags=False,
            versioning=False,
            expiry_rules=False,
            sign_methods=frozenset(Method) if signer is not None else frozenset(),
            sign_binds=LOCAL_BINDS if signer is not None else frozenset(),
            max_single_write_bytes=_MAX_OBJECT_BYTES,
            max_object_bytes=_MAX_OBJECT_BYTES,
            max_metadata_bytes=MAX_METADATA_BYTES,
            max_signed_expiry_s=_MAX_SIGNED_EXPIRY_S,
            keys=KeyRules(),
        )

    @property
    def scheme(self) -> str:
        return "file"

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def probe(self, container: str | None) -> None:  # noqa: ARG002  the root says all there is to say
        await self._threads.run(lambda: containers.probe(self._root))

    async def create_container(self, name: str, marker: Marker | None) -> None:
        await self._threads.run(lambda: containers.create(self._root, name, marker, self._disk))

    async def container_exists(self, name: str) -> bool:
        return await self._threads.run(lambda: containers.is_there(self._root, name))

    async def read_marker(self, name: str) -> Marker | None:
        return await self._threads.run(self._within(name, containers.read_marker))

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        await self._threads.when_free(
            self._within(name, lambda folder: containers.write_marker(folder, marker, self._disk))
        )

    async def container_contents(self, name: str) -> ContainerContents:
        return await self._threads.run(self._within(name, containers.contents))

    async def delete_container(self, name: str) -> None:
        await self._threads.when_free(lambda: containers.delete(self._root, name, self._disk))

    async def head(self, container: str, key: str) -> ObjectMetadata:
        pointer = await self._threads.run(self._within(container, lambda folder: _pointer(folder, key)))
        return pointer.metadata

    async def list(
        self, container: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
    ) -> Listing:
        gone = threading.Event()
        page = partial(list_page, prefix=prefix, delimiter=delimiter, limit=limit, token=token, gone=gone)
        return await self._threads.run(self._within(container, page), given_up=gone)

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> LocalStream:
        def step(folder: Folder) -> LocalStream:
            pointer, fd = _open(folder, key)
            size = pointer.metadata.size_bytes
            span = (0, size) if byte_range is None else byte_range.resolve(size)
            if span is None:
                os.close(fd)
                raise RangeNotSatisfiableError(f"The object has {size} bytes; none is in the range.", size_bytes=size)
            return LocalStream(self._threads, fd, pointer.metadata, *span)

        return await self._threads.run(self._within(container, step), undo=LocalStream.close)

    async def write(
        self,
        container: str,
        key: str,
        body: AsyncIterator[bytes],
        *,
        size_bytes: int | None,  # noqa: ARG002  the body is counted above
        options: WriteOptions,
    ) -> ObjectMetadata:
        conditions = Conditions(options.if_match, options.if_none_match)

        def begin(folder: Folder) -> Upload:
            if conditions != Conditions():  # checked again where it counts; here it saves the sender the body
                conditions.check(_version(folder, key))
            return uploads.open_upload(folder, self._disk)

        upload = await self._threads.run(
            self._within(container, begin), undo=lambda begun: self._abandon(container, begun)
        )
        try:
            await self._fill(upload, body)
            await self._threads.run(lambda: uploads.sync(upload, self._disk))
            pointer = upload.described(key, options.attributes, self._clock())
            await self._publish(container, pointer, conditions)
        except BaseException:
            await self._threads.finish(lambda: self._abandon(container, upload))
            raise
        await self._threads.finish(upload.close)
        return pointer.metadata

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        conditions = Conditions(if_match)
        step = self._within(container, lambda folder: uploads.remove_object(folder, key, conditions, self._disk))
        await self._threads.when_free(step)

    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        """By a second name for the immutable data file where the file system can, else by its bytes."""
        linked = await self._threads.when_free(
            lambda: self._link(source, destination[0], options.source_if_match),
            undo=lambda found: None if found is None else self._abandon(destination[0], found[1]),
        )
        if linked is None:
            return await self._copy_bytes(source, destination, options)
        pointer, upload = linked
        attributes = pointer.metadata.attributes if options.attributes is None else options.attributes
        metadata: ObjectMetadata = replace(
            pointer.metadata, etag=upload.version, last_modified=self._clock(), attributes=attributes
        )
        conditions = Conditions(options.if_match, options.if_none_match)
        try:
            await self._publish(destination[0], Pointer(destination[1], metadata), conditions)
        except BaseException:
            await self._threads.finish(lambda: self._abandon(destination[0], upload))
            raise
        await self._threads.finish(upload.close)
        return metadata

    async def sign(self, request: SignRequest) -> SignedURL:
        if self._signer is None:
            raise UnsupportedError("This location has no signing key.")
        return self._signer.sign(request)

    async def container_settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        """Containers have no settings here."""
        del asked
        if not await self.container_exists(name):
            raise ContainerNotFoundError("The container does not exist.")
        return ContainerSettings()

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        """No capability declares any of them."""
        del name, settings
        raise UnsupportedError("Containers of this backend have no tags, versions or expiry rules.")

    async def sweep(self, name: str) -> int:
        """What dead processes left in the container, and beside it in the root. A living writer holds locks, so an hour is generous."""
        inside = await self.sweep_orphans(name, older_than=ABANDONED_AFTER)
        beside = await self.sweep_unfinished_containers(older_than=ABANDONED_AFTER)
        return sum(each.uploads + each.data_files + each.folders for each in (inside, beside))

    async def sweep_orphans(self, container: str, *, older_than: timedelta) -> Swept:
        """Remove what dead processes left in a container and has not changed for ``older_than``. For the operator, now and then."""
        before_s = (self._clock() - older_than).timestamp()
        gone = threading.Event()
        step = partial(sweep.sweep_container, before_s=before_s, gone=gone)
        return await self._threads.run(self._within(container, step), given_up=gone)

    async def sweep_unfinished_containers(self, *, older_than: timedelta) -> Swept:
        """Remove containers that a process began to make or to delete and did not finish. Needs no container to exist."""
        before_s = (self._clock() - older_than).timestamp()

        def step() -> Swept:
            with self._root.opened() as fd:
                return Swept() if fd is None else sweep.sweep_root(fd, before_s=before_s)

        return await self._threads.run(step)

    async def aclose(self) -> None:
        self._threads.close()

    def _within(self, container: str, step: Callable[[Folder], T]) -> Callable[[], T]:
        def run() -> T:
            with opened_container(self._root, container) as folder:
                return step(folder)

        return run

    async def _fill(self, upload: Upload, body: AsyncIterator[bytes]) -> None:
        waiting: list[bytes] = []
        size = 0
        async for chunk in body:
            waiting.append(chunk)
            size += len(chunk)
            if size >= _BLOCK_BYTES:
                await self._threads.run(partial(uploads.append, upload, b"".join(waiting), self._disk))
                waiting, size = [], 0
        if waiting:
            await self._threads.run(partial(uploads.append, upload, b"".join(waiting), self._disk))

    async def _publish(self, container: str, pointer: Pointer, conditions: Conditions) -> None:
        step = self._within(container, lambda folder: uploads.publish(folder, pointer, conditions, self._disk))
        await self._threads.when_free(step)

    def _abandon(self, container: str, upload: Upload) -> None:
        """End an upload that is not to be. Its file goes first, while the lock still says that it is alive."""
        try:
            with opened_container(self._root, container) as folder:
                uploads.discard(folder, upload.version)
        finally:
            upload.close()

    def _link(
        self, source: tuple[str, str], destination: str, source_if_match: str | None
    ) -> tuple[Pointer, Upload] | None:
        with opened_container(self._root, source[0]) as home, opened_container(self._root, destination) as target:
            for _ in range(_OPEN_TRIES):
                pointer, fd = _open(home, source[1])
                try:
                    Conditions(source_if_match).check(pointer.version)
                    uploads.lock_shared(fd)
                    return pointer, Upload(uploads.link_upload(target, fd, home, pointer.version, self._disk), fd)
                except FileNotFoundError:
                    os.close(fd)  # replaced since it was opened
                except OSError as exc:
                    os.close(fd)
                    if exc.errno in _NO_LINK:
                        return None
                    raise
                except BaseException:
                    os.close(fd)
                    raise
        raise _restless()

    async def _copy_bytes(
        self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions
    ) -> ObjectMetadata:
        async with await self.read(*source, None) as stream:
            Conditions(options.source_if_match).check(stream.metadata.etag)
            attributes = stream.metadata.attributes if options.attributes is None else options.attributes
            written = WriteOptions(
                attributes=attributes, if_match=options.if_match, if_none_match=options.if_none_match
            )
            return await self.write(*destination, aiter(stream), size_bytes=stream.metadata.size_bytes, options=written)


def _pointer(folder: Folder, key: str) -> Pointer:
    with folder.part(POINTERS) as pointers:
        pointer = read_pointer(key, pointers_fd=pointers)
    if pointer is None:
        raise ObjectNotFoundError("The object does not exist.", container=folder.name)
    return pointer


def _version(folder: Folder, key: str) -> str | None:
    with folder.part(POINTERS) as pointers:
        return uploads.current_version(key, pointers_fd=pointers)


def _open(folder: Folder, key: str) -> tuple[Pointer, int]:
    """Pointer and data of one version, whatever is replaced meanwhile.

    Raises:
        ObjectNotFoundError.
        IntegrityError: the pointer stays, but its data file is missing.
    """
    last = None
    for _ in range(_OPEN_TRIES):
        pointer = _pointer(folder, key)
        try:
            return pointer, uploads.open_data(folder, pointer)
        except FileNotFoundError:
            if pointer.version == last:
                raise IntegrityError("The object's data file is missing; restore or rewrite the object.") from None
            last = pointer.version
    raise _restless()


def _restless() -> BackendFailedError:
    return BackendFailedError("The object is replaced too fast to be read; try again.")
