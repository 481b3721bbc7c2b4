"""What an error means for an object's status: one table from the error tree to the documented reasons.

A reason that needs a person ends a reconcile as Stalled, every other as Waiting. The message is the error's own, which holds no secret
and nothing that a backend sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from stow import errors
from stow.api.reasons import Reason, needs_person
from stow.errors import StowError
from stow.reconcile.outcome import Stalled, Waiting

STALLED_AFTER: Final = timedelta(minutes=10)
"""How often a stalled object is looked at although nothing seems to have changed: what was wrong may be at the backend."""

BY_ERROR: Final[Mapping[type[StowError], Reason]] = MappingProxyType(
    {
        errors.StowError: Reason.INTERNAL_ERROR,
        errors.InvalidInputError: Reason.INVALID_SPEC,
        errors.NotFoundError: Reason.BACKEND_ERROR,
        errors.ObjectNotFoundError: Reason.BACKEND_ERROR,
        errors.ContainerNotFoundError: Reason.CONTAINER_NOT_FOUND,
        errors.ContainerNotAllowedError: Reason.NAME_NOT_ALLOWED,
        errors.ContainerTakenError: Reason.ALREADY_EXISTS,
        errors.ContainerNotEmptyError: Reason.NOT_EMPTY,
        errors.UnsupportedError: Reason.UNSUPPORTED,
        errors.CredentialsError: Reason.CREDENTIALS_INVALID,
        errors.CredentialsMissingError: Reason.CREDENTIALS_MISSING,
        errors.CredentialsInvalidError: Reason.CREDENTIALS_INVALID,
        errors.UnsupportedCredentialTypeError: Reason.UNSUPPORTED_CREDENTIAL_TYPE,
        errors.AccessDeniedError: Reason.DENIED,
        errors.AmbientCredentialsForbiddenError: Reason.AMBIENT_CREDENTIALS_FORBIDDEN,
        errors.LocalDisabledError: Reason.LOCAL_DISABLED,
        errors.CABundleMissingError: Reason.CA_BUNDLE_MISSING,
        errors.CABundleInvalidError: Reason.CA_BUNDLE_INVALID,
        errors.EndpointForbiddenError: Reason.ENDPOINT_FORBIDDEN,
        errors.ControlPlaneError: Reason.PROGRESSING,
        errors.BackendError: Reason.BACKEND_ERROR,
        errors.BackendUnreachableError: Reason.UNREACHABLE,
        errors.BackendTimeoutError: Reason.UNREACHABLE,
        errors.BackendThrottledError: Reason.THROTTLED,
        errors.WrongRegionError: Reason.WRONG_REGION,
    }
)
"""The most special class counts. What no reconcile can meet (errors of bodies, ranges, conditions) is an internal error."""

BLOCKS_DELETION: Final = frozenset(
    {
        Reason.CREDENTIALS_MISSING,
        Reason.DENIED,
        Reason.UNREACHABLE,
        Reason.THROTTLED,
        Reason.BACKEND_ERROR,
        Reason.NOT_EMPTY,
    }
)
"""Reasons that say by themselves why a deletion cannot end; for all others it is that the location cannot be used."""


def reason_of(error: StowError) -> Reason:
    """The reason for an error, by its most special class that the table has."""
    return next(BY_ERROR[each] for each in type(error).__mro__ if each in BY_ERROR)


def outcome_of(error: StowError, *, after: timedelta | None = None) -> Waiting | Stalled:
    """How a reconcile ends that this error stopped. ``after``: when to try again, None for the backoff (or slowly, if stalled)."""
    reason = reason_of(error)
    if needs_person(reason):
        return Stalled(reason, error.message, after or STALLED_AFTER)
    return Waiting(reason, error.message, after)


def blocked_by(error: StowError) -> Reason:
    """The reason of DeletionBlocked for an error that stopped a deletion."""
    reason = reason_of(error)
    return reason if reason in BLOCKS_DELETION else Reason.LOCATION_NOT_READY
