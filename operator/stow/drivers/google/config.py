"""How a Google driver is set up. Data only; secrets never show in a repr."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stow.storage.egress import EgressPolicy
from stow.storage.model import MIB
from stow.transport.deadlines import Deadlines

TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
IAM_ENDPOINT: Final = "https://iamcredentials.googleapis.com"
METADATA_ENDPOINT: Final = "http://169.254.169.254"
"""The address behind ``metadata.google.internal``; a name could be made to lead elsewhere."""


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """What is taken from a service account's key in a Secret. Where tokens come from is no part of it."""

    client_email: str
    private_key: str = field(repr=False)
    """PEM of PKCS#8."""
    private_key_id: str | None = None
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ambient:
    """The platform's own identity: the file that GOOGLE_APPLICATION_CREDENTIALS names (a service account, or an external account of
    Workload Identity Federation), else the metadata server (GKE Workload Identity). Never gcloud's files of a user."""

    environ: Mapping[str, str] | None = field(default=None, repr=False)
    """None is the process's own, read when the first token is needed."""


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Requests without a token."""


Credentials = ServiceAccountKey | Ambient | Anonymous


@dataclass(frozen=True, slots=True)
class Uploads:
    """When and how bodies are cut. The defaults are those of real backends; tests make them small."""

    single_bytes: int = 64 * MIB
    """A body of a known size up to this goes up in one request."""
    chunk_bytes: int = 8 * MIB
    """Of a body of unknown size, which is buffered chunk by chunk; a multiple of 256 KiB."""


@dataclass(frozen=True, slots=True)
class GoogleConfig:
    """One project's Cloud Storage. ``endpoint=None`` is Google's own."""

    credentials: Credentials
    project: str | None = None
    """Where new buckets go; None is the project of the credentials."""
    endpoint: str | None = None
    presign_endpoint: str | None = None
    """Base of signed URLs where clients reach the backend under another name."""
    signer_service_account: str | None = None
    """Who signs URLs, by IAM's signBlob; None is the account of the credentials."""
    token_uri: str = TOKEN_URI
    iam_endpoint: str = IAM_ENDPOINT
    metadata_endpoint: str = METADATA_ENDPOINT
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    deadlines: Deadlines = field(default_factory=Deadlines)
    uploads: Uploads = field(default_factory=Uploads)
    ssl_context: ssl.SSLContext | None = None
    """Trust of a private CA; None is the system's trust."""
    max_connections: int = 100
    sdk_threads: int = 4
