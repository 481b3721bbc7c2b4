"""Keys and certificates of the local control plane."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509.verification import PolicyBuilder, Store

from stow.dev.certificates import LIFETIME, Authority, KeyPair, write_token_keys

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


def load(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate_path.read_bytes())


def test_the_serving_certificate_is_valid_for_its_names_by_its_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path, now=NOW)
    serving = load(authority.issue_server("server"))
    store = Store([x509.load_pem_x509_certificate(authority.path.read_bytes())])

    for name in ("localhost", "127.0.0.1"):
        subject = x509.DNSName(name) if name.isalpha() else x509.IPAddress(ip_address(name))
        verifier = PolicyBuilder().store(store).time(NOW + timedelta(minutes=1)).build_server_verifier(subject)
        assert verifier.verify(serving, [])[0] == serving


def test_a_client_certificate_carries_user_and_groups(tmp_path: Path) -> None:
    client = load(Authority(tmp_path, now=NOW).issue_client("admin", user="jane", groups=["system:masters", "other"]))

    assert [name.value for name in client.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)] == ["jane"]
    assert [name.value for name in client.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)] == [
        "system:masters",
        "other",
    ]


def test_certificates_live_as_long_as_they_say(tmp_path: Path) -> None:
    client = load(Authority(tmp_path, now=NOW).issue_client("c", user="u"))

    assert client.not_valid_before_utc < NOW
    assert client.not_valid_after_utc == NOW + LIFETIME


def test_openssl_takes_every_pair(tmp_path: Path) -> None:
    authority = Authority(tmp_path, now=NOW)
    for pair in (authority.issue_server("s"), authority.issue_client("c", user="u")):
        ssl.create_default_context(cafile=str(authority.path)).load_cert_chain(pair.certificate_path, pair.key_path)


def test_the_token_keys_are_a_pair(tmp_path: Path) -> None:
    private, public = write_token_keys(tmp_path)

    assert load_pem_private_key(private.read_bytes(), None).public_key() == load_pem_public_key(public.read_bytes())


def test_no_file_is_readable_by_others(tmp_path: Path) -> None:
    authority = Authority(tmp_path, now=NOW)
    authority.issue_server("s")
    authority.issue_client("c", user="u")
    write_token_keys(tmp_path)

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
