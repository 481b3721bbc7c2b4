"""Errors of Azure and its SDK, in our words: a table of the documented codes, and of the SDK's exceptions.

Invariant: no text of a backend, no URL and no header passes; an answer is reduced to its status and its code, and the code only chooses
the error. An answer that does not say "absent" never becomes absence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from azure.core import exceptions as core
from azure.identity import AuthenticationRequiredError, CredentialUnavailableError

from stow.errors import (
    AccessDeniedError,
    BackendError,
    BackendFailedError,
    CredentialsInvalidError,
    CredentialsMissingError,
    InvalidMetadataError,
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
    METADATA,
    NO_CONTAINER,
    NO_OBJECT,
    REFUSED,
    TAKEN,
    THROTTLED,
    TIMEOUT,
    UNREACHABLE,
    AnswerError,
    Fault,
    by_type,
    judged,
)

UNKNOWN_KEY: Final[Fault] = (
    CredentialsInvalidError,
    "The backend does not accept the credentials: they are wrong, revoked, expired or another account's, or the local clock is wrong.",
)
HIDDEN: Final[Fault] = (
    AccessDeniedError,
    "It is not public, or it does not exist: the backend does not say which to requests without credentials.",
)
LEASED: Final[Fault] = (
    BackendError,
    "Somebody holds a lease on it, so it cannot be changed. Break the lease, or wait for its end.",
)
IMMUTABLE: Final[Fault] = (
    UnsupportedError,
    "A retention policy or a legal hold keeps it from being changed or deleted.",
)
ARCHIVED: Final[Fault] = (UnsupportedError, "The object is in the archive tier. Rehydrate it first.")
LOST_BLOCKS: Final[Fault] = (
    BackendFailedError,
    "The backend dropped parts of the upload, because another write of the same object ended meanwhile. Send it again.",
)
FOREIGN_BLOCKS: Final[Fault] = (
    BackendError,
    "Another tool's unfinished upload of this object is in the way: write the object with its size announced, or wait a week.",
)
BEING_DELETED: Final[Fault] = (
    BackendFailedError,
    "A container of this name is still being deleted, which takes a minute or so. Try again later.",
)
DISABLED: Final[Fault] = (BackendError, "The account or the container is disabled. Ask who administers it.")
TOKENLESS: Final[Fault] = (
    CredentialsMissingError,
    "No identity was found in the environment of the operator: no service principal, no workload identity, no managed identity.",
)
NO_TOKEN: Final[Fault] = (
    CredentialsInvalidError,
    "The authority gave no token: check the tenant id, the client id and the client secret.",
)
NO_METADATA_NAME: Final[Fault] = (InvalidMetadataError, "The backend does not take a name or a value of the metadata.")
KIND_OF_BLOB: Final[Fault] = (
    UnsupportedError,
    "The object is a page or append blob, or in use by another interface of the account; only block blobs can be changed here.",
)

BY_CODE: Final[Mapping[str, Fault]] = {
    "BlobNotFound": NO_OBJECT,
    "ResourceNotFound": HIDDEN,
    "PathNotFound": NO_OBJECT,
    "ContainerNotFound": NO_CONTAINER,
    "FilesystemNotFound": NO_CONTAINER,
    "ContainerBeingDeleted": BEING_DELETED,
    "ContainerAlreadyExists": TAKEN,
    "ContainerDisabled": DISABLED,
    "AccountIsDisabled": DISABLED,
    "ContainerHasLegalHold": IMMUTABLE,
    "ContainerImmutabilityPolicyLocked": IMMUTABLE,
    "ContainerProtectedFromDeletion": IMMUTABLE,
    "AuthenticationFailed": UNKNOWN_KEY,
    "InvalidAuthenticationInfo": UNKNOWN_KEY,
    "NoAuthenticationInformation": UNKNOWN_KEY,
    "AuthorizationFailure": DENIED,
    "AuthorizationPermissionMismatch": DENIED,
    "AuthorizationProtocolMismatch": DENIED,
    "AuthorizationResourceTypeMismatch": DENIED,
    "AuthorizationServiceMismatch": DENIED,
    "AuthorizationSourceIPMismatch": DENIED,
    "InsufficientAccountPermissions": DENIED,
    "KeyBasedAuthenticationNotPermitted": DENIED,
    "PublicAccessNotPermitted": DENIED,
    "UnauthorizedBlobOverwrite": DENIED,
    "ServerBusy": THROTTLED,
    "AccountBandwidthLimitExceeded": THROTTLED,
    "SnapshotOperationRateExceeded": THROTTLED,
    "InternalError": FAILED,
    "OperationTimedOut": TIMEOUT,
    "ConditionNotMet": CONDITION,
    "SourceConditionNotMet": CONDITION,
    "TargetConditionNotMet": CONDITION,
    # Azure's answer to If-None-Match: * of an object that is there is a conflict.
    "BlobAlreadyExists": CONDITION,
    "PathAlreadyExists": CONDITION,
    "Md5Mismatch": DIGEST,
    "InvalidMd5": DIGEST,
    "Crc64Mismatch": DIGEST,
    "InvalidResourceName": KEY,
    "InvalidUri": KEY,
    "RequestUrlFailedToParse": KEY,
    "PathConflict": KEY,
    "OutOfRangeInput": CONTAINER_NAME,
    "RequestBodyTooLarge": LIMIT,
    "BlockCountExceedsLimit": LIMIT,
    "BlockListTooLong": LIMIT,
    "ContentLengthLargerThanTierLimit": LIMIT,
    "MetadataTooLarge": METADATA,
    "InvalidMetadata": NO_METADATA_NAME,
    "EmptyMetadataKey": NO_METADATA_NAME,
    "InvalidBlockList": LOST_BLOCKS,
    "InvalidBlobOrBlock": FOREIGN_BLOCKS,
    "InvalidBlockId": FOREIGN_BLOCKS,
    "LeaseIdMissing": LEASED,
    "LeaseIdMismatchWithBlobOperation": LEASED,
    "LeaseIdMismatchWithContainerOperation": LEASED,
    "LeaseLost": LEASED,
    "PendingCopyOperation": LEASED,
    "BlobImmutableDueToPolicy": IMMUTABLE,
    "BlobImmutableDueToLegalHold": IMMUTABLE,
    "SnapshotsPresent": IMMUTABLE,
    "BlobArchived": ARCHIVED,
    "BlobBeingRehydrated": ARCHIVED,
    "BlobUsesCustomerSpecifiedEncryption": (UnsupportedError, "The object is encrypted with a key of somebody else."),
    "DirectoryIsNotEmpty": KIND_OF_BLOB,
    "InvalidBlobType": KIND_OF_BLOB,
    "BlobOperationNotSupported": KIND_OF_BLOB,
    "CannotVerifyCopySource": FAILED,
    "APINotImplemented": LACKING,
    "NotImplemented": LACKING,
    "UnsupportedHttpVerb": LACKING,
    "UnsupportedHeader": LACKING,
    "UnsupportedQueryParameter": LACKING,
    "FeatureNotSupported": LACKING,
    "FeatureVersionMismatch": LACKING,
    "ConditionHeadersNotSupported": LACKING,
    "HierarchicalNamespaceNotSupported": LACKING,
    "InvalidInput": REFUSED,
    "InvalidHeaderValue": REFUSED,
    "InvalidQueryParameterValue": REFUSED,
    "OutOfRangeQueryParameterValue": REFUSED,
    "MissingRequiredHeader": REFUSED,
    "MissingContentLengthHeader": REFUSED,
    "ResourceTypeMismatch": REFUSED,
    "InvalidXmlDocument": REFUSED,
    "InvalidHttpVerb": LACKING,
}

_BY_STATUS: Final = {**BY_STATUS, 401: UNKNOWN_KEY}


def answer_error(answer: AnswerError, *, conditional: bool = False, container_only: bool = False) -> StowError:
    """See :func:`stow.transport.faults.judged`."""
    return judged(answer, BY_CODE, by_status=_BY_STATUS, conditional=conditional, container_only=container_only)


def may_have_happened(answer: AnswerError) -> bool:
    """See :func:`stow.transport.faults.may_have_happened`; a timeout of the service leaves the outcome open too."""
    return faults.may_have_happened(answer, BY_CODE) or answer.code == "OperationTimedOut"


_SDK: Final[tuple[tuple[type[BaseException], Fault], ...]] = (
    # First match wins: the special before the general.
    (CredentialUnavailableError, TOKENLESS),
    (AuthenticationRequiredError, TOKENLESS),
    (core.ClientAuthenticationError, NO_TOKEN),
    (core.ServiceRequestTimeoutError, TIMEOUT),
    (core.ServiceResponseTimeoutError, TIMEOUT),
    (core.ServiceRequestError, UNREACHABLE),
    (core.ServiceResponseError, UNREACHABLE),
    (core.DecodeError, (BackendFailedError, "The backend's answer makes no sense.")),
    (core.AzureError, (BackendFailedError, "The backend's SDK failed.")),
)


def sdk_error(exc: BaseException) -> StowError | None:
    """Ours for what comes out of a call of the SDK; None for what is neither its own nor the transport's (a bug)."""
    if isinstance(exc, AnswerError):
        return answer_error(exc, container_only=True)
    return by_type(exc, _SDK) or faults.transport_error(exc)
