"""What a location's spec and what it refers to ask for: which drivers, with which credentials, under which rules. Pure.

A plan is complete and already allowed: what the schema cannot refuse - credentials of another kind, what belongs to the platform, a
process without a local root - is refused here, before anything is built or connected. Two equal plans give the same client, so a
change of spec or Secret that leaves the plan as it is costs no reconnection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Final, Protocol
from urllib.parse import quote

from stow.api.backend import LocalSpec, RemoteBackend
from stow.api.location import LocationSpec
from stow.api.names import NameVerdict, judge_name
from stow.drivers.local.roots import CLUSTER_TENANT, resolve_root
from stow.errors import LocalDisabledError
from stow.kube.identities import Asker, Identity, identity
from stow.kube.sources import Sources, ca_certificates
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ports import Objects
from stow.storage.config import StoreConfig
from stow.storage.model import ContainerEntry, Method, Origin, Scope


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What the process was told about locations. ``namespace`` is its own: cluster locations have their Secrets there."""

    namespace: str
    local_root: Path | None = None
    public_url: str | None = None
    """Base of signed URLs of local locations that name none."""
    ambient_for_cluster: bool = True
    ambient_for_namespaced: bool = False


@dataclass(frozen=True, slots=True)
class RemotePlan:
    """A client of a backend that is reached by HTTP. ``ca_pem``: whom it trusts beside the system's authorities."""

    spec: RemoteBackend
    credentials: Identity = field(repr=False)
    presign_endpoint: str | None = None
    ca_pem: bytes | None = field(default=None, repr=False)

    @property
    def member(self) -> str:
        """The union member of the spec."""
        return self.spec.member

    @property
    def endpoint(self) -> str | None:
        """The URL that somebody wrote, which may lead anywhere; None where the kind has its own."""
        return self.spec.endpoint


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """A folder: ``root`` lies below ``base``. Without ``public_url`` nothing is signed."""

    member: ClassVar[str] = "local"
    endpoint: ClassVar[None] = None
    location: ObjectRef
    root: Path
    base: Path
    public_url: str | None = None


DriverPlan = RemotePlan | LocalPlan


@dataclass(frozen=True, slots=True)
class StorePlan:
    """The drivers of one store. ``signed_url``: a second one that signs, where the spec has credentials of their own for that."""

    main: DriverPlan
    signed_url: RemotePlan | None = None


def store_plan(location: Snapshot, spec: LocationSpec, sources: Sources, *, settings: PlanSettings) -> StorePlan:
    """``sources``: what the location refers to, as it is now.

    Raises:
        LocalDisabledError, AmbientCredentialsForbiddenError, CredentialsMissingError, CredentialsInvalidError,
        UnsupportedCredentialTypeError, CABundleMissingError, CABundleInvalidError, InvalidSpecError.
    """
    if isinstance(spec.backend, LocalSpec):
        return StorePlan(_local_plan(location, spec.backend, spec.signed_url.endpoint, settings))
    asker = Asker(location.ref, ambient_allowed=_ambient_allowed(spec, settings))
    main = RemotePlan(
        spec.backend,
        identity(asker, spec.backend, spec.credentials, sources.credentials, field="spec.credentials"),
        spec.signed_url.endpoint,
        ca_certificates(location.ref, spec.ca_bundle, sources.ca_bundle),
    )
    if spec.signed_url.credentials is None:
        return StorePlan(main)
    signer = identity(
        asker, spec.backend, spec.signed_url.credentials, sources.signing, field="spec.signedURL.credentials"
    )
    return StorePlan(replace(main, presign_endpoint=None), replace(main, credentials=signer))


def _ambient_allowed(spec: LocationSpec, settings: PlanSettings) -> bool:
    return settings.ambient_for_cluster if spec.is_cluster else settings.ambient_for_namespaced


def _local_plan(location: Snapshot, local: LocalSpec, endpoint: str | None, settings: PlanSettings) -> LocalPlan:
    if settings.local_root is None:
        raise LocalDisabledError(
            "Local locations are switched off: this process runs without --local-root. Use another kind of location, "
            "or ask the platform team to set a local root."
        )
    tenant = CLUSTER_TENANT if location.ref.namespace is None else location.ref.namespace
    root = resolve_root(settings.local_root, tenant, local.path)
    return LocalPlan(location.ref, root, settings.local_root, endpoint or settings.public_url)


class KnownContainers(Objects, Protocol):
    """What is known of the cluster, with the StowContainers of a location by name."""

    def declared(self, location: ObjectRef, container_name: str) -> Collection[Snapshot]: ...


def store_config(
    location: Snapshot, spec: LocationSpec, objects: KnownContainers, *, settings: PlanSettings
) -> StoreConfig:
    """The rules of the location's store. They hold at once, also for a client that stays."""
    signs = not isinstance(spec.backend, LocalSpec) or bool(spec.signed_url.endpoint or settings.public_url)
    return StoreConfig(
        uid=location.uid,
        base_container=spec.base_container.name if spec.base_container else None,
        dynamic_allowed=_dynamic_rule(location.ref, spec, objects),
        sign_methods=frozenset(Method(each) for each in spec.signed_url.methods) if signs else frozenset(),
        default_ttl=spec.signed_url.default_ttl,
        max_ttl=spec.signed_url.max_ttl,
        max_read_bytes=spec.limits.max_read_bytes,
        max_write_bytes=spec.limits.max_write_bytes,
    )


def _dynamic_rule(
    location: ObjectRef, spec: LocationSpec, objects: KnownContainers
) -> Callable[[str, Scope | None], bool]:
    dynamic = spec.dynamic_containers

    def allowed(name: str, scope: Scope | None) -> bool:
        """Asked anew each time: namespaces come and go, and a StowContainer's container is never served through its location."""
        if not dynamic.enabled or scope is None or objects.declared(location, name):
            return False
        namespaces = objects.namespaces()
        labels = namespaces.get(scope.namespace)
        if location.namespace is not None:
            if scope.namespace != location.namespace:
                return False
        elif labels is None or not spec.allowed_namespaces.allows(scope.namespace, labels):
            return False
        verdict = judge_name(dynamic.name_pattern, name, scope.namespace, namespaces=namespaces)
        return verdict is NameVerdict.ALLOWED

    return allowed


def metrics_label(location: ObjectRef) -> str:
    """``namespace/name``, or ``name`` for a cluster location."""
    return f"{location.namespace}/{location.name}" if location.namespace else location.name


def route_of(location: ObjectRef) -> Callable[[ContainerEntry], str]:
    """How the gateway addresses a container of this location: what a local signature is bound to."""

    def route(entry: ContainerEntry) -> str:
        if entry.origin is Origin.DECLARED and entry.namespace and entry.resource:
            return f"namespaces/{_segment(entry.namespace)}/containers/{_segment(entry.resource)}"
        container = f"containers/{_segment(entry.name)}"
        if location.namespace is None:
            return f"clusterlocations/{_segment(location.name)}/{container}"
        return f"namespaces/{_segment(location.namespace)}/locations/{_segment(location.name)}/{container}"

    return route


def _segment(text: str) -> str:
    return quote(text, safe=_UNRESERVED)


_UNRESERVED: Final = "-._~"
