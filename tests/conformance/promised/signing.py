"""Signed URLs: one method on one key for a time, by the location that is there for it, under the rules of every other call."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from conformance.clients import chunks_of, read
from conformance.promised.keys import accepted
from conformance.table import promise
from conformance.world import Used, World
from conformance.wrappers import Counting
from stow.errors import (
    ContainerNotAllowedError,
    CredentialsError,
    InvalidArgumentError,
    UnsupportedError,
)
from stow.storage.model import Method, ResponseOverride, SignedURL, SignedURLProperties, WriteOptions


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


KEY, OTHER_KEY = "signed-key-aaaa", "signed-key-bbbb"
OLD, NEW = b"what is stored", b"what somebody else sends"
NO_REFUSALS = frozenset({408, 412, 416, 429})


async def use(
    world: World,
    signed: SignedURL,
    *,
    method: str | None = None,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Used:
    """As a plain client does it. Without ``headers``: exactly those that the answer to the signing names."""
    assert world.kind.honour is not None
    given = signed.required_headers if headers is None else headers
    method = method or signed.method
    if method == Method.PUT and body is None:
        body = NEW
    return await world.kind.honour(method, url or signed.url, given, body)


def worked(used: Used) -> bool:
    return 200 <= used.status < 300


async def assert_refused(world: World, signed: SignedURL, **how: Any) -> None:
    """The server refuses it, gives nothing away and changes nothing."""
    used = await use(world, signed, **how)
    assert 400 <= used.status < 500, (signed.method, used.status, {k: v for k, v in how.items() if k != "url"})
    assert used.status not in NO_REFUSALS
    assert OLD not in used.body
    assert (await read(world.client, KEY)).data == OLD


async def stored(world: World) -> None:
    for key in (KEY, OTHER_KEY):
        await world.client.write(key, OLD)


async def right_use(world: World, method: Method) -> None:
    """The object is there before, but for a PUT; an odd key, so that nothing on the way may rewrite it."""
    key = "a folder/ü+ b?c&d=e" if accepted(world, "a folder/ü+ b?c&d=e") else KEY
    if method is not Method.PUT:
        await world.client.write(key, OLD)
    signed = await world.client.sign(key, SignedURLProperties(scope=method))
    used = await use(world, signed)
    assert worked(used), used.status
    if method is Method.GET:
        assert used.body == OLD
    if method is Method.HEAD:
        assert (used.headers["content-length"], used.body) == (str(len(OLD)), b"")
    if method is Method.PUT:
        assert "content-length" not in {header.lower() for header in signed.required_headers}
        assert (await read(world.client, key)).data == NEW
        assert (await world.client.list()).keys == [key]
    assert (await world.client.head(key)).exists is (method is not Method.DELETE)


@promise("signed-get-works")
async def signed_get(world: World) -> None:
    await right_use(world, Method.GET)


@promise("signed-put-works")
async def signed_put(world: World) -> None:
    """Fault 8: a body of another length than the MD5's text arrives."""
    await right_use(world, Method.PUT)


@promise("signed-head-works")
async def signed_head(world: World) -> None:
    await right_use(world, Method.HEAD)


@promise("signed-delete-works")
async def signed_delete(world: World) -> None:
    await right_use(world, Method.DELETE)


async def signed_for_each(world: World, **how: Any) -> list[SignedURL]:
    await stored(world)
    return [await world.client.sign(KEY, SignedURLProperties(scope=method, **how)) for method in wanted(world)]


async def assert_right_uses(world: World, all_signed: list[SignedURL]) -> None:
    """What was refused in altered form works as it was signed; a delete comes last."""
    for signed in sorted(all_signed, key=lambda each: each.method is Method.DELETE):
        used = await use(world, signed, body=OLD if signed.method is Method.PUT else None)
        assert worked(used), (signed.method, used.status)


@promise("signed-url-serves-no-other-method")
async def other_methods(world: World) -> None:
    """With all the headers that the other method would need. What the kind declares as implied has to work, everything else must not."""
    all_signed = await signed_for_each(world)
    needed = {signed.method: signed.required_headers for signed in all_signed}
    for signed in all_signed:
        implied = world.kind.implied.get(signed.method, frozenset())
        for other in set(Method) - {signed.method}:
            headers = {**needed.get(other, {}), **signed.required_headers}
            if other in implied:
                assert worked(await use(world, signed, method=other, headers=headers)), (signed.method, other)
            else:
                await assert_refused(world, signed, method=other, headers=headers)
    await assert_right_uses(world, all_signed)


@promise("signed-url-serves-no-other-key")
async def other_keys(world: World) -> None:
    all_signed = await signed_for_each(world)
    elsewhere = await world.new_container()
    await world.store.load_container(elsewhere, create_if_not_found=False)
    there = world.store.reference(elsewhere, KEY)
    await world.store.write_raw(there, len(OLD), WriteOptions(), chunks_of(OLD))
    for signed in all_signed:
        for this, other in ((KEY, OTHER_KEY), (KEY, f"{KEY}/x"), (KEY, KEY[:-1]), (world.container, elsewhere)):
            assert this in signed.url
            await assert_refused(world, signed, url=signed.url.replace(this, other))
    assert (await read(world.client, OTHER_KEY)).data == OLD
    assert (await world.store.head(there)).exists
    await assert_right_uses(world, all_signed)


def flipped(value: str) -> str:
    """One character is another: the first letter or digit, because the last ones of base64 may hold bits that nobody looks at."""
    at = next(n for n, character in enumerate(value) if character.isalnum())
    return value[:at] + ("1" if value[at] != "1" else "2") + value[at + 1 :]


def alterations(url: str) -> list[str]:
    """The URL with one query value altered, for each of them; with one parameter left out; without all."""
    base, _, query = url.partition("?")
    pairs = query.split("&")
    queries = [pairs[:at] + pairs[at + 1 :] for at in range(len(pairs))]
    for at, pair in enumerate(pairs):
        parameter, _, value = pair.partition("=")
        if any(map(str.isalnum, value)):
            queries.append([*pairs[:at], f"{parameter}={flipped(value)}", *pairs[at + 1 :]])
    return [base, *(f"{base}?{'&'.join(changed)}" for changed in queries)]


@promise("altered-signed-url-is-refused")
async def altered(world: World) -> None:
    all_signed = await signed_for_each(world)
    for signed in all_signed:
        for url in alterations(signed.url):
            assert url != signed.url
            await assert_refused(world, signed, url=url)
    await assert_right_uses(world, all_signed)


@promise("signed-url-expires")
async def expired(world: World) -> None:
    """The one proof that has to let time pass: the end is the server's to keep."""
    all_signed = await signed_for_each(world, expires_in=timedelta(seconds=3))
    reading = [signed for signed in all_signed if signed.method in {Method.GET, Method.HEAD, Method.PUT}]
    await assert_right_uses(world, reading)
    end = max(signed.expires_at for signed in all_signed)
    assert end <= world.clock() + timedelta(seconds=3)
    await asyncio.sleep((end - world.clock()).total_seconds() + 0.05)
    await world.client.write(KEY, OLD)
    for signed in all_signed:
        await assert_refused(world, signed)


@promise("new-container-is-private")
async def private(world: World) -> None:
    """Fault 5: new Azure containers of the original are public."""
    await stored(world)
    signed = await world.client.sign(KEY, SignedURLProperties(scope=Method.GET))
    bare = signed.url.partition("?")[0]
    container = bare.partition(world.container)[0] + world.container
    assert container != bare
    for method in Method:
        await assert_refused(world, signed, method=method, url=bare)
    for url in (container, f"{container}/", f"{container}?restype=container&comp=list", f"{container}?list-type=2"):
        await assert_refused(world, signed, url=url)


async def signed_put_of(world: World, key: str = "bound", **bound: Any) -> SignedURL:
    return await world.client.sign(key, SignedURLProperties(scope=Method.PUT, **bound))


def with_header(signed: SignedURL, name: str, value: str | None) -> dict[str, str]:
    """The required headers with one of them changed, or (None) left out. It has to be among them."""
    assert name in {header.lower() for header in signed.required_headers}
    others = {header: given for header, given in signed.required_headers.items() if header.lower() != name}
    return others if value is None else {**others, name: value}


@promise("sign-binds-content-md5")
async def bound_md5(world: World) -> None:
    await stored(world)
    right, wrong = (base64.b64encode(hashlib.md5(body).digest()).decode() for body in (NEW, OLD))
    signed = await signed_put_of(world, content_md5=hashlib.md5(NEW).digest())
    assert {name.lower(): value for name, value in signed.required_headers.items()}.get("content-md5") == right
    for value, body in ((None, NEW), (wrong, OLD), (wrong, NEW), (right, OLD)):
        await assert_refused(world, signed, headers=with_header(signed, "content-md5", value), body=body)
        assert not (await world.client.head("bound")).exists, value
    assert worked(await use(world, signed))
    assert (await read(world.client, "bound")).data == NEW


@promise("sign-binds-content-type")
async def bound_type(world: World) -> None:
    await stored(world)
    signed = await signed_put_of(world, content_type="text/csv")
    for value in (None, "text/html", "text/csv; charset=x"):
        await assert_refused(world, signed, headers=with_header(signed, "content-type", value))
        assert not (await world.client.head("bound")).exists, value
    assert worked(await use(world, signed))
    assert (await world.client.head("bound")).attributes.content_type == "text/csv"


@promise("sign-binds-headers")
async def bound_headers(world: World) -> None:
    await stored(world)
    signed = await signed_put_of(world, headers={"content-disposition": "attachment", "cache-control": "no-store"})
    for header, value in (("content-disposition", "inline"), ("content-disposition", None), ("cache-control", None)):
        await assert_refused(world, signed, headers=with_header(signed, header, value))
        assert not (await world.client.head("bound")).exists, header
    assert worked(await use(world, signed))
    found = (await world.client.head("bound")).attributes
    assert (found.content_disposition, found.cache_control) == ("attachment", "no-store")


@promise("sign-binds-the-headers-of-a-get")
async def bound_range(world: World) -> None:
    await stored(world)
    signed = await world.client.sign(KEY, SignedURLProperties(scope=Method.GET, headers={"range": "bytes=5-6"}))
    for value in (None, "bytes=0-9"):
        await assert_refused(world, signed, headers=with_header(signed, "range", value))
    used = await use(world, signed)
    assert (used.status, used.body) == (206, OLD[5:7])


OVERRIDES = {
    ResponseOverride.CONTENT_TYPE: "text/x-signed",
    ResponseOverride.CONTENT_DISPOSITION: 'attachment; filename="signed.csv"',
    ResponseOverride.CACHE_CONTROL: "private, max-age=7",
    ResponseOverride.CONTENT_LANGUAGE: "de",
    ResponseOverride.CONTENT_ENCODING: "x-signed",
}


@promise("sign-overrides-the-answer")
async def overrides(world: World) -> None:
    await stored(world)
    for method in {Method.GET, Method.HEAD} & world.capabilities.sign_methods:
        signed = await world.client.sign(KEY, SignedURLProperties(scope=method, response_overrides=OVERRIDES))
        for url in (url for url in alterations(signed.url) if "?" in url):
            await assert_refused(world, signed, url=url)
        used = await use(world, signed)
        assert worked(used), used.status
        assert {name: used.headers.get(name) for name in OVERRIDES} == OVERRIDES
    assert (await world.client.head(KEY)).attributes.content_type != "text/x-signed"


@promise("sign-binds-max-size")
async def bound_size(world: World) -> None:
    await stored(world)
    signed = await signed_put_of(world, max_size_bytes=len(NEW) - 1)
    await assert_refused(world, signed)
    assert not (await world.client.head("bound")).exists
    assert worked(await use(world, signed, body=NEW[:-1]))
    assert (await read(world.client, "bound")).data == NEW[:-1]


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
    digest = hashlib.md5(b"body").digest()
    given = SignedURLProperties(scope=Method.PUT, content_md5=digest, content_type="text/csv")
    signed = await world.client.sign("k", given)
    headers = {header.lower(): value for header, value in signed.required_headers.items()}
    assert headers.get("content-md5") == base64.b64encode(digest).decode()
    assert headers.get("content-type") == "text/csv"
    assert "content-length" not in headers
    plain = await world.client.sign("k", SignedURLProperties(scope=Method.PUT))
    assert "content-md5" not in {header.lower() for header in plain.required_headers}


@promise("sign-binds-only-what-makes-sense")
async def useless_bindings(world: World) -> None:
    """Before any I/O: a body's properties with a method without a body, headers that would widen the URL, values that break a line."""
    world.driver.calls.clear()
    reference = world.store.reference(world.container, "k")
    for method, bound in (
        (Method.GET, {"content_md5": bytes(16)}),
        (Method.DELETE, {"content_type": "text/csv"}),
        (Method.PUT, {"response_overrides": OVERRIDES}),
        (Method.PUT, {"headers": {"x-amz-copy-source": "other/secret"}}),
        (Method.PUT, {"headers": {"x-goog-acl": "public-read"}}),
        (Method.PUT, {"headers": {"host": "elsewhere"}}),
        (Method.PUT, {"headers": {"cache-control": "a\r\nx: y"}}),
        (Method.GET, {"response_overrides": {ResponseOverride.CONTENT_TYPE: "a\nb"}}),
    ):
        with pytest.raises((InvalidArgumentError, UnsupportedError)):
            await world.store.create_signed_url(reference, SignedURLProperties(scope=method, **bound))
    assert world.driver.calls == []
