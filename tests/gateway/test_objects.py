"""The verbs over raw sockets: what goes in comes out, exactly."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import quote

import pytest

from gateway.world import BASE, World, request


async def test_put_get_head_list_delete_give_back_what_was_stored(served: World) -> None:
    stored = await served.ask("PUT", f"{BASE}/objects/a/b.txt", "Content-Type: text/plain", body=b"hello")
    assert (stored.status, stored.body) == (200, b"")
    got = await served.ask("GET", f"{BASE}/objects/a/b.txt")
    assert (got.status, got.body, got.headers["content-type"]) == (200, b"hello", "text/plain")
    assert got.headers["etag"] == stored.headers["etag"]
    assert got.headers["etag"].startswith('"')
    head = await served.ask("HEAD", f"{BASE}/objects/a/b.txt")
    assert head.status == 200
    assert head.headers["content-length"] == "5"
    assert {n: v for n, v in head.headers.items() if n != "date"} == {
        n: v for n, v in got.headers.items() if n != "date"
    }
    page = (await served.ask("GET", f"{BASE}/objects?prefix=a/")).json
    assert [o["key"] for o in page["objects"]] == ["a/b.txt"]
    assert page["objects"][0]["size"] == 5
    assert page["cursor"] is None
    assert (await served.ask("DELETE", f"{BASE}/objects/a/b.txt")).status == 204
    missing = await served.ask("GET", f"{BASE}/objects/a/b.txt")
    assert (missing.status, missing.json["code"]) == (404, "object_not_found")


KEYS = [
    "a//b", "/lead", "trail/", "a b", "a+b", "%2e", "..", "../x", ".", "a/../b", "?q", "#f",
    "\u00e9", "e\u0301", "\\", "a&b=c", "\u65e5\u672c", "\t\x01",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("form", ["path", "query"])
async def test_every_key_is_stored_under_its_own_name(served: World, key: str, form: str) -> None:
    encoded = quote(key, safe="")
    target = f"{BASE}/objects/{encoded}" if form == "path" else f"{BASE}/object?key={encoded}"
    assert (await served.ask("PUT", target, body=b"x")).status == 200
    assert list(served.backend.containers["reports-bucket"].objects) == [key]
    assert (await served.ask("GET", target)).body == b"x"


@pytest.mark.parametrize("raw", ["a/../b", "a//b", "./c", "a+b", "~x", "a/./"])
async def test_a_raw_key_is_never_normalised(served: World, raw: str) -> None:
    assert (await served.ask("PUT", f"{BASE}/objects/{raw}", body=b"x")).status == 200
    assert list(served.backend.containers["reports-bucket"].objects) == [raw]


@pytest.mark.parametrize("size", [0, 1, 65536, 1_000_003])
async def test_chunked_and_sized_bodies_of_any_size_come_back(served: World, size: int) -> None:
    data = bytes(i * 7 % 251 for i in range(size))
    await served.ask("PUT", f"{BASE}/objects/sized", body=data)
    async with served.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/chunked", "Transfer-Encoding: chunked"))
        for at in range(0, size, 300_007):
            piece = data[at : at + 300_007]
            wire.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        wire.send(b"0\r\n\r\n")
        assert (await wire.answer()).status == 200
    for key in ("sized", "chunked"):
        assert (
            hashlib.sha256((await served.ask("GET", f"{BASE}/objects/{key}")).body).digest()
            == hashlib.sha256(data).digest()
        )


async def test_attributes_and_metadata_come_back_as_they_were(served: World) -> None:
    sent = [
        "Content-Type: text/x; charset=weird",
        "Content-Encoding: gzip",
        "Content-Language: de",
        'Content-Disposition: attachment; filename="a"',
        "Cache-Control: public, max-age=60",
        "Stow-Meta-Owner: J%C3%BCrgen%25",
        "stow-meta-plain: a b",
    ]
    await served.ask("PUT", f"{BASE}/objects/k", *sent, body=b"not gzip at all")
    got = await served.ask("GET", f"{BASE}/objects/k", "Accept-Encoding: identity")
    assert got.body == b"not gzip at all"
    assert got.headers["content-type"] == "text/x; charset=weird"
    assert got.headers["content-encoding"] == "gzip"
    assert got.headers["content-language"] == "de"
    assert got.headers["content-disposition"] == 'attachment; filename="a"'
    assert got.headers["cache-control"] == "private, max-age=60"
    assert got.headers["stow-cache-control"] == "public, max-age=60"
    assert got.headers["stow-meta-owner"] == "J%C3%BCrgen%25"
    assert got.headers["stow-meta-plain"] == "a b"
    found = served.backend.containers["reports-bucket"].objects["k"].metadata
    assert dict(found.attributes.metadata) == {"owner": "Jürgen%", "plain": "a b"}


async def test_everything_served_is_harmless_in_a_browser(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", "Content-Type: text/html", body=b"<script>")
    for target in (f"{BASE}/objects/k", f"{BASE}/objects", f"{BASE}/objects/missing", "/healthz"):
        got = await served.ask("GET", target)
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-security-policy"].startswith("sandbox")
        assert got.headers["cache-control"].startswith("private")
        assert got.headers["server"] == "stow"


RANGES = [
    ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
    ("bytes=8-", 206, b"89", "bytes 8-9/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=5-999", 206, b"56789", "bytes 5-9/10"),
    ("bytes=5-18446744073709551615", 206, b"56789", "bytes 5-9/10"),
    ("bytes=-18446744073709551615", 206, b"0123456789", "bytes 0-9/10"),
    ("Bytes=5-6", 206, b"56", "bytes 5-6/10"),
    ("bytes=3-2", 200, b"0123456789", None),
    ("bytes=0-1,3-4", 200, b"0123456789", None),
    ("lines=0-1", 200, b"0123456789", None),
    ("bytes=", 200, b"0123456789", None),
    ("bytes=a-b", 200, b"0123456789", None),
    ("bytes=-", 200, b"0123456789", None),
    ("bytes=99999999999999999999-", 200, b"0123456789", None),
]


@pytest.mark.parametrize(("header", "status", "body", "content_range"), RANGES)
async def test_a_range_means_what_the_rfc_says(
    served: World, header: str, status: int, body: bytes, content_range: str | None
) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"0123456789")
    got = await served.ask("GET", f"{BASE}/objects/k", f"Range: {header}")
    assert (got.status, got.body, got.headers.get("content-range")) == (status, body, content_range)
    assert got.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("data", "header"),
    [(b"0123456789", "bytes=10-"), (b"0123456789", "bytes=-0"), (b"", "bytes=0-0"), (b"", "bytes=-5")],
)
async def test_an_unsatisfiable_range_is_416_with_the_size(served: World, data: bytes, header: str) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=data)
    got = await served.ask("GET", f"{BASE}/objects/k", f"Range: {header}")
    assert (got.status, got.headers["content-range"], got.json["code"]) == (
        416,
        f"bytes */{len(data)}",
        "range_not_satisfiable",
    )


CONDITIONS = [
    ("If-Match: {etag}", 200),
    ('If-Match: "x", {etag}', 200),
    ("If-Match: *", 200),
    ('If-Match: "*"', 412),
    ('If-Match: "other"', 412),
    ("If-Match: W/{etag}", 412),
    ("If-Match: nonsense", 400),
    ("If-None-Match: {etag}", 304),
    ("If-None-Match: W/{etag}", 304),
    ("If-None-Match: *", 304),
    ('If-None-Match: "other"', 200),
    ("If-None-Match: nonsense", 400),
    ("If-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT", 304),
    ("If-Modified-Since: Fri, 02 Jan 2026 03:04:04 GMT", 200),
    ("If-Modified-Since: yesterday", 200),
    ("If-Unmodified-Since: Fri, 02 Jan 2026 03:04:04 GMT", 412),
    ("If-Unmodified-Since: Fri, 02 Jan 2026 03:04:05 GMT", 200),
]


@pytest.mark.parametrize(("header", "status"), CONDITIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_read_conditions_mean_what_the_rfc_says(served: World, method: str, header: str, status: int) -> None:
    stored = await served.ask("PUT", f"{BASE}/objects/k", body=b"0123456789")
    got = await served.ask(method, f"{BASE}/objects/k", header.format(etag=stored.headers["etag"]))
    assert got.status == status
    if status == 304:
        assert (got.headers["etag"], got.body) == (stored.headers["etag"], b"")
        assert "content-length" not in got.headers


@pytest.mark.parametrize("stored", ["max-age=3600", None])
async def test_a_304_renews_what_a_cache_holds_with_the_headers_of_the_200(served: World, stored: str | None) -> None:
    """RFC 9110 15.4.5: or the cache takes the other Cache-Control from now on."""
    await served.ask("PUT", f"{BASE}/objects/k", *([f"Cache-Control: {stored}"] if stored else []), body=b"data")
    full = await served.ask("GET", f"{BASE}/objects/k")
    for method in ("GET", "HEAD"):
        got = await served.ask(method, f"{BASE}/objects/k", f"If-None-Match: {full.headers['etag']}")
        assert got.status == 304
        for name in ("cache-control", "etag", "last-modified"):
            assert got.headers[name] == full.headers[name]


@pytest.mark.parametrize(
    ("if_range", "status"),
    [("{etag}", 206), ('"other"', 200), ("W/{etag}", 200), ("Fri, 02 Jan 2026 03:04:05 GMT", 206), ("nonsense", 200)],
)
async def test_if_range_decides_about_the_range(served: World, if_range: str, status: int) -> None:
    stored = await served.ask("PUT", f"{BASE}/objects/k", body=b"0123456789")
    header = f"If-Range: {if_range.format(etag=stored.headers['etag'])}"
    got = await served.ask("GET", f"{BASE}/objects/k", "Range: bytes=0-3", header)
    assert (got.status, got.body) == (status, b"0123" if status == 206 else b"0123456789")


WRITES = [
    ("If-None-Match: *", False, 201),
    ("If-None-Match: *", True, 412),
    ("If-Match: {etag}", True, 200),
    ("If-Match: *", True, 200),
    ("If-Match: *", False, 412),
    ('If-Match: "other"', True, 412),
    ("If-Match: W/{etag}", True, 412),
    ('If-Match: "a", "b"', True, 400),
    ('If-None-Match: "a"', True, 400),
    ("If-Unmodified-Since: Fri, 02 Jan 2026 03:04:05 GMT", True, 400),
]


@pytest.mark.parametrize(("header", "exists", "status"), WRITES)
async def test_write_conditions_guard_the_object(served: World, header: str, exists: bool, status: int) -> None:
    etag = '"none"'
    if exists:
        etag = (await served.ask("PUT", f"{BASE}/objects/k", body=b"old")).headers["etag"]
    got = await served.ask("PUT", f"{BASE}/objects/k", header.format(etag=etag), body=b"new")
    assert got.status == status
    assert served.bytes_of("k") == (b"new" if status < 300 else b"old" if exists else None)


async def test_a_delete_with_if_match_deletes_that_version_only(served: World) -> None:
    etag = (await served.ask("PUT", f"{BASE}/objects/k", body=b"old")).headers["etag"]
    assert (await served.ask("DELETE", f"{BASE}/objects/k", 'If-Match: "x"')).status == 412
    assert (await served.ask("DELETE", f"{BASE}/objects/k", "If-None-Match: *")).status == 400
    assert (await served.ask("DELETE", f"{BASE}/objects/k", f"If-Match: {etag}")).status == 204
    assert (await served.ask("DELETE", f"{BASE}/objects/k")).status == 204


MD5_OF_OLD = base64.b64encode(hashlib.md5(b"old").digest()).decode()
BAD_PUTS = [
    (["Content-MD5: " + MD5_OF_OLD], b"other", 400, "checksum_mismatch"),
    (["Content-MD5: nonsense"], b"x", 400, "invalid_argument"),
    (["Content-MD5: AAAA"], b"x", 400, "invalid_argument"),
    (["Stow-Meta-A: 100%"], b"x", 400, "invalid_metadata"),
    (["Stow-Meta-A: %FF"], b"x", 400, "invalid_metadata"),
    (["Stow-Meta-A: \u00e9"], b"x", 400, "invalid_metadata"),
    (["Stow-Meta-A: 1", "stow-meta-a: 2"], b"x", 400, "invalid_metadata"),
    (["Stow-Meta-A_b: 1"], b"x", 400, "invalid_metadata"),
    (["Stow-Meta-A: " + "x" * 2100], b"x", 400, "invalid_metadata"),
    (["Content-Type: a", "Content-Type: b"], b"x", 400, "malformed_request"),
    (["Content-Range: bytes 0-0/2"], b"x", 400, "invalid_argument"),
    (["Expect: 200-ok"], b"x", 417, "expectation_failed"),
    ([], None, 411, "length_required"),
]


@pytest.mark.parametrize(("headers", "body", "status", "code"), BAD_PUTS)
async def test_a_put_that_is_not_right_stores_nothing(
    served: World, headers: list[str], body: bytes | None, status: int, code: str
) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"old")
    got = await served.ask("PUT", f"{BASE}/objects/k", *headers, body=body)
    assert (got.status, got.code, got.headers["content-type"]) == (status, code, "application/problem+json")
    assert served.bytes_of("k") == b"old"


async def test_a_right_content_md5_is_stored(served: World) -> None:
    assert (await served.ask("PUT", f"{BASE}/objects/k", f"Content-MD5: {MD5_OF_OLD}", body=b"old")).status == 200


@pytest.mark.parametrize("target", ["/objects/none", "/objects/%zz", "/objects/k"])
async def test_errors_of_head_have_the_headers_that_get_would_have(served: World, target: str) -> None:
    if target.endswith("/k"):
        served.access.granted = set()
    head, full = [await served.ask(method, BASE + target) for method in ("HEAD", "GET")]
    names = ("content-length", "content-type", "stow-error-code", "cache-control")
    assert head.status == full.status
    assert [head.headers[name] for name in names] == [full.headers[name] for name in names]


async def test_errors_of_head_have_a_code_and_no_body(served: World) -> None:
    got = await served.ask("HEAD", f"{BASE}/objects/none")
    assert (got.status, got.code, got.body) == (404, "object_not_found", b"")


async def test_a_listing_goes_page_by_page_to_its_end(served: World) -> None:
    for name in ("a/1", "a/2", "b", "c d"):
        await served.ask("PUT", f"{BASE}/objects/{quote(name)}", body=b"x")
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await served.ask("GET", f"{BASE}/objects?limit=1&delimiter=/{cursor}")).json
        seen += [o["key"] for o in page["objects"]] + page["prefixes"]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert seen == ["a/", "b", "c d"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid_argument"),
        ("limit=1001", "invalid_argument"),
        ("limit=-1", "invalid_argument"),
        ("limit=x", "invalid_argument"),
        ("limit=1&limit=2", "invalid_argument"),
        ("what=1", "invalid_argument"),
        ("prefix", "invalid_argument"),
        ("prefix=%zz", "invalid_argument"),
        ("cursor=abc", "invalid_cursor"),
        ("delimiter=ab", "invalid_argument"),
        ("prefix=%00", "invalid_key"),
    ],
)
async def test_a_listing_that_is_not_right_is_refused(served: World, query: str, code: str) -> None:
    got = await served.ask("GET", f"{BASE}/objects?{query}")
    assert (got.status, got.code) == (400, code)


async def test_a_cursor_of_another_listing_is_refused(served: World) -> None:
    for name in ("a1", "a2"):
        await served.ask("PUT", f"{BASE}/objects/{name}", body=b"x")
    cursor = (await served.ask("GET", f"{BASE}/objects?limit=1")).json["cursor"]
    assert (await served.ask("GET", f"{BASE}/objects?limit=1&prefix=a&cursor={cursor}")).code == "invalid_cursor"


async def test_a_copy_is_a_copy(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/one", "Content-Type: text/x", body=b"data")
    document = json.dumps({"source": {"key": "one"}, "destination": {"key": "two"}}).encode()
    got = await served.ask("POST", f"{BASE}/copy", body=document)
    assert (got.status, got.json["size"]) == (200, 4)
    copied = await served.ask("GET", f"{BASE}/objects/two")
    assert (copied.body, copied.headers["content-type"]) == (b"data", "text/x")
