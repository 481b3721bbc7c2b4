"""The typed spec of StowLocation and ClusterStowLocation: where objects may live, and on whose terms.

`location_spec` takes any value and yields a whole, consistent spec or `InvalidSpecError`; what it yields obeys every rule
that the schema states, so that nothing below checks again.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from stow.api.durations import duration_field
from stow.api.fields import Fields, invalid_spec
from stow.api.meta import CLUSTER_STOW_LOCATION, LOCATION_KINDS
from stow.api.names import DNS_LABEL, DNS_SUBDOMAIN, NAMESPACE_TOKEN, is_container_name, is_name_pattern
from stow.api.namespaces import AllowedNamespaces, allowed_namespaces_from_fields

ADDRESSING_STYLES: Final = ("Auto", "Path", "Virtual")
DIALECTS: Final = ("Auto", "AWS", "MinIO", "Ceph", "R2", "VersityGW", "Generic")
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

_REGION: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", re.ASCII)
_URL_CHARACTERS: Final = re.compile(r"[!-~]+", re.ASCII)
_MAX_URL_LENGTH: Final = 512
_MAX_LOADABLE: Final = 256


@dataclass(frozen=True, slots=True)
class S3Spec:
    """An S3 endpoint. Without an endpoint it is AWS in `region`; `region` is None where only an endpoint is given."""

    endpoint: str | None
    region: str | None
    addressing_style: str = "Auto"
    dialect: str = "Auto"


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """A folder below the tenancy root, as a relative path without empty, `.` or `..` segments."""

    path: str


@dataclass(frozen=True, slots=True)
class SecretCredentials:
    """A Secret in the location's own namespace, or in the operator's for a ClusterStowLocation."""

    secret_name: str


@dataclass(frozen=True, slots=True)
class AmbientCredentials:
    """What the operator's own environment offers (workload identity, instance role)."""


@dataclass(frozen=True, slots=True)
class AnonymousCredentials:
    """Unsigned requests."""


Backend = S3Spec | LocalSpec
Credentials = SecretCredentials | AmbientCredentials | AnonymousCredentials


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
    allowed_namespaces: AllowedNamespaces = field(default_factory=AllowedNamespaces)
    loadable_containers: frozenset[LoadableContainer] = frozenset()
    probe_interval: timedelta = DEFAULT_PROBE_INTERVAL
    suspend: bool = False

    @property
    def member(self) -> str:
        """The name of the union member that is set, which never changes: `s3` or `local`."""
        return "s3" if isinstance(self.backend, S3Spec) else "local"


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
    backend = _backend(spec)
    return LocationSpec(
        is_cluster=is_cluster,
        backend=backend,
        credentials=_credentials(spec, backend),
        container_name_pattern=_pattern(spec, "containerNamePattern", default_container_name_pattern(kind)),
        base_container=_base_container(spec),
        dynamic_containers=_dynamic_containers(spec, is_cluster=is_cluster),
        signed_url=_signed_url(spec),
        limits=_limits(spec),
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


def _backend(spec: Fields) -> Backend:
    if spec.has("s3") == spec.has("local"):
        raise invalid_spec("spec", "exactly one of s3 and local must be set")
    if spec.has("local"):
        return LocalSpec(path=_relative_path(spec.child("local")))
    s3 = spec.child("s3")
    endpoint = _url(s3, "endpoint", with_path=False)
    region = s3.optional_text("region", max_length=63, pattern=_REGION)
    if endpoint is None and region is None:
        raise invalid_spec("spec.s3", "endpoint or region must be set")
    return S3Spec(
        endpoint=endpoint,
        region=region,
        addressing_style=s3.one_of("addressingStyle", ADDRESSING_STYLES, default="Auto"),
        dialect=s3.one_of("dialect", DIALECTS, default="Auto"),
    )


def _relative_path(local: Fields) -> str:
    path = local.text("path", max_length=253)
    if not all(_SEGMENT.fullmatch(segment) for segment in path.split("/")):
        raise local.error("path", "must be relative, its segments of letters, digits, '_', '-' and inner '.'")
    return path


def _url(fields: Fields, key: str, *, with_path: bool) -> str | None:
    """An http or https URL without user info, query and fragment, and without a trailing slash."""
    text = fields.optional_text(key, max_length=_MAX_URL_LENGTH, pattern=_URL_CHARACTERS)
    if text is None:
        return None
    problem = "must be a URL such as https://s3.example.com:9000, without user, query and fragment"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as exc:
        raise fields.error(key, problem) from exc
    host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
    plain = parts.scheme in ("http", "https") and text.startswith(f"{parts.scheme}://") and _HOST.fullmatch(host)
    if not plain or port == 0 or "?" in text or "#" in text or "\\" in text:
        raise fields.error(key, problem)
    if not with_path and parts.path not in ("", "/"):
        raise fields.error(key, "must have no path")
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        raise fields.error(key, "must have no . or .. in its path")
    return text.rstrip("/")


def _credentials(spec: Fields, backend: Backend) -> Credentials | None:
    if isinstance(backend, LocalSpec):
        if spec.has("credentials"):
            raise spec.error("credentials", "must be absent: a local location takes none")
        return None
    if not spec.has("credentials"):
        raise spec.error("credentials", "is required: one of secretRef, ambient and anonymous")
    raw = spec.child("credentials")
    members = [key for key in ("secretRef", "ambient", "anonymous") if raw.has(key)]
    if len(members) != 1:
        raise spec.error("credentials", "must have exactly one of secretRef, ambient and anonymous")
    member = raw.child(members[0])
    if members[0] == "secretRef":
        return SecretCredentials(secret_name=member.text("name", pattern=DNS_SUBDOMAIN))
    return AmbientCredentials() if members[0] == "ambient" else AnonymousCredentials()


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


def _signed_url(spec: Fields) -> SignedURLSpec:
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
    return SignedURLSpec(_url(signed, "endpoint", with_path=True), methods, default_ttl, max_ttl)


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
