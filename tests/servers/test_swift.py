"""OpenStack Swift as the tests start it."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from servers.swift import SwiftServer, require_user_attributes, start_swift
from stow.dev.failures import DevError
from stow.dev.processes import ProcessGroup
from stow.dev.runfolder import RunFolder


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ProcessGroup]:
    with RunFolder(parent=tmp_path) as run, ProcessGroup(run) as group:
        yield group


async def log_in(
    http: aiohttp.ClientSession, server: SwiftServer, *, user: str | None = None, key: str | None = None
) -> aiohttp.ClientResponse:
    headers = {"X-Auth-User": user or server.user, "X-Auth-Key": key or server.key}
    async with http.get(server.auth_url, headers=headers) as answer:
        return answer


async def token(http: aiohttp.ClientSession, server: SwiftServer) -> dict[str, str]:
    answer = await log_in(http, server)
    return {"X-Auth-Token": answer.headers["X-Auth-Token"]}


async def test_swift_keeps_and_lists_objects(
    http: aiohttp.ClientSession, swift_server: SwiftServer, unique_name: Callable[[str], str]
) -> None:
    headers = await token(http, swift_server)
    container = f"{swift_server.storage_url}/{unique_name('c')}"
    keys = ["a", "a//b", "../up", "%2F", "\u00e9 ?#"]
    async with http.put(container, headers=headers) as answer:
        assert answer.status == 201
    for key in keys:
        url = URL(f"{container}/{quote(key)}", encoded=True)
        async with http.put(url, headers=headers, data=key.encode()) as answer:
            assert answer.status == 201
    async with http.get(f"{container}?format=json", headers=headers) as answer:
        listed = [entry["name"] for entry in await answer.json()]

    assert listed == sorted(keys, key=str.encode)


async def test_swift_refuses_wrong_keys_unknown_tokens_and_users_without_rights(
    http: aiohttp.ClientSession, swift_server: SwiftServer
) -> None:
    assert (await log_in(http, swift_server, key="wrong")).status == 401
    denied = await log_in(http, swift_server, user=swift_server.denied_user, key=swift_server.denied_key)
    assert denied.status == 200
    for given, status in ((denied.headers["X-Auth-Token"], 403), ("AUTH_tk0", 401)):
        async with http.get(swift_server.storage_url, headers={"X-Auth-Token": given}) as answer:
            assert answer.status == status


async def test_the_address_that_swift_names_is_its_own(http: aiohttp.ClientSession, swift_server: SwiftServer) -> None:
    assert (await log_in(http, swift_server)).headers["X-Storage-Url"] == swift_server.storage_url
    assert URL(swift_server.endpoint).host == "127.0.0.1"
    assert swift_server.key not in repr(swift_server)


async def test_swift_verifies_temporary_urls(
    http: aiohttp.ClientSession, swift_server: SwiftServer, unique_name: Callable[[str], str]
) -> None:
    headers = await token(http, swift_server)
    container = f"{swift_server.storage_url}/{unique_name('c')}"
    async with http.put(container, headers={**headers, "X-Container-Meta-Temp-URL-Key": "k"}) as answer:
        assert answer.status == 201
    async with http.put(f"{container}/a", headers=headers, data=b"content") as answer:
        assert answer.status == 201
    path = URL(f"{container}/a").path

    async def get(expires: int, key: str) -> int:
        signed = hmac.new(key.encode(), f"GET\n{expires}\n{path}".encode(), hashlib.sha256).hexdigest()
        async with http.get(f"{container}/a?temp_url_sig={signed}&temp_url_expires={expires}") as answer:
            return answer.status

    now = int(time.time())
    assert await get(now + 60, "k") == 200
    assert await get(now + 60, "other") == 401
    assert await get(now - 1, "k") == 401


async def test_a_write_that_did_not_fit_does_not_end_the_service(
    http: aiohttp.ClientSession, swift_server: SwiftServer, unique_name: Callable[[str], str]
) -> None:
    """A proxy that has one node of each kind must not avoid it after an error."""
    headers = await token(http, swift_server)
    container = f"{swift_server.storage_url}/{unique_name('c')}"
    async with http.put(container, headers=headers) as answer:
        assert answer.status == 201
    metadata = {f"X-Object-Meta-{n}": "v" * 250 for n in range(16)}

    async with http.put(f"{container}/a", headers={**headers, **metadata}, data=b"1") as answer:
        assert answer.status in (201, 503)  # by the file system
    async with http.put(f"{container}/a", headers=headers, data=b"2") as answer:
        assert answer.status == 201


async def test_limits_and_token_life_can_be_chosen(
    http: aiohttp.ClientSession, find_program: Callable[[str], Path], group: ProcessGroup
) -> None:
    server = start_swift(group, find_program("swift"), token_life_s=17, constraints={"max_file_size": 3})

    answer = await log_in(http, server)
    headers = {"X-Auth-Token": answer.headers["X-Auth-Token"]}
    async with http.put(f"{server.storage_url}/c", headers=headers) as created:
        assert created.status == 201
    for body, status in ((b"123", 201), (b"1234", 413)):
        async with http.put(f"{server.storage_url}/c/a", headers=headers, data=body) as written:
            assert written.status == status
    assert 15 <= int(answer.headers["X-Auth-Token-Expires"]) <= 17


def test_two_swifts_of_one_run_are_apart_and_end_with_their_group(
    find_program: Callable[[str], Path], tmp_path: Path
) -> None:
    with RunFolder(parent=tmp_path) as run, ProcessGroup(run) as group:
        first, second = (start_swift(group, find_program("swift"), name=name) for name in ("swift-a", "swift-b"))
        assert first.endpoint != second.endpoint
        assert first.key != second.key
        pids = [first.process.pid, second.process.pid]

    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_file_system_without_user_attributes_is_named(tmp_path: Path) -> None:
    require_user_attributes(tmp_path)
    with pytest.raises(DevError, match=r"/proc is on a file system without user extended attributes.*set TMPDIR"):
        require_user_attributes(Path("/proc"))
