"""Service accounts and their access tokens, as Google's token endpoint knows them. Pure: no I/O, time comes from outside.

The assertion of the JWT bearer grant is verified as Google documents it
(https://developers.google.com/identity/protocols/oauth2/service-account): RS256 by a key of the account, issuer,
audience, a scope, at most an hour. Refusals carry the error names of RFC 6749. No Google library is imported.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_URL = "https://oauth2.googleapis.com/token"
"""The audience that every assertion may name, wherever the stand-in listens."""
MAX_ASSERTION_LIFE = timedelta(hours=1)
CLOCK_SKEW = timedelta(minutes=5)
PROJECT = "stow-tests"

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """`is_allowed`: may do everything; otherwise its valid credentials are answered with 403."""

    email: str
    key: RSAPrivateKey = field(repr=False)
    key_id: str
    is_allowed: bool = True

    def credentials_json(self, *, token_url: str = TOKEN_URL) -> str:
        """The file that Google Cloud's console gives out for a key of it."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": self.key_id,
                "private_key": pem,
                "client_email": self.email,
                "client_id": "100000000000000000000",
                "token_uri": token_url,
            }
        )

    def sign(self, payload: bytes) -> bytes:
        return self.key.sign(payload, PKCS1v15(), hashes.SHA256())


def make_account(name: str, *, is_allowed: bool = True) -> ServiceAccount:
    """An account of this name; the key of a name is made once in a process, because it takes a moment."""
    email = f"{name}@{PROJECT}.iam.gserviceaccount.com"
    key, key_id = _key(name)
    return ServiceAccount(email=email, key=key, key_id=key_id, is_allowed=is_allowed)


@functools.cache
def _key(_name: str) -> tuple[RSAPrivateKey, str]:
    return generate_private_key(public_exponent=65537, key_size=2048), secrets.token_hex(20)


class GrantError(Exception):
    """`error` as in RFC 6749, section 5.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class _Token:
    email: str
    expires: datetime


class Identities:
    """The accounts that are registered and the tokens that were issued. `token_life_s` may be changed at any time; it
    holds for tokens that are issued later."""

    def __init__(self, accounts: Iterable[ServiceAccount], *, clock: Clock, token_life_s: float) -> None:
        self.accounts = {account.email: account for account in accounts}
        self.token_life_s = token_life_s
        self._clock = clock
        self._tokens: dict[str, _Token] = {}

    def public_keys(self, email: str) -> Sequence[RSAPublicKey]:
        account = self.accounts.get(email)
        return [] if account is None else [account.key.public_key()]

    def issue(self, email: str) -> str:
        token = f"ya29.{secrets.token_urlsafe(32)}"
        self._tokens[token] = _Token(email, self._clock() + timedelta(seconds=self.token_life_s))
        return token

    def holder(self, token: str) -> ServiceAccount | None:
        """Whose token it is; `None` for an unknown, revoked or expired one."""
        found = self._tokens.get(token)
        if found is None or self._clock() >= found.expires:
            return None
        return self.accounts.get(found.email)

    def revoke_all(self) -> None:
        """As if every token had been revoked: each is unknown from now on."""
        self._tokens.clear()

    def grant(self, grant_type: str, assertion: str, *, audiences: Iterable[str]) -> str:
        """An access token for a signed assertion.

        Raises:
            GrantError: it is refused.
        """
        if grant_type != GRANT_TYPE:
            raise GrantError("unsupported_grant_type", f"Invalid grant_type: {grant_type[:40]}")
        header, claims, signed, signature = _parts(assertion)
        account = self.accounts.get(str(claims.get("iss")))
        if account is None:
            raise GrantError("invalid_grant", "Invalid grant: account not found")
        if header.get("alg") != "RS256" or header.get("kid", account.key_id) != account.key_id:
            raise GrantError("invalid_grant", "Invalid JWT: the key or its algorithm is not known.")
        try:
            account.key.public_key().verify(signature, signed, PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            raise GrantError("invalid_grant", "Invalid JWT Signature.") from error
        self._check(claims, frozenset(audiences))
        return self.issue(account.email)

    def _check(self, claims: dict[str, Any], audiences: frozenset[str]) -> None:
        now = self._clock().timestamp()
        issued, expires = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise GrantError("invalid_grant", "Invalid JWT: iat and exp must be numbers.")
        is_long = expires - issued > MAX_ASSERTION_LIFE.total_seconds()
        if is_long or expires <= now or issued > now + CLOCK_SKEW.total_seconds():
            raise GrantError(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
            )
        if claims.get("aud") not in audiences:
            raise GrantError("invalid_grant", "Invalid JWT: Failed audience check.")
        if not str(claims.get("scope", "")).strip():
            raise GrantError("invalid_scope", "Empty or missing scope not allowed.")


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, the bytes that are signed, the signature."""
    signed, _, signature = assertion.rpartition(".")
    header, dot, claims = signed.partition(".")
    try:
        if not dot:
            raise ValueError("not three parts")
        decoded = [json.loads(_base64url(part)) for part in (header, claims)]
        if not all(isinstance(part, dict) for part in decoded):
            raise ValueError("not objects")
        return decoded[0], decoded[1], signed.encode("ascii"), _base64url(signature)
    except (ValueError, binascii.Error) as error:
        raise GrantError("invalid_grant", "Bad Request: the assertion is no JWT.") from error


def _base64url(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
