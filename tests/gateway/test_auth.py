"""Who is asking: strict parsing, caches that forget in time, and 503 - never yes, never no - while nobody can be asked."""

from __future__ import annotations

import asyncio

import pytest

from gateway.world import BASE, FAST, TOKEN, World, request, until
from stow.gateway.ports import Identity
from stow.gateway.settings import Caching, GatewaySettings, Limits

LIST = f"{BASE}/objects"

MALFORMED = [
    (["Authorization: canary-token"], 401),
    (["Authorization: Basic canary-token"], 401),
    (["Authorization: Bearer"], 401),
    (["Authorization: Bearer "], 401),
    (["Authorization: Bearer canary-token x"], 401),
    (["Authorization: Bearer canary token"], 401),
    (["Authorization: Bearer canary\u00fctoken"], 401),
    (["Authorization: Bearer canary,token"], 401),
    (["Authorization: Bearer =canary"], 401),
    (["Authorization: Bearer canary-one", "Authorization: Bearer canary-two"], 400),
    ([], 401),
]


@pytest.mark.parametrize(("headers", "status"), MALFORMED)
async def test_a_malformed_authorization_is_refused_without_asking_anybody(
    served: World, headers: list[str], status: int
) -> None:
    got = await served.ask("GET", LIST, *headers, token=None)
    assert got.status == status
    assert served.tokens.asked == []
    assert b"canary" not in got.raw
    if status == 401:
        assert got.headers["www-authenticate"] == "Bearer"


async def test_a_foreign_token_is_told_which_volume_to_add(served: World) -> None:
    got = await served.ask("GET", LIST, token="of-another-audience")
    assert (got.status, got.code) == (401, "unauthenticated")
    assert got.headers["www-authenticate"] == "Bearer"
    for text in ("serviceAccountToken", "audience: stowstore.io", "/var/run/secrets/stowstore.io"):
        assert text in got.json["detail"]


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer", "Bearer  "])
async def test_the_scheme_is_case_insensitive(served: World, scheme: str) -> None:
    assert (await served.ask("GET", LIST, f"Authorization: {scheme} {TOKEN}", token=None)).status == 200


async def test_a_token_is_reviewed_once_a_minute_and_not_longer_believed(served: World) -> None:
    for _ in range(3):
        assert (await served.ask("GET", LIST)).status == 200
    assert len(served.tokens.asked) == 1
    served.tokens.known.clear()
    served.clock.forward(59)
    assert (await served.ask("GET", LIST)).status == 200
    served.clock.forward(2)
    assert (await served.ask("GET", LIST)).status == 401
    assert len(served.tokens.asked) == 2


async def test_a_refused_token_is_remembered_for_seconds_only(served: World) -> None:
    assert (await served.ask("GET", LIST, token="soon-good")).status == 401
    assert (await served.ask("GET", LIST, token="soon-good")).status == 401
    assert served.tokens.asked == ["soon-good"]
    served.tokens.known["soon-good"] = served.tokens.known[TOKEN]
    served.clock.forward(4)
    assert (await served.ask("GET", LIST, token="soon-good")).status == 200


async def test_a_right_that_is_taken_away_is_gone_within_a_minute(served: World) -> None:
    assert (await served.ask("GET", LIST)).status == 200
    asked = len(served.access.asked)
    assert (await served.ask("GET", LIST)).status == 200
    assert len(served.access.asked) == asked
    served.access.granted.clear()
    served.clock.forward(60)
    assert (await served.ask("GET", LIST)).status == 403
    served.access.granted = {("list", "objects")}
    served.clock.forward(4)
    assert (await served.ask("GET", LIST)).status == 200


async def test_concurrent_askers_share_one_review(served: World) -> None:
    served.tokens.gate = asyncio.Event()
    asks = [asyncio.create_task(served.ask("GET", LIST)) for _ in range(10)]
    await until(lambda: len(served.tokens.asked) == 1)
    await asyncio.sleep(0.05)
    served.tokens.gate.set()
    assert {(await each).status for each in asks} == {200}
    assert len(served.tokens.asked) == 1


async def test_an_asker_that_goes_away_does_not_end_the_review_for_the_others(served: World) -> None:
    served.tokens.gate = asyncio.Event()
    async with served.wire() as first:
        first.send(f"GET {LIST} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        await until(lambda: len(served.tokens.asked) == 1)
        second = asyncio.create_task(served.ask("GET", LIST))
        await asyncio.sleep(0.05)
    await until(lambda: [line["code"] for line in served.audit] == ["client_closed"])
    served.tokens.gate.set()
    assert (await second).status == 200
    assert len(served.tokens.asked) == 1


@pytest.mark.parametrize("which", ["tokens", "access"])
async def test_while_nobody_can_be_asked_the_answer_is_503_and_nothing_else(served: World, which: str) -> None:
    port = served.tokens if which == "tokens" else served.access
    port.error = RuntimeError("canary https://10.0.0.1 secret")
    for method, target in (("GET", LIST), ("PUT", f"{BASE}/objects/k"), ("DELETE", f"{BASE}/objects/k")):
        got = await served.ask(method, target, body=b"x" if method == "PUT" else None)
        assert (got.status, got.code) == (503, "auth_unavailable")
        assert "retry-after" in got.headers
        assert b"canary" not in got.raw
    assert served.bytes_of("k") is None
    port.error = None
    assert (await served.ask("GET", LIST)).status == 200


async def test_a_review_without_an_answer_ends_at_its_deadline(world: World) -> None:
    world.tokens.gate = asyncio.Event()
    async with world.serving(GatewaySettings(deadlines=FAST, drain_grace_s=0.2)):
        got = await world.ask("GET", LIST)
    assert (got.status, got.code) == (503, "auth_unavailable")


async def test_invented_tokens_cannot_flood_the_api_server(world: World) -> None:
    world.tokens.gate = asyncio.Event()
    settings = GatewaySettings(limits=Limits(max_reviews=3), drain_grace_s=0.2)
    async with world.serving(settings):
        asks = [asyncio.create_task(world.ask("GET", LIST, token=f"invented-{n}")) for n in range(8)]
        await until(lambda: sum(each.done() for each in asks) == 5)
        world.tokens.gate.set()
        statuses = sorted([(await each).status for each in asks])
    assert statuses == [401] * 3 + [503] * 5
    assert len(world.tokens.asked) == 3


def made_up(number: int) -> str:
    return f"/v1/namespaces/team/containers/made-up-{number}/objects"


async def test_one_identity_with_many_questions_shuts_out_nobody(world: World) -> None:
    mallory = Identity("system:serviceaccount:other:mallory", "uid-mallory")
    world.tokens.known["mallory"] = mallory
    world.access.gate, world.access.held = asyncio.Event(), frozenset({mallory.user})
    settings = GatewaySettings(limits=Limits(max_reviews=4, max_reviews_each=2), drain_grace_s=0.2)
    async with world.serving(settings):
        async with world.wire() as gone:  # going away makes no room for more
            gone.send(request("GET", made_up(99), token="mallory"))
            await until(lambda: len(world.access.asked) == 1)
        asks = [asyncio.create_task(world.ask("GET", made_up(n), token="mallory")) for n in range(8)]
        await until(lambda: len(world.access.asked) == 2)
        assert (await world.ask("GET", LIST)).status == 200
        assert sum(user == mallory.user for user, *_ in world.access.asked) == 2
        world.access.gate.set()
        assert {(await each).status for each in asks} == {404}
    assert sum(user == mallory.user for user, *_ in world.access.asked) == 9


async def test_invented_tokens_from_one_address_wait_behind_each_other(world: World) -> None:
    world.tokens.gate = asyncio.Event()
    settings = GatewaySettings(limits=Limits(max_reviews=4, max_reviews_each=2), drain_grace_s=0.2)
    async with world.serving(settings):
        asks = [asyncio.create_task(world.ask("GET", LIST, token=f"invented-{n}")) for n in range(8)]
        await until(lambda: len(world.tokens.asked) == 2)
        other = asyncio.create_task(world.ask("GET", LIST, source="127.0.0.2"))
        await until(lambda: TOKEN in world.tokens.asked)
        assert len(world.tokens.asked) == 3
        world.tokens.gate.set()
        assert {(await each).status for each in asks} == {401}
        assert (await other).status == 200


async def test_the_cache_is_bounded(world: World) -> None:
    settings = GatewaySettings(caching=Caching(max_entries=2), drain_grace_s=0.2)
    async with world.serving(settings):
        for token in ("a1", "a2", "a3", "a1"):
            await world.ask("GET", LIST, token=token)
    assert world.tokens.asked == ["a1", "a2", "a3", "a1"]
