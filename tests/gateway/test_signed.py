"""Signed URLs of local locations: each use is looked at anew, every forgery gets the same answer, only configuration names the host."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from gateway.world import BASE, PUBLIC_URL, START, World, condition, until
from stow.gateway.settings import GatewaySettings, Limits
from stow.reconcile.objects import ObjectRef
from stow.storage.config import StoreConfig
from stow.storage.local_signing import Keyring, SigningKey
from stow.storage.model import Method

CONTAINER = ObjectRef("StowContainer", "team", "reports")


async def sign(world: World, key: str = "k", **fields: Any) -> str:
    """The path and query of a fresh URL."""
    got = await world.ask("POST", f"{BASE}/sign", body=json.dumps({"key": key, **fields}).encode())
    assert got.status == 200, got.body
    assert got.headers["cache-control"] == "no-store"
    assert got.json["url"].startswith(f"{PUBLIC_URL}/v1/signed/")
    return str(got.json["url"]).removeprefix(PUBLIC_URL)


@pytest.mark.parametrize("key", ["k", "a/../b", "a//b", "a b+c%2F", "\u00e9?&=#"])
async def test_a_signed_url_serves_its_method_without_a_token(served: World, key: str) -> None:
    put = await served.ask("PUT", await sign(served, key, method="PUT"), body=b"data", token=None)
    assert put.status == 200
    assert served.bytes_of(key) == b"data"
    got = await served.ask("GET", await sign(served, key), "Range: bytes=1-2", token=None)
    assert (got.status, got.body) == (206, b"at")
    assert got.headers["content-security-policy"].startswith("sandbox")
    head = await served.ask("HEAD", await sign(served, key, method="HEAD"), token=None)
    assert (head.status, head.headers["content-length"]) == (200, "4")
    assert (await served.ask("DELETE", await sign(served, key, method="DELETE"), token=None)).status == 204
    assert served.bytes_of(key) is None


async def test_the_audit_line_of_a_signed_use_names_the_key_id_and_no_signature(served: World) -> None:
    url = await sign(served)
    await served.ask("GET", url, token=None)
    line = served.audit[-1]
    assert (line["signedURL"], line["kid"], line["verb"], line["key"]) == (True, "k1", "get", "k")
    assert "user" not in line
    assert url.rpartition("sig=")[2] not in json.dumps(line)


def altered(url: str, name: str, value: str) -> str:
    path, _, query = url.partition("?")
    pairs = dict(pair.split("=", 1) for pair in query.split("&"))
    return f"{path}?" + "&".join(f"{n}={v}" for n, v in {**pairs, name: value}.items())


FORGERIES = [
    ("key", "other"),
    ("method", "PUT"),
    ("exp", "99999999999"),
    ("kid", "k2"),
    ("sig", "AAAA"),
    ("max", "1"),
    ("md5", "AAAA"),
    ("ctype", "x"),
    ("extra", "1"),
]


@pytest.mark.parametrize(("name", "value"), FORGERIES)
async def test_every_forgery_gets_one_and_the_same_answer(served: World, name: str, value: str) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"data")
    got = await served.ask("GET", altered(await sign(served), name, value), token=None)
    assert (got.status, got.code) == (403, "signature_refused")
    nothing = "/v1/signed/namespaces/nobody/containers/nothing/object?key=k&method=GET&exp=1&kid=k1&sig=AAAA"
    assert got.body == (await served.ask("GET", nothing, token=None)).body


@pytest.mark.parametrize(
    "target",
    [
        "/v1/signed/",
        "/v1/signed/object",
        "/v1/signed/namespaces/team/containers/reports/object",
        "/v1/signed/namespaces/team/containers/reports/objects/k?key=k&method=GET&exp=1&kid=k1&sig=AAAA",
        "/v1/signed/namespaces/team/containers/re%70orts/object?key=k&method=GET&exp=1&kid=k1&sig=AAAA",
        "/v1/signed/../../../etc/object?key=k&method=GET&exp=1&kid=k1&sig=AAAA",
    ],
)
async def test_what_is_no_signed_url_is_refused_alike_and_asks_nobody(served: World, target: str) -> None:
    got = await served.ask("GET", target, token=None)
    assert (got.status, got.code) == (403, "signature_refused")
    assert served.tokens.asked == []
    assert served.memory.reads == []


async def test_a_url_for_get_serves_no_other_method(served: World) -> None:
    url = await sign(served)
    for method in ("HEAD", "PUT", "DELETE"):
        assert (await served.ask(method, url, body=b"x" if method == "PUT" else None, token=None)).status == 403
    assert (await served.ask("POST", url, body=b"", token=None)).status == 405


async def test_a_url_ends_at_its_expiry(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"data")
    url = await sign(served, expiresIn="2m")
    served.clock.forward(119)
    assert (await served.ask("GET", url, token=None)).status == 200
    served.clock.forward(1)
    got = await served.ask("GET", url, token=None)
    assert (got.status, got.code) == (403, "signed_url_expired")


async def test_a_url_dies_with_its_container(served: World) -> None:
    url = await sign(served, method="PUT")
    await served.container(uid="uid-of-the-next-one", create=False)
    assert (await served.ask("PUT", url, body=b"x", token=None)).status == 403
    del served.memory.known[CONTAINER]
    assert (await served.ask("PUT", url, body=b"x", token=None)).status == 403
    assert served.bytes_of("k") is None


async def test_each_use_checks_that_the_container_is_still_ready(served: World) -> None:
    url = await sign(served, method="PUT")
    known = served.memory.known[CONTAINER]
    not_ready = {**known.status, "conditions": [condition("Ready", "False", "Vanished")]}
    served.memory.known[CONTAINER] = replace(known, status=not_ready)
    assert (await served.ask("PUT", url, body=b"x", token=None)).status == 503
    served.memory.known[CONTAINER] = replace(known, deleting_since=START)
    assert (await served.ask("PUT", url, body=b"x", token=None)).status == 409
    assert served.bytes_of("k") is None


async def test_each_use_checks_that_the_method_is_still_allowed(served: World) -> None:
    url = await sign(served, method="PUT")
    store = served.stores.by_ref[ObjectRef("StowLocation", "team", "main")]
    store.config = replace(store.config, sign_methods=frozenset({Method.GET}))
    got = await served.ask("PUT", url, body=b"x", token=None)
    assert (got.status, got.code) == (403, "signature_refused")


async def test_a_rotated_key_verifies_until_it_is_dropped(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"data")
    url = await sign(served)
    new = SigningKey("k2", b"\x08" * 32, START + timedelta(minutes=1))
    assert served.keyring is not None
    served.keyring = served.keyring.rotated(new)
    assert (await served.ask("GET", url, token=None)).status == 200
    served.keyring = Keyring(new)
    assert (await served.ask("GET", url, token=None)).status == 403


async def test_without_keys_it_is_503(served: World) -> None:
    url = await sign(served)
    served.keyring = None
    got = await served.ask("GET", url, token=None)
    assert (got.status, got.code) == (503, "not_ready")


async def test_the_signed_body_and_no_other_is_taken(served: World) -> None:
    md5 = base64.b64encode(hashlib.md5(b"data").digest()).decode()
    url = await sign(served, method="PUT", contentMD5=md5, contentType="text/x", maxBytes=4)
    right = (f"Content-MD5: {md5}", "Content-Type: text/x")
    assert (await served.ask("PUT", url, right[0], body=b"data", token=None)).status == 403
    assert (await served.ask("PUT", url, right[1], body=b"data", token=None)).status == 403
    assert (await served.ask("PUT", url, *right, body=b"evil", token=None)).code == "checksum_mismatch"
    assert (await served.ask("PUT", url, *right, body=b"data!", token=None)).status == 413
    assert (await served.ask("PUT", url, "Transfer-Encoding: gzip, chunked", *right, token=None)).status == 501
    assert served.bytes_of("k") is None
    assert (await served.ask("PUT", url, *right, body=b"data", token=None)).status == 200


async def test_a_location_that_is_not_local_has_no_such_urls(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"data")
    url = await sign(served)
    assert (await served.ask("GET", url, token=None)).status == 200
    ref = ObjectRef("StowLocation", "team", "main")
    spec = {"s3": {"region": "eu-1"}, "credentials": {"anonymous": {}}}
    served.memory.known[ref] = replace(served.memory.known[ref], spec=spec, generation=2)
    got = await served.ask("GET", url, token=None)
    assert (got.status, got.code) == (404, "route_not_found")


@pytest.mark.parametrize("name", ["base-bucket", "loaded"])
async def test_base_and_dynamic_containers_have_signed_urls_too(world: World, name: str) -> None:
    config = StoreConfig(
        "uid-main",
        base_container="base-bucket",
        dynamic_allowed=lambda wanted, _: wanted == "loaded",
        sign_methods=frozenset(Method),
    )
    route = f"namespaces/team/locations/main/containers/{name}"
    world.location(config=config, route=route)
    await world.driver.create_container(name, None)
    async with world.serving():
        where = f"/v1/namespaces/team/locations/main/containers/{name}"
        signed = await world.ask("POST", f"{where}/sign", body=b'{"key": "k", "method": "PUT"}')
        url = signed.json["url"].removeprefix(PUBLIC_URL)
        assert url.startswith(f"/v1/signed/{route}/object?")
        assert (await world.ask("PUT", url, body=b"data", token=None)).status == 200
    assert world.bytes_of("k", name) == b"data"


@pytest.mark.parametrize("name", ["team-x", "base-bucket"])
@pytest.mark.parametrize("allowed", [True, False])
async def test_a_cluster_locations_url_ends_when_the_namespace_is_shut_out(
    world: World, allowed: bool, name: str
) -> None:
    config = StoreConfig(
        "uid-shared",
        base_container="base-bucket",
        dynamic_allowed=lambda name, scope: scope is not None and name.startswith(f"{scope.namespace}-"),
        sign_methods=frozenset(Method),
    )
    world.location(
        "shared",
        namespace=None,
        config=config,
        route=f"clusterlocations/shared/containers/{name}",
        spec={"allowedNamespaces": {"names": ["team"]}},
    )
    await world.driver.create_container(name, None)
    async with world.serving():
        signed = await world.ask(
            "POST", f"/v1/clusterlocations/shared/containers/{name}/sign", body=b'{"key": "k", "method": "PUT"}'
        )
        url = signed.json["url"].removeprefix(PUBLIC_URL)
        if not allowed:
            ref = ObjectRef("ClusterStowLocation", None, "shared")
            shut = {"local": {"path": "shared"}, "allowedNamespaces": {"names": ["other"] if name == "team-x" else []}}
            world.memory.known[ref] = replace(world.memory.known[ref], spec=shut, generation=2)
        assert (await world.ask("PUT", url, body=b"data", token=None)).status == (200 if allowed else 403)


BAD_SIGN = [
    (b"", 400),
    (b"x", 400),
    (b"[]", 400),
    (b"{}", 400),
    (b'{"key": ""}', 400),
    (b'{"key": 1}', 400),
    (b'{"key": "k", "what": 1}', 400),
    (b'{"key": "k", "key": "l"}', 400),
    (b'{"key": "k", "method": "POST"}', 400),
    (b'{"key": "k", "expiresIn": 0}', 400),
    (b'{"key": "k", "expiresIn": -1}', 400),
    (b'{"key": "k", "expiresIn": 1.5}', 400),
    (b'{"key": "k", "expiresIn": true}', 400),
    (b'{"key": "k", "expiresIn": "soon"}', 400),
    (b'{"key": "k", "expiresIn": 1e999}', 400),
    (b'{"key": "k", "maxBytes": -1}', 400),
    (b'{"key": "k", "contentMD5": "x"}', 400),
    (b'{"key": "k", "contentType": "a/b\\r\\nX-Evil: 1"}', 400),
    (b'{"key": "k", "contentType": "\\u00e9"}', 400),
    (b'{"key": "k", "headers": ["a"]}', 400),
    (b'{"key": "k", "headers": {"range": 1}}', 400),
    (b'{"key": "k", "headers": {"Range": "a", "range": "b"}}', 400),
    (b'{"key": "k", "responseOverrides": {"set-cookie": "a=b"}}', 400),
    (b'{"key": "k", "responseOverrides": {"content-type": 1}}', 400),
    (b'{"key": "\\ud800"}', 400),
    (b'{"key": "\xff"}', 400),
    (b"[" * 9000, 400),
    (b'{"key": "' + b"k" * 20_000 + b'"}', 413),
    (b'{"key": "' + quote("k" * 2000).encode() + b'"}', 400),
]


@pytest.mark.parametrize(("body", "status"), BAD_SIGN)
async def test_a_signing_order_is_read_strictly(served: World, body: bytes, status: int) -> None:
    got = await served.ask("POST", f"{BASE}/sign", body=body)
    assert got.status == status
    assert got.headers["content-type"] == "application/problem+json"


BAD_COPY = [
    (b"{}", 400),
    (b'{"source": {"key": "k"}}', 400),
    (b'{"source": {}, "destination": {"key": "k"}}', 400),
    (b'{"source": {"key": "k"}, "destination": {"key": "k", "container": "x"}}', 400),
    (b'{"source": {"key": "k", "container": "../x"}, "destination": {"key": "k"}}', 400),
    (b'{"source": {"key": "k", "clusterLocation": "a", "location": "b"}, "destination": {"key": "k"}}', 400),
    (b'{"source": {"key": "k", "ifMatch": "*"}, "destination": {"key": "k"}}', 400),
    (b'{"source": {"key": "none"}, "destination": {"key": "k"}}', 404),
    (b'{"source": {"key": "k", "container": "nothing", "namespace": "team"}, "destination": {"key": "k"}}', 404),
]


@pytest.mark.parametrize(("body", "status"), BAD_COPY)
async def test_a_copying_order_is_read_strictly(served: World, body: bytes, status: int) -> None:
    assert (await served.ask("POST", f"{BASE}/copy", body=body)).status == status


async def test_a_copy_goes_across_locations_and_keeps_the_attributes(served: World) -> None:
    served.location("second", namespace="other")
    await served.container("target", namespace="other", location="second")
    await served.ask("PUT", f"{BASE}/objects/k", "Content-Type: text/x", "Stow-Meta-A: 1", body=b"data" * 100_000)
    body = {"source": {"namespace": "team", "container": "reports", "key": "k"}, "destination": {"key": "c"}}
    there = "/v1/namespaces/other/containers/target"
    got = await served.ask("POST", f"{there}/copy", body=json.dumps(body).encode())
    assert (got.status, got.json["size"]) == (200, 400_000)
    copied = await served.ask("GET", f"{there}/objects/c")
    assert (copied.body, copied.headers["content-type"], copied.headers["stow-meta-a"]) == (
        b"data" * 100_000,
        "text/x",
        "1",
    )
    again = await served.ask("POST", f"{there}/copy", "If-None-Match: *", body=json.dumps(body).encode())
    assert again.status == 412
    stale = {**body, "source": {**body["source"], "ifMatch": "x"}}
    assert (await served.ask("POST", f"{there}/copy", body=json.dumps(stale).encode())).status == 412


async def test_one_leaked_url_cannot_fill_the_gateway(world: World) -> None:
    async with world.serving(GatewaySettings(limits=Limits(max_requests_per_identity=2), drain_grace_s=0.2)):
        url = await sign(world, method="HEAD")
        world.driver.stop = {"head"}
        running = [asyncio.create_task(world.ask("HEAD", url, token=None)) for _ in range(2)]
        await until(lambda: world.driver.reached.count("head") == 2)
        assert (await world.ask("HEAD", url, token=None)).status == 429
        world.driver.gate.set()
        assert [(await each).status for each in running] == [404, 404]
