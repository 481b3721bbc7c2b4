"""The local ends of a transfer: files, pipes and terminals that bytes come from and go to.

What may block for ever (a pipe, a terminal) is read and written on daemon threads by file descriptor, so that Ctrl-C never waits for
it. A source gives exactly the size that it announced, or fails before its last byte is out. A file is written whole or not at all;
what is no regular file (``/dev/null``, a named pipe) is written in place.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

from stow.cli.exits import CommandError, Exit

T = TypeVar("T")
CHUNK_BYTES: Final = 256 * 1024
STANDARD: Final = "-"
"""Standard input or output, in place of a file's name."""


@dataclass(frozen=True, slots=True)
class Source:
    """An open file. ``size_bytes`` is None for what has no size before its end; only what has one can be read twice."""

    name: str
    descriptor: int
    size_bytes: int | None

    def content_md5(self) -> str:
        """The value of a Content-MD5 header; reads the file from its beginning and goes back there."""
        digest = hashlib.md5(usedforsecurity=False)
        with _naming(self.name):
            os.lseek(self.descriptor, 0, os.SEEK_SET)
            while chunk := os.read(self.descriptor, CHUNK_BYTES):
                digest.update(chunk)
            os.lseek(self.descriptor, 0, os.SEEK_SET)
        return b64encode(digest.digest()).decode()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content. Of a sized source the last chunk is held back until the file's end is seen.

        Raises:
            CommandError: it cannot be read, or has another size than it had when it was opened.
        """
        sent, held = 0, b""
        while chunk := await self._read():
            if self.size_bytes is None:
                yield chunk
                continue
            if held:
                yield held
            held, sent = chunk, sent + len(chunk)
            if sent > self.size_bytes:
                raise self._changed()
        if self.size_bytes is not None and sent != self.size_bytes:
            raise self._changed()
        if held:
            yield held

    async def _read(self) -> bytes:
        with _naming(self.name):
            if self.size_bytes is None:
                return await on_daemon_thread(lambda: os.read(self.descriptor, CHUNK_BYTES))
            return os.read(self.descriptor, CHUNK_BYTES)

    def _changed(self) -> CommandError:
        return CommandError(
            f"{self.name} changed its size while it was sent; nothing was stored. To send a growing file, pipe it to `stow put -`.",
            exit_code=Exit.FAILED,
        )


@contextlib.contextmanager
def opened_source(name: str) -> Iterator[Source]:
    """A file, or standard input for ``-``.

    Raises:
        CommandError: there is none that can be read.
    """
    if name == STANDARD:
        if sys.stdin is None:
            raise CommandError("Standard input is closed.", exit_code=Exit.USAGE)
        descriptor, close = sys.stdin.fileno(), False
    else:
        with _naming(name, exit_code=Exit.USAGE):
            descriptor, close = os.open(name, os.O_RDONLY | os.O_CLOEXEC), True
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise CommandError(f"{name} is a folder; put its files one by one.", exit_code=Exit.USAGE)
        sized = close and stat.S_ISREG(found.st_mode)
        yield Source("standard input" if name == STANDARD else name, descriptor, found.st_size if sized else None)
    finally:
        if close:
            os.close(descriptor)


async def to_standard_output(chunks: AsyncIterator[bytes]) -> None:
    """Raises:
    CommandError: standard output is closed.
    BrokenPipeError: its reader went away.
    """
    if sys.stdout is None:  # a socket may have its number by now
        raise CommandError("Standard output is closed.", exit_code=Exit.USAGE)
    descriptor = sys.stdout.fileno()
    async for chunk in chunks:
        with _naming("standard output"):
            await on_daemon_thread(lambda data=chunk: _write_all(descriptor, data))  # type: ignore[misc]  # mypy infers no default arguments


async def to_file(chunks: AsyncIterator[bytes], path: Path) -> int:
    """Returns the bytes written. A failure leaves what was there.

    Raises:
        CommandError: it cannot be written.
    """
    path, regular = _destination(path)
    if not regular:
        return await _in_place(chunks, path)
    written = 0
    with _whole_file(path) as file:
        async for chunk in chunks:
            with _naming(str(path)):
                written += file.write(chunk)
    return written


def _destination(path: Path) -> tuple[Path, bool]:
    """Where a symbolic link leads, and whether a regular file is there or may be made there."""
    with _naming(str(path)):
        found = path.resolve() if path.is_symlink() else path
        return found, found.is_file() or not found.exists()


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file beside ``path`` that takes its place, with its mode, when the block ends well, and goes when it does not."""
    with _naming(str(path)):
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
        descriptor, name = tempfile.mkstemp(prefix=".stow-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            with _naming(str(path)):
                os.fchmod(file.fileno(), mode)
                file.flush()
        with _naming(str(path)):
            Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)
        raise


async def _in_place(chunks: AsyncIterator[bytes], path: Path) -> int:
    descriptor = await on_daemon_thread(lambda: os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    written = 0
    try:
        async for chunk in chunks:
            await on_daemon_thread(lambda data=chunk: _write_all(descriptor, data))  # type: ignore[misc]  # as above
            written += len(chunk)
    finally:
        os.close(descriptor)
    return written


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _naming(name: str, *, exit_code: Exit = Exit.FAILED) -> Iterator[None]:
    """An OSError of this file as a CommandError that names it; a reader that went away stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise CommandError(f"{name}: {reason}.", exit_code=exit_code) from error


async def on_daemon_thread(call: Callable[[], T]) -> T:
    """Run a call that may block for ever. A cancelled caller leaves at once; the thread ends with the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # T may be None itself

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, daemon=True).start()
    return await done
