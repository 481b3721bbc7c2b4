"""Verifies Google Cloud Storage's V4 query signatures (GOOG4-RSA-SHA256), as the server would.

Pure: a request as it came over the wire, the public keys and the time go in, and out comes who signed it or why it is
refused. Written from Google's description of canonical requests and of the V4 signing process
(https://cloud.google.com/storage/docs/authentication/canonical-requests and .../authentication/signatures), and proven
on Google's conformance vectors (`data/`). It shares no code with what it judges: it imports no Google library and
nothing of this project.

Where Google's pages do not say how a fault is answered, the choice is ours: an extension header that is not signed
(403 AccessDenied), a date in the future (403 RequestTimeTooSkewed), an unknown signer (403 InvalidSecurity). They say
that the path and the query are percent-encoded, not that `+` is a space, so it is none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHM = "GOOG4-RSA-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
CONTENT_SHA256 = "x-goog-content-sha256"
METHODS = frozenset({"DELETE", "GET", "HEAD", "POST", "PUT"})
MAX_EXPIRES_S = 7 * 24 * 3600
CLOCK_SKEW = timedelta(minutes=15)
UNRESERVED = "-_.~"
"""RFC 3986, beside letters and digits: what is not percent-encoded in a canonical query."""

_PARAMETERS = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
_CREDENTIAL = re.compile(r"(?P<signer>[^/]+)/(?P<scope>(?P<day>\d{8})/[^/]+/storage/goog4_request)")
_DATE = re.compile(r"\d{8}T\d{6}Z")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

Headers = Sequence[tuple[str, str]]
"""As they came: any case, repeated ones apart."""
KeyLookup = Callable[[str], Sequence[RSAPublicKey]]
"""The public keys of a service account by its e-mail address; empty for an unknown one."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """`content_sha256` where the signature binds the body: lower-case hexadecimal digits."""

    signer: str
    expires: datetime
    content_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """`code` is an error name of the XML API; `parameter` names what is malformed, where it is that."""

    status: int
    code: str
    details: str
    parameter: str | None = None


@dataclass(frozen=True, slots=True)
class _Claims:
    signer: str
    scope: str
    date: str
    signed_at: datetime
    expires: datetime
    signed_headers: tuple[str, ...]
    signature: bytes


class _Malformed(Exception):
    def __init__(self, parameter: str, details: str) -> None:
        super().__init__(details)
        self.parameter = parameter
        self.details = details


def is_signed(target: str) -> bool:
    """Whether a request target (raw path and query) claims a V4 query signature; the claim may be half."""
    try:
        names = {name.lower() for name, _ in _query(target.partition("?")[2])}
    except _Malformed:
        return "x-goog-signature" in target.lower()
    return bool(names & {"x-goog-algorithm", "x-goog-signature", "x-goog-credential"})


def verify(method: str, target: str, headers: Headers, *, keys: KeyLookup, now: datetime) -> Accepted | Refused:
    """Judge one request. `target` is the raw path and query of the request line, byte for byte as it was sent.

    A signature is good from its date (less the skew of clocks) until `X-Goog-Expires` seconds later, that instant
    included. The body is not looked at: who passes it on compares it with `content_sha256`.
    """
    path, _, raw_query = target.partition("?")
    try:
        pairs = _query(raw_query)
        claims = _claims(pairs)
        values = _signed_values(claims.signed_headers, headers)
    except _Malformed as error:
        return Refused(400, "MalformedSecurityHeader", error.details, error.parameter)
    if method not in METHODS:
        return Refused(403, "SignatureDoesNotMatch", "requests of this method cannot be signed")
    if now > claims.expires:
        return Refused(400, "ExpiredToken", f"Request signature expired at: {claims.expires.isoformat()}")
    if now < claims.signed_at - CLOCK_SKEW:
        return Refused(403, "RequestTimeTooSkewed", "the signature's date is in the future")
    unsigned = sorted({name.lower() for name, _ in headers if _must_be_signed(name)} - set(claims.signed_headers))
    if unsigned:
        return Refused(403, "AccessDenied", f"headers of the request are not signed: {', '.join(unsigned)}")
    public_keys = keys(claims.signer)
    if not public_keys:
        return Refused(403, "InvalidSecurity", "the signer is not known")
    query = canonical_query(pair for pair in pairs if pair[0].lower() != "x-goog-signature")
    payload = values.get(CONTENT_SHA256, UNSIGNED_PAYLOAD)
    for host in _hosts(values["host"]):
        lines = [f"{name}:{value}\n" for name, value in {**values, "host": host}.items()]
        names = ";".join(claims.signed_headers)
        request = "\n".join((method, path, query, "".join(lines), names, payload))
        if _is_signed_by(public_keys, string_to_sign(claims.date, claims.scope, request), claims.signature):
            bound = None if payload == UNSIGNED_PAYLOAD else payload.lower()
            return Accepted(claims.signer, claims.expires, bound)
    return Refused(403, "SignatureDoesNotMatch", "the signature is not that of this request")


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values percent-encoded anew and sorted by encoded name, then value."""
    encoded = [(quote(name, safe=UNRESERVED), quote(value, safe=UNRESERVED)) for name, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def string_to_sign(date: str, scope: str, canonical_request: str) -> str:
    digest = hashlib.sha256(canonical_request.encode("utf-8", "surrogateescape")).hexdigest()
    return "\n".join((ALGORITHM, date, scope, digest))


def _query(raw: str) -> list[tuple[str, str]]:
    """Decoded once, strictly. An empty piece (`a&&b`) is left out, as it has neither name nor value."""
    pairs = []
    for piece in filter(None, raw.split("&")):
        name, _, value = piece.partition("=")
        pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(text: str) -> str:
    if _ESCAPE.search(text):
        raise _Malformed("query", "a percent sign is not followed by two hexadecimal digits")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise _Malformed("query", "a parameter is not UTF-8") from error


def _claims(pairs: Sequence[tuple[str, str]]) -> _Claims:
    found: dict[str, str] = {}
    for name, value in pairs:
        for parameter in _PARAMETERS:
            if name.lower() == f"x-goog-{parameter.lower()}":
                if parameter in found:
                    raise _Malformed(f"X-Goog-{parameter}", "the parameter is given twice")
                found[parameter] = value
    for parameter in _PARAMETERS:
        if not found.get(parameter):
            raise _Malformed(f"X-Goog-{parameter}", "the parameter is missing")
    if found["Algorithm"] != ALGORITHM:
        raise _Malformed("X-Goog-Algorithm", f"the algorithm is not {ALGORITHM}")
    credential = _CREDENTIAL.fullmatch(found["Credential"])
    if credential is None:
        raise _Malformed("X-Goog-Credential", "not SIGNER/DATE/LOCATION/storage/goog4_request")
    signed_at = _time(found["Date"])
    if credential["day"] != found["Date"][:8]:
        raise _Malformed("X-Goog-Credential", "the scope's day is not that of X-Goog-Date")
    return _Claims(
        signer=credential["signer"],
        scope=credential["scope"],
        date=found["Date"],
        signed_at=signed_at,
        expires=signed_at + timedelta(seconds=_seconds(found["Expires"])),
        signed_headers=_header_names(found["SignedHeaders"]),
        signature=_bytes(found["Signature"]),
    )


def _time(text: str) -> datetime:
    try:
        if not _DATE.fullmatch(text) or not text.isascii():
            raise ValueError(text)
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise _Malformed("X-Goog-Date", "not a time as YYYYMMDDTHHMMSSZ") from error


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_EXPIRES_S):
        raise _Malformed("X-Goog-Expires", f"not a number of seconds from 1 to {MAX_EXPIRES_S}")
    return int(text)


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise _Malformed("X-Goog-Signature", "not hexadecimal") from error


def _header_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(";"))
    if "host" not in names:
        raise _Malformed("X-Goog-SignedHeaders", "host is not signed")
    if list(names) != sorted(set(names)) or text != text.lower():
        raise _Malformed("X-Goog-SignedHeaders", "not in lower case, sorted, each name once")
    return names


def _signed_values(names: Sequence[str], headers: Headers) -> dict[str, str]:
    """In the order of `names`: repeated headers joined by commas, white space collapsed, ends trimmed."""
    values = {}
    for name in names:
        given = [value for header, value in headers if header.lower() == name]
        if not given:
            raise _Malformed(name, "Header was included in signedheaders, but not in the request.")
        values[name] = ",".join(re.sub(r"[ \t]+", " ", value).strip(" ") for value in given)
    return values


def _must_be_signed(name: str) -> bool:
    return name.lower().startswith("x-goog-")


def _hosts(host: str) -> tuple[str, ...]:
    """The Host header, and it without its port: Google's vectors for endpoints with a port sign the name alone."""
    name, colon, port = host.rpartition(":")
    return (host, name) if colon and port.isdigit() else (host,)


def _is_signed_by(keys: Sequence[RSAPublicKey], text: str, signature: bytes) -> bool:
    for key in keys:
        try:
            key.verify(signature, text.encode(), PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return True
    return False
