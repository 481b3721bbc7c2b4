"""The real drivers, by the union member of a location's spec. The only place that turns a plan into a client.

Each SDK is imported when the first location of its kind is built: boto3 alone costs a second and tens of megabytes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType

from stow.api.credentials.s3 import S3AccessKey
from stow.api.principal import AmbientCredentials
from stow.drivers.local.driver import LocalDriver
from stow.drivers.s3.endpoint import AddressingStyle
from stow.errors import CABundleInvalidError, InvalidSpecError
from stow.kube.builder import Factory
from stow.kube.plans import DriverPlan, LocalPlan, RemotePlan, route_of
from stow.storage.budget import ByteBudget
from stow.storage.clock import Clock
from stow.storage.driver import Driver
from stow.storage.egress import EgressPolicy
from stow.storage.local_signing import HMACLocalSigner, Keyring
from stow.transport.tls import trust


def driver_factories(
    *, clock: Clock, keyring: Callable[[], Keyring], egress: EgressPolicy, budget: ByteBudget
) -> Mapping[str, Factory]:
    """``keyring`` gives the keys of local signatures at each use; ``budget`` bounds what all uploads of the process buffer."""

    contexts: list[ssl.SSLContext] = []

    def trusting(plan: RemotePlan) -> ssl.SSLContext:
        """One context for all locations without a bundle: each holds every public authority."""
        if plan.ca_pem is not None:
            return _trust(plan.ca_pem)
        if not contexts:
            contexts.append(_trust(None))
        return contexts[0]

    def s3(plan: DriverPlan) -> Driver:
        assert isinstance(plan, RemotePlan)  # noqa: S101 - the table's key is the plan's own member
        return _s3_driver(plan, clock=clock, egress=egress, budget=budget, ssl_context=trusting(plan))

    def local(plan: DriverPlan) -> Driver:
        assert isinstance(plan, LocalPlan)  # noqa: S101 - the table's key is the plan's own member
        return _local_driver(plan, clock=clock, keyring=keyring)

    return MappingProxyType({"s3": s3, "local": local})


def _s3_driver(
    plan: RemotePlan, *, clock: Clock, egress: EgressPolicy, budget: ByteBudget, ssl_context: ssl.SSLContext
) -> Driver:
    from stow.drivers.s3.config import Ambient, Anonymous, Dialect, S3Config, StaticCredentials  # late: see above
    from stow.drivers.s3.driver import S3Driver

    credentials: Ambient | Anonymous | StaticCredentials
    match plan.credentials:
        case S3AccessKey(access_key_id=key_id, secret_access_key=secret, session_token=session_token):
            credentials = StaticCredentials(key_id, secret, session_token)
        case AmbientCredentials():
            credentials = Ambient()
        case _:
            credentials = Anonymous()
    config = S3Config(
        credentials=credentials,
        endpoint=plan.spec.endpoint,
        region=plan.spec.region,
        addressing_style=AddressingStyle(plan.spec.addressing_style),
        dialect=Dialect(plan.spec.dialect),
        presign_endpoint=plan.presign_endpoint,
        egress=egress,
        ssl_context=ssl_context,
    )
    return S3Driver(config, clock=clock, budget=budget)


def _trust(ca_pem: bytes | None) -> ssl.SSLContext:
    try:
        return trust(ca_pem)
    except InvalidSpecError as exc:
        raise CABundleInvalidError("spec.caBundle holds a certificate that the TLS library does not take.") from exc


def _local_driver(plan: LocalPlan, *, clock: Clock, keyring: Callable[[], Keyring]) -> Driver:
    signer = None
    if plan.public_url is not None:
        signer = HMACLocalSigner(plan.public_url, keyring, route_of=route_of(plan.location), clock=clock)
    return LocalDriver(root=plan.root, base=plan.base, clock=clock, signer=signer)
