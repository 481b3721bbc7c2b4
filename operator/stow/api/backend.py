"""Where a location's objects are: the union of the kinds of backends in its spec.

An endpoint is a bare http or https URL, and a local path stays below its root.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from stow.api.fields import Fields, invalid_spec
from stow.api.urls import url_field

ADDRESSING_STYLES: Final = ("Auto", "Path", "Virtual")
DIALECTS: Final = ("Auto", "AWS", "MinIO", "Ceph", "R2", "VersityGW", "Generic")

_REGION: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", re.ASCII)


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


Backend = S3Spec | LocalSpec


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
