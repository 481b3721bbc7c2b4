"""What goes wrong at a backend, in our words: the faults that all kinds know, by HTTP status and by exception of the HTTP client.

A driver adds a table of its kind's codes. Invariant: no text of a backend, no URL and no header passes; an answer is reduced to its
status and its code, and the code only chooses the error. An answer that does not say "absent" never becomes absence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from stow.errors import (
    AccessDeniedError,
    BackendError,
    BackendFailedError,
    BackendThrottledError,
    BackendTimeoutError,
    BackendUnreachableError,
    ChecksumMismatchError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ContainerTakenError,
    CredentialsInvalidError,
    InvalidContainerNameError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidSpecError,
    LimitExceededError,
    NotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    StowError,
    UnsupportedError,
    WrongRegionError,
)


@dataclass(slots=True)
class AnswerError(Exception):
    """An answer that is no success. Stays inside the driver: :func:`judged` turns it into ours."""

    status: int
    code: str | None = None
    wrong_region: bool = False
    """The answer names another region than the configured one."""
    size_bytes: int | None = None
    """The object's size, where a 416 says it."""
    server: str = ""
    """The ``Server`` header: may tell the dialect."""
    retry_after_s: float | None = None
    """What ``Retry-After`` asks for."""
    before_body: bool = False
    """It came before all of the request's body was handed over, so nothing can have been written."""


Fault = tuple[type[StowError], str]

DENIED: Final[Fault] = (
    AccessDeniedError,
    "The credentials are known, but they do not allow this. Grant the right to them.",
)
UNKNOWN_CREDENTIALS: Final[Fault] = (
    CredentialsInvalidError,
    "The backend does not accept the credentials: they are wrong, revoked or expired.",
)
WRONG_REGION: Final[Fault] = (
    WrongRegionError,
    "The backend serves this from another region than the configured one. Set the location's region to the container's.",
)
THROTTLED: Final[Fault] = (BackendThrottledError, "The backend asks to slow down. Try again later.")
FAILED: Final[Fault] = (BackendFailedError, "The backend failed. Try again later.")
TIMEOUT: Final[Fault] = (
    BackendTimeoutError,
    "The backend did not get or did not answer the request in time. Try again later.",
)
CONDITION: Final[Fault] = (PreconditionFailedError, "The object is not in the state that the condition asks for.")
TAKEN: Final[Fault] = (
    ContainerTakenError,
    "A container of this name exists already. Choose another name, or load it.",
)
NOT_EMPTY: Final[Fault] = (ContainerNotEmptyError, "The container still holds something.")
DIGEST: Final[Fault] = (
    ChecksumMismatchError,
    "The body that arrived at the backend does not have its checksum. Send it again.",
)
KEY: Final[Fault] = (InvalidKeyError, "The backend cannot hold this key. Choose another one.")
CONTAINER_NAME: Final[Fault] = (InvalidContainerNameError, "The backend does not allow this container name.")
LIMIT: Final[Fault] = (LimitExceededError, "The backend's size limit or quota does not allow this.")
LACKING: Final[Fault] = (UnsupportedError, "The backend cannot do this.")
METADATA: Final[Fault] = (InvalidMetadataError, "The metadata is larger than the backend takes.")
LOST_UPLOAD: Final[Fault] = (BackendFailedError, "The backend lost the upload before it was complete. Send it again.")
SKEWED: Final[Fault] = (
    BackendFailedError,
    "The backend's clock and the local one are too far apart. Synchronise both.",
)
NO_OBJECT: Final[Fault] = (ObjectNotFoundError, "The object does not exist.")
NO_CONTAINER: Final[Fault] = (ContainerNotFoundError, "The container does not exist.")
REFUSED: Final[Fault] = (
    BackendError,
    "The backend refuses the request as malformed. Check the endpoint and the dialect.",
)
REDIRECT: Final[Fault] = (
    BackendError,
    "The backend redirects to another place, which is never followed. Correct the endpoint.",
)
UNREACHABLE: Final[Fault] = (
    BackendUnreachableError,
    "The backend cannot be reached: the connection was refused or broke. Check the endpoint and the network.",
)

BY_STATUS: Final[Mapping[int, Fault]] = {
    301: REDIRECT,
    302: REDIRECT,
    303: REDIRECT,
    307: REDIRECT,
    308: REDIRECT,
    400: REFUSED,
    401: UNKNOWN_CREDENTIALS,
    403: DENIED,
    404: (NotFoundError, "The object or its container does not exist."),
    405: LACKING,
    408: TIMEOUT,
    409: FAILED,
    412: CONDITION,
    413: LIMIT,
    429: THROTTLED,
    501: LACKING,
    503: THROTTLED,
    504: TIMEOUT,
}


def judged(
    answer: AnswerError,
    by_code: Mapping[str, Fault],
    *,
    by_status: Mapping[int, Fault] = BY_STATUS,
    conditional: bool = False,
    container_only: bool = False,
) -> StowError:
    """``conditional``: the request had If-Match, so an absent object fails the condition. ``container_only``: no object was asked for."""
    if answer.wrong_region:
        kind, message = WRONG_REGION
    elif answer.code is not None and answer.code in by_code:
        kind, message = by_code[answer.code]
    else:
        kind, message = by_status.get(answer.status, FAILED if answer.status >= 500 else REFUSED)
    if answer.status == 416:
        unsatisfiable = RangeNotSatisfiableError("No byte of the object is in the range.", size_bytes=answer.size_bytes)
        unsatisfiable.status = answer.status
        return unsatisfiable
    if conditional and issubclass(kind, NotFoundError) and kind is not ContainerNotFoundError:
        kind, message = CONDITION
    if container_only and kind is NotFoundError:
        kind, message = NO_CONTAINER
    return kind(message, status=answer.status)


def may_have_happened(answer: AnswerError, by_code: Mapping[str, Fault]) -> bool:
    """Whether a write that was answered so may still have been done: a failure on the way, without a code that says what."""
    return answer.status in {500, 502, 504} and by_code.get(answer.code or "", FAILED) is FAILED


_TRANSPORT: Final[tuple[tuple[type[BaseException], Fault], ...]] = (
    # First match wins: the special before the general.
    (aiohttp.ServerTimeoutError, TIMEOUT),
    (TimeoutError, TIMEOUT),
    (
        aiohttp.ClientConnectorDNSError,
        (BackendUnreachableError, "The endpoint's name does not resolve. Check the endpoint."),
    ),
    (
        aiohttp.ClientConnectorCertificateError,
        (
            BackendUnreachableError,
            "The endpoint's certificate is not trusted. Give the location the CA that signed it.",
        ),
    ),
    (aiohttp.ClientSSLError, (BackendUnreachableError, "TLS with the endpoint failed. Check its scheme and port.")),
    (
        aiohttp.ServerFingerprintMismatch,
        (BackendUnreachableError, "The endpoint's certificate is not the expected one."),
    ),
    (aiohttp.ClientConnectionError, UNREACHABLE),
    (aiohttp.InvalidURL, (InvalidSpecError, "The endpoint is malformed: write http[s]://host[:port].")),
    (aiohttp.ClientPayloadError, (BackendUnreachableError, "The backend's answer broke off. Try again.")),
    (aiohttp.ClientError, (BackendFailedError, "The backend's answer is no valid HTTP. Check the endpoint.")),
    (OSError, UNREACHABLE),
)


def transport_error(exc: BaseException) -> StowError | None:
    """Ours for an exception of the HTTP client; None for what is no transport's (a bug, which must show as one)."""
    if isinstance(exc, StowError):
        return exc
    if isinstance(exc, asyncio.CancelledError):
        return None
    return by_type(exc, _TRANSPORT)


def by_type(exc: BaseException, table: tuple[tuple[type[BaseException], Fault], ...]) -> StowError | None:
    """The fault of the first class in the table that the exception is an instance of."""
    for kind, (error_type, message) in table:
        if isinstance(exc, kind):
            return error_type(message)
    return None


def ours(exc: BaseException) -> StowError:
    """The same, for ``raise ours(exc) from exc``: what is no transport's is raised as it is."""
    error = transport_error(exc)
    if error is None:
        raise exc
    return error


class UnauthorizedError(Exception):
    """No credentials could be had for a request, so it did not go out. Stays inside the transport; ``error`` says why."""

    def __init__(self, error: StowError) -> None:
        super().__init__()
        self.error = error


def nothing_was_sent(error: BaseException) -> bool:
    """Whether the request never went out, so that the backend cannot have acted."""
    return isinstance(
        error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | UnauthorizedError
    )
