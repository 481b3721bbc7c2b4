"""Signed URLs: one permission on one key for a time, used by a plain client against Azurite."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from drivers.azure.setup import body, driver_of, stub_driver, to_sign, use
from servers.azurite import AzuriteServer
from stow.drivers.azure.driver import AzureDriver
from stow.errors import InvalidArgumentError, InvalidContainerNameError
from stow.storage.clock import utc_now
from stow.storage.model import Method, ObjectAttributes, ResponseOverride, SignBinding, WriteOptions

KEY = "a folder/ü+%2e b?c"


@pytest.fixture
async def stored(azure: AzureDriver, container: str) -> str:
    """The container, with one object in it."""
    options = WriteOptions(attributes=ObjectAttributes(content_type="text/plain"))
    await azure.write(container, KEY, body(b"data"), size_bytes=4, options=options)
    return container


async def test_a_signature_is_for_one_permission(azure: AzureDriver, stored: str) -> None:
    urls = {method: (await azure.sign(to_sign(stored, KEY, method))).url for method in azure.capabilities.sign_methods}
    block_blob = {"x-ms-blob-type": "BlockBlob"}
    assert (await use("GET", urls[Method.GET]))[:2] == (200, b"data")
    assert (await use("HEAD", urls[Method.GET]))[0] == 200
    for method, url in urls.items():
        for other in {Method.GET, Method.PUT, Method.DELETE} - {method}:
            data = b"x" if other is Method.PUT else None
            assert (await use(other, url, headers=block_blob if data else None, data=data))[0] == 403, (method, other)
    assert (await use("PUT", urls[Method.PUT], headers=block_blob, data=b"new"))[0] == 201
    assert (await use("GET", urls[Method.GET]))[1] == b"new"
    assert (await use("DELETE", urls[Method.DELETE]))[0] == 202


async def test_a_put_needs_the_header_that_is_named(azure: AzureDriver, stored: str) -> None:
    signed = await azure.sign(to_sign(stored, "new", Method.PUT))
    assert dict(signed.required_headers) == {"x-ms-blob-type": "BlockBlob"}
    assert (await use("PUT", signed.url, data=b"x"))[0] == 400
    assert (await use("PUT", signed.url, headers=dict(signed.required_headers), data=b"x"))[0] == 201
    assert (await azure.head(stored, "new")).size_bytes == 1


async def test_nothing_of_a_signature_can_be_altered(azure: AzureDriver, stored: str) -> None:
    url = (await azure.sign(to_sign(stored, KEY))).url
    parts = urlsplit(url)
    fields = parse_qs(parts.query)
    later = fields["se"][0].replace("20", "21", 1).replace(":", "%3A")
    end = fields["se"][0].replace(":", "%3A")
    for altered in (
        url.replace("sp=r", "sp=rw"),
        url.replace(f"se={end}", f"se={later}"),
        url.replace("a%20folder", "another"),
        url[:-4] + ("A" if url[-4] != "A" else "B") + url[-3:],
        f"{url}&rsct=text%2Fhtml",
    ):
        assert altered != url
        assert (await use("GET", altered))[0] == 403, altered.replace(fields["sig"][0], "")


async def test_it_ends_to_the_second(azure: AzureDriver, stored: str) -> None:
    signed = await azure.sign(to_sign(stored, KEY, lives_s=2.7))
    assert signed.expires_at.microsecond == 0
    assert (await use("GET", signed.url))[0] == 200
    async with asyncio.timeout(10):
        while (await use("GET", signed.url))[0] == 200:
            assert utc_now() < signed.expires_at + timedelta(seconds=1)
            await asyncio.sleep(0.05)
    assert utc_now() >= signed.expires_at


async def test_it_has_no_start_so_that_clocks_may_differ(azure: AzureDriver, stored: str) -> None:
    assert "st" not in parse_qs(urlsplit((await azure.sign(to_sign(stored, KEY))).url).query)


async def test_a_url_that_lives_no_second_is_refused(azure: AzureDriver, stored: str) -> None:
    with pytest.raises(InvalidArgumentError):
        await azure.sign(to_sign(stored, KEY, lives_s=0))


async def test_the_answer_says_what_was_signed(azure: AzureDriver, stored: str) -> None:
    overrides = {
        ResponseOverride.CACHE_CONTROL: "no-store, max-age=0",
        ResponseOverride.CONTENT_DISPOSITION: 'attachment; filename="a b&c.csv"',
        ResponseOverride.CONTENT_ENCODING: "x-own",
        ResponseOverride.CONTENT_LANGUAGE: "de, en",
        ResponseOverride.CONTENT_TYPE: "text/csv; charset=utf-8",
    }
    signed = await azure.sign(to_sign(stored, KEY, response_overrides=overrides))
    status, data, headers = await use("GET", signed.url)
    assert (status, data) == (200, b"data")
    assert {name: headers[name] for name in overrides} == {str(name): value for name, value in overrides.items()}
    assert azure.capabilities.sign_binds == {SignBinding.RESPONSE_OVERRIDES}


async def test_it_names_the_base_that_was_configured(azurite: AzuriteServer, stored: str) -> None:
    """And binds TLS where that base has it."""
    driver = driver_of(azurite, presign_endpoint="https://public.example/base")
    signed = await driver.sign(to_sign(stored, KEY))
    await driver.aclose()
    assert signed.url.startswith(f"https://public.example/base/{stored}/a%20folder/%C3%BC%2B%252e%20b%3Fc?")
    query = urlsplit(signed.url).query
    assert parse_qs(query)["spr"] == ["https"]
    path = f"/{stored}/a%20folder/%C3%BC%2B%252e%20b%3Fc"
    assert (await use("GET", f"{azurite.endpoint}{path}?{query}"))[0] == 403  # Azurite speaks HTTP here


async def test_a_url_is_a_secret_and_a_foreign_name_gets_none() -> None:
    driver = stub_driver("http://127.0.0.1:1/acct")
    signed = await driver.sign(to_sign("box", "k"))
    assert signed.url not in repr(signed)
    assert Method.HEAD not in driver.capabilities.sign_methods
    with pytest.raises(InvalidContainerNameError):
        await driver.sign(to_sign("b.ox", "k"))
    await driver.aclose()
