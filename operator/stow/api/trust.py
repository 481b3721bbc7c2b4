"""Whom a location trusts beside the system's authorities: the reference in its spec, and the certificates in what that names.

Refuses everything that is no certificate, private keys above all. There is no field that switches verification off.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final, Literal

from stow.api.fields import Fields
from stow.api.names import DNS_SUBDOMAIN

DEFAULT_KEY: Final = "ca.crt"
"""As cert-manager and Kubernetes itself call it."""
MAX_BUNDLE_BYTES: Final = 256 * 1024
"""The bundle of all public authorities has some 220 KiB."""

_KEY: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_BEGIN: Final = b"-----BEGIN "
_DER_SEQUENCE: Final = b"\x30"


@dataclass(frozen=True, slots=True)
class CABundleRef:
    """One key of a Secret or ConfigMap in the location's own namespace, or in the operator's for a ClusterStowLocation."""

    kind: Literal["Secret", "ConfigMap"]
    name: str
    key: str = DEFAULT_KEY


def ca_bundle_of(spec: Fields) -> CABundleRef | None:
    """The reference of `caBundle`, None where it is absent. Raises: InvalidSpecError."""
    if not spec.has("caBundle"):
        return None
    bundle = spec.child("caBundle")
    if bundle.has("secretRef") == bundle.has("configMapRef"):
        raise spec.error("caBundle", "must have exactly one of secretRef and configMapRef")
    kind: Literal["Secret", "ConfigMap"] = "Secret" if bundle.has("secretRef") else "ConfigMap"
    ref = bundle.child("secretRef" if kind == "Secret" else "configMapRef")
    return CABundleRef(
        kind,
        name=ref.text("name", pattern=DNS_SUBDOMAIN),
        key=ref.optional_text("key", pattern=_KEY) or DEFAULT_KEY,
    )


def certificates(bundle: bytes) -> bytes:
    """The PEM blocks of a bundle, one after the other and nothing else: comments between them change no client.

    Raises:
        ValueError: says what is wrong with it, without a word of it.
    """
    if not bundle.strip():
        raise ValueError("is empty")
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise ValueError(f"is longer than {MAX_BUNDLE_BYTES // 1024} KiB")
    if b"PRIVATE KEY-----" in bundle:
        raise ValueError("holds a private key; name the key of the certificates, which is usually ca.crt")
    blocks = list(_BLOCK.finditer(bundle))
    if not blocks or len(blocks) != bundle.count(_BEGIN):
        raise ValueError(
            "is no PEM: it needs whole blocks from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
        )
    return b"".join(_certificate(label=block[1], body=block[2]) for block in blocks)


def _certificate(*, label: bytes, body: bytes) -> bytes:
    if label != b"CERTIFICATE":
        raise ValueError("holds a PEM block that is no CERTIFICATE")
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        der = b""
    if not der.startswith(_DER_SEQUENCE):
        raise ValueError("holds a CERTIFICATE block that cannot be read")
    text = base64.b64encode(der)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])
