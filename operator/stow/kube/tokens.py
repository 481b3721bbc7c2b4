"""Tokens of ServiceAccounts for people outside a cluster, by the TokenRequest API: bound to an audience, short-lived, never stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from stow.errors import ControlPlaneError, InvalidArgumentError
from stow.kube.rest import NOT_FOUND, Requests, object_path
from stow.kube.reviews import DEFAULT_AUDIENCE

SHORTEST: Final = timedelta(minutes=10)
"""The API server refuses less."""
DEFAULT_LIFETIME: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token and when it ends; the API server may have shortened or lengthened what was asked for."""

    token: str = field(repr=False)
    expires_at: datetime


async def request_token(
    request: Requests,
    *,
    namespace: str,
    service_account: str,
    audience: str = DEFAULT_AUDIENCE,
    lifetime: timedelta = DEFAULT_LIFETIME,
) -> IssuedToken:
    """Raises:
    InvalidArgumentError: a lifetime below ten minutes, or no such ServiceAccount.
    ControlPlaneError: refused, or no answer.
    """
    if lifetime < SHORTEST:
        raise InvalidArgumentError("A token of a ServiceAccount lives at least 10 minutes.")
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": int(lifetime.total_seconds())},
    }
    path = f"{object_path('ServiceAccount', namespace, service_account)}/token"
    try:
        status = (await request("POST", path, body=body)).get("status")
    except ControlPlaneError as error:
        if error.status != NOT_FOUND:
            raise
        raise InvalidArgumentError(
            f"There is no ServiceAccount {service_account} in the namespace {namespace}; create it, or name another one."
        ) from error
    try:
        return IssuedToken(str(status["token"]), datetime.fromisoformat(status["expirationTimestamp"]))  # type: ignore[index]  # checked by the except
    except (TypeError, KeyError, ValueError) as exc:
        raise ControlPlaneError("The API server's answer to a TokenRequest holds no token.") from exc
