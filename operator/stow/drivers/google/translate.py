"""Google's errors in ours: the codes of the XML API, the reasons of the JSON API, and exceptions of the SDKs. What all kinds share is in
stow.transport.faults.

Invariant: no text of a backend, no URL and no header passes; an answer is reduced to its status and its code, and the code only chooses
the error. An answer that does not say "absent" never becomes absence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    CredentialsInvalidError,
    InvalidSpecError,
    LimitExceededError,
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
    REDIRECT,
    REFUSED,
    SKEWED,
    TAKEN,
    THROTTLED,
    TIMEOUT,
    UNKNOWN_CREDENTIALS,
    UNREACHABLE,
    AnswerError,
    Fault,
    by_type,
    judged,
)
from stow.transport.xml import error_code

HELD: Final[Fault] = (
    AccessDeniedError,
    "A retention policy, a hold or a lock of the bucket keeps the object as it is. Wait for its end, or lift it.",
)
REQUESTER_PAYS: Final[Fault] = (
    UnsupportedError,
    "The bucket lets requesters pay, which is not supported. Switch that off on the bucket.",
)
PROJECT: Final[Fault] = (
    InvalidSpecError,
    "Google does not accept the project. Check the location's project, and that its account is active.",
)
POLICY: Final[Fault] = (AccessDeniedError, "A policy of the Google organization forbids this. Ask its administrators.")
ENCRYPTED: Final[Fault] = (
    UnsupportedError,
    "The object is encrypted with a key of its own that requests would have to carry, which is not supported.",
)
KMS: Final[Fault] = (AccessDeniedError, "The bucket's Cloud KMS key cannot be used. Check the key and its permissions.")

_XML: Final[Mapping[str, Fault]] = {
    "NoSuchKey": NO_OBJECT,
    "NoSuchBucket": NO_CONTAINER,
    "NoSuchUpload": LOST_UPLOAD,
    "AccessDenied": DENIED,
    "AccountProblem": DENIED,
    "InsufficientScope": DENIED,
    "NotSignedUp": UNKNOWN_CREDENTIALS,
    "AuthenticationRequired": UNKNOWN_CREDENTIALS,
    "ExpiredToken": UNKNOWN_CREDENTIALS,
    "InvalidSecurity": UNKNOWN_CREDENTIALS,
    "InvalidToken": UNKNOWN_CREDENTIALS,
    "SignatureDoesNotMatch": UNKNOWN_CREDENTIALS,
    "MissingSecurityHeader": UNKNOWN_CREDENTIALS,
    "RequestTimeTooSkewed": SKEWED,
    "PreconditionFailed": CONDITION,
    "BucketAlreadyExists": TAKEN,
    "BucketAlreadyOwnedByYou": TAKEN,
    "BucketNameUnavailable": TAKEN,
    "BucketNotEmpty": NOT_EMPTY,
    "TooManyBuckets": LIMIT,
    "InvalidBucketName": CONTAINER_NAME,
    "KeyTooLong": KEY,
    "InvalidURI": KEY,
    "InvalidObjectName": KEY,
    "BadDigest": DIGEST,
    "CrcMismatch": DIGEST,
    "InvalidDigest": DIGEST,
    "MetadataTooLarge": METADATA,
    "EntityTooLarge": LIMIT,
    "QuotaExceeded": LIMIT,
    "SlowDown": THROTTLED,
    "ServiceUnavailable": THROTTLED,
    "InternalError": FAILED,
    "OperationAborted": FAILED,
    "RequestTimeout": TIMEOUT,
    "NotImplemented": LACKING,
    "MethodNotAllowed": LACKING,
    "UserProjectMissing": REQUESTER_PAYS,
    "UserProjectAccessDenied": REQUESTER_PAYS,
    "UserProjectAccountProblem": PROJECT,
    "UserProjectInconsistent": PROJECT,
    "UserProjectInvalid": PROJECT,
    "ProjectAccountDisabled": PROJECT,
    "ObjectUnderActiveHold": HELD,
    "RetentionPolicyNotMet": HELD,
    "ResourceIsEncryptedWithCustomerEncryptionKey": ENCRYPTED,
    "CloudKmsBadKey": KMS,
    "CloudKmsDisabledKey": KMS,
    "CloudKmsDecryptionKeyNotFound": KMS,
    "CloudKmsEncryptionKeyNotFound": KMS,
    "CloudKmsKeyLocationNotAllowed": KMS,
    "PermanentRedirect": REDIRECT,
    "TemporaryRedirect": REDIRECT,
    "InvalidArgument": REFUSED,
}
"""Source: "HTTP status and error codes for XML"."""

_JSON: Final[Mapping[str, Fault]] = {
    "authError": UNKNOWN_CREDENTIALS,
    "expired": UNKNOWN_CREDENTIALS,
    "required": UNKNOWN_CREDENTIALS,
    "UNAUTHENTICATED": UNKNOWN_CREDENTIALS,
    "accountDisabled": DENIED,
    "countryBlocked": DENIED,
    "forbidden": DENIED,
    "insufficientPermissions": DENIED,
    "sslRequired": DENIED,
    "PERMISSIONDENIED": DENIED,
    "conditionNotMet": CONDITION,
    "orgPolicyConstraintFailed": POLICY,
    "retentionPolicyNotMet": HELD,
    "objectUnderActiveHold": HELD,
    "rateLimitExceeded": THROTTLED,
    "userRateLimitExceeded": THROTTLED,
    "usageLimits": THROTTLED,
    "quotaExceeded": THROTTLED,
    "dailyLimitExceeded": (LimitExceededError, "The project's daily quota is used up. Try again tomorrow."),
    "uploadTooLarge": LIMIT,
    "keyInvalid": KEY,
    "userProjectMissing": REQUESTER_PAYS,
    "userProjectAccountProblem": PROJECT,
    "userProjectInconsistent": PROJECT,
    "userProjectInvalid": PROJECT,
    "accessNotConfigured": PROJECT,
    "projectAccessDenied": PROJECT,
    "resourceIsEncryptedWithCustomerEncryptionKey": ENCRYPTED,
    "backendError": FAILED,
    "internalError": FAILED,
    "gatewayTimeout": TIMEOUT,
    "uploadBrokenConnection": FAILED,
    "downloadServiceForbidden": DENIED,
    "notImplemented": LACKING,
    "methodNotAllowed": LACKING,
    "movedPermanently": REDIRECT,
    "movedTemporarily": REDIRECT,
}
"""Source: "HTTP status and error codes for JSON". Reasons that say no more than the status (``invalid``, ``notFound``, ``conflict``) are
left to it."""

ANONYMOUS: Final = "anonymous caller"
"""Stands for the code of a 401 where no credentials were sent; no code of Google's has a space."""

BY_CODE: Final[Mapping[str, Fault]] = {
    **_XML,
    **_JSON,
    ANONYMOUS: (AccessDeniedError, "The backend does not allow this to everybody. Give the location credentials."),
}

_BY_STATUS: Final[Mapping[int, Fault]] = {**BY_STATUS, 410: LOST_UPLOAD}
_REASON: Final = re.compile(r"[A-Za-z0-9]{1,64}")
_CONFLICT: Final = 409


def code_of(body: bytes) -> str | None:
    """The code of an XML error or the reason of a JSON one. Never anything but letters and digits."""
    if not body.lstrip().startswith(b"{"):
        return error_code(body)
    try:
        error: Any = json.loads(body)["error"]
        reason = error["errors"][0]["reason"] if "errors" in error else error["status"].replace("_", "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else None


def answer_error(
    answer: AnswerError, *, conditional: bool = False, container_only: bool = False, conflict: Fault | None = None
) -> StowError:
    """See :func:`stow.transport.faults.judged`. ``conflict`` is what a 409 means here: Google's reason for it says nothing."""
    by_status = _BY_STATUS if conflict is None else {**_BY_STATUS, _CONFLICT: conflict}
    if conflict is not None and answer.status == _CONFLICT and answer.code not in BY_CODE:
        answer = replace(answer, code=None)
    return judged(answer, BY_CODE, by_status=by_status, conditional=conditional, container_only=container_only)


def may_have_happened(answer: AnswerError) -> bool:
    """See :func:`stow.transport.faults.may_have_happened`."""
    return faults.may_have_happened(answer, BY_CODE)


_TOKEN: Final[Fault] = (
    CredentialsInvalidError,
    "Google gives no token for these credentials: the key is wrong, revoked or disabled, or its account is gone.",
)
_MALFORMED: Final[Fault] = (
    CredentialsInvalidError,
    "The credentials are not in the form that Google gives them out in. Use the key file unchanged.",
)

_SDK: Final[tuple[tuple[type[BaseException], Fault], ...]] = (
    # First match wins: the special before the general.
    (auth.TimeoutError, TIMEOUT),
    (auth.TransportError, UNREACHABLE),
    (auth.RefreshError, _TOKEN),
    (auth.MalformedError, _MALFORMED),
    (auth.DefaultCredentialsError, _MALFORMED),
    (auth.GoogleAuthError, (CredentialsInvalidError, "Google's SDK cannot use the credentials.")),
    (api.RetryError, TIMEOUT),
    (api.GoogleAPIError, (BackendFailedError, "The backend's SDK failed.")),
    (requests.exceptions.Timeout, TIMEOUT),
    (
        requests.exceptions.InvalidURL,
        (InvalidSpecError, "The endpoint is malformed: write http[s]://host[:port]."),
    ),
    (requests.exceptions.TooManyRedirects, REDIRECT),
    (requests.exceptions.JSONDecodeError, (BackendFailedError, "The backend's answer is no valid JSON.")),
    (requests.exceptions.RequestException, UNREACHABLE),
)


def sdk_error(exc: BaseException) -> StowError | None:
    """Ours for what comes out of a call of the SDKs; None for what is neither their own nor the transport's (a bug)."""
    if isinstance(exc, AnswerError):
        return answer_error(exc)
    if isinstance(exc, StowError):
        return exc
    if isinstance(exc, api.GoogleAPICallError) and isinstance(exc.code, int):
        return answer_error(AnswerError(status=int(exc.code)))
    if isinstance(exc, auth.RefreshError) and exc.retryable:
        return BackendFailedError("Google's token service failed. Try again later.")
    return by_type(exc, _SDK) or faults.transport_error(exc)
