"""Where a location's folder lies, and how to get there without leaving it.

``base`` is the operator's: it exists, and symbolic links on the way to it are the platform's business. Everything
below it is opened part by part, relative to the folder before and never through a symbolic link, so that nothing
planted there leads outside, not even in a race.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stow.errors import AccessDeniedError, BackendUnreachableError, InvalidSpecError

CLUSTER_TENANT: Final = "_cluster"
"""No namespace has that name: RFC 1123 labels hold no underscore."""
CONTAINER_FILE: Final = "stow-container-v1"
"""Makes a folder a container, names the layout's version, and is the container's lock."""

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TENANT = re.compile(r"_cluster|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


def resolve_root(local_root: Path, tenant: str, path: str) -> Path:
    """The folder of a location: ``<local_root>/<tenant>/<path>``. Pure.

    ``tenant`` is the namespace or ``_cluster``; ``path`` is relative, without ``.``, ``..``, empty or hidden parts (a leading dot is for
    unfinished containers). An empty path is the tenant's folder itself.

    Raises:
        InvalidSpecError: the path would leave the tenant's folder, or is not of that form.
    """
    if not _TENANT.fullmatch(tenant):
        raise InvalidSpecError("The folder of a local location belongs to a namespace; this is no namespace's name.")
    parts = path.split("/") if path else []
    if not all(_PART.fullmatch(part) for part in parts):
        raise InvalidSpecError(
            "spec.local.path is no relative path of parts of letters, digits, '_', '-' and '.', not beginning "
            "with '.'; it lies below the folder of its namespace and cannot leave it."
        )
    return local_root.joinpath(tenant, *parts)


@contextmanager
def open_folder(name: str, *, dir_fd: int) -> Iterator[int]:
    """Descriptor of a folder that is not a symbolic link."""
    fd = os.open(name, FOLDER_FLAGS, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Root:
    """A location's folder: ``parts`` below ``base``."""

    base: Path
    parts: tuple[str, ...]

    @classmethod
    def of(cls, root: Path, base: Path) -> Root:
        """Raises:
        InvalidSpecError: ``root`` is not ``base`` or below it, or they depend on the working directory.
        """
        if not base.is_absolute():
            raise InvalidSpecError("The operator's local root is not an absolute path; correct --local-root.")
        try:
            parts = root.relative_to(base).parts
        except ValueError:
            parts = ("..",)
        if ".." in parts:
            raise InvalidSpecError("The folder of a local location lies below the operator's local root.")
        return cls(base, parts)

    @contextmanager
    def opened(self, *, create: bool = False) -> Iterator[int | None]:
        """Descriptor of the root; None where it does not exist yet. ``create`` makes it, for the owner alone.

        Raises:
            BackendUnreachableError: the base itself is not there.
            AccessDeniedError: a part is a symbolic link, a file, or a container of another location.
        """
        with ExitStack() as stack:
            fd = self._base_fd()
            stack.callback(os.close, fd)
            for part in self.parts:
                if create:
                    _make(part, dir_fd=fd)
                try:
                    fd = stack.enter_context(open_folder(part, dir_fd=fd))
                except FileNotFoundError:
                    yield None
                    return
                except OSError as exc:
                    if exc.errno not in {errno.ELOOP, errno.ENOTDIR}:
                        raise
                    raise AccessDeniedError(
                        "A part of the location's path is a symbolic link or a file; make it a folder."
                    ) from exc
                if exists(CONTAINER_FILE, dir_fd=fd):
                    raise AccessDeniedError(
                        "The location's path leads into a container of another location; give it a path of its own."
                    )
            yield fd

    def _base_fd(self) -> int:
        try:
            return os.open(self.base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise BackendUnreachableError(
                "The operator's local root is not there; mount the volume or correct --local-root."
            ) from exc


def exists(name: str, *, dir_fd: int) -> bool:
    """Whether the name is taken, by whatever it be."""
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _make(part: str, *, dir_fd: int) -> None:
    try:
        os.mkdir(part, 0o700, dir_fd=dir_fd)
    except FileExistsError:
        return
    os.fsync(dir_fd)
