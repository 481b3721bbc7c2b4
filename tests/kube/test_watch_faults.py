"""Watcher against a server that misbehaves as API servers and the networks before them do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from kubehelp import until
from stow.kube.cache import ObjectCache
from stow.kube.watch import Watcher, WatchSettings

KIND = "StowLocation"
PATH = "/apis/stowstore.io/v1alpha1/stowlocations"
SCRIPT_END_S = 30.0


def raw(name: str, version: int) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-of-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": "2030-01-01T00:00:00Z",
        }
    }


def listing(*names: str, version: int, more: str = "") -> dict[str, Any]:
    return {
        "metadata": {"resourceVersion": str(version), "continue": more},
        "items": [raw(name, version) for name in names],
    }


def event(kind: str, item: Any) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedServer:
    """Gives the lists and watches that the script holds, in order; then an empty watch that stays open."""

    def __init__(self) -> None:
        self.lists: list[dict[str, Any] | int] = []
        self.watches: list[list[bytes] | int] = []
        self.hold_open = False
        """Whether a scripted watch stays open, silent, after its lines."""
        self.asked: list[dict[str, str]] = []
        self.url = ""
        self._closed = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.path == PATH
        self.asked.append(dict(request.query))
        if "watch" not in request.query:
            answer = self.lists.pop(0)
            return web.json_response(status=answer) if isinstance(answer, int) else web.json_response(answer)
        lines = self.watches.pop(0) if self.watches else None
        if isinstance(lines, int):
            return web.json_response({"kind": "Status"}, status=lines)
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines or ():
            await response.write(line)
        if lines is None or self.hold_open:
            await self._closed.wait()
        return response

    async def __aenter__(self) -> ScriptedServer:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # a started site has a server
        self.url = f"http://127.0.0.1:{self.url}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed.set()
        await self._runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as started:
        yield started


class Pauses:
    """Ends every pause at once and remembers how long it would have been."""

    def __init__(self) -> None:
        self.lengths_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.lengths_s.append(seconds)
        await asyncio.sleep(0)


async def watched(
    server: ScriptedServer, holds: Callable[[ObjectCache], bool], *, idle_timeout_s: float = 30.0
) -> tuple[ObjectCache, Pauses]:
    """Run a watcher on the script until the cache is as it should be."""
    cache, pauses = ObjectCache([KIND]), Pauses()
    async with ApiClient(Configuration(host=server.url)) as api:
        settings = WatchSettings(idle_timeout_s=idle_timeout_s)
        watcher = Watcher(api, cache, settings, kinds=[KIND], sleep=pauses, uniform=lambda _, high: high)
        task = asyncio.create_task(watcher.run())
        try:
            await until(cache, lambda: holds(cache), within_s=SCRIPT_END_S)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return cache, pauses


def names(cache: ObjectCache) -> set[str]:
    return {s.ref.name for s in cache.list(KIND)}


@pytest.mark.parametrize(
    "expired", [pytest.param(410, id="answer"), pytest.param([event("ERROR", {"code": 410})], id="event")]
)
async def test_an_expired_version_costs_a_new_list_that_removes_what_went(
    server: ScriptedServer, expired: list[bytes] | int
) -> None:
    server.lists = [listing("kept", "gone", version=5), listing("kept", "new", version=90)]
    server.watches = [expired]
    await watched(server, lambda cache: names(cache) == {"kept", "new"})
    assert [q.get("resourceVersion") for q in server.asked if "watch" in q][:1] == ["5"]


async def test_a_list_that_expires_between_its_pages_begins_anew(server: ScriptedServer) -> None:
    server.lists = [listing("one", version=5, more="next"), 410, listing("one", "two", version=6)]
    await watched(server, lambda cache: names(cache) == {"one", "two"})
    assert [q.get("continue") for q in server.asked if "watch" not in q] == [None, "next", None]


async def test_a_broken_watch_goes_on_from_the_last_version_that_was_seen(server: ScriptedServer) -> None:
    server.lists = [listing("one", version=5)]
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "40"}})
    server.watches = [
        [event("ADDED", raw("two", 7)), bookmark, b'{"type": "ADDED", "obj'],
        [event("ADDED", raw("three", 41))],
    ]
    await watched(server, lambda cache: names(cache) == {"one", "two", "three"})
    assert [q["resourceVersion"] for q in server.asked if "watch" in q][:2] == ["5", "40"]
    assert len([q for q in server.asked if "watch" not in q]) == 1


async def test_a_line_that_is_cut_changes_nothing(server: ScriptedServer) -> None:
    server.lists = [listing("one", version=5)]
    whole = event("DELETED", raw("one", 6))
    server.watches = [[whole[: len(whole) // 2]], [event("ADDED", raw("two", 7))]]
    cache, _ = await watched(server, lambda cache: "two" in names(cache))
    assert names(cache) == {"one", "two"}


async def test_objects_that_cannot_be_read_are_skipped_and_the_others_taken(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    page = listing("good", version=5)
    page["items"] += [{"metadata": {"name": "planted-name"}}, None, 7, {}]
    server.lists = [page]
    bad_time = raw("worse", 6)
    bad_time["metadata"]["creationTimestamp"] = "planted-time"
    server.watches = [
        [event("ADDED", bad_time), event("ADDED", None), event("MODIFIED", {}), event("ADDED", raw("last", 8))]
    ]
    await watched(server, lambda cache: names(cache) == {"good", "last"})
    assert "skipped" in caplog.text
    assert "planted" not in caplog.text


async def test_a_silent_connection_ends_at_its_deadline(server: ScriptedServer) -> None:
    server.lists = [listing("one", version=5)]
    server.hold_open = True
    server.watches = [[event("ADDED", raw("two", 6))], [event("ADDED", raw("three", 7))]]
    await watched(server, lambda cache: "three" in names(cache), idle_timeout_s=0.1)


async def test_one_object_of_some_megabytes_is_one_event(server: ScriptedServer) -> None:
    big = raw("big", 6) | {"spec": {"filler": "x" * 5_000_000}}
    server.lists = [listing(version=5)]
    server.watches = [[event("ADDED", big)]]
    cache, _ = await watched(server, lambda cache: names(cache) == {"big"})
    (found,) = cache.list(KIND)
    assert len(found.spec["filler"]) == 5_000_000


async def test_pauses_grow_while_nothing_works_and_are_bounded(server: ScriptedServer) -> None:
    server.lists = [503] * 8 + [listing("one", version=5)]
    _, pauses = await watched(server, lambda cache: names(cache) == {"one"})
    assert pauses.lengths_s[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


async def test_an_outage_is_said_once_and_its_end_too(server: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="stow.kube.watch")
    server.lists = [503, 503, 404, listing("one", version=5)]
    server.watches = [[event("ADDED", raw("two", 6))]]
    await watched(server, lambda cache: names(cache) == {"one", "two"})
    assert caplog.text.count("Watching StowLocation failed") == 1
    assert caplog.text.count("Watching StowLocation works again") == 1
