"""Signed URLs: one method on one key for a time, by the location that is there for it, under the rules of every other call."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from conformance.clients import read
from conformance.table import promise
from conformance.world import World
from conformance.wrappers import Counting
from stow.errors import (
    ContainerNotAllowedError,
    CredentialsError,
    InvalidArgumentError,
    UnsupportedError,
)
from stow.storage.model import Method, SignedURL, SignedURLProperties


def wanted(world: World) -> list[Method]:
    return sorted(world.capabilities.sign_methods)


@promise("sign-checks-the-container")
async def foreign_container(world: World) -> None:
    """Fault 3: the original signs for any bucket that its credentials reach."""
    other = await world.new_container()
    world.driver.calls.clear()
    for method in wanted(world):
        with pytest.raises(ContainerNotAllowedError):
            await world.store.create_signed_url(world.store.reference(other, "k"), SignedURLProperties(scope=method))
    assert world.driver.calls == []


@promise("sign-gives-a-url")
async def signs(world: World) -> None:
    for method in wanted(world):
        before = world.clock()
        signed = await world.client.sign("a/b c", SignedURLProperties(scope=method, expires_in=timedelta(minutes=5)))
        assert signed.method is method
        assert urlsplit(signed.url).scheme in {"http", "https"}
        assert before + timedelta(minutes=4) < signed.expires_at <= world.clock() + timedelta(minutes=5)
        assert signed.url not in repr(signed)


async def use(
    world: World, signed: SignedURL, *, method: str | None = None, url: str | None = None, body: bytes | None = None
) -> tuple[int, bytes | None]:
    assert world.kind.honour is not None
    return await world.kind.honour(method or signed.method, url or signed.url, signed.required_headers, body)


@promise("signed-url-allows-what-it-says")
async def right_use(world: World) -> None:
    """Fault 7 (local cannot sign) and fault 8 (a signed PUT): a body of another length than the MD5's text arrives."""
    key, body = "a folder/ü+%2e b?c", b"signed body" * 100
    md5 = hashlib.md5(body).digest()
    for method in (Method.PUT, Method.GET, Method.HEAD, Method.DELETE):
        if method not in world.capabilities.sign_methods:
            continue
        given = SignedURLProperties(scope=method, content_md5=md5 if method is Method.PUT else None)
        signed = await world.client.sign(key, given)
        status, answer = await use(world, signed, body=body if method is Method.PUT else None)
        assert 200 <= status < 300, method
        if answer is not None and method is Method.PUT:
            assert (await world.client.head(key)).size_bytes == len(body)
        if answer is not None and method is Method.GET:
            assert answer == body
    assert not (await world.client.head(key)).exists


@promise("signed-url-allows-nothing-else")
async def wrong_use(world: World) -> None:
    await world.client.write("k", b"data")
    await world.client.write("kk", b"data")
    signed = await world.client.sign("k", SignedURLProperties(scope=Method.GET))
    assert 200 <= (await use(world, signed))[0] < 300
    last = signed.url[-1]
    altered = signed.url[:-1] + ("0" if last != "0" else "1")
    for method in ("PUT", "DELETE"):
        assert (await use(world, signed, method=method, body=b"x" if method == "PUT" else None))[0] >= 400, method
    assert (await use(world, signed, url=altered))[0] >= 400
    for part in ("/k?", "key=k&"):
        other = signed.url.replace(part, part.replace("k?", "kk?").replace("=k&", "=kk&"))
        assert other == signed.url or (await use(world, signed, url=other))[0] >= 400
    if Method.PUT in world.capabilities.sign_methods:
        md5 = hashlib.md5(b"body").digest()
        put = await world.client.sign("k", SignedURLProperties(scope=Method.PUT, content_md5=md5))
        assert world.kind.honour is not None
        assert (await world.kind.honour("PUT", put.url, {}, b"other"))[0] >= 400
    assert (await read(world.client, "k")).data == b"data"


@promise("sign-lifetime-is-bounded")
async def lifetimes(world: World) -> None:
    client = await world.client_over(default_ttl=timedelta(minutes=2), max_ttl=timedelta(minutes=10))
    method = wanted(world)[0]
    for asked, minutes in ((None, 2), (timedelta(days=1), 10), (timedelta(minutes=3), 3)):
        signed = await client.sign("k", SignedURLProperties(scope=method, expires_in=asked))
        left = signed.expires_at - world.clock()
        assert timedelta(minutes=minutes, seconds=-30) < left <= timedelta(minutes=minutes), asked
    for bad in (timedelta(0), timedelta(seconds=-1)):
        with pytest.raises(InvalidArgumentError):
            await world.store.create_signed_url(
                world.store.reference(world.container, "k"), SignedURLProperties(scope=method, expires_in=bad)
            )


@promise("sign-only-allowed-methods")
async def allowed_methods(world: World) -> None:
    client = await world.client_over(sign_methods=frozenset({Method.GET}))
    await client.sign("k", SignedURLProperties(scope=Method.GET))
    for method in (Method.PUT, Method.DELETE, Method.HEAD):
        with pytest.raises(UnsupportedError):
            await client.sign("k", SignedURLProperties(scope=method))


@promise("sign-by-the-signing-location")
async def signing_location(world: World) -> None:
    signer = Counting(world.kind.driver)
    store = world.make_store(signed_url=signer)
    world.driver.calls.clear()
    await store.create_signed_url(store.reference(world.container, "k"), SignedURLProperties(scope=wanted(world)[0]))
    assert signer.calls == ["sign"]
    assert "sign" not in world.driver.calls


@promise("denied-is-not-signed-away")
async def denied_location(world: World) -> None:
    """A location that is not let in may sign (nobody asks the backend), but never says that something is absent."""
    store = world.make_store(world.kind.denied())
    try:
        signed = await store.create_signed_url(
            store.reference(world.container, "k"), SignedURLProperties(scope=wanted(world)[0])
        )
    except CredentialsError:
        return
    assert signed.url


@promise("sign-names-the-headers-to-send")
async def required_headers(world: World) -> None:
    """Fault 8: the original answers a signed PUT with a Content-Length that is the length of the MD5's text."""
    if Method.PUT not in world.capabilities.sign_methods:
        return
    digest = hashlib.md5(b"body").digest()
    signed = await world.client.sign(
        "k", SignedURLProperties(scope=Method.PUT, content_md5=digest, content_type="text/csv")
    )
    headers = {header.lower(): value for header, value in signed.required_headers.items()}
    assert headers.get("content-md5") == base64.b64encode(digest).decode()
    assert headers.get("content-type") == "text/csv"
    assert "content-length" not in headers
    plain = await world.client.sign("k", SignedURLProperties(scope=Method.PUT))
    assert "content-md5" not in {header.lower() for header in plain.required_headers}
