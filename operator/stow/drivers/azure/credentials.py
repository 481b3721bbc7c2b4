"""What a kind of credentials comes to: how requests are authorized, how URLs are signed, what is kept and closed.

Refuses what cannot be: a key that is no base64, a token that is no query, a bearer token over a connection without TLS.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from azure.storage.blob import UserDelegationKey
from yarl import URL

from stow.drivers.azure import tokens
from stow.drivers.azure.authorizing import Authorizer, KeyAuthorizer, QueryAuthorizer, TokenAuthorizer
from stow.drivers.azure.config import Ambient, AzureConfig, Credentials, SasToken, ServicePrincipal, SharedKey
from stow.drivers.azure.endpoint import Endpoint
from stow.drivers.azure.shared_key import decoded_key
from stow.drivers.azure.signing import DelegationSigner, Grant, KeySigner, NoSigner, Signer
from stow.errors import CredentialsInvalidError, InvalidSpecError
from stow.storage.clock import Clock
from stow.transport.connections import Connections, Outside
from stow.transport.renewing import Lease, Renewing

_SAS: Final = re.compile(r"[A-Za-z0-9_~.%&=+/:,!*'()-]+")
FetchKey = Callable[[], Awaitable[Lease[UserDelegationKey]]]


@dataclass(slots=True)
class Access:
    """One set of credentials in use."""

    authorizer: Authorizer
    signer: Signer
    tokens: Renewing[str] | None = None
    delegation_keys: Renewing[UserDelegationKey] | None = None
    metadata_connections: Connections | None = None

    async def source(
        self, endpoint: Endpoint, container: str, key: str, *, until: datetime
    ) -> tuple[str, dict[str, str]]:
        """How the service itself may read this object for a copy: what is added to its URL, and headers of the copy."""
        if self.tokens is not None:
            return "", {"x-ms-copy-source-authorization": f"Bearer {(await self.tokens.get()).value}"}
        if isinstance(self.signer, NoSigner):
            return self.authorizer.query, {}
        grant = Grant(container, key, "r", until, https_only=endpoint.scheme == "https")
        return (await self.signer.sign(grant))[0], {}

    async def aclose(self) -> None:
        """End what is being fetched, and the connections of its own."""
        for renewing in (self.tokens, self.delegation_keys):
            if renewing is not None:
                await renewing.aclose()
        if self.metadata_connections is not None:
            await self.metadata_connections.aclose()


def access(
    config: AzureConfig,
    endpoint: Endpoint,
    *,
    connections: Connections,
    clock: Clock,
    outside: Outside | None,
    fetch_key: FetchKey,
) -> Access:
    """``fetch_key`` asks the service for a delegation key, with requests that this authorizes.

    Raises:
        CredentialsInvalidError, InvalidSpecError.
    """
    given = config.credentials
    if isinstance(given, SharedKey):
        return Access(
            KeyAuthorizer(endpoint.account, decoded_key(given.account_key)),
            KeySigner(endpoint.account, given.account_key),
        )
    if isinstance(given, SasToken):
        return Access(QueryAuthorizer(_query_of(given)), NoSigner())
    if not isinstance(given, ServicePrincipal | Ambient):
        return Access(QueryAuthorizer(""), NoSigner())
    if endpoint.scheme != "https":
        raise InvalidSpecError("An identity's tokens are sent over TLS alone. Give the location an https endpoint.")
    metadata = _metadata_connections(config, given, outside)
    fetch = _token_source(config, given, connections, metadata)
    renewing, keys = Renewing(fetch, clock=clock), Renewing(fetch_key, clock=clock)
    return Access(TokenAuthorizer(renewing), DelegationSigner(endpoint.account, keys), renewing, keys, metadata)


def _token_source(
    config: AzureConfig,
    given: Credentials,
    connections: Connections,
    metadata: Connections | None,
) -> tokens.Fetch:
    authority = URL(config.authority)
    if authority.scheme != "https" or not authority.raw_host:
        raise InvalidSpecError("The authority is malformed: write https://host.")
    config.egress.check_host(authority.raw_host)
    if isinstance(given, ServicePrincipal):
        return tokens.of_principal(given, authority=config.authority, connections=connections)
    assert metadata is not None  # noqa: S101 - ambient credentials have them
    return tokens.of_environment(authority=config.authority, connections=connections, metadata_connections=metadata)


def _metadata_connections(config: AzureConfig, given: Credentials, outside: Outside | None) -> Connections | None:
    if not isinstance(given, Ambient):
        return None
    return Connections(deadlines=config.deadlines, egress=given.metadata_egress, limit=1, outside=outside)


def _query_of(given: SasToken) -> str:
    query = given.token.strip().removeprefix("?")
    if not _SAS.fullmatch(query) or not any(part.startswith("sig=") for part in query.split("&")):
        raise CredentialsInvalidError(
            "The shared access signature is malformed: give the query alone, from sv= to sig=, encoded as it was shown."
        )
    return query
