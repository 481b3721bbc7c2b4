"""The one edge where an ``OSError`` of the disk becomes an error of the tree. "Denied" and "broken" never become
"absent".

No message holds a path of the host or the system's own text: only what is wrong and what to do.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    BackendThrottledError,
    BackendUnreachableError,
    IntegrityError,
    InvalidKeyError,
    StowError,
)

_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_GONE: Final = frozenset({errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN})
_BUSY: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_FOREIGN: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT})


def translate(exc: OSError) -> StowError:
    """ENOENT reaches this only where a part of the layout itself is missing: what may be absent is caught where it is looked for."""
    code = exc.errno
    name = errno.errorcode.get(code, "unknown") if code is not None else "unknown"
    if code in _DENIED:
        return AccessDeniedError(f"The local folder refuses access ({name}); check its owner, mode and mount options.")
    if code in _FULL:
        return BackendFailedError(
            f"The disk of the local location is full ({name}); free or add space, then try again."
        )
    if code in _GONE:
        return BackendUnreachableError(f"The disk of the local location does not answer ({name}); check the mount.")
    if code in _BUSY:
        return BackendThrottledError(f"The process is out of files or memory ({name}); try again later.")
    if code == errno.ENAMETOOLONG:
        return InvalidKeyError("The key is too long for this file system; choose a shorter one.")
    if code in _FOREIGN:
        return IntegrityError(
            f"The local folder holds something that is not of its layout ({name}); look at it by hand."
        )
    return BackendFailedError(f"The disk of the local location failed ({name}).")


@contextmanager
def translated() -> Iterator[None]:
    """Raises: what :func:`translate` says, from the ``OSError``."""
    try:
        yield
    except OSError as exc:
        raise translate(exc) from exc
