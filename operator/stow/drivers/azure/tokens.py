"""Bearer tokens for the account: of a service principal, or of the process's own identity. Each call fetches a new one.

What an identity of the process is, is looked at here and nowhere else: a service principal in the environment, else a workload
identity, else the instance's managed identity - the first that is set up, and then no other. So the metadata address is asked only where
nothing else is there, over connections that reach no other address. The SDK's own default chain would go on to the files, command lines
and brokers of developers.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from azure.core.credentials import AccessToken
from azure.identity.aio import ClientAssertionCredential, ClientSecretCredential, ManagedIdentityCredential

from stow.drivers.azure.config import ServicePrincipal
from stow.drivers.azure.sdk import QUIET, TokenTransport
from stow.drivers.azure.translate import sdk_error
from stow.errors import (
    BackendFailedError,
    BackendThrottledError,
    CredentialsInvalidError,
    CredentialsMissingError,
    EndpointForbiddenError,
)
from stow.transport.connections import Connections
from stow.transport.renewing import Lease

SCOPE: Final = "https://storage.azure.com/.default"
_TENANT: Final = re.compile(r"[A-Za-z0-9.-]{1,128}")
Fetch = Callable[[], Awaitable[Lease[str]]]


class _Credential(Protocol):
    async def get_token(self, *scopes: str) -> AccessToken: ...
    async def close(self) -> None: ...


def of_principal(principal: ServicePrincipal, *, authority: str, connections: Connections) -> Fetch:
    """Raises:
    CredentialsInvalidError: the tenant's name is malformed.
    """
    _check_tenant(principal.tenant_id)

    async def fetch() -> Lease[str]:
        return await _fetched(_secret_credential(principal, authority, connections))

    return fetch


def of_environment(
    *,
    authority: str,
    connections: Connections,
    metadata_connections: Connections,
    environment: Mapping[str, str] = os.environ,
) -> Fetch:
    """Looks at the environment at each fetch; the projected token of a workload identity changes."""

    async def fetch() -> Lease[str]:
        tenant, client = environment.get("AZURE_TENANT_ID"), environment.get("AZURE_CLIENT_ID")
        secret, token_file = environment.get("AZURE_CLIENT_SECRET"), environment.get("AZURE_FEDERATED_TOKEN_FILE")
        named = environment.get("AZURE_AUTHORITY_HOST") or authority
        if tenant and client and secret:
            _check_tenant(tenant)
            return await _fetched(_secret_credential(ServicePrincipal(tenant, client, secret), named, connections))
        if tenant and client and token_file:
            _check_tenant(tenant)
            assertion = await _read(token_file)
            return await _fetched(
                ClientAssertionCredential(
                    tenant,
                    client,
                    lambda: assertion,
                    authority=named,
                    transport=TokenTransport(connections),
                    disable_instance_discovery=True,
                    **QUIET,
                )
            )
        return await _fetched(
            ManagedIdentityCredential(client_id=client, transport=TokenTransport(metadata_connections), **QUIET)
        )

    return fetch


def _secret_credential(principal: ServicePrincipal, authority: str, connections: Connections) -> ClientSecretCredential:
    return ClientSecretCredential(
        principal.tenant_id,
        principal.client_id,
        principal.client_secret,
        authority=authority,
        transport=TokenTransport(connections),
        disable_instance_discovery=True,
        **QUIET,
    )


async def _fetched(credential: _Credential) -> Lease[str]:
    """A credential of the SDK remembers its token beyond what a renewal wants, so each fetch has one of its own.

    Raises:
        StowError
    """
    try:
        token = await credential.get_token(SCOPE)
    except Exception as exc:
        # The SDK takes each failure of a metadata service for an identity that is not there.
        told = isinstance(exc.__cause__, BackendThrottledError | BackendFailedError | EndpointForbiddenError)
        error = sdk_error(exc.__cause__ if told and exc.__cause__ is not None else exc)
        if error is None or error is exc:
            raise
        raise error from None  # the SDK's text quotes the authority's answer
    finally:
        await credential.close()
    return Lease(token.token, datetime.fromtimestamp(token.expires_on, UTC))


async def _read(path: str) -> str:
    try:
        return await asyncio.to_thread(Path(path).read_text)
    except (OSError, UnicodeDecodeError) as exc:
        raise CredentialsMissingError("The token of the workload identity cannot be read. Check its volume.") from exc


def _check_tenant(tenant: str) -> None:
    if not _TENANT.fullmatch(tenant):
        raise CredentialsInvalidError("The tenant id is malformed: it has letters, digits, dots and hyphens.")
