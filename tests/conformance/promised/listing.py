"""Listings: every key once, in byte order, by pages whose cursors nobody can forge or carry elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from conformance.clients import ObjectClient, chunks_of, read
from conformance.table import promise
from conformance.world import World, make_store
from conformance.wrappers import Wrapper
from stow.errors import InvalidArgumentError, InvalidCursorError, InvalidReferenceError
from stow.storage.model import Listing, WriteOptions
from stow.storage.names import DataReference

KEYS = ("A", "a!", "a/b", "a/c", "a0", "ab", "b!", "b/x/1", "b/x/2", "b/y", "z", "é", "\uffee", "\U0001f600")


async def fill(world: World, keys: tuple[str, ...] = KEYS) -> None:
    for key in keys:
        await world.client.write(key, key.encode())


async def pages(
    client: ObjectClient, prefix: str = "", *, limit: int, delimiter: str | None = None
) -> tuple[list[str], list[str]]:
    """All keys and all prefixes, in the order in which they came."""
    keys: list[str] = []
    prefixes: list[str] = []
    cursor = None
    for _ in range(60):
        page = await client.list(prefix, limit=limit, cursor=cursor, delimiter=delimiter)
        assert len(page.objects) + len(page.prefixes) <= limit
        keys += page.keys
        prefixes += page.prefixes
        cursor = page.cursor
        if cursor is None:
            return keys, prefixes
    raise AssertionError("the listing does not end")


def in_byte_order(texts: list[str]) -> bool:
    return texts == sorted(texts, key=str.encode)


@promise("list-pages-give-each-key-once")
async def every_page_size(world: World) -> None:
    await fill(world)
    for limit in (1, 2, 7, 1000):
        keys, prefixes = await pages(world.client, limit=limit)
        assert sorted(keys) == sorted(KEYS), limit
        assert prefixes == []


@promise("list-in-byte-order")
async def byte_order(world: World) -> None:
    await fill(world)
    for limit in (3, 1000):
        keys, _ = await pages(world.client, limit=limit)
        assert in_byte_order(keys), keys


@promise("list-prefix-is-no-folder")
async def prefixes_of_keys(world: World) -> None:
    await fill(world)
    for prefix in ("a", "a/", "b/x", "b/x/", "b/", "nothing"):
        for limit in (1, 2, 1000):
            keys, _ = await pages(world.client, prefix, limit=limit)
            assert keys == sorted((k for k in KEYS if k.startswith(prefix)), key=str.encode), (prefix, limit)


@promise("list-prefix-that-is-a-key")
async def prefix_that_is_a_key(world: World) -> None:
    await fill(world, ("a", "k", "k1", "k2", "l"))
    for limit in (1, 2, 1000):
        keys, _ = await pages(world.client, "k", limit=limit)
        assert keys == ["k", "k1", "k2"], limit


MANY = tuple(f"{n % 5}/{n:04d}" for n in range(2500))
FOLDERS = [f"{n}/" for n in range(5)]


async def container_of_many(world: World) -> str:
    """Filled once for the kind: no proof changes it."""
    if "many" not in world.kind.shared:
        filled = await world.new_container()
        await world.store.load_container(filled, create_if_not_found=False)
        waiting = iter(MANY)

        async def fill_some() -> None:
            for key in waiting:
                await world.store.write_raw(world.store.reference(filled, key), 0, WriteOptions(), chunks_of(b""))

        await asyncio.gather(*(fill_some() for _ in range(16)))
        world.kind.shared["many"] = filled
    found = world.kind.shared["many"]
    assert isinstance(found, str)
    return found


@promise("list-of-many-keys")
async def many_keys(world: World) -> None:
    """Small pages go over a part of them, because each is a request."""
    container = await container_of_many(world)
    client = await world.serve(make_store(world.driver, container, clock=world.clock), container)
    for prefix, limit in (("", 1000), ("2/", 1000), ("3/01", 7), ("4/249", 1)):
        keys, prefixes = await pages(client, prefix, limit=limit)
        assert keys == sorted(key for key in MANY if key.startswith(prefix)), (prefix, limit)
        assert prefixes == []
    for limit in (1000, 7, 1):
        assert await pages(client, limit=limit, delimiter="/") == ([], FOLDERS), limit


@promise("list-delimiter-folds")
async def delimiter(world: World) -> None:
    await fill(world)
    for limit in (1, 2, 3, 1000):
        keys, prefixes = await pages(world.client, limit=limit, delimiter="/")
        assert sorted(keys) == sorted(k for k in KEYS if "/" not in k), limit
        assert prefixes == ["a/", "b/"], limit
        keys, prefixes = await pages(world.client, "b/", limit=limit, delimiter="/")
        assert (keys, prefixes) == (["b/y"], ["b/x/"]), limit


@promise("list-of-nothing")
async def empty_container(world: World) -> None:
    page = await world.client.list()
    assert (page.objects, page.prefixes, page.cursor) == ((), (), None)


@promise("list-last-page-has-no-cursor")
async def last_page(world: World) -> None:
    await fill(world, ("a", "b"))
    first = await world.client.list(limit=1)
    assert first.cursor is not None
    second = await world.client.list(limit=1, cursor=first.cursor)
    assert (second.keys, second.cursor) == (["b"], None)
    assert (await world.client.list(limit=2)).cursor is None


@promise("first-and-last-cursor-differ")
async def empty_cursor(world: World) -> None:
    """Fault 10: in the original the cursor of the start and that of the end are the same empty text."""
    await fill(world, ("a", "b"))
    with pytest.raises(InvalidCursorError):
        await world.client.list(limit=1, cursor="")


class EmptyPages(Wrapper):
    """A backend that now and then answers an empty page with a token, as several do that scan."""

    async def list(self, container: str, **how: Any) -> Listing:
        token = how["token"]
        if token is None or token.startswith("full:"):
            return Listing((), (), "empty:" + (token or "full:").removeprefix("full:"))
        rest = token.removeprefix("empty:") or None
        page = await self.inner.list(container, **{**how, "token": rest})
        return replace(page, token=None if page.token is None else f"full:{page.token}")


@promise("empty-page-is-not-the-end")
async def empty_pages(world: World) -> None:
    await fill(world, ("a", "b", "c"))
    client = await world.client_over(EmptyPages(world.driver))
    first = await client.list(limit=2)
    assert first.keys == []
    assert first.cursor is not None
    assert (await pages(client, limit=2))[0] == ["a", "b", "c"]


@promise("list-references-round-trip")
async def references(world: World) -> None:
    """Fault 10: what the original's list gives does not go into its head or read."""
    await fill(world)
    page = await world.store.list(world.store.reference(world.container))
    assert len(page.references) == len(KEYS)
    for reference, listed in zip(page.references, page.objects, strict=True):
        found = await world.store.head(reference)
        assert (found.exists, found.size_bytes, found.etag) == (True, listed.size_bytes, listed.etag)
        assert str(reference) == f"{world.store.fqn(world.container)}/{listed.key}"
        parsed = DataReference.parse(str(reference))
        assert parsed == reference
        async with await world.store.read_raw(parsed) as stream:
            assert b"".join([c async for c in stream]) == listed.key.encode()


@promise("list-says-size-and-etag")
async def listed_facts(world: World) -> None:
    await world.client.write("k", b"12345")
    found = await world.client.head("k")
    (listed,) = (await world.client.list()).objects
    assert (listed.key, listed.size_bytes, listed.etag) == ("k", 5, found.etag)
    assert (await read(world.client, listed.key)).metadata.etag == listed.etag


@promise("list-skips-nothing-untouched")
async def objects_come_and_go(world: World) -> None:
    kept = tuple(f"k{n:02d}" for n in range(0, 20, 2))
    await fill(world, kept)
    seen: list[str] = []
    cursor = None
    for turn in range(30):
        page = await world.client.list(limit=3, cursor=cursor)
        seen += page.keys
        cursor = page.cursor
        if cursor is None:
            break
        last = seen[-1]
        await world.client.write(f"{last}-between", b"")
        await world.client.write("a-before", b"")
        if turn == 1:
            await world.client.delete(seen[0])
            await world.client.delete(last)
    assert [key for key in seen if key in kept] == list(kept)
    assert len(seen) == len(set(seen))


@promise("altered-cursor-is-refused")
async def altered_cursor(world: World) -> None:
    await fill(world, ("a", "b", "c"))
    cursor = (await world.client.list(limit=1)).cursor
    assert cursor is not None
    world.driver.calls.clear()
    step = max(1, len(cursor) // 12)
    places = sorted({*range(0, len(cursor), step), len(cursor) - 1})
    altered = [cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :] for at in places]
    for bad in (*altered, cursor[:-1], cursor + "A", cursor + "=", "x", "a" * 9000, "\u00e9", " "):
        with pytest.raises(InvalidCursorError):
            await world.client.list(limit=1, cursor=bad)
    assert "list" not in world.driver.calls


@promise("foreign-cursor-is-refused")
async def foreign_cursor(world: World) -> None:
    await fill(world, ("aa", "ab", "ac", "b"))
    cursor = (await world.client.list("a", limit=1)).cursor
    assert cursor is not None
    with pytest.raises(InvalidCursorError):
        await world.client.list("", limit=1, cursor=cursor)
    with pytest.raises(InvalidCursorError):
        await world.client.list("ab", limit=1, cursor=cursor)
    with pytest.raises(InvalidCursorError):
        await world.client.list("a", limit=1, cursor=cursor, delimiter="/")
    with pytest.raises(InvalidCursorError):
        await (await world.client_over(uid="other-location")).list("a", limit=1, cursor=cursor)
    assert (await world.client.list("a", limit=2, cursor=cursor)).keys == ["ab", "ac"]


@promise("cursor-of-another-container-is-refused")
async def cursor_elsewhere(world: World) -> None:
    other = await world.new_container()
    store = world.make_store(dynamic_allowed=lambda _name, _scope: True)
    await fill(world, ("a", "b"))
    page = await store.list(store.reference(world.container), 1)
    with pytest.raises(InvalidCursorError):
        await store.list(store.reference(other), 1, page.cursor)
    with pytest.raises(InvalidCursorError):
        await world.make_store(cursor_key=b"another key").list(store.reference(world.container), 1, page.cursor)


@promise("list-arguments-are-checked")
async def bad_arguments(world: World) -> None:
    world.driver.calls.clear()
    reference = world.store.reference(world.container)
    for limit in (0, -1, 1001):
        with pytest.raises(InvalidArgumentError):
            await world.store.list(reference, limit)
    for bad in ("", "//", "\n"):
        with pytest.raises(InvalidArgumentError):
            await world.store.list(reference, delimiter=bad)
    with pytest.raises(InvalidReferenceError):
        await world.store.list(DataReference("nope", world.container))
    assert world.driver.calls == []
