"""The verifier of V4 signatures: Google's own vectors are accepted, and each change of them is refused.

Real: Google's vectors and the public key that goes with them. Fake: nothing. Asserted: who is accepted until when, and
the status and error name of each refusal.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from servers.goog4 import MAX_EXPIRES_S, Accepted, Refused, canonical_query, is_signed, string_to_sign, verify

DATA = Path(__file__).parent / "data"
VECTORS = json.loads((DATA / "v4_signatures.json").read_text(encoding="utf-8"))["signingV4Tests"]
SIGNER = "test-iam-credentials@dummy-project-id.iam.gserviceaccount.com"
FORGER_KEY = generate_private_key(public_exponent=65537, key_size=2048)
HASH = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def google_keys(signer: str) -> list[RSAPublicKey]:
    if signer != SIGNER:
        return []
    key = load_pem_public_key((DATA / "v4_public_key.pem").read_bytes())
    assert isinstance(key, RSAPublicKey)
    return [key]


def request_of(vector: dict[str, Any]) -> tuple[str, str, list[tuple[str, str]], datetime]:
    """Method, target, headers and time of a request as a client would send it."""
    url = vector["expectedUrl"]
    host = urlsplit(url).netloc
    target = url.partition("://")[2].removeprefix(host)
    headers = [("Host", host), *vector.get("headers", {}).items()]
    return vector["method"], target, headers, datetime.fromisoformat(vector["timestamp"])


def vector(description: str) -> tuple[str, str, list[tuple[str, str]], datetime]:
    return request_of(next(each for each in VECTORS if each["description"] == description))


def sign(
    method: str = "GET",
    path: str = "/bucket/key",
    *,
    headers: dict[str, str] | None = None,
    signed_at: str = "20260102T030405Z",
    expires: str = "60",
    **changes: str,
) -> tuple[str, str, list[tuple[str, str]]]:
    """A request that is signed by `FORGER_KEY`, whatever it says."""
    headers = {"host": "store.example", **(headers or {})}
    names = ";".join(sorted(headers))
    scope = f"{signed_at[:8]}/auto/storage/goog4_request"
    query = {
        "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
        "X-Goog-Credential": f"{SIGNER}/{scope}",
        "X-Goog-Date": signed_at,
        "X-Goog-Expires": expires,
        "X-Goog-SignedHeaders": names,
    }
    query |= {f"X-Goog-{name}": value for name, value in changes.items()}
    text = canonical_query(query.items())
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    payload = headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
    request = "\n".join((method, path, text, lines, names, payload))
    signature = FORGER_KEY.sign(string_to_sign(signed_at, scope, request).encode(), PKCS1v15(), hashes.SHA256())
    return method, f"{path}?{text}&X-Goog-Signature={signature.hex()}", list(headers.items())


def judge(request: tuple[str, str, list[tuple[str, str]]], *, now: str = "2026-01-02T03:04:05+00:00") -> Any:
    return verify(*request, keys=lambda _: [FORGER_KEY.public_key()], now=datetime.fromisoformat(now))


def test_there_are_vectors_of_google() -> None:
    assert len(VECTORS) == 29


@pytest.mark.parametrize(
    "case", [pytest.param(each, id=f"{n}-{each['description']}") for n, each in enumerate(VECTORS)]
)
def test_googles_vectors_are_accepted_until_they_expire(case: dict[str, Any]) -> None:
    method, target, headers, time = request_of(case)
    expires = time + timedelta(seconds=case["expiration"])

    for now in (time, expires):
        found = verify(method, target, headers, keys=google_keys, now=now)
        assert isinstance(found, Accepted), found
        assert (found.signer, found.expires) == (SIGNER, expires)
    late = verify(method, target, headers, keys=google_keys, now=expires + timedelta(microseconds=1))
    assert isinstance(late, Refused)
    assert (late.status, late.code) == (400, "ExpiredToken")


@pytest.mark.parametrize(
    "case", [pytest.param(each, id=f"{n}-{each['description']}") for n, each in enumerate(VECTORS)]
)
def test_one_changed_digit_of_a_signature_of_google_is_refused(case: dict[str, Any]) -> None:
    method, target, headers, time = request_of(case)
    changed = target[:-1] + ("0" if target[-1] != "0" else "1")

    assert verify(method, changed, headers, keys=google_keys, now=time) == Refused(
        403, "SignatureDoesNotMatch", "the signature is not that of this request"
    )


def test_a_signed_payload_is_told_to_whoever_passes_the_body_on() -> None:
    method, target, headers, time = vector("Signed Payload Instead of UNSIGNED-PAYLOAD")

    found = verify(method, target, headers, keys=google_keys, now=time)

    assert isinstance(found, Accepted)
    assert found.content_sha256 == dict(headers)["X-Goog-Content-SHA256"]


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        ("PUT", "", ""),
        ("HEAD", "", ""),
        ("GET", "test-object?", "test-object2?"),
        ("GET", "/test-bucket/", "/other-bucket/"),
        ("GET", "test-object?", "test%2Dobject?"),
        ("GET", "test-object?", "./test-object?"),
        ("GET", "Expires=10", "Expires=11"),
        ("GET", "&X-Goog-Signature", "&response-content-type=text%2Fhtml&X-Goog-Signature"),
        ("GET", "auto%2F", "eu%2F"),
    ],
)
def test_a_changed_request_line_is_refused(method: str, old: str, new: str) -> None:
    _, target, headers, time = vector("Simple GET")

    found = verify(method, target.replace(old, new, 1), headers, keys=google_keys, now=time)

    assert isinstance(found, Refused)
    assert (found.status, found.code) == (403, "SignatureDoesNotMatch")


def test_a_method_that_cannot_be_signed_is_refused() -> None:
    found = judge(sign("PATCH"))

    assert (found.status, found.code) == (403, "SignatureDoesNotMatch")


def test_the_order_of_the_query_does_not_matter() -> None:
    method, target, headers, time = vector("Simple GET")
    path, _, query = target.partition("?")

    assert isinstance(
        verify(method, f"{path}?{'&'.join(reversed(query.split('&')))}", headers, keys=google_keys, now=time), Accepted
    )


def test_a_signed_header_may_not_change_and_others_may() -> None:
    method, target, headers, time = vector("Simple headers")

    def judged(*changed: tuple[str, str]) -> object:
        return verify(method, target, [*headers, *changed], keys=google_keys, now=time)

    assert isinstance(judged(("Accept", "text/html")), Accepted)
    repeated = judged(("foo", "again"))
    assert isinstance(repeated, Refused)
    assert repeated.code == "SignatureDoesNotMatch"


def test_repeated_headers_are_signed_as_one_line() -> None:
    method, target, headers = sign(headers={"x-goog-meta-a": "1,2"})
    apart = [("host", "store.example"), ("x-goog-meta-a", "1"), ("X-Goog-Meta-A", " 2 ")]

    assert isinstance(judge((method, target, headers)), Accepted)
    assert isinstance(judge((method, target, apart)), Accepted)


def test_a_missing_signed_header_is_refused() -> None:
    method, target, headers, time = vector("Simple headers")

    found = verify(method, target, headers[:-1], keys=google_keys, now=time)

    assert isinstance(found, Refused)
    assert (found.status, found.code, found.parameter) == (400, "MalformedSecurityHeader", "foo")


def test_an_extension_header_that_is_not_signed_is_refused() -> None:
    method, target, headers, time = vector("Simple PUT")

    found = verify(method, target, [*headers, ("X-Goog-Acl", "public-read")], keys=google_keys, now=time)

    assert isinstance(found, Refused)
    assert (found.status, found.code) == (403, "AccessDenied")


def test_an_unknown_signer_is_refused() -> None:
    method, target, headers, time = vector("Simple GET")

    found = verify(method, target, headers, keys=lambda _: [], now=time)

    assert isinstance(found, Refused)
    assert (found.status, found.code) == (403, "InvalidSecurity")


def test_another_key_of_the_signer_is_tried() -> None:
    method, target, headers, time = vector("Simple GET")

    def keys(signer: str) -> list[RSAPublicKey]:
        return [FORGER_KEY.public_key(), *google_keys(signer)]

    assert isinstance(verify(method, target, headers, keys=keys, now=time), Accepted)


def test_the_signature_of_another_key_is_refused() -> None:
    method, target, headers = sign()

    found = verify(method, target, headers, keys=google_keys, now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    assert isinstance(found, Refused)
    assert found.code == "SignatureDoesNotMatch"


def test_clocks_may_differ_by_a_quarter_of_an_hour() -> None:
    assert isinstance(judge(sign(), now="2026-01-02T02:49:05+00:00"), Accepted)
    found = judge(sign(), now="2026-01-02T02:49:04+00:00")
    assert (found.status, found.code) == (403, "RequestTimeTooSkewed")


def test_a_signature_lives_seven_days_at_most() -> None:
    assert isinstance(judge(sign(expires=str(MAX_EXPIRES_S))), Accepted)
    assert judge(sign(expires=str(MAX_EXPIRES_S + 1))).parameter == "X-Goog-Expires"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("Algorithm", "GOOG4-HMAC-SHA256"),
        ("Algorithm", "goog4-rsa-sha256"),
        ("Credential", SIGNER),
        ("Credential", f"{SIGNER}/20260102/auto/storage/aws4_request"),
        ("Credential", f"{SIGNER}/20260103/auto/storage/goog4_request"),
        ("Credential", "/20260102/auto/storage/goog4_request"),
        ("Date", "2026-01-02T03:04:05Z"),
        ("Date", "20260132T030405Z"),
        ("Date", "\uff12\uff10\uff12\uff160102T030405Z"),
        ("Expires", "0"),
        ("Expires", "-1"),
        ("Expires", "6e1"),
        ("Expires", "\uff16\uff10"),
        ("SignedHeaders", "accept"),
        ("SignedHeaders", "Host;host"),
        ("SignedHeaders", "host;accept"),
        ("SignedHeaders", "host;host"),
        ("SignedHeaders", ""),
    ],
)
def test_a_malformed_parameter_is_named(parameter: str, value: str) -> None:
    found = judge(sign(**{parameter: value}))

    assert isinstance(found, Refused)
    assert (found.status, found.code, found.parameter) == (400, "MalformedSecurityHeader", f"X-Goog-{parameter}")


@pytest.mark.parametrize("parameter", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_missing_or_repeated_parameter_is_named(parameter: str) -> None:
    method, target, headers = sign()
    path, _, query = target.partition("?")
    rest = [pair for pair in query.split("&") if not pair.startswith(f"X-Goog-{parameter}=")]

    for changed in ("&".join(rest), f"{query}&x-goog-{parameter.lower()}=1"):
        found = judge((method, f"{path}?{changed}", headers))
        assert (found.status, found.parameter) == (400, f"X-Goog-{parameter}")


@pytest.mark.parametrize("query", ["a=%zz", "a=%F", "a=%FF"])
def test_a_query_that_cannot_be_decoded_is_malformed(query: str) -> None:
    method, target, headers = sign()

    found = judge((method, f"{target}&{query}", headers))

    assert (found.status, found.code) == (400, "MalformedSecurityHeader")


def test_a_signature_that_is_no_hexadecimal_is_malformed() -> None:
    method, target, headers = sign()

    assert judge((method, target[:-1] + "g", headers)).parameter == "X-Goog-Signature"


def test_the_port_of_the_host_may_be_signed_or_not() -> None:
    method, target, _ = sign(headers={"host": "store.example:8080"})
    _, bare, _ = sign()

    assert isinstance(judge((method, target, [("Host", "store.example:8080")])), Accepted)
    assert isinstance(judge((method, bare, [("Host", "store.example:8080")])), Accepted)
    assert isinstance(judge((method, target, [("Host", "store.example:8081")])), Refused)
    assert isinstance(judge((method, bare, [("Host", "other.example")])), Refused)


def test_a_signed_hash_of_the_body_binds_the_header_too() -> None:
    method, target, headers = sign("PUT", headers={"x-goog-content-sha256": HASH})

    found = judge((method, target, headers))
    assert isinstance(found, Accepted)
    assert found.content_sha256 == HASH
    assert isinstance(judge((method, target, [headers[0], (headers[1][0], HASH[::-1])])), Refused)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/b/k", False),
        ("/b/k?alt=media", False),
        ("/b/X-Goog-Signature", False),
        ("/b/k?X-Goog-Signature=00", True),
        ("/b/k?x-goog-algorithm=1", True),
        ("/b/k?X-Goog-Signature=%zz", True),
    ],
)
def test_half_a_signature_is_a_claim_too(target: str, expected: bool) -> None:
    """What claims to be signed is judged as that, and never as an anonymous request."""
    assert is_signed(target) is expected
