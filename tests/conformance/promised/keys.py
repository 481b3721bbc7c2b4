"""Keys: each stays what it is, or is refused before any I/O. None is ever stored under another name."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from conformance.clients import read, together
from conformance.table import promise
from conformance.world import World, make_world
from stow.errors import InvalidKeyError, InvalidReferenceError
from stow.storage.model import CopyOptions, Method, SignedURLProperties, WriteOptions
from stow.storage.names import DataReference

_COPY, _WRITE, _GET = CopyOptions(), WriteOptions(), SignedURLProperties(scope=Method.GET)
_NFC, _NFD = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
ODD_KEYS: tuple[str, ...] = (
    "a//b", "a/b", "/a", "//a", "a", "a/", "a//", "/", "a b", "a+b", "a%20b", "a%2Bb", " a", "a ", "%2e", "%2E", "%2e%2e/x", "%",
    "%zz", ".", "..", "../x", "./x", "x", "x/./y", "x/../y", "x/..", "x/.", "...", ".hidden", "trailing.", "trailing..", _NFC, _NFD,
    "Case", "case", "\U0001f600", "大", "tab\there", "cr\rhere", "bell\x07", "del\x7f", "\ufffe", "back\\slash", "..\\x",
    "q?a=b#c&d", "a;b", "a=b", "a:b", "a*b", "a|b", 'a"b', "a'b", "a<b>", "a,b", "a@b", "a~b", "[x]", "{x}", "a^b", "a`b", "$a", "!a",
    "CON", "nul.txt", "-rf", "~", "k" * 1024, "é" * 512, "s" * 255, "s" * 256, "d/" * 200 + "x", "name.part", "name.tmp", "\u202egnp",
    "..\\..\\x", "x\\.\\y", " ..", ".. /x", "x/ ./y", "\u0085", "\u2028", "\u200b",
)  # fmt: skip
ODDEST_KEYS: tuple[str, ...] = (
    "a//b", "/a", "//a", "a", "a/", "/", "a b", "a+b", "a%20b", "a%2Bb", " a", "a ", "%2e", "%2e%2e/x", "%", "%zz", ".", "../x", "./x",
    "x/./y", "x/..", "...", "trailing.", _NFC, _NFD, "\U0001f600", "大", "tab\there", "cr\rhere", "bell\x07", "del\x7f", "\ufffe",
    "back\\slash", "..\\x", "q?a=b#c&d", "a;b", "a:b", "a*b", 'a"b', "a'b", "a<b>", "a~b", "[x]", "$a", "k" * 1024, "é" * 512,
    "s" * 256, "\u2028", "x/ ./y",
)  # fmt: skip
"""One of each sort of them, for the proofs that make many requests for each."""
_BESIDE = "beside"
"""A key that every dialect takes and that is not among the odd ones."""
REFUSED_EVERYWHERE = ("", "nul\0here", "k" * 1025, "é" * 513, "lone\ud800surrogate")


async def _one() -> AsyncIterator[bytes]:
    yield b"x"


def accepted(world: World, key: str) -> bool:
    try:
        world.capabilities.keys.check(key)
    except InvalidKeyError:
        return False
    return True


def unnested(keys: list[str]) -> list[list[str]]:
    """Groups in which no key is the folder of another one (that they coexist is a promise of its own)."""
    groups: list[list[str]] = []
    for key in keys:
        for group in groups:
            if not any(f"{key}/".startswith(f"{o}/") or f"{o}/".startswith(f"{key}/") for o in group):
                group.append(key)
                break
        else:
            groups.append([key])
    return groups


@promise("keys-stay-distinct")
async def odd_keys(world: World) -> None:
    """Many at once in one container: each one's bytes are its own name, so two that fall together show."""
    kept = [key for key in ODD_KEYS if accepted(world, key)]
    assert len(kept) >= 40
    for group in unnested(kept):
        for key in group:
            await world.client.write(key, key.encode())
        for key in group:
            assert (await read(world.client, key)).data == key.encode(), ascii(key)
        listed: list[str] = []
        cursor = None
        while True:
            page = await world.client.list(limit=50, cursor=cursor)
            listed += page.keys
            cursor = page.cursor
            if cursor is None:
                break
        assert sorted(listed) == sorted(group)
        for key in group:
            await world.client.delete(key)


async def each_alone(world: World, prove: Callable[[World, str], Awaitable[None]]) -> None:
    """For each of the oddest keys that the dialect takes, some at a time: a container of its own, in which nothing else can hide what
    happens."""
    waiting = iter([key for key in ODDEST_KEYS if accepted(world, key)])

    async def some() -> None:
        for key in waiting:
            alone = await make_world(world.kind, world.serve)
            await prove(alone, key)
            await alone.driver.delete_container(alone.container)

    await together(*(some() for _ in range(4)))


@promise("listed-key-is-the-written-key")
async def odd_key_alone(world: World) -> None:
    """The exact set that a listing shows after a put; it goes back into head."""

    async def prove(alone: World, key: str) -> None:
        await alone.client.write(key, b"x")
        assert (await alone.client.list()).keys == [key], ascii(key)
        assert (await alone.client.head(key)).exists
        await alone.client.delete(key)
        assert (await alone.client.list()).keys == [], ascii(key)

    await each_alone(world, prove)


@promise("key-round-trips-through-every-verb")
async def odd_key_everywhere(world: World) -> None:
    methods = [method for method in (Method.GET, Method.PUT) if method in world.capabilities.sign_methods]

    async def prove(alone: World, key: str) -> None:
        body = key.encode()
        await alone.client.write(key, body)
        assert (await read(alone.client, key)).data == body, ascii(key)
        assert (await alone.client.head(key)).size_bytes == len(body), ascii(key)
        page = await alone.client.list(key, limit=1)
        assert page.keys == [key], ascii(key)
        for method in methods:
            signed = await alone.client.sign(key, SignedURLProperties(scope=method))
            assert alone.kind.honour is not None
            sent = body + b"!" if method is Method.PUT else None
            used = await alone.kind.honour(method, signed.url, signed.required_headers, sent)
            assert 200 <= used.status < 300, (ascii(key), method, used.status)
            assert method is Method.PUT or used.body == body, ascii(key)
            body = sent or body
        await alone.client.copy(key, _BESIDE)
        await alone.client.delete(key)
        assert (await alone.client.list()).keys == [_BESIDE], ascii(key)
        await alone.client.copy(_BESIDE, key)
        await alone.client.delete(_BESIDE)
        assert (await alone.client.list()).keys == [key], ascii(key)
        assert (await read(alone.client, key)).data == body, ascii(key)
        await alone.client.delete(key)
        assert not (await alone.client.head(key)).exists, ascii(key)

    await each_alone(world, prove)


@promise("a-newline-is-a-character")
async def newline(world: World) -> None:
    key = "line\nfeed"
    if not accepted(world, key):
        with pytest.raises(InvalidKeyError):
            await world.client.write(key, b"x")
        return
    await world.client.write(key, b"x")
    assert (await world.client.list()).keys == [key]
    assert (await read(world.client, key)).data == b"x"


@promise("illegal-key-is-refused-before-io")
async def refused_keys(world: World) -> None:
    refused = [*REFUSED_EVERYWHERE, *(key for key in ODD_KEYS if not accepted(world, key))]
    fresh = world.make_store(dynamic_allowed=lambda _name, _scope: True)
    other = await world.new_container()
    world.driver.calls.clear()
    for store, container in ((world.store, world.container), (fresh, other)):
        for key in refused:
            bad = store.reference(container, key)
            good = store.reference(container, "fine")
            for call in (
                lambda s=store, b=bad: s.head(b),
                lambda s=store, b=bad: s.read_raw(b),
                lambda s=store, b=bad: s.delete(b),
                lambda s=store, b=bad, g=good: s.copy_raw(b, g, _COPY),
                lambda s=store, b=bad, g=good: s.copy_raw(g, b, _COPY),
                lambda s=store, b=bad: s.write_raw(b, 1, _WRITE, _one()),
                lambda s=store, b=bad: s.create_signed_url(b, _GET),
            ):
                with pytest.raises(InvalidKeyError):
                    await call()
    assert world.driver.calls == []


@promise("illegal-key-is-told-so")
async def refused_with_a_code(world: World) -> None:
    for key in ("nul\0here", "k" * 1025, *(key for key in ODD_KEYS if not accepted(world, key))):
        with pytest.raises(InvalidKeyError):
            await world.client.head(key)
        with pytest.raises(InvalidKeyError):
            await world.client.write(key, b"x")
    assert (await world.client.list()).keys == []


@promise("a-key-never-leaves-its-container")
async def containment(world: World) -> None:
    """Fault 7: the original's local backend follows ../ out of its folder, and deletes relative to the working directory."""
    neighbour = await make_world(world.kind)
    await neighbour.client.write("x", b"the neighbour's")
    for key in (
        f"../{neighbour.container}/x",
        f"/{neighbour.container}/x",
        f"./../{neighbour.container}/x",
        "../x",
        "../../x",
    ):
        if accepted(world, key):
            assert not (await world.client.head(key)).exists, key
            await world.client.write(key, b"mine")
            await world.client.delete(key)
        else:
            with pytest.raises(InvalidKeyError):
                await world.client.delete(key)
    assert (await read(neighbour.client, "x")).data == b"the neighbour's"
    assert (await neighbour.client.list()).keys == ["x"]
    assert (await world.client.list()).keys == []


@promise("head-answers-for-the-exact-key")
async def no_prefix_match(world: World) -> None:
    await world.client.write("foobar", b"x")
    await world.client.write("dir/inner", b"x")
    for key in ("foo", "dir", "foobarbaz", "Foobar"):
        assert not (await world.client.head(key)).exists, key
        await world.client.delete(key)
    assert sorted((await world.client.list()).keys) == ["dir/inner", "foobar"]


@promise("a-key-and-its-folder-coexist")
async def key_and_folder(world: World) -> None:
    for key in ("f", "f/g", "f/g/h"):
        await world.client.write(key, key.encode())
    assert (await world.client.list()).keys == ["f", "f/g", "f/g/h"]
    await world.client.delete("f/g")
    for key in ("f", "f/g/h"):
        assert (await read(world.client, key)).data == key.encode()


@promise("foreign-scheme-is-refused")
async def foreign_scheme(world: World) -> None:
    world.driver.calls.clear()
    for scheme in {"s3", "gs", "https", "S3", ""} - {world.driver.scheme}:
        with pytest.raises(InvalidReferenceError):
            await world.store.head(DataReference(scheme, world.container, "k"))
    assert world.driver.calls == []
