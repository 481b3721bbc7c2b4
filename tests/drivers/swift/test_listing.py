"""Pages of listings: what they hold, where they end, and the version that they name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drivers.swift.setup import Cloud, Counter, put, stub_driver
from servers.stub import http, serve
from stow.drivers.swift.driver import SwiftDriver
from stow.drivers.swift.objects import page
from stow.errors import BackendFailedError
from stow.storage.model import CopyOptions

MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def entry(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "bytes": 1, "hash": MD5, "last_modified": "2026-11-23T06:08:50.123450", **changes}


def answered(*entries: dict[str, Any]) -> bytes:
    return json.dumps(entries).encode()


def test_the_next_whole_second_is_what_last_modified_says() -> None:
    found = page(answered(entry("a"), entry("b", last_modified="2026-11-23T06:08:51.000000")), limit=5, asked=6)
    assert [each.etag for each in found.objects] == [f"{MD5}-6b03d873"] * 2
    assert found.objects[0].last_modified == found.objects[1].last_modified
    assert found.token is None


def test_a_large_object_is_named_by_its_own_etag() -> None:
    found = page(answered(entry("a", slo_etag='"abc"')), limit=5, asked=6)
    assert found.objects[0].etag.startswith("abc-")


@pytest.mark.parametrize(
    ("names", "limit", "asked", "keys", "token"),
    [
        ("abc", 3, 4, "abc", None),
        ("abcd", 3, 4, "abc", "c"),
        ("abc", 3, 3, "abc", "c"),  # the server's own limit: perhaps nothing follows
        ("ab", 3, 2, "ab", "b"),
        ("", 3, 4, "", None),
    ],
)
def test_a_page_ends_where_nothing_follows(names: str, limit: int, asked: int, keys: str, token: str | None) -> None:
    found = page(answered(*map(entry, names)), limit=limit, asked=asked)
    assert [each.key for each in found.objects] == list(keys)
    assert found.token == token


def test_a_common_prefix_may_be_the_last_of_a_page() -> None:
    found = page(answered(entry("a"), {"subdir": "b/"}, entry("c")), limit=2, asked=3)
    assert ([each.key for each in found.objects], found.prefixes, found.token) == (["a"], ("b/",), "b/")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}x",
        b'{"a": 1}',
        b"7",
        b"[7]",
        b'[{"name": "a"}]',
        b'[{"name": 7, "bytes": 1, "hash": "x", "last_modified": "2026-11-23T06:08:50"}]',
        answered(entry("a", last_modified="yesterday")),
        answered(entry("a", bytes="many")),
        answered(entry("a", bytes=-1)),
        answered(entry("a", bytes=float("inf"))),
        answered(entry("a", last_modified="9999-12-31T23:59:59.500000")),
        b"[" * 200_000,
        b'[{"subdir": "\\ud800"}]',
    ],
)
def test_a_listing_that_makes_no_sense_is_a_failure(body: bytes) -> None:
    with pytest.raises(BackendFailedError):
        page(body, limit=10, asked=11)


async def test_a_server_with_small_pages_is_not_asked_for_bigger_ones() -> None:
    """Swift refuses a limit above its own."""
    info = {"swift": {"container_listing_limit": 2}}
    answers = {"/info": json.dumps(info).encode(), "/v1/AUTH_p/c": answered(entry("a"), entry("b"))}
    async with serve(Cloud(swift=lambda seen: http(200, answers.get(seen.target.partition("?")[0], b"")))) as stub:
        driver = stub_driver(stub.endpoint)
        await driver.probe("c")
        found = await driver.list("c", prefix="", delimiter=None, limit=1000, token=None)
        await driver.aclose()
    assert "limit=2&" in stub.requests[-1].target
    assert found.token == "b"


async def test_a_page_is_one_request_and_names_the_version_that_head_names(
    swift: SwiftDriver, container: str, counter: Counter
) -> None:
    written = await put(swift, container, "a", b"1")
    await put(swift, container, "b/c", b"2")
    copied = await swift.copy((container, "a"), (container, "d"), CopyOptions())
    counter.methods.clear()
    found = await swift.list(container, prefix="", delimiter="/", limit=3, token=None)
    assert counter.methods == ["GET"]
    assert [each.etag for each in found.objects] == [written.etag, copied.etag]
    assert found.prefixes == ("b/",)
    assert found.token is None
    for each in found.objects:
        assert (await swift.head(container, each.key)).etag == each.etag
