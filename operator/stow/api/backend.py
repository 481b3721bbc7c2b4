"""Where a location's objects are and who the location is there: the two unions of its spec.

An endpoint is a bare http or https URL, a local path stays below its root, and `ambient` is only named here: whether a
kind of location may use it is the operator's setting.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import urlsplit

from stow.api.fields import Fields, invalid_spec
from stow.api.names import DNS_SUBDOMAIN

ADDRESSING_STYLES: Final = ("Auto", "Path", "Virtual")
DIALECTS: Final = ("Auto", "AWS", "MinIO", "Ceph", "R2", "VersityGW", "Generic")

_REGION: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", re.ASCII)
_URL_CHARACTERS: Final = re.compile(r"[!-~]+", re.ASCII)
_MAX_URL_LENGTH: Final = 512


@dataclass(frozen=True, slots=True)
class S3Spec:
    """An S3 endpoint. Without an endpoint it is AWS in `region`; `region` is None where only an endpoint is given."""

    member: ClassVar[str] = "s3"
    endpoint: str | None
    region: str | None
    addressing_style: str = "Auto"
    dialect: str = "Auto"


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """A folder below the tenancy root, as a relative path without empty, `.` or `..` segments."""

    member: ClassVar[str] = "local"
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


def backend_of(spec: Fields) -> Backend:
    """The one union member that is set. Raises: InvalidSpecError."""
    if spec.has("s3") == spec.has("local"):
        raise invalid_spec("spec", "exactly one of s3 and local must be set")
    if spec.has("local"):
        return LocalSpec(path=_relative_path(spec.child("local")))
    s3 = spec.child("s3")
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


def _relative_path(local: Fields) -> str:
    path = local.text("path", max_length=253)
    if not all(_SEGMENT.fullmatch(segment) for segment in path.split("/")):
        raise local.error("path", "must be relative, its segments of letters, digits, '_', '-' and inner '.'")
    return path


def url_field(fields: Fields, key: str, *, with_path: bool) -> str | None:
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


def credentials_of(spec: Fields, backend: Backend) -> Credentials | None:
    """The one member of `credentials`, None for a local backend, which takes none. Raises: InvalidSpecError."""
    if isinstance(backend, LocalSpec):
        if spec.has("credentials"):
            raise spec.error("credentials", "must be absent: a local location takes none")
        return None
    if not spec.has("credentials"):
        raise spec.error("credentials", "is required: one of secretRef, ambient and anonymous")
    return _one_of(spec, ("secretRef", "ambient", "anonymous"))


def signing_credentials_of(signed_url: Fields, backend: Backend) -> Credentials | None:
    """The one member of `signedURL.credentials`; None where the location's own credentials sign. Raises: InvalidSpecError."""
    if not signed_url.has("credentials"):
        return None
    if isinstance(backend, LocalSpec):
        raise signed_url.error("credentials", "must be absent: a local location signs with the operator's keys")
    if signed_url.child("credentials").has("anonymous"):
        raise signed_url.error("credentials", "must be secretRef or ambient: anonymous signs nothing")
    return _one_of(signed_url, ("secretRef", "ambient"))


def _one_of(fields: Fields, members: tuple[str, ...]) -> Credentials:
    raw = fields.child("credentials")
    given = [key for key in members if raw.has(key)]
    if len(given) != 1:
        raise fields.error("credentials", f"must have exactly one of {', '.join(members)}")
    member = raw.child(given[0])
    if given[0] == "secretRef":
        return SecretCredentials(secret_name=member.text("name", pattern=DNS_SUBDOMAIN))
    return AmbientCredentials() if given[0] == "ambient" else AnonymousCredentials()
