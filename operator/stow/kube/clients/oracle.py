"""Oracle's Object Storage: the S3 driver with an endpoint and limits of its own."""

from __future__ import annotations

from stow.api.backend import OracleSpec
from stow.api.credentials.s3 import S3AccessKey
from stow.drivers.s3.config import StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.oracle import oracle_config
from stow.errors import CredentialsMissingError
from stow.kube.clients.parts import ClientParts
from stow.kube.plans import RemotePlan


def oracle_driver(plan: RemotePlan, spec: OracleSpec, parts: ClientParts) -> S3Driver:
    """Without I/O.

    Raises:
        InvalidSpecError: the namespace or region cannot stand in a host's name.
    """
    key = plan.credentials
    if not isinstance(key, S3AccessKey):
        raise CredentialsMissingError("An Oracle location works with customer secret keys alone; set secretRef.")
    config = oracle_config(
        namespace=spec.namespace,
        region=spec.region,
        endpoint=spec.endpoint,
        credentials=StaticCredentials(key.access_key_id, key.secret_access_key),
        presign_endpoint=plan.presign_endpoint,
        egress=parts.egress,
        ssl_context=parts.trust,
    )
    return S3Driver(config, clock=parts.clock, budget=parts.budget)
