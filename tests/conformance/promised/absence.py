"""Absence: an object, a container, a denial and an outage are four different things, in every verb."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from conformance.clients import ObjectClient, read
from conformance.table import promise
from conformance.world import World, name
from stow.errors import (
    BackendUnreachableError,
    ContainerNotFoundError,
    CredentialsError,
    NotFoundError,
    ObjectNotFoundError,
    StowError,
)
from stow.storage.model import CopyOptions

Verb = Callable[[ObjectClient], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "head": lambda client: client.head("k"),
    "read": lambda client: read(client, "k"),
    "list": lambda client: client.list(),
    "write": lambda client: client.write("k", b"data"),
    "delete": lambda client: client.delete("k"),
    "copy": lambda client: client.copy("k", "l", CopyOptions()),
}


async def outcome(verb: Verb, client: ObjectClient) -> StowError | None:
    try:
        await verb(client)
    except StowError as error:
        return error
    return None


@promise("object-absent")
async def absent_object(world: World) -> None:
    found = await world.client.head("missing")
    assert not found.exists
    with pytest.raises(ObjectNotFoundError):
        await read(world.client, "missing")
    with pytest.raises(ObjectNotFoundError):
        await world.client.copy("missing", "l")
    assert (await world.client.list()).keys == []


@promise("container-absent")
async def absent_container(world: World) -> None:
    await world.driver.delete_container(world.container)
    for verb_name, verb in VERBS.items():
        error = await outcome(verb, world.client)
        assert isinstance(error, ContainerNotFoundError), f"{verb_name}: {error!r}"


@promise("denied-is-not-absent")
async def denied(world: World) -> None:
    await world.client.write("k", b"data")
    client = await world.client_over(world.kind.denied())
    for verb_name, verb in VERBS.items():
        error = await outcome(verb, client)
        assert isinstance(error, CredentialsError), f"{verb_name}: {error!r}"
        assert not isinstance(error, NotFoundError)
    assert (await read(world.client, "k")).data == b"data"


@promise("unreachable-is-not-absent")
async def unreachable(world: World) -> None:
    await world.client.write("k", b"data")
    client = await world.client_over(world.kind.unreachable())
    for verb_name, verb in VERBS.items():
        error = await outcome(verb, client)
        assert isinstance(error, BackendUnreachableError), f"{verb_name}: {error!r}"
        assert error.retryable
    assert (await read(world.client, "k")).data == b"data"


@promise("denied-container-is-not-absent")
async def denied_container(world: World) -> None:
    for driver, expected in (
        (world.kind.denied(), CredentialsError),
        (world.kind.unreachable(), BackendUnreachableError),
    ):
        store = world.make_store(driver, dynamic_allowed=lambda _name, _scope: True)
        for call in (
            lambda s=store: s.load_container(name(), create_if_not_found=False),
            lambda s=store: s.load_container(name(), create_if_not_found=True),
            lambda s=store: s.get_container(name()),
            lambda s=store: s.container_state(name()),
            lambda s=store: s.create_container(name()),
            lambda s=store: s.delete_container(world.container),
            lambda s=store: s.container_contents(world.container),
            lambda s=store: s.probe(),
        ):
            with pytest.raises(expected):
                await call()
