"""Requests to the API server: deadlines, errors that tell no names and repeat no answer, paths that names cannot leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from stow.errors import ControlPlaneError
from stow.kube.rest import collection_path, lines, object_path, requests

SECRET_PATH = object_path("Secret", "planted-namespace", "planted-name")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Gives one answer to everything."""

    def __init__(self) -> None:
        self.answer: Answer = self.hang
        self.ended = asyncio.Event()

    async def hang(self, _: web.Request) -> web.StreamResponse:
        await self.ended.wait()
        return web.Response()

    async def drip(self, request: web.Request) -> web.StreamResponse:
        """A byte now and then: no read ever takes long, the whole never ends."""
        response = web.StreamResponse()
        await response.prepare(request)
        while not self.ended.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.01)
        return response


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[ApiClient]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await server.answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    async with ApiClient(Configuration(host=f"http://{host}:{port}")) as client:
        yield client
    server.ended.set()
    await runner.cleanup()


@pytest.mark.parametrize("how", ["hang", "drip"])
async def test_an_answer_that_does_not_come_ends_at_the_deadline(server: Server, api: ApiClient, how: str) -> None:
    server.answer = getattr(server, how)
    with pytest.raises(ControlPlaneError, match="in time") as raised:
        await requests(api, timeout_s=0.1)("GET", SECRET_PATH)
    assert raised.value.retryable


async def test_a_watch_that_is_not_answered_ends_at_its_deadline(api: ApiClient) -> None:
    with pytest.raises(ControlPlaneError, match="in time"):
        async with lines(api, SECRET_PATH, query=[], connect_timeout_s=0.1, idle_timeout_s=5):
            pass


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 429, 500, 503])
async def test_an_error_tells_the_status_the_verb_and_the_resource_and_nothing_else(
    server: Server, api: ApiClient, status: int
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "message": "planted-message"}, status=status)

    server.answer = answer
    with pytest.raises(ControlPlaneError) as raised:
        await requests(api)("GET", SECRET_PATH)
    assert raised.value.status == status
    assert f"{status} to GET secrets" in raised.value.message
    assert "planted" not in raised.value.message


@pytest.mark.parametrize("body", [b"planted, no JSON", b"[]", b"", b"7", b"\xff"])
async def test_an_answer_that_is_no_object_is_an_error(server: Server, api: ApiClient, body: bytes) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    server.answer = answer
    with pytest.raises(ControlPlaneError) as raised:
        await requests(api)("GET", SECRET_PATH)
    assert raised.value.status is None
    assert "planted" not in raised.value.message


async def test_a_server_that_is_not_there_is_an_error() -> None:
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as api:
        with pytest.raises(ControlPlaneError, match="cannot be reached"):
            await requests(api)("GET", SECRET_PATH)


async def test_cancelling_a_request_is_no_error_of_the_api_server(server: Server, api: ApiClient) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.set()
        return await server.hang(request)

    server.answer = answer
    task = asyncio.create_task(requests(api)("GET", SECRET_PATH))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("name", ["../../../api/v1/secrets", "a/b", "a?watch=true", "a#b", "%2e%2e"])
def test_a_name_stays_one_segment_of_the_path(name: str) -> None:
    path = object_path("Secret", "team", name)
    assert path.count("/") == object_path("Secret", "team", "x").count("/")
    assert not set("?#") & set(path)


def test_paths_of_all_kinds() -> None:
    assert collection_path("StowContainer") == "/apis/stowstore.io/v1alpha1/stowcontainers"
    assert object_path("StowLocation", "team", "x") == "/apis/stowstore.io/v1alpha1/namespaces/team/stowlocations/x"
    assert object_path("ClusterStowLocation", None, "x") == "/apis/stowstore.io/v1alpha1/clusterstowlocations/x"
    assert object_path("Namespace", None, "x") == "/api/v1/namespaces/x"
