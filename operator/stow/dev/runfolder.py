"""The temporary folder of one run: certificates, data and logs of everything that was started.

It refuses to be shared: mode 0700, a name of its own below the system's temporary folder. Its lock file is held
(shared) by the owner and by each supervisor; the kernel lets go of it however they end. So a folder whose lock can be
taken alone belongs to nobody, and the next run removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType

from stow.dev.failures import DevError

PREFIX = "stow-dev-"
LOCK = "lock"
UNLOCKED_AGE_S = 3600
"""A folder without a lock file is either microseconds old or left by a crash in those microseconds."""


class RunFolder:
    """A context manager; `path` exists until it is left."""

    def __init__(self, *, parent: Path | None = None) -> None:
        """Remove what earlier runs left in `parent` (default: the system's temporary folder), then create.

        Raises:
            DevError: the folder cannot be created.
        """
        parent = parent or Path(tempfile.gettempdir())
        sweep(parent)
        try:
            self.path, self._lock = _create(parent)
        except OSError as error:
            raise DevError(
                f"cannot create a run folder in {parent}: {error.strerror}; set TMPDIR to a writable folder"
            ) from error

    @property
    def lock_path(self) -> Path:
        return self.path / LOCK

    def folder(self, name: str) -> Path:
        """A folder below, created when it is asked for."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def remove(self) -> None:
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def _create(parent: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        # Another run's sweep may have taken the lock between open and flock, and removed the folder.
        with contextlib.suppress(FileNotFoundError):
            if (path / LOCK).stat().st_ino == os.fstat(lock).st_ino:
                return path, lock
        os.close(lock)


def sweep(parent: Path) -> list[Path]:
    """Remove the run folders of this user whose owner and supervisors are all gone; return them."""
    removed = []
    for path in sorted(parent.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            facts = path.lstat()
            if facts.st_uid == os.getuid() and path.is_dir() and not path.is_symlink() and _is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
    return removed


def _is_abandoned(path: Path) -> bool:
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - path.stat().st_mtime > UNLOCKED_AGE_S
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)
