"""Malformed and hostile requests over raw sockets: each its own clear answer, nothing repeated, nothing logged, the connection closed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from gateway.world import BASE, TOKEN, World, request, until
from stow.errors import BackendFailedError
from stow.storage.model import ObjectAttributes

CANARY = "canary-4711"
AUTH = f"Authorization: Bearer {CANARY}"

MALFORMED = [
    (f"GET {BASE}/objects HTTP/1.1\r\nHost: g\r\n{AUTH}\x00x\r\n\r\n", 400, "malformed_request"),
    (f"GET {BASE}/objects HTTP/1.1\r\nHost: g\r\n{AUTH}\x01x\r\n\r\n", 400, "malformed_request"),
    (f"GET {BASE}/objects HTTP/1.1\r\nHost: g\r\nAuthorization : Bearer {CANARY}\r\n\r\n", 400, "malformed_request"),
    (f"GET {BASE}/objects HTTP/1.1\r\nHost: g\r\n{AUTH}\r\n folded\r\n\r\n", 400, "malformed_request"),
    (f"GET {BASE}/objects HTTP/1.1\r\nHost: g\r\nAuth\u00dforization: Bearer {CANARY}\r\n\r\n", 400, "malformed_request"),
    (f"GET {BASE}/objects HTTP/1.1\r\nHost: g\r\n{CANARY}\r\n\r\n", 400, "malformed_request"),
    (f"GET {BASE}/objects HTTP/1.1\r\n{AUTH}\r\n\r\n", 400, "malformed_request"),
    (f"GET {BASE}/{CANARY} HTTP/9.9\r\nHost: g\r\n\r\n", 400, "malformed_request"),
    (f"GET {CANARY} HTTP/1.1\r\nHost: g\r\n\r\n", 400, "malformed_request"),
    (f"{CANARY} / HTTP/1.1\r\nHost: g\r\n\r\n", 400, "malformed_request"),
    (f"GET {BASE}/objects/\u00e9{CANARY} HTTP/1.1\r\nHost: g\r\n\r\n", 400, "malformed_request"),
    (f"GET {BASE}/objects/a b{CANARY} HTTP/1.1\r\nHost: g\r\n\r\n", 400, "malformed_request"),
    (f"\x16\x03\x01{CANARY}\r\n\r\n", 400, "malformed_request"),
    (f"PUT {BASE}/objects/k HTTP/1.1\r\nHost: g\r\n{AUTH}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, "malformed_request"),
    (f"PUT {BASE}/objects/k HTTP/1.1\r\nHost: g\r\n{AUTH}\r\nContent-Length: -1\r\n\r\nxx", 400, "malformed_request"),
    (
        f"PUT {BASE}/objects/k HTTP/1.1\r\nHost: g\r\n{AUTH}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "malformed_request",
    ),
    (f"GET {BASE}/objects HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {CANARY}{'a' * 17000}\r\n\r\n", 431, "headers_too_large"),
    (f"GET {BASE}/objects/{CANARY}{'a' * 17000} HTTP/1.1\r\nHost: g\r\n\r\n", 414, "uri_too_long"),
    ("GET / HTTP/1.1\r\nHost: g\r\n" + f"X: {CANARY}\r\n" * 200 + "\r\n", 431, "headers_too_large"),
    ("GET / HTTP/1.1\r\nHost: g\r\n" + f"X{CANARY}: {'a' * 12000}\r\n" * 8 + "\r\n", 431, "headers_too_large"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "status", "code"), MALFORMED)
async def test_a_malformed_request_is_refused_without_repeating_or_logging_it(
    served: World, caplog: pytest.LogCaptureFixture, raw: str, status: int, code: str
) -> None:
    caplog.set_level(logging.DEBUG)
    async with served.wire() as wire:
        wire.send(raw.encode())
        got = await wire.answer()
        rest = await wire.closed()
    assert (got.status, got.code, got.headers["content-type"]) == (status, code, "application/problem+json")
    assert got.headers["connection"] == "close"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert CANARY.encode() not in got.raw + rest
    assert CANARY not in caplog.text
    assert "canary" not in "".join(str(line) for line in served.audit)
    assert served.tokens.asked == []


CODINGS = ["gzip, chunked", "chunked, gzip", "gzip", "identity", "chunked;q=1", "xchunked"]


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_foreign_transfer_coding_is_refused_and_closes(served: World, coding: str) -> None:
    async with served.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", f"Transfer-Encoding: {coding}") + b"1\r\nx\r\n0\r\n\r\n")
        got = await wire.answer()
        await wire.closed()
    assert got.status in {400, 501}
    assert got.headers["connection"] == "close"
    assert served.bytes_of("k") is None


async def test_gzip_chunked_is_501(served: World) -> None:
    got = await served.ask("PUT", f"{BASE}/objects/k", "Transfer-Encoding: gzip, chunked")
    assert (got.status, got.code) == (501, "unsupported_transfer_coding")


FRAMINGS = [
    ("HTTP/1.1", ["Transfer-Encoding: gzip, chunked"], 501),
    ("HTTP/1.1", ["Transfer-Encoding: gzip"], 400),
    ("HTTP/1.1", ["Transfer-Encoding: identity"], 400),
    ("HTTP/1.1", ["Transfer-Encoding: "], 501),
    ("HTTP/1.1", ["Transfer-Encoding: ", "Content-Length: 5"], 400),
    ("HTTP/1.1", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
    ("HTTP/1.0", ["Connection: keep-alive", "Transfer-Encoding: chunked"], 400),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT"])
@pytest.mark.parametrize(("version", "headers", "status"), FRAMINGS)
async def test_a_body_that_somebody_else_may_end_elsewhere_ends_the_connection(
    served: World, method: str, version: str, headers: list[str], status: int
) -> None:
    """Also where the method takes no body: what follows must not be taken for a request."""
    lines = [f"{method} {BASE}/objects/k {version}", "Host: g", f"Authorization: Bearer {TOKEN}", *headers, "", ""]
    async with served.wire() as wire:
        wire.send("\r\n".join(lines).encode() + b"0\r\n\r\n" + request("GET", "/healthz"))
        said = await wire.closed()
    assert int(said.split(b" ")[1]) in {status, 400}
    assert b"200 OK" not in said
    assert served.tokens.asked == []
    assert served.bytes_of("k") is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_compressed_body_is_stored_as_it_came(served: World, encoding: str) -> None:
    got = await served.ask("PUT", f"{BASE}/objects/k", f"Content-Encoding: {encoding}", body=b"\x1f\x8b not compressed")
    assert got.status == 200
    assert served.bytes_of("k") == b"\x1f\x8b not compressed"


BROKEN_CHUNKS = [
    b"zz\r\nx\r\n",
    b"5\r\nhello5\r\n",
    b"-1\r\n",
    b"ffffffffffffffffff\r\n",
    b"1\r\nx\r\n0\r\nbad header\r\n\r\n",
]


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS)
async def test_broken_chunks_store_nothing_and_are_answered_at_once(served: World, chunks: bytes) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"old")
    async with served.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", "Transfer-Encoding: chunked"))
        await asyncio.sleep(0.02)
        wire.send(chunks)
        got = await wire.answer(timeout_s=3)
        await wire.closed(timeout_s=3)
    assert (got.status, got.headers["connection"]) == (400, "close")
    assert served.bytes_of("k") == b"old"


HIDDEN = [None, BackendFailedError("its source failed"), RuntimeError("its source failed")]


@pytest.mark.parametrize("hidden", HIDDEN, ids=["clear", "translated", "foreign"])
async def test_the_client_hears_what_was_wrong_with_its_body_whatever_the_driver_makes_of_it(
    served: World, hidden: Exception | None
) -> None:
    served.driver.hides_source = hidden
    async with served.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", "Transfer-Encoding: chunked"))
        await until(lambda: "write" in served.driver.reached)
        wire.send(b"zz\r\n")
        got = await wire.answer()
    assert (got.status, got.code) == (400, "invalid_body")


@pytest.mark.parametrize("gap", [True, False])
async def test_surplus_behind_a_body_is_the_next_request_and_refused(served: World, gap: bool) -> None:
    async with served.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", "Content-Length: 5"))
        if gap:
            await asyncio.sleep(0.02)
        wire.send(b"12345surplus\r\n\r\n")
        first = await wire.answer()
        if first.status == 200:
            assert (await wire.answer()).status == 400
        await wire.closed()
    # In one piece with its headers the parser refuses all of it; then nothing may be stored.
    assert first.status == (200 if gap else 400)
    assert served.bytes_of("k") == (b"12345" if gap else None)


async def test_pipelined_requests_are_answered_in_order(served: World) -> None:
    async with served.wire() as wire:
        puts = b"".join(request("PUT", f"{BASE}/objects/{n}", body=str(n).encode()) for n in range(5))
        gets = b"".join(request("GET", f"{BASE}/objects/{n}") for n in range(5))
        wire.send(puts + gets)
        assert [(await wire.answer()).status for _ in range(5)] == [200] * 5
        assert [(await wire.answer()).body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
async def test_an_upgrade_is_ignored_and_loses_no_body(served: World, protocol: str) -> None:
    async with served.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", "Connection: Upgrade", f"Upgrade: {protocol}", body=b"data"))
        assert (await wire.answer()).status == 200
    assert served.bytes_of("k") == b"data"


async def test_connect_and_trace_reach_nothing(served: World) -> None:
    for line in ("CONNECT gateway:80", f"TRACE {BASE}/objects/k"):
        async with served.wire() as wire:
            wire.send(f"{line} HTTP/1.1\r\nHost: g\r\n{AUTH}\r\n\r\n".encode())
            got = await wire.answer()
        assert got.status in {400, 405}
        assert CANARY.encode() not in got.raw


async def test_http_1_0_is_served_and_closed(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"data")
    async with served.wire() as wire:
        wire.send(f"GET {BASE}/objects/k HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        got = await wire.answer()
        await wire.closed()
    assert (got.status, got.body) == (200, b"data")


POISON = ["text/html\r\nX-Evil: 1", "text/\x01html", "text/\u00e9", "\x7f"]


@pytest.mark.parametrize("poison", POISON)
async def test_a_poisoned_stored_attribute_does_not_kill_its_own_get(served: World, poison: str) -> None:
    """Another tool wrote it; the driver gives it back as it stands."""
    await served.ask("PUT", f"{BASE}/objects/k", body=b"data")
    objects = served.backend.containers["reports-bucket"].objects
    bad = ObjectAttributes(poison, poison, poison, poison, poison, {"a": poison, "B\r\n": "x", "c": "\ud800"})
    objects["k"] = replace(objects["k"], metadata=replace(objects["k"].metadata, attributes=bad))
    for method in ("GET", "HEAD"):
        got = await served.ask(method, f"{BASE}/objects/k")
        assert (got.status, got.headers["content-type"]) == (200, "application/octet-stream")
        assert "x-evil" not in got.headers
        assert "content-encoding" not in got.headers


async def test_a_poisoned_version_does_not_kill_its_304(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"data")
    objects = served.backend.containers["reports-bucket"].objects
    attributes = ObjectAttributes(cache_control="max-age=1\r\nX-Evil: 1")
    objects["k"] = replace(
        objects["k"], metadata=replace(objects["k"].metadata, etag="a\r\nX-Evil: 1", attributes=attributes)
    )
    for method in ("GET", "HEAD"):
        got = await served.ask(method, f"{BASE}/objects/k", "If-None-Match: *")
        assert got.status == 304
        assert "x-evil" not in got.headers


async def test_an_unforeseen_error_is_500_and_its_text_is_nowhere(
    served: World, caplog: pytest.LogCaptureFixture
) -> None:
    served.driver.stop, served.driver.error = {"head", "read", "list"}, RuntimeError(CANARY)
    for method, target in (("HEAD", "/k"), ("GET", "/k"), ("GET", "")):
        got = await served.ask(method, f"{BASE}/objects{target}")
        assert (got.status, got.code) == (500, "internal")
        assert CANARY.encode() not in got.raw
    assert CANARY not in caplog.text
    assert "RuntimeError" in caplog.text


async def test_no_token_stands_in_logs_audit_metrics_or_answers(
    served: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    raw = b""
    for method, target in (
        ("GET", "/objects/k"),
        ("GET", "/objects"),
        ("HEAD", "/objects/k"),
        ("DELETE", "/objects/k"),
        ("GET", "/nope"),
    ):
        raw += (await served.ask(method, BASE + target)).raw
        raw += (await served.ask(method, BASE + target, token="canary-unknown")).raw
    raw += (await served.ask("POST", f"{BASE}/sign", body=b'{"key": "k"}')).raw
    raw += (await served.ask("GET", "/metrics", token=None)).raw
    text = caplog.text + repr(served.audit) + raw.decode()
    assert TOKEN not in text
    assert "canary-unknown" not in text


async def test_signed_urls_stand_in_the_answer_alone(served: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    signed = (await served.ask("POST", f"{BASE}/sign", body=b'{"key": "k"}')).json["url"]
    signature = signed.rpartition("sig=")[2]
    got = await served.ask("GET", signed.removeprefix("http://objects.test"), token=None)
    metrics = (await served.ask("GET", "/metrics", token=None)).raw.decode()
    assert got.status == 404
    assert signature not in caplog.text + repr(served.audit) + metrics + got.raw.decode()


async def test_a_drivers_raw_connection_error_or_stray_cancellation_is_answered(served: World) -> None:
    for error in (ConnectionResetError(CANARY), asyncio.CancelledError(CANARY)):
        served.driver.stop, served.driver.error = {"head"}, error
        got = await served.ask("HEAD", f"{BASE}/objects/k")
        assert (got.status, got.code) == (500, "internal")
        assert served.audit[-1]["status"] == 500
