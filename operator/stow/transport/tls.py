"""Whom a connection trusts. There is no switch that trusts everybody."""

from __future__ import annotations

import ssl

from stow.errors import InvalidSpecError


def trust(ca_pem: bytes | None) -> ssl.SSLContext:
    """A client's context: the system's authorities and those of ``ca_pem``, host names checked, TLS 1.2 or newer.

    Raises:
        InvalidSpecError: ``ca_pem`` holds no certificate, or something that is none.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_pem is None:
        return context
    try:
        context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise InvalidSpecError(
            "The CA bundle holds no usable certificate: write one or more PEM blocks that begin with -----BEGIN CERTIFICATE-----."
        ) from None
    return context
