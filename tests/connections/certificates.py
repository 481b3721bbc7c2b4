"""Certificates of a private authority for the fronts, and a driver's trust of it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from connections.rows import Opened
from stow.dev.certificates import Authority, KeyPair, now
from stow.transport.tls import trust

HOST = "localhost"
"""How drivers call the front: a name, so that the injected resolver is asked at each connect."""


@dataclass(frozen=True)
class Certificate:
    """A serving certificate and its authority's."""

    pair: KeyPair
    ca_path: Path

    def context(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.pair.certificate_path, self.pair.key_path)
        return made


def issue(folder: Path, *, name: str = HOST, at: datetime | None = None) -> Certificate:
    folder.mkdir()
    authority = Authority(folder, now=at or now())
    return Certificate(authority.issue_server("server", names=(name,)), authority.path)


def trusting(certificate: Certificate | None, opened: Opened) -> ssl.SSLContext:
    """What a location with a bundle trusts; None leaves the front's authority out of it."""
    paths = (*opened.trusted, *(() if certificate is None else (certificate.ca_path,)))
    return trust(b"".join(path.read_bytes() for path in paths) or None)
