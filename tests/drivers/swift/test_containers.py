"""Containers on a real Swift: whose they are, what is set on them, and what stays as others set it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from drivers.swift.setup import Cloud, Counter, Unique, put, server_driver, stub_driver
from servers.stub import Seen, http, serve
from servers.swift import SwiftServer
from stow.drivers.swift.config import Anonymous, V1User
from stow.drivers.swift.configuring import encoded_name
from stow.drivers.swift.driver import SwiftDriver
from stow.errors import (
    AccessDeniedError,
    BackendUnreachableError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ContainerTakenError,
    CredentialsError,
    CredentialsInvalidError,
    LimitExceededError,
)
from stow.storage.model import ContainerSettings, Marker

MARKER = Marker("installation", "team", "location/" + "n" * 253, "uid-1", "nonce")


@pytest.fixture
async def owner(swift: SwiftDriver, swift_server: SwiftServer) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody else with the account's rights."""
    access = await swift._tokens.access()
    async with aiohttp.ClientSession(headers={"X-Auth-Token": access.token or ""}) as http_session:
        yield http_session


async def test_a_second_create_changes_nothing(
    swift: SwiftDriver, container: str, counter: Counter, owner: aiohttp.ClientSession, swift_server: SwiftServer
) -> None:
    await swift.write_marker(container, MARKER)
    async with owner.post(f"{swift_server.storage_url}/{container}", headers={"X-Container-Meta-Colour": "b"}):
        pass
    counter.methods.clear()
    with pytest.raises(ContainerTakenError):
        await swift.create_container(container, None)
    assert counter.methods == ["PUT"]
    assert await swift.read_marker(container) == MARKER
    async with owner.head(f"{swift_server.storage_url}/{container}") as answer:
        assert answer.headers["X-Container-Meta-Colour"] == "b"


async def test_of_many_creates_one_wins(swift: SwiftDriver, unique_name: Unique) -> None:
    name = unique_name("sw")
    answers = await asyncio.gather(*(swift.create_container(name, None) for _ in range(12)), return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [ContainerTakenError] * 11
    await swift.delete_container(name)


async def test_a_new_container_is_private(
    swift: SwiftDriver, container: str, swift_server: SwiftServer, owner: aiohttp.ClientSession
) -> None:
    await put(swift, container, "k", b"secret")
    async with owner.head(f"{swift_server.storage_url}/{container}") as answer:
        assert not {"X-Container-Read", "X-Container-Write"} & set(answer.headers)
    async with aiohttp.ClientSession() as nobody, nobody.get(f"{swift_server.storage_url}/{container}/k") as answer:
        assert answer.status == 401


async def test_marker_and_tags_leave_what_others_set(
    swift: SwiftDriver, container: str, swift_server: SwiftServer, owner: aiohttp.ClientSession
) -> None:
    url = f"{swift_server.storage_url}/{container}"
    theirs = {"X-Container-Meta-Temp-URL-Key": "key-canary", "X-Container-Meta-Quota-Bytes": "1000"}
    async with owner.post(url, headers={**theirs, "X-Container-Read": ".r:*"}):
        pass
    await swift.write_marker(container, MARKER)
    await swift.configure_container(container, ContainerSettings(tags={"team": "a"}))
    assert (await swift.container_settings(container)).tags == {"team": "a"}
    await swift.write_marker(container, None)
    await swift.configure_container(container, ContainerSettings(tags={}))
    async with owner.head(url) as answer:
        found = answer.headers
    assert {name: found[name] for name in theirs} == theirs
    assert found["X-Container-Read"] == ".r:*"
    assert not [name for name in found if "stow" in name.lower()]


async def test_a_shorter_marker_leaves_nothing_of_a_longer_one(swift: SwiftDriver, container: str) -> None:
    await swift.write_marker(container, MARKER)
    short = Marker("i", "t", "é %2F", "u")
    await swift.write_marker(container, short)
    assert await swift.read_marker(container) == short


@pytest.mark.parametrize(
    "tags",
    [
        {"Team": "A", "team": "b", "TEAM_X": "c"},
        {"a b": " ", "é/ü:": "ß%25"},
        {"empty": "", "percent": "%"},
        {f"tag-{n}": str(n) for n in range(50)},
    ],
)
async def test_names_of_tags_come_back_as_they_were(swift: SwiftDriver, container: str, tags: dict[str, str]) -> None:
    await swift.configure_container(container, ContainerSettings(tags=tags))
    assert (await swift.container_settings(container)).tags == tags


@pytest.mark.parametrize(
    "tags",
    [
        {"n" * 129: "v"},
        {"N" * 43: "v"},
        {"n": "v" * 257},
        {"n": "é" * 43 * 3},
        {f"t{n}": "" for n in range(80)},
        {f"t{n:02}": "v" * 250 for n in range(40)},
    ],
)
async def test_tags_beyond_the_limits_are_refused_before_they_are_sent(
    swift: SwiftDriver, container: str, counter: Counter, tags: dict[str, str]
) -> None:
    with pytest.raises(LimitExceededError):
        await swift.configure_container(container, ContainerSettings(tags=tags))
    assert "POST" not in counter.methods


async def test_tags_up_to_the_limit_fit_beside_the_longest_marker(swift: SwiftDriver, container: str) -> None:
    marker = Marker("i" * 36, "n" * 63, "o" * 253, "u" * 36, "x" * 32)
    tags = {f"{n:02}": "v" * (256 - len("stow-tag-00")) for n in range(12)}  # 3,072 bytes
    await swift.configure_container(container, ContainerSettings(tags=tags))
    await swift.write_marker(container, marker)
    assert (await swift.container_settings(container)).tags == tags
    assert await swift.read_marker(container) == marker
    with pytest.raises(LimitExceededError, match="together"):
        await swift.configure_container(container, ContainerSettings(tags={**tags, "12": ""}))


def test_names_of_tags_survive_the_folding_of_case() -> None:
    name = "Team_Ä-x.1"
    assert encoded_name(name) == "%54eam%5f%c3%84-x%2e1"
    assert encoded_name(name).title().lower() == encoded_name(name)


async def test_a_container_with_old_versions_alone_is_not_empty(swift: SwiftDriver, container: str) -> None:
    await swift.probe(None)
    assert swift.capabilities.versioning
    await swift.configure_container(container, ContainerSettings(versioning=True))
    await put(swift, container, "k", b"1")
    await put(swift, container, "k", b"2")
    await swift.delete(container, "k", if_match=None)
    await swift.configure_container(container, ContainerSettings(versioning=False))
    contents = await swift.container_contents(container)
    assert (contents.objects, contents.versions, contents.empty) == (0, 3, False)
    with pytest.raises(ContainerNotEmptyError):
        await swift.delete_container(container)
    await remove_versions(swift, container)
    assert (await swift.container_contents(container)).empty


async def remove_versions(swift: SwiftDriver, container: str) -> None:
    access = await swift._tokens.access()
    root = f"{access.storage.origin}{access.storage.path}/{container}"
    async with aiohttp.ClientSession(headers={"X-Auth-Token": access.token or ""}) as session:
        async with session.get(f"{root}?format=json&versions=true") as answer:
            found: list[dict[str, Any]] = await answer.json()
        for each in found:
            async with session.delete(f"{root}/{each['name']}?version-id={each['version_id']}") as answer:
                assert answer.status == 204


async def test_requests_that_decide_about_ownership_ask_all_copies() -> None:
    def answer(seen: Seen) -> bytes:
        return http(200, b"[]") if seen.method == "GET" else http(204)

    async with serve(Cloud(swift=answer)) as stub:
        driver = stub_driver(stub.endpoint)
        await driver.container_exists("c")
        await driver.read_marker("c")
        await driver.container_contents("c")
        await driver.aclose()
    assert [seen.headers.get("x-newest") for seen in stub.requests if seen.method != "POST"] == ["true"] * 3


async def test_what_is_missing_is_told_and_nothing_is_made(swift: SwiftDriver, unique_name: Unique) -> None:
    missing = unique_name("sw")
    for call in (
        swift.read_marker(missing),
        swift.write_marker(missing, MARKER),
        swift.container_contents(missing),
        swift.container_settings(missing),
        swift.configure_container(missing, ContainerSettings(tags={})),
        swift.configure_container(missing, ContainerSettings(versioning=True)),
        swift.sweep(missing),
        put(swift, missing, "k", b"x"),
        put(swift, missing, "k", b"x" * 100_000),
    ):
        with pytest.raises(ContainerNotFoundError):
            await call
    assert not await swift.container_exists(missing)


async def test_the_probe_needs_no_rights_but_known_credentials(
    swift_server: SwiftServer, swift: SwiftDriver, container: str, unique_name: Unique
) -> None:
    await swift.probe(None)
    await swift.probe(container)
    await swift.probe(unique_name("absent"))
    denied = server_driver(swift_server, credentials=V1User(swift_server.denied_user, swift_server.denied_key))
    await denied.probe(None)
    with pytest.raises(AccessDeniedError):
        await denied.probe(container)
    await denied.aclose()
    wrong = server_driver(swift_server, credentials=V1User(swift_server.user, "wrong-key"))
    with pytest.raises(CredentialsInvalidError):
        await wrong.probe(None)
    await wrong.aclose()
    nowhere = server_driver(swift_server, auth_url="http://127.0.0.1:1/auth/v1.0")
    with pytest.raises(BackendUnreachableError):
        await nowhere.probe(None)
    await nowhere.aclose()


async def test_nobody_reads_what_is_public_and_nothing_else(
    swift: SwiftDriver,
    container: str,
    swift_server: SwiftServer,
    owner: aiohttp.ClientSession,
) -> None:
    """Anonymous credentials: the auth URL is the storage URL."""
    await put(swift, container, "k", b"data")
    nobody = server_driver(swift_server, credentials=Anonymous(), auth_url=swift_server.storage_url)
    await nobody.probe(None)
    with pytest.raises(CredentialsError):
        await nobody.head(container, "k")
    async with owner.post(f"{swift_server.storage_url}/{container}", headers={"X-Container-Read": ".r:*,.rlistings"}):
        pass
    assert (await nobody.head(container, "k")).size_bytes == 4
    with pytest.raises(CredentialsError):
        await put(nobody, container, "k", b"other")
    await nobody.aclose()
