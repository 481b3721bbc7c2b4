"""Signed URLs of locations that have no signing of their own: an HMAC that the gateway checks. Pure: no I/O, no
global key.

A URL is ``<base>/v1/signed/<route>/object?key=..&method=..&exp=..&kid=..[&max=..][&md5=..][&ctype=..]&sig=..``. The
key always travels as a query value, because clients and ingresses fold ``..`` and ``//`` in paths. The signature
binds the method exactly (a GET URL serves no HEAD), the route as it stands on the wire, the container's UID (a
container made anew under the same name does not inherit URLs), the exact key, the expiry, the largest body and the
headers that were signed.

Refuses: unknown, doubled or malformed parameters, bad escapes, anything altered - all with one and the same answer,
which tells a forger nothing. Only who holds a genuine signature hears that it is expired.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, Self
from urllib.parse import quote, unquote_to_bytes, urlsplit

from stow.errors import AccessDeniedError, CredentialsInvalidError, InvalidArgumentError, SignedURLExpiredError
from stow.storage.clock import Clock
from stow.storage.driver import SignRequest
from stow.storage.model import ContainerEntry, Method, SignBinding, SignedURL

PATH_PREFIX: Final = "/v1/signed/"
_PATH_SUFFIX: Final = "/object"
_DOMAIN: Final = b"stow-local-signature-v1"
_MIN_SECRET_BYTES: Final = 32
"""The output length of SHA-256: RFC 2104 section 3 discourages shorter ones."""
LOCAL_BINDS: Final = frozenset({SignBinding.CONTENT_MD5, SignBinding.CONTENT_TYPE, SignBinding.MAX_SIZE})
"""What a signature of ours binds beside method, key and expiry."""
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_ROUTE = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)+")
_QUERY_VALUE = re.compile(r"(?:[!$'()*+,\-./0-9:;=?@A-Z_a-z~]|%[0-9A-Fa-f]{2})*")
_PARAMETERS: Final = frozenset({"key", "method", "exp", "kid", "max", "md5", "ctype", "sig"})
_MAX_QUERY_CHARACTERS: Final = 8192
"""A key of 1,024 bytes takes 3,072 characters; the rest is far below."""


class LocalSigner(Protocol):
    """What a driver without signing of its own delegates to."""

    def sign(self, request: SignRequest) -> SignedURL: ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One secret and its public name. ``created_at`` is when it began to sign."""

    kid: str
    secret: bytes = field(repr=False)
    created_at: datetime

    def __post_init__(self) -> None:
        if not _KID.fullmatch(self.kid):
            raise CredentialsInvalidError("A signing key's id has 1 to 64 letters, digits, hyphens and underscores.")
        if len(self.secret) < _MIN_SECRET_BYTES:
            raise CredentialsInvalidError(f"A signing key has at least {_MIN_SECRET_BYTES} bytes; generate a new one.")


@dataclass(frozen=True, slots=True)
class Keyring:
    """``current`` signs, all verify. ``previous`` is newest first."""

    current: SigningKey
    previous: tuple[SigningKey, ...] = ()

    def __post_init__(self) -> None:
        if len({key.kid for key in self.keys}) != len(self.keys):
            raise CredentialsInvalidError("Two signing keys have the same id; each needs its own.")

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        return (self.current, *self.previous)

    def find(self, kid: str) -> SigningKey | None:
        return next((key for key in self.keys if key.kid == kid), None)

    def rotated(self, key: SigningKey) -> Self:
        """``key`` signs from now on; the others keep verifying until :meth:`pruned` lets them go."""
        return type(self)(key, self.keys)

    def pruned(self, now: datetime, *, max_ttl: timedelta) -> Self:
        """Without the keys whose last URL has expired: a key signs until its successor begins, and its URLs live ``max_ttl`` longer."""
        successors = self.keys[:-1]
        living = (
            key
            for key, successor in zip(self.previous, successors, strict=True)
            if now < successor.created_at + max_ttl
        )
        return type(self)(self.current, tuple(living))


@dataclass(frozen=True, slots=True)
class Grant:
    """What a URL says it allows. True only after :func:`verify`."""

    route: str
    """The part of the path that names the container, as it stands on the wire."""
    key: str
    method: Method
    expires_at: datetime
    kid: str
    max_size_bytes: int | None = None
    """Of a PUT's body; for the gateway to keep."""
    content_md5: str | None = None
    """The exact value of the ``Content-MD5`` header; so too ``content_type``."""
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A URL taken apart, not yet believed."""

    grant: Grant
    signature: str = field(repr=False)


def canonical(grant: Grant, *, container_uid: str) -> bytes:
    """The signed bytes: each field is tagged present or absent and prefixed by its length, so that no two grants share them."""
    fields = (
        grant.kid,
        grant.method.value,
        grant.route,
        container_uid,
        grant.key,
        str(int(grant.expires_at.timestamp())),
        None if grant.max_size_bytes is None else str(grant.max_size_bytes),
        grant.content_md5,
        grant.content_type,
    )
    return _DOMAIN + b"".join(_framed(value) for value in fields)


def _framed(value: str | None) -> bytes:
    if value is None:
        return b"\x00"
    raw = value.encode()
    return b"\x01" + len(raw).to_bytes(8, "big") + raw


def signature(key: SigningKey, grant: Grant, *, container_uid: str) -> str:
    digest = hmac.new(key.secret, canonical(grant, container_uid=container_uid), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def sign_url(base_url: str, grant: Grant, *, key: SigningKey, container_uid: str) -> str:
    """The URL, a secret. ``base_url`` is configuration (scheme, host, perhaps a path), never a ``Host`` header.

    Raises:
        InvalidArgumentError: the base or the route is not of its form.
    """
    parts = urlsplit(base_url)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.netloc
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise InvalidArgumentError("The base of signed URLs is not an http or https URL; set signedURL.endpoint.")
    if not _ROUTE.fullmatch(grant.route):
        raise InvalidArgumentError("The container's route holds characters that a path cannot carry as they are.")
    values = {
        "key": grant.key,
        "method": grant.method.value,
        "exp": str(int(grant.expires_at.timestamp())),
        "kid": grant.kid,
        "max": None if grant.max_size_bytes is None else str(grant.max_size_bytes),
        "md5": grant.content_md5,
        "ctype": grant.content_type,
        "sig": signature(key, grant, container_uid=container_uid),
    }
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items() if value is not None)
    return f"{base_url.rstrip('/')}{PATH_PREFIX}{grant.route}{_PATH_SUFFIX}?{query}"


def parse(raw_path: str, raw_query: str) -> SignedRequest:
    """Take a request's path and query apart as they came over the wire, the base's own path cut off.

    Escapes are decoded once; ``+`` in a value is a space, as form-encoding clients write it (a plus sign is ``%2B``).

    Raises:
        AccessDeniedError: not of the form that :func:`sign_url` makes.
    """
    values = _values(raw_query)
    route = raw_path.removeprefix(PATH_PREFIX).removesuffix(_PATH_SUFFIX)
    if len(raw_path) != len(PATH_PREFIX) + len(route) + len(_PATH_SUFFIX) or not _ROUTE.fullmatch(route):
        raise _denied()
    if not {"key", "method", "exp", "kid", "sig"} <= values.keys() or values["method"] not in set(Method):
        raise _denied()
    if not values["key"] or not _KID.fullmatch(values["kid"]):
        raise _denied()
    grant = Grant(
        route=route,
        key=values["key"],
        method=Method(values["method"]),
        expires_at=_time(values["exp"]),
        kid=values["kid"],
        max_size_bytes=_number(values["max"]) if "max" in values else None,
        content_md5=values.get("md5"),
        content_type=values.get("ctype"),
    )
    return SignedRequest(grant, values["sig"])


def verify(
    request: SignedRequest,
    *,
    keyring: Keyring,
    method: str,
    container_uid: str,
    content_md5: str | None,
    content_type: str | None,
    now: datetime,
) -> Grant:
    """Believe a URL or not. ``method`` is the request's, ``content_md5`` and ``content_type`` its headers as they came.

    The caller still has to check that the container is ready, that the location allows the method, and to keep ``max_size_bytes``.

    Raises:
        AccessDeniedError: the signature does not cover this request.
        SignedURLExpiredError: it does, but its time is over.
    """
    grant = request.grant
    key = keyring.find(grant.kid)
    # An unknown kid costs the same work as a known one.
    expected = signature(key or keyring.current, grant, container_uid=container_uid)
    genuine = hmac.compare_digest(expected.encode(), request.signature.encode())
    if key is None or not genuine or method != grant.method.value:
        raise _denied()
    if grant.content_md5 is not None and content_md5 != grant.content_md5:
        raise _denied()
    if grant.content_type is not None and content_type != grant.content_type:
        raise _denied()
    if now >= grant.expires_at:
        raise SignedURLExpiredError("The signed URL has expired; ask for a new one.")
    return grant


class HMACLocalSigner:
    """Implements :class:`LocalSigner`. The keyring is asked for each time, so that a rotation needs no restart."""

    def __init__(
        self,
        base_url: str,
        keyring_provider: Callable[[], Keyring],
        *,
        route_of: Callable[[ContainerEntry], str],
        clock: Clock,
    ) -> None:
        self._base_url = base_url
        self._keyring_provider = keyring_provider
        self._route_of = route_of
        self._clock = clock

    def sign(self, request: SignRequest) -> SignedURL:
        """Raises:
        InvalidArgumentError: the expiry is not in the future.
        """
        # A URL's expiry has whole seconds; rounding down keeps the promise "never later".
        expires_at = datetime.fromtimestamp(int(request.expires_at.timestamp()), UTC)
        if expires_at <= self._clock():
            raise InvalidArgumentError("The signed URL would be expired at once; ask for at least a second.")
        key = self._keyring_provider().current
        md5 = None if request.content_md5 is None else base64.b64encode(request.content_md5).decode()
        grant = Grant(
            route=self._route_of(request.entry),
            key=request.key,
            method=request.method,
            expires_at=expires_at,
            kid=key.kid,
            max_size_bytes=request.max_size_bytes,
            content_md5=md5,
            content_type=request.content_type,
        )
        headers = {"Content-MD5": md5, "Content-Type": request.content_type}
        return SignedURL(
            url=sign_url(self._base_url, grant, key=key, container_uid=request.entry.uid),
            method=request.method,
            expires_at=expires_at,
            required_headers={name: value for name, value in headers.items() if value is not None},
        )


def _denied() -> AccessDeniedError:
    return AccessDeniedError("The signed URL does not allow this request; ask for a new one.")


def _values(raw_query: str) -> dict[str, str]:
    if len(raw_query) > _MAX_QUERY_CHARACTERS:
        raise _denied()
    values: dict[str, str] = {}
    for pair in raw_query.split("&"):
        name, separator, value = pair.partition("=")
        if not separator or name not in _PARAMETERS or name in values or not _QUERY_VALUE.fullmatch(value):
            raise _denied()
        try:
            values[name] = unquote_to_bytes(value.replace("+", " ")).decode()
        except UnicodeDecodeError:
            raise _denied() from None
    return values


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise _denied()
    return int(text)


def _time(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(_number(text), UTC)
    except (OverflowError, ValueError, OSError):
        raise _denied() from None
