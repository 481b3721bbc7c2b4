"""Tokens: fetched once for all who wait, renewed before their end, held against the configuration, and never seen."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drivers.swift.setup import PROJECT, Cloud, Counter, catalog, endpoint, put, put_answer, server_driver, stub_driver
from servers.stub import Seen, http, serve
from servers.swift import start_swift
from stow.dev.processes import ProcessGroup
from stow.drivers.swift.config import ApplicationCredential, Interface, V1User
from stow.errors import (
    AccessDeniedError,
    BackendError,
    BackendFailedError,
    BackendThrottledError,
    CredentialsInvalidError,
    EndpointForbiddenError,
    InvalidSpecError,
    StowError,
)
from stow.storage.egress import EgressPolicy
from stow.transport.connections import Outside


class Now:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def seen_by_swift(requests: Sequence[Seen]) -> list[Seen]:
    return [seen for seen in requests if not seen.target.endswith("/auth/tokens")]


async def test_thirty_two_callers_share_one_token() -> None:
    cloud = Cloud()
    async with serve(cloud) as stub:
        driver = stub_driver(stub.endpoint)
        assert all(await asyncio.gather(*(driver.container_exists("c") for _ in range(32))))
        await driver.aclose()
    assert cloud.tokens == ["token-canary-1"]
    assert {seen.headers["x-auth-token"] for seen in seen_by_swift(stub.requests)} == {"token-canary-1"}


async def test_a_token_is_renewed_once_before_its_end() -> None:
    now = Now()
    cloud = Cloud(life=timedelta(seconds=8), clock=now)
    async with serve(cloud) as stub:
        driver = stub_driver(stub.endpoint, clock=now)
        for _ in range(3):
            await asyncio.gather(*(driver.container_exists("c") for _ in range(32)))
            now.now += timedelta(seconds=7)  # within the last quarter of its life
        await driver.aclose()
    assert len(cloud.tokens) == 3
    assert [seen.headers["x-auth-token"] for seen in seen_by_swift(stub.requests)] == [
        f"token-canary-{n}" for n in (1, 2, 3) for _ in range(32)
    ]


async def test_a_token_that_ended_early_is_replaced_once_and_the_request_goes_out_again() -> None:
    def revoked(seen: Seen) -> bytes:
        first = seen.headers["x-auth-token"] == "token-canary-1"
        return http(401) if first else put_answer(seen.body) if seen.method == "PUT" else http(204)

    cloud = Cloud(swift=revoked)
    async with serve(cloud) as stub:
        driver = stub_driver(stub.endpoint)
        await asyncio.gather(*(driver.container_exists("c") for _ in range(16)))
        await driver.aclose()
        assert cloud.tokens == ["token-canary-1", "token-canary-2"]
        cloud.tokens.clear()
        driver = stub_driver(stub.endpoint)
        assert (await put(driver, "c", "k", b"data")).size_bytes == 4
        await driver.aclose()
    assert [seen.method for seen in stub.requests[-4:]] == ["POST", "PUT", "POST", "PUT"]


async def test_a_backend_that_takes_no_token_is_asked_twice_and_not_for_ever() -> None:
    cloud = Cloud(swift=lambda _: http(401))
    async with serve(cloud) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(CredentialsInvalidError):
            await driver.container_exists("c")
        await driver.aclose()
    assert len(seen_by_swift(stub.requests)) == len(cloud.tokens) == 2


async def test_a_real_swift_forgets_tokens_and_the_driver_gets_others(
    find_program: Callable[[str], Path], processes: ProcessGroup, counter: Counter
) -> None:
    """The clock of this driver moves a second with each token, so it takes them for good until they are refused."""
    server = start_swift(processes, find_program("swift"), name="swift-tokens", token_life_s=2)
    clock = Now()
    begun = clock.now
    driver = server_driver(server, counter=counter, clock=clock)
    await driver.create_container("tokens", None)
    async with asyncio.timeout(20):
        while (fetched := counter.paths.count("/auth/v1.0")) < 3:
            clock.now = begun + timedelta(seconds=fetched)
            assert (await put(driver, "tokens", "k", b"1")).size_bytes == 1
            assert (await driver.head("tokens", "k")).size_bytes == 1
            await asyncio.sleep(0.1)
    await driver.aclose()
    processes.stop(server.process)


async def test_the_catalog_is_searched_by_region_and_interface() -> None:
    cloud = Cloud()
    async with serve(cloud) as stub:
        cloud.catalog = [
            {"type": "compute", "name": "nova", "endpoints": [endpoint(f"{stub.endpoint}/wrong")]},
            *catalog(
                endpoint(f"{stub.endpoint}/v1/one"),
                endpoint(f"{stub.endpoint}/v1/two-public", region="Two"),
                endpoint(f"{stub.endpoint}/v1/two-internal", region="Two", interface="internal"),
            ),
        ]
        for changes, path in (
            ({"region": "One"}, "/v1/one"),
            ({"region": "Two"}, "/v1/two-public"),
            ({"region": "Two", "interface": Interface.INTERNAL}, "/v1/two-internal"),
            ({}, "/v1/one"),
        ):
            driver = stub_driver(stub.endpoint, **changes)
            await driver.container_exists("c")
            await driver.aclose()
            assert stub.requests[-1].target == f"{path}/c"
        for changes in ({"region": "Three"}, {"region": "One", "interface": Interface.ADMIN}):
            driver = stub_driver(stub.endpoint, **changes)
            with pytest.raises(InvalidSpecError, match="no object store"):
                await driver.container_exists("c")
            await driver.aclose()


async def test_what_keystone_is_told() -> None:
    cloud = Cloud()
    async with serve(cloud) as stub:
        for changes in (
            {"user_domain_name": "Users"},
            {"project_id": None, "project_name": "team", "project_domain_name": "Default"},
            {"credentials": ApplicationCredential("app-id", "secret-canary")},
        ):
            driver = stub_driver(f"{stub.endpoint}/v3", **changes)  # type: ignore[arg-type]  # a table of mixed changes
            await driver.container_exists("c")
            await driver.aclose()
    asked = [json.loads(seen.body)["auth"] for seen in stub.requests if seen.method == "POST"]
    assert {seen.target for seen in stub.requests if seen.method == "POST"} == {"/v3/auth/tokens"}
    assert asked[0]["identity"]["password"]["user"] == {
        "name": "user",
        "password": "password-canary",
        "domain": {"name": "Users"},
    }
    assert asked[0]["scope"] == {"project": {"id": PROJECT}}
    assert asked[1]["scope"] == {"project": {"name": "team", "domain": {"name": "Default"}}}
    assert asked[2] == {
        "identity": {
            "methods": ["application_credential"],
            "application_credential": {"id": "app-id", "secret": "secret-canary"},
        }
    }


@pytest.mark.parametrize("changes", [{"project_id": "other"}, {"project_id": None, "project_name": "other"}])
async def test_a_token_of_another_project_is_refused(changes: dict[str, Any]) -> None:
    async with serve(Cloud()) as stub:
        driver = stub_driver(stub.endpoint, credentials=ApplicationCredential("app-id", "secret-canary"), **changes)
        with pytest.raises(CredentialsInvalidError, match="another project"):
            await driver.container_exists("c")
        await driver.aclose()
    assert seen_by_swift(stub.requests) == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/v1/a",
        "http://user:pass@127.0.0.1/v1/a",
        "http://127.0.0.1/v1/a?x=y",
        "/v1/a",
        "http://",
        "http://127.0.0.1/v1/a b",
        "\n",
    ],
)
async def test_a_malformed_storage_url_is_refused(url: str) -> None:
    async with serve(Cloud(storage=url)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(BackendFailedError) as raised:
            await driver.container_exists("c")
        await driver.aclose()
    assert url not in repr(raised.value) or url == "\n"
    assert seen_by_swift(stub.requests) == []


async def test_a_storage_url_at_a_denied_address_is_not_connected_to() -> None:
    async with serve(Cloud(storage="http://169.254.169.254/v1/a")) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(EndpointForbiddenError):
            await driver.container_exists("c")
        await driver.aclose()


@pytest.mark.parametrize("endpoint_url", ["http://127.0.0.1/v3", "http://[::1]:5000/v3", "http://2130706433/v3"])
def test_an_auth_url_at_a_denied_address_makes_no_driver(endpoint_url: str) -> None:
    with pytest.raises(EndpointForbiddenError):
        stub_driver(endpoint_url, egress=EgressPolicy())


async def test_a_name_that_resolves_to_a_denied_address_later_opens_no_socket() -> None:
    """For tokens, for objects, and for the first token that a signature needs."""
    cloud = Cloud()
    async with serve(cloud) as stub:
        port = stub.endpoint.rpartition(":")[2]
        answers = ["127.0.0.1"]

        async def resolve(host: str, port: int) -> Sequence[str]:
            return [answers.pop(0)] if answers else ["169.254.169.254"]

        driver = stub_driver(
            f"http://cloud.example:{port}", outside=Outside(resolve=resolve, jitter=lambda: 0.0), max_connections=1
        )
        assert await driver.container_exists("c")  # the token's connection is used on
        await driver.aclose()
        before = stub.connections
        driver = stub_driver(f"http://cloud.example:{port}", outside=Outside(resolve=resolve), temp_url_key="k")
        with pytest.raises(EndpointForbiddenError):
            await driver.container_exists("c")
        with pytest.raises(EndpointForbiddenError):
            await driver.probe(None)
        await driver.aclose()
        assert stub.connections == before


async def test_keystone_is_not_followed_to_another_place() -> None:
    async with serve(lambda _: http(204)) as elsewhere:
        cloud = Cloud(keystone=lambda _: http(307, location=f"{elsewhere.endpoint}/v3/auth/tokens"))
        async with serve(cloud) as stub:
            driver = stub_driver(stub.endpoint)
            with pytest.raises(BackendError, match="redirects"):
                await driver.container_exists("c")
            await driver.aclose()
        assert elsewhere.requests == []


CANARY = "CANARY-of-keystone"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http(401, CANARY.encode()), CredentialsInvalidError),
        (http(403, CANARY.encode()), AccessDeniedError),
        (http(404, CANARY.encode()), InvalidSpecError),
        (http(300, CANARY.encode()), InvalidSpecError),
        (http(429, CANARY.encode()), BackendThrottledError),
        (http(500, CANARY.encode()), BackendFailedError),
        (http(200, CANARY.encode()), BackendFailedError),
        (http(201, b"{}"), BackendFailedError),
        (http(201, b'{"token": []}', x_subject_token="t"), BackendFailedError),
        (http(201, b'{"token": {"catalog": 7}}'), BackendFailedError),
        (http(201, b"[" * 200_000, x_subject_token="t", content_type="application/json"), BackendFailedError),
    ],
)
async def test_what_keystone_says_is_reduced_to_one_of_ours(
    answer: bytes, expected: type[StowError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve(Cloud(keystone=lambda _: answer)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(expected) as raised:
            await driver.container_exists("c")
        await driver.aclose()
    chain: list[BaseException] = []
    error: BaseException | None = raised.value
    while error is not None:
        assert error not in chain  # whoever walks it must come to an end
        chain.append(error)
        error = error.__cause__ or error.__context__
    told = "".join(repr(each) + str(getattr(each, "__dict__", "")) for each in chain)
    assert not any(secret in told + caplog.text for secret in (CANARY, "password-canary", "127.0.0.1"))


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([http(503), http(500)], 3),
        ([http(503)] * 3, 3),
        ([http(503, retry_after="9")], 1),  # behind the deadline
        ([http(401)], 1),
        ([http(403)], 1),
    ],
)
async def test_a_token_is_asked_for_three_times_at_most(answers: list[bytes], asked: int) -> None:
    """However often the request that needs it might be repeated."""
    left = list(answers)
    cloud = Cloud()
    cloud.keystone = lambda seen: left.pop(0) if left else cloud.token(seen)
    async with serve(cloud) as stub:
        driver = stub_driver(stub.endpoint)
        if len(answers) == 2:
            assert await driver.container_exists("c")
        else:
            with pytest.raises(StowError):
                await driver.container_exists("c")
        await driver.aclose()
    assert len([seen for seen in stub.requests if seen.method == "POST"]) == asked


async def test_the_authentications_wish_for_patience_is_granted() -> None:
    left = [http(429, retry_after="1")]
    cloud = Cloud()
    cloud.keystone = lambda seen: left.pop() if left else cloud.token(seen)
    async with serve(cloud) as stub:
        driver = stub_driver(stub.endpoint)
        begun_s = asyncio.get_running_loop().time()
        assert await driver.container_exists("c")
        assert asyncio.get_running_loop().time() - begun_s >= 1
        await driver.aclose()


async def test_tokens_and_keys_show_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve(Cloud()) as stub:
        driver = stub_driver(stub.endpoint)
        await driver.container_exists("c")
        shown = repr(driver._tokens._given)
        await driver.aclose()
    assert not any(secret in caplog.text + shown for secret in ("token-canary", "password-canary"))


async def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("OS_AUTH_URL", "OS_CLOUD", "OS_TOKEN", "ST_AUTH", "http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://canary.invalid:1")
    async with serve(Cloud()) as stub:
        driver = stub_driver(stub.endpoint)
        assert await driver.container_exists("c")
        await driver.aclose()
    assert not any("canary" in value for value in stub.requests[0].headers.values())


async def test_v1_needs_its_two_headers() -> None:
    answers = {
        "token": http(200, x_auth_token="t"),
        "url": http(200, x_storage_url="http://127.0.0.1:1/v1/a"),
        "refused": http(401),
    }
    for name, expected in (
        ("token", BackendFailedError),
        ("url", BackendFailedError),
        ("refused", CredentialsInvalidError),
    ):
        async with serve(lambda _, name=name: answers[name]) as stub:  # type: ignore[misc]  # the loop's own value
            driver = stub_driver(f"{stub.endpoint}/auth/v1.0", credentials=V1User("a:u", "key-canary"))
            with pytest.raises(expected):
                await driver.container_exists("c")
            await driver.aclose()


async def test_a_closed_driver_leaves_no_renewal() -> None:
    async with serve(Cloud(keystone=lambda _: b"hang")) as stub:
        driver = stub_driver(stub.endpoint)
        asking = asyncio.create_task(driver.container_exists("c"))
        await stub.begun.get()
        await driver.aclose()
        with pytest.raises((StowError, asyncio.CancelledError)):
            await asking
        await stub.gone.get()
        assert [task for task in asyncio.all_tasks() if "Renewing" in repr(task.get_coro())] == []
