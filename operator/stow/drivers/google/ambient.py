"""The ambient identity: found by the environment of the process, when it is first needed."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from yarl import URL

from stow.drivers.google.asking import Asking
from stow.drivers.google.config import Ambient, GoogleConfig
from stow.drivers.google.identities import (
    FILE_VARIABLE,
    METADATA_HOST_VARIABLE,
    Carried,
    FileIdentity,
    MetadataIdentity,
)
from stow.drivers.google.tokens import Identity
from stow.errors import CredentialsInvalidError, CredentialsMissingError
from stow.storage.egress import EgressPolicy
from stow.transport.connections import Connections, Outside
from stow.transport.threads import Threads

_METADATA: Final = tuple(ipaddress.ip_network(text) for text in ("169.254.169.254/32", "fd20:ce::254/128"))
_MAX_FILE_BYTES: Final = 64 * 1024


async def find(
    ambient: Ambient,
    config: GoogleConfig,
    *,
    threads: Threads,
    carried: Carried,
    outside: Outside | None,
) -> Identity:
    """The file that the environment names, else the metadata server. Neither is looked at yet."""
    environ = os.environ if ambient.environ is None else ambient.environ
    path = environ.get(FILE_VARIABLE)
    if path:
        return FileIdentity(lambda: _document(path), threads=threads, carried=carried)
    endpoint = _metadata_endpoint(environ, config.metadata_endpoint)
    connections = Connections(
        deadlines=config.deadlines,
        egress=metadata_policy(config.egress, endpoint),
        limit=2,
        outside=outside,
    )
    return MetadataIdentity(endpoint, Asking(connections, outside or Outside()))


def metadata_policy(egress: EgressPolicy, endpoint: URL) -> EgressPolicy:
    """The policy of the connections to the metadata server: its address, or where it has a name those that Google gives it, beside
    what is allowed anyway."""
    own: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    try:
        own = (ipaddress.ip_network(endpoint.host or ""),)
    except ValueError:
        own = _METADATA
    return EgressPolicy(egress.denied, (*egress.allowed, *own))


def _metadata_endpoint(environ: Mapping[str, str], default: str) -> URL:
    host = environ.get(METADATA_HOST_VARIABLE)
    return URL(f"http://{host}" if host else default)


def _document(path: str) -> Mapping[str, Any]:
    """Raises:
    CredentialsMissingError: the file is not there.
    CredentialsInvalidError: it is no JSON object.
    """
    try:
        with Path(path).open("rb") as file:
            found = json.loads(file.read(_MAX_FILE_BYTES))
    except OSError:
        raise CredentialsMissingError(f"The file that {FILE_VARIABLE} names cannot be read.") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CredentialsInvalidError(f"The file that {FILE_VARIABLE} names is no JSON object.")
    return found
