"""Shared access signatures: of URLs that are given away, and of the sources of copies.

A signature binds the key, one permission, the end, and what an answer says of itself; no header, MD5 or content type. It begins at once,
without a start time, so that clocks which differ a little do not refuse it. A shared key signs alone; a token's owner signs with a
delegation key, which the service gives for seven days at most and is fetched once for many URLs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from azure.storage.blob import UserDelegationKey, generate_blob_sas

from stow.drivers.azure.endpoint import Endpoint
from stow.drivers.azure.headers import BLOCK_BLOB
from stow.errors import CredentialsMissingError, InvalidArgumentError
from stow.storage.clock import Clock
from stow.storage.driver import SignRequest
from stow.storage.model import Method, ResponseOverride, SignedURL
from stow.transport.renewing import Renewing

_PERMISSIONS: Final = {
    Method.GET: "r",
    Method.PUT: "w",  # creates and replaces; "c" alone may not replace
    Method.DELETE: "d",
}
_OVERRIDES: Final = {
    ResponseOverride.CACHE_CONTROL: "cache_control",
    ResponseOverride.CONTENT_DISPOSITION: "content_disposition",
    ResponseOverride.CONTENT_ENCODING: "content_encoding",
    ResponseOverride.CONTENT_LANGUAGE: "content_language",
    ResponseOverride.CONTENT_TYPE: "content_type",
}
DELEGATION_LIFETIME: Final = timedelta(days=7)
"""The most that the service gives a delegation key."""
DELEGATION_SKEW: Final = timedelta(minutes=5)
"""Its start lies so far back, for a service whose clock is behind."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What is signed."""

    container: str
    key: str
    permission: str
    expires_at: datetime
    https_only: bool
    overrides: Mapping[ResponseOverride, str] = field(default_factory=dict)


class Signer(Protocol):
    """Signs with one kind of credentials."""

    async def sign(self, grant: Grant) -> tuple[str, datetime]:
        """The query, a secret, and its end, which is never later than what signed it.

        Raises:
            CredentialsMissingError: these credentials sign nothing.
        """
        ...


class KeySigner:
    """With the account's key; no I/O."""

    def __init__(self, account: str, account_key: str) -> None:
        self._account = account
        self._key = account_key

    async def sign(self, grant: Grant) -> tuple[str, datetime]:
        return _sas(self._account, grant, account_key=self._key), grant.expires_at


class DelegationSigner:
    """With a delegation key, fetched where there is none that lives long enough."""

    def __init__(self, account: str, keys: Renewing[UserDelegationKey]) -> None:
        self._account = account
        self._keys = keys

    async def sign(self, grant: Grant) -> tuple[str, datetime]:
        lease = await self._keys.get_lasting(grant.expires_at)
        end = grant.expires_at if lease.expires_at is None else min(grant.expires_at, lease.expires_at)
        cut = Grant(grant.container, grant.key, grant.permission, end, grant.https_only, grant.overrides)
        return _sas(self._account, cut, user_delegation_key=lease.value), end


class NoSigner:
    """Of credentials that cannot sign."""

    async def sign(self, grant: Grant) -> tuple[str, datetime]:
        del grant
        raise CredentialsMissingError(
            "These credentials cannot sign URLs. Give the location an account key or an identity of its own."
        )


async def sign(signer: Signer, presign: Endpoint, request: SignRequest, *, clock: Clock) -> SignedURL:
    """See ``Driver.sign``."""
    expires_at = request.expires_at.replace(microsecond=0)
    if expires_at <= clock():
        raise InvalidArgumentError("A signed URL lives for at least a second.")
    query, end = await signer.sign(
        Grant(
            request.container,
            request.key,
            _PERMISSIONS[request.method],
            expires_at,
            https_only=presign.scheme == "https",
            overrides=request.response_overrides,
        )
    )
    path = presign.path_of(request.container, request.key)
    return SignedURL(
        url=f"{presign.scheme}://{presign.netloc}{path}?{query}",
        method=request.method,
        expires_at=end,
        required_headers=dict(BLOCK_BLOB) if request.method is Method.PUT else {},
    )


def _sas(account: str, grant: Grant, **key: Any) -> str:
    overrides: dict[str, Any] = {_OVERRIDES[name]: value for name, value in grant.overrides.items()}
    return generate_blob_sas(
        account,
        grant.container,
        grant.key,
        permission=grant.permission,
        expiry=grant.expires_at,
        protocol="https" if grant.https_only else "https,http",
        **key,
        **overrides,
    )
