"""OpenStack Swift: from a plan to a driver. Brings Keystone's SDK with it."""

from __future__ import annotations

from stow.api.backend import SwiftSpec
from stow.api.credentials.swift import SwiftApplicationCredential, SwiftPassword, SwiftV1Key
from stow.drivers.swift.config import (
    Anonymous,
    ApplicationCredential,
    AuthVersion,
    Credentials,
    Interface,
    Password,
    SwiftConfig,
    V1User,
)
from stow.drivers.swift.driver import SwiftDriver
from stow.kube.clients.parts import ClientParts
from stow.kube.identities import Identity
from stow.kube.plans import RemotePlan


def swift_driver(plan: RemotePlan, spec: SwiftSpec, parts: ClientParts) -> SwiftDriver:
    """Without I/O.

    Raises:
        InvalidSpecError: credentials, version and project do not belong together.
    """
    credentials, temp_url_key = _credentials(plan.credentials)
    config = SwiftConfig(
        auth_url=spec.auth_url,
        credentials=credentials,
        auth_version=AuthVersion(spec.auth_version),
        temp_url_key=temp_url_key,
        region=spec.region,
        project_name=spec.project_name,
        project_id=spec.project_id,
        project_domain_name=spec.project_domain_name,
        user_domain_name=spec.user_domain_name,
        interface=Interface(spec.interface),
        presign_endpoint=plan.presign_endpoint,
        egress=parts.egress,
        ssl_context=parts.trust,
    )
    return SwiftDriver(config, clock=parts.clock)


def _credentials(identity: Identity) -> tuple[Credentials, str | None]:
    match identity:
        case SwiftPassword(username=user, password=password, temp_url_key=key):
            return Password(user, password), key
        case SwiftApplicationCredential(id=id_, secret=secret, temp_url_key=key):
            return ApplicationCredential(id_, secret), key
        case SwiftV1Key(user=user, key=secret, temp_url_key=key):
            return V1User(user, secret), key
        case _:
            return Anonymous(), None
