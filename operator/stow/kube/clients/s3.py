"""S3: from a plan to a driver. Brings the AWS SDK with it."""

from __future__ import annotations

from stow.api.backend import S3Spec
from stow.api.credentials.s3 import S3AccessKey
from stow.api.principal import AmbientCredentials
from stow.drivers.s3.config import Ambient, Anonymous, Credentials, Dialect, S3Config, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.endpoint import AddressingStyle
from stow.kube.clients.parts import ClientParts
from stow.kube.identities import Identity
from stow.kube.plans import RemotePlan


def s3_driver(plan: RemotePlan, spec: S3Spec, parts: ClientParts) -> S3Driver:
    """Without I/O."""
    config = S3Config(
        credentials=_credentials(plan.credentials),
        endpoint=spec.endpoint,
        region=spec.region,
        addressing_style=AddressingStyle(spec.addressing_style),
        dialect=Dialect(spec.dialect),
        presign_endpoint=plan.presign_endpoint,
        egress=parts.egress,
        ssl_context=parts.trust,
    )
    return S3Driver(config, clock=parts.clock, budget=parts.budget)


def _credentials(identity: Identity) -> Credentials:
    match identity:
        case S3AccessKey(access_key_id=key_id, secret_access_key=secret, session_token=session_token):
            return StaticCredentials(key_id, secret, session_token)
        case AmbientCredentials():
            return Ambient()
        case _:
            return Anonymous()
