"""A requests session of an SDK: its requests go over the driver's connections and nowhere else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError

import pytest
from yarl import URL

from servers.stub import HANG, http, serve
from stow.errors import BackendError, BackendTimeoutError, BackendUnreachableError, EndpointForbiddenError, StowError
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.transport.connections import Answer, Connections
from stow.transport.deadlines import Deadlines
from stow.transport.faults import transport_error
from stow.transport.requests_session import requests_session
from stow.transport.threads import Threads


class Sdk:
    """What a driver has: connections, threads and a session."""

    def __init__(self, egress: EgressPolicy, *, request_s: float = 5.0) -> None:
        deadlines = Deadlines(connect_s=2, idle_s=2, request_s=request_s)
        self.connections = Connections(deadlines=deadlines, egress=egress)
        self.threads = Threads("test-sdk", threads=2, request_s=request_s, foreign=transport_error)
        self.session = requests_session(self.threads, self._carry)

    async def _carry(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        return await self.connections.carry(method, url, headers=headers, body=body)

    async def aclose(self) -> None:
        await self.connections.aclose()
        await self.threads.aclose()


OPEN = EgressPolicy(allowed=LOOPBACK)


async def test_a_request_and_its_answer_come_through_as_they_are() -> None:
    async with serve(lambda _: http(201, body=b"answer", x_test="yes")) as stub:
        sdk = Sdk(OPEN)
        answer = await sdk.threads.run(
            lambda: sdk.session.post(f"{stub.endpoint}/a?b=c%20d", data=b"asked", headers={"X-Own": "1"})
        )
        await sdk.aclose()
    (seen,) = stub.requests
    assert (seen.method, seen.target, seen.body, seen.headers["x-own"]) == ("POST", "/a?b=c%20d", b"asked", "1")
    assert (answer.status_code, answer.content, answer.headers["X-Test"]) == (201, b"answer", "yes")


async def test_the_environment_and_a_netrc_change_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("HOME", str(home))
    async with serve(lambda _: http()) as proxy, serve(lambda _: http()) as stub:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.endpoint)
        sdk = Sdk(OPEN)
        await sdk.threads.run(lambda: sdk.session.get(stub.endpoint))
        await sdk.aclose()
    assert proxy.requests == []
    assert "authorization" not in stub.requests[0].headers


async def test_a_redirect_is_never_followed() -> None:
    async with (
        serve(lambda _: http()) as other,
        serve(lambda _: http(302, location=other.endpoint)) as stub,
    ):
        sdk = Sdk(OPEN)
        with pytest.raises(BackendError, match="redirects"):
            await sdk.threads.run(lambda: sdk.session.get(stub.endpoint))
        await sdk.aclose()
    assert other.requests == []


async def test_a_cookie_is_never_kept() -> None:
    async with serve(lambda _: http(set_cookie="a=b")) as stub:
        sdk = Sdk(OPEN)
        for _ in range(2):
            await sdk.threads.run(lambda: sdk.session.get(stub.endpoint))
        await sdk.aclose()
    assert ["cookie" in seen.headers for seen in stub.requests] == [False, False]


async def test_a_denied_address_opens_no_socket() -> None:
    async with serve(lambda _: http()) as stub:
        sdk = Sdk(EgressPolicy())
        with pytest.raises(EndpointForbiddenError):
            await sdk.threads.run(lambda: sdk.session.get(stub.endpoint))
        await sdk.aclose()
    assert stub.requests == []


async def test_a_cancelled_call_ends_its_request_at_the_server() -> None:
    async with serve(lambda _: HANG) as stub:
        sdk = Sdk(OPEN)
        task = asyncio.create_task(sdk.threads.run(lambda: sdk.session.get(stub.endpoint)))
        await asyncio.wait_for(stub.begun.get(), 5)
        task.cancel()
        await asyncio.wait_for(stub.gone.get(), 1)
        with pytest.raises(asyncio.CancelledError):
            await task
        await sdk.aclose()


async def test_a_call_past_its_deadline_is_a_timeout_and_sends_nothing_more() -> None:
    async with serve(lambda _: HANG) as stub:
        sdk = Sdk(OPEN, request_s=0.3)
        late: list[BaseException] = []
        over = threading.Event()

        def twice() -> None:
            try:
                sdk.session.get(stub.endpoint)
            except CancelledError:
                try:
                    sdk.session.get(stub.endpoint)
                except StowError as error:
                    late.append(error)
                    raise
            finally:
                over.set()

        with pytest.raises(BackendTimeoutError):
            await sdk.threads.run(twice)
        await asyncio.to_thread(over.wait, 5)
        await sdk.aclose()
    assert len(stub.requests) == 1
    assert isinstance(late[0], BackendTimeoutError)


async def test_closed_connections_say_so() -> None:
    async with serve(lambda _: http()) as stub:
        sdk = Sdk(OPEN)
        await sdk.connections.aclose()
        with pytest.raises(BackendUnreachableError):
            await sdk.threads.run(lambda: sdk.session.get(stub.endpoint))
        await sdk.aclose()
