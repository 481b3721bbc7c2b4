"""Whom a connection trusts: the system and a bundle; never everybody."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from stow.dev.certificates import Authority, now
from stow.errors import InvalidSpecError
from stow.transport.tls import trust


def test_a_bundle_is_added_to_the_systems_authorities(tmp_path: Path) -> None:
    authority = Authority(tmp_path, now=now())
    before, after = trust(None), trust(authority.path.read_bytes())
    assert len(after.get_ca_certs()) == len(before.get_ca_certs()) + 1


@pytest.mark.parametrize("context", [trust(None)])
def test_hosts_and_certificates_are_checked_and_old_tls_is_refused(context: ssl.SSLContext) -> None:
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    "bundle",
    [b"", b"no certificate", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\0"],
)
def test_a_bundle_without_a_certificate_is_refused_and_says_what_to_write(bundle: bytes) -> None:
    with pytest.raises(InvalidSpecError, match="BEGIN CERTIFICATE"):
        trust(bundle)
