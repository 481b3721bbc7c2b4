"""A CA bundle is certificates and nothing else, and no message repeats a word of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stow.api.fields import Fields
from stow.api.trust import MAX_BUNDLE_BYTES, CABundleRef, ca_bundle_of, certificates
from stow.dev.certificates import Authority
from stow.errors import InvalidSpecError

CANARY = b"Q0FOQVJZc2VjcmV0"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Authority(tmp_path_factory.mktemp("ca"), now=datetime.now(UTC)).path.read_bytes()


def block(label: str, body: bytes = CANARY) -> bytes:
    return f"-----BEGIN {label}-----\n".encode() + body + f"\n-----END {label}-----\n".encode()


def test_a_bundle_is_its_certificates(pem: bytes) -> None:
    assert certificates(pem) == pem
    assert certificates(pem * 3) == pem * 3


def test_comments_and_line_ends_change_nothing(pem: bytes) -> None:
    commented = "# Größte Behörde\r\n".encode() + pem.replace(b"\n", b"\r\n") + b"\r\n# end"

    assert certificates(commented) == pem


@pytest.mark.parametrize(
    ("bundle", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (CANARY, "is no PEM"),
        (b"\x30\x82" + CANARY, "is no PEM"),
        (block("CERTIFICATE")[:-8], "is no PEM"),
        (block("CERTIFICATE").replace(b"END CERT", b"END CART"), "is no PEM"),
        (block("CERTIFICATE", b"<!DOCTYPE html>"), "is no PEM"),
        (block("CERTIFICATE"), "holds a CERTIFICATE block that cannot be read"),
        (block("CERTIFICATE", b""), "holds a CERTIFICATE block that cannot be read"),
        (block("CERTIFICATE", b"abc"), "holds a CERTIFICATE block that cannot be read"),
        (block("X509 CRL"), "holds a PEM block that is no CERTIFICATE"),
        (block("TRUSTED CERTIFICATE"), "holds a PEM block that is no CERTIFICATE"),
        (block("PRIVATE KEY"), "holds a private key"),
        (block("RSA PRIVATE KEY"), "holds a private key"),
        (block("EC PRIVATE KEY")[:30], "holds a private key"),
        (b"#" * (MAX_BUNDLE_BYTES + 1), "is longer than 256 KiB"),
    ],
)
def test_what_is_no_bundle_is_refused_without_repeating_it(bundle: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        certificates(bundle)

    assert CANARY.decode() not in str(raised.value)


def test_one_bad_block_spoils_a_bundle(pem: bytes) -> None:
    """Else half of a bundle would be trusted, and nobody would hear of the other half."""
    with pytest.raises(ValueError, match="private key"):
        certificates(pem + block("PRIVATE KEY"))
    with pytest.raises(ValueError, match="cannot be read"):
        certificates(pem + block("CERTIFICATE"))
    with pytest.raises(ValueError, match="is no PEM"):
        certificates(pem + b"-----BEGIN CERTIFICATE-----\n" + CANARY)


def test_many_open_blocks_are_refused_in_linear_time() -> None:
    with pytest.raises(ValueError, match="is no PEM"):
        certificates(b"-----BEGIN CERTIFICATE-----\n" * (MAX_BUNDLE_BYTES // 28))


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (None, None),
        ({"secretRef": {"name": "a"}}, CABundleRef("Secret", "a", "ca.crt")),
        ({"configMapRef": {"name": "a", "key": "x.pem"}}, CABundleRef("ConfigMap", "a", "x.pem")),
    ],
)
def test_a_reference_names_one_key(raw: object, found: CABundleRef | None) -> None:
    assert ca_bundle_of(Fields.of({"caBundle": raw}, "spec")) == found


@pytest.mark.parametrize("raw", [{}, {"secretRef": {}}, {"configMapRef": {"name": "a", "key": "../b"}}, [], "x"])
def test_another_reference_is_refused(raw: object) -> None:
    with pytest.raises(InvalidSpecError, match=r"spec\.caBundle"):
        ca_bundle_of(Fields.of({"caBundle": raw}, "spec"))
