"""The folder of programs that were downloaded or built once.

`$XDG_CACHE_HOME/stow-operator`, else `~/.cache/stow-operator`; one folder for each program, version and platform. A
folder appears by one rename, so what is there is whole. A lock of the kernel (`flock`) lets one process fill the
cache at a time: the others wait, then find what they need.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from stow.dev.failures import DevError
from stow.dev.progress import Progress

LOCK_INTERVAL_S = 0.2
PARTIAL = ".partial-"
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def cache_root(environ: Mapping[str, str]) -> Path:
    """Raises:
    DevError: neither `XDG_CACHE_HOME` nor `HOME` is set to an absolute path.
    """
    # The XDG base directory specification says that a relative path is to be ignored.
    for variable, below in (("XDG_CACHE_HOME", ()), ("HOME", (".cache",))):
        value = environ.get(variable, "")
        if value.startswith("/"):
            return Path(value, *below, "stow-operator")
    raise DevError("no folder for the cache: set XDG_CACHE_HOME (or HOME) to an absolute path")


def platform_name() -> str:
    """As Go names it: `linux-amd64`."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"


class Cache:
    def __init__(self, root: Path, *, progress: Progress) -> None:
        self.root = root
        self._progress = progress

    def folder(self, name: str, version: str) -> Path:
        """Where this version of a program lies, or would."""
        return self.root / f"{name}-{version}-{platform_name()}"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one that fills the cache. Waits as long as the other one works: the kernel frees the lock when
        that one dies.

        Raises:
            DevError: the cache folder cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o755)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DevError(
                f"cannot write the cache {self.root}: {error.strerror}; set XDG_CACHE_HOME to a writable folder"
            ) from error
        try:
            if not _take(descriptor):
                with self._progress.step("waiting for another process that fills the cache") as tick:
                    while not _take(descriptor):
                        tick()
                        time.sleep(LOCK_INTERVAL_S)
            self._sweep()
            yield
        finally:
            os.close(descriptor)

    def fill(self, name: str, version: str, make: Callable[[Path], None]) -> Path:
        """Let `make` write a folder, and publish it by one rename; an existing one is replaced. Hold the lock.

        What `make` raises leaves nothing behind.
        """
        target = self.folder(name, version)
        work = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self.root))
        try:
            make(work)
            work.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            work.rename(target)
        finally:
            _remove(work)
        return target

    def _sweep(self) -> None:
        """Remove what a killed build left; nobody else can be building now."""
        for leftover in self.root.glob(f"{PARTIAL}*"):
            _remove(leftover)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
