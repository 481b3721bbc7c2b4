"""Google Cloud Storage: from a plan to a driver. Brings Google's SDKs with it."""

from __future__ import annotations

from stow.api.backend import GoogleSpec
from stow.api.credentials.google import GoogleServiceAccount
from stow.api.principal import AmbientCredentials
from stow.drivers.google.config import Ambient, Anonymous, Credentials, GoogleConfig, ServiceAccountKey
from stow.drivers.google.driver import GoogleDriver
from stow.kube.clients.parts import ClientParts
from stow.kube.identities import Identity
from stow.kube.plans import RemotePlan


def google_driver(plan: RemotePlan, spec: GoogleSpec, parts: ClientParts) -> GoogleDriver:
    """Without I/O."""
    config = GoogleConfig(
        credentials=_credentials(plan.credentials),
        project=spec.project,
        endpoint=spec.endpoint,
        presign_endpoint=plan.presign_endpoint,
        signer_service_account=spec.signer_service_account,
        egress=parts.egress,
        ssl_context=parts.trust,
    )
    return GoogleDriver(config, clock=parts.clock, budget=parts.budget)


def _credentials(identity: Identity) -> Credentials:
    match identity:
        case GoogleServiceAccount(client_email=email, private_key=key, private_key_id=key_id, project_id=project):
            return ServiceAccountKey(email, key, key_id, project)
        case AmbientCredentials():
            return Ambient()
        case _:
            return Anonymous()
