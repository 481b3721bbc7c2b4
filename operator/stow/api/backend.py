"""Where a location's objects are: the union of the kinds of backends in its spec.

An endpoint is a bare http or https URL, and a local path stays below its root. Names that become part of a host, a path or a header are
checked for their form here, so that none of them can lead a request elsewhere.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final
from urllib.parse import urlsplit

from stow.api.fields import Fields, invalid_spec
from stow.api.urls import url_field

ADDRESSING_STYLES: Final = ("Auto", "Path", "Virtual")
DIALECTS: Final = ("Auto", "AWS", "MinIO", "Ceph", "R2", "VersityGW", "Generic")
AUTH_VERSIONS: Final = ("Auto", "V1", "V3")
INTERFACES: Final = ("public", "internal", "admin")
DEFAULT_DOMAIN: Final = "Default"
"""Keystone's own name for the domain that an installation begins with."""

_REGION: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", re.ASCII)
_PROJECT: Final = re.compile(r"[a-z0-9]([a-z0-9.:-]*[a-z0-9])?", re.ASCII)
_EMAIL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", re.ASCII)
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}", re.ASCII)
_OCI_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?", re.ASCII)
_OCI_REGION: Final = re.compile(r"[a-z]{2,16}(-[a-z0-9]{1,16}){1,4}", re.ASCII)
_KEYSTONE_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]+")
_KEYSTONE_ID: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_V1_PATH: Final = re.compile(r".*/v1(\.0)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class S3Spec:
    """An S3 endpoint. Without an endpoint it is AWS in `region`; `region` is None where only an endpoint is given."""

    member: ClassVar[str] = "s3"
    endpoint: str | None
    region: str | None
    addressing_style: str = "Auto"
    dialect: str = "Auto"


@dataclass(frozen=True, slots=True)
class GoogleSpec:
    """Google Cloud Storage. `project`: where containers are created; None where the credentials say it."""

    member: ClassVar[str] = "google"
    project: str | None = None
    endpoint: str | None = None
    signer_service_account: str | None = None
    """Whose key ambient credentials let Google sign with; None for their own."""


@dataclass(frozen=True, slots=True)
class AzureSpec:
    """One storage account. Without an endpoint it is `https://<account>.blob.core.windows.net`."""

    member: ClassVar[str] = "azure"
    account: str
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class SwiftSpec:
    """OpenStack Swift, found through its authentication: `auth_url` is Keystone's, or that of Swift's own (V1)."""

    member: ClassVar[str] = "swift"
    auth_url: str
    auth_version: str = "Auto"
    region: str | None = None
    project_name: str | None = None
    project_id: str | None = None
    project_domain_name: str = DEFAULT_DOMAIN
    user_domain_name: str = DEFAULT_DOMAIN
    interface: str = "public"

    @property
    def endpoint(self) -> str:
        """Where requests begin; where they go on, the answer says."""
        return self.auth_url

    @property
    def is_v1(self) -> bool:
        """Whether it is Swift's own authentication."""
        if self.auth_version == "Auto":
            return _V1_PATH.fullmatch(urlsplit(self.auth_url).path) is not None
        return self.auth_version == "V1"


@dataclass(frozen=True, slots=True)
class OracleSpec:
    """Oracle Object Storage by its S3 API."""

    member: ClassVar[str] = "oracle"
    namespace: str
    region: str
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """A folder below the tenancy root, as a relative path without empty, `.` or `..` segments."""

    member: ClassVar[str] = "local"
    path: str


RemoteBackend = S3Spec | GoogleSpec | AzureSpec | SwiftSpec | OracleSpec
Backend = RemoteBackend | LocalSpec


def backend_of(spec: Fields) -> Backend:
    """The one union member that is set. Raises: InvalidSpecError."""
    given = [member for member in _READERS if spec.has(member)]
    if len(given) != 1:
        raise invalid_spec("spec", f"exactly one of {', '.join(_READERS)} must be set")
    return _READERS[given[0]](spec.child(given[0]))


def _s3(s3: Fields) -> S3Spec:
    endpoint = url_field(s3, "endpoint", with_path=False)
    region = s3.optional_text("region", max_length=63, pattern=_REGION)
    if endpoint is None and region is None:
        raise invalid_spec("spec.s3", "endpoint or region must be set")
    return S3Spec(
        endpoint=endpoint,
        region=region,
        addressing_style=s3.one_of("addressingStyle", ADDRESSING_STYLES, default="Auto"),
        dialect=s3.one_of("dialect", DIALECTS, default="Auto"),
    )


def _google(google: Fields) -> GoogleSpec:
    return GoogleSpec(
        project=google.optional_text("project", max_length=128, pattern=_PROJECT),
        endpoint=url_field(google, "endpoint", with_path=False),
        signer_service_account=google.optional_text("signerServiceAccount", pattern=_EMAIL),
    )


def _azure(azure: Fields) -> AzureSpec:
    return AzureSpec(
        account=azure.text("account", max_length=24, pattern=_ACCOUNT),
        endpoint=url_field(azure, "endpoint", with_path=True),
    )


def _swift(swift: Fields) -> SwiftSpec:
    auth_url = url_field(swift, "authURL", with_path=True)
    if auth_url is None:
        raise swift.error("authURL", "is required")
    found = SwiftSpec(
        auth_url=auth_url,
        auth_version=swift.one_of("authVersion", AUTH_VERSIONS, default="Auto"),
        region=swift.optional_text("region", pattern=_KEYSTONE_NAME),
        project_name=swift.optional_text("projectName", max_length=64, pattern=_KEYSTONE_NAME),
        project_id=swift.optional_text("projectID", max_length=64, pattern=_KEYSTONE_ID),
        project_domain_name=swift.optional_text("projectDomainName", max_length=64, pattern=_KEYSTONE_NAME)
        or DEFAULT_DOMAIN,
        user_domain_name=swift.optional_text("userDomainName", max_length=64, pattern=_KEYSTONE_NAME) or DEFAULT_DOMAIN,
        interface=swift.one_of("interface", INTERFACES, default="public"),
    )
    if found.project_name is not None and found.project_id is not None:
        raise swift.error("projectID", "must be absent beside projectName")
    if found.is_v1 and (found.region or found.project_name or found.project_id):
        raise swift.error("authVersion", "V1 has no region and no project")
    return found


def _oracle(oracle: Fields) -> OracleSpec:
    return OracleSpec(
        namespace=oracle.text("namespace", max_length=63, pattern=_OCI_NAMESPACE),
        region=oracle.text("region", max_length=63, pattern=_OCI_REGION),
        endpoint=url_field(oracle, "endpoint", with_path=False),
    )


def _local(local: Fields) -> LocalSpec:
    path = local.text("path", max_length=253)
    if not all(_SEGMENT.fullmatch(segment) for segment in path.split("/")):
        raise local.error("path", "must be relative, its segments of letters, digits, '_', '-' and inner '.'")
    return LocalSpec(path=path)


_READERS: Final[Mapping[str, Callable[[Fields], Backend]]] = MappingProxyType(
    {"s3": _s3, "google": _google, "azure": _azure, "swift": _swift, "oracle": _oracle, "local": _local}
)
