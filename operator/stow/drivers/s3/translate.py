"""The one edge where foreign errors become ours: S3's codes and statuses, aiohttp's and botocore's exceptions.

Invariant: no text of a backend, no URL and no header passes; an answer is reduced to its status and its code, and the code only chooses
the error. An answer that does not say "absent" never becomes absence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from botocore import exceptions as sdk

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
    CredentialsMissingError,
    InvalidArgumentError,
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
    """An answer that is no success. Stays inside the driver: :func:`answer_error` turns it into ours."""

    status: int
    code: str | None = None
    wrong_region: bool = False
    """The answer names another region than the configured one."""
    size_bytes: int | None = None
    """The object's size, where a 416 says it."""
    server: str = ""
    """The ``Server`` header: tells the dialect."""


Fault = tuple[type[StowError], str]

_DENIED: Final[Fault] = (
    AccessDeniedError,
    "The credentials are known, but they do not allow this. Grant the right to them.",
)
_UNKNOWN_KEYS: Final[Fault] = (
    CredentialsInvalidError,
    "The backend does not accept the credentials: check the access key id, the secret key and the session token.",
)
_WRONG_REGION: Final[Fault] = (
    WrongRegionError,
    "The backend serves this from another region than the configured one. Set the location's region to the container's.",
)
_THROTTLED: Final[Fault] = (BackendThrottledError, "The backend asks to slow down. Try again later.")
_FAILED: Final[Fault] = (BackendFailedError, "The backend failed. Try again later.")
_SKEWED: Final[Fault] = (
    BackendFailedError,
    "The backend's clock and the local one are too far apart. Synchronise both.",
)
_TIMEOUT: Final[Fault] = (
    BackendTimeoutError,
    "The backend did not get or did not answer the request in time. Try again later.",
)
_CONDITION: Final[Fault] = (PreconditionFailedError, "The object is not in the state that the condition asks for.")
_TAKEN: Final[Fault] = (
    ContainerTakenError,
    "A container of this name exists already. Choose another name, or load it.",
)
_DIGEST: Final[Fault] = (
    ChecksumMismatchError,
    "The body that arrived at the backend does not have its checksum. Send it again.",
)
_KEY: Final[Fault] = (InvalidKeyError, "The backend cannot hold this key. Choose another one.")
_LIMIT: Final[Fault] = (LimitExceededError, "The backend's size limit or quota does not allow this.")
_LACKING: Final[Fault] = (UnsupportedError, "The backend cannot do this.")
_REFUSED: Final[Fault] = (
    BackendError,
    "The backend refuses the request as malformed. Check the endpoint and the dialect.",
)
_REDIRECT: Final[Fault] = (
    BackendError,
    "The backend redirects to another place, which is never followed. Correct the endpoint.",
)

BY_CODE: Final[Mapping[str, Fault]] = {
    "NoSuchKey": (ObjectNotFoundError, "The object does not exist."),
    "NoSuchVersion": (ObjectNotFoundError, "The object does not exist."),
    "NoSuchBucket": (ContainerNotFoundError, "The container does not exist."),
    "NoSuchUpload": (BackendFailedError, "The backend lost the upload before it was complete. Send it again."),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": _DENIED,
    "InvalidAccessKeyId": _UNKNOWN_KEYS,
    "SignatureDoesNotMatch": _UNKNOWN_KEYS,
    "ExpiredToken": _UNKNOWN_KEYS,
    "InvalidToken": _UNKNOWN_KEYS,
    "InvalidTokenId": _UNKNOWN_KEYS,
    "InvalidSecurity": _UNKNOWN_KEYS,
    "TokenRefreshRequired": _UNKNOWN_KEYS,
    "NotSignedUp": _UNKNOWN_KEYS,
    "PermanentRedirect": _WRONG_REGION,
    "TemporaryRedirect": _WRONG_REGION,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "IllegalLocationConstraintException": _WRONG_REGION,
    "InvalidLocationConstraint": _WRONG_REGION,
    "InvalidRegion": _WRONG_REGION,
    "SlowDown": _THROTTLED,
    "SlowDownRead": _THROTTLED,
    "SlowDownWrite": _THROTTLED,
    "ServiceUnavailable": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "Throttling": _THROTTLED,
    "TooManyRequests": _THROTTLED,
    "InternalError": _FAILED,
    "OperationAborted": _FAILED,
    "RequestTimeout": _TIMEOUT,
    "RequestTimeTooSkewed": _SKEWED,
    "PreconditionFailed": _CONDITION,
    # Another write or delete of the same key ran at the same time and this one lost.
    "ConditionalRequestConflict": _CONDITION,
    "BucketAlreadyExists": _TAKEN,
    "BucketAlreadyOwnedByYou": _TAKEN,
    "BucketNotEmpty": (ContainerNotEmptyError, "The container still holds something."),
    "BadDigest": _DIGEST,
    "InvalidDigest": _DIGEST,
    "XAmzContentChecksumMismatch": _DIGEST,
    "XAmzContentSHA256Mismatch": _DIGEST,
    "KeyTooLongError": _KEY,
    "InvalidObjectName": _KEY,
    "InvalidURI": _KEY,
    "XMinioInvalidObjectName": _KEY,
    "XMinioInvalidResourceName": _KEY,
    "InvalidBucketName": (InvalidContainerNameError, "The backend does not allow this container name."),
    "EntityTooLarge": _LIMIT,
    "QuotaExceeded": _LIMIT,
    "XMinioAdminBucketQuotaExceeded": _LIMIT,
    "XMinioStorageFull": _LIMIT,
    "TooManyBuckets": _LIMIT,
    "MetadataTooLarge": (InvalidMetadataError, "The metadata is larger than the backend takes."),
    "InvalidObjectState": (UnsupportedError, "The object is archived. Restore it first."),
    "NotImplemented": _LACKING,
    "MethodNotAllowed": _LACKING,
}

BY_STATUS: Final[Mapping[int, Fault]] = {
    301: _REDIRECT,
    302: _REDIRECT,
    303: _REDIRECT,
    307: _REDIRECT,
    308: _REDIRECT,
    400: _REFUSED,
    401: _UNKNOWN_KEYS,
    403: _DENIED,
    404: (NotFoundError, "The object or its container does not exist."),
    405: _LACKING,
    408: _TIMEOUT,
    409: _FAILED,
    412: _CONDITION,
    413: _LIMIT,
    429: _THROTTLED,
    501: _LACKING,
    503: _THROTTLED,
    504: _TIMEOUT,
}


def may_have_happened(answer: AnswerError) -> bool:
    """Whether a write that was answered so may still have been done: a failure on the way, without a code that says what."""
    return answer.status in {500, 502, 504} and BY_CODE.get(answer.code or "", _FAILED) is _FAILED


def answer_error(answer: AnswerError, *, conditional: bool = False, container_only: bool = False) -> StowError:
    """``conditional``: the request had If-Match, so an absent object fails the condition. ``container_only``: no object was asked for."""
    if answer.wrong_region:
        kind, message = _WRONG_REGION
    elif answer.code is not None and answer.code in BY_CODE:
        kind, message = BY_CODE[answer.code]
    else:
        kind, message = BY_STATUS.get(answer.status, _FAILED if answer.status >= 500 else _REFUSED)
    if answer.status == 416:
        unsatisfiable = RangeNotSatisfiableError("No byte of the object is in the range.", size_bytes=answer.size_bytes)
        unsatisfiable.status = answer.status
        return unsatisfiable
    if conditional and issubclass(kind, NotFoundError) and kind is not ContainerNotFoundError:
        kind, message = _CONDITION
    if container_only and kind is NotFoundError:
        kind, message = ContainerNotFoundError, "The container does not exist."
    return kind(message, status=answer.status)


_UNREACHABLE: Final = (
    "The backend cannot be reached: the connection was refused or broke. Check the endpoint and the network."
)
_TRANSPORT: Final[tuple[tuple[type[BaseException], Fault], ...]] = (
    # First match wins: the special before the general.
    (aiohttp.ServerTimeoutError, _TIMEOUT),
    (TimeoutError, _TIMEOUT),
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
    (aiohttp.ClientConnectionError, (BackendUnreachableError, _UNREACHABLE)),
    (aiohttp.InvalidURL, (InvalidSpecError, "The endpoint is malformed: write http[s]://host[:port].")),
    (aiohttp.ClientPayloadError, (BackendUnreachableError, "The backend's answer broke off. Try again.")),
    (aiohttp.ClientError, (BackendFailedError, "The backend's answer is no valid HTTP. Check the endpoint.")),
    (
        sdk.NoCredentialsError,
        (CredentialsMissingError, "No credentials were found in the environment of the operator."),
    ),
    (sdk.PartialCredentialsError, (CredentialsMissingError, "The credentials in the environment are incomplete.")),
    (
        sdk.CredentialRetrievalError,
        (CredentialsInvalidError, "The credentials of the environment could not be fetched."),
    ),
    (sdk.MetadataRetrievalError, (CredentialsInvalidError, "The instance's credentials could not be fetched.")),
    (sdk.InvalidConfigError, (CredentialsInvalidError, "The SDK's configuration in the environment is wrong.")),
    (sdk.ProfileNotFound, (CredentialsInvalidError, "The SDK's profile in the environment does not exist.")),
    (sdk.ConfigNotFound, (CredentialsInvalidError, "The SDK's configuration in the environment is wrong.")),
    (sdk.ConfigParseError, (CredentialsInvalidError, "The SDK's configuration in the environment is wrong.")),
    (sdk.SSOError, (CredentialsInvalidError, "The single sign-on session of the environment is not usable.")),
    (sdk.UnauthorizedSSOTokenError, (CredentialsInvalidError, "The single sign-on session has expired.")),
    (sdk.ParamValidationError, (InvalidArgumentError, "The backend's SDK refuses an argument.")),
    (sdk.ConnectTimeoutError, _TIMEOUT),
    (sdk.ReadTimeoutError, _TIMEOUT),
    (sdk.HTTPClientError, (BackendUnreachableError, _UNREACHABLE)),
    (sdk.ConnectionError, (BackendUnreachableError, _UNREACHABLE)),
    (sdk.EndpointProviderError, (InvalidSpecError, "No endpoint is known for this region. Check region and endpoint.")),
    (sdk.NoRegionError, (InvalidSpecError, "The region is missing.")),
    (sdk.InvalidRegionError, (InvalidSpecError, "The region is malformed.")),
    (sdk.BotoCoreError, (BackendFailedError, "The backend's SDK failed.")),
    (OSError, (BackendUnreachableError, _UNREACHABLE)),
)


def transport_error(exc: BaseException) -> StowError | None:
    """Ours for a foreign exception; None for what is no transport's (a bug, which must show as one)."""
    if isinstance(exc, StowError):
        return exc
    if isinstance(exc, AnswerError):
        return answer_error(exc)
    if isinstance(exc, sdk.ClientError):
        error = exc.response.get("Error", {})
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        return answer_error(AnswerError(status=status, code=error.get("Code")))
    if isinstance(exc, asyncio.CancelledError):
        return None
    for kind, (error_type, message) in _TRANSPORT:
        if isinstance(exc, kind):
            return error_type(message)
    return None
