"""The one error tree. Everything that StowStore, its drivers and the reconcilers raise on purpose is here.

::

    StowError
    ├── InvalidInputError                 the request is wrong; it never becomes right by itself
    │   ├── InvalidKeyError               the key cannot be held under its own name
    │   ├── InvalidContainerNameError
    │   ├── InvalidReferenceError         not ``scheme://container/key`` of this store
    │   ├── InvalidCursorError            foreign, altered or expired cursor
    │   ├── InvalidMetadataError
    │   ├── InvalidArgumentError
    │   └── InvalidSpecError              a custom resource that no schema should have let through
    ├── NotFoundError
    │   ├── ObjectNotFoundError           the object is definitely absent, its container is there
    │   └── ContainerNotFoundError        the container is definitely absent
    ├── ContainerNotAllowedError          not the base container, not in the map, dynamic loading is off or refuses it
    ├── ContainerTakenError               the name exists and belongs to somebody else
    ├── ContainerNotEmptyError
    ├── PreconditionFailedError           If-Match, If-None-Match: * (HTTP 412)
    ├── NotModifiedError                  If-None-Match, If-Modified-Since on a read (HTTP 304)
    ├── RangeNotSatisfiableError
    ├── BodyError                         what was sent is not what was announced
    │   ├── BodyTooShortError
    │   ├── BodyTooLongError
    │   └── ChecksumMismatchError
    ├── LimitExceededError
    ├── UnsupportedError                  the backend has no such ability; refused before I/O
    │   └── LocalDisabledError            this process runs without a local root
    ├── CredentialsError
    │   ├── CredentialsMissingError       no Secret, or a key is missing in it
    │   ├── CredentialsInvalidError       the backend does not know them, or their form is wrong
    │   ├── UnsupportedCredentialTypeError
    │   ├── AmbientCredentialsForbiddenError
    │   └── AccessDeniedError             known, but not allowed
    │       └── SignedURLExpiredError     a genuine signature whose time is over
    ├── CABundleMissingError              no such Secret or ConfigMap, or it lacks the key
    ├── CABundleInvalidError              holds something else than certificates
    ├── EndpointForbiddenError            the address is on the deny list
    ├── ControlPlaneError                 the Kubernetes API server refused or did not answer; retryable
    │   └── ReviewUnavailableError        nothing can be said about who somebody is or what they may do: refuse
    └── BackendError                      nothing can be said about presence or absence
        ├── BackendUnreachableError       retryable
        ├── BackendTimeoutError           retryable
        ├── BackendThrottledError         retryable
        ├── BackendFailedError            5xx or an answer that makes no sense; retryable
        ├── WrongRegionError
        ├── IntegrityError                stored bytes are not what their checksum says
        └── WriteOutcomeUnknownError      the write may or may not have happened; never retried blindly

``code`` is the stable name that users see in problem documents and metrics. No message holds a secret, a token, a signed URL or text
that a backend sent: an answer is reduced to its HTTP status before it gets here.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import ClassVar, Final

_PLACES: Final = 5


class StowError(Exception):
    """Base of all. ``message`` is for the user: what is wrong, where, what to do.

    ``operation``, ``container`` and ``key`` are filled in by StowStore where the raiser does not know them.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        container: str | None = None,
        key: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.container = container
        self.key = key
        self.status = status
        """HTTP status of the backend's answer, where there was one."""

    def locate(self, *, operation: str, container: str | None = None, key: str | None = None) -> None:
        """Fill in where it happened; what is already known stays."""
        self.operation = self.operation or operation
        self.container = self.container or container
        self.key = self.key or key


class InvalidInputError(StowError):
    code = "invalid_argument"


class InvalidKeyError(InvalidInputError):
    code = "invalid_key"


class InvalidContainerNameError(InvalidInputError):
    code = "invalid_container_name"


class InvalidReferenceError(InvalidInputError):
    code = "invalid_reference"


class InvalidCursorError(InvalidInputError):
    code = "invalid_cursor"


class InvalidMetadataError(InvalidInputError):
    code = "invalid_metadata"


class InvalidArgumentError(InvalidInputError):
    code = "invalid_argument"


class InvalidSpecError(InvalidInputError):
    code = "invalid_spec"


class NotFoundError(StowError):
    code = "not_found"


class ObjectNotFoundError(NotFoundError):
    code = "object_not_found"


class ContainerNotFoundError(NotFoundError):
    code = "container_not_found"


class ContainerNotAllowedError(StowError):
    code = "container_not_allowed"


class ContainerTakenError(StowError):
    code = "container_taken"


class ContainerNotEmptyError(StowError):
    code = "container_not_empty"


class PreconditionFailedError(StowError):
    code = "precondition_failed"


class NotModifiedError(StowError):
    """A conditional read whose object has not changed. ``etag``, ``last_modified`` and ``cache_control`` belong into the 304."""

    code = "not_modified"

    def __init__(
        self, message: str, *, etag: str, last_modified: str | None = None, cache_control: str | None = None
    ) -> None:
        super().__init__(message)
        self.etag = etag
        self.cache_control = cache_control
        """As it is stored."""
        self.last_modified = last_modified
        """RFC 9110 HTTP-date."""


class RangeNotSatisfiableError(StowError):
    """``size_bytes`` is the object's whole size, for ``Content-Range: bytes */N``; None where it is not known."""

    code = "range_not_satisfiable"

    def __init__(self, message: str, *, size_bytes: int | None = None) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class BodyError(StowError):
    code = "invalid_body"


class BodyTooShortError(BodyError):
    code = "body_too_short"


class BodyTooLongError(BodyError):
    code = "body_too_long"


class ChecksumMismatchError(BodyError):
    code = "checksum_mismatch"


class LimitExceededError(StowError):
    code = "limit_exceeded"


class UnsupportedError(StowError):
    code = "unsupported"


class LocalDisabledError(UnsupportedError):
    code = "local_disabled"


class CredentialsError(StowError):
    code = "credentials"


class CredentialsMissingError(CredentialsError):
    code = "credentials_missing"


class CredentialsInvalidError(CredentialsError):
    code = "credentials_invalid"


class UnsupportedCredentialTypeError(CredentialsError):
    code = "unsupported_credential_type"


class AmbientCredentialsForbiddenError(CredentialsError):
    code = "ambient_credentials_forbidden"


class AccessDeniedError(CredentialsError):
    code = "access_denied"


class SignedURLExpiredError(AccessDeniedError):
    code = "signed_url_expired"


class CABundleMissingError(StowError):
    code = "ca_bundle_missing"


class CABundleInvalidError(StowError):
    code = "ca_bundle_invalid"


class EndpointForbiddenError(StowError):
    code = "endpoint_forbidden"


class ControlPlaneError(StowError):
    """``status`` is the API server's, None where it did not answer. Never says that an object is absent."""

    code = "control_plane"
    retryable = True


class ReviewUnavailableError(ControlPlaneError):
    code = "auth_unavailable"


class BackendError(StowError):
    code = "backend_failed"


class BackendUnreachableError(BackendError):
    code = "backend_unreachable"
    retryable = True


class BackendTimeoutError(BackendError):
    code = "backend_timeout"
    retryable = True


class BackendThrottledError(BackendError):
    code = "backend_throttled"
    retryable = True


class BackendFailedError(BackendError):
    code = "backend_failed"
    retryable = True


class WrongRegionError(BackendError):
    code = "wrong_region"


class IntegrityError(BackendError):
    code = "integrity"


class WriteOutcomeUnknownError(BackendError):
    code = "write_outcome_unknown"


def place_of(error: BaseException) -> str:
    """Class and innermost places of an unforeseen error, for logs: enough to find it, and no text of it, which may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    where = " < ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {where or '?'}"
