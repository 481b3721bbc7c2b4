"""Health, readiness, metrics, the audit line, the redirect, and the end of the process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from prometheus_client import Metric

from gateway.world import BASE, World, request, until
from stow.errors import CredentialsMissingError
from stow.gateway.audit import log_line
from stow.gateway.settings import GatewaySettings, Limits
from stow.storage.config import StoreConfig
from stow.storage.model import Method


async def test_health_and_description_need_no_token(served: World) -> None:
    assert (await served.ask("GET", "/healthz", token=None)).body == b"ok\n"
    described = await served.ask("GET", "/openapi.json", token=None)
    assert described.json["openapi"].startswith("3.")
    assert (await served.ask("HEAD", "/healthz", token=None)).body == b""
    assert served.audit == []


async def test_it_is_ready_when_nothing_is_missing_and_lists_what_is(served: World) -> None:
    got = await served.ask("GET", "/readyz", token=None)
    assert (got.status, got.json) == (200, {"ready": True, "missing": []})
    served.missing["caches"] = False
    got = await served.ask("GET", "/readyz", token=None)
    assert (got.status, got.json) == (503, {"ready": False, "missing": ["caches"]})


async def test_nothing_is_served_from_an_incomplete_memory(served: World) -> None:
    signed = "/v1/signed/namespaces/team/containers/reports/object?key=k&method=GET&exp=1&kid=k1&sig=AAAA"
    served.missing["caches"] = False
    for method, target in (("GET", f"{BASE}/objects"), ("PUT", f"{BASE}/objects/k"), ("GET", signed)):
        got = await served.ask(method, target, body=b"x" if method == "PUT" else None)
        assert (got.status, got.code) == (503, "not_ready")
        assert "retry-after" in got.headers
    assert served.tokens.asked == []
    served.missing["caches"] = True
    assert (await served.ask("GET", f"{BASE}/objects")).status == 200
    served.missing["caches"] = False  # once it was complete, it is at worst a little behind
    assert (await served.ask("GET", f"{BASE}/objects")).status == 200


async def test_metrics_count_requests_bytes_and_cache_look_ups_without_names(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/canary-key", body=b"12345")
    await served.ask("GET", f"{BASE}/objects/canary-key")
    text = (await served.ask("GET", "/metrics", token=None)).body.decode()
    for line in (
        'stow_gateway_requests_total{code="ok",route="container",status="200",verb="put"} 1.0',
        'stow_gateway_requests_total{code="ok",route="container",status="200",verb="get"} 1.0',
        'stow_gateway_bytes_total{direction="in"} 5.0',
        'stow_gateway_bytes_total{direction="out"} 5.0',
        'stow_gateway_cache_lookups_total{cache="token",result="hit"} 1.0',
        'stow_gateway_cache_lookups_total{cache="token",result="miss"} 1.0',
        "stow_gateway_requests_in_flight 0.0",
        'stow_read_bytes_total{kind="memory",location="main"} 5.0',
    ):
        assert line in text
    for name in ("canary-key", "reports", "system:serviceaccount"):
        assert name not in text


async def test_one_audit_line_for_each_operation_says_who_what_and_how_much(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/a%20b", body=b"12345")
    assert served.audit == [
        {
            "audit": "object-api",
            "time": "2026-01-02T03:04:05.000+00:00",
            "user": "system:serviceaccount:team:app",
            "uid": "uid-alice",
            "verb": "put",
            "route": "container",
            "namespace": "team",
            "container": "reports",
            "key": "a b",
            "status": 200,
            "code": "ok",
            "bytesIn": 5,
            "bytesOut": 0,
            "durationMs": 0.0,
        }
    ]
    await served.ask("GET", f"{BASE}/objects/a%20b", "Range: bytes=0-1")
    await served.ask("GET", f"{BASE}/objects/a%20b", token="unknown")
    await served.ask("POST", f"{BASE}/sign", body=b'{"key": "k"}')
    await served.ask("POST", f"{BASE}/copy", body=b'{"source": {"key": "a b"}, "destination": {"key": "c"}}')
    assert [(line["verb"], line["status"], line["code"], line["bytesOut"]) for line in served.audit[1:3]] == [
        ("get", 206, "ok", 2),
        ("get", 401, "unauthenticated", 0),
    ]
    assert "user" not in served.audit[2]
    assert (served.audit[3]["verb"], served.audit[3]["key"]) == ("sign", "k")
    assert (served.audit[4]["verb"], served.audit[4]["source"]) == ("copy", "team/reports")


async def test_metrics_that_take_long_to_write_are_not_written_for_everybody_anew(served: World) -> None:
    """They need no token and hold the event loop: at most a twentieth of it goes there."""

    class Slow:
        written = 0

        def collect(self) -> list[Metric]:
            self.written += 1
            served.clock.forward(1)
            return [Metric("written", "", "untyped")]

    slow = Slow()
    served.registry.register(slow)
    begun = slow.written  # registering asks for the names
    for _ in range(3):
        assert (await served.ask("GET", "/metrics", token=None)).status == 200
    assert slow.written == begun + 1
    served.clock.forward(21)
    await served.ask("GET", "/metrics", token=None)
    assert slow.written == begun + 2


REFUSED_EARLY = [
    ("GET", f"{BASE}/objects/%zz", "invalid_key", "get"),
    ("POST", f"{BASE}/objects/k", "method_not_allowed", "post"),
    ("MKCOL", f"{BASE}/objects/k", "method_not_allowed", "other"),
    ("GET", f"{BASE}/objects?limit", "invalid_argument", "get"),
    ("GET", "/v1/signed/x", "signature_refused", "get"),
    ("GET", "/v1/nothing", "route_not_found", "get"),
]


@pytest.mark.parametrize(("method", "target", "code", "verb"), REFUSED_EARLY)
async def test_what_is_refused_before_it_is_understood_has_its_audit_line(
    served: World, method: str, target: str, code: str, verb: str
) -> None:
    await served.ask(method, target)
    assert [(line["code"], line["verb"]) for line in served.audit] == [(code, verb)]


async def test_what_is_refused_for_want_of_room_has_its_audit_line_and_says_what_it_was(world: World) -> None:
    async with world.serving(GatewaySettings(limits=Limits(max_requests=0), drain_grace_s=0.2)):
        assert (await world.ask("GET", f"{BASE}/objects/k")).code == "overloaded"
        assert (await world.ask("GET", "/v1/signed/x")).code == "overloaded"
    assert [(line["code"], line.get("container"), line.get("key")) for line in world.audit] == [
        ("overloaded", "reports", "k"),
        ("overloaded", None, None),
    ]
    assert world.audit[1]["signedURL"] is True


async def test_what_is_no_operation_on_data_has_no_audit_line(served: World) -> None:
    for target in ("/healthz", "/metrics", "/readyz", "/openapi.json", "/nothing"):
        await served.ask("GET", target, token=None)
    assert served.audit == []


def test_an_audit_line_is_one_line_of_json(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="stow.audit")
    log_line({"key": "a\nb", "n": 1})
    assert "\n" not in caplog.messages[0]
    assert json.loads(caplog.messages[0]) == {"key": "a\nb", "n": 1}


# Redirects


@pytest.fixture
async def redirecting(world: World) -> World:
    """The location is an S3 one by its spec; what signs for it is the memory driver's signer."""
    spec = {"s3": {"region": "eu-1"}, "credentials": {"anonymous": {}}}
    store = world.location(config=StoreConfig("uid-main", sign_methods=frozenset({Method.GET})))
    ref = next(ref for ref in world.memory.known if ref.kind == "StowLocation")
    world.memory.known[ref] = replace(world.memory.known[ref], spec=spec)
    assert store.config.sign_methods == {Method.GET}
    return world


async def test_a_large_get_is_redirected_where_the_caller_asks_and_may_sign(redirecting: World) -> None:
    world = redirecting
    async with world.serving(GatewaySettings(redirect_min_bytes=10, drain_grace_s=0.2)):
        await world.ask("PUT", f"{BASE}/objects/big", body=bytes(10))
        await world.ask("PUT", f"{BASE}/objects/small", body=bytes(9))
        got = await world.ask("GET", f"{BASE}/objects/big", "Stow-Redirect: allow")
        assert (got.status, got.headers["cache-control"], got.body) == (307, "no-store", b"")
        assert "sig=" in got.headers["location"]
        assert got.headers["location"].rpartition("sig=")[2] not in repr(world.audit)
        assert (await world.ask("GET", f"{BASE}/objects/big")).status == 200
        assert (await world.ask("GET", f"{BASE}/objects/small", "Stow-Redirect: allow")).status == 200
        assert (await world.ask("GET", f"{BASE}/objects/none", "Stow-Redirect: allow")).status == 404
        assert (await world.ask("GET", f"{BASE}/objects/big", "Stow-Redirect: allow", "If-Match: *")).status == 200
        world.access.granted = {("get", "objects")}
        world.clock.forward(120)
        assert (await world.ask("GET", f"{BASE}/objects/big", "Stow-Redirect: allow")).status == 200


async def test_a_location_without_signed_gets_never_redirects(world: World) -> None:
    async with world.serving(GatewaySettings(redirect_min_bytes=0, drain_grace_s=0.2)):
        await world.ask("PUT", f"{BASE}/objects/k", body=bytes(10))
        assert (await world.ask("GET", f"{BASE}/objects/k", "Stow-Redirect: allow")).status == 200


async def test_a_location_that_cannot_sign_serves_the_read_itself(redirecting: World) -> None:
    world = redirecting
    async with world.serving(GatewaySettings(redirect_min_bytes=0, drain_grace_s=0.2)):
        await world.ask("PUT", f"{BASE}/objects/k", body=b"text")
        world.driver.stop, world.driver.error = {"sign"}, CredentialsMissingError("nobody signs here")
        got = await world.ask("GET", f"{BASE}/objects/k", "Stow-Redirect: allow")
        assert (got.status, got.body) == (200, b"text")
        assert {"sign", "read"} <= {*world.driver.reached}


# The end


async def test_a_stop_lets_running_requests_finish_and_takes_no_new_ones(world: World) -> None:
    async with world.serving(GatewaySettings(drain_grace_s=5)):
        world.driver.stop = {"head"}
        async with world.wire() as idle:
            idle.send(request("GET", "/healthz"))
            await idle.answer()
            running = asyncio.create_task(world.ask("HEAD", f"{BASE}/objects/k"))
            async with world.wire() as uploading:
                uploading.send(request("PUT", f"{BASE}/objects/up", "Content-Length: 4") + b"da")
                await until(lambda: {"head", "write"} <= set(world.driver.reached))
                assert world.gateway is not None
                stopping = asyncio.create_task(world.gateway.stop())
                assert await idle.closed() == b""
                with pytest.raises(ConnectionError):
                    await world.ask("GET", "/healthz")
                assert not stopping.done()
                uploading.send(b"ta")
                got = await uploading.answer()
                assert (got.status, got.headers["connection"]) == (200, "close")
                world.driver.gate.set()
                assert (await running).status == 404
                await stopping
    assert world.bytes_of("up") == b"data"


async def test_a_request_that_outlives_the_grace_is_cut_with_its_backend_call(world: World) -> None:
    async with world.serving(GatewaySettings(drain_grace_s=0.2)):
        world.driver.stop = {"head"}
        running = asyncio.create_task(world.ask("HEAD", f"{BASE}/objects/k"))
        await until(lambda: "head" in world.driver.reached)
        assert world.gateway is not None
        await world.gateway.stop()
        assert world.driver.cancelled == ["head"]
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await running


async def test_while_it_drains_it_is_not_ready(world: World) -> None:
    async with world.serving(GatewaySettings(drain_delay_s=0.3, drain_grace_s=0.2)):
        assert world.gateway is not None
        stopping = asyncio.create_task(world.gateway.stop())
        await asyncio.sleep(0)
        got = await world.ask("GET", "/readyz", token=None)
        assert (got.status, got.json["missing"], got.headers["connection"]) == (503, ["draining"], "close")
        await stopping


async def test_a_stop_lets_a_slow_reader_have_the_end_of_its_answer(world: World) -> None:
    size = 4 * 1024 * 1024
    async with world.serving(GatewaySettings(drain_grace_s=10)):
        await world.ask("PUT", f"{BASE}/objects/k", body=bytes(size))
        async with world.wire() as wire:
            wire.send(request("GET", f"{BASE}/objects/k"))
            await wire.reader.readuntil(b"\r\n\r\n")
            assert world.gateway is not None
            stopping = asyncio.create_task(world.gateway.stop())
            got = 0
            while got < size:
                got += len(await wire.reader.read(256 * 1024))
                await asyncio.sleep(0.02)
            await stopping
    assert got == size
