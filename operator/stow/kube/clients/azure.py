"""Azure: from a plan to a driver. Brings Azure's SDKs with it."""

from __future__ import annotations

from stow.api.backend import AzureSpec
from stow.api.credentials.azure import AzureAccountKey, AzureClientSecret, AzureSASToken
from stow.api.principal import AmbientCredentials
from stow.drivers.azure.config import (
    Ambient,
    Anonymous,
    AzureConfig,
    Credentials,
    SasToken,
    ServicePrincipal,
    SharedKey,
)
from stow.drivers.azure.driver import AzureDriver
from stow.kube.clients.parts import ClientParts
from stow.kube.identities import Identity
from stow.kube.plans import RemotePlan


def azure_driver(plan: RemotePlan, spec: AzureSpec, parts: ClientParts) -> AzureDriver:
    """Without I/O."""
    config = AzureConfig(
        account=spec.account,
        credentials=_credentials(plan.credentials),
        endpoint=spec.endpoint,
        presign_endpoint=plan.presign_endpoint,
        egress=parts.egress,
        ssl_context=parts.trust,
    )
    return AzureDriver(config, clock=parts.clock, budget=parts.budget)


def _credentials(identity: Identity) -> Credentials:
    match identity:
        case AzureAccountKey(key=key):
            return SharedKey(key)
        case AzureSASToken(token=token):
            return SasToken(token)
        case AzureClientSecret(tenant_id=tenant, client_id=client, client_secret=secret):
            return ServicePrincipal(tenant, client, secret)
        case AmbientCredentials():
            return Ambient()
        case _:
            return Anonymous()
