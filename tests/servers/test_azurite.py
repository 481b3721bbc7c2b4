"""Azurite as the tests start it. The signatures are made here, from Microsoft's description of Shared Key and SAS."""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest

from servers.azurite import AzuriteServer, start_azurite
from stow.dev.processes import ProcessGroup
from stow.dev.runfolder import RunFolder

VERSION = "2025-01-05"
SIGNED = ("Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date")
SIGNED += ("If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range")


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ProcessGroup]:
    with RunFolder(parent=tmp_path) as run, ProcessGroup(run) as group:
        yield group


def sign(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()


def shared_key(
    server: AzuriteServer, method: str, url: str, *, key: str | None = None, **headers: str
) -> dict[str, str]:
    """https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key"""
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": now, "x-ms-version": VERSION, **headers}
    parts = urlsplit(url)
    lines = [method, *(headers.get(name, "") for name in SIGNED)]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-")]
    resource = f"/{server.account}{parts.path}"
    lines += [resource, *(f"{name}:{value}" for name, value in sorted(parse_qsl(parts.query)))]
    return {**headers, "Authorization": f"SharedKey {server.account}:{sign(key or server.key, chr(10).join(lines))}"}


async def put_blob(http: aiohttp.ClientSession, server: AzuriteServer, container: str, *names: str) -> None:
    url = f"{server.endpoint}/{container}"
    async with http.put(
        f"{url}?restype=container", headers=shared_key(server, "PUT", f"{url}?restype=container")
    ) as made:
        assert made.status == 201
    for name in names:
        given = {"x-ms-blob-type": "BlockBlob", "Content-Length": "7", "Content-Type": "text/plain"}
        headers = shared_key(server, "PUT", f"{url}/{name}", **given)
        async with http.put(f"{url}/{name}", headers=headers, data=b"content") as put:
            assert put.status == 201


async def test_azurite_keeps_and_lists_blobs(
    http: aiohttp.ClientSession, azurite: AzuriteServer, unique_name: Callable[[str], str]
) -> None:
    container = unique_name("c")
    await put_blob(http, azurite, container, "b", "a")
    url = f"{azurite.endpoint}/{container}"

    async with http.get(f"{url}/a", headers=shared_key(azurite, "GET", f"{url}/a")) as answer:
        assert await answer.read() == b"content"
    query = "?restype=container&comp=list"
    async with http.get(url + query, headers=shared_key(azurite, "GET", url + query)) as answer:
        listing = await answer.text()
    assert listing.index("<Name>a</Name>") < listing.index("<Name>b</Name>")


async def test_azurite_refuses_another_key_and_strangers(http: aiohttp.ClientSession, azurite: AzuriteServer) -> None:
    url = f"{azurite.endpoint}?comp=list"
    other = base64.b64encode(b"x" * 64).decode()
    for headers in (shared_key(azurite, "GET", url, key=other), {}):
        async with http.get(url, headers=headers) as answer:
            assert answer.status == 403
    async with http.get(url, headers=shared_key(azurite, "GET", url)) as answer:
        assert answer.status == 200


def service_sas(server: AzuriteServer, container: str, blob: str, *, expires: datetime) -> str:
    """https://learn.microsoft.com/rest/api/storageservices/create-service-sas, a blob, reading."""
    end = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    resource = f"/blob/{server.account}/{container}/{blob}"
    fields = ["r", "", end, resource, "", "", "http,https", VERSION, "b", "", "", "", "", "", "", ""]
    signature = sign(server.key, "\n".join(fields))
    return urlencode({"sp": "r", "se": end, "spr": "http,https", "sv": VERSION, "sr": "b", "sig": signature})


async def test_azurite_verifies_a_sas_and_its_end(
    http: aiohttp.ClientSession, azurite: AzuriteServer, unique_name: Callable[[str], str]
) -> None:
    container = unique_name("c")
    await put_blob(http, azurite, container, "a", "b")

    async def get(blob: str, *, after_s: float, signed: str = "a") -> int:
        sas = service_sas(azurite, container, signed, expires=datetime.now(UTC) + timedelta(seconds=after_s))
        async with http.get(f"{azurite.endpoint}/{container}/{blob}?{sas}") as answer:
            return answer.status

    assert await get("a", after_s=60) == 200
    assert await get("b", after_s=60) == 403
    assert await get("a", after_s=-2) == 403


def bearer() -> dict[str, str]:
    """An unsigned token, in the form that Azurite asks for."""
    now = datetime.now(UTC)
    claims = {
        "aud": "https://storage.azure.com",
        "iss": f"https://sts.windows.net/{uuid.uuid4()}/",
        "iat": int((now - timedelta(minutes=1)).timestamp()),
        "nbf": int((now - timedelta(minutes=1)).timestamp()),
        "exp": int((now + timedelta(hours=1)).timestamp()),
        "oid": str(uuid.uuid4()),
        "tid": str(uuid.uuid4()),
    }
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims)]
    return {"Authorization": f"Bearer {b'.'.join([*parts, b'x']).decode()}", "x-ms-version": VERSION}


async def test_azurite_with_tls_takes_bearer_tokens_and_gives_user_delegation_keys(
    http: aiohttp.ClientSession, azurite_tls: AzuriteServer
) -> None:
    context = ssl.create_default_context(cafile=str(azurite_tls.ca_path))
    async with http.get(f"{azurite_tls.endpoint}?comp=list", headers=bearer(), ssl=context) as answer:
        assert answer.status == 200
    now = datetime.now(UTC)
    start, end = ((now + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ") for minutes in (-1, 60))
    body = f"<?xml version='1.0'?><KeyInfo><Start>{start}</Start><Expiry>{end}</Expiry></KeyInfo>"
    url = f"{azurite_tls.endpoint}?restype=service&comp=userdelegationkey"
    async with http.post(url, headers=bearer(), data=body, ssl=context) as answer:
        assert answer.status == 200
        assert "<UserDelegationKey>" in await answer.text()


async def test_azurite_with_tls_is_verified_by_its_own_authority_alone(
    http: aiohttp.ClientSession, azurite_tls: AzuriteServer
) -> None:
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await http.get(azurite_tls.endpoint)


async def test_azurite_without_tls_takes_no_bearer_token(http: aiohttp.ClientSession, azurite: AzuriteServer) -> None:
    async with http.get(f"{azurite.endpoint}?comp=list", headers=bearer()) as answer:
        assert answer.status in (400, 401, 403)


def test_an_azurite_listens_on_loopback_and_writes_nothing_outside_its_run_folder(
    group: ProcessGroup, find_program: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AZURITE_DB", "mysql://user:password@127.0.0.1:1/db")

    server = start_azurite(group, find_program("azurite"))

    assert urlsplit(server.endpoint).hostname == "127.0.0.1"
    assert server.key not in repr(server)
    assert list(home.iterdir()) == []
