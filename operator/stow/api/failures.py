"""Which reason each error of StowStore has in a condition.

Exhaustive over the error tree: an error without a line of its own has that of its nearest ancestor, and one that no
reconcile should ever meet is InternalError.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from stow import errors
from stow.api.reasons import Reason

REASON_OF_ERROR: Final[Mapping[type[errors.StowError], Reason]] = MappingProxyType(
    {
        errors.StowError: Reason.INTERNAL_ERROR,
        errors.InvalidSpecError: Reason.INVALID_SPEC,
        errors.InvalidContainerNameError: Reason.INVALID_SPEC,
        errors.ContainerNotFoundError: Reason.CONTAINER_NOT_FOUND,
        errors.ContainerNotAllowedError: Reason.NAME_NOT_ALLOWED,
        errors.ContainerTakenError: Reason.ALREADY_EXISTS,
        errors.ContainerNotEmptyError: Reason.NOT_EMPTY,
        errors.UnsupportedError: Reason.UNSUPPORTED,
        errors.CredentialsError: Reason.CREDENTIALS_INVALID,
        errors.CredentialsMissingError: Reason.CREDENTIALS_MISSING,
        errors.UnsupportedCredentialTypeError: Reason.UNSUPPORTED_CREDENTIAL_TYPE,
        errors.AccessDeniedError: Reason.DENIED,
        errors.EndpointForbiddenError: Reason.ENDPOINT_FORBIDDEN,
        errors.BackendError: Reason.BACKEND_ERROR,
        errors.BackendUnreachableError: Reason.UNREACHABLE,
        errors.BackendTimeoutError: Reason.UNREACHABLE,
        errors.BackendThrottledError: Reason.THROTTLED,
        errors.WrongRegionError: Reason.WRONG_REGION,
        errors.WriteOutcomeUnknownError: Reason.UNREACHABLE,
    }
)


def reason_for(error: errors.StowError) -> Reason:
    """The reason of the error's own class, or of its nearest ancestor in the table."""
    return next(REASON_OF_ERROR[each] for each in type(error).__mro__ if each in REASON_OF_ERROR)
