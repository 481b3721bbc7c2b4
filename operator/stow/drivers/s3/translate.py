"""The one edge where foreign errors become ours: S3's codes, and botocore's exceptions. What all kinds share is in stow.transport.faults.

Invariant: no text of a backend, no URL and no header passes; an answer is reduced to its status and its code, and the code only chooses
the error. An answer that does not say "absent" never becomes absence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from stow.errors import (
    BackendFailedError,
    BackendThrottledError,
    BackendUnreachableError,
    CredentialsInvalidError,
    CredentialsMissingError,
    InvalidArgumentError,
    InvalidSpecError,
    StowError,
    UnsupportedError,
)
from stow.transport import faults
from stow.transport.faults import (
    BY_STATUS,
    CONDITION,
    CONTAINER_NAME,
    DENIED,
    DIGEST,
    FAILED,
    KEY,
    LACKING,
    LIMIT,
    LOST_UPLOAD,
    METADATA,
    NO_CONTAINER,
    NO_OBJECT,
    NOT_EMPTY,
    SKEWED,
    TAKEN,
    THROTTLED,
    TIMEOUT,
    UNREACHABLE,
    WRONG_REGION,
    AnswerError,
    Fault,
    by_type,
    judged,
)

UNKNOWN_KEYS: Final[Fault] = (
    CredentialsInvalidError,
    "The backend does not accept the credentials: check the access key id, the secret key and the session token.",
)
BY_CODE: Final[Mapping[str, Fault]] = {
    "NoSuchKey": NO_OBJECT,
    "NoSuchVersion": NO_OBJECT,
    "NoSuchBucket": NO_CONTAINER,
    "NoSuchUpload": LOST_UPLOAD,
    "AccessDenied": DENIED,
    "AllAccessDisabled": DENIED,
    "AccountProblem": DENIED,
    "InvalidAccessKeyId": UNKNOWN_KEYS,
    "SignatureDoesNotMatch": UNKNOWN_KEYS,
    "ExpiredToken": UNKNOWN_KEYS,
    "InvalidToken": UNKNOWN_KEYS,
    "InvalidTokenId": UNKNOWN_KEYS,
    "InvalidSecurity": UNKNOWN_KEYS,
    "TokenRefreshRequired": UNKNOWN_KEYS,
    "NotSignedUp": UNKNOWN_KEYS,
    "PermanentRedirect": WRONG_REGION,
    "TemporaryRedirect": WRONG_REGION,
    "AuthorizationHeaderMalformed": WRONG_REGION,
    "IllegalLocationConstraintException": WRONG_REGION,
    "InvalidLocationConstraint": WRONG_REGION,
    "InvalidRegion": WRONG_REGION,
    "SlowDown": THROTTLED,
    "SlowDownRead": THROTTLED,
    "SlowDownWrite": THROTTLED,
    "ServiceUnavailable": THROTTLED,
    "RequestLimitExceeded": THROTTLED,
    "Throttling": THROTTLED,
    "TooManyRequests": THROTTLED,
    "InternalError": FAILED,
    "OperationAborted": FAILED,
    "RequestTimeout": TIMEOUT,
    "RequestTimeTooSkewed": SKEWED,
    "PreconditionFailed": CONDITION,
    # Another write or delete of the same key ran at the same time and this one lost.
    "ConditionalRequestConflict": CONDITION,
    "BucketAlreadyExists": TAKEN,
    "BucketAlreadyOwnedByYou": TAKEN,
    "BucketNotEmpty": NOT_EMPTY,
    "BadDigest": DIGEST,
    "InvalidDigest": DIGEST,
    "XAmzContentChecksumMismatch": DIGEST,
    "XAmzContentSHA256Mismatch": DIGEST,
    "KeyTooLongError": KEY,
    "InvalidObjectName": KEY,
    "InvalidURI": KEY,
    "DirectoryObjectContainsData": KEY,  # these three of versitygw, whose keys are paths of files
    "ExistingObjectIsDirectory": KEY,
    "ObjectParentIsFile": KEY,
    "XMinioInvalidObjectName": KEY,
    "XMinioInvalidResourceName": KEY,
    "InvalidBucketName": CONTAINER_NAME,
    "EntityTooLarge": LIMIT,
    "QuotaExceeded": LIMIT,
    "XMinioAdminBucketQuotaExceeded": LIMIT,
    "XMinioStorageFull": LIMIT,
    "TooManyBuckets": LIMIT,
    "MetadataTooLarge": METADATA,
    "InvalidObjectState": (UnsupportedError, "The object is archived. Restore it first."),
    "InvalidTag": (InvalidArgumentError, "The backend does not take these tags."),
    "NotImplemented": LACKING,
    "MethodNotAllowed": LACKING,
}

_BY_STATUS: Final = {**BY_STATUS, 401: UNKNOWN_KEYS}


def answer_error(answer: AnswerError, *, conditional: bool = False, container_only: bool = False) -> StowError:
    """See :func:`stow.transport.faults.judged`."""
    return judged(answer, BY_CODE, by_status=_BY_STATUS, conditional=conditional, container_only=container_only)


def may_have_happened(answer: AnswerError) -> bool:
    """See :func:`stow.transport.faults.may_have_happened`."""
    return faults.may_have_happened(answer, BY_CODE)


_SDK: Final[tuple[tuple[type[BaseException], Fault], ...]] = (
    # First match wins: the special before the general.
    (
        sdk.NoCredentialsError,
        (CredentialsMissingError, "No credentials were found in the environment of the operator."),
    ),
    (sdk.PartialCredentialsError, (CredentialsMissingError, "The credentials in the environment are incomplete.")),
    (
        sdk.CredentialRetrievalError,
        (CredentialsInvalidError, "The credentials of the environment could not be fetched."),
    ),
    (
        sdk.MetadataRetrievalError,
        (CredentialsInvalidError, "The credentials of the container or the instance could not be fetched."),
    ),
    (sdk.InvalidConfigError, (CredentialsInvalidError, "The SDK's configuration in the environment is wrong.")),
    (sdk.ProfileNotFound, (CredentialsInvalidError, "The SDK's profile in the environment does not exist.")),
    (sdk.ConfigNotFound, (CredentialsInvalidError, "The SDK's configuration in the environment is wrong.")),
    (sdk.ConfigParseError, (CredentialsInvalidError, "The SDK's configuration in the environment is wrong.")),
    (sdk.SSOError, (CredentialsInvalidError, "The single sign-on session of the environment is not usable.")),
    (sdk.UnauthorizedSSOTokenError, (CredentialsInvalidError, "The single sign-on session has expired.")),
    (sdk.ParamValidationError, (InvalidArgumentError, "The backend's SDK refuses an argument.")),
    (sdk.ConnectTimeoutError, TIMEOUT),
    (sdk.ReadTimeoutError, TIMEOUT),
    (sdk.HTTPClientError, UNREACHABLE),
    (sdk.ConnectionError, UNREACHABLE),
    (sdk.EndpointProviderError, (InvalidSpecError, "No endpoint is known for this region. Check region and endpoint.")),
    (sdk.NoRegionError, (InvalidSpecError, "The region is missing.")),
    (sdk.InvalidRegionError, (InvalidSpecError, "The region is malformed.")),
    (ResponseParserError, (BackendFailedError, "The backend answered with something that is no answer.")),
    (sdk.BotoCoreError, (BackendFailedError, "The backend's SDK failed.")),
)


def sdk_error(exc: BaseException) -> StowError | None:
    """Ours for what comes out of a call of the SDK; None for what is neither its own nor the transport's (a bug)."""
    if isinstance(exc, AnswerError):
        return answer_error(exc)
    if isinstance(exc, sdk.ClientError):
        error = exc.response.get("Error", {})
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        return answer_error(AnswerError(status=status, code=error.get("Code")))
    return by_type(exc, _SDK) or faults.transport_error(exc)


_NO_SERVICE: Final[Fault] = (
    BackendUnreachableError,
    "The service that gives the operator's environment its credentials cannot be reached.",
)
_ROLE_REFUSED: Final[Fault] = (
    CredentialsInvalidError,
    "The web identity of the operator's environment was refused: check the role, its trust policy and the token.",
)


def credential_error(exc: BaseException) -> StowError | None:
    """The same for what fetches the environment's credentials: a failure there says nothing about the backend."""
    if isinstance(exc, sdk.ClientError):
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        error = sdk_error(exc)
        if status >= 500 or isinstance(error, BackendThrottledError):
            return error
        kind, message = _ROLE_REFUSED
        return kind(message, status=status)
    error = sdk_error(exc)
    if isinstance(error, BackendUnreachableError):
        kind, message = _NO_SERVICE
        return kind(message)
    return error


def refused_container(status: int) -> StowError:
    """Ours for an answer of the container's endpoint that gives no keys."""
    if status >= 500 or status == 429:
        return BackendFailedError("The container's credential service failed. Try again later.", status=status)
    return CredentialsInvalidError("The container's credential service refused the operator.", status=status)
