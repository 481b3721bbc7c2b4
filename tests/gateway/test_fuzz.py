"""Properties over many inputs: no key is lost or changed, no bytes make the gateway fail or repeat them."""

from __future__ import annotations

import random
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.world import BASE, TOKEN, World, request
from stow.errors import StowError
from stow.gateway.problems import Refusal, problem_of
from stow.gateway.routes import parse_route

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(KEYS)
def test_any_key_goes_through_path_and_query_unchanged(key: str) -> None:
    for target in (f"{BASE}/objects/{quote(key, safe='')}", f"{BASE}/object?key={quote(key, safe='')}"):
        assert parse_route("GET", target).key == key


@given(KEYS.filter(lambda key: not set(key) & set("?#%")))
def test_a_key_is_not_rewritten_where_it_is_not_encoded(key: str) -> None:
    assert parse_route("GET", f"{BASE}/objects/{key}").key == key


@given(st.text(max_size=80))
def test_any_target_is_a_route_or_a_clear_refusal(target: str) -> None:
    for method in ("GET", "PUT"):
        assert outcome(method, f"/v1/namespaces/team/{target}") in {200, 400, 404, 405}


def outcome(method: str, target: str) -> int:
    try:
        parse_route(method, target)
    except (StowError, Refusal) as error:
        return problem_of(error).status
    return 200


FRAGMENTS = [
    f"GET {BASE}/objects HTTP/1.1\r\n".encode(),
    f"PUT {BASE}/objects/k HTTP/1.1\r\n".encode(),
    b"Host: g\r\n",
    f"Authorization: Bearer {TOKEN}\r\n".encode(),
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Range: bytes=0-\r\n",
    b'If-Match: "a"\r\n',
    b"\r\n",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"\x00",
    b"\xff\xfe",
    b": \r\n",
    b" x\r\n",
]


@pytest.mark.parametrize("seed", range(60))
async def test_any_mixture_of_fragments_is_answered_or_closed_and_nothing_fails(
    served: World, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    picked = random.Random(seed)
    data = b"".join(picked.choice(FRAGMENTS) for _ in range(picked.randrange(1, 12)))
    async with served.wire() as wire:
        wire.send(data)
        wire.writer.write_eof()
        said = await wire.closed(timeout_s=5)
    assert b" 500 " not in said
    assert TOKEN.encode() not in said
    assert TOKEN not in caplog.text
    assert "a request failed" not in caplog.text
    async with served.wire() as wire:
        wire.send(request("GET", "/healthz"))
        assert (await wire.answer()).status == 200
