"""Every condition type and every reason that the operator writes, with one line that says what it means.

`REASONS` is the table behind the reference page: a reason that is not in it is never written. Reasons are part of the API:
scripts and alerts match them, so a name once published keeps its meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ConditionType(StrEnum):
    """The conditions of the three kinds, in the order in which they stand in status."""

    READY = "Ready"
    CREDENTIALS_VALID = "CredentialsValid"
    REACHABLE = "Reachable"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    CONFLICT = "Conflict"
    DELETION_BLOCKED = "DeletionBlocked"
    DRIFTED = "Drifted"


ABNORMAL_CONDITIONS: Final = frozenset(
    {
        ConditionType.RECONCILING,
        ConditionType.STALLED,
        ConditionType.CONFLICT,
        ConditionType.DELETION_BLOCKED,
        ConditionType.DRIFTED,
    }
)
"""Conditions that stand in status only while they are true."""

CONDITIONS: Final[Mapping[ConditionType, str]] = MappingProxyType(
    {
        ConditionType.READY: "The object can be used; always there, for the generation that it names.",
        ConditionType.CREDENTIALS_VALID: "The location's credentials are complete, accepted in kind and not refused.",
        ConditionType.REACHABLE: "The backend answers, and the answer is one that it should give.",
        ConditionType.RECONCILING: "Work is under way or will be tried again without anybody's help.",
        ConditionType.STALLED: "Nothing will change until a person changes something.",
        ConditionType.CONFLICT: "The container belongs to somebody else.",
        ConditionType.DELETION_BLOCKED: "The object is being deleted and cannot go yet.",
        ConditionType.DRIFTED: "The container is set to something else than the spec says.",
    }
)


class Reason(StrEnum):
    """The reasons; `REASONS` says what each of them means."""

    SUCCEEDED = "Succeeded"
    PROVISIONED = "Provisioned"
    PROGRESSING = "Progressing"
    SUSPENDED = "Suspended"
    DELETING = "Deleting"
    INVALID_SPEC = "InvalidSpec"
    INTERNAL_ERROR = "InternalError"

    CREDENTIALS_MISSING = "CredentialsMissing"
    CREDENTIALS_INVALID = "CredentialsInvalid"
    CREDENTIALS_EXPIRED = "CredentialsExpired"
    UNSUPPORTED_CREDENTIAL_TYPE = "UnsupportedCredentialType"
    AMBIENT_CREDENTIALS_FORBIDDEN = "AmbientCredentialsForbidden"
    CREDENTIALS_UNVERIFIED = "CredentialsUnverified"
    CA_BUNDLE_MISSING = "CABundleMissing"
    CA_BUNDLE_INVALID = "CABundleInvalid"

    DENIED = "Denied"
    UNREACHABLE = "Unreachable"
    THROTTLED = "Throttled"
    ENDPOINT_FORBIDDEN = "EndpointForbidden"
    WRONG_REGION = "WrongRegion"
    BACKEND_ERROR = "BackendError"
    UNSUPPORTED = "Unsupported"
    LOCAL_DISABLED = "LocalDisabled"
    BASE_CONTAINER_NOT_FOUND = "BaseContainerNotFound"
    IN_USE = "InUse"

    LOCATION_NOT_FOUND = "LocationNotFound"
    LOCATION_NOT_READY = "LocationNotReady"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    NAME_NOT_ALLOWED = "NameNotAllowed"
    LOAD_NOT_ALLOWED = "LoadNotAllowed"
    ALREADY_EXISTS = "AlreadyExists"
    CONFLICT = "Conflict"
    CONTAINER_NOT_FOUND = "ContainerNotFound"
    VANISHED = "Vanished"
    LOCATION_CHANGED = "LocationChanged"
    NOT_EMPTY = "NotEmpty"
    OWNERSHIP_UNKNOWN = "OwnershipUnknown"
    SETTINGS_DRIFTED = "SettingsDrifted"


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """What one reason means. `needs_person`: it also makes the object Stalled, since waiting changes nothing."""

    conditions: tuple[ConditionType, ...]
    description: str
    needs_person: bool = False


_READY: Final = (ConditionType.READY,)
_READY_RECONCILING: Final = (ConditionType.READY, ConditionType.RECONCILING)
_READY_STALLED: Final = (ConditionType.READY, ConditionType.STALLED)
_CREDENTIALS: Final = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.CREDENTIALS_VALID)
_CREDENTIALS_STALLED: Final = (ConditionType.READY, ConditionType.STALLED, ConditionType.CREDENTIALS_VALID)
_REACHABLE: Final = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.REACHABLE)
_REACHABLE_STALLED: Final = (ConditionType.READY, ConditionType.STALLED, ConditionType.REACHABLE)
_BLOCKED: Final = (ConditionType.DELETION_BLOCKED,)

REASONS: Final[Mapping[Reason, ReasonInfo]] = MappingProxyType(
    {
        Reason.SUCCEEDED: ReasonInfo(
            (ConditionType.READY, ConditionType.CREDENTIALS_VALID, ConditionType.REACHABLE),
            "The location was probed and works.",
        ),
        Reason.PROVISIONED: ReasonInfo(_READY, "The container exists, belongs to this object and can be used."),
        Reason.PROGRESSING: ReasonInfo(_READY_RECONCILING, "The operator is at work on it."),
        Reason.SUSPENDED: ReasonInfo(_READY, "spec.suspend is true: the last state stands, nothing is checked."),
        Reason.DELETING: ReasonInfo(_READY_RECONCILING, "The object is being deleted."),
        Reason.INVALID_SPEC: ReasonInfo(_READY_STALLED, "A field cannot be understood; the message names it.", True),
        Reason.INTERNAL_ERROR: ReasonInfo(
            _READY_RECONCILING, "The operator met an error of its own; its log says more, and it tries again."
        ),
        Reason.CREDENTIALS_MISSING: ReasonInfo(
            (*_CREDENTIALS, ConditionType.DELETION_BLOCKED), "The Secret or location with the credentials is absent."
        ),
        Reason.CREDENTIALS_INVALID: ReasonInfo(
            _CREDENTIALS, "The Secret lacks a key, has an unknown one, or holds a value that cannot be right."
        ),
        Reason.CREDENTIALS_EXPIRED: ReasonInfo(_CREDENTIALS, "The backend says that the credentials have expired."),
        Reason.UNSUPPORTED_CREDENTIAL_TYPE: ReasonInfo(
            _CREDENTIALS,
            "The Secret leads to a file, URL, command, role or another identity; only plain keys are taken.",
        ),
        Reason.AMBIENT_CREDENTIALS_FORBIDDEN: ReasonInfo(
            _CREDENTIALS_STALLED, "This kind of location may not use the operator's own credentials.", True
        ),
        Reason.CREDENTIALS_UNVERIFIED: ReasonInfo(
            (ConditionType.CREDENTIALS_VALID,), "The credentials are complete, but the backend could not be asked."
        ),
        Reason.CA_BUNDLE_MISSING: ReasonInfo(
            _READY_RECONCILING, "The Secret or ConfigMap of spec.caBundle is absent, or lacks the key."
        ),
        Reason.CA_BUNDLE_INVALID: ReasonInfo(
            _READY_RECONCILING, "What spec.caBundle names is no bundle of PEM certificates."
        ),
        Reason.DENIED: ReasonInfo(
            (*_CREDENTIALS, ConditionType.REACHABLE, ConditionType.DELETION_BLOCKED),
            "The backend refused the credentials or the operation.",
        ),
        Reason.UNREACHABLE: ReasonInfo(
            (*_REACHABLE, ConditionType.DELETION_BLOCKED), "The backend does not answer, or not in time."
        ),
        Reason.THROTTLED: ReasonInfo(
            (*_REACHABLE, ConditionType.DELETION_BLOCKED), "The backend asks for fewer requests."
        ),
        Reason.ENDPOINT_FORBIDDEN: ReasonInfo(
            _REACHABLE_STALLED, "The endpoint resolves to an address that locations may not use.", True
        ),
        Reason.WRONG_REGION: ReasonInfo(
            _REACHABLE_STALLED, "The container or endpoint belongs to another region than the spec's.", True
        ),
        Reason.BACKEND_ERROR: ReasonInfo(
            (*_REACHABLE, ConditionType.DELETION_BLOCKED), "The backend answered with an error of its own."
        ),
        Reason.UNSUPPORTED: ReasonInfo(_READY_STALLED, "The backend does not have what the spec asks for.", True),
        Reason.LOCAL_DISABLED: ReasonInfo(
            _READY_STALLED, "The operator runs without a local root, so local locations do not work.", True
        ),
        Reason.BASE_CONTAINER_NOT_FOUND: ReasonInfo(
            _READY_RECONCILING, "The base container is absent and createIfNotFound is false."
        ),
        Reason.IN_USE: ReasonInfo(
            (ConditionType.READY, ConditionType.DELETION_BLOCKED), "StowContainers still refer to the location."
        ),
        Reason.LOCATION_NOT_FOUND: ReasonInfo(
            (*_READY_RECONCILING, ConditionType.DELETION_BLOCKED), "The location that locationRef names is absent."
        ),
        Reason.LOCATION_NOT_READY: ReasonInfo(
            (*_READY_RECONCILING, ConditionType.DELETION_BLOCKED), "The location exists but cannot be used yet."
        ),
        Reason.NAMESPACE_NOT_ALLOWED: ReasonInfo(
            _READY_RECONCILING, "The ClusterStowLocation's allowedNamespaces leave this namespace out."
        ),
        Reason.NAME_NOT_ALLOWED: ReasonInfo(
            _READY_STALLED, "The location's containerNamePattern does not give this name to this namespace.", True
        ),
        Reason.LOAD_NOT_ALLOWED: ReasonInfo(
            _READY_STALLED, "The ClusterStowLocation's loadableContainers do not list this container.", True
        ),
        Reason.ALREADY_EXISTS: ReasonInfo(
            _READY_STALLED, "A container of this name exists and was not created for this object.", True
        ),
        Reason.CONFLICT: ReasonInfo(
            (*_READY_STALLED, ConditionType.CONFLICT), "Another object owns the container.", True
        ),
        Reason.CONTAINER_NOT_FOUND: ReasonInfo(
            _READY_RECONCILING, "provision is Load and the backend has no container of this name."
        ),
        Reason.VANISHED: ReasonInfo(_READY_STALLED, "The container was there and is gone; it is not made anew.", True),
        Reason.LOCATION_CHANGED: ReasonInfo(
            (*_READY_STALLED, ConditionType.DELETION_BLOCKED),
            "The location now leads to another backend than the one that holds the container.",
            True,
        ),
        Reason.NOT_EMPTY: ReasonInfo(_BLOCKED, "deletionPolicy is DeleteIfEmpty and the container is not empty."),
        Reason.OWNERSHIP_UNKNOWN: ReasonInfo(
            _BLOCKED, "The container's marker cannot be read or names another owner, so nothing is deleted."
        ),
        Reason.SETTINGS_DRIFTED: ReasonInfo(
            (ConditionType.DRIFTED,),
            "Somebody changed tags, versioning or expiry past the spec, and driftPolicy is Report.",
        ),
    }
)


def needs_person(reason: Reason) -> bool:
    """Whether the reason also makes its object Stalled."""
    return REASONS[reason].needs_person
