"""What goes wrong at Swift and Keystone, in our words. Swift names no codes: its answers are told apart by status and request.

Invariant: as in :mod:`stow.transport.faults`. No text of an SDK's exception gets out: it may quote the backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keystoneauth1 import exceptions as sdk

from stow.errors import BackendFailedError, InvalidSpecError, StowError
from stow.transport import faults
from stow.transport.faults import (
    BY_STATUS,
    DIGEST,
    KEY,
    LIMIT,
    THROTTLED,
    TIMEOUT,
    UNKNOWN_CREDENTIALS,
    UNREACHABLE,
    AnswerError,
    Fault,
    judged,
)

UNKNOWN_USER: Final[Fault] = (
    UNKNOWN_CREDENTIALS[0],
    "The backend does not accept the credentials: check user, password or key, project and domains.",
)
NO_AUTH: Final[Fault] = (
    InvalidSpecError,
    "Nothing at the auth URL gives tokens. Check its path and the version of authentication.",
)
NO_ENDPOINT: Final[Fault] = (
    InvalidSpecError,
    "The catalog has no object store for this region and interface. Check both, and that the credentials are of the project.",
)
NONSENSE: Final[Fault] = (BackendFailedError, "The authentication's answer makes no sense. Check the auth URL.")

_BY_STATUS: Final[Mapping[int, Fault]] = {
    **BY_STATUS,
    401: UNKNOWN_USER,
    # The middleware for rate limits.
    498: THROTTLED,
    414: KEY,
    422: DIGEST,
    499: TIMEOUT,
    507: LIMIT,
}
_AUTH_BY_STATUS: Final[Mapping[int, Fault]] = {
    **_BY_STATUS,
    300: NO_AUTH,
    400: UNKNOWN_USER,
    404: NO_AUTH,
    405: NO_AUTH,
}


def answer_error(answer: AnswerError, *, container_only: bool = False) -> StowError:
    """See :func:`stow.transport.faults.judged`. ``container_only``: a 404 can only mean the container."""
    return judged(answer, {}, by_status=_BY_STATUS, container_only=container_only)


def auth_error(answer: AnswerError) -> StowError:
    """What a refusal of a token comes to."""
    return judged(answer, {}, by_status=_AUTH_BY_STATUS)


def may_have_happened(answer: AnswerError) -> bool:
    """A 503 that asks for no patience is that of a write which too few copies of took: those that did take it spread later."""
    return faults.may_have_happened(answer, {}) or (answer.status == 503 and answer.retry_after_s is None)


_SDK: Final[tuple[tuple[type[BaseException], Fault], ...]] = (
    # First match wins: the special before the general.
    (sdk.CatalogException, NO_ENDPOINT),
    (sdk.DiscoveryFailure, NO_AUTH),
    (sdk.ConnectFailure, UNREACHABLE),
    (sdk.ClientException, NONSENSE),
)


def sdk_error(exc: BaseException) -> StowError | None:
    """Ours for what comes out of a call of the SDK; None for what is neither its own nor the transport's (a bug)."""
    if isinstance(exc, AnswerError):
        return auth_error(exc)
    return faults.by_type(exc, _SDK) or faults.transport_error(exc)


def nonsense() -> StowError:
    """For an answer of the authentication that its SDK stumbles over."""
    kind, message = NONSENSE
    return kind(message)
