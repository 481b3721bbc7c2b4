"""What a signed URL may be asked to bind: checked before any I/O, never silently left out. And who signs, where that is somebody else."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from stow.errors import CredentialsInvalidError, InvalidArgumentError, StowError, UnsupportedError
from stow.storage.attributes import MAX_HEADER_CHARS
from stow.storage.driver import Capabilities, Driver
from stow.storage.model import Method, SignBinding, SignedURLProperties
from stow.storage.names import printable

MAX_HEADERS: Final = 16
BINDABLE: Final = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "range",
    }
)
"""Headers that a signed URL may bind, beside metadata. A closed list: a bound ``x-amz-copy-source`` would read any object that the
location's credentials reach, a bound ``x-goog-acl`` would publish one."""
_METADATA: Final = re.compile(r"x-(amz|goog|ms)-meta-[a-z0-9_-]{1,64}")


def check_method(method: Method, allowed: frozenset[Method], capabilities: Capabilities) -> None:
    """``allowed`` is what the location's spec lets be signed.

    Raises:
        UnsupportedError: the backend, or the spec, has no such URLs; says which of the two.
    """
    able = capabilities.sign_methods
    if not able:
        raise UnsupportedError(
            "No URL can be signed here: the backend has no way to, or the location's credentials hold nothing that signs; "
            "the page Drivers of the documentation says what each kind needs."
        )
    if method not in able:
        raise UnsupportedError(f"This backend signs {_named(able)}, not {method}; sign one of these.")
    if method not in allowed:
        raise UnsupportedError(
            f"This location signs {_named(able & allowed)}, not {method}: its spec.signedURL.methods does not list it."
        )


def _named(methods: frozenset[Method]) -> str:
    return ", ".join(sorted(methods)) or "nothing"


def check_bindings(properties: SignedURLProperties, capabilities: Capabilities) -> None:
    """Refuse what cannot be bound, by this backend or at all.

    Raises:
        UnsupportedError: the backend cannot bind it; the URL would allow more than was asked for.
        InvalidArgumentError: the method has no use for it, or it is malformed.
    """
    asked = {
        SignBinding.CONTENT_MD5: properties.content_md5 is not None,
        SignBinding.CONTENT_TYPE: properties.content_type is not None,
        SignBinding.HEADERS: bool(properties.headers),
        SignBinding.RESPONSE_OVERRIDES: bool(properties.response_overrides),
        SignBinding.MAX_SIZE: properties.max_size_bytes is not None,
    }
    wanted = [binding for binding, given in asked.items() if given]
    lacking = [binding for binding in wanted if binding not in capabilities.sign_binds]
    if lacking:
        raise UnsupportedError(
            f"Signed URLs of this backend cannot be bound to {', '.join(lacking)}; leave it out, or use another kind of location."
        )
    bodily = {SignBinding.CONTENT_MD5, SignBinding.CONTENT_TYPE, SignBinding.MAX_SIZE}
    if properties.scope is not Method.PUT and (useless := bodily.intersection(wanted)):
        raise InvalidArgumentError(f"Only a signed PUT has a body: leave out {', '.join(sorted(useless))}.")
    if properties.scope not in {Method.GET, Method.HEAD} and properties.response_overrides:
        raise InvalidArgumentError("Only a signed GET or HEAD has response overrides.")
    _check_headers(properties)


def _check_headers(properties: SignedURLProperties) -> None:
    if len(properties.headers) > MAX_HEADERS:
        raise InvalidArgumentError(f"A signed URL binds at most {MAX_HEADERS} further headers.")
    for name in properties.headers:
        if name not in BINDABLE and not _METADATA.fullmatch(name):
            raise InvalidArgumentError(
                f"The header {printable(name)!r} cannot be bound; these can, in lower case: "
                f"{', '.join(sorted(BINDABLE))}, x-amz-meta-*, x-goog-meta-*, x-ms-meta-*."
            )
    for name, value in (*properties.headers.items(), *properties.response_overrides.items()):
        if not value or len(value) > MAX_HEADER_CHARS or not (value.isascii() and value.isprintable()):
            raise InvalidArgumentError(
                f"The value of {printable(name)} must be printable ASCII of 1 to {MAX_HEADER_CHARS} characters."
            )


@contextmanager
def naming_the_signer() -> Iterator[None]:
    """Both drivers of a location lead to one backend: without this nobody could tell whose credentials it refused."""
    try:
        yield
    except StowError as error:
        named = copy.copy(error)
        named.message = f"With spec.signedURL.credentials: {error.message}"
        named.args = (named.message,)
        raise named from error


async def probe_signer(signer: Driver, main: Driver) -> None:
    """Ask of signing credentials only to be known: they may be allowed to read objects and nothing else.

    Raises:
        CredentialsInvalidError: they are of another account, where the same name would mean somebody else's container.
        StowError: whatever the backend says to them. Each says that it speaks of the signer.
    """
    with naming_the_signer():
        await signer.probe(None)
        if signer.identity != main.identity:
            raise CredentialsInvalidError(
                "They are of another account than the location's own; use some of the same one."
            )


def signs_as(main: Capabilities, signer: Capabilities) -> Capabilities:
    """What a location can do whose URLs somebody else signs."""
    return replace(
        main,
        sign_methods=signer.sign_methods,
        sign_binds=signer.sign_binds,
        max_signed_expiry_s=signer.max_signed_expiry_s,
    )
