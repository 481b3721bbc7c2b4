"""Of a service account's document four fields are taken; every other type, and every document that can be read two ways, is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from stow.api.credentials.google import (
    GOOGLE_KEYS,
    MAX_DOCUMENT_BYTES,
    GoogleServiceAccount,
    google_service_account,
)
from stow.api.credentials.keys import CredentialsProblem
from stow.api.reasons import Reason

CANARY = "CANARYsecretVALUE"
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = _RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PKCS1 = _RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
EC = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

DOCUMENT = {
    "type": "service_account",
    "project_id": "acme-storage",
    "private_key_id": "0123456789abcdef",
    "private_key": PEM,
    "client_email": "stow@acme-storage.iam.gserviceaccount.com",
    "client_id": "123456789",
    "auth_uri": f"https://evil.example/{CANARY}",
    "token_uri": f"https://evil.example/{CANARY}",
    "client_x509_cert_url": f"https://evil.example/{CANARY}",
    "universe_domain": "googleapis.com",
}
FOUND = GoogleServiceAccount("stow@acme-storage.iam.gserviceaccount.com", PEM, "0123456789abcdef", "acme-storage")


def document(**changes: Any) -> dict[str, bytes | None]:
    """A Secret with the document, changed; `...` takes a field away."""
    fields = {name: value for name, value in {**DOCUMENT, **changes}.items() if value is not ...}
    return {"credentials.json": json.dumps(fields).encode()}


def problem(data: dict[str, bytes | None]) -> CredentialsProblem:
    with pytest.raises(CredentialsProblem) as raised:
        google_service_account(data)
    assert CANARY not in raised.value.message
    assert "BEGIN" not in raised.value.message
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None  # a parser's error holds the whole document
    return raised.value


@pytest.mark.parametrize("key", GOOGLE_KEYS)
def test_a_service_account_is_taken_under_each_of_its_names(key: str) -> None:
    assert google_service_account({key: json.dumps(DOCUMENT).encode()}) == FOUND


def test_nothing_but_the_four_fields_is_taken() -> None:
    found = google_service_account(document(token_uri=f"file:///{CANARY}", quota_project_id=CANARY))
    assert found == FOUND
    assert CANARY not in repr(found)


def test_what_google_leaves_out_may_be_absent() -> None:
    found = google_service_account(document(project_id=..., private_key_id=..., universe_domain=...))
    assert (found.project_id, found.private_key_id) == (None, None)


def test_a_service_account_does_not_print_its_key() -> None:
    assert "BEGIN" not in repr(google_service_account(document()))


REFUSED_TYPES: dict[str, dict[str, Any]] = {
    "external_account": {
        "type": "external_account",
        "audience": "//iam.googleapis.com/x",
        "token_url": f"https://evil.example/{CANARY}",
        "credential_source": {"file": f"/var/run/{CANARY}"},
    },
    "executable": {"type": "external_account", "credential_source": {"executable": {"command": CANARY}}},
    "external_account_authorized_user": {"type": "external_account_authorized_user", "token_url": CANARY},
    "impersonated_service_account": {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": f"https://evil.example/{CANARY}",
        "source_credentials": {"type": "authorized_user"},
    },
    "authorized_user": {"type": "authorized_user", "refresh_token": CANARY, "client_secret": CANARY},
    "gdch_service_account": {**DOCUMENT, "type": "gdch_service_account"},
    "other case": {**DOCUMENT, "type": "Service_Account"},
    "made up": {**DOCUMENT, "type": CANARY},
    "a list": {**DOCUMENT, "type": ["service_account"]},
    "a number": {**DOCUMENT, "type": 1},
}


@pytest.mark.parametrize("raw", REFUSED_TYPES.values(), ids=REFUSED_TYPES)
def test_every_other_type_is_unsupported(raw: dict[str, Any]) -> None:
    found = problem({"credentials.json": json.dumps(raw).encode()})

    assert found.reason is Reason.UNSUPPORTED_CREDENTIAL_TYPE
    assert "credentials.json is not of type service_account" in found.message


@pytest.mark.parametrize(
    "key",
    [
        "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "type", "token_url", "token_uri", "credential_source",
        "AWS_ROLE_ARN", "AZURE_CLIENT_ID", "config", "GOOGLE_API_USE_MTLS_ENDPOINT", "GCE_METADATA_FILE",
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [False, True])
def test_a_key_that_leads_elsewhere_is_unsupported(key: str, beside: bool) -> None:
    found = problem({**(document() if beside else {}), key: CANARY.encode()})

    assert found.reason is Reason.UNSUPPORTED_CREDENTIAL_TYPE
    assert f"the key {key}," in found.message


WRONG: dict[str, tuple[dict[str, bytes | None], str]] = {
    "nothing": ({}, "holds no credentials; it needs exactly one of credentials.json"),
    "two": (document() | {"key.json": b"{}"}, "holds the keys credentials.json, key.json; it needs exactly one"),
    "another name": ({"sa.json": b"{}"}, "the key sa.json, which is not known"),
    "unknown key": (document() | {"private_key": CANARY.encode()}, "the key private_key, which is not known"),
    "not base64": ({"key.json": None}, "the value of key.json is not base64"),
    "empty": ({"key.json": b""}, "the value of key.json is empty"),
    "not utf-8": ({"key.json": b'{"type": "\xff"}'}, "the value of key.json is not UTF-8 text"),
    "too long": ({"key.json": b" " * MAX_DOCUMENT_BYTES + b"{}"}, "the value of key.json is longer than 16384 bytes"),
    "a path": ({"key.json": b"/var/run/" + CANARY.encode()}, "the value of key.json is not JSON"),
    "cut": ({"key.json": json.dumps(DOCUMENT).encode()[:-1]}, "the value of key.json is not JSON"),
    "two documents": ({"key.json": b"{}{}"}, "the value of key.json is not JSON"),
    "a list": ({"key.json": b"[]"}, "the value of key.json is not a JSON object"),
    "text": ({"key.json": b'"x"'}, "the value of key.json is not a JSON object"),
    "a huge number": ({"key.json": b"9" * 10_000}, "the value of key.json is not JSON"),
    "deep": ({"key.json": b"[" * 16_000}, "the value of key.json is nested too deeply"),
    "deep in a field": ({"key.json": b'{"x":' + b'{"a":' * 3_000}, "the value of key.json is nested too deeply"),
    "type twice": ({"key.json": b'{"type": "service_account", "type": "external_account"}'}, "holds a name twice"),
    "no type": (document(type=...), "the document in credentials.json lacks type"),
    "null type": (document(type=None), "the document in credentials.json lacks type"),
    "web client": ({"key.json": b'{"installed": {"client_secret": "x"}}'}, "lacks type"),
    "nested": (document(extra={"a": 1}), "holds something else than text"),
    "number": (document(client_id=5), "holds something else than text"),
    "other universe": (document(universe_domain=CANARY), "universe_domain in credentials.json is not googleapis.com"),
    "no email": (document(client_email=...), "lacks client_email"),
    "email": (document(client_email=f"{CANARY}@x/../y"), "client_email in credentials.json has a form"),
    "email with a line": (document(client_email="a@b.c\nX-Evil: 1"), "client_email in credentials.json has a form"),
    "key id": (document(private_key_id="a b"), "private_key_id in credentials.json has a form"),
    "project": (document(project_id="../x"), "project_id in credentials.json has a form"),
    "no key": (document(private_key=...), "lacks private_key"),
    "empty key": (document(private_key=""), "private_key in credentials.json is no PEM of PKCS#8"),
    "key of another form": (document(private_key=PKCS1), "private_key in credentials.json is no PEM of PKCS#8"),
    "escaped twice": (document(private_key=PEM.replace("\n", "\\n")), "is no PEM of PKCS#8"),
    "key after a comment": (document(private_key=f"# {CANARY}\n{PEM}"), "is no PEM of PKCS#8"),
    "two keys": (document(private_key=PEM + PEM), "is no PEM of PKCS#8"),
    "no base64": (document(private_key=PEM.replace("MII", "=II", 1)), "private_key in credentials.json is no RSA key"),
    "another algorithm": (document(private_key=EC), "private_key in credentials.json is no RSA key"),
    "certificate": (document(private_key=PEM.replace("PRIVATE KEY", "CERTIFICATE")), "is no PEM of PKCS#8"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_secret_is_refused_by_its_keys(data: dict[str, bytes | None], message: str) -> None:
    found = problem(data)

    assert found.reason is Reason.CREDENTIALS_INVALID
    assert message in found.message


def test_the_longest_document_is_taken() -> None:
    text = json.dumps(DOCUMENT).encode()

    assert google_service_account({"key.json": text + b" " * (MAX_DOCUMENT_BYTES - len(text))}) == FOUND


def test_a_document_that_was_encoded_twice_says_so_by_its_key() -> None:
    """kubectl encodes `stringData` itself; whoever encodes before has base64 inside."""
    problem({"key.json": base64.b64encode(json.dumps(DOCUMENT).encode())})
