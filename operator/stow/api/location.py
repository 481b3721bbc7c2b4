"""The typed spec of StowLocation and ClusterStowLocation: where objects may live, and on whose terms.

`location_spec` takes any value and yields a whole, consistent spec or `InvalidSpecError`; what it yields obeys every rule
that the schema states, so that nothing below checks again.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from stow.api.backend import Backend, LocalSpec, backend_of
from stow.api.durations import duration_field
from stow.api.fields import Fields
from stow.api.meta import CLUSTER_STOW_LOCATION, LOCATION_KINDS
from stow.api.names import DNS_LABEL, NAMESPACE_TOKEN, is_container_name, is_name_pattern
from stow.api.namespaces import AllowedNamespaces, allowed_namespaces_from_fields
from stow.api.principal import Credentials, credentials_of, signing_credentials_of
from stow.api.trust import CABundleRef, ca_bundle_of
from stow.api.urls import url_field

SIGNED_METHODS: Final = ("GET", "PUT", "HEAD", "DELETE")

DEFAULT_PROBE_INTERVAL: Final = timedelta(minutes=5)
MIN_PROBE_INTERVAL: Final = timedelta(seconds=1)
"""What the schema takes; the operator has a floor of its own, which protects backends."""
MAX_PROBE_INTERVAL: Final = timedelta(hours=24)
DEFAULT_SIGNED_TTL: Final = timedelta(minutes=15)
DEFAULT_MAX_SIGNED_TTL: Final = timedelta(hours=1)
MIN_SIGNED_TTL: Final = timedelta(seconds=1)
LONGEST_SIGNED_TTL: Final = timedelta(hours=168)
"""Seven days: the longest expiry that Signature Version 4 has."""

PATHS_IN_SIGNED_URLS: Final = frozenset({"azure", "swift", "local"})
"""The signatures of the other kinds cover the whole path, so that a prefix before it would break every one of them."""

_MAX_LOADABLE: Final = 256


@dataclass(frozen=True, slots=True)
class BaseContainerSpec:
    """The container that is always there."""

    name: str
    create_if_not_found: bool = False


@dataclass(frozen=True, slots=True)
class DynamicContainersSpec:
    """Containers that are loaded when they are first asked for."""

    enabled: bool = False
    name_pattern: str = "*"


@dataclass(frozen=True, slots=True)
class SignedURLSpec:
    """What signed URLs may do; `endpoint` None means the location's own endpoint or the operator's public URL."""

    endpoint: str | None = None
    methods: tuple[str, ...] = ("GET",)
    default_ttl: timedelta = DEFAULT_SIGNED_TTL
    max_ttl: timedelta = DEFAULT_MAX_SIGNED_TTL
    credentials: Credentials | None = None
    """None: those of the location itself sign."""


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """The largest object that is read or written; None is no limit."""

    max_read_bytes: int | None = None
    max_write_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LoadableContainer:
    """One container that one namespace may take over with Load or LoadOrCreate."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class LocationSpec:
    """The spec of either kind. `credentials` is None exactly for a local backend.

    `allowed_namespaces` and `loadable_containers` have a meaning only where `is_cluster`.
    """

    is_cluster: bool
    backend: Backend
    credentials: Credentials | None
    container_name_pattern: str
    base_container: BaseContainerSpec | None = None
    dynamic_containers: DynamicContainersSpec = DynamicContainersSpec()
    signed_url: SignedURLSpec = SignedURLSpec()
    limits: LimitsSpec = LimitsSpec()
    ca_bundle: CABundleRef | None = None
    allowed_namespaces: AllowedNamespaces = field(default_factory=AllowedNamespaces)
    loadable_containers: frozenset[LoadableContainer] = frozenset()
    probe_interval: timedelta = DEFAULT_PROBE_INTERVAL
    suspend: bool = False

    @property
    def member(self) -> str:
        """The name of the union member that is set, which never changes, such as `s3` or `local`."""
        return self.backend.member


def default_container_name_pattern(kind: str) -> str:
    """`spec.containerNamePattern` where it is absent."""
    return f"{NAMESPACE_TOKEN}-*" if kind == CLUSTER_STOW_LOCATION.kind else "*"


def location_spec(kind: str, raw: object) -> LocationSpec:
    """The spec of one StowLocation or ClusterStowLocation. Raises: InvalidSpecError; ValueError for another kind."""
    if kind not in LOCATION_KINDS:
        raise ValueError("the kind is neither StowLocation nor ClusterStowLocation")
    spec = Fields.of(raw, "spec")
    is_cluster = kind == CLUSTER_STOW_LOCATION.kind
    for key in ("allowedNamespaces", "loadableContainers"):
        if spec.has(key) and not is_cluster:
            raise spec.error(key, "belongs to ClusterStowLocation")
    backend = backend_of(spec)
    return LocationSpec(
        is_cluster=is_cluster,
        backend=backend,
        credentials=credentials_of(spec, backend),
        container_name_pattern=_pattern(spec, "containerNamePattern", default_container_name_pattern(kind)),
        base_container=_base_container(spec),
        dynamic_containers=_dynamic_containers(spec, is_cluster=is_cluster),
        signed_url=_signed_url(spec, backend),
        limits=_limits(spec),
        ca_bundle=_ca_bundle(spec, backend),
        allowed_namespaces=allowed_namespaces_from_fields(spec.child("allowedNamespaces")),
        loadable_containers=_loadable(spec),
        probe_interval=duration_field(
            spec,
            "probeInterval",
            default=DEFAULT_PROBE_INTERVAL,
            minimum=MIN_PROBE_INTERVAL,
            maximum=MAX_PROBE_INTERVAL,
        ),
        suspend=spec.flag("suspend"),
    )


def _pattern(fields: Fields, key: str, default: str) -> str:
    pattern = fields.optional_text(key) or default
    if not is_name_pattern(pattern):
        raise fields.error(key, "must consist of a-z, 0-9, '.', '-', '*' and {namespace}")
    return pattern


def _container_name(fields: Fields, key: str) -> str:
    name = fields.text(key, max_length=63)
    if not is_container_name(name):
        raise fields.error(key, "must be 3 to 63 lower-case letters, digits, '-' and single inner '.'")
    return name


def _base_container(spec: Fields) -> BaseContainerSpec | None:
    if not spec.has("baseContainer"):
        return None
    base = spec.child("baseContainer")
    return BaseContainerSpec(_container_name(base, "name"), create_if_not_found=base.flag("createIfNotFound"))


def _dynamic_containers(spec: Fields, *, is_cluster: bool) -> DynamicContainersSpec:
    dynamic = spec.child("dynamicContainers")
    enabled = dynamic.flag("enabled")
    pattern = _pattern(dynamic, "namePattern", "*")
    if is_cluster and enabled and NAMESPACE_TOKEN not in pattern:
        raise dynamic.error("namePattern", "must contain {namespace} on a ClusterStowLocation")
    return DynamicContainersSpec(enabled=enabled, name_pattern=pattern)


def _signed_url(spec: Fields, backend: Backend) -> SignedURLSpec:
    signed = spec.child("signedURL")
    methods = signed.texts("methods", max_items=len(SIGNED_METHODS)) or ("GET",)
    is_given_empty = signed.has("methods") and not signed.items("methods", max_items=len(SIGNED_METHODS))
    if is_given_empty or not set(methods) <= set(SIGNED_METHODS) or len(set(methods)) != len(methods):
        raise signed.error("methods", f"must be different ones of {', '.join(SIGNED_METHODS)}")
    default_ttl = duration_field(signed, "defaultTTL", default=DEFAULT_SIGNED_TTL, minimum=MIN_SIGNED_TTL)
    max_ttl = duration_field(
        signed, "maxTTL", default=DEFAULT_MAX_SIGNED_TTL, minimum=MIN_SIGNED_TTL, maximum=LONGEST_SIGNED_TTL
    )
    if default_ttl > max_ttl:
        raise signed.error("defaultTTL", "must not be longer than maxTTL")
    return SignedURLSpec(
        url_field(signed, "endpoint", with_path=backend.member in PATHS_IN_SIGNED_URLS),
        methods,
        default_ttl,
        max_ttl,
        signing_credentials_of(signed, backend),
    )


def _ca_bundle(spec: Fields, backend: Backend) -> CABundleRef | None:
    if isinstance(backend, LocalSpec) and spec.has("caBundle"):
        raise spec.error("caBundle", "must be absent: a local location has no connection to secure")
    return ca_bundle_of(spec)


def _limits(spec: Fields) -> LimitsSpec:
    limits = spec.child("limits")
    return LimitsSpec(
        max_read_bytes=limits.optional_count("maxReadBytes", minimum=1),
        max_write_bytes=limits.optional_count("maxWriteBytes", minimum=1),
    )


def _loadable(spec: Fields) -> frozenset[LoadableContainer]:
    entries = spec.children("loadableContainers", max_items=_MAX_LOADABLE)
    return frozenset(
        LoadableContainer(each.text("namespace", max_length=63, pattern=DNS_LABEL), _container_name(each, "name"))
        for each in entries
    )
