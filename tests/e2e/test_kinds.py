"""One behaviour on every kind of backend: the same custom resources and the same requests, the same answers.

What may differ is what ``status.capabilities`` says; everything else is one table here, whatever the kind. The shortfalls of a server that
stands in for the real one are named in ``places.py``.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import ALL_OBJECTS, MAY_SIGN, SYSTEM_NAMESPACE, map_of
from e2e.installation import Installation
from e2e.places import KINDS, REMOTE, TEMP_URL_KEY, Place, place
from e2e.scenes import (
    ATTRIBUTES,
    CAPABILITIES,
    OBJECT,
    READ_HEADERS,
    TEXT,
    UNDECLARED,
    WRONG,
    Scene,
    own_headers,
    served,
    staged,
    until_served,
)
from e2e.test_writes import has_finalizer, settled
from e2e.web import Reply, container_path, location_path
from operatorworld import condition, message
from servers.azurite import start_azurite
from servers.fake_gcs import start_fake_gcs
from servers.minio import start_minio
from servers.swift import allow_temp_urls, start_swift
from stow.dev.assets import Assets
from stow.dev.processes import ProcessGroup
from stow.reconcile.objects import ObjectRef
from stow.storage.model import MIB


@pytest.fixture(scope="module", params=KINDS)
def where(request: pytest.FixtureRequest) -> Place:
    return place(request.param, request.getfixturevalue)


@pytest.fixture
def start_again(
    kind: str, find_program: Callable[[str], Path], assets: Assets, processes: ProcessGroup
) -> Callable[[str], Any]:
    """A server of its own by the name of its shared one's fixture: for whoever stops it."""
    name = f"mortal-{kind}"
    starts: Mapping[str, Callable[[], Any]] = {
        "minio": lambda: start_minio(processes, assets.find("minio"), name=name),
        "fake_gcs": lambda: start_fake_gcs(processes, find_program("fake-gcs-server"), name=name),
        "azurite": lambda: start_azurite(processes, find_program("azurite"), name=name),
        "swift_server": lambda: start_swift(processes, find_program("swift"), name=name),
    }
    return lambda fixture: starts[fixture]()


@pytest.fixture(scope="module")
async def scene(installation: Installation, where: Place, request: pytest.FixtureRequest) -> Scene:
    if where.kind == "swift":
        await allow_temp_urls(request.getfixturevalue("swift_server"), TEMP_URL_KEY)
    return await staged(installation, where)


async def test_status_says_where_the_container_is_and_what_the_backend_can_do(scene: Scene) -> None:
    cluster, scheme = scene.installation.cluster, scene.place.scheme
    status = (await cluster.ready(scene.container))["status"]
    assert status["fqn"] == f"{scheme}://{scene.team}-reports"
    assert status["provisioned"] == "Created"
    whole = {f"{scene.team}-base": "Base", f"{scene.team}-reports": "Declared"}
    place_status = (await cluster.until(scene.location, lambda now: map_of(now) == whole, "a map of both"))["status"]
    assert place_status["baseContainerFQN"] == f"{scheme}://{scene.team}-base"
    assert {each["fqn"] for each in place_status["containers"]} == {f"{scheme}://{name}" for name in whole}
    identity = place_status["backendIdentity"]
    assert identity.startswith(f"{scheme}://")
    assert status["backendIdentity"] == f"{identity}/{scene.team}-reports"
    assert place_status["capabilities"].keys() == CAPABILITIES
    for type_ in ("Ready", "CredentialsValid", "Reachable"):
        assert condition({"status": place_status}, type_) == ("True", "Succeeded")


async def test_an_object_is_written_read_listed_copied_and_deleted_alike(scene: Scene) -> None:
    """Not one word of what the backend is: every status, code, header of ours and body is the same on all kinds."""
    put = await scene.ask("PUT", OBJECT, TEXT, **{name.replace("-", "_"): value for name, value in ATTRIBUTES.items()})
    assert (put.status, put.body) == (200, b"")
    etag = put.headers["ETag"]
    for method, body in (("HEAD", b""), ("GET", TEXT)):
        found = await scene.ask(method, OBJECT)
        assert (found.status, found.body, found.headers["ETag"]) == (200, body, etag)
        assert own_headers(found) == READ_HEADERS
    for range_, part, content_range in (
        ("bytes=0-4", b"Hello", "bytes 0-4/11"),
        ("bytes=6-", b"world", "bytes 6-10/11"),
        ("bytes=-3", b"rld", "bytes 8-10/11"),
        ("bytes=4-99", b"o world", "bytes 4-10/11"),
    ):
        found = await scene.ask("GET", "/object?key=2026/a%20b", Range=range_)
        assert (found.status, found.body, found.headers["Content-Range"]) == (206, part, content_range)
        assert own_headers(found) == {**READ_HEADERS, "content-length": str(len(part)), "content-range": content_range}
    assert (await scene.ask("GET", OBJECT, If_None_Match=etag)).status == 304
    assert (await scene.ask("GET", OBJECT, If_Match=etag, Range="bytes=0-0")).body == TEXT[:1]
    copied = await scene.post("/copy", {"source": {"key": "2026/a b"}, "destination": {"key": "copy"}})
    assert (copied.status, copied.json["size"]) == (200, len(TEXT))
    assert own_headers(await scene.ask("HEAD", "/objects/copy")) == READ_HEADERS

    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"def"

    for key, data, whole in (("chunked", chunks(), b"abcdef"), ("empty", b"", b""), ("%C3%BC+%25", b"u", b"u")):
        assert (await scene.ask("PUT", f"/objects/{key}", data)).status == 200
        assert (await scene.ask("GET", f"/objects/{key}")).body == whole
    await listed_alike(scene)
    for _ in range(2):
        assert (await scene.ask("DELETE", "/objects/copy")).status == 204
    assert (await scene.ask("GET", "/objects/copy")).code == "object_not_found"


async def listed_alike(scene: Scene) -> None:
    keys = ["2026/a b", "chunked", "copy", "empty", "ü+%"]
    folded = await scene.ask("GET", "/objects?delimiter=/")
    assert folded.status == 200
    assert [(each["key"], each["size"]) for each in folded.json["objects"]] == [
        *(("chunked", 6), ("copy", 11), ("empty", 0), ("ü+%", 1))
    ]
    assert (folded.json["prefixes"], folded.json["cursor"]) == (["2026/"], None)
    assert {frozenset(each) for each in folded.json["objects"]} == {frozenset({"key", "size", "etag", "lastModified"})}
    etag = (await scene.ask("HEAD", "/objects/chunked")).headers["ETag"]
    assert folded.json["objects"][0]["etag"] == etag.strip('"')
    found, cursor = [], ""
    for _ in range(2 * len(keys) + 1):
        page = await scene.ask("GET", f"/objects?limit=2{cursor}")
        assert (page.status, len(page.json["objects"]) <= 2) == (200, True)
        found += [each["key"] for each in page.json["objects"]]
        if page.json["cursor"] is None:
            break
        cursor = f"&cursor={page.json['cursor']}"
    assert found == keys
    assert [each["key"] for each in (await scene.ask("GET", "/objects?prefix=c")).json["objects"]] == [
        "chunked",
        "copy",
    ]


async def test_a_wrong_request_is_refused_alike_and_changes_nothing(scene: Scene) -> None:
    assert (await scene.ask("PUT", "/objects/wrong", b"right")).status == 200
    for what, wrong in WRONG.items():
        answer = await scene.ask(wrong.method, wrong.rest, wrong.body, **wrong.headers)
        assert (what, answer.status, answer.code) == (what, wrong.status, wrong.code)
    copy = await scene.post("/copy", {"source": {"key": "none"}, "destination": {"key": "wrong"}})
    assert (copy.status, copy.code) == (404, "object_not_found")
    assert (await scene.ask("GET", "/objects/wrong")).body == b"right"


async def test_conditions_of_writes_do_what_the_status_declares_or_are_refused_alike(scene: Scene) -> None:
    async def answer(method: str, key: str, **headers: str) -> tuple[int, str]:
        found = await scene.ask(method, f"/objects/{key}", b"x" if method == "PUT" else None, **headers)
        return found.status, found.code

    can = {name: scene.capabilities[name] == "true" for name in ("createOnce", "writeIfMatch", "deleteIfMatch")}
    fails = (412, "precondition_failed")
    once = [await answer("PUT", "once", If_None_Match="*") for _ in range(2)]
    assert once == ([(201, ""), fails] if can["createOnce"] else [UNDECLARED, UNDECLARED])
    first = (await scene.ask("PUT", "/objects/version", b"first")).headers["ETag"]
    replaced = [await answer("PUT", "version", If_Match=first) for _ in range(2)]
    assert replaced == ([(200, ""), fails] if can["writeIfMatch"] else [UNDECLARED, UNDECLARED])
    assert await answer("PUT", "nothing", If_Match="*") == (fails if can["writeIfMatch"] else UNDECLARED)
    assert (await scene.ask("GET", "/objects/nothing")).status == 404
    last = (await scene.ask("HEAD", "/objects/version")).headers["ETag"]
    assert await answer("DELETE", "version", If_Match=last) == ((204, "") if can["deleteIfMatch"] else UNDECLARED)
    if not can["deleteIfMatch"]:
        assert (await scene.ask("GET", "/objects/version")).status == 200


async def test_a_signed_url_works_for_a_plain_client_and_for_nothing_else(scene: Scene) -> None:
    """The client knows nothing but the answer of /sign."""
    methods = set(filter(None, scene.capabilities["signMethods"].split(",")))
    assert bool(methods) == (scene.place.secret is not None or scene.place.kind == "local")
    for method in ("PUT", "HEAD", "GET", "DELETE"):
        signed = await scene.post("/sign", {"key": "signed", "method": method, "expiresIn": "5m"})
        if method not in methods:
            assert (signed.status, signed.code) == UNDECLARED, method
            continue
        assert signed.status == 200, (method, signed)
        url, headers = signed.json["url"], signed.json["requiredHeaders"]
        other = await scene.web.ask("DELETE" if method == "GET" else "GET", url, headers=headers)
        assert other.status in {400, 401, 403} or (method == "HEAD" and other.status == 200), (method, other)
        used = await scene.web.ask(method, url, headers=headers, body=b"by URL" if method == "PUT" else None)
        assert 200 <= used.status < 300, (method, used)
        if method == "GET":
            assert used.body == b"by URL"
    left = await scene.ask("GET", "/objects/signed")
    assert left.status == (404 if "DELETE" in methods else 200) or not methods


async def test_a_container_that_is_deleted_leaves_what_its_policy_says(scene: Scene) -> None:
    """DeleteIfEmpty waits for the last object and takes the container away; Retain leaves it, for who loads it then."""
    cluster = scene.installation.cluster

    async def make(name: str, **more: Any) -> ObjectRef:
        made = await scene.installation.container(scene.team, name, **more)
        await cluster.ready(made)
        return made

    async def put(method: str, name: str, body: bytes | None = None) -> Reply:
        target = f"{container_path(scene.team, name)}/objects/k"
        return await scene.web.ask(method, target, token=scene.token, body=body)

    kept = await make("kept", deletionPolicy="Retain")
    await served(scene, "kept")
    assert (await put("PUT", "kept", b"kept")).status == 200
    await cluster.delete(kept)
    await cluster.gone(kept)
    again = await make("kept", provision="Load")
    await served(scene, "kept")
    assert (await put("GET", "kept")).body == b"kept"
    await cluster.delete(again)
    await cluster.gone(again)

    short = await make("short", deletionPolicy="DeleteIfEmpty")
    await served(scene, "short")
    assert (await put("PUT", "short", b"x")).status == 200
    await cluster.delete(short)
    if scene.capabilities["markers"] != "true" or not scene.place.keeps_markers:
        await cluster.reason(short, "OwnershipUnknown", "DeletionBlocked")
        await cluster.abandon(short)
        await cluster.gone(short)
        return
    await cluster.reason(short, "NotEmpty", "DeletionBlocked")
    refused = await put("PUT", "short", b"y")
    assert (refused.status, refused.code) == (409, "container_deleting")
    await cluster.abandon(short)
    await cluster.gone(short)
    empty = await make("empty", deletionPolicy="DeleteIfEmpty")
    await cluster.delete(empty)
    await cluster.gone(empty)
    absent = await scene.installation.container(scene.team, "empty", provision="Load")
    await cluster.reason(absent, "ContainerNotFound")
    await cluster.delete(absent)
    await cluster.gone(absent)


SETTINGS = {
    "tags": ("tags", {"team": "a"}),
    "versioning": ("versioning", True),
    "expiryRules": ("expireAfterDays", 3),
}
"""By capability: the field of a StowContainer's spec, and a value."""


async def test_settings_of_a_container_hold_where_they_are_declared_and_are_refused_alike_elsewhere(
    scene: Scene,
) -> None:
    cluster = scene.installation.cluster
    for capability, (name, value) in SETTINGS.items():
        made = await scene.installation.container(scene.team, f"with-{name.lower()}", **{name: value})
        if scene.capabilities[capability] == "true":
            await cluster.ready(made)
        else:
            found = await cluster.reason(made, "Unsupported", "Stalled")
            assert f"spec.{name}" in message(found), message(found)
            assert not found["status"].get("provisioned")
        await cluster.delete(made)
        await cluster.gone(made)


async def test_the_base_container_is_served_by_the_location_and_a_declared_one_is_not(scene: Scene) -> None:
    base, declared = (location_path(scene.team, "main", f"{scene.team}-{name}") for name in ("base", "reports"))
    assert (await scene.web.ask("PUT", f"{base}/objects/k", token=scene.token, body=b"base")).status == 200
    assert (await scene.web.ask("GET", f"{base}/objects/k", token=scene.token)).body == b"base"
    refused = await scene.web.ask("GET", f"{declared}/objects/k", token=scene.token)
    assert (refused.status, refused.code) == (403, "container_not_allowed")


@pytest.mark.parametrize("kind", [kind for kind in REMOTE if kind != "google"])
async def test_wrong_credentials_are_told_without_a_secret_and_right_ones_heal(
    installation: Installation, kind: str, request: pytest.FixtureRequest
) -> None:
    """The base container is what makes Azurite say so: without one it answers strangers as if they were denied."""
    cluster, where = installation.cluster, place(kind, request.getfixturevalue)
    team = await cluster.namespace(kind)
    assert where.secret is not None
    secret = await cluster.secret(team, "keys", {**where.secret, **where.wrong})
    base = {"name": f"{team}-base", "createIfNotFound": True}
    location = await cluster.create("StowLocation", team, "main", where.location(baseContainer=base))
    found = await cluster.until(
        location, lambda now: (condition(now, "CredentialsValid") or ("",))[0] == "False", "refused"
    )
    said = message(found) + message(found, "CredentialsValid")
    assert not [value for value in {**where.secret, **where.wrong}.values() if value in said], said
    container = await installation.container(team, "reports")
    await cluster.reason(container, "LocationNotReady")
    token = await cluster.workload(team, "app", ALL_OBJECTS)
    answer = await installation.web.ask("GET", f"{container_path(team, 'reports')}/objects/k", token=token)
    assert (answer.status, answer.code) == (503, "container_not_ready")
    await cluster.patch(secret, {"stringData": dict(where.secret)})
    await cluster.ready(location)
    await cluster.ready(container)


@pytest.mark.parametrize("kind", REMOTE)
async def test_a_backend_that_dies_is_unreachable_and_never_absent(
    installation: Installation, kind: str, start_again: Callable[[str], Any]
) -> None:
    cluster, where = installation.cluster, place(kind, start_again)
    scene = await staged(installation, where)
    assert (await scene.ask("PUT", "/objects/k", b"x")).status == 200
    assert where.process is not None
    await asyncio.to_thread(where.process.stop)
    for method, rest, body in (
        ("HEAD", "/objects/k", None),
        ("GET", "/objects/k", None),
        ("GET", "/objects", None),
        ("PUT", "/objects/k", b"y"),
        ("DELETE", "/objects/k", None),
    ):
        answer = await scene.ask(method, rest, body)
        assert (method, answer.status, answer.code) == (method, 503, "backend_unreachable")
        assert answer.headers["Retry-After"]
    await cluster.patch(scene.location, {"spec": {"limits": {"maxWriteBytes": 10}}})  # has it looked at now
    found = await cluster.reason(scene.location, "Unreachable", "Reachable")
    assert condition(found, "CredentialsValid") == ("Unknown", "CredentialsUnverified")
    await cluster.patch(scene.container, {"spec": {"deletionPolicy": "DeleteIfEmpty"}})
    await cluster.delete(scene.container)
    await cluster.reason(scene.container, "Unreachable", "DeletionBlocked")
    await cluster.abandon(scene.container)
    await cluster.gone(scene.container)


async def test_three_writes_to_ready_on_every_kind_and_none_at_a_restart(
    installation: Installation, request: pytest.FixtureRequest
) -> None:
    cluster = installation.cluster
    team = await cluster.namespace()
    refs: list[ObjectRef] = []
    for kind in KINDS:
        where = place(kind, request.getfixturevalue)
        if where.secret is not None:
            await cluster.secret(team, f"{kind}-keys", where.secret)
        location = await cluster.create("StowLocation", team, kind, where.location(f"{kind}-keys"))
        container = await installation.container(team, f"at-{kind}", location=kind)
        await cluster.ready(container)
        whole = {f"{team}-at-{kind}": "Declared"}
        await cluster.until(location, lambda now, whole=whole: has_finalizer(now) and map_of(now) == whole, "in use")
        assert len(cluster.writes(container)) <= 3, (kind, cluster.writes(container))
        refs += [location, container]
    before = {ref: cluster.writes(ref) for ref in refs}
    await installation.restart_operator()
    await installation.restart_gateway()
    await settled(installation, "local")
    assert {ref: cluster.writes(ref) for ref in refs} == before


LARGE = b"0123456789abcdef" * 600 * 1024
"""Enough for a redirect."""


async def large() -> AsyncIterator[bytes]:
    for at in range(0, len(LARGE), MIB):
        yield LARGE[at : at + MIB]


async def test_an_object_goes_from_kind_to_kind_and_comes_back_as_it_was(
    installation: Installation, request: pytest.FixtureRequest
) -> None:
    """By cluster locations, whose Secrets are the operator's; then each copy is read by who may be sent to the backend."""
    cluster, web = installation.cluster, installation.web
    await allow_temp_urls(request.getfixturevalue("swift_server"), TEMP_URL_KEY)
    team = await cluster.namespace()
    signs: dict[str, bool] = {}
    for kind in KINDS:
        where, name = place(kind, request.getfixturevalue, folder=team), f"{kind}-{team}"
        if where.secret is not None:
            await cluster.secret(SYSTEM_NAMESPACE, name, where.secret)
        spec = where.location(name, allowedNamespaces={"names": [team]})
        location = await cluster.create("ClusterStowLocation", None, name, spec)
        await cluster.ready(location)
        signs[kind] = where.secret is not None  # what is local is served by the gateway itself
        reference = {"kind": "ClusterStowLocation", "name": name}
        await cluster.ready(await cluster.create("StowContainer", team, kind, {"locationRef": reference}))
    token = await cluster.workload(team, "app", ALL_OBJECTS, MAY_SIGN)
    paths = {kind: container_path(team, kind) for kind in KINDS}
    for path in paths.values():
        await until_served(web, f"{path}/objects", token)

    put = await web.ask("PUT", f"{paths[KINDS[0]]}/objects/k", token=token, body=large(), headers=ATTRIBUTES)
    assert put.status == 200
    for source, target in itertools.pairwise((*KINDS, KINDS[0])):
        order = {"source": {"container": source, "key": "k"}, "destination": {"key": "k"}}
        copied = await web.post(f"{paths[target]}/copy", order, token=token)
        assert (source, target, copied.status) == (source, target, 200), copied
        head = await web.ask("HEAD", f"{paths[target]}/objects/k", token=token)
        assert own_headers(head) == {**READ_HEADERS, "content-length": str(len(LARGE))}, target
    for kind, path in paths.items():
        answer = await web.ask("GET", f"{path}/objects/k", token=token, headers={"Stow-Redirect": "allow"})
        assert answer.status == (307 if signs[kind] else 200), (kind, answer.status, answer.code)
        found_bytes = (await web.ask("GET", answer.headers["Location"])).body if signs[kind] else answer.body
        assert found_bytes == LARGE, kind
