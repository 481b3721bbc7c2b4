"""Signed URLs: TempURLs that the real Swift takes, and what they do not bind."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from drivers.swift.setup import Cloud, Counter, put, server_driver, stub_driver
from servers.stub import serve
from servers.swift import SwiftServer, allow_temp_urls
from stow.drivers.swift.config import Anonymous
from stow.drivers.swift.driver import SwiftDriver
from stow.errors import CredentialsMissingError, InvalidArgumentError, UnsupportedError
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.model import ContainerEntry, Listing, Method, Origin, ResponseOverride

KEY = "a//b/../é ?#%2F+~"


def request(container: str, method: Method = Method.GET, *, life_s: float = 60, **changes: Any) -> SignRequest:
    now = utc_now()
    entry = ContainerEntry(container, f"sw://{container}", Origin.BASE, now, "uid")
    return SignRequest(container, KEY, method, now, now + timedelta(seconds=life_s), entry, **changes)


async def use(
    method: str, url: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, URL(url, encoded=True), data=data, headers=headers) as answer,
    ):
        return answer.status, await answer.read()


async def test_what_each_url_serves(swift: SwiftDriver, container: str, swift_server: SwiftServer) -> None:
    """GET and PUT serve HEAD as well: Swift's own rule, which is why HEAD alone can be signed too."""
    await allow_temp_urls(swift_server, "key-of-the-test")
    driver = server_driver(swift_server, temp_url_key="key-of-the-test")
    serves = {
        Method.HEAD: {"HEAD"},
        Method.GET: {"GET", "HEAD"},
        Method.PUT: {"PUT", "HEAD"},
        Method.DELETE: {"DELETE"},
    }
    for method, served in serves.items():
        await put(swift, container, KEY, b"data")
        signed = await driver.sign(request(container, method))
        assert signed.required_headers == {}
        for used in ("HEAD", "GET", "PUT", "POST", "DELETE"):
            status, _ = await use(used, signed.url, b"data" if used == "PUT" else None)
            assert (200 <= status < 300) == (used in served), (method, used, status)
    await driver.aclose()


async def test_a_url_for_writing_reaches_nothing_beside_its_object(
    swift: SwiftDriver, container: str, swift_server: SwiftServer
) -> None:
    """The key is the account's, so what its URLs allow by authorization is the whole account: Swift has to refuse the ways there."""
    await allow_temp_urls(swift_server, "key-of-the-test")
    driver = server_driver(swift_server, temp_url_key="key-of-the-test")
    await put(swift, container, "other", b"not yours")
    puts, deletes = [(await driver.sign(request(container, method))).url for method in (Method.PUT, Method.DELETE)]
    other = f"{container}/other"
    for name in ("X-Copy-From", "X-Object-Manifest", "X-Symlink-Target"):
        assert (await use("PUT", puts, b"", {name: other}))[0] == 400, name
    assert [found.key for found in (await page(swift, container)).objects] == ["other"]
    manifest = json.dumps([{"path": other}]).encode()
    assert (await use("PUT", f"{puts}&multipart-manifest=put", manifest))[0] == 201
    assert (await swift.head(container, KEY)).size_bytes == len(manifest), "plain bytes, no manifest"
    assert (await use("DELETE", f"{deletes}&multipart-manifest=delete"))[0] == 204
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("planted"))
    _, told = await use("PUT", f"{puts}&extract-archive=tar", archive.getvalue())
    assert b"Number Files Created: 0" in told
    assert [found.key for found in (await page(swift, container)).objects] == ["other"]
    await driver.aclose()


async def page(driver: SwiftDriver, container: str) -> Listing:
    return await driver.list(container, prefix="", delimiter=None, limit=10, token=None)


async def test_a_url_has_the_base_that_clients_reach_and_its_signature_last(
    swift_server: SwiftServer, container: str
) -> None:
    driver = server_driver(swift_server, temp_url_key="k", presign_endpoint="https://cdn.example/base/")
    signed = await driver.sign(request(container))
    await driver.aclose()
    path = URL(swift_server.storage_url).raw_path
    assert signed.url.startswith(f"https://cdn.example/base{path}/{container}/{quote(KEY)}?temp_url_expires=")
    assert len(signed.url.rpartition("&temp_url_sig=")[2]) == 64


async def test_the_end_is_a_whole_second_and_not_later_than_asked(container: str, swift_server: SwiftServer) -> None:
    driver = server_driver(swift_server, temp_url_key="k")
    asked = request(container, life_s=90.7)
    signed = await driver.sign(asked)
    assert asked.expires_at - timedelta(seconds=1) < signed.expires_at <= asked.expires_at
    assert f"temp_url_expires={int(signed.expires_at.timestamp())}&" in signed.url
    with pytest.raises(InvalidArgumentError):
        await driver.sign(request(container, life_s=0))
    await driver.aclose()


async def test_signing_asks_for_one_token_at_most(swift_server: SwiftServer, container: str) -> None:
    """For the account's path; afterwards nothing goes out, also when the token has ended."""
    counter = Counter()
    moved = datetime(2030, 1, 1, tzinfo=UTC)
    clock = [utc_now()]
    driver = server_driver(swift_server, counter=counter, clock=lambda: clock[0], temp_url_key="k")
    await driver.sign(request(container))
    clock[0] = moved - timedelta(days=365 * 5)
    for _ in range(3):
        await driver.sign(request(container))
    await driver.aclose()
    assert counter.paths == ["/auth/v1.0"]


async def test_nothing_is_signed_without_a_key() -> None:
    for changes in ({}, {"credentials": Anonymous()}):
        async with serve(Cloud()) as stub:
            driver = stub_driver(f"{stub.endpoint}/v1/AUTH_a/", auth_version="V3", **changes)  # type: ignore[arg-type]  # a table
            assert driver.capabilities.sign_methods == frozenset()
            with pytest.raises(CredentialsMissingError):
                await driver.sign(request("c"))
            await driver.aclose()
        assert stub.requests == []


@pytest.mark.parametrize(
    "binding",
    [
        {"content_md5": bytes(16)},
        {"content_type": "text/csv"},
        {"headers": {"x-a": "b"}},
        {"response_overrides": {ResponseOverride.CONTENT_TYPE: "text/csv"}},
    ],
)
async def test_what_a_url_does_not_bind_is_refused_before_any_io(binding: dict[str, Any]) -> None:
    async with serve(Cloud()) as stub:
        driver = stub_driver(stub.endpoint, temp_url_key="k")
        with pytest.raises(UnsupportedError):
            await driver.sign(request("c", **binding))
        await driver.aclose()
    assert stub.requests == []
