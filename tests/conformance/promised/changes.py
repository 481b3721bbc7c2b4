"""Deletes and copies."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from conformance.clients import read
from conformance.table import promise
from conformance.world import World
from stow.errors import (
    ContainerNotAllowedError,
    ContainerNotFoundError,
    InvalidArgumentError,
    LimitExceededError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from stow.storage.model import CopyOptions, ObjectAttributes, WriteOptions

ATTRIBUTES = ObjectAttributes(content_type="text/csv", cache_control="no-store", metadata={"colour": "grün"})


@promise("delete-removes")
async def delete(world: World) -> None:
    await world.client.write("k", b"x")
    await world.client.write("kk", b"y")
    await world.client.delete("k")
    assert not (await world.client.head("k")).exists
    assert (await world.client.list()).keys == ["kk"]


@promise("delete-is-idempotent")
async def delete_twice(world: World) -> None:
    await world.client.delete("never-there")
    await world.client.write("k", b"x")
    await asyncio.gather(*(world.client.delete("k") for _ in range(4)))
    await world.client.delete("k")
    assert (await world.client.list()).keys == []


@promise("delete-if-match")
async def delete_one_version(world: World) -> None:
    old = await world.client.write("k", b"one")
    new = await world.client.write("k", b"two")
    with pytest.raises(PreconditionFailedError):
        await world.client.delete("k", if_match=old.etag)
    assert (await read(world.client, "k")).data == b"two"
    await world.client.delete("k", if_match=new.etag)
    assert not (await world.client.head("k")).exists
    with pytest.raises(PreconditionFailedError):
        await world.client.delete("k", if_match=new.etag)


@promise("delete-if-match-any")
async def delete_any_version(world: World) -> None:
    with pytest.raises(PreconditionFailedError):
        await world.client.delete("k", if_match="*")
    await world.client.write("k", b"three")
    await world.client.delete("k", if_match="*")
    assert not (await world.client.head("k")).exists


@promise("copy-keeps-bytes-and-attributes")
async def copy(world: World) -> None:
    data = b"data" * 50_000
    await world.client.write("from", data, options=WriteOptions(attributes=ATTRIBUTES))
    written = await world.client.copy("from", "to")
    got = await read(world.client, "to")
    assert hashlib.sha256(got.data).digest() == hashlib.sha256(data).digest()
    assert got.metadata.etag == written.etag
    assert got.metadata.attributes.content_type == "text/csv"
    assert got.metadata.attributes.cache_control == "no-store"
    assert dict(got.metadata.attributes.metadata) == {"colour": "grün"}
    assert (await read(world.client, "from")).data == data


@promise("copy-replaces-attributes")
async def copy_with_attributes(world: World) -> None:
    await world.client.write("from", b"data", options=WriteOptions(attributes=ATTRIBUTES))
    new = CopyOptions(attributes=ObjectAttributes(content_type="text/plain", metadata={"size": "big"}))
    await world.client.copy("from", "to", new)
    found = (await world.client.head("to")).attributes
    assert (found.content_type, found.cache_control, dict(found.metadata)) == ("text/plain", None, {"size": "big"})


@promise("copy-over-an-old-object")
async def copy_over(world: World) -> None:
    await world.client.write("from", b"new")
    await world.client.write("to", b"the old one")
    await world.client.copy("from", "to")
    assert (await read(world.client, "to")).data == b"new"


@promise("copy-onto-itself")
async def copy_onto_itself(world: World) -> None:
    await world.client.write("to", b"new", options=WriteOptions(attributes=ATTRIBUTES))
    new = CopyOptions(attributes=ObjectAttributes(content_type="text/plain"))
    await world.client.copy("to", "to", new)
    got = await read(world.client, "to")
    assert (got.data, got.metadata.attributes.content_type) == (b"new", "text/plain")


@promise("copy-of-a-missing-source")
async def copy_of_nothing(world: World) -> None:
    await world.client.write("to", b"old")
    with pytest.raises(ObjectNotFoundError):
        await world.client.copy("missing", "to")
    assert (await read(world.client, "to")).data == b"old"
    store = world.make_store(dynamic_allowed=lambda _name, _scope: True)
    with pytest.raises(ContainerNotFoundError):
        await store.copy_raw(
            store.reference("not-there-at-all", "k"), store.reference(world.container, "to"), CopyOptions()
        )


@promise("copy-into-a-missing-container")
async def copy_to_nowhere(world: World) -> None:
    await world.client.write("k", b"data")
    here = world.store.reference(world.container, "k")
    for into in (True, False):
        gone = await world.new_container()
        await world.store.load_container(gone, create_if_not_found=False)
        await world.driver.delete_container(gone)
        there = world.store.reference(gone, "k")
        with pytest.raises(ContainerNotFoundError):
            await world.store.copy_raw(*((here, there) if into else (there, here)), CopyOptions())
        assert not await world.driver.container_exists(gone)
    assert (await read(world.client, "k")).data == b"data"


@promise("copy-limit-is-kept")
async def limited_copy(world: World) -> None:
    await world.client.write("big", b"x" * 11)
    await world.client.write("small", b"x" * 10)
    for limits in ({"max_write_bytes": 10}, {"max_read_bytes": 10}):
        client = await world.client_over(**limits)
        with pytest.raises(LimitExceededError):
            await client.copy("big", "to")
        assert not (await world.client.head("to")).exists
        await client.copy("small", "to")
        await world.client.delete("to")


@promise("copy-under-conditions")
async def conditional_copy(world: World) -> None:
    source = await world.client.write("from", b"new")
    with pytest.raises(PreconditionFailedError):
        await world.client.copy("from", "to", CopyOptions(source_if_match="0" * 32))
    assert not (await world.client.head("to")).exists
    await world.client.copy("from", "to", CopyOptions(source_if_match=source.etag))
    if world.capabilities.create_once:
        with pytest.raises(PreconditionFailedError):
            await world.client.copy("from", "to", CopyOptions(if_none_match=True))
        await world.client.copy("from", "once", CopyOptions(if_none_match=True))
    with pytest.raises(InvalidArgumentError):
        await world.store.copy_raw(
            world.store.reference(world.container, "from"),
            world.store.reference(world.container, "to"),
            CopyOptions(if_match="*", if_none_match=True),
        )


@promise("copy-over-one-version")
async def copy_if_match(world: World) -> None:
    source = await world.client.write("from", b"new")
    target = await world.client.write("to", b"other")
    with pytest.raises(PreconditionFailedError):
        await world.client.copy("from", "to", CopyOptions(if_match=source.etag + "x"))
    assert (await read(world.client, "to")).data == b"other"
    await world.client.copy("from", "to", CopyOptions(if_match=target.etag))
    assert (await read(world.client, "to")).data == b"new"


@promise("copy-across-containers")
async def across(world: World) -> None:
    other = await world.new_container()
    await world.client.write("k", b"data", options=WriteOptions(attributes=ATTRIBUTES))
    here, there = world.store.reference(world.container, "k"), world.store.reference(other, "k")
    with pytest.raises(ContainerNotAllowedError):
        await world.store.copy_raw(here, there, CopyOptions())
    with pytest.raises(ContainerNotAllowedError):
        await world.store.copy_raw(there, here, CopyOptions())
    await world.store.load_container(other, create_if_not_found=False)
    await world.store.copy_raw(here, there, CopyOptions())
    async with await world.store.read_raw(there) as stream:
        assert b"".join([c async for c in stream]) == b"data"
        assert stream.metadata.attributes.content_type == "text/csv"
