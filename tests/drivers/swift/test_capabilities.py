"""What a Swift tells about itself narrows what is promised, and never widens it beyond what was seen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drivers.swift.setup import Cloud, server_driver, stub_driver
from servers.stub import http, serve
from servers.swift import SwiftServer
from stow.drivers.swift.capabilities import MAX_FILE_BYTES, default_traits, told
from stow.storage.model import Method

DEFAULTS = default_traits(signs=True)
TEMP_URL = {"methods": ["GET", "HEAD", "PUT", "POST", "DELETE"], "allowed_digests": ["sha256", "sha512"]}


def test_conditional_writes_are_promised_by_none() -> None:
    found = DEFAULTS.capabilities
    promised = ("create_once", "write_if_match", "delete_if_match", "marker_with_create", "versioning", "expiry_rules")
    assert [name for name in promised if getattr(found, name)] == []
    assert found.sign_binds == frozenset()


def test_nothing_is_signed_without_a_key() -> None:
    assert default_traits(signs=False).capabilities.sign_methods == frozenset()
    assert told(default_traits(signs=False), {"tempurl": TEMP_URL}).capabilities.sign_methods == frozenset()


@pytest.mark.parametrize(
    ("temp_url", "methods"),
    [
        (TEMP_URL, set(Method)),
        ({**TEMP_URL, "methods": ["GET"]}, {Method.GET}),
        ({**TEMP_URL, "allowed_digests": ["sha1"]}, set()),
        ({"methods": ["GET", "PUT"]}, {Method.GET, Method.PUT}),  # before digests were told there was no SHA-512
        ({}, set()),
        ("nonsense", set()),
        ({"methods": 7}, set()),
        ({"methods": ["GET"], "allowed_digests": 7}, set()),
        (None, set()),
    ],
)
def test_methods_that_can_be_signed(temp_url: Any, methods: set[Method]) -> None:
    info = {} if temp_url is None else {"tempurl": temp_url}
    assert told(DEFAULTS, info).capabilities.sign_methods == methods


def test_limits_are_the_ones_that_are_told() -> None:
    info = {
        "swift": {"max_file_size": 1000, "max_object_name_length": 100, "container_listing_limit": 5},
        "object_versioning": {},
    }
    found = told(DEFAULTS, info)
    assert found.capabilities.max_object_bytes == found.capabilities.max_single_write_bytes == 1000
    assert found.capabilities.keys.max_bytes == 100
    assert found.listing_limit == 5
    assert found.capabilities.versioning


@pytest.mark.parametrize("swift", [{}, {"max_file_size": "big", "max_object_name_length": -1}, [], None, 7])
def test_limits_that_make_no_sense_are_the_documented_ones(swift: Any) -> None:
    found = told(DEFAULTS, {"swift": swift})
    assert found.capabilities.max_object_bytes == MAX_FILE_BYTES
    assert found.capabilities.keys == DEFAULTS.capabilities.keys
    assert found.listing_limit == DEFAULTS.listing_limit


def test_longer_keys_than_everywhere_are_not_promised() -> None:
    assert told(DEFAULTS, {"swift": {"max_object_name_length": 4096}}).capabilities.keys.max_bytes == 1024


async def test_the_probe_reads_what_the_real_swift_tells(swift_server: SwiftServer) -> None:
    driver = server_driver(swift_server, temp_url_key="k")
    before = driver.capabilities
    await driver.probe(None)
    after = driver.capabilities
    await driver.aclose()
    assert (before.versioning, after.versioning) == (False, True)
    assert after.sign_methods == set(Method)
    assert after.max_object_bytes >= MAX_FILE_BYTES


@pytest.mark.parametrize(
    "answer", [http(404), http(403), http(500), http(200, b"<html>"), http(200, b"[]"), http(200, b"[" * 200_000)]
)
async def test_a_swift_that_hides_its_limits_has_the_documented_ones(answer: bytes) -> None:
    async with serve(Cloud(swift=lambda seen: answer if seen.target == "/info" else http(204))) as stub:
        driver = stub_driver(stub.endpoint, temp_url_key="k")
        await driver.probe("c")
        assert driver.capabilities == DEFAULTS.capabilities
        await driver.aclose()


async def test_limits_that_were_told_once_stay_while_they_are_hidden() -> None:
    info = json.dumps({"swift": {"max_file_size": 7}}).encode()
    answers = [http(200, info), http(404), http(200, b"{}")]
    async with serve(Cloud(swift=lambda seen: answers.pop(0) if seen.target == "/info" else http(204))) as stub:
        driver = stub_driver(stub.endpoint)
        for expected in (7, 7, MAX_FILE_BYTES):
            await driver.probe("c")
            assert driver.capabilities.max_object_bytes == expected
        await driver.aclose()
