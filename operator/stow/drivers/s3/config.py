"""How an S3 driver is set up. Data only; secrets never show in a repr."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from stow.drivers.s3.endpoint import AddressingStyle
from stow.storage.egress import EgressPolicy
from stow.storage.model import MIB
from stow.transport.deadlines import Deadlines

GIB: Final = 1024 * MIB
METADATA_EGRESS: Final = EgressPolicy(
    allowed=tuple(
        ipaddress.ip_network(address)
        for address in (
            "169.254.169.254",  # instance metadata
            "fd00:ec2::254",
            "169.254.170.2",  # ECS
            "169.254.170.23",  # EKS Pod Identity
            "fd00:ec2::23",
        )
    )
)
"""The services that give credentials to this machine, and what any endpoint may be (STS)."""


class Dialect(StrEnum):
    """Whose S3 it is. Auto is found by the probe."""

    AUTO = "Auto"
    AWS = "AWS"
    MINIO = "MinIO"
    CEPH = "Ceph"
    R2 = "R2"
    VERSITYGW = "VersityGW"
    GENERIC = "Generic"
    ORACLE = "Oracle"
    """Of the kind ``oracle`` (oracle.py); no location of the kind ``s3`` names it."""


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """Keys from a Secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Ambient:
    """What the operator's environment gives: keys, a web identity, the container's or the instance's role. Belongs to the platform."""

    environ: Mapping[str, str] | None = field(default=None, repr=False)
    """Environment variables; None is the process's own, as they are when the driver is made."""
    egress: EgressPolicy = METADATA_EGRESS
    """For the requests that fetch credentials alone."""


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Requests without a signature."""


Credentials = StaticCredentials | Ambient | Anonymous


@dataclass(frozen=True, slots=True)
class Multipart:
    """When and how bodies are cut into parts. The defaults are those of real backends; tests make them small."""

    threshold_bytes: int = 64 * MIB
    """A body of a known size above this goes up in parts."""
    first_part_bytes: int = 8 * MIB
    """Of a body of unknown size: the first parts, which grow (parts.py)."""
    streamed_part_bytes: int = 64 * MIB
    """Of a body of known size: its parts are streamed, not buffered, so they can be big."""
    concurrency: int = 4
    """Parts of one upload in flight."""
    max_parts: int = 10_000
    max_single_copy_bytes: int = 5 * GIB
    """CopyObject's limit; above it UploadPartCopy is used."""
    copy_part_bytes: int = 512 * MIB
    abandoned_after: timedelta = timedelta(days=7)
    """An upload that began longer ago is taken for abandoned: longer than any upload lasts, the usual value of lifecycle rules."""


@dataclass(frozen=True, slots=True)
class S3Config:
    """One S3 backend. ``endpoint=None`` is AWS of the region. ``scheme`` is that of its references."""

    credentials: Credentials
    scheme: str = "s3"
    identity: str | None = None
    """Which backend it is, where neither the endpoint's partition nor its host says so."""
    endpoint: str | None = None
    region: str | None = None
    addressing_style: AddressingStyle = AddressingStyle.AUTO
    dialect: Dialect = Dialect.AUTO
    presign_endpoint: str | None = None
    """Base of signed URLs where clients reach the backend under another name."""
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    deadlines: Deadlines = field(default_factory=Deadlines)
    multipart: Multipart = field(default_factory=Multipart)
    ssl_context: ssl.SSLContext | None = None
    """Trust of a private CA; None is the system's trust."""
    max_connections: int = 100
    sdk_threads: int = 4
