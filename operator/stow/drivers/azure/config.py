"""How an Azure driver is set up. Data only; secrets never show in a repr."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final

from stow.storage.egress import EgressPolicy
from stow.storage.model import MIB
from stow.transport.deadlines import Deadlines

PUBLIC_AUTHORITY: Final = "https://login.microsoftonline.com"
METADATA_ONLY: Final = EgressPolicy(
    denied=(ip_network("0.0.0.0/0"), ip_network("::/0")), allowed=(ip_network("169.254.169.254/32"),)
)
"""A managed identity is asked for at the instance's metadata address and nowhere else."""


@dataclass(frozen=True, slots=True)
class SharedKey:
    """One of the account's two keys, base64 as Azure shows it."""

    account_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SasToken:
    """A shared access signature that somebody else made: it goes out with every request and cannot sign anything itself."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """An application of Microsoft Entra ID with a client secret."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ambient:
    """The process's own identity: a service principal in the environment, else a workload identity, else a managed identity.

    Belongs to the platform. ``metadata_egress`` is for the last of the three alone.
    """

    metadata_egress: EgressPolicy = METADATA_ONLY


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Requests without authorization."""


Credentials = SharedKey | SasToken | ServicePrincipal | Ambient | Anonymous


@dataclass(frozen=True, slots=True)
class Blocks:
    """When and how bodies are cut into blocks. The defaults are those of the service; tests make them small."""

    single_bytes: int = 5000 * MIB
    """The most that Put Blob takes, and what it is used up to: it streams, and one request is one version or none."""
    first_block_bytes: int = 8 * MIB
    """Of a body of unknown size: the first blocks, which are buffered and grow."""
    streamed_block_bytes: int = 256 * MIB
    """Of a body of known size: its blocks are streamed, not buffered, so they can be big."""
    concurrency: int = 4
    """Blocks of one upload in flight."""
    max_blocks: int = 50_000
    max_block_bytes: int = 4000 * MIB
    copy_block_bytes: int = 256 * MIB
    """Of a copy; the service reads them by itself."""


@dataclass(frozen=True, slots=True)
class AzureConfig:
    """One storage account. ``endpoint=None`` is ``https://<account>.blob.core.windows.net``; an endpoint may have a path, where an
    emulator has the account's name."""

    account: str
    credentials: Credentials
    endpoint: str | None = None
    presign_endpoint: str | None = None
    """Base of signed URLs where clients reach the account under another name."""
    authority: str = PUBLIC_AUTHORITY
    """Where tokens of a service principal come from: the operator's setting, never a Secret's."""
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    deadlines: Deadlines = field(default_factory=Deadlines)
    blocks: Blocks = field(default_factory=Blocks)
    ssl_context: ssl.SSLContext | None = None
    """Trust of a private CA; None is the system's trust."""
    max_connections: int = 100
