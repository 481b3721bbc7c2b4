"""The real drivers, by the union member of a location's spec. The only place that turns a plan into a client.

Each SDK is imported when the first location of its kind is built: boto3 alone costs a second and tens of megabytes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from stow.api.backend import AzureSpec, GoogleSpec, OracleSpec, S3Spec, SwiftSpec
from stow.drivers.local.driver import LocalDriver
from stow.errors import CABundleInvalidError, InvalidSpecError
from stow.kube.builder import Factory
from stow.kube.clients.parts import ClientParts
from stow.kube.plans import DriverPlan, LocalPlan, RemotePlan, route_of
from stow.storage.budget import ByteBudget
from stow.storage.clock import Clock
from stow.storage.driver import Driver
from stow.storage.egress import EgressPolicy
from stow.storage.local_signing import HMACLocalSigner, Keyring
from stow.transport.tls import trust

REMOTE_MEMBERS: Final = ("s3", "google", "azure", "swift", "oracle")
"""The kinds of backends that are reached by HTTP."""
_MAX_CONTEXTS: Final = 32
"""TLS contexts that are kept for all clients that trust the same: each holds every public authority (0.7 MiB, 20 to 100 ms to make)."""


def driver_factories(
    *, clock: Clock, keyring: Callable[[], Keyring], egress: EgressPolicy, budget: ByteBudget
) -> Mapping[str, Factory]:
    """``keyring`` gives the keys of local signatures at each use; ``budget`` bounds what all uploads of the process buffer."""

    trusted = lru_cache(_MAX_CONTEXTS)(_trust)

    def remote(plan: DriverPlan) -> Driver:
        assert isinstance(plan, RemotePlan)  # noqa: S101 - the table's key is the plan's own member
        return _remote_driver(plan, ClientParts(clock, egress, budget, trusted(plan.ca_pem)))

    def local(plan: DriverPlan) -> Driver:
        assert isinstance(plan, LocalPlan)  # noqa: S101 - the table's key is the plan's own member
        return _local_driver(plan, clock=clock, keyring=keyring)

    return MappingProxyType({**dict.fromkeys(REMOTE_MEMBERS, remote), "local": local})


def _remote_driver(plan: RemotePlan, parts: ClientParts) -> Driver:
    match plan.spec:
        case S3Spec() as s3:
            from stow.kube.clients.s3 import s3_driver  # late, here and below: see the module

            return s3_driver(plan, s3, parts)
        case GoogleSpec() as google:
            from stow.kube.clients.google import google_driver

            return google_driver(plan, google, parts)
        case AzureSpec() as azure:
            from stow.kube.clients.azure import azure_driver

            return azure_driver(plan, azure, parts)
        case SwiftSpec() as swift:
            from stow.kube.clients.swift import swift_driver

            return swift_driver(plan, swift, parts)
        case OracleSpec() as oracle:
            from stow.kube.clients.oracle import oracle_driver

            return oracle_driver(plan, oracle, parts)


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
